//! What happens, in the words and colours that a person reads. Pure: events and answers in, rows of the screen out.

use std::collections::{BTreeSet, VecDeque};

use chrono::NaiveDate;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::ListedPeer;
use commons::snapshot::{ChangeKind, RoomSnapshot};
use uuid::Uuid;

use crate::api::{
    Answer, Command, CommandError, Conversation, Event, LinkState, Status, TrackerState, Undeliverable,
};
use crate::limits::NAMED_LINES;
use crate::terminal::commands::Spec;
use crate::terminal::greeting::Greeting;
use crate::terminal::layout::shorten;
use crate::terminal::line::{Line, Moment, Said};
use crate::terminal::paint::Paint;
use crate::terminal::reply::{Reply, advice, failure};
use crate::terminal::rooms::Rooms;
use crate::terminal::safe_text::{display_safe, display_safe_lines};
use crate::terminal::status_line::{StatusLine, shown};
use crate::terminal::tables::{Tables, counted};
use crate::terminal::unread::{Missed, Unread};
use crate::untrusted::Untrusted;

/// What the screen shows, as far as later rows depend on it.
pub struct View {
    paint: Paint,
    you: Username,
    open: Option<Conversation>,
    rooms: Rooms,
    unread: Unread,
    /// Whose links others can read, as long as they stand.
    in_the_clear: BTreeSet<Username>,
    own_lines: VecDeque<(Uuid, Untrusted)>,
    day: Option<NaiveDate>,
    tracker_lost: bool,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("you", &self.you).field("open", &self.open).finish_non_exhaustive()
    }
}

impl View {
    /// A screen that has shown nothing yet.
    #[must_use]
    pub fn new(you: Username, paint: Paint) -> Self {
        Self {
            paint,
            you,
            open: None,
            rooms: Rooms::default(),
            unread: Unread::default(),
            in_the_clear: BTreeSet::new(),
            own_lines: VecDeque::new(),
            day: None,
            tracker_lost: false,
        }
    }

    /// The first rows: who one is, what goes on, what to type next.
    #[must_use]
    pub fn welcome(&self, peers: &[ListedPeer], rooms: &[RoomSnapshot]) -> Vec<String> {
        Greeting { paint: self.paint, you: &self.you }.rows(peers, rooms)
    }

    /// What an event looks like.
    pub fn event(&mut self, event: &Event, moment: Moment) -> Vec<String> {
        let mut rows = match event {
            Event::Link { peer, state, encrypted, .. } => self.link(peer, *state, *encrypted),
            Event::LoggedIn { .. } | Event::Delivered { .. } => return Vec::new(),
            Event::KeyChanged { peer, fingerprint } => self.key_changed(peer, *fingerprint),
            Event::RoomEntered { room } => self.entered(room),
            Event::RoomUpdate { room, change, username, members } => {
                self.room_changed(room, *change, username, members)
            }
            Event::RoomLeft { room } => self.room_gone(room, "you are no longer in", moment),
            Event::RoomDeleted { room } => self.room_gone(room, "this room was deleted:", moment),
            Event::Message { room, from, content, sent_at, .. } => {
                let conversation =
                    room.clone().map_or_else(|| Conversation::Private(from.clone()), Conversation::Room);
                let unencrypted = self.in_the_clear.contains(from);
                let said = Said { from: from.clone(), text: content.clone(), at: *sent_at, unencrypted };
                self.heard(&conversation, said, moment)
            }
            Event::Sent { id, conversation, content } => {
                if self.own_lines.len() >= NAMED_LINES {
                    self.own_lines.pop_front();
                }
                self.own_lines.push_back((*id, content.clone()));
                let (from, text, at) = (self.you.clone(), content.clone(), moment.now.to_utc());
                let said = Said { from, text, at, unencrypted: false };
                self.said(conversation, &said, moment)
            }
            Event::Undelivered { id, to, reason } => self.undelivered(*id, to, *reason, moment),
            Event::Tracker { state } => self.tracker(*state),
            Event::Error { message, .. } => vec![failure(self.paint, message, "")],
        };
        self.date_before(&mut rows, moment);
        rows
    }

