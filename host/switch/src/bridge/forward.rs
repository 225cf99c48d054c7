//! Forwarding: a phone answers with a redirection, and the call goes on to where it says (RFC 3261 8.1.3.4, 21.3; RFC 5806; RFC 7044).
//!
//! 300, 301 and 302 are followed: their Contacts are tried one after the other, the best q first. A Contact names somebody to call, nothing more: its
//! user is called by the site's own rules, as if the phone had dialled it, and with that phone's rights; its host is not contacted. 305 (Use Proxy) and
//! 380 (Alternative Service) are not followed: the first would have a phone choose a proxy that no rule of the site knows, the second names nothing
//! that could be dialled. Nothing is kept of a 301: the phone says it again next time. A trunk's redirection goes to the caller as it is, since a
//! provider has no rights here, and a call for help goes on to its next trunk.
//!
//! A user's own settings ([`crate::plan::Onward`]) take the same road: the call goes on with the user's rights, the policies are asked, a circle ends, and what is
//! forwarded counts under the same limit. What rings then rings by its own plan; the user's stage is over when that is.

use super::{
    Best, Bridge, Effect,
    hunt::{HuntId, Origin},
    leg::LegState,
};
use crate::{
    decision::Refusal,
    directory::{Directory, Endpoint, Forwarded},
    facts::{Call, CallKind, Caller},
    intake,
    plan::escape_user,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sip::{
    Instant, Message,
    build::Writer,
    header::{Header, Name, NameAddr},
    message::Method,
    random::Random,
    uri::Uri,
};
use std::sync::Arc;

/// A leg or user that was forwarded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forward {
    pub(super) from: From,
    /// Contacts still to be tried, the best last.
    contacts: Vec<Vec<u8>>,
    /// Who forwards: its rights count.
    #[serde(with = "super::keep::endpoint")]
    pub(super) by: Arc<Endpoint>,
}

/// What was forwarded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum From {
    /// A leg, by this redirection.
    Leg(usize, Message),
    /// The user whom this stage of a hunt rings.
    Stage(HuntId, usize, Forwarded),
}

/// Why a call goes on to somebody else.
pub(super) enum Why<'a> {
    /// A phone said so; it had rung before, or not.
    Phone { response: &'a Message, rang: bool },
    /// A user wants it so.
    User(Forwarded),
    /// A policy's next stage, after this status.
    Policy(u16),
}

impl Bridge {
    /// Follows a redirection of a phone. `false`: it is not one that is followed, and counts as a refusal.
    pub(super) fn forward(&mut self, leg: usize, response: &Message, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let Some(entry) = self.legs.get(leg).filter(|leg| leg.state == LegState::Ringing && self.hunts_on(leg.hunt)) else { return false };
        if self.call_of(entry.hunt).kind != CallKind::Normal || entry.target.trunk.is_some() {
            return false;
        }
        let by = entry.target.endpoint.as_deref().and_then(|id| self.site.directory().endpoint(id).cloned());
        let contacts = match response.status() {
            // One more than are followed, so that the limit is seen to bite.
            300..=302 => contacts(response, self.site.limits.forwards + 1),
            _ => Vec::new(),
        };
        let Some(by) = by.filter(|_| !contacts.is_empty()) else {
            // What a phone says about where else it might be is no answer for the caller.
            let refusal =
                Refusal::new(480, "Temporarily Unavailable", format!("a phone answered {} and names nobody to call", response.status()));
            self.leg_failed(leg, Best::Refusal(refusal), false, now, random, out);
            return true;
        };
        let hunt = self.begin_hunt(Origin::Forward(Forward { from: From::Leg(leg, response.clone()), contacts, by }), None);
        if let Some(entry) = self.legs.get_mut(leg) {
            entry.state = LegState::Forwarded(hunt);
            entry.release();
        }
        self.next_contact(hunt, now, random, out);
        true
    }

    /// The user whom the present stage of a hunt rings does not take the call, and may send such calls on. `false`: the user does not.
    pub(super) fn user_forwards(&mut self, hunt: HuntId, why: Forwarded, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let Some(entry) = self.hunts.get_mut(hunt) else { return false };
        let place = entry.stage;
        let Some(stage) = entry.plan.stages.get_mut(place) else { return false };
        let Some((why, to)) = stage.onward.as_ref().and_then(|onward| onward.leads(why)).map(|(why, to)| (why, to.to_owned())) else {
            return false;
        };
        // What the next one does not take is not sent on from here again.
        let Some(onward) = stage.onward.take() else { return false };
        let directory = self.site.directory();
        let Some(by) = directory.endpoint(&onward.user).cloned() else { return false };
        let contact = format!("sip:{}@{}", escape_user(&to), directory.domain).into_bytes();
        (entry.stage_ends, entry.answer_wait_ends, entry.best) = (None, None, None);
        let below = self.begin_hunt(Origin::Forward(Forward { from: From::Stage(hunt, place, why), contacts: vec![contact], by }), None);
        self.next_contact(below, now, random, out);
        true
    }

