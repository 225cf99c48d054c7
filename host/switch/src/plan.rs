//! From a policy's plan to what the bridge can dial: endpoints become their bindings, trunks their addresses.

use crate::{
    decision::{NextOn, Plan, PolicyFault, Refusal, Stage, Target, TrunkTarget},
    directory::{Directory, Forwarded, Trunk},
    facts::{Call, CallKind, Caller},
    gruu,
    registrar::{Binding, same_contact},
    site::Site,
    toll,
    trunk::Standing,
};
use serde::{Deserialize, Serialize};
use sip::{
    Instant,
    header::NameAddr,
    random::Random,
    transport::Flow,
    uri::{Scheme, Uri},
};
use std::{fmt::Write as _, sync::Arc, time::Duration};

/// A plan whose targets are addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Resolved {
    /// In order.
    pub stages: Vec<ResolvedStage>,
}

/// Legs that are dialled together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResolvedStage {
    /// All at once.
    pub legs: Vec<LegTarget>,
    /// How long they may ring.
    pub ring: Duration,
    /// How long a leg may stay without any provisional response above 100 before it counts as unreachable; `None` = the transaction's own time-out.
    pub answer_wait: Option<Duration>,
    /// When to go on to the next stage.
    pub next: NextOn,
    /// Also go on after any other final answer that is not a 2xx (403, 404, 6xx): a call for help is not over because one trunk said no.
    pub next_on_refusal: bool,
    /// Where the user whom this stage rings sends calls on to that are not taken.
    pub onward: Option<Box<Onward>>,
    /// Its legs are found when its turn comes: the emergency service calls somebody back.
    pub seek: Option<Seek>,
}

/// Whom a stage looks for when its turn comes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seek {
    /// All of them at once, as far as they can be found; nobody: it is a pause.
    pub whom: Vec<Sought>,
    /// The stage is passed over when it is later than this.
    pub until: Option<Instant>,
}

/// Somebody who is looked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sought {
    /// An endpoint or user, wherever it is registered then.
    pub endpoint: Option<String>,
    /// Contact and way where it is not registered.
    pub address: Option<(String, Flow)>,
}

/// A user who sends calls on, as the user's settings were when the call began ([`crate::directory::CallSettings`]).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Onward {
    /// The user's id.
    pub user: String,
    /// Where every call goes on to.
    pub always: Option<String>,
    /// While the user is busy.
    pub busy: Option<String>,
    /// When nobody answers.
    pub no_answer: Option<String>,
    /// While no phone can be reached.
    pub unreachable: Option<String>,
}

impl Onward {
    /// Where a call goes on to, and what counts as the reason: a phone that cannot be reached answers no call, either, where nothing else is said of it.
    #[must_use]
    pub fn leads(&self, why: Forwarded) -> Option<(Forwarded, &str)> {
        let to = match why {
            Forwarded::Always => &self.always,
            Forwarded::Busy => &self.busy,
            Forwarded::NoAnswer => &self.no_answer,
            Forwarded::Unreachable => match &self.unreachable {
                Some(to) => return Some((why, to)),
                None => return self.leads(Forwarded::NoAnswer),
            },
        };
        to.as_deref().map(|to| (why, to))
    }
}

/// One address to dial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LegTarget {
    /// Request-URI.
    pub uri: String,
    /// The way to the first hop.
    pub flow: Flow,
    /// Route values (a binding's Path).
    pub route: Vec<String>,
    /// Trunk name when it is a trunk leg.
    pub trunk: Option<String>,
    /// Endpoint id when it is a phone.
    pub endpoint: Option<String>,
    /// Number to show instead of the caller's own.
    pub caller_number: Option<String>,
    /// Part before the `@` of To on this leg, escaped; a `urn:` stands for the whole URI of To.
    pub called: String,
    /// Further addresses of the trunk, each tried when the one before it has failed.
    pub more: Vec<Flow>,
}

