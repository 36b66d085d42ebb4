//! The table of commands that a person can type.
//!
//! It drives the parser, `/help` and completion.

use commons::nearest;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::administration::AdminCommand;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::frontends::command_arguments::{
    ArgError, conversation, deletion, export, history, line_id, new_room, optional, room, some, split_word,
    user,
};
use crate::frontends::terminal::admin_input;
use crate::frontends::terminal::room_input;

/// The meaning of a line of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedInput {
    /// The line is empty.
    Nothing,
    /// Show the list of commands, or one of them.
    Help(Option<&'static Spec>),
    /// Show the messages before those that were shown last.
    More,
    /// Change the password; both passwords are asked for and not shown.
    NewPassword,
    /// Run a command of the peer.
    Run(Command),
}

impl ParsedInput {
    /// Returns true if the line appears again above the input as soon as it is sent.
    pub(crate) fn is_talk(&self) -> bool {
        matches!(self, Self::Nothing | Self::Run(Command::Say { .. }))
    }
}

/// The kind of an argument, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// No argument, or any text.
    Nothing,
    /// The name of a room.
    Room,
    /// The name of a user.
    User,
    /// A room or `@user`.
    Conversation,
    /// The name of a command.
    Command,
}

/// A command: one row of the table.
#[derive(Debug)]
pub struct Spec {
    /// The name of the command, with its slash.
    pub name: &'static str,
    /// Other names of the same command.
    pub aliases: &'static [&'static str],
    /// The arguments, in capitals; optional ones stand in brackets.
    pub arguments: &'static str,
    /// A short description of the command.
    pub help: &'static str,
    /// The kind of its first argument.
    pub takes: ArgKind,
    build: fn(&str) -> Result<ParsedInput, ArgError>,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

