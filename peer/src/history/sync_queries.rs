//! The database queries of the sync protocol.
//!
//! They answer three questions about a conversation: which messages this peer holds (HAVE), which messages of
//! another peer it lacks (WANT), and which messages it may send to that peer (LINES).
//!
//! Example: Ana holds the messages 1 to 9 of Carla and Bob holds 1 to 5. Ana sends HAVE 1-9, Bob answers WANT 6-9,
//! and Ana sends the signed batches that contain 6 to 9.

use std::collections::BTreeMap;

use commons::incarnation::Incarnation;
use commons::keys::PublicKey;
use commons::limits::{BATCH_BYTES, BATCH_LINES, SPANS_MAX};
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use rusqlite::{Result, params};

use crate::history::acks::encoded_len;
use crate::history::batch_assembler::StreamName;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::message::SignedMessage;
use crate::history::rows::{batch_at, named_conversation, read_audience};
use crate::history::seq_ranges::SeqRanges;
use crate::history::tables::{Name, Stream, Tables, Withheld};
use crate::limits::HAND_OVER_BATCHES;

impl Tables {
    /// Returns the stored ranges of all streams of a conversation, at most `SPANS_MAX` ranges, newest streams
    /// first.
    pub(crate) fn spans(&mut self, of: &ConversationId) -> Result<Vec<StreamSpans>> {
        let mut room = SPANS_MAX;
        let mut streams = Vec::new();
        for name in self.stream_list(of)? {
            let Some(stream) = self.known_stream(&name)? else { continue };
            let spans: Vec<_> = stream.spans.iter().take(room).collect();
            room -= spans.len();
            if !spans.is_empty() {
                let username = name.author.as_str().to_owned();
                streams.push(StreamSpans { username, incarnation: name.incarnation, spans });
            }
        }
        Ok(streams)
    }

