//! Changes of a session inside a call: hold, music on hold, and what happens when both sides change it at once.

use crate::{end, seconds};
use expect_test::expect;
use sip::message::Method;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner},
};

/// Two phones that talk; the ladder begins now.
fn talking(names: [&'static str; 2]) -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [one, other] = world.registered(names);
    world.dial(one, if names[1] == "bob" { "1002" } else { "1001" });
    world.wait(seconds(5));
    world.ladder();
    (world, one, other)
}

/// Changes the session of the newest call of a phone.
fn change(world: &mut World, who: PhoneId, method: &str, body: &str) {
    world.act(who, |phone, now, out| phone.say_in(phone.calls().len() - 1, method, &[], body.as_bytes(), now, out));
    world.wait(seconds(1));
}

/// Hold in each of its three spellings, from either side, and back.
#[test]
fn held_and_taken_up_again() {
    for of in [["alice", "bob"], ["bob", "alice"]] {
        let (mut world, one, other) = talking(of);
        for (who, met) in [(one, other), (other, one)] {
            let (heard, answered) = (world.phone(met).call().bodies().len(), world.phone(who).call().bodies().len());
            change(&mut world, who, "INVITE", "v=0\r\na=sendonly\r\n");
            change(&mut world, who, "INVITE", "v=0\r\na=inactive\r\n");
            change(&mut world, who, "INVITE", "v=0\r\nc=IN IP4 0.0.0.0\r\n");
            change(&mut world, who, "UPDATE", "v=0\r\na=sendonly\r\n");
            change(&mut world, who, "INVITE", "v=0\r\n");
            assert_eq!(
                world.phone(met).call().bodies()[heard..],
                ["v=0 a=sendonly", "v=0 a=inactive", "v=0 c=IN IP4 0.0.0.0", "v=0 a=sendonly", "v=0"]
            );
            assert_eq!(world.phone(who).call().bodies()[answered..], ["v=0 a=recvonly", "v=0 a=inactive", "v=0 a=inactive", "v=0"]);
        }
        assert_eq!(world.phone(one).call().said().iter().filter(|(_, status)| *status == 200).count(), 2, "INVITE once, and UPDATE");
        end(&mut world, one, other);
    }
}

/// RFC 5359 2.3: the phone that holds has a music server offer to the held one. Its offer is asked for with an empty re-INVITE, and answered in the ACK.
#[test]
fn music_on_hold() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.phone(bob).habits().offer = "v=0\r\na=sendonly\r\n";
    change(&mut world, alice, "INVITE", "");
    assert_eq!(world.phone(alice).call().bodies().last().unwrap(), "v=0 a=sendonly");
    assert_eq!(world.phone(bob).call().bodies().last().unwrap(), "v=0 a=recvonly");
    assert_eq!(world.phone(bob).call().answers_in_ack(), 1);
    expect![[r#"
        0.000    alice → gw         INVITE
        0.000    gw → bob           INVITE
        0.000    bob → gw           200 OK +body
        0.000    gw → alice         200 OK +body
        0.000    alice → gw         ACK +body
        0.000    gw → bob           ACK +body
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, bob, alice);
}

/// Alice holds Bob, asks Carol, and comes back to Bob.
#[test]
fn consultation() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.ladder();
    change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
    world.dial(alice, "1003");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.wait(seconds(1));
    world.act(alice, |phone, now, out| phone.say_in(0, "INVITE", &[], b"v=0\r\n", now, out));
    world.wait(seconds(1));
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(bob).call().bodies()[1..], ["v=0 a=sendonly", "v=0"]);
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    gw → bob           INVITE +body
        0.000    bob → gw           200 OK +body
        0.000    gw → alice         200 OK +body
        0.000    alice → gw         ACK
        0.000    gw → bob           ACK
        1.000    alice → gw         INVITE 1003 +body
        1.000    gw → alice         407 Proxy Authentication Required
        1.000    alice → gw         ACK
        1.000    alice → gw         INVITE 1003 +credentials +body
        1.000    gw ⇢ policy        internal: route carol
        1.000    gw → carol         INVITE 1003 +body
        1.000    carol → gw         180 Ringing
        1.000    gw → alice         180 Ringing
        3.000    carol → gw         200 OK +body
        3.000    gw → alice         200 OK +body
        3.000    alice → gw         ACK
        3.000    gw → carol         ACK
        6.000    alice → gw         BYE
        6.000    gw → alice         200 OK (BYE)
        6.000    gw → carol         BYE
        6.000    carol → gw         200 OK (BYE)
        7.000    alice → gw         INVITE +body
        7.000    gw → bob           INVITE +body
        7.000    bob → gw           200 OK +body
        7.000    gw → alice         200 OK +body
        7.000    alice → gw         ACK
        7.000    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    world.act(alice, |phone, now, out| phone.hang_up_call(0, now, out));
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
}

