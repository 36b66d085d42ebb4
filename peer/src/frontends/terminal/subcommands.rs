//! The subcommands of the program: they move an identity, or change the password.
//!
//! None starts a conversation.

use std::io::{self, Write, stdout};
use std::path::Path;
use std::sync::Arc;

use commons::names::Username;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::config::{Config, IdentityTask};
use crate::frontends::terminal::sign_in_attempt::try_in;
use crate::frontends::terminal::sign_in_options::{PasswordSource, SignInOptions};
use crate::frontends::terminal::start_prompts::{PASSWORD, SignInError};
use crate::frontends::terminal::user_choice::{UserChoice, choose_user};
use crate::identity::identity_export::{AccountLocation, export, import};
use crate::identity::profile;
use crate::identity::seal::SealCost;
use crate::service::PeerService;

/// Exports an identity from this device, or imports one.
pub async fn carry_identity(
    task: &IdentityTask,
    config: &Config,
    known: &SignInOptions,
) -> Result<(), SignInError> {
    let cost = SealCost::default();
    match task {
        IdentityTask::Export { file } => {
            let data = config.data();
            let tracker = config.tracker().map_err(|error| unreadable(&error))?.address;
            let UserChoice { username, question } =
                choose_user(known, &profile::users(&data, &tracker)).await?;
            if !profile::exists(&data, &tracker, &username) {
                return Err(no_account(&data, &username).into());
            }
            let location = AccountLocation { data, tracker, username };
            export(&location, &known.password(&question, false).await?, cost, file)
                .await
                .map_err(CommandError::from)?;
            print_status(&format!(
                "{} holds the account {} now, under its password. On the other computer: peer identity import FILE",
                file.display(),
                location.username
            ));
        }
        IdentityTask::Import { file } => {
            known.has_password_source()?;
            let data = config.data();
            let tracker = config.tracker.as_ref();
            let location = import(&data, tracker, &known.password(PASSWORD, false).await?, cost, file)
                .await
                .map_err(CommandError::from)?;
            print_status(&format!(
                "{} can sign in on this computer now: {}",
                location.username,
                start(&location, &data, config).map_err(|error| unreadable(&error))?
            ));
        }
    }
    Ok(())
}

/// Returns the error that a user has no account at the chosen tracker, with the trackers at which there is one.
fn no_account(data: &Path, user: &Username) -> CommandError {
    let elsewhere = profile::trackers_of(data, user);
    CommandError::Local(match elsewhere.first() {
        None => format!("there is no account {user} on this computer"),
        Some(first) => {
            let all: Vec<_> = elsewhere.iter().map(String::as_str).collect();
            format!(
                "there is no account {user} of this tracker on this computer, but one of {}. Name its tracker, as in \
                 --tracker {first}",
                all.join(", ")
            )
        }
    })
}

/// Returns the error that the stored tracker address cannot be read.
fn unreadable(error: &io::Error) -> CommandError {
    CommandError::Local(error.to_string())
}

/// Returns the command that starts a peer with the imported identity.
fn start(location: &AccountLocation, data: &Path, config: &Config) -> io::Result<String> {
    let tracker = if location.tracker == config.default_tracker()? {
        String::new()
    } else {
        format!(" --tracker {}", location.tracker)
    };
    let data = if config.data.is_some() { format!(" --data {}", data.display()) } else { String::new() };
    Ok(format!("peer{tracker}{data} --username {}", location.username))
}

/// Changes the password of an account on this device.
pub async fn change_password(
    service: &Arc<PeerService>,
    data: &Path,
    known: &SignInOptions,
    new: &PasswordSource,
) -> Result<(), SignInError> {
    let UserChoice { username, question } = choose_user(known, &service.accounts()).await?;
    if !service.knows(&username) {
        return Err(no_account(data, &username).into());
    }
    known.has_password_source()?;
    let new = SignInOptions { password: new.clone(), ..known.clone() };
    new.has_password_source()?;
    let (old, new) = (known.password(&question, false).await?, new.password("New password: ", true).await?);
    let (password, consent) = (old.clone(), known.consent);
    let sign_in = SignIn { username, password, register: false, changed_to: None, code: None, consent };
    match try_in(service, &sign_in, known.interactive).await? {
        Err(refused @ (CommandError::AccountUnknown(_) | CommandError::KeyRefused(_))) => {
            // If the tracker accepts the new password, it was changed elsewhere. This command says so to this device.
            let changed = SignIn { changed_to: Some(new), ..sign_in };
            match (try_in(service, &changed, known.interactive).await?, refused) {
                (Err(error), refused @ CommandError::KeyRefused(_))
                    if error.code() == "INVALID_CREDENTIALS" =>
                {
                    return Err(refused.into());
                }
                (outcome, _) => outcome?,
            }
            print_status("the password was changed elsewhere; this device uses the new one now");
        }
        signed_in => {
            signed_in?;
            service.execute(Command::Account(AccountCommand::ChangePassword { old, new })).await?;
            print_status("the password is changed");
        }
    }
    service.execute(Command::Quit).await?;
    Ok(())
}

/// If stdout is closed, the exit status still reports the result.
fn print_status(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}
