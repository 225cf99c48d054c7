//! Where trunks are: names to addresses, off the call path (RFC 3263, its server side of UDP, TCP and TLS).
//!
//! Every trunk is resolved at start, after each reload and at regular intervals. When the name servers do not answer, the last good
//! addresses stay in force: a dead resolver delays no call.

use super::connections::Connections;
use crate::config::Listen;
use hickory_resolver::{TokioResolver, proto::rr::RData};
use sip::{
    transport::{Flow, Transport},
    uri::Uri,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use switch::{directory::Trunk, site::Site};
use tokio::{sync::Notify, time::timeout};

/// How long one trunk may take to resolve.
const PATIENCE: Duration = Duration::from_secs(8);
/// Addresses kept per trunk.
const ADDRESSES: usize = 16;

/// Keeps the addresses of a site's trunks up to date.
pub struct Resolver {
    site: Arc<Site>,
    connections: Arc<Connections>,
    listening: Vec<Listen>,
    /// Wakes the task: a new directory is in force.
    pub changed: Arc<Notify>,
}

impl Resolver {
    /// A resolver for the trunks of `site`, which are shown one of the addresses in `listening`.
    #[must_use]
    pub fn new(site: Arc<Site>, connections: Arc<Connections>, listening: Vec<Listen>) -> Self {
        Self { site, connections, listening, changed: Arc::default() }
    }

    /// Resolves every trunk whose URI names an address, at once and without waiting: calls can go out as soon as the gateway listens.
    pub fn addresses_first(&self) {
        for trunk in &self.site.directory().trunks {
            if let Some(found) = Wanted::of(trunk).and_then(|wanted| wanted.by_address()) {
                self.put(trunk, &[found], &mut BTreeMap::new());
            }
        }
    }

    /// Resolves all trunks now, after each change and every `interval`, for ever.
    pub async fn run(self, interval: Duration) {
        let names = match TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build) {
            Ok(resolver) => Some(resolver),
            Err(error) => {
                tracing::warn!("this machine's name servers cannot be read ({error}); trunks must be named by address");
                None
            }
        };
        let mut last = BTreeMap::new();
        loop {
            for trunk in &self.site.directory().trunks {
                self.resolve(trunk, names.as_ref(), &mut last).await;
            }
            // Either way it is time.
            timeout(interval, self.changed.notified()).await.ok();
        }
    }

    async fn resolve(&self, trunk: &Trunk, names: Option<&TokioResolver>, last: &mut BTreeMap<String, Vec<Flow>>) {
        let Some(wanted) = Wanted::of(trunk) else { return };
        if let Some(found) = wanted.by_address() {
            return self.put(trunk, &[found], last);
        }
        let Some(names) = names else { return };
        match timeout(PATIENCE, wanted.by_name(names)).await {
            Ok(found) if !found.is_empty() => self.put(trunk, &found, last),
            Ok(_) => self.keep(trunk, "its name has no address", last),
            Err(_) => self.keep(trunk, "the name servers do not answer", last),
        }
    }

    fn keep(&self, trunk: &Trunk, why: &str, last: &BTreeMap<String, Vec<Flow>>) {
        let kept = if last.contains_key(&trunk.name) { "its last addresses stay in force" } else { "it cannot be called" };
        tracing::warn!(trunk = trunk.name, "trunk not resolved: {why}; {kept}");
    }

    fn put(&self, trunk: &Trunk, found: &[(Transport, SocketAddr)], last: &mut BTreeMap<String, Vec<Flow>>) {
        let flows: Vec<Flow> = found.iter().filter_map(|(transport, remote)| self.flow(*transport, *remote)).take(ADDRESSES).collect();
        if flows.is_empty() {
            let (transport, remote) = found.first().map_or(("udp", String::new()), |(t, a)| (t.uri_token(), a.to_string()));
            tracing::warn!(
                trunk = trunk.name,
                "no address of this gateway leads to {transport}:{remote}; add a {transport} address of that kind to `listen` under [sip]"
            );
        }
        if let Some(wanted) = Wanted::of(trunk) {
            for flow in flows.iter().filter(|f| f.transport == Transport::Tls) {
                self.connections.expect_name(flow.remote, &wanted.host);
            }
        }
        if last.get(&trunk.name) != Some(&flows) {
            tracing::info!(trunk = trunk.name, ways = ?flows, "trunk resolved");
            last.insert(trunk.name.clone(), flows.clone());
        }
        self.site.trunks.set_flows(&trunk.name, flows);
    }

    /// The way to an address: from the listener of that transport that the system would send from, else from any that can.
    fn flow(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let source = source_towards(remote);
        let usable = |l: &&Listen| {
            l.transport == transport
                && l.address.is_ipv4() == remote.is_ipv4()
                && (!l.address.ip().is_loopback() || remote.ip().is_loopback())
        };
        let listeners = || self.listening.iter().filter(usable);
        let local = listeners().find(|l| Some(l.address.ip()) == source).or_else(|| listeners().next())?;
        Some(Flow { transport, local: local.address, remote, connection: 0 })
    }
}

