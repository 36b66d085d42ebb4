//! The turns of a frontend's loop.
//!
//! A turn is a piece of input, a shown event, or the end of the service.

use tokio::signal::unix::Signal;

use crate::api::Event;
use crate::event_bus::Events;
use crate::frontends::output::Output;
use crate::frontends::user_input::UserInput;

/// The next turn of the loop.
pub(crate) enum Turn {
    /// Input that must be handled.
    Input(UserInput),
    /// An event that was shown already.
    Shown,
    /// The service has ended by itself: the last rows, or the reason.
    Over(Result<Vec<String>, String>),
}

/// Returns the next event, once all earlier output is visible. The request for it marks the earlier events as shown;
/// after a crash, the others are published again.
pub(crate) async fn next(events: &mut Events, output: &Output) -> Option<Event> {
    output.is_seen().await;
    events.recv().await
}

/// Waits for the next Ctrl-C that arrives as a signal.
pub(crate) async fn next_interrupt(interrupts: &mut Option<Signal>) {
    match interrupts {
        Some(interrupts) => drop(interrupts.recv().await),
        None => std::future::pending().await,
    }
}
