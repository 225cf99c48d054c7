//! The server transactions: RFC 3261 17.2, RFC 6026 7.1, RFC 4320.
//!
//! Each machine is one enum of states. `on` consumes the state and gives the next one; the moment kept beside a state is when
//! the timer of that name fires.

#![warn(clippy::wildcard_enum_match_arm)]

use super::{
    Timer,
    out::Out,
    timers::{C_SERVER, T1, T1_64, T2, T4, TRYING},
};
use crate::{Instant, Message, transport::Flow};
use bytes::Bytes;
use std::time::Duration;

/// RFC 3261 figure 7 with the Accepted state of RFC 6026 figure 5.
#[derive(Clone, Debug)]
pub(crate) enum InviteServer {
    /// No final response yet; `last` is the newest provisional one, which is a 100 that nobody has seen yet as long as it waits for its moment, `trying`.
    Proceeding { last: Bytes, trying: Option<Instant>, c: Instant },
    /// 300 to 699 was sent and is sent again until it is acknowledged.
    Completed { answer: Bytes, interval: Duration, g: Option<Instant>, h: Instant },
    /// Acknowledged; further ACKs are absorbed.
    Confirmed { i: Instant },
    /// 2xx was sent: the transaction user sends it again until the ACK comes, here retransmitted INVITEs are absorbed.
    Accepted { l: Instant },
    /// Gone.
    Terminated,
}

/// What can happen to an INVITE server transaction.
#[derive(Clone, Debug)]
pub(crate) enum InviteServerEvent {
    /// The INVITE arrived again.
    Again,
    /// An ACK with the branch of the INVITE.
    Ack(Message, Flow),
    /// The transaction user answers 101 to 199.
    Provisional(Bytes),
    /// The transaction user answers 2xx.
    Success(Bytes),
    /// The transaction user answers 300 to 699.
    Refusal(Bytes),
    /// A timer fired.
    Timer(Timer),
}

impl InviteServer {
    /// "The server transaction MUST generate a 100 (Trying) response unless it knows that the TU will generate a provisional or final response
    /// within 200 ms" (17.2.1). Nearly always the challenge or the ringing of a phone comes in that time, so the 100 waits for as long; a caller whose
    /// INVITE is lost or late sends it again only after T1, and is answered at once then.
    pub(crate) fn start(trying: Bytes, now: Instant, out: &mut Out<'_>) -> Self {
        Self::Proceeding { last: trying, trying: Some(out.arm(Timer::Trying, now, TRYING)), c: out.arm(Timer::C, now, C_SERVER) }
    }

