//! The tasks of administration on the command line, and the commands that they send to the running tracker.

use std::time::Duration;

use clap::Subcommand;
use commons::address_range::AddressRange;
use commons::names::{RoomName, Username};
use commons::protocol::administration::{AdminRequest, BanTarget, NewBan};
use commons::protocol::page::Page;
use tracker::config::length_of_time;
use tracker::operator::OperatorCommand;

/// The tasks of administration. The tracker must run.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminTask {
    /// Make a user an admin, by a key of the user
    Add {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
        /// The first 16 digits or more of the user's key, as /keys shows it to the user; needed if there are several
        #[arg(long, value_name = "DIGITS")]
        key: Option<String>,
    },
    /// Take the role of an admin away
    Remove {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
    },
    /// List the admins
    List,
    /// End the session of a user
    Kick {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
    },
    /// Ban a user, an address or a network
    Ban {
        /// A user name, or an address such as 192.0.2.7 or 192.0.2.0/24
        #[arg(value_name = "NAME|ADDRESS", value_parser = target)]
        target: BanTarget,
        /// The time until the ban ends, such as 10m, 2h or 7d [default: never]
        #[arg(value_name = "TIME", value_parser = length_of_time)]
        time: Option<Duration>,
    },
    /// Lift a ban
    Unban {
        /// The user name, or the address
        #[arg(value_name = "NAME|ADDRESS", value_parser = target)]
        target: BanTarget,
    },
    /// List the bans
    Bans,
    /// Send a text to all users who are signed in
    Announce {
        /// The text: one line
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Delete a room of any user
    DeleteRoom {
        /// The name of the room
        #[arg(value_name = "ROOM", value_parser = RoomName::parse)]
        room: RoomName,
    },
    /// Delete the account of a user
    RemoveUser {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
    },
}

/// Reads the subject of a ban. A text that is an address is one, although a user could have that name.
fn target(text: &str) -> Result<BanTarget, String> {
    if text.contains('/') || text.parse::<AddressRange>().is_ok() {
        let range = text.parse::<AddressRange>().map_err(|error| error.to_string())?;
        return Ok(BanTarget { user: None, address: Some(range.to_string()) });
    }
    let username = Username::parse(text).map_err(|error| error.to_string())?;
    Ok(BanTarget { user: Some(username.as_str().to_owned()), address: None })
}

impl AdminTask {
    /// The command for the running tracker.
    pub(crate) fn command(self) -> OperatorCommand {
        let user = |username: Username| username.as_str().to_owned();
        let request = match self {
            Self::Add { username, key } => return OperatorCommand::AddAdmin { user: user(username), key },
            Self::Remove { username } => return OperatorCommand::RemoveAdmin { user: user(username) },
            Self::List => return OperatorCommand::Admins,
            Self::Kick { username } => AdminRequest::Kick { user: user(username) },
            Self::Ban { target, time } => {
                // A ban of less than a second would end before it holds.
                AdminRequest::Ban(NewBan { target, seconds: time.map(|time| time.as_secs().max(1)) })
            }
            Self::Unban { target } => AdminRequest::Unban(target),
            Self::Bans => AdminRequest::Bans(Page::default()),
            Self::Announce { text } => AdminRequest::Announce { text },
            Self::DeleteRoom { room } => AdminRequest::AdminDeleteRoom { room: room.as_str().to_owned() },
            Self::RemoveUser { username } => AdminRequest::RemoveUser { user: user(username) },
        };
        OperatorCommand::Admin(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_of_a_ban_is_an_address_or_a_name() {
        let address = |text: &str| target(text).unwrap().address;
        assert_eq!(address("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(address("192.0.2.7/24").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(address("::1").as_deref(), Some("::1"));
        assert_eq!(target("bob").unwrap().user.as_deref(), Some("bob"));
        assert!(target("192.0.2.7/99").is_err() && target("Bob").is_err() && target("").is_err());
    }
}
