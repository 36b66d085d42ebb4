//! The replication of own messages to linked peers.
//!
//! Each link starts with a query for the pending messages, which are sent in order. When none are left, the link is
//! live, and new messages are sent as soon as they are stored. A full link remembers the last row that it sent and
//! continues after that row.
//!
//! Example: rows 7 and 8 wait for Bob. A link comes up and 7 is sent, but the link is full. When it has room, the
//! history is queried after row 7; it returns 8, and the link becomes live.
//!
//! This module does no I/O. The caller passes a function that sends.

use std::collections::{BTreeMap, BTreeSet};

use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::names::Username;
use uuid::Uuid;

use crate::history::report::OutgoingMessage;
use crate::peer_communication::link_table::LinkId;

/// The progress of replication to every linked peer.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    feeds: BTreeMap<Username, PeerProgress>,
    /// Legacy clients that do not show a room. Messages of that room wait, but those of other conversations do not.
    not_looking: BTreeSet<(Username, Uuid)>,
}

#[derive(Debug)]
struct PeerProgress {
    /// The link that is served. Another link to the same peer starts from the beginning.
    link: LinkId,
    /// The row of the last message that was sent.
    after: i64,
    /// The row of the last query. An answer to an earlier query, of another link, is ignored.
    asked: i64,
    stage: Stage,
    /// Whether to query again from the first row when the current query is done, because the peer shows a room
    /// again.
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The history was queried for pending messages.
    Querying,
    /// Nothing is pending: messages are sent as soon as they are stored.
    Live,
    /// The link was full.
    Blocked,
    /// The peer's key has changed: messages wait until the user accepts the key.
    KeyChanged,
}

impl PeerProgress {
    /// Notes a query for the pending messages after a row. Returns that row.
    fn ask(&mut self, after: i64) -> i64 {
        (self.stage, self.asked) = (Stage::Querying, after);
        after
    }
}

impl Replication {
    /// Starts the replication to a new link. Returns true if the pending messages must be queried now.
    pub(crate) fn begin(&mut self, user: &Username, link: LinkId, held: bool) -> bool {
        let stage = if held { Stage::KeyChanged } else { Stage::Querying };
        self.feeds.insert(user.clone(), PeerProgress { link, after: 0, asked: 0, stage, again: false });
        !held
    }

    /// Ends the replication to a peer whose link has closed.
    pub(crate) fn end(&mut self, user: &Username) {
        self.feeds.remove(user);
    }

    /// Continues a full link that has room again. Returns the row after which to query, or `None` if the link was
    /// not full.
    pub(crate) fn go_on(&mut self, user: &Username) -> Option<i64> {
        let feed = self.feeds.get_mut(user).filter(|feed| feed.stage == Stage::Blocked)?;
        Some(feed.ask(feed.after))
    }

    /// Sends a stored own message to all recipients with a live link. `send` returns whether the frame fits.
    pub(crate) fn on_own_committed(
        &mut self,
        said: &OutgoingMessage,
        mut send: impl FnMut(&Username, LinkId) -> bool,
    ) {
        for user in &said.audience {
            if let Some(link) = self.link_at(user, Stage::Live).filter(|_| self.looks(user, said)) {
                self.gave(user, said.row, send(user, link));
            }
        }
    }

    /// Sends the pending messages in these batches until one does not fit. Returns the row after which to query if
    /// more are pending. Otherwise the link becomes live.
    pub(crate) fn give(
        &mut self,
        to: &Username,
        asked: i64,
        batches: &[&[OutgoingMessage]],
        more: Option<i64>,
        mut send: impl FnMut(LinkId, &[OutgoingMessage]) -> bool,
    ) -> Option<i64> {
        let link = self.link_at(to, Stage::Querying)?;
        if self.feeds.get(to).is_none_or(|feed| feed.asked != asked) {
            return None;
        }
        for batch in batches {
            let Some(last) = batch.last() else { continue };
            let fit = !self.looks(to, last) || send(link, batch);
            self.gave(to, last.row, fit);
            if !fit {
                return None;
            }
        }
        let again = more.is_none() && self.gave_all(to);
        let next = if again { Some(0) } else { more }?;
        self.feeds.get_mut(to).map(|feed| feed.ask(next))
    }

    /// Sets which legacy clients do not show which room. Returns those that show it again. The caller passes them
    /// to [`Self::look_again`].
    pub(crate) fn stop_looking(&mut self, not_looking: BTreeSet<(Username, Uuid)>) -> Vec<(Username, Uuid)> {
        let again = self.not_looking.difference(&not_looking).cloned().collect();
        self.not_looking.extend(not_looking);
        again
    }

    /// Notes that a peer shows a room again. Returns the row after which to query, or `None` if the messages cannot
    /// be sent now.
    pub(crate) fn look_again(&mut self, user: &Username, room: Uuid) -> Option<i64> {
        if !self.not_looking.remove(&(user.clone(), room)) {
            return None;
        }
        let feed = self.feeds.get_mut(user)?;
        feed.after = 0;
        match feed.stage {
            Stage::Live => Some(feed.ask(0)),
            Stage::Querying => {
                feed.again = true;
                None
            }
            Stage::Blocked | Stage::KeyChanged => None,
        }
    }

    /// Returns whether the recipient's program would show this message now.
    fn looks(&self, user: &Username, said: &OutgoingMessage) -> bool {
        let room = said.conversation.room().filter(|_| !self.not_looking.is_empty());
        room.is_none_or(|room| !self.not_looking.contains(&(user.clone(), room)))
    }

