//! Trunks at run time: where their addresses resolved to, their health, the registration at the provider, and the channels in use.
//!
//! [`Trunks`] is the table that all shards use; [`Keeper`] registers and asks, on one of them.

mod ask;
mod channels;
mod health;
mod keeper;
mod manners;
mod order;
mod reach;
mod register;
mod report;
#[cfg(test)]
mod tests;

pub use channels::{Capacity, Channel, Evicted, Holder, Purpose, Way};
pub use health::{Pulse, Sign, Standing};
pub use keeper::{Ask, AskId, Keeper};
pub use manners::{CallerIn, NumberFrom, TrunkManners};
pub use order::{Server, order};
pub use reach::{Address, Reach, Register};
pub use register::{Registration, Trouble};
pub use report::{AddressReport, Change, RegistrationReport, Report};

use sip::{
    Instant,
    random::Random,
    transport::{Flow, Transport},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicU64},
};

/// Changes that wait to be told; the oldest are forgotten.
const CHANGES: usize = 256;
/// Names that one certificate may show.
const NAMES: usize = 16;

/// All trunks of a site.
#[derive(Debug, Default)]
pub struct Trunks {
    states: RwLock<BTreeMap<String, Arc<State>>>,
    /// Names that the peers of TLS connections have proved by a certificate.
    proved: RwLock<BTreeMap<u64, Arc<[String]>>>,
    changes: Mutex<VecDeque<Change>>,
    /// How many channels were taken so far: their numbers.
    channels: AtomicU64,
}

/// One trunk. The counters outlive the table's entry as long as a call holds a channel.
#[derive(Debug)]
struct State {
    name: Arc<str>,
    channels: channels::Table,
    condition: Mutex<Condition>,
}

/// Where a trunk is, and how it stands.
#[derive(Debug, Default)]
struct Condition {
    /// Lowest priority first.
    ways: Arc<[Server]>,
    flows: Arc<[Flow]>,
    pulses: BTreeMap<Peer, Pulse>,
    /// Of one that registers.
    registered: Option<RegistrationReport>,
    /// As it was told last, since when, and why.
    standing: Standing,
    since: Option<Instant>,
    why: String,
}

/// Which address is meant, whichever of ours leads to it.
type Peer = (Transport, SocketAddr);

const fn peer(flow: Flow) -> Peer {
    (flow.transport, flow.remote)
}

impl Trunks {
    /// No trunks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores the ways to a trunk, each tried before those that follow: [`Trunks::set_servers`].
    pub fn set_flows(&self, trunk: &str, flows: Vec<Flow>) {
        let ways = (0..).zip(flows).map(|(priority, flow)| Server { flow, priority, weight: 0 }).collect();
        self.set_servers(trunk, ways);
    }

    /// Stores where a trunk is (the shell resolves off the call path). An empty list = it does not resolve. The health of an address that stays is kept.
    pub fn set_servers(&self, trunk: &str, mut ways: Vec<Server>) {
        ways.sort_by_key(|way| (way.priority, u16::MAX - way.weight));
        let state = self.state(trunk);
        let mut condition = state.condition();
        condition.pulses.retain(|known, _| ways.iter().any(|way| peer(way.flow) == *known));
        condition.flows = ways.iter().map(|way| way.flow).collect();
        condition.ways = ways.into();
    }

    /// The ways to a trunk, lowest priority first; none for one that is unknown or does not resolve.
    #[must_use]
    pub fn flows(&self, trunk: &str) -> Arc<[Flow]> {
        self.known(trunk).map_or_else(|| Arc::from([]), |state| state.condition().flows.clone())
    }

    /// The ways to a trunk in the order in which a call tries them: where we are registered first, then by priority and weight ([`order()`]); those that are
    /// down come last.
    #[must_use]
    pub fn choose(&self, trunk: &str, random: impl FnOnce() -> Random) -> Vec<Flow> {
        let Some(state) = self.known(trunk) else { return Vec::new() };
        let condition = state.condition();
        if let [only] = condition.ways.as_ref() {
            return vec![only.flow];
        }
        let mut flows = order(&condition.ways, &mut random());
        let home = condition.home();
        // A stable sort: the order stays among equals.
        flows.sort_by_key(|flow| (condition.pulse(*flow).standing == Standing::Down, home != Some(peer(*flow))));
        flows
    }

    /// Channels in use.
    #[must_use]
    pub fn in_use(&self, trunk: &str) -> u32 {
        self.known(trunk).map_or(0, |state| state.channels.taken())
    }

    /// Notes what was seen of one address of a trunk; of an address that is not (any more) one of its own, nothing.
    pub fn note(&self, trunk: &str, flow: Flow, sign: Sign, now: Instant) {
        let Some(state) = self.known(trunk) else { return };
        let mut condition = state.condition();
        if !condition.ways.iter().any(|way| peer(way.flow) == peer(flow)) {
            return;
        }
        let pulse = condition.pulse(flow).on(sign, now);
        condition.pulses.insert(peer(flow), pulse);
        self.look(&state.name, &mut condition, now);
    }

    /// Lets time pass; `asked`: somebody asks it whether it is there. Of one that nobody asks, addresses that have been down for a while are worth another try.
    pub(crate) fn settle(&self, trunk: &str, asked: bool, now: Instant) {
        let state = self.state(trunk);
        let mut condition = state.condition();
        for pulse in condition.pulses.values_mut().filter(|_| !asked) {
            *pulse = pulse.tried_again(now);
        }
        self.look(&state.name, &mut condition, now);
    }

