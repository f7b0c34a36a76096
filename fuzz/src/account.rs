// SPDX-License-Identifier: Apache-2.0
//! What was counted on one connection: the common language of the framing, the oracle and the corpus.

use std::fmt;

/// The nine standard methods; every other token is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

const NAMES: [(&str, Method); 10] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("CONNECT", Method::Connect),
    ("OPTIONS", Method::Options),
    ("TRACE", Method::Trace),
    ("PATCH", Method::Patch),
    ("_OTHER", Method::Other),
];

impl Method {
    /// Methods are case-sensitive: `get` is another method than `GET`.
    pub fn from_token(token: &str) -> Self {
        NAMES
            .iter()
            .find(|(name, _)| *name == token)
            .map_or(Self::Other, |&(_, method)| method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize].0)
    }
}

/// A counted request. The version is 10 or 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub version: u8,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}.{}",
            self.method,
            self.version / 10,
            self.version % 10
        )
    }
}

/// A final response, with the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    pub request: Request,
    pub status: u16,
    /// How many transfers passed from the one that completed the request line to the one that began the response.
    pub duration: u64,
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {}", self.request, self.status)?;
        match self.duration {
            0 => Ok(()),
            transfers => write!(f, " after {transfers}"),
        }
    }
}

/// Each list is in the order of the bytes on the wire. How the lists interleave is not compared,
/// since that depends on when the server reads, not on what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub requests: Vec<Request>,
    pub responses: Vec<Response>,
    /// Final responses that answer no counted request.
    pub unmatched: Vec<u16>,
}

impl Account {
    /// Without the durations, which depend on how a conversation is cut.
    #[must_use]
    pub fn untimed(mut self) -> Self {
        for response in &mut self.responses {
            response.duration = 0;
        }
        self
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests:  {}", list(&self.requests))?;
        writeln!(f, "responses: {}", list(&self.responses))?;
        write!(f, "unmatched: {}", list(&self.unmatched))
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
