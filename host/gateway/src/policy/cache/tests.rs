use super::*;
use crate::policy::{EngineSettings, machine::Machine, shipped};
use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

fn machine(folder: &Path) -> Machine {
    Machine::new(EngineSettings { watch: false, cache: Some(folder.to_owned()), ..EngineSettings::default() }).unwrap()
}

fn counts(machine: &Machine) -> Counts {
    machine.cache.as_ref().unwrap().counts()
}

/// The compiled code that lies there.
fn kept(folder: &Path) -> Vec<PathBuf> {
    files(&folder.canonicalize().unwrap()).unwrap().into_iter().map(|(_, path)| path).filter(|path| path.extension().is_none()).collect()
}

/// A folder into which one component was compiled.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    let machine = machine(&folder);
    machine.compile(shipped::COMPONENTS[2].1).unwrap();
    assert_eq!(counts(&machine), Counts { found: 0, kept: 1 });
    assert_eq!(kept(&folder).len(), 1);
    (root, folder)
}

/// What the next start makes of it.
fn compile_again(folder: &Path) -> Counts {
    let machine = machine(folder);
    machine.compile(shipped::COMPONENTS[2].1).unwrap();
    counts(&machine)
}

const FOUND: Counts = Counts { found: 1, kept: 0 };
const COMPILED: Counts = Counts { found: 0, kept: 1 };

#[test]
fn the_next_start_compiles_nothing() {
    let (_root, folder) = filled();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    assert_eq!(compile_again(&folder), FOUND);
    assert_eq!(compile_again(&folder), FOUND);
}

#[test]
fn damaged_code_is_not_run_but_compiled_again() {
    let (_root, folder) = filled();
    let file = kept(&folder).remove(0);
    let sound = fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &sound[..middle], b"", b"what is this"] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(compile_again(&folder), COMPILED);
        assert_eq!(fs::read(&file).unwrap(), sound);
        assert_eq!(compile_again(&folder), FOUND);
    }
}

/// wasmtime's own thread, or another process, writes and cleans while the next start looks: what is listed may be gone when it is read.
#[test]
fn files_that_come_and_go_meanwhile_do_not_cost_the_cache() {
    let (_root, folder) = filled();
    let beside = kept(&folder).remove(0).with_extension("wip-atomic-write-mod");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::write(&beside, b"half").unwrap();
                fs::remove_file(&beside).ok();
            }
        });
        for _ in 0..500 {
            CodeCache::open(&folder).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn sums_that_are_gone_or_damaged_cost_compiling_only() {
    let (_root, folder) = filled();
    let sums = folder.join(SUMS);
    fs::remove_file(&sums).unwrap();
    assert_eq!(compile_again(&folder), COMPILED);
    fs::write(&sums, b"\xff\0 no sums").unwrap();
    assert_eq!(compile_again(&folder), COMPILED);
    assert_eq!(compile_again(&folder), FOUND);
}

#[test]
fn code_of_another_engine_is_not_used() {
    let (_root, folder) = filled();
    let file = kept(&folder).remove(0);
    // As if another processor's code had come with a copied data folder: rightly written, under a name that is ours.
    fs::write(&file, b"\x28\xb5\x2f\xfd\x04\x00\x29\x00\x00other").unwrap();
    let name = file.strip_prefix(folder.canonicalize().unwrap()).unwrap().display().to_string();
    fs::write(folder.join(SUMS), format!("{}  {name}\n", sum(&file).unwrap())).unwrap();
    assert_eq!(compile_again(&folder), COMPILED);
    assert_eq!(compile_again(&folder), FOUND, "the sum of what was written over it is kept");
}

#[test]
fn what_a_killed_process_left_half_written_is_cleaned_away() {
    let (_root, folder) = filled();
    let file = kept(&folder).remove(0);
    let half = file.with_extension("wip-atomic-write-mod");
    fs::rename(&file, &half).unwrap();
    assert_eq!(compile_again(&folder), COMPILED);
    assert!(!half.exists());
}

#[test]
fn a_folder_that_cannot_be_used_costs_compiling_only() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    fs::write(&folder, b"a file").unwrap();
    let without = machine(&folder);
    assert!(without.cache.is_none());
    without.compile(shipped::COMPONENTS[2].1).unwrap();

    fs::remove_file(&folder).unwrap();
    let with = machine(&folder);
    fs::write(folder.join(CODE).join("modules"), b"a file where a folder should be").unwrap();
    with.compile(shipped::COMPONENTS[2].1).unwrap();
    assert_eq!(counts(&with), Counts { found: 0, kept: 0 });
}

#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    let (_root, folder) = filled();
    for mode in [0o770, 0o707, 0o755] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        assert!(machine(&folder).cache.is_none(), "{mode:o}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(compile_again(&folder), FOUND);
}

#[test]
fn there_are_never_many_more_than_allowed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    let cache = CodeCache::bounded(&folder, 2, BYTES).unwrap();
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true).cache(Some(cache.cache()));
    let engine = wasmtime::Engine::new(&config).unwrap();
    for (_, component) in shipped::COMPONENTS {
        let before = cache.counts();
        wasmtime::component::Component::new(&engine, component).unwrap();
        cache.compiled(before);
    }
    assert_eq!(cache.counts(), Counts { found: 0, kept: 4 });
    // A thread of wasmtime's cleans.
    let until = Instant::now() + Duration::from_secs(30);
    while kept(&folder).len() > 2 {
        assert!(Instant::now() < until, "{:?}", kept(&folder));
        thread::sleep(Duration::from_millis(5));
    }
}
