//! One tab of the browser: a WebSocket that carries the commands and events of the JSON frontend.
//!
//! The first message is the token. Then the tab gets a snapshot, and every event after it. While nobody is signed in,
//! it gives the commands of a sign-in; a sign-in by one tab signs all in, and a sign-out likewise.
//!
//! ```text
//! tab                         peer
//!  | {"token":"…"}              |
//!  |                 snapshot   |  signed out: username is null
//!  | sign_in                    |
//!  |      logged_in, snapshot   |  then events, and answers to commands
//!  | sign_out                   |
//!  |     signed_out, snapshot   |
//! ```

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::error::CommandError;
use crate::api::snapshot::Snapshot;
use crate::frontends::Frontend;
use crate::frontends::connection::Connection;
use crate::frontends::input::Input;
use crate::frontends::json::events;
use crate::frontends::json::signed_out::sign_in;
use crate::frontends::output::{Output, OutputClosed, Sink};
use crate::frontends::tab_end::TabEnd;
use crate::frontends::web::token::Token;
use crate::limits::{
    WEB_COMMAND_BURST, WEB_COMMAND_PAUSE, WEB_COMMANDS_AHEAD, WEB_SEND_WAIT, WEB_TOKEN_WAIT,
    WEB_UNSENT_BATCHES,
};
use crate::service::PeerService;
use crate::service::service_slot::ServiceSlot;
use crate::untrusted::UntrustedText;

/// The parts of the program that all tabs share.
pub(crate) struct TabContext {
    pub(crate) slot: Arc<ServiceSlot>,
    pub(crate) token: Arc<Token>,
    /// Ends the program.
    pub(crate) stop: CancellationToken,
}

/// A tab whose WebSocket is open.
pub(crate) struct Tab {
    socket: WebSocket,
    context: Arc<TabContext>,
}

/// The first message of a tab.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    token: String,
}

/// The snapshot as an event.
#[derive(Serialize)]
struct SnapshotEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

/// The end of the sign-in, and its reason if the service ended by itself.
#[derive(Serialize)]
struct SignedOut {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<UntrustedText>,
}

impl fmt::Debug for Tab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tab(..)")
    }
}

impl Tab {
    pub(crate) fn new(socket: WebSocket, context: Arc<TabContext>) -> Self {
        Self { socket, context }
    }

    /// Closes the WebSocket of a tab that is one too many.
    pub(crate) async fn refuse(socket: WebSocket) {
        close(socket, close_code::AGAIN, "too many pages are open: close one").await;
    }

    /// Serves the tab until it is closed or the program ends.
    pub(crate) async fn run(mut self) {
        let opening = timeout(WEB_TOKEN_WAIT, self.socket.recv()).await;
        let is_own = matches!(opening, Ok(Some(Ok(Message::Text(text))))
            if serde_json::from_str::<Opening>(&text).is_ok_and(|sent| self.context.token.is(&sent.token)));
        if !is_own {
            return close(self.socket, close_code::POLICY, "the token is wrong: open the address again")
                .await;
        }
        let (sending, receiving) = self.socket.split();
        let ((batches, unsent), (commands, input)) =
            (mpsc::channel(WEB_UNSENT_BATCHES), mpsc::channel(WEB_COMMANDS_AHEAD));
        let mut tasks = JoinSet::new();
        tasks.spawn(send(unsent, sending));
        tasks.spawn(receive(receiving, commands));
        if let Ok(output) = Output::start(Batches(batches), self.context.stop.clone()) {
            // The tab may be closed at any time.
            let _ = converse(&self.context, Connection::new(input, output)).await;
        }
        // The sender has delivered everything, or cannot.
        let _ = tasks.join_next().await;
    }
}

/// Carries out the commands of a tab, signed in or not, until it is closed.
async fn converse(context: &TabContext, mut tab: Connection) -> Result<(), OutputClosed> {
    let TabContext { slot, stop, .. } = context;
    loop {
        let service = match slot.current() {
            Some(service) => service,
            None => {
                tab.output.show(&snapshot(&slot.signed_out())).await?;
                match sign_in(slot, &mut tab, stop).await? {
                    Some(service) => service,
                    None => break,
                }
            }
        };
        let subscription = service.subscribe().await;
        let Some(you) = subscription.snapshot.username.clone() else {
            // The service has ended meanwhile.
            slot.clear(&service).await;
            continue;
        };
        tab.output.show(&snapshot(&subscription.snapshot)).await?;
        let end;
        (tab, end) = Frontend::of_tab(service.clone(), subscription, you, tab, stop.clone()).run_tab().await;
        // A user may sign out and close the tab at once.
        if end == Ok(TabEnd::SignedOut) || service.has_stopped() {
            slot.clear(&service).await;
        }
        match end? {
            TabEnd::Closed => break,
            TabEnd::Quit => {
                stop.cancel();
                break;
            }
            TabEnd::SignedOut => tab.output.show(&signed_out_event(&service)).await?,
        }
    }
    tab.output.close().await;
    Ok(())
}

fn snapshot(snapshot: &Snapshot) -> Vec<String> {
    events::line(&SnapshotEvent { event: "snapshot", snapshot })
}

fn signed_out_event(service: &PeerService) -> Vec<String> {
    let failure = service.failure();
    events::line(&SignedOut {
        event: "signed_out",
        code: failure.as_ref().map(CommandError::code),
        message: failure.map(|failure| failure.words()),
    })
}

/// Reads the commands of a tab, at most so many in a second that they cannot keep the program busy.
async fn receive(mut socket: SplitStream<WebSocket>, commands: mpsc::Sender<Input>) {
    let mut due = Instant::now();
    while let Some(Ok(message)) = socket.next().await {
        let input = match message {
            Message::Text(text) => Input::Line(text.as_str().to_owned()),
            Message::Binary(_) => Input::NoText,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => break,
        };
        // Commands above the rate wait here, so that the browser's own queue fills.
        let burst = WEB_COMMAND_PAUSE * WEB_COMMAND_BURST;
        due = due.max(Instant::now() - burst) + WEB_COMMAND_PAUSE;
        sleep_until(due).await;
        if commands.send(input).await.is_err() {
            return;
        }
    }
    // The conversation of the tab may have ended.
    let _ = commands.send(Input::End).await;
}

/// Sends the output of a tab, each row as one message. Ends with the output, or when the tab reads nothing for
/// [`WEB_SEND_WAIT`].
async fn send(mut batches: mpsc::Receiver<String>, mut socket: SplitSink<WebSocket, Message>) {
    while let Some(batch) = batches.recv().await {
        for row in batch.lines() {
            let sent = timeout(WEB_SEND_WAIT, socket.send(Message::text(row))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }
    let _ = timeout(WEB_SEND_WAIT, socket.close()).await;
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // The tab may be closed already.
    let _ = timeout(WEB_SEND_WAIT, socket.send(Message::Close(Some(frame)))).await;
}

/// The output of a tab: batches of rows for the task that sends them.
struct Batches(mpsc::Sender<String>);

impl Sink for Batches {
    fn write(&mut self, rows: &str) -> io::Result<()> {
        let sent = self.0.blocking_send(rows.to_owned());
        sent.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))
    }
}
