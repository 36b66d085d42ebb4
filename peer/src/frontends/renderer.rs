//! The renderer of events, answers and errors.
//!
//! People see text and colours, programs receive JSON.

use chrono::{Local, Utc};
use tokio::time::sleep;

use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::{Command, Event};
use crate::frontends::conversations::Conversations;
use crate::frontends::json::events;
use crate::frontends::json::replies::{Origin, Replies};
use crate::frontends::slash_commands::Spec;
use crate::frontends::terminal::layout::wrap_hanging;
use crate::frontends::terminal::message_rows::Moment;
use crate::frontends::terminal::tty;
use crate::frontends::terminal::view::View;
use crate::limits::QUIT_KEY_WAIT;

/// The output format with its state.
pub(crate) enum Renderer {
    Text(Box<View>),
    Json(Box<Replies>, Box<Conversations>),
}

impl Renderer {
    /// Wraps rows to the width of the screen; rows for a program stay as they are.
    pub(crate) fn wrapped(&self, rows: Vec<String>) -> Vec<String> {
        match (self, tty::columns()) {
            (Self::Text(_), Some(columns)) => {
                rows.iter().flat_map(|row| wrap_hanging(row, columns)).collect()
            }
            _ => rows,
        }
    }

    /// Sets the origin of the command that runs now. Returns the origin of the command before it.
    pub(crate) fn begin(&mut self, origin: Origin) -> Origin {
        match self {
            Self::Text(_) => Origin::default(),
            Self::Json(replies, _) => replies.begin(origin),
        }
    }

    /// Returns the conversations as this frontend sees them.
    pub(crate) fn conversations(&mut self) -> &mut Conversations {
        match self {
            Self::Text(view) => view.conversations(),
            Self::Json(_, conversations) => conversations,
        }
    }

    /// Notes a command that is about to run.
    pub(crate) fn note(&mut self, command: &mut Command) {
        self.conversations().on_command(command);
        if let Self::Json(replies, _) = self {
            replies.note(command);
        }
    }

    pub(crate) fn event(&mut self, event: &Event) -> Vec<String> {
        match self {
            Self::Text(view) => view.event(event, moment()),
            Self::Json(replies, conversations) => {
                conversations.on_event(event);
                replies.event(event)
            }
        }
    }

    pub(crate) fn answer(&mut self, answer: &Answer, command: &Command) -> Vec<String> {
        match self {
            Self::Text(view) => view.answer(answer, command, moment()),
            Self::Json(replies, _) => replies.answer(answer, command),
        }
    }

    /// Renders the reason why a command was not carried out. `command` is `None` if the input was not a command.
    pub(crate) fn error(&mut self, error: &CommandError, command: Option<&Command>) -> Vec<String> {
        match self {
            Self::Text(view) => view.error(error),
            Self::Json(replies, _) => replies.error(error, command),
        }
    }

    pub(crate) fn help(&self, only: Option<&Spec>) -> Vec<String> {
        match self {
            Self::Text(view) => view.help(only, moment()),
            Self::Json(replies, _) if replies.requests => replies.help(),
            Self::Json(..) => events::help(only),
        }
    }

    /// Renders the typed line, for display above its answer.
    pub(crate) fn typed(&self, line: &str) -> Vec<String> {
        match self {
            Self::Text(view) => view.typed(line),
            Self::Json(..) => Vec::new(),
        }
    }

    /// Renders the possible completions: only people press Tab.
    pub(crate) fn choices(&self, names: &[String]) -> Vec<String> {
        match self {
            Self::Text(view) => view.choices(names, moment()),
            Self::Json(..) => Vec::new(),
        }
    }

    /// Renders the hint about the next Ctrl-C: only people press it.
    pub(crate) fn interrupted(&self) -> Vec<String> {
        match self {
            Self::Text(view) => {
                let seconds = QUIT_KEY_WAIT.as_secs();
                view.hint(&format!("Press Ctrl-C again within {seconds} seconds to quit."))
            }
            Self::Json(..) => Vec::new(),
        }
    }

    /// Renders the answer to Alt-n if there is nothing to open.
    pub(crate) fn nothing_unread(&self) -> Vec<String> {
        match self {
            Self::Text(view) => view.hint("Nothing is unread."),
            Self::Json(..) => Vec::new(),
        }
    }

    /// Returns the bytes of the bell or notification that is due, to write to the terminal.
    pub(crate) fn alert(&mut self) -> Option<String> {
        match self {
            Self::Text(view) => view.alert(),
            Self::Json(..) => None,
        }
    }

    pub(crate) fn farewell(&mut self) -> Vec<String> {
        match self {
            Self::Text(view) => view.farewell(moment()),
            Self::Json(..) => Vec::new(),
        }
    }

    /// Waits until a row may be due, even though no event arrives.
    pub(crate) async fn is_due(&self) {
        let due = match self {
            Self::Text(view) => view.due(),
            Self::Json(..) => None,
        };
        match due {
            Some(due) => sleep((due - Utc::now()).to_std().unwrap_or_default()).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the present time and the width of the screen.
pub(crate) fn moment() -> Moment {
    Moment { now: Local::now().fixed_offset(), columns: tty::columns() }
}
