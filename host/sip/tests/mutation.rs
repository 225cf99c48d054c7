//! Hundreds of thousands of damaged messages: nothing panics, and what passes the checks can be answered and relayed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod messages;
#[path = "../fuzz/bodies/parse.rs"]
mod parse;

use parse::Reached;
use sip::random::Random;

const MUTATIONS: usize = 150_000;

/// Octets at which parsers go astray.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\xc3\xbc",
    b"\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"=",
    b"@",
    b"?",
    b"%",
    b"%00",
    b"[",
    b"]",
    b" ",
    b"\t",
    b"SIP/2.0",
    b"sip:",
    b"tel:",
    b"urn:",
    b"l: 5",
    b"Content-Length:",
    b"4294967296",
    b"-1",
    b"Via: ",
    b"t:",
    b"Digest ",
    b"nc=",
];

struct Mutator(Random);

impl Mutator {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % bound.max(1) as u64).unwrap()
    }

    fn mutate(&mut self, message: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(message.len() + 1);
            let end = (at + self.below(24)).min(message.len());
            match self.below(6) {
                0 if at < message.len() => message[at] = self.0.next_u64().to_le_bytes()[0],
                1 => drop(message.drain(at..end)),
                2 => drop(message.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
                3 => {
                    let copied = message[at..end].to_vec();
                    let to = self.below(message.len() + 1);
                    drop(message.splice(to..to, copied));
                }
                4 => message.truncate(at.max(20)),
                _ => {
                    let from = self.below(other.len());
                    let to = (from + self.below(60)).min(other.len());
                    drop(message.splice(at..end, other[from..to].iter().copied()));
                }
            }
        }
    }
}

#[test]
fn damaged_messages_do_no_harm() {
    let corpus: Vec<_> = messages::torture().into_iter().chain(messages::phones()).map(|(_, octets)| octets).collect();
    let mut mutator = Mutator(Random::from_seed([42; 32]));
    let (mut parsed, mut passed) = (0, 0);
    for _ in 0..MUTATIONS {
        let mut octets = corpus[mutator.below(corpus.len())].clone();
        let other = mutator.below(corpus.len());
        mutator.mutate(&mut octets, &corpus[other]);
        let reached = parse::run(&octets);
        parsed += usize::from(reached >= Reached::Message);
        passed += usize::from(reached == Reached::Taken);
    }
    // Not vacuous: most damage leaves a message, and much of that one which passes.
    assert!(parsed > MUTATIONS / 2 && passed > MUTATIONS / 10, "{parsed} parsed, {passed} passed of {MUTATIONS}");
}
