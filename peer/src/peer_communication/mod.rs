//! The direct links to other peers.
//! This module links the wanted peers and reports the frames that they send.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::frame::encode;
use commons::net::socket::Listener;
use commons::protocol::between_peers::PeerMessage;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::status::Trust;
use crate::identity::known_keys::KnownKeys;
use crate::limits::GOODBYE_WAIT;
use crate::peer_communication::link_registry::{KeyLookup, LinkConfig, LinkRegistry, LinkReport};
use crate::peer_communication::link_table::{LinkId, Wish};
use crate::peer_communication::send_queue::{Dialect, Full};

mod dialer;
mod link;
pub(crate) mod link_registry;
pub(crate) mod link_table;
mod listener;
mod question_pace;
pub(crate) mod send_queue;

/// Handle to all links of this peer.
#[derive(Debug)]
pub(crate) struct PeerPeerCommunication {
    board: Arc<LinkRegistry>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerPeerCommunication {
    /// Accepts links on `listener` and dials the wanted peers, as user `me` in this instance. Reports arrive at the
    /// returned receiver.
    pub(crate) fn start(
        me: Username,
        instance: u64,
        terms: LinkConfig,
        book: KnownKeys,
        who_is: KeyLookup,
        listener: Listener,
    ) -> (Self, mpsc::Receiver<LinkReport>) {
        // A bound socket has an address.
        let port = listener.local_addr().map_or(0, |address| address.port());
        let (board, reports) = LinkRegistry::new(me, (instance, port), terms, book, who_is);
        let mut tasks = JoinSet::new();
        tasks.spawn(listener::run(Arc::clone(&board), listener));
        tasks.spawn(dialer::run(Arc::clone(&board)));
        (Self { board, tasks: tasks.into() }, reports)
    }

    /// Sets which peers should be linked from now on. Returns the users whose links end.
    pub(crate) fn want(&self, wishes: &BTreeMap<Username, Wish>) -> Vec<Username> {
        self.board.want(wishes)
    }

    /// Queues an encoded frame for a peer. Without a link it is dropped.
    pub(crate) fn send(&self, to: &Username, frame: Bytes) -> Result<(), Full> {
        self.board.send(to, frame)
    }

    /// Queues an encoded frame for this link. `line` is the id of its message if the outcome of the write must be
    /// reported.
    pub(crate) fn feed(
        &self,
        to: &Username,
        link: LinkId,
        line: Option<Uuid>,
        frame: Bytes,
    ) -> Result<(), Full> {
        self.board.feed(to, link, line, frame)
    }

    /// The link that the peer's frames are written to; `None` without one.
    pub(crate) fn link(&self, user: &Username) -> Option<LinkId> {
        self.board.writer(user).map(|(link, _)| link)
    }

    /// The dialect of the peer's link; `None` without one.
    pub(crate) fn dialect(&self, user: &Username) -> Option<Dialect> {
        self.board.writer(user).map(|(_, dialect)| dialect)
    }

    /// Start time of a peer's program, as it claims.
    pub(crate) fn started(&self, user: &Username) -> Option<DateTime<Utc>> {
        let millis = i64::try_from(self.board.instance(user)?).ok()?;
        DateTime::from_timestamp_millis(millis)
    }

    /// Acknowledges a message of a peer, and all earlier ones on the same link.
    pub(crate) fn receipt(&self, to: &Username, id: Uuid) {
        self.board.receipt(to, id);
    }

    /// Queues an encoded LEAVE. A legacy client ends the whole link on any LEAVE, so it gets one only if the link ends
    /// anyway. Its LEAVE names no room, because it would show a notice for a named room beside the tracker's own.
    pub(crate) fn leave(&self, to: &Username, frame: Bytes, still_used: bool) {
        let legacy = self.board.is_original(to);
        if still_used && legacy {
            return;
        }
        let unnamed = || encode(&PeerMessage::Leave { room: None }).ok();
        if let Some(frame) = if legacy { unnamed() } else { Some(frame) } {
            // A full send queue drops the notice. The tracker announces the departure as well.
            let _ = self.board.send(to, frame);
        }
    }

    /// Reads or changes the known keys under the lock.
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KnownKeys) -> R) -> R {
        self.board.book(look)
    }

    /// Whether the link to this user is encrypted, as all are but those to legacy clients.
    pub(crate) fn is_encrypted(&self, user: &Username) -> bool {
        !self.board.is_original(user)
    }

    /// Level of trust in a user's name.
    pub(crate) fn trust(&self, user: &Username) -> Trust {
        let (original, speaks_by) = (!self.is_encrypted(user), self.board.link_key(user));
        self.book(|book| match () {
            () if *user == self.board.me => Trust::Verified,
            () if book.is_changed(user) => Trust::Changed,
            () if speaks_by.or_else(|| book.key(user)).is_some_and(|key| book.is_verified(user, &key)) => {
                Trust::Verified
            }
            () if original || book.is_known_to_have_none(user) => Trust::Unencrypted,
            () => Trust::Unverified,
        })
    }

    /// The key of this user: a changed key that waits for acceptance, else the key of the standing link, else the
    /// expected one.
    pub(crate) fn key(&self, user: &Username) -> Option<PublicKey> {
        let speaks_by = self.board.link_key(user);
        self.book(
            |book| if book.is_changed(user) { book.key(user) } else { speaks_by.or_else(|| book.key(user)) },
        )
    }

    /// The key that the standing link to this user has proven.
    pub(crate) fn link_key(&self, user: &Username) -> Option<PublicKey> {
        self.board.link_key(user)
    }

    /// Ends the links to a user that proved a key which is no longer pinned.
    pub(crate) fn end_links_by_others(&self, user: &Username) {
        self.board.end_links_by_others(user);
    }

    /// Dials a user at once, after keys were accepted.
    pub(crate) fn dial_now(&self, user: &Username) {
        self.board.dial_now(user);
    }

    /// This user's own device key.
    pub(crate) fn own_key(&self) -> PublicKey {
        self.board.terms.identity.key()
    }

    /// Whether a link to this user stands.
    pub(crate) fn is_linked(&self, user: &Username) -> bool {
        self.board.is_linked(user)
    }

    /// Ends every link after its queued goodbyes, and waits for the end. A second call returns at once.
    pub(crate) async fn stop(&self) {
        if self.board.stop.is_cancelled() {
            return;
        }
        self.board.retire_all();
        let links_gone = async {
            loop {
                let changed = self.board.links_changed.notified();
                if !self.board.any_linked() {
                    break;
                }
                changed.await;
            }
        };
        let _ = timeout(GOODBYE_WAIT, links_gone).await;
        self.board.stop.cancel();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}
