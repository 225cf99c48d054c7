//! `holdfast policy bench`: a component's figures as a table.

use super::{GOOD, HELP};
use crate::policy::{Benched, Latency, bench_file};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

/// What takes no longer needs no bar.
const UNTIL_BAR: Duration = Duration::from_secs(1);
const STEPS: u64 = 1000;

/// Times `file` on `cases` and shows it; `false` when the gateway would not take it.
pub(super) fn run(file: &Path, cases: &Path, seconds: u32, json: bool) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    let mut progress = |done: f64| {
        if !json && began.elapsed() >= UNTIL_BAR {
            // It draws on standard error, and only where that is a terminal.
            let bar = bar.get_or_insert_with(|| {
                let bar = ProgressBar::new(STEPS);
                if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %") {
                    bar.set_style(style);
                }
                bar
            });
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to STEPS")]
            bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
        }
    };
    let benched = bench_file(file, cases, Duration::from_secs(seconds.into()), &mut progress)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    match benched {
        Ok(benched) if json => {
            writeln!(anstream::stdout(), "{}", serde_json::to_string(&benched)?)?;
            Ok(true)
        }
        Ok(benched) => show(&benched).map(|()| true),
        Err(problem) => super::desk::refuse(&problem, json),
    }
}

fn show(benched: &Benched) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    let Benched { name, hash: _, bytes, loaded_ms, memory_bytes, instance, fresh, reused, cases } = benched;
    let width = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0).max(12);
    writeln!(
        out,
        "  {HELP}{:width$}  {:>9}{:>9}{:>9}{:>9}   {:>9}{:>9}{:>9}{:>9}{HELP:#}",
        "µs", "fresh p50", "p90", "p99", "max", "reused p50", "p90", "p99", "max"
    )?;
    let row = |name: &str, fresh: &Latency, reused: &Latency| {
        let figures = |l: &Latency| format!("{:>9.1}{:>9.1}{:>9.1}{:>9.1}", l.p50_us, l.p90_us, l.p99_us, l.max_us);
        format!("  {name:width$}  {}   {} ", figures(fresh), figures(reused))
    };
    for case in cases {
        writeln!(out, "{}", row(&case.name, &case.fresh, &case.reused))?;
    }
    writeln!(out, "{GOOD}{}{GOOD:#}", row("all", fresh, reused))?;
    writeln!(out, "\n  `{name}`: {:.1} kB, compiled and tried in {loaded_ms:.1} ms", *bytes as f64 / 1e3)?;
    writeln!(
        out,
        "  an instance takes {:.1} µs to start (p99 {:.1}, of {}) and has {:.2} MiB of memory",
        instance.p50_us,
        instance.p99_us,
        instance.samples,
        *memory_bytes as f64 / f64::from(1 << 20)
    )?;
    writeln!(
        out,
        "  fresh: {} decisions, each in an instance of its own, its start included; reused: {} decisions",
        fresh.samples, reused.samples
    )?;
    Ok(())
}
