//! What the decision record costs: a decision that is written down beside one that is not, and recorded decisions made again.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use benches::{call, site};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_executor::block_on;
use gateway::{
    policy::{Candidate, Engine, EngineSettings, Runner},
    record::{self, Recorder, Settings},
};
use std::rc::Rc;
use std::{fs, hint::black_box, path::Path, sync::Arc};
use switch::{decision::Decision, site::Site};

/// Decisions of the record that is replayed.
const DECISIONS: usize = 20_000;

fn runner(folder: &Path, site: &Arc<Site>, recorder: Option<Arc<Recorder>>) -> Rc<Runner> {
    if !folder.join("30-internal.wasm").exists() {
        Engine::install_shipped(folder).unwrap();
        for other in ["10-emergency.wasm", "20-licence.wasm", "40-external.wasm"] {
            fs::remove_file(folder.join(other)).unwrap();
        }
    }
    let engine = Engine::start(folder, Arc::clone(site), EngineSettings { watch: false, ..EngineSettings::default() }).unwrap();
    if let Some(recorder) = recorder {
        engine.record_to(recorder);
    }
    engine.runner(Arc::clone(site))
}

fn recorder(folder: &Path) -> Arc<Recorder> {
    Recorder::start(folder, Settings::default(), Arc::default()).unwrap().unwrap()
}

fn recording(c: &mut Criterion) {
    let (folder, site) = (tempfile::tempdir().unwrap(), site());
    let record = folder.path().join("record");
    let mut inside = call(&site, Some("desk-0"), "1001");
    let mut group = c.benchmark_group("a decision of `internal`");
    for (name, recorder) in [("not recorded", None), ("recorded", Some(recorder(&record)))] {
        let runner = runner(folder.path(), &site, recorder);
        let mut steps = Vec::with_capacity(8);
        group.bench_function(name, |b| {
            b.iter(|| {
                steps.clear();
                black_box(block_on(runner.route(&mut inside, &mut steps)))
            });
        });
    }
}

fn replaying(c: &mut Criterion) {
    let (folder, site) = (tempfile::tempdir().unwrap(), site());
    let record = folder.path().join("record");
    let runner = runner(folder.path(), &site, Some(recorder(&record)));
    let mut inside = call(&site, Some("desk-0"), "1001");
    for number in 0..DECISIONS {
        assert!(matches!(block_on(runner.route(&mut inside, &mut Vec::new())), Decision::Route(_)));
        // What waits to be written is bounded: none is to be left out here.
        if number % 1000 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    drop(runner);
    let files = record::list(&record);
    let component = folder.path().join("30-internal.wasm");
    let mut group = c.benchmark_group("recorded decisions made again, on one thread");
    group.throughput(Throughput::Elements(DECISIONS as u64)).sample_size(10);
    // Shipped components decide reused; beside its `.toml` this one decides each in an instance of its own.
    for (name, toml) in [("reused", ""), ("fresh", "isolation = \"fresh\"\n")] {
        fs::write(component.with_extension("toml"), toml).unwrap();
        let candidate = Candidate::open(&component, false).unwrap().unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let summary = record::replay(&files, &candidate, "internal", 1, &|_, _| {}, |_| {}).unwrap();
                assert_eq!((summary.same, summary.differences()), (DECISIONS as u64, 0));
            });
        });
    }
}

criterion_group!(benches, recording, replaying);
criterion_main!(benches);
