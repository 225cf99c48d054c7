//! What the compiler tells an author whose policy lacks something: the hook, the trait, and what to write. Each mistake is a few lines of a policy, compiled
//! natively against the SDK that this test was built with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// The library of the SDK, as cargo built it for this test: the newest in the folder of the test program.
fn library(folder: &Path) -> PathBuf {
    let built = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let ours = files.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libholdfast_policy-") && name.ends_with(".rlib")
    });
    ours.max_by_key(|path| built(path)).unwrap()
}

/// What the compiler says to a policy.
fn told(policy: &str) -> String {
    let program = env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    let source = tempfile::NamedTempFile::with_suffix(".rs").unwrap();
    fs::write(source.path(), format!("#![allow(unused)]\nuse holdfast_policy::*;\nstruct Night;\n{policy}\n")).unwrap();
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-name=night", "--crate-type=lib", "--emit=metadata", "-o"])
        .arg(source.path().with_extension("rmeta"))
        .arg("--extern")
        .arg(format!("holdfast_policy={}", library(folder).display()))
        .arg("-L")
        .arg(folder)
        .arg(source.path())
        .output()
        .unwrap();
    let _metadata = fs::remove_file(source.path().with_extension("rmeta"));
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn says(policy: &str, sentences: &[&str]) {
    let told = told(policy);
    for sentence in sentences {
        assert!(told.contains(sentence), "`{sentence}` is not in:\n{told}");
    }
}

const ROUTING: &str = "impl RoutingPolicy for Night { fn route(_: CallFacts, _: &Call) -> Decision { Decision::pass() } }\n";

#[test]
fn a_policy_without_a_mistake_compiles() {
    assert_eq!(told(&format!("{ROUTING}export!(Night: routing);")), "");
}

#[test]
fn a_hook_that_is_not_implemented_is_named_with_its_trait_and_function() {
    for (hook, policy, function) in [
        ("registration", "RegistrationPolicy", "fn admit(facts: RegistrationFacts, registration: &Registration) -> Admission"),
        ("routing", "RoutingPolicy", "fn route(facts: CallFacts, call: &Call) -> Decision"),
        ("emergency", "EmergencyPolicy", "fn route(facts: CallFacts, call: &Call) -> EmergencyPlan"),
        ("observation", "ObservationPolicy", "fn ended(call: CallRecord)"),
        ("configuration", "ConfigurationPolicy", "fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>>"),
    ] {
        says(
            &format!("export!(Night: {hook});"),
            &[
                &format!("`Night` does not have the hook `{hook}`: it does not implement `{policy}`"),
                &format!("write `impl {policy} for Night {{ {function} {{ … }} }}`, or take `{hook}` out of `export!`"),
            ],
        );
    }
}

#[test]
fn a_hook_that_does_not_exist_is_told_with_those_that_do() {
    let all = "`night` is not a hook; the hooks are registration, routing, emergency, observation and configuration";
    says("export!(Night: night);", &[all]);
    says(&format!("{ROUTING}export!(Night: routing, night);"), &[all]);
}

#[test]
fn an_export_of_nothing_is_told_with_what_to_write() {
    says("export!(Night);", &["`Night` is exported without a hook: write `export!(Night: routing);`"]);
    says("export!(Night:);", &["`Night` is exported without a hook: write `export!(Night: routing);`"]);
    says("export!();", &["write `export!(Type: hook, hook);` with one or more of registration, routing"]);
    says("export!(Night, routing);", &["write `export!(Type: hook, hook);` with one or more of registration, routing"]);
}

#[test]
fn a_hook_that_is_named_twice_is_told() {
    says(&format!("{ROUTING}export!(Night: routing, routing);"), &["the hook `routing` is named twice"]);
}

#[test]
fn a_test_of_what_is_not_exported_is_told_what_to_export() {
    says(
        &format!("{ROUTING}fn test() {{ testing::cases::<Night>(\"cases.toml\") }}"),
        &["`Night` is not exported as a policy", "write `export!(Night: routing);` with its hooks"],
    );
}
