//! The way back of a response (RFC 3261 18.2, RFC 3581): where it goes, and what its top Via must show.

use crate::{
    header::Via,
    transport::{Flow, Transport},
};
use std::{io::Write as _, net::IpAddr};

/// How the responses to one request are addressed and marked. It is worked out once, when the request arrives; the text is written into
/// the response, so that a request is never copied to be marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) flow: Flow,
    mark: Option<Mark>,
}

/// What to insert into the top Via value of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    /// Where, counted from the start of the value.
    at: usize,
    /// The source port, as the value of the `rport` that ends at `at`.
    rport: Option<u16>,
    /// The source address.
    received: IpAddr,
}

impl Reply {
    pub(crate) fn new(via: &Via<'_>, source: Flow) -> Self {
        let mut flow = source;
        let address = source.remote.ip().to_canonical();
        let same_host = host_address(via.host) == Some(address);
        if let Some(at) = bare_rport(via.raw) {
            // RFC 3581 4: "it MUST set the value of the parameter to the source port of the request", and it "MUST insert a received
            // parameter … even if the source IP address is identical to the value of the sent-by component".
            cov_mark::hit!(rfc3581_4_rport);
            return Self { flow, mark: Some(Mark { at, rport: Some(source.remote.port()), received: address }) };
        }
        if same_host {
            // RFC 3261 18.2.2: a response over an unreliable transport goes to the address in `received`, or sent-by, and to "the port
            // indicated in the sent-by value", or 5060. A stream carries it back on the connection of the request.
            if flow.transport == Transport::Udp {
                flow.remote.set_port(via.port.unwrap_or_else(|| flow.transport.default_port()));
            }
            return Self { flow, mark: None };
        }
        // RFC 3261 18.2.1: where sent-by is a name or another address, "the server MUST add a received parameter". A peer whose
        // address was translated cannot be reached at the port that it wrote: its answer goes to where it came from.
        cov_mark::hit!(rfc3261_18_2_1_received);
        let mark = via.param(b"received").is_none().then_some(Mark { at: via.raw.len(), rport: None, received: address });
        Self { flow, mark }
    }

    /// Marks the top Via of a response whose Via lines are those of the request.
    pub(crate) fn mark(&self, mut response: Vec<u8>) -> Vec<u8> {
        let Some(mark) = self.mark else { return response };
        let Some(at) = first_value(&response).map(|start| start + mark.at).filter(|at| *at <= response.len()) else {
            return response;
        };
        let mut text = Vec::with_capacity(64);
        // Writing to a Vec does not fail.
        let written = match mark.rport {
            Some(port) => write!(text, "={port};received={}", mark.received),
            None => write!(text, ";received={}", mark.received),
        };
        if written.is_ok() {
            response.splice(at..at, text);
        }
        response
    }
}

/// The address that a sent-by host is written as; `None` for a name.
fn host_address(host: &[u8]) -> Option<IpAddr> {
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let address: IpAddr = std::str::from_utf8(bare).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// Where the parameter `rport` without a value ends in a Via value.
fn bare_rport(value: &[u8]) -> Option<usize> {
    const RPORT: &[u8] = b"rport";
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                let rest = value.get(at + 1..)?;
                let start = at + 1 + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let end = start + RPORT.len();
                let named = value.get(start..end).is_some_and(|name| name.eq_ignore_ascii_case(RPORT));
                let rest = value.get(end..).unwrap_or_default();
                let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
                let ended = rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b';');
                if named && ended && next != Some(&b'=') {
                    return Some(end);
                }
            }
            _ => {}
        }
    }
    None
}

/// Where the value of the first header line starts.
fn first_value(message: &[u8]) -> Option<usize> {
    let line = memchr::memchr(b'\n', message)? + 1;
    let colon = line + memchr::memchr(b':', message.get(line..)?)? + 1;
    let spaces = message.get(colon..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    Some(colon + spaces)
}
