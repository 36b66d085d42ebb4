//! Earlier messages as rows of the screen. Pure.
//!
//! They appear in `/history`, `/search`, and when a conversation is opened.

use commons::counted::counted;
use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::past::{FoundMessage, PastConversation, PastMessage};
use crate::frontends::terminal::message_rows::{DisplayMessage, MessageRow, Moment};
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::unread::EarlierMessages;
use crate::limits::MESSAGE_ROWS;

/// The row before the first unread message of a conversation that was opened.
pub(crate) const NEW: &str = "── new ──";

/// Renders stored messages.
#[derive(Clone, Copy)]
pub(crate) struct HistoryRows {
    pub(crate) paint: Style,
    pub(crate) moment: Moment,
}

impl HistoryRows {
    /// Renders the last messages of a conversation, or the last before a given one, oldest first.
    pub(crate) fn history(
        self,
        name: &str,
        messages: &[PastMessage],
        is_earlier: bool,
        more: bool,
    ) -> Vec<String> {
        let which = if is_earlier { "earlier" } else { "the last" };
        let title = match messages.len() {
            0 if is_earlier => format!("nothing older is kept of {name}"),
            0 => format!("nothing is kept of {name}"),
            count => {
                format!("── {name}: {which} {}{} ──", counted(count, "message", "messages"), older(more))
            }
        };
        let rows = self.with_muted_folded(messages, |message| self.message(&message.clone().into()));
        std::iter::once(self.paint.system(&title)).chain(rows).collect()
    }

    /// Renders messages in order. Consecutive ones of a muted author become one row.
    fn with_muted_folded(
        self,
        messages: &[PastMessage],
        rows: impl Fn(&PastMessage) -> Vec<String>,
    ) -> Vec<String> {
        let runs = messages.chunk_by(|one, next| one.muted && next.muted && one.from == next.from);
        let render = |run: &[PastMessage]| match run {
            [PastMessage { muted: true, from, .. }, ..] => {
                let count = counted(run.len(), "message", "messages");
                vec![self.paint.faint(&format!("· {count} of {from} (muted): /unmute {from} shows them"))]
            }
            run => run.iter().flat_map(&rows).collect(),
        };
        runs.flat_map(render).collect()
    }

    /// Renders the matches of a search. The newest, probably the wanted one, stands last, next to the input.
    pub(crate) fn found(self, messages: &[FoundMessage], more: bool) -> Vec<String> {
        let title = match messages.len() {
            0 => "no message was found".to_owned(),
            count => {
                let found = counted(count, "message", "messages");
                format!("── {found} found, the newest last{} ──", older(more))
            }
        };
        let row = |found: &FoundMessage| {
            let FoundMessage { of, named, excerpt, message } = found.clone();
            let message = DisplayMessage::from(message);
            let text = excerpt.unwrap_or_else(|| message.text.clone());
            self.message(&DisplayMessage { note: Some(address(&of, named.as_ref())), text, ..message })
        };
        std::iter::once(self.paint.system(&title)).chain(messages.iter().rev().flat_map(row)).collect()
    }

    /// Renders the earlier messages above a conversation that was opened. A message that names `you` is marked: it may
    /// have come just now.
    pub(crate) fn scrollback(self, messages: &[PastMessage], you: &Username) -> Vec<String> {
        let plain = Self { paint: Style::plain(), ..self };
        plain.new_messages(messages, you).iter().map(|row| self.paint.faint(row)).collect()
    }

    /// Renders messages of a conversation that was opened. A message that names `you` is marked.
    fn new_messages(self, messages: &[PastMessage], you: &Username) -> Vec<String> {
        let row = |message: &PastMessage| {
            let message = &DisplayMessage::from(message.clone());
            let row = MessageRow { message, moment: self.moment, paint: self.paint, most: MESSAGE_ROWS };
            if message.names(you) { row.mention() } else { row.plain() }
        };
        self.with_muted_folded(messages, row)
    }

    fn message(self, message: &DisplayMessage) -> Vec<String> {
        MessageRow { message, moment: self.moment, paint: self.paint, most: MESSAGE_ROWS }.plain()
    }
}

/// The state of a conversation that was just opened, and its earlier messages on the screen.
#[derive(Default)]
pub(crate) struct Scrollback {
    /// True if the conversation was opened, and its earlier messages are not shown yet.
    pub(crate) is_due: bool,
    shown: Vec<Uuid>,
    hinted: bool,
}

