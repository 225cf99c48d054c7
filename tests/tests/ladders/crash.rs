//! The gateway's process is killed in the middle of calls and started again: no call ends by it.

use crate::{seconds, talk};
use expect_test::expect;
use sip::transport::Transport;
use std::time::Duration;
use world::{
    net::{PhoneId, Weather, World},
    phone::{End, Manner, Phone},
};

/// Both offer something new, and one hangs up.
fn talk_on(world: &mut World, one: PhoneId, other: PhoneId) {
    for (who, whom) in [(one, other), (other, one)] {
        let before = world.phone(whom).call().heard().len();
        world.say(who, "INVITE");
        world.wait(seconds(1));
        let heard = world.phone(whom).call().heard()[before..].to_vec();
        assert_eq!(heard, ["INVITE"], "{}", world.ladder());
    }
    world.hang_up(one);
    world.finish();
    assert_eq!(world.phone(other).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
}

#[test]
fn a_talking_call_is_hung_up_by_either_side() {
    for caller_hangs_up in [true, false] {
        let mut world = World::new(1);
        let [alice, bob] = world.registered(["alice", "bob"]);
        world.dial(alice, "1002");
        world.wait(seconds(60));
        world.ladder();
        world.crash(2);
        let (one, other) = if caller_hangs_up { (alice, bob) } else { (bob, alice) };
        world.hang_up(one);
        world.finish();
        assert_eq!(world.phone(one).call().end(), Some(End::WeHungUp));
        assert_eq!(world.phone(other).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
        if caller_hangs_up {
            expect![[r#"
                0.000    gw                 is killed and started again
                0.000    alice → gw         BYE
                0.000    gw → alice         200 OK (BYE)
                0.000    gw → bob           BYE
                0.000    bob → gw           200 OK (BYE)
            "#]]
            .assert_eq(&world.ladder());
        }
    }
}

#[test]
fn a_ringing_call_is_answered() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Answers(seconds(20)));
    world.dial(alice, "1002");
    world.wait(seconds(10));
    world.ladder();
    world.crash(2);
    world.wait(seconds(20));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up(), "{}", world.ladder());
    assert_eq!(world.phone(bob).call().acknowledged(), 1);
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    gw                 is killed and started again
        10.000   bob → gw           200 OK +body
        10.000   gw → alice         200 OK +body
        10.000   alice → gw         ACK
        10.000   gw → bob           ACK
        20.000   bob → gw           BYE
        20.000   gw → bob           200 OK (BYE)
        20.000   gw → alice         BYE
        20.000   alice → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// What is written a moment later than it is said (somebody rings, an answer is acknowledged, a call is over) is not missed by the call.
#[test]
fn at_any_moment() {
    let mut rung = 0;
    for moment in (1..=300).step_by(7).map(Duration::from_millis) {
        let mut world = World::new(1);
        world.weather(Weather { delay: Duration::from_millis(20), ..Weather::default() });
        let [alice, bob] = world.registered(["alice", "bob"]);
        world.phone(bob).manner(Manner::Answers(Duration::from_millis(100)));
        world.dial(alice, "1002");
        world.wait(moment);
        // Before, the caller is still proving who it is, to a process that is gone.
        if world.phone(bob).calls().is_empty() {
            continue;
        }
        rung += 1;
        world.crash(1);
        world.wait(seconds(40));
        talk_on(&mut world, alice, bob);
    }
    assert!(rung > 20, "{rung}");
    for moment in (0..=140).step_by(5).map(Duration::from_millis) {
        let mut world = World::new(1);
        world.weather(Weather { delay: Duration::from_millis(20), ..Weather::default() });
        let [alice, bob] = world.registered(["alice", "bob"]);
        talk(&mut world, alice, "1002");
        world.hang_up(alice);
        world.wait(moment);
        world.crash(1);
        world.finish();
        assert_eq!(world.phone(alice).call().end(), Some(End::WeHungUp), "{}", world.ladder());
        assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
    }
}

#[test]
fn a_ringing_call_is_cancelled() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(10));
    world.crash(2);
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Cancelled), "{}", world.ladder());
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
}

#[test]
fn a_call_that_nobody_answers_rings_as_long_as_it_would_have() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(40));
    world.crash(2);
    world.wait(seconds(19));
    assert_eq!(world.phone(alice).call().end(), None);
    world.wait(seconds(2));
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(480)), "{}", world.ladder());
    world.finish();
}

#[test]
fn killed_between_the_answer_and_its_acknowledgement() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.lose("alice → gw ACK", 1);
    world.wait(Duration::from_millis(1200));
    world.crash(2);
    world.wait(seconds(5));
    assert_eq!(world.phone(bob).call().acknowledged(), 1, "{}", world.ladder());
    talk_on(&mut world, alice, bob);
}

#[test]
fn a_held_call_is_taken_up_again() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    world.say(bob, "INVITE");
    world.wait(seconds(1));
    world.crash(1);
    talk_on(&mut world, bob, alice);
}

