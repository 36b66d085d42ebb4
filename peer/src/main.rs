//! The peer program.
//!
//! It reads the flags, runs a conversation at the terminal or in JSON, and returns an exit status.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, panic};

use clap::Parser;
use commons::keys::PublicKey;
use commons::process_memory;
use peer::api::Event;
use peer::api::error::CommandError;
use peer::config::{Config, Errand, Input, Output};
use peer::frontends::json::events;
use peer::frontends::terminal::fatal_errors::in_one_line;
use peer::frontends::terminal::hosting::hosting;
use peer::frontends::terminal::prompts::SignInError;
use peer::frontends::terminal::sign_in::sign_in;
use peer::frontends::terminal::sign_in_options::{Known, PasswordSource};
use peer::frontends::terminal::subcommands::{carry_identity, change_password};
use peer::frontends::terminal::{tracker_address, tty};
use peer::frontends::{Format, Frontend};
use peer::identity::seal::SealCost;
use peer::log_file;
use peer::service::{Keep, PeerConfig, PeerService};
use peer::usual_tracker::UsualTracker;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracker::server::{StartError, TrackerServer};

/// Longest wait for remaining tasks at the end: a thread that waits for typed input ends with the program.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// An address for documentation only (RFC 5737): the route to it shows this computer's outgoing address.
const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The exit status of wrong usage, which the command line parser uses too.
const WRONG_USAGE: u8 = 2;

/// The exit status if a command was refused and --fail-on-error was given.
const REFUSED: u8 = 3;

/// The reason why the program failed.
enum Failure {
    Usage(String),
    Refused,
    Other(String),
}

impl Failure {
    fn new(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Usage(reason) => Self::Usage(reason.to_owned()),
            error => Self::new(error),
        }
    }
}

fn main() -> ExitCode {
    process_memory::protect();
    let config = Config::parse();
    tty::save();
    end_loudly_on_panic();
    let outcome = Runtime::new().map_err(Failure::new).and_then(|runtime| {
        // As a task, a frontend and the driver exchange commands on one thread. This thread only waits for it.
        let task = log_to_file().map(|()| runtime.spawn(run(config)));
        let outcome = task.and_then(|task| runtime.block_on(task).map_err(Failure::new)?);
        runtime.shutdown_timeout(LAST_TASKS);
        outcome
    });
    tty::restore();
    let (status, reason) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => (WRONG_USAGE, reason),
        Err(Failure::Refused) => (REFUSED, "some commands were refused: see the errors above".to_owned()),
        Err(Failure::Other(reason)) => (1, reason),
    };
    let reason = if stderr().is_terminal() { reason } else { in_one_line(&reason) };
    // If stderr is closed, the exit status still reports the failure.
    let _ = writeln!(stderr(), "peer: {reason}");
    ExitCode::from(status)
}

/// Ends the program after a panic in any task, and restores the terminal.
fn end_loudly_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |defect| {
        tty::restore();
        report(defect);
        std::process::exit(1);
    }));
}

/// Sends the log to a file or discards it: the screen belongs to the conversation.
fn log_to_file() -> Result<(), Failure> {
    let Some(path) = env::var_os("PEER_LOG").map(PathBuf::from) else { return Ok(()) };
    log_file::start(&path).map_err(|error| {
        Failure::Other(format!(
            "cannot write the log {}: {error}. Set PEER_LOG to another file",
            path.display()
        ))
    })
}

