use super::*;
use holdfast_policy::testing::{self, Endpoint, Site, Trunk};

#[test]
fn says_what_it_should() {
    testing::cases::<External>("cases.toml");
}

const RULES: &str = r#"
outside_prefix = "9"
caller_number = "+442030001000"
[[rule]]
number = "+44%"
trunks = ["near"]
strip = 3
prepend = "0"
[[rule]]
number = "%"
"#;

fn site() -> Site {
    let phone = Endpoint::new("desk-1", "1001");
    Site::new().endpoint(phone).trunk(Trunk::new("far").numbers(["+4420%"])).trunk(Trunk::new("near")).registered("desk-1").settings(RULES)
}

#[test]
fn keeps_the_contract() {
    testing::keeps_the_contract::<External>();
    testing::keeps_the_contract_at::<External>(&site());
}

#[test]
fn rules_say_which_trunk_and_how() {
    let route = |number: &str| site().route::<External>(&testing::Call::to(number).from("desk-1")).to_string();
    assert_eq!(route("+442079460000"), "route near/02079460000 as +442030001000 and next on unreachable");
    let both = "route far/118118 as +442030001000 and next on unreachable, then near/118118 as +442030001000 and next on unreachable";
    assert_eq!(route("9118118"), both);
    assert_eq!(route("118118"), "refuse 404 Not Found");
}

#[test]
fn a_number_that_no_trunk_can_be_given_leads_nowhere() {
    let long = format!("9{}", "0".repeat(129));
    assert_eq!(site().route::<External>(&testing::Call::to(long).from("desk-1")).to_string(), "refuse 404 Not Found");
}

#[test]
fn a_rule_with_a_trunk_that_is_not_there_is_a_problem() {
    let problems = Site::new().settings("[[rule]]\nnumber = '%'\ntrunks = ['gone']").check::<External>();
    assert_eq!(problems, [Problem::new("rule", "there is no trunk `gone`")]);
}

/// While none of the user's phones can be reached, calls go on outside all the same: it is the user who calls then.
#[test]
fn a_user_who_sends_calls_on_need_not_be_registered() {
    let settings = directory::CallSettings {
        ring_seconds: None,
        forward_always: None,
        forward_busy: None,
        forward_no_answer: None,
        forward_unreachable: Some("+447700900123".to_owned()),
    };
    let route = |site: Site| site.route::<External>(&testing::Call::to("+447700900123").from("ann")).to_string();
    let user = || Endpoint::new("ann", "2001");
    assert_eq!(route(site().endpoint(user())), "refuse 403 Not registered");
    assert_eq!(route(site().endpoint(user().calls(settings))), "route near/07700900123 as +442030001000 and next on unreachable");
}
