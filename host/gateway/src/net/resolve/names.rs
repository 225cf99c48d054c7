//! What the name servers say: NAPTR, SRV, A and AAAA.

use super::{ADDRESSES, wanted::Wanted};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};
use sip::transport::Transport;
use std::net::{IpAddr, SocketAddr};
use tokio::time::Instant;

/// Where this machine writes down whom it asks.
const SYSTEM: &str = "/etc/resolv.conf";

/// Addresses that were found: with the priority of their record, and its weight where it has one.
pub(super) struct Answer {
    pub(super) at: Vec<((Transport, SocketAddr), u16, Option<u16>)>,
    /// How long that is so.
    pub(super) until: Option<Instant>,
}

/// Who is asked.
pub(super) struct Names {
    servers: Vec<SocketAddr>,
    resolver: Option<TokioResolver>,
    /// What the system's file said when the resolver was made.
    system: Option<Vec<u8>>,
}

impl Names {
    /// These servers, or the system's when there are none.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        let resolver = Some(servers.as_slice()).filter(|servers| !servers.is_empty()).and_then(|servers| told(asking(servers)));
        Self { servers, resolver, system: None }
    }

    /// The resolver; made anew when the system has other name servers than before, as in another network.
    pub(super) fn resolver(&mut self) -> Option<TokioResolver> {
        if self.servers.is_empty() {
            let system = std::fs::read(SYSTEM).ok();
            if self.resolver.is_none() || system != self.system {
                self.resolver = told(TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build));
                self.system = system;
            }
        }
        self.resolver.clone()
    }
}

fn told<E: std::fmt::Display>(made: Result<TokioResolver, E>) -> Option<TokioResolver> {
    made.map_err(|error| tracing::warn!("no name server can be asked ({error}); trunks must be named by address")).ok()
}

/// A resolver that asks these servers and nobody else.
pub(super) fn asking(servers: &[SocketAddr]) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let server = |server: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.to_vec())
    };
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
    Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
}

/// RFC 3263 4.1 and 4.2.
pub(super) async fn by_name(wanted: &Wanted, names: &TokioResolver) -> Answer {
    // 4.2: "If the URI contains a port, the client performs an A or AAAA record lookup of the domain name" - no SRV.
    if wanted.port.is_none() {
        for (transport, service) in services(wanted, names).await {
            if let Some(answer) = servers(names, &service, transport).await {
                return answer;
            }
        }
    }
    // "If no SRV records were found, the client performs an A or AAAA record lookup of the domain name."
    let transport = wanted.transport.unwrap_or(Transport::Udp);
    let port = wanted.port.unwrap_or_else(|| transport.default_port());
    let (ips, until) = addresses(names, &wanted.host).await;
    Answer { at: ips.into_iter().map(|ip| ((transport, SocketAddr::new(ip, port)), 0, None)).collect(), until }
}

/// The services to look for, best first, and the transport of each.
async fn services(wanted: &Wanted, names: &TokioResolver) -> Vec<(Transport, String)> {
    let service = |transport| {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        (transport, format!("{service}.{}.", wanted.host))
    };
    if let Some(transport) = wanted.transport {
        return vec![service(transport)];
    }
    // 4.1: "if no transport protocol or port is specified, and the target is not a numeric IP address, the client SHOULD perform a NAPTR query".
    let mut found = Vec::new();
    if let Ok(lookup) = names.lookup(format!("{}.", wanted.host), RecordType::NAPTR).await {
        for record in lookup.answers() {
            let RData::NAPTR(naptr) = &record.data else { continue };
            let transport = match naptr.services.to_ascii_uppercase().as_slice() {
                b"SIP+D2U" => Transport::Udp,
                b"SIP+D2T" => Transport::Tcp,
                b"SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            // "a client that […] resolves a SIPS URI MUST discard any services that do not contain "SIPS"".
            if wanted.secure && transport != Transport::Tls || naptr.replacement.is_root() {
                continue;
            }
            found.push(((naptr.order, naptr.preference), (transport, naptr.replacement.to_utf8())));
        }
    }
    if found.is_empty() {
        // "If no NAPTR records are found, the client constructs SRV queries for those transport protocols it supports".
        return [Transport::Udp, Transport::Tcp].map(service).to_vec();
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, service)| service).collect()
}

/// RFC 3263 4.2 and RFC 2782. `None`: there is no such service.
async fn servers(names: &TokioResolver, service: &str, transport: Transport) -> Option<Answer> {
    let lookup = names.srv_lookup(service).await.ok()?;
    let mut records: Vec<_> =
        lookup.answers().iter().filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None }).collect();
    records.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
    let mut answer = Answer { at: Vec::new(), until: Some(valid(&lookup)) };
    for srv in records.into_iter().take(ADDRESSES) {
        // RFC 2782: a target of "." means that the service is decidedly not available.
        if srv.target.is_root() {
            continue;
        }
        let (ips, until) = addresses(names, &srv.target.to_utf8()).await;
        answer.until = answer.until.into_iter().chain(until).min();
        answer.at.extend(ips.into_iter().map(|ip| ((transport, SocketAddr::new(ip, srv.port)), srv.priority, Some(srv.weight))));
    }
    Some(answer).filter(|answer| !answer.at.is_empty())
}

async fn addresses(names: &TokioResolver, host: &str) -> (Vec<IpAddr>, Option<Instant>) {
    match names.lookup_ip(host).await {
        Ok(found) => (found.iter().collect(), Some(valid(found.as_lookup()))),
        Err(_) => (Vec::new(), None),
    }
}

fn valid(lookup: &Lookup) -> Instant {
    Instant::from_std(lookup.valid_until())
}
