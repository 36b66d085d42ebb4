//! The connection to systemd, or to another service manager that starts the tracker in its way.
//!
//! It may pass a bound socket (`LISTEN_FDS`, sd_listen_fds(3)). It gets a notification when the tracker is ready, when it
//! stops, and as long as it is alive (`NOTIFY_SOCKET`, sd_notify(3)). Without a service manager nothing happens.

use std::io;
use std::time::Duration;

use commons::net::socket::Listener;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::interval;

/// The number of signs of life within the time after which the service manager restarts a silent tracker. So two may be
/// lost.
const SIGNS_OF_LIFE: u32 = 3;

/// Takes the socket that the service manager has bound. Returns `None` if there is none. Fails if it is not a listening
/// TCP socket.
pub(crate) fn listener() -> io::Result<Option<Listener>> {
    let Some(bound) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    Listener::inherited(bound).map(Some)
}

/// Reports that the tracker accepts connections, with a text for the operator.
pub(crate) fn ready(status: &str) {
    report(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the tracker stops in order.
pub(crate) fn stopping() {
    report(&[NotifyState::Stopping]);
}

/// Gives signs of life for ever, if the service manager wants them (`WATCHDOG_USEC`). This is a task like those of the
/// sessions: if they make no progress, it is silent too.
pub(crate) async fn give_signs_of_life() {
    let Some(longest) = sd_notify::watchdog_enabled() else { return };
    let mut turns = interval((longest / SIGNS_OF_LIFE).max(Duration::from_millis(1)));
    loop {
        turns.tick().await;
        report(&[NotifyState::Watchdog]);
    }
}

fn report(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be notified");
    }
}
