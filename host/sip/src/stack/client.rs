//! The client transactions: RFC 3261 17.1, RFC 6026 7.2, and the cancelling of 9.1.
//!
//! Same shape as the server transactions: one enum of states, `on` consumes one and gives the next.

#![warn(clippy::wildcard_enum_match_arm)]

use super::{
    Failure, Timer, compose,
    out::Out,
    timers::{C_CLIENT, T1, T1_64, T2, T4},
};
use crate::{Instant, Message, transport::Flow};
use bytes::Bytes;
use std::time::Duration;

/// RFC 3261 figure 5 with the Accepted state of RFC 6026 figure 4.
#[derive(Clone, Debug)]
pub(crate) enum InviteClient {
    /// Nothing heard yet. `cancel`: give it up as soon as something is heard.
    Calling { request: Bytes, interval: Duration, a: Option<Instant>, b: Instant, cancel: bool },
    /// A provisional response came. `cancelled`: the CANCEL is out, and C is the time that the answer may still take.
    Proceeding { request: Bytes, c: Instant, cancelled: bool },
    /// 300 to 699 came and was acknowledged; retransmissions of it are acknowledged again.
    Completed { ack: Bytes, d: Instant },
    /// 2xx came; each that has not been acknowledged, of other forks too, goes to the transaction user.
    Accepted { m: Instant, acks: Vec<Acknowledged> },
    /// Gone.
    Terminated,
}

/// The ACK of one fork's 2xx, which is sent again when its 2xx comes again.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// The To tag of the fork.
    pub(crate) tag: Box<[u8]>,
    pub(crate) ack: Bytes,
    pub(crate) flow: Flow,
}

impl Acknowledged {
    /// The way on which the ACK goes again: a connection, on the one over which the 2xx has come now.
    fn way(&self, came: Flow) -> Flow {
        if self.flow.connection != 0 && self.flow.transport == came.transport { came } else { self.flow }
    }
}

/// What can happen to an INVITE client transaction.
#[derive(Clone, Debug)]
pub(crate) enum InviteClientEvent {
    /// A response with our branch.
    Response(Message, Flow),
    /// The transaction user gives up.
    Cancel,
    /// The transport cannot reach the peer.
    Unreachable,
    /// A timer fired.
    Timer(Timer),
}

impl InviteClient {
    /// "If an unreliable transport is being used, the client transaction MUST start timer A with a value of T1 … For any transport, the client
    /// transaction MUST start timer B with a value of 64*T1 seconds" (17.1.1.2).
    pub(crate) fn start(request: Bytes, now: Instant, out: &mut Out<'_>) -> Self {
        out.transmit(&request);
        let a = (!out.reliable()).then(|| out.arm(Timer::A, now, T1));
        Self::Calling { request, interval: T1, a, b: out.arm(Timer::B, now, T1_64), cancel: false }
    }

