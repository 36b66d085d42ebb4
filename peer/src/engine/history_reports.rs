//! The reports of the history: stored own messages go to their recipients, received messages to the frontends, and counts
//! of waiting messages to the commands that wait for slow recipients.

use std::sync::Arc;

use commons::names::Username;
use commons::protocol::between_peers::Have;
use commons::protocol::provenance::StreamSpans;
use tracing::warn;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::api::undeliverable::Undeliverable;
use crate::engine::Engine;
use crate::engine::absence_counter::AbsenceCount;
use crate::engine::conversation_name::named;
use crate::engine::drain::Drain;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, RefusedFrame};
use crate::engine::log_warning::LogWarning;
use crate::engine::message_event::message_event;
use crate::engine::omission::Omission;
use crate::engine::replication::batches;
use crate::history::conversation::ConversationId;
use crate::history::query::Query;
use crate::history::report::{GivenUp, IncomingMessage, OutgoingMessage, Report};
use crate::limits::JUST_WRITTEN;
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::Frame;

impl Engine {
    pub(in crate::engine) fn on_history_report(&mut self, report: Report, now: Now, effects: &mut Effects) {
        match report {
            Report::Committed(messages) => self.on_own_committed(messages, now, effects),
            Report::NotStored { ids, why } => {
                let message =
                    format!("{} of your messages could not be written to the disk: {why}", ids.len()).into();
                self.unstored = self.unstored.saturating_sub(ids.len());
                let (code, details) = ("STORAGE".to_owned(), Box::default());
                let retry_after_ms = None;
                effects.publish([Event::Error { code, message, messages: ids, retry_after_ms, details }]);
                self.carry_out_deferred(now, effects);
            }
            Report::Received(messages) => self.show(messages, effects),
            Report::LegacyAckDue { from, id } => effects.push(Effect::Acknowledge(from, id)),
            Report::AckDue { author, conversation, stream } => {
                self.acknowledge(author, conversation, stream, effects);
            }
            Report::Fork { conversation, room, author } => {
                let conversation = named(&conversation, room);
                effects.publish(conversation.map(|conversation| Event::Fork { conversation, author }));
            }
            Report::OtherLog { room, author } => {
                self.warn_of(room, LogWarning::OtherLog(author), effects);
            }
            Report::BatchRejected { from, author, why } => {
                warn!(peer = ?from, ?author, why, "messages were refused");
            }
            Report::Delivered { to, ids } => {
                effects.publish(ids.into_iter().map(|id| Event::Delivered { id, to: to.clone() }));
                self.on_delivery(&to, now, effects);
            }
            Report::Written { to, ids } => {
                effects.publish(ids.into_iter().map(|id| Event::Written { id, to: to.clone() }));
                self.on_delivery(&to, now, effects);
            }
            Report::GivenUp { to, ids, why } => {
                let reason = match why {
                    GivenUp::TextTooLong => Undeliverable::TextTooLong,
                    GivenUp::Left => Undeliverable::Left,
                    GivenUp::Forgotten => Undeliverable::Forgotten,
                    GivenUp::QueueFull => Undeliverable::QueueFull,
                };
                let event = |id| Event::Undelivered { id, to: to.clone(), reason };
                effects.publish(ids.into_iter().map(event));
            }
            Report::Pending { to, queried_after, messages, after, more } => {
                self.send_pending(&to, queried_after, messages, more.then_some(after), now, effects);
            }
            Report::Holdings { of, to, streams, lamport, tips } => {
                let log_head = self.signed_head(&of);
                let frame = Frame::Have(Have { room_id: of.room(), streams, lamport, log_head, tips });
                self.sync.have_sent(&to, &of, now.instant);
                effects.push(Effect::Send(to, frame, RefusedFrame::Have(of)));
            }
            Report::Conflicts { of, from, streams } => self.on_conflicts(from, &of, streams, effects),
            Report::Lacking { of, from, lacking } => self.on_lacking(&from, &of, lacking, now, effects),
            // Of a room that was left meanwhile, nothing comes.
            Report::Missed { of, .. } if self.chat.member_since(&of, self.chat.me()).is_none() => {}
            Report::Missed { of, lacking } => self.absences.entry(of).or_default().note(&lacking),
            Report::HandedOver { of, to, messages } => self.hand_over(to, &of, messages, effects),
            Report::Waiting { of, waiting, used } => {
                if of.is_none() {
                    self.backpressure.checked(&waiting, &used);
                }
                self.on_waiting(of.as_ref(), &waiting, now, effects);
            }
            Report::Trouble(message) => effects.publish([Event::error("STORAGE", message)]),
        }
    }

