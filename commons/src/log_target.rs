//! Log targets of the project's own crates.
//! Both programs log only their own events, whatever filter they are started with. Libraries log their input: a line
//! editor logs each keystroke, passwords included.

/// Names of the project's crates. The targets of their events begin with them.
const OWN_CRATES: [&str; 3] = ["commons", "peer", "tracker"];

/// Whether a log event with this target comes from one of these crates.
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
