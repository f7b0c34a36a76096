// SPDX-License-Identifier: Apache-2.0
//! Latency against the truth: never less than the server slept, never more than the client waited.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::load::{Address, Client, get};
use scope_http_statistics::model::buckets::BUCKETS;

use crate::answers::Answers;
use crate::audit::{Books, Entry};
use crate::witness::Witnesses;
use crate::{apps, servers};

const TIMES: usize = 7;

/// One request: what is known of how long it took, and what each backend says.
pub struct Measured {
    pub what: &'static str,
    pub least: Duration,
    pub most: Duration,
    /// By backend: the sum of one request, and its bucket.
    pub counted: Vec<(Duration, u16)>,
}

impl Measured {
    fn new(what: &'static str, least: Duration, most: Duration, entry: &Entry) -> Self {
        assert!(entry.agrees(), "{what}: {entry:?}");
        let counted = entry.counts.iter().map(|count| {
            let sum = Duration::from_nanos(count.histogram.sum_ns);
            let (bucket, _) = count.histogram.filled().next().unwrap();
            (sum, bucket)
        });
        let counted = counted.collect();
        Self {
            what,
            least,
            most,
            counted,
        }
    }

    pub fn agrees(&self) -> bool {
        self.counted.iter().all(|(sum, bucket)| {
            let in_bucket = *bucket == BUCKETS.of(sum.as_nanos() as u64);
            self.least <= *sum && *sum <= self.most && in_bucket
        })
    }
}

pub fn measure(witnesses: &Witnesses, files: &Path) -> Vec<Measured> {
    let mut measured = sleeps(witnesses, files);
    measured.extend(slow_reader(witnesses, files));
    measured
}

/// A server that sleeps a known time before it answers.
fn sleeps(witnesses: &Witnesses, files: &Path) -> Vec<Measured> {
    let server = apps::python(files);
    let mut books = Books::open(&server, witnesses);
    let mut client = Client::connect(&server.address);
    let mut measured = Vec::new();
    for (what, milliseconds) in [("1 ms", 1), ("5 ms", 5), ("20 ms", 20), ("100 ms", 100)] {
        for _ in 0..TIMES {
            let start = Instant::now();
            client.ask(get(&format!("/sleep/{milliseconds}")).as_bytes());
            let most = start.elapsed();
            let entry = books.close(Some(Answers::of("GET", 200, 1)));
            let least = Duration::from_millis(milliseconds);
            measured.push(Measured::new(what, least, most, &entry));
        }
    }
    measured
}

/// 200 MB by `sendfile` to a client that stops after the first byte of the body for a while: until then the head has been
/// sent, and its time is what counts. The head alone would not do: its reader may be done with it before its sender is.
fn slow_reader(witnesses: &Witnesses, files: &Path) -> Vec<Measured> {
    const PAUSE: Duration = Duration::from_secs(1);
    let server = servers::nginx(files, "");
    let mut books = Books::open(&server, witnesses);
    let Address::Tcp(address) = server.address else {
        panic!("no TCP address");
    };
    let ask = || {
        let request = "GET /files/large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(address).unwrap();
        let start = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let lines = stream.by_ref().lines().map(Result::unwrap);
        assert!(lines.take_while(|line| !line.is_empty()).count() > 1);
        stream.read_exact(&mut [0]).unwrap();
        let first = start.elapsed();
        thread::sleep(PAUSE);
        let rest = std::io::copy(&mut stream, &mut std::io::sink()).unwrap() + 1;
        assert!(rest >= 200_000_000, "{rest} bytes");
        let entry = books.close(Some(Answers::of("GET", 200, 1)));
        assert!(first < PAUSE, "the machine is too slow to tell");
        Measured::new("200 MB to a slow reader", Duration::ZERO, first, &entry)
    };
    std::iter::repeat_with(ask).take(2).collect()
}
