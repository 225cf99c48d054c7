//! The emergency service calls back: who has called for help is remembered, and a call to the number that was shown rings that phone (RFC 7090; FCC 47 CFR 9.16
//! asks for a callback number that reaches the caller).
//!
//! No policy is asked: what screens, forwards or silences other calls must not lose this one. A phone that is away is looked for again and again, each time where
//! it is registered then, and else where it called from; after a while the security desk rings with it.

use crate::{
    decision::NextOn,
    directory::Directory,
    facts::{Call, CallKind, Caller},
    plan::{Resolved, ResolvedStage, Seek, Sought},
    site::Site,
};
use serde::{Deserialize, Serialize};
use sip::{Instant, transport::Flow};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// So long a phone may stay without a sign of life when it is called back.
const ANSWER_WAIT: Duration = Duration::from_secs(6);
/// So long it rings before it is called anew: it may have registered elsewhere meanwhile.
const RING: Duration = Duration::from_secs(30);
/// Pauses between two calls; the last one goes on.
const PAUSES: [u64; 3] = [2, 4, 8];
/// Callers that are called back together, where several have shown the same number.
const TOGETHER: usize = 4;

/// Somebody has called for help.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallForHelp {
    /// When.
    pub at: Instant,
    /// The numbers that it has shown, or would on another trunk.
    pub numbers: Vec<String>,
    /// The phone, where it is known.
    pub endpoint: Option<String>,
    /// Its Contact.
    pub contact: String,
    /// The way it called by.
    pub flow: Flow,
    /// The place, by name.
    pub location: Option<String>,
    /// Call-ID of the call.
    pub call_id: String,
}

impl CallForHelp {
    /// Whether it is the same caller.
    fn same_caller(&self, other: &Self) -> bool {
        match (&self.endpoint, &other.endpoint) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self.contact == other.contact && self.flow == other.flow,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn sought(&self) -> Sought {
        let address = (!self.contact.is_empty()).then(|| (self.contact.clone(), self.flow));
        Sought { endpoint: self.endpoint.clone(), address }
    }
}

/// Who has called for help lately. One short lock; never more entries than allowed.
#[derive(Default)]
pub struct Callbacks {
    callers: Mutex<VecDeque<CallForHelp>>,
    /// Is told when there is something new to be written down. It must not wait for anything.
    noted: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").field("callers", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Callbacks {
    fn lock(&self) -> MutexGuard<'_, VecDeque<CallForHelp>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `wake` called whenever somebody new is remembered. Once only; it runs on the path of a call for help and may do no more than wake somebody.
    pub fn on_note(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second one would be a mistake of the shell, and the first goes on.
        let _second = self.noted.set(Box::new(wake));
    }

    /// Remembers who calls for help, and forgets whoever did so longer ago than `keep`. `false`: there were `most` already, and the oldest was forgotten.
    pub fn note(&self, call: &Call, plan: &Resolved, keep: Duration, most: usize) -> bool {
        let mut numbers: Vec<String> = Vec::new();
        for leg in plan.stages.iter().flat_map(|stage| &stage.legs) {
            let shown = leg.caller_number.as_ref().unwrap_or(&call.caller_number);
            if !shown.is_empty() && !numbers.contains(shown) {
                numbers.push(shown.clone());
            }
        }
        let new = CallForHelp {
            at: call.at,
            numbers,
            endpoint: match &call.caller {
                Caller::Endpoint(endpoint) => Some(endpoint.id.clone()),
                Caller::Trunk(_) | Caller::Unknown => None,
            },
            contact: call.message.contact().map(|contact| String::from_utf8_lossy(contact.uri).into_owned()).unwrap_or_default(),
            flow: call.flow,
            location: call.location.clone(),
            call_id: String::from_utf8_lossy(call.message.call_id()).into_owned(),
        };
        let mut callers = self.lock();
        callers.retain(|caller| caller.at + keep > call.at && !caller.same_caller(&new));
        callers.push_back(new);
        let fits = callers.len() <= most;
        if !fits {
            callers.pop_front();
        }
        drop(callers);
        if let Some(wake) = self.noted.get() {
            wake();
        }
        fits
    }

    /// Everybody who is remembered, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<CallForHelp> {
        self.lock().iter().cloned().collect()
    }

    /// Remembers whom an earlier process knew: those who are known by now are newer.
    pub fn restore(&self, known: Vec<CallForHelp>, most: usize) {
        let mut callers = self.lock();
        for caller in known.into_iter().rev() {
            if callers.len() < most && !callers.iter().any(|newer| newer.same_caller(&caller)) {
                callers.push_front(CallForHelp { flow: caller.flow.restarted(), ..caller });
            }
        }
    }

