//! Policies that misbehave while they decide: what the host makes of it, and that it goes on.

use crate::case::{bind, call, engine, help, phone, registration, site, told};
use futures_executor::block_on;
use gateway::policy::{Engine, Runner, Step};
use std::rc::Rc;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use switch::{
    decision::{Admission, Amendments, Decision, PolicyFault, WhenFull},
    facts::{CallKind, Caller},
    record::CallRecord,
    site::Site,
};

const ZOO: &str = env!("HOLDFAST_ZOO");
const GRANTS: &str = "grants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n";

/// The zoo as `10-zoo.wasm`, with more lines in its file, and whatever `more` puts beside it.
fn zoo(site: &Arc<Site>, toml: &str, more: &[(&str, &str)]) -> (tempfile::TempDir, Arc<Engine>, Rc<Runner>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [("10-zoo", toml)].iter().chain(more) {
        fs::copy(ZOO, folder.path().join(format!("{name}.wasm"))).unwrap();
        fs::write(folder.path().join(format!("{name}.toml")), format!("{GRANTS}{file}")).unwrap();
    }
    let engine = engine(folder.path(), site);
    let runner = engine.runner(Arc::clone(site));
    assert!(engine.status().iter().all(|policy| policy.hooks.len() == 5), "{:?}", engine.status());
    (folder, engine, runner)
}

fn route(runner: &Runner, act: &str) -> (Decision, Step) {
    let mut steps = Vec::new();
    let decision = block_on(runner.route(&mut call(Caller::Unknown, act), &mut steps));
    (decision, steps.remove(0))
}

/// The fault of one routing decision; also that the policy decides again right after it.
fn fault(runner: &Runner, act: &str) -> PolicyFault {
    let (decision, step) = route(runner, act);
    assert!(matches!(&decision, Decision::Refuse(refusal) if refusal.status == 503), "{act}: {decision:?}");
    let (after, _) = route(runner, "pass");
    assert_eq!(after, Decision::Pass(Amendments::default()), "after {act}");
    step.fault.unwrap_or_else(|| panic!("{act}: {}", step.outcome))
}

#[test]
fn a_trap_is_a_trap() {
    let (_folder, engine, runner) = zoo(&site(), "", &[]);
    assert_eq!(fault(&runner, "trap"), PolicyFault::Trap("wasm trap: wasm `unreachable` instruction executed".to_owned()));
    assert_eq!(engine.status()[0].faults, 1);
}

#[test]
fn a_spinning_policy_is_late_and_stopped_soon() {
    let (_folder, _engine, runner) = zoo(&site(), "", &[]);
    assert_eq!(fault(&runner, "spin"), PolicyFault::Late(Duration::from_millis(5)));
    let (_, step) = route(&runner, "spin");
    // The deadline counts time in which the component runs; the wall's may be longer on a busy machine, never endless.
    assert!(step.took >= Duration::from_millis(2) && step.took < Duration::from_secs(2), "{:?}", step.took);
}

#[test]
fn the_operators_deadline_holds() {
    let (_folder, _engine, runner) = zoo(&site(), "deadline_ms = 40\n", &[]);
    let (_, step) = route(&runner, "spin");
    assert_eq!(step.fault, Some(PolicyFault::Late(Duration::from_millis(40))));
    assert!(step.took >= Duration::from_millis(35), "{:?}", step.took);
}

#[test]
fn every_bound_holds() {
    // Time enough that it is the bound that ends it.
    let (_folder, _engine, runner) = zoo(&site(), "deadline_ms = 500\n", &[]);
    let bound = |text: &str| PolicyFault::Bound(text.to_owned());
    assert_eq!(fault(&runner, "grow"), bound("more than 16 MiB of memory"));
    assert_eq!(fault(&runner, "recurse"), bound("stack"));
    assert_eq!(fault(&runner, "ask"), bound("more than 10000 questions to the host"));
    assert_eq!(fault(&runner, "huge"), bound("an answer of more than 262144 octets"));
}