/// All commands, in the order in which `/help` shows them.
pub const COMMANDS: &[Spec] = &[
    spec("/rooms", &[], "", "which rooms there are", ArgKind::Nothing, |_| run(Command::Rooms)),
    spec("/peers", &[], "", "who is online", ArgKind::Nothing, |_| run(Command::Peers)),
    spec(
        "/create",
        &[],
        "ROOM [RULE]",
        "create a room; RULE is open or invite, with a signed log",
        ArgKind::Nothing,
        |rest| {
            let (room, policy) = room_input::policy_behind(rest);
            run(Command::Create { room: new_room(room)?, policy })
        },
    ),
    spec("/join", &[], "ROOM", "enter a room", ArgKind::Room, |rest| {
        run(Command::Join { room: room(rest)? })
    }),
    spec("/users", &[], "", "who is in this conversation", ArgKind::Nothing, |_| {
        run(Command::Users { conversation: None })
    }),
    spec("/room", &[], "[ACTION]", "this room by its signed log, or change it", ArgKind::Nothing, |rest| {
        room_input::parse(rest).map_err(ArgError::Admin).and_then(|command| run(Command::Room(command)))
    }),
    spec("/msg", &[], "USER [TEXT]", "talk in private; without text, open the chat", ArgKind::User, |rest| {
        private(rest)
    }),
    spec("/switch", &[], "ROOM|@USER", "show another conversation", ArgKind::Conversation, |rest| {
        run(Command::Open { conversation: conversation(rest)? })
    }),
    spec(
        "/leave",
        &["/sair"],
        "[ROOM]",
        "leave this conversation, or the named one",
        ArgKind::Conversation,
        |rest| run(Command::Leave { conversation: optional(rest, conversation)? }),
    ),
    spec("/delete", &["/deletar_sala"], "[ROOM]", "end a room that is yours", ArgKind::Room, |rest| {
        run(Command::Delete { room: optional(rest, room)? })
    }),
    spec("/conversations", &[], "", "conversations on this device, ended ones too", ArgKind::Nothing, |_| {
        run(Command::Conversations)
    }),
    spec(
        "/history",
        &[],
        "[N] [ROOM]",
        "what was said here before, or in ROOM or @USER",
        ArgKind::Conversation,
        |rest| {
            let (lines, conversation) = history(rest)?;
            run(Command::History { lines, conversation, before: None, after: None })
        },
    ),
    spec(
        "/search",
        &[],
        "WORDS",
        "find messages; from:USER in:ROOM|@USER since:DAY until:DAY",
        ArgKind::Nothing,
        |rest| run(Command::Search { words: some(rest)?.to_owned(), before: None }),
    ),
    spec("/more", &[], "", "what is older than what /history or /search has shown", ArgKind::Nothing, |_| {
        Ok(ParsedInput::More)
    }),
    spec("/show", &[], "ID", "the whole of a message that is folded or hidden", ArgKind::Nothing, |rest| {
        run(Command::Show { id: line_id(rest)? })
    }),
    spec("/filter", &[], "", "your filter of words, and its file", ArgKind::Nothing, |_| {
        run(Command::Filter)
    }),
    spec("/away", &[], "[TEXT]", "show that you are away, until you write", ArgKind::Nothing, |rest| {
        run(Command::Away { text: Some(rest.to_owned()).filter(|text| !text.is_empty()) })
    }),
    spec("/back", &[], "", "show that you are back", ArgKind::Nothing, |_| run(Command::Back)),
    spec("/receipts", &[], "", "who has your last messages", ArgKind::Nothing, |_| {
        run(Command::Receipts { conversation: None })
    }),
    spec("/outbox", &[], "", "your messages that wait, and for whom", ArgKind::Nothing, |_| {
        run(Command::Outbox)
    }),
    spec("/withdraw", &[], "ID", "withdraw a message that nobody has confirmed", ArgKind::Nothing, |rest| {
        run(Command::Withdraw { id: line_id(rest)? })
    }),
    spec(
        "/export",
        &[],
        "FILE",
        "write this conversation, or the one behind in:, to a new file",
        ArgKind::Nothing,
        |rest| {
            let (file, conversation) = export(rest)?;
            run(Command::Export { file: file.into(), conversation })
        },
    ),
    spec(
        "/forget",
        &[],
        "ROOM|@USER",
        "erase it on this computer; see /conversations",
        ArgKind::Conversation,
        |rest| run(Command::Forget { conversation: conversation(rest)? }),
    ),
    spec("/whoami", &[], "", "your name and the state of your connections", ArgKind::Nothing, |_| {
        run(Command::WhoAmI)
    }),
    spec("/block", &[], "[NAME]", "block somebody's private messages, or list whom", ArgKind::User, |rest| {
        run(Command::Block { user: optional(rest, user)? })
    }),
    spec("/unblock", &[], "NAME", "receive a user's private messages again", ArgKind::User, |rest| {
        run(Command::Unblock { user: user(rest)? })
    }),
    spec(
        "/mute",
        &[],
        "[NAME]",
        "do not show somebody's messages in rooms, or list whom",
        ArgKind::User,
        |rest| run(Command::Mute { user: optional(rest, user)? }),
    ),
    spec("/unmute", &[], "NAME", "show somebody's messages in rooms again", ArgKind::User, |rest| {
        run(Command::Unmute { user: user(rest)? })
    }),
    spec(
        "/accept-chat",
        &[],
        "USER",
        "accept the private chat that a user asks for",
        ArgKind::User,
        |rest| run(Command::AcceptChat { user: user(rest)? }),
    ),
    spec("/verify", &[], "USER", "the safety number to compare with a user", ArgKind::User, |rest| {
        run(Command::Verify { user: user(rest)? })
    }),
    spec("/verified", &[], "USER", "record that the safety numbers are equal", ArgKind::User, |rest| {
        run(Command::Verified { user: user(rest)? })
    }),
    spec("/accept", &[], "USER", "accept a user's changed key", ArgKind::User, |rest| {
        run(Command::Accept { user: user(rest)? })
    }),
    spec("/keys", &[], "", "your device keys: each device has one", ArgKind::Nothing, |_| {
        run(Command::Account(AccountCommand::Keys))
    }),
    spec("/endorse", &[], "KEY", "endorse the key of your newer device", ArgKind::Nothing, |rest| {
        run(Command::Account(AccountCommand::Endorse { key: some(rest)?.to_owned() }))
    }),
    spec("/revoke", &[], "KEY", "take a key away, as of a computer that is lost", ArgKind::Nothing, |rest| {
        run(Command::Account(AccountCommand::Revoke { key: some(rest)?.to_owned() }))
    }),
    spec("/password", &[], "", "change your password", ArgKind::Nothing, |_| Ok(ParsedInput::NewPassword)),
    spec(
        "/delete-account",
        &[],
        "",
        "delete your account; +rooms: its rooms too",
        ArgKind::Nothing,
        |rest| {
            let (name, rooms) = deletion(rest);
            run(Command::Account(AccountCommand::Delete {
                name: optional(name, user)?,
                password: None,
                rooms,
            }))
        },
    ),
    spec("/sessions", &[], "", "for admins: the sessions of the tracker", ArgKind::Nothing, |_| {
        run(Command::Admin(AdminCommand::Sessions))
    }),
    spec("/admin", &[], "ACTION", "for admins: act on users, rooms and bans", ArgKind::Nothing, |rest| {
        admin_input::parse(rest).map_err(ArgError::Admin).and_then(|command| run(Command::Admin(command)))
    }),
    spec("/help", &[], "[COMMAND]", "this list", ArgKind::Command, |rest| {
        Ok(ParsedInput::Help(optional(rest, |name| {
            find(name).ok_or_else(|| ArgError::Unknown(name.to_owned()))
        })?))
    }),
    spec("/quit", &["/exit"], "", "sign out; memberships stay", ArgKind::Nothing, |_| run(Command::Quit)),
];