impl Scrollback {
    /// Renders the earlier messages except the unread ones of this run. Those of earlier runs follow after [`NEW`]. If the
    /// history is locked, renders a hint instead, once.
    pub(crate) fn rows(
        &mut self,
        looked: &Result<Answer, CommandError>,
        open: &Conversation,
        is_unread: impl Fn(Uuid) -> bool,
        earlier: Option<EarlierMessages>,
        you: &Username,
        rows: HistoryRows,
    ) -> Vec<String> {
        self.is_due = false;
        match looked {
            Ok(Answer::History { of, lines: messages, .. }) if name_of(of) == shown(open) => {
                let past: Vec<_> =
                    messages.iter().filter(|message| !is_unread(message.id)).cloned().collect();
                self.shown = past.iter().map(|message| message.id).collect();
                let Some(EarlierMessages { first, .. }) = earlier else { return rows.scrollback(&past, you) };
                // If the first one was erased, all messages that were read stand behind it.
                let at = past.iter().position(|message| message.id == first).unwrap_or_default();
                let (read, new) = past.split_at(at);
                let title = std::iter::once(rows.paint.system(NEW));
                rows.scrollback(read, you)
                    .into_iter()
                    .chain(title)
                    .chain(rows.new_messages(new, you))
                    .collect()
            }
            Err(CommandError::PasswordWanted { .. }) if let Some(EarlierMessages { count, .. }) = earlier => {
                self.hinted = true;
                let count = counted(count, "new message", "new messages");
                vec![rows.paint.system(&format!("── {count}: /history shows them ──"))]
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
pub(crate) fn address(of: &PastConversation, named: Option<&RoomName>) -> String {
    named.map_or_else(|| name_of(of), |name| shown(&Conversation::Room(name.clone())))
}

/// Returns a conversation as it is typed, by its plain name.
pub(crate) fn name_of(of: &PastConversation) -> String {
    shown(&of.clone().into())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn message(second: i64, text: &str, signed: bool) -> PastMessage {
        PastMessage {
            id: Uuid::nil(),
            from: Username::parse("bob").unwrap(),
            content: text.into(),
            sent_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            signed,
            filtered: false,
            muted: false,
        }
    }

    fn rows() -> HistoryRows {
        let now = DateTime::UNIX_EPOCH.fixed_offset();
        HistoryRows { paint: Style::plain(), moment: Moment { now, columns: Some(80) } }
    }

    fn sala() -> PastConversation {
        PastConversation::Room(RoomName::parse("sala").unwrap())
    }

    #[test]
    fn history_shows_messages_and_marks_unsigned_ones() {
        let messages = [message(1, "hi", true), message(86402, "two\n> rows", false)];
        let shown = [
            "── sala: the last 2 messages ──",
            "[00:00:01] <bob> hi",
            "[1970-01-02 00:00:02] <bob ~> two",
            "                              > rows",
        ];
        assert_eq!(rows().history("sala", &messages, false, false), shown);
        assert_eq!(rows().history("sala", &[], false, false), ["nothing is kept of sala"]);
        let more = rows().history("sala", &messages, true, true);
        assert_eq!(more[0], "── sala: earlier 2 messages; older: /more ──");
    }

    #[test]
    fn earlier_message_that_names_the_user_is_marked() {
        let ana = Username::parse("ana").unwrap();
        let messages = [message(1, "ana, look", true), message(2, "anabel, look", true)];
        let shown = ["[00:00:01] >> <bob> ana, look", "[00:00:02] <bob> anabel, look"];
        assert_eq!(rows().scrollback(&messages, &ana), shown);
        let own = Username::parse("bob").unwrap();
        let messages = [message(1, "I am bob", true)];
        assert_eq!(
            rows().scrollback(&messages, &own),
            ["[00:00:01] <bob> I am bob"],
            "the user's own message"
        );
    }

    #[test]
    fn search_results_name_the_conversation_newest_last() {
        let with_bob = PastConversation::With(Username::parse("bob").unwrap());
        let messages = [
            FoundMessage { of: with_bob, named: None, excerpt: None, message: message(2, "newer", true) },
            FoundMessage {
                of: sala(),
                named: RoomName::parse("sala#3c24").ok(),
                excerpt: Some("…is *older*".into()),
                message: message(1, "this is older", true),
            },
        ];
        let shown = [
            "── 2 messages found, the newest last ──",
            "[00:00:01] sala#3c24 <bob> …is *older*",
            "[00:00:02] @bob <bob> newer",
        ];
        assert_eq!(rows().found(&messages, false), shown);
    }

    #[test]
    fn messages_of_a_muted_author_become_one_row() {
        let muted = |second| PastMessage { muted: true, ..message(second, "hidden", true) };
        let messages = [message(1, "first", true), muted(2), muted(3), message(4, "last", true)];
        let shown = rows().history("sala", &messages, false, false);
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert_eq!(shown[2], "· 2 messages of bob (muted): /unmute bob shows them");
        let above = rows().scrollback(&messages, &Username::parse("ana").unwrap());
        assert!(above.len() == 3 && above[1].contains("2 messages of bob (muted)"), "{above:?}");
    }
}
