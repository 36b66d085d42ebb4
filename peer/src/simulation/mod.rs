//! The simulation of small networks of peers in which everything goes wrong.
//!
//! It checks the promises of the project in many worlds. Each world follows entirely from one seed.
//!
//! `SEED=17 cargo test -p peer --lib simulation` replays one world step by step, with `OMITTED=Ack` without a rule, and
//! `STEPS=1000` prints more steps, also of a world that passes. `SEEDS=10000` simulates that many, in place of a short run.

mod deceptions;
mod forgery;
mod governance;
mod lie;
mod log;
mod rooms;
mod scenes;
mod setting;
mod simulated_peer;
mod tracker_message;
mod verdict;
mod world;

use std::collections::BTreeSet;
use std::env;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;

use crate::engine::omission::Omission;
use crate::history;
use crate::simulation::setting::{SEEDS_OF_ONE, Setting};
use crate::simulation::verdict::{Breach, Summary, judge, judge_after};
use crate::simulation::world::World;

/// The seeds of a short run lie below this number. It is a multiple of the settings and their seeds.
const SHORT_SEEDS: u64 = 240;

/// The worlds of each setting in a short run. No setting has more scenes.
const SEEDS_OF_SETTING: u64 = 30;

/// Further seeds that once found a defect, in rooms without a log.
const HARD_SEEDS: [u64; 3] = [476, 990, 1560];

/// The number of worlds within which an omitted check must be detected.
const FEW_SEEDS: u64 = 20;

/// The number of last steps that a failure shows.
const STEPS: usize = 200;

/// A rule of the product that a control leaves out.
#[derive(Debug, Clone, Copy)]
enum Omitted {
    History(history::tables::Omission),
    Engine(Omission),
}

impl Omitted {
    fn of_history(self) -> Option<history::tables::Omission> {
        match self {
            Self::History(omission) => Some(omission),
            Self::Engine(_) => None,
        }
    }

    fn of_engine(self) -> Option<Omission> {
        match self {
            Self::Engine(omission) => Some(omission),
            Self::History(_) => None,
        }
    }
}

/// Runs the world of a seed and judges it.
fn run(seed: u64, omitted: Option<Omitted>) -> Result<Summary, String> {
    run_in(seed, Setting::of(seed), omitted)
}

/// Runs the world of a seed in a setting and judges it.
fn run_in(seed: u64, setting: Setting, omitted: Option<Omitted>) -> Result<Summary, String> {
    let mut world = World::new(seed, setting, omitted, false);
    world.run();
    judge(&mut world)
}

/// Runs the world of a seed. Returns the verdict and all steps.
fn trace(seed: u64, omitted: Option<Omitted>) -> (Result<Summary, String>, Vec<String>) {
    let mut world = World::new(seed, Setting::of(seed), omitted, true);
    world.run();
    (judge(&mut world), world.trace)
}

