//! Thousands of swaps under calls: does a decision fail, and does memory grow?
//!
//!     cargo bench -p benches --bench swaps                        # 10,000 swaps between two components
//!     cargo bench -p benches --bench swaps -- --swaps 2000 --new  # each swap brings a component that was never seen
//!
//! Ends with an error when a decision failed, or when resident memory at the end is more than 5 % above that after 100 swaps.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use benches::{bring, call, renamed, shipped, site, spread};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings, PolicyState};
use std::{
    fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use switch::{decision::Decision, site::Site};

const CALLS_A_SECOND: u32 = 100;
/// Resident memory is compared with what it was after so many.
const WARM: u32 = 100;

/// What the calls met with.
#[derive(Default)]
struct Calls {
    decided: u32,
    failed: Vec<String>,
    took: Vec<Duration>,
}

fn calls(engine: &Arc<Engine>, site: &Arc<Site>, done: &AtomicBool) -> Calls {
    let runner = engine.runner(Arc::clone(site));
    let inside = call(site, Some("desk-0"), "1001");
    let mut calls = Calls::default();
    let begin = Instant::now();
    while !done.load(Relaxed) {
        let mut steps = Vec::new();
        let began = Instant::now();
        let decision = block_on(runner.route(&mut inside.clone(), &mut steps));
        calls.took.push(began.elapsed());
        runner.prepare();
        calls.decided += 1;
        if !matches!(decision, Decision::Route(_)) || steps.iter().any(|step| step.fault.is_some()) {
            calls.failed.push(format!("{decision:?} {steps:?}"));
        }
        thread::sleep((begin + calls.decided * Duration::from_secs(1) / CALLS_A_SECOND).saturating_duration_since(Instant::now()));
    }
    calls
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = arguments.iter().position(|argument| argument == "--swaps").and_then(|at| arguments.get(at + 1)?.parse().ok());
    // `cargo test` runs benches too, without `--bench`.
    let swaps: u32 = number.unwrap_or_else(|| if arguments.iter().any(|argument| argument == "--bench") { 10_000 } else { 2 * WARM });
    let new = arguments.iter().any(|argument| argument == "--new");

    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let internal = shipped("30-internal.wasm");
    let file = folder.path().join("30-internal.wasm");
    bring(&file, &internal);
    let site = site();
    let settings = EngineSettings { watch: false, cache: Some(data.path().join("cache")), ..EngineSettings::default() };
    let engine = Engine::start(folder.path(), Arc::clone(&site), settings).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let caller = {
        let (engine, site, done) = (Arc::clone(&engine), Arc::clone(&site), Arc::clone(&done));
        thread::spawn(move || calls(&engine, &site, &done))
    };
    let begin = Instant::now();
    let mut warm = 0;
    for swap in 1..=swaps {
        let version = if new { swap } else { swap % 2 };
        bring(&file, &renamed(&internal, &format!("2.0.{version}")));
        engine.rescan().unwrap();
        assert!(engine.status().iter().all(|policy| policy.state == PolicyState::Running), "{:?}", engine.status());
        if swap == WARM {
            warm = resident();
        }
    }
    let took = begin.elapsed();
    let end = resident();
    done.store(true, Relaxed);
    let mut calls = caller.join().unwrap();
    println!("{swaps} swaps in {:.1} s, {} decisions, {} failed", took.as_secs_f64(), calls.decided, calls.failed.len());
    println!("a decision: {}", spread(&mut calls.took));
    let growth = 100.0 * (end as f64 / warm as f64 - 1.0);
    println!("resident memory {warm} KiB after {WARM} swaps, {end} KiB at the end: {growth:+.1} %");
    for failed in calls.failed.iter().take(3) {
        println!("failed: {failed}");
    }
    if calls.failed.is_empty() && growth <= 5.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
