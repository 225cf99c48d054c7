//! Differential test: what both this parser and `rsip` accept must mean the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test")]

mod messages;

use bytes::Bytes;
use proptest::prelude::*;
use rsip::prelude::{HasHeaders as _, HeadersExt as _, ToTypedHeader as _, UntypedHeader as _};
use sip::{
    Limits, Message,
    header::NameAddr,
    uri::{Scheme, Uri},
};

/// What a message says, in one parser's reading. A part that its reader refuses is `None` and is not compared.
#[derive(Debug, Default)]
struct Meaning {
    start: Option<String>,
    request_uri: Option<(String, String, Option<u16>)>,
    call_id: Option<String>,
    cseq: Option<(u32, String)>,
    from: Option<(String, Option<String>)>,
    to: Option<(String, Option<String>)>,
    branch: Option<String>,
    sent_by: Option<(String, Option<u16>)>,
    contact: Option<(String, String, Option<u16>)>,
    body: Option<Vec<u8>>,
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

fn ours(octets: &[u8]) -> Option<Meaning> {
    let message = Message::parse(Bytes::copy_from_slice(octets), &Limits::default()).ok()?;
    message.check().ok()?;
    // Other schemes are opaque here, while rsip looks for a host in them.
    let sip = |uri: &Uri<'_>| matches!(uri.scheme, Scheme::Sip | Scheme::Sips);
    let place = |uri: Uri<'_>| (text(uri.user), text(uri.host).to_lowercase(), uri.port);
    let party = |address: NameAddr<'_>| Some((text(address.uri().filter(sip)?.user), address.tag().map(text)));
    let start = if message.is_request() { text(message.method_token()) } else { message.status().to_string() };
    Some(Meaning {
        start: Some(start),
        request_uri: message.uri().filter(sip).map(place),
        call_id: Some(text(message.call_id())),
        cseq: message.cseq().map(|c| (c.number, text(c.method))),
        from: message.from().and_then(party),
        to: message.to().and_then(party),
        branch: message.via().and_then(|v| v.branch()).map(text),
        sent_by: message.via().map(|v| (text(v.host), v.port)),
        contact: message.contact().and_then(|c| c.uri()).filter(sip).map(place),
        body: Some(message.body().to_vec()),
    })
}

fn theirs(octets: &[u8]) -> Option<Meaning> {
    let message = rsip::SipMessage::try_from(octets).ok()?;
    // rsip takes `a.g.bell@example.com` for a domain: it does not understand a user with a dot.
    let understood = |uri: &rsip::Uri| !uri.host().to_string().contains('@');
    let place = |uri: &rsip::Uri| {
        let user = uri.user().unwrap_or_default().to_owned();
        understood(uri).then(|| (user, uri.host().to_string().to_lowercase(), uri.port().map(|p| *p.value())))
    };
    let via = message.via_header().ok().and_then(|v| v.typed().ok());
    let from = message.from_header().ok().and_then(|h| h.typed().ok());
    let to = message.to_header().ok().and_then(|h| h.typed().ok());
    let contact = message.contact_header().ok().and_then(|h| h.typed().ok());
    let cseq = message.cseq_header().ok().and_then(|h| h.typed().ok());
    let (start, request_uri) = match &message {
        rsip::SipMessage::Request(request) => (request.method.to_string(), place(&request.uri)),
        rsip::SipMessage::Response(response) => (response.status_code.code().to_string(), None),
    };
    // rsip leaves it to its user to cut a datagram off at Content-Length (RFC 3261 18.3).
    let mut body = message.body().clone();
    let length = message.headers().iter().find_map(|header| match header {
        rsip::Header::ContentLength(length) => length.value().parse().ok(),
        _ => None,
    });
    body.truncate(length.unwrap_or(usize::MAX));
    let user = |uri: &rsip::Uri| uri.user().unwrap_or_default().to_owned();
    Some(Meaning {
        start: Some(start),
        request_uri,
        call_id: message.call_id_header().ok().map(|c| c.value().trim().to_owned()),
        cseq: cseq.map(|c| (c.seq, c.method.to_string())),
        from: from.filter(|f| understood(&f.uri)).map(|f| (user(&f.uri), f.tag().map(|t| t.value().to_owned()))),
        to: to.filter(|t| understood(&t.uri)).map(|t| (user(&t.uri), t.tag().map(|t| t.value().to_owned()))),
        branch: via.as_ref().and_then(|v| v.branch()).map(|b| b.value().to_owned()),
        sent_by: via.as_ref().map(|v| (v.uri.host().to_string(), v.uri.port().map(|p| *p.value()))),
        contact: contact.and_then(|c| place(&c.uri)),
        body: Some(body),
    })
}

/// Compares the parts that both readers understood; returns how many.
fn compare(name: &str, ours: &Meaning, theirs: &Meaning) -> usize {
    fn part<T: PartialEq + std::fmt::Debug>(name: &str, what: &str, ours: Option<&T>, theirs: Option<&T>) -> usize {
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return 0 };
        assert_eq!(ours, theirs, "{name}: {what}, ours left, rsip right");
        1
    }
    part(name, "start line", ours.start.as_ref(), theirs.start.as_ref())
        + part(name, "Request-URI", ours.request_uri.as_ref(), theirs.request_uri.as_ref())
        + part(name, "Call-ID", ours.call_id.as_ref(), theirs.call_id.as_ref())
        + part(name, "CSeq", ours.cseq.as_ref(), theirs.cseq.as_ref())
        + part(name, "From", ours.from.as_ref(), theirs.from.as_ref())
        + part(name, "To", ours.to.as_ref(), theirs.to.as_ref())
        + part(name, "branch", ours.branch.as_ref(), theirs.branch.as_ref())
        + part(name, "sent-by", ours.sent_by.as_ref(), theirs.sent_by.as_ref())
        + part(name, "Contact", ours.contact.as_ref(), theirs.contact.as_ref())
        + part(name, "body", ours.body.as_ref(), theirs.body.as_ref())
}

