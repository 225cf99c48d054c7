//! The transaction layer and its user's door (RFC 3261 section 17, RFC 6026, RFC 3581, RFC 4320): one [`Stack`] per shard.
//! SKELETON: signatures are the contract.

use crate::{
    Instant, Limits, Message,
    build::{Request, Response},
    random::Random,
    transport::Flow,
};
use bytes::Bytes;

/// A server transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId(pub u64);
/// A client transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// Everything that the transaction layer can ask of the world, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Put these bytes on the wire.
    Transmit { /// Way. 
        flow: Flow, /// Octets.
        bytes: Bytes },
    /// A new request to be answered with [`Stack::respond`] (INVITEs have been answered with 100 already).
    Request { /// Its transaction.
        id: ServerId, /// The request.
        message: Message, /// Where it came from.
        flow: Flow },
    /// The ACK of a 2xx: it has no transaction, its dialog finds it.
    Ack { /// The ACK.
        message: Message, /// Where it came from.
        flow: Flow },
    /// The INVITE was cancelled: answer it with 487. The CANCEL itself has been answered.
    Cancelled { /// The INVITE's transaction.
        id: ServerId, /// The CANCEL, for its Reason.
        message: Message },
    /// A response to our request: provisional, final, or (INVITE) one more 2xx, also retransmitted.
    Response { /// Its transaction.
        id: ClientId, /// The response.
        message: Message, /// Where it came from.
        flow: Flow },
    /// Our request got no final response.
    Failed { /// Its transaction.
        id: ClientId, /// Why.
        why: Failure },
    /// A final non-2xx answer to an INVITE was never acknowledged (timer H). Nothing to do but to know it.
    Unacknowledged { /// Its transaction.
        id: ServerId },
    /// Something was refused or dropped by the layer itself: count it under this name, log it.
    Dropped { /// Where it came from.
        flow: Flow, /// Counter name, e.g. `malformed`, `merged`, `loop`, `too-many-transactions`, `stray-response`.
        why: &'static str },
}

/// Why a client transaction ended without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure { /// Timer B or F (or C for INVITE that only ever got provisional responses).
    Timeout, /// The transport said so: refused, reset, unreachable.
    Unreachable }

/// The timer that a deadline belongs to, by its name in RFC 3261 table 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Timer { A, B, C, D, E, F, G, H, I, J, K, L, M }

/// Effects of one step, in order. The caller owns it and drains it; the stack never keeps one.
pub type Outbox = Vec<Effect>;

/// All transactions of one shard.
#[derive(Debug)]
pub struct Stack { limits: Limits, random: Random }

impl Stack {
    /// An empty stack. `random` makes branches, tags of stateless answers and the keys of its tables.
    #[must_use]
    pub fn new(limits: Limits, random: Random) -> Self { Self { limits, random } }
    /// The generator, for tags and Call-IDs of the layer above.
    pub fn random(&mut self) -> &mut Random { &mut self.random }

    /// Takes in one datagram or framed message: parses, checks, answers what is malformed (400, 505, 483 when Max-Forwards is 0 except OPTIONS, 482 merged or looped, 503 at the limit),
    /// adds `received`/`rport` to the top Via as later responses must show them (RFC 3581), absorbs retransmissions, matches responses, CANCEL and ACK.
    pub fn receive(&mut self, _bytes: Bytes, _flow: Flow, _now: Instant, _out: &mut Outbox) { todo!() }
    /// Sends a response of the transaction user. 2xx to INVITE moves to Accepted (RFC 6026): further calls with a 2xx send it again.
    /// Unknown or ended transactions ignore it.
    pub fn respond(&mut self, _id: ServerId, _response: Response, _now: Instant, _out: &mut Outbox) { todo!() }
    /// Starts a client transaction: adds Via with a fresh branch and `rport`, sends, arms timers.
    pub fn request(&mut self, _request: Request, _flow: Flow, _now: Instant, _out: &mut Outbox) -> ClientId { todo!() }
    /// Sends a request without a transaction: the ACK of a 2xx.
    pub fn transmit(&mut self, _request: Request, _flow: Flow, _out: &mut Outbox) { todo!() }
    /// Cancels an INVITE (RFC 3261 9.1): at once after a provisional response, else when the first arrives; nothing once it is final. Extra header
    /// lines (Reason) are written from `reason`.
    pub fn cancel(&mut self, _id: ClientId, _reason: Option<&str>, _now: Instant, _out: &mut Outbox) { todo!() }
    /// The transport failed on this flow: its client transactions fail at once (8.1.3.1, ICMP, reset). A datagram flow matches by remote address.
    pub fn unreachable(&mut self, _flow: Flow, _now: Instant, _out: &mut Outbox) { todo!() }
    /// When [`Stack::expire`] is next due, and for which timer.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Timer)> { todo!() }
    /// Fires what is due at `now`. Extra calls do nothing.
    pub fn expire(&mut self, _now: Instant, _out: &mut Outbox) { todo!() }
    /// Live server and client transactions.
    #[must_use]
    pub fn transactions(&self) -> (usize, usize) { todo!() }
}