/// The phone mixes: Bob is held while Carol is called, then both are taken up and stay.
#[test]
fn three_talk_through_one_phone() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    change(&mut world, alice, "INVITE", "v=0\r\na=inactive\r\n");
    world.dial(alice, "1003");
    world.wait(seconds(5));
    for place in [0, 1] {
        world.act(alice, |phone, now, out| phone.say_in(place, "INVITE", &[], b"v=0\r\ns=mixed\r\n", now, out));
        world.wait(seconds(1));
    }
    for who in [bob, carol] {
        assert!(world.phone(who).call().up());
        assert_eq!(world.phone(who).call().bodies().last().unwrap(), "v=0 s=mixed");
    }
    assert_eq!(world.gateway().calls(), 2);
    // Bob leaves, and the others go on.
    world.hang_up(bob);
    world.wait(seconds(1));
    assert!(world.phone(carol).call().up());
    assert_eq!(world.phone(alice).calls()[0].end(), Some(End::TheyHungUp));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
}

/// RFC 3261 14.1: both change the session at the same moment. Both are told 491; who did not make the Call-ID tries again first, then the other.
#[test]
fn both_hold_at_once() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    for who in [alice, bob] {
        world.act(who, |phone, now, out| phone.say_in(0, "INVITE", &[], b"v=0\r\na=sendonly\r\n", now, out));
    }
    world.wait(seconds(6));
    for who in [alice, bob] {
        assert_eq!(world.phone(who).call().said(), [(Method::Invite, 491), (Method::Invite, 200)]);
        assert_eq!(world.phone(who).call().heard(), ["INVITE"]);
    }
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    bob → gw           INVITE +body
        0.000    gw → bob           INVITE +body
        0.000    gw → bob           491 Request Pending
        0.000    bob → gw           491 Request Pending
        0.000    bob → gw           ACK
        0.000    gw → bob           ACK
        0.000    gw → alice         491 Request Pending
        0.000    alice → gw         ACK
        0.150    bob → gw           INVITE +body
        0.150    gw → alice         INVITE +body
        0.150    alice → gw         200 OK +body
        0.150    gw → bob           200 OK +body
        0.150    bob → gw           ACK
        0.150    gw → alice         ACK
        3.430    alice → gw         INVITE +body
        3.430    gw → bob           INVITE +body
        3.430    bob → gw           200 OK +body
        3.430    gw → alice         200 OK +body
        3.430    alice → gw         ACK
        3.430    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// Their messages cross on the way: each dialog of ours has one INVITE at most.
#[test]
fn both_hold_while_the_other_thinks() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.phone(bob).habits().thinks = seconds(3);
    change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
    change(&mut world, bob, "INVITE", "v=0\r\na=inactive\r\n");
    world.wait(seconds(8));
    assert_eq!(world.phone(alice).call().said(), [(Method::Invite, 200)]);
    assert_eq!(world.phone(bob).call().said().first(), Some(&(Method::Invite, 491)));
    assert_eq!(world.phone(bob).call().said().last(), Some(&(Method::Invite, 200)));
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    gw → bob           INVITE +body
        0.200    gw → alice         100 Trying
        0.200    bob → gw           100 Trying
        1.000    bob → gw           INVITE +body
        1.000    gw → bob           491 Request Pending
        1.000    bob → gw           ACK
        1.150    bob → gw           INVITE +body
        1.150    gw → bob           491 Request Pending
        1.150    bob → gw           ACK
        2.670    bob → gw           INVITE +body
        2.670    gw → bob           491 Request Pending
        2.670    bob → gw           ACK
        3.000    bob → gw           200 OK +body
        3.000    bob → gw           INVITE +body
        3.000    gw → alice         200 OK +body
        3.000    gw → alice         INVITE +body
        3.000    alice → gw         ACK
        3.000    alice → gw         200 OK +body
        3.000    gw → bob           ACK
        3.000    gw → bob           200 OK +body
        3.000    bob → gw           ACK
        3.000    gw → alice         ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, bob, alice);
}

