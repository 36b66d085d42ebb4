//! One tab of the browser: a WebSocket that carries the commands and events of the JSON frontend.
//!
//! A page asks for the proof that this is its peer, and then sends the token. A program may send the token at once. Then
//! the tab gets a snapshot, and every event after it. While nobody is signed in, it gives the commands of a sign-in; a
//! sign-in by one tab signs all in, and a sign-out likewise.
//!
//! ```text
//! tab                         peer
//!  | {"nonce":"…"}              |
//!  |              {"proof":"…"} |
//!  | {"token":"…"}              |
//!  |                  program   |
//!  |                 snapshot   |  signed out: username is null
//!  | sign_in                    |
//!  |      logged_in, snapshot   |  then events, and answers to commands
//!  | sign_out                   |
//!  |     signed_out, snapshot   |
//!  |            program_ended   |  if the program ends
//! ```

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::frontends::Frontend;
use crate::frontends::connection::Connection;
use crate::frontends::json::events;
use crate::frontends::json::signed_out::sign_in;
use crate::frontends::output::{Output, OutputClosed, Sink};
use crate::frontends::tab_end::TabEnd;
use crate::frontends::user_input::UserInput;
use crate::frontends::web::tab_events::{self, Program};
use crate::frontends::web::token::Token;
use crate::frontends::web::unauthenticated::Unauthenticated;
use crate::limits::{
    FAREWELL_WAIT, WEB_COMMAND_BURST, WEB_COMMAND_PAUSE, WEB_COMMANDS_AHEAD, WEB_OPENINGS_MAX, WEB_SEND_WAIT,
    WEB_SOCKETS_MAX, WEB_TOKEN_WAIT, WEB_UNSENT_BATCHES,
};
use crate::service::service_slot::ServiceSlot;

/// The reason for closing a tab that has not sent the token in time.
const LATE: &str = "late: the token did not come in time";

/// Length of a nonce: 32 random bytes.
const NONCE_DIGITS: usize = 64;

/// The parts of the program that all tabs share.
pub(crate) struct TabContext {
    slot: Arc<ServiceSlot>,
    token: Arc<Token>,
    program: Program,
    /// Ends the program.
    stop: CancellationToken,
    /// The tabs that have not sent the token yet.
    openings: Unauthenticated,
    /// The places for tabs.
    places: Semaphore,
}

impl TabContext {
    pub(crate) fn new(
        slot: Arc<ServiceSlot>,
        token: Arc<Token>,
        program: Program,
        stop: CancellationToken,
    ) -> Self {
        let openings = Unauthenticated::at_most(WEB_OPENINGS_MAX);
        Self { slot, token, program, stop, openings, places: Semaphore::new(WEB_SOCKETS_MAX) }
    }

    /// Waits until no tab is open, at most [`FAREWELL_WAIT`].
    pub(crate) async fn is_empty(&self) {
        let all = u32::try_from(WEB_SOCKETS_MAX).unwrap_or(u32::MAX);
        let _ = timeout(FAREWELL_WAIT, self.places.acquire_many(all)).await;
    }
}

/// A tab whose WebSocket is open.
pub(crate) struct Tab {
    socket: WebSocket,
    context: Arc<TabContext>,
}

/// The question of a page for the proof that this is its peer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    /// 64 hex digits, new for each connection.
    nonce: String,
}

/// The answer to a [`Challenge`].
#[derive(Serialize)]
struct Proof {
    proof: String,
}

/// The message after which a tab may give commands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    token: String,
}

impl fmt::Debug for TabContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TabContext(..)")
    }
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

    /// Serves the tab until it is closed or the program ends.
    pub(crate) async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let opening = context.openings.serve(timeout(WEB_TOKEN_WAIT, self.is_own()));
        // From then on another program may hold the port, and pass on the nonce of an open page.
        let Some(opened) = context.stop.run_until_cancelled(opening).await else { return };
        match opened {
            Some(Ok(true)) => {}
            // The page tries again, because the computer was only too busy.
            Some(Err(_)) => return close(self.socket, close_code::POLICY, LATE).await,
            Some(Ok(false)) => {
                let reason = "the token is wrong: open the address again";
                return close(self.socket, close_code::POLICY, reason).await;
            }
            None => return close(self.socket, close_code::AGAIN, "too many pages are opening").await,
        }
        let Ok(_place) = context.places.try_acquire() else {
            return close(self.socket, close_code::AGAIN, "too many pages are open: close one").await;
        };
        let (sending, receiving) = self.socket.split();
        let ((pieces, unsent), (commands, input)) =
            (mpsc::channel(WEB_UNSENT_BATCHES), mpsc::channel(WEB_COMMANDS_AHEAD));
        let mut tasks = JoinSet::new();
        tasks.spawn(send(unsent, sending));
        tasks.spawn(receive(receiving, commands));
        if let Ok(output) = Output::start(Pieces(pieces), self.context.stop.clone()) {
            // The tab may be closed at any time.
            let _ = converse(&self.context, Connection::new(input, output)).await;
        }
        // The sender has delivered everything, or cannot.
        let _ = tasks.join_next().await;
    }

    /// Proves this program to the page, if the page asks for that. Returns true if the page then sends the token.
    async fn is_own(&mut self) -> bool {
        let mut first = self.text().await;
        if let Some(nonce) = first.as_deref().and_then(nonce) {
            let proof = Proof { proof: self.context.token.proof(&nonce) };
            for row in events::line(&proof) {
                if self.socket.send(Message::text(row)).await.is_err() {
                    return false;
                }
            }
            first = self.text().await;
        }
        let opening = first.and_then(|text| serde_json::from_str::<Opening>(&text).ok());
        opening.is_some_and(|sent| self.context.token.is(&sent.token))
    }

    /// Returns the next message, if it is a text.
    async fn text(&mut self) -> Option<Utf8Bytes> {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) => Some(text),
            _ => None,
        }
    }
}

