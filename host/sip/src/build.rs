//! Writes messages: one growing buffer, headers in the order of the calls.

mod phrase;
#[cfg(test)]
mod tests;

pub use phrase::reason_phrase;

use crate::{
    Message,
    header::{Header, Name, trim},
    message::Method,
};
use memchr::{memchr, memchr2};
use serde::{Deserialize, Serialize};

/// A request that lacks only its top Via, which [`crate::stack::Stack`] adds with the branch of the client transaction.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) bytes: Vec<u8>,
    /// Where the Via line goes: the end of the request line.
    pub(crate) via_at: usize,
    pub(crate) method: Method,
}

/// A finished response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response {
    #[serde(with = "crate::kept::octets")]
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
}

/// Appends header lines; `finish` adds Content-Length and the body.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    via_at: usize,
    method: Method,
    status: u16,
}

/// A call's usual header section, so that the buffer seldom grows.
const USUAL_BYTES: usize = 1024;

impl Writer {
    /// Begins a request; `token` is what is written when `method` is [`Method::Other`]. White space and control characters in `token` and
    /// `uri` are left out: nobody can smuggle in a second line.
    #[must_use]
    pub fn request(method: Method, token: &[u8], uri: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        let token = if method == Method::Other { token } else { method.token().as_bytes() };
        bytes.extend(token.iter().filter(|b| **b > b' '));
        bytes.push(b' ');
        bytes.extend(uri.iter().filter(|b| **b > b' '));
        bytes.extend_from_slice(b" SIP/2.0\r\n");
        Self { via_at: bytes.len(), bytes, method, status: 0 }
    }

