//! The effects of the engine: plain data that the driver carries out in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::engine::input::{RefusedFrame, Ticket};
use crate::history::report::OutgoingMessage;
use crate::history::request::Request;
use crate::identity::known_keys::Pin;
use crate::peer_communication::frame::Frame;
use crate::peer_communication::key_request::KeyReply;
use crate::peer_communication::link_table::{LinkId, Target};

/// An effect that the driver carries out.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Publishes an event to all frontends.
    Publish(Event),
    /// Publishes an event that shows this row of the history, a received message.
    PublishRow(Event, i64),
    /// Publishes an event that shows this row of the history, a message of this device.
    PublishOwnRow(Event, i64),
    /// Answers a command.
    Answer(Ticket, Result<Answer, CommandError>),
    /// Replies to a key check of a link.
    KeyReply(Ticket, KeyReply),
    /// Gives the history a request.
    History(Request),
    /// Queues a frame for whatever link serves a user. Without a link it is dropped. If the queue is full, the engine
    /// gets [`Input::QueueFull`](crate::engine::input::Input::QueueFull) with the last field.
    Send(Username, Frame, RefusedFrame),
    /// Queues an own message for one link of a user.
    SendMessage(Username, LinkId, Arc<OutgoingMessage>),
    /// Queues own messages of one conversation for one link of a user, in one frame if they fit.
    SendBacklog(Username, LinkId, Vec<Arc<OutgoingMessage>>),
    /// Acknowledges a message, and all earlier ones on the link, to a program that does not sync.
    Acknowledge(Username, Uuid),
    /// Sends LEAVE for a room, or for the private chat. The last field is true if the link stays in use.
    SendLeave(Username, Option<RoomName>, bool),
    /// Sets which users should be linked.
    WantLinks(BTreeMap<Username, Target>),
    /// Dials a user at once, after keys were accepted.
    DialNow(Username),
    /// Dials users again that could not be reached: this one, or all.
    RetryDials(Option<Username>),
    /// Ends the links to a user that proved another key than these.
    EndOtherLinks(Username, Vec<PublicKey>),
    /// Asks the tracker for the address and the keys of a user.
    LookUp(Username),
    /// Reads the entries of a room's log after an epoch. They come as granted requests, or
    /// [`Input::RoomLogRefused`](crate::engine::input::Input::RoomLogRefused) comes.
    ReadRoomLog(RoomName, u64),
    /// Writes the pinned keys to the disk. The engine gets [`Input::FileWritten`](crate::engine::input::Input::FileWritten).
    WritePins(Option<Ticket>, BTreeMap<Username, Pin>),
    /// Writes the blocked users to the disk. The engine gets [`Input::FileWritten`](crate::engine::input::Input::FileWritten).
    WriteBlocked(Ticket, BTreeSet<Username>),
    /// Writes the users whose private chats were accepted. The engine gets [`Input::FileWritten`](crate::engine::input::Input::FileWritten).
    WriteAccepted(Ticket, BTreeSet<Username>),
}

/// The effects of one input, in order.
#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<Effect>);

impl Effects {
    /// Adds an effect after all others.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Adds effects after all others.
    pub(crate) fn extend(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.0.extend(effects);
    }

    /// Adds a request to the history.
    pub(crate) fn history(&mut self, request: impl Into<Request>) {
        self.push(Effect::History(request.into()));
    }

    /// Adds events for the frontends.
    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = Event>) {
        self.0.extend(events.into_iter().map(Effect::Publish));
    }

    /// Takes the events that show received messages.
    pub(crate) fn take_rows(&mut self) -> Vec<Effect> {
        let (rows, others) =
            self.take().into_iter().partition(|effect| matches!(effect, Effect::PublishRow(..)));
        self.0 = others;
        rows
    }

    /// Takes all effects, first to last.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.0)
    }
}
