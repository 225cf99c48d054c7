//! What happens to a message before any transaction.

use super::*;
use expect_test::expect;

#[test]
fn requests_that_are_refused_without_a_transaction() {
    cov_mark::check!(rfc3261_16_3_max_forwards);
    cov_mark::check!(ack_of_stateless_answer);
    let mut bench = Bench::new(Transport::Udp);
    let dead = request("INVITE", "z9hG4bKa").replace("Max-Forwards: 70", "Max-Forwards: 0");
    bench.receive(&dead);
    let first = bench.sent().clone();
    bench.receive(&dead);
    assert_eq!(*bench.sent(), first, "8.2.7: the same answer, tag included, to each retransmission");
    let tag = parse(&first).to().unwrap().raw.to_vec();
    bench.receive(
        request("ACK", "z9hG4bKa").replace("<sip:bob@gw.example>\r\nCall", &format!("{}\r\nCall", String::from_utf8(tag).unwrap())),
    );
    bench.receive(request("INVITE", "z9hG4bKb").replace("Call-ID: ", "X: "));
    bench.receive(request("INVITE", "z9hG4bKc").replace(" SIP/2.0\r\nVia", " SIP/3.0\r\nVia"));
    bench.receive(request("ACK", "z9hG4bKc").replace("Call-ID: ", "X: "));
    bench.receive(request("ACK", "z9hG4bKc").replacen("ACK", "A<CK", 1));
    bench.receive(request("OPTIONS", "z9hG4bKc").replace("Via: ", "X: "));
    expect![[r#"
        0.000       ← INVITE
                    dropped too-many-hops
                    → 483 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped too-many-hops
                    → 483 (INVITE) to 198.51.100.7:5060
        0.000       ← ACK
        0.000       ← INVITE
                    dropped malformed
                    → 400 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped malformed
                    → 505 (INVITE) to 198.51.100.7:5060
        0.000       ← ACK
                    dropped malformed
        0.000       ← A<CK
                    dropped malformed
        0.000       ← OPTIONS
                    dropped malformed
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn options_and_register_are_for_us_whatever_the_hops() {
    let mut bench = Bench::new(Transport::Udp);
    for method in ["OPTIONS", "REGISTER"] {
        bench.receive(request(method, method).replace("Max-Forwards: 70", "Max-Forwards: 0"));
    }
    assert_eq!(bench.stack.transactions(), (2, 0));
}

#[test]
fn what_is_no_message() {
    cov_mark::check!(not_sip);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive("\r\n\r\n");
    bench.receive("\0\0");
    bench.receive("");
    bench.receive("hello");
    bench.receive("INVITE sip:a@b SIP/2.0\r\nVia: x");
    expect![[r#"
        0.000       ←
        0.000       ← \x00\x00
        0.000       ←
        0.000       ← hello
                    dropped not-sip
        0.000       ← INVITE
                    dropped not-sip
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn too_big() {
    cov_mark::check!(too_big_answered);
    let mut bench = Bench::with(Transport::Udp, Limits { message_bytes: 1000, headers: 12, ..Limits::default() });
    bench.receive(request("INVITE", "z9hG4bKa").replace("Max-Forwards: 70", &format!("X: {}", "x".repeat(1000))));
    bench
        .receive(request("INVITE", "z9hG4bKb").replace("Max-Forwards: 70", "a: 1\r\na: 1\r\na: 1\r\na: 1\r\na: 1\r\na: 1\r\na: 1\r\na: 1"));
    bench.receive(request("ACK", "z9hG4bKc").replace("Max-Forwards: 70", &format!("X: {}", "x".repeat(1000))));
    expect![[r#"
        0.000       ← INVITE
                    dropped too-long
                    → 513 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped too-many-headers
                    → 400 (INVITE) to 198.51.100.7:5060
        0.000       ← ACK
                    dropped too-long
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn merged_request() {
    cov_mark::check!(rfc3261_8_2_2_2_merged);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    let by_another_way = request("INVITE", "z9hG4bKa").replace("branch=z9hG4bKa", "branch=z9hG4bKb");
    bench.receive(&by_another_way);
    bench.respond(404);
    bench.receive(&by_another_way);
    bench.receive(request("ACK", "z9hG4bKa"));
    bench.wait(Duration::from_secs(6));
    bench.receive(&by_another_way);
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       ← INVITE
                    dropped merged
                    → 482 (INVITE) to 198.51.100.7:5060
        0.000       respond 404
                    → 404 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped merged
                    → 482 (INVITE) to 198.51.100.7:5060
        0.000       ← ACK
        5.000       timer I
        6.000       ← INVITE
                    deliver INVITE
    "#]]
    .assert_eq(&bench.take());
}

/// A phone that repeats a challenged request with credentials but under the old CSeq is served.
#[test]
fn challenged_request_with_the_old_cseq_is_not_merged() {
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.respond(401);
    bench.receive(request("REGISTER", "z9hG4bKa").replace("branch=z9hG4bKa", "branch=z9hG4bKb"));
    assert_eq!(bench.stack.transactions(), (1, 0));
}

/// Whoever cannot prove a password makes us remember nothing (RFC 3261 8.2.7): a challenged request that comes again is judged anew.
#[test]
fn a_challenge_leaves_no_transaction_behind() {
    cov_mark::check!(rfc3261_8_2_7_stateless_challenge);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.respond(401);
    assert_eq!(bench.stack.transactions(), (0, 0));
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.respond(401);
    expect![[r#"
        0.000       ← REGISTER
                    deliver REGISTER
        0.000       respond 401
                    → 401 (REGISTER) to 198.51.100.7:5060
        0.000       ← REGISTER
                    deliver REGISTER
        0.000       respond 401
                    → 401 (REGISTER) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());

    let message = |text: String| Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
    let tag = |branch: &str| bench.stack.stateless_tag(&message(request("REGISTER", branch).to_string()));
    assert_eq!(tag("z9hG4bKa"), tag("z9hG4bKa"));
    assert_ne!(tag("z9hG4bKa"), tag("z9hG4bKb"));
}

/// An INVITE's challenge is kept until its ACK, as every refusal of an INVITE is.
#[test]
fn the_challenge_of_an_invite_is_kept() {
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(407);
    assert_eq!(bench.stack.transactions(), (1, 0));
}

/// Our own INVITE comes back through a proxy: unchanged it has looped, with another Request-URI it is a spiral.
#[test]
fn loop_and_spiral() {
    cov_mark::check!(rfc3261_16_3_loop);
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Invite);
    let ours = String::from_utf8(bench.sent().to_vec()).unwrap();
    let proxied = ours.replacen("Via: ", "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKp1\r\nVia: ", 1);
    bench.receive(&proxied);
    bench.receive(&ours);
    bench.receive(proxied.replace("INVITE sip:bob@198.51.100.7", "INVITE sip:carol@192.0.2.1").replace("p1", "p2"));
    expect![[r#"
        0.000       request INVITE
                    → INVITE to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped loop
                    → 482 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped loop
                    → 482 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    deliver INVITE
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn full() {
    cov_mark::check!(limit_server_transactions);
    let mut bench = Bench::with(Transport::Udp, Limits { server_transactions: 2, ..Limits::default() });
    bench.stack.set_reserve(|message| message.request_uri().starts_with(b"urn:service:sos"));
    bench.receive(request("OPTIONS", "z9hG4bKa"));
    bench.receive(request("INVITE", "z9hG4bKb"));
    bench.receive(request("INVITE", "z9hG4bKc"));
    assert!((3..=10).contains(&parse(bench.sent()).number(crate::header::Name::RetryAfter).unwrap()));
    bench.receive(request("CANCEL", "z9hG4bKb"));
    bench.receive(request("ACK", "z9hG4bKd"));
    bench.receive(request("INVITE", "z9hG4bKd").replace("sip:bob@gw.example SIP", "urn:service:sos SIP"));
    expect![[r#"
        0.000       ← OPTIONS
                    deliver OPTIONS
        0.000       ← INVITE
                    deliver INVITE
        0.000       ← INVITE
                    dropped too-many-transactions
                    → 503 (INVITE) to 198.51.100.7:5060
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
                    cancelled
        0.000       ← ACK
                    deliver ACK
        0.000       ← INVITE
                    deliver INVITE
    "#]]
    .assert_eq(&bench.take());
    for more in 0..100 {
        bench.receive(request("INVITE", &format!("z9hG4bK{more}")).replace("sip:bob@gw.example SIP", "urn:service:sos.police SIP"));
    }
    assert_eq!(bench.stack.transactions(), (18, 0), "the reserve has a limit too");
}

#[test]
fn responses_that_match_nothing() {
    cov_mark::check!(stray_response);
    cov_mark::check!(malformed_response);
    cov_mark::check!(rfc3261_8_1_3_3_vias);
    cov_mark::check!(rfc3261_17_1_3_method);
    let mut bench = Bench::new(Transport::Udp);
    bench.request(Method::Options);
    let good = String::from_utf8(answer(&bench.sent().clone(), 200).to_vec()).unwrap();
    let branch = good.split("branch=").nth(1).unwrap().split(';').next().unwrap();
    bench.receive(good.replace(branch, "z9hG4bKother"));
    let mut guess = branch.to_string();
    guess.replace_range(branch.len() - 1.., if branch.ends_with('0') { "1" } else { "0" });
    bench.receive(good.replace(branch, &guess));
    bench.receive(good.replace("1 OPTIONS", "1 INVITE"));
    bench.receive(good.replace("1 OPTIONS", "1 CANCEL"));
    bench.receive(good.replace("From: ", "X: "));
    bench.receive(good.replacen("\r\n", "\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\r\n", 1));
    bench.receive(good.replace(branch, &branch.to_uppercase()));
    expect![[r#"
        0.000       request OPTIONS
                    → OPTIONS to 198.51.100.7:5060
        0.000       ← 200 (OPTIONS)
                    dropped stray-response
        0.000       ← 200 (OPTIONS)
                    dropped stray-response
        0.000       ← 200 (INVITE)
                    dropped stray-response
        0.000       ← 200 (CANCEL)
                    dropped stray-response
        0.000       ← 200 (OPTIONS)
                    dropped malformed-response
        0.000       ← 200 (OPTIONS)
                    dropped misrouted-response
        0.000       ← 200 (OPTIONS)
                    deliver 200
    "#]]
    .assert_eq(&bench.take());
}

/// Every name of a counter is listed, for those who make metrics of them.
#[test]
fn counters_are_listed() {
    let source = concat!(include_str!("../mod.rs"), include_str!("../receive.rs"));
    let names = source.split("why: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let refused = source.split(".refuse(").skip(1).filter_map(|rest| Some(rest.split_once("\", out)")?.0.rsplit_once('"')?.1));
    let listed: Vec<&str> = DROPPED.iter().map(|(name, _)| *name).collect();
    let used: Vec<&str> = names.chain(refused).collect();
    assert!(used.len() >= 12, "{used:?}");
    for name in used {
        assert!(listed.contains(&name), "{name}");
    }
}

/// Sequential branches, as load generators make them, must not meet in the tables.
#[test]
fn sequential_branches_do_not_collide() {
    let mut bench = Bench::new(Transport::Udp);
    for call in 0..20_000 {
        let mut out = Outbox::new();
        let text = request("INVITE", &format!("z9hG4bK-4711-{call}-0"));
        bench.stack.receive(Bytes::from(text), bench.flow, bench.now, &mut out);
        assert!(out.iter().any(|effect| matches!(effect, Effect::Request { .. })), "call {call}");
    }
    assert_eq!(bench.stack.transactions(), (20_000, 0));
}

/// Ten minutes of short calls: what is kept does not grow, although each INVITE armed a timer of half an hour.
#[test]
fn timers_of_ended_transactions_are_forgotten() {
    let mut bench = Bench::new(Transport::Udp);
    let mut most = 0;
    for call in 0..12_000 {
        let branch = format!("z9hG4bK{call}");
        bench.receive(request("INVITE", &branch));
        bench.respond(486);
        bench.receive(request("ACK", &branch));
        bench.wait(Duration::from_millis(50));
        most = most.max(bench.stack.timers.len());
        bench.take();
        bench.sent.clear();
    }
    // Timers H and I of the last 32 s are the most that may be there.
    assert!(most < 2000, "{most} timers");
    bench.wait(Duration::from_secs(40));
    assert_eq!((bench.stack.timers.len(), bench.stack.transactions()), (0, (0, 0)));
}

/// An urgent request that breaks the rules is delivered as it was meant, also when it comes again; any other is refused.
#[test]
fn repaired() {
    cov_mark::check!(urgent_repaired);
    let mut bench = Bench::new(Transport::Udp);
    bench.stack.set_reserve(|message| message.request_uri().starts_with(b"urn:service:sos"));
    let broken = request("INVITE", "z9hG4bKa").replace("To: <sip:bob@gw.example>", "To: Bob");
    bench.receive(&broken);
    bench.receive(broken.replace("sip:bob@gw.example SIP", "urn:service:sos SIP"));
    bench.receive(broken.replace("sip:bob@gw.example SIP", "urn:service:sos SIP"));
    assert_eq!(bench.stack.transactions(), (1, 0));
    expect![[r#"
        0.000       ← INVITE
                    dropped malformed
                    → 400 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    dropped repaired
                    deliver INVITE
        0.000       ← INVITE
                    dropped repaired
                    → 100 (INVITE) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
}

/// An urgent request is taken in whatever it is burdened with.
#[test]
fn urgent_and_too_big() {
    cov_mark::check!(urgent_too_big);
    let mut bench = Bench::with(Transport::Udp, Limits { message_bytes: 1000, headers: 12, ..Limits::default() });
    bench.stack.set_reserve(|message| message.request_uri().starts_with(b"urn:service:sos"));
    let urgent = request("INVITE", "z9hG4bKa").replace("sip:bob@gw.example SIP", "urn:service:sos SIP");
    bench.receive(urgent.replace("Max-Forwards: 70", "a: 1\r\n".repeat(200).trim_end()));
    bench.receive(urgent.replace("z9hG4bKa", "z9hG4bKb").replace("Max-Forwards: 70", &format!("X: {}", "x".repeat(1000))));
    expect![[r#"
        0.000       ← INVITE
                    dropped repaired
                    deliver INVITE
        0.000       ← INVITE
                    dropped repaired
                    deliver INVITE
    "#]]
    .assert_eq(&bench.take());
}
