// SPDX-License-Identifier: Apache-2.0
//! The BPF object of one backend: loaded and attached. [`crate::kernel::choice`] says which backend, [`crate::kernel::harvest`] reads what it counts.

use std::cell::RefCell;
use std::ffi::{CStr, OsStr};
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{
    Link, MapCore, MapMut, OpenObject, Program, ProgramInput, ProgramMut, TracepointCategory,
};

use crate::kernel::backend::Backend;
use crate::kernel::connections::{self, Connections, Walk};
use crate::kernel::facts::Kernel;
use crate::kernel::maps::{Access, same};
use crate::kernel::mirror::Mirror;
use crate::kernel::privilege::{Privilege, Step};
use crate::kernel::program_stats;
use crate::kernel::programs::{self, Hook};
use crate::kernel::proof::script::KINDS;
use crate::kernel::proof::{Own, TALKER};
use crate::kernel::shares::Shares;
use crate::kernel::skeleton::{HttpSkel, HttpSkelBuilder, OpenHttpSkel, types};
use crate::kernel::spans::Spans;
use crate::kernel::table::{self, Entry, Table};
use crate::model::buckets::BUCKETS;
use crate::tls::attach::Common;
use crate::tls::helper::{self, Helper};

/// A process or workload seldom shows more kinds of answers: methods times status codes.
const SERIES_PER_OWNER: u32 = 4;
/// Most durations of one kind lie closer together than sixteen times, and not all series that there is room for are needed.
const SPANS_PER_SERIES: u32 = 2;

/// Of connections of HTTP/2, those that have very many streams at the same time.
const MORE_STREAMS_PART: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `None`: the best that this kernel can do.
    pub backend: Option<Backend>,
    pub max_processes: u32,
    pub max_workloads: u32,
    pub max_connections: u32,
    /// Of HTTP/2.
    pub max_h2_connections: u32,
    /// Within TLS; `None`: nothing is to be seen there.
    pub max_tls_connections: Option<u32>,
}

/// By what entries are known to have changed, by place.
#[derive(Default)]
pub(super) struct Seen {
    pub processes: Vec<u64>,
    pub series: Vec<u64>,
}

/// The programs in the kernel and their counters.
pub struct Bpf<'obj> {
    pub(crate) skeleton: HttpSkel<'obj>,
    /// Their maps are the skeleton's.
    pub(super) processes: Table<types::http_process, MapMut<'obj>>,
    pub(super) workloads: Table<types::http_workload, MapMut<'obj>>,
    pub(super) series: Table<types::http_series, MapMut<'obj>>,
    pub(super) spans: Spans<MapMut<'obj>>,
    pub(super) shares: Shares,
    pub(super) mirror: Mirror,
    pub(super) seen: Seen,
    /// By the program that each attaches.
    links: Vec<(&'static str, Link)>,
    backend: Backend,
    /// The kernel skips programs at events while it reads a map.
    pub(crate) access: Access,
    /// Why that one, and what stands in the way of those before it.
    pub(crate) reason: Arc<str>,
    pub(super) connections: Connections,
    pub(crate) program_stats: RefCell<program_stats::Latest>,
    /// What the agent's own requests have counted as.
    pub(super) own: Own,
}

impl<'obj> Bpf<'obj> {
    /// Loads and attaches a backend, and says what forbids it if the kernel refuses.
    pub(crate) fn load(
        object: &'obj mut MaybeUninit<OpenObject>,
        backend: Backend,
        kernel: &Kernel,
        privilege: &Privilege,
        options: &Options,
    ) -> Result<Self> {
        let explain = |step, error: Error| match privilege.cause(step, &error) {
            Some(cause) => {
                log::debug!("{backend}: {error:#}");
                anyhow!(cause)
            }
            None if backend == Backend::Fexit => {
                error.context("it needs trampolines (fentry and fexit programs)")
            }
            None => error,
        };
        if let Some(obstacle) = kernel.facts.obstacle(backend) {
            bail!(obstacle);
        }
        let mut bpf = Self::open(object, backend, kernel, options)
            .map_err(|error| explain(Step::Load, error))?;
        bpf.attach().map_err(|error| explain(Step::Attach, error))?;
        Ok(bpf)
    }

