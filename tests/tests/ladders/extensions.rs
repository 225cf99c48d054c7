//! What a request demands and says beside the call itself: Require and Proxy-Require, Join, Privacy, Reason, Session-ID, Geolocation; and what policies say
//! to who calls whom.

use crate::seconds;
use expect_test::expect;
use sip::{header::Name, transport::Transport};
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

/// A call from alice to bob whose INVITE has these lines; five seconds later.
fn calls(lines: &[(&'static str, &'static str)]) -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    world.phone(alice).habits().calls_with = lines.to_vec();
    world.phone(bob).habits().knows = Some(&["100rel", "precondition"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    (world, alice, bob)
}

#[test]
fn what_we_alone_could_do_and_cannot_is_refused() {
    cov_mark::check!(rfc3261_8_2_2_3_bad_extension);
    for (lines, unsupported) in [
        (("Require", "sec-agree"), "sec-agree"),
        (("Require", "100rel, gruu, tdialog"), "tdialog"),
        (("Proxy-Require", "frobnicate"), "frobnicate"),
    ] {
        let (mut world, alice, bob) = calls(&[lines]);
        world.finish();
        assert_eq!(world.phone(alice).call().end(), Some(End::Refused(420)));
        assert_eq!(world.phone(alice).call().last("INVITE 420", "Unsupported"), unsupported);
        assert!(world.phone(bob).calls().is_empty());
    }
}

/// What we answer ourselves is for us as a whole.
#[test]
fn a_registration_that_demands_what_we_do_not_know() {
    let mut world = World::new(1);
    let alice = world.add(Phone::account("alice", Transport::Udp));
    world.phone(alice).habits().registers_with = vec![("Require", "path, frobnicate")];
    world.register(alice);
    world.finish();
    assert!(!world.phone(alice).registered());
    expect![[r#"
        0.000    alice → gw         REGISTER
        0.000    gw → alice         401 Unauthorized (REGISTER)
        0.000    alice → gw         REGISTER +credentials
        0.000    gw → alice         420 Bad Extension (REGISTER)
    "#]]
    .assert_eq(&world.ladder());
    world.phone(alice).habits().registers_with = vec![("Require", "path")];
    world.register(alice);
    world.finish();
    assert!(world.phone(alice).registered());
}

#[test]
fn what_is_for_the_other_phone_is_answered_by_it() {
    let (mut world, alice, _) = calls(&[("Require", "precondition, frobnicate")]);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(420)));
    assert_eq!(world.phone(alice).call().last("INVITE 420", "Unsupported"), "frobnicate");
    let (mut world, alice, bob) = calls(&[("Require", "precondition"), ("Proxy-Require", "privacy")]);
    assert!(world.phone(alice).call().up());
    assert_eq!(world.phone(bob).call().invited(Name::Require), ["precondition"]);
    assert!(world.phone(bob).call().invited(Name::ProxyRequire).is_empty());
    world.hang_up(alice);
    world.finish();
}

/// RFC 3911: a Join reaches the phone whose dialog it names, word for word; whether it mixes is that phone's business. What contradicts itself is refused.
#[test]
fn join_is_between_the_phones() {
    let (mut world, alice, bob) = calls(&[("Join", "dialog@bob;to-tag=b;from-tag=g")]);
    assert!(world.phone(alice).call().up());
    assert_eq!(world.phone(bob).call().last("INVITE", "Join"), "dialog@bob;to-tag=b;from-tag=g");
    world.hang_up(alice);
    world.finish();
    let (mut world, alice, _) = calls(&[("Require", "join"), ("Join", "dialog@bob;to-tag=b;from-tag=g")]);
    world.finish();
    assert_eq!(world.phone(alice).call().last("INVITE 420", "Unsupported"), "join");
    for second in ["Join", "Replaces"] {
        let (mut world, alice, bob) = calls(&[("Join", "a;to-tag=b;from-tag=c"), (second, "d;to-tag=e;from-tag=f")]);
        world.finish();
        assert_eq!(world.phone(alice).call().end(), Some(End::Refused(400)));
        assert!(world.phone(bob).calls().is_empty());
    }
}

#[test]
fn who_hides_is_shown_neither_to_phones_nor_to_trunks() {
    let (mut world, alice, bob) = calls(&[("Privacy", "id")]);
    let from = world.phone(bob).call().last("INVITE", "From");
    assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{from}");
    assert_eq!(world.phone(bob).call().last("INVITE", "P-Asserted-Identity"), "");
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));

    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let north = world.add(Phone::trunk("north"));
    for (privacy, shown) in [("id", false), ("none", true)] {
        world.phone(alice).habits().calls_with = vec![("Privacy", privacy)];
        world.dial(alice, "+442071234567");
        world.wait(seconds(5));
        let call = world.phone(north).call();
        let said = call.last("INVITE", "From") + &call.last("INVITE", "P-Asserted-Identity");
        assert_eq!(said.contains("1001"), shown, "{said}");
        assert_eq!(call.last("INVITE", "Privacy"), privacy);
        world.hang_up(alice);
        world.wait(seconds(1));
    }
    world.finish();
}

/// A provider says who calls, and that it is not to be shown: the phone does not see it.
#[test]
fn who_hides_outside_is_not_shown_inside() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    let north = world.add(Phone::trunk("north"));
    world.phone(north).habits().calls_with =
        vec![("Privacy", "id"), ("P-Asserted-Identity", "\"Mr X\" <sip:+447700900123@provider.example>")];
    world.dial(north, "+442030001002");
    world.wait(seconds(5));
    let invite = world.phone(bob).call().received().next().unwrap();
    assert!(!String::from_utf8_lossy(invite.bytes()).contains("7700900123"));
    world.hang_up(bob);
    world.finish();
}

