//! The emergency service calls back: the phone rings that has called for help, whatever stands between, and else the security desk.

use crate::{seconds, talk};
use expect_test::expect;
use sip::transport::Transport;
use switch::directory::{Directory, Location};
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{End, Manner, Phone},
};

const ELIN: &str = "+442030001111";

/// One place with a number, and a desk.
fn rules(directory: &mut Directory) {
    directory.locations = vec![Location {
        name: "hq".to_owned(),
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        elin: Some(ELIN.to_owned()),
        ..Location::default()
    }];
    directory.emergency.security_desk = Some("1004".to_owned());
}

/// Alice has called for help and hung up; dave is the security desk.
fn site(registered: bool) -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::around(1, Gateway::of(1, &Plot { change: rules, ..Plot::default() }));
    let [dave] = world.registered(["dave"]);
    let alice = world.add(Phone::account("alice", Transport::Udp));
    let (north, _) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    if registered {
        world.register(alice);
        world.wait(seconds(1));
    }
    talk(&mut world, alice, "112");
    assert!(world.phone(north).call().last("INVITE", "From").contains(ELIN));
    world.hang_up(alice);
    world.wait(seconds(1));
    world.ladder();
    (world, alice, dave, north)
}

#[test]
fn the_phone_that_has_called_rings_and_no_policy_is_asked() {
    let (mut world, alice, _, north) = site(true);
    world.dial(north, ELIN);
    world.wait(seconds(5));
    world.hang_up(north);
    world.finish();
    expect![[r#"
        0.000    north → gw         INVITE +442030001111 +body
        0.000    gw → alice         INVITE 1001 +body
        0.000    alice → gw         180 Ringing
        0.000    gw → north         180 Ringing
        2.000    alice → gw         200 OK +body
        2.000    gw → north         200 OK +body
        2.000    gw → alice         ACK
        2.000    north → gw         ACK
        2.000    gw → alice         ACK
        5.000    north → gw         BYE
        5.000    gw → north         200 OK (BYE)
        5.000    gw → alice         BYE
        5.000    alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
    assert_eq!(world.phone(alice).call().last("INVITE", "Priority"), "psap-callback");
}

#[test]
fn a_phone_that_never_registered_is_called_where_it_called_from() {
    let (mut world, alice, _, north) = site(false);
    // Without the plus, as some providers write it.
    world.dial(north, &ELIN[1..]);
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    world.hang_up(alice);
    world.finish();
}

#[test]
fn a_phone_that_is_away_is_looked_for_until_it_is_back() {
    let (mut world, alice, dave, north) = site(true);
    world.unplug(alice, false);
    world.dial(north, ELIN);
    world.wait(seconds(20));
    let progress = world.phone(north).call().progress().to_vec();
    assert!(!progress.is_empty() && progress.iter().all(|status| *status == 182), "it waits: {progress:?}");
    let address = world.phone(alice).address();
    world.plug(address);
    world.wait(seconds(15));
    // The INVITEs of before, which were given up, may still arrive: they ring and are cancelled.
    let talks = world.phone(alice).calls().iter().filter(|call| call.up()).count();
    assert!(talks == 1 && world.phone(north).call().up(), "{}", world.ladder());
    assert!(world.phone(dave).calls().is_empty());
    world.hang_up(north);
    world.finish();
}

/// One in failback refuses every call, and one that is set to do not disturb, too.
#[test]
fn who_refuses_is_asked_again_and_then_the_desk_rings_as_well() {
    for manner in [
        Manner::Refuses(486),
        Manner::Refuses(603),
        Manner::Redirects { status: 302, contact: "<sip:1002@sip.example>", after: seconds(0) },
    ] {
        let (mut world, alice, dave, north) = site(true);
        let before = world.phone(alice).calls().len();
        world.phone(alice).manner(manner);
        world.phone(dave).manner(Manner::Answers(seconds(3)));
        world.dial(north, ELIN);
        world.wait(seconds(59));
        assert!(world.phone(dave).calls().is_empty(), "{manner:?}: {}", world.ladder());
        let asked = world.phone(alice).calls().len() - before;
        assert!((5..=10).contains(&asked), "{manner:?}: {asked} times, with pauses that grow");
        world.wait(seconds(15));
        assert!(world.phone(dave).call().up() && world.phone(north).call().up(), "{manner:?}: {}", world.ladder());
        world.hang_up(dave);
        world.finish();
        let records = world.gateway().records();
        assert_eq!(records.last().map(|record| record.kind), Some(switch::facts::CallKind::Callback));
    }
}

#[test]
fn it_is_remembered_for_three_hours_and_then_the_desk_rings() {
    let (mut world, alice, dave, north) = site(false);
    let before = world.phone(alice).calls().len();
    world.wait(seconds(3 * 3600 - 60));
    world.dial(north, ELIN);
    world.wait(seconds(5));
    assert!(world.phone(alice).calls().len() == before + 1 && world.phone(alice).call().up(), "{}", world.ladder());
    world.hang_up(north);
    world.wait(seconds(120));
    // The desk has registered again meanwhile.
    world.register(dave);
    world.wait(seconds(1));
    world.dial(north, ELIN);
    world.wait(seconds(5));
    assert!(world.phone(dave).call().up() && world.phone(alice).calls().len() == before + 1, "{}", world.ladder());
    world.hang_up(dave);
    world.finish();
}

/// Several have shown the same number: the last one rings first, and all of them when it does not answer.
#[test]
fn of_several_callers_the_last_rings_first() {
    let (mut world, alice, _, north) = site(true);
    let carol = world.add(Phone::account("carol", Transport::Udp));
    talk(&mut world, carol, "112");
    world.hang_up(carol);
    world.wait(seconds(1));
    let before = world.phone(alice).calls().len();
    world.phone(carol).manner(Manner::Refuses(486));
    world.dial(north, ELIN);
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).calls().len(), before);
    world.wait(seconds(8));
    assert!(world.phone(alice).call().up(), "{}", world.ladder());
    world.hang_up(north);
    world.finish();
}