const fn spec(
    name: &'static str,
    aliases: &'static [&'static str],
    arguments: &'static str,
    help: &'static str,
    takes: ArgKind,
    build: fn(&str) -> Result<ParsedInput, ArgError>,
) -> Spec {
    Spec { name, aliases, arguments, help, takes, build }
}

fn run(command: Command) -> Result<ParsedInput, ArgError> {
    Ok(ParsedInput::Run(command))
}

/// Parses the arguments of `/msg`: `bob` opens the chat with bob, `bob text` sends a message and opens nothing.
fn private(rest: &str) -> Result<ParsedInput, ArgError> {
    let (name, text) = split_word(rest);
    let to = user(name)?;
    run(match text {
        "" => Command::Open { conversation: Conversation::Private(to) },
        text => Command::send_private(to, text),
    })
}

impl Spec {
    /// Returns the form in which the command is typed, for example `/join ROOM`.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }

    fn wrong(&self, wrong: ArgError) -> CommandError {
        CommandError::Usage(match wrong {
            ArgError::Missing => format!("type {}: {}", self.usage(), self.help),
            ArgError::Not(what) => format!("{what} ({})", self.usage()),
            ArgError::Name(error) => format!("{error} ({})", self.usage()),
            ArgError::Admin(text) => text,
            ArgError::Unknown(name) => return unknown(&format!("/{}", name.trim_start_matches('/'))),
        })
    }
}

/// Returns the command of this name or alias, with or without its slash.
pub(crate) fn find(name: &str) -> Option<&'static Spec> {
    let name = name.strip_prefix('/').unwrap_or(name);
    COMMANDS.iter().find(|spec| {
        std::iter::once(&spec.name).chain(spec.aliases).any(|known| known.strip_prefix('/') == Some(name))
    })
}

