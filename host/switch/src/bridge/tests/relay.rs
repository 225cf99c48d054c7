//! Requests inside a talking call.

use super::*;

#[test]
fn requests_inside_the_call_go_both_ways() {
    let mut rig = talking();
    for (id, method) in [(10, "INFO"), (11, "MESSAGE"), (12, "UPDATE"), (13, "NOTIFY"), (14, "FROBNICATE")] {
        rig.caller(id, method, u32::try_from(id).unwrap(), "");
    }
    rig.callee(20, 0, "bob", "INFO", 20, "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.77 cseq 2
        send 2: MESSAGE -> 10.0.0.77 cseq 3
        send 3: UPDATE -> 10.0.0.77 cseq 4
        send 4: NOTIFY -> 10.0.0.77 cseq 5
        send 5: FROBNICATE -> 10.0.0.77 cseq 6
        send 6: INFO -> 10.0.0.1 cseq 1
        respond 10: 200 Whatever
    "#]]);
}

#[test]
fn a_reinvite_is_relayed_with_its_own_acknowledgement() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.caller(0, "ACK", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        respond 10: 200 Whatever
        ack -> 10.0.0.77 cseq 2
    "#]]);
}

#[test]
fn a_cancelled_reinvite_is_cancelled_on_the_other_side() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.on(Event::Cancelled { id: ServerId(10), reason: None });
    rig.answer(1, 487, "bob", "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        cancel 1
        respond 10: 487 Whatever
    "#]]);
}

#[test]
fn prack_names_the_cseq_of_the_other_side() {
    cov_mark::check!(rfc3262_7_2_rack);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 183, "bob", "Require: 100rel\nRSeq: 9\n");
    rig.caller(5, "PRACK", 8, "RAck: 9 7 INVITE\n");
    let prack = rig.sent.values().find(|m| m.method() == Method::Prack).unwrap();
    assert_eq!(prack.header(sip::header::Name::RAck), Some(&b"9 1 INVITE"[..]));
}

