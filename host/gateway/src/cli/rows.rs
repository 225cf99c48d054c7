//! Endpoints and users as CSV files, in and out.
//!
//! A file is read whole, every line that is wrong is named, and the gateway is asked first what it would change: then all of it is made, or nothing.

use super::{
    GOOD, HELP, WARNING,
    directory::{Said, WrongLine, all, send, wrong_lines},
    running::refuse,
};
use crate::manage::{Edited, EndpointRow, Stands, UserRow};
use anyhow::{Context as _, bail, ensure};
use csv::{ErrorKind, Position, StringRecord};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};
use switch::{
    directory::record::{Assigned, Edit, EndpointFields, Existing, LineKey, Password, UserFields},
    limits::kept,
};

/// Octets of a file: more than the gateway takes in one go.
const FILE_MAX: u64 = 48 << 20;
/// Changes that a dry run shows to a person; a program gets all of them.
const SHOWN: usize = 50;

/// A kind of file.
pub(super) trait Table {
    /// Where the gateway lists them.
    const LIST: &'static str;
    /// What they are.
    const NOUN: &'static str;
    /// What may stand in the first line, in the order of an export.
    const COLUMNS: &'static [&'static str];
    /// One of them, as the gateway shows it.
    type Row: DeserializeOwned;
    /// What a line asks for, or what is wrong with it.
    fn edit(cells: &Cells<'_>, wrong: &mut Vec<(String, String)>) -> Edit;
    /// The line of one; `None` for one that is not changed by file.
    fn line(row: &Self::Row) -> Option<Vec<String>>;
}

/// The cells of one line by their columns.
pub(super) struct Cells<'a> {
    columns: &'a [Option<&'static str>],
    record: &'a StringRecord,
}

impl Cells<'_> {
    fn get(&self, column: &str) -> Option<&str> {
        let place = self.columns.iter().position(|known| *known == Some(column))?;
        self.record.get(place).map(str::trim)
    }

    fn text(&self, column: &str) -> Option<String> {
        self.get(column).map(str::to_owned)
    }

    fn some(&self, column: &str) -> Option<&str> {
        self.get(column).filter(|cell| !cell.is_empty())
    }

    fn id(&self) -> String {
        self.get("id").unwrap_or_default().to_owned()
    }

    fn enabled(&self, wrong: &mut Vec<(String, String)>) -> Option<bool> {
        match self.some("enabled")? {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            other => {
                wrong.push((format!("enabled: `{other}` is neither yes nor no"), "write `yes` or `no`".to_owned()));
                None
            }
        }
    }

    /// The lines of a cell.
    fn entries(&self, column: &str) -> Option<Vec<String>> {
        let cell = self.get(column)?;
        Some(cell.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }
}

/// `holdfast endpoint import` and `export`.
pub(super) struct Endpoints;

impl Table for Endpoints {
    const LIST: &'static str = "/endpoints";
    const NOUN: &'static str = "endpoint";
    const COLUMNS: &'static [&'static str] = &[
        "id", "kind", "model", "mac", "serial", "username", "password", "name", "enabled", "location", "licence", "keys", "settings",
        "users",
    ];
    type Row = EndpointRow;

    fn edit(cells: &Cells<'_>, wrong: &mut Vec<(String, String)>) -> Edit {
        let kind = cells.some("kind").and_then(|kind| match kind.parse() {
            Ok(kind) => Some(kind),
            Err(why) => {
                wrong.push((format!("kind: {why}"), "write one of them".to_owned()));
                None
            }
        });
        let keys = cells.entries("keys").map(|keys| {
            let read = |key: String| {
                let key = key.parse::<LineKey>();
                key.inspect_err(|why| {
                    wrong.push((format!("keys: {why}"), "write one key a line, e.g. `busy-lamp:1003=Workshop`".to_owned()))
                })
                .ok()
            };
            keys.into_iter().filter_map(read).collect()
        });
        let users = cells.entries("users").map(|users| {
            let assigned = |user: String| match user.strip_suffix(":silent") {
                Some(user) => Assigned { user: user.to_owned(), rings: false },
                None => Assigned { user, rings: true },
            };
            users.into_iter().map(assigned).collect()
        });
        let fields = EndpointFields {
            kind,
            model: cells.text("model"),
            mac: cells.text("mac"),
            serial: cells.text("serial"),
            username: cells.some("username").map(str::to_owned),
            password: cells.some("password").map(|password| Password(password.to_owned())),
            name: cells.text("name"),
            enabled: cells.enabled(wrong),
            location: cells.text("location"),
            licence: cells.text("licence"),
            keys,
            settings: cells.text("settings"),
            users,
        };
        Edit::Endpoint { id: cells.id(), existing: Existing::May, fields }
    }

    fn line(row: &EndpointRow) -> Option<Vec<String>> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let users = row.users.iter().map(|a| if a.rings { a.user.clone() } else { format!("{}:silent", a.user) });
        (row.stands == Stands::Store).then(|| {
            vec![
                row.id.clone(),
                row.kind.map_or_else(String::new, |kind| kind.token().to_owned()),
                text(&row.model),
                text(&row.mac),
                text(&row.serial),
                row.username.clone(),
                String::new(),
                row.own_name.clone(),
                yes(row.enabled),
                text(&row.location),
                text(&row.licence),
                row.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                row.settings.clone(),
                users.collect::<Vec<_>>().join("\n"),
            ]
        })
    }
}

