//! The schedule of the sync (anti-entropy) with each linked peer: when to send a HAVE, and what to request from whom.
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

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use tokio::time::Instant;

use crate::engine::remote_have::{RemoteHave, Spans, StreamKey, keyed, unkeyed};
use crate::history::conversation::ConversationId;
use crate::limits::{AUTHOR_GRACE, CONVERSATIONS_MAX, HAVE_INTERVAL, WANT_RETRY, WANT_TIMEOUT};

/// The progress of the sync with every linked peer that supports it.
#[derive(Debug, Default)]
pub(crate) struct SyncSchedule {
    peers: BTreeMap<Username, PeerSync>,
}

#[derive(Debug, Default)]
struct PeerSync {
    conversations: BTreeMap<ConversationId, ConversationSync>,
    /// The conversation of the unanswered WANT, and the time at which it expires.
    awaited: Option<(ConversationId, Instant)>,
    /// Whether the history is comparing a conversation with what the peer holds.
    is_comparing: bool,
}

#[derive(Debug, Default)]
struct ConversationSync {
    /// The time of the last HAVE to the peer.
    have_at: Option<Instant>,
    /// Whether the contents have changed since that HAVE.
    has_changed: bool,
    /// The ranges that the peer holds.
    remote_have: RemoteHave,
    /// Whether these ranges must be compared with the local history.
    is_unchecked: bool,
    /// The ranges of earlier WANTs. If they are still lacking, the WANT was in vain.
    requested: BTreeMap<StreamKey, Spans>,
    /// The time from which these ranges may be requested once more.
    retry_at: Option<Instant>,
    /// The ranges that a linked author should send unasked, and since when they are lacking. They are requested if
    /// they do not come within `AUTHOR_GRACE`.
    author_grace: Option<(Instant, BTreeMap<StreamKey, Spans>)>,
    /// The streams that a linked author did not continue. Their ranges are requested like all others.
    fetch_anyway: BTreeSet<StreamKey>,
}

impl SyncSchedule {
    /// Starts the sync with a peer whose link has come up.
    pub(crate) fn link_up(&mut self, user: &Username) {
        self.peers.insert(user.clone(), PeerSync::default());
    }

    /// Ends the sync with a peer whose link has closed.
    pub(crate) fn link_down(&mut self, user: &Username) {
        self.peers.remove(user);
    }

    /// Returns every peer that supports sync.
    pub(crate) fn peers(&self) -> Vec<Username> {
        self.peers.keys().cloned().collect()
    }

    /// Notes that a conversation has new messages. The peer `by` sent them and needs no HAVE.
    pub(crate) fn stored(&mut self, conversation: &ConversationId, by: Option<&Username>) {
        let others = self.peers.iter_mut().filter(|(user, _)| Some(*user) != by);
        for state in others.filter_map(|(_, peer)| peer.conversations.get_mut(conversation)) {
            state.has_changed = true;
        }
    }

    /// Notes a change of members. All HAVEs are repeated, since messages that were withheld may be requested now.
    pub(crate) fn membership_changed(&mut self) {
        for state in self.peers.values_mut().flat_map(|peer| peer.conversations.values_mut()) {
            state.has_changed = true;
        }
    }

    /// Notes that more keys are trusted. Messages that were refused before are requested again.
    pub(crate) fn keys_added(&mut self) {
        for state in self.peers.values_mut().flat_map(|peer| peer.conversations.values_mut()) {
            state.is_unchecked = true;
            state.requested.clear();
        }
    }

    /// Returns the shared conversations for which a HAVE to this peer is due.
    pub(crate) fn due_have(
        &self,
        user: &Username,
        shared: &[ConversationId],
        now: Instant,
    ) -> Vec<ConversationId> {
        let Some(peer) = self.peers.get(user) else { return Vec::new() };
        let due = |state: &ConversationSync| match state.have_at {
            None => true,
            Some(have_at) => state.has_changed && have_at + HAVE_INTERVAL <= now,
        };
        shared.iter().filter(|shared| peer.conversations.get(shared).is_none_or(due)).cloned().collect()
    }

    /// Notes that the history was asked for the content of a HAVE. If it does not answer, the HAVE is due again.
    pub(crate) fn have_requested(&mut self, user: &Username, conversation: &ConversationId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(user) {
            let state = peer.conversations.entry(conversation.clone()).or_default();
            (state.have_at, state.has_changed) = (Some(now), true);
        }
    }

