//! The engine: every rule of the chat, without I/O.
//!
//! An input goes in: a command, a report of a link, of the tracker or of the history, or the passing of time. Effects
//! come out: events to publish, frames to send, requests to the history. The engine has no socket, file, clock, lock
//! or task. One task of `service/` feeds it and carries its effects out, and the simulation feeds the same engine.
//!
//! Example: the way of a message from ana to bob. On the left stand the inputs, on the right the effects.
//!
//! ```text
//! ana   Command(Say) ────────▶ engine ──▶ History(Append)
//!       History(Committed) ──▶ engine ──▶ PublishOwnRow(Sent), SendMessage to bob
//! bob   Link(Signed) ────────▶ engine ──▶ History(Ingest)
//!       History(Received) ───▶ engine ──▶ PublishRow(Message)
//!       History(AckDue) ─────▶ engine ──▶ Send(Have) to ana: the ack
//! ana   Link(Have) ──────────▶ engine ──▶ History(AckRanges)
//!       History(Delivered) ──▶ engine ──▶ Publish(Delivered)
//! ```

mod absence_counter;
mod away;
mod away_texts;
mod backpressure;
pub(crate) mod chat;
mod chat_requests;
mod conversation_commands;
pub(crate) mod conversation_name;
mod drain;
pub(crate) mod effect;
pub(crate) mod engine_command;
pub(crate) mod engine_start;
mod entry_events;
pub(crate) mod history_lock;
mod history_reports;
mod inbound;
pub(crate) mod input;
mod key_changes;
mod key_requests;
mod link_reports;
mod log_comparison;
mod log_pages;
mod log_warning;
mod lookup_limiter;
mod lookup_schedule;
mod lookups;
mod membership;
pub(crate) mod message_event;
mod offered_logs;
pub(crate) mod omission;
mod pending_command;
pub(crate) mod pending_sign_in;
mod proven_members;
mod published_entries;
mod remote_have;
mod replication;
mod room_changes;
pub(crate) mod room_intent;
mod room_logs;
mod room_report;
mod status;
mod sync_frames;
mod sync_schedule;
#[cfg(test)]
pub(crate) mod testing;
mod timers;
mod trust_commands;
mod trust_decision;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use commons::keys::PublicKey;
use commons::names::Username;
use tokio::time::Instant;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::absence_counter::AbsenceCounter;
use crate::engine::away_texts::AwayTexts;
use crate::engine::backpressure::Backpressure;
use crate::engine::chat::Chat;
use crate::engine::drain::Drain;
use crate::engine::effect::Effects;
use crate::engine::engine_command::EngineCommand;
use crate::engine::engine_start::EngineStart;
use crate::engine::history_lock::HistoryLock;
use crate::engine::input::{Input, Now, RefusedFrame, Ticket};
use crate::engine::lookup_schedule::LookupSchedule;
use crate::engine::offered_logs::OfferedLogs;
use crate::engine::omission::Omission;
use crate::engine::pending_command::PendingCommand;
use crate::engine::published_entries::PublishedEntries;
use crate::engine::replication::Replication;
use crate::engine::room_logs::RoomLogs;
use crate::engine::sync_schedule::SyncSchedule;
use crate::engine::timers::{Timer, Timers};
use crate::engine::trust_decision::TrustDecision;
use crate::history::conversation::ConversationId;
use crate::history::history_db::InitialState;
use crate::history::request::Request;
use crate::identity::known_keys::KnownKeys;
use crate::limits::AWAY_PAUSE;
use crate::peer_communication::links::LinkState;

