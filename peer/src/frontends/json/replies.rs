//! The assignment of answers to a program's input. Pure.
//!
//! An answer carries the request's id as `in_reply_to`, and an error the number of its input line. The answer to a
//! message is its `sent` event, which comes later.
//!
//! Example: the request `{"command":"say","text":"hi","id":1}` causes one `sent` event with `"in_reply_to":1`.

use std::collections::BTreeMap;

use commons::protocol::with_tracker::RequestId;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::schema::COMMANDS;
use crate::api::{Command, Event};
use crate::frontends::json::command_names::with_json_names;
use crate::frontends::json::events;
use crate::frontends::json::qr_code::qr_code;

/// The origin of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The number of the input line, from 1.
    pub(crate) line: Option<u64>,
    /// The id of the request.
    pub(crate) id: Option<RequestId>,
}

/// The open answers to a program.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// True if commands are JSON: then each has an answer, even if no event reports its effect.
    pub(crate) requests: bool,
    /// The origin of the command that runs now.
    origin: Origin,
    /// The origins of own messages that are not stored yet. The history's queue bounds their number.
    unsent: BTreeMap<Uuid, Origin>,
}

/// An event or an answer, with the input to which it belongs.
#[derive(Serialize)]
struct Reply<'a, T> {
    #[serde(flatten)]
    body: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<&'a RequestId>,
}

/// A safety number, and its QR code row by row.
#[derive(Serialize)]
struct Drawn<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    qr: Vec<String>,
}

impl Replies {
    /// Starts without an open answer.
    pub(crate) fn new(requests: bool) -> Self {
        Self { requests, ..Self::default() }
    }

    /// Sets the origin of the answers that follow. Returns the origin before it.
    pub(crate) fn begin(&mut self, origin: Origin) -> Origin {
        std::mem::replace(&mut self.origin, origin)
    }

    /// Gives a message an id by which its [`Event::Sent`] is recognised.
    pub(crate) fn note(&mut self, command: &mut Command) {
        if let Command::Say { id, .. } = command {
            let id = *id.get_or_insert_with(Uuid::now_v7);
            self.unsent.insert(id, self.origin.clone());
        }
    }

    /// Renders an event. The one that answers a message says so, once.
    pub(crate) fn event(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Sent { id, .. } => {
                let origin = self.unsent.remove(id).unwrap_or_default();
                reply(event, None, origin.id.as_ref())
            }
            Event::Error { messages, .. } if !messages.is_empty() => {
                let (mine, others): (Vec<_>, Vec<_>) =
                    messages.iter().partition(|id| self.unsent.contains_key(id));
                let with_messages = |lost| {
                    let mut event = self.worded(event);
                    if let Event::Error { messages, .. } = &mut event {
                        *messages = lost;
                    }
                    event
                };
                let others =
                    (!others.is_empty()).then(|| with_messages(others.into_iter().copied().collect()));
                let mine: Vec<_> = mine.into_iter().map(|id| (*id, with_messages(vec![*id]))).collect();
                let mut rows = Vec::new();
                for (id, event) in mine {
                    let origin = self.unsent.remove(&id).unwrap_or_default();
                    rows.extend(reply(&event, origin.line, origin.id.as_ref()));
                }
                rows.extend(others.iter().flat_map(events::event));
                rows
            }
            Event::Error { .. } => events::event(&self.worded(event)),
            event => events::event(event),
        }
    }

    /// Returns the event; if commands are JSON, its text names commands by their JSON names.
    fn worded(&self, event: &Event) -> Event {
        let mut event = event.clone();
        if let Event::Error { message, .. } = &mut event
            && self.requests
        {
            *message = message.reworded(with_json_names);
        }
        event
    }

    /// Renders the result of a command.
    pub(crate) fn answer(&self, answer: &Answer, command: &Command) -> Vec<String> {
        match answer {
            // The answer to a message is its event.
            Answer::Done if matches!(command, Command::Say { .. }) => Vec::new(),
            // The end of the input also ends the program, but is not a command.
            Answer::Quit { .. } if self.origin == Origin::default() => Vec::new(),
            Answer::Done | Answer::Quit { .. } if self.requests => {
                reply(&Answer::Done, None, self.origin.id.as_ref())
            }
            Answer::Done | Answer::Quit { .. } => Vec::new(),
            Answer::SafetyNumber { number, .. } => {
                reply(&Drawn { answer, qr: qr_code(number) }, None, self.origin.id.as_ref())
            }
            answer => reply(answer, None, self.origin.id.as_ref()),
        }
    }

    /// Renders the reason why a command was not carried out.
    pub(crate) fn error(&mut self, error: &CommandError, command: Option<&Command>) -> Vec<String> {
        if let Some(Command::Say { id: Some(id), .. }) = command {
            self.unsent.remove(id);
        }
        let event = match error {
            // The text of the tracker stays unchanged.
            CommandError::Refused { .. } | CommandError::TurnedAway { .. } => error.event(),
            own => self.worded(&own.event()),
        };
        let line = self.origin.line.filter(|_| matches!(event, Event::Error { .. }));
        reply(&event, line, self.origin.id.as_ref())
    }

    /// Renders the list of JSON commands.
    pub(crate) fn help(&self) -> Vec<String> {
        reply(&json!({"event": "help", "commands": COMMANDS}), None, self.origin.id.as_ref())
    }
}

