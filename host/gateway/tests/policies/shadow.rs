//! A changed component decides beside the one that runs before it takes its place.

use crate::case::{bind, call, engine, help, phone, registration, site, told};
use futures_executor::block_on;
use gateway::policy::{Difference, Engine, EngineSettings, PolicyState, Runner, ShadowStatus, Step};
use std::rc::Rc;
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use switch::{
    decision::Decision,
    facts::{CallKind, Caller},
    record::CallRecord,
    site::Site,
};

const GRANTS: &str = "grants = ['directory', 'trunks', 'locations', 'settings', 'log', 'clock', 'memory', 'licences']\n";

/// A folder that nobody follows, with one policy in it and a runner on it.
struct Desk {
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
    runner: Rc<Runner>,
    site: Arc<Site>,
}

fn zoo() -> Vec<u8> {
    fs::read(env!("HOLDFAST_ZOO")).unwrap()
}

fn shipped(file: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    fs::read(folder.path().join(file)).unwrap()
}

/// The same component under another version: it decides alike, and is another file.
fn renamed(component: &[u8], version: &str) -> Vec<u8> {
    let mut section = vec![7];
    section.extend(b"version");
    section.extend(version.as_bytes());
    [component, &[0, u8::try_from(section.len()).unwrap()], &section].concat()
}

