//! Talking: requests inside the dialogs go from one side to the other and their answers back (RFC 3261 sections 12 to 15, RFC 3262, RFC 3311).

use super::{Bridge, Effect, Party, Sent, Side, State, write};
use sip::{
    Instant, Message,
    build::{Response, Writer},
    message::Method,
    stack::ServerId,
    transport::Flow,
};
use std::time::Duration;

/// The estimated round-trip time (RFC 3261 17.1.1.1).
const T1: Duration = Duration::from_millis(500);
/// The longest interval between two repetitions of a 2xx.
const T2: Duration = Duration::from_secs(4);

/// A request of one side that waits for the other side's answer.
#[derive(Debug)]
pub(super) struct Relay {
    pair: usize,
    /// Who asked.
    from: Side,
    server: ServerId,
    request: Message,
}

/// Which ACK belongs to which INVITE of ours: the CSeq on the side that acknowledges, and on the side that answered.
#[derive(Debug)]
pub(super) struct AckRoute {
    pair: usize,
    from: Side,
    from_cseq: u32,
    to_cseq: u32,
    /// The ACK, once it has come: a 2xx that comes again is acknowledged again (RFC 3261 13.2.2.4).
    ack: Option<Message>,
    repeat: Option<Repeat>,
}

/// A 2xx that is sent again until its ACK comes: "an interval that starts at T1 seconds and doubles for each retransmission until it reaches T2
/// seconds" (RFC 3261 13.3.1.4). The peer that answered may be on a reliable transport and never repeat it, so we do.
#[derive(Debug)]
struct Repeat {
    server: ServerId,
    response: Response,
    at: Instant,
    interval: Duration,
}

impl AckRoute {
    /// `answered` is the 2xx as it goes to the side that asked, by its transaction and flow.
    pub(super) fn new(pair: usize, from: Side, from_cseq: u32, to_cseq: u32, answered: (ServerId, &Response, Flow), now: Instant) -> Self {
        let (server, response, flow) = answered;
        let repeat = (!flow.transport.reliable()).then(|| Repeat { server, response: response.clone(), at: now + T1, interval: T1 });
        Self { pair, from, from_cseq, to_cseq, ack: None, repeat }
    }

    /// The pair in which it was asked.
    pub(super) const fn pair(&self) -> usize {
        self.pair
    }

    /// When the 2xx is sent again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.repeat.as_ref().map(|repeat| repeat.at)
    }
}

impl Bridge {
    pub(super) fn on_request(&mut self, id: ServerId, message: &Message, flow: Flow, now: Instant, out: &mut Vec<Effect>) {
        let Some((place, side)) = self.find(message) else {
            // RFC 3261 12.2.2: a request for a dialog that does not exist.
            respond(id, message, 481, "Call/Transaction Does Not Exist", out);
            return;
        };
        let Some(Party { dialog, .. }) = self.party_mut(place, side) else { return };
        if !dialog.in_order(message) {
            // RFC 3261 12.2.2: a lower CSeq is out of order.
            respond(id, message, 500, "CSeq Out Of Order", out);
            return;
        }
        // A phone that reconnected is reached where it now is.
        dialog.flow = flow;
        if matches!(message.method(), Method::Invite | Method::Update | Method::Subscribe | Method::Refer) {
            dialog.refresh_target(message);
        }
        match message.method() {
            Method::Bye => self.on_bye(id, message, place, side, now, out),
            _ if self.state == State::Ended || self.is_aside(place) => respond(id, message, 481, "Call/Transaction Does Not Exist", out),
            Method::Refer => self.refer(id, message, place, side, flow, now, out),
            Method::Invite | Method::Update if self.joining() => respond(id, message, 491, "Request Pending", out),
            _ => self.relay(id, message, place, side, out),
        }
    }

    /// The pair and side that a request inside a dialog came from: by our tag, and the peer's (RFC 3261 12.2.2).
    fn find(&self, message: &Message) -> Option<(usize, Side)> {
        let ours = message.to()?.tag()?;
        let theirs = message.from()?.tag().unwrap_or_default();
        let belongs =
            |dialog: &sip::dialog::Dialog| dialog.local_tag == ours && dialog.remote_tag == theirs && dialog.call_id == message.call_id();
        let of = |place: usize, side: Side| self.party(place, side).is_some_and(|party| belongs(&party.dialog));
        // Who was transferred is in two pairs: what counts is whom it talks to.
        let talking = match self.state {
            State::Answered(place) => Some(place),
            State::Ringing | State::Ended => None,
        };
        let mut places = talking.into_iter().chain(0..self.pairs.len());
        places.find_map(|place| [Side::Caller, Side::Callee].into_iter().find(|side| of(place, *side)).map(|side| (place, side)))
    }

