//! Simulates sites for as long as it is told: see `world::simulation`.
//!
//! `cargo run --release -p world --bin simulate -- --hours 8` runs seed after seed and stops at the first that fails, with the command that runs it again.

#![allow(clippy::print_stdout, reason = "a command speaks to a terminal")]

use clap::Parser;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use world::simulation::{Settings, run};

/// Simulates phones, a bad network and the gateway; stops at the first thing that is wrong.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// The first seed; each further run takes the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of each run.
    #[arg(long, default_value_t = 200_000)]
    steps: u64,
    /// So many runs at most.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// No further run is begun after so many hours.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (begin, mut all) = (Instant::now(), 0_u64);
    let time = Duration::from_secs_f64(arguments.hours.max(0.0) * 3600.0);
    for number in 0..arguments.runs {
        if begin.elapsed() >= time {
            break;
        }
        let settings = Settings { seed: arguments.seed.wrapping_add(number), steps: arguments.steps };
        let mut spoke = Instant::now();
        let mut progress = |steps: u64| {
            if spoke.elapsed() >= Duration::from_secs(10) {
                spoke = Instant::now();
                println!("seed {}: step {steps}", settings.seed);
            }
        };
        match run(settings, &mut progress) {
            Ok(outcome) => {
                all += outcome.steps;
                #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                let rate = all as f64 / begin.elapsed().as_secs_f64();
                println!(
                    "seed {}: {} steps, trace {:016x}; {all} steps in all, {rate:.0} a second",
                    settings.seed, outcome.steps, outcome.trace
                );
            }
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
