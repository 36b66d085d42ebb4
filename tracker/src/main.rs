//! The tracker program.
//! It reads its settings from flags, writes one line to stdout when it is ready, and everything else to stderr.

mod password_input;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commons::log_target::is_own;
use commons::names::Username;
use commons::process_memory;
use commons::user::PasswordDigest;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};
use tracker::config::Config;
use tracker::folder_check;
use tracker::password_reset::PasswordReset;
use tracker::server::{TrackerServer, fingerprint};

/// The tracker of the chat: it knows users, rooms and presence, and never sees a message.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    config: Config,
}

/// The tasks other than running the tracker.
#[derive(Subcommand)]
enum Task {
    /// Print the public key by which peers recognise this tracker
    Fingerprint,
    /// Check the data folder; exits with status 1 if a tracker could not start on it
    Check {
        /// The data folder [default: that of --data]
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Accept the files with the edits made by hand; the tracker must be stopped
        #[arg(long)]
        accept_edits: bool,
    },
    /// Reset a user's password and remove the user's keys; the tracker must be stopped
    ResetPassword {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
        /// Read the new password from this file instead of asking for it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    process_memory::protect();
    let Args { task, config } = Args::parse();
    log_to_stderr();
    let done = match task {
        None => run(config).await,
        Some(Task::Fingerprint) => print_fingerprint(&config),
        Some(Task::Check { folder, accept_edits }) => {
            check(folder.as_deref().unwrap_or(&config.data), accept_edits).await
        }
        Some(Task::ResetPassword { username, password_file }) => {
            reset(&config, username, password_file.as_deref()).await
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the error cannot be reported at all.
            let _ = writeln!(io::stderr(), "tracker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs the events that `RUST_LOG` selects. It leaves out the events of libraries, because they may contain secrets
/// that they were given.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let own = filter_fn(|metadata| is_own(metadata.target()));
    let colours = io::stderr().is_terminal();
    let layer = fmt::layer().with_ansi(colours).with_writer(io::stderr);
    registry().with(layer.with_filter(filter).with_filter(own)).init();
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(unix)]
    allow_as_many_files_as_may_be();
    let stop = stop_signal()?;
    let data = config.data.clone();
    let server = TrackerServer::bind(config).await?;
    let address = server.local_addr();
    let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
    let data = data.canonicalize().unwrap_or(data);
    let _ =
        writeln!(io::stderr(), "{now}  tracker on {address}, data in {}. Ctrl-C stops it.", data.display());
    let _ = writeln!(io::stderr(), "its fingerprint: {}", server.fingerprint());
    if let Some(status) = server.status_addr() {
        let _ = writeln!(io::stderr(), "status page on http://{status}/");
    }
    let _ = writeln!(io::stdout(), "tracker listening on {address}").and_then(|()| io::stdout().flush());
    Ok(server.run(stop).await?)
}

/// Raises the soft limit on file descriptors to the hard limit. Systems usually start with 1,024, and each session
/// needs one.
#[cfg(unix)]
fn allow_as_many_files_as_may_be() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If the system refuses, the old limit stays. A connection without a descriptor waits to be accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn print_fingerprint(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let key = fingerprint(&config.data)?;
    Ok(writeln!(io::stdout(), "{key}")?)
}

async fn check(folder: &Path, accept_edits: bool) -> Result<(), Box<dyn std::error::Error>> {
    let report =
        if accept_edits { folder_check::accept_edits(folder).await? } else { folder_check::check(folder)? };
    Ok(report.iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))?)
}

async fn reset(
    config: &Config,
    username: Username,
    password_file: Option<&Path>,
) -> Result<(), Box<dyn std::error::Error>> {
    let reset = PasswordReset::begin(&config.data, username.clone())?;
    let digest = PasswordDigest::of_typed(&password_input::read(password_file)?);
    reset.finish(digest, config.password_cost).await?;
    let text = "has a new password and no keys. Each device binds its key again when the user signs in with it, and contacts \
                are warned of any other key";
    Ok(writeln!(io::stdout(), "{username} {text}")?)
}

/// Returns a token that is cancelled at Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())?
    };
    tokio::spawn(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        stopping.cancel();
    });
    Ok(stop)
}
