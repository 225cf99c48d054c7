//! Decisions written down, and made again by another component.

use crate::case::{NOW, bind, call, engine, flow, help, of_kind, phone, registration, site};
use futures_executor::block_on;
use gateway::{
    observe::Counters,
    policy::{Candidate, Engine, Runner},
    record::{CaseFile, DecisionLine, Field, Line, Recorder, Settings, Summary, list, read, replay, story},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use switch::{
    directory::Directory,
    facts::{CallKind, Caller},
    site::Site,
    trunk::Sign,
    zone::Zone,
};

/// The shipped policies with a recorder that writes into `record` of the same folder.
fn recorded(site: &Arc<Site>, settings: Settings, decide: impl FnOnce(&Runner)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    let engine = engine(folder.path(), site);
    let counters = Arc::new(Counters::default());
    let recorder = Recorder::start(&folder.path().join("record"), settings, Arc::clone(&counters)).unwrap().unwrap();
    engine.record_to(recorder);
    let runner = engine.runner(Arc::clone(site));
    decide(&runner);
    // The last who shares the recorder waits until everything is written.
    drop((runner, engine));
    assert!(counters.read().dropped.is_empty(), "{:?}", counters.read());
    folder
}

fn files(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    list(&folder.path().join("record"))
}

fn lines(files: &[PathBuf]) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in files {
        read(file, None, |_, line| {
            lines.push(line.unwrap());
            true
        })
        .unwrap();
    }
    lines
}

fn decisions(files: &[PathBuf]) -> Vec<DecisionLine> {
    let decision = |line| if let Line::Decision(line) = line { Some(*line) } else { None };
    lines(files).into_iter().filter_map(decision).collect()
}

/// A day of a small site.
fn day(site: &Arc<Site>) -> impl FnOnce(&Runner) + '_ {
    |runner| {
        for id in ["desk-1", "desk-2"] {
            block_on(runner.admit(&registration(site, id, ""), &mut Vec::new()));
            bind(site, id, false);
        }
        bind(site, "door", true);
        for (from, called) in [("desk-1", "1002"), ("desk-1", "1003"), ("desk-2", "+442079460000"), ("desk-1", "9999"), ("door", "1001")] {
            block_on(runner.route(&mut call(phone(site, from), called), &mut Vec::new()));
        }
        for called in ["+442030001001", "+4420300019", "112233"] {
            block_on(runner.route(&mut call(Caller::Trunk("provider".to_owned()), called), &mut Vec::new()));
        }
        block_on(runner.route(&mut call(Caller::Unknown, "1001"), &mut Vec::new()));
        runner.emergency(&help(phone(site, "desk-1"), "112"), &mut Vec::new()).unwrap();
        runner.emergency(&of_kind(CallKind::EmergencyTest, Caller::Unknown, "933"), &mut Vec::new()).unwrap();
    }
}

fn again(files: &[PathBuf], component: &Path, policy: &str, cases: &Mutex<CaseFile>) -> Summary {
    let candidate = Candidate::open(component, false).unwrap().unwrap();
    let choose = |line: &DecisionLine, _: &_| cases.lock().unwrap().add(line);
    replay(files, &candidate, policy, 2, &choose, |_| {}).unwrap()
}

fn zoo(folder: &Path) -> PathBuf {
    let file = folder.join("zoo.wasm");
    fs::write(&file, include_bytes!(concat!(env!("OUT_DIR"), "/zoo.wasm"))).unwrap();
    fs::write(
        file.with_extension("toml"),
        "grants = [\"directory\", \"settings\", \"log\", \"clock\", \"memory\", \"licences\", \"trunks\"]\n",
    )
    .unwrap();
    file
}

#[test]
fn the_component_that_decided_decides_the_same_again_without_the_site() {
    let site = site();
    let folder = recorded(&site, Settings::default(), day(&site));
    let files = files(&folder);
    let (mut decided, mut cases) = (0, 0);
    for (policy, component) in [
        ("emergency", "10-emergency.wasm"),
        ("licence", "20-licence.wasm"),
        ("internal", "30-internal.wasm"),
        ("external", "40-external.wasm"),
    ] {
        let file = Mutex::new(CaseFile::default());
        let summary = again(&files, &folder.path().join(component), policy, &file);
        assert_eq!((summary.differences(), summary.same), (0, summary.decisions), "{policy}: {summary:?}");
        assert!(summary.decisions >= 2 && summary.skipped.is_empty(), "{policy}: {summary:?}");
        decided += summary.decisions;

        // What a case file can say of them, the component says in the little site of the file, too.
        let file = file.into_inner().unwrap();
        let text = folder.path().join(format!("{policy}.recorded.cases.toml"));
        fs::write(&text, file.text().unwrap()).unwrap();
        let tried = gateway::policy::try_file(&folder.path().join(component), Some(&text)).unwrap().unwrap();
        let failed: Vec<_> = tried.cases.iter().filter(|case| !case.passed()).collect();
        assert!(failed.is_empty(), "{policy}: {failed:?}\n{}", fs::read_to_string(&text).unwrap());
        cases += tried.cases.len();
    }
    assert_eq!(decided, decisions(&files).len() as u64);
    assert!(cases >= 8, "{cases}");
}

