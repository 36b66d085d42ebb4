//! The line editor: rustyline on its own thread, which reads from the first prompt to the last.
//!
//! Enter does not end the reading: it sends the line and empties it. So the terminal never returns to its cooked mode
//! between two lines, in which an arriving row could break the input. A sent line leaves the screen and appears again
//! above as a normal row. The status row above the input can change at any time, which a prompt of one row could not.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::line_buffer::LineBuffer;
use rustyline::{
    Changeset, Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event,
    EventContext, EventHandler, Helper, KeyCode, KeyEvent, Modifiers, Movement, Prompt, RepeatCount,
    Validator,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::frontends::output::{Sink, Stdout};
use crate::frontends::slash_commands::COMMANDS;
use crate::frontends::terminal::above_input::AboveInput;
use crate::frontends::terminal::completion::{Words, complete};
use crate::frontends::terminal::drawing::{CLEAR_BELOW, status_columns};
use crate::frontends::terminal::editor_state::{EditorShared, Filter, Guard, OpenPrompt, clear};
use crate::frontends::terminal::layout::{break_rows, shorten, width};
use crate::frontends::terminal::status_line::StatusLine;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tty;
use crate::frontends::user_input::UserInput;
use crate::limits::{LINE_MAX, TYPED_AHEAD};

/// The prompt of two rows: the status row, filled in at each drawing, and the row of the input.
const PROMPT: &str = "\n> ";

/// The prompt as the editor requests it: immediately after it has read the width of the screen. From then on it assumes
/// rows of that many columns.
struct MeasuredPrompt<'a> {
    shared: &'a EditorShared,
}

impl Prompt for MeasuredPrompt<'_> {
    fn raw(&self) -> &str {
        self.shared.state().drawing.columns = columns();
        PROMPT
    }

    fn styled(&self) -> &str {
        PROMPT
    }
}

/// Clears the prompt of an empty input, with the cursor on the row below it.
const PROMPT_OFF: &str = "\x1b[2A\r\x1b[J";

/// Pause between two signals that end the reading: the editor misses a signal between two readings.
const END_AGAIN: Duration = Duration::from_millis(200);
const END_TRIES: usize = 10;

/// The editor, as other threads use it.
pub(crate) struct LineEditor {
    shared: Arc<EditorShared>,
    ended: oneshot::Receiver<()>,
}

impl LineEditor {
    /// Starts the editor. Returns it with the lines that it reads and the printer of rows above it. Fails if there is
    /// no terminal.
    pub(crate) fn start(
        paint: Style,
        is_password: Guard,
        filter: Filter,
    ) -> Result<(Self, mpsc::Receiver<UserInput>, impl Sink), ReadlineError> {
        let (lines, queue) = mpsc::channel(TYPED_AHEAD);
        let shared = Arc::new(EditorShared { lines, paint, is_password, filter, state: Mutex::default() });
        // The highlighter draws the prompt, even without colours.
        let config =
            Config::builder().color_mode(ColorMode::Forced).completion_type(CompletionType::List).build();
        let mut editor = Editor::<Assistant, DefaultHistory>::with_config(config)?;
        editor.set_helper(Some(Assistant { shared: Arc::clone(&shared) }));
        bind_keys(&mut editor, &shared);
        let printer = editor.create_external_printer()?;
        let (done, ended) = oneshot::channel();
        let ending = Arc::clone(&shared);
        let edit = move || {
            read_on(editor, &ending);
            // The receiver may be gone already.
            let _ = ending.lines.blocking_send(UserInput::End);
            let _ = done.send(());
        };
        thread::Builder::new().name("editor".to_owned()).spawn(edit)?;
        Ok((Self { shared, ended }, queue, AboveInput::new(printer)))
    }

    /// Sets the status row and the words of completion. Returns true if the status row must be redrawn.
    pub(crate) fn set(&self, status_line: StatusLine, words: Option<Words>) -> bool {
        let mut state = self.shared.state();
        if let Some(words) = words {
            state.words = words;
        }
        let changed = state.status_line != status_line || std::mem::take(&mut state.redraw_due);
        state.status_line = status_line;
        changed
    }

    /// Prompts before the next line is read; the answers are neither shown nor remembered. These prompts replace earlier
    /// ones.
    pub(crate) fn prompt(&self, prompts: &[&str]) {
        let mut state = self.shared.state();
        let hidden = |text: &&str| OpenPrompt { text: (*text).to_owned(), hidden: true };
        state.prompts = prompts.iter().map(hidden).collect();
        state.secret.clear();
        state.redraw_due = true;
    }

    /// Prompts for an answer that is shown while it is typed.
    pub(crate) fn prompt_visibly(&self, prompt: &str) {
        let mut state = self.shared.state();
        state.prompts = VecDeque::from([OpenPrompt { text: prompt.to_owned(), hidden: false }]);
        state.redraw_due = true;
    }

