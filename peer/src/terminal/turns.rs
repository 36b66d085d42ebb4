//! The next turn of the terminal's loop: something typed, an event, Ctrl-C as a signal.

use tokio::signal::unix::Signal;

use crate::api::Event;
use crate::event_bus::Events;
use crate::terminal::input::Input;
use crate::terminal::output::Output;

/// The next thing that happens in the loop.
pub(crate) enum Turn {
    /// Something to understand.
    Input(Input),
    /// Something that was only shown.
    Shown,
    /// The service has ended by itself: the last rows, or why.
    Over(Result<Vec<String>, String>),
}

/// The next event, once all that was shown before can be seen: asking for it says so, and after a crash what was not
/// seen is told again.
pub(crate) async fn next(events: &mut Events, output: &Output) -> Option<Event> {
    output.is_seen().await;
    events.recv().await
}

/// Waits for the next Ctrl-C that comes as a signal.
pub(crate) async fn next_interrupt(interrupts: &mut Option<Signal>) {
    match interrupts {
        Some(interrupts) => drop(interrupts.recv().await),
        None => std::future::pending().await,
    }
}