/// The site's clock and how trunks stand are in the record: nothing of them is asked again.
#[test]
fn the_clock_and_the_trunks_of_then_decide_again() {
    let site = site();
    let mut directory = Directory::clone(&site.directory());
    directory.zone = Zone::new(-300, []);
    site.replace_directory(directory, NOW);
    for (trunk, signs) in [("provider", 2), ("backup", 1)] {
        site.trunks.set_flows(trunk, vec![flow()]);
        (0..signs).for_each(|_| site.trunks.note(trunk, flow(), Sign::Silent, NOW));
    }
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    // By UTC the calls of these tests come on a Tuesday evening.
    let settings = "[settings]\ndefault_right = 'staff'\n[[settings.right]]\nname = 'staff'\nhours = ['tu 17:00-18:00']\n\
                    [[settings.trunk_group]]\nname = 'all'\ntrunks = ['provider', 'backup']\norder = 'fewest-calls'\n\
                    [[settings.rule]]\nnumber = '%'\ntrunks = ['all']\n";
    fs::write(folder.path().join("40-external.toml"), settings).unwrap();
    let engine = engine(folder.path(), &site);
    let recorder = Recorder::start(&folder.path().join("record"), Settings::default(), Arc::default()).unwrap().unwrap();
    engine.record_to(recorder);
    let runner = engine.runner(Arc::clone(&site));
    bind(&site, "desk-2", false);
    block_on(runner.route(&mut call(phone(&site, "desk-2"), "02079460000"), &mut Vec::new()));
    drop((runner, engine));

    let files = files(&folder);
    let line = decisions(&files).into_iter().find(|line| line.policy == "external").unwrap();
    let told = |question: &str, argument: &[&str]| {
        line.asked.iter().find(|(asked, with, _)| asked == question && with == argument).map(|(_, _, told)| told.clone())
    };
    assert_eq!(told("clock.utc-offset-minutes", &[]), Some((-300).into()));
    assert_eq!(told("trunks.standing-of", &["provider"]), Some("down".into()));
    assert_eq!(told("trunks.standing-of", &["backup"]), Some("degraded".into()));
    assert!(line.said.starts_with("route backup/02079460000 and next on unreachable, then provider/"), "{}", line.said);

    let (component, cases) = (folder.path().join("40-external.wasm"), Mutex::new(CaseFile::default()));
    let summary = again(&files, &component, "external", &cases);
    assert_eq!((summary.same, summary.differences()), (1, 0), "{summary:?}");
    // A case of it has both, too.
    let text = folder.path().join("recorded.cases.toml");
    fs::write(&text, cases.into_inner().unwrap().text().unwrap()).unwrap();
    let tried = gateway::policy::try_file(&component, Some(&text)).unwrap().unwrap();
    let written = fs::read_to_string(&text).unwrap();
    assert!(tried.cases.len() == 1 && tried.cases[0].passed(), "{:?}\n{written}", tried.cases);
    assert!(written.contains("utc_offset_minutes = -300") && written.contains("degraded = [\"backup\"]"), "{written}");
}

#[test]
fn what_is_written_of_a_decision_is_what_is_read_of_it() {
    let site = site();
    let folder = recorded(&site, Settings::default(), day(&site));
    for file in files(&folder) {
        for text in fs::read_to_string(file).unwrap().lines() {
            let written: serde_json::Value = serde_json::from_str(text).unwrap();
            let read = Line::read(text.as_bytes()).unwrap().unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), written);
        }
    }
}