    /// The hunt to which what was forwarded belongs.
    pub(super) fn forwarded_in(&self, forward: &Forward) -> Option<HuntId> {
        match &forward.from {
            From::Leg(leg, _) => self.legs.get(*leg).map(|leg| leg.hunt),
            From::Stage(hunt, ..) => Some(*hunt),
        }
    }

    /// Asks where the next Contact of a redirection leads. When none is left, the leg or user that was forwarded has failed.
    fn next_contact(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(Origin::Forward(forward)) = self.hunts.get_mut(hunt).map(|hunt| &mut hunt.origin) else { return };
        let outcome = match forward.contacts.pop() {
            Some(contact) => self.forwarded_call(hunt, &contact, now, out),
            None => return self.forward_over(hunt, now, random, out),
        };
        match outcome {
            Ok(call) => {
                if let Some(entry) = self.hunts.get_mut(hunt) {
                    entry.call = Some(Box::new(call.clone()));
                }
                out.push(Effect::Route { hunt, call: Box::new(call) });
            }
            Err(refusal) => self.forward_failed(hunt, Best::Refusal(refusal), now, random, out),
        }
    }

    /// A forward led to nobody: whoever was forwarded ends as it did.
    fn forward_over(&mut self, hunt: HuntId, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        self.close(hunt);
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        let best = entry.best.take();
        let best = best.unwrap_or_else(|| Best::Refusal(Refusal::new(480, "Temporarily Unavailable", "a forward led to nobody")));
        match &entry.origin {
            Origin::Forward(Forward { from: From::Leg(leg, _), .. }) => {
                let (leg, unreachable) = (*leg, (500..600).contains(&best.status()));
                self.leg_failed(leg, best, unreachable, now, random, out);
            }
            Origin::Forward(Forward { from: From::Stage(above, stage, _), .. }) => {
                let (above, stage) = (*above, *stage);
                self.stage_failed(above, stage, best, now, random, out);
            }
            Origin::Caller | Origin::Transfer => {}
        }
    }

    /// What became of one Contact: the next one is tried, and the best of all failures counts. A person's refusal (6xx) counts for all.
    pub(super) fn forward_failed(&mut self, hunt: HuntId, best: Best, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let Some(entry) = self.hunts.get_mut(hunt) else { return };
        let Origin::Forward(forward) = &mut entry.origin else { return };
        if best.status() >= 600 {
            forward.contacts.clear();
        }
        if entry.best.as_ref().is_none_or(|old| best.rank() < old.rank()) {
            entry.best = Some(best);
        }
        self.next_contact(hunt, now, random, out);
    }

    /// The call as it goes on to `contact`.
    fn forwarded_call(&mut self, hunt: HuntId, contact: &[u8], now: Instant, out: &mut Vec<Effect>) -> Result<Call, Refusal> {
        if self.forwards >= self.site.limits.forwards {
            out.push(Effect::Limit("too-many-forwards"));
            let limit = self.site.limits.forwards;
            return Err(Refusal::new(
                482,
                "Forwarded Too Often",
                format!("a call was forwarded {limit} times, which is the limit `forwards`"),
            ));
        }
        self.forwards += 1;
        let directory = self.site.directory();
        let uri = Uri::parse(contact).ok_or_else(|| Refusal::new(480, "Temporarily Unavailable", "a Contact that is no URI"))?;
        let (kind, called) = intake::read_target(&uri, &directory)?;
        let called = self.known_by_contact(&uri, &directory, now).unwrap_or(called);
        let nobody = || Refusal::new(480, "Temporarily Unavailable", "nobody forwards");
        let Some(Origin::Forward(forward @ Forward { from, by, .. })) = self.hunts.get(hunt).map(|hunt| &hunt.origin) else {
            return Err(nobody());
        };
        let above = self.forwarded_in(forward).ok_or_else(nobody)?;
        if self.went_by(above, &called) {
            cov_mark::hit!(forwarded_in_a_circle);
            return Err(Refusal::new(482, "Loop Detected", format!("`{}` forwards back to `{called}`", by.id)));
        }
        let before = self.call_of(above);
        let why = match from {
            From::Leg(leg, response) => Why::Phone { response, rang: self.legs.get(*leg).is_some_and(|leg| leg.alive) },
            From::Stage(.., why) => Why::User(*why),
        };
        let message = diverted(&before.message, &before.called, &called, why, &directory.domain);
        Ok(Call {
            message,
            at: now,
            flow: before.flow,
            caller: Caller::Endpoint(Arc::clone(by)),
            kind,
            called,
            caller_number: before.caller_number.clone(),
            caller_name: before.caller_name.clone(),
            location: by.location.clone().or_else(|| before.location.clone()),
            attributes: before.attributes.clone(),
        })
    }

