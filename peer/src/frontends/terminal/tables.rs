//! Answers as aligned tables.
//!
//! They list users, rooms, keys, and messages that wait.

use std::cmp::max;
use std::collections::BTreeSet;

use commons::counted::counted;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::listed_peer::ListedPeer;
use commons::protocol::with_tracker::BoundKey;
use commons::snapshot::{Member, RoomSnapshot};

use crate::api::conversation::Conversation;
use crate::api::past::{OwnMessage, WaitingMessage};
use crate::api::status::{MemberStatus, OnlineUser, Status, TrackerState, Trust};
use crate::frontends::terminal::away_row::away_words;
use crate::frontends::terminal::layout::{pad, shorten, width};
use crate::frontends::terminal::message_rows::{Moment, clock};
use crate::frontends::terminal::sanitize::{display_safe_lines, sanitize};
use crate::frontends::terminal::scrollback::name_of;
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;
use crate::identity::key_prefix::first_digits;
use crate::limits::{ENDORSED_DIGITS_MIN, KEY_DIGITS_MIN, MESSAGE_ID_DIGITS, OUTBOX_SHOWN};

/// Columns if the width is unknown: a pipe has no edge.
pub(crate) const PIPE_COLUMNS: usize = 200;

/// Names that a completion lists at most: the user can type more letters to narrow it.
const CHOICES: usize = 60;

/// Renders tables for a screen of a given width.
pub(crate) struct Tables<'a> {
    pub(crate) paint: Style,
    pub(crate) you: Option<&'a Username>,
    pub(crate) columns: Option<usize>,
}