    /// Loads the programs of one backend, and has the agent recognise itself.
    fn open(
        object: &'obj mut MaybeUninit<OpenObject>,
        backend: Backend,
        kernel: &Kernel,
        options: &Options,
    ) -> Result<Self> {
        let open = configured(object, backend, kernel, options)?;
        let skeleton = open.load().context("the kernel refuses the programs")?;
        let maps = &skeleton.maps;
        macro_rules! table {
            ($entries:ident, $at:ident, $free:ident, $used:ident) => {
                Table::of(table::Maps {
                    entries: same(&maps.$entries),
                    at: same(&maps.$at),
                    free: same(&maps.$free),
                    used: same(&maps.$used),
                })?
            };
        }
        let processes: Table<types::http_process, _> = table!(
            http_processes,
            http_processes_at,
            http_processes_free,
            http_processes_used
        );
        let workloads = table!(
            http_workloads,
            http_workloads_at,
            http_workloads_free,
            http_workloads_used
        );
        let series = table!(
            http_series,
            http_series_at,
            http_series_free,
            http_series_used
        );
        let spans = Spans::of(same(&maps.http_spans), same(&maps.http_spans_free))?;
        let shares = Shares::of(&maps.http_shares)?;
        let identified = skeleton
            .progs
            .http_identify
            .test_run(ProgramInput::default())
            .context("the agent cannot tell its own process id")?;
        ensure!(
            identified.return_value == 0,
            "the registers of a system call are not where this kernel was expected to keep them"
        );
        let access = Access {
            at_events: backend == Backend::Syscall || kernel.facts.takes_events(),
        };
        // Nothing else counts yet.
        let own = (processes.used().next()).context("the agent has no place in http_processes")?;
        let in_storage = kernel.facts.keeps_state_in_storage(backend);
        let walks = walks(&skeleton, in_storage).unwrap_or_else(|error| {
            log::warn!("how many connections there are will not be known: {error:#}");
            Vec::new()
        });
        Ok(Self {
            own: Own::new(own, (&processes.entry(own)?.key()).into()),
            connections: Connections::by(walks),
            program_stats: RefCell::default(),
            skeleton,
            processes,
            workloads,
            series,
            spans,
            shares,
            mirror: Mirror::default(),
            seen: Seen::default(),
            links: Vec::new(),
            backend,
            access,
            reason: Arc::default(),
        })
    }

    /// Attaches what [`Self::detach`] has detached.
    pub fn attach(&mut self) -> Result<()> {
        for program in self.skeleton.object_mut().progs_mut() {
            if program.autoload() {
                let known = in_table(program.name())?;
                let links = attach(&program, known.hook)
                    .with_context(|| format!("{} cannot be attached", known.name))?;
                self.links
                    .extend(links.into_iter().map(|link| (known.name, link)));
            }
        }
        Ok(())
    }

    /// Detaches the programs; they stay loaded.
    pub fn detach(&mut self) {
        self.detach_those(|_| true);
    }

    /// Detaches some of them. Each waits for a grace period of the kernel, so they wait together.
    pub fn detach_those(&mut self, named: impl Fn(&str) -> bool) {
        thread::scope(|scope| {
            for (_, link) in self.links.extract_if(.., |(name, _)| named(name)) {
                // Where there is no thread to be had, what it would have done is dropped here, and the link with it.
                if let Err(error) = thread::Builder::new().spawn_scoped(scope, move || drop(link)) {
                    log::debug!("detached a program without a thread: {error}");
                }
            }
        });
    }

