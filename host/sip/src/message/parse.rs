//! The one pass over the bytes.

use super::{ContentLength, INLINE_HEADERS, Inner, Message, Method, ParseError, StartLine};
use crate::{
    Limits,
    header::{Header, Name, decimal, starts_with_ignore_case, trim},
};
use bytes::Bytes;
use memchr::{memchr, memrchr};
use smallvec::SmallVec;
use std::sync::Arc;

/// A place in the buffer. Offsets are 32 bits wide; a longer message is [`ParseError::TooLong`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "parse refuses buffers beyond u32")]
    const fn new(from: usize, to: usize) -> Self {
        Self { from: from as u32, to: to as u32 }
    }

    pub(super) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.from as usize..self.to as usize).unwrap_or_default()
    }

    /// The place of `part`, which must be a piece of `whole`, when `whole` begins at `base`.
    fn locate(base: usize, whole: &[u8], part: &[u8]) -> Self {
        let from = base + (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self::new(from, from + part.len())
    }
}

/// The place of one header line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    line: Span,
    value: Span,
    name_length: u16,
    pub(super) name: Name,
}

impl Slot {
    pub(super) fn value<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        self.value.of(buffer)
    }

    pub(super) fn header<'a>(&self, buffer: &'a [u8]) -> Header<'a> {
        let line = self.line.of(buffer);
        let raw_name = line.get(..usize::from(self.name_length)).unwrap_or_default();
        Header { name: self.name, raw_name, value: self.value.of(buffer), line }
    }
}

impl Message {
    /// Finds the lines of a message. Lenient: whatever can be framed is accepted, [`Message::check`] judges it.
    ///
    /// `buffer` holds exactly one datagram, or one framed message of a stream. Leading CRLFs are skipped (RFC 3261 7.5).
    /// Octets behind Content-Length are ignored (18.3). A bare LF ends a line as CRLF does.
    ///
    /// # Errors
    /// When the bytes cannot be framed as a message.
    pub fn parse(buffer: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let most = limits.message_bytes.min(u32::MAX as usize);
        if buffer.len() > most {
            return Err(ParseError::TooLong(most));
        }
        let bytes: &[u8] = &buffer;
        // RFC 3261 7.5: "Implementations processing SIP messages over stream-oriented transports MUST ignore any CRLF appearing before
        // the start-line"; phones send them in datagrams, too.
        let start_at = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
        let rest = bytes.get(start_at..).unwrap_or_default();
        let line_length = memchr(b'\n', rest).ok_or(ParseError::StartLine)?;
        let line = rest.get(..line_length).unwrap_or_default();
        let (start, version_2) = start_line(start_at, line.strip_suffix(b"\r").unwrap_or(line)).ok_or(ParseError::StartLine)?;

        let mut headers: SmallVec<[Slot; INLINE_HEADERS]> = SmallVec::new();
        let mut stray_line = false;
        let mut length_value = None;
        let mut at = start_at + line_length + 1;
        let body_at = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match rest {
                [b'\n', ..] => break at + 1,
                [b'\r', b'\n', ..] => break at + 2,
                _ => {}
            }
            let (line_end, next) = field_end(rest).ok_or(ParseError::HeaderEnd)?;
            if headers.len() == limits.headers {
                return Err(ParseError::TooManyHeaders(limits.headers));
            }
            let line = rest.get(..line_end).unwrap_or_default();
            let slot = header_slot(at, line);
            stray_line |= slot.name_length == 0;
            if slot.name == Name::ContentLength && length_value.is_none() {
                length_value = Some(slot.value);
            }
            headers.push(slot);
            at += next;
        };

        let present = bytes.len() - body_at;
        let (content_length, body_length) = match length_value.map(|value| value.of(bytes)).map(decimal) {
            None => (ContentLength::Absent, present),
            Some(None) => (ContentLength::Unreadable, present),
            Some(Some(length)) if length as usize <= present => (ContentLength::Fits, length as usize),
            Some(Some(_)) => (ContentLength::Beyond, present),
        };
        let body = Span::new(body_at, body_at + body_length);
        Ok(Self(Arc::new(Inner { start, version_2, stray_line, content_length, body, headers, buffer })))
    }
}

/// The length of a header field with its folds, without and with the last line end. A line that begins with white space continues
/// the one before (RFC 3261 7.3.1).
fn field_end(rest: &[u8]) -> Option<(usize, usize)> {
    let mut next = 0;
    loop {
        next += memchr(b'\n', rest.get(next..)?)? + 1;
        if !matches!(rest.get(next), Some(b' ' | b'\t')) {
            let line = rest.get(..next - 1)?;
            return Some((line.strip_suffix(b"\r").unwrap_or(line).len(), next));
        }
    }
}

fn header_slot(at: usize, line: &[u8]) -> Slot {
    let span = Span::new(at, at + line.len());
    let stray = Slot { line: span, value: Span::default(), name_length: 0, name: Name::Other };
    let Some(colon) = memchr(b':', line) else { return stray };
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    // RFC 3261 25.1: HCOLON = *( SP / HTAB ) ":" SWS.
    let name = name.trim_ascii_end();
    let Ok(name_length) = u16::try_from(name.len()) else { return stray };
    if matches!(name.first(), None | Some(b' ' | b'\t')) {
        return stray;
    }
    let value = Span::locate(at, line, trim(value));
    Slot { line: span, value, name_length, name: Name::from_bytes(name) }
}

/// Reads a request line or status line that begins at `at`; the flag tells whether its version is 2.0.
fn start_line(at: usize, line: &[u8]) -> Option<(StartLine, bool)> {
    if starts_with_ignore_case(line, b"SIP/") {
        let version_end = memchr(b' ', line)?;
        let (version, rest) = line.split_at_checked(version_end)?;
        let rest = rest.trim_ascii_start();
        let (code, reason) = rest.split_at_checked(memchr(b' ', rest).unwrap_or(rest.len()))?;
        let reason = Span::locate(at, line, reason.trim_ascii());
        // RFC 4475 3.1.2.19: an overlarge status must not wrap into a small one.
        let status = decimal(code).filter(|_| code.len() == 3).and_then(|c| u16::try_from(c).ok());
        let status = status.filter(|c| (100..=699).contains(c)).unwrap_or(0);
        return Some((StartLine::Response { status, reason }, is_version_2(version)));
    }
    // RFC 4475 3.1.2.9 and 3.1.2.10: more spaces than one between the parts, or behind them, can be ignored without a doubt about the meaning.
    let line = line.trim_ascii_end();
    let (token, rest) = line.split_at_checked(memchr(b' ', line)?)?;
    let (uri, version) = rest.split_at_checked(memrchr(b' ', rest)? + 1)?;
    if token.is_empty() || !starts_with_ignore_case(version, b"SIP/") {
        return None;
    }
    let uri = Span::locate(at, line, uri.trim_ascii());
    let start = StartLine::Request { method: Method::from_token(token), token: Span::locate(at, line, token), uri };
    Some((start, is_version_2(version)))
}

/// RFC 3261 7.1: the version is compared in any case.
const fn is_version_2(version: &[u8]) -> bool {
    version.eq_ignore_ascii_case(b"SIP/2.0")
}
