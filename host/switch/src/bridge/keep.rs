//! What of a call outlives the process, and the bridge made again from it.
//!
//! Media goes from phone to phone, so that a call can outlive the gateway; what it needs then is whatever a bridge needs to go on. Nearly all of it is
//! kept as it is, in two parts: [`FactsOf`] (the INVITE, who called, what is still to be tried) is large and changes when a call is sent on, [`CourseOf`]
//! (legs, dialogs, what is unacknowledged) changes when somebody rings, answers or moves. [`Bridge::stamps`] tells when either has to be written again.
//!
//! Not kept is what a peer repeats or asks again by itself: requests that are just being relayed, the moment of the next check; nor ACKs, which are made
//! anew, without a session, should a 2xx still come again that was acknowledged before. Nor is each
//! request inside a dialog written down: instead the dialogs of a bridge that was made again go on with a CSeq that is higher than any that can have
//! been used. RFC 3261 12.2.1.1 asks for "strictly monotonically increasing" numbers and 12.2.2 says: "It is possible for the CSeq sequence number to be
//! higher than the remote sequence number by more than one. This is not an error condition".
//!
//! The alternative, to carry what is needed in the tags, Contact and routes that we hand out, would need no file; but a trunk channel, a ringing time and
//! the stages that are still to be tried do not fit into a Contact, and a phone that shows its Contact to others would show them with it.

use super::{
    ACK_WAIT, Best, Bridge, Effect, Home, Pair, Party, SendId, Sent, State,
    channels::Kept,
    hunt::{Hunt, Origin},
    leg::{Leg, LegState},
    parked::Parked,
    relay::AckRoute,
    reliable::{Reliable, Wants},
    transfer::{Leaving, Transfer},
    write,
};
use crate::{
    decision::Refusal,
    directory::Directory,
    facts::{Call, Caller},
    record::Said,
    site::Site,
};
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use sip::{
    Instant,
    build::Request,
    dialog::Dialog,
    random::Random,
    stack::{Heard, ServerId},
    transport::Flow,
};
use std::{
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

/// A bridge is written down again at the latest when one of its dialogs has used so many numbers (a power of two)…
const CSEQ_STEP: u32 = 1 << 12;
/// …so that after so many more there are none that were used.
const CSEQ_JUMP: u32 = 2 * CSEQ_STEP;
/// Within this time after a restart each talking call is checked: who has hung up meanwhile could not tell us. Spread, so that not all are asked at once.
const CHECK_SPREAD: u64 = 60;

/// What the call is and what is still to be tried, to be written down.
#[derive(Debug, Serialize)]
pub struct FactsOf<'a> {
    call: &'a Call,
    hunts: &'a [Hunt],
    forwards: usize,
    transfers: usize,
    said: &'a [Said],
}

/// The same, read again.
#[derive(Debug, Deserialize)]
pub struct Facts {
    call: Call,
    hunts: Vec<Hunt>,
    forwards: usize,
    transfers: usize,
    said: Vec<Said>,
}

impl Facts {
    /// Who called whom.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }
}

/// How far it has come, to be written down.
#[derive(Debug, Serialize)]
pub struct CourseOf<'a> {
    invite: Option<ServerId>,
    state: State,
    legs: &'a [Leg],
    channels: Vec<Option<Kept>>,
    inbound: Option<Kept>,
    parties: &'a [Party],
    pairs: &'a [Pair],
    sent: Vec<(SendId, usize)>,
    next_send: SendId,
    acks: &'a [AckRoute],
    reliables: &'a [Reliable],
    transfer: &'a Option<Transfer>,
    gone: Option<usize>,
    parked: &'a Option<Parked>,
    leaving: &'a [Leaving],
    unacknowledged: bool,
    answered_at: Option<Instant>,
    answered_by: &'a Option<String>,
    ringing_at: Option<Instant>,
}

