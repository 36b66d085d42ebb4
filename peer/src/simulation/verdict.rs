//! The verdict on a simulated world.
//!
//! After a quiet period it checks whether the promises were kept.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use commons::names::Username;
use rusqlite::params;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::engine::input::Now;
use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::history_db::HistoryDb;
use crate::history::tables::Tables;
use crate::simulation::log::{Log, Shown};
use crate::simulation::rooms::Rooms;
use crate::simulation::world::World;

/// The final history and log of one user.
struct Holding {
    name: Username,
    ledger: HistoryDb,
    log: Log,
    messages: BTreeMap<Uuid, Held>,
    /// The message ids of each conversation, in order.
    order: BTreeMap<ConversationId, Vec<Uuid>>,
}

/// A stored message with its revision and sequence number.
struct Held {
    stored: StoredMessage,
    revision: u64,
    seq: u64,
}

/// The number of events of each kind. The test asserts that each kind occurs.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) messages: usize,
    pub(crate) delivered: usize,
    pub(crate) given_up: usize,
    pub(crate) late: usize,
    pub(crate) refused: usize,
    pub(crate) crashes: u32,
    /// Messages that were shown before a commit which a crash prevented, and those of them that never came again.
    pub(crate) uncommitted: usize,
    pub(crate) lost_in_crash: usize,
    /// The entries of the log of the room, and the warnings of contradictions with it.
    pub(crate) entries: usize,
    pub(crate) warnings: usize,
}

/// A promise that a control breaks after the end of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A message that was shown as sent is gone (G2).
    Lost,
    /// A message is gone, and its author was not told (G2, G6).
    Undelivered,
    /// A message stands twice in a history (G3).
    StoredTwice,
    /// A message was shown twice in one run (G3).
    ShownTwice,
    /// Two messages of one author are in the wrong order (G4).
    Disorder,
    /// Two histories order the messages of several authors differently (G4).
    Disagreement,
    /// A message has another text than its author gave it (G5).
    Forgery,
    /// A message was delivered, and its author was never told (G2).
    Untold,
    /// A message was announced as missed and did not come late.
    NeverMissed,
}

impl Breach {
    pub(crate) const ALL: [Self; 9] = [
        Self::Lost,
        Self::Undelivered,
        Self::StoredTwice,
        Self::ShownTwice,
        Self::Disorder,
        Self::Disagreement,
        Self::Forgery,
        Self::Untold,
        Self::NeverMissed,
    ];

    /// Returns the words by which the verdict must find it out.
    pub(crate) fn complaint(self) -> &'static str {
        match self {
            Self::Lost => "was shown as sent and is lost",
            Self::Undelivered => "was shown and is lost",
            Self::StoredTwice => "stands twice",
            Self::ShownTwice => "was shown twice",
            Self::Disorder => "out of its author's order",
            Self::Disagreement => "do not agree",
            Self::Forgery => "did not write that",
            Self::Untold => "0 times delivered, 0 given up",
            Self::NeverMissed => "announced as missed",
        }
    }

    /// Breaks the promise in one place. Returns false if no place fits.
    fn commit(self, holdings: &mut [Holding]) -> bool {
        let rooms: Vec<_> = holdings[0].order.keys().filter(|of| of.room().is_some()).cloned().collect();
        let Some(of) = rooms.into_iter().next() else { return false };
        for holding in holdings {
            let Some(order) = holding.order.get_mut(&of) else { continue };
            let author = |id: &Uuid| holding.messages[id].stored.from.clone();
            let is_own = |id: &Uuid| author(id) == holding.name;
            let Some(own) = order.iter().copied().find(is_own) else { continue };
            let Some(other) = order.iter().copied().find(|id| !is_own(id)) else { continue };
            let pair = |is_same: bool| {
                order.windows(2).position(|pair| (author(&pair[0]) == author(&pair[1])) == is_same)
            };
            match self {
                Self::Lost => drop(holding.messages.remove(&own)),
                Self::Undelivered => drop(holding.messages.remove(&other)),
                Self::StoredTwice => order.push(other),
                Self::ShownTwice => {
                    let Some(shown) = holding.log.shown.last().cloned() else { continue };
                    holding.log.shown.push(shown);
                }
                Self::Disorder | Self::Disagreement => {
                    let Some(at) = pair(self == Self::Disorder) else { continue };
                    order.swap(at, at + 1);
                }
                Self::Forgery => {
                    if let Some(message) = holding.messages.get_mut(&other) {
                        message.stored.text.push('!');
                    }
                }
                Self::NeverMissed => {
                    let Some(mut missed) = holding.log.missed.last_entry() else { continue };
                    missed.get_mut().announced += 1000;
                }
                Self::Untold => {
                    let Some(id) = holding.log.delivered.keys().next().cloned() else { continue };
                    holding.log.delivered.remove(&id);
                }
            }
            if matches!(self, Self::Lost | Self::Undelivered) {
                let gone = if self == Self::Lost { own } else { other };
                holding.order.values_mut().for_each(|order| order.retain(|id| *id != gone));
            }
            return true;
        }
        false
    }
}

