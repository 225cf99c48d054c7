//! The keeper as a value: what it sends at which second, and what it makes of the answers.

use super::*;
use crate::{
    Limits,
    bridge::Home,
    directory::{Directory, Trunk},
    fixture::{directory, message},
    site::Site,
};
use expect_test::{Expect, expect};
use sip::{header::Name, stack::Failure};
use std::{fmt::Write as _, time::Duration};

const DIGEST: &str = "Digest realm=\"provider.example\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";

/// A site whose trunk `first` registers (and one that does neither), and its keeper.
struct Rig {
    site: Site,
    keeper: Keeper,
    random: Random,
    now: u64,
    asks: Vec<(u64, Ask)>,
    log: String,
}

fn registering(options: Option<u64>) -> Directory {
    let mut old = directory();
    let trunk = Trunk {
        uri: "sip:provider.example;transport=udp".to_owned(),
        username: Some("acct".to_owned()),
        password: Some("secret".to_owned()),
        reach: Reach {
            register: Some(Register { user: "+4420300".to_owned(), seconds: 600 }),
            options: options.map(Duration::from_secs),
            ..Reach::default()
        },
        ..(*old.trunks[0]).clone()
    };
    old.trunks[0] = Arc::new(trunk);
    old
}

impl Rig {
    fn new(directory: Directory, ways: &[&str]) -> Self {
        let site = Site::new(directory, Limits::default());
        site.trunks.set_flows("first", ways.iter().map(|way| udp(way)).collect());
        let keeper = Keeper::new(Home { index: 0, shards: 1, call_id: |random, _, _| random.token().to_string() });
        Self { site, keeper, random: Random::from_seed([3; 32]), now: 0, asks: Vec::new(), log: String::new() }
    }

    /// Lets so many seconds pass; what is asked meanwhile goes into the log.
    fn wait(&mut self, seconds: u64) {
        for second in 0..=seconds {
            let mut out = Vec::new();
            self.keeper.look(&self.site, at(self.now + second), &mut self.random, &mut out);
            self.take(out, self.now + second);
        }
        self.now += seconds;
    }

    fn take(&mut self, out: Vec<Ask>, second: u64) {
        for ask in out {
            let text = String::from_utf8_lossy(ask.request.bytes()).into_owned();
            let method = text.split(' ').next().unwrap().to_owned();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            let mut line = format!("{second:<5} {method} {}", ask.flow.remote);
            line.extend(field("Expires: ").map(|expires| format!(" for {expires}")));
            if let Some(count) = text.split_once("nc=").and_then(|(_, rest)| rest.get(..8)) {
                write!(line, " +{} {}", field("Proxy-Authorization").map_or("401", |_| "407"), count.trim_start_matches('0')).unwrap();
            }
            writeln!(self.log, "{line}").unwrap();
            self.asks.push((second, ask));
        }
    }

    /// Lets time pass until something is asked.
    fn until_asked(&mut self) {
        while self.asks.is_empty() {
            self.wait(1);
        }
    }

    /// Answers the oldest request that has none; `lines` each with their end.
    fn answer(&mut self, status: u16, lines: &str) {
        let flow = self.asks[0].1.flow;
        self.answer_by(status, lines, flow);
    }

    fn answer_by(&mut self, status: u16, lines: &str, flow: Flow) {
        let (_, ask) = self.asks.remove(0);
        let request = String::from_utf8_lossy(ask.request.bytes()).into_owned();
        let copied = ["From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{}\n", request.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap()))
            .concat();
        let answer =
            message(&format!("SIP/2.0 {status} So\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\n{copied}{lines}Content-Length: 0\n\n"));
        assert!(answer.header(Name::CallId).is_some());
        writeln!(self.log, "{:<5} {status}", self.now).unwrap();
        let mut out = Vec::new();
        self.keeper.answered(ask.id, &answer, flow, &self.site, at(self.now), &mut self.random, &mut out);
        self.take(out, self.now);
    }

    /// The oldest request that has no answer will get none.
    fn fail(&mut self, why: Failure) {
        let (_, ask) = self.asks.remove(0);
        writeln!(self.log, "{:<5} {why:?}", self.now).unwrap();
        let mut out = Vec::new();
        self.keeper.failed(ask.id, why, &self.site, at(self.now), &mut self.random, &mut out);
        self.take(out, self.now);
    }

    fn registration(&self) -> RegistrationReport {
        self.site.trunks.report("first").unwrap().registration.unwrap()
    }

    fn expect(&mut self, expected: &Expect) {
        expected.assert_eq(&std::mem::take(&mut self.log));
    }
}

