//! Phones behind connections that are lost in the middle of a call.

use super::*;
use crate::{licence::Seat, registrar::Binding};
use sip::stack::Failure;

fn connection(remote: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, connection, ..flow(remote) }
}

fn registered(rig: &Rig, contact: &str, instance: Option<&str>, flow: Flow) {
    let binding = Binding {
        endpoint: "desk-2".into(),
        contact: contact.into(),
        params: "".into(),
        q: 1000,
        instance: instance.map(Into::into),
        reg_id: None,
        path: vec![],
        flow,
        call_id: "r".into(),
        cseq: 1,
        seen: rig.now,
        expires: rig.now + Duration::from_secs(300),
        pool: None,
        emergency_only: false,
        user_agent: "".into(),
    };
    rig.bridge.site.registrar.restore(binding, Seat::none());
}

/// A call to a phone behind connection 5, which names its instance when it registers.
fn talking_over_tcp() -> Rig {
    let old = connection("10.0.0.2:40001", 5);
    let mut rig = Rig::new(vec![stage(vec![LegTarget { flow: old, ..target(2) }])]);
    registered(&rig, "sip:old@10.0.0.2:40001", Some("urn:uuid:2"), old);
    rig.answer(0, 200, "bob", "");
    // The answer came over it.
    for party in rig.bridge.parties.iter_mut().filter(|party| party.leg.is_some()) {
        party.dialog.flow = old;
    }
    rig.caller(0, "ACK", 7, "");
    rig.log.clear();
    rig
}

