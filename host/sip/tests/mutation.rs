//! Hundreds of thousands of damaged messages: nothing panics, and what passes the checks can be answered and relayed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod messages;

use bytes::{Bytes, BytesMut};
use sip::{
    Limits, Message,
    build::Writer,
    digest::{Authenticator, Ha1, Verdict},
    frame,
    header::{Name, NameAddr, split_commas},
    random::Random,
    uri::Uri,
};

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
    let limits = Limits { headers: 64, ..Limits::default() };
    let auth = Authenticator::new("sip.example", [0; 32], 60, 16);
    let mut mutator = Mutator(Random::from_seed([42; 32]));
    let (mut parsed, mut passed) = (0, 0);
    for _ in 0..MUTATIONS {
        let mut octets = corpus[mutator.below(corpus.len())].clone();
        let other = mutator.below(corpus.len());
        mutator.mutate(&mut octets, &corpus[other]);
        cut(&octets, &limits);
        let Ok(message) = Message::parse(Bytes::from(octets), &limits) else { continue };
        parsed += 1;
        read_everything(&message, &auth);
        if message.check().is_ok() {
            passed += 1;
            can_be_answered(&message, &limits);
            can_be_relayed(&message, &limits);
        }
    }
    // Not vacuous: most damage leaves a message, and much of that one which passes.
    assert!(parsed > MUTATIONS / 2 && passed > MUTATIONS / 10, "{parsed} parsed, {passed} passed of {MUTATIONS}");
}

fn cut(octets: &[u8], limits: &Limits) {
    let (mut buffer, mut scanned) = (BytesMut::from(octets), 0);
    while let Ok(Some(_)) = frame::next(&mut buffer, &mut scanned, limits) {}
}

fn read_everything(message: &Message, auth: &Authenticator) {
    for header in message.headers() {
        assert!(header.line.starts_with(header.raw_name));
        for value in split_commas(header.value) {
            let _address = NameAddr::parse(value).map(|a| (a.tag(), a.param(b"q"), a.uri().map(|u| u.user_decoded().len())));
            let _uri = Uri::parse(value).map(|uri| (uri.transport(), uri.address(), uri.same_resource(&uri)));
        }
    }
    assert!(message.uri().is_none_or(|uri| uri.same_resource(&uri)), "{:?}", message.request_uri().escape_ascii().to_string());
    let _views = (message.via().map(|v| v.branch()), message.cseq(), message.contact().map(|c| c.uri()), message.number(Name::Expires));
    assert_ne!(auth.verify(message, Some(&Ha1::default()), sip::Instant::default()), Verdict::Accepted);
    let _claimed = auth.claimed_username(message);
}

fn can_be_answered(message: &Message, limits: &Limits) {
    let answer = Writer::response(message, 486, "", Some("tag")).finish_response(b"");
    let context = || message.bytes().escape_ascii().to_string();
    let answer = Message::parse(Bytes::copy_from_slice(answer.bytes()), limits).unwrap_or_else(|e| panic!("{e}: {}", context()));
    if let Err(malformed) = answer.check() {
        panic!("{malformed:?}: {}", context());
    }
    assert_eq!((answer.status(), answer.call_id(), answer.cseq()), (486, message.call_id(), message.cseq()), "{}", context());
    assert_eq!(answer.values(Name::Via).collect::<Vec<_>>(), message.values(Name::Via).collect::<Vec<_>>(), "{}", context());
    assert!(answer.to().unwrap().tag().is_some(), "{}", context());
}

fn can_be_relayed(message: &Message, limits: &Limits) {
    let uri = if message.is_request() { message.request_uri() } else { b"sip:relay" };
    let mut writer = Writer::request(message.method(), message.method_token(), uri);
    for header in message.headers().filter(|h| h.name != Name::ContentLength) {
        writer.copy(header);
    }
    let written = writer.finish_request(message.body());
    let context = || message.bytes().escape_ascii().to_string();
    let relayed = Message::parse(Bytes::copy_from_slice(written.bytes()), limits).unwrap_or_else(|e| panic!("{e}: {}", context()));
    assert_eq!(relayed.check(), Ok(()), "{}", context());
    let lines = |m: &Message| -> Vec<Vec<u8>> { m.headers().filter(|h| h.name != Name::ContentLength).map(|h| h.line.to_vec()).collect() };
    assert_eq!(lines(&relayed), lines(message), "{}", context());
    assert_eq!(relayed.body(), message.body(), "{}", context());
}
