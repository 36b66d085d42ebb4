//! The replication of own messages to linked peers. Gaps in the messages of all authors are repaired by the sync
//! (`sync_frames.rs`).
//!
//! Each link starts with a query for the pending messages, which are sent in order. When none are left, the link is
//! live, and new messages are sent as soon as they are stored. A full link remembers the last row that it sent and
//! continues after that row.
//!
//! Example: rows 7 and 8 wait for Bob. A link comes up and 7 is sent, but the link is full. When it has room, the
//! history is queried after row 7; it returns 8, and the link becomes live.
//!
//! A message counts as sent when it is handed to the send queue. If the queue refuses it, [`Replication::refused`] takes
//! that back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::names::Username;
use uuid::Uuid;

use crate::history::report::OutgoingMessage;
use crate::peer_communication::link_table::LinkId;

/// Messages of one conversation, and the link on which they are sent.
type Batch<'a> = (LinkId, &'a [Arc<OutgoingMessage>]);

/// The progress of replication to every linked peer.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    peers: BTreeMap<Username, PeerProgress>,
    /// Legacy clients that do not show a room. Messages of that room wait, but those of other conversations do not.
    hidden: BTreeSet<(Username, Uuid)>,
}

#[derive(Debug)]
struct PeerProgress {
    /// The link that is served. Another link to the same peer starts from the beginning.
    link: LinkId,
    /// The time at which the link came up.
    began: DateTime<Utc>,
    /// The row of the last message that was sent.
    after: i64,
    /// The row of the last query. An answer to an earlier query, of another link, is ignored.
    queried_after: i64,
    stage: Stage,
    /// Whether to query again from the first row when the current query is done, because the peer shows a room
    /// again.
    must_requery: bool,
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
    fn query(&mut self, after: i64) -> i64 {
        (self.stage, self.queried_after) = (Stage::Querying, after);
        after
    }
}

impl Replication {
    /// Starts the replication to a new link. Returns true if the pending messages must be queried now.
    pub(crate) fn begin(&mut self, user: &Username, link: LinkId, held: bool, began: DateTime<Utc>) -> bool {
        let stage = if held { Stage::KeyChanged } else { Stage::Querying };
        self.peers.insert(
            user.clone(),
            PeerProgress { link, began, after: 0, queried_after: 0, stage, must_requery: false },
        );
        !held
    }

    /// Ends the replication to a peer whose link has closed.
    pub(crate) fn end(&mut self, user: &Username) {
        self.peers.remove(user);
    }

    /// Continues a full link that has room again. Returns the row after which to query, or `None` if the link was
    /// not full.
    pub(crate) fn on_writable(&mut self, user: &Username) -> Option<i64> {
        let progress = self.peers.get_mut(user).filter(|progress| progress.stage == Stage::Blocked)?;
        Some(progress.query(progress.after))
    }

    /// Returns the recipients with a live link, to which a stored own message is sent now.
    pub(crate) fn on_own_committed(&mut self, message: &OutgoingMessage) -> Vec<(Username, LinkId)> {
        let shows = |user: &&Username| self.shows(user, message);
        let live = |user: &Username| self.link_at(user, Stage::Live).map(|link| (user.clone(), link));
        let live: Vec<_> = message.audience.iter().filter(shows).filter_map(live).collect();
        for (user, _) in &live {
            self.sent(user, message.row);
        }
        live
    }

    /// Returns the batches of pending messages that are sent now, with their link, and the row after which to query if
    /// more are pending. Otherwise the link becomes live.
    pub(crate) fn send<'a>(
        &mut self,
        to: &Username,
        queried_after: i64,
        batches: &[&'a [Arc<OutgoingMessage>]],
        more: Option<i64>,
    ) -> (Vec<Batch<'a>>, Option<i64>) {
        let Some(link) = self.link_at(to, Stage::Querying) else { return (Vec::new(), None) };
        if self.peers.get(to).is_none_or(|progress| progress.queried_after != queried_after) {
            return (Vec::new(), None);
        }
        let mut sent = Vec::new();
        for batch in batches {
            let Some(last) = batch.last() else { continue };
            if self.shows(to, last) {
                sent.push((link, *batch));
            }
            self.sent(to, last.row);
        }
        let again = more.is_none() && self.sent_all(to);
        let next = if again { Some(0) } else { more };
        (sent, next.and_then(|next| self.peers.get_mut(to).map(|progress| progress.query(next))))
    }