/// RFC 7090: the mark says it, where the trunk is one for calls for help; the number may be the phone's own.
#[test]
fn a_marked_call_is_believed_of_trunks_for_calls_for_help_only() {
    for (believed, trunks) in [(true, 2), (false, 1)] {
        let mut world = World::around(1, Gateway::of(1, &Plot { help_trunks: trunks, ..Plot::default() }));
        let [bob] = world.registered(["bob"]);
        let _north = world.add(Phone::trunk("north"));
        let south = world.add(Phone::trunk("south"));
        world.phone(bob).manner(Manner::Redirects { status: 302, contact: "<sip:1003@sip.example>", after: seconds(0) });
        world.phone(south).habits().calls_with.push(("Priority", "psap-callback"));
        world.dial(south, "+442030001002");
        world.wait(seconds(5));
        let policies = world.ladder().contains("gw ⇢ policy");
        assert_eq!(policies, !believed);
        assert_eq!(world.phone(bob).calls().len() > 1, believed, "who forwards is asked again when help calls");
        world.hang_up(south);
        world.finish();
    }
}

#[test]
fn nobody_gets_lost_in_it_over_a_restart_or_a_full_site() {
    let (mut world, alice, _, north) = site(true);
    world.unplug(alice, false);
    world.dial(north, ELIN);
    // In the middle of a pause.
    world.wait(seconds(7));
    world.crash(2);
    let address = world.phone(alice).address();
    world.plug(address);
    world.wait(seconds(30));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    world.hang_up(north);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    // With no call left for anybody else, and no channel.
    let none = |directory: &mut Directory| {
        rules(directory);
        for trunk in &mut directory.trunks {
            std::sync::Arc::make_mut(trunk).channels.all = Some(0);
        }
    };
    let limits = switch::Limits { calls: 0, ..switch::Limits::default() };
    let mut world = World::around(1, Gateway::of(1, &Plot { change: none, limits, ..Plot::default() }));
    let alice = world.add(Phone::account("alice", Transport::Udp));
    let north = world.add(Phone::trunk("north"));
    talk(&mut world, alice, "112");
    world.hang_up(alice);
    world.wait(seconds(1));
    world.dial(north, ELIN);
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    world.hang_up(alice);
    world.finish();
}
