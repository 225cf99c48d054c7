//! What the four shipped policies decide, through the real host.

use crate::case::{NOW, bind, call, flow, help, of_kind, phone, registration, shipped, site, told};
use futures_executor::block_on;
use gateway::policy::{Engine, PolicyState};
use sip::Instant;
use std::{fs, sync::Arc, time::Duration};
use switch::{
    decision::{Admission, Decision, NextOn, Plan, SeatRequest, Stage, Target, TrunkTarget, WhenFull},
    directory::Directory,
    facts::{Call, CallKind, Caller},
    licence::Seat,
    registrar::Binding,
    trunk::{Sign, Standing},
    zone::Zone,
};

fn refused(decision: &Decision) -> (u16, &str) {
    match decision {
        Decision::Refuse(refusal) => (refusal.status, refusal.phrase.as_str()),
        Decision::Pass(_) | Decision::Route(_) => panic!("{decision:?}"),
    }
}

fn rings(endpoint: &str) -> Decision {
    let stage = Stage { targets: vec![Target::Endpoint(endpoint.to_owned())], ring: None, next: NextOn::default() };
    Decision::Route(Plan { stages: vec![stage] })
}

fn dials(number: &str, caller_number: Option<&str>) -> Decision {
    let stage = |trunk: &str| Stage {
        targets: vec![Target::Trunk(TrunkTarget {
            trunk: trunk.to_owned(),
            number: number.to_owned(),
            caller_number: caller_number.map(str::to_owned),
        })],
        ring: None,
        next: NextOn { busy: false, no_answer: false, unreachable: true },
    };
    Decision::Route(Plan { stages: vec![stage("provider"), stage("backup")] })
}

#[test]
fn all_four_load_with_the_hooks_that_they_have_and_nothing_is_wrong_with_them() {
    let site = site();
    let (folder, engine, _) = shipped(&site);
    let status = engine.status();
    let hooks: Vec<_> = status.iter().map(|policy| (policy.file.as_str(), policy.name.as_str(), policy.hooks.clone())).collect();
    assert_eq!(
        hooks,
        [
            ("10-emergency.wasm", "emergency", vec!["emergency", "configuration"]),
            ("20-licence.wasm", "licence", vec!["registration", "configuration"]),
            ("30-internal.wasm", "internal", vec!["routing"]),
            ("40-external.wasm", "external", vec!["routing", "configuration"]),
        ]
    );
    assert!(
        status.iter().all(|policy| policy.state == PolicyState::Running && policy.faults == 0 && policy.hash.len() == 64),
        "{status:?}"
    );
    assert!(status.iter().all(|policy| policy.version.as_deref() == Some(env!("CARGO_PKG_VERSION"))), "{status:?}");
    let check = Engine::check(folder.path(), site).unwrap();
    assert_eq!((check.problems, check.policies.len()), (Vec::new(), 4));
}

#[test]
fn no_shipped_component_names_wasi() {
    let folder = tempfile::tempdir().unwrap();
    for file in Engine::install_shipped(folder.path()).unwrap() {
        let bytes = fs::read(folder.path().join(file)).unwrap();
        assert!(!bytes.windows(5).any(|octets| octets == b"wasi:"), "{file} names WASI");
    }
}

#[test]
fn installing_touches_no_folder_that_has_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("40-external.wasm");
    fs::write(&mine, b"mine").unwrap();
    assert_eq!(Engine::install_shipped(folder.path()).unwrap(), Vec::<&str>::new());
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_folder_is_checked_with_what_would_be_written_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let check = Engine::check(&folder.path().join("not-there"), site()).unwrap();
    assert_eq!((check.problems, check.policies.len()), (Vec::new(), 4));
}

#[test]
fn extension_to_extension_rings_all_its_phones() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    let mut steps = Vec::new();
    assert_eq!(block_on(runner.route(&mut call(phone(&site, "desk-1"), "1002"), &mut steps)), rings("desk-2"));
    assert_eq!(told(&steps), ["internal → route desk-2"]);
}

