// SPDX-License-Identifier: Apache-2.0
//! Clears what is over in the kernel's tables, so that there is room for others.

use std::mem::offset_of;

use anyhow::Result;

use crate::kernel::decode::owner;
use crate::kernel::load::Bpf;
use crate::kernel::mirror::Known;
use crate::kernel::shares::Resource;
use crate::kernel::skeleton::types;
use crate::kernel::table::Entry;
use crate::model::counters::ProcessId;
use crate::model::increment::KINDS;

/// Readings after which a workload without a process, which has counted nothing for so long, can no longer be found by the
/// programs, and after which it is cleared: whoever had found it before has a process that was read since.
const UNLINKED: u32 = 60;
const CLEARED: u32 = UNLINKED + 2;

/// Where a series has its spans.
const SPANS: usize = offset_of!(types::http_series, spans);

impl Bpf<'_> {
    /// Clears the entries of processes that have ended, and those of workloads that have long been idle.
    pub fn forget(&mut self, ended: &[ProcessId]) -> Result<()> {
        for id in ended {
            let Some((place, known)) = self.mirror.process(*id) else {
                continue;
            };
            let entry = self.processes.entry(place)?;
            self.forget_series(&entry.owner, known)?;
            self.processes.clear(&[(place, entry.key())], self.access)?;
            self.shares.give_back(known.share, Resource::Processes, 1);
            // Not before: what stays in the kernel must not look like a new process.
            self.mirror.remove_process(place);
        }
        self.forget_workloads()
    }

    fn forget_workloads(&mut self) -> Result<()> {
        // The agent's own is idle as long as it lives.
        let own = self.processes.entry(self.own.place)?.workload;
        for place in self.mirror.idle_workloads(UNLINKED) {
            let key = self.workloads.entry(place)?.key();
            let is_unlinked = |place| self.mirror.workload(place).is_some_and(|it| it.unlinked);
            if place == own || is_last(&key) || is_unlinked(place) {
                continue;
            }
            // SAFETY: `Plain`.
            let key = unsafe { plain::as_bytes(&key) };
            self.workloads.unlink(&[key], self.access)?;
            self.mirror.unlinked_workload(place);
        }
        for place in self.mirror.idle_workloads(CLEARED) {
            let entry = self.workloads.entry(place)?;
            if place == own || is_last(&entry.key()) {
                continue;
            }
            let Some(workload) = self.mirror.workload(place) else {
                continue;
            };
            let known = &workload.known;
            self.forget_series(&entry.owner, known)?;
            // Its key may lead to another place by now.
            self.workloads.release(&[place], self.access)?;
            self.shares.give_back(known.share, Resource::Workloads, 1);
            self.mirror.remove_workload(place);
        }
        Ok(())
    }

    fn forget_series(&self, owner: &types::http_owner, known: &Known) -> Result<()> {
        let mut cleared = Vec::new();
        for place in &known.series {
            let key = self.series.entry(*place)?.key();
            if !is_still(known.id, &key) {
                continue;
            }
            let of_series = self.series.take_out(*place, SPANS)?;
            let spans = self.spans.give_back(of_series, self.access)?;
            self.shares.give_back(known.share, Resource::Spans, spans);
            cleared.push((*place, key));
        }
        // SAFETY: `Plain`.
        let keys = cleared
            .iter()
            .map(|(_, key)| unsafe { plain::as_bytes(key) });
        (self.series).unlink(&keys.collect::<Vec<_>>(), self.access)?;
        // Once their places are cleared they are no longer known to be its own.
        self.shares
            .give_back(known.share, Resource::Series, cleared.len());
        let places: Vec<_> = cleared.iter().map(|(place, _)| *place).collect();
        self.series.release(&places, self.access)?;
        // Behind the last number are the answers that have no kind of their own.
        let numbers = (0..owner.kinds).chain([KINDS as u32]);
        let numbers: Vec<_> = numbers
            .map(|n| types::http_series_key {
                start_time: known.id.start_time,
                pid: known.id.pid,
                status: n as u16,
                method: HTTP_NO_METHOD,
                version: types::http_version(0),
            })
            .collect();
        // SAFETY: `Plain`.
        let numbers = numbers.iter().map(|key| unsafe { plain::as_bytes(key) });
        (self.series).unlink(&numbers.collect::<Vec<_>>(), self.access)
    }
}

/// Whether a series is still somebody's. Where something has failed before, it may be cleared, and be another one's by now.
fn is_still(id: ProcessId, key: &types::http_series_key) -> bool {
    owner(key) == id
}

/// The one for whatever has no other.
fn is_last(key: &types::http_workload_key) -> bool {
    key.cgroup == 0
}

/// As `src/bpf/http.h` has it.
const HTTP_NO_METHOD: types::http_method = types::http_method(0xff);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_programs() {
        let header = include_str!("../bpf/http.h");
        let kinds = format!("HTTP_KINDS = {KINDS},");
        let no_method = format!(
            "#define HTTP_NO_METHOD ((enum http_method){:#x})",
            HTTP_NO_METHOD.0
        );
        assert!(header.contains(&kinds) && header.contains(&no_method));
        let resources = header.split_once("enum http_resource {").unwrap().1;
        let resources = resources.split_once("HTTP_RESOURCES").unwrap().0;
        let expected = [
            ("HTTP_PROCESSES", Resource::Processes),
            ("HTTP_WORKLOADS", Resource::Workloads),
            ("HTTP_SERIES", Resource::Series),
            ("HTTP_SPAN", Resource::Spans),
        ];
        let named: Vec<_> = resources.split(',').map(str::trim).collect();
        for (name, resource) in expected {
            assert_eq!(named[resource as usize], name);
        }
    }

    #[test]
    fn what_is_another_ones_by_now_is_left_alone() {
        let id = ProcessId {
            pid: 7,
            start_time: 100,
        };
        let key = |pid, start_time| types::http_series_key {
            start_time,
            pid,
            ..Default::default()
        };
        assert!(is_still(id, &key(7, 100)));
        let others = [key(7, 101), key(8, 100), key(0, 0)];
        assert!(others.iter().all(|it| !is_still(id, it)));
    }
}
