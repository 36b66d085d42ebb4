//! The four log files.
//! The level and the field `class` of an event decide which files get it, never the words of its message.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::Level;

use crate::log_class::{CONNECTION, SECURITY};
use crate::logs::line::Line;
use crate::logs::queue::Output;
use crate::logs::rotating_file::{RotatingFile, Rotation};

/// The files of a log folder.
#[derive(Debug)]
pub(crate) struct LogFiles {
    /// Every event: `server.log`.
    server: RotatingFile,
    /// The events of class `connection`.
    connections: RotatingFile,
    /// Errors, and warnings without a class.
    errors: RotatingFile,
    /// The events of class `security`.
    security: RotatingFile,
}

impl LogFiles {
    /// Opens the files, and begins each with this header.
    pub(crate) fn open(folder: &Path, rotation: &Arc<Rotation>, header: &Line) -> io::Result<Self> {
        let open = |name: &str| {
            let path = folder.join(name);
            let opened = RotatingFile::open(path.clone(), rotation.clone());
            opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        let mut files = Self {
            server: open("server.log")?,
            connections: open("connections.log")?,
            errors: open("errors.log")?,
            security: open("security.log")?,
        };
        files.all().for_each(|file| file.write(&header.written(false)));
        files.flush();
        Ok(files)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut RotatingFile> {
        [&mut self.server, &mut self.connections, &mut self.errors, &mut self.security].into_iter()
    }
}

impl Output for LogFiles {
    fn write(&mut self, line: &Line) {
        let text = line.written(false);
        let class = line.class.as_deref();
        self.server.write(&text);
        if line.level == Level::ERROR || (line.level == Level::WARN && class.is_none()) {
            self.errors.write(&text);
        }
        match class {
            Some(CONNECTION) => self.connections.write(&text),
            Some(SECURITY) => self.security.write(&text),
            _ => {}
        }
    }

    fn flush(&mut self) {
        self.all().for_each(RotatingFile::flush);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::registry;

    use super::*;
    use crate::config::{Config, LogFormat};
    use crate::logs::layer::LogLayer;
    use crate::logs::queue::LogQueue;

    const NAMES: [&str; 4] = ["server.log", "connections.log", "errors.log", "security.log"];

    /// Logs by this function, and returns the lines of each file after the header.
    fn logged(format: LogFormat, log: impl FnOnce()) -> [Vec<String>; 4] {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Arc::new(Rotation::new(&Config::default().logs));
        let header = Line::header(format, Utc::now());
        let files = LogFiles::open(folder.path(), &rotation, &header).unwrap();
        let (queue, writing) = LogQueue::start(files, format).unwrap();
        let subscriber = registry().with(LogLayer { format, queues: vec![queue] });
        tracing::subscriber::with_default(subscriber, log);
        writing.end(Duration::from_secs(60));
        NAMES.map(|name| {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            let mut lines = text.lines().map(str::to_owned);
            assert!(
                lines.next().unwrap().contains(env!("CARGO_PKG_VERSION")),
                "{name} has no header: {text}"
            );
            lines.collect()
        })
    }

    #[test]
    fn the_class_and_the_level_choose_the_files() {
        let files = logged(LogFormat::Text, || {
            tracing::info!(class = CONNECTION, "event 1");
            tracing::warn!(class = SECURITY, "event 2");
            tracing::error!(class = SECURITY, "event 3");
            tracing::warn!("event 4");
            // Words choose nothing.
            tracing::info!("event 5: a security error of a connection, class=security");
        });
        let numbers = files.map(|lines| {
            let numbers = lines.iter().map(|line| line.split_once("event ").unwrap().1[..1].parse().unwrap());
            numbers.collect::<Vec<u32>>()
        });
        assert_eq!(numbers, [vec![1, 2, 3, 4, 5], vec![1], vec![3, 4], vec![2, 3]]);
    }

    #[test]
    fn input_of_users_cannot_forge_a_line() {
        let hostile = "ana\n2026-11-28T19:00:00.000Z ERROR forged \u{1b}[31m\u{202e} \"=";
        let log = || tracing::info!(username = hostile, room = ?hostile, count = 3, "input {hostile}");
        let [lines, ..] = logged(LogFormat::Text, log);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains(|c: char| c.is_control() || c == '\u{202e}'), "{lines:?}");
        assert!(lines[0].contains("username=\"ana\\n2026") && lines[0].ends_with("count=3"), "{lines:?}");
        let [lines, ..] = logged(LogFormat::Json, log);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((object["username"].as_str(), object["count"].as_u64()), (Some(hostile), Some(3)));
        assert_eq!((&object["level"], &object["target"]), (&"INFO".into(), &module_path!().into()));
    }

    #[test]
    fn a_long_value_is_shortened() {
        let long = "x".repeat(100_000);
        let [lines, ..] = logged(LogFormat::Text, || tracing::info!(%long, "event"));
        assert!(lines[0].len() < 2000 && lines[0].ends_with("x…\""), "{}", lines[0].len());
    }
}
