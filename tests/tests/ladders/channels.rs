//! Trunks carry so many calls and no more, but for calls for help: the youngest other call makes room for one.

use crate::seconds;
use expect_test::expect;
use std::{sync::Arc, time::Duration};
use switch::{directory::Directory, trunk::Capacity};
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{End, Manner, Phone},
};

const OUTSIDE: &str = "+442071234567";
/// As both sides of a call hear why it has ended.
const REASON: &str = "preemption;cause=1;text=\"UA Preemption\", Q.850;cause=8;text=\"Preemption\"";

fn carries(directory: &mut Directory, trunk: usize, capacity: Capacity) {
    Arc::make_mut(&mut directory.trunks[trunk]).channels = capacity;
}

/// Three registered phones and both providers.
fn site(shards: usize, change: fn(&mut Directory)) -> (World, [PhoneId; 3], PhoneId, PhoneId) {
    let mut world = World::around(1, Gateway::of(1, &Plot { shards, change, ..Plot::default() }));
    let phones = world.registered(["alice", "bob", "carol"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    (world, phones, north, south)
}

fn call(world: &mut World, from: PhoneId, number: &str) {
    world.dial(from, number);
    world.wait(seconds(5));
}

fn ends(world: &mut World, who: PhoneId) -> Vec<Option<End>> {
    world.phone(who).calls().iter().map(world::phone::Call::end).collect()
}

fn taken(world: &mut World) -> [u32; 2] {
    ["north", "south"].map(|trunk| world.gateway().site().trunks.in_use(trunk))
}

#[test]
fn over_a_full_trunk_the_next_one_is_taken_and_then_there_is_none() {
    let full = |directory: &mut Directory| {
        carries(directory, 0, Capacity { outbound: Some(1), ..Capacity::default() });
        carries(directory, 1, Capacity { all: Some(2), reserved: 1, ..Capacity::default() });
    };
    let (mut world, [alice, bob, carol], north, south) = site(2, full);
    for phone in [alice, bob, carol] {
        call(&mut world, phone, OUTSIDE);
    }
    assert_eq!((world.phone(north).calls().len(), world.phone(south).calls().len(), taken(&mut world)), (1, 1, [1, 1]));
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(503)), "{}", world.ladder());
    // From the other side, too: one is up and one is kept.
    call(&mut world, south, "+442030001003");
    assert_eq!(world.phone(south).call().end(), Some(End::Refused(503)));
    assert_eq!(world.gateway().dropped()["trunk-channels"], 4, "north twice, south twice");
    world.hang_up(alice);
    world.hang_up(bob);
    world.finish();
    assert_eq!(taken(&mut world), [0, 0]);
    // Now there is room.
    call(&mut world, south, "+442030001003");
    assert!(world.phone(carol).call().up());
    assert_eq!(taken(&mut world), [0, 1]);
    world.hang_up(carol);
    world.finish();
    assert_eq!(taken(&mut world), [0, 0]);
}

