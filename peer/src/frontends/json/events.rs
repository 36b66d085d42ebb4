//! The JSON output for programs: one event a line.
//!
//! Each function returns the lines of one event.

use serde::Serialize;
use serde_json::json;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::api::snapshot::Snapshot;
use crate::frontends::slash_commands::{COMMANDS, Spec};
use crate::untrusted::UntrustedText;

/// Renders an event as JSON.
#[must_use]
pub fn event(event: &Event) -> Vec<String> {
    line(event)
}

/// Renders the reason why a command was not carried out.
#[must_use]
pub fn error(error: &CommandError) -> Vec<String> {
    line(&error.event())
}

/// Renders the list of commands, or one of them.
#[must_use]
pub fn help(only: Option<&Spec>) -> Vec<String> {
    let listed = COMMANDS.iter().filter(|spec| only.is_none_or(|only| *only == **spec));
    let commands =
        listed.map(|spec| json!({"usage": spec.usage(), "aliases": spec.aliases, "help": spec.help}));
    line(&json!({"event": "help", "commands": commands.collect::<Vec<_>>()}))
}

/// The state of the peer as an event.
#[derive(Serialize)]
struct SnapshotEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

/// Renders the state of the peer.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Vec<String> {
    line(&SnapshotEvent { event: "snapshot", snapshot })
}

/// An end, and its reason if it has one.
#[derive(Serialize)]
struct EndEvent {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<UntrustedText>,
}

/// Renders an end, and its reason.
pub(crate) fn end(event: &'static str, reason: Option<CommandError>) -> Vec<String> {
    let code = reason.as_ref().map(CommandError::code);
    line(&EndEvent { event, code, message: reason.map(|reason| reason.words()) })
}

/// Renders that nobody is signed in, and the reason if there is one.
pub(crate) fn signed_out(reason: Option<CommandError>) -> Vec<String> {
    end("signed_out", reason)
}

/// Renders one object as a line.
pub(crate) fn line(object: &impl Serialize) -> Vec<String> {
    // This cannot fail for the program's own types; if it did, a missing line is better than a broken one.
    serde_json::to_string(object).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use commons::names::{RoomName, Username};
    use commons::protocol::with_tracker::ErrorCode;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::api::conversation::Conversation;
    use crate::api::status::TrackerState;
    use crate::api::undeliverable::Undeliverable;

    fn shown(event: &Event) -> Value {
        let lines = super::event(event);
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains('\n'));
        serde_json::from_str(&lines[0]).unwrap()
    }

    #[test]
    fn events_have_the_documented_shapes() {
        let (bob, sala) = (Username::parse("bob").unwrap(), RoomName::parse("sala").unwrap());
        let id = Uuid::nil();
        let zero = "00000000-0000-0000-0000-000000000000";
        let content = "two\nlines \u{1b}".to_owned();
        for (event, expected) in [
            (Event::LoggedIn { username: bob.clone() }, json!({"event": "logged_in", "username": "bob"})),
            (Event::RoomLeft { room: sala.clone() }, json!({"event": "room_left", "room": "sala"})),
            (
                Event::Message {
                    id,
                    room: None,
                    from: bob.clone(),
                    to: None,
                    content: content.as_str().into(),
                    sent_at: DateTime::UNIX_EPOCH,
                    late: false,
                    missing: 0,
                    filtered: false,
                    request: false,
                    muted: false,
                },
                json!({"event": "message", "id": zero, "room": null, "from": "bob", "content": content,
                       "sent_at": "1970-01-01T00:00:00.000Z"}),
            ),
            (
                Event::Sent {
                    id,
                    conversation: Conversation::Room(sala),
                    content: "x".into(),
                    sent_at: DateTime::UNIX_EPOCH,
                    recipients: None,
                },
                json!({"event": "sent", "id": zero, "room": "sala", "content": "x", "sent_at": "1970-01-01T00:00:00.000Z"}),
            ),
            (
                Event::Sent {
                    id,
                    conversation: Conversation::Private(bob.clone()),
                    content: "x".into(),
                    sent_at: DateTime::UNIX_EPOCH,
                    recipients: Some(vec![bob.clone()]),
                },
                json!({"event": "sent", "id": zero, "to": "bob", "content": "x", "sent_at": "1970-01-01T00:00:00.000Z",
                       "recipients": ["bob"]}),
            ),
            (
                Event::Undelivered { id, to: bob, reason: Undeliverable::Left },
                json!({"event": "undelivered", "id": zero, "to": "bob", "reason": "LEFT"}),
            ),
            (
                Event::Tracker { state: TrackerState::Lost, reason: None },
                json!({"event": "tracker", "state": "lost"}),
            ),
        ] {
            assert_eq!(shown(&event), expected);
        }
    }

    #[test]
    fn errors_are_events_too() {
        let lost: Value = serde_json::from_str(&error(&CommandError::TrackerLost)[0]).unwrap();
        assert_eq!((&lost["event"], &lost["code"]), (&json!("error"), &json!("TRACKER_LOST")));
        assert!(lost["message"].is_string() && lost.get("retry_after_ms").is_none());
        let (code, wait) = (ErrorCode::RateLimited, Duration::from_millis(1500));
        let limited = CommandError::Refused { code, msg: "slow down".into(), retry_after: Some(wait) };
        let limited: Value = serde_json::from_str(&error(&limited)[0]).unwrap();
        assert_eq!((&limited["code"], &limited["retry_after_ms"]), (&json!("RATE_LIMITED"), &json!(1500)));
    }
}
