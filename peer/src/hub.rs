//! The hub between the tracker, the links, the history and the frontends.
//!
//! It applies reports to the state of the chat and publishes the resulting events. Both happen under one lock, so
//! all frontends see one order of events. The lock is never held across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::snapshot::Member;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::api::error::CommandError;
use crate::api::status::Status;
use crate::api::status::TrackerState;
use crate::api::{self, Answer, Event, Present, Undeliverable};
use crate::chat::{Chat, Trust};
use crate::delivery::absence_counter::AbsenceCounter;
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
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::link_table::Target;
use crate::peer_communication::links::PeerPeerCommunication;
use crate::profile::Profile;
use crate::tracker_communication::tracker_report::{EndReason, TrackerReport};

/// The shared state of the peer, and its handles to the links, the history and the tasks.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// The links to other peers. This field and the next four are empty until the user has signed in.
    pub(crate) links: OnceLock<PeerPeerCommunication>,
    pub(crate) profile: OnceLock<Profile>,
    pub(crate) people: OnceLock<Contacts>,
    pub(crate) history: OnceLock<History>,
    pub(crate) news: OnceLock<mpsc::Sender<SyncEvent>>,
    /// Whether an event was dropped because that queue was full. The sync task clears it.
    pub(crate) news_lost: AtomicBool,
    /// Notified when own messages were stored, or acknowledged by a recipient.
    pub(crate) moved: Notify,
    /// Notified when the history has learned new memberships.
    pub(crate) seated: Notify,
    /// Held while memberships are passed to the history, so that an older snapshot is never noted after a newer
    /// one.
    seating: tokio::sync::Mutex<()>,
    /// Notified when a peer has sent the Lamport time of a conversation.
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
    /// Recognises a line of input that is the user's password.
    pub(crate) password: Option<RecognisedPassword>,
    /// The number of own messages that were written but are not reported as stored or failed.
    pub(crate) saying: usize,
    /// The number of messages that may be written before the pending ones are counted again.
    pub(crate) paced: usize,
    /// The messages that were missed in each conversation.
    pub(crate) missed: BTreeMap<ConversationId, AbsenceCounter>,
    /// The first HAVEs that are still awaited since a link came up, by peer and conversation.
    pub(crate) awaited: BTreeSet<(Username, ConversationId)>,
    /// Conversations whose Lamport time is known in this run, or was awaited long enough.
    pub(crate) timed: BTreeSet<ConversationId>,
    /// The reason why the peer ended by itself, if it did.
    pub(crate) failure: Option<CommandError>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Hub {
    /// Locks the state of the chat. The guard must not be held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the target links to match the conversations.
    pub(crate) fn update_link_targets(&self) {
        let Some(links) = self.links.get() else { return };
        let mut state = self.lock();
        let wanted = state.chat.wanted();
        let (mut changed, mut further) = (Vec::new(), Vec::new());
        for (user, want) in &wanted {
            let Some(said) = &want.keys else { continue };
            let KeyUpdate { news, endorsed } = links.known_keys().with(|book| book.announce(user, said));
            changed.extend(news.map(|fingerprint| Event::KeyChanged { peer: user.clone(), fingerprint }));
            further.extend(endorsed.then(|| user.clone()));
        }
        state.event_bus.publish(changed);
        let announced: Vec<_> = wanted.keys().cloned().collect();
        // While the tracker is lost, a user may still be at the last known address.
        let is_lost = state.chat.tracker() == TrackerState::Lost;
        let last = |user: &Username| links.known_keys().with(|book| book.address(user)).filter(|_| is_lost);
        let targets: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(user, want)| (last(&user).or(want.address), user, want.private))
            .map(|(address, user, eager)| (user, Target { address, eager }))
            .collect();
        for user in links.set_targets(&targets) {
            let events = state.chat.link_is(&user, false, Trust::default());
            state.event_bus.publish(events);
        }
        drop(state);
        announced.iter().for_each(|user| self.apply_key_hold(user));
        further.iter().for_each(|user| self.go_on_with(user));
    }

    /// Handles the reports of the tracker connection until the channel closes.
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
                        // The command that asked may have timed out.
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

    /// Sends a LEAVE for a room to its other members.
    fn say_goodbye(&self, chat: &Chat, room: &RoomName, listeners: &[Username]) {
        let Some(links) = self.links.get() else { return };
        for user in listeners {
            links.leave(user, Some(room.clone()), chat.talks_with(user));
        }
    }

    /// Ends the peer because the tracker connection cannot be restored, and publishes the reason.
    fn fail(&self, ending: &EndReason, address: &str) {
        let why = match ending {
            EndReason::Superseded => CommandError::Superseded,
            EndReason::Failed(error) => CommandError::from_tracker(error.clone(), address),
        };
        self.lock().event_bus.publish([why.event()]);
        self.end(why);
    }

    /// Ends all frontends for this reason.
    pub(crate) fn end(&self, why: CommandError) {
        let mut state = self.lock();
        state.failure = Some(why);
        state.event_bus.end();
    }

    /// Continues where an earlier run ended: shows the unshown messages and reopens the private chats with pending
    /// messages.
    pub(crate) fn resume(self: &Arc<Self>, opened: Opened) {
        if let Some(aside) = opened.damaged {
            let message = format!(
                "the history could not be read. It was set aside as {}, and a new one was started",
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
                // The user may have left the room on another device.
                ConversationId::Room(room) => self.give_up_soon(room),
                ConversationId::Private(_) => {}
            }
        }
        opened.unshown.into_iter().for_each(|line| self.show(line));
    }

    /// Waits until every own message is stored or has failed.
    pub(crate) async fn all_committed(&self) {
        loop {
            let moved = self.moved.notified();
            if self.lock().saying == 0 {
                return;
            }
            moved.await;
        }
    }

    /// Returns whether a user can receive messages now or soon, because messages are being sent or a link is being
    /// dialled.
    pub(crate) fn is_expected(&self, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let state = self.lock();
        let is_dialled = state.chat.is_there(user) && !links.known_keys().with(|book| book.is_changed(user));
        state.replication.is_fed(user) || is_dialled
    }

    /// Returns whether an online user may still send the Lamport time of a conversation. A legacy client never
    /// does.
    pub(crate) fn may_send_have(&self, state: &State, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let is_silent = links.link_state(user).is_some_and(|link| link.dialect != Dialect::Full);
        state.chat.is_there(user) && !is_silent && !links.known_keys().with(|book| book.is_changed(user))
    }

    /// Starts a private chat with a user whom the tracker has found.
    pub(crate) fn found(&self, user: &Username, peer: Option<Peer>) -> Result<(), CommandError> {
        let Some(links) = self.links.get() else { return Err(CommandError::TrackerLost) };
        let peer = peer.ok_or_else(|| CommandError::Unreachable(user.clone()))?;
        let address = Some(&peer).filter(|peer| peer.connected).and_then(|peer| peer.socket_addr());
        let said = Announcement::from(peer);
        let KeyUpdate { news, endorsed } = links.known_keys().with(|book| book.announce(user, &said));
        if endorsed {
            self.go_on_with(user);
        }
        if let Some(fingerprint) = news {
            self.lock().event_bus.publish([Event::KeyChanged { peer: user.clone(), fingerprint }]);
        }
        if links.known_keys().with(|book| book.is_changed(user)) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        self.lock().chat.begin_private(user.clone(), address);
        self.update_link_targets();
        Ok(())
    }

    /// Passes the current memberships to the links and the history.
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
        // The link task processes held-back messages before the next report.
        self.seated.notify_one();
        if is_unannounced {
            self.send_sync_event(SyncEvent::Seats);
        }
    }

    /// Removes the pending messages for former members, after `LAST_RECEIPTS` for their last acks.
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

    /// Starts the backlog transfer to a peer. Returns true if the backlog must be read now.
    pub(crate) fn begin_feed(&self, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let held = links.known_keys().with(|book| book.is_changed(user));
        let mut state = self.lock();
        links.link_state(user).is_some_and(|link| state.replication.begin(user, link.link, held))
    }

    /// Notes in the history, as long as the peer runs, what every frontend has shown. After a crash these messages
    /// are not shown again.
    pub(crate) async fn note_what_is_shown(self: Arc<Self>) {
        let shows = self.lock().event_bus.shows();
        loop {
            shows.notified().await;
            self.note_shown();
        }
    }

    /// Notes in the history what every frontend has shown.
    pub(crate) fn note_shown(&self) {
        if let (Some(row), Some(history)) = (self.lock().event_bus.shown(), self.history.get()) {
            history.note_shown(row);
        }
    }

    /// Returns the members of a conversation and the trust in their links. Without a name it is the open
    /// conversation.
    pub(crate) fn users(
        &self,
        named: Option<api::conversation::Conversation>,
    ) -> Result<Answer, CommandError> {
        let (conversation, members) = self.lock().chat.users(named)?;
        let links = self.links.get().ok_or(CommandError::TrackerLost)?;
        let present = |member: Member| Present { trust: links.trust(&member.username), member };
        Ok(Answer::Users { conversation, members: members.into_iter().map(present).collect() })
    }

    /// Returns the status of the peer, for a tracker address and the listening address for links.
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

    /// Returns the trust in the links to the other members of the open conversation.
    fn trust_in(&self, chat: &Chat) -> BTreeMap<Username, api::status::Trust> {
        let (Some(links), Ok((_, members))) = (self.links.get(), chat.users(None)) else {
            return BTreeMap::new();
        };
        let others = members.into_iter().map(|member| member.username).filter(|user| Some(user) != chat.me());
        others.map(|user| (user.clone(), links.trust(&user))).collect()
    }

    /// Continues with a user of whom another key was pinned because a pinned key has endorsed it.
    pub(crate) fn go_on_with(&self, user: &Username) {
        if let Some(links) = self.links.get() {
            links.dial_now(user);
        }
        self.lock().event_bus.publish([Event::KeyAccepted { peer: user.clone(), endorsed: true }]);
        self.apply_key_hold(user);
        self.note_pins();
    }

    /// Saves the pinned keys and publishes an error if that fails. Use it if no command waits for the result.
    pub(crate) fn note_pins(&self) {
        if let Err(error) = self.keep_pins() {
            let message = error.to_string();
            self.lock().event_bus.publish([Event::error("LOCAL", message)]);
        }
    }

    /// Saves the pinned keys of all contacts.
    pub(crate) fn keep_pins(&self) -> Result<(), ContactsError> {
        let (Some(links), Some(people)) = (self.links.get(), self.people.get()) else { return Ok(()) };
        people.keep_pins(|| links.known_keys().with(|book| book.pins().clone()))
    }

    /// Publishes that these messages were not delivered to a recipient.
    pub(crate) fn publish_undelivered(&self, to: &Username, ids: Vec<Uuid>, reason: Undeliverable) {
        let events = ids.into_iter().map(|id| Event::Undelivered { id, to: to.clone(), reason });
        self.lock().event_bus.publish(events);
    }
}
