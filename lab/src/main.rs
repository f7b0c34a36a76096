// SPDX-License-Identifier: Apache-2.0
//! Runs the tests on every kernel and writes down what it saw: `cargo run -- 6.1 6.12` for some kernels only, of which nothing is written
//! down. All that are asked for have to run; `--allow-missing 6.1` does without one that is not to be had.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernel_lab::apt::Apt;
use kernel_lab::arch::Arch;
use kernel_lab::asked::{Asked, is_whole};
use kernel_lab::executables::{Executables, build_init};
use kernel_lab::guest::{self, Order, TestProgram, Tests};
use kernel_lab::kernels::{KERNELS, Kernel};
use kernel_lab::machine::{Machine, check_emulator};
use kernel_lab::outcome::Outcome;
use kernel_lab::record::Record;
use kernel_lab::{compatibility, initramfs, selection, verdict, verifier};

/// Where the lab itself runs.
const HOST: &str = std::env::consts::ARCH;
/// Machines at a time.
const MACHINES: usize = 2;
/// For all that one machine does. Four minutes are enough on a quiet host.
const LIMIT: Duration = Duration::from_secs(900);

/// What a machine starts from.
struct Start {
    name: &'static str,
    /// Of its kernel.
    parameters: &'static str,
    /// For the kernels at the ends of the list, or else for those between.
    at_ends: bool,
    initramfs: PathBuf,
}

