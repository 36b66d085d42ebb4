//! The rules of a room's log, in the terms of the people who sign.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod log_scene;

use std::collections::BTreeSet;

use chrono::DateTime;
use commons::digest::Digest;
use commons::endorsement::Endorsement;
use commons::incarnation::Incarnation;
use commons::keys::{PublicKey, Signature};
use commons::limits::{CHECKPOINT_DISTANCE, ENTRIES_PER_DAY, SUCCESSION_WAIT};
use commons::room::Room;
use commons::room_log::entry::{Change, Entry, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::head::SignedHead;
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use commons::room_log::state::{RoomState, id_of, room_id};
use log_scene::{Scene, creation, device, key_of, keys, user};
use serde::{Deserialize, Serialize};

const PAGE: &str = include_str!("../../docs/room-log.md");

const DAY: u64 = 24 * 60 * 60 * 1000;

fn invited(name: &str) -> Change {
    Change::Invited { user: user(name), keys: keys(name) }
}

#[test]
fn invite_room_takes_only_invited_keys() {
    let mut scene = Scene::new(Policy::Invite);
    assert_eq!(scene.join("bob"), Err(Refusal::NotInvited));
    scene.by("ana", invited("bob")).unwrap();
    let thief = scene.signed("bob", &device("thief"), joined(&[key_of("thief")], &[]));
    assert_eq!(scene.apply(&thief), Err(Refusal::NotInvited), "the name alone is not enough");
    scene.join("bob").unwrap();
    assert_eq!(scene.member("bob").invited_by, Some(user("ana")));
    scene.by("bob", Change::Left).unwrap();
    assert_eq!(scene.join("bob"), Err(Refusal::NotInvited), "an invitation is used once");
    scene.by("ana", invited("bob")).unwrap();
    scene.by("ana", Change::Uninvited(user("bob"))).unwrap();
    assert_eq!(scene.join("bob"), Err(Refusal::NotInvited), "an invitation can be taken back");
    scene.by("ana", Change::Policy(Policy::Open)).unwrap();
    scene.join("bob").unwrap();
}

#[test]
fn endorsed_key_uses_the_invitation_of_the_other() {
    let mut scene = Scene::new(Policy::Invite);
    scene.by("ana", invited("bob")).unwrap();
    let phone = device("bob's phone");
    let keys = [key_of("bob"), phone.public_key()];
    let by_stranger = Endorsement::sign(&user("bob"), &phone, key_of("bob"));
    let wrong = scene.signed("bob", &phone, joined(&keys, &[by_stranger]));
    assert_eq!(
        scene.apply(&wrong),
        Err(Refusal::NotInvited),
        "the phone endorsed the laptop, not the reverse"
    );
    let endorsement = Endorsement::sign(&user("bob"), &device("bob"), phone.public_key());
    let right = scene.signed("bob", &phone, joined(&keys, &[endorsement]));
    scene.apply(&right).unwrap();
}

#[test]
fn places_bans_and_removal_are_the_owners() {
    let mut scene = Scene::new(Policy::Open);
    scene.join("bob").unwrap();
    scene.join("carla").unwrap();
    assert_eq!(scene.join("dora"), Err(Refusal::Full));
    scene.by("ana", Change::Left).unwrap();
    assert_eq!(scene.join("dora"), Err(Refusal::Full), "the owner's place is not for guests");
    scene.join("ana").unwrap();
    assert_eq!(scene.by("bob", Change::Removed(user("carla"))), Err(Refusal::NotOwner));
    scene.by("ana", Change::Removed(user("carla"))).unwrap();
    scene.join("carla").unwrap();
    scene.by("ana", Change::Banned(user("carla"))).unwrap();
    assert_eq!(scene.join("carla"), Err(Refusal::Banned));
    assert_eq!(scene.by("ana", invited("carla")), Err(Refusal::Banned));
    scene.by("ana", Change::Unbanned(user("carla"))).unwrap();
    scene.join("carla").unwrap();
    scene.by("ana", Change::Deleted).unwrap();
    assert_eq!(scene.by("bob", Change::Left), Err(Refusal::Ended));
}

#[test]
fn nobody_signs_for_another() {
    let mut scene = Scene::new(Policy::Open);
    scene.join("bob").unwrap();
    for change in [Change::Left, Change::Device(key_of("thief")), Change::Deleted] {
        let forged = scene.signed("ana", &device("bob"), change);
        assert_eq!(scene.apply(&forged), Err(Refusal::UnknownKey));
    }
    let mut altered = scene.signed("bob", &device("bob"), Change::Left);
    altered.entry.time += 1;
    assert_eq!(scene.apply(&altered), Err(Refusal::Signature));
    let tracker = scene.signed("ana", &device("tracker"), Change::Expired);
    assert_eq!(scene.apply(&tracker), Err(Refusal::NotOwner), "an owner never expires");
    let tracker = scene.signed("bob", &device("tracker"), Change::Expired);
    scene.apply(&tracker).unwrap();
    assert_eq!(scene.by("bob", Change::Left), Err(Refusal::NotAMember));
    scene.by("ana", Change::Policy(Policy::Invite)).unwrap();
    scene.by("ana", invited("bob")).unwrap();
    scene.join("bob").unwrap();
    let tracker = scene.signed("bob", &device("tracker"), Change::Expired);
    assert_eq!(scene.apply(&tracker), Err(Refusal::NotOwner), "nobody expires in an invite room");
}

#[test]
fn entry_follows_exactly_one_log() {
    let mut scene = Scene::new(Policy::Open);
    let late = scene.signed("bob", &device("bob"), joined(&keys("bob"), &[]));
    scene.join("carla").unwrap();
    assert_eq!(scene.apply(&late), Err(Refusal::Stale));
    let mut other = Scene::new(Policy::Open);
    let elsewhere = other.signed("bob", &device("bob"), joined(&keys("bob"), &[]));
    assert_eq!(scene.apply(&elsewhere), Err(Refusal::OtherRoom));
    let mut early = scene.state.next(user("bob"), key_of("bob"), 0, joined(&keys("bob"), &[]));
    early.time = 0;
    assert_eq!(scene.apply(&early.sign(&device("bob"))), Err(Refusal::Time));
    other.join("bob").unwrap();
}

#[test]
fn nobody_lists_the_key_of_another() {
    let mut scene = Scene::new(Policy::Open);
    scene.join("carla").unwrap();
    scene.by("ana", invited("dora")).unwrap();
    for victim in ["ana", "carla", "dora"] {
        let both = scene.signed("bob", &device("bob"), joined(&[key_of("bob"), key_of(victim)], &[]));
        assert_eq!(scene.apply(&both), Err(Refusal::UnknownKey), "{victim}");
    }
    assert_eq!(scene.by("carla", Change::Device(key_of("ana"))), Err(Refusal::UnknownKey));
    let swapped = Change::Invited { user: user("bob"), keys: keys("carla") };
    assert_eq!(scene.by("ana", swapped), Err(Refusal::UnknownKey));
    // Control: a key of one's own. Its revocation concerns its user only.
    scene.by("carla", Change::Device(key_of("phone"))).unwrap();
    scene.by("carla", Change::Revoked { key: key_of("phone"), ends: vec![] }).unwrap();
    let phone = scene.signed("bob", &device("phone"), joined(&[key_of("phone")], &[]));
    scene.apply(&phone).unwrap();
}

#[test]
fn owner_can_remove_and_ban_at_any_time() {
    let mut scene = Scene::new(Policy::Open);
    for n in 0..ENTRIES_PER_DAY {
        scene.by("ana", Change::Topic(format!("topic {n}"))).unwrap();
    }
    scene.join("bob").unwrap();
    assert_eq!(scene.by("ana", Change::Topic("one too many".into())), Err(Refusal::TooMany));
    scene.by("ana", Change::Removed(user("bob"))).unwrap();
    scene.by("ana", Change::Banned(user("bob"))).unwrap();
}

#[test]
fn revoked_key_signs_nothing_any_more() {
    let mut scene = Scene::new(Policy::Open);
    scene.join("bob").unwrap();
    let phone = device("bob's phone");
    scene.by("bob", Change::Device(phone.public_key())).unwrap();
    let revoked = Change::Revoked { key: key_of("bob"), ends: vec![] };
    assert_eq!(scene.by("bob", revoked.clone()), Err(Refusal::Value), "a key cannot revoke itself");
    let revocation = scene.signed("bob", &phone, revoked);
    scene.apply(&revocation).unwrap();
    assert_eq!(scene.by("bob", Change::Left), Err(Refusal::RevokedKey));
    let left = scene.signed("bob", &phone, Change::Left);
    scene.apply(&left).unwrap();
    assert_eq!(scene.join("bob"), Err(Refusal::RevokedKey));
    let both = scene.signed("bob", &phone, joined(&[phone.public_key(), key_of("bob")], &[]));
    assert_eq!(scene.apply(&both), Err(Refusal::RevokedKey), "nor does another key bring it back");
}

#[test]
fn room_goes_to_the_named_member_or_the_successor() {
    let mut scene = Scene::new(Policy::Open);
    scene.join("bob").unwrap();
    scene.join("carla").unwrap();
    scene.by("ana", Change::Successor(Some(user("bob")))).unwrap();
    assert_eq!(
        scene.by("bob", Change::Owner(user("bob"))),
        Err(Refusal::NotOwner),
        "the owner was just here"
    );
    scene.now += u64::try_from(SUCCESSION_WAIT.as_millis()).unwrap();
    assert_eq!(scene.by("carla", Change::Owner(user("carla"))), Err(Refusal::NotOwner));
    scene.by("bob", Change::Owner(user("bob"))).unwrap();
    assert_eq!(scene.by("ana", Change::Topic("mine".into())), Err(Refusal::NotOwner));
    scene.by("bob", Change::Owner(user("carla"))).unwrap();
    scene.by("carla", Change::Topic("mine".into())).unwrap();
    assert_eq!(scene.state.members().len(), 3);
}

#[test]
fn user_makes_few_changes_a_day() {
    let mut scene = Scene::new(Policy::Open);
    for _ in 0..ENTRIES_PER_DAY / 2 {
        scene.join("bob").unwrap();
        scene.by("bob", Change::Left).unwrap();
    }
    assert_eq!(scene.join("bob"), Err(Refusal::TooMany));
    scene.join("carla").unwrap();
    scene.now += DAY;
    scene.join("bob").unwrap();
}

#[test]
fn newcomer_goes_on_from_a_checkpoint() {
    let mut scene = Scene::new(Policy::Open);
    scene.by("ana", Change::Banned(user("dora"))).unwrap();
    scene.join("bob").unwrap();
    let early = scene.state.to_checkpoint();
    assert_eq!(scene.by("ana", early), Err(Refusal::TooMany), "the last one is too near");
    while scene.state.head().epoch < CHECKPOINT_DISTANCE {
        scene.now += DAY / 8;
        scene.join("carla").unwrap();
        scene.by("carla", Change::Left).unwrap();
    }
    let checkpoint = scene.signed("ana", &device("ana"), scene.state.to_checkpoint());
    let mut wrong = Scene::new(Policy::Open);
    wrong.join("dora").unwrap();
    let invented = scene.signed("ana", &device("ana"), wrong.state.to_checkpoint());
    assert_eq!(scene.apply(&invented), Err(Refusal::Value), "a checkpoint states the log, nothing else");
    scene.apply(&checkpoint).unwrap();
    let mut newcomer = RoomState::resume(&checkpoint, &keys("ana")).unwrap();
    assert_eq!(newcomer, scene.state);
    assert_eq!(RoomState::resume(&checkpoint, &keys("bob")), Err(Refusal::UnknownKey));
    let joined = scene.signed("carla", &device("carla"), joined(&keys("carla"), &[]));
    scene.apply(&joined).unwrap();
    newcomer.apply(&joined).unwrap();
    assert_eq!(newcomer, scene.state);
}

#[test]
fn room_at_the_tracker_has_the_members_of_its_log() {
    let mut scene = Scene::new(Policy::Open);
    let now = DateTime::UNIX_EPOCH;
    let mut log = RoomLog::begin(scene.log[0].clone()).unwrap();
    let mut room = Room::signed(log.clone(), now);
    scene.join("bob").unwrap();
    scene.join("carla").unwrap();
    scene.by("ana", Change::Topic("tea".into())).unwrap();
    scene.by("ana", Change::Owner(user("carla"))).unwrap();
    scene.by("carla", Change::Removed(user("ana"))).unwrap();
    scene.by("carla", Change::Banned(user("dora"))).unwrap();
    scene.by("carla", Change::Banned(user("bob"))).unwrap();
    scene.by("carla", Change::Left).unwrap();
    scene.join("ana").unwrap();
    for entry in &scene.log[1..] {
        let revision = room.revision;
        log.append(entry.clone()).unwrap();
        room.follow(log.clone(), now).unwrap();
        let members: BTreeSet<_> = room.memberships().map(|member| &member.username).collect();
        assert_eq!(members, log.state().members().keys().collect());
        assert_eq!((&room.owner, room.revision), (log.state().owner(), revision + 1), "{entry:?}");
    }
    assert_eq!(room.id, id_of(&scene.log[0]));
    assert_eq!(RoomLog::from_disk(scene.log.clone()), Ok(log.clone()));
    assert_eq!(log.after(7), &scene.log[7..]);
}

#[test]
fn id_is_that_of_the_first_entry() {
    let scene = Scene::new(Policy::Open);
    let id = id_of(&scene.log[0]);
    assert_eq!((scene.state.id(), id.get_version_num()), (id, 8));
    let Change::Created(creation) = &scene.log[0].entry.change else {
        panic!("a room begins with its creation")
    };
    let mut other = creation.clone();
    other.nonce[31] ^= 1;
    let entry = Entry { change: Change::Created(other), ..scene.log[0].entry.clone() };
    assert_ne!(id_of(&entry.sign(&device("ana"))), id);
}

#[test]
fn every_entry_is_read_as_it_was_written() {
    let mut scene = Scene::new(Policy::Invite);
    scene.by("ana", invited("bob")).unwrap();
    scene.join("bob").unwrap();
    let phone = key_of("phone");
    let changes = [
        Change::Created(creation(Policy::Open)),
        joined(&[key_of("ana"), phone], &[Signature([3; 64])]),
        Change::Left,
        Change::Device(phone),
        invited("bob"),
        Change::Uninvited(user("bob")),
        Change::Removed(user("bob")),
        Change::Banned(user("bob")),
        Change::Unbanned(user("bob")),
        Change::Policy(Policy::Invite),
        Change::Owner(user("bob")),
        Change::Topic("tea, 李".into()),
        Change::Successor(None),
        Change::Successor(Some(user("bob"))),
        Change::Deleted,
        Change::Revoked { key: phone, ends: vec![(Incarnation(9), 7)] },
        Change::Expired,
        scene.state.to_checkpoint(),
    ];
    for change in changes {
        let signed = scene.signed("ana", &device("ana"), change);
        let text = String::from(signed.clone());
        assert_eq!(SignedEntry::try_from(text.clone()).unwrap(), signed);
        assert!(SignedEntry::try_from(format!("{text}00")).is_err(), "nothing may follow");
        assert!(SignedEntry::try_from(text[2..].to_owned()).is_err());
    }
}

/// An entry as the page shows it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    seed: String,
    entry: SignedEntry,
    digest: Digest,
}

