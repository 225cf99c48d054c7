//! What the transaction layer asks of the world.

use super::{ClientId, ServerId};
use crate::{Message, transport::Flow};
use bytes::Bytes;

/// Everything that the transaction layer can ask of the world, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Put these bytes on the wire.
    Transmit {
        /// Way.
        flow: Flow,
        /// Octets of one message.
        bytes: Bytes,
    },
    /// A new request to be answered with [`Stack::respond`](super::Stack::respond) (an INVITE that is not is answered with 100 after 200 ms).
    Request {
        /// Its transaction.
        id: ServerId,
        /// The request, as it was received.
        message: Message,
        /// Where it came from.
        flow: Flow,
    },
    /// The ACK of a 2xx: it has no transaction, its dialog finds it.
    Ack {
        /// The ACK.
        message: Message,
        /// Where it came from.
        flow: Flow,
    },
    /// The INVITE was cancelled: answer it with 487. The CANCEL itself has been answered. Once per INVITE, and only before its final answer.
    Cancelled {
        /// The INVITE's transaction.
        id: ServerId,
        /// The CANCEL, for its Reason.
        message: Message,
    },
    /// A response to our request: provisional, final, or (INVITE) one more 2xx, also retransmitted.
    Response {
        /// Its transaction.
        id: ClientId,
        /// The response.
        message: Message,
        /// Where it came from.
        flow: Flow,
    },
    /// Our request got no final response. Each client transaction ends in exactly one final [`Effect::Response`] or one of these.
    Failed {
        /// Its transaction.
        id: ClientId,
        /// Why.
        why: Failure,
    },
    /// A final non-2xx answer to an INVITE was never acknowledged (timer H). Nothing to do but to know it.
    Unacknowledged {
        /// Its transaction.
        id: ServerId,
    },
    /// Something was refused or dropped by the layer itself: count it under this name, log it. The names are those of [`DROPPED`].
    Dropped {
        /// Where it came from, or would have gone.
        flow: Flow,
        /// Counter name.
        why: &'static str,
    },
}

/// Every counter name of [`Effect::Dropped`], with what it means.
pub const DROPPED: &[(&str, &str)] = &[
    ("not-sip", "a datagram or frame that is no SIP message; it was ignored"),
    ("too-long", "a message beyond the limit of octets; a request was answered with 513"),
    ("too-many-headers", "a message beyond the limit of header lines; a request was answered with 400"),
    ("malformed", "a request that breaks a rule of the protocol; answered with 400 or 505, an ACK ignored"),
    ("malformed-response", "a response that breaks a rule of the protocol; ignored"),
    ("misrouted-response", "a response with more than one Via (RFC 3261 8.1.3.3); ignored"),
    ("stray-response", "a response that belongs to no transaction of ours; ignored"),
    ("too-many-hops", "a request with Max-Forwards 0; answered with 483"),
    ("repaired", "a malformed request of a call for help, taken for what it was meant to be"),
    ("loop", "a request that came back to us unchanged; answered with 482"),
    ("merged", "a request that reached us by two ways (RFC 3261 8.2.2.2); the second answered with 482"),
    ("stray-cancel", "a CANCEL for no INVITE that we know; answered with 481"),
    ("too-many-transactions", "a request beyond the limit of server transactions; answered with 503 and Retry-After"),
    ("too-many-client-transactions", "a request of ours beyond the limit of client transactions; it failed at once"),
    ("unanswered", "an INVITE that the transaction user forgot; answered with 408"),
];

/// Why a client transaction ended without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Timer B or F (or C for INVITE that only ever got provisional responses).
    Timeout,
    /// The transport said so: refused, reset, unreachable. Also a request beyond [`Limits::client_transactions`](crate::Limits::client_transactions).
    Unreachable,
}
