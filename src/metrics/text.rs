//! Prometheus' text: the one file that knows the library. Every series is there from the start, with 0, so that a rate is
//! right from the first event on.

use std::{sync::atomic::Ordering, time::Duration};

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{ENDPOINTS, Metrics, NO_LEASE, OUTCOMES, REQUEST, STATUSES, VERIFICATION, WAIT, histogram::Reading};
use crate::domain::{code::Code, key_record::Epoch};

/// The type of the text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The text could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

/// What is not counted, but is so at the moment.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Keys in memory, living or not.
    pub index_keys: usize,
    /// Secrets in memory, living or not.
    pub index_secrets: usize,
    /// Whether every key is in memory.
    pub is_index_loaded: bool,
    /// Every change up to here is in memory.
    pub epoch_applied: Epoch,
    /// The newest change that is known to be committed.
    pub epoch_seen: Epoch,
    /// Whether this node may answer.
    pub is_lease_held: bool,
    /// For how long it still may.
    pub lease_remaining: Duration,
    /// How often the database was found to have another history than before.
    pub lost_histories: u64,
    /// How often changes were missing.
    pub gaps: u64,
    /// Each part that runs beside requests, and how often it was started again.
    pub restarts: Vec<(&'static str, u64)>,
}

/// Everything that is counted, and the gauges.
pub fn encode(metrics: &Metrics, gauges: &Gauges) -> Result<String, EncodeError> {
    let mut families = counted(metrics);
    families.extend(at_the_moment(gauges));
    families.extend(mishaps(gauges));
    families.extend(of_the_process(metrics));
    Ok(TextEncoder::new().encode_to_string(&families)?)
}

fn counted(metrics: &Metrics) -> Vec<MetricFamily> {
    let verifications: Vec<Reading> = (0..OUTCOMES).map(|outcome| metrics.verifications(outcome)).collect();
    let code = |outcome| Code::all().nth(outcome).map_or("NO_LEASE", Code::word);
    let by_code = verifications.iter().enumerate();
    let by_code = by_code.map(|(outcome, read)| labelled(counter(read.count()), &[("code", code(outcome))]));
    let by_code = by_code.collect();
    // A node without a lease looks nothing up.
    let looked_up = verifications.into_iter().take(NO_LEASE).sum();

    let mut requests = Vec::new();
    for (endpoint, endpoint_word) in ENDPOINTS.into_iter().enumerate() {
        for (class, status) in STATUSES.into_iter().enumerate() {
            let read = metrics.requests(endpoint, class);
            let labels = [("endpoint", endpoint_word), ("status", status)];
            requests.push(labelled(histogram(&REQUEST, &read), &labels));
        }
    }
    let [ok, error] = metrics.flushes.each_ref().map(|count| counter(count.load(Ordering::Relaxed)));
    let flushes = vec![labelled(ok, &[("result", "ok")]), labelled(error, &[("result", "error")])];
    let flushed_keys = counter(metrics.flushed_keys.load(Ordering::Relaxed));
    let (flush, receipt) = (histogram(&WAIT, &metrics.flush.read()), histogram(&WAIT, &metrics.receipt.read()));

    vec![
        family(
            "keystead_verifications_total",
            "Keys that were asked about, by the code of the answer; each key of a batch counts.",
            MetricType::COUNTER,
            by_code,
        ),
        family(
            "keystead_verification_duration_seconds",
            "Time to look one key up: from asking for the lease to the verdict.",
            MetricType::HISTOGRAM,
            vec![histogram(&VERIFICATION, &looked_up)],
        ),
        family(
            "keystead_http_request_duration_seconds",
            "Time from the head of a request to its answer being ready, without the network.",
            MetricType::HISTOGRAM,
            requests,
        ),
        family(
            "keystead_usage_flushes_total",
            "Times that usage was written to the database, by result; what failed is written with the next.",
            MetricType::COUNTER,
            flushes,
        ),
        family(
            "keystead_usage_flushed_keys_total",
            "Keys whose usage was written to the database.",
            MetricType::COUNTER,
            vec![flushed_keys],
        ),
        family(
            "keystead_usage_flush_duration_seconds",
            "Time that writing usage took, with the wait for a connection.",
            MetricType::HISTOGRAM,
            vec![flush],
        ),
        family(
            "keystead_revocation_receipt_duration_seconds",
            "Time from the commit of a revocation or rotation until every node refused the old key.",
            MetricType::HISTOGRAM,
            vec![receipt],
        ),
    ]
}

