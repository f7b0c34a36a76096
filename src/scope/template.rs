// SPDX-License-Identifier: Apache-2.0
//! The metrics that Weave Scope is told of: ids and labels as the original plugin has them, and latency.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::model::series_key::SeriesKey;

pub const REQUESTS: &str = "http_requests_per_second";
/// Calls with any other status than OK.
pub const GRPC_ERRORS: &str = "grpc_errors_per_second";
pub const DURATION_P50: &str = "http_request_duration_p50_ms";
pub const DURATION_P90: &str = "http_request_duration_p90_ms";
pub const DURATION_P99: &str = "http_request_duration_p99_ms";
pub const DURATION_MAX: &str = "http_request_duration_max_ms";
/// Responses with a status code that has no template of its own.
const OTHERS: &str = "http_OTHERS_responses_per_second";

/// IANA's registry of status codes: errors, the server's before the client's.
const ERRORS: [u16; 40] = [
    500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, //
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 451,
];

/// The registry's other ones.
const NO_ERRORS: [u16; 24] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, //
    300, 301, 302, 303, 304, 305, 306, 307, 308, //
    100, 101, 102, 103, 104,
];

/// Classes of codes by their first digit, and the ids of their metrics. Nothing is answered for good with a 1xx but 101.
const CLASSES: [(u16, &str); 4] = [
    (2, "http_2xx_responses_per_second"),
    (3, "http_3xx_responses_per_second"),
    (4, "http_4xx_responses_per_second"),
    (5, "http_5xx_responses_per_second"),
];

/// What stands before a code in the rows of the table.
const ROW: &str = "http_responses_";

#[derive(Clone, Serialize)]
pub struct Template {
    id: String,
    label: String,
    format: &'static str,
    priority: f64,
}

/// A list of names and values in the details of a node: whatever it has with the prefix.
#[derive(Serialize)]
pub struct TableTemplate {
    id: &'static str,
    label: &'static str,
    prefix: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// All codes of a process.
pub static TABLES: LazyLock<BTreeMap<&str, TableTemplate>> = LazyLock::new(|| {
    let table = TableTemplate {
        id: ROW,
        label: "HTTP responses",
        prefix: ROW,
        kind: "property-list",
    };
    BTreeMap::from([(ROW, table)])
});

/// Every metric that a process may have, by id. All are declared in every report: a template that comes together with its
/// first sample is shown seconds late.
pub static TEMPLATES: LazyLock<BTreeMap<String, Template>> = LazyLock::new(|| {
    let of_status = |status| {
        let label = format!("HTTP Resp {status}/Second");
        (responses_id(status), label)
    };
    let codes = ERRORS.into_iter().chain(NO_ERRORS).map(of_status);
    let others = (OTHERS.to_owned(), "HTTP Resp OTHERS/Second".to_owned());
    templates(sums().into_iter().chain(codes).chain([others]), 0.1)
});

/// Those that a container may have.
pub static ROLLED_UP: LazyLock<BTreeMap<String, Template>> =
    LazyLock::new(|| templates(sums(), 0.1));

/// Those that a host may have: after Scope's own, of CPU, memory and load, which go up to 11.
pub static OF_HOSTS: LazyLock<BTreeMap<String, Template>> =
    LazyLock::new(|| templates(sums(), 20.0));

/// All but single codes, in their order: a label has 18 characters at most, or it is cut.
fn sums() -> Vec<(String, String)> {
    let named = |id: &str, label: &str| (id.to_owned(), label.to_owned());
    let of_class = |class: usize| {
        let (digit, id) = CLASSES[class];
        (id.to_owned(), format!("HTTP {digit}xx/Second"))
    };
    vec![
        named(REQUESTS, "HTTP Req/Second"),
        named(GRPC_ERRORS, "gRPC Errors/Second"),
        of_class(3),
        of_class(2),
        named(DURATION_P50, "HTTP p50 (ms)"),
        named(DURATION_P90, "HTTP p90 (ms)"),
        named(DURATION_P99, "HTTP p99 (ms)"),
        named(DURATION_MAX, "HTTP max (ms)"),
        of_class(0),
        of_class(1),
    ]
}

/// The details panel shows the three of lowest priority, and shuffles equal ones.
fn templates(
    ordered: impl IntoIterator<Item = (String, String)>,
    first: f64,
) -> BTreeMap<String, Template> {
    let templates = ordered.into_iter().zip(0..).map(|((id, label), rank)| {
        let template = Template {
            id: id.clone(),
            label,
            format: "",
            priority: (first * 1000.0 + f64::from(rank)) / 1000.0,
        };
        (id, template)
    });
    templates.collect()
}

/// The id of the metric that counts responses of this code's class.
pub fn class(status: u16) -> Option<&'static str> {
    let class = CLASSES.iter().find(|(digit, _)| *digit == status / 100);
    class.map(|(_, id)| *id)
}