    /// Notes that a HAVE was sent to a peer. The history answers in order, so the HAVE covers all that it has reported.
    pub(crate) fn have_sent(&mut self, user: &Username, conversation: &ConversationId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(user) {
            let state = peer.conversations.entry(conversation.clone()).or_default();
            (state.have_at, state.has_changed) = (Some(now), false);
        }
    }

    /// Notes that a HAVE did not fit into the send queue of a peer. It is due again at once.
    pub(crate) fn have_refused(&mut self, user: &Username, conversation: &ConversationId) {
        let state = self.peers.get_mut(user).and_then(|peer| peer.conversations.get_mut(conversation));
        if let Some(state) = state {
            state.have_at = None;
        }
    }

    /// Applies a HAVE from a peer. It lists some streams of the conversation, or all.
    pub(crate) fn on_have(
        &mut self,
        user: &Username,
        conversation: &ConversationId,
        remote_have: Vec<StreamSpans>,
    ) {
        let Some(peer) = self.peers.get_mut(user) else { return };
        if peer.conversations.len() >= CONVERSATIONS_MAX && !peer.conversations.contains_key(conversation) {
            return;
        }
        let state = peer.conversations.entry(conversation.clone()).or_default();
        state.remote_have.note(remote_have.into_iter().map(keyed));
        state.is_unchecked = true;
        state.requested.clear();
    }

    /// Notes that LINES from a peer have arrived, so that the next WANT may be sent.
    pub(crate) fn lines_arrived(&mut self, user: &Username, conversation: &ConversationId) {
        let Some(peer) = self.peers.get_mut(user) else { return };
        peer.awaited = peer.awaited.take().filter(|(of, _)| of != conversation);
        if let Some(state) = peer.conversations.get_mut(conversation) {
            state.is_unchecked = true;
        }
    }

    /// Notes that the disk failed during a comparison, which is repeated later.
    pub(crate) fn comparison_failed(&mut self, user: &Username, conversation: &ConversationId) {
        let Some(peer) = self.peers.get_mut(user) else { return };
        peer.is_comparing = false;
        if let Some(state) = peer.conversations.get_mut(conversation) {
            state.is_unchecked = true;
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
        let peer = self.peers.get_mut(user).filter(|peer| !peer.is_comparing)?;
        if let Some((of, until)) = peer.awaited.take() {
            if until > now {
                peer.awaited = Some((of, until));
                return None;
            }
            // The WANT or its answer was lost.
            if let Some(state) = peer.conversations.get_mut(&of) {
                state.is_unchecked = true;
                state.requested.clear();
            }
        }
        let waited = |state: &ConversationSync| {
            state.author_grace.as_ref().is_some_and(|(since, _)| *since + AUTHOR_GRACE <= now)
        };
        let rested = |state: &ConversationSync| state.retry_at.is_some_and(|retry_at| retry_at <= now);
        let is_due = |state: &ConversationSync| state.is_unchecked || waited(state) || rested(state);
        let mut conversations = peer.conversations.iter_mut();
        let (conversation, state) =
            conversations.find(|(conversation, state)| shared.contains(conversation) && is_due(state))?;
        state.is_unchecked = false;
        peer.is_comparing = true;
        if rested(state) {
            state.retry_at = None;
            state.requested.clear();
        }
        Some((conversation.clone(), unkeyed(state.remote_have.iter())))
    }

    /// Ends a comparison. Returns the ranges for a WANT to a peer, out of those that are lacking here. A range is left
    /// out if its linked author sends it unasked, or if the peer was asked for it in vain.
    pub(crate) fn end_comparison(
        &mut self,
        user: &Username,
        conversation: &ConversationId,
        lacking: Vec<StreamSpans>,
        now: Instant,
    ) -> Vec<StreamSpans> {
        let authors: BTreeSet<_> = self.peers.keys().map(|linked| linked.as_str().to_owned()).collect();
        let Some(peer) = self.peers.get_mut(user) else { return Vec::new() };
        peer.is_comparing = false;
        let Some(state) = peer.conversations.get_mut(conversation) else { return Vec::new() };
        let lacking: BTreeMap<_, _> = lacking.into_iter().map(keyed).collect();
        state.fetch_anyway.retain(|fetch_anyway| lacking.contains_key(fetch_anyway));
        let comes_by_itself = |(stream, _): &(StreamKey, Spans)| {
            authors.contains(&stream.0) && !state.fetch_anyway.contains(stream)
        };
        let (on_their_way, mut wanted): (BTreeMap<_, _>, BTreeMap<_, _>) =
            lacking.into_iter().partition(comes_by_itself);
        state.author_grace = match state.author_grace.take() {
            _ if on_their_way.is_empty() => None,
            Some((since, awaited)) if since + AUTHOR_GRACE <= now => {
                // An author sends in order. If the first lacking message has not changed, nothing is coming.
                let stuck = |(stream, now): &(StreamKey, Spans)| {
                    let begins = |spans: &Spans| spans.first().map(|(first, _)| *first);
                    awaited.get(stream).is_some_and(|then| begins(then) == begins(now))
                };
                let (stuck, coming): (BTreeMap<_, _>, BTreeMap<_, _>) =
                    on_their_way.into_iter().partition(stuck);
                state.fetch_anyway.extend(stuck.keys().cloned());
                wanted.extend(stuck);
                (!coming.is_empty()).then_some((now, coming))
            }
            waiting => Some(waiting.unwrap_or((now, on_their_way))),
        };
        wanted.retain(|stream, spans| state.requested.get(stream) != Some(spans));
        if wanted.is_empty() {
            return Vec::new();
        }
        state.requested.extend(wanted.iter().map(|(stream, spans)| (stream.clone(), spans.clone())));
        state.retry_at = Some(now + WANT_RETRY);
        peer.awaited = Some((conversation.clone(), now + WANT_TIMEOUT));
        unkeyed(&wanted)
    }
}

#[cfg(test)]
mod tests {
    use commons::incarnation::Incarnation;
    use commons::limits::SPANS_MAX;
    use uuid::Uuid;

