//! The record of a call that has ended: one log line, one event for observing policies.

use crate::facts::CallKind;
use sip::Instant;
use std::net::SocketAddr;

/// One target that a call was dialled to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegRecord {
    /// Call-ID of the leg.
    pub call_id: String,
    /// Endpoint id, `trunk:NAME`, or the URI.
    pub who: String,
    /// Where it was dialled.
    pub at: SocketAddr,
}

/// What happened in one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// Call-ID of the caller's leg.
    pub call_id: String,
    /// Kind of call.
    pub kind: CallKind,
    /// Caller: endpoint id, `trunk:NAME`, or the source address.
    pub caller: String,
    /// What was called.
    pub called: String,
    /// Who answered: endpoint id or `trunk:NAME`.
    pub answered_by: Option<String>,
    /// INVITE received.
    pub began: Instant,
    /// 2xx sent to the caller.
    pub answered: Option<Instant>,
    /// The end.
    pub ended: Instant,
    /// Final status sent to the caller; 200 for an answered call.
    pub status: u16,
    /// Who ended it and why, in a few words: `caller hung up`, `callee hung up`, `cancelled`, `no answer`, …
    pub cause: &'static str,
}
