//! The peer program.
//!
//! It reads the flags, runs a tracker if asked to, and returns an exit status.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, panic};

use clap::CommandFactory as _;
use commons::keys::PublicKey;
use commons::process_memory;
use commons::program_documents;
use commons::settings::effective::Effective;
use commons::settings::load::LoadError;
use commons::settings::task::{ConfigTask, check as check_settings};
use peer::config::{Config, Loaded, Task};
use peer::frontends::terminal::fatal_errors::in_one_line;
use peer::frontends::terminal::hosting::hosting;
use peer::frontends::terminal::subcommands::carry_identity;
use peer::frontends::terminal::tty;
use peer::log_file;
use peer::program::{self, Failure, known};
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

fn main() -> ExitCode {
    process_memory::protect();
    let arguments: Vec<_> = env::args_os().collect();
    let Loaded { config, effective } = match Config::load(&arguments) {
        Ok(loaded) => loaded,
        Err(LoadError::Flags(error)) => error.exit(),
        Err(LoadError::File(errors)) => {
            for error in errors {
                let _ = writeln!(stderr(), "peer: {error}");
            }
            return ExitCode::from(WRONG_USAGE);
        }
    };
    tty::save();
    end_loudly_on_panic();
    let outcome = Runtime::new().map_err(Failure::new).and_then(|runtime| {
        // As a task, a frontend and the driver exchange commands on one thread. This thread only waits for it.
        let task = log_to_file().map(|()| runtime.spawn(run(config, effective)));
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

/// Carries out a task that needs no account. Returns `None` if there is no such task.
fn without_account(config: &Config, effective: &[Effective]) -> Option<Result<(), Failure>> {
    let print = |line: &dyn Display| writeln!(stdout(), "{line}").map_err(Failure::new);
    match config.task.as_ref()? {
        Task::Config(ConfigTask::Show) => Some(effective.iter().try_for_each(|setting| print(setting))),
        Task::Config(ConfigTask::Check { file }) => {
            let file = file.clone().or_else(|| config.settings_file());
            let checked = check_settings(&Config::command(), file.as_deref());
            Some(checked.map_err(|errors| Failure::Other(errors.join("\n"))).and_then(|line| print(&line)))
        }
        Task::Documents { folder } => {
            Some(program_documents::write(Config::command(), folder).map_err(Failure::new))
        }
        Task::Password { .. } | Task::Identity(_) => None,
    }
}

async fn run(config: Config, effective: Vec<Effective>) -> Result<(), Failure> {
    if let Some(done) = without_account(&config, &effective) {
        return done;
    }
    let Some(output) = config.output() else {
        return Err(Failure::Usage("--input json requires --output json".to_owned()));
    };
    let stop = stop_signal().map_err(Failure::new)?;
    tty::restore_after_stops().map_err(Failure::new)?;
    if let Some(Task::Identity(task)) = &config.task {
        return Ok(carry_identity(task, &config, &known(&config)).await?);
    }
    let mut tracker = config.tracker().map_err(Failure::new)?;
    let mut hosted = None;
    if config.host {
        if tracker.key.is_some() {
            let reason =
                "a tracker that is started here has its own key: leave # and the key away with --host";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let inside = Hosted::start(&tracker.address, config.data().join("tracker")).await?;
        tracker = inside.address.into();
        let rows = hosting(inside.address, local_address(), inside.key, tty::columns());
        let _ = writeln!(stderr(), "{}", rows.join("\n"));
        hosted = Some(inside);
    }
    let outcome = program::run(&config, output, tracker, &stop).await;
    // The peer ends first, so that its tracker sees an orderly end.
    let ended = match hosted {
        Some(hosted) => hosted.end().await,
        None => Ok(()),
    };
    outcome.and(ended)
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
        // The first guest must not become an admin of it.
        let config = tracker::config::Config {
            listen: listen.to_owned(),
            data,
            first_user_is_admin: false,
            ..Default::default()
        };
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
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            loop {
                signals.recv().await;
                if !(kind == SignalKind::interrupt() && tty::interrupts_are_caught()) {
                    return stop.cancel();
                }
            }
        });
    }
    Ok(stop)
}
