//! Tells a store that goes on from one that was restored: the database and a small file beside it name each other.
//!
//! A restored database would number its next lines as others that are out already. It is known by the file beside it,
//! which is another one at each start: by what it holds, and where both were restored, by which file it is.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use commons::protocol::provenance::Incarnation;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::history::database::OpenError;
use crate::identity::atomic_file;

const FILE: &str = "history.life";

/// Goes on with the life of the store, or begins another one where this is not the file that was closed last, or has lost
/// something: numbers of the life before may be out.
pub(crate) fn begin(db: &Connection, folder: Option<&Path>, has_lost: bool) -> Result<(), OpenError> {
    let known: Option<String> = db.query_row("SELECT life FROM meta", [], |row| row.get(0)).optional()?;
    let present = folder.map(present).transpose()?.flatten();
    let life = folder.map(renew).transpose()?.unwrap_or_default();
    let other = another_incarnation().0.cast_signed();
    if known.is_none() {
        db.execute(
            "INSERT INTO meta (incarnation, life, next_row, shown, indexed) VALUES (?1, ?2, 1, 0, 0)",
            params![other, life],
        )?;
    } else if known == present && !has_lost {
        db.execute("UPDATE meta SET life = ?1", [life])?;
    } else {
        db.execute("UPDATE meta SET life = ?1, incarnation = ?2", params![life, other])?;
    }
    Ok(())
}

/// What the file beside the database is now; nothing where there is none, or not one of ours.
fn present(folder: &Path) -> io::Result<Option<String>> {
    let path = folder.join(FILE);
    let Some(token) = atomic_file::read::<Uuid>(&path).unwrap_or(None) else { return Ok(None) };
    let metadata = path.metadata()?;
    Ok(Some(format!("{token} {} {}.{}", metadata.ino(), metadata.ctime(), metadata.ctime_nsec())))
}

/// Writes another file, and tells what it is.
fn renew(folder: &Path) -> io::Result<String> {
    atomic_file::write(&folder.join(FILE), &Uuid::new_v4())?;
    present(folder)?.ok_or_else(|| io::Error::other("history.life cannot be read back"))
}

/// A life that no store had before.
pub(crate) fn another_incarnation() -> Incarnation {
    // The few bits that are the same in all these are not in the same place of both halves.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    Incarnation(high ^ low)
}