/// Returns the nonce of a [`Challenge`].
fn nonce(text: &str) -> Option<String> {
    let Challenge { nonce } = serde_json::from_str(text).ok()?;
    let is_nonce = nonce.len() == NONCE_DIGITS && nonce.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_nonce.then_some(nonce)
}

/// Carries out the commands of a tab, signed in or not, until it is closed.
async fn converse(context: &TabContext, mut tab: Connection) -> Result<(), OutputClosed> {
    let TabContext { slot, stop, .. } = context;
    tab.output.show(&context.program.event()).await?;
    let mut failure = None;
    loop {
        let service = match slot.current() {
            Some(service) => service,
            None => {
                tab.output.show(&events::snapshot(&slot.signed_out())).await?;
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
        let of_sign_in = [service.new_key(), service.take_moved(), service.motd()];
        let role = service.is_admin().then(tab_events::admin).unwrap_or_default();
        let rows = of_sign_in.iter().flatten().flat_map(events::event).chain(role);
        tab.output
            .show(&events::snapshot(&subscription.snapshot).into_iter().chain(rows).collect::<Vec<_>>())
            .await?;
        let end;
        (tab, end) = Frontend::of_tab(service.clone(), subscription, you, tab, stop.clone()).run_tab().await;
        // A user may sign out and close the tab at once.
        if end == Ok(TabEnd::SignedOut) || service.has_stopped() {
            slot.clear(&service).await;
        }
        failure = service.failure();
        match end? {
            TabEnd::Closed => break,
            TabEnd::Quit => {
                stop.cancel();
                break;
            }
            TabEnd::SignedOut => tab.output.show(&events::signed_out(failure.clone())).await?,
        }
    }
    if stop.is_cancelled() {
        tab.output.show(&tab_events::program_ended(failure)).await?;
    }
    tab.output.close().await;
    Ok(())
}

/// Reads the commands of a tab, at most so many in a second that they cannot keep the program busy.
async fn receive(mut socket: SplitStream<WebSocket>, commands: mpsc::Sender<UserInput>) {
    let mut due = Instant::now();
    while let Some(Ok(message)) = socket.next().await {
        let input = match message {
            Message::Text(text) => UserInput::Line(text.as_str().to_owned()),
            Message::Binary(_) => UserInput::NoText,
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
    let _ = commands.send(UserInput::End).await;
}

/// Sends the output of a tab, each row as one message. Ends with the output, or when the tab reads nothing for
/// [`WEB_SEND_WAIT`].
async fn send(mut pieces: mpsc::Receiver<Piece>, mut socket: impl futures_util::Sink<Message> + Unpin) {
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Rows(rows) => {
                for row in rows.lines() {
                    let sent = timeout(WEB_SEND_WAIT, socket.send(Message::text(row))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return;
                    }
                }
            }
            // The output may have ended meanwhile.
            Piece::Mark(reached) => drop(reached.send(())),
        }
    }
    let _ = timeout(WEB_SEND_WAIT, socket.close()).await;
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // The tab may be closed already.
    let _ = timeout(WEB_SEND_WAIT, socket.send(Message::Close(Some(frame)))).await;
}

/// A piece of the output of a tab, for the task that sends it.
enum Piece {
    Rows(String),
    /// Asks for a message once all earlier rows are in the browser's socket.
    Mark(oneshot::Sender<()>),
}

/// The output of a tab.
struct Pieces(mpsc::Sender<Piece>);

impl Pieces {
    fn add(&self, piece: Piece) -> io::Result<()> {
        self.0.blocking_send(piece).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))
    }
}

impl Sink for Pieces {
    fn write(&mut self, rows: &str) -> io::Result<()> {
        self.add(Piece::Rows(rows.to_owned()))
    }

    /// Rows that only wait here would be lost by a crash, so they do not count as shown.
    fn wait_drawn(&mut self) -> io::Result<()> {
        let (mark, reached) = oneshot::channel();
        self.add(Piece::Mark(mark))?;
        reached.blocking_recv().map_err(|_| io::Error::from(ErrorKind::BrokenPipe))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, sink};

    use super::*;

    #[tokio::test]
    async fn rows_count_as_seen_once_the_browser_has_them() {
        let (begun, mut begins) = mpsc::channel(1);
        let gate = Arc::new(Semaphore::new(0));
        let browser = sink::unfold((begun, Arc::clone(&gate)), |(begun, gate), _| async move {
            begun.send(()).await.unwrap();
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>((begun, gate))
        });
        let (pieces, unsent) = mpsc::channel(WEB_UNSENT_BATCHES);
        let output = Output::start(Pieces(pieces), CancellationToken::new()).unwrap();
        tokio::spawn(send(unsent, Box::pin(browser)));
        output.show(&["a row".to_owned()]).await.unwrap();
        begins.recv().await.unwrap();
        assert!(output.is_seen().now_or_never().is_none(), "the browser takes nothing");
        gate.add_permits(1);
        timeout(WEB_SEND_WAIT, output.is_seen()).await.unwrap();
    }
}
