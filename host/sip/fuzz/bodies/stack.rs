//! Any sequence of datagrams, answers, requests and time steps into one stack: nothing panics, no ACK is answered, everything has a deadline and ends, and
//! each client transaction ends in one way.

use bytes::Bytes;
use sip::{
    Instant, Limits, Message,
    build::Writer,
    dialog::Dialog,
    message::Method,
    random::Random,
    stack::{ClientId, Effect, Outbox, ServerId, Stack},
    transport::{Flow, Transport},
};
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};

const METHODS: [&str; 10] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "REFER", "PRACK", "MESSAGE", "DANCE"];
const STATUSES: [u16; 12] = [100, 180, 183, 200, 202, 302, 401, 407, 408, 486, 487, 603];

/// The case as it is read, octet by octet; behind its end there are zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What the transaction user and the peer know.
#[derive(Default)]
struct Known {
    requests: Vec<(ServerId, Message)>,
    /// Requests of the stack as they were sent.
    sent: Vec<Message>,
    clients: BTreeMap<ClientId, Ended>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    No,
    Answered(u16),
    Failed,
}

fn flow(stream: bool) -> Flow {
    let address = |host: u8| SocketAddr::from(([192, 0, 2, host], 5060));
    let transport = if stream { Transport::Tcp } else { Transport::Udp };
    Flow { transport, local: address(1), remote: address(2), connection: u64::from(stream) }
}

/// One case.
pub fn run(data: &[u8]) {
    let limits = Limits { server_transactions: 24, client_transactions: 24, ..Limits::default() };
    let mut stack = Stack::new(limits, Random::from_seed([7; 32]));
    let mut now = Instant::from_unix_micros(1_800_000_000_000_000);
    let (mut input, mut known) = (Input(data), Known::default());
    let mut steps = 0;
    while !input.0.is_empty() && steps < 400 {
        steps += 1;
        let mut out = Outbox::new();
        let stream = input.byte() & 1 == 1;
        match input.byte() % 8 {
            0 => {
                let length = usize::from(input.byte());
                stack.receive(Bytes::copy_from_slice(input.take(length)), flow(stream), now, &mut out);
            }
            1 | 2 => stack.receive(request(&mut input, stream), flow(stream), now, &mut out),
            3 => {
                if let Some(response) = response(&mut input, &known) {
                    stack.receive(response, flow(stream), now, &mut out);
                }
            }
            4 => {
                let (which, status) = (usize::from(input.byte()), input.one_of(&STATUSES));
                if let Some((id, message)) = known.requests.get(which % known.requests.len().max(1)) {
                    stack.respond(*id, Writer::response(message, status, "", Some("ours")).finish_response(b""), now, &mut out);
                }
            }
            5 => {
                let method = Method::from_token(input.one_of(&METHODS).as_bytes());
                if !matches!(method, Method::Ack | Method::Cancel | Method::Other) {
                    let mut dialog = Dialog::as_client("c", b"<sip:a@x>", "t", b"<sip:b@x>", b"sip:b@192.0.2.2", flow(stream));
                    let id = stack.request(dialog.request(method, b"", 70).finish_request(b""), flow(stream), now, &mut out);
                    known.clients.entry(id).or_insert(Ended::No);
                }
            }
            6 => {
                let which = usize::from(input.byte());
                if let Some(id) = known.clients.keys().nth(which % known.clients.len().max(1)).copied() {
                    stack.cancel(id, Some("SIP;cause=200"), now, &mut out);
                } else {
                    stack.unreachable(flow(stream), now, &mut out);
                }
            }
            _ => {
                now = now + Duration::from_millis(u64::from(input.byte()) * u64::from(input.byte()));
                stack.expire(now, &mut out);
                assert!(stack.deadline().is_none_or(|(at, _)| at > now), "a timer that is due did not fire");
            }
        }
        known.learn(out);
        let (servers, clients) = stack.transactions();
        // The limit, the reserve for urgent requests, and the CANCELs, which end a transaction each.
        assert!(servers <= 24 + 16 && clients <= 2 * 24, "{servers} {clients}");
        assert_eq!(stack.endless(), 0, "a transaction without a timer");
    }
    for _ in 0..100_000 {
        let Some((at, _)) = stack.deadline() else { break };
        now = now.max(at);
        let mut out = Outbox::new();
        stack.expire(now, &mut out);
        known.learn(out);
    }
    assert_eq!(stack.transactions(), (0, 0), "everything ends");
    for (id, ended) in &known.clients {
        assert_ne!(*ended, Ended::No, "{id:?} never ended");
    }
}

