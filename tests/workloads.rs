// SPDX-License-Identifier: Apache-2.0
//! Workloads as the metrics show them: what becomes of their counts when a process executes another program, when nobody asks for
//! a while, and when there are more of them than there is room for.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use common::agent::Program;
use common::alone;
use common::cgroup::ControlGroup;
use common::homemade::{Homemade, Kind, unique};
use common::load::{Client, get};
use common::process::eventually;
use common::web::{self, sample, text};

const AGENT: Program = common::agent!();

const REQUESTS: &str = "http_server_requests_total";
const DURATION_COUNT: &str = "http_server_request_duration_seconds_count";
const OVERFLOW: &str = "otel_metric_overflow=\"true\"";

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

fn executable(name: &str) -> String {
    format!("process_executable_name=\"{name}\"")
}

/// A control group that no other test is in, and the label that it has.
fn container() -> (ControlGroup, String) {
    let id: String = (0..64).map(|_| fastrand::digit(16)).collect();
    let group = ControlGroup::of_version_2(&format!("docker/{id}"));
    (group, format!("container_id=\"{id}\""))
}

fn assert_becomes(expected: u64, agent: SocketAddr, labels: &[&str]) {
    for metric in [REQUESTS, DURATION_COUNT] {
        eventually(Some(expected as f64), || {
            sample(&text(agent, "/metrics"), metric, labels)
        });
    }
}

fn ask(client: &mut Client, count: u64) {
    for _ in 0..count {
        assert_eq!(client.ask(get("/200").as_bytes()).status, 200);
    }
}

#[test]
fn what_a_process_executes_counts_under_its_own_name() {
    let _alone = alone();
    let (_by_process, by_process) = web::start(AGENT, &[]);
    let (_by_workload, by_workload) = web::start_by_workload(AGENT, &[]);
    // Whether user space knows of the process before or not.
    for is_known in [true, false] {
        let names = [unique("before"), unique("after")];
        let [before, after] = names.clone().map(|name| executable(&name));
        let server = Homemade::start(Kind::Lasting, &names[0]);
        server.executes(&names[1]);
        let pid = format!("process_pid=\"{}\"", server.pid());
        let mut client = Client::connect(&server.address);
        ask(&mut client, 17);
        server.ask(5);
        if is_known {
            assert_becomes(17 + 5, by_process, &[&pid, &before]);
            assert_becomes(17 + 5, by_workload, &[&before]);
        }
        // It executes by a thread that is not its first one.
        let execute = |client: &mut Client| client.ask(get("/exec").as_bytes());
        execute(&mut client);
        ask(&mut client, 13);
        server.ask(29);
        assert_becomes(17 + 5 + 1, by_workload, &[&before]);
        assert_becomes(13 + 29, by_workload, &[&after]);
        if is_known {
            assert_becomes(17 + 5 + 1, by_process, &[&pid, &before]);
        }
        assert_becomes(13 + 29, by_process, &[&pid, &after]);

        // The same program again is another process of the same workload.
        execute(&mut client);
        ask(&mut client, 3);
        assert_becomes(17 + 5 + 1, by_workload, &[&before]);
        assert_becomes(13 + 29 + 1 + 3, by_workload, &[&after]);
    }
}

#[test]
fn nothing_is_lost_when_there_are_more_workloads_than_room() {
    let _alone = alone();
    let (_agent, address) = web::start_by_workload(AGENT, &["--max-workloads", "30"]);
    // The first ones of a group have their own names, also one that looks as if it stood for all others.
    let (group, of_group) = container();
    let named = ["_other", "_OTHER"];
    let own = named.map(|name| Homemade::start_as(Kind::Lasting, name, 0, Some(&group)));
    for server in &own {
        server.ask(11);
    }
    let greedy: Vec<_> = (0..41)
        .map(|_| Homemade::start_as(Kind::Lasting, &unique("many"), 0, Some(&group)))
        .collect();
    for server in &greedy {
        server.ask(3);
    }
    assert_becomes(2 * 11 + 41 * 3, address, &[&of_group]);
    for name in named {
        assert_becomes(11, address, &[&of_group, &executable(name)]);
    }
    let metrics = text(address, "/metrics");
    let together = sample(&metrics, REQUESTS, &[OVERFLOW, &of_group]).unwrap();
    // Half of the table is whoever's comes first.
    assert!(together >= (2 * 11 + 41 * 3 - 15 * 11) as f64, "{together}");
    let lines = metrics.lines().filter(|line| line.starts_with(REQUESTS));
    for line in lines.filter(|line| line.contains(OVERFLOW)) {
        assert!(!line.contains("process_executable_name"), "{line}");
    }

    // Another user has a workload of its own, and keeps it.
    let (others, of_others) = container();
    let name = unique("lasting");
    let lasting = Homemade::start_as(Kind::Lasting, &name, 54_325, Some(&others));
    lasting.ask(19);
    assert_becomes(19, address, &[&of_others, &executable(&name)]);
    for server in &greedy {
        server.ask(2);
    }
    lasting.ask(4);
    assert_becomes(23, address, &[&of_others, &executable(&name)]);
    assert_becomes(2 * 11 + 41 * 5, address, &[&of_group]);
    assert_eq!(
        sample(
            &text(address, "/metrics"),
            REQUESTS,
            &[OVERFLOW, &of_others]
        ),
        None
    );
}

#[test]
fn what_nobody_has_asked_for_long_goes_on_from_where_it_was() {
    let _alone = alone();
    let (_agent, address) = web::start_by_workload(AGENT, &[]);
    let name = unique("idle");
    let server = Homemade::start(Kind::Forking, &name);
    server.ask(31);
    assert_becomes(31, address, &[&executable(&name)]);
    // The kernel's entry is cleared after as many readings as there are seconds in a minute, and two more.
    thread::sleep(Duration::from_secs(66));
    assert_becomes(31, address, &[&executable(&name)]);
    server.ask(37);
    assert_becomes(68, address, &[&executable(&name)]);
}