    /// A date line where the day is another than that of the row before.
    fn date_before(&mut self, rows: &mut Vec<String>, moment: Moment) {
        let today = moment.now.date_naive();
        if !rows.is_empty() && self.day.replace(today).is_some_and(|day| day != today) {
            rows.insert(0, self.paint.system(&format!("── {} ──", today.format("%A, %-d %B %Y"))));
        }
    }

    /// A link that others can read is told, and what comes by it is marked.
    fn link(&mut self, peer: &Username, state: LinkState, encrypted: bool) -> Vec<String> {
        if encrypted || state == LinkState::Down {
            self.in_the_clear.remove(peer);
            return Vec::new();
        }
        self.in_the_clear.insert(peer.clone());
        let text = format!("*** the link to {peer} is not encrypted, an original program's: marked ~");
        vec![self.paint.failure(&text)]
    }

    fn entered(&mut self, room: &RoomSnapshot) -> Vec<String> {
        self.rooms.enter(room.clone());
        self.open = Some(Conversation::Room(room.name.clone()));
        self.room_header(room)
    }

    fn room_header(&self, room: &RoomSnapshot) -> Vec<String> {
        let who = room.members.iter().map(|member| {
            let text = self.tables(None).presence(member);
            match member.connected {
                true => self.paint.of_user(member.username.as_str(), &text),
                false => self.paint.faint(&text),
            }
        });
        let who: Vec<_> = who.collect();
        let free = match room.capacity.saturating_sub(room.members.len()) {
            0 => "full".to_owned(),
            free => counted(free, "seat free", "seats free"),
        };
        let owner = if room.owner == self.you { "yours".to_owned() } else { format!("owner {}", room.owner) };
        let title = format!("── {} ── {owner}, {free}", display_safe(&room.name));
        vec![self.paint.system(&title), format!("   {}", who.join("  "))]
    }

    fn room_changed(
        &mut self,
        name: &RoomName,
        change: ChangeKind,
        who: &Username,
        members: &[Username],
    ) -> Vec<String> {
        self.rooms.note(name, change, who, members);
        let here = self.open == Some(Conversation::Room(name.clone()));
        let place = if here { String::new() } else { format!(" {}", display_safe(name)) };
        let of = if here { String::new() } else { format!(" (in{place})") };
        vec![self.paint.system(&match change {
            ChangeKind::Joined => format!("*** {who} joined{place}"),
            ChangeKind::Left => format!("*** {who} left{place}"),
            ChangeKind::Offline => format!("*** {who} went offline, the seat is kept{of}"),
            ChangeKind::Online => format!("*** {who} is back{of}"),
            ChangeKind::Deleted => format!("*** {who} deleted{place}"),
        })]
    }

    /// A room is gone from here; what was not read yet in it is shown now or never.
    fn room_gone(&mut self, name: &RoomName, what: &str, moment: Moment) -> Vec<String> {
        self.rooms.forget(name);
        let conversation = Conversation::Room(name.clone());
        let mut rows = self.missed(&conversation, moment);
        if self.open.as_ref() == Some(&conversation) {
            self.open = None;
        }
        rows.push(self.paint.system(&format!("*** {what} {}", shown(&conversation))));
        rows
    }

    /// The unread lines of a conversation that is not open, under its name.
    fn missed(&mut self, conversation: &Conversation, moment: Moment) -> Vec<String> {
        let missed = self.unread.take(conversation);
        if missed.lines.is_empty() {
            return Vec::new();
        }
        let title = self.paint.system(&format!("── {}, not read yet ──", shown(conversation)));
        std::iter::once(title).chain(self.missed_rows(conversation, &missed, moment)).collect()
    }

