//! One page of a list reply.
//! A page holds as many entries as the client asked for and as fit in the reply.

use std::collections::BTreeMap;

use commons::limits::ORIGINAL_RECV;
use commons::protocol::page::Page;
use commons::protocol::with_tracker::ErrorCode;
use serde::Serialize;

use crate::handlers::outcome::RequestError;
use crate::limits::{PAGE_BYTES, PAGE_ENTRIES, PAGE_FRAME};

/// The bounds of one page: a number of entries and a number of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageBounds {
    /// The maximum number of entries.
    pub(crate) entries: usize,
    bytes: usize,
}

impl PageBounds {
    /// The bounds for a request. A request without an id and without parameters may come from a legacy client. Such a
    /// client reads a reply with one small `recv`.
    pub(crate) fn of(page: &Page, with_id: bool) -> Result<Self, RequestError> {
        let entries = match page.limit {
            Some(0) => return Err(RequestError::new(ErrorCode::Malformed, "\"limit\" must be at least 1")),
            Some(limit) => PAGE_ENTRIES.min(limit as usize),
            None => PAGE_ENTRIES,
        };
        let bare = !with_id && page.after.is_none() && page.limit.is_none();
        Ok(Self { entries, bytes: if bare { ORIGINAL_RECV - PAGE_FRAME } else { PAGE_BYTES } })
    }

    /// Takes entries while they fit. The first entry always fits. Returns the page, and whether more entries follow.
    pub(crate) fn fill<T: Serialize>(
        self,
        entries: impl Iterator<Item = (String, T)>,
    ) -> (BTreeMap<String, T>, bool) {
        let mut page = BTreeMap::new();
        let mut left = self.bytes;
        for (name, entry) in entries {
            // In the reply, the pair costs a colon and a comma. In this encoding, it costs two brackets and a comma.
            let length = serde_json::to_vec(&(&name, &entry)).map_or(usize::MAX, |json| json.len() - 1);
            let fits = length <= left && page.len() < self.entries;
            if !fits && !page.is_empty() {
                return (page, true);
            }
            left = left.saturating_sub(length);
            page.insert(name, entry);
        }
        (page, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> impl Iterator<Item = (String, String)> {
        (0..count).map(|n| (format!("{n:04}"), "x".repeat(100)))
    }

    #[test]
    fn a_page_ends_at_its_limit() {
        let page_of = |limit| Page { limit: Some(limit), ..Page::default() };
        let fill = |limit, count| {
            let (page, more) = PageBounds::of(&page_of(limit), true).unwrap().fill(names(count));
            (page.len(), more)
        };
        assert_eq!(fill(3, 4), (3, true));
        assert_eq!(fill(3, 3), (3, false));
        assert_eq!(fill(3, 0), (0, false));
        assert!(PageBounds::of(&page_of(0), true).is_err());
        assert_eq!(PageBounds::of(&page_of(u32::MAX), true).unwrap().entries, PAGE_ENTRIES);
    }

    #[test]
    fn a_page_ends_at_its_bytes() {
        let bare = Page::default();
        for (with_id, most) in [(true, PAGE_BYTES), (false, ORIGINAL_RECV - PAGE_FRAME)] {
            let (page, more) = PageBounds::of(&bare, with_id).unwrap().fill(names(5000));
            let length = serde_json::to_vec(&page).unwrap().len();
            assert!(more && length <= most && length > most - 300, "{length} of {most}");
        }
    }
}
