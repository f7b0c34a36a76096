// SPDX-License-Identifier: Apache-2.0
//! Turns what the counters grow by into rates and totals, and remembers of each process what a report needs.

use std::ops::Bound;

use crate::model::counters::{Harvest, ProcessId};
use crate::model::dates::Dates;
use crate::model::processes::Processes;
use crate::model::snapshot::{AgentState, Snapshot};
use crate::model::tick::Moment;
use crate::model::workloads::Workloads;

/// What is known between two ticks.
pub struct Tracker {
    dates: Dates,
    processes: Processes,
    workloads: Workloads,
}

impl Tracker {
    /// `start` is when the kernel began to count.
    pub fn new(start: Moment) -> Self {
        Self {
            dates: Dates::new(start),
            processes: Processes::default(),
            workloads: Workloads::default(),
        }
    }

    /// With the start time of the agent's process.
    pub fn since(self, began: u64) -> Self {
        Self {
            processes: Processes::since(began),
            ..self
        }
    }

    /// Those that have not ended, from one on.
    pub fn living(&self, from: Bound<ProcessId>) -> impl Iterator<Item = ProcessId> {
        self.processes.living(from)
    }

    /// Takes in what the kernel has counted until `now`. Rates are over the time since the last tick that there was.
    /// `gone` are processes that were found to have ended before, although the kernel does not say so. Returns what is
    /// known now, and the processes whose last counts are in, so that the kernel may forget them.
    pub fn tick(
        &mut self,
        harvest: Harvest,
        gone: &[ProcessId],
        agent: AgentState,
        now: Moment,
    ) -> (Snapshot, Vec<ProcessId>) {
        let tick = self.dates.tick(now);
        for growth in &harvest.workloads {
            self.workloads.grow_itself(growth, now.instant);
        }
        let mut ended = Vec::new();
        for growth in harvest.processes {
            if growth.ended {
                ended.push(growth.id);
            }
            (self.processes).grow(growth, &mut self.workloads, now.instant);
        }
        for id in gone {
            if let Some(workload) = self.processes.end(*id) {
                self.workloads.end_process(workload, now.instant);
                ended.push(*id);
            }
        }
        let snapshot = Snapshot {
            date: now.date,
            taken: now.instant,
            elapsed: tick.elapsed,
            dates: self.dates.listed(),
            processes: self.processes.tick(&tick),
            workloads: self.workloads.tick(&tick, now.instant),
            missed: harvest.missed,
            kernel: harvest.kernel,
            agent,
        };
        (snapshot, ended)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use crate::model::buckets::BUCKETS;
    use crate::model::counters::{ProcessGrowth, WorkloadGrowth};
    use crate::model::histogram::Histogram;
    use crate::model::increment::Increment;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::Trend;
    use crate::model::window::LISTED;
    use crate::model::workload::Workload;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WORKER: ProcessId = ProcessId {
        pid: 7,
        start_time: 100,
    };

    /// A tracker and its clock.
    struct Clock {
        tracker: Tracker,
        instant: Instant,
        date: SystemTime,
        forget: Vec<ProcessId>,
    }

    fn clock() -> Clock {
        let instant = Instant::now();
        let date = UNIX_EPOCH + 10_000 * SECOND;
        Clock {
            tracker: Tracker::new(Moment { instant, date }),
            instant,
            date,
            forget: Vec::new(),
        }
    }

    impl Clock {
        fn harvest_after(
            &mut self,
            elapsed: Duration,
            harvest: Harvest,
            gone: &[ProcessId],
        ) -> Snapshot {
            self.instant += elapsed;
            self.date += elapsed;
            let now = Moment {
                instant: self.instant,
                date: self.date,
            };
            let agent = AgentState::default();
            let (snapshot, forget) = self.tracker.tick(harvest, gone, agent, now);
            self.forget = forget;
            snapshot
        }

        fn tick_after(&mut self, elapsed: Duration, processes: &[ProcessGrowth]) -> Snapshot {
            let harvest = Harvest {
                processes: processes.to_vec(),
                ..Harvest::default()
            };
            self.harvest_after(elapsed, harvest, &[])
        }

        fn tick(&mut self, processes: &[ProcessGrowth]) -> Snapshot {
            self.tick_after(SECOND, processes)
        }
    }

    fn server() -> Arc<Workload> {
        Arc::new(Workload {
            executable: Some("server".into()),
            ..Workload::default()
        })
    }

    fn grown(id: ProcessId, requests: u64) -> ProcessGrowth {
        ProcessGrowth {
            id,
            workload: server(),
            increment: Increment {
                requests,
                series: Vec::new(),
                ..Increment::default()
            },
            ended: false,
        }
    }

    fn ended(id: ProcessId, requests: u64) -> ProcessGrowth {
        ProcessGrowth {
            ended: true,
            ..grown(id, requests)
        }
    }

    const OK: SeriesKey = SeriesKey {
        method: Method::Get,
        status: 200,
        version: Version::V1_1,
        scheme: Scheme::Http,
    };

    /// Answers that took less than the first bound, and one more that took longer than the last.
    /// Of which one took very long.
    fn histogram(fast: u64, sum_ns: u64) -> Histogram {
        Histogram::new(
            sum_ns,
            [(BUCKETS.of(50_000), fast), (BUCKETS.of(11_000_000_000), 1)],
        )
    }

    fn rates(snapshot: &Snapshot) -> Vec<f64> {
        snapshot.processes[0].requests_per_second.values.to_vec()
    }

    #[test]
    fn a_rate_is_over_the_measured_time() {
        let mut clock = clock();
        clock.tick(&[grown(WORKER, 7)]);
        let snapshot = clock.tick_after(2 * SECOND, &[grown(WORKER, 13)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0, 6.5]);
        assert_eq!(snapshot.elapsed, 2 * SECOND);
        let process = &snapshot.processes[0];
        assert_eq!(process.increment.requests, 13);
        assert_eq!(process.totals.requests, 20);
        assert_eq!(process.workload.name(), "server");
        assert!(!process.exited);
    }

    #[test]
    fn values_have_the_dates_of_their_ticks() {
        let mut clock = clock();
        let start = clock.date;
        let snapshot = clock.tick(&[grown(WORKER, 7)]);
        let values = &snapshot.processes[0].requests_per_second.values;
        let dated: Vec<_> = snapshot.dated(values).collect();
        // The first rate has a beginning.
        assert_eq!(dated, [(start, 0.0), (start + SECOND, 7.0)]);
        let mut snapshot = snapshot;
        for requests in [3, 4, 5, 6] {
            snapshot = clock.tick(&[grown(WORKER, requests)]);
        }
        let values = &snapshot.processes[0].requests_per_second.values;
        assert_eq!(values[..], [7.0, 3.0, 4.0, 5.0, 6.0]);
        let dated: Vec<_> = snapshot.dated(values).collect();
        assert_eq!(dated[0], (start + SECOND, 7.0));
        assert_eq!(dated[4], (snapshot.date, 6.0));
        assert_eq!(
            snapshot.dated(&[1.0]).collect::<Vec<_>>(),
            [(snapshot.date, 1.0)]
        );
    }

    #[test]
    fn only_what_was_busy_when_the_agent_came_has_no_beginning() {
        const AGENT: u64 = 1000;
        let id = |pid, start_time| ProcessId { pid, start_time };
        let (busy, idle, fresh) = (id(1, AGENT - 1), id(2, AGENT - 1), id(3, AGENT + 1));
        let answered = |id, status| {
            let mut growth = grown(id, 7);
            growth.increment.series = vec![(SeriesKey { status, ..OK }, histogram(6, 0))];
            growth
        };
        let mut clock = clock();
        clock.tracker = clock.tracker.since(AGENT);
        clock.tick(&[answered(busy, 200), answered(fresh, 200)]);
        let snapshot = clock.tick(&[answered(busy, 404), answered(idle, 200)]);
        let values = |trend: &Trend| trend.values.to_vec();
        let rates = |at: usize| values(&snapshot.processes[at].requests_per_second);
        assert_eq!(rates(0), [7.0, 7.0]);
        assert_eq!(rates(1), [0.0, 7.0]);
        assert_eq!(rates(2), [0.0, 7.0, 0.0]);
        let answers = |at: usize| {
            let answers = snapshot.processes[at].responses_per_second.iter();
            answers.map(|(status, trend)| (*status, values(trend)))
        };
        // What it had not answered in the first tick, it had not.
        let expected = [(200, vec![7.0, 0.0]), (404, vec![0.0, 7.0])];
        assert!(answers(0).eq(expected));
        assert!(answers(1).eq([(200, vec![0.0, 7.0])]));
        assert!(answers(2).eq([(200, vec![0.0, 7.0, 0.0])]));
    }

    #[test]
    fn an_idle_process_stays_the_same() {
        let mut clock = clock();
        clock.tick(&[grown(WORKER, 7)]);
        for _ in 0..59 {
            let snapshot = clock.tick(&[]);
            assert_eq!(snapshot.processes[0].requests_per_second.peak, 7.0);
        }
        // The parts in which a minute is remembered.
        let ticks = (0..=12).map(|_| clock.tick(&[]));
        let snapshot = ticks.last().unwrap();
        assert_eq!(snapshot.processes[0].requests_per_second.peak, 0.0);
        let later = clock.tick(&[]);
        assert!(Arc::ptr_eq(&snapshot.processes, &later.processes));
        assert!(Arc::ptr_eq(&snapshot.workloads[0], &later.workloads[0]));
        assert_eq!(rates(&later), [0.0; LISTED]);
        let snapshot = clock.tick(&[grown(WORKER, 3)]);
        assert_eq!(rates(&snapshot), [0.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!(snapshot.processes[0].totals.requests, 10);
    }

    #[test]
    fn an_increment_is_in_the_snapshot_of_its_tick_alone() {
        let mut clock = clock();
        let other = SeriesKey { status: 404, ..OK };
        let mut growth = grown(WORKER, 1);
        growth.increment.series = vec![(OK, histogram(11, 5_000)), (other, histogram(2, 7))];
        let snapshot = clock.tick(&[growth]);
        let increment = &snapshot.processes[0].increment;
        assert_eq!((increment.requests, increment.series.len()), (1, 2));
        assert_eq!(increment.answers(), [(200, 12), (404, 3)]);
        assert_eq!(increment.durations().count(), 15);
        let snapshot = clock.tick(&[]);
        assert!(snapshot.processes[0].increment.is_empty());
        assert_eq!(snapshot.processes[0].totals.series.len(), 2);
    }

    #[test]
    fn an_ended_process_is_reported_until_its_last_rate_is_out_of_the_samples() {
        let mut clock = clock();
        let snapshot = clock.tick(&[ended(WORKER, 7)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0]);
        assert!(snapshot.processes[0].exited);
        assert_eq!(clock.forget, [WORKER]);
        for _ in 1..LISTED {
            let snapshot = clock.tick(&[]);
            assert!(rates(&snapshot).contains(&7.0), "{snapshot:?}");
            assert!(clock.forget.is_empty());
        }
        assert_eq!(clock.tick(&[]).processes.len(), 0);
    }

    #[test]
    fn one_that_never_served_is_not_listed_and_forgotten_too() {
        let mut clock = clock();
        assert_eq!(clock.tick(&[ended(WORKER, 0)]).processes.len(), 0);
        assert_eq!(clock.forget, [WORKER]);
    }

    #[test]
    fn one_whose_exit_was_not_seen_ends_as_well() {
        let mut clock = clock();
        clock.tick(&[grown(WORKER, 7)]);
        assert_eq!(
            clock.tracker.living(Bound::Unbounded).collect::<Vec<_>>(),
            [WORKER]
        );
        let harvest = Harvest {
            processes: vec![grown(WORKER, 2)],
            ..Harvest::default()
        };
        let snapshot = clock.harvest_after(SECOND, harvest, &[WORKER]);
        assert!(snapshot.processes[0].exited);
        assert_eq!(snapshot.processes[0].totals.requests, 9);
        assert_eq!(snapshot.workloads[0].processes, 0);
        assert_eq!(clock.forget, [WORKER]);
        assert_eq!(clock.tracker.living(Bound::Unbounded).count(), 0);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut clock = clock();
        clock.tick(&[ended(WORKER, 7)]);
        let reused = ProcessId {
            start_time: 200,
            ..WORKER
        };
        let snapshot = clock.tick(&[grown(reused, 3)]);
        assert_eq!(rates(&snapshot), [0.0, 7.0, 0.0]);
        assert_eq!(snapshot.processes[1].id, reused);
        assert_eq!(snapshot.processes[1].totals.requests, 3);
    }

    #[test]
    fn no_time_at_all_gives_a_finite_rate() {
        let mut clock = clock();
        let snapshot = clock.tick_after(Duration::ZERO, &[grown(WORKER, 7)]);
        assert!(rates(&snapshot).iter().all(|rate| rate.is_finite()));
    }

    #[test]
    fn a_workload_is_all_of_its_processes_and_what_the_kernel_adds() {
        let mut clock = clock();
        let other = ProcessId { pid: 8, ..WORKER };
        clock.tick(&[grown(WORKER, 7), ended(other, 5)]);
        let harvest = Harvest {
            processes: vec![grown(WORKER, 1)],
            workloads: vec![WorkloadGrowth {
                workload: server(),
                increment: Increment {
                    requests: 100,
                    series: vec![(OK, histogram(99, 5_000))],
                    ..Increment::default()
                },
                unlisted: 3,
            }],
            ..Harvest::default()
        };
        let snapshot = clock.harvest_after(SECOND, harvest, &[]);
        let [workload] = &snapshot.workloads[..] else {
            panic!("{:?}", snapshot.workloads)
        };
        assert_eq!(workload.totals.requests, 113);
        assert_eq!(workload.rest.requests, 100);
        assert_eq!(workload.totals.series[0].durations.count(), 100);
        assert_eq!((workload.processes, workload.unlisted), (1, 3));
        assert_eq!(workload.increment.requests, 101);
        assert_eq!(workload.since, clock.instant - SECOND);
        // What came in one tick is not in the next.
        let later = clock.tick(&[]);
        assert!(later.workloads[0].increment.is_empty());
        assert_eq!(later.workloads[0].rest.requests, 100);
    }

    #[test]
    fn a_workload_outlives_its_processes_for_ten_minutes() {
        let mut clock = clock();
        clock.tick(&[ended(WORKER, 7)]);
        for _ in 0..599 {
            let snapshot = clock.tick(&[]);
            assert_eq!(snapshot.workloads[0].totals.requests, 7);
        }
        assert_eq!(clock.tick(&[]).workloads, []);
    }
}
