//! Talking: requests inside the dialogs go from one side to the other and their answers back (RFC 3261 sections 12 to 15, RFC 3262, RFC 3311).

use super::{ACK_WAIT, Bridge, Effect, Party, SendId, Sent, Side, State, T1, credentials::Credentials, write};
use crate::{boundary::Passage, extension, facts::CallKind};
use serde::{Deserialize, Serialize};
use sip::{
    Instant, Message,
    build::{Response, Writer, reason_phrase},
    header::Name,
    message::Method,
    random::Random,
    stack::ServerId,
    transport::Flow,
};
use std::time::Duration;

/// The longest interval between two repetitions of a 2xx.
const T2: Duration = Duration::from_secs(4);

/// With what a party is hung up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell<'a> {
    /// Nothing more to say.
    Plain,
    /// The BYE of the other side of this pair.
    As(&'a Message, usize, Side),
    /// The status and phrase of what went wrong.
    Because(u16, &'a str),
    /// This value of Reason.
    Reason(&'a str),
}

/// A request of one side that waits for the other side's answer.
#[derive(Debug)]
pub(super) struct Relay {
    pair: usize,
    /// Who asked.
    from: Side,
    server: ServerId,
    request: Message,
    /// CSeq of it as we have sent it.
    to_cseq: u32,
    /// It was sent with credentials.
    authenticated: bool,
}

impl Relay {
    /// Whether `from` has asked it in this pair.
    pub(super) fn of(&self, pair: usize, from: Side) -> bool {
        self.pair == pair && self.from == from
    }

    /// Whether it is a request of this method.
    pub(super) fn pends(&self, method: Method) -> bool {
        self.request.method() == method
    }

    /// Whether it brings a session description.
    pub(super) fn offers(&self) -> bool {
        !self.request.body().is_empty()
    }
}

/// 2xx of one side without an ACK that are remembered: a phone that goes on without acknowledging has forgotten the older ones itself.
const UNACKNOWLEDGED_MAX: usize = 4;

/// Which ACK belongs to which INVITE of ours: the CSeq on the side that acknowledges, and on the side that answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AckRoute {
    pair: usize,
    from: Side,
    from_cseq: u32,
    to_cseq: u32,
    /// The INVITE of ours.
    of: SendId,
    repeat: Option<Repeat>,
}

/// A 2xx that is sent again until its ACK comes: "an interval that starts at T1 seconds and doubles for each retransmission until it reaches T2
/// seconds" (RFC 3261 13.3.1.4). The peer that answered may be on a reliable transport and never repeat it, so we do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Repeat {
    server: ServerId,
    response: Response,
    at: Instant,
    interval: Duration,
    /// After 64*T1 there is nobody to hear it.
    ends: Instant,
}

impl Repeat {
    /// The 2xx by its transaction. It is repeated whatever the transport: a connection can be lost.
    pub(super) fn new(answered: (ServerId, &Response), now: Instant) -> Self {
        let (server, response) = answered;
        Self { server, response: response.clone(), at: now + T1, interval: T1, ends: now + ACK_WAIT }
    }

    /// When the 2xx is sent again.
    pub(super) const fn due(&self) -> Instant {
        self.at
    }
}

impl AckRoute {
    /// `of` is the INVITE of ours with its CSeq, `answered` the 2xx as it goes to the side that asked, by its transaction.
    pub(super) fn new(
        pair: usize,
        from: Side,
        from_cseq: u32,
        (of, to_cseq): (SendId, u32),
        answered: (ServerId, &Response),
        now: Instant,
    ) -> Self {
        let repeat = Some(Repeat::new(answered, now));
        Self { pair, from, from_cseq, to_cseq, of, repeat }
    }

    /// Whether it is an INVITE of ours that is still to be acknowledged.
    pub(super) const fn is_of(&self, send: SendId) -> bool {
        self.of == send
    }

    /// After a restart: whether the 2xx goes on being sent again, since it answers the INVITE that was `before`, and is `after` now.
    pub(super) fn restored(&mut self, before: Option<ServerId>, after: ServerId) -> bool {
        self.repeat = self.repeat.take().filter(|repeat| Some(repeat.server) == before);
        self.repeat.as_mut().map(|repeat| repeat.server = after).is_some()
    }

    /// When the 2xx is sent again, or given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.repeat.as_ref().map(|repeat| repeat.at)
    }
}

