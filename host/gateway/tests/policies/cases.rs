//! Policies and the cases that they bring.

use crate::case::{call, engine, phone, site};
use expect_test::{Expect, expect};
use futures_executor::block_on;
use gateway::policy::{CaseResult, Engine, PolicyState, bench_file, try_file};
use std::{fs, path::Path, time::Duration};
use switch::decision::Decision;

const SITE: &str = "[[endpoint]]\nid = \"desk-1\"\nextension = \"1001\"\n[[endpoint]]\nid = \"desk-2\"\nextension = \"1002\"\n[[trunk]]\nname = \"provider\"\n";

fn case(expect: &str) -> String {
    format!("{SITE}[[case]]\nname = \"rings\"\nfrom = \"desk-1\"\nto = \"1002\"\nregistered = [\"desk-1\"]\nexpect = \"{expect}\"\n")
}

/// A folder with the shipped `internal` and its case file.
fn internal(cases: &str) -> tempfile::TempDir {
    let (shipped, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Engine::install_shipped(shipped.path()).unwrap();
    fs::copy(shipped.path().join("30-internal.wasm"), folder.path().join("30-internal.wasm")).unwrap();
    fs::write(folder.path().join("30-internal.cases.toml"), cases).unwrap();
    folder
}

#[test]
fn the_shipped_policies_pass_their_own_cases() {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    for (file, name, count) in
        [("10-emergency", "emergency", 5), ("20-licence", "licence", 3), ("30-internal", "internal", 6), ("40-external", "external", 10)]
    {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/{name}/cases.toml"));
        let tried = try_file(&folder.path().join(format!("{file}.wasm")), Some(&cases)).unwrap().unwrap();
        let failed: Vec<&CaseResult> = tried.cases.iter().filter(|case| !case.passed()).collect();
        assert!(failed.is_empty(), "{name}: {failed:#?}");
        assert_eq!(tried.cases.len(), count, "{name}");
    }
}

#[test]
fn a_component_whose_cases_fail_does_not_join_the_chain() {
    let (site, folder, later) = (site(), tempfile::tempdir().unwrap(), internal(&case("route desk-1")));
    let engine = engine(folder.path(), &site);
    for file in ["30-internal.cases.toml", "30-internal.wasm"] {
        fs::copy(later.path().join(file), folder.path().join(file)).unwrap();
    }
    engine.rescan().unwrap();
    let PolicyState::Refused(rejection) = &engine.status()[0].state else { panic!("{:?}", engine.status()) };
    expect!["1 of its 1 cases failed; `rings`: expected `route desk-1`, it said `route desk-2`; mend the component or 30-internal.cases.toml; `holdfast policy test` shows every case"].assert_eq(&rejection.to_string());
}

/// A restart must not take a policy from a site because somebody has spoilt its cases in the meantime.
#[test]
fn what_lies_there_at_the_start_runs_although_its_cases_fail() {
    let (site, folder) = (site(), internal(&case("route desk-1")));
    assert_eq!(engine(folder.path(), &site).status()[0].state, PolicyState::Running);
    // Whoever checks before is told.
    assert_eq!(Engine::check(folder.path(), site).unwrap().problems.len(), 1);
}

#[test]
fn cases_that_turn_wrong_keep_the_old_component_and_right_ones_let_the_new_one_in() {
    let (site, folder) = (site(), internal(&case("route desk-2")));
    let engine = engine(folder.path(), &site);
    assert_eq!(engine.status()[0].state, PolicyState::Running, "{:?}", engine.status());
    let runner = engine.runner(site.clone());

    fs::write(folder.path().join("30-internal.cases.toml"), case("pass")).unwrap();
    engine.rescan().unwrap();
    assert!(matches!(engine.status()[0].state, PolicyState::Outdated(_)), "{:?}", engine.status());
    let decision = block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
    assert!(matches!(decision, Decision::Route(_)), "what ran goes on: {decision:?}");

    fs::write(folder.path().join("30-internal.cases.toml"), case("route desk-2")).unwrap();
    engine.rescan().unwrap();
    assert_eq!(engine.status()[0].state, PolicyState::Running);
}

/// Those of the file, and of one case, take the place of the operator's; the configuration hook is asked like any other.
#[test]
fn cases_may_bring_settings_and_judge_them() {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    fs::write(folder.path().join("40-external.toml"), "[settings]\noutside_prefix = \"7\"\n").unwrap();
    let cases = folder.path().join("some.toml");
    let out = "from = \"desk-1\"\nto = \"9442079460000\"\nregistered = [\"desk-1\"]";
    let text = format!(
        "[settings]\noutside_prefix = \"9\"\n{SITE}\
         [[case]]\nname = \"of the file\"\n{out}\nexpect = \"route provider/442079460000 and next on unreachable\"\n\
         [[case]]\nname = \"of the case\"\n{out}\nsettings = {{ outside_prefix = \"8\" }}\nexpect = \"refuse 404 Not Found\"\n\
         detail = \"9442079460000 is neither an extension nor an outside number\"\n\
         [[case]]\nname = \"another detail\"\n{out}\nsettings = {{ outside_prefix = \"8\" }}\nexpect = \"refuse 404 Not Found\"\ndetail = \"x\"\n\
         [[case]]\nname = \"good\"\nhook = \"configuration\"\nexpect = \"accept\"\n\
         [[case]]\nname = \"bad\"\nhook = \"configuration\"\nsettings = {{ outside_prefix = \"x\" }}\n\
         expect = \"refuse settings.outside_prefix: should be digits only\"\n"
    );
    fs::write(&cases, text).unwrap();
    let tried = try_file(&folder.path().join("40-external.wasm"), Some(&cases)).unwrap().unwrap();
    let passed: Vec<bool> = tried.cases.iter().map(CaseResult::passed).collect();
    assert_eq!(passed, [true, true, false, true, true], "{:#?}", tried.cases);
    // A policy without that hook has not accepted anything.
    let internal = try_file(&folder.path().join("30-internal.wasm"), Some(&cases)).unwrap().unwrap();
    assert!(!internal.cases[3].passed(), "{:#?}", internal.cases);
}

#[test]
fn every_case_is_timed() {
    let folder = internal(&case("route desk-2"));
    let (file, cases) = (folder.path().join("30-internal.wasm"), folder.path().join("30-internal.cases.toml"));
    let mut heard = Vec::new();
    let benched = bench_file(&file, &cases, Duration::from_millis(20), &mut |done| heard.push(done)).unwrap().unwrap();
    let [row] = benched.cases.as_slice() else { panic!("{benched:?}") };
    assert_eq!(row.name, "rings");
    for latency in [benched.instance, row.fresh, row.reused] {
        assert!(latency.samples > 0 && latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us, "{benched:?}");
    }
    assert!(benched.memory_bytes >= 65_536, "{benched:?}");
    assert!(heard.is_sorted() && heard.last() == Some(&1.0), "{heard:?}");

    // Nothing to time, and a policy that fails.
    fs::write(&cases, SITE).unwrap();
    assert!(bench_file(&file, &cases, Duration::ZERO, &mut |_| ()).unwrap().is_err());
    fs::write(&cases, "[[case]]\nname = \"help\"\nhook = \"emergency\"\nexpect = \"route provider\"\n").unwrap();
    let problem = bench_file(&file, &cases, Duration::ZERO, &mut |_| ()).unwrap().unwrap_err();
    assert!(problem.reason.contains("its case `help`"), "{problem:?}");
}

/// What is wrong with a case file.
fn says(cases: &str, expected: Expect) {
    let folder = internal(cases);
    let problem =
        try_file(&folder.path().join("30-internal.wasm"), Some(&folder.path().join("30-internal.cases.toml"))).unwrap().unwrap_err();
    assert_eq!(problem.file, folder.path().join("30-internal.cases.toml"));
    expected.assert_eq(&problem.reason);
}

#[test]
fn a_case_file_with_a_mistake_is_told_where_it_is() {
    says(
        "[[case]]\nnmae = \"x\"\n",
        expect![[r#"
        TOML parse error at line 2, column 1
          |
        2 | nmae = "x"
          | ^^^^
        unknown field `nmae`, expected one of `name`, `hook`, `from`, `to`, `caller_number`, `caller_name`, `location`, `at`, `utc_offset_minutes`, `registered`, `emergency_only`, `degraded`, `down`, `headers`, `settings`, `expect`, `detail`"#]],
    );
    says(
        "[[case]]\nname = \"x\"\nfrom = \"desk-9\"\nexpect = \"pass\"\n",
        expect!["case `x`: there is no [[endpoint]] with id `desk-9` in this file"],
    );
    says(
        "[[case]]\nname = \"x\"\nfrom = \"trunk nobody\"\nexpect = \"pass\"\n",
        expect!["case `x`: there is no [[trunk]] `nobody` in this file"],
    );
    says(
        "[[case]]\nname = \"x\"\nregistered = [\"desk-9\"]\nexpect = \"pass\"\n",
        expect!["case `x`: there is no [[endpoint]] with id `desk-9` in this file"],
    );
    says(
        "[[case]]\nname = \"x\"\nhook = \"registration\"\nexpect = \"pass\"\n",
        expect!["case `x`: `from` must say which endpoint registers"],
    );
    says(
        "[[case]]\nname = \"x\"\nat = 12:00:00\nexpect = \"pass\"\n",
        expect!["case `x`: `at` must be a date with a time, like 2026-01-05T12:00:00Z"],
    );
    says(
        "[[case]]\nname = \"x\"\ndown = [\"nobody\"]\nexpect = \"pass\"\n",
        expect!["case `x`: there is no [[trunk]] `nobody` in this file"],
    );
    says(
        "[[case]]\nname = \"x\"\nutc_offset_minutes = 1441\nexpect = \"pass\"\n",
        expect!["case `x`: `utc_offset_minutes` must be from -1440 to 1440"],
    );
    says(&format!("{SITE}{}", "[[case]]\nname = \"x\"\nexpect = \"pass\"\n".repeat(1001)), expect!["it has 1001 cases, more than 1000"]);
}

#[test]
fn a_fault_is_what_the_policy_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-zoo.wasm");
    fs::copy(env!("HOLDFAST_ZOO"), &file).unwrap();
    fs::write(folder.path().join("10-zoo.toml"), "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n")
        .unwrap();
    let cases = folder.path().join("some.toml");
    fs::write(&cases, "[[trunk]]\nname = \"provider\"\n[[case]]\nname = \"t\"\nto = \"trap\"\nexpect = \"pass\"\n[[case]]\nname = \"p\"\nto = \"pass\"\nexpect = \"pass\"\n").unwrap();
    let tried = try_file(&file, Some(&cases)).unwrap().unwrap();
    let said: Vec<(&str, bool)> = tried.cases.iter().map(|case| (case.said.as_str(), case.passed())).collect();
    assert_eq!(said, [("trapped: wasm trap: wasm `unreachable` instruction executed", false), ("pass", true)]);
}

/// The SDK's test harness is asked the same cases, in `tests/guests/zoo`.
#[test]
fn answers_that_break_the_contract_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-zoo.wasm");
    fs::copy(env!("HOLDFAST_ZOO"), &file).unwrap();
    fs::write(folder.path().join("10-zoo.toml"), "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n")
        .unwrap();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/zoo/cases.toml");
    let tried = try_file(&file, Some(&cases)).unwrap().unwrap();
    let failed: Vec<&CaseResult> = tried.cases.iter().filter(|case| !case.passed()).collect();
    assert!(tried.cases.len() > 25 && failed.is_empty(), "{failed:#?}");
}
