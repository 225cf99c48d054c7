//! Unattended transfers: the gateway answers REFER itself, calls the target with the transferor's rights, and connects it with whoever stays.

use crate::{seconds, talk};
use expect_test::expect;
use sip::{header::Name, message::Method};
use std::time::Duration;
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

#[test]
fn by_the_callee() {
    cov_mark::check!(rfc3515_2_4_7_terminated);
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(3));
    world.hang_up(bob);
    world.wait(seconds(3));
    assert_eq!(world.phone(bob).call().end(), Some(End::WeHungUp));
    assert_eq!(
        world.phone(bob).call().notified(),
        [
            "SIP/2.0 100 Trying; active;expires=180",
            "SIP/2.0 180 Ringing; active;expires=180",
            "SIP/2.0 200 OK; terminated;reason=noresource"
        ]
    );
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    assert_eq!(world.phone(carol).call().answers_in_ack(), 1, "carol's own offer was answered");
    assert_eq!(world.phone(carol).call().invited(Name::ReferredBy), ["<sip:1002@sip.example>"]);
    assert_eq!(world.phone(carol).call().invited(Name::PAssertedIdentity), ["\"alice\" <sip:1001@sip.example>"]);
    // Both ways, like any other call.
    world.say(alice, "INVITE");
    world.wait(seconds(1));
    world.say(carol, "INFO");
    world.wait(seconds(1));
    world.hang_up(carol);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    bob → gw           REFER
        0.000    gw ⇢ policy        internal: route carol
        0.000    gw → bob           202 Accepted (REFER)
        0.000    gw → bob           NOTIFY +body
        0.000    gw → carol         INVITE 1003
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    carol → gw         180 Ringing
        0.000    gw → bob           NOTIFY +body
        0.000    bob → gw           200 OK (NOTIFY)
        2.000    carol → gw         200 OK +body
        2.000    gw → alice         INVITE +body
        2.000    alice → gw         200 OK +body
        2.000    gw → alice         ACK
        2.000    gw → carol         ACK +body
        2.000    gw → bob           NOTIFY +body
        2.000    bob → gw           200 OK (NOTIFY)
        3.000    bob → gw           BYE
        3.000    gw → bob           200 OK (BYE)
        6.000    alice → gw         INVITE +body
        6.000    gw → carol         INVITE +body
        6.000    carol → gw         200 OK +body
        6.000    gw → alice         200 OK +body
        6.000    alice → gw         ACK
        6.000    gw → carol         ACK
        7.000    carol → gw         INFO +body
        7.000    gw → alice         INFO +body
        7.000    alice → gw         200 OK (INFO)
        7.000    gw → carol         200 OK (INFO)
        8.000    carol → gw         BYE
        8.000    gw → carol         200 OK (BYE)
        8.000    gw → alice         BYE
        8.000    alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn by_the_caller() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.refer(alice, "<sip:1003@cloud.example>");
    world.wait(seconds(3));
    world.hang_up(alice);
    world.wait(seconds(1));
    assert!(world.phone(bob).call().up() && world.phone(carol).call().up());
    world.say(carol, "INVITE");
    world.wait(seconds(1));
    assert_eq!(world.phone(bob).call().heard(), ["INVITE", "INVITE"]);
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
}

/// The transferor hangs up as soon as its REFER is accepted; and one never hangs up.
#[test]
fn however_the_transferor_leaves() {
    for at_once in [true, false] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        world.refer(bob, "<sip:1003@cloud.example>");
        if at_once {
            world.wait(seconds(1));
            world.hang_up(bob);
        }
        world.wait(seconds(10));
        let end = if at_once { End::WeHungUp } else { End::TheyHungUp };
        assert_eq!(world.phone(bob).call().end(), Some(end));
        assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
        world.hang_up(alice);
        world.finish();
        assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    }
}

#[test]
fn to_a_busy_phone_the_call_comes_back() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(carol).manner(Manner::Refuses(486));
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(3));
    assert_eq!(world.phone(bob).call().notified().last().unwrap(), "SIP/2.0 486 Busy Here; terminated;reason=noresource");
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.say(bob, "INVITE");
    world.wait(seconds(1));
    // Another target does it.
    world.phone(carol).manner(Manner::Answers(seconds(1)));
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(10));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    world.hang_up(alice);
    world.finish();
}

