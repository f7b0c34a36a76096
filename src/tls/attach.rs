// SPDX-License-Identifier: Apache-2.0
//! The programs within TLS, loaded when the first library is found, and attached to files.

use std::collections::BTreeMap;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, OpenObject, ProgramAttachType, ProgramMut, UprobeMultiOpts, UprobeOpts};
use serde::{Deserialize, Serialize};

use crate::kernel::facts;
use crate::kernel::tls_skeleton::{TlsSkel, TlsSkelBuilder};
use crate::model::buckets::BUCKETS;
use crate::tls::calls::Callers;
use crate::tls::library::{Plan, Probe, Program};
use crate::tls::mappings::opened;

/// Of any process, also of those that come later.
const ANYBODY: i32 = -1;
/// As `src/bpf/tls/instead/kernel/scratch.bpf.h` has it.
const SLOTS: u32 = 4;

/// What these programs have in common with those that count at sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    pub room: [u32; 4],
    pub seed: u64,
    pub talker: [u64; 2],
    /// Streams of TLS whose state is kept.
    pub streams: u32,
}

/// Maps of the programs at sockets that these programs use as well, by name.
pub const SHARED: [&str; 22] = [
    "http2_connections",
    "http2_more",
    "http2_streams",
    "http_claims",
    "http_missed",
    "http_processes",
    "http_processes_at",
    "http_processes_free",
    "http_processes_used",
    "http_series",
    "http_series_at",
    "http_series_free",
    "http_series_used",
    "http_shares",
    "http_spans",
    "http_spans_free",
    "http_spilled",
    "http_untaken",
    "http_workloads",
    "http_workloads_at",
    "http_workloads_free",
    "http_workloads_used",
];
/// In which they note which processes they have run in.
pub const VISIBLE: &str = "tls_visible";

/// What each program has for itself in each slot.
const SCRATCH: [&str; 4] = [
    "http_identities",
    "http_new_series",
    "http_scratches",
    "http_transfers",
];

/// How programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All spots of a file at once (Linux 6.6 and later).
    Multi,
    /// Each by an event of its own.
    Perf,
}

impl Way {
    pub fn of_this_kernel() -> Result<Self> {
        let btf = libbpf_rs::btf::Btf::from_vmlinux()?;
        Ok(
            match facts::has_function(&btf, "bpf_uprobe_multi_link_attach") {
                true => Self::Multi,
                false => Self::Perf,
            },
        )
    }
}

/// Loaded for good.
pub struct Programs {
    skeleton: TlsSkel<'static>,
    callers: Callers,
    way: Way,
}

/// What keeps programs attached to a file. They are detached in the order in which that is right: what notes a call goes first.
pub struct Attached(Vec<Link>);

impl Drop for Attached {
    fn drop(&mut self) {
        while let Some(last) = self.0.pop() {
            drop(last);
        }
    }
}

impl Programs {
    pub fn load(way: Way, common: &Common, shared: &BTreeMap<String, OwnedFd>) -> Result<Self> {
        // There is one of these in the life of a process.
        let object: &'static mut MaybeUninit<OpenObject> =
            Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = TlsSkelBuilder::default()
            .open(object)
            .context("the BPF object cannot be opened")?;
        let slots = SLOTS * u32::try_from(libbpf_rs::num_possible_cpus()?)?;
        for mut map in open.open_object_mut().maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if let Some(shared) = shared.get(&name) {
                map.reuse_fd(shared.as_fd())?;
            } else if SCRATCH.contains(&&*name) {
                let all = map.max_entries().saturating_mul(slots);
                map.set_max_entries(all)?;
            }
        }
        if way == Way::Multi {
            for mut program in open.open_object_mut().progs_mut() {
                program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
            }
        }
        let maps = &mut open.maps;
        maps.tls_streams.set_max_entries(common.streams)?;
        let constants = maps.rodata_data.as_mut();
        let constants = constants.context("the BPF object has no constants")?;
        constants.http_bounds_ns = BUCKETS.bounds_ns();
        constants.http_first_buckets = BUCKETS.first();
        constants.http_coarse_buckets = BUCKETS.classics();
        constants.http_room = common.room;
        constants.http_seed = common.seed;
        constants.http_talker = common.talker;
        let skeleton = open.load().context("the kernel refuses the programs")?;
        let callers = Callers::of(&skeleton.maps.tls_callers)?;
        Ok(Self {
            skeleton,
            callers,
            way,
        })
    }

    /// As they are loaded, with tables of their own: to see what the verifier makes of them.
    pub fn alone(way: Way) -> Result<Self> {
        let common = Common {
            room: [1; 4],
            seed: 0,
            talker: [1; 2],
            streams: 1024,
        };
        Self::load(way, &common, &BTreeMap::new())
    }

    /// Forgets calls of threads that have ended.
    pub fn forget_ended(&self) -> Result<()> {
        let maps = &self.skeleton.maps;
        self.callers.forget_ended(&maps.tls_calls)
    }

    pub fn all(&self) -> impl Iterator<Item = libbpf_rs::Program<'_>> {
        self.skeleton.object().progs()
    }

    #[cfg(test)]
    pub fn calls_and_missed(&self) -> (&impl libbpf_rs::MapCore, &impl libbpf_rs::MapCore) {
        let maps = &self.skeleton.maps;
        (&maps.tls_calls, &maps.http_missed)
    }

    #[cfg(test)]
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// All of it, or nothing.
    pub fn attach(&self, file: &File, plan: &Plan) -> Result<Attached> {
        let path = opened(file);
        let mut attached = Attached(Vec::new());
        for together in plan.probes.chunk_by(|a, b| a.program == b.program) {
            let program = self.program(together[0].program);
            match self.way {
                Way::Multi => attached.0.push(attach_all(program, &path, together)?),
                Way::Perf => {
                    for probe in together {
                        attached.0.push(attach_one(program, &path, probe)?);
                    }
                }
            }
        }
        Ok(attached)
    }

    fn program(&self, program: Program) -> &ProgramMut<'static> {
        let programs = &self.skeleton.progs;
        match program {
            Program::Received => &programs.tls_received,
            Program::Sent => &programs.tls_sent,
            Program::Made => &programs.tls_made,
            Program::Lives => &programs.tls_lives,
            Program::Enter => &programs.tls_enter,
        }
    }
}

