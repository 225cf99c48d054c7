//! The breaker of one hook of one policy: after several faults within a short time, at the calls of more than one caller, the hook is left out, so that calls do
//! not pay for a component that is broken. It comes back when it has decided again beside the calls. Emergency calls lose nothing by it: the host has a
//! plan of its own.
//!
//! What one caller dials must not take a policy from all others: one caller's faults alone never open it.

use super::instance::Subject;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// So many faults…
const FAULTS: usize = 5;
/// …within this time open it.
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open before the hook is tried again; doubles with each try that fails, and with each time that it opens again soon after…
const REST: Duration = Duration::from_secs(2);
/// …up to this.
const REST_MAX: Duration = Duration::from_secs(60);
/// After so long without opening, the rest is short again.
const SOUND: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest faults and what was being decided: at most [`FAULTS`].
    faults: VecDeque<(Instant, Subject)>,
    last: String,
    /// When to try again, while open.
    again: Option<Instant>,
    /// The latest rest, and when it began.
    rest: Option<(Duration, Instant)>,
}

impl Breaker {
    /// Whether the hook is left out.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Counts a fault and keeps what it was about. `true` when this one has opened the breaker.
    pub(super) fn failed(&self, fault: String, at: Subject, now: Instant) -> bool {
        let mut state = self.state();
        state.last = fault;
        if state.faults.len() == FAULTS {
            state.faults.pop_front();
        }
        state.faults.push_back((now, at));
        let recent = state.faults.front().is_some_and(|(first, _)| now.saturating_duration_since(*first) <= WINDOW);
        let several = state.faults.front().is_some_and(|(_, first)| state.faults.iter().any(|(_, other)| !first.same_caller(other)));
        if state.faults.len() < FAULTS || !recent || !several || self.is_open() {
            return false;
        }
        let soon = |(rest, began): (Duration, Instant)| (now.saturating_duration_since(began) < SOUND).then(|| (rest * 2).min(REST_MAX));
        let rest = state.rest.and_then(soon).unwrap_or(REST);
        state.rest = Some((rest, now));
        state.again = Some(now + rest);
        self.open.store(true, Ordering::Release);
        true
    }

    /// What it failed at, when it is open and has rested: the hook is to be tried with that.
    pub(super) fn due(&self, now: Instant) -> Option<Vec<Subject>> {
        let state = self.state();
        state.again.filter(|again| *again <= now).map(|_| state.faults.iter().map(|(_, subject)| subject.clone()).collect())
    }

    /// The try went well: the hook decides again.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.again = None;
        self.open.store(false, Ordering::Release);
    }

    /// The try failed: the hook rests for longer. What it failed at again, by place, is not tried a third time: a call that no component of its kind can decide
    /// must not keep it out for ever. Returns for how long it rests.
    pub(super) fn stay_open(&self, fault: String, failed_again: &[usize], now: Instant) -> Duration {
        let mut state = self.state();
        state.last = fault;
        let mut place = 0..;
        state.faults.retain(|_| place.next().is_none_or(|place| !failed_again.contains(&place)));
        let rest = state.rest.map_or(REST, |(rest, _)| (rest * 2).min(REST_MAX));
        state.rest = Some((rest, now));
        state.again = Some(now + rest);
        rest
    }

    /// Why it is open.
    pub(super) fn reason(&self) -> String {
        format!("it failed {FAULTS} times within {} s; the last time it {}", WINDOW.as_secs(), self.state().last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
