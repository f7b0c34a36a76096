// SPDX-License-Identifier: Apache-2.0
//! Who is watching: nobody, the agent by either backend, or what one would do without the agent.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::ValueEnum;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::{self, Objects, objects};
use scope_http_statistics::kernel::load::{Bpf, Options};

use crate::bpftrace::Bpftrace;
use crate::observer::Observer;
use crate::tracepoints::{Programs, Tracepoints};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Variant {
    /// Nothing is attached
    None,
    /// Programs that do nothing, where those of `sock` are
    EmptySock,
    /// The agent, backend `sock`
    Sock,
    /// The agent, backend `fexit`
    Fexit,
    /// Programs that do nothing, where those of `syscall` are
    EmptySyscall,
    /// The agent, backend `syscall`
    Syscall,
    /// A one-liner that counts requests by their first bytes
    Bpftrace,
    /// Enter and exit tracepoints with a hash map for the buffer, requests by their first bytes
    Tracepoints,
    /// The same for the heads of HTTP/2, in the first frames of what is received
    Heads,
}

impl Variant {
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EmptySock => "empty-sock",
            Self::Sock => "sock",
            Self::Fexit => "fexit",
            Self::EmptySyscall => "empty-syscall",
            Self::Syscall => "syscall",
            Self::Bpftrace => "bpftrace",
            Self::Tracepoints => "tracepoints",
            Self::Heads => "heads",
        }
    }

    /// All that know HTTP/1 and that this kernel accepts: many refuse trampolines, and so `fexit`.
    pub fn all() -> Vec<Self> {
        let mut all = Self::value_variants().to_vec();
        all.retain(|variant| *variant != Self::Heads);
        if let Err(error) = load_agent(&mut objects(), Backend::Fexit) {
            eprintln!("without fexit: {error:#}");
            all.retain(|variant| *variant != Self::Fexit);
        }
        all
    }

    /// Of the agent.
    pub fn backend(self) -> Option<Backend> {
        match self {
            Self::Sock => Some(Backend::Sock),
            Self::Fexit => Some(Backend::Fexit),
            Self::Syscall => Some(Backend::Syscall),
            _ => None,
        }
    }

    /// What any program costs there: for a backend, programs that do nothing.
    pub fn empty(self) -> Option<Self> {
        match self {
            Self::Sock | Self::Fexit => Some(Self::EmptySock),
            Self::Syscall => Some(Self::EmptySyscall),
            _ => None,
        }
    }

    /// Loads a new copy, not attached.
    pub fn load<'o>(self, storage: &'o mut Objects) -> Result<Box<dyn Observer + 'o>> {
        Ok(match self {
            Self::None => Box::new(Nobody),
            Self::EmptySock => Box::new(Tracepoints::load(Programs::EmptySock)?),
            Self::Sock => Box::new(Agent::load(storage, Backend::Sock)?),
            Self::Fexit => Box::new(Agent::load(storage, Backend::Fexit)?),
            Self::EmptySyscall => Box::new(Tracepoints::load(Programs::EmptySyscall)?),
            Self::Syscall => Box::new(Agent::load(storage, Backend::Syscall)?),
            Self::Bpftrace => Box::new(Bpftrace::default()),
            Self::Tracepoints => Box::new(Tracepoints::load(Programs::Peer)?),
            Self::Heads => Box::new(Tracepoints::load(Programs::Heads)?),
        })
    }
}

struct Nobody;

impl Observer for Nobody {
    fn attach(&mut self) -> Result<()> {
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        Ok(())
    }

    fn requests(&mut self, _pid: u32) -> Result<Option<u64>> {
        Ok(None)
    }
}

pub fn load_agent(storage: &mut Objects, backend: Backend) -> Result<Bpf<'_>> {
    let options = Options {
        backend: Some(backend),
        max_processes: 1024,
        max_workloads: 1024,
        max_connections: 1024,
        max_h2_connections: 1024,
        max_tls_connections: None,
    };
    let mut bpf =
        choice::load(storage, &options).with_context(|| format!("cannot load {backend:?}"))?;
    bpf.detach();
    Ok(bpf)
}

/// An agent's programs, and what they have counted so far.
struct Agent<'obj> {
    bpf: Bpf<'obj>,
    requests: BTreeMap<u32, u64>,
}

impl<'obj> Agent<'obj> {
    fn load(storage: &'obj mut Objects, backend: Backend) -> Result<Self> {
        Ok(Self {
            bpf: load_agent(storage, backend)?,
            requests: BTreeMap::new(),
        })
    }
}

impl Observer for Agent<'_> {
    fn attach(&mut self) -> Result<()> {
        self.bpf.attach()
    }

    fn detach(&mut self) -> Result<()> {
        self.bpf.detach();
        Ok(())
    }

    fn requests(&mut self, pid: u32) -> Result<Option<u64>> {
        for process in self.bpf.harvest()?.processes {
            *self.requests.entry(process.id.pid).or_default() += process.increment.requests;
        }
        Ok(Some(self.requests.get(&pid).copied().unwrap_or(0)))
    }
}
