//! A message as rows of the screen.
//!
//! The rows after the first are indented, so that no text can look like another member's message.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use commons::counted::counted;
use commons::names::Username;
use uuid::Uuid;

use crate::api::Event;
use crate::api::past::PastMessage;
use crate::frontends::terminal::layout::{width, wrap};
use crate::frontends::terminal::sanitize::display_safe_lines;
use crate::frontends::terminal::style::Style;
use crate::limits::MESSAGE_ROWS;
use crate::untrusted::UntrustedText;

/// Columns that the text needs beside a name; with fewer, it starts on the next row.
const TEXT_COLUMNS: usize = 16;

/// Digits of a message id that `/show` takes.
const SHOW_DIGITS: usize = 6;

/// Columns of a text that fits the rows of a message even on a narrow screen.
const UNFOLDED_COLUMNS: usize = 160;

/// Indentation of text that starts on the row after its name.
const NARROW_INDENT: usize = 2;

/// The time at which something is shown, and the width of the screen.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time, in the user's zone.
    pub now: DateTime<FixedOffset>,
    /// Columns of the screen; `None` for a pipe.
    pub columns: Option<usize>,
}

/// A message as it is shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DisplayMessage {
    pub(crate) id: Uuid,
    pub(crate) from: Username,
    pub(crate) text: UntrustedText,
    pub(crate) at: DateTime<Utc>,
    /// True if the message came in plaintext, so that others could read it and its author is not authenticated.
    pub(crate) unencrypted: bool,
    /// A note before the name: a word or a sign.
    pub(crate) note: Option<String>,
    /// True if the user's word filter hides the text.
    pub(crate) filtered: bool,
}

impl DisplayMessage {
    /// Returns the end of the id, by which `/show` finds the message. Ids of one moment differ in it.
    pub(crate) fn short_id(&self) -> String {
        let id = self.id.simple().to_string();
        id[id.len().saturating_sub(SHOW_DIGITS)..].to_owned()
    }

    /// Returns true if the message may not be shown as a whole: exact numbers of rows depend on the screen.
    pub(crate) fn may_be_folded(&self) -> bool {
        let lines = display_safe_lines(&self.text);
        let columns: usize = lines.iter().map(|line| width(line)).sum();
        self.filtered || lines.len() > MESSAGE_ROWS || columns > UNFOLDED_COLUMNS
    }

    /// Returns a message of this user.
    pub(crate) fn own(id: Uuid, you: Username, text: UntrustedText, at: DateTime<Utc>) -> Self {
        Self { id, from: you, text, at, unencrypted: false, note: None, filtered: false }
    }

    /// Returns the message of an event that was received now.
    pub(crate) fn received(event: &Event, unencrypted: bool, now: DateTime<Utc>) -> Option<Self> {
        let Event::Message { id, from, content, sent_at, late, filtered, .. } = event else { return None };
        let note = (*late && now > *sent_at + LATE_BY).then(|| LATE.to_owned());
        let (from, text, filtered) = (from.clone(), content.clone(), *filtered);
        Some(Self { id: *id, from, text, at: *sent_at, unencrypted, note, filtered })
    }

    /// Returns true if another user wrote the message, and it names this user.
    pub(crate) fn names(&self, you: &Username) -> bool {
        self.from != *you && !self.filtered && self.text.has_word(you.as_str())
    }
}

/// Marks a message for this user, in private or by name, that a person may overlook: plain ASCII, with or without
/// colours.
const FOR_YOU: &str = ">>";

/// Marks a message of a backlog: it may stand below later ones.
pub(crate) const LATE: &str = "↺";

/// Delay after which a message counts as late: a new link takes its time.
pub(crate) const LATE_BY: TimeDelta = TimeDelta::seconds(10);

impl From<PastMessage> for DisplayMessage {
    fn from(message: PastMessage) -> Self {
        let PastMessage { id, from, content, sent_at, signed, filtered, .. } = message;
        Self { id, from, text: content, at: sent_at, unencrypted: !signed, note: None, filtered }
    }
}

/// A message about to be shown.
pub(crate) struct MessageRow<'a> {
    pub(crate) message: &'a DisplayMessage,
    pub(crate) moment: Moment,
    pub(crate) paint: Style,
    /// The number of rows after which it is cut.
    pub(crate) most: usize,
}

