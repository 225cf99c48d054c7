//! Files that come, change and go while decisions are made.

use crate::case::{call, phone, shipped, site};
use futures_executor::block_on;
use gateway::policy::{Engine, EngineSettings, PolicyState, Runner};
use std::rc::Rc;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use switch::{decision::Decision, site::Site};

/// A followed folder that begins with `internal` as `30-policy.wasm`, and the bytes of `internal` and `external`.
struct Followed {
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
    runner: Rc<Runner>,
    site: Arc<Site>,
    internal: Vec<u8>,
    external: Vec<u8>,
}

/// What a call from one extension to another comes to: it tells who is at `30-policy.wasm`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// `internal` rings.
    Rings,
    /// `external` refuses, for the caller is not registered.
    Refused,
    /// Nobody is there.
    Passed,
}

fn ask(runner: &Runner, site: &Site) -> Answer {
    let mut steps = Vec::new();
    let answer = match block_on(runner.route(&mut call(phone(site, "desk-1"), "1002"), &mut steps)) {
        Decision::Route(_) => Answer::Rings,
        Decision::Refuse(_) => Answer::Refused,
        Decision::Pass(_) => Answer::Passed,
    };
    assert!(steps.iter().all(|step| step.fault.is_none()), "{steps:?}");
    answer
}

impl Followed {
    fn file(&self) -> PathBuf {
        self.folder.path().join("30-policy.wasm")
    }

    /// Waits for the watcher.
    fn until(&mut self, answer: Answer) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while ask(&self.runner, &self.site) != answer {
            assert!(Instant::now() < deadline, "never {answer:?}: {:?}", self.engine.status());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn until_refused(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(PolicyState::Outdated(rejection)) = self.engine.status().first().map(|policy| policy.state.clone()) {
                return rejection.reason;
            }
            assert!(Instant::now() < deadline, "{:?}", self.engine.status());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn components() -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    (read("30-internal.wasm"), read("40-external.wasm"))
}

fn follow(folder: tempfile::TempDir, path: &Path) -> Followed {
    let (internal, external) = components();
    let site = site();
    let engine = Engine::start(path, Arc::clone(&site), EngineSettings::default()).unwrap();
    let runner = engine.runner(Arc::clone(&site));
    Followed { folder, engine, runner, site, internal, external }
}

fn followed() -> Followed {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-policy.wasm"), components().0).unwrap();
    let path = folder.path().to_owned();
    let followed = follow(folder, &path);
    assert_eq!(ask(&followed.runner, &followed.site), Answer::Rings);
    followed
}

#[test]
fn an_atomic_rename_is_followed() {
    let mut followed = followed();
    let new = followed.folder.path().join(".30-policy.wasm.tmp");
    fs::write(&new, &followed.external).unwrap();
    fs::rename(new, followed.file()).unwrap();
    followed.until(Answer::Refused);
}

#[test]
fn a_turned_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (internal, external) = components();
    for (version, bytes) in [("v1", &internal), ("v2", &external)] {
        fs::create_dir(elsewhere.path().join(version)).unwrap();
        fs::write(elsewhere.path().join(version).join("30-policy.wasm"), bytes).unwrap();
    }
    // As mounted configuration volumes do it: files are links through a link that is turned.
    symlink(elsewhere.path().join("v1"), folder.path().join("..data")).unwrap();
    symlink("..data/30-policy.wasm", folder.path().join("30-policy.wasm")).unwrap();
    let path = folder.path().to_owned();
    let mut followed = follow(folder, &path);
    assert_eq!(ask(&followed.runner, &followed.site), Answer::Rings);
    symlink(elsewhere.path().join("v2"), path.join("..new")).unwrap();
    fs::rename(path.join("..new"), path.join("..data")).unwrap();
    followed.until(Answer::Refused);
}

#[test]
fn a_turned_folder_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let (internal, external) = components();
    for (version, bytes) in [("v1", &internal), ("v2", &external)] {
        fs::create_dir(root.path().join(version)).unwrap();
        fs::write(root.path().join(version).join("30-policy.wasm"), bytes).unwrap();
    }
    let path = root.path().join("policies");
    symlink("v1", &path).unwrap();
    let mut followed = follow(root, &path);
    assert_eq!(ask(&followed.runner, &followed.site), Answer::Rings);
    symlink("v2", followed.folder.path().join("new")).unwrap();
    fs::rename(followed.folder.path().join("new"), &path).unwrap();
    followed.until(Answer::Refused);
    // And what happens in the new one is followed as well.
    fs::write(followed.folder.path().join("v2/30-policy.wasm"), &internal).unwrap();
    followed.until(Answer::Rings);
}