#[test]
fn a_record_names_what_was_told_asked_and_said_and_by_whom() {
    let site = site();
    let folder = recorded(&site, Settings::default(), day(&site));
    let all = decisions(&files(&folder));
    let line = all.iter().find(|line| line.policy == "internal" && line.said == "route desk-2").unwrap();
    let facts = line.call.as_ref().unwrap();
    assert_eq!((line.hook.as_str(), line.call_id.as_str(), line.at_us), ("routing", "the-call", 1_700_000_000_000_000));
    assert_eq!((facts.called.as_str(), facts.caller.to_string().as_str(), facts.location.as_deref()), ("1002", "desk-1", Some("hq")));
    assert!(
        facts.head.starts_with("INVITE sip:1002@sip.example SIP/2.0\r\n") && facts.head.contains("X-Odd: a value\r\n"),
        "{}",
        facts.head
    );
    let asked = line.asked.iter().find(|(question, ..)| question == "directory.endpoint-by-extension").unwrap();
    assert_eq!((asked.1.as_slice(), &asked.2["id"]), (["1002".to_owned()].as_slice(), &serde_json::json!("desk-2")));
    let refused = all.iter().find(|line| line.said.starts_with("refuse ")).unwrap();
    assert!(!refused.why.is_empty(), "{refused:?}");
    let named = lines(&files(&folder)).into_iter().filter(|line| matches!(line, Line::Policy(_))).count();
    assert_eq!(named, 4);
    assert!(all.iter().all(|line| line.hash.len() == 64 && line.took_us > 0.0 && !line.cut));
    let told = story(&files(&folder), "the-call").unwrap().unwrap();
    assert!(told.decisions.len() >= 10 && told.call.is_none());
    assert_eq!(story(&files(&folder), "no such call").unwrap(), None);
}

#[test]
fn another_component_is_compared_decision_by_decision() {
    let site = site();
    let folder = recorded(&site, Settings::default(), |runner| {
        for id in ["desk-1", "desk-2"] {
            bind(&site, id, false);
        }
        for called in ["1002", "trap", "remember", "spin"] {
            block_on(runner.route(&mut call(phone(&site, "desk-1"), called), &mut Vec::new()));
        }
    });
    let summary = again(&files(&folder), &zoo(folder.path()), "internal", &Mutex::default());
    assert_eq!(summary.decisions, 4, "{summary:?}");
    // The zoo passes what it does not know, traps and spins when it is told to, and asks its memory, which `internal` never did.
    let changed = &summary.changed["route -> pass"];
    assert_eq!((changed.count, changed.examples[0].old.as_str(), changed.examples[0].new.as_str()), (1, "route desk-2", "pass"));
    assert_eq!(summary.faulted.iter().map(|(kind, group)| (kind.as_str(), group.count)).collect::<Vec<_>>(), [("late", 1), ("trap", 1)]);
    assert_eq!(summary.unanswered["memory.add"].count, 1, "{summary:?}");
    assert_eq!(summary.differences(), 4);
    let nothing = again(&files(&folder), &zoo(folder.path()), "zoo", &Mutex::default());
    assert_eq!((nothing.decisions, nothing.others["internal"]), (0, 4));
}

#[test]
fn settings_come_from_the_record_unless_the_candidate_brings_its_own() {
    let site = site();
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    fs::write(folder.path().join("40-external.toml"), "[settings]\noutside_prefix = \"0\"\n").unwrap();
    let engine = engine(folder.path(), &site);
    let recorder = Recorder::start(&folder.path().join("record"), Settings::default(), Arc::default()).unwrap().unwrap();
    engine.record_to(recorder);
    let runner = engine.runner(Arc::clone(&site));
    bind(&site, "desk-1", false);
    block_on(runner.route(&mut call(phone(&site, "desk-1"), "0442079460000"), &mut Vec::new()));
    drop((runner, engine));
    let elsewhere = tempfile::tempdir().unwrap();
    let component = elsewhere.path().join("40-external.wasm");
    fs::copy(folder.path().join("40-external.wasm"), &component).unwrap();
    let summary = again(&files(&folder), &component, "external", &Mutex::default());
    assert_eq!((summary.same, summary.differences()), (1, 0), "{summary:?}");
    fs::write(component.with_extension("toml"), "[settings]\noutside_prefix = \"7\"\n").unwrap();
    let summary = again(&files(&folder), &component, "external", &Mutex::default());
    assert_eq!(summary.differences(), 1, "{summary:?}");
}