/// Parses a line of input. A bare `sair` leaves the open conversation, if there is one.
pub fn parse(line: &str, conversation_open: bool) -> Result<ParsedInput, CommandError> {
    let line = line.trim_end();
    match line.trim_start() {
        "" => return Ok(ParsedInput::Nothing),
        "sair" if conversation_open => return Ok(ParsedInput::Run(Command::Leave { conversation: None })),
        "sair" | "exit" => return Ok(ParsedInput::Run(Command::Quit)),
        _ => {}
    }
    if let Some(text) = line.strip_prefix("//") {
        return Ok(ParsedInput::Run(Command::say(format!("/{text}"))));
    }
    if let Some(rest) = line.strip_prefix('@') {
        let wrong = |wrong| match wrong {
            ArgError::Missing | ArgError::Not(_) => {
                CommandError::Usage("type @name and the text, as in: @bob hi".to_owned())
            }
            ArgError::Name(error) => CommandError::Usage(format!("{error} (@name text)")),
            ArgError::Unknown(name) => unknown(&name),
            ArgError::Admin(text) => CommandError::Usage(text),
        };
        return private(rest).map_err(wrong);
    }
    if !line.starts_with('/') {
        return Ok(ParsedInput::Run(Command::say(line)));
    }
    let (name, rest) = split_word(line);
    let Some(spec) = find(name) else {
        let short = room_input::shorthand(name, rest).ok_or_else(|| unknown(name))?;
        return Ok(ParsedInput::Run(Command::Room(short.map_err(CommandError::Usage)?)));
    };
    (spec.build)(rest).map_err(|wrong| spec.wrong(wrong))
}

fn unknown(name: &str) -> CommandError {
    CommandError::Usage(match nearest(name) {
        Some(near) => format!("there is no {name}: did you mean {near}?"),
        None => format!(
            "there is no {name}: /help lists what there is, //text says a text that starts with a slash"
        ),
    })
}

/// Returns the command that the user probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let names =
        COMMANDS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    nearest::of(name, names)
}

#[cfg(test)]
mod tests {
    use commons::names::{RoomName, Username};
    use commons::protocol::with_tracker::RoomsFate;
    use commons::room_log::facts::Policy;

    use super::*;
    use crate::limits::HISTORY_PAGE;

    fn sala() -> RoomName {
        RoomName::parse("sala").unwrap()
    }

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn say(text: &str) -> Command {
        Command::say(text)
    }

    fn leave(conversation: Option<Conversation>) -> Command {
        Command::Leave { conversation }
    }

    // The Debug form of a command shows no field, so the test compares the lines of input.
    fn assert_runs(line: &str, open: bool, command: &Command) {
        assert!(
            parse(line, open) == Ok(ParsedInput::Run(command.clone())),
            "{line:?} is {:?}",
            serde_json::to_string(command)
        );
    }

    fn refusal(line: &str) -> String {
        parse(line, true).unwrap_err().to_string()
    }

