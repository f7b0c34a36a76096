// SPDX-License-Identifier: Apache-2.0
//! What was read of the kernel's counters the last time, place by place, so that of the next reading only what has grown goes
//! further. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::counters::{Kind, ProcessGrowth, ProcessId, WorkloadGrowth};
use crate::model::histogram::Histogram;
use crate::model::increment::Increment;
use crate::model::workload::Workload;

/// Whose a series is, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Process(u32),
    Workload(u32),
}

/// What an owner has counted beside its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub tls_unseen: u64,
}

impl Counts {
    /// What has come since these.
    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            tls_unseen: self.tls_unseen.saturating_sub(before.tls_unseen),
        }
    }

    fn add_to(self, increment: &mut Increment) {
        increment.requests += self.requests;
        increment.tls_unseen += self.tls_unseen;
    }
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
    counts: Counts,
    unlisted: u64,
    /// Where in what has grown.
    growth: Option<usize>,
}

#[derive(Debug)]
pub struct KnownProcess {
    pub known: Known,
    /// The place of its workload.
    pub workload: u32,
    ended: bool,
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
struct KnownSeries {
    owner: Owner,
    kind: Kind,
    sum_ns: u64,
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
    processes: Vec<Option<KnownProcess>>,
    workloads: Vec<Option<KnownWorkload>>,
    series: Vec<Option<KnownSeries>>,
    /// Of processes and workloads, as series tell whose they are.
    owners: HashMap<ProcessId, Owner>,
    /// What was read and has not been taken yet.
    grown: (Vec<ProcessGrowth>, Vec<WorkloadGrowth>),
    /// Processes of which it is not known whether the kernel adds them to their workload; and those before what was
    /// read was last taken.
    undecided: HashSet<ProcessId>,
    undecided_before: HashSet<ProcessId>,
}

fn at<T>(places: &[Option<T>], place: u32) -> Option<&T> {
    places.get(place as usize)?.as_ref()
}

fn at_mut<T>(places: &mut [Option<T>], place: u32) -> Option<&mut T> {
    places.get_mut(place as usize)?.as_mut()
}

fn put<T>(places: &mut Vec<Option<T>>, place: u32, value: T) {
    let place = place as usize;
    if places.len() <= place {
        places.resize_with(place + 1, || None);
    }
    places[place] = Some(value);
}

impl Mirror {
    pub fn knows_process(&self, place: u32) -> bool {
        at(&self.processes, place).is_some()
    }

    pub fn unlinked_workload(&mut self, place: u32) {
        if let Some(workload) = at_mut(&mut self.workloads, place) {
            workload.unlinked = true;
        }
    }

    pub fn workload(&self, place: u32) -> Option<&KnownWorkload> {
        at(&self.workloads, place)
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
        if let Some(workload) = at_mut(&mut self.workloads, workload) {
            workload.processes += 1;
            workload.idle = 0;
        }
        let process = KnownProcess {
            known,
            workload,
            ended: false,
        };
        put(&mut self.processes, place, process);
    }

    pub fn add_workload(&mut self, place: u32, known: Known) {
        self.owners.insert(known.id, Owner::Workload(place));
        let workload = KnownWorkload {
            known,
            processes: 0,
            idle: 0,
            unlinked: false,
        };
        put(&mut self.workloads, place, workload);
    }

    pub fn add_series(&mut self, place: u32, owner: Owner, kind: Kind) {
        let known = match owner {
            Owner::Process(place) => at_mut(&mut self.processes, place).map(|it| &mut it.known),
            Owner::Workload(place) => at_mut(&mut self.workloads, place).map(|it| &mut it.known),
        };
        if let Some(known) = known {
            known.series.push(place);
            let series = KnownSeries {
                owner,
                kind,
                sum_ns: 0,
            };
            put(&mut self.series, place, series);
        }
    }

    pub fn knows_series(&self, place: u32) -> bool {
        at(&self.series, place).is_some()
    }

