//! The tracker program.
//! It reads its settings from flags, the environment and a file, writes one line to stdout when it is ready, and everything else to stderr.

#[cfg(unix)]
mod admin_task;
mod args;
mod backup_task;
#[cfg(unix)]
mod control;
#[cfg(unix)]
mod operator_task;
mod password_input;
mod reload;
#[cfg(unix)]
mod systemd;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use commons::names::Username;
use commons::process_memory;
use commons::program_documents;
use commons::settings::effective::Effective;
use commons::settings::load::LoadError;
use commons::settings::task::{ConfigTask, check as check_settings};
use tokio_util::sync::CancellationToken;
use tracker::backup::{BackupSource, restore};
use tracker::config::{Config, LogConfig};
use tracker::folder_check;
use tracker::logs::start::Logs;
use tracker::monitor::Monitor;
use tracker::operator::Operator;
use tracker::password_reset::PasswordReset;
use tracker::server::{TrackerServer, fingerprint};

use crate::args::{Args, Loaded, Task};
use crate::backup_task::backup;
use crate::reload::Reloader;

#[tokio::main]
async fn main() -> ExitCode {
    process_memory::protect();
    let arguments: Vec<_> = std::env::args_os().collect();
    let done = match args::load(&arguments) {
        Ok(loaded) => perform(loaded, arguments).await,
        Err(LoadError::Flags(error)) => error.exit(),
        Err(LoadError::File(errors)) => {
            Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\ntracker: ").into())
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

async fn perform(loaded: Loaded, arguments: Vec<OsString>) -> Result<(), Box<dyn std::error::Error>> {
    let Loaded { args: Args { task, settings_file, config }, effective } = loaded;
    let Some(task) = task else { return run(config, effective, arguments).await };
    // The log files belong to the running tracker.
    let _logs = Logs::start(&LogConfig { dir: None, ..config.logs.clone() })?;
    match task {
        Task::Fingerprint => print_fingerprint(&config),
        Task::Check { folder, accept_edits } => {
            check(folder.as_deref().unwrap_or(&config.data), accept_edits).await
        }
        Task::Backup { file } => print_lines(&backup(&config.data, &file, stop_signal()?).await?),
        Task::Restore { file } => print_lines(&restore::restore(&file, &config.data)?),
        Task::ResetPassword { username, password_file } => {
            reset(&config, username, password_file.as_deref()).await
        }
        Task::Config(ConfigTask::Check { file }) => {
            match check_settings(&Args::command(), file.as_deref().or(settings_file.as_deref())) {
                Ok(line) => Ok(writeln!(io::stdout(), "{line}")?),
                Err(lines) => Err(lines.join("\ntracker: ").into()),
            }
        }
        Task::Config(ConfigTask::Show) => {
            Ok(effective.iter().try_for_each(|setting| writeln!(io::stdout(), "{setting}"))?)
        }
        Task::Reload => reload(&config.data).await,
        Task::Documents { folder } => Ok(program_documents::write(Args::command(), &folder)?),
        #[cfg(unix)]
        Task::Users => operator_task::users(&config.data).await,
        #[cfg(unix)]
        Task::Sessions => operator_task::sessions(&config.data).await,
        #[cfg(unix)]
        Task::Admin(task) => operator_task::administer(&config.data, task).await,
    }
}

async fn run(
    config: Config,
    effective: Vec<Effective>,
    arguments: Vec<OsString>,
) -> Result<(), Box<dyn std::error::Error>> {
    let logs = Logs::start(&config.logs).map_err(|error| format!("the log cannot be opened: {error}"))?;
    #[cfg(unix)]
    allow_as_many_files_as_may_be();
    let stop = stop_signal()?;
    #[cfg(unix)]
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    let data = config.data.clone();
    let server = bind(config).await?;
    let reloader =
        Arc::new(Reloader::new(arguments, effective, server.settings(), logs.control(), server.operator()));
    #[cfg(unix)]
    let mut tasks = listen_to_operator(hangup, &data, &reloader, server.operator(), server.backups());
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
    tracing::info!(%address, fingerprint = %server.fingerprint(), data = %data.display(), "the tracker listens");
    #[cfg(unix)]
    {
        systemd::ready(&format!("listening on {address}"));
        tasks.spawn(systemd::give_signs_of_life());
    }
    let monitor = tokio::spawn(Monitor::new(&server, logs.console()).run());
    let ran = server.run(stop).await;
    monitor.abort();
    if let Err(error) = &ran {
        tracing::error!(%error, "the tracker stops");
    }
    Ok(ran?)
}

/// Binds the address, or takes the socket that the service manager has bound.
async fn bind(config: Config) -> Result<TrackerServer, Box<dyn std::error::Error>> {
    #[cfg(unix)]
    if let Some(bound) = systemd::listener()? {
        return Ok(TrackerServer::on(bound, config).await?);
    }
    Ok(TrackerServer::bind(config).await?)
}

/// Starts the tasks that reload the settings at SIGHUP and at `tracker reload`. They end when this is dropped.
#[cfg(unix)]
fn listen_to_operator(
    mut hangup: tokio::signal::unix::Signal,
    data: &Path,
    reloader: &Arc<Reloader>,
    operator: Operator,
    backups: BackupSource,
) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let by_signal = reloader.clone();
    tasks.spawn(async move {
        while hangup.recv().await.is_some() {
            // The errors are in the log.
            let _ = by_signal.clone().reload_apart().await;
        }
    });
    match control::ControlSocket::bind(data) {
        Ok(socket) => drop(tasks.spawn(socket.serve(reloader.clone(), operator, backups))),
        Err(error) => {
            tracing::warn!(%error, "there is no control socket: use SIGHUP instead of `tracker reload`")
        }
    }
    tasks
}

#[cfg(unix)]
async fn reload(data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    print_lines(&control::reload(data).await?)
}

#[cfg(not(unix))]
async fn reload(_: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Err("this system has no control socket: restart the tracker".into())
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
    if folder.is_file() && !accept_edits {
        return print_lines(&restore::check(folder)?);
    }
    let report =
        if accept_edits { folder_check::accept_edits(folder).await? } else { folder_check::check(folder)? };
    print_lines(&report)
}

fn print_lines(lines: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    Ok(lines.iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))?)
}

async fn reset(
    config: &Config,
    username: Username,
    password_file: Option<&Path>,
) -> Result<(), Box<dyn std::error::Error>> {
    let reset = PasswordReset::begin(&config.data, username.clone())?;
    reset.finish(password_input::read(password_file)?, config.password_cost).await?;
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
        #[cfg(unix)]
        systemd::stopping();
        stopping.cancel();
    });
    Ok(stop)
}