fn main() -> ExitCode {
    let asked = match Asked::parse(std::env::args_os()) {
        Ok(asked) => asked,
        Err(error) => {
            let names = KERNELS.map(|kernel| kernel.to_string()).join(" ");
            eprintln!("{error:#} (usage: {}, of {names})", Asked::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it should be.
fn run(asked: &Asked) -> Result<bool> {
    let kernels = &asked.kernels;
    let start = Instant::now();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no project")?;
    let folder = project.join("target/kernel-lab");
    fs::create_dir_all(&folder)?;
    let mut architectures: Vec<_> = kernels.iter().map(|kernel| kernel.arch).collect();
    architectures.sort();
    architectures.dedup();
    let mut starts = BTreeMap::new();
    for arch in &architectures {
        check_emulator(*arch)?;
        starts.insert(*arch, pack(project, &folder, *arch)?);
    }
    let apt = Apt::update(&folder.join("apt"), &architectures)?;
    let mut outcomes: Vec<_> = kernels.iter().copied().map(Outcome::of).collect();
    let mut images = BTreeMap::new();
    for (i, kernel) in kernels.iter().enumerate() {
        match fetch(&apt, *kernel) {
            Ok(image) => drop(images.insert(i, image)),
            Err(error) => outcomes[i].skipped = Some(format!("not to be had: {error:#}")),
        }
    }
    println!("{} s  all is built and fetched", start.elapsed().as_secs());
    let outcomes = outcomes.into_iter().map(Mutex::new).collect::<Vec<_>>();
    each_of(boots(kernels, &images, &starts), &|(i, start)| {
        boot(&folder, kernels[i], &images[&i], start, &outcomes[i]);
    });
    let outcomes: Vec<_> = (outcomes.into_iter())
        .map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();

    println!("{}", compatibility::tests(&outcomes));
    let mut failures = asked.missing(&outcomes);
    failures.extend(outcomes.iter().flat_map(verdict::failures));
    for outcome in &outcomes {
        for (program, output) in &outcome.outputs {
            println!("{}: {program} printed:\n{output}", outcome.name());
        }
    }
    for line in asked.left_out(&outcomes) {
        println!("{line}");
    }
    for failure in &failures {
        println!("FAILURE {failure}");
    }
    println!("{} s", start.elapsed().as_secs());
    if is_whole(&outcomes) {
        fs::write(
            project.join("docs/compatibility.md"),
            compatibility::document(&outcomes),
        )?;
        fs::write(
            project.join("docs/verifier.txt"),
            verifier::document(&outcomes),
        )?;
    }
    Ok(failures.is_empty())
}

/// What the machines of an architecture start from: between the ends of the list, all that counts; at them, the hostile conditions
/// too, and once more the lockdown, as a parameter.
fn pack(project: &Path, folder: &Path, arch: Arch) -> Result<Vec<Start>> {
    let named = [&selection::LIVE[..], &[selection::CONDITIONS]].concat();
    let tests = (!arch.target().starts_with(HOST)).then_some(&named[..]);
    let executables = Executables::build(project, arch, tests)?;
    let init = build_init(project, arch)?;
    let programs = selection::programs(&executables)?;
    let (conditions, live): (Vec<_>, Vec<_>) =
        (programs.into_iter()).partition(|program| program.name == selection::CONDITIONS);
    let environment =
        selection::ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let only = |test: &str, setting: Option<&str>| {
        let conditions = conditions.iter().cloned();
        let only = conditions.map(|program| TestProgram {
            tests: Tests::Only(vec![test.to_owned()]),
            setting: setting.map(str::to_owned),
            ..program
        });
        only.collect::<Vec<_>>()
    };
    let (locked_down, lockdown) = selection::LOCKED_DOWN;
    let last = only(locked_down, Some(lockdown));
    let mut order = Order {
        programs: [live.clone(), last.clone()].concat(),
        agent: executables.agent,
        verifier: Some(executables.verifier),
        environment: environment.into(),
    };
    let start = |name, parameters, at_ends, order: &Order| -> Result<Start> {
        let initramfs = folder.join(format!("initramfs-{arch}-{name}"));
        initramfs::write(&initramfs, &init, order, arch)?;
        Ok(Start {
            name,
            parameters,
            at_ends,
            initramfs,
        })
    };
    let between = start("live", "", false, &order)?;
    let (test, settings) = selection::SETTINGS;
    let set = settings.map(|setting| only(test, Some(setting))).concat();
    order.programs = [live, conditions.clone(), set, last].concat();
    let at_ends = start("all", "", true, &order)?;
    order.verifier = None;
    order.programs = only(locked_down, None);
    let booted_locked_down = start(lockdown, lockdown, true, &order)?;
    Ok(vec![between, at_ends, booted_locked_down])
}

/// What is to be booted: kernels, by number, and what each starts from; what takes longest comes first, so that no machine
/// is still at work long after the others.
fn boots<'a>(
    kernels: &[Kernel],
    images: &BTreeMap<usize, PathBuf>,
    starts: &'a BTreeMap<Arch, Vec<Start>>,
) -> Vec<(usize, &'a Start)> {
    let mut boots = Vec::new();
    for i in images.keys() {
        let wanted = |start: &&Start| start.at_ends == kernels[*i].is_at_an_end();
        let starts = starts[&kernels[*i].arch].iter().filter(wanted);
        boots.extend(starts.enumerate().map(|(place, start)| (place, *i, start)));
    }
    // The ends have most to do, and the last of the list, of another architecture, are the slowest.
    boots.sort_by_key(|(place, i, start)| (*place, !start.at_ends, Reverse(*i)));
    boots.into_iter().map(|(_, i, start)| (i, start)).collect()
}

fn fetch(apt: &Apt, kernel: Kernel) -> Result<PathBuf> {
    let package = kernel
        .package(apt.names())
        .context("no suite has a package of it")?;
    apt.image(package, kernel.arch)
}

fn boot(folder: &Path, kernel: Kernel, image: &Path, start: &Start, outcome: &Mutex<Outcome>) {
    let outcome = || outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let console = folder.join(format!("{kernel}-{}.log", start.name));
    let backends = format!("{}={}", guest::BACKENDS, kernel.backends.join(","));
    let machine = Machine {
        arch: kernel.arch,
        kernel: image,
        initramfs: &start.initramfs,
        parameters: &format!("{} {backends}", start.parameters),
        console: &console,
    };
    let ended = machine.run(LIMIT, |record| {
        let record = match start.parameters {
            "" => record,
            parameters => record.under(&format!("booted with {parameters}")),
        };
        if let Some(progress) = progress(&record) {
            println!("{kernel} {:>4} s  {progress}", begun.elapsed().as_secs());
        }
        outcome().absorb(record);
    });
    if let Err(error) = ended {
        let last_words = machine.last_words(40).unwrap_or_default();
        let console = console.display();
        outcome().broken.push(format!(
            "{error:#}; its console ({console}) ends with\n{last_words}"
        ));
    }
}

/// What is worth a line while one waits.
fn progress(record: &Record) -> Option<String> {
    match record {
        Record::Release(release) => Some(format!("is Linux {release}")),
        Record::Choice(words) => Some(format!("auto: {words}")),
        Record::Test {
            program,
            test,
            result,
        } => Some(format!("{program} {test}: {result:?}")),
        _ => None,
    }
}

/// Does the work for each, for some at a time.
fn each_of<T: Send>(all: Vec<T>, work: &(impl Fn(T) + Sync)) {
    let waiting = Mutex::new(all.into_iter());
    let next = || waiting.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                while let Some(one) = next() {
                    work(one);
                }
            });
        }
    });
}