    /// The counters of a known process.
    pub fn process_read(&mut self, place: u32, counts: Counts, ended: bool) {
        let Some(process) = at_mut(&mut self.processes, place) else {
            return;
        };
        let grown = counts.since(process.known.counts);
        if grown == Counts::default() && ended == process.ended {
            return;
        }
        process.known.counts = counts;
        process.ended = ended;
        let growth = growth_of_process(&mut self.grown.0, process);
        grown.add_to(&mut growth.increment);
        growth.ended = ended;
    }

    pub fn workload_read(&mut self, place: u32, counts: Counts, unlisted: u64) {
        let Some(workload) = at_mut(&mut self.workloads, place) else {
            return;
        };
        let known = &mut workload.known;
        let grown = counts.since(known.counts);
        let more = unlisted.saturating_sub(known.unlisted);
        if grown == Counts::default() && more == 0 {
            return;
        }
        (known.counts, known.unlisted) = (counts, unlisted);
        let growth = growth_of_workload(&mut self.grown.1, workload);
        grown.add_to(&mut growth.increment);
        growth.unlisted += more;
    }

    /// The buckets are those that have come since the last time; a reading may have met one between its bucket and its sum,
    /// which then comes alone.
    pub fn series_read(
        &mut self,
        place: u32,
        sum_ns: u64,
        buckets: impl IntoIterator<Item = (u16, u64)>,
    ) {
        let Some(series) = at_mut(&mut self.series, place) else {
            return;
        };
        let grown = Histogram::new(sum_ns.saturating_sub(series.sum_ns), buckets);
        if grown.is_empty() {
            return;
        }
        series.sum_ns = sum_ns;
        let growth = match series.owner {
            Owner::Process(place) => at_mut(&mut self.processes, place)
                .map(|it| &mut growth_of_process(&mut self.grown.0, it).increment),
            Owner::Workload(place) => at_mut(&mut self.workloads, place)
                .map(|it| &mut growth_of_workload(&mut self.grown.1, it).increment),
        };
        if let Some(growth) = growth {
            match &series.kind {
                Kind::Answer(key) => {
                    growth.series.reserve_exact(1);
                    growth.series.push((key.clone(), grown));
                }
                Kind::Call(status) => growth.calls.push((*status, grown)),
            }
        }
    }

    /// Everything that was read since the last time.
    pub fn take(&mut self) -> (Vec<ProcessGrowth>, Vec<WorkloadGrowth>) {
        for growth in &self.grown.0 {
            if let Some(Owner::Process(place)) = self.owners.get(&growth.id)
                && let Some(process) = at_mut(&mut self.processes, *place)
            {
                process.known.growth = None;
            }
        }
        for workload in self.workloads.iter_mut().flatten() {
            let grows = workload.known.growth.take().is_some() || workload.processes > 0;
            workload.idle = if grows { 0 } else { workload.idle + 1 };
        }
        // Those that the kernel has added up meanwhile are not heard of again.
        self.undecided_before = std::mem::take(&mut self.undecided);
        std::mem::take(&mut self.grown)
    }

    /// The places of workloads that have been idle for so many readings or more.
    pub fn idle_workloads(&self, readings: u32) -> Vec<u32> {
        let idle = |it: &Option<KnownWorkload>| it.as_ref().is_some_and(|it| it.idle >= readings);
        let workloads = (0..).zip(&self.workloads);
        workloads
            .filter(|(_, it)| idle(it))
            .map(|(place, _)| place)
            .collect()
    }

    /// Where a process is, and what is known of it.
    pub fn process(&self, id: ProcessId) -> Option<(u32, &Known)> {
        let Some(Owner::Process(place)) = self.owner(id) else {
            return None;
        };
        Some((place, &at(&self.processes, place)?.known))
    }

