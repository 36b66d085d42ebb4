//! The view: events and answers as rows for people, with colours. Pure.
//!
//! It keeps the state of the screen on which later rows depend.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::protocol::listed_peer::ListedPeer;
use commons::snapshot::{ChangeKind, RoomSnapshot};

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::past::WaitingMessage;
use crate::api::snapshot::Snapshot;
use crate::api::status::Status;
use crate::api::{Command, Event};
use crate::config::Notify;
use crate::frontends::conversations::Conversations;
use crate::frontends::slash_commands::Spec;
use crate::frontends::terminal::absence_banner::{PendingBanners, lagged_row, missing_row};
use crate::frontends::terminal::alerts::Alerts;
use crate::frontends::terminal::answer_rows::{AnswerRows, failure, password_wanted, refusal};
use crate::frontends::terminal::away_row::away_row;
use crate::frontends::terminal::connections::Connections;
use crate::frontends::terminal::date_rows::DateRows;
use crate::frontends::terminal::delivery_notices::DeliveryNotices;
use crate::frontends::terminal::folded_messages::FoldedMessages;
use crate::frontends::terminal::message_rows::{DisplayMessage, MessageRow, Moment};
use crate::frontends::terminal::room_entry_rows;
use crate::frontends::terminal::room_rows::RoomRows;
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::scrollback::Scrollback;
use crate::frontends::terminal::security_warnings::{self, KeyWarnings};
use crate::frontends::terminal::status_line::{StatusLine, shown};
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tables::Tables;
use crate::frontends::terminal::unread::Unread;
use crate::frontends::terminal::welcome::Welcome;
use crate::frontends::terminal::{admin_rows, request_rows, tracker_rows};
use crate::limits::MESSAGE_ROWS;

/// The state of the screen, as far as later rows depend on it.
pub struct View {
    pub(crate) paint: Style,
    pub(crate) you: Username,
    pub(crate) conversations: Conversations,
    /// The conversation under whose header the screen shows messages.
    pub(crate) shown: Option<Conversation>,
    pub(crate) unread: Unread,
    connections: Connections,
    deliveries: DeliveryNotices,
    alerts: Alerts,
    key_warnings: KeyWarnings,
    banners: PendingBanners,
    pub(crate) scrollback: Scrollback,
    dates: DateRows,
    pub(crate) folded: FoldedMessages,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("you", &self.you).field("open", &self.open()).finish_non_exhaustive()
    }
}

impl View {
    /// Creates a view of the state in this snapshot that has shown nothing yet.
    #[must_use]
    pub fn new(you: Username, snapshot: &Snapshot, paint: Style) -> Self {
        Self {
            paint,
            conversations: Conversations::new(you.clone(), snapshot).for_person(snapshot),
            you,
            shown: None,
            unread: Unread::of_earlier_runs(snapshot),
            connections: Connections::default(),
            deliveries: DeliveryNotices::default(),
            alerts: Alerts::new(Notify::default()),
            key_warnings: KeyWarnings::default(),
            banners: PendingBanners::default(),
            scrollback: Scrollback::default(),
            dates: DateRows::default(),
            folded: FoldedMessages::default(),
        }
    }

    /// Takes over what earlier runs left: the unread messages and the open conversation.
    pub(crate) fn resume(&mut self, begun: &Snapshot) {
        self.conversations.resume(begun);
        self.unread = Unread::of_earlier_runs(begun);
    }

    /// Sets how the terminal alerts the user to messages.
    #[must_use]
    pub fn notifying(self, notify: Notify) -> Self {
        Self { alerts: Alerts::new(notify), ..self }
    }

    /// Returns the bytes of the bell or notification that is due, to write to the terminal.
    pub fn alert(&mut self) -> Option<String> {
        self.alerts.take()
    }

    /// Renders the first rows: the user's name, the users and rooms, the next command, and the messages that an earlier
    /// run left.
    #[must_use]
    pub fn welcome(
        &mut self,
        peers: &[ListedPeer],
        rooms: &[RoomSnapshot],
        waiting: &[WaitingMessage],
    ) -> Vec<String> {
        self.deliveries.resume(waiting);
        Welcome { paint: self.paint, you: &self.you }.rows(peers, rooms, waiting.len())
    }

