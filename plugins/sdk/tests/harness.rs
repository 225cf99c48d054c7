//! The test harness as authors use it: what a policy keeps and logs, and that a policy with a mistake fails its test with a sentence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use holdfast_policy::{
    testing::{Call, Endpoint, Site},
    *,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Says whatever the called number asks for.
struct Odd;

static GREETING: Kept<String> = Kept::new(|| Settings::all().text("greeting").ok().flatten().unwrap_or("Hello").to_owned());

impl RoutingPolicy for Odd {
    fn route(facts: CallFacts, call: &holdfast_policy::Call) -> Decision {
        match facts.called.as_str() {
            "greeting" => Decision::refuse(404, &GREETING, ""),
            "count" => Decision::refuse(404, &memory::add("count", 1).unwrap().to_string(), ""),
            "chatter" => {
                (0..20).for_each(|_| log::write(log::Level::Warn, &"ß".repeat(1000)));
                Decision::pass()
            }
            "panic" => panic!("on purpose"),
            "for ever" => loop {
                let _now = clock::now_ms();
            },
            "short" => Decision::refuse(404, &call.header("Subject").unwrap_or_default(), ""),
            _ => Decision::pass(),
        }
    }
}

export!(Odd: routing);

fn phrase(site: &Site, called: &str) -> String {
    let Decision::Refuse(refusal) = site.route::<Odd>(&Call::to(called)) else { panic!("no refusal") };
    refusal.phrase
}

/// What a test says that fails.
fn failure(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

#[test]
fn each_site_has_an_instance_of_its_own() {
    let site = Site::new();
    assert_eq!(phrase(&site, "greeting"), "Hello");
    let other = site.clone().setting("greeting", "Good evening");
    assert_eq!(phrase(&other, "greeting"), "Good evening", "settings that are kept are read anew");
    assert_eq!(phrase(&site, "greeting"), "Hello");
}

#[test]
fn memory_outlives_a_decision_and_settings() {
    let site = Site::new();
    assert_eq!((phrase(&site, "count"), phrase(&site, "count")), ("1".to_owned(), "2".to_owned()));
    let later = site.setting("greeting", "Hi");
    assert_eq!(phrase(&later, "count"), "3");
    assert_eq!(later.kept("count").as_deref(), Some("3"));
    assert_eq!(phrase(&Site::new(), "count"), "1", "another site knows nothing of it");
}

#[test]
fn log_lines_are_cut_and_limited() {
    let site = Site::new();
    assert_eq!(site.route::<Odd>(&Call::to("chatter")).to_string(), "pass");
    assert_eq!(site.log().len(), 16);
    assert!(site.log().iter().all(|(level, line)| *level == log::Level::Warn && line.len() == 1024));
}

#[test]
fn helpers_can_ask_the_host() {
    let site = Site::new().endpoint(Endpoint::new("desk-1", "1001").name("Reception"));
    assert_eq!(site.ask(|| directory::endpoint_by_extension("1001")).unwrap().name, "Reception");
    let without = failure(|| drop(directory::endpoint_by_extension("1001")));
    assert!(without.starts_with("the host was asked where there is none: let a `holdfast_policy::testing::Site` ask"), "{without}");
}

#[test]
fn a_policy_that_panics_fails_its_test_and_leaves_the_next_alone() {
    let site = Site::new();
    assert_eq!(failure(|| drop(site.route::<Odd>(&Call::to("panic")))), "the policy trapped: on purpose");
    assert_eq!(phrase(&site, "greeting"), "Hello");
    let bound = failure(|| drop(site.route::<Odd>(&Call::to("for ever"))));
    assert!(bound.contains("more than 10000 questions to the host in one decision"), "{bound}");
}

#[test]
fn an_answer_against_the_contract_fails_its_test() {
    let told = failure(|| drop(Site::new().route::<Odd>(&Call::to("short").header("Subject", "x".repeat(65)))));
    assert_eq!(told, "the policy answered nonsense: a phrase of 65 octets");
}

#[test]
fn made_up_calls_find_an_answer_against_the_contract() {
    /// Right for every call that somebody would think of in a test.
    struct Careless;
    impl RoutingPolicy for Careless {
        fn route(facts: CallFacts, _: &holdfast_policy::Call) -> Decision {
            Decision::refuse(404, &format!("No {}", facts.called), "")
        }
    }
    export!(Careless: routing);
    let told = failure(testing::keeps_the_contract::<Careless>);
    assert!(told.starts_with("the policy answered nonsense: a phrase "), "{told}");
    assert!(told.contains("at this event: Call(") && told.contains("in this site: State {"), "{told}");
}

#[test]
fn made_up_settings_find_a_check_that_panics() {
    struct Careless;
    impl ConfigurationPolicy for Careless {
        fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
            let first = settings.first().map(|setting| setting.key.clone()).unwrap_or_default();
            assert!(!first.contains('.'), "no table expected");
            Ok(())
        }
    }
    export!(Careless: configuration);
    assert!(failure(testing::keeps_the_contract::<Careless>).starts_with("the policy trapped: no table expected"));
}

