//! The property of the recovery of a tracker's files.
//!
//! A start reads the files or reports what is wrong. It reads its own output as the same content. A cut last line does
//! not affect other lines. A flipped bit is detected or changes nothing.
//!
//! The input is three control bytes, a JSON file, a zero byte, and lines of `key`, tab and `value`. The property makes
//! a journal with checksums from the lines.

use tracker::recovery::{Kind, recovered};

pub fn hold(bytes: &[u8]) {
    let [kind, cut, flip, rest @ ..] = bytes else { return };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (file, changes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let journal = journal(changes);
    let Ok(first) = recovered(kind, file, &journal) else { return };
    assert_eq!(recovered(kind, &first, b"").unwrap(), first);

    let kept = &journal[..journal.len().saturating_sub(usize::from(*cut))];
    assert!(recovered(kind, file, kept).is_ok(), "a torn line takes others with it");
    // A legacy room gets a new id at each reading.
    let steady = || recovered(kind, file, &journal).is_ok_and(|again| again == first);
    if let Some(at) = (usize::from(*flip) * 7).checked_rem(journal.len())
        && steady()
    {
        let mut damaged = journal.clone();
        damaged[at] ^= 1 << (flip % 8);
        let noticed = recovered(kind, file, &damaged).map_or(true, |now| now == first);
        assert!(noticed, "a flipped bit changed something");
    }
}

fn journal(changes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(changes);
    let changes = text.split('\n').filter_map(|line| line.split_once('\t'));
    let changes = changes.filter_map(|(key, value)| {
        Some((key, serde_json::from_str::<&serde_json::value::RawValue>(value).ok()?))
    });
    let mut journal = Vec::new();
    for (seq, (key, value)) in (1u64..).zip(changes) {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&seq.to_le_bytes());
        crc.update(&(key.len() as u32).to_le_bytes());
        crc.update(key.as_bytes());
        crc.update(value.get().as_bytes());
        let (name, crc) = (serde_json::to_string(key).unwrap(), crc.finalize());
        journal.extend(
            format!("{{\"seq\":{seq},\"key\":{name},\"value\":{value},\"crc\":\"{crc:08x}\"}}\n")
                .into_bytes(),
        );
    }
    journal
}