#[test]
fn the_page_shows_entries_and_their_digests() {
    let mut scene = Scene::created(creation(Policy::Invite));
    scene.by("ana", invited("bob")).unwrap();
    scene.join("bob").unwrap();
    scene.by("bob", Change::Device(key_of("bob's phone"))).unwrap();
    scene.by("bob", Change::Revoked { key: key_of("bob's phone"), ends: vec![(Incarnation(9), 7)] }).unwrap();
    scene.by("ana", Change::Topic("tea, 李".into())).unwrap();
    let vectors = scene.log.iter().map(|entry| Vector {
        seed: base16ct::lower::encode_string(device(entry.entry.author.as_str()).as_bytes()),
        entry: entry.clone(),
        digest: entry.digest(),
    });
    let expected: Vec<_> = vectors.map(|vector| serde_json::to_string(&vector).unwrap()).collect();
    assert_eq!(block("json room-log-vectors"), expected, "the page should show\n{}", expected.join("\n"));
    let seed = device("tracker");
    let head = serde_json::to_string(&scene.state.head().sign(&seed)).unwrap();
    assert_eq!(block("json room-head-vector"), [head.as_str()], "the page should show\n{head}");
    let read: SignedHead = serde_json::from_str(&head).unwrap();
    assert!(read.is_signed_by(&seed.public_key()));
    assert_eq!(room_id(&scene.state.room()).to_string(), block("text room-id-vector")[0]);
}

/// The lines of a block of the page.
fn block(name: &str) -> Vec<&'static str> {
    let fence = format!("```{name}");
    PAGE.lines().skip_while(|line| *line != fence).skip(1).take_while(|line| *line != "```").collect()
}

fn joined(keys: &[PublicKey], endorsements: &[Signature]) -> Change {
    Change::Joined { keys: keys.to_vec(), endorsements: endorsements.to_vec() }
}
