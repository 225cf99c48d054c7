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

const ABROAD: &str = r#"
outside_prefix = "9"
country_code = "44"
national_prefix = "0"
international_prefix = "00"
caller_number = "02030001000"
[[rule]]
number = "+33%"
trunks = ["both"]
[[rule]]
number = "%"
trunks = ["near"]
[[trunk]]
name = "near"
format = "national"
[[trunk]]
name = "far"
format = "e164"
[[trunk_group]]
name = "both"
trunks = ["near", "far"]
order = "fewest-calls"
"#;

#[test]
fn a_number_goes_out_as_each_trunk_wants_it() {
    let busy = Site::new().endpoint(Endpoint::new("desk-1", "1001")).registered("desk-1").settings(ABROAD);
    let busy = busy.trunk(Trunk::new("near").calls(3)).trunk(Trunk::new("far").calls(1));
    let route = |number: &str| busy.route::<External>(&testing::Call::to(number).from("desk-1")).to_string();
    let france =
        "route far/+33123456789 as +442030001000 and next on unreachable, then near/0033123456789 as 02030001000 and next on unreachable";
    assert_eq!(route("90033123456789"), france);
    assert_eq!(route("+33123456789"), france);
    assert_eq!(route("902079460000"), "route near/02079460000 as 02030001000 and next on unreachable");
    assert_eq!(route("+442079460000"), "route near/02079460000 as 02030001000 and next on unreachable");
    assert_eq!(route("9118118"), "route near/118118 as 02030001000 and next on unreachable");
    // What is down comes last.
    let down = Site::new().endpoint(Endpoint::new("desk-1", "1001")).registered("desk-1").settings(ABROAD);
    let down = down.trunk(Trunk::new("near").calls(3)).trunk(Trunk::new("far").unhealthy());
    assert!(down.route::<External>(&testing::Call::to("+33123456789").from("desk-1")).to_string().starts_with("route near/"));
}

#[test]
fn a_trunk_that_is_not_well_comes_after_those_that_are_and_stays_in_the_plan() {
    let site = |near: Trunk, far: Trunk| {
        let site = Site::new().endpoint(Endpoint::new("desk-1", "1001")).registered("desk-1").settings(ABROAD);
        site.trunk(near.calls(3)).trunk(far.calls(1))
    };
    let order = |near: Trunk, far: Trunk| {
        let said = site(near, far).route::<External>(&testing::Call::to("+33123456789").from("desk-1")).to_string();
        let mut names = ["near", "far"];
        names.sort_by_key(|name| said.find(&format!("{name}/")).unwrap());
        names
    };
    let (near, far) = (|| Trunk::new("near"), || Trunk::new("far"));
    assert_eq!(order(near(), far()), ["far", "near"], "the one with fewer calls");
    assert_eq!(order(near(), far().degraded()), ["near", "far"]);
    assert_eq!(order(near().degraded(), far().unhealthy()), ["near", "far"]);
    assert_eq!(order(near().unhealthy(), far().degraded()), ["far", "near"]);
    assert_eq!(order(near().degraded(), far().degraded()), ["far", "near"], "equals by their calls");
    // Where the operator has written the order, it counts.
    let written = ABROAD.replace("fewest-calls", "as-written");
    let site = site(near().unhealthy(), far()).settings(&written);
    assert!(site.route::<External>(&testing::Call::to("+33123456789").from("desk-1")).to_string().starts_with("route near/"));
}

const INBOUND: &str = r#"
country_code = "44"
national_prefix = "0"
[[inbound]]
number = "+442030002%"
caller = "+33%"
extension = "1003"
[[inbound]]
number = "+442030002%"
group = "sales"
[[inbound]]
trunk = "legacy"
to_trunk = "provider"
[[group]]
name = "sales"
extension = "300"
members = ["1001", "1002", "1004"]
mode = "longest-idle"
ring_seconds = 15
then = "1003"
"#;

