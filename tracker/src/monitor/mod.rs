//! The monitor: prints the figures of the tracker on the console at an interval.
//! It is for the operator alone, so it names the busiest sessions. Nothing of it goes to the log files.

pub(crate) mod text;

use std::time::Duration;

use chrono::Local;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::config::Config;
use crate::logs::start::Console;
use crate::server::TrackerServer;
use crate::status::reading::Source;
use crate::status::samples::Sample;

/// The monitor of a tracker.
#[derive(Debug)]
pub struct Monitor {
    source: Source,
    settings: watch::Receiver<Config>,
    console: Console,
}

impl Monitor {
    /// Creates the monitor of a tracker that starts now. It prints on this console.
    #[must_use]
    pub fn new(server: &TrackerServer, console: Console) -> Self {
        Self { source: server.source(), settings: server.settings().subscribe(), console }
    }

    /// Prints the figures at the interval in the settings, for ever. A changed interval counts from the last print.
    pub async fn run(mut self) {
        let (mut printed, mut last) = (Instant::now(), Sample::of(&self.source.read()));
        loop {
            let interval = self.settings.borrow_and_update().monitor;
            tokio::select! {
                () = pause(printed, interval) => {
                    printed = Instant::now();
                    let reading = self.source.read();
                    let now = Sample::of(&reading);
                    let (sessions, time) = (self.source.sessions(), Local::now());
                    let lines_waiting = self.console.waiting();
                    self.console.print(text::text(&reading, now.since(&last), lines_waiting, sessions, time));
                    last = now;
                }
                changed = self.settings.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Waits until an interval is over. Without one, waits for ever.
async fn pause(since: Instant, interval: Option<Duration>) {
    match interval {
        Some(interval) => sleep_until(since + interval).await,
        None => std::future::pending().await,
    }
}
