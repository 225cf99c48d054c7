//! The site of the comparison: 500 phones of which two are registered and one has no seat, and a call for each branch of the decision.

use bytes::Bytes;
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::sync::Arc;
use switch::{
    Limits,
    directory::{Directory, Emergency, Endpoint},
    facts::{Call, CallKind, Caller},
    licence::Seat,
    site::Site,
};

pub(crate) const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

pub(crate) fn site() -> Arc<Site> {
    let endpoint = |n: usize| Endpoint {
        id: format!("desk-{n}"),
        extension: (1000 + n).to_string(),
        username: (1000 + n).to_string(),
        ha1: Ha1::default(),
        name: format!("Desk number {n}"),
        enabled: n != 7,
        licence: None,
        location: None,
        mac: None,
        numbers: Vec::new(),
    };
    let emergency =
        Emergency { numbers: Vec::new(), test_numbers: Vec::new(), trunks: Vec::new(), networks: Vec::new(), outside_prefixes: Vec::new() };
    let directory =
        Directory::new("sip.example".to_owned(), (0..500).map(endpoint).collect(), Vec::new(), Vec::new(), emergency, Vec::new());
    let site = Arc::new(Site::new(directory, Limits::default()));
    for (id, emergency_only) in [("desk-0", false), ("desk-1", false), ("desk-2", true)] {
        let request = message(&format!(
            "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK2\r\nMax-Forwards: 70\r\n\
             From: <sip:{id}@sip.example>;tag=1\r\nTo: <sip:{id}@sip.example>\r\nCall-ID: reg-{id}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:{id}@10.1.0.7>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n"
        ));
        let wish = site.registrar.read(&request).unwrap();
        site.register(id, &wish, &request, flow(), Seat::none(), emergency_only, NOW).unwrap();
    }
    site
}

fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: "127.0.0.1:5060".parse().unwrap(), remote: "10.1.0.7:5060".parse().unwrap(), connection: 0 }
}

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &sip::Limits::default()).unwrap()
}

/// A call by an endpoint, or by nobody who is known.
pub(crate) fn call(site: &Site, caller: Option<&str>, called: &str) -> Call {
    Call {
        message: message(&format!(
            "INVITE sip:{called}@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: \"Desk\" <sip:1001@sip.example>;tag=1\r\nTo: <sip:{called}@sip.example>\r\nCall-ID: the-call\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:1001@10.1.0.7>\r\nContent-Length: 0\r\n\r\n"
        )),
        at: NOW,
        flow: flow(),
        caller: caller.map_or(Caller::Unknown, |id| Caller::Endpoint(Arc::clone(site.directory().endpoint(id).unwrap()))),
        kind: CallKind::Normal,
        called: called.to_owned(),
        caller_number: "1001".to_owned(),
        caller_name: "Desk".to_owned(),
        location: None,
        attributes: Vec::new(),
    }
}

/// One call for each branch: rings, no extension, a stranger, a disabled phone, a phone without a seat.
pub(crate) fn calls(site: &Site) -> Vec<Call> {
    vec![
        call(site, Some("desk-0"), "1001"),
        call(site, Some("desk-0"), "2000"),
        call(site, None, "1001"),
        call(site, Some("desk-0"), "1007"),
        call(site, Some("desk-2"), "1001"),
    ]
}
