//! The messages of RFC 4475 on the wire: each is answered as `tests/torture/EXPECT.tsv` says, and the gateway goes on serving.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

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
    for (number, case) in cases().iter().enumerate() {
        let wire = open(&subject);
        wire.send(&as_sent(case, number, &wire));
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

/// What a sender of today would write into the top Via: `rport` (RFC 3581), so that the answer comes back to the port that sent (not needed over a
/// connection), and a branch of its own, because the RFC's messages share theirs, and two requests with one branch are one transaction.
fn as_sent(case: &Case, number: usize, wire: &Wire) -> Vec<u8> {
    const BRANCH: &[u8] = b";branch=z9hG4bK";
    let bytes = &case.bytes;
    let Some(at) = bytes.windows(BRANCH.len()).position(|w| w.eq_ignore_ascii_case(BRANCH)) else { return with_rport(bytes, wire) };
    let end = at + BRANCH.len();
    // A branch that is only the cookie is what that message is about.
    let own = if bytes[end].is_ascii_alphanumeric() { format!("n{number}") } else { String::new() };
    with_rport(&[&bytes[..end], own.as_bytes(), &bytes[end..]].concat(), wire)
}

fn with_rport(bytes: &[u8], wire: &Wire) -> Vec<u8> {
    let Some(at) = bytes.windows(8).position(|w| w.eq_ignore_ascii_case(b";branch=")) else { return bytes.to_vec() };
    if matches!(wire, Wire::Tcp(_)) {
        return bytes.to_vec();
    }
    [&bytes[..at], b";rport", &bytes[at..]].concat()
}

#[test]
fn torture_over_udp() {
    torture(|subject| Wire::udp(subject.sip));
}

#[test]
fn torture_over_tcp() {
    torture(|subject| Wire::tcp(subject.sip));
}
