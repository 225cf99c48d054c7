//! A phone takes the call that rings at another one: by a key that it has lit (dialog information, INVITE with Replaces) and by a code, on whatever shard.

use crate::{seconds, talk_on};
use expect_test::expect;
use sip::{header::Name, transport::Transport};
use std::time::Duration;
use switch::directory::Features;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

/// `who` watches 1002, where a call then comes in from `from` for `number` and rings. Returns what `who` writes into Replaces. The ladder begins after it.
fn ring(world: &mut World, who: PhoneId, from: PhoneId, number: &str) -> String {
    world.act(who, |phone, now, out| {
        phone.watch("1002", "dialog", 600, now, out);
    });
    world.wait(seconds(2));
    world.dial(from, number);
    world.wait(seconds(1));
    world.ladder();
    let told = world.phone(who).watches()[0].last().clone();
    assert_eq!(told.states(), ["early"]);
    told.replaces()
}

fn pick_up(world: &mut World, who: PhoneId, replaces: &str) {
    world.act(who, |phone, now, out| phone.dial_replacing("1002", replaces, now, out));
    world.wait(seconds(1));
}

/// With a code for pickup.
fn with_code(world: &mut World, code: &str) {
    let now = world.now();
    let site = world.gateway().site();
    let mut directory = (*site.directory()).clone();
    directory.features = Features { pickup: code.into() };
    let _changes = site.replace_directory(directory, now);
}

#[test]
fn by_a_key() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Rings);
    let replaces = ring(&mut world, carol, alice, "1002");
    pick_up(&mut world, carol, &replaces);
    expect![[r#"
        0.000    carol → gw         INVITE 1002 +body
        0.000    gw → carol         407 Proxy Authentication Required
        0.000    carol → gw         ACK
        0.000    carol → gw         INVITE 1002 +credentials +body
        0.000    gw → carol         200 OK +body
        0.000    carol → gw         ACK
        0.000    gw → carol         INVITE +body
        0.000    carol → gw         200 OK +body
        0.000    gw → alice         200 OK +body
        0.000    gw → bob           CANCEL
        0.000    alice → gw         ACK
        0.000    bob → gw           200 OK (CANCEL)
        0.000    bob → gw           487 Request Terminated
        0.000    gw → carol         ACK
        0.000    gw → bob           ACK
        0.000    gw → carol         NOTIFY +body
        0.000    carol → gw         200 OK (NOTIFY)
    "#]]
    .assert_eq(&world.ladder());
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up());
    // The watched phone is free again, and the picker's own line is busy.
    world.wait(seconds(2));
    assert_eq!(world.phone(carol).watches()[0].last().states(), ["terminated"]);
    talk_on(&mut world, carol, alice);
}

/// By every seed the three Call-IDs lie on other shards.
#[test]
fn whichever_shards_the_calls_live_on() {
    let mut places = std::collections::BTreeSet::new();
    for seed in 0..24 {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        for _ in 0..seed {
            world.act(carol, |phone, _, _| phone.shake());
            world.act(alice, |phone, _, _| phone.shake());
        }
        world.phone(bob).manner(Manner::Rings);
        let replaces = ring(&mut world, carol, alice, "1002");
        pick_up(&mut world, carol, &replaces);
        let shard = |world: &mut World, id: PhoneId| gateway::calls::shard_of(world.phone(id).call().call_id(), 2);
        places.insert((shard(&mut world, alice), shard(&mut world, bob), shard(&mut world, carol)));
        assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled), "seed {seed}");
        assert!(world.phone(alice).call().up() && world.phone(carol).call().up(), "seed {seed}");
        talk_on(&mut world, if seed % 2 == 0 { carol } else { alice }, if seed % 2 == 0 { alice } else { carol });
        assert_eq!(world.gateway().calls(), 0);
    }
    // The gateway's leg to bob lives where the call does.
    assert!(places.len() >= 4, "{places:?}");
}

#[test]
fn over_streams_and_from_outside() {
    let mut world = World::new(2);
    let [bob] = world.registered(["bob"]);
    let carol = world.add(Phone::account("carol", Transport::Tcp));
    world.register(carol);
    let north = world.add(Phone::trunk("north"));
    world.wait(seconds(1));
    world.phone(bob).manner(Manner::Rings);
    let replaces = ring(&mut world, carol, north, "+442030001002");
    pick_up(&mut world, carol, &replaces);
    assert!(world.phone(north).call().up() && world.phone(carol).call().up());
    assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled));
    talk_on(&mut world, north, carol);
}

/// Three phones want it: one gets it, the others are hung up or refused, and nothing is left.
#[test]
fn several_want_it() {
    let mut world = World::new(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.phone(bob).manner(Manner::Rings);
    let replaces = ring(&mut world, carol, alice, "1002");
    for who in [carol, dave] {
        world.act(who, |phone, now, out| phone.dial_replacing("1002", &replaces, now, out));
    }
    world.wait(seconds(2));
    let up = [carol, dave].map(|id| world.phone(id).call().up());
    assert_eq!(up.iter().filter(|up| **up).count(), 1, "{up:?}:\n{}", world.ladder());
    let (winner, loser) = if up[0] { (carol, dave) } else { (dave, carol) };
    assert!(matches!(world.phone(loser).call().end(), Some(End::TheyHungUp | End::Refused(481 | 486))));
    talk_on(&mut world, winner, alice);
    // Later it is too late.
    pick_up(&mut world, dave, &replaces);
    assert_eq!(world.phone(dave).call().end(), Some(End::Refused(481)));
    world.finish();
}

/// The phone that rings answers while the picker's ACK is on its way: it was faster.
#[test]
fn the_phone_that_rings_is_faster() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Answers(seconds(2)));
    let replaces = ring(&mut world, carol, alice, "1002");
    world.lose("carol → gw ACK", 9);
    pick_up(&mut world, carol, &replaces);
    world.wait(seconds(10));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    talk_on(&mut world, alice, bob);
}

