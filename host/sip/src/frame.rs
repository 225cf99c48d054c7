//! Cuts a byte stream into messages (RFC 3261 18.3) whatever way the bytes were split, and knows keep-alives (RFC 5626 3.5.1).
//! SKELETON: signatures are the contract.

use crate::Limits;
use bytes::{Bytes, BytesMut};

/// What a stream yields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One whole message, ready for [`crate::Message::parse`].
    Message(Bytes),
    /// A double CRLF "ping": answer with one CRLF.
    Ping,
    /// A single CRLF "pong".
    Pong,
}

/// Why a stream can no longer be framed: answer what can be answered (`Bytes` is the header section) and close it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Content-Length is absent, repeated with another value, negative, not a number or beyond the limit.
    #[error("Content-Length cannot be used to find the end of the message")]
    ContentLength(Bytes),
    /// The header section or the message exceeds [`Limits::message_bytes`].
    #[error("the message is longer than {0} octets")]
    TooLong(usize),
}

/// Takes the next frame off the front of `buffer`; `Ok(None)` when more bytes are needed. Never looks at the same byte twice more than
/// needed: `scanned` is the reader's memory between calls (start with 0).
///
/// # Errors
/// When the end of a message cannot be found.
pub fn next(_buffer: &mut BytesMut, _scanned: &mut usize, _limits: &Limits) -> Result<Option<Frame>, FrameError> { todo!() }
