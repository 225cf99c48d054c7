//! The bridge: the caller's dialog on one side, the dialogs of everybody who rings on the other, joined into one call (RFC 7092).
//!
//! It carries a [`Resolved`] plan out: dials the legs of a stage together, relays provisional responses, lets the first answer win, cancels
//! the losers, goes on to the next stage where the plan says so, and then relays whatever the two sides say to each other until one of them
//! hangs up or is found dead. What phones agree end to end (SDP, options, session timers, PRACK) passes through untouched.
//!
//! A value: events and the time go in through [`Bridge::on`], [`Effect`]s come out.

mod leg;
mod relay;
#[cfg(test)]
mod tests;
pub(crate) mod write;

pub use write::contact;

use crate::{
    decision::Refusal,
    facts::Call,
    plan::Resolved,
    record::{CallRecord, LegRecord},
    site::Site,
};
use leg::{Leg, LegState};
use relay::Relay;
use sip::{
    Instant, Message,
    build::{Request, Response},
    dialog::Dialog,
    random::{Random, Token},
    stack::{Failure, ServerId},
    transport::Flow,
};
use std::{sync::Arc, time::Duration};

/// How long an answered caller may leave the 2xx unacknowledged: 64*T1 (RFC 3261 13.3.1.4).
const ACK_WAIT: Duration = Duration::from_secs(32);
/// How often both sides of a talking call are asked whether they are still there. Phones with session timers (RFC 4028) find out by
/// themselves; this is for those without.
const CHECK_EVERY: Duration = Duration::from_secs(300);

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
    /// Answer a server transaction.
    Respond {
        /// Which.
        id: ServerId,
        /// With what.
        response: Response,
    },
    /// Send the ACK of a 2xx.
    Ack {
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
        reason: Option<&'static str>,
    },
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
    /// The time of [`Bridge::deadline`] has come.
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
    /// The caller did not acknowledge the answer.
    Ack,
    /// Time to ask whether both sides are still there.
    Check,
}

/// One joined pair of dialogs: what the caller sees as one (early) dialog is one (early) dialog of a target.
#[derive(Debug)]
struct Pair {
    leg: usize,
    caller: Dialog,
    callee: Dialog,
}

