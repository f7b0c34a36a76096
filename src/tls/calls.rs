// SPDX-License-Identifier: Apache-2.0
//! Calls that the programs have noted (`src/bpf/tls/calls.bpf.h`), of which those of threads that have ended never return.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use libbpf_rs::{ErrorKind, MapCore, MapFlags};
use memmap2::{MmapOptions, MmapRaw};

use crate::kernel::tls_skeleton::types;

/// How many of the calls each share holds.
pub struct Callers {
    mapped: MmapRaw,
    /// The last is that of all together.
    last: usize,
}

impl Callers {
    pub fn of(map: &impl MapCore) -> io::Result<Self> {
        let entries = map.max_entries() as usize;
        Ok(Self {
            mapped: MmapOptions::new()
                .len(entries * size_of::<u64>())
                .map_raw(map.as_fd().as_raw_fd())?,
            last: entries - 1,
        })
    }

    fn held(&self, share: usize) -> &AtomicU64 {
        // SAFETY: it lies within what is mapped as long as `self` lives, and all who write to it do so atomically.
        unsafe {
            &*self
                .mapped
                .as_ptr()
                .cast::<AtomicU64>()
                .add(share.min(self.last))
        }
    }

    /// A goroutine goes from thread to thread, so that its call is over when its process is.
    pub fn forget_ended(&self, calls: &impl MapCore) -> Result<()> {
        let mut processes = HashMap::new();
        let keys: Vec<_> = calls.keys().collect();
        for key in keys {
            // One that has returned meanwhile is not there any more.
            let Some(call) = calls.lookup(&key, MapFlags::ANY)? else {
                continue;
            };
            let process = number(&key, offset_of!(types::tls_call_key, tgid)) as u32;
            let is_of_go = number(&key, offset_of!(types::tls_call_key, goroutine)) != 0;
            let thread = half(&call, offset_of!(types::tls_call, thread));
            let share = half(&call, offset_of!(types::tls_call, share)) as usize;
            let threads = processes
                .entry(process)
                .or_insert_with(|| threads_of(process));
            let has_ended = threads.as_ref().is_some_and(|threads| match is_of_go {
                true => threads.is_empty(),
                false => !threads.contains(&thread),
            });
            if !has_ended {
                continue;
            }
            match calls.delete(&key) {
                Ok(()) => {
                    for share in [share, self.last] {
                        self.held(share).fetch_sub(1, Ordering::Relaxed);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn half(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
    u32::from_ne_bytes(bytes.unwrap_or_default())
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|it| it.try_into().ok());
    u64::from_ne_bytes(bytes.unwrap_or_default())
}

/// Of a process that has ended: none. Nothing, where that cannot be told.
fn threads_of(process: u32) -> Option<HashSet<u32>> {
    let tasks = match fs::read_dir(format!("/proc/{process}/task")) {
        Ok(tasks) => tasks,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(HashSet::new()),
        Err(_) => return None,
    };
    let mut threads = HashSet::new();
    for task in tasks {
        threads.insert(task.ok()?.file_name().to_str()?.parse().ok()?);
    }
    Some(threads)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;
    use crate::tls::attach::{Attached, Programs, Way};
    use crate::tls::elf::Elf;
    use crate::tls::library::plan;

    /// Begins a read and ends it.
    const READS: &str = "
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
stream = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
try:
    stream.read()
except ssl.SSLError:
    pass
";

    fn python(script: &str) -> String {
        let output = Command::new("/usr/bin/python3")
            .args(["-c", script])
            .output();
        let output = output.expect("the package python3 is not installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn attached() -> (Programs, Attached) {
        let find = "import _ssl; [print(it.split()[-1]) for it in open('/proc/self/maps') if 'libssl' in it and 'r-xp' in it]";
        let file = File::open(python(find).trim()).unwrap();
        let plan = plan(&Elf::open(&file).unwrap()).unwrap().unwrap();
        let programs = Programs::alone(Way::of_this_kernel().unwrap()).unwrap();
        let attached = programs.attach(&file, &plan).unwrap();
        (programs, attached)
    }

    fn key(process: u32, goroutine: u64, sp: u64) -> Vec<u8> {
        let numbers = [u64::from(process), goroutine, sp];
        numbers.iter().flat_map(|it| it.to_ne_bytes()).collect()
    }

    fn call(thread: u32, size: usize) -> Vec<u8> {
        let mut call = thread.to_ne_bytes().to_vec();
        call.resize(size, 0);
        call
    }

    fn misses(missed: &impl MapCore) -> u64 {
        let reason = types::http_reason::HTTP_MISSED_TLS_CALLS_FULL.0;
        let all = missed.lookup_percpu(&reason.to_ne_bytes(), MapFlags::ANY);
        all.unwrap().unwrap().iter().map(|it| number(it, 0)).sum()
    }

    /// No process has it: it is over the limit.
    const NOBODY: u32 = u32::MAX;

    #[test]
    fn calls_that_find_no_room_are_counted_and_those_of_the_dead_make_it() {
        let (programs, _attached) = attached();
        let (calls, missed) = programs.calls_and_missed();
        let misses = || misses(missed);
        let size = calls.value_size() as usize;
        let put = |key: &[u8], thread| calls.update(key, &call(thread, size), MapFlags::ANY);
        python(READS);
        assert_eq!(misses(), 0);
        let (own, dead) = (std::process::id(), NOBODY);
        let (kept, of_go) = (key(own, 0, 1), key(own, 7, 1));
        let ended = key(own, 0, 2);
        put(&kept, own).unwrap();
        put(&of_go, dead).unwrap();
        put(&ended, dead).unwrap();
        // Others on this host may have taken some.
        let room = calls.max_entries().into();
        let filled = (0..room).take_while(|sp| put(&key(dead, 0, *sp), dead).is_ok());
        assert!(filled.count() > 8192);
        python(READS);
        assert!(misses() > 0);
        programs.forget_ended().unwrap();
        let there = |key: &[u8]| calls.lookup(key, MapFlags::ANY).unwrap().is_some();
        assert!(there(&kept) && there(&of_go));
        assert!(!there(&ended) && !there(&key(dead, 0, 0)));
    }

    #[test]
    fn who_begins_calls_and_never_ends_them_leaves_room_for_others() {
        let (programs, _attached) = attached();
        let (_, missed) = programs.calls_and_missed();
        let misses = || misses(missed);
        let callers = programs.callers();
        // Half of all is taken, a sixteenth but one by each.
        callers.held(callers.last).store(8192, Ordering::Relaxed);
        for share in 0..callers.last {
            callers.held(share).store(1023, Ordering::Relaxed);
        }
        python(READS);
        assert_eq!(misses(), 0);
        for share in 0..callers.last {
            callers.held(share).store(1024, Ordering::Relaxed);
        }
        python(READS);
        assert!(misses() > 0);
        // What has returned has given back what it took.
        assert_eq!(callers.held(callers.last).load(Ordering::Relaxed), 8192);
    }
}
