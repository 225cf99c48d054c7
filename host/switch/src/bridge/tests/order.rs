//! Requests that cross each other.

use super::*;

#[test]
fn reinvites_of_both_sides_cross_and_neither_dialog_has_two() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.callee(11, 0, "bob", "INVITE", 1, "");
    rig.answer(1, 491, "bob", "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        respond 11: 491 Request Pending
        respond 10: 491 Whatever
    "#]]);
    // After that each side may try again.
    rig.callee(12, 0, "bob", "INVITE", 2, "");
    rig.expect(expect![[r#"
        send 2: INVITE -> 10.0.0.1 cseq 1
    "#]]);
}

#[test]
fn a_second_reinvite_before_the_answer_is_told_to_wait() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.caller(11, "INVITE", 9, "");
    rig.answer(1, 200, "bob", "");
    rig.caller(0, "ACK", 8, "");
    rig.caller(12, "INVITE", 10, "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        respond 11: 500 Previous Request Pending
        respond 10: 200 Whatever
        ack -> 10.0.0.77 cseq 2
        send 2: INVITE -> 10.0.0.77 cseq 3
    "#]]);
    let told = rig.answers.iter().find(|answer| answer.status() == 500).unwrap();
    assert!(told.number(sip::header::Name::RetryAfter).unwrap() <= 10);
}

#[test]
fn nobody_invites_again_before_the_first_invite_is_answered() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 183, "bob", "");
    rig.caller(10, "INVITE", 8, "");
    rig.callee(11, 0, "bob", "INVITE", 1, "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 183 Whatever
        respond 10: 500 Previous Request Pending
        respond 11: 491 Request Pending
    "#]]);
}

#[test]
fn updates_cross_where_both_offer() {
    let mut rig = talking();
    rig.offers(10, "UPDATE", 8);
    rig.callee(11, 0, "bob", "UPDATE", 1, "");
    rig.callee(12, 0, "bob", "UPDATE", 2, "");
    rig.answer(2, 200, "alice", "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 1: UPDATE -> 10.0.0.77 cseq 2
        send 2: UPDATE -> 10.0.0.1 cseq 1
        respond 12: 500 Previous Request Pending
        respond 11: 200 Whatever
        respond 10: 200 Whatever
    "#]]);
}

#[test]
fn an_update_in_an_early_dialog_reaches_the_other_side() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 183, "bob", "");
    rig.caller(10, "UPDATE", 8, "");
    rig.callee(11, 0, "bob", "UPDATE", 1, "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 183 Whatever
        send 1: UPDATE -> 10.0.0.77 cseq 2
        send 2: UPDATE -> 10.0.0.1 cseq 1
        respond 10: 200 Whatever
    "#]]);
}

#[test]
fn a_side_that_asks_and_asks_is_stopped_at_the_limit() {
    let mut rig = talking();
    for cseq in 0..40 {
        rig.caller(100 + cseq, "INFO", 8 + u32::try_from(cseq).unwrap(), "");
    }
    assert_eq!(rig.log.matches("limit too-many-requests-in-a-call").count(), 8);
    assert_eq!(rig.sent.values().filter(|sent| sent.method() == Method::Info).count(), 32);
}

#[test]
fn refreshes_by_reinvite_leave_nothing_behind() {
    let mut rig = talking();
    for cseq in 8..208 {
        let id = rig.bridge.next_send;
        rig.caller(u64::from(cseq), "INVITE", cseq, "");
        rig.answer(id, 200, "bob", "");
        rig.caller(0, "ACK", cseq, "");
    }
    assert!(rig.bridge.sent.len() <= 3 && rig.bridge.acks.len() <= 3, "{} and {}", rig.bridge.sent.len(), rig.bridge.acks.len());
}

#[test]
fn a_reinvite_whose_answer_is_never_acknowledged_ends_the_call() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.pass(31);
    assert!(!rig.log.contains("\nend"), "{}", rig.log);
    rig.pass(1);
    assert!(rig.log.ends_with("end 200 the answer was never acknowledged by Some(\"desk-2\")\n"), "{}", rig.log);
}

#[test]
fn prack_inside_a_reinvite_names_the_cseq_of_the_other_side() {
    let mut rig = talking();
    rig.caller(9, "INFO", 8, "");
    rig.caller(10, "INVITE", 9, "");
    rig.answer(2, 183, "bob", "Require: 100rel\nRSeq: 4\n");
    rig.caller(11, "PRACK", 10, "RAck: 4 9 INVITE\n");
    let prack = rig.sent.values().find(|m| m.method() == Method::Prack).unwrap();
    assert_eq!(prack.header(sip::header::Name::RAck), Some(&b"4 3 INVITE"[..]));
}
