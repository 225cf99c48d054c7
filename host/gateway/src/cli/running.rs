//! `holdfast policy list` and `rollback`: the policies of a running gateway.

use super::{ERROR, GOOD, HELP, WARNING};
use crate::{
    data::DataFolder,
    manage::{Answer, Policies, Policy, Refused, ask},
    policy::{RolledBack, Which},
};
use anstyle::Style;
use anyhow::Context as _;
use axum::http::Method;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use std::{io::Write, path::PathBuf};

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  holdfast policy list
      The policies of the gateway that this user runs, in the order in which they are asked.
  holdfast policy list --data /var/lib/holdfast --json
      One JSON object, for a program.
Counted since the component took its place; p99: 99 of 100 decisions took no longer. `holdfast check` tries a folder without a gateway.
Exit code 0: the gateway has answered.";

pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  holdfast policy rollback internal
      The component of 30-internal.wasm that ran before decides the next call. Calls that are up are not touched.
  holdfast policy rollback internal --data /var/lib/holdfast --json
      One JSON object, for a program.
The file in the folder is not tried again until it changes or the gateway starts anew: replace it.
Exit code 0: it is done. 1: there is no such policy, nothing to go back to, or no gateway.";

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Where {
    /// The data folder of the running gateway.
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Where {
    pub(super) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(DataFolder::default_root)
    }
}

/// Shows how every policy stands.
pub(super) fn list(place: &Where, json: bool) -> anyhow::Result<bool> {
    let data = place.data();
    let Policies { policies } = match understand::<Policies>(&ask(&data, Method::GET, "/policies")?)? {
        Ok(answer) => answer,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&Policies { policies })?)?;
    } else if policies.is_empty() {
        writeln!(out, "the gateway on {} has no policies: every call is refused, calls for help take the host's own plan", data.display())?;
    } else {
        table(&policies, &mut out)?;
    }
    Ok(true)
}

const HEADINGS: [&str; 10] = ["order", "policy", "version", "state", "hooks", "decisions", "faults", "p99", "since", "sha-256"];
/// Columns of numbers, which are set to the right.
const NUMBERS: [&str; 3] = ["decisions", "faults", "p99"];

fn table(policies: &[Policy], out: &mut impl Write) -> anyhow::Result<()> {
    let rows: Vec<[String; 10]> = policies.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).chain(HEADINGS.get(column).copied());
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut line = |cells: &[&str], colour: &dyn Fn(&str) -> Style| -> anyhow::Result<()> {
        for (((cell, heading), width), first) in cells.iter().zip(HEADINGS).zip(&widths).zip([true].into_iter().chain([false; 9])) {
            let style = colour(heading);
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            let gap = if first { "" } else { "  " };
            match NUMBERS.contains(&heading) {
                true => write!(out, "{gap}{space}{style}{cell}{style:#}")?,
                false => write!(out, "{gap}{style}{cell}{style:#}{space}")?,
            }
        }
        Ok(writeln!(out)?)
    };
    line(&HEADINGS, &|_| Style::new().bold())?;
    for (policy, row) in policies.iter().zip(&rows) {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        line(&cells, &|heading| match heading {
            "state" => state_style(&policy.state),
            "faults" if policy.faults > 0 => WARNING,
            _ => Style::new(),
        })?;
    }
    for policy in policies {
        let Some(reason) = &policy.reason else { continue };
        let style = state_style(&policy.state);
        writeln!(out, "\n{style}{}{style:#}  {}\n         {reason}", policy.state, policy.file)?;
        if let Some(remedy) = &policy.remedy {
            writeln!(out, "         {HELP}{remedy}{HELP:#}")?;
        }
    }
    Ok(())
}

fn row(policy: &Policy) -> [String; 10] {
    let order = policy.file.split_once('-').map_or("-", |(order, _)| order);
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    [
        order.to_owned(),
        policy.name.clone(),
        or_dash(policy.version.as_deref()),
        policy.state.clone(),
        if policy.hooks.is_empty() { "-".to_owned() } else { policy.hooks.join(", ") },
        policy.decisions.to_string(),
        policy.faults.to_string(),
        policy.p99_us.map_or_else(|| "-".to_owned(), |micros| latency(micros, policy.p99_beyond)),
        policy.since.replace('T', " ").replace('Z', " UTC"),
        or_dash(policy.hash.as_deref().map(short)),
    ]
}

fn latency(micros: u64, beyond: bool) -> String {
    let sign = if beyond { '>' } else { '≤' };
    if micros < 1_000 { format!("{sign} {micros} µs") } else { format!("{sign} {} ms", micros / 1_000) }
}

fn state_style(state: &str) -> Style {
    match state {
        "running" => GOOD,
        "refused" | "resting" => ERROR,
        _ => WARNING,
    }
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// Puts the component back that ran before.
pub(super) fn roll_back(name: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let path = format!("/policies/{}/rollback", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let done = match understand::<RolledBack>(&ask(&place.data(), Method::POST, &path)?)? {
        Ok(done) => done,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        return Ok(true);
    }
    let RolledBack { file, name, from, to } = done;
    writeln!(out, "{GOOD}rolled back{GOOD:#}  {name}: {} -> {}", shown(&from), shown(&to))?;
    writeln!(out, "             {HELP}{file} still holds what was taken back: replace it before the gateway starts anew{HELP:#}")?;
    Ok(true)
}

fn shown(Which { version, hash }: &Which) -> String {
    version.as_ref().map_or_else(|| short(hash).to_owned(), |version| format!("{version} ({})", short(hash)))
}

pub(super) fn understand<T: serde::de::DeserializeOwned>(answer: &Answer) -> anyhow::Result<Result<T, Refused>> {
    let strange = || format!("the gateway answers {} in a way that this program does not know; is it of the same version?", answer.status);
    Ok(if answer.status.is_success() {
        Ok(serde_json::from_slice(&answer.body).with_context(strange)?)
    } else {
        Err(serde_json::from_slice(&answer.body).with_context(strange)?)
    })
}

pub(super) fn refuse(Refused { reason, remedy }: &Refused, json: bool) -> anyhow::Result<bool> {
    if json {
        writeln!(anstream::stdout(), "{}", json!({"event": "refused", "reason": reason, "remedy": remedy}))?;
    } else {
        writeln!(anstream::stderr(), "{ERROR}holdfast:{ERROR:#} {reason}\n          {HELP}{remedy}{HELP:#}")?;
    }
    Ok(false)
}
