//! Trunks that are registered at and asked whether they are there, and providers that refuse, go silent, are slow or flap.

use crate::seconds;
use std::time::Duration;
use switch::trunk::{Reach, Register, Standing};
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{Manner, Phone, Registrar},
};

const OTHER: &str = "203.0.113.20:5060";

/// North is registered at and asked every so many seconds.
fn reach(options: Option<u64>) -> Reach {
    Reach {
        register: Some(Register { user: "+442030001002".into(), seconds: 600 }),
        options: options.map(Duration::from_secs),
        ..Reach::default()
    }
}

/// A site whose trunk north is reached like this, also at those addresses; bob is registered, nothing has been waited for.
fn site(reach: Reach, more: &[&'static str], north: Registrar) -> (World, PhoneId, PhoneId, PhoneId) {
    let plot = Plot { north: (reach, more.to_vec()), ..Plot::default() };
    let mut world = World::around(1, Gateway::of(1, &plot));
    let first = world.add(Phone::trunk("north"));
    world.phone(first).provides(north);
    let south = world.add(Phone::trunk("south"));
    let [bob] = world.registered(["bob"]);
    (world, bob, first, south)
}

fn standing(world: &mut World) -> Standing {
    world.gateway().site().trunks.standing("north")
}

/// A call out, answered within so many seconds, and hung up.
fn call_out(world: &mut World, from: PhoneId, within: u64) {
    world.dial(from, "+442071234567");
    world.wait(seconds(within));
    assert!(world.phone(from).call().up(), "{}", world.ladder());
    world.hang_up(from);
    world.wait(seconds(1));
}

#[test]
fn registered_called_by_its_contact_renewed_and_taken_back() {
    let (mut world, bob, north, _) = site(reach(None), &[], Registrar::new(60, 30));
    // A gateway looks after its trunks as soon as it runs: that was before the ladder.
    let contact = world.phone(north).registrar().contact().unwrap().to_owned();
    assert_eq!(contact, "sip:+442030001002@192.0.2.1:5060");
    // No source of calls is written down for it: they come from where we are registered.
    world.act(north, |phone, now, out| phone.dial_uri(&contact, now, out));
    world.wait(seconds(4));
    assert!(world.phone(bob).call().up());
    world.hang_up(north);
    world.wait(seconds(60));
    assert!(world.phone(north).registrar().contact().is_some());
    world.leave();
    world.wait(seconds(1));
    assert_eq!(world.phone(north).registrar().contact(), None);
}

#[test]
fn refused_and_then_not() {
    let mut refusing = Registrar::new(600, 300);
    refusing.refuses = Some(403);
    let (mut world, bob, north, _) = site(reach(None), &[], refusing);
    world.wait(seconds(100));
    assert_eq!(standing(&mut world), Standing::Degraded);
    // What goes out is the provider's to refuse, not ours.
    call_out(&mut world, bob, 5);
    world.phone(north).registrar().refuses = None;
    world.wait(seconds(300));
    assert_eq!(standing(&mut world), Standing::Up);
}

/// The first address says nothing; the second is another server of the same provider.
#[test]
fn silent_at_one_address_and_registered_at_the_other() {
    let (mut world, bob, north, _) = site(reach(Some(20)), &[OTHER], Registrar::new(600, 300));
    let other = world.add(Phone::trunk("north").at("other", OTHER));
    world.phone(other).provides(Registrar::new(600, 300));
    world.wait(seconds(20));
    world.ladder();
    world.unplug(north, false);
    world.wait(seconds(60));
    assert!(world.phone(other).registrar().contact().is_some(), "{}", world.ladder());
    assert_eq!(standing(&mut world), Standing::Degraded);
    // Nobody waits for the one that is silent any more.
    call_out(&mut world, bob, 3);
}

#[test]
fn slow_is_degraded_and_carries_calls() {
    let mut slow = Registrar::new(600, 300);
    slow.slow = seconds(3);
    let (mut world, bob, north, _) = site(reach(Some(20)), &[], slow);
    world.wait(seconds(30));
    assert!(world.phone(north).registrar().contact().is_some());
    assert_eq!(standing(&mut world), Standing::Degraded);
    call_out(&mut world, bob, 5);
    world.phone(north).registrar().slow = Duration::ZERO;
    world.wait(seconds(45));
    assert_eq!(standing(&mut world), Standing::Up);
}

/// Provider north goes silent; calls that had begun are carried by south after four seconds, later ones at once; calls for help ask north all the same.
#[test]
fn a_provider_that_is_down_is_passed_by_but_not_by_calls_for_help() {
    let (mut world, bob, north, _) = site(reach(Some(20)), &[], Registrar::new(600, 300));
    world.wait(seconds(1));
    world.ladder();
    world.unplug(north, false);
    call_out(&mut world, bob, 7);
    call_out(&mut world, bob, 7);
    assert_eq!(standing(&mut world), Standing::Down);
    // Until the INVITEs of these calls are not sent again any more.
    world.wait(seconds(40));
    world.ladder();
    call_out(&mut world, bob, 3);
    let ladder = world.ladder();
    assert!(!ladder.contains("gw → north         INVITE +44207"), "{ladder}");
    world.dial(bob, "112");
    world.wait(seconds(6));
    assert!(world.phone(bob).call().up());
    let ladder = world.ladder();
    assert!(ladder.contains("gw → north         INVITE 112"), "{ladder}");
    world.hang_up(bob);
    // It comes back: registered again within seconds of being seen, and up when it has been well for a while.
    let address = world.phone(north).address();
    world.plug(address);
    world.wait(seconds(120));
    assert_eq!(standing(&mut world), Standing::Up, "{}", world.ladder());
    call_out(&mut world, bob, 3);
    assert!(world.ladder().contains("gw → north         INVITE +44207"));
}

/// It comes and goes every few seconds: it is never up for long, and no call is lost.
#[test]
fn flapping_loses_no_call() {
    let (mut world, bob, north, _) = site(reach(Some(20)), &[], Registrar::new(600, 300));
    let address = world.phone(north).address();
    let mut ups = 0;
    for round in 0..12 {
        world.unplug(north, round % 2 == 0);
        call_out(&mut world, bob, 8);
        world.plug(address);
        call_out(&mut world, bob, 5);
        ups += u32::from(standing(&mut world) == Standing::Up);
    }
    assert!(ups <= 1, "{ups}");
    let told = world.ladder().lines().filter(|line| line.contains("is up")).count();
    assert!(told <= 1, "{told}");
}

/// 503 is an answer, and no service: the other trunk carries the call at once, and soon nobody asks this one first.
#[test]
fn a_provider_that_answers_503_is_down() {
    let mut refusing = Registrar::new(600, 300);
    refusing.health = 503;
    let (mut world, bob, north, south) = site(reach(Some(20)), &[], refusing);
    world.phone(north).manner(Manner::Refuses(503));
    world.wait(seconds(45));
    assert_eq!(standing(&mut world), Standing::Down);
    call_out(&mut world, bob, 3);
    assert!(world.phone(north).calls().is_empty() && world.phone(south).calls().len() == 1);
}
