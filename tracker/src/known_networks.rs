//! The networks from which each user has signed in. Their passwords are checked before those of others.

use std::collections::VecDeque;

use commons::names::Username;

use crate::limits::{NETWORKS_PER_USER, REGULARS_MAX};
use crate::rate_limit::{Recent, Subnet};

/// The last networks of the users who signed in last.
#[derive(Debug)]
pub(crate) struct KnownNetworks {
    by_user: Recent<Username, VecDeque<Subnet>>,
}

impl KnownNetworks {
    /// Creates an empty record.
    pub(crate) fn new() -> Self {
        Self { by_user: Recent::new(REGULARS_MAX) }
    }

    /// Records that a user has signed in from a network.
    pub(crate) fn note(&mut self, user: &Username, network: Subnet) {
        let networks = self.by_user.turn_of(user);
        networks.retain(|known| *known != network);
        if networks.len() >= NETWORKS_PER_USER {
            networks.pop_front();
        }
        networks.push_back(network);
    }

    /// Whether a user has signed in from a network.
    pub(crate) fn knows(&mut self, user: &Username, network: Subnet) -> bool {
        self.by_user.known(user).is_some_and(|networks| networks.contains(&network))
    }

    /// Forgets a user whose account is deleted.
    pub(crate) fn forget(&mut self, user: &Username) {
        self.by_user.forget(user);
    }

    /// The number of users.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_user.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_networks_of_a_user_are_known_until_the_account_ends() {
        let (mut known, ana) = (KnownNetworks::new(), Username::parse("ana").unwrap());
        let network = |n: u8| Subnet::of([192, 0, 2, n].into());
        for n in 0..=NETWORKS_PER_USER as u8 {
            known.note(&ana, network(n));
            known.note(&ana, network(1));
        }
        assert!(!known.knows(&ana, network(0)), "the oldest is forgotten");
        assert!((1..=NETWORKS_PER_USER as u8).all(|n| known.knows(&ana, network(n))));
        known.forget(&ana);
        assert!(!known.knows(&ana, network(1)) && known.len() == 0);
    }
}
