//! The messages that no frontend has read, for the snapshot of a frontend that starts. Pure.
//!
//! A frontend reads the messages of the conversation that it has open. Each running frontend counts its own unread
//! messages. This is what a new frontend begins with.

use std::collections::{BTreeMap, VecDeque};

use commons::names::Username;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::api::snapshot::UnreadSummary;
use crate::engine::Engine;
use crate::event_bus::{ReadRows, Row};
use crate::history::conversation::ConversationId;
use crate::history::history_db::InitialState;
use crate::history::read_marks::ReadMarks;
use crate::history::unread::UnreadMessage;
use crate::limits::{UNREAD_CHATS, UNREAD_MESSAGES};

/// The unread messages of earlier runs.
#[derive(Debug, Default)]
pub(crate) struct EarlierUnread {
    messages: BTreeMap<ConversationId, Vec<UnreadMessage>>,
    last_open: Option<ConversationId>,
}

/// The unread messages by conversation, each at most [`UNREAD_MESSAGES`], and what is open.
#[derive(Debug, Default)]
pub(crate) struct UnreadMessages {
    conversations: BTreeMap<Conversation, VecDeque<UnreadMessage>>,
    /// The conversation that a frontend opened last.
    last_open: Option<Conversation>,
    /// The conversations that were open at the frontends at the last look.
    open: Vec<Conversation>,
    /// The marks that the history has, of the conversations that were read in this run.
    marks: BTreeMap<Conversation, i64>,
}

impl EarlierUnread {
    /// Takes the unread messages from an opened history.
    pub(crate) fn take(opened: &mut InitialState) -> Self {
        let last_open = opened.last_open.take().map(|(conversation, _)| conversation);
        Self { messages: std::mem::take(&mut opened.unread), last_open }
    }
}

impl UnreadMessages {
    /// Continues with the unread messages of earlier runs. Rooms in which the user is no longer are left out.
    pub(crate) fn resume(EarlierUnread { messages, last_open }: EarlierUnread, engine: &Engine) -> Self {
        let named = |id: ConversationId| match id {
            ConversationId::Private(user) => Some(Conversation::Private(user)),
            ConversationId::Room(id) => {
                let room = engine.chat.rooms().find(|room| room.id == id);
                room.map(|room| Conversation::Room(room.name.clone()))
            }
        };
        let messages = messages.into_iter().filter_map(|(id, messages)| Some((named(id)?, messages.into())));
        Self {
            conversations: messages.take(UNREAD_CHATS).collect(),
            last_open: last_open.and_then(named),
            ..Self::default()
        }
    }

    /// Returns the conversation that a frontend opened last.
    pub(crate) fn last_open(&self) -> Option<&Conversation> {
        self.last_open.as_ref()
    }

    /// Notes an event. Returns the conversation that ended with it on this device, which counts as read.
    pub(crate) fn on_event(&mut self, event: &Event, row: Row, me: &Username) -> Option<Conversation> {
        let ended = match (event, row) {
            (Event::Message { .. }, Row::Received(row)) => {
                self.received(event, row, me);
                return None;
            }
            (Event::ConversationEnded { conversation, by }, _) if by == me => conversation.clone(),
            (Event::HistoryErased { conversation, .. }, _) => conversation.clone(),
            (Event::RoomLeft { room } | Event::RoomDeleted { room }, _) => Conversation::Room(room.clone()),
            _ => return None,
        };
        self.conversations.remove(&ended);
        Some(ended)
    }

    /// Notes what was read at the frontends. Returns the marks that are new.
    pub(crate) fn note(&mut self, rows: ReadRows, engine: &Engine) -> Option<ReadMarks> {
        let id = |of: &Conversation| engine.chat.resolve(of).ok();
        let mut marks = ReadMarks::default();
        for (conversation, row) in rows.read {
            self.read(&conversation, row);
            let mark = self.marks.entry(conversation.clone()).or_default();
            if row > *mark
                && let Some(id) = id(&conversation)
            {
                *mark = row;
                marks.read.insert(id, row);
            }
        }
        if let Some(opened) = rows.open.iter().find(|it| !self.open.contains(it)) {
            self.last_open = Some(opened.clone());
            marks.open = id(opened);
        }
        self.open = rows.open;
        (marks != ReadMarks::default()).then_some(marks)
    }