/// Runs the worlds of these seeds on all processors. Returns the failures by seed, and the summaries of the others.
fn run_all(
    seeds: impl IntoIterator<Item = u64>,
    omitted: Option<Omitted>,
) -> (Vec<(u64, String)>, Vec<Summary>) {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seeds: Vec<_> = seeds.into_iter().collect();
    let share = |thread: usize| {
        let seeds = seeds.iter().copied().skip(thread).step_by(threads);
        move || seeds.map(|seed| (seed, run(seed, omitted))).collect::<Vec<_>>()
    };
    let verdicts: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(share(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (mut failures, mut summaries) = (Vec::new(), Vec::new());
    for (seed, verdict) in verdicts {
        match verdict {
            Ok(summary) => summaries.push(summary),
            Err(why) => failures.push((seed, why)),
        }
    }
    failures.sort();
    (failures, summaries)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Returns the seeds of this run: as many as `SEEDS` says, otherwise those of a short run. A short run has each scene in each
/// setting, and the worlds of the controls: an omitted rule is found out only if its world passes with the rule.
fn seeds() -> BTreeSet<u64> {
    if let Some(seeds) = number("SEEDS") {
        return (0..seeds).collect();
    }
    let of_settings = (0..SHORT_SEEDS).filter(|seed| seed % SEEDS_OF_ONE < SEEDS_OF_SETTING);
    of_settings.chain(Omission::ALL.map(|(_, seed)| seed)).collect()
}

#[test]
fn no_message_is_lost_doubled_forged_or_out_of_order() {
    if let Some(seed) = number("SEED") {
        let rules = Omission::ALL.into_iter().map(|(rule, _)| rule);
        let omitted = env::var("OMITTED").ok();
        let omitted = rules.into_iter().find(|rule| Some(format!("{rule:?}")) == omitted);
        let (verdict, trace) = trace(seed, omitted.map(Omitted::Engine));
        let steps = &trace[trace.len().saturating_sub(number("STEPS").unwrap_or(STEPS as u64) as usize)..];
        if env::var_os("STEPS").is_some() {
            println!("{}", steps.join("\n"));
        }
        assert!(verdict.is_ok(), "SEED={seed}: {verdict:?}\n{}", steps.join("\n"));
        return;
    }
    let (mut failures, summaries) = run_all(seeds(), None);
    failures.extend(
        HARD_SEEDS.into_iter().filter_map(|seed| Some((seed, run_in(seed, Setting::PLAIN, None).err()?))),
    );
    assert!(failures.is_empty(), "{} fail; run SEED={} alone: {failures:#?}", failures.len(), failures[0].0);
    // If nothing happens in the worlds, they prove nothing.
    let sum = |of: fn(&Summary) -> usize| summaries.iter().map(of).sum::<usize>();
    let happened = [
        sum(|it| it.messages),
        sum(|it| it.delivered),
        sum(|it| it.given_up),
        sum(|it| it.late),
        sum(|it| it.refused),
        sum(|it| it.crashes as usize),
        sum(|it| it.uncommitted),
        sum(|it| it.entries),
        sum(|it| it.warnings),
    ];
    println!("{} worlds: {happened:?}, lost in a crash: {}", summaries.len(), sum(|it| it.lost_in_crash));
    assert!(happened.iter().all(|many| *many > 0), "in all: {happened:?}");
}

#[test]
fn a_seed_is_replayed_step_by_step() {
    for seed in [0, 1, 2, 60, 180] {
        assert_eq!(trace(seed, None).1, trace(seed, None).1);
    }
}

/// Controls: each check of the verdict fails if its promise is broken.
#[test]
fn each_broken_promise_is_found_out() {
    for breach in Breach::ALL {
        let worlds = 0..FEW_SEEDS;
        let found = worlds.into_iter().find_map(|seed| {
            let mut world = World::new(seed, Setting::of(seed), None, false);
            world.run();
            judge_after(&mut world, Some(breach)).err()
        });
        assert!(found.is_some_and(|why| why.contains(breach.complaint())), "{breach:?}");
    }
}

/// Control: messages and acks are sent before they are stored.
#[test]
fn acknowledging_before_storing_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omitted::History(history::tables::Omission::Storing))).0, []);
}

/// Control: duplicates are not detected.
#[test]
fn storing_messages_twice_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omitted::History(history::tables::Omission::Doubles))).0, []);
}

/// Control: signatures are not verified.
#[test]
fn believing_every_signature_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omitted::History(history::tables::Omission::Signatures))).0, []);
}

/// Returns the first of these worlds in which an omitted rule is found out, and how.
fn found_out(rule: Omission, seeds: Range<u64>) -> Option<(u64, String)> {
    let fails = |seed| run(seed, Some(Omitted::Engine(rule))).err();
    seeds.into_iter().find_map(|seed| Some((seed, fails(seed)?)))
}

/// Controls: each rule is left out in turn, and some world finds it out. `OMITTED_SEEDS=300` searches further, and prints
/// the world. `OMITTED=Ack` searches for one rule alone.
#[test]
fn every_omitted_rule_is_found_out() {
    let wanted = env::var("OMITTED").ok();
    let is_wanted = |rule: &Omission| wanted.as_ref().is_none_or(|wanted| *wanted == format!("{rule:?}"));
    let rules = Omission::ALL.into_iter().filter(|(rule, _)| is_wanted(rule)).collect::<Vec<_>>();
    let (rules, seeds) = (Mutex::new(rules), number("OMITTED_SEEDS"));
    let work = || {
        let next = || rules.lock().unwrap().pop();
        let tried = std::iter::from_fn(|| {
            let (rule, seed) = next()?;
            Some((rule, found_out(rule, seeds.map_or(seed..seed + 1, |seeds| 0..seeds))))
        });
        let tried = tried.inspect(|(rule, found)| println!("{rule:?}: {found:?}"));
        tried.filter(|(_, found)| found.is_none()).map(|(rule, _)| rule).collect::<Vec<_>>()
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missed: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(missed, [], "nothing shows that these rules are left out");
}
