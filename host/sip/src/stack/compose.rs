//! The requests that the transaction layer writes by itself, and the Via that it adds to those of others.

use super::branch::Branch;
use crate::{
    Limits, Message,
    build::{Request, Writer},
    header::{CSeq, Name},
    message::Method,
    transport::{Flow, Transport},
};
use bytes::Bytes;
use std::{io::Write as _, net::SocketAddr};

/// What we wrote ourselves was measured when it was written.
const OWN: Limits = Limits { message_bytes: usize::MAX, headers: usize::MAX, server_transactions: 0, client_transactions: 0 };

/// More listening addresses than any host has.
const STARTS: usize = 64;

/// The starts of our Via lines, one per listening address: the same few are written all the time.
#[derive(Debug, Default)]
pub(crate) struct Vias {
    starts: Vec<(Transport, SocketAddr, Vec<u8>)>,
}

impl Vias {
    /// The request with our Via on top: sent-by is the listening address of the flow, the branch is `branch`, and `rport` asks for an
    /// answer to the port from which we send (RFC 3581 3).
    pub(crate) fn add(&mut self, request: Request, flow: Flow, branch: Branch) -> Bytes {
        let known = self.starts.iter().position(|(transport, local, _)| *transport == flow.transport && *local == flow.local);
        let place = known.unwrap_or_else(|| {
            if self.starts.len() >= STARTS {
                self.starts.clear();
            }
            self.starts.push((flow.transport, flow.local, start(flow)));
            self.starts.len() - 1
        });
        let mut line = Vec::with_capacity(128);
        if let Some((_, _, start)) = self.starts.get(place) {
            line.extend_from_slice(start);
        }
        branch.write(&mut line);
        line.extend_from_slice(b";rport\r\n");
        insert(request, &line)
    }
}

fn start(flow: Flow) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    let token = flow.transport.via_token();
    let port = flow.local.port();
    // Writing to a Vec does not fail.
    let written = match flow.local {
        SocketAddr::V4(local) => write!(line, "Via: SIP/2.0/{token} {}:{port};branch=", local.ip()),
        // The zone of a link-local address means nothing to the peer.
        SocketAddr::V6(local) => write!(line, "Via: SIP/2.0/{token} [{}]:{port};branch=", local.ip()),
    };
    debug_assert!(written.is_ok());
    line
}

/// RFC 3261 17.1.1.3: the ACK of a 300 to 699 response has the Call-ID, From, Request-URI, CSeq number, Route and top Via of the
/// request, and the To of the response.
pub(crate) fn ack(request: &Bytes, response: &Message) -> Bytes {
    follow(request, Method::Ack, response.header(Name::To), None)
}

/// RFC 3261 9.1: the CANCEL has the Request-URI, Call-ID, To, From, CSeq number, Route and top Via of the request.
pub(crate) fn cancel(request: &Bytes, reason: Option<&str>) -> Bytes {
    follow(request, Method::Cancel, None, reason)
}

fn follow(request: &Bytes, method: Method, to: Option<&[u8]>, reason: Option<&str>) -> Bytes {
    let Ok(invite) = Message::parse(request.clone(), &OWN) else { return Bytes::new() };
    let mut writer = Writer::request(method, b"", invite.request_uri());
    for route in invite.headers().filter(|header| header.name == Name::Route) {
        writer.copy(route);
    }
    writer.number(Name::MaxForwards, 70);
    writer.header(Name::From, invite.header(Name::From).unwrap_or_default());
    writer.header(Name::To, to.or_else(|| invite.header(Name::To)).unwrap_or_default());
    writer.header(Name::CallId, invite.call_id());
    let number = invite.cseq().map_or(0, |CSeq { number, .. }| number);
    writer.header(Name::CSeq, format!("{number} {}", method.token()).as_bytes());
    if let Some(reason) = reason {
        writer.header(Name::Reason, reason.as_bytes());
    }
    let mut line = b"Via: ".to_vec();
    line.extend_from_slice(invite.via().map_or(b"", |via| via.raw));
    line.extend_from_slice(b"\r\n");
    insert(writer.finish_request(b""), &line)
}

fn insert(request: Request, via: &[u8]) -> Bytes {
    let mut bytes = request.bytes;
    let at = request.via_at.min(bytes.len());
    bytes.splice(at..at, via.iter().copied());
    Bytes::from(bytes)
}

/// The Request-URI of a request that we wrote.
pub(crate) fn request_uri(request: &[u8]) -> Option<&[u8]> {
    request.split(|byte| *byte == b' ').nth(1)
}
