//! Real softphones and what the gateway itself does with calls: park slots, and calls that it makes for somebody; over UDP and TLS, with speech.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use world::agents::{Baresip, DOMAIN, Site, Subject, Way, holdfast};

fn site() -> Site {
    let site = Site::with_phones(1001..=1003);
    Site { limits: "ring_seconds = 30\n".into(), more: "[park]\nslots = [\"701-702\"]\n".into(), ..site }
}

/// Whoever is called parks the call and leaves; a third phone takes it up.
fn parked_over(way: Way) {
    let site = site();
    let subject = Subject::holdfast(&site);
    let [mut caller, mut callee, mut third] = [0, 1, 2].map(|place| Baresip::register(&subject, way, &site.phones[place]));
    caller.command("dial", &format!("sip:1002@{DOMAIN}"));
    callee.event("CALL_INCOMING");
    callee.command("accept", "");
    caller.event("CALL_ESTABLISHED");
    callee.event("CALL_ESTABLISHED");
    caller.event("CALL_RTPESTAB");

    callee.command("transfer", &format!("sip:701@{DOMAIN}"));
    callee.event("CALL_CLOSED");
    third.command("dial", &format!("sip:701@{DOMAIN}"));
    third.event("CALL_ESTABLISHED");
    // Who waited hears somebody else now.
    caller.prints("SSRC changed");
    third.command("hangup", "");
    caller.event("CALL_CLOSED");
    third.event("CALL_CLOSED");
}

#[test]
fn parked_over_udp() {
    parked_over(Way::Udp);
}

#[test]
fn parked_over_tls() {
    parked_over(Way::Tls);
}

fn command(subject: &Subject, arguments: &[&str]) -> Command {
    let mut command = holdfast();
    command.args(arguments).arg("--json").arg("--data").arg(subject.data()).stdout(Stdio::piped());
    command
}

/// Two phones are rung one after the other, and talk; then they are parted.
fn connected_over(way: Way) {
    let site = site();
    let subject = Subject::holdfast(&site);
    let [mut user, mut target] = [0, 1].map(|place| Baresip::register(&subject, way, &site.phones[place]));
    let connect = command(&subject, &["connect", "1001", "1002", "--wait"]).spawn().unwrap();
    let incoming = user.event("CALL_INCOMING");
    assert!(incoming["peeruri"].as_str().is_some_and(|uri| uri.contains("1002")), "the user sees who will be called: {incoming}");
    user.command("accept", "");
    user.event("CALL_ESTABLISHED");
    target.event("CALL_INCOMING");
    target.command("accept", "");
    target.event("CALL_ESTABLISHED");
    let output = connect.wait_with_output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && said["state"] == "talking", "{said}");
    user.event("CALL_RTPESTAB");
    target.event("CALL_RTPESTAB");
    assert!(command(&subject, &["hangup", said["call_id"].as_str().unwrap()]).status().unwrap().success());
    user.event("CALL_CLOSED");
    target.event("CALL_CLOSED");
}

#[test]
fn connected_over_udp() {
    connected_over(Way::Udp);
}

#[test]
fn connected_over_tls() {
    connected_over(Way::Tls);
}