    /// Whether a 2xx of this pair still waits for its ACK.
    pub(super) fn unacknowledged(&self, place: usize) -> bool {
        self.acks.iter().any(|ack| ack.pair == place && ack.ack.is_none())
    }

    /// Whether this pair is none that talks, although one does: a transferor that should hang up, a fork that was too late.
    fn is_aside(&self, place: usize) -> bool {
        matches!(self.state, State::Answered(talking) if talking != place)
    }

    fn on_bye(&mut self, id: ServerId, message: &Message, place: usize, side: Side, now: Instant, out: &mut Vec<Effect>) {
        respond(id, message, 200, "OK", out);
        match self.state {
            State::Answered(winner) if winner == place => {
                let party = self.pairs.get(place).map(|pair| pair.side(side));
                if party.is_some_and(|party| self.hung_up_in_transfer(party, out)) {
                    return;
                }
                let cause = if side == Side::Caller { "caller hung up" } else { "callee hung up" };
                self.send_bye(place, side.other(), Some(message), out);
                self.end(200, cause, now, out);
            }
            State::Ringing if side == Side::Caller => {
                // RFC 3261 15.1.2: a BYE in an early dialog of the caller ends its INVITE with 487.
                self.refuse_caller(&crate::decision::Refusal::new(487, "Request Terminated", "hung up while ringing"), out);
                self.end(487, "cancelled", now, out);
            }
            State::Answered(_) => {
                if let Some(party) = self.pairs.get(place).map(|pair| pair.side(side)) {
                    self.hung_up_aside(party, now, out);
                }
            }
            // A fork that hangs up its early dialog sends a final answer to its INVITE too.
            State::Ringing | State::Ended => {}
        }
    }

    /// Ends a talking call from here: BYE to both sides, except the one that is gone.
    pub(super) fn hang_up(&mut self, gone: Option<Side>, cause: &'static str, now: Instant, out: &mut Vec<Effect>) {
        let State::Answered(place) = self.state else { return };
        for side in [Side::Caller, Side::Callee] {
            if gone != Some(side) {
                self.send_bye(place, side, None, out);
            }
        }
        self.end(200, cause, now, out);
    }

    fn send_bye(&mut self, place: usize, to: Side, original: Option<&Message>, out: &mut Vec<Effect>) {
        // RFC 3261 15: the callee's 2xx must be acknowledged before its dialog can be ended in good order.
        if to == Side::Callee && self.acks.iter().any(|ack| ack.pair == place && ack.from == Side::Caller && ack.ack.is_none()) {
            self.acknowledge_unasked(place, out);
        }
        if let Some(party) = self.pairs.get(place).map(|pair| pair.side(to)).filter(|party| self.gone != Some(*party)) {
            self.bye(party, original, out);
        }
    }