impl Tables<'_> {
    /// Renders cells in columns as wide as their widest cell; the last column takes the rest of the row.
    pub(crate) fn rows(&self, head: &[&str], body: &[Vec<String>]) -> Vec<String> {
        let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
        let widest = |n: usize| std::iter::once(&head).chain(body).map(|row| width(&row[n])).fold(0, max);
        let widths: Vec<usize> = (0..head.len()).map(widest).collect();
        let room = self.columns.unwrap_or(PIPE_COLUMNS).saturating_sub(1);
        let row = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect::<Vec<_>>();
            shorten(format!("  {}", padded.join("  ")).trim_end(), room)
        };
        let head_row = (head.iter().any(|cell| !cell.is_empty())).then(|| self.paint.faint(&row(&head)));
        head_row.into_iter().chain(body.iter().map(row)).collect()
    }

    pub(crate) fn title(&self, text: &str) -> String {
        self.paint.system(text)
    }

    fn is_you(&self, name: &str) -> bool {
        self.you.is_some_and(|you| you.as_str() == name)
    }

    /// Renders the connected users.
    pub(crate) fn peers(&self, peers: &[OnlineUser]) -> Vec<String> {
        let address = |peer: &ListedPeer| match (peer.address, peer.port) {
            (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
            _ => "–".to_owned(),
        };
        let row = |OnlineUser { peer, away }: &OnlineUser| {
            let you = if self.is_you(&peer.username) { " (you)" } else { "" };
            let room = peer.room.as_deref().map_or_else(|| "–".to_owned(), sanitize);
            let away = away.as_ref().map(away_words).unwrap_or_default();
            vec![format!("{}{you}", sanitize(&peer.username)), room, address(peer), away]
        };
        let body: Vec<_> = peers.iter().map(row).collect();
        let title = self.title(&format!("{} online", peers.len()));
        std::iter::once(title).chain(self.rows(&["NAME", "ROOM", "ADDRESS", ""], &body)).collect()
    }

    /// Renders the list of rooms.
    pub(crate) fn rooms(&self, rooms: &[RoomSnapshot]) -> Vec<String> {
        if rooms.is_empty() {
            return vec![self.title("no rooms yet: /create NAME makes one")];
        }
        let row = |room: &RoomSnapshot| {
            let members: Vec<_> = room.members.iter().map(|member| self.presence(member)).collect();
            let taken = format!("{}/{}", room.members.len(), room.capacity);
            vec![sanitize(&room.name), taken, room.owner.to_string(), members.join(" ")]
        };
        let body: Vec<_> = rooms.iter().map(row).collect();
        let title = self.title(&counted(rooms.len(), "room", "rooms"));
        std::iter::once(title).chain(self.rows(&["ROOM", "SEATS", "OWNER", "WHO"], &body)).collect()
    }

    /// Renders a member with the presence: `● bob`, `○ carla`.
    pub(crate) fn presence(&self, member: &Member) -> String {
        let you = if self.is_you(member.username.as_str()) { " (you)" } else { "" };
        format!("{} {}{you}", if member.connected { '●' } else { '○' }, member.username)
    }

    /// Renders the members of a conversation. Only a room reserves a seat for an offline member.
    pub(crate) fn members(&self, conversation: &Conversation, members: &[MemberStatus]) -> Vec<String> {
        let state = |member: &Member| match conversation {
            _ if member.connected => "online",
            Conversation::Room(_) => "offline, the seat is kept",
            Conversation::Private(_) => "offline",
        };
        let worth = |present: &MemberStatus| match present.trust {
            _ if self.is_you(present.member.username.as_str()) => "",
            Trust::Verified => "✓ verified",
            Trust::Unverified => "not verified",
            Trust::Changed => "the key has changed",
            Trust::Unencrypted => "not encrypted",
        };
        let row = |present: &MemberStatus| {
            let MemberStatus { member, .. } = present;
            let away = present.away.as_ref().map(away_words).unwrap_or_default();
            let gap = if away.is_empty() || worth(present).is_empty() { "" } else { " · " };
            vec![self.presence(member), state(member).to_owned(), format!("{}{gap}{away}", worth(present))]
        };
        let body: Vec<_> = members.iter().map(row).collect();
        std::iter::once(self.title(&shown(conversation))).chain(self.rows(&["", "", ""], &body)).collect()
    }

    /// Renders the user's own keys.
    pub(crate) fn keys(&self, keys: &[BoundKey]) -> Vec<String> {
        let here = |key: &BoundKey| if key.current { "here" } else { "" }.to_owned();
        let mark = |n: usize, key: &BoundKey| match key.endorsed_by {
            Some(_) => "✓",
            None if n > 0 => "!",
            None => "",
        };
        let row =
            |(n, key): (usize, &BoundKey)| vec![mark(n, key).to_owned(), key.key.to_string(), here(key)];
        let body: Vec<_> = keys.iter().enumerate().map(row).collect();
        let others = keys.iter().any(|key| !key.current);
        let then = "/revoke KEY takes one away; its first eight digits are enough";
        let title = self.title(&counted(keys.len(), "key", "keys"));
        let rows = std::iter::once(title).chain(self.rows(&["", "", ""], &body));
        let own = keys.iter().find(|key| key.current).map(|key| key.key);
        let notes = keys.iter().skip(1).map(|key| self.title(&endorsement(key, own)));
        rows.chain(notes).chain(others.then(|| self.title(then))).collect()
    }

    /// Renders the user's last messages, with the recipients that have them.
    pub(crate) fn receipts(&self, name: &str, messages: &[OwnMessage], moment: Moment) -> Vec<String> {
        if messages.is_empty() {
            return vec![self.title(&format!("no message of yours in {name} is stored here"))];
        }
        let row = |message: &OwnMessage| {
            let all = message.has.len() + message.written.len() + message.waits.len();
            // The message had no recipient.
            let has = if all == 0 { "–".to_owned() } else { format!("{}/{all}", message.has.len()) };
            vec![has, clock(message.sent_at, moment), names(&message.waits), first_row(message)]
        };
        let body: Vec<_> = messages.iter().map(row).collect();
        let unconfirmed: BTreeSet<_> = messages.iter().flat_map(|message| &message.written).collect();
        let unconfirmed: Vec<_> = unconfirmed.into_iter().cloned().collect();
        let unconfirmed = (!unconfirmed.is_empty()).then(|| {
            let users = names(&unconfirmed);
            self.title(&format!("sent to {users} without confirmation: that program gives none"))
        });
        let title =
            self.title(&format!("your last {} in {name}", counted(messages.len(), "message", "messages")));
        let rows = self.rows(&["HAVE IT", "SAID", "NOT YET", "LINE"], &body);
        std::iter::once(title).chain(rows).chain(unconfirmed).collect()
    }

    /// Renders the user's messages that wait.
    pub(crate) fn outbox(&self, messages: &[WaitingMessage]) -> Vec<String> {
        if messages.is_empty() {
            return vec![self.title("nothing waits: every recipient has your messages")];
        }
        let ids: Vec<_> = messages.iter().map(|waiting| waiting.message.id.simple().to_string()).collect();
        let digits = (MESSAGE_ID_DIGITS..).find(|digits| are_different(&ids, *digits)).unwrap_or_default();
        let row = |(WaitingMessage { of, message }, id): (&WaitingMessage, &String)| {
            vec![end(id, digits).to_owned(), name_of(of), names(&message.waits), first_row(message)]
        };
        let body: Vec<_> = messages.iter().zip(&ids).map(row).take(OUTBOX_SHOWN).collect();
        let more = messages.len() - body.len();
        let more = (more > 0).then(|| self.title(&format!("  and {more} more")));
        let wait = if messages.len() == 1 {
            "1 message waits"
        } else {
            &format!("{} messages wait", messages.len())
        };
        let title = self.title(&format!("{wait}; /withdraw ID takes one back that nobody has confirmed"));
        let rows = self.rows(&["ID", "WHERE", "FOR", "LINE"], &body);
        std::iter::once(title).chain(rows).chain(more).collect()
    }

    /// Renders the possible completions side by side.
    pub(crate) fn choices(&self, names: &[String]) -> Vec<String> {
        let names: Vec<_> = names.iter().map(|name| sanitize(name.trim_end())).collect();
        let widest = names.iter().map(|name| width(name)).fold(1, max);
        let beside = (self.columns.unwrap_or(PIPE_COLUMNS).saturating_sub(1) / (widest + 2)).max(1);
        let listed = &names[..names.len().min(CHOICES)];
        let row = |names: &[String]| {
            let cells: String = names.iter().map(|name| format!("  {}", pad(name, widest))).collect();
            cells.trim_end().to_owned()
        };
        let more = names.len() - listed.len();
        let more = (more > 0).then(|| self.paint.system(&format!("  and {more} more: type another letter")));
        listed.chunks(beside).map(row).chain(more).collect()
    }

    /// Renders the user's name and the state of the peer.
    pub(crate) fn status(&self, status: &Status) -> Vec<String> {
        let tracker = match status.tracker {
            TrackerState::Connected => "connected",
            TrackerState::Lost => "out of reach, trying again",
        };
        let chats = status.conversations.iter().map(|(chat, unread)| match unread {
            0 => shown(chat),
            unread => format!("{} ({unread} unread)", shown(chat)),
        });
        let chats: Vec<_> = chats.collect();
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let body = [
            row(
                "you are",
                status.username.as_ref().map_or_else(|| "not signed in".to_owned(), Username::to_string),
            ),
            row("tracker", format!("{} ({tracker})", sanitize(&status.tracker_address))),
            row(
                "its key",
                status.tracker_key.map_or_else(|| "not met yet".to_owned(), |key| key.to_string()),
            ),
            row("listening", sanitize(&status.listening)),
            row("open", status.open.as_ref().map_or_else(|| "nothing: lobby".to_owned(), shown)),
            row("in", if chats.is_empty() { "no conversation".to_owned() } else { chats.join(", ") }),
        ];
        self.rows(&["", ""], &body)
    }
}

