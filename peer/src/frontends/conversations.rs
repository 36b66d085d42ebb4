//! The conversations as one frontend sees them: the open one, and the unread messages of the others. Pure.
//!
//! Each frontend has its own. It is changed by the events of the service and by the frontend's own commands, never by
//! those of another frontend.
//!
//! Example: this frontend has `sala` open. Another one joins `equipe`, so both get `room_entered`; here `sala` stays
//! open, and a message in `equipe` is unread.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::administration::AdminEvent;
use commons::names::{RoomName, Username};

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::snapshot::{Snapshot, UnreadSummary};
use crate::api::status::Status;
use crate::api::{Command, Event};
use crate::frontends::rooms::Rooms;

/// The rooms of this user, the open conversation, and the number of unread messages elsewhere.
#[derive(Debug)]
pub struct Conversations {
    you: Username,
    rooms: Rooms,
    open: Option<Conversation>,
    /// Unread messages by conversation; none for the open one.
    unread: BTreeMap<Conversation, usize>,
    /// The room that the last command of this frontend enters. The tracker may answer after the command timed out.
    entering: Option<RoomName>,
    /// The users who ask for a private chat.
    requests: BTreeSet<Username>,
    /// The conversation that was open in an earlier run, until the rooms of that run were entered again.
    reopening: Option<Conversation>,
    /// True if a person uses this frontend. The lobby is open after the open room has ended: the next line must not go to
    /// another room. For a program the first room is opened, as ever.
    is_for_person: bool,
    /// The conversation that a command says is read here; `None` if there was no such command.
    read_here: Option<Option<Conversation>>,
    /// False if the snapshot was that before the sign-in, without the unread messages of earlier runs.
    knows_unread: bool,
    /// True once the rooms of earlier runs were entered again. Until then each of them is opened, so that the last one
    /// is open.
    started: bool,
}

impl Conversations {
    /// Starts with the conversations of a snapshot. The first room is open.
    pub(crate) fn new(you: Username, snapshot: &Snapshot) -> Self {
        let mut conversations = Self {
            you,
            rooms: Rooms::default(),
            open: None,
            unread: BTreeMap::new(),
            entering: None,
            requests: BTreeSet::new(),
            reopening: None,
            is_for_person: false,
            read_here: None,
            knows_unread: snapshot.username.is_some(),
            started: false,
        };
        conversations.resync(snapshot);
        conversations.count_unread(snapshot);
        conversations
    }

    /// Makes these the conversations of a person, who begins with the conversation that was open last.
    pub(crate) fn for_person(mut self, snapshot: &Snapshot) -> Self {
        self.is_for_person = true;
        let last = snapshot.last_open.clone();
        let is_left =
            |last: &Conversation| matches!(last, Conversation::Room(room) if self.rooms.find(room).is_none());
        if let Some(last) = last.filter(|last| !is_left(last)) {
            self.set_open(last);
        }
        self
    }

    /// Returns true if the unread messages of earlier runs are missing.
    pub(crate) fn lacks_unread(&self) -> bool {
        !self.knows_unread
    }

    /// Takes over the unread messages of earlier runs, and the conversation that a person opens again.
    pub(crate) fn resume(&mut self, begun: &Snapshot) {
        self.knows_unread = true;
        self.count_unread(begun);
        if self.is_for_person {
            self.reopening.clone_from(&begun.last_open);
        }
    }

    fn count_unread(&mut self, snapshot: &Snapshot) {
        for UnreadSummary { conversation, messages, .. } in &snapshot.unread {
            if self.open.as_ref() != Some(conversation) {
                *self.unread.entry(conversation.clone()).or_default() += messages;
            }
        }
    }

    /// Returns the conversation that is read here: the open one, unless a command says otherwise. A page does, because it
    /// alone knows which conversation is on its screen.
    pub(crate) fn reading(&self, is_page: bool) -> Option<&Conversation> {
        match &self.read_here {
            Some(read) => read.as_ref(),
            None => self.open.as_ref().filter(|_| !is_page),
        }
    }

    /// Replaces the rooms by those of a newer snapshot. The open conversation stays, unless it has ended.
    pub(crate) fn resync(&mut self, snapshot: &Snapshot) {
        self.rooms = Rooms::default();
        snapshot.rooms.iter().for_each(|room| self.rooms.set(room.clone()));
        self.requests = snapshot.requests.iter().cloned().collect();
        let has_ended = |it: &Conversation| match it {
            Conversation::Room(room) => self.rooms.find(room).is_none(),
            Conversation::Private(_) => false,
        };
        self.unread.retain(|conversation, _| !has_ended(conversation));
        if self.open.as_ref().is_none_or(has_ended) {
            // A person who was in the lobby, or whose room has ended, stays there.
            let was_started = self.is_for_person && self.started;
            self.open = None;
            if !was_started {
                self.open_first();
            }
        }
    }

