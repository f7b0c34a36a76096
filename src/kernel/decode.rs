// SPDX-License-Identifier: Apache-2.0
//! What the programs have, as numbers and bytes, in the words of the model.

use crate::identity::cgroup::Cgroup;
use crate::kernel::skeleton::types;
use crate::model::counters::{Kind, ProcessId};
use crate::model::reason::Reason;
use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
use crate::model::workload::Workload;

/// Those of all groups of CPUs.
pub(super) fn requests(owner: &types::http_owner) -> u64 {
    owner.requests.iter().map(|shard| shard.count).sum()
}

/// What all requests took together.
pub(super) fn sum_ns(series: &types::http_series) -> u64 {
    series.durations.iter().map(|shard| shard.sum).sum()
}

pub(super) fn owner(key: &types::http_series_key) -> ProcessId {
    ProcessId {
        pid: key.pid,
        start_time: key.start_time,
    }
}

/// What a series is of.
pub(super) fn kind(key: &types::http_series_key) -> Kind {
    match key.method {
        types::http_method::HTTP_METHOD_GRPC => Kind::Call(key.status.saturating_sub(1)),
        _ => Kind::Answer(key.into()),
    }
}

impl From<&types::http_series_key> for SeriesKey {
    fn from(key: &types::http_series_key) -> Self {
        Self {
            method: method(key.method).unwrap_or(Method::Other),
            status: key.status,
            version: version(key.version).unwrap_or(Version::Unknown),
            scheme: match key.version.0 & OVER_TLS {
                0 => Scheme::Http,
                _ => Scheme::Https,
            },
        }
    }
}

/// A method of the programs. What they add to theirs has to be added here.
fn method(method: types::http_method) -> Option<Method> {
    use types::http_method;
    match method {
        http_method::HTTP_METHOD_OTHER => Some(Method::Other),
        http_method::HTTP_METHOD_CONNECT => Some(Method::Connect),
        http_method::HTTP_METHOD_DELETE => Some(Method::Delete),
        http_method::HTTP_METHOD_GET => Some(Method::Get),
        http_method::HTTP_METHOD_HEAD => Some(Method::Head),
        http_method::HTTP_METHOD_OPTIONS => Some(Method::Options),
        http_method::HTTP_METHOD_PATCH => Some(Method::Patch),
        http_method::HTTP_METHOD_POST => Some(Method::Post),
        http_method::HTTP_METHOD_PUT => Some(Method::Put),
        http_method::HTTP_METHOD_TRACE => Some(Method::Trace),
        http_method::HTTP_METHOD_UNKNOWN => Some(Method::Unknown),
        _ => None,
    }
}

/// Beside the version, as `src/bpf/http.h` has it.
const OVER_TLS: u8 = 0x80;

fn version(version: types::http_version) -> Option<Version> {
    use types::http_version;
    match http_version(version.0 & !OVER_TLS) {
        http_version::HTTP_VERSION_1_0 => Some(Version::V1_0),
        http_version::HTTP_VERSION_1_1 => Some(Version::V1_1),
        http_version::HTTP_VERSION_2 => Some(Version::V2),
        _ => None,
    }
}

