//! Providers that challenge what comes inside a dialog.

use super::*;
use sip::header::Name;

const ASKED: &str = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\", qop=\"auth\", algorithm=MD5\n";

/// A call to the provider that talks; the log is empty.
fn talking() -> Rig {
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.answer(0, 200, "bob", "");
    rig.caller(0, "ACK", 7, "");
    rig.log.clear();
    rig
}

#[test]
fn a_relayed_reinvite_is_sent_again_with_the_trunks_credentials() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.answer(1, 407, "bob", ASKED);
    let answer = rig.sent[&2].header(Name::ProxyAuthorization).unwrap().to_vec();
    assert!(String::from_utf8(answer).unwrap().contains("uri=\"sip:there@10.0.0.77\""), "its Request-URI");
    rig.answer(2, 200, "bob", "");
    rig.caller(0, "ACK", 8, "");
    rig.expect(expect![[r#"
        send 1: INVITE -> 10.0.0.77 cseq 2
        send 2: INVITE -> 10.0.0.77 cseq 3
        respond 10: 200 Whatever
        ack -> 10.0.0.77 cseq 3
    "#]]);
}

#[test]
fn a_second_challenge_is_a_refusal_and_a_phones_challenge_is_its_own() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    rig.answer(1, 407, "bob", ASKED);
    rig.answer(2, 407, "bob", ASKED);
    assert!(rig.log.ends_with("respond 10: 407 Whatever\n"), "{}", rig.log);

    let mut rig = super::talking();
    rig.caller(10, "INVITE", 8, "");
    rig.answer(1, 407, "bob", ASKED);
    assert!(rig.log.ends_with("respond 10: 407 Whatever\n"), "{}", rig.log);
}

#[test]
fn a_transferee_that_asks_who_we_are_is_told() {
    let mut rig = talking();
    rig.caller(10, "REFER", 8, "Refer-To: <sip:1003@sip.example>\n");
    rig.on(Event::Routed { hunt: 1, plan: Ok(Resolved { stages: vec![stage(vec![target(3)])] }) });
    rig.answer(2, 200, "carol", "");
    rig.answer(3, 407, "bob", ASKED);
    assert!(rig.sent[&4].header(Name::ProxyAuthorization).is_some() && rig.sent[&4].body() == b"answer", "the same offer");
    rig.answer(4, 200, "bob", "");
    rig.expect(expect![[r#"
        respond 10: 202 Accepted
        send 1: NOTIFY -> 10.0.0.1 cseq 1
        route 1: 1003 for "1002"
        send 2: INVITE -> 10.0.0.3 cseq 1
        send 3: INVITE -> 10.0.0.77 cseq 2
        send 4: INVITE -> 10.0.0.77 cseq 3
        ack -> 10.0.0.77 cseq 3
        ack -> 10.0.0.77 cseq 1
        send 5: NOTIFY -> 10.0.0.1 cseq 2
    "#]]);
    rig.caller(11, "BYE", 9, "");
    rig.callee(20, 4, "bob", "BYE", 20, "");
    assert!(rig.log.contains("end 200 callee hung up by Some(\"trunk:provider\")"), "{}", rig.log);
}

#[test]
fn who_is_taken_from_another_call_is_asked_with_them_too() {
    let mut given = talking();
    let ours = given.answers.last().unwrap().to().unwrap().tag().unwrap().to_vec();
    let wanted = DialogId { call_id: b"call-a".to_vec(), local_tag: ours, remote_tag: b"alice".to_vec(), early_only: false };
    let found = given.bridge.give(&wanted, given.now, &mut Vec::new()).unwrap();
    let mut rig = Rig::new(vec![]);
    rig.log.clear();
    rig.bridge = Bridge::replacing(site(), rig.bridge.call().clone(), ServerId(1), wanted.clone(), HOME, rig.now).unwrap();
    rig.on(Event::Start);
    rig.on(Event::Taken { hunt: 0, dialog: wanted, found: Ok(found) });
    rig.answer(0, 407, "bob", ASKED);
    assert!(rig.sent[&1].header(Name::ProxyAuthorization).is_some() && rig.sent[&1].body() == b"offer");
    rig.answer(1, 200, "bob", "");
    assert!(rig.log.ends_with("respond 1: 200 Whatever\n"), "{}", rig.log);
}
