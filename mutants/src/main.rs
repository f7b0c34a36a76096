// SPDX-License-Identifier: Apache-2.0
//! Puts small faults into the C of the protocols, one at a time, and says which of them no test of `fuzz/` notices. Names of
//! files restrict it to these; `--all` tries the known ones again; with `--quick` the random conversations are few.

mod known;
mod mutant;
mod rules;
mod shim;
mod suite;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use known::Known;
use lexopt::Arg::{Long, Value};
use mutant::Mutant;
use shim::Shim;
use suite::{Effort, Outcome, Suite};

/// The files in `src/bpf/` that run on the host as they do in the kernel.
const FILES: [&str; 19] = [
    "protocol/cursor.h",
    "protocol/exchange.h",
    "protocol/http1/text.h",
    "protocol/http1/framing.h",
    "protocol/http1/pairing.h",
    "protocol/http1/fast.h",
    "protocol/http2/tokens.h",
    "protocol/http2/detect.h",
    "protocol/http2/state.h",
    "protocol/http2/slots.h",
    "protocol/http2/hpack.h",
    "protocol/http2/frames.h",
    "protocol/http2/streams.h",
    "protocol/http2/requests.h",
    "protocol/http2/responses.h",
    "connection/http1.bpf.h",
    "connection/http1_spill.bpf.h",
    "connection/http1_walk.bpf.h",
    "connection/transfer.bpf.h",
];

/// A mutant with the file that it is of.
struct Place {
    file: &'static str,
    path: PathBuf,
    source: Arc<str>,
    mutant: Mutant,
}

impl Place {
    /// As `known.txt` has it.
    fn entry(&self) -> String {
        format!("{} {}", self.file, self.mutant.name())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, mutant, .. } = self;
        let (line, before, entry) = (mutant.line, &mutant.before, self.entry());
        write!(f, "src/bpf/{file}:{line}: {before}\n{entry}")
    }
}

struct Asked {
    files: Vec<String>,
    all: bool,
    quick: bool,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run(&asked)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked> {
    let mut asked = Asked {
        files: Vec::new(),
        all: false,
        quick: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("all") => asked.all = true,
            Long("quick") => asked.quick = true,
            Value(name) => asked.files.push(name.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(asked)
}

/// Whether every fault is noticed, or known, and every known one still there.
fn run(asked: &Asked) -> Result<bool> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = package.parent().context("no workspace")?;
    let target = project.join("target/mutants");
    let tree = target.join("tree");
    shim::copy(project, &tree)?;
    let known = Known::parse(&fs::read_to_string(package.join("known.txt"))?);
    let mut places = places(&tree)?;
    let entries: BTreeSet<String> = places.iter().map(Place::entry).collect();
    let outdated = known.outdated(&entries);
    for entry in &outdated {
        println!("known.txt has what is no longer there: {entry}");
    }
    let all = places.len();
    places.retain(|place| {
        let wanted = asked.files.is_empty() || asked.files.iter().any(|it| it == place.file);
        wanted && (asked.all || !known.contains(&place.entry()))
    });
    let sound = Shim::new(&tree, target.join("sound"))?;
    let programs = suite::programs(project, &target, &sound)?;
    let mut suites = Vec::new();
    for effort in [Effort::Quick, Effort::Thorough] {
        if effort == Effort::Quick || !asked.quick {
            suites.push(Suite::new(&tree, &programs, &sound, effort)?);
        }
    }
    let outcomes = outcomes(&target, &suites, &places)?;
    let count = |wanted| outcomes.iter().filter(|&&it| it == wanted).count();
    let survived = count(Outcome::Survived);
    println!(
        "{} mutants: {} noticed, {survived} survived, {} change nothing; {} others left out",
        places.len(),
        count(Outcome::Noticed),
        count(Outcome::NoChange),
        all - places.len(),
    );
    Ok(survived == 0 && outdated.is_empty())
}

fn places(tree: &Path) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for file in FILES {
        let path = tree.join("src/bpf").join(file);
        let source: Arc<str> = fs::read_to_string(&path).with_context(|| file)?.into();
        for mutant in mutant::all(&source).with_context(|| file)? {
            places.push(Place {
                file,
                path: path.clone(),
                source: Arc::clone(&source),
                mutant,
            });
        }
    }
    Ok(places)
}

/// In no order. Each survivor is printed when it is found.
fn outcomes(target: &Path, suites: &[Suite], places: &[Place]) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let work = |folder: PathBuf| -> Result<Vec<Outcome>> {
        let shim = Shim::new(&target.join("tree"), folder)?;
        let mut outcomes = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = places.get(number) else {
                return Ok(outcomes);
            };
            if number.is_multiple_of(100) {
                eprintln!("{number} of {}", places.len());
            }
            let outcome = outcome(place, &shim, suites)?;
            if outcome == Outcome::Survived {
                println!("{place}");
            }
            outcomes.push(outcome);
        }
    };
    thread::scope(|scope| {
        let workers = 0..thread::available_parallelism()?.get();
        let workers = workers.map(|n| {
            let folder = target.join(format!("worker-{n}"));
            scope.spawn(|| work(folder))
        });
        let workers: Vec<_> = workers.collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            let done = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            outcomes.extend(done?);
        }
        Ok(outcomes)
    })
}

/// Those that survive a quick look are looked at thoroughly.
fn outcome(place: &Place, shim: &Shim, suites: &[Suite]) -> Result<Outcome> {
    let mutated = place.mutant.apply(&place.source);
    for suite in suites {
        let outcome = suite.outcome(shim, &place.path, &mutated)?;
        if outcome != Outcome::Survived {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Survived)
}
