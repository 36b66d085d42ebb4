//! The state that the line editor's thread shares with the rest of the terminal.
//!
//! It holds the content of the status row, the open prompts, and the queue of typed lines.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustyline::{Cmd, Movement};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::api::error::CommandError;
use crate::frontends::interrupt::Interrupt;
use crate::frontends::terminal::completion::Words;
use crate::frontends::terminal::drawing::Drawing;
use crate::frontends::terminal::input_history::InputHistory;
use crate::frontends::terminal::status_line::StatusLine;
use crate::frontends::terminal::style::Style;
use crate::frontends::user_input::UserInput;
use crate::identity::password::Password;
use crate::limits::LINE_MAX;

/// Longest answer that is read, in characters: a yes is short.
const ANSWER_MAX: usize = 16;

/// The state that both threads share, behind a lock.
pub(crate) struct EditorShared {
    pub(crate) lines: mpsc::Sender<UserInput>,
    pub(crate) paint: Style,
    pub(crate) is_password: Guard,
    pub(crate) filter: Filter,
    pub(crate) state: Mutex<EditorState>,
}

/// A question that is asked instead of reading a line.
pub(crate) struct OpenPrompt {
    pub(crate) text: String,
    /// True if the answer is not shown while it is typed.
    pub(crate) hidden: bool,
}

/// A function that returns true if a line is the user's password.
pub(crate) type Guard = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A function that returns the reason why a line must not be sent, if it is a message with a word of the user's filter.
pub(crate) type Filter = Box<dyn Fn(&str) -> Option<CommandError> + Send + Sync>;

#[derive(Default)]
pub(crate) struct EditorState {
    pub(crate) status_line: StatusLine,
    pub(crate) words: Words,
    pub(crate) recall: InputHistory,
    /// The line that replaces the input at the next completion.
    pub(crate) recalled: String,
    pub(crate) interrupt: Interrupt,
    pub(crate) drawing: Drawing,
    /// The open prompts, in order; each takes one line of input.
    pub(crate) prompts: VecDeque<OpenPrompt>,
    pub(crate) secret: Zeroizing<String>,
    /// True if the status row must be redrawn for a question.
    pub(crate) redraw_due: bool,
    /// True if the last key was the one that suspends the program.
    pub(crate) suspended: bool,
    /// True if the input is not empty.
    pub(crate) begun: bool,
    /// True if the hint about Ctrl-C was shown.
    pub(crate) hinted: bool,
    pub(crate) refused: usize,
}

impl EditorShared {
    pub(crate) fn state(&self) -> MutexGuard<'_, EditorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a hidden answer. An empty one ends the prompts.
    pub(crate) fn hand_over_secret(&self) {
        let mut state = self.state();
        let answer = Password::typed(std::mem::take(&mut *state.secret));
        let waiting = state.prompts.len();
        let answered = if answer.is_empty() { waiting } else { waiting.min(1) };
        // If the queue is full, the question stays.
        if self.lines.try_send(UserInput::Secret(answer)).is_ok() {
            state.prompts.drain(..answered);
        }
        state.redraw_due = true;
    }

    /// Returns true if the line stays in the editor, because the user's filter has a word of it.
    pub(crate) fn keeps(&self, line: &str) -> bool {
        // A password is dropped, not shown again.
        let refused = if (self.is_password)(line) { None } else { (self.filter)(line) };
        // If the queue is full, only the reason is lost.
        refused.map(|error| self.lines.try_send(UserInput::Filtered(error))).is_some()
    }

    /// Sends the answer to an open question; it is not remembered.
    pub(crate) fn hand_over_answer(&self, answer: &str) {
        let mut state = self.state();
        let answer: String = answer.chars().take(ANSWER_MAX).collect();
        if self.lines.try_send(UserInput::Answer(answer)).is_ok() {
            state.prompts.clear();
        }
        state.redraw_due = true;
    }

    /// Handles Ctrl-C and returns the editor's action. It ends a question without an answer, clears the line, or quits.
    pub(crate) fn interrupted(&self, line: &str) -> Cmd {
        let (hidden, quits, hints) = {
            let mut state = self.state();
            let hidden = state.prompts.front().map(|prompt| prompt.hidden);
            let quits = state.interrupt.press(line.is_empty() && hidden.is_none(), Instant::now());
            state.secret.clear();
            state.recall.restart();
            // A user who only clears the line sees the hint once.
            let hints = hidden.is_none() && (line.is_empty() || !state.hinted);
            state.hinted |= hints;
            (hidden, quits, hints)
        };
        if quits {
            return Cmd::Interrupt;
        }
        match hidden {
            Some(true) => self.hand_over_secret(),
            Some(false) => self.hand_over_answer(""),
            None => {}
        }
        if hints {
            // If the queue is full, the hint is dropped.
            let _ = self.lines.try_send(UserInput::Interrupted);
        }
        if line.is_empty() { Cmd::Noop } else { clear() }
    }

    /// Sends a line to the terminal. This never waits, because the receiver may be waiting for this thread to print. A
    /// line that is the user's password is neither sent nor remembered.
    pub(crate) fn hand_over(&self, line: &str) {
        let own = (self.is_password)(line);
        let mut state = self.state();
        if !own {
            state.recall.note(line);
        }
        state.interrupt.reset();
        let refused = state.refused;
        if refused > 0 && self.lines.try_send(UserInput::TooFast(refused)).is_ok() {
            state.refused = 0;
        }
        let input = match line.len() {
            _ if own => UserInput::OwnPassword,
            length if length > LINE_MAX => UserInput::TooLong(length),
            _ => UserInput::Line(line.to_owned()),
        };
        if self.lines.try_send(input).is_err() {
            state.refused += 1;
        }
    }
}

/// Empties the input. Other deletions act only once when a bound key requests them, and would leave the rest.
pub(crate) fn clear() -> Cmd {
    Cmd::Kill(Movement::WholeBuffer)
}
