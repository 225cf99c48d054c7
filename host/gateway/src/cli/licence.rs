//! `holdfast licence`: the licence pools of a running gateway.

use super::{
    ERROR, GOOD, HELP, WARNING,
    directory::{facts, path_of},
    running::{Where, refuse, understand},
    table,
};
use crate::manage::{PoolPage, PoolRow, Pools, Refused, SeatRow, ask};
use anstyle::Style;
use axum::http::Method;
use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{io::Write as _, path::Path};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast licence list
      Every pool: seats, how many are in use, kept and waited for, and until when it is valid.
  holdfast licence show site
      One pool, and every endpoint that holds a seat of it, waits for one, or has one kept.
  holdfast licence show site desk --data /var/lib/holdfast --json
      The same of the endpoints with \"desk\" in their id or extension, as one JSON object for a program.
Pools stand in the configuration file ([[licence]]) and are changed there, while the gateway runs.
Exit code 0: it is shown. 1: there is no such pool, or no gateway runs.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show all licence pools.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Show one pool with the endpoints that hold its seats, wait for one, or have one kept.
    Show {
        /// The pool.
        pool: String,
        /// Only endpoints that have this text in their id or extension.
        find: Option<String>,
        #[command(flatten)]
        place: Where,
    },
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::List { place } => list(place, json),
        Command::Show { pool, find, place } => show(pool, find.as_deref().unwrap_or_default(), place, json),
    }
}

const HEADINGS: [&str; 10] = ["pool", "per", "seats", "used", "reserved", "waiting", "most used", "refused", "valid until", "state"];

/// How a pool stands, in a word: what an operator should know first.
fn state(row: &PoolRow) -> &str {
    match row.validity.as_str() {
        "valid" if row.over_committed => "over-committed",
        validity => validity,
    }
}

fn style(state: &str) -> Style {
    match state {
        "valid" | "seated" => GOOD,
        "ended" => ERROR,
        _ => WARNING,
    }
}

/// A time as people read it.
fn shown(at: Option<&String>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.replace('T', " ").replace('Z', " UTC"))
}

fn list(place: &Where, json: bool) -> anyhow::Result<bool> {
    let Pools { pools } = match understand(&ask(&place.data(), Method::GET, "/licences")?)? {
        Ok(pools) => pools,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&Pools { pools })?)?;
        return Ok(true);
    }
    let cells: Vec<Vec<String>> = pools
        .iter()
        .map(|row| {
            vec![
                row.pool.clone(),
                row.per.clone(),
                row.seats.to_string(),
                row.taken.to_string(),
                row.reserved.to_string(),
                row.waiting.to_string(),
                row.most.to_string(),
                row.refused.to_string(),
                shown(row.not_after.as_ref()),
                state(row).to_owned(),
            ]
        })
        .collect();
    table::write(&mut out, &HEADINGS, &cells, |place, heading| match heading {
        "state" => pools.get(place).map_or_else(Style::new, |row| style(state(row))),
        _ => Style::new(),
    })?;
    for row in &pools {
        if let Some(trouble) = trouble(row) {
            writeln!(out, "\n{HELP}{}{HELP:#}: {trouble}", row.pool)?;
        }
    }
    Ok(true)
}

/// What is wrong with a pool, and until when nothing comes of it.
fn trouble(row: &PoolRow) -> Option<String> {
    let reduced = row.reduced.as_ref().map(|reduced| {
        let (former, since, until) = (reduced.former, shown(Some(&reduced.since)), shown(Some(&reduced.until)));
        let now = if row.over_committed { format!("; {} of {} seats are used", row.taken, row.seats) } else { String::new() };
        format!("it had {former} seats until {since} and is used as if it had them until {until}{now}")
    });
    let ended = match row.validity.as_str() {
        "grace" => Some(format!("it is valid no more; seats are given for {} days after its end", row.grace_days)),
        "ended" => Some("it is valid no more, and no seat is given: renew it and change `not_after`".to_owned()),
        "not-yet" => Some(format!("no seat is given before {}", shown(row.not_before.as_ref()))),
        _ => None,
    };
    let over = || row.over_committed.then(|| format!("{} of {} seats are used", row.taken, row.seats));
    let told: Vec<String> = [reduced.or_else(over), ended].into_iter().flatten().collect();
    Some(told.join("\n")).filter(|told| !told.is_empty())
}

/// A pool with all its endpoints, part by part.
fn whole(data: &Path, pool: &str, find: &str) -> anyhow::Result<Result<PoolPage, Refused>> {
    let (mut endpoints, mut after) = (Vec::<SeatRow>::new(), String::new());
    loop {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path = format!("{}?after={}&find={}", path_of("/licences", pool), encoded(&after), encoded(find));
        let page: PoolPage = match understand(&ask(data, Method::GET, &path)?)? {
            Ok(page) => page,
            Err(refused) => return Ok(Err(refused)),
        };
        endpoints.extend(page.endpoints);
        match page.next {
            Some(next) if next > after => after = next,
            _ => return Ok(Ok(PoolPage { row: page.row, endpoints, next: None })),
        }
    }
}

fn show(pool: &str, find: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let page = match whole(&place.data(), pool, find)? {
        Ok(page) => page,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&page)?)?;
        return Ok(true);
    }
    let PoolPage { row, endpoints, .. } = page;
    let date = |at: &Option<String>| at.as_ref().map_or_else(String::new, |at| shown(Some(at)));
    let most = row.most_at.as_ref().map_or_else(|| "0".to_owned(), |at| format!("{} at {}", row.most, shown(Some(at))));
    facts(&[
        ("pool", row.pool.clone()),
        ("state", state(&row).to_owned()),
        ("trouble", trouble(&row).unwrap_or_default()),
        ("seats", format!("{}, one per {}", row.seats, row.per)),
        ("used", row.taken.to_string()),
        ("reserved", format!("{}, of them {} away", row.reserved, row.away)),
        ("waiting", row.waiting.to_string()),
        ("most used", most),
        ("refused", row.refused.to_string()),
        ("valid from", date(&row.not_before)),
        ("valid until", date(&row.not_after)),
        ("grace", format!("{} days", row.grace_days)),
    ])?;
    if endpoints.is_empty() {
        return Ok(true);
    }
    writeln!(out)?;
    let cells: Vec<Vec<String>> = endpoints
        .iter()
        .map(|seat| {
            vec![
                seat.id.clone(),
                seat.extension.clone().unwrap_or_else(|| "-".to_owned()),
                seat.standing.clone(),
                if seat.reserved { "yes" } else { "no" }.to_owned(),
                shown(seat.since.as_ref()),
                seat.asked.map_or_else(|| "-".to_owned(), |asked| asked.to_string()),
                shown(seat.until.as_ref()),
            ]
        })
        .collect();
    table::write(&mut out, &["id", "extension", "standing", "reserved", "since", "asked", "turn lost"], &cells, |place, heading| {
        match heading {
            "standing" => endpoints.get(place).map_or_else(Style::new, |seat| style(&seat.standing)),
            _ => Style::new(),
        }
    })?;
    Ok(true)
}
