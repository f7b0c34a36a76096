// SPDX-License-Identifier: Apache-2.0
//! The BPF object: chosen, loaded, attached, harvested.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{ErrorKind, Link, MapCore, MapFlags, OpenObject, PrintLevel, ProgramInput};
use plain::Plain;
use rustix::thread::{CapabilitySet, capabilities};

use crate::backend::{Backend, Facts};
use crate::costs::{self, Cost};
use crate::snapshot::{
    BOUNDS_US, Harvest, Histogram, KernelState, MapFill, ProcessCounters, ProcessId, SeriesKey,
};

use self::skeleton::types;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks
)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
}

// SAFETY: `#[repr(C)]`, integers only, no padding: every bit pattern is a value.
unsafe impl Plain for types::http_process_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_process {}
// SAFETY: as above.
unsafe impl Plain for types::http_missed {}
// SAFETY: as above.
unsafe impl Plain for types::http_series_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_series {}

/// Those that the kernel side tells apart.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// A process seldom shows more kinds of answers: methods times status codes.
const SERIES_PER_PROCESS: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `None`: the best that this kernel can do.
    pub backend: Option<Backend>,
    pub max_processes: u32,
    pub max_connections: u32,
}

/// The programs in the kernel and their counters.
pub struct Bpf<'obj> {
    skeleton: skeleton::HttpSkel<'obj>,
    links: Vec<Link>,
    backend: Backend,
}

impl<'obj> Bpf<'obj> {
    /// Loads and attaches the first backend that this kernel accepts.
    pub fn load(object: &'obj mut MaybeUninit<OpenObject>, options: &Options) -> Result<Self> {
        libbpf_rs::set_print(Some((PrintLevel::Debug, |level, text| {
            let level = match level {
                PrintLevel::Debug => log::Level::Trace,
                PrintLevel::Info | PrintLevel::Warn => log::Level::Debug,
            };
            log::log!(target: "libbpf", level, "{}", text.trim_end());
        })));
        check_privilege()?;
        let backend = choose(options)?;
        let mut bpf = Self::open(object, backend, options)?;
        bpf.attach()?;
        Ok(bpf)
    }

    /// Loads the programs of one backend, and has the agent recognise itself.
    fn open(
        object: &'obj mut MaybeUninit<OpenObject>,
        backend: Backend,
        options: &Options,
    ) -> Result<Self> {
        let mut open = skeleton::HttpSkelBuilder::default()
            .open(object)
            .context("the BPF object cannot be opened")?;
        for mut program in open.open_object_mut().progs_mut() {
            let name = program.name().to_string_lossy();
            let wanted = match backend {
                Backend::Sock => !name.starts_with("http_exit_"),
                Backend::Syscall => !name.starts_with("http_sock_"),
            };
            program.set_autoload(wanted);
        }
        let maps = &mut open.maps;
        maps.http_connections
            .set_autocreate(backend == Backend::Sock)?;
        maps.http_strangers
            .set_autocreate(backend == Backend::Sock)?;
        maps.http_messages
            .set_autocreate(backend == Backend::Sock)?;
        maps.http_inodes
            .set_autocreate(backend == Backend::Syscall)?;
        maps.http_inodes.set_max_entries(options.max_connections)?;
        maps.http_stranger_inodes
            .set_autocreate(backend == Backend::Syscall)?;
        maps.http_stranger_inodes
            .set_max_entries(options.max_connections)?;
        maps.http_processes.set_max_entries(options.max_processes)?;
        maps.http_series
            .set_max_entries(options.max_processes.saturating_mul(SERIES_PER_PROCESS))?;

        let rodata = maps
            .rodata_data
            .as_mut()
            .context("the BPF object has no constants")?;
        rodata.http_bounds_ns = BOUNDS_US.map(|bound| bound * 1000);

        let skeleton = open.load().context("the kernel refuses the programs")?;
        skeleton
            .progs
            .http_identify
            .test_run(ProgramInput::default())
            .context("the agent cannot tell its own process id")?;
        Ok(Self {
            skeleton,
            links: Vec::new(),
            backend,
        })
    }

