//! What phones do that do not sit still: they come and go, move, and talk in several calls.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{BODY, Call, Phone};
use crate::net::spread;
use gateway::calls::Transmit;
use sip::{Instant, Limits, random::Random, stack::Stack, transport::Flow};
use std::net::SocketAddr;

/// How a phone registers.
#[derive(Clone, Debug)]
pub struct Restless {
    /// Seconds that it asks for.
    pub expires: u32,
    /// Its last REGISTER removes the binding.
    pub(super) leaves: bool,
}

impl Default for Restless {
    fn default() -> Self {
        Self { expires: 300, leaves: false }
    }
}

impl Restless {
    /// Value of Expires in the REGISTER that is under way.
    pub(super) const fn seconds(&self) -> u32 {
        if self.leaves { 0 } else { self.expires }
    }
}

impl Phone {
    /// How it registers from now on.
    pub fn restless(&mut self) -> &mut Restless {
        &mut self.restless
    }

    /// Its registration is over.
    pub fn unregister(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        self.restless.leaves = true;
        self.enrol(now, out);
    }

    /// Sends a request inside a call, by its place: `INVITE` and `UPDATE` offer a new session, others carry a body of their own.
    pub fn speak_in(&mut self, place: usize, method: &str, now: Instant, out: &mut Vec<Transmit>) {
        self.say_in(place, method, &[], BODY, now, out);
    }

    /// Its next INVITEs replace nobody.
    pub fn replaces_nobody(&mut self) {
        self.replaces = None;
    }

    /// It has another address now, and sends from there whatever it still has to say.
    pub fn moves_to(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// It has a connection of this number now, if it speaks a stream transport.
    pub fn connected(&mut self, number: u64) {
        if self.transport.reliable() {
            self.connection = number;
        }
    }

    /// Forgets the calls that are over, when all are and nothing is under way.
    pub fn forget(&mut self) {
        if self.pending() == (0, 0, 0) {
            self.calls.clear();
            self.pending.clear();
            self.alarms.clear();
        }
    }

    /// It has lost power and starts anew: it remembers nothing. Its new tags and Call-IDs follow from `salt`.
    pub fn restarted(&mut self, salt: u64) {
        self.stack = Stack::new(Limits::default(), Random::from_seed(spread(salt)));
        self.registration = None;
        self.registered = false;
        self.calls.clear();
        self.pending.clear();
        self.alarms.clear();
    }

    /// The way to its peer.
    #[must_use]
    pub fn way(&self) -> Flow {
        self.flow()
    }
}

impl Call {
    /// The dialog as this phone names it: Call-ID, its own tag, the other side's.
    #[must_use]
    pub fn dialog(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.dialog.call_id, &self.dialog.local_tag, &self.dialog.remote_tag)
    }

    /// Whether this phone has hung up and nobody has answered yet.
    #[must_use]
    pub const fn hanging_up(&self) -> bool {
        self.bye_sent
    }

    /// Whether the two talk, and nothing about it is under way.
    #[must_use]
    pub const fn settled(&self) -> bool {
        self.up && self.answers.is_empty() && self.invite.is_none() && self.reinvite.is_none() && self.again.is_none()
    }

    /// Whether this phone rings.
    #[must_use]
    pub const fn rings(&self) -> bool {
        self.ringing.is_some()
    }
}
