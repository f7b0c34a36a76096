// SPDX-License-Identifier: Apache-2.0
//! What a running agent pushes by OTLP, through a restart of the collector and its own end.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use common::agent::{Agent, Program, folder};
use common::answering::{DELAY_MS, answering, ask};
use common::process::eventually;
use common::tls;
use common::web::{self, sample, text};
use peers::collector::common::v1::KeyValue;
use peers::collector::common::v1::any_value::Value;
use peers::collector::metrics::v1::metric::Data;
use peers::collector::metrics::v1::number_data_point::Value as Number;
use peers::collector::metrics::v1::{AggregationTemporality, ResourceMetrics};
use peers::collector::{Collector, Kept};
use rustix::process::Signal;

const AGENT: Program = common::agent!();

const LOOPBACK: &str = "127.0.0.1:0";
fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|it| it.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

fn words<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value(attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

/// What a collector has of the server, over all pushes: requests, answers by status, and the sum of their durations.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: u64,
    answered: u64,
    failed: u64,
    seconds: f64,
}

impl Seen {
    fn counts(&self) -> (u64, u64, u64) {
        (self.requests, self.answered, self.failed)
    }

    /// Where counters are told as they are, the latest is all.
    fn take(&mut self, new: Self, is_delta: bool) {
        if !is_delta {
            *self = new;
            return;
        }
        self.requests += new.requests;
        self.answered += new.answered;
        self.failed += new.failed;
        self.seconds += new.seconds;
    }
}

/// Of one kind of counters and of buckets.
#[derive(Clone, Copy)]
struct Form {
    /// What the server is called: the agent sees those of other tests, too.
    name: &'static str,
    is_delta: bool,
    is_exponential: bool,
}

impl Form {
    fn seen(self, kept: &[Kept]) -> Seen {
        let mut seen = Seen::default();
        for push in kept.iter().flat_map(Kept::all) {
            assert!(push.is_compressed);
            assert_eq!(push.authorization.as_deref(), Some("Bearer secret"));
            for resource in &push.request.resource_metrics {
                let attributes = &resource.resource.as_ref().unwrap().attributes;
                assert_eq!(words(attributes, "host.name"), "node-7");
                if words(attributes, "service.name") == self.name {
                    assert_eq!(words(attributes, "process.executable.name"), self.name);
                    seen.take(self.of_server(resource), self.is_delta);
                }
            }
        }
        seen
    }

    fn of_server(self, resource: &ResourceMetrics) -> Seen {
        let temporality = match self.is_delta {
            true => AggregationTemporality::Delta,
            false => AggregationTemporality::Cumulative,
        };
        let mut seen = Seen::default();
        let metrics = resource.scope_metrics.iter().flat_map(|it| &it.metrics);
        for metric in metrics {
            match (metric.name.as_str(), metric.data.as_ref().unwrap()) {
                ("http.server.requests", Data::Sum(sum)) => {
                    assert_eq!(sum.aggregation_temporality, temporality as i32);
                    assert!(sum.is_monotonic);
                    for point in &sum.data_points {
                        assert!(point.start_time_unix_nano < point.time_unix_nano);
                        assert!(matches!(
                            value(&point.attributes, "server.port"),
                            Some(Value::IntValue(_))
                        ));
                        let Some(Number::AsInt(count)) = point.value else {
                            panic!("{point:?}");
                        };
                        seen.requests += u64::try_from(count).unwrap();
                    }
                }
                ("http.server.request.duration", Data::Histogram(it)) if !self.is_exponential => {
                    assert_eq!(
                        (it.aggregation_temporality, &*metric.unit),
                        (temporality as i32, "s")
                    );
                    for point in &it.data_points {
                        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                        // None is faster than the delay.
                        let fast = point.explicit_bounds.iter().zip(&point.bucket_counts);
                        assert!(
                            fast.filter(|(bound, _)| **bound <= 0.025)
                                .all(|(_, count)| *count == 0)
                        );
                        seen.add(&point.attributes, point.count, point.sum.unwrap());
                    }
                }
                ("http.server.request.duration", Data::ExponentialHistogram(it)) => {
                    assert!(self.is_exponential);
                    assert_eq!(it.aggregation_temporality, temporality as i32);
                    for point in &it.data_points {
                        let buckets = point.positive.as_ref().unwrap();
                        assert_eq!(buckets.bucket_counts.iter().sum::<u64>(), point.count);
                        // As the protocol says: 2^(2^-scale), to the power of the index, is the lower bound.
                        let base = 2_f64.powf(2_f64.powi(-point.scale));
                        let least = base.powi(buckets.offset + 1);
                        assert!(least > (DELAY_MS - 1) as f64 / 1000.0, "{least}");
                        seen.add(&point.attributes, point.count, point.sum.unwrap());
                    }
                }
                (name, data) => panic!("{name}: {data:?}"),
            }
        }
        seen
    }
}

impl Seen {
    fn add(&mut self, attributes: &[KeyValue], count: u64, seconds: f64) {
        assert_eq!(words(attributes, "http.request.method"), "GET");
        assert_eq!(words(attributes, "url.scheme"), "http");
        assert_eq!(words(attributes, "network.protocol.version"), "1.1");
        match value(attributes, "http.response.status_code") {
            Some(Value::IntValue(200)) => self.answered += count,
            Some(Value::IntValue(404)) => self.failed += count,
            other => panic!("{other:?}"),
        }
        self.seconds += seconds;
    }
}

