//! One policy in five languages, each built by its own script and judged by one case file; what `holdfast policy new` writes, built and tried; and the guide,
//! run as it stands. What they are built with is brought by `./.ci/setup guests`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A command as a user would type it: `holdfast` and the compilers are found, and nothing of the cargo that runs this test is inherited.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let holdfast = Path::new(env!("CARGO_BIN_EXE_holdfast")).parent().unwrap();
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let tools = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from).join("holdfast-tools/guests/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [holdfast.to_owned(), tools].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        if (name.starts_with("CARGO_") && name != "CARGO_HOME") || ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTDOCFLAGS"].contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    if let Some(compiler) = std::env::var_os("HOLDFAST_GUEST_RUSTC") {
        command.env("RUSTC", compiler);
    }
    command.env("PATH", std::env::join_paths(path).unwrap()).stdin(Stdio::null());
    command
}

fn succeeded(what: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{what} failed\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs `holdfast policy test` and returns what was said to each case.
fn test(component: &Path, cases: &Path) -> Vec<(String, String)> {
    let output = command("holdfast").args(["--json", "policy", "test"]).arg(component).arg("--cases").arg(cases).output().unwrap();
    let text = succeeded(&format!("{}", component.display()), &output);
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["case"].as_str().unwrap().to_owned(), row["said"].as_str().unwrap().to_owned())).collect()
}

/// The names of the cases of a file.
fn names(cases: &Path) -> Vec<String> {
    let table: toml::Table = fs::read_to_string(cases).unwrap().parse().unwrap();
    table["case"].as_array().unwrap().iter().map(|case| case["name"].as_str().unwrap().to_owned()).collect()
}

/// The example in one language: built by its script, it says what the shared cases expect. So all of them say the same.
fn judged(language: &str) {
    let folder = root().join("examples/business-hours");
    let cases = folder.join("cases.toml");
    succeeded("build", &command(folder.join(language).join("build")).output().unwrap());
    let said = test(&folder.join(language).join("business-hours.wasm"), &cases);
    assert_eq!(said.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names(&cases));
}

/// A new project: written, built and tried with the commands that `policy new` prints, by a shell in another place.
fn begun(language: &str) {
    let folder = tempfile::tempdir().unwrap();
    let new =
        |name: &str| command("holdfast").args(["policy", "new", name, "--lang", language]).current_dir(folder.path()).output().unwrap();
    let text = succeeded("policy new", &new("my-first"));
    let line = text.lines().last().unwrap().trim();
    assert!(line.starts_with("my-first/build && holdfast policy test "), "{text}");
    let shown = succeeded(line, &command("sh").args(["-c", line]).current_dir(folder.path()).output().unwrap());
    let count = names(&folder.path().join("my-first/my-first.cases.toml")).len();
    assert!(shown.contains(&format!("{count} of {count} cases of `my-first` passed")), "{shown}");
    let again = new("my-first");
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("nothing of it is overwritten"));
}

#[test]
fn rust() {
    judged("rust");
    begun("rust");
}

#[test]
fn c() {
    judged("c");
    begun("c");
}

#[test]
fn javascript() {
    judged("javascript");
    begun("javascript");
}

#[test]
fn python() {
    judged("python");
    begun("python");
}

#[test]
fn go() {
    judged("go");
    begun("go");
}

#[test]
fn a_bad_name_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = command("holdfast").args(["policy", "new", "../Night", "--lang", "c"]).current_dir(folder.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("small letters and digits"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The commands of a page, in the order in which they stand there.
fn blocks(page: &str) -> String {
    let mut commands = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn the_guide_works_as_it_stands() {
    let commands = blocks(&fs::read_to_string(root().join("plugins/ten-minutes.md")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    // The first command that fails ends it; whatever it has started ends with it.
    let script = format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null; cat gateway.log' EXIT\n{commands}");
    let output = command("bash").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    let text = succeeded("the guide", &output);
    let mut rest = text.as_str();
    // What the page says that one sees, in its order.
    for wanted in [
        "1001 calls 0900123456: 503 No outside line",
        "cases of `my-first` passed",
        "1001 calls 0900123456: 403 Number barred",
        "403 Not today",
    ] {
        let at = rest.find(wanted).unwrap_or_else(|| panic!("`{wanted}` is missing or in the wrong place:\n{text}"));
        rest = &rest[at..];
    }
}