    /// Notes that the send queue of a link refused the messages from this row on. They are sent when it has room.
    pub(crate) fn refused(&mut self, user: &Username, row: i64) {
        if let Some(progress) = self.peers.get_mut(user) {
            progress.after = progress.after.min(row - 1);
            if progress.stage != Stage::KeyChanged {
                progress.stage = Stage::Blocked;
            }
        }
    }

    /// Sets which legacy clients do not show which room. Returns those that show it again. The caller passes them
    /// to [`Self::shows_again`].
    pub(crate) fn hide_from(&mut self, hidden: BTreeSet<(Username, Uuid)>) -> Vec<(Username, Uuid)> {
        let again = self.hidden.difference(&hidden).cloned().collect();
        self.hidden.extend(hidden);
        again
    }

    /// Notes that a peer shows a room again. Returns the row after which to query, or `None` if the messages cannot
    /// be sent now.
    pub(crate) fn shows_again(&mut self, user: &Username, room: Uuid) -> Option<i64> {
        if !self.hidden.remove(&(user.clone(), room)) {
            return None;
        }
        let progress = self.peers.get_mut(user)?;
        progress.after = 0;
        match progress.stage {
            Stage::Live => Some(progress.query(0)),
            Stage::Querying => {
                progress.must_requery = true;
                None
            }
            Stage::Blocked | Stage::KeyChanged => None,
        }
    }

    /// Returns whether the recipient's program would show this message now.
    fn shows(&self, user: &Username, message: &OutgoingMessage) -> bool {
        let room = message.conversation.room().filter(|_| !self.hidden.is_empty());
        room.is_none_or(|room| !self.hidden.contains(&(user.clone(), room)))
    }

    /// Returns the link to a peer if it is at this stage.
    fn link_at(&self, user: &Username, stage: Stage) -> Option<LinkId> {
        self.peers.get(user).filter(|progress| progress.stage == stage).map(|progress| progress.link)
    }

    /// Returns whether a message was sent on the current link of a peer. The peer may have it, although it has not
    /// acknowledged it yet.
    pub(crate) fn has_sent(&self, user: &Username, row: i64, room: Option<Uuid>) -> bool {
        let is_hidden = room.is_some_and(|room| self.hidden.contains(&(user.clone(), room)));
        !is_hidden && self.peers.get(user).is_some_and(|progress| progress.after >= row)
    }

    /// Returns whether messages are being sent to a peer, or will be when its link has room.
    pub(crate) fn is_serving(&self, user: &Username) -> bool {
        self.peers.get(user).is_some_and(|progress| progress.stage != Stage::KeyChanged)
    }

    /// Returns the time at which the link to a peer came up. A message after it only waits for the link to have room.
    pub(crate) fn linked_since(&self, user: &Username) -> Option<DateTime<Utc>> {
        self.peers.get(user).map(|progress| progress.began)
    }

    /// Notes that the messages up to a row were sent.
    fn sent(&mut self, user: &Username, row: i64) {
        if let Some(progress) = self.peers.get_mut(user) {
            progress.after = progress.after.max(row);
        }
    }

    /// Notes that all results of the query were sent. Returns true if a query from the first row must follow.
    fn sent_all(&mut self, user: &Username) -> bool {
        let Some(progress) = self.peers.get_mut(user).filter(|progress| progress.stage == Stage::Querying)
        else {
            return false;
        };
        if std::mem::take(&mut progress.must_requery) {
            progress.after = 0;
            return true;
        }
        progress.stage = Stage::Live;
        false
    }

    /// Stops sending while the peer's key has changed. Returns the row after which to query once the key is
    /// accepted.
    pub(crate) fn hold(&mut self, user: &Username, held: bool) -> Option<i64> {
        let progress = self.peers.get_mut(user)?;
        let released = !held && progress.stage == Stage::KeyChanged;
        if held {
            progress.stage = Stage::KeyChanged;
        }
        released.then(|| progress.query(progress.after))
    }
}

