//! Transfers: a party of a talking call asks us to connect the other one with somebody else (RFC 3515, RFC 5589).
//!
//! The bridge carries every transfer out itself, also between two phones that could do it alone. REFER is never passed on: providers refuse it, a
//! phone that follows it would call with its own rights instead of the transferor's, and it would name a dialog that exists on our other side only.
//! So there is one way for phones and trunks alike, and the transferee needs nothing but re-INVITE.
//!
//! The target is called without an offer; its own offer, in the 200, goes to the transferee in a re-INVITE, and the transferee's answer back in the ACK
//! (RFC 3725 section 4.4 turned round: no session description is made up, and nobody waits with an unacknowledged answer while a phone rings). The transferor
//! hears of it in NOTIFYs. It may hang up at any time; when it never does, we do. When the target does not come, the transferor still has its call.

use super::{
    Bridge, Effect, Farewell, Pair, Party, SendId, Sent, State,
    credentials::Credentials,
    hunt::{HuntId, Origin},
    leg::Leg,
    relay::respond,
    replace::DialogId,
    write,
};
use crate::{
    decision::Refusal,
    facts::{Call, CallKind, Caller},
    intake,
    plan::escape_user,
    trunk::Sign,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sip::{
    Instant, Message,
    build::{Writer, reason_phrase},
    header::{Name, NameAddr},
    message::Method,
    random::Random,
    stack::ServerId,
    transport::Flow,
};
use std::{sync::Arc, time::Duration};

/// How long a transferor may keep its side after the transfer has worked.
const LEAVE_WAIT: Duration = Duration::from_secs(4);
/// How often the transferee is asked again after 491 (RFC 3261 14.1).
const ATTEMPTS: u8 = 5;

/// A transfer that is being carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Transfer {
    /// Who asked for it.
    pub(super) transferor: usize,
    /// Who stays.
    pub(super) transferee: usize,
    pub(super) hunt: HuntId,
    /// Value of Event in what the transferor is told; `None`: it wants to hear nothing (RFC 4488), or nothing more.
    event: Option<String>,
    /// It has been told that the target rings.
    told_ringing: bool,
    join: Option<Join>,
}

/// The target has answered; now the transferee.
#[derive(Debug, Serialize, Deserialize)]
struct Join {
    target: usize,
    leg: usize,
    /// The target's 200, with its offer.
    answer: Message,
    attempts: u8,
    again: Option<Instant>,
    /// The transferee, a trunk, has had our credentials.
    authenticated: bool,
}

/// A transferor whose transfer has worked and who should hang up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Leaving {
    party: usize,
    pub(super) at: Instant,
}

impl Transfer {
    /// What of it must be known after a restart.
    pub(super) fn mark(&self) -> (usize, usize, HuntId, bool, bool) {
        (self.transferor, self.transferee, self.hunt, self.event.is_some(), self.join.is_some())
    }

    /// One that nobody asked for who could be told how it goes.
    pub(super) const fn silent(transferor: usize, transferee: usize, hunt: HuntId) -> Self {
        Self { transferor, transferee, hunt, event: None, told_ringing: false, join: None }
    }

    /// Whether this hunt looks for its target, and has found nobody yet.
    pub(super) fn is_for(&self, hunt: HuntId) -> bool {
        self.hunt == hunt && self.join.is_none()
    }
}

impl Leaving {
    /// One whose transfer has just worked.
    pub(super) fn after(party: usize, now: Instant) -> Self {
        Self { party, at: now + LEAVE_WAIT }
    }
}

