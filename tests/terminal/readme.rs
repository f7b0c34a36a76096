// SPDX-License-Identifier: Apache-2.0
//! Every command in README does what it is there for.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use common::agent::{folder, output_of};
use common::answering::{answering, ask};
use common::web;

use crate::top::Terminal;
use crate::{AGENT, root, stdout};

/// What has to come out of each, in the order of README. Of targets of make: what they would run, which other tests do.
const COMMANDS: [(&str, &str); 11] = [
    ("make", "run --quiet --release --locked -- "),
    ("make test", "test --locked --package scope-http-statistics"),
    ("make install", "scripts/install.sh install"),
    ("make top", "run --quiet --release --locked -- top"),
    ("sudo scope-http-statistics top", "requests/s"),
    (
        "scope-http-statistics top --url http://127.0.0.1:9476",
        "requests/s",
    ),
    ("sudo scope-http-statistics report --table", "in-readme"),
    (
        r#"sudo scope-http-statistics report --json | jq -r '.workloads[] | "\(.name) \(.requests_per_second)"'"#,
        "in-readme ",
    ),
    (
        "curl -s http://127.0.0.1:9476/api/v1/processes",
        r#""name":"in-readme""#,
    ),
    (
        "curl -s http://127.0.0.1:9476/metrics",
        "process_executable_name=\"in-readme\"",
    ),
    ("sudo scope-http-statistics check", "The agent takes "),
];

/// The commands in blocks of shell, without what is said of them.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string("README.md").unwrap();
    let mut commands = Vec::new();
    let mut block = None;
    for line in readme.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), None) => block = Some(kind),
            (Some(_), Some(_)) => block = None,
            (None, Some("sh")) => {
                let command = line.split(" # ").next().unwrap().trim();
                commands.push(command.to_owned());
            }
            // What is printed has no prompt.
            (None, Some("console")) => assert!(!line.starts_with('$'), "{line}"),
            (None, Some(kind)) => panic!("README has a block of {kind:?}"),
            (None, None) => {}
        }
    }
    commands
}

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn shell(command: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    // Of a make that runs the tests.
    shell.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    output_of(shell)
}

#[test]
fn every_command_of_readme_does_what_it_says() {
    let expected: Vec<_> = COMMANDS.iter().map(|(command, _)| *command).collect();
    assert_eq!(commands(), expected);

    let (agent, address) = web::start_by_workload(AGENT, &[]);
    let server = answering("in-readme");
    ask(&server, 200, 7);
    std::thread::sleep(std::time::Duration::from_secs(2));
    // As they are installed, and where the agent of this test is.
    let bin = folder();
    let (path, root) = (AGENT.path(), root(&agent));
    let installed = bin.path().join("scope-http-statistics");
    program(
        &installed,
        &format!("exec {path} --plugins-root {root} \"$@\""),
    );
    program(&bin.path().join("sudo"), "exec \"$@\"");
    let at = format!("PATH={}:$PATH; export PATH", bin.path().display());
    for (command, shown) in COMMANDS {
        let here = command.replace("127.0.0.1:9476", &address.to_string());
        if command.starts_with("make") {
            let output = stdout(&shell(&here.replace("make", "make --dry-run")));
            assert!(output.contains(shown), "{command}: {output}");
        } else if command.contains(" top") {
            let terminal = Terminal::run(100, &format!("{at}; {here}"));
            terminal.shows(shown);
            terminal.press(&["q"]);
        } else {
            let output = stdout(&shell(&format!("{at}; {here}")));
            assert!(output.contains(shown), "{command}: {output}");
        }
    }
}
