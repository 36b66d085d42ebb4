//! A message of the simulated tracker to a peer.

use commons::names::Username;
use commons::protocol::with_tracker::{Credentials, Reply, RoomUpdate, TrackerRequest};
use commons::snapshot::RoomSnapshot;

use crate::engine::input::Input;

/// A reply or a push of the tracker.
#[derive(Debug, Clone)]
pub(crate) enum TrackerOutput {
    SignedIn(Vec<RoomSnapshot>),
    Entered(RoomSnapshot),
    Left(RoomSnapshot),
    Update(RoomUpdate),
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
                // A room may be offered instead of entered. The user then enters it.
                let entered = rooms.into_iter().flat_map(|room| Self::Entered(room).into_inputs(me));
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
        }
    }
}
