// SPDX-License-Identifier: Apache-2.0
//! How it is printed, beside what is to be reached.

use std::time::Duration;

use crate::stall::input::{Case, Content, Direction, SIZES};
use crate::stall::{Stall, Stalls};
use crate::table::{least, median};
use crate::variant::Variant;

/// No run over so many round trips.
const ROUND_TRIPS: f64 = 70.0;
/// As much as one likes costs no more than so often 64 KiB.
const GROWTH: f64 = 2.0;

pub fn print(stalls: &Stalls, placements: usize) {
    let round_trip = micros(stalls.round_trip);
    println!(
        "\nstall: one call that moves all of it, µs, floor of {placements} placements. run: the longest run of a program, and its \
         median; trips: the\nfloor in round trips of {round_trip:.1} µs (to reach: at most {ROUND_TRIPS}, which are {:.0} µs); call: \
         the system call; wait: of a real-time thread for\nthat CPU; growth: 1 MiB in units of 64 KiB (to reach: at most \
         {GROWTH}). What misses that is marked with !\n",
        ROUND_TRIPS * round_trip
    );
    println!("{:37}{:^41}{:^41}", "", "64 KiB", "1 MiB");
    print!("{:37}", "");
    for _ in SIZES {
        print!(
            "{:>9}{:>8}{:>7} {:>8}{:>8}",
            "run", "median", "trips", "call", "wait"
        );
    }
    println!("{:>9}", "growth");
    for direction in Direction::ALL {
        for content in Content::ALL {
            for &variant in &stalls.variants {
                print_line(stalls, content, direction, variant);
            }
        }
    }
}

fn print_line(stalls: &Stalls, content: Content, direction: Direction, variant: Variant) {
    let seen = SIZES.map(|size| {
        let case = Case {
            content,
            direction,
            size,
        };
        stalls.seen.get(&(case, variant))
    });
    let [Some(small), Some(large)] = seen else {
        return;
    };
    let label = if variant == Variant::None {
        format!("{}, {}", content.label(), direction.label())
    } else {
        String::new()
    };
    print!("{label:<29}{:<8}", variant.label());
    let [small, large] =
        [small, large].map(|seen| print_stall(seen, variant, micros(stalls.round_trip)));
    if variant == Variant::None {
        println!();
    } else {
        println!("{:>9.1}{}", large / small, mark(large / small > GROWTH));
    }
}

/// What was seen of one size; the floor of its runs.
fn print_stall(seen: &[Stall], variant: Variant, round_trip: f64) -> f64 {
    let all = |what: fn(&Stall) -> Duration| -> Vec<_> {
        seen.iter().map(|it| micros(what(it))).collect()
    };
    let runs = all(|it| it.run);
    let run = least(&runs);
    if variant == Variant::None {
        print!("{:25}", "");
    } else {
        let trips = run / round_trip;
        print!(
            "{run:>9.1}{:>8.1}{trips:>7.1}{}",
            median(runs),
            mark(trips > ROUND_TRIPS)
        );
    }
    print!(
        "{:>8.0}{:>8.0}",
        least(&all(|it| it.call)),
        least(&all(|it| it.wait))
    );
    run
}

fn mark(missed: bool) -> char {
    if missed { '!' } else { ' ' }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
