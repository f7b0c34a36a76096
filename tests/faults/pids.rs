// SPDX-License-Identifier: Apache-2.0
//! What has a pid is not what had it before.

use std::thread;
use std::time::Instant;

use common::process::eventually;
use common::reader::{Reader, Receive};
use scope_http_statistics::page::view::View;

use crate::followed::Asked;
use crate::{AGENT, OFTEN, PATIENCE};

/// All in one tick or in a few, as it comes: what has the pid next is another process. A thread of another test may get it first; then all begins again.
#[test]
fn a_pid_that_is_reused_at_once() {
    let agent = AGENT.start(&[]);
    let reused = (0..50).any(|_| {
        let first = Reader::tcp(Receive::Read);
        let pid = first.pid();
        let mut first = Asked::of(first);
        first.ask(17);
        // Read, so that the process is known and not only its workload.
        let requests = || -> Vec<u64> {
            let view = agent.get("/view");
            let view: View = serde_json::from_slice(&view.body).unwrap();
            let mut processes: Vec<_> = view
                .processes
                .iter()
                .filter(|it| u64::from(it.pid) == pid)
                .map(|it| (it.start_time, it.requests))
                .collect();
            processes.sort_unstable();
            processes
                .into_iter()
                .map(|(_, requests)| requests)
                .collect()
        };
        eventually(vec![17], requests);
        first.ask(2);
        drop(first);
        let Some(second) = Reader::tcp_with_pid(Receive::Read, pid) else {
            return false;
        };
        let mut second = Asked::of(second);
        second.ask(23);
        // Both are listed, until the first one has been gone for some ticks.
        let start = Instant::now();
        let mut seen = requests();
        while seen != [23] {
            let fits = match seen[..] {
                [first] => (17..=19).contains(&first) || first <= 23,
                [first, second] => (17..=19).contains(&first) && second <= 23,
                _ => false,
            };
            assert!(fits, "{seen:?}");
            assert!(start.elapsed() < PATIENCE, "{seen:?}");
            thread::sleep(OFTEN);
            seen = requests();
        }
        true
    });
    assert!(reused, "other tests got every pid first");
}
