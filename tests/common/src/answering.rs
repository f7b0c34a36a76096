// SPDX-License-Identifier: Apache-2.0
//! A server that answers with the status that its path asks for, under any name.

use std::fs;
use std::process::Command;

use crate::load::{Client, get};
use crate::servers::Server;

/// How long each answer takes. In the middle of a bucket, so that a busy machine does not move it out.
pub const DELAY_MS: u64 = 30;

const SCRIPT: &str = "
    const [port, delay] = process.argv.slice(1).map(Number);
    require('http').createServer((request, response) => {
        response.writeHead(Number(request.url.slice(1)), { 'Content-Length': 0 });
        setTimeout(() => response.end(), delay);
    }).listen(port, '127.0.0.1');
";

/// Starts a server whose executable is called `name`.
pub fn answering(name: &str) -> Server {
    Server::start("nodejs", |address, folder| {
        let program = folder.join(name);
        fs::copy("/usr/bin/node", &program).expect("nodejs is installed");
        let mut command = Command::new(program);
        command.args(["-e", SCRIPT, "--"]);
        command.args([address.port().to_string(), DELAY_MS.to_string()]);
        command
    })
}

/// So many requests, one after the other, that are answered with `status`.
pub fn ask(server: &Server, status: u16, count: u64) {
    let mut client = Client::connect(&server.address);
    for _ in 0..count {
        let answer = client.ask(get(&format!("/{status}")).as_bytes());
        assert_eq!(answer.status, status);
    }
}
