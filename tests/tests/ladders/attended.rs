//! Attended transfers: a phone that talks in two calls joins the two others, whichever shards the calls live on; and INVITE with Replaces.

use crate::{seconds, talk, talk_on};
use expect_test::expect;
use sip::{header::Name, transport::Transport};
use world::{
    net::{PhoneId, Seen, World},
    node::Gateway,
    phone::{End, Manner, Phone},
};

/// The newest call of `id` is held, as phones do before they call somebody else.
fn hold(world: &mut World, id: PhoneId) {
    world.say(id, "INVITE");
    world.wait(seconds(1));
}

/// The holder joins its first call with its second; `address` is what stands before the dialog in Refer-To.
fn join(world: &mut World, id: PhoneId, address: &str) {
    let target = format!("<{address}?Replaces={}>", world.phone(id).calls()[1].replaces());
    world.act(id, |phone, now, out| phone.refer(0, &target, &[], now, out));
    world.wait(seconds(3));
}

#[test]
fn the_one_in_the_middle_called_twice() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, bob, "1001");
    hold(&mut world, bob);
    talk(&mut world, bob, "1003");
    join(&mut world, bob, "sip:1003@cloud.example");
    assert_eq!(world.phone(bob).calls()[0].notified().last().unwrap(), "SIP/2.0 200 OK; terminated;reason=noresource");
    assert_eq!(world.phone(bob).calls()[1].end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    bob → gw           REFER
        0.000    gw → bob           202 Accepted (REFER)
        0.000    gw → bob           NOTIFY +body
        0.000    bob → gw           200 OK (NOTIFY)
        0.000    gw → bob           BYE
        0.000    bob → gw           200 OK (BYE)
        0.000    gw → carol         INVITE
        0.000    carol → gw         200 OK +body
        0.000    gw → alice         INVITE +body
        0.000    alice → gw         200 OK +body
        0.000    gw → alice         ACK
        0.000    gw → carol         ACK +body
        0.000    gw → bob           NOTIFY +body
        0.000    bob → gw           200 OK (NOTIFY)
    "#]]
    .assert_eq(&world.ladder());
    world.wait(seconds(5));
    assert_eq!(world.phone(bob).calls()[0].end(), Some(End::TheyHungUp));
    talk_on(&mut world, alice, carol);
}

/// By every seed the four Call-IDs lie on other shards: all combinations come.
#[test]
fn whichever_shards_the_calls_live_on() {
    let mut places = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        for _ in 0..seed {
            // Other Call-IDs.
            world.act(bob, |phone, _, _| phone.shake());
            world.act(alice, |phone, _, _| phone.shake());
        }
        // The one in the middle is called, and calls.
        talk(&mut world, alice, "1002");
        hold(&mut world, bob);
        talk(&mut world, bob, "1003");
        let shard = |world: &mut World, id: PhoneId| gateway::calls::shard_of(world.phone(id).call().call_id(), 2);
        places.insert((shard(&mut world, alice), shard(&mut world, bob)));
        join(&mut world, bob, "sip:1003@cloud.example");
        assert!(
            world.phone(bob).calls().iter().all(|call| call.notified().is_empty() || call.notified().last().unwrap().contains("200 OK"))
        );
        talk_on(&mut world, carol, alice);
        for id in [alice, bob, carol] {
            assert!(world.phone(id).calls().iter().all(|call| call.end().is_some()));
        }
    }
    assert_eq!(places.len(), 4, "{places:?}");
}

/// Refer-To carries what the phone knows as the other's Contact: an address that is nobody's number.
#[test]
fn whatever_address_stands_before_the_dialog() {
    for address in ["sip:192.0.2.1:5060", "sip:x7f3@10.1.0.3:5060", "sip:10.1.0.3:49152;transport=tcp"] {
        let mut world = World::new(3);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        talk(&mut world, bob, "1003");
        join(&mut world, bob, address);
        talk_on(&mut world, alice, carol);
    }
}

/// The transferee is outside, then the target, then both: the providers see INVITE inside their dialogs, nothing else.
#[test]
fn with_the_outside() {
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let mut world = World::new(5);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
        if first {
            talk(&mut world, north, "+442030001002");
        } else {
            talk(&mut world, alice, "1002");
        }
        world.phone(north).manner(Manner::Refuses(503));
        talk(&mut world, bob, if second { "+442071234567" } else { "1003" });
        let channels = |world: &mut World| world.gateway().site().trunks.in_use("south");
        assert_eq!(channels(&mut world), u32::from(second));
        join(&mut world, bob, "sip:1003@cloud.example");
        assert_eq!(channels(&mut world), u32::from(second), "the channel goes with the party");
        let (one, other) = (if second { south } else { carol }, if first { north } else { alice });
        let stays = world.phone(other).calls().iter().position(|call| call.end().is_none()).unwrap();
        assert!(world.phone(one).call().up() && world.phone(other).calls()[stays].up());
        world.hang_up(one);
        world.finish();
        assert_eq!(world.phone(other).calls()[stays].end(), Some(End::TheyHungUp));
        assert_eq!(channels(&mut world), 0);
    }
}

