//! Parsing, checking and rewriting one message, beside `rsip` in the same run: `cargo bench -p sip --bench parse`.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rsip::prelude::{HeadersExt as _, ToTypedHeader as _, UntypedHeader as _};
use sip::{Limits, Message, build::Writer, header::Name};
use std::hint::black_box;

const MESSAGES: [(&str, &[u8]); 3] = [
    ("INVITE", include_bytes!("../tests/phones/yealink-invite.dat")),
    ("REGISTER", include_bytes!("../tests/phones/avaya-j100-register.dat")),
    ("200", include_bytes!("../tests/phones/trunk-200.dat")),
];

fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, octets) in MESSAGES {
        let mut group = criterion.benchmark_group(format!("parse {name}"));
        group.throughput(Throughput::Bytes(octets.len() as u64));
        let bytes = Bytes::from_static(octets);
        group.bench_function("ours", |b| b.iter(|| Message::parse(black_box(bytes.clone()), &limits).unwrap()));
        group.bench_function("ours, with check", |b| {
            b.iter(|| {
                let message = Message::parse(black_box(bytes.clone()), &limits).unwrap();
                message.check().unwrap();
                message
            });
        });
        group.bench_function("rsip", |b| b.iter(|| rsip::SipMessage::try_from(black_box(octets)).unwrap()));
        group.finish();
    }
}

fn views(criterion: &mut Criterion) {
    let message = Message::parse(Bytes::from_static(MESSAGES[0].1), &Limits::default()).unwrap();
    let mut group = criterion.benchmark_group("views of INVITE");
    group.bench_function("clone", |b| b.iter(|| black_box(&message).clone()));
    group.bench_function("check", |b| b.iter(|| black_box(&message).check()));
    group.bench_function("from, to, via, cseq, contact", |b| {
        b.iter(|| {
            let m = black_box(&message);
            (m.from().unwrap().tag(), m.to().unwrap().uri(), m.via().unwrap().branch(), m.cseq(), m.contact().unwrap().uri(), m.call_id())
        });
    });
    group.finish();
}

/// What the bridge does to each INVITE: read it, judge it, write it anew with a Via, Contact and Max-Forwards of its own.
fn relay(criterion: &mut Criterion) {
    let octets = MESSAGES[0].1;
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("relay INVITE");
    group.throughput(Throughput::Bytes(octets.len() as u64));
    let bytes = Bytes::from_static(octets);
    group.bench_function("ours", |b| b.iter(|| relay_ours(black_box(bytes.clone()), &limits)));
    group.bench_function("rsip", |b| b.iter_batched(|| octets, |octets| relay_rsip(black_box(octets)), BatchSize::SmallInput));
    group.finish();
}

fn relay_ours(bytes: Bytes, limits: &Limits) -> Vec<u8> {
    let message = Message::parse(bytes, limits).unwrap();
    message.check().unwrap();
    black_box((message.from().unwrap().tag(), message.to().unwrap().uri(), message.cseq(), message.contact().unwrap().uri()));
    let hops = message.number(Name::MaxForwards).unwrap_or(70);
    let mut writer = Writer::request(message.method(), message.method_token(), b"sip:1003@10.1.0.34:5060");
    writer.header(Name::Via, b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef;rport");
    for header in message.headers() {
        if !matches!(header.name, Name::Contact | Name::MaxForwards | Name::ContentLength | Name::Via) {
            writer.copy(header);
        }
    }
    writer.number(Name::MaxForwards, hops - 1).header(Name::Contact, b"<sip:192.0.2.1:5060>");
    writer.finish_request(message.body()).bytes().to_vec()
}

fn relay_rsip(octets: &[u8]) -> Vec<u8> {
    let rsip::SipMessage::Request(mut request) = rsip::SipMessage::try_from(octets).unwrap() else { return Vec::new() };
    black_box((request.from_header().unwrap().typed().unwrap(), request.to_header().unwrap().typed().unwrap()));
    black_box((request.cseq_header().unwrap().typed().unwrap(), request.contact_header().unwrap().typed().unwrap()));
    let hops: u32 = request.max_forwards_header().unwrap().value().parse().unwrap();
    request.uri = rsip::Uri::try_from("sip:1003@10.1.0.34:5060").unwrap();
    request.headers.retain(|h| !matches!(h, rsip::Header::Contact(_) | rsip::Header::MaxForwards(_) | rsip::Header::Via(_)));
    request.headers.push(rsip::headers::Via::new("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef;rport").into());
    request.headers.push(rsip::headers::MaxForwards::new((hops - 1).to_string()).into());
    request.headers.push(rsip::headers::Contact::new("<sip:192.0.2.1:5060>").into());
    request.into()
}

/// What a REGISTER costs in digest: the challenge, and judging the answer.
fn digest(criterion: &mut Criterion) {
    use sip::{Instant, digest, random::Random};
    let now = Instant::from_unix_micros(1_700_000_000_000_000);
    let auth = digest::Authenticator::new("sip.example", [7; 32], 300, 100_000);
    let mut random = Random::from_seed([1; 32]);
    let ha1 = digest::Ha1::from_password("1001", "sip.example", "secret");
    let mut group = criterion.benchmark_group("digest");
    group.bench_function("challenges", |b| b.iter(|| auth.challenges(false, now, &mut random)));
    for (place, name) in [(0, "verify SHA-256"), (1, "verify MD5")] {
        let challenge = auth.challenges(false, now, &mut Random::from_seed([place + 2; 32])).remove(place.into());
        let mut count = 0;
        let mut answered = || {
            count += 1;
            let value = digest::answer(challenge.as_bytes(), "1001", "secret", "REGISTER", "sip:sip.example", count, "0a4f113b").unwrap();
            let text = format!("REGISTER sip:sip.example SIP/2.0\r\nAuthorization: {value}\r\n\r\n");
            Message::parse(text.into(), &Limits::default()).unwrap()
        };
        group.bench_function(name, |b| {
            b.iter_batched(
                &mut answered,
                |m| assert_eq!(auth.verify(&m, Some(&ha1), now), digest::Verdict::Accepted),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, parse, views, relay, digest);
criterion_main!(benches);
