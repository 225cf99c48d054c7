//! Header field names.

/// The header fields that some part of the gateway reads or writes; all others are [`Name::Other`] and relayed as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each variant is the field of that name")]
#[rustfmt::skip]
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
    pub const fn canonical(self) -> &'static str {
        match self {
            Self::Accept => "Accept",
            Self::Allow => "Allow",
            Self::AllowEvents => "Allow-Events",
            Self::Authorization => "Authorization",
            Self::CallId => "Call-ID",
            Self::Contact => "Contact",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::CSeq => "CSeq",
            Self::Diversion => "Diversion",
            Self::Event => "Event",
            Self::Expires => "Expires",
            Self::From => "From",
            Self::Geolocation => "Geolocation",
            Self::HistoryInfo => "History-Info",
            Self::Identity => "Identity",
            Self::MaxForwards => "Max-Forwards",
            Self::MinExpires => "Min-Expires",
            Self::MinSe => "Min-SE",
            Self::PAssertedIdentity => "P-Asserted-Identity",
            Self::PPreferredIdentity => "P-Preferred-Identity",
            Self::Path => "Path",
            Self::Priority => "Priority",
            Self::Privacy => "Privacy",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::ProxyRequire => "Proxy-Require",
            Self::RAck => "RAck",
            Self::RSeq => "RSeq",
            Self::Reason => "Reason",
            Self::RecordRoute => "Record-Route",
            Self::ReferTo => "Refer-To",
            Self::ReferredBy => "Referred-By",
            Self::RemotePartyId => "Remote-Party-ID",
            Self::Replaces => "Replaces",
            Self::Require => "Require",
            Self::ResourcePriority => "Resource-Priority",
            Self::RetryAfter => "Retry-After",
            Self::Route => "Route",
            Self::Server => "Server",
            Self::SessionExpires => "Session-Expires",
            Self::SubscriptionState => "Subscription-State",
            Self::Supported => "Supported",
            Self::To => "To",
            Self::Unsupported => "Unsupported",
            Self::UserAgent => "User-Agent",
            Self::Via => "Via",
            Self::Warning => "Warning",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::Date => "Date",
            Self::ServiceRoute => "Service-Route",
            Self::Other => "",
        }
    }

    /// Recognises long and compact forms in any case.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        // Length and first letter leave two names at most to compare.
        let (likely, other) = match (name.len(), first | 0x20) {
            (1, letter) => return Self::from_compact(letter),
            (2, b't') => (Self::To, Self::Other),
            (3, b'v') => (Self::Via, Self::Other),
            (4, b'f') => (Self::From, Self::Other),
            (4, b'c') => (Self::CSeq, Self::Other),
            (4, b'r') => (Self::RAck, Self::RSeq),
            (4, b'p') => (Self::Path, Self::Other),
            (4, b'd') => (Self::Date, Self::Other),
            (5, b'a') => (Self::Allow, Self::Other),
            (5, b'r') => (Self::Route, Self::Other),
            (5, b'e') => (Self::Event, Self::Other),
            (6, b'a') => (Self::Accept, Self::Other),
            (6, b'm') => (Self::MinSe, Self::Other),
            (6, b'r') => (Self::Reason, Self::Other),
            (6, b's') => (Self::Server, Self::Other),
            (7, b'c') => (Self::CallId, Self::Contact),
            (7, b'e') => (Self::Expires, Self::Other),
            (7, b'p') => (Self::Privacy, Self::Other),
            (7, b'r') => (Self::Require, Self::Other),
            (7, b'w') => (Self::Warning, Self::Other),
            (8, b'i') => (Self::Identity, Self::Other),
            (8, b'p') => (Self::Priority, Self::Other),
            (8, b'r') => (Self::ReferTo, Self::Replaces),
            (9, b'd') => (Self::Diversion, Self::Other),
            (9, b's') => (Self::Supported, Self::Other),
            (10, b'u') => (Self::UserAgent, Self::Other),
            (11, b'm') => (Self::MinExpires, Self::Other),
            (11, b'g') => (Self::Geolocation, Self::Other),
            (11, b'r') => (Self::ReferredBy, Self::RetryAfter),
            (11, b'u') => (Self::Unsupported, Self::Other),
            (12, b'c') => (Self::ContentType, Self::Other),
            (12, b'm') => (Self::MaxForwards, Self::Other),
            (12, b'r') => (Self::RecordRoute, Self::Other),
            (12, b'a') => (Self::AllowEvents, Self::Other),
            (12, b'h') => (Self::HistoryInfo, Self::Other),
            (13, b'a') => (Self::Authorization, Self::Other),
            (13, b'p') => (Self::ProxyRequire, Self::Other),
            (13, b's') => (Self::ServiceRoute, Self::Other),
            (14, b'c') => (Self::ContentLength, Self::Other),
            (15, b's') => (Self::SessionExpires, Self::Other),
            (15, b'r') => (Self::RemotePartyId, Self::Other),
            (16, b'w') => (Self::WwwAuthenticate, Self::Other),
            (17, b'r') => (Self::ResourcePriority, Self::Other),
            (18, b'p') => (Self::ProxyAuthenticate, Self::Other),
            (18, b's') => (Self::SubscriptionState, Self::Other),
            (19, b'p') => (Self::PAssertedIdentity, Self::ProxyAuthorization),
            (20, b'p') => (Self::PPreferredIdentity, Self::Other),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(likely.canonical().as_bytes()) {
            likely
        } else if name.eq_ignore_ascii_case(other.canonical().as_bytes()) {
            other
        } else {
            Self::Other
        }
    }

    /// RFC 3261 7.3.3 and the IANA registry of header fields; `letter` in lower case.
    const fn from_compact(letter: u8) -> Self {
        match letter {
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }

    /// Whether two names of fields without a variant mean the same field: equal in any case, or one is the compact form of the other.
    pub(crate) fn same_field(a: &[u8], b: &[u8]) -> bool {
        a.eq_ignore_ascii_case(b) || Self::long_form(a).eq_ignore_ascii_case(Self::long_form(b))
    }

    fn long_form(name: &[u8]) -> &[u8] {
        match name {
            [b'a' | b'A'] => b"Accept-Contact",
            [b'd' | b'D'] => b"Request-Disposition",
            [b'e' | b'E'] => b"Content-Encoding",
            [b'j' | b'J'] => b"Reject-Contact",
            [b'n' | b'N'] => b"Identity-Info",
            [b's' | b'S'] => b"Subject",
            _ => name,
        }
    }
}
