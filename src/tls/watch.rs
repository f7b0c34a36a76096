// SPDX-License-Identifier: Apache-2.0
//! Which processes are looked into, how often, and for how long what was found in them is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::tls::attach::{Attached, Common, Programs, Way};
use crate::tls::elf::Elf;
use crate::tls::library::{self, Plan};
use crate::tls::mappings::{self, FileId, Mapping, Number};
use crate::tls::ring::Wanted;

/// From one look at a process to the next, and how much longer that becomes each time: a library may be loaded late.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);
/// All processes together, in a second.
const LOOKS: u32 = 50;
/// How often it is seen whether what is attached is still mapped by anybody.
const SWEEP: Duration = Duration::from_secs(30);
/// Of files that were not known yet, in a second: anybody may have made them.
const BYTES: u64 = 128 << 20;
/// What it takes to open one beside what is read of it.
const OPENED: u64 = 64 << 10;
/// Processes and files that are remembered.
const MOST: usize = 4096;
/// Files that programs are attached to.
const LIBRARIES: usize = 1024;
/// Processes that are known to have mapped a file.
const KEEPERS: usize = 16;

/// A process that was looked into.
struct Looked {
    next: Instant,
    delay: Duration,
}

/// A file that programs are attached to.
struct Library {
    _attached: Attached,
    path: String,
    /// As processes have it mapped, some of which are known.
    number: Number,
    keepers: HashSet<u32>,
}

/// What was found in a process.
enum Found {
    /// A library that is attached to.
    Library,
    Nothing,
    /// Not all was looked at.
    NotAll,
    /// It has ended, or is not to be looked into.
    NoProcess,
}

pub struct Watch {
    common: Common,
    shared: BTreeMap<String, OwnedFd>,
    programs: Option<Programs>,
    looked: HashMap<u32, Looked>,
    /// Files that there is nothing to do with.
    others: HashSet<FileId>,
    libraries: HashMap<FileId, Library>,
    /// What has been said to be beyond sight: executables of processes, and libraries.
    told: HashSet<FileId>,
    /// When this second began; looks and bytes in it.
    second: Instant,
    looks: u32,
    bytes: u64,
    swept: Instant,
}

impl Watch {
    pub fn new(common: Common, shared: BTreeMap<String, OwnedFd>, now: Instant) -> Self {
        Self {
            common,
            shared,
            programs: None,
            looked: HashMap::new(),
            others: HashSet::new(),
            libraries: HashMap::new(),
            told: HashSet::new(),
            second: now,
            looks: 0,
            bytes: 0,
            swept: now,
        }
    }

    /// A process serves TLS and is not seen into. Fails where nothing ever can be.
    pub fn look(&mut self, wanted: Wanted, now: Instant) -> Result<()> {
        if !self.may_look(wanted.pid, now) {
            return Ok(());
        }
        let found = match self.look_into(wanted.pid)? {
            // One that serves a single connection has its libraries from who has started it.
            Found::NoProcess if self.may_look(wanted.parent, now) => {
                self.look_into(wanted.parent)?
            }
            found => found,
        };
        if let Found::Library = found {
            self.looked.remove(&wanted.pid);
        }
        Ok(())
    }

