// SPDX-License-Identifier: Apache-2.0
//! What the agent serves over TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::agent::{Agent, Program, Response, parse};

const IO_LIMIT: Duration = Duration::from_secs(20);

/// An agent that listens on a port of its own choice, and tells of each process.
pub fn start(program: Program, args: &[&str]) -> (Agent, SocketAddr) {
    start_by_workload(program, &[&["--per-process"], args].concat())
}

/// The same as it is without being told so.
pub fn start_by_workload(program: Program, args: &[&str]) -> (Agent, SocketAddr) {
    let agent = program.start(&[&["--listen", "127.0.0.1:0"], args].concat());
    let address = address(&agent);
    (agent, address)
}

/// Where the agent says its page is.
pub fn address(agent: &Agent) -> SocketAddr {
    loop {
        // The line comes right after the socket.
        let log = agent.log();
        if let Some((_, rest)) = log.split_once("page: http://") {
            let (address, _) = rest.split_once('/').unwrap();
            return address.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(IO_LIMIT)).unwrap();
    stream.set_write_timeout(Some(IO_LIMIT)).unwrap();
    stream
}

/// One request, by default with the `Host` that clients send.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut stream = connect(address);
    let mut head = format!("{method} {path} HTTP/1.0\r\n");
    if !headers.iter().any(|it| it.starts_with("Host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}

pub fn text(address: SocketAddr, path: &str) -> String {
    let response = ask(address, "GET", path, &[]);
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body).unwrap()
}

/// The sum of all samples of a metric that have these labels, as they are written. `None` where there is no sample.
pub fn sample(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let samples = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_it = series == name || series.starts_with(&format!("{name}{{"));
        let has_all = labels.iter().all(|label| series.contains(label));
        (is_it && has_all).then(|| value.parse::<f64>().unwrap())
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