/// The state of a signed-in peer.
pub(crate) struct Engine {
    pub(crate) chat: Chat,
    pub(crate) keys: KnownKeys,
    room_logs: RoomLogs,
    offered_logs: OfferedLogs,
    published_entries: PublishedEntries,
    own_key: PublicKey,
    /// The link that serves each linked user.
    links: BTreeMap<Username, LinkState>,
    replication: Replication,
    sync: SyncSchedule,
    timers: Timers,
    /// The number of own messages that the history has not reported as stored or failed.
    unstored: usize,
    /// The messages that were missed in each conversation.
    absences: BTreeMap<ConversationId, AbsenceCounter>,
    /// The first HAVEs that are still awaited since a link came up, by peer and conversation.
    awaited: BTreeSet<(Username, ConversationId)>,
    /// The users for whose WANT the history is reading messages, and since when.
    handing_over: BTreeMap<Username, Instant>,
    /// Conversations whose Lamport time is known in this run, or was awaited long enough.
    timed: BTreeSet<ConversationId>,
    pub(crate) history_lock: HistoryLock,
    lookups: LookupSchedule,
    backpressure: Backpressure,
    /// Commands that wait for a lookup, a Lamport time or a slow recipient. Each has a caller that waits.
    pending: Vec<PendingCommand>,
    /// Commands that wait until every own message is stored and every decision is written. Each has a caller that waits.
    deferred: VecDeque<(Ticket, EngineCommand)>,
    drains: Vec<Drain>,
    /// The decision that is being written to the disk; later ones wait for it.
    decisions: BTreeMap<Ticket, TrustDecision>,
    away: AwayTexts,
    /// A rule that a control of the simulation leaves out.
    #[cfg(test)]
    pub(crate) omission: Option<Omission>,
}

impl Engine {
    /// Starts where the earlier run ended. `login` is the tracker's reply to the sign-in; without it the engine starts
    /// offline.
    pub(crate) fn start(start: EngineStart, opened: InitialState, now: Now, effects: &mut Effects) -> Self {
        let EngineStart { me, own_key, keys, blocked, accepted, login, is_tracker_local, .. } = start;
        let mut engine = Self {
            chat: Chat::new(me),
            keys,
            room_logs: RoomLogs::default(),
            offered_logs: OfferedLogs::default(),
            published_entries: PublishedEntries::default(),
            own_key,
            links: BTreeMap::new(),
            replication: Replication::default(),
            sync: SyncSchedule::default(),
            timers: Timers::start(now.instant),
            unstored: 0,
            absences: BTreeMap::new(),
            awaited: BTreeSet::new(),
            handing_over: BTreeMap::new(),
            timed: BTreeSet::new(),
            history_lock: HistoryLock::default(),
            lookups: LookupSchedule::default(),
            backpressure: Backpressure::default(),
            pending: Vec::new(),
            deferred: VecDeque::new(),
            drains: Vec::new(),
            decisions: BTreeMap::new(),
            away: AwayTexts::default(),
            #[cfg(test)]
            omission: start.omission,
        };
        // Every frontend gets them with its snapshot.
        drop(engine.chat.set_blocked(blocked));
        engine.chat.resume_requests(accepted, opened.answered.clone(), opened.unanswered.clone());
        if !engine.omits(Omission::RememberRooms) {
            engine.chat.remember(opened.rooms.clone());
        }
        #[cfg(test)]
        {
            engine.room_logs.members.omission = start.omission;
            engine.room_logs.pages.omission = start.omission;
        }
        engine.room_logs.set_counts_unsigned(is_tracker_local);
        let snapshots = opened.rooms.iter().filter_map(|room| room.snapshot.as_ref());
        engine.room_logs.resume(&opened.logs, snapshots);
        // The user was told of these entries in earlier runs.
        for log in &opened.logs {
            engine.published_entries.advance(log);
        }
        let login = login.map(|rooms| engine.check_rooms(rooms, effects));
        let events = match login {
            Ok(rooms) => engine.chat.signed_in(rooms.into_iter(), now.instant),
            Err(reason) => engine.chat.offline(reason, now.instant),
        };
        effects.publish(events);
        engine.resume(opened, now, effects);
        engine
    }

    /// Continues where an earlier run ended: shows the unshown messages, and reopens the private chats with pending
    /// messages.
    fn resume(&mut self, opened: InitialState, now: Now, effects: &mut Effects) {
        if let Some(aside) = opened.damaged {
            let message = format!(
                "the history could not be read. It was set aside as {}, and a new one was started",
                aside.display()
            );
            effects.publish([Event::error("HISTORY_DAMAGED", message)]);
        }
        effects.publish(opened.lost.map(|loss| Event::error("HISTORY_DAMAGED", loss.to_string())));
        for (conversation, _) in opened.conversations {
            match conversation {
                ConversationId::Private(user)
                    if !self.omits(Omission::ReopenPrivate)
                        && (opened.waiting.iter().any(|(waiting, _)| *waiting == user)
                            || self.is_found_without_tracker(&user)) =>
                {
                    effects.publish(self.chat.begin_private(user, None));
                }
                // The user may have left the room on another device.
                ConversationId::Room(room) => self.give_up_soon(room, now),
                ConversationId::Private(_) => {}
            }
        }
        if !self.omits(Omission::Unshown) {
            self.show(opened.unshown, effects);
        }
        self.update_membership(now, effects);
    }