#[test]
fn masked_fields_are_nowhere_in_the_files_and_such_decisions_are_not_made_again() {
    let site = site();
    let settings = Settings { mask: vec![Field::Called, Field::CallerName, Field::Head, Field::Address], ..Settings::default() };
    let folder = recorded(&site, settings, day(&site));
    let text: String = files(&folder).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for secret in ["+442079460000", "Reception", "10.1.0.7", "INVITE"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let summary = again(&files(&folder), &folder.path().join("30-internal.wasm"), "internal", &Mutex::default());
    assert_eq!(summary.skipped["parts of it are masked"], summary.decisions);
}

#[test]
fn full_files_give_way_and_each_stands_alone() {
    let site = site();
    let settings = Settings { file_bytes: 4096, files: 3, ..Settings::default() };
    let folder = recorded(&site, settings, |runner| {
        bind(&site, "desk-1", false);
        for _ in 0..50 {
            block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
        }
    });
    let files = files(&folder);
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(matches!(lines(std::slice::from_ref(file)).first(), Some(Line::Policy(_))), "{}", file.display());
        let summary = again(std::slice::from_ref(file), &folder.path().join("30-internal.wasm"), "internal", &Mutex::default());
        assert!(summary.decisions > 0 && summary.differences() == 0, "{summary:?}");
    }
}

#[test]
fn a_crash_costs_the_unfinished_line_and_no_other() {
    let site = site();
    let folder = recorded(&site, Settings::default(), day(&site));
    let file = files(&folder).pop().unwrap();
    let whole = decisions(std::slice::from_ref(&file)).len();
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() - 40]).unwrap();
    let counters = Arc::new(Counters::default());
    drop(Recorder::start(&folder.path().join("record"), Settings::default(), counters).unwrap());
    let (mut good, mut bad) = (0, 0);
    read(&file, None, |_, line| {
        match line {
            Ok(Line::Decision(_)) => good += 1,
            Ok(_) => {}
            Err(_) => bad += 1,
        }
        true
    })
    .unwrap();
    assert_eq!((good, bad), (whole - 1, 1));
    assert!(fs::read(&file).unwrap().ends_with(b"\n"), "what is written next begins a line of its own");
}

#[test]
fn a_sample_has_all_decisions_of_a_call_or_none() {
    let site = site();
    let folder = recorded(&site, Settings { one_of: 1_000_000, ..Settings::default() }, |runner| {
        block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
    });
    assert_eq!(decisions(&files(&folder)), []);
    assert!(Recorder::start(folder.path(), Settings { one_of: 0, ..Settings::default() }, Arc::default()).unwrap().is_none());
}

#[test]
fn what_cannot_be_written_in_time_is_left_out_and_counted_and_no_decision_waits_for_it() {
    let site = site();
    bind(&site, "desk-1", false);
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    let engine = engine(folder.path(), &site);
    // Where the record should be written is a pipe that nobody reads yet: the writer stands still.
    let record = folder.path().join("record");
    fs::create_dir(&record).unwrap();
    let pipe = record.join("decisions.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let counters = Arc::new(Counters::default());
    engine.record_to(Recorder::start(&record, Settings::default(), Arc::clone(&counters)).unwrap().unwrap());
    let runner = engine.runner(Arc::clone(&site));
    let decisions = 10_000;
    for _ in 0..decisions {
        let decided = block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
        assert!(matches!(decided, switch::decision::Decision::Route(_)));
    }
    let lost = counters.read().dropped["decision-not-recorded"];
    assert!(lost > 0 && lost < decisions, "{lost}");
    let reader = std::thread::spawn(move || fs::read_to_string(pipe).unwrap());
    drop((runner, engine));
    let written = reader.join().unwrap().lines().filter(|line| line.contains(r#""kind":"decision""#)).count();
    assert_eq!(written as u64 + lost, decisions);
}

#[test]
fn on_a_full_disk_lines_are_lost_and_counted_and_no_decision_fails() {
    let site = site();
    bind(&site, "desk-1", false);
    let folder = tempfile::tempdir().unwrap();
    Engine::install_shipped(folder.path()).unwrap();
    let engine = engine(folder.path(), &site);
    let record = folder.path().join("record");
    fs::create_dir(&record).unwrap();
    // Whatever is written there finds no space on the device.
    std::os::unix::fs::symlink("/dev/full", record.join("decisions.jsonl")).unwrap();
    let counters = Arc::new(Counters::default());
    engine.record_to(Recorder::start(&record, Settings::default(), Arc::clone(&counters)).unwrap().unwrap());
    let runner = engine.runner(Arc::clone(&site));
    for _ in 0..200 {
        let decided = block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut Vec::new()));
        assert!(matches!(decided, switch::decision::Decision::Route(_)));
    }
    drop((runner, engine));
    assert!(counters.read().dropped["decision-not-written"] > 0);
}
