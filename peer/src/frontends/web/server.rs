//! The web server on this computer: the files of the page, and the WebSockets of its tabs.
//!
//! It listens on loopback only. Every request must name this server as its host, and a WebSocket must come from a page
//! of the same host (see `access.rs`). The files contain nothing of the user. All the rest goes through a WebSocket, which
//! begins with the token.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::frontends::web::access::Access;
use crate::frontends::web::assets;
use crate::frontends::web::tab::{Tab, TabContext};
use crate::frontends::web::tab_events::Program;
use crate::frontends::web::token::Token;
use crate::frontends::web::unauthenticated::Unauthenticated;
use crate::limits::{
    ACCEPT_PAUSE, WEB_COMMAND_MAX, WEB_CONNECTION_WAIT, WEB_CONNECTIONS_MAX, WEB_REQUEST_WAIT,
};
use crate::service::service_slot::ServiceSlot;

/// The headers of every answer. The page may load and connect to nothing but this server, be shown in no frame, and
/// build no document from text.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A running web server.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    token: Arc<Token>,
    context: Arc<TabContext>,
}

/// The data that the handlers of requests share.
#[derive(Clone)]
struct Shared {
    access: Access,
    context: Arc<TabContext>,
}

impl WebServer {
    /// Starts the server. It ends with `stop`, and cancels it when a user quits from the page.
    pub async fn start(
        listen: SocketAddr,
        slot: Arc<ServiceSlot>,
        program: Program,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let token = Arc::new(Token::random()?);
        let context = Arc::new(TabContext::new(slot, Arc::clone(&token), program, stop.clone()));
        let shared = Shared { access: Access::to(address), context: Arc::clone(&context) };
        let router = Router::new()
            .route("/ws", any(open_tab))
            .fallback(get(file))
            .layer(middleware::from_fn_with_state(shared.clone(), guard))
            .with_state(shared);
        tokio::spawn(accept(listener, router, stop));
        Ok(Self { address, token, context })
    }

    /// Waits until every tab has the reason of the program's end, after `stop` was cancelled.
    pub async fn ended(&self) {
        self.context.is_empty().await;
    }

    /// Returns the address of the page. Its fragment is the token, so it must reach nobody but the user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/#{}", self.address, self.token.text())
    }
}

/// Accepts connections until `stop`.
async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (unauthenticated, connections) = (Unauthenticated::at_most(WEB_CONNECTIONS_MAX), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // The program may be out of descriptors for a moment.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let served = unauthenticated.serve(serve(stream, router.clone()));
        connections.spawn(stop.clone().run_until_cancelled_owned(served));
    }
}

/// Serves the requests of a connection, at most for [`WEB_CONNECTION_WAIT`]. A WebSocket leaves it and goes on by itself.
async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(WEB_REQUEST_WAIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    // A browser may close a connection at any time.
    let _ = timeout(WEB_CONNECTION_WAIT, connection).await;
}

/// Refuses a request that does not name this server, and adds the headers of every answer.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let is_own = text(request.headers(), header::HOST).is_some_and(|host| shared.access.is_own_host(host));
    let mut response = if is_own { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns a file of the page.
async fn file(uri: Uri) -> Response {
    match assets::find(uri.path(), uri.query()) {
        Some((kind, content)) => ([(header::CONTENT_TYPE, kind)], content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Opens the WebSocket of a tab, if it comes from a page of this server.
async fn open_tab(
    State(shared): State<Shared>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let (origin, host) = (text(&headers, header::ORIGIN), text(&headers, header::HOST));
    if !origin.zip(host).is_some_and(|(origin, host)| shared.access.is_own_origin(origin, host)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(WEB_COMMAND_MAX).max_frame_size(WEB_COMMAND_MAX),
        Err(refused) => return refused.into_response(),
    };
    upgrade.on_upgrade(move |socket| Tab::new(socket, shared.context).run())
}

/// Returns the only value of a header, as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    /// Asks for a small file on one connection, again and again. Returns how long that lasts.
    async fn lasts(pause: Duration) -> Duration {
        let (mut browser, stream) = duplex(64 * 1024);
        let (server, start) = (serve(stream, Router::new().fallback(get(file))), Instant::now());
        let ask = async {
            let mut answer = [0; 4096];
            loop {
                let request = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";
                if browser.write_all(request).await.is_err() {
                    break;
                }
                assert!(browser.read(&mut answer).await.is_ok());
                sleep(pause).await;
            }
        };
        tokio::join!(server, ask);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_for_files_lasts_long() {
        let busy = lasts(WEB_REQUEST_WAIT / 2).await;
        assert!((WEB_CONNECTION_WAIT..WEB_CONNECTION_WAIT + WEB_REQUEST_WAIT).contains(&busy), "{busy:?}");
        let silent = lasts(WEB_REQUEST_WAIT * 2).await;
        assert!(silent < WEB_CONNECTION_WAIT, "the control: {silent:?}");
    }
}
