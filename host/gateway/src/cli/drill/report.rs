//! Which phones would survive, as a table or for a program.

use super::super::{ERROR, GOOD, HELP, WARNING, table};
use crate::manage::{DrillPage, DrillRow, DrillShown, Failing, Refused};
use anstyle::Style;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write as _};

const HEADINGS: [&str; 9] = ["id", "extension", "known", "enabled", "licensed", "settings", "seen", "drill", "survives"];
/// Files that are named to a person.
const NAMED: usize = 3;

/// A time as people read it.
pub(super) fn shown(at: &str) -> String {
    at.replace('T', " ").replace('Z', " UTC")
}

/// Shows them; whether every phone would survive.
pub(super) fn show(page: &DrillPage, failing: bool, strange: &[String], json: bool) -> anyhow::Result<bool> {
    let mut causes: BTreeMap<Failing, usize> = BTreeMap::new();
    let mut survive = 0;
    for row in &page.rows {
        let fails = row.failing();
        survive += usize::from(fails.is_empty());
        fails.into_iter().for_each(|failing| *causes.entry(failing).or_default() += 1);
    }
    // Of no phones it cannot be said that they survive.
    let good = survive == page.rows.len() && survive > 0;
    let rows: Vec<&DrillRow> = page.rows.iter().filter(|row| !failing || !row.failing().is_empty()).collect();
    let mut out = anstream::stdout();
    if json {
        let phones: Vec<Value> = rows.iter().map(|row| object(row)).collect();
        let causes: BTreeMap<&str, usize> = causes.iter().map(|(failing, count)| (token(*failing), *count)).collect();
        let all = json!({
            "drill": page.drill, "controllers": page.controllers, "phones": phones, "survive": survive, "of": page.rows.len(), "failing": causes,
            "strange_files": strange, "ok": good,
        });
        writeln!(out, "{all}")?;
        return Ok(good);
    }
    if let Some(drill) = &page.drill {
        writeln!(out, "{HELP}{}{HELP:#}\n", heading(drill))?;
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, page.drill.as_ref())).collect();
    table::write(&mut out, &HEADINGS, &cells, |place, heading| rows.get(place).map_or_else(Style::new, |row| style(row, heading)))?;
    let (style, survived) =
        (if good { GOOD } else { ERROR }, if page.drill.is_some() { "survived" } else { "would survive a loss of their cloud" });
    let survived = if page.drill.as_ref().is_some_and(|drill| drill.ended.is_none()) { "survive so far" } else { survived };
    writeln!(out, "\n{style}{survive} of {} phones {survived}{style:#}", page.rows.len())?;
    for (failing, count) in causes {
        let Refused { reason, remedy } = failing.into();
        writeln!(out, "  {WARNING}{count}{WARNING:#} {reason}\n      {HELP}{remedy}{HELP:#}")?;
    }
    if page.controllers.is_empty() {
        writeln!(
            out,
            "  {HELP}whether settings files lead here is not known: name the address that phones use with --controller HOST{HELP:#}"
        )?;
    } else if page.rows.iter().any(|row| row.known && row.carries.is_none()) {
        let ours = page.controllers.join(" or ");
        writeln!(
            out,
            "  {HELP}`?`: no settings file is known; name the folder that has them with --settings. They lead here with {ours}{HELP:#}"
        )?;
    }
    if !strange.is_empty() {
        let some = strange.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        writeln!(out, "  {WARNING}{}{WARNING:#} files of which it cannot be told whose they are: {some}", strange.len())?;
    }
    Ok(good)
}

fn heading(drill: &DrillShown) -> String {
    let name = if drill.name.is_empty() { String::new() } else { format!(" `{}`", drill.name) };
    let ended = drill.ended.as_ref().map_or_else(|| "runs".to_owned(), |ended| format!("until {}", shown(ended)));
    format!("drill {}{name} by {}, since {}, {ended}", drill.number, drill.by, shown(&drill.began))
}

const fn token(failing: Failing) -> &'static str {
    match failing {
        Failing::Unknown => "unknown",
        Failing::Disabled => "disabled",
        Failing::Unlicensed => "unlicensed",
        Failing::Settings => "settings",
        Failing::NeverSeen => "never-seen",
        Failing::Absent => "absent",
    }
}

fn object(row: &DrillRow) -> Value {
    let failing: Vec<&str> = row.failing().into_iter().map(token).collect();
    let mut object = json!(row);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("survives".to_owned(), failing.is_empty().into());
        fields.insert("failing".to_owned(), failing.into());
    }
    object
}

fn cells(row: &DrillRow, drill: Option<&DrillShown>) -> Vec<String> {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let at = |at: &Option<String>| at.as_ref().map_or_else(|| "never".to_owned(), |at| shown(at));
    let ended = drill.is_some_and(|drill| drill.ended.is_some());
    vec![
        row.id.clone(),
        row.extension.clone().unwrap_or_else(|| "-".to_owned()),
        yes(row.known),
        match (row.known, &row.trouble) {
            (false, _) => "-".to_owned(),
            (true, Some(_)) => "not in force".to_owned(),
            (true, None) => yes(row.enabled),
        },
        match (&row.pool, &row.unlicensed) {
            _ if !row.known => "-".to_owned(),
            (_, Some(_)) => "no".to_owned(),
            (Some(pool), None) => pool.clone(),
            (None, None) => "not counted".to_owned(),
        },
        row.carries.map_or_else(|| "?".to_owned(), yes),
        if row.registered && !ended { "now".to_owned() } else { at(&row.seen) },
        match row.came {
            Some(true) => "came".to_owned(),
            Some(false) => "absent".to_owned(),
            None => at(&row.drilled),
        },
        yes(row.failing().is_empty()),
    ]
}

fn style(row: &DrillRow, heading: &str) -> Style {
    let of = |failing: Failing| if row.failing().contains(&failing) { ERROR } else { Style::new() };
    match heading {
        "known" => of(Failing::Unknown),
        "enabled" => of(Failing::Disabled),
        "licensed" => of(Failing::Unlicensed),
        "settings" => of(Failing::Settings),
        "seen" => of(Failing::NeverSeen),
        "drill" => of(Failing::Absent),
        "survives" if row.failing().is_empty() => GOOD,
        "survives" => ERROR,
        _ => Style::new(),
    }
}
