//! Where trunks are: names to addresses, off the call path (RFC 3263, its client side of UDP, TCP and TLS).
//!
//! Every trunk is resolved at start, when what it names has changed, and when an answer of the name servers is over (its time to live, and
//! `resolve_seconds` at the latest). When the name servers do not answer, the last good addresses stay in force, also over a restart: a dead resolver delays no
//! call. Every few seconds it is looked by which of our addresses the system would send: a machine that has moved to another network shows another one.
//!
//! `hickory-resolver` asks: it is kept by those who keep Rust's DNS libraries, and knows NAPTR and times to live; the system's own `getaddrinfo` knows neither.

mod kept;
mod names;
#[cfg(test)]
mod tests;
mod wanted;

use super::connections::Connections;
use crate::config::Listen;
use futures_util::future::join_all;
use kept::Kept;
use names::Names;
use serde::{Deserialize, Serialize};
use sip::transport::{Flow, Transport};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use switch::{directory::Trunk, site::Site, trunk::Server};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use wanted::Places;

/// How long one trunk may take to resolve.
const PATIENCE: Duration = Duration::from_secs(8);
/// Addresses kept per trunk.
const ADDRESSES: usize = 16;
/// An answer that is over sooner is used so long all the same.
const TTL_MIN: Duration = Duration::from_secs(5);
/// What could not be resolved is tried again after this.
const RETRY: Duration = Duration::from_secs(15);
/// How often it is looked whether this machine's own address has changed.
const SOURCES: Duration = Duration::from_secs(5);

/// One address of a trunk as it was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Found {
    transport: Transport,
    remote: SocketAddr,
    priority: u16,
    weight: u16,
    /// What its certificate must show (TLS).
    host: String,
}

/// What is known of a trunk.
struct Known {
    /// What was looked for.
    wanted: Places,
    found: Vec<Found>,
    /// When it is to be looked for again; `None`: never, it needs no name server.
    until: Option<Instant>,
    /// The ways that were made of it last, and whether they have been put in force.
    ways: Vec<Server>,
    put: bool,
}

/// Keeps the addresses of a site's trunks up to date.
pub struct Resolver {
    site: Arc<Site>,
    connections: Arc<Connections>,
    listening: Vec<Listen>,
    servers: Vec<SocketAddr>,
    file: PathBuf,
    known: BTreeMap<String, Known>,
    /// Wakes the task: a new directory is in force.
    pub changed: Arc<Notify>,
}

impl Resolver {
    /// A resolver for the trunks of `site`, which are shown one of the addresses in `listening`. It asks `servers`, or whom this machine asks when there are
    /// none, and writes what it has found into `file`.
    #[must_use]
    pub fn new(site: Arc<Site>, connections: Arc<Connections>, listening: Vec<Listen>, servers: Vec<SocketAddr>, file: PathBuf) -> Self {
        Self { site, connections, listening, servers, file, known: BTreeMap::new(), changed: Arc::default() }
    }

    /// Puts in force what can be known without waiting: trunks that are named by address, and where the others were when this gateway ran last. Calls can go
    /// out as soon as it listens, whatever has become of the name servers.
    pub fn addresses_first(&mut self) {
        let kept = Kept::read(&self.file);
        for trunk in self.site.directory().trunks.clone() {
            let wanted = Places::of(&trunk);
            let (found, until) = match wanted.by_address() {
                Some(found) => (found, None),
                None => (kept.of(&trunk.name, &wanted), Some(Instant::now())),
            };
            self.known.insert(trunk.name.clone(), Known { wanted, found, until, ways: Vec::new(), put: false });
            self.put(&trunk);
        }
    }

    /// Keeps all trunks resolved, for ever; an answer is used for `longest` at most.
    pub async fn run(mut self, longest: Duration) {
        let mut names = Names::new(std::mem::take(&mut self.servers));
        loop {
            let trunks = self.site.directory().trunks.clone();
            self.known.retain(|name, _| trunks.iter().any(|trunk| trunk.name == *name));
            self.look_up(&trunks, &mut names, longest).await;
            for trunk in &trunks {
                self.put(trunk);
            }
            let due = self.known.values().filter_map(|known| known.until).min();
            let sleep = due.map_or(SOURCES, |due| due.saturating_duration_since(Instant::now())).min(SOURCES);
            // Either way it is time.
            timeout(sleep.max(Duration::from_millis(100)), self.changed.notified()).await.ok();
        }
    }

