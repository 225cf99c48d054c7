//! Reliable provisional responses (RFC 3262) where only one side speaks them.
//!
//! Two sides that both support 100rel keep it between themselves: RSeq passes through and RAck is mapped. A caller that requires it gets every provisional
//! response reliably, from us where the target does not do it: the target is told `Supported`, never `Require`, so that it cannot refuse the call for it.
//! A target that insists on it towards a caller that knows nothing of it is acknowledged by us. Each early dialog has numbers of its own (section 4).

use super::{Bridge, Effect, Party, Sent, State, T1, leg::LegState, relay::respond, write};
use crate::{decision::Refusal, facts::CallKind, limits::PROVISIONALS_WAITING};
use serde::{Deserialize, Serialize};
use sip::{Instant, Message, build::Response, header::Name, message::Method, random::Random, stack::ServerId, transport::Flow};
use std::{collections::VecDeque, time::Duration};

/// The option tag.
pub(super) const TAG: &str = "100rel";
/// How long a reliable response is sent again (section 3): 64*T1.
const PRACK_WAIT: Duration = Duration::from_secs(32);

/// What an INVITE says about reliable provisional responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    Nothing,
    Supports,
    Requires,
}

impl Wants {
    pub(super) fn of(invite: &Message) -> Self {
        if invite.lists(Name::Require, TAG) {
            Self::Requires
        } else if invite.lists(Name::Supported, TAG) {
            Self::Supports
        } else {
            Self::Nothing
        }
    }
}

/// The RSeq of a response that is to be acknowledged (section 4: "contains a Require header field containing the option tag 100rel").
fn rseq(response: &Message) -> Option<u32> {
    response.number(Name::RSeq).filter(|_| response.lists(Name::Require, TAG))
}

/// One early dialog whose two sides do not speak the same.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reliable {
    pair: usize,
    /// The target's reliable responses go to the caller as they are.
    passes: bool,
    /// RSeq of the target's last response that we have acknowledged.
    heard: Option<u32>,
    /// The last session description that it brought: the 2xx need not repeat it.
    session: Option<Message>,
    /// RSeq of our last response.
    given: Option<u32>,
    open: Option<Open>,
    /// Responses that wait until the open one is acknowledged.
    waiting: VecDeque<Message>,
    /// The target's 2xx, which waits for the same: section 3 forbids it while a session description is not acknowledged.
    answer: Option<(usize, Message, Flow)>,
}

/// A reliable response of ours that has not been acknowledged.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    rseq: u32,
    response: Response,
    /// It brought a session description.
    session: bool,
    /// When it is sent again, or given up.
    at: Option<Instant>,
    interval: Duration,
    ends: Instant,
}

impl Reliable {
    /// What changes when it must be written down again.
    pub(super) fn mark(&self) -> (usize, Option<u32>, Option<u32>, bool, bool) {
        (self.pair, self.heard, self.given, self.open.is_some(), self.answer.is_some())
    }
}

impl Bridge {
    /// A provisional response of a target goes to a caller that does not merely support 100rel.
    pub(super) fn provisional(&mut self, pair: usize, message: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let rseq = rseq(message);
        if self.wants == Wants::Nothing {
            match rseq {
                None => self.pass_provisional(pair, message, out),
                Some(rseq) if self.acknowledge_provisional(pair, rseq, message, out) => {
                    let Some(party) = self.party(pair, super::Side::Caller) else { return };
                    let directory = self.site.directory();
                    let passage = self.passage(pair, super::Side::Callee, &directory);
                    let response = write::provisional(&self.call.message, message, &party.dialog, None, passage);
                    self.tell_caller(response, out);
                }
                Some(_) => {}
            }
            return;
        }
        let entry = self.reliable(pair);
        match rseq {
            Some(_) if entry.given.is_none() => {
                entry.passes = true;
                self.pass_provisional(pair, message, out);
            }
            // What comes unreliably beside reliable responses says nothing that the caller must know.
            None if entry.passes => {}
            // Section 5: a first reliable response to an INVITE without an offer would have to bring one, which nobody has made.
            None if self.call.message.body().is_empty() => {}
            Some(rseq) if !self.acknowledge_provisional(pair, rseq, message, out) => {}
            _ => self.make(pair, message, now, random, out),
        }
    }