async fn run(config: Config) -> Result<(), Failure> {
    let Some(output) = config.output() else {
        return Err(Failure::Usage("--input json requires --output json".to_owned()));
    };
    let stop = stop_signal().map_err(Failure::new)?;
    if let Some(Errand::Identity(errand)) = &config.errand {
        return Ok(carry_identity(errand, &config, &known(&config)).await?);
    }
    let mut tracker = config.tracker().map_err(Failure::new)?;
    let mut hosted = None;
    if config.host {
        if tracker.contains('#') {
            let reason =
                "a tracker that is started here has its own key: leave # and the key away with --host";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let inside = Hosted::start(&tracker, config.data().join("tracker")).await?;
        tracker = inside.address.to_string();
        let rows = hosting(inside.address, local_address(), inside.key, tty::columns());
        let _ = writeln!(stderr(), "{}", rows.join("\n"));
        hosted = Some(inside);
    }
    let outcome = match start(&config, tracker, &stop).await {
        Ok(Some(service)) => {
            let outcome = talk(&service, &config, output, stop).await;
            service.stop().await;
            outcome
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    // The peer ends first, so that its tracker sees an orderly end.
    let ended = match hosted {
        Some(hosted) => hosted.end().await,
        None => Ok(()),
    };
    outcome.and(ended)
}

/// Stores the tracker's address for the next start, if the user typed it and signed in there.
fn remember_tracker(address: &str, config: &Config) {
    let is_new = config.tracker.is_none()
        && !config.host
        && config.default_tracker().is_ok_and(|usual| usual != address);
    if is_new && let Err(error) = UsualTracker::of(&config.data()).remember(address) {
        let _ = writeln!(
            stderr(),
            "The tracker's address cannot be kept: {error}. Start with --tracker {address} next time."
        );
    }
}

/// Starts the peer. If no tracker answers at the default address, a person without an account there is asked for another
/// address. Returns `None` if that person leaves.
async fn start(
    config: &Config,
    mut tracker: String,
    stop: &CancellationToken,
) -> Result<Option<Arc<PeerService>>, Failure> {
    let may_ask =
        config.tracker.is_none() && !config.host && config.errand.is_none() && tty::is_interactive();
    loop {
        let peer_config = PeerConfig {
            tracker: tracker.clone(),
            listen: config.listen,
            data: config.data(),
            plaintext: config.plaintext,
            seal_cost: SealCost::default(),
            keep: Keep::OnDisk,
        };
        let service = PeerService::start(peer_config).await.map_err(Failure::new)?;
        let is_missing = may_ask
            && service.accounts().is_empty()
            && service.probe().await == Err(CommandError::TrackerLost);
        if !is_missing {
            return Ok(Some(service));
        }
        service.stop().await;
        let typed = tokio::select! {
            typed = tracker_address::ask(&tracker, service.tracker_failed()) => typed,
            () = stop.cancelled() => return Ok(None),
        };
        tracker = match typed {
            Ok(Some(address)) => address,
            Ok(None) => {
                return Err(SignInError::no_tracker(service.status().await, service.tracker_failed()).into());
            }
            Err(SignInError::Left) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    }
}

/// The sign-in data that is known before the user is asked.
fn known(config: &Config) -> Known {
    Known {
        username: config.username.clone(),
        register: config.register,
        password: match (&config.password_file, env::var("PEER_PASSWORD")) {
            (Some(file), _) => PasswordSource::File(file.clone()),
            (None, Ok(password)) => PasswordSource::Given(password),
            (None, Err(_)) => PasswordSource::Asked,
        },
        // A program that gives commands as JSON is never asked.
        interactive: tty::is_interactive() && config.input == Input::Lines,
    }
}

async fn talk(
    service: &Arc<PeerService>,
    config: &Config,
    output: Output,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let subscription = service.subscribe().await;
    let known = known(config);
    // The user must not type a name and a password before learning that the tracker is unreachable or has another key.
    if known.interactive || config.errand.is_some() {
        match service.probe().await {
            // This device's data can be opened without the tracker.
            Err(CommandError::TrackerLost) if config.errand.is_none() && !service.accounts().is_empty() => {}
            Err(CommandError::TrackerLost) => {
                return Err(SignInError::no_tracker(service.status().await, service.tracker_failed()).into());
            }
            Err(error) => return Err(SignInError::Refused(error).into()),
            Ok(()) => {}
        }
    }
    if let Some(Errand::Password { new_password_file }) = &config.errand {
        let new = new_password_file.clone().map_or(PasswordSource::Asked, PasswordSource::File);
        return Ok(change_password(service, &config.data(), &known, &new).await?);
    }
    // A script sends its password on the line after `/history`. If the history were unlocked, that line would go to the
    // room.
    let opens_history = matches!(known.password, PasswordSource::Asked) || config.input == Input::Json;
    let signed_in = tokio::select! {
        signed_in = sign_in(service, known) => signed_in,
        () = stop.cancelled() => return Ok(()),
    };
    let you = match signed_in {
        Ok(you) => {
            remember_tracker(&service.status().await.tracker_address, config);
            if opens_history {
                service.unlock_history().await;
            }
            you
        }
        Err(SignInError::Left) => return Ok(()),
        Err(error @ SignInError::Usage(_)) => return Err(error.into()),
        Err(error) => {
            let event = match &error {
                SignInError::Refused(refusal) => Some(refusal.event()),
                SignInError::NoTracker(..) => {
                    let message = in_one_line(&error.to_string());
                    Some(Event::error(CommandError::TrackerLost.code(), message))
                }
                _ => None,
            };
            if let (Output::Json, Some(event)) = (output, event) {
                let _ = events::event(&event).iter().try_for_each(|line| writeln!(stdout(), "{line}"));
            }
            return Err(Failure::new(error));
        }
    };
    let format = match output {
        Output::Text => Format::Text,
        Output::Json => Format::Json { requests: config.input == Input::Json },
    };
    let terminal = Frontend::start(service.clone(), subscription, you, format, config.notify, stop)
        .map_err(Failure::new)?;
    let ended = terminal.run().await.map_err(Failure::Other)?;
    if ended.refused && config.fail_on_error { Err(Failure::Refused) } else { Ok(()) }
}

/// A tracker that runs inside this peer.
struct Hosted {
    address: SocketAddr,
    key: PublicKey,
    stop: CancellationToken,
    running: JoinHandle<Result<(), String>>,
}

impl Hosted {
    async fn start(listen: &str, data: PathBuf) -> Result<Self, Failure> {
        let config = tracker::config::Config { listen: listen.to_owned(), data, ..Default::default() };
        let server = TrackerServer::bind(config).await.map_err(|error| match error {
            StartError::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                Failure::Other(format!(
                    "something listens on {address} already: if it is a tracker, leave --host away and join it, \
                     else choose another port with --tracker ADDRESS:PORT"
                ))
            }
            error => Failure::new(error),
        })?;
        let (address, key, stop) = (server.local_addr(), server.fingerprint(), CancellationToken::new());
        let stopping = stop.clone();
        let run = async move { server.run(stopping).await.map_err(|error| error.to_string()) };
        Ok(Self { address, key, stop, running: tokio::spawn(run) })
    }

    async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.running.await.map_err(Failure::new)?.map_err(Failure::Other)
    }
}

/// Returns the address of this computer in its network. No packet is sent.
fn local_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEWHERE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Returns a token that is cancelled when a signal asks the program to end.
fn stop_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut asked, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            loop {
                asked.recv().await;
                if !(kind == SignalKind::interrupt() && tty::interrupts_are_caught()) {
                    return stop.cancel();
                }
            }
        });
    }
    Ok(stop)
}
