// SPDX-License-Identifier: Apache-2.0
//! An independent reading of a conversation: whole streams instead of transfers, `httparse` for every
//! head, chunk size and trailer, and the body lengths of RFC 9112, section 6.3.
//!
//! Where the cuts are is used for what had been received when a response began, and for when that was. It reads
//! well-framed streams; where a stream loses its framing it counts no further, since how counting goes on
//! from there depends on the cuts, which is for the corpus and for `joined` to say.

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Status};

use crate::account::{Account, Method, Request, Response};
use crate::transfer::{Conversation, Direction};

/// How far the body of a message reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
    /// The headers contradict themselves or name no length that can be known.
    Unknown,
}

#[derive(Clone, Copy)]
struct SeenRequest {
    request: Request,
    /// Where the request line ends in the stream: from there on the request counts.
    line_end: usize,
}

pub fn read(conversation: &Conversation) -> Account {
    let mut requests = read_requests(&conversation.received);
    let mut account = Account::default();
    let sent = &conversation.sent;
    let received_at = received_when_sent(conversation);
    let mut at = 0;
    while let Some((status, _)) = response_line(&sent[at..]) {
        let received = received_at(at);
        let known = requests.partition_point(|seen| seen.line_end <= received);
        let answered = requests[..known].get(account.responses.len()).copied();
        let asked = answered.map(|seen| seen.request);
        let switches = switches_protocol(asked, status);
        let whole = response_head(&sent[at..]);
        if switches {
            // What has arrived until now was HTTP, nothing after it is. A 101 says at its head's end what is.
            let last = match (status, &whole) {
                (101, Some((head, _))) => received_at(at + head - 1),
                (101, None) => break,
                _ => received,
            };
            requests.truncate(requests.partition_point(|seen| seen.line_end <= last));
        }
        let interim = status < 200 && !switches;
        let upgrades = status == 101
            && whole
                .as_ref()
                .is_some_and(|(head, _)| grants_http2(&sent[at..at + head]));
        if !interim && !upgrades {
            match answered {
                Some(SeenRequest { request, line_end }) => account.responses.push(Response {
                    request,
                    status,
                    duration: conversation.moment(Direction::Send, at)
                        - conversation.moment(Direction::Receive, line_end - 1),
                }),
                // Before its first receive, nothing is known of a connection.
                None if received == 0 => {}
                None => account.unmatched.push(status),
            }
        }
        let Some((head, body)) = whole else {
            break;
        };
        if switches {
            break;
        }
        at += head;
        let bodiless = interim
            || matches!(status, 204 | 304)
            || asked.is_some_and(|request| request.method == Method::Head);
        if !bodiless {
            // A response of unknown length lasts until the connection is closed.
            let Some(length) = body.and_then(|body| body_length(body, &sent[at..])) else {
                break;
            };
            at += length;
        }
    }
    account.requests = requests.iter().map(|seen| seen.request).collect();
    account
}

fn switches_protocol(asked: Option<Request>, status: u16) -> bool {
    let connect = asked.is_some_and(|request| request.method == Method::Connect);
    status == 101 || connect && (200..300).contains(&status)
}

/// Whether a 101 switches to HTTP/2, in which its request is answered then.
fn grants_http2(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("upgrade:"));
    values.map(str::trim).any(|value| value == "h2c")
}

/// All requests of a stream that is HTTP from its first byte to its last.
fn read_requests(stream: &[u8]) -> Vec<SeenRequest> {
    let mut requests = Vec::new();
    let Some(mut at) = proxy_header(stream) else {
        return requests;
    };
    loop {
        while let Some(empty) = empty_line(&stream[at..]) {
            at += empty;
        }
        let Some((request, line)) = request_line(&stream[at..]) else {
            break;
        };
        requests.push(SeenRequest {
            request,
            line_end: at + line,
        });
        let Some((head, body)) = request_head(&stream[at..]) else {
            break;
        };
        at += head;
        // Without a length a request has no body; a length that cannot be known ends the framing.
        let body = body.unwrap_or(Body::Length(0));
        let Some(length) = body_length(body, &stream[at..]) else {
            break;
        };
        at += length;
    }
    requests
}

/// How many bytes had been received when byte `at` was sent.
fn received_when_sent(conversation: &Conversation) -> impl Fn(usize) -> usize {
    let mut received = 0;
    let mut sends = Vec::new();
    for transfer in &conversation.transfers {
        match transfer.direction {
            Direction::Receive => received = transfer.range.end,
            Direction::Send => sends.push((transfer.range.end, received)),
        }
    }
    move |at| sends[sends.partition_point(|&(end, _)| end <= at)].1
}

fn empty_line(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// The length of the PROXY protocol header that a load balancer may put before everything else;
/// `None` while it is incomplete.
fn proxy_header(stream: &[u8]) -> Option<usize> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if stream.starts_with(SIGNATURE) {
        let length = stream.get(14..16)?;
        let whole = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        (stream.len() >= whole).then_some(whole)
    } else if SIGNATURE.starts_with(stream) {
        None
    } else if stream.starts_with(b"PROXY TCP") || stream.starts_with(b"PROXY UNKNOWN") {
        Some(line_length(stream)?)
    } else {
        Some(0)
    }
}

fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .map(|end| end + 1)
}

/// A start line counts as soon as it is complete, whatever follows it: parsed as a head of its own.
fn alone(line: &[u8]) -> Vec<u8> {
    [line, b"\r\n"].concat()
}

/// A request line as it is meant: servers take more blanks and other forms of the version, or answer them with 400.
fn as_meant(line: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(line).ok()?;
    let words: Vec<_> = text
        .trim_end_matches(['\r', '\n'])
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .collect();
    let [method, target, version] = words[..] else {
        return None;
    };
    let (name, minor) = version.split_at_checked("HTTP/1.".len())?;
    let is_version = name.eq_ignore_ascii_case("HTTP/1.")
        && !minor.is_empty()
        && minor.bytes().all(|digit| digit.is_ascii_digit());
    let begins = text.starts_with(method);
    (is_version && begins).then(|| {
        let minor = if minor.starts_with('0') { 0 } else { 1 };
        format!("{method} {target} HTTP/1.{minor}\r\n").into()
    })
}

fn request_line(bytes: &[u8]) -> Option<(Request, usize)> {
    let line = line_length(bytes)?;
    let usual = as_meant(&bytes[..line]);
    let head = alone(usual.as_deref().unwrap_or(&bytes[..line]));
    let mut parsed = httparse::Request::new(&mut []);
    parsed.parse(&head).ok()?;
    let method = Method::from_token(parsed.method?);
    Some((
        Request {
            method,
            version: 10 + parsed.version?,
        },
        line,
    ))
}

fn response_line(bytes: &[u8]) -> Option<(u16, usize)> {
    let line = line_length(bytes)?;
    let head = alone(&bytes[..line]);
    let mut parsed = httparse::Response::new(&mut []);
    parsed.parse(&head).ok()?;
    Some((parsed.code?, line))
}

fn request_head(bytes: &[u8]) -> Option<(usize, Option<Body>)> {
    let line = line_length(bytes)?;
    if let Some(usual) = as_meant(&bytes[..line])
        && usual != bytes[..line]
    {
        let (head, body) = request_head(&[&usual, &bytes[line..]].concat())?;
        return Some((head - usual.len() + line, body));
    }
    let mut config = ParserConfig::default();
    config.ignore_invalid_headers_in_requests(true);
    with_headers(|headers| {
        let mut request = httparse::Request::new(headers);
        let length = config.parse_request(&mut request, bytes)?;
        Ok(complete(length).map(|length| (length, framing(request.headers))))
    })
}

fn response_head(bytes: &[u8]) -> Option<(usize, Option<Body>)> {
    let mut config = ParserConfig::default();
    config.ignore_invalid_headers_in_responses(true);
    with_headers(|headers| {
        let mut response = httparse::Response::new(headers);
        let length = config.parse_response(&mut response, bytes)?;
        Ok(complete(length).map(|length| (length, framing(response.headers))))
    })
}

/// Runs a parser with as many header slots as it turns out to need.
fn with_headers<'b, T>(
    mut parse: impl FnMut(&mut [Header<'b>]) -> Result<Option<T>, Error>,
) -> Option<T> {
    let mut slots = 32;
    loop {
        match parse(&mut vec![EMPTY_HEADER; slots]) {
            Ok(parsed) => return parsed,
            Err(Error::TooManyHeaders) => slots *= 8,
            Err(_) => return None,
        }
    }
}

fn complete<T>(status: Status<T>) -> Option<T> {
    match status {
        Status::Complete(parsed) => Some(parsed),
        Status::Partial => None,
    }
}

fn framing(headers: &[Header<'_>]) -> Option<Body> {
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    if let Some(last) = values("Transfer-Encoding").next_back() {
        let coding = last.rsplit(|&byte| byte == b',').next().unwrap_or(last);
        let chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Some(if chunked {
            Body::Chunked
        } else {
            Body::Unknown
        });
    }
    let mut lengths = values("Content-Length").map(decimal);
    let first = lengths.next()?;
    let agreed = lengths.all(|length| length == first);
    Some(first.filter(|_| agreed).map_or(Body::Unknown, Body::Length))
}

fn decimal(value: &[u8]) -> Option<usize> {
    let digits = value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// The bytes that a body takes in the stream; `None` if the stream ends before it, or breaks.
fn body_length(body: Body, bytes: &[u8]) -> Option<usize> {
    match body {
        Body::Length(length) => (length <= bytes.len()).then_some(length),
        Body::Chunked => chunked_length(bytes),
        Body::Unknown => None,
    }
}

fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        // httparse takes a line without any digit for a size of 0.
        bytes.get(at).filter(|byte| byte.is_ascii_hexdigit())?;
        let (line, size) = httparse::parse_chunk_size(&bytes[at..])
            .ok()
            .and_then(complete)?;
        at += line;
        if size == 0 {
            let trailers = with_headers(|headers| {
                let parsed = httparse::parse_headers(&bytes[at..], headers)?;
                Ok(complete(parsed).map(|(length, _)| length))
            })?;
            return Some(at + trailers);
        }
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| at.checked_add(size))?;
        bytes.get(end..).filter(|rest| rest.starts_with(b"\r\n"))?;
        at = end + 2;
    }
}
