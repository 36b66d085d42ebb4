//! Fixtures of the history tests.
//!
//! They provide users, a room, and messages on their way between histories.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use commons::digest::Digest;
use commons::keys::{PublicKey, Seed};
use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH};
use commons::room_log::facts::Policy;
use commons::room_log::log::RoomLog;
use commons::snapshot::{LogPosition, Member, RoomSnapshot};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::history_db::{Author, HistoryDb, InitialState, Place};
use crate::history::message::SignedMessage;
use crate::history::remembered_room::RememberedRoom;
use crate::history::report::{IncomingMessage, OutgoingMessage, Report};
use crate::history::request::{Draft, InboundBatch, Request};
use crate::history::search::Search;
use crate::history::tables::Tables;

pub(crate) const ANA: &str = "ana";
pub(crate) const BOB: &str = "bob";
pub(crate) const CARLA: &str = "carla";

/// The revision at which every user is a member of [`room`].
pub(crate) const REVISION: u64 = 3;

pub(crate) fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// Returns a user whose device key follows from the name.
pub(crate) fn author(name: &str) -> Author {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Author { username: user(name), seed: Seed::new(seed) }
}

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(author(name).seed.as_bytes())
}

pub(crate) fn device(name: &str) -> PublicKey {
    PublicKey::new(key(name).verifying_key().to_bytes())
}

pub(crate) fn room() -> ConversationId {
    ConversationId::Room(Uuid::from_u128(0x5a1a))
}

pub(crate) fn private(name: &str) -> ConversationId {
    ConversationId::Private(user(name))
}

pub(crate) fn sala() -> Option<RoomName> {
    RoomName::parse("sala").ok()
}

pub(crate) fn time() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_268_800_123).unwrap()
}

/// Returns the request that notes the room with these members, each with the revision of joining.
pub(crate) fn snapshot(revision: u64, members: &[(&str, u64)]) -> Request {
    Request::NoteRoom(Box::new(snapshot_of(revision, members).into()))
}

/// Returns the tracker's snapshot of the room.
pub(crate) fn snapshot_of(revision: u64, members: &[(&str, u64)]) -> RoomSnapshot {
    let member = |(name, since): &(&str, u64)| Member {
        username: user(name),
        connected: true,
        since: *since,
        keys: vec![],
        endorsements: vec![],
        in_menu: false,
    };
    RoomSnapshot {
        id: room().room().unwrap(),
        name: sala().unwrap(),
        revision,
        capacity: 3,
        log: None,
        owner: user(ANA),
        members: members.iter().map(member).collect(),
        peer_owner: None,
        peer_one: None,
        peer_two: None,
    }
}

pub(crate) fn everybody() -> Request {
    snapshot(REVISION, &[(ANA, 1), (BOB, 2), (CARLA, 3)])
}

/// Returns the log of an open room that ana created. Each change names its author and the device that signs it.
pub(crate) fn room_log(changes: &[(&str, &str, Change)]) -> RoomLog {
    let (none, key) = (Digest([0; 32]), device(ANA));
    let creation = Creation {
        name: sala().unwrap(),
        keys: vec![key],
        policy: Policy::Open,
        legacy: false,
        nonce: [7; 32],
        tracker: device("operator"),
    };
    let created = Entry {
        room: none,
        epoch: FIRST_EPOCH,
        previous: none,
        time: 1,
        author: user(ANA),
        key,
        change: Change::Created(creation),
    };
    let mut log = RoomLog::begin(created.sign(&author(ANA).seed)).unwrap();
    extend(&mut log, changes);
    log
}

/// Adds changes to a log, each signed by a device of its author.
pub(crate) fn extend(log: &mut RoomLog, changes: &[(&str, &str, Change)]) {
    for (by, signer, change) in changes {
        let entry = log.state().next(user(by), device(signer), 1, change.clone());
        log.append(entry.sign(&author(signer).seed)).unwrap();
    }
}

/// Returns the change by which a user joins under the key of the same name.
pub(crate) fn joined(name: &'static str) -> (&'static str, &'static str, Change) {
    (name, name, Change::Joined { keys: vec![device(name)], endorsements: Vec::new() })
}

/// Returns the request that notes a room with its log.
pub(crate) fn noted(log: &RoomLog) -> Request {
    let members: Vec<_> =
        log.state().members().iter().map(|(name, member)| (name.as_str(), member.since)).collect();
    let position = Some(LogPosition::from(log.head()));
    let snapshot = RoomSnapshot { id: log.state().id(), log: position, ..snapshot_of(9, &members) };
    let room = RememberedRoom { log: Some(Arc::new(log.clone())), ..snapshot.into() };
    Request::NoteRoom(Box::new(room))
}

