//! The last messages of streams, by their digests. Two members who name the same message by two digests find out that its
//! author has told each something else.
//!
//! Example: carla signs "yes" as her message 5 for ana, and "no" as her message 5 for bob. Ana's HAVE names message 5 with
//! its digest. Bob has another one, and requests Ana's. Both messages carry Carla's signature, which is the proof.

use commons::incarnation::Incarnation;
use commons::limits::TIPS_MAX;
use commons::names::Username;
use commons::protocol::provenance::{StreamSpans, StreamTip};
use rusqlite::Result;

use crate::history::batch_assembler::StreamName;
use crate::history::conversation::ConversationId;
use crate::history::rows::digest_at;
use crate::history::tables::Tables;

impl Tables {
    /// Returns the last message of each of these streams, at most [`TIPS_MAX`]. Forgotten messages are left out.
    pub(crate) fn tips(&mut self, of: &ConversationId, streams: &[StreamSpans]) -> Result<Vec<StreamTip>> {
        let mut tips = Vec::new();
        for stream in streams.iter().take(TIPS_MAX) {
            let Some(seq) = stream.spans.last().map(|(_, last)| *last) else { continue };
            let Some(key) = self.key_of(of, &stream.username, stream.incarnation)? else { continue };
            if let Some(digest) = digest_at(&self.db, key, seq)? {
                let username = stream.username.clone();
                tips.push(StreamTip { username, incarnation: stream.incarnation, seq, digest });
            }
        }
        Ok(tips)
    }

    /// Returns the messages that a peer names by another digest than the stored one, unless the fork is known.
    pub(crate) fn conflicts(&mut self, of: &ConversationId, tips: &[StreamTip]) -> Result<Vec<StreamSpans>> {
        let mut streams = Vec::new();
        for tip in tips {
            let Some(key) = self.key_of(of, &tip.username, tip.incarnation)? else { continue };
            let differs = digest_at(&self.db, key, tip.seq)?.is_some_and(|here| here != tip.digest);
            if differs && !self.db.prepare_cached("SELECT 1 FROM forks WHERE stream = ?1")?.exists([key])? {
                let spans = vec![(tip.seq, tip.seq)];
                streams.push(StreamSpans {
                    username: tip.username.clone(),
                    incarnation: tip.incarnation,
                    spans,
                });
            }
        }
        Ok(streams)
    }

    fn key_of(&mut self, of: &ConversationId, author: &str, incarnation: Incarnation) -> Result<Option<i64>> {
        let Ok(author) = Username::parse(author) else { return Ok(None) };
        let name = StreamName { conversation: of.clone(), author, incarnation };
        Ok(self.known_stream(&name)?.map(|stream| stream.key))
    }
}

#[cfg(test)]
mod tests {
    use crate::history::message::{SignedMessage, Text};
    use crate::history::report::Report;
    use crate::history::signed_batch;
    use crate::history::testing::*;

    /// Returns the same message with another text, signed by the same author.
    fn other(message: &SignedMessage) -> SignedMessage {
        let mut other = message.clone();
        other.text = Text::Plain("no".into());
        let chain = signed_batch::chain(&room(), &user(BOB), std::slice::from_ref(&other)).unwrap();
        let author = message.author.as_str();
        other.provenance.signature = Some(signed_batch::sign(&key(author), &chain.tip()));
        other
    }

    #[test]
    fn two_messages_in_one_place_are_found_by_their_digests() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let yes = say(&mut history(CARLA), &room(), &["yes"], &[ANA, BOB]);
        ingest(&mut ana, CARLA, &room(), &yes);
        ingest(&mut bob, CARLA, &room(), &[other(&yes[0])]);
        let streams = ana.tables.spans(&room()).unwrap();
        let tips = ana.tables.tips(&room(), &streams).unwrap();
        assert_eq!(ana.tables.conflicts(&room(), &tips).unwrap(), [], "the control: the same message");
        let wanted = bob.tables.conflicts(&room(), &tips).unwrap();
        let handed = ana.tables.hand_over(&room(), &user(BOB), &wanted, 0).unwrap();
        let reports = ingest(&mut bob, ANA, &room(), &handed);
        assert!(reports.iter().any(|report| matches!(report, Report::Fork { .. })), "{reports:?}");
        assert_eq!(bob.tables.conflicts(&room(), &tips).unwrap(), [], "it is asked for once");
    }
}