    use super::*;
    use crate::limits::REMOTE_SPANS_MAX;

    const SALA: ConversationId = ConversationId::Room(Uuid::nil());

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn up_to(author: &str, last: u64) -> Vec<StreamSpans> {
        spans(author, 1, last)
    }

    fn spans(author: &str, first: u64, last: u64) -> Vec<StreamSpans> {
        let (username, incarnation) = (author.into(), Incarnation(1));
        vec![StreamSpans { username, incarnation, spans: vec![(first, last)] }]
    }

    #[tokio::test]
    async fn have_is_due_at_link_up_and_again_only_after_changes() {
        let now = Instant::now();
        let (mut sync, bob) = (SyncSchedule::default(), user("bob"));
        sync.link_up(&bob);
        assert_eq!(sync.due_have(&bob, &[SALA], now), [SALA]);
        sync.have_sent(&bob, &SALA, now);
        assert!(sync.due_have(&bob, &[SALA], now + HAVE_INTERVAL).is_empty());
        sync.stored(&SALA, Some(&bob));
        assert!(sync.due_have(&bob, &[SALA], now + HAVE_INTERVAL).is_empty(), "bob gave it");
        sync.stored(&SALA, None);
        assert!(sync.due_have(&bob, &[SALA], now).is_empty(), "not so soon");
        assert_eq!(sync.due_have(&bob, &[SALA], now + HAVE_INTERVAL), [SALA]);
        sync.link_up(&bob);
        assert_eq!(sync.due_have(&bob, &[SALA], now), [SALA], "a new link knows nothing");
    }

