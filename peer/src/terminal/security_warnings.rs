//! Warnings that must not be missed: somebody may be posing as a friend, or tell different people different things.

use std::collections::BTreeSet;

use commons::keys::PublicKey;
use commons::names::Username;

use crate::api::Conversation;
use crate::identity::key_prefix::first_digits;
use crate::limits::ENDORSED_DIGITS_MIN;
use crate::terminal::status_line::shown;
use crate::terminal::style::Style;

/// The warnings of other keys that are not settled.
#[derive(Default)]
pub(crate) struct KeyWarnings {
    of: BTreeSet<Username>,
}

impl KeyWarnings {
    /// Warns of another key.
    pub(crate) fn changed(&mut self, paint: Style, peer: &Username, fingerprint: PublicKey) -> Vec<String> {
        self.of.insert(peer.clone());
        key_changed(paint, peer, fingerprint)
    }

    /// Says that the warning is settled. A key that was endorsed before anybody was warned of it is no news.
    pub(crate) fn accepted(&mut self, paint: Style, peer: &Username, endorsed: bool) -> Vec<String> {
        let warned = self.of.remove(peer);
        if warned || !endorsed { all_clear(paint, peer, endorsed) } else { Vec::new() }
    }
}

/// Another key than before, and what to do.
fn key_changed(paint: Style, peer: &Username, fingerprint: PublicKey) -> Vec<String> {
    loud(
        paint,
        &[
            format!("⚠ {peer} has another key than before: a new device, or somebody posing as {peer}"),
            format!("   the key not known: {fingerprint}"),
            format!(
                "   nothing is sent to {peer}. Ask {peer} by another way and compare the numbers of /verify {peer};"
            ),
            format!("   only if they are the same, type /accept {peer}"),
        ],
    )
}

/// The warning of another key is settled.
fn all_clear(paint: Style, peer: &Username, endorsed: bool) -> Vec<String> {
    let why = if endorsed {
        format!("a key of {peer} that you know vouches for the new one.")
    } else {
        format!("you accepted {peer}'s key.")
    };
    vec![
        paint.system(&format!("*** All clear: {why}")),
        paint.system(&format!("    Messages go to {peer} again. To be sure, compare: /verify {peer}")),
    ]
}

/// This computer has a key that friends do not know, and what to do.
pub(crate) fn new_key(paint: Style, fingerprint: PublicKey) -> Vec<String> {
    let digits = first_digits(&fingerprint, ENDORSED_DIGITS_MIN);
    loud(
        paint,
        &[format!(
            "*** friends who met you before will be warned of this computer's new key: type /endorse {digits} on your other computer, then sign in here again"
        )],
    )
}

/// Two lines that cannot both be.
pub(crate) fn fork(paint: Style, conversation: &Conversation, author: &Username) -> Vec<String> {
    loud(
        paint,
        &[
            format!("⚠ {author} has signed two different lines as one, in {}", shown(conversation)),
            format!("   what {author} says is not the same for everybody: ask {author} by another way"),
            "   (a copy of an old disk that is in use again does this too)".to_owned(),
        ],
    )
}

/// Anybody on the way can read along.
pub(crate) fn not_encrypted(paint: Style, peer: &Username) -> Vec<String> {
    loud(paint, &[format!("*** the link to {peer} is not encrypted, an original program's: marked ~")])
}

fn loud(paint: Style, rows: &[String]) -> Vec<String> {
    rows.iter().map(|row| paint.failure(row)).collect()
}
