//! The terminal as a device: how wide it is, its echo, and its state at the start, which is given back at the end.

use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The state at the start. One process has one terminal.
static AT_START: OnceLock<Termios> = OnceLock::new();

/// Whether Ctrl-C, which comes as a signal, is a key of the conversation. One process has one terminal.
static CATCHES_INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// Tells the terminal that pasted text need not be marked any more.
const PASTE_UNMARKED: &str = "\x1b[?2004l";

/// Notes the terminal's state, where there is one.
pub fn save() {
    if let Ok(termios) = tcgetattr(stdin()) {
        // A second call would note a changed state; the first one stands.
        let _ = AT_START.set(termios);
    }
}

/// Gives the terminal back as it was noted: echo on, lines whole. Does nothing without one.
pub fn restore() {
    if let Some(termios) = AT_START.get() {
        // Where the terminal is gone there is nothing to restore.
        let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
        if stdout().is_terminal() {
            let _ = stdout().write_all(PASTE_UNMARKED.as_bytes()).and_then(|()| stdout().flush());
        }
    }
}

/// Columns of the screen, where there is one.
#[must_use]
pub fn columns() -> Option<usize> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Takes Ctrl-C as a key from now on, or lets it end the program again.
pub(crate) fn catch_interrupts(on: bool) {
    CATCHES_INTERRUPTS.store(on, Ordering::Relaxed);
}

/// Whether the conversation takes Ctrl-C, so that it does not end the program.
#[must_use]
pub fn interrupts_are_caught() -> bool {
    CATCHES_INTERRUPTS.load(Ordering::Relaxed)
}

/// Whether somebody sits there who can be asked.
#[must_use]
pub fn is_interactive() -> bool {
    stdin().is_terminal() && (stderr().is_terminal() || stdout().is_terminal())
}

/// Shows what is typed from now on, or hides it. Does nothing where nobody types.
pub(crate) fn set_echo(shown: bool) -> io::Result<()> {
    let Ok(mut modes) = tcgetattr(stdin()) else { return Ok(()) };
    modes.local_modes.set(LocalModes::ECHO, shown);
    // The end of a hidden line still begins a new row.
    modes.local_modes.set(LocalModes::ECHONL, !shown);
    Ok(tcsetattr(stdin(), OptionalActions::Now, &modes)?)
}

/// Asks for a line; `None` at the end of input. The echo is on for this line alone: what is typed after it, before the
/// next question, may already be a password.
pub(crate) fn ask(question: &str) -> io::Result<Option<String>> {
    set_echo(true)?;
    let answer = read_answer(question);
    set_echo(false)?;
    answer
}

fn read_answer(question: &str) -> io::Result<Option<String>> {
    say(question)?;
    let mut line = String::new();
    if stdin().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Asks for a line that is not shown while it is typed. The echo is off before the question is there, so that not even
/// the fastest typist sees a letter of it, and it stays off behind the answer: another secret may be asked for next.
pub(crate) fn ask_hidden(question: &str) -> io::Result<Option<String>> {
    set_echo(false)?;
    read_answer(question)
}

/// Says something beside the conversation: on the standard error, so that output for programs stays clean.
pub(crate) fn say(text: &str) -> io::Result<()> {
    fn write(mut out: impl Write, text: &str) -> io::Result<()> {
        out.write_all(text.as_bytes())?;
        out.flush()
    }
    if stderr().is_terminal() { write(stderr(), text) } else { write(stdout(), text) }
}