/// RFC 3311 5.2: two UPDATEs that both offer cross; the session stays.
#[test]
fn both_update_at_once() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.act(alice, |phone, now, out| phone.say("UPDATE", now, out));
    world.act(bob, |phone, now, out| phone.say("UPDATE", now, out));
    world.wait(seconds(1));
    for who in [alice, bob] {
        assert_eq!(world.phone(who).call().said(), [(Method::Update, 491)]);
        assert!(world.phone(who).call().up());
    }
    expect![[r#"
        0.000    alice → gw         UPDATE +body
        0.000    bob → gw           UPDATE +body
        0.000    gw → bob           UPDATE +body
        0.000    gw → bob           491 Request Pending (UPDATE)
        0.000    bob → gw           491 Request Pending (UPDATE)
        0.000    gw → alice         491 Request Pending (UPDATE)
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// A second one before the first is answered is told to wait (RFC 3261 14.2, RFC 3311 5.2).
#[test]
fn twice_before_the_answer() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.phone(bob).habits().thinks = seconds(3);
    change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
    change(&mut world, alice, "INVITE", "v=0\r\na=inactive\r\n");
    world.wait(seconds(4));
    assert_eq!(world.phone(alice).call().said(), [(Method::Invite, 500), (Method::Invite, 200)]);
    let wait: u32 = world.phone(alice).call().last("INVITE 500", "Retry-After").parse().unwrap();
    assert!(wait <= 10);
    end(&mut world, alice, bob);
}

/// Inside an early dialog (RFC 3311 5.1), from either side.
#[test]
fn updated_before_the_answer() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::EarlyMedia { after: seconds(4), reliably: true });
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.ladder();
    change(&mut world, alice, "UPDATE", "v=0\r\na=sendonly\r\n");
    change(&mut world, bob, "UPDATE", "v=0\r\na=inactive\r\n");
    world.wait(seconds(3));
    assert_eq!(world.phone(alice).call().said(), [(Method::Prack, 200), (Method::Update, 200)]);
    assert_eq!(world.phone(bob).call().said(), [(Method::Update, 200)]);
    expect![[r#"
        0.000    alice → gw         UPDATE +body
        0.000    gw → bob           UPDATE +body
        0.000    bob → gw           200 OK (UPDATE)
        0.000    gw → alice         200 OK (UPDATE)
        1.000    bob → gw           UPDATE +body
        1.000    gw → alice         UPDATE +body
        1.000    alice → gw         200 OK (UPDATE)
        1.000    gw → bob           200 OK (UPDATE)
        3.000    bob → gw           200 OK +body
        3.000    gw → alice         200 OK +body
        3.000    alice → gw         ACK
        3.000    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

#[test]
fn a_hold_that_is_taken_back() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.phone(bob).habits().thinks = seconds(10);
    change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
    world.act(alice, |phone, now, out| phone.take_back(0, now, out));
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).call().said(), [(Method::Invite, 487)]);
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    gw → bob           INVITE +body
        0.200    gw → alice         100 Trying
        0.200    bob → gw           100 Trying
        1.000    alice → gw         CANCEL
        1.000    gw → alice         200 OK (CANCEL)
        1.000    gw → bob           CANCEL
        1.000    bob → gw           200 OK (CANCEL)
        1.000    bob → gw           487 Request Terminated
        1.000    gw → bob           ACK
        1.000    gw → alice         487 Request Terminated
        1.000    alice → gw         ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, bob, alice);
}

