//! The way to a phone whose connection is gone.
//!
//! A phone behind TCP or TLS is reached down the connection over which it speaks. When that is lost in the middle of a call (or with the process that
//! held it), the phone registers again over a new one, and there its dialogs go on: RFC 5626 5.3 has requests sent over any flow that is registered for the same
//! instance. Where we notice only by a request that did not go out, the request waits until the phone is there again, but not longer than its transaction
//! would have waited for an answer. Datagrams have no connection to lose, and nothing here touches them.

use super::{Bridge, Effect, Sent, leg::LegState};
use crate::{
    facts::Caller,
    registrar::{Binding, same_contact},
};
use sip::{Instant, build::Request, stack::Failure, transport::Flow};
use std::{sync::Arc, time::Duration};

/// How often it is looked whether the phone has connected again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a request waits for that: 64*T1.
const WAIT: Duration = Duration::from_secs(32);

/// A request on a connection, until it is answered.
#[derive(Debug)]
pub(super) struct Held {
    id: super::SendId,
    request: Request,
    flow: Flow,
    /// The connection was gone: when to look for another…
    look: Option<Instant>,
    /// …which has been found…
    found: Option<Flow>,
    /// …and until when, from the first time on.
    until: Option<Instant>,
}

/// The only other phone of an account was taken for the one whose connection is gone.
#[derive(Debug)]
pub(super) struct Guess {
    /// The dialogs that went on there.
    parties: Vec<usize>,
    lost: Flow,
    taken: Flow,
    /// It knows nothing of the call.
    wrong: bool,
}

/// Whose connection it is.
enum Whose {
    Phone {
        endpoint: Arc<str>,
        instance: Option<Arc<str>>,
        contact: Vec<u8>,
    },
    /// A trunk's, which we can make again ourselves.
    Trunk(Flow),
}

impl Bridge {
    /// Has everything in `out` behind `start` go the way where its phone is now.
    pub(super) fn find_ways(&mut self, start: usize, now: Instant, out: &mut Vec<Effect>) {
        let mut place = start;
        // Both parties may be behind one connection, and neither is known by it any more once it has been replaced.
        let mut replaced: Vec<(Flow, Flow)> = Vec::new();
        while let Some(effect) = out.get(place) {
            let way = match effect {
                Effect::Send { flow, .. } | Effect::Ack { flow, .. } => Some(*flow),
                Effect::Again(again) => Some(again.flow),
                Effect::Respond { id, .. } if Some(*id) == self.invite => Some(self.call.flow),
                Effect::Cancel { id, .. } => self.legs.iter().find(|leg| leg.send == *id).map(|leg| leg.target.flow),
                _ => None,
            };
            let connected = way.filter(|flow| flow.transport.reliable() && flow.connection != 0);
            let other = connected.and_then(|flow| {
                let known = replaced.iter().find(|(lost, _)| *lost == flow).map(|(_, other)| *other);
                let other = known.or_else(|| self.way_instead(flow, false, now))?;
                replaced.push((flow, other));
                Some(other)
            });
            if other.is_some() {
                let found = self.found();
                let here = place;
                place += found.len();
                out.splice(here..here, found);
            }
            match (out.get_mut(place), other) {
                (Some(Effect::Send { flow, .. } | Effect::Ack { flow, .. }), Some(other)) => *flow = other,
                (Some(Effect::Again(again)), Some(other)) => again.flow = other,
                (Some(Effect::Respond { id, .. }), Some(flow)) => {
                    let id = *id;
                    out.insert(place, Effect::Redirect { id, flow });
                    place += 1;
                }
                (Some(Effect::Cancel { id, .. }), Some(flow)) => {
                    let id = *id;
                    out.insert(place, Effect::Reroute { id, flow });
                    place += 1;
                }
                _ => {}
            }
            if let Some(Effect::Send { id, request, flow }) = out.get(place)
                && flow.transport.reliable()
                && !self.sent.iter().any(|(sent, what)| sent == id && self.begins_a_dialog(what))
            {
                let until = self.held.iter().find(|held| held.id == *id).and_then(|held| held.until);
                self.held.retain(|held| held.id != *id);
                self.held.push(Held { id: *id, request: request.clone(), flow: *flow, look: None, found: None, until });
            }
            place += 1;
        }
    }