#[test]
fn a_disabled_extension_is_not_found() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    assert_eq!(refused(&block_on(runner.route(&mut call(phone(&site, "desk-1"), "1003"), &mut Vec::new()))), (404, "Not Found"));
}

#[test]
fn an_unknown_extension_is_passed_on_and_not_found() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    bind(&site, "desk-1", false);
    let mut steps = Vec::new();
    assert_eq!(refused(&block_on(runner.route(&mut call(phone(&site, "desk-1"), "1999"), &mut steps))), (404, "Not Found"));
    assert_eq!(told(&steps), ["internal → pass", "external → refuse 404 Not Found"]);
}

#[test]
fn a_phone_without_a_seat_calls_nobody() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    bind(&site, "desk-1", true);
    for called in ["1002", "+442079460000"] {
        let decision = block_on(runner.route(&mut call(phone(&site, "desk-1"), called), &mut Vec::new()));
        assert_eq!(refused(&decision), (403, "Emergency calls only"), "{called}");
    }
}

#[test]
fn a_registered_phone_gets_outside_by_the_trunks_in_order_with_its_own_number() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    bind(&site, "desk-1", false);
    bind(&site, "desk-2", false);
    assert_eq!(
        block_on(runner.route(&mut call(phone(&site, "desk-1"), "+442079460000"), &mut Vec::new())),
        dials("+442079460000", Some("+442030001001"))
    );
    assert_eq!(block_on(runner.route(&mut call(phone(&site, "desk-2"), "02079460000"), &mut Vec::new())), dials("02079460000", None));
}

#[test]
fn an_unregistered_phone_and_a_stranger_do_not_get_outside() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    let decision = block_on(runner.route(&mut call(phone(&site, "desk-1"), "+442079460000"), &mut Vec::new()));
    assert_eq!(refused(&decision), (403, "Not registered"));
    for called in ["+442079460000", "1001"] {
        assert_eq!(refused(&block_on(runner.route(&mut call(Caller::Unknown, called), &mut Vec::new()))), (403, "Forbidden"));
    }
}

#[test]
fn an_inbound_number_rings_its_owner_else_the_extension_behind_the_trunks_prefix() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    let inbound = |called: &str| block_on(runner.route(&mut call(Caller::Trunk("provider".to_owned()), called), &mut Vec::new()));
    assert_eq!(inbound("+442030001001"), rings("desk-1"), "a direct number");
    assert_eq!(inbound("+442030001002"), rings("desk-2"), "an extension behind the prefix");
    assert_eq!(refused(&inbound("+442030001003")), (404, "Not Found"), "disabled");
    assert_eq!(refused(&inbound("+442030009999")), (404, "Not Found"), "owned by the trunk, by nobody else");
}

#[test]
fn a_trunk_never_reaches_a_trunk() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    for called in ["+442079460000", "02079460000", "1001", "+44203000"] {
        let decision = block_on(runner.route(&mut call(Caller::Trunk("provider".to_owned()), called), &mut Vec::new()));
        assert_eq!(refused(&decision), (404, "Not Found"), "{called}");
    }
}

#[test]
fn rules_of_the_operator_choose_trunk_and_number() {
    let site = site();
    let (folder, engine, runner) = shipped(&site);
    bind(&site, "desk-2", false);
    let toml = "[settings]\noutside_prefix = '9'\ncaller_number = '+442030001000'\n[[settings.rule]]\nnumber = '0%'\ntrunks = ['backup']\nstrip = 1\nprepend = '+44'\n";
    fs::write(folder.path().join("40-external.toml"), toml).unwrap();
    engine.rescan().unwrap();
    let target =
        TrunkTarget { trunk: "backup".to_owned(), number: "+442079460000".to_owned(), caller_number: Some("+442030001000".to_owned()) };
    let next = NextOn { busy: false, no_answer: false, unreachable: true };
    let expected = Decision::Route(Plan { stages: vec![Stage { targets: vec![Target::Trunk(target)], ring: None, next }] });
    assert_eq!(block_on(runner.route(&mut call(phone(&site, "desk-2"), "902079460000"), &mut Vec::new())), expected);
    assert_eq!(refused(&block_on(runner.route(&mut call(phone(&site, "desk-2"), "02079460000"), &mut Vec::new()))).0, 404);
}

