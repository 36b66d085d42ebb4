//! The format of a journal: an append-only file with one numbered, checksummed change per line.
//!
//! This module encodes and decodes lines and does no input or output on files. The first line names the collection and
//! the generation: `{"journal":"users","generation":3,"crc":"8e2f51c3"}`. Its `crc` is the CRC-32 of the generation as
//! eight little-endian bytes, followed by the name's bytes.
//!
//! A change is `{"seq":7,"key":"ana","value":…,"crc":"8e2f51c3"}` and a newline. `value` is the complete new entry, or
//! `null` if the entry was removed. A line may therefore be replayed over a JSON file that already contains its change.
//! `seq` counts from 1 without gaps. `crc` is the CRC-32 of `seq` as eight little-endian bytes, the key's length as
//! four little-endian bytes, the key's bytes, and the value's bytes as they stand in the line.
//!
//! Example of recovery: a power cut leaves `{"seq":1,…}\n{"seq":2,…}\n{"seq":3,"ke`. The reader returns the changes 1
//! and 2 and reports 12 torn bytes. Damage before a complete line is an error.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::SECTOR_BYTES;

/// A change of one entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key of the changed entry.
    pub(crate) key: String,
    /// The new value of the entry. `None` if the entry was removed.
    pub(crate) value: Option<Box<RawValue>>,
}

/// The reason why a journal cannot be replayed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// The number of the bad line, counted from 1.
    pub(crate) line: usize,
    /// The error text that says what is wrong with the line.
    pub(crate) what: &'static str,
}

/// The first bytes of every change line.
const LINE_START: &[u8] = br#"{"seq":"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    seq: u64,
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
    crc: String,
}

impl Line<'_> {
    /// The value that `crc` must have.
    fn checksum(&self) -> String {
        checksum(self.seq, &self.key, self.value)
    }
}

/// The first line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The name of the collection.
    pub(crate) journal: String,
    /// The generation of the JSON file to which the changes belong.
    pub(crate) generation: u64,
    crc: String,
}

/// The first bytes of the header line.
const HEADER_START: &[u8] = br#"{"journal":"#;

impl Header {
    /// Creates the header of a collection's journal.
    pub(crate) fn new(journal: &str, generation: u64) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&generation.to_le_bytes());
        crc.update(journal.as_bytes());
        Self { journal: journal.to_owned(), generation, crc: format!("{:08x}", crc.finalize()) }
    }

    /// Encodes the header as a line of the file, with its newline.
    pub(crate) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Whether a journal begins with a header line. Earlier versions wrote none.
    pub(crate) fn begins(journal: &[u8]) -> bool {
        journal.starts_with(HEADER_START)
    }

    /// Decodes the header line. Returns it with its length in bytes, or `None` if there is none.
    fn read(journal: &[u8]) -> Result<Option<(Self, usize)>, BadLine> {
        let Some(length) = journal.iter().position(|byte| *byte == b'\n').filter(|_| Self::begins(journal))
        else {
            return Ok(None);
        };
        match serde_json::from_slice::<Self>(&journal[..length]) {
            Ok(header) if header == Self::new(&header.journal, header.generation) => {
                Ok(Some((header, length + 1)))
            }
            _ => Err(BadLine { line: 1, what: "the line that names the generation is damaged" }),
        }
    }
}

/// The decoded lines of a journal.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The header line, if the journal has one.
    pub(crate) header: Option<Header>,
    /// The changes in their order.
    pub(crate) entries: Vec<Entry>,
    /// The number of bytes after the last complete line. An interrupted write left them, and no client was told that
    /// these changes were saved.
    pub(crate) torn: usize,
}

/// Appends the line of a change to `out`.
pub(crate) fn write_line(
    out: &mut Vec<u8>,
    seq: u64,
    key: &str,
    value: Option<&RawValue>,
) -> serde_json::Result<()> {
    let value = value.unwrap_or(RawValue::NULL);
    let crc = checksum(seq, key, value);
    serde_json::to_writer(&mut *out, &Line { seq, key: key.into(), value, crc })?;
    out.push(b'\n');
    Ok(())
}