#[test]
fn registered_with_digest_renewed_with_the_same_nonce_and_taken_back() {
    let mut rig = Rig::new(registering(None), &["192.0.2.10:5060"]);
    rig.wait(0);
    let first = String::from_utf8_lossy(rig.asks[0].1.request.bytes()).into_owned();
    for part in [
        "REGISTER sip:provider.example SIP/2.0",
        "To: <sip:+4420300@provider.example>",
        "From: <sip:+4420300@provider.example>;tag=",
        "Contact: <sip:+4420300@192.0.2.1:5060>",
        "CSeq: 1 REGISTER",
    ] {
        assert!(first.contains(part), "{part} is not in\n{first}");
    }
    rig.answer(401, &format!("WWW-Authenticate: {DIGEST}\n"));
    rig.answer(200, "Contact: <sip:other@203.0.113.1>;expires=9\nContact: <sip:+4420300@192.0.2.1:5060>;expires=100\n");
    assert_eq!((rig.registration().until, rig.registration().flow), (Some(at(100)), Some(udp("192.0.2.10:5060"))));
    rig.wait(80);
    // RFC 7616 3.3: the nonce is too old, and nothing else is wrong.
    rig.answer(401, &format!("WWW-Authenticate: {}, stale=true\n", DIGEST.replace("n1", "n2")));
    rig.answer(200, "Expires: 200\n");
    rig.wait(10);
    let mut out = Vec::new();
    rig.keeper.leave(at(rig.now), &mut rig.random, &mut out);
    rig.take(out, rig.now);
    assert!(!rig.keeper.left());
    rig.answer(407, &format!("Proxy-Authenticate: {}\n", DIGEST.replace("SHA-256", "MD5")));
    rig.answer(200, "");
    assert!(rig.keeper.left());
    rig.wait(1_000);
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     401
        0     REGISTER 192.0.2.10:5060 for 600 +401 1
        0     200
        67    REGISTER 192.0.2.10:5060 for 600 +401 2
        80    401
        80    REGISTER 192.0.2.10:5060 for 600 +401 1
        80    200
        90    REGISTER 192.0.2.10:5060 for 0 +401 2
        90    407
        90    REGISTER 192.0.2.10:5060 for 0 +407 1
        90    200
    "#]]);
}

