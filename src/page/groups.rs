// SPDX-License-Identifier: Apache-2.0
//! Rows of several processes: of a workload, a container or a unit, and the one of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::answers::{Answers, LateAnswers};
use crate::model::increment::{Increment, Totals};
use crate::model::snapshot::{Latency, WorkloadSnapshot};
use crate::model::tick::Tick;
use crate::model::workload::Workload;
use crate::page::grouping::{By, id_of};
use crate::page::past::{Ages, Past};
use crate::page::row::{Detail, Row, series};

/// Names of executables that a row says.
const NAMES: usize = 4;

/// Rows that have an hour, of each kind: more than anybody looks at, and some megabytes.
pub const HOURS: usize = 2000;

pub struct Group {
    pub past: Past,
    answers: LateAnswers,
}

impl Group {
    pub fn new(tick: u64) -> Self {
        Self {
            past: Past::new(tick),
            answers: LateAnswers::default(),
        }
    }

    /// Takes in what a tick has brought.
    pub fn push(&mut self, increment: &Increment, ages: &Ages) {
        if !increment.is_empty() {
            self.past.push(increment, ages.tick);
        }
        let elapsed = ages.elapsed();
        self.answers.tick(increment, &Tick { elapsed });
    }

    fn latency(&self) -> Option<Latency> {
        self.answers.get().and_then(Answers::latency)
    }
}

/// All rows of one kind, by what those have in common that they are of.
pub struct Groups {
    pub by: By,
    all: BTreeMap<Workload, Group>,
}

impl Groups {
    pub fn new(by: By) -> Self {
        Self {
            by,
            all: BTreeMap::new(),
        }
    }

    /// Takes in what a tick has brought to workloads.
    pub fn push(&mut self, grown: &[&WorkloadSnapshot], ages: &Ages) {
        let mut sums: BTreeMap<Workload, Increment> = BTreeMap::new();
        for workload in grown {
            let common = self.by.common(&workload.workload);
            sums.entry(common).or_default().add(&workload.increment);
        }
        for (common, group) in &mut self.all {
            group.push(&sums.remove(common).unwrap_or_default(), ages);
        }
        for (common, increment) in sums {
            let mut group = Group::new(ages.tick);
            group.push(&increment, ages);
            self.all.insert(common, group);
        }
    }

    /// Adds the minute that is over to the hours, and leaves those that no workload is in any more.
    pub fn end_minute(&mut self, ages: &Ages, workloads: &[Arc<WorkloadSnapshot>]) {
        let listed: BTreeSet<_> = workloads
            .iter()
            .map(|it| self.by.common(&it.workload))
            .collect();
        self.all.retain(|common, _| listed.contains(common));
        let mut hours = 0;
        for group in self.all.values_mut() {
            hours += usize::from(group.past.end_minute(ages, hours < HOURS));
        }
    }

    /// Those that have a row, with the workloads that are in it.
    fn members<'a>(
        &self,
        workloads: &'a [Arc<WorkloadSnapshot>],
    ) -> BTreeMap<Workload, Vec<&'a WorkloadSnapshot>> {
        let mut members: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for workload in workloads {
            let common = self.by.common(&workload.workload);
            members.entry(common).or_default().push(&**workload);
        }
        members
    }

    pub fn forget(&mut self, tick: u64) {
        for group in self.all.values_mut() {
            group.past.forget(tick);
        }
    }

    /// With all of their seconds, or the last one alone.
    pub fn rows(&self, workloads: &[Arc<WorkloadSnapshot>], ages: &Ages, whole: bool) -> Vec<Row> {
        let none = Group::new(ages.tick);
        let members = self.members(workloads);
        let rows = members.iter().map(|(common, members)| {
            let group = self.all.get(common).unwrap_or(&none);
            let processes = members.iter().map(|it| it.processes).sum();
            let names: BTreeSet<_> = members.iter().map(|it| it.workload.name()).collect();
            let mut row = Row::of(&group.past, group.latency().as_ref(), ages, whole);
            row.identify(id_of(common), common);
            row.processes = Some(processes);
            row.exited = processes == 0;
            row.requests = members.iter().map(|it| it.totals.requests).sum();
            row.tls_unseen = members.iter().map(|it| it.totals.tls_unseen).sum();
            match self.by {
                By::Process | By::Workload => row.name = Some(common.name().to_owned()),
                By::Container => row.name.clone_from(&row.container),
                By::Unit => row.name.clone_from(&row.unit),
            }
            row.executables = names.into_iter().take(NAMES).map(Into::into).collect();
            row
        });
        rows.collect()
    }

    /// The row that is known by an id, opened.
    pub fn detail(
        &self,
        id: &str,
        workloads: &[Arc<WorkloadSnapshot>],
        ages: &Ages,
    ) -> Option<Detail> {
        let (common, members) = self
            .members(workloads)
            .into_iter()
            .find(|(common, _)| id_of(common) == id)?;
        let mut totals = Totals::default();
        for member in members {
            totals.add_all(&member.totals);
        }
        let none = Group::new(ages.tick);
        let past = &self.all.get(&common).unwrap_or(&none).past;
        Some(Detail::of(past, series(&totals), ages))
    }
}