/// The same, read again.
#[derive(Debug, Deserialize)]
pub struct Course {
    invite: Option<ServerId>,
    state: State,
    legs: Vec<Leg>,
    channels: Vec<Option<Kept>>,
    inbound: Option<Kept>,
    parties: Vec<Party>,
    pairs: Vec<Pair>,
    sent: Vec<(SendId, usize)>,
    next_send: SendId,
    acks: Vec<AckRoute>,
    reliables: Vec<Reliable>,
    transfer: Option<Transfer>,
    gone: Option<usize>,
    parked: Option<Parked>,
    leaving: Vec<Leaving>,
    unacknowledged: bool,
    answered_at: Option<Instant>,
    answered_by: Option<String>,
    ringing_at: Option<Instant>,
}

impl Course {
    /// Whether the caller's INVITE still has a transaction, and then, whether it has had its 2xx.
    #[must_use]
    pub fn invite(&self, now: Instant) -> Option<bool> {
        self.invite?;
        match self.state {
            State::Ringing => Some(false),
            // Until then the INVITE, or its ACK, may come again.
            State::Answered(_) => self.answered_at.filter(|at| self.unacknowledged || *at + ACK_WAIT > now).map(|_| true),
            State::Ended => None,
        }
    }

    /// The dialogs that the call talks in: Call-ID, our tag, and the number of our last request in it, as far as it was written down.
    pub fn dialogs(&self) -> impl Iterator<Item = (&[u8], &[u8], u32)> {
        let parties = self.parties.iter().filter(|_| !self.ended());
        parties.map(|Party { dialog, .. }| (dialog.call_id.as_slice(), dialog.local_tag.as_slice(), dialog.local_cseq))
    }

    /// Whether the call had ended, and only somebody's last answer was missing.
    #[must_use]
    pub const fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}

/// Numbers that change whenever the part of that name must be written down again; 0 where nothing of it has to be any more.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stamps {
    /// Of [`FactsOf`].
    pub facts: u64,
    /// Of what in [`CourseOf`] must be known before anybody hears of it.
    pub course: u64,
    /// Of what in [`CourseOf`] may be written a moment later, since after a restart it is said again or found out: that somebody rings (the INVITE is
    /// repeated), that an answer was acknowledged (the answer is repeated), that the call has ended (it is checked).
    pub late: u64,
}

/// The client transaction of an INVITE, to be made again ([`sip::stack::Stack::restore_invite_client`]).
#[derive(Debug)]
pub struct Again {
    /// What the bridge calls it.
    pub id: SendId,
    /// The INVITE. Its credentials are gone: a peer that has heard it before does not ask for them again.
    pub request: Request,
    /// The way that it went.
    pub flow: Flow,
    /// What was heard of it.
    pub heard: Heard,
}