impl MessageRow<'_> {
    /// Renders `[12:00:00] <ana> text`.
    pub(crate) fn plain(&self) -> Vec<String> {
        let name = self.name();
        self.rows(false, &name, &self.paint.of_user(self.message.from.as_str(), &name), str::to_owned)
    }

    fn name(&self) -> String {
        format!("<{}{}>", self.message.from, if self.message.unencrypted { " ~" } else { "" })
    }

    /// Renders a message that names this user: marked, with the text highlighted.
    pub(crate) fn mention(&self) -> Vec<String> {
        let name = self.name();
        let painted = self.paint.of_user(self.message.from.as_str(), &name);
        self.rows(true, &name, &painted, |text| self.paint.mention(text))
    }

    /// Renders `[12:00:00] >> [PRIVATE from ana] text`; the user's own message has no mark.
    pub(crate) fn private(&self, mark: &str, own: bool) -> Vec<String> {
        self.rows(!own, mark, &self.paint.private(mark), str::to_owned)
    }

    fn rows(
        &self,
        for_you: bool,
        name: &str,
        painted_name: &str,
        paint: impl Fn(&str) -> String,
    ) -> Vec<String> {
        let time = clock(self.message.at, self.moment);
        let note = self.message.note.as_ref().map_or_else(String::new, |note| format!(" {note}"));
        // Programs that read a pipe receive the line without a mark.
        let mark = if for_you && self.moment.columns.is_some() { FOR_YOU } else { "" };
        let gap = if mark.is_empty() { "" } else { " " };
        let beside = width(&time) + width(&note) + width(gap) + width(mark) + width(name) + 2;
        let columns = self.moment.columns.unwrap_or(usize::MAX);
        let start = format!(
            "{}{gap}{} {painted_name}",
            self.paint.faint(&format!("{time}{note}")),
            self.paint.strong(mark)
        );
        let below = columns.saturating_sub(beside) < TEXT_COLUMNS;
        let indent = if below { NARROW_INDENT } else { beside };
        let text = if self.message.filtered {
            vec![format!("hidden by your filter, /show {}", self.message.short_id())]
        } else {
            display_safe_lines(&self.message.text)
        };
        let pieces = text.iter().flat_map(|row| wrap(row, columns.saturating_sub(indent)));
        let rows = pieces.enumerate().map(|(n, piece)| match n {
            0 if !below => format!("{start} {}", paint(piece)),
            _ => format!("{}{}", " ".repeat(indent), paint(piece)),
        });
        self.cut(below.then(|| start.clone()).into_iter().chain(rows).collect(), indent)
    }

    /// Cuts a message that would fill the screen, and adds a row about the rest; a pipe receives all rows.
    fn cut(&self, mut rows: Vec<String>, indent: usize) -> Vec<String> {
        let more = rows.len().saturating_sub(self.most);
        if more > 0 && self.moment.columns.is_some() {
            rows.truncate(self.most);
            let rest = counted(more, "more row", "more rows");
            let rest = match self.most {
                MESSAGE_ROWS => format!("… {rest}, /show {}", self.message.short_id()),
                _ => format!("… {rest}: /export FILE writes all"),
            };
            rows.push(format!("{}{rest}", " ".repeat(indent)));
        }
        rows
    }
}

/// Returns the time of a message, with the day if that is not today.
pub(crate) fn clock(at: DateTime<Utc>, moment: Moment) -> String {
    let at = at.with_timezone(&moment.now.timezone());
    let today = at.date_naive() == moment.now.date_naive();
    at.format(if today { "[%H:%M:%S]" } else { "[%Y-%m-%d %H:%M:%S]" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fills_no_more_than_its_rows() {
        let rows = |lines: usize, columns| {
            let message = DisplayMessage {
                id: Uuid::nil(),
                from: Username::parse("bob").unwrap(),
                text: format!("first{}last", "\n".repeat(lines - 1)).into(),
                at: DateTime::UNIX_EPOCH,
                unencrypted: false,
                note: None,
                filtered: false,
            };
            let moment = Moment { now: DateTime::UNIX_EPOCH.fixed_offset(), columns };
            MessageRow { message: &message, moment, paint: Style::plain(), most: MESSAGE_ROWS }.plain()
        };
        let cut = rows(8190, Some(80));
        assert_eq!(cut.len(), MESSAGE_ROWS + 1);
        assert_eq!(cut[MESSAGE_ROWS].trim(), "… 8170 more rows, /show 000000");
        assert!(rows(MESSAGE_ROWS, Some(80)).last().unwrap().ends_with("last"), "what just fits is whole");
        assert_eq!(rows(8190, None).len(), 8190, "a program that reads a pipe gets all of it");
    }
}