#[test]
fn time_in_the_hosts_answers_counts() {
    // The host's time, and hardly an instruction of the component's own: it would come to its ten thousand questions first.
    let (_folder, _engine, runner) = zoo(&site(), "log_lines = 0\n", &[]);
    assert_eq!(fault(&runner, "shout"), PolicyFault::Late(Duration::from_millis(5)));
}

#[test]
fn a_memory_limit_of_the_operator_holds() {
    let (_folder, _engine, runner) = zoo(&site(), "memory_mib = 2\ndeadline_ms = 500\n", &[]);
    assert_eq!(fault(&runner, "grow"), PolicyFault::Bound("more than 2 MiB of memory".to_owned()));
}

#[test]
fn the_operators_bounds_hold() {
    let (_folder, _engine, runner) = zoo(&site(), "questions = 20\nanswer_kib = 1\ndeadline_ms = 500\n", &[]);
    assert_eq!(fault(&runner, "ask"), PolicyFault::Bound("more than 20 questions to the host".to_owned()));
    assert_eq!(fault(&runner, "huge"), PolicyFault::Bound("an answer of more than 1024 octets".to_owned()));
}

/// The phrase with which the zoo counts its decisions.
fn counted(runner: &Runner) -> String {
    match route(runner, "count").0 {
        Decision::Refuse(refusal) => refusal.phrase,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_leaks_from_one_call_to_the_next_unless_the_operator_allows_it() {
    let (_folder, _engine, fresh) = zoo(&site(), "", &[]);
    assert_eq!([counted(&fresh), counted(&fresh)], ["Number 1", "Number 1"]);
    let (_folder, _engine, reused) = zoo(&site(), "isolation = 'reused'\n", &[]);
    assert_eq!([counted(&reused), counted(&reused)], ["Number 1", "Number 2"]);
    // A fault ends it also there.
    assert!(route(&reused, "trap").1.fault.is_some());
    assert_eq!(counted(&reused), "Number 1");
}

#[test]
fn a_chattering_policy_is_cut_short_not_stopped() {
    let (_folder, _engine, runner) = zoo(&site(), "", &[]);
    assert_eq!(route(&runner, "chatter").0, Decision::Pass(Amendments::default()));
}

#[test]
fn every_senseless_routing_answer_is_a_fault() {
    let site = site();
    let lies = [
        ("empty-plan", "a plan without stages"),
        ("empty-stage", "a stage without targets"),
        ("many-stages", "stages"),
        ("ring-for-ever", "a ring time of 4294967295 s"),
        ("unknown-endpoint", "nobody"),
        ("unknown-trunk", "nowhere"),
        ("crlf-number", "a number with control characters"),
        ("at-number", "a number that is none"),
        ("status-200", "a refusal with status 200"),
        ("status-700", "a refusal with status 700"),
        ("no-phrase", "a refusal without a phrase"),
        ("crlf-phrase", "a phrase with control characters"),
        ("long-phrase", "a phrase of 65 octets"),
        ("long-detail", "a detail of 513 octets"),
        ("crlf-called", "a called with control characters"),
        ("long-name", "a caller-name of 257 octets"),
        ("many-attributes", "17 attributes"),
        ("nameless-attribute", "an attribute without a name"),
    ];
    // Five faults in a row, and the policy would be left out.
    for lies in lies.chunks(4) {
        let (_folder, _engine, runner) = zoo(&site, "", &[]);
        for (act, says) in lies {
            match fault(&runner, act) {
                PolicyFault::Nonsense(what) => assert!(what.contains(says), "{act}: {what}"),
                other => panic!("{act}: {other:?}"),
            }
        }
    }
}

#[test]
fn every_senseless_admission_is_a_fault() {
    let site = site();
    let (_folder, _engine, runner) = zoo(&site, "", &[]);
    for (act, says) in [("unknown-pool", "nowhere"), ("bad-when-full", "status 200")] {
        let mut steps = Vec::new();
        assert_eq!(block_on(runner.admit(&registration(&site, "desk-1", act), &mut steps)), Admission::Pass, "the phone may still call");
        assert!(matches!(&steps[0].fault, Some(PolicyFault::Nonsense(what)) if what.contains(says)), "{:?}", steps[0]);
    }
    let admitted = block_on(runner.admit(&registration(&site, "desk-1", "admit"), &mut Vec::new()));
    assert!(matches!(admitted, Admission::Admit(seat) if seat.when_full == WhenFull::EmergencyOnly && seat.pool == "site"));
}

#[test]
fn after_a_fault_the_next_policy_decides_or_the_call_is_refused_as_the_operator_says() {
    let site = site();
    let more = [("20-second", "[settings]\nact = 'ring'\n")];
    let (_folder, _engine, runner) = zoo(&site, "", &more);
    let mut steps = Vec::new();
    let decision = block_on(runner.route(&mut call(Caller::Unknown, "trap"), &mut steps));
    assert!(matches!(decision, Decision::Route(_)), "{decision:?}");
    assert_eq!(steps.len(), 2, "{:?}", told(&steps));

    let (_folder, _engine, runner) = zoo(&site, "on_fault = 'refuse'\n", &more);
    let mut steps = Vec::new();
    match block_on(runner.route(&mut call(Caller::Unknown, "trap"), &mut steps)) {
        Decision::Refuse(refusal) => {
            assert_eq!((refusal.status, refusal.phrase.as_str()), (503, "Service Unavailable"));
            assert!(refusal.detail.starts_with("policy zoo trapped"), "{}", refusal.detail);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(steps.len(), 1, "{:?}", told(&steps));
    let refused = block_on(runner.admit(&registration(&site, "desk-1", "trap"), &mut Vec::new()));
    assert!(matches!(refused, Admission::Refuse(refusal) if refusal.status == 503));
}

#[test]
fn amendments_reach_the_next_policy_and_the_call() {
    let site = site();
    let (_folder, _engine, runner) = zoo(&site, "", &[("20-second", "")]);
    let mut amended = call(Caller::Unknown, "amend");
    let mut steps = Vec::new();
    assert_eq!(block_on(runner.route(&mut amended, &mut steps)), Decision::Pass(Amendments::default()));
    assert_eq!(
        told(&steps),
        ["zoo → pass, called pass, caller name Amended, zoo.seen=\"A B\" <sip:1001@sip.example>;tag=1", "second → pass"],
        "the second policy saw `pass` called"
    );
    assert_eq!((amended.called.as_str(), amended.caller_name.as_str()), ("pass", "Amended"));
    // The compact form, found by either name, unfolded.
    assert_eq!(amended.attributes, [("zoo.seen".to_owned(), "\"A B\" <sip:1001@sip.example>;tag=1".to_owned())]);
}

#[test]
fn what_a_policy_asks_about_the_call_is_answered() {
    let (_folder, _engine, runner) = zoo(&site(), "", &[]);
    match route(&runner, "refuse").0 {
        Decision::Refuse(refusal) => assert_eq!(refusal.detail, "from 10.1.0.7:5060 over udp as sip:refuse@sip.example"),
        other => panic!("{other:?}"),
    }
}

fn ask_for_help(toml: &str, called: &str) -> Result<usize, PolicyFault> {
    let site = site();
    let (_folder, _engine, runner) = zoo(&site, toml, &[]);
    runner.emergency(&help(phone(&site, "desk-1"), called), &mut Vec::new()).map(|plan| plan.trunks.len())
}

#[test]
fn an_absent_emergency_policy_is_told() {
    let site = site();
    let folder = tempfile::tempdir().unwrap();
    let runner = engine(folder.path(), &site).runner(Arc::clone(&site));
    assert_eq!(runner.emergency(&help(Caller::Unknown, "112"), &mut Vec::new()), Err(PolicyFault::Absent));
}

#[test]
fn a_trapping_emergency_policy_is_told() {
    assert!(matches!(ask_for_help("", "trap"), Err(PolicyFault::Trap(_))));
}

#[test]
fn a_late_emergency_policy_is_told_within_its_own_deadline() {
    for act in ["spin", "shout"] {
        assert_eq!(ask_for_help("", act), Err(PolicyFault::Late(Duration::from_millis(2))), "{act}");
    }
}

#[test]
fn a_senseless_emergency_plan_is_told() {
    for (called, says) in
        [("unknown-trunk", "nowhere"), ("crlf-number", "control"), ("empty-plan", "no trunk"), ("many-trunks", "17 trunks")]
    {
        match ask_for_help("", called) {
            Err(PolicyFault::Nonsense(what)) => assert!(what.contains(says), "{called}: {what}"),
            other => panic!("{called}: {other:?}"),
        }
    }
    assert_eq!(ask_for_help("", "112"), Ok(1));
}

#[test]
fn an_observer_sees_the_end_and_its_fault_changes_nothing() {
    let site = site();
    let (_folder, engine, runner) = zoo(&site, "", &[]);
    let record = |called: &str| CallRecord {
        call_id: "the-call".to_owned(),
        kind: CallKind::Normal,
        caller: "desk-1".to_owned(),
        called: called.to_owned(),
        answered_by: Some("desk-2".to_owned()),
        began: sip::Instant::from_unix_micros(1_000_000),
        answered: None,
        ended: sip::Instant::from_unix_micros(2_000_000),
        status: 200,
        cause: "caller hung up",
    };
    block_on(runner.ended(&record("1002")));
    assert_eq!(engine.status()[0].faults, 0);
    block_on(runner.ended(&record("trap")));
    assert_eq!(engine.status()[0].faults, 1);
    assert_eq!(route(&runner, "pass").0, Decision::Pass(Amendments::default()));
}

#[test]
fn a_busy_machine_makes_no_policy_late() {
    let site = site();
    bind(&site, "desk-1", false);
    let (_folder, _engine, runner) = crate::case::shipped(&site);
    let done = Arc::new(AtomicBool::new(false));
    let burners: Vec<_> = (0..4 * thread::available_parallelism().map_or(2, usize::from))
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || while !done.load(Relaxed) {})
        })
        .collect();
    let until = Instant::now() + Duration::from_millis(400);
    let mut faults = Vec::new();
    while Instant::now() < until {
        let mut steps = Vec::new();
        block_on(runner.route(&mut call(phone(&site, "desk-1"), "+442079460000"), &mut steps));
        faults.extend(runner.emergency(&help(Caller::Unknown, "112"), &mut steps).err());
        faults.extend(steps.into_iter().filter_map(|step| step.fault));
    }
    done.store(true, Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    assert_eq!(faults, []);
}

#[test]
fn calls_that_policies_change_keep_what_they_do_not_change() {
    let (_folder, _engine, runner) = zoo(&site(), "", &[]);
    let before = call(Caller::Unknown, "pass");
    let mut after = Arc::clone(&before);
    block_on(runner.route(&mut after, &mut Vec::new()));
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[test]
fn a_policy_that_imports_wasi_gets_an_empty_one() {
    let site = site();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("HOLDFAST_WASI"), folder.path().join("10-wasi.wasm")).unwrap();
    let engine = engine(folder.path(), &site);
    let runner = engine.runner(Arc::clone(&site));
    match block_on(runner.route(&mut call(Caller::Unknown, "1"), &mut Vec::new())) {
        Decision::Refuse(refusal) => assert_eq!(refusal.detail, "0 variables, 0 arguments", "{:?}", engine.status()),
        other => panic!("{other:?}: {:?}", engine.status()),
    }
}
