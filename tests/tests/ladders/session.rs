//! Session timers (RFC 4028) and reliable provisional responses (RFC 3262): who does what when both, one or none of the phones can.

use crate::{end, seconds};
use expect_test::expect;
use sip::{message::Method, transport::Transport};
use std::time::Duration;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone, SessionTimer},
};

/// A call from alice to bob with these timers, five seconds old; the ladder begins now.
fn timed(caller: Option<SessionTimer>, callee: Option<SessionTimer>) -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().timer = caller;
    world.phone(bob).habits().timer = callee;
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up(), "{}", world.ladder());
    world.ladder();
    (world, alice, bob)
}

fn refreshes(world: &mut World, who: PhoneId) -> usize {
    world.phone(who).call().heard().iter().filter(|heard| *heard == "UPDATE" || *heard == "INVITE").count()
}

/// Both have a timer, the caller or the callee refreshes, by UPDATE or re-INVITE: an hour passes, and the call stands.
#[test]
fn both_sides_have_a_timer() {
    for method in ["UPDATE", "INVITE"] {
        for refresher in [None, Some("uac"), Some("uas")] {
            let timer = SessionTimer { refresher, ..SessionTimer::every(600, method) };
            let (mut world, alice, bob) = timed(Some(timer), Some(SessionTimer::every(600, method)));
            let expected = if refresher == Some("uas") { "600;refresher=uas" } else { "600;refresher=uac" };
            assert_eq!(world.phone(alice).call().last("INVITE 200", "Session-Expires"), expected);
            assert_eq!(world.phone(alice).call().last("INVITE 200", "Require"), "timer");
            world.wait(seconds(3600));
            let (by_bob, by_alice) = (refreshes(&mut world, alice), refreshes(&mut world, bob));
            assert_eq!((by_alice, by_bob), if refresher == Some("uas") { (0, 12) } else { (12, 0) }, "{method} {refresher:?}");
            end(&mut world, alice, bob);
        }
    }
}

/// Section 9, table 2: the callee knows nothing of timers, and says nothing. There is none, and the call stands.
#[test]
fn only_the_caller_has_a_timer() {
    let (mut world, alice, bob) = timed(Some(SessionTimer::every(600, "UPDATE")), None);
    assert_eq!(world.phone(alice).call().last("INVITE 200", "Session-Expires"), "");
    world.wait(seconds(3600));
    assert_eq!((refreshes(&mut world, alice), refreshes(&mut world, bob)), (0, 0));
    end(&mut world, bob, alice);
}

/// The callee alone refreshes; the caller answers without knowing what for.
#[test]
fn only_the_callee_has_a_timer() {
    for method in ["UPDATE", "INVITE"] {
        let (mut world, alice, bob) = timed(None, Some(SessionTimer::every(600, method)));
        assert_eq!(world.phone(alice).call().last("INVITE 200", "Session-Expires"), "600;refresher=uas");
        assert_eq!(world.phone(alice).call().last("INVITE 200", "Require"), "");
        world.wait(seconds(3600));
        assert_eq!(refreshes(&mut world, alice), 12);
        end(&mut world, alice, bob);
    }
}

/// 422 with Min-SE comes back, and the caller calls again with more.
#[test]
fn too_short_for_the_callee() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().timer = Some(SessionTimer { min: 60, ..SessionTimer::every(90, "UPDATE") });
    world.phone(bob).habits().timer = Some(SessionTimer { min: 300, ..SessionTimer::every(1800, "UPDATE") });
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(alice).call().last("INVITE 422", "Min-SE"), "300");
    assert_eq!(world.phone(alice).call().last("INVITE 200", "Session-Expires"), "300;refresher=uac");
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           422 Session Interval Too Small
        0.000    gw → bob           ACK
        0.000    gw → alice         422 Session Interval Too Small
        0.000    alice → gw         ACK
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
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// The side that refreshes stops: the other one hangs up, and both legs end.
#[test]
fn nobody_refreshes_any_more() {
    for refresher in ["uac", "uas"] {
        let timer = SessionTimer { refresher: Some(refresher), times: 2, ..SessionTimer::every(120, "UPDATE") };
        let (mut world, alice, bob) = timed(Some(timer), Some(timer));
        world.finish();
        let (refreshing, watching) = if refresher == "uac" { (alice, bob) } else { (bob, alice) };
        assert_eq!(refreshes(&mut world, watching), 2);
        assert_eq!(world.phone(watching).call().end(), Some(End::WeHungUp));
        assert_eq!(world.phone(refreshing).call().end(), Some(End::TheyHungUp));
        let records = world.gateway().records();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].cause, if refresher == "uac" { "callee hung up" } else { "caller hung up" });
    }
}

