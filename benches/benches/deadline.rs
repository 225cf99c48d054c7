//! How soon a policy that spins is ended, and what decisions on another shard notice of it meanwhile.
//!
//!     cargo bench -p benches --bench deadline
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

use benches::{call, shipped, site, spread};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner};
use std::rc::Rc;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use switch::{decision::Decision, site::Site};

/// Time between two decisions on the other shard.
const PAUSE: Duration = Duration::from_micros(500);

fn runner(site: &Arc<Site>) -> (Arc<Engine>, Rc<Runner>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-internal.wasm"), shipped("30-internal.wasm")).unwrap();
    fs::copy(env!("HOLDFAST_ZOO"), folder.path().join("90-zoo.wasm")).unwrap();
    let grants = "grants = [\"directory\", \"settings\", \"log\", \"clock\", \"memory\"]\n";
    fs::write(folder.path().join("90-zoo.toml"), grants).unwrap();
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    let engine = Engine::start(folder.path(), Arc::clone(site), settings).unwrap();
    assert_eq!(engine.status().iter().filter(|policy| policy.state == PolicyState::Running).count(), 2, "{:?}", engine.status());
    let runner = engine.runner(Arc::clone(site));
    (engine, runner)
}

/// Says that it is done when it goes.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Decides again and again until it is done; how long each took.
fn others(engine: &Arc<Engine>, site: &Arc<Site>, done: &AtomicBool) -> Vec<Duration> {
    let runner = engine.runner(Arc::clone(site));
    let inside = call(site, Some("desk-0"), "1001");
    let mut took = Vec::new();
    while !done.load(Relaxed) {
        let begin = Instant::now();
        assert!(matches!(block_on(runner.route(&mut inside.clone(), &mut Vec::new())), Decision::Route(_)));
        took.push(begin.elapsed());
        thread::sleep(PAUSE);
    }
    took
}

fn show(what: &str, mut took: Vec<Duration>) {
    println!("{what}: {}", spread(&mut took));
}

fn main() {
    let spins = if std::env::args().any(|argument| argument == "--bench") { 500 } else { 5 };
    let site = site();
    // `internal` passes a call to nobody's extension on to the zoo, which spins.
    let spin = call(&site, Some("desk-0"), "spin");
    let mut spun = Vec::new();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for busy in [false, true] {
        let (engine, runner) = runner(&site);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let other = scope.spawn(|| others(&engine, &site, &done));
            // Also when a decision here is not as expected: nobody waits for the other for ever.
            let ended = Ended(&done);
            for n in 0..spins {
                // At every phase of the ticker, awake and asleep.
                thread::sleep(Duration::from_micros(5_000 + 137 * n % 1_000 + if n % 10 == 0 { 150_000 } else { 0 }));
                if !busy {
                    continue;
                }
                let mut steps = Vec::new();
                block_on(runner.route(&mut spin.clone(), &mut steps));
                let step = steps.iter().find(|step| step.fault.is_some());
                // The breaker leaves it out only after faults at the calls of several callers.
                spun.push(step.unwrap_or_else(|| panic!("{steps:?}")).took);
            }
            drop(ended);
            if busy { &mut beside } else { &mut alone }.extend(other.join().unwrap());
        });
    }
    show("a policy that spins, deadline 5 ms, ended after", spun);
    show("decisions on another shard, nobody spins", alone);
    show("decisions on another shard, one spins", beside);
}
