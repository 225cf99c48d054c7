//! Header names and the typed views of the header values that the gateway itself reads (RFC 3261 section 20).
//! SKELETON: signatures are the contract with the other crates; bodies to be written.

use crate::uri::Uri;

/// The header fields that some part of the gateway reads or writes; all others are [`Name::Other`] and relayed as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Name {
    Accept, Allow, AllowEvents, Authorization, CallId, Contact, ContentLength, ContentType, CSeq, Diversion, Event, Expires,
    From, Geolocation, HistoryInfo, Identity, MaxForwards, MinExpires, MinSe, PAssertedIdentity, PPreferredIdentity, Path, Priority, Privacy,
    ProxyAuthenticate, ProxyAuthorization, ProxyRequire, RAck, RSeq, Reason, RecordRoute, ReferTo, ReferredBy, RemotePartyId, Replaces,
    Require, ResourcePriority, RetryAfter, Route, Server, SessionExpires, SubscriptionState, Supported, To, Unsupported, UserAgent, Via,
    Warning, WwwAuthenticate, Date, ServiceRoute,
    Other,
}

impl Name {
    /// The name as it is printed, e.g. `Call-ID`; empty for [`Name::Other`].
    #[must_use]
    pub const fn canonical(self) -> &'static str { todo!() }
    /// Recognises long and compact forms in any case.
    #[must_use]
    pub fn from_bytes(_name: &[u8]) -> Self { todo!() }
}

/// One header line: its name as received and its value, trimmed, with folds still in it.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Which field it is.
    pub name: Name,
    /// The name as received.
    pub raw_name: &'a [u8],
    /// The value as received, without surrounding white space.
    pub value: &'a [u8],
}

/// A value that is `name-addr` or `addr-spec` with parameters: From, To, Contact, Route, Record-Route, Path, Refer-To, P-Asserted-Identity…
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The whole value as received.
    pub raw: &'a [u8],
    /// The display name without its quotes (escapes left as they are); empty when there is none.
    pub display: &'a [u8],
    /// The URI text, without angle brackets.
    pub uri: &'a [u8],
    /// Header parameters behind the URI, beginning with `;`, or empty.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value.
    #[must_use]
    pub fn parse(_value: &'a [u8]) -> Option<Self> { todo!() }
    /// The URI, read.
    #[must_use]
    pub fn uri(&self) -> Option<Uri<'a>> { todo!() }
    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> { self.param(b"tag") }
    /// A header parameter by name, in any case; `Some(b"")` for one without a value. Quotes are taken off.
    #[must_use]
    pub fn param(&self, _name: &[u8]) -> Option<&'a [u8]> { todo!() }
}

/// One Via value (RFC 3261 20.42, RFC 3581).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The whole value as received.
    pub raw: &'a [u8],
    /// `UDP`, `TCP`, `TLS` or whatever else was written.
    pub transport: &'a [u8],
    /// Host of sent-by, brackets kept.
    pub host: &'a [u8],
    /// Port of sent-by.
    pub port: Option<u16>,
    /// Parameters, beginning with `;`, or empty.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value.
    #[must_use]
    pub fn parse(_value: &'a [u8]) -> Option<Self> { todo!() }
    /// The branch parameter.
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> { todo!() }
    /// A parameter by name; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, _name: &[u8]) -> Option<&'a [u8]> { todo!() }
}

/// CSeq (RFC 3261 20.16): number below 2^31 and the method's token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method token as received.
    pub method: &'a [u8],
}

/// Splits a value at top-level commas (not within quotes or angle brackets), trimmed, empty parts skipped.
pub fn split_commas(_value: &[u8]) -> impl Iterator<Item = &[u8]> { core::iter::empty() }

/// A parameter of a `;name=value;name="value"` list by name in any case; `Some(b"")` for one without a value; quotes taken off.
#[must_use]
pub fn param<'a>(_params: &'a [u8], _name: &[u8]) -> Option<&'a [u8]> { todo!() }
