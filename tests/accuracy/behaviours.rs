// SPDX-License-Identifier: Apache-2.0
//! What clients do, most of it by curl. Each function returns what the client got.

use std::path::Path;
use std::process::Command;

use crate::answers::Answers;
use crate::clients;
use crate::raw;
use crate::servers::STATUSES;
use crate::sites::{CONNECT, Site, WEBSOCKET};
use crate::wrk;

/// What to do to a site.
pub type Act = fn(&Site, &Path) -> Answers;

pub const ALL: [(&str, Act); 18] = [
    ("keep-alive reuse", keep_alive),
    ("new connections", new_connections),
    ("pipelines of 64", raw::pipelines),
    ("pipelines by wrk", wrk::pipelines),
    ("HEAD", head),
    ("methods", methods),
    ("status codes", statuses),
    ("chunked uploads", chunked_uploads),
    ("50 MB uploads", large_uploads),
    ("200 MB downloads", large_downloads),
    ("downloads of requests", downloads_of_requests),
    ("Expect: 100-continue", expect),
    ("304", not_modified),
    ("gzip", gzip),
    ("large headers", large_headers),
    (WEBSOCKET, raw::websocket),
    (CONNECT, raw::connect),
    ("1000 connections", raw::thousand_connections),
];

fn keep_alive(site: &Site, _: &Path) -> Answers {
    curl(&[&site.url("?[1-127]")])
}

fn new_connections(site: &Site, _: &Path) -> Answers {
    curl(&["--header", "Connection: close", &site.url("?[1-61]")])
}

fn head(site: &Site, _: &Path) -> Answers {
    let mut answers = curl(&["--head", &site.url("?[1-23]"), &site.url("files/large")]);
    answers.add_all(&curl(&[&site.url("?[1-7]")]));
    answers
}

fn methods(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    let url = site.url("?[1-3]");
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND",
    ] {
        answers.add_all(&curl(&["--request", method, &url]));
    }
    answers.add_all(&curl(&["--data", "GET / HTTP/1.1\r\n\r\n", &url]));
    answers
}

fn statuses(site: &Site, _: &Path) -> Answers {
    let statuses = STATUSES.map(|status| status.to_string()).join(",");
    curl(&[&site.url(&format!("status/{{{statuses}}}?[1-5]"))])
}

/// The body is made of requests.
fn chunked_uploads(site: &Site, files: &Path) -> Answers {
    upload(
        site,
        &files.join("text.txt"),
        &["--header", "Transfer-Encoding: chunked"],
        11,
    )
}

fn large_uploads(site: &Site, files: &Path) -> Answers {
    upload(site, &files.join("upload"), &["--header", "Expect:"], 2)
}

fn expect(site: &Site, files: &Path) -> Answers {
    upload(
        site,
        &files.join("text.txt"),
        &["--header", "Expect: 100-continue"],
        5,
    )
}

fn upload(site: &Site, file: &Path, options: &[&str], times: usize) -> Answers {
    let (file, url) = (file.to_str().unwrap(), site.url("upload/file"));
    let mut arguments = options.to_vec();
    for _ in 0..times {
        arguments.extend(["--upload-file", file, &url]);
    }
    curl(&arguments)
}

fn large_downloads(site: &Site, _: &Path) -> Answers {
    let url = site.url("files/large");
    curl(&[&url, &site.url("?[1-3]"), &url])
}

fn downloads_of_requests(site: &Site, _: &Path) -> Answers {
    curl(&[&site.url("files/text.txt?[1-11]")])
}

fn not_modified(site: &Site, _: &Path) -> Answers {
    let url = site.url("files/text.txt");
    let etag = clients::run(Command::new("curl").args([
        "--silent",
        "--head",
        "--write-out",
        "%header{etag}",
        "--output",
        "/dev/null",
        &url,
    ]));
    let mut answers = curl(&[
        "--header",
        &format!("If-None-Match: {etag}"),
        &format!("{url}?[1-13]"),
    ]);
    answers.add("HEAD", 200, 1);
    answers
}

fn gzip(site: &Site, _: &Path) -> Answers {
    curl(&["--compressed", &site.url("files/text.txt?[1-13]")])
}

fn large_headers(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    for length in [8_000, 16_000, 32_000, 60_000] {
        // A cookie that is full of what ends a request line, were it not within one.
        let cookie = "GET / HTTP/1.1 ".repeat(length / 15);
        answers.add_all(&curl(&[
            "--header",
            &format!("Cookie: a={cookie}"),
            &site.url("?[1-3]"),
        ]));
    }
    answers
}

/// Runs curl, which reuses its connection, and returns its count.
fn curl(arguments: &[&str]) -> Answers {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "60",
        "--write-out",
        "%{method} %{http_version} %{http_code}\\n",
    ]);
    for argument in arguments {
        if argument.starts_with("http://") {
            command.args(["--output", "/dev/null"]);
        }
        command.arg(argument);
    }
    Answers::of_client(&clients::run(&mut command))
}
