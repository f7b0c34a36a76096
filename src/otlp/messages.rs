// SPDX-License-Identifier: Apache-2.0
//! Points as messages of OTLP, so many at a time that no receiver finds one too large.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    Histogram as ExplicitHistogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::model::buckets::{BOUNDS_US, BUCKETS, SCHEMA, zero_threshold};
use crate::model::histogram::Histogram;
use crate::otlp::attributes::SERVICE;
use crate::otlp::points::{self, Group, Point};
use crate::otlp::progress::{News, Progress, Told, nanos};
use crate::otlp::settings::{self, Temporality};
use crate::prometheus::family::Number;
use crate::prometheus::metrics::Scrape;

/// A point is half a kilobyte, and the least that receivers take by default are 4 MiB.
const POINTS: usize = 2000;

/// One request.
pub struct Batch {
    pub message: Vec<u8>,
    pub points: u64,
    /// What the collector knows when it has taken it.
    pub told: Vec<(String, Told)>,
    /// Where the next one begins, if there is more.
    pub next: Option<usize>,
}

/// What is needed to make them.
pub struct Maker {
    pub host: String,
    pub buckets: settings::Buckets,
    pub progress: Progress,
}

impl Maker {
    /// From the row of this number on.
    pub fn batch(&mut self, scrape: &Scrape, from: usize) -> Batch {
        let rows = scrape.content.rows();
        let mut batch = Batch {
            message: Vec::new(),
            points: 0,
            told: Vec::new(),
            next: None,
        };
        let mut request = ExportMetricsServiceRequest::default();
        let now = scrape.content.snapshot.date;
        for (number, row) in rows.iter().enumerate().skip(from) {
            if batch.points >= POINTS as u64 {
                batch.next = Some(number);
                break;
            }
            let group = points::of_row(row, &self.host);
            request
                .resource_metrics
                .extend(self.group(group, now, &mut batch));
        }
        if batch.next.is_none() {
            let agent = points::of_agent(&scrape.status(), &self.host);
            request
                .resource_metrics
                .extend(self.group(agent, now, &mut batch));
        }
        batch.message = request.encode_to_vec();
        batch
    }

    /// Nothing is told of the rows from this number on, which are still there.
    pub fn pass(&mut self, scrape: &Scrape, from: usize) {
        let rows = scrape.content.rows();
        let groups = rows.iter().skip(from);
        let groups = groups.map(|row| points::of_row(row, &self.host));
        let agent = points::of_agent(&scrape.status(), &self.host);
        for point in groups.chain([agent]).flat_map(|it| it.points) {
            self.progress.pass(&point.key);
        }
    }

    /// `None` where there is nothing new.
    fn group(
        &mut self,
        group: Group<'_>,
        now: SystemTime,
        batch: &mut Batch,
    ) -> Option<ResourceMetrics> {
        let mut metrics: Vec<Metric> = Vec::new();
        for mut point in group.points {
            let Some((start, news, told)) = self.progress.news(&point, now) else {
                continue;
            };
            batch.points += 1;
            batch
                .told
                .extend(told.map(|told| (std::mem::take(&mut point.key), told)));
            let time = (start, nanos(now));
            match metrics.last_mut().filter(|it| it.name == point.name) {
                Some(metric) => self.add(metric, point, news, time),
                None => {
                    let mut metric = Metric {
                        name: point.name.to_string(),
                        description: point.description.to_owned(),
                        unit: point.unit.to_owned(),
                        ..Metric::default()
                    };
                    self.add(&mut metric, point, news, time);
                    metrics.push(metric);
                }
            }
        }
        (!metrics.is_empty()).then(|| ResourceMetrics {
            resource: Some(Resource {
                attributes: group.resource,
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: SERVICE.to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        })
    }

    fn add(&self, metric: &mut Metric, point: Point<'_>, news: News, time: (u64, u64)) {
        let attributes = point.attributes;
        let data = metric.data.get_or_insert_with(|| self.empty(&news));
        match (data, news) {
            (Data::Gauge(it), News::Gauge(value)) => {
                let point = number(attributes, Number::Real(value), time);
                it.data_points.push(point);
            }
            (Data::Sum(it), News::Count(value)) => {
                it.data_points.push(number(attributes, value, time));
            }
            (Data::Histogram(it), News::Durations(durations)) => {
                let point = explicit(&durations, time);
                it.data_points.push(HistogramDataPoint {
                    attributes,
                    ..point
                });
            }
            (Data::ExponentialHistogram(it), News::Durations(durations)) => {
                let point = exponential(&durations, time);
                it.data_points.push(ExponentialHistogramDataPoint {
                    attributes,
                    ..point
                });
            }
            // All points of a metric are of one kind.
            _ => {}
        }
    }

    fn empty(&self, news: &News) -> Data {
        let temporality = match self.progress.temporality() {
            Temporality::Delta => AggregationTemporality::Delta,
            Temporality::Cumulative => AggregationTemporality::Cumulative,
        };
        let aggregation_temporality = temporality.into();
        match (news, self.buckets) {
            (News::Gauge(_), _) => Data::Gauge(Gauge::default()),
            (News::Count(_), _) => Data::Sum(Sum {
                data_points: Vec::new(),
                aggregation_temporality,
                is_monotonic: true,
            }),
            (News::Durations(_), settings::Buckets::Explicit) => {
                Data::Histogram(ExplicitHistogram {
                    data_points: Vec::new(),
                    aggregation_temporality,
                })
            }
            (News::Durations(_), settings::Buckets::Exponential) => {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: Vec::new(),
                    aggregation_temporality,
                })
            }
        }
    }
}