/// What a row of the table is called.
pub fn row(status: u16) -> String {
    match status {
        0 => format!("{ROW}others"),
        SeriesKey::UNKNOWN_STATUS => format!("{ROW}unknown"),
        status => format!("{ROW}{status}"),
    }
}

/// The id of the metric that counts responses with this status code.
pub fn responses(status: u16) -> &'static str {
    let template = TEMPLATES.get_key_value(&responses_id(status));
    template.map_or(OTHERS, |(id, _)| id)
}

fn responses_id(status: u16) -> String {
    format!("http_{status}_responses_per_second")
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn a_code_with_a_name_has_a_template_and_any_other_has_that_of_the_others() {
        for status in 100..1000 {
            let known = StatusCode::from_u16(status).unwrap();
            let id = responses(status);
            if known.canonical_reason().is_some() {
                assert_eq!(id, format!("http_{status}_responses_per_second"));
            }
            assert_eq!(TEMPLATES[id].id, id);
        }
        assert_eq!(responses(499), "http_OTHERS_responses_per_second");
        assert_eq!(responses(999), "http_OTHERS_responses_per_second");
    }

    #[test]
    fn labels_are_those_of_the_original() {
        let label = |status| TEMPLATES[responses(status)].label.as_str();
        assert_eq!(TEMPLATES[REQUESTS].label, "HTTP Req/Second");
        assert_eq!(label(202), "HTTP Resp 202/Second");
        assert_eq!(label(503), "HTTP Resp 503/Second");
        assert_eq!(label(499), "HTTP Resp OTHERS/Second");
    }

    #[test]
    fn labels_fit_but_for_those_of_the_originals_codes() {
        let own = ROLLED_UP.values().chain(OF_HOSTS.values());
        for template in own {
            assert!(template.label.chars().count() <= 18, "{}", template.label);
            assert!(TEMPLATES.contains_key(&template.id));
        }
        let last_of_the_probe = 11.0;
        assert!(OF_HOSTS.values().all(|it| it.priority > last_of_the_probe));
    }

    #[test]
    fn codes_have_their_class() {
        assert_eq!(class(200), Some("http_2xx_responses_per_second"));
        assert_eq!(class(599), Some("http_5xx_responses_per_second"));
        for none in [0, SeriesKey::UNKNOWN_STATUS, 101, 600, 999] {
            assert_eq!(class(none), None);
        }
    }

    #[test]
    fn requests_come_first_then_errors_then_latency_then_single_codes() {
        let mut ids: Vec<_> = TEMPLATES.values().collect();
        ids.sort_by(|a, b| a.priority.total_cmp(&b.priority));
        let order = [
            REQUESTS,
            GRPC_ERRORS,
            class(500).unwrap(),
            class(400).unwrap(),
            DURATION_P50,
            DURATION_P90,
            DURATION_P99,
            DURATION_MAX,
            class(200).unwrap(),
            class(300).unwrap(),
            responses(500),
            responses(511),
            responses(400),
            responses(451),
            responses(200),
            OTHERS,
        ];
        let places = order.map(|id| ids.iter().position(|it| it.id == id).unwrap());
        assert_eq!(places[0], 0);
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(places[places.len() - 1], TEMPLATES.len() - 1);
        assert_eq!(TEMPLATES[REQUESTS].priority, 0.1);
    }
}
