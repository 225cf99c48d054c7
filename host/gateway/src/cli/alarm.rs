//! `holdfast alarm` and `holdfast notify`: calls for help that are known, and the ways in which somebody is told of them.

use super::{
    ERROR, GOOD, HELP, WARNING,
    directory::by,
    running::{Where, refuse, understand},
    table,
};
use crate::manage::{AcknowledgedShown, AlarmShown, Alarms, By, WayShown, ask, ask_with};
use anstyle::Style;
use axum::http::Method;
use clap::Subcommand;
use std::io::Write;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast alarm list
      Calls for help that nobody has acknowledged; --all shows the others and tests, too.
  holdfast alarm show 3
      Who called from where, and who was told of it when.
  holdfast alarm ack 3
      Somebody sees to it: nobody is told of it any more.
An alarm is kept, and told again and again in each way that has not worked, until it is acknowledged; it outlives the gateway.
Exit code 0: done. 1: there is no such alarm, or no gateway runs. `list`: 0 when none is open.";

pub(super) const NOTIFY_EXAMPLES: &str = "\
Examples:
  holdfast notify test
      Every way of telling is tried once, with words that say that it is a test; a desk that rings is told when somebody answers.
  holdfast notify test --data /var/lib/holdfast --json
      One JSON object, for a program.
Exit code 0: every way has worked.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Calls for help that nobody has acknowledged.
    List {
        /// Those that were acknowledged, and tests, too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Where,
    },
    /// One of them.
    Show {
        /// Its number.
        number: u64,
        #[command(flatten)]
        place: Where,
    },
    /// Somebody sees to it.
    Ack {
        /// Their numbers.
        #[arg(required = true)]
        numbers: Vec<u64>,
        #[command(flatten)]
        place: Where,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum Notify {
    /// Tries every way of telling with a test.
    Test {
        #[command(flatten)]
        place: Where,
    },
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::List { all, place } => list(*all, place, json),
        Command::Show { number, place } => show(*number, place, json),
        Command::Ack { numbers, place } => acknowledge(numbers, place, json),
    }
}

pub(super) fn notify(Notify::Test { place }: &Notify, json: bool) -> anyhow::Result<bool> {
    let data = place.data();
    let body = serde_json::to_vec(&By { by: by() })?;
    let mut alarm: AlarmShown = match understand(&ask_with(&data, Method::POST, "/alarms/test", body)?)? {
        Ok(alarm) => alarm,
        Err(refused) => return refuse(&refused, json),
    };
    // Each question is answered when something has come of it, or after a while: every way has an end.
    while alarm.ways.iter().any(|way| way.attempts == 0) {
        alarm = match understand(&ask(&data, Method::GET, &format!("/alarms/{}/outcome", alarm.number))?)? {
            Ok(alarm) => alarm,
            Err(refused) => return refuse(&refused, json),
        };
    }
    let well = alarm.ways.iter().all(|way| way.told.is_some());
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&alarm)?)?;
        return Ok(well);
    }
    ways(&alarm.ways, &mut out)?;
    Ok(well)
}

fn ways(ways: &[WayShown], out: &mut impl Write) -> anyhow::Result<()> {
    let row = |way: &WayShown| {
        let said = match (&way.told, way.attempts) {
            (Some(at), _) => format!("told {at}"),
            (None, 0) => "waits".to_owned(),
            (None, _) => "failed".to_owned(),
        };
        vec![way.name.clone(), said, way.attempts.to_string(), way.error.clone().unwrap_or_default()]
    };
    let rows: Vec<_> = ways.iter().map(row).collect();
    table::write(out, &["way", "state", "attempts", "why not"], &rows, |place, heading| {
        let told = ways.get(place).is_some_and(|way| way.told.is_some());
        match heading {
            "state" if told => GOOD,
            "state" => ERROR,
            _ => Style::new(),
        }
    })
}

