//! The direct links to other peers: who is wanted is linked, what is sent arrives or is reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::socket::Listener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::api::{Trust, Undeliverable};
use crate::key_book::KeyBook;
use crate::limits::{GOODBYE_WAIT, LINK_WAIT};
use crate::peer_communication::link_table::Wish;
use crate::peer_communication::switchboard::{LinkReport, Switchboard, Terms, WhoIs};

mod dialer;
mod link;
pub(crate) mod link_table;
mod listener;
mod outbox;
pub(crate) mod switchboard;

/// All links of this peer.
#[derive(Debug)]
pub(crate) struct PeerPeerCommunication {
    board: Arc<Switchboard>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerPeerCommunication {
    /// Takes links on `listener` and dials whoever is wanted, as `me`, on these terms; reports come by the
    /// receiver.
    pub(crate) fn start(
        me: Username,
        terms: Terms,
        book: KeyBook,
        who_is: WhoIs,
        listener: Listener,
    ) -> (Self, mpsc::Receiver<LinkReport>) {
        let instance = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        let (board, reports) = Switchboard::new(me, instance, terms, book, who_is);
        let mut tasks = JoinSet::new();
        tasks.spawn(listener::run(Arc::clone(&board), listener));
        tasks.spawn(dialer::run(Arc::clone(&board)));
        (Self { board, tasks: tasks.into() }, reports)
    }

    /// Sets who should be linked from now on; those whose link ends for it.
    pub(crate) fn want(&self, wishes: &BTreeMap<Username, Wish>) -> Vec<Username> {
        self.board.want(wishes)
    }

    /// Queues an encoded line for a peer that is linked or being dialled.
    pub(crate) fn send(&self, to: &Username, id: Uuid, frame: Bytes) -> Result<(), Undeliverable> {
        self.board.send(to, id, frame)
    }

    /// Queues an encoded LEAVE. An original program ends the whole link on any LEAVE, so it gets one only where the
    /// link ends anyway.
    pub(crate) fn leave(&self, to: &Username, frame: Bytes, still_used: bool) {
        if !(still_used && self.board.is_original(to)) {
            self.board.notify(to, frame);
        }
    }

    /// Looks something up in the book of keys, or writes it there.
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KeyBook) -> R) -> R {
        self.board.book(look)
    }

    /// Whether a link to this user cannot be read by others: all but those to original programs.
    pub(crate) fn is_encrypted(&self, user: &Username) -> bool {
        !self.board.is_original(user)
    }

    /// What a user's name is worth.
    pub(crate) fn trust(&self, user: &Username) -> Trust {
        let original = !self.is_encrypted(user);
        self.book(|book| match () {
            () if *user == self.board.me => Trust::Verified,
            () if book.is_changed(user) => Trust::Changed,
            () if book.is_verified(user) => Trust::Verified,
            () if original || book.is_known_to_have_none(user) => Trust::Unencrypted,
            () => Trust::Unverified,
        })
    }

    /// Dials a user at once, after keys were accepted.
    pub(crate) fn hurry(&self, user: &Username) {
        self.board.hurry(user);
    }

    /// This user's own key.
    pub(crate) fn own_key(&self) -> PublicKey {
        self.board.terms.identity.key()
    }

    /// Whether a link to this user stands.
    pub(crate) fn is_linked(&self, user: &Username) -> bool {
        self.board.is_linked(user)
    }

    /// Waits while outboxes of these users are filling up, so that a fast writer keeps the pace of readers that read.
    /// One that does not keep up is waited for once.
    pub(crate) async fn keep_pace(&self, users: &[Username]) {
        for (_, outbox) in self.board.outboxes().into_iter().filter(|(user, _)| users.contains(user)) {
            loop {
                let moved = outbox.moved();
                let Some(until) = outbox.patience(Instant::now()) else { break };
                // Either way the outbox is asked again.
                let _ = timeout_at(until, moved).await;
            }
        }
    }

    /// Waits for a link to this user, as long as a line would wait for it; whether there is one.
    pub(crate) async fn linked(&self, user: &Username) -> bool {
        let linked = async {
            loop {
                let changed = self.board.links_changed.notified();
                if self.board.is_linked(user) {
                    break;
                }
                changed.await;
            }
        };
        timeout(LINK_WAIT, linked).await.is_ok()
    }

    /// Waits until nothing is on its way any more, or the deadline; then what still is, by user, is given up.
    pub(crate) async fn drained(&self, deadline: Instant) -> Vec<(Username, Vec<Uuid>)> {
        for (_, outbox) in self.board.outboxes() {
            let empty = async {
                loop {
                    let moved = outbox.moved();
                    if outbox.lines() == 0 {
                        break;
                    }
                    moved.await;
                }
            };
            if timeout_at(deadline, empty).await.is_err() {
                break;
            }
        }
        let left = self.board.outboxes().into_iter().map(|(user, outbox)| (user, outbox.give_up()));
        left.filter(|(_, lines)| !lines.is_empty()).collect()
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