    pub(crate) fn on(self, event: InviteClientEvent, now: Instant, out: &mut Out<'_>) -> Self {
        use InviteClientEvent as E;
        match (self, event) {
            // "When timer A fires, the client transaction MUST retransmit the request by passing it to the transport layer, and MUST reset the
            // timer with a value of 2*T1", and so on, doubling.
            (Self::Calling { request, interval, b, cancel, .. }, E::Timer(Timer::A)) => {
                cov_mark::hit!(rfc3261_17_1_1_2_timer_a);
                out.transmit(&request);
                let interval = interval * 2;
                // The next one would come after timer B.
                let a = (interval < T1_64).then(|| out.arm(Timer::A, now, interval));
                Self::Calling { request, interval, a, b, cancel }
            }
            // "If the client transaction is still in the "Calling" state when timer B fires, the client transaction SHOULD inform the TU that
            // a timeout has occurred. The client transaction MUST NOT generate an ACK."
            (Self::Calling { .. }, E::Timer(Timer::B)) => {
                cov_mark::hit!(rfc3261_17_1_1_2_timer_b);
                out.failed(Failure::Timeout);
                Self::Terminated
            }
            // 9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent; rather, the client MUST wait for the
            // arrival of a provisional response before sending the request."
            (Self::Calling { request, interval, a, b, .. }, E::Cancel) => {
                cov_mark::hit!(rfc3261_9_1_wait);
                Self::Calling { request, interval, a, b, cancel: true }
            }
            // "If the client transaction receives a provisional response while in the "Calling" state, it transitions to the "Proceeding" state.
            // … the provisional response MUST be passed to the TU."
            (Self::Calling { request, cancel, .. }, E::Response(message, flow)) if message.status() < 200 => {
                out.response(message, flow);
                if cancel {
                    cov_mark::hit!(rfc3261_9_1_deferred);
                    return Self::cancel(request, now, out);
                }
                Self::Proceeding { request, c: out.arm(Timer::C, now, C_CLIENT), cancelled: false }
            }
            // "Any further provisional responses MUST be passed up to the TU while in the "Proceeding" state." Timer C starts again with
            // each but 100 (16.7); after a CANCEL it does not.
            (Self::Proceeding { request, c, cancelled }, E::Response(message, flow)) if message.status() < 200 => {
                let renewed = message.status() > 100 && !cancelled;
                let c = if renewed { out.arm(Timer::C, now, C_CLIENT) } else { c };
                out.response(message, flow);
                Self::Proceeding { request, c, cancelled }
            }
            (Self::Proceeding { request, cancelled: false, .. }, E::Cancel) => Self::cancel(request, now, out),
            // 16.8: "If the client transaction has received a provisional response, the proxy MUST generate a CANCEL request matching that transaction."
            (Self::Proceeding { request, cancelled: false, .. }, E::Timer(Timer::C)) => {
                cov_mark::hit!(rfc3261_16_8_timer_c);
                Self::cancel(request, now, out)
            }
            // 9.1: "If there is no final response for the original request in 64*T1 seconds … the client SHOULD then consider the original
            // transaction cancelled and SHOULD destroy the client transaction".
            (Self::Proceeding { cancelled: true, .. }, E::Timer(Timer::C)) => {
                cov_mark::hit!(rfc3261_9_1_no_final);
                out.failed(Failure::Timeout);
                Self::Terminated
            }
            // RFC 6026 7.2: a 2xx in Calling or Proceeding: "the client transaction MUST transition to the "Accepted" state", with timer M at 64*T1.
            (Self::Calling { .. } | Self::Proceeding { .. }, E::Response(message, flow)) if message.status() < 300 => {
                cov_mark::hit!(rfc6026_7_2_accepted);
                out.response(message, flow);
                Self::Accepted { m: out.arm(Timer::M, now, T1_64), acks: Vec::new() }
            }
            // "When in either the "Calling" or "Proceeding" states, reception of a response with status code from 300-699 MUST cause the client
            // transaction to transition to "Completed". The client transaction MUST pass the received response up to the TU, and … MUST
            // generate an ACK request". Timer D is 32 s for unreliable transports, zero for reliable ones.
            (Self::Calling { request, .. } | Self::Proceeding { request, .. }, E::Response(message, flow)) => {
                cov_mark::hit!(rfc3261_17_1_1_3_ack);
                let ack = compose::ack(&request, &message);
                out.transmit(&ack);
                out.response(message, flow);
                if out.reliable() { Self::Terminated } else { Self::Completed { ack, d: out.arm(Timer::D, now, T1_64) } }
            }
            // 17.1.4: with a transport failure "the TU is informed of the failure, and the client transaction … to the "Terminated" state".
            (Self::Calling { .. } | Self::Proceeding { .. }, E::Unreachable) => {
                out.failed(Failure::Unreachable);
                Self::Terminated
            }

            // "Any retransmissions of the final response that are received while in the "Completed" state MUST cause the ACK to be re-passed to
            // the transport layer for retransmission, but the newly received response MUST NOT be passed up to the TU."
            (Self::Completed { ack, d }, E::Response(message, _)) if message.status() >= 300 => {
                cov_mark::hit!(rfc3261_17_1_1_2_ack_again);
                out.transmit(&ack);
                Self::Completed { ack, d }
            }
            (Self::Completed { .. }, E::Timer(Timer::D)) => Self::Terminated,

            // RFC 6026 7.2: "any 2xx response … received while in the "Accepted" state MUST be passed to the TU", for which RFC 3261 13.2.2.4 has one
            // answer once it has been acknowledged: "The ACK MUST be passed to the client transport every time a retransmission of the 2xx final
            // response that triggered the ACK arrives." So that is done here, also when the call has ended or its party talks in another one.
            (Self::Accepted { m, acks }, E::Response(message, flow)) if (200..300).contains(&message.status()) => {
                let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
                if let Some(known) = acks.iter().find(|known| *known.tag == *tag) {
                    cov_mark::hit!(rfc3261_13_2_2_4_ack_again);
                    out.flow = known.way(flow);
                    out.transmit(&known.ack);
                } else {
                    cov_mark::hit!(rfc6026_7_2_more_2xx);
                    out.response(message, flow);
                }
                Self::Accepted { m, acks }
            }
            (Self::Accepted { .. }, E::Timer(Timer::M)) => Self::Terminated,

            // After the final response nothing else counts: late provisional ones, a CANCEL ("has no effect"), a broken connection, old timers.
            (state, E::Response(..) | E::Cancel | E::Unreachable | E::Timer(_)) => state,
        }
    }

