//! `holdfast policy replay`: what a changed policy would have said to everything that was decided.

use super::{ERROR, GOOD, HELP, WARNING};
use crate::{
    data::DataFolder,
    policy::{Candidate, Problem, Replayed},
    record::{self, CaseFile, DecisionLine, Group, Summary},
};
use anstyle::Style;
use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast policy replay --candidate 30-internal.wasm
      Every decision of `internal` in the record of the data folder, made again by this component.
  holdfast policy replay --candidate new.wasm --policy internal --log monday.jsonl --allow 5
      The decisions of one file; up to five differences are no failure.
  holdfast policy replay --candidate 30-internal.wasm --record-cases 30-internal.cases.toml
      Writes a case for each kind of decision in the record that the component makes the same.
Exit code 0: no more differences than allowed.";

const DIM: Style = Style::new().dimmed();

#[derive(Args, Debug)]
pub(super) struct Replay {
    /// The component. The `.toml` beside it gives its settings; without one, decisions are made with the settings in the record.
    #[arg(long, value_name = "FILE")]
    candidate: PathBuf,
    /// A file of the record; may be named more than once, oldest first. All files of the data folder when not given.
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// The data folder.
    #[arg(long, short, value_name = "DIR", conflicts_with = "log")]
    data: Option<PathBuf>,
    /// Whose decisions; the candidate's own name when not given.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Differences that are no failure.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    allow: u64,
    /// Make all decisions in one instance, as `isolation = "reused"` does.
    #[arg(long)]
    reused: bool,
    /// Threads; as many as there are cores when not given.
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Write decisions that the candidate makes as recorded, one of each kind, into a case file.
    #[arg(long, value_name = "FILE")]
    record_cases: Option<PathBuf>,
    /// Write cases of these Call-IDs only.
    #[arg(long, value_name = "CALL-ID", requires = "record_cases")]
    call_id: Vec<String>,
}

pub(super) fn run(replay: &Replay, json: bool) -> anyhow::Result<bool> {
    let files = files(replay)?;
    let candidate = match Candidate::open(&replay.candidate, replay.reused)? {
        Ok(candidate) => candidate,
        Err(Problem { file, reason, remedy }) => bail!("{} is refused: {reason}; {remedy}", file.display()),
    };
    let policy = replay.policy.as_deref().unwrap_or_else(|| candidate.name());
    let threads = replay.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let octets = files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let bar = ProgressBar::new(octets);
    bar.set_style(ProgressStyle::with_template("  {bar:40} {percent:>3} %  {bytes_per_sec}  {eta} left")?);
    let cases = Mutex::new(CaseFile::default());
    let choose = |line: &DecisionLine, replayed: &Replayed| {
        if replay.record_cases.is_some()
            && *replayed == Replayed::Same
            && line.fault.is_none()
            && (replay.call_id.is_empty() || replay.call_id.contains(&line.call_id))
        {
            cases.lock().unwrap_or_else(PoisonError::into_inner).add(line);
        }
    };
    let began = Instant::now();
    let summary = record::replay(&files, &candidate, policy, threads, &choose, |read| bar.inc(read))?;
    let took = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if summary.decisions == 0 {
        let others: Vec<String> = summary.others.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let known = if others.is_empty() { "no decision at all".to_owned() } else { format!("decisions of {}", others.join(", ")) };
        bail!("the record has no decision of `{policy}`: it has {known}; name one of them with --policy");
    }
    let good = summary.differences() <= replay.allow;
    if json {
        writeln!(anstream::stdout(), "{}", as_json(&summary, policy, took, good))?;
    } else {
        show(&summary, policy, took, threads, good)?;
    }
    if let Some(file) = &replay.record_cases {
        write_cases(file, cases.into_inner().unwrap_or_else(PoisonError::into_inner), &replay.candidate, json)?;
    }
    Ok(good)
}

fn files(replay: &Replay) -> anyhow::Result<Vec<PathBuf>> {
    if !replay.log.is_empty() {
        return Ok(replay.log.clone());
    }
    let folder = replay.data.clone().unwrap_or_else(DataFolder::default_root).join(record::FOLDER);
    let files = record::list(&folder);
    if files.is_empty() {
        bail!("{} has no decision record; name the gateway's data folder with --data, or files with --log", folder.display());
    }
    Ok(files)
}

