use super::{Account, Scene, Style, call, feed::Event, ladder::Ladder, phone::Phone, run, speech, watch};
use crate::{
    calls::Observer as _,
    clock::Clock,
    config::{Listen, default},
    data::DataFolder,
    gateway::Gateway,
    policy::{Hook, Step, Which},
    serve,
};
use bytes::Bytes;
use expect_test::expect;
use sip::{
    Instant,
    transport::{Flow, Transport},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use switch::decision::PolicyFault;

fn account(extension: &str, name: &str) -> Account {
    Account { extension: extension.to_owned(), username: extension.to_owned(), password: "secret".to_owned(), name: name.to_owned() }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn flow(port: u16) -> Flow {
    Flow { transport: Transport::Udp, local: address(5060), remote: address(port), connection: 0 }
}

fn at(micros: u64) -> Instant {
    Instant::from_unix_micros(1_000_000 + micros)
}

fn request(method: &str, uri: &str, call_id: &str) -> Bytes {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7001;branch=z9hG4bK1\r\nFrom: <sip:1001@sip.example>;tag=a\r\nTo: <{uri}>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn response(line: &str, method: &str, call_id: &str) -> Bytes {
    format!(
        "SIP/2.0 {line}\r\nVia: SIP/2.0/UDP 127.0.0.1:7001;branch=z9hG4bK1\r\nFrom: <sip:1001@sip.example>;tag=a\r\nTo: <sip:1002@sip.example>;tag=b\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

fn step(policy: &str, outcome: &str, micros: u64) -> Step {
    let component = Arc::new(Which { version: None, hash: String::new() });
    Step {
        policy: policy.into(),
        component,
        hook: Hook::Routing,
        outcome: outcome.to_owned(),
        passed: outcome == "pass",
        fault: None,
        took: Duration::from_micros(micros),
    }
}

/// A registration and the beginning of a call, as an observer of the gateway sees them.
fn events() -> Vec<Event> {
    let late = Step { fault: Some(PolicyFault::Absent), ..step("licence", "is late", 50_000) };
    vec![
        Event::Received { at: at(0), flow: flow(7001), bytes: request("REGISTER", "sip:sip.example", "r") },
        Event::Sent { at: at(300), flow: flow(7001), bytes: response("401 Unauthorized", "REGISTER", "r") },
        Event::Received { at: at(900), flow: flow(7001), bytes: request("REGISTER", "sip:sip.example", "r") },
        Event::Decided { call_id: "r".into(), steps: vec![step("licence", "admit site", 14)] },
        Event::Sent { at: at(4_900), flow: flow(7001), bytes: response("200 OK", "REGISTER", "r") },
        Event::Received { at: at(9_000), flow: flow(7001), bytes: request("INVITE", "sip:1002@sip.example", "c") },
        // Somebody else's traffic is not part of the picture.
        Event::Received { at: at(9_050), flow: flow(9999), bytes: request("OPTIONS", "sip:sip.example", "o") },
        Event::Sent { at: at(9_100), flow: flow(7001), bytes: response("100 Trying", "INVITE", "c") },
        Event::Decided { call_id: "c".into(), steps: vec![late, step("internal", "route 1 stage", 11)] },
        Event::Sent { at: at(9_400), flow: flow(7002), bytes: request("INVITE", "sip:1002@127.0.0.1:7002", "d") },
        Event::Received { at: at(9_900), flow: flow(7002), bytes: response("180 Ringing", "INVITE", "d") },
    ]
}

fn drawn(style: Style) -> String {
    let (left, right) = (account("1001", "Reception"), account("1002", "A workshop with a very long name"));
    let mut ladder = Ladder::new(style, [(address(7001), &left), (address(7002), &right)]);
    let mut out = anstream::StripStream::new(Vec::new());
    ladder.begin(&mut out).unwrap();
    for event in events() {
        ladder.add(event, &mut out).unwrap();
    }
    ladder.finish(&Ok(speech::Heard { caller: 25, callee: 24 }), 0, &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn a_ladder_for_people() {
    expect![[r#"
               ms 1001 Reception              holdfast                    1002 A workshop with a ver… 
              0.0 │── REGISTER ──────────────▶│                           │
              0.3 │◀── 401 Unauthorized ──────│                           │
              0.9 │── REGISTER ──────────────▶│                           │  licence: admit site 14 µs
              4.9 │◀── 200 OK ────────────────│                           │
              9.0 │── INVITE 1002 ───────────▶│                           │  licence: is late 50000 µs
                  │                           │                           │  internal: route 1 stage 11 µs
              9.1 │◀── 100 Trying ────────────│                           │
              9.4 │                           │── INVITE 1002 ───────────▶│
              9.9 │                           │◀── 180 Ringing ───────────│
        The call worked. Speech went straight from phone to phone: 1001 heard 25 packets, 1002 heard 24.
    "#]]
    .assert_eq(&drawn(Style::Ladder));
}

#[test]
fn a_ladder_for_programs() {
    expect![[r#"
        {"at_us":0,"call_id":"r","decisions":[],"event":"message","from":"1001","message":"REGISTER","to":"holdfast"}
        {"at_us":300,"call_id":"r","decisions":[],"event":"message","from":"holdfast","message":"401 Unauthorized","to":"1001"}
        {"at_us":900,"call_id":"r","decisions":[{"fault":null,"outcome":"admit site","policy":"licence","took_us":14}],"event":"message","from":"1001","message":"REGISTER","to":"holdfast"}
        {"at_us":4900,"call_id":"r","decisions":[],"event":"message","from":"holdfast","message":"200 OK","to":"1001"}
        {"at_us":9000,"call_id":"c","decisions":[{"fault":"is not loaded","outcome":"is late","policy":"licence","took_us":50000},{"fault":null,"outcome":"route 1 stage","policy":"internal","took_us":11}],"event":"message","from":"1001","message":"INVITE 1002","to":"holdfast"}
        {"at_us":9100,"call_id":"c","decisions":[],"event":"message","from":"holdfast","message":"100 Trying","to":"1001"}
        {"at_us":9400,"call_id":"d","decisions":[],"event":"message","from":"holdfast","message":"INVITE 1002","to":"1002"}
        {"at_us":9900,"call_id":"d","decisions":[],"event":"message","from":"1002","message":"180 Ringing","to":"holdfast"}
        {"event":"result","events_lost":0,"ok":true,"packets_heard":{"callee":24,"caller":25}}
    "#]].assert_eq(&drawn(Style::Json));
}

/// A decision is shown beside its message, so a message whose decision is still to come holds back what follows; but not for ever.
#[test]
fn a_message_waits_for_its_decision() {
    let (left, right) = (account("1001", ""), account("1002", ""));
    let mut ladder = Ladder::new(Style::Ladder, [(address(7001), &left), (address(7002), &right)]);
    let mut out = Vec::new();
    ladder.add(Event::Received { at: at(0), flow: flow(7001), bytes: request("INVITE", "sip:1002@sip.example", "c") }, &mut out).unwrap();
    ladder.add(Event::Sent { at: at(1), flow: flow(7001), bytes: response("100 Trying", "INVITE", "c") }, &mut out).unwrap();
    assert!(out.is_empty());
    ladder.flush(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
}

#[test]
fn the_watcher_sees_nothing_while_no_demonstration_plays() {
    let (watcher, mut feed) = watch();
    watcher.received(at(0), flow(7001), b"OPTIONS");
    assert!(feed.try_next().is_none());
    feed.open();
    watcher.received(at(0), flow(7001), b"OPTIONS");
    assert!(feed.try_next().is_some());
    for _ in 0..2_000 {
        watcher.received(at(0), flow(7001), b"OPTIONS");
    }
    assert_eq!(feed.lost(), 2_000 - 1_024, "what does not fit is counted");
}

#[test]
fn a_session_description_says_where_speech_goes() {
    for text in ["127.0.0.1:4000", "[::1]:4002"] {
        let media: SocketAddr = text.parse().unwrap();
        assert_eq!(speech::destination(speech::description(media).as_bytes()), Some(media));
    }
    assert_eq!(speech::destination(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), None);
}

/// Nobody listens: the demonstration ends with a sentence that says so.
#[tokio::test]
async fn without_a_gateway_the_reason_is_given() {
    let free = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_watcher, feed) = watch();
    let scene = Scene { gateway: free, domain: "sip.example".to_owned(), caller: account("1001", "A"), callee: account("1002", "B") };
    let mut out = Vec::new();
    let error = run(&scene, feed, Style::Json, &mut out).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("1001 could not register"), "{error:#}");
    let last = String::from_utf8(out).unwrap().lines().last().unwrap().to_owned();
    assert!(last.contains("\"ok\":false"), "{last}");
}

/// `holdfast call`: through a gateway of its own, to a phone that rings, and to nobody.
#[tokio::test]
async fn a_call_is_given_up_when_it_rings() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let mut config = serve::load(None, &data).unwrap().config;
    config.listen = vec![Listen { transport: Transport::Udp, address: address(0) }];
    let gateway = Gateway::start(&config, &data, None).await.unwrap();
    let at = gateway.address(Transport::Udp).unwrap();
    let accounts = default::accounts(&config.file).unwrap().into_iter();
    let accounts: Vec<Account> =
        accounts.map(|default::Account { extension, username, password, name }| Account { extension, username, password, name }).collect();

    assert_eq!(call(at, &config.domain, &accounts[0], "1002").await.unwrap(), (480, "Temporarily Unavailable".to_owned()));

    let mut callee = Phone::new(&accounts[1], &config.domain, at, Clock::start()).await.unwrap();
    callee.register().await.unwrap();
    let (heard, given_up) = tokio::join!(call(at, &config.domain, &accounts[0], "1002"), async {
        callee.ring().await?;
        callee.is_given_up().await
    });
    assert_eq!(heard.unwrap(), (180, "Ringing".to_owned()));
    given_up.unwrap();
    gateway.stop().await.unwrap();
}