impl Bridge {
    pub(super) fn on_request(
        &mut self,
        id: ServerId,
        message: &Message,
        flow: Flow,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let Some((place, side)) = self.find(message) else {
            if self.picker_asks(id, message, now, out) {
                return;
            }
            if let Some(party) = self.not_joined_yet(message) {
                // Whoever has answered, or was taken from another call, and waits for the other side's session: it may hang up, nothing else.
                if message.method() == Method::Bye {
                    respond(id, message, 200, "OK", out);
                    self.hung_up_aside(party, now, out);
                } else {
                    respond(id, message, 491, "Request Pending", out);
                }
                return;
            }
            // RFC 3261 12.2.2: a request for a dialog that does not exist.
            cov_mark::hit!(rfc3261_12_2_2_no_dialog);
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
            // REFER goes to nobody else than us.
            Method::Refer if extension::unsupported(message, true).is_some() => {
                let mut writer = Writer::response(message, 420, "Bad Extension", None);
                writer.header(Name::Unsupported, extension::unsupported(message, true).unwrap_or_default().as_bytes());
                out.push(Effect::Respond { id, response: writer.finish_response(b"") });
            }
            Method::Refer => self.refer(id, message, place, side, flow, now, out),
            // RFC 3261 14.2: a session that is refused with 488 stays as it was.
            Method::Invite | Method::Update if self.may_not_hold(place, side, message) => {
                cov_mark::hit!(help_is_not_held);
                respond(id, message, 488, "Calls For Help Are Not Held", out);
            }
            Method::Invite | Method::Update if self.joining() => respond(id, message, 491, "Request Pending", out),
            Method::Prack if side == Side::Caller && self.on_prack(id, message, place, now, random, out) => {}
            _ if self.crosses(id, message, place, side, random, out) => {}
            _ => self.relay(id, message, place, side, None, out),
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

    /// The party of a dialog that is none of any pair yet.
    fn not_joined_yet(&self, message: &Message) -> Option<usize> {
        let (ours, theirs) = (message.to()?.tag()?, message.from()?.tag().unwrap_or_default());
        let belongs = |party: &Party| {
            let dialog = &party.dialog;
            dialog.local_tag == ours && dialog.remote_tag == theirs && dialog.call_id == message.call_id()
        };
        self.parties.iter().position(|party| party.leg.is_some() && belongs(party)).filter(|_| self.state != State::Ended)
    }

    /// Whether a 2xx of this pair still waits for its ACK.
    pub(super) fn unacknowledged(&self, place: usize) -> bool {
        self.acks.iter().any(|ack| ack.pair == place)
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
                self.send_bye(place, side.other(), Farewell::As(message, place, side), out);
                self.end(200, cause, now, out);
            }
            State::Ringing if side == Side::Caller => {
                // RFC 3261 15.1.2: a BYE in an early dialog of the caller ends its INVITE with 487.
                cov_mark::hit!(rfc3261_15_1_2_early);
                self.refuse_caller(&crate::decision::Refusal::new(487, "Request Terminated", "hung up while ringing"), out);
                self.end(487, "cancelled", now, out);
            }
            State::Answered(_) => {
                if let Some(party) = self.pairs.get(place).map(|pair| pair.side(side)) {
                    self.hung_up_aside(party, now, out);
                }
            }
            // Its answer comes still, or has been overtaken by this.
            State::Ringing => {
                if let Some(party) = self.party_mut(place, side) {
                    party.left = true;
                }
            }
            State::Ended => {}
        }
    }

    /// Ends a talking call from here: BYE to both sides, except the one that is gone.
    pub(super) fn hang_up(&mut self, gone: Option<Side>, cause: &'static str, now: Instant, out: &mut Vec<Effect>) {
        self.hang_up_sides(gone, Farewell::Plain, cause, now, out);
    }

    /// The same, and both are told why.
    pub(super) fn hang_up_with(&mut self, farewell: Farewell<'_>, cause: &'static str, now: Instant, out: &mut Vec<Effect>) {
        self.hang_up_sides(None, farewell, cause, now, out);
    }

    fn hang_up_sides(&mut self, gone: Option<Side>, farewell: Farewell<'_>, cause: &'static str, now: Instant, out: &mut Vec<Effect>) {
        let State::Answered(place) = self.state else { return };
        // Before the BYE: a NOTIFY with a higher CSeq that overtakes it would have it refused (RFC 3261 12.2.2).
        self.transfer_over(487, "Request Terminated", out);
        for side in [Side::Caller, Side::Callee] {
            if gone != Some(side) {
                self.send_bye(place, side, farewell, out);
            }
        }
        self.end(200, cause, now, out);
    }