fn at_the_moment(gauges: &Gauges) -> Vec<MetricFamily> {
    let Gauges { epoch_applied: Epoch(applied), epoch_seen: Epoch(seen), .. } = *gauges;
    let flag = |is: bool| f64::from(u8::from(is));
    [
        ("keystead_index_keys", "Keys in memory, living or not.", gauges.index_keys as f64),
        ("keystead_index_secrets", "Secrets in memory, living or not.", gauges.index_secrets as f64),
        ("keystead_index_loaded", "1 once every key is in memory, else 0.", flag(gauges.is_index_loaded)),
        ("keystead_epoch_applied", "The newest change of keys that is in memory.", applied as f64),
        ("keystead_epoch_seen", "The newest change of keys that was seen in the database.", seen as f64),
        (
            "keystead_epoch_lag",
            "Changes of keys that were seen and are not in memory yet. A database that cannot be read shows in the lease.",
            seen.saturating_sub(applied).max(0) as f64,
        ),
        (
            "keystead_lease_held",
            "1 while this node may answer from memory; 0 and every verification is NO_LEASE.",
            flag(gauges.is_lease_held),
        ),
        (
            "keystead_lease_remaining_seconds",
            "Time for which this node may still answer if its database falls silent now.",
            gauges.lease_remaining.as_secs_f64(),
        ),
    ]
    .into_iter()
    .map(|(name, help, value)| family(name, help, MetricType::GAUGE, vec![gauge(value)]))
    .collect()
}

fn mishaps(gauges: &Gauges) -> [MetricFamily; 3] {
    let restarts = gauges.restarts.iter().map(|(part, times)| labelled(counter(*times), &[("part", part)])).collect();
    [
        family(
            "keystead_history_lost_total",
            "Times that the database had another history than was followed (restored, or a standby took its place).",
            MetricType::COUNTER,
            vec![counter(gauges.lost_histories)],
        ),
        family(
            "keystead_change_gaps_total",
            "Times that every key was read again because the node was away for longer than changes are kept.",
            MetricType::COUNTER,
            vec![counter(gauges.gaps)],
        ),
        family(
            "keystead_restarts_total",
            "Times that a part of the server failed and was started again.",
            MetricType::COUNTER,
            restarts,
        ),
    ]
}

fn of_the_process(metrics: &Metrics) -> [MetricFamily; 2] {
    let started_at = metrics.started_at.timestamp_millis() as f64 / 1e3;
    [
        family(
            "keystead_build_info",
            "Always 1; the label has the version.",
            MetricType::GAUGE,
            vec![labelled(gauge(1.0), &[("version", env!("CARGO_PKG_VERSION"))])],
        ),
        // The name that all of Prometheus' own clients give it.
        family(
            "process_start_time_seconds",
            "When this process was started, in seconds since 1970.",
            MetricType::GAUGE,
            vec![gauge(started_at)],
        ),
    ]
}

fn family(name: &str, help: &str, kind: MetricType, series: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(series);
    family
}

fn labelled(mut series: Metric, labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    series.set_label(labels.iter().map(pair).collect());
    series
}

fn counter(value: u64) -> Metric {
    let (mut series, mut counter) = (Metric::default(), Counter::default());
    counter.set_value(value as f64);
    series.set_counter(counter);
    series
}

fn gauge(value: f64) -> Metric {
    let (mut series, mut gauge) = (Metric::default(), Gauge::default());
    gauge.set_value(value);
    series.set_gauge(gauge);
    series
}

/// The library adds the last bucket, `+Inf`, from the count.
fn histogram(bounds_ns: &[u64], read: &Reading) -> Metric {
    let mut reached = 0;
    let buckets = bounds_ns.iter().enumerate().map(|(number, bound)| {
        reached += read.counts.get(number).copied().unwrap_or_default();
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(*bound));
        bucket.set_cumulative_count(reached);
        bucket
    });
    let (mut series, mut histogram) = (Metric::default(), Histogram::default());
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(read.count());
    histogram.set_sample_sum(seconds(read.sum_ns));
    series.set_histogram(histogram);
    series
}

/// A quotient, so that a bound reads 0.0000025 and not 0.0000024999999999999998.
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