    #[test]
    fn every_typed_line_means_what_the_help_says() {
        let private = || Conversation::Private(bob());
        for (line, command) in [
            ("hello  there ", say("hello  there")),
            ("//help", say("/help")),
            ("two\nlines", say("two\nlines")),
            ("@bob hi there", Command::send_private(bob(), "hi there")),
            ("@bob", Command::Open { conversation: private() }),
            ("/msg bob hi\nthere", Command::send_private(bob(), "hi\nthere")),
            ("/msg @bob", Command::Open { conversation: private() }),
            ("/create sala", Command::Create { room: sala(), policy: Policy::Open }),
            (
                "/create  São João ",
                Command::Create { room: RoomName::parse("São João").unwrap(), policy: Policy::Open },
            ),
            ("/join Sa\u{303}o Joa\u{303}o", Command::Join { room: RoomName::parse("São João").unwrap() }),
            ("/switch sala", Command::Open { conversation: Conversation::Room(sala()) }),
            ("/switch @bob", Command::Open { conversation: private() }),
            ("/leave", leave(None)),
            ("/leave sala", leave(Some(Conversation::Room(sala())))),
            ("/leave @bob", leave(Some(private()))),
            ("/sair", leave(None)),
            ("sair", leave(None)),
            ("/delete", Command::Delete { room: None }),
            ("/deletar_sala sala", Command::Delete { room: Some(sala()) }),
            ("/peers", Command::Peers),
            ("/rooms", Command::Rooms),
            ("/users", Command::Users { conversation: None }),
            ("/whoami", Command::WhoAmI),
            ("/block", Command::Block { user: None }),
            ("/block @bob", Command::Block { user: Some(bob()) }),
            ("/unblock bob", Command::Unblock { user: bob() }),
            ("/mute", Command::Mute { user: None }),
            ("/mute bob", Command::Mute { user: Some(bob()) }),
            ("/unmute @bob", Command::Unmute { user: bob() }),
            ("/accept-chat @bob", Command::AcceptChat { user: bob() }),
            ("/keys", Command::Account(AccountCommand::Keys)),
            ("/revoke 9d61b19d", Command::Account(AccountCommand::Revoke { key: "9d61b19d".into() })),
            (
                "/delete-account bob",
                Command::Account(AccountCommand::Delete {
                    name: Some(bob()),
                    password: None,
                    rooms: RoomsFate::HandOn,
                }),
            ),
            (
                "/delete-account +rooms",
                Command::Account(AccountCommand::Delete {
                    name: None,
                    password: None,
                    rooms: RoomsFate::Delete,
                }),
            ),
            (
                "/history",
                Command::History { lines: HISTORY_PAGE, conversation: None, before: None, after: None },
            ),
            ("/history 5", Command::History { lines: 5, conversation: None, before: None, after: None }),
            (
                "/history 5 @bob",
                Command::History { lines: 5, conversation: Some(private()), before: None, after: None },
            ),
            (
                "/history sala",
                Command::History {
                    lines: HISTORY_PAGE,
                    conversation: Some(Conversation::Room(sala())),
                    before: None,
                    after: None,
                },
            ),
            ("/search olá  mundo ", Command::Search { words: "olá  mundo".into(), before: None }),
            ("/conversations", Command::Conversations),
            ("/receipts", Command::Receipts { conversation: None }),
            ("/outbox", Command::Outbox),
            ("/filter", Command::Filter),
            ("/away", Command::Away { text: None }),
            ("/away at  lunch", Command::Away { text: Some("at  lunch".into()) }),
            ("/back", Command::Back),
            ("/show 8A90AB", Command::Show { id: "8a90ab".into() }),
            ("/withdraw 8A90", Command::Withdraw { id: "8a90".into() }),
            (
                "/export chat of may.jsonl",
                Command::Export { file: "chat of may.jsonl".into(), conversation: None },
            ),
            (
                "/export chat of may.jsonl in:sala",
                Command::Export {
                    file: "chat of may.jsonl".into(),
                    conversation: Some(Conversation::Room(sala())),
                },
            ),
            ("/forget sala", Command::Forget { conversation: Conversation::Room(sala()) }),
            ("/forget @bob", Command::Forget { conversation: private() }),
            ("/quit", Command::Quit),
            ("/exit", Command::Quit),
            (" exit ", Command::Quit),
        ] {
            assert_runs(line, true, &command);
        }
        assert_runs("sair", false, &Command::Quit);
        assert_runs("sair daqui", true, &say("sair daqui"));
        assert!(parse("  \t", true) == Ok(ParsedInput::Nothing));
        assert!(parse("/password", true) == Ok(ParsedInput::NewPassword));
        assert!(parse("/more", true) == Ok(ParsedInput::More));
        assert!(parse("/help", true) == Ok(ParsedInput::Help(None)));
        assert!(parse("/help join", true) == Ok(ParsedInput::Help(find("/join"))));
    }

    #[test]
    fn misspelt_command_is_answered_with_a_suggestion() {
        assert!(refusal("/jion sala").contains("did you mean /join?"));
        assert!(refusal("/he").contains("did you mean /help?"));
        assert!(refusal("/frobnicate").contains("/help lists"));
    }

    #[test]
    fn missing_or_invalid_argument_is_answered_with_the_usage() {
        assert!(refusal("/join").contains("/join ROOM"));
        assert!(refusal("/msg").contains("/msg USER [TEXT]"));
        assert!(refusal("/msg Bob hi").contains("try bob"));
        assert!(refusal("@ hi").contains("@bob hi"));
        assert!(refusal("/forget").contains("/forget ROOM|@USER"));
        for line in ["/history 0", "/history -1", "/history 0 sala"] {
            assert!(refusal(line).contains("number"), "{line}");
        }
        for line in ["/withdraw 8a9", "/withdraw hello"] {
            assert!(refusal(line).contains("/outbox"), "{line}");
        }
    }

    #[test]
    fn the_table_names_every_command_once() {
        let mut names: Vec<_> =
            COMMANDS.iter().flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases)).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| name.starts_with('/')));
    }
}
