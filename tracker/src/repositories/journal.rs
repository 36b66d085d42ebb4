//! The lines of a journal: a change each, numbered and checked. Pure; the files are another's.
//!
//! `{"seq":7,"key":"ana","value":…,"crc":"8e2f51c3"}` and a newline. `value` is the whole new entry, or `null` where
//! it was removed, so that a line may be replayed over a file that holds it already. `seq` counts from 1 without
//! gaps. `crc` is the CRC-32 of: `seq` as eight bytes and the key's length as four, both little-endian, the key's
//! bytes, the value's bytes as they stand in the line.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A change of one entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Which entry.
    pub(crate) key: String,
    /// What it holds now; `None` where it was removed.
    pub(crate) value: Option<Box<RawValue>>,
}

/// Why a journal cannot be replayed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) what: &'static str,
}

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

/// Reads a journal's lines. A last line that was cut off was promised to nobody and is left out.
pub(crate) fn read_lines(journal: &[u8]) -> Result<Vec<Entry>, BadLine> {
    let mut lines: Vec<&[u8]> = journal.split(|byte| *byte == b'\n').collect();
    let tail = lines.pop().unwrap_or_default();
    let count = lines.len();
    let entries = lines
        .into_iter()
        .enumerate()
        .map(|(at, line)| read_line(line, at as u64 + 1).map_err(|what| BadLine { line: at + 1, what }));
    let entries = entries.collect::<Result<_, _>>()?;
    if is_torn(tail) {
        Ok(entries)
    } else {
        Err(BadLine { line: count + 1, what: "the line's end is damaged" })
    }
}

fn read_line(line: &[u8], seq: u64) -> Result<Entry, &'static str> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| "this is no line of a journal")?;
    if line.crc != checksum(line.seq, &line.key, line.value) {
        return Err("the checksum does not match");
    }
    if line.seq != seq {
        return Err("the sequence number is not the next one");
    }
    let value = (line.value.get() != "null").then(|| line.value.to_owned());
    Ok(Entry { key: line.key.into_owned(), value })
}

/// Whether bytes without a newline are the beginning of a line. Anything else once ended in a newline, and somebody
/// was promised that line.
fn is_torn(tail: &[u8]) -> bool {
    match serde_json::from_slice::<Line<'_>>(tail) {
        Ok(_) => tail.ends_with(b"}"),
        Err(error) => error.is_eof(),
    }
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
    fn what_is_written_is_read() {
        let entries = read_lines(&journal()).unwrap();
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
        assert_eq!(read_lines(format!("{line}\n").as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn cut_at_any_byte_it_holds_the_whole_lines_before() {
        let journal = journal();
        for cut in 0..=journal.len() {
            let whole = journal[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(read_lines(&journal[..cut]).unwrap().len(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = journal();
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
