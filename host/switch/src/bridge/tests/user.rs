//! Users who send calls on that they do not take.

use super::*;
use crate::plan::Onward;
use sip::header::Name;

fn values(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn to(number: &str) -> Option<String> {
    Some(number.to_owned())
}

/// The user with extension 1002, rung at these phones, sends calls on like this.
fn user(phones: &[u8], onward: Onward) -> ResolvedStage {
    let legs = phones.iter().map(|host| LegTarget { endpoint: Some("desk-2".into()), ..target(*host) }).collect();
    ResolvedStage { onward: Some(Box::new(Onward { user: "desk-2".to_owned(), ..onward })), ..stage(legs) }
}

impl Rig {
    fn goes_on(&mut self, hunt: HuntId, stages: Vec<ResolvedStage>) {
        self.on(Event::Routed { hunt, plan: Ok(Resolved { stages }) });
    }
}

#[test]
fn all_calls_go_on_and_no_phone_rings() {
    let mut rig = Rig::new(vec![user(&[], Onward { always: to("1003"), busy: to("1004"), ..Onward::default() })]);
    assert!(matches!(&rig.routes[0].caller, Caller::Endpoint(endpoint) if endpoint.id == "desk-2"), "the user's rights count");
    rig.goes_on(1, vec![stage(vec![target(3)])]);
    rig.answer(0, 180, "three", "");
    rig.answer(0, 200, "three", "");
    rig.expect(expect![[r#"
        route 1: 1003 for "1001"
        send 0: INVITE -> 10.0.0.3 cseq 1
        respond 1: 180 Whatever
        respond 1: 200 Whatever
    "#]]);
    assert_eq!(values(&rig.sent[&0], Name::Diversion), ["<sip:1002@sip.example>;reason=unconditional;counter=1"]);
    assert_eq!(values(&rig.sent[&0], Name::HistoryInfo)[1], "<sip:1002@sip.example?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1");
}

#[test]
fn each_way_not_to_take_a_call_has_its_own_target() {
    let all = || Onward { busy: to("1003"), no_answer: to("1004"), unreachable: to("1005"), ..Onward::default() };
    let went = |rig: &Rig| rig.routes.iter().map(|call| call.called.clone()).collect::<Vec<_>>();
    let mut busy = Rig::new(vec![user(&[2], all())]);
    busy.answer(0, 486, "two", "");
    assert_eq!(went(&busy), ["1003"]);
    let mut silent = Rig::new(vec![user(&[2], all())]);
    silent.answer(0, 180, "two", "");
    silent.pass(20);
    assert_eq!(went(&silent), ["1004"]);
    assert_eq!(silent.log.matches("cancel 0").count(), 1, "{}", silent.log);
    let mut away = Rig::new(vec![user(&[2], all())]);
    away.answer(0, 480, "two", "");
    assert_eq!(went(&away), ["1004"], "the phone says that nobody is there");
    let mut dead = Rig::new(vec![user(&[2], all())]);
    dead.on(Event::Failed { id: 0, why: Failure::Timeout });
    assert_eq!(went(&dead), ["1005"]);
    let mut lost = Rig::new(vec![user(&[2], all())]);
    lost.pass(20);
    assert_eq!(went(&lost), ["1005"], "nothing was ever heard of it");
    assert_eq!(went(&Rig::new(vec![user(&[], all())])), ["1005"], "it is not registered");
    let mut declined = Rig::new(vec![user(&[2], all())]);
    declined.answer(0, 603, "two", "");
    assert_eq!(went(&declined), <[&str; 0]>::default(), "a person has refused");
    // Nothing is said of phones that cannot be reached.
    let same = Rig::new(vec![user(&[], Onward { no_answer: to("1004"), ..Onward::default() })]);
    assert_eq!(went(&same), ["1004"]);
}

#[test]
fn with_several_phones_the_call_goes_on_when_none_has_taken_it() {
    let mut rig = Rig::new(vec![user(&[2, 3], Onward { busy: to("1004"), ..Onward::default() })]);
    rig.answer(0, 486, "two", "");
    assert!(rig.routes.is_empty(), "one still rings");
    rig.answer(1, 486, "three", "");
    rig.goes_on(1, vec![stage(vec![target(4)])]);
    rig.answer(2, 486, "four", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        send 1: INVITE -> 10.0.0.3 cseq 1
        route 1: 1004 for "1001"
        send 2: INVITE -> 10.0.0.4 cseq 1
        respond 1: 486 Whatever
        end 486 busy by None
    "#]]);
    assert!(rig.bridge.finished(), "and is not sent on from here again");
}

#[test]
fn what_follows_a_user_in_the_plan_follows_whoever_the_user_names() {
    let mut first = user(&[2], Onward { no_answer: to("1003"), ..Onward::default() });
    first.next.no_answer = true;
    let mut rig = Rig::new(vec![first, stage(vec![target(5)])]);
    rig.answer(0, 180, "two", "");
    rig.pass(20);
    rig.goes_on(1, vec![stage(vec![target(3)])]);
    rig.answer(1, 180, "three", "");
    rig.pass(20);
    rig.answer(2, 200, "five", "");
    assert!(rig.log.ends_with("send 2: INVITE -> 10.0.0.5 cseq 1\nrespond 1: 200 Whatever\n"), "{}", rig.log);
}

#[test]
fn users_who_send_calls_to_each_other_end_in_a_refusal() {
    cov_mark::check!(forwarded_in_a_circle);
    let mut rig = Rig::new(vec![user(&[], Onward { always: to("1003"), ..Onward::default() })]);
    let back = Onward { user: "desk-3".to_owned(), always: to("1002"), ..Onward::default() };
    rig.goes_on(1, vec![ResolvedStage { onward: Some(Box::new(back)), ..stage(vec![]) }]);
    rig.expect(expect![[r#"
        route 1: 1003 for "1001"
        respond 1: 482 Loop Detected
        end 482 forwarded in a circle by None
    "#]]);
    assert!(rig.bridge.finished());
}

#[test]
fn a_chain_of_users_is_as_long_as_the_limit_says() {
    let mut rig = Rig::new(vec![user(&[], Onward { always: to("1003"), ..Onward::default() })]);
    let next = |user: &str, number: &str| {
        let onward = Onward { user: user.to_owned(), always: to(number), ..Onward::default() };
        vec![ResolvedStage { onward: Some(Box::new(onward)), ..stage(vec![]) }]
    };
    rig.goes_on(1, next("desk-3", "1004"));
    rig.goes_on(2, next("desk-4", "1005"));
    assert!(rig.log.contains("limit too-many-forwards"), "{}", rig.log);
    assert!(rig.bridge.finished());
}

#[test]
fn a_caller_who_hangs_up_ends_what_was_sent_on() {
    let mut rig = Rig::new(vec![user(&[], Onward { always: to("1003"), ..Onward::default() })]);
    rig.on(Event::Cancelled { id: ServerId(1), reason: None });
    let log = rig.log.clone();
    rig.goes_on(1, vec![stage(vec![target(3)])]);
    assert_eq!(rig.log, log, "an answer of the policies that comes too late dials nobody");
    let mut ringing = Rig::new(vec![user(&[], Onward { always: to("1003"), ..Onward::default() })]);
    ringing.goes_on(1, vec![stage(vec![target(3)])]);
    ringing.answer(0, 180, "three", "");
    ringing.on(Event::Cancelled { id: ServerId(1), reason: None });
    assert!(ringing.log.contains("cancel 0"), "{}", ringing.log);
}

#[test]
fn whom_a_phone_of_the_user_forwards_to_comes_before_the_users_own_settings() {
    let mut rig = Rig::new(vec![user(&[2], Onward { busy: to("1004"), ..Onward::default() })]);
    rig.answer(0, 302, "two", "Contact: <sip:1003@elsewhere>\n");
    rig.goes_on(1, vec![stage(vec![target(3)])]);
    rig.answer(1, 486, "three", "");
    assert_eq!(rig.routes.iter().map(|call| call.called.as_str()).collect::<Vec<_>>(), ["1003", "1004"]);
}