fn attach_all(program: &ProgramMut<'_>, path: &str, probes: &[Probe]) -> Result<Link> {
    let options = UprobeMultiOpts {
        offsets: probes.iter().map(|it| it.offset as usize).collect(),
        cookies: probes.iter().map(|it| it.cookie).collect(),
        ..UprobeMultiOpts::default()
    };
    Ok(program.attach_uprobe_multi_with_opts(ANYBODY, path, "", options)?)
}

fn attach_one(program: &ProgramMut<'_>, path: &str, probe: &Probe) -> Result<Link> {
    let options = UprobeOpts {
        cookie: probe.cookie,
        ..UprobeOpts::default()
    };
    let offset = probe.offset as usize;
    Ok(program.attach_uprobe_with_opts(ANYBODY, path, offset, options)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use libbpf_rs::MapCore;

    use crate::tls::elf::Elf;
    use crate::tls::library::plan;

    use super::*;

    /// A process that is about to accept a connection of TLS.
    const ACCEPTS: &str = "
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
";

    #[test]
    fn they_run_in_whichever_way_they_are_attached_and_not_afterwards() {
        let find = "import _ssl; [print(it.split()[-1]) for it in open('/proc/self/maps') if 'libssl' in it and 'r-xp' in it]";
        let python = |script| {
            Command::new("/usr/bin/python3")
                .args(["-c", script])
                .output()
        };
        let found = python(find).expect("the package python3 is not installed");
        let file = File::open(String::from_utf8(found.stdout).unwrap().trim()).unwrap();
        let plan = plan(&Elf::open(&file).unwrap()).unwrap().unwrap();
        for way in [Way::Multi, Way::Perf] {
            let programs = Programs::alone(way).unwrap();
            let processes = || programs.skeleton.maps.tls_visible.keys().count();
            let attached = match programs.attach(&file, &plan) {
                Err(_) if way == Way::Multi && Way::of_this_kernel().unwrap() == Way::Perf => {
                    continue;
                }
                attached => attached.unwrap(),
            };
            assert!(python(ACCEPTS).unwrap().status.success());
            // Others on this host may do the same.
            assert!(processes() >= 1, "{way:?}");
            drop(attached);
            // A child that another test has just forked may hold a copy of the descriptors until it executes a program.
            let runs_no_more = |_| {
                let before = processes();
                assert!(python(ACCEPTS).unwrap().status.success());
                processes() == before
            };
            assert!((0..20).any(runs_no_more), "{way:?}");
        }
    }

    #[test]
    fn slots_are_as_many_as_the_programs_have() {
        let header = include_str!("../bpf/tls/instead/kernel/scratch.bpf.h");
        assert!(header.contains(&format!("TLS_SLOTS = {SLOTS},")));
    }

    #[test]
    fn each_map_is_shared_or_its_own() {
        let mut object = MaybeUninit::uninit();
        let open = TlsSkelBuilder::default().open(&mut object).unwrap();
        let maps = open.open_object().maps();
        let names: BTreeSet<_> = maps
            .map(|it| it.name().to_str().unwrap().to_owned())
            .collect();
        let own = [
            "tls_slots",
            "tls_calls",
            "tls_callers",
            "tls_streams",
            "http2_nothing",
        ];
        let all = SHARED.iter().chain(&SCRATCH).chain(&own).chain(&[VISIBLE]);
        let expected: BTreeSet<_> = all.map(|it| (*it).to_owned()).collect();
        let of_sections =
            |it: &&String| !it.starts_with('.') && !it.contains(".rodata") && !it.contains(".bss");
        assert_eq!(
            names
                .iter()
                .filter(of_sections)
                .cloned()
                .collect::<BTreeSet<_>>(),
            expected
        );
    }
}