    /// Hangs up one party; `original` is the BYE of the other one.
    pub(super) fn bye(&mut self, party: usize, original: Option<&Message>, out: &mut Vec<Effect>) {
        let trusted = self.behind_trunk(party);
        let Some(Party { dialog, .. }) = self.parties.get_mut(party) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Bye, b"BYE", 70);
        let body = original.map_or(&b""[..], |message| {
            write::copy_end_to_end(&mut writer, message);
            message.body()
        });
        let request = writer.finish_request(body);
        self.send(request, flow, Sent::Bye, out);
    }

    /// Acknowledges answers for a caller that will not do it any more.
    fn acknowledge_unasked(&mut self, place: usize, out: &mut Vec<Effect>) {
        let trusted = self.through_trunk(place, Side::Callee);
        let Some(Party { dialog, .. }) = self.party(place, Side::Callee) else { return };
        let flow = write::next_hop(dialog, trusted);
        for ack in self.acks.iter().filter(|ack| ack.pair == place && ack.from == Side::Caller && ack.ack.is_none()) {
            out.push(Effect::Ack { request: dialog.ack(ack.to_cseq).finish_request(b""), flow });
        }
        self.acks.clear();
    }

    fn relay(&mut self, id: ServerId, message: &Message, place: usize, from: Side, out: &mut Vec<Effect>) {
        let to = from.other();
        if self.gone.is_some() && self.gone == self.pairs.get(place).map(|pair| pair.side(to)) {
            // A transferor that has hung up before the target came.
            respond(id, message, 491, "Request Pending", out);
            return;
        }
        let trusted = self.through_trunk(place, to);
        let rack = self.rack(place, message);
        let Some(Party { dialog, .. }) = self.party_mut(place, to) else { return };
        if dialog.remote_tag.is_empty() {
            // RFC 3261 12.2.1: there is nobody yet to whom it could be passed on.
            respond(id, message, 481, "Call/Transaction Does Not Exist", out);
            return;
        }
        let hops = message.number(sip::header::Name::MaxForwards).unwrap_or(70).saturating_sub(1);
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(message.method(), message.method_token(), hops);
        write::contact(&mut writer, flow);
        if let Some(rack) = rack {
            writer.header(sip::header::Name::RAck, rack.as_bytes());
        }
        write::copy_end_to_end(&mut writer, message);
        let request = writer.finish_request(message.body());
        self.send(request, flow, Sent::Relay(Relay { pair: place, from, server: id, request: message.clone() }), out);
    }

    /// RFC 3262 7.2: RAck names the CSeq of the INVITE, which is another one on the callee's side.
    fn rack(&self, place: usize, message: &Message) -> Option<String> {
        let value = std::str::from_utf8(message.header(sip::header::Name::RAck)?).ok()?;
        let mut parts = value.split_ascii_whitespace();
        let response = parts.next()?;
        let asked: u32 = parts.next()?.parse().ok()?;
        let method = parts.next()?;
        let initial = self.call.message.cseq().map_or(0, |cseq| cseq.number);
        let number = if asked == initial { self.legs.get(self.party(place, Side::Callee)?.leg?)?.template.local_cseq } else { asked };
        Some(format!("{response} {number} {method}"))
    }

    pub(super) fn on_relay_response(&mut self, place: usize, message: &Message, now: Instant, out: &mut Vec<Effect>) {
        let Some((_, Sent::Relay(relay))) = self.sent.get(place) else { return };
        let (pair, from, server) = (relay.pair, relay.from, relay.server);
        let status = message.status();
        if status == 100 {
            return;
        }
        let invite = message.method() == Method::Invite;
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        if invite && (200..300).contains(&status) && self.answered_before(pair, from, number, out) {
            return;
        }
        let Some((_, Sent::Relay(relay))) = self.sent.get(place) else { return };
        let Some(asker) = self.party(pair, from) else { return };
        let response = write::relayed_response(&relay.request, message, &asker.dialog, false);
        let asked = relay.request.cseq().map_or(0, |cseq| cseq.number);
        let flow = asker.dialog.flow;
        if (200..300).contains(&status)
            && matches!(message.method(), Method::Invite | Method::Update)
            && let Some(answerer) = self.party_mut(pair, from.other())
        {
            answerer.dialog.refresh_target(message);
        }
        if status < 200 {
            out.push(Effect::Respond { id: server, response });
            return;
        }
        if invite && status < 300 {
            // The 2xx may come again until its ACK: the entry stays until the next INVITE of that side.
            self.acks.retain(|ack| ack.pair != pair || ack.from != from || ack.ack.is_none());
            self.acks.push(AckRoute::new(pair, from, asked, number, (server, &response, flow), now));
        } else {
            self.sent.swap_remove(place);
        }
        out.push(Effect::Respond { id: server, response });
        // RFC 5057: these end the whole dialog, not only the transaction.
        let about_the_session = matches!(message.method(), Method::Invite | Method::Update | Method::Info | Method::Prack);
        if matches!(status, 408 | 481) && about_the_session {
            self.hang_up(None, "one side is gone", now, out);
        }
    }

    pub(super) fn on_relay_failed(&mut self, relay: &Relay, now: Instant, out: &mut Vec<Effect>) {
        respond(relay.server, &relay.request, 408, "Request Timeout", out);
        // RFC 3261 12.2.1.2: a request in a dialog without an answer ends the dialog.
        if self.state == State::Answered(relay.pair) {
            self.hang_up(Some(relay.from.other()), "one side is gone", now, out);
        }
    }

    /// A peer cancels its own re-INVITE.
    pub(super) fn cancel_relay(&self, server: ServerId, out: &mut Vec<Effect>) {
        let found = self.sent.iter().find(|(_, sent)| matches!(sent, Sent::Relay(relay) if relay.server == server));
        if let Some((id, _)) = found {
            out.push(Effect::Cancel { id: *id, reason: None });
        }
    }

    /// When the call ends, whoever still waits for a relayed answer gets one.
    pub(super) fn answer_pending_relays(&mut self, out: &mut Vec<Effect>) {
        for (_, sent) in &self.sent {
            if let Sent::Relay(relay) = sent {
                let (status, phrase) = match relay.request.method() {
                    Method::Invite => (487, "Request Terminated"),
                    _ => (481, "Call/Transaction Does Not Exist"),
                };
                respond(relay.server, &relay.request, status, phrase, out);
            }
        }
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Relay(_) | Sent::Check));
    }

    pub(super) fn on_ack(&mut self, message: &Message, _now: Instant, out: &mut Vec<Effect>) {
        let Some((place, from)) = self.find(message) else { return };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let Some(ack) = self.acks.iter_mut().find(|ack| ack.pair == place && ack.from == from && ack.from_cseq == number) else { return };
        if ack.ack.is_some() {
            // A repeated ACK answers a 2xx that we repeated; the callee has had its own.
            return;
        }
        ack.ack = Some(message.clone());
        ack.repeat = None;
        let to_cseq = ack.to_cseq;
        if from == Side::Caller {
            self.ack_ends = None;
        }
        self.send_ack(place, from.other(), to_cseq, message, out);
    }

    /// Whether this 2xx has been relayed before. Its sender has lost the ACK and gets it again, or has to wait for it: the 2xx is repeated to the
    /// side that asked by our own timer.
    pub(super) fn answered_before(&self, place: usize, from: Side, to_cseq: u32, out: &mut Vec<Effect>) -> bool {
        let known = self.acks.iter().find(|ack| ack.pair == place && ack.from == from && ack.to_cseq == to_cseq);
        if let Some(message) = known.and_then(|ack| ack.ack.as_ref()) {
            self.send_ack(place, from.other(), to_cseq, message, out);
        }
        known.is_some()
    }

    /// Sends every 2xx again whose ACK is overdue.
    pub(super) fn repeat_answers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for repeat in self.acks.iter_mut().filter_map(|ack| ack.repeat.as_mut()).filter(|repeat| repeat.at <= now) {
            repeat.interval = (repeat.interval * 2).min(T2);
            repeat.at = now + repeat.interval;
            out.push(Effect::Respond { id: repeat.server, response: repeat.response.clone() });
        }
    }

    fn send_ack(&self, place: usize, to: Side, number: u32, message: &Message, out: &mut Vec<Effect>) {
        let Some(Party { dialog, .. }) = self.party(place, to) else { return };
        let mut writer = dialog.ack(number);
        write::copy_end_to_end(&mut writer, message);
        out.push(Effect::Ack {
            request: writer.finish_request(message.body()),
            flow: write::next_hop(dialog, self.through_trunk(place, to)),
        });
    }

    /// Asks both sides whether they still know the call (RFC 3261 11.2: OPTIONS inside a dialog).
    pub(super) fn check_sides(&mut self, out: &mut Vec<Effect>) {
        let State::Answered(place) = self.state else { return };
        if self.gone.is_some() {
            return;
        }
        for side in [Side::Caller, Side::Callee] {
            let trusted = self.through_trunk(place, side);
            let Some(Party { dialog, .. }) = self.party_mut(place, side) else { return };
            let flow = write::next_hop(dialog, trusted);
            let mut writer = dialog.request(Method::Options, b"OPTIONS", 70);
            write::contact(&mut writer, flow);
            let request = writer.finish_request(b"");
            self.send(request, flow, Sent::Check, out);
        }
    }

    /// Whether this side of a pair is a trunk: its Contact may name another address than the one it sends from.
    pub(super) fn through_trunk(&self, place: usize, side: Side) -> bool {
        self.pairs.get(place).is_some_and(|pair| self.behind_trunk(pair.side(side)))
    }

    /// Whether a party is a trunk.
    pub(super) fn behind_trunk(&self, party: usize) -> bool {
        match self.parties.get(party).map(|party| party.leg) {
            Some(Some(leg)) => self.legs.get(leg).is_some_and(|leg| leg.target.trunk.is_some()),
            Some(None) => matches!(self.call.caller, crate::facts::Caller::Trunk(_)),
            None => false,
        }
    }
}

pub(super) fn respond(id: ServerId, request: &Message, status: u16, phrase: &str, out: &mut Vec<Effect>) {
    out.push(Effect::Respond { id, response: Writer::response(request, status, phrase, None).finish_response(b"") });
}
