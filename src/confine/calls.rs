// SPDX-License-Identifier: Apache-2.0
//! The system calls that the agent makes after its start, and a filter that lets no other pass. What is refused looks as if the
//! kernel did not have it: that is an error which libraries know how to go on from, and which ends nobody.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use libc::{c_long, c_ulong};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// Whatever their arguments.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Memory.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_mremap, libc::SYS_munmap,
    // Threads, and what they wait for.
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_futex, libc::SYS_membarrier, libc::SYS_restart_syscall, libc::SYS_rseq,
    libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield, libc::SYS_set_robust_list, libc::SYS_set_tid_address,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_eventfd2, libc::SYS_ppoll,
    // Time, chance and what the process is.
    libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_gettimeofday, libc::SYS_nanosleep,
    libc::SYS_capget, libc::SYS_capset, libc::SYS_getegid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getpid,
    libc::SYS_getrandom, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_sysinfo, libc::SYS_uname,
    // Files that are open, and names of files.
    libc::SYS_close, libc::SYS_fchmod, libc::SYS_flock, libc::SYS_fstat, libc::SYS_getdents64, libc::SYS_lseek, libc::SYS_mkdirat, libc::SYS_newfstatat,
    libc::SYS_pread64, libc::SYS_read, libc::SYS_readlinkat, libc::SYS_readv, libc::SYS_statx, libc::SYS_unlinkat,
    libc::SYS_write, libc::SYS_writev,
    // Sockets.
    libc::SYS_accept4, libc::SYS_bind, libc::SYS_connect, libc::SYS_getpeername, libc::SYS_getsockname, libc::SYS_getsockopt,
    libc::SYS_listen, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// Those of them that newer architectures have dropped for others in the list.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_epoll_wait, libc::SYS_lstat, libc::SYS_mkdir, libc::SYS_poll, libc::SYS_readlink, libc::SYS_rmdir,
    libc::SYS_stat, libc::SYS_time, libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Commands of bpf(2) on maps that are open, by `enum bpf_cmd`: `MAP_LOOKUP_ELEM` to `MAP_GET_NEXT_KEY`,
/// `OBJ_GET_INFO_BY_FD`, `MAP_LOOKUP_AND_DELETE_ELEM`, the four of batches, and `ITER_CREATE`.
const BPF_COMMANDS: [u64; 11] = [1, 2, 3, 4, 15, 21, 24, 25, 26, 27, 33];

/// `PERF_EVENT_IOC_DISABLE`: how a program at an event is detached.
const DISABLE: c_ulong = 0x2401;

/// What one argument has to be.
struct Argument {
    index: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
}

const fn is(index: u8, value: u64) -> Argument {
    Argument {
        index,
        length: Dword,
        operator: Eq,
        value,
    }
}

/// None of these bits.
const fn without(index: u8, bits: i32) -> Argument {
    Argument {
        operator: MaskedEq(bits as u64),
        ..is(index, 0)
    }
}

/// Those that pass where one of the arguments is as it says here.
fn conditional() -> Vec<(c_long, Vec<Argument>)> {
    let writes = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    let any_of = |index, values: &[u64]| values.iter().map(|it| is(index, *it)).collect();
    let thread = libc::CLONE_THREAD as u64;
    let all_of_thread = Argument {
        operator: MaskedEq(thread),
        ..is(0, thread)
    };
    let nothing_new = Argument {
        length: Qword,
        ..is(2, 0)
    };
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(|it| it as u64);
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME].map(|it| it as u64);
    let descriptors = [
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    vec![
        (libc::SYS_bpf, any_of(0, &BPF_COMMANDS)),
        // A new thread. That of `clone3` is out of a filter's sight.
        (libc::SYS_clone, vec![all_of_thread]),
        (libc::SYS_fcntl, any_of(1, &descriptors.map(|it| it as u64))),
        (
            libc::SYS_ioctl,
            any_of(1, &[libc::FIONBIO, libc::FIONREAD, DISABLE]),
        ),
        // Whether a process lives.
        (libc::SYS_kill, vec![is(1, 0)]),
        (libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)]),
        (libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)]),
        (libc::SYS_openat, vec![without(2, writes)]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, vec![without(1, writes)]),
        (libc::SYS_prctl, any_of(0, &names)),
        (libc::SYS_prlimit64, vec![nothing_new]),
        (libc::SYS_socket, any_of(0, &families)),
        // Of the agent's own threads: how a program ends that has found itself to be wrong.
        (libc::SYS_tgkill, vec![is(0, std::process::id().into())]),
    ]
}

