//! How trunks stand, for whoever runs the gateway.

use super::{Condition, Pulse, Server, Standing, Trouble};
use sip::{Instant, transport::Flow};
use std::{sync::Arc, time::Duration};

/// A trunk stands otherwise than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which.
    pub trunk: Arc<str>,
    /// How it stood.
    pub from: Standing,
    /// How it stands.
    pub to: Standing,
    /// Why it is not up.
    pub why: String,
    /// Since when.
    pub at: Instant,
}

/// A trunk as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its name.
    pub trunk: String,
    /// How it stands.
    pub standing: Standing,
    /// Since when; `None`: since the start.
    pub since: Option<Instant>,
    /// Why it is not up; empty when it is.
    pub why: String,
    /// Calls on it.
    pub calls: u32,
    /// Where it is, lowest priority first.
    pub addresses: Vec<AddressReport>,
    /// Of one that registers.
    pub registration: Option<RegistrationReport>,
}

/// One address of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressReport {
    /// Where, and when its turn comes.
    pub server: Server,
    /// Its health.
    pub pulse: Pulse,
}

/// The registration at a provider.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistrationReport {
    /// Until when; `None`: it is not registered.
    pub until: Option<Instant>,
    /// By which way it is registered.
    pub flow: Option<Flow>,
    /// What is wrong.
    pub trouble: Option<Trouble>,
    /// When it is renewed or tried again; `None`: an answer is waited for.
    pub next: Option<Instant>,
}

impl Report {
    pub(super) fn new(trunk: &str, calls: u32, condition: &Condition) -> Self {
        let (standing, why) = condition.judge();
        let addresses = condition.ways.iter().map(|way| AddressReport { server: *way, pulse: condition.pulse(way.flow) }).collect();
        let registration = condition.registered.clone();
        Self { trunk: trunk.to_owned(), standing, since: condition.since, why, calls, addresses, registration }
    }

    /// How long the address that is tried first takes to answer.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.addresses.iter().filter(|address| address.pulse.standing != Standing::Down).find_map(|address| address.pulse.latency)
    }

    /// What to do about a trunk that is not up.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        if let Some(trouble) = self.registration.as_ref().and_then(|registration| registration.trouble.as_ref()) {
            return Some(trouble.remedy.clone());
        }
        if self.standing == Standing::Up {
            return None;
        }
        Some(if self.addresses.is_empty() {
            "see whether the name in `uri` (or `outbound_proxy`) can be resolved here, or name the provider's addresses in [[trunk.address]]".to_owned()
        } else {
            "see whether the way to the provider is open (network, firewall), and whether the provider has trouble of its own".to_owned()
        })
    }
}
