//! The query for messages that were published and that a slow frontend has not read.
//!
//! Received messages and those of this device have a position each, because they are published at different moments: a
//! received message before its commit, an own one after it.

use std::ops::Range;

use rusqlite::{Result, params};

use crate::history::answer::StoredMessage;
use crate::history::rows::{KEPT, kept};
use crate::history::tables::Tables;

/// A message that was published before.
#[derive(Debug)]
pub struct Published {
    /// The message as the history stores it.
    pub message: StoredMessage,
    /// True if it was written on this device.
    pub is_own: bool,
}

impl Tables {
    /// Returns the messages of these rows in order, at most `count`. The first row of each range is its first one.
    pub(crate) fn published(
        &mut self,
        received: &Range<i64>,
        own: &Range<i64>,
        count: usize,
    ) -> Result<Vec<Published>> {
        let me = self.person(&self.me.clone())?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        let of_this_device = "l.author = ?3 AND l.audience IS NOT NULL";
        let of_others = "(l.author <> ?3 OR l.audience IS NULL)";
        for (rows, which, is_own) in [(received, of_others, false), (own, of_this_device, true)] {
            let mut query = self.db.prepare_cached(&format!(
                "{KEPT} WHERE l.row >= ?1 AND l.row < ?2 AND {which} AND l.text IS NOT NULL ORDER BY l.row LIMIT ?4"
            ))?;
            let messages = query.query_map(params![rows.start, rows.end, me, count], kept)?;
            for message in messages {
                found.push(Published { message: message?, is_own });
            }
        }
        found.sort_by_key(|it| it.message.row);
        found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::history::testing::*;

    #[test]
    fn published_messages_come_in_order_of_their_rows() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        for n in 0..3 {
            let from_bob = say(&mut bob, &room(), &[&format!("bob {n}")], &[ANA]);
            ingest(&mut ana, BOB, &room(), &from_bob);
            say(&mut ana, &room(), &[&format!("ana {n}")], &[BOB]);
        }
        let mut read = |received: std::ops::Range<i64>, own, count| {
            let found = ana.read(|tables| tables.published(&received, &own, count)).unwrap();
            found.into_iter().map(|it| (it.message.text, it.is_own)).collect::<Vec<_>>()
        };
        let all = read(1..7, 1..7, 9);
        let texts: Vec<_> = all.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["bob 0", "ana 0", "bob 1", "ana 1", "bob 2", "ana 2"]);
        assert!(all.iter().all(|(text, is_own)| text.starts_with("ana") == *is_own));
        assert_eq!(read(1..7, 1..7, 3), all[..3]);
        assert_eq!(read(4..7, 4..7, 9), all[3..]);
        assert_eq!(read(1..4, 7..7, 9), [all[0].clone(), all[2].clone()]);
    }
}