    /// Starts who looks into TLS.
    pub fn see_into_tls(&mut self, streams: u32) -> Result<Helper> {
        let constants = self.skeleton.maps.rodata_data.as_ref();
        let constants = constants.context("the BPF object has no constants")?;
        let common = Common {
            room: constants.http_room,
            seed: constants.http_seed,
            talker: constants.http_talker,
            streams,
        };
        let maps: Vec<_> = self.skeleton.object().maps().collect();
        let maps = maps.iter().map(|map| {
            let name = map.name().to_string_lossy().into_owned();
            (name, map.as_fd())
        });
        let maps: Vec<_> = maps.filter(|(name, _)| helper::needs(name)).collect();
        let helper = Helper::start(common, &maps)?;
        self.say_whether_tls_is_seen_into(true);
        Ok(helper)
    }

    /// What the programs do with connections of processes that have been seen into.
    pub fn say_whether_tls_is_seen_into(&mut self, is_seen_into: bool) {
        if let Some(variables) = &mut self.skeleton.maps.bss_data {
            variables.http_sees_into_tls = is_seen_into;
        }
    }

    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// When the agent's process began, as the kernel has it of all processes.
    pub fn began(&self) -> u64 {
        self.own.id.start_time
    }

    /// Whether its programs are at events, which suffer where a reader of maps is preempted.
    pub fn at_events(&self) -> bool {
        self.access.at_events
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// All of the object, also those that are not of this backend: only what [`Program::autoload`](libbpf_rs::ProgramImpl::autoload) says of is loaded.
    pub fn programs(&self) -> impl Iterator<Item = Program<'_>> {
        self.skeleton.object().progs()
    }
}

impl Drop for Bpf<'_> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Attaches a program to wherever it runs by itself.
fn attach(program: &ProgramMut<'_>, hook: Hook) -> Result<Vec<Link>> {
    match hook {
        Hook::TestRun | Hook::OpenFiles => Ok(Vec::new()),
        Hook::CallExits(calls) => calls
            .iter()
            .map(|call| {
                let event = format!("sys_exit_{call}");
                Ok(program.attach_tracepoint(TracepointCategory::Syscalls, event)?)
            })
            .collect(),
        _ => Ok(vec![program.attach()?]),
    }
}

/// How connections are counted, first and from then on.
fn walks(skeleton: &HttpSkel<'_>, in_storage: bool) -> Result<Vec<Walk>> {
    let files = skeleton.progs.http_count_connections.attach()?;
    let mut walks = vec![connections::over_files(files)];
    if in_storage {
        match connections::over_storages(skeleton.maps.http_connections.as_fd()) {
            Ok(walk) => walks.push(walk),
            Err(error) => log::debug!("connections are counted among all open files: {error:#}"),
        }
    }
    Ok(walks)
}

/// What the table says of a program.
fn in_table(name: &OsStr) -> Result<&'static programs::Program> {
    let name = name.to_string_lossy();
    programs::find(&name).with_context(|| format!("{name} is not in the table of programs"))
}

/// Has the kernel's verifier go through the programs of a backend once more and say so much of each (`log_level` of
/// `BPF_PROG_LOAD`), to where [`libbpf_rs::set_print`] leads. They are not kept.
pub fn verify(backend: Backend, options: &Options, log_level: u32) -> Result<()> {
    let kernel = Kernel::running(&Privilege::of_this_process()?)?;
    let mut object = MaybeUninit::uninit();
    let mut open = configured(&mut object, backend, &kernel, options)?;
    for mut program in open.open_object_mut().progs_mut() {
        program.set_log_level(log_level);
    }
    open.load()?;
    Ok(())
}

/// A name as a thread of the kernel has it, in words.
fn words<const WORDS: usize>(name: &CStr) -> [u64; WORDS] {
    let mut bytes = name.to_bytes().iter().copied();
    [(); WORDS].map(|()| {
        let word = [(); size_of::<u64>()].map(|()| bytes.next().unwrap_or(0));
        u64::from_ne_bytes(word)
    })
}