impl Bridge {
    /// A party asks for a transfer.
    #[expect(clippy::too_many_arguments, reason = "one REFER as it stands: its transaction, what, from whom, when")]
    pub(super) fn refer(
        &mut self,
        id: ServerId,
        message: &Message,
        place: usize,
        side: super::Side,
        flow: Flow,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        if self.transfers >= self.site.limits.transfers {
            // Each leaves something behind until the call ends.
            out.push(Effect::Limit("too-many-transfers"));
            respond(id, message, 403, "Transferred Too Often", out);
            return;
        }
        let transferor = self.pairs.get(place).map(|pair| (pair.side(side), pair.side(side.other())));
        let read = transferor.ok_or_else(|| Refusal::new(481, "Call/Transaction Does Not Exist", "no such dialog"));
        match read.and_then(|(transferor, transferee)| {
            Ok((transferor, transferee, self.referred(message, place, (transferor, transferee), flow, now)?))
        }) {
            Ok((transferor, transferee, (call, replaces))) => {
                let silent = message.header_named(b"Refer-Sub").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"false"));
                let mut writer = Writer::response(message, 202, "Accepted", None);
                write::contact(&mut writer, flow);
                if silent {
                    // RFC 4488 4: "the REFER-Recipient … includes a Refer-Sub header with value false in the 2xx".
                    cov_mark::hit!(rfc4488_4_no_subscription);
                    // RFC 4488 4: "the REFER-Recipient … includes a Refer-Sub header with value false in the 2xx".
                    writer.header_named(b"Refer-Sub", b"false");
                }
                out.push(Effect::Respond { id, response: writer.finish_response(b"") });
                // RFC 3515 2.4.6: only the first REFER of a dialog may go without an id.
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                if self.transfers > 0 {
                    cov_mark::hit!(rfc3515_2_4_6_id);
                }
                let event = if self.transfers == 0 { "refer".to_owned() } else { format!("refer;id={number}") };
                self.transfers += 1;
                let hunt = self.begin_hunt(Origin::Transfer, Some((now, self.site.limits.ring_total)));
                let event = (!silent).then_some(event);
                self.transfer = Some(Transfer { transferor, transferee, hunt, event, told_ringing: false, join: None });
                self.notify(100, "Trying", out);
                if let Some(entry) = self.hunts.get_mut(hunt) {
                    entry.call = Some(Box::new(call.clone()));
                }
                // RFC 5589 7.1: the target is whoever the transferor already talks to in this other dialog of its own with us; whatever address stands
                // before it, the dialog tells who is meant. It was called by the rules when that call was made.
                out.push(match replaces {
                    Some(dialog) => Effect::Take { hunt, dialog },
                    None => Effect::Route { hunt, call: Box::new(call) },
                });
            }
            Err(refusal) => respond(id, message, refusal.status, &refusal.phrase, out),
        }
    }

    /// The call that a REFER asks for: made with the transferor's rights, showing who will be talking.
    fn referred(
        &self,
        message: &Message,
        place: usize,
        (transferor, transferee): (usize, usize),
        flow: Flow,
        now: Instant,
    ) -> Result<(Call, Option<DialogId>), Refusal> {
        if self.state != State::Answered(place) {
            return Err(Refusal::new(403, "Not Before The Answer", "a transfer of a call that does not talk"));
        }
        if self.transfer.is_some() || self.gone.is_some() {
            return Err(Refusal::new(491, "Request Pending", "a second transfer while one is under way"));
        }
        if self.stays_where_help_is() {
            // Who called for help stays where help is.
            return Err(Refusal::new(403, "Emergency Call", "a transfer of a call for help"));
        }
        let bad = |why: &'static str| Refusal::new(400, "Bad Refer-To", why);
        let mut targets = message.values(Name::ReferTo);
        // RFC 3515 2.1: "A REFER request MUST contain exactly one Refer-To header field value."
        let (Some(target), None) = (targets.next(), targets.next()) else {
            cov_mark::hit!(rfc3515_2_1_one_target);
            return Err(bad("not exactly one Refer-To"));
        };
        let uri = NameAddr::parse(target).and_then(|target| target.uri()).ok_or_else(|| bad("unreadable Refer-To"))?;
        if uri.param(b"method").is_some_and(|method| method != b"INVITE") {
            return Err(Refusal::new(403, "Only Calls", "a REFER to something else than INVITE"));
        }
        let directory = self.site.directory();
        let replaces = DialogId::of_uri(&uri).map(|dialog| dialog.ok_or_else(|| bad("unreadable Replaces"))).transpose()?;
        let (kind, called) = match intake::read_target(&uri, &directory) {
            // A Contact that names only a host is enough where a dialog says who is meant.
            Err(_) if replaces.is_some() => (CallKind::Normal, String::new()),
            read => read?,
        };
        let called = self.known_by_contact(&uri, &directory, now).unwrap_or(called);
        let by = self.known(transferor);
        let stays = self.known(transferee);
        // RFC 3892 2: who referred.
        let said = message.header(Name::ReferredBy).map_or_else(|| self.address(&by.number).into_bytes(), <[u8]>::to_vec);
        let message = self.invite_to(&called, uri.param(b"gr"), transferee, Some(&said)).ok_or_else(|| bad("unreadable Refer-To"))?;
        let call = Call {
            message,
            at: now,
            flow,
            caller: by.caller,
            kind,
            called,
            caller_number: stays.number,
            caller_name: stays.name,
            location: by.location.or_else(|| self.call.location.clone()),
            attributes: self.call.attributes.clone(),
        };
        Ok((call, replaces))
    }

    /// A number or user of the site as From, To and Referred-By show it.
    fn address(&self, user: &str) -> String {
        if user.contains(':') { format!("<{user}>") } else { format!("<sip:{}@{}>", escape_user(user), self.site.directory().domain) }
    }

    /// The INVITE by which somebody is called for a party that stays: `gr` is that of a GRUU.
    pub(super) fn invite_to(&self, called: &str, gr: Option<&[u8]>, stays: usize, referred_by: Option<&[u8]>) -> Option<Message> {
        let known = self.known(stays);
        let to = self.address(called);
        let mut target = to.trim_matches(['<', '>']).as_bytes().to_vec();
        if let Some(gr) = gr.filter(|_| target.starts_with(b"sip:")) {
            target.extend_from_slice(b";gr=");
            target.extend_from_slice(gr);
        }
        let mut writer = Writer::request(Method::Invite, b"", &target);
        let from = write::name_addr(&known.name, &known.number, &self.site.directory().domain);
        writer.header(Name::From, &from).header(Name::To, to.as_bytes());
        writer.header(Name::CallId, self.call.message.call_id()).header(Name::CSeq, b"1 INVITE").number(Name::MaxForwards, 70);
        if let Some(referred_by) = referred_by {
            writer.header(Name::ReferredBy, referred_by);
        }
        if self.parties.get(stays).is_some_and(|party| party.leg.is_none()) {
            // What the caller hides it hides from everybody.
            for header in self.call.message.headers().filter(|header| header.name == Name::Privacy) {
                writer.copy(header);
            }
        }
        let request = writer.finish_request(b"");
        Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).ok()
    }

    /// Who a party is, as far as we have proved it.
    pub(super) fn known(&self, party: usize) -> Known {
        let leg = self.parties.get(party).and_then(|party| self.legs.get(party.leg?));
        let Some(target) = leg.map(|leg| &leg.target) else {
            let Call { caller, caller_number, caller_name, location, .. } = &self.call;
            return Known { caller: caller.clone(), number: caller_number.clone(), name: caller_name.clone(), location: location.clone() };
        };
        let endpoint = target.endpoint.as_deref().and_then(|id| self.site.directory().endpoint(id).cloned());
        match (endpoint, &target.trunk) {
            (Some(endpoint), _) => Known {
                number: endpoint.extension.clone(),
                name: endpoint.name.clone(),
                location: endpoint.location.clone(),
                caller: Caller::Endpoint(Arc::clone(&endpoint)),
            },
            (None, Some(trunk)) => {
                Known { caller: Caller::Trunk(trunk.clone()), number: target.called.clone(), name: String::new(), location: None }
            }
            (None, None) => Known { caller: Caller::Unknown, number: target.called.clone(), name: String::new(), location: None },
        }
    }

    /// Whether what this hunt finds is for a transfer.
    pub(super) fn transfers(&self, mut hunt: HuntId) -> bool {
        loop {
            match self.hunts.get(hunt).map(|hunt| &hunt.origin) {
                Some(Origin::Transfer) => return true,
                Some(Origin::Forward(forward)) => match self.forwarded_in(forward) {
                    Some(above) => hunt = above,
                    None => return false,
                },
                Some(Origin::Caller) | None => return false,
            }
        }
    }

    /// The target rings.
    pub(super) fn transfer_rings(&mut self, status: u16, out: &mut Vec<Effect>) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| status >= 180 && !transfer.told_ringing) else { return };
        transfer.told_ringing = true;
        self.notify(180, "Ringing", out);
    }

    /// A target of a transfer has answered.
    pub(super) fn transfer_answered(&mut self, leg: usize, message: &Message, flow: Flow, now: Instant, out: &mut Vec<Effect>) {
        let target = self.fork(leg, message, flow);
        let joining = self.transfer.as_ref().and_then(|transfer| transfer.join.as_ref());
        if joining.is_some_and(|join| join.target == target) {
            return;
        }
        let wanted = self.legs.get(leg).is_some_and(|leg| self.hunts_on(leg.hunt));
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| wanted && transfer.join.is_none()) else {
            self.decline_answer(target, message, out);
            return;
        };
        transfer.join = Some(Join { target, leg, answer: message.clone(), attempts: 0, again: None, authenticated: false });
        let hunt = transfer.hunt;
        self.close(hunt);
        self.call_off(hunt, Some(leg), Some("SIP;cause=200;text=\"Call completed elsewhere\""), out);
        self.note_trunk(leg, Sign::Answered(None), now);
        if message.body().is_empty() {
            self.transfer_failed(488, "Not Acceptable Here", now, out);
        } else {
            self.offer(None, out);
        }
    }

    /// Shows the target's offer to the transferee.
    fn offer(&mut self, credentials: Option<&Credentials>, out: &mut Vec<Effect>) {
        let Some((transferee, Join { target, answer, .. })) =
            self.transfer.as_ref().and_then(|transfer| Some((transfer.transferee, transfer.join.as_ref()?)))
        else {
            return;
        };
        let (target, answer) = (self.known(*target), answer.clone());
        let trusted = self.behind_trunk(transferee);
        let identity = write::name_addr(&target.name, &target.number, &self.site.directory().domain);
        let Some(Party { dialog, .. }) = self.parties.get_mut(transferee) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Invite, b"INVITE", 70);
        write::contact(&mut writer, flow);
        // A provider has no business with who of the site talks to it now.
        if !trusted {
            writer.header(Name::PAssertedIdentity, &identity);
        }
        if let Some((name, value)) = credentials {
            writer.header(*name, value.as_bytes());
        }
        write::copy_content_type(&mut writer, &answer);
        let request = writer.finish_request(answer.body());
        self.send(request, flow, Sent::Join, out);
    }

    /// Asks the transferee once more.
    pub(super) fn offer_again(&mut self, out: &mut Vec<Effect>) {
        if let Some(join) = self.transfer.as_mut().and_then(|transfer| transfer.join.as_mut()) {
            join.again = None;
            self.offer(None, out);
        }
    }

    /// When the transferee is asked once more.
    pub(super) fn offer_due(&self) -> Option<Instant> {
        self.transfer.as_ref()?.join.as_ref()?.again
    }

    /// What the transferee says to the target's offer.
    pub(super) fn on_join_response(&mut self, id: SendId, message: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let status = message.status();
        if status < 200 {
            return;
        }
        self.sent.retain(|(sent, _)| *sent != id);
        let Some(transferee) = self.transfer.as_ref().map(|transfer| transfer.transferee) else { return };
        let credentials = self.credentials(transferee, message, random);
        let Some(join) = self.transfer.as_mut().and_then(|transfer| transfer.join.as_mut()) else { return };
        match status {
            200..300 => {
                let (target, leg, answer) = (join.target, join.leg, join.answer.clone());
                if let Some(party) = self.parties.get_mut(transferee) {
                    party.dialog.refresh_target(message);
                }
                self.acknowledge_with(transferee, id, message, None, out);
                if message.body().is_empty() {
                    self.transfer_failed(488, "Not Acceptable Here", now, out);
                    return;
                }
                if let Some(send) = self.legs.get(leg).map(|leg| leg.send) {
                    let kind = message.header(Name::ContentType).unwrap_or(b"application/sdp");
                    self.acknowledge_with(target, send, &answer, Some((kind, message.body())), out);
                }
                self.joined(transferee, target, now, out);
            }
            // RFC 3261 14.1: whoever made the Call-ID waits between 2.1 and 4 seconds, the other one up to 2; after 2.1 both have had their turn.
            491 if join.attempts < ATTEMPTS => {
                cov_mark::hit!(rfc3261_14_1_glare);
                join.attempts += 1;
                join.again = Some(now + Duration::from_millis(2100 + random.next_u64() % 1900));
            }
            401 | 407 if !join.authenticated && credentials.is_some() => {
                join.authenticated = true;
                self.offer(credentials.as_ref(), out);
            }
            408 | 481 => self.transferee_gone(now, out),
            _ => self.transfer_failed(status, reason_phrase(status), now, out),
        }
    }

    /// The transferee does not answer at all, or does not know the call any more.
    pub(super) fn transferee_gone(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.transfer_over(480, "Temporarily Unavailable", out);
        self.hang_up(None, "one side is gone", now, out);
    }

    /// Both have the other's session: they talk.
    fn joined(&mut self, transferee: usize, target: usize, now: Instant, out: &mut Vec<Effect>) {
        let State::Answered(before) = self.state else { return };
        let Some(pair) = self.pairs.get(before).copied() else { return };
        self.pairs.push(if pair.caller == transferee {
            Pair { caller: transferee, callee: target }
        } else {
            Pair { caller: target, callee: transferee }
        });
        self.answer_pending_relays(out);
        self.acknowledge_unasked(before, out);
        self.ack_ends = None;
        self.state = State::Answered(self.pairs.len() - 1);
        self.notify(200, "OK", out);
        self.answered_at.get_or_insert(now);
        self.parked = None;
        if pair.caller == transferee {
            // Who talked to the caller last, not who gave the call away.
            self.answered_by = self.parties.get(target).and_then(|party| self.legs.get(party.leg?)).map(Leg::party);
        }
        self.talk_begins(now);
        let Some(transfer) = self.transfer.take() else { return };
        if self.gone.take().is_none() {
            self.leaving.push(Leaving::after(transfer.transferor, now));
        }
    }

    /// The policies, the target or the transferee have refused: the transferor still has its call. When it has hung up, whoever stays hears why nobody
    /// comes.
    pub(super) fn transfer_failed(&mut self, status: u16, phrase: &str, now: Instant, out: &mut Vec<Effect>) {
        let stays = self.transfer.as_ref().map(|transfer| transfer.transferee);
        self.transfer_over(status, phrase, out);
        // Who is parked stays so: whoever it goes back to is perhaps at another phone.
        if let Some(stays) = stays.filter(|_| self.gone.is_some() && self.parked.is_none()) {
            self.bye(stays, Farewell::Because(status, phrase), out);
            self.end(status, "the target could not be reached", now, out);
        }
    }

    /// Ends a transfer that has not worked; a target that has answered is hung up.
    pub(super) fn transfer_over(&mut self, status: u16, phrase: &str, out: &mut Vec<Effect>) {
        let Some(transfer) = self.transfer.as_ref() else { return };
        let hunt = transfer.hunt;
        let joining = transfer.join.as_ref().map(|join| (join.target, join.leg, join.answer.clone()));
        self.close(hunt);
        self.call_off(hunt, None, None, out);
        if let Some((target, leg, answer)) = joining {
            self.decline_answer(target, &answer, out);
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.release();
            }
        }
        self.notify(status, phrase, out);
        self.transfer = None;
    }

    /// A party of the talking call hangs up while a transfer is under way. `true`: the call goes on without the transferor.
    pub(super) fn hung_up_in_transfer(&mut self, party: usize, out: &mut Vec<Effect>) -> bool {
        match &mut self.transfer {
            Some(transfer) if transfer.transferor == party => {
                transfer.event = None;
                self.gone = Some(party);
                self.release_party(party);
                true
            }
            Some(_) => {
                self.transfer_over(487, "Request Terminated", out);
                false
            }
            None => false,
        }
    }

    /// Somebody hangs up who is not of the talking pair: a transferor that leaves, or a target that was just about to be joined.
    pub(super) fn hung_up_aside(&mut self, party: usize, now: Instant, out: &mut Vec<Effect>) {
        self.leaving.retain(|leaving| leaving.party != party);
        self.release_party(party);
        if let Some(party) = self.parties.get_mut(party) {
            // Should it still answer what it was asked.
            party.left = true;
        }
        if self.joins(party) {
            self.transfer_failed(480, "Temporarily Unavailable", now, out);
        }
    }

    /// Hangs up transferors that do not do it themselves.
    pub(super) fn dismiss(&mut self, due: impl Fn(Instant) -> bool, out: &mut Vec<Effect>) {
        let parties: Vec<usize> = self.leaving.iter().filter(|leaving| due(leaving.at)).map(|leaving| leaving.party).collect();
        self.leaving.retain(|leaving| !due(leaving.at));
        for party in parties {
            self.bye(party, Farewell::Plain, out);
            self.release_party(party);
        }
    }

    /// A party has left: its trunk channel goes back.
    pub(super) fn release_party(&mut self, party: usize) {
        match self.parties.get(party).map(|party| party.leg) {
            Some(Some(leg)) => {
                if let Some(leg) = self.legs.get_mut(leg) {
                    leg.release();
                }
            }
            Some(None) => self.inbound = None,
            None => {}
        }
    }

    /// Whether a party is the target of a transfer that has answered and does not talk yet.
    pub(super) fn joins(&self, party: usize) -> bool {
        self.transfer.as_ref().and_then(|transfer| transfer.join.as_ref()).is_some_and(|join| join.target == party)
    }

    /// Whether a session is just being agreed with the transferee: nobody else may change it now (RFC 3261 14.2).
    pub(super) fn joining(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.join.is_some())
    }

    /// Tells the transferor how it goes (RFC 3515 2.4.5). After a final status there is nothing more to tell.
    pub(super) fn notify(&mut self, status: u16, phrase: &str, out: &mut Vec<Effect>) {
        let Some(transfer) = self.transfer.as_mut() else { return };
        let transferor = transfer.transferor;
        let event = if status < 200 { transfer.event.clone() } else { transfer.event.take() };
        let Some(event) = event else { return };
        let trusted = self.behind_trunk(transferor);
        let Some(Party { dialog, .. }) = self.parties.get_mut(transferor) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Notify, b"NOTIFY", 70);
        write::contact(&mut writer, flow);
        writer.header(Name::Event, event.as_bytes());
        // 2.4.7: "terminated" with "noresource" once there will be no more.
        let state = if status < 200 {
            format!("active;expires={}", self.site.limits.ring_total.as_secs())
        } else {
            cov_mark::hit!(rfc3515_2_4_7_terminated);
            "terminated;reason=noresource".to_owned()
        };
        writer.header(Name::SubscriptionState, state.as_bytes());
        writer.header(Name::ContentType, b"message/sipfrag;version=2.0");
        let phrase = if phrase.is_empty() { reason_phrase(status) } else { phrase };
        let request = writer.finish_request(format!("SIP/2.0 {status} {phrase}\r\n").as_bytes());
        self.send(request, flow, Sent::Notify, out);
    }

    /// Acknowledges a 2xx to an INVITE of ours, with an answer: its Content-Type and body.
    pub(super) fn acknowledge_with(
        &mut self,
        party: usize,
        of: SendId,
        response: &Message,
        answer: Option<(&[u8], &[u8])>,
        out: &mut Vec<Effect>,
    ) {
        let trusted = self.behind_trunk(party);
        let Some(Party { dialog, .. }) = self.parties.get(party) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.ack(response.cseq().map_or(0, |cseq| cseq.number));
        if let Some((kind, _)) = answer {
            writer.header(Name::ContentType, kind);
        }
        let request = writer.finish_request(answer.map_or(&b""[..], |(_, body)| body));
        out.push(Effect::Ack { of, tag: dialog.remote_tag.clone(), request, flow });
    }
}

/// Who a party is.
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) number: String,
    pub(super) name: String,
    pub(super) location: Option<String>,
}
