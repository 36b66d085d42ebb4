//! The entries of a room's log, as the tracker and the members keep them.

use crate::room_log::entry::SignedEntry;
use crate::room_log::head::Head;
use crate::room_log::refusal::Refusal;
use crate::room_log::state::RoomState;

/// All entries of one room, each of which was accepted when it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLog {
    entries: Vec<SignedEntry>,
    state: RoomState,
}

impl RoomLog {
    /// Begins a log with the entry that creates a room.
    pub fn begin(created: SignedEntry) -> Result<Self, Refusal> {
        let state = RoomState::create(&created)?;
        Ok(Self { entries: vec![created], state })
    }

    /// Reads a log from one's own disk, where only accepted entries were written.
    pub fn from_disk(entries: Vec<SignedEntry>) -> Result<Self, Refusal> {
        let (first, others) = entries.split_first().ok_or(Refusal::OtherRoom)?;
        let state = RoomState::replay(first, others)?;
        Ok(Self { entries, state })
    }

    /// The log with the next entry. It is copied only if the entry is accepted.
    pub fn extended(&self, entry: SignedEntry) -> Result<Self, Refusal> {
        let mut state = self.state.clone();
        state.apply(&entry)?;
        Ok(Self { entries: self.entries.iter().cloned().chain([entry]).collect(), state })
    }

    /// Adds the next entry. A refused entry changes nothing.
    pub fn append(&mut self, entry: SignedEntry) -> Result<(), Refusal> {
        self.state.apply(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// The state of the room after all entries.
    #[must_use]
    pub fn state(&self) -> &RoomState {
        &self.state
    }

    /// The last entry's place and digest.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state.head()
    }

    /// All entries, oldest first. There is at least one.
    #[must_use]
    pub fn entries(&self) -> &[SignedEntry] {
        &self.entries
    }

    /// The entries after an epoch, oldest first.
    #[must_use]
    pub fn after(&self, epoch: u64) -> &[SignedEntry] {
        let known = self.entries.partition_point(|entry| entry.entry.epoch <= epoch);
        &self.entries[known..]
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> &SignedEntry {
        // A log begins with an entry and never loses one.
        &self.entries[self.entries.len() - 1]
    }
}
