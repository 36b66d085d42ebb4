//! Errors that end the program, as rows that fit a screen. Pure.
//!
//! They say what happened, then what to do. A key has its own row, so that it can be compared and copied whole. A
//! command that is too long for a row continues on the next one in the syntax of a shell.

use std::time::Duration;

use commons::keys::PublicKey;

use crate::api::error::CommandError;
use crate::api::tracker_loss::TrackerLoss;
use crate::config::DEFAULT_TRACKER;
use crate::frontends::terminal::answer_rows::words;
use crate::frontends::terminal::layout::shorten;
use crate::frontends::terminal::retry_wait::with_wait;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::shell_command::shell_command;
use crate::untrusted::UntrustedText;

/// Columns that every screen has.
const SCREEN: usize = 80;

/// Columns of a text from an unauthenticated source: two rows.
const CLAIM: usize = 140;

/// Renders the error that ends the program.
pub(crate) fn rows(error: &CommandError) -> Vec<String> {
    match error {
        CommandError::TrackerKeyChanged { address, pinned, found, given } => {
            another_key(&sanitize(address), *pinned, *found, *given)
        }
        CommandError::NotATracker { address } => not_a_tracker(&sanitize(address)),
        CommandError::TurnedAway { address, msg, retry_after, .. } => {
            turned_away(&sanitize(address), msg, *retry_after)
        }
        error => vec![words(error)],
    }
}

/// Renders the answer from the tracker's address that there is no place.
fn turned_away(address: &str, msg: &UntrustedText, retry_after: Option<Duration>) -> Vec<String> {
    let claim = with_wait(sanitize(msg), retry_after);
    vec![
        format!("the tracker at {address} does not let you in now"),
        format!("   It says: {}", shorten(&claim, CLAIM)),
        "   These words came unencrypted: they may be somebody else's.".to_owned(),
        "   Behind a router that many share, ask whoever runs the tracker for more:".to_owned(),
        "   --max-per-network and --max-new-per-network.".to_owned(),
    ]
}

/// Says that no tracker answers at this address, and the reason.
pub(crate) fn no_tracker(address: &str, why: Option<TrackerLoss>) -> Vec<String> {
    let address = sanitize(address);
    let why = match why {
        Some(TrackerLoss::Refused) => ": nothing listens there",
        Some(TrackerLoss::TimedOut) => ": no answer came in time",
        Some(TrackerLoss::Reset | TrackerLoss::Closed) => ": the connection was cut",
        _ => "",
    };
    let start = match (shell_command("tracker"), address == DEFAULT_TRACKER) {
        (start, true) => start.trim_end_matches(" --").to_owned(),
        (start, false) => format!("{start} --listen {address}"),
    };
    vec![
        format!("no tracker answers at {address}{why}"),
        format!("   start one:    {start}"),
        "   or be it:     start this peer with --host".to_owned(),
        "   if it moved:  --tracker HOST:PORT tells where; your account comes along".to_owned(),
    ]
}

fn not_a_tracker(address: &str) -> Vec<String> {
    vec![
        format!("what answers at {address} does not speak as a tracker"),
        "   It is the original Python tracker, which only original programs can use,".to_owned(),
        "   or another program, or a tracker without a free place,".to_owned(),
        "   or somebody on the way changes what is sent.".to_owned(),
        "   Ask whoever runs the tracker for its address; --tracker HOST:PORT tells it.".to_owned(),
        "   If the address is right, try again later, or from another network.".to_owned(),
    ]
}

fn another_key(address: &str, pinned: PublicKey, found: PublicKey, given: bool) -> Vec<String> {
    let (first, expected, shown) = if given {
        ("has another key than the one you gave", "the key you gave:", "the key it has:")
    } else {
        ("has another key than before", "the key it had:", "the key it has now:")
    };
    let keys = [
        format!("the tracker at {address} {first}"),
        format!("   {expected}"),
        format!("   {pinned}"),
        format!("   {shown}"),
        format!("   {found}"),
    ];
    let start = joining(&format!("--tracker {address}"), found, Some(SCREEN));
    let then = if given {
        vec![
            "   Nobody was signed in. The key that you gave may be mistyped or out of date,".to_owned(),
            "   or somebody stands between you and the tracker.".to_owned(),
            "   Ask whoever gave it to you what `tracker fingerprint` prints there,".to_owned(),
            "   by another way than the one by which it came.".to_owned(),
            "   Only if it prints the key that it has, start with".to_owned(),
        ]
    } else {
        vec![
            "   Nobody was signed in. The tracker was set up anew,".to_owned(),
            "   or somebody stands between you and it.".to_owned(),
            "   Ask whoever runs it, not here, what `tracker fingerprint` prints there.".to_owned(),
            "   If it prints the key it had, somebody stands between: do not go on.".to_owned(),
            "   If it prints the key it has now, start once with".to_owned(),
        ]
    };
    keys.into_iter().chain(then).chain(start).collect()
}

