//! Calls for help: who makes room for them, what their phones may not do, and who is called again.

use super::*;
use crate::{directory::help::May, trunk::Capacity};

/// The operator changes his mind.
fn change(rig: &Rig, change: impl FnOnce(&mut Directory)) {
    let mut directory = (*rig.bridge.site.directory()).clone();
    change(&mut directory);
    rig.bridge.site.replace_directory(directory, rig.now);
}

fn carries(directory: &mut Directory, calls: u32) {
    Arc::make_mut(&mut directory.trunks[0]).channels = Capacity { all: Some(calls), ..Capacity::default() };
}

/// A call for help over the provider, on the site of another call.
fn help(rig: &mut Rig) -> (Bridge, Vec<Effect>) {
    let urgent = ResolvedStage { next_on_refusal: true, ..stage(vec![trunk("provider", 9)]) };
    let call = Call { kind: CallKind::Emergency, called: "112".into(), at: rig.now, ..rig.bridge.call().clone() };
    let plan = Resolved { stages: vec![urgent] };
    let mut bridge = Bridge::new(Arc::clone(&rig.bridge.site), call, ServerId(5), plan, HOME, rig.now).unwrap();
    let mut out = Vec::new();
    bridge.named(9, &mut out);
    bridge.on(Event::Start, rig.now, &mut rig.random, &mut out);
    (bridge, out)
}

#[test]
fn the_youngest_call_is_told_to_end_after_the_invite_is_on_its_way() {
    cov_mark::check!(youngest_call_makes_room);
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.bridge.named(7, &mut Vec::new());
    rig.answer(0, 200, "bob", "");
    rig.caller(0, "ACK", 7, "");
    change(&rig, |directory| carries(directory, 1));
    rig.log.clear();
    let (bridge, out) = help(&mut rig);
    let sent = out.iter().position(|effect| matches!(effect, Effect::Send { .. })).unwrap();
    let (place, evicted) = out
        .iter()
        .enumerate()
        .find_map(|(place, effect)| if let Effect::Evict(evicted) = effect { Some((place, evicted.clone())) } else { None })
        .unwrap();
    assert!(sent < place);
    assert_eq!((evicted.holder.call, &*evicted.trunk), (7, "provider"));
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 2);
    // Whoever is told ends, once.
    let mut out = Vec::new();
    assert!(rig.bridge.evicted(evicted.channel, rig.now, &mut rig.random, &mut out));
    rig.note(out);
    assert!(!rig.bridge.evicted(evicted.channel, rig.now, &mut rig.random, &mut Vec::new()));
    rig.expect(expect![[r#"
        send 1: BYE -> 10.0.0.1 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
        end 200 ended to make room for a call for help by Some("trunk:provider")
    "#]]);
    for bye in [1, 2] {
        let reason = rig.sent[&bye].header(sip::header::Name::Reason).unwrap();
        assert!(reason.starts_with(b"preemption;cause=1") && reason.ends_with(b"Q.850;cause=8;text=\"Preemption\""));
    }
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 1);
    drop(bridge);
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 0);
}

