// SPDX-License-Identifier: Apache-2.0
//! A set of labels that is put into words once.
//!
//! The library encodes all labels anew for each of the two dozen lines of a histogram. That is half of a large
//! scrape's time, so that here it gets all but the last label's value as if they were one name.

use std::fmt::{Result, Write};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

#[derive(Debug)]
pub struct Labels {
    /// All labels but the last, and the name of the last.
    head: String,
    last: String,
}

impl Labels {
    /// At least one.
    pub fn new<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Self {
        let mut head = String::with_capacity(256);
        let mut last = "";
        for (index, (name, value)) in labels.into_iter().enumerate() {
            if index > 0 {
                head.push_str("=\"");
                push_escaped(&mut head, last);
                head.push_str("\",");
            }
            head.push_str(name);
            last = value;
        }
        Self {
            head,
            last: last.to_owned(),
        }
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for part in value.split_inclusive(['\\', '"', '\n']) {
        match part.as_bytes().last() {
            Some(b'\\') => text.extend([&part[..part.len() - 1], "\\\\"]),
            Some(b'"') => text.extend([&part[..part.len() - 1], "\\\""]),
            Some(b'\n') => text.extend([&part[..part.len() - 1], "\\n"]),
            _ => text.push_str(part),
        }
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result {
        let mut label = encoder.encode_label();
        let mut name = label.encode_label_key()?;
        name.write_str(&self.head)?;
        let mut value = name.encode_label_value()?;
        value.write_str(&self.last)?;
        value.finish()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Registry;

    use super::*;

    /// What the library makes of labels that are given to it one by one.
    fn one_by_one(labels: &[(&str, &str)]) -> String {
        let mut registry = Registry::default();
        let family = Family::<Vec<(String, String)>, Gauge>::default();
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        family.get_or_create(&labels.collect()).set(1);
        registry.register("x", "x", family);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[derive(Debug)]
    struct Once(Labels);

    impl prometheus_client::collector::Collector for Once {
        fn encode(
            &self,
            mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
        ) -> Result {
            encoder
                .encode_descriptor(
                    "x",
                    "x.",
                    None,
                    prometheus_client::metrics::MetricType::Gauge,
                )?
                .encode_family(&self.0)?
                .encode_gauge(&1_i64)
        }
    }

    #[test]
    fn the_text_is_the_librarys() {
        let cases: [&[(&str, &str)]; 5] = [
            &[("a", "b")],
            &[("a", "b"), ("c", "d"), ("e", "")],
            &[("a", r#"quo"ted\"#), ("b", "two\nlines\n"), ("c", r#"\""#)],
            &[("a", "\\"), ("b", "\n\"")],
            &[("a", "<script>"), ("b", "\u{fffd}ü")],
        ];
        for labels in cases {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(Once(Labels::new(labels.iter().copied()))));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            assert_eq!(text, one_by_one(labels));
        }
    }
}
