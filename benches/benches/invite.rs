//! INVITE in to INVITE out: what one shard does between the octets of a caller's INVITE and the octets of the INVITE to the callee, with the four shipped
//! policies asked on the way. No socket and no clock; what a socket costs is measured by `peers/compare`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a bench fails by panicking")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::{
    calls::{Parts, Shard, Transmit, Unobserved},
    policy::{Engine, EngineSettings},
};
use sip::{
    Instant, Limits, Message,
    build::Writer,
    digest::{Authenticator, Ha1, answer},
    header::Name,
    transport::{Flow, Transport},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use switch::{
    directory::{Directory, Emergency, Endpoint, NumberPattern, Pool, Source, Trunk},
    site::Site,
};

const DOMAIN: &str = "gw.example.net";
const BODY: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 9 101\r\n\
                    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

fn flow(port: u16) -> Flow {
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Flow { transport: Transport::Udp, local: address(5060), remote: address(port), connection: 0 }
}

fn directory() -> Directory {
    let endpoint = Endpoint {
        id: "desk-1".to_owned(),
        extension: "70001".to_owned(),
        username: "70001".to_owned(),
        ha1: Ha1::from_password("70001", DOMAIN, "secret"),
        name: "Bob Example".to_owned(),
        enabled: true,
        licence: Some("site".to_owned()),
        location: None,
        mac: None,
        numbers: Vec::new(),
    };
    let trunk = Trunk {
        name: "bench".to_owned(),
        uri: "sip:127.0.0.1:7300".to_owned(),
        sources: vec![Source::Address(SocketAddr::from(([127, 0, 0, 1], 7300)))],
        username: None,
        password: None,
        numbers: vec![NumberPattern("7%".to_owned())],
    };
    let emergency = Emergency {
        numbers: vec!["112".to_owned()],
        test_numbers: Vec::new(),
        trunks: vec!["bench".to_owned()],
        networks: Vec::new(),
        outside_prefixes: Vec::new(),
    };
    let pool = Pool { pool: "site".to_owned(), seats: 1 };
    Directory::new(DOMAIN.to_owned(), vec![endpoint], vec![pool], vec![trunk], emergency, Vec::new())
}

/// A shard in virtual time, with a phone on port 7000.
struct World {
    shard: Shard,
    now: Instant,
    out: Vec<Transmit>,
    calls: u64,
    _policies: Folder,
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl World {
    fn new(policies: bool) -> Self {
        let folder = Folder(std::env::temp_dir().join(format!("holdfast-bench-{}-{policies}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        if policies {
            Engine::install_shipped(&folder.0).unwrap();
        }
        let site = Arc::new(Site::new(directory(), switch::Limits::default()));
        let engine = Engine::start(&folder.0, site.clone(), EngineSettings { watch: false, ..EngineSettings::default() }).unwrap();
        let shard = Shard::new(Parts {
            index: 0,
            shards: 1,
            exchange: gateway::calls::Exchange::new(1, 16),
            site: site.clone(),
            authenticator: Arc::new(Authenticator::new(DOMAIN, [7; 32], 300, 1_000)),
            runner: engine.runner(site),
            keep: None,
            observer: Arc::new(Unobserved),
            seed: [9; 32],
            limits: Limits::default(),
        });
        let mut world = Self { shard, now: Instant::from_unix_micros(1_800_000_000_000_000), out: Vec::new(), calls: 0, _policies: folder };
        if policies {
            world.register();
        }
        world
    }

    /// One message in; what came out.
    fn step(&mut self, bytes: impl Into<Bytes>, port: u16) -> Vec<(u16, Message)> {
        self.now = self.now + Duration::from_micros(100);
        self.shard.receive(bytes.into(), flow(port), self.now, &mut self.out);
        self.out.drain(..).map(|t| (t.flow.remote.port(), Message::parse(t.bytes, &Limits::default()).unwrap())).collect()
    }

    fn register(&mut self) {
        let request = |cseq: u32, authorization: &str| {
            format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bKr{cseq};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:70001@{DOMAIN}>;tag=r\r\nTo: <sip:70001@{DOMAIN}>\r\nCall-ID: register\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:70001@127.0.0.1:7000>\r\nExpires: 3600\r\n{authorization}Content-Length: 0\r\n\r\n"
            )
        };
        let challenge = self.step(request(1, ""), 7000).pop().unwrap().1;
        let value = challenge.header(Name::WwwAuthenticate).unwrap();
        let credentials = answer(value, "70001", "secret", "REGISTER", &format!("sip:{DOMAIN}"), 1, "c").unwrap();
        let accepted = self.step(request(2, &format!("Authorization: {credentials}\r\n")), 7000).pop().unwrap().1;
        assert_eq!(accepted.status(), 200, "the phone could not register");
    }

    fn invite(&self) -> Bytes {
        let n = self.calls;
        format!(
            "INVITE sip:70001@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7300;branch=z9hG4bK-i-{n};rport\r\nMax-Forwards: 70\r\n\
             From: \"Alice Example\" <sip:alice@{DOMAIN}>;tag=a{n}\r\nTo: \"Bob Example\" <sip:70001@{DOMAIN}>\r\nCall-ID: {n}@bench\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:alice@127.0.0.1:7300;transport=udp>\r\nAllow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE\r\n\
             Supported: replaces, timer, 100rel, norefersub\r\nSession-Expires: 1800;refresher=uac\r\nP-Asserted-Identity: \"Alice Example\" <sip:alice@{DOMAIN}>\r\n\
             User-Agent: ExamplePhone 7.4.2 (build 1189; fw 21.0)\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
        .into()
    }

    /// The measured step: the caller's INVITE goes in; the time it took until the callee's INVITE stands in the outbox.
    fn invite_to_invite(&mut self, invite: Bytes) -> (Duration, Message) {
        let begin = std::time::Instant::now();
        self.shard.receive(invite, flow(7300), self.now, &mut self.out);
        let took = begin.elapsed();
        let out: Vec<Message> = self
            .out
            .drain(..)
            .filter(|t| t.flow.remote.port() == 7000)
            .map(|t| Message::parse(t.bytes, &Limits::default()).unwrap())
            .collect();
        assert_eq!(out.len(), 1, "one INVITE leaves for the phone");
        (took, out.into_iter().next().unwrap())
    }

    /// Brings a call to its end and lets its transactions time out, so that every measured INVITE meets a shard of the same size.
    fn finish(&mut self, invite: &Message) {
        let n = self.calls;
        let mut ok = Writer::response(invite, 200, "OK", Some("b"));
        ok.header(Name::Contact, b"<sip:70001@127.0.0.1:7000>").header(Name::ContentType, b"application/sdp");
        let out = self.step(Bytes::copy_from_slice(ok.finish_response(BODY.as_bytes()).bytes()), 7000);
        let answered = &out.iter().find(|(port, _)| *port == 7300).unwrap().1;
        let to = String::from_utf8_lossy(answered.header(Name::To).unwrap()).into_owned();
        let target = String::from_utf8_lossy(answered.contact().unwrap().uri).into_owned();
        for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
            let request = format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7300;branch=z9hG4bK-{method}-{n};rport\r\nMax-Forwards: 70\r\n\
                 From: \"Alice Example\" <sip:alice@{DOMAIN}>;tag=a{n}\r\nTo: {to}\r\nCall-ID: {n}@bench\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
            );
            for (port, message) in self.step(request, 7300) {
                if port == 7000 && message.is_request() && method == "BYE" {
                    let ok = Writer::response(&message, 200, "OK", None).finish_response(b"");
                    self.step(Bytes::copy_from_slice(ok.bytes()), 7000);
                }
            }
        }
        assert_eq!(self.shard.calls(), 0, "the call has ended");
        self.calls += 1;
        if self.calls.is_multiple_of(64) {
            self.now = self.now + Duration::from_secs(40);
            self.shard.expire(self.now, &mut self.out);
            self.out.clear();
        }
    }
}

fn invite(c: &mut Criterion) {
    let mut world = World::new(true);
    c.bench_function("INVITE in to INVITE out, four policies", |b| {
        b.iter_custom(|iterations| {
            (0..iterations)
                .map(|_| {
                    let invite = world.invite();
                    let (took, out) = world.invite_to_invite(invite);
                    world.finish(&out);
                    took
                })
                .sum()
        });
    });
}

criterion_group!(benches, invite);
criterion_main!(benches);