    fn received(&mut self, event: &Event, row: i64, me: &Username) {
        let Event::Message { id, room, from, .. } = event else { return };
        if from == me {
            return;
        }
        let conversation =
            room.clone().map_or_else(|| Conversation::Private(from.clone()), Conversation::Room);
        if !self.conversations.contains_key(&conversation) && self.conversations.len() >= UNREAD_CHATS {
            return;
        }
        let unread = self.conversations.entry(conversation).or_default();
        if unread.len() >= UNREAD_MESSAGES {
            unread.pop_front();
        }
        unread.push_back(UnreadMessage { row, id: *id, from: from.clone() });
    }

    /// Notes that a conversation was read up to a row.
    fn read(&mut self, conversation: &Conversation, row: i64) {
        if let Some(unread) = self.conversations.get_mut(conversation) {
            unread.retain(|message| message.row > row);
            if unread.is_empty() {
                self.conversations.remove(conversation);
            }
        }
    }

    /// Returns the unread messages up to a row. Those of muted users in rooms do not count.
    pub(crate) fn summary(&self, up_to: i64, muted: &[Username]) -> Vec<UnreadSummary> {
        let summary = |(conversation, unread): (&Conversation, &VecDeque<UnreadMessage>)| {
            let is_room = matches!(conversation, Conversation::Room(_));
            let counts = |it: &&UnreadMessage| it.row <= up_to && !(is_room && muted.contains(&it.from));
            let mut counted = unread.iter().filter(counts);
            let first = counted.next()?.id;
            Some(UnreadSummary { conversation: conversation.clone(), messages: counted.count() + 1, first })
        };
        self.conversations.iter().filter_map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use commons::names::RoomName;

    use super::*;
    use crate::api::testing::received;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn sala() -> Conversation {
        Conversation::Room(RoomName::parse("sala").unwrap())
    }

    fn message(row: u128, from: &str, room: bool) -> Event {
        received(row, from, room.then_some("sala"))
    }

    fn counts(unread: &UnreadMessages, up_to: i64, muted: &[Username]) -> Vec<(String, usize, u128)> {
        let summary = unread.summary(up_to, muted);
        summary.iter().map(|it| (it.conversation.to_string(), it.messages, it.first.as_u128())).collect()
    }

    #[test]
    fn messages_are_unread_until_their_conversation_is_read() {
        let mut unread = UnreadMessages::default();
        for (row, from, room) in
            [(1u8, "bob", true), (2, "bob", true), (3, "bob", false), (4, "carla", true), (5, "ana", true)]
        {
            unread.received(&message(row.into(), from, room), row.into(), &user("ana"));
        }
        assert_eq!(counts(&unread, 9, &[]), [("sala".into(), 3, 1), ("@bob".into(), 1, 3)]);
        assert_eq!(counts(&unread, 2, &[]), [("sala".into(), 2, 1)], "the later ones follow as events");
        assert_eq!(counts(&unread, 9, &[user("bob")]), [("sala".into(), 1, 4), ("@bob".into(), 1, 3)]);
        unread.read(&sala(), 2);
        assert_eq!(counts(&unread, 9, &[]), [("sala".into(), 1, 4), ("@bob".into(), 1, 3)]);
        unread.read(&sala(), 4);
        assert_eq!(counts(&unread, 9, &[]), [("@bob".into(), 1, 3)]);
    }

    #[test]
    fn unread_messages_do_not_fill_the_memory() {
        let mut unread = UnreadMessages::default();
        for row in 0..2 * UNREAD_MESSAGES {
            let row = i64::try_from(row).unwrap();
            unread.received(&message(row.unsigned_abs().into(), "bob", false), row, &user("ana"));
        }
        for user_number in 0..2 * UNREAD_CHATS {
            unread.received(&message(9, &format!("user{user_number}"), false), 9, &user("ana"));
        }
        assert_eq!(unread.conversations.len(), UNREAD_CHATS);
        assert_eq!(unread.conversations[&Conversation::Private(user("bob"))].len(), UNREAD_MESSAGES);
    }
}
