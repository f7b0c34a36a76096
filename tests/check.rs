// SPDX-License-Identifier: Apache-2.0
//! The subcommand that tries what would work here, and the traces that neither it nor an agent's own requests leave.

use std::process::{Output, Stdio};
use std::time::Duration;

use common::agent::{Agent, Program};
use common::process::spawn;
use common::web::{self, sample, text};
use serde_json::Value;

const AGENT: Program = common::agent!();

/// Some ticks.
const SETTLED: Duration = Duration::from_millis(2500);

/// What it says, and the process that said it.
fn check(args: &[&str]) -> (Output, u32) {
    let mut command = AGENT.command();
    command.arg("check").args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = spawn(&mut command).unwrap();
    let pid = child.id();
    (child.wait_with_output().unwrap(), pid)
}

fn root(agent: &Agent) -> String {
    let root = agent
        .socket()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    root.to_str().unwrap().to_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn serves(agent: &Agent, metrics: &str, pid: u32) -> bool {
    let label = format!("process_pid=\"{pid}\"");
    let report = agent.report();
    let nodes = report["Process"]["nodes"].as_object().unwrap();
    let is_of = |node: &String| node.ends_with(&format!(";{pid}"));
    nodes.keys().any(is_of) || sample(metrics, "http_server_requests_total", &[&label]).is_some()
}

#[test]
fn says_what_works_and_which_one_the_agent_takes() {
    let (output, _) = check(&["--json", "--listen", "none"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found = json(&output);
    assert_eq!(found["btf"], true);
    assert_eq!(found["capabilities"]["missing"], Value::Array(Vec::new()));
    assert_eq!(found["pid_namespace"], "host");
    assert_eq!(found["port"]["state"], "unwanted");
    for field in [
        "kernel",
        "seccomp",
        "landlock",
        "lockdown",
        "perf_event_paranoid",
        "tracefs",
        "plugins_root",
    ] {
        assert!(found.get(field).is_some(), "{field} is not in {found}");
    }
    let backends = found["backends"].as_array().unwrap();
    let names: Vec<_> = backends.iter().map(|backend| &backend["name"]).collect();
    assert_eq!(names, ["fexit", "sock", "syscall"]);
    let best = backends.iter().find(|backend| backend["works"] == true);
    assert_eq!(found["auto"], best.unwrap()["name"]);
    let why = best.unwrap()["why"].as_str().unwrap();
    assert!(why.contains("conversations counted exactly"), "{why}");

    let keeps = best.unwrap()["keeps"].as_array().unwrap();
    let keeps: Vec<_> = keeps.iter().map(|it| it.as_str().unwrap()).collect();
    // Which ones depends on the kernel.
    assert!(!keeps.contains(&"CAP_SYS_PTRACE"), "{keeps:?}");

    // The same for a person, and an agent does as it says.
    let (output, _) = check(&["--listen", "none"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let auto = found["auto"].as_str().unwrap();
    assert!(
        said.contains(&format!("\nThe agent takes {auto}.\n")),
        "{said}"
    );
    let kept = match &keeps[..] {
        [] => "no capability".to_owned(),
        keeps => keeps.join(" and "),
    };
    assert!(
        said.contains(&format!("After its start it keeps {kept}.")),
        "{said}"
    );
    let agent = AGENT.start(&[]);
    assert!(agent.log().contains(&format!("backend {auto}: ")));
}

#[test]
fn leaves_no_trace_in_a_running_agent() {
    for backend in ["sock", "syscall"] {
        let (agent, address) = web::start(AGENT, &["--backend", backend]);
        let (output, pid) = check(&["--json", "--plugins-root", &root(&agent)]);
        assert_eq!(json(&output)["plugins_root"]["agent_runs"], true);
        std::thread::sleep(SETTLED);
        let metrics = text(address, "/metrics");
        assert!(!serves(&agent, &metrics, pid), "{metrics}");
        assert_eq!(sample(&metrics, "scope_http_proof", &[]), Some(1.0));
    }
}

#[test]
fn what_an_agent_says_to_itself_shows_nowhere() {
    for backend in ["sock", "syscall"] {
        // It has room for one process, which the agent does not take.
        let args = ["--backend", backend, "--max-processes", "1"];
        let (agent, address) = web::start(AGENT, &args);
        for _ in 0..2 {
            let metrics = text(address, "/metrics");
            assert!(!serves(&agent, &metrics, agent.pid()), "{metrics}");
            assert!(!metrics.contains("HEAD"), "{metrics}");
            let capacity = sample(
                &metrics,
                "scope_http_map_capacity",
                &["map=\"http_processes\""],
            );
            assert_eq!(capacity, Some(1.0));
            std::thread::sleep(SETTLED);
        }
    }
}
