//! A phone with many calls at a time, and one that is plugged in elsewhere.

use super::Phone;
use gateway::calls::Transmit;
use sip::Instant;
use std::net::SocketAddr;

impl Phone {
    /// Has another address from now on: it was plugged in elsewhere, or has connected anew.
    pub fn moved(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Answers everybody who makes it ring.
    pub fn pick_up_all(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        for place in 0..self.calls.len() {
            self.pick_up(place, now, out);
        }
    }
}
