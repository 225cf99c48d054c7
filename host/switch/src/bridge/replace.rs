//! Replacing: somebody takes the place of a party of another call of ours (RFC 3891, RFC 5589 section 7).
//!
//! A Replaces names a dialog that we have with a phone. What is wanted is whoever that phone talks to: our dialog with the other side, a [`Half`], is
//! given away by its bridge and taken into the one that asked, wherever either lives. There it is asked for a session anew, as a target is called, but
//! inside its dialog. The call that gave it away is over; nobody can give it back, so that a session that cannot be agreed ends both.

use super::{Bridge, Effect, Farewell, Leg, Pair, Party, Sent, State, credentials::Credentials, hunt::HuntId, leg::LegState, write};
use crate::{decision::Refusal, facts::Caller, plan::LegTarget, trunk::Channel};
use sip::{Instant, Message, build::Request, dialog::Dialog, header::Name, message::Method, random::Random, transport::Flow, uri::Uri};

/// A dialog of ours by its three parts, as Replaces names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag (`to-tag`).
    pub local_tag: Vec<u8>,
    /// The peer's (`from-tag`).
    pub remote_tag: Vec<u8>,
    /// Only while it rings (`early-only`, RFC 3891 6.1).
    pub early_only: bool,
}

/// What is found of a dialog that somebody wants to replace.
#[derive(Debug)]
pub enum Found {
    /// It talked: whom its peer talked to, given away.
    Talks(Box<Half>),
    /// A phone rings in it; the INVITE of whoever calls there. It rings on, until the picker is brought ([`Bridge::bring`]).
    Rings(Box<Message>),
}

/// One side of a talking call that is given away.
#[derive(Debug)]
pub struct Half {
    pub(super) dialog: Dialog,
    pub(super) target: LegTarget,
    pub(super) channel: Option<Channel>,
}

impl Half {
    /// Call-ID of the dialog: its messages belong to whoever takes it.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        &self.dialog.call_id
    }

    /// Our tag in it.
    #[must_use]
    pub fn local_tag(&self) -> &[u8] {
        &self.dialog.local_tag
    }
}

impl DialogId {
    /// Reads a Replaces value (RFC 3891 6.1): `callid *(SEMI replaces-param)` with exactly one `to-tag` and one `from-tag`.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?.to_vec();
        let (mut local_tag, mut remote_tag, mut early_only) = (None, None, false);
        for part in parts {
            let at = part.iter().position(|octet| *octet == b'=').unwrap_or(part.len());
            let (name, value) = part.split_at(at);
            let slot = if name.trim_ascii().eq_ignore_ascii_case(b"to-tag") {
                &mut local_tag
            } else if name.trim_ascii().eq_ignore_ascii_case(b"from-tag") {
                &mut remote_tag
            } else {
                early_only |= name.trim_ascii().eq_ignore_ascii_case(b"early-only");
                continue;
            };
            if slot.replace(value.get(1..)?.trim_ascii().to_vec()).is_some() {
                return None;
            }
        }
        Some(Self { call_id, local_tag: local_tag?, remote_tag: remote_tag?, early_only })
    }

    /// The one that the headers of a URI name (`?Replaces=…`, escaped); `None` when they name none, `Some(None)` when what they say is unreadable.
    pub(super) fn of_uri(uri: &Uri<'_>) -> Option<Option<Self>> {
        let header = uri.headers.split(|octet| *octet == b'&').find_map(|header| {
            let at = header.iter().position(|octet| *octet == b'=')?;
            let (name, value) = header.split_at(at);
            name.eq_ignore_ascii_case(b"replaces").then(|| value.get(1..).unwrap_or_default())
        })?;
        Some(Self::read(&unescaped(header)))
    }

    /// The one that a request names in Replaces; `Some(None)` when that is unreadable or there are several (RFC 3891 3: "MUST … 400").
    #[must_use]
    pub fn of_request(request: &Message) -> Option<Option<Self>> {
        let mut values = request.headers().filter(|header| header.name == Name::Replaces).map(|header| header.value);
        let first = values.next()?;
        // RFC 3891 3: "If more than one Replaces header field is present in an INVITE … the UAS MUST reject the request with a 400 Bad Request".
        Some(if values.next().is_some() {
            cov_mark::hit!(rfc3891_3_several);
            None
        } else {
            Self::read(first)
        })
    }

    /// Whether this dialog of ours is meant.
    pub(super) fn names(&self, dialog: &Dialog) -> bool {
        // RFC 3891 3: a from-tag or to-tag of "0" stands for a peer without a tag.
        let is = |wanted: &[u8], tag: &[u8]| wanted == tag || wanted == b"0" && tag.is_empty();
        self.call_id == dialog.call_id && is(&self.local_tag, &dialog.local_tag) && is(&self.remote_tag, &dialog.remote_tag)
    }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((octet, after)) = rest.split_first() {
        let digits =
            after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match digits.filter(|_| *octet == b'%') {
            Some(value) => {
                plain.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*octet);
                rest = after;
            }
        }
    }
    plain
}

