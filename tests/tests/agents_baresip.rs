//! Two baresip softphones register, and one calls the other: ringing, answer, speech in both directions, hanging up; over UDP and TLS.
//! Three of them transfer a call: the caller's phone is not asked to.
//! `HOLDFAST_SUBJECT=kamailio cargo test -p world --test agents_baresip baresip_over` runs the calls against Kamailio, which leaves transfers to the phones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use world::agents::{Baresip, DOMAIN, Site, Subject, Way};

fn a_call_over(way: Way) {
    let site = Site::with_phones(1001..=1002);
    let subject = Subject::start(&site);
    let mut caller = Baresip::register(&subject, way, &site.phones[0]);
    let mut callee = Baresip::register(&subject, way, &site.phones[1]);

    caller.command("dial", &format!("sip:1002@{DOMAIN}"));
    let incoming = callee.event("CALL_INCOMING");
    assert!(incoming["peeruri"].as_str().is_some_and(|uri| uri.contains("1001")), "the callee sees who calls: {incoming}");
    caller.event("CALL_RINGING");
    callee.command("accept", "");
    callee.event("CALL_ESTABLISHED");
    caller.event("CALL_ESTABLISHED");
    // The first RTP packet of the other phone has arrived.
    caller.event("CALL_RTPESTAB");
    caller.command("hangup", "");
    callee.event("CALL_CLOSED");
    caller.event("CALL_CLOSED");
}

#[test]
fn baresip_over_udp() {
    a_call_over(Way::Udp);
}

#[test]
fn baresip_over_tls() {
    a_call_over(Way::Tls);
}

/// Whoever is called sends the caller on to a third phone, and leaves.
fn a_transfer_over(way: Way) {
    let site = Site::with_phones(1001..=1003);
    let subject = Subject::start(&site);
    let [mut caller, mut callee, mut third] = [0, 1, 2].map(|place| Baresip::register(&subject, way, &site.phones[place]));

    caller.command("dial", &format!("sip:1002@{DOMAIN}"));
    callee.event("CALL_INCOMING");
    callee.command("accept", "");
    caller.event("CALL_ESTABLISHED");
    callee.event("CALL_ESTABLISHED");
    caller.event("CALL_RTPESTAB");

    callee.command("transfer", &format!("sip:1003@{DOMAIN}"));
    third.event("CALL_INCOMING");
    third.command("accept", "");
    third.event("CALL_ESTABLISHED");
    callee.event("CALL_CLOSED");
    // The caller, whose call still lives, hears somebody else now.
    caller.prints("SSRC changed");
    caller.command("hangup", "");
    third.event("CALL_CLOSED");
    caller.event("CALL_CLOSED");
}

#[test]
fn baresip_transfers_over_udp() {
    a_transfer_over(Way::Udp);
}

#[test]
fn baresip_transfers_over_tls() {
    a_transfer_over(Way::Tls);
}