    fn cancel(request: Bytes, now: Instant, out: &mut Out<'_>) -> Self {
        out.send_cancel = true;
        Self::Proceeding { request, c: out.arm(Timer::C, now, T1_64), cancelled: true }
    }

    /// When `timer` fires in this state, if it does.
    pub(crate) fn armed(&self, timer: Timer) -> Option<Instant> {
        match (self, timer) {
            (Self::Calling { a, .. }, Timer::A) => *a,
            (Self::Calling { b, .. }, Timer::B) => Some(*b),
            (Self::Proceeding { c, .. }, Timer::C) => Some(*c),
            (Self::Completed { d, .. }, Timer::D) => Some(*d),
            (Self::Accepted { m, .. }, Timer::M) => Some(*m),
            _ => None,
        }
    }

    /// Keeps the ACK of a 2xx, to be sent again; in another state there is none that could come again.
    pub(crate) fn acknowledged(&mut self, by: Acknowledged) {
        if let Self::Accepted { acks, .. } = self {
            acks.retain(|known| known.tag != by.tag);
            acks.reserve_exact(1);
            acks.push(by);
        }
    }

    /// The request, as long as no final response came.
    pub(crate) const fn request(&self) -> Option<&Bytes> {
        match self {
            Self::Calling { request, .. } | Self::Proceeding { request, .. } => Some(request),
            Self::Completed { .. } | Self::Accepted { .. } | Self::Terminated => None,
        }
    }
}

/// RFC 3261 figure 6.
#[derive(Clone, Debug)]
pub(crate) enum NonInviteClient {
    /// No final response yet. `provisional`: one came, so the intervals are at their longest.
    Trying { request: Bytes, interval: Duration, provisional: bool, e: Option<Instant>, f: Instant },
    /// Answered; retransmitted answers are absorbed.
    Completed { k: Instant },
    /// Gone.
    Terminated,
}

/// What can happen to a non-INVITE client transaction.
#[derive(Clone, Debug)]
pub(crate) enum NonInviteClientEvent {
    /// A response with our branch.
    Response(Message, Flow),
    /// The transport cannot reach the peer.
    Unreachable,
    /// A timer fired.
    Timer(Timer),
}