    fn may_look(&mut self, pid: u32, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.looks, self.bytes) = (now, 0, 0);
        }
        if self.looked.len() >= MOST {
            self.looked.retain(|_, it| it.next > now);
        }
        let is_due = self.looked.get(&pid).is_none_or(|it| it.next <= now);
        if !is_due || self.looks >= LOOKS || self.looked.len() >= MOST {
            return false;
        }
        self.looks += 1;
        let looked = self.looked.entry(pid).or_insert(Looked {
            next: now,
            delay: FIRST,
        });
        looked.next = now + looked.delay;
        looked.delay = (looked.delay * 2).min(LAST);
        true
    }

    fn look_into(&mut self, pid: u32) -> Result<Found> {
        let Ok(mappings) = mappings::of(pid) else {
            return Ok(Found::NoProcess);
        };
        if mappings.is_empty() {
            return Ok(Found::NoProcess);
        }
        let mut found = Found::Nothing;
        for mapping in &mappings {
            if self.look_at(pid, mapping)? {
                found = Found::Library;
            }
        }
        if self.bytes >= BYTES && !matches!(found, Found::Library) {
            return Ok(Found::NotAll);
        }
        if let (Found::Nothing, Some(executable)) = (&found, mappings.first()) {
            self.tell_of(pid, executable);
        }
        Ok(found)
    }

    /// Whether programs are attached to a file that a process has mapped.
    fn look_at(&mut self, pid: u32, mapping: &Mapping) -> Result<bool> {
        let opened = mapping.open(pid).and_then(|file| {
            let id = FileId::of(&file)?;
            Ok((file, id))
        });
        let Ok((file, id)) = opened else {
            log::debug!("TLS: {} of process {pid} cannot be opened", mapping.shown());
            return Ok(false);
        };
        if let Some(library) = self.libraries.get_mut(&id) {
            if library.keepers.len() < KEEPERS {
                library.keepers.insert(pid);
            }
            return Ok(true);
        }
        // The next look goes on where this second's bytes have come to an end.
        if self.others.contains(&id) || self.bytes >= BYTES {
            return Ok(false);
        }
        if self.others.len() >= MOST {
            self.others.clear();
        }
        self.bytes += OPENED;
        let plan = Elf::open(&file).and_then(|elf| {
            let plan = library::plan(&elf);
            self.bytes += elf.taken();
            plan
        });
        let plan = match plan {
            Ok(Some(_)) if self.libraries.len() >= LIBRARIES => return Ok(false),
            Ok(Some(plan)) => plan,
            outcome => {
                if let Err(error) = outcome {
                    log::debug!("TLS: {}: {error:#}", mapping.shown());
                }
                self.others.insert(id);
                return Ok(false);
            }
        };
        match self.programs()?.attach(&file, &plan) {
            Ok(attached) => self.keep(pid, mapping, id, &plan, attached),
            // That may be for the moment: there are no descriptors left, or no memory.
            Err(error) => {
                if self.told.len() < MOST && self.told.insert(id) {
                    let file = mapping.shown();
                    log::warn!("TLS: {file} ({plan}) cannot be attached to: {error:#}");
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn keep(&mut self, pid: u32, mapping: &Mapping, id: FileId, plan: &Plan, attached: Attached) {
        log::info!("TLS: seen into where {} is used ({plan})", mapping.shown());
        let library = Library {
            _attached: attached,
            path: mapping.shown(),
            number: mapping.number.clone(),
            keepers: HashSet::from([pid]),
        };
        self.libraries.insert(id, library);
    }

    fn programs(&mut self) -> Result<&Programs> {
        if self.programs.is_none() {
            let way = Way::of_this_kernel()?;
            let loaded = Programs::load(way, &self.common, &self.shared);
            self.programs = Some(loaded.context("TLS is not seen into")?);
            log::debug!("TLS: programs are loaded, to be attached by {way:?}");
        }
        self.programs.as_ref().context("they are loaded")
    }

    /// Once for each executable.
    fn tell_of(&mut self, pid: u32, executable: &Mapping) {
        let id = executable.open(pid).and_then(|file| FileId::of(&file));
        let Ok(id) = id else {
            return;
        };
        if self.told.len() < MOST && self.told.insert(id) {
            log::info!(
                "TLS: {} serves it by no library that is known or has its symbols: that is not seen into",
                executable.shown()
            );
        }
    }

    /// Detaches from what nobody has mapped any more: a file system stays busy as long as programs are attached to a file of it.
    pub fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        if let Some(programs) = &self.programs
            && let Err(error) = programs.forget_ended()
        {
            log::debug!("TLS: calls of threads that have ended are not forgotten: {error:#}");
        }
        let mut known: HashMap<u32, HashSet<Number>> = HashMap::new();
        let mut maps = |pid: u32, number: &Number| {
            let mapped = known.entry(pid).or_insert_with(|| {
                let mappings = mappings::of(pid).unwrap_or_default();
                mappings.into_iter().map(|it| it.number).collect()
            });
            mapped.contains(number)
        };
        let mut left = HashSet::new();
        for library in self.libraries.values_mut() {
            library.keepers.retain(|pid| maps(*pid, &library.number));
            if library.keepers.is_empty() {
                left.insert(library.number.clone());
            }
        }
        if left.is_empty() {
            return;
        }
        let Ok(mapped) = mappings::mapped_by(&left) else {
            return;
        };
        self.libraries.retain(|_, library| {
            if library.keepers.is_empty() {
                let Some(pid) = mapped.get(&library.number) else {
                    log::info!("TLS: {} is used by nobody any more", library.path);
                    return false;
                };
                library.keepers.insert(*pid);
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn watch(now: Instant) -> Watch {
        let common = Common {
            room: [1; 4],
            seed: 0,
            talker: [1; 2],
            streams: 64,
        };
        Watch::new(common, BTreeMap::new(), now)
    }

    #[test]
    fn a_process_is_looked_into_ever_more_seldom_and_all_have_a_bound() {
        let start = Instant::now();
        let mut watch = watch(start);
        let mut looked = |pid, seconds| watch.may_look(pid, start + Duration::from_secs(seconds));
        let looks = (0..40).filter(|second| looked(7, *second));
        assert_eq!(looks.collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31]);
        // After that once a minute.
        let looks = (40..300).filter(|second| looked(7, *second));
        assert_eq!(looks.collect::<Vec<_>>(), [63, 123, 183, 243]);
        let crowd = (1000..1200).filter(|pid| looked(*pid, 400));
        assert_eq!(crowd.count(), LOOKS as usize);
        assert!(looked(1199, 401));
    }

    #[test]
    fn what_is_read_of_files_has_a_bound() {
        let start = Instant::now();
        let mut watch = watch(start);
        let own = std::process::id();
        watch.bytes = BYTES;
        assert!(matches!(watch.look_into(own).unwrap(), Found::NotAll));
        assert!(watch.others.is_empty());
        watch.may_look(own, start + Duration::from_secs(1));
        assert!(matches!(watch.look_into(own).unwrap(), Found::Nothing));
        assert!(!watch.others.is_empty() && watch.bytes >= OPENED);
    }

    #[test]
    fn processes_that_nobody_can_remember_are_not_looked_into() {
        let start = Instant::now();
        let mut watch = watch(start);
        let mut now = start;
        for pid in 0..2 * MOST as u32 {
            now += Duration::from_millis(100);
            watch.may_look(pid, now);
            assert!(watch.looked.len() <= MOST);
        }
    }

    /// A process that has a library of TLS of its own.
    fn user_of(folder: &tempfile::TempDir) -> Child {
        for name in ["libssl.so.3", "libcrypto.so.3"] {
            let library = std::path::Path::new("/usr/lib/x86_64-linux-gnu").join(name);
            std::fs::copy(library, folder.path().join(name)).unwrap();
        }
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", "import ssl, sys; print(flush=True); sys.stdin.read()"])
            .env("LD_LIBRARY_PATH", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the package python3 is not installed");
        let mut line = [0];
        let told = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(told, &mut line).unwrap();
        child
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_nobody_has_mapped_any_more_is_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let mut user = user_of(&folder);
        let start = Instant::now();
        let mut watch = watch(start);
        let wanted = Wanted {
            pid: user.id(),
            parent: 0,
        };
        watch.look(wanted, start).unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let own = |watch: &Watch| {
            watch
                .libraries
                .values()
                .any(|it| it.path.starts_with(&path))
        };
        assert!(own(&watch));
        watch.sweep(start + SWEEP);
        assert!(own(&watch));
        user.kill().unwrap();
        user.wait().unwrap();
        watch.sweep(start + SWEEP + SWEEP / 2);
        assert!(own(&watch), "not before it is due");
        watch.sweep(start + 2 * SWEEP);
        assert!(!own(&watch));
        // One that has ended has nothing.
        watch.look(wanted, start + LAST).unwrap();
        assert!(!own(&watch));
    }
}
