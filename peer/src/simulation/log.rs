//! The record of what a simulated user saw, over all runs of the program.
//!
//! The verdict checks the promises against it.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use uuid::Uuid;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::api::undeliverable::Undeliverable;
use crate::history::report::{GivenUp, Report};
use crate::history::testing::user;
use crate::simulation::simulated_peer::NAMES;

/// A message of another user that was shown.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The run of the program.
    pub(crate) life: u32,
    pub(crate) id: Uuid,
    pub(crate) from: Username,
    pub(crate) conversation: Conversation,
    pub(crate) late: bool,
    /// The number of earlier messages that the event said were missing.
    pub(crate) missing: u64,
}

/// The code of a warning about the tracker, and the user whom it names.
pub(crate) type Warning = (&'static str, Option<Username>);

/// The codes of the warnings of contradictions between the tracker and the log of a room.
const WARNINGS: [&str; 6] = ["GHOST", "LOG_MISSING", "LOG_OLDER", "LOG_INVALID", "SPLIT_VIEW", "OTHER_LOG"];

/// The messages of a conversation that were announced as missed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Missed {
    /// The number of messages in the greatest announcement.
    pub(crate) greatest: u64,
    /// The number of messages in all announcements.
    pub(crate) announced: u64,
    /// The number of messages that were shown as late.
    pub(crate) late: u64,
}

/// The events that one user saw.
#[derive(Default)]
pub(crate) struct Log {
    /// Own messages that were shown as sent.
    pub(crate) sent: Vec<Uuid>,
    /// Messages of others, in the order in which they were shown.
    pub(crate) shown: Vec<Shown>,
    /// The number of delivery events, by own message and recipient.
    pub(crate) delivered: BTreeMap<(Uuid, Username), usize>,
    /// Own messages that were written to a legacy client, with its user.
    pub(crate) written: BTreeSet<(Uuid, Username)>,
    /// Own messages that were given up, with the recipient.
    pub(crate) given_up: BTreeSet<(Uuid, Username)>,
    /// Messages that were shown in a run and lost in its crash, because their commit had not ended.
    pub(crate) uncommitted: BTreeSet<(u32, Uuid)>,
    /// The number of delivery events whose mark was lost in a crash, by own message and recipient.
    pub(crate) lost_marks: BTreeMap<(Uuid, Username), usize>,
    /// The number of batches that were refused.
    pub(crate) refused: usize,
    /// The messages that were announced as missed, by run of the program and conversation.
    pub(crate) missed: BTreeMap<(u32, Conversation), Missed>,
    /// The number of messages that were held because the recipient's key had changed.
    pub(crate) held: usize,
    /// The warnings of contradictions between the tracker and the log of the room, by run of the program.
    pub(crate) warnings: Vec<(u32, Warning)>,
    /// The users of whom the user was warned because of another key.
    pub(crate) key_changes: Vec<Username>,
    /// The lies that the tracker told this user, each with the warning to which it may lead.
    pub(crate) lies: BTreeSet<Warning>,
    /// Events that must never occur in the simulation.
    pub(crate) wrong: Vec<String>,
}

impl Log {
    /// Notes an event that the engine published in this run.
    pub(crate) fn note_event(&mut self, life: u32, event: &Event) {
        match event {
            Event::Sent { id, .. } => self.sent.push(*id),
            Event::Delivered { id, to } => *self.delivered.entry((*id, to.clone())).or_default() += 1,
            Event::Written { id, to } => drop(self.written.insert((*id, to.clone()))),
            Event::Undelivered { reason: Undeliverable::KeyChanged, .. } => self.held += 1,
            Event::Undelivered { reason: Undeliverable::Waiting, .. } => {}
            Event::Undelivered { id, to, .. } => drop(self.given_up.insert((*id, to.clone()))),
            Event::Missed { conversation, lines, .. } => {
                let missed = self.missed.entry((life, conversation.clone())).or_default();
                missed.greatest = missed.greatest.max(*lines);
                missed.announced += lines;
            }
            Event::Message { id, room, from, to, late, missing, .. } => {
                let other = to.as_ref().unwrap_or(from).clone();
                let conversation =
                    room.clone().map_or_else(|| Conversation::Private(other), Conversation::Room);
                let (from, late, missing) = (from.clone(), *late, *missing);
                let missed = self.missed.entry((life, conversation.clone())).or_default();
                missed.late += u64::from(late);
                if missed.late > missed.announced {
                    self.wrong.push(format!("{id} is late, and was not announced as missed"));
                }
                self.shown.push(Shown { life, id: *id, from, conversation, late, missing });
            }
            Event::RoomLeft { room } | Event::RoomDeleted { room } => {
                // The rest of what was announced does not come any more.
                let missed = self.missed.entry((life, Conversation::Room(room.clone()))).or_default();
                missed.announced = missed.late;
            }
            Event::Error { code, message, .. } if WARNINGS.contains(&code.as_str()) => {
                let code = WARNINGS.into_iter().find(|known| known == code).unwrap_or_default();
                let named = (code == "GHOST").then(|| {
                    let is_named = |name: &&&str| message.has_word(name);
                    NAMES
                        .iter()
                        .chain(&["zoe"])
                        .find(is_named)
                        .map_or_else(|| user("nobody"), |name| user(name))
                });
                self.warnings.push((life, (code, named)));
            }
            Event::KeyChanged { peer, .. } => self.key_changes.push(peer.clone()),
            Event::Error { .. } | Event::Fork { .. } => self.wrong.push(format!("{event:?}")),
            _ => {}
        }
    }

    /// Returns whether the user was warned in a run of the program.
    pub(crate) fn is_warned(&self, life: u32, code: &str) -> bool {
        self.warnings.iter().any(|(at, (warned, _))| (*at, *warned) == (life, code))
    }

    /// Returns an accusation for which the tracker gave no reason.
    pub(crate) fn accused(&self, may_change_keys: bool) -> Option<String> {
        let told = self.warnings.iter().find(|(_, warning)| !self.lies.contains(warning));
        let is_told = |user: &&Username| !self.lies.contains(&("KEY_CHANGED", Some((*user).clone())));
        let changed = self.key_changes.iter().find(is_told).filter(|_| !may_change_keys);
        told.map(|warning| format!("{warning:?} without a lie"))
            .or_else(|| changed.map(|user| format!("a warning of the key of {user} without a lie")))
    }

    /// Notes a report that the engine received.
    pub(crate) fn note_report(&mut self, report: &Report) {
        self.refused += usize::from(matches!(report, Report::BatchRejected { .. }));
    }

    /// Notes a report that the engine did not receive because the program crashed. The history has already counted its
    /// deliveries.
    pub(crate) fn miss(&mut self, report: &Report) {
        match report {
            Report::Delivered { to, ids } => {
                ids.iter().for_each(|id| *self.delivered.entry((*id, to.clone())).or_default() += 1);
            }
            Report::GivenUp { to, ids, why } if *why != GivenUp::QueueFull => {
                self.given_up.extend(ids.iter().map(|id| (*id, to.clone())));
            }
            _ => {}
        }
    }

    /// Notes what a crash took before its commit had ended: messages that were published, and delivery marks.
    pub(crate) fn note_uncommitted(
        &mut self,
        life: u32,
        messages: BTreeSet<Uuid>,
        marks: BTreeSet<(Uuid, Username)>,
    ) {
        self.uncommitted.extend(messages.into_iter().map(|id| (life, id)));
        marks.into_iter().for_each(|mark| *self.lost_marks.entry(mark).or_default() += 1);
    }
}
