//! The course of the program: from the flags to the conversations of its frontends.
//!
//! The terminal or a program signs in first, and the page shows the same chat. Without an account on the command line
//! the page signs in, and the terminal follows.

use std::io::{Write, stderr, stdout};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::{env, io};

use commons::tracker_address::TrackerAddress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api::error::CommandError;
use crate::api::sign_in::Consent;
use crate::api::{Command, Event};
use crate::config::{Config, InputFormat, OutputFormat, Task};
use crate::frontends::json::signed_out::SignedOutEnd;
use crate::frontends::json::{events, signed_out};
use crate::frontends::terminal::fatal_errors::in_one_line;
use crate::frontends::terminal::sign_in::sign_in;
use crate::frontends::terminal::sign_in_options::{PasswordSource, SignInOptions};
use crate::frontends::terminal::start_prompts::SignInError;
use crate::frontends::terminal::subcommands::change_password;
use crate::frontends::terminal::{tracker_prompt, tty};
use crate::frontends::web::browser::Redirect;
use crate::frontends::web::server::WebServer;
use crate::frontends::web::tab_events::Program;
use crate::frontends::{Ended, Format, Frontend};
use crate::identity::seal::SealCost;
use crate::service::service_slot::ServiceSlot;
use crate::service::{Keep, PeerConfig, PeerService};
use crate::usual_tracker::UsualTracker;

/// The reason why the program failed.
#[derive(Debug)]
pub enum Failure {
    /// The flags or the environment are wrong.
    Usage(String),
    /// Commands were refused, and --fail-on-error was given.
    Refused,
    /// Another reason, as a text for people.
    Other(String),
}

