//! The input and the row above it as they stand on the screen, which may become narrower before they are drawn again.
//!
//! Most terminals break rows that have become too long. The line editor does not know of the rows that this adds, and nobody
//! can: the window may have changed again before the terminal reads what is written. So nothing is ever cleared above the
//! rows that the editor has drawn, and the status row is short enough to stay whole.

use crate::limits::STATUS_COLUMNS;

/// Clears the row and all below it.
pub(crate) const CLEAR_BELOW: &str = "\r\x1b[J";

/// How the last drawing was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawing {
    /// Columns of the screen, as the line editor has read them last.
    pub(crate) columns: usize,
    /// The same when the status row was drawn; 0 before.
    pub(crate) last_columns: usize,
    /// The column behind the input.
    pub(crate) end_of_input: usize,
}

/// Columns that the status row may take, on a screen of so many: it stays whole when the window is halved.
pub(crate) fn status_columns(columns: usize) -> usize {
    columns.saturating_sub(1).min((columns / 2).max(STATUS_COLUMNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_row_stays_whole_when_the_window_is_halved() {
        for columns in 2 * STATUS_COLUMNS..400 {
            assert!(status_columns(columns) <= columns / 2, "{columns}");
        }
        assert_eq!([0, 1, 20, 39, 40, 60].map(status_columns), [0, 0, 19, 38, 39, 39]);
    }
}