/// Opens a history in memory, of a member of the room.
pub(crate) fn history(name: &str) -> HistoryDb {
    open(&Place::Memory, name).0
}

/// Opens a history in a folder, of a member of the room.
pub(crate) fn history_in(folder: &Path, name: &str) -> (HistoryDb, InitialState) {
    open(&Place::File(folder.to_owned()), name)
}

fn open(place: &Place, name: &str) -> (HistoryDb, InitialState) {
    let (mut history, opened) = HistoryDb::open(place, &author(name)).unwrap();
    history.apply(everybody());
    assert_eq!(history.commit(), []);
    (history, opened)
}

pub(crate) fn draft(to: &ConversationId, text: &str, audience: &[&str]) -> Draft {
    Draft {
        id: Uuid::now_v7(),
        to: to.clone(),
        room: to.room().and_then(|_| sala()),
        text: text.to_owned(),
        audience: audience.iter().map(|name| user(name)).collect(),
        revision: if to.room().is_some() { REVISION } else { 0 },
        head: None,
        sent_at: time(),
    }
}

/// Appends these texts as one signed batch, and returns the messages as they are sent to others.
pub(crate) fn say(
    history: &mut HistoryDb,
    to: &ConversationId,
    texts: &[&str],
    audience: &[&str],
) -> Vec<SignedMessage> {
    texts.iter().for_each(|text| history.apply(Request::Append(draft(to, text, audience))));
    outgoing_messages(history.commit()).into_iter().map(|sent| sent.message).collect()
}

pub(crate) fn outgoing_messages(reports: Vec<Report>) -> Vec<OutgoingMessage> {
    let sent = reports.into_iter().filter_map(|report| match report {
        Report::Committed(sent) => Some(sent),
        _ => None,
    });
    sent.flatten().collect()
}

/// Returns the request for messages from a user's link. The keys of all users are trusted.
pub(crate) fn inbound(from: &str, conversation: &ConversationId, messages: &[SignedMessage]) -> Request {
    let trusted: BTreeMap<_, _> = [ANA, BOB, CARLA].map(|name| (user(name), vec![device(name)])).into();
    Request::Ingest(InboundBatch {
        from: user(from),
        conversation: conversation.clone(),
        room: conversation.room().and_then(|_| sala()),
        messages: messages.to_vec(),
        late: false,
        trusted,
    })
}

/// Ingests messages and returns all reports.
pub(crate) fn ingest(
    history: &mut HistoryDb,
    from: &str,
    conversation: &ConversationId,
    messages: &[SignedMessage],
) -> Vec<Report> {
    history.apply(inbound(from, conversation, messages));
    history.commit()
}

pub(crate) fn incoming_messages(reports: &[Report]) -> Vec<IncomingMessage> {
    let received = reports.iter().filter_map(|report| match report {
        Report::Received(received) => Some(received.clone()),
        _ => None,
    });
    received.flatten().filter(|received| !received.is_withdrawn).collect()
}

/// Returns the texts of the messages that were accepted.
pub(crate) fn texts(reports: &[Report]) -> Vec<String> {
    incoming_messages(reports).into_iter().map(|received| received.message.text).collect()
}

/// Returns the reasons why messages were refused.
pub(crate) fn refusals(reports: &[Report]) -> Vec<&'static str> {
    let why = reports.iter().filter_map(|report| match report {
        Report::BatchRejected { why, .. } => Some(*why),
        _ => None,
    });
    why.collect()
}

/// Returns the ids of the messages that are acknowledged.
pub(crate) fn receipts(reports: &[Report]) -> Vec<Uuid> {
    let stored = reports.iter().filter_map(|report| match report {
        Report::LegacyAckDue { id, .. } => Some(*id),
        _ => None,
    });
    stored.collect()
}

/// Indexes all messages.
pub(crate) fn index(history: &mut HistoryDb) {
    while history.transaction(Tables::index).unwrap() {}
}

/// Indexes all messages and returns the matching ones, newest first.
pub(crate) fn search(history: &mut HistoryDb, wanted: impl Into<Search>, count: usize) -> Vec<StoredMessage> {
    index(history);
    let wanted = wanted.into();
    history.transaction(|tables| tables.search(&wanted, count)).unwrap()
}

/// Returns the sequence ranges of a conversation that a history holds.
pub(crate) fn spans(history: &mut HistoryDb, of: &ConversationId) -> Vec<StreamSpans> {
    history.transaction(|tables| tables.spans(of)).unwrap()
}

/// Returns the texts of a conversation, in its order.
pub(crate) fn stored_texts(history: &mut HistoryDb, of: &ConversationId) -> Vec<String> {
    let page = history.transaction(|tables| tables.page(of, None, usize::MAX)).unwrap();
    page.into_iter().map(|message| message.text).collect()
}
