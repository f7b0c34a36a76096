// SPDX-License-Identifier: Apache-2.0
//! What is known of the kernel's tables, place by place: who is there, and what was read of it the last time. [`crate::kernel::growth`]
//! compares that with what is read next. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::kernel::growth::{Counts, Grown};
use crate::kernel::places::Places;
use crate::model::counters::{Kind, ProcessId};
use crate::model::workload::Workload;

/// Whose a series is, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Process(u32),
    Workload(u32),
}

/// What processes and workloads have in common.
#[derive(Debug)]
pub struct Known {
    /// Of a workload: when it was first seen, and no pid.
    pub id: ProcessId,
    pub share: u32,
    pub workload: Arc<Workload>,
    /// The places of its series.
    pub series: Vec<u32>,
    pub(super) counts: Counts,
    pub(super) unlisted: u64,
    /// Where in what has grown.
    pub(super) growth: Option<u32>,
}

#[derive(Debug)]
pub struct KnownProcess {
    pub known: Known,
    /// The place of its workload.
    pub workload: u32,
    pub(super) ended: bool,
}

#[derive(Debug)]
pub struct KnownWorkload {
    pub known: Known,
    pub processes: usize,
    /// Readings since it has last grown or had a process.
    pub idle: u32,
    /// The programs no longer find it by its key, which may be that of another place by now.
    pub unlinked: bool,
}

#[derive(Debug)]
pub(super) struct KnownSeries {
    pub(super) owner: Owner,
    pub(super) kind: Kind,
    pub(super) sum_ns: u64,
}

impl Known {
    pub fn new(id: ProcessId, share: u32, workload: Arc<Workload>) -> Self {
        Self {
            id,
            share,
            workload,
            series: Vec::new(),
            counts: Counts::default(),
            unlisted: 0,
            growth: None,
        }
    }
}

/// By place.
#[derive(Default)]
pub struct Mirror {
    pub(super) processes: Places<KnownProcess>,
    pub(super) workloads: Places<KnownWorkload>,
    pub(super) series: Places<KnownSeries>,
    /// Of processes and workloads, as series tell whose they are.
    owners: HashMap<ProcessId, Owner>,
    pub(super) grown: Grown,
    /// Processes of which it is not known whether the kernel adds them to their workload; and those before what was
    /// read was last taken.
    pub(super) undecided: HashSet<ProcessId>,
    pub(super) undecided_before: HashSet<ProcessId>,
}

impl Mirror {
    pub fn knows_process(&self, place: u32) -> bool {
        self.processes.get(place).is_some()
    }

    pub fn unlinked_workload(&mut self, place: u32) {
        if let Some(workload) = self.workloads.get_mut(place) {
            workload.unlinked = true;
        }
    }

    pub fn workload(&self, place: u32) -> Option<&KnownWorkload> {
        self.workloads.get(place)
    }

    pub fn owner(&self, id: ProcessId) -> Option<Owner> {
        self.owners.get(&id).copied()
    }

    /// Whether it was undecided the time before, too, so that the kernel would have added it up by now.
    pub fn stays_undecided(&mut self, id: ProcessId) -> bool {
        self.undecided.insert(id);
        self.undecided_before.contains(&id)
    }

    /// A process that user space reads from now on. Its workload has to be known.
    pub fn add_process(&mut self, place: u32, known: Known, workload: u32) {
        self.owners.insert(known.id, Owner::Process(place));
        if let Some(workload) = self.workloads.get_mut(workload) {
            workload.processes += 1;
            workload.idle = 0;
        }
        let process = KnownProcess {
            known,
            workload,
            ended: false,
        };
        self.processes.put(place, process);
    }

    pub fn add_workload(&mut self, place: u32, known: Known) {
        self.owners.insert(known.id, Owner::Workload(place));
        let workload = KnownWorkload {
            known,
            processes: 0,
            idle: 0,
            unlinked: false,
        };
        self.workloads.put(place, workload);
    }

    pub fn add_series(&mut self, place: u32, owner: Owner, kind: Kind) {
        let known = match owner {
            Owner::Process(place) => self.processes.get_mut(place).map(|it| &mut it.known),
            Owner::Workload(place) => self.workloads.get_mut(place).map(|it| &mut it.known),
        };
        if let Some(known) = known {
            known.series.push(place);
            let series = KnownSeries {
                owner,
                kind,
                sum_ns: 0,
            };
            self.series.put(place, series);
        }
    }

    pub fn knows_series(&self, place: u32) -> bool {
        self.series.get(place).is_some()
    }

    /// The places of workloads that have been idle for so many readings or more.
    pub fn idle_workloads(&self, readings: u32) -> Vec<u32> {
        let workloads = self.workloads.iter();
        let idle = workloads.filter(|(_, it)| it.idle >= readings);
        idle.map(|(place, _)| place).collect()
    }

    /// Where a process is, and what is known of it.
    pub fn process(&self, id: ProcessId) -> Option<(u32, &Known)> {
        let Some(Owner::Process(place)) = self.owner(id) else {
            return None;
        };
        Some((place, &self.processes.get(place)?.known))
    }

    pub fn remove_process(&mut self, place: u32) {
        let Some(process) = self.processes.take(place) else {
            return;
        };
        if let Some(workload) = self.workloads.get_mut(process.workload) {
            workload.processes -= 1;
        }
        self.remove(&process.known);
    }

    pub fn remove_workload(&mut self, place: u32) {
        if let Some(workload) = self.workloads.take(place) {
            self.remove(&workload.known);
        }
    }