    /// Sends a provisional response on as it is.
    pub(super) fn pass_provisional(&self, pair: usize, message: &Message, out: &mut Vec<Effect>) {
        let Some(caller) = self.party(pair, super::Side::Caller) else { return };
        let directory = self.site.directory();
        let passage = self.passage(pair, super::Side::Callee, &directory);
        let response = write::relayed_response(&self.call.message, message, &caller.dialog, true, passage);
        self.tell_caller(response, out);
    }

    fn reliable(&mut self, pair: usize) -> &mut Reliable {
        let place = self.reliables.iter().position(|entry| entry.pair == pair).unwrap_or_else(|| {
            self.reliables.push(Reliable {
                pair,
                passes: false,
                heard: None,
                session: None,
                given: None,
                open: None,
                waiting: VecDeque::new(),
                answer: None,
            });
            self.reliables.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or pushed just now")]
        &mut self.reliables[place]
    }

    /// Acknowledges a target's reliable response. `false`: it is an old one, or not the next one (section 4).
    fn acknowledge_provisional(&mut self, pair: usize, rseq: u32, message: &Message, out: &mut Vec<Effect>) -> bool {
        let entry = self.reliable(pair);
        // "If the UAC receives another reliable provisional response to the same request, and its RSeq value is not one higher than the value of the
        // sequence number, that response MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further by the UAC."
        if entry.heard.is_some_and(|heard| heard.checked_add(1) != Some(rseq)) {
            return false;
        }
        entry.heard = Some(rseq);
        if !message.body().is_empty() {
            entry.session = Some(message.clone());
        }
        let trusted = self.through_trunk(pair, super::Side::Callee);
        let Some(Party { dialog, .. }) = self.party_mut(pair, super::Side::Callee) else { return false };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Prack, b"PRACK", 70);
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        writer.header(Name::RAck, format!("{rseq} {cseq} INVITE").as_bytes());
        let request = writer.finish_request(b"");
        self.send(request, flow, Sent::Prack, out);
        true
    }

    /// Makes a provisional response reliable, or has it wait for its turn ("the UAS MUST NOT send a second reliable provisional response until the first
    /// is acknowledged").
    fn make(&mut self, pair: usize, message: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let entry = self.reliable(pair);
        if entry.open.is_some() {
            if entry.waiting.len() < PROVISIONALS_WAITING {
                entry.waiting.push_back(message.clone());
            } else {
                out.push(Effect::Limit("too-many-provisional-responses"));
            }
            return;
        }
        // Section 3: the first number is between 1 and 2**31 - 1, each further one greater by exactly one; half of the space leaves room for them.
        let rseq = entry.given.unwrap_or_else(|| u32::try_from(random.next_u64() % 0x3fff_ffff).unwrap_or(0)) + 1;
        entry.given = Some(rseq);
        let Some(party) = self.party(pair, super::Side::Caller) else { return };
        let directory = self.site.directory();
        let passage = self.passage(pair, super::Side::Callee, &directory);
        let response = write::provisional(&self.call.message, message, &party.dialog, Some(rseq), passage);
        self.tell_caller(response.clone(), out);
        let session = !message.body().is_empty();
        self.reliable(pair).open = Some(Open { rseq, response, session, at: Some(now + T1), interval: T1, ends: now + PRACK_WAIT });
    }

    /// A PRACK of the caller, when it is for a response of ours.
    pub(super) fn on_prack(
        &mut self,
        id: ServerId,
        message: &Message,
        pair: usize,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) -> bool {
        let invite = self.call.message.cseq().map_or(0, |cseq| cseq.number);
        let Some((rseq, cseq)) = read_rack(message).filter(|(_, cseq)| *cseq == invite) else { return false };
        let Some(entry) = self.reliables.iter_mut().find(|entry| entry.pair == pair && entry.given.is_some()) else { return false };
        if entry.open.as_ref().is_none_or(|open| open.rseq != rseq || cseq != invite) {
            // Section 3: "If a PRACK request is received by the UA core that does not match any unacknowledged reliable provisional response, the UAS
            // MUST respond to the PRACK with a 481 response."
            respond(id, message, 481, "No Such Response", out);
            return true;
        }
        entry.open = None;
        let (next, answer) = (entry.waiting.pop_front(), entry.answer.take());
        if message.body().is_empty() {
            respond(id, message, 200, "OK", out);
        } else {
            // Section 5: an offer in a PRACK is answered in its 2xx. The target does not know of this PRACK and has nothing to say.
            respond(id, message, 488, "Not Acceptable Here", out);
        }
        match (answer, next) {
            (Some((leg, answer, flow)), _) => self.on_answer(leg, &answer, flow, now, random, out),
            (None, Some(next)) if self.state == State::Ringing => self.make(pair, &next, now, random, out),
            (None, _) => {}
        }
        true
    }

    /// Keeps a 2xx back until the session description before it is acknowledged; `true` when it waits. Nobody who calls for help waits.
    pub(super) fn holds(&mut self, pair: usize, leg: usize, message: &Message, flow: Flow) -> bool {
        let help = self.call.kind != CallKind::Normal;
        let Some(entry) = self.reliables.iter_mut().find(|entry| entry.pair == pair) else { return false };
        // What has not been said yet, the 2xx says.
        entry.waiting.clear();
        let Some(open) = &mut entry.open else { return false };
        if open.session && !help {
            entry.answer = Some((leg, message.clone(), flow));
            return true;
        }
        // "If the UAS does send a final response when reliable responses are still unacknowledged, it SHOULD NOT continue to retransmit the
        // unacknowledged reliable provisional responses, but it MUST be prepared to process PRACK requests".
        open.at = None;
        false
    }

    /// The session that the caller has agreed on with this target before it answered.
    pub(super) fn agreed(&self, pair: usize) -> Option<&Message> {
        self.reliables.iter().find(|entry| entry.pair == pair)?.session.as_ref()
    }

    /// When a reliable response is sent again.
    pub(super) fn prack_due(&self) -> Option<Instant> {
        self.reliables.iter().filter_map(|entry| entry.open.as_ref()?.at).min()
    }

    /// Sends again what is not acknowledged: "an interval that starts at T1 seconds and doubles for each retransmission" (section 3).
    pub(super) fn repeat_provisionals(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(invite) = self.invite else { return };
        let help = self.call.kind != CallKind::Normal;
        let mut over = false;
        for open in self.reliables.iter_mut().filter_map(|entry| entry.open.as_mut()).filter(|open| open.at.is_some_and(|at| at <= now)) {
            if now >= open.ends {
                open.at = None;
                over = true;
                continue;
            }
            open.interval *= 2;
            open.at = Some((now + open.interval).min(open.ends));
            out.push(Effect::Respond { id: invite, response: open.response.clone() });
        }
        if over && !help && self.state == State::Ringing {
            // "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a corresponding PRACK, the UAS SHOULD reject
            // the original request with a 5xx response." A call for help rings on.
            self.refuse_caller(&Refusal::new(504, "No PRACK", "the caller acknowledged no provisional answer"), out);
            self.end(504, "the caller acknowledged no provisional answer", now, out);
        }
    }

    /// Hangs up on targets whose 2xx was kept back, but not on `winner`.
    pub(super) fn decline_held(&mut self, winner: Option<usize>, out: &mut Vec<Effect>) {
        for entry in &mut self.reliables {
            if let Some(open) = &mut entry.open {
                open.at = None;
            }
        }
        let others = self.reliables.iter_mut().filter(|entry| Some(entry.pair) != winner);
        let held: Vec<_> = others.filter_map(|entry| Some((entry.pair, entry.answer.take()?))).collect();
        for (pair, (leg, answer, _)) in held {
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.state = LegState::Dead;
            }
            if let Some(callee) = self.pairs.get(pair).map(|pair| pair.callee) {
                self.decline_answer(callee, &answer, out);
            }
        }
    }

    /// A target does not take the call without 100rel (RFC 3261 21.4.15, 421): it is asked again by somebody who does it, once. Without an offer its
    /// reliable response would have to bring one, which only the caller could answer.
    pub(super) fn insists(&mut self, leg: usize, message: &Message, out: &mut Vec<Effect>) -> bool {
        let offers = !self.call.message.body().is_empty();
        let transfer = self.legs.get(leg).is_some_and(|leg| self.transfers(leg.hunt));
        let Some(entry) = self.legs.get_mut(leg) else { return false };
        if entry.rel || entry.adopted || transfer || !offers || entry.state != LegState::Ringing || !message.lists(Name::Require, TAG) {
            return false;
        }
        entry.rel = true;
        self.invite_again(leg, None, out);
        true
    }
}

/// RAck: the RSeq and the CSeq number of a response to an INVITE (section 7.2).
fn read_rack(prack: &Message) -> Option<(u32, u32)> {
    let value = std::str::from_utf8(prack.header(Name::RAck)?).ok()?;
    let mut parts = value.split_ascii_whitespace();
    let (rseq, cseq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next()? == "INVITE").then_some((rseq, cseq))
}