#[test]
fn a_case_that_fails_is_told_with_what_was_said() {
    let cases =
        "[[case]]\nname = 'greets'\nto = 'greeting'\nexpect = 'refuse 404 Hallo'\n[[case]]\nname = 'passes'\nto = '1'\nexpect = 'pass'\n";
    let file = tempfile::NamedTempFile::with_suffix(".cases.toml").unwrap();
    std::fs::write(file.path(), cases).unwrap();
    let told = failure(|| testing::cases::<Odd>(file.path()));
    assert!(told.ends_with("1 of its 2 cases failed\n`greets`\n  expected `refuse 404 Hallo`\n  it said  `refuse 404 Hello`"), "{told}");
    assert!(failure(|| testing::cases::<Odd>("nowhere.cases.toml")).starts_with("nowhere.cases.toml: No such file"));
    let wrong = testing::run_cases::<Odd>("[[case]]\nname = 'x'\nfrom = 'desk-9'\nexpect = 'pass'\n", "").unwrap_err();
    assert_eq!(wrong, "case `x`: there is no [[endpoint]] with id `desk-9` in this file");
    let wrong = testing::run_cases::<Odd>("[[case]]\nname = 'x'\ndegraded = ['nobody']\nexpect = 'pass'\n", "").unwrap_err();
    assert_eq!(wrong, "case `x`: there is no [[trunk]] `nobody` in this file");
    let wrong = testing::run_cases::<Odd>("[[case]]\nname = 'x'\nutc_offset_minutes = -1441\nexpect = 'pass'\n", "").unwrap_err();
    assert_eq!(wrong, "case `x`: `utc_offset_minutes` must be from -1440 to 1440");
}

#[test]
fn settings_beside_the_cases_count() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("35-odd.cases.toml");
    std::fs::write(&cases, "[[case]]\nname = 'greets'\nto = 'greeting'\nexpect = 'refuse 404 Hallo'\n").unwrap();
    std::fs::write(folder.path().join("35-odd.toml"), "grants = []\n[settings]\ngreeting = 'Hallo'\n").unwrap();
    testing::cases::<Odd>(cases);
}

#[test]
fn a_case_can_say_its_settings_and_the_detail_of_a_refusal() {
    struct Fussy;
    impl ConfigurationPolicy for Fussy {
        fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
            let problems = Settings::from(settings).unknown(&["limit"]);
            if problems.is_empty() { Ok(()) } else { Err(problems) }
        }
    }
    impl RoutingPolicy for Fussy {
        fn route(_: CallFacts, _: &holdfast_policy::Call) -> Decision {
            Decision::refuse(403, "No", format!("the limit is {:?}", Settings::all().number("limit")))
        }
    }
    export!(Fussy: routing, configuration);
    let cases = "settings = { limit = 1 }\n\
        [[case]]\nname = 'a'\nexpect = 'refuse 403 No'\ndetail = 'the limit is Ok(Some(1))'\n\
        [[case]]\nname = 'b'\nsettings = { limit = 2 }\nexpect = 'refuse 403 No'\ndetail = 'the limit is Ok(Some(2))'\n\
        [[case]]\nname = 'c'\nhook = 'configuration'\nexpect = 'accept'\n\
        [[case]]\nname = 'd'\nhook = 'configuration'\nsettings = { limits = 2 }\n\
        expect = 'refuse settings.limits: is not a setting of this policy; it knows limit'\n";
    let failed: Vec<_> = testing::run_cases::<Fussy>(cases, "").unwrap().into_iter().filter(|result| !result.passed()).collect();
    assert_eq!(failed, []);
}
