//! Writes messages: one growing buffer, headers in the order of the calls.
//! SKELETON: signatures are the contract.

use crate::{Message, header::Name, message::Method};

/// A request that lacks only its top Via, which [`crate::stack::Stack`] adds with the branch of the client transaction.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) bytes: Vec<u8>,
    /// Where the Via line goes: the end of the request line.
    pub(crate) via_at: usize,
    pub(crate) method: Method,
}

/// A finished response.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
}

/// Appends header lines; `finish` adds Content-Length and the body.
#[derive(Clone, Debug)]
pub struct Writer { bytes: Vec<u8>, via_at: usize, method: Method, status: u16 }

impl Writer {
    /// Begins a request; `token` is what is written when `method` is [`Method::Other`].
    #[must_use]
    pub fn request(_method: Method, _token: &[u8], _uri: &[u8]) -> Self { todo!() }

    /// Begins a response to `request`: status line, then every Via, From, To, Call-ID and CSeq as received (RFC 3261 8.2.6.2).
    /// When To has no tag and `status` is above 100, `tag` is added.
    #[must_use]
    pub fn response(_request: &Message, _status: u16, _phrase: &str, _tag: Option<&str>) -> Self { todo!() }

    /// Adds `Name: value`. CR and LF inside the value are replaced by a space: nobody can smuggle a header in.
    pub fn header(&mut self, _name: Name, _value: &[u8]) -> &mut Self { todo!() }
    /// Adds a header under a name of its own.
    pub fn header_named(&mut self, _name: &[u8], _value: &[u8]) -> &mut Self { todo!() }
    /// Adds `Name: ` and whatever `write` appends, then the line end.
    pub fn header_with(&mut self, _name: Name, _write: impl FnOnce(&mut Vec<u8>)) -> &mut Self { todo!() }
    /// Adds a header line exactly as received in another message (raw name, colon, value with its folds).
    pub fn copy(&mut self, _header: crate::header::Header<'_>) -> &mut Self { todo!() }
    /// Adds `Name: number`.
    pub fn number(&mut self, _name: Name, _value: u32) -> &mut Self { todo!() }

    /// Ends a request with Content-Length and `body` (Content-Type must have been written by the caller).
    #[must_use]
    pub fn finish_request(self, _body: &[u8]) -> Request { todo!() }
    /// Ends a response.
    #[must_use]
    pub fn finish_response(self, _body: &[u8]) -> Response { todo!() }
}

impl Request {
    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method { self.method }
    /// The bytes without a Via of ours (for tests and logs).
    #[must_use]
    pub fn bytes(&self) -> &[u8] { &self.bytes }
}

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 { self.status }
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] { &self.bytes }
}

/// The standard reason phrase of a status code (RFC 3261 section 21 and the IANA registry); `""` for an unknown one.
#[must_use]
pub const fn reason_phrase(_status: u16) -> &'static str { "" }
