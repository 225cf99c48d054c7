//! Which registration replaces which, and what is left when one is refused.

use super::*;

fn contact(desk: &Desk, now: u64, call_id: &str, cseq: u32, lines: &str) -> String {
    match desk.send(now, &register("1001", call_id, cseq, lines)) {
        Ok(changes) => told(&changes),
        Err(refusal) => format!("{} {}", refusal.status, refusal.phrase),
    }
}

#[test]
fn a_refresh_keeps_one_binding_and_extends_it() {
    let desk = Desk::new();
    contact(&desk, 0, "a", 1, "Contact: <sip:1001@10.1.0.7;transport=tcp>\nExpires: 60\n");
    // The same contact by RFC 3261 19.1.4: scheme and host in any case, escapes, order of parameters.
    let refreshed = contact(&desk, 50, "a", 2, "Contact: <SIP:%31001@10.1.0.7;transport=TCP>\nExpires: 60\n");
    expect![[r#"
        unbound sip:1001@10.1.0.7;transport=tcp
        bound SIP:%31001@10.1.0.7;transport=TCP
    "#]]
    .assert_eq(&refreshed);
    assert_eq!(
        contact(&desk, 60, "a", 3, "Contact: <SIP:%31001@10.1.0.7;transport=TCP>\nExpires: 60\n"),
        "bound SIP:%31001@10.1.0.7;transport=TCP\n"
    );
    assert_eq!(desk.registrar.len(), 1);
    assert!(desk.registrar.registered("desk-1", at(119)));
    assert!(!desk.registrar.registered("desk-1", at(120)));
}

#[test]
fn within_one_call_id_the_cseq_must_rise() {
    cov_mark::check!(rfc3261_10_3_cseq);
    let desk = Desk::new();
    contact(&desk, 0, "a", 5, "Contact: <sip:1001@10.1.0.7>\n");
    assert_eq!(contact(&desk, 1, "a", 5, "Contact: <sip:1001@10.1.0.7>\n"), "500 CSeq Out Of Order");
    assert_eq!(contact(&desk, 1, "a", 4, "Contact: <sip:1001@10.1.0.7>;expires=0\n"), "500 CSeq Out Of Order");
    assert_eq!(contact(&desk, 1, "a", 5, "Contact: *\nExpires: 0\n"), "500 CSeq Out Of Order");
    assert_eq!(desk.registrar.len(), 1);
    // Another Call-ID is another phone, or the same one started again: its numbers say nothing.
    assert_eq!(contact(&desk, 1, "b", 1, "Contact: <sip:1001@10.1.0.7>\n"), "bound sip:1001@10.1.0.7\n");
    assert_eq!(contact(&desk, 1, "b", 2, "Contact: *\nExpires: 0\n"), "unbound sip:1001@10.1.0.7\n");
    assert!(desk.registrar.is_empty());
    // What has ended does not count.
    contact(&desk, 10, "c", 9, "Contact: <sip:1001@10.1.0.7>\nExpires: 20\n");
    assert_eq!(contact(&desk, 30, "c", 1, "Contact: <sip:1001@10.1.0.7>\n"), "bound sip:1001@10.1.0.7\n");
}

#[test]
fn all_or_nothing() {
    let desk = Desk::new();
    contact(&desk, 0, "a", 5, "Contact: <sip:one@10.1.0.7>, <sip:two@10.1.0.7>\n");
    let before = desk.registrar.bindings("desk-1", at(1));
    // The first contact is new and the second would be refreshed, but the third is out of order.
    contact(&desk, 0, "b", 1, "Contact: <sip:two@10.1.0.7>\n");
    let middle = desk.registrar.bindings("desk-1", at(1));
    assert_ne!(before, middle);
    assert_eq!(contact(&desk, 1, "a", 5, "Contact: <sip:new@10.1.0.7>, <sip:two@10.1.0.7>, <sip:one@10.1.0.7>\n"), "500 CSeq Out Of Order");
    assert_eq!(contact(&desk, 1, "a", 5, "Contact: <sip:two@10.1.0.7>;expires=0, <sip:one@10.1.0.7>;expires=0\n"), "500 CSeq Out Of Order");
    assert_eq!(desk.registrar.bindings("desk-1", at(1)), middle);
    assert_eq!(desk.registrar.len(), 2);
    assert_eq!(desk.registrar.deadline(), Some(at(300)));
}

#[test]
fn one_request_binds_and_removes() {
    let desk = Desk::new();
    contact(&desk, 0, "a", 1, "Contact: <sip:old@10.1.0.7>\n");
    expect![[r#"
        unbound sip:old@10.1.0.7
        bound sip:new@10.1.0.7
    "#]]
    .assert_eq(&contact(&desk, 1, "a", 2, "Contact: <sip:new@10.1.0.7>, <sip:old@10.1.0.7>;expires=0\n"));
    // The same contact twice: the last one counts.
    assert_eq!(contact(&desk, 2, "a", 3, "Contact: <sip:new@10.1.0.7>;q=0.1, <sip:new@10.1.0.7>;q=0.2\n"), "bound sip:new@10.1.0.7\n");
    assert_eq!(desk.registrar.bindings("desk-1", at(2))[0].q, 200);
    // What is not bound can be removed all the same.
    assert_eq!(contact(&desk, 3, "a", 4, "Contact: <sip:never@10.1.0.7>;expires=0\n"), "");
    assert_eq!(desk.registrar.len(), 1);
}

#[test]
fn a_phone_started_again_replaces_its_old_binding() {
    cov_mark::check!(rfc5626_6_instance);
    let desk = Desk::new();
    contact(&desk, 0, "a", 1, "Contact: <sip:1001@10.1.0.7:31000>;+sip.instance=\"<urn:uuid:1>\"\n");
    contact(&desk, 0, "x", 1, "Contact: <sip:1001@10.1.0.8:31000>;+sip.instance=\"<urn:uuid:2>\"\n");
    expect![[r#"
        unbound sip:1001@10.1.0.7:31000
        bound sip:1001@10.1.0.7:31999
    "#]]
    .assert_eq(&contact(&desk, 5, "b", 1, "Contact: <sip:1001@10.1.0.7:31999>;+sip.instance=\"<urn:uuid:1>\"\n"));
    assert_eq!(desk.registrar.len(), 2);
}

#[test]
fn flows_of_one_instance_are_kept_apart_by_reg_id_and_ring_once() {
    let desk = Desk::new();
    let flow = |now: u64, call_id: &str, port: u16, reg_id: &str| {
        contact(&desk, now, call_id, 1, &format!("Contact: <sip:1001@10.1.0.7:{port}>;+sip.instance=\"<urn:uuid:1>\"{reg_id}\n"))
    };
    flow(0, "a", 1, ";reg-id=1");
    flow(1, "b", 2, ";reg-id=2");
    assert_eq!(desk.registrar.len(), 2);
    assert_eq!(flow(2, "c", 3, ";reg-id=1"), "unbound sip:1001@10.1.0.7:1\nbound sip:1001@10.1.0.7:3\n");
    // RFC 5626 7: one contact per instance at a time.
    let targets = desk.registrar.targets("desk-1", at(3));
    assert_eq!(targets.iter().map(|b| b.contact.as_ref()).collect::<Vec<_>>(), ["sip:1001@10.1.0.7:3"]);
    assert_eq!(desk.registrar.bindings("desk-1", at(3)).len(), 2);
    // Without reg-id the whole instance is meant.
    assert_eq!(flow(3, "d", 4, ""), "unbound sip:1001@10.1.0.7:2\nunbound sip:1001@10.1.0.7:3\nbound sip:1001@10.1.0.7:4\n");
    // A reg-id without an instance is ignored (RFC 5626 6).
    contact(&desk, 4, "e", 1, "Contact: <sip:1001@10.1.0.7:5>;reg-id=1\n");
    contact(&desk, 4, "f", 1, "Contact: <sip:1001@10.1.0.7:6>;reg-id=1\n");
    assert_eq!(desk.registrar.targets("desk-1", at(5)).len(), 3);
}

#[test]
fn limits_refuse_without_touching_what_is_there() {
    let limits = Limits { bindings_per_endpoint: 2, bindings: 3, ..Limits::default() };
    let registrar = Registrar::new(limits);
    let send = |endpoint: &str, now: u64, contacts: &str| {
        let request = register("x", "a", u32::try_from(now).unwrap() + 1, &format!("Contact: {contacts}\nExpires: 100\n"));
        let wish = registrar.read(&request)?;
        registrar.apply(endpoint, &wish, &request, udp("10.1.0.7:5060"), Seat::none(), false, at(now)).map(|changes| changes.len())
    };
    assert_eq!(send("desk-1", 0, "<sip:1@a>, <sip:2@a>"), Ok(2));
    let refusal = send("desk-1", 1, "<sip:3@a>").unwrap_err();
    assert_eq!((refusal.status, refusal.detail.as_str()), (403, "3 contacts, 2 allowed (limits.bindings_per_endpoint)"));
    assert_eq!(send("desk-1", 2, "<sip:1@a>"), Ok(1), "a refresh needs no place");
    assert_eq!(send("desk-1", 3, "<sip:1@a>;expires=0, <sip:3@a>"), Ok(2), "nor does an exchange");
    assert_eq!(send("desk-2", 4, "<sip:1@a>"), Ok(1));
    let refusal = send("desk-2", 5, "<sip:2@a>").unwrap_err();
    assert_eq!((refusal.status, refusal.detail.as_str()), (503, "the site has 3 bindings, 3 allowed (limits.bindings)"));
    assert_eq!(registrar.len(), 3);
    // An expired one makes room at its endpoint at once, also before anybody has swept.
    assert_eq!(send("desk-1", 102, "<sip:4@a>"), Ok(2));
}

#[test]
fn the_end_of_a_binding_is_told_once() {
    let desk = Desk::new();
    contact(&desk, 0, "a", 1, "Contact: <sip:1@a>;expires=60, <sip:2@a>;expires=30\n");
    assert_eq!(desk.registrar.deadline(), Some(at(30)));
    assert_eq!(told(&desk.registrar.expire(at(29))), "");
    assert_eq!(told(&desk.registrar.expire(at(30))), "unbound sip:2@a\n");
    assert_eq!(told(&desk.registrar.expire(at(30))), "");
    assert_eq!(desk.registrar.deadline(), Some(at(60)));
    contact(&desk, 50, "a", 2, "Contact: <sip:1@a>;expires=60\n");
    assert_eq!(told(&desk.registrar.expire(at(60))), "", "it was refreshed");
    assert_eq!(desk.registrar.deadline(), Some(at(110)));
    assert_eq!(told(&desk.registrar.expire(at(1000))), "unbound sip:1@a\n");
    assert_eq!((desk.registrar.deadline(), desk.registrar.len()), (None, 0));
}

#[test]
fn a_lost_connection_takes_its_bindings_along() {
    let desk = Desk::new();
    let send = |call_id: &str, contact: &str, flow| {
        desk.send_over(0, &register("1001", call_id, 1, &format!("Contact: <{contact}>\n")), flow).unwrap()
    };
    send("a", "sip:1@a", tcp("10.1.0.7:31000", 7));
    send("b", "sip:2@a", tcp("10.1.0.7:31000", 7));
    send("c", "sip:3@a", tcp("10.1.0.7:31000", 8));
    send("d", "sip:4@a", udp("10.1.0.7:31000"));
    assert_eq!(told(&desk.registrar.connection_lost(6)), "");
    assert_eq!(told(&desk.registrar.connection_lost(0)), "", "datagrams have no connection to lose");
    assert_eq!(told(&desk.registrar.connection_lost(7)), "unbound sip:1@a\nunbound sip:2@a\n");
    assert_eq!(told(&desk.registrar.connection_lost(7)), "");
    assert_eq!(desk.registrar.len(), 2);
    // The greatest number has no successor.
    send("e", "sip:5@a", tcp("10.1.0.7:31000", u64::MAX));
    assert_eq!(told(&desk.registrar.connection_lost(u64::MAX)), "unbound sip:5@a\n");
}

#[test]
fn a_new_seat_replaces_the_old_one_in_every_binding() {
    let ledger = Ledger::new();
    let pool = |pool: &str| crate::directory::Pool::new(pool, 1);
    ledger.set_pools(&[pool("a"), pool("b")], at(0));
    let registrar = Registrar::new(Limits::default());
    let send = |cseq: u32, contact: &str, seat: Seat, emergency_only: bool| {
        let request = register("1001", "x", cseq, &format!("Contact: {contact}\n"));
        let wish = registrar.read(&request).unwrap();
        told(&registrar.apply("desk-1", &wish, &request, udp("10.1.0.7:5060"), seat, emergency_only, at(0)).unwrap())
    };
    let taken = || ["a", "b"].map(|pool| ledger.usage(pool).unwrap().taken);
    send(1, "<sip:1@a>", ledger.take("a", "desk-1", at(0), at(0)).unwrap(), false);
    send(2, "<sip:2@a>", ledger.take("a", "desk-1", at(0), at(0)).unwrap(), false);
    assert_eq!(taken(), [1, 0]);
    // The first contact gets the new seat too, and the store learns of it.
    assert_eq!(send(3, "<sip:2@a>", ledger.take("b", "desk-1", at(0), at(0)).unwrap(), false), "bound sip:1@a\nbound sip:2@a\n");
    assert_eq!(taken(), [0, 1]);
    assert!(registrar.bindings("desk-1", at(0)).iter().all(|binding| binding.pool.as_deref() == Some("b")));
    // A removal brings no seat and takes none away.
    send(4, "<sip:2@a>;expires=0", Seat::none(), false);
    assert_eq!(taken(), [0, 1]);
    assert!(!registrar.emergency_only("desk-1", at(0)));
    send(5, "<sip:1@a>", Seat::none(), true);
    assert_eq!(taken(), [0, 0]);
    assert!(registrar.emergency_only("desk-1", at(0)));
    assert!(!registrar.emergency_only("desk-1", at(5000)));
}

#[test]
fn a_refused_registration_gives_its_seat_back() {
    let ledger = Ledger::new();
    ledger.set_pools(&[crate::directory::Pool::new("a", 1)], at(0));
    let registrar = Registrar::new(Limits { bindings_per_endpoint: 0, ..Limits::default() });
    let request = register("1001", "x", 1, "Contact: <sip:1@a>\n");
    let wish = registrar.read(&request).unwrap();
    let seat = ledger.take("a", "desk-1", at(0), at(0)).unwrap();
    assert!(registrar.apply("desk-1", &wish, &request, udp("10.1.0.7:5060"), seat, false, at(0)).is_err());
    assert_eq!(ledger.usage("a").unwrap().taken, 0);
}

#[test]
fn who_registered_over_a_flow_is_found_by_it() {
    let registrar = Registrar::new(Limits::default());
    let send = |endpoint: &str, flow| {
        let request = register("x", endpoint, 1, &format!("Contact: <sip:{endpoint}@a>\nExpires: 60\n"));
        let wish = registrar.read(&request).unwrap();
        registrar.apply(endpoint, &wish, &request, flow, Seat::none(), false, at(0)).unwrap();
    };
    send("desk-1", udp("10.1.0.7:5060"));
    send("desk-2", tcp("10.1.0.7:5060", 3));
    send("desk-3", tcp("10.1.0.7:5060", 3));
    let found = |flow, now| registrar.endpoints_at(flow, at(now)).iter().map(|id| id.to_string()).collect::<Vec<_>>();
    assert_eq!(found(udp("10.1.0.7:5060"), 0), ["desk-1"]);
    assert_eq!(found(tcp("10.1.0.7:5060", 3), 0), ["desk-2", "desk-3"]);
    assert!(found(tcp("10.1.0.7:5060", 4), 0).is_empty());
    assert!(found(udp("10.1.0.7:5061"), 0).is_empty());
    assert!(found(udp("10.1.0.7:5060"), 60).is_empty());
}

#[test]
fn what_could_not_be_kept_is_taken_back_to_what_was_before() {
    let desk = Desk::new();
    let take_back = |now: u64, cseq: u32, lines: &str| {
        let before = desk.registrar.bindings("desk-1", at(now));
        let changes = desk.send(now, &register("1001", "a", cseq, lines)).unwrap();
        (before.clone(), told(&desk.registrar.take_back(&before, &changes)))
    };
    // A new one goes, and with it nothing is left.
    let (_, told) = take_back(0, 1, "Contact: <sip:1001@10.1.0.7>\nExpires: 60\n");
    assert_eq!(
        (told.as_str(), desk.registrar.len(), desk.registrar.registered("desk-1", at(1))),
        ("unbound sip:1001@10.1.0.7\n", 0, false)
    );
    // A refresh is as it was: it ends when it would have ended, and the next REGISTER may have the number that was refused.
    contact(&desk, 10, "a", 2, "Contact: <sip:1001@10.1.0.7>\nExpires: 60\n");
    let (before, told) = take_back(50, 3, "Contact: <SIP:1001@10.1.0.7>\nExpires: 60\n");
    assert_eq!(told, "unbound SIP:1001@10.1.0.7\nbound sip:1001@10.1.0.7\n");
    assert_eq!(desk.registrar.bindings("desk-1", at(51)), before);
    assert!(desk.registrar.registered("desk-1", at(69)) && !desk.registrar.registered("desk-1", at(70)));
    assert_eq!(contact(&desk, 52, "a", 3, "Contact: <sip:1001@10.1.0.7>\nExpires: 60\n"), "bound sip:1001@10.1.0.7\n");
    // The same phone at another address: the old contact is back.
    let phone = |address: &str| format!("Contact: <sip:{address}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\nExpires: 60\n");
    contact(&desk, 60, "b", 1, &phone("old@10.1.0.8"));
    let before = desk.registrar.bindings("desk-1", at(61));
    let changes = desk.send(61, &register("1001", "b", 2, &phone("new@10.1.0.9"))).unwrap();
    desk.registrar.take_back(&before, &changes);
    let contacts = |now: u64| desk.registrar.bindings("desk-1", at(now)).iter().map(|b| b.contact.to_string()).collect::<Vec<_>>();
    let mut found = contacts(62);
    found.sort();
    assert_eq!(found, ["sip:1001@10.1.0.7", "sip:old@10.1.0.8"]);
    // What has been registered anew meanwhile stays.
    let before = desk.registrar.bindings("desk-1", at(63));
    let changes = desk.send(63, &register("1001", "b", 3, &phone("new@10.1.0.9"))).unwrap();
    contact(&desk, 64, "b", 4, &phone("new@10.1.0.9"));
    assert_eq!(super::told(&desk.registrar.take_back(&before, &changes)), "");
    assert!(contacts(65).contains(&"sip:new@10.1.0.9".to_owned()));
}