/// The programs, maps and constants of one backend, to be loaded.
fn configured<'obj>(
    object: &'obj mut MaybeUninit<OpenObject>,
    backend: Backend,
    kernel: &Kernel,
    options: &Options,
) -> Result<OpenHttpSkel<'obj>> {
    let mut open = HttpSkelBuilder::default()
        .open(object)
        .context("the BPF object cannot be opened")?;
    let in_storage = kernel.facts.keeps_state_in_storage(backend);
    let takes_notes = kernel.facts.takes_notes(backend);
    for mut program in open.open_object_mut().progs_mut() {
        let known = in_table(program.name())?;
        let mut needed = known.is_of(backend, kernel);
        if needed
            && let Some((function, optional)) = known.function()
            && !kernel.has_function(function)
        {
            ensure!(optional, "{function} is no function of the kernel's BTF");
            needed = false;
        }
        program.set_autoload(needed);
    }
    let maps = &mut open.maps;
    maps.http_connections.set_autocreate(in_storage)?;
    maps.http_inodes.set_autocreate(!in_storage)?;
    maps.http2_connections
        .set_max_entries(options.max_h2_connections)?;
    maps.http2_more
        .set_max_entries((options.max_h2_connections / MORE_STREAMS_PART).max(1))?;
    maps.http_inodes.set_max_entries(options.max_connections)?;
    maps.http_marked_inodes.set_autocreate(!in_storage)?;
    maps.http_marked_inodes
        .set_max_entries(options.max_connections)?;
    maps.http_messages
        .set_autocreate(backend == Backend::Sock || takes_notes)?;
    maps.http_notes.set_autocreate(takes_notes)?;
    // And the agent's own.
    let processes = options.max_processes.saturating_add(1);
    // And one for whatever has no other.
    let workloads = options.max_workloads.saturating_add(2);
    let series = options.max_processes.saturating_add(options.max_workloads);
    let series = series
        .saturating_mul(SERIES_PER_OWNER)
        .saturating_add(KINDS);
    maps.http_processes.set_max_entries(processes)?;
    maps.http_processes_at.set_max_entries(processes)?;
    maps.http_processes_free.set_max_entries(processes)?;
    (maps.http_processes_used).set_max_entries(processes.div_ceil(table::PLACE_BITS))?;
    maps.http_untaken.set_max_entries(processes)?;
    maps.tls_visible.set_max_entries(processes)?;
    // Whole pages, of which there need not be more than one.
    maps.tls_wanted
        .set_max_entries(rustix::param::page_size() as u32)?;
    maps.http_workloads.set_max_entries(workloads)?;
    maps.http_workloads_at.set_max_entries(workloads)?;
    maps.http_workloads_free.set_max_entries(workloads)?;
    (maps.http_workloads_used).set_max_entries(workloads.div_ceil(table::PLACE_BITS))?;
    maps.http_series.set_max_entries(series)?;
    // By kind and by number.
    maps.http_series_at
        .set_max_entries(series.saturating_mul(2))?;
    maps.http_series_free.set_max_entries(series)?;
    (maps.http_series_used).set_max_entries(series.div_ceil(table::PLACE_BITS))?;
    let spans = series.saturating_mul(SPANS_PER_SERIES);
    maps.http_spans.set_max_entries(spans)?;
    maps.http_spans_free.set_max_entries(spans)?;

    let rodata = maps
        .rodata_data
        .as_mut()
        .context("the BPF object has no constants")?;
    rodata.http_bounds_ns = BUCKETS.bounds_ns();
    rodata.http_first_buckets = BUCKETS.first();
    rodata.http_coarse_buckets = BUCKETS.classics();
    rodata.http_room = [processes, workloads, series, spans];
    rodata.http_seed = RandomState::new().hash_one(());
    rodata.http_in_storage = in_storage;
    rodata.http_notes_taken = takes_notes;
    rodata.http_talker = words(TALKER);
    Ok(open)
}
