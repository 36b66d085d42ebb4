//! Who is given the own lines as they are written, and who first needs those that waited. Pure: whoever asks says how a
//! line is put on its way.
//!
//! A link begins with what the other side has not stored, in order; only then come the lines that are written meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::names::Username;
use uuid::Uuid;

use crate::history::report::OutgoingMessage;
use crate::peer_communication::link_table::LinkId;

/// Every linked peer, and how far it was given the own lines.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    feeds: BTreeMap<Username, PeerProgress>,
    /// Who does not look at which room: messages of that room wait, and later ones of other conversations do not.
    not_looking: BTreeSet<(Username, Uuid)>,
}

#[derive(Debug)]
struct PeerProgress {
    /// By which link: what is said after another one took its place waits for what that one has to give first.
    link: LinkId,
    /// The last line that was put on its way, as a row of the history.
    after: i64,
    /// Behind which row the history was asked last: the answer to an earlier question, of another link, is not taken.
    asked: i64,
    stage: Stage,
    /// Messages that waited for the peer to look have to be asked for, once what was asked for is given.
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What waited was asked for.
    Querying,
    /// Nothing waits any more: lines go as they are written.
    Live,
    /// The link had no room.
    Blocked,
    /// The peer's key has changed: lines wait until it is accepted.
    KeyChanged,
}

impl PeerProgress {
    /// Asks for the messages that wait behind a row.
    fn ask(&mut self, after: i64) -> i64 {
        (self.stage, self.asked) = (Stage::Querying, after);
        after
    }
}

impl Replication {
    /// A link has come up: whether what waited is to be asked for now.
    pub(crate) fn begin(&mut self, user: &Username, link: LinkId, held: bool) -> bool {
        let stage = if held { Stage::KeyChanged } else { Stage::Querying };
        self.feeds.insert(user.clone(), PeerProgress { link, after: 0, asked: 0, stage, again: false });
        !held
    }

    /// A link has ended.
    pub(crate) fn end(&mut self, user: &Username) {
        self.feeds.remove(user);
    }

    /// There is room again: after which row to go on, if that is what it waited for.
    pub(crate) fn go_on(&mut self, user: &Username) -> Option<i64> {
        let feed = self.feeds.get_mut(user).filter(|feed| feed.stage == Stage::Blocked)?;
        Some(feed.ask(feed.after))
    }

    /// An own line is durable: it goes to whoever has all that was before. `send` tells whether it fits.
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

    /// Lines that waited for a peer go to it in these batches, until one does not fit. Behind which row to ask for more,
    /// where there is more; else lines go as they are written from now on.
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

    /// Sets who does not look at which room from now on. Those who look again come back, and are to be given what
    /// waited by [`Self::look_again`].
    pub(crate) fn stop_looking(&mut self, not_looking: BTreeSet<(Username, Uuid)>) -> Vec<(Username, Uuid)> {
        let again = self.not_looking.difference(&not_looking).cloned().collect();
        self.not_looking.extend(not_looking);
        again
    }

    /// Somebody looks at a room again: behind which row to ask for what waited, where that can be given now.
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

    /// Whether a message would be shown to this user, were it given now.
    fn looks(&self, user: &Username, said: &OutgoingMessage) -> bool {
        let room = said.conversation.room().filter(|_| !self.not_looking.is_empty());
        room.is_none_or(|room| !self.not_looking.contains(&(user.clone(), room)))
    }

    /// The link to a peer that is at this stage.
    fn link_at(&self, user: &Username, stage: Stage) -> Option<LinkId> {
        self.feeds.get(user).filter(|feed| feed.stage == stage).map(|feed| feed.link)
    }

    /// Whether lines are on their way.
    pub(crate) fn is_fed(&self, user: &Username) -> bool {
        self.feeds.get(user).is_some_and(|feed| feed.stage != Stage::KeyChanged)
    }

    fn gave(&mut self, user: &Username, row: i64, fit: bool) {
        if let Some(feed) = self.feeds.get_mut(user) {
            feed.after = if fit { feed.after.max(row) } else { feed.after };
            feed.stage = if fit { feed.stage } else { Stage::Blocked };
        }
    }

    /// All that was asked for was given. Whether there is more behind the first row.
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

    /// Whether the peer's key has changed and is not accepted. Where it is right again, after which row to go on.
    pub(crate) fn hold(&mut self, user: &Username, held: bool) -> Option<i64> {
        let feed = self.feeds.get_mut(user)?;
        let released = !held && feed.stage == Stage::KeyChanged;
        if held {
            feed.stage = Stage::KeyChanged;
        }
        released.then(|| feed.ask(feed.after))
    }
}

/// Cuts lines into batches of one conversation each, where groups end.
pub(crate) fn batches(lines: &[OutgoingMessage]) -> Vec<&[OutgoingMessage]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes, mut group) = (0, 0, 0);
    for (at, said) in lines.iter().enumerate() {
        let begins = said.line.provenance.previous.is_some();
        if begins {
            group = at;
        }
        bytes += said.line.encoded_len();
        let full = at - start >= BATCH_LINES || bytes > BATCH_BYTES;
        let elsewhere = lines[start].conversation != said.conversation;
        if (full || elsewhere) && group > start {
            batches.push(&lines[start..group]);
            start = group;
            bytes = lines[start..=at].iter().map(|said| said.line.encoded_len()).sum();
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
    fn what_waited_goes_first_and_a_full_link_goes_on_where_it_stopped() {
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
