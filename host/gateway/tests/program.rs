//! The program as a user meets it: its help, its answers to wrong arguments. (Whoever tests the running program asks cargo for this file, because
//! with it cargo builds `holdfast`.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn holdfast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast")).args(arguments).output().unwrap()
}

#[test]
fn help_names_every_command_and_gives_examples() {
    let output = holdfast(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for word in ["serve", "check", "demo", "holdfast serve --config"] {
        assert!(text.contains(word), "--help does not mention `{word}`:\n{text}");
    }
}

#[test]
fn an_unknown_command_is_an_error() {
    let output = holdfast(&["sreve"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("sreve"), "the error names what was not understood");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let output = holdfast(&["check", "--config", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&text).contains("no-such-file.toml"));
}

#[test]
fn the_demonstration_shows_a_call() {
    let output = holdfast(&["demo"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\u{1b}'), "no colours where no terminal listens");
    // In this order, whatever stands between.
    let mut rest = &*text;
    for wanted in [
        "REGISTER",
        "401 Unauthorized",
        "licence: ",
        "INVITE",
        "407 ",
        "internal: ",
        "180 Ringing",
        "200 OK",
        "ACK",
        "BYE",
        "The call worked.",
    ] {
        let at = rest.find(wanted).unwrap_or_else(|| panic!("`{wanted}` is missing or in the wrong place:\n{text}"));
        rest = rest.get(at..).unwrap();
    }
}

#[test]
fn the_demonstration_for_programs() {
    let output = holdfast(&["demo", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let events: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let asked: Vec<&str> =
        events.iter().flat_map(|e| e["decisions"].as_array().into_iter().flatten()).filter_map(|d| d["policy"].as_str()).collect();
    for policy in ["licence", "internal"] {
        assert!(asked.contains(&policy), "{policy} decided nothing: {asked:?}");
    }
    let result = events.last().unwrap();
    assert_eq!((result["event"].as_str(), result["ok"].as_bool()), (Some("result"), Some(true)));
}
