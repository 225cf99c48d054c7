//! What is written on the other side of the bridge: which headers go through, which are our own.

use crate::{facts::Call, plan::LegTarget};
use sip::{
    Message,
    build::{Request, Response, Writer},
    dialog::Dialog,
    header::{Header, Name},
    message::Method,
    transport::{Flow, Transport},
    uri::Uri,
};
use std::net::SocketAddr;

/// Headers that belong to one side: routing, dialog and credentials. Everything else, known or not, goes through byte for byte.
const fn hop_by_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Contact
            | Name::MaxForwards
            | Name::ContentLength
            | Name::Route
            | Name::RecordRoute
            | Name::Path
            | Name::ServiceRoute
            | Name::Authorization
            | Name::ProxyAuthorization
            | Name::WwwAuthenticate
            | Name::ProxyAuthenticate
            | Name::ProxyRequire
            | Name::RAck
    )
}

/// Who calls is what we have proved, not what the caller writes (RFC 3325 section 5).
const fn identity(name: Name) -> bool {
    matches!(name, Name::PAssertedIdentity | Name::PPreferredIdentity | Name::RemotePartyId)
}

/// Copies every header that is not one side's own.
pub(crate) fn copy_end_to_end(writer: &mut Writer, message: &Message) {
    for header in message.headers() {
        if !hop_by_hop(header.name) && !identity(header.name) {
            writer.copy(header);
        }
    }
}

/// What a session description that goes on to somebody else is.
pub(super) fn copy_content_type(writer: &mut Writer, message: &Message) {
    for header in message.headers().filter(|header| header.name == Name::ContentType) {
        writer.copy(header);
    }
}

/// Adds our Contact as the peer behind `flow` reaches us.
pub fn contact(writer: &mut Writer, flow: Flow) {
    writer.header_with(Name::Contact, |value| {
        value.extend_from_slice(b"<sip:");
        value.extend_from_slice(flow.local.to_string().as_bytes());
        if flow.transport != Transport::Udp {
            value.extend_from_slice(b";transport=");
            value.extend_from_slice(flow.transport.uri_token().as_bytes());
        }
        value.push(b'>');
    });
}

/// The INVITE of a leg. `template` counts its CSeq.
pub(super) fn invite(template: &mut Dialog, call: &Call, flow: Flow, identity: &[u8], credentials: Option<(Name, &str)>) -> Request {
    let hops = call.message.number(Name::MaxForwards).unwrap_or(70).saturating_sub(1);
    let mut writer = template.request(Method::Invite, b"INVITE", hops);
    contact(&mut writer, flow);
    writer.header(Name::PAssertedIdentity, identity);
    if let Some((name, value)) = credentials {
        writer.header(name, value.as_bytes());
    }
    copy_end_to_end(&mut writer, &call.message);
    writer.finish_request(call.message.body())
}

/// From on a leg: the name and number that this target is to see.
pub(crate) fn caller_identity(call: &Call, target: &LegTarget, domain: &str) -> Vec<u8> {
    let number = target.caller_number.as_deref().unwrap_or(&call.caller_number);
    name_addr(&call.caller_name, number, domain)
}

/// To on a leg.
pub(crate) fn callee_identity(target: &LegTarget, domain: &str) -> Vec<u8> {
    if target.called.contains(':') {
        return format!("<{}>", target.called).into_bytes();
    }
    format!("<sip:{}@{domain}>", target.called).into_bytes()
}

/// `"name" <sip:user@domain>`; the name quoted as RFC 3261 25.1 asks, the user escaped as 19.1.2 asks.
pub(super) fn name_addr(name: &str, user: &str, domain: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len() + user.len() + domain.len() + 16);
    if !name.is_empty() {
        text.push(b'"');
        for byte in name.bytes().filter(|byte| *byte >= 0x20 && *byte != 0x7f) {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(byte);
        }
        text.extend_from_slice(b"\" ");
    }
    text.extend_from_slice(b"<sip:");
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    if !user.is_empty() {
        text.push(b'@');
    }
    text.extend_from_slice(domain.as_bytes());
    text.push(b'>');
    text
}

/// A response of one side as the other side gets it. `initial`: to the INVITE that made the dialog, with its Record-Route (RFC 3261 12.1.1).
pub(super) fn relayed_response(request: &Message, response: &Message, dialog: &Dialog, initial: bool) -> Response {
    let tag = std::str::from_utf8(&dialog.local_tag).ok();
    let reason = String::from_utf8_lossy(response.reason());
    let mut writer = Writer::response(request, response.status(), &reason, tag);
    if initial {
        for header in request.headers().filter(|header| header.name == Name::RecordRoute) {
            writer.copy(header);
        }
    }
    if matches!(response.method(), Method::Invite | Method::Update | Method::Subscribe | Method::Refer) {
        contact(&mut writer, dialog.flow);
    }
    copy_end_to_end(&mut writer, response);
    writer.finish_response(response.body())
}

/// The final refusal of the best target as the caller gets it. Contacts of a redirection go through: they are the answer.
pub(crate) fn relayed_refusal(request: &Message, response: &Message) -> Response {
    let tag = response.to().and_then(|to| to.tag()).map(|tag| String::from_utf8_lossy(tag).into_owned());
    let reason = String::from_utf8_lossy(response.reason());
    let mut writer = Writer::response(request, response.status(), &reason, Some(tag.as_deref().unwrap_or("refused")));
    if (300..400).contains(&response.status()) {
        for header in response.headers().filter(|header: &Header<'_>| header.name == Name::Contact) {
            writer.copy(header);
        }
    }
    copy_end_to_end(&mut writer, response);
    writer.finish_response(response.body())
}

/// The way of the next request inside a dialog. A phone is reached down its own flow (RFC 5626); a trunk where its route set or Contact says
/// (RFC 3261 12.2.1.1), when that is an address.
pub(super) fn next_hop(dialog: &Dialog, trunk: bool) -> Flow {
    if !trunk || dialog.flow.transport.reliable() {
        return dialog.flow;
    }
    let first = dialog.route_set.first().map_or(dialog.remote_target.as_slice(), |route| {
        sip::header::NameAddr::parse(route).map_or(route.as_slice(), |address| address.uri)
    });
    let Some(uri) = Uri::parse(first) else { return dialog.flow };
    let Some(address) = uri.address() else { return dialog.flow };
    let port = uri.port.unwrap_or_else(|| dialog.flow.transport.default_port());
    Flow { remote: SocketAddr::new(address, port), ..dialog.flow }
}
