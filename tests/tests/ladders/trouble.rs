//! Calls that meet loss, silence and dead peers: they end in the same state on both sides, and nothing is left of them.

use crate::seconds;
use expect_test::expect;
use sip::transport::Transport;
use std::time::Duration;
use world::{
    net::{Weather, World},
    phone::{End, Manner, Phone},
};

#[test]
fn acknowledgement_lost() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.lose("alice → gw ACK", 2);
    world.lose("gw → bob ACK", 1);
    world.wait(seconds(14));
    assert!(world.phone(bob).call().up() && world.phone(alice).call().up());
    assert!(world.phone(bob).call().acknowledged() > 0);
    world.hang_up(bob);
    world.finish();
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK  ✗
        2.500    gw → alice         200 OK +body
        2.500    bob → gw           200 OK +body
        2.500    alice → gw         ACK  ✗
        3.500    gw → alice         200 OK +body
        3.500    bob → gw           200 OK +body
        3.500    alice → gw         ACK
        3.500    gw → bob           ACK  ✗
        5.500    bob → gw           200 OK +body
        5.500    gw → bob           ACK
        15.000   bob → gw           BYE
        15.000   gw → bob           200 OK (BYE)
        15.000   gw → alice         BYE
        15.000   alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn answer_lost() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.lose("bob → gw 200 OK +body", 1);
    world.lose("gw → alice 200 OK +body", 1);
    world.dial(alice, "1002");
    world.wait(seconds(10));
    assert!(world.phone(bob).call().up() && world.phone(alice).call().up());
    world.hang_up(alice);
    world.finish();
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        2.000    bob → gw           200 OK +body  ✗
        2.500    bob → gw           200 OK +body
        2.500    gw → alice         200 OK +body  ✗
        3.000    gw → alice         200 OK +body
        3.000    alice → gw         ACK
        3.000    gw → bob           ACK
        10.000   alice → gw         BYE
        10.000   gw → alice         200 OK (BYE)
        10.000   gw → bob           BYE
        10.000   bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// The callee's phone is gone without a word, and the network does not say so.
#[test]
fn callee_silent() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.unplug(bob, false);
    world.dial(alice, "1002");
    world.finish();
    assert!(matches!(world.phone(alice).call().end(), Some(End::Refused(408 | 480))), "{:?}", world.phone(alice).call().end());
    expect![[r#"
        0.000    bob                is unplugged
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body  ✗
        0.200    gw → alice         100 Trying
        0.500    gw → bob           INVITE 1002 +body  ✗
        1.500    gw → bob           INVITE 1002 +body  ✗
        3.500    gw → bob           INVITE 1002 +body  ✗
        7.500    gw → bob           INVITE 1002 +body  ✗
        15.500   gw → bob           INVITE 1002 +body  ✗
        31.500   gw → bob           INVITE 1002 +body  ✗
        32.000   gw → alice         408 Request Timeout
        32.000   alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
}

/// The network says that nobody is there: the caller hears it at once.
#[test]
fn callee_unreachable() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.unplug(bob, true);
    world.dial(alice, "1002");
    world.wait(seconds(1));
    assert!(matches!(world.phone(alice).call().end(), Some(End::Refused(480 | 503))), "{:?}", world.phone(alice).call().end());
    world.finish();
    expect![[r#"
        0.000    bob                is unplugged
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body  ✗
        0.000    gw → alice         480 Temporarily Unavailable
        0.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
}

/// The connection of a phone breaks while it rings.
#[test]
fn connection_breaks_while_it_rings() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let bob = world.add(Phone::account("bob", Transport::Tcp));
    world.register(bob);
    world.wait(seconds(1));
    world.phone(bob).manner(Manner::Rings);
    world.ladder();
    world.dial(alice, "1002");
    world.wait(seconds(3));
    world.unplug(bob, true);
    world.wait(seconds(1));
    assert!(matches!(world.phone(alice).call().end(), Some(End::Refused(480 | 503))), "{:?}", world.phone(alice).call().end());
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        3.000    bob                is unplugged
        3.000    gw → alice         480 Temporarily Unavailable
        3.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
}

/// A phone dies in the middle of a call. Nobody tells; the gateway finds out by itself and hangs the other side up.
#[test]
fn one_side_dies() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.unplug(bob, false);
    world.wait(seconds(900));
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.gateway().calls(), 0);
}

/// Nobody acknowledges the answer: after 64*T1 the gateway hangs both sides up.
#[test]
fn acknowledgement_never_comes() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.lose("alice → gw ACK", u32::MAX);
    world.wait(seconds(40));
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    world.finish();
}

/// Two hundred seeds of loss, duplication and reordering. Whatever happens, both sides agree in the end, and nothing stays behind.
#[test]
fn bad_weather() {
    let mut talked = 0;
    for seed in 0..200 {
        let mut world = World::new(seed);
        let [alice, bob] = world.registered(["alice", "bob"]);
        world.weather(Weather { loss: 20, duplication: 10, delay: Duration::from_millis(400) });
        world.phone(bob).manner(match seed % 4 {
            0 => Manner::EarlyMedia { after: seconds(2), reliably: true },
            1 => Manner::Refuses(486),
            _ => Manner::Answers(seconds(2)),
        });
        world.dial(alice, "1002");
        // Some give up about when the other side answers.
        world.wait(if seed % 5 == 0 { seconds(3) } else { seconds(40) });
        let both =
            world.phone(alice).calls().iter().any(world::phone::Call::up) && world.phone(bob).calls().iter().any(world::phone::Call::up);
        talked += u32::from(both);
        world.hang_up(if seed % 2 == 0 || !both { alice } else { bob });
        world.finish();
        let alice_ended = world.phone(alice).call().end().unwrap();
        let bob_ended: Vec<End> = world.phone(bob).calls().iter().map(|call| call.end().unwrap()).collect();
        let talk = |end: &End| matches!(end, End::WeHungUp | End::TheyHungUp);
        assert!(bob_ended.len() <= 1, "seed {seed}: rung {bob_ended:?}");
        if talk(&alice_ended) {
            assert!(bob_ended.iter().all(talk), "seed {seed}: {alice_ended:?} {bob_ended:?}\n{}", world.ladder());
        }
    }
    assert!(talked > 80, "only {talked} calls came up");
}
