//! The parser of a program's requests: one JSON object a line. Pure.
//!
//! Unknown names are refused, never ignored: a misspelt `conversation` would send a message to the wrong people. An
//! error names the problem and repeats no value: see [`schema`](crate::api::schema).

mod repeated_key;

use commons::nearest;
use commons::protocol::with_tracker::RequestId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::Command;
use crate::api::request::repeated_key::repeated_key;
use crate::api::schema::{COMMANDS, Field, Schema};
use crate::identity::password::Password;

/// The longest name, in bytes, that an error repeats: no command or field has a longer one.
const NAME_SHOWN: usize = 32;

/// A request of a program.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The request id, which comes back as `in_reply_to`.
    pub id: Option<RequestId>,
    /// The password that unlocks the history first, if the request has one.
    pub password: Option<Password>,
    /// The action that is requested.
    pub action: Action,
}

/// The action of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run a command of the peer.
    Run(Command),
    /// List the commands and their fields.
    Help,
}

/// Passwords and chat text stay out of logs, so this form shows none.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The reason why a line is not a valid request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RequestParseError {
    /// The request id, if it could be read.
    pub id: Option<RequestId>,
    /// The text for people, which repeats no value.
    pub reason: String,
}

/// Parses a line as a request.
pub fn parse(line: &str) -> Result<Request, RequestParseError> {
    let wrong = |id, reason: String| RequestParseError { id, reason };
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        // A text with half of a surrogate pair is no text, but the id may be readable.
        let id = serde_json::from_str::<OnlyId>(line).ok().and_then(|only| only.id);
        return Err(wrong(id, format!("this line is no JSON: {EXAMPLE}")));
    };
    let Value::Object(mut fields) = value else {
        return Err(wrong(None, format!("this line is no JSON object: {EXAMPLE}")));
    };
    // A field that is null counts as absent, as on the wire.
    fields.retain(|_, value| !value.is_null());
    let id = match fields.remove("id").map(RequestId::deserialize) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(wrong(None, "\"id\" is a string or an integer".to_owned())),
    };
    if let Some(key) = repeated_key(line) {
        let id = id.filter(|_| key != "id");
        let key = shown(&key).unwrap_or_else(|| "a field".to_owned());
        return Err(wrong(id, format!("{key} stands twice in this request: give it once")));
    }
    match read(fields) {
        Ok((password, action)) => Ok(Request { id, password, action }),
        Err(reason) => Err(wrong(id, reason)),
    }
}

/// The id of a request whose other fields cannot be read.
#[derive(Deserialize)]
struct OnlyId {
    id: Option<RequestId>,
}

const EXAMPLE: &str = "send one object a line, as {\"command\":\"help\"}";

/// Builds the request's action from its fields, or says what is wrong with them.
fn read(mut fields: Map<String, Value>) -> Result<(Option<Password>, Action), String> {
    let schema = match fields.get("command") {
        None => return Err(format!("\"command\" is missing: {EXAMPLE}")),
        Some(Value::String(name)) => {
            COMMANDS.iter().find(|schema| schema.name == name).ok_or_else(|| unknown_command(name))?
        }
        Some(_) => return Err("\"command\" is a string".to_owned()),
    };
    check(schema, &fields)?;
    if schema.name == "help" {
        return Ok((None, Action::Help));
    }
    let password = match fields.get("password") {
        Some(Value::String(password)) if schema.unlocks() => Some(Password::typed(password.as_str())),
        _ => None,
    };
    if schema.unlocks() {
        fields.remove("password");
    }
    if schema.name == "leave"
        && let Some(room) = fields.remove("room")
        && fields
            .insert("conversation".to_owned(), Map::from_iter([("room".to_owned(), room)]).into())
            .is_some()
    {
        return Err("\"leave\" takes \"conversation\" or \"room\", not both".to_owned());
    }
    match Command::deserialize(Value::Object(fields)) {
        Ok(command) => Ok((password, Action::Run(command))),
        // The error of the JSON reader would repeat values.
        Err(_) => Err(format!("the fields of \"{}\" do not fit together", schema.name)),
    }
}