    /// Begins a response to `request`: status line, then every Via, From, To, Call-ID and CSeq as received (RFC 3261 8.2.6.2).
    /// When To has no tag and `status` is above 100, `tag` is added. An empty `phrase` stands for the standard one of the status.
    #[must_use]
    pub fn response(request: &Message, status: u16, phrase: &str, tag: Option<&str>) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend_from_slice(b"SIP/2.0 ");
        push_decimal(&mut bytes, u32::from(status));
        bytes.push(b' ');
        push_line_safe(&mut bytes, if phrase.is_empty() { reason_phrase(status) } else { phrase }.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let mut writer = Self { via_at: bytes.len(), bytes, method: request.method(), status };
        // RFC 3261 8.2.6.2: the Via values must be in the same order; From, Call-ID and CSeq equal; To equal but for the tag.
        for via in request.headers().filter(|h| h.name == Name::Via) {
            writer.copy(via);
        }
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(header) = request.headers().find(|h| h.name == name) else { continue };
            writer.copy(header);
            if let (Name::To, Some(tag), 101..) = (name, tag, status)
                && request.to().is_none_or(|to| to.tag().is_none())
            {
                writer.bytes.truncate(writer.bytes.len() - 2);
                writer.bytes.extend_from_slice(b";tag=");
                writer.bytes.extend(tag.bytes().filter(|b| *b > b' '));
                writer.bytes.extend_from_slice(b"\r\n");
            }
        }
        writer
    }

    /// Adds `Name: value`. CR and LF inside the value are replaced by a space: nobody can smuggle a header in.
    ///
    /// [`Name::Other`] has no text and writes nothing; use [`Writer::header_named`].
    pub fn header(&mut self, name: Name, value: &[u8]) -> &mut Self {
        self.header_with(name, |bytes| bytes.extend_from_slice(value))
    }

    /// Adds a header under a name of its own. White space, control characters and colons in the name are left out.
    pub fn header_named(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        self.bytes.extend(name.iter().filter(|b| **b > b' ' && **b != b':'));
        self.bytes.extend_from_slice(b": ");
        push_line_safe(&mut self.bytes, value);
        self.end_line()
    }

    /// Adds `Name: ` and whatever `write` appends, then the line end. CR and LF are replaced as in [`Writer::header`].
    pub fn header_with(&mut self, name: Name, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        if name == Name::Other {
            return self;
        }
        self.bytes.extend_from_slice(name.canonical().as_bytes());
        self.bytes.extend_from_slice(b": ");
        let value_at = self.bytes.len();
        write(&mut self.bytes);
        replace_line_ends(self.bytes.get_mut(value_at..).unwrap_or_default());
        self.end_line()
    }

    /// Adds a header line exactly as received in another message: raw name, colon, value with its folds.
    pub fn copy(&mut self, header: Header<'_>) -> &mut Self {
        let line_at = self.bytes.len();
        self.bytes.extend_from_slice(header.line);
        // Only a line that no parser handed out can hold a line end that is not a fold.
        if memchr(b'\n', header.line).is_some() {
            close_open_line_ends(self.bytes.get_mut(line_at..).unwrap_or_default());
        }
        self.end_line()
    }

    /// Adds `Name: number`.
    pub fn number(&mut self, name: Name, value: u32) -> &mut Self {
        self.header_with(name, |bytes| push_decimal(bytes, value))
    }

    /// Ends a request with Content-Length and `body` (Content-Type must have been written by the caller).
    #[must_use]
    pub fn finish_request(mut self, body: &[u8]) -> Request {
        self.finish(body);
        Request { bytes: self.bytes, via_at: self.via_at, method: self.method }
    }

    /// Ends a response.
    #[must_use]
    pub fn finish_response(mut self, body: &[u8]) -> Response {
        self.finish(body);
        Response { bytes: self.bytes, status: self.status }
    }

    fn finish(&mut self, body: &[u8]) {
        self.bytes.reserve(b"Content-Length: 4294967295\r\n\r\n".len() + body.len());
        self.number(Name::ContentLength, u32::try_from(body.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
    }

    fn end_line(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(b"\r\n");
        self
    }
}

impl Request {
    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> &[u8] {
        let line = self.bytes.get(..self.via_at).unwrap_or_default();
        line.splitn(3, |octet| *octet == b' ').nth(1).unwrap_or_default()
    }

    /// Whether it has a Route.
    #[must_use]
    pub fn routed(&self) -> bool {
        // Route follows the request line: see `crate::dialog`.
        self.bytes.get(self.via_at..).unwrap_or_default().starts_with(b"Route:")
    }

    /// Sends it elsewhere: another Request-URI, and Route values above what it has. White space and control characters in `uri` are left out.
    pub fn redirect(&mut self, uri: &[u8], route: &[String]) {
        let mut writer = Writer::request(self.method, self.bytes.split(|octet| *octet == b' ').next().unwrap_or_default(), uri);
        for value in route {
            writer.header(Name::Route, value.as_bytes());
        }
        writer.bytes.extend_from_slice(self.bytes.get(self.via_at..).unwrap_or_default());
        self.bytes = writer.bytes;
        self.via_at = writer.via_at;
    }

    /// The bytes without a Via of ours (for tests and logs).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Appends a number in decimal.
pub(crate) fn push_decimal(bytes: &mut Vec<u8>, mut number: u32) {
    let mut digits = [b'0'; 10];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn push_line_safe(bytes: &mut Vec<u8>, value: &[u8]) {
    let at = bytes.len();
    bytes.extend_from_slice(trim(value));
    replace_line_ends(bytes.get_mut(at..).unwrap_or_default());
}

fn replace_line_ends(mut value: &mut [u8]) {
    while let Some(at) = memchr2(b'\r', b'\n', value) {
        let (_, rest) = core::mem::take(&mut value).split_at_mut(at);
        let Some((end, rest)) = rest.split_first_mut() else { return };
        *end = b' ';
        value = rest;
    }
}

/// Replaces each LF that is not followed by white space, and so would begin a new header.
fn close_open_line_ends(line: &mut [u8]) {
    let mut next = b'\r';
    for byte in line.iter_mut().rev() {
        if *byte == b'\n' && !matches!(next, b' ' | b'\t') {
            *byte = b' ';
        }
        next = *byte;
    }
}
