//! The reports of the links: a link comes up or goes down, and the frames that the other side sends.

use commons::names::Username;

use crate::api::Event;
use crate::engine::Engine;
use crate::engine::chat::LinkTrust;
use crate::engine::chat::held_back::{Inbound, InboundMessages};
use crate::engine::effect::Effects;
use crate::engine::input::{Now, RefusedFrame};
use crate::engine::omission::Omission;
use crate::history::conversation::ConversationId;
use crate::history::query::Query;
use crate::history::request::Request;
use crate::identity::key_prefix::first_digits;
use crate::limits::{ENDORSED_DIGITS_MIN, FEED_BYTES};
use crate::peer_communication::dial_guard::DialRefusal;
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::link_report::{LinkRefusal, LinkReport};
use crate::peer_communication::link_table::LinkId;
use crate::peer_communication::links::LinkState;

impl Engine {
    pub(in crate::engine) fn on_link_report(&mut self, report: LinkReport, now: Now, effects: &mut Effects) {
        match report {
            LinkReport::Unsigned { from, message } => {
                self.receive(Inbound { from, messages: InboundMessages::Unsigned(message) }, now, effects);
            }
            LinkReport::Signed { from, link, .. } if self.is_replaced(&from, link) => {}
            LinkReport::Signed { from, batch, .. } => {
                self.receive(Inbound { from, messages: InboundMessages::Signed(batch) }, now, effects);
            }
            LinkReport::Have { from, have } => {
                self.on_have(&from, &conversation(&from, have.room_id), have, now, effects);
            }
            LinkReport::LogRequested { from, room_id, after } => {
                self.on_log_requested(from, room_id, after, now, effects);
            }
            LinkReport::Entries { from, entries } => self.on_entries(from, entries, now, effects),
            LinkReport::Want { from, room_id, streams } => {
                self.on_want(&from, conversation(&from, room_id), streams, now, effects);
            }
            LinkReport::Left { from, room: None } => {
                effects.publish(self.chat.partner_left(&from));
                self.update_link_targets(effects);
            }
            LinkReport::Presence { from, link, .. } if self.is_replaced(&from, link) => {}
            LinkReport::Presence { from, away, .. } => self.on_away(&from, away.as_deref(), now, effects),
            // The tracker reports when a member leaves a room.
            LinkReport::Left { room: Some(_), .. } => {}
            LinkReport::Acked { from, id } => {
                effects.history(Request::AckUpTo { to: from, ids: vec![id] });
            }
            LinkReport::Written { to, id } if self.omits(Omission::Written) => {
                effects.history(Request::AckUpTo { to, ids: vec![id] });
            }
            LinkReport::Written { to, id } => effects.history(Request::Written { to, ids: vec![id] }),
            LinkReport::TooLong { to, id } => effects.history(Request::TooLong { to, ids: vec![id] }),
            LinkReport::Writable { to } => {
                let after = self.replication.on_writable(&to).filter(|_| !self.omits(Omission::RoomAgain));
                self.query_pending(&to, after, effects);
            }
            LinkReport::LinkRefused { user, reason } => effects.publish([self.refusal(&user, reason)]),
            LinkReport::TooFast { from } => {
                let message = format!(
                    "{from} writes faster than this peer reads from one member: the messages of {from} come more slowly. \
                     None is lost"
                );
                effects.publish([Event::error("MEMBER_RATE", message)]);
            }
            // The driver reads the state of the link, and passes it on as an input of its own.
            LinkReport::Changed { .. } => {}
        }
    }

    /// Returns whether another link to this user has taken over. The new link starts with everything that is not
    /// stored. Messages of the replaced link in between would break the signed batches of both.
    fn is_replaced(&self, user: &Username, link: LinkId) -> bool {
        let is_replaced = self.links.get(user).is_some_and(|serving| serving.link != link);
        is_replaced && !self.omits(Omission::ReplacedLink)
    }

