//! Shards with phones: messages go in as octets and come out as octets, in virtual time. No socket and no clock; what a socket costs is measured by
//! `peers/compare`.

use bytes::Bytes;
use gateway::{
    calls::{Exchange, Parts, Shard, Transmit, Unobserved},
    policy::{Engine, EngineSettings},
};
use sip::{
    Instant, Message,
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
/// The caller is a trunk: its calls are not challenged.
const CALLER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7300);
const BODY: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 9 101\r\n\
                    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
/// Calls until their transactions time out together.
const ROUND: u64 = 256;

/// What shards share: so many phones, a trunk, the four shipped policies.
pub struct Office {
    site: Arc<Site>,
    engine: Arc<Engine>,
    exchange: Arc<Exchange>,
    authenticator: Arc<Authenticator>,
    phones: usize,
    shards: usize,
    _policies: tempfile::TempDir,
}

/// One shard of an office.
pub struct Desk {
    shard: Shard,
    now: Instant,
    out: Vec<Transmit>,
    calls: u64,
    refreshed: u32,
    phones: usize,
    index: usize,
}

fn extension(phone: usize) -> String {
    format!("7{phone:05}")
}

fn phone(phone: usize) -> SocketAddr {
    let [_, a, b, c] = u32::try_from(phone).unwrap().to_be_bytes();
    SocketAddr::from(([10, a, b, c], 5060))
}

fn flow(remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local: SocketAddr::from(([127, 0, 0, 1], 5060)), remote, connection: 0 }
}

impl Office {
    /// With so many phones, for so many shards.
    #[must_use]
    pub fn new(phones: usize, shards: usize) -> Self {
        let endpoint = |n: usize| Endpoint {
            id: format!("desk-{n}"),
            extension: extension(n),
            username: extension(n),
            ha1: Ha1::from_password(&extension(n), DOMAIN, "secret"),
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
            sources: vec![Source::Address(CALLER)],
            username: None,
            password: None,
            numbers: vec![NumberPattern("7%".to_owned())],
            ..Trunk::default()
        };
        let emergency = Emergency {
            numbers: vec!["112".to_owned()],
            test_numbers: Vec::new(),
            trunks: vec!["bench".to_owned()],
            networks: Vec::new(),
            outside_prefixes: Vec::new(),
            ..Emergency::default()
        };
        let pool = Pool::new("site", u32::try_from(phones).unwrap());
        let endpoints = (0..phones).map(endpoint).collect();
        let directory = Directory::new(DOMAIN.to_owned(), endpoints, vec![pool], vec![trunk], emergency, Vec::new());
        let week = Duration::from_secs(604_800);
        let limits = switch::Limits { bindings: 200_000, expires_max: week, ..switch::Limits::default() };
        let site = Arc::new(Site::new(directory, limits));
        let policies = tempfile::tempdir().unwrap();
        Engine::install_shipped(policies.path()).unwrap();
        let settings = EngineSettings { watch: false, ..EngineSettings::default() };
        let engine = Engine::start(policies.path(), Arc::clone(&site), settings).unwrap();
        let authenticator = Arc::new(Authenticator::new(DOMAIN, [7; 32], 604_800, 1_000));
        Self { site, engine, exchange: Exchange::new(shards, 16), authenticator, phones, shards, _policies: policies }
    }

    /// A shard, to be made on the thread that uses it.
    #[must_use]
    pub fn desk(&self, index: usize) -> Desk {
        let shard = Shard::new(Parts {
            index,
            shards: self.shards,
            exchange: Arc::clone(&self.exchange),
            site: Arc::clone(&self.site),
            authenticator: Arc::clone(&self.authenticator),
            runner: self.engine.runner(Arc::clone(&self.site)),
            keep: None,
            observer: Arc::new(Unobserved),
            seed: [u8::try_from(index).unwrap(); 32],
            limits: sip::Limits::default(),
        });
        let now = Instant::from_unix_micros(1_800_000_000_000_000);
        Desk { shard, now, out: Vec::new(), calls: 0, refreshed: 0, phones: self.phones, index }
    }
}

impl Desk {
    /// One message in; what came out.
    fn step(&mut self, bytes: impl Into<Bytes>, from: SocketAddr) -> Vec<(SocketAddr, Message)> {
        self.now = self.now + Duration::from_micros(100);
        self.shard.receive(bytes.into(), flow(from), self.now, &mut self.out);
        self.out.drain(..).map(|t| (t.flow.remote, Message::parse(t.bytes, &sip::Limits::default()).unwrap())).collect()
    }

    /// Registers every phone.
    pub fn register_all(&mut self) {
        for n in 0..self.phones {
            let challenge = self.step(register(n, 1, ""), phone(n)).pop().unwrap().1;
            let second = register(n, 2, &credentials(n, &challenge, 1));
            let accepted = self.step(second, phone(n)).pop().unwrap().1;
            assert_eq!(accepted.status(), 200, "a phone could not register");
            if n % 1000 == 0 {
                self.tidy_up();
            }
        }
        self.tidy_up();
    }

