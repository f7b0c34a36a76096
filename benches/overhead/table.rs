// SPDX-License-Identifier: Apache-2.0
//! What the placements come to, and how it is printed.

use std::collections::BTreeMap;

use crate::nginx::Rates;
use crate::variant::Variant;
use crate::workload::Kind;

/// The fastest block of each placement, in nanoseconds for each operation.
pub type Floors = BTreeMap<(Kind, Variant), Vec<f64>>;

/// How much slower than with nobody watching, in nanoseconds.
pub struct Added {
    /// The best placement against the best turn of nobody.
    pub floor: f64,
    /// The middle one against the middle one.
    pub median: f64,
    /// The worst placement against the middle turn of nobody.
    pub worst: f64,
}

impl Added {
    pub fn new(floors: &[f64], none: &[f64]) -> Self {
        let middle = median(none.to_vec());
        Self {
            floor: least(floors) - least(none),
            median: median(floors.to_vec()) - middle,
            worst: most(floors) - middle,
        }
    }
}

pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (low + high) / 2.0
}

pub fn print(floors: &Floors, placements: usize) {
    println!("\nns added to one operation, over {placements} placements: floor / median / worst\n");
    println!(
        "{:<24}{:<14}{:>8}{:>8}{:>8}",
        "operation", "", "floor", "median", "worst"
    );
    for ((kind, variant), values) in floors {
        let label = kind.label();
        let Some(none) = floors.get(&(*kind, Variant::None)) else {
            continue;
        };
        if *variant == Variant::None {
            let (floor, median) = (least(none), median(none.to_vec()));
            println!("{label:<24}{:<14}{floor:>8.0}{median:>8.0}", "none: takes");
        } else {
            let Added {
                floor,
                median,
                worst,
            } = Added::new(values, none);
            let variant = variant.label();
            println!(
                "{:<24}{variant:<14}{floor:>+8.0}{median:>+8.0}{worst:>+8.0}",
                ""
            );
        }
    }
}

pub fn print_rates(what: &str, rates: &Rates) {
    let Some(none) = rates.get(&Variant::None) else {
        return;
    };
    println!(
        "\n{what}, requests/s and what remains of them: best / median of {} turns\n",
        none.len()
    );
    println!("{:<24}{:<14}{:>8}{:>8}", "", "", "best", "median");
    for (variant, values) in rates {
        let label = variant.label();
        if *variant == Variant::None {
            let (best, median) = (most(none), median(none.to_vec()));
            println!("{:<24}{label:<14}{best:>8.0}{median:>8.0}", "");
        } else {
            let best = 100.0 * most(values) / most(none);
            let median = 100.0
                * median(
                    values
                        .iter()
                        .zip(none)
                        .map(|(rate, none)| rate / none)
                        .collect(),
                );
            println!("{:<24}{label:<14}{best:>7.1}%{median:>7.1}%", "");
        }
    }
}
