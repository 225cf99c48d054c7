//! Policies that fail again and again.

use crate::case::{call, engine, help, phone, site};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner};
use std::rc::Rc;
use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use switch::{
    decision::{Decision, PolicyFault},
    facts::Caller,
    site::Site,
};

const ZOO: &str = env!("HOLDFAST_ZOO");
const GRANTS: &str = "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n";

fn route(runner: &Runner, caller: Caller, called: &str) -> (Decision, Option<PolicyFault>) {
    let mut steps = Vec::new();
    let decision = block_on(runner.route(&mut call(caller, called), &mut steps));
    (decision, steps.remove(0).fault)
}

/// Five calls, in turn from a phone and from a trunk.
fn five(runner: &Runner, site: &Site, called: &str) -> Vec<Option<PolicyFault>> {
    let caller = |n: usize| if n.is_multiple_of(2) { phone(site, "desk-1") } else { Caller::Trunk("provider".to_owned()) };
    (0..5).map(|n| route(runner, caller(n), called).1).collect()
}

/// A folder that nobody follows, with the zoo in it.
fn zoo(site: &Arc<Site>) -> (tempfile::TempDir, Arc<Engine>, Rc<Runner>) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(ZOO, folder.path().join("10-zoo.wasm")).unwrap();
    fs::write(folder.path().join("10-zoo.toml"), GRANTS).unwrap();
    let engine = engine(folder.path(), site);
    let runner = engine.runner(Arc::clone(site));
    (folder, engine, runner)
}

/// A folder that nobody follows, with the shipped `internal` as `30-policy.wasm` and what the zoo would be granted.
fn sound(site: &Arc<Site>) -> (tempfile::TempDir, Arc<Engine>, Rc<Runner>) {
    let (folder, shipped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Engine::install_shipped(shipped.path()).unwrap();
    fs::copy(shipped.path().join("30-internal.wasm"), folder.path().join("30-policy.wasm")).unwrap();
    fs::write(folder.path().join("30-policy.toml"), GRANTS).unwrap();
    let engine = engine(folder.path(), site);
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
fn a_policy_that_fails_five_times_is_left_out_until_it_has_decided_what_it_failed_at() {
    let site = site();
    let (_folder, engine, runner) = zoo(&site);
    assert!(five(&runner, &site, "trap").iter().all(|fault| matches!(fault, Some(PolicyFault::Trap(_)))));
    // Not even asked what it could decide; its on_fault rule holds as for any other fault.
    let (decision, fault) = route(&runner, Caller::Unknown, "ring");
    assert_eq!(fault, Some(PolicyFault::Resting));
    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.status == 503));
    let PolicyState::Resting(rejection) = engine.status()[0].state.clone() else { panic!("{:?}", engine.status()) };
    assert!(
        rejection.reason.starts_with("its hook routing is left out: it failed 5 times within 10 s; the last time it trapped"),
        "{}",
        rejection.reason
    );
    // Two seconds later it is tried again beside the calls, and traps again at the same ones; four later they are left out, and it decides again.
    let opened = Instant::now();
    for (after, fault) in [(1, Some(PolicyFault::Resting)), (3, Some(PolicyFault::Resting)), (6, Some(PolicyFault::Resting)), (8, None)] {
        engine.attend(opened + Duration::from_secs(after));
        assert_eq!(route(&runner, Caller::Unknown, "ring").1, fault, "after {after} s");
    }
    assert_eq!(engine.status()[0].faults, 5, "a try is no decision");
    assert_eq!(engine.status()[0].state, PolicyState::Running);
}

#[test]
fn one_caller_takes_a_policy_from_nobody() {
    let site = site();
    let (_folder, engine, runner) = zoo(&site);
    for _ in 0..20 {
        assert!(matches!(route(&runner, phone(&site, "desk-1"), "trap").1, Some(PolicyFault::Trap(_))));
    }
    assert_eq!(route(&runner, Caller::Unknown, "ring").1, None);
    assert_eq!(engine.status()[0].state, PolicyState::Running);
}