/// Checks the promises in a world, and returns a summary or the first violation.
pub(crate) fn judge(world: &mut World) -> Result<Summary, String> {
    judge_after(world, None)
}

/// Judges a world in which a promise is broken at the end, for a control.
pub(crate) fn judge_after(world: &mut World, breach: Option<Breach>) -> Result<Summary, String> {
    let mut holdings = Vec::new();
    let mut crashes = 0;
    world.agree()?;
    let may_change_keys = world.setting.policy.is_none();
    for station in world.stations.drain(..) {
        let Some(mut program) = station.program else { return Err(format!("{} is down", station.name)) };
        crashes += program.life() - 1;
        if let Some(ticket) = program.unanswered.first() {
            return Err(format!("{}: {ticket:?} was never answered", station.name));
        }
        let mut log = station.log;
        let name = &station.name;
        if let Some(accused) = log.accused(may_change_keys) {
            return Err(format!("{name}: {accused}"));
        }
        let now = Now { instant: Instant::now(), utc: Utc::now() };
        program.finish(now, &mut log);
        if let Some(id) = program.unsent() {
            return Err(format!("{name}: {id} was accepted and never sent"));
        }
        holdings.push(Holding::of(station.name, program.crash(&mut Log::default()).0, log));
    }
    if breach.is_some_and(|breach| !breach.commit(&mut holdings)) {
        return Ok(Summary::default());
    }
    let rooms = &world.rooms;
    let mut truth = BTreeMap::new();
    for holding in &holdings {
        truth.extend(
            holding
                .messages
                .iter()
                .filter(|(_, message)| message.stored.from == holding.name)
                .map(|(id, message)| (*id, message)),
        );
    }
    for holding in &holdings {
        let judged = holding
            .only_what_was_written(&truth, rooms, world.is_forked)
            .and_then(|()| holding.in_order())
            .and_then(|()| holding.never_goes_back())
            .and_then(|()| holding.shown_once(&truth, &holdings))
            // Members of two logs never have all messages of each other.
            .and_then(|()| if world.is_forked { Ok(()) } else { holding.told_once(&holdings, rooms) })
            .and_then(|()| if world.is_forked { Ok(()) } else { holding.announced_what_came(&truth) });
        judged.map_err(|why| format!("{}: {why}", holding.name))?;
    }
    if !world.is_forked {
        everybody_has_all(&truth, &holdings, rooms)?;
    }
    all_agree(&holdings)?;
    let messages = truth.len();
    for holding in holdings.iter_mut().filter(|_| !world.is_forked) {
        let waits = holding.ledger.transaction(Tables::undelivered).unwrap_or_default();
        if let Some(receipt) = waits.first() {
            return Err(format!(
                "{}: {} still waits for {:?}",
                holding.name, receipt.message.id, receipt.waits
            ));
        }
    }
    let entries = rooms.log().map_or(0, |log| log.entries().len());
    let mut summary = Summary { messages, crashes, entries, ..Summary::default() };
    for holding in &holdings {
        summary.delivered += holding.log.delivered.len();
        summary.given_up += holding.log.given_up.len();
        summary.late += holding.messages.values().filter(|message| message.stored.late).count();
        summary.refused += holding.log.refused;
        summary.warnings += holding.log.warnings.len();
        summary.uncommitted += holding.log.uncommitted.len();
        let lost = holding.log.shown.iter().filter(|shown| !holding.messages.contains_key(&shown.id));
        summary.lost_in_crash += lost.count();
    }
    Ok(summary)
}

impl World {
    /// Checks that all members know the last entry of the log of the room.
    fn agree(&self) -> Result<(), String> {
        let Some(head) = self.rooms.log().map(|log| (log.head().epoch, log.head().digest)) else {
            return Ok(());
        };
        for peer in (0..self.stations.len()).filter(|_| !self.is_forked) {
            let station = &self.stations[peer];
            let known =
                station.program.as_ref().and_then(|it| it.head(&self.rooms.name(), self.time_of(peer)));
            if self.rooms.members().contains_key(&station.name) && known != Some(head) {
                return Err(format!("{} knows {known:?} as the last entry, not {head:?}", station.name));
            }
        }
        Ok(())
    }
}

