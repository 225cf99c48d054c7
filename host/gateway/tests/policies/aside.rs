//! A policy that takes long holds up nobody but the call that it decides about: a shard driven by hand, and the zoo, which spins when it is told to.

use crate::case::{NOW, engine};
use bytes::Bytes;
use futures_executor::block_on;
use gateway::{
    calls::{Observer, Parts, Shard, Transmit},
    policy::Engine,
};
use sip::{
    Message,
    digest::{Authenticator, Ha1},
    header::Name,
    transport::{Flow, Transport},
};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use switch::{
    Limits,
    directory::{Directory, Emergency, Endpoint, Source, Trunk},
    record::CallRecord,
    site::Site,
};

const PHONE: &str = "10.1.0.7:5060";
const TRUNK: &str = "10.2.0.1:5060";

/// A phone `1001` with the password `secret`, a trunk whose calls need none, help under 112, `spin` and 933, and two calls at a time.
fn site() -> Arc<Site> {
    let phone = Endpoint {
        id: "desk-1".to_owned(),
        extension: "1001".to_owned(),
        username: "1001".to_owned(),
        ha1: Ha1::from_password("1001", "sip.example", "secret"),
        name: "Reception".to_owned(),
        enabled: true,
        licence: None,
        location: None,
        mac: None,
        numbers: Vec::new(),
    };
    let trunk = Trunk {
        name: "provider".to_owned(),
        uri: format!("sip:{TRUNK}"),
        sources: vec![Source::Address(TRUNK.parse().unwrap())],
        username: None,
        password: None,
        numbers: Vec::new(),
        ..Trunk::default()
    };
    let emergency = Emergency {
        numbers: vec!["112".to_owned()],
        test_numbers: Vec::new(),
        trunks: vec!["provider".to_owned()],
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        outside_prefixes: Vec::new(),
        ..Emergency::default()
    };
    let directory = Directory::new("sip.example".to_owned(), vec![phone], Vec::new(), vec![trunk], emergency, Vec::new());
    let site = Site::new(directory, Limits { calls: 2, ..Limits::default() });
    site.trunks.set_flows("provider", vec![flow(TRUNK)]);
    Arc::new(site)
}

fn flow(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: "10.0.0.1:5060".parse().unwrap(), remote: remote.parse().unwrap(), connection: 0 }
}

/// Counts ended calls.
#[derive(Default)]
struct Ended(AtomicUsize);

impl Observer for Ended {
    fn ended(&self, _record: &CallRecord) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A shard and the zoo. Its spinning is ended by a deadline that is much longer than anything else here takes.
struct Desk {
    _folder: tempfile::TempDir,
    engine: Arc<Engine>,
    shard: Shard,
    ended: Arc<Ended>,
    sent: Vec<Transmit>,
}

impl Desk {
    fn new() -> Self {
        let (folder, site) = (tempfile::tempdir().unwrap(), site());
        fs::copy(env!("HOLDFAST_ZOO"), folder.path().join("10-zoo.wasm")).unwrap();
        let toml = "deadline_ms = 400\ngrants = ['directory', 'settings', 'log', 'clock', 'memory', 'licences', 'trunks']\n";
        fs::write(folder.path().join("10-zoo.toml"), toml).unwrap();
        let engine = engine(folder.path(), &site);
        let runner = engine.runner(Arc::clone(&site));
        let ended = Arc::new(Ended::default());
        let mut shard = Shard::new(Parts {
            index: 0,
            shards: 1,
            exchange: gateway::calls::Exchange::new(1, 16),
            site,
            authenticator: Arc::new(Authenticator::new("sip.example", [7; 32], 300, 1000)),
            runner,
            keep: None,
            observer: Arc::clone(&ended) as Arc<dyn Observer>,
            seed: [7; 32],
            limits: sip::Limits::default(),
        });
        shard.prepare();
        Self { _folder: folder, engine, shard, ended, sent: Vec::new() }
    }

    /// Hands the shard a request; the answers that it gives at once: status and CSeq.
    fn ask(&mut self, from: &str, request: &str) -> Vec<String> {
        self.shard.receive(Bytes::from(request.to_owned()), flow(from), NOW, &mut self.sent);
        self.said()
    }

    /// The first final answer to an INVITE after the shard was handed this one. On a busy machine a quick decision may go aside, too.
    fn first_answer(&mut self, invite: &str) -> String {
        let mut said = self.ask(TRUNK, invite);
        while said.is_empty() {
            said = self.wait();
        }
        said.remove(0)
    }

    /// How often the zoo has been asked or told something.
    fn decided(&self) -> u64 {
        self.engine.status()[0].decisions
    }