#[test]
fn the_youngest_call_makes_room_for_a_call_for_help() {
    for shards in [1, 4] {
        let two = |directory: &mut Directory| carries(directory, 0, Capacity { all: Some(2), ..Capacity::default() });
        let (mut world, [alice, bob, carol], north, _) = site(shards, two);
        call(&mut world, alice, OUTSIDE);
        call(&mut world, bob, OUTSIDE);
        world.ladder();
        call(&mut world, carol, "112");
        assert!(world.phone(carol).call().up() && world.phone(alice).call().up());
        assert_eq!(ends(&mut world, north), [None, Some(End::TheyHungUp), None]);
        assert_eq!((world.phone(bob).call().end(), world.phone(bob).call().reason()), (Some(End::TheyHungUp), REASON.to_owned()));
        assert_eq!(world.phone(north).calls()[1].reason(), REASON);
        assert_eq!(taken(&mut world), [2, 0]);
        let ended: Vec<_> = world.gateway().records().iter().map(|record| (record.status, record.cause)).collect();
        assert_eq!(ended, [(200, "ended to make room for a call for help")]);
        if shards == 1 {
            // The call for help waits for nobody: its INVITE goes out before the other call is told to end.
            expect![[r#"
                0.000    carol → gw         INVITE 112 +body
                0.000    gw ⇢ policy        emergency: route north/112 as +442030001003, then south/112 as +442030001003
                0.000    gw → north         INVITE 112 +body
                0.000    north → gw         180 Ringing
                0.000    gw → carol         180 Ringing
                0.000    gw → bob           BYE
                0.000    gw → north         BYE
                0.000    bob → gw           200 OK (BYE)
                0.000    north → gw         200 OK (BYE)
                2.000    north → gw         200 OK +body
                2.000    gw → carol         200 OK +body
                2.000    gw → north         ACK
                2.000    carol → gw         ACK
                2.000    gw → north         ACK
            "#]]
            .assert_eq(&world.ladder());
        }
        // Nobody else gets in before somebody is out, and then one does.
        call(&mut world, bob, OUTSIDE);
        assert_eq!((taken(&mut world), world.phone(bob).call().up()), ([2, 1], true));
        world.hang_up(carol);
        world.hang_up(alice);
        world.hang_up(bob);
        world.finish();
        assert_eq!(taken(&mut world), [0, 0]);
    }
}

/// A provider counts the call that is just ending, and refuses: it is asked once more when the others were tried.
#[test]
fn a_trunk_that_is_not_free_yet_is_tried_again() {
    let one = |directory: &mut Directory| carries(directory, 0, Capacity { all: Some(1), ..Capacity::default() });
    let (mut world, [alice, _, carol], north, south) = site(2, one);
    call(&mut world, alice, OUTSIDE);
    world.phone(north).manner(Manner::Refuses(503));
    world.phone(south).manner(Manner::Refuses(404));
    call(&mut world, carol, "112");
    let tried = |world: &mut World, who| world.phone(who).calls().iter().filter(|call| call.end() != Some(End::TheyHungUp)).count();
    assert_eq!((tried(&mut world, north), tried(&mut world, south)), (2, 1), "{}", world.ladder());
    world.finish();
    assert_eq!(taken(&mut world), [0, 0]);
}

/// What only rings goes on to its next target.
#[test]
fn a_ringing_call_makes_room_and_rings_elsewhere() {
    let one = |directory: &mut Directory| carries(directory, 0, Capacity { all: Some(1), ..Capacity::default() });
    let (mut world, [alice, _, carol], north, south) = site(2, one);
    world.phone(north).manner(Manner::Answers(seconds(10)));
    call(&mut world, alice, OUTSIDE);
    call(&mut world, carol, "112");
    world.wait(seconds(10));
    assert_eq!(world.phone(north).calls()[0].end(), Some(End::Cancelled), "{}", world.ladder());
    assert!(world.phone(alice).call().up() && world.phone(south).call().up() && world.phone(carol).call().up());
    assert_eq!(taken(&mut world), [1, 1]);
    world.hang_up(alice);
    world.hang_up(carol);
    world.finish();
    assert_eq!(taken(&mut world), [0, 0]);
}

/// A call from outside, ringing or answered, makes room as well.
#[test]
fn a_call_from_outside_makes_room() {
    for rings in [true, false] {
        let one = |directory: &mut Directory| carries(directory, 0, Capacity { all: Some(1), ..Capacity::default() });
        let (mut world, [alice, _, carol], north, _) = site(2, one);
        if rings {
            world.phone(alice).manner(Manner::Rings);
        }
        call(&mut world, north, "+442030001001");
        call(&mut world, carol, "112");
        let expected = if rings { End::Refused(480) } else { End::TheyHungUp };
        assert_eq!(world.phone(north).calls()[0].end(), Some(expected), "{}", world.ladder());
        assert!(world.phone(carol).call().up() && world.phone(alice).call().end().is_some());
        assert_eq!(taken(&mut world), [1, 0]);
        world.hang_up(carol);
        world.finish();
        assert_eq!(taken(&mut world), [0, 0]);
    }
}

/// Channels follow their parties: through a transfer, through a restart, and back when all is over.
#[test]
fn channels_go_with_whom_they_are_for() {
    for crash in [false, true] {
        let two = |directory: &mut Directory| carries(directory, 0, Capacity { all: Some(2), ..Capacity::default() });
        let (mut world, [alice, bob, carol], north, _) = site(3, two);
        // Somebody from outside is given from alice to bob, and somebody outside from carol.
        call(&mut world, north, "+442030001001");
        call(&mut world, carol, OUTSIDE);
        world.refer(alice, "sip:1002@sip.example");
        world.wait(seconds(10));
        assert!(world.phone(bob).call().up(), "{}", world.ladder());
        if crash {
            world.crash(2);
        }
        assert_eq!(taken(&mut world), [2, 0]);
        world.wait(Duration::from_secs(2));
        // Both are normal calls: the younger goes when somebody calls for help.
        let alice_again = alice;
        call(&mut world, alice_again, "112");
        assert!(world.phone(alice).call().up(), "{}", world.ladder());
        assert_eq!((world.phone(carol).call().end(), world.phone(bob).call().end()), (Some(End::TheyHungUp), None), "{}", world.ladder());
        assert_eq!(taken(&mut world), [2, 0]);
        world.hang_up(bob);
        world.hang_up(alice);
        world.finish();
        assert_eq!(taken(&mut world), [0, 0]);
    }
}
