//! A trunk of several addresses: the next is tried when one fails, and only then.

use super::*;
use std::time::Duration;

/// A call to a trunk at two addresses, then to another trunk.
fn rig() -> Rig {
    let provider = LegTarget { more: vec![flow("10.0.0.8:5060")], ..trunk("provider", 9) };
    let next = NextOn { busy: false, no_answer: false, unreachable: true };
    let outside = |target| ResolvedStage { answer_wait: Some(Duration::from_secs(4)), next, ..stage(vec![target]) };
    Rig::new(vec![outside(provider), outside(trunk("other", 7))])
}

#[test]
fn a_503_goes_to_the_next_address_and_then_to_the_next_trunk() {
    cov_mark::check!(rfc3263_4_3_next_server);
    let mut rig = rig();
    rig.answer(0, 503, "a", "");
    rig.answer(1, 503, "b", "");
    rig.answer(2, 200, "c", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        send 1: INVITE -> 10.0.0.8 cseq 1
        send 2: INVITE -> 10.0.0.7 cseq 1
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn an_address_that_is_gone_or_silent_is_left() {
    let mut rig = rig();
    rig.on(Event::Failed { id: 0, why: Failure::Unreachable });
    rig.pass(3);
    rig.pass(1);
    rig.answer(2, 180, "c", "");
    rig.pass(10);
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        send 1: INVITE -> 10.0.0.8 cseq 1
        cancel 1
        send 2: INVITE -> 10.0.0.7 cseq 1
        respond 1: 180 Whatever
    "#]]);
}

#[test]
fn a_silent_address_has_its_own_four_seconds() {
    let mut rig = rig();
    rig.pass(4);
    rig.pass(3);
    rig.answer(1, 183, "b", "");
    rig.pass(5);
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        cancel 0
        send 1: INVITE -> 10.0.0.8 cseq 1
        respond 1: 183 Whatever
    "#]]);
}

#[test]
fn busy_refused_and_cancelled_stay_what_they_are() {
    for status in [486, 404, 500, 603] {
        let mut rig = rig();
        rig.answer(0, status, "a", "");
        assert!(!rig.log.contains("10.0.0.8"), "{status}: {}", rig.log);
    }
    let mut rig = rig();
    rig.on(Event::Cancelled { id: ServerId(1), reason: None });
    rig.answer(0, 503, "a", "");
    assert!(!rig.log.contains("10.0.0.8"), "{}", rig.log);
}
