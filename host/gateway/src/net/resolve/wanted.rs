//! What a trunk's settings ask for, and what can be said of it without asking anybody.

use super::{
    Found,
    names::{Answer, by_name},
};
use hickory_resolver::TokioResolver;
use sip::{
    transport::Transport,
    uri::{Scheme, Uri},
};
use std::net::{IpAddr, SocketAddr};
use switch::directory::Trunk;
use tokio::time::Instant;

/// The places of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Places(Vec<Place>);

/// One of them, with what RFC 2782 says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    wanted: Wanted,
    priority: u16,
    weight: u16,
    /// What a certificate there must show.
    host: String,
}

/// What a URI asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) transport: Option<Transport>,
    pub(super) secure: bool,
}

/// Of addresses that have no weight of their own: each is as good as the other.
const WEIGHT: u16 = 10;

impl Places {
    /// RFC 3261 8.1.2: requests go to the first of a preloaded route set, which is the outbound proxy; else to what was written down for the trunk, else to
    /// its own URI.
    pub(super) fn of(trunk: &Trunk) -> Self {
        let place = |uri: &str, priority: u16, weight: u16, host: Option<&str>| {
            let wanted = Wanted::of(uri)?;
            Some(Place { priority, weight, host: host.unwrap_or(&wanted.host).to_owned(), wanted })
        };
        // Whoever is at one of several addresses is the trunk: its domain must stand in the certificate, not the address.
        let domain = Wanted::of(&trunk.uri).map(|wanted| wanted.host);
        Self(match (&trunk.reach.outbound_proxy, trunk.reach.addresses.as_slice()) {
            (Some(proxy), _) => place(proxy, 0, WEIGHT, None).into_iter().collect(),
            (None, []) => place(&trunk.uri, 0, WEIGHT, None).into_iter().collect(),
            (None, addresses) => {
                addresses.iter().filter_map(|address| place(&address.uri, address.priority, address.weight, domain.as_deref())).collect()
            }
        })
    }

    /// As text, to be known again.
    pub(super) fn text(&self) -> String {
        let texts = self.0.iter().map(|Place { wanted, priority, weight, host }| {
            let Wanted { host: name, port, transport, secure } = wanted;
            format!("{name} {port:?} {transport:?} {secure} {priority} {weight} {host}")
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// Where it is, when all of it is named by address.
    pub(super) fn by_address(&self) -> Option<Vec<Found>> {
        self.0.iter().map(|place| Some(place.found(place.wanted.by_address()?, place.weight))).collect()
    }

    /// Where it is, by asking, and how long that is so.
    pub(super) async fn by_name(&self, names: &TokioResolver) -> (Vec<Found>, Instant) {
        let mut found = Vec::new();
        let mut until: Option<Instant> = None;
        for place in &self.0 {
            let answer = match place.wanted.by_address() {
                Some(at) => Answer { at: vec![(at, 0, None)], until: None },
                None => by_name(&place.wanted, names).await,
            };
            until = until.into_iter().chain(answer.until).min();
            found.extend(answer.at.into_iter().map(|(at, rank, weight)| (rank, place.found(at, weight.unwrap_or(place.weight)))));
        }
        (ranked(found), until.unwrap_or_else(Instant::now))
    }
}

impl Place {
    fn found(&self, (transport, remote): (Transport, SocketAddr), weight: u16) -> Found {
        Found { transport, remote, priority: self.priority, weight, host: self.host.clone() }
    }
}

/// Priorities of places and, below them, of the records of each become one.
fn ranked(mut found: Vec<(u16, Found)>) -> Vec<Found> {
    found.sort_by_key(|(rank, found)| (found.priority, *rank));
    let mut last = None;
    let mut priority = 0;
    let mut all = Vec::with_capacity(found.len());
    for (rank, found) in found {
        let here = (found.priority, rank);
        if last.is_some_and(|last| last != here) {
            priority += 1;
        }
        last = Some(here);
        all.push(Found { priority, ..found });
    }
    all
}

impl Wanted {
    pub(super) fn of(uri: &str) -> Option<Self> {
        let uri = Uri::parse(uri.as_bytes())?;
        // RFC 3263 4: the maddr parameter, when present, is the target instead of the host.
        let host = uri.param(b"maddr").filter(|m| !m.is_empty()).unwrap_or(uri.host);
        let host = std::str::from_utf8(host).ok()?.trim_matches(['[', ']']).to_owned();
        Some(Self { host, port: uri.port, transport: uri.transport(), secure: uri.scheme == Scheme::Sips })
    }

    /// RFC 3263 4.1 and 4.2: "If the TARGET is a numeric IP address" UDP is used where no transport is named (TLS for sips:), and its default port.
    pub(super) fn by_address(&self) -> Option<(Transport, SocketAddr)> {
        let ip: IpAddr = self.host.parse().ok()?;
        let transport = self.transport.unwrap_or(Transport::Udp);
        Some((transport, SocketAddr::new(ip, self.port.unwrap_or_else(|| transport.default_port()))))
    }
}
