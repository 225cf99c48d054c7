//! The messages of RFC 4475 on the wire: each is answered as `tests/torture/EXPECT.tsv` says, and the gateway goes on serving.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path, time::Duration};
use world::agents::{Site, Subject, Wire};

/// One message and what may come back.
struct Case {
    file: String,
    class: String,
    /// Alternatives: a status, `!status` or `!5xx` for anything but that, `none` for silence, `any`.
    allowed: Vec<String>,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("torture");
    let table = fs::read_to_string(folder.join("EXPECT.tsv")).unwrap();
    let cases: Vec<Case> = table
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Case {
                file: fields[0].to_owned(),
                class: fields[2].to_owned(),
                allowed: fields[3].split(',').map(str::to_owned).collect(),
                bytes: fs::read(folder.join(fields[0])).unwrap(),
            }
        })
        .collect();
    assert_eq!(cases.len(), 49, "RFC 4475 has 49 messages");
    cases
}

impl Case {
    /// A status may be answered when an alternative names it, or when there are only exclusions and none of them names it.
    fn allows(&self, answer: Option<u16>) -> bool {
        let Some(status) = answer else {
            // Where a message must not be refused as malformed, silence is no better; elsewhere it must be allowed in words.
            return self.allowed.iter().any(|a| a == "none" || a == "any");
        };
        let excluded =
            self.allowed.iter().filter_map(|a| a.strip_prefix('!')).any(|a| a == status.to_string() || (a == "5xx" && status / 100 == 5));
        let named: Vec<&String> = self.allowed.iter().filter(|a| !a.starts_with('!')).collect();
        let only_exclusions = named.is_empty() || self.allowed.iter().any(|a| a.starts_with('!'));
        !excluded && (only_exclusions || named.iter().any(|a| *a == "any" || **a == status.to_string()))
    }
}

/// The first final status in what came back; a provisional one when there is no other.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let all: Vec<u16> = text.split("SIP/2.0 ").skip(1).filter_map(|s| s.get(..3)?.parse().ok()).collect();
    all.iter().copied().find(|s| *s >= 200).or_else(|| all.first().copied())
}

fn answered(bytes: &[u8]) -> bool {
    status(bytes).is_some_and(|s| s >= 200)
}

fn torture(open: impl Fn(&Subject) -> Wire) {
    let mut subject = Subject::holdfast(&Site::with_phones(1001..=1002));
    let mut wrong = Vec::new();
    for case in cases() {
        let wire = open(&subject);
        // The messages were written for other hosts: only the top Via decides where an answer goes, and that is corrected to us by
        // `received` and `rport`, or by the connection.
        wire.send(&reply_to(&case.bytes, &wire));
        let quiet = case.class == "response" || case.allowed.iter().all(|a| a == "none");
        let answer = status(&wire.read(Duration::from_millis(if quiet { 150 } else { 1_500 }), answered));
        if !case.allows(answer) {
            wrong.push(format!("{}: answered {answer:?}, allowed {}", case.file, case.allowed.join(",")));
        }
        assert!(subject.process.alive(), "{} ended the gateway", case.file);
        assert!(Wire::udp(subject.sip).ping(), "no OPTIONS is answered after {}", case.file);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RFC 3581: with `rport` the answer comes back to the port that sent. The first Via of each message has none; a sender behind an
/// address translator would add it, and so does this one. Over a connection nothing needs to be changed.
fn reply_to(bytes: &[u8], wire: &Wire) -> Vec<u8> {
    if matches!(wire, Wire::Tcp(_)) {
        return bytes.to_vec();
    }
    let branch = bytes.windows(8).position(|w| w.eq_ignore_ascii_case(b";branch="));
    let Some(at) = branch else { return bytes.to_vec() };
    let mut with = bytes[..at].to_vec();
    with.extend_from_slice(b";rport");
    with.extend_from_slice(&bytes[at..]);
    with
}

#[test]
fn torture_over_udp() {
    torture(|subject| Wire::udp(subject.sip));
}

#[test]
fn torture_over_tcp() {
    torture(|subject| Wire::tcp(subject.sip));
}
