//! One attempt to sign in, repeated while the tracker only asks for a delay.

use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::frontends::terminal::prompts::{SignInError, ask_yes};
use crate::frontends::terminal::retry_wait::with_wait;
use crate::frontends::terminal::sanitize::sanitize;
use crate::service::PeerService;

/// Tries to sign in. While the tracker only asks for a delay, a person may try again. A tracker that cannot be reached
/// is an error of its own.
pub(crate) async fn try_in(
    service: &PeerService,
    who: &SignIn,
    interactive: bool,
) -> Result<Result<(), CommandError>, SignInError> {
    loop {
        let tried = service.sign_in(who.clone()).await;
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
        let put_off = matches!(code, ErrorCode::TooManyAttempts | ErrorCode::RateLimited | ErrorCode::Busy);
        if !(put_off && interactive) {
            return Ok(tried);
        }
        let text = with_wait(sanitize(msg), *retry_after);
        if !ask_yes(format!("{text}. Try again? [Y/n] ")).await? {
            return Err(SignInError::Left);
        }
    }
}
