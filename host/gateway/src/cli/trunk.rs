//! `holdfast trunk`: the trunks of a running gateway.

use super::{
    ERROR, GOOD, HELP, WARNING,
    running::{Where, refuse, understand},
    table,
};
use crate::manage::{TrunkRegistration, TrunkRow, TrunkRows, ask};
use anstyle::Style;
use axum::http::Method;
use clap::Subcommand;
use std::io::Write as _;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast trunk list
      Every trunk: whether it is up, where it is, whether it is registered, and what to do about those that are not well.
  holdfast trunk list --data /var/lib/holdfast --json
      The same as one JSON object for a program, with every address.
Trunks stand in the configuration file ([[trunk]]) and are changed there, while the gateway runs.
Exit code 0: they are shown. 1: no gateway runs.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show all trunks.
    List {
        #[command(flatten)]
        place: Where,
    },
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::List { place } => list(place, json),
    }
}

const HEADINGS: [&str; 7] = ["trunk", "state", "calls", "answers in", "registered", "address", "since"];

fn style(state: &str) -> Style {
    match state {
        "up" => GOOD,
        "down" => ERROR,
        _ => WARNING,
    }
}

/// A time as people read it.
fn shown(at: Option<&String>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.replace('T', " ").replace('Z', " UTC"))
}

/// How its registration stands, in a few words.
fn registered(registration: Option<&TrunkRegistration>) -> String {
    match registration {
        None => "-".to_owned(),
        Some(TrunkRegistration { registered: true, until, .. }) => format!("until {}", shown(until.as_ref())),
        Some(TrunkRegistration { next: Some(next), .. }) => format!("no, next try {}", shown(Some(next))),
        Some(_) => "no, asking".to_owned(),
    }
}

/// Where calls go: its first address, and how many there are.
fn place_of(row: &TrunkRow) -> String {
    match row.addresses.as_slice() {
        [] => "-".to_owned(),
        [only] => only.address.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
    }
}

fn list(place: &Where, json: bool) -> anyhow::Result<bool> {
    let TrunkRows { trunks } = match understand(&ask(&place.data(), Method::GET, "/trunks")?)? {
        Ok(trunks) => trunks,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&TrunkRows { trunks })?)?;
        return Ok(true);
    }
    let cells: Vec<Vec<String>> = trunks
        .iter()
        .map(|row| {
            vec![
                row.trunk.clone(),
                row.state.clone(),
                row.calls.to_string(),
                row.latency_ms.map_or_else(|| "-".to_owned(), |latency| format!("{latency} ms")),
                registered(row.registration.as_ref()),
                place_of(row),
                shown(row.since.as_ref()),
            ]
        })
        .collect();
    table::write(&mut out, &HEADINGS, &cells, |place, heading| match heading {
        "state" => trunks.get(place).map_or_else(Style::new, |row| style(&row.state)),
        _ => Style::new(),
    })?;
    for row in &trunks {
        if let Some(reason) = &row.reason {
            writeln!(out, "\n{HELP}{}{HELP:#}: {reason}", row.trunk)?;
        }
        if let Some(remedy) = &row.remedy {
            writeln!(out, "  {remedy}")?;
        }
        let bad = row.addresses.iter().filter(|address| row.addresses.len() > 1 && address.state != "up");
        for address in bad {
            let (sign, at) = (address.failed.as_deref().unwrap_or("is not well"), shown(address.failed_at.as_ref()));
            writeln!(out, "  {} is {}: {sign} ({at})", address.address, address.state)?;
        }
    }
    Ok(true)
}
