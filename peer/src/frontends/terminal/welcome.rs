//! The first screen. Pure.
//!
//! It shows the user's name, the other users, the rooms, and the next command to type.

use commons::counted::counted;
use commons::names::Username;
use commons::protocol::listed_peer::ListedPeer;
use commons::snapshot::RoomSnapshot;

use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::style::Style;

/// Names on the first screen: enough for a glance, `/rooms` and `/peers` show all.
const NAMED: usize = 8;

/// Renders the greeting of a user.
pub(crate) struct Welcome<'a> {
    pub(crate) paint: Style,
    pub(crate) you: &'a Username,
}

impl Welcome<'_> {
    pub(crate) fn rows(&self, peers: &[ListedPeer], rooms: &[RoomSnapshot], waiting: usize) -> Vec<String> {
        let names = peers.iter().map(|peer| sanitize(&peer.username));
        let others: Vec<_> = names.filter(|name| name != self.you.as_str()).collect();
        let summary = |room: &RoomSnapshot| {
            format!("{} {}/{}", sanitize(&room.name), room.members.len(), room.capacity)
        };
        let summaries: Vec<_> = rooms.iter().map(summary).collect();
        let free = rooms.iter().find(|room| can_enter(room, self.you));
        let enter = match free {
            Some(room) => format!("/join {}", sanitize(&room.name)),
            None => format!("/create {}", new_room(rooms)),
        };
        let whisper = others.first().map(|name| format!("@{name} hi"));
        let next: Vec<_> = [Some(enter), whisper, Some("/help".to_owned())].into_iter().flatten().collect();
        let you = self.paint.of_user(self.you.as_str(), self.you.as_str());
        let rows = [
            format!("{} {you}.", self.paint.system("Welcome,")),
            format!("  {}  {}", self.paint.faint("online"), glance(&others, "nobody else yet")),
            format!("  {}   {}", self.paint.faint("rooms"), glance(&summaries, "none yet")),
            format!("  {}     {}", self.paint.faint("try"), self.paint.strong(&next.join("   "))),
        ];
        rows.into_iter().chain(self.waiting(waiting)).collect()
    }

    /// Renders the greeting without a session with the tracker at this address, which knows the users and rooms.
    pub(crate) fn offline_rows(&self, tracker: &str, waiting: usize) -> Vec<String> {
        let you = self.paint.of_user(self.you.as_str(), self.you.as_str());
        let rows = [
            format!("{} {you}.", self.paint.system("Welcome,")),
            format!("  {} no answer at {}: looking for it", self.paint.faint("tracker"), sanitize(tracker)),
            format!("  {}  --tracker HOST:PORT; your account comes along", self.paint.faint("moved?")),
        ];
        rows.into_iter().chain(self.waiting(waiting)).collect()
    }

    fn waiting(&self, messages: usize) -> Option<String> {
        let words = counted(messages, "message of yours", "messages of yours");
        (messages > 0).then(|| format!("  {} {words}: /outbox", self.paint.faint("waiting")))
    }
}

/// Returns true if a user is not a member and can enter a room: it has an owner other than the user, and a free seat.
/// An absent owner keeps a reserved seat.
fn can_enter(room: &RoomSnapshot, you: &Username) -> bool {
    let reserved = usize::from(!room.has_member(&room.owner));
    room.members.len() + reserved < room.capacity && !room.has_member(you) && room.owner != *you
}

/// Returns a name that no room has.
fn new_room(rooms: &[RoomSnapshot]) -> String {
    let taken = |name: &String| rooms.iter().any(|room| room.name.as_str() == name);
    let numbered = (2..).map(|n| format!("sala{n}"));
    std::iter::once("sala".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// Returns the first names of a list, or a text if it is empty.
fn glance(names: &[String], none: &str) -> String {
    match names.len() {
        0 => none.to_owned(),
        count if count > NAMED => format!("{} and {} more", names[..NAMED].join(", "), count - NAMED),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn room(name: &str, owner: &str, members: &[&str]) -> RoomSnapshot {
        let member = |name: &&str| json!({"username": name, "connected": true, "since": 1, "keys": []});
        let members: Vec<_> = members.iter().map(member).collect();
        serde_json::from_value(json!({
            "id": "6f1c2a5e-9d3b-4c6e-8a4f-0b5d7e913c24", "name": name, "revision": 1, "capacity": 3,
            "owner": owner, "members": members, "peer_owner": null, "peer_one": null, "peer_two": null,
        }))
        .unwrap()
    }

    fn suggested(rooms: &[RoomSnapshot]) -> String {
        let you = Username::parse("ana").unwrap();
        let rows = Welcome { paint: Style::plain(), you: &you }.rows(&[], rooms, 0);
        rows[3].trim_start().trim_start_matches("try").trim().to_owned()
    }

    #[test]
    fn a_room_that_can_be_entered_is_suggested() {
        let closed = [
            room("full", "bob", &["bob", "carla", "dora"]),
            // The reserved seat of the absent owner is not for guests.
            room("reserved", "bob", &["carla", "dora"]),
            room("own", "ana", &["carla"]),
            room("entered", "bob", &["bob", "ana"]),
        ];
        assert_eq!(suggested(&closed), "/create sala   /help");
        let open = room("open", "bob", &["carla"]);
        assert_eq!(suggested(&[&closed[..], &[open]].concat()), "/join open   /help");
    }
}
