//! What is written on the other side of the bridge: which headers go through, which are our own.

use super::reliable;
use crate::{
    boundary::Passage,
    directory::Directory,
    emergency::dress::Dress,
    facts::{Call, CallKind, Caller},
    plan::LegTarget,
    privacy::{ANONYMOUS, Hidden},
    trunk::CallerIn,
};
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

/// Copies every header that is not one side's own and that the passage lets through.
pub(crate) fn copy_end_to_end(writer: &mut Writer, message: &Message, passage: Passage<'_>) {
    copy_where(writer, message, passage, |_| true);
}

fn copy_where(writer: &mut Writer, message: &Message, passage: Passage<'_>, wanted: impl Fn(&Header<'_>) -> bool) {
    for header in message.headers() {
        if !hop_by_hop(header.name) && passage.lets(&header) && wanted(&header) {
            passage.write(writer, header);
        }
    }
}

/// Copies what the caller says to whom it calls: not what it hides, and (`rel`) not what it demands for reliable provisional responses. Who calls for help
/// demands nothing: a provider that does not know an extension is no reason to lose the call.
pub(crate) fn copy_call(writer: &mut Writer, call: &Call, passage: Passage<'_>, hidden: Hidden, rel: bool) {
    let help = call.kind != CallKind::Normal;
    // RFC 3323 5.1: what a privacy service has done it takes out of Privacy; `id` is left for the provider to do (RFC 3325 9.3).
    let told = hidden.caller && passage.to().is_some();
    if told {
        writer.header(Name::Privacy, b"id");
    }
    let wanted = |header: &Header<'_>| {
        hidden.shows(header) && !((rel || help) && header.name == Name::Require) && !(told && header.name == Name::Privacy)
    };
    copy_where(writer, &call.message, passage, wanted);
    if rel && !help {
        copy_other_demands(writer, &call.message);
    }
}

