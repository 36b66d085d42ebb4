//! The frames of the sync with other peers: HAVE, WANT and LINES.
//!
//! The sync repairs gaps in the messages of all authors; `replication.rs` sends new own messages. This file sends and
//! answers the frames, `sync_schedule.rs` decides when, and `remote_have.rs` stores what each peer holds.
//!
//! Each step queries the history, and its report leads to the next step: `Holdings` to a HAVE, `Lacking` to a WANT, and
//! `HandedOver` to LINES.

use commons::names::Username;
use commons::protocol::between_peers::Have;
use commons::protocol::provenance::StreamSpans;

use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, RefusedFrame};
use crate::engine::omission::Omission;
use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::history::query::Query;
use crate::history::request::Request;
use crate::limits::WANT_TIMEOUT;
use crate::peer_communication::frame::Frame;

impl Engine {
    /// Sends what is due to every peer. It runs at each tick, and after changes of members or keys.
    pub(in crate::engine) fn sync_with_all(&mut self, now: Now, effects: &mut Effects) {
        if self.omits(Omission::HaveAtTick) {
            return;
        }
        for user in self.sync.peers() {
            self.request_haves(&user, now, effects);
            self.compare(&user, now, effects);
        }
    }

    /// Handles a HAVE. It acknowledges own messages, and it shows what this peer lacks.
    pub(in crate::engine) fn on_have(
        &mut self,
        from: &Username,
        conversation: &ConversationId,
        Have { streams: theirs, lamport, log_head, tips, .. }: Have,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_first = self.awaited.remove(&(from.clone(), conversation.clone()));
        if self.chat.shared_with(from).contains(conversation) && !self.omits(Omission::HaveIsAck) {
            effects.history(Request::AckRanges {
                from: from.clone(),
                conversation: conversation.clone(),
                theirs: theirs.clone(),
                lamport,
            });
            self.timed.insert(conversation.clone());
        }
        if is_first {
            // The count is complete before the first of these messages is shown.
            let (of, theirs) = (conversation.clone(), theirs.clone());
            effects.history(Query::CountMissed { of, theirs });
        }
        if let (Some(room), Some(head)) = (conversation.room(), log_head) {
            self.on_log_head(from, room, &head, now, effects);
        }
        if !tips.is_empty() && self.chat.shared_with(from).contains(conversation) {
            effects.history(Query::Conflicts { of: conversation.clone(), from: from.clone(), tips });
        }
        self.sync.on_have(from, conversation, theirs);
        self.compare(from, now, effects);
        self.retry_commands(now, effects);
    }

    /// Asks the history for the HAVEs that are due to a peer.
    pub(in crate::engine) fn request_haves(&mut self, user: &Username, now: Now, effects: &mut Effects) {
        for of in self.sync.due_have(user, &self.chat.shared_with(user), now.instant) {
            let since = self.chat.member_since(&of, user).unwrap_or(u64::MAX);
            let on = self.links.get(user).and_then(|state| state.key);
            self.sync.have_requested(user, &of, now.instant);
            effects.history(Query::Holdings { of, to: user.clone(), on, since });
        }
    }

    /// Asks the history what is lacking here of the messages that a peer holds.
    pub(in crate::engine) fn compare(&mut self, user: &Username, now: Now, effects: &mut Effects) {
        if self.omits(Omission::Comparison) {
            return;
        }
        let mut shared = self.chat.shared_with(user);
        shared.retain(|of| !self.chat.is_full_request(of));
        if let Some((of, theirs)) = self.sync.next_comparison(user, &shared, now.instant) {
            effects.history(Query::Lacking { of, from: user.clone(), theirs });
        }
    }

    /// Sends a WANT for what is lacking here. `None` means that the disk fails: the next tick tries again.
    pub(in crate::engine) fn on_lacking(
        &mut self,
        user: &Username,
        of: &ConversationId,
        lacking: Option<Vec<StreamSpans>>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(lacking) = lacking else { return self.sync.comparison_failed(user, of) };
        let streams = self.sync.end_comparison(user, of, lacking, now.instant);
        if !streams.is_empty() {
            let frame = Frame::Want { room_id: of.room(), streams };
            // A WANT that is lost is sent again when its answer does not come.
            effects.push(Effect::Send(user.clone(), frame, RefusedFrame::Repeatable));
        }
        self.compare(user, now, effects);
    }

    /// Handles a WANT. A member of a room receives messages from the revision of joining on, a private partner those of
    /// either side. While an answer is being read, further WANTs of this user are dropped: a peer repeats them, and
    /// nobody can keep the history busy.
    pub(in crate::engine) fn on_want(
        &mut self,
        user: &Username,
        of: ConversationId,
        wanted: Vec<StreamSpans>,
        now: Now,
        effects: &mut Effects,
    ) {
        let since = self.chat.member_since(&of, user);
        let since = if self.omits(Omission::HandOverToMembers) { since.or(Some(0)) } else { since };
        let Some(since) = since.filter(|_| !self.omits(Omission::HandOver)) else { return };
        let since = if self.omits(Omission::HandOverSince) { 0 } else { since };
        let is_held = self.keys.is_changed(user) && !self.omits(Omission::HoldHandOver);
        // While the disk fails, the history does not answer.
        let is_busy = self.handing_over.get(user).is_some_and(|since| now.instant < *since + WANT_TIMEOUT);
        if !is_held && !is_busy {
            self.handing_over.insert(user.clone(), now.instant);
            effects.history(Query::HandOver { of, to: user.clone(), wanted, since });
        }
    }

    /// Answers a WANT. An empty answer is sent too: it says that nothing more can be sent.
    pub(in crate::engine) fn hand_over(
        &mut self,
        to: Username,
        of: &ConversationId,
        messages: Vec<SignedMessage>,
        effects: &mut Effects,
    ) {
        self.handing_over.remove(&to);
        // The user may have left while the history read, and the key may have changed.
        let is_held = self.keys.is_changed(&to) && !self.omits(Omission::HoldHandOver);
        let is_member = self.chat.member_since(of, &to).is_some() || self.omits(Omission::HandOverToMembers);
        if is_member && !is_held {
            let frame = Frame::Lines { room_id: of.room(), messages };
            effects.push(Effect::Send(to, frame, RefusedFrame::Repeatable));
        }
    }
}
