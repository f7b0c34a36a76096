// SPDX-License-Identifier: Apache-2.0
//! The image that the Dockerfile makes, run as `deploy/README.md` says, counts requests. It is made from nothing: a bare
//! system of this host's own suite, the packages that the script installs there, and a runtime image with nothing in it.

mod base;
mod container;
mod documented;
mod engine;
mod finish;
mod host;
mod packages;

use std::fs;
use std::os::unix::net::UnixStream;

use common::agent::{folder, request, socket_in};
use common::load::keep_alive;
use common::process::eventually;
use common::reader::{Reader, Receive};
use common::servers::free_address;
use common::web::{sample, text};
use serde_json::Value;

use container::Container;
use engine::Engine;

common::reader!();

/// As `packaging/image-arguments.sh` has it from a clone.
const SAID: [(&str, &str); 4] = [
    ("VERSION", env!("CARGO_PKG_VERSION")),
    ("REVISION", "0123456789abcdef0123456789abcdef01234567"),
    ("CREATED", "2026-09-21T13:33:20Z"),
    ("REPOSITORY", env!("CARGO_PKG_REPOSITORY")),
];

#[test]
fn the_image_is_built_and_counts_with_the_documented_rights() {
    let engine = Engine::new();
    let plugins = folder();
    let (options, image) = documented::run(plugins.path());
    engine.import(base::archive());
    engine.build(&image, &SAID);

    let address = free_address();
    let listen = ["--listen", &address.to_string(), "--per-process"];
    let mut container = Container::start(&engine, &options, &image, &listen);
    let socket = socket_in(plugins.path());
    container.wait_until(|| UnixStream::connect(&socket).is_ok());
    documented::has_rights(container.agent_pid());
    has_read_only_mounts(container.agent_pid());
    says_what_it_is(&container);

    let server = Reader::tcp(Receive::Read);
    let served = keep_alive(&server.address, 31);
    assert_eq!((served.answers, served.served), (31, 31));
    // Under the pid of this host, so the agent is in its pid namespace.
    let label = format!("process_pid=\"{}\"", server.pid());
    let name = "http_server_requests_total";
    eventually(Some(31.0), || {
        sample(&text(address, "/metrics"), name, &[&label])
    });
    let report = request(&socket, "GET", "/report", &[]);
    assert_eq!(report.status, 200, "{report:?}");
    let report: Value = serde_json::from_slice(&report.body).unwrap();
    let nodes = report["Process"]["nodes"].as_object().unwrap();
    let of_server = format!(";{}", server.pid());
    assert!(nodes.keys().any(|key| key.ends_with(&of_server)));

    // Asked to end, it tidies up on the host's side of the mount.
    drop(container);
    assert_eq!(fs::read_dir(plugins.path()).unwrap().count(), 0);
}

/// Its labels, and the licences of what is in it, which whoever hands it on has to hand on.
fn says_what_it_is(container: &Container) {
    let labels = container.labels();
    for (label, argument) in [
        ("version", "VERSION"),
        ("revision", "REVISION"),
        ("created", "CREATED"),
        ("source", "REPOSITORY"),
    ] {
        let said = SAID.iter().find(|(name, _)| *name == argument).unwrap().1;
        let label = format!("org.opencontainers.image.{label}");
        assert_eq!(labels[&label], said, "{label}: {labels}");
    }
    let licences = "org.opencontainers.image.licenses";
    assert!(labels[licences].as_str().unwrap().contains("GPL-2.0-only"));
    let license = documented::read("LICENSE");
    assert_eq!(container.file("/licenses/LICENSE"), license);
    let others = container.file("/licenses/THIRD-PARTY");
    for library in ["\nlibbpf-sys ", "elfutils/COPYING-LGPLV3", "\ntokio "] {
        assert!(others.contains(library), "{library}");
    }
}

fn has_read_only_mounts(pid: u64) {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    for read_only in ["/", "/sys/kernel/tracing"] {
        let options = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(4);
            (fields.next()? == read_only).then(|| fields.next())?
        });
        let options = options.unwrap_or_else(|| panic!("no {read_only} in {mounts}"));
        assert!(options.starts_with("ro"), "{read_only}: {options}");
    }
}

#[test]
fn all_ways_to_deploy_ask_for_the_same_capabilities() {
    let capabilities = documented::capabilities();
    let daemonset = documented::read("deploy/kubernetes/daemonset.yaml");
    let expected = format!("add: [{}]\n", capabilities.join(", "));
    assert!(daemonset.contains(&expected), "no {expected}");
    for expected in ["drop: [ALL]\n", "readOnlyRootFilesystem: true\n"] {
        assert!(daemonset.contains(expected), "no {expected}");
    }
    let unit = documented::read("deploy/systemd/scope-http-statistics.service");
    let expected = format!("CapabilityBoundingSet=CAP_{}\n", capabilities.join(" CAP_"));
    assert!(unit.contains(&expected), "no {expected}");
}