/// 2026-03-29 at 1:00 UTC the clocks of Central Europe go from 2:00 to 3:00.
#[test]
fn hours_of_a_right_follow_the_summer_time_of_the_site() {
    let site = site();
    let mut directory = Directory::clone(&site.directory());
    let change = Instant::from_unix_micros(1_774_746_000_000_000);
    directory.zone = Zone::new(60, [(change, 120)]);
    site.replace_directory(directory, change);
    let (folder, engine, runner) = shipped(&site);
    bind(&site, "desk-2", false);
    let binding = Binding::clone(&site.bindings("desk-2", NOW)[0]);
    site.registrar.restore(Binding { expires: change + Duration::from_secs(7 * 24 * 3600), ..binding }, Seat::none());
    let right = "[settings]\ndefault_right = 'staff'\n[[settings.right]]\nname = 'staff'\nhours = ['mo-fr 08:00-18:00']\n";
    fs::write(folder.path().join("40-external.toml"), right).unwrap();
    engine.rescan().unwrap();
    // So many hours after the change.
    let may = |hours: i64| {
        let at = Instant::from_unix_micros(change.unix_micros().saturating_add_signed(hours * 3_600_000_000));
        let mut call = Arc::new(Call { at, ..Call::clone(&call(phone(&site, "desk-2"), "02079460000")) });
        matches!(block_on(runner.route(&mut call, &mut Vec::new())), Decision::Route(_))
    };
    // Friday at 7 and 8, and at 17 and 18; Monday at 7 and 8, and at 17 and 18.
    assert_eq!([-43, -42, -33, -32].map(may), [false, true, true, false]);
    assert_eq!([28, 29, 38, 39].map(may), [false, true, true, false]);
}

