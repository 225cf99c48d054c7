//! Files that do not join the chain, each with the reason and what to do about it.

use crate::case::{engine, site};
use gateway::policy::{Engine, PolicyState, Rejection};
use std::{fs, path::Path};

const ZOO: &str = env!("HOLDFAST_ZOO");

/// A component whose routing hook has neither parameters nor result, with `start` in its core module and `imports` before it.
fn component(start: &str, imports: &str, export: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component {imports}
            (core module $m (func (export "f")) {start})
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $hook (export "route" (func $f)))
            (export "{export}" (instance $hook)))"#
    ))
    .unwrap()
}

const ROUTING: &str = "holdfast:policy/routing@0.1.2";

/// What becomes of one file, from the running host and from `check`; both say the same.
fn rejection(prepare: impl Fn(&Path)) -> Rejection {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let status = engine(folder.path(), &site()).status();
    let problems = Engine::check(folder.path(), site()).unwrap().problems;
    let [policy] = status.as_slice() else { panic!("{status:?}") };
    let PolicyState::Refused(rejection) = &policy.state else { panic!("{policy:?}") };
    assert_eq!((problems.len(), &problems[0].reason, &problems[0].remedy), (1, &rejection.reason, &rejection.remedy));
    assert!(problems[0].file.ends_with("10-bad.wasm"));
    rejection.clone()
}

fn of(bytes: &[u8]) -> Rejection {
    rejection(|folder| fs::write(folder.join("10-bad.wasm"), bytes).unwrap())
}

fn with_toml(toml: &str) -> Rejection {
    rejection(|folder| {
        fs::copy(ZOO, folder.join("10-bad.wasm")).unwrap();
        fs::write(folder.join("10-bad.toml"), toml).unwrap();
    })
}

#[test]
fn what_is_no_component_is_refused() {
    assert_eq!(of(b"").reason, "it is not a WebAssembly component");
    assert_eq!(of(b"#!/bin/sh\necho policy\n").reason, "it is not a WebAssembly component");
    let module = of(&wat::parse_str("(module)").unwrap());
    assert_eq!(module.reason, "it is a core module, not a component");
    assert!(module.remedy.contains("wasm-tools component new"));
}

#[test]
fn a_half_written_file_is_refused() {
    let whole = fs::read(ZOO).unwrap();
    for length in [9, whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        let rejection = of(&whole[..length]);
        assert!(rejection.reason.starts_with("it does not compile: "), "{length}: {rejection}");
        assert_eq!(rejection.remedy, "copy the component again");
    }
}

#[test]
fn a_file_that_is_too_large_or_cannot_be_read_is_refused() {
    let huge = rejection(|folder| fs::File::create(folder.join("10-bad.wasm")).unwrap().set_len((64 << 20) + 1).unwrap());
    assert!(huge.reason.contains("more than 67108864"), "{huge}");
    let dangling = rejection(|folder| std::os::unix::fs::symlink(folder.join("nowhere"), folder.join("10-bad.wasm")).unwrap());
    assert!(dangling.reason.starts_with("it cannot be read: "), "{dangling}");
}

#[test]
fn a_component_without_a_hook_is_refused() {
    assert_eq!(of(&wat::parse_str("(component)").unwrap()).reason, "it has none of the hooks: it exports nothing");
    let another = of(&component("", "", "holdfast:policy/routing@0.2.0"));
    assert_eq!(another.reason, "it has none of the hooks of version 0.1.2: it exports holdfast:policy/routing@0.2.0");
    assert!(another.remedy.contains("routing"));
}

#[test]
fn a_hook_of_other_types_is_refused() {
    let rejection = of(&component("", "", ROUTING));
    assert!(rejection.reason.starts_with("it has a hook of other types than the contract's: "), "{rejection}");
    assert_eq!(rejection.remedy, "build it against the contract of this host");
}