    fn missed_rows(&self, conversation: &Conversation, missed: &Missed, moment: Moment) -> Vec<String> {
        let dropped = (missed.dropped > 0)
            .then(|| self.paint.system(&format!("({} earlier lines were not kept)", missed.dropped)));
        let lines = missed.lines.iter().flat_map(|said| self.said(conversation, said, moment));
        dropped.into_iter().chain(lines).collect()
    }

    /// A line of somebody else: shown where it is read, noticed where it is not.
    fn heard(&mut self, conversation: &Conversation, said: Said, moment: Moment) -> Vec<String> {
        if self.open.as_ref() == Some(conversation) {
            return self.said(conversation, &said, moment);
        }
        let called = said.text.has_word(self.you.as_str());
        let mut rows = match conversation {
            Conversation::Private(_) => self.said(conversation, &said, moment),
            Conversation::Room(_) => Vec::new(),
        };
        let from = said.from.clone();
        let first = self.unread.keep(conversation, said);
        if let Conversation::Room(_) = conversation {
            let place = shown(conversation);
            if called {
                let row = format!("· {from} calls you in {place}: /switch {place}");
                rows.push(format!("\u{7}{}", self.paint.mention(&row)));
            } else if first {
                rows.push(self.paint.system(&format!("· new in {place}: /switch {place}")));
            }
        }
        rows
    }

