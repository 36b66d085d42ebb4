//! The muted users. Their messages in rooms are stored and acknowledged like all others, but not shown as they come.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::Username;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::past::PastConversation;
use crate::identity::contacts::Contacts;
use crate::limits::MUTED_MAX;

/// The muted users, in memory and in their file.
pub(crate) struct Muted {
    contacts: Contacts,
    users: Mutex<BTreeSet<Username>>,
}

/// Omits the names, which must stay out of logs.
impl fmt::Debug for Muted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Muted").finish_non_exhaustive()
    }
}

impl Muted {
    /// Reads the muted users.
    pub(crate) fn open(contacts: Contacts) -> Result<Self, CommandError> {
        let users = Mutex::new(contacts.muted()?);
        Ok(Self { contacts, users })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Username>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the muted users, by name.
    pub(crate) fn users(&self) -> Vec<Username> {
        self.lock().iter().cloned().collect()
    }

    /// Mutes a user, or ends that. It takes effect once it is on the disk.
    pub(crate) fn set(&self, user: &Username, is_muted: bool) -> Result<(), CommandError> {
        let mut users = self.lock();
        let mut next = users.clone();
        if is_muted {
            next.insert(user.clone());
        } else {
            next.remove(user);
        }
        if next.len() > MUTED_MAX {
            return Err(CommandError::Usage(format!(
                "at most {MUTED_MAX} users can be muted: /unmute somebody"
            )));
        }
        self.contacts.store_muted(&next)?;
        *users = next;
        Ok(())
    }

    /// Marks a message in a room whose author is muted.
    pub(crate) fn marked(&self, mut event: Event) -> Event {
        if let Event::Message { room: Some(_), from, muted, .. } = &mut event {
            *muted = self.lock().contains(from);
        }
        event
    }

    /// Marks the messages of muted users in the history of a room.
    pub(crate) fn marked_answer(&self, mut answer: Answer) -> Answer {
        if let Answer::History { of: PastConversation::Room(_), lines, .. } = &mut answer {
            let users = self.lock();
            lines.iter_mut().for_each(|line| line.muted = users.contains(&line.from));
        }
        answer
    }
}
