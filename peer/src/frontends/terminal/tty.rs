//! The terminal device: its width, its echo, and its initial state.
//!
//! The initial state is restored at the end. After a stop (Ctrl-Z and `fg`), the state that this program has set is
//! restored: a shell leaves its own, in which a password would be shown.

use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// The state at the start. A process has only one terminal.
static AT_START: OnceLock<Termios> = OnceLock::new();

/// The state that this program has set last. A process has only one terminal.
static IN_FORCE: Mutex<Option<Termios>> = Mutex::new(None);

/// True if the conversation handles Ctrl-C, which arrives as a signal. A process has only one terminal.
static CATCHES_INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// Turns off the marking of pasted text (bracketed paste).
const PASTE_UNMARKED: &str = "\x1b[?2004l";

/// Saves the terminal's state, if there is a terminal.
pub fn save() {
    if let Ok(termios) = tcgetattr(stdin()) {
        // The first call counts: a second one would save a changed state.
        let _ = AT_START.set(termios);
    }
}

/// Sets the state in force again whenever the program goes on after a stop. Fails if signals cannot be received.
pub fn restore_after_stops() -> io::Result<()> {
    let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    tokio::spawn(async move {
        while continued.recv().await.is_some() {
            if let Some(termios) = &*in_force() {
                // If the terminal is gone, there is nothing to restore.
                let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
            }
        }
    });
    Ok(())
}

fn in_force() -> MutexGuard<'static, Option<Termios>> {
    IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the state in which the line editor reads: without line mode. Another state is that of a shell, immediately
/// after a stop.
pub(crate) fn note_raw_mode() {
    if let Some(raw) = tcgetattr(stdin()).ok().filter(|now| !now.local_modes.contains(LocalModes::ICANON)) {
        *in_force() = Some(raw);
    }
}

/// Restores the saved state: echo on, line mode. Does nothing without a terminal.
pub fn restore() {
    *in_force() = None;
    if let Some(termios) = AT_START.get() {
        // If the terminal is gone, there is nothing to restore.
        let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
        if stdout().is_terminal() {
            let _ = stdout().write_all(PASTE_UNMARKED.as_bytes()).and_then(|()| stdout().flush());
        }
    }
}

/// Returns the columns of the screen, if there is one.
#[must_use]
pub fn columns() -> Option<usize> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Handles Ctrl-C in the conversation from now on, or lets it end the program again.
pub(crate) fn catch_interrupts(on: bool) {
    CATCHES_INTERRUPTS.store(on, Ordering::Relaxed);
}

/// Returns true if the conversation handles Ctrl-C, so that it does not end the program.
#[must_use]
pub fn interrupts_are_caught() -> bool {
    CATCHES_INTERRUPTS.load(Ordering::Relaxed)
}

/// Returns true if a person at a terminal can be asked.
#[must_use]
pub fn is_interactive() -> bool {
    stdin().is_terminal() && (stderr().is_terminal() || stdout().is_terminal())
}

/// Turns the echo on or off. Does nothing without a terminal.
pub(crate) fn set_echo(shown: bool) -> io::Result<()> {
    let Ok(mut modes) = tcgetattr(stdin()) else { return Ok(()) };
    modes.local_modes.set(LocalModes::ECHO, shown);
    // The line end after a hidden answer is still echoed.
    modes.local_modes.set(LocalModes::ECHONL, !shown);
    tcsetattr(stdin(), OptionalActions::Now, &modes)?;
    *in_force() = Some(modes);
    Ok(())
}

/// Asks for a line; `None` at the end of input. The echo is on for this line only: later input, before the next
/// question, may already be a password.
pub(crate) fn prompt(question: &str) -> io::Result<Option<String>> {
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

/// Asks for a line that is not shown while it is typed. The echo is off before the question appears, so that no early
/// letter is visible. It stays off after the answer, because another secret may follow.
pub(crate) fn prompt_hidden(question: &str) -> io::Result<Option<String>> {
    set_echo(false)?;
    read_answer(question)
}

/// Prints a text beside the conversation on standard error, so that the output for programs stays clean.
pub(crate) fn say(text: &str) -> io::Result<()> {
    fn write(mut out: impl Write, text: &str) -> io::Result<()> {
        out.write_all(text.as_bytes())?;
        out.flush()
    }
    if stderr().is_terminal() { write(stderr(), text) } else { write(stdout(), text) }
}
