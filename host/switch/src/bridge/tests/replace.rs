//! Dialogs by name, and parties that change calls.

use super::*;

#[test]
fn replaces_is_read() {
    let read = |text: &str| {
        DialogId::read(text.as_bytes()).map(|id| [id.call_id, id.local_tag, id.remote_tag].map(|part| String::from_utf8(part).unwrap()))
    };
    let parts = |call_id: &str, local: &str, remote: &str| Some([call_id, local, remote].map(str::to_owned));
    assert_eq!(read("98asjd8@h;to-tag=12;from-tag=abc"), parts("98asjd8@h", "12", "abc"));
    assert_eq!(read(" a ; From-Tag = x ; early-only ; TO-TAG=y "), parts("a", "y", "x"));
    for bad in ["", ";to-tag=1;from-tag=2", "a;to-tag=1", "a;from-tag=1", "a;to-tag=1;to-tag=2;from-tag=3", "a;to-tag;from-tag=1"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn a_dialog_is_found_in_a_uri() {
    let of = |text: &str| DialogId::of_uri(&sip::uri::Uri::parse(text.as_bytes()).unwrap());
    let wanted = DialogId { call_id: b"a@b".to_vec(), local_tag: b"1".to_vec(), remote_tag: b"2".to_vec(), early_only: false };
    assert_eq!(of("sip:1003@h?Subject=x&Replaces=a%40b%3Bto-tag%3D1%3bfrom-tag%3D2"), Some(Some(wanted)));
    let early = DialogId::read(b"a@b;to-tag=1;early-only;from-tag=2").unwrap();
    assert!(early.early_only && early.remote_tag == b"2");
    assert_eq!(of("sip:1003@h?Replaces=a%40b"), Some(None));
    assert_eq!(of("sip:1003@h?Subject=Replaces"), None);
    assert_eq!(of("sip:1003@h"), None);
}

/// What a talking call gives away for its caller's dialog, which `talking` has.
fn wanted(rig: &Rig) -> DialogId {
    let ours = rig.answers.last().unwrap().to().unwrap().tag().unwrap().to_vec();
    DialogId { call_id: b"call-a".to_vec(), local_tag: ours, remote_tag: b"alice".to_vec(), early_only: false }
}

/// A call that replaces the caller of `given`, and has taken whom it talked to.
pub(super) fn taking(given: &mut Rig) -> Rig {
    let wanted = wanted(given);
    let found = given.bridge.give(&wanted, given.now, &mut Vec::new()).unwrap();
    let mut rig = Rig::new(vec![]);
    rig.log.clear();
    rig.bridge = Bridge::replacing(site(), rig.bridge.call().clone(), ServerId(1), wanted.clone(), HOME, rig.now).unwrap();
    rig.on(Event::Start);
    rig.on(Event::Taken { hunt: 0, dialog: wanted, found: Ok(found) });
    rig
}

#[test]
fn a_party_is_given_away_once_and_the_replaced_one_hung_up() {
    let mut rig = talking();
    let wanted = wanted(&rig);
    let mut out = Vec::new();
    let early = DialogId { early_only: true, ..wanted.clone() };
    assert_eq!(rig.bridge.give(&early, rig.now, &mut out).unwrap_err().status, 486, "RFC 3891 3: early-only, but it talks");
    let Ok(Found::Talks(half)) = rig.bridge.give(&wanted, rig.now, &mut out) else { panic!("nothing was given away") };
    assert_eq!(half.call_id(), rig.sent[&0].call_id());
    let shown: Vec<_> = out.iter().map(|effect| format!("{effect:?}").split([' ', '(']).next().unwrap().to_owned()).collect();
    assert_eq!(shown, ["Send", "End"], "one BYE, to the caller, and the record");
    assert_eq!(rig.bridge.give(&wanted, rig.now, &mut out).unwrap_err().status, 481);
}

#[test]
fn what_a_party_had_asked_before_it_was_given_away_is_refused_and_not_its_dialog() {
    cov_mark::check!(rfc5057_5_3_only_the_request);
    let mut rig = talking();
    let wanted = wanted(&rig);
    rig.callee(20, 0, "bob", "INFO", 20, "");
    rig.log.clear();
    let mut out = Vec::new();
    assert!(rig.bridge.give(&wanted, rig.now, &mut out).is_ok());
    rig.note(out);
    rig.expect(expect![[r#"
        send 2: BYE -> 10.0.0.1 cseq 2
        respond 20: 500 Server Internal Error
        end 200 transferred by Some("desk-2")
    "#]]);
}

/// The stack acknowledges what comes again; one that was restarted meanwhile knows of no ACK.
#[test]
fn who_was_given_away_and_answers_again_is_acknowledged_and_not_hung_up() {
    cov_mark::check!(answer_of_one_who_talks);
    let mut rig = talking();
    let wanted = wanted(&rig);
    assert!(rig.bridge.give(&wanted, rig.now, &mut Vec::new()).is_ok());
    rig.log.clear();
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        ack -> 10.0.0.77 cseq 1
    "#]]);
}

#[test]
fn nothing_is_given_away_before_the_answer_is_acknowledged_or_for_other_dialogs() {
    cov_mark::check!(rfc3891_3_no_match);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 200, "bob", "");
    let wanted = wanted(&rig);
    let mut out = Vec::new();
    assert_eq!(rig.bridge.give(&wanted, rig.now, &mut out).unwrap_err().status, 491);
    rig.caller(0, "ACK", 7, "");
    let other = DialogId { remote_tag: b"mallory".to_vec(), ..wanted.clone() };
    assert_eq!(rig.bridge.give(&other, rig.now, &mut out).unwrap_err().status, 481);
    assert!(out.is_empty());
    assert!(rig.bridge.give(&wanted, rig.now, &mut out).is_ok());
}

#[test]
fn a_trunk_channel_goes_with_its_party() {
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.answer(0, 200, "two", "");
    rig.caller(0, "ACK", 7, "");
    let wanted = wanted(&rig);
    let half = rig.bridge.give(&wanted, rig.now, &mut Vec::new()).unwrap();
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 1);
    drop(half);
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 0);
}

#[test]
fn several_replaces_are_none() {
    cov_mark::check!(rfc3891_3_several);
    let one = "Replaces: c;to-tag=t;from-tag=f\n";
    let read = |lines: &str| DialogId::of_request(&crate::fixture::invite("sip:1002@sip.example", lines));
    assert_eq!(read(""), None);
    assert!(matches!(read(one), Some(Some(_))));
    assert_eq!(read(&format!("{one}{one}")), Some(None));
}

/// One that says nothing is told all the same that the call is over: it may come back any moment, and nobody else knows of it.
#[test]
fn who_was_taken_and_does_not_answer_is_hung_up() {
    let mut rig = taking(&mut talking());
    rig.on(Event::Failed { id: 0, why: Failure::Timeout });
    rig.expect(expect![[r#"
        take 0: call-a
        adopt d4f5378bda8143e6
        send 0: INVITE -> 10.0.0.77 cseq 2
        send 1: BYE -> 10.0.0.77 cseq 3
        respond 1: 408 Request Timeout
        end 408 no answer by None
    "#]]);
}

#[test]
fn who_was_taken_and_knows_of_no_such_dialog_is_not() {
    let mut rig = taking(&mut talking());
    rig.answer(0, 481, "bob", "");
    rig.expect(expect![[r#"
        take 0: call-a
        adopt d4f5378bda8143e6
        send 0: INVITE -> 10.0.0.77 cseq 2
        respond 1: 481 Whatever
        end 481 refused by the callee by None
    "#]]);
}

#[test]
fn who_hangs_up_as_it_is_taken_from_another_call_is_not_joined() {
    cov_mark::check!(answer_after_its_bye);
    let mut rig = taking(&mut talking());
    rig.callee(20, 0, "bob", "BYE", 20, "");
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        take 0: call-a
        adopt d4f5378bda8143e6
        send 0: INVITE -> 10.0.0.77 cseq 2
        respond 20: 200 OK
        ack -> 10.0.0.77 cseq 2
        send 1: BYE -> 10.0.0.77 cseq 3
        respond 1: 480 Temporarily Unavailable
        end 480 no answer by None
    "#]]);
}