    /// Returns the names of all streams of a conversation, newest first.
    pub(crate) fn stream_list(&mut self, of: &ConversationId) -> Result<Vec<StreamName>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let mut query = self.db.prepare_cached(
            "SELECT a.name, s.incarnation FROM streams s JOIN users a ON a.id = s.author
             WHERE s.conversation = ?1 ORDER BY s.id DESC",
        )?;
        let names = query.query_map([known.key], |row| {
            Ok(StreamName {
                conversation: of.clone(),
                author: row.get::<_, Name>(0)?.0,
                incarnation: Incarnation(row.get::<_, i64>(1)?.cast_unsigned()),
            })
        })?;
        names.collect()
    }

    /// Returns the ranges for a HAVE to a device of a member who joined at revision `since`. They contain all
    /// messages of that device's own streams, as acks. Of other streams they contain only the messages that the
    /// member may receive from this peer.
    pub(crate) fn spans_for(
        &mut self,
        of: &ConversationId,
        to: &Username,
        on: Option<PublicKey>,
        since: u64,
    ) -> Result<Vec<StreamSpans>> {
        let mut claimed = self.spans(of)?;
        let mut room = SPANS_MAX;
        for stream in &mut claimed {
            let is_own = stream.username == to.as_str();
            let device = self.stream_of(of, stream)?.map(|stream| stream.device);
            if is_own && on.is_none_or(|requester| device == Some(requester)) {
                stream.spans.truncate(room);
                room -= stream.spans.len();
                continue;
            }
            let first = self.first_from(of, stream, if is_own { 0 } else { since }, is_own)?;
            let from = |first: u64| {
                let reaching = stream.spans.iter().filter(move |(_, last)| *last >= first);
                reaching.map(|(begin, last)| (first.max(*begin), *last)).collect()
            };
            stream.spans = first.map(from).unwrap_or_default();
            let withheld = self.withheld(of, stream, to)?;
            if withheld.iter().next().is_some() {
                stream.spans = SeqRanges::read(&stream.spans).unwrap_or_default().minus(&withheld).list();
            }
            stream.spans.truncate(room);
            room -= stream.spans.len();
        }
        claimed.retain(|stream| !stream.spans.is_empty());
        Ok(claimed)
    }

    /// Returns the own messages of a stream that were given up for a user, because this user left the room and came back.
    /// They are not handed over any more, so a HAVE must not offer them.
    fn withheld(&mut self, of: &ConversationId, stream: &StreamSpans, to: &Username) -> Result<SeqRanges> {
        let withheld = SeqRanges::default();
        let is_own = stream.username == self.me.as_str();
        let Some(room) = self.known_conversation(of)?.filter(|_| is_own && of.room().is_some()) else {
            return Ok(withheld);
        };
        let (me, Some(key)) =
            (self.known_user_key(&self.me)?, self.stream_of(of, stream)?.map(|stream| stream.key))
        else {
            return Ok(withheld);
        };
        let mut query = self.db.prepare_cached(
            "SELECT max(since), count(*) FROM memberships WHERE conversation = ?1 AND user = ?2",
        )?;
        let stay: (Option<i64>, i64) =
            query.query_row(params![room.key, me], |row| Ok((row.get(0)?, row.get(1)?)))?;
        drop(query);
        // Without an earlier stay there is nothing to look for.
        let (Some(since), 2..) = stay else { return Ok(withheld) };
        let mut known = self.withheld.borrow_mut();
        let known = known.entry((key, to.clone())).or_default();
        if known.since != since {
            *known = Withheld { since, ..Withheld::default() };
        }
        // Each HAVE to each peer asks for this, so no message is read twice.
        let mut query = self.db.prepare_cached(
            "SELECT seq, audience, revision FROM messages WHERE stream = ?1 AND seq > ?2 AND audience IS NOT NULL",
        )?;
        let mut rows = query.query(params![key, known.read_to])?;
        while let Some(row) = rows.next()? {
            let (seq, audience, revision): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            known.read_to = known.read_to.max(seq);
            if revision < since && !read_audience(Some(&audience)).contains(to) {
                known.seqs.insert(seq.cast_unsigned(), seq.cast_unsigned());
            }
        }
        Ok(known.seqs.clone())
    }

    /// Returns the first message of a stream that was written at revision `since` or later. For the asker's own
    /// messages in a private chat, it is the first signed one.
    fn first_from(
        &mut self,
        of: &ConversationId,
        stream: &StreamSpans,
        since: u64,
        is_own: bool,
    ) -> Result<Option<u64>> {
        let Some(key) = self.stream_of(of, stream)?.map(|stream| stream.key) else { return Ok(None) };
        let needs_signature = is_own && of.room().is_none();
        let mut query = self.db.prepare_cached(
            "SELECT min(seq) FROM messages WHERE stream = ?1 AND revision >= ?2 AND (signature IS NOT NULL OR NOT ?3)",
        )?;
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let first: Option<i64> = query.query_row(params![key, since, needs_signature], |row| row.get(0))?;
        Ok(first.map(i64::cast_unsigned))
    }

    /// Returns the stream that an entry of a HAVE or WANT names.
    fn stream_of(&mut self, of: &ConversationId, claimed: &StreamSpans) -> Result<Option<&mut Stream>> {
        let Ok(author) = Username::parse(&claimed.username) else { return Ok(None) };
        self.known_stream(&StreamName { conversation: of.clone(), author, incarnation: claimed.incarnation })
    }

    /// Returns the ranges for a WANT, at most `SPANS_MAX`: what `theirs` contains and this peer lacks. Streams of
    /// authors who were never members are left out.
    pub(crate) fn lacking(
        &mut self,
        of: &ConversationId,
        theirs: &[StreamSpans],
    ) -> Result<Vec<StreamSpans>> {
        let mut room = SPANS_MAX;
        let mut lacking = Vec::new();
        for claimed in theirs {
            let (Ok(author), Ok(spans)) =
                (Username::parse(&claimed.username), SeqRanges::read(&claimed.spans))
            else {
                continue;
            };
            if !self.can_write(of, &author)? {
                continue;
            }
            let name = StreamName { conversation: of.clone(), author, incarnation: claimed.incarnation };
            let here = self.known_stream(&name)?.map(|stream| stream.spans.clone()).unwrap_or_default();
            let mut pieces = spans.minus(&here).list();
            pieces.truncate(room);
            room -= pieces.len();
            if !pieces.is_empty() {
                let StreamSpans { username, incarnation, .. } = claimed.clone();
                lacking.push(StreamSpans { username, incarnation, spans: pieces });
            }
        }
        Ok(lacking)
    }

    /// Returns whether this author may have written in the conversation. A private chat may be unknown here,
    /// because its first message may be the one that is lacking.
    fn can_write(&mut self, of: &ConversationId, author: &Username) -> Result<bool> {
        match of {
            ConversationId::Private(other) => Ok(other == author || self.me == *author),
            ConversationId::Room(_) => {
                let Some(room) = self.known_conversation(of)?.map(|known| known.key) else {
                    return Ok(false);
                };
                let Some(author) = self.known_user_key(author)? else { return Ok(false) };
                self.db
                    .prepare_cached("SELECT 1 FROM memberships WHERE conversation = ?1 AND user = ?2")?
                    .exists([room, author])
            }
        }
    }

    /// Returns the wanted signed batches that this peer may send to `to`, at most `BATCH_BYTES` and `BATCH_LINES`
    /// unless one batch alone is longer. Only messages from revision `since` up to the latest known one are sent:
    /// at a later revision the recipient may not have been a member. Own messages are sent only to those for whom
    /// they were written. The recipient's own messages from another device are always sent; in a private chat they
    /// must be signed.
    pub(crate) fn hand_over(
        &mut self,
        of: &ConversationId,
        to: &Username,
        wanted: &[StreamSpans],
        since: u64,
    ) -> Result<Vec<SignedMessage>> {
        let known = self.known_conversation(of)?.map_or(0, |known| known.revision);
        let mut answer: Vec<SignedMessage> = Vec::new();
        let mut room = BATCH_BYTES;
        let mut looks = HAND_OVER_BATCHES;
        for (claimed, author, spans) in merged(wanted) {
            let is_own = author == *to;
            let states = if is_own { 0..=u64::MAX } else { since..=known };
            let name = StreamName { conversation: of.clone(), author, incarnation: claimed.incarnation };
            let Some(key) = self.known_stream(&name)?.map(|stream| stream.key) else { continue };
            // Messages from before the membership are skipped without reading them.
            let begin = if is_own { Some(0) } else { self.first_from(of, claimed, since, false)? };
            let Some(begin) = begin else { continue };
            for (first, last) in spans.iter() {
                let mut next = first.max(begin);
                while next <= last {
                    if looks == 0 {
                        return Ok(answer);
                    }
                    looks -= 1;
                    let batch = batch_at(&self.db, key, next)?;
                    let is_for = batch.iter().all(|stored| !stored.is_own || stored.audience.contains(to));
                    // An unsigned private message is trusted only on a link with its author.
                    let needs_signature = is_own && of.room().is_none();
                    let messages: Vec<_> = batch.into_iter().map(|stored| stored.message).collect();
                    let (Some(begin), Some(end)) = (messages.first(), messages.last()) else { break };
                    if begin.provenance.seq > last || end.provenance.seq < next {
                        break;
                    }
                    next = end.provenance.seq + 1;
                    if !is_for
                        || needs_signature && end.provenance.signature.is_none()
                        || !states.contains(&begin.provenance.revision)
                        || answer.iter().any(|message| message.id == begin.id)
                    {
                        continue;
                    }
                    let size = encoded_len(messages.iter());
                    if !answer.is_empty() && (size > room || answer.len() + messages.len() > BATCH_LINES) {
                        return Ok(answer);
                    }
                    room = room.saturating_sub(size);
                    answer.extend(messages);
                }
            }
        }
        Ok(answer)
    }

    /// Returns the conversation of a stream, and the name of its room.
    pub(crate) fn stream_conversation(&self, stream: i64) -> Result<NamedConversation> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name FROM streams s JOIN conversations c ON c.id = s.conversation
             LEFT JOIN users p ON p.id = c.peer WHERE s.id = ?1",
        )?;
        query.query_row([stream], named_conversation)
    }
}

