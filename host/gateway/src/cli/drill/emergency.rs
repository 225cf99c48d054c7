//! `holdfast drill emergency`: what an answering point would see of a call for help, from each location over each trunk.

use super::super::{
    ERROR, GOOD, HELP,
    running::{Where, refuse, understand},
    table,
};
use crate::manage::{Refused, TrialShown, TrialWanted, Trials, ask, ask_with};
use anstyle::Style;
use axum::http::Method;
use clap::Args;
use serde::Serialize;
use std::io::Write as _;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast drill emergency
      The test call from every location over every trunk to the first of `test_numbers`; one row for each.
  holdfast drill emergency --trunk provider --location hq --headers
      One of them, with every header line that the answering point would see.
  holdfast drill emergency --json
      One JSON object a line, for a program.
It never calls for help: a number that is none of `test_numbers` (or urn:service:test.sos) is refused, and so is whatever else would be dialled. The call has a session that
never flows, and ends when it is answered. Nobody is told of it.
Exit code 0: every call was answered.";

#[derive(Args, Debug)]
pub(in crate::cli) struct Emergency {
    /// Over this trunk only; may be given several times.
    #[arg(long, value_name = "NAME")]
    trunk: Vec<String>,
    /// From this location only; may be given several times.
    #[arg(long, value_name = "NAME")]
    location: Vec<String>,
    /// The test number; the first of the configuration when not given.
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// Show every header line.
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    place: Where,
}

/// One row: a call, or why there was none.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Made(Box<TrialShown>),
    Not { location: Option<String>, trunk: String, connected: bool, reason: String, remedy: String },
}

impl Outcome {
    fn connected(&self) -> bool {
        matches!(self, Self::Made(shown) if shown.connected)
    }
}

pub(super) fn run(emergency: &Emergency, json: bool) -> anyhow::Result<bool> {
    let data = emergency.place.data();
    let known: Trials = match understand(&ask(&data, Method::GET, "/emergency")?)? {
        Ok(known) => known,
        Err(refused) => return refuse(&refused, json),
    };
    let trunks = if emergency.trunk.is_empty() { known.trunks } else { emergency.trunk.clone() };
    let named = if emergency.location.is_empty() { known.locations } else { emergency.location.clone() };
    let locations: Vec<Option<String>> = if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() };
    let mut out = anstream::stdout();
    let mut outcomes = Vec::new();
    for (trunk, location) in trunks.iter().flat_map(|trunk| locations.iter().map(move |location| (trunk, location))) {
        let wanted = TrialWanted { trunk: trunk.clone(), location: location.clone(), number: emergency.number.clone() };
        let answer = understand(&ask_with(&data, Method::POST, "/emergency/drills", serde_json::to_vec(&wanted)?)?)?;
        let outcome = match answer {
            Ok(shown) => Outcome::Made(Box::new(shown)),
            Err(Refused { reason, remedy }) => {
                Outcome::Not { location: location.clone(), trunk: trunk.clone(), connected: false, reason, remedy }
            }
        };
        if json {
            writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        }
        outcomes.push(outcome);
    }
    let well = !outcomes.is_empty() && outcomes.iter().all(Outcome::connected);
    if json {
        return Ok(well);
    }
    if outcomes.is_empty() {
        writeln!(out, "{ERROR}the configuration has no trunk: a call for help cannot leave this site{ERROR:#}")?;
        return Ok(false);
    }
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    let headings = ["location", "trunk", "dialled", "number shown", "location sent", "first response", "answer", "connected"];
    table::write(&mut out, &headings, &rows, |place, heading| match outcomes.get(place) {
        Some(outcome) if heading == "connected" && outcome.connected() => GOOD,
        Some(_) if heading == "connected" => ERROR,
        _ => Style::new(),
    })?;
    for outcome in &outcomes {
        match outcome {
            Outcome::Not { trunk, reason, remedy, .. } => writeln!(out, "\n{ERROR}{trunk}{ERROR:#}: {reason}\n  {HELP}{remedy}{HELP:#}")?,
            Outcome::Made(shown) if emergency.headers => {
                let from = shown.location.as_deref().unwrap_or("-");
                writeln!(out, "\n{from} over {} to {}: INVITE {}", shown.trunk, shown.address.as_deref().unwrap_or("-"), shown.uri)?;
                for header in &shown.headers {
                    writeln!(out, "  {}: {}", header.name, header.value)?;
                }
                if let Some(body) = &shown.body {
                    writeln!(out, "\n{body}")?;
                }
            }
            Outcome::Made(_) => {}
        }
    }
    Ok(well)
}

fn row(outcome: &Outcome) -> Vec<String> {
    let none = || "-".to_owned();
    match outcome {
        Outcome::Not { location, trunk, .. } => {
            let place = location.clone().unwrap_or_else(none);
            vec![place, trunk.clone(), none(), none(), none(), none(), "not dialled".to_owned(), "no".to_owned()]
        }
        Outcome::Made(shown) => {
            let after = |ms: Option<f64>| ms.map(|ms| format!(" after {ms:.0} ms")).unwrap_or_default();
            let first = shown.first_status.map_or_else(none, |status| format!("{status}{}", after(shown.first_ms)));
            let last = shown.status.map_or_else(
                || shown.cause.clone(),
                |status| format!("{status} {}{}", shown.phrase.as_deref().unwrap_or_default(), after(shown.final_ms)),
            );
            let sent = if shown.geolocation.is_empty() { none() } else { shown.geolocation.join(", ") };
            vec![
                shown.location.clone().unwrap_or_else(none),
                shown.trunk.clone(),
                shown.number.clone(),
                shown.shown.clone().unwrap_or_else(none),
                sent,
                first,
                last,
                if shown.connected { "yes" } else { "no" }.to_owned(),
            ]
        }
    }
}
