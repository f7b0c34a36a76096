// SPDX-License-Identifier: Apache-2.0
//! Where a running agent is asked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::http::uri::{Authority, Uri};

/// Where agents listen by themselves.
const PORT: u16 = 9476;

/// A socket of this host, or the page of any.
#[derive(Clone, Debug)]
pub enum Address {
    Socket(PathBuf),
    Url(Url),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Of a page, as the agent says it at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub host: String,
    pub port: u16,
}

impl Url {
    /// As it is written in a request.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Without the brackets of IPv6.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_url = || format!("no address of a page, as http://127.0.0.1:{PORT} is");
        if text.starts_with("https:") {
            return Err("agents do not speak TLS: http://HOST:PORT".to_owned());
        }
        let authority = if text.contains("://") {
            let uri: Uri = text.parse().map_err(|_| no_url())?;
            let is_http = uri.scheme_str() == Some("http");
            uri.authority().filter(|_| is_http).cloned()
        } else {
            text.trim_end_matches('/').parse::<Authority>().ok()
        };
        let authority = authority.filter(|it| !it.host().is_empty() && !it.as_str().contains('@'));
        let authority = authority.ok_or_else(no_url)?;
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(PORT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_as_people_write_them() {
        for (text, host, port) in [
            ("http://127.0.0.1:9476/", "127.0.0.1", 9476),
            ("http://node-7:80", "node-7", 80),
            ("node-7", "node-7", PORT),
            ("node-7:9999/", "node-7", 9999),
            ("http://[::1]:9476", "[::1]", 9476),
            ("http://node-7/metrics", "node-7", PORT),
        ] {
            let host = host.to_owned();
            assert_eq!(text.parse(), Ok(Url { host, port }), "{text}");
        }
        for wrong in [
            "",
            "https://node-7",
            "ftp://node-7",
            "http://",
            "a b",
            "http://me@node-7",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
        assert_eq!("http://[::1]:1".parse::<Url>().unwrap().name(), "::1");
    }
}
