//! URIs as views: `sip:`, `sips:`, `tel:`, `urn:service:*`, and any other scheme as opaque text (RFC 3261 19.1, RFC 3966, RFC 5031).
//! SKELETON: signatures are the contract.

use crate::transport::Transport;

/// What kind of URI it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `urn:`
    Urn,
    /// Any other.
    Other,
}

/// A URI read without copying.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole URI as received.
    pub raw: &'a [u8],
    /// Which scheme.
    pub scheme: Scheme,
    /// User part as received (escapes kept, password not included); the number of `tel:`; what follows `urn:`; empty where there is none.
    pub user: &'a [u8],
    /// Host, brackets kept for IPv6; empty for `tel:` and `urn:`.
    pub host: &'a [u8],
    /// Port, when written.
    pub port: Option<u16>,
    /// URI parameters beginning with `;`, or empty.
    pub params: &'a [u8],
    /// What follows `?`, without it; empty when nothing does.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` when it is not one (no scheme, white space, unbalanced brackets, bad port, no host in `sip:`).
    #[must_use]
    pub fn parse(_text: &'a [u8]) -> Option<Self> { todo!() }
    /// A URI parameter by name in any case; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, _name: &[u8]) -> Option<&'a [u8]> { todo!() }
    /// The user part with `%xx` decoded and, for `;`-parameters inside the user (RFC 3966 in sip:), only what precedes them.
    /// Invalid escapes stay as they are. `%00` decodes to NUL and never cuts.
    #[must_use]
    pub fn user_decoded(&self) -> std::borrow::Cow<'a, [u8]> { todo!() }
    /// The `transport` parameter; else what the scheme implies (`sips:` = TLS); else `None`.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> { todo!() }
    /// Whether two URIs name the same resource (RFC 3261 19.1.4): user exact after unescaping, host in any case, port and the
    /// parameters user, ttl, method, maddr, transport equal where present in either.
    #[must_use]
    pub fn same_resource(&self, _other: &Uri<'_>) -> bool { todo!() }
    /// The host as an address when it is one.
    #[must_use]
    pub fn address(&self) -> Option<std::net::IpAddr> { todo!() }
}
