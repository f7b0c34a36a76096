// SPDX-License-Identifier: Apache-2.0
//! The subcommands that look at an agent, how it is installed, and what stands in README of it.

mod install;
mod readme;
mod top;

use std::process::Output;
use std::time::Duration;

use common::agent::{Agent, Program, folder, output_of};
use common::answering::{answering, ask};
use common::load::Address;
use common::process::eventually;
use common::web;
use serde_json::Value;

const AGENT: Program = common::agent!();

fn root(agent: &Agent) -> String {
    let directory = agent.socket().parent().unwrap().to_owned();
    directory.parent().unwrap().to_str().unwrap().to_owned()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn report_prints_what_the_probe_gets_or_a_table_or_json() {
    let (agent, address) = web::start(AGENT, &[]);
    let root = root(&agent);
    let server = answering("terminal");
    let json = stdout(&AGENT.run(&["report", "--plugins-root", &root]));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["Plugins"][0]["id"], "http-statistics");

    let pid = server.pid().to_string();
    let mut asked = 0;
    eventually(Some(true), || {
        // Errors are those of the last 15 seconds, which may go by, and whose beginning is anywhere.
        ask(&server, 200, 7);
        ask(&server, 500, 7);
        asked += 7;
        std::thread::sleep(Duration::from_secs(2));
        let table = stdout(&AGENT.run(&["--plugins-root", &root, "report", "--table"]));
        assert!(table.contains("PID  PROCESS"), "{table}");
        let mut rows = table.lines().map(|row| row.split_whitespace());
        let row: Vec<_> = rows.find(|row| row.clone().next() == Some(&pid))?.collect();
        assert_eq!(row[1], "terminal");
        let heads: Vec<_> = table.lines().next()?.split("  ").map(str::trim).collect();
        let heads = heads.into_iter().filter(|it| !it.is_empty());
        let errors = heads.into_iter().position(|it| it == "ERRORS")?;
        let percent: u32 = row[errors].strip_suffix('%')?.parse().ok()?;
        Some((30..=70).contains(&percent))
    });

    // The same by either way, with names, and nothing that was counted is lost.
    let url = format!("http://{address}/");
    for from in [["--plugins-root", &root], ["--url", &url]] {
        let json = stdout(&AGENT.run(&[&["report", "--json"], &from[..]].concat()));
        let document: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["api_version"], 1);
        let row = |kind: &str| {
            let rows = document[kind].as_array().unwrap();
            let row = rows.iter().find(|it| it["name"] == "terminal");
            row.unwrap_or_else(|| panic!("{document}")).clone()
        };
        let process = row("processes");
        assert_eq!(process["pid"].to_string(), pid);
        let Address::Tcp(served) = server.address else {
            unreachable!("it listens on TCP")
        };
        assert_eq!(process["port"], served.port());
        for row in [process, row("workloads")] {
            assert_eq!(row["requests"], 2 * asked, "{row}");
            let answers = row["answers"].as_array().unwrap().iter();
            let answers: Vec<_> = answers
                .map(|it| (it["status"].as_str().unwrap(), it["count"].as_u64()))
                .collect();
            assert_eq!(answers, [("200", Some(asked)), ("500", Some(asked))]);
        }
    }
    let table = stdout(&AGENT.run(&["report", "--table", "--url", &url]));
    assert!(table.contains("terminal"), "{table}");
    let refused = AGENT.run(&["report", "--url", &url]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn without_an_agent_they_say_how_to_start_one() {
    let folder = folder();
    let root = folder.path().to_str().unwrap();
    for args in [
        &["report"][..],
        &["report", "--table"],
        &["report", "--json"],
    ] {
        let mut command = AGENT.command();
        command.args(args).args(["--plugins-root", root]);
        let output = output_of(command);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("no agent is running"), "{error}");
        assert!(error.contains("start it with"), "{error}");
    }
    assert_eq!(AGENT.run(&["report", "--nope"]).status.code(), Some(2));
    // Where nobody looks, none is started.
    let mut top = AGENT.command();
    top.args(["top", "--plugins-root", root]);
    let output = output_of(top);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("top needs a terminal"), "{error}");
}
