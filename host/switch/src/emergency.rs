//! Emergency calls: recognised by the host itself, before digest, licence, admission control and every policy; routed by the host's own plan
//! when the emergency policy is absent, late, trapped or wrong.
//!
//! Sources: RFC 5031 (service URNs), RFC 6881 (test calls), RFC 3966 (telephone numbers), 47 CFR 9.16(b)(1) (direct dialling "without dialing any
//! additional digit, code, prefix, or post-fix"; whoever is used to a prefix may still dial it).

pub mod callback;
pub(crate) mod dress;
pub mod drill;
pub mod numbers;
mod pidf;

use crate::{
    Limits,
    decision::{EmergencyPlan, NextOn, TrunkTarget},
    directory::{Directory, Location, Trunk, help::CallerId, network_contains},
    facts::{Call, CallKind, Caller},
    plan::{Resolved, ResolvedStage, trunk_leg},
    site::Site,
};
use sip::uri::{Scheme, Uri};
use std::{net::IpAddr, sync::Arc};

/// Recognises a call for help from the Request-URI alone: `urn:service:sos` and sub-services, `urn:service:test.sos`, configured numbers with and
/// without an outside prefix, in `sip:`, `sips:` and `tel:` form, with visual separators and escapes. Never by substring: the whole number must match.
///
/// The domain does not matter (phones keep writing the cloud's), nor do `user=phone` and `phone-context`. A number that is configured both as an
/// emergency number and as a test number is an emergency number.
#[must_use]
pub fn classify(uri: &Uri<'_>, directory: &Directory) -> CallKind {
    match uri.scheme {
        Scheme::Urn => classify_urn(uri.user),
        Scheme::Sip | Scheme::Sips | Scheme::Tel => classify_number(&uri.user_decoded(), directory).0,
        Scheme::Other => CallKind::Normal,
    }
}

/// The same for a number on its own, and the configured number that it means: `9-911` with the outside prefix 9 means `911`. The text is empty for a
/// normal call.
#[must_use]
pub fn classify_number<'a>(number: &[u8], directory: &'a Directory) -> (CallKind, &'a str) {
    let rules = &directory.emergency;
    for (kind, numbers) in [(CallKind::Emergency, &rules.numbers), (CallKind::EmergencyTest, &rules.test_numbers)] {
        let found = numbers.iter().find(|known| {
            let is = |prefix: &str| same_number(number, prefix, known);
            is("") || rules.outside_prefixes.iter().any(|prefix| is(prefix))
        });
        if let Some(known) = found {
            return (kind, known);
        }
    }
    (CallKind::Normal, "")
}

/// RFC 5031 4.1: `urn:service:` followed by a top-level service and sub-services, separated by dots; "service labels are case-insensitive".
/// An unknown sub-service is a call for help all the same (4.2: it is treated as its parent).
fn classify_urn(name: &[u8]) -> CallKind {
    // RFC 8141 2.3: components after `?` and `#` are no part of what is named.
    let name = name.split(|octet| matches!(octet, b'?' | b'#' | b';')).next().unwrap_or_default();
    let Some((b"service:", service)) =
        name.split_at_checked(8).map(|(nid, rest)| (nid.to_ascii_lowercase(), rest)).as_ref().map(|(nid, rest)| (nid.as_slice(), *rest))
    else {
        return CallKind::Normal;
    };
    let mut labels = service.split(|octet| *octet == b'.');
    let is = |label: Option<&[u8]>, wanted: &str| label.is_some_and(|label| label.eq_ignore_ascii_case(wanted.as_bytes()));
    let top = labels.next();
    if is(top, "sos") {
        return CallKind::Emergency;
    }
    // RFC 6881 16: "urn:service:test.sos" and its sub-services test the route.
    if is(top, "test") && is(labels.next(), "sos") {
        return CallKind::EmergencyTest;
    }
    CallKind::Normal
}

/// Whether `dialled` is `prefix` followed by `number`, visual separators aside on both sides.
fn same_number(dialled: &[u8], prefix: &str, number: &str) -> bool {
    let significant = |octet: &u8| !is_separator(*octet);
    // RFC 3966 3: parameters such as `phone-context` follow a semicolon, which some phones escape. They do not change what is called for.
    let dialled = dialled.split(|octet| *octet == b';').next().unwrap_or_default();
    let dialled = dialled.iter().copied().filter(significant).map(|octet| octet.to_ascii_lowercase());
    let wanted = prefix.bytes().chain(number.bytes()).filter(significant).map(|octet| octet.to_ascii_lowercase());
    // A configured number of nothing but separators names nobody.
    number.bytes().any(|octet| significant(&octet)) && dialled.eq(wanted)
}