impl Failure {
    /// Creates the failure that an error causes.
    pub fn new(error: impl std::fmt::Display) -> Self {
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
    mut tracker: TrackerAddress,
    stop: &CancellationToken,
) -> Result<Option<Arc<PeerService>>, Failure> {
    let may_prompt =
        config.tracker.is_none() && !config.host && config.task.is_none() && tty::is_interactive();
    loop {
        let service = PeerService::start(settings(config, tracker.clone())).await.map_err(Failure::new)?;
        let is_missing = may_prompt
            && service.accounts().is_empty()
            && service.probe().await == Err(CommandError::TrackerLost);
        if !is_missing {
            return Ok(Some(service));
        }
        service.stop().await;
        let typed = tokio::select! {
            typed = tracker_prompt::prompt(&tracker.address, service.tracker_failed()) => typed,
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

/// Returns the settings of the service.
fn settings(config: &Config, tracker: TrackerAddress) -> PeerConfig {
    PeerConfig {
        tracker,
        listen: config.listen,
        data: config.data(),
        plaintext: config.plaintext,
        member_rate: NonZeroU32::new(config.member_rate),
        limit_loopback: config.limit_loopback,
        seal_cost: SealCost::default(),
        keep: Keep::OnDisk,
    }
}

/// Returns the sign-in data that is known before the user is asked.
#[must_use]
pub fn known(config: &Config) -> SignInOptions {
    SignInOptions {
        username: config.username.clone(),
        register: config.register,
        code_file: config.registration_code_file.clone(),
        consent: Consent { use_password: config.use_password, send_digest: config.send_digest },
        password: match (&config.password_file, env::var("PEER_PASSWORD")) {
            (Some(file), _) => PasswordSource::File(file.clone()),
            (None, Ok(password)) => PasswordSource::Value(password),
            (None, Err(_)) => PasswordSource::Prompt,
        },
        // A program that gives commands as JSON is never asked.
        interactive: tty::is_interactive() && config.input == InputFormat::Lines,
    }
}

/// Runs the program until its last frontend ends.
pub async fn run(
    config: &Config,
    output: OutputFormat,
    tracker: TrackerAddress,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let slot =
        Arc::new(ServiceSlot::new(settings(config, tracker.clone())).with_name(config.username.clone()));
    let page = match config.page() {
        Some(listen) if config.task.is_none() => {
            Some(Page::start(config, output, listen, &slot, stop).await?)
        }
        _ => None,
    };
    let outcome = converse(config, output, tracker, &slot, stop).await;
    if outcome.is_ok() && config.is_page_alone() {
        stop.cancelled().await;
    }
    // The tabs end before the service does.
    stop.cancel();
    if let Some(Page { server, .. }) = &page {
        server.ended().await;
    }
    if let Some(service) = slot.current().filter(|service| !service.has_stopped()) {
        // The program ends in any case.
        let _ = service.execute(Command::Quit).await;
        service.stop().await;
    }
    drop(page);
    outcome
}

/// The page of this run, and the file that led the browser to it.
struct Page {
    server: WebServer,
    _redirect: Option<Redirect>,
}

impl Page {
    /// Starts the web server, tells the user its address, and opens it if that was asked for.
    async fn start(
        config: &Config,
        output: OutputFormat,
        listen: SocketAddr,
        slot: &Arc<ServiceSlot>,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let program = Program { hosts_tracker: config.host, ends_at_sign_out: !config.is_page_alone() };
        let server =
            WebServer::start(listen, Arc::clone(slot), program, stop.clone()).await.map_err(|error| {
                Failure::Other(format!(
                    "cannot serve the page on {listen}: {error}. Choose another port with --web"
                ))
            })?;
        let url = server.url();
        let row = match output {
            OutputFormat::Json => json!({"event": "web", "url": url}).to_string(),
            OutputFormat::Text => format!("web page on {url}"),
        };
        writeln!(stdout(), "{row}").map_err(Failure::new)?;
        let redirect = config.web_open.then(|| {
            let redirect = Redirect::write(&config.data(), &url)?;
            redirect.open().map(|()| redirect)
        });
        let redirect = redirect.transpose().unwrap_or_else(|error: io::Error| {
            tracing::warn!(%error, "the browser cannot be opened");
            let _ = writeln!(stderr(), "No browser could be opened. Open the address above in your browser.");
            None
        });
        Ok(Self { server, _redirect: redirect })
    }
}

/// Signs in and runs the conversation of the terminal or of a program.
async fn converse(
    config: &Config,
    output: OutputFormat,
    tracker: TrackerAddress,
    slot: &Arc<ServiceSlot>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let known = known(config);
    if config.task.is_none() && !known.is_complete(!slot.signed_out().accounts.is_empty()) {
        if config.input == InputFormat::Json && !known.has_password() {
            return converse_by_commands(config, slot, stop).await;
        }
        if config.page().is_some() {
            return follow_page(config, output, slot, stop).await;
        }
    }
    let Some(service) = start(config, tracker, stop).await? else { return Ok(()) };
    let outcome = talk(&service, config, output, slot, stop.clone()).await;
    service.stop().await;
    outcome
}

/// Lets a program sign in by a command, and carries out its other commands.
async fn converse_by_commands(
    config: &Config,
    slot: &ServiceSlot,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    match signed_out::start(slot, stop).await.map_err(Failure::new)? {
        SignedOutEnd::SignedIn(frontend) => ended(frontend.run().await, config),
        SignedOutEnd::NoInput => known(config).has_password_source().map_err(Failure::from),
        SignedOutEnd::Ended => Ok(()),
    }
}

/// Waits until the user has signed in on the page. Then the terminal shows the same chat.
async fn follow_page(
    config: &Config,
    output: OutputFormat,
    slot: &ServiceSlot,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    if config.is_page_alone() {
        return Ok(());
    }
    if output == OutputFormat::Text {
        writeln!(stdout(), "Sign in on the page. This terminal follows.").map_err(Failure::new)?;
    }
    let service = tokio::select! {
        service = slot.filled() => service,
        () = stop.cancelled() => return Ok(()),
    };
    let subscription = service.subscribe().await;
    let Some(you) = subscription.snapshot.username.clone() else { return Ok(()) };
    let frontend =
        Frontend::start(service, subscription, you, format(config, output), config.notify, stop.clone());
    ended(frontend.map_err(Failure::new)?.run().await, config)
}

/// Returns the outcome of a conversation.
fn ended(outcome: Result<Ended, String>, config: &Config) -> Result<(), Failure> {
    let ended = outcome.map_err(Failure::Other)?;
    if ended.refused && config.fail_on_error { Err(Failure::Refused) } else { Ok(()) }
}

/// Returns the format of input and output.
fn format(config: &Config, output: OutputFormat) -> Format {
    match output {
        OutputFormat::Text => Format::Text,
        OutputFormat::Json => Format::Json { requests: config.input == InputFormat::Json },
    }
}

/// Signs in with the data of the flags or of a person, and runs the conversation.
async fn talk(
    service: &Arc<PeerService>,
    config: &Config,
    output: OutputFormat,
    slot: &ServiceSlot,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let subscription = service.subscribe().await;
    let known = known(config);
    // The user must not type a name and a password before learning that the tracker is unreachable or has another key.
    if known.interactive || config.task.is_some() {
        match service.probe().await {
            // This device's data can be opened without the tracker.
            Err(CommandError::TrackerLost) if config.task.is_none() && !service.accounts().is_empty() => {}
            Err(CommandError::TrackerLost) => {
                return Err(SignInError::no_tracker(service.status().await, service.tracker_failed()).into());
            }
            Err(error) => return Err(SignInError::Refused(error).into()),
            Ok(()) => {}
        }
    }
    if let Some(Task::Password { new_password_file }) = &config.task {
        let new = new_password_file.clone().map_or(PasswordSource::Prompt, PasswordSource::File);
        return Ok(change_password(service, &config.data(), &known, &new).await?);
    }
    // A script sends its password on the line after `/history`. If the history were unlocked, that line would go to the
    // room.
    let opens_history = matches!(known.password, PasswordSource::Prompt) || config.input == InputFormat::Json;
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
            if let (OutputFormat::Json, Some(event)) = (output, event) {
                let _ = events::event(&event).iter().try_for_each(|line| writeln!(stdout(), "{line}"));
            }
            return Err(Failure::new(error));
        }
    };
    if !slot.fill(service) {
        // Somebody signed in on the page during the prompt.
        service.stop().await;
        return follow_page(config, output, slot, &stop).await;
    }
    if config.is_page_alone() {
        stop.cancelled().await;
        return Ok(());
    }
    let format = format(config, output);
    let frontend = Frontend::start(service.clone(), subscription, you, format, config.notify, stop);
    ended(frontend.map_err(Failure::new)?.run().await, config)
}