    pub(in crate::engine) fn dialect(&self, user: &Username) -> Option<Dialect> {
        self.links.get(user).map(|state| state.dialect)
    }

    /// Sends an ack to an author: the ranges of its stream that are stored here.
    fn acknowledge(
        &mut self,
        author: Username,
        conversation: ConversationId,
        stream: StreamSpans,
        effects: &mut Effects,
    ) {
        self.sync.stored(&conversation, Some(&author));
        if !self.omits(Omission::Ack) {
            let (room_id, streams) = (conversation.room(), vec![stream]);
            let (lamport, log_head, tips) = (None, None, Vec::new());
            let frame = Frame::Have(Have { room_id, streams, lamport, log_head, tips });
            // If the link has no room for the ack, the sync soon sends it to every peer.
            effects.push(Effect::Send(author, frame, RefusedFrame::Ack(conversation)));
        }
    }

    /// Publishes stored own messages as sent, and sends them to every live link.
    fn on_own_committed(&mut self, messages: Vec<OutgoingMessage>, now: Now, effects: &mut Effects) {
        self.unstored = self.unstored.saturating_sub(messages.len());
        for message in messages {
            let id = message.message.id;
            self.sync.stored(&message.conversation, None);
            let Some(conversation) = named(&message.conversation, message.room.clone()) else { continue };
            let content = message.message.text.plain().into();
            let sent_at = message.message.sent_at;
            let recipients = Some(message.audience.clone());
            let sent = Event::Sent { id, conversation, content, sent_at, recipients };
            effects.push(Effect::PublishOwnRow(sent, message.row));
            for to in message.audience.iter().filter(|user| self.keys.is_changed(user)) {
                self.replication.hold(to, true);
                let (to, reason) = (to.clone(), Undeliverable::KeyChanged);
                effects.publish([Event::Undelivered { id, to, reason }]);
            }
            let links = self.replication.on_own_committed(&message);
            let message = Arc::new(message);
            for (user, link) in links {
                effects.push(Effect::SendMessage(user, link, Arc::clone(&message)));
            }
        }
        self.carry_out_deferred(now, effects);
    }

    /// Publishes stored messages of other users, or of another device. All of them are counted before the first of them is
    /// announced as missed.
    pub(in crate::engine) fn show(&mut self, mut messages: Vec<IncomingMessage>, effects: &mut Effects) {
        let counts_backlog = !self.omits(Omission::CountBacklog);
        let announced_is_late = !self.omits(Omission::AnnouncedIsLate);
        for IncomingMessage { message, place, is_withdrawn, .. } in &mut messages {
            let is_shown = named(&message.conversation, message.room.clone()).is_some();
            let Some(place) = place.filter(|_| is_shown) else { continue };
            let absences = self.absences.entry(message.conversation.clone()).or_default();
            if *is_withdrawn || !message.late {
                message.late = absences.arrived_live(&message.from, place) && announced_is_late;
            } else if counts_backlog {
                absences.arrived_as_backlog(&message.from, place);
            }
        }
        for message in messages.into_iter().filter(|received| !received.is_withdrawn) {
            self.show_one(message, effects);
        }
    }

    fn show_one(&mut self, IncomingMessage { message, missing, .. }: IncomingMessage, effects: &mut Effects) {
        let (row, from) = (message.row, message.from.clone());
        let Some(conversation) = named(&message.conversation, message.room.clone()) else { return };
        if let Some(absences) = self.absences.get_mut(&message.conversation).filter(|_| message.late) {
            let event = |AbsenceCount { people, messages }| Event::Missed {
                conversation: conversation.clone(),
                people,
                lines: messages,
            };
            effects.publish(absences.take_counts(self.chat.me()).into_iter().map(event));
        }
        let is_private = matches!(conversation, Conversation::Private(_)) && from != *self.chat.me();
        let begins_chat = is_private && !self.chat.has_private(&from);
        if begins_chat {
            effects.publish(self.chat.begin_private(from.clone(), None));
        }
        if let ConversationId::Private(user) = &message.conversation
            && from == *self.chat.me()
        {
            // This user wrote in the chat on another device.
            self.take_chat(&user.clone(), false, effects);
        }
        let mut event = message_event(message, missing, self.chat.me());
        if let Some(Event::Message { request, .. }) = &mut event {
            *request = is_private && self.chat.is_request(&from);
        }
        effects.extend(event.map(|event| Effect::PublishRow(event, row)));
        if begins_chat {
            self.update_link_targets(effects);
        }
    }

