//! The rows about changes of a room that its members have signed. Pure.

use commons::names::Username;
use commons::room_log::facts::Policy;

use crate::api::conversation::Conversation;
use crate::api::room_entry::{KeyAcquaintance, RoomEntry, RoomEntryChange};
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::style::Style;

/// Renders an entry, with the name of the room if it is not the open one.
pub(crate) fn rows(paint: Style, entry: &RoomEntry, open: Option<&Conversation>) -> Vec<String> {
    let here = open.is_some_and(|open| matches!(open, Conversation::Room(room) if *room == entry.room));
    row(paint, entry, here).into_iter().collect()
}

fn row(paint: Style, entry: &RoomEntry, here: bool) -> Option<String> {
    let RoomEntry { room, username: by, change, .. } = entry;
    let text = match change {
        RoomEntryChange::Joined { invited_by, key } => {
            let invited = invited_by.as_ref().map(|user| format!("invited by {user}, ")).unwrap_or_default();
            format!("{by}: {invited}{}", acquaintance(by, *key))
        }
        RoomEntryChange::Expired => format!("{by} was away for too long and lost the seat"),
        RoomEntryChange::Removed { user } => format!("{by} removed {user}"),
        RoomEntryChange::Banned { user } => format!("{by} banned {user}"),
        RoomEntryChange::Unbanned { user } => format!("{by} lets {user} join again"),
        RoomEntryChange::Invited { user } => format!("{by} invited {user}"),
        RoomEntryChange::Uninvited { user } => format!("{by} took the invitation of {user} back"),
        RoomEntryChange::Policy { policy: Policy::Open } => format!("{by} lets anybody join"),
        RoomEntryChange::Policy { policy: Policy::Invite } => format!("{by} lets only invited people join"),
        RoomEntryChange::Topic { text } => format!("{by} set the topic: {}", sanitize(text)),
        RoomEntryChange::Successor { user: Some(user) } => {
            format!("{user} may take the room over if {by} is away for 30 days")
        }
        RoomEntryChange::Successor { user: None } => {
            format!("nobody may take the room over from {by} any more")
        }
        RoomEntryChange::Device => format!("{by} signs with another device too"),
        RoomEntryChange::Revoked => format!("{by} revoked a key"),
        // Other events say it: the members, the owner or the end of the room.
        RoomEntryChange::Left | RoomEntryChange::Owner { .. } | RoomEntryChange::Deleted => return None,
    };
    let of = if here { String::new() } else { format!(" (in {})", sanitize(room)) };
    Some(paint.system(&format!("*** {text}{of}")))
}

fn acquaintance(user: &Username, key: KeyAcquaintance) -> String {
    match key {
        KeyAcquaintance::Verified => "the key is verified".to_owned(),
        KeyAcquaintance::Met => "you have met this key before".to_owned(),
        KeyAcquaintance::Changed => format!("not with the key that you know. Ask {user} by another way"),
        KeyAcquaintance::NeverMet => format!("you have never met. Compare with /verify {user}"),
    }
}

#[cfg(test)]
mod tests {
    use commons::names::RoomName;

    use super::*;
    use crate::frontends::terminal::style::Style;

    fn said(change: RoomEntryChange, here: bool) -> Option<String> {
        let user = |name: &str| Username::parse(name).unwrap();
        let room = RoomName::parse("sala").unwrap();
        row(Style::plain(), &RoomEntry { room, epoch: 3, username: user("ana"), change }, here)
    }

    #[test]
    fn newcomer_is_shown_with_the_state_of_the_key() {
        let joined = |key| RoomEntryChange::Joined { invited_by: Username::parse("bob").ok(), key };
        let row = said(joined(KeyAcquaintance::NeverMet), true).unwrap();
        assert_eq!(row, "*** ana: invited by bob, you have never met. Compare with /verify ana");
        let row = said(joined(KeyAcquaintance::Changed), true).unwrap();
        assert!(row.contains("not with the key that you know"), "{row}");
    }

    #[test]
    fn topic_of_another_room_cannot_steer_the_screen() {
        let topic = RoomEntryChange::Topic { text: "tea\u{1b}[2J".to_owned().into() };
        let row = said(topic, false).unwrap();
        assert!(row.starts_with("*** ana set the topic: tea") && row.ends_with("(in sala)"), "{row}");
        assert!(!row.contains('\u{1b}'));
        assert_eq!(said(RoomEntryChange::Left, true), None, "the event of the members says it");
    }
}