    fn remove(&mut self, known: &Known) {
        self.owners.remove(&known.id);
        for place in &known.series {
            self.series.take(*place);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::model::histogram::Histogram;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};

    use super::*;

    pub const PROCESS: u32 = 3;
    pub const WORKLOAD: u32 = 70;
    pub const SERIES: u32 = 5;
    pub const OK: SeriesKey = SeriesKey {
        method: Method::Get,
        status: 200,
        version: Version::V1_1,
        scheme: Scheme::Http,
    };

    pub fn id(pid: u32) -> ProcessId {
        ProcessId {
            pid,
            start_time: 100,
        }
    }

    fn known(pid: u32) -> Known {
        let workload = Workload {
            executable: Some("server".into()),
            ..Workload::default()
        };
        Known::new(id(pid), 1, Arc::new(workload))
    }

    pub fn asked(requests: u64) -> Counts {
        Counts {
            requests,
            ..Counts::default()
        }
    }

    pub const BUCKET: u16 = 70;

    pub fn histogram(count: u64, sum_ns: u64) -> Histogram {
        Histogram::new(sum_ns, [(BUCKET, count)])
    }

    /// A workload that has one process, which is read.
    pub fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.add_workload(WORKLOAD, known(0));
        mirror.add_process(PROCESS, known(7), WORKLOAD);
        mirror
    }

    #[test]
    fn answers_of_one_that_is_not_read_wait() {
        let mut mirror = mirror();
        assert_eq!(mirror.owner(id(8)), None);
        mirror.add_series(SERIES, Owner::Process(PROCESS + 1), Kind::Answer(OK));
        mirror.series_read(SERIES, 300, [(BUCKET, 2)]);
        assert_eq!(mirror.take(), Default::default());
        mirror.add_process(PROCESS + 1, known(8), WORKLOAD);
        assert_eq!(mirror.owner(id(8)), Some(Owner::Process(PROCESS + 1)));
        mirror.add_series(SERIES, Owner::Process(PROCESS + 1), Kind::Answer(OK));
        mirror.series_read(SERIES, 300, [(BUCKET, 2)]);
        assert_eq!(mirror.take().0[0].increment.durations(), histogram(2, 300));
    }

    #[test]
    fn who_takes_a_place_over_begins_at_zero() {
        let mut mirror = mirror();
        mirror.add_series(SERIES, Owner::Process(PROCESS), Kind::Answer(OK));
        mirror.process_read(PROCESS, asked(23), false);
        mirror.series_read(SERIES, 300, [(BUCKET, 2)]);
        mirror.take();
        let (place, process) = mirror.process(id(7)).unwrap();
        assert_eq!((place, &process.series[..]), (PROCESS, &[SERIES][..]));
        mirror.remove_process(PROCESS);
        mirror.remove_process(PROCESS);
        assert!(!mirror.knows_process(PROCESS));
        assert!(mirror.process(id(7)).is_none());
        mirror.add_process(PROCESS, known(9), WORKLOAD);
        mirror.add_series(SERIES, Owner::Process(PROCESS), Kind::Answer(OK));
        mirror.process_read(PROCESS, asked(3), false);
        mirror.series_read(SERIES, 10, [(BUCKET, 1)]);
        let (processes, _) = mirror.take();
        assert_eq!(
            (processes[0].id, processes[0].increment.requests),
            (id(9), 3)
        );
        assert_eq!(processes[0].increment.durations(), histogram(1, 10));
    }

    #[test]
    fn a_workload_without_processes_and_growth_is_idle() {
        let mut mirror = mirror();
        let take = |mirror: &mut Mirror, times| (0..times).for_each(|_| _ = mirror.take());
        take(&mut mirror, 5);
        assert!(mirror.idle_workloads(1).is_empty());
        mirror.remove_process(PROCESS);
        take(&mut mirror, 3);
        assert_eq!(mirror.idle_workloads(3), vec![WORKLOAD]);
        // Also where the moment itself was missed.
        assert_eq!(mirror.idle_workloads(2), vec![WORKLOAD]);
        assert!(mirror.idle_workloads(4).is_empty());
        mirror.workload_read(WORKLOAD, asked(1), 0);
        take(&mut mirror, 1);
        assert!(mirror.idle_workloads(1).is_empty());
        // Answers alone are growth, too.
        mirror.add_series(SERIES, Owner::Workload(WORKLOAD), Kind::Answer(OK));
        take(&mut mirror, 2);
        mirror.series_read(SERIES, 10, [(BUCKET, 1)]);
        take(&mut mirror, 1);
        assert!(mirror.idle_workloads(1).is_empty());
        take(&mut mirror, 2);
        mirror.add_process(PROCESS, known(8), WORKLOAD);
        assert!(mirror.idle_workloads(1).is_empty());
        mirror.remove_process(PROCESS);
        take(&mut mirror, 1);
        assert_eq!(mirror.idle_workloads(1), vec![WORKLOAD]);

        mirror.remove_workload(WORKLOAD);
        assert!(mirror.workload(WORKLOAD).is_none());
        assert!(mirror.owner(id(0)).is_none() && !mirror.knows_series(SERIES));
        assert!(mirror.idle_workloads(0).is_empty());
    }

    #[test]
    fn a_process_that_stays_undecided_is_told_by_the_second_time() {
        let mut mirror = mirror();
        assert!(!mirror.stays_undecided(id(8)));
        // However often it is read before that is taken.
        assert!(!mirror.stays_undecided(id(8)));
        mirror.take();
        assert!(mirror.stays_undecided(id(8)));
        assert!(!mirror.stays_undecided(id(9)));
        mirror.take();
        mirror.take();
        // Which the kernel has added up, so that it was not met.
        assert!(!mirror.stays_undecided(id(9)));
        assert_eq!(mirror.undecided.len() + mirror.undecided_before.len(), 1);
    }
}