impl Desk {
    fn new(component: &[u8], toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("30-policy.wasm"), component).unwrap();
        fs::write(folder.path().join("30-policy.toml"), format!("{GRANTS}{toml}")).unwrap();
        let site = site();
        bind(&site, "desk-1", false);
        let engine = engine(folder.path(), &site);
        assert_eq!(engine.status()[0].state, PolicyState::Running, "nothing ran before that it could be compared with");
        let runner = engine.runner(Arc::clone(&site));
        Self { folder, engine, runner, site }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("30-policy.wasm")
    }

    fn bring(&self, component: &[u8]) {
        fs::write(self.file(), component).unwrap();
        self.engine.rescan().unwrap();
    }

    fn set(&self, toml: &str) {
        fs::write(self.folder.path().join("30-policy.toml"), format!("{GRANTS}{toml}")).unwrap();
        self.engine.rescan().unwrap();
    }

    fn ask(&mut self, called: &str) -> String {
        let mut steps: Vec<Step> = Vec::new();
        block_on(self.runner.route(&mut call(phone(&self.site, "desk-1"), called), &mut steps));
        told(&steps).remove(0)
    }

    fn attend(&self) {
        self.engine.attend(Instant::now());
    }

    fn state(&self) -> PolicyState {
        self.engine.status().remove(0).state
    }

    fn shadowing(&self) -> ShadowStatus {
        match self.state() {
            PolicyState::Shadowing(shadow) => *shadow,
            other => panic!("{other:?}"),
        }
    }

    /// Why what lies there did not take its place.
    fn refused(&self) -> String {
        match self.state() {
            PolicyState::Outdated(rejection) => {
                assert!(rejection.remedy.contains("`allow` in [shadow] of 30-policy.toml"), "{}", rejection.remedy);
                rejection.reason
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_that_answers_alike_takes_the_place_after_so_many_calls() {
    let internal = shipped("30-internal.wasm");
    let mut desk = Desk::new(&internal, "[shadow]\ncalls = 3\n");
    let before = desk.engine.status().remove(0);
    desk.bring(&renamed(&internal, "2.0.0"));
    for called in ["1002", "1003"] {
        desk.ask(called);
    }
    desk.attend();
    let shadow = desk.shadowing();
    assert_eq!((shadow.decided, shadow.different, shadow.faults, shadow.missed), (2, 0, 0, 0));
    assert_eq!((shadow.calls, shadow.seconds, shadow.version.as_deref()), (Some(3), None, Some("2.0.0")));
    let during = desk.engine.status().remove(0);
    assert_eq!((&during.hash, &during.version, during.since), (&before.hash, &before.version, before.since), "the old one runs");
    assert_ne!(shadow.hash, before.hash);

    assert_eq!(desk.ask("1002"), "policy → route desk-2");
    desk.attend();
    let after = desk.engine.status().remove(0);
    assert_eq!((after.state, after.hash, after.version.as_deref()), (PolicyState::Running, shadow.hash, Some("2.0.0")));
    assert_eq!(desk.ask("1002"), "policy → route desk-2");
}

#[test]
fn one_that_answers_otherwise_is_refused_with_an_example() {
    let mut desk = Desk::new(&shipped("30-internal.wasm"), "[shadow]\ncalls = 100\n");
    let external = shipped("40-external.wasm");
    desk.bring(&external);
    assert_eq!(desk.ask("1002"), "policy → route desk-2");
    desk.attend();
    assert_eq!(
        desk.refused(),
        "beside the one that runs, it decided 1 of 1 otherwise; a call from desk-1 to 1002: `route desk-2` became `refuse 404 Not Found`"
    );
    assert_eq!(desk.ask("1002"), "policy → route desk-2");
    // Remembered until the file changes.
    desk.engine.rescan().unwrap();
    desk.refused();
    desk.bring(&renamed(&external, "2.0.0"));
    desk.shadowing();
}

#[test]
fn so_many_differences_as_are_allowed_are_no_hindrance() {
    // With `act`, the zoo rings whatever is called: one call of three differs.
    let outcome = |allow: &str| {
        let shadow = format!("[shadow]\ncalls = 3\nallow = {allow}\n");
        let mut desk = Desk::new(&zoo(), &shadow);
        desk.set(&format!("{shadow}[settings]\nact = 'ring'\n"));
        for called in ["ring", "pass", "ring"] {
            desk.ask(called);
        }
        desk.attend();
        let state = desk.state();
        (state == PolicyState::Running, desk.ask("pass") == "policy → route desk-1")
    };
    assert_eq!(outcome("1"), (true, true));
    assert_eq!(outcome("'34 %'"), (true, true));
    assert_eq!(outcome("'33%'"), (false, false));
    assert_eq!(outcome("0"), (false, false));
}

#[test]
fn one_that_fails_is_refused_and_no_call_notices() {
    let shadow = "[shadow]\ncalls = 100\nallow = 1\n";
    let mut desk = Desk::new(&zoo(), shadow);
    desk.set(&format!("{shadow}[settings]\nact = 'trap'\nspare_trial = true\n"));
    for _ in 0..2 {
        assert_eq!(desk.ask("pass"), "policy → pass");
    }
    desk.attend();
    assert_eq!(
        desk.refused(),
        "beside the one that runs, it decided 2 of 2 otherwise (2 of them it failed at); a call from desk-1 to pass: `pass` became `it trapped: \
         wasm trap: wasm `unreachable` instruction executed`"
    );
    assert_eq!(desk.engine.status()[0].faults, 0);
}

#[test]
fn every_hook_is_compared() {
    let shadow = "[shadow]\ncalls = 100\nallow = 100\n";
    let desk = Desk::new(&zoo(), shadow);
    desk.set(&format!("{shadow}[settings]\nact = 'trap'\nspare_trial = true\n"));
    let steps = &mut Vec::new();
    block_on(desk.runner.admit(&registration(&desk.site, "desk-1", "refuse"), steps));
    desk.runner.emergency(&help(Caller::Unknown, "112"), steps).unwrap();
    block_on(desk.runner.ended(&CallRecord {
        call_id: "the-call".to_owned(),
        kind: CallKind::Normal,
        caller: "desk-1".to_owned(),
        called: "trap".to_owned(),
        answered_by: None,
        began: sip::Instant::from_unix_micros(1_000_000),
        answered: None,
        ended: sip::Instant::from_unix_micros(2_000_000),
        status: 200,
        cause: "caller hung up",
    }));
    desk.attend();
    let shadow = desk.shadowing();
    let trapped = "it trapped: wasm trap: wasm `unreachable` instruction executed";
    let difference = |asked: &str, old: &str, new: &str| Difference { asked: asked.to_owned(), old: old.to_owned(), new: new.to_owned() };
    // At the end of the call it is the one that runs that fails, which is no difference.
    assert_eq!((shadow.decided, shadow.different, shadow.faults), (3, 2, 2));
    assert_eq!(
        shadow.examples,
        [
            difference("a registration of desk-1", "refuse 403 Not today", trapped),
            difference("a call for help from somebody unknown to 112", "route provider/112", trapped)
        ]
    );
}

#[test]
fn what_one_that_fails_could_not_decide_is_no_difference() {
    let shadow = "[shadow]\ncalls = 2\n";
    let mut desk = Desk::new(&zoo(), &format!("{shadow}[settings]\nact = 'trap'\nspare_trial = true\n"));
    desk.set(&format!("{shadow}[settings]\nact = 'ring'\n"));
    for _ in 0..2 {
        desk.ask("1");
    }
    desk.attend();
    assert_eq!(desk.state(), PolicyState::Running);
    assert_eq!(desk.ask("1"), "policy → route desk-1");
}

#[test]
fn what_it_keeps_while_it_is_tried_is_its_own() {
    let mut desk = Desk::new(&zoo(), "[shadow]\ncalls = 2\n");
    assert_eq!(desk.ask("remember"), "policy → refuse 403 Number 1");
    desk.set("deadline_ms = 40\n[shadow]\ncalls = 2\n");
    assert_eq!(desk.ask("remember"), "policy → refuse 403 Number 2");
    desk.attend();
    assert_eq!((desk.shadowing().decided, desk.shadowing().different), (1, 0), "it began with what the other kept");
    assert_eq!(desk.ask("remember"), "policy → refuse 403 Number 3");
    desk.attend();
    assert_eq!(desk.state(), PolicyState::Running);
    assert_eq!(desk.ask("remember"), "policy → refuse 403 Number 4", "and goes on with what the other has kept since");
}

#[test]
fn it_is_told_what_the_other_was_told() {
    let internal = shipped("30-internal.wasm");
    let desk = Desk::new(&internal, "[shadow]\ncalls = 1\n");
    desk.bring(&renamed(&internal, "2.0.0"));
    let ask = |called: &str| {
        let mut steps = Vec::new();
        block_on(desk.runner.route(&mut call(phone(&desk.site, "desk-2"), called), &mut steps));
        told(&steps).remove(0)
    };
    assert_eq!(ask("1001"), "policy → route desk-1");
    // Asked now, the host would say that the caller may call nobody but the emergency services.
    bind(&desk.site, "desk-2", true);
    desk.attend();
    assert_eq!(desk.state(), PolicyState::Running, "the call is decided as it was");
    assert!(ask("1001").starts_with("policy → refuse 403"));
}

#[test]
fn after_so_long_it_is_clear_whatever_was_called() {
    let mut desk = Desk::new(&zoo(), "[shadow]\nseconds = 60\n");
    desk.set("deadline_ms = 40\n[shadow]\nseconds = 60\n");
    desk.ask("pass");
    let now = Instant::now();
    desk.engine.attend(now + Duration::from_secs(50));
    assert_eq!((desk.shadowing().seconds, desk.shadowing().decided), (Some(60), 1));
    desk.engine.attend(now + Duration::from_secs(61));
    assert_eq!(desk.state(), PolicyState::Running);
}

#[test]
fn calls_never_wait_for_a_candidate_that_is_behind() {
    let mut desk = Desk::new(&zoo(), "[shadow]\ncalls = 1000000\n");
    desk.set("deadline_ms = 40\n[shadow]\ncalls = 1000000\n");
    for _ in 0..1030 {
        assert_eq!(desk.ask("pass"), "policy → pass");
    }
    assert_eq!((desk.shadowing().decided, desk.shadowing().missed), (0, 6));
    desk.attend();
    assert_eq!((desk.shadowing().decided, desk.shadowing().missed), (1024, 6));
}

#[test]
fn what_comes_while_one_is_tried_takes_its_turn() {
    let internal = shipped("30-internal.wasm");
    let mut desk = Desk::new(&internal, "[shadow]\ncalls = 100\n");
    desk.bring(&renamed(&internal, "2.0.0"));
    desk.ask("1002");
    desk.attend();
    desk.bring(&renamed(&internal, "3.0.0"));
    let shadow = desk.shadowing();
    assert_eq!((shadow.version.as_deref(), shadow.decided), (Some("3.0.0"), 0));
    desk.bring(b"a text");
    assert!(matches!(desk.state(), PolicyState::Outdated(rejection) if rejection.reason == "it is not a WebAssembly component"));
    // What runs lies there again: nothing is to be shown.
    desk.bring(&internal);
    assert_eq!(desk.state(), PolicyState::Running);
    fs::remove_file(desk.file()).unwrap();
    desk.engine.rescan().unwrap();
    assert_eq!(desk.engine.status(), []);
}

#[test]
fn other_cases_and_another_wish_for_it_are_taken_over_at_once() {
    let desk = Desk::new(&zoo(), "[shadow]\ncalls = 100\n");
    desk.set("[shadow]\ncalls = 50\n");
    assert_eq!(desk.state(), PolicyState::Running);
    desk.set("deadline_ms = 40\n");
    assert_eq!(desk.state(), PolicyState::Running, "without the wish nothing is tried");
}

#[test]
fn where_the_folder_is_followed_nobody_need_attend() {
    let internal = shipped("30-internal.wasm");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-policy.wasm"), &internal).unwrap();
    fs::write(folder.path().join("30-policy.toml"), "[shadow]\ncalls = 10\n").unwrap();
    let site = site();
    bind(&site, "desk-1", false);
    let engine = Engine::start(folder.path(), Arc::clone(&site), EngineSettings::default()).unwrap();
    let runner = engine.runner(Arc::clone(&site));
    fs::write(folder.path().join("30-policy.wasm"), renamed(&internal, "2.0.0")).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while engine.status()[0].version.as_deref() != Some("2.0.0") {
        assert!(Instant::now() < until, "{:?}", engine.status());
        let decision = block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
        assert!(matches!(decision, Decision::Route(_)), "{decision:?}");
        thread::sleep(Duration::from_millis(5));
    }
}
