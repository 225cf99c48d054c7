//! Phones without a licence seat: what they may do, and who is given the next seat.

use crate::{seconds, talk_on};
use sip::transport::Transport;
use switch::bridge::Order;
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{End, Phone},
};

/// A site of so few seats. Phones without one are refused.
fn refusing(seats: u32) -> World {
    World::around(1, Gateway::of(1, &Plot { seats, ..Plot::default() }))
}

/// The same; phones without one may call for help.
fn lenient(seats: u32) -> World {
    World::around(1, Gateway::with_emergency_only(1, &Plot { seats, ..Plot::default() }))
}

/// These phones, which ask to be registered in this order.
fn phones<const N: usize>(world: &mut World, names: [&'static str; N]) -> [PhoneId; N] {
    names.map(|name| {
        let id = world.add(Phone::account(name, Transport::Udp));
        ask(world, id);
        id
    })
}

/// It asks to be registered, for the first time or again; whether it is.
fn ask(world: &mut World, id: PhoneId) -> bool {
    world.register(id);
    world.wait(seconds(1));
    world.phone(id).registered()
}

fn leave(world: &mut World, id: PhoneId) {
    world.act(id, Phone::unregister);
    world.wait(seconds(1));
}

fn seats(world: &mut World) -> (u32, u32) {
    let now = world.now();
    let report = world.gateway().site().ledger.report("site", now).unwrap();
    (report.taken, report.waiting)
}

fn is_emergency_only(world: &mut World, name: &str) -> bool {
    let now = world.now();
    world.gateway().site().registrar.emergency_only(name, now)
}

#[test]
fn a_phone_for_emergency_calls_only_calls_for_help_and_is_rung_back_and_nothing_else() {
    let mut world = lenient(1);
    let [alice, bob] = phones(&mut world, ["alice", "bob"]);
    let north = world.add(Phone::trunk("north"));
    assert!(world.phone(bob).registered() && is_emergency_only(&mut world, "bob") && !is_emergency_only(&mut world, "alice"));
    assert_eq!(seats(&mut world), (1, 1));

    // Nobody inside, nobody outside.
    for number in ["1001", "+442071234567"] {
        world.dial(bob, number);
        world.wait(seconds(2));
        assert_eq!(world.phone(bob).call().end(), Some(End::Refused(403)), "{}", world.ladder());
    }
    // No message, no watching of others, no call that is made for it.
    world.write(bob, "1001", "hello");
    world.wait(seconds(1));
    assert_eq!(world.phone(bob).told(), [403]);
    world.act(bob, |phone, now, out| {
        phone.watch("1001", "dialog", 600, now, out);
    });
    world.wait(seconds(1));
    assert_eq!(world.phone(bob).watches()[0].answers().last().map(|(status, _)| *status), Some(403));
    let order = Order { from: "1002".into(), to: "1001".into(), auto_answer: false, announced: None };
    let mut begun = world.gateway().exchange().place(order);
    world.wait(seconds(0));
    assert_eq!(begun.try_recv().expect("an answer at once").unwrap_err().status, 403);

    // Help.
    world.dial(bob, "112");
    world.wait(seconds(5));
    assert!(world.phone(bob).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    talk_on(&mut world, bob, north);
    // Whoever has been called for help calls back, and so may a colleague.
    world.dial(north, "+442030001002");
    world.wait(seconds(5));
    assert!(world.phone(bob).call().up(), "{}", world.ladder());
    talk_on(&mut world, north, bob);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert!(world.phone(bob).call().up(), "{}", world.ladder());
    // It has been called, and has nobody else called for that: a transfer counts as its own call.
    world.refer(bob, "sip:1003@sip.example");
    world.wait(seconds(2));
    assert!(world.phone(bob).call().up() && world.phone(alice).call().up(), "{}", world.ladder());
    talk_on(&mut world, alice, bob);
}

#[test]
fn a_freed_seat_goes_to_whoever_waits_longest_at_its_next_register() {
    let mut world = lenient(1);
    let [alice, bob, carol] = phones(&mut world, ["alice", "bob", "carol"]);
    assert_eq!(seats(&mut world), (1, 2));
    leave(&mut world, alice);
    assert_eq!(seats(&mut world), (0, 2));
    // Neither a newcomer nor who has waited less overtakes.
    let [dave] = phones(&mut world, ["dave"]);
    assert!(ask(&mut world, carol) && ask(&mut world, dave));
    assert!(["bob", "carol", "dave"].iter().all(|name| is_emergency_only(&mut world, name)));
    assert!(ask(&mut world, bob));
    assert!(!is_emergency_only(&mut world, "bob"));
    assert_eq!(seats(&mut world), (1, 2));
    world.dial(bob, "1003");
    world.wait(seconds(5));
    assert!(world.phone(bob).call().up(), "{}", world.ladder());
    talk_on(&mut world, bob, carol);
    // It keeps its seat, and the next in turn is the next.
    assert!(ask(&mut world, bob) && !is_emergency_only(&mut world, "bob"));
    leave(&mut world, bob);
    assert!(ask(&mut world, dave) && is_emergency_only(&mut world, "dave"));
    assert!(ask(&mut world, carol) && !is_emergency_only(&mut world, "carol"));
}

#[test]
fn refused_phones_have_their_turn_when_they_ask_again_until_their_wait_lapses() {
    let mut world = refusing(1);
    let [alice, bob, carol] = phones(&mut world, ["alice", "bob", "carol"]);
    assert_eq!([alice, bob, carol].map(|id| world.phone(id).registered()), [true, false, false]);
    leave(&mut world, alice);
    assert!(!ask(&mut world, carol), "bob asked before");
    assert!(ask(&mut world, bob));
    // Its seat is free when it goes; alice, who had one before, is behind carol now.
    leave(&mut world, bob);
    assert!(!ask(&mut world, alice));
    world.wait(seconds(600));
    assert!(!ask(&mut world, alice), "carol has still a quarter of an hour");
    world.wait(seconds(600));
    assert!(ask(&mut world, alice), "and has not asked again");
    assert!(!ask(&mut world, carol));
    assert_eq!(seats(&mut world), (1, 1));
}

#[test]
fn who_gives_up_waiting_holds_up_nobody() {
    let mut world = lenient(1);
    let [alice, bob, carol] = phones(&mut world, ["alice", "bob", "carol"]);
    leave(&mut world, bob);
    leave(&mut world, alice);
    assert!(ask(&mut world, carol) && !is_emergency_only(&mut world, "carol"));
    assert_eq!(seats(&mut world), (1, 0));
}