    pub fn remove_process(&mut self, place: u32) {
        let Some(process) = self
            .processes
            .get_mut(place as usize)
            .and_then(Option::take)
        else {
            return;
        };
        if let Some(workload) = at_mut(&mut self.workloads, process.workload) {
            workload.processes -= 1;
        }
        self.remove(&process.known);
    }

    pub fn remove_workload(&mut self, place: u32) {
        let workload = self.workloads.get_mut(place as usize);
        if let Some(workload) = workload.and_then(Option::take) {
            self.remove(&workload.known);
        }
    }

    fn remove(&mut self, known: &Known) {
        self.owners.remove(&known.id);
        for place in &known.series {
            if let Some(series) = self.series.get_mut(*place as usize) {
                *series = None;
            }
        }
    }
}

fn growth_of_process<'g>(
    grown: &'g mut Vec<ProcessGrowth>,
    process: &mut KnownProcess,
) -> &'g mut ProcessGrowth {
    let at = *process.known.growth.get_or_insert_with(|| {
        grown.push(ProcessGrowth {
            id: process.known.id,
            workload: Arc::clone(&process.known.workload),
            increment: Increment::default(),
            ended: process.ended,
        });
        grown.len() - 1
    });
    &mut grown[at]
}

fn growth_of_workload<'g>(
    grown: &'g mut Vec<WorkloadGrowth>,
    workload: &mut KnownWorkload,
) -> &'g mut WorkloadGrowth {
    let at = *workload.known.growth.get_or_insert_with(|| {
        grown.push(WorkloadGrowth {
            workload: Arc::clone(&workload.known.workload),
            increment: Increment::default(),
            unlisted: 0,
        });
        grown.len() - 1
    });
    &mut grown[at]
}

#[cfg(test)]
mod tests {
    use crate::model::counters::SeriesKey;

    use super::*;

    const PROCESS: u32 = 3;
    const WORKLOAD: u32 = 70;
    const SERIES: u32 = 5;
    const OK: SeriesKey = SeriesKey {
        method: "GET",
        status: 200,
        version: "1.1",
        scheme: "http",
    };

    fn id(pid: u32) -> ProcessId {
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

    fn asked(requests: u64) -> Counts {
        Counts {
            requests,
            ..Counts::default()
        }
    }

    const BUCKET: u16 = 70;

    fn histogram(count: u64, sum_ns: u64) -> Histogram {
        Histogram::new(sum_ns, [(BUCKET, count)])
    }

    /// A workload that has one process, which is read.
    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.add_workload(WORKLOAD, known(0));
        mirror.add_process(PROCESS, known(7), WORKLOAD);
        mirror
    }

    fn requests(grown: &(Vec<ProcessGrowth>, Vec<WorkloadGrowth>)) -> (Vec<u64>, Vec<u64>) {
        let processes = grown.0.iter().map(|it| it.increment.requests);
        let workloads = grown.1.iter().map(|it| it.increment.requests);
        (processes.collect(), workloads.collect())
    }

    #[test]
    fn growth_is_told_once() {
        let mut mirror = mirror();
        mirror.process_read(PROCESS, asked(23), false);
        mirror.workload_read(WORKLOAD, asked(11), 5);
        let grown = mirror.take();
        assert_eq!(requests(&grown), (vec![23], vec![11]));
        assert_eq!((grown.0[0].id, grown.1[0].unlisted), (id(7), 5));
        mirror.process_read(PROCESS, asked(23), false);
        mirror.workload_read(WORKLOAD, asked(11), 5);
        assert_eq!(mirror.take(), Default::default());
        mirror.process_read(PROCESS, asked(30), false);
        mirror.workload_read(WORKLOAD, asked(11), 6);
        let grown = mirror.take();
        assert_eq!(requests(&grown), (vec![7], vec![0]));
        assert_eq!(grown.1[0].unlisted, 1);
        // A place that nobody has spoken of is nothing to tell of.
        mirror.process_read(PROCESS + 1, asked(5), false);
        mirror.workload_read(WORKLOAD + 1, asked(5), 0);
        assert_eq!(mirror.take(), Default::default());
    }

