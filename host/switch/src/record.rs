//! The record of a call that has ended: one log line, one event for observing policies.

use crate::facts::{Call, CallKind, Caller};
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
    /// Who answered; after a transfer, who talked to the caller last: endpoint id or `trunk:NAME`.
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

impl CallRecord {
    /// Of a call that ends without an answer: `status` is what the caller was told.
    #[must_use]
    pub fn unanswered(call: &Call, status: u16, cause: &'static str, ended: Instant) -> Self {
        Self {
            call_id: String::from_utf8_lossy(call.message.call_id()).into_owned(),
            kind: call.kind,
            caller: match &call.caller {
                Caller::Endpoint(endpoint) => endpoint.id.clone(),
                Caller::Trunk(name) => format!("trunk:{name}"),
                Caller::Unknown => call.flow.remote.to_string(),
            },
            called: call.called.clone(),
            answered_by: None,
            began: call.at,
            answered: None,
            ended,
            status,
            cause,
        }
    }
}
