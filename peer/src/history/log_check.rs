//! The check of a signed batch against the log of its room.
//!
//! A message names the last entry of the log that its author knew. This peer takes the message only if its own log has
//! that entry at that epoch, so two members who were shown different rooms do not read each other unnoticed.
//!
//! Example: ana signs under epoch 4. Bob's log ends with epoch 3, so he reads the missing entry first. If his own entry
//! 4 is another one, the tracker has shown two rooms, or Ana's program is wrong. Bob is told.

use rusqlite::Result;
use uuid::Uuid;

use crate::history::batch_assembler::StreamName;
use crate::history::message::SignedMessage;
use crate::history::report::Report;
use crate::history::rows::revision_at;
use crate::history::signed_batch::Chain;
use crate::history::tables::{Omission, Tables};
use crate::history::verify::{Verdict, numbers};

impl Tables {
    /// Checks that a batch was written in a state of the room that this peer knows, under a key that counted there.
    pub(crate) fn check_log(
        &mut self,
        room: Uuid,
        name: &StreamName,
        batch: &[SignedMessage],
        chain: &Chain,
    ) -> Result<Option<Verdict>> {
        if self.omits(Omission::Heads) {
            return Ok(None);
        }
        let Some(log) = self.rooms.get(&room).and_then(|known| known.room.log.clone()) else {
            // Messages of a room without a log name no entry.
            return Ok(chain
                .start
                .head
                .map(|_| Verdict::NotYet("a log of the room that is not known here yet")));
        };
        let epoch = batch.first().map_or(0, |first| first.provenance.revision);
        let (known, claimed) = (log.digest_at(epoch), chain.start.head);
        let Some(known) = known else {
            return Ok(Some(Verdict::NotYet("a room's state that is not known here yet")));
        };
        let Some(claimed) = claimed else {
            return Ok(Some(Verdict::Refused("a message without an entry of the room's log")));
        };
        if known != claimed {
            self.report(Report::OtherLog { room, author: name.author.clone() });
            return Ok(Some(Verdict::NotYet("another log of the room")));
        }
        let (first, last) = numbers(batch);
        let revoked = log.state().revoked().get(&(name.author.clone(), chain.start.device));
        let is_stated = |ends: &Vec<_>| ends.iter().any(|(of, end)| *of == name.incarnation && last <= *end);
        if revoked.is_some_and(|ends| !is_stated(ends)) {
            return Ok(Some(Verdict::Refused("a key that its author has revoked")));
        }
        let Some(key) = self.known_stream(name)?.map(|stream| stream.key) else { return Ok(None) };
        let before = revision_at(&self.db, key, first - 1)?;
        let after = revision_at(&self.db, key, last + 1)?;
        // Otherwise a former member could go on signing for the time of the membership.
        let falls = before.is_some_and(|before| before > epoch) || after.is_some_and(|after| after < epoch);
        Ok(falls.then_some(Verdict::Refused("an earlier epoch than that of the message before")))
    }
}

#[cfg(test)]
mod tests {
    use commons::room_log::entry::Change;
    use commons::room_log::log::RoomLog;

    use super::*;
    use crate::history::conversation::ConversationId;
    use crate::history::history_db::HistoryDb;
    use crate::history::request::{Draft, Request};
    use crate::history::testing::*;

    /// Returns the room of ana and bob, and their histories.
    fn two() -> (RoomLog, HistoryDb, HistoryDb) {
        let log = room_log(&[joined(BOB)]);
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        ana.apply(noted(&log));
        bob.apply(noted(&log));
        (log, ana, bob)
    }

    fn id(log: &RoomLog) -> ConversationId {
        ConversationId::Room(log.state().id())
    }

    /// Writes a message under the last entry of a log.
    fn say_in(history: &mut HistoryDb, log: &RoomLog, text: &str) -> Vec<SignedMessage> {
        let (head, to) = (log.head(), id(log));
        let draft = Draft { revision: head.epoch, head: Some(head.digest), ..draft(&to, text, &[BOB]) };
        history.apply(Request::Append(draft));
        outgoing_messages(history.commit()).into_iter().map(|sent| sent.message).collect()
    }

