//! The bridge: the caller's dialog on one side, the dialogs of everybody who rings on the other, joined into one call (RFC 7092).
//!
//! It carries a [`Resolved`] plan out: dials the legs of a stage together, relays provisional responses, lets the first answer win, cancels
//! the losers, goes on to the next stage where the plan says so, and then relays whatever the two sides say to each other until one of them
//! hangs up or is found dead. What phones agree end to end (SDP, options, session timers, PRACK) passes through untouched; where they cannot agree on
//! reliable provisional responses, `reliable` stands between them, and `order` keeps what they ask each other from crossing.
//!
//! A value: events and the time go in through [`Bridge::on`], [`Effect`]s come out.

mod alone;
mod best;
mod channels;
mod credentials;
mod detail;
mod event;
mod forward;
mod held;
mod help;
mod hunt;
mod keep;
mod leg;
mod lines;
mod order;
mod parked;
mod passage;
mod pickup;
mod placed;
mod relay;
mod reliable;
mod replace;
mod sight;
#[cfg(test)]
mod tests;
mod toll;
mod transfer;
mod way;
pub(crate) mod write;

pub use alone::Announced;
pub use event::{Effect, Event, SendId, Timer};
pub use hunt::HuntId;
pub(crate) use keep::endpoint as kept_endpoint;
pub use keep::{Again, Course, CourseOf, Facts, FactsOf, Stamps};
pub use placed::Order;
pub use replace::{DialogId, Found, Half};
pub use sight::Sight;
pub use write::contact;

use crate::{
    decision::Refusal,
    facts::{Call, CallKind},
    idle::Talk,
    plan::Resolved,
    record::{CallRecord, LegRecord, Said},
    site::Site,
    trunk::{Channel, Sign},
};
use alone::Alone;
use best::Best;
use hunt::{Hunt, Origin};
use leg::{Leg, LegState};
use relay::{Farewell, Relay};
use serde::{Deserialize, Serialize};
use sip::{
    Instant, Message,
    build::Request,
    dialog::Dialog,
    random::Random,
    stack::{Failure, ServerId},
    transport::Flow,
};
use std::{sync::Arc, time::Duration};

/// How long an answered caller may leave the 2xx unacknowledged: 64*T1 (RFC 3261 13.3.1.4).
const ACK_WAIT: Duration = Duration::from_secs(32);
/// The estimated round-trip time (RFC 3261 17.1.1.1).
const T1: Duration = Duration::from_millis(500);
/// How often both sides of a talking call are asked whether they are still there. Phones with session timers (RFC 4028) find out by
/// themselves; this is for those without.
const CHECK_EVERY: Duration = Duration::from_secs(300);

/// Somebody we talk to: one dialog of ours.
#[derive(Debug, Serialize, Deserialize)]
struct Party {
    dialog: Dialog,
    /// The leg that was dialled; `None` for the caller.
    leg: Option<usize>,
    /// Its `+sip.instance`, where it is known: by it the phone is found again whose connection is gone.
    instance: Option<String>,
    /// It has hung up before we had its answer.
    left: bool,
}

/// Two parties joined: what the caller sees as one (early) dialog is one (early) dialog of a target.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pair {
    caller: usize,
    callee: usize,
}

/// A side of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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
    /// Whether this side is still there.
    Check(Side),
    Bye,
    /// How a transfer goes.
    Notify,
    /// The target's offer to the transferee.
    Join,
    /// We have acknowledged a reliable provisional response.
    Prack,
    /// A party is to be held.
    Hold(usize),
}