/// The transferor has gone and the target is busy: nobody is left to give the call back to.
#[test]
fn to_a_busy_phone_without_anybody_to_come_back_to() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(carol).manner(Manner::Redirects { status: 486, contact: "", after: seconds(5) });
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(1));
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    bob → gw           REFER
        0.000    gw ⇢ policy        internal: route carol
        0.000    gw → bob           202 Accepted (REFER)
        0.000    gw → bob           NOTIFY +body
        0.000    gw → carol         INVITE 1003
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    carol → gw         180 Ringing
        0.000    gw → bob           NOTIFY +body
        0.000    bob → gw           200 OK (NOTIFY)
        1.000    bob → gw           BYE
        1.000    gw → bob           200 OK (BYE)
        5.000    carol → gw         486 Busy Here
        5.000    gw → carol         ACK
        5.000    gw → alice         BYE
        5.000    alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// The transferor's own right to dial counts, not that of whoever is transferred.
#[test]
fn to_a_number_that_the_transferor_may_not_call() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:77@cloud.example>");
    world.wait(seconds(3));
    assert_eq!(world.phone(bob).call().notified().last().unwrap(), "SIP/2.0 404 Not Found; terminated;reason=noresource");
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
}

/// RFC 4488: no subscription, and the call still goes over.
#[test]
fn without_a_subscription() {
    cov_mark::check!(rfc4488_4_no_subscription);
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.act(bob, |phone, now, out| phone.refer(0, "<sip:1003@cloud.example>", &[(b"Refer-Sub", "false")], now, out));
    world.wait(seconds(10));
    assert_eq!(world.phone(bob).call().said(), [(Method::Refer, 202)]);
    assert_eq!(world.phone(bob).call().heard(), [""; 0]);
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    world.hang_up(carol);
    world.finish();
}

/// A call from outside is transferred to the outside: the providers only ever see INVITE.
#[test]
fn a_trunk_to_a_trunk() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    talk(&mut world, north, "+442030001002");
    world.phone(north).manner(Manner::Refuses(503));
    world.refer(bob, "<sip:+442071234567@cloud.example>");
    world.wait(seconds(3));
    world.hang_up(bob);
    world.wait(seconds(1));
    assert!(world.phone(south).call().up() && world.phone(north).calls()[0].up());
    let from = world.phone(south).call().invited(Name::From);
    assert!(from[0].contains("sip:+442030001002@"), "{from:?}");
    assert_eq!((world.gateway().site().trunks.in_use("north"), world.gateway().site().trunks.in_use("south")), (1, 1));
    world.hang_up(south);
    world.finish();
    assert_eq!(world.phone(north).calls()[0].end(), Some(End::TheyHungUp));
    assert_eq!((world.gateway().site().trunks.in_use("north"), world.gateway().site().trunks.in_use("south")), (0, 0));
    expect![[r#"
        0.000    bob → gw           REFER
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route north/+442071234567 as +442030001002 and next on unreachable, then south/+442071234567 as +442030001002 and next on unreachable
        0.000    gw → bob           202 Accepted (REFER)
        0.000    gw → bob           NOTIFY +body
        0.000    gw → north         INVITE +442071234567
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    north → gw         503 Service Unavailable
        0.000    gw → north         ACK
        0.000    gw → south         INVITE +442071234567
        0.000    south → gw         180 Ringing
        0.000    gw → bob           NOTIFY +body
        0.000    bob → gw           200 OK (NOTIFY)
        2.000    south → gw         200 OK +body
        2.000    gw → north         INVITE +body
        2.000    north → gw         200 OK +body
        2.000    gw → north         ACK
        2.000    gw → south         ACK +body
        2.000    gw → bob           NOTIFY +body
        2.000    bob → gw           200 OK (NOTIFY)
        3.000    bob → gw           BYE
        3.000    gw → bob           200 OK (BYE)
        4.000    south → gw         BYE
        4.000    gw → south         200 OK (BYE)
        4.000    gw → north         BYE
        4.000    north → gw         200 OK (BYE)
    "#]].assert_eq(&world.ladder());
}

/// Who is transferred hangs up while the target rings.
#[test]
fn the_transferee_gives_up() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(carol).manner(Manner::Rings);
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(3));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(bob).call().notified().last().unwrap(), "SIP/2.0 487 Request Terminated; terminated;reason=noresource");
}