    /// Renders the first rows without a session with the tracker.
    pub(crate) fn welcome_offline(&mut self, tracker: &str, waiting: &[WaitingMessage]) -> Vec<String> {
        self.deliveries.resume(waiting);
        Welcome { paint: self.paint, you: &self.you }.offline_rows(tracker, waiting.len())
    }

    /// Goes on after a lag with the state of a snapshot, and the messages that wait.
    pub(crate) fn resync(&mut self, snapshot: &Snapshot, waiting: &[WaitingMessage]) {
        self.connections.resync(snapshot);
        self.deliveries = DeliveryNotices::default();
        self.deliveries.resume(waiting);
    }

    /// Returns the conversations as this screen shows them.
    pub fn conversations(&mut self) -> &mut Conversations {
        &mut self.conversations
    }

    pub(crate) fn open(&self) -> Option<&Conversation> {
        self.conversations.open()
    }

    fn is_open(&self, conversation: &Conversation) -> bool {
        self.open() == Some(conversation)
    }

    /// Renders an event, after a date row if the day has changed.
    pub fn event(&mut self, event: &Event, moment: Moment) -> Vec<String> {
        self.conversations.on_event(event);
        self.deliveries.note(event);
        self.banners.note(event);
        let mut rows = match event {
            Event::Link { peer, state, encrypted, .. } => {
                self.connections.link(self.paint, peer, *state, *encrypted)
            }
            Event::KeyChanged { peer, fingerprint: key } => self.key_warnings.changed(self.paint, peer, *key),
            Event::KeyAccepted { peer, endorsed } => self.key_warnings.accepted(self.paint, peer, *endorsed),
            Event::NewKey { fingerprint } => security_warnings::new_key(self.paint, *fingerprint),
            Event::Fork { conversation, author } => security_warnings::fork(self.paint, conversation, author),
            Event::PasswordWanted { tries_left } => vec![password_wanted(self.paint, *tries_left)],
            Event::RoomEntered { room } => self.entered(room),
            Event::Invited { room, by } => vec![self.room_rows().invitation(room, by)],
            Event::RoomAvailable { room } => vec![self.room_rows().available(room)],
            Event::RoomUpdate { room, change, username, .. } => self.room_changed(room, *change, username),
            Event::RoomEntry(entry) => room_entry_rows::rows(self.paint, entry, self.conversations.open()),
            Event::Admin(event) => admin_rows::event(self.paint, &self.you, event),
            Event::RoomLeft { room } => self.room_closed(room, "you are no longer in", moment),
            Event::RoomDeleted { room } => self.room_closed(room, "this room was deleted:", moment),
            Event::Message { muted: true, .. } => return Vec::new(),
            Event::Message { room, from, to, missing, .. } => {
                let private = || Conversation::Private(to.as_ref().unwrap_or(from).clone());
                let conversation = room.clone().map_or_else(private, Conversation::Room);
                let unencrypted = self.connections.is_unencrypted(from);
                let now = moment.now.to_utc();
                let Some(message) = DisplayMessage::received(event, unencrypted, now) else {
                    return Vec::new();
                };
                let banner =
                    self.banners.take(self.paint, &conversation, &message, self.conversations.open());
                banner.into_iter().chain(self.on_message(&conversation, message, *missing, moment)).collect()
            }
            Event::Sent { id, conversation, content, sent_at, .. } => {
                self.deliveries.sent(*id, content, self.conversations.audience(conversation), *sent_at);
                let message = DisplayMessage::own(*id, self.you.clone(), content.clone(), *sent_at);
                self.folded.keep(&message);
                self.message_row(conversation, &message, moment)
            }
            Event::ChatRequest { user } => request_rows::opened(self.paint, user),
            Event::ChatAccepted { user } => request_rows::accepted(self.paint, user),
            Event::Tracker { state, reason } => self.connections.tracker(self.paint, *state, *reason),
            Event::TrackerMoved { from, to } => vec![self.paint.system(&tracker_rows::moved(from, to))],
            Event::Presence { user, away } if *user == self.you => {
                vec![self.paint.system(&away_row(away.as_ref()))]
            }
            Event::HistoryErased { .. } => {
                self.folded.clear();
                Vec::new()
            }
            Event::Lagged => vec![lagged_row(self.paint)],
            Event::Error { message, .. } => vec![failure(self.paint, message)],
            // The status row and the answers show these, and later notices.
            _ => return Vec::new(),
        };
        self.dates.insert(&mut rows, self.paint, moment);
        rows
    }

