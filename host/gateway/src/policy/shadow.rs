//! A changed component decides beside the one that runs, on live calls and without effect, before it takes its place.
//!
//! A call pays for it with a few pointers put into a queue, after its own decision. Whoever attends to the policies takes them out and lets the candidate decide
//! the same, with a memory of its own; the two answers are compared in words. What the one that runs has asked the host, the candidate is told the same; what only
//! the candidate asks (registrations, seats, trunks in use) it is told as it is up to a second later, so that it may seem to differ at a few calls: that is what
//! `allow` is for.

use super::{
    engine::{Engine, hex},
    instance::{Instance, Subject, at_once},
    load::{Policy, Rejection, beside_the_calls},
    machine::Machine,
    options::{self, Allow, Options},
    said,
    trace::Tape,
    trial,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};
use switch::{
    decision::PolicyFault,
    directory::Directory,
    facts::{Call, CallKind, Caller},
    record::CallRecord,
    site::Site,
};

/// Decisions that wait for the candidate; what comes while it is full is not compared.
const QUEUE: usize = 1024;
/// Differences that are kept word by word.
const EXAMPLES: usize = 10;

/// One decision of the component that runs.
pub(super) struct Asked {
    pub(super) event: Event,
    /// The directory that it had.
    pub(super) directory: Arc<Directory>,
    /// What it asked the host.
    pub(super) tape: Arc<Tape>,
    /// What it said; its fault when it failed.
    pub(super) said: Result<String, PolicyFault>,
}

/// What it was asked.
pub(super) enum Event {
    Decide(Subject),
    Ended(Box<CallRecord>),
}

/// A candidate beside the component that runs.
pub(super) struct Shadow {
    /// What joins the chain if all goes well.
    pub(super) candidate: Arc<Policy>,
    /// The same, with a memory of its own and without a word in the log.
    apart: Arc<Policy>,
    options: options::Shadow,
    began: Instant,
    since: SystemTime,
    queue: Mutex<VecDeque<Asked>>,
    missed: AtomicU64,
    /// Locked by whoever attends, and for a moment by whoever looks.
    seen: Mutex<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    decided: u64,
    different: u64,
    faults: u64,
    examples: Vec<Difference>,
}

/// How a candidate stands beside the component that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShadowStatus {
    /// Its version, from its metadata.
    pub version: Option<String>,
    /// Its SHA-256, in hexadecimal.
    pub hash: String,
    /// Since when it decides beside the other.
    pub since: SystemTime,
    /// It is in place after so many decisions…
    pub calls: Option<u64>,
    /// …or after this time, if its differences allow.
    pub seconds: Option<u64>,
    /// What it has decided.
    pub decided: u64,
    /// What it decided otherwise than the one that runs, or failed at.
    pub different: u64,
    /// What it failed at.
    pub faults: u64,
    /// Decisions that were not compared because too many waited.
    pub missed: u64,
    /// The first differences, at most ten.
    pub examples: Vec<Difference>,
}

/// One decision that the candidate made otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What was asked: `a call from desk-1 to 1002`.
    pub asked: String,
    /// What the component that runs said.
    pub old: String,
    /// What the candidate said, or how it failed.
    pub new: String,
}

