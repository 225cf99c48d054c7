//! What an operator sees: counters, and one log line per refusal, per ended call and per limit that bites.

pub mod spans;

use crate::{
    calls::{Ladder, Observer},
    policy::Step,
};
use serde::Serialize;
use sip::{Instant, transport::Flow};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use switch::{
    decision::{PolicyFault, Refusal},
    facts::{Call, CallKind},
    record::{CallDetail, CallRecord, LegRecord},
    trunk::{Change, Standing},
};

/// A limit that bites is logged at most this often, with how often it did.
const QUIET: Duration = Duration::from_secs(1);

/// Everything that is counted, by name. Names appear when first counted.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    calls_ended: AtomicU64,
    calls_answered: AtomicU64,
    emergency_calls: AtomicU64,
    registrations: AtomicU64,
    refusals: AtomicU64,
    calls_live: AtomicUsize,
    policy_faults: AtomicU64,
    named: Mutex<BTreeMap<&'static str, Named>>,
    fetched: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

#[derive(Debug, Default)]
struct Named {
    count: u64,
    logged: Option<std::time::Instant>,
    since_logged: u64,
}

/// The counters at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counted {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Calls that have ended.
    pub calls_ended: u64,
    /// Those of them that were answered.
    pub calls_answered: u64,
    /// Those of them that were calls for help.
    pub emergency_calls: u64,
    /// Registrations answered 200.
    pub registrations: u64,
    /// Registrations and calls refused.
    pub refusals: u64,
    /// Calls that are up or being set up.
    pub calls_live: usize,
    /// Policies that failed.
    pub policy_faults: u64,
    /// Limits that bit, and what was dropped.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What phones have fetched.
    pub fetched: Vec<Fetched>,
}

/// How often phones have fetched files of a kind with the same result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Fetched {
    /// `upgrade`, `site`, `root`, `phone` or `other`.
    pub file: &'static str,
    /// `served`, `refused` or `limited`.
    pub result: &'static str,
    /// How often.
    pub times: u64,
}

impl Counters {
    /// Counts one of `name`, without a word.
    pub fn count(&self, name: &'static str) {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().count += 1;
    }

    /// Counts one of `name` and logs `what`, which says what happened and which limit did it; at most once a second per name.
    pub fn limit(&self, name: &'static str, what: impl FnOnce() -> String) {
        if let Some(times) = self.due(name, std::time::Instant::now()) {
            tracing::warn!(counter = name, times, "{}", what());
        }
    }

    /// How often it has happened since the last line, when a line is due.
    fn due(&self, name: &'static str, now: std::time::Instant) -> Option<u64> {
        let mut table = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let named = table.entry(name).or_default();
        named.count += 1;
        named.since_logged += 1;
        if named.logged.is_some_and(|logged| now.saturating_duration_since(logged) < QUIET) {
            return None;
        }
        named.logged = Some(now);
        Some(std::mem::take(&mut named.since_logged))
    }

