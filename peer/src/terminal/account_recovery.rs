//! The way back in at a terminal for whoever this computer knows and the tracker does not take: the account is lost there,
//! or has another password now. The tracker tells neither from the other, so that nobody learns who has an account.

use crate::api::error::CommandError;
use crate::identity::device_key::SignIn;
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;
use crate::terminal::counted::counted;
use crate::terminal::sign_in::{SignInError, ask_password, ask_yes, tell, try_in};

/// Makes the account again with the key that is here, or learns its new password. `is_there` where the tracker is known
/// to have the account.
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
    tell(format!("The password of {} was changed elsewhere.\n", who.username)).await?;
    for left in (0..SIGN_IN_TRIES).rev() {
        let changed_to = Some(ask_password("Its new one: ".to_owned(), false).await?);
        match try_in(service, &SignIn { register: false, changed_to, ..who.clone() }, true).await? {
            Err(error) if left > 0 && error.code() == "INVALID_CREDENTIALS" => {
                let left = counted(left, "try left", "tries left");
                tell(format!("That is not its password either: {left}, Ctrl-C ends.\n")).await?;
            }
            done => return Ok(done?),
        }
    }
    Err(SignInError::Left)
}
