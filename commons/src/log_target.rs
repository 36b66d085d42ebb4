//! Log targets: which log events are of our own crates.
//!
//! Libraries log what they are given: a line editor logs each keystroke, passwords included. Both programs therefore log
//! only their own events, whatever filter they are started with.

/// Names of our crates, with which the targets of their events begin.
const OWN_CRATES: [&str; 3] = ["commons", "peer", "tracker"];

/// Whether a log event with this target is of one of our own crates.
#[must_use]
pub fn is_own(target: &str) -> bool {
    OWN_CRATES.contains(&target.split("::").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_of_our_crates_are_own() {
        for own in ["peer", "peer::hub", "tracker::session", "commons::net::tls"] {
            assert!(is_own(own), "{own}");
        }
        for foreign in ["rustyline", "rustls::client::hs", "log", "peers", "peer_of_another", "", "::peer"] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
