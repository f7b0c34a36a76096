// SPDX-License-Identifier: Apache-2.0
//! Servers and clients of HTTP/2 and gRPC for tests. Each is the test program itself, started again with [`ARGUMENTS`] in its
//! environment, and does what `tests/accuracy/apps` says of all others.

pub mod collector;
mod files;
mod grpc_client;
mod grpc_server;
mod plain;

use std::path::Path;

/// Words with a blank between them: `hyper serve IP PORT FOLDER`, or `tonic serve IP PORT` or `tonic call IP PORT`.
pub const ARGUMENTS: &str = "PEERS_ARGUMENTS";

const FORMS: [&str; 4] = [
    "unary_unary",
    "unary_stream",
    "stream_unary",
    "stream_stream",
];

/// Does what the environment says.
pub fn run() {
    let words = std::env::var(ARGUMENTS).expect("it is started by tests alone");
    let words: Vec<_> = words.split(' ').collect();
    let address = |ip: &str, port: &str| format!("{ip}:{port}").parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match words[..] {
        ["hyper", "serve", ip, port, folder] => {
            runtime.block_on(files::serve(address(ip, port), Path::new(folder)));
        }
        ["tonic", "serve", ip, port] => runtime.block_on(grpc_server::serve(address(ip, port))),
        ["tonic", "call", ip, port] => runtime.block_on(grpc_client::call(address(ip, port))),
        _ => panic!("{words:?}"),
    }
}
