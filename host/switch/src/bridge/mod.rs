//! The bridge: the caller's dialog on one side, the dialogs of everybody who rings on the other, joined into one call (RFC 7092).
//!
//! It carries a [`Resolved`] plan out: dials the legs of a stage together, relays provisional responses, lets the first answer win, cancels
//! the losers, goes on to the next stage where the plan says so, and then relays whatever the two sides say to each other until one of them
//! hangs up or is found dead. What phones agree end to end (SDP, options, session timers, PRACK) passes through untouched.
//!
//! A value: events and the time go in through [`Bridge::on`], [`Effect`]s come out.

mod forward;
mod hunt;
mod leg;
mod relay;
mod replace;
#[cfg(test)]
mod tests;
mod transfer;
pub(crate) mod write;

pub use hunt::HuntId;
pub use replace::{DialogId, Half};
pub use write::contact;

use crate::{
    decision::Refusal,
    facts::Call,
    plan::Resolved,
    record::{CallRecord, LegRecord},
    site::Site,
};
use hunt::{Hunt, Origin};
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
    /// Ask the policies where a call goes on to; the answer is [`Event::Routed`] under the same hunt.
    Route {
        /// Who asks.
        hunt: HuntId,
        /// The call as it goes on; its caller is the one whose rights count.
        call: Box<Call>,
    },
    /// Find the call that has this dialog, wherever it lives, and have it give away whom its peer talks to ([`Bridge::give`]); the answer is
    /// [`Event::Taken`] under the same hunt.
    Take {
        /// Who asks.
        hunt: HuntId,
        /// The dialog of the one who is replaced.
        dialog: DialogId,
    },
    /// From now on messages of this dialog belong to this bridge, which has taken it from another call.
    Adopt {
        /// Its Call-ID, which may lead to another shard.
        call_id: Vec<u8>,
        /// Our tag.
        tag: Vec<u8>,
    },
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
    /// What another call has given away, or why it does not.
    Taken {
        /// Who asked.
        hunt: HuntId,
        /// The answer.
        half: Result<Box<Half>, Refusal>,
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
    /// A transferor has not hung up.
    Leave,
    /// The transferee is asked again.
    Join,
    /// Time to ask whether both sides are still there.
    Check,
}

/// Somebody we talk to: one dialog of ours.
#[derive(Debug)]
struct Party {
    dialog: Dialog,
    /// The leg that was dialled; `None` for the caller.
    leg: Option<usize>,
}