#[test]
fn hiding_what_cannot_be_hidden_is_refused_when_it_is_critical() {
    let (mut world, alice, bob) = calls(&[("Privacy", "session;critical")]);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(500)));
    assert!(world.phone(bob).calls().is_empty());
    let (mut world, alice, bob) = calls(&[("Privacy", "session")]);
    assert!(world.phone(alice).call().up());
    world.hang_up(bob);
    world.finish();
}

/// What is said about the call goes through both ways (RFC 3326, RFC 7989, RFC 6442).
#[test]
fn what_is_said_about_the_call_goes_through() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let (ours, theirs) = ("ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000", "47755a9de7794ba387653f2099600ef2");
    let place = "v=0\r\n--b\r\nContent-ID: <alice@sip.example>\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--b--\r\n";
    let habits = world.phone(alice).habits();
    habits.calls_with = vec![("Session-ID", ours), ("Geolocation", "<cid:alice@sip.example>"), ("Geolocation-Routing", "yes")];
    habits.calls_offering = place;
    habits.leaves_with = vec![("Reason", "Q.850;cause=16;text=\"Terminated\"")];
    world.phone(bob).habits().answers_with = vec![("Session-ID", theirs)];
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.hang_up(alice);
    world.finish();
    let call = world.phone(bob).call();
    assert_eq!(call.last("INVITE", "Session-ID"), ours);
    assert_eq!(call.last("INVITE", "Geolocation"), "<cid:alice@sip.example>");
    assert_eq!(call.last("INVITE", "Geolocation-Routing"), "yes");
    assert_eq!(call.received().next().unwrap().body(), place.as_bytes());
    assert_eq!(call.last("BYE", "Reason"), "Q.850;cause=16;text=\"Terminated\"");
    assert_eq!(world.phone(alice).call().last("INVITE 200", "Session-ID"), theirs);
}

/// Bob is looked for at his desk, then in his team, then outside.
#[test]
fn find_me() {
    let mut world = World::with_office(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    let north = world.add(Phone::trunk("north"));
    world.phone(bob).manner(Manner::Rings);
    world.phone(carol).manner(Manner::Refuses(486));
    world.phone(dave).manner(Manner::Refuses(486));
    world.dial(alice, "findme");
    world.wait(seconds(15));
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(north).call().end(), Some(End::TheyHungUp));
    expect![[r#"
        0.000    alice → gw         INVITE findme +body
        0.000    gw → alice         407 Proxy Authentication Required
        0.000    alice → gw         ACK
        0.000    alice → gw         INVITE findme +credentials +body
        0.000    gw ⇢ policy        office: route bob for 10 s and next on busy or no answer or unreachable, then carol + dave for 10 s and next on busy or no answer or unreachable, then north/+442071234567
        0.000    gw → bob           INVITE 1002 +body
        0.000    bob → gw           180 Ringing
        0.000    gw → alice         180 Ringing
        10.000   gw → bob           CANCEL
        10.000   gw → carol         INVITE 1003 +body
        10.000   gw → dave          INVITE 1004 +body
        10.000   bob → gw           200 OK (CANCEL)
        10.000   bob → gw           487 Request Terminated
        10.000   carol → gw         486 Busy Here
        10.000   dave → gw          486 Busy Here
        10.000   gw → bob           ACK
        10.000   gw → carol         ACK
        10.000   gw → dave          ACK
        10.000   gw → north         INVITE +442071234567 +body
        10.000   north → gw         180 Ringing
        10.000   gw → alice         180 Ringing
        12.000   north → gw         200 OK +body
        12.000   gw → alice         200 OK +body
        12.000   alice → gw         ACK
        12.000   gw → north         ACK
        15.000   alice → gw         BYE
        15.000   gw → alice         200 OK (BYE)
        15.000   gw → north         BYE
        15.000   north → gw         200 OK (BYE)
    "#]].assert_eq(&world.ladder());
}

/// Found in the second stage: the others stop ringing.
#[test]
fn find_me_in_the_team() {
    let mut world = World::with_office(1);
    let [alice, bob, carol, dave] = world.registered(["alice", "bob", "carol", "dave"]);
    world.phone(bob).manner(Manner::Refuses(486));
    world.phone(dave).manner(Manner::Rings);
    world.dial(alice, "findme");
    world.wait(seconds(5));
    assert!(world.phone(carol).call().up());
    assert_eq!(world.phone(dave).call().end(), Some(End::Cancelled));
    world.hang_up(carol);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
}

/// Incoming screening: a policy puts those through whom Bob knows. Outgoing screening: numbers that may not be called.
#[test]
fn screened_by_caller_and_by_number() {
    let mut world = World::with_office(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.dial(alice, "screened");
    world.wait(seconds(5));
    assert!(!world.phone(bob).calls().is_empty(), "{}", world.ladder());
    assert!(world.phone(bob).call().up());
    world.hang_up(bob);
    world.wait(seconds(1));
    world.phone(alice).habits().calls_with = vec![("Privacy", "id")];
    for (who, number, status) in [(carol, "screened", 603), (alice, "screened", 433), (carol, "0900123", 403), (carol, "123", 404)] {
        world.dial(who, number);
        world.wait(seconds(1));
        assert_eq!(world.phone(who).call().end(), Some(End::Refused(status)), "{number}");
    }
    assert_eq!(world.phone(bob).calls().len(), 1);
    world.finish();
}