/// What a message requires beside reliable provisional responses.
fn copy_other_demands(writer: &mut Writer, message: &Message) {
    for option in message.values(Name::Require).filter(|option| !option.eq_ignore_ascii_case(reliable::TAG.as_bytes())) {
        writer.header(Name::Require, option);
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

/// The INVITE of a leg. `template` counts its CSeq; `identity` is empty where nobody is to know who calls; `rel`: we acknowledge provisional responses,
/// whatever the caller does. A call for help says more than its caller does ([`Dress`]).
pub(super) fn invite(
    template: &mut Dialog,
    call: &Call,
    target: &LegTarget,
    identity: &[u8],
    credentials: Option<(Name, &str)>,
    rel: bool,
    directory: &Directory,
) -> Request {
    let dress = Dress::of(call, target, directory);
    let hops = match &call.caller {
        // A phone that has counted to the end is no reason to lose a call for help. One from a trunk may be going round in a circle.
        Caller::Endpoint(_) | Caller::Unknown if dress.is_some() => 70,
        _ => call.message.number(Name::MaxForwards).unwrap_or(70).saturating_sub(1),
    };
    let mut writer = template.request(Method::Invite, b"INVITE", hops);
    contact(&mut writer, target.flow);
    if !identity.is_empty() {
        writer.header(Name::PAssertedIdentity, identity);
    }
    if let Some((name, value)) = credentials {
        writer.header(name, value.as_bytes());
    }
    if rel && !call.message.lists(Name::Supported, reliable::TAG) {
        writer.header(Name::Supported, reliable::TAG.as_bytes());
    }
    let trunk = target.trunk.as_deref().and_then(|name| directory.trunk(name));
    let passage = Passage::of_call(call, directory, trunk.map(|trunk| &trunk.manners));
    let Some(dress) = dress else {
        copy_call(&mut writer, call, passage, Hidden::of(call), rel);
        return writer.finish_request(call.message.body());
    };
    copy_where(&mut writer, &call.message, passage, |header| header.name != Name::Require && dress.keeps(header));
    dress.write(&mut writer);
    writer.finish_request(dress.body(call))
}

/// Who calls, as one target is told.
pub(crate) struct Shown {
    /// From.
    pub(crate) from: Vec<u8>,
    /// P-Asserted-Identity; empty where nothing is asserted.
    pub(crate) asserted: Vec<u8>,
}

/// The name and number that this target is to see, and where.
pub(crate) fn caller_identity(call: &Call, target: &LegTarget, directory: &Directory) -> Shown {
    let number = target.caller_number.as_deref().unwrap_or(&call.caller_number);
    let hidden = Hidden::of(call).caller;
    let Some(trunk) = target.trunk.as_deref().and_then(|name| directory.trunk(name)) else {
        if hidden {
            return Shown { from: ANONYMOUS.to_vec(), asserted: Vec::new() };
        }
        let from = name_addr(&call.caller_name, number, &directory.domain);
        return Shown { asserted: from.clone(), from };
    };
    let domain = trunk.manners.caller_domain.as_deref().unwrap_or(&directory.domain);
    let caller = name_addr(&call.caller_name, number, domain);
    // Nobody who is called for help has to look for the number in the one place where this provider leaves it. A provider that takes calls only From its account
    // refuses any other.
    let shown_in = match trunk.manners.caller_in {
        CallerIn::From if call.kind != CallKind::Normal => CallerIn::Both,
        shown_in => shown_in,
    };
    if hidden {
        // RFC 3325 7: what is not to be known outside the trust domain is asserted inside it, with `Privacy: id`.
        let asserted = if trunk.manners.trusted && shown_in != CallerIn::From { caller } else { Vec::new() };
        return Shown { from: ANONYMOUS.to_vec(), asserted };
    }
    match (shown_in, &trunk.username) {
        (CallerIn::From, _) => Shown { from: caller, asserted: Vec::new() },
        (CallerIn::Asserted, Some(account)) => Shown { from: name_addr("", account, domain), asserted: caller },
        (CallerIn::Asserted, None) | (CallerIn::Both, _) => Shown { from: caller.clone(), asserted: caller },
    }
}

/// To on a leg.
pub(crate) fn callee_identity(target: &LegTarget, domain: &str) -> Vec<u8> {
    if target.called.contains(':') {
        return format!("<{}>", target.called).into_bytes();
    }
    format!("<sip:{}@{domain}>", target.called).into_bytes()
}

/// `"name" <sip:user@domain>`; the name quoted as RFC 3261 25.1 asks, the user escaped as 19.1.2 asks.
pub(crate) fn name_addr(name: &str, user: &str, domain: &str) -> Vec<u8> {
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
pub(super) fn relayed_response(request: &Message, response: &Message, dialog: &Dialog, initial: bool, passage: Passage<'_>) -> Response {
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
    copy_end_to_end(&mut writer, response, passage);
    writer.finish_response(response.body())
}

/// A provisional response as the caller gets it when 100rel is not spoken end to end: with this RSeq of ours, or unreliably.
pub(super) fn provisional(request: &Message, response: &Message, dialog: &Dialog, rseq: Option<u32>, passage: Passage<'_>) -> Response {
    let mut writer = begin_answer(request, response, dialog);
    if let Some(rseq) = rseq {
        writer.header(Name::Require, reliable::TAG.as_bytes()).number(Name::RSeq, rseq);
    }
    copy_where(&mut writer, response, passage, |header| !matches!(header.name, Name::RSeq | Name::Require));
    copy_other_demands(&mut writer, response);
    writer.finish_response(response.body())
}

/// A 2xx without a session description, with the one that `session` brought before it.
pub(super) fn answer_with(request: &Message, response: &Message, dialog: &Dialog, session: &Message, passage: Passage<'_>) -> Response {
    let mut writer = begin_answer(request, response, dialog);
    copy_end_to_end(&mut writer, response, passage);
    copy_content_type(&mut writer, session);
    writer.finish_response(session.body())
}

/// The head of an answer to the INVITE that makes the dialog.
fn begin_answer(request: &Message, response: &Message, dialog: &Dialog) -> Writer {
    let tag = std::str::from_utf8(&dialog.local_tag).ok();
    let mut writer = Writer::response(request, response.status(), &String::from_utf8_lossy(response.reason()), tag);
    for header in request.headers().filter(|header| header.name == Name::RecordRoute) {
        writer.copy(header);
    }
    contact(&mut writer, dialog.flow);
    writer
}

/// A provisional response as plain ringing: without the session that it brings. `None` when it cannot be written so.
pub(super) fn ringing(response: &Message) -> Option<Message> {
    let of_body = |header: &Header<'_>| {
        let name = header.raw_name.get(..8).unwrap_or_default();
        matches!(header.name, Name::ContentType | Name::ContentLength)
            || name.eq_ignore_ascii_case(b"Content-")
            || matches!(header.raw_name, b"e" | b"E")
    };
    let mut bytes = b"SIP/2.0 180 Ringing\r\n".to_vec();
    for header in response.headers().filter(|header| !of_body(header)) {
        bytes.extend_from_slice(header.line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Message::parse(bytes.into(), &sip::Limits::default()).ok()
}

/// The final refusal of the best target as the caller gets it. Contacts of a redirection go through: they are the answer.
pub(crate) fn relayed_refusal(request: &Message, response: &Message, passage: Passage<'_>) -> Response {
    let tag = response.to().and_then(|to| to.tag()).map(|tag| String::from_utf8_lossy(tag).into_owned());
    let reason = String::from_utf8_lossy(response.reason());
    let mut writer = Writer::response(request, response.status(), &reason, Some(tag.as_deref().unwrap_or("refused")));
    if (300..400).contains(&response.status()) {
        for header in response.headers().filter(|header: &Header<'_>| header.name == Name::Contact) {
            writer.copy(header);
        }
    }
    copy_end_to_end(&mut writer, response, passage);
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