    /// Renders the delivery notices that are due, given the events and the time.
    pub fn progress(&mut self, moment: Moment) -> Vec<String> {
        let mut rows = self.deliveries.due_rows(self.paint, moment);
        self.dates.insert(&mut rows, self.paint, moment);
        rows
    }

    /// Returns the time at which [`Self::progress`] may have rows without a new event.
    #[must_use]
    pub fn due(&self) -> Option<DateTime<Utc>> {
        self.deliveries.due()
    }

    fn entered(&mut self, room: &RoomSnapshot) -> Vec<String> {
        let conversation = Conversation::Room(room.name.clone());
        if !self.is_open(&conversation) {
            let name = shown(&conversation);
            return vec![self.paint.system(&format!("*** you are in {name} too: /switch {name} opens it"))];
        }
        self.shown = Some(conversation);
        // A room that was just created has no earlier messages.
        self.scrollback.is_due = room.revision > 1;
        self.room_rows().header(room)
    }

    fn room_changed(&mut self, name: &RoomName, change: ChangeKind, user: &Username) -> Vec<String> {
        let here = self.is_open(&Conversation::Room(name.clone()));
        vec![self.room_rows().change(name, change, user, here)]
    }

    pub(crate) fn room_rows(&self) -> RoomRows<'_> {
        RoomRows { paint: self.paint, you: &self.you }
    }

    /// Renders the end of a room on this device, with its unread messages: later they could not be shown.
    fn room_closed(&mut self, name: &RoomName, what: &str, moment: Moment) -> Vec<String> {
        let conversation = Conversation::Room(name.clone());
        let mut rows = self.unread_under_name(&conversation, moment);
        rows.push(self.paint.system(&format!("*** {what} {}", shown(&conversation))));
        rows.extend(self.opened());
        rows
    }

    /// Handles a received message: shows it if its conversation is open, otherwise shows a notice.
    fn on_message(
        &mut self,
        conversation: &Conversation,
        message: DisplayMessage,
        missing: u64,
        moment: Moment,
    ) -> Vec<String> {
        self.folded.keep(&message);
        let called = message.names(&self.you);
        let is_open = self.is_open(conversation);
        // The earlier messages already contain it.
        if is_open && self.scrollback.has_shown(message.id) {
            return Vec::new();
        }
        // A message from another device of this user is nothing new.
        let is_own = message.from == self.you;
        if is_own && !is_open {
            return Vec::new();
        }
        if !is_own && !message.filtered && !self.conversations.is_request(conversation) {
            self.alerts.on_message(conversation, &message, called, moment);
        }
        if is_open {
            let missing = (missing > 0).then(|| missing_row(self.paint, missing, &message.from));
            return missing.into_iter().chain(self.message_row(conversation, &message, moment)).collect();
        }
        if let Conversation::Private(_) = conversation {
            let rows = self.message_row(conversation, &message, moment);
            self.unread.keep(conversation, message);
            return rows;
        }
        let (from, name) = (message.from.clone(), shown(conversation));
        let first = self.unread.keep(conversation, message);
        let called = called.then(|| {
            let row = format!("· {from} calls you in {name}: /switch {name}");
            self.paint.mention(&row)
        });
        let notice = || self.paint.system(&format!("· new in {name}: /switch {name}"));
        called.or_else(|| first.then(notice)).into_iter().collect()
    }

    /// Renders a message as `[HH:MM:SS] <user> text`; one of a private chat that is not open is marked as private.
    pub(crate) fn message_row(
        &self,
        of: &Conversation,
        message: &DisplayMessage,
        moment: Moment,
    ) -> Vec<String> {
        let row = MessageRow { message, moment, paint: self.paint, most: MESSAGE_ROWS };
        match of {
            Conversation::Private(user) if !self.is_open(of) => {
                let way = if message.from == self.you { "to" } else { "from" };
                let mark = if message.unencrypted { " ~" } else { "" };
                row.private(&format!("[PRIVATE {way} {user}{mark}]"), message.from == self.you)
            }
            // Written at another frontend of this peer.
            Conversation::Room(_) if message.from == self.you && !self.is_open(of) => {
                row.private(&format!("[to {}]", shown(of)), true)
            }
            _ if message.names(&self.you) => row.mention(),
            _ => row.plain(),
        }
    }

    /// Renders the answer to a command.
    pub fn answer(&mut self, answer: &Answer, command: &Command, moment: Moment) -> Vec<String> {
        if let Command::Show { id } = command {
            return self.folded.rows(id, self.paint, moment);
        }
        self.folded.keep_all(answer);
        let tables = self.tables(moment.columns);
        AnswerRows { paint: self.paint, tables, moment }.rows(answer, command)
    }

    /// Renders the reason why a command was not carried out, with advice.
    #[must_use]
    pub fn error(&self, error: &CommandError) -> Vec<String> {
        vec![refusal(self.paint, error)]
    }

    /// Renders the list of commands, or one of them.
    #[must_use]
    pub fn help(&self, only: Option<&Spec>, moment: Moment) -> Vec<String> {
        self.tables(moment.columns).help(only)
    }

    /// Renders the possible completions.
    #[must_use]
    pub fn choices(&self, names: &[String], moment: Moment) -> Vec<String> {
        self.tables(moment.columns).choices(names)
    }

    /// Renders a hint about a key.
    #[must_use]
    pub fn hint(&self, text: &str) -> Vec<String> {
        vec![self.paint.faint(text)]
    }

    /// Renders the typed line, for display above its answer.
    #[must_use]
    pub fn typed(&self, line: &str) -> Vec<String> {
        let rows = line.lines().map(|line| self.paint.faint(&format!("> {}", sanitize(line))));
        rows.take(MESSAGE_ROWS).collect()
    }

    /// Renders the last rows, after the unread messages of rooms.
    #[must_use]
    pub fn farewell(&mut self, moment: Moment) -> Vec<String> {
        let progress = self.progress(moment);
        let rooms = self.unread.rooms();
        let unread: Vec<_> = rooms.iter().flat_map(|room| self.unread_under_name(room, moment)).collect();
        let goodbye =
            if self.conversations.rooms().is_empty() { "Goodbye." } else { "Goodbye. Your seats are kept." };
        progress.into_iter().chain(unread).chain([self.paint.system(goodbye)]).collect()
    }

    /// Returns the content of the status row.
    #[must_use]
    pub fn status_line(&self, status: &Status) -> StatusLine {
        let members = match &status.open {
            Some(Conversation::Room(name)) => self.conversations.rooms().members(name),
            _ => &[],
        };
        StatusLine::new(status, members, self.deliveries.waiting())
    }

    fn tables(&self, columns: Option<usize>) -> Tables<'_> {
        Tables { paint: self.paint, you: Some(&self.you), columns }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, FixedOffset, TimeZone};
    use commons::snapshot::Member;
    use uuid::Uuid;

    use super::*;
    use crate::api::past::{PastConversation, PastMessage};
    use crate::api::snapshot::UnreadSummary;
    use crate::api::status::LinkState;
    use crate::api::status::TrackerState;
    use crate::api::undeliverable::Undeliverable;
    use crate::frontends::terminal::scrollback::NEW;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn nothing() -> Snapshot {
        Snapshot::signed_out(String::new(), None, String::new())
    }

    fn view() -> View {
        View::new(user("ana"), &nothing(), Style::plain())
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
            endorsements: Vec::new(),
            in_menu: false,
        };
        let members = members.iter().map(member).collect();
        let room = RoomSnapshot {
            id: Uuid::nil(),
            name: room(name),
            revision: 1,
            capacity: 3,
            log: None,
            owner: user("bob"),
            members,
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        };
        Event::RoomEntered { room: Box::new(room) }
    }

    fn message(name: Option<&str>, text: &str) -> Event {
        let sent_at = at(20, 7).to_utc();
        Event::Message {
            id: Uuid::nil(),
            room: name.map(room),
            from: user("bob"),
            to: None,
            content: text.into(),
            sent_at,
            late: false,
            missing: 0,
            filtered: false,
            request: false,
            muted: false,
        }
    }

    /// Opens a conversation by a command, and returns its header.
    fn switch(view: &mut View, conversation: &Conversation) -> Vec<String> {
        let command = Command::Open { conversation: conversation.clone() };
        view.conversations().on_answer(&command, &mut Answer::Done);
        view.opened()
    }

    fn not_asked() -> Result<Answer, CommandError> {
        Err(CommandError::PasswordWanted { tries_left: 3 })
    }

    fn change(kind: ChangeKind, members: &[&str]) -> Event {
        let present: Vec<_> = members.iter().map(|name| (*name, true)).collect();
        let Event::RoomEntered { room: room_state } = sala("sala", &present) else { panic!() };
        let members = members.iter().map(|name| user(name)).collect();
        Event::RoomUpdate { room: room("sala"), change: kind, username: user("carla"), members, room_state }
    }

    /// Returns a message of bob from the history.
    fn past(id: u128, text: &str) -> PastMessage {
        PastMessage {
            id: Uuid::from_u128(id),
            from: user("bob"),
            content: text.into(),
            sent_at: at(20, 1).to_utc(),
            signed: true,
            filtered: false,
            muted: false,
        }
    }

    #[test]
    fn room_shows_its_members_and_messages() {
        let mut view = view();
        let mut shown = |event| view.event(&event, moment());
        let header = ["── sala ── owner bob, 1 seat free", "   ● bob  ● ana (you)"];
        assert_eq!(shown(sala("sala", &[("bob", true), ("ana", true)])), header);
        assert_eq!(shown(message(Some("sala"), "hi")), ["[12:00:07] <bob> hi"]);
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
    fn message_elsewhere_is_noticed_once_and_shown_on_opening() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        view.event(&sala("equipe", &[("bob", true)]), moment());
        assert_eq!(view.event(&message(Some("sala"), "one"), moment()), ["· new in sala: /switch sala"]);
        assert!(view.event(&message(Some("sala"), "two"), moment()).is_empty());
        let called = view.event(&message(Some("sala"), "ana?"), moment());
        assert_eq!(called, ["· bob calls you in sala: /switch sala"]);
        assert!(view.alert().is_some());
        let open = Conversation::Room(room("sala"));
        assert_eq!(switch(&mut view, &open).len(), 2);
        let rows = view.arrive(&not_asked(), moment());
        let hint = "   /history shows what was said before";
        let lines = [hint, NEW, "[12:00:07] <bob> one", "[12:00:07] <bob> two", "[12:00:07] >> <bob> ana?"];
        assert_eq!(rows, lines, "{rows:#?}");
        assert_eq!(view.alert(), None, "it has rung before");
        assert!(switch(&mut view, &open).is_empty());
    }

    #[test]
    fn unread_messages_of_an_earlier_run_stand_below_new() {
        let mut view = view();
        let (bob, sala_room) = (Conversation::Private(user("bob")), Conversation::Room(room("sala")));
        let summary = |messages, first| UnreadSummary {
            conversation: Conversation::Room(room("sala")),
            messages,
            first: Uuid::from_u128(first),
        };
        let begun = |unread| Snapshot { last_open: Some(bob.clone()), unread: vec![unread], ..nothing() };
        view.resume(&begun(summary(30, 2)));
        view.event(&sala("sala", &[("bob", true)]), moment());
        view.event(&sala("equipe", &[("bob", true)]), moment());
        assert_eq!(view.conversations().open(), None, "no room is opened on the way");
        view.conversations().set_started();
        assert_eq!(view.conversations().open(), Some(&bob), "the chat of the earlier run");
        assert_eq!(view.opened().len(), 1);
        view.arrive(&Ok(Answer::Done), moment());
        switch(&mut view, &sala_room);
        let Command::History { lines: 30, .. } = view.look_back() else {
            panic!("too few messages are read")
        };
        let answer = |lines| {
            Ok(Answer::History { of: PastConversation::Room(room("sala")), named: None, lines, more: false })
        };
        let rows = view.arrive(&answer(vec![past(1, "old"), past(2, "unread"), past(3, "ana?")]), moment());
        assert_eq!(
            rows,
            ["[12:00:01] <bob> old", NEW, "[12:00:01] <bob> unread", "[12:00:01] >> <bob> ana?"]
        );
        assert_eq!(view.arrive(&answer(vec![past(3, "ana?")]), moment()).len(), 1, "they are read now");
        // A locked history shows how many there are.
        view.resume(&begun(summary(2, 2)));
        assert_eq!(view.arrive(&not_asked(), moment()), ["── 2 new messages: /history shows them ──"]);
    }

    #[test]
    fn private_message_is_shown_at_once_and_in_its_chat() {
        let mut view = view();
        assert_eq!(view.event(&message(None, "psst"), moment()), ["[12:00:07] >> [PRIVATE from bob] psst"]);
        assert!(view.alert().is_some());
        let chat = Conversation::Private(user("bob"));
        let sent = Event::Sent {
            id: Uuid::nil(),
            conversation: chat.clone(),
            content: "what?".into(),
            sent_at: moment().now.to_utc(),
            recipients: None,
        };
        assert_eq!(view.event(&sent, moment()), ["[12:00:00] [PRIVATE to bob] what?"]);
        assert_eq!(switch(&mut view, &chat).len(), 1);
        assert_eq!(view.arrive(&Ok(Answer::Done), moment()), [NEW, "[12:00:07] <bob> psst"]);
        assert_eq!(view.event(&sent, moment()), ["[12:00:00] <ana> what?"]);
    }

    #[test]
    fn own_messages_and_those_of_the_history_do_not_ring() {
        let mut view = view();
        let Event::RoomEntered { mut room } = sala("sala", &[("bob", true), ("ana", true)]) else { panic!() };
        room.revision = 7;
        let (of, conversation) =
            (PastConversation::Room(room.name.clone()), Conversation::Room(room.name.clone()));
        view.event(&Event::RoomEntered { room }, moment());
        view.arrive(
            &Ok(Answer::History { of, named: None, lines: vec![past(0, "ana, before")], more: false }),
            moment(),
        );
        view.event(&message(Some("sala"), "ana, before"), moment());
        view.event(
            &Event::Sent {
                id: Uuid::nil(),
                conversation,
                content: "I am ana".into(),
                sent_at: moment().now.to_utc(),
                recipients: None,
            },
            moment(),
        );
        assert_eq!(view.alert(), None);
        let Event::Message { room, from, to, content, sent_at, late, missing, .. } =
            message(Some("sala"), "ana!")
        else {
            panic!()
        };
        let mention = Event::Message {
            id: Uuid::max(),
            room,
            from,
            to,
            content,
            sent_at,
            late,
            missing,
            filtered: false,
            request: false,
            muted: false,
        };
        view.event(&mention, Moment { columns: None, ..moment() });
        assert_eq!(view.alert(), None, "a pipe has no bell");
        view.event(&mention, moment());
        assert!(view.alert().is_some());
    }

    #[test]
    fn muted_member_and_request_ring_no_bell() {
        let with = |mute: bool, is_request: bool, room_name: Option<&str>| {
            let mut view = view();
            if is_request {
                let rows = view.event(&Event::ChatRequest { user: user("bob") }, moment());
                assert!(rows[0].contains("/accept-chat bob"), "{rows:?}");
            }
            let mut event = message(room_name, "ana!");
            if let Event::Message { id, muted, .. } = &mut event {
                (*id, *muted) = (Uuid::max(), mute);
            }
            let rows = view.event(&event, moment());
            (rows.is_empty(), view.alert().is_some())
        };
        assert_eq!(with(true, false, Some("sala")), (true, false));
        assert_eq!(with(false, true, None), (false, false));
        // The controls: the same messages without these marks.
        assert_eq!(with(false, false, Some("sala")), (false, true));
        assert_eq!(with(false, false, None), (false, true));
    }

    #[test]
    fn a_warning_of_a_key_is_followed_by_an_all_clear() {
        let mut view = view();
        let accepted = |endorsed| Event::KeyAccepted { peer: user("bob"), endorsed };
        assert!(view.event(&accepted(true), moment()).is_empty(), "nobody was warned");
        let fingerprint = commons::keys::PublicKey::new([7; 32]);
        view.event(&Event::KeyChanged { peer: user("bob"), fingerprint }, moment());
        let rows = view.event(&accepted(true), moment());
        assert_eq!(rows[0], "*** All clear: a key of bob that you know vouches for the new one.");
        assert!(view.event(&accepted(true), moment()).is_empty(), "told once");
        assert_eq!(view.event(&accepted(false), moment()).len(), 2);
    }

    #[test]
    fn unread_messages_are_shown_before_the_end() {
        let mut view = view();
        for name in ["sala", "equipe", "outra"] {
            view.event(&sala(name, &[("bob", true)]), moment());
        }
        view.event(&message(Some("sala"), "one"), moment());
        view.event(&message(Some("equipe"), "two"), moment());
        let deleted = view.event(&Event::RoomDeleted { room: room("sala") }, moment());
        let rows = ["── sala, not read yet ──", "[12:00:07] <bob> one", "*** this room was deleted: sala"];
        assert_eq!(deleted, rows);
        let last = ["── equipe, not read yet ──", "[12:00:07] <bob> two", "Goodbye. Your seats are kept."];
        assert_eq!(view.farewell(moment()), last);
    }

    #[test]
    fn no_text_can_look_like_another_row() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        let forged = "x\n[12:00:00] <ana> I said this\r\n*** carla joined\u{1b}[2K\n> ";
        let wrapping = format!("{}[12:00:00] <ana> nor this", "x".repeat(80));
        for columns in [None, Some(20), Some(40), Some(80)] {
            for text in [forged, &wrapping] {
                let rows = view.event(&message(Some("sala"), text), Moment { columns, ..moment() });
                assert!(rows[1..].iter().all(|row| row.starts_with("  ")), "{rows:#?}");
                assert!(!rows.concat().contains(['\u{1b}', '\r', '\n']), "{rows:#?}");
            }
        }
    }

    #[test]
    fn message_that_does_not_arrive_is_named() {
        let mut view = view();
        let conversation = Conversation::Room(room("sala"));
        view.event(
            &Event::Sent {
                id: Uuid::nil(),
                conversation,
                content: "hello\nworld".into(),
                sent_at: moment().now.to_utc(),
                recipients: None,
            },
            moment(),
        );
        let lost =
            Event::Undelivered { id: Uuid::nil(), to: user("bob"), reason: Undeliverable::TextTooLong };
        assert!(view.event(&lost, moment()).is_empty(), "others may follow");
        let row = "[12:00:00] ✗ not delivered to bob (too long for that user's program): \"hello\"";
        assert_eq!(view.progress(moment()), [row]);
    }

    #[test]
    fn message_waits_for_members_who_do_not_have_it() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true), ("ana", true), ("carla", false)]), moment());
        let conversation = Conversation::Room(room("sala"));
        view.event(
            &Event::Sent {
                id: Uuid::nil(),
                conversation,
                content: "hello".into(),
                sent_at: moment().now.to_utc(),
                recipients: None,
            },
            moment(),
        );
        view.event(&Event::Delivered { id: Uuid::nil(), to: user("bob") }, moment());
        assert!(view.progress(moment()).is_empty());
        assert_eq!(view.due(), Some(at(20, 2).to_utc()));
        let later = Moment { now: at(20, 2), ..moment() };
        assert_eq!(view.progress(later), ["… your message waits here for carla"]);
        view.event(&Event::Delivered { id: Uuid::nil(), to: user("carla") }, later);
        assert_eq!(view.progress(later), ["✓ carla has your message now"]);
    }

    #[test]
    fn missed_messages_are_announced_marked_and_counted() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true), ("ana", true)]), moment());
        let conversation = Conversation::Room(room("sala"));
        let absence = Event::Missed { conversation, people: 2, lines: 12 };
        assert!(view.event(&absence, moment()).is_empty(), "the banner waits for the messages");
        let mut late = message(Some("sala"), "hi");
        if let Event::Message { late, missing, .. } = &mut late {
            (*late, *missing) = (true, 3);
        }
        let later = Moment { now: at(20, 30), ..moment() };
        let banner = "── 2 people wrote 12 messages while you were away ──";
        let rows = ["(3 earlier messages of bob not here yet)", "[12:00:07] ↺ <bob> hi"];
        assert_eq!(view.event(&late, later), [banner, rows[0], rows[1]]);
        assert_eq!(view.event(&late, later), rows, "the banner came");
        let soon = Moment { now: at(20, 8), ..moment() };
        view.event(&absence, soon);
        assert_eq!(view.event(&late, soon), [rows[0], "[12:00:07] <bob> hi"], "nobody would call that late");
    }

    #[test]
    fn earlier_messages_are_shown_above_and_once() {
        let mut view = view();
        let Event::RoomEntered { mut room } = sala("sala", &[("bob", true), ("ana", true)]) else { panic!() };
        room.revision = 7;
        let of = PastConversation::Room(room.name.clone());
        view.event(&Event::RoomEntered { room }, moment());
        assert!(view.has_arrived());
        let (id, content) = (Uuid::nil(), "before".into());
        let past = PastMessage {
            id,
            from: user("bob"),
            content,
            sent_at: at(20, 1).to_utc(),
            signed: true,
            filtered: false,
            muted: false,
        };
        let looked = Ok(Answer::History { of, named: None, lines: vec![past], more: false });
        assert_eq!(view.arrive(&looked, moment()), ["[12:00:01] <bob> before"]);
        assert!(view.event(&message(Some("sala"), "before"), moment()).is_empty(), "it stands there");
        assert!(!view.has_arrived());
    }

    #[test]
    fn plaintext_message_is_marked_even_if_read_later() {
        let mut view = view();
        view.event(&sala("sala", &[("bob", true)]), moment());
        view.event(&sala("equipe", &[("bob", true)]), moment());
        let link = |state, encrypted| Event::Link { peer: user("bob"), state, encrypted, verified: false };
        assert!(view.event(&link(LinkState::Up, false), moment())[0].contains("not encrypted"));
        assert_eq!(view.event(&message(Some("equipe"), "hi"), moment()), ["[12:00:07] <bob ~> hi"]);
        assert_eq!(view.event(&message(None, "psst"), moment()), ["[12:00:07] >> [PRIVATE from bob ~] psst"]);
        view.event(&message(Some("sala"), "later"), moment());
        view.event(&link(LinkState::Down, false), moment());
        assert!(view.event(&link(LinkState::Up, true), moment()).is_empty());
        switch(&mut view, &Conversation::Room(room("sala")));
        assert_eq!(view.arrive(&Ok(Answer::Done), moment()), [NEW, "[12:00:07] <bob ~> later"]);
        assert_eq!(view.event(&message(Some("sala"), "now"), moment()), ["[12:00:07] <bob> now"]);
    }

    #[test]
    fn own_message_for_another_room_names_that_room() {
        let mut view = view();
        view.event(&sala("sala", &[("ana", true)]), moment());
        let sent = |name| Event::Sent {
            id: Uuid::nil(),
            conversation: Conversation::Room(room(name)),
            content: "by the page".into(),
            sent_at: at(20, 7).to_utc(),
            recipients: None,
        };
        assert_eq!(view.event(&sent("equipe"), moment()), ["[12:00:07] [to equipe] by the page"]);
        assert_eq!(view.event(&sent("sala"), moment()), ["[12:00:07] <ana> by the page"]);
    }

    #[test]
    fn a_new_day_has_a_line() {
        let mut view = view();
        view.event(&message(None, "late"), moment());
        let tomorrow = Moment { now: at(21, 9), ..moment() };
        let rows = view.event(&message(None, "later"), tomorrow);
        let expected =
            ["── Saturday, 21 November 2026 ──", "[2026-11-20 12:00:07] >> [PRIVATE from bob] later"];
        assert_eq!(rows, expected);
    }

    #[test]
    fn tracker_is_reported_only_on_loss_and_return() {
        let mut view = view();
        let mut rows = |state| view.event(&Event::Tracker { state, reason: None }, moment()).len();
        let states =
            [TrackerState::Connected, TrackerState::Lost, TrackerState::Lost, TrackerState::Connected];
        assert_eq!(states.map(&mut rows), [0, 1, 0, 1]);
    }

    #[test]
    fn errors_are_safe_and_say_what_to_do() {
        let msg = "no room \u{1b}[2Jx";
        let code = commons::protocol::with_tracker::ErrorCode::RoomNotFound;
        let rows = view().error(&CommandError::refused(code, msg));
        assert_eq!(rows, ["✗ no room \\u{1b}[2Jx (/rooms lists those there are)"]);
    }
}
