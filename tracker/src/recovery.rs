//! What a start makes of a folder's files, without the folder: pure, so that damage can be tried by the million.

use std::path::Path;

use commons::peer::Peer;
use commons::room::Room;

use crate::repositories::contents::Contents;
use crate::repositories::data_folder::OpenError;
use crate::repositories::user::StoredPassword;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The accounts.
    Users,
    /// The rooms.
    Rooms,
    /// The peers.
    Peers,
}

/// The file that a start writes where it finds this file and this journal.
pub fn recovered(kind: Kind, file: &[u8], journal: &[u8]) -> Result<Vec<u8>, OpenError> {
    let path = Path::new("file");
    match kind {
        Kind::Users => Contents::<StoredPassword>::recover(path, Some(file), journal)?.written(),
        Kind::Rooms => Contents::<Room>::recover(path, Some(file), journal)?.written(),
        Kind::Peers => Contents::<Peer>::recover(path, Some(file), journal)?.written(),
    }
    .map_err(OpenError::at(path))
}
