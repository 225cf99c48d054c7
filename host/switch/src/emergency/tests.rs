use super::*;
use crate::{
    directory::Emergency,
    fixture::{at, directory, endpoint, invite, site, udp},
    intake::read_call,
    trunk::Sign,
};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::sync::Arc;

fn kind(uri: &str) -> CallKind {
    classify(&Uri::parse(uri.as_bytes()).unwrap_or_else(|| panic!("{uri}")), &directory())
}

#[test]
fn calls_for_help_in_all_their_forms() {
    for uri in [
        "urn:service:sos",
        "urn:service:sos.fire",
        "urn:service:sos.police.municipal",
        "urn:service:sos.country-specific.xy.1",
        "URN:SERVICE:SOS",
        "urn:Service:Sos.Ambulance",
        "urn:service:sos.unheard-of",
        "sip:911@sip.example",
        "sip:911@cloud.example:5070;transport=tls",
        "sips:911@sip.example",
        "sip:911@[2001:db8::1]",
        "sip:911@192.0.2.1;user=phone",
        "sip:911:password@sip.example",
        "sip:911;phone-context=+1@sip.example;user=phone",
        "sip:911;phone-context=cloud.example@sip.example",
        "sip:%39%31%31@sip.example",
        "sip:9%31%31%3bphone-context=x@sip.example",
        "sip:9-1-1@sip.example",
        "sip:(911)@sip.example",
        "sip:9.1.1@sip.example",
        "sip:9%2011@sip.example",
        "sip:112@sip.example",
        "sip:999@sip.example?Priority=non-urgent",
        "tel:911",
        "TEL:112",
        "tel:9-1-1;phone-context=+1",
        "tel:112;phone-context=cloud.example",
        // With an outside prefix.
        "sip:9911@sip.example",
        "sip:9112@sip.example",
        "sip:0112@sip.example",
        "sip:0999@sip.example",
        "sip:9999@sip.example",
        "tel:9-911",
        "sip:9-(911)@sip.example",
    ] {
        assert_eq!(kind(uri), CallKind::Emergency, "{uri}");
    }
}

#[test]
fn tests_of_the_route() {
    for uri in [
        "urn:service:test.sos",
        "urn:service:test.sos.fire",
        "URN:service:TEST.SOS",
        "sip:933@sip.example",
        "tel:9-33",
        "sip:9933@x.example",
        "sip:0933@x.example",
    ] {
        assert_eq!(kind(uri), CallKind::EmergencyTest, "{uri}");
    }
}

#[test]
fn everything_else_is_no_emergency() {
    for uri in [
        // Never by substring, beginning or end.
        "sip:9111@sip.example",
        "sip:1911@sip.example",
        "sip:91@sip.example",
        "sip:11@sip.example",
        "sip:1121@sip.example",
        "sip:99911@sip.example",
        "sip:09911@sip.example",
        "sip:8911@sip.example",
        "sip:911911@sip.example",
        "sip:*911@sip.example",
        "sip:911%23@sip.example",
        "sip:911a@sip.example",
        "sip:911%00@sip.example",
        "sip:911%00911@sip.example",
        "sip:%2B911@sip.example",
        "tel:+1911",
        "tel:+1-911-555-0100",
        // The number elsewhere than in the user part.
        "sip:911",
        "sip:911.example",
        "sip:1001@911",
        "sip:1001@sip.example;x=911",
        "sip:1001@sip.example?to=911",
        "sip:1001;isub=911@sip.example",
        "sip:1001:911@sip.example",
        "mailto:911@sip.example",
        // Other services and look-alikes.
        "urn:service:sosx",
        "urn:service:so",
        "urn:service:counseling.sos",
        "urn:service:test",
        "urn:service:test.sosx",
        "urn:service:testsos",
        "urn:servicesos",
        "urn:nena:service:sos",
        "sip:sos@sip.example",
        "sip:service%3Asos@sip.example",
    ] {
        assert_eq!(kind(uri), CallKind::Normal, "{uri}");
    }
}

