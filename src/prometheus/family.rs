// SPDX-License-Identifier: Apache-2.0
//! A metric with all of its samples, before it is put into one of Prometheus' formats.

use std::borrow::Cow;

use crate::prometheus::rows::Labels;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

#[derive(Clone, Copy, Debug)]
pub enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Number {
    pub fn real(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

pub struct Family<'a> {
    /// Of a counter with its suffix.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<(Labels<'a>, Number)>,
}

impl<'a> Family<'a> {
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) -> Self {
        Self {
            kind: Kind::Gauge,
            ..Self::counter(name, help, samples)
        }
    }

    pub fn counter(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels<'a>, impl Into<Number>)>,
    ) -> Self {
        let samples = samples.into_iter();
        Self {
            name,
            help,
            kind: Kind::Counter,
            samples: samples
                .map(|(labels, value)| (labels, value.into()))
                .collect(),
        }
    }

    /// Of a gauge that there is one of, if it is known.
    pub fn one(name: &'static str, help: &'static str, value: impl Into<Option<f64>>) -> Self {
        Self::gauge(name, help, value.into().map(|value| (Vec::new(), value)))
    }
}

pub fn label<'a>(name: &'static str, value: &'a str) -> Labels<'a> {
    vec![(name, Cow::Borrowed(value))]
}
