//! Scenes in which the tracker lies about a room with a log, or a member lies about its messages.

use commons::names::Username;
use commons::room_log::entry::Change;
use uuid::Uuid;

use crate::engine::engine_command::EngineCommand;
use crate::engine::room_intent::RoomIntent;
use crate::history::testing::{author, device, user};
use crate::simulation::forgery;
use crate::simulation::lie::{Lie, made_up_key};
use crate::simulation::rooms::page;
use crate::simulation::scenes::{ANA, BOB, CARLA, Scene};
use crate::simulation::simulated_peer::Packet;
use crate::simulation::tracker_message::TrackerOutput;
use crate::simulation::world::{PeerIndex, World};

/// The user who is no member, in worlds of more than three.
const DORA: PeerIndex = 3;

/// Whether a message is refused that a former member signs for the last epoch of the own membership, and that another
/// member hands on. No log can tell it from a message that was signed in time and came late.
const REMOVED_SIGNER_IS_REFUSED: bool = false;

impl World {
    /// Plays a step of a scene with a lie, and returns the time until the next one.
    pub(crate) fn play_deception(&mut self, step: u32) -> Option<u64> {
        match self.scene {
            Scene::Ghost => self.ghost(step),
            Scene::MovedSince => self.moved_since(step),
            Scene::HiddenMember => self.hidden_member(step),
            Scene::AnotherKey => self.another_key(step),
            Scene::Rollback => self.rollback(step),
            Scene::ForgedEntry => self.false_entry(step, Lie::ForgedEntry(self.stations[CARLA].name.clone())),
            Scene::ForeignEntry => self.false_entry(step, Lie::ForeignEntry),
            Scene::WithheldEntry => self.withheld_entry(step),
            Scene::SplitHead => self.split_head(step),
            Scene::Fork => self.fork(step),
            Scene::Revival => self.revival(step),
            Scene::RemovedSigner => self.removed_signer(step),
            Scene::HandedOn => self.handed_on(step),
            Scene::ForeignLines => self.foreign_lines(step),
            _ => None,
        }
    }

    fn expect_warning(&mut self, peer: PeerIndex, code: &str) {
        let is_warned = self.stations[peer].log.is_warned(self.stations[peer].life, code);
        self.expect(peer, is_warned, &format!("no warning {code}"));
    }

    /// Lets users write three messages each.
    fn write_three(&mut self, peers: &[PeerIndex]) {
        let room = self.room();
        peers.iter().for_each(|peer| (0..3).for_each(|_| self.write(*peer, &room)));
    }

    /// Lets the owner make a change that concerns nobody.
    fn change_topic(&mut self) {
        let (owner, topic) = (self.rooms.owner(), format!("topic {}", self.now));
        self.sign(&owner, Change::Topic(topic));
    }

    /// Lets the owner make a change to a user other than the owner.
    fn change_as_owner(&mut self, change: Change) {
        let owner = self.rooms.owner();
        self.sign(&owner, change);
    }

    /// Returns a member of the cast who is not the owner.
    fn guest(&self) -> PeerIndex {
        if self.rooms.owner() == self.stations[CARLA].name { BOB } else { CARLA }
    }

    fn ghost(&mut self, step: u32) -> Option<u64> {
        let ghost = self.stations.get(DORA).map_or_else(|| user("zoe"), |station| station.name.clone());
        match step {
            1 => {
                self.tell(&[ANA, BOB, CARLA], Lie::Ghost(ghost));
                Some(2000)
            }
            2 => {
                self.write_three(&[ANA, BOB]);
                Some(4000)
            }
            _ => {
                [ANA, BOB, CARLA].into_iter().for_each(|peer| self.expect_warning(peer, "GHOST"));
                self.expect_all_new(CARLA, "beside a ghost");
                self.tell_the_truth();
                None
            }
        }
    }

