//! The rate at which the live messages of each member are read. Pure: time is an argument.
//!
//! A member may send a burst of [`BURST_SECONDS`] seconds' worth of messages. After that the receiver reads the link only
//! as fast as the rate allows, so the author's send queue fills up, and the author slows down. Nothing is lost.
//!
//! Example: with 20 messages a second, the first 200 messages are read at once, and each further one after 50 ms.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{BURST_SECONDS, RATE_NOTE_AFTER, RATED_MEMBERS_MAX};

/// The rates of all members. They belong to users and not to links, so a new link begins no new burst.
#[derive(Debug)]
pub(crate) struct MemberRates {
    /// The time that one message takes.
    interval: Duration,
    members: BTreeMap<Username, Member>,
}

/// The rate of one member, by the generic cell rate algorithm.
#[derive(Debug)]
struct Member {
    /// The time at which all messages that came are paid for.
    paid: Instant,
    /// The time since which the member has waited, and whether that was noted.
    limited: Option<(Instant, bool)>,
}

/// The consequence of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    /// The time for which the link is not read.
    pub(crate) wait: Duration,
    /// Whether the user is told now, because the member has been too fast for a while.
    pub(crate) must_note: bool,
}

impl MemberRates {
    /// Starts with this number of messages a second.
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.get(), members: BTreeMap::new() }
    }

    /// Counts a message of a member. Returns for how long the link is not read after it.
    pub(crate) fn count(&mut self, user: &Username, now: Instant) -> Delay {
        if self.members.len() >= RATED_MEMBERS_MAX && !self.members.contains_key(user) {
            self.members.retain(|_, member| member.paid > now);
        }
        let member = self.members.entry(user.clone()).or_insert_with(|| Member { paid: now, limited: None });
        member.paid = member.paid.max(now) + self.interval;
        let wait = (member.paid - now).saturating_sub(Duration::from_secs(BURST_SECONDS));
        if wait.is_zero() {
            // The member is slow enough again once half of the burst is free.
            let is_slow = member.paid - now <= Duration::from_secs(BURST_SECONDS) / 2;
            member.limited = member.limited.filter(|_| !is_slow);
            return Delay { wait, must_note: false };
        }
        let (since, is_noted) = member.limited.get_or_insert((now, false));
        let must_note = !*is_noted && now >= *since + RATE_NOTE_AFTER;
        *is_noted |= must_note;
        Delay { wait, must_note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn rates() -> MemberRates {
        MemberRates::new(NonZeroU32::new(20).unwrap())
    }

    /// Lets a member send as fast as the link is read. Returns how long that takes, and the number of notes.
    fn send(rates: &mut MemberRates, name: &str, messages: usize, start: Instant) -> (Duration, usize) {
        let (mut now, mut notes) = (start, 0);
        for _ in 0..messages {
            let Delay { wait, must_note } = rates.count(&user(name), now);
            now += wait;
            notes += usize::from(must_note);
        }
        (now - start, notes)
    }

    #[tokio::test]
    async fn burst_is_free_and_the_rest_comes_at_the_rate() {
        let (mut rates, start) = (rates(), Instant::now());
        assert_eq!(send(&mut rates, "bob", 200, start), (Duration::ZERO, 0));
        assert_eq!(send(&mut rates, "bob", 20, start), (Duration::from_secs(1), 0));
        // The control: another member has a burst of its own.
        assert_eq!(send(&mut rates, "carla", 200, start), (Duration::ZERO, 0));
        // A rest of ten seconds after the last one gives a new burst.
        let later = start + Duration::from_secs(11);
        assert_eq!(send(&mut rates, "bob", 200, later), (Duration::ZERO, 0));
    }

    #[tokio::test]
    async fn user_is_told_once_while_a_member_is_too_fast() {
        let (mut rates, start) = (rates(), Instant::now());
        let (time, notes) = send(&mut rates, "bob", 4000, start);
        assert_eq!((time, notes), (Duration::from_secs(190), 1));
        // After a rest it is news again.
        let later = start + time + Duration::from_secs(60);
        assert_eq!(send(&mut rates, "bob", 4000, later).1, 1);
        // The control: a short excess is not worth a note.
        assert_eq!(send(&mut rates, "carla", 220, start).1, 0);
    }

    #[tokio::test]
    async fn members_that_are_at_rest_take_no_memory() {
        let (mut rates, start) = (rates(), Instant::now());
        for n in 0..3 * RATED_MEMBERS_MAX {
            rates.count(&user(&format!("user{n}")), start + Duration::from_secs(n as u64));
        }
        assert!(rates.members.len() <= RATED_MEMBERS_MAX);
    }
}
