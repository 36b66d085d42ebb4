//! The figures in the text format of Prometheus, version OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! A figure of the tracker begins with `p2p_chat_`. A figure of the process has the name that other programs use too.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::status::reading::Reading;
use crate::timing::{BOUNDS, TimingCounts};

/// The type of the text, for the header of the answer.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A reading that a registry encodes.
#[derive(Debug)]
struct Exposed(Reading);

/// Writes a reading as text.
pub(crate) fn text(reading: Reading) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposed(reading)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Reading { uptime, connections, unauthenticated, load, counts, requests, sweeps, process } =
            &self.0;
        let gauges: [(&str, &str, usize); 9] = [
            ("p2p_chat_sessions", "Sessions that have signed in", load.sessions),
            ("p2p_chat_connections", "Open connections", *connections),
            (
                "p2p_chat_connections_unauthenticated",
                "Open connections that have not signed in",
                *unauthenticated,
            ),
            ("p2p_chat_users", "Accounts", load.users),
            ("p2p_chat_rooms", "Rooms", load.rooms),
            (
                "p2p_chat_password_hashes_waiting",
                "Password hashes that wait for a processor",
                load.hashes_waiting,
            ),
            ("p2p_chat_changes_waiting", "Changes that wait for the disk", load.changes_waiting),
            ("p2p_chat_send_queue_bytes", "Bytes that wait to be sent, of all sessions", load.queued_bytes),
            (
                "p2p_chat_send_queue_longest_bytes",
                "Bytes in the longest send queue",
                load.longest_queue_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder, name, help, value as f64)?;
        }
        gauge(&mut encoder, "p2p_chat_uptime_seconds", "Time since the start", uptime.as_secs_f64())?;
        let requests_by = counts.requests.iter();
        counters(
            &mut encoder,
            "p2p_chat_requests",
            "Requests by command and by the code of the reply",
            requests_by
                .map(|((command, code), count)| ([("command", command.as_str()), ("code", code)], *count)),
        )?;
        let verdicts = counts.verdicts.iter().map(|(verdict, count)| ([("verdict", verdict.name())], *count));
        counters(&mut encoder, "p2p_chat_sweep_verdicts", "Pings of peers by their result", verdicts)?;
        counter(
            &mut encoder,
            "p2p_chat_login_failures",
            "Wrong passwords and keys",
            counts.failed_logins() as f64,
        )?;
        counter(&mut encoder, "p2p_chat_connections_refused", "Refused connections", counts.refused as f64)?;
        histogram(&mut encoder, "p2p_chat_request_seconds", "Time from a request to its reply", requests)?;
        histogram(
            &mut encoder,
            "p2p_chat_journal_flush_seconds",
            "Time to write changes to the disk",
            &load.flushes,
        )?;
        histogram(&mut encoder, "p2p_chat_sweep_seconds", "Time of a liveness sweep", sweeps)?;
        let Some(process) = process else { return Ok(()) };
        counter(&mut encoder, "process_cpu_seconds", "Processor time", process.cpu_seconds)?;
        let gauges = [
            ("process_resident_memory_bytes", "Memory in RAM", process.resident_bytes),
            ("process_threads", "Threads", process.threads),
            ("process_open_fds", "Open file descriptors", process.descriptors),
        ];
        gauges.into_iter().try_for_each(|(name, help, value)| gauge(&mut encoder, name, help, value as f64))
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn counters<'l, const LABELS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: impl Iterator<Item = ([(&'static str, &'l str); LABELS], u64)>,
) -> fmt::Result
where
    [(&'static str, &'l str); LABELS]: EncodeLabelSet,
{
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in counts {
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &TimingCounts,
) -> fmt::Result {
    let mut metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(counts.buckets).collect();
    metric.encode_histogram::<NoLabelSet>(counts.seconds, counts.count(), &buckets, None)
}
