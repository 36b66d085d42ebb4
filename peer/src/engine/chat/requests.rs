//! The requests for private chats: messages of users with whom this user shares no room and no chat.
//!
//! The first messages of such a user are stored and shown, marked as a request. All further ones are refused, so they wait
//! at their author, until this user replies or accepts. Pure.

use std::collections::BTreeSet;

use commons::names::Username;
use uuid::Uuid;

use crate::api::Event;
use crate::engine::chat::Chat;
use crate::engine::chat::chat_requests::{ChatRequests, Requester};
use crate::engine::chat::held_back::{Inbound, InboundMessages};
use crate::history::conversation::ConversationId;
use crate::limits::{CHAT_REQUESTS_MAX, REQUEST_MESSAGES};

impl Chat {
    /// Sets who need not ask: the accepted users and those to whom this user has written. `unanswered` are the other users
    /// whose private messages are stored, with the ids of the first ones.
    pub(crate) fn resume_requests(
        &mut self,
        accepted: BTreeSet<Username>,
        answered: BTreeSet<Username>,
        unanswered: Vec<(Username, Vec<Uuid>)>,
    ) {
        let open = unanswered.into_iter().filter(|(user, _)| !accepted.contains(user)).map(|(user, ids)| {
            let ids: BTreeSet<_> = ids.into_iter().collect();
            (user, Requester { is_full: ids.len() > REQUEST_MESSAGES, ids })
        });
        self.requests = ChatRequests { open: open.collect(), accepted, answered };
    }

    /// Returns whether messages of a user are a request for a private chat.
    pub(crate) fn is_request(&self, user: &Username) -> bool {
        self.requests.open.contains_key(user) && !self.needs_no_request(user)
    }

    /// Returns the users who ask for a private chat.
    pub(crate) fn requesters(&self) -> impl Iterator<Item = &Username> {
        self.requests.open.keys().filter(|user| !self.needs_no_request(user))
    }

    /// Returns the users whose chats were accepted by a command.
    pub(crate) fn accepted_chats(&self) -> &BTreeSet<Username> {
        &self.requests.accepted
    }

    /// Returns whether this is the chat with a user some of whose messages were refused. They are not requested from that
    /// user before the chat is accepted.
    pub(crate) fn is_full_request(&self, conversation: &ConversationId) -> bool {
        let ConversationId::Private(user) = conversation else { return false };
        self.is_request(user) && self.requests.open.get(user).is_some_and(|requester| requester.is_full)
    }

    fn needs_no_request(&self, user: &Username) -> bool {
        let ChatRequests { accepted, answered, .. } = &self.requests;
        accepted.contains(user)
            || answered.contains(user)
            || self.rooms.values().any(|room| room.has_member(user))
    }

    /// Lets the private messages of a user pass as far as a request may hold them. Returns the messages that pass, and an
    /// event if the request is new. Messages of this user that come from the other side are no part of it.
    pub(crate) fn screen(
        &mut self,
        mut inbound: Inbound,
        is_limited: bool,
    ) -> (Option<Inbound>, Option<Event>) {
        let from = inbound.from.clone();
        let has_chat = self.private.contains_key(&from) && !self.requests.open.contains_key(&from);
        let is_by_other = match &inbound.messages {
            InboundMessages::Unsigned(_) => true,
            InboundMessages::Signed(batch) => batch.messages.iter().any(|message| message.author != self.me),
        };
        if !is_by_other || has_chat || self.blocked.contains(&from) || self.needs_no_request(&from) {
            return (Some(inbound), None);
        }
        let open = &mut self.requests.open;
        let is_new = !open.contains_key(&from);
        if is_new && open.len() >= CHAT_REQUESTS_MAX {
            return (None, None);
        }
        let requester = open.entry(from.clone()).or_default();
        let passes = match &mut inbound.messages {
            InboundMessages::Unsigned(message) => requester.note(message.id) || !is_limited,
            InboundMessages::Signed(batch) => {
                let messages = std::mem::take(&mut batch.messages);
                let (own, mut others): (Vec<_>, Vec<_>) =
                    messages.into_iter().partition(|message| message.author == self.me);
                others.truncate(requester.admitted(&others));
                batch.messages = own.into_iter().chain(others).collect();
                !batch.messages.is_empty()
            }
        };
        (passes.then_some(inbound), is_new.then_some(Event::ChatRequest { user: from }))
    }

    /// Accepts the chat with a user for good. Returns an event if that user was asking.
    pub(crate) fn accept_chat(&mut self, user: &Username, is_by_command: bool) -> Option<Event> {
        let ChatRequests { accepted, answered, open } = &mut self.requests;
        if is_by_command {
            accepted.insert(user.clone())
        } else {
            answered.insert(user.clone())
        };
        open.remove(user).map(|_| Event::ChatAccepted { user: user.clone() })
    }