    /// Looks for every trunk that is new, changed or due, all at once.
    async fn look_up(&mut self, trunks: &[Arc<Trunk>], names: &mut Names, longest: Duration) {
        let now = Instant::now();
        let mut asked = Vec::new();
        for trunk in trunks {
            let wanted = Places::of(trunk);
            let same = self.known.get(&trunk.name).filter(|known| known.wanted == wanted);
            if same.is_some_and(|known| known.until.is_none_or(|until| until > now)) {
                continue;
            }
            if let Some(found) = wanted.by_address() {
                self.known.insert(trunk.name.clone(), Known { wanted, found, until: None, ways: Vec::new(), put: false });
                // It does not wait for the names of others.
                self.put(trunk);
                continue;
            }
            asked.push((trunk.name.clone(), wanted));
        }
        if asked.is_empty() {
            return;
        }
        let resolver = names.resolver();
        let looked = asked.iter().map(|(_, wanted)| async {
            match &resolver {
                Some(resolver) => timeout(PATIENCE, wanted.by_name(resolver)).await.map_err(|_| "the name servers do not answer"),
                None => Err("this machine's name servers cannot be read"),
            }
        });
        let answers = join_all(looked).await;
        let mut changed = false;
        for ((name, wanted), answer) in asked.into_iter().zip(answers) {
            let before = self.known.remove(&name).filter(|known| known.wanted == wanted);
            let (found, until) = match answer {
                Ok((found, until)) if !found.is_empty() => {
                    changed |= before.as_ref().is_none_or(|before| before.found != found);
                    (found, until.clamp(now + TTL_MIN, now + longest.max(TTL_MIN)))
                }
                Ok(_) => (self.keep(&name, "its name has no address", before.as_ref()), now + RETRY),
                Err(why) => (self.keep(&name, why, before.as_ref()), now + RETRY),
            };
            let put = before.as_ref().is_some_and(|before| before.put && before.found == found);
            let ways = before.map(|before| before.ways).unwrap_or_default();
            self.known.insert(name, Known { wanted, found, until: Some(until), ways, put });
        }
        if changed {
            let named = self.known.iter().filter(|(_, known)| known.until.is_some());
            if let Err(error) = Kept::write(&self.file, named.map(|(name, known)| (name, &known.wanted, &known.found))) {
                tracing::warn!("where trunks are is not known after a restart until the name servers answer: {error:#}");
            }
        }
    }

    fn keep(&self, trunk: &str, why: &str, before: Option<&Known>) -> Vec<Found> {
        let found = before.map(|before| before.found.clone()).unwrap_or_default();
        let kept = if found.is_empty() { "it cannot be called" } else { "its last addresses stay in force" };
        tracing::warn!(trunk, "trunk not resolved: {why}; {kept}");
        found
    }

    /// Makes ways of what was found, as this machine stands now, and puts them in force when they are new.
    fn put(&mut self, trunk: &Trunk) {
        let Some(known) = self.known.get(&trunk.name) else { return };
        let way = |found: &Found| {
            let flow = flow(&self.listening, found.transport, found.remote)?;
            Some(Server { flow, priority: found.priority, weight: found.weight })
        };
        let ways: Vec<Server> = known.found.iter().filter_map(way).take(ADDRESSES).collect();
        // A trunk that went and came back has been forgotten.
        let there = ways.is_empty() || !self.site.trunks.flows(&trunk.name).is_empty();
        if known.put && ways == known.ways && there {
            return;
        }
        if let (Some(found), true) = (known.found.first(), ways.is_empty()) {
            let (transport, remote) = (found.transport.uri_token(), found.remote);
            tracing::warn!(
                trunk = trunk.name,
                "no address of this gateway leads to {transport}:{remote}; add a {transport} address of that kind to `listen` under [sip]"
            );
        }
        for found in known.found.iter().filter(|found| found.transport == Transport::Tls) {
            self.connections.expect_name(found.remote, &found.host);
        }
        if ways != known.ways {
            tracing::info!(trunk = trunk.name, ways = ?ways.iter().map(|way| way.flow).collect::<Vec<_>>(), "trunk resolved");
        }
        self.site.trunks.set_servers(&trunk.name, ways.clone());
        if let Some(known) = self.known.get_mut(&trunk.name) {
            known.ways = ways;
            known.put = true;
        }
    }
}

/// The way to an address: from the listener of that transport that the system would send from, else from any that can.
fn flow(listening: &[Listen], transport: Transport, remote: SocketAddr) -> Option<Flow> {
    let source = source_towards(remote);
    let usable = |l: &&Listen| {
        l.transport == transport && l.address.is_ipv4() == remote.is_ipv4() && (!l.address.ip().is_loopback() || remote.ip().is_loopback())
    };
    let listeners = || listening.iter().filter(usable);
    let local = listeners().find(|l| Some(l.address.ip()) == source).or_else(|| listeners().next())?;
    Some(Flow { transport, local: local.address, remote, connection: 0 })
}

/// The address that the system would send from. Nothing is sent to find out.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
