//! THE SCRIPT of a new call, from INVITE to bridge.
//!
//! It reads top to bottom. Directory, bindings and seats answer from memory; the policies nearly always at once, and where one takes long the script goes on
//! when it has answered or its deadline is over, while the shard does other work. An emergency call leaves the common road at the first fork, meets neither
//! digest, licence, admission control nor any other policy, and never waits for another thread.

use super::{
    dispatch,
    ladder::Ladder,
    pickup,
    shard::{Shard, Waited},
};
use crate::policy::Step;
use sip::{
    Instant, Message,
    build::{Response, Writer},
    header::Name,
    message::Method,
    stack::{Effect, ServerId},
    transport::Flow,
};
use std::{rc::Rc, sync::Arc};
use switch::{
    bridge::{Bridge, DialogId},
    decision::{Decision, Refusal},
    emergency::{self, callback},
    extension,
    facts::{Call, CallKind, Caller},
    intake::{self, Identity},
    park,
    plan::{self, Resolved},
    privacy,
    record::{CallDetail, CallRecord, Said},
    site::Site,
};

/// The answers that a script gives to its request; the shard sends them.
pub(super) struct Replies {
    /// The request's transaction.
    pub(super) id: ServerId,
    responses: Vec<Response>,
}

impl Replies {
    pub(super) const fn new(id: ServerId) -> Self {
        Self { id, responses: Vec::new() }
    }

    pub(super) fn add(&mut self, response: Response) {
        self.responses.push(response);
    }

    pub(super) fn take(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.responses)
    }
}

/// Why no call came of an INVITE.
pub(super) enum No {
    /// Prove who you are; `stale`: the password was right, the nonce too old.
    Challenge { stale: bool },
    /// It demands these extensions, which are ours to know and which we do not know.
    Extensions(String),
    /// Refused by the host, or by a policy in this step.
    Refused(Refusal, Option<Box<Step>>),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, None)
    }
}

/// An INVITE about which the policies have not decided.
pub(super) struct Undecided {
    invite: Message,
    /// Since when it is known that nobody waits for the decision any more.
    cancelled: Option<Instant>,
}

/// What the policies said about a call.
pub(super) struct Routed {
    id: ServerId,
    call: Arc<Call>,
    steps: Vec<Step>,
    decision: Decision,
}

/// Sets a call up, or answers why not.
pub(super) fn setup(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) {
    match screen(shard, message, flow, now) {
        Ok(Screened::Help(call, plan, said)) => start(shard, replies, call, plan, said, now, more),
        Ok(Screened::Normal(call)) => match DialogId::of_request(message) {
            Some(dialog) => replace(shard, replies, call, dialog, now, more),
            None => match pickup::dialled(shard, &call) {
                Some(Ok(dialog)) => replace(shard, replies, call, Some(dialog), now, more),
                Some(Err(refusal)) => refuse(shard, replies, message, refusal.into(), now),
                None => route(shard, replies, call, now, more),
            },
        },
        Err(no) => refuse(shard, replies, message, no, now),
    }
}

/// A call that may be made.
enum Screened {
    /// For help, and how it goes out; or back to whoever has called for it.
    Help(Arc<Call>, Resolved, Vec<Said>),
    /// The policies decide about it.
    Normal(Arc<Call>),
}

/// Who asks, from where, for whom.
fn screen(shard: &mut Shard, message: &Message, flow: Flow, now: Instant) -> Result<Screened, No> {
    let site = shard.parts.site.clone();
    let directory = site.directory();
    let mut call = intake::read_call(message, flow, &directory, now)?;

    if call.kind != CallKind::Normal && message.number(Name::MaxForwards) == Some(0) && site.trunk_from(flow).is_some() {
        // RFC 3261 16.3: one that comes from a trunk with no hop left goes round in a circle between here and there.
        return Err(Refusal::new(483, "Too Many Hops", "a call for help from a trunk goes round in a circle").into());
    }
    if call.kind != CallKind::Normal && (emergency::admitted(flow.remote.ip(), &directory) || site.trunk_from(flow).is_some()) {
        return Ok(call_for_help(shard, &site, call));
    }
    if let Some(back) = called_back(&site, &mut call) {
        return Ok(Screened::Help(Arc::new(call), back, Vec::new()));
    }

    // A call for help from outside the site's networks has to prove who makes it, and nothing else.
    if call.kind == CallKind::Normal && shard.live.len() + shard.undecided.len() >= site.limits.calls {
        shard.parts.observer.dropped(now, flow, "too-many-calls");
        return Err(Refusal::new(503, "Too Many Calls", format!("{} calls are up, which is the limit `calls`", site.limits.calls)).into());
    }
    let identity = match intake::authenticate(message, flow, &site, &shard.parts.authenticator, now) {
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Refused(refusal) => return Err(refusal.into()),
        proved @ (Identity::Trunk(_) | Identity::Endpoint(_)) => proved,
    };
    intake::identify(&mut call, &identity, &site);
    if call.kind != CallKind::Normal {
        // A call for help from outside the site's networks, by a phone that has proved itself.
        return Ok(call_for_help(shard, &site, call));
    }
    if let Some(unknown) = extension::unsupported(message, false) {
        return Err(No::Extensions(unknown));
    }
    extension::join(message)?;
    if privacy::impossible(&call) {
        return Err(Refusal::new(500, "Privacy Impossible", "a caller insists on hiding where its media comes from").into());
    }
    if let Err(refusal) = intake::permit(&call, &site) {
        shard.not_made(&call, &refusal, Vec::new(), now);
        return Err(refusal.into());
    }
    park::note(&mut call, &directory, park::PICK_UP);
    Ok(Screened::Normal(Arc::new(call)))
}

