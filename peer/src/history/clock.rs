//! Lamport clocks: one for each conversation.
//!
//! A message is stamped with a time after everything that its author has seen in the conversation. The history
//! sorts messages by that time. An author can choose any time, so a time counts only if it is in reach of the
//! other messages. The clock starts at zero. It moves to the time of a stored message that is at most
//! [`CLOCK_STEP`] ahead of it, and repeats this as long as it can. So the clock depends only on the set of stored
//! messages, and it never goes back.
//!
//! For example, messages with the times 3 and 2 (in units of `CLOCK_STEP`) arrive first: the clock stays at zero.
//! Then a message with time 1 arrives: the clock moves to 1, then to 2 and 3.
//!
//! Messages with a time after the clock do not move it. They are sorted before all others, so they hide no other
//! message. Peers that store the same messages show them in the same order.

use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use rusqlite::{OptionalExtension, Result, params};

use crate::history::conversation::ConversationId;
use crate::history::tables::{Omission, Tables};
use crate::limits::{CLOCK_STEP, LAMPORT_MAX};

impl Tables {
    /// Returns the Lamport time for the next own message, at most [`LAMPORT_MAX`].
    pub(crate) fn next_lamport(&self, of: &ConversationId) -> u64 {
        let clock = self.conversations.get(of).map_or(0, |known| known.clock);
        let claimed = self.claimed_times.get(of).copied().unwrap_or(0);
        (clock.max(claimed) + 1).min(LAMPORT_MAX)
    }

    /// Updates the clock of a conversation for a stored message with this Lamport time.
    pub(crate) fn advance_clock(&mut self, of: &ConversationId, time: u64) -> Result<()> {
        let believes_all = self.omits(Omission::Times);
        let Some(known) = self.conversations.get_mut(of) else { return Ok(()) };
        let before = known.clock;
        if believes_all || (known.clock..=known.clock + CLOCK_STEP).contains(&time) {
            known.clock = known.clock.max(time);
        } else if time > known.clock {
            known.has_far_messages = true;
        }
        let (key, mut clock, has_far_messages) = (known.key, known.clock, known.has_far_messages);
        if clock == before || !has_far_messages {
            return Ok(());
        }
        // The clock has moved, so it may reach times that were too far ahead before.
        while let Some(time) = self.latest_lamport(key, clock, clock + CLOCK_STEP)? {
            clock = time;
        }
        let has_far_messages = self.latest_lamport(key, clock, LAMPORT_MAX)?.is_some();
        if let Some(known) = self.conversations.get_mut(of) {
            (known.clock, known.has_far_messages) = (clock, has_far_messages);
        }
        Ok(())
    }

    /// Returns the latest Lamport time of a stored message in the range `after < time <= to`.
    pub(crate) fn latest_lamport(&self, conversation: i64, after: u64, to: u64) -> Result<Option<u64>> {
        let mut query = self.db.prepare_cached(
            "SELECT max(lamport) FROM messages WHERE conversation = ?1 AND lamport > ?2 AND lamport <= ?3",
        )?;
        let found = params![conversation, after.cast_signed(), to.cast_signed()];
        let latest: Option<i64> = query.query_row(found, |row| row.get(0)).optional()?.flatten();
        Ok(latest.map(i64::cast_unsigned))
    }

    /// Notes the Lamport time that a peer claims for a conversation. The claim must be less than [`CLOCK_STEP`]
    /// ahead of the clock. It affects only the time of the next own message, not the order of messages.
    pub(crate) fn note_claimed_clock(&mut self, of: &ConversationId, claimed: u64) -> Result<()> {
        let clock = self.known_conversation(of)?.map_or(0, |known| known.clock);
        if claimed < clock + CLOCK_STEP {
            let known = self.claimed_times.entry(of.clone()).or_default();
            *known = claimed.max(*known);
        }
        Ok(())
    }