    /// Sends pending messages to a peer, in order.
    fn send_pending(
        &mut self,
        to: &Username,
        queried_after: i64,
        messages: Vec<OutgoingMessage>,
        more: Option<i64>,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_full = self.dialect(to) == Some(Dialect::Full);
        // A message of the last seconds before the link, written while the recipient's program ran, was only waiting for
        // that link. A message after it was only waiting for room. Neither is late.
        let started = self.links.get(to).and_then(|state| state.started).unwrap_or_default();
        let linked_since = self.replication.linked_since(to).unwrap_or(now.utc);
        let late_before = (linked_since - JUST_WRITTEN).max(started);
        let messages: Vec<_> = messages.into_iter().map(Arc::new).collect();
        let batches = if is_full { batches(&messages) } else { messages.chunks(1).collect() };
        let (frames, next) = self.replication.send(to, queried_after, &batches, more);
        for (link, batch) in frames {
            let is_late = batch.first().is_some_and(|first| first.message.sent_at < late_before);
            if is_full && is_late {
                effects.push(Effect::SendBacklog(to.clone(), link, batch.to_vec()));
            } else {
                for message in batch {
                    effects.push(Effect::SendMessage(to.clone(), link, Arc::clone(message)));
                }
            }
        }
        self.query_pending(to, next, effects);
    }

    /// Applies the number of messages that wait for each recipient: in one conversation, or in all.
    pub(in crate::engine) fn on_waiting(
        &mut self,
        of: Option<&ConversationId>,
        waiting: &[(Username, usize)],
        now: Now,
        effects: &mut Effects,
    ) {
        let is_impatient = self.omits(Omission::DrainWaits);
        let is_on_its_way = waiting.iter().any(|(user, _)| self.is_expected(user));
        let is_of = |drain: &Drain| drain.conversation.as_ref() == of;
        if !is_on_its_way || is_impatient {
            self.end_drains(is_of, effects);
        }
        self.drains.iter_mut().filter(|drain| is_of(drain)).for_each(|drain| drain.is_counting = false);
        if of.is_none() {
            self.look_for(waiting, now, effects);
        }
        self.retry_commands(now, effects);
    }

    /// Notes that a recipient took messages.
    pub(in crate::engine) fn on_delivery(&mut self, to: &Username, now: Now, effects: &mut Effects) {
        if self.backpressure.on_delivery(to, now.instant) {
            effects.history(Query::Waiting { of: None });
        }
        for drain in &mut self.drains {
            if !std::mem::replace(&mut drain.is_counting, true) {
                effects.history(Query::Waiting { of: drain.conversation.clone() });
            }
        }
    }

    /// Returns whether a user can receive messages now or soon, because messages are being sent or a link is being
    /// dialled.
    fn is_expected(&self, user: &Username) -> bool {
        self.replication.is_serving(user) || (self.chat.is_present(user) && !self.keys.is_changed(user))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::engine::input::Input;
    use crate::engine::testing::{ana, now};
    use crate::history::request::Request;
    use crate::history::testing::{ANA, BOB, draft, history, outgoing_messages, private, time, user};
    use crate::identity::known_keys::KnownKeys;
    use crate::peer_communication::link_table::LinkId;
    use crate::peer_communication::links::LinkState;

    /// Returns whether a message goes out as backlog, a minute after it was written, on a link that came up at this time.
    fn goes_as_backlog(linked: DateTime<Utc>) -> bool {
        let (mut engine, mut effects, minute) =
            (ana(KnownKeys::default()), Effects::default(), Duration::from_mins(1));
        let (link, dialect) = (LinkId(1), Dialect::Full);
        let state = LinkState { link, dialect, key: None, started: None, encrypted: true };
        let link_up = Input::LinkChanged(user(BOB), Some(state));
        engine.handle(link_up, Now { utc: linked, ..now() }, &mut effects);
        let mut stored = history(ANA);
        stored.apply(Request::Append(draft(&private(BOB), "1", &[BOB])));
        let messages = outgoing_messages(stored.commit());
        let report = Report::Pending {
            to: user(BOB),
            queried_after: 0,
            after: messages[0].row,
            messages,
            more: false,
        };
        effects.take();
        engine.handle(Input::History(report), Now { utc: time() + minute, ..now() }, &mut effects);
        let sent = effects.take();
        let is_live = sent.iter().any(|effect| matches!(effect, Effect::SendMessage(..)));
        let is_backlog = sent.iter().any(|effect| matches!(effect, Effect::SendBacklog(..)));
        assert_ne!(is_live, is_backlog);
        is_backlog
    }

    #[tokio::test]
    async fn message_that_waited_for_a_full_link_is_not_late() {
        assert!(!goes_as_backlog(time() - Duration::from_secs(1)), "it was written on this link");
        assert!(goes_as_backlog(time() + Duration::from_secs(30)), "the control: bob was away");
    }
}
