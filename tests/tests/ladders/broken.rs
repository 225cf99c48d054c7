//! What could keep a call for help from being connected, in virtual time: providers that refuse, trunks that are known to be down, limits that are reached.

use crate::seconds;
use expect_test::expect;
use sip::{Limits, transport::Transport};
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{Manner, Phone},
};

/// A phone that never registered, and both providers.
fn site(plot: &Plot) -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::around(1, Gateway::of(1, plot));
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    let carol = world.add(Phone::account("carol", Transport::Udp));
    (world, carol, north, south)
}

/// Carol calls for help, talks, and hangs up.
fn connects(world: &mut World, carol: PhoneId, what: &str) {
    world.dial(carol, "112");
    world.wait(seconds(10));
    assert!(world.phone(carol).call().up(), "{what}: {}", world.ladder());
    world.hang_up(carol);
    world.wait(seconds(1));
}

#[test]
fn whatever_a_provider_answers_the_next_one_is_asked() {
    let (mut world, carol, north, south) = site(&Plot::default());
    let odd = [380, 403, 404, 408, 410, 420, 480, 482, 484, 486, 487, 488, 491, 500, 503, 504, 580, 600, 603, 604, 606, 607, 699];
    for status in odd {
        world.phone(north).manner(Manner::Refuses(status));
        connects(&mut world, carol, &status.to_string());
    }
    assert_eq!((world.phone(north).calls().len(), world.phone(south).calls().len()), (odd.len(), odd.len()));
    world.finish();
}

/// Other calls have failed there before, and it does not matter: each trunk is tried in its turn.
#[test]
fn trunks_that_are_known_to_be_down_are_tried() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    let carol = world.add(Phone::account("carol", Transport::Udp));
    for trunk in [north, south] {
        world.phone(trunk).manner(Manner::Refuses(503));
    }
    for _ in 0..3 {
        world.dial(alice, "+442071234567");
        world.wait(seconds(5));
        assert!(world.phone(alice).call().end().is_some());
    }
    let down = |world: &mut World| ["north", "south"].map(|trunk| !world.gateway().site().trunks.healthy(trunk));
    assert_eq!(down(&mut world), [true, true]);
    world.phone(south).manner(Manner::Answers(seconds(2)));
    world.ladder();
    connects(&mut world, carol, "both down");
    world.finish();
    expect![[r#"
        0.000    carol → gw         INVITE 112 +body
        0.000    gw ⇢ policy        emergency: route north/112, then south/112
        0.000    gw → north         INVITE 112 +body
        0.000    north → gw         503 Service Unavailable
        0.000    gw → north         ACK
        0.000    gw → south         INVITE 112 +body
        0.000    south → gw         180 Ringing
        0.000    gw → carol         180 Ringing
        2.000    south → gw         200 OK +body
        2.000    gw → carol         200 OK +body
        2.000    gw → south         ACK
        2.000    carol → gw         ACK
        2.000    gw → south         ACK
        10.000   carol → gw         BYE
        10.000   gw → carol         200 OK (BYE)
        10.000   gw → south         BYE
        10.000   south → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// As many transactions as there may be, of either kind, and as many calls: a call for help has a reserve, and so has what is said in it.
#[test]
fn limits_that_are_reached_leave_room() {
    let protocol = Limits { server_transactions: 1, client_transactions: 1, ..Limits::default() };
    let limits = switch::Limits { calls: 1, ..switch::Limits::default() };
    let (mut world, carol, _, south) = site(&Plot { protocol, limits, shards: 1, help_trunks: 2, ..Plot::default() });
    let trunk_calls = |world: &mut World| world.gateway().dropped();
    // A call from outside rings for ever at a phone that is silent: one INVITE on either side.
    let bob = world.add(Phone::account("bob", Transport::Udp));
    world.register(bob);
    world.wait(seconds(60));
    world.phone(bob).manner(Manner::Rings);
    world.dial(south, "+442030001002");
    world.wait(seconds(2));
    assert_eq!(world.gateway().transactions(), (1, 1), "{}", world.ladder());
    // One more is refused.
    world.dial(south, "+442030001002");
    world.wait(seconds(2));
    assert!(world.phone(south).call().end().is_some(), "{:?}", trunk_calls(&mut world));
    assert!(trunk_calls(&mut world).contains_key("too-many-transactions"));
    for reliably in [true, false] {
        for trunk in [PhoneId(0), PhoneId(1)] {
            world.phone(trunk).manner(Manner::EarlyMedia { after: seconds(2), reliably });
        }
        connects(&mut world, carol, "at every limit");
    }
}
