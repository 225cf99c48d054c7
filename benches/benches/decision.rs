//! What one decision costs: each shipped policy alone, the whole chain as calls see it, and the same logic in native Rust as the floor.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

use benches::{NOW, bring, call, flow, register, renamed, shipped, site};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner};
use std::rc::Rc;
use std::{
    fs,
    hint::black_box,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use switch::{
    decision::{Admission, Decision, NextOn, Plan, Stage, Target},
    facts::{Call, CallKind, Caller, Registration},
    site::Site,
};

fn registration(site: &Site) -> Arc<Registration> {
    Arc::new(Registration {
        message: register("desk-0"),
        at: NOW,
        flow: flow(),
        endpoint: Arc::clone(site.directory().endpoint("desk-0").unwrap()),
        contact: "sip:desk-0@10.1.0.7".to_owned(),
        expires: 300,
        registered: true,
        attributes: Vec::new(),
    })
}

/// A runner on those shipped policies whose file name is among `keep`.
fn runner(site: &Arc<Site>, keep: &[&str]) -> Rc<Runner> {
    let folder = tempfile::tempdir().unwrap();
    for file in Engine::install_shipped(folder.path()).unwrap() {
        if !keep.iter().any(|name| file.contains(name)) {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    Engine::start(folder.path(), Arc::clone(site), settings).unwrap().runner(Arc::clone(site))
}

/// What `internal` does, in native Rust behind a `dyn` call.
fn native(call: &Call, site: &Site) -> Decision {
    let directory = site.directory();
    let Caller::Endpoint(caller) = &call.caller else { panic!() };
    let callee = directory.by_extension(&call.called).unwrap();
    assert!(callee.enabled && !site.registrar.bindings(&caller.id, call.at).iter().all(|binding| binding.emergency_only));
    Decision::Route(Plan {
        stages: vec![Stage { targets: vec![Target::Endpoint(callee.id.clone())], ring: None, next: NextOn::default() }],
    })
}

fn routing(c: &mut Criterion, name: &str, runner: &Runner, call: &Arc<Call>) {
    let mut call = call.clone();
    let mut steps = Vec::with_capacity(8);
    assert!(matches!(block_on(runner.route(&mut call, &mut steps)), Decision::Route(_)), "{steps:?}");
    c.bench_function(name, |b| {
        b.iter(|| {
            steps.clear();
            black_box(block_on(runner.route(black_box(&mut call), &mut steps)))
        });
    });
}

/// `internal` with an instance of its own for each decision: what a call waits for, and what the processor pays.
fn fresh(c: &mut Criterion, site: &Arc<Site>, call: &Arc<Call>) {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    for other in ["10-emergency", "20-licence", "40-external"] {
        fs::remove_file(folder.path().join(other).with_extension("wasm")).unwrap();
    }
    fs::write(folder.path().join("30-internal.toml"), "isolation = 'fresh'").unwrap();
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    let runner = Engine::start(folder.path(), Arc::clone(site), settings).unwrap().runner(Arc::clone(site));
    let (mut call, mut steps) = (call.clone(), Vec::with_capacity(8));
    let mut decide = |runner: &Runner| {
        steps.clear();
        assert!(matches!(block_on(runner.route(black_box(&mut call), &mut steps)), Decision::Route(_)));
    };
    c.bench_function("internal, fresh: on the call path, prepared ahead", |b| {
        b.iter_custom(|times| {
            let mut on_the_path = Duration::ZERO;
            for _ in 0..times {
                runner.prepare();
                let begin = Instant::now();
                decide(&runner);
                on_the_path += begin.elapsed();
            }
            on_the_path
        });
    });
    c.bench_function("internal, fresh: whole cost, prepared ahead", |b| {
        b.iter(|| {
            runner.prepare();
            decide(&runner);
        });
    });
    c.bench_function("internal, fresh: started on the spot", |b| b.iter(|| decide(&runner)));
}

/// The chain of four in one thread, and in two at once with a runner each: the time of one decision of each thread.
fn threads(c: &mut Criterion, site: &Arc<Site>, call: &Arc<Call>) {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    let engine = Engine::start(folder.path(), Arc::clone(site), EngineSettings { watch: false, ..EngineSettings::default() }).unwrap();
    let decide = |times: u64| {
        let runner = engine.runner(Arc::clone(site));
        let (mut call, mut steps) = (call.clone(), Vec::with_capacity(8));
        let mut once = || {
            steps.clear();
            black_box(block_on(runner.route(black_box(&mut call), &mut steps)));
        };
        once();
        let begin = Instant::now();
        (0..times).for_each(|_| once());
        begin.elapsed()
    };
    let mut group = c.benchmark_group("chain of four: out to two trunks");
    for (name, count) in [("one thread", 1), ("two threads", 2)] {
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                thread::scope(|scope| {
                    let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| decide(times))).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
                })
            });
        });
    }
}

