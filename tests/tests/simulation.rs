//! A million steps of random sites, in parts that run side by side; the proof that a seed is a run; and for each invariant a gateway that breaks it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use world::simulation::{Counts, Fault, Invariant, Outcome, Settings, run, run_broken};

fn simulate(seed: u64, steps: u64) -> Outcome {
    run(Settings { seed, steps }, &mut |_| {}).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Seeds of each of four parts of 260,000 steps each, so that the parts can run side by side. Other seeds are the business of the nights.
const SEEDS: u64 = 13;

fn sites(part: u64) {
    let mut counts = Counts::default();
    for seed in part * SEEDS + 1..=(part + 1) * SEEDS {
        for (what, times) in simulate(seed, 20_000).counts.0 {
            *counts.0.entry(what).or_default() += times;
        }
    }
    // Not vacuous: calls come to stand, and end in many ways.
    for (what, times) in [
        ("answered", 100),
        ("caller hung up", 20),
        ("callee hung up", 20),
        ("cancelled", 10),
        ("calls for help", 10),
        ("bouts", 10),
        ("crashes", 10),
    ] {
        assert!(counts.of(what) >= times, "only {} of `{what}`: {counts:?}", counts.of(what));
    }
}

#[test]
fn a_million_steps_first_quarter() {
    sites(0);
}

#[test]
fn a_million_steps_second_quarter() {
    sites(1);
}

#[test]
fn a_million_steps_third_quarter() {
    sites(2);
}

#[test]
fn a_million_steps_last_quarter() {
    sites(3);
}

#[test]
fn a_seed_is_a_run() {
    for (seed, another) in [(7, 8), (9, 10)] {
        let (one, other) = (simulate(seed, 15_000), simulate(seed, 15_000));
        assert_eq!((one.steps, one.trace), (other.steps, other.trace), "seed {seed}");
        assert_ne!(one.trace, simulate(another, 15_000).trace, "seeds {seed} and {another}");
    }
}

/// The first seed in which this fault shows; it breaks what it must, and nothing else before.
fn shows(fault: Fault) {
    let (_, invariant) = Fault::ALL.into_iter().find(|(known, _)| *known == fault).expect("a fault of the list");
    for seed in 1..=20 {
        if let Err(failure) = run_broken(Settings { seed, steps: 20_000 }, fault) {
            assert_eq!(failure.broken.invariant, invariant, "{fault:?} shows as something else: {failure}");
            return;
        }
    }
    panic!("{fault:?} goes unnoticed");
}

#[test]
fn every_invariant_can_be_broken() {
    for invariant in Invariant::ALL {
        assert!(Fault::ALL.iter().any(|(_, broken)| *broken == invariant), "nothing breaks {invariant:?}");
    }
}

#[test]
fn fault_cuts_messages() {
    shows(Fault::CutsMessages);
}

#[test]
fn fault_stands_still_in_numbers() {
    shows(Fault::StandsStillInNumbers);
}

#[test]
fn fault_answers_acks() {
    shows(Fault::AnswersAcks);
}

#[test]
fn fault_refuses_twice() {
    shows(Fault::RefusesTwice);
}

#[test]
fn fault_never_refuses() {
    shows(Fault::NeverRefuses);
}

#[test]
fn fault_hangs_up_by_itself() {
    shows(Fault::HangsUpByItself);
}

#[test]
fn fault_records_twice() {
    shows(Fault::RecordsTwice);
}

#[test]
fn fault_refuses_help() {
    shows(Fault::RefusesHelp);
}

#[test]
fn fault_knows_one_trunk() {
    shows(Fault::KnowsOneTrunk);
}

#[test]
fn fault_swallows_byes() {
    shows(Fault::SwallowsByes);
}

#[test]
fn fault_hears_no_byes() {
    shows(Fault::HearsNoByes);
}

#[test]
fn fault_swallows_cancels() {
    shows(Fault::SwallowsCancels);
}

#[test]
fn fault_loses_seat() {
    shows(Fault::LosesSeat);
}

#[test]
fn fault_loses_channel() {
    shows(Fault::LosesChannel);
}

#[test]
fn fault_forgets_bindings() {
    shows(Fault::ForgetsBindings);
}

#[test]
fn fault_endless_transaction() {
    shows(Fault::EndlessTransaction);
}

#[test]
fn fault_orphan() {
    shows(Fault::Orphan);
}

#[test]
fn fault_idle_call() {
    shows(Fault::IdleCall);
}

#[test]
fn fault_greedy_call() {
    shows(Fault::GreedyCall);
}

#[test]
fn fault_tags_stay() {
    shows(Fault::TagsStay);
}

#[test]
fn fault_no_limit() {
    shows(Fault::NoLimit);
}

#[test]
fn fault_clock_stops() {
    shows(Fault::ClockStops);
}

#[test]
fn fault_eternal_binding() {
    shows(Fault::EternalBinding);
}

#[test]
fn fault_timers_never_fire() {
    shows(Fault::TimersNeverFire);
}
