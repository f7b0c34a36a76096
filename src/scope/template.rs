// SPDX-License-Identifier: Apache-2.0
//! The metrics that Weave Scope is told of: ids and labels as the original plugin has them, and latency.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

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

#[derive(Serialize)]
pub struct Template {
    id: String,
    label: String,
    format: &'static str,
    priority: f64,
}

/// Every metric that there may be, by id. All are declared in every report: a template that comes together with its
/// first sample is shown seconds late.
pub static TEMPLATES: LazyLock<BTreeMap<String, Template>> = LazyLock::new(|| {
    let named = |id: &str, label: &str| (id.to_owned(), label.to_owned());
    let of_status = |status| {
        let label = format!("HTTP Resp {status}/Second");
        (responses_id(status), label)
    };

    let mut ordered = vec![
        named(REQUESTS, "HTTP Req/Second"),
        named(GRPC_ERRORS, "gRPC Errors/Second"),
    ];
    ordered.extend(ERRORS.map(of_status));
    ordered.push(named(DURATION_P50, "HTTP Latency p50 (ms)"));
    ordered.push(named(DURATION_P90, "HTTP Latency p90 (ms)"));
    ordered.push(named(DURATION_P99, "HTTP Latency p99 (ms)"));
    ordered.push(named(DURATION_MAX, "HTTP Latency max (ms)"));
    ordered.extend(NO_ERRORS.map(of_status));
    ordered.push(named(OTHERS, "HTTP Resp OTHERS/Second"));

    // The details panel shows the three of lowest priority, and shuffles equal ones.
    let templates = ordered.into_iter().zip(100..).map(|((id, label), rank)| {
        let template = Template {
            id: id.clone(),
            label,
            format: "",
            priority: f64::from(rank) / 1000.0,
        };
        (id, template)
    });
    templates.collect()
});

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
    fn requests_come_first_then_errors_then_latency_then_the_rest() {
        let mut ids: Vec<_> = TEMPLATES.values().collect();
        ids.sort_by(|a, b| a.priority.total_cmp(&b.priority));
        let order = [
            REQUESTS,
            GRPC_ERRORS,
            responses(500),
            responses(511),
            responses(400),
            responses(451),
            DURATION_P50,
            DURATION_P90,
            DURATION_P99,
            DURATION_MAX,
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