/// A side of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Caller,
    Callee,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl Pair {
    const fn side(&self, side: Side) -> &Dialog {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut Dialog {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No 2xx yet.
    Ringing,
    /// A 2xx went to the caller; the pair is the winner's.
    Answered(usize),
    /// Over; only cleaning up.
    Ended,
}

/// What a request of ours was for.
#[derive(Debug)]
enum Sent {
    Invite(usize),
    Relay(Relay),
    Check,
    Bye,
}

/// One call. Owns its legs and, through them, their trunk channels.
#[derive(Debug)]
pub struct Bridge {
    site: Arc<Site>,
    call: Call,
    invite: ServerId,
    caller: Dialog,
    plan: Resolved,
    stage: usize,
    state: State,
    legs: Vec<Leg>,
    pairs: Vec<Pair>,
    sent: Vec<(SendId, Sent)>,
    next_send: SendId,
    acks: Vec<relay::AckRoute>,
    best: Option<Best>,
    stage_ends: Option<Instant>,
    answer_wait_ends: Option<Instant>,
    ring_ends: Instant,
    ack_ends: Option<Instant>,
    check_at: Option<Instant>,
    answered_at: Option<Instant>,
    /// Makes Call-IDs that lead back to our shard.
    call_id: fn(&mut Random, usize, usize) -> String,
    shard: (usize, usize),
}

/// The best refusal so far of the targets that were rung (RFC 3261 16.7 step 6).
#[derive(Clone, Debug)]
enum Best {
    Message(Message),
    Status(u16, &'static str),
}

impl Best {
    fn status(&self) -> u16 {
        match self {
            Self::Message(m) => m.status(),
            Self::Status(status, _) => *status,
        }
    }

    /// Smaller is better: 6xx first, then the lowest class; within 4xx those that tell the caller what to do.
    fn rank(&self) -> (u16, u16) {
        let status = self.status();
        match status {
            600.. => (0, 0),
            // Authentication, parameters and "try again" say more than a plain 4xx (16.7 step 6).
            401 | 407 | 415 | 420 | 484 => (status / 100, 0),
            // A phone that is busy says more about the person than one that is away.
            486 => (4, 1),
            // Nobody there at all is the least that can be said.
            408 | 480 => (4, 3),
            _ => (status / 100, 2),
        }
    }
}

/// Where a bridge lives: which shard of how many, and how Call-IDs are made that lead back to it.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// Number of the shard.
    pub index: usize,
    /// How many shards there are.
    pub shards: usize,
    /// Makes a Call-ID for shard `index` of `shards`.
    pub call_id: fn(&mut Random, usize, usize) -> String,
}

impl Bridge {
    /// A call that has been decided and not yet dialled. `None` when the INVITE cannot start a dialog (no From tag, no Contact).
    #[must_use]
    pub fn new(site: Arc<Site>, call: Call, invite: ServerId, plan: Resolved, home: Home, now: Instant) -> Option<Self> {
        let caller = Dialog::as_server(&call.message, "", call.flow)?;
        let ring_ends = now + site.limits.ring_total;
        Some(Self {
            site,
            call,
            invite,
            caller,
            plan,
            stage: 0,
            state: State::Ringing,
            legs: Vec::new(),
            pairs: Vec::new(),
            sent: Vec::new(),
            next_send: 0,
            acks: Vec::new(),
            best: None,
            stage_ends: None,
            answer_wait_ends: None,
            ring_ends,
            ack_ends: None,
            check_at: None,
            answered_at: None,
            call_id: home.call_id,
            shard: (home.index, home.shards),
        })
    }

    /// The call as it was decided.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The caller's INVITE transaction.
    #[must_use]
    pub const fn invite(&self) -> ServerId {
        self.invite
    }

    /// Every target that was dialled so far.
    #[must_use]
    pub fn dialled(&self) -> Vec<LegRecord> {
        let leg = |leg: &Leg| LegRecord {
            call_id: String::from_utf8_lossy(&leg.template.call_id).into_owned(),
            who: leg.party(),
            at: leg.target.flow.remote,
        };
        self.legs.iter().map(leg).collect()
    }

    /// Whether the call is over and nothing that it sent is still unanswered: it can be forgotten.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.state == State::Ended && self.legs.iter().all(|leg| leg.state == LegState::Dead)
    }

    /// Whether an answer to this request can still come.
    #[must_use]
    pub fn awaits(&self, id: SendId) -> bool {
        self.sent.iter().any(|(sent, _)| *sent == id)
    }

    /// When [`Event::Expire`] is due, and for which timer.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Ringing => [
                self.answer_wait_ends.map(|at| (at, Timer::AnswerWait)),
                self.stage_ends.map(|at| (at, Timer::Ring)),
                Some((self.ring_ends, Timer::RingTotal)),
            ]
            .into_iter()
            .flatten()
            .min(),
            State::Answered(_) => [
                self.acks.iter().filter_map(relay::AckRoute::due).min().map(|at| (at, Timer::Repeat)),
                self.ack_ends.map(|at| (at, Timer::Ack)),
                self.check_at.map(|at| (at, Timer::Check)),
            ]
            .into_iter()
            .flatten()
            .min(),
            State::Ended => None,
        }
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event<'_>, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        match event {
            Event::Start => self.dial_stage(now, random, out),
            Event::Request { id, message, flow } => self.on_request(id, message, flow, now, out),
            Event::Ack { message } => self.on_ack(message, now, out),
            Event::Cancelled { id } => self.on_cancelled(id, now, out),
            Event::Response { id, message, flow } => self.on_response(id, message, flow, now, random, out),
            Event::Failed { id, why } => self.on_failed(id, why, now, random, out),
            Event::Expire => self.on_expire(now, random, out),
        }
    }

    fn on_cancelled(&mut self, id: ServerId, now: Instant, out: &mut Vec<Effect>) {
        if id == self.invite {
            // RFC 3261 9.2: an INVITE without a final answer is answered 487.
            if self.state == State::Ringing {
                self.refuse_caller(&Refusal::new(487, "Request Terminated", "cancelled by the caller"), out);
                self.end(487, "cancelled", now, out);
            }
        } else {
            self.cancel_relay(id, out);
        }
    }

    fn on_response(&mut self, id: SendId, message: &Message, flow: Flow, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == id) else { return };
        match self.sent.get(place) {
            Some((_, Sent::Invite(leg))) => {
                let leg = *leg;
                self.on_invite_response(leg, message, flow, now, random, out);
            }
            Some((_, Sent::Relay(_))) => self.on_relay_response(place, message, now, out),
            Some((_, Sent::Check)) => {
                if message.status() >= 200 {
                    self.sent.swap_remove(place);
                    if matches!(message.status(), 408 | 481) {
                        self.hang_up(None, "one side is gone", now, out);
                    }
                }
            }
            Some((_, Sent::Bye)) | None => {
                if message.status() >= 200 {
                    self.sent.swap_remove(place);
                }
            }
        }
    }

    fn on_failed(&mut self, id: SendId, why: Failure, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == id) else { return };
        match self.sent.swap_remove(place).1 {
            Sent::Invite(leg) => {
                let best = match why {
                    Failure::Timeout => Best::Status(408, "Request Timeout"),
                    Failure::Unreachable => Best::Status(480, "Temporarily Unavailable"),
                };
                self.note_trunk(leg, false);
                self.leg_failed(leg, best, true, now, random, out);
            }
            Sent::Relay(relay) => self.on_relay_failed(&relay, now, out),
            // RFC 3261 12.2.1.2: no answer inside a dialog ends the dialog.
            Sent::Check => self.hang_up(None, "one side is gone", now, out),
            Sent::Bye => {}
        }
    }

    fn on_expire(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        while let Some((at, timer)) = self.deadline() {
            if at > now {
                return;
            }
            match timer {
                Timer::AnswerWait => {
                    self.answer_wait_ends = None;
                    self.give_up_silent_legs(now, random, out);
                }
                Timer::Ring => {
                    self.stage_ends = None;
                    self.stage_timed_out(now, random, out);
                }
                Timer::RingTotal => {
                    self.refuse_caller(&Refusal::new(480, "No Answer", "nobody answered"), out);
                    self.end(480, "no answer", now, out);
                }
                Timer::Repeat => self.repeat_answers(now, out),
                Timer::Ack => {
                    // RFC 3261 13.3.1.4: when no ACK arrives within 64*T1 the session is ended with BYE.
                    self.ack_ends = None;
                    self.hang_up(None, "the answer was never acknowledged", now, out);
                }
                Timer::Check => {
                    self.check_at = Some(now + CHECK_EVERY);
                    self.check_sides(out);
                }
            }
        }
    }

    /// Ends the call: whatever still rings is cancelled, what waits for an answer gets one, tokens go back when the legs are dropped.
    fn end(&mut self, status: u16, cause: &'static str, now: Instant, out: &mut Vec<Effect>) {
        if self.state == State::Ended {
            return;
        }
        let answered_by = match self.state {
            State::Answered(pair) => self.pairs.get(pair).and_then(|pair| self.legs.get(pair.leg)).map(Leg::party),
            State::Ringing | State::Ended => None,
        };
        self.cancel_ringing(None, None, out);
        self.answer_pending_relays(out);
        self.state = State::Ended;
        for leg in &mut self.legs {
            leg.release();
        }
        let unanswered = CallRecord::unanswered(&self.call, status, cause, now);
        out.push(Effect::End(CallRecord { answered_by, answered: self.answered_at, ..unanswered }));
    }

    fn send(&mut self, request: Request, flow: Flow, what: Sent, out: &mut Vec<Effect>) -> SendId {
        let id = self.next_send;
        self.next_send = self.next_send.wrapping_add(1);
        self.sent.push((id, what));
        out.push(Effect::Send { id, request, flow });
        id
    }
}
