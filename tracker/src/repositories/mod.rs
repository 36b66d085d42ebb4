//! What the tracker remembers: users, rooms, peers, each in a file of its own in one locked folder.

pub(crate) mod collection;
pub(crate) mod committed;
pub(crate) mod committer;
pub(crate) mod data_folder;
pub(crate) mod journal;
pub(crate) mod json_file;
pub(crate) mod peer;
pub(crate) mod record;
pub(crate) mod room;
pub(crate) mod tracker_key;
pub(crate) mod update;
pub(crate) mod user;

use std::path::Path;
use std::sync::Arc;

use commons::keys::Seed;
use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::collection::Collection;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::json_file::Loaded;
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::RoomRepository;
use crate::repositories::update::StorageError;
use crate::repositories::user::{StoredPassword, UserRepository};

/// The three collections.
#[derive(Debug)]
pub(crate) struct Repositories {
    users: Collection<StoredPassword>,
    rooms: Collection<Room>,
    peers: Collection<Peer>,
    key: Seed,
}

impl Repositories {
    /// Reads the folder. All of it is read before any of it is touched.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Arc::new(DataFolder::open(path)?);
        let key = tracker_key::open(path)?;
        let users = Loaded::read(&folder, "users")?;
        let rooms = Loaded::read(&folder, "rooms")?;
        let peers = Loaded::read(&folder, "peers")?;
        Ok(Self {
            users: Collection::start(users)?,
            rooms: Collection::start(rooms)?,
            peers: Collection::start(peers)?,
            key,
        })
    }

    /// The tracker's own key.
    pub(crate) fn key(&self) -> &Seed {
        &self.key
    }

    /// The accounts.
    pub(crate) fn users(&self) -> UserRepository {
        UserRepository::new(self.users.clone())
    }

    /// The rooms.
    pub(crate) fn rooms(&self) -> RoomRepository {
        RoomRepository::new(self.rooms.clone())
    }

    /// The peers, none of them present.
    pub(crate) fn peers(&self) -> PeerRepository {
        PeerRepository::new(self.peers.clone())
    }

    /// Waits until one of the collections has ended unasked, which only a defect brings about.
    pub(crate) async fn failed(&self) {
        tokio::select! {
            () = self.users.ended() => {}
            () = self.rooms.ended() => {}
            () = self.peers.ended() => {}
        }
    }

    /// Ends in good order: everything in the JSON files, the journals empty.
    pub(crate) async fn close(self) -> Result<(), StorageError> {
        let (users, rooms, peers) = tokio::join!(self.users.close(), self.rooms.close(), self.peers.close());
        users.and(rooms).and(peers)
    }
}