    fn moved_since(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => self.stop(BOB),
            2 | 4 => self.join_or_leave(CARLA),
            3 => self.write_three(&[ANA]),
            5 => {
                self.tell(&[BOB], Lie::Since(self.stations[CARLA].name.clone()));
                self.start_now(BOB);
                return Some(6000);
            }
            6 => self.want_all(CARLA),
            _ => {
                let seen = !self.seen(CARLA).is_empty();
                self.expect(CARLA, !seen, "a message from a time without membership was shown");
                self.expect_all_seen(BOB, "after the return");
                self.tell_the_truth();
                return None;
            }
        }
        Some(2000)
    }

    fn hidden_member(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                self.tell(&[ANA], Lie::Hidden(self.stations[BOB].name.clone()));
                Some(1000)
            }
            2 => {
                self.write_three(&[ANA]);
                Some(4000)
            }
            _ => {
                [BOB, CARLA]
                    .into_iter()
                    .for_each(|peer| self.expect_all_new(peer, "from a member to whom it is hidden"));
                self.tell_the_truth();
                None
            }
        }
    }

    /// A newcomer whom nobody has met joins. The tracker announces a key of its own in place of the newcomer's.
    fn another_key(&mut self, step: u32) -> Option<u64> {
        let zoe = user("zoe");
        match step {
            1 => self.change_guest_for(Change::Removed),
            2 => self.invite(&zoe),
            3 => {
                self.tell(&[ANA, BOB, CARLA], Lie::Keys(zoe.clone()));
                self.sign(&zoe, Change::Joined { keys: vec![device("zoe")], endorsements: Vec::new() });
            }
            4 => {
                for peer in [ANA, BOB, CARLA] {
                    let (link, keys) = (self.number(), (made_up_key(&zoe), self.record_keys(peer, &zoe)));
                    self.impostors.insert(link, (zoe.clone(), keys.0));
                    self.with(peer, |program, now, log| program.link_up(&zoe, link, keys, now, log));
                }
            }
            5 => self.write_three(&[ANA, BOB]),
            _ => {
                for peer in [ANA, BOB, CARLA] {
                    for link in self.impostors.keys().copied().collect::<Vec<_>>() {
                        self.with(peer, |program, now, log| program.link_down(&zoe, link, now, log));
                    }
                }
                self.tell_the_truth();
                self.change_as_owner(Change::Removed(zoe));
                return None;
            }
        }
        Some(2000)
    }

    fn change_guest_for(&mut self, change: fn(Username) -> Change) {
        let guest = self.stations[self.guest()].name.clone();
        self.change_as_owner(change(guest));
    }

    /// A restart brings the snapshot from before a removal.
    fn rollback(&mut self, step: u32) -> Option<u64> {
        let guest = self.guest();
        let at = if guest == BOB { ANA } else { BOB };
        match step {
            1 => self.change_guest_for(Change::Removed),
            2 => {
                let earlier = self.rooms.earlier.last().cloned();
                earlier.into_iter().for_each(|room| self.tell(&[at], Lie::Earlier(Box::new(room))));
                self.stop(at);
                self.start_now(at);
                return Some(4000);
            }
            3 => {
                let name = self.stations[guest].name.clone();
                self.write_three(&[at]);
                self.never = self.notes.ids.first().map(|id| (*id, name));
            }
            4 => self.want_all(guest),
            _ => {
                self.expect_warning(at, "LOG_OLDER");
                let other = [ANA, BOB, CARLA].into_iter().find(|peer| *peer != at && *peer != guest);
                other.into_iter().for_each(|peer| self.expect_all_new(peer, "after an older state"));
                self.tell_the_truth();
                return None;
            }
        }
        Some(2500)
    }

    /// The tracker adds an entry that breaks a rule to those that one member reads.
    fn false_entry(&mut self, step: u32, lie: Lie) -> Option<u64> {
        let at = if self.rooms.owner() == self.stations[BOB].name { ANA } else { BOB };
        let lie = match lie {
            Lie::ForgedEntry(_) => Lie::ForgedEntry(self.stations[self.guest()].name.clone()),
            lie => lie,
        };
        match step {
            1 => {
                self.tell(&[at], lie);
                self.change_topic();
            }
            2 => self.write_three(&[at]),
            _ => {
                self.expect_warning(at, "LOG_INVALID");
                let others = [ANA, BOB, CARLA].into_iter().filter(|peer| *peer != at);
                others.for_each(|peer| self.expect_all_new(peer, "from a member with a false entry"));
                self.tell_the_truth();
                return None;
            }
        }
        Some(3000)
    }

    /// The tracker does not show a removal to one member.
    fn withheld_entry(&mut self, step: u32) -> Option<u64> {
        let guest = self.guest();
        let at = if guest == BOB { ANA } else { BOB };
        match step {
            1 => {
                let room = Box::new(self.rooms.snapshot());
                self.tell(&[at], Lie::Earlier(room));
                self.change_guest_for(Change::Removed);
            }
            2 => self.write_three(&[at]),
            3 => self.tell_the_truth(),
            _ => {
                let other = [ANA, BOB, CARLA].into_iter().find(|peer| *peer != at && *peer != guest);
                other
                    .into_iter()
                    .for_each(|peer| self.expect_all_seen(peer, "from a member who knows no removal"));
                return None;
            }
        }
        Some(3000)
    }

    /// The tracker claims another last entry to one member, who stops writing until a look at the room.
    fn split_head(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => self.tell(&[BOB], Lie::Split),
            2 | 4 => self.write(BOB, &self.room()),
            3 => {
                self.tell_the_truth();
                let room = self.rooms.name();
                self.order(BOB, EngineCommand::DescribeRoom(room));
            }
            _ => {
                self.expect_warning(BOB, "SPLIT_VIEW");
                let answers: Vec<_> =
                    self.notes.tickets.iter().map(|ticket| self.answer(BOB, *ticket)).collect();
                let wanted = [Some(false), Some(true)];
                self.expect(BOB, answers == wanted, &format!("answers after a split view: {answers:?}"));
                return None;
            }
        }
        Some(2000)
    }

    /// Two users sign an entry after the same one. The tracker shows one of them to ana, and the other one to bob.
    fn fork(&mut self, step: u32) -> Option<u64> {
        let carla = self.stations[CARLA].name.clone();
        let dora = user("dora");
        match step {
            1 if self.rooms.owner() == carla => return None,
            1 => self.change_as_owner(Change::Removed(carla)),
            2 => [&carla, &dora].into_iter().for_each(|user| self.invite(user)),
            3 => {
                let joined = |user: &Username| Change::Joined {
                    keys: vec![device(user.as_str())],
                    endorsements: Vec::new(),
                };
                let (Some(before), room) = (self.rooms.log().cloned(), self.rooms.snapshot()) else {
                    return None;
                };
                let state = before.state();
                let entry = state.next(dora.clone(), device("dora"), 0, joined(&dora));
                let entry = entry.sign(&author("dora").seed);
                let Ok(other) = before.extended(entry.clone()) else { return None };
                self.is_forked = true;
                // The members tell each other.
                for station in &mut self.stations {
                    station.log.lies.extend([("SPLIT_VIEW", None), ("OTHER_LOG", None)]);
                }
                let shown: Vec<_> =
                    [BOB, DORA].into_iter().filter(|peer| *peer < self.stations.len()).collect();
                self.tell(&shown, Lie::Fork(other.clone().into()));
                if shown.contains(&DORA) {
                    let beginning = page(&before, 0);
                    self.word(DORA, TrackerOutput::Page(room.name.clone(), 0, Box::new(beginning)), 0);
                    let rest = page(&other, before.head().epoch.min(8));
                    self.word(DORA, TrackerOutput::Page(room.name.clone(), 8, Box::new(rest)), 0);
                    self.word(DORA, TrackerOutput::Changed(Box::new(entry), Some(room)), 0);
                }
                self.sign(&carla, joined(&carla));
            }
            4 => self.write_three(&[ANA, BOB]),
            5 if self.stations.len() > DORA => self.want_all(DORA),
            5 => {}
            _ => {
                [ANA, BOB].into_iter().for_each(|peer| self.expect_warning(peer, "SPLIT_VIEW"));
                return None;
            }
        }
        Some(2500)
    }

    /// The tracker says that the room was deleted, and later shows it again as it was before a removal.
    fn revival(&mut self, step: u32) -> Option<u64> {
        let guest = self.guest();
        let at = if guest == BOB { ANA } else { BOB };
        match step {
            1 => self.change_guest_for(Change::Removed),
            2 => {
                self.word(at, TrackerOutput::Update(self.rooms.deletion()), 0);
            }
            3 => {
                let earlier = self.rooms.earlier.last().cloned();
                earlier.into_iter().for_each(|room| self.tell(&[at], Lie::Earlier(Box::new(room))));
                self.change(at, RoomIntent::Join);
            }
            4 => self.write_three(&[at]),
            5 => self.want_all(guest),
            _ => {
                self.tell_the_truth();
                return None;
            }
        }
        Some(3000)
    }

    /// A removed member signs a message for an epoch of the own membership, and another member hands it on.
    fn removed_signer(&mut self, step: u32) -> Option<u64> {
        let guest = self.guest();
        let (by, at) = if guest == BOB { (CARLA, ANA) } else { (ANA, BOB) };
        match step {
            1 => {
                self.notes.position = self.rooms.position();
                self.change_guest_for(Change::Removed);
                Some(3000)
            }
            2 => {
                let name = self.stations[guest].name.clone();
                let message = forgery::message(&name, self.rooms.id(), self.notes.position, self.now);
                self.notes.ids.push(message.id);
                let packet =
                    Packet::Lines { room_id: Some(self.rooms.id()), messages: vec![message], late: true };
                let to = self.stations[at].name.clone();
                // The member hands the message on only if such a message must be refused.
                let is_sent = REMOVED_SIGNER_IS_REFUSED;
                self.with(by, |program, _, _| {
                    if is_sent {
                        program.forge(&to, packet.clone())
                    }
                });
                self.with(guest, |program, _, _| program.forge(&to, packet));
                Some(4000)
            }
            _ => {
                let seen = self.seen(at).is_empty();
                self.expect(at, seen, "a message of a removed member was shown");
                None
            }
        }
    }

    /// A member hands messages on to a removed one.
    fn handed_on(&mut self, step: u32) -> Option<u64> {
        let guest = self.guest();
        let (by, name) = (if guest == BOB { ANA } else { BOB }, self.stations[guest].name.clone());
        match step {
            1 => self.change_guest_for(Change::Removed),
            2 => self.write_three(&[by]),
            3 => {
                let packet = self.captured_lines(self.notes.ids[0]);
                self.with(by, |program, _, _| {
                    packet.into_iter().for_each(|packet| program.forge(&name, packet))
                });
            }
            _ => {
                let seen = self.seen(guest).is_empty();
                self.expect(guest, seen, "a message from a time without membership was shown");
                return None;
            }
        }
        Some(3000)
    }

    /// A member sends messages that were signed for another room.
    fn foreign_lines(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                let (ana, other) = (self.stations[ANA].name.clone(), Uuid::from_u128(0x5a1a));
                let message = forgery::message(&ana, other, self.rooms.position(), self.now);
                self.notes.ids.push(message.id);
                let room_id = Some(self.rooms.id());
                let packet = Packet::Lines { room_id, messages: vec![message], late: true };
                let names = [BOB, CARLA].map(|peer| self.stations[peer].name.clone());
                self.with(ANA, |program, _, _| {
                    names.iter().for_each(|name| program.forge(name, packet.clone()))
                });
                Some(4000)
            }
            _ => {
                for peer in [BOB, CARLA] {
                    let seen = self.seen(peer).is_empty();
                    self.expect(peer, seen, "a message of another room was shown");
                }
                None
            }
        }
    }
}