#[test]
fn an_emergency_number_wins_over_an_extension_a_test_number_and_a_prefix() {
    let mut rules = crate::fixture::emergency();
    rules.numbers.push("933".to_owned());
    rules.numbers.push("1-1-8".to_owned());
    rules.numbers.push("-".to_owned());
    let site = Directory::new("sip.example".to_owned(), vec![endpoint("a", "911")], Vec::new(), Vec::new(), rules, Vec::new());
    for number in ["911", "933", "118", "1-18"] {
        assert_eq!(classify_number(number.as_bytes(), &site).0, CallKind::Emergency, "{number}");
    }
    // A number of nothing but separators means nothing.
    for number in ["", "-", "9", "()"] {
        assert_eq!(classify_number(number.as_bytes(), &site).0, CallKind::Normal, "{number}");
    }
    // Without prefixes only the numbers themselves.
    let bare = Directory::new(
        String::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Emergency { outside_prefixes: Vec::new(), ..crate::fixture::emergency() },
        Vec::new(),
    );
    assert_eq!(classify_number(b"9911", &bare).0, CallKind::Normal);
    assert_eq!(classify_number(b"911", &bare), (CallKind::Emergency, "911"));
}

proptest! {
    /// Whatever is written between the digits, the number stays the number; whatever else is dialled is none.
    #[test]
    fn separators_never_hide_a_call_for_help(gaps in prop::collection::vec("[-.() ]{0,3}", 4), number in prop::sample::select(vec!["112", "911", "999"])) {
        let mut written = gaps[3].clone();
        for (digit, gap) in number.chars().zip(&gaps) {
            written.push(digit);
            written.push_str(gap);
        }
        let uri = format!("sip:{}@cloud.example", crate::plan::escape_user(&written));
        prop_assert_eq!(kind(&uri), CallKind::Emergency, "{}", uri);
    }

    #[test]
    fn other_digits_are_no_emergency(digits in "[0-9]{1,6}") {
        let bare = digits.strip_prefix(['9', '0']).unwrap_or("");
        let is = |list: &[&str]| list.contains(&digits.as_str()) || list.contains(&bare);
        let expected = if is(&["112", "911", "999"]) { CallKind::Emergency } else if is(&["933"]) { CallKind::EmergencyTest } else { CallKind::Normal };
        prop_assert_eq!(kind(&format!("sip:{digits}@x.example")), expected);
        prop_assert_eq!(kind(&format!("tel:{digits}")), expected);
    }

    #[test]
    fn no_request_uri_is_too_strange(octets in prop::collection::vec(any::<u8>(), 0..40), scheme in prop::sample::select(vec!["sip:", "tel:", "urn:", "urn:service:", "x:"])) {
        let text = [scheme.as_bytes(), &octets].concat();
        if let Some(uri) = Uri::parse(&text) {
            // Only digits or the service's name can make a call for help, however they are written.
            let decoded = uri.user_decoded().to_ascii_lowercase();
            let has = |wanted: &[u8]| wanted.iter().all(|octet| decoded.contains(octet));
            prop_assert!(classify(&uri, &directory()) == CallKind::Normal || has(b"sos") || has(b"1") || has(b"9"), "{:?}", uri);
        }
    }
}

#[test]
fn normalising_a_number() {
    for (written, expected) in [
        ("+44 (20) 3000-1234", "+442030001234"),
        ("9.1.1", "911"),
        ("*97#", "*97#"),
        ("1001", "1001"),
        ("", ""),
        ("alice.smith", "alice.smith"),
        ("desk-1", "desk-1"),
        ("1+1", "1+1"),
        ("-.()", "-.()"),
        ("+", "+"),
        ("+-", "+-"),
        ("7042;phone-context=example.com", "7042"),
        ("+44 20;x=1;y", "+4420"),
        ("a;b", "a;b"),
        (";1", ";1"),
    ] {
        assert_eq!(normalise(written), expected, "{written}");
    }
}

fn call(uri: &str, remote: &str) -> Call {
    read_call(&invite(uri, ""), udp(remote), &directory(), at(0)).unwrap()
}

fn told(resolved: &Resolved) -> String {
    let stages = resolved.stages.iter().map(|stage| {
        let leg = &stage.legs[0];
        let trunk = leg.trunk.as_deref().unwrap_or("-");
        let shown = leg.caller_number.as_deref().unwrap_or("own");
        format!(
            "{trunk} {} by {:?} To {} as {shown}, wait {:?} ring {:?}\n",
            leg.uri,
            leg.flow,
            leg.called,
            stage.answer_wait.unwrap_or_default(),
            stage.ring
        )
    });
    stages.collect()
}

