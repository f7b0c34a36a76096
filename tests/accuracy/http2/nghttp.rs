// SPDX-License-Identifier: Apache-2.0
//! The clients of nghttp2.

use std::path::Path;
use std::process::Command;

use crate::answers::{Answers, Version};
use crate::clients;
use crate::sites::Site;

/// One connection each.
pub fn many(site: &Site, _: &Path) -> Answers {
    let mut answers = nghttp(site, "", "GET", 31, &[]);
    answers.add_all(&nghttp(site, "", "OPTIONS", 13, &[]));
    answers.add_all(&nghttp(
        site,
        "",
        "GET",
        7,
        &["--no-push", "--continuation"],
    ));
    answers.add_all(&nghttp(site, "", "GET", 7, &["--no-dep", "--padding=113"]));
    answers
}

pub fn expect(site: &Site, files: &Path) -> Answers {
    let body = files.join("frames");
    let options = ["--expect-continue", "--data", body.to_str().unwrap()];
    nghttp(site, "upload/file", "PUT", 5, &options)
}

/// It lists what it was answered: the row of a request has its status as the fifth column.
fn nghttp(site: &Site, path: &str, method: &str, times: usize, options: &[&str]) -> Answers {
    let mut command = Command::new("nghttp");
    command
        .args(["--null-out", "--stat", &format!("--multiply={times}")])
        .arg(format!("--header=:method: {method}"));
    let said = clients::run(command.args(options).arg(site.url(path)));
    let (_, rows) = said.split_once("request path\n").expect(&said);
    let mut answers = Answers::default();
    for row in rows.lines().filter(|row| !row.is_empty()) {
        let status = row.split_whitespace().nth(4).unwrap();
        answers.add_of(Version::Http2, method, status.parse().unwrap(), 1);
    }
    answers
}

/// Few: some servers wait 40 ms for the acknowledgement of each head.
pub fn one_stream(site: &Site, _: &Path) -> Answers {
    h2load(site, 211, 1, 1)
}

pub fn ten_streams(site: &Site, _: &Path) -> Answers {
    h2load(site, 2003, 3, 10)
}

pub fn hundred_streams(site: &Site, _: &Path) -> Answers {
    h2load(site, 4001, 3, 100)
}

fn h2load(site: &Site, requests: u64, clients: u64, streams: u64) -> Answers {
    let mut command = Command::new("h2load");
    command
        .args(["--requests", &requests.to_string()])
        .args(["--clients", &clients.to_string()])
        .args(["--max-concurrent-streams", &streams.to_string()]);
    let said = clients::run(command.arg(site.url("")));
    let (_, codes) = said.split_once("status codes: ").expect(&said);
    let (succeeded, _) = codes.split_once(" 2xx, 0 3xx, 0 4xx, 0 5xx").expect(&said);
    let mut answers = Answers::default();
    answers.add_of(Version::Http2, "GET", 200, succeeded.parse().unwrap());
    answers
}
