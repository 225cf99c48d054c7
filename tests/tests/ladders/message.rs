//! Phones write to each other outside a call (RFC 3428).

use crate::seconds;
use expect_test::expect;
use sip::transport::Transport;
use world::{
    net::World,
    phone::{Manner, Phone},
};

#[test]
fn from_phone_to_phone() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.write(alice, "1002", "at the gate");
    world.finish();
    assert_eq!(world.phone(alice).told(), [200]);
    // Who writes is who has proved it, by the name that the directory has.
    assert_eq!(world.phone(bob).got(), ["\"alice\" <sip:1001@sip.example>: at the gate"]);
    expect![[r#"
        0.000    alice → gw         MESSAGE 1002 +body
        0.000    gw → alice         407 Proxy Authentication Required (MESSAGE)
        0.000    alice → gw         MESSAGE 1002 +credentials +body
        0.000    gw → bob           MESSAGE 1002 +body
        0.000    bob → gw           200 OK (MESSAGE)
        0.000    gw → alice         200 OK (MESSAGE)
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn to_every_phone_of_a_user_and_the_first_that_takes_it_answers() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let other = world.add(Phone::account("bob", Transport::Udp).at("bob-2", "10.1.0.22:5060"));
    world.register(other);
    world.wait(seconds(1));
    world.ladder();
    world.phone(bob).manner(Manner::Refuses(486));
    world.write(alice, "1002", "lunch?");
    world.finish();
    assert_eq!(world.phone(alice).told(), [200]);
    assert_eq!((world.phone(bob).got().len(), world.phone(other).got().len()), (0, 1));
}

#[test]
fn a_refusal_comes_back_and_one_that_counts_everywhere_goes_before_it() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).manner(Manner::Refuses(415));
    world.write(alice, "1002", "once");
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).told(), [415]);
    let other = world.add(Phone::account("bob", Transport::Udp).at("bob-2", "10.1.0.22:5060"));
    world.register(other);
    world.wait(seconds(1));
    world.phone(other).manner(Manner::Refuses(603));
    world.write(alice, "1002", "twice");
    world.finish();
    assert_eq!(world.phone(alice).told(), [415, 603]);
}

#[test]
fn to_nobody_to_somebody_away_and_for_help() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    for number in ["1999", "1002", "112"] {
        world.write(alice, number, "hello");
        world.wait(seconds(1));
    }
    // A number that nobody has, a phone that is not registered, and a service that takes calls only.
    assert_eq!(world.phone(alice).told(), [404, 480, 405]);
    world.finish();
}

#[test]
fn a_phone_that_has_gone_costs_the_sender_no_more_than_an_answer() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.unplug(bob, true);
    world.write(alice, "1002", "there?");
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).told(), [480]);
    world.finish();
}

#[test]
fn a_trunk_writes_to_the_phone_that_owns_the_number_and_to_nobody_else() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    let north = world.add(Phone::trunk("north"));
    world.write(north, "1002", "your parcel");
    world.write(north, "+442079460000", "spam");
    world.finish();
    assert_eq!(world.phone(bob).got().len(), 1);
    assert_eq!(world.phone(north).told(), [404, 200]);
}

#[test]
fn who_proves_nothing_writes_to_nobody() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    // Its password is that of no account.
    let stranger =
        world.add(Phone::new("mallory", "1009", "10.1.0.99:5060".parse().unwrap(), world::node::ADDRESS.parse().unwrap(), Transport::Udp));
    world.write(stranger, "1002", "hello");
    world.finish();
    assert_eq!(world.phone(stranger).told(), [407]);
    assert!(world.phone(bob).got().is_empty());
}
