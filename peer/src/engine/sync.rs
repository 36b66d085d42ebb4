//! The schedule of the sync protocol (anti-entropy) with each linked peer.
//!
//! When a link comes up, and after changes, both sides send a HAVE for each shared conversation. A peer that lacks
//! messages answers with a WANT and receives one batch of LINES. It repeats this until it lacks nothing. A linked
//! author sends its own messages unasked, so they are requested only if they stop coming.
//!
//! Example: Bob sends HAVE for messages 1 to 100 of Dora, who is not linked here. This peer lacks all of them and
//! sends WANT 1-100. Bob answers with the first batch, 1 to 64. This peer sends WANT 65-100, and the second batch
//! completes the sync.
//!
//! This module does no I/O: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use commons::limits::SPANS_MAX;
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use tokio::time::Instant;

use crate::history::conversation::ConversationId;
use crate::limits::{ASK_PATIENCE, CONVERSATIONS_MAX, TELL_PAUSE, VAIN_PAUSE, WANT_WAIT};

/// The sync state of every linked peer that supports sync.
#[derive(Debug, Default)]
pub(crate) struct SyncState {
    partners: BTreeMap<Username, PeerSync>,
}

#[derive(Debug, Default)]
struct PeerSync {
    talks: BTreeMap<ConversationId, ConversationSync>,
    /// The conversation of the unanswered WANT, and the time at which it expires.
    asked: Option<(ConversationId, Instant)>,
    /// Whether the history is comparing a conversation with what the peer holds.
    is_comparing: bool,
}

#[derive(Debug, Default)]
struct ConversationSync {
    /// The time of the last HAVE to the peer.
    told: Option<Instant>,
    /// Whether the contents have changed since that HAVE.
    stale: bool,
    /// The ranges that the peer holds, at most `SPANS_MAX` streams.
    remote_have: Vec<StreamSpans>,
    /// Whether these ranges must be compared with the local history.
    open: bool,
    /// The ranges of earlier WANTs. If they are still lacking, the WANT was in vain.
    wanted: Vec<StreamSpans>,
    /// The time from which these ranges may be requested once more.
    again: Option<Instant>,
    /// The ranges that a linked author should send unasked, and since when they are lacking. They are requested if
    /// they do not come within `ASK_PATIENCE`.
    author_grace: Option<(Instant, Vec<StreamSpans>)>,
    /// The streams that a linked author did not continue. Their ranges are requested like all others.
    fetch_anyway: Vec<StreamSpans>,
}

impl SyncState {
    /// Starts the sync with a peer whose link has come up.
    pub(crate) fn up(&mut self, user: &Username) {
        self.partners.insert(user.clone(), PeerSync::default());
    }

    /// Ends the sync with a peer whose link has closed.
    pub(crate) fn down(&mut self, user: &Username) {
        self.partners.remove(user);
    }

    /// Returns every peer that supports sync.
    pub(crate) fn partners(&self) -> Vec<Username> {
        self.partners.keys().cloned().collect()
    }

    /// Notes that a conversation has new messages. The peer `by` sent them and needs no HAVE.
    pub(crate) fn stored(&mut self, conversation: &ConversationId, by: Option<&Username>) {
        let others = self.partners.iter_mut().filter(|(user, _)| Some(*user) != by);
        for talk in others.filter_map(|(_, partner)| partner.talks.get_mut(conversation)) {
            talk.stale = true;
        }
    }

    /// Notes a change of members. All HAVEs are repeated, since messages that were withheld may be requested now.
    pub(crate) fn membership_changed(&mut self) {
        for talk in self.partners.values_mut().flat_map(|partner| partner.talks.values_mut()) {
            talk.stale = true;
        }
    }

    /// Notes that more keys are trusted. Messages that were refused before are requested again.
    pub(crate) fn keys_added(&mut self) {
        for talk in self.partners.values_mut().flat_map(|partner| partner.talks.values_mut()) {
            talk.open = true;
            talk.wanted.clear();
        }
    }

    /// Returns the shared conversations for which a HAVE to this peer is due.
    pub(crate) fn due_have(
        &self,
        user: &Username,
        shared: &[ConversationId],
        now: Instant,
    ) -> Vec<ConversationId> {
        let Some(partner) = self.partners.get(user) else { return Vec::new() };
        let due = |talk: &ConversationSync| match talk.told {
            None => true,
            Some(told) => talk.stale && told + TELL_PAUSE <= now,
        };
        shared.iter().filter(|shared| partner.talks.get(shared).is_none_or(due)).cloned().collect()
    }

