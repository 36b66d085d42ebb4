//! The tracker's durable state.
//! Users, rooms, peers, admins and bans each have a JSON file and a journal of their own, in one locked data folder.

pub(crate) mod admin;
pub(crate) mod ban;
pub(crate) mod collection;
pub(crate) mod contents;
pub(crate) mod data_files;
pub(crate) mod data_folder;
pub(crate) mod found;
pub(crate) mod frozen_entries;
pub(crate) mod journal;
pub(crate) mod json_file;
pub(crate) mod manifest;
mod name_claims;
pub(crate) mod peer;
pub(crate) mod raw_entries;
pub(crate) mod record;
pub(crate) mod room;
pub(crate) mod room_log;
pub(crate) mod snapshot;
pub(crate) mod stored_password;
pub(crate) mod stored_room;
pub(crate) mod table;
pub(crate) mod tracker_key;
pub(crate) mod trust;
pub(crate) mod update;
pub(crate) mod user;
pub(crate) mod watch;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

use commons::keys::Seed;
use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::admin::{Admin, AdminRepository};
use crate::repositories::ban::{Ban, BanRepository};
use crate::repositories::collection::Collection;
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::found::Found;
use crate::repositories::manifest::Manifest;
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::RoomRepository;
use crate::repositories::snapshot::SnapshotSource;
use crate::repositories::trust::Trust;
use crate::repositories::update::StorageError;
use crate::repositories::user::{Account, UserRepository};
use crate::timing::TimingCounts;

/// The collections of the tracker, and its private key.
#[derive(Debug)]
pub(crate) struct Repositories {
    users: Collection<Account>,
    rooms: Collection<Room>,
    peers: Collection<Peer>,
    admins: Collection<Admin>,
    bans: Collection<Ban>,
    key: Seed,
}

impl Repositories {
    /// Opens the data folder, which must be exactly as a tracker left it. Every file is read and checked before any
    /// file is written.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let (repositories, notes) = Self::open_trusting(path, Trust::AsLeft)?;
        notes.iter().for_each(|note| tracing::warn!("{note}"));
        Ok(repositories)
    }

    /// Opens the data folder with the given degree of trust. Also returns notes for the operator.
    pub(crate) fn open_trusting(path: &Path, trust: Trust) -> Result<(Self, Vec<String>), OpenError> {
        let folder = Arc::new(DataFolder::open(path)?);
        let Found { users, rooms, peers, admins, bans, key, manifest, notes } =
            Found::read(DataFiles::InFolder(path), trust)?;
        let manifest = Arc::new(Manifest::new(path, manifest.unwrap_or_default()));
        let key = tracker_key::keep(path, key)?;
        let noted = manifest.update(|entries| entries.tracker_key = Some(key.public_key()));
        noted.map_err(OpenError::at(path))?;
        let repositories = Self {
            users: Collection::start(users, folder.clone(), manifest.clone())?,
            rooms: Collection::start(rooms, folder.clone(), manifest.clone())?,
            peers: Collection::start(peers, folder.clone(), manifest.clone())?,
            admins: Collection::start(admins, folder.clone(), manifest.clone())?,
            bans: Collection::start(bans, folder, manifest)?,
            key,
        };
        Ok((repositories, notes))
    }

    /// The seed of the tracker's own Ed25519 key.
    pub(crate) fn key(&self) -> &Seed {
        &self.key
    }

    /// The repository of user accounts.
    pub(crate) fn users(&self) -> UserRepository {
        UserRepository::new(self.users.clone())
    }

    /// The repository of rooms.
    pub(crate) fn rooms(&self) -> RoomRepository {
        RoomRepository::new(self.rooms.clone())
    }

    /// The repository of peers. No peer is connected at first.
    pub(crate) fn peers(&self) -> PeerRepository {
        PeerRepository::new(self.peers.clone())
    }

    /// The source of snapshots for backups.
    pub(crate) fn snapshots(&self) -> SnapshotSource {
        let Self { users, rooms, peers, admins, bans, key } = self;
        SnapshotSource {
            users: users.clone(),
            rooms: rooms.clone(),
            peers: peers.clone(),
            admins: admins.clone(),
            bans: bans.clone(),
            key: key.clone(),
            gate: Arc::default(),
        }
    }

    /// The repository of admins.
    pub(crate) fn admins(&self) -> AdminRepository {
        AdminRepository::new(self.admins.clone())
    }

    /// The repository of bans.
    pub(crate) fn bans(&self) -> BanRepository {
        BanRepository::new(self.bans.clone())
    }

    /// The figures of the collections, for the status page.
    pub(crate) fn figures(&self) -> StoreFigures {
        let Self { users, rooms, peers, admins, bans, key: _ } = self;
        StoreFigures {
            users: users.clone(),
            rooms: rooms.clone(),
            peers: peers.clone(),
            admins: admins.clone(),
            bans: bans.clone(),
        }
    }

    /// Waits until the writer thread of a collection has ended without a request to close. Only a defect causes this.
    pub(crate) async fn failed(&self) {
        tokio::select! {
            () = self.users.ended() => {}
            () = self.rooms.ended() => {}
            () = self.peers.ended() => {}
            () = self.admins.ended() => {}
            () = self.bans.ended() => {}
        }
    }

    /// Closes all collections: writes every entry to the JSON files and leaves empty journals.
    pub(crate) async fn close(self) -> Result<(), StorageError> {
        let Self { users, rooms, peers, admins, bans, .. } = self;
        let (users, rooms, peers, admins, bans) =
            tokio::join!(users.close(), rooms.close(), peers.close(), admins.close(), bans.close());
        users.and(rooms).and(peers).and(admins).and(bans)
    }
}

/// The sizes of the collections and the times of their writes. They hold no name.
#[derive(Debug)]
pub(crate) struct StoreFigures {
    users: Collection<Account>,
    rooms: Collection<Room>,
    peers: Collection<Peer>,
    admins: Collection<Admin>,
    bans: Collection<Ban>,
}

impl StoreFigures {
    /// The number of accounts.
    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    /// The number of rooms.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The number of peers' records.
    #[cfg(test)]
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The number of changes that wait for the disk, of all collections.
    pub(crate) fn changes_waiting(&self) -> usize {
        let Self { users, rooms, peers, admins, bans } = self;
        users.waiting() + rooms.waiting() + peers.waiting() + admins.waiting() + bans.waiting()
    }

    /// The times of writing changes to the disk, of all collections.
    pub(crate) fn flushes(&self) -> TimingCounts {
        let Self { users, rooms, peers, admins, bans } = self;
        [users.flushes(), rooms.flushes(), peers.flushes(), admins.flushes(), bans.flushes()]
            .map(|timing| timing.counts())
            .into_iter()
            .fold(TimingCounts::default(), TimingCounts::plus)
    }
}