fn show(summary: &Summary, policy: &str, took: f64, threads: usize, good: bool) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    let rate = summary.decisions as f64 / took.max(1e-9);
    writeln!(out, "{} decisions of `{policy}` in {took:.2} s  {DIM}({rate:.0} a second on {threads} threads){DIM:#}\n", summary.decisions)?;
    writeln!(out, "  {GOOD}{:>9} same{GOOD:#}", summary.same)?;
    for (word, style, groups) in [
        ("changed", WARNING, &summary.changed),
        ("faulted", ERROR, &summary.faulted),
        ("asked what was not asked then", WARNING, &summary.unanswered),
    ] {
        let count: u64 = groups.values().map(|group| group.count).sum();
        if count > 0 {
            writeln!(out, "  {style}{count:>9} {word}{style:#}")?;
        }
        for (key, group) in groups {
            show_group(&mut out, key, group)?;
        }
    }
    for (why, count) in &summary.skipped {
        writeln!(out, "  {DIM}{count:>9} not made again: {why}{DIM:#}")?;
    }
    if summary.unreadable > 0 {
        writeln!(out, "  {DIM}{:>9} lines could not be read{DIM:#}", summary.unreadable)?;
    }
    if let Some(times) = Times::of(summary) {
        writeln!(
            out,
            "\n  recorded  p50 {:>7.1} µs  p99 {:>7.1} µs\n  now       p50 {:>7.1} µs  p99 {:>7.1} µs   {} slower (more than twice the time and 50 µs)",
            times.recorded.0, times.recorded.1, times.now.0, times.now.1, summary.slower
        )?;
    }
    let (style, word) = if good { (GOOD, "ok") } else { (ERROR, "not as recorded") };
    writeln!(out, "\n{style}{word}{style:#}  {} differences", summary.differences())?;
    Ok(())
}

fn show_group(out: &mut dyn Write, key: &str, group: &Group) -> anyhow::Result<()> {
    writeln!(out, "  {:>9}   {key}", group.count)?;
    for example in &group.examples {
        writeln!(
            out,
            "              {HELP}{}{HELP:#}: {} -> {}  {DIM}{}{DIM:#}",
            example.asked, example.old, example.new, example.call_id
        )?;
    }
    Ok(())
}

/// Median and 99th percentile in microseconds, as recorded and now.
struct Times {
    recorded: (f32, f32),
    now: (f32, f32),
}

impl Times {
    fn of(summary: &Summary) -> Option<Self> {
        let percentiles = |mut times: Vec<f32>| {
            times.sort_by(f32::total_cmp);
            let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).copied();
            Some((at(50)?, at(99)?))
        };
        let (recorded, now) = summary.times.iter().copied().unzip();
        Some(Self { recorded: percentiles(recorded)?, now: percentiles(now)? })
    }
}

fn as_json(summary: &Summary, policy: &str, took: f64, good: bool) -> Value {
    let groups = |groups: &BTreeMap<String, Group>| -> Value {
        let group = |group: &Group| {
            let example = |example: &record::Example| json!({"call_id": example.call_id, "asked": example.asked, "old": example.old, "new": example.new});
            json!({"count": group.count, "examples": group.examples.iter().map(example).collect::<Vec<_>>()})
        };
        groups.iter().map(|(key, value)| (key.clone(), group(value))).collect::<serde_json::Map<_, _>>().into()
    };
    let times = Times::of(summary).map(
        |Times { recorded, now }| json!({"recorded_us": {"p50": recorded.0, "p99": recorded.1}, "now_us": {"p50": now.0, "p99": now.1}}),
    );
    json!({
        "policy": policy, "decisions": summary.decisions, "same": summary.same, "changed": groups(&summary.changed),
        "faulted": groups(&summary.faulted), "unanswered": groups(&summary.unanswered), "skipped": summary.skipped, "slower": summary.slower,
        "unreadable": summary.unreadable, "times": times, "seconds": took, "ok": good,
    })
}

/// Writes the cases that the candidate decides in their own little site as it did in the record.
fn write_cases(file: &Path, mut cases: CaseFile, candidate: &Path, json: bool) -> anyhow::Result<()> {
    let chosen = cases.len();
    let text = cases.text()?;
    let trial = tempfile::Builder::new().suffix(".cases.toml").tempfile().context("no temporary file")?;
    std::fs::write(trial.path(), &text)?;
    match crate::policy::try_file(candidate, Some(trial.path()))? {
        Ok(tried) => {
            let failed: Vec<&str> = tried.cases.iter().filter(|case| !case.passed()).map(|case| case.name.as_str()).collect();
            cases.remove(&failed);
        }
        Err(Problem { reason, .. }) => bail!("the chosen decisions make no case file: {reason}"),
    }
    if file.exists() {
        bail!("{} is there already: name another file, or remove it", file.display());
    }
    std::fs::write(file, cases.text()?).with_context(|| format!("{} cannot be written", file.display()))?;
    if !json {
        let left = chosen - cases.len();
        let why = if left > 0 { format!("; {left} more depend on what a case file cannot say") } else { String::new() };
        writeln!(anstream::stdout(), "{GOOD}wrote{GOOD:#}  {} cases into {}{why}", cases.len(), file.display())?;
    }
    Ok(())
}