    /// Notes that the history was asked for the content of a HAVE. If it does not answer, the HAVE is due again.
    pub(crate) fn have_requested(&mut self, user: &Username, conversation: &ConversationId, now: Instant) {
        if let Some(partner) = self.partners.get_mut(user) {
            let talk = partner.talks.entry(conversation.clone()).or_default();
            (talk.told, talk.stale) = (Some(now), true);
        }
    }

    /// Notes that a HAVE was sent to a peer. The history answers in order, so the HAVE covers all that it has reported.
    pub(crate) fn have_sent(&mut self, user: &Username, conversation: &ConversationId, now: Instant) {
        if let Some(partner) = self.partners.get_mut(user) {
            let talk = partner.talks.entry(conversation.clone()).or_default();
            (talk.told, talk.stale) = (Some(now), false);
        }
    }

    /// Notes that a HAVE did not fit into the send queue of a peer. It is due again at once.
    pub(crate) fn have_refused(&mut self, user: &Username, conversation: &ConversationId) {
        let talk = self.partners.get_mut(user).and_then(|partner| partner.talks.get_mut(conversation));
        if let Some(talk) = talk {
            talk.told = None;
        }
    }

    /// Applies a HAVE from a peer. It lists some streams of the conversation, or all.
    pub(crate) fn on_have(
        &mut self,
        user: &Username,
        conversation: &ConversationId,
        remote_have: Vec<StreamSpans>,
    ) {
        let Some(partner) = self.partners.get_mut(user) else { return };
        if partner.talks.len() >= CONVERSATIONS_MAX && !partner.talks.contains_key(conversation) {
            return;
        }
        let talk = partner.talks.entry(conversation.clone()).or_default();
        talk.remote_have.retain(|known| !remote_have.iter().any(|new| is_same(known, new)));
        talk.remote_have.extend(remote_have);
        // A peer may invent any number of streams. Only as many as one HAVE can list are kept.
        let surplus = talk.remote_have.len().saturating_sub(SPANS_MAX);
        talk.remote_have.drain(..surplus);
        talk.open = true;
        talk.wanted.clear();
    }

    /// Notes that LINES from a peer have arrived, so that the next WANT may be sent.
    pub(crate) fn lines_arrived(&mut self, user: &Username, conversation: &ConversationId) {
        let Some(partner) = self.partners.get_mut(user) else { return };
        partner.asked = partner.asked.take().filter(|(asked, _)| asked != conversation);
        if let Some(talk) = partner.talks.get_mut(conversation) {
            talk.open = true;
        }
    }

    /// Notes that the disk failed during a comparison, which is repeated later.
    pub(crate) fn comparison_failed(&mut self, user: &Username, conversation: &ConversationId) {
        let Some(partner) = self.partners.get_mut(user) else { return };
        partner.is_comparing = false;
        if let Some(talk) = partner.talks.get_mut(conversation) {
            talk.open = true;
        }
    }

    /// Returns the next conversation to compare with a peer, and the ranges that the peer holds; `None` while another
    /// comparison or the answer to a WANT is awaited.
    pub(crate) fn next_comparison(
        &mut self,
        user: &Username,
        shared: &[ConversationId],
        now: Instant,
    ) -> Option<(ConversationId, Vec<StreamSpans>)> {
        let partner = self.partners.get_mut(user).filter(|partner| !partner.is_comparing)?;
        if let Some((asked, until)) = partner.asked.take() {
            if until > now {
                partner.asked = Some((asked, until));
                return None;
            }
            // The WANT or its answer was lost.
            if let Some(talk) = partner.talks.get_mut(&asked) {
                talk.open = true;
                talk.wanted.clear();
            }
        }
        let waited = |talk: &ConversationSync| {
            talk.author_grace.as_ref().is_some_and(|(since, _)| *since + ASK_PATIENCE <= now)
        };
        let mut talks = partner.talks.iter_mut().filter(|(conversation, _)| shared.contains(conversation));
        let rested = |talk: &ConversationSync| talk.again.is_some_and(|again| again <= now);
        let (conversation, talk) = talks.find(|(_, talk)| talk.open || waited(talk) || rested(talk))?;
        talk.open = false;
        partner.is_comparing = true;
        if rested(talk) {
            talk.again = None;
            talk.wanted.clear();
        }
        Some((conversation.clone(), talk.remote_have.clone()))
    }