/// Two parties joined: what the caller sees as one (early) dialog is one (early) dialog of a target.
#[derive(Clone, Copy, Debug)]
struct Pair {
    caller: usize,
    callee: usize,
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
    const fn side(self, side: Side) -> usize {
        match side {
            Side::Caller => self.caller,
            Side::Callee => self.callee,
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
    /// How a transfer goes.
    Notify,
    /// The target's offer to the transferee.
    Join,
}

/// One call. Owns its legs and, through them, their trunk channels.
#[derive(Debug)]
pub struct Bridge {
    site: Arc<Site>,
    call: Call,
    invite: ServerId,
    caller: Dialog,
    /// Instead of dialling, the caller takes the place of this dialog's peer.
    replaces: Option<DialogId>,
    state: State,
    /// The first is the call itself.
    hunts: Vec<Hunt>,
    /// How often the call was forwarded.
    forwards: usize,
    legs: Vec<Leg>,
    parties: Vec<Party>,
    pairs: Vec<Pair>,
    sent: Vec<(SendId, Sent)>,
    next_send: SendId,
    acks: Vec<relay::AckRoute>,
    own_acks: Vec<transfer::OwnAck>,
    transfer: Option<transfer::Transfer>,
    /// How many transfers there were.
    transfers: usize,
    /// The transferor, when it hangs up before its transfer has worked.
    gone: Option<usize>,
    leaving: Vec<transfer::Leaving>,
    ack_ends: Option<Instant>,
    check_at: Option<Instant>,
    answered_at: Option<Instant>,
    answered_by: Option<String>,
    /// Makes Call-IDs that lead back to our shard.
    call_id: fn(&mut Random, usize, usize) -> String,
    shard: (usize, usize),
}

/// The best refusal so far of the targets that were rung (RFC 3261 16.7 step 6).
#[derive(Clone, Debug)]
enum Best {
    Message(Message),
    Refusal(Refusal),
}

impl Best {
    fn status(&self) -> u16 {
        match self {
            Self::Message(m) => m.status(),
            Self::Refusal(refusal) => refusal.status,
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
            replaces: None,
            state: State::Ringing,
            hunts: vec![Hunt::new(Origin::Caller, plan, Some(ring_ends))],
            forwards: 0,
            legs: Vec::new(),
            parties: Vec::new(),
            pairs: Vec::new(),
            sent: Vec::new(),
            next_send: 0,
            acks: Vec::new(),
            own_acks: Vec::new(),
            transfer: None,
            transfers: 0,
            gone: None,
            leaving: Vec::new(),
            ack_ends: None,
            check_at: None,
            answered_at: None,
            answered_by: None,
            call_id: home.call_id,
            shard: (home.index, home.shards),
        })
    }

    /// A caller that takes the place of the peer of one of our dialogs (INVITE with Replaces). `None` as [`Bridge::new`].
    #[must_use]
    pub fn replacing(site: Arc<Site>, call: Call, invite: ServerId, dialog: DialogId, home: Home, now: Instant) -> Option<Self> {
        let bridge = Self::new(site, call, invite, Resolved::default(), home, now)?;
        Some(Self { replaces: Some(dialog), ..bridge })
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
        if self.state == State::Ended {
            return None;
        }
        let hunts = self
            .hunts
            .iter()
            .flat_map(|hunt| [(hunt.answer_wait_ends, Timer::AnswerWait), (hunt.stage_ends, Timer::Ring), (hunt.ends, Timer::RingTotal)]);
        let repeat = self.acks.iter().filter_map(relay::AckRoute::due).min();
        let leave = self.leaving.iter().map(|leaving| leaving.at).min();
        let talking = [
            (repeat, Timer::Repeat),
            (self.ack_ends, Timer::Ack),
            (leave, Timer::Leave),
            (self.offer_due(), Timer::Join),
            (self.check_at, Timer::Check),
        ];
        hunts.chain(talking).filter_map(|(at, timer)| Some((at?, timer))).min()
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event<'_>, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        match event {
            Event::Start => match self.replaces.take() {
                Some(dialog) => out.push(Effect::Take { hunt: 0, dialog }),
                None => self.dial_stage(0, now, random, out),
            },
            Event::Taken { hunt, half } => self.taken(hunt, half, now, random, out),
            Event::Routed { hunt, plan } => self.routed(hunt, plan, now, random, out),
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
            Some((_, Sent::Join)) => self.on_join_response(id, message, now, random, out),
            Some((_, Sent::Bye | Sent::Notify)) | None => {
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
                    Failure::Timeout => Best::Refusal(Refusal::new(408, "Request Timeout", "a target did not answer")),
                    Failure::Unreachable => Best::Refusal(Refusal::new(480, "Temporarily Unavailable", "a target is unreachable")),
                };
                self.note_trunk(leg, false);
                self.leg_failed(leg, best, true, now, random, out);
            }
            Sent::Relay(relay) => self.on_relay_failed(&relay, now, out),
            // RFC 3261 12.2.1.2: no answer inside a dialog ends the dialog.
            Sent::Check => self.hang_up(None, "one side is gone", now, out),
            Sent::Join => self.transferee_gone(now, out),
            Sent::Bye | Sent::Notify => {}
        }
    }

    fn on_expire(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        while let Some((at, timer)) = self.deadline() {
            if at > now {
                return;
            }
            match timer {
                Timer::AnswerWait => {
                    if let Some(hunt) = self.due(at, |hunt| hunt.answer_wait_ends) {
                        self.give_up_silent_legs(hunt, now, random, out);
                    }
                }
                Timer::Ring => {
                    if let Some(hunt) = self.due(at, |hunt| hunt.stage_ends) {
                        self.stage_timed_out(hunt, now, random, out);
                    }
                }
                Timer::RingTotal if self.state != State::Ringing => {
                    if let Some(hunt) = self.due(at, |hunt| hunt.ends) {
                        self.hunt_over(hunt, now, random, out);
                    }
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
                Timer::Leave => self.dismiss(|at| at <= now, out),
                Timer::Join => self.offer_again(out),
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
        self.close(0);
        self.call_off(0, None, None, out);
        self.transfer_over(487, "Request Terminated", out);
        self.dismiss(|_| true, out);
        self.answer_pending_relays(out);
        self.state = State::Ended;
        for leg in &mut self.legs {
            leg.release();
        }
        let unanswered = CallRecord::unanswered(&self.call, status, cause, now);
        let answered_by = self.answered_by.take();
        out.push(Effect::End(CallRecord { answered_by, answered: self.answered_at, ..unanswered }));
    }

    fn due(&self, at: Instant, timer: impl Fn(&Hunt) -> Option<Instant>) -> Option<HuntId> {
        self.hunts.iter().position(|hunt| timer(hunt) == Some(at))
    }

    fn party(&self, pair: usize, side: Side) -> Option<&Party> {
        self.parties.get(self.pairs.get(pair)?.side(side))
    }

    fn party_mut(&mut self, pair: usize, side: Side) -> Option<&mut Party> {
        self.parties.get_mut(self.pairs.get(pair)?.side(side))
    }

    /// Our tag towards the caller, once there is one.
    fn caller_tag(&self) -> Option<String> {
        let caller = self.party(0, Side::Caller)?;
        Some(String::from_utf8_lossy(&caller.dialog.local_tag).into_owned())
    }

    fn send(&mut self, request: Request, flow: Flow, what: Sent, out: &mut Vec<Effect>) -> SendId {
        let id = self.next_send;
        self.next_send = self.next_send.wrapping_add(1);
        self.sent.push((id, what));
        out.push(Effect::Send { id, request, flow });
        id
    }
}