/// `holdfast user import` and `export`.
pub(super) struct Users;

impl Table for Users {
    const LIST: &'static str = "/users";
    const NOUN: &'static str = "user";
    const COLUMNS: &'static [&'static str] = &["id", "name", "extension", "numbers", "enabled"];
    type Row = UserRow;

    fn edit(cells: &Cells<'_>, wrong: &mut Vec<(String, String)>) -> Edit {
        let fields = UserFields {
            name: cells.text("name"),
            extension: cells.some("extension").map(str::to_owned),
            numbers: cells.entries("numbers"),
            enabled: cells.enabled(wrong),
        };
        Edit::User { id: cells.id(), existing: Existing::May, fields }
    }

    fn line(row: &UserRow) -> Option<Vec<String>> {
        Some(vec![row.id.clone(), row.name.clone(), row.extension.clone(), row.numbers.join("\n"), yes(row.enabled)])
    }
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// The edits of a file, each with the line where it begins.
struct Edits {
    edits: Vec<Edit>,
    lines: Vec<u64>,
}

/// Reads a file; `seen` hears how many octets of it have been read.
fn read<T: Table>(file: impl Read, mut seen: impl FnMut(u64)) -> anyhow::Result<Result<Edits, Vec<WrongLine>>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(file);
    let headers = reader.headers().context("the first line cannot be read")?.clone();
    let mut wrong = Vec::new();
    let mut problem = |line: u64, reason: String, remedy: String| wrong.push(WrongLine { line, reason, remedy });
    let mut columns: Vec<Option<&'static str>> = Vec::new();
    for header in &headers {
        // Spreadsheets begin a file with a byte order mark.
        let name = header.trim_start_matches('\u{feff}').trim().to_lowercase();
        let known = T::COLUMNS.iter().copied().find(|known| *known == name);
        if known.is_none() {
            problem(1, format!("there is no column `{name}`"), format!("the columns are {}", T::COLUMNS.join(", ")));
        } else if columns.contains(&known) {
            problem(1, format!("the column `{name}` is there twice"), "name it once".to_owned());
        }
        columns.push(known);
    }
    if !columns.contains(&Some("id")) {
        problem(1, "there is no column `id`".to_owned(), format!("name the columns in the first line: {}", T::COLUMNS.join(", ")));
    }
    let mut read = Edits { edits: Vec::new(), lines: Vec::new() };
    let mut ids = BTreeSet::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) if matches!(error.kind(), ErrorKind::UnequalLengths { .. } | ErrorKind::Utf8 { .. }) => {
                let line = error.position().map_or(0, Position::line);
                problem(line, error.to_string(), "write as many cells as the first line names, in UTF-8".to_owned());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let (line, octet) = record.position().map_or((0, 0), |position| (position.line(), position.byte()));
        seen(octet);
        if read.edits.len() >= kept::EDITS {
            bail!("more than {} lines", kept::EDITS);
        }
        let cells = Cells { columns: &columns, record: &record };
        if !ids.insert(cells.id()) {
            problem(line, format!("the id `{}` has stood in a line before", cells.id()), "write one line for each".to_owned());
        }
        let mut found = Vec::new();
        read.edits.push(T::edit(&cells, &mut found));
        read.lines.push(line);
        found.into_iter().for_each(|(reason, remedy)| problem(line, reason, remedy));
    }
    Ok(if wrong.is_empty() { Ok(read) } else { Err(wrong) })
}