impl Shadow {
    pub(super) fn new(candidate: Arc<Policy>, options: options::Shadow) -> Self {
        let apart = Arc::new(candidate.with_memory(Arc::new(candidate.memory.copy())));
        Self {
            candidate,
            apart,
            options,
            began: Instant::now(),
            since: SystemTime::now(),
            queue: Mutex::default(),
            missed: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Hands it one decision. On the path of a call: never waits for the candidate. `true` when it is time that somebody attends to it.
    pub(super) fn offer(&self, asked: Asked) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= QUEUE {
            self.missed.fetch_add(1, Relaxed);
            return false;
        }
        queue.push_back(asked);
        queue.len() == QUEUE / 2
    }

    /// Lets the candidate decide what waits, until it is clear what becomes of it: then `Some`.
    pub(super) fn attend(&self, machine: &Arc<Machine>, site: &Arc<Site>, now: Instant) -> Option<Result<(), Rejection>> {
        let waiting = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        let mut instance = None;
        for asked in waiting {
            self.compare(asked, &mut instance, machine, site);
            if let Some(verdict) = self.verdict(now) {
                return Some(verdict);
            }
        }
        self.verdict(now)
    }

    pub(super) fn status(&self) -> ShadowStatus {
        let Seen { decided, different, faults, examples } = self.seen().clone();
        ShadowStatus {
            version: self.candidate.version.clone(),
            hash: hex(&self.candidate.hash),
            since: self.since,
            calls: self.options.calls.map(u64::from),
            seconds: self.options.time.map(|time| time.as_secs()),
            decided,
            different,
            faults,
            missed: self.missed.load(Relaxed),
            examples,
        }
    }

    fn compare(&self, asked: Asked, instance: &mut Option<Box<Instance>>, machine: &Arc<Machine>, site: &Arc<Site>) {
        let started = match instance.take().filter(|_| self.apart.reused) {
            Some(instance) => Ok(instance),
            None => at_once(Instance::new(&self.apart, site, machine, trial::DEADLINE)),
        };
        let said = started.and_then(|mut started| {
            started.recall(&asked.tape);
            let said = decide(&self.apart, &mut started, &asked, machine)?;
            *instance = Some(started);
            Ok(said)
        });
        let mut seen = self.seen();
        seen.decided += 1;
        let (old, new) = match (&asked.said, &said) {
            (Ok(old), Ok(new)) if old == new => return,
            // What the one that runs failed at, it may well decide.
            (Err(_), Ok(_)) => return,
            (old, new) => (in_words(old), in_words(new)),
        };
        seen.different += 1;
        seen.faults += u64::from(said.is_err());
        if seen.examples.len() < EXAMPLES {
            let difference = Difference { asked: asked.event.in_words(), old, new };
            let Difference { asked, old, new } = &difference;
            tracing::info!(policy = &*self.apart.name, file = self.apart.file, asked, old, new, "candidate decides otherwise");
            seen.examples.push(difference);
        }
    }

    /// What becomes of it, once that is clear.
    fn verdict(&self, now: Instant) -> Option<Result<(), Rejection>> {
        let seen = self.seen();
        let done = self.options.calls.is_some_and(|calls| seen.decided >= u64::from(calls))
            || self.options.time.is_some_and(|time| now.saturating_duration_since(self.began) >= time);
        let hopeless = match (self.options.allow, self.options.calls) {
            (Allow::Calls(allowed), _) => seen.different > u64::from(allowed),
            (Allow::Percent(percent), Some(calls)) => seen.different * 100 > u64::from(percent) * u64::from(calls),
            (Allow::Percent(_), None) => false,
        };
        let too_many = match self.options.allow {
            Allow::Calls(allowed) => seen.different > u64::from(allowed),
            Allow::Percent(percent) => seen.different * 100 > u64::from(percent) * seen.decided,
        };
        if hopeless || (done && too_many) {
            return Some(Err(self.refusal(&seen)));
        }
        done.then_some(Ok(()))
    }

    fn refusal(&self, seen: &Seen) -> Rejection {
        let example =
            seen.examples.first().map_or_else(String::new, |Difference { asked, old, new }| format!("; {asked}: `{old}` became `{new}`"));
        let settings = self.apart.file.strip_suffix(".wasm").unwrap_or(&self.apart.file);
        let failed = if seen.faults > 0 { format!(" ({} of them it failed at)", seen.faults) } else { String::new() };
        Rejection::new(
            format!("beside the one that runs, it decided {} of {} otherwise{failed}{example}", seen.different, seen.decided),
            format!("mend it, or if it is meant so, allow it: `allow` in [shadow] of {settings}.toml"),
        )
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins with `candidate`, if its file asks for that and something runs that it can be compared with.
pub(super) fn begin(candidate: &Arc<Policy>, running: Option<&Arc<Policy>>) -> Option<Arc<Shadow>> {
    let options = candidate.options.shadow?;
    let running = running.filter(|running| running.breakers.open().is_none())?;
    // Other cases, or another wish for this very trial, change no decision.
    let decides_alike =
        running.hash == candidate.hash && Options { shadow: running.options.shadow, ..candidate.options.clone() } == running.options;
    (!decides_alike).then(|| Arc::new(Shadow::new(Arc::clone(candidate), options)))
}

impl Engine {
    /// Lets every candidate decide what waits for it; swaps in or refuses those of which it is clear.
    pub(super) fn attend_to_shadows(&self, now: Instant) {
        let shadows: Vec<_> =
            self.entries().iter().filter_map(|(file, entry)| Some((file.clone(), Arc::clone(entry.shadow.as_ref()?)))).collect();
        for (file, shadow) in shadows {
            let Some(verdict) = beside_the_calls(|| shadow.attend(&self.machine, &self.site, now)) else { continue };
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(&file) else { continue };
            // The file may have changed meanwhile.
            if entry.shadow.take_if(|latest| Arc::ptr_eq(latest, &shadow)).is_none() {
                continue;
            }
            let ShadowStatus { hash, version, decided, different, missed, .. } = shadow.status();
            match verdict {
                Ok(()) => {
                    tracing::info!(
                        file,
                        policy = entry.name,
                        hash,
                        version,
                        decided,
                        different,
                        missed,
                        "policy swapped in: it has decided beside the one before"
                    );
                    let candidate = &shadow.candidate;
                    // Counted from now, and with what the policy keeps.
                    let policy = Arc::new(Policy { trying: false, ..candidate.with_memory(Arc::clone(&candidate.memory)) });
                    entry.swap_in(policy);
                }
                Err(rejection) => {
                    let Rejection { reason, remedy } = &rejection;
                    tracing::warn!(file, policy = entry.name, hash, version, decided, different, missed, reason, remedy, "policy refused");
                    entry.refuse(rejection, &shadow.candidate.meter);
                }
            }
            self.put_in_force(&entries);
        }
    }
}

/// The candidate's answer in words.
fn decide(policy: &Policy, instance: &mut Instance, asked: &Asked, machine: &Machine) -> Result<String, PolicyFault> {
    let directory = &asked.directory;
    let within = |default: Duration| policy.options.deadline.unwrap_or(default);
    let settings = &machine.settings;
    match &asked.event {
        Event::Decide(Subject::None) => Ok(String::new()),
        Event::Decide(Subject::Registration(registration)) => {
            at_once(instance.admit(registration, directory, within(settings.deadline))).map(|answer| said::admission(&answer))
        }
        Event::Decide(Subject::Call(call)) if call.kind == CallKind::Normal => {
            at_once(instance.route(call, directory, within(settings.deadline))).map(|answer| said::decision(&answer))
        }
        Event::Decide(Subject::Call(call)) => {
            at_once(instance.emergency(call, directory, within(settings.emergency_deadline))).map(|answer| said::emergency(&answer))
        }
        Event::Ended(record) => at_once(instance.ended(record, directory, within(settings.deadline))).map(|()| String::new()),
    }
}

fn in_words(said: &Result<String, PolicyFault>) -> String {
    said.as_ref().map_or_else(|fault| format!("it {fault}"), Clone::clone)
}

impl Event {
    fn in_words(&self) -> String {
        match self {
            Self::Decide(Subject::None) => "nothing".to_owned(),
            Self::Decide(Subject::Registration(registration)) => format!("a registration of {}", registration.endpoint.id),
            Self::Decide(Subject::Call(call)) if call.kind == CallKind::Normal => {
                format!("a call from {} to {}", caller(call), call.called)
            }
            Self::Decide(Subject::Call(call)) => format!("a call for help from {} to {}", caller(call), call.called),
            Self::Ended(record) => format!("the end of the call from {} to {}", record.caller, record.called),
        }
    }
}

fn caller(call: &Call) -> &str {
    match &call.caller {
        Caller::Endpoint(endpoint) => &endpoint.id,
        Caller::Trunk(name) => name,
        Caller::Unknown => "somebody unknown",
    }
}
