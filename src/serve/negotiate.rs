// SPDX-License-Identifier: Apache-2.0
//! What a client says it takes: the list headers `Accept` and `Accept-Encoding`.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    best(headers, &ACCEPT_ENCODING, &["gzip"]) > 0.0
}

/// Whether Prometheus' protocol buffers are liked no less than any text: who asks for native histograms says so.
pub fn prefers_protobuf(headers: &HeaderMap) -> bool {
    let (mut ours, mut text) = (0.0_f32, 0.0_f32);
    for item in items(headers, &ACCEPT) {
        if item.is_one_of(&["application/vnd.google.protobuf"]) {
            let is_ours = item.has("proto=io.prometheus.client.MetricFamily")
                && item.has("encoding=delimited");
            ours = ours.max(if is_ours { item.weight() } else { 0.0 });
        } else if item.is_one_of(&TEXTS) {
            text = text.max(item.weight());
        }
    }
    ours > 0.0 && ours >= text
}

/// Whatever may stand for a text.
const TEXTS: [&str; 4] = [
    "application/openmetrics-text",
    "text/plain",
    "text/*",
    "*/*",
];

/// Whether `OpenMetrics` is liked better than the text format that came before it. Who does not say gets the latter.
pub fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    best(headers, &ACCEPT, &["application/openmetrics-text"])
        > best(headers, &ACCEPT, &["text/plain", "text/*", "*/*"])
}

/// The highest weight that the list gives to one of `names`; 0 where none is in it.
fn best(headers: &HeaderMap, header: &HeaderName, names: &[&str]) -> f32 {
    let wanted = items(headers, header).filter(|item| item.is_one_of(names));
    wanted.map(Item::weight).fold(0.0, f32::max)
}

/// One of a list, with its parameters.
#[derive(Clone, Copy)]
struct Item<'a>(&'a str);

fn items<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = Item<'a>> {
    let lists = headers.get_all(header).iter();
    let lists = lists.filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',').map(Item))
}

impl<'a> Item<'a> {
    fn parts(self) -> impl Iterator<Item = &'a str> {
        self.0.split(';').map(str::trim)
    }

    fn is_one_of(self, names: &[&str]) -> bool {
        let name = self.parts().next().unwrap_or_default();
        names.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    fn has(self, parameter: &str) -> bool {
        self.parts().skip(1).any(|it| it == parameter)
    }

    fn weight(self) -> f32 {
        let weight = self.parts().skip(1).find_map(|it| it.strip_prefix("q="));
        weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_only_where_asked() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip; q=1.0", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, deflate", false),
            ("x-gzip2, identity", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let headers = headers(ACCEPT_ENCODING, value);
            assert_eq!(accepts_gzip(&headers), expected, "{value:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn protobuf_only_where_it_is_liked_best() {
        const OURS: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let cases = [
            (OURS.to_owned(), true),
            // What Prometheus sends that wants native histograms, and one that does not.
            (
                format!(
                    "{OURS},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.6,*/*;q=0.5"
                ),
                true,
            ),
            (
                format!(
                    "{OURS};q=0.3,application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5"
                ),
                false,
            ),
            (format!("{OURS};q=0"), false),
            ("application/vnd.google.protobuf".to_owned(), false),
            (OURS.replace("delimited", "text"), false),
            ("*/*".to_owned(), false),
            // Each has its own weight.
            (
                format!("application/vnd.google.protobuf,{OURS};q=0.1,text/plain;q=0.5"),
                false,
            ),
        ];
        for (value, expected) in cases {
            let value = HeaderValue::try_from(&value).unwrap();
            let headers = HeaderMap::from_iter([(ACCEPT, value.clone())]);
            assert_eq!(prefers_protobuf(&headers), expected, "{value:?}");
        }
    }

    #[test]
    fn openmetrics_only_where_it_is_liked_better() {
        let cases = [
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0", true),
            // What Prometheus 2 and 3 send.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
            (
                "text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5",
                false,
            ),
            ("text/plain", false),
            ("text/html,*/*;q=0.8", false),
            ("*/*;q=0.8,application/openmetrics-text;q=0.5", false),
            ("text/*;q=0.8,application/openmetrics-text;q=0.5", false),
            ("*/*;q=0.2,application/openmetrics-text;q=0.5", true),
            ("application/openmetrics-text;q=nonsense", false),
        ];
        for (value, expected) in cases {
            assert_eq!(
                prefers_openmetrics(&headers(ACCEPT, value)),
                expected,
                "{value:?}"
            );
        }
        assert!(!prefers_openmetrics(&HeaderMap::new()));
    }
}