impl Bridge {
    /// Gives away whom the peer of `wanted` talks to, and hangs up on that peer: its place is taken. A phone that rings in it is only found.
    ///
    /// # Errors
    /// 481 when the dialog is none of this call's, or neither talks nor is that of a phone that rings; 486 when it talks and is wanted only while it rings;
    /// 403 for a call for help; 491 while its parties are changing.
    pub fn give(&mut self, wanted: &DialogId, now: Instant, out: &mut Vec<Effect>) -> Result<Found, Refusal> {
        // RFC 3891 3: "If no match is found, the UAS rejects the INVITE and returns a 481 Call/Transaction Does Not Exist response."
        let unknown = || {
            cov_mark::hit!(rfc3891_3_no_match);
            Refusal::new(481, "Call/Transaction Does Not Exist", "a Replaces names no dialog that talks or rings")
        };
        if self.ringing_leg(wanted).is_some() {
            return Ok(Found::Rings(Box::new(self.call.message.clone())));
        }
        let State::Answered(place) = self.state else { return Err(unknown()) };
        let pair = self.pairs.get(place).copied().ok_or_else(unknown)?;
        let is = |party: usize| self.parties.get(party).is_some_and(|party| wanted.names(&party.dialog));
        let (replaced, stays) = match (is(pair.caller), is(pair.callee)) {
            (true, _) => (pair.caller, pair.callee),
            (false, true) => (pair.callee, pair.caller),
            (false, false) => return Err(unknown()),
        };
        if self.stays_where_help_is() {
            return Err(Refusal::new(403, "Emergency Call", "a party of a call for help cannot be replaced"));
        }
        if wanted.early_only {
            // RFC 3891 3: "If the Replaces header field matches a confirmed dialog, it checks for the presence of the "early-only" flag … the UA rejects
            // the request with a 486 Busy response."
            return Err(Refusal::new(486, "Busy Here", "a call that is to be picked up has been answered"));
        }
        let parked = self.waits_beside(replaced);
        if parked && !self.joining() {
            // It may just be on its way back to whoever has parked it.
            self.transfer_over(487, "Request Terminated", out);
        }
        if self.transfer.is_some() || (self.gone.is_some() && !parked) || self.unacknowledged(place) || self.holding() {
            return Err(Refusal::new(491, "Request Pending", "the parties of a call that is to be joined are changing"));
        }
        let dialog = self.parties.get(stays).map(|party| party.dialog.clone()).ok_or_else(unknown)?;
        let leg = self.parties.get(stays).and_then(|party| party.leg).and_then(|leg| self.legs.get_mut(leg));
        let half = match leg {
            Some(leg) => Half { channel: leg.take_channel(), target: leg.target.clone(), dialog },
            None => Half { target: self.caller_as_target(&dialog), channel: self.inbound.take(), dialog },
        };
        self.given(stays, (!parked).then_some(replaced), now, out);
        Ok(Found::Talks(Box::new(half)))
    }

    /// After a restart it is found that a party talks in another call, whatever was written down here last: that is made up for.
    pub fn has_given(&mut self, call_id: &[u8], tag: &[u8], now: Instant, out: &mut Vec<Effect>) {
        let State::Answered(place) = self.state else { return };
        let Some(Pair { caller, callee }) = self.pairs.get(place).copied() else { return };
        let is = |party: usize| {
            let dialog = self.parties.get(party).map(|party| &party.dialog);
            dialog.is_some_and(|dialog| dialog.call_id == call_id && dialog.local_tag == tag)
        };
        let (stays, replaced) = if is(caller) { (caller, callee) } else { (callee, caller) };
        if is(stays) {
            cov_mark::hit!(given_before_the_restart);
            self.given(stays, self.parked.is_none().then_some(replaced), now, out);
        }
    }

    fn given(&mut self, stays: usize, replaced: Option<usize>, now: Instant, out: &mut Vec<Effect>) {
        if let Some(replaced) = replaced {
            self.bye(replaced, Farewell::Plain, out);
        }
        self.gone = Some(stays);
        self.end(200, "transferred", now, out);
        self.find_ways(0, now, out);
    }

    /// The caller as somebody who was dialled.
    pub(super) fn caller_as_target(&self, dialog: &Dialog) -> LegTarget {
        let (endpoint, trunk) = match &self.call.caller {
            Caller::Endpoint(endpoint) => (Some(endpoint.id.clone()), None),
            Caller::Trunk(trunk) => (None, Some(trunk.clone())),
            Caller::Unknown => (None, None),
        };
        LegTarget {
            uri: String::from_utf8_lossy(&dialog.remote_target).into_owned(),
            flow: dialog.flow,
            route: Vec::new(),
            trunk,
            endpoint,
            caller_number: None,
            called: self.call.caller_number.clone(),
            more: Vec::new(),
        }
    }

