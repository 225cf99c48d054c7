//! Phones watch others (RFC 4235), learn when somebody is free again, and hear what waits in their mailbox (RFC 3842).

use crate::seconds;
use expect_test::expect;
use sip::transport::Transport;
use std::time::Duration;
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone, Told, Watch},
};

/// Subscribes, and lets a second pass.
fn watch(world: &mut World, id: PhoneId, number: &str, event: &'static str, expires: u32) -> usize {
    let mut place = 0;
    world.act(id, |phone, now, out| place = phone.watch(number, event, expires, now, out));
    world.wait(seconds(1));
    place
}

fn again(world: &mut World, id: PhoneId, place: usize, expires: u32) {
    world.act(id, |phone, now, out| phone.watch_again(place, expires, now, out));
    world.wait(seconds(1));
}

fn states(told: &[Told]) -> Vec<Vec<&str>> {
    told.iter().map(Told::states).collect()
}

/// The documents of a phone's subscription, dialog ids and tags left out.
fn documents(watch: &Watch) -> String {
    let mut text = String::new();
    for told in watch.told() {
        let mut body = told.body.clone();
        for name in [" id=\"", "call-id=\"", "local-tag=\"", "remote-tag=\""] {
            let mut parts = body.split(name);
            let mut clean = parts.next().unwrap().to_owned();
            for part in parts {
                clean.push_str(name);
                clean.push('…');
                clean.push_str(&part[part.find('"').unwrap()..]);
            }
            body = clean;
        }
        text.push_str(&told.state);
        text.push('\n');
        text.push_str(&body.replace('\r', ""));
    }
    text
}

