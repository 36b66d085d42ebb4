//! The events that show stored messages.

use commons::names::Username;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::engine::conversation_name::named;
use crate::history::answer::StoredMessage;

/// Returns the event of a message that was received; `None` for a room whose name is not known. `missing` counts the
/// author's earlier messages that are newly known to be missing.
pub(crate) fn message_event(message: StoredMessage, missing: u64, me: &Username) -> Option<Event> {
    let StoredMessage { conversation, room, from, id, text, sent_at, late, .. } = message;
    let (room, to) = match named(&conversation, room)? {
        Conversation::Room(room) => (Some(room), None),
        Conversation::Private(user) => (None, (from == *me).then_some(user)),
    };
    Some(Event::Message {
        id,
        room,
        from,
        to,
        content: text.into(),
        sent_at,
        late,
        missing,
        filtered: false,
        request: false,
        muted: false,
    })
}

/// Returns the event of a message that was written on this device; `None` for a room whose name is not known.
pub(crate) fn sent_event(message: StoredMessage) -> Option<Event> {
    let StoredMessage { conversation, room, id, text, sent_at, .. } = message;
    let conversation = named(&conversation, room)?;
    Some(Event::Sent { id, conversation, content: text.into(), sent_at, recipients: None })
}
