//! The whole transition table of each machine: every state with every event. Rows that change nothing are left out.

use super::super::{client::*, server::*, timers::*};
use super::*;
use expect_test::{Expect, expect};

const TIMERS: [Timer; 14] = [
    Timer::A,
    Timer::B,
    Timer::C,
    Timer::D,
    Timer::E,
    Timer::F,
    Timer::G,
    Timer::H,
    Timer::I,
    Timer::J,
    Timer::K,
    Timer::L,
    Timer::M,
    Timer::Trying,
];

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Runs every event in every state, and prints what came of it.
fn table<S: Clone, E: Clone>(
    transport: Transport,
    owner: Owner,
    states: &[(&str, S)],
    events: &[(String, E)],
    on: impl Fn(S, E, Instant, &mut Out<'_>) -> S,
    name: impl Fn(&S) -> String,
    expect: &Expect,
) {
    let mut text = String::new();
    for (state_name, state) in states {
        for (event_name, event) in events {
            let (mut effects, mut timers) = (Outbox::new(), Timers::default());
            let mut out =
                Out { owner, flow: flow(transport), quiet: false, effects: &mut effects, timers: &mut timers, send_cancel: false };
            let next = on(state.clone(), event.clone(), start(), &mut out);
            let mut did: Vec<String> = Vec::new();
            let send_cancel = out.send_cancel;
            did.extend(effects.iter().map(show));
            if send_cancel {
                did.push("send CANCEL".into());
            }
            while let Some(due) = timers.first() {
                let millis = due.at.since(start()).as_millis();
                did.push(format!("{:?}={}.{:03}", due.timer, millis / 1000, millis % 1000));
                timers.pop();
            }
            let next = name(&next);
            if next != *state_name || !did.is_empty() {
                writeln!(text, "{state_name:<11} {event_name:<11} {next:<11} {}", did.join(", ")).unwrap();
            }
        }
    }
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    expect.assert_eq(&(trimmed.join("\n") + "\n"));
}

fn with_timers<E>(events: Vec<(&str, E)>, timer: impl Fn(Timer) -> E) -> Vec<(String, E)> {
    let named = events.into_iter().map(|(name, event)| (name.to_string(), event));
    named.chain(TIMERS.map(|t| (format!("timer {t:?}"), timer(t)))).collect()
}

fn invite_server(transport: Transport, expect: &Expect) {
    let at = start();
    let states = [
        ("Proceeding", InviteServer::Proceeding { last: bytes("SIP/2.0 180"), trying: Some(at), c: at }),
        ("Completed", InviteServer::Completed { answer: bytes("SIP/2.0 486"), interval: T1, g: Some(at), h: at }),
        ("Confirmed", InviteServer::Confirmed { i: at }),
        ("Accepted", InviteServer::Accepted { l: at }),
    ];
    let ack = parse(request("ACK", "z9hG4bKa").as_bytes());
    let events = with_timers(
        vec![
            ("INVITE", InviteServerEvent::Again),
            ("ACK", InviteServerEvent::Ack(ack, flow(transport))),
            ("1xx", InviteServerEvent::Provisional(bytes("SIP/2.0 183"))),
            ("2xx", InviteServerEvent::Success(bytes("SIP/2.0 200"))),
            ("3xx-6xx", InviteServerEvent::Refusal(bytes("SIP/2.0 404"))),
        ],
        InviteServerEvent::Timer,
    );
    let name = |state: &InviteServer| {
        match state {
            InviteServer::Proceeding { .. } => "Proceeding",
            InviteServer::Completed { .. } => "Completed",
            InviteServer::Confirmed { .. } => "Confirmed",
            InviteServer::Accepted { .. } => "Accepted",
            InviteServer::Terminated => "-",
        }
        .to_string()
    };
    table(transport, Owner::Server(ServerId(1)), &states, &events, InviteServer::on, name, expect);
}

#[test]
fn invite_server_over_udp() {
    cov_mark::check!(rfc3261_17_2_1_proceeding_again);
    cov_mark::check!(rfc3261_17_2_1_completed_again);
    cov_mark::check!(rfc6026_7_1_absorb_invite);
    invite_server(
        Transport::Udp,
        &expect![[r#"
            Proceeding  INVITE      Proceeding  → 180 () to 198.51.100.7:5060
            Proceeding  1xx         Proceeding  → 183 () to 198.51.100.7:5060, C=1800.000
            Proceeding  2xx         Accepted    → 200 () to 198.51.100.7:5060, L=32.000
            Proceeding  3xx-6xx     Completed   → 404 () to 198.51.100.7:5060, G=0.500, H=32.000
            Proceeding  timer C     -
            Proceeding  timer Trying Proceeding  → 180 () to 198.51.100.7:5060
            Completed   INVITE      Completed   → 486 () to 198.51.100.7:5060
            Completed   ACK         Confirmed   I=5.000
            Completed   timer G     Completed   → 486 () to 198.51.100.7:5060, G=1.000
            Completed   timer H     -           unacknowledged
            Confirmed   timer I     -
            Accepted    ACK         Accepted    deliver ACK
            Accepted    2xx         Accepted    → 200 () to 198.51.100.7:5060
            Accepted    timer L     -
        "#]],
    );
}

#[test]
fn invite_server_over_tcp() {
    invite_server(
        Transport::Tcp,
        &expect![[r#"
            Proceeding  INVITE      Proceeding  → 180 () to 198.51.100.7:5060
            Proceeding  1xx         Proceeding  → 183 () to 198.51.100.7:5060, C=1800.000
            Proceeding  2xx         Accepted    → 200 () to 198.51.100.7:5060, L=32.000
            Proceeding  3xx-6xx     Completed   → 404 () to 198.51.100.7:5060, H=32.000
            Proceeding  timer C     -
            Proceeding  timer Trying Proceeding  → 180 () to 198.51.100.7:5060
            Completed   INVITE      Completed   → 486 () to 198.51.100.7:5060
            Completed   ACK         -
            Completed   timer G     Completed   → 486 () to 198.51.100.7:5060, G=1.000
            Completed   timer H     -           unacknowledged
            Confirmed   timer I     -
            Accepted    ACK         Accepted    deliver ACK
            Accepted    2xx         Accepted    → 200 () to 198.51.100.7:5060
            Accepted    timer L     -
        "#]],
    );
}

fn other_server(transport: Transport, expect: &Expect) {
    let at = start();
    let states = [
        ("Trying", NonInviteServer::Trying { j: at }),
        ("Completed", NonInviteServer::Completed { answer: Some(bytes("SIP/2.0 200")), j: at }),
        ("Silent", NonInviteServer::Completed { answer: None, j: at }),
    ];
    let events = with_timers(
        vec![
            ("request", NonInviteServerEvent::Again),
            ("2xx-6xx", NonInviteServerEvent::Final(bytes("SIP/2.0 404"))),
            ("silence", NonInviteServerEvent::Silence),
        ],
        NonInviteServerEvent::Timer,
    );
    let name = |state: &NonInviteServer| {
        match state {
            NonInviteServer::Trying { .. } => "Trying",
            NonInviteServer::Completed { answer: Some(_), .. } => "Completed",
            NonInviteServer::Completed { answer: None, .. } => "Silent",
            NonInviteServer::Terminated => "-",
        }
        .to_string()
    };
    table(transport, Owner::Server(ServerId(1)), &states, &events, NonInviteServer::on, name, expect);
}

#[test]
fn other_server_over_udp() {
    cov_mark::check!(rfc3261_17_2_2_trying_again);
    other_server(
        Transport::Udp,
        &expect![[r#"
        Trying      2xx-6xx     Completed   → 404 () to 198.51.100.7:5060, J=32.000
        Trying      silence     Silent
        Trying      timer J     -
        Completed   request     Completed   → 200 () to 198.51.100.7:5060
        Completed   timer J     -
        Silent      timer J     -
    "#]],
    );
}

#[test]
fn other_server_over_tcp() {
    cov_mark::check!(rfc3261_17_2_2_reliable);
    other_server(
        Transport::Tcp,
        &expect![[r#"
        Trying      2xx-6xx     -           → 404 () to 198.51.100.7:5060
        Trying      silence     -
        Trying      timer J     -
        Completed   request     Completed   → 200 () to 198.51.100.7:5060
        Completed   timer J     -
        Silent      timer J     -
    "#]],
    );
}

/// An INVITE of ours as it was sent.
fn sent_invite() -> Bytes {
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    bench.sent().clone()
}

fn invite_client(transport: Transport, expect: &Expect) {
    let at = start();
    let invite = sent_invite();
    let calling = |cancel| InviteClient::Calling { request: invite.clone(), interval: T1, a: Some(at), b: at, cancel };
    let proceeding = |cancelled| InviteClient::Proceeding { request: invite.clone(), c: at, cancelled };
    let states = [
        ("Calling", calling(false)),
        ("Calling-", calling(true)),
        ("Proceeding", proceeding(false)),
        ("Proceeding-", proceeding(true)),
        ("Completed", InviteClient::Completed { ack: bytes("ACK"), d: at }),
        ("Accepted", InviteClient::Accepted { m: at, acks: Vec::new() }),
    ];
    let response = |status| InviteClientEvent::Response(parse(&answer(&invite, status)), flow(transport));
    let events = with_timers(
        vec![
            ("100", response(100)),
            ("180", response(180)),
            ("200", response(200)),
            ("486", response(486)),
            ("cancel", InviteClientEvent::Cancel),
            ("unreachable", InviteClientEvent::Unreachable),
        ],
        InviteClientEvent::Timer,
    );
    let name = |state: &InviteClient| {
        match state {
            InviteClient::Calling { cancel: false, .. } => "Calling",
            InviteClient::Calling { cancel: true, .. } => "Calling-",
            InviteClient::Proceeding { cancelled: false, .. } => "Proceeding",
            InviteClient::Proceeding { cancelled: true, .. } => "Proceeding-",
            InviteClient::Completed { .. } => "Completed",
            InviteClient::Accepted { .. } => "Accepted",
            InviteClient::Terminated => "-",
        }
        .to_string()
    };
    table(transport, Owner::Client(ClientId(1)), &states, &events, InviteClient::on, name, expect);
}

/// `-` behind a state: the transaction user has given the call up.
#[test]
fn invite_client_over_udp() {
    cov_mark::check!(rfc6026_7_2_accepted);
    cov_mark::check!(rfc6026_7_2_more_2xx);
    invite_client(
        Transport::Udp,
        &expect![[r#"
        Calling     100         Proceeding  deliver 100, C=185.000
        Calling     180         Proceeding  deliver 180, C=185.000
        Calling     200         Accepted    deliver 200, M=32.000
        Calling     486         Completed   → ACK to 198.51.100.7:5060, deliver 486, D=32.000
        Calling     cancel      Calling-
        Calling     unreachable -           failed Unreachable
        Calling     timer A     Calling     → INVITE to 198.51.100.7:5060, A=1.000
        Calling     timer B     -           failed Timeout
        Calling-    100         Proceeding- deliver 100, send CANCEL, C=32.000
        Calling-    180         Proceeding- deliver 180, send CANCEL, C=32.000
        Calling-    200         Accepted    deliver 200, M=32.000
        Calling-    486         Completed   → ACK to 198.51.100.7:5060, deliver 486, D=32.000
        Calling-    unreachable -           failed Unreachable
        Calling-    timer A     Calling-    → INVITE to 198.51.100.7:5060, A=1.000
        Calling-    timer B     -           failed Timeout
        Proceeding  100         Proceeding  deliver 100
        Proceeding  180         Proceeding  deliver 180, C=185.000
        Proceeding  200         Accepted    deliver 200, M=32.000
        Proceeding  486         Completed   → ACK to 198.51.100.7:5060, deliver 486, D=32.000
        Proceeding  cancel      Proceeding- send CANCEL, C=32.000
        Proceeding  unreachable -           failed Unreachable
        Proceeding  timer C     Proceeding- send CANCEL, C=32.000
        Proceeding- 100         Proceeding- deliver 100
        Proceeding- 180         Proceeding- deliver 180
        Proceeding- 200         Accepted    deliver 200, M=32.000
        Proceeding- 486         Completed   → ACK to 198.51.100.7:5060, deliver 486, D=32.000
        Proceeding- unreachable -           failed Unreachable
        Proceeding- timer C     -           failed Timeout
        Completed   486         Completed   → ACK to 198.51.100.7:5060
        Completed   timer D     -
        Accepted    200         Accepted    deliver 200
        Accepted    timer M     -
    "#]],
    );
}

#[test]
fn invite_client_over_tcp() {
    invite_client(
        Transport::Tcp,
        &expect![[r#"
        Calling     100         Proceeding  deliver 100, C=185.000
        Calling     180         Proceeding  deliver 180, C=185.000
        Calling     200         Accepted    deliver 200, M=32.000
        Calling     486         -           → ACK to 198.51.100.7:5060, deliver 486
        Calling     cancel      Calling-
        Calling     unreachable -           failed Unreachable
        Calling     timer A     Calling     → INVITE to 198.51.100.7:5060, A=1.000
        Calling     timer B     -           failed Timeout
        Calling-    100         Proceeding- deliver 100, send CANCEL, C=32.000
        Calling-    180         Proceeding- deliver 180, send CANCEL, C=32.000
        Calling-    200         Accepted    deliver 200, M=32.000
        Calling-    486         -           → ACK to 198.51.100.7:5060, deliver 486
        Calling-    unreachable -           failed Unreachable
        Calling-    timer A     Calling-    → INVITE to 198.51.100.7:5060, A=1.000
        Calling-    timer B     -           failed Timeout
        Proceeding  100         Proceeding  deliver 100
        Proceeding  180         Proceeding  deliver 180, C=185.000
        Proceeding  200         Accepted    deliver 200, M=32.000
        Proceeding  486         -           → ACK to 198.51.100.7:5060, deliver 486
        Proceeding  cancel      Proceeding- send CANCEL, C=32.000
        Proceeding  unreachable -           failed Unreachable
        Proceeding  timer C     Proceeding- send CANCEL, C=32.000
        Proceeding- 100         Proceeding- deliver 100
        Proceeding- 180         Proceeding- deliver 180
        Proceeding- 200         Accepted    deliver 200, M=32.000
        Proceeding- 486         -           → ACK to 198.51.100.7:5060, deliver 486
        Proceeding- unreachable -           failed Unreachable
        Proceeding- timer C     -           failed Timeout
        Completed   486         Completed   → ACK to 198.51.100.7:5060
        Completed   timer D     -
        Accepted    200         Accepted    deliver 200
        Accepted    timer M     -
    "#]],
    );
}

fn other_client(transport: Transport, expect: &Expect) {
    let at = start();
    let options = bytes("OPTIONS");
    let trying = |provisional| NonInviteClient::Trying { request: options.clone(), interval: T1, provisional, e: Some(at), f: at };
    let states = [("Trying", trying(false)), ("Proceeding", trying(true)), ("Completed", NonInviteClient::Completed { k: at })];
    let invite = sent_invite();
    let response = |status| NonInviteClientEvent::Response(parse(&answer(&invite, status)), flow(transport));
    let events = with_timers(
        vec![("100", response(100)), ("200", response(200)), ("404", response(404)), ("unreachable", NonInviteClientEvent::Unreachable)],
        NonInviteClientEvent::Timer,
    );
    let name = |state: &NonInviteClient| {
        match state {
            NonInviteClient::Trying { provisional: false, .. } => "Trying",
            NonInviteClient::Trying { provisional: true, .. } => "Proceeding",
            NonInviteClient::Completed { .. } => "Completed",
            NonInviteClient::Terminated => "-",
        }
        .to_string()
    };
    table(transport, Owner::Client(ClientId(1)), &states, &events, NonInviteClient::on, name, expect);
}

#[test]
fn other_client_over_udp() {
    cov_mark::check!(rfc3261_17_1_2_2_proceeding);
    cov_mark::check!(rfc3261_17_1_2_2_absorb);
    other_client(
        Transport::Udp,
        &expect![[r#"
        Trying      100         Proceeding  deliver 100
        Trying      200         Completed   deliver 200, K=5.000
        Trying      404         Completed   deliver 404, K=5.000
        Trying      unreachable -           failed Unreachable
        Trying      timer E     Trying      → OPTIONS to 198.51.100.7:5060, E=1.000
        Trying      timer F     -           failed Timeout
        Proceeding  100         Proceeding  deliver 100
        Proceeding  200         Completed   deliver 200, K=5.000
        Proceeding  404         Completed   deliver 404, K=5.000
        Proceeding  unreachable -           failed Unreachable
        Proceeding  timer E     Proceeding  → OPTIONS to 198.51.100.7:5060, E=4.000
        Proceeding  timer F     -           failed Timeout
        Completed   timer K     -
    "#]],
    );
}

#[test]
fn other_client_over_tcp() {
    other_client(
        Transport::Tcp,
        &expect![[r#"
        Trying      100         Proceeding  deliver 100
        Trying      200         -           deliver 200
        Trying      404         -           deliver 404
        Trying      unreachable -           failed Unreachable
        Trying      timer E     Trying      → OPTIONS to 198.51.100.7:5060, E=1.000
        Trying      timer F     -           failed Timeout
        Proceeding  100         Proceeding  deliver 100
        Proceeding  200         -           deliver 200
        Proceeding  404         -           deliver 404
        Proceeding  unreachable -           failed Unreachable
        Proceeding  timer E     Proceeding  → OPTIONS to 198.51.100.7:5060, E=4.000
        Proceeding  timer F     -           failed Timeout
        Completed   timer K     -
    "#]],
    );
}

#[test]
fn a_transaction_without_a_timer_is_seen() {
    let (mut stack, mut out) = (Stack::new(Limits::default(), Random::from_seed([7; 32])), Outbox::new());
    let flow = flow(Transport::Udp);
    stack.receive(Bytes::from(request("INVITE", "z9hG4bKendless")), flow, start(), &mut out);
    stack.request(our_request(Method::Options), flow, start(), &mut out);
    assert_eq!((stack.transactions(), stack.endless()), ((1, 1), 0));
    stack.timers = Timers::default();
    assert_eq!(stack.endless(), 2);
}
