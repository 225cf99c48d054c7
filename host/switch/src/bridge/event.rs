//! What goes into a bridge and what comes out of it.

use super::{DialogId, Found, Half, HuntId};
use crate::{decision::Refusal, facts::Call, park::Slot, plan::Resolved, record::CallRecord, trunk::Evicted};
use sip::{
    Message,
    build::{Request, Response},
    random::Token,
    stack::{Failure, ServerId},
    transport::Flow,
};

/// Names one request that the bridge has sent, until its final answer.
pub type SendId = u32;

/// Everything that a bridge can ask of the world.
#[derive(Debug)]
pub enum Effect {
    /// Start a client transaction.
    Send {
        /// Answers and failures come back under this id.
        id: SendId,
        /// The request.
        request: Request,
        /// The way.
        flow: Flow,
    },
    /// Make the client transaction of an INVITE again that was sent before a restart.
    Again(super::Again),
    /// From now on answers to this request go this way: its sender has connected anew.
    Redirect {
        /// Which.
        id: ServerId,
        /// The way.
        flow: Flow,
    },
    /// From now on a request that was sent goes this way when it is sent again or cancelled.
    Reroute {
        /// Which.
        id: SendId,
        /// The way.
        flow: Flow,
    },
    /// Answer a server transaction.
    Respond {
        /// Which.
        id: ServerId,
        /// With what.
        response: Response,
    },
    /// Send the ACK of a 2xx, now and whenever the 2xx comes again ([`sip::stack::Stack::acknowledge`]).
    Ack {
        /// The INVITE.
        of: SendId,
        /// The To tag of the 2xx.
        tag: Vec<u8>,
        /// The ACK.
        request: Request,
        /// The way.
        flow: Flow,
    },
    /// Cancel an INVITE that was sent.
    Cancel {
        /// Which.
        id: SendId,
        /// Value of a Reason header (RFC 3326).
        reason: Option<Box<str>>,
    },
    /// Ask the policies where a call goes on to; the answer is [`Event::Routed`] under the same hunt.
    Route {
        /// Who asks.
        hunt: HuntId,
        /// The call as it goes on; its caller is the one whose rights count.
        call: Box<Call>,
    },
    /// Find the call that has this dialog, wherever it lives, and have it give away whom its peer talks to ([`super::Bridge::give`]); the answer is
    /// [`Event::Taken`] under the same hunt.
    Take {
        /// Who asks.
        hunt: HuntId,
        /// The dialog of the one who is replaced.
        dialog: DialogId,
    },
    /// Bring this caller to the call where a phone rings in `dialog`, wherever it lives ([`super::Bridge::bring`]); the answer is [`Event::Brought`].
    Bring {
        /// The dialog of the phone that rings.
        dialog: DialogId,
        /// The caller's dialog with us.
        half: Box<Half>,
    },
    /// From now on messages of this dialog belong to this bridge, which has taken it from another call.
    Adopt {
        /// Its Call-ID, which may lead to another shard.
        call_id: Vec<u8>,
        /// Our tag.
        tag: Vec<u8>,
    },
    /// Another call is to end, wherever it lives: its channel is needed for this call for help ([`super::Bridge::evicted`]). Nobody waits for that.
    Evict(Evicted),
    /// A limit has bitten: the name of its counter.
    Limit(&'static str),
    /// From now on requests with this To tag belong to this bridge.
    Own(Token),
    /// The call is over. Comes exactly once; what still arrives for the bridge afterwards is only cleaning up.
    End(CallRecord),
}

/// What can happen to a call.
#[derive(Debug)]
pub enum Event<'a> {
    /// Dial the first stage.
    Start,
    /// A request inside one of the call's dialogs.
    Request {
        /// Its transaction.
        id: ServerId,
        /// The request.
        message: &'a Message,
        /// Where it came from.
        flow: Flow,
    },
    /// The ACK of a 2xx that we relayed.
    Ack {
        /// The ACK.
        message: &'a Message,
    },
    /// An INVITE of a peer was cancelled by it.
    Cancelled {
        /// Its transaction.
        id: ServerId,
        /// Why: the Reason of the CANCEL (RFC 3326).
        reason: Option<&'a str>,
    },
    /// An answer to something that we sent.
    Response {
        /// What was sent.
        id: SendId,
        /// The answer.
        message: &'a Message,
        /// Where it came from.
        flow: Flow,
    },
    /// Something that we sent got no answer.
    Failed {
        /// What was sent.
        id: SendId,
        /// Why.
        why: Failure,
    },
    /// Where a call goes on to, or why it may not.
    Routed {
        /// Who asked.
        hunt: HuntId,
        /// The answer.
        plan: Result<Resolved, Refusal>,
    },
    /// What was found of a dialog that is to be replaced, or why nothing was.
    Taken {
        /// Who asked.
        hunt: HuntId,
        /// For what.
        dialog: DialogId,
        /// The answer.
        found: Result<Found, Refusal>,
    },
    /// What became of [`Effect::Bring`].
    Brought {
        /// The caller, when it was not wanted any more.
        back: Option<Box<Half>>,
    },
    /// Where a call goes on to is a park slot, which it has now.
    Park {
        /// Who asked.
        hunt: HuntId,
        /// The slot.
        slot: Slot,
    },
    /// Whoever runs the gateway ends the call.
    HangUp,
    /// The time of [`super::Bridge::deadline`] has come.
    Expire,
}

/// The timer that a deadline belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// A target gave no sign of life in time.
    AnswerWait,
    /// The stage has rung long enough.
    Ring,
    /// The call has rung long enough.
    RingTotal,
    /// An answer has not been acknowledged yet: it is sent again.
    Repeat,
    /// A provisional response has not been acknowledged yet: it is sent again.
    Prack,
    /// The caller did not acknowledge the answer.
    Ack,
    /// A transferor has not hung up.
    Leave,
    /// The transferee is asked again.
    Join,
    /// Time to look whether a phone whose connection is gone has another one.
    Look,
    /// Time to ask whether both sides are still there.
    Check,
    /// Nobody has picked a parked call up in time.
    Park,
    /// A call to the outside lasts, and what it costs is looked at.
    Toll,
}