impl Bridge {
    /// What the call is.
    #[must_use]
    pub fn facts(&self) -> FactsOf<'_> {
        FactsOf { call: &self.call, hunts: &self.hunts, forwards: self.forwards, transfers: self.transfers, said: &self.said }
    }

    /// How far it has come.
    #[must_use]
    pub fn course(&self) -> CourseOf<'_> {
        CourseOf {
            invite: self.invite,
            state: self.state,
            legs: &self.legs,
            channels: self.legs.iter().map(|leg| leg.channel.as_ref().map(Kept::of)).collect(),
            inbound: self.inbound.as_ref().map(Kept::of),
            parties: &self.parties,
            pairs: &self.pairs,
            sent: self.invites().collect(),
            next_send: self.next_send,
            acks: &self.acks,
            reliables: &self.reliables,
            transfer: &self.transfer,
            gone: self.gone,
            parked: &self.parked,
            leaving: &self.leaving,
            unacknowledged: self.ack_ends.is_some(),
            answered_at: self.answered_at,
            answered_by: &self.answered_by,
            ringing_at: self.ringing_at,
        }
    }

    /// INVITEs to targets whose answers can still come.
    pub fn invites(&self) -> impl Iterator<Item = (SendId, usize)> + '_ {
        self.sent.iter().filter_map(|(id, sent)| if let Sent::Invite(leg) = sent { Some((*id, *leg)) } else { None })
    }

    /// Our dialogs: Call-ID and our tag. One that has been given away is another call's.
    pub fn dialogs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        let templates = self.legs.iter().map(|leg| &leg.template);
        let parties = self.parties.iter().map(|party| &party.dialog);
        templates.chain(parties).map(|dialog| (dialog.call_id.as_slice(), dialog.local_tag.as_slice()))
    }

    /// Tells whether something has changed that must be written down. Cheap: no peer chooses what is compared, so that a hash without a secret is safe
    /// enough; at worst a change is written with the next one.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        let mut facts = FxHasher::default();
        (self.hunts.len(), self.forwards, self.transfers, self.call.flow).hash(&mut facts);
        for hunt in &self.hunts {
            (hunt.stage, hunt.plan.stages.len(), hunt.best.as_ref().map(Best::status), hunt.call.is_some()).hash(&mut facts);
            if !matches!(hunt.origin, Origin::Caller) {
                hunt.live.hash(&mut facts);
            }
        }
        let (mut course, mut late) = (FxHasher::default(), FxHasher::default());
        (self.state, self.pairs.len(), self.gone, self.leaving.len(), self.inbound.is_some()).hash(&mut course);
        for leg in &self.legs {
            (leg.state, leg.send, leg.channel.is_some()).hash(&mut course);
        }
        let parties = if self.state == State::Ringing { &mut late } else { &mut course };
        for Party { dialog, instance, .. } in &self.parties {
            (dialog.flow, &dialog.remote_target, dialog.remote_tag.len(), dialog.local_cseq / CSEQ_STEP).hash(parties);
            // By it the phone is known again that has to connect anew after a restart.
            instance.is_some().hash(parties);
        }
        self.answers.hash(&mut course);
        (self.acks.len(), self.ringing_at.is_some()).hash(&mut late);
        for reliable in &self.reliables {
            reliable.mark().hash(&mut course);
        }
        self.transfer.as_ref().map(Transfer::mark).hash(&mut course);
        self.mark_of_parked().hash(&mut course);
        if self.state == State::Ended {
            (facts.finish(), course.finish()).hash(&mut late);
            return Stamps { facts: 0, course: 0, late: late.finish() | 1 };
        }
        Stamps { facts: facts.finish() | 1, course: course.finish() | 1, late: late.finish() | 1 }
    }

    /// Makes a bridge again from what was kept of it. `invite` is the caller's INVITE transaction, made again as well.
    ///
    /// `out` asks for the client transactions of what rings ([`Effect::Again`]), and for whatever had been asked for and not been answered. A transfer
    /// that was just exchanging session descriptions cannot be taken up; then both sides are hung up. `None` when the INVITE is unusable, which
    /// it was not when it was written.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "as Bridge::new, and what was kept")]
    pub fn restore(
        site: Arc<Site>,
        facts: Facts,
        course: Course,
        invite: ServerId,
        home: Home,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) -> Option<Self> {
        let Facts { mut call, hunts, forwards, transfers, said } = facts;
        call.flow = call.flow.restarted();
        let caller = Dialog::as_server(&call.message, "", call.flow)?;
        let wants = Wants::of(&call.message);
        let mut bridge = Self {
            site,
            call,
            name: 0,
            inbound: None,
            invite: course.invite.map(|_| invite),
            caller,
            wants,
            reliables: course.reliables,
            replaces: None,
            // A picker whose session was just being exchanged has to pick up again.
            pickup: None,
            state: course.state,
            hunts,
            forwards,
            legs: course.legs,
            parties: course.parties,
            pairs: course.pairs,
            sent: Vec::new(),
            next_send: course.next_send,
            acks: course.acks,
            answers: 0,
            held: Vec::new(),
            guesses: Vec::new(),
            transfer: course.transfer,
            transfers,
            gone: course.gone,
            parked: course.parked,
            leaving: course.leaving,
            ack_ends: None,
            silent: None,
            check_at: course.answered_at.map(|_| now + Duration::from_secs(1 + random.next_u64() % CHECK_SPREAD)),
            answered_at: course.answered_at,
            answered_by: course.answered_by,
            ringing_at: course.ringing_at,
            said,
            restored: true,
            alone: None,
            talks: Vec::new(),
            call_id: home.call_id,
            shard: (home.index, home.shards),
        };
        bridge.know_again();
        for leg in &mut bridge.legs {
            leg.target.flow = leg.target.flow.restarted();
        }
        bridge.take_channels_again(course.channels, course.inbound, now);
        bridge.talk_begins(now);
        for Party { dialog, leg, .. } in &mut bridge.parties {
            // A connection that we made to a trunk ended with the process that made it.
            let made = leg.and_then(|leg| bridge.legs.get(leg)).filter(|leg| leg.target.trunk.is_some() && leg.target.flow.connection == 0);
            dialog.flow = match made.filter(|leg| leg.target.flow.transport.reliable()) {
                Some(leg) => leg.target.flow,
                None => dialog.flow.restarted(),
            };
            dialog.local_cseq = dialog.local_cseq.saturating_add(CSEQ_JUMP);
        }
        // Answers that were relayed are not repeated by this process, so that no ACK would come for them either; whoever gave them repeats them until it
        // has one of ours.
        bridge.acks.retain_mut(|ack| ack.restored(course.invite, invite));
        bridge.ack_ends = (!bridge.acks.is_empty()).then(|| now + ACK_WAIT);
        bridge.park_again();
        if bridge.state != State::Ringing {
            bridge.close(0);
            if let Some(hunt) = bridge.hunts.first_mut() {
                (hunt.stage_ends, hunt.answer_wait_ends) = (None, None);
            }
        }
        for (id, leg) in course.sent {
            bridge.ring_again(id, leg, now, out);
        }
        bridge.ask_again(now, random, out);
        bridge.find_ways(0, now, out);
        Some(bridge)
    }

    /// Endpoints are those of the directory in force. One that is gone meanwhile stays what it was in this call, and may make no other.
    fn know_again(&mut self) {
        let directory = self.site.directory();
        let parked = self.parked.as_mut().and_then(|parked| parked.back.as_deref_mut());
        let calls = self.hunts.iter_mut().filter_map(|hunt| hunt.call.as_deref_mut()).chain([&mut self.call]).chain(parked);
        for call in calls {
            if let Caller::Endpoint(endpoint) = &mut call.caller {
                endpoint::known(endpoint, &directory);
            }
        }
        for hunt in &mut self.hunts {
            if let Origin::Forward(forward) = &mut hunt.origin {
                endpoint::known(&mut forward.by, &directory);
            }
        }
    }

    /// The INVITE to a target waits for its answers again.
    fn ring_again(&mut self, id: SendId, place: usize, now: Instant, out: &mut Vec<Effect>) {
        let Some(leg) = self.legs.get(place) else { return };
        let heard = match leg.state {
            // Who was taken from another call counts as alive before it has been heard; should it ring, it hears its INVITE twice and loses nothing.
            LegState::Ringing | LegState::Cancelled | LegState::Evicted if leg.alive && !leg.adopted => Heard::Provisional,
            LegState::Ringing | LegState::Cancelled | LegState::Evicted => Heard::Nothing,
            // Its 2xx comes again until the ACK has arrived (RFC 3261 13.3.1.4).
            LegState::Dead | LegState::Forwarded(_) if self.answered_at.is_none_or(|at| at + ACK_WAIT > now) => Heard::Answer,
            LegState::Dead | LegState::Forwarded(_) => return,
        };
        let number = leg.template.local_cseq.saturating_sub(1);
        let adopted = self.parties.iter().position(|party| leg.adopted && party.leg == Some(place));
        let (request, flow) = match adopted.and_then(|party| Some((party, self.parties.get(party)?))) {
            Some((party, Party { dialog, .. })) => {
                let mut dialog = Dialog { local_cseq: number, ..dialog.clone() };
                let Some(question) = self.question(place, party, &mut dialog, None) else { return };
                question
            }
            None => {
                let mut template = Dialog { local_cseq: number, ..leg.template.clone() };
                let flow = leg.target.flow;
                let directory = self.site.directory();
                (write::invite(&mut template, self.call_of(leg.hunt), &leg.target, &leg.identity, None, leg.rel, &directory), flow)
            }
        };
        let cancelled = leg.state.is_cancelled();
        self.sent.push((id, Sent::Invite(place)));
        out.push(Effect::Again(Again { id, request, flow, heard }));
        if cancelled {
            out.push(Effect::Cancel { id, reason: None });
        }
    }

    /// What was asked of the shell and not answered is asked again, where that is possible.
    fn ask_again(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let lost = |what: &'static str| Refusal::new(503, "Service Unavailable", what);
        if self.transfer.is_some() {
            if self.joining() {
                self.transfer_over(503, "Service Unavailable", out);
                self.hang_up(None, "the gateway was restarted in the middle of a transfer", now, out);
                return;
            }
            let hunt = self.transfer.as_ref().map(|transfer| transfer.hunt);
            if hunt.is_some_and(|hunt| self.legs.iter().all(|leg| leg.hunt != hunt)) {
                self.transfer_failed(503, "Service Unavailable", now, out);
            }
        }
        // Somebody who is called back and away is looked for again when the pause is over.
        let pauses = self.hunts.first().is_some_and(|hunt| hunt.stage_ends.is_some());
        let goes_on = |hunt: &Hunt| hunt.live && matches!(hunt.origin, Origin::Forward(_));
        if self.state == State::Ringing && self.legs.is_empty() && !pauses && !self.hunts.iter().any(goes_on) {
            self.routed(0, Err(lost("the gateway was restarted while a call was being taken over")), now, random, out);
            return;
        }
        let idle = |place: usize, hunt: &Hunt| {
            let nobody = hunt.plan.stages.is_empty() && self.legs.iter().all(|leg| leg.hunt != place);
            matches!(hunt.origin, Origin::Forward(_)) && self.hunts_on(place) && nobody
        };
        let waiting = self.hunts.iter().enumerate().filter(|(place, hunt)| idle(*place, hunt));
        out.extend(waiting.filter_map(|(hunt, entry)| Some(Effect::Route { hunt, call: entry.call.clone()? })));
    }
}