fn pushing(url: &str, more: &[&str]) -> (Agent, SocketAddr) {
    let flags = [
        "--otlp",
        url,
        "--otlp-interval=1000",
        "--otlp-compression=gzip",
        "--otlp-header=authorization=Bearer%20secret",
        "--hostname=node-7",
    ];
    web::start_by_workload(AGENT, &[&flags[..], more].concat())
}

/// Exactly what the client has asked, however often the collector was away.
fn nothing_is_lost(
    form: Form,
    collector: impl Fn(SocketAddr) -> Collector,
    more: &[&str],
    scheme: &str,
) {
    let first = collector(LOOPBACK.parse().unwrap());
    let address = first.address;
    // By name, for which the agent has to ask behind all that it has given up.
    let url = format!("{scheme}://localhost:{}", address.port());
    let (mut agent, page) = pushing(&url, more);
    let server = answering(form.name);
    ask(&server, 200, 53);
    ask(&server, 404, 7);
    let mut kept = vec![first.kept.clone()];
    eventually((60, 53, 7), || form.seen(&kept).counts());
    drop(first);
    ask(&server, 200, 31);
    let failed = ["outcome=\"failed\""];
    let failures = || {
        sample(
            &text(page, "/metrics"),
            "scope_http_otlp_pushes_total",
            &failed,
        )
    };
    eventually(true, || failures() >= Some(2.0));
    let second = collector(address);
    kept.push(second.kept.clone());
    eventually((91, 84, 7), || form.seen(&kept).counts());
    ask(&server, 200, 13);
    let requests = format!("process_executable_name=\"{}\"", form.name);
    eventually(Some(104.0), || {
        sample(
            &text(page, "/metrics"),
            "http_server_requests_total",
            &[&requests],
        )
    });
    // What is new is pushed before it ends.
    assert_eq!(
        agent.stop(Signal::TERM).0.code(),
        Some(0),
        "{}",
        agent.log()
    );
    let seen = form.seen(&kept);
    assert_eq!(seen.counts(), (104, 97, 7), "{}", agent.log());
    let least = 104.0 * (DELAY_MS - 1) as f64 / 1000.0;
    assert!(seen.seconds >= least, "{seen:?}");
    let log = agent.log();
    assert_eq!(
        log.matches("takes no metrics, trying again").count(),
        1,
        "{log}"
    );
    assert!(log.contains("the collector takes metrics again"), "{log}");
}

#[test]
fn by_http_within_tls_nothing_is_lost_over_a_restart_of_the_collector() {
    let folder = folder();
    let (certificate, key) = tls::certificate(folder.path());
    let form = Form {
        name: "pushed-by-http",
        is_delta: false,
        is_exponential: false,
    };
    let trusted = format!("--otlp-certificate={}", path(&certificate));
    let collector = |address| Collector::https(address, &certificate, &key);
    nothing_is_lost(form, collector, &[&trusted], "https");
}

#[test]
fn by_grpc_and_as_deltas_nothing_is_lost_over_a_restart_of_the_collector() {
    let form = Form {
        name: "pushed-by-grpc",
        is_delta: true,
        is_exponential: true,
    };
    let more = [
        "--otlp-protocol=grpc",
        "--otlp-temporality=delta",
        "--otlp-histograms=exponential",
    ];
    nothing_is_lost(form, Collector::grpc, &more, "http");
}

/// Answers whoever asks for an address, and whoever pushes to it, in a network that has nothing else.
const NETWORK: &str = r#"
import http.server, socket, struct, sys, threading
def dns():
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(('127.0.0.1', 53))
    while True:
        query, client = names.recvfrom(512)
        end = query.index(b'\0', 12) + 1
        is_ipv4 = query[end:end + 2] == b'\0\1'
        answer = b'\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1' if is_ipv4 else b''
        head = query[:2] + b'\x81\x80\0\1' + struct.pack('>H', int(is_ipv4)) + b'\0\0\0\0'
        names.sendto(head + query[12:end + 4] + answer, client)
class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        with open(sys.argv[1], 'a') as log:
            log.write(self.headers['Host'] + self.path + '\n')
        self.send_response(200)
        self.end_headers()
threading.Thread(target=dns, daemon=True).start()
http.server.HTTPServer(('127.0.0.1', 4318), Collector).serve_forever()
"#;

#[test]
fn an_address_is_asked_for_behind_all_that_is_given_up() {
    let folder = folder();
    let (resolver, log) = (folder.path().join("resolv.conf"), folder.path().join("log"));
    fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
    let script = format!(
        "ip link set lo up && mount --bind {} /etc/resolv.conf || exit 9
         timeout 120 python3 -c \"$0\" {} >/dev/null 2>&1 &
         exec \"$@\"",
        path(&resolver),
        path(&log)
    );
    let mut command = Command::new("unshare");
    command
        .args([
            "--net",
            "--mount",
            "sh",
            "-c",
            &script,
            NETWORK,
            AGENT.path(),
        ])
        .env("SCOPE_HTTP_LISTEN", "none");
    let flags = [
        "--otlp=http://collector.example:4318",
        "--otlp-interval=1000",
    ];
    let agent = Agent::try_start(command, &flags).unwrap();
    let pushes = || fs::read_to_string(&log).unwrap_or_default();
    let line = "collector.example:4318/v1/metrics\n";
    eventually(true, || pushes().matches(line).count() >= 3);
    assert_eq!(pushes().replace(line, ""), "", "{}", agent.log());
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
