mod keeping;

use super::*;
use crate::fixture::{at, udp};

const GOOD: Sign = Sign::Answered(None);
fn take(trunks: &Trunks, trunk: &str) -> Channel {
    trunks.take(trunk, Way::Out, &Capacity::default(), Holder::default(), at(0)).unwrap()
}

#[test]
fn channels_are_counted_as_long_as_they_are_held() {
    let trunks = Trunks::new();
    assert_eq!(trunks.in_use("first"), 0);
    let one = take(&trunks, "first");
    let two = take(&trunks, "first");
    assert_eq!((trunks.in_use("first"), trunks.in_use("second")), (2, 0));
    assert_eq!(one.trunk(), "first");
    drop(one);
    assert_eq!(trunks.in_use("first"), 1);
    // A trunk that leaves the configuration leaves its calls alone, and their end does not count for a new one of that name.
    trunks.retain(|_| false);
    let three = take(&trunks, "first");
    drop(two);
    assert_eq!(trunks.in_use("first"), 1);
    drop(three);
    assert_eq!(trunks.in_use("first"), 0);
}

#[test]
fn flows_are_kept_in_their_order() {
    let trunks = Trunks::new();
    assert!(trunks.flows("first").is_empty());
    trunks.set_flows("first", vec![udp("192.0.2.2:5060"), udp("192.0.2.1:5060")]);
    assert_eq!(*trunks.flows("first"), [udp("192.0.2.2:5060"), udp("192.0.2.1:5060")]);
    trunks.set_flows("first", Vec::new());
    assert!(trunks.flows("first").is_empty());
}

#[test]
fn one_failure_is_no_outage_and_one_success_ends_it() {
    let trunks = Trunks::new();
    let flow = udp("192.0.2.1:5060");
    assert!(trunks.healthy("first"), "unknown counts as reachable");
    trunks.set_flows("first", vec![flow]);
    trunks.note("first", flow, Sign::Silent, at(0));
    assert!(trunks.healthy("first"));
    for second in 1..5 {
        trunks.note("first", flow, Sign::Silent, at(second));
        assert!(!trunks.healthy("first"));
    }
    // An address that is not its own says nothing.
    trunks.note("first", udp("192.0.2.9:5060"), GOOD, at(5));
    assert!(!trunks.healthy("first"));
    trunks.note("first", flow, GOOD, at(5));
    trunks.note("first", flow, Sign::Silent, at(6));
    assert!(trunks.healthy("first"));
}

#[test]
fn a_trunk_is_as_well_as_its_first_addresses() {
    let trunks = Trunks::new();
    let (one, two, spare) = (udp("192.0.2.1:5060"), udp("192.0.2.2:5060"), udp("192.0.2.3:5060"));
    let way = |flow, priority| Server { flow, priority, weight: 1 };
    assert_eq!(trunks.standing("first"), Standing::Up, "nothing is known");
    trunks.settle("first", true, at(0));
    assert_eq!(trunks.standing("first"), Standing::Down);
    trunks.set_servers("first", vec![way(spare, 20), way(one, 10), way(two, 10)]);
    trunks.settle("first", true, at(1));
    let fails = |flow, times, now| {
        for _ in 0..times {
            trunks.note("first", flow, Sign::Refused(503), at(now));
        }
        trunks.standing("first")
    };
    assert_eq!(fails(spare, 2, 2), Standing::Up, "what is kept for the time when the first are gone");
    assert_eq!(fails(one, 2, 3), Standing::Degraded);
    assert_eq!(fails(two, 2, 4), Standing::Down);
    for second in 20..23 {
        trunks.note("first", two, GOOD, at(second));
    }
    let told = trunks.take_changes().into_iter().map(|change| format!("{} to {}: {}", change.from.name(), change.to.name(), change.why));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "up to down: it has no address",
            "down to up: ",
            "up to degraded: udp:192.0.2.1:5060 answers 503",
            // Of two that are down, the last of the configuration is named.
            "degraded to down: udp:192.0.2.2:5060 answers 503",
            "down to degraded: udp:192.0.2.1:5060 answers 503",
        ]
    );
    assert!(trunks.take_changes().is_empty());
}

#[test]
fn a_call_tries_the_registered_address_first_and_those_that_are_down_last() {
    let trunks = Trunks::new();
    let flows = ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"].map(udp);
    let [one, two, three] = flows;
    trunks.set_flows("first", flows.to_vec());
    let choose = || trunks.choose("first", || Random::from_seed([0; 32]));
    assert_eq!(choose(), [one, two, three]);
    let registered = RegistrationReport { until: Some(at(60)), flow: Some(three), ..RegistrationReport::default() };
    trunks.set_registered("first", Some(registered), at(0));
    assert_eq!(choose(), [three, one, two]);
    for _ in 0..2 {
        trunks.note("first", one, Sign::Silent, at(1));
        trunks.note("first", three, Sign::Silent, at(1));
    }
    assert_eq!(choose(), [two, three, one]);
    assert!(trunks.registered_at("first", udp("192.0.2.2:5060")) && !trunks.registered_at("first", udp("192.0.2.2:5061")));
    trunks.set_registered("first", None, at(2));
    assert!(!trunks.registered_at("first", udp("192.0.2.2:5060")));
}

#[test]
fn a_connection_proves_the_names_of_its_certificate() {
    let trunks = Trunks::new();
    trunks.prove(7, vec!["SBC.provider.example".to_owned(), "*.edge.example".to_owned()]);
    for (name, proved) in
        [("sbc.provider.example", true), ("provider.example", false), ("one.edge.example", false), ("edge.example", false)]
    {
        assert_eq!(trunks.proves(7, name), proved, "{name}");
        assert!(!trunks.proves(8, name));
    }
    trunks.forget_connection(7);
    assert!(!trunks.proves(7, "sbc.provider.example"));
}