/// Checks a plan against the directory: a known endpoint or trunk in every target, no more stages and targets than allowed.
///
/// # Errors
/// [`PolicyFault::Nonsense`] naming the first offence.
pub fn check(plan: &Plan, site: &Site) -> Result<(), PolicyFault> {
    let nonsense = |text: String| Err(PolicyFault::Nonsense(text));
    let directory = site.directory();
    if plan.stages.is_empty() {
        return nonsense("a plan without stages".to_owned());
    }
    if plan.stages.len() > site.limits.stages {
        return nonsense(format!("a plan of {} stages, {} allowed (limits.stages)", plan.stages.len(), site.limits.stages));
    }
    for (number, stage) in (1..).zip(&plan.stages) {
        if stage.targets.is_empty() {
            return nonsense(format!("stage {number} has no target"));
        }
        if stage.targets.len() > site.limits.forks {
            return nonsense(format!("stage {number} has {} targets, {} allowed (limits.forks)", stage.targets.len(), site.limits.forks));
        }
        if stage.ring.is_some_and(|ring| ring.is_zero()) {
            return nonsense(format!("stage {number} may not ring at all"));
        }
        for target in &stage.targets {
            match target {
                Target::Endpoint(id) if directory.endpoint(id).is_none() => {
                    return nonsense(format!("stage {number}: there is no endpoint `{id}`"));
                }
                Target::Trunk(target) if directory.trunk(&target.trunk).is_none() => {
                    return nonsense(format!("stage {number}: there is no trunk `{}`", target.trunk));
                }
                Target::Endpoint(_) | Target::Trunk(_) => {}
            }
        }
    }
    Ok(())
}

/// Resolves a checked plan. Targets without a binding or address are left out; a stage left empty counts as unreachable: it is skipped when its
/// `next` allows, else the plan ends before it.
///
/// An endpoint rings at all its live bindings, a user at those of all phones that ring for it; also at those without a seat (a phone that may only call for help may still be called back). Of
/// several flows of one instance only the newest rings ([`Site::targets`]). When a user calls the own extension, the phone that calls does not ring, the user's other phones do.
/// A user who is rung alone is rung as the user's own settings say ([`crate::directory::CallSettings`]): for so long, and with where the call goes on to if nobody takes it. When all calls
/// go on, no phone rings. Beside others, or called as one phone by its GRUU, a user has no say.
/// More than [`crate::Limits::forks`] legs in a stage: the highest q of each endpoint first, the rest is left out. A trunk is dialled at its best address
/// ([`crate::trunk::Trunks::choose`]), and at the others when that fails. A trunk that is down comes after those that are not: it may be back before anybody
/// has noticed.
///
/// # Errors
/// 480 when nothing at all can be rung, 403 when nothing can be because of a ceiling for calls to the outside ([`crate::toll`]).
pub fn resolve(plan: &Plan, call: &Call, site: &Site) -> Result<Resolved, Refusal> {
    let mut stages = Vec::with_capacity(plan.stages.len());
    let mut barred = tolls(plan, call, site);
    let closed = barred.is_some();
    for stage in &plan.stages {
        let (ring, onward) = own_settings(stage, call, site);
        let goes_on = |why| onward.as_ref().is_some_and(|onward| onward.leads(why).is_some());
        let legs = if goes_on(Forwarded::Always) { Vec::new() } else { legs(stage, call, site, closed, &mut barred) };
        if legs.is_empty() && !goes_on(Forwarded::Always) && !goes_on(Forwarded::Unreachable) {
            if stage.next.unreachable {
                continue;
            }
            break;
        }
        let only_trunks = legs.iter().all(|leg| leg.trunk.is_some());
        stages.push(ResolvedStage {
            legs,
            ring: stage.ring.or(ring).unwrap_or(site.limits.ring).min(site.limits.ring_total),
            answer_wait: only_trunks.then_some(site.limits.trunk_wait),
            next: stage.next,
            next_on_refusal: false,
            onward,
            seek: None,
        });
    }
    put_off(&mut stages, site);
    if stages.is_empty() {
        return Err(barred.unwrap_or_else(|| {
            Refusal::new(
                480,
                "Temporarily Unavailable",
                format!("nobody to ring for `{}`: no live binding, no resolved trunk", call.called),
            )
        }));
    }
    Ok(Resolved { stages })
}

