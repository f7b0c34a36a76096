// SPDX-License-Identifier: Apache-2.0
//! What the counters have grown by since they were last read, so that only that goes further. Pure.

use std::sync::Arc;

use crate::kernel::mirror::{Known, Mirror, Owner};
use crate::model::counters::{Kind, ProcessGrowth, WorkloadGrowth};
use crate::model::histogram::Histogram;
use crate::model::increment::Increment;

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

/// What was read and has not been taken yet.
#[derive(Default)]
pub(super) struct Grown {
    processes: Growths<ProcessGrowth>,
    workloads: Growths<WorkloadGrowth>,
}

/// One for each owner that has grown.
struct Growths<G> {
    all: Vec<G>,
    /// Of their owners.
    places: Vec<u32>,
}

impl<G> Default for Growths<G> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<G> Growths<G> {
    /// The one of an owner.
    fn of(&mut self, place: u32, known: &mut Known, new: impl FnOnce(&Known) -> G) -> &mut G {
        let at = match known.growth {
            Some(at) => at as usize,
            None => {
                let at = self.all.len();
                self.all.push(new(known));
                self.places.push(place);
                known.growth = Some(at as u32);
                at
            }
        };
        &mut self.all[at]
    }

    /// All of them, and the places of their owners, each of which is to begin anew.
    fn take(&mut self) -> (Vec<G>, Vec<u32>) {
        let Self { all, places } = std::mem::take(self);
        (all, places)
    }
}

fn new_process(known: &Known, ended: bool) -> ProcessGrowth {
    ProcessGrowth {
        id: known.id,
        workload: Arc::clone(&known.workload),
        increment: Increment::default(),
        ended,
    }
}

fn new_workload(known: &Known) -> WorkloadGrowth {
    WorkloadGrowth {
        workload: Arc::clone(&known.workload),
        increment: Increment::default(),
        unlisted: 0,
    }
}

impl Mirror {
    /// The counters of a known process.
    pub fn process_read(&mut self, place: u32, counts: Counts, ended: bool) {
        let Some(process) = self.processes.get_mut(place) else {
            return;
        };
        let grown = counts.since(process.known.counts);
        if grown == Counts::default() && ended == process.ended {
            return;
        }
        process.known.counts = counts;
        process.ended = ended;
        let new = |known: &Known| new_process(known, ended);
        let growth = self.grown.processes.of(place, &mut process.known, new);
        grown.add_to(&mut growth.increment);
        growth.ended = ended;
    }

    pub fn workload_read(&mut self, place: u32, counts: Counts, unlisted: u64) {
        let Some(workload) = self.workloads.get_mut(place) else {
            return;
        };
        let known = &mut workload.known;
        let grown = counts.since(known.counts);
        let more = unlisted.saturating_sub(known.unlisted);
        if grown == Counts::default() && more == 0 {
            return;
        }
        (known.counts, known.unlisted) = (counts, unlisted);
        let growth = self.grown.workloads.of(place, known, new_workload);
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
        let Some(series) = self.series.get_mut(place) else {
            return;
        };
        let grown = Histogram::new(sum_ns.saturating_sub(series.sum_ns), buckets);
        if grown.is_empty() {
            return;
        }
        series.sum_ns = sum_ns;
        let grows = &mut self.grown;
        let growth = match series.owner {
            Owner::Process(place) => self.processes.get_mut(place).map(|it| {
                let new = |known: &Known| new_process(known, it.ended);
                let growth = grows.processes.of(place, &mut it.known, new);
                &mut growth.increment
            }),
            Owner::Workload(place) => self.workloads.get_mut(place).map(|it| {
                let growth = grows.workloads.of(place, &mut it.known, new_workload);
                &mut growth.increment
            }),
        };
        if let Some(growth) = growth {
            match series.kind {
                Kind::Answer(key) => {
                    // Most have one kind or two.
                    growth.series.reserve_exact(1);
                    growth.series.push((key, grown));
                }
                Kind::Call(status) => growth.calls.push((status, grown)),
            }
        }
    }

    /// Everything that was read since the last time.
    pub fn take(&mut self) -> (Vec<ProcessGrowth>, Vec<WorkloadGrowth>) {
        let (processes, places) = self.grown.processes.take();
        for place in places {
            if let Some(process) = self.processes.get_mut(place) {
                process.known.growth = None;
            }
        }
        let (workloads, _) = self.grown.workloads.take();
        for workload in self.workloads.values_mut() {
            let grows = workload.known.growth.take().is_some() || workload.processes > 0;
            workload.idle = if grows { 0 } else { workload.idle + 1 };
        }
        // Those that the kernel has added up meanwhile are not heard of again.
        self.undecided_before = std::mem::take(&mut self.undecided);
        (processes, workloads)
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::mirror::tests::{
        BUCKET, OK, PROCESS, SERIES, WORKLOAD, asked, histogram, id, mirror,
    };
    use crate::model::series_key::SeriesKey;

    use super::*;

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
            Kind::Answer(of_workload),
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
}
