//! Earlier messages as rows of the screen. Pure.
//!
//! They appear in `/history`, `/search`, and when a conversation is opened.

use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::api::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::past::{FoundLine, Past, PastLine};
use crate::frontends::terminal::counted::counted;
use crate::frontends::terminal::message_rows::{DisplayMessage, Line, Moment};
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;

/// Renders stored messages.
#[derive(Clone, Copy)]
pub(crate) struct PastRows {
    pub(crate) paint: Style,
    pub(crate) moment: Moment,
}

impl PastRows {
    /// Renders the last messages of a conversation, or the last before a given one, oldest first.
    pub(crate) fn history(
        self,
        place: &str,
        lines: &[PastLine],
        is_earlier: bool,
        more: bool,
    ) -> Vec<String> {
        let which = if is_earlier { "earlier" } else { "the last" };
        let title = match lines.len() {
            0 if is_earlier => format!("nothing older is kept of {place}"),
            0 => format!("nothing is kept of {place}"),
            count => {
                format!("── {place}: {which} {}{} ──", counted(count, "message", "messages"), older(more))
            }
        };
        let rows = lines.iter().flat_map(|line| self.line(&line.clone().into()));
        std::iter::once(self.paint.system(&title)).chain(rows).collect()
    }

    /// Renders the matches of a search. The newest, probably the wanted one, stands last, next to the input.
    pub(crate) fn found(self, lines: &[FoundLine], more: bool) -> Vec<String> {
        let title = match lines.len() {
            0 => "no message was found".to_owned(),
            count => {
                let found = counted(count, "message", "messages");
                format!("── {found} found, the newest last{} ──", older(more))
            }
        };
        let line = |found: &FoundLine| {
            let FoundLine { of, named, excerpt, line } = found.clone();
            let said = DisplayMessage::from(line);
            let text = excerpt.unwrap_or_else(|| said.text.clone());
            self.line(&DisplayMessage { note: Some(address(&of, named.as_ref())), text, ..said })
        };
        std::iter::once(self.paint.system(&title)).chain(lines.iter().rev().flat_map(line)).collect()
    }

    /// Renders the earlier messages above a conversation that was opened. A message that names `you` is marked: it may
    /// have come just now.
    pub(crate) fn scrollback(self, lines: &[PastLine], you: &Username) -> Vec<String> {
        let row = |line: &PastLine| {
            let said = &DisplayMessage::from(line.clone());
            let line = Line { said, moment: self.moment, paint: Style::plain() };
            if said.names(you) { line.mention() } else { line.plain() }
        };
        lines.iter().flat_map(row).map(|row| self.paint.faint(&row)).collect()
    }

    fn line(self, said: &DisplayMessage) -> Vec<String> {
        Line { said, moment: self.moment, paint: self.paint }.plain()
    }
}

/// The state of a conversation that was just opened, and its earlier messages on the screen.
#[derive(Default)]
pub(crate) struct Arrival {
    /// True if the conversation was opened, and its earlier messages are not shown yet.
    pub(crate) is_due: bool,
    shown: Vec<Uuid>,
    hinted: bool,
}

impl Arrival {
    /// Renders the earlier messages except the unread ones. If the history is locked, renders a hint instead, once.
    pub(crate) fn rows(
        &mut self,
        looked: &Result<Answer, CommandError>,
        open: &Conversation,
        is_unread: impl Fn(Uuid) -> bool,
        you: &Username,
        rows: PastRows,
    ) -> Vec<String> {
        self.is_due = false;
        match looked {
            Ok(Answer::History { of, lines, .. }) if place(of) == shown(open) => {
                let past: Vec<_> = lines.iter().filter(|line| !is_unread(line.id)).cloned().collect();
                self.shown = past.iter().map(|line| line.id).collect();
                rows.scrollback(&past, you)
            }
            Err(CommandError::PasswordWanted { .. }) if !std::mem::replace(&mut self.hinted, true) => {
                vec![rows.paint.faint("   /history shows what was said before")]
            }
            _ => Vec::new(),
        }
    }

    /// Returns true if a message was shown as one of the earlier messages.
    pub(crate) fn has_shown(&self, id: Uuid) -> bool {
        self.shown.contains(&id)
    }
}

/// Returns the hint on how to see older messages.
fn older(more: bool) -> &'static str {
    if more { "; older: /more" } else { "" }
}

/// Returns a conversation as it is typed, also a room whose plain name belongs to a newer room.
pub(crate) fn address(of: &Past, named: Option<&RoomName>) -> String {
    named.map_or_else(|| place(of), |name| shown(&Conversation::Room(name.clone())))
}

/// Returns a conversation as it is typed, by its plain name.
pub(crate) fn place(of: &Past) -> String {
    shown(&match of {
        Past::Room(room) => Conversation::Room(RoomName::clone(room)),
        Past::With(user) => Conversation::Private(user.clone()),
    })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn line(second: i64, text: &str, signed: bool) -> PastLine {
        PastLine {
            id: Uuid::nil(),
            from: Username::parse("bob").unwrap(),
            content: text.into(),
            sent_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            signed,
        }
    }

    fn rows() -> PastRows {
        let now = DateTime::UNIX_EPOCH.fixed_offset();
        PastRows { paint: Style::plain(), moment: Moment { now, columns: Some(80) } }
    }

    fn sala() -> Past {
        Past::Room(RoomName::parse("sala").unwrap())
    }

    #[test]
    fn history_shows_messages_and_marks_unsigned_ones() {
        let lines = [line(1, "hi", true), line(86402, "two\n> rows", false)];
        let shown = [
            "── sala: the last 2 messages ──",
            "[00:00:01] <bob> hi",
            "[1970-01-02 00:00:02] <bob ~> two",
            "                              > rows",
        ];
        assert_eq!(rows().history("sala", &lines, false, false), shown);
        assert_eq!(rows().history("sala", &[], false, false), ["nothing is kept of sala"]);
        let more = rows().history("sala", &lines, true, true);
        assert_eq!(more[0], "── sala: earlier 2 messages; older: /more ──");
    }

    #[test]
    fn earlier_message_that_names_the_user_is_marked() {
        let ana = Username::parse("ana").unwrap();
        let lines = [line(1, "ana, look", true), line(2, "anabel, look", true)];
        let shown = ["[00:00:01] >> <bob> ana, look", "[00:00:02] <bob> anabel, look"];
        assert_eq!(rows().scrollback(&lines, &ana), shown);
        let own = Username::parse("bob").unwrap();
        let lines = [line(1, "I am bob", true)];
        assert_eq!(rows().scrollback(&lines, &own), ["[00:00:01] <bob> I am bob"], "the user's own message");
    }

    #[test]
    fn what_was_found_says_where_and_ends_with_the_newest() {
        let with_bob = Past::With(Username::parse("bob").unwrap());
        let lines = [
            FoundLine { of: with_bob, named: None, excerpt: None, line: line(2, "newer", true) },
            FoundLine {
                of: sala(),
                named: RoomName::parse("sala#3c24").ok(),
                excerpt: Some("…is *older*".into()),
                line: line(1, "this is older", true),
            },
        ];
        let shown = [
            "── 2 messages found, the newest last ──",
            "[00:00:01] sala#3c24 <bob> …is *older*",
            "[00:00:02] @bob <bob> newer",
        ];
        assert_eq!(rows().found(&lines, false), shown);
    }
}