/// What the process does besides that loads and attaches programs, whatever the arguments.
#[rustfmt::skip]
const TO_ATTACH: &[c_long] = &[
    libc::SYS_bpf, libc::SYS_dup3, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_ioctl, libc::SYS_memfd_create,
    libc::SYS_openat2,
    libc::SYS_perf_event_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
];

/// Glibc asks for addresses of both families at once.
const TO_RESOLVE: &[c_long] = &[libc::SYS_sendmmsg];

/// From now on no thread of the process makes any other system call.
pub fn restrict(asks_for_addresses: bool) -> Result<()> {
    let more = if asks_for_addresses { TO_RESOLVE } else { &[] };
    apply(more)
}

/// The same for the process that attaches programs.
pub fn restrict_to_attach() -> Result<()> {
    apply(TO_ATTACH)
}

fn apply(more: &[c_long]) -> Result<()> {
    let filter = filter(more).context("the filter of system calls is malformed")?;
    apply_filter_all_threads(&filter).context("the kernel takes no filter of system calls")
}

fn filter(more: &[c_long]) -> Result<BpfProgram> {
    let mut rules = BTreeMap::new();
    for call in ALLOWED.iter().chain(ALLOWED_HERE) {
        rules.insert(*call, Vec::new());
    }
    for (call, arguments) in conditional() {
        let each = arguments.into_iter().map(|it| {
            let condition = SeccompCondition::new(it.index, it.length, it.operator, it.value)?;
            SeccompRule::new(vec![condition])
        });
        rules.insert(call, each.collect::<Result<_, _>>()?);
    }
    rules.extend(more.iter().map(|call| (*call, Vec::new())));
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::TcpListener;
    use std::process::Command;
    use std::{io, thread};

    use seccompiler::apply_filter;

    use super::*;

    /// What a thread says behind the filter, which is for that thread alone here.
    fn behind_the_filter<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let filtered = || {
            apply_filter(&filter(&[]).unwrap()).unwrap();
            work()
        };
        thread::spawn(filtered).join().unwrap()
    }

    fn is_refused<T>(outcome: io::Result<T>) -> bool {
        outcome.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSYS))
    }

    #[test]
    fn what_the_agent_does_passes() {
        behind_the_filter(|| {
            fs::read_to_string("/proc/self/statm").unwrap();
            fs::read_link("/proc/self/exe").unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap();
            let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
            fs::create_dir(folder.path().join("new")).unwrap();
            let started = thread::spawn(|| fs::metadata("/proc").is_ok());
            assert!(started.join().unwrap());
            assert!(vec![1_u8; 100 << 20].iter().all(|byte| *byte == 1));
        });
    }

    #[test]
    fn nothing_is_written_run_or_loaded() {
        behind_the_filter(|| {
            assert!(is_refused(File::options().write(true).open("/dev/null")));
            assert!(is_refused(File::create("/tmp/http-stat-never")));
            assert!(is_refused(Command::new("true").spawn()));
            let calls = [
                (libc::SYS_bpf, [5, 0, 0]),
                (libc::SYS_perf_event_open, [0, 0, 0]),
                (libc::SYS_ptrace, [16, 1, 0]),
                (libc::SYS_mount, [0, 0, 0]),
                (libc::SYS_unshare, [0, 0, 0]),
                (libc::SYS_setuid, [0, 0, 0]),
                (libc::SYS_init_module, [0, 0, 0]),
                (libc::SYS_io_uring_setup, [1, 0, 0]),
                (libc::SYS_kill, [1, 15, 0]),
                (libc::SYS_tgkill, [1, 1, 15]),
                (libc::SYS_socket, [libc::AF_PACKET, libc::SOCK_RAW, 0]),
                (libc::SYS_mprotect, [0, 4096, libc::PROT_EXEC]),
                (libc::SYS_clone, [libc::SIGCHLD, 0, 0]),
                (libc::SYS_prctl, [libc::PR_SET_DUMPABLE, 0, 0]),
            ];
            for (call, arguments) in calls {
                let [a, b, c] = arguments.map(c_long::from);
                // SAFETY: refused, each of them; none has an address.
                let returned = unsafe { libc::syscall(call, a, b, c) };
                let error = io::Error::last_os_error().raw_os_error();
                assert_eq!((returned, error), (-1, Some(libc::ENOSYS)), "{call}");
            }
        });
    }
}
