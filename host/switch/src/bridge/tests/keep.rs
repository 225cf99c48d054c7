//! A bridge that was written down and made again goes on as if nothing had happened.

use super::*;
use proptest::prelude::*;

impl Rig {
    /// The process ends, another one makes the bridge again. What the new one wants at once is returned.
    fn restart(&mut self) -> String {
        self.restart_at(Arc::clone(&self.bridge.site))
    }

    fn restart_at(&mut self, site: Arc<Site>) -> String {
        let facts = postcard::to_allocvec(&self.bridge.facts()).unwrap();
        let course = postcard::to_allocvec(&self.bridge.course()).unwrap();
        let home = Home { index: 0, shards: 1, call_id: |random, _, _| random.token().as_str().to_owned() };
        let (facts, course) = (postcard::from_bytes(&facts).unwrap(), postcard::from_bytes(&course).unwrap());
        let log = std::mem::take(&mut self.log);
        let mut out = Vec::new();
        self.bridge =
            Bridge::restore(site, facts, course, self.bridge.invite.unwrap(), home, self.now, &mut self.random, &mut out).unwrap();
        self.note(out);
        std::mem::replace(&mut self.log, log)
    }
}

#[test]
fn what_rings_is_waited_for_again_and_what_was_cancelled_is_cancelled() {
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3), target(4)]), stage(vec![target(5)])]);
    rig.answer(0, 180, "bob", "");
    rig.answer(1, 486, "carol", "");
    expect![[r#"
        again 0: Provisional -> 10.0.0.2
        again 2: Nothing -> 10.0.0.4
    "#]]
    .assert_eq(&rig.restart());
    rig.log.clear();
    rig.pass(20);
    expect![[r#"
        again 0: Provisional -> 10.0.0.2, but another request
        cancel 0
        again 2: Nothing -> 10.0.0.4, but another request
        cancel 2
        again 3: Nothing -> 10.0.0.5
    "#]]
    .assert_eq(&rig.restart());
    rig.answer(3, 200, "dave", "");
    rig.expect(expect![[r#"
        cancel 0
        cancel 2
        send 3: INVITE -> 10.0.0.5 cseq 1
        respond 1: 200 Whatever
    "#]]);
}

/// Nobody knows whether it has heard the question: an INVITE inside its dialog that was lost with the process would leave it, and the call, waiting.
#[test]
fn a_party_that_was_taken_from_another_call_is_asked_again_inside_its_dialog() {
    let mut rig = talking();
    let ours = rig.answers.last().unwrap().to().unwrap().tag().unwrap().to_vec();
    let wanted = DialogId { call_id: b"call-a".to_vec(), local_tag: ours, remote_tag: b"alice".to_vec(), early_only: false };
    let Ok(found) = rig.bridge.give(&wanted, rig.now, &mut Vec::new()) else { panic!("nothing was given away") };
    rig.bridge = Bridge::replacing(site(), rig.bridge.call().clone(), ServerId(1), wanted.clone(), HOME, rig.now).unwrap();
    rig.on(Event::Start);
    rig.sent.clear();
    rig.on(Event::Taken { hunt: 0, dialog: wanted, found: Ok(found) });
    expect!["again 0: Nothing -> 10.0.0.77\n"].assert_eq(&rig.restart());
    expect!["again 0: Nothing -> 10.0.0.77\n"].assert_eq(&rig.restart());
}

#[test]
fn an_answer_that_was_relayed_and_acknowledged_just_before_ends_no_call() {
    let mut rig = talking();
    rig.caller(10, "INVITE", 8, "");
    let send = *rig.sent.keys().last().unwrap();
    rig.answer(send, 200, "bob", "");
    // What the ACK changes may not have been written down when the process ends.
    rig.restart();
    rig.log.clear();
    for _ in 0..4 {
        rig.pass(10);
    }
    assert!(!rig.log.contains("BYE"), "{}", rig.log);
    let wanted = rig.bridge.parties.iter().find(|party| party.leg.is_none()).map(|party| party.dialog.local_tag.clone()).unwrap();
    let wanted = DialogId { call_id: b"call-a".to_vec(), local_tag: wanted, remote_tag: b"alice".to_vec(), early_only: false };
    assert!(rig.bridge.give(&wanted, rig.now, &mut Vec::new()).is_ok(), "nothing is unacknowledged");
}

#[test]
fn requests_inside_a_dialog_go_on_above_every_number_that_can_have_been_used() {
    let mut rig = talking();
    let before = rig.bridge.stamps();
    rig.restart();
    let mut used = 0;
    let mut written = before;
    for id in 10..10_000_u32 {
        // What is on the disk when the process is killed here.
        if written != rig.bridge.stamps() {
            written = rig.bridge.stamps();
            used = 0;
        }
        used += 1;
        rig.caller(id.into(), "INFO", id, "");
        let send = *rig.sent.keys().last().unwrap();
        rig.answer(send, 200, "bob", "");
    }
    assert!(used < 8192, "{used} numbers were used since it was last written down");
    rig.log.clear();
    rig.restart();
    rig.caller(20_000, "BYE", 20_000, "");
    let last = |rig: &Rig| rig.sent.values().last().unwrap().cseq().unwrap().number;
    assert!(last(&rig) > 9_990 + 8_192);
}

#[test]
fn a_trunk_channel_is_taken_again_and_given_back() {
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    let site = Arc::clone(&rig.bridge.site);
    rig.answer(0, 200, "p", "");
    rig.caller(0, "ACK", 7, "");
    assert_eq!(site.trunks.in_use("provider"), 1);
    rig.restart();
    assert_eq!(site.trunks.in_use("provider"), 1);
    rig.caller(2, "BYE", 8, "");
    assert_eq!(site.trunks.in_use("provider"), 0);
}

#[test]
fn a_call_outside_lasts_no_longer_for_a_restart_in_its_middle() {
    use crate::{toll::Ceilings, trunk::TrunkManners};
    let longest_call = Some(Duration::from_secs(60));
    let mut rig = outside::begun("", TrunkManners::default(), Ceilings { longest_call, ..Ceilings::default() });
    rig.answer(0, 200, "nine", "");
    rig.caller(0, "ACK", 7, "");
    rig.pass(29);
    rig.restart();
    let calls = |rig: &Rig| rig.bridge.site.tolls.usage("desk-2", rig.now).calls;
    assert_eq!(calls(&rig), 1);
    rig.pass(31);
    assert!(rig.log.contains("the longest call to the outside"), "{}", rig.log);
    assert_eq!(calls(&rig), 0);
}

#[test]
fn each_party_outside_is_paid_for_from_where_it_answered_and_once() {
    use crate::{toll::Ceilings, trunk::TrunkManners};
    let mut rig = outside::begun("", TrunkManners::default(), Ceilings::default());
    rig.answer(0, 200, "nine", "");
    rig.caller(0, "ACK", 7, "");
    rig.pass(20);
    rig.caller(10, "REFER", 8, "Contact: <sip:1001@10.0.0.1>\nRefer-To: <sip:1005@sip.example>\n");
    rig.on(Event::Routed { hunt: 1, plan: Ok(Resolved { stages: vec![stage(vec![trunk("provider", 8)])] }) });
    let leg = rig.bridge.legs.last().unwrap().send;
    rig.answer(leg, 200, "eight", "");
    let join = *rig.sent.keys().last().unwrap();
    rig.answer(join, 200, "nine", "");
    rig.pass(10);
    let used = |rig: &Rig| (rig.bridge.site.tolls.usage("desk-2", rig.now), rig.bridge.site.tolls.usage_of_site(rig.now));
    let before = used(&rig);
    assert_eq!((before.0.calls, before.0.talk_in_day), (2, Duration::from_secs(40)), "{}", rig.log);
    let next = Site::new((*rig.bridge.site.directory()).clone(), Limits::default());
    next.restore_balances(rig.bridge.site.tolls.kept(true, rig.now), rig.now);
    rig.restart_at(Arc::new(next));
    assert_eq!(used(&rig), before);
}

#[test]
fn a_question_to_the_policies_is_asked_again() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "bob", "Contact: <sip:1005@elsewhere>\n");
    expect!["route 1: 1005 for \"1001\"\n"].assert_eq(&rig.restart());
    rig.on(Event::Routed { hunt: 1, plan: Ok(Resolved { stages: vec![stage(vec![target(5)])] }) });
    rig.answer(1, 200, "eve", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        route 1: 1005 for "1001"
        send 1: INVITE -> 10.0.0.5 cseq 1
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn a_transfer_in_the_middle_of_its_exchange_of_sessions_ends_both_sides_and_one_that_rings_goes_on() {
    for answered in [false, true] {
        let mut rig = talking();
        rig.caller(10, "REFER", 8, "Contact: <sip:1001@10.0.0.1>\nRefer-To: <sip:1005@sip.example>\n");
        let hunt = rig.routes.len();
        rig.on(Event::Routed { hunt, plan: Ok(Resolved { stages: vec![stage(vec![target(5)])] }) });
        let leg = rig.bridge.legs.last().unwrap().send;
        rig.answer(leg, 180, "eve", "");
        if answered {
            rig.answer(leg, 200, "eve", "");
        }
        rig.log.clear();
        let wants = rig.restart();
        if answered {
            assert!(rig.bridge.finished(), "{wants}");
            assert_eq!(wants.matches("BYE").count(), 3, "{wants}");
            assert!(wants.contains("end 200 the gateway was restarted in the middle of a transfer"), "{wants}");
        } else {
            assert!(wants.contains("Provisional -> 10.0.0.5"), "{wants}");
            rig.answer(leg, 200, "eve", "");
            let join = *rig.sent.keys().last().unwrap();
            assert_eq!(rig.sent[&join].method(), Method::Invite);
            rig.answer(join, 200, "bob", "");
            assert!(matches!(rig.bridge.state, State::Answered(place) if place > 0), "{}", rig.log);
        }
    }
}

#[test]
fn the_layout_of_what_is_written_down_is_that_of_its_version() {
    use crate::{toll::Ceilings, trunk::TrunkManners};
    // When this fails, raise VERSION in `host/gateway/src/journal/file.rs`: files of before must be set aside, not misread.
    let mut rig = Rig::new(vec![stage(vec![target(2), trunk("provider", 9)])]);
    rig.answer(0, 180, "bob", "");
    rig.answer(0, 200, "bob", "");
    let octets = |bytes: Vec<u8>| (bytes.len(), bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte))));
    let written =
        (octets(postcard::to_allocvec(&rig.bridge.facts()).unwrap()), octets(postcard::to_allocvec(&rig.bridge.course()).unwrap()));
    expect!["((411, 3755007752), (1221, 1549464967))"].assert_eq(&format!("{written:?}"));
    // With a channel that is paid for.
    let rig = outside::begun("", TrunkManners::default(), Ceilings::default());
    expect!["(292, 2202423836)"].assert_eq(&format!("{:?}", octets(postcard::to_allocvec(&rig.bridge.course()).unwrap())));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Answer(SendId, u16),
    Ack,
    Pass(u64),
    Cancel,
    CallerHold,
    CalleeHold,
    CallerBye,
    CalleeBye,
    Routed,
}

fn op() -> impl Strategy<Value = Op> {
    let status = prop_oneof![Just(180), Just(183), Just(200), Just(200), Just(302), Just(486), Just(603), Just(503)];
    prop_oneof![
        8 => (0_u32..5, status).prop_map(|(id, status)| Op::Answer(id, status)),
        2 => Just(Op::Ack),
        2 => (1_u64..12).prop_map(Op::Pass),
        1 => Just(Op::Cancel),
        2 => Just(Op::CallerHold),
        2 => Just(Op::CalleeHold),
        1 => Just(Op::CallerBye),
        1 => Just(Op::CalleeBye),
        2 => Just(Op::Routed),
    ]
}

/// Does it, if it can be done; `place` makes numbers that rise.
fn apply(rig: &mut Rig, op: Op, place: u32) {
    let number = 100 + place;
    match op {
        // A relayed request is not kept: its sender repeats it.
        Op::Answer(id, status) if rig.bridge.invites().any(|(sent, _)| sent == id) => {
            let contact = if status == 302 { "Contact: <sip:1005@elsewhere>\n" } else { "" };
            rig.answer(id, status, &format!("peer{id}"), contact);
        }
        Op::Ack if rig.answers.last().is_some_and(|answer| answer.status() == 200) => rig.caller(0, "ACK", 7, ""),
        Op::Pass(seconds) => rig.pass(seconds),
        Op::Cancel => rig.on(Event::Cancelled { id: ServerId(1), reason: None }),
        Op::CallerHold if !rig.answers.is_empty() && rig.bridge.state != State::Ended => {
            let before = rig.bridge.next_send;
            rig.caller(number.into(), "INVITE", number, "");
            if rig.bridge.next_send > before {
                rig.answer(before, 200, "peer", "");
                rig.caller(number.into(), "ACK", number, "");
            }
        }
        Op::CalleeHold if rig.sent.contains_key(&0) => {
            let before = rig.bridge.next_send;
            rig.callee(number.into(), 0, "peer0", "INVITE", number, "");
            if rig.bridge.next_send > before {
                rig.answer(before, 200, "peer", "");
                rig.callee(number.into(), 0, "peer0", "ACK", number, "");
            }
        }
        Op::CallerBye if !rig.answers.is_empty() && rig.bridge.state != State::Ended => rig.caller(number.into(), "BYE", number, ""),
        Op::CalleeBye if rig.sent.contains_key(&0) => rig.callee(number.into(), 0, "peer0", "BYE", number, ""),
        Op::Routed => {
            let plan = Ok(Resolved { stages: vec![stage(vec![target(5)])] });
            let hunt = rig.bridge.hunts.len() - 1;
            if hunt > 0 && rig.bridge.hunts[hunt].plan.stages.is_empty() {
                rig.on(Event::Routed { hunt, plan });
            }
        }
        _ => {}
    }
}

/// What was done, but for the numbers of requests, which jump with a restart, and second answers to a relayed request, which go nowhere.
fn deeds(rig: &mut Rig) -> Vec<String> {
    let log = std::mem::take(&mut rig.log);
    let lines = log.lines().filter(|line| !line.starts_with("respond 1") || line.starts_with("respond 1:") || !line.contains(" 487 "));
    lines.map(|line| line.split(" cseq ").next().unwrap().to_owned()).collect()
}

proptest! {
    #[test]
    fn a_bridge_made_again_does_what_the_first_one_does(ops in prop::collection::vec(op(), 1..25), restarts in prop::collection::vec(any::<bool>(), 25)) {
        let stages = || vec![stage(vec![target(2), trunk("provider", 9)]), stage(vec![target(3)])];
        let (mut first, mut again) = (Rig::new(stages()), Rig::new(stages()));
        for (place, (op, restart)) in (0..).zip(ops.into_iter().zip(restarts)) {
            if restart {
                let (check, ack) = (again.bridge.check_at, again.bridge.ack_ends);
                let wants = again.restart();
                // These begin anew.
                (again.bridge.check_at, again.bridge.ack_ends) = (check, ack);
                prop_assert!(wants.lines().all(|line| line.starts_with("again") || line.starts_with("cancel") || line.starts_with("route")), "{wants}");
            }
            apply(&mut first, op, place);
            apply(&mut again, op, place);
            prop_assert_eq!(deeds(&mut first), deeds(&mut again), "after {:?} of {}", op, place);
            prop_assert_eq!(first.bridge.finished(), again.bridge.finished());
            prop_assert_eq!(first.bridge.deadline(), again.bridge.deadline());
        }
    }
}
