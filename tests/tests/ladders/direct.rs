//! The virtual world itself: two phones that call each other without a gateway between them.

use expect_test::expect;
use sip::transport::Transport;
use std::time::Duration;
use world::{
    net::{PhoneId, Weather, World},
    phone::{End, Manner, Phone},
};

fn two_phones(seed: u64) -> (World, PhoneId, PhoneId) {
    let mut world = World::empty(seed);
    let (one, other) = ("10.1.0.1:5060".parse().unwrap(), "10.1.0.2:5060".parse().unwrap());
    let alice = world.add(Phone::new("alice", "1001", one, other, Transport::Udp));
    let bob = world.add(Phone::new("bob", "1002", other, one, Transport::Udp));
    (world, alice, bob)
}

#[test]
fn call_and_bye() {
    let (mut world, alice, bob) = two_phones(1);
    world.dial(alice, "1002");
    world.wait(Duration::from_secs(5));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.hang_up(bob);
    world.finish();
    expect![[r#"
        0.000    alice → bob        INVITE 1002 +body
        0.000    bob → alice        180 Ringing
        2.000    bob → alice        200 OK +body
        2.000    alice → bob        ACK
        5.000    bob → alice        BYE
        5.000    alice → bob        200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn lost_messages_are_sent_again() {
    let (mut world, alice, _bob) = two_phones(1);
    world.lose("INVITE 1002 +body", 1);
    world.lose("200 OK +body", 2);
    world.lose("bob ACK", 1);
    world.dial(alice, "1002");
    world.wait(Duration::from_secs(8));
    world.hang_up(alice);
    world.finish();
    expect![[r#"
        0.000    alice → bob        INVITE 1002 +body  ✗
        0.500    alice → bob        INVITE 1002 +body
        0.500    bob → alice        180 Ringing
        2.500    bob → alice        200 OK +body  ✗
        3.000    bob → alice        200 OK +body  ✗
        4.000    bob → alice        200 OK +body
        4.000    alice → bob        ACK  ✗
        6.000    bob → alice        200 OK +body
        6.000    alice → bob        ACK
        8.000    alice → bob        BYE
        8.000    bob → alice        200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn nobody_there() {
    let (mut world, alice, bob) = two_phones(1);
    world.unplug(bob, true);
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Unanswered));
    expect![[r#"
        0.000    bob                is unplugged
        0.000    alice → bob        INVITE 1002 +body  ✗
    "#]]
    .assert_eq(&world.ladder());
}

/// The same seed gives the same ladder, to the letter.
#[test]
fn deterministic() {
    let run = |seed| {
        let (mut world, alice, bob) = two_phones(seed);
        world.weather(Weather { loss: 20, duplication: 20, delay: Duration::from_millis(300) });
        world.phone(bob).manner(Manner::EarlyMedia { after: Duration::from_secs(1), reliably: true });
        world.dial(alice, "1002");
        world.wait(Duration::from_secs(10));
        world.hang_up(alice);
        world.finish();
        world.ladder()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

/// Loss, duplication and reordering: both phones end the call, and nothing is left of it.
#[test]
fn bad_weather() {
    for seed in 0..200 {
        let (mut world, alice, bob) = two_phones(seed);
        world.weather(Weather { loss: 20, duplication: 10, delay: Duration::from_millis(400) });
        world.dial(alice, "1002");
        world.wait(Duration::from_secs(20));
        world.hang_up(if seed % 2 == 0 { alice } else { bob });
        world.finish();
        assert!(world.phone(alice).call().end().is_some(), "seed {seed}");
        assert!(world.phone(bob).calls().iter().all(|call| call.end().is_some()), "seed {seed}");
    }
}
