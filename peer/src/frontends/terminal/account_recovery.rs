//! The recovery of an account that this device knows and the tracker does not accept.
//!
//! Either the tracker lost the account, or its password was changed elsewhere. The tracker does not say which, so that
//! nobody can find out which accounts exist.

use crate::api::error::CommandError;
use crate::frontends::terminal::counted::counted;
use crate::frontends::terminal::prompts::{SignInError, ask_password, ask_yes, print};
use crate::frontends::terminal::sign_in_attempt::try_in;
use crate::identity::device_key::SignIn;
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;

/// Registers the account again with this device's key, or asks for its new password. `is_there` is true if the tracker
/// is known to have the account.
pub(crate) async fn come_back(service: &PeerService, who: SignIn, is_there: bool) -> Result<(), SignInError> {
    let question = format!(
        "This tracker has no account {0}, or another password of it.\n\
         Make the account again with this computer's key? [Y/n] (n: tell the password) ",
        who.username
    );
    if !is_there && ask_yes(question).await? {
        let made_again = SignIn { register: true, ..who.clone() };
        match try_in(service, &made_again, true).await? {
            Err(CommandError::PasswordChanged(_)) => {}
            done => return Ok(done?),
        }
    }
    print(format!("The password of {} was changed elsewhere.\n", who.username)).await?;
    for left in (0..SIGN_IN_TRIES).rev() {
        let changed_to = Some(ask_password("Its new one: ".to_owned(), false).await?);
        match try_in(service, &SignIn { register: false, changed_to, ..who.clone() }, true).await? {
            Err(error) if left > 0 && error.code() == "INVALID_CREDENTIALS" => {
                let left = counted(left, "try left", "tries left");
                print(format!("That is not its password either: {left}, Ctrl-C ends.\n")).await?;
            }
            done => return Ok(done?),
        }
    }
    Err(SignInError::Left)
}