impl NonInviteClient {
    /// "When entering this state, the client transaction SHOULD set timer F to fire in 64*T1 seconds. … If an unreliable transport is in use, the
    /// client transaction MUST set timer E to fire in T1 seconds" (17.1.2.2).
    pub(crate) fn start(request: Bytes, now: Instant, out: &mut Out<'_>) -> Self {
        out.transmit(&request);
        let e = (!out.reliable()).then(|| out.arm(Timer::E, now, T1));
        Self::Trying { request, interval: T1, provisional: false, e, f: out.arm(Timer::F, now, T1_64) }
    }

    pub(crate) fn on(self, event: NonInviteClientEvent, now: Instant, out: &mut Out<'_>) -> Self {
        use NonInviteClientEvent as E;
        match (self, event) {
            // "If timer E fires while still in this state, the timer is reset, but this time with a value of MIN(2*T1, T2)"; and in Proceeding "with
            // a value of T2 seconds"; each time "the request MUST be passed to the transport layer for retransmission".
            (Self::Trying { request, interval, provisional, f, .. }, E::Timer(Timer::E)) => {
                cov_mark::hit!(rfc3261_17_1_2_2_timer_e);
                out.transmit(&request);
                let interval = if provisional { T2 } else { (interval * 2).min(T2) };
                Self::Trying { request, interval, provisional, e: Some(out.arm(Timer::E, now, interval)), f }
            }
            // "If Timer F fires while the client transaction is still in the "Trying" state, the client transaction SHOULD inform the TU about the
            // timeout"; the same in Proceeding.
            (Self::Trying { .. }, E::Timer(Timer::F)) => {
                cov_mark::hit!(rfc3261_17_1_2_2_timer_f);
                out.failed(Failure::Timeout);
                Self::Terminated
            }
            // "If a provisional response is received while in the "Trying" state, the response MUST be passed to the TU, and then the client
            // transaction SHOULD move to the "Proceeding" state."
            (Self::Trying { request, interval, e, f, .. }, E::Response(message, flow)) if message.status() < 200 => {
                cov_mark::hit!(rfc3261_17_1_2_2_proceeding);
                out.response(message, flow);
                Self::Trying { request, interval, provisional: true, e, f }
            }
            // A final response: "MUST be passed to the TU, and the client transaction MUST transition to the "Completed" state. … Timer K [is set]
            // to fire in T4 seconds for unreliable transports, and zero seconds for reliable transports."
            (Self::Trying { .. }, E::Response(message, flow)) => {
                out.response(message, flow);
                if out.reliable() { Self::Terminated } else { Self::Completed { k: out.arm(Timer::K, now, T4) } }
            }
            // 17.1.4: the transport failed.
            (Self::Trying { .. }, E::Unreachable) => {
                out.failed(Failure::Unreachable);
                Self::Terminated
            }
            // "The "Completed" state exists to buffer any additional response retransmissions that may be received".
            (Self::Completed { k }, E::Response(..)) => {
                cov_mark::hit!(rfc3261_17_1_2_2_absorb);
                Self::Completed { k }
            }
            (Self::Completed { .. }, E::Timer(Timer::K)) => Self::Terminated,
            (state, E::Response(..) | E::Unreachable | E::Timer(_)) => state,
        }
    }

    /// When `timer` fires in this state, if it does.
    pub(crate) fn armed(&self, timer: Timer) -> Option<Instant> {
        match (self, timer) {
            (Self::Trying { e, .. }, Timer::E) => *e,
            (Self::Trying { f, .. }, Timer::F) => Some(*f),
            (Self::Completed { k }, Timer::K) => Some(*k),
            _ => None,
        }
    }

    /// The request, as long as no final response came.
    pub(crate) const fn request(&self) -> Option<&Bytes> {
        match self {
            Self::Trying { request, .. } => Some(request),
            Self::Completed { .. } | Self::Terminated => None,
        }
    }
}
