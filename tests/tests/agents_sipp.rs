//! sipp registers, calls and writes through the gateway: answered, cancelled, busy, not answered, held and refreshed; over UDP, TCP and TLS.
//! `HOLDFAST_SUBJECT=kamailio cargo test -p world --test agents_sipp` runs the same against Kamailio.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use world::agents::{Callee, Site, Subject, Way, call};

fn everything_over(way: Way) {
    let subject = Subject::start(&Site::with_phones(1001..=1010));

    let mut answering = Callee::register(&subject, way, 1002, "callee-answers");
    call(&subject, way, 1001, 1002, "caller-answered");
    answering.saw(&["invited", "acknowledged", "bye"]);

    let mut ringing = Callee::register(&subject, way, 1004, "callee-rings");
    call(&subject, way, 1003, 1004, "caller-cancels");
    ringing.saw(&["invited", "cancelled", "acknowledged"]);

    let mut busy = Callee::register(&subject, way, 1006, "callee-busy");
    call(&subject, way, 1005, 1006, "caller-hears-busy");
    busy.saw(&["invited", "acknowledged"]);

    let mut absent = Callee::register(&subject, way, 1008, "callee-rings");
    call(&subject, way, 1007, 1008, "caller-waits");
    absent.saw(&["invited", "cancelled", "acknowledged"]);

    let mut written = Callee::register(&subject, way, 1010, "callee-reads");
    call(&subject, way, 1009, 1010, "caller-writes");
    written.saw(&["read"]);
}

#[test]
fn sipp_over_udp() {
    everything_over(Way::Udp);
}

#[test]
fn sipp_over_tcp() {
    everything_over(Way::Tcp);
}

#[test]
fn sipp_over_tls() {
    everything_over(Way::Tls);
}

/// A phone on UDP is called from a phone on TLS: the gateway joins two transports.
#[test]
fn sipp_from_tls_to_udp() {
    let subject = Subject::start(&Site::with_phones(1001..=1002));
    let mut answering = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    call(&subject, Way::Tls, 1001, 1002, "caller-answered");
    answering.saw(&["invited", "acknowledged", "bye"]);
}

/// Early media that is acknowledged (100rel), hold three times over, a session timer that is refreshed by re-INVITE and UPDATE.
fn changes_its_session_over(way: Way) {
    let subject = Subject::start(&Site::with_phones(1001..=1002));
    let mut held = Callee::register(&subject, way, 1002, "callee-held");
    call(&subject, way, 1001, 1002, "caller-holds");
    held.saw(&["invited", "early", "acknowledged", "held", "inactive", "sendrecv", "refreshed", "bye"]);
}

#[test]
fn sipp_changes_its_session_over_udp() {
    changes_its_session_over(Way::Udp);
}

#[test]
fn sipp_changes_its_session_over_tls() {
    changes_its_session_over(Way::Tls);
}

/// Where nothing else is offered, a phone that registers and calls has proved itself with SHA-256 (RFC 8760).
#[test]
fn sipp_proves_itself_with_sha_256() {
    let mut site = Site::with_phones(1001..=1002);
    site.sip = "digest = [\"sha-256\"]\n".to_owned();
    let subject = Subject::start(&site);
    let mut answering = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    call(&subject, Way::Udp, 1001, 1002, "caller-answered");
    answering.saw(&["invited", "acknowledged", "bye"]);
}
