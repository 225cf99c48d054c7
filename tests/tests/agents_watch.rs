//! sipp watches phones and picks up what rings, over UDP, TCP and TLS; and one sipp floods while others call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, time::Duration};
use world::agents::{Callee, DOMAIN, Line, PATIENCE, Process, Site, Subject, Way, call, sipp, until};

fn picked_up_over(way: Way) {
    let subject = Subject::holdfast(&Site::with_phones(1001..=1003));
    let mut ringing = Callee::register(&subject, way, 1002, "callee-rings");
    let line = Line::new(&subject, way);
    let notes = subject.folder.path().join("notes-picker");
    let mut picker = sipp(&subject, &line, way, 1003, "picks-up");
    picker.args(["-m", "1", "-key", "peer", "1002", "-auth_uri", &format!("1002@{DOMAIN}"), "-key", "notes"]).arg(&notes);
    let mut picker = Process::start("sipp-picker", picker, subject.folder.path());
    until("the picker to watch", PATIENCE, || fs::read_to_string(&notes).is_ok_and(|text| text.contains("watching")).then_some(()));
    call(&subject, way, 1001, 1002, "caller-answered");
    ringing.saw(&["invited", "cancelled", "acknowledged"]);
    let code = picker.wait(Duration::from_secs(20));
    assert_eq!(code, 0, "the picker's scenario failed:\n{}", subject.errors());
}

#[test]
fn sipp_picks_up_over_udp() {
    picked_up_over(Way::Udp);
}

#[test]
fn sipp_picks_up_over_tcp() {
    picked_up_over(Way::Tcp);
}

#[test]
fn sipp_picks_up_over_tls() {
    picked_up_over(Way::Tls);
}

/// 760 SUBSCRIBEs a second from one phone: every call of the others works, and what is too much goes no further than the door.
#[test]
fn one_phone_floods() {
    let subject = Subject::holdfast(&Site::with_phones(1001..=1006));
    let mut answering = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    let line = Line::new(&subject, Way::Udp);
    let mut storm = sipp(&subject, &line, Way::Udp, 1006, "storm");
    storm.args(["-r", "760", "-m", "9120", "-l", "100000", "-buff_size", "4194304", "-timeout", "20"]);
    let mut storm = Process::start("sipp-storm", storm, subject.folder.path());
    let mut calls = 0;
    while storm.alive() {
        call(&subject, Way::Udp, 1001, 1002, "caller-answered");
        calls += 1;
    }
    answering.saw(&["invited", "acknowledged", "bye"]);
    assert!(calls >= 3, "only {calls} calls were made beside the flood");
    let output = subject.process.output();
    let limited: u64 = output
        .lines()
        .filter(|line| line.contains("flood"))
        .filter_map(|line| line.split("times=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok())
        .sum();
    // A thousand at once and a hundred a second pass: of twelve seconds' flood no more than a third.
    assert!(limited >= 5000, "{limited} of 9120 requests were held at the door:\n{output}");
}
