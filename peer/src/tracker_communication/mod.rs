//! The peer's side of the talk with the tracker: each request a typed await.

use std::collections::BTreeMap;
use std::net::IpAddr;

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{
    Credentials, FoundPeer, ListedPeer, Page, Reply, Secret, TrackerRequest,
};
use commons::snapshot::RoomSnapshot;
use commons::user::PasswordDigest;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::limits::{REPORTS_MAX, REQUESTS_MAX};
use crate::tracker_communication::uplink::{Ask, Outcome, TrackerError, TrackerReport, Uplink};

pub(crate) mod uplink;

/// The way to the tracker. It comes back by itself after the first sign-in; while it is away every request is
/// [`TrackerError::Lost`] at once.
#[derive(Debug)]
pub(crate) struct PeerTrackerCommunication {
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
}

impl PeerTrackerCommunication {
    /// The way to the tracker at `address`; what it says comes by the receiver.
    pub(crate) fn start(address: String) -> (Self, mpsc::Receiver<TrackerReport>) {
        let (asks, asked) = mpsc::channel(REQUESTS_MAX);
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let task = tokio::spawn(Uplink::new(address, asked, reports).run());
        (Self { asks, task }, receiver)
    }

    async fn request(&self, request: TrackerRequest) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { request, reply }).await.map_err(|_| TrackerError::Lost)?;
        answer.await.map_err(|_| TrackerError::Lost)?
    }

    /// Signs in, making the account first where that is asked.
    pub(crate) async fn sign_in(
        &self,
        register: bool,
        username: &Username,
        password: &PasswordDigest,
        address: Option<IpAddr>,
        port: u16,
    ) -> Result<(), TrackerError> {
        let credentials = Credentials {
            username: username.as_str().to_owned(),
            password: Some(Secret(password.as_str().to_owned())),
            address: address.map(|address| address.to_string()),
            port,
        };
        let request = if register { TrackerRequest::Register } else { TrackerRequest::Login };
        self.request(request(credentials)).await.map(drop)
    }

    /// Everybody who is connected, page by page.
    pub(crate) async fn list_peers(&self) -> Result<Vec<ListedPeer>, TrackerError> {
        self.list(TrackerRequest::ListPeers, |reply| reply.peers).await
    }

    /// All rooms, page by page.
    pub(crate) async fn list_rooms(&self) -> Result<Vec<RoomSnapshot>, TrackerError> {
        self.list(TrackerRequest::ListRooms, |reply| reply.rooms).await
    }

    async fn list<T>(
        &self,
        request: impl Fn(Page) -> TrackerRequest,
        listed: impl Fn(Reply) -> Option<BTreeMap<String, T>>,
    ) -> Result<Vec<T>, TrackerError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let reply = *self.request(request(Page { after, ..Page::default() })).await?;
            let more = reply.more;
            let page = listed(reply).unwrap_or_default();
            after = page.last_key_value().map(|(name, _)| name.clone());
            all.extend(page.into_values());
            if !more || after.is_none() {
                return Ok(all);
            }
        }
    }

    /// A registered user's record.
    pub(crate) async fn peer(&self, user: &Username) -> Result<Option<FoundPeer>, TrackerError> {
        let request = TrackerRequest::GetPeer { peer: user.as_str().to_owned() };
        Ok(self.request(request).await?.peer)
    }

    pub(crate) async fn create_room(&self, room: &RoomName) -> Result<(), TrackerError> {
        self.request(TrackerRequest::CreateRoom { room: room.as_str().to_owned() }).await.map(drop)
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

    /// Signs out; whether or not that succeeds, nothing is asked any more.
    pub(crate) async fn logout(&self) {
        let _ = self.request(TrackerRequest::Logout).await;
    }

    /// Ends the task that owns the socket.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}
