//! The handling of reports from the history.
//!
//! Stored own messages go to their recipients, and stored messages of others go to the frontends.

use std::sync::Arc;

use chrono::Utc;
use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use crate::api::conversation::Conversation;
use crate::api::{Event, Undeliverable};
use crate::delivery::absence_counter::AbsenceCount;
use crate::delivery::replication::batches;
use crate::delivery::sync_event::SyncEvent;
use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::report::{GivenUp, IncomingMessage, OutgoingMessage, Report};
use crate::hub::Hub;
use crate::limits::{FEED_BYTES, HELLO_PAUSE, JUST_WRITTEN};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::Frame;
use crate::peer_communication::link_table::LinkId;
use crate::peer_communication::links::PeerPeerCommunication;
use crate::peer_communication::send_queue::Full;

impl Hub {
    /// Handles the reports of the history until the channel closes. It never waits for the history, because the
    /// history may be waiting for this task.
    pub(crate) async fn on_history_reports(self: Arc<Self>, mut reports: mpsc::Receiver<Report>) {
        while let Some(report) = reports.recv().await {
            self.on_history_report(report);
        }
    }

    fn on_history_report(&self, report: Report) {
        match report {
            Report::Committed(lines) => self.on_own_committed(&lines),
            Report::NotStored { ids, why } => {
                self.lock().saying -= ids.len();
                self.moved.notify_waiters();
                let message =
                    format!("{} of your lines could not be written to the disk: {why}", ids.len()).into();
                self.lock().event_bus.publish([Event::Error {
                    code: "STORAGE".to_owned(),
                    message,
                    messages: ids,
                    retry_after_ms: None,
                }]);
            }
            Report::Received(lines) => lines.into_iter().for_each(|line| self.show(line)),
            Report::Stored { from, id } => {
                if let Some(links) = self.links.get() {
                    links.ack(&from, id);
                }
            }
            Report::Holds { author, conversation, stream } => self.receipt(author, conversation, stream),
            Report::Fork { conversation, room, author, .. } => {
                let fork =
                    named(&conversation, room).map(|conversation| Event::Fork { conversation, author });
                self.lock().event_bus.publish(fork);
            }
            Report::Refused { from, author, why } => {
                warn!(peer = ?from, ?author, why, "lines were refused");
            }
            Report::Delivered { to, ids } => {
                self.lock()
                    .event_bus
                    .publish(ids.into_iter().map(|id| Event::Delivered { id, to: to.clone() }));
                self.moved.notify_waiters();
            }
            Report::Written { to, ids } => {
                self.lock()
                    .event_bus
                    .publish(ids.into_iter().map(|id| Event::Written { id, to: to.clone() }));
                self.moved.notify_waiters();
            }
            Report::GivenUp { to, ids, why } => {
                let reason = match why {
                    GivenUp::TextTooLong => Undeliverable::TextTooLong,
                    GivenUp::Left => Undeliverable::Left,
                    GivenUp::Forgotten => Undeliverable::Forgotten,
                    GivenUp::QueueFull => Undeliverable::QueueFull,
                };
                self.publish_undelivered(&to, ids, reason);
            }
            Report::Pending { to, asked, messages: lines, after, more } => {
                self.give_waiting(&to, asked, &lines, more.then_some(after));
            }
            // The sync task still awaits its answers.
            Report::Holdings { .. }
            | Report::Lacking { .. }
            | Report::HandedOver { .. }
            | Report::Waiting { .. } => {}
            Report::Trouble(message) => {
                self.lock().event_bus.publish([Event::error("STORAGE", message)]);
            }
        }
    }

    /// Sends an ack to an author: the ranges of its stream that are stored here.
    fn receipt(&self, author: Username, conversation: ConversationId, stream: StreamSpans) {
        let Some(links) = self.links.get() else { return };
        let ack = Frame::Have { room_id: conversation.room(), streams: vec![stream], lamport: None };
        let fit = links.send(&author, &ack).is_ok();
        // If the link has no room for the ack, the sync task sends it to every peer soon.
        self.send_sync_event(if fit {
            SyncEvent::Stored(author, conversation)
        } else {
            SyncEvent::Grown(conversation)
        });
    }

    /// Publishes stored own messages as sent, and sends them to every live link.
    fn on_own_committed(&self, lines: &[OutgoingMessage]) {
        let Some(links) = self.links.get() else { return };
        let mut state = self.lock();
        state.saying -= lines.len();
        let not_looking = state.chat.not_looking();
        state.replication.stop_looking(not_looking);
        for said in lines {
            let id = said.message.id;
            let Some(conversation) = named(&said.conversation, said.room.clone()) else { continue };
            let content = said.message.text.plain().into();
            state.event_bus.publish([Event::Sent { id, conversation, content }]);
            for to in
                said.audience.iter().filter(|user| links.known_keys().with(|book| book.is_changed(user)))
            {
                state.replication.hold(to, true);
                let (to, reason) = (to.clone(), Undeliverable::KeyChanged);
                state.event_bus.publish([Event::Undelivered { id, to, reason }]);
            }
            let frame = Frame::Message(Arc::new(said.clone()));
            state.replication.on_own_committed(said, |user, link| links.feed(user, link, &frame).is_ok());
        }
        drop(state);
        self.moved.notify_waiters();
        let mut grown: Vec<_> = lines.iter().map(|said| said.conversation.clone()).collect();
        grown.dedup();
        grown.into_iter().for_each(|conversation| self.send_sync_event(SyncEvent::Grown(conversation)));
    }