#[test]
fn a_group_of_trunks_begins_with_those_that_are_well() {
    let site = site();
    let (folder, engine, runner) = shipped(&site);
    bind(&site, "desk-2", false);
    let group = "[settings]\n[[settings.trunk_group]]\nname = 'all'\ntrunks = ['provider', 'backup']\norder = 'fewest-calls'\n\
                 [[settings.rule]]\nnumber = '%'\ntrunks = ['all']\n";
    fs::write(folder.path().join("40-external.toml"), group).unwrap();
    engine.rescan().unwrap();
    let order = || {
        let Decision::Route(plan) = block_on(runner.route(&mut call(phone(&site, "desk-2"), "02079460000"), &mut Vec::new())) else {
            panic!()
        };
        let names = plan.stages.into_iter().flat_map(|stage| stage.targets).map(|target| match target {
            Target::Trunk(target) => target.trunk,
            Target::Endpoint(id) => panic!("{id}"),
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(order(), ["provider", "backup"]);
    for trunk in ["provider", "backup"] {
        site.trunks.set_flows(trunk, vec![flow()]);
    }
    assert_eq!(order(), ["provider", "backup"]);
    site.trunks.note("provider", flow(), Sign::Silent, NOW);
    assert_eq!(site.trunks.standing("provider"), Standing::Degraded);
    assert_eq!(order(), ["backup", "provider"]);
    site.trunks.note("backup", flow(), Sign::Unreachable, NOW);
    site.trunks.note("backup", flow(), Sign::Unreachable, NOW);
    assert_eq!(order(), ["provider", "backup"], "one that is down comes after one that is degraded");
}

#[test]
fn a_registration_draws_a_seat_from_the_endpoints_pool() {
    let site = site();
    let (folder, engine, runner) = shipped(&site);
    let mut steps = Vec::new();
    match block_on(runner.admit(&registration(&site, "desk-1", ""), &mut steps)) {
        Admission::Admit(SeatRequest { pool, when_full: WhenFull::Refuse(refusal) }) => {
            assert_eq!((pool.as_str(), refusal.status, refusal.phrase.as_str()), ("site", 403, "No licence available"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(told(&steps), ["licence → admit site"]);
    assert_eq!(block_on(runner.admit(&registration(&site, "door", ""), &mut Vec::new())), Admission::Pass, "no pool");

    fs::write(folder.path().join("20-licence.toml"), "[settings]\nwhen_full = 'emergency-only'\n").unwrap();
    engine.rescan().unwrap();
    let seat = SeatRequest { pool: "site".to_owned(), when_full: WhenFull::EmergencyOnly };
    assert_eq!(block_on(runner.admit(&registration(&site, "desk-1", ""), &mut Vec::new())), Admission::Admit(seat));
}

#[test]
fn a_call_for_help_takes_the_emergency_trunks_and_shows_the_place() {
    let site = site();
    let (_folder, _engine, runner) = shipped(&site);
    let numbers = |caller: Caller, called: &str| {
        let plan = runner.emergency(&help(caller, called), &mut Vec::new()).unwrap();
        plan.trunks.into_iter().map(|target| (target.trunk, target.number, target.caller_number)).collect::<Vec<_>>()
    };
    let way = |number: &str, shown: Option<&str>| {
        ["provider", "backup"].map(|trunk| (trunk.to_owned(), number.to_owned(), shown.map(str::to_owned))).to_vec()
    };
    assert_eq!(numbers(phone(&site, "desk-1"), "112"), way("112", Some("+442030001111")), "the ELIN of headquarters");
    assert_eq!(numbers(phone(&site, "door"), "urn:service:sos"), way("urn:service:sos", None), "no place, no direct number");
    assert_eq!(numbers(Caller::Unknown, "112"), way("112", None));
}

#[test]
fn tests_of_the_way_for_help_can_have_trunks_of_their_own() {
    let site = site();
    let (folder, engine, runner) = shipped(&site);
    fs::write(folder.path().join("10-emergency.toml"), "[settings]\ntest_trunks = ['backup']\n").unwrap();
    engine.rescan().unwrap();
    let trunks = |kind: CallKind| {
        let case = of_kind(kind, phone(&site, "desk-1"), "933");
        runner.emergency(&case, &mut Vec::new()).unwrap().trunks.into_iter().map(|target| target.trunk).collect::<Vec<_>>()
    };
    assert_eq!(trunks(CallKind::EmergencyTest), ["backup"]);
    assert_eq!(trunks(CallKind::Emergency), ["provider", "backup"]);
}

#[test]
fn settings_that_a_policy_does_not_accept_keep_the_old_ones_in_force() {
    let site = site();
    let (folder, engine, runner) = shipped(&site);
    fs::write(folder.path().join("10-emergency.toml"), "[settings]\ntest_trunks = ['nowhere']\ntset = 1\n").unwrap();
    engine.rescan().unwrap();
    match &engine.status()[0].state {
        PolicyState::Outdated(rejection) => {
            assert!(rejection.reason.contains("there is no trunk `nowhere`") && rejection.reason.contains("settings.tset"), "{rejection}");
            assert_eq!(rejection.remedy, "mend the settings in 10-emergency.toml");
        }
        other => panic!("{other:?}"),
    }
    assert!(runner.emergency(&help(Caller::Unknown, "112"), &mut Vec::new()).is_ok());
    let problems = Engine::check(folder.path(), Arc::clone(&site)).unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].file.ends_with("10-emergency.wasm"));
}