#[test]
fn ordinary_messages_mean_the_same() {
    for (name, octets) in messages::phones() {
        let ours = ours(&octets).unwrap_or_else(|| panic!("{name} is refused"));
        let theirs = theirs(&octets).unwrap_or_else(|| panic!("{name} is refused by rsip"));
        let compared = compare(&name, &ours, &theirs);
        assert!(compared >= 8, "{name}: only {compared} parts compared: {ours:#?} {theirs:#?}");
    }
}

#[test]
fn torture_messages_that_both_accept_mean_the_same() {
    let mut both = 0;
    for (name, octets) in messages::torture() {
        if let (Some(ours), Some(theirs)) = (ours(&octets), theirs(&octets)) {
            both += 1;
            compare(&name, &ours, &theirs);
        }
    }
    assert!(both >= 10, "only {both} compared");
}

prop_compose! {
    fn host()(name in "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9-]{0,5}[a-z0-9]){0,2}", address in any::<[u8; 4]>(), literal in any::<bool>()) -> String {
        if literal { std::net::Ipv4Addr::from(address).to_string() } else { name }
    }
}

prop_compose! {
    fn uri()(user in "[a-zA-Z0-9+._~!*'-]{1,16}", host in host(), port in proptest::option::of(1_u16..), transport in proptest::option::of("udp|tcp|tls")) -> String {
        let port = port.map_or(String::new(), |p| format!(":{p}"));
        let transport = transport.map_or(String::new(), |t| format!(";transport={t}"));
        format!("sip:{user}@{host}{port}{transport}")
    }
}

prop_compose! {
    fn party()(display in proptest::option::of("[a-zA-Z0-9 ]{1,20}"), uri in uri(), tag in proptest::option::of("[a-zA-Z0-9.-]{1,20}")) -> String {
        let display = display.map_or(String::new(), |d| format!("\"{d}\" "));
        let tag = tag.map_or(String::new(), |t| format!(";tag={t}"));
        format!("{display}<{uri}>{tag}")
    }
}

prop_compose! {
    fn message()(
        method in "INVITE|ACK|BYE|CANCEL|REGISTER|OPTIONS|SUBSCRIBE|NOTIFY|REFER|MESSAGE|INFO|UPDATE|PRACK|PUBLISH",
        status in proptest::option::of(100_u16..700),
        target in uri(), from in party(), to in party(), contact in proptest::option::of(party()),
        via_host in host(), via_port in proptest::option::of(1_u16..), branch in "[a-zA-Z0-9.-]{1,30}",
        call_id in "[a-zA-Z0-9@._-]{1,30}", cseq in 0_u32..0x8000_0000,
        extra in proptest::collection::vec(("X-[A-Za-z]{1,10}", "[ -~]{0,60}"), 0..6),
        body in "[ -~\r\n]{0,80}",
    ) -> String {
        let start = status.map_or_else(|| format!("{method} {target} SIP/2.0"), |s| format!("SIP/2.0 {s} Phrase"));
        let via_port = via_port.map_or(String::new(), |p| format!(":{p}"));
        let contact = contact.map_or(String::new(), |c| format!("Contact: {c}\r\n"));
        let extra: String = extra.iter().map(|(name, value)| format!("{name}: {}\r\n", value.trim())).collect();
        format!(
            "{start}\r\nVia: SIP/2.0/UDP {via_host}{via_port};branch=z9hG4bK{branch}\r\nFrom: {from}\r\nTo: {to}\r\n{contact}{extra}\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn generated_messages_mean_the_same(message in message()) {
        let ours = ours(message.as_bytes());
        prop_assert!(ours.is_some(), "refused");
        if let (Some(ours), Some(theirs)) = (ours, theirs(message.as_bytes())) {
            compare("generated", &ours, &theirs);
        }
    }
}
