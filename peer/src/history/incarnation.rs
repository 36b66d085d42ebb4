//! The incarnation of a store: one life of an author's history. A restored backup must begin a new one, because it
//! would reuse sequence numbers that other peers already know.
//!
//! The database stores the token, inode number and change time of a small file beside it. Each start writes a new
//! file with a new random token. For example, an old database is restored and the small file is not: the tokens
//! differ. If both files are restored, the tokens match, but the inode number or the change time differs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use commons::incarnation::Incarnation;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::history::open_error::OpenError;
use crate::identity::atomic_file;

const FILE: &str = "history.token";

/// Continues the incarnation of the store, or begins a new one. A new one begins if the small file is not the one
/// of the last start, or if the store has lost something. The lost messages may have been sent already.
pub(crate) fn begin(db: &Connection, folder: Option<&Path>, has_lost: bool) -> Result<(), OpenError> {
    let known: Option<String> = db.query_row("SELECT token FROM meta", [], |row| row.get(0)).optional()?;
    let present = folder.map(present).transpose()?.flatten();
    let token = folder.map(renew).transpose()?.unwrap_or_default();
    let other = new_incarnation().0.cast_signed();
    if known.is_none() {
        db.execute(
            "INSERT INTO meta (incarnation, token, next_row, shown, indexed) VALUES (?1, ?2, 1, 0, 0)",
            params![other, token],
        )?;
    } else if known == present && !has_lost {
        db.execute("UPDATE meta SET token = ?1", [token])?;
    } else {
        db.execute("UPDATE meta SET token = ?1, incarnation = ?2", params![token, other])?;
    }
    Ok(())
}

/// Returns the identity of the file beside the database, or `None` if it is missing or unreadable.
fn present(folder: &Path) -> io::Result<Option<String>> {
    let path = folder.join(FILE);
    let Some(token) = atomic_file::read::<Uuid>(&path).unwrap_or(None) else { return Ok(None) };
    let metadata = path.metadata()?;
    Ok(Some(format!("{token} {} {}.{}", metadata.ino(), metadata.ctime(), metadata.ctime_nsec())))
}

/// Writes a new file beside the database and returns its identity.
fn renew(folder: &Path) -> io::Result<String> {
    atomic_file::write(&folder.join(FILE), &Uuid::new_v4())?;
    present(folder)?.ok_or_else(|| io::Error::other("history.token cannot be read back"))
}

/// Returns a random incarnation that no store has used before.
pub(crate) fn new_incarnation() -> Incarnation {
    // The fixed bits of a UUID are at different places in its two halves, so the XOR of both is fully random.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    Incarnation(high ^ low)
}