    /// Ends a comparison. Returns the ranges for a WANT to a peer, out of those that are lacking here. Ranges are left out if their
    /// linked author sends them unasked, or if the peer was asked for them in vain.
    pub(crate) fn wanted(
        &mut self,
        user: &Username,
        conversation: &ConversationId,
        lacking: Vec<StreamSpans>,
        now: Instant,
    ) -> Vec<StreamSpans> {
        let authors: BTreeSet<_> = self.partners.keys().map(|linked| linked.as_str().to_owned()).collect();
        let Some(partner) = self.partners.get_mut(user) else { return Vec::new() };
        partner.is_comparing = false;
        let Some(talk) = partner.talks.get_mut(conversation) else { return Vec::new() };
        talk.fetch_anyway.retain(|fetch_anyway| lacking.iter().any(|stream| is_same(stream, fetch_anyway)));
        let comes_by_itself = |stream: &StreamSpans| {
            authors.contains(&stream.username)
                && !talk.fetch_anyway.iter().any(|fetch_anyway| is_same(stream, fetch_anyway))
        };
        let (on_their_way, mut wanted): (Vec<_>, Vec<_>) = lacking.into_iter().partition(comes_by_itself);
        talk.author_grace = match talk.author_grace.take() {
            _ if on_their_way.is_empty() => None,
            Some((since, awaited)) if since + ASK_PATIENCE <= now => {
                // An author sends in order. If the first lacking message has not changed, nothing is coming.
                let stuck = |now: &StreamSpans| awaited.iter().any(|then| starts_as(now, then));
                let (stuck, coming): (Vec<_>, Vec<_>) = on_their_way.into_iter().partition(stuck);
                talk.fetch_anyway.extend(stuck.iter().cloned());
                wanted.extend(stuck);
                (!coming.is_empty()).then_some((now, coming))
            }
            waiting => Some(waiting.unwrap_or((now, on_their_way))),
        };
        wanted.retain(|stream| !talk.wanted.contains(stream));
        if wanted.is_empty() {
            return Vec::new();
        }
        talk.wanted.retain(|asked| !wanted.iter().any(|stream| is_same(stream, asked)));
        talk.wanted.extend(wanted.iter().cloned());
        talk.again = Some(now + VAIN_PAUSE);
        partner.asked = Some((conversation.clone(), now + WANT_WAIT));
        wanted
    }
}

/// Returns whether both entries name the same stream.
fn is_same(one: &StreamSpans, other: &StreamSpans) -> bool {
    (&one.username, one.incarnation) == (&other.username, other.incarnation)
}

/// Returns whether both entries name the same stream and begin with the same message.
fn starts_as(one: &StreamSpans, other: &StreamSpans) -> bool {
    let first = |stream: &StreamSpans| stream.spans.first().map(|(first, _)| *first);
    is_same(one, other) && first(one) == first(other)
}

#[cfg(test)]
mod tests {
    use commons::protocol::provenance::Incarnation;
    use uuid::Uuid;

    use super::*;

    const SALA: ConversationId = ConversationId::Room(Uuid::nil());

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn lines(author: &str, last: u64) -> Vec<StreamSpans> {
        spans(author, 1, last)
    }

    fn spans(author: &str, first: u64, last: u64) -> Vec<StreamSpans> {
        let (username, incarnation) = (author.into(), Incarnation(1));
        vec![StreamSpans { username, incarnation, spans: vec![(first, last)] }]
    }

    #[tokio::test]
    async fn a_peer_is_told_at_link_up_and_again_only_of_news() {
        let now = Instant::now();
        let (mut catch_up, bob) = (SyncState::default(), user("bob"));
        catch_up.up(&bob);
        assert_eq!(catch_up.due_have(&bob, &[SALA], now), [SALA]);
        catch_up.have_sent(&bob, &SALA, now);
        assert!(catch_up.due_have(&bob, &[SALA], now + TELL_PAUSE).is_empty());
        catch_up.stored(&SALA, Some(&bob));
        assert!(catch_up.due_have(&bob, &[SALA], now + TELL_PAUSE).is_empty(), "bob gave it");
        catch_up.stored(&SALA, None);
        assert!(catch_up.due_have(&bob, &[SALA], now).is_empty(), "not so soon");
        assert_eq!(catch_up.due_have(&bob, &[SALA], now + TELL_PAUSE), [SALA]);
        catch_up.up(&bob);
        assert_eq!(catch_up.due_have(&bob, &[SALA], now), [SALA], "a new link knows nothing");
    }

