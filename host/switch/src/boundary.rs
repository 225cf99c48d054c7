//! The edge of the site's trust (RFC 3324 2.3, RFC 3325 5): which header fields pass between it and the outside.
//!
//! *Identity* (who calls, and through whom a call came) is ours to say. What a phone or an untrusted provider writes of it is taken away when its INVITE comes in
//! ([`without_identity`]), so that no rule, policy or record behind the door sees it, and from everything else that it says later ([`Passage`]). Names count as
//! [`Header::name`] reads them: in any case, in compact form, with white space or a fold before the colon.
//!
//! *Topology* stays inside: a trunk gets the fields that a call needs ([`needed`]) and those that its operator names; not what phones say about themselves and their
//! network (User-Agent, Call-Info, Warning…). The same list holds the other way: a provider has no business with a phone's bell (Alert-Info) or its
//! answering by itself (Answer-Mode). Lines go out without folds and stray control characters: what one parser reads as the rest of a
//! value, another one might read as a line of its own.

use crate::{
    directory::Directory,
    facts::{Call, CallKind, Caller},
    trunk::TrunkManners,
};
use bytes::Bytes;
use sip::{
    Message,
    build::Writer,
    header::{Header, Name},
};

/// Who calls, in fields without a variant of [`Name`]: those of RFC 7315, 6050, 5502, 5002, 4457, 7316 and 3GPP TS 24.229, which belong into one trust domain each, and two that never became
/// a standard.
const IDENTITY: [&[u8]; 19] = [
    b"Additional-Identity",
    b"Attestation-Info",
    b"CC-Diversion",
    b"Identity-Info",
    b"N",
    b"Origination-Id",
    b"P-Access-Network-Info",
    b"P-Asserted-Service",
    b"P-Associated-URI",
    b"P-Called-Party-ID",
    b"P-Charging-Function-Addresses",
    b"P-Charging-Vector",
    b"P-Preferred-Service",
    b"P-Private-Network-Indication",
    b"P-Profile-Key",
    b"P-Served-User",
    b"P-User-Database",
    b"P-Visited-Network-ID",
    b"RPID-Privacy",
];

/// Fields without a variant of [`Name`] that a call needs on both sides of a trunk, compact forms beside them.
const NEEDED: [&[u8]; 18] = [
    b"Accept-Encoding",
    b"Accept-Language",
    b"Accept-Resource-Priority",
    b"Content-Disposition",
    b"Content-Encoding",
    b"Content-ID",
    b"Content-Language",
    b"E",
    b"Geolocation-Error",
    b"Geolocation-Routing",
    b"Info-Package",
    b"MIME-Version",
    b"Recv-Info",
    b"S",
    b"SIP-ETag",
    b"Subject",
    b"Timestamp",
    b"User-to-User",
];

/// What a field says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Says {
    /// Who calls: never goes on as somebody else wrote it.
    Caller,
    /// Through whom a call came.
    Way,
    /// Who signs for the caller (RFC 8224): worth something only as it is.
    Signature,
    /// Nothing of that kind.
    Other,
    /// Its name is none (RFC 3261 25.1, `token`): nobody knows what the next one makes of it.
    Riddle,
}

fn says(header: &Header<'_>) -> Says {
    match header.name {
        Name::PAssertedIdentity | Name::PPreferredIdentity | Name::RemotePartyId => Says::Caller,
        Name::Diversion | Name::HistoryInfo => Says::Way,
        Name::Identity => Says::Signature,
        Name::Other => {
            let is = |name: &&[u8]| header.raw_name.eq_ignore_ascii_case(name);
            match header.raw_name {
                _ if !is_token(header.raw_name) => Says::Riddle,
                _ if !IDENTITY.iter().any(is) => Says::Other,
                name if name.eq_ignore_ascii_case(b"CC-Diversion") => Says::Way,
                name if name.eq_ignore_ascii_case(b"Identity-Info") || name.eq_ignore_ascii_case(b"N") => Says::Signature,
                _ => Says::Caller,
            }
        }
        _ => Says::Other,
    }
}

fn is_token(name: &[u8]) -> bool {
    let of_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(octet);
    !name.is_empty() && name.iter().all(of_token)
}

/// Whether a call needs this field at the other side of a trunk.
fn needed(header: &Header<'_>) -> bool {
    match header.name {
        Name::Accept
        | Name::Allow
        | Name::AllowEvents
        | Name::ContentType
        | Name::Date
        | Name::Event
        | Name::Expires
        | Name::Geolocation
        | Name::MinExpires
        | Name::MinSe
        | Name::Priority
        | Name::Privacy
        | Name::RSeq
        | Name::Reason
        | Name::Require
        | Name::ResourcePriority
        | Name::RetryAfter
        | Name::SessionExpires
        | Name::SubscriptionState
        | Name::Supported
        | Name::Unsupported => true,
        Name::Other => NEEDED.iter().any(|name| header.raw_name.eq_ignore_ascii_case(name)),
        _ => false,
    }
}

