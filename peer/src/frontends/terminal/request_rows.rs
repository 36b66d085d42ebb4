//! The rows about private chats, and about the requests for them.

use commons::names::Username;

use crate::frontends::terminal::style::Style;
use crate::limits::REQUEST_MESSAGES;

/// Renders a request for a private chat, and what to do about it.
pub(crate) fn opened(paint: Style, user: &Username) -> Vec<String> {
    let text = format!(
        "*** {user}, with whom you share no room, asks for a chat. A reply or /accept-chat {user} accepts it, /block {user} \
         refuses it. Until then at most {REQUEST_MESSAGES} messages come"
    );
    vec![paint.system(&text)]
}

/// Renders the end of a request.
pub(crate) fn accepted(paint: Style, user: &Username) -> Vec<String> {
    vec![paint.system(&format!("*** the chat with {user} is accepted"))]
}

/// Renders the header of a private chat that was opened.
pub(crate) fn header(paint: Style, user: &Username, is_request: bool) -> Vec<String> {
    let title = format!("── @{user} ── goes to {user} alone; /leave closes it");
    let request = if is_request { opened(paint, user) } else { Vec::new() };
    [paint.system(&title)].into_iter().chain(request).collect()
}
