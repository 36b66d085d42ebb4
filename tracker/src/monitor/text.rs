//! The text of the monitor: a line of figures, the tasks of the tracker, and the busiest sessions.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Local};

use crate::active_connections::ActiveConnection;
use crate::limits::MONITOR_SESSIONS;
use crate::metrics::Verdict;
use crate::status::reading::Reading;
use crate::status::samples::Interval;
use crate::status::units::{milliseconds, percent, rough, size};

/// A row of the table of tasks.
struct TaskRow {
    task: &'static str,
    state: String,
    waiting: String,
    done: String,
    last: String,
}

/// The mark for a figure that a task does not have.
const NONE: &str = "-";

/// Writes the text of one moment. `interval` has the figures since the last text.
pub(crate) fn text(
    reading: &Reading,
    interval: Interval,
    log_lines: usize,
    sessions: Vec<ActiveConnection>,
    now: DateTime<Local>,
) -> String {
    let mut text = figures(reading, interval, now);
    row(&mut text, ["task", "state", "waiting", "done", "last took"]);
    for TaskRow { task, state, waiting, done, last } in tasks(reading, interval, log_lines) {
        row(&mut text, [task, &state, &waiting, &done, &last]);
    }
    let sessions = busiest(sessions);
    if !sessions.is_empty() {
        row(&mut text, ["session", "since", "requests", "received", "sent"]);
    }
    for session in sessions {
        let since = session.since.with_timezone(now.offset()).format("%m-%d %H:%M:%S").to_string();
        let traffic = &session.traffic;
        let [received, sent] = [traffic.bytes_in(), traffic.bytes_out()].map(size);
        row(
            &mut text,
            [session.username.as_str(), &since, &traffic.requests().to_string(), &received, &sent],
        );
    }
    // The log adds the last newline.
    text.truncate(text.trim_end().len());
    text
}

fn figures(reading: &Reading, interval: Interval, now: DateTime<Local>) -> String {
    let mut text = format!("[{}] monitor", now.format("%Y-%m-%d %H:%M:%S"));
    if let Some(process) = &reading.process {
        let used = process.system_memory_bytes.saturating_sub(process.system_available_bytes);
        let _ = write!(
            text,
            ": cpu {}, memory {}, threads {}, descriptors {} | computer: cpu {}, memory {} of {}",
            percent(interval.cpu),
            size(process.resident_bytes),
            process.threads,
            process.descriptors,
            percent(interval.system_cpu),
            size(used),
            size(process.system_memory_bytes),
        );
    }
    let (uptime, load) = (rough(reading.uptime), &reading.load);
    let _ = writeln!(
        text,
        " | up {uptime} | sessions {}, users {}, rooms {}",
        load.sessions, load.users, load.rooms
    );
    text
}

fn tasks(reading: &Reading, interval: Interval, log_lines: usize) -> Vec<TaskRow> {
    let Reading { connections, unauthenticated, load, counts, requests, sweeps, .. } = reading;
    let took = |latest: Duration, count: u64| match count {
        0 => NONE.to_owned(),
        _ => milliseconds(latest.as_secs_f64()),
    };
    let silent = counts.verdicts.get(&Verdict::Silent).copied().unwrap_or_default();
    let busy = |waiting: usize| if waiting > 0 { "busy" } else { "idle" }.to_owned();
    vec![
        TaskRow {
            task: "accept",
            state: format!("{connections} open"),
            waiting: format!("{unauthenticated} unauthenticated"),
            done: format!("{} refused", counts.refused),
            last: NONE.to_owned(),
        },
        TaskRow {
            task: "requests",
            state: format!("{:.1}/s", interval.requests_per_second),
            waiting: NONE.to_owned(),
            done: requests.count().to_string(),
            last: took(requests.latest, requests.count()),
        },
        TaskRow {
            task: "sweep",
            state: format!("{silent} silent"),
            waiting: NONE.to_owned(),
            done: sweeps.count().to_string(),
            last: took(sweeps.latest, sweeps.count()),
        },
        TaskRow {
            task: "push",
            state: busy(load.queued_bytes),
            waiting: size(load.queued_bytes as u64),
            done: NONE.to_owned(),
            last: NONE.to_owned(),
        },
        TaskRow {
            task: "journal writer",
            state: busy(load.changes_waiting),
            waiting: load.changes_waiting.to_string(),
            done: load.flushes.count().to_string(),
            last: took(load.flushes.latest, load.flushes.count()),
        },
        TaskRow {
            task: "password hashing",
            state: busy(load.hashes_waiting),
            waiting: load.hashes_waiting.to_string(),
            done: NONE.to_owned(),
            last: NONE.to_owned(),
        },
        TaskRow {
            task: "log",
            state: busy(log_lines),
            waiting: log_lines.to_string(),
            done: NONE.to_owned(),
            last: NONE.to_owned(),
        },
    ]
}

/// The sessions with the most requests, the busiest first.
fn busiest(mut sessions: Vec<ActiveConnection>) -> Vec<ActiveConnection> {
    let rank = |session: &ActiveConnection| {
        let traffic = &session.traffic;
        (
            Reverse(traffic.requests()),
            Reverse(traffic.bytes_in() + traffic.bytes_out()),
            session.username.clone(),
        )
    };
    sessions.sort_by_cached_key(rank);
    sessions.truncate(MONITOR_SESSIONS);
    sessions
}

fn row(text: &mut String, [first, second, third, fourth, fifth]: [&str; 5]) {
    let row = format!("  {first:<17} {second:<16} {third:<18} {fourth:<12} {fifth}");
    let _ = writeln!(text, "{}", row.trim_end());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use commons::names::Username;

    use super::*;
    use crate::active_connections::{ActiveConnections, Pinged};
    use crate::send_queue::SendQueue;
    use crate::traffic::Traffic;

    #[test]
    fn busiest_sessions_come_first_and_are_few() {
        let connections = ActiveConnections::default();
        for number in 0..=MONITOR_SESSIONS {
            let username = Username::parse(&format!("user{number}")).unwrap();
            let pinged = Pinged { observed: ([127, 0, 0, 1], 5000).into(), key: None, pongs: None };
            let traffic = Arc::<Traffic>::default();
            (0..number).for_each(|_| traffic.received(10));
            connections.register(&username, pinged, SendQueue::new().0, traffic);
        }
        let names: Vec<_> =
            busiest(connections.all()).iter().map(|session| session.username.to_string()).collect();
        assert_eq!(names, ["user5", "user4", "user3", "user2", "user1"]);
    }
}
