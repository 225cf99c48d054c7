//! `holdfast calls`: the records of calls.

use super::{HELP, running::Where, table};
use crate::cdr::{COLUMNS, CallLine, FOLDER, Wanted, find};
use anstyle::Style;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::{
    collections::VecDeque,
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast calls list
      The latest 50 calls.
  holdfast calls list --since 24h --who +442071234567
      Calls of the last day from or to a number; endpoints (desk-2) and trunks (provider) are names, too.
  holdfast calls list --emergency --since 2026-01-01 --all
      Every call for help, and every test of one, of this year.
  holdfast calls export --csv --since 30d > calls.csv
      A table for a spreadsheet; without --csv one JSON object a line.
A refused call has a record, too, when it is known who called. Times are UTC. No gateway need run: the records lie in records/ of the data folder.
What the fields say stands in the README, \"Records of calls\". `holdfast explain CALL-ID` tells the story of one.
Exit code 0: the records could be read.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Shows calls.
    List {
        #[command(flatten)]
        which: Which,
        /// So many, the latest.
        #[arg(long, default_value_t = 50, value_name = "N")]
        last: usize,
        /// All of them.
        #[arg(long, conflicts_with = "last")]
        all: bool,
    },
    /// Writes calls to standard output, oldest first.
    Export {
        #[command(flatten)]
        which: Which,
        /// As a CSV table.
        #[arg(long)]
        csv: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// Begun then or later: 2026-06-30, 2026-06-30T18:00:00Z, or so long ago: 45m, 24h, 7d.
    #[arg(long, value_name = "TIME", value_parser = micros)]
    since: Option<u64>,
    /// Begun before.
    #[arg(long, value_name = "TIME", value_parser = micros)]
    until: Option<u64>,
    /// With this number, endpoint or trunk on either side.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Calls for help and tests of them.
    #[arg(long)]
    emergency: bool,
    #[command(flatten)]
    place: Where,
}

impl Which {
    fn wanted(&self) -> Wanted {
        // As trunks are called among those who talk.
        Wanted { since: self.since, until: self.until, who: self.who.clone(), emergency: self.emergency }
    }

    fn find(&self, each: impl FnMut(CallLine) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let folder = self.place.data().join(FOLDER);
        let unreadable = find(&folder, &self.wanted(), each)?;
        if unreadable > 0 {
            let mut err = anstream::stderr();
            writeln!(err, "{HELP}{unreadable} lines in {} could not be read{HELP:#}", folder.display())?;
        }
        Ok(())
    }
}

/// A time as somebody writes it, in microseconds since 1970.
fn micros(text: &str) -> Result<u64, String> {
    let day = format_description!("[year]-[month]-[day]");
    let at = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(at) => Some(at.unix_timestamp_nanos()),
        Err(_) => Date::parse(text, &day).ok().map(|day| day.midnight().assume_utc().unix_timestamp_nanos()),
    };
    let at = at.and_then(|nanos| u64::try_from(nanos / 1_000).ok()).or_else(|| {
        let unit = match text.chars().last()? {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(now.saturating_sub(Duration::from_secs(number.checked_mul(unit)?)).as_micros()).ok()
    });
    at.ok_or_else(|| "write it like 2026-06-30, 2026-06-30T18:00:00Z, 24h or 7d".to_owned())
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::List { which, last, all } => list(which, if *all { usize::MAX } else { *last }, json)?,
        Command::Export { which, csv: true } => export_csv(which)?,
        Command::Export { which, csv: false } => lines(which)?,
    }
    Ok(true)
}

fn lines(which: &Which) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    which.find(|line| {
        serde_json::to_writer(&mut out, &line)?;
        Ok(writeln!(out)?)
    })
}

fn export_csv(which: &Which) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_writer(std::io::stdout().lock());
    out.write_record(COLUMNS)?;
    which.find(|line| Ok(out.write_record(line.row())?))?;
    out.flush().context("standard output")
}

fn list(which: &Which, last: usize, json: bool) -> anyhow::Result<()> {
    let mut calls = VecDeque::new();
    which.find(|line| {
        if calls.len() == last {
            calls.pop_front();
        }
        calls.push_back(line);
        Ok(())
    })?;
    let mut out = anstream::stdout();
    if json {
        for call in &calls {
            writeln!(out, "{}", serde_json::to_string(call)?)?;
        }
        return Ok(());
    }
    if calls.is_empty() {
        writeln!(out, "no calls")?;
        return Ok(());
    }
    let row = |call: &CallLine| {
        let talked = Duration::from_millis(call.talk_ms).as_secs();
        let caller = if call.caller_number.is_empty() { &call.caller } else { &call.caller_number };
        let said = call.policies.iter().rev().find(|said| said.outcome != "pass");
        let said = said.map(|said| format!("{}: {}", said.policy, said.outcome)).unwrap_or_default();
        vec![
            call.began.get(..19).unwrap_or(&call.began).replace('T', " "),
            caller.clone(),
            call.called.clone(),
            call.answered_by.clone().unwrap_or_else(|| "-".to_owned()),
            call.status.to_string(),
            format!("{}:{:02}", talked / 60, talked % 60),
            call.cause.clone(),
            if call.kind == "normal" { String::new() } else { call.kind.clone() },
            said,
        ]
    };
    let rows: Vec<_> = calls.iter().map(row).collect();
    let headings = ["began", "caller", "called", "answered by", "status", "talked", "ended because", "kind", "policy"];
    table::write(&mut out, &headings, &rows, |_, _| Style::new())
}