fn bar(octets: u64, template: &str) -> ProgressBar {
    // It draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::new(octets);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Sends edits, while something moves on the terminal; what is wrong with them by line.
fn ask(data: &Path, edits: &Edits, dry_run: bool, what: &str) -> anyhow::Result<Result<Said, Vec<WrongLine>>> {
    let spinner = bar(0, "{spinner} {msg} {elapsed}");
    spinner.set_message(format!("{what} {} lines", edits.edits.len()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let said = send(data, edits.edits.clone(), dry_run);
    spinner.finish_and_clear();
    Ok(match said? {
        Said::Wrong(wrong) => {
            let line = |edit: usize| edits.lines.get(edit).copied().unwrap_or_default();
            Err(wrong.problems.into_iter().map(|p| WrongLine { line: line(p.edit), reason: p.reason, remedy: p.remedy }).collect())
        }
        said => Ok(said),
    })
}

/// Makes what a file asks for, or says what is wrong with it.
pub(super) fn import<T: Table>(file: &Path, dry_run: bool, passwords: Option<&Path>, data: &Path, json: bool) -> anyhow::Result<bool> {
    let source = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let octets = source.metadata()?.len();
    ensure!(octets <= FILE_MAX, "{} has {octets} octets, {FILE_MAX} are taken in one go; split it", file.display());
    let reading = bar(octets, "reading {bar:40} {bytes}/{total_bytes}");
    let edits = read::<T>(source, |octet| reading.set_position(octet)).with_context(|| format!("{} cannot be read", file.display()))?;
    reading.finish_and_clear();
    let edits = match edits {
        Ok(edits) => edits,
        Err(wrong) => return wrong_lines(file, &wrong, json),
    };
    let would = match ask(data, &edits, true, "the gateway checks")? {
        Ok(Said::Done(would)) => would,
        Ok(Said::Refused(refused)) => return refuse(&refused, json),
        Ok(Said::Wrong(_)) => return Ok(false),
        Err(wrong) => return wrong_lines(file, &wrong, json),
    };
    if dry_run {
        return show(&edits, &would, true, json);
    }
    let unlocked = without_password(&edits, &would);
    let mut secrets = None;
    if unlocked > 0 {
        let path = passwords.with_context(|| {
            format!("{unlocked} new endpoints have no password; name a file for those that are made with --passwords, or write them into the column `password`")
        })?;
        // Before anything is changed: passwords that cannot be written down would be lost.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        secrets = Some((path, made.with_context(|| format!("{} cannot be made", path.display()))?));
    }
    let done = match ask(data, &edits, false, "the gateway keeps")? {
        Ok(Said::Done(done)) => done,
        Ok(Said::Refused(refused)) => return refuse(&refused, json),
        Ok(Said::Wrong(_)) => return Ok(false),
        Err(wrong) => return wrong_lines(file, &wrong, json),
    };
    if let Some((path, file)) = secrets {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(["id", "password"])?;
        for (id, password) in &done.passwords {
            writer.write_record([id, password])?;
        }
        writer
            .flush()
            .with_context(|| format!("{} cannot be written; `holdfast endpoint set ID --new-password` makes new ones", path.display()))?;
    }
    show(&edits, &done, false, json)
}

/// How many endpoints would be new and have no password in the file.
fn without_password(edits: &Edits, would: &Edited) -> usize {
    let added: BTreeSet<&str> = would.changes.iter().filter(|c| c.kind == "endpoint" && c.what == "added").map(|c| c.id.as_str()).collect();
    let bare = |edit: &&Edit| matches!(edit, Edit::Endpoint { id, fields, .. } if fields.password.is_none() && added.contains(id.as_str()));
    edits.edits.iter().filter(bare).count()
}

fn show(edits: &Edits, edited: &Edited, dry_run: bool, json: bool) -> anyhow::Result<bool> {
    let mut out = anstream::stdout();
    let added = edited.changes.iter().filter(|change| change.what == "added").count();
    let (changed, lines) = (edited.changes.len() - added, edits.edits.len());
    let unchanged = lines.saturating_sub(edited.changes.len());
    if json {
        let Edited { changes, ended, .. } = edited;
        let summary = json!({"dry_run": dry_run, "lines": lines, "added": added, "changed": changed, "unchanged": unchanged, "ended": ended, "changes": changes});
        writeln!(out, "{summary}")?;
        return Ok(true);
    }
    if dry_run {
        for change in edited.changes.iter().take(SHOWN) {
            writeln!(out, "  {} {}: {}", change.kind, change.id, change.what)?;
        }
        if edited.changes.len() > SHOWN {
            writeln!(out, "  {HELP}and {} more{HELP:#}", edited.changes.len() - SHOWN)?;
        }
    }
    let (style, word) = if dry_run { (WARNING, "nothing was changed") } else { (GOOD, "done") };
    let would = if dry_run { "would be " } else { "" };
    writeln!(out, "{style}{word}{style:#}  {lines} lines: {added} {would}added, {changed} {would}changed, {unchanged} as they are")?;
    if edited.ended > 0 {
        writeln!(out, "      registrations ended: {}", edited.ended)?;
    }
    Ok(true)
}

/// Writes them all as a file.
pub(super) fn export<T: Table>(file: Option<&Path>, data: &Path, json: bool) -> anyhow::Result<bool> {
    let asking = bar(0, "asking {bar:40} {pos}/{len}");
    let rows: Vec<T::Row> = match all(data, T::LIST, "", |seen, of| {
        asking.set_length(u64::try_from(of).unwrap_or(u64::MAX));
        asking.set_position(u64::try_from(seen).unwrap_or(u64::MAX));
    })? {
        Ok(rows) => rows,
        Err(refused) => return refuse(&refused, json),
    };
    asking.finish_and_clear();
    let lines: Vec<Vec<String>> = rows.iter().filter_map(T::line).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(T::COLUMNS)?;
    for line in &lines {
        writer.write_record(line)?;
    }
    let text = writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
    match file {
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
            let mut out = anstream::stdout();
            if json {
                writeln!(out, "{}", json!({"file": file, "lines": lines.len()}))?;
            } else {
                writeln!(out, "{GOOD}done{GOOD:#}  {} {}s in {}", lines.len(), T::NOUN, file.display())?;
            }
        }
        None => std::io::stdout().lock().write_all(&text)?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
