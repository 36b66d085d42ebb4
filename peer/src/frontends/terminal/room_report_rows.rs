//! The rows that describe a room with a log, and the changes that its owner makes. Pure.

use commons::names::Username;
use commons::room_log::facts::Policy;

use crate::api::room_command::{ReportedMember, RoomCommand, RoomReport};
use crate::api::status::Trust;
use crate::frontends::terminal::admin_rows::local;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::tables::Tables;

/// Digits of the last entry's digest that members compare by voice.
const HEAD_DIGITS: usize = 16;

/// Renders a room: one row for each member.
pub(crate) fn report(tables: &Tables<'_>, report: &RoomReport) -> Vec<String> {
    let RoomReport { room, owner, policy, topic, successor, members, invited, banned, epoch, head } = report;
    let rule = match policy {
        Policy::Open => "open to anybody",
        Policy::Invite => "by invitation",
    };
    let mut rows = vec![tables.title(&format!("{}: {rule}, owned by {owner}", sanitize(room)))];
    let topic = sanitize(topic);
    if !topic.is_empty() {
        rows.push(format!("  topic: {topic}"));
    }
    let body: Vec<_> = members.iter().map(|of| member(of, tables.you)).collect();
    rows.extend(tables.rows(&["NAME", "SINCE", "INVITED BY", "KEY"], &body));
    rows.extend(names("invited", invited));
    rows.extend(names("banned", banned));
    rows.extend(successor.as_ref().map(|user| format!("  successor: {user}")));
    let digits: Vec<_> =
        head.as_bytes().chunks(4).take(HEAD_DIGITS / 4).map(String::from_utf8_lossy).collect();
    rows.push(format!(
        "  entry {epoch}: {}. Members with the same digits see the same room",
        digits.join(" ")
    ));
    rows
}

fn member(member: &ReportedMember, you: Option<&Username>) -> Vec<String> {
    let ReportedMember { username, since, invited_by, trust, met } = member;
    let key = match trust {
        _ if you == Some(username) => "yours",
        _ if since.is_none() => "unsigned",
        Trust::Verified => "compared",
        Trust::Changed => "another key: /accept",
        Trust::Unverified | Trust::Unencrypted if *met => "met before",
        Trust::Unverified | Trust::Unencrypted => "never met",
    };
    let invited_by = invited_by.as_ref().map_or_else(|| "-".to_owned(), |user| user.as_str().to_owned());
    let since = since.map_or_else(|| "-".to_owned(), |since| local(Some(since)));
    vec![username.as_str().to_owned(), since, invited_by, key.to_owned()]
}

fn names(title: &str, users: &[Username]) -> Option<String> {
    let names: Vec<_> = users.iter().map(Username::as_str).collect();
    (!names.is_empty()).then(|| format!("  {title}: {}", names.join(", ")))
}

/// Returns the row for a change that was made.
pub(crate) fn done(command: &RoomCommand) -> Option<String> {
    Some(match command {
        RoomCommand::Room { .. } => return None,
        RoomCommand::Invite { user, .. } => format!("{user} is invited and can /join"),
        RoomCommand::Uninvite { user, .. } => format!("{user} is not invited any more"),
        RoomCommand::Kick { user, .. } => format!("{user} is removed"),
        RoomCommand::Ban { user, .. } => format!("{user} is banned from this room"),
        RoomCommand::Unban { user, .. } => format!("{user} is not banned any more"),
        RoomCommand::Give { user, .. } => format!("{user} owns this room now"),
        RoomCommand::Successor { user: Some(user), .. } => {
            format!("{user} may take this room over after 30 days without you: /give {user}")
        }
        RoomCommand::Successor { user: None, .. } => "nobody may take this room over".to_owned(),
        RoomCommand::Topic { text, .. } if text.is_empty() => "the topic is empty".to_owned(),
        RoomCommand::Topic { text, .. } => format!("the topic is: {}", sanitize(text)),
        RoomCommand::Policy { policy: Policy::Open, .. } => "anybody can join this room now".to_owned(),
        RoomCommand::Policy { policy: Policy::Invite, .. } => "only invited people can join now".to_owned(),
    })
}
