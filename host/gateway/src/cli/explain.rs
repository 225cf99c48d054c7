//! `holdfast explain`: the story of one call on one screen.

use super::{ERROR, GOOD, HELP, WARNING};
use crate::{
    data::DataFolder,
    record::{self, CallLine, DecisionLine, Entry, RefusedLine, Story},
};
use anstyle::Style;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use std::{io::Write, path::PathBuf, process::ExitCode};
use time::{OffsetDateTime, UtcOffset, format_description::FormatItem, macros::format_description};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast explain
      The latest calls and refusals, with their Call-IDs.
  holdfast explain --last
      The story of the latest of them.
  holdfast explain 3848276298220188511@atlanta.example.com --data /var/lib/holdfast
      The story of this call; the Call-ID of either side will do.
  holdfast explain --json CALL-ID | jq .decisions
      Everything that the record has, for a program.";

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const TIME: &[FormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
/// Calls that the list shows.
const LATEST: usize = 20;
/// Characters of a question or answer in one line.
const WIDTH: usize = 100;

#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The Call-ID; without it the latest calls are listed.
    call_id: Option<String>,
    /// The latest call or refusal.
    #[arg(long, conflicts_with = "call_id")]
    last: bool,
    /// The data folder of the gateway.
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn run(explain: &Explain, json: bool) -> anyhow::Result<ExitCode> {
    let folder = explain.data.clone().unwrap_or_else(DataFolder::default_root).join(record::FOLDER);
    let files = record::list(&folder);
    if files.is_empty() {
        bail!(
            "{} has no decision record; name the gateway's data folder with --data, and look that `[decisions] record` in its configuration is not \"off\"",
            folder.display()
        );
    }
    let call_id = match (&explain.call_id, explain.last) {
        (Some(call_id), _) => call_id.clone(),
        (None, true) => record::latest(&files, 1)?.pop().context("the record has no call yet")?.call_id,
        (None, false) => {
            list(&record::latest(&files, LATEST)?, json)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let Some(story) = record::story(&files, &call_id)? else {
        bail!(
            "the record in {} does not know the Call-ID {call_id}; `holdfast explain` lists the latest calls, and old ones are removed (`[decisions] files`)",
            folder.display()
        );
    };
    let mut out = anstream::stdout();
    if json {
        let Story { decisions, refused, call, left_out } = &story;
        writeln!(out, "{}", json!({"call_id": call_id, "decisions": decisions, "refused": refused, "call": call, "left_out": left_out}))?;
    } else {
        tell(&story, &call_id, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(entries: &[Entry], json: bool) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    let width = entries.iter().map(|entry| entry.asked.chars().count()).max().unwrap_or(0).min(40);
    for Entry { at_us, call_id, asked, outcome, failed } in entries {
        if json {
            writeln!(out, "{}", json!({"at_us": at_us, "call_id": call_id, "asked": asked, "outcome": outcome, "failed": failed}))?;
            continue;
        }
        let style = if *failed { WARNING } else { GOOD };
        writeln!(out, "{DIM}{}{DIM:#}  {asked:width$}  {style}{outcome}{style:#}\n    {DIM}{call_id}{DIM:#}", moment(*at_us))?;
    }
    if entries.is_empty() && !json {
        writeln!(out, "no call yet")?;
    }
    Ok(())
}

fn tell(story: &Story, call_id: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{BOLD}{call_id}{BOLD:#}")?;
    if let Some(first) = story.decisions.first() {
        writeln!(out, "{}  {}", moment(first.at_us), asked(first))?;
    } else if let Some(call) = &story.call {
        writeln!(out, "{}  {} calls {}", moment(call.at_us), call.caller, call.called)?;
    }
    if story.left_out > 0 {
        writeln!(out, "{DIM}({} earlier lines are left out){DIM:#}", story.left_out)?;
    }
    if !story.decisions.is_empty() {
        writeln!(out, "\n{HELP}decisions{HELP:#}")?;
    }
    for line in &story.decisions {
        decision(line, out)?;
    }
    for RefusedLine { status, phrase, detail, policy, .. } in &story.refused {
        let by = policy.as_deref().unwrap_or("the host");
        writeln!(out, "\n{HELP}refused{HELP:#}\n  {ERROR}{status} {phrase}{ERROR:#} by {by}{}", because(detail))?;
    }
    if let Some(call) = &story.call {
        writeln!(out, "\n{HELP}then{HELP:#}")?;
        for leg in &call.legs {
            writeln!(out, "  dialled {} at {}  {DIM}{}{DIM:#}", leg.who, leg.at, leg.call_id)?;
        }
        let style = if call.answered_by.is_some() { GOOD } else { WARNING };
        writeln!(out, "  {style}{}{style:#}", record::outcome(call))?;
        ladder(call, out)?;
    }
    Ok(())
}

/// What was to be decided.
fn asked(line: &DecisionLine) -> String {
    let place = line.call.as_ref().and_then(|call| call.location.as_deref()).map_or_else(String::new, |place| format!(" in {place}"));
    let from = line.call.as_ref().map(|call| (&call.source, &call.transport));
    let from = from.or_else(|| line.registration.as_ref().map(|registration| (&registration.source, &registration.transport)));
    let from = from.map_or_else(String::new, |(source, transport)| format!(", from {source} by {transport}"));
    let kind = line.call.as_ref().filter(|call| call.kind != "normal").map_or_else(String::new, |call| format!(" ({})", call.kind));
    format!("{}{kind}{place}{from}", line.asked_in_words())
}

fn decision(line: &DecisionLine, out: &mut dyn Write) -> anyhow::Result<()> {
    let style = match (&line.fault, line.said.split(' ').next()) {
        (Some(_), _) => ERROR,
        (None, Some("refuse")) => WARNING,
        (None, Some("pass")) => DIM,
        (None, _) => GOOD,
    };
    let DecisionLine { policy, said, why, took_us, hash, version, .. } = line;
    let version = version.as_deref().map_or_else(String::new, |version| format!(" {version}"));
    let hash = hash.get(..8).unwrap_or(hash);
    writeln!(out, "  {BOLD}{policy}{BOLD:#} {style}{said}{style:#}{}  {DIM}{took_us:.1} µs,{version} {hash}{DIM:#}", because(why))?;
    for (question, arguments, told) in &line.asked {
        let asked = format!("{question}({})", arguments.join(", "));
        writeln!(out, "      {DIM}asked {} -> {}{DIM:#}", cut(&asked), cut(&told.to_string()))?;
    }
    for (level, message) in &line.log {
        writeln!(out, "      {level}: {}", cut(message))?;
    }
    Ok(())
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

/// The messages: the caller on the left, everybody else on the right.
fn ladder(call: &CallLine, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(caller) = call.ladder.first().map(|beat| beat.peer.as_str()) else { return Ok(()) };
    writeln!(out, "\n{HELP}{:>11}  {:<26}  {:<26}{HELP:#}", "ms", format!("{} {caller}", call.caller), "gateway")?;
    let middle = call.ladder.len() / 2;
    for (number, beat) in call.ladder.iter().enumerate() {
        if call.left_out > 0 && number == middle {
            writeln!(out, "{:>13}({} messages are left out)", "", call.left_out)?;
        }
        write!(out, "{DIM}{:>11.1}{DIM:#}  ", beat.ms)?;
        if beat.peer == caller {
            let (left, right) = if beat.inbound { ("──", "─▶") } else { ("◀─", "──") };
            writeln!(out, "{left} {:─<22}{right}", format!("{} ", shorten(&beat.what, 21)))?;
        } else {
            let (left, right) = if beat.inbound { ("◀─", "──") } else { ("──", "─▶") };
            let who = call.legs.iter().find(|leg| leg.at == beat.peer).map_or("", |leg| leg.who.as_str());
            writeln!(out, "{:<26}  {left} {:─<22}{right} {who} {DIM}{}{DIM:#}", "", format!("{} ", shorten(&beat.what, 21)), beat.peer)?;
        }
    }
    Ok(())
}

fn moment(at_us: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_us) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let at = at.to_offset(UtcOffset::UTC);
    at.format(TIME).map_or_else(|_| at_us.to_string(), |text| format!("{text}Z"))
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// One line of a terminal, without anything that would move its cursor.
fn cut(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shorten(&text, WIDTH)
}
