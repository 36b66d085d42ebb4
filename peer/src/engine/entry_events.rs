//! The entries of rooms' logs as the user is told of them.
//!
//! Each entry that somebody else made is published once, also those that were made while this peer did not run.

use commons::names::Username;
use commons::room_log::entry::{Change, Entry};
use commons::room_log::log::RoomLog;
use uuid::Uuid;

use crate::api::Event;
use crate::api::room_entry::{KeyAcquaintance, RoomEntry, RoomEntryChange};
use crate::engine::Engine;
use crate::engine::effect::Effects;
use crate::limits::ENTRIES_SHOWN_MAX;

impl Engine {
    /// Publishes the new entries of the rooms in which the user is. A room that was just entered has none.
    pub(in crate::engine) fn publish_entries(&mut self, effects: &mut Effects) {
        let rooms: Vec<Uuid> = self.chat.rooms().map(|room| room.id).collect();
        self.published_entries.retain(&rooms);
        for room in rooms {
            let Some(log) = self.room_logs.get(room).cloned() else { continue };
            let Some(before) = self.published_entries.advance(&log) else { continue };
            let new = log.after(before);
            let shown = &new[new.len().saturating_sub(ENTRIES_SHOWN_MAX)..];
            let by_others =
                shown.iter().map(|signed| &signed.entry).filter(|it| it.author != *self.chat.me());
            let events = by_others.filter_map(|entry| self.entry_event(&log, entry));
            effects.publish(events.collect::<Vec<_>>());
        }
    }

    fn entry_event(&self, log: &RoomLog, entry: &Entry) -> Option<Event> {
        let user = Username::clone;
        let change = match &entry.change {
            Change::Created(_) | Change::Checkpoint(_) => return None,
            Change::Joined { .. } => {
                let member = log.state().members().get(&entry.author);
                let member = member.filter(|member| member.since == entry.epoch);
                RoomEntryChange::Joined {
                    invited_by: member.and_then(|member| member.invited_by.clone()),
                    key: self.acquaintance(entry),
                }
            }
            Change::Left => RoomEntryChange::Left,
            Change::Expired => RoomEntryChange::Expired,
            Change::Removed(of) => RoomEntryChange::Removed { user: user(of) },
            Change::Banned(of) => RoomEntryChange::Banned { user: user(of) },
            Change::Unbanned(of) => RoomEntryChange::Unbanned { user: user(of) },
            Change::Invited { user: of, .. } => RoomEntryChange::Invited { user: user(of) },
            Change::Uninvited(of) => RoomEntryChange::Uninvited { user: user(of) },
            Change::Policy(policy) => RoomEntryChange::Policy { policy: *policy },
            Change::Topic(text) => RoomEntryChange::Topic { text: text.as_str().into() },
            Change::Owner(of) => RoomEntryChange::Owner { user: user(of) },
            Change::Successor(of) => RoomEntryChange::Successor { user: of.clone() },
            Change::Device(_) => RoomEntryChange::Device,
            Change::Revoked { .. } => RoomEntryChange::Revoked,
            Change::Deleted => RoomEntryChange::Deleted,
        };
        let (room, epoch, username) = (log.state().name().clone(), entry.epoch, entry.author.clone());
        Some(Event::RoomEntry(RoomEntry { room, epoch, username, change }))
    }

    /// Returns the relation of this user to the key that signed an entry.
    fn acquaintance(&self, entry: &Entry) -> KeyAcquaintance {
        if self.keys.is_verified(&entry.author, &entry.key) {
            KeyAcquaintance::Verified
        } else if self.keys.is_pinned(&entry.author, &entry.key) {
            KeyAcquaintance::Met
        } else if self.keys.pins().contains_key(&entry.author) {
            KeyAcquaintance::Changed
        } else {
            KeyAcquaintance::NeverMet
        }
    }
}
