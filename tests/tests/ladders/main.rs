//! Calls and services as ladders: phones and the gateway in virtual time, and what they said to each other, message by message.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod admitted;
mod anything;
mod attended;
mod broken;
mod callback;
mod calls;
mod channels;
mod connect;
mod crash;
mod direct;
mod extensions;
mod flood;
mod forward;
mod gruu;
mod help;
mod hold;
mod message;
mod onward;
mod outside;
mod park;
mod pickup;
mod providers;
mod seats;
mod session;
mod transfer;
mod trouble;
mod trunks;
mod users;
mod watch;

use std::time::Duration;
use world::{
    net::{PhoneId, World},
    phone::End,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A talking call from `from` to `number`; the ladder begins after it.
fn talk(world: &mut World, from: PhoneId, number: &str) {
    world.dial(from, number);
    world.wait(seconds(5));
    assert!(world.phone(from).call().up(), "{}", world.ladder());
    world.ladder();
}

/// The newest calls of both are one call: each hears what the other asks for, and one hangs up.
fn talk_on(world: &mut World, one: PhoneId, other: PhoneId) {
    for (who, whom) in [(one, other), (other, one)] {
        let before = world.phone(whom).call().heard().len();
        world.say(who, "INVITE");
        world.wait(seconds(1));
        world.say(who, "INFO");
        world.wait(seconds(1));
        assert_eq!(world.phone(whom).call().heard()[before..], ["INVITE", "INFO"]);
    }
    world.hang_up(one);
    world.finish();
    assert_eq!(world.phone(other).call().end(), Some(End::TheyHungUp));
}

/// One hangs up, and both calls have ended.
fn end(world: &mut World, who: PhoneId, other: PhoneId) {
    world.hang_up(who);
    world.finish();
    assert_eq!((world.phone(who).call().end(), world.phone(other).call().end()), (Some(End::WeHungUp), Some(End::TheyHungUp)));
}