#[test]
fn a_call_of_a_watched_phone() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    watch(&mut world, carol, "1002", "dialog", 600);
    world.ladder();
    world.dial(alice, "1002");
    world.wait(seconds(4));
    world.hang_up(bob);
    world.finish();
    world.wait(seconds(2));
    assert_eq!(world.phone(carol).watches()[0].answers(), [(200, Some(600))]);
    expect![[r#"
        active;expires=600
        <?xml version="1.0" encoding="UTF-8"?>
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:1002@sip.example">
        </dialog-info>
        active;expires=599
        <?xml version="1.0" encoding="UTF-8"?>
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="partial" entity="sip:1002@sip.example">
        <dialog id="…" call-id="…" local-tag="…" remote-tag="…" direction="recipient">
        <state>early</state>
        <local><identity>sip:1002@sip.example</identity><target uri="sip:1002@sip.example"/></local>
        <remote><identity display="alice">sip:1001@sip.example</identity><target uri="sip:1001@sip.example"/></remote>
        </dialog>
        </dialog-info>
        active;expires=597
        <?xml version="1.0" encoding="UTF-8"?>
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="2" state="partial" entity="sip:1002@sip.example">
        <dialog id="…" call-id="…" local-tag="…" remote-tag="…" direction="recipient">
        <state>confirmed</state>
        <local><identity>sip:1002@sip.example</identity><target uri="sip:1002@sip.example"/></local>
        <remote><identity display="alice">sip:1001@sip.example</identity><target uri="sip:1001@sip.example"/></remote>
        </dialog>
        </dialog-info>
        active;expires=595
        <?xml version="1.0" encoding="UTF-8"?>
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial" entity="sip:1002@sip.example">
        <dialog id="…" call-id="…" local-tag="…" remote-tag="…" direction="recipient">
        <state>terminated</state>
        <local><identity>sip:1002@sip.example</identity><target uri="sip:1002@sip.example"/></local>
        <remote><identity display="alice">sip:1001@sip.example</identity><target uri="sip:1001@sip.example"/></remote>
        </dialog>
        </dialog-info>
    "#]]
    .assert_eq(&documents(&world.phone(carol).watches()[0]));
}

#[test]
fn the_ladder_of_a_watched_call() {
    let mut world = World::new(1);
    let [alice, _bob, carol] = world.registered(["alice", "bob", "carol"]);
    watch(&mut world, carol, "1002", "dialog", 600);
    world.dial(alice, "1002");
    world.wait(seconds(4));
    world.hang_up(alice);
    world.wait(seconds(2));
    expect![[r#"
        0.000    carol → gw         SUBSCRIBE 1002
        0.000    gw → carol         401 Unauthorized (SUBSCRIBE)
        0.000    carol → gw         SUBSCRIBE 1002 +credentials
        0.000    gw → carol         200 OK (SUBSCRIBE)
        0.000    gw → carol         NOTIFY +body
        0.000    carol → gw         200 OK (NOTIFY)
        1.000    alice → gw         INVITE 1002 +body
        1.000    gw → alice         407 Proxy Authentication Required
        1.000    alice → gw         ACK
        1.000    alice → gw         INVITE 1002 +credentials +body
        1.000    gw ⇢ policy        internal: route bob
        1.000    gw → bob           INVITE 1002 +body
        1.000    bob → gw           180 Ringing
        1.000    gw → alice         180 Ringing
        1.000    gw → carol         NOTIFY +body
        1.000    carol → gw         200 OK (NOTIFY)
        3.000    bob → gw           200 OK +body
        3.000    gw → alice         200 OK +body
        3.000    alice → gw         ACK
        3.000    gw → bob           ACK
        3.000    gw → carol         NOTIFY +body
        3.000    carol → gw         200 OK (NOTIFY)
        5.000    alice → gw         BYE
        5.000    gw → alice         200 OK (BYE)
        5.000    gw → bob           BYE
        5.000    bob → gw           200 OK (BYE)
        5.000    gw → carol         NOTIFY +body
        5.000    carol → gw         200 OK (NOTIFY)
    "#]]
    .assert_eq(&world.ladder());
}

/// The call is there before the watcher, on whatever shard either lives.
#[test]
fn who_subscribes_during_a_call_sees_it() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        let [alice, _bob, carol] = world.registered(["alice", "bob", "carol"]);
        for _ in 0..seed {
            world.act(carol, |phone, _, _| phone.shake());
            world.act(alice, |phone, _, _| phone.shake());
        }
        world.dial(alice, "1002");
        world.wait(seconds(5));
        watch(&mut world, carol, "1002", "dialog", 600);
        watch(&mut world, carol, "1001", "dialog", 600);
        world.wait(seconds(2));
        for (place, direction) in [(0, "recipient"), (1, "initiator")] {
            let watch = &world.phone(carol).watches()[place];
            assert_eq!(watch.last().states(), ["confirmed"]);
            assert_eq!(watch.last().attribute("direction"), direction);
        }
        world.hang_up(alice);
        world.wait(seconds(3));
        assert_eq!(world.phone(carol).watches()[0].last().states(), ["terminated"]);
        assert_eq!(world.phone(carol).watches()[1].last().states(), ["terminated"]);
        again(&mut world, carol, 0, 600);
        assert_eq!(world.phone(carol).watches()[0].last().attribute("state"), "full");
        assert!(world.phone(carol).watches()[0].last().states().is_empty());
    }
}

/// RFC 5359 2.17: the callee is busy; who wants to talk to it watches it, and calls when it is free.
#[test]
fn automatic_redial() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
    world.dial(alice, "1002");
    world.wait(seconds(5));
    world.phone(bob).manner(Manner::Refuses(486));
    world.dial(carol, "1002");
    world.wait(seconds(1));
    assert_eq!(world.phone(carol).call().end(), Some(End::Refused(486)));
    watch(&mut world, carol, "1002", "dialog", 600);
    world.wait(seconds(2));
    assert_eq!(world.phone(carol).watches()[0].last().states(), ["confirmed"]);
    world.hang_up(alice);
    world.phone(bob).manner(Manner::Answers(seconds(1)));
    world.wait(seconds(2));
    assert_eq!(world.phone(carol).watches()[0].last().states(), ["terminated"]);
    world.dial(carol, "1002");
    world.wait(seconds(3));
    assert!(world.phone(carol).call().up());
    world.hang_up(carol);
    world.finish();
}