    /// What waited for a connection that has been found, in the order in which it was asked: RFC 3261 12.2.2 has a lower CSeq refused after a higher one.
    fn found(&mut self) -> Vec<Effect> {
        let mut found = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.look.is_some()) {
            if let Some(flow) = held.found.take() {
                cov_mark::hit!(connection_found_again);
                (held.flow, held.look) = (flow, None);
                found.push((held.id, Effect::Send { id: held.id, request: held.request.clone(), flow }));
            }
        }
        found.sort_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, effect)| effect).collect()
    }

    /// A phone that is not there does not ring. One that was taken from another call is talking: nobody else has it.
    fn begins_a_dialog(&self, what: &Sent) -> bool {
        matches!(what, Sent::Invite(leg) if !self.legs.get(*leg).is_some_and(|leg| leg.adopted))
    }

    /// A request could not be sent: `true` when it waits for its phone to connect again.
    pub(super) fn waits_for_connection(&mut self, id: super::SendId, why: Failure, now: Instant, out: &mut Vec<Effect>) -> bool {
        let Some(held) = self.held.iter_mut().find(|held| held.id == id) else { return false };
        if why != Failure::Unreachable {
            self.answered_on_connection(id);
            return false;
        }
        // At once the first time; a second one may be just as dead.
        held.look = Some(if held.until.is_none() { now } else { now + LOOK_EVERY });
        held.until.get_or_insert(now + WAIT);
        out.extend(self.found());
        self.look_for_connections(now, out);
        true
    }

    /// Whether a request was refused by a phone that had only been taken for another: then it waits for the right one. Who takes it knows the
    /// call, and is not doubted any more.
    pub(super) fn went_astray(&mut self, id: super::SendId, status: u16, now: Instant) -> bool {
        let Some(held) = self.held.iter_mut().find(|held| held.id == id) else { return false };
        let Some(guess) = self.guesses.iter_mut().find(|guess| guess.taken == held.flow) else { return false };
        if status != 481 {
            if status < 300 && !guess.wrong {
                cov_mark::hit!(the_right_phone_of_the_account);
                let lost = guess.lost;
                self.guesses.retain(|guess| guess.lost != lost);
            }
            return false;
        }
        cov_mark::hit!(another_phone_of_the_account);
        guess.wrong = true;
        (held.flow, held.look, held.found) = (guess.lost, Some(now + LOOK_EVERY), None);
        held.until.get_or_insert(now + WAIT);
        for place in &guess.parties {
            if let Some(party) = self.parties.get_mut(*place).filter(|party| party.dialog.flow == guess.taken) {
                party.dialog.flow = guess.lost;
            }
        }
        true
    }

    /// It has its answer, or none will come.
    pub(super) fn answered_on_connection(&mut self, id: super::SendId) {
        self.held.retain(|held| held.id != id);
    }

    /// What nobody waits for any more, because the call has ended, is not sent again.
    pub(super) fn forget_unasked(&mut self) {
        let sent = &self.sent;
        self.held.retain(|held| sent.iter().any(|(id, _)| *id == held.id));
    }

    /// When to look next.
    pub(super) fn look_due(&self) -> Option<Instant> {
        self.held.iter().filter_map(|held| held.look).min()
    }

    /// Sends what waits for a connection that is there now.
    pub(super) fn look_for_connections(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for place in 0..self.held.len() {
            let Some(flow) = self.held.get(place).filter(|held| held.look.is_some_and(|at| at <= now)).map(|held| held.flow) else {
                continue;
            };
            match self.way_instead(flow, true, now) {
                Some(_) => out.extend(self.found()),
                None => {
                    if let Some(held) = self.held.get_mut(place) {
                        held.look = Some(now + LOOK_EVERY);
                    }
                }
            }
        }
    }

    /// A request that has waited long enough.
    pub(super) fn waited_long_enough(&mut self, now: Instant) -> Option<super::SendId> {
        let place = self.held.iter().position(|held| held.look.is_some() && held.until.is_some_and(|until| until <= now))?;
        Some(self.held.swap_remove(place).id)
    }

    /// The way that leads to whoever was behind `flow`, when it is another one now. `lost`: nothing goes down that connection any more.
    fn way_instead(&mut self, flow: Flow, lost: bool, now: Instant) -> Option<Flow> {
        let lost = lost || flow.lost();
        let other = match self.whose(flow)? {
            Whose::Trunk(first) => first,
            Whose::Phone { endpoint, instance, contact } => {
                let bindings = self.site.registrar.bindings(&endpoint, now);
                let here = bindings.iter().find(|binding| binding.flow == flow);
                if let Some(binding) = here.filter(|_| !lost) {
                    // Not from one that was only taken for it, as long as that has not shown that it knows the call.
                    let guesses = &self.guesses;
                    let doubted = |place| guesses.iter().any(|guess| guess.taken == flow && guess.parties.contains(&place));
                    for (place, party) in self.parties.iter_mut().enumerate().filter(|(_, party)| party.dialog.flow == flow) {
                        if !doubted(place) {
                            party.instance = binding.instance.as_ref().map(|instance| instance.to_string());
                        }
                    }
                    return None;
                }
                // A lost connection has no binding any more, so that this is asked of few messages.
                let lost = lost || self.site.registrar.is_lost(flow.connection);
                let instance = instance.or_else(|| here.and_then(|binding| binding.instance.clone()));
                let elsewhere = || bindings.iter().filter(|binding| binding.flow != flow && !binding.flow.lost());
                let same = elsewhere().find(|binding| instance.is_some() && binding.instance == instance);
                let contact = std::str::from_utf8(&contact).unwrap_or_default();
                let same = same.or_else(|| elsewhere().find(|binding| same_contact(&binding.contact, contact)));
                // Another phone of this account is taken for the same one, unless both say who they are, and rather one at the same address: at worst it
                // knows nothing of the call, and says so. Not where the connection may be well and only the registration gone: its answer would be lost to
                // the phone that waits for it.
                let tried = || self.guesses.iter().filter(|guess| guess.lost == flow);
                let wrong = |other: Flow| tried().any(|guess| guess.wrong && guess.taken == other);
                // An account has no more phones than that; those that connect again and again are not asked for ever.
                let guessing = lost && tried().count() < self.site.limits.bindings_per_endpoint;
                let strange = |binding: &Binding| instance.is_some() && binding.instance.is_some();
                let others = || elsewhere().filter(|binding| guessing && !strange(binding) && !wrong(binding.flow));
                match same {
                    Some(binding) => binding.flow,
                    None => {
                        let near = others().find(|binding| binding.flow.remote.ip() == flow.remote.ip());
                        let taken = near.or_else(|| others().next())?.flow;
                        let parties =
                            self.parties.iter().enumerate().filter(|(_, party)| party.dialog.flow == flow).map(|(place, _)| place);
                        self.guesses.push(Guess { parties: parties.collect(), lost: flow, taken, wrong: false });
                        taken
                    }
                }
            }
        };
        if other == flow {
            return None;
        }
        for party in self.parties.iter_mut().filter(|party| party.dialog.flow == flow) {
            party.dialog.flow = other;
        }
        for leg in self.legs.iter_mut().filter(|leg| leg.target.flow == flow && leg.target.trunk.is_none()) {
            leg.target.flow = other;
        }
        if self.call.flow == flow {
            self.call.flow = other;
        }
        // All that waits for this phone, whichever of it was looked at: nobody is known by the old connection any more.
        for held in self.held.iter_mut().filter(|held| held.flow == flow) {
            held.found = Some(other);
        }
        Some(other)
    }

    fn whose(&self, flow: Flow) -> Option<Whose> {
        let party = self.parties.iter().find(|party| party.dialog.flow == flow);
        let leg = match party {
            Some(party) => party.leg.and_then(|leg| self.legs.get(leg)),
            None => self.legs.iter().find(|leg| leg.target.flow == flow && leg.state != LegState::Dead),
        };
        let instance = party.and_then(|party| party.instance.as_deref().map(Arc::from));
        let contact = |default: &[u8]| party.map_or_else(|| default.to_vec(), |party| party.dialog.remote_target.clone());
        match (leg, &self.call.caller) {
            (Some(leg), _) => match (&leg.target.endpoint, &leg.target.trunk) {
                (Some(endpoint), _) => {
                    Some(Whose::Phone { endpoint: endpoint.as_str().into(), instance, contact: contact(leg.target.uri.as_bytes()) })
                }
                (None, Some(_)) => Some(Whose::Trunk(leg.target.flow)),
                (None, None) => None,
            },
            (None, Caller::Endpoint(endpoint)) if party.is_some() || self.call.flow == flow => {
                let asked = self.call.message.contact().map(|contact| contact.uri.to_vec()).unwrap_or_default();
                Some(Whose::Phone { endpoint: endpoint.id.as_str().into(), instance, contact: contact(&asked) })
            }
            (None, _) => None,
        }
    }
}
