//! The rows of an admin's answers, and of announcements. Pure.

use chrono::{DateTime, Utc};
use commons::counted::counted;
use commons::limits::ANNOUNCEMENT_MAX;
use commons::names::Username;
use commons::protocol::administration::{BanTarget, ListedBan, ListedSession};

use crate::api::administration::{AdminAnswer, AdminCommand, AdminEvent, UserSession};
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tables::Tables;
use crate::untrusted::UntrustedText;

/// Renders the answer to a command of an admin.
pub(crate) fn answer(tables: &Tables<'_>, answer: &AdminAnswer) -> Vec<String> {
    match answer {
        AdminAnswer::Sessions { sessions: listed } => sessions(tables, listed),
        AdminAnswer::Bans { bans: listed } => bans(tables, listed),
    }
}

/// Renders the sessions of the tracker.
fn sessions(tables: &Tables<'_>, sessions: &[UserSession]) -> Vec<String> {
    let row = |UserSession { username, session }: &UserSession| {
        let ListedSession { since, address, encrypted, bytes_in, bytes_out, requests } = session;
        let encrypted = if *encrypted { "yes" } else { "no" };
        let traffic = [bytes_in, bytes_out, requests].map(ToString::to_string);
        let [bytes_in, bytes_out, requests] = traffic;
        let (since, address) = (local(*since), address.to_string());
        vec![sanitize(username), since, address, encrypted.to_owned(), bytes_in, bytes_out, requests]
    };
    let body: Vec<_> = sessions.iter().map(row).collect();
    let title = tables.title(&counted(sessions.len(), "session", "sessions"));
    let head = ["NAME", "SINCE", "ADDRESS", "ENCRYPTED", "BYTES IN", "OUT", "REQUESTS"];
    std::iter::once(title).chain(tables.rows(&head, &body)).collect()
}

/// Renders the bans of the tracker.
fn bans(tables: &Tables<'_>, bans: &[ListedBan]) -> Vec<String> {
    if bans.is_empty() {
        return vec![tables.title("nobody is banned")];
    }
    let row = |ban: &ListedBan| {
        let until = ban.until.map_or_else(|| "for good".to_owned(), |until| local(Some(until)));
        let by = ban.by.as_deref().map_or_else(|| "the operator".to_owned(), sanitize);
        vec![subject(&ban.target), until, by, local(ban.since)]
    };
    let body: Vec<_> = bans.iter().map(row).collect();
    let title = tables.title(&counted(bans.len(), "ban", "bans"));
    std::iter::once(title).chain(tables.rows(&["BANNED", "UNTIL", "BY", "SINCE"], &body)).collect()
}

/// Renders an announcement, or the news that a room has another owner.
pub(crate) fn event(paint: Style, you: &Username, event: &AdminEvent) -> Vec<String> {
    match event {
        AdminEvent::Announcement { from, text } => vec![announcement(paint, from.as_ref(), text)],
        AdminEvent::RoomOwner { room, owner, .. } => {
            let owns = if owner == you { "you own".to_owned() } else { format!("{owner} owns") };
            vec![paint.system(&format!("*** {owns} {} now", sanitize(room)))]
        }
    }
}

/// Renders an announcement of an admin, or of the operator if `from` is absent.
fn announcement(paint: Style, from: Option<&Username>, text: &UntrustedText) -> String {
    let from = from.map_or("the tracker", Username::as_str);
    let shown: String = sanitize(text).chars().take(ANNOUNCEMENT_MAX).collect();
    paint.system(&format!("*** announcement by {from}: {shown}"))
}

/// Returns the row for a command of an admin that was carried out.
pub(crate) fn done(command: &AdminCommand) -> Option<String> {
    Some(match command {
        AdminCommand::Sessions | AdminCommand::AdminBans => return None,
        AdminCommand::AdminKick { user } => format!("the session of {user} is ended"),
        AdminCommand::AdminBan(ban) => format!("{} is banned: /admin bans", subject(&ban.target)),
        AdminCommand::AdminUnban(target) => format!("{} is not banned any more", subject(target)),
        AdminCommand::AdminAnnounce { .. } => "announced to everybody who is signed in".to_owned(),
        AdminCommand::AdminDeleteRoom { room } => format!("the room {} is deleted", sanitize(room)),
        AdminCommand::AdminRemove { user } => format!("the account {user} is deleted"),
    })
}

fn subject(target: &BanTarget) -> String {
    let named = target.user.as_ref().or(target.address.as_ref());
    named.map_or_else(String::new, |named| sanitize(named.as_str()))
}

/// Renders a time of day and a date by the clock of this computer; nothing if there is no time.
pub(crate) fn local(time: Option<DateTime<Utc>>) -> String {
    let local = time.map(|time| time.with_timezone(&chrono::Local));
    local.map(|time| time.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_cannot_steer_the_terminal() {
        let ana = Username::parse("ana").unwrap();
        let text = UntrustedText::from("noon\u{1b}[2J\nbob: hi");
        let row = announcement(Style::plain(), Some(&ana), &text);
        assert!(row.starts_with("*** announcement by ana: noon"), "{row}");
        assert!(!row.contains('\u{1b}') && !row.contains('\n'), "{row:?}");
        let long = UntrustedText::from("x".repeat(5000));
        assert!(announcement(Style::plain(), None, &long).len() < ANNOUNCEMENT_MAX + 100);
    }
}
