// SPDX-License-Identifier: Apache-2.0
//! What the agent says to itself, what has to be counted of it, and whether it was. Pure: the talking is done in
//! [`crate::kernel::proof::talk`].

use std::collections::BTreeMap;
use std::fmt;

use crate::kernel::backend::Backend;
use crate::model::counters::SeriesKey;

/// The system calls by which the server's end receives and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    ReadWrite,
    ReadvWritev,
    RecvfromSendto,
    RecvmsgSendmsg,
    RecvmmsgSendmmsg,
    /// Bodies come from a file.
    Sendfile,
    IoUring,
    /// As 32-bit programs make them.
    Compat,
}

impl Calls {
    /// Those that every backend sees, and then those of `fexit` alone.
    pub fn of(backend: Backend) -> &'static [Self] {
        const ALL: [Calls; 8] = [
            Calls::ReadWrite,
            Calls::ReadvWritev,
            Calls::RecvfromSendto,
            Calls::RecvmsgSendmsg,
            Calls::RecvmmsgSendmmsg,
            Calls::Sendfile,
            Calls::IoUring,
            Calls::Compat,
        ];
        match backend {
            Backend::Fexit => &ALL,
            Backend::Sock | Backend::Syscall => &ALL[..6],
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "read/write",
            Self::ReadvWritev => "readv/writev",
            Self::RecvfromSendto => "recvfrom/sendto",
            Self::RecvmsgSendmsg => "recvmsg/sendmsg",
            Self::RecvmmsgSendmmsg => "recvmmsg/sendmmsg",
            Self::Sendfile => "read/sendfile",
            Self::IoUring => "io_uring",
            Self::Compat => "32-bit read/write",
        })
    }
}

/// What the two ends are connected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Tcp,
    Tcp6,
    Unix,
}

impl Family {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Tcp6, Self::Unix];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp over IPv6",
            Self::Unix => "a unix socket",
        })
    }
}

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
    what: &'static str,
    pub steps: &'static [Step],
    requests: u64,
    /// Method, version and status.
    answers: &'static [(&'static str, &'static str, u16)],
}

/// How many kinds of answers there are in all.
pub const KINDS: u32 = 3;

const GET: Step = Step::Ask("GET /proof HTTP/1.1\r\nHost: proof\r\n\r\n");
const OK: Step = Step::Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const HEAD: Step = Step::Ask("HEAD /proof HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
/// Without the body that a GET would have got.
const NOT_FOUND: Step = Step::Answer("HTTP/1.0 404 Not Found\r\nContent-Length: 9\r\n\r\n");

const ANSWERED_GET: (&str, &str, u16) = ("GET", "1.1", 200);
const ANSWERED_HEAD: (&str, &str, u16) = ("HEAD", "1.0", 404);
const ANSWERED_POST: (&str, &str, u16) = ("POST", "1.1", 201);

/// As little as can be.
pub const ONE_REQUEST: Script = Script {
    what: "",
    steps: &[GET, OK],
    requests: 1,
    answers: &[ANSWERED_GET],
};

const TWO_REQUESTS: Script = Script {
    what: "",
    steps: &[GET, OK, HEAD, NOT_FOUND],
    requests: 2,
    answers: &[ANSWERED_GET, ANSWERED_HEAD],
};

/// What comes from the file looks like an answer.
const FROM_A_FILE: Script = Script {
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

const SPLIT: Script = Script {
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

const BODY: Script = Script {
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

/// Something to talk about, and the way in which to do so.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    pub script: &'static Script,
    pub calls: Calls,
    pub family: Family,
}

/// All that a backend has to count, in an order in which no way comes long after the others, should time run out.
pub fn of(backend: Backend) -> Vec<Conversation> {
    let mut all = Vec::new();
    let mut add = |script, calls| {
        all.extend(Family::ALL.map(|family| Conversation {
            script,
            calls,
            family,
        }));
    };
    for calls in Calls::of(backend) {
        match calls {
            Calls::Sendfile => add(&FROM_A_FILE, *calls),
            _ => add(&TWO_REQUESTS, *calls),
        }
    }
    for script in [&SPLIT, &BODY] {
        add(script, Calls::ReadWrite);
    }
    all
}

/// Requests, and answers by their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    pub answers: BTreeMap<SeriesKey, u64>,
}

impl Tally {
    /// What has been added since.
    pub fn since(&self, before: &Self) -> Self {
        let answers = self.answers.iter().filter_map(|(kind, count)| {
            let added = count - before.answers.get(kind).unwrap_or(&0);
            (added > 0).then(|| (kind.clone(), added))
        });
        Self {
            requests: self.requests - before.requests,
            answers: answers.collect(),
        }
    }
}

/// "2 requests (GET 1.1 200, HEAD 1.0 404)": answers tell the kind of the requests.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.requests == 1 { "" } else { "s" };
        write!(f, "{} request{s} (", self.requests)?;
        if self.answers.is_empty() {
            f.write_str("no answer")?;
        }
        for (index, (kind, count)) in self.answers.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {} {}", kind.method, kind.version, kind.status)?;
            if *count > 1 {
                write!(f, " × {count}")?;
            }
        }
        f.write_str(")")
    }
}