#[test]
fn what_is_refused_waits_longer_each_time_and_says_what_to_do() {
    let mut rig = Rig::new(registering(None), &["192.0.2.10:5060"]);
    rig.wait(0);
    // The credentials are wrong: the challenge comes again.
    rig.answer(401, &format!("WWW-Authenticate: {DIGEST}\n"));
    rig.answer(401, &format!("WWW-Authenticate: {}\n", DIGEST.replace("n1", "n2")));
    assert_eq!(rig.site.trunks.standing("first"), Standing::Degraded);
    let report = rig.site.trunks.report("first").unwrap();
    assert_eq!(report.why, "it is not registered: the provider answers 401 So");
    assert_eq!(report.remedy().unwrap(), "check `username` and `password` of the trunk");
    for _ in 0..8 {
        rig.wait(1_801);
        rig.answer(403, "");
    }
    // It is asked for an algorithm that is not spoken here.
    rig.wait(1_801);
    rig.answer(401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=SHA-512-256\n");
    assert!(rig.registration().trouble.unwrap().remedy.contains("MD5 and SHA-256"));
    // It wants to be left alone for an hour, and is, though no longer than anybody.
    rig.wait(1_801);
    rig.answer(503, "Retry-After: 100000\n");
    rig.wait(1_799);
    rig.wait(2);
    rig.answer(200, "");
    assert_eq!(rig.registration().trouble, None);
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     401
        0     REGISTER 192.0.2.10:5060 for 600 +401 1
        0     401
        37    REGISTER 192.0.2.10:5060 for 600
        1801  403
        1864  REGISTER 192.0.2.10:5060 for 600
        3602  403
        3802  REGISTER 192.0.2.10:5060 for 600
        5403  403
        5676  REGISTER 192.0.2.10:5060 for 600
        7204  403
        7988  REGISTER 192.0.2.10:5060 for 600
        9005  403
        10111 REGISTER 192.0.2.10:5060 for 600
        10806 403
        12502 REGISTER 192.0.2.10:5060 for 600
        12607 403
        13971 REGISTER 192.0.2.10:5060 for 600
        14408 403
        15410 REGISTER 192.0.2.10:5060 for 600
        16209 401
        17830 REGISTER 192.0.2.10:5060 for 600
        18010 503
        19810 REGISTER 192.0.2.10:5060 for 600
        19811 200
    "#]]);
}

#[test]
fn too_brief_an_interval_is_made_longer_once() {
    cov_mark::check!(rfc3261_10_2_8_interval_too_brief);
    let mut rig = Rig::new(registering(None), &["192.0.2.10:5060"]);
    rig.wait(0);
    rig.answer(423, "Min-Expires: 1800\n");
    rig.answer(423, "Min-Expires: 3600\n");
    assert!(rig.registration().trouble.unwrap().remedy.contains("register_seconds"));
    rig.wait(60);
    rig.answer(200, "Contact: <sip:+4420300@192.0.2.1:5060>;expires=1800\n");
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     423
        0     REGISTER 192.0.2.10:5060 for 1800
        0     423
        43    REGISTER 192.0.2.10:5060 for 1800
        60    200
    "#]]);
}

#[test]
fn each_address_is_tried_before_it_waits() {
    let mut rig = Rig::new(registering(None), &["192.0.2.10:5060", "192.0.2.11:5060", "192.0.2.12:5060"]);
    rig.wait(0);
    rig.wait(32);
    rig.fail(Failure::Timeout);
    rig.fail(Failure::Unreachable);
    rig.answer(503, "");
    assert!(rig.registration().next.is_some());
    rig.wait(60);
    rig.answer(200, "Expires: 600\n");
    // Its address is gone from what the name resolves to: within seconds, at another.
    rig.site.trunks.set_flows("first", vec![udp("192.0.2.11:5060"), udp("192.0.2.12:5060")]);
    rig.wait(3);
    rig.answer(200, "Expires: 600\n");
    // It does not answer calls there any more, and does elsewhere.
    for _ in 0..2 {
        rig.site.trunks.note("first", udp("192.0.2.11:5060"), Sign::Silent, at(rig.now));
    }
    rig.wait(3);
    rig.answer(200, "Expires: 600\n");
    assert_eq!(rig.registration().flow, Some(udp("192.0.2.12:5060")));
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        32    Timeout
        32    REGISTER 192.0.2.11:5060 for 600
        32    Unreachable
        32    REGISTER 192.0.2.12:5060 for 600
        32    503
        84    REGISTER 192.0.2.10:5060 for 600
        92    200
        94    REGISTER 192.0.2.11:5060 for 600
        95    200
        97    REGISTER 192.0.2.12:5060 for 600
        98    200
    "#]]);
}

#[test]
fn a_lost_connection_registers_anew() {
    let mut rig = Rig::new(registering(None), &[]);
    rig.site.trunks.set_flows("first", vec![crate::fixture::tcp("192.0.2.10:5060", 0)]);
    rig.wait(0);
    rig.answer_by(200, "Expires: 600\n", crate::fixture::tcp("192.0.2.10:5060", 7));
    // Somebody else's.
    assert_eq!(rig.registration().flow, Some(crate::fixture::tcp("192.0.2.10:5060", 0)));
    rig.keeper.lost(crate::fixture::tcp("192.0.2.10:5060", 8), at(rig.now), &mut rig.random);
    rig.wait(100);
    rig.keeper.lost(crate::fixture::tcp("192.0.2.10:5060", 7), at(rig.now), &mut rig.random);
    rig.wait(2);
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     200
        101   REGISTER 192.0.2.10:5060 for 600
    "#]]);
}

#[test]
fn another_account_registers_when_the_old_has_been_taken_back() {
    let mut rig = Rig::new(registering(None), &["192.0.2.10:5060"]);
    rig.wait(0);
    rig.answer(200, "Expires: 600\n");
    rig.wait(10);
    let mut changed = registering(None);
    changed.trunks[0] = Arc::new(Trunk { username: Some("other".to_owned()), ..(*changed.trunks[0]).clone() });
    rig.site.replace_directory(changed, at(rig.now));
    rig.wait(5);
    rig.answer(200, "");
    rig.wait(1);
    // And a trunk that is gone is taken back, and no more.
    rig.answer(200, "Expires: 600\n");
    let mut gone = registering(None);
    gone.trunks.remove(0);
    rig.site.replace_directory(gone, at(rig.now));
    rig.wait(600);
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     200
        11    REGISTER 192.0.2.10:5060 for 0
        15    200
        16    REGISTER 192.0.2.10:5060 for 600
        16    200
        17    REGISTER 192.0.2.10:5060 for 0
    "#]]);
}

#[test]
fn asked_whether_it_is_there() {
    let mut rig = Rig::new(registering(Some(30)), &["192.0.2.10:5060"]);
    rig.wait(0);
    rig.answer(200, "Expires: 3600\n");
    // Any answer is a sign of life, but 503 and 408.
    rig.until_asked();
    rig.answer(404, "");
    assert_eq!(rig.site.trunks.standing("first"), Standing::Up);
    rig.until_asked();
    rig.answer(503, "");
    // The next is not answered in five seconds.
    rig.until_asked();
    rig.wait(4);
    assert_eq!(rig.site.trunks.standing("first"), Standing::Degraded);
    rig.wait(1);
    assert_eq!(rig.site.trunks.standing("first"), Standing::Down);
    // When it comes at last, that is slow, and no recovery.
    rig.answer(200, "");
    for _ in 0..3 {
        assert_eq!(rig.site.trunks.standing("first"), Standing::Degraded);
        rig.until_asked();
        rig.answer(200, "");
    }
    assert_eq!(rig.site.trunks.standing("first"), Standing::Up);
    let changes = rig.site.trunks.take_changes().into_iter().filter(|change| &*change.trunk == "first");
    let told = changes.map(|change| format!("{}: {}", change.to.name(), change.why));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "degraded: udp:192.0.2.10:5060 answers 503",
            "down: udp:192.0.2.10:5060 does not answer",
            "degraded: udp:192.0.2.10:5060 answers after 5000 ms",
            "up: "
        ]
    );
    rig.expect(&expect![[r#"
        0     REGISTER 192.0.2.10:5060 for 600
        0     200
        23    OPTIONS 192.0.2.10:5060
        23    404
        51    OPTIONS 192.0.2.10:5060
        51    503
        62    OPTIONS 192.0.2.10:5060
        67    200
        72    OPTIONS 192.0.2.10:5060
        72    200
        82    OPTIONS 192.0.2.10:5060
        82    200
        92    OPTIONS 192.0.2.10:5060
        92    200
    "#]]);
}

#[test]
fn a_provider_that_is_seen_again_is_registered_at_soon() {
    let mut rig = Rig::new(registering(Some(30)), &["192.0.2.10:5060"]);
    for _ in 0..5 {
        // Neither REGISTER nor OPTIONS is answered.
        rig.wait(32);
        while !rig.asks.is_empty() {
            rig.fail(Failure::Timeout);
        }
    }
    assert_eq!(rig.site.trunks.standing("first"), Standing::Down);
    rig.log.clear();
    rig.until_asked();
    rig.answer(200, "");
    rig.until_asked();
    rig.answer(200, "Expires: 600\n");
    rig.expect(&expect![[r#"
        164   OPTIONS 192.0.2.10:5060
        164   200
        166   REGISTER 192.0.2.10:5060 for 600
        166   200
    "#]]);
}
