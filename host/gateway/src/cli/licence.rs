//! `holdfast licence`: the licence pools of a running gateway.

use super::{
    ERROR, GOOD, HELP, WARNING,
    directory::{facts, path_of},
    problems,
    running::{Where, refuse, understand},
    table,
};
use crate::{
    config::{
        FILE, Report,
        edit::{self, PoolEdit},
    },
    manage::{PoolPage, PoolRow, Pools, Refused, SeatRow, ask},
};
use anstyle::Style;
use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use switch::directory::Per;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast licence list
      Every pool: seats, how many are in use, kept and waited for, and until when it is valid.
  holdfast licence show site
      One pool, and every endpoint that holds a seat of it, waits for one, or has one kept.
  holdfast licence show site desk --data /var/lib/holdfast --json
      The same of the endpoints with \"desk\" in their id or extension, as one JSON object for a program.
  holdfast licence add guests --seats 20 --not-after 2027-06-30
      A new pool, written into the configuration file.
  holdfast licence set site --seats 60 --reserve desk-1 --dry-run
      More seats, one of them kept for an endpoint; only tried, and what would be wrong is said.
Pools stand in the configuration file ([[licence]]). `add` and `set` change that file and leave every other octet of it; a gateway that runs takes the change at
once, as it does when an editor saves it.
Exit code 0: it is shown, or done. 1: there is no such pool, no gateway runs, or the file cannot be as it was wanted.";

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
    /// Add a pool to the configuration file.
    Add {
        /// The pool.
        pool: String,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Change a pool in the configuration file.
    Set {
        /// The pool.
        pool: String,
        #[command(flatten)]
        wanted: Wanted,
    },
}

/// How a pool is to be; what is not named stays.
#[derive(Args, Debug)]
pub(super) struct Wanted {
    /// Seats owned.
    #[arg(long, value_name = "N")]
    seats: Option<u32>,
    /// Whom a seat is for.
    #[arg(long)]
    per: Option<Whom>,
    /// An endpoint (or user) whose seat is kept while it is away; more than once for more.
    #[arg(long, value_name = "ID")]
    reserve: Vec<String>,
    /// One whose seat is kept no more.
    #[arg(long, value_name = "ID")]
    release: Vec<String>,
    /// The first day, or moment with its offset.
    #[arg(long, value_name = "DATE")]
    not_before: Option<String>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    not_after: Option<String>,
    /// Days for which seats are given after the last.
    #[arg(long, value_name = "N")]
    grace_days: Option<u32>,
    /// Try it and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The configuration file; default: the one in the data folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Whom {
    Endpoint,
    User,
}

/// What came of a change, for a program.
#[derive(Serialize)]
struct Changed<'a> {
    pool: &'a str,
    file: String,
    changed: bool,
    dry_run: bool,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::List { place } => list(place, json),
        Command::Show { pool, find, place } => show(pool, find.as_deref().unwrap_or_default(), place, json),
        Command::Add { pool, wanted } => change(pool, true, wanted, json),
        Command::Set { pool, wanted } => change(pool, false, wanted, json),
    }
}

fn change(pool: &str, new: bool, wanted: &Wanted, json: bool) -> anyhow::Result<bool> {
    let file = wanted.config.clone().unwrap_or_else(|| wanted.place.data().join(FILE));
    let edit = PoolEdit {
        seats: wanted.seats,
        per: wanted.per.map(|whom| match whom {
            Whom::Endpoint => Per::Endpoint,
            Whom::User => Per::User,
        }),
        reserve: wanted.reserve.clone(),
        release: wanted.release.clone(),
        not_before: wanted.not_before.clone(),
        not_after: wanted.not_after.clone(),
        grace_days: wanted.grace_days,
    };
    let done = edit::pool(&file, pool, new, &edit, wanted.dry_run);
    let (well, changed) = (done.is_ok(), matches!(done, Ok(true)));
    let report = done.err().unwrap_or_default();
    let mut out = anstream::stdout();
    if json {
        let changed = Changed { pool, file: file.display().to_string(), changed, dry_run: wanted.dry_run, report };
        writeln!(out, "{}", serde_json::to_string(&changed)?)?;
    } else if !well {
        problems(&mut anstream::stderr(), &report)?;
    } else {
        let what = match (changed, wanted.dry_run) {
            (false, _) => "is so already",
            (true, true) => "would be so; nothing is changed",
            (true, false) => "is changed; a gateway that runs takes it at once",
        };
        writeln!(out, "{GOOD}{pool}{GOOD:#} {what}: {}", file.display())?;
    }
    Ok(well)
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
