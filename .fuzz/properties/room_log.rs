//! The property of a room's log.
//! Any bytes are an entry or an error, and an entry has only one encoding. Any changes by any people keep the rules of a
//! room, and a refused one changes nothing.

use std::sync::LazyLock;

use commons::digest::Digest;
use commons::keys::Seed;
use commons::limits::GUESTS_MAX;
use commons::names::{RoomName, Username};
use commons::room_log::entry::{Change, Creation, Entry, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::state::RoomState;

/// Bytes of a signature, and of the kind of a change without values.
const SIGNATURE: usize = 64;
const KIND: usize = 1;

static PEOPLE: LazyLock<Vec<(Username, Seed)>> = LazyLock::new(|| {
    let person = |(n, name): (u8, &str)| Username::parse(name).ok().map(|name| (name, Seed::new([n; 32])));
    (0..).zip(["ana", "bob", "carla", "dora", "erik"]).filter_map(person).collect()
});

pub fn hold(bytes: &[u8]) {
    if let Ok(entry) = SignedEntry::from_bytes(bytes) {
        assert_eq!(entry.to_bytes(), bytes, "an entry has one encoding");
    }
    let Some(mut state) = room() else { panic!("a room can be created") };
    let mut rest = bytes;
    // Each step has the number of the author, the length of the change and its bytes.
    while let Some(([author, length], after)) = rest.split_first_chunk() {
        let Some((change, after)) = after.split_at_checked(usize::from(*length)) else { return };
        rest = after;
        let (name, seed) = &PEOPLE[usize::from(*author) % PEOPLE.len()];
        let Some(change) = change_of(&state, name, change) else { continue };
        let entry = state.next(name.clone(), seed.public_key(), 1, change).sign(seed);
        let before = state.clone();
        match state.apply(&entry) {
            Ok(()) => assert_eq!(state.head().digest, entry.digest()),
            Err(_) => assert_eq!(state, before),
        }
        let guests = state.members().keys().filter(|member| *member != state.owner());
        assert!(guests.clone().count() <= GUESTS_MAX);
        assert!(!guests.clone().any(|guest| state.banned().contains(guest)));
        assert!(state.members().keys().all(|member| state.keys(member).is_some_and(|keys| !keys.is_empty())));
    }
}

fn room() -> Option<RoomState> {
    let (owner, seed) = PEOPLE.first()?;
    let (none, key) = (Digest([0; 32]), seed.public_key());
    let name = RoomName::parse("sala").ok()?;
    let creation =
        Creation { name, keys: vec![key], policy: Policy::Open, legacy: false, nonce: [0; 32], tracker: key };
    let change = Change::Created(creation);
    let entry = Entry { room: none, epoch: 1, previous: none, time: 1, author: owner.clone(), key, change };
    RoomState::create(&entry.sign(seed)).ok()
}

/// Reads a change as a part of an entry.
fn change_of(state: &RoomState, author: &Username, change: &[u8]) -> Option<Change> {
    let seed = Seed::new([9; 32]);
    let mut entry = state.next(author.clone(), seed.public_key(), 1, Change::Left).sign(&seed).to_bytes();
    entry.truncate(entry.len() - SIGNATURE - KIND);
    entry.extend_from_slice(change);
    entry.extend_from_slice(&[0; SIGNATURE]);
    SignedEntry::from_bytes(&entry).ok().map(|signed| signed.entry.change)
}
