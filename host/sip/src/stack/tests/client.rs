//! Client transactions in virtual time.

use super::*;
use expect_test::expect;

#[test]
fn invite_that_nobody_hears() {
    cov_mark::check!(rfc3261_17_1_1_2_timer_a);
    cov_mark::check!(rfc3261_17_1_1_2_timer_b);
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    bench.wait(Duration::from_secs(60));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.500       timer A
                    → INVITE to 198.51.100.7:5060
        1.500       timer A
                    → INVITE to 198.51.100.7:5060
        3.500       timer A
                    → INVITE to 198.51.100.7:5060
        7.500       timer A
                    → INVITE to 198.51.100.7:5060
        15.500      timer A
                    → INVITE to 198.51.100.7:5060
        31.500      timer A
                    → INVITE to 198.51.100.7:5060
        32.000      timer B
                    failed Timeout
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
    assert!(bench.sent.iter().all(|bytes| bytes == bench.sent()), "the same bytes each time");
}

#[test]
fn other_request_that_nobody_hears() {
    cov_mark::check!(rfc3261_17_1_2_2_timer_e);
    cov_mark::check!(rfc3261_17_1_2_2_timer_f);
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Options);
    bench.wait(Duration::from_secs(60));
    expect![[r#"
        0.000       request OPTIONS
                    → OPTIONS to 198.51.100.7:5060
        0.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        1.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        3.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        7.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        11.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        15.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        19.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        23.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        27.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        31.500      timer E
                    → OPTIONS to 198.51.100.7:5060
        32.000      timer F
                    failed Timeout
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn streams_do_not_retransmit() {
    for method in [Method::Invite, Method::Options] {
        let mut bench = Bench::new(Transport::Tls);
        bench.request(method);
        bench.wait(Duration::from_secs(60));
        assert_eq!(bench.sent.len(), 1);
        assert!(bench.take().ends_with("failed Timeout\n"));
        assert_eq!(bench.stack.transactions(), (0, 0));
    }
}

#[test]
fn provisional_answer_slows_other_requests_down() {
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Options);
    bench.receive(answer(&bench.sent().clone(), 100));
    bench.wait(Duration::from_secs(9));
    expect![[r#"
        0.000       request OPTIONS
                    → OPTIONS to 198.51.100.7:5060
        0.000       ← 100 (OPTIONS)
                    deliver 100
        0.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        4.500       timer E
                    → OPTIONS to 198.51.100.7:5060
        8.500       timer E
                    → OPTIONS to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn refused_invite_is_acknowledged_each_time() {
    cov_mark::check!(rfc3261_17_1_1_3_ack);
    cov_mark::check!(rfc3261_17_1_1_2_ack_again);
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.receive(answer(&invite, 100));
    bench.receive(answer(&invite, 486));
    bench.receive(answer(&invite, 486));
    bench.receive(answer(&invite, 180));
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 100 (INVITE)
                    deliver 100
        0.000       ← 486 (INVITE)
                    → ACK to 198.51.100.7:5060
                    deliver 486
        0.000       ← 486 (INVITE)
                    → ACK to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
        32.000      timer D
    "#]]
    .assert_eq(&bench.take());
    let (ack, invite) = (parse(bench.sent()), parse(&invite));
    assert_eq!(ack.request_uri(), invite.request_uri());
    assert_eq!(ack.via().unwrap().raw, invite.via().unwrap().raw);
    assert_eq!(ack.from().unwrap().raw, invite.from().unwrap().raw);
    assert_eq!(ack.to().unwrap().tag(), Some(b"peer".as_slice()));
    assert_eq!((ack.cseq().unwrap().number, ack.cseq().unwrap().method), (1, b"ACK".as_slice()));
    assert_eq!(ack.call_id(), invite.call_id());
}

#[test]
fn every_2xx_is_delivered() {
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.receive(answer(&invite, 180));
    bench.receive(answer(&invite, 200));
    bench.wait(Duration::from_secs(31));
    bench.receive(answer(&invite, 200));
    bench.wait(Duration::from_secs(2));
    bench.receive(answer(&invite, 200));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
                    deliver 180
        0.000       ← 200 (INVITE)
                    deliver 200
        31.000      ← 200 (INVITE)
                    deliver 200
        32.000      timer M
        33.000      ← 200 (INVITE)
                    dropped stray-response
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn an_acknowledged_2xx_that_comes_again_is_acknowledged_by_the_stack() {
    cov_mark::check!(rfc3261_13_2_2_4_ack_again);
    let mut bench = Bench::new(Transport::Udp);
    let id = bench.request(Method::Invite);
    let invite = bench.sent().clone();
    let ok = answer(&invite, 200);
    bench.receive(&ok);
    bench.acknowledge(id, "peer");
    bench.receive(&ok);
    // Another fork has an ACK of its own, and the transaction user has not sent it yet.
    bench.receive(String::from_utf8_lossy(&ok).replace("tag=peer", "tag=fork"));
    bench.wait(Duration::from_secs(31));
    bench.receive(&ok);
    bench.wait(Duration::from_secs(2));
    bench.receive(&ok);
    bench.acknowledge(id, "peer");
    let acks: Vec<_> = bench.sent.iter().filter(|bytes| bytes.starts_with(b"ACK ")).collect();
    assert_eq!(acks.len(), 4, "one each time, and one after the end of the transaction");
    assert!(acks[0] == acks[1] && acks[1] == acks[2], "the same ACK each time");
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 200 (INVITE)
                    deliver 200
        0.000       acknowledge peer
                    → ACK to 198.51.100.7:5060
        0.000       ← 200 (INVITE)
                    → ACK to 198.51.100.7:5060
        0.000       ← 200 (INVITE)
                    deliver 200
        31.000      ← 200 (INVITE)
                    → ACK to 198.51.100.7:5060
        32.000      timer M
        33.000      ← 200 (INVITE)
                    dropped stray-response
        33.000      acknowledge peer
                    → ACK to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn an_ack_goes_again_over_the_connection_on_which_its_2xx_comes() {
    let mut bench = Bench::new(Transport::Tcp);
    let id = bench.request(Method::Invite);
    let ok = answer(&bench.sent().clone(), 200);
    bench.receive(&ok);
    bench.acknowledge(id, "peer");
    bench.flow.connection = 2;
    let mut out = Outbox::new();
    bench.stack.receive(ok, bench.flow, bench.now, &mut out);
    let ways: Vec<u64> = out.iter().map(|effect| if let Effect::Transmit { flow, .. } = effect { flow.connection } else { 0 }).collect();
    assert_eq!(ways, [2]);
}

#[test]
fn cancel_while_it_rings() {
    cov_mark::check!(rfc3261_17_1_3_cancel);
    let mut bench = Bench::new(Transport::Udp);
    let id = bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.receive(answer(&invite, 180));
    bench.cancel(id, Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    let cancel = bench.sent().clone();
    bench.cancel(id, None);
    bench.receive(answer(&cancel, 200));
    bench.receive(answer(&invite, 487));
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
                    deliver 180
        0.000       cancel
                    → CANCEL to 198.51.100.7:5060
        0.000       cancel
        0.000       ← 200 (CANCEL)
        0.000       ← 487 (INVITE)
                    → ACK to 198.51.100.7:5060
                    deliver 487
        5.000       timer K
        32.000      timer D
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
    let (cancel, invite) = (parse(&cancel), parse(&invite));
    assert_eq!(cancel.via().unwrap().raw, invite.via().unwrap().raw);
    assert_eq!(cancel.to().unwrap().raw, invite.to().unwrap().raw);
    assert_eq!((cancel.cseq().unwrap().number, cancel.cseq().unwrap().method), (1, b"CANCEL".as_slice()));
    assert_eq!(cancel.header(crate::header::Name::Reason).unwrap(), b"SIP;cause=200;text=\"Call completed elsewhere\"");
}

#[test]
fn cancel_waits_for_the_first_sign_of_life() {
    cov_mark::check!(rfc3261_9_1_wait);
    cov_mark::check!(rfc3261_9_1_deferred);
    let mut bench = Bench::new(Transport::Tcp);
    let id = bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.cancel(id, None);
    bench.receive(answer(&invite, 100));
    let cancel = bench.sent().clone();
    bench.receive(answer(&invite, 487));
    bench.receive(answer(&cancel, 200));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       cancel
        0.000       ← 100 (INVITE)
                    deliver 100
                    → CANCEL to 198.51.100.7:5060
        0.000       ← 487 (INVITE)
                    → ACK to 198.51.100.7:5060
                    deliver 487
        0.000       ← 200 (CANCEL)
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn the_answer_may_overtake_the_cancel() {
    let mut bench = Bench::new(Transport::Udp);
    let id = bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.receive(answer(&invite, 180));
    bench.cancel(id, None);
    bench.receive(answer(&invite, 200));
    bench.cancel(id, None);
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
                    deliver 180
        0.000       cancel
                    → CANCEL to 198.51.100.7:5060
        0.000       ← 200 (INVITE)
                    deliver 200
        0.000       cancel
        0.500       timer E
                    → CANCEL to 198.51.100.7:5060
        1.500       timer E
                    → CANCEL to 198.51.100.7:5060
        3.500       timer E
                    → CANCEL to 198.51.100.7:5060
        7.500       timer E
                    → CANCEL to 198.51.100.7:5060
        11.500      timer E
                    → CANCEL to 198.51.100.7:5060
        15.500      timer E
                    → CANCEL to 198.51.100.7:5060
        19.500      timer E
                    → CANCEL to 198.51.100.7:5060
        23.500      timer E
                    → CANCEL to 198.51.100.7:5060
        27.500      timer E
                    → CANCEL to 198.51.100.7:5060
        31.500      timer E
                    → CANCEL to 198.51.100.7:5060
        32.000      timer F
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn cancelled_invite_without_a_final_answer() {
    cov_mark::check!(rfc3261_9_1_no_final);
    let mut bench = Bench::new(Transport::Tcp);
    let id = bench.request(Method::Invite);
    bench.receive(answer(&bench.sent().clone(), 180));
    bench.cancel(id, None);
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
                    deliver 180
        0.000       cancel
                    → CANCEL to 198.51.100.7:5060
        32.000      timer C
                    failed Timeout
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn invite_that_rings_for_ever() {
    cov_mark::check!(rfc3261_16_8_timer_c);
    let mut bench = Bench::new(Transport::Tcp);
    bench.request(Method::Invite);
    let invite = bench.sent().clone();
    bench.receive(answer(&invite, 180));
    bench.wait(Duration::from_secs(180));
    bench.receive(answer(&invite, 180));
    bench.wait(Duration::from_secs(300));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← 180 (INVITE)
                    deliver 180
        180.000     ← 180 (INVITE)
                    deliver 180
        365.000     timer C
                    → CANCEL to 198.51.100.7:5060
        397.000     timer C
                    failed Timeout
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn unreachable_peer() {
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    bench.request(Method::Options);
    bench.unreachable(Flow { remote: "198.51.100.8:5060".parse().unwrap(), ..bench.flow });
    bench.unreachable(Flow { transport: Transport::Tcp, ..bench.flow });
    bench.unreachable(bench.flow);
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       request OPTIONS
                    → OPTIONS to 198.51.100.7:5060
        0.000       unreachable udp:198.51.100.8:5060
        0.000       unreachable tcp:198.51.100.7:5060
        0.000       unreachable udp:198.51.100.7:5060
                    failed Unreachable
                    failed Unreachable
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
    assert_eq!(bench.stack.deadline(), None);
}

/// A connection that breaks takes only the requests that went over it; what asked for any connection fails too.
#[test]
fn unreachable_connection() {
    let mut bench = Bench::new(Transport::Tcp);
    let other = Flow { connection: 2, ..bench.flow };
    let any = Flow { connection: 0, ..bench.flow };
    let mut out = Outbox::new();
    let kept = bench.stack.request(our_request(Method::Options), other, bench.now, &mut out);
    let failed = bench.stack.request(our_request(Method::Options), any, bench.now, &mut out);
    out.clear();
    bench.stack.unreachable(bench.flow, bench.now, &mut out);
    let ids: Vec<_> = out.iter().map(|effect| if let Effect::Failed { id, .. } = effect { Some(*id) } else { None }).collect();
    assert_eq!(ids, [Some(failed)]);
    assert_ne!(kept, failed);
    assert_eq!(bench.stack.transactions(), (0, 1));
}

#[test]
fn via_of_ours() {
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Options);
    let first = String::from_utf8(bench.sent().to_vec()).unwrap();
    assert!(first.starts_with("OPTIONS sip:bob@198.51.100.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
    assert!(first.lines().nth(1).unwrap().ends_with(";rport"));
    let local = "[fe80::1%3]:5062".parse().unwrap();
    let mut out = Outbox::new();
    bench.stack.transmit(our_request(Method::Ack), Flow { transport: Transport::Tls, local, ..bench.flow }, &mut out);
    bench.note(out);
    let second = parse(bench.sent());
    assert!(second.via().unwrap().raw.starts_with(b"SIP/2.0/TLS [fe80::1]:5062;branch="));
    assert_ne!(second.via().unwrap().branch(), parse(first.as_bytes()).via().unwrap().branch());
    assert_eq!(bench.stack.transactions(), (0, 1));
}

#[test]
fn client_limit() {
    cov_mark::check!(limit_client_transactions);
    let mut bench = Bench::with(Transport::Udp, Limits { client_transactions: 1, ..Limits::default() });
    let first = bench.request(Method::Options);
    let second = bench.request(Method::Options);
    assert_ne!(first, second);
    expect![[r#"
        0.000       request OPTIONS
                    → OPTIONS to 198.51.100.7:5060
        0.000       request OPTIONS
                    dropped too-many-client-transactions
                    failed Unreachable
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 1));
}

#[test]
fn client_limit_has_a_reserve() {
    let mut bench = Bench::with(Transport::Udp, Limits { client_transactions: 1, ..Limits::default() });
    bench.request(Method::Options);
    bench.request(Method::Options);
    let flow = bench.flow;
    for _ in 0..17 {
        bench.stack.request_urgent(our_request(Method::Invite), flow, start(), &mut Outbox::new());
    }
    assert_eq!(bench.stack.transactions(), (0, Limits::with_reserve(1)), "sixteen more than the limit of one");
}
