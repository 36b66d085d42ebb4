//! A peer without sockets, threads and a clock, driven by the simulated world.
//!
//! It does step by step what the hub and its tasks do with a report, a link or a message of the tracker. A crash
//! loses its memory, but neither its database nor what its user saw.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use commons::protocol::with_tracker::{Credentials, Reply, RoomUpdate, TrackerRequest};
use commons::snapshot::RoomSnapshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::status::TrackerState;
use crate::chat::inbound::{Inbound, Spoken};
use crate::chat::{Chat, Trust};
use crate::delivery::replication::{Replication, batches};
use crate::delivery::sync::SyncState;
use crate::history::command::{self, Draft, Request};
use crate::history::conversation::ConversationId;
use crate::history::history_db::{HistoryDb, Opened};
use crate::history::message::SignedMessage;
use crate::history::report::{IncomingMessage, OutgoingMessage, Report};
use crate::history::testing::device;
use crate::peer_communication::link_report::MessageBatch;
use crate::peer_communication::link_table::LinkId;
use crate::simulation::log::Log;

/// The capacity of a link in one direction, in frames. It is small, so that links are often full.
const LINK_FRAMES: usize = 6;

/// The bytes of pending messages that are sent at a time. They are few, so that often more remain.
const FEED: usize = 2000;

/// A frame between two peers.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Have(Option<Uuid>, Vec<StreamSpans>, Option<u64>),
    Want(Option<Uuid>, Vec<StreamSpans>),
    Lines { room_id: Option<Uuid>, lines: Vec<SignedMessage>, late: bool },
}

/// A message from the tracker.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    SignedIn(Vec<RoomSnapshot>),
    Entered(RoomSnapshot),
    Left(RoomSnapshot),
    Update(RoomUpdate),
}

/// One end of a link, with the number of frames under way.
#[derive(Debug)]
struct End {
    number: u64,
    under_way: usize,
    refused: bool,
}

/// A frame that waits for the world to carry it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) to: Username,
    pub(crate) link: u64,
    pub(crate) frame: Frame,
}

/// The state of one run of the program.
pub(crate) struct Program {
    me: Username,
    life: u32,
    ledger: HistoryDb,
    chat: Chat,
    feeds: Replication,
    catch_up: SyncState,
    links: BTreeMap<Username, End>,
    /// The requests that the history has not processed yet.
    tasks: VecDeque<Request>,
    /// The reports that the program has not received yet.
    reports: VecDeque<Report>,
    /// The row of the last message that the user saw.
    shown: i64,
    /// Frames that the world must carry.
    pub(crate) sent: Vec<Sent>,
    /// Rooms whose former members are soon given up as recipients.
    pub(crate) giving_up: Vec<Uuid>,
}

impl Program {
    /// Starts a run with a history, after the tracker has signed the user in.
    pub(crate) fn start(
        (ledger, opened): (HistoryDb, Opened),
        me: &Username,
        life: u32,
        rooms: Vec<RoomSnapshot>,
        log: &mut Log,
        now: Instant,
    ) -> Self {
        let mut program = Self {
            me: me.clone(),
            life,
            ledger,
            chat: Chat::default(),
            feeds: Replication::default(),
            catch_up: SyncState::default(),
            links: BTreeMap::new(),
            tasks: VecDeque::new(),
            reports: VecDeque::new(),
            shown: 0,
            sent: Vec::new(),
            giving_up: Vec::new(),
        };
        for (user, _) in opened.waiting {
            program.chat.begin_private(user, None);
        }
        program.chat.remember(opened.rooms);
        program.giving_up.extend(opened.conversations.iter().filter_map(|(of, _)| of.room()));
        program.tracker_says(Word::SignedIn(rooms), now);
        opened.unshown.into_iter().for_each(|line| program.show(line, log));
        program
    }

    /// Ends the run. The log notes the reports that the program never received.
    pub(crate) fn crash(self, log: &mut Log) -> HistoryDb {
        self.reports.into_iter().for_each(|report| log.miss(&report));
        self.ledger
    }