/// Divides messages into batches of one conversation each. A batch ends only at the end of a signed batch.
pub(crate) fn batches(messages: &[Arc<OutgoingMessage>]) -> Vec<&[Arc<OutgoingMessage>]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes, mut signed_start) = (0, 0, 0);
    for (at, outgoing) in messages.iter().enumerate() {
        if outgoing.message.provenance.begins_batch() {
            signed_start = at;
        }
        bytes += outgoing.message.encoded_len();
        let full = at - start >= BATCH_LINES || bytes > BATCH_BYTES;
        let elsewhere = messages[start].conversation != outgoing.conversation;
        if (full || elsewhere) && signed_start > start {
            batches.push(&messages[start..signed_start]);
            start = signed_start;
            bytes = messages[start..=at].iter().map(|outgoing| outgoing.message.encoded_len()).sum();
        }
    }
    if start < messages.len() {
        batches.push(&messages[start..]);
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
        let mut replication = Replication::default();
        assert!(replication.begin(&bob(), LinkId(1), false, DateTime::UNIX_EPOCH));
        assert!(
            replication.link_at(&bob(), Stage::Querying).is_some()
                && replication.link_at(&bob(), Stage::Live).is_none()
        );
        replication.sent(&bob(), 8);
        replication.refused(&bob(), 8);
        assert_eq!(replication.on_writable(&bob()), Some(7));
        assert_eq!(replication.on_writable(&bob()), None, "it was queried");
        replication.sent_all(&bob());
        assert!(replication.link_at(&bob(), Stage::Live).is_some());
        replication.end(&bob());
        assert!(replication.link_at(&bob(), Stage::Live).is_none());
    }

    #[test]
    fn hidden_room_holds_back_its_messages_until_shown_again() {
        let (room, mut replication) = (Uuid::nil(), Replication::default());
        let away = BTreeSet::from([(bob(), room)]);
        assert_eq!(replication.hide_from(away.clone()), []);
        replication.begin(&bob(), LinkId(1), false, DateTime::UNIX_EPOCH);
        replication.sent_all(&bob());
        assert_eq!(replication.hide_from(BTreeSet::new()), [(bob(), room)]);
        assert_eq!(replication.shows_again(&bob(), room), Some(0), "all that waited is queried");
        assert_eq!(replication.shows_again(&bob(), room), None, "once");
        replication.hide_from(away);
        assert_eq!(replication.shows_again(&bob(), room), None, "an answer is under way");
        assert!(replication.sent_all(&bob()), "and then it is queried again");
        assert!(!replication.sent_all(&bob()));
        assert!(replication.link_at(&bob(), Stage::Live).is_some());
    }

    #[test]
    fn sent_message_may_have_arrived_until_its_link_ends() {
        let (room, mut replication) = (Uuid::nil(), Replication::default());
        replication.begin(&bob(), LinkId(1), false, DateTime::UNIX_EPOCH);
        replication.sent(&bob(), 8);
        assert!(replication.has_sent(&bob(), 8, Some(room)) && !replication.has_sent(&bob(), 9, Some(room)));
        replication.refused(&bob(), 8);
        assert!(!replication.has_sent(&bob(), 8, Some(room)), "the send queue was full");
        replication.sent(&bob(), 8);
        replication.hide_from(BTreeSet::from([(bob(), room)]));
        assert!(!replication.has_sent(&bob(), 8, Some(room)) && replication.has_sent(&bob(), 8, None));
        replication.end(&bob());
        assert!(!replication.has_sent(&bob(), 8, None));
    }

    #[test]
    fn messages_to_a_changed_key_wait_until_it_is_accepted() {
        let mut replication = Replication::default();
        assert!(!replication.begin(&bob(), LinkId(1), true, DateTime::UNIX_EPOCH));
        replication.sent_all(&bob());
        assert!(replication.link_at(&bob(), Stage::Live).is_none());
        assert_eq!(replication.hold(&bob(), false), Some(0));
        replication.sent_all(&bob());
        assert_eq!(replication.hold(&bob(), false), None, "nothing was held");
        replication.hold(&bob(), true);
        assert!(!replication.is_serving(&bob()) && replication.on_writable(&bob()).is_none());
    }

    #[test]
    fn answer_to_a_query_of_an_earlier_link_is_ignored() {
        let mut replication = Replication::default();
        replication.begin(&bob(), LinkId(1), false, DateTime::UNIX_EPOCH);
        assert_eq!(replication.send(&bob(), 0, &[], Some(7)).1, Some(7));
        replication.begin(&bob(), LinkId(2), false, DateTime::UNIX_EPOCH);
        assert_eq!(replication.send(&bob(), 7, &[], None).1, None);
        assert!(
            replication.link_at(&bob(), Stage::Live).is_none(),
            "what is before row 7 was not given by this link"
        );
        replication.send(&bob(), 0, &[], None);
        assert!(replication.link_at(&bob(), Stage::Live).is_some(), "the control");
    }
}