#[test]
fn who_answers_on_a_channel_that_was_taken_is_hung_up() {
    cov_mark::check!(answer_without_a_channel);
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)]), stage(vec![target(2)])]);
    rig.bridge.named(7, &mut Vec::new());
    change(&rig, |directory| carries(directory, 1));
    let (_bridge, out) = help(&mut rig);
    let channel = out.iter().find_map(|effect| if let Effect::Evict(evicted) = effect { Some(evicted.channel) } else { None }).unwrap();
    let mut out = Vec::new();
    assert!(rig.bridge.evicted(channel, rig.now, &mut rig.random, &mut out));
    rig.note(out);
    rig.answer(0, 200, "late", "");
    rig.answer(1, 200, "two", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        cancel 0
        send 1: INVITE -> 10.0.0.2 cseq 1
        ack -> 10.0.0.77 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn a_normal_call_over_a_full_trunk_goes_on_or_is_refused() {
    let mut first = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    change(&first, |directory| carries(directory, 1));
    let stages = vec![stage(vec![trunk("provider", 9)]), stage(vec![target(2)])];
    let mut dial = |stages: Vec<ResolvedStage>| {
        let call = first.bridge.call().clone();
        let mut bridge = Bridge::new(Arc::clone(&first.bridge.site), call, ServerId(5), Resolved { stages }, HOME, first.now).unwrap();
        let mut out = Vec::new();
        bridge.on(Event::Start, first.now, &mut first.random, &mut out);
        first.log.clear();
        first.note(out);
        std::mem::take(&mut first.log)
    };
    expect![[r#"
        limit trunk-channels
        send 0: INVITE -> 10.0.0.2 cseq 1
    "#]]
    .assert_eq(&dial(stages));
    expect![[r#"
        limit trunk-channels
        respond 5: 503 No Channel
        end 503 unreachable by None
    "#]]
    .assert_eq(&dial(vec![stage(vec![trunk("provider", 9)])]));
}

#[test]
fn the_phone_is_refused_when_it_holds() {
    cov_mark::check!(help_is_not_held);
    let mut rig = talking();
    rig.bridge.call.kind = CallKind::Emergency;
    change(&rig, |directory| directory.emergency.may = May { hold: false, transfer: false });
    let to = rig.caller_to();
    let sdp = "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n";
    let text = format!(
        "INVITE sip:gateway@10.0.0.254 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKh\nMax-Forwards: 70\nFrom: <sip:1001@sip.example>;tag=alice\nTo: {to}\nCall-ID: call-a\nCSeq: 8 INVITE\nContent-Type: application/sdp\nContent-Length: {}\n\n",
        sdp.len()
    );
    let request = message(&format!("{text}{}", sdp.replace("\r\n", "\n")));
    rig.on(Event::Request { id: ServerId(20), message: &request, flow: flow(PHONE) });
    rig.expect(expect![[r#"
        respond 20: 488 Calls For Help Are Not Held
    "#]]);
}

#[test]
fn a_side_that_knows_nothing_of_it_any_more_is_called_again() {
    cov_mark::check!(lost_side_is_rung_again);
    let mut rig = talking();
    rig.bridge.call.kind = CallKind::Emergency;
    rig.pass(300);
    let (caller, callee) = (*rig.sent.keys().rev().nth(1).unwrap(), *rig.sent.keys().last().unwrap());
    rig.answer(callee, 200, "bob", "");
    rig.log.clear();
    rig.answer(caller, 481, "alice", "");
    // The phone where it called from, without an offer; it makes one, and the other side gets that.
    let again = *rig.sent.keys().last().unwrap();
    assert!(rig.log.contains("INVITE -> 10.0.0.1") && rig.sent[&again].body().is_empty(), "{}", rig.log);
    rig.answer(again, 200, "alice2", "");
    let offer = *rig.sent.keys().last().unwrap();
    assert_eq!(rig.sent[&offer].body(), b"answer");
    rig.answer(offer, 200, "bob", "");
    assert!(rig.bridge.talks() && !rig.log.contains("\nend "), "{}", rig.log);
}

/// A call for help with a session description, over two trunks that are left after three seconds of silence, but for the last.
fn help_over_two() -> Rig {
    let urgent = |host, wait| ResolvedStage { next_on_refusal: true, answer_wait: wait, ..stage(vec![trunk("provider", host)]) };
    let mut rig = Rig::waiting(invite(), vec![urgent(9, Some(Duration::from_secs(3))), urgent(8, None)]);
    rig.bridge.call.kind = CallKind::Emergency;
    rig.on(Event::Start);
    rig
}

#[test]
fn a_slow_trunk_is_asked_once_more_when_no_other_answers() {
    cov_mark::check!(silent_way_once_more);
    let mut rig = help_over_two();
    rig.pass(3);
    rig.answer(0, 487, "slow", "");
    rig.answer(1, 503, "dead", "");
    // It needs ten seconds to ring, and has them now.
    rig.pass(10);
    rig.answer(2, 180, "slow", "");
    rig.answer(2, 200, "slow", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        cancel 0
        send 1: INVITE -> 10.0.0.8 cseq 1
        send 2: INVITE -> 10.0.0.9 cseq 1
        respond 1: 180 Whatever
        respond 1: 200 Whatever
        ack -> 10.0.0.77 cseq 1
    "#]]);
}

#[test]
fn each_silent_trunk_is_asked_twice_and_no_more() {
    let mut rig = help_over_two();
    rig.pass(3);
    rig.pass(3);
    rig.on(Event::Failed { id: 1, why: Failure::Timeout });
    rig.on(Event::Failed { id: 2, why: Failure::Timeout });
    rig.on(Event::Failed { id: 3, why: Failure::Timeout });
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        cancel 0
        send 1: INVITE -> 10.0.0.8 cseq 1
        cancel 1
        send 2: INVITE -> 10.0.0.9 cseq 1
        send 3: INVITE -> 10.0.0.8 cseq 1
        respond 1: 408 Request Timeout
        end 408 no answer by None
    "#]]);
}

#[test]
fn a_call_for_help_goes_on_without_the_acknowledgement_of_its_phone() {
    cov_mark::check!(help_acknowledged_at_once);
    cov_mark::check!(help_without_acknowledgement);
    let mut rig = help_over_two();
    rig.answer(0, 200, "help", "");
    rig.pass(33);
    assert!(rig.bridge.talks(), "{}", rig.log);
    rig.callee(5, 0, "help", "BYE", 1, "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        respond 1: 200 Whatever
        ack -> 10.0.0.77 cseq 1
        respond 5: 200 OK
        send 1: BYE -> 10.0.0.1 cseq 1
        end 200 callee hung up by Some("trunk:provider")
    "#]]);
}
