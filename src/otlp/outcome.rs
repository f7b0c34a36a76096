// SPDX-License-Identifier: Apache-2.0
//! What has come of a request, by what the collector has answered
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>, <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-response>).

use std::time::Duration;

use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Response, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

/// As much of what somebody says as goes into a line.
const WORDS: usize = 200;
/// Nobody is waited for longer than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The flag and the length before a message of gRPC.
const FRAME: usize = 5;

#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// But for so many points, and why.
    Accepted { rejected: u64, words: String },
    /// It would be refused again.
    Refused(String),
    /// What is new is a part of the next push.
    Failed {
        words: String,
        pause: Option<Duration>,
    },
}

impl Outcome {
    pub fn failed(words: impl Into<String>) -> Self {
        Self::Failed {
            words: words.into(),
            pause: None,
        }
    }

    fn accepted(message: &[u8]) -> Self {
        match ExportMetricsServiceResponse::decode(message) {
            Ok(response) => {
                let partial = response.partial_success.unwrap_or_default();
                Self::Accepted {
                    rejected: partial.rejected_data_points.try_into().unwrap_or(0),
                    words: short(partial.error_message.as_bytes()),
                }
            }
            Err(error) => Self::failed(format!("it is no collector: {error}")),
        }
    }

    pub fn of_http<B>(response: &Response<B>, body: &[u8]) -> Self {
        let status = response.status();
        if status.is_success() {
            return Self::accepted(body);
        }
        // The body is a message with a text in it, or a text.
        let words = format!("{status} {}", short(body));
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Self::Refused(words),
            _ => Self::Failed {
                words,
                pause: pause(response.headers()),
            },
        }
    }

    /// The status is in the trailers, or in the headers where there is nothing else.
    pub fn of_grpc<B>(response: &Response<B>, body: &[u8], trailers: Option<&HeaderMap>) -> Self {
        if response.status() != StatusCode::OK {
            return Self::failed(format!("{} {}", response.status(), short(body)));
        }
        let find = |name| {
            let trailer = trailers.and_then(|trailers| trailers.get(name));
            let value = trailer.or_else(|| response.headers().get(name))?;
            Some(short(value.as_bytes()))
        };
        let words = find("grpc-message").unwrap_or_default();
        match find("grpc-status").as_deref() {
            Some("0") => Self::accepted(body.get(FRAME..).unwrap_or_default()),
            // Invalid argument.
            Some("3") => Self::Refused(format!("gRPC status 3 {words}")),
            Some(status) => Self::failed(format!("gRPC status {status} {words}")),
            None => Self::failed("it does not speak gRPC"),
        }
    }
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn short(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words = text.chars().filter(|it| !it.is_control());
    words.take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    use super::*;

    fn http(status: u16, header: Option<&str>, body: &[u8]) -> Outcome {
        let mut response = Response::builder().status(status);
        if let Some(seconds) = header {
            response = response.header(RETRY_AFTER, seconds);
        }
        Outcome::of_http(&response.body(()).unwrap(), body)
    }

    #[test]
    fn what_would_be_refused_again_is_told_from_what_has_only_failed() {
        let all = Outcome::Accepted {
            rejected: 0,
            words: String::new(),
        };
        assert_eq!(http(200, None, b""), all);
        let partial = ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: 7,
                error_message: "too old".to_owned(),
            }),
        };
        let some = Outcome::Accepted {
            rejected: 7,
            words: "too old".to_owned(),
        };
        assert_eq!(http(200, None, &partial.encode_to_vec()), some);
        assert!(matches!(http(400, None, b"no"), Outcome::Refused(_)));
        let paused = |status, header| match http(status, header, b"a\nb") {
            Outcome::Failed { pause, words } => (pause.map(|it| it.as_secs()), words),
            other => panic!("{other:?}"),
        };
        assert_eq!(paused(503, Some("7")).0, Some(7));
        assert_eq!(paused(429, Some("86400")).0, Some(300));
        assert_eq!(paused(429, Some("soon")).0, None);
        assert_eq!(paused(401, None), (None, "401 Unauthorized ab".to_owned()));
        assert!(matches!(http(200, None, b"<html>"), Outcome::Failed { .. }));
    }

    #[test]
    fn the_status_of_grpc_is_wherever_it_is() {
        let response = |status: Option<&str>| {
            let response = Response::builder();
            let response = match status {
                Some(status) => response.header("grpc-status", status),
                None => response,
            };
            response.body(()).unwrap()
        };
        let trailers = |status: &'static str| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
        };
        let ok = Outcome::of_grpc(&response(None), &[0; 5], Some(&trailers("0")));
        assert!(matches!(ok, Outcome::Accepted { rejected: 0, .. }));
        let down = Outcome::of_grpc(&response(Some("14")), b"", None);
        assert!(matches!(down, Outcome::Failed { .. }));
        let wrong = Outcome::of_grpc(&response(None), b"", Some(&trailers("3")));
        assert!(matches!(wrong, Outcome::Refused(_)));
        assert_eq!(
            Outcome::of_grpc(&response(None), b"", None),
            Outcome::failed("it does not speak gRPC")
        );
    }
}
