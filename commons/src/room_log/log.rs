//! The entries of a room's log, as the tracker and the members keep them.

use crate::digest::Digest;
use crate::limits::LOG_PAGE_BYTES;
use crate::names::Username;
use crate::room_log::entry::{FIRST_EPOCH, SignedEntry};
use crate::room_log::head::Head;
use crate::room_log::refusal::Refusal;
use crate::room_log::state::RoomState;

/// The size of an entry's quotation marks and comma in a list, in bytes.
const LISTED_ENTRY_FRAME: usize = 3;

/// All entries of one room, each of which was accepted when it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLog {
    entries: Vec<SignedEntry>,
    /// The digest of each entry.
    digests: Vec<Digest>,
    stays: Vec<Stay>,
    state: RoomState,
}

/// A membership in a room, from joining to leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The name of the member.
    pub user: Username,
    /// The epoch of the entry by which the user joined.
    pub since: u64,
    /// The last epoch of the membership; `None` while it lasts.
    pub until: Option<u64>,
}

impl RoomLog {
    /// Begins a log with the entry that creates a room.
    pub fn begin(created: SignedEntry) -> Result<Self, Refusal> {
        Ok(Self::with_creation(RoomState::create(&created)?, created))
    }

    fn with_creation(state: RoomState, created: SignedEntry) -> Self {
        let stay = Stay { user: state.owner().clone(), since: FIRST_EPOCH, until: None };
        Self { digests: vec![state.head().digest], entries: vec![created], stays: vec![stay], state }
    }

    /// Reads a log from one's own disk, where only accepted entries were written.
    pub fn from_disk(entries: Vec<SignedEntry>) -> Result<Self, Refusal> {
        let mut entries = entries.into_iter();
        let created = entries.next().ok_or(Refusal::OtherRoom)?;
        let mut log = Self::with_creation(RoomState::replay_creation(&created)?, created);
        for entry in entries {
            log.state.replay(&entry)?;
            log.note(entry);
        }
        Ok(log)
    }

    /// The log with the next entry. It is copied only if the entry is accepted.
    pub fn extended(&self, entry: SignedEntry) -> Result<Self, Refusal> {
        let mut state = self.state.clone();
        state.apply(&entry)?;
        let mut log = Self { state, ..self.clone() };
        log.note(entry);
        Ok(log)
    }

    /// Adds the next entry. A refused entry changes nothing.
    pub fn append(&mut self, entry: SignedEntry) -> Result<(), Refusal> {
        self.state.apply(&entry)?;
        self.note(entry);
        Ok(())
    }

    /// Notes an entry that the state contains already.
    fn note(&mut self, entry: SignedEntry) {
        let (members, epoch) = (self.state.members(), entry.entry.epoch);
        for stay in self.stays.iter_mut().filter(|stay| stay.until.is_none()) {
            if !members.contains_key(&stay.user) {
                stay.until = Some(epoch - 1);
            }
        }
        let new = members.iter().filter(|(_, member)| member.since == epoch);
        self.stays.extend(new.map(|(user, _)| Stay { user: user.clone(), since: epoch, until: None }));
        self.digests.push(self.state.head().digest);
        self.entries.push(entry);
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

    /// The digest of the entry with this epoch, or `None` if the log has no such entry.
    #[must_use]
    pub fn digest_at(&self, epoch: u64) -> Option<Digest> {
        let index = usize::try_from(epoch.checked_sub(FIRST_EPOCH)?).ok()?;
        self.digests.get(index).copied()
    }

    /// All memberships, in order of joining.
    #[must_use]
    pub fn stays(&self) -> &[Stay] {
        &self.stays
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

    /// The entries after an epoch that fit in one frame, oldest first.
    #[must_use]
    pub fn page(&self, epoch: u64) -> &[SignedEntry] {
        let (wanted, mut left) = (self.after(epoch), LOG_PAGE_BYTES);
        let fits = |entry: &&SignedEntry| {
            let length = 2 * entry.to_bytes().len() + LISTED_ENTRY_FRAME;
            let fits = left >= length;
            left = left.saturating_sub(length);
            fits
        };
        // The first entry always fits.
        &wanted[..wanted.iter().take_while(fits).count()]
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> &SignedEntry {
        // A log begins with an entry and never loses one.
        &self.entries[self.entries.len() - 1]
    }
}
