//! Instances prepared ahead: what decides on them cannot tell.

use crate::case::{NOW, call, engine, site, told};
use futures_executor::block_on;
use gateway::policy::{Engine, Runner, Step};
use std::rc::Rc;
use std::{fs, path::Path, sync::Arc};
use switch::{
    decision::Decision,
    directory::{Directory, Endpoint, Trunk},
    facts::Caller,
    site::Site,
};

const ZOO: &str = env!("HOLDFAST_ZOO");
const EARLY: &str = env!("HOLDFAST_EARLY");

fn running(component: &str, toml: &str, site: &Arc<Site>) -> (tempfile::TempDir, Arc<Engine>, Rc<Runner>) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(component, folder.path().join("10-policy.wasm")).unwrap();
    settings(folder.path(), toml);
    let engine = engine(folder.path(), site);
    let runner = engine.runner(Arc::clone(site));
    (folder, engine, runner)
}

fn settings(folder: &Path, toml: &str) {
    fs::write(
        folder.join("10-policy.toml"),
        format!("grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n{toml}"),
    )
    .unwrap();
}

/// The outcome of one routing decision.
fn asked(runner: &Runner, called: &str) -> String {
    let mut steps: Vec<Step> = Vec::new();
    block_on(runner.route(&mut call(Caller::Unknown, called), &mut steps));
    told(&steps).remove(0)
}

/// The same, with one prepared before it.
fn asked_prepared(runner: &Runner, called: &str) -> String {
    runner.prepare();
    asked(runner, called)
}

const FIRST: &str = "policy → refuse 403 Number 1";

#[test]
fn a_prepared_instance_knows_of_no_decision_before() {
    let (folder, engine, runner) = running(ZOO, "", &site());
    for _ in 0..3 {
        assert_eq!(asked_prepared(&runner, "count"), FIRST);
    }
    // The stock is one: the next two are started on the spot.
    assert_eq!([asked(&runner, "count"), asked(&runner, "count")], [FIRST; 2]);
    settings(folder.path(), "[settings]\ncheck = 'other'");
    runner.prepare();
    engine.rescan().unwrap();
    assert_eq!([asked(&runner, "count"), asked_prepared(&runner, "count")], [FIRST; 2], "after a swap");
}

#[test]
fn one_that_is_reused_is_not_prepared_anew() {
    let (_folder, _engine, runner) = running(ZOO, "isolation = 'reused'", &site());
    let counted: Vec<String> = (0..3).map(|_| asked_prepared(&runner, "count")).collect();
    assert_eq!(counted, ["policy → refuse 403 Number 1", "policy → refuse 403 Number 2", "policy → refuse 403 Number 3"]);
    assert!(asked(&runner, "trap").contains("trap"));
    assert_eq!(asked_prepared(&runner, "count"), FIRST, "after a fault");
}

#[test]
fn a_prepared_instance_has_the_settings_of_its_decision() {
    let (folder, engine, runner) = running(ZOO, "[settings]\nact = 'count'", &site());
    assert_eq!(asked_prepared(&runner, "1"), FIRST);
    runner.prepare();
    settings(folder.path(), "[settings]\nact = 'refuse'");
    engine.rescan().unwrap();
    assert_eq!(asked(&runner, "1"), "policy → refuse 403 Not today");
}

/// The directory with one extension more.
fn with_1005(directory: &Directory) -> Directory {
    let mut endpoints: Vec<Endpoint> = directory.endpoints.iter().map(|endpoint| Endpoint::clone(endpoint)).collect();
    let new = Endpoint { id: "new".to_owned(), extension: "1005".to_owned(), username: "1005".to_owned(), ..endpoints[1].clone() };
    endpoints.push(new);
    Directory::new(
        directory.domain.clone(),
        endpoints,
        directory.pools.clone(),
        directory.trunks.iter().map(|trunk| Trunk::clone(trunk)).collect(),
        directory.emergency.clone(),
        directory.locations.clone(),
    )
}

#[test]
fn a_prepared_instance_has_the_directory_of_its_decision() {
    let site = site();
    let shipped = tempfile::tempdir().unwrap();
    Engine::install_shipped(shipped.path()).unwrap();
    let internal = shipped.path().join("30-internal.wasm");
    let (_folder, _engine, runner) = running(internal.to_str().unwrap(), "isolation = 'fresh'", &site);
    crate::case::bind(&site, "desk-1", false);
    let ask = |runner: &Runner| {
        let mut steps = Vec::new();
        let decision = block_on(runner.route(&mut call(crate::case::phone(&site, "desk-1"), "1005"), &mut steps));
        (matches!(decision, Decision::Route(_)), told(&steps))
    };
    runner.prepare();
    assert!(!ask(&runner).0);
    runner.prepare();
    site.replace_directory(with_1005(&site.directory()), NOW);
    assert_eq!(ask(&runner), (true, vec!["policy → route new".to_owned()]));
}

#[test]
fn one_that_asks_while_it_starts_is_started_when_it_decides() {
    let site = site();
    let (_folder, engine, runner) = running(EARLY, "", &site);
    assert_eq!(asked_prepared(&runner, "1"), "policy → refuse 403 1005 was not there", "{:?}", engine.status());
    runner.prepare();
    site.replace_directory(with_1005(&site.directory()), NOW);
    assert_eq!(asked(&runner, "1"), "policy → refuse 403 1005 was there");
    // Reused means: as it was when it started.
    let (_folder, _engine, runner) = running(EARLY, "isolation = 'reused'", &crate::case::site());
    assert_eq!(asked_prepared(&runner, "1"), "policy → refuse 403 1005 was not there");
}

#[test]
fn a_swap_starts_what_decides_first_after_it() {
    for (isolation, expected) in [("reused", "policy → refuse 403 1005 was not there"), ("fresh", "policy → refuse 403 1005 was there")]
    {
        let site = site();
        let (folder, engine, runner) = running(EARLY, &format!("isolation = '{isolation}'"), &site);
        settings(folder.path(), &format!("isolation = '{isolation}'\nlog_lines = 7"));
        engine.rescan().unwrap();
        // What is started from now on knows it; and whoever is fresh for each decision is not started ahead when it asks.
        site.replace_directory(with_1005(&site.directory()), NOW);
        assert_eq!(asked(&runner, "1"), expected);
    }
}
