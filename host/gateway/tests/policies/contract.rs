//! Components of other versions of the contract: yesterday's, which decide as they did, and tomorrow's, which load as far as they use what is here.

use crate::case::{call, engine, phone, site};
use futures_executor::block_on;
use gateway::policy::{CaseResult, PolicyState, Rejection, try_file};
use std::{fs, path::Path};
use switch::{decision::Decision, facts::CallKind, record::CallRecord};

/// Built once for version 0.1.0 of `tests/guests/frozen`, and not built anew.
const FROZEN: &[u8] = include_bytes!("../../../../tests/guests/frozen/frozen-0.1.0.wasm");

/// What `tests/guests/frozen/cases.toml` says that it needs.
const TOML: &str = "grants = ['directory', 'licences', 'trunks', 'locations', 'settings', 'log', 'clock', 'memory']\n\
    [settings]\nany_text = 'text'\nany_number = 7\nany_flag = true\nany_texts = ['a', 'b']\n[[settings.any_table]]\nkey = 1.5\n";

fn folder(component: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("30-frozen.wasm"), component).unwrap();
    fs::write(folder.path().join("30-frozen.toml"), TOML).unwrap();
    folder
}

/// The component says what its cases say.
fn decides_as_it_did(component: &[u8]) {
    let folder = folder(component);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/frozen/cases.toml");
    let tried = try_file(&folder.path().join("30-frozen.wasm"), Some(&cases)).unwrap().unwrap();
    assert_eq!(tried.hooks, ["registration", "routing", "emergency", "observation", "configuration"]);
    assert_eq!(tried.imports.len(), 11, "every interface of 0.1.0: {:?}", tried.imports);
    let failed: Vec<&CaseResult> = tried.cases.iter().filter(|case| !case.passed()).collect();
    assert!(tried.cases.len() > 40 && failed.is_empty(), "{failed:#?}");
}

/// Why the component is refused.
fn refused(component: &[u8]) -> Rejection {
    let status = engine(folder(component).path(), &site()).status();
    let PolicyState::Refused(rejection) = &status[0].state else { panic!("{status:?}") };
    rejection.clone()
}

#[test]
fn the_frozen_component_of_0_1_0_decides_as_it_did() {
    decides_as_it_did(FROZEN);
}

#[test]
fn the_frozen_component_observes_and_remembers_as_it_did() {
    let (site, folder) = (site(), folder(FROZEN));
    let runner = engine(folder.path(), &site).runner(site.clone());
    let at = sip::Instant::from_unix_micros;
    block_on(runner.ended(&CallRecord {
        call_id: "c".to_owned(),
        kind: CallKind::Normal,
        caller: "desk-1".to_owned(),
        called: "1002".to_owned(),
        answered_by: Some("desk-2".to_owned()),
        began: at(1_000_000),
        answered: Some(at(2_000_000)),
        ended: at(3_000_000),
        status: 200,
        cause: "bye",
    }));
    let Decision::Refuse(refusal) = block_on(runner.route(&mut call(phone(&site, "desk-1"), "kept=ended"), &mut Vec::new())) else {
        panic!()
    };
    assert_eq!(refusal.phrase, "c normal desk-1 1002 desk-2 1000 2000 3000 200 bye");
}

/// The frozen component as if it had been built for another version: versions are as long in octets.
fn of_version(version: &str) -> Vec<u8> {
    let (from, to) = (b"@0.1.0".as_slice(), format!("@{version}"));
    let mut component = FROZEN.to_vec();
    let places: Vec<usize> = FROZEN.windows(from.len()).enumerate().filter(|(_, found)| *found == from).map(|(place, _)| place).collect();
    assert!(to.len() == from.len() && places.len() > 16, "{} places", places.len());
    for place in places {
        component[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    component
}

#[test]
fn a_component_for_a_later_version_that_uses_only_what_is_here_decides() {
    for version in ["0.1.1", "0.1.5"] {
        decides_as_it_did(&of_version(version));
    }
}

#[test]
fn a_component_for_an_incompatible_version_is_refused() {
    for version in ["0.2.0", "1.0.0"] {
        let rejection = refused(&of_version(version));
        assert!(rejection.reason.starts_with("it imports `holdfast:policy/"), "{rejection}");
        assert!(rejection.reason.ends_with(&format!("@{version}`, and this host speaks version 0.1.2 of the contract")), "{rejection}");
    }
}

/// Why a component is refused that imports this interface of version 0.1.5.
fn importing(interface: &str, functions: &str) -> Rejection {
    refused(&wat::parse_str(format!(r#"(component (import "holdfast:policy/{interface}@0.1.5" (instance {functions})))"#)).unwrap())
}

#[test]
fn a_function_that_this_host_does_not_have_is_named() {
    let known = r#"(export "longest-extension" (func (result u32)))"#;
    let later = r#"(export "queue-of" (func (param "id" string) (result (option string))))"#;
    let rejection = importing("directory", &format!("{known} {later}"));
    assert_eq!(rejection.reason, "it asks `directory.queue-of`, which version 0.1.2 of the contract, spoken by this host, does not have");
    assert_eq!(rejection.remedy, "build it without that, or run it on a host of version 0.1.5 or later");
    assert_eq!(importing("directory", known).reason, "it has none of the hooks: it exports nothing", "what is known is no obstacle");
}

#[test]
fn a_method_that_this_host_does_not_have_is_named() {
    let call = r#"(export "call" (type $call (sub resource))) (export "[method]call.call-id" (func (param "self" (borrow $call)) (result string)))"#;
    let body = r#"(export "[method]call.body" (func (param "self" (borrow $call)) (result string)))"#;
    let rejection = importing("calls", &format!("{call} {body}"));
    assert!(rejection.reason.starts_with("it asks `calls.call.body`, which version 0.1.2"), "{rejection}");
}

#[test]
fn functions_of_an_interface_that_this_host_does_not_have_are_named() {
    let rejection = importing("presence", r#"(export "state-of" (func (result bool))) (export "watch" (func))"#);
    assert!(rejection.reason.starts_with("it asks `presence.state-of` and `presence.watch`, which version 0.1.2"), "{rejection}");
}

#[test]
fn interfaces_of_two_versions_in_one_component_are_one_to_the_host() {
    let clock = |version: &str| format!(r#"(import "holdfast:policy/clock@{version}" (instance (export "now-ms" (func (result u64)))))"#);
    let component = wat::parse_str(format!("(component {} {})", clock("0.1.0"), clock("0.1.7"))).unwrap();
    assert_eq!(refused(&component).reason, "it has none of the hooks: it exports nothing");
}