/// The address that the system would send from. Nothing is sent to find out.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What a trunk's URI asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    host: String,
    port: Option<u16>,
    transport: Option<Transport>,
}

impl Wanted {
    fn of(trunk: &Trunk) -> Option<Self> {
        let uri = Uri::parse(trunk.uri.as_bytes())?;
        // RFC 3263 4: the maddr parameter, when present, is the target instead of the host.
        let host = uri.param(b"maddr").filter(|m| !m.is_empty()).unwrap_or(uri.host);
        let host = std::str::from_utf8(host).ok()?.trim_matches(['[', ']']).to_owned();
        Some(Self { host, port: uri.port, transport: uri.transport() })
    }

    /// RFC 3263 4.1 and 4.2: "If the TARGET is a numeric IP address" UDP is used where no transport is named (TLS for sips:), and its default port.
    fn by_address(&self) -> Option<(Transport, SocketAddr)> {
        let ip: IpAddr = self.host.parse().ok()?;
        let transport = self.transport.unwrap_or(Transport::Udp);
        Some((transport, SocketAddr::new(ip, self.port.unwrap_or_else(|| transport.default_port()))))
    }

    async fn by_name(&self, names: &TokioResolver) -> Vec<(Transport, SocketAddr)> {
        // 4.2: "If the URI contains a port, the client performs an A or AAAA record lookup of the domain name" - no SRV.
        if self.port.is_none() {
            let candidates = self.transport.map_or_else(|| vec![Transport::Udp, Transport::Tcp], |t| vec![t]);
            for transport in candidates {
                let found = services(names, &self.host, transport).await;
                if !found.is_empty() {
                    return found;
                }
            }
        }
        // "If no SRV records were found, the client performs an A or AAAA record lookup of the domain name."
        let transport = self.transport.unwrap_or(Transport::Udp);
        let port = self.port.unwrap_or_else(|| transport.default_port());
        addresses(names, &self.host).await.into_iter().map(|ip| (transport, SocketAddr::new(ip, port))).collect()
    }
}

/// RFC 3263 4.2 and RFC 2782: lower priority first; among equals the heavier first.
async fn services(names: &TokioResolver, host: &str, transport: Transport) -> Vec<(Transport, SocketAddr)> {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    let Ok(lookup) = names.srv_lookup(format!("{service}.{host}.")).await else { return Vec::new() };
    let mut records: Vec<_> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        })
        .collect();
    records.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
    let mut found = Vec::new();
    for srv in records.into_iter().take(ADDRESSES) {
        // RFC 2782: a target of "." means that the service is decidedly not available.
        if srv.target.is_root() {
            continue;
        }
        found.extend(addresses(names, &srv.target.to_utf8()).await.into_iter().map(|ip| (transport, SocketAddr::new(ip, srv.port))));
    }
    found
}

async fn addresses(names: &TokioResolver, host: &str) -> Vec<IpAddr> {
    names.lookup_ip(host).await.map(|found| found.iter().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