    /// Whether the call has been at this number on its way to `hunt`.
    fn went_by(&self, mut hunt: HuntId, called: &str) -> bool {
        loop {
            if self.call_of(hunt).called == called {
                return true;
            }
            let Some(Origin::Forward(forward)) = self.hunts.get(hunt).map(|hunt| &hunt.origin) else { return false };
            let Some(above) = self.forwarded_in(forward) else { return false };
            hunt = above;
        }
    }

    /// The extension of the phone whose Contact this is, when its user part means nobody: some phones name each other by host and port.
    pub(super) fn known_by_contact(&self, uri: &Uri<'_>, directory: &Directory, now: Instant) -> Option<String> {
        let user = uri.user_decoded();
        let dialled = user.iter().all(|octet| octet.is_ascii_digit() || matches!(octet, b'+' | b'*' | b'#'));
        if dialled || directory.by_user(&String::from_utf8_lossy(&user)).is_some() {
            return None;
        }
        let id = self.site.registrar.holder(uri, now)?;
        directory.endpoint(&id).map(|endpoint| endpoint.extension.clone())
    }
}

/// The URIs of the best `most` of a redirection's Contacts, the best last. RFC 3261 20.10: q is 1 where it is not given.
fn contacts(response: &Message, most: usize) -> Vec<Vec<u8>> {
    let quality = |contact: &NameAddr<'_>| contact.param(b"q").map_or(1000, crate::registrar::read_q);
    let mut contacts: Vec<_> = response.values(Name::Contact).filter_map(NameAddr::parse).collect();
    contacts.reverse();
    contacts.sort_by_key(quality);
    contacts.iter().skip(contacts.len().saturating_sub(most)).map(|contact| contact.uri.to_vec()).collect()
}

/// Why a call was diverted (RFC 5806 4, `diversion-reason`).
const REASONS: [&str; 11] = [
    "unknown",
    "user-busy",
    "no-answer",
    "unavailable",
    "unconditional",
    "time-of-day",
    "do-not-disturb",
    "deflection",
    "follow-me",
    "out-of-service",
    "away",
];

/// The INVITE as it goes on from `from` to `to`: with what says so to whoever gets it.
pub(super) fn diverted(message: &Message, from: &str, to: &str, why: Why<'_>, domain: &str) -> Message {
    let address = |user: &str| if user.contains(':') { user.to_owned() } else { format!("sip:{}@{domain}", escape_user(user)) };
    let mut writer = Writer::request(Method::Invite, b"", address(to).as_bytes());
    let (status, reason) = match &why {
        Why::Phone { response, rang } => {
            // RFC 5806 4: who redirects may know better why. Whose call it was we know ourselves: a phone could name anybody, and a provider would believe it.
            let said = response.values(Name::Diversion).next().and_then(NameAddr::parse).and_then(|said| said.param(b"reason"));
            let said = said.and_then(|said| REASONS.into_iter().find(|reason| said.eq_ignore_ascii_case(reason.as_bytes())));
            (response.status(), said.unwrap_or(if *rang { "no-answer" } else { "unconditional" }))
        }
        Why::User(why) => why.said(),
        Why::Policy(status) => (
            *status,
            match status {
                482 | 486 | 600 => "user-busy",
                408 | 480 => "no-answer",
                500..=599 => "unavailable",
                _ => "unknown",
            },
        ),
    };
    // RFC 5806 5.1: "A Diversion header is added when features such as call forwarding … change the Request-URI"; the newest is the topmost.
    writer.header(Name::Diversion, format!("<{}>;reason={reason};counter=1", address(from)).as_bytes());
    for header in message.headers().filter(|header: &Header<'_>| header.name != Name::ContentLength) {
        writer.copy(header);
    }
    // RFC 7044 10.3: below the entry of what was called stands first whom that led to, with the reason why it went on (10.2), and then, on the same
    // level, where it goes (10.1: "mp" names the entry whose target was another user).
    let last = message.values(Name::HistoryInfo).filter_map(NameAddr::parse).last();
    let index = last.and_then(|entry| entry.param(b"index")).map_or_else(|| "1".into(), String::from_utf8_lossy);
    if last.is_none() {
        writer.header(Name::HistoryInfo, format!("<{}>;index=1", address(from)).as_bytes());
    }
    writer.header(Name::HistoryInfo, format!("<{}?Reason=SIP%3Bcause%3D{status}>;index={index}.1;rc={index}", address(from)).as_bytes());
    writer.header(Name::HistoryInfo, format!("<{}>;index={index}.2;mp={index}", address(to)).as_bytes());
    let request = writer.finish_request(message.body());
    Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap_or_else(|_| message.clone())
}