#[test]
fn again_and_again_with_as_many_shards_as_you_like() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Answers(Duration::ZERO));
    for shards in [1, 3, 2, 5, 1] {
        world.dial(alice, "1002");
        world.wait(seconds(1));
        world.crash(shards);
        world.wait(seconds(1));
    }
    assert_eq!(world.gateway().calls(), 5);
    for place in 0..5 {
        let hangs_up = if place % 2 == 0 { alice } else { bob };
        world.act(hangs_up, |phone, now, out| phone.hang_up_call(place, now, out));
    }
    world.finish();
    for phone in [alice, bob] {
        assert!(world.phone(phone).calls().iter().all(|call| call.end().is_some()), "{}", world.ladder());
    }
    // What was over is not taken up again.
    world.crash(2);
    assert_eq!(world.gateway().calls(), 0);
    talk(&mut world, carol, "1001");
    talk_on(&mut world, carol, alice);
}

#[test]
fn a_forwarded_call_goes_on_before_and_after_its_answer() {
    for waits in [1, 5] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        world.phone(bob).manner(Manner::Redirects { status: 302, contact: "<sip:1003@cloud.example>", after: Duration::ZERO });
        world.dial(alice, "1002");
        world.wait(seconds(waits));
        world.crash(2);
        world.wait(seconds(5));
        talk_on(&mut world, alice, carol);
    }
}

#[test]
fn a_transferred_call_goes_on_before_and_after_its_answer() {
    for waits in [1, 5] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        world.refer(bob, "<sip:1003@cloud.example>");
        world.wait(seconds(waits));
        world.crash(2);
        world.wait(seconds(10));
        assert!(world.phone(bob).call().end().is_some(), "a transferor that stays is hung up: {}", world.ladder());
        talk_on(&mut world, carol, alice);
    }
}

#[test]
fn calls_that_were_joined_are_one_afterwards_whatever_shard_they_came_from() {
    for seed in 1..9 {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        talk(&mut world, bob, "1003");
        let target = format!("<sip:1003@cloud.example?Replaces={}>", world.phone(bob).calls()[1].replaces());
        world.act(bob, |phone, now, out| phone.refer(0, &target, &[], now, out));
        world.wait(seconds(20));
        world.crash(usize::try_from(1 + seed % 4).unwrap());
        talk_on(&mut world, alice, carol);
        assert_eq!(world.gateway().calls(), 0);
    }
}

/// The call that gave its party away is over, and may not have written that down when the process is killed.
#[test]
fn who_was_just_taken_from_a_call_belongs_to_the_other_one_only() {
    cov_mark::check!(given_before_the_restart);
    for shards in [1, 2] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        let replaced = world.phone(bob).call().replaces_plain();
        world.act(carol, |phone, now, out| phone.dial_replacing("1002", &replaced, now, out));
        world.wait(Duration::from_millis(20));
        assert!(world.phone(carol).call().up(), "{}", world.ladder());
        world.crash(shards);
        // Both calls would be checked in this time, and who was replaced knows nothing of its own any more.
        world.wait(seconds(120));
        assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
        talk_on(&mut world, carol, alice);
    }
}

#[test]
fn a_call_for_help_rings_on_and_talks_on() {
    for waits in [1, 5] {
        let mut world = World::new(1);
        let north = world.add(Phone::trunk("north"));
        let [alice] = world.registered(["alice"]);
        world.dial(alice, "112");
        world.wait(seconds(waits));
        world.crash(2);
        world.wait(seconds(5));
        assert_eq!(world.gateway().site().trunks.in_use("north"), 1);
        talk_on(&mut world, alice, north);
        assert_eq!(world.gateway().site().trunks.in_use("north"), 0);
    }
}

#[test]
fn a_side_that_went_away_meanwhile_is_found_out_within_two_minutes() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    world.unplug(bob, false);
    world.crash(2);
    world.wait(seconds(60 + 33));
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
    assert_eq!(world.gateway().calls(), 0);
}

#[test]
fn a_phone_that_connects_anew_in_a_call_is_found_there() {
    for crash in [false, true] {
        for waits_for_it in [false, true] {
            let mut world = World::new(1);
            let [bob] = world.registered(["bob"]);
            let alice = world.add(Phone::account("alice", Transport::Tcp));
            world.register(alice);
            world.wait(seconds(1));
            talk(&mut world, alice, "1002");
            if crash {
                world.crash(2);
            }
            // Its connection is gone, and it has another one from elsewhere.
            world.reconnect(alice, "10.1.0.99:40000".parse().unwrap());
            if waits_for_it {
                world.hang_up(bob);
                world.wait(seconds(3));
                world.register(alice);
            } else {
                world.register(alice);
                world.wait(seconds(1));
                world.hang_up(bob);
            }
            world.finish();
            assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp), "{crash} {waits_for_it}: {}", world.ladder());
        }
    }
}

#[test]
fn a_registration_that_lapses_in_a_call_leaves_it_alone() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    talk(&mut world, alice, "1002");
    // Registered for five minutes, and then with the cloud again.
    world.wait(seconds(400));
    assert_eq!(world.gateway().site().registrar.len(), 0);
    talk_on(&mut world, bob, alice);
}
