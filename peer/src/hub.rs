//! Where everything meets: what the tracker and the links report changes the chat, and the faces are told.
//!
//! The chat's state changes under one lock, and what that changes is told under the same lock, so that all faces see
//! one order. The lock is never held across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::net::frame::encode;
use commons::peer::Peer;
use commons::protocol::between_peers::PeerMessage;
use commons::snapshot::Member;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::api::error::CommandError;
use crate::api::status::Status;
use crate::api::{self, Answer, Event, Present, TrackerState, Undeliverable};
use crate::chat::{Chat, Trust};
use crate::delivery::missed_counter::MissedCounter;
use crate::delivery::replication::Replication;
use crate::delivery::seeks::Seeks;
use crate::delivery::serving_links::ServingLinks;
use crate::delivery::sync_event::SyncEvent;
use crate::event_bus::EventBus;
use crate::history::History;
use crate::history::conversation::ConversationId;
use crate::history::history_db::Opened;
use crate::history_lock::HistoryLock;
use crate::identity::contacts::{Contacts, ContactsError};
use crate::identity::known_keys::{Announcement, KeyUpdate};
use crate::identity::recognised_password::RecognisedPassword;
use crate::limits::LAST_RECEIPTS;
use crate::peer_communication::PeerPeerCommunication;
use crate::peer_communication::link_table::Wish;
use crate::peer_communication::send_queue::Dialect;
use crate::profile::Profile;
use crate::tracker_communication::tracker_report::{EndReason, TrackerReport};

