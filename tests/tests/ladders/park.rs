//! Park slots: a call is left at a number, and taken up by whoever dials it.

use crate::{seconds, talk};
use expect_test::expect;
use sip::{header::Name, message::Method};
use std::time::Duration;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

/// `by` parks its newest call, and hears that it has worked.
fn park(world: &mut World, by: PhoneId, slot: &str) {
    world.refer(by, &format!("<sip:{slot}@sip.example>"));
    world.wait(seconds(1));
    assert!(world.phone(by).call().notified().last().unwrap().starts_with("SIP/2.0 200 OK; terminated"));
}

#[test]
fn left_and_taken_up() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    park(&mut world, bob, "701");
    world.hang_up(bob);
    world.wait(seconds(30));
    assert_eq!(world.phone(bob).call().end(), Some(End::WeHungUp));
    assert!(world.phone(alice).call().up());
    world.dial(carol, "701");
    world.wait(seconds(1));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    world.say(carol, "INVITE");
    world.wait(seconds(1));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    bob → gw           REFER
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: pass
        0.000    gw → bob           202 Accepted (REFER)
        0.000    gw → bob           NOTIFY +body
        0.000    gw → bob           NOTIFY +body
        0.000    gw → alice         INVITE
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    alice → gw         200 OK +body
        0.000    gw → alice         ACK +body
        1.000    bob → gw           BYE
        1.000    gw → bob           200 OK (BYE)
        31.000   carol → gw         INVITE 701 +body
        31.000   gw → carol         407 Proxy Authentication Required
        31.000   carol → gw         ACK
        31.000   carol → gw         INVITE 701 +credentials +body
        31.000   gw ⇢ policy        internal: pass
        31.000   gw ⇢ policy        external: pass
        31.000   gw → alice         INVITE +body
        31.000   alice → gw         200 OK +body
        31.000   gw → carol         200 OK +body
        31.000   carol → gw         ACK
        31.000   gw → alice         ACK
        32.000   carol → gw         INVITE +body
        32.000   gw → alice         INVITE +body
        32.000   alice → gw         200 OK +body
        32.000   gw → carol         200 OK +body
        32.000   carol → gw         ACK
        32.000   gw → alice         ACK
        33.000   alice → gw         BYE
        33.000   gw → alice         200 OK (BYE)
        33.000   gw → carol         BYE
        33.000   carol → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// Whoever was called, or waits outside; on whatever shard the two calls are; and the parker may leave at once or never.
#[test]
fn every_party_from_every_shard() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        let north = world.add(Phone::trunk("north"));
        for _ in 0..seed {
            world.act(carol, |phone, _, _| phone.shake());
        }
        let (parker, waits) = match seed % 4 {
            0 => {
                talk(&mut world, alice, "1002");
                (alice, bob)
            }
            1 => {
                talk(&mut world, north, "+442030001001");
                (alice, north)
            }
            2 => {
                talk(&mut world, alice, "+442071234567");
                (alice, north)
            }
            _ => {
                talk(&mut world, bob, "1001");
                (alice, bob)
            }
        };
        park(&mut world, parker, "702");
        if seed > 3 {
            world.hang_up(parker);
        }
        world.wait(seconds(10));
        assert!(world.phone(parker).call().end().is_some(), "who does not leave is hung up");
        let channels = world.gateway().site().trunks.in_use("north");
        assert_eq!(channels, u32::from(matches!(seed % 4, 1 | 2)));
        world.dial(carol, "702");
        world.wait(seconds(1));
        assert!(world.phone(waits).call().up() && world.phone(carol).call().up(), "seed {seed}:\n{}", world.ladder());
        assert_eq!(world.gateway().site().trunks.in_use("north"), channels);
        world.say(waits, "INVITE");
        world.wait(seconds(1));
        world.hang_up(if seed % 2 == 0 { carol } else { waits });
        world.finish();
        assert_eq!(world.gateway().site().trunks.in_use("north"), 0);
        assert!(world.gateway().site().lot.take("702").is_some(), "free again");
    }
}

#[test]
fn a_slot_that_is_taken_and_one_that_is_empty() {
    let mut world = World::new(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.dial(carol, "701");
    world.wait(seconds(1));
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(480)));
    talk(&mut world, alice, "1002");
    park(&mut world, bob, "701");
    talk(&mut world, carol, "1004");
    world.refer(dave, "<sip:701@sip.example>");
    world.wait(seconds(1));
    assert!(world.phone(dave).call().notified().last().unwrap().starts_with("SIP/2.0 486 Slot Taken"));
    assert!(world.phone(dave).call().up() && world.phone(carol).call().up());
    // The waiting one hangs up: the slot is free.
    world.hang_up(alice);
    world.wait(seconds(1));
    park(&mut world, dave, "701");
    world.hang_up(carol);
    world.finish();
    world.dial(carol, "701");
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(480)));
}

