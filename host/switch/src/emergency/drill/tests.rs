use super::*;
use crate::{
    decision::EmergencyPlan,
    emergency::resolve,
    fixture::{at, site},
};

fn random() -> Random {
    Random::from_seed([3; 32])
}

fn trial(trunk: &str, location: Option<&str>, number: Option<&str>) -> Trial {
    Trial { trunk: trunk.to_owned(), location: location.map(str::to_owned), number: number.map(str::to_owned) }
}

fn call(trial: &Trial) -> Result<Call, Refusal> {
    test_call(trial, &site(), "drill@holdfast", at(0), &mut random())
}

/// What goes out: Request-URI, and the number shown.
fn dialled(trial: &Trial, plan: &EmergencyPlan) -> Result<(String, Option<String>), Refusal> {
    let site = site();
    let call = test_call(trial, &site, "drill@holdfast", at(0), &mut random())?;
    let resolved = through(&trial.trunk, resolve(plan, &call, &site), &call, &site)?;
    let [stage] = resolved.stages.as_slice() else { panic!("{resolved:?}") };
    let [leg] = stage.legs.as_slice() else { panic!("{resolved:?}") };
    assert_eq!(leg.trunk.as_deref(), Some(trial.trunk.as_str()));
    assert!(stage.ring <= RINGS);
    Ok((leg.uri.clone(), leg.caller_number.clone()))
}

#[test]
fn the_test_number_goes_over_the_trunk_that_is_named_with_the_number_of_the_location() {
    let own = EmergencyPlan::default();
    let (uri, shown) = dialled(&trial("first", Some("hq"), None), &own).unwrap();
    assert_eq!((uri.as_str(), shown.as_deref()), ("sip:933@192.0.2.10:5060;transport=udp", Some("+442030001111")));
    let (uri, shown) = dialled(&trial("second", Some("annex"), None), &own).unwrap();
    assert_eq!((uri.as_str(), shown.as_deref()), ("sips:933@[2001:db8::5]", Some("+442030002222")));
    // A trunk that no call for help takes can be tried all the same.
    let (uri, shown) = dialled(&trial("spare", Some("hq"), Some("urn:service:test.sos")), &own).unwrap();
    assert_eq!((uri.as_str(), shown.as_deref()), ("urn:service:test.sos", Some("+442030001111")));
    // Nowhere in particular there is no number to show.
    assert_eq!(dialled(&trial("first", None, None), &own).unwrap().1, None);
}

#[test]
fn it_is_made_as_by_a_phone_that_stands_there_and_offers_what_never_flows() {
    let call = call(&trial("first", Some("annex"), None)).unwrap();
    assert_eq!(call.kind, CallKind::EmergencyTest);
    assert_eq!((call.caller_number.as_str(), call.location.as_deref()), ("1001", Some("annex")));
    let session = String::from_utf8_lossy(call.message.body()).into_owned();
    assert!(session.contains("m=audio 9 ") && session.ends_with("a=inactive\r\n"), "{session}");
    assert_eq!(crate::record::offered(call.message.body()), ["PCMU", "PCMA", "telephone-event"]);
    let nobody = test_call(&trial("first", Some("lab"), None), &site(), "drill@holdfast", at(0), &mut random()).unwrap();
    assert_eq!(nobody.caller, Caller::Unknown);
}

#[test]
fn nothing_but_a_test_is_ever_dialled() {
    for number in ["112", "911", "9911", "urn:service:sos", "1001", "tel:112", "0999"] {
        assert_eq!(call(&trial("first", None, Some(number))).unwrap_err().status, 403, "{number}");
    }
    // Not even where a policy wants it.
    let wrong = EmergencyPlan { trunks: vec![TrunkTarget { trunk: "first".to_owned(), number: "112".to_owned(), caller_number: None }] };
    assert_eq!(dialled(&trial("first", Some("hq"), None), &wrong).unwrap_err().status, 403);
    let other =
        EmergencyPlan { trunks: vec![TrunkTarget { trunk: "first".to_owned(), number: "+15550100".to_owned(), caller_number: None }] };
    assert_eq!(dialled(&trial("first", Some("hq"), None), &other).unwrap_err().status, 403);
}

#[test]
fn what_is_not_there_cannot_be_tried() {
    assert_eq!(call(&trial("third", None, None)).unwrap_err().status, 404);
    assert_eq!(call(&trial("first", Some("moon"), None)).unwrap_err().status, 404);
    let site = site();
    site.trunks.set_flows("first", Vec::new());
    let refused = test_call(&trial("first", None, None), &site, "drill@holdfast", at(0), &mut random());
    assert_eq!(refused.unwrap_err().status, 480);
}