/// One call. Owns its legs and, through them, their trunk channels.
#[derive(Debug)]
pub struct Bridge {
    site: Arc<Site>,
    call: Call,
    /// What its shard calls it.
    name: u64,
    /// The channel of a call that comes from a trunk.
    inbound: Option<Channel>,
    /// The caller's INVITE; `None`: the gateway places the call itself.
    invite: Option<ServerId>,
    caller: Dialog,
    /// What the caller says about reliable provisional responses.
    wants: reliable::Wants,
    reliables: Vec<reliable::Reliable>,
    /// Instead of dialling, the caller takes the place of this dialog's peer.
    replaces: Option<DialogId>,
    /// The caller takes a call that rings elsewhere.
    pickup: Option<Box<pickup::Pickup>>,
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
    /// How many 2xx to INVITEs inside the dialogs were passed on.
    answers: u32,
    /// What was sent down a connection and is not answered.
    held: Vec<way::Held>,
    /// Which phones were taken for others.
    guesses: Vec<way::Guess>,
    transfer: Option<transfer::Transfer>,
    /// How many transfers there were.
    transfers: usize,
    /// The transferor, when it hangs up before its transfer has worked.
    gone: Option<usize>,
    leaving: Vec<transfer::Leaving>,
    /// Who waits in a park slot.
    parked: Option<parked::Parked>,
    ack_ends: Option<Instant>,
    check_at: Option<Instant>,
    /// The side of a call for help that did not answer when it was asked last.
    silent: Option<Side>,
    answered_at: Option<Instant>,
    answered_by: Option<String>,
    /// When the first target rang.
    ringing_at: Option<Instant>,
    /// What policies have said about the call.
    said: Vec<Said>,
    /// It was taken up after a restart.
    restored: bool,
    /// The gateway makes it in its own name.
    alone: Option<Alone>,
    /// Phones at which somebody talks in it.
    talks: Vec<Talk>,
    /// Makes Call-IDs that lead back to our shard.
    call_id: fn(&mut Random, usize, usize) -> String,
    shard: (usize, usize),
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
        Some(Self::of(site, call, Some(invite), caller, plan, home, now))
    }

    fn of(site: Arc<Site>, call: Call, invite: Option<ServerId>, caller: Dialog, plan: Resolved, home: Home, now: Instant) -> Self {
        let ring_ends = now + site.limits.ring_total;
        let wants = reliable::Wants::of(&call.message);
        Self {
            site,
            call,
            name: 0,
            inbound: None,
            invite,
            caller,
            wants,
            reliables: Vec::new(),
            replaces: None,
            pickup: None,
            state: State::Ringing,
            hunts: vec![Hunt::new(Origin::Caller, plan, Some(ring_ends))],
            forwards: 0,
            legs: Vec::new(),
            parties: Vec::new(),
            pairs: Vec::new(),
            sent: Vec::new(),
            next_send: 0,
            acks: Vec::new(),
            answers: 0,
            held: Vec::new(),
            guesses: Vec::new(),
            transfer: None,
            transfers: 0,
            gone: None,
            leaving: Vec::new(),
            parked: None,
            ack_ends: None,
            check_at: None,
            silent: None,
            answered_at: None,
            answered_by: None,
            ringing_at: None,
            said: Vec::new(),
            restored: false,
            alone: None,
            talks: Vec::new(),
            call_id: home.call_id,
            shard: (home.index, home.shards),
        }
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

    /// The caller's INVITE transaction; `None` when the gateway places the call itself.
    #[must_use]
    pub const fn invite(&self) -> Option<ServerId> {
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
        self.state == State::Ended && self.held.is_empty() && self.legs.iter().all(|leg| leg.state == LegState::Dead)
    }

    /// Whether an answer to this request can still come.
    #[must_use]
    pub fn awaits(&self, id: SendId) -> bool {
        self.sent.iter().any(|(sent, _)| *sent == id) || self.acks.iter().any(|ack| ack.is_of(id))
    }

    /// When [`Event::Expire`] is due, and for which timer.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        let look = self.look_due().map(|at| (at, Timer::Look));
        if self.state == State::Ended {
            return look;
        }
        let hunts = self
            .hunts
            .iter()
            .flat_map(|hunt| [(hunt.answer_wait_ends, Timer::AnswerWait), (hunt.stage_ends, Timer::Ring), (hunt.ends, Timer::RingTotal)]);
        let picker = self.pickup.iter().filter_map(|pickup| pickup.repeat.as_ref()).map(relay::Repeat::due);
        let repeat = self.acks.iter().filter_map(relay::AckRoute::due).chain(picker).min();
        let leave = self.leaving.iter().map(|leaving| leaving.at).min();
        let talking = [
            (repeat, Timer::Repeat),
            (self.prack_due(), Timer::Prack),
            (self.ack_ends, Timer::Ack),
            (leave, Timer::Leave),
            (self.offer_due(), Timer::Join),
            (self.check_at, Timer::Check),
            (self.parked.as_ref().map(|parked| parked.ends), Timer::Park),
            (self.toll_due(), Timer::Toll),
        ];
        hunts.chain(talking).filter_map(|(at, timer)| Some((at?, timer))).chain(look).min()
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event<'_>, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let start = out.len();
        self.pay_until(now);
        self.take_in(event, now, random, out);
        self.forget_unasked();
        self.find_ways(start, now, out);
    }

    fn take_in(&mut self, event: Event<'_>, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        match event {
            Event::Start if !self.comes_in(now, out) => {}
            Event::Start => match self.replaces.take() {
                Some(dialog) => out.push(Effect::Take { hunt: 0, dialog }),
                None => self.dial_stage(0, now, random, out),
            },
            Event::Taken { hunt, dialog, found } => self.taken(hunt, dialog, found, now, random, out),
            Event::Brought { back } => self.brought(back, now, out),
            Event::Routed { hunt, plan } => self.routed(hunt, plan, now, random, out),
            Event::Request { id, message, flow } => self.on_request(id, message, flow, now, random, out),
            Event::Ack { message } => self.on_ack(message, now, out),
            Event::Cancelled { id, reason } => self.on_cancelled(id, reason, now, out),
            Event::Response { id, message, flow } => self.on_response(id, message, flow, now, random, out),
            Event::Failed { id, why } => self.on_failed(id, why, now, random, out),
            Event::Park { hunt, slot } => self.park(hunt, slot, now, random, out),
            Event::HangUp => self.hung_up_from_outside(now, out),
            Event::Expire => self.on_expire(now, random, out),
        }
    }

    fn on_cancelled(&mut self, id: ServerId, reason: Option<&str>, now: Instant, out: &mut Vec<Effect>) {
        if self.invite == Some(id) {
            // RFC 3261 9.2: an INVITE without a final answer is answered 487.
            if self.state == State::Ringing {
                cov_mark::hit!(rfc3261_9_2_487);
                self.refuse_caller(&Refusal::new(487, "Request Terminated", "cancelled by the caller"), out);
                // RFC 3326 section 2: why it was cancelled is for those who rang.
                self.decline_held(None, out);
                self.call_off(0, None, reason, out);
                self.end(487, "cancelled", now, out);
            }
        } else {
            self.cancel_relay(id, reason, out);
        }
    }

    fn on_response(&mut self, id: SendId, message: &Message, flow: Flow, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        if message.status() >= 200 {
            if self.went_astray(id, message.status(), now) {
                return;
            }
            self.answered_on_connection(id);
        }
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == id) else { return };
        match self.sent.get(place) {
            Some((_, Sent::Invite(leg))) => {
                let leg = *leg;
                self.on_invite_response(leg, message, flow, now, random, out);
            }
            Some((_, Sent::Relay(_))) => self.on_relay_response(place, message, now, random, out),
            Some((_, Sent::Check(side))) => {
                let side = *side;
                if message.status() >= 200 {
                    self.sent.swap_remove(place);
                    let help = self.call.kind != CallKind::Normal;
                    if message.status() == 408 && help && self.silent.is_none_or(|silent| silent == side) {
                        // Somebody on the way says so: it is silent, and may be heard all the same.
                        self.silent = Some(side);
                        return;
                    }
                    self.silent = self.silent.filter(|silent| *silent != side);
                    if matches!(message.status(), 408 | 481) && !self.ring_lost_side(side, now, random, out) {
                        self.hang_up(None, "one side is gone", now, out);
                    }
                }
            }
            Some((_, Sent::Join)) => self.on_join_response(id, message, now, random, out),
            Some((_, Sent::Hold(party))) => {
                let party = *party;
                self.on_hold_response(id, party, message, now, random, out);
            }
            Some((_, Sent::Bye | Sent::Notify | Sent::Prack)) | None => {
                if message.status() >= 200 {
                    self.sent.swap_remove(place);
                }
            }
        }
    }

    fn on_failed(&mut self, id: SendId, why: Failure, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        if self.waits_for_connection(id, why, now, out) {
            return;
        }
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == id) else { return };
        match self.sent.swap_remove(place).1 {
            Sent::Invite(leg) => {
                let best = match why {
                    Failure::Timeout => Best::Refusal(Refusal::new(408, "Request Timeout", "a target did not answer")),
                    Failure::Unreachable => Best::Refusal(Refusal::new(480, "Temporarily Unavailable", "a target is unreachable")),
                };
                let sign = match why {
                    Failure::Timeout => Sign::Silent,
                    Failure::Unreachable => Sign::Unreachable,
                };
                self.note_trunk(leg, sign, now);
                if self.next_address(leg, LegState::Dead, now, random, out) {
                    return;
                }
                self.dismiss_adopted(leg, best.status(), out);
                self.leg_failed(leg, best, true, now, random, out);
            }
            Sent::Relay(relay) => self.on_relay_failed(&relay, now, out),
            // A call for help goes on while one side is there: who does not answer may only have lost its connection, and speech needs none.
            Sent::Check(side) if self.call.kind != CallKind::Normal && self.silent.is_none_or(|silent| silent == side) => {
                cov_mark::hit!(help_with_one_side_silent);
                self.silent = Some(side);
            }
            // RFC 3261 12.2.1.2: no answer inside a dialog ends the dialog.
            Sent::Check(_) | Sent::Hold(_) => {
                cov_mark::hit!(rfc3261_12_2_1_2_silence);
                self.hang_up(None, "one side is gone", now, out);
            }
            Sent::Join => self.transferee_gone(now, out),
            Sent::Bye | Sent::Notify | Sent::Prack => {}
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
                Timer::Prack => self.repeat_provisionals(now, out),
                // Nor does a call for help end because its phone acknowledges in a way that cannot be understood.
                Timer::Ack if self.call.kind != CallKind::Normal && self.pickup.is_none() => {
                    cov_mark::hit!(help_without_acknowledgement);
                    self.ack_ends = None;
                }
                Timer::Ack => {
                    // RFC 3261 13.3.1.4: when no ACK arrives within 64*T1 the session is ended with BYE.
                    cov_mark::hit!(rfc3261_13_3_1_4_no_ack);
                    self.ack_ends = None;
                    self.picker_gone(now, out);
                    self.hang_up(None, "the answer was never acknowledged", now, out);
                }
                Timer::Look => match self.waited_long_enough(now) {
                    Some(id) => self.on_failed(id, Failure::Timeout, now, random, out),
                    None => self.look_for_connections(now, out),
                },
                Timer::Leave => self.dismiss(|at| at <= now, out),
                Timer::Join => self.offer_again(out),
                Timer::Park => self.parked_too_long(now, out),
                Timer::Check if self.alone.is_some() => {
                    self.check_at = None;
                    self.hang_up(None, "told", now, out);
                }
                Timer::Toll => self.look_at_tolls(now, out),
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
        self.decline_held(None, out);
        self.call_off(0, None, None, out);
        self.transfer_over(487, "Request Terminated", out);
        self.dismiss(|_| true, out);
        self.answer_pending_relays(out);
        self.parked = None;
        self.state = State::Ended;
        for leg in &mut self.legs {
            leg.release();
        }
        for talk in self.talks.drain(..) {
            talk.end(now);
        }
        self.inbound = None;
        // A call in which somebody talked has succeeded, and only that one, whoever hung up and why.
        let status = match self.answered_at {
            Some(_) => 200,
            None if status < 300 => 487,
            None => status,
        };
        let unanswered = CallRecord::unanswered(&self.call, status, cause, now);
        let answered_by = self.answered_by.clone();
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
        self.sent.reserve_exact(1);
        self.sent.push((id, what));
        out.push(Effect::Send { id, request, flow });
        id
    }
}
