//! What the two sides of one call and the gateway said to each other, for whoever asks later why a call went as it did.

use sip::{Instant, message::Method, stack::ServerId, transport::Flow};
use std::net::SocketAddr;

/// Messages kept of one call. Of a longer one the beginning and the end are kept.
const BEATS_MAX: usize = 96;
/// Requests in progress whose sender is remembered.
const ASKERS_MAX: usize = 16;
/// Addresses remembered before those are forgotten that no kept message names: a call has two, unless somebody moves all the time.
const PEERS_MAX: usize = 2 * BEATS_MAX;

/// The messages of one call in their order, without retransmissions.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    marks: Vec<Mark>,
    /// The addresses that the marks name.
    peers: Vec<SocketAddr>,
    left_out: u32,
    /// Who sent the requests that are still to be answered.
    askers: Vec<(ServerId, SocketAddr)>,
}

/// A [`Beat`] as it is kept: thousands of calls keep theirs as long as they talk.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    peer: u8,
    inbound: bool,
    what: Said,
}

/// One message, or the lack of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// When.
    pub at: Instant,
    /// The other side.
    pub peer: SocketAddr,
    /// It came in; otherwise it went out.
    pub inbound: bool,
    /// The message.
    pub what: Said,
}

/// What one message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// A request.
    Request(Method),
    /// A response, by its status.
    Response(u16),
    /// Nothing came where an answer was due.
    Silence,
}

impl Ladder {
    /// The messages, oldest first.
    pub fn beats(&self) -> impl Iterator<Item = Beat> {
        self.marks.iter().filter_map(|mark| {
            let peer = *self.peers.get(usize::from(mark.peer))?;
            Some(Beat { at: mark.at, peer, inbound: mark.inbound, what: mark.what })
        })
    }

    /// Messages in the middle that were not kept.
    #[must_use]
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// A request that will be answered under `id`.
    pub(super) fn asked(&mut self, id: ServerId, method: Method, flow: Flow, at: Instant) {
        if self.askers.len() == ASKERS_MAX {
            self.askers.remove(0);
        }
        self.askers.push((id, flow.remote));
        self.add(at, flow.remote, true, Said::Request(method));
    }

    /// A request under `id` was cancelled.
    pub(super) fn cancelled(&mut self, id: ServerId, at: Instant) {
        if let Some(peer) = self.asker(id) {
            self.add(at, peer, true, Said::Request(Method::Cancel));
        }
    }

    /// The answer to the request under `id`.
    pub(super) fn answered(&mut self, id: ServerId, status: u16, at: Instant) {
        if let Some(peer) = self.asker(id) {
            self.add(at, peer, false, Said::Response(status));
        }
        if status >= 200 {
            self.askers.retain(|(known, _)| *known != id);
        }
    }

    /// Any other message.
    pub(super) fn add(&mut self, at: Instant, peer: SocketAddr, inbound: bool, what: Said) {
        if self.marks.len() == BEATS_MAX {
            self.marks.remove(BEATS_MAX / 2);
            self.left_out = self.left_out.saturating_add(1);
        }
        let peer = self.place(peer);
        self.marks.push(Mark { at, peer, inbound, what });
    }

    /// The place of an address in the list.
    fn place(&mut self, peer: SocketAddr) -> u8 {
        if let Some(place) = self.peers.iter().position(|known| *known == peer) {
            return u8::try_from(place).unwrap_or(u8::MAX);
        }
        if self.peers.len() == PEERS_MAX {
            let all = std::mem::take(&mut self.peers);
            for mark in &mut self.marks {
                let Some(named) = all.get(usize::from(mark.peer)) else { continue };
                let place = self.peers.iter().position(|known| known == named).unwrap_or_else(|| {
                    self.peers.push(*named);
                    self.peers.len() - 1
                });
                mark.peer = u8::try_from(place).unwrap_or(u8::MAX);
            }
        }
        self.peers.push(peer);
        u8::try_from(self.peers.len() - 1).unwrap_or(u8::MAX)
    }

    fn asker(&self, id: ServerId) -> Option<SocketAddr> {
        self.askers.iter().find(|(known, _)| *known == id).map(|(_, peer)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_call_keeps_its_beginning_and_its_end() {
        let mut ladder = Ladder::default();
        let peer = SocketAddr::from(([10, 1, 0, 7], 5060));
        for n in 0..200_u64 {
            ladder.add(Instant::from_unix_micros(n), peer, true, Said::Response(180));
        }
        let times: Vec<u64> = ladder.beats().map(|beat| beat.at.unix_micros()).collect();
        assert_eq!((times.len(), ladder.left_out()), (BEATS_MAX, 104));
        assert_eq!(times[..BEATS_MAX / 2], (0..48).collect::<Vec<_>>());
        assert_eq!(times[BEATS_MAX / 2..], (152..200).collect::<Vec<_>>());
    }
    #[test]
    fn somebody_who_moves_all_the_time_is_named_rightly_and_costs_a_bounded_list() {
        let mut ladder = Ladder::default();
        let from = |port: u16| SocketAddr::from(([10, 1, 0, 7], port));
        for port in 0..5_000 {
            ladder.add(Instant::default(), from(port), true, Said::Silence);
            assert!(ladder.peers.len() <= PEERS_MAX);
        }
        let named: Vec<u16> = ladder.beats().map(|beat| beat.peer.port()).collect();
        assert_eq!(named, (0..48).chain(4_952..5_000).collect::<Vec<_>>());
    }
}