/// A reason as the programs have it.
pub(super) fn in_kernel(reason: Reason) -> types::http_reason {
    use types::http_reason;
    match reason {
        Reason::ProcessesFull => http_reason::HTTP_MISSED_PROCESSES_FULL,
        Reason::SeriesFull => http_reason::HTTP_MISSED_SERIES_FULL,
        Reason::ConnectionsFull => http_reason::HTTP_MISSED_CONNECTIONS_FULL,
        Reason::Unmatched => http_reason::HTTP_MISSED_UNMATCHED,
        Reason::RequestsLost => http_reason::HTTP_MISSED_REQUESTS_LOST,
        Reason::ResponsesLost => http_reason::HTTP_MISSED_RESPONSES_LOST,
        Reason::Unbounded => http_reason::HTTP_MISSED_UNBOUNDED,
        Reason::TooLong => http_reason::HTTP_MISSED_TOO_LONG,
        Reason::Unreadable => http_reason::HTTP_MISSED_UNREADABLE,
        Reason::IoUring => http_reason::HTTP_MISSED_IO_URING,
        Reason::KernelThread => http_reason::HTTP_MISSED_KERNEL_THREAD,
        Reason::Compat => http_reason::HTTP_MISSED_COMPAT,
        Reason::Syscall => http_reason::HTTP_MISSED_SYSCALL,
        Reason::Cancelled => http_reason::HTTP_MISSED_CANCELLED,
        Reason::Reset => http_reason::HTTP_MISSED_RESET,
        Reason::StreamsFull => http_reason::HTTP_MISSED_STREAMS_FULL,
        Reason::JoinedLate => http_reason::HTTP_MISSED_JOINED_LATE,
        Reason::HpackTable => http_reason::HTTP_MISSED_HPACK_TABLE,
        Reason::TlsUnseen => http_reason::HTTP_MISSED_TLS_UNSEEN,
        Reason::TlsCallsFull => http_reason::HTTP_MISSED_TLS_CALLS_FULL,
        Reason::Recursion => http_reason::HTTP_MISSED_RECURSION,
    }
}

/// A name as the kernel keeps it: bytes, ended by a zero.
fn text(name: &[i8]) -> String {
    let bytes: Vec<u8> = name
        .iter()
        .map(|c| c.cast_unsigned())
        .take_while(|c| *c != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the kernel has to say of a workload.
pub(super) fn described(entry: &types::http_workload) -> Workload {
    let identity = &entry.identity;
    let names = identity.cgroup_names.split(|c| *c == 0);
    let names: Vec<_> = names
        .take_while(|name| !name.is_empty())
        .map(text)
        .collect();
    let executable = text(&identity.executable);
    Workload {
        executable: (!executable.is_empty()).then(|| executable.into()),
        cgroup: Cgroup::of(names.iter().map(String::as_str)),
        port: (entry.port as u16 != 0).then_some(entry.port as u16),
    }
}

impl From<&types::http_owner_key> for ProcessId {
    fn from(key: &types::http_owner_key) -> Self {
        Self {
            pid: key.pid as u32,
            start_time: key.start_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What follows the prefix in the names of an enumeration that the programs share with us, in order.
    fn enumerators(prefix: &str) -> impl Iterator<Item = (u8, &str)> {
        let lines = include_str!("../bpf/http.h").lines();
        let names = lines.filter_map(move |line| line.trim_start().strip_prefix(prefix));
        (0..).zip(names.filter_map(|name| name.split(',').next()))
    }

    #[test]
    fn each_method_and_each_version_of_the_programs_has_a_name() {
        let mut methods = 0;
        for (code, name) in enumerators("HTTP_METHOD_") {
            let expected = match name {
                "OTHER" => Some("_OTHER"),
                "UNKNOWN" => Some("unknown"),
                "GRPC" => None,
                method => Some(method),
            };
            assert_eq!(method(types::http_method(code)).map(Method::name), expected);
            methods += 1;
        }
        assert_eq!(method(types::http_method(methods)), None);
        let mut versions = 0;
        for (code, name) in enumerators("HTTP_VERSION_") {
            for (flags, scheme) in [(0, Scheme::Http), (OVER_TLS, Scheme::Https)] {
                let key = types::http_series_key {
                    version: types::http_version(code | flags),
                    ..Default::default()
                };
                let key = SeriesKey::from(&key);
                assert_eq!(
                    (key.version.name(), key.scheme),
                    (&*name.replace('_', "."), scheme)
                );
            }
            versions += 1;
        }
        let header = include_str!("../bpf/http.h");
        assert!(header.contains(&format!("#define HTTP_OVER_TLS {OVER_TLS:#x} ")));
        assert_eq!(version(types::http_version(versions)), None);
    }

    #[test]
    fn each_reason_of_the_programs_is_one_of_ours() {
        let known: BTreeSet<_> = Reason::ALL
            .iter()
            .map(|reason| in_kernel(*reason).0)
            .collect();
        let all = 0..types::http_reason::HTTP_REASONS.0;
        assert_eq!(known, all.collect());
    }
}
