//! A message of the simulated tracker to a peer.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{Credentials, ErrorCode, Refusal, Reply, RoomUpdate, TrackerRequest};
use commons::room_log::entry::SignedEntry;
use commons::snapshot::RoomSnapshot;

use crate::engine::input::Input;
use crate::tracker_communication::tracker_report::TrackerError;

/// A reply or a push of the tracker.
#[derive(Debug, Clone)]
pub(crate) enum TrackerOutput {
    SignedIn(Vec<RoomSnapshot>),
    Entered(RoomSnapshot),
    Left(RoomSnapshot),
    Update(RoomUpdate),
    /// The tracker has accepted an entry of this user. The room is absent if the user is no longer in it.
    Changed(Box<SignedEntry>, Option<RoomSnapshot>),
    /// A part of the log of a room, after an epoch.
    Page(RoomName, u64, Box<Reply>),
    /// The tracker does not show the log of a room.
    NoLog(RoomName),
}

impl TrackerOutput {
    /// Returns the inputs of this user's engine.
    pub(crate) fn into_inputs(self, me: &Username) -> Vec<Input> {
        match self {
            Self::SignedIn(rooms) => {
                let login = TrackerRequest::Login(Credentials {
                    username: me.as_str().to_owned(),
                    password: None,
                    login_key: None,
                    address: None,
                    port: 1,
                    code: None,
                });
                let named = rooms.iter().map(|room| (room.name.as_str().to_owned(), room.clone())).collect();
                let reply = Reply { rooms: Some(named), ..Reply::default() };
                // A room may be offered instead of entered. The user then enters it, one with a log by a command.
                let plain = rooms.into_iter().filter(|room| room.log.is_none());
                let entered = plain.flat_map(|room| Self::Entered(room).into_inputs(me));
                std::iter::once(Input::Granted(login, Box::new(reply))).chain(entered).collect()
            }
            Self::Entered(room) => {
                let join = TrackerRequest::JoinRoom { room: room.name.as_str().to_owned() };
                let reply = Reply { room: Some(room), ..Reply::default() };
                vec![Input::Granted(join, Box::new(reply))]
            }
            Self::Left(room) => {
                let leave = TrackerRequest::LeaveRoom { room: room.name.as_str().to_owned() };
                vec![Input::Granted(leave, Box::default())]
            }
            Self::Update(update) => vec![Input::RoomUpdate(Box::new(update))],
            Self::Changed(entry, room) => {
                let change = TrackerRequest::ChangeRoom { entry };
                vec![Input::Granted(change, Box::new(Reply { room, ..Reply::default() }))]
            }
            Self::Page(room, after, reply) => {
                let read = TrackerRequest::RoomLog { room: room.as_str().to_owned(), after };
                vec![Input::Granted(read, reply)]
            }
            Self::NoLog(room) => {
                let (msg, code) = ("there is no such room".to_owned(), ErrorCode::RoomNotFound);
                let refusal = Refusal { msg, code, retry_after_ms: None, until: None, id: None };
                vec![Input::RoomLogRefused(room, TrackerError::Refused(refusal))]
            }
        }
    }
}
