// SPDX-License-Identifier: Apache-2.0
//! The BPF programs: what each is for, where it runs, and when it is loaded.

use crate::kernel::backend::Backend;
use crate::kernel::facts::Kernel;

/// One program of the BPF object.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// The backend that it belongs to, if not to all.
    pub backend: Option<Backend>,
    pub hook: Hook,
    /// The program that does the same at the other hook: one at the tracepoint, one at its event. Only one of them is loaded.
    pub twin: Option<&'static str>,
    pub notes: Notes,
}

/// Where a program runs, and so how it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Nowhere: user space runs it itself.
    TestRun,
    /// Over the open files of all tasks, when user space reads.
    OpenFiles,
    /// At a tracepoint.
    Tracepoint(&'static str),
    /// At the event of a tracepoint, which tracefs shows below this path.
    Event(&'static str),
    /// At the events of the exits of these system calls. Where they are several, `src/bpf/capture/calls.bpf.h` tells them apart.
    CallExits(&'static [&'static str]),
    /// At the entry of a function of the kernel.
    FunctionEntry(&'static str),
    /// At its exit.
    FunctionExit(&'static str),
    /// At its exit, on kernels that have the function.
    OptionalFunctionExit(&'static str),
}

/// Whether a program leaves its work to those of [`Backend::Sock`], and only notes where the user's buffers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    Never,
    /// Where notes are taken at all; elsewhere it does the work itself.
    WhereTaken,
    /// It does nothing else, and is not loaded where none are taken.
    Only,
}

const fn program(name: &'static str, backend: Option<Backend>, hook: Hook) -> Program {
    Program {
        name,
        backend,
        hook,
        twin: None,
        notes: Notes::Never,
    }
}

impl Program {
    const fn twin(mut self, name: &'static str) -> Self {
        self.twin = Some(name);
        self
    }

    const fn notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }
}

use Hook::{
    CallExits, Event, FunctionEntry, FunctionExit, OpenFiles, OptionalFunctionExit, TestRun,
    Tracepoint,
};

const SOCK: Option<Backend> = Some(Backend::Sock);
const SYSCALL: Option<Backend> = Some(Backend::Syscall);
const FEXIT: Option<Backend> = Some(Backend::Fexit);

/// All of them.
#[rustfmt::skip]
pub const PROGRAMS: [Program; 30] = [
    program("http_identify", None, TestRun),
    program("http_count_connections", None, OpenFiles),
    program("http_process_exit", None, Tracepoint("sched_process_exit")).twin("http_process_exit_event"),
    program("http_process_exit_event", None, Event("sched/sched_process_exit")).twin("http_process_exit"),
    program("http_process_exec", None, Tracepoint("sched_process_exec")).twin("http_process_exec_event"),
    program("http_process_exec_event", None, Event("sched/sched_process_exec")).twin("http_process_exec"),

    program("http_sock_recv", SOCK, Tracepoint("sock_recv_length")).twin("http_sock_recv_event"),
    program("http_sock_recv_event", SOCK, Event("sock/sock_recv_length")).twin("http_sock_recv"),
    program("http_sock_send", SOCK, Tracepoint("sock_send_length")).twin("http_sock_send_event"),
    program("http_sock_send_event", SOCK, Event("sock/sock_send_length")).twin("http_sock_send"),

    program("http_exit_receive", SYSCALL, CallExits(&["read", "readv", "recvfrom", "recvmsg"])),
    program("http_exit_send", SYSCALL, CallExits(&["write", "writev", "sendto", "sendmsg", "sendfile64", "splice"])),
    program("http_exit_splice", SYSCALL, CallExits(&["splice"])),
    program("http_exit_recvmmsg", SYSCALL, CallExits(&["recvmmsg"])),
    program("http_exit_sendmmsg", SYSCALL, CallExits(&["sendmmsg"])),

    program("http_fentry_inet_recv", FEXIT, FunctionEntry("inet_recvmsg")).notes(Notes::Only),
    program("http_fentry_inet_send", FEXIT, FunctionEntry("inet_sendmsg")).notes(Notes::Only),
    program("http_fentry_inet6_recv", FEXIT, FunctionEntry("inet6_recvmsg")).notes(Notes::Only),
    program("http_fentry_inet6_send", FEXIT, FunctionEntry("inet6_sendmsg")).notes(Notes::Only),
    program("http_fentry_unix_recv", FEXIT, FunctionEntry("unix_stream_recvmsg")).notes(Notes::Only),
    program("http_fentry_unix_send", FEXIT, FunctionEntry("unix_stream_sendmsg")).notes(Notes::Only),
    program("http_fexit_inet_recv", FEXIT, FunctionExit("inet_recvmsg")).notes(Notes::WhereTaken),
    program("http_fexit_inet_send", FEXIT, FunctionExit("inet_sendmsg")).notes(Notes::WhereTaken),
    program("http_fexit_inet6_recv", FEXIT, FunctionExit("inet6_recvmsg")).notes(Notes::WhereTaken),
    program("http_fexit_inet6_send", FEXIT, FunctionExit("inet6_sendmsg")).notes(Notes::WhereTaken),
    program("http_fexit_unix_recv", FEXIT, FunctionExit("unix_stream_recvmsg")).notes(Notes::WhereTaken),
    program("http_fexit_unix_send", FEXIT, FunctionExit("unix_stream_sendmsg")).notes(Notes::WhereTaken),
    program("http_fexit_inet_page", FEXIT, OptionalFunctionExit("inet_sendpage")),
    program("http_fexit_unix_page", FEXIT, OptionalFunctionExit("unix_stream_sendpage")),
    program("http_fexit_unix_splice", FEXIT, FunctionExit("unix_stream_splice_read")),
];

/// The program of that name.
pub fn find(name: &str) -> Option<&'static Program> {
    static ALL: [Program; PROGRAMS.len()] = PROGRAMS;
    ALL.iter().find(|program| program.name == name)
}

