//! Dialogs (RFC 3261 section 12): who talks to whom, in which order, by which route.
//! SKELETON: signatures are the contract.

use crate::{Message, build::Writer, message::Method, transport::Flow};

/// One side's view of a dialog, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag.
    pub local_tag: Vec<u8>,
    /// The peer's tag; empty until the first response with one.
    pub remote_tag: Vec<u8>,
    /// The whole From/To value that names us, tag included.
    pub local: Vec<u8>,
    /// The whole From/To value that names the peer, tag included.
    pub remote: Vec<u8>,
    /// Where requests go: the URI of the peer's Contact (RFC 3261 12.1), refreshed by target refresh requests (12.2).
    pub remote_target: Vec<u8>,
    /// Route values in the order in which they are written.
    pub route_set: Vec<Vec<u8>>,
    /// CSeq of our last request; 0 before the first.
    pub local_cseq: u32,
    /// CSeq of the peer's last request, when there was one.
    pub remote_cseq: Option<u32>,
    /// The way to the peer's next hop.
    pub flow: Flow,
}

impl Dialog {
    /// The dialog that our answer to `request` creates (12.1.1).
    #[must_use]
    pub fn as_server(_request: &Message, _local_tag: &str, _flow: Flow) -> Option<Self> { todo!() }

    /// The dialog of a request that we are about to send, before any response: local tag, Call-ID and URIs known, remote tag not.
    /// `local` and `remote` are From and To values without tags.
    #[must_use]
    pub fn as_client(_call_id: &str, _local: &[u8], _local_tag: &str, _remote: &[u8], _target: &[u8], _flow: Flow) -> Self { todo!() }

    /// Takes over tag, target and route set of a response above 100 to our INVITE (12.1.2). Each fork of a downstream proxy is a clone of its own.
    pub fn learn(&mut self, _response: &Message) { todo!() }

    /// Replaces the remote target by the Contact of a target refresh request or of its 2xx (12.2).
    pub fn refresh_target(&mut self, _message: &Message) { todo!() }

    /// Begins the next request inside the dialog: request line, Route (loose and strict, 12.2.1.1), From, To, Call-ID, CSeq (next number), Max-Forwards.
    /// ACK must use [`Dialog::ack`], CANCEL is the stack's.
    #[must_use]
    pub fn request(&mut self, _method: Method, _token: &[u8], _max_forwards: u32) -> Writer { todo!() }

    /// Begins the ACK for the 2xx of the INVITE with CSeq `number` (13.2.2.4).
    #[must_use]
    pub fn ack(&self, _number: u32) -> Writer { todo!() }

    /// Judges the CSeq of a request of the peer and remembers it: `false` = lower than the last one, answer 500 (12.2.2).
    #[must_use]
    pub fn in_order(&mut self, _request: &Message) -> bool { todo!() }
}
