//! What a start makes of a tracker's files: it reads them or says what is wrong; what it would write is read again as
//! the same; a last line that was cut off takes no other with it; a flipped bit is noticed or changes nothing.
//!
//! The input is a file, a zero byte, and lines `key`, tab, `value` from which a journal is made with its checksums.

use tracker::recovery::{Kind, recovered};

pub fn hold(bytes: &[u8]) {
    let [kind, cut, flip, rest @ ..] = bytes else { return };
    let kind = [Kind::Users, Kind::Rooms, Kind::Peers][usize::from(*kind) % 3];
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (file, changes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let journal = journal(changes);
    let Ok(first) = recovered(kind, file, &journal) else { return };
    assert_eq!(recovered(kind, &first, b"").unwrap(), first);

    let kept = &journal[..journal.len().saturating_sub(usize::from(*cut))];
    assert!(recovered(kind, file, kept).is_ok(), "a torn line takes others with it");
    // A room of an original program gets an identity anew at every reading.
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