/// The dialog is nobody's, or that of a call that has ended: the transferor hears it and keeps its call.
#[test]
fn a_dialog_that_nobody_has() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    talk(&mut world, bob, "1003");
    world.hang_up(carol);
    world.wait(seconds(1));
    join(&mut world, bob, "sip:1003@cloud.example");
    assert!(world.phone(bob).calls()[0].notified().last().unwrap().starts_with("SIP/2.0 481"));
    assert!(world.phone(alice).call().up() && world.phone(bob).calls()[0].up());
    world.hang_up(alice);
    world.finish();
}

/// The target's phone is gone when it is asked for its session: both calls of the transferor are not lost, the first one stays.
#[test]
fn the_target_is_gone() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    talk(&mut world, alice, "1002");
    talk(&mut world, bob, "1003");
    world.unplug(carol, true);
    join(&mut world, bob, "sip:1003@cloud.example");
    assert!(world.phone(bob).calls()[0].notified().last().unwrap().starts_with("SIP/2.0 480"));
    assert!(world.phone(alice).call().up() && world.phone(bob).calls()[0].up());
    world.hang_up(alice);
    world.wait(seconds(60));
    assert!(world.phone(bob).calls()[0].end().is_some());
}

/// A phone takes the place of another by an INVITE of its own, on whatever shard.
#[test]
fn invite_with_replaces() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        for _ in 0..seed {
            world.act(carol, |phone, _, _| phone.shake());
        }
        talk(&mut world, alice, "1002");
        let replaces = world.phone(bob).call().replaces_plain();
        world.act(carol, |phone, now, out| phone.dial_replacing("1001", &replaces, now, out));
        world.wait(seconds(3));
        assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
        assert!(world.phone(carol).call().up() && world.phone(alice).call().up());
        talk_on(&mut world, carol, alice);
    }
}

#[test]
fn invite_with_replaces_that_is_refused() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    let north = world.add(Phone::trunk("north"));
    talk(&mut world, alice, "1002");
    let right = world.phone(bob).call().replaces_plain();
    for (who, replaces, status) in
        [(carol, "nobody;to-tag=1;from-tag=2".to_owned(), 481), (carol, "no-tags".to_owned(), 400), (north, right, 403)]
    {
        world.act(who, |phone, now, out| phone.dial_replacing("1001", &replaces, now, out));
        world.wait(seconds(1));
        assert_eq!(world.phone(who).call().end(), Some(End::Refused(status)), "{replaces}");
    }
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.hang_up(alice);
    world.finish();
}

/// Over streams, and the moved dialog's messages keep coming by its own connection.
#[test]
fn over_tcp() {
    let mut world = World::new(2);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let carol = world.add(Phone::account("carol", Transport::Tcp));
    world.register(carol);
    world.wait(seconds(1));
    talk(&mut world, alice, "1002");
    talk(&mut world, carol, "1002");
    join(&mut world, bob, "sip:1003@cloud.example");
    assert!(world.phone(carol).call().invited(Name::CallId).is_empty(), "nobody rang there");
    talk_on(&mut world, carol, alice);
}

/// The transactions of a dialog that was taken to another shard live there, and go on living when the call is over (RFC 3261 17.2): what comes again then
/// must find them, and be answered by nothing new.
#[test]
fn a_request_that_comes_again_after_its_call_is_known() {
    for seed in 1..9 {
        let mut world = World::watched(seed, Gateway::new(seed), usize::MAX);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        talk(&mut world, alice, "1002");
        talk(&mut world, bob, "1003");
        let target = format!("<sip:1003@cloud.example?Replaces={}>", world.phone(bob).calls()[1].replaces());
        world.act(bob, |phone, now, out| phone.refer(0, &target, &[], now, out));
        world.wait(seconds(20));
        world.seen();
        for id in [alice, carol] {
            world.say(id, "INVITE");
            world.wait(seconds(1));
        }
        let invites: Vec<_> = world
            .seen()
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Sent { by: Some(by), flow, bytes } if bytes.starts_with(b"INVITE") => Some((by, flow, bytes)),
                _ => None,
            })
            .collect();
        assert_eq!(invites.iter().map(|(by, ..)| *by).collect::<Vec<_>>(), [alice, carol]);
        world.hang_up(carol);
        world.wait(seconds(1));
        world.ladder();
        for (by, flow, bytes) in invites {
            world.utter(by, flow, bytes);
        }
        world.wait(seconds(1));
        let ladder = world.ladder();
        assert!(!ladder.contains("100 Trying") && !ladder.contains("481"), "seed {seed}: {ladder}");
        world.finish();
        world.wait(seconds(60));
        assert!(world.gateway().shards().iter().all(|shard| shard.tables().total() == 0), "seed {seed}");
    }
}
