//! What a trunk is sent outside of calls: REGISTER and OPTIONS.

use super::Register;
use crate::{directory::Trunk, plan::escape_user};
use sip::{
    build::{Request, Writer},
    header::Name,
    message::Method,
    random::{Random, Token},
    transport::{Flow, Transport},
    uri::{Scheme, Uri},
};

/// The requests of one kind that a trunk is sent: each is one more in the same sequence (RFC 3261 10.2: the Call-ID stays, CSeq grows).
#[derive(Debug)]
pub(super) struct Sequence {
    call_id: String,
    tag: Token,
    cseq: u32,
}

impl Sequence {
    pub(super) fn new(call_id: String, random: &mut Random) -> Self {
        Self { call_id, tag: random.token(), cseq: 0 }
    }

    /// A REGISTER for so many seconds; 0 ends the registration.
    pub(super) fn register(
        &mut self,
        trunk: &Trunk,
        account: &Register,
        flow: Flow,
        seconds: u32,
        credentials: Option<&(Name, String)>,
    ) -> Option<Request> {
        let uri = registrar(trunk)?;
        let user = escape_user(&account.user);
        // 10.2: "To: The To header field contains the address of record whose registration is to be created"; From is the same for a phone of its own.
        let record = record(trunk, &user)?;
        let mut writer = self.begin(trunk, Method::Register, b"REGISTER", &uri, &record, &record);
        writer.header(Name::Contact, contact(&user, flow).as_bytes()).number(Name::Expires, seconds);
        if let Some((name, value)) = credentials {
            writer.header(*name, value.as_bytes());
        }
        Some(writer.finish_request(b""))
    }

    /// An OPTIONS: is anybody there?
    pub(super) fn options(&mut self, trunk: &Trunk, domain: &str, flow: Flow) -> Option<Request> {
        let uri = registrar(trunk)?;
        let local = match &trunk.reach.register {
            Some(account) => record(trunk, &escape_user(&account.user))?,
            None => format!("<sip:{domain}>"),
        };
        let mut writer = self.begin(trunk, Method::Options, b"OPTIONS", &uri, &local, &format!("<{uri}>"));
        crate::bridge::contact(&mut writer, flow);
        writer.header(Name::Accept, b"application/sdp");
        Some(writer.finish_request(b""))
    }

    fn begin(&mut self, trunk: &Trunk, method: Method, token: &'static [u8], uri: &str, from: &str, to: &str) -> Writer {
        self.cseq += 1;
        let mut writer = Writer::request(method, token, uri.as_bytes());
        if let Some(route) = trunk.reach.route() {
            writer.header(Name::Route, route.as_bytes());
        }
        writer
            .number(Name::MaxForwards, 70)
            .header(Name::From, format!("{from};tag={}", self.tag).as_bytes())
            .header(Name::To, to.as_bytes())
            .header(Name::CallId, self.call_id.as_bytes())
            .header(Name::CSeq, format!("{} {}", self.cseq, method.token()).as_bytes());
        writer
    }
}

/// RFC 3261 10.2: "The Request-URI names the domain of the location service for which the registration is meant […] The "userinfo" and "@" components of the
/// SIP URI MUST NOT be present."
pub(super) fn registrar(trunk: &Trunk) -> Option<String> {
    let (scheme, host, port) = parts(trunk)?;
    Some(port.map_or_else(|| format!("{scheme}:{host}"), |port| format!("{scheme}:{host}:{port}")))
}

/// The address of record of an account, whose user part is escaped.
fn record(trunk: &Trunk, user: &str) -> Option<String> {
    let (scheme, host, _) = parts(trunk)?;
    Some(format!("<{scheme}:{user}@{host}>"))
}

fn parts(trunk: &Trunk) -> Option<(&'static str, &str, Option<u16>)> {
    let uri = Uri::parse(trunk.uri.as_bytes())?;
    let scheme = match uri.scheme {
        Scheme::Sip => "sip",
        Scheme::Sips => "sips",
        Scheme::Tel | Scheme::Urn | Scheme::Other => return None,
    };
    Some((scheme, std::str::from_utf8(uri.host).ok()?, uri.port))
}

/// Where calls for us are to be sent.
fn contact(user: &str, flow: Flow) -> String {
    let transport = match flow.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    format!("<sip:{user}@{}{transport}>", flow.local)
}

/// Whether a Contact is the one that we wrote.
pub(super) fn is_ours(uri: &Uri<'_>, account: &Register, flow: Flow) -> bool {
    let port = uri.port.unwrap_or_else(|| flow.transport.default_port());
    uri.user_decoded() == account.user.as_bytes() && uri.address() == Some(flow.local.ip()) && port == flow.local.port()
}
