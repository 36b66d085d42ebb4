//! The recovery of an account that this device knows and the tracker does not accept.
//!
//! Either the tracker lost the account, or its password was changed elsewhere. The tracker does not say which, so that
//! nobody can find out which accounts exist.

use commons::counted::counted;
use commons::names::Username;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::frontends::terminal::sign_in_attempt::try_in;
use crate::frontends::terminal::start_prompts::{
    SignInError, print, prompt_hidden, prompt_password, prompt_yes,
};
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;

/// Asks for the password of the account, or registers it again with this device's key. `is_there` is true if the
/// tracker is known to have the account. The first answer is not shown, because it may be a password.
pub(crate) async fn come_back(
    service: &PeerService,
    sign_in: SignIn,
    mut is_there: bool,
) -> Result<(), SignInError> {
    print(failed(&sign_in.username, is_there)).await?;
    let mut left = SIGN_IN_TRIES;
    loop {
        let changed_to = if is_there {
            prompt_password("Its new one: ".to_owned(), false).await?
        } else {
            prompt_hidden("Its new password (not shown; empty if the account is gone): ".to_owned()).await?
        };
        if changed_to.is_empty() {
            let question = "Make the account again with this computer's key? [Y/n] ".to_owned();
            if prompt_yes(question).await? {
                match try_in(service, &SignIn { register: true, ..sign_in.clone() }, true).await? {
                    Err(CommandError::PasswordChanged(_)) => {
                        is_there = true;
                        print(failed(&sign_in.username, is_there)).await?;
                    }
                    done => return Ok(done?),
                }
            }
            continue;
        }
        left -= 1;
        let changed = SignIn { register: false, changed_to: Some(changed_to), ..sign_in.clone() };
        match try_in(service, &changed, true).await? {
            Err(error) if left > 0 && error.code() == "INVALID_CREDENTIALS" => {
                let left = counted(left, "try left", "tries left");
                print(format!("That is not its password either: {left}, Ctrl-C ends.\n")).await?;
            }
            done => return Ok(done?),
        }
    }
}

/// Says why the sign-in failed, as rows of a narrow screen.
fn failed(user: &Username, is_there: bool) -> String {
    if is_there {
        return format!("The password of {user} was changed elsewhere.\n");
    }
    format!("This tracker has no account {user}, or its password was changed elsewhere.\n")
}