    /// Returns the open conversation, to which messages go.
    pub(crate) fn open(&self) -> Option<&Conversation> {
        self.open.as_ref()
    }

    /// Returns the recipients of a message.
    pub(crate) fn audience(&self, conversation: &Conversation) -> Vec<Username> {
        match conversation {
            Conversation::Private(user) => vec![user.clone()],
            Conversation::Room(name) => {
                let members = self.rooms.members(name).iter().map(|member| member.username.clone());
                members.filter(|user| *user != self.you).collect()
            }
        }
    }

    /// Returns whether this is a private chat for which the other user asks.
    pub(crate) fn is_request(&self, conversation: &Conversation) -> bool {
        matches!(conversation, Conversation::Private(user) if self.requests.contains(user))
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Notes that the events of the sign-in are all known. From now on a room is opened only by a command of this
    /// frontend, or if nothing is open.
    pub(crate) fn set_started(&mut self) {
        self.started = true;
        match self.reopening.take() {
            Some(chat @ Conversation::Private(_)) => self.set_open(chat),
            // The room may have ended meanwhile.
            Some(Conversation::Room(_)) if self.open.is_none() => self.open_first(),
            _ => {}
        }
    }

    /// Sets the open conversation of a command that names none. If none is open, the service reports that.
    pub fn name_open(&self, command: &mut Command) -> Result<(), CommandError> {
        let named = match command {
            Command::Say { conversation, .. }
            | Command::Leave { conversation }
            | Command::Users { conversation }
            | Command::History { conversation, .. }
            | Command::Export { conversation, .. }
            | Command::Receipts { conversation } => conversation,
            Command::Room(command) => match command.room_mut() {
                Some(_) => return Ok(()),
                room => return self.name_open_room(room),
            },
            Command::Delete { room: room @ None } => return self.name_open_room(room),
            _ => return Ok(()),
        };
        if named.is_none() {
            named.clone_from(&self.open);
        }
        Ok(())
    }

    /// Sets the open room of a command about a room. A private chat is none.
    fn name_open_room(&self, room: &mut Option<RoomName>) -> Result<(), CommandError> {
        match &self.open {
            Some(Conversation::Room(open)) => *room = Some(open.clone()),
            Some(Conversation::Private(_)) => return Err(MissingConversation::NotARoom.into()),
            None => {}
        }
        Ok(())
    }

    /// Notes a command of this frontend that is about to run.
    pub(crate) fn on_command(&mut self, command: &Command) {
        if let Command::Create { room, .. } | Command::Join { room } = command {
            self.entering = Some(room.clone());
        }
    }

    /// Handles the answer to a command of this frontend, and completes it with the state of this frontend.
    pub fn on_answer(&mut self, command: &Command, answer: &mut Answer) {
        match (command, answer) {
            (Command::Create { room, .. } | Command::Join { room }, Answer::Done) => {
                self.open_room(room.clone());
            }
            (Command::Open { conversation: Conversation::Room(room) }, Answer::Done) => {
                self.open_room(room.clone());
            }
            (Command::Open { conversation }, Answer::Done) => self.set_open(conversation.clone()),
            (Command::Read { conversation }, Answer::Done) => self.read_here = Some(conversation.clone()),
            (
                Command::Leave { conversation: Some(conversation @ Conversation::Private(_)) },
                Answer::Done,
            ) => {
                self.close(conversation);
            }
            (_, Answer::WhoAmI { status }) => self.complete(status),
            (_, Answer::Conversations { conversations }) => {
                for summary in conversations.iter_mut().filter(|summary| summary.named.is_none()) {
                    let conversation = Conversation::from(summary.of.clone());
                    summary.unread = self.unread(&conversation);
                    summary.ended &= !self.is_in_use(&conversation);
                }
            }
            _ => {}
        }
    }

    /// Handles an event of the service.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::RoomEntered { room } => {
                self.rooms.set((**room).clone());
                let is_own = self.entering.take_if(|entering| *entering == room.name).is_some();
                let entered = Conversation::Room(room.name.clone());
                let reopens = self.reopening.as_ref().is_none_or(|last| *last == entered);
                if is_own || (reopens && (!self.started || self.open.is_none())) {
                    self.set_open(entered);
                }
            }
            Event::RoomUpdate { room, room_state, .. }
            | Event::Admin(AdminEvent::RoomOwner { room, room_state, .. })
                if self.rooms.find(room).is_some() =>
            {
                self.rooms.set((**room_state).clone());
            }
            Event::RoomLeft { room } | Event::RoomDeleted { room } => {
                self.rooms.forget(room);
                self.close(&Conversation::Room(room.clone()));
            }
            Event::ChatRequest { user } => {
                self.requests.insert(user.clone());
            }
            Event::ChatAccepted { user } => {
                self.requests.remove(user);
            }
            // A chat that the other user has left stays while it is open or unread.
            Event::ConversationEnded { conversation, by } if *by == self.you => self.close(conversation),
            Event::Message { muted: true, .. } => {}
            Event::Message { room, from, .. } if *from != self.you => {
                let conversation = match room {
                    Some(room) if self.rooms.find(room).is_none() => return,
                    Some(room) => Conversation::Room(room.clone()),
                    None => Conversation::Private(from.clone()),
                };
                if self.open.as_ref() != Some(&conversation) {
                    *self.unread.entry(conversation).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    /// Sets the fields of a status that belong to this frontend. The service knows the trust in all users; a frontend
    /// shows that in the members of the open conversation.
    pub(crate) fn complete(&self, status: &mut Status) {
        status.open.clone_from(&self.open);
        let known = |chat: &&Conversation| status.conversations.iter().any(|(known, _)| known == *chat);
        let in_use = self.open.iter().chain(self.unread.keys()).filter(|chat| self.is_in_use(chat));
        let in_use: Vec<_> = in_use.filter(|chat| !known(chat)).map(|chat| (chat.clone(), 0)).collect();
        status.conversations.extend(in_use);
        status.conversations.sort();
        for (conversation, unread) in &mut status.conversations {
            *unread = self.unread(conversation);
        }
        status.trust.retain(|user, _| self.is_here(user));
    }

    fn is_here(&self, user: &Username) -> bool {
        match &self.open {
            None => false,
            Some(Conversation::Private(other)) => other == user,
            Some(Conversation::Room(room)) => {
                self.rooms.members(room).iter().any(|member| member.username == *user)
            }
        }
    }

    /// Returns true for a private chat that is open or has unread messages: it goes on, even if the other user left it.
    fn is_in_use(&self, conversation: &Conversation) -> bool {
        let is_in_use = self.open.as_ref() == Some(conversation) || self.unread.contains_key(conversation);
        is_in_use && matches!(conversation, Conversation::Private(_))
    }

    fn unread(&self, conversation: &Conversation) -> usize {
        self.unread.get(conversation).copied().unwrap_or_default()
    }

    fn open_room(&mut self, room: RoomName) {
        // The room may have ended between the answer and an event before it.
        if self.rooms.find(&room).is_some() {
            self.set_open(Conversation::Room(room));
        }
    }

    fn set_open(&mut self, conversation: Conversation) {
        self.unread.remove(&conversation);
        self.open = Some(conversation);
    }

    /// Removes a conversation. If it was open, the lobby is open for a person after a room. Otherwise a room is opened
    /// instead, but never a private chat: a user who keeps typing would write to that person unawares.
    fn close(&mut self, conversation: &Conversation) {
        self.unread.remove(conversation);
        if self.open.as_ref() == Some(conversation) {
            self.open = None;
            if !(self.is_for_person && matches!(conversation, Conversation::Room(_))) {
                self.open_first();
            }
        }
    }

    fn open_first(&mut self) {
        if let Some(room) = self.rooms.first().cloned() {
            self.set_open(Conversation::Room(room));
        }
    }
}

/// Returns the next conversation with unread messages: after the open one, then from the start.
pub(crate) fn next_unread(status: &Status) -> Option<Conversation> {
    let at = |open: &Conversation| status.conversations.iter().position(|(chat, _)| chat == open);
    let open = status.open.as_ref().and_then(at).map_or(0, |at| at + 1);
    let (before, behind) = status.conversations.split_at(open);
    let mut unread = behind.iter().chain(before).filter(|(_, count)| *count > 0);
    unread.next().map(|(chat, _)| chat.clone())
}

#[cfg(test)]
mod tests {
    use commons::snapshot::{Member, RoomSnapshot};
    use uuid::Uuid;

    use super::*;
    use crate::api::past::{ConversationSummary, PastConversation};
    use crate::api::status::{TrackerState, Trust};
    use crate::api::testing::received;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    /// A room with these members, all online.
    fn snapshot(name: &str, members: &[&str]) -> RoomSnapshot {
        let member = |name: &&str| Member {
            username: user(name),
            connected: true,
            since: 1,
            keys: Vec::new(),
            endorsements: Vec::new(),
            in_menu: false,
        };
        RoomSnapshot {
            id: Uuid::nil(),
            name: room(name),
            revision: 1,
            capacity: 3,
            log: None,
            owner: user("bob"),
            members: members.iter().map(member).collect(),
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        }
    }

    fn conversation(name: &str) -> Conversation {
        match name.strip_prefix('@') {
            Some(name) => Conversation::Private(user(name)),
            None => Conversation::Room(room(name)),
        }
    }

    fn entered(name: &str) -> Event {
        Event::RoomEntered { room: Box::new(snapshot(name, &["ana", "bob"])) }
    }

    fn message(from: &str, room_name: Option<&str>) -> Event {
        received(0, from, room_name)
    }

    /// A frontend of ana, whose start is over, in these rooms.
    fn in_rooms(names: &[&str]) -> Conversations {
        let mut conversations = Conversations::new(user("ana"), &nothing());
        names.iter().for_each(|name| conversations.on_event(&entered(name)));
        conversations.set_started();
        conversations
    }

    /// The snapshot before the sign-in.
    fn nothing() -> Snapshot {
        Snapshot::signed_out(String::new(), None, String::new())
    }

    fn run(conversations: &mut Conversations, command: &Command) {
        conversations.on_command(command);
        conversations.on_answer(command, &mut Answer::Done);
    }

    fn switch(name: &str) -> Command {
        Command::Open { conversation: conversation(name) }
    }

    fn status(conversations: &[&str]) -> Status {
        Status {
            username: Some(user("ana")),
            open: None,
            conversations: conversations.iter().map(|name| (conversation(name), 0)).collect(),
            tracker: TrackerState::Connected,
            tracker_address: String::new(),
            tracker_key: None,
            listening: String::new(),
            trust: ["bob", "carla"].map(|name| (user(name), Trust::Unverified)).into(),
            known_users: Vec::new(),
            known_rooms: Vec::new(),
        }
    }

    fn completed(conversations: &Conversations, known: &[&str]) -> Status {
        let mut status = status(known);
        conversations.complete(&mut status);
        status
    }

    #[test]
    fn last_room_of_an_earlier_run_is_open_at_the_start() {
        assert_eq!(in_rooms(&["equipe", "sala"]).open(), Some(&conversation("sala")));
    }

    #[test]
    fn room_that_another_frontend_enters_is_not_opened() {
        let mut conversations = in_rooms(&["sala"]);
        conversations.on_event(&entered("equipe"));
        assert_eq!(conversations.open(), Some(&conversation("sala")));
        assert_eq!(
            completed(&conversations, &["equipe", "sala"]).conversations[0],
            (conversation("equipe"), 0)
        );
        // Control: the frontend whose command it was opens it, even if the answer came after a time-out.
        conversations.on_event(&Event::RoomLeft { room: room("equipe") });
        conversations.on_command(&Command::Join { room: room("equipe") });
        conversations.on_event(&entered("equipe"));
        assert_eq!(conversations.open(), Some(&conversation("equipe")));
        // A frontend with nothing open opens it too.
        let mut idle = in_rooms(&[]);
        idle.on_event(&entered("equipe"));
        assert_eq!(idle.open(), Some(&conversation("equipe")));
    }

    #[test]
    fn lobby_follows_the_room_that_a_person_has_left() {
        let started = |conversations: Conversations| {
            let mut conversations = conversations;
            ["equipe", "sala"].iter().for_each(|name| conversations.on_event(&entered(name)));
            conversations.set_started();
            conversations.on_event(&Event::RoomLeft { room: room("sala") });
            conversations
        };
        let person = || Conversations::new(user("ana"), &nothing()).for_person(&nothing());
        assert_eq!(started(person()).open(), None);
        // The control: a program goes on in another room.
        let program = Conversations::new(user("ana"), &nothing());
        assert_eq!(started(program).open(), Some(&conversation("equipe")));
        // After a lag the person is still in the lobby.
        let mut lobby = started(person());
        lobby.resync(&Snapshot { rooms: vec![snapshot("equipe", &["ana"])], ..nothing() });
        assert_eq!(lobby.open(), None);
        run(&mut lobby, &switch("equipe"));
        assert_eq!(lobby.open(), Some(&conversation("equipe")));
    }

    #[test]
    fn person_begins_with_the_conversation_of_the_earlier_run() {
        let begun = |open: &str| {
            let unread =
                UnreadSummary { conversation: conversation("equipe"), messages: 3, first: Uuid::nil() };
            Snapshot { last_open: Some(conversation(open)), unread: vec![unread], ..nothing() }
        };
        let started = |begun: &Snapshot| {
            let mut conversations = Conversations::new(user("ana"), &nothing()).for_person(&nothing());
            assert!(conversations.lacks_unread());
            conversations.resume(begun);
            ["equipe", "sala"].iter().for_each(|name| conversations.on_event(&entered(name)));
            conversations.set_started();
            conversations
        };
        for open in ["equipe", "sala", "@bob"] {
            let conversations = started(&begun(open));
            assert_eq!(conversations.open(), Some(&conversation(open)));
            let unread = if open == "equipe" { 0 } else { 3 };
            assert_eq!(conversations.unread(&conversation("equipe")), unread);
        }
        assert_eq!(started(&begun("left")).open(), Some(&conversation("equipe")));
        // A program opens the last room, and counts the same.
        let mut program = Conversations::new(user("ana"), &nothing());
        program.resume(&begun("@bob"));
        ["equipe", "sala"].iter().for_each(|name| program.on_event(&entered(name)));
        assert_eq!(program.open(), Some(&conversation("sala")));
    }

    #[test]
    fn page_reads_what_it_says_that_it_reads() {
        let mut page = in_rooms(&["sala"]);
        assert_eq!((page.reading(false), page.reading(true)), (Some(&conversation("sala")), None));
        run(&mut page, &Command::Read { conversation: Some(conversation("@bob")) });
        assert_eq!(page.reading(true), Some(&conversation("@bob")));
        run(&mut page, &Command::Read { conversation: None });
        assert_eq!((page.reading(false), page.reading(true)), (None, None));
    }

    #[test]
    fn joining_an_entered_room_again_opens_it() {
        let mut conversations = in_rooms(&["equipe", "sala"]);
        run(&mut conversations, &Command::Join { room: room("equipe") });
        assert_eq!(conversations.open(), Some(&conversation("equipe")));
        conversations.on_command(&switch("sala"));
        conversations.on_event(&Event::RoomDeleted { room: room("sala") });
        conversations.on_answer(&switch("sala"), &mut Answer::Done);
        assert_eq!(
            conversations.open(),
            Some(&conversation("equipe")),
            "a room that has ended is not opened"
        );
    }

    #[test]
    fn messages_elsewhere_are_counted_until_it_is_open() {
        let mut conversations = in_rooms(&["equipe", "sala"]);
        for (from, room) in [
            ("bob", None),
            ("bob", None),
            ("bob", Some("equipe")),
            ("bob", Some("sala")),
            ("ana", Some("equipe")),
            ("bob", Some("left")),
        ] {
            conversations.on_event(&message(from, room));
        }
        let known = ["equipe", "sala", "@bob"];
        let counts = [(conversation("equipe"), 1), (conversation("sala"), 0), (conversation("@bob"), 2)];
        assert_eq!(completed(&conversations, &known).conversations, counts);
        assert_eq!(next_unread(&completed(&conversations, &known)), Some(conversation("@bob")));
        run(&mut conversations, &switch("@bob"));
        assert_eq!(completed(&conversations, &known).conversations[2], (conversation("@bob"), 0));
        assert_eq!(next_unread(&completed(&conversations, &known)), Some(conversation("equipe")));
        run(&mut conversations, &switch("equipe"));
        assert_eq!(next_unread(&completed(&conversations, &known)), None);
    }

    #[test]
    fn no_private_chat_is_opened_unasked() {
        let mut conversations = in_rooms(&["sala"]);
        conversations.on_event(&message("bob", None));
        assert_eq!(conversations.open(), Some(&conversation("sala")));
        conversations.on_event(&Event::RoomLeft { room: room("sala") });
        assert_eq!(conversations.open(), None);
        // When a chat ends, a room is opened.
        run(&mut conversations, &switch("@bob"));
        conversations.on_event(&entered("sala"));
        assert_eq!(conversations.open(), Some(&conversation("@bob")));
        run(&mut conversations, &Command::Leave { conversation: Some(conversation("@bob")) });
        assert_eq!(conversations.open(), Some(&conversation("sala")));
        // A chat that another frontend has ended is closed here too, but not one that the other user has left.
        let ended = |by| Event::ConversationEnded { conversation: conversation("@bob"), by: user(by) };
        run(&mut conversations, &switch("@bob"));
        conversations.on_event(&ended("bob"));
        assert_eq!(conversations.open(), Some(&conversation("@bob")));
        conversations.on_event(&ended("ana"));
        assert_eq!(conversations.open(), Some(&conversation("sala")));
    }

    #[test]
    fn command_without_a_conversation_is_for_the_open_one() {
        let named = |open: &[&str], mut command: Command| {
            let mut conversations = in_rooms(&["sala"]);
            conversations.on_event(&Event::RoomLeft { room: room("sala") });
            open.iter().for_each(|name| conversations.on_event(&entered(name)));
            conversations.name_open(&mut command).map(|()| serde_json::to_value(&command).unwrap())
        };
        let say = serde_json::json!({"command": "say", "conversation": {"room": "sala"}, "text": "hi"});
        assert_eq!(named(&["sala"], Command::say("hi")), Ok(say));
        let delete = serde_json::json!({"command": "delete", "room": "sala"});
        assert_eq!(named(&["sala"], Command::Delete { room: None }), Ok(delete));
        let private = serde_json::json!({"command": "say", "conversation": {"to": "bob"}, "text": "hi"});
        assert_eq!(named(&["sala"], Command::send_private(user("bob"), "hi")), Ok(private));
        let none = serde_json::json!({"command": "leave"});
        assert_eq!(named(&[], Command::Leave { conversation: None }), Ok(none), "the service refuses it");
        let mut conversations = in_rooms(&["sala"]);
        run(&mut conversations, &switch("@bob"));
        let refused = conversations.name_open(&mut Command::Delete { room: None });
        assert_eq!(refused, Err(MissingConversation::NotARoom.into()));
    }

    #[test]
    fn late_frontend_starts_with_the_rooms_of_the_snapshot() {
        let rooms = ["equipe", "sala"].map(|name| snapshot(name, &["ana", "bob"]));
        let now = Snapshot { rooms: rooms.to_vec(), ..nothing() };
        let mut conversations = Conversations::new(user("ana"), &now);
        conversations.set_started();
        assert_eq!(conversations.open(), Some(&conversation("equipe")));
        conversations.on_event(&message("bob", Some("sala")));
        // A room that ended meanwhile is gone with its unread messages, and another room is opened.
        let later = Snapshot { rooms: vec![snapshot("equipe", &["ana"])], ..nothing() };
        run(&mut conversations, &switch("sala"));
        conversations.on_event(&message("bob", None));
        conversations.resync(&later);
        assert_eq!(conversations.open(), Some(&conversation("equipe")));
        assert_eq!(conversations.rooms().members(&room("equipe")).len(), 1);
        assert_eq!(conversations.unread(&conversation("@bob")), 1);
        // A private chat that is open stays open.
        run(&mut conversations, &switch("@bob"));
        conversations.resync(&now);
        assert_eq!(conversations.open(), Some(&conversation("@bob")));
    }

    #[test]
    fn answers_show_the_state_of_their_own_frontend() {
        let mut conversations = in_rooms(&["sala"]);
        let shown = completed(&conversations, &["sala"]);
        assert_eq!(shown.open, Some(conversation("sala")));
        assert_eq!(shown.trust.into_keys().collect::<Vec<_>>(), [user("bob")], "carla is not here");
        conversations.on_event(&message("carla", None));
        // The service may have ended a chat that this frontend has not read.
        assert_eq!(completed(&conversations, &["sala"]).conversations[1], (conversation("@carla"), 1));
        let summary = |of, named: Option<&str>, unread| ConversationSummary {
            of,
            named: named.map(room),
            id: None,
            messages: 1,
            first: None,
            last: None,
            unread,
            ended: true,
        };
        let carla = |unread| summary(PastConversation::With(user("carla")), None, unread);
        let older = summary(PastConversation::Room(room("sala")), Some("sala#3c24"), 0);
        let mut answer = Answer::Conversations { conversations: vec![carla(0), older.clone()] };
        conversations.on_answer(&Command::Conversations, &mut answer);
        let expected = vec![ConversationSummary { ended: false, ..carla(1) }, older];
        assert_eq!(answer, Answer::Conversations { conversations: expected });
    }
}
