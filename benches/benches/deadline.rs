//! How soon a policy that spins is ended, and what other decisions notice of it meanwhile: on its own shard, and on another.
//!
//!     cargo bench -p benches --bench deadline
//!
//! Decisions are due every half millisecond; how late one is ready is counted from when it was due, so that it also counts what it had to wait for.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

use benches::{call, keep, nanoseconds, percentile, shipped, site, spread};
use futures_executor::block_on;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner, Step};
use std::{
    fs,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use switch::{decision::Decision, facts::Call, site::Site};

/// Time between two decisions.
const EVERY: Duration = Duration::from_micros(500);
/// Decisions between two at which a policy spins.
const SPIN_AT: u64 = 37;

fn engine(site: &Arc<Site>) -> Arc<Engine> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-internal.wasm"), shipped("30-internal.wasm")).unwrap();
    fs::copy(env!("HOLDFAST_ZOO"), folder.path().join("90-zoo.wasm")).unwrap();
    let grants = "grants = [\"directory\", \"settings\", \"log\", \"clock\", \"memory\", \"licences\", \"trunks\"]\n";
    fs::write(folder.path().join("90-zoo.toml"), grants).unwrap();
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    let engine = Engine::start(folder.path(), Arc::clone(site), settings).unwrap();
    assert_eq!(engine.status().iter().filter(|policy| policy.state == PolicyState::Running).count(), 2, "{:?}", engine.status());
    engine
}

/// One shard: a decision every half millisecond, `decisions` of them or until `done`; at some of them a policy spins, which goes on beside them.
struct Shard {
    runner: Rc<Runner>,
    inside: Arc<Call>,
    /// `internal` passes a call to nobody's extension on to the zoo, which spins.
    spin: Arc<Call>,
    /// How late each decision was ready.
    late: Vec<Duration>,
    /// How long each spin lasted.
    spun: Vec<Duration>,
}

impl Shard {
    fn new(engine: &Arc<Engine>, site: &Arc<Site>) -> Self {
        let runner = engine.runner(Arc::clone(site));
        runner.prepare();
        let (inside, spin) = (call(site, Some("desk-0"), "1001"), call(site, Some("desk-0"), "spin"));
        Self { runner, inside, spin, late: Vec::new(), spun: Vec::new() }
    }

    fn run(&mut self, spins: u64, done: &AtomicBool) {
        let mut spinning = FuturesUnordered::new();
        let begin = Instant::now();
        let mut due = begin;
        for decision in 0.. {
            if done.load(Relaxed) || (spins > 0 && decision > spins * SPIN_AT) {
                break;
            }
            due += EVERY;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if spins > 0 && decision % SPIN_AT == 0 {
                spinning.push(spin(Rc::clone(&self.runner), self.spin.clone()));
            }
            // Begins what is new, takes what is ready, and never waits.
            while let Some(Some(step)) = spinning.next().now_or_never() {
                self.spun.push(step.took);
            }
            let decided = block_on(self.runner.route(&mut self.inside.clone(), &mut Vec::new()));
            assert!(matches!(decided, Decision::Route(_)));
            self.late.push(due.elapsed());
            self.runner.prepare();
            // What a busy machine takes from us is no fault of a policy: it does not carry over to the next decision.
            due = due.max(Instant::now());
        }
        let rest: Vec<Step> = block_on(spinning.collect());
        self.spun.extend(rest.iter().map(|step| step.took));
    }
}

async fn spin(runner: Rc<Runner>, mut spin: Arc<Call>) -> Step {
    let mut steps = Vec::new();
    runner.route(&mut spin, &mut steps).await;
    // The breaker leaves it out only after faults at the calls of several callers.
    steps.into_iter().find(|step| step.fault.is_some()).unwrap()
}

/// Prints the spread of some times; the 99th percentile in nanoseconds.
fn show(what: &str, mut took: Vec<Duration>) -> f64 {
    println!("{what}: {}", spread(&mut took));
    nanoseconds(percentile(&took, 99))
}

fn main() {
    let spins = if std::env::args().any(|argument| argument == "--bench") { 500 } else { 5 };
    let site = site();
    let engine = engine(&site);

    let mut quiet = Shard::new(&engine, &site);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            thread::sleep(EVERY * u32::try_from(spins * SPIN_AT).unwrap());
            done.store(true, Relaxed);
        });
        quiet.run(0, &done);
        ended.join().unwrap();
    });
    let quiet = show("decisions while nobody spins, late by", quiet.late);

    let done = AtomicBool::new(false);
    let (own, other) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut other = Shard::new(&engine, &site);
            other.run(0, &done);
            other.late
        });
        let mut own = Shard::new(&engine, &site);
        own.run(spins, &AtomicBool::new(false));
        done.store(true, Relaxed);
        (own, other.join().unwrap())
    });
    assert_eq!(own.spun.len() as u64, spins + 1);
    let spun = show("a policy that spins, deadline 5 ms, ended after", own.spun);
    let own = show("decisions on its own shard, late by", own.late);
    let other = show("decisions on another shard, late by", other);
    keep(
        env!("CARGO_TARGET_TMPDIR"),
        "deadline of 5 ms",
        &[("ended after, p99", spun), ("own shard late, p99", own), ("other shard late, p99", other), ("nobody spins, late, p99", quiet)],
    );
}
