//! The queue of password hashes.
//! It decides which hash is computed next and which one is displaced when too many wait.
//!
//! A client that requests many hashes should delay only itself. Networks therefore take turns: the network that was
//! served longest ago is next. Within a network, the newest job is next, because its client most likely still waits.
//! Regulars come first: users who signed in to the same account from the same network before.
//!
//! Example: network 1 queues a1, a2, a3; network 2 queues b1, b2; network 3 queues c1. The order is c1, b2, a3, b1, a2,
//! a1.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::limits::{HASHES_WAITING_MAX, NETWORKS_MAX, REGULARS_IN_A_ROW};
use crate::rate_limit::{Recent, Subnet};

/// The origin of a hash job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashOrigin {
    /// The network of the client.
    pub(crate) network: Subnet,
    /// Whether a user signed in to the same account from this network before.
    pub(crate) regular: bool,
}

impl HashOrigin {
    /// The origin of the operator's jobs on this computer.
    pub(crate) fn operator() -> Self {
        Self { network: Subnet::of(Ipv4Addr::LOCALHOST.into()), regular: true }
    }
}

/// The queue of waiting jobs, in two classes.
#[derive(Debug)]
pub(crate) struct PasswordQueue<T> {
    regulars: Turns<T>,
    others: Turns<T>,
    /// The number of regular jobs served since the last other job.
    in_a_row: usize,
}

/// The waiting jobs of one class, at most [`HASHES_WAITING_MAX`].
#[derive(Debug)]
struct Turns<T> {
    /// The jobs by network, the newest last. A network without jobs has no entry.
    waiting: HashMap<Subnet, Vec<Waiting<T>>>,
    length: usize,
    /// For each network, the value of `departures` when it was last served.
    served: Recent<Subnet, u64>,
    /// The number of jobs that were added so far. It gives each job its arrival number.
    arrivals: u64,
    departures: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    arrival: u64,
    job: T,
}

impl<T> PasswordQueue<T> {
    /// Creates an empty queue.
    pub(crate) fn new() -> Self {
        Self { regulars: Turns::new(), others: Turns::new(), in_a_row: 0 }
    }

    /// Adds a job. Returns the displaced job, if there are too many.
    pub(crate) fn push(&mut self, origin: HashOrigin, job: T) -> Option<T> {
        let turns = if origin.regular { &mut self.regulars } else { &mut self.others };
        turns.push(origin.network, job)
    }

    /// The number of waiting jobs.
    pub(crate) fn len(&self) -> usize {
        self.regulars.length + self.others.length
    }

    /// Removes and returns the next job.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.in_a_row < REGULARS_IN_A_ROW
            && let Some(job) = self.regulars.pop()
        {
            self.in_a_row += 1;
            return Some(job);
        }
        self.in_a_row = 0;
        self.others.pop().or_else(|| self.regulars.pop())
    }
}

impl<T> Turns<T> {
    fn new() -> Self {
        let served = Recent::new(NETWORKS_MAX);
        Self { waiting: HashMap::new(), length: 0, served, arrivals: 0, departures: 0 }
    }

    /// Adds a job. If there are too many, returns the oldest job of the network with the most jobs.
    fn push(&mut self, network: Subnet, job: T) -> Option<T> {
        self.arrivals += 1;
        self.length += 1;
        self.waiting.entry(network).or_default().push(Waiting { arrival: self.arrivals, job });
        if self.length <= HASHES_WAITING_MAX {
            return None;
        }
        let most = self
            .waiting
            .iter()
            .max_by_key(|(_, jobs)| (jobs.len(), jobs.first().map(|job| Reverse(job.arrival))));
        let network = most.map(|(network, _)| *network)?;
        self.take(network, |_| 0)
    }

    fn pop(&mut self) -> Option<T> {
        let Self { waiting, served, .. } = self;
        let turns = waiting.iter().map(|(network, jobs)| {
            let served = served.known(network).map(|departure| *departure);
            (served, Reverse(jobs.last().map(|job| job.arrival)), *network)
        });
        let (.., network) = turns.min_by_key(|(served, newest, _)| (*served, *newest))?;
        self.departures += 1;
        *self.served.turn_of(&network) = self.departures;
        self.take(network, |length| length - 1)
    }

