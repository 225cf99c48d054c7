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
    for word in ["serve", "check", "demo", "policy", "connect", "hangup", "settings", "openapi", "holdfast serve --config"] {
        assert!(text.contains(word), "--help does not mention `{word}`:\n{text}");
    }
}

#[test]
fn the_openapi_document_is_printed_for_people_and_for_programs() {
    let read = |arguments: &[&str]| -> (usize, serde_json::Value) {
        let output = holdfast(arguments);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().count(), serde_json::from_str(&text).unwrap())
    };
    let ((many, people), (one, programs)) = (read(&["openapi"]), read(&["openapi", "--json"]));
    assert_eq!((many > 100, one, &people), (true, 1, &programs));
    assert!(people["paths"]["/v1/endpoints/{id}"]["put"].is_object(), "{people}");
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

/// A shipped policy and its cases, as an author has them on the desk.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    gateway::policy::Engine::install_shipped(folder.path()).unwrap();
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/internal/cases.toml");
    std::fs::copy(cases, folder.path().join("30-internal.cases.toml")).unwrap();
    folder
}

#[test]
fn a_policy_is_checked_and_asked_its_cases() {
    let folder = desk();
    let file = folder.path().join("30-internal.wasm");
    let file = file.to_str().unwrap();
    let checked = holdfast(&["policy", "check", file]);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && text.contains("accepted") && text.contains("routing") && text.contains("holdfast:policy/directory@"),
        "{text}"
    );

    let asked = holdfast(&["policy", "test", file]);
    let text = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{text}");
    assert!(text.contains("pass  an extension rings") && text.contains("6 of 6 cases of `internal` passed"), "{text}");
}

#[test]
fn a_policy_that_says_something_else_fails_its_test() {
    let folder = desk();
    let cases = folder.path().join("30-internal.cases.toml");
    let text = std::fs::read_to_string(&cases).unwrap().replace("expect = \"route desk-2\"", "expect = \"route desk-1\"");
    std::fs::write(&cases, text).unwrap();
    let asked = holdfast(&["policy", "test", folder.path().join("30-internal.wasm").to_str().unwrap(), "--json"]);
    assert_eq!(asked.status.code(), Some(1));
    let rows: Vec<serde_json::Value> =
        String::from_utf8_lossy(&asked.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0]["passed"], false);
    assert_eq!((&rows[0]["expected"], &rows[0]["said"]), (&"route desk-1".into(), &"route desk-2".into()));
    assert!(rows.iter().any(|row| row["passed"] == true));
}

#[test]
fn what_is_no_policy_is_refused_with_reason_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-odd.wasm");
    std::fs::write(&file, "no component").unwrap();
    let checked = holdfast(&["policy", "check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(
        text.contains("refused") && text.contains("it is not a WebAssembly component") && text.contains("copy the component again"),
        "{text}"
    );
    let asked = holdfast(&["policy", "test", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&asked.stderr).contains("10-odd.cases.toml is not there"), "{asked:?}");
}

/// `policy test --watch` asks again when the cases change, and says so on one line a case with --json.
#[test]
fn a_watched_policy_is_tried_again_when_its_cases_change() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    gateway::policy::Engine::install_shipped(folder.path()).unwrap();
    let cases = folder.path().join("30-internal.cases.toml");
    let write = |name: &str| std::fs::write(&cases, format!("[[case]]\nname = \"{name}\"\nto = \"555\"\nexpect = \"pass\"\n")).unwrap();
    write("first");
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--json", "policy", "test", "--watch", "30-internal.wasm"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"case\":\"first\""));
    write("second");
    // A file that is seen half written is a case file without cases or with a mistake: nothing, or a line that says so.
    let second = lines.map_while(Result::ok).find(|line| line.contains("second"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(second.is_some());
}
