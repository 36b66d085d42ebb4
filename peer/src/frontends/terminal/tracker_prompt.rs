//! The question for the tracker's address.
//!
//! A person at a terminal is asked if no tracker answers at the default address.

use commons::tracker_address::TrackerAddress;

use crate::api::tracker_loss::TrackerLoss;
use crate::frontends::terminal::fatal_errors::no_tracker;
use crate::frontends::terminal::start_prompts::{SignInError, print, prompt_line};

const QUESTION: &str = "Address of the tracker, HOST:PORT (empty ends): ";

/// Asks for another address than this one, at which no tracker answers. Returns `None` if the user has none.
pub async fn prompt(address: &str, why: Option<TrackerLoss>) -> Result<Option<TrackerAddress>, SignInError> {
    let what = no_tracker(address, why).swap_remove(0);
    print(format!("{what}\nTo run a tracker yourself, end here and start this peer with --host.\n")).await?;
    loop {
        let typed = prompt_line(QUESTION).await?;
        let typed = typed.trim();
        if typed.is_empty() {
            return Ok(None);
        }
        match typed.parse() {
            Ok(address) => return Ok(Some(address)),
            Err(why) => print(format!("{why}\n")).await?,
        }
    }
}