    pub(in crate::engine) fn on_link_changed(
        &mut self,
        user: &Username,
        state: Option<LinkState>,
        now: Now,
        effects: &mut Effects,
    ) {
        let before = match &state {
            Some(state) => self.links.insert(user.clone(), state.clone()),
            None => self.links.remove(user),
        };
        // A replaced link may close long after its successor came up, and that is no new link.
        let began = state
            .as_ref()
            .is_some_and(|state| before.as_ref().is_none_or(|before| before.link != state.link));
        if began {
            effects.history(Request::Linked { from: user.clone() });
            self.chat.forget_held_back(user);
        }
        let [old, new] = [&before, &state].map(|link| link.as_ref().map(|link| self.link_trust(user, link)));
        let events = self.chat.set_link(user, old, new);
        if state.is_some() && !events.is_empty() && !self.omits(Omission::CountMissed) {
            let shared = self.chat.shared_with(user).into_iter().map(|of| (user.clone(), of));
            self.awaited.extend(shared);
        }
        effects.publish(events);
        match state {
            Some(state) if began => self.on_link_began(user, &state, now, effects),
            Some(_) => {}
            None => {
                self.replication.end(user);
                self.sync.link_down(user);
                self.awaited.retain(|(peer, _)| peer != user);
                self.handing_over.remove(user);
                self.offered_logs.forget(user);
                self.away_link_ended(user, effects);
            }
        }
        self.retry_commands(now, effects);
    }

    fn on_link_began(&mut self, user: &Username, state: &LinkState, now: Now, effects: &mut Effects) {
        if state.dialect == Dialect::Full {
            self.sync.link_up(user);
            self.handing_over.remove(user);
            self.request_haves(user, now, effects);
        }
        self.away_at_link(user, now, effects);
        // The HAVE is sent before the pending messages, so that the peer can count what it missed.
        let is_held = self.keys.is_changed(user) && !self.omits(Omission::HoldAtLink);
        if self.replication.begin(user, state.link, is_held, now.utc) && !self.omits(Omission::PendingAtLink)
        {
            effects.history(Query::Pending { to: user.clone(), after: 0, bytes: FEED_BYTES });
        }
    }

    /// Returns the trust in a link to a user.
    pub(in crate::engine) fn link_trust(&self, user: &Username, state: &LinkState) -> LinkTrust {
        let verified = state.key.is_some_and(|key| self.keys.is_verified(user, &key));
        LinkTrust { encrypted: state.encrypted, verified, key: state.key }
    }

    /// Returns the error event for a peer that is online and has no link.
    fn refusal(&self, user: &Username, why: LinkRefusal) -> Event {
        match why {
            LinkRefusal::NotAccepted => {
                let digits = first_digits(&self.own_key, ENDORSED_DIGITS_MIN);
                let message = format!(
                    "{user} has not accepted the key of this computer yet. Ask {user} to type /accept {me}, or type \
                     /endorse {digits} on a computer that {user} knows",
                    me = self.chat.me(),
                );
                Event::error("KEY_CHANGED", message)
            }
            LinkRefusal::Plaintext => {
                let message = format!(
                    "{user} uses a program without encryption, and your --plaintext setting refuses it. Your messages to \
                     {user} wait here"
                );
                Event::error("PLAINTEXT_REFUSED", message)
            }
            LinkRefusal::Address(refusal) => {
                let reason = match refusal {
                    DialRefusal::Port => "has a port below 1024",
                    DialRefusal::Private => "is in a private network, and the tracker is not",
                    DialRefusal::Loopback => "leads to this computer, and the tracker is elsewhere",
                    DialRefusal::NoHost => "belongs to no computer",
                };
                let message = format!(
                    "the address that the tracker gives for {user} {reason}: it is not dialled. {user} can still connect to \
                     you. Until then your messages to {user} wait here"
                );
                Event::error("ADDRESS_REFUSED", message)
            }
        }
    }

    pub(in crate::engine) fn on_refused(&mut self, user: &Username, frame: RefusedFrame) {
        match frame {
            RefusedFrame::Have(conversation) => self.sync.have_refused(user, &conversation),
            RefusedFrame::Ack(conversation) => self.sync.stored(&conversation, None),
            RefusedFrame::Messages(_) if self.omits(Omission::RefusedMessage) => {}
            RefusedFrame::Messages(row) => self.replication.refused(user, row),
            RefusedFrame::Presence | RefusedFrame::Repeatable => {}
        }
    }

    /// Requests the pending messages of a peer after a row, if there is one.
    pub(in crate::engine) fn query_pending(&self, to: &Username, after: Option<i64>, effects: &mut Effects) {
        if let Some(after) = after {
            effects.history(Query::Pending { to: to.clone(), after, bytes: FEED_BYTES });
        }
    }
}

/// Returns the conversation that a peer's frame names.
fn conversation(with: &Username, room: Option<uuid::Uuid>) -> ConversationId {
    room.map_or_else(|| ConversationId::Private(with.clone()), ConversationId::Room)
}
