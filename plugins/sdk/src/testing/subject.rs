//! Calls and registrations that a test asks a policy about.

use super::Site;
use crate::{Attribute, CallFacts, CallKind, Caller, RegistrationFacts};

/// A call to ask about: by nobody who is known, over UDP from this machine, until the test says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub(super) caller: Caller,
    pub(super) called: String,
    caller_number: Option<String>,
    caller_name: Option<String>,
    location: Option<String>,
    headers: Vec<(String, String)>,
    attributes: Vec<Attribute>,
    source: String,
    transport: &'static str,
}

/// A registration to ask about: over UDP from this machine, for five minutes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    pub(super) endpoint: String,
    expires_seconds: u32,
    headers: Vec<(String, String)>,
    attributes: Vec<Attribute>,
    source: String,
    transport: &'static str,
}

const SOURCE: &str = "127.0.0.1:5060";

impl Call {
    /// A call to this number.
    #[must_use]
    pub fn to(called: impl Into<String>) -> Self {
        Self {
            caller: Caller::Unknown,
            called: called.into(),
            caller_number: None,
            caller_name: None,
            location: None,
            headers: Vec::new(),
            attributes: Vec::new(),
            source: SOURCE.to_owned(),
            transport: "udp",
        }
    }

    /// By the phone of this endpoint. Number, name and location are the endpoint's where the test says nothing.
    #[must_use]
    pub fn from(mut self, endpoint: impl Into<String>) -> Self {
        self.caller = Caller::Endpoint(endpoint.into());
        self
    }

    /// In over this trunk.
    #[must_use]
    pub fn from_trunk(mut self, trunk: impl Into<String>) -> Self {
        self.caller = Caller::Trunk(trunk.into());
        self
    }

    /// Shows this number.
    #[must_use]
    pub fn caller_number(mut self, number: impl Into<String>) -> Self {
        self.caller_number = Some(number.into());
        self
    }

    /// Shows this name.
    #[must_use]
    pub fn caller_name(mut self, name: impl Into<String>) -> Self {
        self.caller_name = Some(name.into());
        self
    }

    /// From this place.
    #[must_use]
    pub fn location(mut self, name: impl Into<String>) -> Self {
        self.location = Some(name.into());
        self
    }

    /// With a header line.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// An earlier policy has noted this.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }

    /// From this address and port, by `udp`, `tcp` or `tls`.
    #[must_use]
    pub fn source(mut self, address: impl Into<String>, transport: &'static str) -> Self {
        (self.source, self.transport) = (address.into(), transport);
        self
    }

    /// What the policy is handed.
    pub(super) fn facts(&self, site: &Site, kind: CallKind) -> CallFacts {
        let endpoint = self.endpoint(site);
        let caller = match (&self.caller, endpoint) {
            // A phone that the site does not have has not proved who it is.
            (Caller::Endpoint(_), None) => Caller::Unknown,
            (caller, _) => caller.clone(),
        };
        CallFacts {
            kind,
            caller,
            called: self.called.clone(),
            caller_number: self.shown_number(site),
            location: self.location.clone().or_else(|| endpoint?.location.clone()),
        }
    }

    fn endpoint<'a>(&self, site: &'a Site) -> Option<&'a super::Endpoint> {
        match &self.caller {
            Caller::Endpoint(id) => site.0.endpoint(id),
            Caller::Trunk(_) | Caller::Unknown => None,
        }
    }

    fn shown_number(&self, site: &Site) -> String {
        self.caller_number.clone().or_else(|| Some(self.endpoint(site)?.extension.clone())).unwrap_or_default()
    }

    /// What the policy may ask.
    pub(super) fn seen(&self, site: &Site) -> Seen {
        Seen {
            request_uri: format!("sip:{}@cases.invalid", self.called),
            caller_name: self.caller_name.clone().or_else(|| Some(self.endpoint(site)?.name.clone())).unwrap_or_default(),
            contact: String::new(),
            headers: headers("INVITE", &self.shown_number(site), &self.called, &self.headers),
            attributes: self.attributes.clone(),
            source: self.source.clone(),
            transport: self.transport,
        }
    }
}

