//! The site's directory: endpoints, users, trunks, locations, licence pools, emergency numbers. Immutable; a new configuration is a new one.
//!
//! Endpoints of the configuration have an extension of their own. Those that the store keeps ([`roster`]) are assigned to users, whose extension it is:
//! a user stands here as one more [`Endpoint`] that cannot register and rings wherever its phones are ([`Directory::phones`]).

mod calling;
pub mod help;
mod place;
mod pool;
pub mod record;
pub mod roster;
mod rules;
mod users;

pub use calling::{CallSettings, Forwarded};
pub use help::Emergency;
pub use place::{Civic, Location};
pub use pool::{Per, Pool};
pub use rules::read_mac;
pub use users::LeftOut;

use crate::{
    park::Park,
    registrar::Survivable,
    toll::Ceilings,
    trunk::{Capacity, Reach, TrunkManners},
    zone::Zone,
};
use ipnet::IpNet;
use sip::digest::Ha1;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// A phone's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Unique, never reused.
    pub id: String,
    /// What others dial.
    pub extension: String,
    /// Digest user; may differ from the extension.
    pub username: String,
    /// Hashes of the password.
    pub ha1: Ha1,
    /// Display name.
    pub name: String,
    /// A disabled endpoint may not register and calls emergency numbers only.
    pub enabled: bool,
    /// Licence pool.
    pub licence: Option<String>,
    /// Location by name.
    pub location: Option<String>,
    /// Hardware address, twelve lower-case hexadecimal digits.
    pub mac: Option<String>,
    /// Direct numbers, in the form in which trunks present them.
    pub numbers: Vec<String>,
}

/// Who may call in over a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Any port of an address or network.
    Network(IpNet),
    /// One address and port.
    Address(SocketAddr),
}

impl Source {
    /// Whether `remote` is meant.
    #[must_use]
    pub fn contains(&self, remote: SocketAddr) -> bool {
        match self {
            Self::Network(network) => network_contains(network, remote.ip()),
            Self::Address(address) => address.port() == remote.port() && address.ip().to_canonical() == remote.ip().to_canonical(),
        }
    }
}

/// Whether `address` lies in `network`; an IPv4 address that arrived on an IPv6 socket (`::ffff:192.0.2.1`) is the IPv4 address.
#[must_use]
pub fn network_contains(network: &IpNet, address: IpAddr) -> bool {
    network.contains(&address.to_canonical())
}

/// A number pattern: literal characters, and `%` for any run of digits (also none).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberPattern(pub String);

impl NumberPattern {
    /// Whether `number` matches as a whole. Takes at most as many steps as the two lengths multiplied.
    #[must_use]
    pub fn matches(&self, number: &str) -> bool {
        let mut pattern = self.0.as_bytes();
        let mut rest = number.as_bytes();
        // Where to go on when what follows the last `%` does not fit: the pattern behind it, and what it has not swallowed yet. Only the
        // last one needs another try: the first place where a literal fits leaves most to the `%` behind it.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (None, None) => return true,
                (Some((b'%', behind)), _) => {
                    retry = Some((behind, rest));
                    pattern = behind;
                }
                (Some((wanted, behind)), Some((found, left))) if wanted == found => {
                    pattern = behind;
                    rest = left;
                }
                _ => match retry {
                    Some((behind, [digit, left @ ..])) if digit.is_ascii_digit() => {
                        retry = Some((behind, left));
                        pattern = behind;
                        rest = left;
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// A SIP trunk.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Trunk {
    /// Name.
    pub name: String,
    /// Where calls go, e.g. `sip:192.0.2.10:5060;transport=udp`.
    pub uri: String,
    /// Who may call in.
    pub sources: Vec<Source>,
    /// Digest user towards the provider.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Inbound numbers that it owns.
    pub numbers: Vec<NumberPattern>,
    /// How calls go over it.
    pub manners: TrunkManners,
    /// How it is reached and kept.
    pub reach: Reach,
    /// How many calls it carries at a time.
    pub channels: Capacity,
    /// What becomes of the place of a caller for help.
    pub geolocation: help::Geolocation,
}

/// Without the password: what is printed for debugging ends up in logs.
impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, uri, sources, username, password, numbers, manners, reach, channels, geolocation } = self;
        f.debug_struct("Trunk")
            .field("name", name)
            .field("uri", uri)
            .field("sources", sources)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| "(secret)"))
            .field("numbers", numbers)
            .field("manners", manners)
            .field("reach", reach)
            .field("channels", channels)
            .field("geolocation", geolocation)
            .finish()
    }
}

/// What phones can dial to get something done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Before an extension: take the call that rings there. Alone: take one that rings at a phone of the own location. Empty: there is no such code.
    pub pickup: String,
}

/// Everything the operator wrote down about the site, indexed.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Digest realm and our own domain.
    pub domain: String,
    /// Endpoints in the order of the configuration, then those of the store by id.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Pools.
    pub pools: Vec<Pool>,
    /// Trunks.
    pub trunks: Vec<Arc<Trunk>>,
    /// Emergency rules.
    pub emergency: Emergency,
    /// Locations.
    pub locations: Vec<Location>,
    /// Codes that phones dial.
    pub features: Features,
    /// Park slots.
    pub park: Park,
    /// What calls to the outside may cost at most.
    pub tolls: Ceilings,
    /// How registrations are shortened; `None`: not at all.
    pub survivable: Option<Survivable>,
    /// What endpoints of the configuration may dial, by id: classes that the policies know.
    pub dial_classes: BTreeMap<String, String>,
    /// The clock of the site, as policies see it.
    pub zone: Zone,
    // Shared by all copies: a copy of a directory is kept beside the one in force.
    by_id: Arc<HashMap<String, Place>>,
    by_extension: Arc<HashMap<String, Place>>,
    by_username: Arc<HashMap<String, usize>>,
    by_number: Arc<HashMap<String, Place>>,
    users: users::Users,
    /// So many of `endpoints` stand in the configuration; the store's follow.
    configured: usize,
}

