//! How long a component takes to decide its cases, in an instance of its own and in one that serves again and again, and what an instance costs.
//!
//! Times are taken around single decisions, so a percentile is one of real decisions, not of averages; reading the clock is part of them (some 30 ns).

use super::{
    cases::Prepared,
    engine::Problem,
    load::{self, Rejection},
    machine::Machine,
    tool,
};
use serde::Serialize;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use switch::decision::PolicyFault;

/// Decisions that are timed for one row, at most: more tell nothing new and fill memory.
const SAMPLES_MAX: usize = 100_000;

/// A component's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Benched {
    /// Its name.
    pub name: String,
    /// SHA-256, in hexadecimal.
    pub hash: String,
    /// Size of the file in octets.
    pub bytes: usize,
    /// Time to compile and try it, in milliseconds.
    pub loaded_ms: f64,
    /// Linear memory of one instance after its decisions, in octets.
    pub memory_bytes: usize,
    /// Starting an instance, without a decision.
    pub instance: Latency,
    /// A decision in a new instance, the start of the instance included; of all cases.
    pub fresh: Latency,
    /// A decision in an instance that has decided before; of all cases.
    pub reused: Latency,
    /// The same by case, in the order of their file.
    pub cases: Vec<BenchedCase>,
}

/// One case's figures.
#[derive(Clone, Debug, Serialize)]
pub struct BenchedCase {
    /// Its name.
    pub name: String,
    /// See [`Benched::fresh`].
    pub fresh: Latency,
    /// See [`Benched::reused`].
    pub reused: Latency,
}

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// How many were timed.
    pub samples: usize,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// Nine of ten took no longer.
    pub p90_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Times the component `file` on the decisions of `cases`, for about `time` and once each at least. `progress` hears how much of it is done, from 0 to 1.
///
/// # Errors
/// The outer error: it could not be tried at all. The inner one: why the gateway would refuse it, what is wrong with the case file, or the case that the
/// component failed at.
pub fn bench_file(file: &Path, cases: &Path, time: Duration, progress: &mut dyn FnMut(f64)) -> anyhow::Result<Result<Benched, Problem>> {
    tool::loaded(file, Some(cases), |loaded| {
        let prepared: Vec<(&str, Result<Prepared, PolicyFault>)> = loaded.cases.decisions(loaded.policy).collect();
        if prepared.is_empty() {
            return Err(Rejection::new("its case file asks for no decision", "write a [[case]] with the hook that should be timed"));
        }
        let mut all = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Vec::new();
        let mut memory_bytes = 0;
        let slice = time / u32::try_from(2 * prepared.len()).unwrap_or(u32::MAX);
        let count = prepared.len();
        for (done, (name, prepared)) in prepared.into_iter().enumerate() {
            let failed =
                |fault: PolicyFault| Rejection::new(format!("it failed at its case `{name}`: it {fault}"), "see `holdfast policy test`");
            let mut progress = |part: f64| progress((done as f64 + part) / count as f64);
            let prepared = prepared.map_err(failed)?;
            let case = load::beside_the_calls(|| time_case(&prepared, loaded.machine, slice, &mut progress)).map_err(failed)?;
            memory_bytes = memory_bytes.max(case.memory_bytes);
            rows.push(BenchedCase { name: name.to_owned(), fresh: latency(&case.fresh), reused: latency(&case.reused) });
            all.0.extend(case.started);
            all.1.extend(case.fresh);
            all.2.extend(case.reused);
        }
        Ok(Benched {
            name: loaded.policy.name.to_string(),
            hash: super::engine::hex(&loaded.policy.hash),
            bytes: loaded.bytes,
            loaded_ms: loaded.loaded_in.as_secs_f64() * 1e3,
            memory_bytes,
            instance: latency(&all.0),
            fresh: latency(&all.1),
            reused: latency(&all.2),
            cases: rows,
        })
    })
}

/// Times of one case, in nanoseconds.
struct Times {
    started: Vec<u64>,
    fresh: Vec<u64>,
    reused: Vec<u64>,
    memory_bytes: usize,
}

/// Half of twice `slice` for new instances, half for one instance again and again.
fn time_case(prepared: &Prepared, machine: &Arc<Machine>, slice: Duration, progress: &mut dyn FnMut(f64)) -> Result<Times, PolicyFault> {
    let mut times = Times { started: Vec::new(), fresh: Vec::new(), reused: Vec::new(), memory_bytes: 0 };
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let began = Instant::now();
    while times.fresh.is_empty() || (began.elapsed() < slice && times.fresh.len() < SAMPLES_MAX) {
        let begin = Instant::now();
        let mut instance = prepared.instance(machine)?;
        let started = begin.elapsed();
        prepared.decide(&mut instance)?;
        times.fresh.push(nanos(begin.elapsed()));
        times.started.push(nanos(started));
    }
    progress(0.5);
    let mut instance = prepared.instance(machine)?;
    // The first one touches pages and reads settings; it is counted above.
    prepared.decide(&mut instance)?;
    let began = Instant::now();
    while times.reused.is_empty() || (began.elapsed() < slice && times.reused.len() < SAMPLES_MAX) {
        let begin = Instant::now();
        prepared.decide(&mut instance)?;
        times.reused.push(nanos(begin.elapsed()));
    }
    times.memory_bytes = instance.memory_held();
    progress(1.0);
    Ok(times)
}

/// Percentiles by the nearest rank; zeroes when nothing was timed.
fn latency(nanos: &[u64]) -> Latency {
    let mut sorted = nanos.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).map_or(0.0, |nanos| *nanos as f64 / 1e3)
    };
    Latency { samples: sorted.len(), p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let nanos: Vec<u64> = (1..=200).rev().map(|n| n * 1000).collect();
        let Latency { samples, p50_us, p90_us, p99_us, max_us } = latency(&nanos);
        assert_eq!((samples, p50_us, p90_us, p99_us, max_us), (200, 100.0, 180.0, 198.0, 200.0));
        assert_eq!(latency(&[7]).p99_us, 0.007);
        assert_eq!(latency(&[]).max_us, 0.0);
    }
}
