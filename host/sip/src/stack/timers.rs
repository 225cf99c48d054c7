//! The timers of all transactions of one stack.
//!
//! RFC 3261 knows a handful of durations only, so there is one queue per duration: what is armed later ends later, and arming,
//! finding the next and firing cost the same however many transactions live. A timer that is no longer wanted stays in
//! its queue and is skipped when it comes to the front: most transactions end long before their timers.

use super::{ClientId, ServerId, Timer};
use crate::Instant;
use std::{collections::VecDeque, time::Duration};

/// How long a 100 waits for another answer of the transaction user (RFC 3261 17.2.1).
pub(crate) const TRYING: Duration = Duration::from_millis(200);
/// The estimated round-trip time (RFC 3261 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest interval between two retransmissions of a non-INVITE request or of an answer to an INVITE.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64*T1: timers B, D, F, H, J, L and M.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// Timer C of an INVITE client transaction: more than three minutes (RFC 3261 16.6).
pub(crate) const C_CLIENT: Duration = Duration::from_secs(185);
/// How long an INVITE may wait for a final answer of the transaction user since its last provisional one. The RFC names no such
/// limit; without one, a forgotten INVITE would stay for ever.
pub(crate) const C_SERVER: Duration = Duration::from_secs(1800);

/// Every span that is ever armed, ascending; timer A doubles from T1 to 32*T1.
const SPANS: [Duration; 11] = [
    TRYING,
    T1,
    Duration::from_secs(1),
    Duration::from_secs(2),
    T2,
    T4,
    Duration::from_secs(8),
    Duration::from_secs(16),
    T1_64,
    C_CLIENT,
    C_SERVER,
];

/// Timers that only end the absorbing of retransmissions are late by up to this much, so that clean-up wakes the shard at
/// most ten times a second.
const CLEANUP_STEP_MICROS: u64 = 100_000;

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Server(ServerId),
    Client(ClientId),
}

/// One armed timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) owner: Owner,
    pub(crate) timer: Timer,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: [VecDeque<Due>; SPANS.len()],
    /// The queue that [`Timers::forget`] looks at next.
    turn: usize,
}

impl Timers {
    /// Arms `timer` to fire `span` after `now`, and tells when that is: the owner keeps the moment as its proof that the timer is
    /// still wanted.
    pub(crate) fn arm(&mut self, owner: Owner, timer: Timer, now: Instant, span: Duration) -> Instant {
        let mut at = now + span;
        if cleans_up(timer) {
            at = Instant::from_unix_micros(at.unix_micros().next_multiple_of(CLEANUP_STEP_MICROS));
        }
        let place = SPANS.iter().position(|known| *known >= span).unwrap_or(SPANS.len() - 1);
        if let Some(queue) = self.queues.get_mut(place) {
            // A clock that stepped back must not break the order of the queue: the timer is late by that step instead.
            if let Some(last) = queue.back() {
                at = at.max(last.at);
            }
            queue.push_back(Due { at, owner, timer });
        }
        at
    }

    /// The timer that fires next, wanted or not.
    pub(crate) fn first(&self) -> Option<Due> {
        self.queues.iter().filter_map(|queue| queue.front()).min_by_key(|due| due.at).copied()
    }

    /// Forgets timers that nobody wants any more: all that come first of all, so that [`Timers::first`] is a timer that matters, and in passing those
    /// at the front of one queue, another with each call, so that the queues of long spans do not grow with every short transaction.
    pub(crate) fn forget(&mut self, wanted: impl Fn(&Due) -> bool) {
        self.turn = (self.turn + 1) % SPANS.len();
        if let Some(queue) = self.queues.get_mut(self.turn) {
            while queue.front().is_some_and(|due| !wanted(due)) {
                queue.pop_front();
            }
        }
        while self.first().is_some_and(|due| !wanted(&due)) {
            self.pop();
        }
    }

    /// Every timer, wanted or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Due> {
        self.queues.iter().flatten()
    }

    /// Timers in the queues, wanted or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Removes what [`Timers::first`] shows.
    pub(crate) fn pop(&mut self) {
        let first = self.queues.iter_mut().filter(|queue| !queue.is_empty());
        if let Some(queue) = first.min_by_key(|queue| queue.front().map(|due| due.at)) {
            queue.pop_front();
        }
    }
}

const fn cleans_up(timer: Timer) -> bool {
    match timer {
        Timer::D | Timer::I | Timer::J | Timer::K | Timer::L | Timer::M => true,
        Timer::A | Timer::B | Timer::C | Timer::E | Timer::F | Timer::G | Timer::H | Timer::Trying => false,
    }
}