/// RFC 3966 5.1.1: `visual-separator = "-" / "." / "(" / ")"`; and the blank, which some phones send escaped.
const fn is_separator(octet: u8) -> bool {
    matches!(octet, b'-' | b'.' | b'(' | b')' | b' ')
}

/// The number without visual separators `-.() ` (RFC 3966 5.1.1) and without parameters such as `;phone-context` when it is a telephone number (digits,
/// `*`, `#`, and a `+` in front); anything else unchanged.
#[must_use]
pub fn normalise(user: &str) -> String {
    let (number, _parameters) = user.split_once(';').unwrap_or((user, ""));
    let digits = number.strip_prefix('+').unwrap_or(number);
    let is_number = digits.bytes().all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#') || is_separator(octet))
        && digits.bytes().any(|octet| octet.is_ascii_digit());
    if !is_number {
        return user.to_owned();
    }
    let mut dialled = String::with_capacity(number.len());
    dialled.extend(number.bytes().filter(|octet| !is_separator(*octet)).map(char::from));
    dialled
}

/// Where a caller for help is, as far as the site knows: the place of its phone, else that of its network, else the site's own.
#[must_use]
pub fn place<'a>(call: &Call, directory: &'a Directory) -> Option<&'a Location> {
    let known = call.location.as_deref().and_then(|name| directory.location(name));
    known.or_else(|| directory.emergency.location.as_deref().and_then(|name| directory.location(name)))
}

/// The host's own plan: the trunks of the caller's place in their order, then the site's trunks for calls for help; caller id = the ELIN of the place, else the
/// caller's own number, or the other way round ([`CallerId`]). Tests of the route have trunks of their own, where the operator has named some.
///
/// Where the operator has named no trunk for emergencies, every trunk of the site is tried in the order of the configuration.
#[must_use]
pub fn own_plan(call: &Call, directory: &Directory) -> EmergencyPlan {
    let caller_number = shown_number(call, directory);
    let mut trunks = named_trunks(call, directory);
    if trunks.is_empty() {
        trunks = directory.trunks.iter().collect();
    }
    let target = |name: &str| TrunkTarget { trunk: name.to_owned(), number: call.called.clone(), caller_number: caller_number.clone() };
    EmergencyPlan { trunks: trunks.into_iter().map(|trunk| target(&trunk.name)).collect() }
}

/// The trunks that the operator has named for this call, in the order in which they are tried: those of the caller's place, then the site's; for a test of the route
/// those for tests, where there are any.
#[must_use]
pub fn named_trunks<'a>(call: &Call, directory: &'a Directory) -> Vec<&'a Arc<Trunk>> {
    let rules = &directory.emergency;
    let of_place = place(call, directory).map_or(&[][..], |place| &place.trunks);
    let (first, rest) = if tests_elsewhere(call, directory) { (&[][..], &rules.test_trunks) } else { (of_place, &rules.trunks) };
    let mut trunks: Vec<&Arc<Trunk>> = Vec::new();
    for trunk in first.iter().chain(rest).filter_map(|name| directory.trunk(name)) {
        if !trunks.iter().any(|known| Arc::ptr_eq(known, trunk)) {
            trunks.push(trunk);
        }
    }
    trunks
}

/// Whether a call tests the route by trunks of its own.
fn tests_elsewhere(call: &Call, directory: &Directory) -> bool {
    let named = || directory.emergency.test_trunks.iter().any(|name| directory.trunk(name).is_some());
    call.kind == CallKind::EmergencyTest && named()
}

/// The number under which the emergency service can call back: the ELIN of the place, and a direct number of the phone, whichever the operator wants first; its
/// extension cannot be dialled from outside, but is better than nothing.
fn shown_number(call: &Call, directory: &Directory) -> Option<String> {
    let (elin, direct) = own_numbers(call, directory);
    match directory.emergency.caller_id {
        CallerId::Elin => elin.or(direct),
        CallerId::Own => direct.or(elin),
    }
}

/// The number of the caller's place, and that of the caller.
fn own_numbers(call: &Call, directory: &Directory) -> (Option<String>, Option<String>) {
    let elin = place(call, directory).and_then(|place| place.elin.clone());
    let direct = match &call.caller {
        // A phone of the store has no number of its own: its user has.
        Caller::Endpoint(endpoint) => {
            let user = || directory.endpoint(directory.line_of(&endpoint.id)).and_then(|user| user.numbers.first().cloned());
            endpoint.numbers.first().cloned().or_else(user)
        }
        Caller::Trunk(_) | Caller::Unknown => None,
    };
    (elin, direct)
}

