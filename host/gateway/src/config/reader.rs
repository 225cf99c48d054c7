//! Reads TOML tables key by key and goes on after a mistake, so that one run names every problem of a file.
//!
//! Deriving `Deserialize` would stop at the first one; this reader walks the parsed document instead and knows the line of each value.

use super::problem::{Problem, Report, Severity};
use std::{cell::RefCell, ops::RangeInclusive};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
    value::{Datetime, Offset},
};

/// A value and the line where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// The file being read, and what was found wrong with it so far.
pub(super) struct Document<'t> {
    file: &'t str,
    /// Where each line ends: a site with ten thousand phones asks for many lines.
    line_ends: Vec<usize>,
    report: RefCell<Report>,
}

impl<'t> Document<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        Self { file, line_ends, report: RefCell::default() }
    }

    /// The file's name as shown.
    pub(super) const fn file(&self) -> &'t str {
        self.file
    }

    /// Notes a problem that keeps the gateway from starting.
    pub(super) fn error(&self, line: usize, key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) {
        self.note(Severity::Error, line, key.into(), reason.into(), remedy.into());
    }

    /// Notes a problem that does not.
    pub(super) fn warning(&self, line: usize, key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) {
        self.note(Severity::Warning, line, key.into(), reason.into(), remedy.into());
    }

    fn note(&self, severity: Severity, line: usize, key: String, reason: String, remedy: String) {
        let problem = Problem { severity, file: self.file.to_owned(), line: Some(line), key, reason, remedy };
        self.report.borrow_mut().problems.push(problem);
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|end| *end < offset)
    }

    /// Everything found wrong, in the order of the file.
    pub(super) fn finish(self) -> Report {
        let mut report = self.report.into_inner();
        report.problems.sort_by_key(|p| p.line);
        // The parser may stumble over one mistake several times.
        report.problems.dedup();
        report
    }
}

/// One table of the document.
#[derive(Clone, Copy)]
pub(super) struct Table<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    path: &'d str,
    line: usize,
}

/// A date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// A whole day, in UTC.
    Day(time::Date),
    /// A moment.
    Moment(time::UtcDateTime),
}

fn when(date: &Datetime) -> Option<When> {
    let day = date.date?;
    let day = time::Date::from_calendar_date(day.year.into(), day.month.try_into().ok()?, day.day).ok()?;
    let Some(of_day) = date.time else {
        return Some(When::Day(day)).filter(|_| date.offset.is_none());
    };
    let offset = match date.offset? {
        Offset::Z => time::UtcOffset::UTC,
        Offset::Custom { minutes } => time::UtcOffset::from_whole_seconds(i32::from(minutes) * 60).ok()?,
    };
    // A leap second is the one before it: nobody sets a licence by it.
    let of_day = time::Time::from_hms(of_day.hour, of_day.minute, of_day.second.unwrap_or(0).min(59)).ok()?;
    Some(When::Moment(day.with_time(of_day).assume_offset(offset).to_utc()))
}