    /// Ends the requests of users who share a room by now. Returns their events.
    pub(crate) fn end_shared_requests(&mut self) -> Vec<Event> {
        let users: Vec<_> =
            self.requests.open.keys().filter(|user| self.needs_no_request(user)).cloned().collect();
        for user in &users {
            self.requests.open.remove(user);
        }
        users.into_iter().map(|user| Event::ChatAccepted { user }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::message::SignedMessage;
    use crate::history::testing::{ANA, BOB, CARLA, history, private, say, user};
    use crate::peer_communication::link_report::{MessageBatch, PlainMessage};

    fn unsigned(from: &str, id: u128) -> Inbound {
        let message =
            PlainMessage { room: None, content: "hi".into(), id: Uuid::from_u128(id), sent_at: None };
        Inbound { from: user(from), messages: InboundMessages::Unsigned(message) }
    }

    fn signed(from: &str, messages: Vec<SignedMessage>) -> Inbound {
        let batch = MessageBatch { room_id: None, messages, late: false };
        Inbound { from: user(from), messages: InboundMessages::Signed(batch) }
    }

    /// The number of messages that pass, and whether a request begins.
    fn screen(chat: &mut Chat, inbound: Inbound) -> (usize, bool) {
        let (passed, event) = chat.screen(inbound, true);
        let count = passed.map_or(0, |inbound| match inbound.messages {
            InboundMessages::Unsigned(_) => 1,
            InboundMessages::Signed(batch) => batch.messages.len(),
        });
        (count, event.is_some())
    }

    #[test]
    fn request_takes_few_messages_until_it_is_accepted() {
        let mut chat = Chat::new(user(ANA));
        let passed = |chat: &mut Chat, ids: std::ops::Range<u128>| {
            ids.filter(|id| screen(chat, unsigned(BOB, *id)).0 > 0).count()
        };
        assert_eq!(screen(&mut chat, unsigned(BOB, 0)), (1, true), "the request begins");
        assert_eq!(passed(&mut chat, 1..20), REQUEST_MESSAGES - 1);
        assert_eq!(
            screen(&mut chat, unsigned(BOB, 0)),
            (1, false),
            "a message that comes again is acknowledged"
        );
        assert!(chat.is_request(&user(BOB)) && chat.is_full_request(&private(BOB)));
        // The controls: another user has a request of its own, and an accepted chat is none.
        assert_eq!(screen(&mut chat, unsigned(CARLA, 100)), (1, true));
        assert_eq!(chat.accept_chat(&user(BOB), true), Some(Event::ChatAccepted { user: user(BOB) }));
        assert_eq!(passed(&mut chat, 20..40), 20);
        assert!(!chat.is_request(&user(BOB)));
    }

    #[test]
    fn request_takes_whole_signed_batches_without_a_gap() {
        let mut bob = history(BOB);
        let mut batch = |texts: &[&str]| say(&mut bob, &private(ANA), texts, &[ANA]);
        let [two, mut four, one] = [batch(&["1", "2"]), batch(&["3", "4", "5", "6"]), batch(&["7"])];
        let is_each_signed = |chat: &mut Chat, four: &[SignedMessage]| {
            assert_eq!(screen(chat, signed(BOB, two.clone())), (2, true));
            let passed = screen(chat, signed(BOB, [two.as_slice(), four].concat())).0;
            assert_eq!(screen(chat, signed(BOB, one.clone())).0, 0, "it would leave a gap");
            passed
        };
        assert_eq!(is_each_signed(&mut Chat::new(user(ANA)), &four), REQUEST_MESSAGES);
        four[..3].iter_mut().for_each(|message| message.provenance.signature = None);
        assert_eq!(is_each_signed(&mut Chat::new(user(ANA)), &four), 2, "a batch is not divided");
        // The control: where none was refused, it passes.
        let mut chat = Chat::new(user(ANA));
        assert_eq!(screen(&mut chat, signed(BOB, two)).0, 2);
        assert_eq!(screen(&mut chat, signed(BOB, one)).0, 1);
    }

    #[test]
    fn user_of_a_chat_or_an_answered_user_needs_no_request() {
        let mut chat = Chat::new(user(ANA));
        chat.begin_private(user(BOB), None);
        assert_eq!(screen(&mut chat, unsigned(BOB, 1)), (1, false));
        let mut chat = Chat::new(user(ANA));
        let ids = (0..6).map(Uuid::from_u128).collect();
        chat.resume_requests([user(CARLA)].into(), [user(BOB)].into(), vec![(user("dora"), ids)]);
        for (id, name) in [BOB, CARLA].into_iter().enumerate() {
            assert_eq!(screen(&mut chat, unsigned(name, id as u128)), (1, false));
        }
        // The control: a request of an earlier run is still one, and full.
        assert_eq!(chat.requesters().collect::<Vec<_>>(), [&user("dora")]);
        assert_eq!(screen(&mut chat, unsigned("dora", 10)), (0, false));
    }

    #[test]
    fn open_requests_are_bounded() {
        let mut chat = Chat::new(user(ANA));
        let begun = (0..2 * CHAT_REQUESTS_MAX)
            .filter(|n| screen(&mut chat, unsigned(&format!("user{n}"), *n as u128)).1);
        assert_eq!(begun.count(), CHAT_REQUESTS_MAX);
    }
}