fn check(site: &Site, plan: &EmergencyPlan, call: &Call, expected: &Expect) {
    let resolved = resolve(plan, call, site);
    assert!(resolved.stages.iter().all(|stage| stage.legs.len() == 1
        && stage.next_on_refusal
        && stage.next == NextOn { busy: true, no_answer: true, unreachable: true }));
    expected.assert_eq(&told(&resolved));
}

#[test]
fn the_own_plan_shows_where_the_caller_is() {
    let site = site();
    let nothing = EmergencyPlan::default();
    check(
        &site,
        &nothing,
        &call("sip:9911@x.example", "10.1.0.7:5060"),
        &expect![[r#"
            first sip:911@192.0.2.10:5060;transport=udp by udp:192.0.2.10:5060 To 911 as +442030002222, wait 3s ring 180s
            second sips:911@[2001:db8::5] by tcp:[2001:db8::5]:5061 To 911 as +442030002222, wait 0ns ring 180s
        "#]],
    );
    // A place without ELIN: the direct number of a known phone, else its own.
    let mut known = call("sip:911@x.example", "10.2.0.7:5060");
    check(
        &site,
        &nothing,
        &known,
        &expect![[r#"
            first sip:911@192.0.2.10:5060;transport=udp by udp:192.0.2.10:5060 To 911 as own, wait 3s ring 180s
            second sips:911@[2001:db8::5] by tcp:[2001:db8::5]:5061 To 911 as own, wait 0ns ring 180s
        "#]],
    );
    known.caller = Caller::Endpoint(Arc::clone(site.directory().endpoint("desk-1").unwrap()));
    check(
        &site,
        &nothing,
        &known,
        &expect![[r#"
            first sip:911@192.0.2.10:5060;transport=udp by udp:192.0.2.10:5060 To 911 as +442030001234, wait 3s ring 180s
            second sips:911@[2001:db8::5] by tcp:[2001:db8::5]:5061 To 911 as +442030001234, wait 0ns ring 180s
        "#]],
    );
    // A URN goes out as it came, by the trunk's flow.
    check(
        &site,
        &nothing,
        &call("urn:service:sos.fire", "192.168.0.1:5060"),
        &expect![[r#"
            first urn:service:sos.fire by udp:192.0.2.10:5060 To urn:service:sos.fire as own, wait 3s ring 180s
            second urn:service:sos.fire by tcp:[2001:db8::5]:5061 To urn:service:sos.fire as own, wait 0ns ring 180s
        "#]],
    );
}

fn target(trunk: &str, number: &str, caller_number: Option<&str>) -> TrunkTarget {
    TrunkTarget { trunk: trunk.to_owned(), number: number.to_owned(), caller_number: caller_number.map(str::to_owned) }
}

#[test]
fn the_policys_trunks_go_first_and_none_is_lost() {
    let site = site();
    let plan = EmergencyPlan {
        trunks: vec![
            target("spare", "", Some("+15550100")),
            target("unknown", "911", None),
            target("first", "0112", Some("")),
            target("spare", "", Some("+15550100")),
        ],
    };
    // Health is not asked.
    for trunk in ["spare", "first", "second"] {
        for _ in 0..5 {
            site.trunks.note(trunk, site.trunks.flows(trunk)[0], Sign::Silent, at(0));
        }
        assert!(!site.trunks.healthy(trunk));
    }
    check(
        &site,
        &plan,
        &call("sip:911@x.example", "10.1.0.7:5060"),
        &expect![[r#"
            spare sip:911@spare.example;user=phone by udp:203.0.113.7:5060 To 911 as +15550100, wait 3s ring 180s
            first sip:112@192.0.2.10:5060;transport=udp by udp:192.0.2.10:5060 To 112 as +442030002222, wait 3s ring 180s
            second sips:911@[2001:db8::5] by tcp:[2001:db8::5]:5061 To 911 as +442030002222, wait 0ns ring 180s
        "#]],
    );
}

#[test]
fn every_address_of_a_trunk_is_tried_and_one_without_is_left_out() {
    let site = site();
    site.trunks.set_flows("first", Vec::new());
    site.trunks.set_flows("second", vec![udp("198.51.100.1:5060"), udp("198.51.100.2:5060")]);
    check(
        &site,
        &EmergencyPlan::default(),
        &call("sip:112@x.example", "10.1.0.7:5060"),
        &expect![[r#"
            second sips:112@[2001:db8::5] by udp:198.51.100.1:5060 To 112 as +442030002222, wait 3s ring 180s
            second sips:112@[2001:db8::5] by udp:198.51.100.2:5060 To 112 as +442030002222, wait 0ns ring 180s
        "#]],
    );
    // Anybody is better than nobody.
    site.trunks.set_flows("second", Vec::new());
    check(
        &site,
        &EmergencyPlan::default(),
        &call("sip:112@x.example", "10.1.0.7:5060"),
        &expect![[r#"
            spare sip:112@spare.example;user=phone by udp:203.0.113.7:5060 To 112 as +442030002222, wait 0ns ring 180s
        "#]],
    );
    site.trunks.set_flows("spare", Vec::new());
    assert!(resolve(&EmergencyPlan::default(), &call("sip:112@x.example", "10.1.0.7:5060"), &site).stages.is_empty());
}

/// The one thing that cannot be helped is a site from which no way leads out; then somebody there is called who can.
#[test]
fn without_any_way_out_the_security_desk_rings() {
    let site = site();
    for trunk in ["first", "second", "spare"] {
        site.trunks.set_flows(trunk, Vec::new());
    }
    let mut directory = directory();
    directory.emergency.security_desk = Some("1002".to_owned());
    site.replace_directory(directory, at(0));
    let stages =
        |number: &str| resolve(&EmergencyPlan::default(), &call(&format!("sip:{number}@x.example"), "10.1.0.7:5060"), &site).stages;
    let rung: Vec<_> = stages("112").into_iter().filter_map(|stage| stage.seek).flat_map(|seek| seek.whom).collect();
    assert!(rung.len() == 1 && rung[0].endpoint.as_deref() == Some("desk-2"), "{rung:?}");
    assert!(stages("933").is_empty(), "a test shows that there is no way");
}

#[test]
fn without_named_trunks_every_trunk_is_tried() {
    let old = directory();
    let rules = Emergency { trunks: vec!["misspelt".to_owned()], ..old.emergency.clone() };
    let trunks = old.trunks.iter().map(|trunk| (**trunk).clone()).collect();
    let directory = Directory::new("sip.example".to_owned(), Vec::new(), Vec::new(), trunks, rules, Vec::new());
    let plan = own_plan(&call("sip:112@x.example", "10.1.0.7:5060"), &directory);
    assert_eq!(plan.trunks.iter().map(|target| target.trunk.as_str()).collect::<Vec<_>>(), ["first", "second", "spare"]);
    assert!(plan.trunks.iter().all(|target| target.number == "112"));
}

#[test]
fn a_boundless_plan_is_cut() {
    let site = site();
    let plan = EmergencyPlan { trunks: (0..100_000).map(|n| target("first", &n.to_string(), None)).collect() };
    let resolved = resolve(&plan, &call("sip:112@x.example", "10.1.0.7:5060"), &site);
    assert_eq!(resolved.stages.len(), site.limits.stages + 1, "the second trunk of the host's own plan is still there");
}

#[test]
fn who_may_call_for_help_unknown() {
    let directory = directory();
    for (address, expected) in [("10.200.0.1", true), ("::ffff:10.0.0.1", true), ("::1", true), ("::2", false), ("192.0.2.1", false)] {
        assert_eq!(admitted(address.parse().unwrap(), &directory), expected, "{address}");
    }
}

#[test]
fn the_place_decides_which_trunks_go_first_and_which_number_is_shown() {
    let mut directory = directory();
    directory.locations[1].trunks = vec!["spare".to_owned(), "second".to_owned(), "misspelt".to_owned()];
    let names = |call: &Call, directory: &Directory| {
        own_plan(call, directory).trunks.into_iter().map(|target| (target.trunk, target.caller_number)).collect::<Vec<_>>()
    };
    let shown = |number: &str, trunks: [&str; 3]| trunks.map(|trunk| (trunk.to_owned(), Some(number.to_owned()))).to_vec();
    let here = call("sip:112@x.example", "10.1.0.7:5060");
    assert_eq!(names(&here, &directory), shown("+442030002222", ["spare", "second", "first"]));
    // A phone of which nothing is known is at the site's own place.
    let mut stray = call("sip:112@x.example", "192.168.0.1:5060");
    assert_eq!(place(&stray, &directory).map(|place| &place.name), None);
    directory.emergency.location = Some("annex".to_owned());
    assert_eq!(names(&stray, &directory), shown("+442030002222", ["spare", "second", "first"]));
    // Its own number goes first where the operator wants that, and only where it has one.
    directory.emergency.caller_id = CallerId::Own;
    assert_eq!(names(&stray, &directory)[0].1.as_deref(), Some("+442030002222"));
    stray.caller = Caller::Endpoint(Arc::clone(directory.endpoint("desk-1").unwrap()));
    assert_eq!(names(&stray, &directory)[0].1.as_deref(), Some("+442030001234"));
}

/// A policy that shows one of the caller's own numbers leaves it to the operator which.
#[test]
fn a_policy_chooses_another_number_or_none() {
    for (caller_id, wanted, expected) in [
        (CallerId::Elin, Some("+442030001234"), "+442030002222"),
        (CallerId::Own, Some("+442030002222"), "+442030001234"),
        (CallerId::Own, None, "+442030001234"),
        (CallerId::Elin, Some("+15550100"), "+15550100"),
    ] {
        let mut directory = directory();
        directory.emergency.caller_id = caller_id;
        let site = Site::new(directory, Limits::default());
        site.trunks.set_flows("first", vec![udp("192.0.2.10:5060")]);
        let mut call = call("sip:112@x.example", "10.1.0.7:5060");
        call.caller = Caller::Endpoint(Arc::clone(site.directory().endpoint("desk-1").unwrap()));
        let plan = EmergencyPlan { trunks: vec![target("first", "112", wanted)] };
        assert_eq!(resolve(&plan, &call, &site).stages[0].legs[0].caller_number.as_deref(), Some(expected), "{wanted:?}");
    }
}

#[test]
fn a_test_goes_by_the_trunks_for_tests_and_by_no_other() {
    let mut directory = directory();
    directory.emergency.test_trunks = vec!["spare".to_owned()];
    let site = Site::new(directory, Limits::default());
    site.trunks.set_flows("first", vec![udp("192.0.2.10:5060")]);
    let plan = EmergencyPlan { trunks: vec![target("first", "933", None)] };
    let test = call("sip:933@x.example", "10.1.0.7:5060");
    assert!(resolve(&plan, &test, &site).stages.is_empty(), "the trunk for tests has no address");
    site.trunks.set_flows("spare", vec![udp("203.0.113.7:5060")]);
    let trunks =
        |call: &Call| resolve(&plan, call, &site).stages.iter().filter_map(|stage| stage.legs[0].trunk.clone()).collect::<Vec<_>>();
    assert_eq!(trunks(&test), ["spare"]);
    assert_eq!(trunks(&call("sip:911@x.example", "10.1.0.7:5060")), ["first"]);
}

/// RFC 3966, RFC 3261 19.1.6, 26.2.2: whatever form a phone or its dial plan gives the number.
#[test]
fn forms_that_phones_give_a_number() {
    for (uri, expected) in [
        ("sips:112@cloud.example;user=phone", CallKind::Emergency),
        ("sips:%31%31%32@cloud.example", CallKind::Emergency),
        ("sip:1%2D1%2D2;phone-context=%2B44@cloud.example;user=phone", CallKind::Emergency),
        ("tel:1-1-2;phone-context=+44;isub=1", CallKind::Emergency),
        ("sip:9-9.9@cloud.example;user=phone", CallKind::Emergency),
        ("sip:9(999)@cloud.example", CallKind::Emergency),
        ("sip:0%20112@cloud.example;transport=tls;user=phone", CallKind::Emergency),
        ("tel:9933", CallKind::EmergencyTest),
        ("sips:9-33@cloud.example;user=phone", CallKind::EmergencyTest),
        // E.164 has no emergency numbers: what follows a plus is a country.
        ("tel:+112", CallKind::Normal),
        ("sip:+999@cloud.example;user=phone", CallKind::Normal),
    ] {
        assert_eq!(kind(uri), expected, "{uri}");
    }
}