/// A request of somebody outside the trust boundary without what it says of identity; the same message where it says nothing of that kind.
#[must_use]
pub(crate) fn without_identity(message: &Message) -> Message {
    let honest = |header: &Header<'_>| says(header) == Says::Other;
    if message.headers().all(|header| honest(&header)) {
        return message.clone();
    }
    let mut writer = Writer::request(message.method(), message.method_token(), message.request_uri());
    for header in message.headers().filter(|header| honest(header) && header.name != Name::ContentLength) {
        writer.copy(header);
    }
    let request = writer.finish_request(message.body());
    Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap_or_else(|_| message.clone())
}

/// What of a message goes on from one side of a call to the other. A side without manners is a phone, or the gateway itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passage<'a> {
    from: Option<&'a TrunkManners>,
    to: Option<&'a TrunkManners>,
    /// What the message says of identity has been looked at when it came in, or is our own.
    believed: bool,
    /// A call for help: whatever it says may be what saves somebody.
    help: bool,
    /// Who calls is said by ourselves.
    own: bool,
}

impl<'a> Passage<'a> {
    /// The INVITE of a call on its way to a target.
    pub(crate) fn of_call(call: &Call, directory: &'a Directory, to: Option<&'a TrunkManners>) -> Self {
        let from = match &call.caller {
            Caller::Trunk(name) => directory.trunk(name).map(|trunk| &trunk.manners),
            Caller::Endpoint(_) | Caller::Unknown => None,
        };
        Self { from, to, believed: true, help: call.kind != CallKind::Normal, own: true }
    }

    /// What one side of a call says to the other later.
    pub(crate) fn between(from: Option<&'a TrunkManners>, to: Option<&'a TrunkManners>, help: bool) -> Self {
        Self { from, to, believed: from.is_some_and(|manners| manners.trusted), help, own: false }
    }

    /// Whether a trunk has part in it.
    pub(crate) const fn leaves(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Who listens, when it is a trunk.
    pub(crate) const fn to(&self) -> Option<&'a TrunkManners> {
        self.to
    }

    /// Whether a field goes on, that of one side alone (Via, From…) aside.
    pub(crate) fn lets(&self, header: &Header<'_>) -> bool {
        match says(header) {
            // RFC 3325 5: from one trusted element to another it goes on. In an INVITE stands our own.
            Says::Caller => {
                header.name == Name::PAssertedIdentity
                    && !self.own
                    && self.from.is_some_and(|manners| manners.trusted)
                    && self.to.is_none_or(|manners| manners.trusted)
            }
            Says::Way => self.believed && self.to.is_none_or(|manners| manners.diversion),
            Says::Signature => self.believed,
            Says::Riddle => !self.leaves(),
            Says::Other => self.help || (self.allows(self.from, header) && self.allows(self.to, header)),
        }
    }

    fn allows(&self, side: Option<&TrunkManners>, header: &Header<'_>) -> bool {
        let Some(manners) = side else { return true };
        if !manners.session_timers && matches!(header.name, Name::SessionExpires | Name::MinSe) {
            return false;
        }
        needed(header) || manners.headers.iter().any(|name| name == "*" || names(name, header))
    }

    /// Writes a field that goes on; to a trunk, or from one, in one line.
    pub(crate) fn write(&self, writer: &mut Writer, header: Header<'_>) {
        let timers = |side: Option<&TrunkManners>| side.is_none_or(|manners| manners.session_timers);
        if matches!(header.name, Name::Supported | Name::Require) && !(timers(self.from) && timers(self.to)) {
            let others = sip::header::split_commas(header.value).filter(|option| !option.eq_ignore_ascii_case(b"timer"));
            let others = others.collect::<Vec<_>>().join(&b", "[..]);
            if !others.is_empty() {
                writer.header(header.name, &others);
            }
            return;
        }
        let plain = |octet: &u8| *octet >= b' ' || *octet == b'\t';
        if !self.leaves() || header.line.iter().all(plain) {
            writer.copy(header);
            return;
        }
        let mut value = Vec::with_capacity(header.value.len());
        for octet in header.value {
            match octet {
                octet if plain(octet) && *octet != b'\t' => value.push(*octet),
                _ if value.last() == Some(&b' ') => {}
                _ => value.push(b' '),
            }
        }
        writer.header_named(header.raw_name, &value);
    }
}

/// Whether an operator's word means this field: its name, in any case, long or compact.
fn names(word: &str, header: &Header<'_>) -> bool {
    match Name::from_bytes(word.as_bytes()) {
        Name::Other => header.name == Name::Other && header.raw_name.eq_ignore_ascii_case(word.as_bytes()),
        name => header.name == name,
    }
}

#[cfg(test)]
mod tests;
