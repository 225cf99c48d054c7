//! Two baresip softphones register, and one calls the other: ringing, answer, speech in both directions, hanging up; over UDP and TLS.
//! `HOLDFAST_SUBJECT=kamailio cargo test -p world --test agents_baresip` runs the same against Kamailio.

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
