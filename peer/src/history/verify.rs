//! The verification of received messages.
//!
//! A signed batch is stored only if it passes five checks. Its author's key must have signed it. Its author must
//! have been a member at the batch's revision. In a room with a log it must name an entry of that log. It must not be a
//! duplicate. It must fit the stored neighbours of its stream.
//!
//! Example: message 5 is stored, and a batch with messages 6 and 7 arrives. Its first message must name the digest
//! of message 5; otherwise the author has signed two different histories, which is a fork.

use std::collections::BTreeMap;

use commons::keys::PublicKey;
use commons::names::Username;
use rusqlite::{Result, params};

use crate::history::batch_assembler::StreamName;
use crate::history::conversation::ConversationId;
use crate::history::incarnation::new_incarnation;
use crate::history::message::{SignedMessage, Text};
use crate::history::rows::{digest_at, previous_at};
use crate::history::signed_batch::{self, Chain};
use crate::history::tables::{Omission, Tables};
use crate::limits::{STREAM_PIECES, STREAMS_OF_ONE};

/// The reason why a batch is not stored.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// The batch is already stored.
    Duplicate,
    /// A different message with this sequence number is stored.
    Fork(u64),
    /// The batch is refused for good.
    Refused(&'static str),
    /// The batch may be accepted when it is sent again.
    NotYet(&'static str),
}

impl Tables {
    /// Returns the keys that are trusted for an author. This device's key is always trusted for its user.
    pub(crate) fn keys_of(
        &self,
        author: &Username,
        trusted: &BTreeMap<Username, Vec<PublicKey>>,
    ) -> Vec<PublicKey> {
        let own = (*author == self.me).then_some(self.device);
        trusted.get(author).into_iter().flatten().copied().chain(own).collect()
    }

    /// Verifies a batch. Returns its chain if it is valid and new, otherwise the verdict.
    pub(crate) fn verify(
        &mut self,
        name: &StreamName,
        from: &Username,
        batch: &[SignedMessage],
        keys: &[PublicKey],
    ) -> Result<std::result::Result<Chain, Verdict>> {
        let chain = match signed_batch::chain(&name.conversation, &self.me, batch) {
            Ok(chain) => chain,
            Err(why) => return Ok(Err(Verdict::Refused(why))),
        };
        let (first, last) = numbers(batch);
        if !self.omits(Omission::Doubles) && self.is_stored(name, first, &chain)? {
            return Ok(Err(Verdict::Duplicate));
        }
        if !keys.contains(&chain.start.device) {
            return Ok(Err(Verdict::Refused("not a key of its author")));
        }
        if let ConversationId::Private(other) = &name.conversation
            && (other != from || ![other, &self.me].contains(&&name.author))
        {
            return Ok(Err(Verdict::Refused("a private message of somebody else")));
        }
        let signature = batch.last().and_then(|last| last.provenance.signature);
        // Earlier versions did not sign private messages. The author's own link is their proof.
        let needs_none = name.conversation.room().is_none() && name.author == *from && signature.is_none();
        let is_signed =
            signature.is_some_and(|it| signed_batch::is_signed(&chain.start.device, &chain.tip(), &it));
        if !is_signed && !needs_none && !self.omits(Omission::Signatures) {
            return Ok(Err(Verdict::Refused("a signature that is not its author's")));
        }
        // The signature covers the digest of a text only, so that anybody can leave the text out.
        let is_withdrawn = |message: &SignedMessage| matches!(message.text, Text::Withdrawn(_));
        if name.author != *from && name.author != self.me && batch.iter().any(is_withdrawn) {
            return Ok(Err(Verdict::NotYet("a withdrawal that does not come from its author")));
        }
        if let Some(room) = name.conversation.room() {
            if let Some(verdict) = self.check_log(room, name, batch, &chain)? {
                return Ok(Err(verdict));
            }
            if let Some(verdict) = self.check_membership(name, batch[0].provenance.revision)? {
                return Ok(Err(verdict));
            }
        }
        Ok(self.check_neighbours(name, first, last, &chain)?.map_or(Ok(chain), Err))
    }

    /// Checks that the author was a member when the batch was written. The user's own messages need no membership:
    /// they may come from an earlier stay that this device does not know of.
    fn check_membership(&mut self, name: &StreamName, revision: u64) -> Result<Option<Verdict>> {
        if name.author == self.me {
            return Ok(None);
        }
        let conversation = self.conversation(&name.conversation, None)?;
        let author = self.user_key(&name.author)?;
        let mut query = self.db.prepare_cached(
            "SELECT 1 FROM memberships WHERE conversation = ?1 AND user = ?2 AND since <= ?3
             AND (until IS NULL OR until >= ?3)",
        )?;
        if query.exists(params![conversation.key, author, revision.cast_signed()])? {
            return Ok(None);
        }
        // The tracker may still send this revision.
        Ok(Some(if revision > conversation.revision {
            Verdict::NotYet("a room's state that is not known here yet")
        } else {
            Verdict::Refused("the author was no member when it was written")
        }))
    }

    /// Checks that the batch fits the stored messages of its stream.
    fn check_neighbours(
        &mut self,
        name: &StreamName,
        first: u64,
        last: u64,
        chain: &Chain,
    ) -> Result<Option<Verdict>> {
        let is_ours = name.author == self.me && name.incarnation == self.meta.incarnation;
        let Some(stream) = self.known_stream(name)? else {
            return if is_ours {
                self.begin_incarnation()
            } else if self.streams_of(name)? >= STREAMS_OF_ONE {
                Ok(Some(Verdict::Refused("too many stores of one author")))
            } else {
                Ok(None)
            };
        };
        let (key, device, tip) = (stream.key, stream.device, stream.tip);
        let overlaps = stream.spans.touches(first, last);
        let has_neighbour = stream.spans.touches(first - 1, last + 1);
        let is_scattered = !has_neighbour && stream.spans.pieces() >= STREAM_PIECES;
        if device != chain.start.device {
            return Ok(Some(Verdict::Refused("another key in the same stream")));
        }
        if overlaps && !self.omits(Omission::Doubles) {
            for (seq, digest) in (first..).zip(&chain.digests) {
                if digest_at(&self.db, key, seq)?.is_some_and(|here| here != *digest) {
                    return Ok(Some(Verdict::Fork(seq)));
                }
            }
            return Ok(Some(Verdict::Refused("a batch across another one")));
        }
        let before = match digest_at(&self.db, key, first - 1)? {
            Some(digest) => Some(digest),
            None => tip.filter(|(seq, _)| *seq == first - 1).map(|(_, digest)| digest),
        };
        if before.is_some_and(|before| before != chain.previous) {
            return Ok(Some(Verdict::Fork(first)));
        }
        if previous_at(&self.db, key, last + 1)?.is_some_and(|after| after != chain.tip()) {
            return Ok(Some(Verdict::Fork(last)));
        }
        if is_scattered {
            return Ok(Some(Verdict::NotYet("too many gaps before it")));
        }
        if is_ours { self.begin_incarnation() } else { Ok(None) }
    }

    /// Starts a new incarnation. Our key has signed messages of the current one that are not stored here, so this
    /// store was restored from a backup.
    fn begin_incarnation(&mut self) -> Result<Option<Verdict>> {
        self.sign_open_batches()?;
        self.own.clear();
        self.meta.incarnation = new_incarnation();
        Ok(None)
    }

    /// Returns whether exactly these messages are stored, or were stored until they were erased.
    fn is_stored(&mut self, name: &StreamName, first: u64, chain: &Chain) -> Result<bool> {
        let Some(stream) = self.known_stream(name)? else { return Ok(false) };
        let key = stream.key;
        let last = first + chain.digests.len() as u64 - 1;
        if stream.device != chain.start.device || !stream.spans.iter().any(|(a, b)| a <= first && last <= b) {
            return Ok(false);
        }
        for (seq, digest) in (first..).zip(&chain.digests) {
            if digest_at(&self.db, key, seq)?.is_some_and(|here| here != *digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts the streams of the author in the conversation.
    fn streams_of(&mut self, name: &StreamName) -> Result<i64> {
        let conversation = self.conversation(&name.conversation, None)?.key;
        let author = self.user_key(&name.author)?;
        let mut query =
            self.db.prepare_cached("SELECT count(*) FROM streams WHERE conversation = ?1 AND author = ?2")?;
        query.query_row([conversation, author], |row| row.get(0))
    }
}

/// Returns the first and the last sequence number of a batch.
pub(crate) fn numbers(batch: &[SignedMessage]) -> (u64, u64) {
    let seq = |message: Option<&SignedMessage>| message.map_or(0, |message| message.provenance.seq);
    (seq(batch.first()), seq(batch.last()))
}

#[cfg(test)]
mod tests {
    use commons::incarnation::Incarnation;
    use uuid::Uuid;

    use super::*;
    use crate::history::history_db::{HistoryDb, Place};
    use crate::history::message::{NO_DIGEST, Text};
    use crate::history::report::Report;
    use crate::history::request::Request;
    use crate::history::testing::*;

    /// Returns three batches of one stream, with five, one and four messages.
    fn stream() -> (Vec<SignedMessage>, Vec<SignedMessage>, Vec<SignedMessage>) {
        let mut ana = history(ANA);
        let mut batch = |texts: &[&str]| say(&mut ana, &room(), texts, &[BOB, CARLA]);
        (batch(&["1", "2", "3", "4", "5"]), batch(&["6"]), batch(&["7", "8", "9", "10"]))
    }

    /// Signs the same messages again with the key of another user.
    fn signed_by(name: &str, messages: &[SignedMessage]) -> Vec<SignedMessage> {
        let mut messages = messages.to_vec();
        messages[0].provenance.device = Some(device(name));
        let tip = signed_batch::chain(&room(), &user(BOB), &messages).unwrap().tip();
        messages.last_mut().unwrap().provenance.signature = Some(signed_batch::sign(&key(name), &tip));
        messages
    }

    #[test]
    fn any_cut_at_the_end_of_a_group_proves_itself_in_any_order() {
        let (a, b, c) = stream();
        let orders: [[&[SignedMessage]; 3]; 3] = [[&a, &b, &c], [&c, &a, &b], [&b, &c, &a]];
        for order in orders {
            let mut bob = history(BOB);
            for batch in order {
                assert_eq!(refusals(&ingest(&mut bob, CARLA, &room(), batch)), [""; 0]);
            }
            assert_eq!(stored_texts(&mut bob, &room()), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        }
    }

    #[test]
    fn only_the_author_can_write_alter_move_or_reorder_a_message() {
        let (messages, ..) = stream();
        let changed = |change: fn(&mut Vec<SignedMessage>)| {
            let mut messages = messages.clone();
            change(&mut messages);
            messages
        };
        let forgeries = [
            changed(|messages| messages[2].text = Text::Plain("forged".into())),
            changed(|messages| messages.iter_mut().for_each(|message| message.author = user(CARLA))),
            changed(|messages| messages[1].id = Uuid::now_v7()),
            changed(|messages| messages[1].sent_at += chrono::TimeDelta::milliseconds(1)),
            changed(|messages| messages[4].provenance.lamport += 1),
            changed(|messages| messages.iter_mut().for_each(|message| message.provenance.revision = 2)),
            changed(|messages| {
                messages.iter_mut().for_each(|message| message.provenance.incarnation = Incarnation(1))
            }),
            changed(|messages| {
                let text = messages[1].text.clone();
                messages[1].text = std::mem::replace(&mut messages[2].text, text);
            }),
            changed(|messages| messages[3].provenance.heads = vec![Uuid::now_v7()]),
            changed(|messages| messages.iter_mut().for_each(|message| message.provenance.seq += 1)),
            // A message is removed, and the signature is moved to the rest.
            changed(|messages| {
                let signature = messages[4].provenance.signature;
                messages.truncate(3);
                messages[2].provenance.signature = signature;
            }),
            signed_by(CARLA, &messages),
        ];
        for forgery in &forgeries {
            let mut bob = history(BOB);
            let reports = ingest(&mut bob, CARLA, &room(), forgery);
            assert_eq!(texts(&reports), [""; 0]);
            assert_eq!(refusals(&reports).len(), 1);
        }
        let mut bob = history(BOB);
        assert_eq!(texts(&ingest(&mut bob, CARLA, &room(), &messages)).len(), 5, "the true ones are taken");
        let mut carla = history(CARLA);
        let elsewhere = ConversationId::Room(Uuid::from_u128(0xbad));
        assert_eq!(texts(&ingest(&mut carla, BOB, &elsewhere, &messages)), [""; 0], "moved to another room");
    }

    /// Control: without the check of signatures, a member could forge messages of another member.
    #[test]
    fn without_signatures_a_forgery_would_be_taken() {
        let (mut messages, ..) = stream();
        messages[2].text = Text::Plain("forged".into());
        let mut bob = history(BOB);
        bob.tables.omission = Some(Omission::Signatures);
        assert!(texts(&ingest(&mut bob, CARLA, &room(), &messages)).contains(&"forged".to_owned()));
    }

    #[test]
    fn fork_is_reported_once_and_the_first_message_stays() {
        let (first, second, _) = stream();
        let mut other = first.clone();
        other[1].text = Text::Plain("another two".into());
        let other = signed_by(ANA, &other);
        let mut bob = history(BOB);
        ingest(&mut bob, ANA, &room(), &first);
        let reports = ingest(&mut bob, ANA, &room(), &other);
        let fork = Report::Fork { conversation: room(), room: sala(), author: user(ANA) };
        assert!(reports.contains(&fork), "{reports:?}");
        assert!(!ingest(&mut bob, CARLA, &room(), &other).contains(&fork), "claimed before");
        assert_eq!(stored_texts(&mut bob, &room()), ["1", "2", "3", "4", "5"]);
        // A batch that follows one branch of the fork does not fit the other.
        let mut carla = history(CARLA);
        ingest(&mut carla, ANA, &room(), &other);
        let reports = ingest(&mut carla, ANA, &room(), &second);
        assert!(reports.iter().any(|report| matches!(report, Report::Fork { .. })), "{reports:?}");
        let mut carla = history(CARLA);
        ingest(&mut carla, ANA, &room(), &second);
        let reports = ingest(&mut carla, ANA, &room(), &other);
        assert!(reports.iter().any(|report| matches!(report, Report::Fork { .. })), "{reports:?}");
        assert_eq!(stored_texts(&mut carla, &room()), ["6"]);
    }

    #[test]
    fn only_members_can_write_and_only_since_they_joined() {
        let (messages, ..) = stream();
        let hears = |rooms: &[Request]| {
            let mut bob = HistoryDb::open(&Place::Memory, &author(BOB)).unwrap().0;
            rooms.iter().for_each(|room| bob.apply(room.clone()));
            ingest(&mut bob, CARLA, &room(), &messages)
        };
        assert_eq!(texts(&hears(&[snapshot(3, &[(ANA, 1), (BOB, 2)])])).len(), 5);
        assert_eq!(
            texts(&hears(&[snapshot(3, &[(ANA, 1)]), snapshot(9, &[(BOB, 2)])])).len(),
            5,
            "left later"
        );
        let never = hears(&[snapshot(5, &[(BOB, 2)])]);
        assert_eq!(refusals(&never), ["the author was no member when it was written"]);
        assert_eq!(receipts(&never), [messages[4].id], "it need not come again");
        let later = hears(&[snapshot(5, &[(ANA, 4), (BOB, 2)])]);
        assert_eq!(refusals(&later), ["the author was no member when it was written"]);
        let earlier = hears(&[snapshot(1, &[(ANA, 1)]), snapshot(3, &[(BOB, 2)])]);
        assert_eq!(refusals(&earlier), ["the author was no member when it was written"], "left before");
        let unknown = hears(&[snapshot(2, &[(BOB, 2)])]);
        assert_eq!(refusals(&unknown), ["a room's state that is not known here yet"]);
        assert!(receipts(&unknown).is_empty(), "it has to come again");
    }

    #[test]
    fn private_message_comes_from_its_author_only() {
        let mut ana = history(ANA);
        let messages = say(&mut ana, &private(BOB), &["only you", "read this"], &[BOB]);
        let mut bob = history(BOB);
        assert_eq!(texts(&ingest(&mut bob, CARLA, &private(CARLA), &messages)), [""; 0]);
        assert_eq!(texts(&ingest(&mut bob, CARLA, &private(ANA), &messages)), [""; 0]);
        assert_eq!(texts(&ingest(&mut bob, ANA, &private(ANA), &messages[1..])), ["read this"]);
        let reports = ingest(&mut bob, ANA, &private(ANA), &messages);
        assert_eq!(texts(&reports), ["only you"]);
        assert_eq!(receipts(&reports), [messages[1].id]);
        // Earlier versions sent private messages without a signature. They are accepted on the author's link, but a
        // wrong signature is not.
        for signature in [None, messages[1].provenance.signature] {
            let mut message = messages[0].clone();
            message.provenance.signature = signature;
            let received = texts(&ingest(&mut history(BOB), ANA, &private(ANA), &[message]));
            assert_eq!(received.len(), usize::from(signature.is_none()));
        }
    }

    #[test]
    fn own_private_message_is_taken_from_the_partner_if_signed() {
        let (mut ana, mut new) = (history(ANA), history(ANA));
        let messages = say(&mut ana, &private(BOB), &["mine"], &[BOB]);
        let mut unsigned = messages.clone();
        unsigned[0].provenance.signature = None;
        let mut altered = messages.clone();
        altered[0].text = Text::Plain("not mine".into());
        for (by, of, forged) in [(BOB, BOB, &unsigned), (BOB, BOB, &altered), (CARLA, CARLA, &messages)] {
            assert_eq!(refusals(&ingest(&mut new, by, &private(of), forged)).len(), 1);
        }
        assert_eq!(texts(&ingest(&mut new, BOB, &private(BOB), &messages)), ["mine"]);
    }

    #[test]
    fn doubles_are_swallowed_and_receipted() {
        let (first, second, _) = stream();
        let mut bob = history(BOB);
        let mut shown = Vec::new();
        for messages in [&first, &second, &first, &first, &second] {
            let reports = ingest(&mut bob, ANA, &room(), messages);
            shown.extend(texts(&reports));
            assert_eq!(receipts(&reports), [messages.last().unwrap().id]);
        }
        assert_eq!(shown, ["1", "2", "3", "4", "5", "6"]);
    }

    /// Control: without the check for duplicates, messages would be shown again.
    #[test]
    fn without_that_doubles_would_be_shown() {
        let (first, ..) = stream();
        let mut bob = history(BOB);
        bob.tables.omission = Some(Omission::Doubles);
        ingest(&mut bob, ANA, &room(), &first);
        assert_eq!(texts(&ingest(&mut bob, ANA, &room(), &first)).len(), 5);
    }

    #[test]
    fn id_is_unique_per_author_and_cannot_be_taken_by_others() {
        let (messages, ..) = stream();
        let mut bob = history(BOB);
        // Carla writes a message with the id of Ana's message before Bob has received Ana's.
        let mut carla = history(CARLA);
        let mut twin = draft(&room(), "mine", &[BOB]);
        twin.id = messages[0].id;
        carla.apply(Request::Append(twin));
        let twin = outgoing_messages(carla.commit()).remove(0).message;
        assert_eq!(texts(&ingest(&mut bob, CARLA, &room(), &[twin])), ["mine"]);
        assert_eq!(texts(&ingest(&mut bob, ANA, &room(), &messages)).len(), 5);
        // Ana herself uses the id for another message.
        let mut again = messages[..1].to_vec();
        again[0].provenance.incarnation = Incarnation(9);
        again[0].provenance.previous = Some(NO_DIGEST);
        let again = signed_by(ANA, &again);
        assert_eq!(
            refusals(&ingest(&mut bob, ANA, &room(), &again)),
            ["an identity that is another message's"]
        );
        assert_eq!(stored_texts(&mut bob, &room()).len(), 6);
    }

    #[test]
    fn scattered_pieces_of_a_stream_are_bounded() {
        let mut ana = history(ANA);
        let batches: Vec<_> = (0..200).map(|n| say(&mut ana, &room(), &[&n.to_string()], &[BOB])).collect();
        let mut bob = history(BOB);
        let taken = |bob: &mut HistoryDb, batches: &mut dyn Iterator<Item = &Vec<SignedMessage>>| {
            batches.map(|batch| texts(&ingest(bob, ANA, &room(), batch)).len()).sum::<usize>()
        };
        assert_eq!(taken(&mut bob, &mut batches.iter().step_by(2)), STREAM_PIECES);
        assert_eq!(taken(&mut bob, &mut batches.iter()), 200 - STREAM_PIECES, "in order they all find room");
    }
}
