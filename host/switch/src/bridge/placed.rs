//! Click to dial: the gateway calls a user's phone itself, and then whom the user wants to talk to (RFC 3725).
//!
//! The user's phone is called without an offer and held when it answers; the rest is a transfer that nobody asked for: the target is called with the user's
//! rights, its offer goes to the user's phone, the answer back in the ACK. That is RFC 3725's flow IV with the black hole on the other side of the offer: phones
//! that refuse an offer without streams make one themselves. Its flow I would leave the phone's answer unacknowledged while the target rings, which no phone
//! suffers for longer than 32 seconds. In the place of the party that is not there yet stands one that nobody can be.

use super::{
    Announced, Bridge, CHECK_EVERY, Effect, Home, Pair, Party, State, held, hunt::Origin, leg::LegState, transfer::Transfer, write,
};
use crate::{
    decision::{NextOn, Plan, Refusal, Stage, Target},
    facts::{Call, CallKind, Caller},
    intake,
    plan::{self, escape_user},
    site::Site,
};
use bytes::Bytes;
use sip::{Instant, Message, build::Writer, dialog::Dialog, header::Name, message::Method, random::Random, transport::Flow, uri::Uri};
use std::sync::Arc;

/// A call that somebody wants the gateway to make.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Whose phone rings first, and with whose rights the call is made: an extension, as an endpoint has it.
    pub from: String,
    /// Who is called then: as the user would dial it, or a URI.
    pub to: String,
    /// Asks the user's phone to answer by itself. Whether it does is its own matter.
    pub auto_answer: bool,
    /// What the user's phone is shown instead of the name of who is called then.
    pub announced: Option<Announced>,
}

impl Bridge {
    /// The call that is ordered, not yet dialled. The policies are asked about it when the user has answered.
    ///
    /// # Errors
    /// 404 when nobody has the extension `from`, 403 when it may not call, 480 when none of its phones is registered, and those of
    /// [`intake::read_target`] for `to`.
    pub fn placed(site: Arc<Site>, order: &Order, home: Home, now: Instant, random: &mut Random) -> Result<Self, Refusal> {
        let directory = site.directory();
        let user = directory.by_extension(&order.from).cloned();
        let user = user.ok_or_else(|| Refusal::new(404, "Not Found", format!("nobody has the extension `{}`", order.from)))?;
        let to = order.to.trim();
        let to = if to.contains(':') { to.to_owned() } else { format!("sip:{}@{}", escape_user(to), directory.domain) };
        let uri = Uri::parse(to.as_bytes()).ok_or_else(|| Refusal::new(400, "Bad Target", format!("`{}` cannot be called", order.to)))?;
        let (kind, called) = intake::read_target(&uri, &directory)?;
        let call_id = (home.call_id)(random, home.index, home.shards);
        let bindings = site.targets(&user.id, now);
        let flow = bindings.first().map(|binding| binding.flow);
        let flow =
            flow.ok_or_else(|| Refusal::new(480, "Not Registered", format!("no phone of extension {} is registered", order.from)))?;

        let from = (user.name.as_str(), user.extension.as_str());
        let message = |to: &str, lines: &[(&[u8], &[u8])]| invite(to, from, &directory.domain, &call_id, random.token().as_str(), lines);
        let (mut message, shown) = (message, write_address(&called, &directory.domain));
        let of_user = Call {
            message: message(&shown, &[])?,
            at: now,
            flow,
            caller: Caller::Endpoint(Arc::clone(&user)),
            kind,
            called: called.clone(),
            caller_number: user.extension.clone(),
            caller_name: user.name.clone(),
            location: user.location.clone().or_else(|| directory.location_of(flow.remote.ip()).map(|location| location.name.clone())),
            attributes: Vec::new(),
        };
        intake::permit(&of_user, &site)?;
        if kind == CallKind::Normal && bindings.iter().all(|binding| binding.emergency_only) {
            let detail = format!("every phone of `{}` is registered without a licence seat", user.id);
            return Err(Refusal::new(403, "Emergency Calls Only", detail));
        }
        let extension = write_address(&user.extension, &directory.domain);
        let announced = order.announced.as_ref().map(Announced::lines).unwrap_or_default();
        let announced = announced.iter().map(|(name, value)| (*name, value.as_slice()));
        let lines: Vec<_> = AUTO_ANSWER.iter().copied().filter(|_| order.auto_answer).chain(announced).collect();
        let known = || directory.by_user(&called).map(|target| target.name.clone()).unwrap_or_default();
        let to_user = Call {
            message: message(&extension, &lines)?,
            // Nobody of the site: the user's own phones are all to ring.
            caller: Caller::Unknown,
            kind: CallKind::Normal,
            called: user.extension.clone(),
            caller_name: order.announced.as_ref().map_or_else(known, |announced| announced.name.clone()),
            caller_number: called,
            ..of_user.clone()
        };
        let stage = Stage { targets: vec![Target::Endpoint(user.id.clone())], ring: None, next: NextOn::default() };
        let phones = plan::resolve(&Plan { stages: vec![stage] }, &to_user, &site)?;
        let caller = Dialog::as_server(&of_user.message, "", flow)
            .ok_or_else(|| Refusal::new(400, "Bad Target", format!("`{}` cannot be called", order.to)))?;
        let mut bridge = Self::of(site, of_user, None, caller, phones, home, now);
        if let Some(hunt) = bridge.hunts.first_mut() {
            hunt.call = Some(Box::new(to_user));
        }
        Ok(bridge)
    }