    /// Who has shown this number, or (`None`) any, within the time; the newest first.
    #[must_use]
    pub fn recall(&self, number: Option<&str>, keep: Duration, now: Instant) -> Vec<CallForHelp> {
        let callers = self.lock();
        let shown = |caller: &&CallForHelp| number.is_none_or(|number| caller.numbers.iter().any(|shown| same_number(shown, number)));
        callers.iter().rev().filter(|caller| caller.at + keep > now).filter(shown).cloned().collect()
    }
}

/// Whether two numbers are the same as trunks write them: with or without the `+`.
fn same_number(one: &str, other: &str) -> bool {
    let digits = |number: &'_ str| number.strip_prefix('+').unwrap_or(number).to_owned();
    digits(one) == digits(other)
}

/// Whether a call says of itself that it is one (RFC 7090 5: `Priority: psap-callback`).
fn marked(call: &Call) -> bool {
    call.message.header_named(b"Priority").is_some_and(|priority| priority.trim_ascii().eq_ignore_ascii_case(b"psap-callback"))
}

/// Whether a trunk is believed when it says so: it carries calls for help. RFC 7090 6 has whoever cannot trust its neighbour ignore the mark.
fn believed(trunk: &str, directory: &Directory) -> bool {
    let names = |list: &Vec<String>| list.iter().any(|name| name == trunk);
    names(&directory.emergency.trunks) || directory.locations.iter().any(|place| names(&place.trunks))
}

/// Where a call from a trunk rings that calls back somebody who has called for help; `None`: it is none, or nobody is known whom it could mean.
///
/// One to the number of a place ([`crate::directory::Location::elin`]) is, from whatever trunk; one that is marked so, from a trunk that is believed: it means whoever
/// has shown the called number, else the phone whose own number it is, else whoever has called for help last.
#[must_use]
pub fn plan(call: &Call, trunk: &str, site: &Site) -> Option<Resolved> {
    if call.kind != CallKind::Normal {
        return None;
    }
    let directory = site.directory();
    let rules = &directory.emergency;
    let of_place = directory.locations.iter().filter_map(|place| place.elin.as_deref()).any(|elin| same_number(elin, &call.called));
    let marked = marked(call) && believed(trunk, &directory);
    if !of_place && !marked {
        return None;
    }
    let mut callers: Vec<Sought> =
        site.callbacks.recall(Some(&call.called), rules.callback, call.at).iter().map(CallForHelp::sought).take(TOGETHER).collect();
    if callers.is_empty() && !of_place {
        let own = directory.by_user(&call.called).map(|phone| Sought { endpoint: Some(phone.id.clone()), address: None });
        let last = || site.callbacks.recall(None, rules.callback, call.at).first().map(CallForHelp::sought);
        callers.extend(own.or_else(last));
    }
    let desk = security_desk(&directory);
    if callers.is_empty() && desk.is_none() {
        return None;
    }
    Some(looking_for(callers, desk, call.at, site))
}

/// Who is rung where nobody else can be.
pub(super) fn security_desk(directory: &Directory) -> Option<Sought> {
    let desk = directory.emergency.security_desk.as_deref().and_then(|extension| directory.by_extension(extension))?;
    Some(Sought { endpoint: Some(desk.id.clone()), address: None })
}

/// Looks for those who are called back, the first one first, until the time for that is over; then also for the security desk.
pub(crate) fn looking_for(mut callers: Vec<Sought>, desk: Option<Sought>, now: Instant, site: &Site) -> Resolved {
    let window = site.directory().emergency.callback_ring.min(site.limits.ring_total / 2);
    let until = now + window;
    let mut stages = Vec::new();
    if let Some(newest) = callers.first() {
        stages.push(stage(vec![newest.clone()], RING.min(window), Some(until)));
        let (mut spent, mut pauses) = (0, PAUSES.into_iter().chain(std::iter::repeat(8)));
        while spent < window.as_secs() {
            let pause = pauses.next().unwrap_or(8);
            spent += pause;
            stages.push(stage(Vec::new(), Duration::from_secs(pause), Some(until)));
            stages.push(stage(callers.clone(), RING.min(window), Some(until)));
        }
    }
    callers.extend(desk);
    stages.push(stage(callers, site.limits.ring_total, None));
    Resolved { stages }
}

fn stage(whom: Vec<Sought>, ring: Duration, until: Option<Instant>) -> ResolvedStage {
    ResolvedStage {
        legs: Vec::new(),
        ring,
        answer_wait: (!whom.is_empty()).then_some(ANSWER_WAIT),
        next: NextOn { busy: true, no_answer: true, unreachable: true },
        next_on_refusal: true,
        seek: Some(Seek { whom, until }),
        onward: None,
    }
}