/// Counts a call that leads to the outside; why it may not. A call for help is not asked about.
fn tolls(plan: &Plan, call: &Call, site: &Site) -> Option<Refusal> {
    let outside = plan.stages.iter().flat_map(|stage| &stage.targets).any(|target| matches!(target, Target::Trunk(_)));
    if !outside || call.kind != CallKind::Normal {
        return None;
    }
    let directory = site.directory();
    let payer = toll::payer(call, &directory);
    let admitted = site.tolls.admit(payer, &directory.tolls, call.at);
    admitted.err().map(|bite| bite.refusal(payer.unwrap_or("the site")))
}

/// Why nobody calls this number through a trunk, whatever a policy says.
fn bars(target: &TrunkTarget, call: &Call, site: &Site, directory: &Directory) -> Option<Refusal> {
    if call.kind != CallKind::Normal {
        return None;
    }
    let (number, pattern) = [&target.number, &call.called].into_iter().find_map(|number| Some((number, directory.tolls.bars(number)?)))?;
    let refusal = site.tolls.barred().refusal(toll::payer(call, directory).unwrap_or("the site"));
    Some(Refusal { detail: format!("{}: `{number}` is one of `{}`", refusal.detail, pattern.0), ..refusal })
}

/// How long the user whom a stage rings alone wants to be rung, and where calls go on to from there.
fn own_settings(stage: &Stage, call: &Call, site: &Site) -> (Option<Duration>, Option<Box<Onward>>) {
    let [Target::Endpoint(id)] = stage.targets.as_slice() else { return (None, None) };
    let directory = site.directory();
    let Some(settings) = directory.calls_of(id).filter(|_| directory.endpoint(id).is_some_and(|user| user.enabled)) else {
        return (None, None);
    };
    if gruu::is_one(call.message.request_uri()) {
        return (None, None);
    }
    let to = |why| settings.forward(why).map(str::to_owned);
    let onward = settings.forwards().then(|| {
        Box::new(Onward {
            user: id.clone(),
            always: to(Forwarded::Always),
            busy: to(Forwarded::Busy),
            no_answer: to(Forwarded::NoAnswer),
            unreachable: to(Forwarded::Unreachable),
        })
    });
    (settings.ring(), onward)
}

/// Puts the stages at the beginning that lead to nothing but trunks that are down behind the others, where these lead to a trunk that is not.
fn put_off(stages: &mut [ResolvedStage], site: &Site) {
    let down = |leg: &LegTarget| leg.trunk.as_deref().map(|trunk| site.trunks.standing(trunk) == Standing::Down);
    let dead = |stage: &ResolvedStage| stage.next.unreachable && stage.legs.iter().all(|leg| down(leg) == Some(true));
    let first = stages.iter().take_while(|stage| dead(stage)).count();
    let serves = |stage: &ResolvedStage| stage.legs.iter().any(|leg| down(leg) == Some(false));
    if first == 0 || !stages.iter().skip(first).any(serves) {
        return;
    }
    if let Some(last) = stages.last_mut() {
        last.next.unreachable = true;
    }
    stages.rotate_left(first);
}

/// The same for a call however often it is asked: its Call-ID is as good as chance for spreading calls over the addresses of a trunk.
fn chance(call: &Call) -> Random {
    let mut seed = [0_u8; 32];
    for (place, octet) in call.message.call_id().iter().enumerate() {
        if let Some(slot) = seed.get_mut(place % 32) {
            *slot = slot.wrapping_mul(31) ^ octet;
        }
    }
    Random::from_seed(seed)
}

/// Those of a stage. With `closed` nobody outside is called; `barred` says why.
fn legs(stage: &Stage, call: &Call, site: &Site, closed: bool, barred: &mut Option<Refusal>) -> Vec<LegTarget> {
    let mut legs = Vec::new();
    for target in &stage.targets {
        match target {
            Target::Endpoint(id) => endpoint_legs(id, call, site, &mut legs),
            Target::Trunk(_) if closed => {}
            Target::Trunk(target) => {
                let directory = site.directory();
                if let Some(refusal) = bars(target, call, site, &directory) {
                    barred.get_or_insert(refusal);
                    continue;
                }
                let mut flows = site.trunks.choose(&target.trunk, || chance(call)).into_iter();
                let leg = directory.trunk(&target.trunk).zip(flows.next()).and_then(|(trunk, flow)| trunk_leg(trunk, target, call, flow));
                legs.extend(leg.map(|leg| LegTarget { more: flows.collect(), ..leg }));
            }
        }
    }
    legs.truncate(site.limits.forks);
    legs
}

