// SPDX-License-Identifier: Apache-2.0
//! Turns counters that only grow into rates, and remembers of each process what a report needs.

use std::collections::BTreeMap;

use crate::model::counters::{Harvest, ProcessCounters, ProcessId};
use crate::model::snapshot::{AgentState, Identity, Snapshot};
use crate::model::tick::{Moment, Tick};
use crate::model::tracked::Tracked;

/// What is known between two ticks. `identify` is asked once for each process.
pub struct Tracker<N> {
    identify: N,
    previous: Moment,
    processes: BTreeMap<ProcessId, Tracked>,
}

impl<N: FnMut(&ProcessCounters) -> Identity> Tracker<N> {
    /// `start` is when the kernel began to count.
    pub fn new(start: Moment, identify: N) -> Self {
        Self {
            identify,
            previous: start,
            processes: BTreeMap::new(),
        }
    }

    /// Takes in what the kernel has counted until `now`. Rates are over the time since the last tick that there was.
    /// Returns what is known now, and the processes whose last counts are in, so that the kernel may forget them.
    pub fn tick(
        &mut self,
        harvest: Harvest,
        agent: AgentState,
        now: Moment,
    ) -> (Snapshot, Vec<ProcessId>) {
        let tick = Tick {
            previous: self.previous.date,
            date: now.date,
            elapsed: now.instant.saturating_duration_since(self.previous.instant),
        };
        let harvested: BTreeMap<ProcessId, ProcessCounters> = harvest
            .processes
            .into_iter()
            .map(|counters| (counters.id, counters))
            .collect();
        // One that only answers has taken its requests over from another process.
        let serves = |it: &ProcessCounters| it.requests > 0 || !it.series.is_empty();
        for (id, counters) in harvested.iter().filter(|(_, it)| serves(it)) {
            self.processes.entry(*id).or_insert_with(|| {
                let identity = (self.identify)(counters);
                Tracked::new(identity, tick.previous)
            });
        }
        self.processes.retain(|id, process| {
            let counters = harvested.get(id);
            process.tick(counters, &tick);
            // An entry that the kernel could not be made to forget must not look like a new process.
            process.is_listed() || counters.is_some()
        });
        self.previous = now;

        let processes = self.processes.iter();
        let snapshot = Snapshot {
            date: now.date,
            taken: now.instant,
            elapsed: tick.elapsed,
            processes: processes
                .filter(|(_, process)| process.is_listed())
                .map(|(id, process)| process.snapshot(*id))
                .collect(),
            missed: harvest.missed,
            kernel: harvest.kernel,
            agent,
        };
        let exited = harvested.into_values().filter(|counters| counters.exited);
        (snapshot, exited.map(|counters| counters.id).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::SeriesKey;
    use crate::model::histogram::{BOUNDS_US, Histogram};
    use crate::model::window::LISTED;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WORKER: ProcessId = ProcessId {
        pid: 7,
        start_time: 100,
    };

    /// A tracker and its clock.
    struct Clock<N> {
        tracker: Tracker<N>,
        instant: Instant,
        date: SystemTime,
        forget: Vec<ProcessId>,
    }

    fn clock() -> Clock<impl FnMut(&ProcessCounters) -> Identity> {
        let date = UNIX_EPOCH + 10_000 * SECOND;
        let instant = Instant::now();
        Clock {
            tracker: Tracker::new(Moment { instant, date }, |it| Identity {
                name: format!("{}-{}", it.executable, it.id.pid).into(),
                cgroup: Cgroup::default(),
            }),
            instant,
            date,
            forget: Vec::new(),
        }
    }

    impl<N: FnMut(&ProcessCounters) -> Identity> Clock<N> {
        fn tick_after(&mut self, elapsed: Duration, processes: &[ProcessCounters]) -> Snapshot {
            self.instant += elapsed;
            self.date += elapsed;
            let now = Moment {
                instant: self.instant,
                date: self.date,
            };
            let harvest = Harvest {
                processes: processes.to_vec(),
                ..Harvest::default()
            };
            let (snapshot, forget) = self.tracker.tick(harvest, AgentState::default(), now);
            self.forget = forget;
            snapshot
        }

        fn tick(&mut self, processes: &[ProcessCounters]) -> Snapshot {
            self.tick_after(SECOND, processes)
        }
    }

    fn live(id: ProcessId, requests: u64) -> ProcessCounters {
        ProcessCounters {
            id,
            comm: "comm".to_owned(),
            executable: "server".to_owned(),
            cgroup: String::new(),
            requests,
            series: BTreeMap::new(),
            exited: false,
        }
    }

    fn exited(id: ProcessId, requests: u64) -> ProcessCounters {
        ProcessCounters {
            exited: true,
            ..live(id, requests)
        }
    }

    const OK: SeriesKey = SeriesKey {
        method: "GET",
        status: 200,
        version: "1.1",
    };

    /// Answers that took less than the first bound, and one more that took longer than the last.
    fn histogram(fast: u64, sum_ns: u64) -> Histogram {
        let mut histogram = Histogram {
            sum_ns,
            ..Histogram::default()
        };
        histogram.buckets[0] = fast;
        histogram.buckets[BOUNDS_US.len()] = 1;
        histogram
    }

    fn answering(key: SeriesKey, histogram: Histogram) -> ProcessCounters {
        ProcessCounters {
            series: BTreeMap::from([(key, histogram)]),
            ..live(WORKER, 1)
        }
    }

    fn rates(snapshot: &Snapshot) -> Vec<f64> {
        let samples = &snapshot.processes[0].requests_per_second;
        samples.iter().map(|sample| sample.value).collect()
    }

    #[test]
    fn a_rate_is_the_difference_over_the_measured_time() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 7)]);
        let snapshot = clock.tick_after(2 * SECOND, &[live(WORKER, 20)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0, 6.5]);
        assert_eq!(snapshot.elapsed, 2 * SECOND);
        let process = &snapshot.processes[0];
        assert_eq!(process.increment.requests, 13);
        assert_eq!(process.requests_total, 20);
        assert_eq!(&*process.name, "server-7");
        assert!(!process.exited);
    }

    #[test]
    fn the_first_rate_has_a_beginning() {
        let mut clock = clock();
        let start = clock.date;
        let snapshot = clock.tick(&[live(WORKER, 7)]);
        let dates: Vec<_> = snapshot.processes[0]
            .requests_per_second
            .iter()
            .map(|sample| sample.date)
            .collect();
        assert_eq!(dates, [start, start + SECOND]);
    }

    #[test]
    fn five_samples_are_listed_oldest_first() {
        let mut clock = clock();
        let mut snapshot = clock.tick(&[]);
        for total in [1, 3, 6, 10, 15, 21] {
            snapshot = clock.tick(&[live(WORKER, total)]);
        }
        assert_eq!(rates(&snapshot), [2.0, 3.0, 4.0, 5.0, 6.0]);
        let samples = &snapshot.processes[0].requests_per_second;
        assert!(samples.iter().is_sorted_by(|a, b| a.date < b.date));
        assert_eq!(samples[4].date, snapshot.date);
    }

    #[test]
    fn an_idle_process_stays_listed_and_one_that_never_served_is_not() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 7)]);
        let idle = ProcessId { pid: 8, ..WORKER };
        let mut snapshot = clock.tick(&[]);
        for _ in 0..100 {
            snapshot = clock.tick(&[live(WORKER, 7), live(idle, 0)]);
        }
        assert_eq!(snapshot.processes.len(), 1);
        assert_eq!(rates(&snapshot), [0.0; LISTED]);
    }

    #[test]
    fn the_peak_is_that_of_the_last_minute() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 50)]);
        for _ in 0..59 {
            let snapshot = clock.tick(&[live(WORKER, 50)]);
            assert_eq!(snapshot.processes[0].requests_per_second_peak, 50.0);
        }
        let snapshot = clock.tick(&[live(WORKER, 50)]);
        assert_eq!(snapshot.processes[0].requests_per_second_peak, 0.0);
    }

    #[test]
    fn an_exited_process_is_reported_until_its_last_rate_is_out_of_the_samples() {
        let mut clock = clock();
        let snapshot = clock.tick(&[exited(WORKER, 7)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0]);
        assert!(snapshot.processes[0].exited);
        assert_eq!(clock.forget, [WORKER]);
        for _ in 1..LISTED {
            let snapshot = clock.tick(&[]);
            assert!(rates(&snapshot).contains(&7.0), "{snapshot:?}");
            assert!(clock.forget.is_empty());
        }
        assert_eq!(clock.tick(&[]).processes, []);
    }

    #[test]
    fn an_exited_process_that_never_served_is_forgotten_too() {
        let mut clock = clock();
        assert_eq!(clock.tick(&[exited(WORKER, 0)]).processes, []);
        assert_eq!(clock.forget, [WORKER]);
    }

    #[test]
    fn an_entry_that_the_kernel_keeps_is_not_counted_again() {
        let mut clock = clock();
        for _ in 0..LISTED {
            clock.tick(&[exited(WORKER, 7)]);
            assert_eq!(clock.forget, [WORKER]);
        }
        for _ in 0..LISTED {
            assert_eq!(clock.tick(&[exited(WORKER, 7)]).processes, []);
            assert_eq!(clock.forget, [WORKER]);
        }
    }

    #[test]
    fn a_counter_that_starts_again_counts_from_nothing() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 11)]);
        clock.tick(&[live(WORKER, 3)]);
        let snapshot = clock.tick(&[live(WORKER, 5)]);
        assert_eq!(rates(&snapshot), [0.0, 11.0, 3.0, 2.0]);
        assert_eq!(snapshot.processes[0].requests_total, 16);
    }

    #[test]
    fn series_are_totals_that_outlive_an_entry_of_the_kernel() {
        let mut clock = clock();
        let other = SeriesKey {
            status: 404,
            ..OK.clone()
        };
        clock.tick(&[answering(OK, histogram(11, 5_000))]);
        clock.tick(&[answering(other.clone(), histogram(2, 7))]);
        // It has more time in it than before, but fewer answers.
        let snapshot = clock.tick(&[answering(OK, histogram(3, 8_000))]);
        let series = &snapshot.processes[0].series;
        assert_eq!(series[&other], histogram(2, 7));
        assert_eq!(series[&OK].sum_ns, 13_000);
        assert_eq!(series[&OK].buckets[0], 14);
        assert_eq!(series[&OK].count(), 16);

        let snapshot = clock.tick(&[answering(OK, histogram(4, 8_001))]);
        assert_eq!(snapshot.processes[0].series[&OK].count(), 17);
    }

    #[test]
    fn an_increment_has_only_what_has_grown() {
        let mut clock = clock();
        let other = SeriesKey {
            status: 404,
            ..OK.clone()
        };
        let mut process = answering(OK, histogram(11, 5_000));
        process.series.insert(other.clone(), histogram(2, 7));
        let snapshot = clock.tick(&[process.clone()]);
        let increment = &snapshot.processes[0].increment;
        assert_eq!((increment.requests, increment.series.len()), (1, 2));
        assert_eq!(increment.answers(), BTreeMap::from([(200, 12), (404, 3)]));
        assert_eq!(increment.durations().count(), 15);

        process.series.insert(other.clone(), histogram(5, 9));
        let snapshot = clock.tick(&[process.clone()]);
        let grown = &snapshot.processes[0].increment.series;
        let [(key, histogram)] = &grown[..] else {
            panic!("{grown:?}")
        };
        assert_eq!((key, histogram.sum_ns, histogram.count()), (&other, 2, 3));
        assert!(clock.tick(&[process]).processes[0].increment.is_empty());
        assert!(clock.tick(&[]).processes[0].increment.is_empty());
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut clock = clock();
        clock.tick(&[exited(WORKER, 7)]);
        let reused = ProcessId {
            start_time: 200,
            ..WORKER
        };
        let snapshot = clock.tick(&[live(reused, 3)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0, 0.0]);
        assert_eq!(snapshot.processes[1].id, reused);
        assert_eq!(snapshot.processes[1].requests_total, 3);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_the_order() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 7)]);
        clock.date -= 3600 * SECOND;
        let snapshot = clock.tick(&[live(WORKER, 9)]);
        assert_eq!(rates(&snapshot), [2.0]);
    }

    #[test]
    fn a_process_that_is_back_after_one_missing_harvest_has_not_exited() {
        let mut clock = clock();
        clock.tick(&[live(WORKER, 7)]);
        assert!(clock.tick(&[]).processes[0].exited);
        let snapshot = clock.tick(&[live(WORKER, 9)]);
        assert!(!snapshot.processes[0].exited);
        assert_eq!(rates(&snapshot), [0.0, 7.0, 0.0, 2.0]);
        // Nor does it count as on its way out later.
        let mut snapshot = snapshot;
        for _ in 0..2 * LISTED {
            snapshot = clock.tick(&[live(WORKER, 9)]);
        }
        assert!(!snapshot.processes[0].exited);
    }

    #[test]
    fn no_time_at_all_gives_a_finite_rate() {
        let mut clock = clock();
        let snapshot = clock.tick_after(Duration::ZERO, &[live(WORKER, 7)]);
        assert!(rates(&snapshot).iter().all(|rate| rate.is_finite()));
    }
}
