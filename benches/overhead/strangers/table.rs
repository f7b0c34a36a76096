// SPDX-License-Identifier: Apache-2.0
//! How it is printed, beside what is to be reached.

use std::collections::BTreeSet;

use crate::strangers::kinds;
use crate::strangers::talk::{BULK, Talk};
use crate::table::{Floors, least};
use crate::variant::Variant;
use crate::workload::Kind;

/// What may remain of bulk's rate, and what small exchanges may pay, in units of what empty programs cost.
const RATE_GOAL: f64 = 0.97;
const COST_GOAL: f64 = 1.5;

pub fn print(floors: &Floors, placements: usize) {
    println!(
        "\nstrangers: floor of {placements} placements, ns added to an exchange. In brackets, of small ones, how often \
         that is what\nempty programs cost (to reach: at most {COST_GOAL}), and of bulk, {} KiB each way, what remains \
         of its rate (to reach: {:.0} %).\nWhat misses that is marked with !. Old: connected before anybody watched.\n",
        BULK >> 10,
        100.0 * RATE_GOAL
    );
    let variants: BTreeSet<_> = floors.keys().map(|(_, variant)| *variant).collect();
    print!("{:<22}", "");
    for variant in &variants {
        print!("{:>13}{:5}", variant.label(), "");
    }
    println!();
    for kind in kinds() {
        let Kind::Stranger(talk, socket) = kind else {
            continue;
        };
        print!("{:<14}{:<8}", talk.label(), socket.label());
        for variant in &variants {
            print!(
                "{:<18}",
                cell(floors, kind, talk, *variant).unwrap_or_default()
            );
        }
        println!();
    }
}

fn cell(floors: &Floors, kind: Kind, talk: Talk, variant: Variant) -> Option<String> {
    let floor = |variant| floors.get(&(kind, variant)).map(|it| least(it));
    let none = floor(Variant::None)?;
    let takes = floor(variant)?;
    if variant == Variant::None {
        return Some(format!("{takes:>8.0}"));
    }
    let remark = if talk.is_bulk() {
        remaining(none / takes)
    } else {
        let empty = variant.empty().and_then(floor);
        empty.map_or_else(String::new, |empty| times((takes - none) / (empty - none)))
    };
    Some(format!("{:>+8.0} {remark}", takes - none))
}

fn remaining(rate: f64) -> String {
    let mark = if rate < RATE_GOAL { "!" } else { "" };
    format!("({:.1} %){mark}", 100.0 * rate)
}

fn times(of_empty: f64) -> String {
    let mark = if of_empty > COST_GOAL { "!" } else { "" };
    format!("({of_empty:.1}){mark}")
}