fn office(settings: &str) -> Site {
    let phone = |id: &str, extension: &str| Endpoint::new(id, extension);
    Site::new()
        .endpoint(phone("desk-1", "1001").numbers(["+442030001001"]))
        .endpoint(phone("desk-2", "1002"))
        .endpoint(phone("desk-3", "1003"))
        .endpoint(phone("desk-4", "1004").disabled())
        .trunk(Trunk::new("provider").numbers(["+44203000%"]))
        .trunk(Trunk::new("legacy"))
        .registered("desk-1")
        .settings(settings)
}

fn came(site: &Site, trunk: &str, number: &str, caller: &str) -> String {
    site.route::<External>(&testing::Call::to(number).from_trunk(trunk).caller_number(caller)).to_string()
}

#[test]
fn a_call_from_outside_goes_by_trunk_number_and_caller() {
    let site = office(INBOUND);
    let sales = "route desk-1 for 15 s and next on busy or no answer or unreachable, then desk-2 for 15 s and next on busy or no answer or unreachable, then desk-3";
    assert_eq!(came(&site, "provider", "+442030002000", "+447700900000"), sales);
    assert_eq!(came(&site, "provider", "02030002000", "07700900000"), sales);
    assert_eq!(came(&site, "provider", "+442030002000", "+33123456789"), "route desk-3");
    assert_eq!(came(&site, "legacy", "77", "1"), "route provider/77 and next on unreachable");
    assert_eq!(came(&site, "legacy", "reception", "1"), "refuse 404 Not Found");
    // No rule: whose number it is, in any form.
    assert_eq!(came(&site, "provider", "+442030001001", "1"), "route desk-1");
    assert_eq!(came(&site, "provider", "02030001001", "1"), "route desk-1");
    assert_eq!(came(&site, "provider", "+442030009999", "1"), "refuse 404 Not Found");
    assert_eq!(came(&site, "provider", "+33123456789", "1"), "refuse 404 Not Found");
}

#[test]
fn a_group_calls_first_who_has_rested_longest() {
    let site = office(INBOUND).idle("desk-1", 30).idle("desk-2", 90);
    let order = came(&site, "provider", "+442030002000", "1");
    assert!(order.starts_with("route desk-2 for 15 s") && order.contains("then desk-1 for 15 s"), "{order}");
    // Who has not talked yet before all others, who talks after them.
    let site = office(INBOUND).idle("desk-1", 0).idle("desk-2", 0);
    assert!(came(&site, "provider", "+442030002000", "1").starts_with("route desk-1"));
    let site = office(INBOUND).idle("desk-1", 5);
    assert!(came(&site, "provider", "+442030002000", "1").starts_with("route desk-2"));
}

#[test]
fn a_group_rings_all_at_once_or_in_turn_and_from_inside() {
    let all = office("[[group]]\nname = 'a'\nextension = '300'\nmembers = ['1001', '1002']");
    let dialled = |site: &Site| site.route::<External>(&testing::Call::to("300").from("desk-1")).to_string();
    assert_eq!(dialled(&all), "route desk-1 + desk-2 and next on busy or no answer or unreachable");
    let turn = office("[[group]]\nname = 'a'\nextension = '300'\nmembers = ['1002', '1001']\nmode = 'in-turn'").idle("desk-1", 9);
    assert_eq!(
        dialled(&turn),
        "route desk-2 and next on busy or no answer or unreachable, then desk-1 and next on busy or no answer or unreachable"
    );
    let nobody = office("[[group]]\nname = 'a'\nextension = '300'\nmembers = ['1004']");
    assert_eq!(dialled(&nobody), "refuse 480 Nobody Here");
}

