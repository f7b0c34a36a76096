// SPDX-License-Identifier: Apache-2.0
//! How it is printed.

use std::collections::BTreeMap;

use scope_http_statistics::kernel::backend::Backend;

use crate::kernel::Cache;
use crate::load::{CONNECTIONS, PROCESSES};
use crate::sample::Sample;

/// A line of the first table: what it shows, and how it is read off a sample.
type Row = (&'static str, fn(&Sample) -> String);

const ROWS: [Row; 8] = [
    ("VmRSS, KiB", |it| it.rss_kib.to_string()),
    ("anonymous, KiB", |it| it.anonymous_kib.to_string()),
    ("VmHWM, KiB", |it| it.peak_kib.to_string()),
    ("all maps, KiB", |it| {
        kib(it.maps.values().map(|map| map.memlock).sum())
    }),
    ("CPU a second, ms", |it| millis(it.cpu)),
    ("GET /report, ms", |it| millis(it.report)),
    ("report, KiB", |it| kib(it.report_bytes as u64)),
    ("gzipped, KiB", |it| kib(it.gzip_bytes as u64)),
];

pub fn print(backend: Backend, samples: &[(&str, Sample)]) {
    println!("\nbackend {backend}, {PROCESSES} processes, {CONNECTIONS} connections\n");
    print!("{:<24}", "agent");
    samples.iter().for_each(|(when, _)| print!("{when:>16}"));
    println!();
    for (label, value) in ROWS {
        print!("{label:<24}");
        samples
            .iter()
            .for_each(|(_, it)| print!("{:>16}", value(it)));
        println!();
    }

    let [(_, idle), .., (_, loaded)] = samples else {
        return;
    };
    println!(
        "\n{:<18}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "map", "max entries", "entry bytes", "idle", "loaded", "idle KiB", "loaded KiB"
    );
    for (id, map) in &loaded.maps {
        let before = idle.maps.get(id);
        println!(
            "{:<18}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            map.name,
            map.max_entries,
            map.entry_bytes,
            entries(before.and_then(|map| map.entries)),
            entries(map.entries),
            kib(before.map_or(0, |map| map.memlock)),
            kib(map.memlock),
        );
    }
    println!(
        "{:<66}{:>12}{:>12}",
        "programs",
        kib(idle.programs),
        kib(loaded.programs)
    );
}

/// Caches that grew by something that every few connections have.
pub fn print_growth(before: &BTreeMap<String, Cache>, after: &BTreeMap<String, Cache>) {
    println!(
        "\n{:<24}{:>24}{:>24}",
        "slab cache", "objects/connection", "bytes/connection"
    );
    let mut total = 0.0;
    for (name, cache) in after {
        let earlier = before.get(name).map_or(0, |cache| cache.objects);
        let objects = (cache.objects - earlier) as f64 / CONNECTIONS as f64;
        if objects.abs() < 0.05 {
            continue;
        }
        let bytes = objects * cache.bytes as f64;
        total += bytes;
        println!("{name:<24}{objects:>24.2}{bytes:>24.0}");
    }
    println!("{:<48}{total:>24.0}", "all of these");
}

fn entries(count: Option<usize>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn kib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1024.0)
}

fn millis(time: std::time::Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
