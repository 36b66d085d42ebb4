//! The sign-in at the program's start.
//!
//! A terminal asks for missing data; otherwise flags and files provide it.

use std::path::Path;

use commons::counted::counted;
use commons::limits::PASSWORD_MIN_CHARS;
use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::frontends::terminal::account_recovery::come_back;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::sign_in_attempt::try_in;
use crate::frontends::terminal::sign_in_options::{PasswordSource, SignInOptions};
use crate::frontends::terminal::start_prompts::{SignInError, confirmed, print, prompt_yes};
use crate::frontends::terminal::user_choice::{choose_user, prompt_name};
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;

/// Signs in, and asks a person for missing data. A user who is new on this device is asked for the password once. The
/// sign-in tries it, and offers a new account only if the tracker does not accept it.
pub async fn sign_in(
    service: &std::sync::Arc<PeerService>,
    known: SignInOptions,
) -> Result<Username, SignInError> {
    let first = choose_user(&known, &service.accounts()).await?;
    // Nobody types a password for nothing.
    service.check_free(&first.username)?;
    known.has_password_source()?;
    let (mut username, mut register) = (first.username, known.register);
    let prompts = known.interactive && matches!(known.password, PasswordSource::Prompt);
    if prompts && !service.knows(&username) {
        let rule = format!("of at least {PASSWORD_MIN_CHARS} characters.\n");
        print(match register {
            true => format!("Choose a password {rule}"),
            false => format!(
                "{username} is new on this computer: type the password of the account, or choose\none {rule}"
            ),
        })
        .await?;
    }
    // A password that was typed already, to use in the next attempt.
    let mut typed = None;
    let mut tries = 0;
    loop {
        let is_new = !service.knows(&username);
        let password = match typed.take() {
            Some(password) => password,
            None => known.password(&first.question, register && is_new).await?,
        };
        let sign_in = SignIn {
            username: username.clone(),
            password,
            register,
            changed_to: None,
            code: known.code()?,
            consent: known.consent,
        };
        let error = match try_in(service, &sign_in, known.interactive).await? {
            Ok(()) => return Ok(username),
            Err(error) if !known.interactive => return Err(SignInError::Refused(error)),
            Err(error) => error,
        };
        tries += 1;
        let (can_retype, left) =
            (matches!(known.password, PasswordSource::Prompt), SIGN_IN_TRIES.saturating_sub(tries));
        match &error {
            CommandError::AccountUnknown(_) | CommandError::PasswordChanged(_) => {
                let is_there = matches!(error, CommandError::PasswordChanged(_));
                return come_back(service, sign_in, is_there).await.map(|()| username);
            }
            CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } if is_new => {
                let why = match make_account(service, &known, sign_in).await? {
                    Offered::Made => return Ok(username),
                    Offered::Declined => "Once more",
                    Offered::Taken => "Wrong password, for that name has an account",
                    Offered::Unfit(error) => {
                        username = other_name(&error).await?;
                        continue;
                    }
                };
                if !can_retype || left == 0 {
                    return Err(SignInError::Refused(error));
                }
                print(tries_left(why, left)).await?;
            }
            _ if left == 0 => return Err(SignInError::Refused(error)),
            CommandError::Refused { code: ErrorCode::UsernameTaken, .. } => {
                if prompt_yes(format!("{username} has an account already. Log in to it? [Y/n] ")).await? {
                    typed = Some(sign_in.password);
                } else {
                    username = prompt_name().await?;
                }
                register = false;
            }
            CommandError::Refused { code: ErrorCode::InvalidName, .. } => {
                username = other_name(&error).await?;
                typed = Some(sign_in.password);
            }
            CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } if can_retype => {
                print(tries_left("Wrong password", left)).await?;
                register = false;
            }
            CommandError::WrongLocalPassword { folder, .. } | CommandError::KeyExists { folder, .. }
                if can_retype =>
            {
                print(shut(folder, left)).await?;
            }
            _ => return Err(SignInError::Refused(error)),
        }
    }
}

/// The outcome of the offer to create an account.
enum Offered {
    /// The user is signed in to a new account.
    Made,
    /// The user did not want a new account.
    Declined,
    /// The name belongs to an existing account.
    Taken,
    /// The tracker does not accept the name for a new account.
    Unfit(CommandError),
}

/// Offers to create an account, after the tracker refused the name with this password.
async fn make_account(
    service: &PeerService,
    known: &SignInOptions,
    sign_in: SignIn,
) -> Result<Offered, SignInError> {
    let question = format!(
        "This tracker has no account {} with this password.\nMake one? [Y/n] (n: it was mistyped) ",
        sign_in.username
    );
    if !prompt_yes(question).await? {
        return Ok(Offered::Declined);
    }
    let password = match known.password {
        PasswordSource::Prompt => confirmed(sign_in.password).await?,
        PasswordSource::File(_) | PasswordSource::Value(_) => sign_in.password,
    };
    match try_in(service, &SignIn { password, register: true, ..sign_in }, true).await? {
        Ok(()) => Ok(Offered::Made),
        Err(CommandError::Refused { code: ErrorCode::UsernameTaken, .. }) => Ok(Offered::Taken),
        Err(error @ CommandError::Refused { code: ErrorCode::InvalidName, .. }) => Ok(Offered::Unfit(error)),
        Err(error) => Err(SignInError::Refused(error)),
    }
}

/// Says why the tracker refused the name of a new account, and asks for another one.
async fn other_name(error: &CommandError) -> Result<Username, SignInError> {
    print(format!("{}.\n", sanitize(&error.words()))).await?;
    prompt_name().await
}

fn tries_left(why: &str, left: usize) -> String {
    format!("{why}: {}, Ctrl-C ends.\n", counted(left, "try left", "tries left"))
}

/// Says that a password does not open the key on this device.
fn shut(folder: &Path, left: usize) -> String {
    format!(
        "{}If it was changed elsewhere, type the one last used here. If it is lost, move {} away and begin anew.\n",
        tries_left("Wrong password for your key on this computer", left),
        folder.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_password_brings_two_rows() {
        let rows = shut(Path::new("/home/ana/.local/share/p2p-chat/127.0.0.1:6060/ana"), 2);
        assert_eq!(rows.lines().count(), 2, "{rows}");
        assert!(rows.starts_with("Wrong password for your key on this computer: 2 tries left"), "{rows}");
    }
}
