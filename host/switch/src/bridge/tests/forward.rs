//! Redirections of phones, and plans that go on to somebody else.

use super::*;
use sip::header::Name;

fn values(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

impl Rig {
    fn routed(&mut self, hunt: HuntId, plan: Result<Vec<ResolvedStage>, Refusal>) {
        self.on(Event::Routed { hunt, plan: plan.map(|stages| Resolved { stages }) });
    }
}

#[test]
fn a_forward_rings_by_its_own_plan_and_the_first_plan_goes_on_after_it() {
    let mut first = stage(vec![target(2)]);
    first.next.busy = true;
    let mut rig = Rig::new(vec![first, stage(vec![target(5)])]);
    rig.pass(15);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\n");
    assert!(matches!(&rig.routes[0].caller, Caller::Endpoint(endpoint) if endpoint.id == "desk-2"), "the one who forwards");
    rig.routed(1, Ok(vec![stage(vec![target(3)]), stage(vec![target(4)])]));
    rig.answer(1, 180, "three", "");
    // The time of the phone that forwarded is over, that of the next one is not.
    rig.pass(15);
    rig.answer(1, 486, "three", "");
    rig.answer(2, 200, "five", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        route 1: 1003 for "1001"
        send 1: INVITE -> 10.0.0.3 cseq 1
        respond 1: 180 Whatever
        send 2: INVITE -> 10.0.0.5 cseq 1
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn a_forward_that_is_too_much_is_refused_and_counted() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\n");
    rig.routed(1, Ok(vec![stage(vec![target(3)])]));
    rig.answer(1, 302, "three", "Contact: <sip:1004@elsewhere>\n");
    rig.routed(2, Ok(vec![stage(vec![target(4)])]));
    rig.answer(2, 302, "four", "Contact: <sip:1005@elsewhere>\n");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        route 1: 1003 for "1001"
        send 1: INVITE -> 10.0.0.3 cseq 1
        route 2: 1004 for "1001"
        send 2: INVITE -> 10.0.0.4 cseq 1
        limit too-many-forwards
        respond 1: 482 Forwarded Too Often
        end 482 forwarded in a circle by None
    "#]]);
    assert!(rig.bridge.finished());
}

#[test]
fn a_redirection_to_thousands_is_tried_as_often_as_the_limit_says() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    let contacts = vec!["<x:>"; 12_000].join(",");
    rig.answer(0, 302, "two", &format!("Contact: {contacts}\n"));
    assert_eq!(rig.log.matches("limit too-many-forwards").count(), 1);
    assert!(rig.bridge.finished());
}

#[test]
fn a_redirection_may_say_why_but_not_whose_call_it_was() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\nDiversion: <sip:1002@cloud>;reason=away\n");
    rig.routed(1, Ok(vec![stage(vec![target(3)])]));
    rig.answer(1, 302, "three", "Contact: <sip:1004@elsewhere>\n");
    rig.routed(2, Ok(vec![stage(vec![target(4)])]));
    expect![[r#"
        [
            "<sip:1003@sip.example>;reason=unconditional;counter=1",
            "<sip:1002@sip.example>;reason=away;counter=1",
        ][
            "<sip:1002@sip.example>;index=1",
            "<sip:1002@sip.example?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1",
            "<sip:1003@sip.example>;index=1.2;mp=1",
            "<sip:1003@sip.example?Reason=SIP%3Bcause%3D302>;index=1.2.1;rc=1.2",
            "<sip:1004@sip.example>;index=1.2.2;mp=1.2",
        ]"#]]
    .assert_eq(&format!("{:#?}{:#?}", values(&rig.sent[&2], Name::Diversion), values(&rig.sent[&2], Name::HistoryInfo)));
}

#[test]
fn a_policy_that_goes_on_to_somebody_else_diverts_too() {
    let mut first = stage(vec![target(2)]);
    first.next.busy = true;
    let mut rig = Rig::new(vec![first, stage(vec![target(3)])]);
    rig.answer(0, 486, "two", "");
    assert_eq!(values(&rig.sent[&1], Name::Diversion), ["<sip:1002@sip.example>;reason=user-busy;counter=1"]);
    assert_eq!(values(&rig.sent[&1], Name::HistoryInfo)[2], "<sip:1003@sip.example>;index=1.2;mp=1");
}

#[test]
fn trunks_one_after_the_other_divert_nothing() {
    let mut first = stage(vec![trunk("provider", 9)]);
    first.next.unreachable = true;
    let mut rig = Rig::new(vec![first, stage(vec![trunk("provider", 8)])]);
    rig.answer(0, 503, "nine", "");
    assert!(values(&rig.sent[&1], Name::Diversion).is_empty());
}

#[test]
fn a_trunks_redirection_is_the_callers_answer() {
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.answer(0, 302, "nine", "Contact: <sip:else@provider.example>\n");
    assert_eq!(rig.answers[0].status(), 302);
    assert!(rig.routes.is_empty());
}

#[test]
fn the_call_ends_while_the_policies_think_about_a_forward() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\n");
    rig.on(Event::Cancelled { id: ServerId(1), reason: None });
    assert!(rig.bridge.finished());
    rig.log.clear();
    rig.routed(1, Ok(vec![stage(vec![target(3)])]));
    rig.expect(expect![[r#""#]]);
}

#[test]
fn all_together_may_not_ring_longer_than_the_limit() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\n");
    let stages = (3..20).map(|host| stage(vec![target(host)])).collect::<Vec<_>>();
    rig.routed(1, Ok(stages));
    for _ in 0..9 {
        rig.pass(20);
    }
    assert!(rig.log.ends_with("respond 1: 480 No Answer\ncancel 10\nend 480 no answer by None\n"), "{}", rig.log);
}

#[test]
fn a_forward_back_to_where_the_call_has_been_is_refused() {
    cov_mark::check!(forwarded_in_a_circle);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 302, "two", "Contact: <sip:1002@elsewhere>\n");
    assert_eq!(rig.answers[0].status(), 482);
    assert!(rig.bridge.finished());
}
