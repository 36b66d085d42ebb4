//! The tracing layer of the log.
//! It writes each event as a line, and gives the line to the queues without waiting.

use std::sync::Arc;

use chrono::Utc;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::config::LogFormat;
use crate::logs::line::Line;
use crate::logs::queue::LogQueue;

/// Takes events to the queues.
#[derive(Debug)]
pub(crate) struct LogLayer {
    /// The format of the lines.
    pub(crate) format: LogFormat,
    /// The queues of stderr and of the files.
    pub(crate) queues: Vec<LogQueue>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Arc::new(Line::of(event, self.format, Utc::now()));
        self.queues.iter().for_each(|queue| queue.push(line.clone()));
    }
}
