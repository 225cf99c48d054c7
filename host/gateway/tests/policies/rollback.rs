//! The way back, by hand. (By itself: `breaker`.)

use crate::case::{call, engine, phone, site};
use futures_executor::block_on;
use gateway::policy::{Engine, NoWayBack, PolicyState};
use std::{fs, path::Path, sync::Arc};

const ZOO: &str = env!("HOLDFAST_ZOO");

/// A folder with the shipped policies and an empty one for the policy `mine`.
fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
    let (shipped, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Engine::install_shipped(shipped.path()).unwrap();
    fs::write(folder.path().join("30-mine.toml"), "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n")
        .unwrap();
    (shipped, folder)
}

fn put(engine: &Arc<Engine>, component: &Path, folder: &Path) -> String {
    fs::copy(component, folder.join("30-mine.wasm")).unwrap();
    engine.rescan().unwrap();
    let status = engine.status().remove(0);
    assert_eq!(status.state, PolicyState::Running, "{status:?}");
    status.hash
}

#[test]
fn each_roll_back_goes_one_component_further_back_as_long_as_there_is_one() {
    let (shipped, folder) = folders();
    let engine = engine(folder.path(), &site());
    let first = put(&engine, &shipped.path().join("30-internal.wasm"), folder.path());
    let second = put(&engine, &shipped.path().join("20-licence.wasm"), folder.path());
    let third = put(&engine, Path::new(ZOO), folder.path());
    let counted = engine.figures()[0].swaps;

    let done = engine.roll_back("mine").unwrap();
    assert_eq!((done.from.hash, done.to.hash), (third, second.clone()));
    let PolicyState::RolledBack(why) = engine.status()[0].state.clone() else { panic!("{:?}", engine.status()) };
    assert!(why.reason.starts_with("the operator took back ") && why.remedy.contains("30-mine.wasm"), "{why}");
    // By the file's name too.
    let done = engine.roll_back("30-mine.wasm").unwrap();
    assert_eq!((done.from.hash, done.to.hash), (second, first.clone()));
    assert_eq!(engine.roll_back("mine"), Err(NoWayBack::Nothing("mine".to_owned())));
    let figures = engine.figures().remove(0);
    assert_eq!((figures.roll_backs, figures.swaps, figures.state), (2, counted, "rolled-back"));

    // The folder as it is changes nothing; a component put there does.
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].hash, first);
    put(&engine, &shipped.path().join("40-external.wasm"), folder.path());
    assert_eq!(engine.status()[0].previous.as_ref().unwrap().hash, first);
}

#[test]
fn settings_go_back_with_their_component() {
    let (shipped, folder) = folders();
    let engine = engine(folder.path(), &site());
    let hash = put(&engine, &shipped.path().join("30-internal.wasm"), folder.path());
    fs::write(folder.path().join("30-mine.toml"), "grants = ['directory', 'settings', 'log']\non_fault = 'refuse'\n").unwrap();
    engine.rescan().unwrap();
    let done = engine.roll_back("mine").unwrap();
    assert_eq!((&done.from.hash, &done.to.hash), (&hash, &hash));
    assert_eq!(engine.roll_back("mine"), Err(NoWayBack::Nothing("mine".to_owned())));
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let (shipped, folder) = folders();
    let engine = engine(folder.path(), &site());
    put(&engine, &shipped.path().join("30-internal.wasm"), folder.path());
    assert_eq!(engine.roll_back("mien").unwrap_err().to_string(), "there is no policy `mien`; the nearest is `mine`");
}

#[test]
fn what_is_put_back_decides_the_next_call_and_is_counted_from_there() {
    let (shipped, folder) = folders();
    let site = site();
    let engine = engine(folder.path(), &site);
    let runner = engine.runner(Arc::clone(&site));
    put(&engine, &shipped.path().join("30-internal.wasm"), folder.path());
    let ask = || {
        let mut steps = Vec::new();
        block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut steps));
        steps.len()
    };
    assert_eq!(ask(), 1);
    assert_eq!((engine.status()[0].decisions, engine.status()[0].p99.is_some()), (1, true));
    // The licence policy has no routing hook: nobody is asked.
    put(&engine, &shipped.path().join("20-licence.wasm"), folder.path());
    assert_eq!(ask(), 0);
    engine.roll_back("mine").unwrap();
    assert_eq!((engine.status()[0].decisions, engine.status()[0].p99), (0, None));
    assert_eq!(ask(), 1);
    assert_eq!(engine.status()[0].decisions, 1);
    let (_, routing, breaker) = &engine.figures()[0].hooks[0];
    assert_eq!((routing.decisions(), *breaker), (2, Some(false)));
}

#[test]
fn of_two_files_with_one_name_the_one_that_runs_is_meant() {
    let (shipped, folder) = folders();
    let engine = engine(folder.path(), &site());
    let first = put(&engine, &shipped.path().join("30-internal.wasm"), folder.path());
    let component = shipped.path().join("20-licence.wasm");
    fs::copy(&component, folder.path().join("30-mine.wasm")).unwrap();
    engine.rescan().unwrap();
    fs::copy(&component, folder.path().join("10-mine.wasm")).unwrap();
    engine.rescan().unwrap();
    assert!(matches!(engine.status()[0].state, PolicyState::Refused(_)), "{:?}", engine.status());
    let figures = engine.figures();
    assert_eq!((figures.len(), figures[0].state, figures[0].refusals), (1, "running", 1), "one name is counted once");
    assert_eq!(engine.roll_back("mine").unwrap().to.hash, first);
}