    /// Applies a message from the tracker.
    pub(crate) fn tracker_says(&mut self, word: Word, now: Instant) {
        match word {
            Word::SignedIn(rooms) => {
                let offered =
                    rooms.iter().map(|room| (room.name.as_str().to_owned(), room.clone())).collect();
                let login = TrackerRequest::Login(Credentials {
                    username: self.me.as_str().to_owned(),
                    password: None,
                    address: None,
                    port: 1,
                });
                self.chat.answered(&login, &Reply { rooms: Some(offered), ..Reply::default() }, now);
                // A room may be offered instead of entered: after a crash, and if the answer to a JOIN_ROOM was lost
                // with the connection. The user then enters it.
                rooms.into_iter().for_each(|room| self.enter(room, now));
            }
            Word::Entered(room) => self.enter(room, now),
            Word::Left(room) => {
                let leave = TrackerRequest::LeaveRoom { room: room.name.as_str().to_owned() };
                self.chat.answered(&leave, &Reply::default(), now);
            }
            Word::Update(update) => {
                self.chat.updated(update, now);
            }
        }
        self.update_membership(now);
    }

    fn enter(&mut self, room: RoomSnapshot, now: Instant) {
        let join = TrackerRequest::JoinRoom { room: room.name.as_str().to_owned() };
        self.chat.answered(&join, &Reply { room: Some(room), ..Reply::default() }, now);
    }

    /// Notes that the tracker cannot be reached.
    pub(crate) fn tracker_is_lost(&mut self) {
        self.chat.tracker_is(TrackerState::Lost, None);
    }

    /// Passes the current memberships to the history, and processes messages that were held back.
    fn update_membership(&mut self, now: Instant) {
        let (changed, gone) = self.chat.not_kept();
        for room in self.chat.take_left() {
            self.tasks.push_back(Request::LeaveRoom(room));
        }
        for room in changed {
            self.giving_up.push(room.id);
            let revision = room.snapshot.as_ref().map_or(0, |snapshot| snapshot.revision);
            self.chat.note_kept(room.id, revision);
            self.tasks.push_back(Request::NoteRoom(Box::new(room)));
        }
        self.giving_up.extend(gone);
        self.catch_up.membership_changed();
        for (conversation, _, heard) in self.chat.admit_early(now) {
            self.keep(&conversation, heard, now);
        }
        self.poll_presence(now);
    }

    /// Gives up the former members of a room as recipients.
    pub(crate) fn give_up(&mut self, room: Uuid) {
        let conversation = ConversationId::Room(room);
        let (members, since) = self.chat.seated(&conversation);
        self.tasks.push_back(Request::KeepFor { conversation, members, since });
    }

    /// Returns whether a link to this user is wanted.
    pub(crate) fn wants(&self, user: &Username) -> bool {
        self.chat.wanted().contains_key(user)
    }

    /// Returns the number of the link to a user, as this side knows it.
    pub(crate) fn link(&self, user: &Username) -> Option<u64> {
        self.links.get(user).map(|end| end.number)
    }

    /// Notes that a link came up.
    pub(crate) fn link_up(&mut self, user: &Username, number: u64, now: Instant) {
        self.links.insert(user.clone(), End { number, under_way: 0, refused: false });
        self.tasks.push_back(Request::Linked { from: user.clone() });
        self.chat.link_is(user, true, Trust::default());
        self.catch_up.up(user);
        self.tell(user, now);
        if self.feeds.begin(user, LinkId(number), false) {
            self.ask_for_waiting(user.clone(), 0);
        }
    }

    /// Notes that a link closed. A link that was replaced already is ignored.
    pub(crate) fn link_down(&mut self, user: &Username, number: u64) {
        if self.link(user) == Some(number) {
            self.links.remove(user);
            self.chat.link_is(user, false, Trust::default());
            self.feeds.end(user);
            self.catch_up.down(user);
        }
    }