    /// Takes what another call has given away, for a transfer or for a caller that replaces somebody, and asks it for a session.
    pub(super) fn taken(
        &mut self,
        hunt: HuntId,
        dialog: DialogId,
        found: Result<Found, Refusal>,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let wanted = self.hunts_on(hunt);
        match found {
            Ok(Found::Rings(_)) if wanted && self.transfers(hunt) => {
                let refusal = Refusal::new(481, "Call/Transaction Does Not Exist", "a transfer to a dialog that rings");
                self.routed(hunt, Err(refusal), now, random, out);
            }
            Ok(Found::Rings(offer)) if wanted => self.pick_up(dialog, &offer, now, random, out),
            Ok(Found::Rings(_)) => {}
            Ok(Found::Talks(half)) => {
                let Half { mut dialog, target, channel } = *half;
                out.push(Effect::Adopt { call_id: dialog.call_id.clone(), tag: dialog.local_tag.clone() });
                if !wanted {
                    // Nobody waits for it any more, and nobody else has it.
                    let flow = write::next_hop(&dialog, target.trunk.is_some());
                    let bye = dialog.request(Method::Bye, b"BYE", 70).finish_request(b"");
                    self.send(bye, flow, Sent::Bye, out);
                    return;
                }
                let stage = self.hunts.get(hunt).map_or(0, |hunt| hunt.stage);
                self.adopt(hunt, stage, target, dialog, channel, out);
            }
            Err(refusal) if wanted => self.routed(hunt, Err(refusal), now, random, out),
            Err(_) => {}
        }
    }

    /// Somebody who talked in another call belongs to this one now, and is asked for a session.
    pub(super) fn adopt(
        &mut self,
        hunt: HuntId,
        stage: usize,
        target: LegTarget,
        dialog: Dialog,
        channel: Option<Channel>,
        out: &mut Vec<Effect>,
    ) {
        let (leg, party) = (self.legs.len(), self.parties.len());
        out.extend(channel.as_ref().and_then(|channel| channel.goes_to(self.holder())).map(Effect::Evict));
        self.legs.push(Leg::adopted(target, dialog.clone(), hunt, stage, channel));
        self.parties.push(Party { dialog, leg: Some(leg), instance: None, left: false });
        self.ask(leg, party, None, out);
    }

    /// Asks somebody who was taken from another call for a session, inside its dialog.
    pub(super) fn ask(&mut self, leg: usize, party: usize, credentials: Option<&Credentials>, out: &mut Vec<Effect>) {
        let Some(mut dialog) = self.parties.get(party).map(|party| party.dialog.clone()) else { return };
        let Some((request, flow)) = self.question(leg, party, &mut dialog, credentials) else { return };
        let number = dialog.local_cseq;
        if let Some(party) = self.parties.get_mut(party) {
            party.dialog = dialog;
        }
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
        let send = self.send(request, flow, Sent::Invite(leg), out);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.send = send;
            leg.template.local_cseq = number;
        }
    }

    /// The INVITE that asks it, with the dialog's next number, and where it goes.
    pub(super) fn question(
        &self,
        leg: usize,
        party: usize,
        dialog: &mut Dialog,
        credentials: Option<&Credentials>,
    ) -> Option<(Request, Flow)> {
        let leg = self.legs.get(leg)?;
        // Who is transferred offers no session of its own: the party's is asked for (RFC 3725 4.3).
        let call = (!self.transfers(leg.hunt)).then(|| self.call_of(leg.hunt));
        let flow = write::next_hop(dialog, self.behind_trunk(party));
        let mut writer = dialog.request(Method::Invite, b"INVITE", 70);
        write::contact(&mut writer, flow);
        if let Some((name, value)) = credentials {
            writer.header(*name, value.as_bytes());
        }
        if let Some(call) = call {
            // Phones that obey RFC 3325 show whom they talk to now.
            let caller = write::caller_identity(call, &leg.target, &self.site.directory());
            if !caller.asserted.is_empty() {
                writer.header(Name::PAssertedIdentity, &caller.asserted);
            }
            write::copy_content_type(&mut writer, &call.message);
        }
        let request = writer.finish_request(call.map_or(&b""[..], |call| call.message.body()));
        Some((request, flow))
    }

    /// A party that was taken from another call does not agree on a session, or says nothing: nobody else has it, so that it is hung up. Not who says that
    /// it has no such dialog (481).
    pub(super) fn dismiss_adopted(&mut self, leg: usize, status: u16, out: &mut Vec<Effect>) {
        let adopted = self.legs.get(leg).is_some_and(|leg| leg.adopted && leg.state != LegState::Dead);
        if let Some(party) = self.parties.iter().position(|party| party.leg == Some(leg)).filter(|_| adopted && status != 481) {
            // RFC 3261 12.2.1.2: "If the response for a request within a dialog is … a 408 (Request Timeout), the UAC SHOULD terminate the dialog. A UAC
            // SHOULD also terminate a dialog if no response at all is received for the request". 15.1.1 has it done with a BYE.
            self.bye(party, Farewell::Plain, out);
        }
    }
}