fn endpoint_legs(id: &str, call: &Call, site: &Site, legs: &mut Vec<LegTarget>) {
    for binding in gruu::targets(site, id, call.message.request_uri(), call.at).iter().filter(|binding| !calls_from(call, binding)) {
        legs.push(LegTarget {
            uri: binding.contact.as_ref().to_owned(),
            flow: binding.flow,
            route: binding.path.clone(),
            trunk: None,
            endpoint: Some(binding.endpoint.as_ref().to_owned()),
            caller_number: None,
            called: called_text(&call.called),
            more: Vec::new(),
        });
    }
}

/// Whether this binding is the very phone that calls: bound for the calling endpoint, and either over the same flow without a proxy between, or
/// with the same contact.
fn calls_from(call: &Call, binding: &Arc<Binding>) -> bool {
    let Caller::Endpoint(caller) = &call.caller else { return false };
    if *caller.id != *binding.endpoint {
        return false;
    }
    let same_flow = binding.path.is_empty() && binding.flow == call.flow;
    let contact = |address: NameAddr<'_>| std::str::from_utf8(address.uri).is_ok_and(|uri| same_contact(uri, &binding.contact));
    same_flow || call.message.contact().is_some_and(contact)
}

/// The leg to one address of a trunk; `None` when the trunk's URI cannot be read.
///
/// The Request-URI is the trunk's own with the number as its user part: host, port and parameters stay as the operator wrote them. `user=phone` is
/// not added (RFC 3261 19.1.1 does not ask for it, and some providers refuse it); who needs it writes it into the trunk's `uri`. A `urn:` is the
/// Request-URI as it stands; the flow alone leads to the trunk.
pub(crate) fn trunk_leg(trunk: &Trunk, target: &TrunkTarget, call: &Call, flow: Flow) -> Option<LegTarget> {
    let number = if target.number.is_empty() { &call.called } else { &target.number };
    let called = called_text(number);
    let uri = if is_urn(number) { called.clone() } else { trunk_uri(&trunk.uri, &called)? };
    Some(LegTarget {
        uri,
        flow,
        route: trunk.reach.route().into_iter().collect(),
        trunk: Some(trunk.name.clone()),
        endpoint: None,
        caller_number: target.caller_number.clone(),
        called,
        more: Vec::new(),
    })
}

fn trunk_uri(trunk: &str, user: &str) -> Option<String> {
    let uri = Uri::parse(trunk.as_bytes())?;
    let scheme = match uri.scheme {
        Scheme::Sip => "sip",
        Scheme::Sips => "sips",
        Scheme::Tel | Scheme::Urn | Scheme::Other => return None,
    };
    let host = std::str::from_utf8(uri.host).ok()?;
    let params = std::str::from_utf8(uri.params).ok()?;
    let mut text = format!("{scheme}:{user}@{host}");
    if let Some(port) = uri.port {
        write!(text, ":{port}").ok()?;
    }
    text.push_str(params);
    Some(text)
}

fn is_urn(number: &str) -> bool {
    number.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"))
}

/// A number or name as it may stand before the `@` of a URI; a `urn:` as it may stand alone.
pub(crate) fn called_text(number: &str) -> String {
    if is_urn(number) {
        escape(number, |octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"'))
    } else {
        escape_user(number)
    }
}

/// Escapes what may not stand in the user part of a URI (RFC 3261 25.1: `unreserved`, and of `user-unreserved` what starts no parameter).
#[must_use]
pub fn escape_user(user: &str) -> String {
    escape(user, |octet| {
        octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'&' | b'=' | b'+' | b'$' | b',')
    })
}

fn escape(text: &str, allowed: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        if allowed(octet) {
            escaped.push(char::from(octet));
        } else {
            // Writing into a String cannot fail.
            let _written = write!(escaped, "%{octet:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
