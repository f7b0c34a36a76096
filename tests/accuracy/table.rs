// SPDX-License-Identifier: Apache-2.0
//! `docs/accuracy.md`, made of what was seen.

use std::fmt::Write;
use std::time::Duration;

use scope_http_statistics::model::buckets::BUCKETS;

use crate::answers::Answers;
use crate::audit::Entry;
use crate::latency::Measured;
use crate::sites::Talk;

pub struct Row {
    pub talk: Talk,
    pub server: &'static str,
    pub behaviour: &'static str,
    pub entry: Entry,
    pub agrees: bool,
}

impl Row {
    /// What was served, and what each backend counted.
    pub fn detail(&self) -> String {
        let client = self.entry.client.as_ref();
        let client = client.map_or("a proxy".to_owned(), |client| self.total(client));
        let mut detail = format!("{} | {client}", self.entry.log);
        for count in &self.entry.counts {
            let answers = self.total(&count.answers);
            write!(detail, " | {} / {answers}", count.requests).unwrap();
        }
        detail
    }

    /// Their number; in full where they are wrong.
    fn total(&self, answers: &Answers) -> String {
        if self.agrees || *answers == self.entry.log {
            answers.total().to_string()
        } else {
            format!("**{answers}**")
        }
    }

    fn cell(&self) -> String {
        let truth = self
            .entry
            .client
            .as_ref()
            .unwrap_or(&self.entry.log)
            .total();
        let mut cell = truth.to_string();
        for count in &self.entry.counts {
            write!(cell, "/{}", count.requests).unwrap();
        }
        if self.agrees {
            cell
        } else {
            format!("**{cell}**")
        }
    }
}

pub fn markdown(rows: &[Row], latencies: &[Measured]) -> String {
    let mut page = include_str!("accuracy.md").to_owned();
    for (heading, talk) in [
        ("Servers and behaviours", Talk::Http1),
        ("HTTP/2: servers and clients", Talk::Http2),
        ("gRPC: servers and clients", Talk::Grpc),
    ] {
        write!(page, "\n## {heading}\n\n").unwrap();
        let rows: Vec<_> = rows.iter().filter(|row| row.talk == talk).collect();
        matrix(&mut page, &rows);
    }
    page += "\n## By method and status\n\n\
        | server | behaviour | answers in the access log | client | sock | syscall |\n|---|---|---|--:|--:|--:|\n";
    for row in rows {
        writeln!(
            page,
            "| {} | {} | {} |",
            row.server,
            row.behaviour,
            row.detail()
        )
        .unwrap();
    }
    page += "\n## Latency\n\n\
        | answer after | not under | not over | sock | bucket | syscall | bucket |\n|---|--:|--:|--:|--:|--:|--:|\n";
    for latency in latencies {
        let (least, most) = (text(latency.least), text(latency.most));
        write!(page, "| {} | {least} | {most} |", latency.what).unwrap();
        for (sum, bucket) in &latency.counted {
            write!(page, " {} | {} |", text(*sum), bound(*bucket)).unwrap();
        }
        page += "\n";
    }
    page
}

fn matrix(page: &mut String, rows: &[&Row]) {
    let servers = unique(rows.iter().map(|row| row.server));
    let behaviours = unique(rows.iter().map(|row| row.behaviour));
    writeln!(page, "| | {} |", servers.join(" | ")).unwrap();
    writeln!(page, "|---|{}", "--:|".repeat(servers.len())).unwrap();
    for behaviour in behaviours {
        write!(page, "| {behaviour} |").unwrap();
        for server in &servers {
            let row = rows
                .iter()
                .copied()
                .find(|row| row.server == *server && row.behaviour == behaviour);
            write!(page, " {} |", row.map_or("–".to_owned(), Row::cell)).unwrap();
        }
        *page += "\n";
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut found, name| {
        if !found.contains(&name) {
            found.push(name);
        }
        found
    })
}

fn text(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn bound(bucket: u16) -> String {
    let (_, upper) = BUCKETS.range(bucket);
    format!("≤ {:.2} ms", upper as f64 / 1e6)
}