    /// Returns the time at which the engine needs an [`Input::Tick`].
    pub(crate) fn next_timer(&self) -> Instant {
        self.timers.next()
    }

    /// Applies an input and adds its effects, which must be carried out in order.
    pub(crate) fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        match input {
            Input::Command(ticket, command) => self.on_command(ticket, command, now, effects),
            Input::TrackerIsLocal(is_local) => self.room_logs.set_counts_unsigned(is_local),
            Input::Granted(request, reply) => self.on_granted(&request, &reply, now, effects),
            Input::RoomUpdate(update) => {
                #[cfg(test)]
                if self.omits(Omission::RevisionOrder) {
                    self.chat.forget_revisions();
                }
                self.on_room_update(*update, now, effects);
                self.update_membership(now, effects);
            }
            Input::TrackerLost(reason) => self.on_tracker_lost(reason, effects),
            Input::RoomLogRefused(room, error) => self.on_room_log_refused(&room, &error, now, effects),
            Input::Found(user, outcome) => self.on_found(&user, outcome, now, effects),
            Input::LinkChanged(user, state) => self.on_link_changed(&user, state, now, effects),
            Input::Link(report) => self.on_link_report(report, now, effects),
            Input::KeyRequest(ticket, user, question) => {
                self.on_key_request(ticket, &user, question, now, effects);
            }
            Input::History(report) => self.on_history_report(report, now, effects),
            Input::QueueFull(user, RefusedFrame::Presence) => {
                self.timers.set(Timer::SendAway(user), now.instant + AWAY_PAUSE);
            }
            Input::QueueFull(user, frame) => self.on_refused(&user, frame),
            Input::FileWritten(ticket, outcome) => self.on_written(ticket, outcome, now, effects),
            Input::OwnKeys(announced) => {
                if self.keys.announce_own(self.chat.me(), self.own_key, &announced) {
                    self.write_pins(effects);
                    self.sync.keys_added();
                    self.sync_with_all(now, effects);
                }
            }
            Input::Tick => self.on_tick(now, effects),
        }
    }

    fn on_tracker_lost(&mut self, reason: TrackerLoss, effects: &mut Effects) {
        effects.publish(self.chat.set_tracker_state(crate::api::status::TrackerState::Lost, Some(reason)));
        self.update_link_targets(effects);
    }

    fn on_tick(&mut self, now: Now, effects: &mut Effects) {
        if self.timers.take_sync(now.instant) {
            self.sync_with_all(now, effects);
            self.look_for_absent(effects);
            self.read_room_logs(effects);
            self.read_due_entries(now, effects);
        }
        for timer in self.timers.take_due(now.instant) {
            match timer {
                Timer::GiveUp(room) | Timer::GiveUpAgain(room) => {
                    let conversation = ConversationId::Room(room);
                    let (mut members, since) = self.chat.members_since(&conversation);
                    if self.omits(Omission::KeepForMembers) {
                        members.clear();
                    }
                    effects.history(Request::PruneOutbox { conversation, members, since });
                }
                Timer::ShowsAgain(user, room) => self.on_shows_again(&user, room, effects),
                Timer::ShowAway(user) => self.on_away_pause_over(&user, now, effects),
                Timer::SendAway(user) => self.send_away(&user, effects),
                Timer::Commands => self.retry_commands(now, effects),
            }
        }
    }
}

impl Engine {
    /// Returns whether this test variant leaves out a rule.
    #[cfg(test)]
    pub(in crate::engine) fn omits(&self, rule: Omission) -> bool {
        self.omission == Some(rule)
    }

    /// Always returns false outside the tests.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' variant reads it")]
    pub(in crate::engine) const fn omits(&self, _: Omission) -> bool {
        false
    }
}

/// Returns the error for a command before the sign-in.
pub(crate) fn not_signed_in() -> CommandError {
    CommandError::refused(commons::protocol::with_tracker::ErrorCode::NotLoggedIn, "sign in first")
}