impl Known {
    fn learn(&mut self, out: Outbox) {
        for effect in out {
            match effect {
                Effect::Request { id, message, .. } => {
                    assert_ne!(message.method(), Method::Ack, "an ACK is no request that is answered");
                    assert!(self.requests.iter().all(|(known, _)| *known != id), "delivered twice");
                    self.requests.push((id, message));
                }
                Effect::Transmit { bytes, .. } => {
                    let message = Message::parse(bytes.clone(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
                    assert_eq!(message.check(), Ok(()), "{bytes:?}");
                    if message.is_request() {
                        if self.sent.len() < 64 {
                            self.sent.push(message);
                        }
                    } else {
                        // A request whose CSeq names another method is told so with its own CSeq.
                        let acknowledges = message.cseq().is_some_and(|cseq| cseq.method == b"ACK") && message.status() != 400;
                        assert!(!acknowledges, "a response to an ACK");
                    }
                }
                Effect::Response { id, message, .. } => {
                    let ended = self.clients.entry(id).or_insert(Ended::No);
                    if message.status() >= 200 {
                        let again = matches!(*ended, Ended::Answered(before) if before < 300 && message.status() < 300)
                            && message.method() == Method::Invite;
                        assert!(*ended == Ended::No || again, "{id:?} ended twice: {ended:?}, {}", message.status());
                        *ended = Ended::Answered(message.status());
                    }
                }
                Effect::Failed { id, .. } => {
                    let ended = self.clients.insert(id, Ended::Failed).unwrap_or(Ended::No);
                    assert_eq!(ended, Ended::No, "{id:?} failed after its end");
                }
                Effect::Ack { .. } | Effect::Cancelled { .. } | Effect::Unacknowledged { .. } | Effect::Dropped { .. } => {}
            }
        }
    }
}

/// A request under one of a few branches, Call-IDs and tags, so that they meet.
fn request(input: &mut Input<'_>, stream: bool) -> Bytes {
    let method = input.one_of(&METHODS);
    let said = if input.byte().is_multiple_of(16) { input.one_of(&METHODS) } else { method };
    let (branch, call, number, hops) = (input.byte() % 6, input.byte() % 3, input.byte() % 4, input.byte());
    let cookie = if input.byte().is_multiple_of(8) { "" } else { "z9hG4bK" };
    let transport = if stream { "TCP" } else { "UDP" };
    let mut text = format!("{method} sip:1@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.2:5060;branch={cookie}b{branch}");
    match input.byte() % 4 {
        0 => text.push_str(";rport"),
        1 => text.push_str(";maddr=224.0.0.1;ttl=1"),
        _ => {}
    }
    let to = if input.byte().is_multiple_of(2) { "" } else { ";tag=ours" };
    let hops = if hops % 16 == 0 { 0 } else { 70 };
    let written = write!(
        text,
        "\r\nFrom: <sip:a@x>;tag=a{}\r\nTo: <sip:1@x>{to}\r\nCall-ID: c{call}\r\nCSeq: {number} {said}\r\nMax-Forwards: {hops}\r\nContent-Length: 0\r\n\r\n",
        input.byte() % 2
    );
    debug_assert!(written.is_ok());
    text.into()
}

/// An answer to something that the stack sent, or (rarely) to something that it did not.
fn response(input: &mut Input<'_>, known: &Known) -> Option<Bytes> {
    let request = known.sent.get(usize::from(input.byte()) % known.sent.len().max(1))?;
    let status = input.one_of(&STATUSES);
    let tag = if input.byte().is_multiple_of(4) { "fork" } else { "theirs" };
    let written = Writer::response(request, status, "", Some(tag)).finish_response(b"");
    let mut bytes = written.bytes().to_vec();
    if input.byte().is_multiple_of(8) && !bytes.is_empty() {
        let at = usize::from(input.byte()) * 3 % bytes.len();
        bytes[at] = input.byte();
    }
    Some(bytes.into())
}