    /// Notes how the registration of a trunk stands; also to be called when its ways have changed.
    pub(crate) fn set_registered(&self, trunk: &str, registered: Option<RegistrationReport>, now: Instant) {
        let state = self.state(trunk);
        let mut condition = state.condition();
        condition.registered = registered;
        self.look(&state.name, &mut condition, now);
    }

    /// How it stands; up, where nothing is known yet.
    #[must_use]
    pub fn standing(&self, trunk: &str) -> Standing {
        self.known(trunk).map_or(Standing::Up, |state| state.condition().judge().0)
    }

    /// Whether one of the last attempts reached it (unknown counts as reachable). Emergency calls do not ask.
    #[must_use]
    pub fn healthy(&self, trunk: &str) -> bool {
        self.known(trunk).is_none_or(|state| {
            let condition = state.condition();
            condition.ways.is_empty() || condition.ways.iter().any(|way| condition.pulse(way.flow).standing != Standing::Down)
        })
    }

    /// How one address of a trunk stands.
    #[must_use]
    pub fn pulse(&self, trunk: &str, flow: Flow) -> Pulse {
        self.known(trunk).map_or_else(Pulse::default, |state| state.condition().pulse(flow))
    }

    /// Whether we are registered at this trunk by this way, so that what comes from there is its.
    #[must_use]
    pub fn registered_at(&self, trunk: &str, flow: Flow) -> bool {
        self.known(trunk).is_some_and(|state| {
            let condition = state.condition();
            let same = |way: &Server| peer(way.flow) == peer(flow);
            condition.registered.is_some() && (condition.ways.iter().any(same) || condition.home() == Some(peer(flow)))
        })
    }

    /// The peer of this connection has proved these names by a certificate; the first sixteen count.
    pub fn prove(&self, connection: u64, mut names: Vec<String>) {
        names.truncate(NAMES);
        self.proved.write().unwrap_or_else(PoisonError::into_inner).insert(connection, names.into());
    }

    /// A connection has ended.
    pub fn forget_connection(&self, connection: u64) {
        if self.proved.read().unwrap_or_else(PoisonError::into_inner).contains_key(&connection) {
            self.proved.write().unwrap_or_else(PoisonError::into_inner).remove(&connection);
        }
    }

    /// Whether the peer of this connection has proved that it has this name. RFC 5922 7.2: "Implementations MUST NOT match any form of wildcard".
    #[must_use]
    pub fn proves(&self, connection: u64, name: &str) -> bool {
        let proved = self.proved.read().unwrap_or_else(PoisonError::into_inner).get(&connection).cloned();
        proved.is_some_and(|names| names.iter().any(|shown| shown.eq_ignore_ascii_case(name)))
    }

    /// Forgets trunks that `keep` refuses. Their calls go on.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.states.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| keep(name));
    }

    /// What has changed since the last call, oldest first.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// How a trunk stands, with everything that an operator may want to know; `None` for one of which nothing is known.
    #[must_use]
    pub fn report(&self, trunk: &str) -> Option<Report> {
        let state = self.known(trunk)?;
        let calls = state.channels.taken();
        let condition = state.condition();
        Some(Report::new(trunk, calls, &condition))
    }

    /// Finds out how a trunk stands, and keeps it to be told when that is new.
    fn look(&self, name: &Arc<str>, condition: &mut Condition, now: Instant) {
        let (standing, why) = condition.judge();
        condition.why = why;
        if condition.standing == standing {
            return;
        }
        let change = Change { trunk: Arc::clone(name), from: condition.standing, to: standing, why: condition.why.clone(), at: now };
        condition.standing = standing;
        condition.since = Some(now);
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= CHANGES {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    fn known(&self, trunk: &str) -> Option<Arc<State>> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(trunk).cloned()
    }

    fn state(&self, trunk: &str) -> Arc<State> {
        if let Some(state) = self.known(trunk) {
            return state;
        }
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(State { name: trunk.into(), channels: channels::Table::default(), condition: Mutex::default() });
        Arc::clone(states.entry(trunk.to_owned()).or_insert_with(fresh))
    }
}

impl State {
    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    fn pulse(&self, flow: Flow) -> Pulse {
        self.pulses.get(&peer(flow)).copied().unwrap_or_default()
    }

    /// Where it is registered.
    fn home(&self) -> Option<Peer> {
        self.registered.as_ref()?.flow.map(peer)
    }

    /// How it stands, and why it is not up.
    fn judge(&self) -> (Standing, String) {
        let Some(first) = self.ways.first() else {
            return (Standing::Down, "it has no address".to_owned());
        };
        let standing = |way: &Server| self.pulse(way.flow).standing;
        let shown = |way: &Server| {
            let (flow, pulse) = (way.flow, self.pulse(way.flow));
            let sign = pulse.failed.map_or_else(String::new, |(sign, _)| sign.to_string());
            format!("{}:{} {sign}", flow.transport.uri_token(), flow.remote)
        };
        let all_down = self.ways.iter().all(|way| standing(way) == Standing::Down);
        // What is kept for the time when the first are gone may be well: the trunk is not.
        let worst = self.ways.iter().take_while(|way| way.priority == first.priority).max_by_key(|way| standing(way)).unwrap_or(first);
        let registration = self.registered.as_ref().and_then(|registered| Some((registered, registered.trouble.as_ref()?)));
        match (standing(worst), registration) {
            (Standing::Down, _) if all_down => (Standing::Down, shown(worst)),
            (_, Some((registered, trouble))) => {
                let what = if registered.until.is_some() { "its registration is not renewed" } else { "it is not registered" };
                (Standing::Degraded, format!("{what}: {}", trouble.why))
            }
            (Standing::Up, None) => (Standing::Up, String::new()),
            (Standing::Degraded | Standing::Down, None) => (Standing::Degraded, shown(worst)),
        }
    }
}
