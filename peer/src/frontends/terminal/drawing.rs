//! The layout of the input and of the status row above it, as they were drawn last.
//!
//! A terminal may become narrower before they are drawn again. Most terminals then break rows that are too long. The
//! line editor does not know the additional rows, and cannot: the window may change again before the terminal reads its
//! output. So the editor never clears above the rows that it has drawn, and the status row is short enough to stay
//! whole.

use crate::limits::STATUS_COLUMNS;

/// Clears the row of the cursor and all rows below it.
pub(crate) const CLEAR_BELOW: &str = "\r\x1b[J";

/// The state of the last drawing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawing {
    /// Columns of the screen, as the line editor read them last.
    pub(crate) columns: usize,
    /// Columns of the screen when the status row was drawn; 0 before.
    pub(crate) last_columns: usize,
    /// The column after the end of the input.
    pub(crate) end_of_input: usize,
}

/// Returns the columns that the status row may take: it stays whole when the window is halved.
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
