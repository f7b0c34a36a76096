// SPDX-License-Identifier: Apache-2.0
//! One request on each connection: curl 7.88, Debian 12's, cannot go on with one of HTTP/2 without TLS (its issue 10634).

use std::path::Path;
use std::process::Command;

use crate::answers::Answers;
use crate::clients;
use crate::servers::STATUSES;
use crate::sites::Site;

pub fn gets(site: &Site, _: &Path) -> Answers {
    curl(&[&site.url("")], 61)
}

pub fn heads(site: &Site, _: &Path) -> Answers {
    curl(&["--head", &site.url("")], 23)
}

pub fn methods(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    for (method, times) in [
        ("GET", 2),
        ("POST", 3),
        ("PUT", 5),
        ("DELETE", 7),
        ("PATCH", 3),
        ("OPTIONS", 5),
        ("TRACE", 2),
        ("PROPFIND", 3),
    ] {
        answers.add_all(&curl(&["--request", method, &site.url("")], times));
    }
    answers
}

pub fn statuses(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    for status in STATUSES {
        answers.add_all(&curl(&[&site.url(&format!("status/{status}"))], 3));
    }
    answers
}

pub fn uploads(site: &Site, files: &Path) -> Answers {
    upload(site, &files.join("frames"), 11)
}

pub fn large_uploads(site: &Site, files: &Path) -> Answers {
    upload(site, &files.join("upload"), 2)
}

fn upload(site: &Site, file: &Path, times: usize) -> Answers {
    let (file, url) = (file.to_str().unwrap(), site.url("upload/file"));
    curl(&["--upload-file", file, &url], times)
}

pub fn large_downloads(site: &Site, _: &Path) -> Answers {
    curl(&[&site.url("files/upload")], 2)
}

pub fn not_modified(site: &Site, _: &Path) -> Answers {
    let url = site.url("files/text.txt");
    let mut head = Command::new("curl");
    head.args(["--silent", "--http2-prior-knowledge", "--head"]);
    head.args(["--write-out", "%header{etag}", "--output", "/dev/null"]);
    let etag = clients::run(head.arg(&url));
    let matches = format!("If-None-Match: {etag}");
    let mut answers = curl(&["--header", &matches, &url], 13);
    answers.add_all(&Answers::of_client("HEAD 2 200"));
    answers
}

/// Some of them in more than one frame.
pub fn large_headers(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    for length in [8_000, 16_000, 32_000, 60_000] {
        // Blanks at the end of a value would be malformed.
        let cookie = format!("Cookie: a={}", "; HTTP/2.0".repeat(length / 10));
        answers.add_all(&curl(&["--header", &cookie, &site.url("")], 3));
    }
    answers
}

fn curl(arguments: &[&str], times: usize) -> Answers {
    let mut answers = Answers::default();
    for _ in 0..times {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "60"])
            .args(["--http2-prior-knowledge", "--output", "/dev/null"])
            .args(["--write-out", "%{method} %{http_version} %{http_code}\\n"])
            .args(arguments);
        answers.add_all(&Answers::of_client(&clients::run(&mut command)));
    }
    answers
}