    /// Returns two logs that differ in their last entry.
    fn split(log: &RoomLog) -> [RoomLog; 2] {
        ["one", "two"].map(|topic| {
            let mut log = log.clone();
            extend(&mut log, &[(ANA, ANA, Change::Topic(topic.into()))]);
            log
        })
    }

    #[test]
    fn message_names_the_last_entry_and_nobody_can_change_it() {
        let (log, mut ana, mut bob) = two();
        let message = say_in(&mut ana, &log, "hi");
        assert_eq!(message[0].provenance.head, Some(log.head().digest));
        for head in [None, log.digest_at(1)] {
            let mut moved = message.clone();
            moved[0].provenance.head = head;
            assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &moved)), [""; 0]);
        }
        assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &message)), ["hi"]);
    }

    #[test]
    fn message_of_another_log_is_not_shown_and_is_reported() {
        let (log, mut ana, mut bob) = two();
        let [of_ana, of_bob] = split(&log);
        ana.apply(noted(&of_ana));
        bob.apply(noted(&of_bob));
        let message = say_in(&mut ana, &of_ana, "hi");
        let reports = ingest(&mut bob, ANA, &id(&log), &message);
        let other = Report::OtherLog { room: log.state().id(), author: user(ANA) };
        assert!(texts(&reports).is_empty() && reports.contains(&other), "{reports:?}");
        // Control: without the check, two members talk in two different rooms and do not notice.
        bob.tables.omission = Some(Omission::Heads);
        assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &message)), ["hi"]);
    }

    #[test]
    fn message_of_a_later_state_waits_for_the_entries() {
        let (mut log, mut ana, mut bob) = two();
        extend(&mut log, &[(ANA, ANA, Change::Topic("new".into()))]);
        let message = say_in(&mut ana, &log, "hi");
        let reports = ingest(&mut bob, ANA, &id(&log), &message);
        assert_eq!(refusals(&reports), ["a room's state that is not known here yet"]);
        assert!(receipts(&reports).is_empty(), "ana sends it again");
        bob.apply(noted(&log));
        assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &message)), ["hi"]);
    }

    #[test]
    fn epochs_never_fall_along_a_stream() {
        let (before, mut ana, mut bob) = two();
        let mut log = before.clone();
        extend(&mut log, &[(ANA, ANA, Change::Topic("new".into()))]);
        bob.apply(noted(&log));
        let first = say_in(&mut ana, &log, "in the new state");
        let second = say_in(&mut ana, &before, "in the old one");
        assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &first)).len(), 1);
        let reports = ingest(&mut bob, ANA, &id(&log), &second);
        assert_eq!(refusals(&reports), ["an earlier epoch than that of the message before"]);
    }

    #[test]
    fn revoked_key_signs_nothing_beyond_the_stated_end() {
        let (mut log, mut ana, mut bob) = two();
        let messages = ["before", "after"].map(|text| say_in(&mut ana, &log, text));
        let ends = vec![(messages[0][0].provenance.incarnation, 1)];
        let phone = Change::Device(device("phone"));
        let revoked = Change::Revoked { key: device(ANA), ends };
        extend(&mut log, &[(ANA, ANA, phone), (ANA, "phone", revoked)]);
        bob.apply(noted(&log));
        assert_eq!(texts(&ingest(&mut bob, ANA, &id(&log), &messages[0])), ["before"]);
        let reports = ingest(&mut bob, ANA, &id(&log), &messages[1]);
        assert_eq!(refusals(&reports), ["a key that its author has revoked"]);
    }

    #[test]
    fn memberships_are_those_of_the_log_even_between_two_snapshots() {
        let (mut log, mut ana, mut bob) = two();
        let message = say_in(&mut bob, &log, "before I left");
        extend(&mut log, &[(BOB, BOB, Change::Left), joined(CARLA)]);
        let later = say_in(&mut bob, &log, "after I left");
        ana.apply(noted(&log));
        assert_eq!(texts(&ingest(&mut ana, BOB, &id(&log), &message)), ["before I left"]);
        let reports = ingest(&mut ana, BOB, &id(&log), &later);
        assert_eq!(refusals(&reports), ["the author was no member when it was written"]);
    }
}
