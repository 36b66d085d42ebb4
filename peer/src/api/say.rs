//! The commands that send a message, in their short form.

use commons::names::Username;

use crate::api::Command;
use crate::api::conversation::Conversation;

impl Command {
    /// Returns a command that sends a message to the open conversation.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say { conversation: None, text: text.into(), id: None }
    }

    /// Returns a command that sends a private message to one user.
    pub fn send_private(to: Username, text: impl Into<String>) -> Self {
        Self::Say { conversation: Some(Conversation::Private(to)), text: text.into(), id: None }
    }
}
