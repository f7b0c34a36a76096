// SPDX-License-Identifier: Apache-2.0
//! All processes that have served a request, from one tick to the next.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::model::counters::{ProcessGrowth, ProcessId};
use crate::model::snapshot::ProcessSnapshot;
use crate::model::tick::Tick;
use crate::model::tracked::Tracked;
use crate::model::workload::Workload;
use crate::model::workloads::Workloads;

#[derive(Default)]
pub struct Processes {
    /// Those that began before that may have been busy when the kernel began to count. 0 from the first tick on: what was idle
    /// in that is known to be.
    began: u64,
    /// In boxes: a tree has room for many that are not there.
    all: BTreeMap<ProcessId, Box<Tracked>>,
    /// Those of which there is something new to tell in the next tick.
    awake: Vec<ProcessId>,
    listed: Arc<[Arc<ProcessSnapshot>]>,
}

impl Processes {
    pub fn since(began: u64) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }

    /// Those that have not ended, from one on.
    pub fn living(&self, from: Bound<ProcessId>) -> impl Iterator<Item = ProcessId> {
        let processes = self.all.range((from, Bound::Unbounded));
        let living = processes.filter(|(_, it)| !it.has_ended());
        living.map(|(id, _)| *id)
    }

    /// By what the kernel has counted, which is their workloads' as well.
    pub fn grow(&mut self, growth: ProcessGrowth, workloads: &mut Workloads, now: Instant) {
        let workload = &growth.workload;
        let process = match self.all.entry(growth.id) {
            Entry::Vacant(_) if growth.increment.is_empty() => return,
            Entry::Vacant(new) => {
                workloads.begin_process(workload, now);
                let joined = growth.id.start_time < self.began;
                new.insert(Box::new(Tracked::new(growth.id, workload.clone(), joined)))
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        workloads.grow(workload, &growth.increment, now);
        if growth.ended && !process.has_ended() {
            workloads.end_process(workload, now);
        }
        self.awake.push(growth.id);
        process.grow(growth, now);
    }

    /// One that was found to have ended, if nobody has said so before. Returns its workload.
    pub fn end(&mut self, id: ProcessId) -> Option<&Arc<Workload>> {
        let process = self.all.get_mut(&id).filter(|it| !it.has_ended())?;
        process.end();
        self.awake.push(id);
        Some(process.workload())
    }

    /// What is known of them now, in the order of their ids: with what is new of those that are awake.
    pub fn tick(&mut self, tick: &Tick) -> Arc<[Arc<ProcessSnapshot>]> {
        self.began = 0;
        if !self.awake.is_empty() {
            self.list(tick);
        }
        Arc::clone(&self.listed)
    }

    fn list(&mut self, tick: &Tick) {
        let mut awake = std::mem::take(&mut self.awake);
        awake.sort_unstable();
        awake.dedup();
        let mut known = self.listed.iter().peekable();
        let mut listed = Vec::with_capacity(self.all.len());
        let mut over = Vec::new();
        // Side by side: to look each of very many up would take longer.
        let mut all = self.all.iter_mut().peekable();
        awake.retain(|id| {
            while let Some(idle) = known.next_if(|it| it.id < *id) {
                listed.push(Arc::clone(idle));
            }
            known.next_if(|it| it.id == *id);
            while all.next_if(|(it, _)| *it < id).is_some() {}
            let Some((_, process)) = all.next_if(|(it, _)| *it == id) else {
                return false;
            };
            let (snapshot, is_settled) = process.tick(tick);
            if !process.is_listed() {
                over.push(*id);
                return false;
            }
            listed.push(snapshot);
            !is_settled
        });
        listed.extend(known.cloned());
        self.listed = listed.into();
        self.awake = awake;
        for id in over {
            self.all.remove(&id);
        }
    }
}