/// The chat, the faces and the links.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// There once somebody has signed in, as is what follows.
    pub(crate) links: OnceLock<PeerPeerCommunication>,
    pub(crate) profile: OnceLock<Profile>,
    pub(crate) people: OnceLock<Contacts>,
    pub(crate) history: OnceLock<History>,
    pub(crate) news: OnceLock<mpsc::Sender<SyncEvent>>,
    /// News found no room in that queue since it was looked at last.
    pub(crate) news_lost: AtomicBool,
    /// Own lines have become durable, or were stored by one of those whom they are for.
    pub(crate) moved: Notify,
    /// The history knows anew who sits where.
    pub(crate) seated: Notify,
    /// Held while the history is told who sits where: an older state must not be noted after a newer one.
    seating: tokio::sync::Mutex<()>,
    /// Somebody has told how far a conversation is.
    pub(crate) told_time: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) chat: Chat,
    pub(crate) event_bus: EventBus,
    pub(crate) replication: Replication,
    pub(crate) serving: ServingLinks,
    pub(crate) seeks: Seeks,
    pub(crate) history_lock: HistoryLock,
    /// By which a line that is the user's password is recognised.
    pub(crate) password: Option<RecognisedPassword>,
    /// Own lines that were said and are not yet told of.
    pub(crate) saying: usize,
    /// How many more may be said before it is asked again who is behind.
    pub(crate) paced: usize,
    /// What was missed of each conversation.
    pub(crate) missed: BTreeMap<ConversationId, MissedCounter>,
    /// Of whom it is not known yet what was missed of which conversation, since the link that stands came up.
    pub(crate) awaited: BTreeSet<(Username, ConversationId)>,
    /// Conversations of which it was told, in this run, how far they are, or was waited for that long enough.
    pub(crate) timed: BTreeSet<ConversationId>,
    /// Why the peer ended by itself, if it did.
    pub(crate) failure: Option<CommandError>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the links into line with the conversations.
    pub(crate) fn update_link_targets(&self) {
        let Some(links) = self.links.get() else { return };
        let mut state = self.lock();
        let wanted = state.chat.wanted();
        let (mut changed, mut further) = (Vec::new(), Vec::new());
        for (user, want) in &wanted {
            let Some(said) = &want.keys else { continue };
            let KeyUpdate { news, endorsed } = links.book(|book| book.announce(user, said));
            changed.extend(news.map(|fingerprint| Event::KeyChanged { peer: user.clone(), fingerprint }));
            further.extend(endorsed.then(|| user.clone()));
        }
        state.event_bus.publish(changed);
        let announced: Vec<_> = wanted.keys().cloned().collect();
        // While nobody tells where somebody is, it may still be where it was.
        let is_lost = state.chat.tracker() == TrackerState::Lost;
        let last = |user: &Username| links.book(|book| book.address(user)).filter(|_| is_lost);
        let wishes: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(user, want)| (last(&user).or(want.address), user, want.private))
            .map(|(address, user, eager)| (user, Wish { address, eager }))
            .collect();
        for user in links.want(&wishes) {
            let events = state.chat.link_is(&user, false, Trust::default());
            state.event_bus.publish(events);
        }
        drop(state);
        announced.iter().for_each(|user| self.apply_key_hold(user));
        further.iter().for_each(|user| self.go_on_with(user));
    }

    /// Hears the tracker until it is over.
    pub(crate) async fn on_tracker_reports(
        self: Arc<Self>,
        address: String,
        mut reports: mpsc::Receiver<TrackerReport>,
    ) {
        while let Some(report) = reports.recv().await {
            match report {
                TrackerReport::Answered(request, outcome, reply) => {
                    if let Ok(answer) = &outcome {
                        let mut state = self.lock();
                        let left = state.chat.leaves(&request);
                        let events = state.chat.answered(&request, answer, Instant::now());
                        state.event_bus.publish(events);
                        if let Some((room, listeners)) = left {
                            self.say_goodbye(&state.chat, &room, &listeners);
                        }
                    }
                    self.update_membership().await;
                    if let Some(reply) = reply {
                        // Whoever asked may have given up waiting.
                        let _ = reply.send(outcome);
                    }
                }
                TrackerReport::Update(update) => {
                    {
                        let mut state = self.lock();
                        let events = state.chat.updated(*update, Instant::now());
                        state.event_bus.publish(events);
                    }
                    self.update_membership().await;
                }
                TrackerReport::Lost(why) => {
                    let mut state = self.lock();
                    let events = state.chat.tracker_is(TrackerState::Lost, Some(why));
                    state.event_bus.publish(events);
                    drop(state);
                    self.update_link_targets();
                }
                TrackerReport::Ended(ending) => self.fail(&ending, &address),
            }
        }
    }

    fn say_goodbye(&self, chat: &Chat, room: &RoomName, listeners: &[Username]) {
        let (Some(links), Some(frame)) = (self.links.get(), leave_frame(Some(room))) else {
            return;
        };
        for user in listeners {
            links.leave(user, frame.clone(), chat.talks_with(user));
        }
    }

    /// The service cannot go on: the faces are told and have to end.
    fn fail(&self, ending: &EndReason, address: &str) {
        let why = match ending {
            EndReason::Superseded => CommandError::Superseded,
            EndReason::Failed(error) => CommandError::from_tracker(error.clone(), address),
        };
        self.lock().event_bus.publish([why.event()]);
        self.end(why);
    }

    /// The faces have to end, for this reason.
    pub(crate) fn end(&self, why: CommandError) {
        let mut state = self.lock();
        state.failure = Some(why);
        state.event_bus.end();
    }

    /// Goes on where an earlier run ended: what was not shown is, and lines that wait look for those whom they are for.
    pub(crate) fn resume(self: &Arc<Self>, opened: Opened) {
        if let Some(aside) = opened.damaged {
            let message = format!(
                "the history could not be read: it was set aside as {}, and a new one begun",
                aside.display()
            );
            self.lock().event_bus.publish([Event::error("HISTORY_DAMAGED", message)]);
        }
        if let Some(loss) = &opened.lost {
            self.lock().event_bus.publish([Event::error("HISTORY_DAMAGED", loss.to_string())]);
        }
        let waits = |user: &Username| {
            let waits = opened.waiting.iter().any(|(waiting, _)| waiting == user);
            waits || self.is_found_without_tracker(user)
        };
        for (conversation, _) in opened.conversations {
            match conversation {
                ConversationId::Private(user) if waits(&user) => {
                    self.lock().chat.begin_private(user, None);
                }
                // A room that was left from elsewhere.
                ConversationId::Room(room) => self.give_up_soon(room),
                ConversationId::Private(_) => {}
            }
        }
        opened.unshown.into_iter().for_each(|line| self.show(line));
    }

    /// Waits until every own line is durable, or known not to be.
    pub(crate) async fn all_committed(&self) {
        loop {
            let moved = self.moved.notified();
            if self.lock().saying == 0 {
                return;
            }
            moved.await;
        }
    }

    /// Whether somebody takes lines now, or may soon: who is there is being dialled.
    pub(crate) fn is_expected(&self, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let state = self.lock();
        let is_dialled = state.chat.is_there(user) && !links.book(|book| book.is_changed(user));
        state.replication.is_fed(user) || is_dialled
    }

    /// Whether somebody is there who may yet tell how far a conversation is: an original program never does.
    pub(crate) fn may_send_have(&self, state: &State, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let is_silent = links.dialect(user).is_some_and(|dialect| dialect != Dialect::Full);
        state.chat.is_there(user) && !is_silent && !links.book(|book| book.is_changed(user))
    }

    /// The tracker's record of somebody to talk to in private.
    pub(crate) fn found(&self, user: &Username, peer: Option<Peer>) -> Result<(), CommandError> {
        let Some(links) = self.links.get() else { return Err(CommandError::TrackerLost) };
        let peer = peer.ok_or_else(|| CommandError::Unreachable(user.clone()))?;
        let address = Some(&peer).filter(|peer| peer.connected).and_then(|peer| peer.socket_addr());
        let said = Announcement::from(peer);
        let KeyUpdate { news, endorsed } = links.book(|book| book.announce(user, &said));
        if endorsed {
            self.go_on_with(user);
        }
        if let Some(fingerprint) = news {
            self.lock().event_bus.publish([Event::KeyChanged { peer: user.clone(), fingerprint }]);
        }
        if links.book(|book| book.is_changed(user)) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        self.lock().chat.begin_private(user.clone(), address);
        self.update_link_targets();
        Ok(())
    }

    /// Brings the links and the history into line with who sits where.
    pub(crate) async fn update_membership(self: &Arc<Self>) {
        self.update_link_targets();
        self.apply_views();
        let Some(history) = self.history.get() else { return };
        let _turn = self.seating.lock().await;
        let (left, (changed, gone)) = {
            let chat = &mut self.lock().chat;
            (chat.take_left(), chat.not_kept())
        };
        let is_unannounced = !changed.is_empty() || !gone.is_empty();
        for room in left {
            history.leave_room(room).await;
        }
        for room in changed {
            let (id, revision) = (room.id, room.snapshot.as_ref().map_or(0, |snapshot| snapshot.revision));
            history.note_room(room).await;
            self.lock().chat.note_kept(id, revision);
            self.give_up_soon(id);
        }
        gone.into_iter().for_each(|room| self.give_up_soon(room));
        // Who hears the links hears what waited for this first.
        self.seated.notify_one();
        if is_unannounced {
            self.send_sync_event(SyncEvent::Seats);
        }
    }

    /// Gives up the lines that wait for those who do not sit in a room any more, once their last receipts had time to come.
    pub(crate) fn give_up_soon(self: &Arc<Self>, room: Uuid) {
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            sleep(LAST_RECEIPTS).await;
            let Some(history) = hub.history.get() else { return };
            let room = ConversationId::Room(room);
            let (members, since) = hub.lock().chat.seated(&room);
            history.keep_for(room, members, since).await;
        });
    }

    /// Makes way for the lines that wait for a peer: whether they are to be asked for now.
    pub(crate) fn begin_feed(&self, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let held = links.book(|book| book.is_changed(user));
        let mut state = self.lock();
        links.link(user).is_some_and(|link| state.replication.begin(user, link, held))
    }

    /// Lets the history know, for as long as it runs, what every face has shown: after a crash it is not told again.
    pub(crate) async fn note_what_is_shown(self: Arc<Self>) {
        let shows = self.lock().event_bus.shows();
        loop {
            shows.notified().await;
            self.note_shown();
        }
    }

    /// Lets the history know what every face has shown.
    pub(crate) fn note_shown(&self) {
        if let (Some(row), Some(history)) = (self.lock().event_bus.shown(), self.history.get()) {
            history.note_shown(row);
        }
    }

    /// The members of a conversation, the open one where none is named, and what their names are worth.
    pub(crate) fn users(&self, named: Option<api::Conversation>) -> Result<Answer, CommandError> {
        let (conversation, members) = self.lock().chat.users(named)?;
        let links = self.links.get().ok_or(CommandError::TrackerLost)?;
        let present = |member: Member| Present { trust: links.trust(&member.username), member };
        Ok(Answer::Users { conversation, members: members.into_iter().map(present).collect() })
    }

    /// How things stand with a tracker at this address and links taken there.
    pub(crate) fn status(
        &self,
        tracker: &str,
        tracker_key: Option<PublicKey>,
        listening: SocketAddr,
    ) -> Status {
        let state = self.lock();
        let chat = &state.chat;
        Status {
            username: chat.me().cloned(),
            open: chat.opened().ok(),
            conversations: chat.conversations(),
            tracker: chat.tracker(),
            tracker_address: tracker.to_owned(),
            tracker_key,
            listening: listening.to_string(),
            trust: self.trust_in(chat),
            known_users: chat.known().users(),
            known_rooms: chat.known().rooms(),
        }
    }

    fn trust_in(&self, chat: &Chat) -> BTreeMap<Username, api::Trust> {
        let (Some(links), Ok((_, members))) = (self.links.get(), chat.users(None)) else {
            return BTreeMap::new();
        };
        let others = members.into_iter().map(|member| member.username).filter(|user| Some(user) != chat.me());
        others.map(|user| (user.clone(), links.trust(&user))).collect()
    }

    /// Goes on with a user of whom a further key is pinned, because a pinned one has endorsed it.
    pub(crate) fn go_on_with(&self, user: &Username) {
        if let Some(links) = self.links.get() {
            links.dial_now(user);
        }
        self.lock().event_bus.publish([Event::KeyAccepted { peer: user.clone(), endorsed: true }]);
        self.apply_key_hold(user);
        self.note_pins();
    }

    /// Writes down whose keys are whose, where nobody waits for it.
    pub(crate) fn note_pins(&self) {
        if let Err(error) = self.keep_pins() {
            let message = error.to_string();
            self.lock().event_bus.publish([Event::error("LOCAL", message)]);
        }
    }

    /// Writes down whose keys are whose.
    pub(crate) fn keep_pins(&self) -> Result<(), ContactsError> {
        let (Some(links), Some(people)) = (self.links.get(), self.people.get()) else { return Ok(()) };
        people.keep_pins(|| links.book(|book| book.pins().clone()))
    }

    pub(crate) fn publish_undelivered(&self, to: &Username, ids: Vec<Uuid>, reason: Undeliverable) {
        let events = ids.into_iter().map(|id| Event::Undelivered { id, to: to.clone(), reason });
        self.lock().event_bus.publish(events);
    }
}

/// A LEAVE as it is sent; `None` is the private conversation.
pub(crate) fn leave_frame(room: Option<&RoomName>) -> Option<Bytes> {
    encode(&PeerMessage::Leave { room: room.map(|room| room.as_str().into()) }).ok()
}
