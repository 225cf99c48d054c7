//! Over the edge of the site: which refusal of a provider leads to the next, whom a provider is told of, and calls that would cost too much.

use crate::seconds;
use expect_test::expect;
use sip::header::Name;
use std::{sync::Arc, time::Duration};
use switch::{directory::Directory, toll::Ceilings, trunk::TrunkManners};
use world::{
    net::{PhoneId, World},
    phone::{End, Manner, Phone},
};

/// Alice and bob, both providers, and what is different about them.
fn site(change: impl FnOnce(&mut Directory)) -> (World, [PhoneId; 2], PhoneId, PhoneId) {
    let mut world = World::new(1);
    let phones = world.registered(["alice", "bob"]);
    let (north, south) = (world.add(Phone::trunk("north")), world.add(Phone::trunk("south")));
    let site = world.gateway().site();
    let mut directory = (*site.directory()).clone();
    change(&mut directory);
    site.replace_directory(directory, sip::Instant::default());
    (world, phones, north, south)
}

/// The provider `north` behaves so.
fn north(manners: TrunkManners) -> impl FnOnce(&mut Directory) {
    move |directory| {
        for trunk in directory.trunks.iter_mut().filter(|trunk| trunk.name == "north") {
            Arc::make_mut(trunk).manners = manners.clone();
        }
    }
}

