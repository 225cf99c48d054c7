//! Where a phone registers: the entries of `SIP_CONTROLLER_LIST`, `[label=]host[:port][;transport=tls|tcp|udp|auto]`, joined by commas.
//!
//! Without a transport an entry means TLS, without a port 5061 for TLS and 5060 for TCP and UDP (Avaya 9608 guide, page 104; template of 2022). The label (`sip1vs=`) stands
//! in the example of Avaya's persistent gateway and is explained nowhere: it is kept and not interpreted.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// How a phone connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TLS over TCP; port 5061 unless another is named.
    Tls,
    /// TCP; port 5060 unless another is named.
    Tcp,
    /// UDP; port 5060 unless another is named.
    Udp,
    /// What the name's NAPTR record says.
    Auto,
}

impl Transport {
    /// The port when none is named; none for [`Transport::Auto`].
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        match self {
            Self::Tls => Some(5061),
            Self::Tcp | Self::Udp => Some(5060),
            Self::Auto => None,
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        [Self::Tls, Self::Tcp, Self::Udp, Self::Auto].into_iter().find(|known| name.eq_ignore_ascii_case(known.to_string().as_bytes()))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Auto => "auto",
        })
    }
}

/// This gateway as phones are to find it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controller {
    host: String,
    port: u16,
    transport: Transport,
}

/// Why a phone could not use a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// IPv6.
    #[error("an IPv6 address cannot stand in SIP_CONTROLLER_LIST; give the gateway's name or IPv4 address")]
    Ipv6,
    /// Neither a host name nor an IPv4 address.
    #[error("this is neither a host name nor an IPv4 address; write HOST or HOST:PORT, like 192.0.2.10 or holdfast.example.net:5061")]
    Host,
    /// Not a port.
    #[error("the port is a number from 1 to 65535; write HOST:PORT, like 192.0.2.10:5061")]
    Port,
    /// Not TLS or TCP.
    #[error("phones reach their persistent gateway over tls or tcp")]
    Transport,
}

impl Controller {
    /// `HOST` or `HOST:PORT`; without a port the transport's own.
    ///
    /// # Errors
    /// Why a phone could not use it. The transport is TLS or TCP: the two that Avaya's persistent gateway names.
    pub fn new(place: &str, transport: Transport) -> Result<Self, Unusable> {
        let Some(default) = transport.port().filter(|_| transport != Transport::Udp) else { return Err(Unusable::Transport) };
        if place.starts_with('[') || place.bytes().filter(|octet| *octet == b':').count() > 1 {
            return Err(Unusable::Ipv6);
        }
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, u16::from_str(port).ok().filter(|port| *port > 0).ok_or(Unusable::Port)?),
            None => (place, default),
        };
        if host.parse::<Ipv4Addr>().is_err() && !is_name(host) {
            return Err(Unusable::Host);
        }
        Ok(Self { host: host.to_owned(), port, transport })
    }

    /// The name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How phones connect.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }
}

impl fmt::Display for Controller {
    /// As an entry of the list. Port and transport are always written: what an entry means without them is the trap that installers fall into.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, transport } = self;
        write!(f, "{host}:{port};transport={transport}")
    }
}

/// RFC 1123 2.1: letters, digits and hyphens between dots. All digits behind the last dot would be a broken address.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|octet| octet.is_ascii_digit())
}

/// One entry of a list, as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// With the blanks around it; nothing but blanks between two commas is an entry, too.
    pub written: &'a [u8],
    /// What stands before `=`.
    pub label: Option<&'a [u8]>,
    /// Name or address.
    pub host: &'a [u8],
    /// What stands behind the colon.
    pub port: Option<&'a [u8]>,
    /// What stands behind `transport=`.
    pub transport: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// The entries of a value. A value of 255 characters has 256 at most.
    pub fn list(value: &'a [u8]) -> impl Iterator<Item = Self> {
        value.split(|octet| *octet == b',').map(Self::new)
    }

    fn new(written: &'a [u8]) -> Self {
        let (place, parameters) = cut(written.trim_ascii(), b';');
        let (label, place) = match cut(place, b'=') {
            (label, Some(place)) => (Some(label), place),
            (place, None) => (None, place),
        };
        let colons = place.iter().filter(|octet| **octet == b':').count();
        let (host, port) = match cut(place, b']') {
            // An IPv6 address in brackets, with or without a port behind it.
            (address, Some(behind)) => (place.split_at(address.len() + 1).0, behind.strip_prefix(b":")),
            _ if colons == 1 => cut(place, b':'),
            _ => (place, None),
        };
        let transport =
            parameters.into_iter().flat_map(|p| p.split(|octet| *octet == b';')).find_map(|parameter| match cut(parameter, b'=') {
                (name, Some(value)) if name.trim_ascii().eq_ignore_ascii_case(b"transport") => Some(value.trim_ascii()),
                _ => None,
            });
        Self { written, label, host, port, transport }
    }

    /// Nothing but blanks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written.trim_ascii().is_empty()
    }

    /// Whether the host is an address and not a name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.host.contains(&b':') || std::str::from_utf8(self.host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok())
    }

    /// How a phone connects; `None` when the entry names something that no phone knows.
    #[must_use]
    pub fn way(&self) -> Option<Transport> {
        self.transport.map_or(Some(Transport::Tls), Transport::named)
    }

    /// To which port a phone connects.
    ///
    /// # Errors
    /// When what is written is none.
    pub fn port(&self) -> Result<Option<u16>, Unusable> {
        match self.port {
            Some(port) => std::str::from_utf8(port).ok().and_then(|p| p.parse().ok()).filter(|p| *p > 0).map(Some).ok_or(Unusable::Port),
            None => Ok(self.way().and_then(Transport::port)),
        }
    }

    /// Whether it leads to the same host, whatever the port.
    pub(super) fn is_at(&self, controller: &Controller) -> bool {
        self.host.eq_ignore_ascii_case(controller.host.as_bytes())
    }

    /// Whether it means the same place, however it is written.
    #[must_use]
    pub fn means(&self, controller: &Controller) -> bool {
        self.is_at(controller) && self.way() == Some(controller.transport) && self.port() == Ok(Some(controller.port))
    }
}

/// What stands before and behind the first `at`.
fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |octet| *octet == at);
    (parts.next().unwrap_or_default(), parts.next())
}
