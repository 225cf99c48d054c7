//! A small site and the messages of its phones, for tests.

use crate::{
    Limits,
    directory::{Directory, Emergency, Endpoint, Location, NumberPattern, Pool, Source, Trunk},
    site::Site,
};
use bytes::Bytes;
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::from_unix_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn udp(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: "192.0.2.1:5060".parse().unwrap(), remote: remote.parse().unwrap(), connection: 0 }
}

pub(crate) fn tcp(remote: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, connection, ..udp(remote) }
}

pub(crate) fn message(text: &str) -> Message {
    Message::parse(Bytes::from(text.replace('\n', "\r\n")), &sip::Limits::default()).unwrap()
}

/// A REGISTER of `user`; `lines` are further header lines, each with its line end.
pub(crate) fn register(user: &str, call_id: &str, cseq: u32, lines: &str) -> Message {
    message(&format!(
        "REGISTER sip:sip.example SIP/2.0\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bK{cseq}\nMax-Forwards: 70\nFrom: <sip:{user}@cloud.example>;tag=1\n\
         To: <sip:{user}@cloud.example>\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\n{lines}Content-Length: 0\n\n"
    ))
}

/// An INVITE to `uri`.
pub(crate) fn invite(uri: &str, lines: &str) -> Message {
    message(&format!(
        "INVITE {uri} SIP/2.0\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bKi\nMax-Forwards: 70\nFrom: \"Front \\\"desk\\\"\" <sip:1001@cloud.example>;tag=1\n\
         To: <{uri}>\nCall-ID: call\nCSeq: 1 INVITE\n{lines}Content-Length: 0\n\n"
    ))
}

pub(crate) fn endpoint(id: &str, extension: &str) -> Endpoint {
    Endpoint {
        id: id.to_owned(),
        extension: extension.to_owned(),
        username: format!("user-{extension}"),
        ha1: Ha1::default(),
        name: format!("Phone {extension}"),
        enabled: true,
        licence: Some("site".to_owned()),
        location: None,
        mac: None,
        numbers: Vec::new(),
    }
}

pub(crate) fn trunk(name: &str, uri: &str, source: &str) -> Trunk {
    let source = source.parse().map(Source::Address).or_else(|_| source.parse().map(Source::Network)).unwrap();
    Trunk {
        name: name.to_owned(),
        uri: uri.to_owned(),
        sources: vec![source],
        username: None,
        password: None,
        numbers: vec![NumberPattern("+44203000%".to_owned())],
        ..Trunk::default()
    }
}

pub(crate) fn emergency() -> Emergency {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    Emergency {
        numbers: texts(&["112", "911", "999"]),
        test_numbers: texts(&["933"]),
        trunks: texts(&["first", "second"]),
        networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        outside_prefixes: texts(&["9", "0"]),
        ..Emergency::default()
    }
}

/// Three phones (`desk-1` with a direct number and a place, `desk-2`, `desk-3` disabled), three trunks, two places, two seats.
pub(crate) fn directory() -> Directory {
    let desk_1 = Endpoint { numbers: vec!["+442030001234".to_owned()], location: Some("annex".to_owned()), ..endpoint("desk-1", "1001") };
    let desk_3 = Endpoint { enabled: false, ..endpoint("desk-3", "1003") };
    let place = |name: &str, network: &str, elin: Option<&str>| Location {
        name: name.to_owned(),
        networks: vec![network.parse().unwrap()],
        elin: elin.map(str::to_owned),
        address: None,
        ..Location::default()
    };
    Directory::new(
        "sip.example".to_owned(),
        vec![desk_1, endpoint("desk-2", "1002"), desk_3],
        vec![Pool::new("site", 2)],
        vec![
            trunk("first", "sip:192.0.2.10:5060;transport=udp", "192.0.2.10/32"),
            trunk("second", "sips:[2001:db8::5]", "2001:db8::5/128"),
            trunk("spare", "sip:spare.example;user=phone", "10.1.0.99:5060"),
        ],
        emergency(),
        vec![
            place("hq", "10.0.0.0/8", Some("+442030001111")),
            place("annex", "10.1.0.0/16", Some("+442030002222")),
            place("lab", "10.2.0.0/16", None),
        ],
    )
}

pub(crate) fn site() -> Site {
    let site = Site::new(directory(), Limits::default());
    site.trunks.set_flows("first", vec![udp("192.0.2.10:5060")]);
    site.trunks.set_flows("second", vec![tcp("[2001:db8::5]:5061", 0)]);
    site.trunks.set_flows("spare", vec![udp("203.0.113.7:5060")]);
    site
}
