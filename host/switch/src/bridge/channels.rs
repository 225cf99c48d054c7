//! The call's channels on trunks: taken before a trunk is dialled or a call from one is put through, given back however the call ends, and given up when a
//! call for help needs one.

use super::{Best, Bridge, Effect, Farewell, HuntId, LegState, State};
use crate::{
    decision::Refusal,
    facts::{CallKind, Caller},
    plan::{LegTarget, ResolvedStage},
    toll::Paid,
    trunk::{Channel, Holder, Purpose, Way},
};
use serde::{Deserialize, Serialize};
use sip::{Instant, random::Random};
use std::sync::Arc;

/// Why a call ends whose channel is needed for a call for help, as both sides are told it (RFC 3326): RFC 4411 5.1 has cause 1, "UA Preemption", and Q.850 cause 8
/// is "preemption" where the channel is a telephone line.
const EVICTED: &str = "preemption;cause=1;text=\"UA Preemption\", Q.850;cause=8;text=\"Preemption\"";
/// The same for the call record.
const CAUSE: &str = "ended to make room for a call for help";

/// So many times as long as at first a call for help waits for a sign of life where it tries once more: a provider may be slow, but who calls has to hear in the
/// end that nobody answers, and take another phone.
const PATIENCE: u32 = 4;

/// A channel as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    inbound: bool,
    help: bool,
    /// What is paid with it: not always what the call's own caller would pay since it was answered, because parties change calls and come later.
    paid: Option<Paid>,
}

impl Kept {
    pub(super) fn of(channel: &Channel) -> Self {
        let Purpose { way, help } = channel.purpose();
        Self { inbound: way == Way::In, help, paid: channel.paid() }
    }
}

/// Whether somebody else's call may have to end for this one. Not for a test of the route: it shows that a trunk is full.
pub(super) const fn needs_a_channel(kind: CallKind) -> bool {
    matches!(kind, CallKind::Emergency | CallKind::Callback)
}

fn same_way(one: &LegTarget, other: &LegTarget) -> bool {
    one.trunk == other.trunk && one.flow == other.flow
}

impl Bridge {
    /// What its shard calls this call. Its channels are this one's.
    pub fn named(&mut self, name: u64, out: &mut Vec<Effect>) {
        self.name = name;
        let holder = self.holder();
        let channels = self.legs.iter().filter_map(|leg| leg.channel.as_ref()).chain(&self.inbound);
        out.extend(channels.filter_map(|channel| channel.goes_to(holder)).map(Effect::Evict));
    }

    /// Who holds its channels.
    pub(super) const fn holder(&self) -> Holder {
        Holder { shard: self.shard.0, call: self.name }
    }

    /// Takes the channel of a call that comes from a trunk. `false`: there was none, and the call is over.
    pub(super) fn comes_in(&mut self, now: Instant, out: &mut Vec<Effect>) -> bool {
        let Caller::Trunk(trunk) = &self.call.caller else { return true };
        let directory = self.site.directory();
        let capacity = directory.trunk(trunk).map(|trunk| trunk.channels).unwrap_or_default();
        if needs_a_channel(self.call.kind) {
            let (channel, evicted) = self.site.trunks.take_for_help(trunk, Way::In, &capacity, self.holder(), self.call.at);
            self.inbound = Some(channel);
            out.extend(evicted.map(Effect::Evict));
            return true;
        }
        self.inbound = self.site.trunks.take(trunk, Way::In, &capacity, self.holder(), self.call.at);
        if self.inbound.is_some() {
            return true;
        }
        let refusal = Refusal::new(503, "No Channel", format!("every channel of trunk `{trunk}` is taken"));
        out.push(Effect::Limit("trunk-channels"));
        // Without Retry-After: RFC 3261 21.5.4 would have the provider send nothing here meanwhile, not even the emergency service that calls back.
        self.refuse_caller(&refusal, out);
        self.end(503, "no channel", now, out);
        false
    }

    /// The channel of a leg that is to be dialled; `Err`: the trunk is full.
    pub(super) fn goes_out(&mut self, hunt: HuntId, target: &LegTarget, out: &mut Vec<Effect>) -> Result<Option<Channel>, ()> {
        let Some(name) = target.trunk.as_deref() else { return Ok(None) };
        let capacity = self.site.directory().trunk(name).map(|trunk| trunk.channels).unwrap_or_default();
        let (kind, since) = (self.call_of(hunt).kind, self.call_of(hunt).at);
        if needs_a_channel(kind) {
            let (channel, evicted) = self.site.trunks.take_for_help(name, Way::Out, &capacity, self.holder(), since);
            if let Some(evicted) = evicted {
                cov_mark::hit!(youngest_call_makes_room);
                // The INVITE of a call for help does not wait until the provider has heard that another call is over, and may be refused because of that.
                if self.times_dialled(hunt, target) == 0 {
                    self.once_more(hunt, target);
                }
                out.push(Effect::Evict(evicted));
            }
            return Ok(Some(channel));
        }
        let channel = self.site.trunks.take(name, Way::Out, &capacity, self.holder(), since);
        if channel.is_none() {
            out.push(Effect::Limit("trunk-channels"));
        }
        channel.map(Some).ok_or(())
    }

    /// How often a hunt has dialled this address of this trunk.
    pub(super) fn times_dialled(&self, hunt: HuntId, target: &LegTarget) -> usize {
        self.legs.iter().filter(|leg| leg.hunt == hunt && same_way(&leg.target, target)).count()
    }

