//! Calls between two phones of the site, through the gateway and its four policies.

use crate::seconds;
use expect_test::expect;
use sip::{message::Method, transport::Transport};
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

#[test]
fn register_with_digest() {
    let mut world = World::new(1);
    let alice = world.add(Phone::account("alice", Transport::Udp));
    world.register(alice);
    world.finish();
    assert!(world.phone(alice).registered());
    expect![[r#"
        0.000    alice → gw         REGISTER
        0.000    gw → alice         401 Unauthorized (REGISTER)
        0.000    alice → gw         REGISTER +credentials
        0.000    gw ⇢ policy        licence: admit site
        0.000    gw → alice         200 OK (REGISTER)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn call_answered_and_hung_up_by_the_caller() {
    let mut world = World::new(1);
    let [alice, _bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
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
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → bob           ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    bob → gw           BYE
        0.000    gw → bob           200 OK (BYE)
        0.000    gw → alice         BYE
        0.000    alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           183 Session Progress +body
        0.000    gw → alice         183 Session Progress +body
        0.000    alice → gw         PRACK
        0.000    gw → bob           PRACK
        0.000    bob → gw           200 OK (PRACK)
        0.000    gw → alice         200 OK (PRACK)
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → bob           ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn busy() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Refuses(486));
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(486)));
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           486 Busy Here
        0.000    gw → bob           ACK
        0.000    gw → alice         486 Busy Here
        0.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        60.000   gw → bob           CANCEL
        60.000   gw → alice         480 No Answer
        60.000   bob → gw           200 OK (CANCEL)
        60.000   bob → gw           487 Request Terminated
        60.000   alice → gw         ACK
        60.000   gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        4.000    alice → gw         CANCEL
        4.000    gw → alice         200 OK (CANCEL)
        4.000    gw → alice         487 Request Terminated
        4.000    gw → bob           CANCEL
        4.000    alice → gw         ACK
        4.000    bob → gw           200 OK (CANCEL)
        4.000    bob → gw           487 Request Terminated
        4.000    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        1.000    alice → gw         CANCEL  ✗
        1.500    alice → gw         CANCEL  ✗
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    alice → gw         BYE
        2.000    gw → bob           ACK
        2.000    gw → alice         200 OK (BYE)
        2.000    gw → bob           BYE
        2.000    bob → gw           200 OK (BYE)
        2.500    alice → gw         CANCEL  ✗
        4.500    alice → gw         CANCEL
        4.500    gw → alice         200 OK (CANCEL)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob2          INVITE 1002 +body
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob2 → gw          180 Ringing
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        0.000    gw → alice         180 Ringing
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    gw → bob2          CANCEL
        2.000    alice → gw         ACK
        2.000    bob2 → gw          200 OK (CANCEL)
        2.000    bob2 → gw          487 Request Terminated
        2.000    gw → bob           ACK
        2.000    gw → bob2          ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    gw → bob           INVITE +body
        0.000    bob → gw           200 OK +body
        0.000    gw → alice         200 OK +body
        0.000    alice → gw         ACK
        0.000    gw → bob           ACK
        1.000    bob → gw           INVITE +body
        1.000    gw → alice         INVITE +body
        1.000    alice → gw         200 OK +body
        1.000    gw → bob           200 OK +body
        1.000    bob → gw           ACK
        1.000    gw → alice         ACK
        2.000    alice → gw         UPDATE +body
        2.000    gw → bob           UPDATE +body
        2.000    bob → gw           200 OK (UPDATE)
        2.000    gw → alice         200 OK (UPDATE)
        3.000    bob → gw           UPDATE +body
        3.000    gw → alice         UPDATE +body
        3.000    alice → gw         200 OK (UPDATE)
        3.000    gw → bob           200 OK (UPDATE)
        4.000    alice → gw         INFO +body
        4.000    gw → bob           INFO +body
        4.000    bob → gw           200 OK (INFO)
        4.000    gw → alice         200 OK (INFO)
        5.000    bob → gw           INFO +body
        5.000    gw → alice         INFO +body
        5.000    alice → gw         200 OK (INFO)
        5.000    gw → bob           200 OK (INFO)
        6.000    alice → gw         MESSAGE +body
        6.000    gw → bob           MESSAGE +body
        6.000    bob → gw           200 OK (MESSAGE)
        6.000    gw → alice         200 OK (MESSAGE)
        7.000    bob → gw           MESSAGE +body
        7.000    gw → alice         MESSAGE +body
        7.000    alice → gw         200 OK (MESSAGE)
        7.000    gw → bob           200 OK (MESSAGE)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    alice → gw         BYE
        0.000    bob → gw           BYE
        0.000    gw → alice         200 OK (BYE)
        0.000    gw → bob           BYE
        0.000    gw → bob           481 Call/Transaction Does Not Exist (BYE)
        0.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
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
    expect![[r#"
        0.000    bob → gw           INVITE 1001 +body
        0.000    gw → bob           407 Proxy Authentication Required
        0.000    bob → gw           ACK
        0.000    bob → gw           INVITE 1001 +credentials +body
        0.000    gw ⇢ policy        internal: route alice
        0.000    gw → alice         INVITE 1001 +body
        0.000    alice → gw         180 Ringing
        0.000    gw → bob           180 Ringing
        2.000    alice → gw         200 OK +body
        2.000    gw → bob           200 OK +body
        2.000    bob → gw           ACK
        2.000    gw → alice         ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}
