//! Users of the store: an extension with several phones, phones with several users, and what changes while calls run.

use crate::{seconds, talk_on};
use sip::{header::Name, transport::Transport};
use std::time::Duration;
use switch::{
    bridge::Order,
    directory::{
        Directory, Features, Per,
        record::{Edit, EndpointFields, Existing, Password, UserFields},
        roster::Roster,
    },
    licence::Standing,
};
use world::{
    net::{PhoneId, World},
    node::{self, Gateway, Plot},
    phone::{End, Manner, Phone},
};

/// The site's own directory, as commands change it.
pub(crate) struct Office {
    file: Directory,
    roster: Roster,
}

impl Office {
    /// User `desk` with the extension 2000 and the phones erin and frank; user `hall` with 3000 and frank, who is a second line there.
    pub(crate) fn new(world: &mut World) -> Self {
        let file = Directory::clone(&world.gateway().site().directory());
        let mut office = Self { file, roster: Roster::default() };
        let user = |id: &str, extension: &str| Edit::User {
            id: id.into(),
            existing: Existing::Not,
            fields: UserFields { extension: Some(extension.into()), ..UserFields::default() },
        };
        let phone = |id: &str| {
            let password = Some(Password(node::password(id)));
            let fields = EndpointFields { password, licence: Some("site".into()), ..EndpointFields::default() };
            Edit::Endpoint { id: id.into(), existing: Existing::Not, fields }
        };
        let assign = |endpoint: &str, user: &str| Edit::Assign { endpoint: endpoint.into(), user: user.into(), rings: true };
        office.change(
            world,
            &[
                user("desk", "2000"),
                user("hall", "3000"),
                phone("erin"),
                phone("frank"),
                assign("erin", "desk"),
                assign("frank", "desk"),
                assign("frank", "hall"),
            ],
        );
        office
    }

    pub(crate) fn change(&mut self, world: &mut World, edits: &[Edit]) {
        let change = self.roster.apply(edits, &self.file).unwrap();
        self.roster.commit(change);
        let (joined, left_out) = self.file.with_roster(&self.roster);
        assert_eq!(left_out, []);
        let now = world.now();
        let _ended = world.gateway().site().replace_directory(joined, now);
    }

    /// Makes an endpoint something else.
    fn set(&mut self, world: &mut World, id: &str, fields: EndpointFields) {
        self.change(world, &[Edit::Endpoint { id: id.into(), existing: Existing::Must, fields }]);
    }
}

/// Erin and frank, registered: one by its user's extension, one by its own username.
pub(crate) fn phones(world: &mut World) -> [PhoneId; 2] {
    let gateway = world.gateway().address();
    let mut ids = Vec::new();
    for (name, extension, address) in [("erin", "2000", "10.1.0.21:5060"), ("frank", "frank", "10.1.0.22:5060")] {
        let id = world.add(Phone::new(name, extension, address.parse().unwrap(), gateway, Transport::Udp));
        world.register(id);
        ids.push(id);
    }
    world.wait(seconds(1));
    assert!(ids.iter().all(|id| world.phone(*id).registered()), "{}", world.ladder());
    world.ladder();
    [ids[0], ids[1]]
}

#[test]
fn a_call_to_an_extension_rings_all_phones_of_its_user() {
    let mut world = World::new(1);
    let [alice] = world.registered(["alice"]);
    let mut office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    world.phone(erin).manner(Manner::Rings);
    world.dial(alice, "2000");
    world.wait(seconds(3));
    assert_eq!(world.phone(erin).call().end(), Some(End::Cancelled), "it rang, and the other was faster");
    assert!(world.phone(frank).call().up() && world.phone(alice).call().up(), "{}", world.ladder());
    talk_on(&mut world, alice, frank);

    // Called at the second user's extension only the phone rings that both have; it calls as the first.
    world.dial(alice, "3000");
    world.wait(seconds(3));
    assert_eq!(world.phone(erin).calls().len(), 1);
    talk_on(&mut world, frank, alice);
    world.dial(frank, "1001");
    world.wait(seconds(3));
    assert_eq!(world.phone(alice).call().invited(Name::PAssertedIdentity), ["\"2000\" <sip:2000@sip.example>"]);
    talk_on(&mut world, frank, alice);

    // Silent for that user from now on.
    office.change(&mut world, &[Edit::Assign { endpoint: "erin".into(), user: "desk".into(), rings: false }]);
    world.dial(alice, "2000");
    world.wait(seconds(3));
    assert_eq!((world.phone(erin).calls().len(), world.phone(frank).calls().len()), (1, 4));
    talk_on(&mut world, alice, frank);
}