/// Decodes the lines of a journal. Leaves out the remains of an interrupted write.
pub(crate) fn read_lines(journal: &[u8]) -> Result<Lines, BadLine> {
    let (header, length) = Header::read(journal)?.unzip();
    let first_line = if header.is_some() { 2 } else { 1 };
    let (mut entries, mut at) = (Vec::new(), length.unwrap_or(0));
    while let Some(length) = journal[at..].iter().position(|byte| *byte == b'\n') {
        match read_line(&journal[at..at + length], entries.len() as u64 + 1) {
            Ok(entry) => entries.push(entry),
            Err(what) if !is_torn(journal, at) => {
                return Err(BadLine { line: entries.len() + first_line, what });
            }
            Err(_) => break,
        }
        at += length + 1;
    }
    if at < journal.len() && !is_torn(journal, at) {
        return Err(BadLine { line: entries.len() + first_line, what: "the line's end is damaged" });
    }
    Ok(Lines { header, entries, torn: journal.len() - at })
}

fn read_line(line: &[u8], seq: u64) -> Result<Entry, &'static str> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| "this is not a line of a journal")?;
    if line.crc != line.checksum() {
        return Err("the checksum does not match");
    }
    if line.seq != seq {
        return Err("the sequence number is not the next one");
    }
    let value = (line.value.get() != "null").then(|| line.value.to_owned());
    Ok(Entry { key: line.key.into_owned(), value })
}

