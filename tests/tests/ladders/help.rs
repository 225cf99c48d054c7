//! What a call for help says on its way out, by which trunks it goes, and what its phone may do with it.

use crate::{seconds, talk};
use sip::{header::Name, message::Method, transport::Transport};
use std::sync::Arc;
use switch::directory::{
    Civic, Directory, Location,
    help::{CallerId, Geolocation, May},
};
use world::{
    net::{PhoneId, World},
    node::{Gateway, Plot},
    phone::{End, Manner, Phone},
};

const ELIN: &str = "+442030001111";

fn place(name: &str, network: &str, elin: Option<&str>, trunks: &[&str]) -> Location {
    Location {
        name: name.to_owned(),
        networks: vec![network.parse().unwrap()],
        elin: elin.map(str::to_owned),
        trunks: trunks.iter().map(|&trunk| trunk.to_owned()).collect(),
        civic: Civic {
            parts: vec![
                ("country", "GB".to_owned()),
                ("RD", "Example Street".to_owned()),
                ("HNO", "1".to_owned()),
                ("FLR", "2".to_owned()),
            ],
        },
        ..Location::default()
    }
}

fn site(change: fn(&mut Directory)) -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::around(1, Gateway::of(1, &Plot { change, ..Plot::default() }));
    let [alice] = world.registered(["alice"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    (world, alice, north, south)
}

fn tells(directory: &mut Directory, geolocation: Geolocation) {
    for trunk in &mut directory.trunks {
        Arc::make_mut(trunk).geolocation = geolocation;
    }
}

fn heard(world: &mut World, who: PhoneId, name: &str) -> String {
    world.phone(who).call().last("INVITE", name)
}

#[test]
fn the_number_of_the_place_is_shown_whatever_the_phone_says() {
    let hq = |directory: &mut Directory| {
        directory.locations = vec![place("hq", "10.1.0.0/16", Some(ELIN), &[])];
        directory.emergency.resource_priority = Some("esnet.1".to_owned());
    };
    let (mut world, alice, north, _) = site(hq);
    world.phone(alice).habits().calls_with.extend([
        ("P-Asserted-Identity", "<sip:+19995550100@evil.example>"),
        ("P-Preferred-Identity", "<sip:+19995550100@evil.example>"),
        ("Remote-Party-ID", "<sip:+19995550100@evil.example>"),
        ("Privacy", "id"),
        ("Priority", "non-urgent"),
        ("Require", "made-up"),
    ]);
    talk(&mut world, alice, "112");
    for name in ["From", "P-Asserted-Identity"] {
        let shown = heard(&mut world, north, name);
        assert!(shown.contains(&format!("<sip:{ELIN}@sip.example>")) && !shown.contains("5550100"), "{name}: {shown}");
    }
    for (name, expected) in [
        ("Remote-Party-ID", ""),
        ("P-Preferred-Identity", ""),
        ("Priority", "emergency"),
        ("Resource-Priority", "esnet.1"),
        ("Require", ""),
    ] {
        assert_eq!(heard(&mut world, north, name), expected, "{name}");
    }
    // A test of the route shows the same number, and is not taken for a real call.
    world.hang_up(alice);
    talk(&mut world, alice, "933");
    assert!(heard(&mut world, north, "From").contains(ELIN));
    assert_eq!((heard(&mut world, north, "Priority"), heard(&mut world, north, "Resource-Priority")), (String::new(), String::new()));
    world.hang_up(alice);
    world.finish();
}

#[test]
fn the_callers_own_number_goes_first_where_the_operator_wants_that() {
    let own = |directory: &mut Directory| {
        directory.locations = vec![place("hq", "10.1.0.0/16", Some(ELIN), &[])];
        directory.emergency.caller_id = CallerId::Own;
    };
    let (mut world, alice, north, _) = site(own);
    talk(&mut world, alice, "112");
    assert!(heard(&mut world, north, "From").contains("<sip:+442030001001@sip.example>"));
    world.hang_up(alice);
    world.finish();
}

#[test]
fn the_trunks_of_the_place_go_first_and_the_sites_follow() {
    let south_first = |directory: &mut Directory| {
        directory.emergency.trunks = vec!["north".to_owned()];
        directory.locations = vec![place("annex", "10.1.0.0/16", None, &["south"])];
    };
    let (mut world, alice, north, south) = site(south_first);
    world.phone(north).manner(Manner::Refuses(403));
    world.phone(south).manner(Manner::Refuses(603));
    world.dial(alice, "112");
    world.wait(seconds(1));
    let ladder = world.ladder();
    let place = |line: &str| ladder.find(line).unwrap_or_else(|| panic!("no `{line}`: {ladder}"));
    assert!(place("gw → south         INVITE 112") < place("gw → north         INVITE 112"), "{ladder}");
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(403)));
    world.finish();
}

