// SPDX-License-Identifier: Apache-2.0
//! The BPF object: chosen, loaded, attached. [`crate::harvest`] reads what it counts.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, OpenObject, PrintLevel, ProgramInput};

use crate::backend::{Backend, Facts};
use crate::privilege::{Privilege, Step};
use crate::snapshot::BOUNDS_US;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks
)]
pub(crate) mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
}
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
    pub(crate) skeleton: skeleton::HttpSkel<'obj>,
    links: Vec<Link>,
    backend: Backend,
    /// Walks the connections that have state, when it is read.
    pub(crate) connections: Link,
    /// How many there were, and when.
    pub(crate) tracked: Cell<Option<(Instant, u64)>>,
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

        let mut skeleton = open.load().context("the kernel refuses the programs")?;
        skeleton
            .progs
            .http_identify
            .test_run(ProgramInput::default())
            .context("the agent cannot tell its own process id")?;
        let (programs, maps) = (&mut skeleton.progs, &skeleton.maps);
        let connections = match backend {
            Backend::Sock => programs
                .http_sock_tracked
                .attach_iter(maps.http_connections.as_fd()),
            Backend::Syscall => programs
                .http_exit_tracked
                .attach_iter(maps.http_inodes.as_fd()),
        };
        Ok(Self {
            connections: connections.context("connections cannot be counted")?,
            tracked: Cell::new(None),
            skeleton,
            links: Vec::new(),
            backend,
        })
    }

    /// Attaches what [`Self::detach`] has detached.
    pub fn attach(&mut self) -> Result<()> {
        for program in self.skeleton.object_mut().progs_mut() {
            let name = program.name().to_string_lossy();
            if program.autoload() && name != "http_identify" && !name.ends_with("_tracked") {
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
}

impl Drop for Bpf<'_> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// The first backend that no fact rules out and that a trial load and attachment accept.
fn choose(options: &Options) -> Result<Backend> {
    let privilege = Privilege::of_this_process()?;
    privilege.check()?;
    let facts = Facts::of_this_kernel();
    let wanted = options
        .backend
        .map_or(Backend::ALL.to_vec(), |backend| vec![backend]);
    let mut reasons = Vec::new();

    log::debug!("{facts:?}, {privilege:?}");
    if !facts.btf {
        bail!(
            "the kernel has no BTF (/sys/kernel/btf/vmlinux): it has to be built with CONFIG_DEBUG_INFO_BTF=y"
        );
    }
    for backend in wanted {
        let trial = match facts.obstacle(backend) {
            Some(obstacle) => Err(anyhow!(obstacle)),
            None => try_out(backend, options, &privilege),
        };
        match trial {
            Ok(()) => {
                let why = match (options.backend, reasons.is_empty()) {
                    (Some(_), _) => "as asked".to_owned(),
                    (None, true) => "the cheapest, and this kernel accepts it".to_owned(),
                    (None, false) => format!("not {}", told(&reasons).join("; not ")),
                };
                log::info!("backend {backend}: {why}");
                return Ok(backend);
            }
            Err(error) => reasons.push((backend, format!("{error:#}"))),
        }
    }
    bail!(
        "no usable backend: {} (-vv shows what the kernel said)",
        told(&reasons).join("; ")
    )
}

/// What speaks against each backend; what speaks against several is told once.
fn told(reasons: &[(Backend, String)]) -> Vec<String> {
    reasons
        .chunk_by(|(_, one), (_, next)| one == next)
        .map(|alike| {
            let names: Vec<_> = alike.iter().map(|(backend, _)| backend.name()).collect();
            format!("{}: {}", names.join(", "), alike[0].1)
        })
        .collect()
}

/// Loads and attaches a backend, and says what forbids it if the kernel refuses.
fn try_out(backend: Backend, options: &Options, privilege: &Privilege) -> Result<()> {
    let explain = |step, error: Error| match privilege.cause(step, &error) {
        Some(cause) => {
            log::debug!("{backend}: {error:#}");
            anyhow!(cause)
        }
        None => error,
    };
    let mut object = MaybeUninit::uninit();
    let mut bpf =
        Bpf::open(&mut object, backend, options).map_err(|error| explain(Step::Load, error))?;
    bpf.attach().map_err(|error| explain(Step::Attach, error))
}
