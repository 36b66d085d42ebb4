//! What happens, in the words and colours that a person reads. Pure: events and answers in, rows of the screen out.

use std::collections::{BTreeMap, VecDeque};

use chrono::NaiveDate;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{ErrorCode, ListedPeer};
use commons::snapshot::{ChangeKind, Member, RoomSnapshot};
use uuid::Uuid;

use crate::api::{Answer, Command, CommandError, Conversation, Event, Status, TrackerState, Undeliverable};
use crate::limits::NAMED_LINES;
use crate::terminal::commands::Spec;
use crate::terminal::layout::shorten;
use crate::terminal::line::{Line, Moment, Said};
use crate::terminal::paint::Paint;
use crate::terminal::safe_text::display_safe;
use crate::terminal::status_line::{shown, status_line};
use crate::terminal::tables::{Tables, counted};
use crate::terminal::unread::Unread;

/// What the screen shows, as far as later rows depend on it.
pub struct View {
    paint: Paint,
    you: Username,
    open: Option<Conversation>,
    rooms: BTreeMap<RoomName, RoomSnapshot>,
    unread: Unread,
    own_lines: VecDeque<(Uuid, String)>,
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
            rooms: BTreeMap::new(),
            unread: Unread::default(),
            own_lines: VecDeque::new(),
            day: None,
            tracker_lost: false,
        }
    }

    /// The first rows: who one is, what goes on, what to type next.
    #[must_use]
    pub fn welcome(&self, peers: &[ListedPeer], rooms: &[RoomSnapshot]) -> Vec<String> {
        const NAMED: usize = 8;
        let list = |names: Vec<String>| match names.len() {
            0..=NAMED => names.join(", "),
            more => format!("{} and {} more", names[..NAMED].join(", "), more - NAMED),
        };
        let others = || peers.iter().map(|peer| &peer.username).filter(|name| **name != self.you.as_str());
        let online = list(others().map(|name| display_safe(name)).collect());
        let seats = |room: &RoomSnapshot| {
            format!("{} {}/{}", display_safe(room.name.as_str()), room.members.len(), room.capacity)
        };
        let there = list(rooms.iter().map(seats).collect());
        let or = |list: String, none: &str| if list.is_empty() { none.to_owned() } else { list };
        let free =
            rooms.iter().find(|room| room.members.len() < room.capacity && !room.has_member(&self.you));
        let enter = free.map_or_else(
            || "/create sala".to_owned(),
            |room| format!("/join {}", display_safe(room.name.as_str())),
        );
        let whisper = others().next().map(|name| format!("@{} hi", display_safe(name)));
        let next = std::iter::once(enter).chain(whisper).chain(["/help".to_owned()]).collect::<Vec<_>>();
        let you = self.paint.of_user(self.you.as_str(), self.you.as_str());
        vec![
            format!("{} {you}.", self.paint.system("Welcome,")),
            format!("  {}  {}", self.paint.faint("online"), or(online, "nobody else yet")),
            format!("  {}   {}", self.paint.faint("rooms"), or(there, "none yet")),
            format!("  {}  {}", self.paint.faint("try   "), self.paint.strong(&next.join("   "))),
        ]
    }

    /// What an event looks like.
    pub fn event(&mut self, event: &Event, moment: Moment) -> Vec<String> {
        let mut rows = match event {
            Event::LoggedIn { .. } | Event::Link { .. } | Event::Delivered { .. } => return Vec::new(),
            Event::RoomEntered { room } => self.entered(room),
            Event::RoomUpdate { room, change, username, members } => {
                self.room_changed(room, *change, username, members)
            }
            Event::RoomLeft { room } => self.room_gone(room, "you are no longer in"),
            Event::RoomDeleted { room } => self.room_gone(room, "this room was deleted:"),
            Event::Message { room, from, content, sent_at, .. } => {
                let conversation =
                    room.clone().map_or_else(|| Conversation::Private(from.clone()), Conversation::Room);
                let said = Said { from: from.clone(), text: content.clone(), at: *sent_at };
                self.heard(&conversation, said, moment)
            }
            Event::Sent { id, conversation, content } => {
                if self.own_lines.len() >= NAMED_LINES {
                    self.own_lines.pop_front();
                }
                self.own_lines.push_back((*id, content.clone()));
                let said = Said { from: self.you.clone(), text: content.clone(), at: moment.now.to_utc() };
                self.said(conversation, &said, moment)
            }
            Event::Undelivered { id, to, reason } => self.undelivered(*id, to, *reason, moment),
            Event::Tracker { state } => self.tracker(*state),
            Event::Error { message, .. } => vec![self.failed(message)],
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

    fn entered(&mut self, room: &RoomSnapshot) -> Vec<String> {
        self.rooms.insert(room.name.clone(), room.clone());
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
        let title = format!("── {} ── {owner}, {free}", display_safe(room.name.as_str()));
        vec![self.paint.system(&title), format!("   {}", who.join("  "))]
    }

    fn room_changed(
        &mut self,
        name: &RoomName,
        change: ChangeKind,
        who: &Username,
        members: &[Username],
    ) -> Vec<String> {
        if let Some(room) = self.rooms.get_mut(name) {
            room.members.retain(|member| members.contains(&member.username));
            let online = matches!(change, ChangeKind::Joined | ChangeKind::Online);
            match room.members.iter_mut().find(|member| member.username == *who) {
                Some(member) => member.connected = online,
                None if online => {
                    let keys = Vec::new();
                    room.members.push(Member { username: who.clone(), connected: true, since: 0, keys });
                }
                None => {}
            }
        }
        let here = self.open == Some(Conversation::Room(name.clone()));
        let place = if here { String::new() } else { format!(" {}", display_safe(name.as_str())) };
        let of = if here { String::new() } else { format!(" (in{place})") };
        vec![self.paint.system(&match change {
            ChangeKind::Joined => format!("*** {who} joined{place}"),
            ChangeKind::Left => format!("*** {who} left{place}"),
            ChangeKind::Offline => format!("*** {who} went offline, the seat is kept{of}"),
            ChangeKind::Online => format!("*** {who} is back{of}"),
            ChangeKind::Deleted => format!("*** {who} deleted{place}"),
        })]
    }

    fn room_gone(&mut self, name: &RoomName, what: &str) -> Vec<String> {
        self.rooms.remove(name);
        let conversation = Conversation::Room(name.clone());
        self.unread.take(&conversation);
        if self.open.as_ref() == Some(&conversation) {
            self.open = None;
        }
        vec![self.paint.system(&format!("*** {what} {}", shown(&conversation)))]
    }

    /// A line of somebody else: shown where it is read, noticed where it is not.
    fn heard(&mut self, conversation: &Conversation, said: Said, moment: Moment) -> Vec<String> {
        if self.open.as_ref() == Some(conversation) {
            return self.said(conversation, &said, moment);
        }
        let called = self.line(&said, moment).calls(&self.you);
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
                line.private(&format!("[PRIVATE {way} {user}]"))
            }
            _ if said.from != self.you && line.calls(&self.you) => line.mention(),
            _ => line.plain(),
        }
    }

    fn undelivered(&mut self, id: Uuid, to: &Username, reason: Undeliverable, moment: Moment) -> Vec<String> {
        const QUOTED: usize = 30;
        let why = match reason {
            Undeliverable::Unreachable => "not connected or out of reach",
            Undeliverable::QueueFull => "too much is waiting for that user already",
            Undeliverable::TextTooLong => "too long for that user's program",
        };
        let own = self.own_lines.iter().rev().find(|(own, _)| *own == id);
        let quote = own.map_or_else(String::new, |(_, text)| {
            let first = display_safe(text.lines().next().unwrap_or_default());
            format!(": \"{}\"", shorten(&first, QUOTED))
        });
        let time = self.paint.faint(&moment.now.format("[%H:%M:%S]").to_string());
        vec![format!("{time} {}", self.paint.failure(&format!("✗ not delivered to {to} ({why}){quote}")))]
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
        let tables = self.tables(moment.columns);
        match answer {
            Answer::Done => self.done(command),
            Answer::Peers { peers } => tables.peers(peers),
            Answer::Rooms { rooms } => tables.rooms(rooms),
            Answer::Users { conversation, members } => tables.members(&shown(conversation), members),
            Answer::WhoAmI { status } => tables.status(status),
            Answer::Blocked { users } => {
                let names: Vec<_> = users.iter().map(Username::as_str).collect();
                vec![self.paint.system(&match names.as_slice() {
                    [] => "everybody's private lines are heard".to_owned(),
                    names => format!("shut out, in private: {}", names.join(", ")),
                })]
            }
            Answer::Quit { undelivered } => {
                let row = |(user, lines): &(Username, usize)| {
                    let what = counted(*lines, "line", "lines");
                    self.paint.failure(&format!("✗ {what} did not reach {user}"))
                };
                undelivered.iter().map(row).collect()
            }
        }
    }

    /// What was done without an event that tells of it.
    fn done(&self, command: &Command) -> Vec<String> {
        let row = match command {
            Command::Block { user: Some(user) } => format!("{user}'s private lines are shut out now"),
            Command::Unblock { user } => format!("{user}'s private lines are heard again"),
            Command::Leave { conversation } => match conversation.as_ref().or(self.open.as_ref()) {
                Some(Conversation::Private(user)) => format!("*** the chat with {user} is closed"),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        vec![self.paint.system(&row)]
    }

    /// What the open conversation shows where it is another than before: its header, and what was missed in it.
    pub fn opened(&mut self, open: Option<&Conversation>, moment: Moment) -> Vec<String> {
        if self.open.as_ref() == open {
            return Vec::new();
        }
        let mut rows = match open {
            None => Vec::new(),
            Some(Conversation::Room(name)) => match self.rooms.get(name) {
                Some(room) => self.room_header(room),
                // Its `room_entered` is on the way.
                None => return Vec::new(),
            },
            Some(Conversation::Private(user)) => {
                let title = format!("── @{user} ── only {user} reads this; /leave closes it");
                vec![self.paint.system(&title)]
            }
        };
        self.open = open.cloned();
        if let Some(open) = open {
            let missed = self.unread.take(open);
            if missed.dropped > 0 {
                rows.push(self.paint.system(&format!("({} earlier lines were not kept)", missed.dropped)));
            }
            rows.extend(missed.lines.iter().flat_map(|said| self.said(open, said, moment)));
        }
        rows
    }

    /// Why something was not done, and what to do about it.
    #[must_use]
    pub fn error(&self, error: &CommandError) -> Vec<String> {
        let advice = match error {
            CommandError::Refused { code, .. } => match code {
                ErrorCode::RoomNotFound => " (/rooms lists those there are)",
                ErrorCode::RoomExists => " (/join it, or choose another name)",
                ErrorCode::RoomFull => " (/rooms shows free seats)",
                ErrorCode::PeerNotFound => " (/peers shows who is online)",
                _ => "",
            },
            _ => "",
        };
        vec![self.failed(&format!("{error}{advice}"))]
    }

    fn failed(&self, message: &str) -> String {
        self.paint.failure(&format!("✗ {}", display_safe(message)))
    }

    /// The commands, or one.
    #[must_use]
    pub fn help(&self, only: Option<&Spec>, moment: Moment) -> Vec<String> {
        self.tables(moment.columns).help(only)
    }

    /// What was typed, for the record above its answer.
    #[must_use]
    pub fn typed(&self, line: &str) -> Vec<String> {
        line.lines().map(|line| self.paint.faint(&format!("> {}", display_safe(line)))).collect()
    }

    /// The last words.
    #[must_use]
    pub fn farewell(&self) -> Vec<String> {
        vec![self.paint.system("Goodbye. Your seats are kept.")]
    }

    /// The line above the input.
    #[must_use]
    pub fn status_line(&self, status: &Status, columns: usize) -> String {
        let members = match &status.open {
            Some(Conversation::Room(name)) => self.rooms.get(name).map(|room| room.members.as_slice()),
            _ => None,
        };
        status_line(status, members.unwrap_or_default(), columns, self.paint)
    }

    fn tables(&self, columns: Option<usize>) -> Tables<'_> {
        Tables { paint: self.paint, you: Some(&self.you), columns }
    }
}