/// Says how contacts see a further key, and what to do about it. The digits to type for the endorsement are shown only
/// on the device of that key: the tracker's claim about it is not enough.
fn endorsement(key: &BoundKey, own: Option<PublicKey>) -> String {
    let short = first_digits(&key.key, KEY_DIGITS_MIN);
    match key.endorsed_by {
        Some(by) if own == Some(by) => format!("✓ {short} is endorsed, by this computer's"),
        Some(by) => format!("✓ {short} is endorsed, by {}", first_digits(&by, KEY_DIGITS_MIN)),
        None if key.current => format!(
            "! {short}: friends who met you before are warned of it; type /endorse {} on a computer that they know",
            first_digits(&key.key, ENDORSED_DIGITS_MIN)
        ),
        None => format!(
            "! {short}: friends who met you before are warned of it; if it is yours, /endorse it as /keys shows there"
        ),
    }
}

/// Returns true if the last digits of the ids distinguish them; all digits always count as enough.
fn are_different(ids: &[String], digits: usize) -> bool {
    let mut ends = BTreeSet::new();
    ids.iter().all(|id| ends.insert(end(id, digits)) || digits >= id.len())
}

fn end(id: &str, digits: usize) -> &str {
    &id[id.len().saturating_sub(digits)..]
}

fn names(users: &[Username]) -> String {
    let names: Vec<_> = users.iter().map(Username::as_str).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

/// Returns the part of a message that fits a row.
fn first_row(message: &OwnMessage) -> String {
    let rows = display_safe_lines(&message.content);
    match rows.as_slice() {
        [] => String::new(),
        [row] => row.clone(),
        [first, ..] => format!("{first} …"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn tables(columns: Option<usize>) -> Tables<'static> {
        Tables { paint: Style::plain(), you: None, columns }
    }

    #[test]
    fn name_is_shown_with_its_trust() {
        let present = |name: &str, connected, trust| {
            let away = (name == "eve").then(|| "at \u{1b}lunch".into());
            let username = Username::parse(name).unwrap();
            MemberStatus {
                member: Member {
                    username,
                    connected,
                    since: 1,
                    keys: Vec::new(),
                    endorsements: Vec::new(),
                    in_menu: false,
                },
                trust,
                away,
            }
        };
        let you = Username::parse("ana").unwrap();
        let tables = Tables { you: Some(&you), ..tables(Some(80)) };
        let members = [
            present("ana", true, Trust::Verified),
            present("bob", true, Trust::Verified),
            present("carla", false, Trust::Unverified),
            present("dora", true, Trust::Changed),
            present("eve", true, Trust::Unencrypted),
        ];
        let rows = [
            "sala",
            "  ● ana (you)  online",
            "  ● bob        online                     ✓ verified",
            "  ○ carla      offline, the seat is kept  not verified",
            "  ● dora       online                     the key has changed",
            "  ● eve        online                     not encrypted · away: at \\u{1b}lunch",
        ];
        let sala = Conversation::Room(commons::names::RoomName::parse("sala").unwrap());
        assert_eq!(tables.members(&sala, &members), rows);
        let chat = Conversation::Private(Username::parse("carla").unwrap());
        assert_eq!(tables.members(&chat, &members[2..3])[1], "  ○ carla  offline  not verified");
    }

    #[test]
    fn keys_are_shown_with_their_effect_on_contacts() {
        let key = |n: u8| PublicKey::new([n; 32]);
        let bound = |n: u8, here: u8, by: Option<u8>| BoundKey {
            key: key(n),
            current: n == here,
            endorsed_by: by.map(key),
        };
        let rows = |here| {
            let keys = [bound(1, here, None), bound(2, here, Some(1)), bound(3, here, None)];
            tables(Some(80)).keys(&keys)
        };
        let digits = |n: u8| format!("0{n}").repeat(32);
        assert_eq!(
            rows(1),
            [
                "3 keys".to_owned(),
                format!("     {}  here", digits(1)),
                format!("  ✓  {}", digits(2)),
                format!("  !  {}", digits(3)),
                "✓ 02020202 is endorsed, by this computer's".to_owned(),
                "! 03030303: friends who met you before are warned of it; if it is yours, /endorse it as /keys shows there".to_owned(),
                "/revoke KEY takes one away; its first eight digits are enough".to_owned(),
            ]
        );
        let typed = "type /endorse 0303030303030303 on a computer that they know";
        assert!(rows(3)[5].ends_with(typed), "{:?}", rows(3));
        assert_eq!(rows(3)[4], "✓ 02020202 is endorsed, by 01010101");
    }

    fn peer(username: &str, room: Option<&str>) -> OnlineUser {
        let peer = ListedPeer {
            username: username.into(),
            address: Some([127, 0, 0, 1].into()),
            port: Some(5000),
            connected: true,
            last_ping: None,
            room: room.map(Into::into),
        };
        OnlineUser { peer, away: None }
    }

    #[test]
    fn columns_are_aligned_also_under_wide_names() {
        let mut bernardo = peer("bernardo", None);
        bernardo.away = Some("\u{1b}tea".into());
        let rows = tables(None).peers(&[peer("ana", Some("部屋")), bernardo]);
        assert_eq!(
            rows,
            [
                "2 online",
                "  NAME      ROOM  ADDRESS",
                "  ana       部屋  127.0.0.1:5000",
                "  bernardo  –     127.0.0.1:5000  away: \\u{1b}tea",
            ]
        );
    }

    #[test]
    fn no_row_is_wider_than_the_screen() {
        for columns in [20, 40, 80] {
            let long = peer("bernardo", Some("a room with a very long name indeed"));
            let tables = tables(Some(columns));
            let rows = tables.peers(&[long]).into_iter().chain(tables.help(None));
            for row in rows {
                assert!(width(&row) < columns.max(25), "{columns}: {row}");
            }
        }
    }

    #[test]
    fn choices_stand_side_by_side_and_end_somewhere() {
        let names = |count: usize| (0..count).map(|n| format!("name{n:02} ")).collect::<Vec<_>>();
        assert_eq!(tables(Some(20)).choices(&names(3)), ["  name00  name01", "  name02"]);
        let many = tables(Some(20)).choices(&names(CHOICES + 2));
        assert_eq!(many.last().unwrap(), "  and 2 more: type another letter");
    }

    fn own(id: u128, has: &[&str], waits: &[&str]) -> OwnMessage {
        let users = |names: &[&str]| names.iter().map(|name| Username::parse(name).unwrap()).collect();
        OwnMessage {
            id: Uuid::from_u128(id),
            content: "hello\nworld".into(),
            sent_at: DateTime::UNIX_EPOCH,
            has: users(has),
            written: vec![],
            waits: users(waits),
        }
    }

    fn waiting(id: u128) -> WaitingMessage {
        let of = crate::api::past::PastConversation::With(Username::parse("bob").unwrap());
        WaitingMessage { of, message: own(id, &[], &["bob"]) }
    }

    #[test]
    fn receipts_count_who_has_a_message_and_name_the_others() {
        let moment = Moment { now: DateTime::UNIX_EPOCH.fixed_offset(), columns: None };
        let messages = [own(1, &["bob", "carla"], &[]), own(2, &["bob"], &["carla"]), own(3, &[], &[])];
        let rows = [
            "your last 3 messages in sala",
            "  HAVE IT  SAID        NOT YET  LINE",
            "  2/2      [00:00:00]  –        hello …",
            "  1/2      [00:00:00]  carla    hello …",
            "  –        [00:00:00]  –        hello …",
        ];
        assert_eq!(tables(None).receipts("sala", &messages, moment), rows);
    }

    #[test]
    fn waiting_messages_are_distinguished_by_the_end_of_their_id() {
        let rows = tables(None).outbox(&[waiting(0x1_2345), waiting(0x2_2345)]);
        assert_eq!(rows[0], "2 messages wait; /withdraw ID takes one back that nobody has confirmed");
        assert_eq!(
            rows[1..],
            ["  ID     WHERE  FOR  LINE", "  12345  @bob   bob  hello …", "  22345  @bob   bob  hello …"]
        );
        let many: Vec<_> = (0..60).map(waiting).collect();
        assert_eq!(tables(None).outbox(&many).last().map(String::as_str), Some("  and 10 more"));
        assert_eq!(tables(None).outbox(&[waiting(7), waiting(7)]).len(), 4, "whatever is told, it ends");
    }
}
