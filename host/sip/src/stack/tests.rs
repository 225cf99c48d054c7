//! What the layer does, as tables of event and effects, and as conversations in virtual time.

mod arrivals;
mod client;
mod machines;
mod random;
mod restore;
mod server;

use super::*;
use crate::transport::Transport;
use std::{fmt::Write as _, time::Duration};

/// The gateway's address in these tests.
const GATEWAY: &str = "192.0.2.1:5060";
/// The peer's address.
const PEER: &str = "198.51.100.7:5060";

fn flow(transport: Transport) -> Flow {
    Flow { transport, local: GATEWAY.parse().unwrap(), remote: PEER.parse().unwrap(), connection: u64::from(transport.reliable()) }
}

fn start() -> Instant {
    Instant::from_unix_micros(1_800_000_000_000_000)
}

/// A request of the peer, as it would arrive.
fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:bob@gw.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch={branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=alice\r\nTo: <sip:bob@gw.example>\r\nCall-ID: {branch}@198.51.100.7\r\nCSeq: 7 {method}\r\n\
         Contact: <sip:alice@198.51.100.7>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request of ours, without Via.
fn our_request(method: Method) -> Request {
    let mut writer = Writer::request(method, b"", b"sip:bob@198.51.100.7");
    writer.number(crate::header::Name::MaxForwards, 70);
    writer.header(crate::header::Name::From, b"<sip:gw@192.0.2.1>;tag=gw");
    writer.header(crate::header::Name::To, b"<sip:bob@198.51.100.7>");
    writer.header(crate::header::Name::CallId, b"ours@192.0.2.1");
    writer.header(crate::header::Name::CSeq, format!("1 {}", method.token()).as_bytes());
    writer.finish_request(b"")
}

fn parse(bytes: &[u8]) -> Message {
    Message::parse(Bytes::copy_from_slice(bytes), &Limits::default()).unwrap()
}

/// What the peer answers to `request`.
fn answer(request: &[u8], status: u16) -> Bytes {
    let message = parse(request);
    Bytes::copy_from_slice(Writer::response(&message, status, "Phrase", Some("peer")).finish_response(b"").bytes())
}

/// A stack, its clock, and what happened so far as text.
struct Bench {
    stack: Stack,
    flow: Flow,
    now: Instant,
    text: String,
    /// Everything transmitted, newest last.
    sent: Vec<Bytes>,
    /// The newest server transaction.
    server: Option<ServerId>,
    /// The newest request that was delivered.
    message: Option<Message>,
}

impl Bench {
    fn new(transport: Transport) -> Self {
        Self::with(transport, Limits::default())
    }

    fn with(transport: Transport, limits: Limits) -> Self {
        let stack = Stack::new(limits, Random::from_seed([7; 32]));
        Self { stack, flow: flow(transport), now: start(), text: String::new(), sent: Vec::new(), server: None, message: None }
    }

    fn receive(&mut self, bytes: impl AsRef<[u8]>) {
        let mut out = Outbox::new();
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        let line = format!("{} ← {}", self.clock(), first_line(&bytes));
        writeln!(self.text, "{}", line.trim_end()).unwrap();
        self.stack.receive(bytes, self.flow, self.now, &mut out);
        self.note(out);
    }

    fn respond(&mut self, status: u16) {
        let (id, message) = (self.server.unwrap(), self.message.clone().unwrap());
        let response = Writer::response(&message, status, "Phrase", Some("gw")).finish_response(b"");
        let mut out = Outbox::new();
        writeln!(self.text, "{} respond {status}", self.clock()).unwrap();
        self.stack.respond(id, response, self.now, &mut out);
        self.note(out);
    }

    fn request(&mut self, method: Method) -> ClientId {
        let mut out = Outbox::new();
        writeln!(self.text, "{} request {}", self.clock(), method.token()).unwrap();
        let id = self.stack.request(our_request(method), self.flow, self.now, &mut out);
        self.note(out);
        id
    }

    fn cancel(&mut self, id: ClientId, reason: Option<&str>) {
        let mut out = Outbox::new();
        writeln!(self.text, "{} cancel", self.clock()).unwrap();
        self.stack.cancel(id, reason, self.now, &mut out);
        self.note(out);
    }

    fn acknowledge(&mut self, id: ClientId, tag: &str) {
        let mut out = Outbox::new();
        writeln!(self.text, "{} acknowledge {tag}", self.clock()).unwrap();
        self.stack.acknowledge(id, tag.as_bytes(), our_request(Method::Ack), self.flow, &mut out);
        self.note(out);
    }

    fn unreachable(&mut self, flow: Flow) {
        let mut out = Outbox::new();
        writeln!(self.text, "{} unreachable {flow:?}", self.clock()).unwrap();
        self.stack.unreachable(flow, self.now, &mut out);
        self.note(out);
    }

    /// Lets time pass, stopping at every deadline.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, timer)) = self.stack.deadline().filter(|(at, _)| *at <= end) {
            self.now = at;
            let mut out = Outbox::new();
            self.stack.expire(self.now, &mut out);
            writeln!(self.text, "{} timer {timer:?}", self.clock()).unwrap();
            self.note(out);
        }
        self.now = end;
    }

    /// Flush left: a snapshot loses the indentation that all its lines share.
    fn clock(&self) -> String {
        let micros = self.now.since(start()).as_micros();
        format!("{:<11}", format!("{}.{:03}", micros / 1_000_000, micros / 1000 % 1000))
    }

    fn note(&mut self, out: Outbox) {
        for effect in out {
            writeln!(self.text, "            {}", show(&effect)).unwrap();
            match effect {
                Effect::Transmit { bytes, .. } => self.sent.push(bytes),
                Effect::Request { id, message, .. } => {
                    self.server = Some(id);
                    self.message = Some(message);
                }
                Effect::Ack { .. }
                | Effect::Cancelled { .. }
                | Effect::Response { .. }
                | Effect::Failed { .. }
                | Effect::Unacknowledged { .. }
                | Effect::Dropped { .. } => {}
            }
        }
    }

    fn sent(&self) -> &Bytes {
        self.sent.last().unwrap()
    }

    /// What happened since the last call.
    fn take(&mut self) -> String {
        mem::take(&mut self.text)
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Transmit { flow, bytes } => format!("→ {} to {}", first_line(bytes), flow.remote),
        Effect::Request { message, .. } => format!("deliver {}", first_line(message.bytes())),
        Effect::Ack { .. } => "deliver ACK".into(),
        Effect::Cancelled { .. } => "cancelled".into(),
        Effect::Response { message, .. } => format!("deliver {}", message.status()),
        Effect::Failed { why, .. } => format!("failed {why:?}"),
        Effect::Unacknowledged { .. } => "unacknowledged".into(),
        Effect::Dropped { why, .. } => format!("dropped {why}"),
    }
}

/// The start line, as short as a reader needs it.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = line.escape_ascii().to_string();
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["SIP/2.0", status, ..] => {
            let method = String::from_utf8_lossy(bytes);
            let method = method.split("CSeq: ").nth(1).and_then(|rest| rest.split(['\r', ' ']).nth(1)).unwrap_or_default();
            format!("{status} ({method})")
        }
        [method, ..] => (*method).to_string(),
        [] => String::new(),
    }
}