    #[tokio::test]
    async fn wants_are_sent_batch_by_batch_and_not_repeated_in_vain() {
        let now = Instant::now();
        let (mut catch_up, bob) = (SyncState::default(), user("bob"));
        catch_up.up(&bob);
        catch_up.on_have(&bob, &SALA, lines("dora", 100));
        assert!(catch_up.next_comparison(&bob, &[], now).is_none(), "not shared yet");
        assert_eq!(catch_up.next_comparison(&bob, &[SALA], now), Some((SALA, lines("dora", 100))));
        let wanted = catch_up.wanted(&bob, &SALA, lines("dora", 100), now);
        assert_eq!(wanted, lines("dora", 100));
        assert!(catch_up.next_comparison(&bob, &[SALA], now).is_none(), "an answer is awaited");
        catch_up.lines_arrived(&bob, &SALA);
        assert!(catch_up.next_comparison(&bob, &[SALA], now).is_some());
        assert_eq!(catch_up.wanted(&bob, &SALA, lines("dora", 36), now).len(), 1);
        catch_up.lines_arrived(&bob, &SALA);
        catch_up.next_comparison(&bob, &[SALA], now);
        assert!(catch_up.wanted(&bob, &SALA, lines("dora", 36), now).is_empty(), "it gave nothing of use");
        assert!(catch_up.next_comparison(&bob, &[SALA], now).is_none());
        let later = now + VAIN_PAUSE;
        assert!(catch_up.next_comparison(&bob, &[SALA], later).is_some());
        assert_eq!(
            catch_up.wanted(&bob, &SALA, lines("dora", 36), later).len(),
            1,
            "the disk may have room now"
        );
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_asked_again() {
        let now = Instant::now();
        let (mut catch_up, bob) = (SyncState::default(), user("bob"));
        catch_up.up(&bob);
        catch_up.on_have(&bob, &SALA, lines("dora", 100));
        catch_up.next_comparison(&bob, &[SALA], now);
        catch_up.wanted(&bob, &SALA, lines("dora", 100), now);
        let later = now + WANT_WAIT;
        assert!(catch_up.next_comparison(&bob, &[SALA], later).is_some());
        assert_eq!(catch_up.wanted(&bob, &SALA, lines("dora", 100), later), lines("dora", 100));
    }

    #[tokio::test]
    async fn messages_of_linked_author_are_requested_only_if_they_stop() {
        let now = Instant::now();
        for author in ["ana", "bob"] {
            let rest = |author| spans(author, 3, 5);
            let (mut catch_up, bob) = (SyncState::default(), user("bob"));
            catch_up.up(&bob);
            catch_up.up(&user("ana"));
            catch_up.on_have(&bob, &SALA, lines(author, 5));
            catch_up.next_comparison(&bob, &[SALA], now);
            assert!(catch_up.wanted(&bob, &SALA, lines(author, 5), now).is_empty());
            assert!(catch_up.next_comparison(&bob, &[SALA], now).is_none());
            let later = now + ASK_PATIENCE;
            assert!(catch_up.next_comparison(&bob, &[SALA], later).is_some());
            assert!(catch_up.wanted(&bob, &SALA, rest(author), later).is_empty(), "two of them have come");
            assert!(catch_up.next_comparison(&bob, &[SALA], later).is_none());
            let last = later + ASK_PATIENCE;
            assert!(catch_up.next_comparison(&bob, &[SALA], last).is_some());
            assert_eq!(catch_up.wanted(&bob, &SALA, rest(author), last), rest(author));
            // The next batch of this stream is requested without another delay.
            catch_up.lines_arrived(&bob, &SALA);
            assert!(catch_up.next_comparison(&bob, &[SALA], last).is_some());
            assert_eq!(catch_up.wanted(&bob, &SALA, spans(author, 4, 5), last), spans(author, 4, 5));
        }
    }

    #[tokio::test]
    async fn invented_streams_take_bounded_memory() {
        let (mut catch_up, bob) = (SyncState::default(), user("bob"));
        catch_up.up(&bob);
        for n in 0..5 * SPANS_MAX as u64 {
            let (username, incarnation) = ("bob".to_owned(), Incarnation(n));
            catch_up.on_have(&bob, &SALA, vec![StreamSpans { username, incarnation, spans: vec![(1, 1)] }]);
        }
        assert_eq!(catch_up.partners[&bob].talks[&SALA].remote_have.len(), SPANS_MAX);
    }
}
