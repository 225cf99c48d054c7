//! One phone sends hundreds of requests a second: the others do not notice, and its own call for help goes out.

use crate::seconds;
use sip::transport::Transport;
use std::time::Duration;
use world::{
    net::{PhoneId, World},
    phone::{End, Phone},
};

/// For so many seconds, 760 new subscriptions a second.
fn storm(world: &mut World, id: PhoneId, seconds: u32) {
    for _ in 0..760 * seconds {
        world.act(id, |phone, now, out| {
            phone.watch("1002", "message-summary", 600, now, out);
        });
        world.wait(Duration::from_micros(1_000_000 / 760));
    }
}

#[test]
fn a_storm_of_subscriptions() {
    let mut world = World::new(1);
    let [alice, bob, dave] = world.registered(["alice", "bob", "dave"]);
    let carol = world.add(Phone::account("carol", Transport::Udp));
    let north = world.add(Phone::trunk("north"));
    storm(&mut world, dave, 2);
    // A phone registers, two talk, a trunk calls in.
    world.register(carol);
    world.dial(alice, "1002");
    storm(&mut world, dave, 3);
    assert!(world.phone(carol).registered());
    assert!(world.phone(alice).call().up() && world.phone(bob).call().up());
    world.dial(north, "+442030001003");
    storm(&mut world, dave, 3);
    assert!(world.phone(north).call().up() && world.phone(carol).call().up());
    // Each subscription takes two requests, of which so many pass: a thousand at once and a hundred a second on each of two shards.
    let told: usize = world.phone(dave).watches().iter().map(|watch| watch.told().len()).sum();
    assert!(told <= 500, "no more than the endpoint may have: {told}");
    let answered: usize = world.phone(dave).watches().iter().map(|watch| watch.answers().len()).sum();
    assert!(answered <= 2 * (1000 + 9 * 100) + 2 * (10 + 9 * 2), "{answered} answers");
    assert!(world.phone(dave).watches().iter().any(|watch| watch.answers().first().is_some_and(|answer| answer.0 == 503)));
    // The one that storms may still call, and call for help.
    world.dial(dave, "112");
    storm(&mut world, dave, 3);
    assert!(world.phone(dave).call().up());
    world.hang_up(dave);
    storm(&mut world, dave, 1);
    assert_eq!(world.phone(dave).call().end(), Some(End::WeHungUp));
    for id in [alice, carol] {
        world.hang_up(id);
    }
    world.finish();
}

/// The same with INVITEs and an allowance of a few: calls for help pass, and what is said in a call that is up.
#[test]
fn a_storm_of_calls() {
    let mut world = World::with_limits(1, switch::Limits { source_calls: 5, source_others: 5, ..switch::Limits::default() });
    let [alice, bob, dave] = world.registered(["alice", "bob", "dave"]);
    let north = world.add(Phone::trunk("north"));
    world.wait(seconds(5));
    world.dial(dave, "1001");
    world.wait(seconds(5));
    let talking = world.phone(dave).calls().len() - 1;
    assert!(world.phone(dave).call().up());
    for _ in 0..200 {
        world.dial(dave, "1999");
        world.wait(Duration::from_millis(10));
    }
    let refused = |status: u16| move |call: &world::phone::Call| call.end() == Some(End::Refused(status));
    let (turned_away, unknown) = {
        let calls = world.phone(dave).calls();
        (calls.iter().filter(|call| refused(503)(call)).count(), calls.iter().filter(|call| refused(404)(call)).count())
    };
    assert!(turned_away > 0 && turned_away < 100 && unknown < 50, "{turned_away} turned away, {unknown} routed");
    world.dial(dave, "112");
    let help = world.phone(dave).calls().len() - 1;
    for _ in 0..300 {
        world.dial(dave, "1999");
        world.wait(Duration::from_millis(10));
    }
    assert!(world.phone(dave).calls()[help].up() && world.phone(north).call().up());
    world.act(dave, |phone, now, out| phone.hang_up_call(help, now, out));
    world.act(dave, |phone, now, out| phone.hang_up_call(talking, now, out));
    for _ in 0..100 {
        world.dial(dave, "1999");
        world.wait(Duration::from_millis(10));
    }
    assert_eq!(world.phone(north).call().end(), Some(End::TheyHungUp), "the BYE of the call for help went through");
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    // The others call as ever.
    world.dial(bob, "1001");
    world.wait(seconds(4));
    assert!(world.phone(bob).call().up());
    world.hang_up(bob);
    world.finish();
}