    /// Returns the content of a HAVE frame: the sequence ranges as in [`Self::spans_for`], and the Lamport clock.
    pub(crate) fn holdings_for(
        &mut self,
        of: &ConversationId,
        to: &Username,
        on: Option<PublicKey>,
        since: u64,
    ) -> Result<(Vec<StreamSpans>, Option<u64>)> {
        let clock = self.known_conversation(of)?.map(|known| known.clock);
        Ok((self.spans_for(of, to, on, since)?, clock.filter(|clock| *clock > 0)))
    }

    /// Writes the clocks that have moved to the database.
    pub(crate) fn write_clocks(&mut self) -> Result<()> {
        for known in self.conversations.values_mut().filter(|known| known.clock != known.written_clock) {
            self.db
                .prepare_cached("UPDATE conversations SET clock = ?2 WHERE id = ?1")?
                .execute(params![known.key, known.clock.cast_signed()])?;
            known.written_clock = known.clock;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use commons::incarnation::Incarnation;
    use commons::protocol::provenance::Provenance;
    use uuid::Uuid;

    use crate::history::message::{NO_DIGEST, SignedMessage, Text};
    use crate::history::request::Request;
    use crate::history::signed_batch;
    use crate::history::tables::Omission;
    use crate::history::testing::*;
    use crate::limits::{CLOCK_STEP, LAMPORT_MAX};

    /// Builds a signed message with any Lamport time, as the first message of a new incarnation.
    fn at_time(name: &str, lamport: u64, text: &str) -> SignedMessage {
        let provenance = Provenance {
            incarnation: Incarnation(lamport),
            seq: 1,
            lamport,
            revision: REVISION,
            heads: Vec::new(),
            head: None,
            previous: Some(NO_DIGEST),
            device: Some(device(name)),
            signature: None,
        };
        let text = Text::Plain(text.to_owned());
        let mut message =
            SignedMessage { id: Uuid::now_v7(), author: user(name), sent_at: time(), text, provenance };
        let chain = signed_batch::chain(&room(), &user(name), std::slice::from_ref(&message)).unwrap();
        message.provenance.signature = Some(signed_batch::sign(&key(name), &chain.tip()));
        message
    }

    #[test]
    fn far_time_raises_no_clock_and_hides_no_message() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let far = at_time(CARLA, LAMPORT_MAX, "far");
        let first = say(&mut ana, &room(), &["1", "2"], &[BOB, CARLA]);
        // Bob receives the message with the far time before the others, Ana after them.
        ingest(&mut bob, CARLA, &room(), std::slice::from_ref(&far));
        ingest(&mut bob, ANA, &room(), &first);
        ingest(&mut ana, CARLA, &room(), &[far]);
        let answer = say(&mut bob, &room(), &["3"], &[ANA, CARLA]);
        ingest(&mut ana, BOB, &room(), &answer);
        let last = say(&mut ana, &room(), &["4"], &[BOB, CARLA]);
        ingest(&mut bob, ANA, &room(), &last);
        assert_eq!(stored_texts(&mut ana, &room()), ["far", "1", "2", "3", "4"]);
        assert_eq!(stored_texts(&mut bob, &room()), stored_texts(&mut ana, &room()));
        assert_eq!(ana.tables.page(&room(), None, 1).unwrap()[0].text, "4");
        assert_eq!(last[0].provenance.lamport, 4);
    }

    /// The control: a clock that believes every time is at its end at once. Then only the names decide the order.
    #[test]
    fn control_believed_far_time_spoils_the_order() {
        let mut ana = history(ANA);
        let mut bob = history(BOB);
        for history in [&mut ana, &mut bob] {
            history.tables.omission = Some(Omission::Times);
            ingest(history, CARLA, &room(), &[at_time(CARLA, LAMPORT_MAX, "far")]);
        }
        let question = say(&mut bob, &room(), &["question"], &[ANA]);
        ingest(&mut ana, BOB, &room(), &question);
        say(&mut ana, &room(), &["answer"], &[BOB]);
        assert_eq!(stored_texts(&mut ana, &room()), ["answer", "question", "far"]);
    }

    #[test]
    fn far_time_is_believed_once_steps_lead_to_it() {
        let mut ana = history(ANA);
        let steps = |n: u64| at_time(CARLA, n * CLOCK_STEP, &n.to_string());
        ingest(&mut ana, CARLA, &room(), &[steps(3)]);
        ingest(&mut ana, CARLA, &room(), &[steps(2)]);
        say(&mut ana, &room(), &["here"], &[BOB]);
        assert_eq!(stored_texts(&mut ana, &room()), ["2", "3", "here"]);
        ingest(&mut ana, CARLA, &room(), &[steps(1)]);
        assert_eq!(stored_texts(&mut ana, &room()), ["here", "1", "2", "3"]);
        let last = say(&mut ana, &room(), &["last"], &[BOB]);
        assert_eq!(last[0].provenance.lamport, 3 * CLOCK_STEP + 1);
        assert_eq!(stored_texts(&mut ana, &room()).last().map(String::as_str), Some("last"));
    }

    #[test]
    fn newcomer_starts_after_the_time_of_a_member() {
        let (mut ana, mut carla) = (history(ANA), history(CARLA));
        for n in 0..9 {
            say(&mut ana, &room(), &[&n.to_string()], &[BOB]);
        }
        let (_, lamport) = ana.tables.holdings_for(&room(), &user(CARLA), None, u64::MAX).unwrap();
        assert_eq!(lamport, Some(9));
        let tells =
            |lamport| Request::AckRanges { from: user(ANA), conversation: room(), theirs: vec![], lamport };
        carla.apply(tells(lamport));
        // A false claim cannot move a new member out of reach of the others.
        carla.apply(tells(Some(LAMPORT_MAX)));
        let hello = say(&mut carla, &room(), &["hello"], &[ANA]);
        assert_eq!(hello[0].provenance.lamport, 10);
        ingest(&mut ana, CARLA, &room(), &hello);
        assert_eq!(ana.tables.page(&room(), None, 1).unwrap()[0].text, "hello");
    }

    #[test]
    fn each_conversation_has_a_clock_of_its_own() {
        let mut ana = history(ANA);
        for _ in 0..9 {
            say(&mut ana, &private(BOB), &["elsewhere"], &[BOB]);
        }
        assert_eq!(say(&mut ana, &room(), &["here"], &[BOB])[0].provenance.lamport, 1);
    }

    #[test]
    fn clock_outlives_the_program_and_a_claim_orders_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        ingest(&mut ana, CARLA, &room(), &[at_time(CARLA, 40, "40")]);
        ingest(&mut ana, CARLA, &room(), &[at_time(CARLA, LAMPORT_MAX, "far")]);
        drop(ana);
        let (mut ana, _) = history_in(folder.path(), ANA);
        let lamport = Some(CLOCK_STEP);
        ana.apply(Request::AckRanges { from: user(BOB), conversation: room(), theirs: vec![], lamport });
        ingest(&mut ana, CARLA, &room(), &[at_time(CARLA, CLOCK_STEP + 41, "beyond")]);
        assert_eq!(stored_texts(&mut ana, &room()), ["beyond", "far", "40"]);
        assert_eq!(say(&mut ana, &room(), &["last"], &[BOB])[0].provenance.lamport, CLOCK_STEP + 1);
        assert_eq!(stored_texts(&mut ana, &room()), ["far", "40", "last", "beyond"]);
    }

    #[test]
    fn export_has_the_order_of_the_history() {
        let mut ana = history(ANA);
        for (time, text) in [(LAMPORT_MAX, "far"), (LAMPORT_MAX - 1, "farther"), (0, "zero"), (1, "one")] {
            ingest(&mut ana, CARLA, &room(), &[at_time(CARLA, time, text)]);
        }
        say(&mut ana, &room(), &["last"], &[BOB]);
        let (mut exported, mut after) = (Vec::new(), Some(i64::MIN));
        while let Some(from) = after {
            let (messages, next) = ana.tables.export(&room(), from, 1).unwrap();
            exported.extend(messages.into_iter().map(|message| message.text));
            after = next;
        }
        assert_eq!(exported, stored_texts(&mut ana, &room()));
        assert_eq!(exported, ["farther", "far", "zero", "one", "last"]);
    }
}