/// The side that refreshes has lost its power, and the other one has no timer: our own question finds it out and ends the call for the other.
#[test]
fn a_dead_side_is_found_whatever_timers_there_are() {
    let timer = Some(SessionTimer::every(1800, "UPDATE"));
    for (caller, callee) in [(None, None), (timer, None), (None, timer)] {
        for caller_dies in [true, false] {
            let (mut world, alice, bob) = timed(caller, callee);
            let (dead, left) = if caller_dies { (alice, bob) } else { (bob, alice) };
            world.unplug(dead, false);
            world.wait(seconds(300 + 40));
            assert_eq!(world.phone(left).call().end(), Some(End::TheyHungUp));
            // Its BYEs are still on their way to nobody.
            world.wait(seconds(40));
            assert_eq!(world.gateway().calls(), 0);
            assert_eq!(world.gateway().records().iter().map(|record| record.cause).collect::<Vec<_>>(), ["one side is gone"]);
        }
    }
}

/// Alice must have every answer reliably, and Bob cannot do that: he is only told that it would be welcome, and we do it for him.
#[test]
fn the_caller_requires_what_the_callee_cannot_do() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with = vec![("Require", "100rel")];
    world.phone(bob).habits().knows = Some(&[]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(alice).call().said(), [(Method::Prack, 200)]);
    assert!(world.phone(bob).call().heard().is_empty());
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        0.000    alice → gw         PRACK
        0.000    gw → alice         200 OK (PRACK)
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// The same with early media, answered before the acknowledgement has come: the answer waits for it, as RFC 3262 section 3 demands.
#[test]
fn an_answer_waits_for_the_acknowledgement_of_early_media() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with = vec![("Require", "100rel")];
    world.phone(bob).manner(Manner::EarlyMedia { after: Duration::from_millis(800), reliably: false });
    world.lose("alice 183 Session Progress +body", 2);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(alice).call().said(), [(Method::Prack, 200)]);
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           183 Session Progress +body
        0.000    gw → alice         183 Session Progress +body  ✗
        0.500    gw → alice         183 Session Progress +body  ✗
        0.500    alice → gw         INVITE 1002 +credentials +body
        0.500    gw → alice         183 Session Progress +body
        0.500    alice → gw         PRACK
        0.500    gw → alice         200 OK (PRACK)
        0.800    bob → gw           200 OK +body
        0.800    gw → alice         200 OK +body
        0.800    alice → gw         ACK
        0.800    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// A caller that requires 100rel and never acknowledges is refused after 64*T1, and the phone stops ringing.
#[test]
fn a_caller_that_never_acknowledges() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with = vec![("Require", "100rel")];
    world.phone(alice).habits().pracks = false;
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(504)));
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(alice).call().progress().len(), 7, "after 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds");
}

/// Bob takes no call from somebody without 100rel, and sends his early media reliably. Alice knows nothing of it: we acknowledge.
#[test]
fn the_callee_insists_on_what_the_caller_cannot_do() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with.clear();
    world.phone(bob).habits().insists = true;
    world.phone(bob).manner(Manner::EarlyMedia { after: seconds(2), reliably: true });
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(bob).call().heard(), ["PRACK"]);
    assert!(world.phone(alice).call().said().is_empty());
    assert_eq!(world.phone(alice).call().last("INVITE 183", "RSeq"), "");
    expect![[r#"
        0.000    alice → gw         INVITE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE 1002 +credentials +body
        0.000    gw ⇢ policy        internal: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           421 Extension Required
        0.000    gw → bob           ACK
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           183 Session Progress +body
        0.000    gw → bob           PRACK
        0.000    gw → alice         183 Session Progress +body
        0.000    bob → gw           200 OK (PRACK)
        2.000    bob → gw           200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → bob           ACK
    "#]]
    .assert_eq(&world.ladder());
    end(&mut world, alice, bob);
}

/// A phone that sends reliably although nobody has said that it may.
#[test]
fn reliable_without_being_asked() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with.clear();
    world.phone(bob).manner(Manner::EarlyMedia { after: seconds(2), reliably: true });
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(bob).call().heard(), ["PRACK"]);
    assert_eq!(world.phone(alice).call().last("INVITE 183", "Require"), "");
    end(&mut world, bob, alice);
}