/// Checks that the fields are those of the command.
fn check(schema: &Schema, fields: &Map<String, Value>) -> Result<(), String> {
    let Schema { name, fields: known, .. } = schema;
    let find = |given: &str| known.iter().find(|field| field.name == given);
    if let Some(odd) = fields.keys().find(|given| *given != "command" && find(given).is_none()) {
        return Err(unknown_field(schema, odd));
    }
    if let Some(missing) = known.iter().find(|field| field.required && !fields.contains_key(field.name)) {
        return Err(format!("\"{name}\" needs \"{}\"", missing.name));
    }
    let wrong = known
        .iter()
        .find(|Field { name, r#type, .. }| fields.get(*name).is_some_and(|value| !r#type.takes(value)));
    match wrong {
        Some(Field { name: field, r#type, .. }) => {
            Err(format!("\"{field}\" of \"{name}\" is {}", r#type.described()))
        }
        None => check_bounds(fields),
    }
}

/// Checks that the bounds of a page fit together.
fn check_bounds(fields: &Map<String, Value>) -> Result<(), String> {
    let has = |name| fields.contains_key(name);
    for (author, message) in [("before_from", "before"), ("after_from", "after")] {
        if has(author) && !has(message) {
            return Err(format!("\"{author}\" needs \"{message}\""));
        }
    }
    if has("before") && has("after") {
        return Err("a page takes \"before\" or \"after\", not both".to_owned());
    }
    Ok(())
}

fn unknown_command(name: &str) -> String {
    let names = COMMANDS.iter().map(|schema| schema.name);
    let what = shown(name).map_or_else(|| "no such command".to_owned(), |name| format!("no command {name}"));
    match nearest::of(name, names.clone()) {
        Some(near) => format!("{what}: did you mean \"{near}\"?"),
        None => format!("{what}: there are {}", names.collect::<Vec<_>>().join(", ")),
    }
}

fn unknown_field(schema: &Schema, odd: &str) -> String {
    let odd = shown(odd).unwrap_or_else(|| "a field by that name".to_owned());
    let known: Vec<_> = schema.fields.iter().map(|field| format!("\"{}\"", field.name)).collect();
    let takes = if known.is_empty() { "none but \"id\"".to_owned() } else { known.join(", ") };
    format!("\"{}\" does not take {odd}: its fields are {takes}", schema.name)
}

/// Returns a name that an error may repeat; `None` if no command or field could have it.
fn shown(name: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (!name.is_empty() && name.len() <= NAME_SHOWN && name.chars().all(is_name)).then(|| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use commons::names::{RoomName, Username};
    use commons::protocol::with_tracker::RoomsFate;
    use serde_json::json;

    use commons::room_log::facts::Policy;

    use super::*;
    use crate::api::account::AccountCommand;
    use crate::api::conversation::Conversation;
    use crate::api::past::{After, Before};
    use crate::limits::HISTORY_PAGE;

    fn sala() -> RoomName {
        RoomName::parse("sala").unwrap()
    }

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn secret() -> Password {
        Password::typed("secret")
    }

    fn refusal(line: &str) -> String {
        parse(line).unwrap_err().reason
    }

    #[test]
    fn every_command_is_read_with_its_fields() {
        let in_sala = || Conversation::Room(sala());
        let with_bob = || Conversation::Private(bob());
        let before = |from| Some(Before { id: uuid::Uuid::nil(), from });
        let say = |conversation| Command::Say { conversation, text: "a\nb".to_owned(), id: None };
        for (line, command) in [
            (json!({"command": "say", "text": "a\nb"}), say(None)),
            (
                json!({"command": "say", "text": "a\nb", "conversation": {"room": "sala"}}),
                say(Some(in_sala())),
            ),
            (json!({"command": "say", "text": "a\nb", "conversation": {"to": "bob"}}), say(Some(with_bob()))),
            (
                json!({"command": "switch", "conversation": {"to": "bob"}}),
                Command::Open { conversation: with_bob() },
            ),
            (
                json!({"command": "read", "conversation": {"to": "bob"}}),
                Command::Read { conversation: Some(with_bob()) },
            ),
            (json!({"command": "read"}), Command::Read { conversation: None }),
            (
                json!({"command": "create", "room": "sala"}),
                Command::Create { room: sala(), policy: Policy::Open },
            ),
            (json!({"command": "join", "room": "sala"}), Command::Join { room: sala() }),
            (json!({"command": "leave"}), Command::Leave { conversation: None }),
            (json!({"command": "leave", "room": "sala"}), Command::Leave { conversation: Some(in_sala()) }),
            (
                json!({"command": "leave", "conversation": {"to": "bob"}}),
                Command::Leave { conversation: Some(with_bob()) },
            ),
            (json!({"command": "delete"}), Command::Delete { room: None }),
            (json!({"command": "delete", "room": "sala"}), Command::Delete { room: Some(sala()) }),
            (json!({"command": "peers"}), Command::Peers),
            (json!({"command": "rooms"}), Command::Rooms),
            (json!({"command": "users"}), Command::Users { conversation: None }),
            (json!({"command": "whoami"}), Command::WhoAmI),
            (
                json!({"command": "history"}),
                Command::History { lines: HISTORY_PAGE, conversation: None, before: None, after: None },
            ),
            (
                json!({"command": "history", "lines": 5, "conversation": {"room": "sala"}, "password": "secret"}),
                Command::History { lines: 5, conversation: Some(in_sala()), before: None, after: None },
            ),
            (
                json!({"command": "search", "words": "olá"}),
                Command::Search { words: "olá".to_owned(), before: None },
            ),
            (
                json!({"command": "search", "words": "x", "before": uuid::Uuid::nil()}),
                Command::Search { words: "x".to_owned(), before: before(None) },
            ),
            (
                json!({"command": "search", "words": "x", "before": uuid::Uuid::nil(), "before_from": "bob"}),
                Command::Search { words: "x".to_owned(), before: before(Some(bob())) },
            ),
            (
                json!({"command": "history", "before": uuid::Uuid::nil(), "before_from": "bob"}),
                Command::History {
                    lines: HISTORY_PAGE,
                    conversation: None,
                    before: before(Some(bob())),
                    after: None,
                },
            ),
            (
                json!({"command": "history", "after": uuid::Uuid::nil(), "after_from": "bob"}),
                Command::History {
                    lines: HISTORY_PAGE,
                    conversation: None,
                    before: None,
                    after: Some(After { id: uuid::Uuid::nil(), from: Some(bob()) }),
                },
            ),
            (json!({"command": "conversations", "password": "secret"}), Command::Conversations),
            (
                json!({"command": "export", "file": "x.jsonl", "password": "secret"}),
                Command::Export { file: "x.jsonl".into(), conversation: None },
            ),
            (
                json!({"command": "forget", "conversation": {"room": "sala"}}),
                Command::Forget { conversation: in_sala() },
            ),
            (
                json!({"command": "receipts", "conversation": {"to": "bob"}}),
                Command::Receipts { conversation: Some(with_bob()) },
            ),
            (json!({"command": "outbox"}), Command::Outbox),
            (json!({"command": "filter"}), Command::Filter),
            (json!({"command": "away", "text": "lunch"}), Command::Away { text: Some("lunch".to_owned()) }),
            (json!({"command": "away"}), Command::Away { text: None }),
            (json!({"command": "back"}), Command::Back),
            (json!({"command": "withdraw", "message": "8a90"}), Command::Withdraw { id: "8a90".to_owned() }),
            (json!({"command": "unlock", "password": "secret"}), Command::Unlock { password: secret() }),
            (json!({"command": "block"}), Command::Block { user: None }),
            (json!({"command": "block", "user": "bob"}), Command::Block { user: Some(bob()) }),
            (json!({"command": "unblock", "user": "bob"}), Command::Unblock { user: bob() }),
            (json!({"command": "accept", "user": "bob"}), Command::Accept { user: bob() }),
            (json!({"command": "verify", "user": "bob"}), Command::Verify { user: bob() }),
            (json!({"command": "verified", "user": "bob"}), Command::Verified { user: bob() }),
            (json!({"command": "keys"}), Command::Account(AccountCommand::Keys)),
            (
                json!({"command": "endorse", "key": "9d61"}),
                Command::Account(AccountCommand::Endorse { key: "9d61".to_owned() }),
            ),
            (
                json!({"command": "revoke", "key": "9d61"}),
                Command::Account(AccountCommand::Revoke { key: "9d61".to_owned() }),
            ),
            (
                json!({"command": "password", "old": "secret", "new": "secret"}),
                Command::Account(AccountCommand::ChangePassword { old: secret(), new: secret() }),
            ),
            (
                json!({"command": "delete_account", "password": "secret"}),
                Command::Account(AccountCommand::Delete {
                    name: None,
                    password: Some(secret()),
                    rooms: RoomsFate::HandOn,
                }),
            ),
            (json!({"command": "quit"}), Command::Quit),
        ] {
            let Ok(Request { id: None, password, action: Action::Run(read) }) = parse(&line.to_string())
            else {
                panic!("{line} is refused: {:?}", parse(&line.to_string()).err())
            };
            // The Debug form of a command shows no field.
            assert!(read == command, "{line} is {:?}", serde_json::to_string(&read));
            let unlocks = line.get("password").is_some()
                && !["unlock", "delete_account"].contains(&line["command"].as_str().unwrap());
            assert_eq!(password.is_some(), unlocks, "{line}");
        }
        assert!(parse(r#"{"command":"help"}"#).unwrap().action == Action::Help);
    }

    #[test]
    fn ids_are_strings_or_integers_and_survive_a_refusal() {
        for id in [json!(7), json!(-1), json!(u64::MAX), json!("seven"), json!("")] {
            let read = parse(&json!({"id": id, "command": "rooms"}).to_string()).unwrap().id;
            assert_eq!(serde_json::to_value(read).unwrap(), id);
            let refused = parse(&json!({"id": id, "command": "dance"}).to_string()).unwrap_err().id;
            assert_eq!(serde_json::to_value(refused).unwrap(), id);
        }
        assert_eq!(parse(r#"{"id":null,"command":"rooms"}"#).unwrap().id, None);
        for id in ["1.5", "true", "[1]", "{}", "1e400"] {
            assert_eq!(parse(&format!(r#"{{"id":{id},"command":"rooms"}}"#)).unwrap_err().id, None, "{id}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_what_is_allowed() {
        assert!(refusal(r#"{"command":"lave"}"#).contains("did you mean \"leave\"?"));
        let all = refusal(r#"{"command":"frobnicate"}"#);
        assert!(COMMANDS.iter().all(|schema| all.contains(schema.name)), "{all}");
        let odd = refusal(r#"{"command":"say","text":"x","room":"sala"}"#);
        assert_eq!(odd, r#""say" does not take "room": its fields are "text", "conversation""#);
        assert!(refusal(r#"{"command":"quit","now":true}"#).contains("none but \"id\""));
        assert!(
            refusal(r#"{"command":"leave","room":"sala","conversation":{"to":"bob"}}"#).contains("not both")
        );
    }

    #[test]
    fn missing_or_wrongly_typed_fields_are_named() {
        for (line, named) in [
            (r#"{"command":"join"}"#, "\"join\" needs \"room\""),
            (r#"{"command":"join","room":null}"#, "\"join\" needs \"room\""),
            (r#"{"command":"join","room":[1]}"#, "a room's name"),
            (r#"{"command":"block","user":"Bob"}"#, "a user's name"),
            (r#"{"command":"say","text":""}"#, "not empty"),
            (r#"{"command":"say","text":"x","conversation":"sala"}"#, r#"{"room":…} or {"to":…}"#),
            (r#"{"command":"say","text":"x","conversation":{}}"#, r#"{"room":…} or {"to":…}"#),
            (
                r#"{"command":"say","text":"x","conversation":{"room":"a","to":"b"}}"#,
                r#"{"room":…} or {"to":…}"#,
            ),
            (r#"{"command":"history","lines":0}"#, "a whole number from 1"),
            (r#"{"command":"history","lines":1.5}"#, "a whole number from 1"),
            (r#"{"command":"withdraw","message":"8a9"}"#, "four digits"),
            (r#"{"command":"history","before":"8a90"}"#, "a whole message id"),
            (r#"{"command":"history","before_from":"bob"}"#, "needs \"before\""),
            (r#"{"command":"history","after_from":"bob"}"#, "needs \"after\""),
            (
                r#"{"command":"history","before":"01942150-43fb-7a5c-9c38-2f6d1b7e8a90","after":"01942150-43fb-7a5c-9c38-2f6d1b7e8a90"}"#,
                "not both",
            ),
            (r#"{"command":"delete_account"}"#, "needs \"password\""),
            (r#"{"command":7}"#, "\"command\" is a string"),
            (r#"{}"#, "\"command\" is missing"),
            ("[]", "no JSON object"),
            ("/quit", "no JSON"),
            (r#"{"command":"quit"} {"command":"quit"}"#, "no JSON"),
            (r#"{"command":"say","text":"x","text":"y"}"#, "\"text\" stands twice"),
            (r#"{"command":"say","text":"x","conversation":{"to":"a","to":"b"}}"#, "\"to\" stands twice"),
            ("", "no JSON"),
        ] {
            assert!(refusal(line).contains(named), "{line}: {}", refusal(line));
        }
    }

    #[test]
    fn refusal_repeats_nothing_of_the_request() {
        for line in [
            "canary",
            r#"{"command":"canary canary"}"#,
            r#"{"command":"join","room":" canary"}"#,
            r#"{"command":"block","user":"Canary"}"#,
            r#"{"command":"say","text":"x","canary canary":1}"#,
            r#"{"command":"unlock","password":["canary"]}"#,
            r#"{"command":"withdraw","message":"canary"}"#,
            r#"{"id":["canary"],"command":"quit"}"#,
            r#"{"command":"quit","canary 1":1,"canary 1":1}"#,
        ] {
            let refused = parse(line).unwrap_err();
            assert!(!format!("{refused:?}").to_lowercase().contains("canary"), "{refused:?}");
        }
    }
}
