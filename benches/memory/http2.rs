// SPDX-License-Identifier: Apache-2.0
//! What connections of HTTP/2 take: their maps lie ready from the start, so that it must be the same after ten thousand
//! connections, and after ten thousand more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use http1_fuzz::http2::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS};
use scope_http_statistics::kernel::backend::Backend;

use crate::agent::Agent;
use crate::kernel;

const CONNECTIONS: usize = 10_000;
/// The kernel cuts names.
const CONNECTIONS_MAP: &str = "http2_connectio";
/// Open at a time, so that the usual limits of descriptors do.
const AT_ONCE: usize = 400;
/// Outstanding together on one in ten of the connections, where 16 have a place in the connection itself.
const STREAMS: usize = 100;
/// As shipped.
const MAX_PROCESSES: u32 = 4096;
const MAX_CONNECTIONS: u32 = 65_536;

pub fn print() -> Result<()> {
    let agent = Agent::start(Backend::Sock, MAX_PROCESSES, MAX_CONNECTIONS)?;
    println!("\nHTTP/2, one in ten connections with {STREAMS} streams outstanding\n");
    println!(
        "| connections so far | agent's VmRSS, KiB | all maps, KiB | http2_connections, entries | http2_more, entries |"
    );
    println!("|--:|--:|--:|--:|--:|");
    line(&agent, 0)?;
    for connections in [CONNECTIONS, 2 * CONNECTIONS, 3 * CONNECTIONS] {
        for _ in 0..CONNECTIONS / AT_ONCE {
            converse()?;
        }
        line(&agent, connections)?;
    }
    let (maps, _) = kernel::bpf(agent.pid())?;
    println!("\n| map | max entries | bytes an entry, of the map's memory |\n|---|--:|--:|");
    for map in maps.values().filter(|map| map.name.starts_with("http2_")) {
        let each = map.memlock / u64::from(map.max_entries);
        println!("| {} | {} | {each} |", map.name, map.max_entries);
    }
    Ok(())
}

fn line(agent: &Agent, connections: usize) -> Result<()> {
    // The counters have been read, and the report been made, when it is there.
    agent.report("identity")?;
    let (maps, _) = kernel::bpf(agent.pid())?;
    let entries = |name: &str| {
        let map = maps.values().find(|map| map.name == name);
        map.and_then(|map| map.entries)
            .with_context(|| format!("no map {name}"))
    };
    let all: u64 = maps.values().map(|map| map.memlock).sum();
    println!(
        "| {connections} | {} | {} | {} | {} |",
        agent.status("VmRSS")?,
        all >> 10,
        entries(CONNECTIONS_MAP)?,
        entries("http2_more")?
    );
    Ok(())
}

/// Connections that are open together. All requests are answered.
fn converse() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut open = Vec::with_capacity(AT_ONCE);
    for i in 0..AT_ONCE {
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        let streams = if i % 10 == 0 { STREAMS } else { 1 };
        let (mut asked, mut answered) = (Frames::default(), Frames::default());
        asked.bytes.extend(PREFACE);
        asked.frame(SETTINGS, 0, 0, &[]);
        answered.frame(SETTINGS, 0, 0, &[]);
        for stream in (1..).step_by(2).take(streams) {
            let both = END_HEADERS | END_STREAM;
            asked.frame(HEADERS, both, stream, b"\x82\x84\x86\x41\x01h");
            answered.frame(HEADERS, both, stream, b"\x88");
        }
        pass(&mut client, &mut server, &asked.bytes)?;
        pass(&mut server, &mut client, &answered.bytes)?;
        open.push((client, server));
    }
    Ok(())
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, message: &[u8]) -> Result<()> {
    let mut buffer = vec![0; message.len()];
    from.write_all(message)?;
    to.read_exact(&mut buffer)?;
    ensure!(buffer == message, "another message");
    Ok(())
}
