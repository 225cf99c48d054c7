//! What is known of one file of the folder.

use super::{
    engine::{PolicyState, PolicyStatus, hex},
    load::{Policy, Rejection},
    metrics::{Figures, Meter},
    rollback::{Back, Which},
    shadow::Shadow,
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

pub(super) struct Entry {
    /// What lies there, with its settings and cases.
    pub(super) digest: [u8; 32],
    pub(super) name: String,
    pub(super) running: Option<Arc<Policy>>,
    /// Why what lies there is not what runs.
    pub(super) refused: Option<Rejection>,
    /// It ran, and gave its place back.
    taken_back: bool,
    /// What may take the place of what runs.
    pub(super) back: Back,
    /// What lies there now, while it decides beside what runs.
    pub(super) shadow: Option<Arc<Shadow>>,
    since: SystemTime,
    /// What had been counted of the policy when what runs began to.
    counted_before: Figures,
}

impl Entry {
    /// Nothing has been seen of it yet.
    pub(super) fn new(name: String) -> Self {
        Self {
            digest: [0; 32],
            name,
            running: None,
            refused: None,
            taken_back: false,
            back: Back::default(),
            shadow: None,
            since: SystemTime::now(),
            counted_before: Figures::default(),
        }
    }

    /// What lies there takes its place in the chain.
    pub(super) fn swap_in(&mut self, policy: Arc<Policy>) {
        policy.meter.swaps.fetch_add(1, Relaxed);
        let back = std::mem::take(&mut self.back);
        self.back = self.running.take().map(|old| back.from(&old, &policy)).unwrap_or_default();
        self.refused = None;
        self.shadow = None;
        self.runs(policy);
    }

    /// What lies there decides beside what runs.
    pub(super) fn tries(&mut self, shadow: Arc<Shadow>) {
        self.refused = None;
        self.taken_back = false;
        self.shadow = Some(shadow);
    }

    /// What lies there is not taken.
    pub(super) fn refuse(&mut self, why: Rejection, meter: &Meter) {
        meter.refusals.fetch_add(1, Relaxed);
        self.refused = Some(why);
        self.taken_back = false;
        self.shadow = None;
        self.since = SystemTime::now();
    }

    /// What runs gives its place to `to`, from where `back` is the way back.
    pub(super) fn take_back(&mut self, to: Arc<Policy>, back: Back, why: Rejection) {
        to.meter.roll_backs.fetch_add(1, Relaxed);
        self.runs(to);
        self.back = back;
        self.refused = Some(why);
        self.taken_back = true;
    }

    fn runs(&mut self, policy: Arc<Policy>) {
        self.counted_before = policy.meter.total();
        self.since = SystemTime::now();
        self.taken_back = false;
        self.running = Some(policy);
    }

    pub(super) fn status(&self, file: &str) -> PolicyStatus {
        let running = self.running.as_deref();
        let counted = running.map(|policy| policy.meter.total().since(&self.counted_before)).unwrap_or_default();
        PolicyStatus {
            file: file.to_owned(),
            name: self.name.clone(),
            version: running.and_then(|policy| policy.version.clone()),
            description: running.and_then(|policy| policy.description.clone()),
            hash: running.map(|policy| hex(&policy.hash)).unwrap_or_default(),
            hooks: running.map(|policy| policy.hooks.names()).unwrap_or_default(),
            decisions: counted.decisions(),
            faults: running.map_or(0, |policy| policy.faults.load(Relaxed)),
            p99: counted.p99(),
            state: match (&self.refused, running) {
                (_, Some(policy)) if let Some((hook, breaker)) = policy.breakers.open() => PolicyState::Resting(Rejection::new(
                    format!("its hook {hook} is left out: {}", breaker.reason()),
                    "mend the component; it is tried again by itself from time to time",
                )),
                _ if let Some(shadow) = &self.shadow => PolicyState::Shadowing(Box::new(shadow.status())),
                (None, _) => PolicyState::Running,
                (Some(rejection), Some(_)) if self.taken_back => PolicyState::RolledBack(rejection.clone()),
                (Some(rejection), Some(_)) => PolicyState::Outdated(rejection.clone()),
                (Some(rejection), None) => PolicyState::Refused(rejection.clone()),
            },
            since: self.since,
            previous: self.back.before().map(|policy| Which::clone(&policy.which)),
        }
    }
}