#[test]
fn each_refusal_of_a_provider() {
    let mut table = String::new();
    for status in [403, 404, 408, 480, 484, 486, 488, 500, 502, 503, 504, 600, 603, 606] {
        for next_on in [&[][..], &[404, 484]] {
            let (mut world, [alice, _], first, second) = site(north(TrunkManners { next_on: next_on.to_vec(), ..TrunkManners::default() }));
            world.phone(first).manner(Manner::Refuses(status));
            world.dial(alice, "+442071234567");
            world.wait(seconds(5));
            let next = !world.phone(second).calls().is_empty();
            let told = if next {
                world.hang_up(alice);
                "next".to_owned()
            } else {
                format!("{:?}", world.phone(alice).call().end())
            };
            world.finish();
            table.push_str(&format!("{status} {next_on:?} {told}\n"));
        }
    }
    expect![[r#"
        403 [] Some(Refused(403))
        403 [404, 484] Some(Refused(403))
        404 [] Some(Refused(404))
        404 [404, 484] next
        408 [] next
        408 [404, 484] next
        480 [] Some(Refused(480))
        480 [404, 484] Some(Refused(480))
        484 [] Some(Refused(484))
        484 [404, 484] next
        486 [] Some(Refused(486))
        486 [404, 484] Some(Refused(486))
        488 [] Some(Refused(488))
        488 [404, 484] Some(Refused(488))
        500 [] next
        500 [404, 484] next
        502 [] next
        502 [404, 484] next
        503 [] next
        503 [404, 484] next
        504 [] next
        504 [404, 484] next
        600 [] Some(Refused(600))
        600 [404, 484] Some(Refused(600))
        603 [] Some(Refused(603))
        603 [404, 484] Some(Refused(603))
        606 [] Some(Refused(606))
        606 [404, 484] Some(Refused(606))
    "#]]
    .assert_eq(&table);
}

/// What a phone pretends to be, in every spelling that a header can have, and what it tells of itself.
const PRETENCES: [(&str, &str); 12] = [
    ("P-Asserted-Identity", "<sip:911@evil.example>"),
    ("p-asserted-IDENTITY", "\r\n <tel:911>,\r\n\t<sip:911@evil.example>"),
    ("P-Preferred-Identity", "<sip:911@evil.example>"),
    ("REMOTE-PARTY-ID", "<sip:911@evil.example>;party=calling"),
    ("Diversion", "<sip:911@evil.example>;reason=unconditional"),
    ("diversioN", "\r\n <sip:911@evil.example>"),
    ("History-Info", "<sip:911@evil.example>;index=1"),
    ("Identity", "evil"),
    ("y", "evil"),
    ("P-Charging-Vector", "evil"),
    ("User-Agent", "evil"),
    ("Call-Info", "<http://evil.example/>"),
];

#[test]
fn what_a_phone_pretends_reaches_no_provider_and_no_other_phone() {
    for number in ["+442071234567", "1002"] {
        let (mut world, [alice, bob], first, _) = site(|_| {});
        world.phone(alice).habits().calls_with = PRETENCES.to_vec();
        world.dial(alice, number);
        world.wait(seconds(5));
        world.hang_up(alice);
        world.finish();
        let outside = number.starts_with('+');
        let callee = if outside { first } else { bob };
        let call = world.phone(callee).call();
        for message in call.received() {
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            let told = text.lines().filter(|line| line.contains("evil") || line.contains("911")).collect::<Vec<_>>();
            // What phones tell each other of themselves is theirs.
            let expected: &[&str] =
                if outside || told.is_empty() { &[] } else { &["User-Agent: evil", "Call-Info: <http://evil.example/>"] };
            assert_eq!(told, expected, "{number}");
        }
        let shown = if outside { "<sip:+442030001001@sip.example>" } else { "<sip:1001@sip.example>" };
        assert!(
            call.invited(Name::PAssertedIdentity).iter().all(|identity| identity.ends_with(shown)),
            "{:?}",
            call.invited(Name::PAssertedIdentity)
        );
    }
}

#[test]
fn a_provider_is_believed_only_where_the_operator_trusts_it() {
    for (trusted, expected) in [(false, vec![]), (true, vec!["<sip:2@far.example>"])] {
        let (mut world, [_, bob], first, _) = site(north(TrunkManners { trusted, ..TrunkManners::default() }));
        world.phone(first).habits().calls_with = vec![
            ("P-Asserted-Identity", "\"Real\" <tel:+15550199>"),
            ("DIVERSION", "<sip:2@far.example>"),
            ("Alert-Info", "<http://x>;info=answer"),
        ];
        world.dial(first, "+442030001002");
        world.wait(seconds(5));
        world.hang_up(first);
        world.finish();
        let call = world.phone(bob).call();
        assert_eq!(call.invited(Name::Diversion), expected);
        let shown = call.invited(Name::PAssertedIdentity).concat();
        assert_eq!(shown.contains("+15550199"), trusted, "{shown}");
        assert!(call.received().all(|message| message.header_named(b"Alert-Info").is_none()));
    }
}

#[test]
fn a_call_that_lasts_too_long_is_ended_for_both() {
    let (mut world, [alice, _], first, _) =
        site(|directory| directory.tolls = Ceilings { longest_call: Some(Duration::from_secs(60)), ..Ceilings::default() });
    world.dial(alice, "+442071234567");
    world.wait(seconds(120));
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.phone(first).call().end(), Some(End::TheyHungUp));
    assert_eq!(world.gateway().dropped().get("toll-longest-call"), Some(&1));
    let record = world.gateway().records().pop().unwrap();
    assert_eq!((record.cause, record.ended.since(record.answered.unwrap())), ("the longest call to the outside", Duration::from_secs(60)));
}

/// Nothing goes out any more, except a call for help.
#[test]
fn a_site_that_has_spent_everything_still_calls_for_help() {
    let (mut world, [alice, bob], first, _) = site(|directory| {
        let none = Some(0);
        directory.tolls = Ceilings {
            calls_per_endpoint: none,
            calls_per_site: none,
            calls_per_hour: none,
            talk_per_day: Some(Duration::ZERO),
            talk_per_outage: Some(Duration::ZERO),
            longest_call: Some(Duration::from_secs(1)),
            denied: vec![switch::directory::NumberPattern("%".to_owned())],
        };
    });
    world.dial(alice, "+442071234567");
    world.dial(bob, "112");
    world.wait(seconds(30));
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(403)));
    assert!(world.phone(bob).call().up() && world.phone(first).call().up());
    world.hang_up(bob);
    world.finish();
    assert_eq!(world.gateway().dropped().get("toll-calls-per-endpoint"), Some(&1));
    assert_eq!(world.gateway().site().tolls.usage_of_site(sip::Instant::default()).calls, 0);
}
