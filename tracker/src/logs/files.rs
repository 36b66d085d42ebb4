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
