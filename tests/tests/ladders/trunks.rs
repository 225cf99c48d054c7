//! Calls to and from the outside, through the trunks in their order, and calls for help.

use crate::seconds;
use expect_test::expect;
use sip::transport::Transport;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

/// A site with these phones registered, and both providers.
fn site<const N: usize>(names: [&'static str; N]) -> (World, [PhoneId; N], PhoneId, PhoneId) {
    let mut world = World::new(1);
    let phones = world.registered(names);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    (world, phones, north, south)
}

#[test]
fn refused_trunk_then_the_next() {
    let (mut world, [alice], north, south) = site(["alice"]);
    world.phone(north).manner(Manner::Refuses(503));
    world.dial(alice, "+442071234567");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(south).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    alice → gw         INVITE +442071234567 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE +442071234567 +credentials +body
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route north/+442071234567 as +442030001001 and next on unreachable, then south/+442071234567 as +442030001001 and next on unreachable
        0.000    gw → north         INVITE +442071234567 +body
        0.000    north → gw         503 Service Unavailable
        0.000    gw → north         ACK
        0.000    gw → south         INVITE +442071234567 +body
        0.000    south → gw         180 Ringing
        0.000    gw → alice         180 Ringing
        2.000    south → gw         200 OK +body
        2.000    gw → alice         200 OK +body
        2.000    alice → gw         ACK
        2.000    gw → south         ACK
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → south         BYE
        5.000    south → gw         200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// The first provider says nothing at all, and nobody says that it is gone.
#[test]
fn silent_trunk_then_the_next() {
    let (mut world, [alice], north, south) = site(["alice"]);
    world.unplug(north, false);
    world.dial(alice, "+442071234567");
    world.wait(seconds(20));
    world.hang_up(south);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    north              is unplugged
        0.000    alice → gw         INVITE +442071234567 +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE +442071234567 +credentials +body
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route north/+442071234567 as +442030001001 and next on unreachable, then south/+442071234567 as +442030001001 and next on unreachable
        0.000    gw → north         INVITE +442071234567 +body  ✗
        0.200    gw → alice         100 Trying
        0.500    gw → north         INVITE +442071234567 +body  ✗
        1.500    gw → north         INVITE +442071234567 +body  ✗
        3.500    gw → north         INVITE +442071234567 +body  ✗
        4.000    gw → south         INVITE +442071234567 +body
        4.000    south → gw         180 Ringing
        4.000    gw → alice         180 Ringing
        6.000    south → gw         200 OK +body
        6.000    gw → alice         200 OK +body
        6.000    alice → gw         ACK
        6.000    gw → south         ACK
        7.500    gw → north         INVITE +442071234567 +body  ✗
        15.500   gw → north         INVITE +442071234567 +body  ✗
        20.000   south → gw         BYE
        20.000   gw → south         200 OK (BYE)
        20.000   gw → alice         BYE
        20.000   alice → gw         200 OK (BYE)
        31.500   gw → north         INVITE +442071234567 +body  ✗
    "#]]
    .assert_eq(&world.ladder());
}

#[test]
fn call_from_outside() {
    let (mut world, [bob], north, _) = site(["bob"]);
    world.dial(north, "+442030001002");
    world.wait(seconds(5));
    world.hang_up(north);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    north → gw         INVITE +442030001002 +body
        0.000    gw ⇢ policy        internal: pass
        0.000    gw ⇢ policy        external: route bob
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → north         180 Ringing
        2.000    bob → gw           200 OK +body
        2.000    gw → north         200 OK +body
        2.000    north → gw         ACK
        2.000    gw → bob           ACK
        5.000    north → gw         BYE
        5.000    gw → north         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
    "#]]
    .assert_eq(&world.ladder());
}

/// A phone that never registered calls for help: no challenge, no seat, and the next provider when the first is silent.
#[test]
fn call_for_help_by_an_unregistered_phone() {
    let (mut world, [], north, south) = site([]);
    let carol = world.add(Phone::account("carol", Transport::Udp));
    world.unplug(north, false);
    world.dial(carol, "112");
    world.wait(seconds(10));
    assert!(world.phone(carol).call().up() && world.phone(south).call().up());
    world.hang_up(south);
    world.finish();
    expect![[r#"
        0.000    north              is unplugged
        0.000    carol → gw         INVITE 112 +body
        0.000    gw ⇢ policy        emergency: route north/112, then south/112
        0.000    gw → north         INVITE 112 +body  ✗
        0.200    gw → carol         100 Trying
        0.500    gw → north         INVITE 112 +body  ✗
        1.500    gw → north         INVITE 112 +body  ✗
        3.000    gw → south         INVITE 112 +body
        3.000    south → gw         180 Ringing
        3.000    gw → carol         180 Ringing
        3.500    gw → north         INVITE 112 +body  ✗
        5.000    south → gw         200 OK +body
        5.000    gw → carol         200 OK +body
        5.000    gw → south         ACK
        5.000    carol → gw         ACK
        5.000    gw → south         ACK
        7.500    gw → north         INVITE 112 +body  ✗
        10.000   south → gw         BYE
        10.000   gw → south         200 OK (BYE)
        10.000   gw → carol         BYE
        10.000   carol → gw         200 OK (BYE)
        15.500   gw → north         INVITE 112 +body  ✗
        31.500   gw → north         INVITE 112 +body  ✗
    "#]]
    .assert_eq(&world.ladder());
}
