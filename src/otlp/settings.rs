// SPDX-License-Identifier: Apache-2.0
//! Where to push to and how: flags, and the variables that OpenTelemetry has for them
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Command, ValueEnum};
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

/// Flags with the variables that go before the one that each has by itself: those that are about metrics alone.
const VARIABLES: [(&str, &str, &str); 5] = [
    (
        "otlp_protocol",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ),
    (
        "otlp_header",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ),
    (
        "otlp_compression",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    ),
    (
        "otlp_timeout",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ),
    (
        "otlp_certificate",
        "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    ),
];
/// Those that have one.
const OTHERS: [(&str, &str); 5] = [
    ("otlp", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    (
        "otlp_metrics_endpoint",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ),
    (
        "otlp_temporality",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    ),
    (
        "otlp_histograms",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    ),
    ("otlp_interval", "OTEL_METRIC_EXPORT_INTERVAL"),
];

/// What of a URL is a path of gRPC's service.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const HTTP_PATH: &str = "/v1/metrics";

#[derive(Args, Clone, Debug)]
pub struct OtlpFlags {
    /// URL of a collector to push the metrics to by OTLP, as in `http://127.0.0.1:4318`; over HTTP the path gets
    /// `/v1/metrics` behind it
    #[arg(long, value_name = "URL", env = OTHERS[0].1)]
    otlp: Option<String>,

    /// The same for metrics alone, which is taken as it is and goes before the former
    #[arg(long, value_name = "URL", env = OTHERS[1].1)]
    otlp_metrics_endpoint: Option<String>,

    /// How to speak to the collector
    #[arg(long, value_enum, env = VARIABLES[0].2, default_value_t = Protocol::HttpProtobuf)]
    otlp_protocol: Protocol,

    /// Header to send along, as in `authorization=Bearer%20abc`; may be given several times
    #[arg(long, value_name = "NAME=VALUE", env = VARIABLES[1].2, hide_env_values = true, value_delimiter = ',')]
    otlp_header: Vec<Header>,

    /// Whether to compress what is pushed
    #[arg(long, value_enum, env = VARIABLES[2].2, default_value_t = Compression::None)]
    otlp_compression: Compression,

    /// Milliseconds that a push may take
    #[arg(long, value_name = "MS", env = VARIABLES[3].2, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=300_000))]
    otlp_timeout: u64,

    /// File with the certificates to trust in the place of the host's own
    #[arg(long, value_name = "FILE", env = VARIABLES[4].2)]
    otlp_certificate: Option<PathBuf>,

    /// Whether counters tell what has come since the start or since the last push
    #[arg(long, value_enum, ignore_case = true, env = OTHERS[2].1, default_value_t = Temporality::Cumulative)]
    otlp_temporality: Temporality,

    /// Which buckets durations have
    #[arg(long, value_enum, ignore_case = true, env = OTHERS[3].1, default_value_t = Buckets::Explicit)]
    otlp_histograms: Buckets,

    /// Milliseconds from one push to the next
    #[arg(long, value_name = "MS", env = OTHERS[4].1, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..=3_600_000))]
    otlp_interval: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gzip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Temporality {
    Cumulative,
    /// As `lowmemory`, which only differs for what the agent does not have
    #[value(alias = "lowmemory")]
    Delta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Buckets {
    /// The bounds that `/metrics` has
    #[value(name = "explicit", alias = "explicit_bucket_histogram")]
    Explicit,
    /// 16 for each doubling
    #[value(name = "exponential", alias = "base2_exponential_bucket_histogram")]
    Exponential,
}

/// Not to be shown: it may be a secret. Whoever says that it is wrong would show it, so that it is taken as it is until it is used.
#[derive(Clone)]
struct Header(String);

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Header {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl Header {
    fn parse(&self) -> Result<(HeaderName, HeaderValue), &'static str> {
        let (name, value) = self.0.split_once('=').ok_or("it is no NAME=VALUE")?;
        let name = name.trim().parse();
        let name = name.map_err(|_| "its name is none of a header")?;
        let value = decoded(value.trim()).ok_or("a % is no code")?;
        let value = HeaderValue::from_bytes(&value);
        let mut value = value.map_err(|_| "its value is none of a header")?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// As in URLs, which is how these variables are written.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

/// The flags, which take what the environment says of metrics before what it says of everything. What is set to nothing is not set.
pub fn with_environment(command: Command) -> Command {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|it| it != OsStr::new(""));
    let own = OTHERS.map(|(id, name)| (id, [name].into_iter().find(is_set)));
    let both = VARIABLES.map(|(id, first, then)| (id, [first, then].into_iter().find(is_set)));
    own.into_iter()
        .chain(both)
        .fold(command, |command, (id, name)| match name {
            Some(name) => command.mut_arg(id, |flag| flag.env(name)),
            // As it is, for --help.
            None if std::env::var_os(of(id)).is_none() => command,
            None => command.mut_arg(id, |flag| flag.env(None::<&'static str>)),
        })
}

/// The variable that a flag has by itself.
fn of(id: &str) -> &'static str {
    let others = OTHERS.iter().copied();
    let mut all = others.chain(VARIABLES.iter().map(|(id, _, name)| (*id, *name)));
    all.find(|(it, _)| *it == id).map_or("", |(_, name)| name)
}

/// What the flags come to.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: Uri,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub protocol: Protocol,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub compression: Compression,
    pub timeout: Duration,
    pub certificate: Option<PathBuf>,
    pub temporality: Temporality,
    pub buckets: Buckets,
    pub interval: Duration,
}

impl OtlpFlags {
    /// `None`: nothing is pushed.
    pub fn settings(&self) -> Result<Option<Settings>> {
        let (text, path) = match (&self.otlp_metrics_endpoint, &self.otlp, self.otlp_protocol) {
            (None, None, _) => return Ok(None),
            (_, _, Protocol::Grpc) => (
                self.otlp_metrics_endpoint.as_ref().or(self.otlp.as_ref()),
                GRPC_PATH,
            ),
            (Some(url), ..) => (Some(url), ""),
            (None, Some(url), Protocol::HttpProtobuf) => (Some(url), HTTP_PATH),
        };
        let text = text.map(String::as_str).unwrap_or_default();
        let settings = self.settings_of(text, path);
        // What is before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or_default();
        settings
            .with_context(|| format!("--otlp {shown}"))
            .map(Some)
    }

    fn settings_of(&self, text: &str, path: &str) -> Result<Settings> {
        let url: Uri = text.parse().context("it is no URL")?;
        let tls = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("it has to begin with http:// or https://"),
        };
        let authority = url.authority().context("it has no host")?;
        ensure!(
            !authority.as_str().contains('@'),
            "names and passwords go into --otlp-header"
        );
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = authority
            .port_u16()
            .unwrap_or(match (tls, self.otlp_protocol) {
                (_, Protocol::Grpc) => 4317,
                (true, Protocol::HttpProtobuf) => 443,
                (false, Protocol::HttpProtobuf) => 80,
            });
        let path = match self.otlp_protocol {
            Protocol::Grpc => path.to_owned(),
            Protocol::HttpProtobuf if path.is_empty() => url.path().to_owned(),
            Protocol::HttpProtobuf => format!("{}{path}", url.path().trim_end_matches('/')),
        };
        let whole = Uri::builder().scheme(if tls { "https" } else { "http" });
        let whole = whole.authority(authority.as_str()).path_and_query(path);
        let headers = self.otlp_header.iter().zip(1..).map(|(header, number)| {
            let refused = |why| anyhow!("header {number}: {why}");
            header.parse().map_err(refused)
        });
        Ok(Settings {
            host: host.to_owned(),
            url: whole.build()?,
            port,
            tls,
            protocol: self.otlp_protocol,
            headers: headers.collect::<Result<_>>()?,
            compression: self.otlp_compression,
            timeout: Duration::from_millis(self.otlp_timeout),
            certificate: self.otlp_certificate.clone(),
            temporality: self.otlp_temporality,
            buckets: self.otlp_histograms,
            interval: Duration::from_millis(self.otlp_interval),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        otlp: OtlpFlags,
    }

    fn settings(args: &[&str]) -> Result<Option<Settings>> {
        let args = ["agent"].iter().chain(args);
        Only::try_parse_from(args)?.otlp.settings()
    }

    fn url(args: &[&str]) -> String {
        let settings = settings(args).unwrap().unwrap();
        format!("{} {}:{}", settings.url, settings.host, settings.port)
    }

    #[test]
    fn the_url_is_that_of_the_protocol() {
        assert!(settings(&[]).unwrap().is_none());
        assert_eq!(
            url(&["--otlp", "http://c:4318"]),
            "http://c:4318/v1/metrics c:4318"
        );
        assert_eq!(
            url(&["--otlp", "https://c/otlp/"]),
            "https://c/otlp/v1/metrics c:443"
        );
        let metrics = [
            "--otlp-metrics-endpoint",
            "http://[::1]:9/push",
            "--otlp",
            "http://c",
        ];
        assert_eq!(url(&metrics), "http://[::1]:9/push ::1:9");
        let grpc = ["--otlp", "http://10.0.0.7", "--otlp-protocol", "grpc"];
        assert_eq!(
            url(&grpc),
            format!("http://10.0.0.7{GRPC_PATH} 10.0.0.7:4317")
        );
        for (wrong, why) in [
            ("localhost:4317", "begin with http"),
            ("ftp://c", "begin with http"),
            ("http://user:secret@c", "--otlp-header"),
        ] {
            let error = format!("{:#}", settings(&["--otlp", wrong]).unwrap_err());
            assert!(error.contains(why), "{wrong}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn values_are_those_that_opentelemetry_has() {
        let all = [
            "--otlp=http://c",
            "--otlp-header=a=b%20c,x-key=%3d1",
            "--otlp-header=z=",
            "--otlp-temporality=LowMemory",
            "--otlp-compression=gzip",
            "--otlp-histograms=base2_exponential_bucket_histogram",
        ];
        let settings = settings(&all).unwrap().unwrap();
        let headers = settings.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(headers, [("a", &b"b c"[..]), ("x-key", b"=1"), ("z", b"")]);
        assert_eq!(settings.temporality, Temporality::Delta);
        assert_eq!(settings.buckets, Buckets::Exponential);
        assert!(!format!("{settings:?}").contains("b c"));
        for wrong in ["--otlp-interval=10", "--otlp-protocol=http/json"] {
            let args = ["--otlp=http://c", wrong];
            assert!(super::tests::settings(&args).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_is_told_without_it() {
        for (wrong, why) in [
            ("secret", "it is no NAME=VALUE"),
            ("a=secret%zz", "a % is no code"),
            ("a secret=c", "its name is none"),
            ("a=secret%0a", "its value is none"),
        ] {
            let args = [
                "--otlp=http://c",
                "--otlp-header=b=1",
                "--otlp-header",
                wrong,
            ];
            let error = format!("{:#}", settings(&args).unwrap_err());
            let expected = format!("header 2: {why}");
            assert!(error.contains(&expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
