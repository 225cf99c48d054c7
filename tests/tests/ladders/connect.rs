//! Click to dial: the gateway rings the user's phone, then whom the user wants to talk to.

use crate::seconds;
use expect_test::expect;
use gateway::calls::Stage;
use sip::{header::Name, transport::Transport};
use std::time::Duration;
use switch::{bridge::Order, decision::Refusal};
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

/// Orders a call, and says what the gateway answers at once.
fn order(world: &mut World, from: &str, to: &str) -> Result<String, Refusal> {
    let order = Order { from: from.into(), to: to.into(), auto_answer: false, announced: None };
    let mut begun = world.gateway().exchange().place(order);
    world.wait(Duration::ZERO);
    begun.try_recv().expect("an answer at once")
}

fn stage(world: &mut World, call_id: &str) -> Stage {
    world.gateway().exchange().placed(call_id).expect("a placed call").borrow().clone()
}

fn ended(status: u16, cause: &str) -> Stage {
    Stage::Ended { status, cause: cause.into() }
}

#[test]
fn the_user_then_the_target() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let call_id = order(&mut world, "1001", "1002").unwrap();
    world.wait(seconds(1));
    assert_eq!(stage(&mut world, &call_id), Stage::Calling);
    assert_eq!(world.phone(alice).call().invited(Name::PAssertedIdentity), ["\"bob\" <sip:1002@sip.example>"]);
    world.wait(seconds(4));
    assert_eq!(world.phone(bob).call().invited(Name::PAssertedIdentity), ["\"alice\" <sip:1001@sip.example>"]);
    assert_eq!(stage(&mut world, &call_id), Stage::Talking { answered_by: "bob".into() });
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    assert_eq!(world.phone(alice).call().answers_in_ack(), 1, "held while the target rang");
    assert_eq!(world.phone(bob).call().answers_in_ack(), 1);
    world.say(bob, "INVITE");
    world.wait(seconds(1));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    assert_eq!(stage(&mut world, &call_id), ended(200, "caller hung up"));
    expect![[r#"
        0.000    gw → alice         INVITE 1001
        0.000    alice → gw         180 Ringing
        2.000    alice → gw         200 OK +body
        2.000    gw ⇢ policy        internal: route bob
        2.000    gw → alice         ACK +body
        2.000    gw → bob           INVITE 1002
        2.000    bob → gw           180 Ringing
        4.000    bob → gw           200 OK +body
        4.000    gw → alice         INVITE +body
        4.000    alice → gw         200 OK +body
        4.000    gw → alice         ACK
        4.000    gw → bob           ACK +body
        5.000    bob → gw           INVITE +body
        5.000    gw → alice         INVITE +body
        5.000    alice → gw         200 OK +body
        5.000    gw → bob           200 OK +body
        5.000    bob → gw           ACK
        5.000    gw → alice         ACK
        6.000    alice → gw         BYE
        6.000    gw → alice         200 OK (BYE)
        6.000    gw → bob           BYE
        6.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// Whose phones all ring, and one of them answers.
#[test]
fn every_phone_of_the_user_rings() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let desk = world.add(Phone::account("alice", Transport::Udp).at("desk", "10.1.0.9:5060"));
    world.phone(alice).manner(Manner::Rings);
    world.register(desk);
    world.wait(seconds(1));
    order(&mut world, "1001", "1002").unwrap();
    world.wait(seconds(10));
    assert_eq!(world.phone(alice).call().end(), Some(End::Cancelled));
    assert!(world.phone(desk).call().up() && world.phone(bob).call().up());
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(desk).call().end(), Some(End::TheyHungUp));
}

#[test]
fn the_user_does_not_answer() {
    for (manner, status, cause) in
        [(Manner::Rings, 480, "no answer"), (Manner::Refuses(486), 486, "busy"), (Manner::Refuses(603), 603, "declined")]
    {
        let mut world = World::new(1);
        let [alice, bob] = world.registered(["alice", "bob"]);
        world.phone(alice).manner(manner);
        let call_id = order(&mut world, "1001", "1002").unwrap();
        world.finish();
        assert_eq!(stage(&mut world, &call_id), ended(status, cause));
        assert!(world.phone(bob).calls().is_empty());
    }
}

/// The user hears why nobody comes.
#[test]
fn the_target_does_not_come() {
    for (to, manner, status) in
        [("1002", Manner::Refuses(486), 486), ("1002", Manner::Rings, 480), ("1003", Manner::Rings, 480), ("7777", Manner::Rings, 404)]
    {
        let mut world = World::new(1);
        let [alice, bob] = world.registered(["alice", "bob"]);
        world.phone(bob).manner(manner);
        let call_id = order(&mut world, "1001", to).unwrap();
        world.finish();
        assert_eq!(stage(&mut world, &call_id), ended(status, "the target could not be reached"), "{to} {manner:?}");
        assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
        assert!(world.phone(alice).call().reason().contains(&format!("SIP;cause={status};")), "{}", world.phone(alice).call().reason());
    }
}

