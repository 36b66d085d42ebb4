//! The record of the history's size at its last commit, in a small file beside the database.
//!
//! SQLite silently stops the replay of its journal at the first damaged frame. Without the record, nobody would
//! notice the loss of the later frames. The record is written after each commit, without an fsync. After a power
//! cut it may be older than the database, which is harmless, but it is never newer. It holds two numbers, and
//! neither texts nor names.
//!
//! Example: the record says 5 messages, but the database holds 3 after a start. The user is warned that 2 messages are
//! lost.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const FILE: &str = "history.record";

/// The prefix of the digest that protects the two numbers.
const DOMAIN: &str = "p2p-chat history record v1";

/// The open record file of a history.
#[derive(Debug)]
pub(crate) struct Record {
    file: File,
    written: Held,
}

/// The size of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// The number of messages that were ever stored, erased ones included.
    pub messages: i64,
    /// The number of commits that wrote the table `meta`. The others only added messages, which show it themselves.
    pub commits: i64,
}

/// The loss that the record shows when a history is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The difference between the record and the database.
    pub lacks: Held,
    /// The copy of the damaged database, with its companion files beside it. It was made before any change.
    pub copy: Option<PathBuf>,
}

/// The message to the user: the extent of the loss, and how it is repaired.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lacks.messages {
            0 => write!(f, "the latest changes to the history on this computer are lost")?,
            1 => write!(f, "the last message of the history on this computer is lost")?,
            messages => write!(f, "the last {messages} messages of the history on this computer are lost")?,
        }
        write!(f, ", because its files are damaged or outdated. Other members resend what they have")?;
        match &self.copy {
            Some(copy) => write!(f, "; a copy of the files is in {}", copy.display()),
            None => Ok(()),
        }
    }
}

impl Held {
    /// Returns how much less this history holds than `other`, or `None` if it lacks nothing.
    pub(crate) fn behind(self, other: Self) -> Option<Self> {
        let lacks = Self {
            messages: (other.messages - self.messages).max(0),
            commits: (other.commits - self.commits).max(0),
        };
        (lacks != Self::default()).then_some(lacks)
    }

    fn encode(self) -> String {
        let numbers = format!("{:020} {:020}", self.messages, self.commits);
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(&numbers).finalize();
        format!("{numbers} {}\n", base16ct::lower::encode_string(&digest[..8]))
    }

    /// Decodes a record. Returns `None` if the text is damaged or was not written completely.
    fn decode(text: &str) -> Option<Self> {
        let (messages, rest) = text.split_once(' ')?;
        let (commits, _) = rest.split_once(' ')?;
        let held = Self { messages: messages.parse().ok()?, commits: commits.parse().ok()? };
        (held.encode() == text).then_some(held)
    }
}

/// Reads the record of a folder. Returns `None` if it is absent or damaged.
pub(crate) fn read(folder: &Path) -> io::Result<Option<Held>> {
    match std::fs::read(folder.join(FILE)) {
        Ok(bytes) => Ok(str::from_utf8(&bytes).ok().and_then(Held::decode)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the record of a history that was set aside.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Record {
    /// Creates or overwrites the record of an open history.
    pub(crate) fn begin(folder: &Path, held: Held) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(FILE))?;
        let text = held.encode();
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        Ok(Self { file, written: held })
    }

    /// Writes the size after a commit, if it has changed.
    pub(crate) fn note(&mut self, held: Held) {
        if held == self.written {
            return;
        }
        match self.file.write_all_at(held.encode().as_bytes(), 0) {
            Ok(()) => self.written = held,
            // The commit stands, but a later loss of this commit would go unnoticed.
            Err(error) => tracing::warn!(%error, "the record of the history cannot be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_returns_the_last_note_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let mut record = Record::begin(folder.path(), Held::default()).unwrap();
        let held = Held { messages: 12, commits: 7 };
        record.note(held);
        assert_eq!(read(folder.path()).unwrap(), Some(held));
        let text = std::fs::read(folder.path().join(FILE)).unwrap();
        for cut in 0..text.len() {
            std::fs::write(folder.path().join(FILE), &text[..cut]).unwrap();
            assert_eq!(read(folder.path()).unwrap(), None);
            let mut flipped = text.clone();
            flipped[cut] ^= 1;
            std::fs::write(folder.path().join(FILE), flipped).unwrap();
            assert_eq!(read(folder.path()).unwrap(), None);
        }
    }

    #[test]
    fn only_what_is_lacking_is_a_loss() {
        let held = |messages, commits| Held { messages, commits };
        assert_eq!(held(5, 5).behind(held(5, 5)), None);
        assert_eq!(held(6, 9).behind(held(5, 5)), None, "the record is behind after a power cut");
        assert_eq!(held(5, 4).behind(held(5, 5)), Some(held(0, 1)));
        assert_eq!(held(2, 3).behind(held(5, 5)), Some(held(3, 2)));
    }
}
