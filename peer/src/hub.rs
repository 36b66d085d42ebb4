//! Where everything meets: what the tracker and the links report changes the chat, and the faces are told.
//!
//! The chat's state changes under one lock, and what that changes is told under the same lock, so that all faces see
//! one order. The lock is never held across an await.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use commons::names::{RoomName, Username};
use commons::net::frame::encode;
use commons::protocol::between_peers::PeerMessage;
use commons::snapshot::Member;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::{self, Answer, CommandError, Event, Present, Status, TrackerState, Undeliverable};
use crate::chat::{Chat, Trust};
use crate::events::Faces;
use crate::heard::Heard;
use crate::home::{Home, HomeError};
use crate::peer_communication::PeerPeerCommunication;
use crate::peer_communication::link_table::Wish;
use crate::peer_communication::switchboard::LinkReport;
use crate::safety_number::safety_number;
use crate::tracker_communication::uplink::{Ending, TrackerReport};
use crate::untrusted::Untrusted;

/// The chat, the faces and the links.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// There once somebody has signed in, as is `home`.
    pub(crate) links: OnceLock<PeerPeerCommunication>,
    pub(crate) home: OnceLock<Home>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) chat: Chat,
    pub(crate) faces: Faces,
    /// Why the peer ended by itself, if it did.
    pub(crate) failure: Option<Untrusted>,
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
    pub(crate) fn relink(&self) {
        let Some(links) = self.links.get() else { return };
        let mut state = self.lock();
        let wanted = state.chat.wanted();
        let mut changed = Vec::new();
        for (user, want) in &wanted {
            let new = want.keys.as_ref().and_then(|keys| links.book(|book| book.announce(user, keys)));
            changed.extend(new.map(|fingerprint| Event::KeyChanged { peer: user.clone(), fingerprint }));
        }
        state.faces.tell(changed);
        let wishes: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(user, want)| (user, Wish { address: want.address, eager: want.private }))
            .collect();
        for user in links.want(&wishes) {
            let event = state.chat.link_is(&user, false, Trust::default());
            state.faces.tell(event);
        }
    }

    /// Hears the tracker until it is over.
    pub(crate) async fn hear_tracker(
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
                        state.faces.tell(events);
                        if let Some((room, listeners)) = left {
                            self.say_goodbye(&state.chat, &room, &listeners);
                        }
                    }
                    self.relink();
                    if let Some(reply) = reply {
                        // Whoever asked may have given up waiting.
                        let _ = reply.send(outcome);
                    }
                }
                TrackerReport::Update(update) => {
                    let mut state = self.lock();
                    let events = state.chat.updated(*update, Instant::now());
                    state.faces.tell(events);
                    drop(state);
                    self.relink();
                }
                TrackerReport::Lost => {
                    let mut state = self.lock();
                    let events = state.chat.tracker_is(TrackerState::Lost);
                    state.faces.tell(events);
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
    fn fail(&self, ending: &Ending, address: &str) {
        let (code, message) = match ending {
            Ending::Superseded => {
                ("SUPERSEDED".to_owned(), "signed in elsewhere under this name: this program ends".into())
            }
            Ending::Failed(error) => {
                let error = CommandError::from_tracker(error.clone(), address);
                (error.code(), error.words())
            }
        };
        let mut state = self.lock();
        state.failure = Some(message.clone());
        state.faces.tell([Event::Error { code, message }]);
        state.faces.end();
    }

    /// Hears the links until it is over, as fast as the slowest face reads.
    pub(crate) async fn hear_links(self: Arc<Self>, mut reports: mpsc::Receiver<LinkReport>) {
        while let Some(report) = reports.recv().await {
            let behind = self.lock().faces.behind();
            for face in behind {
                face.caught_up().await;
            }
            match report {
                LinkReport::Line(from, line) => {
                    let heard = Heard {
                        from,
                        room: line.room,
                        content: line.content,
                        id: line.id.unwrap_or_else(Uuid::now_v7),
                        sent_at: line.sent_at.unwrap_or_else(Utc::now),
                    };
                    let private = heard.room.is_none();
                    let mut state = self.lock();
                    let event = state.chat.heard(heard, Instant::now());
                    state.faces.tell(event);
                    drop(state);
                    if private {
                        self.relink();
                    }
                }
                LinkReport::Changed(user) => {
                    let Some(links) = self.links.get() else { continue };
                    let mut state = self.lock();
                    let trust = Trust {
                        encrypted: links.is_encrypted(&user),
                        verified: links.book(|book| book.is_verified(&user)),
                    };
                    let event = state.chat.link_is(&user, links.is_linked(&user), trust);
                    state.faces.tell(event);
                }
                LinkReport::Left(user, None) => {
                    self.lock().chat.left_private(&user);
                    self.relink();
                }
                // The tracker says who leaves a room.
                LinkReport::Left(_, Some(_)) => {}
                LinkReport::Delivered(to, ids) => {
                    let delivered = ids.into_iter().map(|id| Event::Delivered { id, to: to.clone() });
                    self.lock().faces.tell(delivered);
                }
                LinkReport::Undelivered(to, ids, reason) => self.tell_undelivered(&to, ids, reason),
                LinkReport::Pinned => {
                    if let Err(error) = self.keep_pins() {
                        let message = error.to_string().into();
                        self.lock().faces.tell([Event::Error { code: "LOCAL".to_owned(), message }]);
                    }
                }
                LinkReport::NotAccepted(by) => self.tell_not_accepted(&by),
                LinkReport::KeyChanged(peer, fingerprint) => {
                    self.lock().faces.tell([Event::KeyChanged { peer, fingerprint }]);
                }
            }
        }
    }

    /// Who is in the open conversation, and what their names are worth.
    pub(crate) fn users(&self) -> Result<Answer, CommandError> {
        let (conversation, members) = self.lock().chat.users()?;
        let links = self.links.get().ok_or(CommandError::TrackerLost)?;
        let present = |member: Member| Present { trust: links.trust(&member.username), member };
        Ok(Answer::Users { conversation, members: members.into_iter().map(present).collect() })
    }

    /// How things stand with a tracker at this address and links taken there.
    pub(crate) fn status(&self, tracker: &str, listening: SocketAddr) -> Status {
        let state = self.lock();
        let chat = &state.chat;
        Status {
            username: chat.me().cloned(),
            open: chat.opened().ok(),
            conversations: chat.conversations(),
            tracker: chat.tracker(),
            tracker_address: tracker.to_owned(),
            listening: listening.to_string(),
            trust: self.trust_in(chat),
            known_users: chat.known().users(),
            known_rooms: chat.known().rooms(),
        }
    }

    fn trust_in(&self, chat: &Chat) -> BTreeMap<Username, api::Trust> {
        let (Some(links), Ok((_, members))) = (self.links.get(), chat.users()) else {
            return BTreeMap::new();
        };
        let others = members.into_iter().map(|member| member.username).filter(|user| Some(user) != chat.me());
        others.map(|user| (user.clone(), links.trust(&user))).collect()
    }

    /// Takes what the tracker announces of a user's keys for right.
    pub(crate) fn accept_keys(&self, user: &Username) -> Result<(), CommandError> {
        let Some(links) = self.links.get().filter(|links| links.book(|book| book.accept(user))) else {
            return Err(CommandError::Usage(format!(
                "the tracker announces no new key of {user}: nothing to accept"
            )));
        };
        links.hurry(user);
        Ok(self.keep_pins()?)
    }

    /// Remembers that the safety number was compared.
    pub(crate) fn verify_keys(&self, user: &Username) -> Result<(), CommandError> {
        let links = self.links.get();
        if links.is_some_and(|links| links.book(|book| book.is_changed(user))) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        if !links.is_some_and(|links| links.book(|book| book.verify(user))) {
            return Err(CommandError::Usage(format!("talk to {user} first, then compare: /verify {user}")));
        }
        Ok(self.keep_pins()?)
    }

    /// The number to compare with a user.
    pub(crate) fn safety_number(&self, user: Username) -> Result<Answer, CommandError> {
        let (Some(links), Some(me)) = (self.links.get(), self.lock().chat.me().cloned()) else {
            return Err(CommandError::TrackerLost);
        };
        let (key, verified) = links.book(|book| (book.key(&user), book.is_verified(&user)));
        let Some(key) = key else {
            return Err(CommandError::Usage(format!(
                "there is no key of {user} to compare: talk to {user} first; original programs have none"
            )));
        };
        let number = safety_number((&me, links.own_key()), (&user, key));
        Ok(Answer::SafetyNumber { user, number, verified })
    }

    /// Shuts a user's private lines out or lets them in again.
    pub(crate) fn block(&self, home: &Home, user: &Username, shut_out: bool) -> Result<(), CommandError> {
        let mut state = self.lock();
        if state.chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        Ok(home.keep_blocked(state.chat.block(user, shut_out))?)
    }

    /// Writes down whose keys are whose.
    pub(crate) fn keep_pins(&self) -> Result<(), HomeError> {
        let (Some(links), Some(home)) = (self.links.get(), self.home.get()) else { return Ok(()) };
        home.keep_pins(&links.book(|book| book.pins().clone()))
    }

    fn tell_not_accepted(&self, by: &Username) {
        let mut state = self.lock();
        let accept = state.chat.me().map_or_else(String::new, |me| format!(" to type /accept {me}"));
        let message = format!("{by} does not accept this computer's key yet: ask {by}{accept}");
        let code = CommandError::KeyChanged(by.clone()).code();
        state.faces.tell([Event::Error { code, message: message.into() }]);
    }

    pub(crate) fn tell_undelivered(&self, to: &Username, ids: Vec<Uuid>, reason: Undeliverable) {
        let events = ids.into_iter().map(|id| Event::Undelivered { id, to: to.clone(), reason });
        self.lock().faces.tell(events);
    }
}

/// A LEAVE as it is sent; `None` is the private conversation.
pub(crate) fn leave_frame(room: Option<&RoomName>) -> Option<Bytes> {
    encode(&PeerMessage::Leave { room: room.map(|room| room.as_str().into()) }).ok()
}
