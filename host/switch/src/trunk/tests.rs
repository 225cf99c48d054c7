use super::*;
use crate::fixture::{at, udp};

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
    assert!(trunks.healthy("first"), "unknown counts as reachable");
    trunks.note("first", false);
    assert!(trunks.healthy("first"));
    for _ in 0..5 {
        trunks.note("first", false);
        assert!(!trunks.healthy("first"));
    }
    trunks.note("first", true);
    trunks.note("first", false);
    assert!(trunks.healthy("first"));
}
