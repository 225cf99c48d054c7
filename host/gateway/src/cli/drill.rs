//! `holdfast drill`: which phones would survive the loss of their cloud today, and drills that prove it.

mod emergency;
mod files;
mod report;

use super::{
    GOOD, HELP,
    directory::by,
    running::{Where, refuse, understand},
    settings::{Way, find},
    table,
};
use crate::manage::{BeginDrill, DrillPage, DrillShown, Drills, Look, Refused, StopDrill, ask, ask_with};
use anstyle::Style;
use anyhow::Context as _;
use axum::http::Method;
use clap::{Args, Subcommand};
use files::Files;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use switch::settings::{Controller, Transport};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast drill --settings phones/ --controller 192.0.2.10
      Every phone, and what stands between it and surviving a loss of its cloud today; phones/ holds the settings files that phones have exported.
  holdfast drill start \"spring\"
      A drill begins. Now block the cloud (the site's firewall), wait as long as phones need to notice, and look who has come:
  holdfast drill --failing
      Only the phones that have not come, or could not stay.
  holdfast drill stop
      The drill ends, its report is kept. Unblock the cloud.
  holdfast drill emergency
      The test call of each location over each trunk, and what an answering point would see of it.
  holdfast drill list
  holdfast drill report 3 --json
      Drills, and what the third one showed; one JSON object, for a program.
A phone survives when the directory has it and lets it register, it would find a licence seat if all phones came at once, its settings file (imported, or named with --settings)
leads here, and it has been registered here before; while a drill runs, since that began. Where seats are too few nobody knows who comes last: those are named that are last by id.
Exit code 0: every phone would survive. 1: one would not, or no gateway runs. `start` and `list`: 0 when it is done.";

/// Which phones, which command.
#[derive(Args, Debug)]
pub(super) struct Drill {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Begin a drill: from now on it is written down which phones register.
    Start {
        /// What it is called.
        name: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// End the drill, keep its report, and show it.
    Stop {
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Place the test call of each location over each trunk, and show what an answering point would see.
    #[command(after_help = emergency::EXAMPLES)]
    Emergency(emergency::Emergency),
    /// Show all drills.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Show what an ended drill showed.
    Report {
        /// Its number.
        number: i64,
        /// Only the phones that would not have survived.
        #[arg(long)]
        failing: bool,
        #[command(flatten)]
        place: Where,
    },
}

/// How phones are looked at.
#[derive(Args, Debug)]
struct Wanted {
    /// Settings files of phones, or a folder with them: every .txt in it and in the folders in it; again for more. Without it, what was imported is looked at.
    #[arg(long, value_name = "FILE|FOLDER")]
    settings: Vec<PathBuf>,
    /// Where phones reach this gateway, as their settings files shall have it; the addresses that it listens on when not given.
    #[arg(long, value_name = "HOST[:PORT]")]
    controller: Option<String>,
    /// How phones reach it.
    #[arg(long, value_enum, default_value_t = Way::Tls, requires = "controller")]
    transport: Way,
    /// Only the phones that would not survive.
    #[arg(long)]
    failing: bool,
    #[command(flatten)]
    place: Where,
}

impl Wanted {
    fn controllers(&self) -> anyhow::Result<String> {
        let named = self.controller.as_ref().map(|controller| self.transport.to(controller)).transpose()?;
        Ok(named.map(|controller| controller.to_string()).unwrap_or_default())
    }
}

pub(super) fn run(drill: &Drill, json: bool) -> anyhow::Result<bool> {
    match &drill.command {
        None => today(&drill.wanted, json),
        Some(Command::Start { name, place }) => start(name.as_deref().unwrap_or_default(), place, json),
        Some(Command::Stop { wanted }) => stop(wanted, json),
        Some(Command::Emergency(wanted)) => emergency::run(wanted, json),
        Some(Command::List { place }) => list(place, json),
        Some(Command::Report { number, failing, place }) => match whole(&place.data(), &format!("/drills/{number}"), "")? {
            Ok(page) => report::show(&page, *failing, &[], json),
            Err(refused) => refuse(&refused, json),
        },
    }
}

/// All rows, part by part.
fn whole(data: &Path, path: &str, controllers: &str) -> anyhow::Result<Result<DrillPage, Refused>> {
    let controllers = utf8_percent_encode(controllers, NON_ALPHANUMERIC).to_string();
    let mut rows = Vec::new();
    let mut look = Look::default();
    loop {
        let page: DrillPage = match understand(&ask(data, Method::GET, &format!("{path}?from={}&controllers={controllers}", look.from))?)? {
            Ok(page) => page,
            Err(refused) => return Ok(Err(refused)),
        };
        rows.extend(page.rows);
        match page.next {
            // Rows only come after those that were there.
            Some(next) if next > look.from => look.from = next,
            _ => return Ok(Ok(DrillPage { rows, next: None, ..page })),
        }
    }
}

/// The phones as they stand, with what their settings files say.
fn looked_at(wanted: &Wanted) -> anyhow::Result<Result<(DrillPage, Files), Refused>> {
    let mut page = match whole(&wanted.place.data(), "/drill", &wanted.controllers()?)? {
        Ok(page) => page,
        Err(refused) => return Ok(Err(refused)),
    };
    let ours: Vec<Controller> = page.controllers.iter().filter_map(|entry| controller(entry)).collect();
    let sources = if wanted.settings.is_empty() { Vec::new() } else { find(&wanted.settings, None)? };
    let files = Files::look(&sources, &ours, &page.rows);
    for row in &mut page.rows {
        row.carries = files.carries.get(&row.id).copied().or(row.carries);
    }
    page.rows.extend(files.unknown.iter().cloned());
    Ok(Ok((page, files)))
}

/// As the gateway writes one: `host:port;transport=tls`.
fn controller(entry: &str) -> Option<Controller> {
    let (place, transport) = entry.split_once(";transport=")?;
    Controller::new(place, if transport == "tcp" { Transport::Tcp } else { Transport::Tls }).ok()
}

fn today(wanted: &Wanted, json: bool) -> anyhow::Result<bool> {
    match looked_at(wanted)? {
        Ok((page, files)) => report::show(&page, wanted.failing, &files.strange, json),
        Err(refused) => refuse(&refused, json),
    }
}

fn start(name: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let body = serde_json::to_vec(&BeginDrill { by: by(), name: name.to_owned() })?;
    let drill: DrillShown = match understand(&ask_with(&place.data(), Method::POST, "/drills", body)?)? {
        Ok(drill) => drill,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&drill)?)?;
        return Ok(true);
    }
    writeln!(out, "{GOOD}drill {} has begun{GOOD:#}  {}", drill.number, report::shown(&drill.began))?;
    writeln!(
        out,
        "  {HELP}block the cloud, wait as long as phones need to notice, look with `holdfast drill`, end with `holdfast drill stop`{HELP:#}"
    )?;
    Ok(true)
}

fn stop(wanted: &Wanted, json: bool) -> anyhow::Result<bool> {
    let data = wanted.place.data();
    let (_, files) = match looked_at(wanted)? {
        Ok(looked_at) => looked_at,
        Err(refused) => return refuse(&refused, json),
    };
    let body = StopDrill { controllers: wanted.controllers()?, carries: files.carries, unknown: files.unknown };
    let drill: DrillShown = match understand(&ask_with(&data, Method::POST, "/drills/stop", serde_json::to_vec(&body)?)?)? {
        Ok(drill) => drill,
        Err(refused) => return refuse(&refused, json),
    };
    let page = match whole(&data, &format!("/drills/{}", drill.number), "")? {
        Ok(page) => page,
        Err(refused) => return refuse(&refused, json).context("the drill has ended, its report cannot be shown"),
    };
    report::show(&page, wanted.failing, &files.strange, json)
}

fn list(place: &Where, json: bool) -> anyhow::Result<bool> {
    let drills: Drills = match understand(&ask(&place.data(), Method::GET, "/drills")?)? {
        Ok(drills) => drills,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&drills)?)?;
        return Ok(true);
    }
    let row = |drill: &DrillShown| {
        let ended = drill.ended.as_ref().map_or_else(|| "runs".to_owned(), |ended| report::shown(ended));
        vec![drill.number.to_string(), drill.name.clone(), drill.by.clone(), report::shown(&drill.began), ended]
    };
    let rows: Vec<_> = drills.drills.iter().map(row).collect();
    table::write(&mut out, &["drill", "name", "by", "began", "ended"], &rows, |_, _| Style::new())?;
    Ok(true)
}