#[test]
fn a_hold_that_is_refused_leaves_the_session_as_it_was() {
    for status in [488, 415, 503] {
        let (mut world, alice, bob) = talking(["alice", "bob"]);
        world.phone(bob).refuse_reinvites(status, 1);
        change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
        assert_eq!(world.phone(alice).call().said(), [(Method::Invite, status)]);
        change(&mut world, alice, "INVITE", "v=0\r\n");
        assert_eq!(world.phone(alice).call().said().last(), Some(&(Method::Invite, 200)));
        end(&mut world, bob, alice);
    }
}

/// The ACK of a hold is lost for good, and the phone is gone: the answer is sent again for 64*T1, then both sides are hung up.
#[test]
fn a_phone_that_vanishes_while_it_holds() {
    let (mut world, alice, bob) = talking(["alice", "bob"]);
    world.lose("alice → gw ACK", 100);
    change(&mut world, alice, "INVITE", "v=0\r\na=sendonly\r\n");
    world.unplug(alice, false);
    world.wait(seconds(120));
    assert_eq!(world.gateway().calls(), 0);
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    alice → gw         INVITE +body
        0.000    gw → bob           INVITE +body
        0.000    bob → gw           200 OK +body
        0.000    gw → alice         200 OK +body
        0.000    alice → gw         ACK  ✗
        0.500    gw → alice         200 OK +body
        0.500    bob → gw           200 OK +body
        0.500    alice → gw         ACK  ✗
        1.000    alice              is unplugged
        1.500    gw → alice         200 OK +body  ✗
        1.500    bob → gw           200 OK +body
        3.500    gw → alice         200 OK +body  ✗
        3.500    bob → gw           200 OK +body
        7.500    gw → alice         200 OK +body  ✗
        7.500    bob → gw           200 OK +body
        11.500   gw → alice         200 OK +body  ✗
        11.500   bob → gw           200 OK +body
        15.500   gw → alice         200 OK +body  ✗
        15.500   bob → gw           200 OK +body
        19.500   gw → alice         200 OK +body  ✗
        19.500   bob → gw           200 OK +body
        23.500   gw → alice         200 OK +body  ✗
        23.500   bob → gw           200 OK +body
        27.500   gw → alice         200 OK +body  ✗
        27.500   bob → gw           200 OK +body
        31.500   gw → alice         200 OK +body  ✗
        31.500   bob → gw           200 OK +body
        32.000   gw → alice         BYE  ✗
        32.000   gw → bob           ACK
        32.000   gw → bob           BYE
        32.000   bob → gw           BYE
        32.000   bob → gw           200 OK (BYE)
        32.000   gw → bob           481 Call/Transaction Does Not Exist (BYE)
        32.500   gw → alice         BYE  ✗
        33.500   gw → alice         BYE  ✗
        35.500   gw → alice         BYE  ✗
        39.500   gw → alice         BYE  ✗
        43.500   gw → alice         BYE  ✗
        47.500   gw → alice         BYE  ✗
        51.500   gw → alice         BYE  ✗
        55.500   gw → alice         BYE  ✗
        59.500   gw → alice         BYE  ✗
        63.500   gw → alice         BYE  ✗
    "#]]
    .assert_eq(&world.ladder());
}

/// Whoever leaves the Route of a dialog away is found by the dialog's tags.
#[test]
fn requests_without_route() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with.push(("Record-Route", "<sip:edge.example;lr>"));
    world.phone(bob).habits().answers_with.push(("Record-Route", "<sip:other-edge.example;lr>"));
    world.dial(alice, "1002");
    world.wait(seconds(5));
    for method in ["INVITE", "UPDATE", "INFO"] {
        for (who, other) in [(alice, bob), (bob, alice)] {
            world.say(who, method);
            world.wait(seconds(1));
            assert_eq!(world.phone(who).call().said().last(), Some(&(Method::from_token(method.as_bytes()), 200)));
            assert_eq!(world.phone(other).call().heard().last().map(String::as_str), Some(method));
        }
    }
    end(&mut world, bob, alice);
}
