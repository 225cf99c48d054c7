//! From nothing to the first decision with ten policies: compiled before, and compiled anew.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use benches::{call, renamed, shipped, site};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings};
use std::{fs, path::Path, sync::Arc, time::Duration};
use switch::{decision::Decision, facts::Call, site::Site};

/// Ten different components, the shipped four among them; all are asked when somebody calls outside.
fn ten(folder: &Path) {
    Engine::install_shipped(folder).unwrap();
    let internal = shipped("30-internal.wasm");
    for n in 1..=6 {
        fs::write(folder.join(format!("3{n}-more-{n}.wasm")), renamed(&internal, &format!("1.0.{n}"))).unwrap();
    }
}

fn first_decision(folder: &Path, cache: Option<&Path>, site: &Arc<Site>, call: &Arc<Call>) {
    let settings = EngineSettings { watch: false, cache: cache.map(Path::to_owned), ..EngineSettings::default() };
    let engine = Engine::start(folder, Arc::clone(site), settings).unwrap();
    let mut steps = Vec::new();
    let decision = block_on(engine.runner(Arc::clone(site)).route(&mut call.clone(), &mut steps));
    assert!(matches!(decision, Decision::Route(_)) && steps.len() == 8, "{steps:?}");
}

fn restart(c: &mut Criterion) {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ten(folder.path());
    let cache = data.path().join("cache");
    let site = site();
    let outside = call(&site, Some("desk-0"), "+442079460000");
    first_decision(folder.path(), Some(&cache), &site, &outside);
    let mut group = c.benchmark_group("restart with ten policies to the first decision");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function("compiled before", |b| b.iter(|| first_decision(folder.path(), Some(&cache), &site, &outside)));
    group.sample_size(10);
    group.bench_function("compiled anew", |b| b.iter(|| first_decision(folder.path(), None, &site, &outside)));
}

criterion_group!(benches, restart);
criterion_main!(benches);