    /// Attaches what [`Self::detach`] has detached.
    pub fn attach(&mut self) -> Result<()> {
        for program in self.skeleton.object_mut().progs_mut() {
            if program.autoload() && program.name() != "http_identify" {
                let link = program.attach().with_context(|| {
                    format!("{} cannot be attached", program.name().to_string_lossy())
                })?;
                self.links.push(link);
            }
        }
        Ok(())
    }

    /// Detaches the programs; they stay loaded. Each waits for a grace period of the kernel, so they wait together.
    pub fn detach(&mut self) {
        std::thread::scope(|scope| {
            for link in self.links.drain(..) {
                scope.spawn(move || drop(link));
            }
        });
    }

    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Reads all counters.
    pub fn harvest(&self) -> Result<Harvest> {
        let start = Instant::now();
        let maps = &self.skeleton.maps;
        let mut processes = BTreeMap::new();
        let mut series = 0;
        // Processes come first: the series of one that is found to have exited are complete.
        for (key, value) in entries(&maps.http_processes)? {
            let process: types::http_process = read(&value)?;
            let id = read::<types::http_process_key>(&key)?.into();
            let counters = ProcessCounters {
                id,
                comm: name(&process.comm),
                requests: process.requests.iter().map(|shard| shard.count).sum(),
                series: BTreeMap::new(),
                exited: process.exited != 0,
            };
            processes.insert(id, counters);
        }
        for (key, value) in entries(&maps.http_series)? {
            series += 1;
            let key: types::http_series_key = read(&key)?;
            let value: types::http_series = read(&value)?;
            // One whose process has come into being meanwhile has to wait for the next harvest.
            if let Some(process) = processes.get_mut(&owner(&key)) {
                let mut total = Histogram::default();
                for durations in &value.durations {
                    total += &Histogram {
                        sum_ns: durations.sum,
                        buckets: durations.buckets,
                    };
                }
                process.series.insert((&key).into(), total);
            }
        }
        let per_cpu = maps
            .http_missed
            .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .context("the missed counters cannot be read")?
            .unwrap_or_default();
        let per_cpu = per_cpu
            .iter()
            .map(|cpu| read(cpu))
            .collect::<Result<Vec<_>>>()?;
        let kernel = KernelState {
            backend: self.backend.name(),
            maps: vec![
                fill("http_processes", &maps.http_processes, processes.len()),
                fill("http_series", &maps.http_series, series),
            ],
            costs: self.costs()?,
            harvest: start.elapsed(),
        };
        Ok(Harvest {
            processes: processes.into_values().collect(),
            missed: missed(&per_cpu),
            kernel,
        })
    }

    /// What each attached program has cost so far.
    fn costs(&self) -> Result<Vec<(String, Cost)>> {
        let programs = self.skeleton.object().progs();
        programs
            .filter(libbpf_rs::ProgramImpl::autoload)
            .map(|program| {
                let name = program.name().to_string_lossy().into_owned();
                Ok((name, costs::of(program.as_fd())?))
            })
            .collect()
    }

    /// Deletes the entries of processes that are gone.
    pub fn forget(&self, ids: &[ProcessId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let maps = &self.skeleton.maps;
        for (key, _) in entries(&maps.http_series)? {
            if ids.contains(&owner(&read(&key)?)) {
                delete(&maps.http_series, &key)?;
            }
        }
        for id in ids {
            let key = types::http_process_key {
                start_time: id.start_time,
                pid: id.pid.into(),
            };
            // SAFETY: `Plain` above says that the key has no padding.
            delete(&maps.http_processes, unsafe { plain::as_bytes(&key) })?;
        }
        Ok(())
    }
}

/// All entries of a map, keys and values. In one batch: the iterator takes a batch that is not full for the last one, but
/// the kernel ends one early where the next bucket does not fit.
fn entries(map: &impl MapCore) -> Result<impl Iterator<Item = (Vec<u8>, Vec<u8>)>> {
    map.lookup_batch(map.max_entries(), MapFlags::ANY, MapFlags::ANY)
        .with_context(|| format!("{} cannot be read", map.name().to_string_lossy()))
}

fn fill(name: &'static str, map: &impl MapCore, entries: usize) -> MapFill {
    MapFill {
        name,
        entries,
        capacity: map.max_entries(),
    }
}

fn delete(map: &impl MapCore, key: &[u8]) -> Result<()> {
    match map.delete(key) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))
        }
        _ => Ok(()),
    }
}