/// A phone of the site takes the place of another in a call of ours (RFC 3891). Which policies let that call be made, they let go on: whoever names its
/// three secrets was told them by somebody who talks in it. Nobody else than a phone may: a provider has no business in the site's calls.
fn replace(shard: &mut Shard, replies: &mut Replies, call: Arc<Call>, dialog: Option<DialogId>, now: Instant, more: &mut Vec<Effect>) {
    let invite = call.message.clone();
    let no = match (dialog, &call.caller) {
        (Some(dialog), Caller::Endpoint(_)) => {
            let home = shard.live.home();
            match Bridge::replacing(shard.parts.site.clone(), Arc::unwrap_or_clone(call), replies.id, dialog, home, now) {
                Some(bridge) => return shard.start_call(bridge, now, more),
                None => Refusal::new(400, "Missing Contact", "the INVITE has no Contact that could be answered"),
            }
        }
        (Some(_), _) => Refusal::new(403, "Forbidden", "an INVITE with Replaces from somebody who is no phone of the site"),
        (None, _) => Refusal::new(400, "Bad Replaces", "an INVITE with several or unreadable Replaces"),
    };
    refuse(shard, replies, &invite, no.into(), now);
}

/// What the policies say.
fn route(shard: &mut Shard, replies: &mut Replies, mut call: Arc<Call>, now: Instant, more: &mut Vec<Effect>) {
    let (id, runner, invite) = (replies.id, Rc::clone(&shard.parts.runner), call.message.clone());
    let routing = async move {
        let mut steps = Vec::new();
        let decision = runner.route(&mut call, &mut steps).await;
        Routed { id, call, steps, decision }
    };
    match shard.now_or_later(routing, Waited::Routed) {
        Some(routed) => decided(shard, replies, routed, now, more),
        None => {
            shard.undecided.insert(id, Undecided { invite, cancelled: None });
        }
    }
}

/// Where that leads.
fn decided(shard: &mut Shard, replies: &mut Replies, routed: Routed, now: Instant, more: &mut Vec<Effect>) {
    let Routed { id: _, call, steps, decision } = routed;
    shard.parts.observer.decided(now, call.message.call_id(), &steps);
    let said = said(&steps);
    let by = decisive(steps);
    let resolved = match decision {
        // No policy wants the number for itself or says no: it is the host's.
        Decision::Pass(_) if park::is_slot(&call, &shard.parts.site.directory()) => match shard.parts.site.lot.parked(&call.called) {
            Some(dialog) => return replace(shard, replies, call, Some(dialog), now, more),
            None => Err(Refusal::new(480, "Nobody Waits Here", format!("nobody is parked at {}", call.called)).into()),
        },
        Decision::Route(plan) => plan::resolve(&plan, &call, &shard.parts.site).map_err(|refusal| No::Refused(refusal, by)),
        Decision::Refuse(refusal) => Err(No::Refused(refusal, by)),
        Decision::Pass(_) => Err(Refusal::new(404, "Not Found", "no policy had a route for this call").into()),
    };
    shard.tell_bitten(&call, now);
    match resolved {
        Ok(plan) => start(shard, replies, call, plan, said, now, more),
        Err(no) => {
            if let No::Refused(refusal, _) = &no {
                shard.not_made(&call, refusal, said, now);
            }
            refuse(shard, replies, &call.message, no, now);
        }
    }
}

fn start(shard: &mut Shard, replies: &mut Replies, call: Arc<Call>, plan: Resolved, said: Vec<Said>, now: Instant, more: &mut Vec<Effect>) {
    let (invite, home) = (call.message.clone(), shard.live.home());
    shard.raise(&call, &plan);
    match Bridge::new(shard.parts.site.clone(), Arc::unwrap_or_clone(call), replies.id, plan, home, now) {
        Some(mut bridge) => {
            bridge.said(said);
            shard.start_call(bridge, now, more);
        }
        None => {
            let no = Refusal::new(400, "Missing Contact", "the INVITE has no Contact that could be answered").into();
            refuse(shard, replies, &invite, no, now);
        }
    }
}

