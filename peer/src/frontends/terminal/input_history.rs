//! The lines that were typed before, for the Up key. Pure.
//!
//! The line editor has its own history, but adds lines to it only between two readings, and this reading never ends.

use std::collections::VecDeque;

use crate::limits::RECALLED_LINES;

/// The lines typed so far, and the position in them.
#[derive(Default)]
pub(crate) struct InputHistory {
    lines: VecDeque<String>,
    /// The number of steps back; 0 is the line being written.
    back: usize,
    draft: String,
}

impl InputHistory {
    /// Adds a line that was sent.
    pub(crate) fn note(&mut self, line: &str) {
        self.back = 0;
        if self.lines.front().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() >= RECALLED_LINES {
            self.lines.pop_back();
        }
        self.lines.push_front(line.to_owned());
    }

    /// Begins again at the newest line.
    pub(crate) fn restart(&mut self) {
        self.back = 0;
    }

    /// Returns the line before the one shown; `shown` is kept as the draft at the first step.
    pub(crate) fn older(&mut self, shown: &str) -> Option<String> {
        let line = self.lines.get(self.back)?.clone();
        if self.back == 0 {
            shown.clone_into(&mut self.draft);
        }
        self.back += 1;
        Some(line)
    }

    /// Returns the line after the one shown; after the newest, the draft.
    pub(crate) fn newer(&mut self) -> Option<String> {
        self.back = self.back.checked_sub(1)?;
        match self.back {
            0 => Some(std::mem::take(&mut self.draft)),
            back => self.lines.get(back - 1).cloned(),
        }
    }

    /// Returns the rest of the latest line that starts with this text.
    pub(crate) fn rest_of(&self, begun: &str) -> Option<String> {
        let rest =
            self.lines.iter().find_map(|line| line.strip_prefix(begun).filter(|rest| !rest.is_empty()))?;
        (!rest.contains('\n')).then(|| rest.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_and_down_walk_the_history_and_restore_the_draft() {
        let mut recall = InputHistory::default();
        assert_eq!(recall.older("draft"), None);
        for line in ["one", "two", "two"] {
            recall.note(line);
        }
        assert_eq!(recall.older("draft").as_deref(), Some("two"));
        assert_eq!(recall.older("two").as_deref(), Some("one"));
        assert_eq!(recall.older("one"), None);
        assert_eq!(recall.newer().as_deref(), Some("two"));
        assert_eq!(recall.newer().as_deref(), Some("draft"));
        assert_eq!(recall.newer(), None);
        recall.older("draft");
        recall.restart();
        assert_eq!(recall.older("").as_deref(), Some("two"));
    }

    #[test]
    fn completes_an_earlier_line_and_drops_the_oldest() {
        let mut recall = InputHistory::default();
        recall.note("/join sala");
        assert_eq!(recall.rest_of("/jo").as_deref(), Some("in sala"));
        assert_eq!(recall.rest_of("/join sala"), None);
        for n in 0..RECALLED_LINES {
            recall.note(&n.to_string());
        }
        assert_eq!(recall.rest_of("/jo"), None);
    }
}