fn owner(key: &types::http_series_key) -> ProcessId {
    ProcessId {
        pid: key.pid,
        start_time: key.start_time,
    }
}

impl From<&types::http_series_key> for SeriesKey {
    fn from(key: &types::http_series_key) -> Self {
        let text = key.method.to_le_bytes();
        let method = METHODS
            .into_iter()
            .find(|method| text.starts_with(method.as_bytes()));
        Self {
            method: method.unwrap_or("_OTHER"),
            status: key.status,
            version: if key.minor == 0 { "1.0" } else { "1.1" },
        }
    }
}

/// Names every field of the kernel's struct, and does not compile when one is left out.
macro_rules! missed {
    ($($reason:ident),* $(,)?) => {
        /// What was missed on all CPUs, by reason.
        fn missed(per_cpu: &[types::http_missed]) -> Vec<(&'static str, u64)> {
            let mut total = types::http_missed::default();
            for types::http_missed { $($reason),* } in per_cpu {
                $(total.$reason += $reason;)*
            }
            vec![$((stringify!($reason), total.$reason)),*]
        }
    };
}

missed!(
    processes_full,
    series_full,
    connections_full,
    unmatched,
    requests_lost,
    responses_lost,
    unreadable,
    io_uring,
    kernel_thread,
    compat,
    syscall,
);

impl Drop for Bpf<'_> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Says first what is wanting, instead of letting a system call fail with EPERM.
fn check_privilege() -> Result<()> {
    let effective = capabilities(None)
        .context("the capabilities cannot be read")?
        .effective;
    if effective.contains(CapabilitySet::SYS_ADMIN)
        || effective.contains(CapabilitySet::BPF | CapabilitySet::PERFMON)
    {
        return Ok(());
    }
    bail!("not enough privilege: run as root, or grant CAP_BPF and CAP_PERFMON")
}

/// The first backend that no fact rules out and that a trial load and attachment accept.
fn choose(options: &Options) -> Result<Backend> {
    let facts = Facts::of_this_kernel();
    let wanted = options
        .backend
        .map_or(Backend::ALL.to_vec(), |backend| vec![backend]);
    let mut reasons = Vec::new();

    log::debug!("{facts:?}");
    if !facts.btf {
        bail!(
            "the kernel has no BTF (/sys/kernel/btf/vmlinux): it has to be built with CONFIG_DEBUG_INFO_BTF=y"
        );
    }
    for backend in wanted {
        let trial = match facts.obstacle(backend) {
            Some(obstacle) => Err(anyhow!(obstacle)),
            None => Bpf::open(&mut MaybeUninit::uninit(), backend, options)
                .and_then(|mut bpf| bpf.attach()),
        };
        match trial {
            Ok(()) => {
                let why = match (options.backend, reasons.is_empty()) {
                    (Some(_), _) => "as asked".to_owned(),
                    (None, true) => "the cheapest, and this kernel accepts it".to_owned(),
                    (None, false) => format!("not {}", reasons.join("; not ")),
                };
                log::info!("backend {backend}: {why}");
                return Ok(backend);
            }
            Err(error) => reasons.push(format!("{backend}: {error:#}")),
        }
    }
    bail!(
        "no usable backend: {} (-vv shows what the kernel said)",
        reasons.join("; ")
    )
}

fn read<T: Plain + Copy>(bytes: &[u8]) -> Result<T> {
    plain::from_bytes(bytes)
        .copied()
        .map_err(|error| anyhow!("a map entry is malformed: {error:?}"))
}

/// A name as the kernel keeps it: bytes, ended by a zero.
fn name(comm: &[i8]) -> String {
    let bytes: Vec<u8> = comm
        .iter()
        .map(|c| c.cast_unsigned())
        .take_while(|c| *c != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<types::http_process_key> for ProcessId {
    fn from(key: types::http_process_key) -> Self {
        Self {
            pid: key.pid as u32,
            start_time: key.start_time,
        }
    }
}