impl Shard {
    /// The policies have decided about a call that had to wait for them.
    pub(super) fn go_on_routed(&mut self, routed: Routed, now: Instant, more: &mut Vec<Effect>) {
        let mut replies = Replies::new(routed.id);
        match self.undecided.remove(&routed.id).and_then(|undecided| undecided.cancelled) {
            Some(at) => self.end_cancelled(&routed, at),
            None => decided(self, &mut replies, routed, now, more),
        }
        self.reply(replies, now, more);
    }

    /// Tells the operator which ceilings for calls to the outside have just bitten.
    pub(super) fn tell_bitten(&self, call: &Call, now: Instant) {
        for bite in self.parts.site.tolls.bitten() {
            self.parts.observer.dropped(now, call.flow, bite.counter());
        }
    }

    /// The caller hangs up before the policies have decided (RFC 3261 9.2).
    pub(super) fn cancel_undecided(&mut self, id: ServerId, now: Instant, more: &mut Vec<Effect>) {
        let Some(undecided) = self.undecided.get_mut(&id) else { return };
        undecided.cancelled = Some(now);
        let tag = self.random.token();
        let response = Writer::response(&undecided.invite, 487, "Request Terminated", Some(tag.as_str())).finish_response(b"");
        self.stack.respond(id, response, now, more);
    }

    /// Tells whoever follows calls of one that was never dialled. The policies, too: what they counted at its beginning, they count down at its end.
    fn end_cancelled(&mut self, routed: &Routed, at: Instant) {
        let Routed { id, call, steps, decision: _ } = routed;
        let record = CallRecord::unanswered(call, 487, "cancelled", at);
        let mut ladder = Ladder::default();
        ladder.asked(*id, Method::Invite, call.flow, call.at);
        ladder.cancelled(*id, at);
        ladder.answered(*id, 487, at);
        self.parts.observer.decided(at, call.message.call_id(), steps);
        self.parts.observer.ended(&record);
        self.parts.observer.told(&record, &ladder, &[]);
        let detail = CallDetail::undialled(call, record.clone(), said(steps), None);
        self.parts.observer.detailed(&Arc::new(detail));
        self.tell(record);
    }
}

impl Shard {
    /// Whoever is to know of calls for help is told, while the call goes its way.
    pub(super) fn raise(&self, call: &Call, plan: &Resolved) {
        if call.kind != CallKind::Normal {
            let first = plan.stages.first().and_then(|stage| stage.legs.first());
            let shown = first.and_then(|leg| leg.caller_number.as_deref());
            self.parts.observer.calls_for_help(call, shown, first.and_then(|leg| leg.trunk.as_deref()));
        }
    }

    /// A call of somebody who is known has come to nothing.
    fn not_made(&self, call: &Call, refusal: &Refusal, said: Vec<Said>, now: Instant) {
        self.parts.observer.detailed(&Arc::new(CallDetail::refused(call, refusal, said, now)));
    }
}

/// What policies said, for the record of the call.
pub(super) fn said(steps: &[Step]) -> Vec<Said> {
    steps.iter().map(|step| Said { policy: step.policy.to_string(), outcome: step.outcome.clone() }).collect()
}

/// The decision that counted: the last one that was no pass. Behind a policy that failed, others may have passed.
pub(super) fn decisive(steps: Vec<Step>) -> Option<Box<Step>> {
    steps.into_iter().rev().find(|step| !step.passed).map(Box::new)
}

/// A call for help has no way to end in a refusal: the policy may choose trunks, caller id and location; whatever it fails to say, the host says itself.
fn call_for_help(shard: &mut Shard, site: &Arc<Site>, mut call: Call) -> Screened {
    if matches!(call.caller, Caller::Unknown) {
        // Right credentials tell who it is; wrong ones are no reason to refuse or to ask again.
        let identity = intake::authenticate(&call.message, call.flow, site, &shard.parts.authenticator, call.at);
        intake::identify(&mut call, &identity, site);
    }
    if call.message.contact().is_none() {
        call.message = reachable_where_it_came_from(&call.message, call.flow);
    }
    let mut call = Arc::new(call);
    let (resolved, said) = help(shard, &mut call);
    Screened::Help(call, resolved, said)
}

/// The emergency service calls back: the phone rings that has called for help, and nobody is asked whether it may.
fn called_back(site: &Arc<Site>, call: &mut Call) -> Option<Resolved> {
    if call.kind != CallKind::Normal {
        return None;
    }
    let trunk = site.trunk_from(call.flow)?.name.clone();
    // Where the number stands that is called is for the trunk to say.
    let mut known = call.clone();
    intake::identify(&mut known, &Identity::Trunk(trunk.clone()), site);
    let plan = callback::plan(&known, &trunk, site)?;
    *call = Call { kind: CallKind::Callback, ..known };
    Some(plan)
}