/// A conversation that counted as something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    pub conversation: String,
    pub sent: Tally,
    pub counted: Tally,
}

impl fmt::Display for Miscount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            conversation,
            sent,
            counted,
        } = self;
        write!(f, "{conversation}: sent {sent}, counted {counted}")
    }
}

impl Conversation {
    /// Whether it has counted as what it was.
    pub fn compare(&self, counted: Tally) -> Result<(), Miscount> {
        let sent = self.tally();
        if counted == sent {
            return Ok(());
        }
        Err(Miscount {
            conversation: self.to_string(),
            sent,
            counted,
        })
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally {
            requests: self.script.requests,
            ..Tally::default()
        };
        for &(method, version, status) in self.script.answers {
            let kind = SeriesKey {
                method,
                status,
                version,
            };
            *tally.answers.entry(kind).or_default() += 1;
        }
        tally
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            script,
            calls,
            family,
        } = self;
        write!(f, "{calls} over {family}")?;
        if !script.what.is_empty() {
            write!(f, ", {}", script.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const OVER_TCP: Conversation = Conversation {
        script: &TWO_REQUESTS,
        calls: Calls::RecvmsgSendmsg,
        family: Family::Tcp,
    };

    fn said(counted: Tally) -> String {
        OVER_TCP.compare(counted).unwrap_err().to_string()
    }

    #[test]
    fn what_went_in_has_to_come_out() {
        assert_eq!(OVER_TCP.compare(OVER_TCP.tally()), Ok(()));
        assert_eq!(
            said(Tally::default()),
            "recvmsg/sendmsg over tcp: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 0 requests (no answer)"
        );
        let mut twice = OVER_TCP.tally();
        twice.requests = 1;
        twice.answers.values_mut().for_each(|count| *count *= 2);
        assert!(said(twice).ends_with("counted 1 request (GET 1.1 200 × 2, HEAD 1.0 404 × 2)"));
        // The right number of the wrong kind.
        let mut other = OVER_TCP.tally();
        other.answers.pop_first();
        assert!(said(other).ends_with("counted 2 requests (HEAD 1.0 404)"));
    }

    #[test]
    fn only_what_was_added_is_compared() {
        let before = OVER_TCP.tally();
        assert_eq!(before.since(&before), Tally::default());
        assert_eq!(before.since(&Tally::default()), before);
    }

    #[test]
    fn each_backend_is_asked_for_what_it_claims() {
        for (backend, calls) in [
            (Backend::Sock, 6),
            (Backend::Syscall, 6),
            (Backend::Fexit, 8),
        ] {
            let conversations = of(backend);
            assert_eq!(conversations.len(), (calls + 2) * Family::ALL.len());
            let names: BTreeSet<_> = conversations.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), conversations.len(), "a name stands twice");
        }
        assert!(
            of(Backend::Sock)
                .iter()
                .all(|it| it.calls != Calls::IoUring)
        );
    }

    #[test]
    fn there_is_room_for_all_kinds_of_answers() {
        let conversations = of(Backend::Fexit);
        let kinds: BTreeSet<_> = conversations
            .iter()
            .flat_map(|conversation| conversation.tally().answers.into_keys())
            .collect();
        assert_eq!(kinds.len(), KINDS as usize);
        let one = Conversation {
            script: &ONE_REQUEST,
            ..OVER_TCP
        };
        assert!(one.tally().answers.keys().all(|kind| kinds.contains(kind)));
    }

    /// As an HTTP parser of another make reads it.
    #[test]
    fn what_is_sent_is_what_is_expected() {
        for conversation in of(Backend::Fexit) {
            let (mut asked, mut answered) = (String::new(), String::new());
            for step in conversation.script.steps {
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
                let expected = conversation.tally();
                let is = |kind: &&SeriesKey| {
                    kind.method == method
                        && kind.status == status
                        && kind.version == format!("1.{version}")
                };
                let kind = expected.answers.keys().find(is).unwrap();
                *tally.answers.entry(kind.clone()).or_default() += 1;
            }
            assert_eq!(conversation.compare(tally), Ok(()));
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
