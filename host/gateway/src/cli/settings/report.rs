//! What became of each file: a line a file, what all of them share at the end, or JSON.

use super::{
    super::{ERROR, GOOD, HELP, WARNING},
    files::Source,
};
use anstyle::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{collections::BTreeMap, io::Write as _, path::PathBuf};
use switch::settings::{Change, Finding, Imported, Phone, Severity, read};

/// Fewer files need no bar.
const BAR_FROM: usize = 50;

/// The widest column of names.
const WIDEST: usize = 60;

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Outcome {
    Written,
    WouldChange,
    Unchanged,
    Good,
    Warned,
    Faulty,
    Refused,
}

impl Outcome {
    /// Of a file that was only looked at.
    pub(super) fn looked_at(findings: &[Finding]) -> Self {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => Self::Faulty,
            Some(Severity::Warning) => Self::Warned,
            Some(Severity::Note) | None => Self::Good,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::WouldChange => "would change",
            Self::Unchanged => "unchanged",
            Self::Good => "ok",
            Self::Warned => "warnings",
            Self::Faulty => "errors",
            Self::Refused => "refused",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Faulty | Self::Refused => ERROR,
            Self::Warned | Self::WouldChange => WARNING,
            Self::Written | Self::Unchanged | Self::Good => GOOD,
        }
    }
}

