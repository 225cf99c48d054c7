//! How a trunk is reached and kept, as the operator wrote it down.

use sip::uri::Uri;
use std::time::Duration;

/// How a trunk is reached, registered at and asked about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// The provider wants to be told where we are.
    pub register: Option<Register>,
    /// A `sip:` URI. What it names is resolved instead of the trunk's own URI, and stands in Route of every request that begins something.
    pub outbound_proxy: Option<String>,
    /// Where the provider is, instead of what its URI resolves to; empty: its URI says it.
    pub addresses: Vec<Address>,
    /// How often it is asked with OPTIONS whether it is there; `None`: never.
    pub options: Option<Duration>,
    /// A name that its TLS certificate shows. Who proves it calls in over this trunk, wherever it comes from.
    pub certificate: Option<String>,
}

/// A registration at the provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// User part of the address that is registered, and of its Contact.
    pub user: String,
    /// How many seconds are asked for.
    pub seconds: u32,
}

/// One of several places of a trunk (the fields of RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// A `sip:` URI: host, port and transport count.
    pub uri: String,
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals one of twice the weight is chosen twice as often.
    pub weight: u16,
}

impl Reach {
    /// The Route of requests through the outbound proxy: its URI with `;lr` (RFC 3261 8.1.2: a preloaded route set of loose routers); `None` without one.
    #[must_use]
    pub fn route(&self) -> Option<String> {
        let proxy = self.outbound_proxy.as_deref()?;
        let loose = Uri::parse(proxy.as_bytes())?.param(b"lr").is_some();
        Some(if loose { format!("<{proxy}>") } else { format!("<{proxy};lr>") })
    }
}