    fn take(&mut self, network: Subnet, index: impl Fn(usize) -> usize) -> Option<T> {
        let jobs = self.waiting.get_mut(&network)?;
        let job = jobs.remove(index(jobs.len())).job;
        if jobs.is_empty() {
            self.waiting.remove(&network);
        }
        self.length -= 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::IpAddr;

    use super::*;

    fn origin(number: u32, regular: bool) -> HashOrigin {
        HashOrigin { network: Subnet::of(IpAddr::from((0xc000_0200 + number).to_be_bytes())), regular }
    }

    /// Pushes a job from a network without earlier logins.
    fn push(queue: &mut PasswordQueue<&'static str>, network: u32, job: &'static str) {
        assert_eq!(queue.push(origin(network, false), job), None);
    }

    fn all(mut queue: PasswordQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn networks_take_turns_and_the_newest_goes_first() {
        let mut queue = PasswordQueue::new();
        for (network, job) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (2, "b2"), (3, "c1")] {
            push(&mut queue, network, job);
        }
        assert_eq!(all(queue), ["c1", "b2", "a3", "b1", "a2", "a1"]);
    }

    #[test]
    fn a_network_that_was_served_lately_does_not_go_first_again() {
        let mut queue = PasswordQueue::new();
        push(&mut queue, 1, "a1");
        assert_eq!(queue.pop(), Some("a1"));
        push(&mut queue, 2, "b1");
        push(&mut queue, 1, "a2");
        assert_eq!(all(queue), ["b1", "a2"]);
    }

    #[test]
    fn regulars_go_first_and_others_are_not_starved() {
        let mut queue = PasswordQueue::new();
        push(&mut queue, 1, "other");
        for _ in 0..REGULARS_IN_A_ROW + 1 {
            assert_eq!(queue.push(origin(2, true), "regular"), None);
        }
        let order = all(queue);
        assert_eq!(order.iter().position(|job| *job == "other"), Some(REGULARS_IN_A_ROW));
    }

    #[test]
    fn oldest_job_of_the_busiest_network_is_displaced() {
        let mut queue = PasswordQueue::new();
        let most = HASHES_WAITING_MAX as u32;
        for number in 0..most {
            assert_eq!(queue.push(origin(number % 2 * number, false), number), None);
        }
        // Network 0 holds half of the queue.
        assert_eq!(queue.push(origin(most + 1, false), most), Some(0));
        assert_eq!(queue.push(origin(most + 2, false), most), Some(2));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), HASHES_WAITING_MAX);
    }

    /// Simulates a flood: two networks request ten hashes per round for unknown names, and two hashes are computed per
    /// round. Eight users come, one after the other. Returns how many of them are served.
    fn served_in_a_flood(
        push: &mut dyn FnMut(HashOrigin, u32) -> Option<u32>,
        pop: &mut dyn FnMut() -> Option<u32>,
        regular: bool,
    ) -> usize {
        const USER: u32 = 1_000_000;
        let (mut served, mut number) = (0, 0);
        for round in 0..200 {
            for _ in 0..10 {
                number += 1;
                push(origin(number % 2, false), number);
            }
            if round >= 100 && round % 10 == 0 && round / 10 - 10 < 8 {
                push(origin(7, regular), USER + round);
            }
            for _ in 0..2 {
                served += usize::from(pop().is_some_and(|job| job >= USER));
            }
        }
        served
    }

    #[test]
    fn flood_of_unknown_names_blocks_no_user() {
        for regular in [true, false] {
            let queue = std::cell::RefCell::new(PasswordQueue::new());
            let mut push = |origin, job| queue.borrow_mut().push(origin, job);
            let served = served_in_a_flood(&mut push, &mut || queue.borrow_mut().pop(), regular);
            assert_eq!(served, 8);
        }
    }

    #[test]
    fn control_first_come_first_served_keeps_users_out() {
        let queue = std::cell::RefCell::new(VecDeque::new());
        let mut push = |_, job| {
            let mut queue = queue.borrow_mut();
            let full = queue.len() >= HASHES_WAITING_MAX;
            if !full {
                queue.push_back(job);
            }
            full.then_some(job)
        };
        let served = served_in_a_flood(&mut push, &mut || queue.borrow_mut().pop_front(), false);
        assert!(served < 4, "{served}");
    }
}
