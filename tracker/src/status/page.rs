//! The status page: the figures of the tracker on one screen, without script. It loads itself again every ten seconds.
//!
//! It shows counts, times and sizes. It shows no name and no address, so a screenshot of it gives nobody away.

use std::fmt::Write as _;

use commons::counted::counted;

use crate::limits::{SAMPLE_INTERVAL, SAMPLES_MAX};
use crate::metrics::Verdict;
use crate::status::chart::svg;
use crate::status::reading::Reading;
use crate::status::samples::Interval;
use crate::status::units::{milliseconds, percent, rough, size};
use crate::timing::{P99, TimingCounts};

/// A chart of one figure over the last hour.
struct Chart {
    title: &'static str,
    value: fn(&Interval) -> f64,
    written: fn(f64) -> String,
}

/// The number of samples in a chart soon after the start: five minutes.
const CHART_SAMPLES_MIN: usize = 30;

/// The style sheet of the page.
pub(crate) const STYLE: &str = include_str!("page.css");

/// Writes the page. `intervals` are those of the last hour, the latest last.
pub(crate) fn html(reading: &Reading, intervals: &[Interval]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tracker: {sessions}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"{refresh}\">\
         <link rel=\"stylesheet\" href=\"/page.css\"></head><body><header><h1>Tracker</h1>\
         <p>version {version}, up {uptime}</p></header><main>",
        sessions = counted(reading.load.sessions, "session", "sessions"),
        refresh = SAMPLE_INTERVAL.as_secs(),
        version = env!("CARGO_PKG_VERSION"),
        uptime = rough(reading.uptime),
    );
    charts(&mut page, intervals);
    tables(&mut page, reading, intervals.last().copied().unwrap_or_default());
    page.push_str("</main><footer>The charts show the last hour at most. <a href=\"/metrics\">Metrics for Prometheus</a></footer></body></html>\n");
    page
}

fn charts(page: &mut String, intervals: &[Interval]) {
    let charts = [
        Chart { title: "Sessions", value: |it| it.sessions, written: |sessions| sessions.to_string() },
        Chart {
            title: "Requests a second",
            value: |it| it.requests_per_second,
            written: |rate| format!("{rate:.1}"),
        },
        Chart {
            title: "Slowest request in a hundred",
            value: |it| it.slowest_seconds,
            written: milliseconds,
        },
    ];
    page.push_str("<div class=\"charts\">");
    for Chart { title, value, written } in charts {
        let now = written(intervals.last().map_or(0.0, value));
        let values: Vec<_> = intervals.iter().map(value).collect();
        let most = values.len().clamp(CHART_SAMPLES_MIN, SAMPLES_MAX);
        let highest = written(values.iter().copied().fold(0.0, f64::max));
        let span = rough(SAMPLE_INTERVAL * u32::try_from(most).unwrap_or(u32::MAX));
        let chart = svg(&values, most, &format!("{title} in the last {span}, at most {highest}"));
        let _ = write!(
            page,
            "<section><h2>{title}</h2><p class=\"value\">{now}</p>{chart}<p class=\"scale\"><span>{span}</span>\
             <span>highest {highest}</span></p></section>"
        );
    }
    page.push_str("</div>");
}

fn tables(page: &mut String, reading: &Reading, now: Interval) {
    let Reading { connections, unauthenticated, load, counts, requests, sweeps, process, .. } = reading;
    page.push_str("<div class=\"tables\">");
    let connections = [
        ("Connections", connections.to_string()),
        ("Not signed in yet", unauthenticated.to_string()),
        ("Refused since the start", counts.refused.to_string()),
        ("Wrong passwords and keys", counts.failed_logins().to_string()),
        ("Password hashes that wait", load.hashes_waiting.to_string()),
        ("Send queues, all together", size(load.queued_bytes as u64)),
        ("Longest send queue", size(load.longest_queue_bytes as u64)),
    ];
    table(page, "Connections", connections);
    let verdict = |verdict: Verdict| counts.verdicts.get(&verdict).copied().unwrap_or_default().to_string();
    let stored = [
        ("Accounts", load.users.to_string()),
        ("Rooms", load.rooms.to_string()),
        ("Writes to the disk", load.flushes.count().to_string()),
        ("Time of a write, half of them", quantile(&load.flushes, 0.5)),
        ("Time of a write, slowest in a hundred", quantile(&load.flushes, P99)),
        ("Liveness sweeps", sweeps.count().to_string()),
        ("Time of the latest sweep", milliseconds(sweeps.latest.as_secs_f64())),
        ("Pings answered", verdict(Verdict::Alive)),
        ("Pings not answered", verdict(Verdict::Silent)),
        ("Pings that could not be sent", verdict(Verdict::Unknown)),
    ];
    table(page, "Data and liveness", stored);
    if let Some(process) = process {
        let used = process.system_memory_bytes.saturating_sub(process.system_available_bytes);
        let process = [
            ("Processor, share of one", percent(now.cpu)),
            ("Processor of the computer", percent(now.system_cpu)),
            ("Memory", size(process.resident_bytes)),
            ("Memory of the computer", format!("{} of {}", size(used), size(process.system_memory_bytes))),
            ("Threads", process.threads.to_string()),
            ("Open descriptors", process.descriptors.to_string()),
        ];
        table(page, "Process", process);
    }
    let rows = counts
        .requests
        .iter()
        .map(|((command, code), count)| (format!("{command} {code}"), count.to_string()));
    let half = [("Time, half of them".to_owned(), quantile(requests, 0.5))];
    table(page, "Requests since the start", rows.chain(half));
    page.push_str("</div>");
}

/// Writes a table. Its texts come from the program alone: commands and codes are those of the protocol.
fn table<T: AsRef<str>>(page: &mut String, title: &str, rows: impl IntoIterator<Item = (T, String)>) {
    let _ = write!(page, "<section><h2>{title}</h2><table>");
    for (name, value) in rows {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th><td>{value}</td></tr>", name.as_ref());
    }
    page.push_str("</table></section>");
}

fn quantile(counts: &TimingCounts, share: f64) -> String {
    counts
        .quantile(share)
        .map_or_else(|| "none yet".to_owned(), |seconds| format!("at most {}", milliseconds(seconds)))
}
