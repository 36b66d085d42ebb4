//! The peer's session with the tracker.
//! Each request is a typed asynchronous call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use commons::keys::{PublicKey, Signature};
use commons::names::{RoomName, Username};
use commons::net::tls::Identity;
use commons::protocol::listed_peer::{FoundPeer, ListedPeer};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::{
    BoundKey, Credentials, ErrorCode, Reply, RoomsFate, Secret, TrackerRequest,
};
use commons::room_log::entry::SignedEntry;
use commons::snapshot::RoomSnapshot;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::api::tracker_loss::TrackerLoss;
use crate::identity::known_keys::Announcement;
use crate::identity::password::Password;
use crate::identity::password_proof::PasswordProof;
use crate::limits::{LIST_PAGES, LOG_PAGES, REPORTS_MAX, REQUESTS_MAX};
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;
use crate::tracker_communication::tracker_report::{Outcome, Probe, Reached, TrackerError, TrackerReport};
use crate::tracker_communication::uplink::{Uplink, UplinkRequest};

mod administration;
mod connector;
mod preauth_connection;
pub(crate) mod tracker_endpoint;
pub(crate) mod tracker_report;
mod uplink;

/// Handle to the session with the tracker. After the first sign-in it reconnects by itself. Without a connection every
/// request fails at once with [`TrackerError::Lost`].
#[derive(Debug, Clone)]
pub(crate) struct PeerTrackerCommunication {
    tracker: Arc<TrackerEndpoint>,
    requests: mpsc::Sender<UplinkRequest>,
    probes: mpsc::Sender<Probe>,
    task: AbortHandle,
}

impl PeerTrackerCommunication {
    /// Starts the task that talks to this tracker. Its reports arrive at the returned receiver.
    pub(crate) fn start(tracker: TrackerEndpoint) -> (Self, mpsc::Receiver<TrackerReport>) {
        let tracker = Arc::new(tracker);
        let (requests, taken) = mpsc::channel(REQUESTS_MAX);
        let (probes, probed) = mpsc::channel(REQUESTS_MAX);
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let uplink = Uplink::new(tracker.clone(), taken, probed, reports);
        let task = tokio::spawn(uplink.run()).abort_handle();
        (Self { tracker, requests, probes, task }, receiver)
    }

    /// The tracker itself, as this peer knows it.
    pub(crate) fn endpoint(&self) -> Arc<TrackerEndpoint> {
        Arc::clone(&self.tracker)
    }

    /// The tracker's address.
    pub(crate) fn address(&self) -> &str {
        self.tracker.address()
    }

    /// The reason of the last attempt that failed.
    pub(crate) fn failed(&self) -> Option<TrackerLoss> {
        self.tracker.failed()
    }

    /// The tracker's key: given by the user, known before, or met now.
    pub(crate) fn tracker_key(&self) -> Option<PublicKey> {
        self.tracker.key()
    }

    /// True if the tracker runs on this computer, as far as the last connection shows.
    pub(crate) fn is_on_loopback(&self) -> bool {
        self.tracker.is_on_loopback()
    }

    /// The message of the day that came with the sign-in.
    pub(crate) fn motd(&self) -> Option<&str> {
        self.tracker.motd()
    }

    /// True if the session acts as an admin.
    pub(crate) fn is_admin(&self) -> bool {
        self.tracker.is_admin()
    }

    /// Checks that the tracker answers and proves the expected key. No request is sent, and the connection stays open
    /// for a sign-in that follows soon. It can be used only before the first sign-in.
    pub(crate) async fn probe(&self) -> Result<Reached, TrackerError> {
        let (reply, answer) = oneshot::channel();
        self.probes.send(reply).await.map_err(|_| TrackerError::Lost)?;
        answer.await.map_err(|_| TrackerError::Lost)?
    }

    async fn request(&self, request: TrackerRequest) -> Outcome {
        self.send(request, None, false).await
    }

