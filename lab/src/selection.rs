// SPDX-License-Identifier: Apache-2.0
//! Which of the tests run on every kernel. What is not here is left out by name, for the reason that stands with it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::executables::Executables;
use crate::guest::{TestProgram, Tests, VERIFIER_TABLE};

/// Tests that need more than a kernel: an empty name stands for all of a program.
pub struct LeftOut {
    pub program: &'static str,
    pub test: &'static str,
    pub why: &'static str,
}

const fn left_out(program: &'static str, test: &'static str, why: &'static str) -> LeftOut {
    LeftOut { program, test, why }
}

/// Those that count what a kernel shows.
pub const LIVE: [&str; 6] = [
    "live",
    "live_programs",
    "confined",
    "identity",
    "workloads",
    "latency",
];

/// Those that take something away from the agent. Kernels differ little in what they then say, and many agents take long
/// to start, so that only the kernels at the ends of the list run all of them.
pub const CONDITIONS: &str = "hostile";

pub const LEFT_OUT: [LeftOut; 38] = [
    left_out("live", "a_child_that_exits_is_counted", "python"),
    left_out("live", "redis_commands_are_none", "redis"),
    left_out("live", "nginx_by_worker", "nginx and curl"),
    left_out("live", "nginx_under_wrk", "nginx and wrk"),
    left_out("live", "python", "python"),
    left_out("live", "nodejs", "nodejs"),
    left_out("live", "haproxy_before_nginx", "haproxy and nginx"),
    left_out("live", "the_agent_is_no_server", "nothing more of a kernel"),
    left_out(
        "live",
        "a_killed_agent_is_replaced",
        "nothing more of a kernel",
    ),
    left_out(
        "hostile",
        "without_leave_to_read_the_kernel",
        "nothing more of a kernel that is not locked down",
    ),
    left_out(
        "workloads",
        "what_nobody_has_asked_for_long_goes_on_from_where_it_was",
        "nothing more of a kernel",
    ),
    left_out(
        "latency",
        "a_server_that_sleeps_120_ms_shows_120_ms_everywhere",
        "prometheus",
    ),
    left_out(
        "accuracy",
        "",
        "nginx, apache, haproxy, nodejs, go, java, python, wrk, nghttp2 and gRPC",
    ),
    left_out(
        "http2",
        "",
        "nghttpd, h2load, nghttp, nginx, apache, curl, and python's grpc and h2",
    ),
    left_out(
        "tls",
        "",
        "nginx, apache, haproxy, lighttpd, gnutls, nodejs, python, uvicorn, go, openssl, h2load and gRPC",
    ),
    left_out("tls_unseen", "", "nginx, nodejs, python and openssl"),
    left_out("responses", "", "python"),
    left_out("verdicts", "", "python"),
    left_out("image", "", "podman, runc, mmdebstrap and systemd"),
    left_out("toolchain", "", "nothing of a kernel"),
    left_out("metrics", "", "nodejs, promtool and prometheus"),
    left_out("own_state", "", "nodejs"),
    left_out("shares", "", "prometheus"),
    left_out("deploy", "", "promtool, kubectl and python"),
    left_out("page", "", "nodejs and chromium"),
    left_out("terminal", "", "script, tmux, jq and curl"),
    left_out("otlp", "", "nodejs and openssl"),
    left_out("report", "", "nothing of a kernel"),
    left_out(
        "check",
        "",
        "nothing more of a kernel: each agent proves itself",
    ),
    left_out(
        "proof",
        "",
        "nothing more of a kernel: each agent proves itself",
    ),
    left_out("priority", "", "nothing more of a kernel"),
    left_out("faults", "", "time, where a machine is slow"),
    left_out("socket", "", "nothing of a kernel"),
    left_out("place", "", "nothing of a kernel"),
    left_out("web", "", "nothing of a kernel"),
    left_out("crowded", "", "nothing of a kernel"),
    left_out("scope-http-statistics", "", "nothing of a kernel"),
    left_out("scope_http_statistics", "", "nothing of a kernel"),
];

