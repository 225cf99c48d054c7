//! A SIP message: one buffer, the place of each header in it, nothing copied.
//! SKELETON: signatures are the contract.

use crate::{
    Limits,
    header::{CSeq, Header, Name, NameAddr, Via},
    uri::Uri,
};
use bytes::Bytes;

/// A request method. Methods are case-sensitive and unknown ones are legal (RFC 3261 7.1, 27.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Method { Invite, Ack, Bye, Cancel, Register, Options, Subscribe, Notify, Refer, Message, Info, Update, Prack, Publish, Other }

impl Method {
    /// The token of a known method; empty for [`Method::Other`].
    #[must_use]
    pub const fn token(self) -> &'static str { todo!() }
    /// Recognises a token, exactly.
    #[must_use]
    pub fn from_token(_token: &[u8]) -> Self { todo!() }
}

/// A parsed message. Cheap to clone (the buffer is shared).
#[derive(Clone, Debug)]
pub struct Message { buffer: Bytes }

/// Bytes that are not a SIP message at all: nothing can be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Neither a request line nor a status line.
    #[error("the first line is neither a request line nor a status line")]
    StartLine,
    /// No empty line ends the header section.
    #[error("the header section does not end with an empty line")]
    HeaderEnd,
    /// Longer than [`Limits::message_bytes`].
    #[error("longer than {0} octets")]
    TooLong(usize),
    /// More header lines than [`Limits::headers`].
    #[error("more than {0} header lines")]
    TooManyHeaders(usize),
}

/// A message that can be framed but breaks a rule: a request is answered with `status`, a response is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// 400 mostly; 505 for another SIP version; 416 for an unknown URI scheme is decided above, not here.
    pub status: u16,
    /// A short phrase for the peer, e.g. `Missing Call-ID`.
    pub phrase: &'static str,
}

impl Message {
    /// Finds the lines of a message. Lenient: whatever can be framed is accepted, [`Message::check`] judges it.
    ///
    /// `buffer` holds exactly one datagram, or one framed message of a stream. Leading CRLFs are skipped (RFC 3261 7.5).
    /// Octets behind Content-Length are ignored (18.3).
    ///
    /// # Errors
    /// When the bytes cannot be framed as a message.
    pub fn parse(_buffer: Bytes, _limits: &Limits) -> Result<Self, ParseError> { todo!() }

    /// Checks what every element must check before acting (RFC 3261 8.2, 16.3, 18.3): version, method, Request-URI syntax, the six mandatory
    /// headers once each and readable, CSeq range and its method, Content-Length, quotes balanced.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Malformed> { todo!() }

    /// The message as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes { &self.buffer }
    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool { todo!() }
    /// The method of a request; for a response that of its CSeq.
    #[must_use]
    pub fn method(&self) -> Method { todo!() }
    /// The method token as received.
    #[must_use]
    pub fn method_token(&self) -> &[u8] { todo!() }
    /// The Request-URI text; empty for a response.
    #[must_use]
    pub fn request_uri(&self) -> &[u8] { todo!() }
    /// The Request-URI read; `None` for a response or an unreadable URI.
    #[must_use]
    pub fn uri(&self) -> Option<Uri<'_>> { Uri::parse(self.request_uri()) }
    /// Status code of a response, 100 to 699; 0 for a request.
    #[must_use]
    pub fn status(&self) -> u16 { todo!() }
    /// Reason phrase of a response.
    #[must_use]
    pub fn reason(&self) -> &[u8] { todo!() }
    /// All header lines in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> { core::iter::empty() }
    /// The first header line of that name.
    #[must_use]
    pub fn header(&self, _name: Name) -> Option<&[u8]> { todo!() }
    /// The first header line whose name is `name` in any case, also for names without a [`Name`] variant.
    #[must_use]
    pub fn header_named(&self, _name: &[u8]) -> Option<&[u8]> { todo!() }
    /// All values of a header that may be repeated and comma-joined, in order.
    pub fn values(&self, _name: Name) -> impl Iterator<Item = &[u8]> { core::iter::empty() }
    /// Whether a comma list (Supported, Require, Allow…) contains `token` in any case.
    #[must_use]
    pub fn lists(&self, name: Name, token: &str) -> bool { self.values(name).any(|v| v.eq_ignore_ascii_case(token.as_bytes())) }
    /// The topmost Via value.
    #[must_use]
    pub fn via(&self) -> Option<Via<'_>> { todo!() }
    /// From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'_>> { todo!() }
    /// To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'_>> { todo!() }
    /// The first Contact value.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'_>> { todo!() }
    /// Call-ID, trimmed; empty when absent.
    #[must_use]
    pub fn call_id(&self) -> &[u8] { todo!() }
    /// CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq<'_>> { todo!() }
    /// A header whose value is one decimal number (Expires, Max-Forwards, Min-Expires…). Values beyond `u32` read as `u32::MAX`.
    #[must_use]
    pub fn number(&self, _name: Name) -> Option<u32> { todo!() }
    /// The body, as long as Content-Length says, or to the end where it is absent.
    #[must_use]
    pub fn body(&self) -> &[u8] { todo!() }
}
