//! The format of a backup: a tar archive with the files of a data folder, and their digests in the last entry.
//!
//! `SHA256SUMS` has the format of the program `sha256sum`. All entries are files of the mode 0600 that belong to nobody in
//! particular, and their time is that of the backup. There is exactly one way to write the same files. A reader writes
//! what it has read and compares, so it notices every changed byte.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tar::{Archive, EntryType, Header};

use crate::limits::{BACKUP_FILES_MAX, BACKUP_MAX};
use crate::repositories::data_files::FilesByName;
use crate::repositories::json_file::hex;
use crate::repositories::snapshot::SnapshotFile;

/// The name of the last entry.
const SUMS: &str = "SHA256SUMS";

/// The size of a block of the archive in bytes. A header is one block, and a file begins with a new one.
const BLOCK: u64 = 512;

/// The number of bytes that are compared at once.
const COMPARED_BYTES: usize = 64 * 1024;

/// The number of bytes of an entry that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// The name and the content of a file in an archive.
type Entry = (String, Vec<u8>);

/// The damage of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage(pub(crate) String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes an archive of files.
pub(crate) fn write(files: &[SnapshotFile<'_>], time: SystemTime, out: &mut dyn Write) -> io::Result<()> {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut sums = String::new();
    for file in files {
        write_entry(&file.name, file.size, time, out, |out| file.write(out))?;
        let _ = writeln!(sums, "{}  {}", file.sha256, file.name);
    }
    write_end(&sums, time, out)
}

/// Writes the last entry and the end of the archive.
fn write_end(sums: &str, time: u64, out: &mut dyn Write) -> io::Result<()> {
    write_entry(SUMS, sums.len() as u64, time, out, |out| out.write_all(sums.as_bytes()))?;
    out.write_all(&[0; 2 * BLOCK as usize])
}

fn write_entry(
    name: &str,
    size: u64,
    time: u64,
    out: &mut dyn Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(size);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    content(out)?;
    let padding = size.next_multiple_of(BLOCK) - size;
    out.write_all(&vec![0; padding as usize])
}

/// Reads an archive completely into memory, and returns its files without the digests. `open` opens the archive.
pub(crate) fn read<R: Read>(open: impl Fn() -> io::Result<R>) -> Result<FilesByName, Damage> {
    let (mut entries, time) = read_entries(open().map_err(unreadable)?)?;
    let sums = match entries.pop() {
        Some((name, sums)) if name == SUMS => sums,
        _ => return Err(damage("its end is missing")),
    };
    let sums = String::from_utf8(sums).map_err(|_| damage("its digests are no text"))?;
    check_digests(&entries, &sums)?;
    let mut copy = Comparing(open().map_err(unreadable)?);
    let written = entries.iter().try_for_each(|(name, bytes)| {
        write_entry(name, bytes.len() as u64, time, &mut copy, |out| out.write_all(bytes))
    });
    let same = written.and_then(|()| write_end(&sums, time, &mut copy)).is_ok();
    if !same || copy.0.read(&mut [0]).map_err(unreadable)? > 0 {
        return Err(damage("it is not as a tracker wrote it"));
    }
    let count = entries.len();
    let files: FilesByName = entries.into_iter().collect();
    if files.len() == count { Ok(files) } else { Err(damage("a file is in it twice")) }
}

/// Reads all entries in their order, and the time of the backup.
fn read_entries(archive: impl Read) -> Result<(Vec<Entry>, u64), Damage> {
    // The sizes in the headers are claims. A reader that ends bounds the memory, whatever they say.
    let mut archive = Archive::new(archive.take(BACKUP_MAX));
    let (mut found, mut time) = (Vec::new(), 0);
    // Raw entries: otherwise the library reads the long names of other formats into memory first.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != EntryType::Regular || !is_plain(&name) {
            return Err(damage("it contains something other than the files of a data folder"));
        }
        if found.len() > BACKUP_FILES_MAX {
            return Err(damage("it contains too many files"));
        }
        time = entry.header().mtime().map_err(unreadable)?;
        let size = entry.size();
        let bytes = read_text(&mut entry)?;
        if bytes.len() as u64 != size {
            return Err(damage("its end is missing"));
        }
        found.push((name, bytes));
    }
    Ok((found, time))
}

/// Reads an entry, which is text. The first zero byte ends it: a sparse file of a few kilobytes reads as gigabytes of
/// zeros, and would fill the memory.
fn read_text(entry: &mut impl Read) -> Result<Vec<u8>, Damage> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        let read = match entry.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(unreadable)?,
        };
        let read = &chunk[..read];
        if read.is_empty() {
            return Ok(bytes);
        }
        if read.contains(&0) {
            return Err(damage("it contains zeros, and a tracker writes none"));
        }
        bytes.extend_from_slice(read);
    }
}

/// Whether a name is that of a file directly in the folder.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    name.chars().all(is_plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Checks the digests, which must be those of all files in their order.
fn check_digests(files: &[Entry], sums: &str) -> Result<(), Damage> {
    let mut sums = sums.lines();
    for (name, bytes) in files {
        let expected = format!("{}  {name}", hex(Sha256::new_with_prefix(bytes)));
        if sums.next() != Some(&expected) {
            return Err(Damage(format!("the digest of {name} does not match")));
        }
    }
    if sums.next().is_none() { Ok(()) } else { Err(damage("a file is missing in it")) }
}

fn damage(what: &str) -> Damage {
    Damage(what.to_owned())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> Damage {
    // The text of the error may repeat bytes of the file, and some of them are secret.
    Damage(match error.raw_os_error() {
        Some(_) => format!("it cannot be read: {error}"),
        None => "it is cut short, or is no tar archive".to_owned(),
    })
}

/// Compares written bytes with those of a reader. A difference is an error.
struct Comparing<R>(R);

impl<R: Read> Write for Comparing<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut expected = vec![0; bytes.len().min(COMPARED_BYTES)];
        self.0.read_exact(&mut expected)?;
        if bytes.starts_with(&expected) { Ok(expected.len()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with two files.
    fn written() -> Vec<u8> {
        let (mut out, mut sums) = (Vec::new(), String::new());
        for (name, bytes) in [("users_db.json", &b"{\n\"ana\": 1\n}\n"[..]), ("tracker.key", &[7; 600])] {
            write_entry(name, bytes.len() as u64, 1_700_000_000, &mut out, |out| out.write_all(bytes))
                .unwrap();
            writeln!(sums, "{}  {name}", hex(Sha256::new_with_prefix(bytes))).unwrap();
        }
        write_end(&sums, 1_700_000_000, &mut out).unwrap();
        out
    }

    #[test]
    fn archive_is_read_as_it_was_written() {
        let archive = written();
        let files = read(|| Ok(&archive[..])).unwrap();
        assert_eq!(files["users_db.json"], b"{\n\"ana\": 1\n}\n");
        assert_eq!(files["tracker.key"], [7; 600]);
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn any_flipped_bit_of_an_archive_is_noticed() {
        let good = written();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(|| Ok(&bad[..])).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn archive_cut_at_any_byte_is_refused() {
        let good = written();
        for length in 0..good.len() {
            assert!(read(|| Ok(&good[..length])).is_err(), "{length} bytes");
        }
    }
}
