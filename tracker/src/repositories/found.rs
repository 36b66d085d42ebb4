//! The content of a data folder: all its files, read and checked together.
//! This module changes no file.

use std::path::Path;

use commons::counted::counted;
use commons::names::Username;
use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::admin::Admin;
use crate::repositories::ban::Ban;
use crate::repositories::contents::Contents;
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::OpenError;
use crate::repositories::json_file::{Files, Loaded};
use crate::repositories::manifest::{self, Entries};
use crate::repositories::record::Record;
use crate::repositories::tracker_key::{self, FoundKey};
use crate::repositories::trust::Trust;
use crate::repositories::user::Account;

/// The complete content of a data folder.
#[derive(Debug)]
pub(crate) struct Found {
    /// The user accounts.
    pub(crate) users: Loaded<Account>,
    /// The rooms of the tracker.
    pub(crate) rooms: Loaded<Room>,
    /// The peer records.
    pub(crate) peers: Loaded<Peer>,
    /// The accounts that are admins.
    pub(crate) admins: Loaded<Admin>,
    /// The banned users and addresses.
    pub(crate) bans: Loaded<Ban>,
    /// The tracker's key, if there is one yet.
    pub(crate) key: Option<FoundKey>,
    /// The content of the manifest, if there is one.
    pub(crate) manifest: Option<Entries>,
    /// Notes for the operator, one or two sentences each.
    pub(crate) notes: Vec<String>,
}

impl Found {
    /// Reads and checks all files of a data folder.
    pub(crate) fn read(files: DataFiles<'_>, trust: Trust) -> Result<Self, OpenError> {
        let folder = files.path();
        let mut manifest = match Entries::read(files) {
            Err(OpenError::Damaged { .. }) if trust == Trust::Edited => None,
            read => read?,
        };
        let read = |name| Files::read(files, name, manifest.as_ref());
        let (mut users, mut rooms, mut peers) = (read("users")?, read("rooms")?, read("peers")?);
        let (mut admins, mut bans) = (read("admins")?, read("bans")?);
        let ours = users.journal_names_generation()
            || rooms.journal_names_generation()
            || peers.journal_names_generation();
        if manifest.is_none() && ours && trust == Trust::AsLeft {
            return Err(OpenError::Lost(folder.join(manifest::FILE)));
        }
        // If none of the files exists, the tracker starts with empty collections and keeps its key.
        if !(users.exist() || rooms.exist() || peers.exist()) {
            users.forget();
            rooms.forget();
            peers.forget();
            admins.forget();
            bans.forget();
            manifest.iter_mut().for_each(|manifest| manifest.files.clear());
        }
        let key = tracker_key::read(files)?;
        let known_key = manifest.as_ref().and_then(|manifest| manifest.tracker_key);
        if known_key.is_some() && key.is_none() && trust == Trust::AsLeft {
            return Err(OpenError::Lost(tracker_key::path(folder)));
        }
        let mut notes = Vec::new();
        if let (Some(known), Some(key)) = (known_key, &key)
            && key.seed.public_key() != known
        {
            notes.push(format!(
                "tracker.key does not hold the known key {known}. Peers that know that key refuse this tracker"
            ));
        }
        let taken_over = manifest.is_none() && trust == Trust::AsLeft && users.exist();
        let users_missing = users.json_is_missing().then(|| users.path().to_owned());
        let mut found = Self {
            users: Loaded::check(users, trust)?,
            rooms: Loaded::check(rooms, trust)?,
            peers: Loaded::check(peers, trust)?,
            admins: Loaded::check(admins, trust)?,
            bans: Loaded::check(bans, trust)?,
            key,
            manifest,
            notes,
        };
        if let Some(path) = users_missing
            && !(found.rooms.contents.is_empty() && found.peers.contents.is_empty())
        {
            return Err(OpenError::Missing(path));
        }
        if taken_over {
            found.notes.push(format!(
                "a legacy tracker or an earlier version wrote these files. Migrated: {}",
                found.counts()
            ));
        }
        found.remove_orphans(folder, trust)?;
        found.note_oddities();
        Ok(found)
    }

    /// The lines about the content for the operator.
    pub(crate) fn report(&self) -> Vec<String> {
        let mut lines = self.notes.clone();
        match &self.key {
            Some(key) => lines.push(format!("the tracker's key: {}", key.seed.public_key())),
            None => lines.push("the tracker has no key yet: the next start creates one".to_owned()),
        }
        lines.push(format!("sound: {}", self.counts()));
        lines
    }

    /// The numbers of entries as a text.
    pub(crate) fn counts(&self) -> String {
        let Self { users, rooms, peers, admins, bans, .. } = self;
        let [users, rooms, peers] =
            [users.contents.entries.len(), rooms.contents.entries.len(), peers.contents.entries.len()];
        let [admins, bans] = [admins.contents.entries.len(), bans.contents.entries.len()];
        [
            counted(users, "account", "accounts"),
            counted(rooms, "room", "rooms"),
            counted(peers, "peer", "peers"),
            counted(admins, "admin", "admins"),
            counted(bans, "ban", "bans"),
        ]
        .join(", ")
    }

    /// Removes rooms, keys and the admin role of user names that have no account. Otherwise the next user who registers such a name
    /// would inherit them.
    fn remove_orphans(&mut self, folder: &Path, trust: Trust) -> Result<(), OpenError> {
        let Self { users, rooms, peers, admins, notes, .. } = self;
        let has_account = |user: &Username| users.contents.entries.contains_key(user.as_str());
        let known = rooms.is_known() && trust == Trust::AsLeft;
        let taken_over = std::mem::take(&mut rooms.contents.taken_over);
        for (name, original) in taken_over {
            let Some(room) = rooms.contents.entries.get_mut(&name) else { continue };
            // An entry that was set aside earlier stays set aside, even if its owner has an account now.
            if known || !has_account(&room.owner) {
                if !known {
                    notes.push(format!(
                        "the room {name:?} is set aside: its owner {} has no account",
                        room.owner
                    ));
                }
                rooms.contents.entries.remove(&name);
                rooms.contents.unfit.insert(name, original);
                continue;
            }
            notes.extend(room.take_over_notes(&original));
            for membership in &mut room.guests {
                if let Some(guest) = membership.take_if(|guest| !has_account(&guest.username)) {
                    notes.push(format!(
                        "a seat in the room {name:?} is free: {} has no account",
                        guest.username
                    ));
                }
            }
        }
        if let Some((name, room)) = rooms.contents.entries.iter().find(|(_, room)| !has_account(&room.owner))
        {
            return Err(OpenError::NoAccount {
                folder: folder.to_owned(),
                room: name.clone(),
                owner: room.owner.clone(),
            });
        }
        let Contents { entries, .. } = &mut peers.contents;
        let before = entries.len();
        entries.retain(|_, peer| has_account(&peer.username));
        let removed = before - entries.len();
        if removed > 0 {
            notes.push(format!("{removed} peer records without an account are removed, with their keys"));
        }
        let Contents { entries, .. } = &mut admins.contents;
        let orphans: Vec<_> =
            entries.keys().filter(|name| !users.contents.entries.contains_key(*name)).cloned().collect();
        for name in orphans {
            entries.remove(&name);
            notes.push(format!("{name} is no admin any more: there is no such account"));
        }
        Ok(())
    }

    fn note_oddities(&mut self) {
        let Self { users, rooms, peers, admins, bans, notes, .. } = self;
        notes.extend(users.oddities());
        notes.extend(rooms.oddities());
        notes.extend(peers.oddities());
        notes.extend(admins.oddities());
        notes.extend(bans.oddities());
    }
}
