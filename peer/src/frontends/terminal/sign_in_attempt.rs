//! One attempt to sign in, repeated while the tracker only asks for a delay.

use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::frontends::terminal::retry_wait::with_wait;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::start_prompts::{
    SignInError, print, prompt_consent, prompt_hidden, prompt_yes,
};
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;

/// Tries to sign in. While the tracker only asks for a delay, a person may try again. A tracker that cannot be reached
/// is an error of its own.
pub(crate) async fn try_in(
    service: &PeerService,
    sign_in: &SignIn,
    interactive: bool,
) -> Result<Result<(), CommandError>, SignInError> {
    let mut sign_in = sign_in.clone();
    let mut codes_left = SIGN_IN_TRIES;
    loop {
        let tried = service.sign_in(sign_in.clone()).await;
        if tried == Err(CommandError::TrackerLost) {
            return Err(SignInError::no_tracker(service.status().await, service.tracker_failed()));
        }
        if interactive && let Err(CommandError::KeyRefused(user)) = &tried {
            if !prompt_consent(key_refused(user)).await? {
                return not_sent("No proof of the password was sent.").await;
            }
            sign_in.consent.use_password = true;
            continue;
        }
        if interactive && let Err(CommandError::DigestRequired(user)) = &tried {
            if !prompt_consent(digest_required(user)).await? {
                return not_sent("The digest was not sent.").await;
            }
            sign_in.consent.send_digest = true;
            continue;
        }
        let Err(
            CommandError::Refused { code, msg, retry_after }
            | CommandError::TurnedAway { code, msg, retry_after, .. },
        ) = &tried
        else {
            return Ok(tried);
        };
        if matches!(code, ErrorCode::CodeRequired | ErrorCode::WrongCode) && interactive && codes_left > 0 {
            codes_left -= 1;
            print(format!("{}.\n", sanitize(msg))).await?;
            let code = prompt_hidden("Registration code (not shown; empty ends this): ".to_owned()).await?;
            if code.is_empty() {
                return Err(SignInError::Left);
            }
            sign_in.code = Some(code);
            continue;
        }
        let put_off = matches!(code, ErrorCode::TooManyAttempts | ErrorCode::RateLimited | ErrorCode::Busy);
        if !(put_off && interactive) {
            return Ok(tried);
        }
        let text = with_wait(sanitize(msg), *retry_after);
        if !prompt_yes(format!("{text}. Try again? [Y/n] ")).await? {
            return Err(SignInError::Left);
        }
    }
}

/// Ends the sign-in of a person who does not consent.
async fn not_sent<T>(what: &str) -> Result<T, SignInError> {
    print(format!("{what}\n")).await?;
    Err(SignInError::Left)
}

/// Says that the tracker refuses the key of this device, as rows of a narrow screen, and asks whether it gets a proof of
/// the password.
fn key_refused(user: &Username) -> String {
    format!(
        "This tracker refuses this computer's key of {user}. The key was revoked, or the\n\
         tracker lost the account, or it is not what it was. It got nothing else.\n\
         Sign in with the password? [y/n] "
    )
}

/// Says what the tracker wants and why, as rows of a narrow screen, and asks whether it gets that.
fn digest_required(user: &Username) -> String {
    format!(
        "An original program or an earlier version made the account {user}.\n\
         To accept the password, this tracker needs its SHA-256 digest once. From a\n\
         digest, whoever runs the tracker can guess a weak password.\n\
         Send the digest once? [y/n] "
    )
}
