//! What a call to the outside costs, from its first leg on a trunk to its end ([`crate::toll`]). A call for help costs nothing.

use super::{Best, Bridge, Effect, Pair, State, channels::needs_a_channel, hunt::HuntId};
use crate::{
    facts::{CallKind, Caller},
    plan::LegTarget,
    toll::{self, Bite, Toll},
    trunk::{Purpose, Way},
};
use sip::Instant;

impl Bridge {
    /// What has to be paid for a target before it is dialled; nothing for a phone.
    pub(super) fn toll(&self, hunt: HuntId, target: &LegTarget, now: Instant) -> Result<Option<Toll>, Bite> {
        let call = self.call_of(hunt);
        if target.trunk.is_none() || call.kind != CallKind::Normal {
            return Ok(None);
        }
        let directory = self.site.directory();
        let payer = toll::payer(call, &directory);
        // It was admitted when it was decided about; meanwhile others may have begun.
        self.site.tolls.begin(payer, &directory.tolls, now).map(Some)
    }

    /// A target is not dialled, because somebody would have to pay too much.
    pub(super) fn cannot_pay(&mut self, hunt: HuntId, bite: Bite, out: &mut Vec<Effect>) {
        out.push(Effect::Limit(bite.counter()));
        let refusal = bite.refusal(toll::payer(self.call_of(hunt), &self.site.directory()).unwrap_or("the site"));
        if let Some(entry) = self.hunts.get_mut(hunt) {
            entry.best.get_or_insert(Best::Refusal(refusal));
        }
    }

    /// Two parties talk now: what their legs cost runs, and they do not rest.
    pub(super) fn talk_begins(&mut self, now: Instant) {
        let State::Answered(place) = self.state else { return };
        let Some(Pair { caller, callee }) = self.pairs.get(place).copied() else { return };
        let mut talks = Vec::with_capacity(2);
        for party in [caller, callee] {
            let leg = self.parties.get(party).and_then(|party| party.leg);
            if let Some(toll) = leg.and_then(|leg| self.legs.get_mut(leg)?.channel.as_mut()?.toll()) {
                toll.answered(now);
            }
            let endpoint = match (leg, &self.call.caller) {
                (Some(leg), _) => self.legs.get(leg).and_then(|leg| leg.target.endpoint.as_deref()),
                (None, Caller::Endpoint(endpoint)) => Some(endpoint.id.as_str()),
                (None, Caller::Trunk(_) | Caller::Unknown) => None,
            };
            talks.extend(endpoint.filter(|_| self.call.kind == CallKind::Normal).map(|endpoint| self.site.idle.begin(endpoint, now)));
        }
        for talk in std::mem::replace(&mut self.talks, talks) {
            talk.end(now);
        }
    }

    /// What the call has cost so far.
    pub(super) fn pay_until(&mut self, now: Instant) {
        for toll in self.legs.iter_mut().filter_map(|leg| leg.channel.as_mut()?.toll()) {
            toll.runs_until(now);
        }
    }

    /// When what the call costs is to be looked at.
    pub(super) fn toll_due(&self) -> Option<Instant> {
        if self.legs.iter().all(|leg| leg.channel.is_none()) {
            return None;
        }
        let directory = self.site.directory();
        self.legs.iter().filter_map(|leg| leg.channel.as_ref()?.due(&directory.tolls)).min()
    }

    /// Ends the call when it has become too long or too dear.
    pub(super) fn look_at_tolls(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let directory = self.site.directory();
        let tolls = self.legs.iter_mut().filter_map(|leg| leg.channel.as_mut()?.toll());
        let due = tolls.filter(|toll| toll.due(&directory.tolls).is_some_and(|at| at <= now));
        let bites: Vec<_> = due.filter_map(|toll| toll.look(&directory.tolls, now)).collect();
        if let Some(bite) = bites.first() {
            out.push(Effect::Limit(bite.counter()));
            self.hang_up(None, bite.cause(), now, out);
        }
    }

    /// A trunk that was given up answers after all: what its leg held and cost had gone.
    pub(super) fn pays_after_all(&mut self, leg: usize, now: Instant) {
        let Some((trunk, hunt)) = self.legs.get(leg).and_then(|leg| Some((leg.target.trunk.clone()?, leg.hunt))) else { return };
        let call = self.call_of(hunt);
        let purpose = Purpose { way: Way::Out, help: needs_a_channel(call.kind) };
        let toll = (call.kind == CallKind::Normal).then(|| self.site.tolls.resume(toll::payer(call, &self.site.directory()), None, now));
        let again = || self.site.trunks.take_again(&trunk, purpose, self.holder(), call.at);
        let Some(held) = self.legs.get(leg).map(|leg| leg.channel.is_none()) else { return };
        let again = held.then(again);
        let Some(entry) = self.legs.get_mut(leg) else { return };
        entry.channel = entry.channel.take().or(again).map(|mut channel| match channel.toll() {
            Some(_) => channel,
            None => channel.charged(toll),
        });
    }
}
