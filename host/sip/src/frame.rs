//! Cuts a byte stream into messages (RFC 3261 18.3) whatever way the bytes were split, and knows keep-alives (RFC 5626 3.5.1).

#[cfg(test)]
mod tests;

use crate::{
    Limits,
    header::{Name, decimal, trim},
};
use bytes::{Buf as _, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

/// What a stream yields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One whole message, ready for [`crate::Message::parse`].
    Message(Bytes),
    /// The second CRLF of a double CRLF "ping": answer with one CRLF.
    Ping,
    /// A CRLF that does not follow another: a "pong", or the first half of a ping. Nothing to answer; the peer is alive.
    Pong,
}

/// Why a stream can no longer be framed: answer what can be answered (`Bytes` is the header section) and close it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Content-Length is absent, repeated with another value, negative, not a number or beyond the limit.
    #[error("Content-Length cannot be used to find the end of the message")]
    ContentLength(Bytes),
    /// The header section exceeds [`Limits::message_bytes`].
    #[error("the message is longer than {0} octets")]
    TooLong(usize),
}

/// In `scanned`: the header section is complete, the other bits hold the length of the whole message.
const LENGTH_KNOWN: usize = 1 << (usize::BITS - 1);
/// In `scanned`: the octets before the buffer were a CRLF between messages.
const AFTER_CRLF: usize = 1 << (usize::BITS - 2);

/// Takes the next frame off the front of `buffer`; `Ok(None)` when more bytes are needed.
///
/// `scanned` is the reader's memory between the calls for one stream: start with 0 and leave it alone. Thanks to it no octet is looked
/// at again when a message arrives in small pieces, and the frames are the same however the stream was split.
///
/// # Errors
/// When the end of a message cannot be found. The stream is then out of step for good.
pub fn next(buffer: &mut BytesMut, scanned: &mut usize, limits: &Limits) -> Result<Option<Frame>, FrameError> {
    if *scanned & LENGTH_KNOWN == 0 {
        let from = *scanned & !AFTER_CRLF;
        if from == 0 {
            match buffer.as_ref() {
                [] | [b'\r'] => return Ok(None),
                // RFC 5626 3.5.1: a double CRLF is a ping, a single one the pong. RFC 3261 7.5: CRLF before a start line is ignored.
                [b'\r', b'\n', ..] => {
                    buffer.advance(2);
                    let ping = *scanned == AFTER_CRLF;
                    *scanned = if ping { 0 } else { AFTER_CRLF };
                    return Ok(Some(if ping { Frame::Ping } else { Frame::Pong }));
                }
                _ => {}
            }
        }
        let (section, next) = section_end(buffer, from);
        let Some(section) = section else {
            *scanned = next;
            if buffer.len() > limits.message_bytes {
                return Err(FrameError::TooLong(limits.message_bytes));
            }
            return Ok(None);
        };
        if section > limits.message_bytes {
            return Err(FrameError::TooLong(limits.message_bytes));
        }
        let length = content_length(buffer.get(..section).unwrap_or_default());
        let total = length.and_then(|length| section.checked_add(length)).filter(|total| *total <= limits.message_bytes);
        let Some(total) = total else {
            *scanned = 0;
            return Err(FrameError::ContentLength(buffer.split_to(section).freeze()));
        };
        *scanned = LENGTH_KNOWN | total;
    }
    let total = *scanned & !LENGTH_KNOWN;
    if buffer.len() < total {
        return Ok(None);
    }
    *scanned = 0;
    Ok(Some(Frame::Message(buffer.split_to(total).freeze())))
}

/// The length of the header section with its empty line, once it is complete; else where to look on when more has come.
fn section_end(buffer: &[u8], from: usize) -> (Option<usize>, usize) {
    let unseen = buffer.get(from..).unwrap_or_default();
    for line_end in memchr_iter(b'\n', unseen) {
        let at = from + line_end;
        match buffer.get(at + 1..).unwrap_or_default() {
            [b'\n', ..] => return (Some(at + 2), at),
            [b'\r', b'\n', ..] => return (Some(at + 3), at),
            [] | [b'\r'] => return (None, at),
            _ => {}
        }
    }
    (None, buffer.len())
}

/// RFC 3261 20.14: over a stream Content-Length must be there. All lines must agree.
fn content_length(section: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut rest = section.get(memchr(b'\n', section)? + 1..)?;
    while let Some(line_end) = memchr(b'\n', rest) {
        let mut end = line_end;
        let first = rest.first()?;
        if matches!(first, b'C' | b'c' | b'L' | b'l') {
            // RFC 3261 7.3.1: a line that begins with white space continues the one before.
            while matches!(rest.get(end + 1), Some(b' ' | b'\t')) {
                end += 1 + memchr(b'\n', rest.get(end + 1..)?)?;
            }
            if let Some(length) = length_of_line(rest.get(..end)?) {
                let length = length?;
                if found.is_some_and(|other| other != length) {
                    return None;
                }
                found = Some(length);
            }
        }
        rest = rest.get(end + 1..)?;
    }
    found
}

/// `None` for another field; `Some(None)` for a Content-Length that is no number.
fn length_of_line(line: &[u8]) -> Option<Option<usize>> {
    let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
    (Name::from_bytes(name.trim_ascii_end()) == Name::ContentLength)
        .then(|| decimal(trim(value.get(1..)?)).and_then(|length| usize::try_from(length).ok()))
}
