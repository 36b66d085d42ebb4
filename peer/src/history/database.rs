//! The encrypted database file of a history. This module opens the file with its key, creates its tables, and
//! sets a damaged file aside.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use commons::keys::Seed;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::history::open_error::OpenError;
use crate::history::size_record::{self, Held, Loss};
use crate::limits::{DATABASE_CACHE_KIB, DATABASE_STATEMENTS, DATABASE_WAIT};

const FILE: &str = "history.db";

/// A marker file: a read failed in a way that suggests damage. The next start then checks the whole database.
const SUSPECT: &str = "history.suspect";

/// The prefix for the digest from which the database key is derived. The device seed follows it.
const DOMAIN: &[u8] = b"p2p-chat history v1\0";

const SCHEMA: &str = include_str!("schema.sql");

/// The version of the schema.
const VERSION: i64 = 6;

/// The first version that can grow to the present one, and the statements for it.
const GROWTH: (i64, &str) = (
    5,
    "ALTER TABLE messages ADD COLUMN head BLOB;
     CREATE TABLE logs (
         conversation INTEGER NOT NULL REFERENCES conversations, epoch INTEGER NOT NULL, entry BLOB NOT NULL,
         PRIMARY KEY (conversation, epoch)
     ) WITHOUT ROWID;
     CREATE TABLE read_marks (
         conversation INTEGER PRIMARY KEY REFERENCES conversations, row INTEGER NOT NULL,
         is_open INTEGER NOT NULL DEFAULT 0
     );
     -- All that was shown counts as read.
     INSERT INTO read_marks (conversation, row) SELECT id, (SELECT shown FROM meta) FROM conversations;",
);

/// Opens the database in this folder, or creates one. If it holds less than its record says, this function first
/// copies the files and returns the loss.
pub(crate) fn open_file(folder: &Path, seed: &Seed) -> Result<(Connection, Option<Loss>), OpenError> {
    let database = open(&folder.join(FILE), seed, folder.join(SUSPECT).exists())?;
    let recorded = size_record::read(folder)?.zip(held(&database)?);
    let lacks = recorded.and_then(|(recorded, held)| held.behind(recorded));
    let loss =
        lacks.map(|lacks| Ok::<_, io::Error>(Loss { lacks, copy: copy_aside(folder)? })).transpose()?;
    prepare(&database)?;
    clear_suspicion(folder)?;
    Ok((database, loss))
}

/// Returns how much a history holds, or `None` if another version of the program wrote it.
pub(crate) fn held(database: &Connection) -> rusqlite::Result<Option<Held>> {
    match database.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        0 => return Ok(Some(Held::default())),
        version if (GROWTH.0..=VERSION).contains(&version) => {}
        _ => return Ok(None),
    }
    let mut query = database.prepare(
        "SELECT max(next_row - 1, (SELECT coalesce(max(row), 0) FROM messages)), commits FROM meta",
    )?;
    let found = query.query_row([], |row| Ok(Held { messages: row.get(0)?, commits: row.get(1)? }));
    Ok(Some(found.optional()?.unwrap_or_default()))
}

/// Opens an empty database that exists only in memory.
pub(crate) fn open_memory() -> Result<Connection, OpenError> {
    let database = Connection::open_in_memory()?;
    prepare(&database)?;
    Ok(database)
}

/// Makes the next start check the whole database.
pub(crate) fn suspect(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(SUSPECT), "")
}

/// Returns true if the error means that the file is damaged or encrypted with another key.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn clear_suspicion(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(SUSPECT)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps one connection open until the program ends. The library initialises itself with the first keyed
/// connection and shuts down with the last one. If another thread opens a connection at that moment, it fails.
fn hold_library() {
    static HELD: OnceLock<Mutex<Option<Connection>>> = OnceLock::new();
    HELD.get_or_init(|| {
        let held = Connection::open_in_memory().and_then(|held| {
            held.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA key = 'held'").map(|()| held)
        });
        Mutex::new(held.ok())
    });
}

fn open(path: &Path, seed: &Seed, suspect: bool) -> Result<Connection, OpenError> {
    // The program creates the file itself to set its mode: the database library would only apply the umask.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    hold_library();
    let database = Connection::open(path)?;
    database.busy_timeout(DATABASE_WAIT)?;
    // Without this setting, a wrong key causes a message on stderr, in the middle of the screen.
    database.execute_batch("PRAGMA cipher_log_level = NONE")?;
    database.execute_batch(&key_pragma(seed))?;
    if suspect {
        let verdict: String = database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(verdict),
            )
            .into());
        }
    }
    Ok(database)
}

/// Returns the pragma that sets the raw key. The key comes from a random 256-bit seed, so it needs no key
/// stretching.
fn key_pragma(seed: &Seed) -> Zeroizing<String> {
    let key = Zeroizing::new(<[u8; 32]>::from(
        Sha256::new().chain_update(DOMAIN).chain_update(seed.as_bytes()).finalize(),
    ));
    let hex = Zeroizing::new(base16ct::lower::encode_string(&*key));
    Zeroizing::new(format!("PRAGMA key = \"x'{}'\"", *hex))
}

/// Configures the connection, and creates the tables of a new database.
fn prepare(database: &Connection) -> Result<(), OpenError> {
    // The version is checked first: a database of another version must not be changed.
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(OpenError::Newer);
    }
    if (1..GROWTH.0).contains(&version) {
        return Err(OpenError::Older);
    }
    // A reported message must be on the disk, so each commit is synchronous. Deleted text must not remain in free
    // pages or temporary files.
    database.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -{DATABASE_CACHE_KIB}"
    ))?;
    database.set_prepared_statement_cache_capacity(DATABASE_STATEMENTS);
    let change = match version {
        0 => SCHEMA,
        VERSION => return Ok(()),
        _ => GROWTH.1,
    };
    database.execute_batch(&format!("BEGIN; {change}; PRAGMA user_version = {VERSION}; COMMIT"))?;
    Ok(())
}

/// Renames the database and its companion files. Returns the new path.
pub(crate) fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    let aside = set_aside(folder, &["-wal", "-shm", ""], |from, to| fs::rename(from, to))?;
    clear_suspicion(folder)?;
    size_record::remove(folder)?;
    Ok(aside)
}

/// Copies the database and its journal, unless the database is empty. Returns the path of the copy.
fn copy_aside(folder: &Path) -> io::Result<Option<PathBuf>> {
    if folder.join(FILE).metadata()?.len() == 0 {
        return Ok(None);
    }
    set_aside(folder, &["-wal", ""], |from, to| {
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut fs::File::open(from)?, &mut target)?;
        target.sync_all()
    })
    .map(Some)
}

fn set_aside(
    folder: &Path,
    endings: &[&str],
    set: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let path = folder.join(FILE);
    let name = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let free = (1..).map(|n| name(&format!(".damaged-{n}"))).find(|aside| !aside.exists());
    let aside = free.unwrap_or_else(|| name(".damaged"));
    for ending in endings {
        let from = name(ending);
        if from.exists() {
            set(&from, &PathBuf::from(format!("{}{ending}", aside.display())))?;
        }
    }
    Ok(aside)
}