    /// Ends the reading and restores the terminal.
    pub(crate) async fn end(mut self) {
        for _ in 0..END_TRIES {
            if self.ended.is_terminated() || self.ended.try_recv().is_ok() {
                return;
            }
            // The editor reads this signal as Ctrl-C while it waits for a key.
            let _ = kill_process(getpid(), Signal::INT);
            if timeout(END_AGAIN, &mut self.ended).await.is_ok() {
                return;
            }
        }
    }
}

/// Reads until a second Ctrl-C, Ctrl-D, SIGINT or the end of the terminal.
fn read_on(mut editor: Editor<Assistant, DefaultHistory>, shared: &EditorShared) {
    let prompt = MeasuredPrompt { shared };
    loop {
        match editor.readline(&prompt) {
            Ok(_) => {}
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                let _ = shared.lines.try_send(UserInput::NoText);
            }
            Err(ReadlineError::Signal(_)) => {}
            Err(_) => break,
        }
    }
    if !shared.state().begun {
        // If the terminal is gone, there is nothing to clear.
        let _ = Stdout.write(PROMPT_OFF);
    }
}

fn bind_keys(editor: &mut Editor<Assistant, DefaultHistory>, shared: &Arc<EditorShared>) {
    let bind = |editor: &mut Editor<_, _>, key: KeyEvent, does: Key| {
        let handler = Keys { shared: Arc::clone(shared), does };
        editor.bind_sequence(key, EventHandler::Conditional(Box::new(handler)));
    };
    for key in [KeyEvent(KeyCode::Enter, Modifiers::NONE), KeyEvent::ctrl('J')] {
        bind(editor, key, Key::Enter);
    }
    for key in [KeyEvent(KeyCode::Up, Modifiers::NONE), KeyEvent::ctrl('P')] {
        bind(editor, key, Key::Older);
    }
    for key in [KeyEvent(KeyCode::Down, Modifiers::NONE), KeyEvent::ctrl('N')] {
        bind(editor, key, Key::Newer);
    }
    bind(editor, KeyEvent::ctrl('C'), Key::Interrupt);
    bind(editor, KeyEvent::alt('n'), Key::NextUnread);
    for key in [KeyEvent(KeyCode::Tab, Modifiers::NONE), KeyEvent::ctrl('I')] {
        bind(editor, key, Key::Complete);
    }
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
    let handler = HiddenInput { shared: Arc::clone(shared) };
    editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(handler)));
}

/// The keys that this program binds itself.
#[derive(Clone, Copy)]
enum Key {
    Enter,
    Older,
    Newer,
    Complete,
    Interrupt,
    NextUnread,
}

struct Keys {
    shared: Arc<EditorShared>,
    does: Key,
}

impl ConditionalEventHandler for Keys {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let (line, at) = (context.line(), context.pos());
        if matches!(self.does, Key::Interrupt) {
            return Some(self.shared.interrupted(line));
        }
        let front = self.shared.state().prompts.front().map(|prompt| prompt.hidden);
        if let Some(hidden) = front {
            return Some(match self.does {
                Key::Enter if hidden => {
                    self.shared.hand_over_secret();
                    Cmd::Noop
                }
                Key::Enter => {
                    self.shared.hand_over_answer(line);
                    Cmd::Kill(Movement::WholeBuffer)
                }
                _ => Cmd::Noop,
            });
        }
        let recalled = match self.does {
            Key::Enter if line.is_empty() => return Some(Cmd::Noop),
            Key::Enter if self.shared.keeps(line) => return Some(Cmd::Noop),
            Key::Enter => {
                self.shared.hand_over(line);
                return Some(clear());
            }
            Key::Complete => return Some(self.complete(&line[..at])),
            // In a text of several lines, the keys first move between its lines.
            Key::Older if line[..at].contains('\n') => return None,
            Key::Newer if line[at..].contains('\n') => return None,
            Key::Older => self.shared.state().recall.older(line),
            Key::Newer => self.shared.state().recall.newer(),
            Key::NextUnread => {
                // If the queue is full, the key is dropped: more input waits than this.
                let _ = self.shared.lines.try_send(UserInput::NextUnread);
                return Some(Cmd::Noop);
            }
            Key::Interrupt => return None,
        };
        let Some(line) = recalled else { return Some(Cmd::Noop) };
        self.shared.state().recalled = line;
        Some(Cmd::Complete)
    }
}

/// Takes the characters of a hidden answer. The editor never receives them, so it cannot draw, undo or recall them.
struct HiddenInput {
    shared: Arc<EditorShared>,
}

