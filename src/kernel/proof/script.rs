// SPDX-License-Identifier: Apache-2.0
//! What the two ends say, word for word, and what it has to count as. Pure.

use crate::kernel::proof::tally::Tally;
use crate::model::series_key::{Method, Scheme, SeriesKey, Version};

/// One send of either end, which the other one then receives.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Ask(&'static str),
    Answer(&'static str),
    /// The end of an answer, which comes from a file where the calls can do that.
    AnswerFromFile(&'static str),
}

/// What is said, and what it has to count as.
#[derive(Debug)]
pub struct Script {
    /// What is special about it.
    pub what: &'static str,
    pub steps: &'static [Step],
    requests: u64,
    answers: &'static [SeriesKey],
}

impl Script {
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            requests: self.requests,
            ..Tally::default()
        };
        for &kind in self.answers {
            *tally.answers.entry(kind).or_default() += 1;
        }
        tally
    }
}

/// How many kinds of answers there are in all.
pub const KINDS: u32 = 3;

const GET: Step = Step::Ask("GET /proof HTTP/1.1\r\nHost: proof\r\n\r\n");
const OK: Step = Step::Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const HEAD: Step = Step::Ask("HEAD /proof HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
/// Without the body that a GET would have got.
const NOT_FOUND: Step = Step::Answer("HTTP/1.0 404 Not Found\r\nContent-Length: 9\r\n\r\n");

const ANSWERED_GET: SeriesKey = answered(Method::Get, 200, Version::V1_1);
const ANSWERED_HEAD: SeriesKey = answered(Method::Head, 404, Version::V1_0);
const ANSWERED_POST: SeriesKey = answered(Method::Post, 201, Version::V1_1);

const fn answered(method: Method, status: u16, version: Version) -> SeriesKey {
    SeriesKey {
        method,
        status,
        version,
        scheme: Scheme::Http,
    }
}

/// As little as can be.
pub const ONE_REQUEST: Script = Script {
    what: "",
    steps: &[GET, OK],
    requests: 1,
    answers: &[ANSWERED_GET],
};

pub const TWO_REQUESTS: Script = Script {
    what: "",
    steps: &[GET, OK, HEAD, NOT_FOUND],
    requests: 2,
    answers: &[ANSWERED_GET, ANSWERED_HEAD],
};

/// What comes from the file looks like an answer.
pub const FROM_A_FILE: Script = Script {
    what: "",
    steps: &[
        GET,
        Step::Answer("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n"),
        Step::AnswerFromFile("HTTP/1.1 500 No Answer\r\n\r\n"),
        HEAD,
        NOT_FOUND,
    ],
    requests: 2,
    answers: &[ANSWERED_GET, ANSWERED_HEAD],
};

pub const SPLIT: Script = Script {
    what: "a request in three parts",
    steps: &[
        Step::Ask("GET /pro"),
        Step::Ask("of HTTP/1.1\r\nHost: pr"),
        Step::Ask("oof\r\n\r\n"),
        OK,
    ],
    requests: 1,
    answers: &[ANSWERED_GET],
};

pub const BODY: Script = Script {
    what: "a body made of requests",
    steps: &[
        Step::Ask("POST /proof HTTP/1.1\r\nContent-Length: 36\r\n\r\n"),
        Step::Ask("GET / HTTP/1.1\r\n\r\n"),
        Step::Ask("GET / HTTP/1.1\r\n\r\n"),
        Step::Answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        GET,
        OK,
    ],
    requests: 2,
    answers: &[ANSWERED_POST, ANSWERED_GET],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// As an HTTP parser of another make reads it.
    #[test]
    fn what_is_sent_is_what_is_expected() {
        for script in [&ONE_REQUEST, &TWO_REQUESTS, &FROM_A_FILE, &SPLIT, &BODY] {
            let (mut asked, mut answered) = (String::new(), String::new());
            for step in script.steps {
                match step {
                    Step::Ask(text) => asked.push_str(text),
                    Step::Answer(text) | Step::AnswerFromFile(text) => answered.push_str(text),
                }
            }
            let requests = heads(&asked, |head| {
                let mut headers = [httparse::EMPTY_HEADER; 8];
                let mut request = httparse::Request::new(&mut headers);
                let httparse::Status::Complete(length) = request.parse(head).unwrap() else {
                    panic!("{asked}");
                };
                let line = (request.method.unwrap().to_owned(), request.version.unwrap());
                (line, length)
            });
            let answers = heads(&answered, |head| {
                let mut headers = [httparse::EMPTY_HEADER; 8];
                let mut response = httparse::Response::new(&mut headers);
                let httparse::Status::Complete(length) = response.parse(head).unwrap() else {
                    panic!("{answered}");
                };
                (response.code.unwrap(), length)
            });
            let mut tally = Tally {
                requests: requests.len() as u64,
                ..Tally::default()
            };
            for ((method, version), status) in requests.iter().zip(answers) {
                let expected = script.tally();
                let is = |kind: &&SeriesKey| {
                    kind.method.name() == method
                        && kind.status == status
                        && kind.version.name() == format!("1.{version}")
                };
                let kind = expected.answers.keys().find(is).unwrap();
                *tally.answers.entry(*kind).or_default() += 1;
            }
            assert_eq!(tally, script.tally());
        }
    }

    /// What is read of each head; bodies are passed over.
    fn heads<T>(mut text: &str, read: impl Fn(&[u8]) -> (T, usize)) -> Vec<T> {
        let mut all = Vec::new();
        while !text.is_empty() {
            let (what, length) = read(text.as_bytes());
            let (head, rest) = text.split_at(length);
            let body = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().unwrap());
            // The answer to a HEAD has none.
            text = if head.contains(" 404 ") {
                rest
            } else {
                &rest[body..]
            };
            all.push(what);
        }
        all
    }
}
