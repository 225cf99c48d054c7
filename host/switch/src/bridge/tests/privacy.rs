//! What a caller hides.

use super::*;
use sip::header::Name;

/// The INVITE that a target gets from a caller with these lines.
fn invited(lines: &str, kind: CallKind) -> Message {
    let text = String::from_utf8(invite().bytes().to_vec()).unwrap().replace("\r\n", "\n");
    let mut rig = Rig::with(message(&text.replace("X-Unknown:", &format!("{lines}X-Unknown:"))), vec![]);
    rig.bridge.call.kind = kind;
    let mut out = Vec::new();
    rig.bridge.dial(0, target(2), None, &mut rig.random, &mut out);
    let sent = out.iter().find_map(|effect| match effect {
        Effect::Send { request, .. } => Some(Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap()),
        _ => None,
    });
    sent.unwrap()
}

fn hidden(invite: &Message) -> bool {
    let from = invite.header(Name::From).unwrap();
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    let anonymous = from.starts_with(b"\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=");
    anonymous && invite.header(Name::PAssertedIdentity).is_none() && !text.contains("1001") && !text.contains("Alice")
}

#[test]
fn who_hides_is_shown_to_nobody_but_to_those_who_help() {
    use CallKind::{Emergency, EmergencyTest, Normal};
    assert!(!hidden(&invited("", Normal)));
    for asked in ["id", "id;critical", "header; ID", "user"] {
        let lines = format!("Privacy: {asked}\n");
        let sent = invited(&lines, Normal);
        assert!(hidden(&sent), "{asked}: {}", String::from_utf8_lossy(sent.bytes()));
        assert_eq!(sent.header(Name::Privacy), Some(asked.as_bytes()));
        assert!(!hidden(&invited(&lines, Emergency)) && !hidden(&invited(&lines, EmergencyTest)));
    }
    for asked in ["none", "none;id", "header", "session", "history"] {
        assert!(!hidden(&invited(&format!("Privacy: {asked}\n"), Normal)), "{asked}");
    }
}

#[test]
fn what_tells_of_the_user_is_taken_away_where_that_is_asked() {
    let about = "Subject: lunch\nOrganization: Bakery\nUser-Agent: Phone\nHistory-Info: <sip:1@a>;index=1\nDiversion: <sip:2@a>\n";
    let names = |asked: &str| {
        let sent = invited(&format!("Privacy: {asked}\n{about}"), CallKind::Normal);
        let present = ["Subject", "Organization", "User-Agent", "History-Info", "Diversion", "X-Unknown"];
        present.into_iter().filter(|name| sent.header_named(name.as_bytes()).is_some()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("id"), "Subject Organization User-Agent History-Info Diversion X-Unknown");
    assert_eq!(names("user"), "History-Info Diversion X-Unknown");
    assert_eq!(names("history;id"), "Subject Organization User-Agent X-Unknown");
}

#[test]
fn who_calls_for_help_demands_nothing_of_the_provider() {
    use CallKind::{Emergency, Normal};
    let lines = "Require: 100rel, frobnicate\nProxy-Require: sec-agree\n";
    assert_eq!(invited(lines, Normal).header(Name::Require), Some(&b"frobnicate"[..]));
    let sent = invited(lines, Emergency);
    assert!(sent.header(Name::Require).is_none() && sent.header(Name::ProxyRequire).is_none());
    assert_eq!(sent.header(Name::Supported), Some(&b"100rel"[..]));
}