/// Whether the bytes from `at` on are the remains of an interrupted write. No client got a confirmation that these changes were
/// saved, so the tracker may drop them.
///
/// The answer is no if a complete line follows later. It is also no if the bytes end like a complete line, unless a
/// disk sector is missing in between. An unwritten sector reads as zeros.
fn is_torn(journal: &[u8], at: usize) -> bool {
    let tail = &journal[at..];
    if later_line(tail) {
        return false;
    }
    let newline_lost =
        tail.split_last().is_some_and(|(_, line)| serde_json::from_slice::<Line<'_>>(line).is_ok());
    let ended = tail.ends_with(b"\n") || newline_lost;
    !ended || has_missing_sector(journal, at)
}

/// Whether a complete line begins somewhere after the first byte of `tail`.
fn later_line(tail: &[u8]) -> bool {
    let beginnings = tail.windows(LINE_START.len()).enumerate().skip(1);
    let mut beginnings = beginnings.filter(|(_, bytes)| *bytes == LINE_START).map(|(at, _)| &tail[at..]);
    beginnings.any(|line| {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice::<Line<'_>>(line).is_ok_and(|line| line.crc == line.checksum())
    })
}

/// Whether a zero byte stands directly before the end of a sector or of the journal.
fn has_missing_sector(journal: &[u8], from: usize) -> bool {
    let mut ends =
        (from + 1..=journal.len()).filter(|end| *end == journal.len() || end.is_multiple_of(SECTOR_BYTES));
    ends.any(|end| journal[end - 1] == 0)
}

fn checksum(seq: u64, key: &str, value: &RawValue) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&seq.to_le_bytes());
    crc.update(&(key.len() as u32).to_le_bytes());
    crc.update(key.as_bytes());
    crc.update(value.get().as_bytes());
    format!("{:08x}", crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Vec<u8> {
        let mut out = Vec::new();
        let values = [Some(r#"{"a":[1,"\n"]}"#), None, Some(r#""text""#)];
        for (at, value) in values.into_iter().enumerate() {
            let raw = value.map(|json| RawValue::from_string(json.to_owned()).unwrap());
            write_line(&mut out, at as u64 + 1, "joão \"x\"", raw.as_deref()).unwrap();
        }
        out
    }

    #[test]
    fn written_journal_is_read_back() {
        let Lines { entries, torn: 0, .. } = read_lines(&journal()).unwrap() else { panic!() };
        let values: Vec<_> = entries.iter().map(|e| e.value.as_ref().map(|v| v.get())).collect();
        assert_eq!(values, [Some(r#"{"a":[1,"\n"]}"#), None, Some(r#""text""#)]);
        assert!(entries.iter().all(|entry| entry.key == "joão \"x\""));
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.extend_from_slice(b"ana\"x\"");
        let line = format!(r#"{{"seq":1,"key":"ana","value":"x","crc":"{:08x}"}}"#, crc32fast::hash(&bytes));
        assert_eq!(read_lines(format!("{line}\n").as_bytes()).unwrap().entries.len(), 1);
    }

    #[test]
    fn journal_cut_at_any_byte_holds_the_lines_before() {
        let journal = journal();
        for cut in 0..=journal.len() {
            let whole = journal[..cut].iter().filter(|byte| **byte == b'\n').count();
            let lines = read_lines(&journal[..cut]).unwrap();
            assert_eq!(lines.entries.len(), whole, "cut at {cut}");
            let end = journal[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            assert_eq!(lines.torn, cut - end);
        }
    }

    #[test]
    fn zeros_that_a_power_cut_left_are_cut_off() {
        let journal = journal();
        for cut in 0..=journal.len() {
            for zeros in [1, 100, 5000] {
                let torn = [&journal[..cut], &vec![0; zeros]].concat();
                let whole = journal[..cut].iter().filter(|byte| **byte == b'\n').count();
                assert_eq!(read_lines(&torn).unwrap().entries.len(), whole, "cut at {cut}, {zeros} zeros");
            }
        }
        // The first sector of the line was not written, its last one was.
        let mut out = journal.clone();
        let long = RawValue::from_string(format!("\"{}\"", "x".repeat(2000))).unwrap();
        write_line(&mut out, 4, "ana", Some(&long)).unwrap();
        out[journal.len()..1024].fill(0);
        let lines = read_lines(&out).unwrap();
        assert_eq!((lines.entries.len(), lines.torn), (3, out.len() - journal.len()));
    }

    #[test]
    fn damage_before_a_whole_line_is_not_cut_off() {
        let journal = journal();
        let first = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for spoilt in [vec![0; 600], b"garbage\n".to_vec(), journal[..first - 5].to_vec()] {
            let bad = [&spoilt, &journal[first..]].concat();
            assert_eq!(read_lines(&bad).err().map(|bad| bad.line), Some(1));
        }
        let garbage = [&journal, &b"garbage"[..]].concat();
        assert_eq!(read_lines(&garbage).unwrap().torn, 7);
        let garbage = [&journal, &b"garbage\n"[..]].concat();
        assert_eq!(read_lines(&garbage).err().map(|bad| bad.line), Some(4));
    }

    #[test]
    fn the_first_line_names_the_generation() {
        let journal = [Header::new("users", 7).line().unwrap(), journal()].concat();
        let lines = read_lines(&journal).unwrap();
        assert_eq!((lines.header, lines.entries.len()), (Some(Header::new("users", 7)), 3));
        let crc = format!("{:08x}", crc32fast::hash(b"\x07\0\0\0\0\0\0\0users"));
        let line = format!("{{\"journal\":\"users\",\"generation\":7,\"crc\":\"{crc}\"}}\n");
        assert!(journal.starts_with(line.as_bytes()));
        let broken = [line.as_bytes(), b"{}\n"].concat();
        assert_eq!(read_lines(&broken).err().map(|bad| bad.line), Some(2));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = [Header::new("users", 7).line().unwrap(), journal()].concat();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read_lines(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_missing_or_doubled_line_is_noticed() {
        let journal = journal();
        let lines: Vec<_> = journal.split_inclusive(|byte| *byte == b'\n').collect();
        let read = |lines: &[&[u8]]| read_lines(&lines.concat()).err().map(|bad| bad.line);
        assert_eq!(read(&lines[1..]), Some(1));
        assert_eq!(read(&[lines[0], lines[2]]), Some(2));
        assert_eq!(read(&[lines[0], lines[0]]), Some(2));
    }
}
