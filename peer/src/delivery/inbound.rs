//! The handling of reports from the links.
//!
//! Received messages are ingested into the history. Other reports change the chat, the replication or the sync.

use std::sync::Arc;

use chrono::Utc;
use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Event;
use crate::chat::Trust;
use crate::chat::inbound::{Inbound, Spoken};
use crate::delivery::serving_links::LinkChange;
use crate::delivery::sync_event::SyncEvent;
use crate::history::command::{self, UnsignedMessage};
use crate::history::conversation::ConversationId;
use crate::hub::Hub;
use crate::identity::key_prefix::first_digits;
use crate::limits::ENDORSED_DIGITS_MIN;
use crate::peer_communication::link_report::{LinkRefusal, LinkReport};
use crate::peer_communication::link_table::LinkId;
use crate::peer_communication::links::PeerPeerCommunication;

impl Hub {
    /// Handles link reports until the channel closes. A lagging frontend slows this down, so it also slows down the
    /// senders.
    pub(crate) async fn on_link_reports(self: Arc<Self>, mut reports: mpsc::Receiver<LinkReport>) {
        loop {
            let report = tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => Some(report),
                    None => return,
                },
                () = self.seated.notified() => None,
            };
            let behind = self.lock().event_bus.behind();
            for face in behind {
                face.caught_up().await;
            }
            if let Some(report) = report {
                self.on_link_report(report).await;
            }
            self.process_held_back().await;
        }
    }

    /// Processes messages that were held back until their membership was confirmed, in order.
    async fn process_held_back(&self) {
        let early = self.lock().chat.admit_early(Instant::now());
        for (conversation, room, heard) in early {
            self.keep(conversation, room, heard).await;
        }
    }

    async fn on_link_report(&self, report: LinkReport) {
        let Some(history) = self.history.get() else { return };
        match report {
            LinkReport::Unsigned { from, message } => {
                self.ingest(Inbound { from, what: Spoken::Plain(message) }).await
            }
            LinkReport::Signed { from, link, .. } if self.is_replaced(&from, link) => {}
            LinkReport::Signed { from, batch, .. } => {
                self.ingest(Inbound { from, what: Spoken::Given(batch) }).await
            }
            LinkReport::Have { from, room_id, streams, lamport } => {
                self.on_have(from, room_id, streams, lamport).await;
            }
            LinkReport::Want { from, room_id, streams } => {
                let conversation = conversation(&from, room_id);
                // A member may send any number of WANTs. They must not delay messages, so a WANT may be dropped;
                // the peer repeats it.
                self.send_sync_event(SyncEvent::Want(from, conversation, streams));
            }
            LinkReport::Changed { user } => {
                let serving =
                    self.links.get().and_then(|links| links.link_state(&user)).map(|link| link.link);
                let change = self.lock().serving.changed(&user, serving);
                if change == LinkChange::Began {
                    history.linked(user.clone()).await;
                }
                let up = self.on_link_change(&user);
                match change {
                    LinkChange::Began => self.send_to_exchange(SyncEvent::Up(user)).await,
                    LinkChange::None if up => {}
                    LinkChange::None | LinkChange::Ended => {
                        self.send_to_exchange(SyncEvent::Down(user)).await
                    }
                }
            }
            LinkReport::Left { from, room: None } => {
                self.lock().chat.left_private(&from);
                self.update_link_targets();
            }
            // The tracker reports when a member leaves a room.
            LinkReport::Left { room: Some(_), .. } => {}
            LinkReport::Received { from, id } => history.delivered(from, vec![id]).await,
            LinkReport::Written { to, id } => history.written(to, vec![id]).await,
            LinkReport::TooLong { to, id } => history.too_long(to, vec![id]).await,
            LinkReport::Writable { to } => self.feed_on(&to),
            LinkReport::PinsChanged => self.note_pins(),
            LinkReport::KeyEndorsed { user } => self.go_on_with(&user),
            LinkReport::Refused { user, reason } => self.publish_refusal(&user, reason),
            LinkReport::KeyChanged { user, key } => {
                self.apply_key_hold(&user);
                self.lock().event_bus.publish([Event::KeyChanged { peer: user, fingerprint: key }]);
            }
        }
    }

    /// Returns whether another link to this user has taken over. The new link starts with everything that is not
    /// stored. Messages of the replaced link in between would break the signed batches of both.
    fn is_replaced(&self, user: &Username, link: LinkId) -> bool {
        let serving = self.links.get().and_then(|links| links.link_state(user)).map(|link| link.link);
        serving.is_some_and(|serving| serving != link)
    }

    /// Applies the state of the link to a user. Returns whether a link is up.
    fn on_link_change(&self, user: &Username) -> bool {
        let Some(links) = self.links.get() else { return false };
        let up = links.link_state(user).is_some();
        let trust = link_trust(links, user);
        let mut state = self.lock();
        let events = state.chat.link_is(user, up, trust);
        if up && !events.is_empty() {
            let shared = state.chat.shared_with(user).into_iter().map(|of| (user.clone(), of));
            state.awaited.extend(shared);
        }
        state.event_bus.publish(events);
        if !up {
            state.replication.end(user);
            state.awaited.retain(|(peer, _)| peer != user);
        }
        up
    }

    /// Tells the user why a peer that is online has no link.
    fn publish_refusal(&self, user: &Username, why: LinkRefusal) {
        let Some(links) = self.links.get() else { return };
        let mut state = self.lock();
        let (code, message) = match why {
            LinkRefusal::NotAccepted => {
                let accept = state.chat.me().map_or_else(String::new, |me| format!(" /accept {me}"));
                let digits = first_digits(&links.own_key(), ENDORSED_DIGITS_MIN);
                let message = format!(
                    "{user} has not accepted the key of this computer yet. Ask {user} to type{accept}, or type /endorse \
                     {digits} on a computer that {user} knows"
                );
                ("KEY_CHANGED", message)
            }
            LinkRefusal::Plaintext => {
                let message = format!(
                    "{user} uses a program without encryption, and your --plaintext setting refuses it. Your messages to \
                     {user} wait here"
                );
                ("PLAINTEXT_REFUSED", message)
            }
        };
        state.event_bus.publish([Event::error(code, message)]);
    }

    /// Ingests received messages if their author is a confirmed member. Otherwise the chat may hold them back.
    async fn ingest(&self, heard: Inbound) {
        let admitted = self.lock().chat.admit(heard, Instant::now());
        if let Some((conversation, room, heard)) = admitted {
            self.keep(conversation, room, heard).await;
        }
    }

    /// Passes confirmed messages to the history, which reports the result.
    async fn keep(&self, conversation: ConversationId, room: Option<RoomName>, heard: Inbound) {
        let (Some(links), Some(history)) = (self.links.get(), self.history.get()) else { return };
        let Inbound { from, what } = heard;
        match what {
            Spoken::Plain(line) => {
                let id = line.id.unwrap_or_else(Uuid::now_v7);
                let sent_at = line.sent_at.unwrap_or_else(Utc::now);
                let line = UnsignedMessage { conversation, room, from, id, sent_at, text: line.content };
                history.ingest_unsigned(line).await;
            }
            Spoken::Given(given) => {
                let late = given.late;
                let authors = given.lines.iter().map(|line| line.author.clone());
                let trusted =
                    links.known_keys().with(|book| authors.map(|author| book.trusted(author)).collect());
                let news = SyncEvent::Given(from.clone(), conversation.clone());
                let messages = given.lines;
                history
                    .ingest(command::InboundBatch { from, conversation, room, messages, late, trusted })
                    .await;
                if late {
                    self.send_to_exchange(news).await;
                }
            }
        }
    }

    /// Handles a HAVE. It acknowledges own messages, and it shows what this peer lacks.
    async fn on_have(
        &self,
        from: Username,
        room: Option<Uuid>,
        theirs: Vec<StreamSpans>,
        lamport: Option<u64>,
    ) {
        let Some(history) = self.history.get() else { return };
        let conversation = conversation(&from, room);
        let (first, shared) = {
            let mut state = self.lock();
            let shared = state.chat.shared_with(&from).contains(&conversation);
            (state.awaited.remove(&(from.clone(), conversation.clone())), shared)
        };
        if shared {
            history.has(from.clone(), conversation.clone(), theirs.clone(), lamport).await;
            self.lock().timed.insert(conversation.clone());
            self.told_time.notify_waiters();
        }
        if first {
            let lacking = history.lacking(conversation.clone(), theirs.clone()).await;
            // The count must be complete before the first of these messages arrives from the backlog.
            self.lock().missed.entry(conversation.clone()).or_default().note(&lacking.unwrap_or_default());
        }
        self.send_to_exchange(SyncEvent::Have(from, conversation, theirs)).await;
    }
}

/// Returns the trust in the link to a user.
pub(crate) fn link_trust(links: &PeerPeerCommunication, user: &Username) -> Trust {
    let link = links.link_state(user);
    let key = link.as_ref().and_then(|link| link.key);
    let verified = key.is_some_and(|key| links.known_keys().with(|book| book.is_verified(user, &key)));
    Trust { encrypted: link.is_none_or(|link| link.encrypted), verified, key }
}

/// Returns the conversation that a peer's frame names.
fn conversation(with: &Username, room: Option<Uuid>) -> ConversationId {
    room.map_or_else(|| ConversationId::Private(with.clone()), ConversationId::Room)
}