#[test]
fn a_request_goes_down_the_new_connection_of_the_same_instance() {
    let mut rig = talking_over_tcp();
    rig.bridge.site.registrar.connection_lost(5);
    registered(&rig, "sip:other@10.0.0.3:40002", Some("urn:uuid:3"), connection("10.0.0.3:40002", 6));
    registered(&rig, "sip:new@10.0.0.22:40003", Some("urn:uuid:2"), connection("10.0.0.22:40003", 7));
    rig.caller(10, "INFO", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.22 cseq 2
        respond 10: 200 Whatever
    "#]]);
}

#[test]
fn a_hang_up_waits_for_the_phone_to_connect_again_but_not_for_ever() {
    for comes_back in [true, false] {
        let mut rig = talking_over_tcp();
        rig.bridge.site.registrar.connection_lost(5);
        rig.caller(10, "BYE", 8, "");
        rig.on(Event::Failed { id: 1, why: Failure::Unreachable });
        rig.pass(3);
        assert!(!rig.bridge.finished());
        if comes_back {
            registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
            rig.pass(1);
            rig.answer(1, 200, "bob", "");
            rig.expect(expect![[r#"
                respond 10: 200 OK
                send 1: BYE -> 10.0.0.2 cseq 2
                end 200 caller hung up by Some("desk-2")
                send 1: BYE -> 10.0.0.22 cseq 2
            "#]]);
        } else {
            rig.pass(40);
            rig.expect(expect![[r#"
                respond 10: 200 OK
                send 1: BYE -> 10.0.0.2 cseq 2
                end 200 caller hung up by Some("desk-2")
            "#]]);
        }
        assert!(rig.bridge.finished());
        assert_eq!(rig.bridge.deadline(), None);
    }
}

#[test]
fn all_that_waits_for_a_phone_goes_on_when_it_is_there_again() {
    let mut rig = talking_over_tcp();
    rig.bridge.site.registrar.connection_lost(5);
    rig.caller(10, "INFO", 8, "");
    rig.on(Event::Failed { id: 1, why: Failure::Unreachable });
    rig.caller(11, "INFO", 9, "");
    rig.on(Event::Failed { id: 2, why: Failure::Unreachable });
    rig.caller(12, "INFO", 10, "");
    registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
    rig.caller(13, "INFO", 11, "");
    rig.on(Event::Failed { id: 3, why: Failure::Unreachable });
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
        send 2: INFO -> 10.0.0.2 cseq 3
        send 3: INFO -> 10.0.0.2 cseq 4
        send 1: INFO -> 10.0.0.22 cseq 2
        send 2: INFO -> 10.0.0.22 cseq 3
        send 4: INFO -> 10.0.0.22 cseq 5
        send 3: INFO -> 10.0.0.22 cseq 4
    "#]]);
}

#[test]
fn another_phone_of_the_account_that_knows_nothing_of_the_call_does_not_end_it() {
    cov_mark::check!(another_phone_of_the_account);
    for comes_back in [true, false] {
        let mut rig = talking_over_tcp();
        rig.bridge.site.registrar.connection_lost(5);
        registered(&rig, "sip:other@10.0.0.3:40002", None, connection("10.0.0.3:40002", 6));
        rig.caller(10, "INFO", 8, "");
        rig.caller(11, "INFO", 9, "");
        rig.answer(1, 481, "bob", "");
        rig.answer(2, 481, "bob", "");
        rig.pass(3);
        if comes_back {
            registered(&rig, "sip:new@10.0.0.22:40003", Some("urn:uuid:2"), connection("10.0.0.22:40003", 7));
            rig.pass(1);
            rig.answer(1, 200, "bob", "");
            rig.answer(2, 200, "bob", "");
            rig.caller(12, "INFO", 10, "");
            rig.expect(expect![[r#"
                send 1: INFO -> 10.0.0.3 cseq 2
                send 2: INFO -> 10.0.0.3 cseq 3
                send 1: INFO -> 10.0.0.22 cseq 2
                send 2: INFO -> 10.0.0.22 cseq 3
                respond 10: 200 Whatever
                respond 11: 200 Whatever
                send 3: INFO -> 10.0.0.22 cseq 4
            "#]]);
        } else {
            rig.pass(40);
            assert!(rig.log.contains("end 200 one side is gone"), "{}", rig.log);
        }
    }
}

#[test]
fn of_several_phones_of_the_account_that_at_the_same_address_is_asked_first() {
    let mut rig = talking_over_tcp();
    rig.bridge.site.registrar.connection_lost(5);
    registered(&rig, "sip:new@10.0.0.2:40003", None, connection("10.0.0.2:40003", 7));
    registered(&rig, "sip:other@10.0.0.3:40002", None, connection("10.0.0.3:40002", 6));
    rig.caller(10, "INFO", 8, "");
    rig.answer(1, 481, "bob", "");
    rig.pass(1);
    rig.answer(1, 481, "bob", "");
    rig.pass(1);
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
        send 1: INFO -> 10.0.0.3 cseq 2
    "#]]);
}

#[test]
fn a_phone_that_was_taken_rightly_is_believed_when_it_says_that_the_call_is_over() {
    cov_mark::check!(the_right_phone_of_the_account);
    let mut rig = talking_over_tcp();
    rig.bridge.site.registrar.connection_lost(5);
    registered(&rig, "sip:new@10.0.0.3:40002", None, connection("10.0.0.3:40002", 6));
    rig.caller(10, "INFO", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.caller(11, "INFO", 9, "");
    rig.answer(2, 481, "bob", "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.3 cseq 2
        respond 10: 200 Whatever
        send 2: INFO -> 10.0.0.3 cseq 3
        respond 11: 481 Whatever
        send 3: BYE -> 10.0.0.1 cseq 1
        send 4: BYE -> 10.0.0.3 cseq 4
        end 200 one side is gone by Some("desk-2")
    "#]]);
}

/// What tells phones apart is learnt from the one that has the call, and not from one that was asked by mistake.
#[test]
fn a_phone_that_was_taken_wrongly_does_not_lend_its_name() {
    let mut rig = talking_over_tcp();
    for party in &mut rig.bridge.parties {
        party.instance = None;
    }
    rig.bridge.site.registrar.connection_lost(5);
    rig.bridge.site.registrar.remove("desk-2");
    registered(&rig, "sip:other@10.0.0.3:40002", Some("urn:uuid:3"), connection("10.0.0.3:40002", 6));
    rig.caller(10, "INFO", 8, "");
    rig.caller(11, "INFO", 9, "");
    rig.answer(1, 481, "bob", "");
    rig.answer(2, 481, "bob", "");
    rig.pass(3);
    registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
    rig.pass(1);
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.3 cseq 2
        send 2: INFO -> 10.0.0.3 cseq 3
        send 1: INFO -> 10.0.0.22 cseq 2
        send 2: INFO -> 10.0.0.22 cseq 3
    "#]]);
}

#[test]
fn no_more_phones_are_tried_than_an_account_has() {
    let mut rig = talking_over_tcp();
    let most = rig.bridge.site.limits.bindings_per_endpoint;
    rig.bridge.site.registrar.connection_lost(5);
    rig.caller(10, "INFO", 8, "");
    rig.on(Event::Failed { id: 1, why: Failure::Unreachable });
    // One that knows nothing of the call connects again and again.
    for time in 0..most + 5 {
        registered(&rig, "sip:other@10.0.0.3:40002", None, connection("10.0.0.3:40002", 6 + time as u64));
        rig.pass(1);
        rig.answer(1, 481, "bob", "");
    }
    assert_eq!(rig.log.matches("-> 10.0.0.3").count(), most, "{}", rig.log);
}

/// A proxy before the site's phones, or somebody who calls himself.
#[test]
fn both_sides_behind_one_connection_are_found_again() {
    let mut rig = talking_over_tcp();
    let (endpoint, old) = (rig.bridge.site.directory().endpoint("desk-2").cloned().unwrap(), connection("10.0.0.2:40001", 5));
    (rig.bridge.call.caller, rig.bridge.call.flow) = (Caller::Endpoint(endpoint), old);
    for party in &mut rig.bridge.parties {
        (party.dialog.flow, party.instance) = (old, Some("urn:uuid:2".into()));
    }
    rig.bridge.site.registrar.connection_lost(5);
    rig.pass(290);
    registered(&rig, "sip:new@10.0.0.22:40003", Some("urn:uuid:2"), connection("10.0.0.22:40003", 7));
    rig.pass(10);
    rig.expect(expect![[r#"
        send 1: OPTIONS -> 10.0.0.22 cseq 1
        send 2: OPTIONS -> 10.0.0.22 cseq 2
    "#]]);
}

#[test]
fn two_dead_connections_are_not_tried_in_turn_without_a_pause() {
    cov_mark::check!(connection_found_again);
    let mut rig = talking_over_tcp();
    registered(&rig, "sip:new@10.0.0.22:40003", Some("urn:uuid:2"), connection("10.0.0.22:40003", 7));
    rig.caller(10, "BYE", 8, "");
    for _ in 0..10 {
        rig.on(Event::Failed { id: 1, why: Failure::Unreachable });
    }
    assert_eq!(rig.log.matches("BYE").count(), 2, "{}", rig.log);
}

#[test]
fn a_registration_that_lapses_or_goes_elsewhere_changes_no_way() {
    let mut rig = talking_over_tcp();
    // It registers with the cloud again, and its binding here is removed; its connection is what it was.
    rig.bridge.site.registrar.remove("desk-2");
    rig.caller(10, "INFO", 8, "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
    "#]]);
}

#[test]
fn who_unregisters_in_a_call_is_not_taken_for_the_other_phone_of_its_account() {
    let mut rig = talking_over_tcp();
    rig.bridge.site.registrar.remove("desk-2");
    registered(&rig, "sip:other@10.0.0.3:40002", None, connection("10.0.0.3:40002", 6));
    rig.caller(10, "INFO", 8, "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
    "#]]);
}

#[test]
fn a_binding_kept_over_a_restart_leads_nowhere_until_the_phone_registers_again() {
    let mut rig = talking_over_tcp();
    let now = rig.now;
    let binding = rig.bridge.site.registrar.bindings("desk-2", now).remove(0);
    assert!(rig.bridge.site.restore((*binding).clone(), now));
    let restarted = connection("10.0.0.2:40001", 5).restarted();
    for party in rig.bridge.parties.iter_mut().filter(|party| party.leg.is_some()) {
        party.dialog.flow = restarted;
    }
    rig.caller(10, "INFO", 8, "");
    registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
    rig.caller(11, "INFO", 9, "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
        send 2: INFO -> 10.0.0.22 cseq 3
    "#]]);
}

#[test]
fn a_caller_that_has_connected_anew_gets_the_answer_there() {
    let old = connection("10.0.0.2:40001", 5);
    let mut rig = Rig::new(vec![stage(vec![target(3)])]);
    let endpoint = rig.bridge.site.directory().endpoint("desk-2").cloned().unwrap();
    (rig.bridge.call.caller, rig.bridge.call.flow) = (Caller::Endpoint(endpoint), old);
    rig.bridge.site.registrar.connection_lost(5);
    registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.3 cseq 1
        redirect 1 -> 10.0.0.22:40003
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn the_answer_does_not_go_to_another_phone_of_the_callers_account() {
    let own = connection("10.0.0.2:40001", 5);
    let mut rig = Rig::new(vec![stage(vec![target(3)])]);
    let endpoint = rig.bridge.site.directory().endpoint("desk-2").cloned().unwrap();
    (rig.bridge.call.caller, rig.bridge.call.flow) = (Caller::Endpoint(endpoint), own);
    // Its registration has lapsed, not its connection.
    registered(&rig, "sip:new@10.0.0.22:40003", None, connection("10.0.0.22:40003", 7));
    rig.answer(0, 200, "bob", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.3 cseq 1
        respond 1: 200 Whatever
    "#]]);
}

#[test]
fn what_was_asked_of_a_phone_when_the_call_ended_is_not_waited_for() {
    let mut rig = talking_over_tcp();
    rig.caller(10, "INFO", 8, "");
    rig.caller(11, "BYE", 9, "");
    rig.answer(2, 200, "bob", "");
    rig.expect(expect![[r#"
        send 1: INFO -> 10.0.0.2 cseq 2
        respond 11: 200 OK
        send 2: BYE -> 10.0.0.2 cseq 3
        respond 10: 481 Call/Transaction Does Not Exist
        end 200 caller hung up by Some("desk-2")
    "#]]);
    assert!(rig.bridge.finished(), "the answer to the INFO is nobody's any more");
}

#[test]
fn who_it_is_is_written_down_once_it_is_known() {
    let mut rig = talking_over_tcp();
    for party in &mut rig.bridge.parties {
        party.instance = None;
    }
    let before = rig.bridge.stamps();
    rig.caller(10, "INFO", 8, "");
    assert!(rig.bridge.parties.iter().any(|party| party.instance.as_deref() == Some("urn:uuid:2")));
    assert_ne!(rig.bridge.stamps().course, before.course);
}