    /// A call for help tries this target again when all others were tried, once, and waits longer for it. What was the last is left now when it is silent.
    pub(super) fn once_more(&mut self, hunt: HuntId, target: &LegTarget) {
        let wait = self.site.limits.emergency_trunk_wait;
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        let plan = &mut entry.plan.stages;
        let Some(now) = plan.get(entry.stage) else { return };
        let again = ResolvedStage { legs: vec![target.clone()], answer_wait: Some(wait * PATIENCE), ..now.clone() };
        let Some(ahead) = plan.get_mut(entry.stage + 1..) else { return };
        if ahead.iter().flat_map(|stage| &stage.legs).any(|leg| same_way(leg, target)) {
            return;
        }
        if let Some(last) = ahead.last_mut() {
            last.answer_wait.get_or_insert(wait);
        }
        plan.push(again);
    }

    /// The channels that the call had before a restart, whatever the limits are by now; what was paid with one is paid again, from where it began.
    pub(super) fn take_channels_again(&mut self, of_legs: Vec<Option<Kept>>, inbound: Option<Kept>, now: Instant) {
        let (site, holder) = (Arc::clone(&self.site), self.holder());
        let again = |Kept { inbound, help, paid }: Kept, trunk: &str, since: Instant| {
            let purpose = Purpose { way: if inbound { Way::In } else { Way::Out }, help };
            let toll = paid.map(|paid| site.tolls.resume(paid.payer.as_deref(), paid.answered, now));
            site.trunks.take_again(trunk, purpose, holder, since).charged(toll)
        };
        for (place, kept) in of_legs.into_iter().enumerate() {
            let since = self.legs.get(place).map_or(self.call.at, |leg| self.call_of(leg.hunt).at);
            if let (Some(kept), Some(leg)) = (kept, self.legs.get_mut(place)) {
                leg.channel = leg.target.trunk.as_deref().map(|trunk| again(kept, trunk, since));
            }
        }
        if let (Some(kept), Caller::Trunk(trunk)) = (inbound, &self.call.caller) {
            self.inbound = Some(again(kept, trunk, self.call.at));
        }
    }

    /// A stage of which nothing could be dialled because trunks are full.
    pub(super) fn no_channel(&mut self, hunt: HuntId) {
        if let Some(entry) = self.hunts.get_mut(hunt).filter(|hunt| hunt.best.is_none()) {
            entry.best = Some(Best::Refusal(Refusal::new(503, "No Channel", "every channel of a trunk is taken")));
        }
    }

    /// A call for help needs this channel. `false`: this call does not have it any more.
    pub fn evicted(&mut self, channel: u64, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let start = out.len();
        let had = self.make_room(channel, now, random, out);
        self.forget_unasked();
        self.find_ways(start, now, out);
        had
    }

    fn make_room(&mut self, channel: u64, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let is = |held: &Option<Channel>| held.as_ref().is_some_and(|held| held.number() == channel);
        if is(&self.inbound) {
            match self.state {
                State::Ringing => {
                    self.refuse_caller_because(480, "Temporarily Unavailable", EVICTED, out);
                    self.call_off(0, None, Some(EVICTED), out);
                    self.end(480, CAUSE, now, out);
                }
                State::Answered(_) => self.hang_up_with(Farewell::Reason(EVICTED), CAUSE, now, out),
                State::Ended => {}
            }
            self.inbound = None;
            return true;
        }
        let Some(place) = self.legs.iter().position(|leg| is(&leg.channel)) else { return false };
        let Some(leg) = self.legs.get_mut(place) else { return false };
        leg.release();
        match leg.state {
            LegState::Ringing if !leg.adopted => {
                let (hunt, send) = (leg.hunt, leg.send);
                leg.state = LegState::Evicted;
                out.push(Effect::Cancel { id: send, reason: Some(EVICTED.into()) });
                self.no_channel(hunt);
                if self.hunts_on(hunt) && !self.stage_rings(hunt) {
                    self.stage_over(hunt, false, now, random, out);
                }
            }
            LegState::Cancelled | LegState::Evicted | LegState::Forwarded(_) => {}
            LegState::Ringing | LegState::Dead => self.evict_party(place, now, out),
        }
        true
    }

    /// Whoever talks on the trunk goes, and the call with it, unless it goes on without that party.
    fn evict_party(&mut self, leg: usize, now: Instant, out: &mut Vec<Effect>) {
        let of_leg = |party: usize| self.parties.get(party).is_some_and(|party| party.leg == Some(leg));
        let talks = match self.state {
            State::Answered(place) => self.pairs.get(place).is_some_and(|pair| of_leg(pair.caller) || of_leg(pair.callee)),
            State::Ringing => self.legs.get(leg).is_some_and(|leg| leg.adopted),
            State::Ended => return,
        };
        if talks && matches!(self.state, State::Answered(_)) {
            return self.hang_up_with(Farewell::Reason(EVICTED), CAUSE, now, out);
        }
        if let Some(party) = (0..self.parties.len()).find(|party| of_leg(*party)) {
            if !self.joins(party) {
                self.bye(party, Farewell::Reason(EVICTED), out);
            }
            self.hung_up_aside(party, now, out);
        }
        if talks {
            self.refuse_caller_because(480, "Temporarily Unavailable", EVICTED, out);
            self.end(480, CAUSE, now, out);
        }
    }
}
