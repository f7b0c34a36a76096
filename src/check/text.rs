// SPDX-License-Identifier: Apache-2.0
//! What was found, for a person.

use crate::check::Check;
use crate::check::host::{Host, PluginsRoot, Port, PortState, Tracing};
use crate::identity::namespace::PidNamespace;

pub fn of(check: &Check) -> String {
    let mut text = String::new();
    for (name, value) in facts(&check.host) {
        text += &format!("{name:<20}{value}\n");
    }
    text.push('\n');
    for verdict in &check.backends {
        let works = if verdict.works {
            "works"
        } else {
            "does not work"
        };
        text += &format!("{:<20}{works}: {}\n", verdict.name, verdict.why);
    }
    text + &match check.taken() {
        Some(verdict) => format!(
            "\nThe agent takes {}.\nAfter its start it keeps {}.\n",
            verdict.name,
            kept(&verdict.keeps)
        ),
        None => "\nThe agent cannot count here.\n".to_owned(),
    }
}

fn kept(capabilities: &[String]) -> String {
    if capabilities.is_empty() {
        return "no capability".to_owned();
    }
    capabilities.join(" and ")
}

fn facts(host: &Host) -> [(&'static str, String); 12] {
    let missing = &host.capabilities.missing;
    let open = |known: Option<&str>| known.unwrap_or("unknown").to_owned();
    [
        ("kernel", host.kernel.clone()),
        (
            "BTF",
            if host.btf {
                "there".to_owned()
            } else {
                "/sys/kernel/btf/vmlinux cannot be read".to_owned()
            },
        ),
        (
            "capabilities",
            if missing.is_empty() {
                "those that are needed".to_owned()
            } else {
                format!("{} missing", missing.join(" and "))
            },
        ),
        (
            "seccomp",
            match host.seccomp {
                Some(0) => "none".to_owned(),
                Some(_) => "filters system calls".to_owned(),
                None => open(None),
            },
        ),
        (
            "Landlock",
            host.landlock.map_or_else(
                || "not known to this kernel".to_owned(),
                |version| format!("version {version}"),
            ),
        ),
        (
            "lockdown",
            host.lockdown
                .clone()
                .unwrap_or_else(|| "not known to this kernel".to_owned()),
        ),
        (
            "perf_event_paranoid",
            host.perf_event_paranoid
                .map_or_else(|| open(None), |level| level.to_string()),
        ),
        ("tracefs", tracefs(host.tracefs).to_owned()),
        (
            "pid namespace",
            pid_namespace(host.pid_namespace).to_owned(),
        ),
        (
            "TLS",
            match host.tls_obstacle {
                Some(obstacle) => format!("connections are counted, and not seen into: {obstacle}"),
                None => "seen into, where libraries are known".to_owned(),
            },
        ),
        ("port", port(&host.port)),
        ("plugins root", plugins_root(&host.plugins_root)),
    ]
}

fn tracefs(tracing: Tracing) -> &'static str {
    match tracing {
        Tracing::Readable => "can be read",
        Tracing::Denied => "cannot be read: run as root, or grant CAP_DAC_READ_SEARCH",
        Tracing::Absent => "not there: mount -t tracefs tracefs /sys/kernel/tracing",
        Tracing::Mounted => "not there, but the agent mounts it for itself",
    }
}

fn pid_namespace(namespace: PidNamespace) -> &'static str {
    match namespace {
        PidNamespace::Host => "the host's",
        PidNamespace::Own => {
            "one of its own: the pids shown are the host's, and a process whose end is missed stays listed (--pid=host, hostPID: true)"
        }
        PidNamespace::Unknown => "unknown: /proc is not there",
    }
}

fn port(port: &Port) -> String {
    let Some(address) = &port.address else {
        return "none".to_owned();
    };
    match &port.obstacle {
        None => format!("{address} is free"),
        Some(_) if port.state == PortState::InUse => {
            format!(
                "{address} is in use: an agent waits until it is free; stop who has it, or choose another --listen"
            )
        }
        Some(why) => format!("{address} cannot be had: {why}"),
    }
}

fn plugins_root(root: &PluginsRoot) -> String {
    let path = root.path.display();
    match &root.obstacle {
        Some(why) => format!("{path}: {why}"),
        None if root.agent_runs => format!("{path}, where an agent is running"),
        None => format!("{path} can be written"),
    }
}
