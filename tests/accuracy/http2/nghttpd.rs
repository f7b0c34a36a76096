// SPDX-License-Identifier: Apache-2.0
//! A server whose log is of frames.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::servers::Server;

use crate::answers::{Answers, Version};

/// The name of its log.
pub const FRAMES: &str = "frames.log";

pub fn start(files: &Path) -> Server {
    Server::start("nghttp2-server", |address, folder| {
        let root = folder.join("root");
        fs::create_dir_all(root.join("status")).unwrap();
        fs::write(root.join("index.html"), "ok\n").unwrap();
        std::os::unix::fs::symlink(files, root.join("files")).unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "log=$1; shift; exec nghttpd \"$@\" > \"$log\"", "sh"])
            .arg(folder.join(FRAMES))
            .args([
                "--verbose",
                "--no-tls",
                "--address",
                &address.ip().to_string(),
            ])
            .arg("--htdocs")
            .arg(root)
            .arg(address.port().to_string());
        command
    })
}

/// A head that was received is a line for each field, with its connection and stream; one that was sent begins with those, and
/// has its fields below.
pub fn answers(log: &str) -> Answers {
    let mut answers = Answers::default();
    let mut methods = BTreeMap::new();
    let mut sent = None;
    for line in log.lines() {
        let connection = line.split(']').next().unwrap_or_default();
        if let Some((_, field)) = line.split_once("recv (stream_id=") {
            if let Some((stream, method)) = field.split_once(") :method: ") {
                methods.insert((connection, stream), method);
            }
        } else if let Some((_, frame)) = line.split_once(" send HEADERS frame ") {
            let (_, stream) = frame.split_once("stream_id=").unwrap();
            sent = Some((connection, stream.trim_end_matches('>')));
        } else if let (Some(status), Some(stream)) = (line.trim().strip_prefix(":status: "), sent) {
            let status = status.parse().unwrap();
            if status >= 200 {
                answers.add_of(Version::Http2, methods[&stream], status, 1);
            }
        }
    }
    answers
}
