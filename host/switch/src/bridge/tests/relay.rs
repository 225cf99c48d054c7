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
        ack -> 10.0.0.77 cseq 2
    "#]]);
}

#[test]
fn a_cancelled_reinvite_is_cancelled_on_the_other_side() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.on(Event::Cancelled { id: ServerId(10) });
    rig.answer(1, 487, "bob", "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        cancel 1
        respond 10: 487 Whatever
    "#]]);
}

#[test]
fn prack_names_the_cseq_of_the_other_side() {
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
