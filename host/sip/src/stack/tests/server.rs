//! Server transactions in virtual time.

use super::*;
use expect_test::expect;

#[test]
fn invite_answered_with_2xx() {
    cov_mark::check!(rfc6026_7_1_accepted);
    cov_mark::check!(rfc6026_7_1_again_2xx);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(180);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(200);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.wait(Duration::from_millis(500));
    bench.respond(200);
    bench.receive(request("ACK", "z9hG4bKb"));
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       respond 180
                    → 180 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
                    → 180 (INVITE) to 198.51.100.7:5060
        0.000       respond 200
                    → 200 (INVITE) to 198.51.100.7:5060
        0.000       ← INVITE
        0.500       respond 200
                    → 200 (INVITE) to 198.51.100.7:5060
        0.500       ← ACK
                    deliver ACK
        32.000      timer L
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
    assert_eq!(bench.stack.deadline(), None);
}

/// A 100 goes out only when nothing else has within 200 ms, and at once to a caller who asks again.
#[test]
fn trying_waits() {
    cov_mark::check_count!(rfc3261_17_2_1_trying, 1);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.wait(Duration::from_millis(400));
    bench.respond(180);
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.200       timer Trying
                    → 100 (INVITE) to 198.51.100.7:5060
        0.400       respond 180
                    → 180 (INVITE) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKb"));
    bench.receive(request("INVITE", "z9hG4bKb"));
    bench.wait(Duration::from_millis(400));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       ← INVITE
                    → 100 (INVITE) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
    let mut bench = Bench::new(Transport::Tcp);
    bench.receive(request("INVITE", "z9hG4bKc"));
    bench.respond(486);
    bench.wait(Duration::from_millis(400));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       respond 486
                    → 486 (INVITE) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn refusal_is_sent_until_acknowledged() {
    cov_mark::check!(rfc3261_17_2_1_timer_g);
    cov_mark::check!(rfc3261_17_2_1_confirmed);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(486);
    bench.wait(Duration::from_secs(8));
    bench.receive(request("ACK", "z9hG4bKa"));
    bench.receive(request("ACK", "z9hG4bKa"));
    bench.wait(Duration::from_secs(40));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       respond 486
                    → 486 (INVITE) to 198.51.100.7:5060
        0.500       timer G
                    → 486 (INVITE) to 198.51.100.7:5060
        1.500       timer G
                    → 486 (INVITE) to 198.51.100.7:5060
        3.500       timer G
                    → 486 (INVITE) to 198.51.100.7:5060
        7.500       timer G
                    → 486 (INVITE) to 198.51.100.7:5060
        8.000       ← ACK
        8.000       ← ACK
        13.000      timer I
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn refusal_that_nobody_acknowledges() {
    cov_mark::check!(rfc3261_17_2_1_timer_h);
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new(transport);
        bench.receive(request("INVITE", "z9hG4bKa"));
        bench.respond(486);
        bench.wait(Duration::from_secs(40));
        let sent = bench.sent.len();
        match transport {
            Transport::Udp => assert_eq!(sent, 11, "486 at 0, .5, 1.5, 3.5, 7.5 … 31.5"),
            Transport::Tcp | Transport::Tls => assert_eq!(sent, 1),
        }
        assert!(bench.take().ends_with("32.000      timer H\n            unacknowledged\n"));
        assert_eq!(bench.stack.transactions(), (0, 0));
    }
}

#[test]
fn other_requests_are_answered_again() {
    cov_mark::check!(rfc3261_17_2_2_completed_again);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.respond(200);
    bench.respond(404);
    bench.receive(request("REGISTER", "z9hG4bKa"));
    bench.wait(Duration::from_secs(33));
    expect![[r#"
        0.000       ← REGISTER
                    deliver REGISTER
        0.000       ← REGISTER
        0.000       respond 200
                    → 200 (REGISTER) to 198.51.100.7:5060
        0.000       respond 404
        0.000       ← REGISTER
                    → 200 (REGISTER) to 198.51.100.7:5060
        32.000      timer J
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn no_provisional_answer_and_no_408_to_other_requests() {
    cov_mark::check!(rfc4320_4_1_no_provisional);
    cov_mark::check!(rfc4320_4_2_no_408);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("OPTIONS", "z9hG4bKa"));
    bench.respond(183);
    bench.respond(408);
    bench.receive(request("OPTIONS", "z9hG4bKa"));
    assert!(bench.sent.is_empty());
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn other_request_without_an_answer_ends() {
    cov_mark::check!(rfc4320_4_2_no_late_answer);
    let mut bench = Bench::new(Transport::Tcp);
    bench.receive(request("OPTIONS", "z9hG4bKa"));
    bench.wait(Duration::from_secs(33));
    bench.respond(200);
    assert!(bench.sent.is_empty(), "{}", bench.text);
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn forgotten_invite_is_answered_in_the_end() {
    cov_mark::check!(forgotten_invite);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.wait(Duration::from_secs(1801));
    assert_eq!(parse(bench.sent()).status(), 408);
    assert!(parse(bench.sent()).to().unwrap().tag().is_some());
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.stack.transactions(), (0, 0));
}

#[test]
fn cancel_while_ringing() {
    cov_mark::check!(rfc3261_9_2_cancelled);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(180);
    bench.receive(request("CANCEL", "z9hG4bKa"));
    assert_eq!(parse(bench.sent()).to().unwrap().tag(), Some(b"gw".as_slice()), "the tag of the 180");
    bench.receive(request("CANCEL", "z9hG4bKa"));
    bench.respond(487);
    bench.receive(request("CANCEL", "z9hG4bKa"));
    bench.receive(request("ACK", "z9hG4bKa"));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       respond 180
                    → 180 (INVITE) to 198.51.100.7:5060
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
                    cancelled
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
        0.000       respond 487
                    → 487 (INVITE) to 198.51.100.7:5060
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
        0.000       ← ACK
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn cancel_before_any_answer_and_after_the_final_one() {
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.receive(request("CANCEL", "z9hG4bKa"));
    assert!(parse(bench.sent()).to().unwrap().tag().is_some(), "100 had no tag, the answer to CANCEL needs one");
    bench.receive(request("INVITE", "z9hG4bKb"));
    bench.respond(200);
    bench.receive(request("CANCEL", "z9hG4bKb"));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
                    cancelled
        0.000       ← INVITE
                    deliver INVITE
        0.000       respond 200
                    → 200 (INVITE) to 198.51.100.7:5060
        0.000       ← CANCEL
                    → 200 (CANCEL) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn cancel_of_nothing() {
    cov_mark::check!(rfc3261_9_2_stray);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("CANCEL", "z9hG4bKa"));
    expect![[r#"
        0.000       ← CANCEL
                    dropped stray-cancel
                    → 481 (CANCEL) to 198.51.100.7:5060
    "#]]
    .assert_eq(&bench.take());
    assert_eq!(bench.stack.transactions(), (0, 0));
}

/// Some phones give the ACK of a 2xx the branch of the INVITE.
#[test]
fn ack_of_a_2xx_with_the_branch_of_the_invite() {
    cov_mark::check!(rfc6026_7_1_ack_to_tu);
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(request("INVITE", "z9hG4bKa"));
    bench.respond(200);
    bench.take();
    bench.receive(request("ACK", "z9hG4bKa"));
    expect![[r#"
        0.000       ← ACK
                    deliver ACK
    "#]]
    .assert_eq(&bench.take());
}

/// RFC 2543: without the cookie the branch says nothing, and there may be none.
#[test]
fn peers_of_rfc_2543() {
    let old = |method: &str, number: u32| request(method, "1").replace(";branch=1", "").replace("CSeq: 7", &format!("CSeq: {number}"));
    let mut bench = Bench::new(Transport::Udp);
    bench.receive(old("INVITE", 7));
    bench.receive(old("INVITE", 7));
    bench.respond(486);
    bench.receive(old("ACK", 7));
    bench.receive(old("REGISTER", 8));
    bench.receive(old("REGISTER", 9));
    expect![[r#"
        0.000       ← INVITE
                    deliver INVITE
        0.000       ← INVITE
                    → 100 (INVITE) to 198.51.100.7:5060
        0.000       respond 486
                    → 486 (INVITE) to 198.51.100.7:5060
        0.000       ← ACK
        0.000       ← REGISTER
                    deliver REGISTER
        0.000       ← REGISTER
                    deliver REGISTER
    "#]]
    .assert_eq(&bench.take());
}

#[test]
fn responses_show_where_the_request_came_from() {
    cov_mark::check!(rfc3581_4_rport);
    cov_mark::check!(rfc3261_18_2_1_received);
    let via = |via: &str| {
        let mut bench = Bench::new(Transport::Udp);
        bench.receive(request("OPTIONS", "z9hG4bKa").replace("SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa", via));
        bench.respond(200);
        let text = String::from_utf8(bench.sent().to_vec()).unwrap();
        let effect = bench.take().lines().last().unwrap().trim().to_string();
        format!("{}\n{}\n", effect, text.lines().skip(1).take_while(|line| !line.starts_with("From")).collect::<Vec<_>>().join("\n"))
    };
    let mut text = String::new();
    for case in [
        "SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa",
        "SIP/2.0/UDP 198.51.100.7:5099;branch=z9hG4bKa",
        "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa",
        "SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bKa",
        "SIP/2.0/UDP phone.example:5099;branch=z9hG4bKa",
        "SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKa",
        "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa;rport",
        "SIP/2.0/UDP 10.0.0.1;RPORT ;branch=z9hG4bKa, SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport",
        "SIP/2.0/UDP [2001:db8::1]:5099;branch=z9hG4bKa;x=\";rport\"\r\nVia: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport",
        "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=9;rports",
        "SIP / 2.0 / UDP\r\n 10.0.0.1 ; rport ; branch=z9hG4bKa",
    ] {
        writeln!(text, "{case}\n  {}", via(case).trim_end().replace('\n', "\n  ")).unwrap();
    }
    expect![[r#"
        SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa
        SIP/2.0/UDP 198.51.100.7:5099;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5099
          Via: SIP/2.0/UDP 198.51.100.7:5099;branch=z9hG4bKa
        SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa
        SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bKa;received=198.51.100.7
        SIP/2.0/UDP phone.example:5099;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP phone.example:5099;branch=z9hG4bKa;received=198.51.100.7
        SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 10.0.0.1;rport=5060;received=198.51.100.7;branch=z9hG4bKa
        SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa;rport
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa;rport=5060;received=198.51.100.7
        SIP/2.0/UDP 10.0.0.1;RPORT ;branch=z9hG4bKa, SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 10.0.0.1;RPORT=5060;received=198.51.100.7 ;branch=z9hG4bKa, SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport
        SIP/2.0/UDP [2001:db8::1]:5099;branch=z9hG4bKa;x=";rport"
        Via: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP [2001:db8::1]:5099;branch=z9hG4bKa;x=";rport";received=198.51.100.7
          Via: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKb;rport
        SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=9;rports
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=9;rports;received=198.51.100.7
        SIP / 2.0 / UDP
         10.0.0.1 ; rport ; branch=z9hG4bKa
          → 200 (OPTIONS) to 198.51.100.7:5060
          Via: SIP / 2.0 / UDP
           10.0.0.1 ; rport=5060;received=198.51.100.7 ; branch=z9hG4bKa
    "#]]
    .assert_eq(&text.replace('\r', ""));
}

#[test]
fn a_message_is_known_by_its_transaction() {
    let mut bench = Bench::new(Transport::Udp);
    let invite = request("INVITE", "z9hG4bKknown");
    let knows = |bench: &Bench, text: &str| bench.stack.knows(&Bytes::copy_from_slice(text.as_bytes()));
    assert!(!knows(&bench, &invite));
    bench.receive(&invite);
    assert!(knows(&bench, &invite) && knows(&bench, &invite.replace("INVITE", "CANCEL")));
    assert!(!knows(&bench, &invite.replace("z9hG4bKknown", "z9hG4bKother")) && !knows(&bench, "no SIP"));
    bench.request(Method::Options);
    let ours = bench.sent.last().cloned().unwrap();
    assert!(bench.stack.knows(&answer(&ours, 200)));
    bench.receive(answer(&ours, 200));
    bench.wait(Duration::from_secs(60));
    assert!(!bench.stack.knows(&answer(&ours, 200)));
}