/// A file and what became of it.
pub(super) struct Row<'a> {
    pub(super) source: &'a Source,
    pub(super) outcome: Outcome,
    /// What the directory would read in it; never shown but for the names.
    pub(super) imported: Option<Imported>,
    pub(super) phone: Phone,
    pub(super) changed: Vec<Change>,
    pub(super) written: Option<PathBuf>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Row<'a> {
    /// A file that could be read.
    pub(super) fn of(source: &'a Source, octets: &[u8], outcome: Outcome) -> Self {
        let imported = read(octets).ok();
        let named = Phone::of_name(&source.name.to_string_lossy());
        let phone = imported.as_ref().map(|imported| imported.phone.clone()).unwrap_or_default().with(named);
        Self { source, outcome, imported, phone, changed: Vec::new(), written: None, findings: Vec::new() }
    }

    /// A file that could not.
    pub(super) fn refused(source: &'a Source, findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::of(source, &[], Outcome::Refused) }
    }

    fn has_error(&self) -> bool {
        self.outcome == Outcome::Refused || self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// What many files share: how many, and the first of them.
struct Shared {
    severity: Severity,
    files: usize,
    place: String,
    reason: String,
    remedy: String,
}

/// The report while it is made.
pub(super) struct Report {
    json: bool,
    /// What is this bad is shown beneath its file; the rest is gathered.
    inline: Severity,
    width: usize,
    bar: ProgressBar,
    outcomes: BTreeMap<Outcome, usize>,
    erroneous: usize,
    shared: BTreeMap<&'static str, Shared>,
}

impl Report {
    pub(super) fn new(sources: &[Source], json: bool, inline: Severity) -> Self {
        let width = sources.iter().map(|source| source.name.to_string_lossy().chars().count()).max().unwrap_or(0).min(WIDEST);
        // It draws on standard error, and only where that is a terminal.
        let bar = if json || sources.len() < BAR_FROM { ProgressBar::hidden() } else { ProgressBar::new(sources.len() as u64) };
        if let Ok(style) = ProgressStyle::with_template("  {bar:40} {pos}/{len}  {eta} left") {
            bar.set_style(style);
        }
        Self { json, inline, width, bar, outcomes: BTreeMap::new(), erroneous: 0, shared: BTreeMap::new() }
    }

    /// Says what became of a file.
    pub(super) fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        *self.outcomes.entry(row.outcome).or_default() += 1;
        self.erroneous += usize::from(row.has_error());
        self.bar.inc(1);
        if self.json {
            return Ok(writeln!(anstream::stdout(), "{}", as_json(row))?);
        }
        self.gather(row);
        self.bar.suspend(|| self.show(row))
    }

    fn show(&self, row: &Row<'_>) -> anyhow::Result<()> {
        let mut out = anstream::stdout();
        let (style, word, width) = (row.outcome.style(), row.outcome.word(), self.width);
        let name = row.source.name.to_string_lossy();
        let model = row.phone.model.as_deref().unwrap_or("-");
        let mac = row.phone.mac.as_deref().unwrap_or("-");
        let extension = row.imported.as_ref().map_or("-", |imported| &imported.extension);
        let lines: Vec<String> = row.changed.iter().map(|change| change.line.to_string()).collect();
        let lines = if lines.is_empty() { String::new() } else { format!("  line {}", lines.join(", ")) };
        writeln!(out, "{style}{word:12}{style:#}  {name:width$}  {model:4}  {mac:12}  {extension}{lines}")?;
        for finding in row.findings.iter().filter(|finding| finding.severity >= self.inline) {
            let (style, word) = severity(finding.severity);
            let line = finding.line.map_or_else(String::new, |line| format!("line {line}: "));
            writeln!(out, "              {style}{word}{style:#}  {line}{}", finding.reason)?;
            writeln!(out, "              {HELP}{}{HELP:#}", finding.remedy)?;
        }
        Ok(())
    }

    fn gather(&mut self, row: &Row<'_>) {
        let mut rules: Vec<&'static str> = Vec::new();
        for finding in row.findings.iter().filter(|finding| finding.severity < self.inline) {
            let Finding { severity, line, rule, reason, remedy } = finding;
            let name = row.source.name.display();
            let shared = self.shared.entry(rule).or_insert_with(|| Shared {
                severity: *severity,
                files: 0,
                place: line.map_or_else(|| name.to_string(), |line| format!("{name}:{line}")),
                reason: reason.clone(),
                remedy: remedy.clone(),
            });
            if !rules.contains(rule) {
                shared.files += 1;
                rules.push(rule);
            }
        }
    }

    /// The end of the report; whether all is well.
    pub(super) fn end(self, dry: bool) -> anyhow::Result<bool> {
        self.bar.finish_and_clear();
        let good = self.erroneous == 0;
        let files: usize = self.outcomes.values().sum();
        let mut out = anstream::stdout();
        if self.json {
            let counts: serde_json::Map<String, serde_json::Value> =
                self.outcomes.iter().map(|(outcome, count)| (outcome.word().replace(' ', "-"), (*count).into())).collect();
            let done = json!({"event": "done", "files": files, "outcomes": counts, "with_errors": self.erroneous, "ok": good});
            writeln!(out, "{done}")?;
            return Ok(good);
        }
        let mut shared: Vec<&Shared> = self.shared.values().collect();
        shared.sort_by_key(|shared| std::cmp::Reverse((shared.severity, shared.files)));
        for Shared { severity: how, files, place, reason, remedy } in shared {
            let (style, word) = severity(*how);
            let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files, first") };
            writeln!(out, "\n{style}{word}{style:#}  {files}: {place}\n         {reason}\n         {HELP}{remedy}{HELP:#}")?;
        }
        let (style, word) = if good { (GOOD, "ok") } else { (ERROR, "not all is well") };
        let counts: Vec<String> = self.outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.word())).collect();
        let errors = if good { String::new() } else { format!("; {} with errors", self.erroneous) };
        writeln!(out, "\n{style}{word}{style:#}  {files} files: {}{errors}", counts.join(", "))?;
        if dry {
            writeln!(out, "{HELP}nothing is written: name a folder with --out, or say --overwrite to change the files themselves{HELP:#}")?;
        }
        Ok(good)
    }
}

fn severity(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Error => (ERROR, "error"),
        Severity::Warning => (WARNING, "warning"),
        Severity::Note => (HELP, "note"),
    }
}

fn as_json(row: &Row<'_>) -> serde_json::Value {
    let Row { source, outcome, imported, phone, changed, written, findings } = row;
    let changed: Vec<_> = changed.iter().map(|change| json!({"line": change.line, "inserted": change.inserted})).collect();
    json!({
        "event": "file", "file": source.path.to_string_lossy(), "outcome": outcome.word().replace(' ', "-"),
        "written": written.as_ref().map(|path| path.to_string_lossy()),
        "username": imported.as_ref().map(|imported| &imported.username), "extension": imported.as_ref().map(|imported| &imported.extension),
        "mac": phone.mac, "model": phone.model, "changed": changed, "findings": findings,
    })
}