/// What a call pays for a candidate that decides beside `internal`.
fn shadowed(c: &mut Criterion, site: &Arc<Site>, call: &Arc<Call>) {
    /// Decisions after which the candidate catches up: fewer than may wait for it.
    const BEHIND: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("30-internal.wasm");
    fs::write(folder.path().join("30-internal.toml"), "isolation = 'reused'\n[shadow]\nseconds = 604800").unwrap();
    let internal = shipped("30-internal.wasm");
    bring(&file, &internal);
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    let engine = Engine::start(folder.path(), Arc::clone(site), settings).unwrap();
    bring(&file, &renamed(&internal, "2.0.0"));
    engine.rescan().unwrap();
    let runner = engine.runner(Arc::clone(site));
    let (mut call, mut steps) = (call.clone(), Vec::with_capacity(8));
    c.bench_function("internal, a candidate beside it: on the call path", |b| {
        b.iter_custom(|times| {
            let mut on_the_path = Duration::ZERO;
            for time in 0..times {
                let begin = Instant::now();
                steps.clear();
                black_box(block_on(runner.route(black_box(&mut call), &mut steps)));
                on_the_path += begin.elapsed();
                if time % BEHIND == BEHIND - 1 {
                    engine.attend(Instant::now());
                }
            }
            engine.attend(Instant::now());
            on_the_path
        });
    });
    let PolicyState::Shadowing(shadow) = engine.status().remove(0).state else { panic!() };
    assert_eq!((shadow.different, shadow.missed), (0, 0));
}

fn decisions(c: &mut Criterion) {
    let site = site();
    let inside = call(&site, Some("desk-0"), "1001");
    let outside = call(&site, Some("desk-0"), "+442079460000");
    let inbound = call(&site, None, "+442030001001");
    let mut help = call(&site, Some("desk-0"), "112");
    Arc::make_mut(&mut help).kind = CallKind::Emergency;

    let floor: &dyn Fn(&Call, &Site) -> Decision = black_box(&native);
    c.bench_function("native: extension to extension", |b| b.iter(|| black_box(floor(black_box(&inside), &site))));

    routing(c, "internal: extension to extension", &runner(&site, &["internal"]), &inside);
    routing(c, "external: out to two trunks", &runner(&site, &["external"]), &outside);
    routing(c, "external: in from a trunk", &runner(&site, &["external"]), &inbound);

    fresh(c, &site, &inside);
    shadowed(c, &site, &inside);

    let alone = runner(&site, &["licence"]);
    let attempt = registration(&site);
    let mut steps = Vec::with_capacity(8);
    assert!(matches!(block_on(alone.admit(&attempt, &mut steps)), Admission::Admit(_)));
    c.bench_function("licence: a registration", |b| {
        b.iter(|| {
            steps.clear();
            black_box(block_on(alone.admit(black_box(&attempt), &mut steps)))
        });
    });

    let alone = runner(&site, &["emergency"]);
    assert_eq!(alone.emergency(&help, &mut steps).unwrap().trunks.len(), 2);
    c.bench_function("emergency: a call for help", |b| {
        b.iter(|| {
            steps.clear();
            black_box(alone.emergency(black_box(&help), &mut steps).unwrap())
        });
    });

    threads(c, &site, &outside);
    let chain = runner(&site, &["emergency", "licence", "internal", "external"]);
    routing(c, "chain of four: extension to extension (one asked)", &chain, &inside);
    routing(c, "chain of four: out to two trunks (two asked)", &chain, &outside);
    c.bench_function("chain of four: registration, help, inside, outside (all four, five decisions)", |b| {
        let (mut inside, mut outside) = (inside.clone(), outside.clone());
        b.iter(|| {
            steps.clear();
            black_box(block_on(chain.admit(&attempt, &mut steps)));
            black_box(chain.emergency(&help, &mut steps).unwrap());
            black_box(block_on(chain.route(&mut inside, &mut steps)));
            black_box(block_on(chain.route(&mut outside, &mut steps)));
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = decisions
}
criterion_main!(benches);
