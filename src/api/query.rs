// SPDX-License-Identifier: Apache-2.0
//! What is asked for: a path and its parameters.

/// Rows of a kind that are told of where nobody asks for another number: more than a person looks through.
const LIMIT: usize = 1000;
/// At most: texts have a bound.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    pub processes: bool,
    pub workloads: bool,
    /// Rows of each kind, the busiest.
    pub limit: usize,
}

impl Query {
    /// `None` where there is no such path; an error where a parameter is wrong.
    pub fn of(path: &str, parameters: Option<&str>) -> Option<Result<Self, &'static str>> {
        let (processes, workloads) = match path {
            "/api/v1" | "/api/v1/" => (true, true),
            "/api/v1/processes" => (true, false),
            "/api/v1/workloads" => (false, true),
            _ => return None,
        };
        let limit = limit(parameters.unwrap_or_default());
        Some(limit.map(|limit| Self {
            processes,
            workloads,
            limit,
        }))
    }
}

fn limit(parameters: &str) -> Result<usize, &'static str> {
    let pairs = parameters.split('&').filter_map(|it| it.split_once('='));
    let mut limit = LIMIT;
    for (_, value) in pairs.filter(|(name, _)| *name == "limit") {
        limit = value
            .parse()
            .ok()
            .filter(|it| (1..=MOST).contains(it))
            .ok_or("limit is a number from 1 to 10000\n")?;
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters() {
        let of = |path, parameters| Query::of(path, parameters);
        let both = Query {
            processes: true,
            workloads: true,
            limit: LIMIT,
        };
        assert_eq!(of("/api/v1", None), Some(Ok(both)));
        let processes = Query {
            workloads: false,
            limit: 7,
            ..both
        };
        assert_eq!(
            of("/api/v1/processes", Some("a=b&limit=7")),
            Some(Ok(processes))
        );
        let workloads = Query {
            processes: false,
            limit: MOST,
            ..both
        };
        assert_eq!(
            of("/api/v1/workloads", Some("limit=10000")),
            Some(Ok(workloads))
        );
        for wrong in ["limit=0", "limit=10001", "limit=-1", "limit=", "limit=7x"] {
            assert!(of("/api/v1", Some(wrong)).unwrap().is_err(), "{wrong}");
        }
        for none in ["/api", "/api/v2", "/api/v1/hosts", "/api/v1/processes/7"] {
            assert_eq!(of(none, None), None);
        }
    }
}