    /// A phone has fetched a file of that kind, with that result.
    pub fn fetched(&self, file: &'static str, result: &'static str) {
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner).entry((file, result)).or_default() += 1;
    }

    /// A shard that had `before` calls has `now`.
    pub fn calls(&self, before: usize, now: usize) {
        // Wraps: together the shards' differences are their sum.
        self.calls_live.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// All counters now.
    #[must_use]
    pub fn read(&self) -> Counted {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let fetched = fetched.iter().map(|((file, result), times)| Fetched { file, result, times: *times }).collect();
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        Counted {
            fetched,
            received: load(&self.received),
            sent: load(&self.sent),
            calls_ended: load(&self.calls_ended),
            calls_answered: load(&self.calls_answered),
            emergency_calls: load(&self.emergency_calls),
            registrations: load(&self.registrations),
            refusals: load(&self.refusals),
            calls_live: self.calls_live.load(Ordering::Relaxed),
            policy_faults: load(&self.policy_faults),
            dropped: named.iter().map(|(name, n)| (*name, n.count)).collect(),
        }
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts and logs what shards report.
#[derive(Debug)]
pub struct Logbook(Arc<Counters>);

impl Logbook {
    /// Counts into `counters`, logs with `tracing`.
    #[must_use]
    pub const fn new(counters: Arc<Counters>) -> Self {
        Self(counters)
    }
}

impl Observer for Logbook {
    fn received(&self, _at: Instant, flow: Flow, bytes: &[u8]) {
        one(&self.0.received);
        tracing::trace!(target: "gateway::wire", from = ?flow, message = %Shown(bytes), "received");
    }

    fn sent(&self, _at: Instant, flow: Flow, bytes: &[u8]) {
        one(&self.0.sent);
        tracing::trace!(target: "gateway::wire", to = ?flow, message = %Shown(bytes), "sent");
    }

    fn decided(&self, _at: Instant, call_id: &[u8], steps: &[Step]) {
        for step in steps {
            // One that is left out has been told when it was.
            if let Some(fault) = step.fault.as_ref().filter(|fault| **fault != PolicyFault::Resting) {
                one(&self.0.policy_faults);
                self.0.limit("policy-fault", || {
                    format!("policy {} failed, and its on_fault rule or the host's own emergency plan was followed: {fault}", step.policy)
                });
            }
            tracing::debug!(
                call_id = %Shown(call_id),
                policy = %step.policy,
                decision = %step.outcome,
                took_us = micros(step),
                "decided"
            );
        }
    }

    fn refused(&self, _at: Instant, call_id: &[u8], refusal: &Refusal, step: Option<&Step>) {
        one(&self.0.refusals);
        tracing::info!(
            call_id = %Shown(call_id),
            policy = step.map_or("host", |step| &step.policy),
            decision = step.map_or("refuse", |step| &step.outcome),
            took_us = step.map(micros),
            status = refusal.status,
            phrase = %Shown(refusal.phrase.as_bytes()),
            detail = %Shown(refusal.detail.as_bytes()),
            "refused"
        );
    }

    fn registered(&self) {
        one(&self.0.registrations);
    }

    fn without_seat(&self, call_id: &[u8], detail: &str) {
        self.0.count("emergency-only");
        tracing::info!(call_id = %Shown(call_id), detail = %Shown(detail.as_bytes()), "registered for emergency calls only");
    }

    fn ended(&self, record: &CallRecord) {
        one(&self.0.calls_ended);
        if record.answered.is_some() {
            one(&self.0.calls_answered);
        }
        let kind = match record.kind {
            CallKind::Normal => "normal",
            CallKind::Emergency => "emergency",
            CallKind::EmergencyTest => "emergency-test",
            CallKind::Callback => "callback",
        };
        if record.kind == CallKind::Emergency {
            one(&self.0.emergency_calls);
        }
        let talked = record.answered.map_or(Duration::ZERO, |answered| record.ended.since(answered));
        tracing::info!(
            call_id = %Shown(record.call_id.as_bytes()),
            kind,
            caller = %Shown(record.caller.as_bytes()),
            called = %Shown(record.called.as_bytes()),
            answered_by = record.answered_by.as_deref().unwrap_or("nobody"),
            status = record.status,
            cause = record.cause,
            began = record.began.unix_seconds(),
            lasted_ms = u64::try_from(record.ended.since(record.began).as_millis()).unwrap_or(u64::MAX),
            talked_ms = u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
            "call ended"
        );
    }

    fn dropped(&self, _at: Instant, flow: Flow, why: &'static str) {
        self.0.limit(why, || match why {
            "repaired" => format!("a malformed call for help from {flow:?} was taken for what it was meant to be"),
            _ => format!("a message from {flow:?} was dropped or refused: {why}"),
        });
    }

    fn trunk_changed(&self, change: &Change) {
        self.0.count(match change.to {
            Standing::Up => "trunk-up",
            Standing::Degraded => "trunk-degraded",
            Standing::Down => "trunk-down",
        });
        let (trunk, from, to, why) = (&*change.trunk, change.from.name(), change.to.name(), Shown(change.why.as_bytes()));
        match change.to {
            Standing::Up => tracing::info!(trunk, from, "trunk is up"),
            Standing::Degraded => tracing::warn!(trunk, from, "trunk is degraded: {why}"),
            Standing::Down => {
                tracing::error!(trunk, from, "trunk is {to}: {why}; `holdfast trunk list` says what to do");
            }
        }
    }

    fn evicted(&self, _at: Instant, trunk: &str, call_id: &[u8], help: &[u8]) {
        self.0.count("evicted");
        // Each of them: somebody was cut off in the middle of a word.
        tracing::warn!(
            call_id = %Shown(call_id),
            help = %Shown(help),
            trunk = %Shown(trunk.as_bytes()),
            "the youngest call of a full trunk was ended for a call for help"
        );
    }

    fn not_kept(&self, why: &str) {
        self.0.limit("not-kept", || format!("a registration was answered 503 because it could not be kept: {why}"));
    }
}

fn micros(step: &Step) -> u64 {
    u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX)
}

/// What a peer sent, made fit for a log: no control character reaches the terminal or begins a new line, and credentials are left out.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                f.write_str("\\n")?;
            }
            match line.split_once(':') {
                Some((name, _)) if credentials(name) => write!(f, "{name}: (secret)")?,
                _ => line
                    .chars()
                    .filter(|c| *c != '\r')
                    .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })?,
            }
        }
        Ok(())
    }
}