    #[test]
    fn connections_that_cannot_be_seen_into_are_growth() {
        let mut mirror = mirror();
        let unseen = |tls_unseen| Counts {
            requests: 3,
            tls_unseen,
        };
        for (counts, expected) in [(unseen(5), (3, 5)), (unseen(7), (0, 2))] {
            mirror.process_read(PROCESS, counts, false);
            mirror.workload_read(WORKLOAD, counts, 0);
            let (processes, workloads) = mirror.take();
            for increment in [&processes[0].increment, &workloads[0].increment] {
                assert_eq!((increment.requests, increment.tls_unseen), expected);
            }
        }
        mirror.process_read(PROCESS, unseen(7), false);
        mirror.workload_read(WORKLOAD, unseen(7), 0);
        assert_eq!(mirror.take(), Default::default());
    }

    #[test]
    fn what_is_read_twice_before_it_is_taken_comes_together() {
        let mut mirror = mirror();
        mirror.add_series(SERIES, Owner::Process(PROCESS), Kind::Answer(OK));
        for (requests, sum_ns, answers) in [(3, 200, 2), (10, 900, 7)] {
            mirror.process_read(PROCESS, asked(requests), false);
            mirror.series_read(SERIES, sum_ns, [(BUCKET, answers)]);
        }
        let (processes, _) = mirror.take();
        assert_eq!(processes.len(), 1);
        let increment = &processes[0].increment;
        assert_eq!(increment.requests, 10);
        assert_eq!(increment.durations(), histogram(9, 900));
    }

    #[test]
    fn the_end_is_told_without_any_growth() {
        let mut mirror = mirror();
        mirror.process_read(PROCESS, asked(23), false);
        mirror.take();
        mirror.process_read(PROCESS, asked(23), true);
        let (processes, _) = mirror.take();
        assert!(processes[0].ended && processes[0].increment.is_empty());
        mirror.process_read(PROCESS, asked(23), true);
        assert_eq!(mirror.take(), Default::default());
        // What has come with the end is in it.
        let mut mirror = self::mirror();
        mirror.process_read(PROCESS, asked(5), true);
        let (processes, _) = mirror.take();
        assert!(processes[0].ended);
        assert_eq!(processes[0].increment.requests, 5);
    }

    #[test]
    fn answers_are_their_owners() {
        let mut mirror = mirror();
        let of_workload = SeriesKey { status: 404, ..OK };
        mirror.add_series(SERIES, Owner::Process(PROCESS), Kind::Answer(OK));
        mirror.add_series(
            SERIES + 1,
            Owner::Workload(WORKLOAD),
            Kind::Answer(of_workload.clone()),
        );
        mirror.series_read(SERIES, 300, [(BUCKET, 2)]);
        mirror.series_read(SERIES + 1, 50, [(BUCKET, 1)]);
        let (processes, workloads) = mirror.take();
        assert_eq!(processes[0].increment.series, [(OK, histogram(2, 300))]);
        let expected = [(of_workload, histogram(1, 50))];
        assert_eq!(workloads[0].increment.series, expected);
        mirror.series_read(SERIES, 900, [(BUCKET, 3)]);
        let (processes, _) = mirror.take();
        assert_eq!(processes[0].increment.series, [(OK, histogram(3, 600))]);
    }

    #[test]
    fn a_sum_that_comes_after_its_answer_is_not_lost() {
        let mut mirror = mirror();
        mirror.add_series(SERIES, Owner::Process(PROCESS), Kind::Answer(OK));
        mirror.series_read(SERIES, 100, [(BUCKET, 2)]);
        mirror.series_read(SERIES, 300, []);
        let (processes, _) = mirror.take();
        assert_eq!(processes[0].increment.durations(), histogram(2, 300));
        mirror.series_read(SERIES, 300, []);
        assert_eq!(mirror.take(), Default::default());
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