/// Two phones of one user play different announcements.
#[test]
fn early_media_of_two_phones_and_one_of_them_answers() {
    for reliably in [false, true] {
        let mut world = World::new(1);
        let [alice, bob] = world.registered(["alice", "bob"]);
        let second = world.add(Phone::account("bob", Transport::Udp).at("bob2", "10.1.0.22:5060"));
        world.register(second);
        world.wait(seconds(1));
        world.phone(bob).manner(Manner::EarlyMedia { after: seconds(3), reliably });
        world.phone(second).manner(Manner::EarlyMedia { after: seconds(60), reliably });
        world.ladder();
        world.dial(alice, "1002");
        world.wait(seconds(6));
        // Each is an early dialog of its own, acknowledged in its own.
        assert_eq!(world.phone(alice).call().progress(), [183, 183]);
        let tags: std::collections::BTreeSet<_> = world
            .phone(alice)
            .call()
            .received()
            .filter(|message| message.status() == 183)
            .map(|message| message.to().unwrap().raw.to_vec())
            .collect();
        assert_eq!(tags.len(), 2);
        assert_eq!(world.phone(second).call().end(), Some(End::Cancelled));
        if reliably {
            expect![[r#"
                0.000    alice → gw         INVITE 1002 +body
                0.000    gw → alice         407 Proxy Authentication Required
                0.000    alice → gw         ACK
                0.000    alice → gw         INVITE 1002 +credentials +body
                0.000    gw ⇢ policy        internal: route bob
                0.000    gw → bob2          INVITE 1002 +body
                0.000    gw → bob           INVITE 1002 +body
                0.000    bob2 → gw          183 Session Progress +body
                0.000    bob → gw           183 Session Progress +body
                0.000    gw → alice         183 Session Progress +body
                0.000    gw → alice         183 Session Progress +body
                0.000    alice → gw         PRACK
                0.000    alice → gw         PRACK
                0.000    gw → bob2          PRACK
                0.000    gw → bob           PRACK
                0.000    bob2 → gw          200 OK (PRACK)
                0.000    bob → gw           200 OK (PRACK)
                0.000    gw → alice         200 OK (PRACK)
                0.000    gw → alice         200 OK (PRACK)
                3.000    bob → gw           200 OK +body
                3.000    gw → alice         200 OK +body
                3.000    gw → bob2          CANCEL
                3.000    alice → gw         ACK
                3.000    bob2 → gw          200 OK (CANCEL)
                3.000    bob2 → gw          487 Request Terminated
                3.000    gw → bob           ACK
                3.000    gw → bob2          ACK
            "#]]
            .assert_eq(&world.ladder());
        }
        end(&mut world, alice, bob);
    }
}

/// A call for help that demands everything goes out all the same, and rings on when its PRACK never comes.
#[test]
fn a_call_for_help_may_demand_anything() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let north = world.add(Phone::trunk("north"));
    world.phone(alice).habits().calls_with = vec![
        ("Require", "100rel, sec-agree, frobnicate"),
        ("Proxy-Require", "sec-agree"),
        ("Privacy", "id;session;critical"),
        ("Join", "a;to-tag=b;from-tag=c"),
        ("Join", "a;to-tag=b;from-tag=d"),
    ];
    world.phone(alice).habits().pracks = false;
    world.phone(north).manner(Manner::EarlyMedia { after: seconds(2), reliably: false });
    world.dial(alice, "112");
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up(), "{}", world.ladder());
    // Whoever helps sees who calls.
    let from = world.phone(north).call().last("INVITE", "P-Asserted-Identity");
    assert!(from.contains("1001"), "{from}");
    end(&mut world, alice, north);
}