#[test]
fn several_writes_in_a_row_end_with_the_last() {
    let mut followed = followed();
    for round in 0..20 {
        let bytes = if round % 2 == 0 { &followed.internal } else { &followed.external };
        fs::write(followed.file(), bytes).unwrap();
    }
    followed.until(Answer::Refused);
}

#[test]
fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let mut followed = followed();
    let (half, rest) = followed.external.split_at(followed.external.len() / 2);
    let mut file = fs::File::create(followed.file()).unwrap();
    file.write_all(half).unwrap();
    file.sync_all().unwrap();
    let reason = followed.until_refused();
    assert!(reason.starts_with("it does not compile"), "{reason}");
    assert_eq!(ask(&followed.runner, &followed.site), Answer::Rings, "the old one stays");
    file.write_all(rest).unwrap();
    drop(file);
    followed.until(Answer::Refused);
    assert_eq!(followed.engine.status()[0].state, PolicyState::Running);
}

#[test]
fn a_bad_file_keeps_the_old_one() {
    let followed = followed();
    fs::write(followed.file(), b"a text").unwrap();
    assert_eq!(followed.until_refused(), "it is not a WebAssembly component");
    assert_eq!(ask(&followed.runner, &followed.site), Answer::Rings);
    fs::write(followed.file(), &followed.internal).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while followed.engine.status()[0].state != PolicyState::Running {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_removed_file_leaves_the_chain_and_a_new_one_joins_it() {
    let mut followed = followed();
    fs::remove_file(followed.file()).unwrap();
    followed.until(Answer::Passed);
    assert_eq!(followed.engine.status(), []);
    fs::write(followed.folder.path().join("20-other.wasm"), &followed.external).unwrap();
    followed.until(Answer::Refused);
}

#[test]
fn a_policy_whose_old_version_was_refused_too_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-policy.wasm"), b"a text").unwrap();
    let path = folder.path().to_owned();
    let mut followed = follow(folder, &path);
    assert!(matches!(followed.engine.status()[0].state, PolicyState::Refused(_)));
    fs::write(followed.file(), &followed.internal).unwrap();
    followed.until(Answer::Rings);
}

#[test]
fn decisions_never_fail_while_policies_are_swapped() {
    let site = site();
    let (folder, engine, _) = shipped(&site);
    let external = fs::read(folder.path().join("40-external.wasm")).unwrap();
    let internal = fs::read(folder.path().join("30-internal.wasm")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let deciders: Vec<_> = (0..2)
        .map(|_| {
            let (engine, site, done) = (Arc::clone(&engine), Arc::clone(&site), Arc::clone(&done));
            thread::spawn(move || {
                let runner = engine.runner(Arc::clone(&site));
                let mut answers = [0_u32; 3];
                while !done.load(Relaxed) {
                    answers[ask(&runner, &site) as usize] += 1;
                }
                answers
            })
        })
        .collect();
    for round in 0..30 {
        let bytes = if round % 2 == 0 { &external } else { &internal };
        fs::write(folder.path().join("30-internal.wasm"), bytes).unwrap();
        engine.rescan().unwrap();
    }
    done.store(true, Relaxed);
    for decider in deciders {
        let [rings, refused, passed] = decider.join().unwrap();
        assert!(rings > 0 && refused > 0 && passed == 0, "{rings} {refused} {passed}");
    }
}

#[test]
fn what_has_not_changed_is_not_touched() {
    let site = site();
    let (_folder, engine, _) = shipped(&site);
    let before = engine.status();
    engine.rescan().unwrap();
    assert_eq!(engine.status(), before);
}