    /// The time that a phone's next REGISTER takes, credentials and all.
    pub fn refresh(&mut self) -> Duration {
        self.refreshed += 1;
        let n = (self.refreshed as usize * 7919) % self.phones;
        let cseq = 2 + self.refreshed;
        let challenge = self.step(register(n, cseq, ""), phone(n)).pop().unwrap().1;
        let request = register(n, cseq + 1, &credentials(n, &challenge, 1));
        let begin = std::time::Instant::now();
        self.now = self.now + Duration::from_micros(100);
        self.shard.receive(request.into(), flow(phone(n)), self.now, &mut self.out);
        let took = begin.elapsed();
        assert!(self.out.drain(..).all(|t| t.bytes.starts_with(b"SIP/2.0 200 ")), "a phone could not register again");
        if self.refreshed.is_multiple_of(256) {
            self.tidy_up();
        }
        took
    }

    /// The caller's next INVITE.
    #[must_use]
    pub fn invite(&self) -> Bytes {
        let (n, shard) = (self.calls, self.index);
        let called = extension((usize::try_from(n).unwrap() * 7919) % self.phones);
        format!(
            "INVITE sip:{called}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7300;branch=z9hG4bK-i-{shard}-{n};rport\r\nMax-Forwards: 70\r\n\
             From: \"Alice Example\" <sip:alice@{DOMAIN}>;tag=a{n}\r\nTo: \"Bob Example\" <sip:{called}@{DOMAIN}>\r\nCall-ID: {n}@bench{shard}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:alice@127.0.0.1:7300;transport=udp>\r\nAllow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE\r\n\
             Supported: replaces, timer, 100rel, norefersub\r\nSession-Expires: 1800;refresher=uac\r\nP-Asserted-Identity: \"Alice Example\" <sip:alice@{DOMAIN}>\r\n\
             User-Agent: ExamplePhone 7.4.2 (build 1189; fw 21.0)\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
        .into()
    }

    /// The caller's INVITE goes in; the time it took until the callee's INVITE stands in the outbox, and that INVITE.
    pub fn invite_to_invite(&mut self, invite: Bytes) -> (Duration, SocketAddr, Message) {
        let begin = std::time::Instant::now();
        self.shard.receive(invite, flow(CALLER), self.now, &mut self.out);
        let took = begin.elapsed();
        let mut out = self.out.drain(..).filter(|t| t.flow.remote != CALLER);
        let sent = out.next().expect("an INVITE leaves for the phone");
        assert!(out.next().is_none(), "one INVITE leaves for the phone");
        (took, sent.flow.remote, Message::parse(sent.bytes, &sip::Limits::default()).unwrap())
    }

    /// Brings a call to its end; now and then transactions time out, so that every call meets a shard of about the same size.
    pub fn finish(&mut self, callee: SocketAddr, invite: &Message) {
        let (n, shard) = (self.calls, self.index);
        let mut ok = Writer::response(invite, 200, "OK", Some("b"));
        ok.header(Name::Contact, format!("<sip:bob@{callee}>").as_bytes()).header(Name::ContentType, b"application/sdp");
        let out = self.step(Bytes::copy_from_slice(ok.finish_response(BODY.as_bytes()).bytes()), callee);
        let answered = &out.iter().find(|(to, _)| *to == CALLER).unwrap().1;
        let to = String::from_utf8_lossy(answered.header(Name::To).unwrap()).into_owned();
        let target = String::from_utf8_lossy(answered.contact().unwrap().uri).into_owned();
        for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
            let request = format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7300;branch=z9hG4bK-{method}-{shard}-{n};rport\r\nMax-Forwards: 70\r\n\
                 From: \"Alice Example\" <sip:alice@{DOMAIN}>;tag=a{n}\r\nTo: {to}\r\nCall-ID: {n}@bench{shard}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
            );
            for (at, message) in self.step(request, CALLER) {
                if at == callee && message.is_request() && method == "BYE" {
                    let ok = Writer::response(&message, 200, "OK", None).finish_response(b"");
                    self.step(Bytes::copy_from_slice(ok.bytes()), callee);
                }
            }
        }
        assert_eq!(self.shard.calls(), 0, "the call has ended");
        self.calls += 1;
        if self.calls.is_multiple_of(ROUND) {
            self.tidy_up();
        }
    }

    /// A whole call.
    pub fn call(&mut self) {
        let invite = self.invite();
        let (_, callee, sent) = self.invite_to_invite(invite);
        self.finish(callee, &sent);
    }

    fn tidy_up(&mut self) {
        self.now = self.now + Duration::from_secs(33);
        self.shard.expire(self.now, &mut self.out);
        self.out.clear();
    }
}

fn register(n: usize, cseq: u32, authorization: &str) -> String {
    let (extension, at) = (extension(n), phone(n));
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKr{n}-{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{extension}@{DOMAIN}>;tag=r\r\nTo: <sip:{extension}@{DOMAIN}>\r\nCall-ID: register-{n}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:{extension}@{at}>\r\nExpires: 604800\r\n{authorization}Content-Length: 0\r\n\r\n"
    )
}

fn credentials(n: usize, challenge: &Message, count: u32) -> String {
    let value = challenge.header(Name::WwwAuthenticate).unwrap();
    let credentials = answer(value, &extension(n), "secret", "REGISTER", &format!("sip:{DOMAIN}"), count, "c").unwrap();
    format!("Authorization: {credentials}\r\n")
}
