//! The direct links to other peers: who is wanted is linked, and what they say is reported.

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

use crate::api::Trust;
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

/// All links of this peer.
#[derive(Debug)]
pub(crate) struct PeerPeerCommunication {
    board: Arc<LinkRegistry>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerPeerCommunication {
    /// Takes links on `listener` and dials whoever is wanted, as `me` in this instance, on these terms; reports come by
    /// the receiver.
    pub(crate) fn start(
        me: Username,
        instance: u64,
        terms: LinkConfig,
        book: KnownKeys,
        who_is: KeyLookup,
        listener: Listener,
    ) -> (Self, mpsc::Receiver<LinkReport>) {
        // A socket that is bound has an address.
        let port = listener.local_addr().map_or(0, |address| address.port());
        let (board, reports) = LinkRegistry::new(me, (instance, port), terms, book, who_is);
        let mut tasks = JoinSet::new();
        tasks.spawn(listener::run(Arc::clone(&board), listener));
        tasks.spawn(dialer::run(Arc::clone(&board)));
        (Self { board, tasks: tasks.into() }, reports)
    }

    /// Sets who should be linked from now on; those whose link ends for it.
    pub(crate) fn want(&self, wishes: &BTreeMap<Username, Wish>) -> Vec<Username> {
        self.board.want(wishes)
    }

    /// Puts an encoded frame on its way to a peer, if it is linked.
    pub(crate) fn send(&self, to: &Username, frame: Bytes) -> Result<(), Full> {
        self.board.send(to, frame)
    }

    /// Puts an encoded frame on its way by this link. `line` names the line in it, where its fate is to be told.
    pub(crate) fn feed(
        &self,
        to: &Username,
        link: LinkId,
        line: Option<Uuid>,
        frame: Bytes,
    ) -> Result<(), Full> {
        self.board.feed(to, link, line, frame)
    }

    /// By which link one speaks to a peer; `None` without one.
    pub(crate) fn link(&self, user: &Username) -> Option<LinkId> {
        self.board.writer(user).map(|(link, _)| link)
    }

    /// How one speaks to a peer; `None` without a link.
    pub(crate) fn dialect(&self, user: &Username) -> Option<Dialect> {
        self.board.writer(user).map(|(_, dialect)| dialect)
    }

    /// When a peer's program was started, as it says.
    pub(crate) fn started(&self, user: &Username) -> Option<DateTime<Utc>> {
        let millis = i64::try_from(self.board.instance(user)?).ok()?;
        DateTime::from_timestamp_millis(millis)
    }

    /// Receipts a line of a peer, and with it those that came before it by the same link.
    pub(crate) fn receipt(&self, to: &Username, id: Uuid) {
        self.board.receipt(to, id);
    }

    /// Queues an encoded LEAVE. A legacy client ends the whole link on any LEAVE, so it gets one only where the link ends
    /// anyway; one that names no room, because it shows a line for each that does, beside that of the tracker's push.
    pub(crate) fn leave(&self, to: &Username, frame: Bytes, still_used: bool) {
        let legacy = self.board.is_original(to);
        if still_used && legacy {
            return;
        }
        let unnamed = || encode(&PeerMessage::Leave { room: None }).ok();
        if let Some(frame) = if legacy { unnamed() } else { Some(frame) } {
            // A full outbox loses the notice: the tracker tells the same.
            let _ = self.board.send(to, frame);
        }
    }

    /// Looks something up in the book of keys, or writes it there.
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KnownKeys) -> R) -> R {
        self.board.book(look)
    }

    /// Whether a link to this user cannot be read by others: all but those to original programs.
    pub(crate) fn is_encrypted(&self, user: &Username) -> bool {
        !self.board.is_original(user)
    }

    /// What a user's name is worth.
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

    /// The key that this user speaks with: that of the standing link, else the one that is to be expected. A change comes first.
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

    /// Ends the links to a user by keys that are pinned no more.
    pub(crate) fn end_links_by_others(&self, user: &Username) {
        self.board.end_links_by_others(user);
    }

    /// Dials a user at once, after keys were accepted.
    pub(crate) fn dial_now(&self, user: &Username) {
        self.board.dial_now(user);
    }

    /// This user's own key.
    pub(crate) fn own_key(&self) -> PublicKey {
        self.board.terms.identity.key()
    }

    /// Whether a link to this user stands.
    pub(crate) fn is_linked(&self, user: &Username) -> bool {
        self.board.is_linked(user)
    }

    /// Ends every link, the queued goodbyes first, and waits for the end; a second call has nothing to wait for.
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