    /// Notes that a frame has left the link, and continues a link that was full.
    pub(crate) fn carried(&mut self, to: &Username, number: u64) {
        let Some(end) = self.links.get_mut(to).filter(|end| end.number == number) else { return };
        end.under_way -= 1;
        if end.refused && end.under_way <= LINK_FRAMES / 2 {
            end.refused = false;
            if let Some(after) = self.feeds.go_on(to) {
                self.ask_for_waiting(to.clone(), after);
            }
        }
    }

    /// Handles a frame from a link.
    pub(crate) fn ingest(&mut self, from: &Username, frame: Frame, now: Instant) {
        match frame {
            Frame::Have(room, theirs, lamport) => {
                let conversation = conversation(from, room);
                if self.chat.shared_with(from).contains(&conversation) {
                    let (conversation, theirs) = (conversation.clone(), theirs.clone());
                    self.tasks.push_back(Request::Has { from: from.clone(), conversation, theirs, lamport });
                }
                self.catch_up.on_have(from, &conversation, theirs);
                self.ask(from, now);
            }
            Frame::Want(room, wanted) => self.hand_over(from, &conversation(from, room), &wanted),
            Frame::Lines { room_id, lines, late } => {
                let what = Spoken::Given(MessageBatch { room_id, lines, late });
                if let Some((of, _, heard)) = self.chat.admit(Inbound { from: from.clone(), what }, now) {
                    self.keep(&of, heard, now);
                }
            }
        }
    }

    fn keep(&mut self, conversation: &ConversationId, Inbound { from, what }: Inbound, now: Instant) {
        let Spoken::Given(MessageBatch { lines, late, .. }) = what else { return };
        let trusted = lines.iter().map(|line| (line.author.clone(), vec![device(line.author.as_str())]));
        let heard = command::InboundBatch {
            from: from.clone(),
            conversation: conversation.clone(),
            room: None,
            trusted: trusted.collect(),
            messages: lines,
            late,
        };
        self.tasks.push_back(Request::Ingest(heard));
        if late {
            self.catch_up.given(&from, conversation);
            self.ask(&from, now);
        }
    }

    /// Repeats what the sync task does at each tick.
    pub(crate) fn poll_presence(&mut self, now: Instant) {
        for user in self.catch_up.partners() {
            self.tell(&user, now);
            self.ask(&user, now);
        }
    }

    /// Sends the due HAVEs to a peer.
    fn tell(&mut self, user: &Username, now: Instant) {
        for of in self.catch_up.due_have(user, &self.chat.shared_with(user), now) {
            let since = self.chat.since(&of, user).unwrap_or(u64::MAX);
            let (streams, lamport) = self.question(|ledger| ledger.holdings_for(&of, user, None, since));
            if self.send(user, Frame::Have(of.room(), streams, lamport)) {
                self.catch_up.have_sent(user, &of, now);
            }
        }
    }

    /// Sends the due WANT to a peer.
    fn ask(&mut self, user: &Username, now: Instant) {
        let shared = self.chat.shared_with(user);
        while let Some((of, theirs)) = self.catch_up.next_to_look_at(user, &shared, now) {
            let lacking = self.question(|ledger| ledger.lacking(&of, &theirs).unwrap_or_default());
            let streams = self.catch_up.ask(user, &of, lacking, now);
            if !streams.is_empty() {
                self.send(user, Frame::Want(of.room(), streams));
            }
        }
    }

    /// Answers a WANT of a peer.
    fn hand_over(&mut self, to: &Username, of: &ConversationId, wanted: &[StreamSpans]) {
        let Some(since) = self.chat.since(of, to) else { return };
        let lines = self.question(|ledger| ledger.hand_over(of, to, wanted, since));
        self.send(to, Frame::Lines { room_id: of.room(), lines, late: true });
    }

    fn ask_for_waiting(&mut self, to: Username, after: i64) {
        self.tasks.push_back(Request::Pending { to, after, bytes: FEED });
    }