#[test]
fn the_user_hangs_up_while_the_target_rings() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Rings);
    let call_id = order(&mut world, "1001", "1002").unwrap();
    world.wait(seconds(5));
    // Nobody to transfer to anybody, and nobody who could agree on another session.
    world.refer(alice, "<sip:1003@sip.example>");
    world.wait(seconds(1));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    assert_eq!(stage(&mut world, &call_id), ended(487, "caller hung up"));
    assert_eq!(world.phone(alice).call().said().last().map(|(_, status)| *status), Some(491));
}

#[test]
fn what_cannot_be_ordered() {
    let mut world = World::new(1);
    world.registered(["alice", "bob"]);
    for (from, to, status) in
        [("9999", "1002", 404), ("1003", "1002", 480), ("1001", "", 400), ("1001", "mailto:x@y", 416), ("1001", "sip:", 400)]
    {
        assert_eq!(order(&mut world, from, to).unwrap_err().status, status, "{from} {to}");
    }
    world.finish();
}

/// Through a trunk, whose channel is given back; and the user's phone gives up what the provider offers.
#[test]
fn to_the_outside() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let north = world.add(Phone::trunk("north"));
    let call_id = order(&mut world, "1001", "+442071234567").unwrap();
    world.wait(seconds(10));
    assert_eq!(stage(&mut world, &call_id), Stage::Talking { answered_by: "trunk:north".into() });
    assert_eq!(world.gateway().site().trunks.in_use("north"), 1);
    world.hang_up(north);
    world.finish();
    assert_eq!(world.gateway().site().trunks.in_use("north"), 0);
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    assert_eq!(stage(&mut world, &call_id), ended(200, "callee hung up"));

    world.phone(alice).refuse_reinvites(488, 1);
    let call_id = order(&mut world, "1001", "+442071234567").unwrap();
    world.finish();
    assert_eq!(stage(&mut world, &call_id), ended(488, "the target could not be reached"));
    assert_eq!(world.phone(north).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.gateway().site().trunks.in_use("north"), 0);
}

/// A call for help goes out like any call for help: no policy but the emergency one, on to the next trunk, over every limit, and nobody ends it from outside.
#[test]
fn for_help() {
    let mut world = World::with_limits(1, switch::Limits { placed: 0, calls: 0, ..switch::Limits::default() });
    let [alice] = world.registered(["alice"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    world.phone(north).manner(Manner::Refuses(403));
    assert_eq!(order(&mut world, "1001", "1001").unwrap_err().status, 503);
    let call_id = order(&mut world, "1001", "112").unwrap();
    world.wait(seconds(10));
    assert_eq!(stage(&mut world, &call_id), Stage::Talking { answered_by: "trunk:south".into() });
    let mut done = world.gateway().exchange().hang_up(call_id);
    world.wait(seconds(1));
    assert_eq!(done.try_recv().unwrap().unwrap_err().status, 403);
    assert!(world.phone(alice).call().up());
    world.hang_up(south);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
}

/// No more than the limit wait for somebody to answer, and each that talks or ends makes room.
#[test]
fn so_many_at_a_time() {
    let mut world = World::with_limits(1, switch::Limits { placed: 1, ..switch::Limits::default() });
    let [alice, _bob] = world.registered(["alice", "bob"]);
    for _ in 0..3 {
        // There are two shards, and each has its turn.
        let first = order(&mut world, "1001", "1002").unwrap();
        order(&mut world, "1001", "1002").unwrap();
        assert_eq!(order(&mut world, "1001", "1002").unwrap_err().status, 503);
        world.wait(seconds(30));
        assert!(matches!(stage(&mut world, &first), Stage::Talking { .. }));
        for place in 0..world.phone(alice).calls().len() {
            world.act(alice, |phone, now, out| phone.hang_up_call(place, now, out));
        }
        world.finish();
        // The next two are refused as little.
        order(&mut world, "1003", "1002").unwrap_err();
    }
}

#[test]
fn ended_from_outside() {
    for wait in [1, 3, 10] {
        let mut world = World::new(1);
        let [alice, bob] = world.registered(["alice", "bob"]);
        let call_id = order(&mut world, "1001", "1002").unwrap();
        world.wait(seconds(wait));
        let mut done = world.gateway().exchange().hang_up(call_id.clone());
        world.finish();
        done.try_recv().unwrap().unwrap();
        assert!(matches!(stage(&mut world, &call_id), Stage::Ended { cause, .. } if cause == "ended by the operator"));
        assert!(world.phone(alice).call().end().is_some() && world.phone(bob).calls().iter().all(|call| call.end().is_some()));
        let mut again = world.gateway().exchange().hang_up(call_id);
        world.wait(seconds(1));
        assert_eq!(again.try_recv().unwrap().unwrap_err().status, 404);
    }
    // A call of phones, too.
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    let call_id = String::from_utf8(world.phone(alice).call().call_id().to_vec()).unwrap();
    world.gateway().exchange().hang_up(call_id).try_recv().unwrap_err();
    world.finish();
    assert_eq!((world.phone(alice).call().end(), world.phone(bob).call().end()), (Some(End::TheyHungUp), Some(End::TheyHungUp)));
}