    pub(crate) fn on(self, event: InviteServerEvent, now: Instant, out: &mut Out<'_>) -> Self {
        use InviteServerEvent as E;
        match (self, event) {
            // "If a request retransmission is received while in the "Proceeding" state, the most recent provisional response that was
            // received from the TU MUST be passed to the transport layer for retransmission."
            (Self::Proceeding { last, c, .. }, E::Again) => {
                cov_mark::hit!(rfc3261_17_2_1_proceeding_again);
                out.transmit(&last);
                Self::Proceeding { last, trying: None, c }
            }
            // "… unless it knows that the TU will generate a provisional or final response within 200 ms, in which case it MAY generate a 100 (Trying)
            // response": it did not.
            (Self::Proceeding { last, c, .. }, E::Timer(Timer::Trying)) => {
                cov_mark::hit!(rfc3261_17_2_1_trying);
                out.transmit(&last);
                Self::Proceeding { last, trying: None, c }
            }
            // "The TU passes any number of provisional responses to the server transaction."
            (Self::Proceeding { .. }, E::Provisional(last)) => {
                out.transmit(&last);
                Self::Proceeding { last, trying: None, c: out.arm(Timer::C, now, C_SERVER) }
            }
            // RFC 6026 7.1: with a 2xx from the TU "the server transaction MUST transition to the "Accepted" state", and timer L is set to 64*T1
            // "for all transports".
            (Self::Proceeding { .. }, E::Success(answer)) => {
                cov_mark::hit!(rfc6026_7_1_accepted);
                out.transmit(&answer);
                Self::Accepted { l: out.arm(Timer::L, now, T1_64) }
            }
            // 300 to 699: "the state machine enters the "Completed" state. For unreliable transports, timer G is set to fire in T1 seconds",
            // and timer H in 64*T1 for all.
            (Self::Proceeding { .. }, E::Refusal(answer)) => {
                out.transmit(&answer);
                let g = (!out.reliable()).then(|| out.arm(Timer::G, now, T1));
                Self::Completed { answer, interval: T1, g, h: out.arm(Timer::H, now, T1_64) }
            }
            // No rule of the RFC ends an INVITE that the transaction user forgot; the stack answers 408 before it lets this timer in.
            (Self::Proceeding { .. }, E::Timer(Timer::C)) => Self::Terminated,

            // "If timer G fires, the response is passed to the transport layer once more … and timer G is set to fire in MIN(2*T1, T2)",
            // doubling until T2.
            (Self::Completed { answer, interval, h, .. }, E::Timer(Timer::G)) => {
                cov_mark::hit!(rfc3261_17_2_1_timer_g);
                out.transmit(&answer);
                let interval = (interval * 2).min(T2);
                Self::Completed { answer, interval, g: Some(out.arm(Timer::G, now, interval)), h }
            }
            // "If the request is retransmitted while in the "Completed" state, the server SHOULD pass the response to the transport for
            // retransmission."
            (Self::Completed { answer, interval, g, h }, E::Again) => {
                cov_mark::hit!(rfc3261_17_2_1_completed_again);
                out.transmit(&answer);
                Self::Completed { answer, interval, g, h }
            }
            // "If an ACK is received while the server transaction is in the "Completed" state, the server transaction MUST transition to
            // the "Confirmed" state", where timer I waits T4 for more ACKs, or not at all on reliable transports.
            (Self::Completed { .. }, E::Ack(..)) => {
                cov_mark::hit!(rfc3261_17_2_1_confirmed);
                if out.reliable() { Self::Terminated } else { Self::Confirmed { i: out.arm(Timer::I, now, T4) } }
            }
            // "If timer H fires while in the "Completed" state, it implies that the ACK was never received": the TU is told.
            (Self::Completed { .. }, E::Timer(Timer::H)) => {
                cov_mark::hit!(rfc3261_17_2_1_timer_h);
                out.unacknowledged();
                Self::Terminated
            }

            // "The purpose of the "Confirmed" state is to absorb any additional ACK messages"; timer I ends it.
            (Self::Confirmed { .. }, E::Timer(Timer::I)) => Self::Terminated,

            // RFC 6026 7.1: "any retransmissions of the INVITE received will match this transaction and are not passed to the TU".
            (Self::Accepted { l }, E::Again) => {
                cov_mark::hit!(rfc6026_7_1_absorb_invite);
                Self::Accepted { l }
            }
            // "When the "Accepted" state is entered … the 2xx from the TU passed to the transport": each one, as often as the TU sends it.
            (Self::Accepted { l }, E::Success(answer)) => {
                cov_mark::hit!(rfc6026_7_1_again_2xx);
                out.transmit(&answer);
                Self::Accepted { l }
            }
            // "If an ACK is received while in the "Accepted" state, the ACK MUST be passed directly to the TU."
            (Self::Accepted { l }, E::Ack(message, flow)) => {
                cov_mark::hit!(rfc6026_7_1_ack_to_tu);
                out.ack(message, flow);
                Self::Accepted { l }
            }
            (Self::Accepted { .. }, E::Timer(Timer::L)) => Self::Terminated,

            // What a state does not name it does not heed: an ACK before the answer, an answer after the first final one ("any other final
            // responses passed by the TU … MUST be discarded"), a timer of a state that was left.
            (state, E::Again | E::Ack(..) | E::Provisional(_) | E::Success(_) | E::Refusal(_) | E::Timer(_)) => state,
        }
    }

    /// The last provisional answer, when `timer` is the one that ends the waiting for a final one.
    pub(crate) fn unanswered(&self, timer: Timer) -> Option<Bytes> {
        match self {
            Self::Proceeding { last, .. } if timer == Timer::C => Some(last.clone()),
            Self::Proceeding { .. } | Self::Completed { .. } | Self::Confirmed { .. } | Self::Accepted { .. } | Self::Terminated => None,
        }
    }

    /// The newest answer that the peer has seen, as long as it is kept.
    pub(crate) const fn answer(&self) -> Option<&Bytes> {
        match self {
            Self::Proceeding { last: answer, .. } | Self::Completed { answer, .. } => Some(answer),
            Self::Confirmed { .. } | Self::Accepted { .. } | Self::Terminated => None,
        }
    }