#[test]
fn whoever_watches_a_user_sees_the_calls_of_every_phone_and_can_take_them() {
    let mut world = World::new(2);
    let [alice, carol] = world.registered(["alice", "carol"]);
    let mut office = Office::new(&mut world);
    office.file.features = Features { pickup: "**".into() };
    office.change(&mut world, &[]);
    let [erin, frank] = phones(&mut world);
    world.act(carol, |phone, now, out| {
        phone.watch("2000", "dialog", 600, now, out);
    });
    world.wait(seconds(1));
    world.phone(erin).manner(Manner::Rings);
    world.phone(frank).manner(Manner::Rings);
    world.dial(alice, "2000");
    world.wait(seconds(1));
    assert_eq!(world.phone(carol).watches()[0].last().states(), ["early", "early"], "one for each phone");
    world.dial(carol, "**2000");
    world.wait(seconds(2));
    assert!(world.phone(carol).call().up() && world.phone(alice).call().up(), "{}", world.ladder());
    assert_eq!([erin, frank].map(|id| world.phone(id).call().end()), [Some(End::Cancelled); 2]);
    talk_on(&mut world, carol, alice);
    world.dial(erin, "1001");
    world.wait(seconds(3));
    assert_eq!(world.phone(carol).watches()[0].last().states(), ["confirmed"], "it calls as this user");
    talk_on(&mut world, erin, alice);
}

#[test]
fn a_subscription_is_one_seat_for_all_phones_of_a_user() {
    let mut world = World::around(5, Gateway::of(5, &Plot { seats: 1, ..Plot::default() }));
    let mut office = Office::new(&mut world);
    office.file.pools[0].per = Per::User;
    office.change(&mut world, &[]);
    let [erin, frank] = phones(&mut world);
    let holders = |world: &mut World| {
        let now = world.now();
        let places = world.gateway().site().ledger.places("site", "", 10, now).unwrap();
        places.into_iter().map(|place| (place.name.to_string(), matches!(place.standing, Standing::Seated { .. }))).collect::<Vec<_>>()
    };
    assert_eq!(holders(&mut world), [("desk".to_owned(), true)]);
    let alice = world.add(Phone::account("alice", Transport::Udp));
    world.register(alice);
    world.wait(seconds(1));
    assert!(!world.phone(alice).registered(), "nobody's phone needs a seat of its own");
    // The seat is the user's until the last phone goes.
    world.act(erin, Phone::unregister);
    world.wait(seconds(1));
    assert_eq!(holders(&mut world), [("alice".to_owned(), false), ("desk".to_owned(), true)]);
    // What is no longer the user's needs another seat at its next registration.
    office.change(&mut world, &[Edit::Unassign { endpoint: "frank".into(), user: "desk".into() }]);
    world.act(frank, Phone::unregister);
    world.wait(seconds(1));
    world.register(alice);
    world.wait(seconds(1));
    assert!(world.phone(alice).registered());
    assert_eq!(holders(&mut world), [("alice".to_owned(), true)]);
}

#[test]
fn click_to_dial_rings_the_phones_of_a_user() {
    let mut world = World::new(3);
    let [alice] = world.registered(["alice"]);
    let _office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    world.phone(frank).manner(Manner::Rings);
    let order = Order { from: "2000".into(), to: "1001".into(), auto_answer: false, announced: None };
    let mut begun = world.gateway().exchange().place(order);
    world.wait(Duration::ZERO);
    begun.try_recv().expect("an answer at once").unwrap();
    world.wait(seconds(6));
    assert_eq!(world.phone(frank).call().end(), Some(End::Cancelled));
    assert_eq!(world.phone(alice).call().invited(Name::PAssertedIdentity), ["\"2000\" <sip:2000@sip.example>"]);
    talk_on(&mut world, erin, alice);
}

#[test]
fn a_phone_that_is_disabled_in_a_call_talks_on_and_is_called_no_more() {
    let mut world = World::new(4);
    let [alice, bob] = world.registered(["alice", "bob"]);
    let mut office = Office::new(&mut world);
    let [erin, frank] = phones(&mut world);
    let taken = |world: &mut World| world.gateway().site().ledger.usage("site").unwrap().taken;
    world.dial(erin, "1001");
    world.wait(seconds(3));
    let before = taken(&mut world);
    office.set(&mut world, "erin", EndpointFields { enabled: Some(false), ..EndpointFields::default() });
    assert_eq!(taken(&mut world), before - 1, "its seat is free");
    world.phone(frank).manner(Manner::Rings);
    world.dial(bob, "2000");
    world.wait(seconds(1));
    assert_eq!((world.phone(erin).calls().len(), world.phone(frank).calls().len()), (1, 1), "only the other phone rings");
    world.register(erin);
    world.wait(seconds(1));
    assert!(!world.phone(erin).registered());
    talk_on(&mut world, erin, alice);
    world.dial(erin, "1001");
    world.wait(seconds(1));
    assert_eq!(world.phone(erin).call().end(), Some(End::Refused(403)));

    // Enabled again it is as before; disabled users are reached by nobody.
    office.set(&mut world, "erin", EndpointFields { enabled: Some(true), ..EndpointFields::default() });
    world.register(erin);
    world.wait(seconds(1));
    assert!(world.phone(erin).registered());
    let fields = UserFields { enabled: Some(false), ..UserFields::default() };
    office.change(&mut world, &[Edit::User { id: "desk".into(), existing: Existing::Must, fields }]);
    world.dial(alice, "2000");
    world.wait(seconds(1));
    assert_eq!(world.phone(alice).call().end(), Some(End::Refused(404)));
    world.hang_up(bob);
    world.finish();
}