impl ConditionalEventHandler for HiddenInput {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        let mut state = self.shared.state();
        // After a suspension, the editor reads the width of the screen without requesting the prompt.
        state.suspended = matches!(event.get(0), Some(KeyEvent(KeyCode::Char('Z'), Modifiers::CTRL)));
        if !state.prompts.front().is_some_and(|prompt| prompt.hidden) {
            return None;
        }
        match event.get(0) {
            Some(KeyEvent(KeyCode::Char(letter), Modifiers::NONE | Modifiers::SHIFT))
                if state.secret.len() < LINE_MAX =>
            {
                state.secret.push(*letter);
            }
            Some(KeyEvent(KeyCode::Backspace, _)) => drop(state.secret.pop()),
            Some(KeyEvent(KeyCode::Char('U'), Modifiers::CTRL)) => state.secret.clear(),
            // Ctrl-D ends the program at a question too.
            Some(KeyEvent(KeyCode::Char('D'), Modifiers::CTRL)) => return None,
            _ => {}
        }
        Some(Cmd::Noop)
    }
}

impl Keys {
    /// Types the common start of all matching names; if that adds nothing, shows the names. The editor's own list would
    /// be cleared only to the height of the prompt.
    fn complete(&self, before_cursor: &str) -> Cmd {
        let (start, names) = complete(before_cursor, &self.shared.state().words);
        let common = names.iter().map(String::as_str).reduce(common_start).unwrap_or_default();
        match common.get(before_cursor.len() - start..) {
            Some(rest) if !rest.is_empty() => return Cmd::Insert(1, rest.to_owned()),
            _ => {}
        }
        if names.len() > 1 {
            // If the queue is full, the list is dropped.
            let _ = self.shared.lines.try_send(UserInput::Choices(names));
        }
        Cmd::Noop
    }
}

/// Returns the common start of two texts.
fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    let end = same.map_or_else(|| one.len().min(other.len()), |((at, _), _)| at);
    &one[..end]
}

/// Returns the columns of the screen, or 80 if they are unknown.
fn columns() -> usize {
    tty::columns().unwrap_or(80)
}

/// Provides hints and colours to the editor.
#[derive(Helper, Validator)]
struct Assistant {
    shared: Arc<EditorShared>,
}

/// Replaces the input by the recalled line. Of the editor's commands, only a completion puts the cursor behind the text
/// that replaces the input. Names are completed without it, see [`Keys::complete`].
impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, _: &str, _: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, vec![std::mem::take(&mut self.shared.state().recalled)]))
    }

    fn update(&self, line: &mut LineBuffer, start: usize, recalled: &str, changes: &mut Changeset) {
        line.replace(start..line.len(), recalled, changes);
    }
}

/// The possible rest of the input: that of an earlier line, which Right accepts, or a command's arguments.
struct InlineHint {
    text: String,
    taken_by_right: bool,
}

impl Hint for InlineHint {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.taken_by_right.then_some(&self.text)
    }
}

impl Hinter for Assistant {
    type Hint = InlineHint;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<InlineHint> {
        tty::note_raw_mode();
        let mut state = self.shared.state();
        state.begun = !line.is_empty();
        if std::mem::take(&mut state.suspended) {
            state.drawing.columns = columns();
        }
        if line.is_empty() || at < line.len() || !state.prompts.is_empty() {
            return None;
        }
        if let Some(text) = state.recall.rest_of(line) {
            return Some(InlineHint { text, taken_by_right: true });
        }
        let spec = COMMANDS.iter().find(|spec| line.trim_end() == spec.name && !spec.arguments.is_empty())?;
        let gap = if line.ends_with(' ') { "" } else { " " };
        Some(InlineHint { text: format!("{gap}{}", spec.arguments), taken_by_right: false })
    }
}

impl Highlighter for Assistant {
    /// The program breaks the rows, not the terminal. A terminal joins rows that it broke once it is wider. The editor
    /// would still expect the earlier number of rows, and clear messages above.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let shown = visible(line);
        let mut state = self.shared.state();
        let drawing = &mut state.drawing;
        let (broken, end) = break_rows(&shown, width(PROMPT.trim_start()), drawing.columns);
        drawing.end_of_input = end;
        broken.into()
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        if !default {
            return prompt.into();
        }
        let mut state = self.shared.state();
        let columns = state.drawing.columns;
        // The editor has moved to the first row of the last drawing: all below is ours.
        let begin = if state.drawing.last_columns == columns { "" } else { CLEAR_BELOW };
        state.drawing.last_columns = columns;
        let row = match state.prompts.front() {
            Some(prompt) => self.shared.paint.strong(&shorten(&prompt.text, columns.saturating_sub(1))),
            None => state.status_line.row(status_columns(columns), self.shared.paint),
        };
        format!("{begin}{row}{}", self.shared.paint.strong(PROMPT)).into()
    }

    /// The hint is broken into rows for the same reason as the line.
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        let drawing = self.shared.state().drawing;
        let (broken, _) = break_rows(hint, drawing.end_of_input, drawing.columns);
        self.shared.paint.faint(&broken).into()
    }
}

/// Returns the input without the control characters that pasted text may contain; they take no column here.
fn visible(line: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if line.contains(steers) { line.replace(steers, "").into() } else { Cow::Borrowed(line) }
}