const RIGHTS: &str = r#"
country_code = "44"
national_prefix = "0"
international_prefix = "00"
default_right = "staff"
[[class]]
name = "premium"
numbers = ["+44900%", "118%"]
[[class]]
name = "mobile"
numbers = ["+447%"]
[[right]]
name = "staff"
classes = ["national", "mobile", "international", "service"]
countries = ["33", "49"]
calls = 2
calls_per_hour = 10
minutes_per_day = 60
outage = "tight"
outage_after_minutes = 5
[[right]]
name = "guest"
classes = ["national"]
hours = ["mo-fr 08:00-18:00"]
[[right]]
name = "tight"
classes = ["national"]
minutes_per_outage = 10
[[user]]
right = "guest"
extensions = ["12%"]
[[user]]
right = "guest"
location = "lobby"
"#;

fn restricted() -> Site {
    let site = Site::new().trunk(Trunk::new("provider")).settings(RIGHTS);
    let site = site.endpoint(Endpoint::new("desk-1", "1001")).endpoint(Endpoint::new("room-1", "1201"));
    site.registered("desk-1").registered("room-1")
}

fn may(site: &Site, caller: &str, number: &str) -> String {
    let said = site.route::<External>(&testing::Call::to(number).from(caller)).to_string();
    if said.starts_with("route") { "may".to_owned() } else { said }
}

#[test]
fn who_may_call_what() {
    let site = restricted();
    for (number, expected) in [
        ("02079460000", "may"),
        ("07700900000", "may"),
        ("+447700900000", "may"),
        ("0033123456789", "may"),
        ("+4915112345678", "may"),
        ("0012025550100", "refuse 403 Not Allowed To Call That Country"),
        ("09001234567", "refuse 403 Not Allowed To Call There"),
        ("+449001234567", "refuse 403 Not Allowed To Call There"),
        ("00449001234567", "refuse 403 Not Allowed To Call There"),
        ("118118", "refuse 403 Not Allowed To Call There"),
        ("55555", "may"),
    ] {
        assert_eq!(may(&site, "desk-1", number), expected, "{number}");
    }
    assert_eq!(may(&site, "room-1", "02079460000"), "may");
    assert_eq!(may(&site, "room-1", "07700900000"), "refuse 403 Not Allowed To Call There");
}

#[test]
fn the_directory_names_the_right_of_a_user() {
    let site = |class: &str| restricted().endpoint(Endpoint::new("desk-2", "1002").dial_class(class)).registered("desk-2");
    assert_eq!(may(&site("staff"), "desk-2", "07700900000"), "may");
    assert_eq!(may(&site("guest"), "desk-2", "07700900000"), "refuse 403 Not Allowed To Call There");
    // No such right: the others decide.
    assert_eq!(may(&site("director"), "desk-2", "07700900000"), "may");
}

#[test]
fn a_guest_calls_in_hours_only() {
    let at = |when: &str| may(&restricted().at(when), "room-1", "02079460000");
    assert_eq!(at("2026-01-05T08:00:00Z"), "may");
    assert_eq!(at("2026-01-05T18:00:00Z"), "refuse 403 Not Allowed At This Hour");
    assert_eq!(at("2026-01-04T12:00:00Z"), "refuse 403 Not Allowed At This Hour");
}

