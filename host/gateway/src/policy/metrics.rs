//! What is counted of each policy: decisions by result, faults by kind, latency, and what happened to its file.
//!
//! The counting is our own because it stands on the call path: three additions to plain atomics of the shard's own cache lines, no look-up, no lock (the histogram of
//! `prometheus-client` takes a lock at each observation). `manage` writes the figures in the form that monitoring systems read.
//!
//! Counters belong to a policy's name and outlive its versions.

use super::{Hook, breaker::Breaker, engine::Engine, entry::Entry};
use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use switch::decision::{Admission, Decision, EmergencyPlan, PolicyFault};

/// Shards that count apart from each other; the ninth shares with the first. Two cores that add to one cache line would wait for each other at each decision.
const STRIPES: usize = 8;

/// Upper bounds of the latency histogram, in nanoseconds: compiled policies take about a microsecond, scripts tens to hundreds, the deadline is 5 ms.
const BOUNDS: [u64; 13] =
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];

/// Results of decisions, as labels.
const RESULTS: [&str; 6] = ["pass", "route", "refuse", "admit", "plan", "observed"];

/// Kinds of faults, as labels: [`PolicyFault::kind`].
const FAULTS: [&str; 6] = ["trap", "late", "bound", "nonsense", "resting", "absent"];

/// An answer that is counted: its place in [`RESULTS`].
pub(super) trait Counted {
    fn result(&self) -> usize;
}

impl Counted for Decision {
    fn result(&self) -> usize {
        match self {
            Self::Pass(_) => 0,
            Self::Route(_) => 1,
            Self::Refuse(_) => 2,
        }
    }
}

impl Counted for Admission {
    fn result(&self) -> usize {
        match self {
            Self::Pass => 0,
            Self::Refuse(_) => 2,
            Self::Admit(_) => 3,
        }
    }
}

impl Counted for EmergencyPlan {
    fn result(&self) -> usize {
        4
    }
}

/// Observation answers nothing.
impl Counted for () {
    fn result(&self) -> usize {
        5
    }
}

/// The counters of one policy.
#[derive(Debug, Default)]
pub(super) struct Meter {
    stripes: [Stripe; STRIPES],
    pub(super) swaps: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) roll_backs: AtomicU64,
    pub(super) lines_dropped: AtomicU64,
}

/// What one shard counts. Aligned so that no two share a cache line, nor a pair of lines that is fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    registration: Cells,
    routing: Cells,
    emergency: Cells,
    observation: Cells,
}

#[derive(Debug, Default)]
struct Cells {
    results: [AtomicU64; RESULTS.len()],
    faults: [AtomicU64; FAULTS.len()],
    latency: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Stripe {
    const fn of(&self, hook: Hook) -> &Cells {
        match hook {
            Hook::Registration => &self.registration,
            Hook::Routing => &self.routing,
            Hook::Emergency => &self.emergency,
            Hook::Observation => &self.observation,
        }
    }
}

impl Meter {
    /// Counts one decision of the shard `stripe`, and the time that it took. One that was left out took none.
    pub(super) fn count<T: Counted>(&self, hook: Hook, stripe: usize, result: &Result<T, PolicyFault>, took: Duration) {
        let Some(cells) = self.stripes.get(stripe % STRIPES).map(|stripe| stripe.of(hook)) else { return };
        let cell = match result {
            Ok(answer) => cells.results.get(answer.result()),
            Err(fault) => FAULTS.iter().position(|kind| *kind == fault.kind()).and_then(|place| cells.faults.get(place)),
        };
        add(cell, 1);
        if !matches!(result, Err(PolicyFault::Resting | PolicyFault::Absent)) {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            add(cells.latency.get(BOUNDS.partition_point(|bound| *bound < nanos)), 1);
            add(Some(&cells.nanos), nanos);
        }
    }

    /// Everything counted at one hook, of all shards.
    pub(super) fn read(&self, hook: Hook) -> Figures {
        let mut figures = Figures::default();
        for cells in self.stripes.iter().map(|stripe| stripe.of(hook)) {
            gather(&mut figures.results, &cells.results);
            gather(&mut figures.faults, &cells.faults);
            gather(&mut figures.latency, &cells.latency);
            figures.nanos = figures.nanos.wrapping_add(cells.nanos.load(Relaxed));
        }
        figures
    }

