//! The promises, held against many small worlds in which everything goes wrong; each follows from a number.
//!
//! `SEED=17 cargo test -p peer --lib simulation` runs one of them again, step by step as before; `SEEDS=10000` more.

mod forgery;
mod log;
mod program;
mod rooms;
mod verdict;
mod world;

use std::env;
use std::ops::Range;
use std::thread;

use crate::history::store::Omission;
use crate::simulation::verdict::{Summary, judge};
use crate::simulation::world::World;

/// How many worlds are tried.
const SEEDS: u64 = 300;

/// In how many of them a broken history must have shown.
const FEW_SEEDS: u64 = 20;

/// Latest steps that a failure tells.
const STEPS: usize = 200;

fn run(seed: u64, omission: Option<Omission>) -> (Result<Summary, String>, Vec<String>) {
    let mut world = World::new(seed, omission);
    world.run();
    let verdict = judge(&mut world);
    (verdict, world.trace)
}

/// Runs these on all processors; the failures, by seed, and how much happened.
fn run_all(seeds: Range<u64>, omission: Option<Omission>) -> (Vec<(u64, String)>, Vec<Summary>) {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let share = |thread: u64| {
        let seeds = seeds.clone().filter(move |seed| seed % threads == thread);
        move || seeds.map(|seed| (seed, run(seed, omission).0)).collect::<Vec<_>>()
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

#[test]
fn no_line_is_lost_doubled_forged_or_out_of_order_whatever_goes_wrong() {
    if let Some(seed) = number("SEED") {
        let (verdict, trace) = run(seed, None);
        let steps = &trace[trace.len().saturating_sub(number("STEPS").unwrap_or(STEPS as u64) as usize)..];
        assert!(verdict.is_ok(), "SEED={seed}: {verdict:?}\n{}", steps.join("\n"));
        return;
    }
    let (failures, summaries) = run_all(0..number("SEEDS").unwrap_or(SEEDS), None);
    assert!(failures.is_empty(), "{} fail; run SEED={} alone: {failures:#?}", failures.len(), failures[0].0);
    // A world in which nothing happens proves nothing.
    let sum = |of: fn(&Summary) -> usize| summaries.iter().map(of).sum::<usize>() / summaries.len();
    let happened = [
        sum(|it| it.lines),
        sum(|it| it.delivered),
        sum(|it| it.given_up),
        sum(|it| it.late),
        sum(|it| it.refused),
        sum(|it| it.crashes as usize),
    ];
    assert!(happened.iter().all(|many| *many > 0), "on average: {happened:?}");
}

#[test]
fn a_seed_is_replayed_step_by_step() {
    for seed in 0..5 {
        assert_eq!(run(seed, None).1, run(seed, None).1);
    }
}

/// The control: receipts and lines that go out before the disk has them.
#[test]
fn acknowledging_before_storing_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omission::Storing)).0, []);
}

/// The control: nobody looks whether a line is there already.
#[test]
fn taking_lines_twice_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omission::Doubles)).0, []);
}

/// The control: nobody looks at signatures.
#[test]
fn believing_every_signature_is_found_out() {
    assert_ne!(run_all(0..FEW_SEEDS, Some(Omission::Signatures)).0, []);
}
