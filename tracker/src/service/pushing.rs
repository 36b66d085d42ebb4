//! The service's part for pushes: it sends the changes of rooms to the members' sessions.

use std::sync::Arc;

use commons::names::Username;
use commons::room::Room;
use commons::snapshot::ChangeKind;

use crate::login::ConnectionId;
use crate::push::{Notice, Push};
use crate::repositories::watch::Changed;
use crate::service::TrackerService;

impl TrackerService {
    /// Pushes the changes of rooms for as long as the tracker runs, whichever process makes them.
    pub(crate) async fn push_changes(self: Arc<Self>) {
        let mut wake = self.turn().wake();
        // A change may have come before the signal existed.
        drop(self.turn());
        while wake.woken().await {
            drop(self.turn());
        }
    }

    /// Stores a change of a user's presence, and pushes it to the members of the user's rooms.
    pub(crate) async fn presence_changed(
        &self,
        username: &Username,
        kind: ChangeKind,
        by: Option<ConnectionId>,
    ) {
        self.save_place(username).await;
        if let Err(error) = self.rooms.presence_changed(username, kind, by).await {
            tracing::warn!(%error, "a presence change could not be stored");
        }
    }

    /// Stores the address and the presence of a user.
    pub(crate) async fn save_place(&self, username: &Username) {
        if let Err(error) = self.presence.save(username).await {
            tracing::warn!(%error, "a peer's address could not be stored");
        }
    }

    /// Pushes a change of a room to the members that it concerns, except to the session that asked for it. Every push
    /// of a change passes through it.
    pub(crate) fn push(&self, change: &Changed<Room>) {
        let deleter = self.deleter(change);
        for notice in Notice::of(change, deleter.as_ref()) {
            let room = self.rooms.snapshot(&notice.room, false).ok().filter(|room| room.id == notice.room_id);
            let mut users = notice.recipients(room.is_some());
            users.extend(notice.invited.iter().filter(|user| self.sees(change, user)));
            let Some(push) = Push::of(&notice, room) else { continue };
            tracing::debug!(room = ?notice.room, change = ?notice.change, "pushing to the members");
            let sessions = users.into_iter().filter_map(|username| self.connections.connection(username));
            // The session that deleted another user's room gets no other news of it.
            let requester = change.by.filter(|_| deleter.is_none());
            for session in sessions.filter(|session| requester != Some(session.id)) {
                push.frame(session.is_legacy()).into_iter().for_each(|frame| session.push(frame));
            }
        }
    }

    /// Whether an invited user has one of the invited keys. The room does not exist for others of that name.
    fn sees(&self, change: &Changed<Room>, user: &Username) -> bool {
        change.after.as_ref().is_some_and(|room| self.rooms.is_shown_to(room, user))
    }

    /// The admin who deleted a room of another user. `None` if the owner or the operator deleted it.
    fn deleter(&self, change: &Changed<Room>) -> Option<Username> {
        let (Some(room), None, Some(by)) = (&change.before, &change.after, change.by) else { return None };
        match self.connections.is_current(&room.owner, by) {
            true => None,
            false => self.connections.user(by).filter(|user| *user != room.owner),
        }
    }
}
