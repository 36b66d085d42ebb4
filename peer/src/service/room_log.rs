//! Changes of rooms: the user's entries, signed with the key of this device.
//!
//! The engine makes an entry, this device signs it, and the tracker accepts it if nobody else was faster. Otherwise the
//! newer entries are read, and the next entry follows those.

use chrono::Utc;
use commons::digest::Digest;
use commons::keys::{PublicKey, Seed};
use commons::names::RoomName;
use commons::protocol::with_tracker::{ErrorCode, RoomsFate};
use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH};
use commons::room_log::facts::Policy;

use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::room_command::RoomCommand;
use crate::engine::engine_command::EngineCommand;
use crate::engine::room_intent::RoomIntent;
use crate::limits::STALE_HEAD_TRIES;
use crate::service::PeerService;
use crate::service::current_user::CurrentUser;
use crate::tracker_communication::tracker_report::TrackerError;

impl PeerService {
    /// Creates a room.
    pub(crate) async fn create_room(
        &self,
        session: &CurrentUser,
        name: RoomName,
        policy: Policy,
    ) -> Result<(), CommandError> {
        let tracker = self.tracker.tracker_key().ok_or(CommandError::TrackerLost)?;
        let nonce = Seed::random()
            .map_err(|error| CommandError::Local(format!("the system gives no random numbers: {error}")))?;
        let key = session.seed.public_key();
        // Original programs cannot sign. They are on the tracker's own computer.
        let legacy = policy == Policy::Open && self.tracker.is_on_loopback();
        let none = Digest([0; 32]);
        let created = Entry {
            room: none,
            epoch: FIRST_EPOCH,
            previous: none,
            time: u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default(),
            author: session.user.clone(),
            key,
            change: Change::Created(Creation {
                name,
                keys: vec![key],
                policy,
                legacy,
                nonce: *nonce.as_bytes(),
                tracker,
            }),
        };
        Ok(self.tracker.change_room(created.sign(&session.seed)).await?)
    }

    /// Joins a room by an entry of its log. A room without a log is joined only at a tracker on this computer, where original
    /// programs create some: elsewhere the tracker alone would decide who gets the messages.
    pub(crate) async fn join_room(&self, session: &CurrentUser, room: &RoomName) -> Result<(), CommandError> {
        let has_log = self.tracker.read_room_log(room, 0).await?;
        if has_log && self.change_room(session, room, RoomIntent::Join).await? {
            return Ok(());
        }
        if !has_log && !self.tracker.is_on_loopback() {
            return Err(CommandError::NoLog(room.clone()));
        }
        Ok(self.tracker.join_room(room).await?)
    }

    /// Makes a change to the log of a room. Returns false if the room has no log.
    pub(crate) async fn change_room(
        &self,
        session: &CurrentUser,
        room: &RoomName,
        intent: RoomIntent,
    ) -> Result<bool, CommandError> {
        for _ in 0..=STALE_HEAD_TRIES {
            let Some(entry) = self.engine.next_entry(room, intent.clone()).await? else { return Ok(false) };
            let known = entry.epoch - 1;
            match self.tracker.change_room(entry.sign(&session.seed)).await {
                Err(TrackerError::Refused(refusal)) if refusal.code == ErrorCode::StaleHead => {
                    self.tracker.read_room_log(room, known).await?;
                }
                outcome => return Ok(outcome.map(|()| true)?),
            }
        }
        Err(CommandError::refused(ErrorCode::Busy, "too many people change this room: try again in a moment"))
    }

    /// Leaves all rooms with a log, and hands on or deletes the own ones, before the account is deleted. Only this device can
    /// sign that.
    pub(crate) async fn give_up_rooms(
        &self,
        session: &CurrentUser,
        fate: RoomsFate,
    ) -> Result<(), CommandError> {
        let me = &session.user;
        let entered = self.engine.snapshot(self.signed_out()).await?.rooms;
        let is_entered = |room: &RoomName| entered.iter().any(|entered| entered.name == *room);
        let listed = self.tracker.list_rooms().await?;
        let left = listed.into_iter().filter(|room| room.owner == *me && !is_entered(&room.name));
        for room in left {
            // An owner who has left the room needs its log to sign.
            self.tracker.read_room_log(&room.name, 0).await?;
            self.change_room(session, &room.name, own_room(fate)).await?;
        }
        for room in entered.iter().filter(|room| room.log.is_some()) {
            if room.owner == *me {
                self.change_room(session, &room.name, own_room(fate)).await?;
                if fate == RoomsFate::Delete || room.members.len() == 1 {
                    continue;
                }
            }
            self.change_room(session, &room.name, RoomIntent::Leave).await?;
        }
        Ok(())
    }

    /// Lets another device of this user sign in the rooms in which this one signs.
    pub(crate) async fn add_device(&self, session: &CurrentUser, key: PublicKey) -> Result<(), CommandError> {
        let rooms = self.engine.snapshot(self.signed_out()).await?.rooms;
        for room in rooms.into_iter().filter(|room| room.log.is_some()) {
            match self.change_room(session, &room.name, RoomIntent::AddDevice(key)).await {
                // The room has the key already, or as many of this user as it takes.
                Err(CommandError::Refused { code: ErrorCode::InvalidEntry, .. }) => {}
                outcome => outcome.map(drop)?,
            }
        }
        Ok(())
    }

    /// Carries out a command that only a room with a log can have.
    pub(crate) async fn govern_room(
        &self,
        session: &CurrentUser,
        mut command: RoomCommand,
    ) -> Result<Answer, CommandError> {
        let room = command.room_mut().take().ok_or(MissingConversation::NoneOpen)?;
        let intent = match command {
            RoomCommand::Room { .. } => return self.engine.command(EngineCommand::DescribeRoom(room)).await,
            RoomCommand::Invite { user, .. } => RoomIntent::Invite(user),
            RoomCommand::Uninvite { user, .. } => RoomIntent::Uninvite(user),
            RoomCommand::Kick { user, .. } => RoomIntent::Remove(user),
            RoomCommand::Ban { user, .. } => RoomIntent::Ban(user),
            RoomCommand::Unban { user, .. } => RoomIntent::Unban(user),
            RoomCommand::Give { user, .. } => RoomIntent::Give(user),
            RoomCommand::Successor { user, .. } => RoomIntent::SetSuccessor(user),
            RoomCommand::Topic { text, .. } => RoomIntent::SetTopic(text),
            RoomCommand::Policy { policy, .. } => RoomIntent::SetPolicy(policy),
        };
        if self.change_room(session, &room, intent).await? {
            Ok(Answer::Done)
        } else {
            Err(CommandError::Unsigned(room))
        }
    }
}

/// The change of a room whose owner deletes the account.
fn own_room(fate: RoomsFate) -> RoomIntent {
    match fate {
        RoomsFate::HandOn => RoomIntent::HandOn,
        RoomsFate::Delete => RoomIntent::Delete,
    }
}
