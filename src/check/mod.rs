// SPDX-License-Identifier: Apache-2.0
//! Whether an agent would count on this host, and what stands in the way: the subcommand `check`. It tries each backend as an
//! agent would, beside one that may be running.

mod host;
mod text;

use std::time::Duration;

use serde::Serialize;

use crate::cli::Cli;
use crate::confine;
use crate::kernel::backend::Backend;
use crate::kernel::choice::{self, Candidates};
use crate::kernel::load::Options;

pub use host::Host;

/// How long a backend may take to prove itself. Unlike an agent that starts, nobody waits for it to count.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Serialize)]
pub struct Check {
    #[serde(flatten)]
    host: Host,
    backends: Vec<Verdict>,
    /// The backend that an agent takes by itself.
    auto: Option<&'static str>,
}

/// What became of one backend.
#[derive(Debug, Serialize)]
pub struct Verdict {
    name: &'static str,
    works: bool,
    why: String,
    /// The capabilities that an agent keeps after its start with it.
    keeps: Vec<String>,
}

impl Check {
    /// Looks at everything.
    pub fn run(cli: &Cli) -> Self {
        let mut host = Host::look(cli);
        let backends = try_all(&Options {
            backend: None,
            max_workloads: cli.max_workloads,
            max_processes: cli.max_processes,
            max_connections: cli.max_connections,
            max_h2_connections: cli.max_h2_connections,
            max_tls_connections: None,
        });
        host.look_again();
        let auto = backends.iter().find(|verdict| verdict.works);
        Self {
            host,
            auto: auto.map(|verdict| verdict.name),
            backends,
        }
    }

    pub fn works(&self) -> bool {
        self.auto.is_some()
    }

    fn taken(&self) -> Option<&Verdict> {
        self.backends.iter().find(|verdict| verdict.works)
    }

    /// For a person.
    pub fn text(&self) -> String {
        text::of(self)
    }
}

fn kept(at_events: bool) -> Vec<String> {
    confine::names_kept_by_sampling(at_events).unwrap_or_else(|error| {
        log::warn!("what an agent keeps is not known: {error:#}");
        Vec::new()
    })
}

/// One after the other; each is gone when the next one comes.
fn try_all(options: &Options) -> Vec<Verdict> {
    let mut candidates = Candidates::of_this_host();
    let mut objects = choice::objects();
    let backends = Backend::ALL.into_iter().zip(&mut objects);
    let verdicts = backends.map(|(backend, object)| {
        let outcome = match &mut candidates {
            Ok(candidates) => candidates
                .load(backend, object, options, PATIENCE)
                .map(|(bpf, proof)| (proof.to_string(), kept(bpf.at_events())))
                .map_err(|error| format!("{error:#}")),
            Err(error) => Err(format!("{error:#}")),
        };
        let works = outcome.is_ok();
        let (why, keeps) = outcome.unwrap_or_else(|why| (why, Vec::new()));
        Verdict {
            name: backend.name(),
            works,
            why,
            keeps,
        }
    });
    verdicts.collect()
}