impl Registration {
    /// The phone of this endpoint registers.
    #[must_use]
    pub fn of(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            expires_seconds: 300,
            headers: Vec::new(),
            attributes: Vec::new(),
            source: SOURCE.to_owned(),
            transport: "udp",
        }
    }

    /// For so many seconds.
    #[must_use]
    pub const fn expires_seconds(mut self, seconds: u32) -> Self {
        self.expires_seconds = seconds;
        self
    }

    /// With a header line.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// An earlier policy has noted this.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }

    /// From this address and port, by `udp`, `tcp` or `tls`.
    #[must_use]
    pub fn source(mut self, address: impl Into<String>, transport: &'static str) -> Self {
        (self.source, self.transport) = (address.into(), transport);
        self
    }

    /// What the policy is handed.
    #[track_caller]
    #[allow(clippy::panic, reason = "a mistake of a test, told where it was made")]
    pub(super) fn facts(&self, site: &Site) -> RegistrationFacts {
        let Some(endpoint) = site.0.endpoint(&self.endpoint) else { panic!("the site has no endpoint `{}`", self.endpoint) };
        RegistrationFacts {
            endpoint: endpoint.id.clone(),
            extension: endpoint.extension.clone(),
            pool: endpoint.pool.clone(),
            registered: site.0.registered(&endpoint.id),
            expires_seconds: self.expires_seconds,
        }
    }

    /// What the policy may ask.
    pub(super) fn seen(&self, site: &Site) -> Seen {
        let extension = site.0.endpoint(&self.endpoint).map_or("", |endpoint| &endpoint.extension);
        Seen {
            request_uri: String::new(),
            caller_name: String::new(),
            contact: format!("sip:{extension}@127.0.0.1:5060"),
            headers: headers("REGISTER", extension, "", &self.headers),
            attributes: self.attributes.clone(),
            source: self.source.clone(),
            transport: self.transport,
        }
    }
}

/// What is being decided.
pub(super) enum Subject {
    None,
    Call(Seen),
    Registration(Seen),
}

/// What a policy may ask about a call or a registration.
pub(super) struct Seen {
    pub(super) request_uri: String,
    pub(super) caller_name: String,
    pub(super) contact: String,
    headers: Vec<(String, String)>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) source: String,
    pub(super) transport: &'static str,
}

/// The request as the gateway's own cases write it.
fn headers(method: &str, from: &str, to: &str, further: &[(String, String)]) -> Vec<(String, String)> {
    let written = [
        ("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-case".to_owned()),
        ("From", format!("<sip:{from}@cases.invalid>;tag=case")),
        ("To", format!("<sip:{to}@cases.invalid>")),
        ("Call-ID", "case".to_owned()),
        ("CSeq", format!("1 {method}")),
        ("Contact", "<sip:case@127.0.0.1:5060>".to_owned()),
        ("Max-Forwards", "70".to_owned()),
    ];
    let written = written.into_iter().map(|(name, value)| (name.to_owned(), value));
    written.chain(further.iter().cloned()).chain([("Content-Length".to_owned(), "0".to_owned())]).collect()
}

impl Seen {
    /// The first header line of that name.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let wanted = long_form(name);
        self.headers.iter().find(|(name, _)| long_form(name).eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    }
}

/// RFC 3261 7.3.3 and the IANA registry of header fields.
fn long_form(name: &str) -> &str {
    match name {
        "a" | "A" => "Accept-Contact",
        "b" | "B" => "Referred-By",
        "c" | "C" => "Content-Type",
        "d" | "D" => "Request-Disposition",
        "e" | "E" => "Content-Encoding",
        "f" | "F" => "From",
        "i" | "I" => "Call-ID",
        "j" | "J" => "Reject-Contact",
        "k" | "K" => "Supported",
        "l" | "L" => "Content-Length",
        "m" | "M" => "Contact",
        "n" | "N" => "Identity-Info",
        "o" | "O" => "Event",
        "r" | "R" => "Refer-To",
        "s" | "S" => "Subject",
        "t" | "T" => "To",
        "u" | "U" => "Allow-Events",
        "v" | "V" => "Via",
        "x" | "X" => "Session-Expires",
        "y" | "Y" => "Identity",
        _ => name,
    }
}

/// A handle on the call that is being decided. It owns nothing, and its number says nothing.
pub(super) fn call_handle() -> crate::Call {
    // SAFETY: the number is never handed to a host: on this target the handle's functions ask the harness.
    unsafe { crate::Call::from_handle(1) }
}

/// The same for a registration.
pub(super) fn registration_handle() -> crate::Registration {
    // SAFETY: as above.
    unsafe { crate::Registration::from_handle(1) }
}