fn list(all: bool, place: &Where, json: bool) -> anyhow::Result<bool> {
    let Alarms { mut alarms } = match understand(&ask(&place.data(), Method::GET, "/alarms")?)? {
        Ok(alarms) => alarms,
        Err(refused) => return refuse(&refused, json),
    };
    let none = alarms.iter().all(|alarm| !alarm.open);
    alarms.retain(|alarm| all || alarm.open);
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&Alarms { alarms })?)?;
        return Ok(none);
    }
    if alarms.is_empty() {
        writeln!(out, "{GOOD}no alarm is open{GOOD:#}")?;
        return Ok(none);
    }
    let row = |alarm: &AlarmShown| {
        let told = alarm.ways.iter().filter(|way| way.told.is_some()).count();
        let state = match (&alarm.acknowledged_by, alarm.open) {
            (Some(by), _) => format!("acknowledged by {by}"),
            (None, true) => "open".to_owned(),
            (None, false) => "test".to_owned(),
        };
        vec![
            alarm.number.to_string(),
            alarm.at.clone(),
            who(alarm),
            alarm.dialled.clone(),
            alarm.location.clone().unwrap_or_default(),
            alarm.callback.clone(),
            format!("{told} of {}", alarm.ways.len()),
            state,
        ]
    };
    let rows: Vec<_> = alarms.iter().map(row).collect();
    let headings = ["alarm", "time", "caller", "dialled", "location", "callback", "told", "state"];
    table::write(&mut out, &headings, &rows, |place, heading| match alarms.get(place) {
        Some(alarm) if alarm.open && heading == "state" => ERROR,
        _ => Style::new(),
    })?;
    Ok(none)
}

fn who(alarm: &AlarmShown) -> String {
    let words = [alarm.caller.number.as_str(), alarm.caller.name.as_str()];
    let known: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if known.is_empty() { alarm.caller.address.clone() } else { known.join(" ") }
}

fn show(number: u64, place: &Where, json: bool) -> anyhow::Result<bool> {
    let alarm: AlarmShown = match understand(&ask(&place.data(), Method::GET, &format!("/alarms/{number}"))?)? {
        Ok(alarm) => alarm,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&alarm)?)?;
        return Ok(true);
    }
    let empty = String::new();
    for (name, value) in [
        ("caller", &who(&alarm)),
        ("endpoint", alarm.caller.endpoint.as_ref().unwrap_or(&empty)),
        ("phone at", &alarm.caller.address),
        ("dialled", &alarm.dialled),
        ("location", alarm.location.as_ref().unwrap_or(&empty)),
        ("address", alarm.address.as_ref().unwrap_or(&empty)),
        ("callback", &alarm.callback),
        ("trunk", alarm.trunk.as_ref().unwrap_or(&empty)),
        ("time", &alarm.at),
        ("call", &alarm.call_id),
    ] {
        writeln!(out, "{name:9} {value}")?;
    }
    match (&alarm.acknowledged_by, &alarm.acknowledged_at) {
        (Some(by), Some(at)) => writeln!(out, "{GOOD}acknowledged{GOOD:#} by {by}, {at}\n")?,
        _ if alarm.open => writeln!(out, "{ERROR}open{ERROR:#}      {HELP}holdfast alarm ack {number}{HELP:#}\n")?,
        _ => writeln!(out, "{WARNING}a test{WARNING:#}\n")?,
    }
    ways(&alarm.ways, &mut out)?;
    Ok(true)
}

fn acknowledge(numbers: &[u64], place: &Where, json: bool) -> anyhow::Result<bool> {
    let (data, mut out) = (place.data(), anstream::stdout());
    for number in numbers {
        let body = serde_json::to_vec(&By { by: by() })?;
        let done: AcknowledgedShown = match understand(&ask_with(&data, Method::POST, &format!("/alarms/{number}/acknowledge"), body)?)? {
            Ok(done) => done,
            Err(refused) => return refuse(&refused, json),
        };
        if json {
            writeln!(out, "{}", serde_json::to_string(&done)?)?;
            continue;
        }
        writeln!(out, "{GOOD}acknowledged{GOOD:#}  alarm {number}: {} dialled {}", who(&done.alarm), done.alarm.dialled)?;
        if !done.kept {
            writeln!(out, "  {WARNING}the disk does not have that: a restart would open it again{WARNING:#}")?;
        }
    }
    Ok(true)
}