impl Holding {
    fn of(name: Username, mut ledger: HistoryDb, log: Log) -> Self {
        let conversations = ledger.tables.conversations().unwrap();
        let (mut messages, mut order) = (BTreeMap::new(), BTreeMap::new());
        for (of, _) in conversations {
            let stored = ledger.transaction(|tables| tables.page(&of, None, usize::MAX)).unwrap_or_default();
            order.insert(of, stored.iter().map(|message| message.id).collect());
            for stored in stored {
                let query = "SELECT revision, seq FROM messages WHERE row = ?1";
                let numbers = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
                let (revision, seq) =
                    ledger.tables.db.query_row(query, params![stored.row], numbers).unwrap();
                let message = Held { revision: revision.cast_unsigned(), seq: seq.cast_unsigned(), stored };
                messages.insert(message.stored.id, message);
            }
        }
        Self { name, ledger, log, messages, order }
    }

    /// Checks that every message shown as sent is stored, and that every stored message was written by its author,
    /// for this user, and by a member.
    fn only_what_was_written(
        &self,
        truth: &BTreeMap<Uuid, &Held>,
        rooms: &Rooms,
        is_forked: bool,
    ) -> Result<(), String> {
        if let Some(wrong) = self.log.wrong.first() {
            return Err(wrong.clone());
        }
        if let Some(lost) = self.log.sent.iter().find(|sent| !self.messages.contains_key(*sent)) {
            return Err(format!("{} was shown as sent and is lost", lost));
        }
        for (id, message) in &self.messages {
            let Held { stored, revision, .. } = message;
            let Some(true_line) = truth.get(id) else { return Err(format!("{id}: nobody wrote that")) };
            if (&true_line.stored.from, &true_line.stored.text) != (&stored.from, &stored.text) {
                return Err(format!("{id}: {} did not write that", stored.from));
            }
            let may = match &stored.conversation {
                ConversationId::Private(other) if *other == stored.from => {
                    true_line.stored.conversation == ConversationId::Private(self.name.clone())
                }
                ConversationId::Private(_) => stored.from == self.name,
                ConversationId::Room(_) if is_forked => true,
                ConversationId::Room(_) => [&self.name, &stored.from]
                    .iter()
                    .all(|user| rooms.revision_of_joining(*revision, user).is_some()),
            };
            if !may {
                return Err(format!("{id}: by somebody or for somebody who was no member"));
            }
        }
        Ok(())
    }