impl Program {
    /// Whether a backend needs it on this kernel.
    pub fn is_of(&self, backend: Backend, kernel: &Kernel) -> bool {
        let takes_notes = kernel.facts.takes_notes(backend);
        let of_backend = self
            .backend
            .is_none_or(|owner| owner == backend || takes_notes && owner == Backend::Sock);
        let at_event = matches!(self.hook, Event(_));
        let the_other_serves = self.twin.is_some() && at_event != kernel.facts.takes_events();
        let for_nothing = self.notes == Notes::Only && !takes_notes;
        of_backend && !the_other_serves && !for_nothing
    }

    /// The function of the kernel at which it runs, and whether a kernel may lack it.
    pub fn function(&self) -> Option<(&'static str, bool)> {
        match self.hook {
            FunctionEntry(function) | FunctionExit(function) => Some((function, false)),
            OptionalFunctionExit(function) => Some((function, true)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::mem::MaybeUninit;

    use libbpf_rs::skel::{OpenSkel, SkelBuilder};

    use crate::kernel::skeleton::HttpSkelBuilder;

    use super::*;

    /// The section that says the same to the compiler and to libbpf.
    fn section(hook: Hook) -> String {
        match hook {
            TestRun => "raw_tp".to_owned(),
            OpenFiles => "iter/task_file".to_owned(),
            Tracepoint(name) => format!("tp_btf/{name}"),
            Event(path) => format!("tracepoint/{path}"),
            CallExits([call]) => format!("tracepoint/syscalls/sys_exit_{call}"),
            CallExits(_) => "tracepoint".to_owned(),
            FunctionEntry(function) => format!("fentry/{function}"),
            FunctionExit(function) | OptionalFunctionExit(function) => format!("fexit/{function}"),
        }
    }

    #[test]
    fn each_program_of_the_object_is_in_the_table_and_the_reverse() {
        let mut object = MaybeUninit::uninit();
        let open = HttpSkelBuilder::default().open(&mut object).unwrap();
        let in_object: BTreeMap<_, _> = open
            .open_object()
            .progs()
            .map(|program| {
                let text = |name: &std::ffi::OsStr| name.to_str().unwrap().to_owned();
                (text(program.name()), text(program.section()))
            })
            .collect();
        let in_table: BTreeMap<_, _> = PROGRAMS
            .iter()
            .map(|program| (program.name.to_owned(), section(program.hook)))
            .collect();
        assert_eq!(in_table, in_object);
        assert_eq!(in_table.len(), PROGRAMS.len(), "a name stands twice");
    }

    #[test]
    fn each_call_that_shares_a_program_is_told_from_the_others_and_the_reverse() {
        let cases = include_str!("../bpf/capture/calls.bpf.h").lines();
        let told: BTreeSet<_> = cases
            .filter_map(|line| line.trim().strip_prefix("case HTTP_NR_")?.strip_suffix(':'))
            .collect();
        // A program of one call alone knows by itself where the buffers are.
        let shared: BTreeSet<_> = PROGRAMS
            .iter()
            .filter_map(|program| match program.hook {
                CallExits(calls) if calls.len() > 1 => Some(calls),
                _ => None,
            })
            .flatten()
            // The kernel's name, where the one of the number is shorter.
            .map(|call| call.strip_suffix("64").unwrap_or(call))
            .collect();
        assert_eq!(shared, told);
    }

    #[test]
    fn twins_are_each_others_and_run_at_a_tracepoint_and_its_event() {
        for program in PROGRAMS.iter().filter(|program| program.twin.is_some()) {
            let twin = find(program.twin.unwrap()).unwrap();
            assert_eq!(twin.twin, Some(program.name));
            assert_eq!(twin.backend, program.backend);
            match (program.hook, twin.hook) {
                (Tracepoint(name), Event(path)) | (Event(path), Tracepoint(name)) => {
                    assert!(path.ends_with(&format!("/{name}")), "{path}");
                }
                hooks => panic!("{hooks:?}"),
            }
        }
    }
}