/// Joins the rows into one line for programs and logs.
#[must_use]
pub fn in_one_line(rows: &str) -> String {
    let rows = rows.replace("#\\\n", "#");
    let (first, rest) = rows.split_once('\n').unwrap_or((&rows, ""));
    let rest: Vec<_> = rest.split_whitespace().collect();
    if rest.is_empty() { first.to_owned() } else { format!("{first}: {}", rest.join(" ")) }
}

/// Returns a command that ends in a tracker's address with its key: on one row if it fits.
#[must_use]
pub fn joining(command: &str, key: PublicKey, columns: Option<usize>) -> Vec<String> {
    let row = format!("{command}#{key}");
    match columns {
        Some(columns) if row.len() >= columns => vec![format!("{command}#\\"), key.to_string()],
        _ => vec![row],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::status::TrackerState;
    use crate::frontends::terminal::tracker_rows;

    const ADDRESS: &str = "chat.example.org:21200";

    fn key(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    #[test]
    fn every_row_fits_and_every_key_stands_alone() {
        for given in [false, true] {
            let (pinned, found) = (key(1), key(2));
            let error = CommandError::TrackerKeyChanged { address: ADDRESS.to_owned(), pinned, found, given };
            let rows = rows(&error);
            assert!(rows.iter().all(|row| row.len() < SCREEN), "{rows:#?}");
            let alone = |key: PublicKey| rows.iter().filter(|row| row.trim() == key.to_string()).count();
            assert_eq!((alone(pinned), alone(found)), (1, 2), "{rows:#?}");
            assert_eq!(rows.iter().any(|row| row.contains("you gave")), given, "{rows:#?}");
            assert!(!error.to_string().contains('\n'), "one message for programs");
        }
    }

    #[test]
    fn a_program_reads_one_line_with_the_command_whole() {
        let rows = another_key(ADDRESS, key(1), key(2), false).join("\n");
        let line = in_one_line(&rows);
        assert!(
            !line.contains('\n') && line.starts_with(&format!("the tracker at {ADDRESS} has another key"))
        );
        assert!(line.ends_with(&format!("--tracker {ADDRESS}#{}", key(2))), "{line}");
        assert_eq!(in_one_line("one row"), "one row");
    }

    #[test]
    fn missing_tracker_and_wrong_program_have_different_texts() {
        let strange = rows(&CommandError::NotATracker { address: ADDRESS.to_owned() });
        assert!(strange.iter().any(|row| row.contains("original Python tracker")), "{strange:#?}");
        let why = Some(TrackerLoss::TimedOut);
        for rows in [strange, no_tracker(DEFAULT_TRACKER, None), no_tracker("127.0.0.1:21200", why)] {
            assert!(rows.iter().all(|row| row.len() < SCREEN), "{rows:#?}");
        }
    }

    #[test]
    fn each_reason_for_a_lost_tracker_has_its_own_text() {
        use TrackerLoss::{Closed, Failed, Refused, Reset, Stopped, TimedOut, TurnedAway};
        let row = |why| tracker_rows::row(TrackerState::Lost, Some(why));
        let rows: BTreeSet<_> =
            [Stopped, Closed, Reset, TimedOut, Refused, TurnedAway, Failed].into_iter().map(row).collect();
        assert_eq!(rows.len(), 7, "{rows:#?}");
        assert!(row(TimedOut).contains("does not answer any more"));
        // At a start, a stopped tracker looks like a refused connection.
        let row = |why| no_tracker(ADDRESS, Some(why)).swap_remove(0);
        let rows = [Refused, Reset, TimedOut].map(row);
        assert_eq!(BTreeSet::from(rows.clone()).len(), 3, "{rows:#?}");
        assert!(rows[2].ends_with("no answer came in time"));
    }

    #[test]
    fn a_command_is_one_row_or_two_that_a_shell_joins() {
        let command = "peer --tracker 127.0.0.1:6060";
        let key = key(0xab);
        assert_eq!(joining(command, key, None), [format!("{command}#{key}")]);
        assert_eq!(joining(command, key, Some(100)), [format!("{command}#{key}")]);
        assert_eq!(joining(command, key, Some(80)), [format!("{command}#\\"), key.to_string()]);
    }
}
