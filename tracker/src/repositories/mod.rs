//! What the tracker remembers: users, rooms, peers, each in a file of its own in one locked folder.

pub(crate) mod collection;
pub(crate) mod contents;
pub(crate) mod data_folder;
pub(crate) mod found;
pub(crate) mod journal;
pub(crate) mod json_file;
pub(crate) mod manifest;
pub(crate) mod peer;
pub(crate) mod record;
pub(crate) mod room;
pub(crate) mod table;
pub(crate) mod tracker_key;
pub(crate) mod update;
pub(crate) mod user;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

use commons::keys::Seed;
use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::collection::Collection;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::found::{Found, Trust};
use crate::repositories::manifest::Manifest;
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
    /// Reads the folder, which must be as a tracker left it. All of it is read before any of it is touched.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let (repositories, notes) = Self::open_trusting(path, Trust::AsLeft)?;
        notes.iter().for_each(|note| tracing::warn!("{note}"));
        Ok(repositories)
    }

    /// Reads the folder as far as it is to be believed; with what the operator should know.
    pub(crate) fn open_trusting(path: &Path, trust: Trust) -> Result<(Self, Vec<String>), OpenError> {
        let folder = Arc::new(DataFolder::open(path)?);
        let Found { users, rooms, peers, key, manifest, notes } = Found::read(path, trust)?;
        let manifest = Arc::new(Manifest::new(path, manifest.unwrap_or_default()));
        let key = tracker_key::keep(path, key)?;
        let noted = manifest.update(|entries| entries.tracker_key = Some(key.public_key()));
        noted.map_err(OpenError::at(path))?;
        let repositories = Self {
            users: Collection::start(users, folder.clone(), manifest.clone())?,
            rooms: Collection::start(rooms, folder.clone(), manifest.clone())?,
            peers: Collection::start(peers, folder, manifest)?,
            key,
        };
        Ok((repositories, notes))
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
