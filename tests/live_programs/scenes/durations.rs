// SPDX-License-Identifier: Apache-2.0
//! How long requests took whose heads, or those of whose answers, are cut or of an unusual form: the programs read them in another
//! way than the usual ones. Never less than the server slept, never more than passed from before the one to after the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scope_http_statistics::model::buckets::BUCKETS;

use super::cast::{Scene, play, tcp, tell};
use super::observer;
use crate::observer::{counts, process};

/// How long a server takes to answer.
const DELAY: Duration = Duration::from_millis(30);
/// Between the parts of a head. What counts it by mistake counts more than all that happens besides.
const PAUSE: Duration = Duration::from_millis(100);
/// Of each form.
const TIMES: u64 = 2;

/// One form of a request and its answer. Statuses tell them apart.
struct Form {
    status: u16,
    /// The last part but `after` completes the request line.
    request: &'static [&'static str],
    after: usize,
    /// The last but `rest` begins with the final answer.
    answer: &'static [&'static str],
    rest: usize,
}

const fn form(
    status: u16,
    request: &'static [&'static str],
    answer: &'static [&'static str],
) -> Form {
    Form {
        status,
        request,
        after: 0,
        answer,
        rest: 0,
    }
}

impl Form {
    const fn head_goes_on(mut self, parts: usize) -> Self {
        self.after = parts;
        self
    }

    const fn answer_goes_on(mut self, parts: usize) -> Self {
        self.rest = parts;
        self
    }
}

const USUAL: &[&str] = &["GET / HTTP/1.1\r\nHost: test\r\n\r\n"];

const FORMS: [Form; 8] = [
    form(
        200,
        USUAL,
        &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ),
    form(
        201,
        &["\r\nGET  / HTTP/1.1\nHost:test\n\n"],
        &["HTTP/1.1 201 \nContent-Length:\t0\n\n"],
    ),
    form(
        202,
        &["GE", "T / HTTP/1.1\r\n\r\n"],
        &["HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n"],
    ),
    form(
        203,
        &["GET / HTTP/1.1\r\nHo", "st: test\r\n\r\n"],
        &["HTTP/1.1 203 \r\nContent-Length: 0\r\n\r\n"],
    )
    .head_goes_on(1),
    form(
        404,
        USUAL,
        &["H", "TTP/1.1 40", "4 \r\nContent-Le", "ngth: 0\r\n\r\n"],
    )
    .answer_goes_on(3),
    form(
        405,
        USUAL,
        &["HTTP/1.1 405 \r\n", "content-length: 0\n\r\n"],
    )
    .answer_goes_on(1),
    form(
        406,
        USUAL,
        &[
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 406 \r\nContent-Length: 0\r\n\r\n",
        ],
    ),
    form(
        407,
        &["P", "OST / HTTP/1.1\nContent-Length: 1\n\n", "x"],
        &["HTT", "P/1.1 407 \nContent-Length: 0\n\n"],
    )
    .head_goes_on(1)
    .answer_goes_on(1),
];

pub fn heads_of_any_form_take_their_time(backend: &str) {
    let observer = observer(backend);
    let played = play(Scene::Durations);
    let requests = FORMS.len() as u64 * TIMES;
    let harvest = observer.harvest();
    assert_eq!(counts(&harvest, played.pid()), (requests, requests));
    let process = process(&harvest, played.pid()).unwrap();
    assert_eq!(played.told.len(), FORMS.len());
    for told in &played.told {
        let (status, least, most) = parse(told);
        let mut series = process.totals.series.iter();
        let counted = series.find(|it| it.key.status == status).expect(told);
        let counted = &counted.durations;
        assert_eq!(counted.count(), TIMES, "{told}");
        let sum = Duration::from_nanos(counted.sum_ns);
        assert!(least <= sum && sum <= most, "{told}: {sum:?}");
        // One takes less than all, and none less than its part of the least.
        let buckets = bucket_of(least / TIMES as u32)..=bucket_of(most);
        for (bucket, _) in counted.filled() {
            assert!(buckets.contains(&bucket), "{told}: {counted:?}");
        }
    }
}

/// What [`act`] tells.
fn parse(told: &str) -> (u16, Duration, Duration) {
    let numbers: Vec<u64> = told
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    let [status, least, most] = numbers[..] else {
        panic!("{told}");
    };
    let status = status.try_into().unwrap();
    (
        status,
        Duration::from_nanos(least),
        Duration::from_nanos(most),
    )
}

fn bucket_of(time: Duration) -> u16 {
    BUCKETS.of(time.as_nanos() as u64)
}

/// Tells of each form the least and the most that its requests may have taken together.
pub fn act() {
    let (mut client, mut server) = tcp();
    for form in &FORMS {
        let (mut least, mut most) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..TIMES {
            let (slept, passed) = form.exchange(&mut client, &mut server);
            least += slept;
            most += passed;
        }
        tell(&format!(
            "{} {} {}",
            form.status,
            least.as_nanos(),
            most.as_nanos()
        ));
    }
}

impl Form {
    /// One request after the other part, with pauses between: how long was slept from the request line to the first byte of the
    /// answer, and how long that took at most.
    fn exchange(&self, client: &mut TcpStream, server: &mut TcpStream) -> (Duration, Duration) {
        let mut begun = Instant::now();
        let mut slept = DELAY;
        for (left, part) in (0..self.request.len()).rev().zip(self.request) {
            if left == self.after {
                begun = Instant::now();
            }
            client.write_all(part.as_bytes()).unwrap();
            server.read_exact(&mut vec![0; part.len()]).unwrap();
            if left > 0 {
                sleep(PAUSE);
            }
        }
        slept += PAUSE * self.after as u32;
        sleep(DELAY);
        let mut ended = begun;
        for (left, part) in (0..self.answer.len()).rev().zip(self.answer) {
            server.write_all(part.as_bytes()).unwrap();
            if left == self.rest {
                ended = Instant::now();
            }
            client.read_exact(&mut vec![0; part.len()]).unwrap();
            if left > 0 {
                sleep(PAUSE);
            }
        }
        slept += PAUSE * (self.answer.len() - 1 - self.rest) as u32;
        (slept, ended - begun)
    }
}
