//! Reliable provisional responses where only one side speaks them.

use super::*;
use sip::header::Name;

/// A caller whose INVITE has these lines.
fn calling(lines: &str, legs: Vec<LegTarget>) -> Rig {
    let text = String::from_utf8(invite().bytes().to_vec()).unwrap().replace("\r\n", "\n");
    let stage = ResolvedStage { ring: Duration::from_secs(100), ..stage(legs) };
    Rig::with(message(&text.replace("X-Unknown:", &format!("{lines}X-Unknown:"))), vec![stage])
}

fn rack(response: &Message) -> String {
    format!("RAck: {} 7 INVITE\n", response.number(Name::RSeq).unwrap())
}

fn options(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn what_the_caller_requires_the_callee_is_only_offered() {
    let mut rig = calling("Require: 100rel, precondition\n", vec![target(2)]);
    assert_eq!(options(&rig.sent[&0], Name::Require), ["precondition"]);
    assert_eq!(options(&rig.sent[&0], Name::Supported), ["100rel"]);
    rig.answer(0, 180, "bob", "");
    let ringing = rig.answers[0].clone();
    assert_eq!(options(&ringing, Name::Require), ["100rel"]);
    rig.caller(5, "PRACK", 8, &rack(&ringing));
    rig.answer(0, 200, "bob", "");
    rig.caller(0, "ACK", 7, "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 180 Whatever
        respond 5: 200 OK
        respond 1: 200 Whatever
        ack -> 10.0.0.77 cseq 1
    "#]]);
}

#[test]
fn a_reliable_response_of_ours_is_repeated_and_its_call_refused_when_nobody_acknowledges_it() {
    let mut rig = calling("Require: 100rel\n", vec![target(2)]);
    rig.answer(0, 180, "bob", "");
    for _ in 0..64 {
        rig.now = rig.now + Duration::from_millis(500);
        rig.on(Event::Expire);
    }
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 504 No PRACK
        cancel 0
        end 504 the caller acknowledged no provisional answer by None
    "#]]);
}

#[test]
fn the_answer_waits_for_the_acknowledgement_of_a_session_description() {
    let mut rig = calling("Require: 100rel\n", vec![target(2)]);
    rig.answer(0, 183, "bob", "");
    let progress = rig.answers[0].clone();
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 183 Whatever
    "#]]);
    rig.caller(5, "PRACK", 8, &rack(&progress));
    rig.expect(expect![[r#"
        respond 5: 200 OK
        respond 1: 200 Whatever
    "#]]);
    // It is acknowledged already.
    rig.caller(6, "PRACK", 9, &rack(&progress));
    rig.expect(expect![[r#"
        respond 6: 481 No Such Response
    "#]]);
}

#[test]
fn an_answer_that_waits_is_declined_when_another_phone_wins_or_the_caller_gives_up() {
    let mut rig = calling("Require: 100rel\n", vec![target(2), target(3)]);
    rig.answer(0, 183, "bob", "");
    let progress = rig.answers[0].clone();
    rig.answer(0, 200, "bob", "");
    rig.answer(1, 180, "eve", "");
    rig.log.clear();
    rig.on(Event::Cancelled { id: ServerId(1), reason: None });
    rig.expect(expect![[r#"
        respond 1: 487 Request Terminated
        ack -> 10.0.0.77 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
        cancel 1
        end 487 cancelled by None
    "#]]);
    rig.caller(7, "PRACK", 8, &rack(&progress));
    rig.expect(expect![[r#"
        respond 7: 481 Call/Transaction Does Not Exist
    "#]]);
}

#[test]
fn responses_wait_for_their_turn_and_only_so_many() {
    let mut rig = calling("Require: 100rel\n", vec![target(2)]);
    for _ in 0..12 {
        rig.answer(0, 180, "bob", "");
    }
    assert_eq!(rig.answers.len(), 1);
    assert_eq!(rig.log.matches("limit too-many-provisional-responses").count(), 3);
    for cseq in 8..20 {
        let last = rig.answers.iter().rfind(|answer| answer.status() == 180).unwrap().clone();
        let to = rig.answers[0].clone();
        rig.answers.push(to);
        rig.caller(u64::from(cseq), "PRACK", cseq, &rack(&last));
    }
    let numbers: Vec<_> = rig.answers.iter().filter_map(|answer| answer.number(Name::RSeq)).collect();
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 9);
    assert_eq!(distinct.last().unwrap() - distinct[0], 8);
}

#[test]
fn an_offer_in_a_prack_of_ours_is_refused_and_the_call_goes_on() {
    let mut rig = calling("Require: 100rel\n", vec![target(2)]);
    rig.answer(0, 183, "bob", "");
    let progress = rig.answers[0].clone();
    let to = String::from_utf8_lossy(progress.to().unwrap().raw).into_owned();
    let prack = message(&format!(
        "PRACK sip:gateway@10.0.0.254 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp\nMax-Forwards: 70\nFrom: <sip:1001@sip.example>;tag=alice\nTo: {to}\nCall-ID: call-a\nCSeq: 8 PRACK\n{}Content-Type: application/sdp\nContent-Length: 5\n\noffer",
        rack(&progress)
    ));
    rig.log.clear();
    rig.on(Event::Request { id: ServerId(9), message: &prack, flow: flow(PHONE) });
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        respond 9: 488 Not Acceptable Here
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn where_both_speak_it_nothing_is_ours_and_each_fork_has_its_numbers() {
    for lines in ["Require: 100rel\n", "Supported: 100rel, timer\n"] {
        let mut rig = calling(lines, vec![target(2), target(3)]);
        rig.answer(0, 183, "bob", "Require: 100rel\nRSeq: 9\n");
        rig.answer(1, 183, "eve", "Require: 100rel\nRSeq: 7000\n");
        let numbers: Vec<_> = rig.answers.iter().map(|answer| answer.number(Name::RSeq)).collect();
        assert_eq!(numbers, [Some(9), Some(7000)]);
        rig.caller(5, "PRACK", 8, "RAck: 7000 7 INVITE\n");
        let prack = rig.sent.values().find(|m| m.method() == Method::Prack).unwrap();
        // RFC 3262 7.2: RAck names the CSeq of the INVITE, which is another one on the other side.
        assert_eq!(prack.header(Name::RAck), Some(&b"7000 1 INVITE"[..]));
        assert_eq!(prack.to().unwrap().tag(), Some(&b"eve"[..]));
    }
}

#[test]
fn an_offer_in_a_reliable_response_is_answered_by_the_caller() {
    let text = String::from_utf8(invite().bytes().to_vec()).unwrap().replace("\r\n", "\n");
    let text = text.replace("X-Unknown:", "Require: 100rel\nX-Unknown:").replace("Length: 5\n\noffer", "Length: 0\n\n");
    let mut rig = Rig::with(message(&text), vec![stage(vec![target(2)])]);
    // Nobody has made an offer that a reliable 180 of ours could bring.
    rig.answer(0, 180, "bob", "");
    rig.answer(0, 183, "bob", "Require: 100rel\nRSeq: 1\n");
    rig.offers(5, "PRACK", 8);
    assert_eq!((rig.answers[0].body(), rig.sent[&1].body()), (&b"answer"[..], &b"offer"[..]));
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 183 Whatever
        send 1: PRACK -> 10.0.0.77 cseq 2
    "#]]);
}

#[test]
fn a_callee_that_insists_is_acknowledged_by_us() {
    let mut rig = calling("", vec![target(2)]);
    rig.answer(0, 421, "bob", "Require: 100rel\n");
    assert_eq!(options(&rig.sent[&1], Name::Supported), ["100rel"]);
    rig.answer(1, 183, "bob", "Require: 100rel\nRSeq: 5\n");
    // Lost acknowledgements, and one that has overtaken another.
    rig.answer(1, 183, "bob", "Require: 100rel\nRSeq: 5\n");
    rig.answer(1, 183, "bob", "Require: 100rel\nRSeq: 7\n");
    rig.answer(2, 200, "bob", "");
    rig.answer(1, 183, "bob", "Require: 100rel\nRSeq: 6\n");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        send 1: INVITE -> 10.0.0.2 cseq 2
        send 2: PRACK -> 10.0.0.77 cseq 3
        respond 1: 183 Whatever
        send 3: PRACK -> 10.0.0.77 cseq 4
        respond 1: 183 Whatever
    "#]]);
    assert!(rig.answers.iter().all(|answer| options(answer, Name::Require).is_empty() && answer.number(Name::RSeq).is_none()));
    let prack = rig.sent.values().find(|m| m.method() == Method::Prack).unwrap();
    assert_eq!(prack.header(Name::RAck), Some(&b"5 2 INVITE"[..]));
}

#[test]
fn who_insists_twice_or_wants_an_answer_to_its_own_offer_refuses_the_call() {
    let mut rig = calling("", vec![target(2)]);
    rig.answer(0, 421, "bob", "Require: 100rel\n");
    rig.answer(1, 421, "bob", "Require: 100rel\n");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        send 1: INVITE -> 10.0.0.2 cseq 2
        respond 1: 421 Whatever
        end 421 refused by the callee by None
    "#]]);
    let text = String::from_utf8(invite().bytes().to_vec()).unwrap().replace("\r\n", "\n");
    let mut rig = Rig::with(message(&text.replace("Length: 5\n\noffer", "Length: 0\n\n")), vec![stage(vec![target(2)])]);
    rig.answer(0, 421, "bob", "Require: 100rel\n");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 421 Whatever
        end 421 refused by the callee by None
    "#]]);
}

#[test]
fn the_session_of_a_reliable_response_comes_with_an_answer_that_has_none() {
    let mut rig = calling("", vec![target(2)]);
    rig.answer(0, 183, "bob", "Require: 100rel\nRSeq: 5\nContent-Type: application/sdp\n");
    rig.silent_answer(0, 200, "bob");
    let ok = rig.answers.last().unwrap();
    assert_eq!((ok.status(), ok.body()), (200, &b"answer"[..]));
    assert_eq!(ok.header(Name::ContentType), Some(&b"application/sdp"[..]));
}

#[test]
fn a_call_for_help_is_never_refused_for_a_prack_that_does_not_come() {
    let mut rig = calling("Require: 100rel\n", vec![target(2)]);
    rig.bridge.call.kind = CallKind::Emergency;
    rig.answer(0, 183, "help", "");
    rig.pass(40);
    assert!(!rig.log.contains("504"), "{}", rig.log);
    rig.answer(0, 200, "help", "");
    assert!(rig.log.contains("respond 1: 200 Whatever\n"), "{}", rig.log);
}

#[test]
fn a_target_opens_no_more_early_dialogs_than_the_limit() {
    let mut rig = calling("", vec![target(2)]);
    for fork in 0..40 {
        rig.answer(0, 180, &format!("fork{fork}"), "");
    }
    assert_eq!(rig.bridge.pairs.len(), 16);
    // Whoever answers is still heard.
    rig.answer(0, 200, "fork39", "");
    assert!(rig.log.ends_with("respond 1: 200 Whatever\n"), "{}", rig.log);
}
