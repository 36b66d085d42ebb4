//! The file of the word filter, which is read again after each change.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::limits::FILTER_FILE_MAX;
use crate::service::word_filter::WordFilter;
use crate::untrusted::AsUntrusted;

/// The name of the file in the data folder.
const FILE: &str = "filter.txt";

/// The time and the size of a file: they differ after a change.
type Stamp = Option<(SystemTime, u64)>;

/// The word filter of this device.
#[derive(Debug)]
pub(crate) struct FilterFile {
    path: PathBuf,
    read: Mutex<LastRead>,
}

/// The filter as it was last read.
#[derive(Debug, Default)]
struct LastRead {
    stamp: Stamp,
    filter: Arc<WordFilter>,
    /// The reason why the file could not be read since.
    error: Option<String>,
}

impl FilterFile {
    /// The file in this data folder, which may be missing.
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: data.join(FILE), read: Mutex::default() }
    }

    /// Returns the filter as the file is now. If it cannot be read, the filter stays as it was.
    fn current(&self) -> Arc<WordFilter> {
        self.read_again();
        Arc::clone(&self.last_read().filter)
    }

    fn last_read(&self) -> MutexGuard<'_, LastRead> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it has changed since, or could not be read.
    fn read_again(&self) {
        let metadata = fs::metadata(&self.path);
        let stamp = metadata.as_ref().ok().and_then(|it| Some((it.modified().ok()?, it.len())));
        let mut read = self.last_read();
        if read.stamp == stamp && read.error.is_none() {
            return;
        }
        match self.content(metadata) {
            Ok(content) => {
                *read = LastRead { stamp, filter: Arc::new(WordFilter::parse(&content)), error: None };
            }
            Err(error) => {
                let error = error.to_string();
                if read.error.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the word filter cannot be read");
                }
                read.error = Some(error);
            }
        }
    }

    /// Reads the file up to its bound; a missing one is empty.
    fn content(&self, metadata: io::Result<Metadata>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        match metadata {
            Ok(metadata) if metadata.is_file() => {
                // One byte more shows that the file is too large.
                File::open(&self.path)?.take(FILTER_FILE_MAX as u64 + 1).read_to_end(&mut content)?;
                Ok(content)
            }
            // Opening a pipe would wait for its writer.
            Ok(_) => Err(io::Error::other("it is no regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(content),
            Err(error) => Err(error),
        }
    }

    /// Refuses a text that the filter does not let out.
    pub(crate) fn check(&self, text: &str) -> Result<(), CommandError> {
        match self.current().hit(text) {
            Some(word) => Err(CommandError::Filtered(word.to_owned())),
            None => Ok(()),
        }
    }

    /// Marks a message of another user that the filter hides.
    pub(crate) fn marked(&self, mut event: Event, me: &str) -> Event {
        if let Event::Message { from, content, filtered, .. } = &mut event {
            *filtered = from.as_str() != me && self.hides(content.expose());
        }
        event
    }

    /// Marks the messages of other users in an answer that the filter hides.
    pub(crate) fn marked_answer(&self, mut answer: Answer, me: &str) -> Answer {
        let hides = |from: &str, text: &str| from != me && self.hides(text);
        match &mut answer {
            Answer::History { lines, .. } => {
                lines.iter_mut().for_each(|it| it.filtered = hides(it.from.as_str(), it.content.expose()))
            }
            Answer::Found { lines, .. } => lines
                .iter_mut()
                .map(|it| &mut it.message)
                .for_each(|it| it.filtered = hides(it.from.as_str(), it.content.expose())),
            _ => {}
        }
        answer
    }

    fn hides(&self, text: &str) -> bool {
        self.current().hit(text).is_some()
    }

    /// Answers what the filter holds, and which lines are wrong.
    pub(crate) fn answer(&self) -> Answer {
        let filter = self.current();
        let (words, bad) = (filter.len(), filter.bad().to_vec());
        Answer::Filter { file: self.path.clone(), words, bad, error: self.last_read().error.clone() }
    }
}

#[cfg(test)]
mod tests {
    use commons::names::Username;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_messages_of_others_are_hidden() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "spam\n").unwrap();
        let filter = FilterFile::of(data.path());
        let is_marked = |from: &str, text: &str| {
            let event = Event::Message {
                id: Uuid::nil(),
                room: None,
                from: Username::parse(from).unwrap(),
                to: None,
                content: text.into(),
                sent_at: chrono::DateTime::UNIX_EPOCH,
                late: false,
                missing: 0,
                filtered: false,
                request: false,
                muted: false,
            };
            matches!(filter.marked(event, "ana"), Event::Message { filtered: true, .. })
        };
        assert!(is_marked("bob", "Spam, spam"));
        assert!(!is_marked("ana", "spam"), "one's own");
        assert!(!is_marked("bob", "ham"));
    }

    #[test]
    fn changed_file_is_read_again() {
        let data = tempfile::tempdir().unwrap();
        let filter = FilterFile::of(data.path());
        assert_eq!(filter.check("spam"), Ok(()), "there is no file");
        fs::write(data.path().join(FILE), "spam\n").unwrap();
        assert_eq!(filter.check("spam"), Err(CommandError::Filtered("spam".to_owned())));
        fs::write(data.path().join(FILE), "ham and eggs\n/(/").unwrap();
        assert_eq!(filter.check("spam"), Ok(()));
        let Answer::Filter { words, bad, .. } = filter.answer() else { panic!("no answer") };
        assert_eq!((words, bad.len()), (1, 1));
        fs::remove_file(data.path().join(FILE)).unwrap();
        assert_eq!(filter.check("ham and eggs"), Ok(()));
    }

    #[test]
    fn unreadable_file_keeps_the_earlier_words_and_is_reported() {
        let data = tempfile::tempdir().unwrap();
        let (path, filter) = (data.path().join(FILE), FilterFile::of(data.path()));
        let error = || match filter.answer() {
            Answer::Filter { error, .. } => error,
            _ => panic!("no answer"),
        };
        fs::write(&path, "spam\n").unwrap();
        assert!(filter.check("spam").is_err() && error().is_none(), "the control");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(filter.check("spam").is_err());
        assert_eq!(error().as_deref(), Some("it is no regular file"));
        fs::remove_dir(&path).unwrap();
        assert!(filter.check("spam").is_ok() && error().is_none());
    }
}
