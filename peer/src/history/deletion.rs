//! The deletion of messages. Their texts are erased, but their sequence numbers stay known, so that a sync does
//! not bring them back.

use rusqlite::Result;

use crate::history::conversation::ConversationId;
use crate::history::report::GivenUp;
use crate::history::tables::Tables;

impl Tables {
    /// Erases the messages of a conversation and returns how many there were. Their sequence numbers stay known.
    pub fn forget(&mut self, conversation: &ConversationId) -> Result<usize> {
        self.prune_outbox(conversation, &[], 0, GivenUp::Forgotten)?;
        let Some(key) = self.known_conversation(conversation)?.map(|known| known.key) else { return Ok(0) };
        // The messages no longer show the sequence numbers and times, so these are written before.
        for name in self.stream_list(conversation)? {
            self.known_stream(&name)?;
        }
        self.write_deferred()?;
        self.write_meta()?;
        // No outbox row may remain for an erased message, not even for a withdrawn one.
        self.db.execute(
            "DELETE FROM outbox WHERE message IN (SELECT row FROM messages WHERE conversation = ?1)",
            [key],
        )?;
        self.db.execute(
            "UPDATE streams SET (tip_seq, tip) =
                 (SELECT seq, digest FROM messages WHERE stream = streams.id ORDER BY seq DESC LIMIT 1)
             WHERE conversation = ?1 AND EXISTS (SELECT 1 FROM messages WHERE stream = streams.id)",
            [key],
        )?;
        self.db.execute(
            "INSERT INTO words (words, rowid, text) SELECT 'delete', row, text FROM messages
             WHERE conversation = ?1 AND row <= ?2 AND text IS NOT NULL",
            [key, self.meta.indexed],
        )?;
        self.withheld.get_mut().clear();
        let erased = self.db.execute("DELETE FROM messages WHERE conversation = ?1", [key])?;
        // Without this step, erased words stay in the index until it is rewritten.
        self.db.execute("INSERT INTO words (words) VALUES ('optimize')", [])?;
        self.streams.retain(|name, _| name.conversation != *conversation);
        self.own.remove(&key);
        self.assemblers.values_mut().for_each(|link| link.forget(conversation));
        Ok(erased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::report::Report;
    use crate::history::testing::*;

    #[test]
    fn erased_messages_do_not_return_and_later_ones_arrive() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages = say(&mut ana, &room(), &["secret 1", "secret 2"], &[BOB, CARLA]);
        ingest(&mut bob, ANA, &room(), &messages);
        let own = say(&mut bob, &room(), &["own secret"], &[ANA]);
        say(&mut bob, &private(ANA), &["stays secret"], &[ANA]);
        assert_eq!(search(&mut bob, "secret", 9).len(), 4);
        assert_eq!(bob.transaction(|it| it.forget(&room())).unwrap(), 3);
        assert_eq!(
            bob.commit(),
            [Report::GivenUp { to: user(ANA), ids: vec![own[0].id], why: GivenUp::Forgotten }]
        );
        assert_eq!(bob.transaction(|it| it.forget(&room())).unwrap(), 0);
        let left: Vec<_> = search(&mut bob, "secret", 9).into_iter().map(|message| message.text).collect();
        assert_eq!(left, ["stays secret"]);
        assert_eq!((stored_texts(&mut bob, &room()).len(), bob.tables.undelivered().unwrap().len()), (0, 1));
        let again = ingest(&mut bob, ANA, &room(), &messages);
        assert_eq!((texts(&again), refusals(&again)), (vec![], vec![]));
        assert_eq!(bob.tables.lacking(&room(), &spans(&mut ana, &room())).unwrap(), []);
        // All streams continue at their old numbers, including this device's own stream.
        let next = say(&mut ana, &room(), &["next"], &[BOB]);
        assert_eq!(texts(&ingest(&mut bob, ANA, &room(), &next)), ["next"]);
        let next = say(&mut bob, &room(), &["own next"], &[ANA]);
        assert_eq!((next[0].provenance.seq, next[0].provenance.previous), (2, own_tip(&own)));
        ingest(&mut ana, BOB, &room(), &own);
        assert_eq!(texts(&ingest(&mut ana, BOB, &room(), &next)), ["own next"]);
    }

    /// Returns the digest that the next message after these must name as its predecessor.
    fn own_tip(messages: &[crate::history::message::SignedMessage]) -> Option<commons::digest::Digest> {
        crate::history::signed_batch::chain(&room(), &user(BOB), messages).ok().map(|chain| chain.tip())
    }

    #[test]
    fn branch_that_contradicts_erased_messages_is_a_fork() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let first = say(&mut ana, &room(), &["1"], &[BOB]);
        ingest(&mut bob, ANA, &room(), &first);
        bob.transaction(|it| it.forget(&room())).unwrap();
        let mut other = history(ANA);
        other.tables.meta.incarnation = ana.tables.meta.incarnation;
        say(&mut other, &room(), &["another 1"], &[BOB]);
        let next = say(&mut other, &room(), &["2"], &[BOB]);
        let reports = ingest(&mut bob, ANA, &room(), &next);
        assert!(reports.iter().any(|report| matches!(report, Report::Fork { .. })), "{reports:?}");
    }
}
