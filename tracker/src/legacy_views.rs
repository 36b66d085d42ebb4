//! Which room each signed-in legacy client shows. It drops the messages of every other room, so the others wait with theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::{RoomName, Username};

/// The views of the signed-in legacy clients. The programs of other users show everything.
#[derive(Debug, Default)]
pub(crate) struct LegacyViews {
    /// The room, or `None` in the menu.
    views: Mutex<HashMap<Username, Option<RoomName>>>,
}

impl LegacyViews {
    /// A user has signed in. A legacy client begins in its menu.
    pub(crate) fn sign_in(&self, user: &Username, legacy: bool) {
        let mut views = self.lock();
        if legacy {
            views.insert(user.clone(), None);
        } else {
            views.remove(user);
        }
    }

    /// A user's last session has ended.
    pub(crate) fn sign_off(&self, user: &Username) {
        self.lock().remove(user);
    }

    /// A user's program enters a room; whether it hid that room until now.
    pub(crate) fn open(&self, user: &Username, room: &RoomName) -> bool {
        let mut views = self.lock();
        let Some(view) = views.get_mut(user) else { return false };
        view.replace(room.clone()).as_ref() != Some(room)
    }

    /// A user's program goes back to its menu, if this room was open.
    pub(crate) fn close(&self, user: &Username, room: &RoomName) {
        if let Some(view) = self.lock().get_mut(user) {
            view.take_if(|open| open == room);
        }
    }

    /// Whether a user's program drops the messages of this room.
    pub(crate) fn hides(&self, user: &Username, room: &RoomName) -> bool {
        self.lock().get(user).is_some_and(|view| view.as_ref() != Some(room))
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