    /// Publishes a stored message of another user or of another device.
    pub(crate) fn show(&self, IncomingMessage { message: line, missing, place }: IncomingMessage) {
        let StoredMessage { row, conversation: at, room, from, id, text, sent_at, late, .. } = line;
        let Some(conversation) = named(&at, room) else { return };
        let mut state = self.lock();
        let me = state.chat.me().cloned();
        let (room, to) = match &conversation {
            Conversation::Room(room) => (Some(room.clone()), None),
            Conversation::Private(user) => (None, (me.as_ref() == Some(&from)).then(|| user.clone())),
        };
        if let Some(missed) = state.missed.get_mut(&at) {
            if late {
                let told = missed.take_counts(me.as_ref());
                let missed = |AbsenceCount { people, lines }| Event::Missed {
                    conversation: conversation.clone(),
                    people,
                    lines,
                };
                state.event_bus.publish(told.into_iter().map(missed));
            } else if let Some(place) = place {
                missed.arrived_live(&from, place);
            }
        }
        if me.as_ref() != Some(&from) {
            state.chat.note_unread(conversation);
        }
        let private = room.is_none();
        let content = text.into();
        state
            .event_bus
            .publish_row(Event::Message { id, room, from, to, content, sent_at, late, missing }, row);
        drop(state);
        if private {
            self.update_link_targets();
        }
    }

    /// Sends pending messages to a peer, in order, until its link is full.
    fn give_waiting(&self, to: &Username, asked: i64, lines: &[OutgoingMessage], more: Option<i64>) {
        let Some(links) = self.links.get() else { return };
        let ours = dialect(links, to) == Some(Dialect::Full);
        // A message of the last seconds, written while the recipient's program ran, was only waiting for its link. It
        // is not late.
        let started = links.link_state(to).and_then(|link| link.started);
        let late_before = (Utc::now() - JUST_WRITTEN).max(started.unwrap_or_default());
        let is_late = |batch: &[OutgoingMessage]| {
            batch.first().is_some_and(|first| first.message.sent_at < late_before)
        };
        let batches = if ours { batches(lines) } else { lines.chunks(1).collect() };
        let more = self.lock().replication.give(to, asked, &batches, more, |link, batch| {
            if ours && is_late(batch) {
                feed_batch(links, to, link, batch).is_ok()
            } else {
                let mut messages = batch.iter().map(|said| Frame::Message(Arc::new(said.clone())));
                messages.all(|message| links.feed(to, link, &message).is_ok())
            }
        });
        if let Some(after) = more {
            self.ask_for_waiting(to, after);
        }
    }

    /// Holds back messages for legacy clients that do not show the room, and sends them when a client shows it
    /// again.
    pub(crate) fn apply_views(self: &Arc<Self>) {
        let again = {
            let mut state = self.lock();
            let not_looking = state.chat.not_looking();
            state.replication.stop_looking(not_looking)
        };
        for (user, room) in again {
            let hub = Arc::clone(self);
            tokio::spawn(async move {
                // The tracker's push may arrive before the legacy client has read its own answer.
                sleep(HELLO_PAUSE).await;
                let after = {
                    let mut state = hub.lock();
                    let gone = state.chat.not_looking().contains(&(user.clone(), room));
                    if gone { None } else { state.replication.look_again(&user, room) }
                };
                if let Some(after) = after {
                    hub.ask_for_waiting(&user, after);
                }
            });
        }
    }

    /// Continues with the pending messages of a peer after its link was full.
    pub(crate) fn feed_on(&self, user: &Username) {
        let after = self.lock().replication.go_on(user);
        if let Some(after) = after {
            self.ask_for_waiting(user, after);
        }
    }

    /// Holds back messages while the peer's key has changed, and continues when the key is accepted.
    pub(crate) fn apply_key_hold(&self, user: &Username) {
        let Some(links) = self.links.get() else { return };
        let changed = links.known_keys().with(|book| book.is_changed(user));
        let after = self.lock().replication.hold(user, changed);
        if let Some(after) = after {
            self.ask_for_waiting(user, after);
        }
    }

    /// Requests the pending messages of a peer after a row. The history answers with a report.
    fn ask_for_waiting(&self, user: &Username, after: i64) {
        if let Some(history) = self.history.get().cloned() {
            let user = user.clone();
            tokio::spawn(async move { history.pending(user, after, FEED_BYTES).await });
        }
    }
}

/// Returns the dialect of the link to a user.
fn dialect(links: &PeerPeerCommunication, user: &Username) -> Option<Dialect> {
    links.link_state(user).map(|link| link.dialect)
}

/// Sends signed batches of one conversation in one LINES frame, as messages from the backlog.
fn feed_batch(
    links: &PeerPeerCommunication,
    to: &Username,
    link: LinkId,
    batch: &[OutgoingMessage],
) -> Result<(), Full> {
    let Some(room_id) = batch.first().map(|said| said.conversation.room()) else { return Ok(()) };
    let lines = batch.iter().map(|said| said.message.clone()).collect();
    links.feed(to, link, &Frame::Lines { room_id, lines })
}

/// Returns the conversation as the API names it. A room has no name here if `room` is `None`.
pub(crate) fn named(conversation: &ConversationId, room: Option<RoomName>) -> Option<Conversation> {
    match conversation {
        ConversationId::Private(user) => Some(Conversation::Private(user.clone())),
        ConversationId::Room(_) => room.map(Conversation::Room),
    }
}