    /// Returns the link to a peer if it is at this stage.
    fn link_at(&self, user: &Username, stage: Stage) -> Option<LinkId> {
        self.feeds.get(user).filter(|feed| feed.stage == stage).map(|feed| feed.link)
    }

    /// Returns whether messages are being sent to a peer, or will be when its link has room.
    pub(crate) fn is_fed(&self, user: &Username) -> bool {
        self.feeds.get(user).is_some_and(|feed| feed.stage != Stage::KeyChanged)
    }

    /// Notes whether the message in a row was sent or did not fit.
    fn gave(&mut self, user: &Username, row: i64, fit: bool) {
        if let Some(feed) = self.feeds.get_mut(user) {
            feed.after = if fit { feed.after.max(row) } else { feed.after };
            feed.stage = if fit { feed.stage } else { Stage::Blocked };
        }
    }

    /// Notes that all results of the query were sent. Returns true if a query from the first row must follow.
    fn gave_all(&mut self, user: &Username) -> bool {
        let Some(feed) = self.feeds.get_mut(user).filter(|feed| feed.stage == Stage::Querying) else {
            return false;
        };
        if std::mem::take(&mut feed.again) {
            feed.after = 0;
            return true;
        }
        feed.stage = Stage::Live;
        false
    }

    /// Stops sending while the peer's key has changed. Returns the row after which to query once the key is
    /// accepted.
    pub(crate) fn hold(&mut self, user: &Username, held: bool) -> Option<i64> {
        let feed = self.feeds.get_mut(user)?;
        let released = !held && feed.stage == Stage::KeyChanged;
        if held {
            feed.stage = Stage::KeyChanged;
        }
        released.then(|| feed.ask(feed.after))
    }
}

/// Divides messages into batches of one conversation each. A batch ends only at the end of a signed batch.
pub(crate) fn batches(lines: &[OutgoingMessage]) -> Vec<&[OutgoingMessage]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes, mut group) = (0, 0, 0);
    for (at, said) in lines.iter().enumerate() {
        let begins = said.message.provenance.previous.is_some();
        if begins {
            group = at;
        }
        bytes += said.message.encoded_len();
        let full = at - start >= BATCH_LINES || bytes > BATCH_BYTES;
        let elsewhere = lines[start].conversation != said.conversation;
        if (full || elsewhere) && group > start {
            batches.push(&lines[start..group]);
            start = group;
            bytes = lines[start..=at].iter().map(|said| said.message.encoded_len()).sum();
        }
    }
    if start < lines.len() {
        batches.push(&lines[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    #[test]
    fn pending_messages_go_first_and_full_link_continues() {
        let mut feeds = Replication::default();
        assert!(feeds.begin(&bob(), LinkId(1), false));
        assert!(
            feeds.link_at(&bob(), Stage::Querying).is_some() && feeds.link_at(&bob(), Stage::Live).is_none()
        );
        feeds.gave(&bob(), 7, true);
        feeds.gave(&bob(), 8, false);
        assert_eq!(feeds.go_on(&bob()), Some(7));
        assert_eq!(feeds.go_on(&bob()), None, "it was asked for");
        feeds.gave_all(&bob());
        assert!(feeds.link_at(&bob(), Stage::Live).is_some());
        feeds.end(&bob());
        assert!(feeds.link_at(&bob(), Stage::Live).is_none());
    }

    #[test]
    fn messages_wait_for_who_does_not_look_and_are_asked_for_again() {
        let (room, mut feeds) = (Uuid::nil(), Replication::default());
        let away = BTreeSet::from([(bob(), room)]);
        assert_eq!(feeds.stop_looking(away.clone()), []);
        feeds.begin(&bob(), LinkId(1), false);
        feeds.gave_all(&bob());
        assert_eq!(feeds.stop_looking(BTreeSet::new()), [(bob(), room)]);
        assert_eq!(feeds.look_again(&bob(), room), Some(0), "all that waited is asked for");
        assert_eq!(feeds.look_again(&bob(), room), None, "once");
        feeds.stop_looking(away);
        assert_eq!(feeds.look_again(&bob(), room), None, "an answer is under way");
        assert!(feeds.gave_all(&bob()), "and then it is asked again");
        assert!(!feeds.gave_all(&bob()));
        assert!(feeds.link_at(&bob(), Stage::Live).is_some());
    }

    #[test]
    fn lines_to_a_changed_key_wait_until_it_is_accepted() {
        let mut feeds = Replication::default();
        assert!(!feeds.begin(&bob(), LinkId(1), true));
        feeds.gave_all(&bob());
        assert!(feeds.link_at(&bob(), Stage::Live).is_none());
        assert_eq!(feeds.hold(&bob(), false), Some(0));
        feeds.gave_all(&bob());
        assert_eq!(feeds.hold(&bob(), false), None, "nothing was held");
        feeds.hold(&bob(), true);
        assert!(!feeds.is_fed(&bob()) && feeds.go_on(&bob()).is_none());
    }

    #[test]
    fn answer_to_a_question_of_an_earlier_link_is_not_taken() {
        let mut feeds = Replication::default();
        feeds.begin(&bob(), LinkId(1), false);
        assert_eq!(feeds.give(&bob(), 0, &[], Some(7), |_, _| true), Some(7));
        feeds.begin(&bob(), LinkId(2), false);
        assert_eq!(feeds.give(&bob(), 7, &[], None, |_, _| true), None);
        assert!(
            feeds.link_at(&bob(), Stage::Live).is_none(),
            "what is before row 7 was not given by this link"
        );
        feeds.give(&bob(), 0, &[], None, |_, _| true);
        assert!(feeds.link_at(&bob(), Stage::Live).is_some(), "the control");
    }
}