    /// Waits until the shard can go on; what it says then.
    fn wait(&mut self) -> Vec<String> {
        block_on(self.shard.ready());
        self.shard.expire(NOW, &mut self.sent);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        let said = self.sent.drain(..).map(|transmit| Message::parse(transmit.bytes, &sip::Limits::default()).unwrap());
        let words = |message: &Message| match message.status() {
            0 => String::from_utf8_lossy(message.method_token()).into_owned(),
            status => format!("{status} {}", String::from_utf8_lossy(message.header(Name::CSeq).unwrap())),
        };
        said.map(|message| words(&message)).collect()
    }
}

/// A request from the trunk; each call has a Call-ID of its own.
fn request(method: &str, to: &str, call: &str) -> String {
    let cseq = if method == "CANCEL" || method == "ACK" { "INVITE" } else { method };
    format!(
        "{method} sip:{to}@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bK-{call}-{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:0@provider.invalid>;tag=1\r\nTo: <sip:{to}@sip.example>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:0@{TRUNK}>\r\nContent-Length: 0\r\n\r\n"
    )
}

const NOTHING: [&str; 0] = [];

#[test]
fn other_calls_are_decided_while_a_policy_spins() {
    let mut desk = Desk::new();
    assert_eq!(desk.ask(TRUNK, &request("INVITE", "spin", "slow")), NOTHING, "nobody knows yet");
    assert_eq!(desk.first_answer(&request("INVITE", "refuse", "quick")), "403 1 INVITE");
    assert_eq!(desk.ask(TRUNK, &request("OPTIONS", "anybody", "alive")), ["200 1 OPTIONS"]);
    assert_eq!(desk.wait(), ["503 1 INVITE"], "the policy was late");
}

#[test]
fn a_call_for_help_waits_for_no_other_decision() {
    let mut desk = Desk::new();
    desk.ask(TRUNK, &request("INVITE", "spin", "slow"));
    desk.ask(TRUNK, &request("INVITE", "spin", "slower"));
    let said = desk.ask(PHONE, &request("INVITE", "112", "help"));
    assert_eq!(said, ["INVITE"], "it goes out at once, although both threads spin");
}

#[test]
fn a_caller_who_hangs_up_before_the_decision_is_answered_at_once() {
    let mut desk = Desk::new();
    desk.ask(TRUNK, &request("INVITE", "spin", "slow"));
    assert_eq!(desk.ask(TRUNK, &request("CANCEL", "spin", "slow")), ["200 1 CANCEL", "487 1 INVITE"]);
    assert_eq!(desk.ask(TRUNK, &request("ACK", "spin", "slow")), NOTHING);
    assert_eq!(desk.wait(), NOTHING, "the decision comes too late to mean anything");
    assert_eq!((desk.shard.calls(), desk.ended.0.load(Relaxed)), (0, 1), "whoever follows calls hears of it");
    assert_eq!(desk.engine.status()[0].faults, 1, "asked about the call, it was late");
    assert_eq!(desk.wait(), NOTHING);
    assert_eq!(desk.engine.status()[0].faults, 2, "told of its end, it spins again, and holds up nobody");
}

#[test]
fn a_call_that_waits_for_its_decision_counts_as_one() {
    let mut desk = Desk::new();
    desk.ask(TRUNK, &request("INVITE", "spin", "one"));
    desk.ask(TRUNK, &request("INVITE", "spin", "two"));
    assert_eq!(desk.ask(TRUNK, &request("INVITE", "refuse", "three")), ["503 1 INVITE"], "limit `calls`");
    assert_eq!([desk.wait(), desk.wait()].concat(), ["503 1 INVITE"; 2]);
    assert_eq!(desk.first_answer(&request("INVITE", "refuse", "four")), "403 1 INVITE", "none is forgotten in the count");
}

#[test]
fn a_registration_waits_like_a_call() {
    let mut desk = Desk::new();
    let register = |number: u32, more: &str| {
        format!(
            "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};branch=z9hG4bK-r-{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:1001@sip.example>;tag=1\r\nTo: <sip:1001@sip.example>\r\nCall-ID: register\r\nCSeq: {number} REGISTER\r\n\
             Contact: <sip:1001@{PHONE}>\r\nExpires: 300\r\nSubject: spin\r\n{more}Content-Length: 0\r\n\r\n"
        )
    };
    desk.shard.receive(Bytes::from(register(1, "")), flow(PHONE), NOW, &mut desk.sent);
    let challenge = Message::parse(desk.sent.remove(0).bytes, &sip::Limits::default()).unwrap();
    let challenge = challenge.header(Name::WwwAuthenticate).unwrap();
    let credentials = sip::digest::answer(challenge, "1001", "secret", "REGISTER", "sip:sip.example", 1, "0a4f113b").unwrap();
    let proved = register(2, &format!("Authorization: {credentials}\r\n"));
    assert_eq!(desk.ask(PHONE, &proved), NOTHING);
    assert_eq!(desk.ask(PHONE, &proved), NOTHING, "sent again, it is still the same request");
    assert_eq!(desk.first_answer(&request("INVITE", "refuse", "quick")), "403 1 INVITE");
    assert_eq!(desk.wait(), ["200 2 REGISTER"], "late is no reason to refuse it");
    assert_eq!(desk.ask(PHONE, &proved), ["200 2 REGISTER"]);
}

#[test]
fn the_policies_are_told_of_a_calls_end() {
    let mut desk = Desk::new();
    desk.ask(PHONE, &request("INVITE", "112", "help"));
    assert_eq!((desk.decided(), desk.ended.0.load(Relaxed)), (1, 0), "the way out for help");
    desk.ask(PHONE, &request("CANCEL", "112", "help"));
    assert_eq!((desk.decided(), desk.ended.0.load(Relaxed)), (2, 1));
}