/// `#[serde(with = "…")]` for an endpoint that has a part in a call: what the call must know of it, and no password.
pub(crate) mod endpoint {
    use super::{Arc, Deserialize, Directory, Serialize};
    use crate::directory::Endpoint;
    use serde::{Deserializer, Serializer};
    use sip::digest::Ha1;

    #[derive(Serialize)]
    struct Written<'a>(&'a str, &'a str, &'a str, &'a Option<String>);

    #[derive(Deserialize)]
    struct Read(String, String, String, Option<String>);

    pub(crate) fn serialize<S: Serializer>(endpoint: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
        let Endpoint { id, extension, name, location, .. } = endpoint;
        Written(id, extension, name, location).serialize(serializer)
    }

    /// One that may do nothing, until the directory says that it may.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Endpoint>, D::Error> {
        let Read(id, extension, name, location) = Read::deserialize(deserializer)?;
        let ha1 = Ha1 { md5: None, sha256: None };
        let username = id.clone();
        let (enabled, licence, mac, numbers) = (false, None, None, Vec::new());
        Ok(Arc::new(Endpoint { id, extension, username, ha1, name, enabled, licence, location, mac, numbers }))
    }

    pub(super) fn known(endpoint: &mut Arc<Endpoint>, directory: &Directory) {
        if let Some(known) = directory.endpoint(&endpoint.id) {
            *endpoint = Arc::clone(known);
        }
    }
}
