//! A phone takes what rings at another one, and what others are shown of a call meanwhile.

use super::*;
use crate::{facts::CallKind, lines::LineState};

/// A call from outside that rings at two phones of the site.
fn ringing() -> Rig {
    let mut rig = Rig::new(vec![stage(vec![target(2), target(4)])]);
    rig.answer(0, 180, "bob", "");
    rig.answer(1, 180, "dora", "");
    rig.log.clear();
    rig
}

/// Our dialog with the phone of leg 0.
fn wanted(rig: &Rig) -> DialogId {
    let invite = &rig.sent[&0];
    let ours = invite.from().unwrap().tag().unwrap().to_vec();
    DialogId { call_id: invite.call_id().to_vec(), local_tag: ours, remote_tag: b"bob".to_vec(), early_only: true }
}

/// A picker that has been told that it rings there, and has acknowledged its answer; and what it brings.
fn picker(rings: &mut Rig) -> (Rig, DialogId, Box<Half>) {
    let wanted = wanted(rings);
    let found = rings.bridge.give(&wanted, rings.now, &mut Vec::new());
    let mut rig = Rig::new(vec![]);
    let call = Call { message: invite(), ..rig.bridge.call.clone() };
    let home = Home { index: 0, shards: 1, call_id: |random, _, _| random.token().as_str().to_owned() };
    rig.bridge = Bridge::replacing(site(), call, ServerId(1), wanted.clone(), home, rig.now).unwrap();
    rig.log.clear();
    rig.on(Event::Start);
    rig.on(Event::Taken { hunt: 0, dialog: wanted, found });
    let answer = rig.answers.last().unwrap();
    assert_eq!(answer.status(), 200);
    let to = String::from_utf8_lossy(answer.to().unwrap().raw).into_owned();
    let ack = format!(
        "ACK sip:gateway@10.0.0.254 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\nMax-Forwards: 70\nFrom: <sip:1001@sip.example>;tag=alice\n\
         To: {to}\nCall-ID: call-a\nCSeq: 7 ACK\nContent-Length: 0\n\n"
    );
    let mut out = Vec::new();
    rig.bridge.on(Event::Ack { message: &message(&ack) }, rig.now, &mut rig.random, &mut out);
    let Some(Effect::Bring { dialog, half }) = out.pop() else { panic!("nobody is brought: {out:?}") };
    assert!(out.is_empty());
    (rig, dialog, half)
}

#[test]
fn the_picker_is_asked_beside_the_phones_that_ring_and_they_stop_when_it_answers() {
    let mut rig = ringing();
    let (mut picker, dialog, half) = picker(&mut rig);
    picker.expect(expect![[r#"
        take 0: d4f5378bda8143e6
        respond 1: 200 OK
    "#]]);
    let mut out = Vec::new();
    rig.bridge.bring(&dialog, half, &mut out).unwrap();
    let Some(Effect::Send { id, request, .. }) = out.pop() else { panic!("the picker is not asked") };
    let sent = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap();
    assert_eq!((sent.method(), sent.body(), sent.to().unwrap().tag()), (Method::Invite, &b"offer"[..], Some(&b"alice"[..])));
    rig.sent.insert(id, sent);
    picker.on(Event::Brought { back: None });
    picker.expect(expect![[r#"
        end 200 picked up a call by None
    "#]]);
    // Its answer, by the tag that it has had from the beginning.
    let mut out = Vec::new();
    let answer = {
        let request = &rig.sent[&id];
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        message(&format!(
            "SIP/2.0 200 OK\nFrom: {}\nTo: {}\nCall-ID: {}\nCSeq: {}\nContact: <sip:there@10.0.0.1>\nContent-Length: 6\n\nanswer",
            text(request.from().unwrap().raw),
            text(request.to().unwrap().raw),
            text(request.call_id()),
            text(request.header(sip::header::Name::CSeq).unwrap()),
        ))
    };
    rig.bridge.on(Event::Response { id, message: &answer, flow: flow(PHONE) }, rig.now, &mut rig.random, &mut out);
    let elsewhere = Some("SIP;cause=200;text=\"Call completed elsewhere\"");
    let cancelled: Vec<_> =
        out.iter().filter(|effect| matches!(effect, Effect::Cancel { reason, .. } if reason.as_deref() == elsewhere)).collect();
    assert_eq!(cancelled.len(), 2, "both phones stop, and know why: {out:?}");
    let told = out.iter().any(|effect| matches!(effect, Effect::Respond { id: ServerId(1), response } if response.status() == 200));
    assert!(told, "the caller hears the picker's answer");
}

#[test]
fn who_comes_too_late_goes_back_and_is_hung_up() {
    let mut rig = ringing();
    let (mut picker, dialog, half) = picker(&mut rig);
    rig.answer(1, 200, "dora", "");
    let back = rig.bridge.bring(&dialog, half, &mut Vec::new()).unwrap_err();
    picker.on(Event::Brought { back: Some(back) });
    picker.expect(expect![[r#"
        take 0: d4f5378bda8143e6
        respond 1: 200 OK
        send 0: BYE -> 10.0.0.1 cseq 1
        end 200 somebody else was faster by None
    "#]]);
}

#[test]
fn what_is_shown_of_a_call() {
    let shown = |rig: &Rig| -> Vec<(usize, String, LineState, bool)> {
        let lines = rig.bridge.lines(|endpoint| endpoint != "desk-4");
        lines.into_iter().map(|(party, endpoint, dialog)| (party, endpoint, dialog.state, dialog.wanted.is_some())).collect()
    };
    let mut rig = Rig::new(vec![stage(vec![target(2), target(4)])]);
    assert_eq!(shown(&rig), [], "the call comes from outside, and nothing rings yet");
    rig.answer(0, 180, "bob", "");
    rig.answer(1, 180, "dora", "");
    assert_eq!(shown(&rig), [(1, "desk-2".to_owned(), LineState::Early, true)]);
    rig.answer(0, 200, "bob", "");
    assert_eq!(shown(&rig), [(1, "desk-2".to_owned(), LineState::Confirmed, false)], "nobody takes a call that talks");
    rig.caller(0, "ACK", 7, "");
    rig.caller(2, "BYE", 8, "");
    assert_eq!(shown(&rig), []);
}

#[test]
fn a_call_for_help_is_not_found() {
    let mut rig = ringing();
    rig.bridge.call.kind = CallKind::Emergency;
    let wanted = wanted(&rig);
    assert_eq!(rig.bridge.give(&wanted, rig.now, &mut Vec::new()).unwrap_err().status, 481);
    let lines = rig.bridge.lines(|_| true);
    assert!(lines.iter().all(|(_, _, dialog)| dialog.wanted.is_none() && dialog.remote.is_none()));
}