/// What a policy wants to be shown. Which of the caller's own numbers is for the operator to say; another one is the policy's decision.
fn chosen_number(wanted: Option<&String>, call: &Call, directory: &Directory) -> Option<String> {
    let (elin, direct) = own_numbers(call, directory);
    let another = wanted.filter(|number| !number.is_empty() && Some(*number) != elin.as_ref() && Some(*number) != direct.as_ref());
    another.cloned().or_else(|| shown_number(call, directory))
}

/// Joins what the policy chose with the host's own plan (policy's trunks first, unknown ones dropped, missing ones appended) and resolves it: one trunk
/// and one of its addresses a stage, next on everything but an answer, [`Limits::emergency_trunk_wait`] each.
///
/// Health is not asked: a trunk that seemed dead is tried in its turn. A trunk without an address is left out. When none of these has an address, every
/// trunk of the site is tried; when no trunk at all has one, the security desk is rung, where the operator has named one: somebody who can help. Behind the last way
/// there is nothing to be tried, so that it is not left for being silent.
#[must_use]
pub fn resolve(plan: &EmergencyPlan, call: &Call, site: &Site) -> Resolved {
    let directory = site.directory();
    let own = own_plan(call, &directory);
    let mut targets: Vec<TrunkTarget> = Vec::with_capacity(plan.trunks.len() + own.trunks.len());
    let only_tests = tests_elsewhere(call, &directory);
    let may = |wanted: &&TrunkTarget| {
        directory.trunk(&wanted.trunk).is_some() && (!only_tests || directory.emergency.test_trunks.contains(&wanted.trunk))
    };
    for wanted in plan.trunks.iter().take(site.limits.stages).filter(may) {
        let target = TrunkTarget {
            trunk: wanted.trunk.clone(),
            number: sent_number(&wanted.number, call, &directory),
            caller_number: chosen_number(wanted.caller_number.as_ref(), call, &directory),
        };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    for missing in own.trunks {
        if !targets.iter().any(|target| target.trunk == missing.trunk) {
            targets.push(missing);
        }
    }
    let mut stages = stages_of(&targets, call, &directory, site);
    if stages.is_empty() && !only_tests {
        let anybody = directory.trunks.iter().map(|trunk| TrunkTarget {
            trunk: trunk.name.clone(),
            number: call.called.clone(),
            caller_number: shown_number(call, &directory),
        });
        stages = stages_of(&anybody.collect::<Vec<_>>(), call, &directory, site);
    }
    if let Some(last) = stages.last_mut() {
        last.answer_wait = None;
    } else if let Some(desk) = callback::security_desk(&directory).filter(|_| call.kind == CallKind::Emergency) {
        return callback::looking_for(Vec::new(), Some(desk), call.at, site);
    }
    Resolved { stages }
}

fn stages_of(targets: &[TrunkTarget], call: &Call, directory: &Directory, site: &Site) -> Vec<ResolvedStage> {
    let mut stages = Vec::new();
    for target in targets {
        let Some(trunk) = directory.trunk(&target.trunk) else { continue };
        for flow in site.trunks.flows(&target.trunk).iter() {
            stages.extend(trunk_leg(trunk, target, call, *flow).map(|leg| stage(leg, &site.limits)));
        }
    }
    stages
}

/// What is dialled: the called number where the policy names none, and never an outside prefix, which the provider would not understand.
fn sent_number(wanted: &str, call: &Call, directory: &Directory) -> String {
    match classify_number(wanted.as_bytes(), directory) {
        (CallKind::Normal, _) if wanted.is_empty() => call.called.clone(),
        (CallKind::Normal, _) => wanted.to_owned(),
        (CallKind::Emergency | CallKind::EmergencyTest | CallKind::Callback, number) => number.to_owned(),
    }
}

/// A trunk that gives no sign of life is left soon; one where it rings is not left before the whole call's time is over: the queue of an emergency
/// service is the right place to wait.
fn stage(leg: crate::plan::LegTarget, limits: &Limits) -> ResolvedStage {
    ResolvedStage {
        legs: vec![leg],
        ring: limits.ring_total,
        answer_wait: Some(limits.emergency_trunk_wait),
        next: NextOn { busy: true, no_answer: true, unreachable: true },
        next_on_refusal: true,
        onward: None,
        seek: None,
    }
}

/// Whether this source may call for help without being known.
#[must_use]
pub fn admitted(remote: IpAddr, directory: &Directory) -> bool {
    directory.emergency.networks.iter().any(|network| network_contains(network, remote))
}

#[cfg(test)]
mod tests;