/// Merges the wanted ranges by stream. A WANT that repeats a stream costs no more than one that does not.
fn merged(wanted: &[StreamSpans]) -> Vec<(&StreamSpans, Username, SeqRanges)> {
    let mut merged: Vec<(&StreamSpans, Username, SeqRanges)> = Vec::new();
    let mut places = BTreeMap::new();
    for claimed in wanted {
        let (Ok(author), Ok(spans)) = (Username::parse(&claimed.username), SeqRanges::read(&claimed.spans))
        else {
            continue;
        };
        let place = *places.entry((&claimed.username, claimed.incarnation)).or_insert(merged.len());
        match merged.get_mut(place) {
            Some((.., known)) => spans.iter().for_each(|(first, last)| known.insert(first, last)),
            None => merged.push((claimed, author, spans)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use commons::limits::BATCH_LINES;

    use super::*;
    use crate::history::answer::NotWithdrawn;
    use crate::history::history_db::HistoryDb;
    use crate::history::request::Request;
    use crate::history::testing::*;

    /// Syncs with another history until nothing is lacking. Returns the number of batches.
    fn catch_up(
        history: &mut HistoryDb,
        from: &mut HistoryDb,
        name: &str,
        of: &ConversationId,
        since: u64,
    ) -> usize {
        for batch in 0.. {
            let theirs = spans(from, of);
            let wanted = history.tables.lacking(of, &theirs).unwrap();
            let messages = from.tables.hand_over(of, &history.tables.me, &wanted, since).unwrap();
            assert!(messages.len() <= BATCH_LINES);
            if messages.is_empty() {
                return batch;
            }
            assert_eq!(refusals(&ingest(history, name, of, &messages)), [""; 0]);
        }
        unreachable!()
    }

    #[test]
    fn any_member_forwards_messages_of_any_other() {
        let (mut ana, mut bob, mut carla) = (history(ANA), history(BOB), history(CARLA));
        for n in 0..50 {
            let messages = say(&mut ana, &room(), &[&format!("a{n}")], &[BOB, CARLA]);
            ingest(&mut bob, ANA, &room(), &messages);
            say(&mut bob, &room(), &[&format!("b{n}")], &[ANA, CARLA]);
        }
        catch_up(&mut carla, &mut bob, BOB, &room(), 0);
        assert_eq!(stored_texts(&mut carla, &room()), stored_texts(&mut bob, &room()));
        assert_eq!(spans(&mut carla, &room()).len(), 2);
        catch_up(&mut ana, &mut carla, CARLA, &room(), 0);
        assert_eq!(stored_texts(&mut ana, &room()), stored_texts(&mut bob, &room()), "the same order at all");
        assert_eq!(ana.tables.lacking(&room(), &spans(&mut bob, &room())).unwrap(), []);
    }

    #[test]
    fn a_long_absence_is_caught_up_in_batches_that_are_full() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let texts: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
        for piece in texts.chunks(128) {
            let piece: Vec<_> = piece.iter().map(String::as_str).collect();
            say(&mut ana, &room(), &piece, &[BOB]);
        }
        assert_eq!(catch_up(&mut bob, &mut ana, ANA, &room(), 0), 1_000_usize.div_ceil(BATCH_LINES));
        assert_eq!(stored_texts(&mut bob, &room()), texts);
    }

    #[test]
    fn no_message_from_before_a_membership_is_handed_over() {
        let mut ana = history(ANA);
        for revision in [1, 2, 3] {
            let mut message = draft(&room(), &revision.to_string(), &[CARLA]);
            message.revision = revision;
            ana.apply(Request::Append(message));
        }
        ana.commit();
        let mut carla = history(CARLA);
        catch_up(&mut carla, &mut ana, ANA, &room(), 3);
        assert_eq!(stored_texts(&mut carla, &room()), ["3"]);
    }

    #[test]
    fn have_offers_no_message_that_was_given_up() {
        let mut ana = history(ANA);
        let stored = say(&mut ana, &room(), &["1"], &[BOB]);
        ana.apply(Request::AckUpTo { to: user(BOB), ids: vec![stored[0].id] });
        say(&mut ana, &room(), &["2"], &[BOB]);
        let offered = |ana: &mut HistoryDb| -> Vec<_> {
            let (streams, _) = ana.tables.holdings_for(&room(), &user(BOB), None, 2).unwrap();
            streams.into_iter().flat_map(|stream| stream.spans).collect()
        };
        assert_eq!(offered(&mut ana), [(1, 2)], "the control");
        // Ana leaves, which gives up what waits, and joins again.
        ana.apply(Request::PruneOutbox { conversation: room(), members: Vec::new(), since: 0 });
        ana.apply(snapshot(4, &[(BOB, 2), (CARLA, 3)]));
        ana.apply(snapshot(5, &[(ANA, 5), (BOB, 2), (CARLA, 3)]));
        ana.commit();
        assert_eq!(offered(&mut ana), [(1, 1)]);
        // The next HAVE does not read the messages again.
        let written_behind = "UPDATE messages SET audience = replace(audience, 'bob', 'eve')";
        ana.tables.db.execute(written_behind, []).unwrap();
        assert_eq!(offered(&mut ana), [(1, 1)]);
        ana.tables.withheld.get_mut().clear();
        assert_eq!(offered(&mut ana), [], "the control: they are read once more");
        ana.tables.db.execute("UPDATE messages SET audience = replace(audience, 'eve', 'bob')", []).unwrap();
        ana.tables.withheld.get_mut().clear();
        let (wanted, to) = (spans(&mut ana, &room()), user(BOB));
        assert_eq!(
            ana.tables.hand_over(&room(), &to, &wanted, 2).unwrap().len(),
            1,
            "no more than is offered"
        );
    }

    #[test]
    fn have_with_many_withheld_messages_fits_a_frame() {
        let (mut ana, mut carla) = (history(ANA), history(CARLA));
        let theirs = say(&mut carla, &room(), &["hello"], &[ANA, BOB]);
        ingest(&mut ana, CARLA, &room(), &theirs);
        // Every second message is not for Bob.
        for n in 0..2 * SPANS_MAX + 2 {
            let audience: &[&str] = if n % 2 == 0 { &[BOB, CARLA] } else { &[CARLA] };
            ana.apply(Request::Append(draft(&room(), &n.to_string(), audience)));
        }
        ana.commit();
        ana.apply(snapshot(4, &[(BOB, 2), (CARLA, 3)]));
        ana.apply(snapshot(5, &[(ANA, 5), (BOB, 2), (CARLA, 3)]));
        ana.commit();
        let (streams, _) = ana.tables.holdings_for(&room(), &user(BOB), None, 2).unwrap();
        let named: usize = streams.iter().map(|stream| stream.spans.len()).sum();
        assert_eq!(named, SPANS_MAX, "a receiver drops a frame with more");
    }

    #[test]
    fn own_messages_go_to_their_recipients_only() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["for bob alone"], &[BOB]);
        say(&mut ana, &room(), &["for both"], &[BOB, CARLA]);
        let (mut bob, mut carla) = (history(BOB), history(CARLA));
        // Carla claims to have been a member from the beginning.
        catch_up(&mut carla, &mut ana, ANA, &room(), 0);
        assert_eq!(stored_texts(&mut carla, &room()), ["for both"]);
        // Control: the same WANT gives both messages to Bob.
        catch_up(&mut bob, &mut ana, ANA, &room(), 0);
        assert_eq!(stored_texts(&mut bob, &room()), ["for bob alone", "for both"]);
    }

    #[test]
    fn own_messages_of_another_computer_come_from_any_member() {
        let (mut old, mut bob) = (history(ANA), history(BOB));
        let mut earlier = draft(&room(), "of an earlier stay", &[BOB]);
        earlier.revision = 1;
        old.apply(Request::Append(earlier));
        old.apply(Request::Append(draft(&room(), "of this stay", &[BOB])));
        let messages: Vec<_> = outgoing_messages(old.commit()).into_iter().map(|sent| sent.message).collect();
        ingest(&mut bob, ANA, &room(), &messages);
        // Ana's account was moved to another device: the key is the same, but the store is new.
        let mut new = HistoryDb::open(&crate::history::history_db::Place::Memory, &author(ANA)).unwrap().0;
        new.apply(snapshot(REVISION, &[(ANA, 3), (BOB, 2)]));
        let wanted = new.tables.lacking(&room(), &spans(&mut bob, &room())).unwrap();
        let handed = bob.tables.hand_over(&room(), &user(ANA), &wanted, 3).unwrap();
        let shown = incoming_messages(&ingest(&mut new, BOB, &room(), &handed));
        let shown: Vec<_> =
            shown.iter().map(|received| (received.message.from.as_str(), &*received.message.text)).collect();
        assert_eq!(shown, [(ANA, "of an earlier stay"), (ANA, "of this stay")]);
        // The new device does not know the recipients, so it cannot withdraw the message.
        let withdrawn = new.transaction(|tables| tables.withdraw(&messages[0].id)).unwrap();
        assert_eq!(withdrawn, Err(NotWithdrawn::Unknown));
        // The new device writes a stream of its own, which syncs to the old device in the same way.
        let next = say(&mut new, &room(), &["of the new computer"], &[BOB]);
        ingest(&mut bob, ANA, &room(), &next);
        catch_up(&mut old, &mut bob, BOB, &room(), 1);
        assert_eq!(stored_texts(&mut old, &room()), stored_texts(&mut new, &room()));
        assert_eq!(old.tables.lacking(&room(), &spans(&mut bob, &room())).unwrap(), []);
        assert!(catch_up(&mut history(CARLA), &mut bob, BOB, &room(), 3) > 0);
        assert_eq!(
            bob.tables.hand_over(&room(), &user(CARLA), &wanted, 3).unwrap().len(),
            1,
            "the stay counts for others"
        );
    }

    #[test]
    fn private_messages_are_handed_over_by_either_side() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let mut messages = say(&mut ana, &private(BOB), &["of an earlier version", "1", "2"], &[BOB]);
        messages[0].provenance.signature = None;
        ingest(&mut bob, ANA, &private(ANA), &messages);
        say(&mut bob, &private(ANA), &["3"], &[ANA]);
        let all = spans(&mut bob, &private(ANA));
        // Another store of Ana's that knows nothing of Bob.
        let mut other = history(ANA);
        let wanted = other.tables.lacking(&private(BOB), &all).unwrap();
        let handed = bob.tables.hand_over(&private(ANA), &user(ANA), &wanted, 0).unwrap();
        ingest(&mut other, BOB, &private(BOB), &handed);
        assert_eq!(stored_texts(&mut other, &private(BOB)), ["1", "2", "3"]);
    }

    #[test]
    fn have_names_only_messages_that_the_device_may_get() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let mut messages = say(&mut ana, &private(BOB), &["of an earlier version", "1"], &[BOB]);
        messages[0].provenance.signature = None;
        ingest(&mut bob, ANA, &private(ANA), &messages);
        let mut claimed = |of: ConversationId, on| {
            let (streams, _) = bob.tables.holdings_for(&of, &user(ANA), Some(device(on)), 0).unwrap();
            streams.into_iter().flat_map(|stream| stream.spans).collect::<Vec<_>>()
        };
        assert_eq!(claimed(private(ANA), ANA), [(1, 2)], "the receipt");
        assert_eq!(claimed(private(ANA), CARLA), [(2, 2)]);
        bob.transaction(|it| it.forget(&private(ANA))).unwrap();
        let mut claimed =
            |on| bob.tables.holdings_for(&private(ANA), &user(ANA), Some(device(on)), 0).unwrap().0.len();
        assert_eq!((claimed(ANA), claimed(CARLA)), (1, 0), "erased messages are still acknowledged");
    }

    #[test]
    fn hostile_lists_are_not_believed_and_not_answered_at_length() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        say(&mut ana, &room(), &["1"], &[BOB]);
        let claimed = |username: &str, spans: Vec<(u64, u64)>| StreamSpans {
            username: username.to_owned(),
            incarnation: Incarnation(1),
            spans,
        };
        assert_eq!(bob.tables.lacking(&room(), &[claimed("NO NAME", vec![(1, 2)])]).unwrap(), []);
        assert_eq!(
            bob.tables.lacking(&room(), &[claimed("dora", vec![(1, 2)])]).unwrap(),
            [],
            "who never sat here"
        );
        assert_eq!(bob.tables.lacking(&room(), &[claimed(ANA, vec![(2, 1)])]).unwrap(), []);
        let many: Vec<_> = (0..2_000).map(|n| (3 * n + 1, 3 * n + 2)).collect();
        let lacking =
            bob.tables.lacking(&room(), &[claimed(ANA, many.clone()), claimed(CARLA, many.clone())]).unwrap();
        assert_eq!(lacking.iter().map(|stream| stream.spans.len()).sum::<usize>(), SPANS_MAX);
        let streams = [claimed(ANA, many), claimed("NO NAME", vec![(1, 2)])];
        assert_eq!(ana.tables.hand_over(&room(), &user(BOB), &streams, 0).unwrap(), []);
    }

    #[test]
    fn gap_is_reported_with_the_message_that_shows_it() {
        let mut ana = history(ANA);
        let batches: Vec<_> =
            (0..6).map(|n| say(&mut ana, &room(), &[&n.to_string()], &[BOB, CARLA])).collect();
        let missing = |history: &mut HistoryDb, batch: usize| {
            incoming_messages(&ingest(history, ANA, &room(), &batches[batch]))[0].missing
        };
        let mut bob = history(BOB);
        assert_eq!(missing(&mut bob, 1), 0, "Ana may have written before Bob came");
        assert_eq!(missing(&mut bob, 4), 2);
        assert_eq!(missing(&mut bob, 5), 0);
        assert_eq!(missing(&mut bob, 2), 0, "known to be missing");
        // Carla joined before the author, so she knows that messages are missing.
        let mut first =
            HistoryDb::open(&crate::history::history_db::Place::Memory, &author(CARLA)).unwrap().0;
        first.apply(snapshot(REVISION, &[(CARLA, 1), (ANA, 2)]));
        assert_eq!(missing(&mut first, 3), 3);
    }

    #[test]
    fn want_that_repeats_a_stream_is_looked_at_once() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["1", "2", "3"], &[BOB]);
        let wanted = spans(&mut ana, &room());
        let repeated: Vec<_> = (0..9).flat_map(|_| wanted.clone()).collect();
        assert_eq!(merged(&repeated), merged(&wanted));
        let given = ana.tables.hand_over(&room(), &user(BOB), &repeated, 0).unwrap();
        assert_eq!(given, ana.tables.hand_over(&room(), &user(BOB), &wanted, 0).unwrap());
        assert_eq!(given.len(), 3);
    }
}
