//! The link that currently serves each peer.
//!
//! A replaced link may close long after its successor came up, and that must not look like a new link. This module
//! does no I/O.

use std::collections::BTreeMap;

use commons::names::Username;

use crate::peer_communication::link_table::LinkId;

/// The serving link of each linked peer.
#[derive(Debug, Default)]
pub(crate) struct ServingLinks {
    links: BTreeMap<Username, LinkId>,
}

/// The meaning of a link change for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkChange {
    /// A new link serves the peer, so the delivery starts from the beginning.
    Began,
    /// Nothing has changed for the delivery.
    None,
    /// No link serves the peer any more.
    Ended,
}

impl ServingLinks {
    /// Notes which link serves a peer now, and returns how that changes the delivery.
    pub(crate) fn changed(&mut self, user: &Username, serving: Option<LinkId>) -> LinkChange {
        let before = match serving {
            Some(link) => self.links.insert(user.clone(), link),
            None => self.links.remove(user),
        };
        match (before, serving) {
            (before, serving) if before == serving => LinkChange::None,
            (_, Some(_)) => LinkChange::Began,
            (_, None) => LinkChange::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_replaced_link_is_no_new_link() {
        let bob = Username::parse("bob").unwrap();
        let mut serving = ServingLinks::default();
        let mut changed = |link: Option<u64>| serving.changed(&bob, link.map(LinkId));
        assert_eq!(changed(Some(1)), LinkChange::Began);
        assert_eq!(changed(Some(2)), LinkChange::Began);
        assert_eq!(changed(Some(2)), LinkChange::None, "the first one has ended now");
        assert_eq!(changed(None), LinkChange::Ended);
        assert_eq!(changed(None), LinkChange::None);
        assert_eq!(changed(Some(3)), LinkChange::Began);
    }
}
