//! Legs: one target that was dialled, its provisional and final responses; one answer wins.

use super::{
    ACK_WAIT, Best, Bridge, CHECK_EVERY, Effect, Pair, Party, SendId, Sent, State, hunt::HuntId, relay::AckRoute, reliable::Wants, write,
};
use crate::{
    decision::Refusal,
    plan::LegTarget,
    toll::Toll,
    trunk::{Channel, Sign},
};
use serde::{Deserialize, Serialize};
use sip::{Instant, Message, dialog::Dialog, header::Name, message::Method, random::Random, stack::ServerId, transport::Flow};

/// One target that was dialled.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Leg {
    pub(super) target: LegTarget,
    pub(super) state: LegState,
    pub(super) send: SendId,
    /// The dialog before any answer: every fork of the target starts as a copy of it.
    pub(super) template: Dialog,
    /// Who this target is told is calling (P-Asserted-Identity); empty where nobody is to know.
    #[serde(with = "sip::kept::octets")]
    pub(super) identity: Vec<u8>,
    /// Whose target it is.
    pub(super) hunt: HuntId,
    /// In which stage of it.
    pub(super) stage: usize,
    /// A provisional response above 100 has come.
    pub(super) alive: bool,
    /// Credentials have been sent once: a second challenge is a refusal.
    authenticated: bool,
    /// It is told that we acknowledge provisional responses, whatever the caller does.
    pub(super) rel: bool,
    /// It was taken from another call, and is asked inside its dialog.
    pub(super) adopted: bool,
    #[serde(skip)]
    pub(super) channel: Option<Channel>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(super) enum LegState {
    /// INVITE sent, no final answer.
    Ringing,
    /// Answered with a redirection, which this hunt follows.
    Forwarded(HuntId),
    /// Cancelled, no final answer yet.
    Cancelled,
    /// Final answer received, or none will come.
    Dead,
    /// As cancelled, because a call for help needs its channel: an answer that has crossed is too late.
    Evicted,
}

impl LegState {
    /// Whether it was cancelled, for whatever reason, and has no final answer yet.
    pub(super) const fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled | Self::Evicted)
    }
}

impl Leg {
    /// Somebody who was taken from another call, and is then asked ([`Bridge::ask`]).
    pub(super) fn adopted(target: LegTarget, template: Dialog, hunt: HuntId, stage: usize, channel: Option<Channel>) -> Self {
        let identity = template.local.clone();
        let state = LegState::Ringing;
        Self {
            target,
            state,
            send: 0,
            template,
            identity,
            hunt,
            stage,
            alive: true,
            authenticated: false,
            rel: false,
            adopted: true,
            channel,
        }
    }

    /// The trunk channel, for whoever takes this leg over.
    pub(super) fn take_channel(&mut self) -> Option<Channel> {
        self.channel.take()
    }