/// Less of what takes longest: a machine is ten to twenty times as slow as the host.
pub const ENVIRONMENT: [(&str, &str); 2] = [("CONVERSATIONS_EACH", "20"), VERIFIER_TABLE];

/// The condition that makes its point only in a lockdown: set in every machine when all that counts has run, since there is
/// no way out of it, and a parameter of the kernels at the ends of the list.
pub const LOCKED_DOWN: (&str, &str) = (
    "without_leave_to_read_the_kernel",
    "lockdown=confidentiality",
);

/// The condition that differs by a setting, and its values beside that of Debian's kernels, 2. There is no way back from the last.
pub const SETTINGS: (&str, [&str; 2]) = (
    "without_any_capability",
    [
        "kernel.unprivileged_bpf_disabled=0",
        "kernel.unprivileged_bpf_disabled=1",
    ],
);

/// What to run, of all that was built.
pub fn programs(executables: &Executables) -> Result<Vec<TestProgram>> {
    for name in executables.tests.keys() {
        let known = LIVE.contains(&&**name)
            || name == CONDITIONS
            || LEFT_OUT
                .iter()
                .any(|l| l.program == name && l.test.is_empty());
        ensure!(
            known,
            "the test program {name} has to be in one of the lists of lab/src/selection.rs"
        );
    }
    LIVE.iter()
        .chain([&CONDITIONS])
        .map(|name| {
            let path = executables.tests.get(*name);
            let path = path.ok_or_else(|| anyhow::anyhow!("there is no test program {name}"))?;
            Ok(TestProgram {
                name: (*name).to_owned(),
                path: path.clone(),
                tests: Tests::AllBut(left_out_of(name)),
                setting: None,
            })
        })
        .collect()
}

fn left_out_of(program: &str) -> Vec<String> {
    let of_program = LEFT_OUT
        .iter()
        .filter(|left_out| left_out.program == program);
    of_program
        .map(|left_out| left_out.test.to_owned())
        .collect()
}

/// The backend that a test is about: in the path of modules, or by the end of its name.
pub fn backend_of<'a>(test: &str, backends: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    backends.into_iter().find(|backend| {
        test.split("::")
            .any(|part| part == *backend || part.strip_prefix("by_") == Some(backend))
    })
}

/// Why a test cannot run on a kernel, if a backend is refused there that it is about.
pub fn obstacle<'a>(test: &str, refusals: &'a BTreeMap<String, Option<String>>) -> Option<&'a str> {
    let backend = backend_of(test, refusals.keys().map(String::as_str))?;
    refusals[backend].as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_of_a_test_stands_in_its_name() {
        let of = |test| backend_of(test, ["sock", "syscall"]);
        assert_eq!(of("sock::every_call_counts"), Some("sock"));
        assert_eq!(of("by_syscall"), Some("syscall"));
        assert_eq!(of("without_btf"), None);
        assert_eq!(of("socket::answers"), None);
    }

    #[test]
    fn what_is_refused_stands_in_the_way_of_its_tests_only() {
        let refusals = BTreeMap::from([
            ("sock".to_owned(), Some("no tracepoint".to_owned())),
            ("syscall".to_owned(), None),
        ]);
        assert_eq!(obstacle("by_sock", &refusals), Some("no tracepoint"));
        assert_eq!(obstacle("by_syscall", &refusals), None);
        assert_eq!(obstacle("without_btf", &refusals), None);
    }

    #[test]
    fn a_new_test_program_has_to_be_in_a_list() {
        let mut executables = Executables::default();
        for name in LIVE.into_iter().chain([CONDITIONS]) {
            executables.tests.insert(name.to_owned(), name.into());
        }
        assert_eq!(programs(&executables).unwrap().len(), LIVE.len() + 1);
        executables
            .tests
            .insert("unheard_of".to_owned(), "path".into());
        let error = programs(&executables).unwrap_err().to_string();
        assert!(error.contains("unheard_of"), "{error}");
    }
}
