//! The room that each authenticated legacy client currently shows.
//! A legacy client drops the messages of every other room, so the other members hold these messages back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::{RoomName, Username};
use commons::snapshot::RoomSnapshot;

/// Changes a snapshot to the form for legacy clients: it names an absent owner, and says nothing of the log, for which
/// there is no space in one `recv`.
pub(crate) fn simplify(room: &mut RoomSnapshot) {
    room.name_owner();
    room.log = None;
}

/// The views of the authenticated legacy clients. All other clients show every room.
#[derive(Debug, Default)]
pub(crate) struct LegacyViews {
    /// The open room by user. `None` means that the client shows its menu.
    views: Mutex<HashMap<Username, Option<RoomName>>>,
}

impl LegacyViews {
    /// Records that a user has signed in. A legacy client starts in its menu.
    pub(crate) fn sign_in(&self, user: &Username, legacy: bool) {
        let mut views = self.lock();
        if legacy {
            views.insert(user.clone(), None);
        } else {
            views.remove(user);
        }
    }

    /// Records that the last session of a user has ended.
    pub(crate) fn sign_off(&self, user: &Username) {
        self.lock().remove(user);
    }

    /// Records that a user's client opens a room. Returns whether it hid that room until now.
    pub(crate) fn open(&self, user: &Username, room: &RoomName) -> bool {
        let mut views = self.lock();
        let Some(view) = views.get_mut(user) else { return false };
        view.replace(room.clone()).as_ref() != Some(room)
    }

    /// Records that a user's client returns to its menu, if it shows this room.
    pub(crate) fn close(&self, user: &Username, room: &RoomName) {
        if let Some(view) = self.lock().get_mut(user) {
            view.take_if(|open| open == room);
        }
    }

    /// Whether a user's client drops the messages of this room.
    pub(crate) fn hides(&self, user: &Username, room: &RoomName) -> bool {
        self.lock().get(user).is_some_and(|view| view.as_ref() != Some(room))
    }

    /// The number of views.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Username, Option<RoomName>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_client_hides_every_room_but_the_one_it_shows() {
        let views = LegacyViews::default();
        let (py, ana) = (Username::parse("py").unwrap(), Username::parse("ana").unwrap());
        let (sala, outra) = (RoomName::parse("sala").unwrap(), RoomName::parse("outra").unwrap());
        views.sign_in(&ana, false);
        views.sign_in(&py, true);
        assert!(!views.hides(&ana, &sala) && views.hides(&py, &sala));
        assert!(!views.open(&ana, &sala), "nothing was hidden");
        assert!(views.open(&py, &sala) && !views.open(&py, &sala));
        assert!(!views.hides(&py, &sala) && views.hides(&py, &outra));
        views.close(&py, &outra);
        assert!(!views.hides(&py, &sala));
        views.close(&py, &sala);
        assert!(views.hides(&py, &sala));
        views.sign_off(&py);
        assert!(!views.hides(&py, &sala));
    }
}