    /// Whether it holds a trunk channel.
    pub(super) const fn holds_channel(&self) -> bool {
        self.channel.is_some()
    }

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
    /// Calls one target; one whose trunk is full is left out.
    pub(super) fn dial(&mut self, hunt: HuntId, target: LegTarget, toll: Option<Toll>, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(stage) = self.hunts.get(hunt).map(|hunt| hunt.stage) else { return };
        // What a call for help takes from others is asked back once its own INVITE is on its way.
        let mut taken = Vec::new();
        let Ok(channel) = self.goes_out(hunt, &target, &mut taken) else { return out.append(&mut taken) };
        let tag = random.token();
        let call_id = (self.call_id)(random, self.shard.0, self.shard.1);
        let call = self.call_of(hunt);
        let directory = self.site.directory();
        let write::Shown { from: local, asserted: identity } = write::caller_identity(call, &target, &directory);
        let remote = write::callee_identity(&target, &directory.domain);
        let mut template = Dialog::as_client(&call_id, &local, tag.as_str(), &remote, target.uri.as_bytes(), target.flow);
        template.route_set = target.route.iter().map(|route| route.clone().into_bytes()).collect();
        let rel = self.wants == Wants::Requires && !self.transfers(hunt);
        let request = write::invite(&mut template, call, &target, &identity, None, rel, &directory);
        let channel = channel.map(|channel| channel.charged(toll));
        let leg = self.legs.len();
        let flow = target.flow;
        let send = self.send(request, flow, Sent::Invite(leg), out);
        out.append(&mut taken);
        let state = LegState::Ringing;
        // Most calls have one leg and two parties: room for four of each, which a vector would make, is two kilobytes more.
        self.legs.reserve_exact(1);
        self.legs.push(Leg {
            target,
            state,
            send,
            template,
            identity,
            hunt,
            stage,
            alive: false,
            authenticated: false,
            rel,
            adopted: false,
            channel,
        });
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
            100 => cov_mark::hit!(rfc3261_16_7_trying),
            101..=199 => self.on_provisional(leg, message, flow, now, random, out),
            200..=299 => self.on_answer(leg, message, flow, now, random, out),
            401 | 407 if self.authenticate_leg(leg, message, random, out) => {}
            421 if self.insists(leg, message, out) => {}
            status => {
                self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
                self.note_trunk(leg, if matches!(status, 408 | 503) { Sign::Refused(status) } else { Sign::Answered(None) }, now);
                if status == 503 && self.next_address(leg, LegState::Dead, now, random, out) {
                    return;
                }
                if (300..400).contains(&status) && self.forward(leg, message, now, random, out) {
                    return;
                }
                let best = match status {
                    // A challenge is meant for us, not for the caller, and we have no (other) password.
                    401 | 407 => Best::Refusal(Refusal::new(500, "Trunk Refused Our Credentials", "a trunk refused our credentials")),
                    // RFC 3261 16.7 step 6: a 503 of one target must not make the caller avoid us.
                    503 => {
                        cov_mark::hit!(rfc3261_16_7_no_503);
                        Best::Refusal(Refusal::new(500, "Server Internal Error", "a target answered 503"))
                    }
                    _ => Best::Message(message.clone()),
                };
                self.dismiss_adopted(leg, status, out);
                let unreachable = (500..600).contains(&status);
                self.leg_failed(leg, best, unreachable, now, random, out);
            }
        }
    }

    fn on_provisional(&mut self, leg: usize, message: &Message, flow: Flow, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        self.note_trunk(leg, Sign::Answered(None), now);
        self.leg_lives(leg);
        let still_wanted = self.legs.get(leg).is_some_and(|leg| leg.state == LegState::Ringing && self.hunts_on(leg.hunt));
        if !still_wanted {
            return;
        }
        if message.status() < 190 && !self.legs.get(leg).is_some_and(|leg| self.transfers(leg.hunt)) {
            // RFC 3261 21.1.2: "the UA receiving the INVITE is trying to alert the user"; 183 where a trunk says it with early media.
            self.ringing_at.get_or_insert(now);
        }
        if self.legs.get(leg).is_some_and(|leg| self.transfers(leg.hunt)) {
            self.transfer_rings(message.status(), out);
            return;
        }
        // A call that the gateway places has no caller who would want to hear it.
        if self.invite.is_none() {
            return;
        }
        if self.forks_too_often(leg, message) {
            out.push(Effect::Limit("too-many-early-dialogs"));
            return;
        }
        let pair = self.pair_of(leg, message, flow, random, out);
        let ringing = self.rings_only(leg, message).then(|| write::ringing(message)).flatten();
        let message = ringing.as_ref().unwrap_or(message);
        match self.wants {
            Wants::Supports => self.pass_provisional(pair, message, out),
            Wants::Nothing | Wants::Requires => self.provisional(pair, message, now, random, out),
        }
    }

    /// Whether the caller is not to hear what a trunk plays before somebody answers. A reliable response may hold the answer to the caller's offer.
    fn rings_only(&self, leg: usize, message: &Message) -> bool {
        let Some(trunk) = self.legs.get(leg).and_then(|leg| leg.target.trunk.as_deref()) else { return false };
        !message.body().is_empty()
            && message.header(Name::RSeq).is_none()
            && self.site.directory().trunk(trunk).is_some_and(|trunk| !trunk.manners.early_media)
    }

    /// Whether a provisional response would open one early dialog more than a target may have.
    fn forks_too_often(&self, leg: usize, message: &Message) -> bool {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let mut forks = self.parties.iter().filter(|party| party.leg == Some(leg));
        let known = forks.clone().any(|party| party.dialog.remote_tag == tag || party.dialog.remote_tag.is_empty());
        !known && forks.nth(self.site.limits.early_dialogs - 1).is_some()
    }

    /// The party that a response comes from; made when it is the first of its fork (RFC 3261 12.1, 13.2.2.4).
    pub(super) fn fork(&mut self, leg: usize, message: &Message, flow: Flow) -> usize {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let of_tag = |tag: &[u8]| self.parties.iter().position(|party| party.leg == Some(leg) && party.dialog.remote_tag == tag);
        let place = of_tag(tag).or_else(|| of_tag(b"")).unwrap_or_else(|| {
            let dialog = self.legs.get(leg).map_or_else(|| self.caller.clone(), |leg| leg.template.clone());
            self.parties.reserve_exact(1);
            self.parties.push(Party { dialog, leg: Some(leg), instance: None, left: false });
            self.parties.len() - 1
        });
        if let Some(party) = self.parties.get_mut(place) {
            // RFC 3261 12.2: a re-INVITE changes the target, never the route set.
            if self.legs.get(leg).is_some_and(|leg| leg.adopted) {
                party.dialog.refresh_target(message);
            } else {
                party.dialog.learn(message);
            }
            party.dialog.flow = flow;
        }
        place
    }

    /// The caller's dialog that goes with a fork, joined to it.
    fn pair_of(&mut self, leg: usize, message: &Message, flow: Flow, random: &mut Random, out: &mut Vec<Effect>) -> usize {
        let callee = self.fork(leg, message, flow);
        if let Some(place) = self.pairs.iter().position(|pair| pair.callee == callee) {
            return place;
        }
        let token = random.token();
        out.push(Effect::Own(token));
        let dialog = Dialog::as_server(&self.call.message, token.as_str(), self.call.flow).unwrap_or_else(|| self.caller.clone());
        self.parties.reserve_exact(1);
        self.parties.push(Party { dialog, leg: None, instance: None, left: false });
        self.pairs.push(Pair { caller: self.parties.len() - 1, callee });
        self.pairs.len() - 1
    }

    pub(super) fn on_answer(
        &mut self,
        leg: usize,
        message: &Message,
        flow: Flow,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        if let Some(evicted) = self.legs.get_mut(leg).filter(|leg| leg.state == LegState::Evicted) {
            cov_mark::hit!(answer_without_a_channel);
            evicted.state = LegState::Dead;
            let callee = self.fork(leg, message, flow);
            return self.decline_answer(callee, message, out);
        }
        let transfers = self.legs.get(leg).is_some_and(|leg| self.transfers(leg.hunt));
        if (transfers || self.state == State::Ringing) && self.answers_after_its_bye(leg, message, now, random, out) {
            return;
        }
        if transfers {
            self.transfer_answered(leg, message, flow, now, out);
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.state = LegState::Dead;
            }
            return;
        }
        if self.legs.get(leg).is_some_and(|leg| leg.state == LegState::Dead) && self.forks_too_often(leg, message) {
            out.push(Effect::Limit("too-many-early-dialogs"));
            return;
        }
        let Some(invite) = self.invite else {
            return match self.alone {
                Some(alone) => self.alone_answered(alone, leg, message, flow, now, random, out),
                None => self.user_answered(leg, message, flow, now, random, out),
            };
        };
        let place = self.pair_of(leg, message, flow, random, out);
        let state = self.state;
        match state {
            // One answer wins, also one that crossed our CANCEL while nobody else had answered.
            State::Ringing if self.holds(place, leg, message, flow) => return,
            State::Ringing => self.answered(leg, place, invite, message, now, out),
            State::Answered(winner) if winner == place => {
                self.answered_again(leg, place, message, out);
            }
            // RFC 3261 13.2.2.4, 15: an answer that comes too late is acknowledged and hung up.
            State::Answered(_) | State::Ended => {
                cov_mark::hit!(rfc3261_13_2_2_4_late_answer);
                if let Some(callee) = self.pairs.get(place).map(|pair| pair.callee) {
                    self.decline_answer(callee, message, out);
                }
            }
        }
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.state = LegState::Dead;
        }
    }

    /// A BYE that has overtaken its own 2xx ends what the 2xx began (RFC 3261 15), also when its sender talked in another call before.
    fn answers_after_its_bye(&mut self, leg: usize, message: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let left = |party: &Party| party.leg == Some(leg) && party.left && party.dialog.remote_tag == tag;
        let Some(party) = self.parties.iter().position(left) else { return false };
        cov_mark::hit!(answer_after_its_bye);
        self.decline_answer(party, message, out);
        if self.legs.get(leg).is_some_and(|leg| leg.state != LegState::Dead) {
            let best = Best::Refusal(Refusal::new(480, "Temporarily Unavailable", "a target hung up as it answered"));
            self.leg_failed(leg, best, false, now, random, out);
        }
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.state = LegState::Dead;
        }
        true
    }

    fn answered(&mut self, leg: usize, place: usize, invite: ServerId, message: &Message, now: Instant, out: &mut Vec<Effect>) {
        self.note_trunk(leg, Sign::Answered(None), now);
        self.pays_after_all(leg, now);
        self.state = State::Answered(place);
        self.answered_at = Some(now);
        self.answered_by = self.legs.get(leg).map(Leg::party);
        self.ack_ends = Some(now + ACK_WAIT);
        self.check_at = Some(now + CHECK_EVERY);
        let Some(caller) = self.party(place, super::Side::Caller) else { return };
        let directory = self.site.directory();
        let passage = self.passage(place, super::Side::Callee, &directory);
        let response = match self.agreed(place).filter(|_| message.body().is_empty()) {
            Some(session) => write::answer_with(&self.call.message, message, &caller.dialog, session, passage),
            None => write::relayed_response(&self.call.message, message, &caller.dialog, true, passage),
        };
        let from = self.call.message.cseq().map_or(0, |cseq| cseq.number);
        let to = message.cseq().map_or(0, |cseq| cseq.number);
        let Some(of) = self.legs.get(leg).map(|leg| leg.send) else { return };
        let ack = AckRoute::new(place, super::Side::Caller, from, (of, to), (invite, &response), now);
        self.acks.reserve_exact(1);
        self.acks.push(ack);
        out.push(Effect::Respond { id: invite, response });
        self.acknowledge_help(place, (of, to), message, out);
        self.decline_held(Some(place), out);
        self.won(leg, out);
        self.talk_begins(now);
    }

    /// Nobody else is looked for: whatever rings is cancelled.
    pub(super) fn won(&mut self, leg: usize, out: &mut Vec<Effect>) {
        self.close(0);
        self.call_off(0, Some(leg), Some("SIP;cause=200;text=\"Call completed elsewhere\""), out);
        for (place, other) in self.legs.iter_mut().enumerate() {
            if place != leg {
                other.release();
            }
        }
    }

    /// The answer of the target that has won comes again. Before its ACK there is nothing to say; after it the stack says it again, but for a restart
    /// meanwhile.
    fn answered_again(&self, leg: usize, place: usize, message: &Message, out: &mut Vec<Effect>) {
        let Some(callee) = self.pairs.get(place).map(|pair| pair.callee) else { return };
        let Some(of) = self.legs.get(leg).map(|leg| leg.send).filter(|of| !self.acks.iter().any(|ack| ack.is_of(*of))) else { return };
        self.acknowledge(callee, of, message.cseq().map_or(0, |cseq| cseq.number), None, out);
    }

    /// Acknowledges an answer that nobody wants, and hangs up; who talks, here or in the call that it was given to, is only acknowledged.
    pub(super) fn decline_answer(&mut self, party: usize, message: &Message, out: &mut Vec<Effect>) {
        if let Some(of) = self.parties.get(party).and_then(|party| self.legs.get(party.leg?)).map(|leg| leg.send) {
            self.acknowledge(party, of, message.cseq().map_or(0, |cseq| cseq.number), None, out);
        }
        let talks = match self.state {
            State::Answered(place) => self.pairs.get(place).is_some_and(|pair| pair.caller == party || pair.callee == party),
            State::Ringing => false,
            State::Ended => self.gone == Some(party),
        };
        if talks {
            cov_mark::hit!(answer_of_one_who_talks);
            return;
        }
        let Some(callee) = self.parties.get_mut(party) else { return };
        let flow = write::next_hop(&callee.dialog, false);
        let bye = callee.dialog.request(Method::Bye, b"BYE", 70).finish_request(b"");
        self.send(bye, flow, Sent::Bye, out);
    }

    pub(super) fn note_trunk(&self, leg: usize, sign: Sign, now: Instant) {
        if let Some(target) = self.legs.get(leg).map(|leg| &leg.target)
            && let Some(trunk) = &target.trunk
        {
            self.site.trunks.note(trunk, target.flow, sign, now);
        }
    }

    /// A trunk has failed at one of its addresses: it is tried at its next one, if it has one. RFC 3263 4.3: a client "SHOULD retry the request with the next
    /// server" after a 503, a failure of the transport, or no response; `as_now`: what becomes of the leg that has failed.
    pub(super) fn next_address(&mut self, leg: usize, as_now: LegState, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let Some(entry) = self.legs.get_mut(leg).filter(|leg| leg.state == LegState::Ringing && !leg.target.more.is_empty()) else {
            return false;
        };
        let (hunt, stage) = (entry.hunt, entry.stage);
        let Some(plan) = self.hunts.get_mut(hunt).filter(|hunt| hunt.live && hunt.stage == stage) else { return false };
        cov_mark::hit!(rfc3263_4_3_next_server);
        plan.answer_wait_ends = plan.plan.stages.get(stage).and_then(|stage| stage.answer_wait).map(|wait| now + wait);
        entry.state = as_now;
        // It is the same call to the outside, and costs what it did.
        let toll = entry.channel.as_mut().and_then(Channel::discharge);
        entry.release();
        let mut target = entry.target.clone();
        target.flow = target.more.remove(0);
        let before = self.legs.len();
        self.dial(hunt, target, toll, random, out);
        if self.legs.len() > before {
            return true;
        }
        // The trunk has become full meanwhile: this leg has failed as if it had been its last address.
        if let Some(entry) = self.legs.get_mut(leg) {
            entry.state = LegState::Ringing;
        }
        false
    }

    /// RFC 3261 22.2: a provider's challenge is answered once with the trunk's own credentials.
    fn authenticate_leg(&mut self, leg: usize, message: &Message, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let Some(entry) = self.legs.get(leg).filter(|leg| !leg.authenticated && leg.state == LegState::Ringing) else { return false };
        let Some(trunk) = entry.target.trunk.as_deref() else { return false };
        let adopted = self.parties.iter().position(|party| entry.adopted && party.leg == Some(leg));
        let credentials = match adopted {
            Some(party) => self.credentials(party, message, random),
            None => self.trunk_credentials(trunk, message, &entry.target.uri, random),
        };
        let Some(credentials) = credentials else { return false };
        // 22.2: "the originator … re-originates the request with the proper credentials", once: a second challenge means that they are wrong.
        cov_mark::hit!(rfc3261_22_2_credentials);
        match adopted {
            Some(party) => {
                if let Some(entry) = self.legs.get_mut(leg) {
                    entry.authenticated = true;
                }
                self.ask(leg, party, Some(&credentials), out);
            }
            None => self.invite_again(leg, Some((credentials.0, &credentials.1)), out),
        }
        true
    }

    /// Sends the INVITE of a leg again, as a new request.
    pub(super) fn invite_again(&mut self, leg: usize, credentials: Option<(Name, &str)>, out: &mut Vec<Effect>) {
        let Some(entry) = self.legs.get_mut(leg) else { return };
        // Whoever has not been told who we are may ask once more.
        entry.authenticated = credentials.is_some();
        let call = self.hunts.get(entry.hunt).and_then(|hunt| hunt.call.as_deref()).unwrap_or(&self.call);
        let directory = self.site.directory();
        let request = write::invite(&mut entry.template, call, &entry.target, &entry.identity, credentials, entry.rel, &directory);
        let flow = entry.target.flow;
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
        let send = self.send(request, flow, Sent::Invite(leg), out);
        if let Some(entry) = self.legs.get_mut(leg) {
            entry.send = send;
        }
    }
}
