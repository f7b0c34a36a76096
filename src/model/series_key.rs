// SPDX-License-Identifier: Apache-2.0
//! What tells series of answers apart. There are very many of these, so that one is small.

use std::borrow::Cow;

/// What the requests that were answered alike have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    pub method: Method,
    /// 0 of all kinds together that an owner has shown beyond those that are told apart, and [`Self::UNKNOWN_STATUS`].
    pub status: u16,
    /// Of the request.
    pub version: Version,
    pub scheme: Scheme,
}

impl SeriesKey {
    /// HTTP/2 has said it before the connection was seen.
    pub const UNKNOWN_STATUS: u16 = 1;

    /// All kinds together that an owner has shown beyond those that are told apart.
    pub const OTHER: Self = Self {
        method: Method::Other,
        status: 0,
        version: Version::V1_1,
        scheme: Scheme::Http,
    };

    /// How it came.
    pub fn in_words(self) -> Cow<'static, str> {
        match self.scheme {
            Scheme::Http => Cow::Borrowed(self.version.name()),
            Scheme::Https => Cow::Owned(format!("{} TLS", self.version.name())),
        }
    }
}

/// In the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    /// All but the standard ones.
    Other,
    /// HTTP/2 has said it before the connection was seen.
    Unknown,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
            Self::Unknown => "unknown",
        }
    }
}

/// In the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    V1_0,
    /// And any later 1.x.
    V1_1,
    V2,
    Unknown,
}

impl Version {
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V2 => "2",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    /// It was seen within TLS.
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_small() {
        assert_eq!(size_of::<SeriesKey>(), 6);
    }

    #[test]
    fn keys_are_in_the_order_of_what_they_say() {
        let methods = [
            Method::Connect,
            Method::Delete,
            Method::Get,
            Method::Head,
            Method::Options,
            Method::Patch,
            Method::Post,
            Method::Put,
            Method::Trace,
            Method::Other,
            Method::Unknown,
        ];
        assert!(methods.is_sorted() && methods.is_sorted_by_key(|it| it.name()));
        let versions = [Version::V1_0, Version::V1_1, Version::V2, Version::Unknown];
        assert!(versions.is_sorted() && versions.is_sorted_by_key(|it| it.name()));
    }
}
