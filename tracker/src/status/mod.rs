//! The status listener: a status page, metrics for Prometheus and health checks, on an address of their own.
//!
//! It answers GET only, shows counts, times and sizes, and changes nothing. It has no password, so its address should be
//! one that only the operator can reach. It is off by default.

pub(crate) mod cached_text;
pub(crate) mod chart;
pub(crate) mod exposition;
pub(crate) mod page;
pub(crate) mod process;
pub(crate) mod reading;
pub(crate) mod samples;
pub(crate) mod units;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::limits::{
    ACCEPT_PAUSE, SAMPLE_INTERVAL, STATUS_CONNECTION_TIME, STATUS_CONNECTIONS_MAX, STATUS_TEXT_AGE,
};
use crate::status::cached_text::CachedText;
use crate::status::reading::Source;
use crate::status::samples::{Sample, Samples};

/// The headers of every answer. The page loads its style sheet and nothing else.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A status listener that is bound to its address.
#[derive(Debug)]
pub(crate) struct StatusListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The data that the handlers of requests share.
#[derive(Debug)]
struct Shared {
    source: Source,
    samples: Mutex<Samples>,
    metrics: CachedText,
    page: CachedText,
}

impl StatusListener {
    /// Binds the address. Connections wait until [`run`](Self::run).
    pub(crate) async fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address to which the listener is bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests and takes samples until the task is aborted.
    pub(crate) async fn run(self, source: Source) {
        let shared = Arc::new(Shared {
            source,
            samples: Mutex::default(),
            metrics: CachedText::default(),
            page: CachedText::default(),
        });
        let router = Router::new()
            .route("/", get(status_page))
            .route("/page.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], page::STYLE) }))
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .layer(middleware::from_fn_with_state(self.address.ip().is_loopback(), guard))
            .with_state(Arc::clone(&shared));
        tokio::join!(take_samples(&shared), accept(&self.listener, router));
    }
}

impl Shared {
    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the first sample at once, so that there is a chart from the beginning.
async fn take_samples(shared: &Shared) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sample = Sample::of(&shared.source.read());
        shared.samples().push(sample);
    }
}

async fn accept(listener: &TcpListener, router: Router) {
    let (mut connections, mut open) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The program may be out of descriptors for a moment.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= STATUS_CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // A client may close its connection at any time.
        open.push_back(
            connections.spawn(timeout(STATUS_CONNECTION_TIME, serve(stream, router.clone())).map(drop)),
        );
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = connection.await;
}

/// Adds the headers of every answer. A listener on loopback refuses foreign hosts: a web site can give its name the
/// address of this computer, and would then read the page in the operator's browser.
async fn guard(State(is_local): State<bool>, request: axum::extract::Request, next: Next) -> Response {
    let is_meant = !is_local || names_this_computer(request.headers());
    let mut response = if is_meant { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() };
    let headers = response.headers_mut();
    HEADERS.into_iter().for_each(|(name, value)| drop(headers.insert(name, HeaderValue::from_static(value))));
    response
}

/// Whether a request names its host as `localhost` or a loopback address.
fn names_this_computer(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

async fn status_page(State(shared): State<Arc<Shared>>) -> Html<String> {
    Html(shared.page.get(STATUS_TEXT_AGE, || {
        let reading = shared.source.read();
        let intervals = shared.samples().intervals(Sample::of(&reading));
        page::html(&reading, &intervals)
    }))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text =
        shared.metrics.get(STATUS_TEXT_AGE, || exposition::text(shared.source.read()).unwrap_or_default());
    if text.is_empty() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}

/// Answers whether the tracker accepts further connections.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.source.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "full: the tracker has its maximum number of connections\n")
            .into_response()
    }
}