/// Central Europe goes over to summer time in the night of 2026-03-29, a Sunday, and back in that of 2026-10-25.
#[test]
fn hours_are_those_of_the_sites_clock_in_summer_too() {
    let at = |site: Site, when: &str, offset: i32| may(&site.at(when).utc_offset_minutes(offset), "room-1", "02079460000");
    let closed = "refuse 403 Not Allowed At This Hour";
    // Friday before, and the Monday after it: eight o'clock is an hour earlier by UTC.
    for (when, offset, said) in [
        ("2026-03-27T06:59:59Z", 60, closed),
        ("2026-03-27T07:00:00Z", 60, "may"),
        ("2026-03-27T16:59:59Z", 60, "may"),
        ("2026-03-27T17:00:00Z", 60, closed),
        ("2026-03-30T05:59:59Z", 120, closed),
        ("2026-03-30T06:00:00Z", 120, "may"),
        ("2026-03-30T15:59:59Z", 120, "may"),
        ("2026-03-30T16:00:00Z", 120, closed),
        ("2026-10-26T06:59:59Z", 60, closed),
        ("2026-10-26T07:00:00Z", 60, "may"),
        // Sunday evening by UTC is Monday morning in Kiritimati, and Monday morning is Sunday evening in Honolulu.
        ("2026-03-29T18:00:00Z", 840, "may"),
        ("2026-03-30T09:00:00Z", -600, closed),
    ] {
        assert_eq!(at(restricted(), when, offset), said, "{when}");
    }
    // What the operator has written counts, whatever the site's clock says.
    let fixed = || restricted().settings(&format!("utc_offset = \"+01:00\"\n{RIGHTS}"));
    assert_eq!(at(fixed(), "2026-03-30T06:30:00Z", 120), closed);
    assert_eq!(at(fixed(), "2026-03-30T07:00:00Z", 120), "may");
    let utc = || restricted().settings(&format!("utc_offset = \"+00:00\"\n{RIGHTS}"));
    assert_eq!((at(utc(), "2026-03-30T07:59:00Z", 120).as_str(), at(utc(), "2026-03-30T08:00:00Z", 120).as_str()), (closed, "may"));
}

#[test]
fn what_is_used_up_is_refused_and_said() {
    let used = |usage: testing::Outside| may(&restricted().used("desk-1", usage), "desk-1", "02079460000");
    let none = testing::Outside::default();
    assert_eq!(used(testing::Outside { calls: 1, calls_in_hour: 9, seconds_in_day: 3599, ..none }), "may");
    assert_eq!(used(testing::Outside { calls: 2, ..none }), "refuse 403 Too Many Outside Calls");
    assert_eq!(used(testing::Outside { calls_in_hour: 10, ..none }), "refuse 403 Too Many Outside Calls This Hour");
    assert_eq!(used(testing::Outside { seconds_in_day: 3600, ..none }), "refuse 403 Outside Minutes Of The Day Used Up");
}

#[test]
fn without_the_cloud_a_tighter_right_counts() {
    let mobile = |seconds: u32| may(&restricted().outage(seconds), "desk-1", "07700900000");
    assert_eq!((mobile(0).as_str(), mobile(299).as_str()), ("may", "may"));
    assert_eq!(mobile(300), "refuse 403 Not Allowed To Call There");
    let talked = |seconds_in_outage: u32| {
        let site = restricted().outage(300).used("desk-1", testing::Outside { seconds_in_outage, ..testing::Outside::default() });
        may(&site, "desk-1", "02079460000")
    };
    assert_eq!((talked(599).as_str(), talked(600).as_str()), ("may", "refuse 403 Outside Minutes Used Up"));
}

#[test]
fn each_wrong_setting_of_rights_and_groups_is_named() {
    let wrong = r#"
national_prefix = "0"
default_right = "nobody"
utc_offset = "here"
[[right]]
classes = ["unheard-of"]
countries = ["+44"]
hours = ["always"]
outage = "none"
[[class]]
name = "empty"
[[group]]
members = []
mode = "random"
[[inbound]]
extension = "1"
group = "1"
[[inbound]]
group = "sales"
[[trunk]]
format = "roman"
"#;
    let mut keys: Vec<_> = Site::new().settings(wrong).check::<External>().into_iter().map(|problem| problem.key).collect();
    keys.sort();
    keys.dedup();
    let expected = [
        "class.0.name",
        "country_code",
        "default_right",
        "group.0.members",
        "group.0.mode",
        "group.0.name",
        "inbound.0.extension",
        "inbound.1.group",
        "right.0.classes",
        "right.0.countries",
        "right.0.hours",
        "right.0.name",
        "right.0.outage",
        "trunk.0.format",
        "trunk.0.name",
        "utc_offset",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn whatever_is_set_the_contract_is_kept() {
    for settings in [ABROAD, INBOUND, RIGHTS] {
        let site = office(settings).trunk(Trunk::new("near")).trunk(Trunk::new("far"));
        testing::keeps_the_contract_at::<External>(&site);
    }
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