    /// Checks that each message occurs once, and that each author's messages are in the order of writing.
    fn in_order(&self) -> Result<(), String> {
        for ids in self.order.values() {
            if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
                return Err("a message stands twice in the history".into());
            }
            let mut last = BTreeMap::new();
            for message in ids.iter().map(|id| &self.messages[id]) {
                if last.insert(&message.stored.from, message.seq).is_some_and(|last| last >= message.seq) {
                    return Err(format!("{}: out of its author's order", message.stored.id));
                }
            }
        }
        Ok(())
    }

    /// Checks that the user never signed a message under an earlier state of the room than one before.
    fn never_goes_back(&self) -> Result<(), String> {
        let own = self.messages.values().filter(|message| message.stored.from == self.name);
        let mut own: Vec<_> = own.filter(|message| message.stored.conversation.room().is_some()).collect();
        own.sort_by_key(|message| message.seq);
        match own.windows(2).find(|pair| pair[0].revision > pair[1].revision) {
            Some(pair) => Err(format!("{} was signed under an earlier state of the room", pair[1].stored.id)),
            None => Ok(()),
        }
    }

    /// Checks that each message of others was shown, at most once in each run, and in order unless it was late. Each
    /// of them is stored. Exception: the program crashed between showing and storing a message, and its author gave it
    /// up meanwhile.
    fn shown_once(&self, truth: &BTreeMap<Uuid, &Held>, holdings: &[Self]) -> Result<(), String> {
        let mut shown = BTreeSet::new();
        let mut last = BTreeMap::new();
        for message in &self.log.shown {
            if !shown.insert((message.life, message.id)) {
                return Err(format!("{} was shown twice", message.id));
            }
            if !self.messages.contains_key(&message.id) && !self.lost_in_crash(message, holdings) {
                return Err(format!("{} was shown and is lost", message.id));
            }
            let Some(held) = truth.get(&message.id) else {
                return Err(format!("{}: nobody wrote that", message.id));
            };
            let stream = (message.life, &message.from, &message.conversation);
            if !message.late && last.insert(stream, held.seq).is_some_and(|last| last >= held.seq) {
                return Err(format!("{} was shown out of order", message.id));
            }
        }
        let shown: BTreeSet<_> = shown.into_iter().map(|(_, id)| id).collect();
        let others = self.messages.values().filter(|message| message.stored.from != self.name);
        match others.map(|message| message.stored.id).find(|id| !shown.contains(id)) {
            Some(never) => Err(format!("{never} was never shown")),
            None => Ok(()),
        }
    }

    /// Checks that each message that was announced as missed in the last run came late in it. Exception: messages that never
    /// came at all, for example because their author gave them up.
    fn announced_what_came(&self, truth: &BTreeMap<Uuid, &Held>) -> Result<(), String> {
        let last = self.log.missed.keys().map(|(life, _)| *life).max();
        for ((_, of), missed) in self.log.missed.iter().filter(|((life, _), _)| Some(*life) == last) {
            let is_of = |message: &&&Held| match (&message.stored.conversation, of) {
                (ConversationId::Room(_), Conversation::Room(_)) => true,
                (ConversationId::Private(to), Conversation::Private(from)) => {
                    (to, &message.stored.from) == (&self.name, from)
                }
                _ => false,
            };
            let never = truth.values().filter(is_of).filter(|it| !self.messages.contains_key(&it.stored.id));
            if !(missed.late..=missed.late + never.count() as u64).contains(&missed.announced) {
                return Err(format!(
                    "{of}: {} announced as missed, {} came late",
                    missed.announced, missed.late
                ));
            }
        }
        Ok(())
    }

    /// Returns whether a crash came between showing and storing a message, and its author gave it up for this user.
    fn lost_in_crash(&self, message: &Shown, holdings: &[Self]) -> bool {
        let author = holdings.iter().find(|holding| holding.name == message.from);
        self.log.uncommitted.contains(&(message.life, message.id))
            && author.is_some_and(|author| author.log.given_up.contains(&(message.id, self.name.clone())))
    }

    /// Checks that each recipient of each own message was reported exactly once, as delivered or given up.
    fn told_once(&self, holdings: &[Self], rooms: &Rooms) -> Result<(), String> {
        for message in self.messages.values().filter(|message| message.stored.from == self.name) {
            let id = message.stored.id;
            for other in holdings.iter().filter(|other| other.name != self.name) {
                let is_for = match &message.stored.conversation {
                    ConversationId::Private(to) => *to == other.name,
                    ConversationId::Room(_) => {
                        rooms.revision_of_joining(message.revision, &other.name).is_some()
                    }
                };
                let fate = (id, other.name.clone());
                let delivered = self.log.delivered.get(&fate).copied().unwrap_or(0);
                let given_up = usize::from(self.log.given_up.contains(&fate));
                // A crash may take a delivery mark. It is reported again, or the message is given up.
                let lost = self.log.lost_marks.get(&fate).copied().unwrap_or(0);
                if delivered + given_up != usize::from(is_for) + lost {
                    return Err(format!(
                        "{id} for {}: {delivered} times delivered, {given_up} given up",
                        other.name
                    ));
                }
                if delivered > 0 && !other.messages.contains_key(&id) {
                    return Err(format!("{id} was called delivered to {}, who has it not", other.name));
                }
            }
        }
        Ok(())
    }
}

/// Checks that every member since a message was written has it. Exception: the author left and the message was
/// reported as given up.
fn everybody_has_all(
    truth: &BTreeMap<Uuid, &Held>,
    holdings: &[Holding],
    rooms: &Rooms,
) -> Result<(), String> {
    let is_still_member = |user: &Username, revision: u64| {
        let since = rooms.revision_of_joining(revision, user);
        since.is_some() && since == rooms.members().get(user).copied()
    };
    for (id, message) in truth {
        let author = &message.stored.from;
        let given_up =
            &holdings.iter().find(|holding| holding.name == *author).ok_or("no author")?.log.given_up;
        for other in holdings.iter().filter(|other| other.name != *author) {
            let is_due = match &message.stored.conversation {
                ConversationId::Private(to) => *to == other.name,
                ConversationId::Room(_) => {
                    is_still_member(&other.name, message.revision)
                        && (is_still_member(author, message.revision)
                            || !given_up.contains(&(*id, other.name.clone())))
                }
            };
            if is_due && !other.messages.contains_key(id) {
                return Err(format!("{}: {id} of {author} never came", other.name));
            }
        }
    }
    Ok(())
}

/// Checks that any two histories order their common messages in the same way.
fn all_agree(holdings: &[Holding]) -> Result<(), String> {
    for one in holdings {
        for other in holdings {
            for (of, order) in one.order.iter().filter(|(of, _)| of.room().is_some()) {
                let Some(other_order) = other.order.get(of) else { continue };
                let mine = order.iter().filter(|id| other.messages.contains_key(id));
                let theirs = other_order.iter().filter(|id| one.messages.contains_key(id));
                if !mine.eq(theirs) {
                    return Err(format!("{} and {} do not agree", one.name, other.name));
                }
            }
        }
    }
    Ok(())
}