/// A picker that goes away, or does not agree on a session, costs nobody the call.
#[test]
fn the_picker_fails() {
    for way in ["gone", "unwilling"] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        world.phone(bob).manner(Manner::Answers(seconds(20)));
        let replaces = ring(&mut world, carol, alice, "1002");
        if way == "gone" {
            world.lose("carol → gw ACK", 100);
        } else {
            world.phone(carol).refuse_reinvites(488, 1);
        }
        pick_up(&mut world, carol, &replaces);
        world.wait(seconds(40));
        assert!(world.phone(alice).call().up() && world.phone(bob).call().up(), "{way}");
        assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp), "{way}");
        talk_on(&mut world, alice, bob);
    }
}

/// The caller gives up while somebody picks up.
#[test]
fn the_caller_gives_up() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Rings);
    let replaces = ring(&mut world, carol, alice, "1002");
    world.lose("carol → gw 200 OK +body", 1);
    world.act(carol, |phone, now, out| phone.dial_replacing("1002", &replaces, now, out));
    world.wait(Duration::from_millis(10));
    world.hang_up(alice);
    world.finish();
    for id in [alice, bob, carol] {
        assert!(world.phone(id).call().end().is_some(), "{}", world.ladder());
    }
}

#[test]
fn what_cannot_be_picked_up() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    let north = world.add(Phone::trunk("north"));
    world.phone(bob).manner(Manner::Rings);
    let replaces = ring(&mut world, carol, alice, "1002");
    // The caller's own dialog while it rings; a provider that wants it.
    let calling = world.phone(alice).call().replaces_plain();
    for (who, wanted, status) in [(carol, &calling, 481), (north, &replaces, 403)] {
        pick_up(&mut world, who, wanted);
        assert_eq!(world.phone(who).call().end(), Some(End::Refused(status)));
    }
    assert!(world.phone(bob).call().end().is_none(), "it rings on");
    world.hang_up(bob);
    world.wait(seconds(2));
    // Only while it rings, but it talks.
    world.phone(bob).manner(Manner::Answers(seconds(1)));
    world.dial(alice, "1002");
    world.wait(seconds(4));
    let seen = world.phone(carol).watches()[0].last().replaces();
    pick_up(&mut world, carol, &seen);
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(481)), "what a watcher has seen names no call that talks");
    let early_only = format!("{};early-only", world.phone(bob).call().replaces_plain());
    pick_up(&mut world, carol, &early_only);
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(486)));
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.hang_up(alice);
    world.finish();
}

/// A call for help rings at the provider, and then talks: nobody takes it over, whatever they know of it.
#[test]
fn a_call_for_help_is_nobody_elses() {
    let mut world = World::new(1);
    let [alice, carol] = world.registered(["alice", "carol"]);
    with_code(&mut world, "**");
    let north = world.add(Phone::trunk("north"));
    world.phone(north).manner(Manner::Answers(seconds(10)));
    world.dial(alice, "112");
    world.wait(seconds(2));
    let at_the_provider = {
        let invite = world.phone(north).call();
        format!("{};to-tag=0;from-tag=0", String::from_utf8_lossy(invite.call_id()))
    };
    for wanted in [world.phone(alice).call().replaces_plain(), at_the_provider] {
        pick_up(&mut world, carol, &wanted);
        assert!(matches!(world.phone(carol).call().end(), Some(End::Refused(403 | 481))));
    }
    for code in ["**1001", "**", "**112"] {
        let mut place = 0;
        world.act(carol, |phone, _, _| place = phone.calls().len());
        world.dial(carol, code);
        world.wait(seconds(1));
        assert!(matches!(world.phone(carol).calls()[place].end(), Some(End::Refused(400..=499))), "{code}");
    }
    world.wait(seconds(10));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up());
    let talking = world.phone(alice).call().replaces_plain();
    pick_up(&mut world, carol, &talking);
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(403)));
    assert!(world.phone(alice).call().up());
    world.hang_up(alice);
    world.finish();
}

#[test]
fn by_a_code() {
    for (seed, code) in [(1, "**1002"), (2, "**"), (3, "**1002"), (4, "**")] {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        with_code(&mut world, "**");
        world.phone(bob).manner(Manner::Rings);
        world.dial(alice, "1002");
        world.wait(seconds(1));
        for (number, status) in [("**1999", 404), ("**1003", 480)] {
            world.dial(carol, number);
            world.wait(seconds(1));
            assert_eq!(world.phone(carol).call().end(), Some(End::Refused(status)), "{number}");
        }
        world.dial(carol, code);
        world.wait(seconds(1));
        assert_eq!(world.phone(bob).call().end(), Some(End::Cancelled), "{code}");
        assert!(world.phone(carol).call().up() && world.phone(alice).call().up());
        talk_on(&mut world, carol, alice);
        // Nothing rings any more.
        world.dial(carol, code);
        world.wait(seconds(1));
        assert_eq!(world.phone(carol).call().end(), Some(End::Refused(480)));
        world.finish();
    }
}

#[test]
fn without_a_code_it_is_a_number_like_any_other() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.phone(bob).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(1));
    world.dial(carol, "**1002");
    world.wait(seconds(1));
    assert!(matches!(world.phone(carol).call().end(), Some(End::Refused(404))));
    assert!(world.phone(bob).call().end().is_none());
    world.hang_up(alice);
    world.finish();
    assert!(!world.gateway().site().lines.any(), "nobody watches, and nothing was noted");
    assert!(world.phone(bob).call().invited(Name::CallId).len() == 1);
}
