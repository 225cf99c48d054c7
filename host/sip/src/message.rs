//! A SIP message: one buffer, the place of each header in it, nothing copied.
//!
//! [`Message::parse`] finds the lines and nothing more; a value is read when it is asked for. Whatever it does not understand stays
//! in the buffer and can be relayed byte for byte. [`Message::check`] judges what every element must judge before acting.

mod check;
mod parse;
mod repair;
#[cfg(test)]
mod tests;

use crate::{
    header::{CSeq, Header, Name, NameAddr, SplitCommas, Via, decimal},
    uri::Uri,
};
use bytes::Bytes;
use parse::{Slot, Span};
use smallvec::SmallVec;
use std::sync::Arc;

/// A request method. Methods are case-sensitive and unknown ones are legal (RFC 3261 7.1, 27.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each variant is the method of that name")]
#[rustfmt::skip]
pub enum Method { Invite, Ack, Bye, Cancel, Register, Options, Subscribe, Notify, Refer, Message, Info, Update, Prack, Publish, Other }

impl Method {
    /// The token of a known method; empty for [`Method::Other`].
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Message => "MESSAGE",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
            Self::Other => "",
        }
    }

    /// Recognises a token, exactly.
    #[must_use]
    pub const fn from_token(token: &[u8]) -> Self {
        match token {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"REGISTER" => Self::Register,
            b"OPTIONS" => Self::Options,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"INFO" => Self::Info,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"PUBLISH" => Self::Publish,
            _ => Self::Other,
        }
    }
}

/// A parsed message. Cheap to clone and to move: one shared pointer.
#[derive(Clone, Debug)]
pub struct Message(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    buffer: Bytes,
    start: StartLine,
    /// Whether the version of the start line is `SIP/2.0`.
    version_2: bool,
    /// Whether a line of the header section is no header field: no colon, no name, or a fold of nothing.
    stray_line: bool,
    content_length: ContentLength,
    body: Span,
    headers: SmallVec<[Slot; INLINE_HEADERS]>,
}

/// Header lines that fit beside the message without an allocation of their own. Phones send 10 to 20.
const INLINE_HEADERS: usize = 24;

#[derive(Clone, Copy, Debug)]
enum StartLine {
    Request { method: Method, token: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// What the Content-Length lines of a message say together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ContentLength {
    Absent,
    /// A number that fits the buffer.
    Fits,
    /// More octets than there are.
    Beyond,
    /// Negative or not a number.
    Unreadable,
}

/// Bytes that are not a SIP message at all: nothing can be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Neither a request line nor a status line.
    #[error("the first line is neither a request line nor a status line")]
    StartLine,
    /// No empty line ends the header section.
    #[error("the header section does not end with an empty line")]
    HeaderEnd,
    /// Longer than [`crate::Limits::message_bytes`].
    #[error("longer than {0} octets")]
    TooLong(usize),
    /// More header lines than [`crate::Limits::headers`].
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
    /// The message as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.buffer
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.0.start, StartLine::Request { .. })
    }

    /// The method of a request; for a response that of its CSeq.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.0.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => Method::from_token(self.method_token()),
        }
    }

    /// The method token as received; for a response that of its CSeq, empty when that cannot be read.
    #[must_use]
    pub fn method_token(&self) -> &[u8] {
        match self.0.start {
            StartLine::Request { token, .. } => self.span(token),
            StartLine::Response { .. } => self.cseq().map(|c| c.method).unwrap_or_default(),
        }
    }

    /// The Request-URI text; empty for a response.
    #[must_use]
    pub fn request_uri(&self) -> &[u8] {
        match self.0.start {
            StartLine::Request { uri, .. } => self.span(uri),
            StartLine::Response { .. } => &[],
        }
    }

    /// The Request-URI read; `None` for a response or an unreadable URI.
    #[must_use]
    pub fn uri(&self) -> Option<Uri<'_>> {
        Uri::parse(self.request_uri())
    }

    /// Status code of a response, 100 to 699; 0 for a request, and for a status that is no such number ([`Message::check`] refuses it).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.0.start {
            StartLine::Request { .. } => 0,
            StartLine::Response { status, .. } => status,
        }
    }

    /// Reason phrase of a response.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        match self.0.start {
            StartLine::Request { .. } => &[],
            StartLine::Response { reason, .. } => self.span(reason),
        }
    }

    /// All header lines in order. A line that is no header field comes as [`Name::Other`] without name and value.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let bytes = &self.0.buffer;
        self.0.headers.iter().map(move |slot| slot.header(bytes))
    }

    /// The value of the first header line of that name.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.0.headers.iter().find(|slot| slot.name == name).map(|slot| slot.value(&self.0.buffer))
    }

    /// The value of the first header line whose name is `name` in any case, also for names without a [`Name`] variant. Compact forms are known.
    #[must_use]
    pub fn header_named(&self, name: &[u8]) -> Option<&[u8]> {
        match Name::from_bytes(name) {
            Name::Other => self
                .headers()
                .find(|h| h.name == Name::Other && !h.raw_name.is_empty() && Name::same_field(h.raw_name, name))
                .map(|h| h.value),
            known => self.header(known),
        }
    }

    /// All values of a header that may be repeated and comma-joined, in order.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let bytes = &self.0.buffer;
        self.0.headers.iter().filter(move |slot| slot.name == name).flat_map(move |slot| SplitCommas { rest: slot.value(bytes) })
    }

    /// Whether a comma list (Supported, Require, Allow…) contains `token` in any case.
    #[must_use]
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|v| v.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The topmost Via value.
    #[must_use]
    pub fn via(&self) -> Option<Via<'_>> {
        Via::parse(self.values(Name::Via).next()?)
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(Name::From)?)
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(Name::To)?)
    }

    /// The first Contact value; `None` also for `*`.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.values(Name::Contact).next()?)
    }

    /// Call-ID, trimmed; empty when absent.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        self.header(Name::CallId).unwrap_or_default()
    }

    /// CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq<'_>> {
        CSeq::parse(self.header(Name::CSeq)?)
    }

    /// A header whose value is one decimal number (Expires, Max-Forwards, Min-Expires…), also when parameters or a comment follow
    /// (Session-Expires, Retry-After). Values beyond `u32` read as `u32::MAX`.
    #[must_use]
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.header(name)?;
        let end = value.iter().position(|b| matches!(b, b';' | b'(' | b' ' | b'\t' | b'\r')).unwrap_or(value.len());
        decimal(value.get(..end)?)
    }

    /// The body, as long as Content-Length says, or to the end where it is absent, unreadable or says more than there is.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.span(self.0.body)
    }

    fn span(&self, span: Span) -> &[u8] {
        span.of(&self.0.buffer)
    }
}