fn number(attributes: Vec<KeyValue>, value: Number, (start, now): (u64, u64)) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(match value {
            Number::Whole(value) => NumberValue::AsInt(value.cast_signed()),
            Number::Real(value) => NumberValue::AsDouble(value),
        }),
        ..NumberDataPoint::default()
    }
}

fn explicit(durations: &Histogram, (start, now): (u64, u64)) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: durations.count(),
        sum: Some(durations.sum_ns as f64 / 1e9),
        bucket_counts: durations.classic().to_vec(),
        explicit_bounds: BOUNDS_US.map(|bound| bound as f64 / 1e6).to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn exponential(durations: &Histogram, (start, now): (u64, u64)) -> ExponentialHistogramDataPoint {
    let mut zero_count = 0;
    let mut positive: Option<Buckets> = None;
    for (bucket, count) in durations.filled() {
        let Some(index) = BUCKETS.native(bucket) else {
            zero_count += count;
            continue;
        };
        // Prometheus numbers buckets by their upper bounds, and OpenTelemetry by their lower ones.
        let index = index - 1;
        let buckets = positive.get_or_insert_with(|| Buckets {
            offset: index,
            bucket_counts: Vec::new(),
        });
        let place = (index - buckets.offset).unsigned_abs() as usize;
        if buckets.bucket_counts.len() <= place {
            buckets.bucket_counts.resize(place + 1, 0);
        }
        buckets.bucket_counts[place] += count;
    }
    ExponentialHistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: durations.count(),
        sum: Some(durations.sum_ns as f64 / 1e9),
        scale: SCHEMA,
        zero_count,
        zero_threshold: zero_threshold(),
        positive,
        ..ExponentialHistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::KernelState;
    use crate::model::increment::{Increment, Totals};
    use crate::model::reason::Missed;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, Lately, Snapshot, WorkloadSnapshot};
    use crate::model::tick::Moment;
    use crate::model::workload::Workload;
    use crate::prometheus::metrics::Vitals;
    use crate::prometheus::series_lifetime::SeriesLifetimes;

    use super::*;

    #[test]
    fn exponential_buckets_are_where_opentelemetry_has_them() {
        let mut durations = Histogram::of(3, 1_000_000_000);
        // Two of ours in one: 100 ms is a bound of the classic ones.
        durations += &Histogram::of(5, 99_900_000);
        durations += &Histogram::of(7, 100_100_000);
        durations += &Histogram::of(11, 1_040_000_000);
        durations += &Histogram::of(13, 1_500);
        let point = exponential(&durations, (1, 2));
        assert_eq!((point.count, point.zero_count, point.scale), (39, 13, 4));
        let buckets = point.positive.unwrap();
        let filled = (buckets.offset..)
            .zip(&buckets.bucket_counts)
            .filter(|(_, count)| **count > 0);
        let filled: Vec<_> = filled.map(|(index, count)| (index, *count)).collect();
        // A second is the upper bound of the bucket from 2^(-1/16) s on.
        assert_eq!(filled, [(-54, 12), (-1, 3), (0, 11)]);
        let base = f64::from(1 << 4).recip().exp2();
        for (index, least, most) in [(-54, 0.0999, 0.1001), (-1, 1.0, 1.0), (0, 1.04, 1.04)] {
            assert!(base.powi(index) < least && base.powi(index + 1) >= most);
        }
        assert_eq!(exponential(&Histogram::default(), (1, 2)).positive, None);
    }

    /// So many workloads of pods, each with three kinds of answers that took from 1 to 50 ms.
    fn scrape(workloads: u64) -> Scrape {
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let workload = |number: u64| {
            let series = [200, 404, 500].map(|status| {
                let key = SeriesKey {
                    method: Method::Get,
                    status,
                    version: Version::V1_1,
                    scheme: Scheme::Http,
                };
                let mut durations = Histogram::default();
                for ms in 1..=50 {
                    durations += &Histogram::of(random.u64(1..10_000), ms * 1_000_003);
                }
                (key, durations)
            });
            let mut totals = Totals::default();
            let increment = Increment {
                requests: 100_003 + number,
                series: series.into(),
                ..Increment::default()
            };
            totals.add(&increment, start);
            let cgroup = Cgroup {
                container_id: Some(format!("{number:064x}").into()),
                k8s_pod_uid: Some(format!("1b0cd7b2-6d6a-4d0c-8b0e-{number:012x}").into()),
                systemd_unit: None,
            };
            Arc::new(WorkloadSnapshot {
                workload: Arc::new(Workload {
                    executable: Some(format!("server-{number}").into()),
                    cgroup,
                    port: Some(8080),
                }),
                totals,
                lately: Lately::default(),
                rest: Totals::default(),
                increment: Increment::default(),
                unlisted: 0,
                processes: 1,
                since: start,
            })
        };
        let snapshot = Snapshot {
            date: SystemTime::now(),
            taken: start,
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: Arc::default(),
            workloads: (0..workloads).map(workload).collect(),
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        };
        let content = SeriesLifetimes::by_workload().tick(Arc::new(snapshot), start);
        Scrape {
            content: Arc::new(content),
            vitals: Vitals::default(),
            seen: None,
        }
    }

    fn maker(buckets: settings::Buckets, temporality: Temporality) -> Maker {
        let start = Moment {
            instant: Instant::now(),
            date: SystemTime::now() - Duration::from_secs(3600),
        };
        Maker {
            host: "node-7.example.org".to_owned(),
            buckets,
            progress: Progress::new(temporality, start),
        }
    }

    /// The numbers of docs/otlp.md.
    #[test]
    fn a_workload_takes_as_many_bytes_as_is_documented() {
        let all = |buckets, workloads| {
            let mut maker = maker(buckets, Temporality::Cumulative);
            let message = maker.batch(&scrape(workloads), 0).message;
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&message).unwrap();
            [message.len(), gzip.finish().unwrap().len()]
        };
        for (buckets, documented) in [
            (settings::Buckets::Explicit, [2170, 186]),
            (settings::Buckets::Exponential, [1670, 448]),
        ] {
            let (none, many) = (all(buckets, 0), all(buckets, 100));
            for (at, most) in documented.into_iter().enumerate() {
                let each = (many[at] - none[at]) / 100;
                let range = most * 9 / 10..=most;
                assert!(
                    range.contains(&each),
                    "{buckets:?}: {each} of {none:?} and {many:?}"
                );
            }
        }
    }

    #[test]
    fn no_request_has_more_points_than_receivers_take_and_none_is_left_out() {
        let scrape = scrape(1201);
        let mut maker = maker(settings::Buckets::Explicit, Temporality::Delta);
        let mut next = Some(0);
        let (mut requests, mut resources, mut points) = (0, 0, 0);
        while let Some(from) = next {
            let batch = maker.batch(&scrape, from);
            assert!(batch.message.len() < 4 << 20, "{}", batch.message.len());
            let request = ExportMetricsServiceRequest::decode(&*batch.message).unwrap();
            resources += request.resource_metrics.len();
            points += batch.points;
            requests += 1;
            maker.progress.acknowledged(batch.told);
            next = batch.next;
        }
        // Four points each, and the agent's own.
        assert!((resources, requests) == (1202, 3) && points > 4 * 1201);
        maker.progress.end();
        // What has not changed is not told again, but for what goes up and down.
        let again = maker.batch(&scrape, 0);
        let request = ExportMetricsServiceRequest::decode(&*again.message).unwrap();
        assert_eq!(request.resource_metrics.len(), 1);
        assert!(again.next.is_none() && again.told.is_empty());
    }

    #[test]
    fn explicit_buckets_are_those_of_the_metrics() {
        let point = explicit(&Histogram::of(7, 30_000_000), (1, 2));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let at = point
            .bucket_counts
            .iter()
            .position(|count| *count == 7)
            .unwrap();
        assert_eq!(
            (point.explicit_bounds[at - 1], point.explicit_bounds[at]),
            (0.025, 0.05)
        );
        assert_eq!((point.count, point.sum), (7, Some(0.21)));
    }
}