/// The path of a key below `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl<'d> Table<'d> {
    pub(super) const fn new(document: &'d Document<'d>, table: &'d DeTable<'d>, path: &'d str, line: usize) -> Self {
        Self { document, table, path, line }
    }

    pub(super) const fn line(&self) -> usize {
        self.line
    }

    pub(super) fn path(&self, key: &str) -> String {
        join(self.path, key)
    }

    /// Names every key that is not one of `known`, and the nearest that is.
    pub(super) fn known(&self, known: &[&str]) {
        for key in self.table.keys() {
            let name: &str = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), *k)).min();
            let remedy = match nearest {
                // A third of the letters wrong is still a slip; more is another word.
                Some((distance, nearest)) if distance <= 1 + nearest.len() / 3 => format!("did you mean `{nearest}`?"),
                _ => format!("the keys here are {}", list(known)),
            };
            self.document.error(self.document.line(key.span().start), self.path(name), "unknown key", remedy);
        }
    }

    fn get(&self, key: &str) -> Option<(&'d DeValue<'d>, usize)> {
        let value: &Spanned<DeValue<'d>> = self.table.get(key)?;
        Some((value.get_ref(), self.document.line(value.span().start)))
    }

    fn wrong_type(&self, key: &str, line: usize, wanted: &str, value: &DeValue<'_>, example: &str) {
        self.document.error(
            line,
            self.path(key),
            format!("{wanted} is wanted here, not {}", kind(value)),
            format!("write it like `{example}`"),
        );
    }

    /// Text.
    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        let (value, line) = self.get(key)?;
        let DeValue::String(text) = value else {
            self.wrong_type(key, line, "text", value, &format!("{key} = \"...\""));
            return None;
        };
        Some(At { value: text.clone().into_owned(), line })
    }

    /// Text that must be there and not be empty.
    pub(super) fn required(&self, key: &str, example: &str) -> Option<At<String>> {
        if self.get(key).is_none() {
            self.document.error(self.line, self.path(key), "is missing", format!("add `{key} = \"{example}\"`"));
            return None;
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.document.error(text.line, self.path(key), "is empty", format!("write it like `{key} = \"{example}\"`"));
            return None;
        }
        Some(text)
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<String>>> {
        let (value, line) = self.get(key)?;
        let DeValue::Array(array) = value else {
            self.wrong_type(key, line, "a list of texts", value, &format!("{key} = [\"...\"]"));
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            let line = self.document.line(item.span().start);
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.clone().into_owned(), line }),
                other => self.wrong_type(key, line, "text", other, &format!("{key} = [\"...\"]")),
            }
        }
        Some(texts)
    }

    /// One text, or a list of them.
    pub(super) fn texts_or_text(&self, key: &str) -> Option<Vec<At<String>>> {
        match self.get(key)? {
            (DeValue::String(text), line) => Some(vec![At { value: text.clone().into_owned(), line }]),
            _ => self.texts(key),
        }
    }

    /// Whether the key is written at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>) -> Option<At<u64>> {
        let (value, line) = self.get(key)?;
        let DeValue::Integer(integer) = value else {
            self.wrong_type(key, line, "a whole number", value, &format!("{key} = {}", range.start()));
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n)) {
            Some(value) => Some(At { value, line }),
            None => {
                let reason = format!("{} is outside {} to {}", integer.as_str(), range.start(), range.end());
                self.document.error(line, self.path(key), reason, "choose a number within these bounds");
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let (value, line) = self.get(key)?;
        if let DeValue::Boolean(value) = value {
            return Some(*value);
        }
        self.wrong_type(key, line, "true or false", value, &format!("{key} = true"));
        None
    }

    /// A day, or a moment with its offset from UTC.
    pub(super) fn date(&self, key: &str) -> Option<At<When>> {
        let (value, line) = self.get(key)?;
        let DeValue::Datetime(date) = value else {
            self.wrong_type(key, line, "a date", value, &format!("{key} = 2027-06-30"));
            return None;
        };
        let when = when(date);
        if when.is_none() {
            let reason = format!("`{date}` is neither a day nor a moment with its offset from UTC");
            self.document.error(
                line,
                self.path(key),
                reason,
                format!("write it like `{key} = 2027-06-30` or `{key} = 2027-06-30T18:00:00Z`"),
            );
        }
        Some(At { value: when?, line })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.document.error(
                text.line,
                self.path(key),
                format!("`{}` is not one of the choices", text.value),
                format!("choose {}", alternatives(&words)),
            );
        }
        chosen
    }

    /// A table below this one: its contents and its line.
    pub(super) fn table(&self, key: &str) -> Option<(&'d DeTable<'d>, usize)> {
        let (value, line) = self.get(key)?;
        if let DeValue::Table(table) = value {
            return Some((table, line));
        }
        self.wrong_type(key, line, "a table", value, &format!("[{key}]"));
        None
    }

    /// An array of tables below this one.
    pub(super) fn tables(&self, key: &str) -> Vec<(&'d DeTable<'d>, usize)> {
        let Some((value, line)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(key, line, "a list of tables", value, &format!("[[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            let line = self.document.line(item.span().start);
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, line)),
                other => self.wrong_type(key, line, "a table", other, &format!("[[{key}]]")),
            }
        }
        tables
    }
}

/// `a`, `b` and `c`.
pub(super) fn list(words: &[&str]) -> String {
    joined(words, "and")
}

/// `a`, `b` or `c`.
pub(super) fn alternatives(words: &[&str]) -> String {
    joined(words, "or")
}

fn joined(words: &[&str], conjunction: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {conjunction} {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}
