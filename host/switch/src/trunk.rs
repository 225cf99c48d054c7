//! Trunks at run time: where their addresses resolved to, their health, and the channels in use.

mod channels;

pub use channels::{Capacity, Channel, Evicted, Holder, Purpose, Way};

use sip::transport::Flow;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A trunk counts as unhealthy after so many failed attempts in a row: one lost datagram is no outage.
const FAILURES_UNHEALTHY: u32 = 2;

/// All trunks of a site.
#[derive(Debug, Default)]
pub struct Trunks {
    states: RwLock<BTreeMap<String, Arc<State>>>,
}

/// One trunk. The counters outlive the table's entry as long as a call holds a channel.
#[derive(Debug)]
struct State {
    name: Arc<str>,
    flows: RwLock<Arc<[Flow]>>,
    channels: channels::Table,
    failures: AtomicU32,
}

impl Trunks {
    /// No trunks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores where a trunk's URI resolved to (the shell resolves off the call path), in order of preference. An empty list = it does not resolve.
    pub fn set_flows(&self, trunk: &str, flows: Vec<Flow>) {
        *self.state(trunk).flows.write().unwrap_or_else(PoisonError::into_inner) = flows.into();
    }

    /// The ways to a trunk, best first; none for one that is unknown or does not resolve.
    #[must_use]
    pub fn flows(&self, trunk: &str) -> Arc<[Flow]> {
        self.known(trunk).map_or_else(|| Arc::from([]), |state| state.flows.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Channels in use.
    #[must_use]
    pub fn in_use(&self, trunk: &str) -> u32 {
        self.known(trunk).map_or(0, |state| state.channels.taken())
    }

    /// Notes that a call over the trunk could not be delivered, or could: health as policies see it.
    pub fn note(&self, trunk: &str, reached: bool) {
        let state = self.state(trunk);
        if reached {
            state.failures.store(0, Ordering::Relaxed);
        } else {
            // Saturates at the threshold: a trunk that was away for a year is back with its first answer.
            let failed = state.failures.load(Ordering::Relaxed).saturating_add(1).min(FAILURES_UNHEALTHY);
            state.failures.store(failed, Ordering::Relaxed);
        }
    }

    /// Whether one of the last attempts reached it (unknown counts as reachable). Emergency calls do not ask.
    #[must_use]
    pub fn healthy(&self, trunk: &str) -> bool {
        self.known(trunk).is_none_or(|state| state.failures.load(Ordering::Relaxed) < FAILURES_UNHEALTHY)
    }

    /// Forgets trunks that `keep` refuses. Their calls go on.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.states.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| keep(name));
    }

    fn known(&self, trunk: &str) -> Option<Arc<State>> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(trunk).cloned()
    }

    fn state(&self, trunk: &str) -> Arc<State> {
        if let Some(state) = self.known(trunk) {
            return state;
        }
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(State {
                name: trunk.into(),
                flows: RwLock::new(Arc::from([])),
                channels: channels::Table::default(),
                failures: AtomicU32::new(0),
            })
        };
        Arc::clone(states.entry(trunk.to_owned()).or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests;