    /// A phone of the user has answered: it is held, and the target is called.
    pub(super) fn user_answered(
        &mut self,
        leg: usize,
        message: &Message,
        flow: Flow,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let user = self.fork(leg, message, flow);
        let Some(entry) = self.legs.get_mut(leg) else { return };
        let (send, hunt) = (entry.send, entry.hunt);
        entry.state = LegState::Dead;
        if self.state != State::Ringing || !self.hunts_on(hunt) {
            // RFC 3261 13.2.2.4: another phone was faster, or nobody wants to talk any more.
            return self.decline_answer(user, message, out);
        }
        self.won(leg, out);
        let Some(answer) = held::answer(message.body(), random) else {
            self.decline_answer(user, message, out);
            return self.end(488, "the user's phone brings no session", now, out);
        };
        self.acknowledge_with(user, send, message, Some((b"application/sdp", &answer)), out);
        let nobody = self.nobody(user, random);
        self.pairs.push(Pair { caller: user, callee: nobody });
        self.state = State::Answered(self.pairs.len() - 1);
        self.check_at = Some(now + CHECK_EVERY);
        // The phone that answered says from where the call is made.
        self.call.flow = flow;
        if let Caller::Endpoint(endpoint) = &self.call.caller
            && endpoint.location.is_none()
        {
            self.call.location = self.site.directory().location_of(flow.remote.ip()).map(|location| location.name.clone());
        }
        let call = Call { at: now, ..self.call.clone() };
        self.connect(nobody, user, call, now + self.site.limits.ring_total, out);
    }

    /// Has a party that nobody talks to connected with whom `call` calls.
    pub(super) fn connect(&mut self, nobody: usize, stays: usize, call: Call, until: Instant, out: &mut Vec<Effect>) {
        let hunt = self.begin_hunt(Origin::Transfer, Some((until, std::time::Duration::ZERO)));
        if let Some(entry) = self.hunts.get_mut(hunt) {
            entry.call = Some(Box::new(call.clone()));
        }
        self.transfer = Some(Transfer::silent(nobody, stays, hunt));
        out.push(Effect::Route { hunt, call: Box::new(call) });
    }

    /// A party that nobody is, beside one that waits for company. Its dialog is that of the other one, but for a tag that no peer is told.
    pub(super) fn nobody(&mut self, beside: usize, random: &mut Random) -> usize {
        let mut dialog = self.parties.get(beside).map_or_else(|| self.caller.clone(), |party| party.dialog.clone());
        dialog.remote_tag = random.token().as_bytes().to_vec();
        self.parties.push(Party { dialog, leg: None, instance: None, left: false });
        self.gone = Some(self.parties.len() - 1);
        self.parties.len() - 1
    }

    /// Whether the two that are to talk do.
    #[must_use]
    pub fn talks(&self) -> bool {
        matches!(self.state, State::Answered(_)) && self.answered_at.is_some()
    }

    /// Whether the user has answered whose phone rings first.
    #[must_use]
    pub const fn reached(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// Who was called and talks, for the call record.
    #[must_use]
    pub fn answered_by(&self) -> Option<&str> {
        self.answered_by.as_deref()
    }

    /// Whoever runs the gateway ends the call. A call for help is none of his.
    pub(super) fn hung_up_from_outside(&mut self, now: Instant, out: &mut Vec<Effect>) {
        const CAUSE: &str = "ended by the operator";
        if self.call.kind != CallKind::Normal {
            return;
        }
        match self.state {
            State::Ringing => {
                self.refuse_caller(&Refusal::new(480, "Temporarily Unavailable", CAUSE), out);
                self.end(480, CAUSE, now, out);
            }
            State::Answered(_) => self.hang_up(None, CAUSE, now, out),
            State::Ended => {}
        }
    }
}

/// What phones understand that answer by themselves: RFC 5373, and the two older ways of most desk phones.
const AUTO_ANSWER: &[(&[u8], &[u8])] = &[
    (b"Answer-Mode", b"Auto"),
    (b"Alert-Info", b"<http://localhost>;info=alert-autoanswer;delay=0"),
    (b"Call-Info", b"<sip:localhost>;answer-after=0"),
];

pub(super) fn write_address(user: &str, domain: &str) -> String {
    if user.contains(':') { user.to_owned() } else { format!("sip:{}@{domain}", escape_user(user)) }
}

/// The INVITE as whoever has this name and number would have sent it to `to`.
pub(super) fn invite(
    to: &str,
    (name, number): (&str, &str),
    domain: &str,
    call_id: &str,
    tag: &str,
    lines: &[(&[u8], &[u8])],
) -> Result<Message, Refusal> {
    let mut from = write::name_addr(name, number, domain);
    from.extend_from_slice(format!(";tag={tag}").as_bytes());
    let mut writer = Writer::request(Method::Invite, b"", to.as_bytes());
    writer.header(Name::From, &from).header(Name::To, format!("<{to}>").as_bytes()).header(Name::CallId, call_id.as_bytes());
    writer.header(Name::CSeq, b"1 INVITE").number(Name::MaxForwards, 70).header(Name::Contact, format!("<sip:{domain}>").as_bytes());
    for (name, value) in lines {
        writer.header_named(name, value);
    }
    let request = writer.finish_request(b"");
    Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default())
        .map_err(|_| Refusal::new(400, "Bad Target", format!("`{to}` cannot be called")))
}
