//! The start of the log, and changes of its settings while the tracker runs.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use chrono::Utc;
use commons::log_target::is_own;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::config::{LogConfig, LogFormat};
use crate::logs::files::LogFiles;
use crate::logs::layer::LogLayer;
use crate::logs::line::Line;
use crate::logs::queue::{LogQueue, Output, Writing};
use crate::logs::rotating_file::Rotation;

/// The running log. When this is dropped, the waiting lines are written.
#[derive(Debug)]
pub struct Logs {
    control: LogControl,
    console: Console,
    _writing: Vec<Writing>,
}

/// Changes the settings of the running log. A clone is cheap.
#[derive(Debug, Clone)]
pub struct LogControl {
    filter: Handle<EnvFilter, Registry>,
    rotation: Arc<Rotation>,
}

/// Prints texts for the operator on the console, in order with the log, and not in its files. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Console {
    queue: LogQueue,
    format: LogFormat,
}

/// The output to stderr.
#[derive(Debug)]
struct Stderr {
    in_colour: bool,
}

impl Logs {
    /// Starts to log the events of our own crates. It leaves out the events of libraries, because they may contain
    /// secrets that they were given.
    pub fn start(config: &LogConfig) -> io::Result<Self> {
        let rotation = Arc::new(Rotation::new(config));
        let stderr = Stderr { in_colour: io::stderr().is_terminal() };
        let (queue, writing) = LogQueue::start(stderr, config.format)?;
        let console = Console { queue: queue.clone(), format: config.format };
        let mut started = vec![(queue, writing)];
        if let Some(folder) = &config.dir {
            let header = Line::header(config.format, Utc::now());
            started.push(LogQueue::start(LogFiles::open(folder, &rotation, &header)?, config.format)?);
        }
        let (queues, writing) = started.into_iter().unzip();
        let (filter, handle) = reload::Layer::new(filter(&config.level)?);
        let layer = LogLayer { format: config.format, queues };
        let own = filter_fn(|metadata| is_own(metadata.target()));
        registry().with(filter).with(layer.with_filter(own)).try_init().map_err(io::Error::other)?;
        Ok(Self { control: LogControl { filter: handle, rotation }, console, _writing: writing })
    }

    /// Returns the console.
    #[must_use]
    pub fn console(&self) -> Console {
        self.console.clone()
    }

    /// Returns the handle that changes the settings.
    #[must_use]
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }
}

impl Console {
    /// Prints a text. It is dropped and counted if the console does not keep up.
    pub(crate) fn print(&self, text: String) {
        self.queue.push(Arc::new(Line::console(text, self.format, Utc::now())));
    }

    /// The number of log lines that wait for the console.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl LogControl {
    /// Takes over those settings that can change while the log runs: the filter and the rotation.
    pub fn set(&self, config: &LogConfig) -> io::Result<()> {
        self.rotation.set(config);
        self.filter.reload(filter(&config.level)?).map_err(io::Error::other)
    }
}

fn filter(level: &str) -> io::Result<EnvFilter> {
    EnvFilter::builder().parse(level).map_err(io::Error::other)
}

impl Output for Stderr {
    fn write(&mut self, line: &Line) {
        // If stderr is closed, nobody reads the log there.
        let _ = io::stderr().write_all(line.written(self.in_colour).as_bytes());
    }

    fn flush(&mut self) {}
}
