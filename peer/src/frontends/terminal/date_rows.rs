//! The rows that separate the days on the screen. Pure.

use chrono::NaiveDate;

use crate::frontends::terminal::message_rows::Moment;
use crate::frontends::terminal::style::Style;

/// Inserts a row with the date where a new day begins.
#[derive(Default)]
pub(crate) struct DateRows {
    /// The day of the last row.
    day: Option<NaiveDate>,
}

impl DateRows {
    /// Inserts a date row before rows of another day than that of the last row.
    pub(crate) fn insert(&mut self, rows: &mut Vec<String>, paint: Style, moment: Moment) {
        let today = moment.now.date_naive();
        if !rows.is_empty() && self.day.replace(today).is_some_and(|day| day != today) {
            rows.insert(0, paint.system(&format!("── {} ──", today.format("%A, %-d %B %Y"))));
        }
    }
}
