//! A model test of rooms: random joins and leaves of five users on a room and on a simple model of it.

use chrono::DateTime;
use commons::limits::{CAPACITY, GUESTS_MAX};
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::room::{Joined, Room, RoomError};
use commons::snapshot::ChangeKind;
use proptest::collection::vec;
use proptest::prelude::*;

/// The users of the model. The first one creates the room.
const USERS: [&str; 5] = ["ana", "bob", "carla", "dora", "emil"];

#[derive(Debug, Clone, Copy)]
enum Step {
    Join(usize),
    Leave(usize),
    MayDelete(usize),
    NotePresence,
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS.len();
    prop_oneof![
        4 => user.clone().prop_map(Step::Join),
        3 => user.clone().prop_map(Step::Leave),
        1 => user.prop_map(Step::MayDelete),
        1 => Just(Step::NotePresence),
    ]
}

/// The model: the member in each place, and the revision at which that member joined. Place 0 is the owner's.
#[derive(Default)]
struct Model {
    places: [Option<(usize, u64)>; CAPACITY],
    revision: u64,
}

impl Model {
    fn place_of(&self, user: usize) -> Option<usize> {
        self.places.iter().position(|place| place.is_some_and(|(member, _)| member == user))
    }

    /// Puts a user into a place, or empties it, and raises the revision.
    fn put(&mut self, place: usize, user: Option<usize>) {
        self.revision += 1;
        self.places[place] = user.map(|user| (user, self.revision));
    }

    fn join(&mut self, user: usize) -> Result<Joined, RoomError> {
        if self.place_of(user).is_some() {
            return Ok(Joined::Already);
        }
        let mut allowed = if user == 0 { 0..1 } else { 1..CAPACITY };
        let free = allowed.find(|place| self.places[*place].is_none()).ok_or(RoomError::Full)?;
        self.put(free, Some(user));
        Ok(Joined::Newly)
    }

    fn leave(&mut self, user: usize) -> Result<(), RoomError> {
        let place = self.place_of(user).ok_or(RoomError::NotAMember)?;
        self.put(place, None);
        Ok(())
    }

    fn may_delete(&self, user: usize) -> Result<(), RoomError> {
        match (user, self.place_of(user)) {
            (0, _) => Ok(()),
            (_, Some(_)) => Err(RoomError::NotOwner),
            (_, None) => Err(RoomError::NotAMember),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_room_does_what_the_model_does(steps in vec(step(), 0..60)) {
        let users = USERS.map(|name| Username::parse(name).unwrap());
        let now = DateTime::UNIX_EPOCH;
        let mut room = Room::create(RoomName::parse("sala").unwrap(), users[0].clone(), now);
        let mut model = Model::default();
        model.put(0, Some(0));
        let id = room.id;
        for step in steps {
            let before = room.clone();
            match step {
                Step::Join(user) => prop_assert_eq!(room.join(&users[user], now), model.join(user)),
                Step::Leave(user) => prop_assert_eq!(room.leave(&users[user]), model.leave(user)),
                Step::MayDelete(user) => prop_assert_eq!(room.may_delete(&users[user]), model.may_delete(user)),
                Step::NotePresence => {
                    room.note_presence(ChangeKind::Online, &users[0]);
                    model.revision += 1;
                }
            }
            let places: Vec<_> = room.memberships().map(|member| (member.username.as_str(), member.since)).collect();
            let expected: Vec<_> = model.places.iter().flatten().map(|(user, since)| (USERS[*user], *since)).collect();
            prop_assert_eq!(&places, &expected);

            prop_assert!(places.len() <= CAPACITY);
            prop_assert!(room.guests.iter().flatten().all(|member| member.username != room.owner), "reserved");
            prop_assert!(room.guests.iter().flatten().count() <= GUESTS_MAX);
            prop_assert_eq!((&room.owner, room.id), (&users[0], id), "neither ever changes");

            prop_assert_eq!(room.revision, model.revision);
            prop_assert!(room.revision >= before.revision);
            let changed = room.revision > before.revision;
            prop_assert_eq!(changed, room != before, "the revision grows on a change and only then");
        }

        let snapshot = room.snapshot(|name| Peer::never_seen(name.clone()));
        let members: Vec<_> = snapshot.members.iter().map(|member| member.username.as_str()).collect();
        let expected: Vec<_> = room.memberships().map(|member| member.username.as_str()).collect();
        prop_assert_eq!(members, expected);
    }
}
