//! Ringing: stages, legs, provisional and final responses, one answer wins.

use super::{ACK_WAIT, Best, Bridge, CHECK_EVERY, Effect, Pair, SendId, Sent, State, relay::AckRoute, write};
use crate::{
    decision::Refusal,
    plan::{LegTarget, ResolvedStage},
    trunk::Channel,
};
use sip::{Instant, Message, build::Writer, dialog::Dialog, digest, header::Name, message::Method, random::Random, transport::Flow};

/// One target that was dialled.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) target: LegTarget,
    pub(super) state: LegState,
    pub(super) send: SendId,
    /// The dialog before any answer: every fork of the target starts as a copy of it.
    pub(super) template: Dialog,
    /// Who this target is told is calling: From and P-Asserted-Identity.
    identity: Vec<u8>,
    stage: usize,
    /// A provisional response above 100 has come.
    alive: bool,
    /// Credentials have been sent once: a second challenge is a refusal.
    authenticated: bool,
    channel: Option<Channel>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LegState {
    /// INVITE sent, no final answer.
    Ringing,
    /// Cancelled, no final answer yet.
    Cancelled,
    /// Final answer received, or none will come.
    Dead,
}

impl Leg {
    /// Gives the trunk channel back.
    pub(super) fn release(&mut self) {
        self.channel = None;
    }

    /// Who this is, for the call record.
    pub(super) fn party(&self) -> String {
        match (&self.target.trunk, &self.target.endpoint) {
            (Some(trunk), _) => format!("trunk:{trunk}"),
            (None, Some(endpoint)) => endpoint.clone(),
            (None, None) => self.target.uri.clone(),
        }
    }
}

impl Bridge {
    /// Dials every leg of the current stage; a stage without legs is passed over as unreachable.
    pub(super) fn dial_stage(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(stage) = self.plan.stages.get(self.stage) else {
            self.give_up(now, out);
            return;
        };
        let ResolvedStage { legs, ring, answer_wait, .. } = stage.clone();
        self.stage_ends = Some(now + ring);
        self.answer_wait_ends = answer_wait.map(|wait| now + wait);
        if legs.is_empty() {
            self.stage_over(false, now, random, out);
            return;
        }
        for target in legs {
            self.dial(target, random, out);
        }
    }

    fn dial(&mut self, target: LegTarget, random: &mut Random, out: &mut Vec<Effect>) {
        let tag = random.token();
        let call_id = (self.call_id)(random, self.shard.0, self.shard.1);
        let local = write::caller_identity(&self.call, &target, &self.site.directory().domain);
        let remote = write::callee_identity(&target, &self.site.directory().domain);
        let mut template = Dialog::as_client(&call_id, &local, tag.as_str(), &remote, target.uri.as_bytes(), target.flow);
        template.route_set = target.route.iter().map(|route| route.clone().into_bytes()).collect();
        let request = write::invite(&mut template, &self.call, target.flow, &local, None);
        let channel = target.trunk.as_deref().map(|trunk| self.site.trunks.take(trunk));
        let leg = self.legs.len();
        let flow = target.flow;
        let send = self.send(request, flow, Sent::Invite(leg), out);
        let (stage, state) = (self.stage, LegState::Ringing);
        self.legs.push(Leg { target, state, send, template, identity: local, stage, alive: false, authenticated: false, channel });
        out.push(Effect::Own(tag));
    }

    pub(super) fn on_invite_response(
        &mut self,
        leg: usize,
        message: &Message,
        flow: Flow,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        match message.status() {
            // RFC 3261 16.7 step 4: 100 is hop by hop.
            100 => {}
            101..=199 => self.on_provisional(leg, message, flow, random, out),
            200..=299 => self.on_answer(leg, message, flow, now, random, out),
            401 | 407 if self.authenticate_leg(leg, message, random, out) => {}
            status => {
                self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
                self.note_trunk(leg, status != 503);
                let best = match status {
                    // A challenge is meant for us, not for the caller, and we have no (other) password.
                    401 | 407 => Best::Status(500, "Trunk Refused Our Credentials"),
                    // RFC 3261 16.7 step 6: a 503 of one target must not make the caller avoid us.
                    503 => Best::Status(500, "Server Internal Error"),
                    _ => Best::Message(message.clone()),
                };
                let unreachable = (500..600).contains(&status);
                self.leg_failed(leg, best, unreachable, now, random, out);
            }
        }
    }

    fn on_provisional(&mut self, leg: usize, message: &Message, flow: Flow, random: &mut Random, out: &mut Vec<Effect>) {
        self.note_trunk(leg, true);
        let Some(entry) = self.legs.get_mut(leg) else { return };
        entry.alive = true;
        if entry.stage == self.stage && self.legs.iter().filter(|l| l.stage == self.stage).all(|l| l.alive || l.state == LegState::Dead) {
            self.answer_wait_ends = None;
        }
        let still_wanted = self.legs.get(leg).is_some_and(|leg| leg.state == LegState::Ringing);
        if self.state != State::Ringing || !still_wanted {
            return;
        }
        let pair = self.pair_of(leg, message, flow, random, out);
        if let Some(pair) = self.pairs.get(pair) {
            let response = write::relayed_response(&self.call.message, message, &pair.caller, true);
            out.push(Effect::Respond { id: self.invite, response });
        }
    }