fn reply(body: &impl Serialize, line: Option<u64>, id: Option<&RequestId>) -> Vec<String> {
    events::line(&Reply { body, line, in_reply_to: id })
}

#[cfg(test)]
mod tests {
    use commons::names::{RoomName, Username};
    use serde_json::Value;

    use super::*;
    use crate::api::conversation::Conversation;
    use crate::api::missing_conversation::MissingConversation;

    fn from(line: u64, id: i64) -> Origin {
        Origin { line: Some(line), id: Some(RequestId::Number(id)) }
    }

    fn one(rows: &[String]) -> Value {
        assert_eq!(rows.len(), 1, "{rows:?}");
        serde_json::from_str(&rows[0]).unwrap()
    }

    fn sent(command: &Command) -> Event {
        let Command::Say { id: Some(id), .. } = command else { panic!("no id") };
        let conversation = Conversation::Room(RoomName::parse("sala").unwrap());
        Event::Sent {
            id: *id,
            conversation,
            content: "x".into(),
            sent_at: chrono::DateTime::UNIX_EPOCH,
            recipients: None,
        }
    }

    #[test]
    fn each_message_is_answered_once_by_its_event() {
        let mut replies = Replies::new(true);
        let mut commands = [Command::say("x"), Command::say("x")];
        for (n, command) in commands.iter_mut().enumerate() {
            replies.begin(from(1, n as i64));
            replies.note(command);
            assert!(replies.answer(&Answer::Done, command).is_empty());
        }
        replies.begin(from(3, 3));
        for (n, command) in commands.iter().enumerate() {
            assert_eq!(one(&replies.event(&sent(command)))["in_reply_to"], n as i64);
            assert_eq!(one(&replies.event(&sent(command))).get("in_reply_to"), None, "answered twice");
        }
    }

    #[test]
    fn messages_that_were_lost_are_each_answered_by_an_error() {
        let mut replies = Replies::default();
        let mut commands = [Command::say("x"), Command::say("x")];
        let mut messages = vec![Uuid::nil()];
        for (n, command) in commands.iter_mut().enumerate() {
            replies.begin(from(n as u64 + 1, n as i64));
            replies.note(command);
            messages.extend(match command {
                Command::Say { id, .. } => *id,
                _ => None,
            });
        }
        let lost = Event::Error {
            code: "STORAGE".to_owned(),
            message: "full".into(),
            messages: messages.clone(),
            retry_after_ms: None,
            details: Box::default(),
        };
        let rows: Vec<Value> =
            replies.event(&lost).iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let shown: Vec<_> =
            rows.iter().map(|row| (&row["in_reply_to"], &row["line"], &row["messages"])).collect();
        let others = (&Value::Null, &Value::Null, &json!([Uuid::nil()]));
        let first = (&json!(0), &json!(1), &json!([messages[1]]));
        assert_eq!(shown, [first, (&json!(1), &json!(2), &json!([messages[2]])), others]);
    }

    #[test]
    fn every_command_has_one_answer_where_commands_are_json() {
        let leave = Command::Leave { conversation: None };
        let mut replies = Replies::new(true);
        replies.begin(from(1, 7));
        assert_eq!(replies.answer(&Answer::Done, &leave), [r#"{"event":"done","in_reply_to":7}"#]);
        let quit = replies.answer(&Answer::Quit { undelivered: Vec::new() }, &Command::Quit);
        assert_eq!(quit, [r#"{"event":"done","in_reply_to":7}"#]);
        let rooms = replies.answer(&Answer::Rooms { rooms: Vec::new() }, &Command::Rooms);
        assert_eq!(rooms, [r#"{"event":"rooms","rooms":[],"in_reply_to":7}"#]);
        let error = one(&replies.error(&MissingConversation::NoneOpen.into(), None));
        assert_eq!((&error["in_reply_to"], &error["line"]), (&json!(7), &json!(1)));
        let wanted = replies.error(&CommandError::PasswordWanted { tries_left: 3 }, None);
        assert_eq!(wanted, [r#"{"event":"password_wanted","tries_left":3,"in_reply_to":7}"#]);
        replies.begin(Origin { line: Some(2), id: None });
        assert_eq!(replies.answer(&Answer::Done, &leave), [r#"{"event":"done"}"#]);
        replies.begin(Origin::default());
        let end = replies.answer(&Answer::Quit { undelivered: Vec::new() }, &Command::Quit);
        assert!(end.is_empty(), "the end of the input is no command");
        assert!(Replies::default().answer(&Answer::Done, &leave).is_empty(), "lines are answered by events");
    }

    #[test]
    fn safety_number_comes_with_its_qr_code() {
        let user = Username::parse("bob").unwrap();
        let number = "12345 67890 ".repeat(6);
        let answer = Answer::SafetyNumber { user: user.clone(), number, verified: false, changed: false };
        let row = one(&Replies::new(true).answer(&answer, &Command::Verify { user }));
        assert_eq!(row["qr"].as_array().map(Vec::len), Some(25), "{row}");
    }

    #[test]
    fn answer_without_an_origin_is_printed_as_an_event() {
        let mut replies = Replies::default();
        let event = Event::LoggedIn { username: Username::parse("bob").unwrap() };
        assert_eq!(replies.event(&event), [r#"{"event":"logged_in","username":"bob"}"#]);
    }
}