    async fn send(&self, request: TrackerRequest, identity: Option<Identity>, is_patient: bool) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(UplinkRequest { request, identity, is_patient, reply })
            .await
            .map_err(|_| TrackerError::Lost)?;
        answer.await.map_err(|_| TrackerError::Lost)?
    }

    /// Registers an account with the key of `identity`, and signs in. A tracker may demand a registration code.
    pub(crate) async fn register(
        &self,
        username: &Username,
        password: &PasswordProof,
        code: Option<&Password>,
        listening: SocketAddr,
        identity: Identity,
    ) -> Result<(), TrackerError> {
        let code = code.map(|code| Secret(String::from_utf8_lossy(code.as_bytes()).into_owned()));
        let credentials = credentials(username, Some(password), listening);
        let request = TrackerRequest::Register(Credentials { code, ..credentials });
        self.send(request, Some(identity), false).await.map(drop)
    }

    /// Signs in: by the key alone, or with a password, which binds the key to the account.
    pub(crate) async fn log_in(
        &self,
        username: &Username,
        password: Option<&PasswordProof>,
        listening: SocketAddr,
        identity: Identity,
    ) -> Result<(), TrackerError> {
        let request = TrackerRequest::Login(credentials(username, password, listening));
        self.send(request, Some(identity), false).await.map(drop)
    }

    /// Signs in by the key alone, as soon as the tracker can be reached.
    pub(crate) async fn log_in_when_reached(
        &self,
        username: &Username,
        listening: SocketAddr,
        identity: Identity,
    ) -> Result<(), TrackerError> {
        let request = TrackerRequest::Login(credentials(username, None, listening));
        self.send(request, Some(identity), true).await.map(drop)
    }

    /// All connected users, or the first [`LIST_PAGES`] pages of them.
    pub(crate) async fn list_peers(&self) -> Result<Vec<ListedPeer>, TrackerError> {
        self.list(TrackerRequest::ListPeers, |reply| reply.peers).await
    }

    /// All rooms, or the first [`LIST_PAGES`] pages of them.
    pub(crate) async fn list_rooms(&self) -> Result<Vec<RoomSnapshot>, TrackerError> {
        self.list(TrackerRequest::ListRooms, |reply| reply.rooms).await
    }

    async fn list<T>(
        &self,
        request: impl Fn(Page) -> TrackerRequest,
        listed: impl Fn(Reply) -> Option<BTreeMap<String, T>>,
    ) -> Result<Vec<T>, TrackerError> {
        let mut list = PagedList::default();
        while let Some(page) = list.next() {
            let reply = *self.request(request(page)).await?;
            let more = reply.more;
            list.add(listed(reply).unwrap_or_default(), more);
        }
        Ok(list.entries)
    }

    /// The record of a registered user.
    pub(crate) async fn peer(&self, user: &Username) -> Result<Option<FoundPeer>, TrackerError> {
        let request = TrackerRequest::GetPeer { peer: user.as_str().to_owned() };
        let found = self.request(request).await?.peer.map(|found| *found);
        // The record of another user would give this name the keys and the address of that user.
        Ok(found.filter(|found| found.peer.username == *user))
    }

    /// A user's keys, empty if no user has that name. Returns `None` if the tracker does not answer.
    pub(crate) async fn keys_of(&self, user: &Username) -> Option<Announcement> {
        match self.peer(user).await {
            Ok(found) => Some(found?.peer.into()),
            Err(TrackerError::Refused(refusal)) if refusal.code == ErrorCode::PeerNotFound => {
                Some(Announcement::default())
            }
            Err(_) => None,
        }
    }

    pub(crate) async fn join_room(&self, room: &RoomName) -> Result<(), TrackerError> {
        self.request(TrackerRequest::JoinRoom { room: room.as_str().to_owned() }).await.map(drop)
    }

    pub(crate) async fn leave_room(&self, room: &RoomName) -> Result<(), TrackerError> {
        self.request(TrackerRequest::LeaveRoom { room: room.as_str().to_owned() }).await.map(drop)
    }

    pub(crate) async fn delete_room(&self, room: &RoomName) -> Result<(), TrackerError> {
        self.request(TrackerRequest::DeleteRoom { room: room.as_str().to_owned() }).await.map(drop)
    }

    /// Adds an entry to the log of a room.
    pub(crate) async fn change_room(&self, entry: SignedEntry) -> Result<(), TrackerError> {
        self.request(TrackerRequest::ChangeRoom { entry: Box::new(entry) }).await.map(drop)
    }

    /// Reads the entries of a room's log after an epoch, page by page. The engine gets each page. Returns whether the
    /// room has a log.
    pub(crate) async fn read_room_log(&self, room: &RoomName, after: u64) -> Result<bool, TrackerError> {
        let mut after = after;
        for _ in 0..LOG_PAGES {
            let request = TrackerRequest::RoomLog { room: room.as_str().to_owned(), after };
            let reply = match self.request(request).await {
                // An earlier tracker has no logs.
                Err(TrackerError::Refused(refusal)) if refusal.code == ErrorCode::UnknownCommand => {
                    return Ok(false);
                }
                reply => *reply?,
            };
            let last = reply.entries.as_ref().and_then(|entries| Some(entries.last()?.entry.epoch));
            match last {
                Some(last) if reply.more && last > after => after = last,
                _ => return Ok(reply.head.is_some()),
            }
        }
        Ok(true)
    }

    /// The user's own keys.
    pub(crate) async fn list_keys(&self) -> Result<Vec<BoundKey>, TrackerError> {
        Ok(self.request(TrackerRequest::ListKeys).await?.keys.unwrap_or_default())
    }

    /// Revokes one of the user's own keys.
    pub(crate) async fn revoke_key(&self, key: PublicKey) -> Result<(), TrackerError> {
        self.request(TrackerRequest::RevokeKey { key }).await.map(drop)
    }

    /// Publishes an endorsement: the key of the session vouches for another key of the user.
    pub(crate) async fn endorse_key(&self, key: PublicKey, signature: Signature) -> Result<(), TrackerError> {
        self.request(TrackerRequest::EndorseKey { key, signature }).await.map(drop)
    }

    /// Changes the account's password. The session's key proves that the account is the user's.
    pub(crate) async fn change_password(&self, new: &PasswordProof) -> Result<(), TrackerError> {
        let (new_password, new_login_key) = (digest(new), Some(login_key(new)));
        let request =
            TrackerRequest::ChangePassword { password: None, login_key: None, new_password, new_login_key };
        self.request(request).await.map(drop)
    }

    /// Deletes the account, which ends the session. Without a password, the session's key proves the user.
    pub(crate) async fn delete_account(
        &self,
        password: Option<&PasswordProof>,
        rooms: RoomsFate,
    ) -> Result<(), TrackerError> {
        let (password, login_key) = (password.and_then(digest), password.map(login_key));
        self.request(TrackerRequest::DeleteAccount { password, login_key, rooms }).await.map(drop)
    }

    /// Signs out. Even if that fails, no request is sent before another sign-in.
    pub(crate) async fn logout(&self) {
        let _ = self.request(TrackerRequest::Logout).await;
    }

    /// Ends the task that owns the socket.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