    /// When `timer` fires in this state, if it does.
    pub(crate) fn armed(&self, timer: Timer) -> Option<Instant> {
        match (self, timer) {
            (Self::Proceeding { trying, .. }, Timer::Trying) => *trying,
            (Self::Proceeding { c, .. }, Timer::C) => Some(*c),
            (Self::Completed { g, .. }, Timer::G) => *g,
            (Self::Completed { h, .. }, Timer::H) => Some(*h),
            (Self::Confirmed { i }, Timer::I) => Some(*i),
            (Self::Accepted { l }, Timer::L) => Some(*l),
            _ => None,
        }
    }
}

/// RFC 3261 figure 8 with the corrections of RFC 4320.
#[derive(Clone, Debug)]
pub(crate) enum NonInviteServer {
    /// No answer yet. The RFC has no timer here; RFC 4320 4.2 forbids an answer once the client has given up, so J ends it then.
    Trying { j: Instant },
    /// Answered; `answer` is missing where RFC 4320 forbids one.
    Completed { answer: Option<Bytes>, j: Instant },
    /// Gone.
    Terminated,
}

/// What can happen to a non-INVITE server transaction.
#[derive(Clone, Debug)]
pub(crate) enum NonInviteServerEvent {
    /// The request arrived again.
    Again,
    /// The transaction user answers 200 to 699.
    Final(Bytes),
    /// The transaction user gives up without an answer.
    Silence,
    /// A timer fired.
    Timer(Timer),
}

impl NonInviteServer {
    pub(crate) fn start(now: Instant, out: &mut Out<'_>) -> Self {
        Self::Trying { j: out.arm(Timer::J, now, T1_64) }
    }

    pub(crate) fn on(self, event: NonInviteServerEvent, now: Instant, out: &mut Out<'_>) -> Self {
        use NonInviteServerEvent as E;
        match (self, event) {
            // "Once in the "Trying" state, any further request retransmissions are discarded."
            (Self::Trying { j }, E::Again) => {
                cov_mark::hit!(rfc3261_17_2_2_trying_again);
                Self::Trying { j }
            }
            // "When the server transaction enters the "Completed" state, it MUST set Timer J to fire in 64*T1 seconds for unreliable transports,
            // and zero seconds for reliable transports."
            (Self::Trying { .. }, E::Final(answer)) => {
                out.transmit(&answer);
                if out.reliable() {
                    cov_mark::hit!(rfc3261_17_2_2_reliable);
                    return Self::Terminated;
                }
                Self::Completed { answer: Some(answer), j: out.arm(Timer::J, now, T1_64) }
            }
            // RFC 4320 4.2: an element "MUST NOT send a 408 … to a non-INVITE request": its retransmissions are absorbed in silence.
            (Self::Trying { j }, E::Silence) => {
                if out.reliable() {
                    Self::Terminated
                } else {
                    Self::Completed { answer: None, j }
                }
            }
            // RFC 4320 4.2: no late answers.
            (Self::Trying { .. }, E::Timer(Timer::J)) => {
                cov_mark::hit!(rfc4320_4_2_no_late_answer);
                Self::Terminated
            }
            // "While in the "Completed" state, the server transaction MUST pass the final response to the transport layer for retransmission
            // whenever a retransmission of the request is received."
            (Self::Completed { answer, j }, E::Again) => {
                if let Some(answer) = &answer {
                    cov_mark::hit!(rfc3261_17_2_2_completed_again);
                    out.transmit(answer);
                }
                Self::Completed { answer, j }
            }
            // "The server transaction remains in this state until Timer J fires."
            (Self::Completed { .. }, E::Timer(Timer::J)) => Self::Terminated,
            // "Any other final responses passed by the TU to the server transaction MUST be discarded while in the "Completed" state."
            (state, E::Again | E::Final(_) | E::Silence | E::Timer(_)) => state,
        }
    }

    /// When `timer` fires in this state, if it does.
    pub(crate) fn armed(&self, timer: Timer) -> Option<Instant> {
        match (self, timer) {
            (Self::Trying { j } | Self::Completed { j, .. }, Timer::J) => Some(*j),
            _ => None,
        }
    }
}
