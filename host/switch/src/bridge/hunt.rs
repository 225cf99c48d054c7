//! Hunting: a plan is carried out, stage after stage, until somebody answers or nobody is left.
//!
//! The call itself is the first hunt. A phone that forwards the call begins another one below its leg: the leg counts as ringing until that hunt is
//! over, and then ends as the hunt did. So a forward rings by its own plan, and the stages after it go on as if the phone itself had failed.

use super::{
    Best, Bridge, Effect,
    forward::{Forward, From},
    leg::LegState,
};
use crate::{
    boundary::Passage,
    decision::Refusal,
    directory::Forwarded,
    facts::{Call, CallKind},
    plan::{Resolved, ResolvedStage},
    trunk::{Channel, Sign},
};
use serde::{Deserialize, Serialize};
use sip::{
    Instant,
    build::{Response, Writer},
    header::Name,
    random::Random,
};
use std::time::Duration;

/// Names a hunt of one bridge.
pub type HuntId = usize;

/// One plan that is being carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hunt {
    pub(super) origin: Origin,
    /// The call as it was decided about and goes out; `None`: the bridge's own, as it came in.
    pub(super) call: Option<Box<Call>>,
    pub(super) plan: Resolved,
    pub(super) stage: usize,
    pub(super) best: Option<Best>,
    pub(super) stage_ends: Option<Instant>,
    pub(super) answer_wait_ends: Option<Instant>,
    /// When all of it has rung long enough; hunts below another end with that one.
    pub(super) ends: Option<Instant>,
    pub(super) live: bool,
}

/// Whom a hunt looks for somebody for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// The caller.
    Caller,
    /// A leg or user that was forwarded.
    Forward(Forward),
    /// A transferor.
    Transfer,
}

impl Hunt {
    /// A hunt whose plan is known, or (an empty one) will be told by [`Bridge::routed`].
    pub(super) fn new(origin: Origin, plan: Resolved, ends: Option<Instant>) -> Self {
        Self { origin, call: None, plan, stage: 0, best: None, stage_ends: None, answer_wait_ends: None, ends, live: true }
    }
}

impl Bridge {
    /// The call as a hunt sends it out.
    pub(super) fn call_of(&self, hunt: HuntId) -> &Call {
        self.hunts.get(hunt).and_then(|hunt| hunt.call.as_deref()).unwrap_or(&self.call)
    }

