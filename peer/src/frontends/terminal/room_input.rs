//! The parser of `/room` and its short forms: the commands of a room's owner as a person types them.

use commons::names::Username;
use commons::room_log::facts::Policy;

use crate::api::room_command::RoomCommand;
use crate::frontends::command_arguments::{self, ArgError};

/// The usage, one form for each action. Each action is also a command of its own.
const USAGE: &str = "/room, or /invite NAME, /uninvite NAME, /kick NAME, /ban NAME, /unban NAME, /give NAME, /successor [NAME], \
                     /topic TEXT, /policy open|invite";

/// Parses the text after `/room`: nothing, or an action. An error is a text for the person.
pub(crate) fn parse(text: &str) -> Result<RoomCommand, String> {
    let (action, rest) = text.split_once(' ').map_or((text, ""), |(action, rest)| (action, rest.trim()));
    if action.is_empty() {
        return Ok(RoomCommand::Room { room: None });
    }
    command(action, rest).unwrap_or_else(|| Err(format!("type {USAGE}")))
}

/// Parses an action that is typed as a command, such as `/invite bob`. Returns `None` for any other name.
pub(crate) fn shorthand(name: &str, rest: &str) -> Option<Result<RoomCommand, String>> {
    command(name.strip_prefix('/')?, rest.trim())
}

/// Splits the rule off a room's name: `sala invite`. A rule alone is a name.
pub(crate) fn policy_behind(text: &str) -> (&str, Policy) {
    match text.rsplit_once(' ') {
        Some((room, "open")) => (room.trim_end(), Policy::Open),
        Some((room, "invite")) => (room.trim_end(), Policy::Invite),
        _ => (text, Policy::default()),
    }
}

fn command(action: &str, rest: &str) -> Option<Result<RoomCommand, String>> {
    let room = None;
    let named = || user(action, rest);
    Some(match action {
        "invite" => named().map(|user| RoomCommand::Invite { room, user }),
        "uninvite" => named().map(|user| RoomCommand::Uninvite { room, user }),
        "kick" => named().map(|user| RoomCommand::Kick { room, user }),
        "ban" => named().map(|user| RoomCommand::Ban { room, user }),
        "unban" => named().map(|user| RoomCommand::Unban { room, user }),
        "give" => named().map(|user| RoomCommand::Give { room, user }),
        "successor" if rest.is_empty() => Ok(RoomCommand::Successor { room, user: None }),
        "successor" => named().map(|user| RoomCommand::Successor { room, user: Some(user) }),
        "topic" => Ok(RoomCommand::Topic { room, text: rest.to_owned() }),
        "policy" => match rest {
            "open" => Ok(RoomCommand::Policy { room, policy: Policy::Open }),
            "invite" => Ok(RoomCommand::Policy { room, policy: Policy::Invite }),
            _ => Err("type /policy open, or /policy invite".to_owned()),
        },
        _ => return None,
    })
}

fn user(action: &str, text: &str) -> Result<Username, String> {
    command_arguments::user(text).map_err(|wrong| match wrong {
        ArgError::Name(error) => format!("{error} (/{action} NAME)"),
        _ => format!("type /{action} NAME"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    #[test]
    fn action_is_typed_behind_room_or_alone() {
        let room = None;
        for (typed, expected) in [
            ("invite @bob", RoomCommand::Invite { room: room.clone(), user: bob() }),
            ("kick  bob", RoomCommand::Kick { room: room.clone(), user: bob() }),
            ("successor", RoomCommand::Successor { room: room.clone(), user: None }),
            ("topic", RoomCommand::Topic { room: room.clone(), text: String::new() }),
            ("topic tea at five", RoomCommand::Topic { room: room.clone(), text: "tea at five".to_owned() }),
            ("policy invite", RoomCommand::Policy { room, policy: Policy::Invite }),
        ] {
            assert_eq!(parse(typed), Ok(expected.clone()), "{typed}");
            let (name, rest) = typed.split_once(' ').unwrap_or((typed, ""));
            assert_eq!(shorthand(&format!("/{name}"), rest), Some(Ok(expected)), "{typed}");
        }
        assert_eq!(parse(""), Ok(RoomCommand::Room { room: None }));
        assert_eq!(shorthand("/dance", ""), None);
        for wrong in ["invite", "kick two words", "policy", "dance"] {
            assert!(parse(wrong).unwrap_err().contains('/'), "{wrong}");
        }
    }

    #[test]
    fn last_word_of_create_may_be_the_rule() {
        assert_eq!(policy_behind("sala invite"), ("sala", Policy::Invite));
        assert_eq!(policy_behind("our sala open"), ("our sala", Policy::Open));
        assert_eq!(policy_behind("invite"), ("invite", Policy::Open));
        assert_eq!(policy_behind("sala closed"), ("sala closed", Policy::Open));
    }
}