#[test]
fn imports_beyond_the_contract_are_refused() {
    let importing = |import: &str| of(&component("", import, ROUTING)).reason;
    assert_eq!(importing(r#"(import "run" (func))"#), "it imports `run`, which no policy can have");
    assert_eq!(
        importing(r#"(import "holdfast:policy/teleport@0.1.2" (instance))"#),
        "it imports `holdfast:policy/teleport@0.1.2`, which this host does not have"
    );
    assert_eq!(
        importing(r#"(import "holdfast:policy/clock@0.2.0" (instance))"#),
        "it imports `holdfast:policy/clock@0.2.0`, and this host speaks version 0.1.2 of the contract"
    );
    let mistyped = importing(r#"(import "holdfast:policy/clock@0.1.2" (instance (export "now-ms" (func (result string)))))"#);
    assert!(mistyped.starts_with("its imports have other types than the contract's: "), "{mistyped}");
}

#[test]
fn what_is_not_granted_is_refused() {
    let rejection = with_toml("");
    assert_eq!(rejection.reason, "it imports `holdfast:policy/memory@0.1.2`, which is not granted to it");
    assert_eq!(rejection.remedy, "if it may have that, add \"memory\" to `grants` in 10-bad.toml");
    let withheld = with_toml("grants = ['memory']");
    assert!(withheld.reason.contains("which is not granted to it"), "{withheld}");
}

#[test]
fn a_component_that_traps_at_its_start_is_refused() {
    let rejection = of(&component("(func $start unreachable) (start $start)", "", ROUTING));
    assert!(rejection.reason.starts_with("it does not start: it trapped"), "{rejection}");
}

#[test]
fn a_component_that_spins_at_its_start_is_refused() {
    let rejection = of(&component("(func $start (loop br 0)) (start $start)", "", ROUTING));
    assert!(rejection.reason.starts_with("it does not start: it did not answer"), "{rejection}");
}

const GRANTS: &str = "grants = ['directory', 'licences', 'trunks', 'settings', 'log', 'clock', 'memory']\n";

#[test]
fn a_component_that_fails_its_trial_is_refused() {
    for (act, says) in [("trap", "trapped"), ("spin", "did not answer"), ("grow", "over its bound"), ("unknown-trunk", "nonsense")] {
        let rejection = with_toml(&format!("{GRANTS}[settings]\nact = '{act}'\n"));
        assert!(rejection.reason.starts_with("it failed its trial, ") && rejection.reason.contains(says), "{act}: {rejection}");
    }
}

#[test]
fn settings_that_the_component_refuses_or_cannot_check_are_told() {
    let rejection = with_toml(&format!("{GRANTS}[settings]\nacct = 'x'\n"));
    assert!(rejection.reason.starts_with("settings.acct: is not a setting of this policy; it knows act"), "{rejection}");
    assert_eq!(rejection.remedy, "mend the settings in 10-bad.toml");
    let trapping = with_toml(&format!("{GRANTS}[settings]\ncheck = 'trap'\n"));
    assert!(trapping.reason.starts_with("it failed when asked about its settings: it trapped"), "{trapping}");
}

#[test]
fn a_mistake_in_the_file_beside_it_is_told() {
    let rejection = with_toml("deadline = 5\n");
    assert_eq!(rejection.reason, "10-bad.toml: `deadline` is not a key of this file; the nearest is `deadline_ms`");
    assert_eq!(rejection.remedy, "mend 10-bad.toml");
}

#[test]
fn two_files_with_one_name_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("40-spare.toml"), "").unwrap();
    for name in ["10-zoo", "30-zoo"] {
        fs::copy(ZOO, folder.path().join(format!("{name}.wasm"))).unwrap();
        fs::write(folder.path().join(format!("{name}.toml")), GRANTS).unwrap();
    }
    let check = Engine::check(folder.path(), site()).unwrap();
    let told: Vec<_> =
        check.problems.iter().map(|problem| (problem.file.file_name().unwrap().to_str().unwrap(), problem.reason.as_str())).collect();
    assert_eq!(
        told,
        [("30-zoo.wasm", "10-zoo.wasm has the same name"), ("40-spare.toml", "it belongs to 40-spare.wasm, which is not there")]
    );
}
