//! The program as a user meets it: its help, its answers to wrong arguments. (Whoever tests the running program asks cargo for this file, because
//! with it cargo builds `holdfast`.)

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
