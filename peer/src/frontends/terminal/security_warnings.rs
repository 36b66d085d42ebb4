//! Security warnings, which a person must not miss.
//!
//! An attacker may impersonate a contact, or send different messages to different members.

use std::collections::BTreeSet;

use commons::keys::PublicKey;
use commons::names::Username;

use crate::api::conversation::Conversation;
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;
use crate::identity::key_prefix::first_digits;
use crate::limits::ENDORSED_DIGITS_MIN;

/// The users with a warning about another key that is not settled.
#[derive(Default)]
pub(crate) struct KeyWarnings {
    of: BTreeSet<Username>,
}

impl KeyWarnings {
    /// Renders the warning that a user presented another key.
    pub(crate) fn changed(&mut self, paint: Style, peer: &Username, fingerprint: PublicKey) -> Vec<String> {
        self.of.insert(peer.clone());
        key_changed(paint, peer, fingerprint)
    }

    /// Renders the notice that the warning is settled. If the key was endorsed before any warning, there is no notice.
    pub(crate) fn accepted(&mut self, paint: Style, peer: &Username, endorsed: bool) -> Vec<String> {
        let warned = self.of.remove(peer);
        if warned || !endorsed { all_clear(paint, peer, endorsed) } else { Vec::new() }
    }
}

/// Renders the warning about another key, with advice.
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

/// Renders the notice that the warning about another key is settled.
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

/// Renders the notice that this device has a key that contacts do not know, with advice.
pub(crate) fn new_key(paint: Style, fingerprint: PublicKey) -> Vec<String> {
    let digits = first_digits(&fingerprint, ENDORSED_DIGITS_MIN);
    loud(
        paint,
        &[format!(
            "*** contacts who know you will be warned of this device's new key: type /endorse {digits} on your other device, then sign in here again"
        )],
    )
}

/// Renders the warning that an author signed two different messages with one number.
pub(crate) fn fork(paint: Style, conversation: &Conversation, author: &Username) -> Vec<String> {
    loud(
        paint,
        &[
            format!("⚠ {author} signed two messages with one number, in {}", shown(conversation)),
            format!("   members do not all see the same messages of {author}: ask {author} by another way"),
            "   (a restored backup whose original is still in use causes this too)".to_owned(),
        ],
    )
}

/// Renders the warning that a link is not encrypted.
pub(crate) fn not_encrypted(paint: Style, peer: &Username) -> Vec<String> {
    loud(paint, &[format!("*** the link to {peer} is not encrypted, an original program's: marked ~")])
}

fn loud(paint: Style, rows: &[String]) -> Vec<String> {
    rows.iter().map(|row| paint.failure(row)).collect()
}
