//! The first screen: who one is, who else is there, what to type next. Pure.

use commons::names::Username;
use commons::protocol::with_tracker::ListedPeer;
use commons::snapshot::RoomSnapshot;

use crate::terminal::counted::counted;
use crate::terminal::paint::Paint;
use crate::terminal::safe_text::display_safe;

/// Names on the first screen: it is a glance, `/rooms` and `/peers` show all.
const NAMED: usize = 8;

/// Greets a user.
pub(crate) struct Greeting<'a> {
    pub(crate) paint: Paint,
    pub(crate) you: &'a Username,
}

impl Greeting<'_> {
    pub(crate) fn rows(&self, peers: &[ListedPeer], rooms: &[RoomSnapshot], waiting: usize) -> Vec<String> {
        let names = peers.iter().map(|peer| display_safe(&peer.username));
        let others: Vec<_> = names.filter(|name| name != self.you.as_str()).collect();
        let seats = |room: &RoomSnapshot| {
            format!("{} {}/{}", display_safe(&room.name), room.members.len(), room.capacity)
        };
        let there: Vec<_> = rooms.iter().map(seats).collect();
        let free = rooms.iter().find(|room| room.members.len() < room.capacity && !room.has_member(self.you));
        let enter = match free {
            Some(room) => format!("/join {}", display_safe(&room.name)),
            None => format!("/create {}", new_room(rooms)),
        };
        let whisper = others.first().map(|name| format!("@{name} hi"));
        let next: Vec<_> = [Some(enter), whisper, Some("/help".to_owned())].into_iter().flatten().collect();
        let you = self.paint.of_user(self.you.as_str(), self.you.as_str());
        let waiting = (waiting > 0).then(|| {
            let lines = counted(waiting, "line of yours", "lines of yours");
            format!("  {} {lines}: /outbox", self.paint.faint("waiting"))
        });
        let rows = [
            format!("{} {you}.", self.paint.system("Welcome,")),
            format!("  {}  {}", self.paint.faint("online"), glance(&others, "nobody else yet")),
            format!("  {}   {}", self.paint.faint("rooms"), glance(&there, "none yet")),
            format!("  {}     {}", self.paint.faint("try"), self.paint.strong(&next.join("   "))),
        ];
        rows.into_iter().chain(waiting).collect()
    }
}

/// A name that no room has.
fn new_room(rooms: &[RoomSnapshot]) -> String {
    let taken = |name: &String| rooms.iter().any(|room| room.name.as_str() == name);
    let numbered = (2..).map(|n| format!("sala{n}"));
    std::iter::once("sala".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// The first names of a list, or that there are none.
fn glance(names: &[String], none: &str) -> String {
    match names.len() {
        0 => none.to_owned(),
        count if count > NAMED => format!("{} and {} more", names[..NAMED].join(", "), count - NAMED),
        _ => names.join(", "),
    }
}
