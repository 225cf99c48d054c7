//! Users who say how long their phones ring, and where calls go on to that they do not take.

use crate::{
    seconds,
    users::{Office, phones},
};
use sip::header::Name;
use switch::directory::record::{Edit, Existing, UserFields};
use world::{
    net::World,
    phone::{End, Manner, Phone},
};

impl Office {
    fn wants(&mut self, world: &mut World, user: &str, fields: UserFields) {
        self.change(world, &[Edit::User { id: user.into(), existing: Existing::Must, fields }]);
    }
}

fn to(number: &str) -> Option<String> {
    Some(number.to_owned())
}

#[test]
fn nobody_answers_in_the_users_own_time_and_a_colleague_is_rung() {
    let mut world = World::new(1);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let mut office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    office.wants(&mut world, "desk", UserFields { ring_seconds: Some(6), forward_no_answer: to("1003"), ..UserFields::default() });
    world.phone(erin).manner(Manner::Rings);
    world.phone(frank).manner(Manner::Rings);
    world.dial(alice, "2000");
    world.wait(seconds(10));
    assert_eq!([erin, frank].map(|id| world.phone(id).call().end()), [Some(End::Cancelled); 2]);
    assert_eq!(world.phone(carol).call().invited(Name::Diversion), ["<sip:2000@sip.example>;reason=no-answer;counter=1"]);
    world.hang_up(alice);
    world.finish();
    assert_eq!(world.phone(carol).call().end(), Some(End::TheyHungUp));
    let ladder = world.ladder();
    let order = ["internal: route desk", "180 Ringing", "internal: route carol", "INVITE 1003", "200 OK +body"];
    assert!(stand_in_order(&ladder, &order), "{ladder}");
}

/// Whether these stand one below the other, whatever stands between.
fn stand_in_order(ladder: &str, wanted: &[&str]) -> bool {
    let mut lines = ladder.lines();
    wanted.iter().all(|wanted| lines.any(|line| line.contains(wanted)))
}

#[test]
fn while_no_phone_can_be_reached_calls_go_outside_by_the_users_own_rights() {
    let mut world = World::new(2);
    let [alice] = world.registered(["alice"]);
    let mut office = Office::new(&mut world);
    let north = world.add(Phone::trunk("north"));
    let fields =
        UserFields { forward_unreachable: to("+447700900123"), numbers: Some(vec!["+442030002000".to_owned()]), ..UserFields::default() };
    office.wants(&mut world, "desk", fields);
    world.dial(alice, "2000");
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(north).call().up(), "{}", world.ladder());
    world.hang_up(north);
    world.finish();
    let ladder = world.ladder();
    let order = ["internal: route desk", "external: route north/+447700900123 as +442030002000", "INVITE +447700900123"];
    assert!(stand_in_order(&ladder, &order), "{ladder}");

    // From outside as well: whoever calls the direct number.
    world.dial(north, "+442030002000");
    world.wait(seconds(5));
    assert_eq!(world.phone(north).calls().len(), 3, "it comes back as another call: {}", world.ladder());
}

#[test]
fn all_calls_go_on_also_from_outside_and_the_settings_of_before_are_none() {
    let mut world = World::new(3);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let mut office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    office.wants(&mut world, "desk", UserFields { forward_always: to("1003"), ..UserFields::default() });
    world.dial(alice, "2000");
    world.wait(seconds(5));
    assert!(world.phone(carol).call().up(), "{}", world.ladder());
    assert_eq!([erin, frank].map(|id| world.phone(id).calls().len()), [0, 0]);
    world.hang_up(alice);
    world.finish();
    office.wants(&mut world, "desk", UserFields { forward_always: to(""), ..UserFields::default() });
    world.dial(alice, "2000");
    world.wait(seconds(1));
    assert_eq!(([erin, frank].map(|id| world.phone(id).calls().len()), world.phone(carol).calls().len()), ([1, 1], 1));
}

#[test]
fn two_users_who_send_calls_to_each_other_end_one() {
    let mut world = World::new(4);
    let [alice] = world.registered(["alice"]);
    let mut office = Office::new(&mut world);
    phones(&mut world);
    office.wants(&mut world, "desk", UserFields { forward_always: to("3000"), ..UserFields::default() });
    office.wants(&mut world, "hall", UserFields { forward_always: to("2000"), ..UserFields::default() });
    world.ladder();
    world.dial(alice, "2000");
    world.wait(seconds(1));
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(482)));
    let ladder = world.ladder();
    assert!(stand_in_order(&ladder, &["internal: route desk", "internal: route hall", "482 Loop Detected"]), "{ladder}");
}

#[test]
fn a_user_who_is_busy_sends_calls_to_somebody_and_the_plan_ends_as_that_did() {
    let mut world = World::new(5);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let mut office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    office.wants(&mut world, "desk", UserFields { forward_busy: to("1003"), ..UserFields::default() });
    for phone in [erin, frank, carol] {
        world.phone(phone).manner(Manner::Refuses(486));
    }
    world.dial(alice, "2000");
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(486)));
    assert_eq!(world.phone(carol).call().invited(Name::Diversion), ["<sip:2000@sip.example>;reason=user-busy;counter=1"]);
}

#[test]
fn a_call_that_was_sent_on_outlives_the_gateway() {
    let mut world = World::new(6);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let mut office = Office::new(&mut world);
    office.wants(&mut world, "desk", UserFields { forward_always: to("1003"), ..UserFields::default() });
    world.dial(alice, "2000");
    world.wait(seconds(1));
    world.crash(2);
    world.wait(seconds(5));
    assert!(world.phone(alice).call().up() && world.phone(carol).call().up(), "{}", world.ladder());
    world.hang_up(carol);
    world.finish();
    assert_eq!(world.phone(alice).call().end(), Some(End::TheyHungUp));
}