#[test]
fn where_help_is_to_go_is_told_to_trunks_that_want_to_know() {
    let add = |directory: &mut Directory| {
        // Of the site: the phone's network is in no place.
        directory.locations = vec![place("hq", "192.168.7.0/24", None, &[])];
        directory.emergency.location = Some("hq".to_owned());
        tells(directory, Geolocation::Add);
    };
    let (mut world, alice, north, _) = site(add);
    talk(&mut world, alice, "112");
    assert_eq!(heard(&mut world, north, "Geolocation"), "<cid:place@sip.example>");
    assert_eq!(heard(&mut world, north, "Geolocation-Routing"), "yes");
    assert_eq!(heard(&mut world, north, "Content-Type"), "multipart/mixed;boundary=holdfast-place");
    let body = world.phone(north).call().bodies()[0].clone();
    for part in [
        "--holdfast-place Content-Type: application/sdp  v=0",
        "Content-Type: application/pdf+xml Content-ID: <place@sip.example>  <?xml".replace("pdf", "pidf").as_str(),
        "entity=\"sip:+442030001001@sip.example\"",
        "<ca:country>GB</ca:country> <ca:RD>Example Street</ca:RD> <ca:HNO>1</ca:HNO> <ca:FLR>2</ca:FLR>",
        "--holdfast-place--",
    ] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    world.hang_up(alice);
    // What the phone says itself goes on as it is.
    world.phone(alice).habits().calls_with.push(("Geolocation", "<https://place.example/alice>"));
    talk(&mut world, alice, "112");
    assert_eq!(heard(&mut world, north, "Geolocation"), "<https://place.example/alice>");
    assert_eq!(world.phone(north).call().bodies()[0], "v=0");
    world.hang_up(alice);
    // Other calls say nothing of it.
    talk(&mut world, alice, "+442071234567");
    assert_eq!(world.phone(north).call().bodies()[0], "v=0");
    world.hang_up(alice);
    world.finish();
}

#[test]
fn a_trunk_that_takes_no_place_is_told_none() {
    let (mut world, alice, north, _) = site(|directory| tells(directory, Geolocation::Remove));
    let habits = world.phone(alice).habits();
    habits.calls_with.extend([
        ("Geolocation", "<cid:x@y>"),
        ("Geolocation-Routing", "no"),
        ("Content-Type", "multipart/mixed;boundary=\"b 1\""),
    ]);
    habits.calls_offering = "--b 1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <x@y>\r\n\r\n<presence/>\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b 1--\r\n";
    talk(&mut world, alice, "112");
    for name in ["Geolocation", "Geolocation-Routing"] {
        assert_eq!(heard(&mut world, north, name), "");
    }
    assert_eq!(
        (heard(&mut world, north, "Content-Type").as_str(), world.phone(north).call().bodies()[0].as_str()),
        ("application/sdp", "v=0")
    );
    world.hang_up(alice);
    world.finish();
}