#[test]
fn when_both_hang_up_at_once_both_get_their_200() {
    let mut rig = talking();
    rig.caller(10, "BYE", 8, "");
    rig.callee(11, 0, "bob", "BYE", 1, "");
    rig.expect(expect![[r#"
        respond 10: 200 OK
        send 1: BYE -> 10.0.0.77 cseq 2
        end 200 caller hung up by Some("desk-2")
        respond 11: 200 OK
    "#]]);
}

#[test]
fn a_side_that_is_gone_ends_the_call_for_the_other() {
    cov_mark::check!(rfc3261_12_2_1_2_no_answer);
    let mut rig = talking();
    rig.caller(10, "INFO", 8, "");
    rig.on(Event::Failed { id: 1, why: Failure::Timeout });
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.77 cseq 2
        respond 10: 408 Request Timeout
        send 2: BYE -> 10.0.0.1 cseq 1
        end 200 one side is gone by Some("desk-2")
    "#]]);
}

#[test]
fn silent_sides_are_asked_and_a_dead_one_ends_the_call() {
    let mut rig = talking();
    rig.pass(300);
    rig.answer(1, 200, "alice", "");
    rig.answer(2, 481, "bob", "");
    rig.expect(expect![[r#"
        send 1: OPTIONS -> 10.0.0.1 cseq 1
        send 2: OPTIONS -> 10.0.0.77 cseq 2
        send 3: BYE -> 10.0.0.1 cseq 2
        send 4: BYE -> 10.0.0.77 cseq 3
        end 200 one side is gone by Some("desk-2")
    "#]]);
}

#[test]
fn whoever_waits_when_the_call_ends_gets_an_answer() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.callee(11, 0, "bob", "BYE", 1, "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        respond 11: 200 OK
        send 2: BYE -> 10.0.0.1 cseq 1
        respond 10: 487 Request Terminated
        end 200 callee hung up by Some("desk-2")
    "#]]);
}

#[test]
fn strangers_and_stale_requests_are_refused() {
    cov_mark::check!(rfc3261_12_2_2_no_dialog);
    let mut rig = talking();
    let to = String::from_utf8_lossy(rig.answers.last().unwrap().to().unwrap().raw).into_owned();
    rig.request(30, "BYE", 9, "call-a", "<sip:1001@sip.example>;tag=mallory", &to, "", "10.6.6.6:5060");
    rig.request(31, "BYE", 9, "another-call", "<sip:1001@sip.example>;tag=alice", &to, "", PHONE);
    rig.caller(32, "INFO", 3, "");
    rig.expect(expect![[r#"
        respond 30: 481 Call/Transaction Does Not Exist
        respond 31: 481 Call/Transaction Does Not Exist
        respond 32: 500 CSeq Out Of Order
    "#]]);
}

#[test]
fn why_somebody_gives_up_is_told_to_whoever_rings() {
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3)])]);
    rig.on(Event::Cancelled { id: ServerId(1), reason: Some("SIP;cause=600;text=\"Busy Everywhere\"") });
    assert_eq!(rig.reasons, [Some("SIP;cause=600;text=\"Busy Everywhere\"".into()), Some("SIP;cause=600;text=\"Busy Everywhere\"".into())]);
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.on(Event::Cancelled { id: ServerId(10), reason: Some("Q.850;cause=16") });
    assert_eq!(rig.reasons, [Some("Q.850;cause=16".into())]);
}

/// RFC 5057: 481 to a request about the session ends the dialog, not only the request.
#[test]
fn a_side_that_does_not_know_the_call_ends_it() {
    cov_mark::check!(rfc5057_5_1_dialog_ends);
    let mut rig = talking();
    rig.caller(10, "UPDATE", 8, "");
    rig.answer(1, 481, "bob", "");
    rig.expect(expect![[r#"
        send 1: UPDATE -> 10.0.0.77 cseq 2
        respond 10: 481 Whatever
        send 2: BYE -> 10.0.0.1 cseq 1
        send 3: BYE -> 10.0.0.77 cseq 3
        end 200 one side is gone by Some("desk-2")
    "#]]);
}

/// Its connection may be gone, and it may have none that we know of: a phone without an account may call for help.
#[test]
fn a_call_for_help_goes_on_until_neither_side_answers() {
    cov_mark::check!(help_with_one_side_silent);
    let mut rig = talking();
    rig.bridge.call.kind = CallKind::Emergency;
    let asked = |rig: &Rig| (*rig.sent.keys().rev().nth(1).unwrap(), *rig.sent.keys().last().unwrap());
    for _ in 0..3 {
        rig.pass(300);
        let (caller, callee) = asked(&rig);
        rig.on(Event::Failed { id: caller, why: Failure::Timeout });
        rig.answer(callee, 200, "bob", "");
        assert!(!rig.bridge.finished() && !rig.log.contains("BYE"), "{}", rig.log);
    }
    rig.pass(300);
    let (caller, callee) = asked(&rig);
    rig.answer(caller, 200, "alice", "");
    rig.on(Event::Failed { id: callee, why: Failure::Timeout });
    assert!(!rig.bridge.finished(), "the caller is there again: {}", rig.log);
    rig.pass(300);
    let (caller, callee) = asked(&rig);
    rig.on(Event::Failed { id: callee, why: Failure::Timeout });
    rig.on(Event::Failed { id: caller, why: Failure::Timeout });
    assert!(rig.log.contains("end 200 one side is gone"), "{}", rig.log);
}

#[test]
fn a_request_in_a_call_for_help_that_nobody_answers_does_not_end_it() {
    cov_mark::check!(help_with_a_silent_request);
    let mut rig = talking();
    rig.bridge.call.kind = CallKind::Emergency;
    rig.callee(20, 0, "bob", "INVITE", 20, "");
    rig.on(Event::Failed { id: 1, why: Failure::Timeout });
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.1 cseq 1
        respond 20: 504 Server Time-out
    "#]]);
}

#[test]
fn a_side_that_never_answers_when_asked_ends_the_call() {
    cov_mark::check!(rfc3261_12_2_1_2_silence);
    let mut rig = talking();
    rig.pass(300);
    rig.on(Event::Failed { id: 2, why: Failure::Timeout });
    rig.expect(expect![[r#"
        send 1: OPTIONS -> 10.0.0.1 cseq 1
        send 2: OPTIONS -> 10.0.0.77 cseq 2
        send 3: BYE -> 10.0.0.1 cseq 2
        send 4: BYE -> 10.0.0.77 cseq 3
        end 200 one side is gone by Some("desk-2")
    "#]]);
}

#[test]
fn a_bye_while_it_rings_ends_the_call_with_487() {
    cov_mark::check!(rfc3261_15_1_2_early);
    cov_mark::check!(rfc3261_16_7_trying);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 100, "", "");
    rig.answer(0, 180, "bob", "");
    rig.caller(5, "BYE", 8, "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 180 Whatever
        respond 5: 200 OK
        respond 1: 487 Request Terminated
        cancel 0
        end 487 cancelled by None
    "#]]);
}

/// A phone that renegotiates all day leaves nothing behind.
#[test]
fn many_reinvites_are_forgotten() {
    let mut rig = talking();
    for round in 0..50_u32 {
        rig.caller(u64::from(100 + round), "INVITE", 8 + round, "");
        rig.answer(1 + round, 200, "bob", "");
        rig.caller(0, "ACK", 8 + round, "");
    }
    let kept = rig.bridge.sight().kept;
    assert!(kept < 10, "{kept} things are kept");
    rig.log.clear();
    rig.caller(500, "BYE", 60, "");
    rig.expect(expect![[r#"
        respond 500: 200 OK
        send 51: BYE -> 10.0.0.77 cseq 52
        end 200 caller hung up by Some("desk-2")
    "#]]);
}

#[test]
fn a_reinvite_that_is_never_acknowledged_ends_the_call() {
    cov_mark::check!(rfc3261_14_2_no_ack);
    let mut rig = talking();
    for round in 0..20_u32 {
        rig.caller(u64::from(100 + round), "INVITE", 8 + round, "");
        rig.answer(1 + round, 200, "bob", "");
    }
    let kept = rig.bridge.sight().kept;
    assert!(kept < 16, "{kept} things are kept");
    rig.pass(33);
    assert!(rig.log.ends_with("end 200 the answer was never acknowledged by Some(\"desk-2\")\n"), "{}", rig.log);
}

/// A target that answers with more forks than anybody has is followed only so far, and the call goes on.
#[test]
fn a_storm_of_forks_is_followed_to_the_limit() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    for fork in 0..1000 {
        rig.answer(0, 180, &format!("fork{fork}"), "");
    }
    assert!(rig.log.contains("limit too-many-early-dialogs"));
    rig.answer(0, 200, "fork999", "");
    rig.log.clear();
    for fork in 1000..2000 {
        rig.answer(0, 200, &format!("fork{fork}"), "");
    }
    let kept = rig.bridge.sight().kept;
    assert!(kept < 100, "{kept} things are kept");
    rig.log.clear();
    rig.caller(0, "ACK", 7, "");
    rig.caller(5, "BYE", 8, "");
    assert!(rig.log.contains("end 200 caller hung up"), "{}", rig.log);
}

/// The target of a transfer answers and hangs up before the transferee has agreed: its BYE is heard, and the two others still talk.
#[test]
fn a_target_that_hangs_up_before_it_is_joined_is_heard() {
    let mut rig = talking();
    let to = String::from_utf8_lossy(rig.answers.last().unwrap().to().unwrap().raw).into_owned();
    rig.caller(10, "REFER", 8, "Refer-To: <sip:1003@sip.example>\n");
    let hunt = rig.bridge.hunts.len() - 1;
    rig.on(Event::Routed { hunt, plan: Ok(Resolved { stages: vec![stage(vec![target(3)])] }) });
    let leg = *rig.sent.iter().rev().find(|(_, sent)| sent.method() == Method::Invite).unwrap().0;
    rig.answer(leg, 200, "carol", "");
    rig.log.clear();
    rig.callee(11, leg, "carol", "INFO", 1, "");
    rig.callee(12, leg, "carol", "BYE", 2, "");
    assert!(rig.log.starts_with("respond 11: 491 Request Pending\nrespond 12: 200 OK\n"), "{}", rig.log);
    assert!(!rig.log.contains("\nend "), "{}", rig.log);
    rig.log.clear();
    rig.request(13, "INFO", 9, "call-a", "<sip:1001@sip.example>;tag=alice", &to, "", PHONE);
    assert!(rig.log.contains("INFO -> 10.0.0.77"), "{}", rig.log);
}

#[test]
fn a_bye_that_overtakes_its_own_answer_ends_what_it_began() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 180, "bob", "");
    rig.callee(10, 0, "bob", "BYE", 2, "");
    rig.answer(0, 200, "bob", "");
    rig.answer(0, 200, "bob", "");
    assert!(rig.log.contains("ack -> 10.0.0.77 cseq 1"), "{}", rig.log);
    assert!(rig.log.contains("respond 1: 480 Temporarily Unavailable"), "{}", rig.log);
    assert_eq!(rig.log.matches("\nend ").count(), 1, "{}", rig.log);
}