    /// Everything counted at all hooks.
    pub(super) fn total(&self) -> Figures {
        Hook::ALL.into_iter().fold(Figures::default(), |sum, hook| sum.with(&self.read(hook), u64::wrapping_add))
    }
}

fn add(cell: Option<&AtomicU64>, n: u64) {
    if let Some(cell) = cell {
        cell.fetch_add(n, Relaxed);
    }
}

fn gather<const N: usize>(sums: &mut [u64; N], cells: &[AtomicU64; N]) {
    for (sum, cell) in sums.iter_mut().zip(cells) {
        *sum = sum.wrapping_add(cell.load(Relaxed));
    }
}

/// Counters at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    results: [u64; RESULTS.len()],
    faults: [u64; FAULTS.len()],
    latency: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

impl Figures {
    /// The last bound of the latency histogram.
    pub const LAST_BOUND: Duration = Duration::from_millis(10);

    /// Decisions by result: `pass`, `route`, `refuse`, `admit`, `plan` (of an emergency policy), `observed`.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.results)
    }

    /// Faults by kind: `trap`, `late`, `bound`, `nonsense`; `resting` counts the decisions for which it was left out.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FAULTS.into_iter().zip(self.faults)
    }

    /// Decisions made.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.results.iter().sum()
    }

    /// The latency histogram: upper bounds in seconds, the last one infinite, and how many decisions and faults took that long and longer than the bound before.
    pub fn latency(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.into_iter().map(|nanos| Duration::from_nanos(nanos).as_secs_f64());
        bounds.chain([f64::INFINITY]).zip(self.latency)
    }

    /// Time that all of them took together.
    #[must_use]
    pub const fn took(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// A time within which 99 of 100 decisions were made: the upper bound of a step of the histogram; [`Duration::MAX`] when that is above its last bound. `None` without a
    /// decision.
    #[must_use]
    pub fn p99(&self) -> Option<Duration> {
        let all: u64 = self.latency.iter().sum();
        let enough = all - all / 100;
        let mut so_far = 0;
        let bounds = BOUNDS.into_iter().map(Duration::from_nanos).chain([Duration::MAX]);
        let reached = bounds.zip(self.latency).find(|(_, n)| {
            so_far += n;
            so_far >= enough
        });
        reached.filter(|_| all > 0).map(|(bound, _)| bound)
    }

    /// What has been counted since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, u64::wrapping_sub)
    }

    fn with(&self, other: &Self, both: fn(u64, u64) -> u64) -> Self {
        fn each<const N: usize>(left: &[u64; N], right: &[u64; N], both: fn(u64, u64) -> u64) -> [u64; N] {
            let mut pairs = left.iter().zip(right);
            array::from_fn(|_| pairs.next().map_or(0, |(left, right)| both(*left, *right)))
        }
        Self {
            results: each(&self.results, &other.results, both),
            faults: each(&self.faults, &other.faults, both),
            latency: each(&self.latency, &other.latency, both),
            nanos: both(self.nanos, other.nanos),
        }
    }
}

/// Everything counted of one policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFigures {
    /// The policy's name.
    pub policy: String,
    /// The hooks of the component that runs: what was counted at each, and whether its breaker is open (`None`: observation has none).
    pub hooks: Vec<(Hook, Figures, Option<bool>)>,
    /// Components that took their place in the chain, the first included.
    pub swaps: u64,
    /// Files that were refused.
    pub refusals: u64,
    /// Components that gave their place back, by themselves or by hand.
    pub roll_backs: u64,
    /// Log lines above the limit.
    pub lines_dropped: u64,
    /// How it stands: `running`, `resting`…
    pub state: &'static str,
}

impl Engine {
    /// Everything counted of each policy of the folder, in the order of the chain. Of several files with one name, that which runs.
    #[must_use]
    pub fn figures(&self) -> Vec<PolicyFigures> {
        let mut all: Vec<PolicyFigures> = Vec::new();
        for (file, entry) in self.entries().iter() {
            let figures = self.figures_of(entry, entry.status(file).state.name());
            match all.iter_mut().find(|known| known.policy == figures.policy) {
                None => all.push(figures),
                Some(twin) if twin.hooks.is_empty() => *twin = figures,
                Some(_) => {}
            }
        }
        all
    }

    fn figures_of(&self, entry: &Entry, state: &'static str) -> PolicyFigures {
        let meter = self.meter(&entry.name);
        let hooks = entry.running.as_deref().map(|policy| {
            let figures = |hook: Hook| (hook, meter.read(hook), policy.breakers.of(hook).map(Breaker::is_open));
            policy.hooks.asked().map(figures).collect()
        });
        PolicyFigures {
            policy: entry.name.clone(),
            hooks: hooks.unwrap_or_default(),
            swaps: meter.swaps.load(Relaxed),
            refusals: meter.refusals.load(Relaxed),
            roll_backs: meter.roll_backs.load(Relaxed),
            lines_dropped: meter.lines_dropped.load(Relaxed),
            state,
        }
    }
}

#[cfg(test)]
mod tests;