    #[tokio::test]
    async fn wants_are_sent_batch_by_batch_and_not_repeated_in_vain() {
        let now = Instant::now();
        let (mut sync, bob) = (SyncSchedule::default(), user("bob"));
        sync.link_up(&bob);
        sync.on_have(&bob, &SALA, up_to("dora", 100));
        assert!(sync.next_comparison(&bob, &[], now).is_none(), "not shared yet");
        assert_eq!(sync.next_comparison(&bob, &[SALA], now), Some((SALA, up_to("dora", 100))));
        let wanted = sync.end_comparison(&bob, &SALA, up_to("dora", 100), now);
        assert_eq!(wanted, up_to("dora", 100));
        assert!(sync.next_comparison(&bob, &[SALA], now).is_none(), "an answer is awaited");
        sync.lines_arrived(&bob, &SALA);
        assert!(sync.next_comparison(&bob, &[SALA], now).is_some());
        assert_eq!(sync.end_comparison(&bob, &SALA, up_to("dora", 36), now).len(), 1);
        sync.lines_arrived(&bob, &SALA);
        sync.next_comparison(&bob, &[SALA], now);
        assert!(
            sync.end_comparison(&bob, &SALA, up_to("dora", 36), now).is_empty(),
            "it gave nothing of use"
        );
        assert!(sync.next_comparison(&bob, &[SALA], now).is_none());
        let later = now + WANT_RETRY;
        assert!(sync.next_comparison(&bob, &[SALA], later).is_some());
        assert_eq!(
            sync.end_comparison(&bob, &SALA, up_to("dora", 36), later).len(),
            1,
            "the disk may have room now"
        );
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_asked_again() {
        let now = Instant::now();
        let (mut sync, bob) = (SyncSchedule::default(), user("bob"));
        sync.link_up(&bob);
        sync.on_have(&bob, &SALA, up_to("dora", 100));
        sync.next_comparison(&bob, &[SALA], now);
        sync.end_comparison(&bob, &SALA, up_to("dora", 100), now);
        let later = now + WANT_TIMEOUT;
        assert!(sync.next_comparison(&bob, &[SALA], later).is_some());
        assert_eq!(sync.end_comparison(&bob, &SALA, up_to("dora", 100), later), up_to("dora", 100));
    }

    #[tokio::test]
    async fn messages_of_linked_author_are_requested_only_if_they_stop() {
        let now = Instant::now();
        for author in ["ana", "bob"] {
            let rest = |author| spans(author, 3, 5);
            let (mut sync, bob) = (SyncSchedule::default(), user("bob"));
            sync.link_up(&bob);
            sync.link_up(&user("ana"));
            sync.on_have(&bob, &SALA, up_to(author, 5));
            sync.next_comparison(&bob, &[SALA], now);
            assert!(sync.end_comparison(&bob, &SALA, up_to(author, 5), now).is_empty());
            assert!(sync.next_comparison(&bob, &[SALA], now).is_none());
            let later = now + AUTHOR_GRACE;
            assert!(sync.next_comparison(&bob, &[SALA], later).is_some());
            assert!(
                sync.end_comparison(&bob, &SALA, rest(author), later).is_empty(),
                "two of them have come"
            );
            assert!(sync.next_comparison(&bob, &[SALA], later).is_none());
            let last = later + AUTHOR_GRACE;
            assert!(sync.next_comparison(&bob, &[SALA], last).is_some());
            assert_eq!(sync.end_comparison(&bob, &SALA, rest(author), last), rest(author));
            // The next batch of this stream is requested without another delay.
            sync.lines_arrived(&bob, &SALA);
            assert!(sync.next_comparison(&bob, &[SALA], last).is_some());
            assert_eq!(sync.end_comparison(&bob, &SALA, spans(author, 4, 5), last), spans(author, 4, 5));
        }
    }

    #[tokio::test]
    async fn invented_streams_and_ranges_take_bounded_memory() {
        let (mut sync, bob) = (SyncSchedule::default(), user("bob"));
        sync.link_up(&bob);
        let spans = |sync: &SyncSchedule| -> usize {
            let known = &sync.peers[&user("bob")].conversations[&SALA].remote_have;
            known.iter().map(|(_, spans)| spans.len()).sum()
        };
        let mut announce = |n: u64, count: u64| {
            let (username, incarnation) = ("bob".to_owned(), Incarnation(n));
            let ranges = (1..=count).map(|n| (2 * n, 2 * n)).collect();
            sync.on_have(&bob, &SALA, vec![StreamSpans { username, incarnation, spans: ranges }]);
            spans(&sync)
        };
        for n in 0..REMOTE_SPANS_MAX as u64 {
            assert_eq!(announce(n, 1), n as usize + 1, "control: below the bound all are kept");
        }
        assert_eq!(announce(u64::MAX, 1), REMOTE_SPANS_MAX);
        for n in 0..10 {
            assert!(announce(n, SPANS_MAX as u64) <= REMOTE_SPANS_MAX);
        }
        assert_eq!(announce(11, SPANS_MAX as u64), REMOTE_SPANS_MAX, "the latest frames are kept");
    }
}
