//! Policies that fail again and again.

use crate::case::{call, engine, phone, site};
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner};
use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use switch::{
    decision::{Decision, PolicyFault},
    directory::Trunk,
    facts::Caller,
    site::Site,
};

const ZOO: &str = env!("HOLDFAST_ZOO");
const GRANTS: &str = "grants = ['directory', 'settings', 'log', 'clock', 'memory']\n";

fn route(runner: &mut Runner, caller: Caller, called: &str) -> (Decision, Option<PolicyFault>) {
    let mut steps = Vec::new();
    let decision = runner.route(&mut call(caller, called), &mut steps);
    (decision, steps.remove(0).fault)
}

fn followed_zoo(site: &Arc<Site>) -> (tempfile::TempDir, Arc<Engine>, Runner) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(ZOO, folder.path().join("10-zoo.wasm")).unwrap();
    fs::write(folder.path().join("10-zoo.toml"), GRANTS).unwrap();
    let engine = Engine::start(folder.path(), Arc::clone(site), EngineSettings::default()).unwrap();
    let runner = engine.runner(Arc::clone(site));
    (folder, engine, runner)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_policy_that_fails_five_times_is_left_out_and_stays_out_while_it_would_fail_again() {
    let site = site();
    let (_folder, engine, mut runner) = followed_zoo(&site);
    for _ in 0..5 {
        assert!(matches!(route(&mut runner, Caller::Unknown, "trap").1, Some(PolicyFault::Trap(_))));
    }
    // Not even asked what it could decide; its on_fault rule holds as for any other fault.
    let (decision, fault) = route(&mut runner, Caller::Unknown, "ring");
    assert_eq!(fault, Some(PolicyFault::Resting));
    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.status == 503));
    let PolicyState::Resting(rejection) = engine.status()[0].state.clone() else { panic!("{:?}", engine.status()) };
    assert!(rejection.reason.starts_with("it failed 5 times within 10 s; the last time it trapped"), "{}", rejection.reason);
    // It is tried again beside the calls after two seconds, and traps again at the same calls.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(route(&mut runner, Caller::Unknown, "ring").1, Some(PolicyFault::Resting));
    assert_eq!(engine.status()[0].faults, 5, "a try is no decision");
}

#[test]
fn a_policy_comes_back_when_it_decides_what_it_failed_at() {
    let site = site();
    let (_folder, engine, mut runner) = followed_zoo(&site);
    for _ in 0..5 {
        // A trunk that is not there: nonsense.
        assert!(matches!(route(&mut runner, Caller::Unknown, "unknown-trunk").1, Some(PolicyFault::Nonsense(_))));
    }
    assert_eq!(route(&mut runner, Caller::Unknown, "ring").1, Some(PolicyFault::Resting));
    // The operator adds the trunk.
    let mut directory = (*site.directory()).clone();
    directory.trunks.push(Arc::new(Trunk { name: "nowhere".to_owned(), ..(*directory.trunks[0]).clone() }));
    site.replace_directory(directory);
    until("the policy decides again", || route(&mut runner, Caller::Unknown, "ring").1.is_none());
    assert_eq!(engine.status()[0].state, PolicyState::Running);
    assert!(matches!(route(&mut runner, Caller::Unknown, "unknown-trunk").0, Decision::Route(_)));
}

#[test]
fn a_component_that_fails_after_its_swap_gives_its_place_back() {
    let site = site();
    let folder = tempfile::tempdir().unwrap();
    let shipped = tempfile::tempdir().unwrap();
    Engine::install_shipped(shipped.path()).unwrap();
    let file = folder.path().join("30-policy.wasm");
    fs::copy(shipped.path().join("30-internal.wasm"), &file).unwrap();
    fs::write(folder.path().join("30-policy.toml"), GRANTS).unwrap();
    let engine = engine(folder.path(), &site);
    let good = engine.status()[0].hash.clone();
    let mut runner = engine.runner(Arc::clone(&site));

    fs::copy(ZOO, &file).unwrap();
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].state, PolicyState::Running, "its trial shows nothing: {:?}", engine.status());
    for _ in 0..5 {
        assert!(route(&mut runner, Caller::Unknown, "trap").1.is_some());
    }
    engine.rescan().unwrap();
    let status = engine.status()[0].clone();
    assert_eq!(status.hash, good, "the one before runs again");
    let PolicyState::Outdated(rejection) = status.state else { panic!("{status:?}") };
    assert!(rejection.reason.contains("it was taken back 0 s after it was swapped in: it failed 5 times"), "{}", rejection.reason);
    assert!(matches!(route(&mut runner, phone(&site, "desk-1"), "1002").0, Decision::Route(_)));

    // The same bytes are not tried again, however often somebody looks; others are.
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].hash, good);
    let mut mended = fs::read(ZOO).unwrap();
    mended.extend([0, 6, 4, b's', b'w', b'a', b'p', 1]);
    fs::write(&file, mended).unwrap();
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].state, PolicyState::Running);
    assert_ne!(engine.status()[0].hash, good);
}

#[test]
fn a_swap_that_fails_is_taken_back_without_anybody_asking() {
    let site = site();
    let (folder, engine, mut runner) = followed_zoo(&site);
    let first = engine.status()[0].hash.clone();
    let mut second = fs::read(ZOO).unwrap();
    second.extend([0, 6, 4, b's', b'w', b'a', b'p', 2]);
    fs::write(folder.path().join(".new"), second).unwrap();
    fs::rename(folder.path().join(".new"), folder.path().join("10-zoo.wasm")).unwrap();
    until("the second runs", || engine.status()[0].hash != first);
    let begin = Instant::now();
    for _ in 0..5 {
        route(&mut runner, Caller::Unknown, "trap");
    }
    until("the first runs again", || engine.status()[0].hash == first);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(route(&mut runner, Caller::Unknown, "pass").1, None);
}