fn credentials(name: &str) -> bool {
    let name = name.trim_end();
    name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("proxy-authorization")
}

/// Tells two observers.
pub struct Both(pub Arc<dyn Observer>, pub Arc<dyn Observer>);

impl Observer for Both {
    fn received(&self, at: Instant, flow: Flow, bytes: &[u8]) {
        self.0.received(at, flow, bytes);
        self.1.received(at, flow, bytes);
    }
    fn sent(&self, at: Instant, flow: Flow, bytes: &[u8]) {
        self.0.sent(at, flow, bytes);
        self.1.sent(at, flow, bytes);
    }
    fn decided(&self, at: Instant, call_id: &[u8], steps: &[Step]) {
        self.0.decided(at, call_id, steps);
        self.1.decided(at, call_id, steps);
    }
    fn refused(&self, at: Instant, call_id: &[u8], refusal: &Refusal, step: Option<&Step>) {
        self.0.refused(at, call_id, refusal, step);
        self.1.refused(at, call_id, refusal, step);
    }
    fn registered(&self) {
        self.0.registered();
        self.1.registered();
    }
    fn without_seat(&self, call_id: &[u8], detail: &str) {
        self.0.without_seat(call_id, detail);
        self.1.without_seat(call_id, detail);
    }
    fn ended(&self, record: &CallRecord) {
        self.0.ended(record);
        self.1.ended(record);
    }
    fn dropped(&self, at: Instant, flow: Flow, why: &'static str) {
        self.0.dropped(at, flow, why);
        self.1.dropped(at, flow, why);
    }
    fn told(&self, record: &CallRecord, ladder: &Ladder, legs: &[LegRecord]) {
        self.0.told(record, ladder, legs);
        self.1.told(record, ladder, legs);
    }
    fn calls_for_help(&self, call: &Call, shown: Option<&str>, trunk: Option<&str>) {
        self.0.calls_for_help(call, shown, trunk);
        self.1.calls_for_help(call, shown, trunk);
    }
    fn detailed(&self, detail: &Arc<CallDetail>) {
        self.0.detailed(detail);
        self.1.detailed(detail);
    }
    fn trunk_changed(&self, change: &Change) {
        self.0.trunk_changed(change);
        self.1.trunk_changed(change);
    }
    fn evicted(&self, at: Instant, trunk: &str, call_id: &[u8], help: &[u8]) {
        self.0.evicted(at, trunk, call_id, help);
        self.1.evicted(at, trunk, call_id, help);
    }
    fn not_kept(&self, why: &str) {
        self.0.not_kept(why);
        self.1.not_kept(why);
    }
}

#[cfg(test)]
mod tests;
