//! `holdfast policy`: an author's desk.

use super::{ERROR, GOOD, HELP, bench, new, replay, running, watch};
use crate::policy::{CaseResult, Problem, Tried, cases_beside, try_file};
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

const TEST_EXAMPLES: &str = "\
Examples:
  holdfast policy test 30-internal.wasm
      The cases of 30-internal.cases.toml, with the settings of 30-internal.toml if there is one.
  holdfast policy test target/night.wasm --cases night.cases.toml --json
      One JSON object a case, for a program.
  holdfast policy test night.wasm --watch
      Again whenever the component, its settings or its cases change; Ctrl-C ends it.
Exit code 0: the gateway would take the policy, and it said what every case expects.";

const NEW_EXAMPLES: &str = "\
Examples:
  holdfast policy new night-desk --lang python
      A project in the folder night-desk: source, cases, contract, README and a `build` script.
  holdfast policy new night-desk --lang rust --into src/night-desk
      The same elsewhere. Nothing that is there is overwritten.";

const BENCH_EXAMPLES: &str = "\
Examples:
  holdfast policy bench 30-internal.wasm
      Times of the decisions of 30-internal.cases.toml, each in a new instance and in one that serves again and again.
  holdfast policy bench night.wasm --cases night.cases.toml --seconds 20 --json
      One JSON object, for a program.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Check a component as the gateway does before it joins the chain: imports, hooks, settings, made-up calls, and the cases beside it. Settings that name trunks or endpoints are
    /// looked up in the site of the `.cases.toml` beside it.
    Check {
        /// The component.
        file: PathBuf,
    },
    /// Make recorded decisions again with a changed component, and compare what it says.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Replay),
    /// Ask a component its cases and compare what it says.
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The component.
        file: PathBuf,
        /// The cases; the `.cases.toml` beside the component when not given.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        /// Ask again whenever the component, the `.toml` beside it or the cases change.
        #[arg(long)]
        watch: bool,
    },
    /// Write a project for a policy of your own, ready to be built.
    #[command(after_help = NEW_EXAMPLES)]
    New {
        /// The policy's name: small letters, digits and hyphens.
        name: String,
        /// In what it is written.
        #[arg(long, value_enum)]
        lang: new::Language,
        /// The folder to write; a new one of the policy's name when not given.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Time a component's decisions on its cases, and what an instance of it costs.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench {
        /// The component.
        file: PathBuf,
        /// The cases; the `.cases.toml` beside the component when not given.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        /// About how long to measure.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
        seconds: u32,
    },
    /// Show the policies of a running gateway: state, decisions, faults.
    #[command(after_help = running::LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        place: running::Where,
    },
    /// Put the component back that ran before, in a running gateway.
    #[command(after_help = running::ROLLBACK_EXAMPLES)]
    Rollback {
        /// The policy's name, as `holdfast policy list` shows it.
        name: String,
        #[command(flatten)]
        place: running::Where,
    },
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<ExitCode> {
    let passed = match command {
        Command::Replay(replay) => replay::run(replay, json)?,
        Command::Check { file } => match try_file(file, cases_beside(file).as_deref())? {
            Ok(tried) if tried.cases.iter().all(CaseResult::passed) => {
                show_check(file, &tried, json)?;
                true
            }
            Ok(tried) => show_cases(&tried, json)?,
            Err(problem) => refuse(&problem, json)?,
        },
        Command::Test { file, cases, watch: false } => test(file, &cases_of(file, cases.as_deref())?, json)?,
        Command::Test { file, cases, watch: true } => {
            let cases = cases_of(file, cases.as_deref())?;
            watch::again_and_again(&[file.clone(), file.with_extension("toml"), cases.clone()], || {
                let mut out = anstream::stdout();
                if std::io::stdout().is_terminal() && !json {
                    // Clears the screen, so that what is seen is the latest.
                    write!(out, "\x1b[2J\x1b[H")?;
                }
                if let Err(error) = test(file, &cases, json) {
                    // The file may be about to be written anew.
                    writeln!(out, "{ERROR}not tried{ERROR:#}  {error:#}")?;
                }
                Ok(out.flush()?)
            })?;
            true
        }
        Command::New { name, lang, into } => return new::run(name, *lang, into.as_deref(), json),
        Command::Bench { file, cases, seconds } => bench::run(file, &cases_of(file, cases.as_deref())?, *seconds, json)?,
        Command::List { place } => running::list(place, json)?,
        Command::Rollback { name, place } => running::roll_back(name, place, json)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The case file that was named, or that lies beside the component.
fn cases_of(file: &Path, named: Option<&Path>) -> anyhow::Result<PathBuf> {
    named.map(Path::to_owned).or_else(|| cases_beside(file)).with_context(|| {
        format!("{} is not there: write cases into it, or name a file with --cases", file.with_extension("cases.toml").display())
    })
}

fn test(file: &Path, cases: &Path, json: bool) -> anyhow::Result<bool> {
    match try_file(file, Some(cases))? {
        Ok(tried) => show_cases(&tried, json),
        Err(problem) => refuse(&problem, json),
    }
}

/// Says why a file does not join the chain; always `false`.
pub(super) fn refuse(problem: &Problem, json: bool) -> anyhow::Result<bool> {
    let mut out = anstream::stdout();
    let Problem { file, reason, remedy } = problem;
    if json {
        writeln!(out, "{}", json!({"accepted": false, "file": file, "reason": reason, "remedy": remedy}))?;
    } else {
        writeln!(out, "{ERROR}refused{ERROR:#}  {}\n         {reason}\n         {HELP}{remedy}{HELP:#}", file.display())?;
    }
    Ok(false)
}

fn show_check(file: &Path, tried: &Tried, json: bool) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    let Tried { name, version, description, hash, bytes, hooks, imports, loaded_in, cases: _ } = tried;
    if json {
        let shown = json!({
            "accepted": true, "file": file, "name": name, "version": version, "description": description, "hash": hash, "bytes": bytes,
            "hooks": hooks, "imports": imports, "loaded_ms": loaded_in.as_secs_f64() * 1e3,
        });
        return Ok(writeln!(out, "{shown}")?);
    }
    writeln!(out, "{GOOD}accepted{GOOD:#}  {}", file.display())?;
    let rows = [
        ("name", name.clone()),
        ("version", version.clone().unwrap_or_else(|| "-".to_owned())),
        ("description", description.clone().unwrap_or_else(|| "-".to_owned())),
        ("hooks", hooks.join(", ")),
        ("imports", imports.join(", ")),
        ("size", format!("{:.1} kB", *bytes as f64 / 1e3)),
        ("loaded in", format!("{:.1} ms", loaded_in.as_secs_f64() * 1e3)),
        ("sha-256", hash.clone()),
    ];
    for (key, value) in rows {
        writeln!(out, "  {key:12} {value}")?;
    }
    Ok(())
}

/// The cases as a table; `true` when all passed.
fn show_cases(tried: &Tried, json: bool) -> anyhow::Result<bool> {
    let mut out = anstream::stdout();
    let failed = tried.cases.iter().filter(|case| !case.passed()).count();
    let width = tried.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    for case in &tried.cases {
        let micros = case.took.as_secs_f64() * 1e6;
        if json {
            let row = json!({"case": case.name, "passed": case.passed(), "expected": case.expected, "said": case.said, "took_us": micros});
            writeln!(out, "{row}")?;
            continue;
        }
        let (style, word) = if case.passed() { (GOOD, "pass") } else { (ERROR, "FAIL") };
        writeln!(out, "  {style}{word}{style:#}  {:width$}  {:>8.1} µs  {}", case.name, micros, case.said)?;
        if !case.passed() {
            writeln!(out, "        {:width$}  {:>8}     {HELP}expected {}{HELP:#}", "", "", case.expected)?;
        }
    }
    if !json {
        let (style, word) = if failed == 0 { (GOOD, "ok") } else { (ERROR, "not as expected") };
        writeln!(
            out,
            "\n{style}{word}{style:#}  {} of {} cases of `{}` passed",
            tried.cases.len() - failed,
            tried.cases.len(),
            tried.name
        )?;
    }
    Ok(failed == 0)
}
