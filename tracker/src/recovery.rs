//! The recovery of a file and its journal without a data folder.
//! It does no input or output, so that a fuzzer can test damaged files by the million.

use std::path::Path;

use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::admin::Admin;
use crate::repositories::ban::Ban;
use crate::repositories::contents::Contents;
use crate::repositories::data_folder::OpenError;
use crate::repositories::user::Account;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file of the accounts.
    Users,
    /// The file of the rooms.
    Rooms,
    /// The file of the peers.
    Peers,
    /// The file of the admins.
    Admins,
    /// The file of the bans.
    Bans,
}

impl Kind {
    /// Every kind, in the order of the control byte of the fuzzer.
    pub const ALL: [Self; 5] = [Self::Users, Self::Rooms, Self::Peers, Self::Admins, Self::Bans];
}

/// The JSON file that a start writes when it finds this file and this journal.
pub fn recovered(kind: Kind, file: &[u8], journal: &[u8]) -> Result<Vec<u8>, OpenError> {
    let path = Path::new("file");
    match kind {
        Kind::Users => Contents::<Account>::recover(path, Some(file), journal)?.written(),
        Kind::Rooms => Contents::<Room>::recover(path, Some(file), journal)?.written(),
        Kind::Peers => Contents::<Peer>::recover(path, Some(file), journal)?.written(),
        Kind::Admins => Contents::<Admin>::recover(path, Some(file), journal)?.written(),
        Kind::Bans => Contents::<Ban>::recover(path, Some(file), journal)?.written(),
    }
    .map_err(OpenError::at(path))
}