#[test]
fn tests_of_the_route_go_their_own_way() {
    let south = |directory: &mut Directory| directory.emergency.test_trunks = vec!["south".to_owned()];
    let (mut world, alice, north, south) = site(south);
    talk(&mut world, alice, "933");
    world.hang_up(alice);
    world.act(alice, |phone, now, out| phone.dial_uri("urn:service:test.sos", now, out));
    world.wait(seconds(5));
    assert_eq!((world.phone(north).calls().len(), world.phone(south).calls().len()), (0, 2));
    world.hang_up(alice);
    // And nowhere else, also when nobody answers there.
    world.phone(south).manner(Manner::Refuses(503));
    world.dial(alice, "933");
    world.wait(seconds(5));
    assert_eq!((world.phone(north).calls().len(), world.phone(alice).call().end()), (0, Some(End::Refused(500))));
    talk(&mut world, alice, "112");
    assert_eq!(world.phone(north).calls().len(), 1);
    world.hang_up(alice);
    world.finish();
}

#[test]
fn the_phone_may_not_transfer_it_and_not_hold_it_unless_it_may() {
    const HOLD: &str = "v=0\r\nc=IN IP4 10.1.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n";
    let ask = |world: &mut World, alice: PhoneId, north: PhoneId| {
        talk(world, alice, "112");
        world.act(alice, |phone, now, out| phone.say_in(phone.calls().len() - 1, "INVITE", &[], HOLD.as_bytes(), now, out));
        world.wait(seconds(1));
        let said = world.phone(alice).call().said().last().copied();
        let reached = world.phone(north).call().heard().contains(&"INVITE".to_owned());
        // A change that is no hold goes through.
        world.say(alice, "INVITE");
        world.wait(seconds(1));
        assert_eq!(world.phone(alice).call().said().last(), Some(&(Method::Invite, 200)));
        world.refer(alice, "sip:1002@sip.example");
        world.wait(seconds(1));
        let referred = world.phone(alice).call().said().last().copied();
        world.wait(seconds(5));
        (said, reached, referred)
    };
    let strict = |directory: &mut Directory| directory.emergency.may = May { hold: false, transfer: false };
    let (mut world, alice, north, _) = site(strict);
    let expected = (Some((Method::Invite, 488)), false, Some((Method::Refer, 403)));
    assert_eq!(ask(&mut world, alice, north), expected, "{}", world.ladder());
    assert!(world.phone(alice).call().up());
    world.hang_up(alice);
    world.finish();
    // As it is without a word of the operator: it may hold.
    let (mut world, alice, north, _) = site(|_| {});
    assert_eq!(ask(&mut world, alice, north), (Some((Method::Invite, 200)), true, Some((Method::Refer, 403))));
    world.hang_up(alice);
    world.finish();
    // And all of it.
    let lax = |directory: &mut Directory| directory.emergency.may = May { hold: true, transfer: true };
    let (mut world, alice, north, _) = site(lax);
    let bob = world.add(Phone::account("bob", Transport::Udp));
    world.register(bob);
    world.wait(seconds(1));
    assert_eq!(ask(&mut world, alice, north), (Some((Method::Invite, 200)), true, Some((Method::Refer, 202))));
    assert!(world.phone(bob).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(north).call().invited(Name::To).len(), 1);
}

/// A phone is restarted in the middle of its call for help, or the provider forgets it: whoever has lost the call is called again, and talks with the same one as before.
#[test]
fn a_lost_side_is_rung_again() {
    for phone_is_lost in [true, false] {
        let (mut world, alice, north, _) = site(|_| {});
        talk(&mut world, alice, "112");
        let (lost, stays) = if phone_is_lost { (alice, north) } else { (north, alice) };
        world.phone(lost).restarted(77);
        if phone_is_lost {
            world.register(alice);
        }
        // When both sides are next asked whether they are there.
        world.wait(seconds(310));
        assert!(world.phone(lost).call().up() && world.phone(stays).call().up(), "{}", world.ladder());
        assert!(
            world.phone(stays).call().heard().contains(&"INVITE".to_owned()),
            "it was given the other one's new session:\n{}",
            world.ladder()
        );
        assert_eq!(world.gateway().site().trunks.in_use("north"), 1);
        world.hang_up(stays);
        world.finish();
        assert_eq!(world.phone(lost).call().end(), Some(End::TheyHungUp), "{}", world.ladder());
        assert_eq!(world.gateway().site().trunks.in_use("north"), 0);
    }
}
