//! The breaker of one policy: after several faults within a short time it is left out, so that calls do not pay for a component that is broken. It comes back
//! when it has decided again, beside the calls, what it failed at. Emergency calls lose nothing by it: the host has a plan of its own.

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
/// How long it stays open before the policy is tried again; doubles with each try that fails…
const REST: Duration = Duration::from_secs(2);
/// …up to this.
const REST_MAX: Duration = Duration::from_secs(60);
/// What was being decided at the latest faults: kept to be tried again.
const KEPT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Instant>,
    last: String,
    failed_at: VecDeque<Subject>,
    /// When to try again, while open.
    again: Option<Instant>,
    rest: Duration,
}

impl Breaker {
    /// Whether the policy is left out.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Counts a fault and keeps what it was about. `true` when this one has opened the breaker.
    pub(super) fn failed(&self, fault: String, at: Subject, now: Instant) -> bool {
        let mut state = self.state();
        state.last = fault;
        if state.failed_at.len() == KEPT {
            state.failed_at.pop_front();
        }
        state.failed_at.push_back(at);
        state.faults.push_back(now);
        while state.faults.front().is_some_and(|first| now.saturating_duration_since(*first) > WINDOW) {
            state.faults.pop_front();
        }
        if state.faults.len() < FAULTS || self.is_open() {
            return false;
        }
        state.rest = REST;
        state.again = Some(now + REST);
        self.open.store(true, Ordering::Release);
        true
    }

    /// What a try must decide without a fault: there is one to be made when the breaker is open and has rested.
    pub(super) fn due(&self, now: Instant) -> Option<Vec<Subject>> {
        let state = self.state();
        state.again.filter(|again| *again <= now).map(|_| state.failed_at.iter().cloned().collect())
    }

    /// The try went well: the policy decides again.
    pub(super) fn close(&self) {
        *self.state() = State::default();
        self.open.store(false, Ordering::Release);
    }

    /// The try failed: the policy rests for longer. Returns for how long.
    pub(super) fn stay_open(&self, fault: String, now: Instant) -> Duration {
        let mut state = self.state();
        state.last = fault;
        state.rest = (state.rest * 2).min(REST_MAX);
        state.again = Some(now + state.rest);
        state.rest
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