/// How a call for help goes out. Who makes it is remembered, so that it can be called back.
pub(super) fn help(shard: &Shard, call: &mut Arc<Call>) -> (Resolved, Vec<Said>) {
    let directory = shard.parts.site.directory();
    if let Some(place) = emergency::place(call, &directory).filter(|place| call.location.as_ref() != Some(&place.name)) {
        Arc::make_mut(call).location = Some(place.name.clone());
    }
    let mut steps = Vec::new();
    let plan = shard.parts.runner.emergency(call, &mut steps);
    shard.parts.observer.decided(call.at, call.message.call_id(), &steps);
    let plan = plan.unwrap_or_else(|_fault| emergency::own_plan(call, &directory));
    let resolved = emergency::resolve(&plan, call, &shard.parts.site);
    let (callbacks, most) = (&shard.parts.site.callbacks, shard.parts.site.limits.callbacks);
    if call.kind == CallKind::Emergency && !callbacks.note(call, &resolved, directory.emergency.callback, most) {
        shard.parts.observer.dropped(call.at, call.flow, "callbacks");
    }
    (resolved, said(&steps))
}

/// An INVITE without a Contact breaks RFC 3261 8.1.1.8 and is refused, but not when it calls for help: then its sender is where it came from.
fn reachable_where_it_came_from(message: &Message, flow: Flow) -> Message {
    let bytes = message.bytes();
    // Line ends before the start line are skipped by whoever reads it (RFC 3261 7.5).
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line_end = bytes.iter().skip(begin).position(|byte| *byte == b'\n').map_or(0, |at| begin + at + 1);
    let (start, rest) = bytes.split_at(line_end);
    let contact = format!("Contact: <sip:{}>\r\n", flow.remote);
    let repaired = [start, contact.as_bytes(), rest].concat();
    // One line more than came in: limits are for what comes in.
    let unlimited = sip::Limits { message_bytes: usize::MAX, headers: usize::MAX, ..sip::Limits::default() };
    Message::parse(repaired.into(), &unlimited).unwrap_or_else(|_| message.clone())
}

/// Sends what a script that failed has to say; the operator's line goes to the observer.
pub(super) fn refuse(shard: &mut Shard, replies: &mut Replies, message: &Message, no: No, now: Instant) {
    match no {
        No::Challenge { stale } => {
            let tag = shard.stack.stateless_tag(message);
            let (status, name) = match message.method() {
                // RFC 3261 22.1: a registrar is a user agent server and answers 401; for a call we stand in the way as a proxy does.
                Method::Invite | Method::Message => (407, Name::ProxyAuthenticate),
                _ => (401, Name::WwwAuthenticate),
            };
            let mut writer = Writer::response(message, status, sip::build::reason_phrase(status), Some(tag.as_str()));
            for challenge in shard.parts.authenticator.challenges(stale, now, &mut shard.random) {
                writer.header(name, challenge.as_bytes());
            }
            replies.add(writer.finish_response(b""));
        }
        No::Extensions(unknown) => {
            let detail = format!("a {} demands `{unknown}`", String::from_utf8_lossy(message.method_token()));
            shard.parts.observer.refused(now, message.call_id(), &Refusal::new(420, "Bad Extension", detail), None);
            let tag = shard.random.token();
            // RFC 3261 8.2.2.3: "The server MUST add an Unsupported header field, and list in it those options it does not understand".
            let mut writer = Writer::response(message, 420, "Bad Extension", Some(tag.as_str()));
            writer.header(Name::Unsupported, unknown.as_bytes()).header(Name::Supported, extension::SUPPORTED.as_bytes());
            replies.add(writer.finish_response(b""));
        }
        No::Refused(refusal, step) => {
            shard.parts.observer.refused(now, message.call_id(), &refusal, step.as_deref());
            let tag = shard.random.token();
            let mut writer = Writer::response(message, refusal.status, &refusal.phrase, Some(tag.as_str()));
            match refusal.status {
                423 => {
                    let seconds = shard.parts.site.limits.expires_min.as_secs();
                    writer.number(Name::MinExpires, u32::try_from(seconds).unwrap_or(u32::MAX));
                }
                // RFC 3261 21.5.4; spread, so that refused phones do not come back all at once.
                503 => {
                    let spread = u32::try_from(shard.random.next_u64() % 8).unwrap_or(0);
                    writer.number(Name::RetryAfter, 2 + spread);
                }
                405 | 501 => {
                    writer.header(Name::Allow, dispatch::ALLOW);
                }
                _ => {}
            }
            replies.add(writer.finish_response(b""));
        }
    }
}
