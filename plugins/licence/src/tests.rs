use super::*;
use holdfast_policy::testing::{self, Endpoint, Site};

#[test]
fn says_what_it_should() {
    testing::cases::<Licence>("cases.toml");
}

#[test]
fn keeps_the_contract() {
    testing::keeps_the_contract::<Licence>();
    testing::keeps_the_contract_at::<Licence>(&site().setting("when_full", "emergency-only"));
}

fn site() -> Site {
    Site::new().pool("site", 1, 1).endpoint(Endpoint::new("desk-1", "1001").pool("site"))
}

#[test]
fn both_answers_to_a_full_pool_are_settings() {
    let attempt = testing::Registration::of("desk-1");
    assert_eq!(site().setting("when_full", "refuse").admit::<Licence>(&attempt).to_string(), "admit site");
    let emergency_only = site().setting("when_full", "emergency-only").admit::<Licence>(&attempt);
    assert_eq!(emergency_only.to_string(), "admit site or for emergency calls only");
}

#[test]
fn another_answer_is_a_problem_that_names_the_key() {
    let problems = site().setting("when_full", "shrug").check::<Licence>();
    assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["when_full"]);
}

#[test]
fn a_misspelt_key_is_a_problem_that_names_the_right_one() {
    let problems = site().setting("when-full", true).check::<Licence>();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("when_full"), "{problems:?}");
}