    /// Writes a message. Nothing happens if the conversation does not exist.
    pub(crate) fn say(&mut self, to: &Conversation, text: String, id: Uuid, sent_at: DateTime<Utc>) {
        if let Conversation::Private(user) = to {
            self.chat.begin_private(user.clone(), None);
        }
        let (Ok((place, revision)), Ok(audience)) = (self.chat.place(to), self.chat.listeners(to)) else {
            return;
        };
        let room = match to {
            Conversation::Room(room) => Some(room.clone()),
            Conversation::Private(_) => None,
        };
        self.tasks.push_back(Request::Append(Draft {
            id,
            to: place,
            room,
            text,
            audience,
            revision,
            sent_at,
        }));
    }

    /// Returns the number of this run, from 1.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// Returns whether the history has requests to process.
    pub(crate) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Returns whether the program has reports to receive.
    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Lets the history process some requests and commit.
    pub(crate) fn work(&mut self, tasks: usize) {
        let tasks = tasks.min(self.tasks.len());
        self.tasks.drain(..tasks).for_each(|task| self.ledger.apply(task));
        self.reports.extend(self.ledger.commit());
    }

    /// Asks the history a question, after all requests so far.
    fn question<T>(&mut self, question: impl FnOnce(&mut HistoryDb) -> T) -> T {
        self.work(usize::MAX);
        let answer = question(&mut self.ledger);
        self.reports.extend(self.ledger.commit());
        answer
    }

    /// Lets the program receive some reports.
    pub(crate) fn on_history_reports(&mut self, reports: usize, log: &mut Log) {
        self.ledger.note_shown(self.shown);
        for _ in 0..reports {
            let Some(report) = self.reports.pop_front() else { return };
            log.note(&report);
            match report {
                Report::Committed(lines) => self.on_own_committed(&lines),
                Report::Received(lines) => lines.into_iter().for_each(|line| self.show(line, log)),
                Report::Holds { author, conversation, stream } => {
                    let fit = self.send(&author, Frame::Have(conversation.room(), vec![stream], None));
                    self.catch_up.stored(&conversation, Some(&author).filter(|_| fit));
                }
                Report::Pending { to, asked, messages: lines, after, more } => {
                    self.give_waiting(&to, asked, &lines, more.then_some(after));
                }
                _ => {}
            }
        }
    }

    fn on_own_committed(&mut self, lines: &[OutgoingMessage]) {
        let mut feeds = std::mem::take(&mut self.feeds);
        for said in lines {
            let (room_id, lines) = (said.conversation.room(), vec![said.message.clone()]);
            let frame = Frame::Lines { room_id, lines, late: false };
            feeds.on_own_committed(said, |user, _| self.send(user, frame.clone()));
            self.catch_up.stored(&said.conversation, None);
        }
        self.feeds = feeds;
    }

    fn give_waiting(&mut self, to: &Username, asked: i64, lines: &[OutgoingMessage], more: Option<i64>) {
        let mut feeds = std::mem::take(&mut self.feeds);
        let more = feeds.give(to, asked, &batches(lines), more, |_, batch| {
            let room_id = batch.first().and_then(|said| said.conversation.room());
            let lines = batch.iter().map(|said| said.message.clone()).collect();
            self.send(to, Frame::Lines { room_id, lines, late: true })
        });
        self.feeds = feeds;
        if let Some(after) = more {
            self.ask_for_waiting(to.clone(), after);
        }
    }

    fn show(&mut self, IncomingMessage { message: line, .. }: IncomingMessage, log: &mut Log) {
        self.shown = line.row;
        if let ConversationId::Private(user) = &line.conversation {
            self.chat.note_unread(Conversation::Private(user.clone()));
        }
        log.show(self.life, line);
    }

    /// Sends a frame and returns whether it fits. Without a link it is dropped.
    pub(crate) fn send(&mut self, to: &Username, frame: Frame) -> bool {
        let Some(end) = self.links.get_mut(to) else { return true };
        if end.under_way >= LINK_FRAMES {
            end.refused = true;
            return false;
        }
        end.under_way += 1;
        self.sent.push(Sent { to: to.clone(), link: end.number, frame });
        true
    }
}

fn conversation(with: &Username, room: Option<Uuid>) -> ConversationId {
    room.map_or_else(|| ConversationId::Private(with.clone()), ConversationId::Room)
}