    fn send_bye(&mut self, place: usize, to: Side, farewell: Farewell<'_>, out: &mut Vec<Effect>) {
        // RFC 3261 15: the callee's 2xx must be acknowledged before its dialog can be ended in good order.
        if to == Side::Callee && self.acks.iter().any(|ack| ack.pair == place && ack.from == Side::Caller) {
            cov_mark::hit!(rfc3261_15_acknowledged_first);
            self.acknowledge_unasked(place, out);
        }
        if let Some(party) = self.pairs.get(place).map(|pair| pair.side(to)).filter(|party| self.gone != Some(*party)) {
            self.bye(party, farewell, out);
        }
    }

    /// Hangs up one party.
    pub(super) fn bye(&mut self, party: usize, farewell: Farewell<'_>, out: &mut Vec<Effect>) {
        let trusted = self.behind_trunk(party);
        let directory = self.site.directory();
        let passage = match farewell {
            Farewell::As(_, place, from) => self.passage(place, from, &directory),
            Farewell::Plain | Farewell::Because(..) | Farewell::Reason(_) => Passage::default(),
        };
        let Some(Party { dialog, .. }) = self.parties.get_mut(party) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Bye, b"BYE", 70);
        let body = match farewell {
            Farewell::Plain => &b""[..],
            Farewell::As(message, ..) => {
                write::copy_end_to_end(&mut writer, message, passage);
                message.body()
            }
            // RFC 3326 2: the status that ends the call stands in Reason.
            Farewell::Because(status, phrase) => {
                let phrase = if phrase.is_empty() { reason_phrase(status) } else { phrase }.replace(['"', '\\'], "");
                writer.header(Name::Reason, format!("SIP;cause={status};text=\"{phrase}\"").as_bytes());
                b""
            }
            Farewell::Reason(reason) => {
                writer.header(Name::Reason, reason.as_bytes());
                b""
            }
        };
        let request = writer.finish_request(body);
        self.send(request, flow, Sent::Bye, out);
    }

    /// Acknowledges answers for whoever asked and will not do it any more.
    pub(super) fn acknowledge_unasked(&mut self, place: usize, out: &mut Vec<Effect>) {
        for AckRoute { from, of, to_cseq, .. } in self.acks.extract_if(.., |ack| ack.pair == place).collect::<Vec<_>>() {
            if let Some(party) = self.pairs.get(place).map(|pair| pair.side(from.other())) {
                self.acknowledge(party, of, to_cseq, None, out);
            }
        }
    }

    fn relay(
        &mut self,
        id: ServerId,
        message: &Message,
        place: usize,
        from: Side,
        credentials: Option<&Credentials>,
        out: &mut Vec<Effect>,
    ) {
        let to = from.other();
        if self.gone.is_some() && self.gone == self.pairs.get(place).map(|pair| pair.side(to)) {
            // A transferor that has hung up before the target came.
            respond(id, message, 491, "Request Pending", out);
            return;
        }
        let trusted = self.through_trunk(place, to);
        let rack = self.rack(place, from, message);
        let directory = self.site.directory();
        let passage = self.passage(place, from, &directory);
        let Some(Party { dialog, .. }) = self.party_mut(place, to) else { return };
        if dialog.remote_tag.is_empty() {
            // RFC 3261 12.2.1: there is nobody yet to whom it could be passed on.
            respond(id, message, 481, "Call/Transaction Does Not Exist", out);
            return;
        }
        let hops = message.number(Name::MaxForwards).unwrap_or(70).saturating_sub(1);
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(message.method(), message.method_token(), hops);
        write::contact(&mut writer, flow);
        if let Some(rack) = rack {
            writer.header(Name::RAck, rack.as_bytes());
        }
        if let Some((name, value)) = credentials {
            writer.header(*name, value.as_bytes());
        }
        write::copy_end_to_end(&mut writer, message, passage);
        let request = writer.finish_request(message.body());
        let (to_cseq, authenticated) = (dialog.local_cseq, credentials.is_some());
        let relay = Relay { pair: place, from, server: id, request: message.clone(), to_cseq, authenticated };
        self.send(request, flow, Sent::Relay(relay), out);
    }

    /// RFC 3262 7.2: RAck names the CSeq of the INVITE, which is another one on the other side.
    fn rack(&self, place: usize, from: Side, message: &Message) -> Option<String> {
        let value = std::str::from_utf8(message.header(Name::RAck)?).ok()?;
        let mut parts = value.split_ascii_whitespace();
        let response = parts.next()?;
        let asked: u32 = parts.next()?.parse().ok()?;
        let method = parts.next()?;
        let again = self.sent.iter().find_map(|(_, sent)| match sent {
            Sent::Relay(relay) if relay.of(place, from) && relay.pends(Method::Invite) => {
                relay.request.cseq().filter(|cseq| cseq.number == asked).map(|_| relay.to_cseq)
            }
            _ => None,
        });
        let initial = self.call.message.cseq().map_or(0, |cseq| cseq.number);
        // "The CSeq number in the RAck header field indicates the CSeq number of the request that is being acknowledged."
        cov_mark::hit!(rfc3262_7_2_rack);
        let number = match again {
            Some(number) => number,
            None if asked == initial && from == Side::Caller => self.legs.get(self.party(place, Side::Callee)?.leg?)?.template.local_cseq,
            None => asked,
        };
        Some(format!("{response} {number} {method}"))
    }

    pub(super) fn on_relay_response(&mut self, place: usize, message: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some((send, Sent::Relay(relay))) = self.sent.get(place) else { return };
        let (send, pair, from, server, to_cseq) = (*send, relay.pair, relay.from, relay.server, relay.to_cseq);
        let status = message.status();
        if status == 100 {
            return;
        }
        if matches!(status, 401 | 407)
            && !relay.authenticated
            && let Some(party) = self.pairs.get(pair).map(|pair| pair.side(from.other()))
            && let Some(credentials) = self.credentials(party, message, random)
        {
            let request = relay.request.clone();
            self.sent.swap_remove(place);
            return self.relay(server, &request, pair, from, Some(&credentials), out);
        }
        let Some(asker) = self.party(pair, from) else { return };
        let directory = self.site.directory();
        let passage = self.passage(pair, from.other(), &directory);
        let response = write::relayed_response(&relay.request, message, &asker.dialog, false, passage);
        let asked = relay.request.cseq().map_or(0, |cseq| cseq.number);
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
        // A 2xx that comes again before its ACK is of no more use: ours is repeated to the side that asked by our own timer.
        self.sent.swap_remove(place);
        if message.method() == Method::Invite && status < 300 {
            // A phone that goes on without acknowledging has forgotten the older ones itself.
            let older = |ack: &AckRoute| ack.pair == pair && ack.from == from;
            if self.acks.iter().filter(|ack| older(ack)).count() >= UNACKNOWLEDGED_MAX
                && let Some(oldest) = self.acks.iter().position(older)
            {
                self.acks.remove(oldest);
            }
            self.acks.push(AckRoute::new(pair, from, asked, (send, to_cseq), (server, &response), now));
            self.answers = self.answers.wrapping_add(1);
            if self.call.kind == CallKind::Normal {
                // RFC 3261 14.2, 13.3.1.4: 64*T1 without an ACK "the session SHOULD be terminated. This is accomplished with a BYE".
                cov_mark::hit!(rfc3261_14_2_no_ack);
                self.ack_ends.get_or_insert(now + ACK_WAIT);
            }
        }
        out.push(Effect::Respond { id: server, response });
        // RFC 5057: these end the whole dialog, not only the transaction.
        let about_the_session = matches!(message.method(), Method::Invite | Method::Update | Method::Info | Method::Prack);
        // Of a call for help the first says no more than silence does, which does not end it.
        let ends = status == 481 || status == 408 && self.call.kind == CallKind::Normal;
        if ends && about_the_session && !self.ring_lost_side(from.other(), now, random, out) {
            cov_mark::hit!(rfc5057_5_1_dialog_ends);
            self.hang_up(None, "one side is gone", now, out);
        }
    }

    pub(super) fn on_relay_failed(&mut self, relay: &Relay, now: Instant, out: &mut Vec<Effect>) {
        if self.call.kind != CallKind::Normal {
            // A 408 would end the asker's dialog (RFC 5057 5.1); who does not answer may be heard all the same. The next check tells more.
            cov_mark::hit!(help_with_a_silent_request);
            return respond(relay.server, &relay.request, 504, "Server Time-out", out);
        }
        respond(relay.server, &relay.request, 408, "Request Timeout", out);
        // RFC 3261 12.2.1.2: a request in a dialog without an answer ends the dialog.
        if self.state == State::Answered(relay.pair) {
            cov_mark::hit!(rfc3261_12_2_1_2_no_answer);
            self.hang_up(Some(relay.from.other()), "one side is gone", now, out);
        }
    }

    /// A peer cancels its own re-INVITE.
    pub(super) fn cancel_relay(&self, server: ServerId, reason: Option<&str>, out: &mut Vec<Effect>) {
        let found = self.sent.iter().find(|(_, sent)| matches!(sent, Sent::Relay(relay) if relay.server == server));
        if let Some((id, _)) = found {
            out.push(Effect::Cancel { id: *id, reason: reason.map(Into::into) });
        }
    }

    /// When the call ends, whoever still waits for a relayed answer gets one.
    pub(super) fn answer_pending_relays(&mut self, out: &mut Vec<Effect>) {
        for (_, sent) in &self.sent {
            if let Sent::Relay(relay) = sent {
                let asker = self.pairs.get(relay.pair).map(|pair| pair.side(relay.from));
                let (status, phrase) = match relay.request.method() {
                    // Its dialog goes on in another call, which a 481 would end (RFC 5057 5.1); 500 is only about the request.
                    _ if asker.is_some() && asker == self.gone => {
                        cov_mark::hit!(rfc5057_5_3_only_the_request);
                        (500, "Server Internal Error")
                    }
                    Method::Invite => (487, "Request Terminated"),
                    _ => (481, "Call/Transaction Does Not Exist"),
                };
                respond(relay.server, &relay.request, status, phrase, out);
            }
        }
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Relay(_) | Sent::Check(_)));
    }

    pub(super) fn on_ack(&mut self, message: &Message, _now: Instant, out: &mut Vec<Effect>) {
        let Some((place, from)) = self.find(message) else { return self.picker_acknowledges(message, out) };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        // A repeated ACK answers a 2xx that we repeated; the other side has had its own, and gets it again whenever its 2xx comes again.
        let Some(route) = self.acks.iter().position(|ack| ack.pair == place && ack.from == from && ack.from_cseq == number) else { return };
        let AckRoute { of, to_cseq, .. } = self.acks.remove(route);
        if self.acks.is_empty() {
            self.ack_ends = None;
        }
        let Some(party) = self.pairs.get(place).map(|pair| pair.side(from.other())) else { return };
        self.acknowledge(party, of, to_cseq, Some((message, place, from)), out);
    }

    /// Sends every 2xx again whose ACK is overdue; the call of one that was never acknowledged is ended.
    pub(super) fn repeat_answers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let picker = self.pickup.iter_mut().map(|pickup| &mut pickup.repeat);
        for entry in self.acks.iter_mut().map(|ack| &mut ack.repeat).chain(picker) {
            let Some(repeat) = entry.as_mut().filter(|repeat| repeat.at <= now) else { continue };
            if now >= repeat.ends {
                *entry = None;
                continue;
            }
            // RFC 3261 13.3.1.4: "an interval that starts at T1 seconds and doubles for each retransmission until it reaches T2 seconds".
            cov_mark::hit!(rfc3261_13_3_1_4_again);
            repeat.interval = (repeat.interval * 2).min(T2);
            repeat.at = now + repeat.interval;
            out.push(Effect::Respond { id: repeat.server, response: repeat.response.clone() });
        }
    }

    /// Acknowledges a party's 2xx to the INVITE `of`, with what stands in the ACK `like` of the other side of its pair.
    pub(super) fn acknowledge(&self, party: usize, of: SendId, number: u32, like: Option<(&Message, usize, Side)>, out: &mut Vec<Effect>) {
        let Some(Party { dialog, .. }) = self.parties.get(party) else { return };
        let mut writer = dialog.ack(number);
        if let Some((like, place, from)) = like {
            write::copy_end_to_end(&mut writer, like, self.passage(place, from, &self.site.directory()));
        }
        let request = writer.finish_request(like.map_or(&b""[..], |(like, ..)| like.body()));
        let flow = write::next_hop(dialog, self.behind_trunk(party));
        out.push(Effect::Ack { of, tag: dialog.remote_tag.clone(), request, flow });
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
            self.send(request, flow, Sent::Check(side), out);
        }
    }

    /// Whether this side of a pair is a trunk: its Contact may name another address than the one it sends from.
    pub(super) fn through_trunk(&self, place: usize, side: Side) -> bool {
        self.pairs.get(place).is_some_and(|pair| self.behind_trunk(pair.side(side)))
    }
}

pub(super) fn respond(id: ServerId, request: &Message, status: u16, phrase: &str, out: &mut Vec<Effect>) {
    out.push(Effect::Respond { id, response: Writer::response(request, status, phrase, None).finish_response(b"") });
}