#[test]
fn twenty_keys_for_one_phone() {
    let mut world = World::new(1);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let watchers: Vec<PhoneId> = (0..20)
        .map(|n| {
            let address: &'static str = Box::leak(format!("10.1.1.{}:5060", n + 1).into_boxed_str());
            world.add(Phone::account("carol", Transport::Udp).at("carol-n", address))
        })
        .collect();
    for id in &watchers {
        watch(&mut world, *id, "1002", "dialog", 3600);
    }
    world.dial(alice, "1002");
    world.wait(seconds(4));
    world.hang_up(bob);
    world.wait(seconds(3));
    for id in watchers {
        let watch = &world.phone(id).watches()[0];
        assert_eq!(states(watch.told()), [vec![], vec!["early"], vec!["confirmed"], vec!["terminated"]]);
        for (version, told) in watch.told().iter().enumerate() {
            assert!(told.body.contains(&format!(" version=\"{version}\" state=")), "{}", told.body);
        }
    }
}

#[test]
fn a_subscription_from_beginning_to_end() {
    let mut world = World::new(1);
    let [_bob, carol] = world.registered(["bob", "carol"]);
    // Too brief, then as long as wished, then longer than is granted.
    let brief = watch(&mut world, carol, "1002", "dialog", 5);
    assert_eq!(world.phone(carol).watches()[brief].answers(), [(423, Some(60))]);
    let place = watch(&mut world, carol, "1002", "dialog;id=7", 100_000);
    assert_eq!(world.phone(carol).watches()[place].answers(), [(200, Some(3600))]);
    assert_eq!(world.phone(carol).watches()[place].last().event, "dialog;id=7");
    again(&mut world, carol, place, 120);
    assert_eq!(world.phone(carol).watches()[place].answers()[1], (200, Some(120)));
    assert_eq!(world.phone(carol).watches()[place].last().state, "active;expires=120");
    // It ends by itself, and a refresh after that is too late.
    world.wait(seconds(121));
    assert_eq!(world.phone(carol).watches()[place].last().state, "terminated;reason=timeout");
    again(&mut world, carol, place, 120);
    assert_eq!(world.phone(carol).watches()[place].answers()[2].0, 481);
    // Ended by the phone.
    let place = watch(&mut world, carol, "1002", "dialog", 600);
    again(&mut world, carol, place, 0);
    assert_eq!(world.phone(carol).watches()[place].last().state, "terminated;reason=timeout");
    // A poll: told once.
    let place = watch(&mut world, carol, "1002", "dialog", 0);
    assert_eq!(world.phone(carol).watches()[place].told().len(), 1);
    assert_eq!(world.phone(carol).watches()[place].last().state, "terminated;reason=timeout");
    assert_eq!(world.gateway().site().subscriptions.taken(), 0);
    world.finish();
}

#[test]
fn who_cannot_be_told_is_forgotten_and_nobody_else_notices() {
    for way in ["481", "silence", "unplugged"] {
        let mut world = World::new(1);
        let [alice, bob, carol] = world.registered(["alice", "bob", "carol"]);
        let dave = world.add(Phone::account("dave", Transport::Tcp));
        world.register(dave);
        for id in [carol, dave] {
            watch(&mut world, id, "1002", "dialog", 3600);
        }
        match way {
            "481" => world.phone(dave).watches()[0].manner(481),
            "silence" => world.phone(dave).watches()[0].manner(0),
            _ => world.unplug(dave, true),
        }
        world.dial(alice, "1002");
        world.wait(seconds(4));
        world.hang_up(bob);
        world.wait(seconds(40));
        assert_eq!(states(world.phone(carol).watches()[0].told()), [vec![], vec!["early"], vec!["confirmed"], vec!["terminated"]], "{way}");
        assert_eq!(world.gateway().site().subscriptions.taken(), 1, "{way}");
    }
}

