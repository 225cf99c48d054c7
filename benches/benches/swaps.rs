//! Thousands of swaps under calls: does a decision fail, and does memory grow?
//!
//!     cargo bench -p benches --bench swaps                        # 10,000 swaps between two components
//!     cargo bench -p benches --bench swaps -- --swaps 2000 --new  # each swap brings a component that was never seen
//!     cargo bench -p benches --bench swaps -- --component FILE --rate 1000 --swaps 200    # with a component of your own, which need not route
//!
//! Ends with an error when a decision failed, or when resident memory at the end is more than 5 % above that after 100 swaps.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use benches::{bring, call, keep, nanoseconds, percentile, renamed, shipped, site, spread};
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

/// Resident memory is compared with what it was after so many.
const WARM: u32 = 100;

/// What the calls met with.
#[derive(Default)]
struct Calls {
    decided: u32,
    failed: Vec<String>,
    took: Vec<Duration>,
    /// Of those, the first after each swap.
    first: Vec<Duration>,
}

/// So many decisions a second until it is done.
fn calls(engine: &Arc<Engine>, site: &Arc<Site>, rate: u32, routes: bool, done: &AtomicBool) -> Calls {
    let runner = engine.runner(Arc::clone(site));
    let inside = call(site, Some("desk-0"), "1001");
    let (mut calls, mut component) = (Calls::default(), None);
    let begin = Instant::now();
    while !done.load(Relaxed) {
        let mut steps = Vec::new();
        let began = Instant::now();
        let decision = block_on(runner.route(&mut inside.clone(), &mut steps));
        let took = began.elapsed();
        calls.took.push(took);
        let now = steps.first().map(|step| Arc::clone(&step.component));
        if now != component && component.is_some() {
            calls.first.push(took);
        }
        component = now;
        runner.prepare();
        calls.decided += 1;
        if (routes && !matches!(decision, Decision::Route(_))) || steps.iter().any(|step| step.fault.is_some()) {
            calls.failed.push(format!("{decision:?} {steps:?}"));
        }
        thread::sleep((begin + calls.decided * Duration::from_secs(1) / rate).saturating_duration_since(Instant::now()));
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
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let number = |name: &str| value(name).and_then(|value| value.parse().ok());
    // `cargo test` runs benches too, without `--bench`.
    let whole = arguments.iter().any(|argument| argument == "--bench");
    let swaps: u32 = number("--swaps").unwrap_or(if whole { 10_000 } else { 2 * WARM });
    let rate = number("--rate").unwrap_or(100);
    let new = arguments.iter().any(|argument| argument == "--new");

    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let component = value("--component").map_or_else(|| shipped("30-internal.wasm"), |file| fs::read(file).unwrap());
    let routes = value("--component").is_none();
    let file = folder.path().join("30-internal.wasm");
    bring(&file, &component);
    fs::write(file.with_extension("toml"), "isolation = 'reused'\n").unwrap();
    let site = site();
    let settings = EngineSettings { watch: false, cache: Some(data.path().join("cache")), ..EngineSettings::default() };
    let engine = Engine::start(folder.path(), Arc::clone(&site), settings).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let caller = {
        let (engine, site, done) = (Arc::clone(&engine), Arc::clone(&site), Arc::clone(&done));
        thread::spawn(move || calls(&engine, &site, rate, routes, &done))
    };
    let begin = Instant::now();
    let mut warm = 0;
    for swap in 1..=swaps {
        let version = if new { swap } else { swap % 2 };
        bring(&file, &renamed(&component, &format!("2.0.{version}")));
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
    println!("the first after a swap: {}", spread(&mut calls.first));
    let growth = 100.0 * (end as f64 / warm as f64 - 1.0);
    println!("resident memory {warm} KiB after {WARM} swaps, {end} KiB at the end: {growth:+.1} %");
    let kilobytes = component.len() / 1000;
    keep(
        env!("CARGO_TARGET_TMPDIR"),
        &format!("swaps of {kilobytes} kB at {rate} a second"),
        &[
            ("swaps", f64::from(swaps)),
            ("decisions failed", calls.failed.len() as f64),
            ("memory grown, %", growth),
            ("first decision after a swap, p99, ns", nanoseconds(percentile(&calls.first, 99))),
        ],
    );
    for failed in calls.failed.iter().take(3) {
        println!("failed: {failed}");
    }
    if calls.failed.is_empty() && growth <= 5.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
