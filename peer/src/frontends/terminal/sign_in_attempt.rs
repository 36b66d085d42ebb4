//! One attempt to sign in, repeated while the tracker only asks for a delay.

use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::frontends::terminal::retry_wait::with_wait;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::start_prompts::{SignInError, print, prompt_hidden, prompt_yes};
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