/// Where somebody stands who is found by a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In `endpoints`.
    Endpoint(usize),
    /// In `users`.
    User(usize),
}

impl Directory {
    /// Indexes a site without park slots, whose clock is UTC's, where registrations last as long as phones ask. Ids, extensions, usernames and numbers must be unique; the caller has reported duplicates, here the first wins.
    #[must_use]
    pub fn new(
        domain: String,
        endpoints: Vec<Endpoint>,
        pools: Vec<Pool>,
        trunks: Vec<Trunk>,
        emergency: Emergency,
        locations: Vec<Location>,
    ) -> Self {
        let endpoints: Vec<Arc<Endpoint>> = endpoints.into_iter().map(Arc::new).collect();
        let mut by_id = HashMap::with_capacity(endpoints.len());
        let mut by_extension = HashMap::with_capacity(endpoints.len());
        let mut by_username = HashMap::with_capacity(endpoints.len());
        let mut by_number = HashMap::new();
        for (place, endpoint) in endpoints.iter().enumerate() {
            by_id.entry(endpoint.id.clone()).or_insert(Place::Endpoint(place));
            by_extension.entry(endpoint.extension.clone()).or_insert(Place::Endpoint(place));
            by_username.entry(endpoint.username.clone()).or_insert(place);
            for number in &endpoint.numbers {
                by_number.entry(number.clone()).or_insert(Place::Endpoint(place));
            }
        }
        let trunks = trunks.into_iter().map(Arc::new).collect();
        Self {
            configured: endpoints.len(),
            domain,
            endpoints,
            pools,
            trunks,
            emergency,
            locations,
            features: Features::default(),
            park: Park::default(),
            tolls: Ceilings::default(),
            survivable: None,
            dial_classes: BTreeMap::new(),
            zone: Zone::default(),
            by_id: Arc::new(by_id),
            by_extension: Arc::new(by_extension),
            by_username: Arc::new(by_username),
            by_number: Arc::new(by_number),
            users: users::Users::default(),
        }
    }

    fn at(&self, place: Place) -> Option<&Arc<Endpoint>> {
        match place {
            Place::Endpoint(place) => self.endpoints.get(place),
            Place::User(place) => self.users.entry(place),
        }
    }

    /// By id: an endpoint or a user.
    #[must_use]
    pub fn endpoint(&self, id: &str) -> Option<&Arc<Endpoint>> {
        self.by_id.get(id).and_then(|place| self.at(*place))
    }
    /// By extension: an endpoint of the configuration or a user.
    #[must_use]
    pub fn by_extension(&self, extension: &str) -> Option<&Arc<Endpoint>> {
        self.by_extension.get(extension).and_then(|place| self.at(*place))
    }
    /// By digest user: an endpoint, never a user, who has no password.
    #[must_use]
    pub fn by_username(&self, username: &str) -> Option<&Arc<Endpoint>> {
        self.by_username.get(username).and_then(|i| self.endpoints.get(*i))
    }
    /// By direct number.
    #[must_use]
    pub fn by_number(&self, number: &str) -> Option<&Arc<Endpoint>> {
        self.by_number.get(number).and_then(|place| self.at(*place))
    }
    /// By name.
    #[must_use]
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|t| t.name == name)
    }
    /// The trunk whose sources contain this address; the first of the configuration wins.
    #[must_use]
    pub fn trunk_from(&self, remote: SocketAddr) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|t| t.sources.iter().any(|s| s.contains(remote)))
    }
    /// By name.
    #[must_use]
    pub fn location(&self, name: &str) -> Option<&Location> {
        self.locations.iter().find(|l| l.name == name)
    }
    /// The location with the narrowest network that contains this address.
    #[must_use]
    pub fn location_of(&self, address: IpAddr) -> Option<&Location> {
        let mut narrowest: Option<(u8, &Location)> = None;
        for location in &self.locations {
            for network in location.networks.iter().filter(|n| network_contains(n, address)) {
                if narrowest.is_none_or(|(length, _)| network.prefix_len() > length) {
                    narrowest = Some((network.prefix_len(), location));
                }
            }
        }
        narrowest.map(|(_, location)| location)
    }

    /// Who needs the seat of a pool for this endpoint to be registered: the endpoint itself, or its first user.
    #[must_use]
    pub fn seat_holder<'a>(&'a self, pool: &str, endpoint: &'a str) -> &'a str {
        match self.pools.iter().find(|known| known.pool == pool).map(|known| known.per) {
            Some(Per::User) => self.line_of(endpoint),
            Some(Per::Endpoint) | None => endpoint,
        }
    }

    /// The endpoint that the user part of an address of record names: its extension, digest user, id, or one of its numbers.
    ///
    /// Phones whose digest user is not their extension write either of them into To of a REGISTER.
    #[must_use]
    pub fn by_user(&self, user: &str) -> Option<&Arc<Endpoint>> {
        self.by_extension(user).or_else(|| self.by_username(user)).or_else(|| self.endpoint(user)).or_else(|| self.by_number(user))
    }
}

#[cfg(test)]
mod tests;