#[test]
fn what_cannot_be_subscribed_to() {
    cov_mark::check!(rfc6665_4_2_1_1_bad_event);
    let mut world = World::new(1);
    let [_bob, carol] = world.registered(["bob", "carol"]);
    for (number, event, status) in [
        ("1002", "reg", 489),
        ("1002", "avaya-cm-feature-status", 489),
        ("1999", "dialog", 404),
        ("112", "dialog", 404),
        ("1002", "presence", 489),
    ] {
        let place = watch(&mut world, carol, number, event, 600);
        assert_eq!(world.phone(carol).watches()[place].answers()[0].0, status, "{event} of {number}");
        assert!(world.phone(carol).watches()[place].told().is_empty());
    }
    let mut place = 0;
    world.act(carol, |phone, now, out| place = phone.watch_accepting("1002", "dialog", "application/pidf+xml", 600, now, out));
    world.wait(seconds(1));
    assert_eq!(world.phone(carol).watches()[place].answers()[0].0, 406);
    let stranger =
        world.add(Phone::new("mallory", "1009", "10.1.0.99:5060".parse().unwrap(), world::node::ADDRESS.parse().unwrap(), Transport::Udp));
    watch(&mut world, stranger, "1002", "dialog", 600);
    assert_eq!(world.phone(stranger).watches()[0].answers()[0].0, 401);
    world.finish();
}

/// A phone that calls for help is shown busy; with whom, and how its call is named, is nobody's business.
#[test]
fn a_call_for_help_shows_as_busy_only() {
    let mut world = World::new(1);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let north = world.add(Phone::trunk("north"));
    watch(&mut world, carol, "1001", "dialog", 600);
    world.dial(alice, "112");
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up());
    let told = world.phone(carol).watches()[0].last().clone();
    assert_eq!(told.states(), ["confirmed"]);
    assert!(!told.body.contains("112") && !told.body.contains("call-id") && !told.body.contains("<remote>"), "{}", told.body);
    world.hang_up(north);
    world.finish();
}

#[test]
fn one_endpoint_has_so_many_subscriptions_and_no_more() {
    let mut world = World::new(1);
    let [_bob, carol] = world.registered(["bob", "carol"]);
    for _ in 0..500 {
        world.act(carol, |phone, now, out| {
            phone.watch("1002", "dialog", 600, now, out);
        });
        world.wait(Duration::from_millis(100));
    }
    let place = watch(&mut world, carol, "1002", "dialog", 600);
    assert_eq!(world.phone(carol).watches()[place].answers()[0].0, 403);
    assert_eq!(world.gateway().site().subscriptions.taken(), 500);
    world.wait(seconds(700));
    assert_eq!(world.gateway().site().subscriptions.taken(), 0);
}

#[test]
fn what_waits_in_the_mailbox() {
    let mut world = World::new(1);
    let [bob] = world.registered(["bob"]);
    let north = world.add(Phone::trunk("north"));
    watch(&mut world, bob, "1002", "message-summary", 600);
    assert_eq!(world.phone(bob).watches()[0].last().body, "Messages-Waiting: no\r\n");
    // The voice mail behind a trunk tells of a message, a stranger of another.
    let summary = "Messages-Waiting: yes\r\nVoice-Message: 1/0 (0/0)\r\n";
    world.act(bob, |phone, now, out| phone.tell_of_mail("1002", "Messages-Waiting: yes\r\nVoice-Message: 99/0\r\n", now, out));
    world.act(north, |phone, now, out| phone.tell_of_mail("+442030001002", summary, now, out));
    world.wait(seconds(2));
    assert_eq!(world.phone(bob).watches()[0].told().len(), 2);
    assert_eq!(world.phone(bob).watches()[0].last().body, summary);
    // It is not forgotten.
    let place = watch(&mut world, bob, "1002", "message-summary", 600);
    assert_eq!(world.phone(bob).watches()[place].last().body, summary);
}
