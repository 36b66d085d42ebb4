//! The requests for private chats: messages of users with whom this user shares no room and no chat.
//!
//! The first messages of such a user are stored and shown, marked as a request. All further ones are refused, so they wait
//! at their author, until this user replies or accepts. Pure.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use uuid::Uuid;

use crate::api::Event;
use crate::engine::chat::Chat;
use crate::engine::chat::held_back::{Inbound, InboundMessages};
use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::limits::{CHAT_REQUESTS_MAX, REQUEST_MESSAGES};

/// The users who ask for a private chat, and those who need not ask.
#[derive(Debug, Default)]
pub(crate) struct ChatRequests {
    /// The users whose chats were accepted by a command, on this device.
    accepted: BTreeSet<Username>,
    /// The users to whom this user has written in private.
    answered: BTreeSet<Username>,
    asking: BTreeMap<Username, Asking>,
}

/// A user who asks for a private chat.
#[derive(Debug, Default)]
struct Asking {
    /// The ids of the messages that were admitted.
    ids: BTreeSet<Uuid>,
    /// Whether a message was refused. All later ones are refused too, so that none leaves a gap before it.
    is_full: bool,
}

impl Asking {
    /// Notes a message, unless there are too many.
    fn note(&mut self, id: Uuid) -> bool {
        let has_room = !self.is_full && self.ids.len() < REQUEST_MESSAGES;
        let is_admitted = self.ids.contains(&id) || (has_room && self.ids.insert(id));
        self.is_full |= !is_admitted;
        is_admitted
    }

    /// Returns the number of messages that are admitted. A cut is made only behind a complete signed batch.
    fn admitted(&mut self, messages: &[SignedMessage]) -> usize {
        let (mut noted, mut complete) = (Vec::new(), 0);
        for (at, message) in messages.iter().enumerate() {
            let is_new = !self.ids.contains(&message.id);
            if !self.note(message.id) {
                for id in noted.drain(..) {
                    self.ids.remove(&id);
                }
                return complete;
            }
            if is_new {
                noted.push(message.id);
            }
            if message.provenance.ends_batch() {
                (noted, complete) = (Vec::new(), at + 1);
            }
        }
        messages.len()
    }
}

impl Chat {
    /// Sets who need not ask: the accepted users and those to whom this user has written. `asking` are the other users
    /// whose private messages are stored, with the ids of the first ones.
    pub(crate) fn resume_requests(
        &mut self,
        accepted: BTreeSet<Username>,
        answered: BTreeSet<Username>,
        asking: Vec<(Username, Vec<Uuid>)>,
    ) {
        let asking = asking.into_iter().filter(|(user, _)| !accepted.contains(user)).map(|(user, ids)| {
            let ids: BTreeSet<_> = ids.into_iter().collect();
            (user, Asking { is_full: ids.len() > REQUEST_MESSAGES, ids })
        });
        self.requests = ChatRequests { asking: asking.collect(), accepted, answered };
    }

    /// Returns whether messages of a user are a request for a private chat.
    pub(crate) fn is_request(&self, user: &Username) -> bool {
        self.requests.asking.contains_key(user) && !self.need_not_ask(user)
    }

    /// Returns the users who ask for a private chat.
    pub(crate) fn asking(&self) -> impl Iterator<Item = &Username> {
        self.requests.asking.keys().filter(|user| !self.need_not_ask(user))
    }

    /// Returns the users whose chats were accepted by a command.
    pub(crate) fn accepted_chats(&self) -> &BTreeSet<Username> {
        &self.requests.accepted
    }

    /// Returns whether this is the chat with a user some of whose messages were refused. They are not requested from that
    /// user before the chat is accepted.
    pub(crate) fn is_full_request(&self, conversation: &ConversationId) -> bool {
        let ConversationId::Private(user) = conversation else { return false };
        self.is_request(user) && self.requests.asking.get(user).is_some_and(|asking| asking.is_full)
    }

    fn need_not_ask(&self, user: &Username) -> bool {
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
        let has_chat = self.private.contains_key(&from) && !self.requests.asking.contains_key(&from);
        let is_by_other = match &inbound.messages {
            InboundMessages::Unsigned(_) => true,
            InboundMessages::Signed(batch) => batch.messages.iter().any(|message| message.author != self.me),
        };
        if !is_by_other || has_chat || self.blocked.contains(&from) || self.need_not_ask(&from) {
            return (Some(inbound), None);
        }
        let asking = &mut self.requests.asking;
        let is_new = !asking.contains_key(&from);
        if is_new && asking.len() >= CHAT_REQUESTS_MAX {
            return (None, None);
        }
        let asking = asking.entry(from.clone()).or_default();
        let passes = match &mut inbound.messages {
            InboundMessages::Unsigned(message) => asking.note(message.id) || !is_limited,
            InboundMessages::Signed(batch) => {
                let messages = std::mem::take(&mut batch.messages);
                let (own, mut others): (Vec<_>, Vec<_>) =
                    messages.into_iter().partition(|message| message.author == self.me);
                others.truncate(asking.admitted(&others));
                batch.messages = own.into_iter().chain(others).collect();
                !batch.messages.is_empty()
            }
        };
        (passes.then_some(inbound), is_new.then_some(Event::ChatRequest { user: from }))
    }

    /// Accepts the chat with a user for good. Returns an event if that user was asking.
    pub(crate) fn accept_chat(&mut self, user: &Username, is_by_command: bool) -> Option<Event> {
        let ChatRequests { accepted, answered, asking } = &mut self.requests;
        if is_by_command {
            accepted.insert(user.clone())
        } else {
            answered.insert(user.clone())
        };
        asking.remove(user).map(|_| Event::ChatAccepted { user: user.clone() })
    }

    /// Ends the requests of users who share a room by now. Returns their events.
    pub(crate) fn settle_requests(&mut self) -> Vec<Event> {
        let users: Vec<_> =
            self.requests.asking.keys().filter(|user| self.need_not_ask(user)).cloned().collect();
        for user in &users {
            self.requests.asking.remove(user);
        }
        users.into_iter().map(|user| Event::ChatAccepted { user }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn user_of_a_chat_or_an_answered_user_need_not_ask() {
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
        assert_eq!(chat.asking().collect::<Vec<_>>(), [&user("dora")]);
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
