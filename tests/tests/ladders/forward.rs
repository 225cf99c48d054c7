//! Calls that a phone forwards: the bridge goes on to where the redirection says, by the site's own rules.

use crate::seconds;
use expect_test::expect;
use sip::header::Name;
use std::time::Duration;
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

/// A phone that forwards at once.
const fn forwards(status: u16, contact: &'static str) -> Manner {
    Manner::Redirects { status, contact, after: Duration::ZERO }
}

#[test]
fn to_another_extension() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(forwards(302, "<sip:1003@cloud.example>"));
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(carol).call().invited(Name::Diversion), ["<sip:1002@sip.example>;reason=unconditional;counter=1"]);
    assert_eq!(
        world.phone(carol).call().invited(Name::HistoryInfo),
        [
            "<sip:1002@sip.example>;index=1",
            "<sip:1002@sip.example?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1",
            "<sip:1003@sip.example>;index=1.2;mp=1",
        ]
    );
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           302 Moved Temporarily
        0.000    gw ⇢ policy        internal: route carol
        0.000    gw → bob           ACK
        0.000    gw → carol         INVITE 1003 +body
        0.000    carol → gw         180 Ringing
        0.000    gw → alice         180 Ringing
        2.000    carol → gw         200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → carol         ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → carol         BYE
        5.000    carol → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// Bob's right to dial outside counts, and his number is shown there.
#[test]
fn a_call_from_outside_to_the_outside() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    world.phone(bob).manner(forwards(302, "<sip:+442071234567@cloud.example;user=phone>"));
    world.phone(north).manner(Manner::Refuses(503));
    world.dial(north, "+442030001002");
    world.wait(seconds(5));
    world.hang_up(south);
    world.finish();
    let from = world.phone(south).call().invited(Name::From);
    assert!(from[0].contains("sip:+442030001002@"), "{from:?}");
    expect![[r#"
        0.000    north → gw         INVITE +442030001002 +body
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           302 Moved Temporarily
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route north/+442071234567 as +442030001002 and next on unreachable, then south/+442071234567 as +442030001002 and next on unreachable
        0.000    gw → bob           ACK
        0.000    gw → north         INVITE +442071234567 +body
        0.000    north → gw         503 Service Unavailable
        0.000    gw → north         ACK
        0.000    gw → south         INVITE +442071234567 +body
        0.000    south → gw         180 Ringing
        0.000    gw → north         180 Ringing
        2.000    south → gw         200 OK +body
        2.000    gw → north         200 OK +body
        2.000    north → gw         ACK
        2.000    gw → south         ACK
        5.000    south → gw         BYE
        5.000    gw → south         200 OK (BYE)
        5.000    gw → north         BYE
        5.000    north → gw         200 OK (BYE)
    "#]].assert_eq(&world.ladder());
}

#[test]
fn after_ringing() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Redirects { status: 302, contact: "<sip:1003@cloud.example>", after: seconds(15) });
    world.dial(alice, "1002");
    world.wait(seconds(20));
    assert_eq!(world.phone(carol).call().invited(Name::Diversion), ["<sip:1002@sip.example>;reason=no-answer;counter=1"]);
    world.hang_up(carol);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(alice).call().progress(), [180, 180]);
}

#[test]
fn the_best_contact_first_and_then_the_next() {
    let mut world = World::new(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.phone(bob).manner(forwards(300, "<sip:1004@cloud.example>;q=0.2, <sip:1003@cloud.example>;q=0.9"));
    world.phone(carol).manner(Manner::Refuses(486));
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(486)));
    assert!(world.phone(dave).call().up() && world.phone(alice).call().up());
    world.hang_up(alice);
    world.finish();
}

/// A forwards to B, B to C, and C to A.
#[test]
fn in_a_circle() {
    let mut world = World::new(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.phone(bob).manner(forwards(302, "<sip:1003@cloud.example>"));
    world.phone(carol).manner(forwards(302, "<sip:1004@cloud.example>"));
    world.phone(dave).manner(forwards(302, "<sip:1002@cloud.example>"));
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(482)));
    assert_eq!(world.phone(bob).calls().len(), 1);
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           302 Moved Temporarily
        0.000    gw ⇢ policy        internal: route carol
        0.000    gw → bob           ACK
        0.000    gw → carol         INVITE 1003 +body
        0.000    carol → gw         302 Moved Temporarily
        0.000    gw ⇢ policy        internal: route dave
        0.000    gw → carol         ACK
        0.000    gw → dave          INVITE 1004 +body
        0.000    dave → gw          302 Moved Temporarily
        0.000    gw → dave          ACK
        0.000    gw → alice         482 Loop Detected
        0.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
}

/// The policies refuse what the phone may not dial; the caller hears their words.
#[test]
fn to_a_number_that_nobody_has() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(forwards(302, "<sip:77@cloud.example>"));
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(404)));
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           302 Moved Temporarily
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: refuse 404 Not Found
        0.000    gw → bob           ACK
        0.000    gw → alice         404 Not Found
        0.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
}

/// A phone may not name a proxy, an alternative service, or nobody.
#[test]
fn to_where_nothing_is_followed() {
    for (status, contact) in [(305, "<sip:10.9.9.9;lr>"), (380, "<sip:1003@cloud.example>"), (302, ""), (302, "<mailto:a@example.org>")] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        world.phone(bob).manner(forwards(status, contact));
        world.dial(alice, "1002");
        world.finish();
        let end = world.phone(alice).call().end();
        assert!(matches!(end, Some(End::Refused(480 | 416))), "{status} {contact}: {end:?}");
        assert!(world.phone(carol).calls().is_empty());
    }
}

/// The phone that is called by a forward is busy: that is how the call ends.
#[test]
fn to_a_busy_phone() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(forwards(302, "<sip:1003@cloud.example>"));
    world.phone(carol).manner(Manner::Refuses(486));
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(486)));
}

/// The caller gives up while the call rings where it was forwarded to.
#[test]
fn given_up_by_the_caller() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(forwards(301, "<sip:1003@cloud.example>"));
    world.phone(carol).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(3));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(carol).call().end(), Some(End::Cancelled));
}

/// One of a user's two phones forwards, the other rings on; it answers first.
#[test]
fn one_of_two_phones_forwards() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    let second = world.add(Phone::account("bob", sip::transport::Transport::Udp).at("bob2", "10.1.0.22:5060"));
    world.register(second);
    world.wait(seconds(1));
    world.phone(bob).manner(forwards(302, "<sip:1003@cloud.example>"));
    world.phone(carol).manner(Manner::Rings);
    world.phone(second).manner(Manner::Answers(seconds(3)));
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(carol).call().end(), Some(End::Cancelled));
    assert!(world.phone(second).call().up());
    world.hang_up(alice);
    world.finish();
}

/// The redirection names another phone by its own Contact, whose user part means nobody.
#[test]
fn to_the_contact_of_another_phone() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let carol = world.add(Phone::account("carol", sip::transport::Transport::Udp).contact_user("x7f3"));
    world.register(carol);
    world.wait(seconds(1));
    world.phone(bob).manner(forwards(302, "<sip:x7f3@10.1.0.3:5060>"));
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert!(world.phone(carol).call().up());
    world.hang_up(alice);
    world.finish();
}