    /// The policies have decided where a call goes that is forwarded or transferred.
    pub(super) fn routed(
        &mut self,
        hunt: HuntId,
        plan: Result<Resolved, Refusal>,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| hunt.live) else { return };
        match plan {
            Ok(plan) => {
                entry.plan = plan;
                entry.stage = 0;
                self.dial_stage(hunt, now, random, out);
            }
            Err(refusal) => {
                entry.best = Some(Best::Refusal(refusal));
                self.hunt_over(hunt, now, random, out);
            }
        }
    }

    /// Dials every leg of the current stage; a stage without legs is passed over as unreachable.
    pub(super) fn dial_stage(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        let Some(ResolvedStage { legs, ring, answer_wait, seek, .. }) = entry.plan.stages.get_mut(entry.stage) else {
            self.hunt_over(hunt, now, random, out);
            return;
        };
        // Each stage is dialled once.
        let (mut legs, seek) = (std::mem::take(legs), seek.take());
        entry.stage_ends = Some(now + *ring);
        entry.answer_wait_ends = answer_wait.map(|wait| now + wait);
        match seek {
            Some(seek) if seek.until.is_some_and(|until| until <= now) => {}
            Some(seek) if seek.whom.is_empty() => return self.pause(random, out),
            Some(seek) => legs = self.find_sought(hunt, &seek, now),
            None => {}
        }
        if legs.is_empty() {
            if let Some(entry) = self.hunts.get_mut(hunt) {
                (entry.stage_ends, entry.answer_wait_ends) = (None, None);
            }
            if !self.user_forwards(hunt, Forwarded::Always, now, random, out) {
                self.stage_over(hunt, false, now, random, out);
            }
            return;
        }
        // Exactly: a vector that grows by itself makes room for four, and most calls have one leg and two parties as long as they talk.
        self.legs.reserve_exact(legs.len());
        self.parties.reserve_exact(2 * legs.len());
        for target in legs {
            match self.toll(hunt, &target, now) {
                Ok(toll) => self.dial(hunt, target, toll, random, out),
                Err(bite) => self.cannot_pay(hunt, bite, out),
            }
        }
        if !self.stage_rings(hunt) {
            self.no_channel(hunt);
            self.stage_over(hunt, false, now, random, out);
        }
    }

    /// Whether something of the current stage rings, or was forwarded and rings elsewhere.
    pub(super) fn stage_rings(&self, hunt: HuntId) -> bool {
        let Some(entry) = self.hunts.get(hunt) else { return false };
        let open = |state| matches!(state, LegState::Ringing | LegState::Forwarded(_));
        self.legs.iter().any(|leg| leg.hunt == hunt && leg.stage == entry.stage && open(leg.state))
            || self.below_stages_of(hunt).any(|(_, stage)| stage == entry.stage)
    }

    /// Live hunts for whoever the user in a stage of this hunt has sent the call on to, each with its stage.
    fn below_stages_of(&self, above: HuntId) -> impl Iterator<Item = (HuntId, usize)> + '_ {
        self.hunts.iter().enumerate().filter(|(_, hunt)| hunt.live).filter_map(move |(place, hunt)| match &hunt.origin {
            Origin::Forward(Forward { from: From::Stage(hunt, stage, _), .. }) if *hunt == above => Some((place, *stage)),
            _ => None,
        })
    }

    /// The user whom a stage rang had sent the call on, and that has come to nothing.
    pub(super) fn stage_failed(
        &mut self,
        hunt: HuntId,
        stage: usize,
        best: Best,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| hunt.live && hunt.stage == stage) else { return };
        entry.best = Some(best);
        self.stage_over(hunt, false, now, random, out);
    }

    /// A leg has ended without an answer; when it was the last of its stage, the stage is over.
    pub(super) fn leg_failed(
        &mut self,
        leg: usize,
        best: Best,
        unreachable: bool,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.legs.get_mut(leg) else { return };
        let cancelled = entry.state.is_cancelled();
        entry.state = LegState::Dead;
        entry.release();
        let (hunt, stage) = (entry.hunt, entry.stage);
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        if !entry.live || cancelled || stage != entry.stage {
            return;
        }
        let insists = entry.plan.stages.get(stage).is_some_and(|stage| stage.next_on_refusal);
        let decisive = best.status() >= 600 && !insists;
        let better = entry.best.as_ref().is_none_or(|old| best.rank() < old.rank());
        if better && !(unreachable && entry.best.is_some()) {
            entry.best = Some(best);
        }
        if decisive {
            // RFC 3261 16.7 step 5: after a 6xx everything else is cancelled.
            cov_mark::hit!(rfc3261_16_7_decisive);
            self.call_off(hunt, Some(leg), None, out);
        }
        if !self.stage_rings(hunt) {
            self.stage_over(hunt, false, now, random, out);
        }
    }

    /// Nothing of the current stage rings any more: on to the next stage, or the hunt ends with the best of the answers.
    pub(super) fn stage_over(&mut self, hunt: HuntId, timed_out: bool, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(entry) = self.hunts.get(hunt) else { return };
        if entry.stage >= entry.plan.stages.len() {
            // Somebody who was taken from another call: there is no plan.
            self.hunt_over(hunt, now, random, out);
            return;
        }
        let status = entry.best.as_ref().map_or(480, Best::status);
        if let Some(why) = self.not_taken(hunt, status, timed_out)
            && self.user_forwards(hunt, why, now, random, out)
        {
            return;
        }
        let Some(entry) = self.hunts.get(hunt) else { return };
        let Some(stage) = entry.plan.stages.get(entry.stage) else { return };
        let said = matches!(entry.best, Some(Best::Message(_)));
        let wanted = match status {
            // A phone that forwards in a circle is as good as busy.
            482 | 486 | 600 => stage.next.busy,
            // A provider that says it has reached nobody was reached itself.
            480 if said && self.stage_trunks(hunt).next().is_some() => stage.next.no_answer,
            408 | 480 => stage.next.no_answer || stage.next.unreachable,
            500..=599 => stage.next.unreachable,
            400..=499 if said && stage.next.unreachable => self.trunk_sends_on(hunt, status),
            // What a person or provider has refused is not tried elsewhere.
            _ => false,
        };
        let wanted = wanted || (timed_out && stage.next.no_answer) || stage.next_on_refusal;
        if let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| wanted && hunt.stage + 1 < hunt.plan.stages.len()) {
            entry.stage += 1;
            entry.best = None;
            self.divert_stage(hunt, if timed_out { 408 } else { status });
            self.dial_stage(hunt, now, random, out);
        } else {
            self.hunt_over(hunt, now, random, out);
        }
    }

    /// The trunks that were dialled in the current stage.
    fn stage_trunks(&self, hunt: HuntId) -> impl Iterator<Item = &str> {
        let stage = self.hunts.get(hunt).map(|hunt| hunt.stage);
        let legs = self.legs.iter().filter(move |leg| leg.hunt == hunt && Some(leg.stage) == stage);
        legs.filter_map(|leg| leg.target.trunk.as_deref())
    }

    /// Whether the operator has the next trunk tried after this refusal of one of them ([`crate::trunk::TrunkManners::next_on`]).
    fn trunk_sends_on(&self, hunt: HuntId, status: u16) -> bool {
        let directory = self.site.directory();
        self.stage_trunks(hunt).any(|name| directory.trunk(name).is_some_and(|trunk| trunk.manners.next_on.contains(&status)))
    }

    /// Why the user whom the current stage rang has not taken the call; `None`: a person or the site has refused it.
    fn not_taken(&self, hunt: HuntId, status: u16, timed_out: bool) -> Option<Forwarded> {
        let entry = self.hunts.get(hunt)?;
        // A phone that rang, or said itself that it is not there.
        let heard = matches!(entry.best, Some(Best::Message(_)))
            || self.legs.iter().any(|leg| leg.hunt == hunt && leg.stage == entry.stage && leg.alive);
        match status {
            _ if timed_out => Some(if heard { Forwarded::NoAnswer } else { Forwarded::Unreachable }),
            // A phone that forwards in a circle is as good as busy.
            482 | 486 | 600 => Some(Forwarded::Busy),
            408 | 480 if heard => Some(Forwarded::NoAnswer),
            408 | 480 | 500..=599 => Some(Forwarded::Unreachable),
            _ => None,
        }
    }

    /// Notes in what goes out that a later stage is somebody else than was called: policies forward, too.
    fn divert_stage(&mut self, hunt: HuntId, status: u16) {
        let Some(entry) = self.hunts.get(hunt) else { return };
        let Some(first) = entry.plan.stages.get(entry.stage).and_then(|stage| stage.legs.first()) else { return };
        let dialled = self.legs.iter().filter(|leg| leg.hunt == hunt);
        let known: Vec<&String> = dialled.filter_map(|leg| leg.target.endpoint.as_ref()).collect();
        // Trunks that are tried one after the other lead to the same person, and so do the phones of one user.
        if known.is_empty() || first.endpoint.as_ref().is_some_and(|endpoint| known.contains(&endpoint)) {
            return;
        }
        let directory = self.site.directory();
        let to = match &first.endpoint {
            Some(endpoint) => directory.endpoint(endpoint).map_or_else(|| first.called.clone(), |endpoint| endpoint.extension.clone()),
            None => first.called.clone(),
        };
        let call = self.call_of(hunt);
        let message = super::forward::diverted(&call.message, &call.called, &to, super::forward::Why::Policy(status), &directory.domain);
        let diverted = Box::new(Call { message, ..call.clone() });
        if let Some(entry) = self.hunts.get_mut(hunt) {
            entry.call = Some(diverted);
        }
    }

    /// Everybody was tried.
    pub(super) fn hunt_over(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        self.call_off(hunt, None, None, out);
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        let best =
            entry.best.take().unwrap_or_else(|| Best::Refusal(Refusal::new(480, "Temporarily Unavailable", "no target could be reached")));
        match &entry.origin {
            Origin::Caller => self.give_up(best, now, out),
            Origin::Forward(_) => self.forward_failed(hunt, best, now, random, out),
            Origin::Transfer => {
                let status = best.status();
                let phrase = match &best {
                    Best::Refusal(refusal) => refusal.phrase.clone(),
                    Best::Message(message) => String::from_utf8_lossy(message.reason()).into_owned(),
                };
                self.transfer_failed(status, &phrase, now, out);
            }
        }
    }

    /// The caller hears how it ended.
    fn give_up(&mut self, best: Best, now: Instant, out: &mut Vec<Effect>) {
        let status = best.status();
        match best {
            Best::Message(message) => {
                // Whose refusal it is nobody knows any more: a trunk hears what a phone may say to it.
                let directory = self.site.directory();
                let to = self.caller_manners(&directory);
                let passage = Passage::between(None, to, self.call.kind != CallKind::Normal);
                self.tell_caller(super::write::relayed_refusal(&self.call.message, &message, passage), out);
            }
            Best::Refusal(refusal) => self.refuse_caller(&refusal, out),
        }
        let cause = match status {
            486 | 600 => "busy",
            408 | 480 => "no answer",
            482 => "forwarded in a circle",
            603 => "declined",
            500..=599 => "unreachable",
            _ => "refused by the callee",
        };
        self.end(status, cause, now, out);
    }

    /// The caller's INVITE is answered; a call that the gateway places has none.
    pub(super) fn tell_caller(&self, response: Response, out: &mut Vec<Effect>) {
        if let Some(id) = self.invite {
            out.push(Effect::Respond { id, response });
        }
    }

    pub(super) fn refuse_caller(&self, refusal: &Refusal, out: &mut Vec<Effect>) {
        self.refuse_caller_because(refusal.status, &refusal.phrase, "", out);
    }

    /// The same with a Reason, which may be empty.
    pub(super) fn refuse_caller_because(&self, status: u16, phrase: &str, reason: &str, out: &mut Vec<Effect>) {
        let Some(id) = self.invite else { return };
        let tag = self.caller_tag();
        let fallback = format!("{:016x}", id.0);
        let mut writer = Writer::response(&self.call.message, status, phrase, Some(tag.as_deref().unwrap_or(&fallback)));
        if !reason.is_empty() {
            // RFC 6432: a response may say why, too.
            writer.header(Name::Reason, reason.as_bytes());
        }
        out.push(Effect::Respond { id, response: writer.finish_response(b"") });
    }

    /// The stage has rung long enough. What was forwarded in it rings on by its own plan.
    pub(super) fn stage_timed_out(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        entry.stage_ends = None;
        if entry.best.is_none() {
            entry.best = Some(Best::Refusal(Refusal::new(480, "No Answer", "nobody answered in the time of the stage")));
        }
        for place in 0..self.legs.len() {
            let Some(leg) = self.legs.get_mut(place).filter(|leg| leg.hunt == hunt && leg.state == LegState::Ringing) else { continue };
            leg.state = LegState::Cancelled;
            out.push(Effect::Cancel { id: leg.send, reason: None });
            // It is the same call that goes on, and what it costs is paid by whom it tries next. The channel is taken until the provider has ended it.
            drop(leg.channel.as_mut().and_then(Channel::discharge));
            // A trunk that has not even said that it tries is silent, however soon it was left.
            if !leg.alive {
                self.note_trunk(place, Sign::Silent, now);
            }
        }
        if !self.stage_rings(hunt) {
            self.stage_over(hunt, true, now, random, out);
        }
    }

    /// Cancels the legs of this stage that gave no sign of life; they count as unreachable.
    pub(super) fn give_up_silent_legs(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        entry.answer_wait_ends = None;
        let stage = entry.stage;
        let silent = |leg: &super::Leg| leg.hunt == hunt && leg.stage == stage && leg.state == LegState::Ringing && !leg.alive;
        let silent: Vec<usize> = self.legs.iter().enumerate().filter(|(_, leg)| silent(leg)).map(|(place, _)| place).collect();
        for place in silent {
            self.note_trunk(place, Sign::Silent, now);
            let Some(leg) = self.legs.get(place) else { continue };
            out.push(Effect::Cancel { id: leg.send, reason: None });
            // A provider may only be slow: where no other answers, it is asked once more, with more patience.
            if matches!(self.call_of(hunt).kind, CallKind::Emergency | CallKind::EmergencyTest)
                && self.times_dialled(hunt, &leg.target) == 1
            {
                cov_mark::hit!(silent_way_once_more);
                let target = leg.target.clone();
                self.once_more(hunt, &target);
            }
            if self.next_address(place, LegState::Cancelled, now, random, out) {
                continue;
            }
            let Some(leg) = self.legs.get_mut(place) else { continue };
            leg.state = LegState::Cancelled;
            leg.release();
            if let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| hunt.best.is_none()) {
                entry.best = Some(Best::Refusal(Refusal::new(408, "Request Timeout", "a trunk gave no sign of life")));
            }
        }
        if !self.stage_rings(hunt) {
            self.stage_over(hunt, false, now, random, out);
        }
    }

    /// A sign of life. Once every leg of the stage has given one, nobody waits for more.
    pub(super) fn leg_lives(&mut self, leg: usize) {
        let Some(entry) = self.legs.get_mut(leg) else { return };
        entry.alive = true;
        let (hunt, stage) = (entry.hunt, entry.stage);
        let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| hunt.stage == stage) else { return };
        let waits = |leg: &super::Leg| leg.hunt == hunt && leg.stage == stage && !leg.alive && leg.state != LegState::Dead;
        if !self.legs.iter().any(waits) {
            entry.answer_wait_ends = None;
        }
    }

    /// Ends a hunt and those below it: whatever rings is cancelled, but not the leg `except`.
    pub(super) fn call_off(&mut self, hunt: HuntId, except: Option<usize>, reason: Option<&str>, out: &mut Vec<Effect>) {
        if let Some(entry) = self.hunts.get_mut(hunt) {
            entry.stage_ends = None;
            entry.answer_wait_ends = None;
        }
        let mut below: Vec<HuntId> = self.below_stages_of(hunt).map(|(below, _)| below).collect();
        for (place, leg) in self.legs.iter_mut().enumerate().filter(|(_, leg)| leg.hunt == hunt) {
            match leg.state {
                LegState::Ringing if Some(place) != except => {
                    leg.state = LegState::Cancelled;
                    out.push(Effect::Cancel { id: leg.send, reason: reason.map(Into::into) });
                }
                LegState::Forwarded(hunt) => {
                    leg.state = LegState::Dead;
                    below.push(hunt);
                }
                LegState::Ringing | LegState::Cancelled | LegState::Evicted | LegState::Dead => {}
            }
        }
        for hunt in below {
            self.close(hunt);
            self.call_off(hunt, except, reason, out);
        }
    }

    /// From now on nothing that comes of this hunt counts.
    pub(super) fn close(&mut self, hunt: HuntId) {
        if let Some(entry) = self.hunts.get_mut(hunt) {
            entry.live = false;
            entry.ends = None;
        }
    }

    /// Whether anybody still waits for what comes of this hunt.
    pub(super) fn hunts_on(&self, hunt: HuntId) -> bool {
        self.hunts.get(hunt).is_some_and(|hunt| hunt.live)
    }

    /// A new hunt below a leg or for a transfer.
    pub(super) fn begin_hunt(&mut self, origin: Origin, ring: Option<(Instant, Duration)>) -> HuntId {
        self.hunts.push(Hunt::new(origin, Resolved::default(), ring.map(|(now, ring)| now + ring)));
        self.hunts.len() - 1
    }
}