    /// The joined dialogs that a response belongs to; made when it is the first of its fork (RFC 3261 12.1, 13.2.2.4).
    fn pair_of(&mut self, leg: usize, message: &Message, flow: Flow, random: &mut Random, out: &mut Vec<Effect>) -> usize {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let of_tag = |tag: &[u8]| self.pairs.iter().position(|pair| pair.leg == leg && pair.callee.remote_tag == tag);
        let place = of_tag(tag).or_else(|| of_tag(b"")).unwrap_or_else(|| {
            let token = random.token();
            out.push(Effect::Own(token));
            let caller = Dialog::as_server(&self.call.message, token.as_str(), self.call.flow).unwrap_or_else(|| self.caller.clone());
            let callee = self.legs.get(leg).map_or_else(|| self.caller.clone(), |leg| leg.template.clone());
            self.pairs.push(Pair { leg, caller, callee });
            self.pairs.len() - 1
        });
        if let Some(pair) = self.pairs.get_mut(place) {
            pair.callee.learn(message);
            pair.callee.flow = flow;
        }
        place
    }

    fn on_answer(&mut self, leg: usize, message: &Message, flow: Flow, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let place = self.pair_of(leg, message, flow, random, out);
        match self.state {
            // One answer wins, also one that crossed our CANCEL while nobody else had answered.
            State::Ringing => self.answered(leg, place, message, now, out),
            State::Answered(winner) if winner == place => {
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                self.answered_before(place, super::Side::Caller, number, out);
            }
            // RFC 3261 13.2.2.4, 15: an answer that comes too late is acknowledged and hung up.
            State::Answered(_) | State::Ended => self.decline_answer(place, message, out),
        }
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.state = LegState::Dead;
        }
    }

    fn answered(&mut self, leg: usize, place: usize, message: &Message, now: Instant, out: &mut Vec<Effect>) {
        self.note_trunk(leg, true);
        self.state = State::Answered(place);
        self.answered_at = Some(now);
        self.ack_ends = Some(now + ACK_WAIT);
        self.check_at = Some(now + CHECK_EVERY);
        let Some(pair) = self.pairs.get(place) else { return };
        let response = write::relayed_response(&self.call.message, message, &pair.caller, true);
        let from = self.call.message.cseq().map_or(0, |cseq| cseq.number);
        let to = message.cseq().map_or(0, |cseq| cseq.number);
        self.acks.push(AckRoute::new(place, super::Side::Caller, from, to, (self.invite, &response, pair.caller.flow), now));
        out.push(Effect::Respond { id: self.invite, response });
        self.cancel_ringing(Some(leg), Some("SIP;cause=200;text=\"Call completed elsewhere\""), out);
        for (place, other) in self.legs.iter_mut().enumerate() {
            if place != leg {
                other.release();
            }
        }
    }

    fn decline_answer(&mut self, place: usize, message: &Message, out: &mut Vec<Effect>) {
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let Some(pair) = self.pairs.get_mut(place) else { return };
        let flow = write::next_hop(&pair.callee, false);
        out.push(Effect::Ack { request: pair.callee.ack(number).finish_request(b""), flow });
        let bye = pair.callee.request(Method::Bye, b"BYE", 70).finish_request(b"");
        self.send(bye, flow, Sent::Bye, out);
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
        let cancelled = entry.state == LegState::Cancelled;
        entry.state = LegState::Dead;
        entry.release();
        let stage = entry.stage;
        if self.state != State::Ringing || cancelled || stage != self.stage {
            return;
        }
        let insists = self.plan.stages.get(self.stage).is_some_and(|stage| stage.next_on_refusal);
        let decisive = best.status() >= 600 && !insists;
        let better = self.best.as_ref().is_none_or(|old| best.rank() < old.rank());
        if better && !(unreachable && self.best.is_some()) {
            self.best = Some(best);
        }
        if decisive {
            // RFC 3261 16.7 step 5: after a 6xx everything else is cancelled.
            self.cancel_ringing(Some(leg), None, out);
        }
        if self.legs.iter().all(|leg| leg.stage != stage || leg.state != LegState::Ringing) {
            self.stage_over(false, now, random, out);
        }
    }

    /// Nothing of the current stage rings any more: on to the next stage, or the caller gets the best of the answers.
    fn stage_over(&mut self, timed_out: bool, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(stage) = self.plan.stages.get(self.stage) else { return };
        let status = self.best.as_ref().map_or(480, Best::status);
        let wanted = match status {
            486 | 600 => stage.next.busy,
            408 | 480 => stage.next.no_answer || stage.next.unreachable,
            500..=599 => stage.next.unreachable,
            // What a person or provider has refused is not tried elsewhere.
            _ => false,
        };
        let wanted = wanted || (timed_out && stage.next.no_answer) || stage.next_on_refusal;
        if wanted && self.stage + 1 < self.plan.stages.len() {
            self.stage += 1;
            self.best = None;
            self.dial_stage(now, random, out);
        } else {
            self.give_up(now, out);
        }
    }

    fn give_up(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let best = self.best.take().unwrap_or(Best::Status(480, "Temporarily Unavailable"));
        let status = best.status();
        match best {
            Best::Message(message) => {
                let response = write::relayed_refusal(&self.call.message, &message);
                out.push(Effect::Respond { id: self.invite, response });
            }
            Best::Status(status, phrase) => self.refuse_caller(&Refusal::new(status, phrase, "no target could be reached"), out),
        }
        let cause = match status {
            486 | 600 => "busy",
            408 | 480 => "no answer",
            603 => "declined",
            500..=599 => "unreachable",
            _ => "refused by the callee",
        };
        self.end(status, cause, now, out);
    }

    pub(super) fn refuse_caller(&mut self, refusal: &Refusal, out: &mut Vec<Effect>) {
        let tag = self.pairs.first().map(|pair| String::from_utf8_lossy(&pair.caller.local_tag).into_owned());
        let fallback = format!("{:016x}", self.invite.0);
        let writer = Writer::response(&self.call.message, refusal.status, &refusal.phrase, Some(tag.as_deref().unwrap_or(&fallback)));
        out.push(Effect::Respond { id: self.invite, response: writer.finish_response(b"") });
    }

    pub(super) fn stage_timed_out(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        self.cancel_ringing(None, None, out);
        if self.best.is_none() {
            self.best = Some(Best::Status(480, "No Answer"));
        }
        self.stage_over(true, now, random, out);
    }

    /// Cancels the legs of this stage that gave no sign of life; they count as unreachable.
    pub(super) fn give_up_silent_legs(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let silent: Vec<usize> = self
            .legs
            .iter()
            .enumerate()
            .filter(|(_, leg)| leg.stage == self.stage && leg.state == LegState::Ringing && !leg.alive)
            .map(|(place, _)| place)
            .collect();
        for place in silent {
            self.note_trunk(place, false);
            let Some(leg) = self.legs.get_mut(place) else { continue };
            leg.state = LegState::Cancelled;
            leg.release();
            out.push(Effect::Cancel { id: leg.send, reason: None });
            if self.best.is_none() {
                self.best = Some(Best::Status(408, "Request Timeout"));
            }
        }
        if self.legs.iter().all(|leg| leg.stage != self.stage || leg.state != LegState::Ringing) {
            self.stage_over(false, now, random, out);
        }
    }

    pub(super) fn cancel_ringing(&mut self, except: Option<usize>, reason: Option<&'static str>, out: &mut Vec<Effect>) {
        for (place, leg) in self.legs.iter_mut().enumerate() {
            if leg.state == LegState::Ringing && Some(place) != except {
                leg.state = LegState::Cancelled;
                out.push(Effect::Cancel { id: leg.send, reason });
            }
        }
    }

    pub(super) fn note_trunk(&self, leg: usize, reached: bool) {
        if let Some(trunk) = self.legs.get(leg).and_then(|leg| leg.target.trunk.as_deref()) {
            self.site.trunks.note(trunk, reached);
        }
    }

    /// RFC 3261 22.2: a provider's challenge is answered once with the trunk's own credentials.
    fn authenticate_leg(&mut self, leg: usize, message: &Message, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let directory = self.site.directory();
        let Some(entry) = self.legs.get_mut(leg) else { return false };
        if entry.authenticated || entry.state != LegState::Ringing {
            return false;
        }
        let Some(trunk) = entry.target.trunk.as_deref().and_then(|name| directory.trunk(name)) else { return false };
        let (Some(username), Some(password)) = (&trunk.username, &trunk.password) else { return false };
        let (asked, answer) = match message.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            _ => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        };
        let cnonce = random.token();
        let credentials = message
            .headers()
            .filter(|header| header.name == asked)
            .find_map(|header| digest::answer(header.value, username, password, "INVITE", &entry.target.uri, 1, cnonce.as_str()));
        let Some(credentials) = credentials else { return false };
        entry.authenticated = true;
        let request = write::invite(&mut entry.template, &self.call, entry.target.flow, &entry.identity, Some((answer, &credentials)));
        let flow = entry.target.flow;
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
        let send = self.send(request, flow, Sent::Invite(leg), out);
        if let Some(entry) = self.legs.get_mut(leg) {
            entry.send = send;
        }
        true
    }
}
