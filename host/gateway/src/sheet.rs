//! Endpoints and users as CSV tables (RFC 4180), in and out: what `holdfast endpoint import` reads and the REST API too.
//!
//! A table is read whole, and every line that is wrong is named; none is left out.

use crate::manage::{EndpointRow, Stands, UserRow};
use anyhow::{Context as _, bail};
use csv::{ErrorKind, Position, StringRecord};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, io::Read};
use switch::{
    directory::record::{Assigned, Edit, EndpointFields, Existing, LineKey, Password, UserFields},
    limits::kept,
};

/// A kind of table.
pub(crate) trait Table {
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
pub(crate) struct Cells<'a> {
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

    /// Seconds; an empty cell stands for 0.
    fn seconds(&self, column: &str, wrong: &mut Vec<(String, String)>) -> Option<u32> {
        match self.get(column)? {
            "" => Some(0),
            cell => cell
                .parse()
                .inspect_err(|_| wrong.push((format!("{column}: `{cell}` is no number"), "write seconds, e.g. `20`".to_owned())))
                .ok(),
        }
    }

    /// The lines of a cell.
    fn entries(&self, column: &str) -> Option<Vec<String>> {
        let cell = self.get(column)?;
        Some(cell.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }
}

/// `holdfast endpoint import` and `export`.
pub(crate) struct Endpoints;

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
            sealed: None,
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
pub(crate) struct Users;

impl Table for Users {
    const LIST: &'static str = "/users";
    const NOUN: &'static str = "user";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "name",
        "extension",
        "numbers",
        "enabled",
        "ring_seconds",
        "forward_always",
        "forward_busy",
        "forward_no_answer",
        "forward_unreachable",
        "dial_class",
    ];
    type Row = UserRow;

    fn edit(cells: &Cells<'_>, wrong: &mut Vec<(String, String)>) -> Edit {
        let fields = UserFields {
            name: cells.text("name"),
            extension: cells.some("extension").map(str::to_owned),
            numbers: cells.entries("numbers"),
            enabled: cells.enabled(wrong),
            ring_seconds: cells.seconds("ring_seconds", wrong),
            forward_always: cells.text("forward_always"),
            forward_busy: cells.text("forward_busy"),
            forward_no_answer: cells.text("forward_no_answer"),
            forward_unreachable: cells.text("forward_unreachable"),
            dial_class: cells.text("dial_class"),
        };
        Edit::User { id: cells.id(), existing: Existing::May, fields }
    }

    fn line(row: &UserRow) -> Option<Vec<String>> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let calls = &row.calls;
        Some(vec![
            row.id.clone(),
            row.name.clone(),
            row.extension.clone(),
            row.numbers.join("\n"),
            yes(row.enabled),
            calls.ring_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
            text(&calls.forward_always),
            text(&calls.forward_busy),
            text(&calls.forward_no_answer),
            text(&calls.forward_unreachable),
            text(&calls.dial_class),
        ])
    }
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// The edits of a table, each with the line where it begins.
pub(crate) struct Edits {
    pub(crate) edits: Vec<Edit>,
    pub(crate) lines: Vec<u64>,
}

/// What is wrong with a line of a table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WrongLine {
    pub(crate) line: u64,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

/// Reads a table; `seen` hears how many octets of it have been read.
pub(crate) fn read<T: Table>(file: impl Read, mut seen: impl FnMut(u64)) -> anyhow::Result<Result<Edits, Vec<WrongLine>>> {
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

/// Writes a table of these; how many lines it has.
pub(crate) fn write<'a, T: Table>(rows: impl IntoIterator<Item = &'a T::Row>) -> anyhow::Result<(Vec<u8>, usize)>
where
    T::Row: 'a,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(T::COLUMNS)?;
    let mut lines = 0;
    for line in rows.into_iter().filter_map(T::line) {
        writer.write_record(line)?;
        lines += 1;
    }
    Ok((writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?, lines))
}

#[cfg(test)]
mod tests;
