//! GRUUs: a URI for one phone, wherever it is.

use crate::seconds;
use sip::transport::Transport;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

const DESK: &str = "urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6";
const ROOM: &str = "urn:uuid:00000000-0000-1000-8000-000A95A0E128";

/// bob has a phone on the desk and one in the next room, and alice one phone.
fn world(seed: u64) -> (World, [PhoneId; 3]) {
    let mut world = World::new(seed);
    let [alice] = world.registered(["alice"]);
    let desk = world.add(Phone::account("bob", Transport::Udp).at("desk", "10.1.0.11:5060").instance(DESK));
    let room = world.add(Phone::account("bob", Transport::Udp).at("room", "10.1.0.12:5060").instance(ROOM));
    for id in [desk, room] {
        world.register(id);
        world.wait(seconds(1));
    }
    (world, [alice, desk, room])
}

fn gruu(world: &mut World, id: PhoneId) -> String {
    world.phone(id).gruu().expect("a GRUU").to_owned()
}

#[test]
fn each_phone_gets_its_own() {
    let (mut world, [alice, desk, room]) = world(1);
    assert_eq!(gruu(&mut world, desk), format!("sip:1002@sip.example;gr={DESK}"));
    assert_eq!(gruu(&mut world, room), format!("sip:1002@sip.example;gr={ROOM}"));
    assert_eq!(world.phone(alice).gruu(), None, "who does not ask gets none");
}

/// A call to it rings there and nowhere else, and nowhere when that phone is gone.
#[test]
fn a_call_reaches_that_phone_only() {
    let (mut world, [alice, desk, room]) = world(1);
    world.act(alice, |phone, now, out| phone.dial_uri(&format!("sip:1002@cloud.example;gr={}", ROOM.to_lowercase()), now, out));
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(room).call().up());
    assert!(world.phone(desk).calls().is_empty());
    world.hang_up(alice);
    world.finish();
    world.act(alice, |phone, now, out| phone.dial_uri("sip:1002@sip.example;gr=urn:uuid:nobody", now, out));
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(480)));
    // The number alone rings both, and a `gr` of somebody else's number nobody but him.
    world.phone(room).manner(Manner::Rings);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    assert_eq!(world.phone(room).call().end(), Some(End::Cancelled));
    assert!(world.phone(desk).call().up());
    world.hang_up(desk);
    world.finish();
}

/// The phone moves and registers again in the middle of a call: what comes next in the call goes where it is now, to its Contact.
#[test]
fn a_call_follows_the_phone() {
    for calls in [true, false] {
        let (mut world, [alice, desk, room]) = world(1);
        world.phone(room).manner(Manner::Rings);
        if calls {
            world.dial(desk, "1001");
        } else {
            world.dial(alice, "1002");
        }
        world.wait(seconds(5));
        assert!(world.phone(alice).call().up() && world.phone(desk).call().up());
        world.phone(desk).moves_to("10.9.0.1:5070".parse().unwrap());
        world.register(desk);
        world.wait(seconds(1));
        assert!(world.phone(desk).registered());
        world.ladder();
        world.say(alice, "INVITE");
        world.wait(seconds(1));
        assert_eq!(world.phone(desk).call().heard().last().map(String::as_str), Some("INVITE"));
        assert!(world.phone(desk).call().asked_at().contains("@10.9.0.1:5070"), "{}", world.phone(desk).call().asked_at());
        world.hang_up(alice);
        world.finish();
        assert_eq!(world.phone(desk).call().end(), Some(End::TheyHungUp));
        assert!(!world.ladder().contains("10.1.0.11"));
    }
}

/// Refer-To names one phone by it.
#[test]
fn a_transfer_to_one_phone() {
    let (mut world, [alice, desk, room]) = world(1);
    let [carol] = world.registered(["carol"]);
    world.dial(alice, "1003");
    world.wait(seconds(5));
    let target = gruu(&mut world, desk);
    world.refer(carol, &format!("<{target}>"));
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(desk).call().up());
    assert!(world.phone(room).calls().is_empty());
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(desk).call().end(), Some(End::TheyHungUp));
}

/// Another domain's, or that of a phone that is not registered here: requests go down the flow that the call came by.
#[test]
fn a_strange_one_is_no_harm() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(bob).calls_itself("sip:1002@cloud.example;gr=urn:uuid:elsewhere");
    world.dial(bob, "1001");
    world.wait(seconds(5));
    world.say(alice, "INVITE");
    world.wait(seconds(1));
    assert_eq!(world.phone(bob).call().heard(), ["INVITE"]);
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(bob).call().end(), Some(End::TheyHungUp));
}