/// The target rings and nobody answers: after the longest time that a call may ring the transferor hears of it.
#[test]
fn nobody_answers() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(carol).manner(Manner::Rings);
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(100));
    assert_eq!(world.phone(carol).call().end(), Some(End::Cancelled));
    assert!(world.phone(bob).call().notified().last().unwrap().starts_with("SIP/2.0 480"));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.hang_up(bob);
    world.finish();
}

/// The target forwards: the transfer follows.
#[test]
fn to_a_phone_that_forwards() {
    let mut world = World::new(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.phone(carol).manner(Manner::Redirects { status: 302, contact: "<sip:1004@cloud.example>", after: Duration::ZERO });
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(10));
    assert!(world.phone(alice).call().up() && world.phone(dave).call().up());
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(dave).call().invited(Name::Diversion), ["<sip:1003@sip.example>;reason=unconditional;counter=1"]);
    world.hang_up(dave);
    world.finish();
}

#[test]
fn what_is_refused() {
    cov_mark::check!(rfc3515_2_1_one_target);
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    for (target, status) in [
        ("<sip:1003@cloud.example;method=BYE>", 403),
        ("<sip:1003@cloud.example>, <sip:1004@cloud.example>", 400),
        ("<mailto:carol@cloud.example>", 416),
        ("nonsense", 400),
    ] {
        world.refer(bob, target);
        world.wait(seconds(1));
        assert_eq!(world.phone(bob).call().said().last(), Some(&(Method::Refer, status)), "{target}");
    }
    assert_eq!(world.phone(bob).call().notified(), [""; 0]);
    world.hang_up(alice);
    world.finish();
}

/// The acknowledgements of the two 2xx are lost, and the 2xx come again.
#[test]
fn lost_acknowledgements() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.lose("gw → alice ACK", 1);
    world.lose("gw → carol ACK +body", 1);
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(10));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    assert_eq!(world.phone(carol).call().answers_in_ack(), 1);
    world.hang_up(carol);
    world.finish();
}

/// The transferee is in the middle of something: it is asked again.
#[test]
fn glare() {
    cov_mark::check!(rfc3261_14_1_glare);
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.phone(alice).refuse_reinvites(491, 2);
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(20));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    world.hang_up(carol);
    world.finish();
}

/// The transferee cannot speak what the target speaks: the transferor gets its call back.
#[test]
fn the_transferee_refuses_the_targets_session() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    world.phone(alice).refuse_reinvites(488, 1);
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(10));
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    assert!(world.phone(bob).call().notified().last().unwrap().starts_with("SIP/2.0 488"));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.hang_up(bob);
    world.finish();
}

/// A phone that asks again and again fills nobody's memory.
#[test]
fn too_often() {
    cov_mark::check!(rfc3515_2_4_6_id);
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    for _ in 0..22 {
        world.refer(bob, "<sip:1999@sip.example>");
        world.wait(seconds(1));
    }
    let said: Vec<u16> = world.phone(bob).call().said().iter().map(|(_, status)| *status).collect();
    assert_eq!((said.iter().filter(|status| **status == 202).count(), &said[20..]), (20, &[403, 403][..]));
    world.hang_up(alice);
    world.finish();
}

/// The end of the transfer has the lower CSeq: where the network turns the two around, the BYE is still taken.
#[test]
fn a_transferor_hears_how_its_transfer_ended_before_it_is_hung_up() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(carol).manner(Manner::Rings);
    talk(&mut world, alice, "1002");
    world.refer(bob, "<sip:1003@cloud.example>");
    world.wait(seconds(1));
    world.unplug(alice, false);
    world.say(bob, "INFO");
    world.wait(seconds(40));
    let ladder = world.ladder();
    let [told, hung_up] = ["NOTIFY", "BYE"].map(|what| ladder.rfind(&format!("gw → bob           {what}")));
    assert!(told.is_some() && told < hung_up, "{ladder}");
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp), "{ladder}");
    assert_eq!(world.gateway().calls(), 0);
}