/// Back to the parker, who answers.
#[test]
fn back_to_whoever_has_parked_it() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    park(&mut world, bob, "701");
    world.hang_up(bob);
    world.wait(seconds(118));
    assert_eq!(world.phone(bob).calls().len(), 1);
    world.wait(seconds(10));
    assert_eq!(world.phone(bob).call().invited(Name::PAssertedIdentity), ["\"alice\" <sip:1001@sip.example>"]);
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    assert!(world.gateway().site().lot.take("701").is_some());
    // The call is one like any other: it can be parked again.
    park(&mut world, bob, "702");
    world.hang_up(alice);
    world.finish();
    assert!(world.phone(bob).call().end().is_some());
}

/// The parker does not answer: the call waits on in its slot, and ends after as long again.
#[test]
fn nobody_comes() {
    for (manner, picked_up) in [(Manner::Rings, false), (Manner::Refuses(486), false), (Manner::Rings, true), (Manner::Refuses(486), true)]
    {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        park(&mut world, bob, "701");
        world.hang_up(bob);
        world.phone(bob).manner(manner);
        world.wait(seconds(140));
        assert!(world.phone(alice).call().up());
        if picked_up {
            world.dial(carol, "701");
            world.wait(seconds(1));
            assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
            world.hang_up(carol);
        }
        world.finish();
        assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
        let reason = if picked_up { "" } else { "SIP;cause=480;text=\"Nobody Came\"" };
        assert_eq!(world.phone(alice).call().reason(), reason);
        assert!(world.phone(bob).call().end().is_some());
    }
}

/// A phone that will not be held, one that is gone, and what a waiting one may not do.
#[test]
fn the_waiting_phone() {
    for status in [488, 491] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        world.phone(alice).refuse_reinvites(status, 1);
        park(&mut world, bob, "701");
        world.wait(seconds(5));
        world.say(alice, "INVITE");
        world.refer(alice, "<sip:1004@sip.example>");
        world.wait(seconds(1));
        assert_eq!(world.phone(alice).call().said().last(), Some(&(Method::Refer, 491)));
        world.dial(carol, "701");
        world.wait(seconds(5));
        assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
        world.hang_up(carol);
        world.finish();
    }
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    world.unplug(alice, true);
    park(&mut world, bob, "701");
    world.wait(seconds(40));
    assert!(world.gateway().site().lot.take("701").is_some(), "who is gone waits no longer");
    assert_eq!(world.gateway().calls(), 0);
}

/// Nobody from outside gets at a slot, a ringing call is not parked, and a call for help never is.
#[test]
fn what_is_not_parked() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    let north = world.add(Phone::trunk("north"));
    talk(&mut world, alice, "1002");
    park(&mut world, bob, "701");
    world.dial(north, "701");
    world.wait(seconds(1));
    assert_eq!(world.phone(north).call().end(), Some(End::Refused(404)));
    world.hang_up(alice);
    world.wait(seconds(1));

    world.phone(bob).manner(Manner::Redirects { status: 302, contact: "<sip:702@sip.example>", after: Duration::ZERO });
    world.dial(carol, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(403)));

    world.dial(alice, "112");
    world.wait(seconds(5));
    world.refer(alice, "<sip:701@sip.example>");
    world.refer(north, "<sip:701@sip.example>");
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).call().said(), [(Method::Refer, 403)]);
    assert_eq!(world.phone(north).call().said(), [(Method::Refer, 403)]);
    assert!(world.phone(alice).call().up() && world.phone(north).call().up());
    world.hang_up(alice);
    world.finish();
}

/// The dialog that stands for nobody is told to no peer, and whoever waits cannot be taken by naming its own.
#[test]
fn no_other_way_to_the_waiting_one() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    let (of_alice, of_bob) = (world.phone(alice).call().replaces_plain(), world.phone(bob).call().replaces_plain());
    park(&mut world, bob, "701");
    for replaces in [of_alice, of_bob] {
        world.act(carol, |phone, now, out| phone.dial_replacing("1001", &replaces, now, out));
        world.wait(seconds(1));
        assert!(matches!(world.phone(carol).call().end(), Some(End::Refused(481 | 491))), "{:?}", world.phone(carol).call().end());
    }
    assert!(world.phone(alice).call().up());
    world.hang_up(alice);
    world.finish();
}

/// The process is killed while somebody waits in a slot: whoever dials it takes the call up, also when the number of shards is another one.
#[test]
fn who_is_parked_outlives_the_process() {
    for shards in [1, 2, 3] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        park(&mut world, bob, "701");
        world.hang_up(bob);
        world.wait(seconds(30));
        world.crash(shards);
        world.wait(seconds(1));
        world.dial(carol, "701");
        world.wait(seconds(1));
        assert!(world.phone(alice).call().up() && world.phone(carol).call().up(), "{}", world.ladder());
        world.hang_up(alice);
        world.finish();
        assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
    }
}

/// Nobody takes the call up after a restart: it goes back to its parker in its time.
#[test]
fn who_is_parked_goes_back_after_a_restart() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    park(&mut world, bob, "702");
    world.hang_up(bob);
    world.wait(seconds(30));
    world.crash(2);
    world.wait(seconds(100));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up(), "{}", world.ladder());
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
}
