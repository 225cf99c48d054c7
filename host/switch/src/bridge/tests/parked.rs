//! A call in a park slot.

use super::*;
use crate::park::Lot;
use sip::header::Name;

/// A call whose caller has parked the callee at 701; the log begins when the slot is found to be free.
fn parked() -> (Rig, Arc<Lot>) {
    let mut rig = talking();
    rig.caller(10, "REFER", 8, "Refer-To: <sip:701@sip.example>\n");
    rig.log.clear();
    let lot: Arc<Lot> = Arc::default();
    rig.on(Event::Park { hunt: 1, slot: lot.take("701").unwrap() });
    (rig, lot)
}

#[test]
fn the_parker_is_told_and_the_other_one_held() {
    let (mut rig, lot) = parked();
    assert!(lot.take("701").is_none() && lot.parked("701").is_some());
    assert_eq!(rig.sent[&2].body(), b"SIP/2.0 200 OK\r\n");
    assert_eq!(rig.sent[&3].body(), b"", "no offer");
    rig.answer(3, 200, "bob", "");
    let held = String::from_utf8_lossy(rig.acks.last().unwrap().body()).into_owned();
    assert!(held.starts_with("v=0\r\no=- "), "{held}");
    rig.answer(3, 200, "bob", "");
    rig.caller(11, "BYE", 9, "");
    rig.expect(expect![[r#"
        send 2: NOTIFY -> 10.0.0.1 cseq 2
        send 3: INVITE -> 10.0.0.77 cseq 2
        ack -> 10.0.0.77 cseq 2
        respond 11: 200 OK
    "#]]);
    assert!(lot.parked("701").is_some(), "the parker has left, the parked one waits");
    rig.callee(20, 0, "bob", "BYE", 20, "");
    assert!(lot.take("701").is_some());
}

#[test]
fn whoever_knows_the_slots_dialog_gets_the_parked_one() {
    let (mut rig, lot) = parked();
    let dialog = lot.parked("701").unwrap();
    let mut out = Vec::new();
    assert_eq!(rig.bridge.give(&dialog, rig.now, &mut out).unwrap_err().status, 491, "while it is being held");
    rig.answer(3, 200, "bob", "");
    let of_bob = DialogId { remote_tag: b"bob".to_vec(), ..dialog.clone() };
    assert_eq!(rig.bridge.give(&of_bob, rig.now, &mut out).unwrap_err().status, 491, "nobody can be given away");
    let Found::Talks(half) = rig.bridge.give(&dialog, rig.now, &mut out).unwrap() else { panic!("it does not ring") };
    assert_eq!(half.call_id(), rig.sent[&0].call_id());
    assert!(lot.take("701").is_some());
}

#[test]
fn it_goes_back_once_and_then_ends() {
    let (mut rig, lot) = parked();
    rig.answer(3, 200, "bob", "");
    rig.caller(11, "BYE", 9, "");
    rig.log.clear();
    rig.pass(119);
    rig.pass(1);
    rig.on(Event::Routed { hunt: 2, plan: Err(Refusal::new(486, "Busy Here", "busy")) });
    assert!(lot.parked("701").is_some());
    rig.pass(119);
    rig.pass(1);
    rig.expect(expect![[r#"
        route 2: 1001 for "1002"
        send 4: BYE -> 10.0.0.77 cseq 3
        end 200 parked, and nobody picked it up by Some("desk-2")
    "#]]);
    assert_eq!(rig.sent[&4].header(Name::Reason), Some(&b"SIP;cause=480;text=\"Nobody Came\""[..]));
    assert!(lot.take("701").is_some());
}

#[test]
fn only_a_transfer_itself_parks() {
    let mut rig = talking();
    let lot: Arc<Lot> = Arc::default();
    rig.on(Event::Park { hunt: 0, slot: lot.take("701").unwrap() });
    assert!(lot.take("701").is_some() && rig.log.is_empty());
}
