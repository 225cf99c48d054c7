//! What a policy can say. These are values: the host carries them out, no component runs in the middle of a call.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why something was refused, for two listeners: the phone sees `status` and `phrase`, the operator's log line also `detail`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// SIP status, 400 to 699.
    pub status: u16,
    /// Short reason phrase for the phone's display, without CR and LF.
    pub phrase: String,
    /// What the operator should know; never sent.
    pub detail: String,
}

impl Refusal {
    /// A refusal whose phrase is fixed.
    #[must_use]
    pub fn new(status: u16, phrase: &str, detail: impl Into<String>) -> Self {
        Self { status, phrase: phrase.to_owned(), detail: detail.into() }
    }
}

/// A routing policy's answer to one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Not mine; ask the next policy, which sees the call as amended.
    Pass(Amendments),
    /// Take the call this way. Ends the chain.
    Route(Plan),
    /// Refuse the call. Ends the chain.
    Refuse(Refusal),
}

/// What a passing policy changes for those after it and for the call itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Amendments {
    /// Replaces the called number.
    pub called: Option<String>,
    /// Replaces the number shown to the callee.
    pub caller_number: Option<String>,
    /// Replaces the name shown to the callee.
    pub caller_name: Option<String>,
    /// Adds or replaces named attributes, read by later policies and written to the call record.
    pub attributes: Vec<(String, String)>,
}

/// How a call is to be tried: stages one after the other, the targets of one stage all at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// In order; an empty plan is a fault of the policy.
    pub stages: Vec<Stage>,
}

/// Targets that ring together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stage {
    /// All are tried at once.
    pub targets: Vec<Target>,
    /// How long this stage may ring; the site's limit when `None`.
    pub ring: Option<Duration>,
    /// After which outcomes the next stage is tried; any other final answer ends the call.
    pub next: NextOn,
}

/// The outcomes after which a call goes on to the next stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NextOn {
    /// Somebody was busy (486, 600).
    pub busy: bool,
    /// Nobody answered within the stage's ring time (also 480, 408 of a target).
    pub no_answer: bool,
    /// Nobody could be reached: no binding, transport failure, time-out without provisional response, 5xx, no channel.
    pub unreachable: bool,
}

impl Default for NextOn {
    fn default() -> Self {
        Self { busy: false, no_answer: true, unreachable: true }
    }
}

/// One thing to ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every binding of the endpoint, or of the user's endpoints, with this id.
    Endpoint(String),
    /// A number out through a trunk.
    Trunk(TrunkTarget),
}

/// A call out through a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrunkTarget {
    /// The trunk's name.
    pub trunk: String,
    /// The number to dial, as the provider wants it; the called number of the call when empty. A `urn:` is sent as it is.
    pub number: String,
    /// The number to show; the caller's own when `None`.
    pub caller_number: Option<String>,
}

/// The emergency policy's answer. It has no word for no.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EmergencyPlan {
    /// Tried in this order, one at a time. The host appends the trunks of its own plan that are missing here.
    pub trunks: Vec<TrunkTarget>,
}

/// An admission policy's answer to one registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Not mine; ask the next policy. When all pass, the registration is accepted without a seat.
    Pass,
    /// Accept, drawing a seat from a pool. Ends the chain.
    Admit(SeatRequest),
    /// Refuse. Ends the chain.
    Refuse(Refusal),
}

/// Which seat a registration draws.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeatRequest {
    /// The pool.
    pub pool: String,
    /// What happens when the pool has no seat for this phone ([`crate::licence::NoSeat`]).
    pub when_full: WhenFull,
}

/// What a phone gets that finds no seat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// The registration is refused.
    Refuse(Refusal),
    /// The registration is accepted; the phone may call emergency numbers only.
    EmergencyOnly,
}

/// A policy that failed: never a "no", always an operator's matter. The rule `on_fault` of the policy says what happens next.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyFault {
    /// The component trapped.
    #[error("trapped: {0}")]
    Trap(String),
    /// The deadline passed.
    #[error("did not answer within {0:?}")]
    Late(Duration),
    /// A bound other than time bit: memory, stack, host calls, size of the answer.
    #[error("went over its bound: {0}")]
    Bound(String),
    /// The answer breaks the contract: empty plan, unknown trunk or endpoint, a status outside 400 to 699…
    #[error("answered nonsense: {0}")]
    Nonsense(String),
    /// It failed too often lately and is not asked.
    #[error("is left out because it failed too often")]
    Resting,
    /// The component is not there.
    #[error("is not loaded")]
    Absent,
}

impl PolicyFault {
    /// Its kind in a word: `trap`, `late`, `bound`, `nonsense`, `resting`, `absent`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Late(_) => "late",
            Self::Bound(_) => "bound",
            Self::Nonsense(_) => "nonsense",
            Self::Resting => "resting",
            Self::Absent => "absent",
        }
    }
}
