//! Calls between two phones of the site, through the gateway and its four policies.

use expect_test::expect;
use sip::{message::Method, transport::Transport};
use std::time::Duration;
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn register_with_digest() {
    let mut world = World::new(1);
    let alice = world.add(Phone::account("alice", Transport::Udp));
    world.register(alice);
    world.finish();
    assert!(world.phone(alice).registered());
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn call_answered_and_hung_up_by_the_caller() {
    let mut world = World::new(1);
    let [alice, _bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn call_hung_up_by_the_callee() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.ladder();
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn early_media_with_prack() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::EarlyMedia { after: seconds(2), reliably: true });
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(alice).call().progress(), [183]);
    assert_eq!(world.phone(alice).call().said(), [(Method::Prack, 200)]);
    assert_eq!(world.phone(bob).call().heard(), ["PRACK"]);
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn busy() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Refuses(486));
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(486)));
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn nobody_answers() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.finish();
    assert!(matches!(world.phone(alice).call().end(), Some(End::Refused(408 | 480 | 487))), "{:?}", world.phone(alice).call().end());
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn caller_gives_up() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(4));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    expect![[""]].assert_eq(&world.ladder());
}

/// The answer and the CANCEL cross on the way: the call comes up for a moment, and the caller hangs up.
#[test]
fn cancel_and_answer_cross() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Answers(seconds(2)));
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.lose("gw CANCEL", 3);
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::WeHungUp));
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    expect![[""]].assert_eq(&world.ladder());
}

/// Two phones of one account ring together; the first to answer gets the call.
#[test]
fn two_phones_ring_and_one_answers() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let second = world.add(Phone::account("bob", Transport::Udp).at("bob2", "10.1.0.22:5060"));
    world.register(second);
    world.wait(seconds(1));
    world.phone(bob).manner(Manner::Answers(seconds(2)));
    world.phone(second).manner(Manner::Rings);
    world.ladder();
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(second).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    expect![[""]].assert_eq(&world.ladder());
}

/// Whatever the phones say to each other inside the call reaches the other side, both ways.
#[test]
fn requests_inside_the_call() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.ladder();
    for method in ["INVITE", "UPDATE", "INFO", "MESSAGE"] {
        for who in [alice, bob] {
            world.say(who, method);
            world.wait(seconds(1));
        }
    }
    let said = [Method::Invite, Method::Update, Method::Info, Method::Message].map(|method| (method, 200));
    for who in [alice, bob] {
        assert_eq!(world.phone(who).call().said(), said);
        assert_eq!(world.phone(who).call().heard(), ["INVITE", "UPDATE", "INFO", "MESSAGE"]);
    }
    expect![[""]].assert_eq(&world.ladder());
    world.hang_up(bob);
    world.finish();
}

#[test]
fn both_hang_up_at_once() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.ladder();
    world.hang_up(alice);
    world.hang_up(bob);
    world.finish();
    expect![[""]].assert_eq(&world.ladder());
}

#[test]
fn over_tcp() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let bob = world.add(Phone::account("bob", Transport::Tcp));
    world.register(bob);
    world.wait(seconds(1));
    world.ladder();
    world.dial(bob, "1001");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    expect![[""]].assert_eq(&world.ladder());
}
