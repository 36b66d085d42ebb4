//! The parser of `/admin`: the commands of admins as a person types them.

use std::time::Duration;

use commons::address_range::AddressRange;
use commons::names::{NameError, RoomName, Username};
use commons::protocol::administration::{BanTarget, NewBan};
use commons::time_forms::TIME_FORMS;

use crate::api::administration::AdminCommand;

/// The usage, one form for each task.
const USAGE: &str = "/admin kick NAME, ban NAME|ADDRESS [TIME], unban NAME|ADDRESS, bans, announce TEXT, delete-room ROOM, \
                     or remove NAME. TIME is like 10m, 2h or 7d";

/// Parses the text after `/admin`. An error is a text for the person.
pub(crate) fn parse(text: &str) -> Result<AdminCommand, String> {
    let (task, rest) = text.split_once(' ').map_or((text, ""), |(task, rest)| (task, rest.trim()));
    match (task, rest) {
        ("bans", "") => Ok(AdminCommand::AdminBans),
        (_, "") => Err(format!("type {USAGE}")),
        ("kick", name) => Ok(AdminCommand::AdminKick { user: user(name)? }),
        ("ban", rest) => {
            let (subject, time) =
                rest.split_once(' ').map_or((rest, None), |(subject, time)| (subject, Some(time)));
            let seconds = time.map(|time| seconds(time.trim())).transpose()?;
            Ok(AdminCommand::AdminBan(NewBan { target: target(subject)?, seconds }))
        }
        ("unban", subject) => Ok(AdminCommand::AdminUnban(target(subject)?)),
        ("announce", text) => Ok(AdminCommand::AdminAnnounce { text: text.to_owned() }),
        ("delete-room", name) => {
            Ok(AdminCommand::AdminDeleteRoom { room: RoomName::parse(name).map_err(|error| wrong(&error))? })
        }
        ("remove", name) => Ok(AdminCommand::AdminRemove { user: user(name)? }),
        _ => Err(format!("type {USAGE}")),
    }
}

fn user(text: &str) -> Result<Username, String> {
    Username::parse(text.strip_prefix('@').unwrap_or(text)).map_err(|error| wrong(&error))
}

/// Parses the subject of a ban. A text that is an address is one; `@` marks a user with such a name.
fn target(text: &str) -> Result<BanTarget, String> {
    match text.parse::<AddressRange>() {
        Ok(range) => Ok(BanTarget { user: None, address: Some(range.to_string()) }),
        Err(error) if text.contains('/') => Err(error.to_string()),
        Err(_) => Ok(BanTarget { user: Some(user(text)?.as_str().to_owned()), address: None }),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let time = humantime::parse_duration(text).map_err(|_| TIME_FORMS.to_owned())?;
    // A ban of less than a second would end before it holds.
    Ok(time.max(Duration::from_secs(1)).as_secs())
}

fn wrong(error: &NameError) -> String {
    format!("{error} (/admin)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_name(name: &str) -> BanTarget {
        BanTarget { user: Some(name.to_owned()), address: None }
    }

    fn by_address(address: &str) -> BanTarget {
        BanTarget { user: None, address: Some(address.to_owned()) }
    }

    #[test]
    fn every_task_of_an_admin_is_read() {
        let bob = || Username::parse("bob").unwrap();
        let ban = |target, seconds| AdminCommand::AdminBan(NewBan { target, seconds });
        for (text, command) in [
            ("kick bob", AdminCommand::AdminKick { user: bob() }),
            ("ban bob", ban(by_name("bob"), None)),
            ("ban @bob 2h", ban(by_name("bob"), Some(7200))),
            ("ban 192.0.2.7/24 7d", ban(by_address("192.0.2.0/24"), Some(604_800))),
            ("ban @192.0.2.7 1ms", ban(by_name("192.0.2.7"), Some(1))),
            ("unban ::1", AdminCommand::AdminUnban(by_address("::1"))),
            ("bans", AdminCommand::AdminBans),
            ("announce restart at noon", AdminCommand::AdminAnnounce { text: "restart at noon".to_owned() }),
            (
                "delete-room my room",
                AdminCommand::AdminDeleteRoom { room: RoomName::parse("my room").unwrap() },
            ),
            ("remove bob", AdminCommand::AdminRemove { user: bob() }),
        ] {
            assert_eq!(parse(text), Ok(command), "{text}");
        }
        for bad in ["", "kick", "dance bob", "ban bob soon", "ban 192.0.2.7/99", "kick Bob", "bans now"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("ban bob soon"), Err(TIME_FORMS.to_owned()));
    }
}