    fn line<'a>(&self, said: &'a Said, moment: Moment) -> Line<'a> {
        Line { said, moment, paint: self.paint }
    }

    /// A line as it is read, `[HH:MM:SS] <user> text`; one of a private chat that is not open says so.
    fn said(&self, conversation: &Conversation, said: &Said, moment: Moment) -> Vec<String> {
        let line = self.line(said, moment);
        match conversation {
            Conversation::Private(user) if self.open.as_ref() != Some(conversation) => {
                let way = if said.from == self.you { "to" } else { "from" };
                let mark = if said.unencrypted { " ~" } else { "" };
                line.private(&format!("[PRIVATE {way} {user}{mark}]"))
            }
            _ if said.from != self.you && said.text.has_word(self.you.as_str()) => line.mention(),
            _ => line.plain(),
        }
    }

    fn undelivered(&mut self, id: Uuid, to: &Username, reason: Undeliverable, moment: Moment) -> Vec<String> {
        const QUOTED: usize = 30;
        let why = match reason {
            Undeliverable::Unreachable => "not connected or out of reach",
            Undeliverable::QueueFull => "too much is waiting for that user already",
            Undeliverable::TextTooLong => "too long for that user's program",
            Undeliverable::KeyChanged => "the key has changed and is not accepted",
        };
        let own = self.own_lines.iter().rev().find(|(own, _)| *own == id);
        let quote = own.map_or_else(String::new, |(_, text)| {
            let first = display_safe_lines(text).into_iter().next().unwrap_or_default();
            format!(": \"{}\"", shorten(&first, QUOTED))
        });
        let time = self.paint.faint(&moment.now.format("[%H:%M:%S]").to_string());
        vec![format!("{time} {}", self.paint.failure(&format!("✗ not delivered to {to} ({why}){quote}")))]
    }

    /// Loud, and with what to do: somebody may be posing as a friend.
    fn key_changed(&self, peer: &Username, fingerprint: PublicKey) -> Vec<String> {
        let rows = [
            format!("⚠ {peer} has another key than before: a new device, or somebody posing as {peer}"),
            format!("   the key not known: {fingerprint}"),
            format!(
                "   nothing is sent to {peer}. Ask {peer} by another way and compare the numbers of /verify {peer};"
            ),
            format!("   only if they are the same, type /accept {peer}"),
        ];
        rows.iter().map(|row| self.paint.failure(row)).collect()
    }

    fn tracker(&mut self, state: TrackerState) -> Vec<String> {
        let lost = state == TrackerState::Lost;
        if std::mem::replace(&mut self.tracker_lost, lost) == lost {
            return Vec::new();
        }
        vec![self.paint.system(match state {
            TrackerState::Lost => "*** the tracker is out of reach: talk goes on, looking for it",
            TrackerState::Connected => "*** the tracker is back",
        })]
    }

    /// What an answer looks like.
    #[must_use]
    pub fn answer(&self, answer: &Answer, command: &Command, moment: Moment) -> Vec<String> {
        let reply =
            Reply { paint: self.paint, open: self.open.as_ref(), tables: self.tables(moment.columns) };
        reply.rows(answer, command)
    }

    /// What the open conversation shows where it is another than before: its header, and what was missed in it.
    pub fn opened(&mut self, open: Option<&Conversation>, moment: Moment) -> Vec<String> {
        if self.open.as_ref() == open {
            return Vec::new();
        }
        let mut rows = match open {
            None => Vec::new(),
            Some(Conversation::Room(name)) => match self.rooms.find(name) {
                Some(room) => self.room_header(room),
                // Its `room_entered` is on the way.
                None => return Vec::new(),
            },
            Some(Conversation::Private(user)) => {
                let title = format!("── @{user} ── goes to {user} alone; /leave closes it");
                vec![self.paint.system(&title)]
            }
        };
        self.open = open.cloned();
        if let Some(open) = open {
            let missed = self.unread.take(open);
            rows.extend(self.missed_rows(open, &missed, moment));
        }
        rows
    }

    /// Why something was not done, and what to do about it.
    #[must_use]
    pub fn error(&self, error: &CommandError) -> Vec<String> {
        vec![failure(self.paint, &error.words(), advice(error))]
    }

    /// The commands, or one.
    #[must_use]
    pub fn help(&self, only: Option<&Spec>, moment: Moment) -> Vec<String> {
        self.tables(moment.columns).help(only)
    }

    /// What Tab could mean.
    #[must_use]
    pub fn choices(&self, names: &[String], moment: Moment) -> Vec<String> {
        self.tables(moment.columns).choices(names)
    }

    /// What was typed, for the record above its answer.
    #[must_use]
    pub fn typed(&self, line: &str) -> Vec<String> {
        line.lines().map(|line| self.paint.faint(&format!("> {}", display_safe(line)))).collect()
    }

    /// The last words, after what was heard in rooms and not read: nobody keeps it.
    #[must_use]
    pub fn farewell(&mut self, moment: Moment) -> Vec<String> {
        let rooms = self.unread.rooms();
        let missed: Vec<_> = rooms.iter().flat_map(|room| self.missed(room, moment)).collect();
        let goodbye = if self.rooms.is_empty() { "Goodbye." } else { "Goodbye. Your seats are kept." };
        missed.into_iter().chain([self.paint.system(goodbye)]).collect()
    }

    /// The line above the input.
    #[must_use]
    pub fn status_line(&self, status: &Status) -> StatusLine {
        let members = match &status.open {
            Some(Conversation::Room(name)) => self.rooms.members(name),
            _ => &[],
        };
        StatusLine::new(status, members)
    }

    fn tables(&self, columns: Option<usize>) -> Tables<'_> {
        Tables { paint: self.paint, you: Some(&self.you), columns }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, FixedOffset, TimeZone};
    use commons::snapshot::Member;

    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn view() -> View {
        View::new(user("ana"), Paint::plain())
    }

    fn at(day: u32, second: u32) -> DateTime<FixedOffset> {
        FixedOffset::east_opt(3600).unwrap().with_ymd_and_hms(2026, 11, day, 12, 0, second).unwrap()
    }

    fn moment() -> Moment {
        Moment { now: at(20, 0), columns: Some(80) }
    }

    fn sala(name: &str, members: &[(&str, bool)]) -> Event {
        let member = |(name, connected): &(&str, bool)| Member {
            username: user(name),
            connected: *connected,
            since: 1,
            keys: Vec::new(),
        };
        let members = members.iter().map(member).collect();
        let room = RoomSnapshot {
            id: Uuid::nil(),
            name: room(name),
            revision: 1,
            capacity: 3,
            owner: user("bob"),
            members,
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        };
        Event::RoomEntered { room: Box::new(room) }
    }

    fn said(place: Option<&str>, text: &str) -> Event {
        let sent_at = at(20, 7).to_utc();
        Event::Message {
            id: Uuid::nil(),
            room: place.map(room),
            from: user("bob"),
            content: text.into(),
            sent_at,
        }
    }

    fn change(kind: ChangeKind, members: &[&str]) -> Event {
        let members = members.iter().map(|name| user(name)).collect();
        Event::RoomUpdate { room: room("sala"), change: kind, username: user("carla"), members }
    }

    #[test]
    fn a_room_shows_who_is_there_and_what_is_said() {
        let mut view = view();
        let mut shown = |event| view.event(&event, moment());
        let header = ["── sala ── owner bob, 1 seat free", "   ● bob  ● ana (you)"];
        assert_eq!(shown(sala("sala", &[("bob", true), ("ana", true)])), header);
        assert_eq!(shown(said(Some("sala"), "hi")), ["[12:00:07] <bob> hi"]);
        let everybody = ["bob", "ana", "carla"];
        assert_eq!(shown(change(ChangeKind::Joined, &everybody)), ["*** carla joined"]);
        assert_eq!(
            shown(change(ChangeKind::Offline, &everybody)),
            ["*** carla went offline, the seat is kept"]
        );
        assert_eq!(shown(change(ChangeKind::Online, &everybody)), ["*** carla is back"]);
        assert_eq!(shown(change(ChangeKind::Left, &["bob", "ana"])), ["*** carla left"]);
        assert_eq!(shown(Event::RoomLeft { room: room("sala") }), ["*** you are no longer in sala"]);
    }

    #[test]
    fn what_is_said_elsewhere_is_noticed_once_and_shown_when_it_is_opened() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        view.event(&sala("equipe", &[("bob", true)]), moment());
        assert_eq!(view.event(&said(Some("sala"), "one"), moment()), ["· new in sala: /switch sala"]);
        assert!(view.event(&said(Some("sala"), "two"), moment()).is_empty());
        let called = view.event(&said(Some("sala"), "ana?"), moment());
        assert_eq!(called, ["\u{7}· bob calls you in sala: /switch sala"]);
        let open = Conversation::Room(room("sala"));
        let rows = view.opened(Some(&open), moment());
        let lines = ["[12:00:07] <bob> one", "[12:00:07] <bob> two", "\u{7}[12:00:07] <bob> ana?"];
        assert_eq!(rows[2..], lines, "{rows:#?}");
        assert!(view.opened(Some(&open), moment()).is_empty());
    }

    #[test]
    fn a_private_line_is_shown_at_once_and_again_in_its_chat() {
        let mut view = view();
        assert_eq!(view.event(&said(None, "psst"), moment()), ["[12:00:07] [PRIVATE from bob] psst"]);
        let chat = Conversation::Private(user("bob"));
        let sent = Event::Sent { id: Uuid::nil(), conversation: chat.clone(), content: "what?".into() };
        assert_eq!(view.event(&sent, moment()), ["[12:00:00] [PRIVATE to bob] what?"]);
        assert_eq!(view.opened(Some(&chat), moment())[1..], ["[12:00:07] <bob> psst"]);
        assert_eq!(view.event(&sent, moment()), ["[12:00:00] <ana> what?"]);
    }

    #[test]
    fn what_was_not_read_is_shown_before_it_is_gone() {
        let mut view = view();
        for name in ["sala", "equipe", "outra"] {
            view.event(&sala(name, &[("bob", true)]), moment());
        }
        view.event(&said(Some("sala"), "one"), moment());
        view.event(&said(Some("equipe"), "two"), moment());
        let deleted = view.event(&Event::RoomDeleted { room: room("sala") }, moment());
        let rows = ["── sala, not read yet ──", "[12:00:07] <bob> one", "*** this room was deleted: sala"];
        assert_eq!(deleted, rows);
        let last = ["── equipe, not read yet ──", "[12:00:07] <bob> two", "Goodbye. Your seats are kept."];
        assert_eq!(view.farewell(moment()), last);
    }

    #[test]
    fn no_text_can_look_like_another_line() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        let forged = "x\n[12:00:00] <ana> I said this\r\n*** carla joined\u{1b}[2K\n> ";
        let wrapping = format!("{}[12:00:00] <ana> nor this", "x".repeat(80));
        for columns in [None, Some(20), Some(40), Some(80)] {
            for text in [forged, &wrapping] {
                let rows = view.event(&said(Some("sala"), text), Moment { columns, ..moment() });
                assert!(rows[1..].iter().all(|row| row.starts_with("  ")), "{rows:#?}");
                assert!(!rows.concat().contains(['\u{1b}', '\r', '\n']), "{rows:#?}");
            }
        }
    }

    #[test]
    fn a_line_that_does_not_arrive_is_named() {
        let mut view = view();
        let conversation = Conversation::Room(room("sala"));
        view.event(&Event::Sent { id: Uuid::nil(), conversation, content: "hello\nworld".into() }, moment());
        let lost =
            Event::Undelivered { id: Uuid::nil(), to: user("bob"), reason: Undeliverable::Unreachable };
        let row = "[12:00:00] ✗ not delivered to bob (not connected or out of reach): \"hello\"";
        assert_eq!(view.event(&lost, moment()), [row]);
    }

    #[test]
    fn what_others_could_read_on_its_way_is_marked_also_when_it_is_read_later() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        view.event(&sala("equipe", &[("bob", true)]), moment());
        let link = |state, encrypted| Event::Link { peer: user("bob"), state, encrypted, verified: false };
        assert!(view.event(&link(LinkState::Up, false), moment())[0].contains("not encrypted"));
        assert_eq!(view.event(&said(Some("equipe"), "hi"), moment()), ["[12:00:07] <bob ~> hi"]);
        assert_eq!(view.event(&said(None, "psst"), moment()), ["[12:00:07] [PRIVATE from bob ~] psst"]);
        view.event(&said(Some("sala"), "later"), moment());
        view.event(&link(LinkState::Down, false), moment());
        assert!(view.event(&link(LinkState::Up, true), moment()).is_empty());
        let open = Conversation::Room(room("sala"));
        assert_eq!(view.opened(Some(&open), moment()).last().unwrap(), "[12:00:07] <bob ~> later");
        assert_eq!(view.event(&said(Some("sala"), "now"), moment()), ["[12:00:07] <bob> now"]);
    }

    #[test]
    fn a_new_day_has_a_line() {
        let mut view = view();
        view.event(&said(None, "late"), moment());
        let tomorrow = Moment { now: at(21, 9), ..moment() };
        let rows = view.event(&said(None, "later"), tomorrow);
        let expected = ["── Saturday, 21 November 2026 ──", "[2026-11-20 12:00:07] [PRIVATE from bob] later"];
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_tracker_is_news_only_when_it_goes_or_returns() {
        let mut view = view();
        let mut told = |state| view.event(&Event::Tracker { state }, moment()).len();
        let states =
            [TrackerState::Connected, TrackerState::Lost, TrackerState::Lost, TrackerState::Connected];
        assert_eq!(states.map(&mut told), [0, 1, 0, 1]);
    }

    #[test]
    fn errors_are_safe_and_say_what_to_do() {
        let msg = "no room \u{1b}[2Jx".into();
        let code = commons::protocol::with_tracker::ErrorCode::RoomNotFound;
        let rows = view().error(&CommandError::Refused { code, msg });
        assert_eq!(rows, ["✗ no room \\u{1b}[2Jx (/rooms lists those there are)"]);
    }
}