/// A list that is read page by page. Reading ends after [`LIST_PAGES`] pages, and after a page that does not go on where
/// the previous one ended.
struct PagedList<T> {
    entries: Vec<T>,
    pages: usize,
    last: Option<String>,
    is_complete: bool,
}

impl<T> Default for PagedList<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), pages: 0, last: None, is_complete: false }
    }
}

impl<T> PagedList<T> {
    /// The next page to ask for, if there is one.
    fn next(&self) -> Option<Page> {
        if self.pages == LIST_PAGES && !self.is_complete {
            tracing::warn!(
                entries = self.entries.len(),
                "the tracker's list is too long: the rest is left out"
            );
        }
        (self.pages < LIST_PAGES && !self.is_complete)
            .then(|| Page { after: self.last.clone(), ..Page::default() })
    }

    /// Adds a page. `more` is the tracker's claim that another one follows.
    fn add(&mut self, page: BTreeMap<String, T>, more: bool) {
        let last = page.last_key_value().map(|(name, _)| name.clone());
        self.is_complete = !more || last <= self.last;
        self.last = last;
        self.pages += 1;
        self.entries.extend(page.into_values());
    }
}

fn credentials(username: &Username, password: Option<&PasswordProof>, listening: SocketAddr) -> Credentials {
    Credentials {
        username: username.as_str().to_owned(),
        password: password.and_then(digest),
        login_key: password.map(login_key),
        address: (!listening.ip().is_unspecified()).then(|| listening.ip().to_string()),
        port: listening.port(),
        code: None,
    }
}

fn digest(proof: &PasswordProof) -> Option<Secret> {
    proof.digest.as_ref().map(|digest| Secret(digest.as_str().to_owned()))
}

fn login_key(proof: &PasswordProof) -> Secret {
    Secret(proof.login_key.to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list whose tracker has this many pages of one entry each. Returns the number of requests.
    fn read(pages: usize, entry: impl Fn(usize) -> String) -> usize {
        let mut list = PagedList::default();
        while list.next().is_some() {
            let request = list.entries.len() + 1;
            assert!(request <= 2 * LIST_PAGES, "the list is read for ever");
            list.add(BTreeMap::from([(entry(request), ())]), request < pages);
        }
        list.entries.len()
    }

    #[test]
    fn list_without_an_end_is_read_only_so_far() {
        let name = |number| format!("{number:08}");
        assert_eq!(read(usize::MAX, name), LIST_PAGES);
        // A tracker that ignores `after` sends the same page again.
        assert_eq!(read(usize::MAX, |_| "ana".to_owned()), 2);
        // Control: an honest list is read to its end.
        assert_eq!(read(30, name), 30);
        assert_eq!(read(0, name), 1);
    }
}
