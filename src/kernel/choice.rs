// SPDX-License-Identifier: Apache-2.0
//! Which backend counts: the one that was asked for, or the first that no fact rules out and that the kernel accepts.

use std::mem::MaybeUninit;
use std::slice;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use libbpf_rs::{OpenObject, PrintLevel};

use crate::kernel::backend::Backend;
use crate::kernel::facts::Kernel;
use crate::kernel::load::{Bpf, Options};
use crate::kernel::privilege::Privilege;
use crate::kernel::proof::{IN_A_HURRY, Proof};

/// Room for each backend that is tried.
pub type Objects = [MaybeUninit<OpenObject>; Backend::ALL.len()];

pub const fn objects() -> Objects {
    [const { MaybeUninit::uninit() }; _]
}

/// Loads and attaches it, and logs which one it is and why.
pub fn load<'obj>(objects: &'obj mut Objects, options: &Options) -> Result<Bpf<'obj>> {
    let mut candidates = Candidates::of_this_host()?;
    let wanted = options
        .backend
        .as_ref()
        .map_or(&Backend::ALL[..], slice::from_ref);
    let mut reasons = Vec::new();
    for (backend, object) in wanted.iter().zip(objects) {
        match candidates.load(*backend, object, options, IN_A_HURRY) {
            Ok((mut bpf, proof)) => {
                let why = if options.backend.is_some() {
                    "as asked".to_owned()
                } else if reasons.is_empty() {
                    "it sees most, and this kernel accepts it".to_owned()
                } else {
                    format!("not {}", told(&reasons).join("; not "))
                };
                log::debug!("{proof}");
                if let Some(shortcoming) = candidates.kernel.facts.shortcoming() {
                    log::warn!("{shortcoming}");
                }
                bpf.reason = why.into();
                return Ok(bpf);
            }
            Err(error) => reasons.push((*backend, format!("{error:#}"))),
        }
    }
    Err(none_usable(&reasons))
}

/// The backends, as far as this host lets them be tried.
pub struct Candidates {
    privilege: Privilege,
    kernel: Kernel,
}

impl Candidates {
    /// Fails where it is known beforehand that none can be loaded.
    pub fn of_this_host() -> Result<Self> {
        log_what_libbpf_says();
        let privilege = Privilege::of_this_process()?;
        privilege.check()?;
        let kernel = Kernel::running(&privilege)?;
        log::debug!("{:?}, {privilege:?}", kernel.facts);
        Ok(Self { privilege, kernel })
    }

    /// Loads and attaches one, and has it prove that it counts.
    pub fn load<'obj>(
        &mut self,
        backend: Backend,
        object: &'obj mut MaybeUninit<OpenObject>,
        options: &Options,
        proof_limit: Duration,
    ) -> Result<(Bpf<'obj>, Proof)> {
        self.kernel.prepare_for(backend);
        let bpf = Bpf::load(object, backend, &self.kernel, &self.privilege, options)?;
        let proof = bpf
            .prove(proof_limit)
            .context("it does not count what is sent")?;
        Ok((bpf, proof))
    }
}

/// Its thousands of messages for debugging are not even formatted unless somebody wants them.
pub(crate) fn log_what_libbpf_says() {
    let most = if log::log_enabled!(target: "libbpf", log::Level::Trace) {
        PrintLevel::Debug
    } else {
        PrintLevel::Info
    };
    libbpf_rs::set_print(Some((most, |level, text| {
        let level = match level {
            PrintLevel::Debug => log::Level::Trace,
            PrintLevel::Info | PrintLevel::Warn => log::Level::Debug,
        };
        log::log!(target: "libbpf", level, "{}", text.trim_end());
    })));
}

fn none_usable(reasons: &[(Backend, String)]) -> Error {
    anyhow!(
        "no usable backend: {} (-vv shows what the kernel said)",
        told(reasons).join("; ")
    )
}

/// What speaks against each backend; what speaks against several is told once.
fn told(reasons: &[(Backend, String)]) -> Vec<String> {
    let mut told: Vec<(String, &str)> = Vec::new();
    for (backend, reason) in reasons {
        match told.iter_mut().find(|(_, known)| known == reason) {
            Some((names, _)) => *names = format!("{names}, {backend}"),
            None => told.push((backend.to_string(), reason)),
        }
    }
    told.iter()
        .map(|(names, reason)| format!("{names}: {reason}"))
        .collect()
}
