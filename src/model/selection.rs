// SPDX-License-Identifier: Apache-2.0
//! Which workloads are shown, by what tells them apart. What is not is left out of every snapshot, and so of whatever is made of these.

use std::str::FromStr;
use std::sync::Arc;

use crate::model::counters::Harvest;
use crate::model::snapshot::{ProcessSnapshot, Snapshot};
use crate::model::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Executable,
    Unit,
    Container,
    Port,
}

const PROPERTIES: [(&str, Property); 4] = [
    ("executable", Property::Executable),
    ("unit", Property::Unit),
    ("container", Property::Container),
    ("port", Property::Port),
];

/// One property and what it has to be: `unit=docker-*.scope`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    property: Property,
    /// With `*` for any characters.
    pattern: String,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || PROPERTIES.map(|(name, _)| format!("{name}=…")).join(", ");
        let (name, pattern) = text
            .split_once('=')
            .ok_or_else(|| format!("none of {}", known()))?;
        let property = PROPERTIES.iter().find(|(it, _)| *it == name);
        let (_, property) = property.ok_or_else(|| format!("none of {}", known()))?;
        if pattern.is_empty() {
            return Err(format!("{name}= has no value"));
        }
        if *property == Property::Port && pattern.parse::<u16>().is_err() {
            return Err(format!("{pattern:?} is no port"));
        }
        Ok(Self {
            property: *property,
            pattern: pattern.to_owned(),
        })
    }
}

impl Rule {
    fn is_met_by(&self, workload: &Workload) -> bool {
        let cgroup = &workload.cgroup;
        let text = match self.property {
            Property::Executable => workload.executable.as_deref(),
            Property::Unit => cgroup.systemd_unit.as_deref(),
            // People write the first characters of an id.
            Property::Container => {
                let id = cgroup.container_id.as_deref();
                return id
                    .is_some_and(|id| id.starts_with(&self.pattern) || is_like(id, &self.pattern));
            }
            Property::Port => {
                return workload
                    .port
                    .is_some_and(|port| port.to_string() == self.pattern);
            }
        };
        text.is_some_and(|text| is_like(text, &self.pattern))
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any characters. Each part between is looked for once, from the left.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        match text.split_once(part) {
            _ if part.is_empty() => {}
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

/// What is to be shown.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Where there are any, one of them has to be met.
    pub include: Vec<Rule>,
    /// None of these may be.
    pub exclude: Vec<Rule>,
}

impl Selection {
    fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    fn shows(&self, workload: &Workload) -> bool {
        let is_met = |rules: &[Rule]| rules.iter().any(|rule| rule.is_met_by(workload));
        // Nobody knows what is in one that stands for all others.
        workload.executable.is_none()
            || ((self.include.is_empty() || is_met(&self.include)) && !is_met(&self.exclude))
    }

    /// How many requests a harvest has brought that are not shown.
    pub fn left_out(&self, harvest: &Harvest) -> u64 {
        if self.is_all() {
            return 0;
        }
        let processes = harvest.processes.iter();
        let processes = processes.map(|it| (&it.workload, it.increment.requests));
        let workloads = harvest.workloads.iter();
        let workloads = workloads.map(|it| (&it.workload, it.increment.requests));
        let all = processes.chain(workloads);
        all.filter(|(workload, _)| !self.shows(workload))
            .map(|(_, requests)| requests)
            .sum()
    }
}

/// Leaves out of snapshots what is not shown.
#[derive(Debug, Default)]
pub struct Selecting {
    pub selection: Selection,
    /// All processes of the snapshot before, and those that are shown: where nothing has changed they are the same again.
    latest: Option<(Listed, Listed)>,
}

type Listed = Arc<[Arc<ProcessSnapshot>]>;

impl Selecting {
    pub fn by(selection: Selection) -> Self {
        Self {
            selection,
            latest: None,
        }
    }

    pub fn select(&mut self, snapshot: &mut Snapshot) {
        let selection = &self.selection;
        if selection.is_all() {
            return;
        }
        snapshot
            .workloads
            .retain(|it| selection.shows(&it.workload));
        let all = Arc::clone(&snapshot.processes);
        let shown = match &self.latest {
            Some((before, shown)) if Arc::ptr_eq(before, &all) => Arc::clone(shown),
            _ => {
                let shown = all.iter().filter(|it| selection.shows(&it.workload));
                shown.cloned().collect()
            }
        };
        snapshot.processes = Arc::clone(&shown);
        self.latest = Some((all, shown));
    }
}

#[cfg(test)]
mod tests {
    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{ProcessGrowth, ProcessId, WorkloadGrowth};
    use crate::model::increment::Increment;

    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let rules = |rules: &[&str]| rules.iter().map(|it| it.parse().unwrap()).collect();
        Selection {
            include: rules(include),
            exclude: rules(exclude),
        }
    }

    fn nginx() -> Workload {
        Workload {
            executable: Some("nginx".into()),
            cgroup: Cgroup {
                container_id: Some("8c2b7a3f4d5e60718293".into()),
                k8s_pod_uid: None,
                systemd_unit: Some("nginx-front.service".into()),
            },
            port: Some(8080),
        }
    }

    #[test]
    fn a_rule_is_met_by_what_it_says() {
        for (rule, is_met) in [
            ("executable=nginx", true),
            ("executable=ngin", false),
            ("executable=n*x", true),
            ("executable=*", true),
            ("unit=nginx-*.service", true),
            ("unit=*front*", true),
            ("unit=*-*-*", false),
            ("unit=nginx-front.service*service", false),
            ("container=8c2b7a3f4d5e", true),
            ("container=*0718293", true),
            ("container=7a3f", false),
            ("port=8080", true),
            ("port=80", false),
        ] {
            let rule: Rule = rule.parse().unwrap();
            assert_eq!(rule.is_met_by(&nginx()), is_met, "{rule:?}");
            let nothing = Workload::default();
            assert!(!rule.is_met_by(&nothing), "{rule:?}");
        }
        for wrong in ["nginx", "name=nginx", "port=http", "port=65536", "unit="] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_excluded_goes_before_what_is_included() {
        let shows =
            |include: &[&str], exclude: &[&str]| selection(include, exclude).shows(&nginx());
        assert!(shows(&[], &[]));
        assert!(shows(&["port=80", "executable=nginx"], &[]));
        assert!(!shows(&["port=80"], &[]));
        assert!(!shows(&["executable=nginx"], &["port=8080"]));
        assert!(shows(&[], &["port=80"]));
        // It may be in what there was no room for.
        assert!(selection(&["port=80"], &[]).shows(&Workload::default()));
    }

    #[test]
    fn requests_that_are_left_out_are_counted() {
        let increment = |requests| Increment {
            requests,
            ..Increment::default()
        };
        let process = |workload, requests| ProcessGrowth {
            id: ProcessId::default(),
            workload: Arc::new(workload),
            increment: increment(requests),
            ended: false,
        };
        let harvest = Harvest {
            processes: vec![process(nginx(), 7), process(Workload::default(), 11)],
            workloads: vec![WorkloadGrowth {
                workload: Arc::new(nginx()),
                increment: increment(13),
                unlisted: 0,
            }],
            ..Harvest::default()
        };
        assert_eq!(selection(&[], &["unit=nginx*"]).left_out(&harvest), 20);
        assert_eq!(selection(&["port=8080"], &[]).left_out(&harvest), 0);
        assert_eq!(Selection::default().left_out(&harvest), 0);
    }
}
