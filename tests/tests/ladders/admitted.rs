//! No gate of the gateway holds a call for help back: each is shut here, and the call is connected.

use crate::seconds;
use sip::{header::Name, transport::Transport};
use std::sync::Arc;
use switch::{Limits, directory::Directory};
use world::{
    net::{PhoneId, World},
    node::{ADDRESS, Gateway, Plot},
    phone::{End, Manner, Phone},
};

/// A site whose gate is shut, and alice, who has not registered there.
fn site(plot: Plot) -> (World, PhoneId, PhoneId) {
    let mut world = World::around(1, Gateway::of(1, &plot));
    let alice = world.add(Phone::account("alice", Transport::Udp));
    let north = world.add(Phone::trunk("north"));
    let _south = world.add(Phone::trunk("south"));
    (world, alice, north)
}

#[track_caller]
fn gets_help(world: &mut World, alice: PhoneId, north: PhoneId, gate: &str) {
    world.dial(alice, "112");
    world.wait(seconds(4));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up(), "{gate}: {}", world.ladder());
    world.hang_up(alice);
    world.wait(seconds(1));
}

#[test]
fn limits_seats_and_accounts() {
    let gates: [(&str, Plot); 6] = [
        ("no call is allowed", Plot { limits: Limits { calls: 0, ..Limits::default() }, ..Plot::default() }),
        ("no call of this source", Plot { limits: Limits { source_calls: 0, source_others: 0, ..Limits::default() }, ..Plot::default() }),
        ("no seat is there", Plot { seats: 0, ..Plot::default() }),
        (
            "the phone is disabled",
            Plot { change: |directory| Arc::make_mut(&mut directory.endpoints[0]).enabled = false, ..Plot::default() },
        ),
        ("the phone is unknown", Plot { accounts: Vec::new(), ..Plot::default() }),
        ("nobody may be remembered", Plot { limits: Limits { callbacks: 0, ..Limits::default() }, ..Plot::default() }),
    ];
    for (gate, plot) in gates {
        let (mut world, alice, north) = site(plot);
        // The gate is shut: another call does not get through.
        if gate != "nobody may be remembered" {
            world.dial(alice, "+442071234567");
            world.wait(seconds(4));
            let refused = matches!(world.phone(alice).call().end(), Some(End::Refused(_)));
            assert!(refused || gate == "no seat is there", "{gate}: {}", world.ladder());
            world.hang_up(alice);
            world.wait(seconds(40));
        }
        gets_help(&mut world, alice, north, gate);
    }
}

/// A phone that found no seat, and one that is registered for calls for help only.
#[test]
fn without_a_seat() {
    let mut world = World::around(1, Gateway::with_emergency_only(1, &Plot { seats: 0, ..Plot::default() }));
    let [alice] = world.registered(["alice"]);
    let north = world.add(Phone::trunk("north"));
    world.dial(alice, "+442071234567");
    world.wait(seconds(4));
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(403)));
    gets_help(&mut world, alice, north, "registered without a seat");
}

#[test]
fn what_the_phone_says_besides() {
    let wrong = "Digest username=\"alice\", realm=\"sip.example\", nonce=\"x\", uri=\"sip:112@sip.example\", response=\"00000000000000000000000000000000\"";
    for line in [
        ("Authorization", wrong),
        ("Proxy-Authorization", wrong),
        ("Proxy-Authorization", "Digest garbage"),
        ("Require", "made-up"),
        ("Require", "100rel"),
        ("Proxy-Require", "made-up"),
        ("Replaces", "nobody;to-tag=1;from-tag=2"),
        ("Join", "nobody;to-tag=1;from-tag=2"),
        ("Privacy", "critical;session"),
        ("Expires", "0"),
    ] {
        let (mut world, alice, north) = site(Plot::default());
        world.phone(alice).habits().calls_with = vec![line];
        world.phone(north).habits().knows = Some(&[]);
        gets_help(&mut world, alice, north, &format!("{line:?}"));
    }
}

/// What breaks a rule and is understood all the same.
#[test]
fn an_invite_that_is_not_as_it_should_be() {
    let head = "Via: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bKx\r\nFrom: <sip:1001@sip.example>;tag=1\r\nTo: <sip:112@sip.example>\r\nCall-ID: raw\r\nCSeq: 1 INVITE\r\n";
    let contact = "Contact: <sip:1001@10.1.0.1>\r\n";
    for (what, lines) in [
        ("as it should be", format!("Max-Forwards: 70\r\n{contact}")),
        ("without Contact", "Max-Forwards: 70\r\n".to_owned()),
        ("without Max-Forwards", contact.to_owned()),
        ("at the last hop", format!("Max-Forwards: 0\r\n{contact}")),
        ("at its last hop", format!("Max-Forwards: 1\r\n{contact}")),
    ] {
        let (mut world, alice, north) = site(Plot::default());
        world.phone(north).manner(Manner::Rings);
        let flow = world.phone(alice).way();
        let text = format!("INVITE sip:112@sip.example SIP/2.0\r\n{head}{lines}Content-Length: 0\r\n\r\n");
        world.utter(alice, flow, text.into());
        world.wait(seconds(1));
        assert_eq!(world.phone(north).calls().len(), 1, "{what}: {}", world.ladder());
        assert_eq!(world.phone(north).call().invited(Name::MaxForwards), ["70"], "{what}");
    }
}

/// A network that is none of the site's is no way in: whoever calls from there has to prove who it is.
#[test]
fn from_the_sites_networks_only() {
    let nowhere = |directory: &mut Directory| directory.emergency.networks.clear();
    let mut world = World::around(1, Gateway::of(1, &Plot { change: nowhere, ..Plot::default() }));
    let stranger = world.add(Phone::new("stranger", "7777", "10.1.0.77:5060".parse().unwrap(), ADDRESS.parse().unwrap(), Transport::Udp));
    let north = world.add(Phone::trunk("north"));
    world.dial(stranger, "112");
    world.wait(seconds(4));
    assert!(world.phone(north).calls().is_empty());
    // An account of the site is asked for its password, and gets help.
    let alice = world.add(Phone::account("alice", Transport::Udp));
    gets_help(&mut world, alice, north, "after a challenge");
}
