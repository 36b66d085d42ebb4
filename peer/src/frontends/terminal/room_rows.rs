//! The rows about a room. Pure.
//!
//! They show its members and its changes.

use commons::counted::counted;
use commons::names::{RoomName, Username};
use commons::snapshot::{ChangeKind, RoomSnapshot};

use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tables::Tables;

/// Renders rooms for a user.
pub(crate) struct RoomRows<'a> {
    pub(crate) paint: Style,
    pub(crate) you: &'a Username,
}

impl RoomRows<'_> {
    /// Renders the header of a room that is opened.
    pub(crate) fn header(&self, room: &RoomSnapshot) -> Vec<String> {
        let tables = Tables { paint: self.paint, you: Some(self.you), columns: None };
        let members = room.members.iter().map(|member| {
            let text = tables.presence(member);
            match member.connected {
                true => self.paint.of_user(member.username.as_str(), &text),
                false => self.paint.faint(&text),
            }
        });
        let members: Vec<_> = members.collect();
        let free = match room.capacity.saturating_sub(room.members.len()) {
            0 => "full".to_owned(),
            free => counted(free, "seat free", "seats free"),
        };
        let owner =
            if room.owner == *self.you { "yours".to_owned() } else { format!("owner {}", room.owner) };
        let title = format!("── {} ── {owner}, {free}", sanitize(&room.name));
        vec![self.paint.system(&title), format!("   {}", members.join("  "))]
    }

    /// Renders the offer of a room in which this user has a seat.
    pub(crate) fn available(&self, room: &RoomName) -> String {
        let room = sanitize(room);
        self.paint.system(&format!(
            "*** you have a seat in {room}, which is new to this computer: /join {room} enters it"
        ))
    }

    /// Renders an invitation to a room.
    pub(crate) fn invitation(&self, room: &RoomName, by: &Username) -> String {
        let room = sanitize(room);
        self.paint.system(&format!("*** {by} invites you to {room}: /join {room} enters it"))
    }

    /// Renders a change of a room; `here` is true for the open one.
    pub(crate) fn change(&self, name: &RoomName, change: ChangeKind, user: &Username, here: bool) -> String {
        let name = if here { String::new() } else { format!(" {}", sanitize(name)) };
        let of = if here { String::new() } else { format!(" (in{name})") };
        self.paint.system(&match change {
            ChangeKind::Joined => format!("*** {user} joined{name}"),
            ChangeKind::Left => format!("*** {user} left{name}"),
            ChangeKind::Offline => format!("*** {user} went offline, the seat is kept{of}"),
            ChangeKind::Online => format!("*** {user} is back{of}"),
            ChangeKind::Deleted => format!("*** {user} deleted{name}"),
            ChangeKind::Changed => format!("*** {user} changed the room{of}"),
        })
    }
}