#[test]
fn an_answer_against_the_contract_takes_a_policy_from_nobody() {
    let site = site();
    let (_folder, _engine, runner) = zoo(&site);
    for _ in 0..4 {
        assert!(five(&runner, &site, "unknown-trunk").iter().all(|fault| matches!(fault, Some(PolicyFault::Nonsense(_)))));
    }
    assert_eq!(route(&runner, Caller::Unknown, "ring").1, None);
}

#[test]
fn faults_of_one_hook_leave_the_others_alone_and_a_resting_emergency_hook_is_told() {
    let site = site();
    let (_folder, engine, runner) = zoo(&site);
    five(&runner, &site, "trap");
    let mut steps = Vec::new();
    assert!(runner.emergency(&help(Caller::Unknown, "112"), &mut steps).is_ok(), "routing rests, help does not: {steps:?}");
    let callers = [phone(&site, "desk-1"), Caller::Trunk("provider".to_owned())];
    for n in 0..5 {
        assert!(matches!(runner.emergency(&help(callers[n % 2].clone(), "trap"), &mut steps), Err(PolicyFault::Trap(_))));
    }
    // The host's own plan is used for any fault.
    assert_eq!(runner.emergency(&help(Caller::Unknown, "112"), &mut steps), Err(PolicyFault::Resting));
    assert!(matches!(&engine.status()[0].state, PolicyState::Resting(rejection) if rejection.reason.contains("its hook routing")));
}

#[test]
fn a_component_that_fails_after_its_swap_gives_its_place_back() {
    let site = site();
    let (folder, engine, runner) = sound(&site);
    let (file, good) = (folder.path().join("30-policy.wasm"), engine.status()[0].hash.clone());

    fs::copy(ZOO, &file).unwrap();
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].state, PolicyState::Running, "its trial shows nothing: {:?}", engine.status());
    assert!(five(&runner, &site, "trap").iter().all(Option::is_some));
    engine.attend(Instant::now());
    let status = engine.status()[0].clone();
    assert_eq!(status.hash, good, "the one before runs again");
    let PolicyState::RolledBack(rejection) = status.state else { panic!("{status:?}") };
    assert!(rejection.reason.contains("it was taken back 0 s after it was swapped in: it failed 5 times"), "{}", rejection.reason);
    assert!(matches!(route(&runner, phone(&site, "desk-1"), "1002").0, Decision::Route(_)));

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
    let (folder, _engine, _runner) = zoo(&site);
    let engine = Engine::start(folder.path(), Arc::clone(&site), EngineSettings::default()).unwrap();
    let runner = engine.runner(Arc::clone(&site));
    let first = engine.status()[0].hash.clone();
    let mut second = fs::read(ZOO).unwrap();
    second.extend([0, 6, 4, b's', b'w', b'a', b'p', 2]);
    fs::write(folder.path().join(".new"), second).unwrap();
    fs::rename(folder.path().join(".new"), folder.path().join("10-zoo.wasm")).unwrap();
    until("the second runs", || engine.status()[0].hash != first);
    let begin = Instant::now();
    five(&runner, &site, "trap");
    until("the first runs again", || engine.status()[0].hash == first);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(route(&runner, Caller::Unknown, "pass").1, None);
}

#[test]
fn what_ran_before_stays_the_way_back_until_the_new_one_has_proved_itself() {
    let site = site();
    let (folder, engine, runner) = sound(&site);
    let (file, good) = (folder.path().join("30-policy.wasm"), engine.status()[0].hash.clone());

    // A bad component, then other settings for it, then one that is refused: the way back is still the first.
    fs::copy(ZOO, &file).unwrap();
    engine.rescan().unwrap();
    fs::write(folder.path().join("30-policy.toml"), format!("{GRANTS}memory_mib = 32\n")).unwrap();
    engine.rescan().unwrap();
    fs::write(&file, "no component").unwrap();
    engine.rescan().unwrap();
    assert!(matches!(engine.status()[0].state, PolicyState::Outdated(_)));
    assert!(five(&runner, &site, "trap").iter().all(Option::is_some));
    engine.attend(Instant::now());
    assert_eq!(engine.status()[0].hash, good);
}
