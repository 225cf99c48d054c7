//! What became of each settings file: a line a file, what is wrong with it beneath, the sum; or JSON.

use super::{
    super::{ERROR, GOOD, HELP, WARNING},
    plan::{Becomes, File, Plan},
};
use crate::manage::Edited;
use anstyle::Style;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
};
use switch::settings::Severity;

/// The widest column of names.
const WIDEST: usize = 60;

pub(super) struct Report {
    pub(super) json: bool,
    /// Nothing was changed.
    pub(super) dry_run: bool,
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Added,
    Changed,
    Unchanged,
    /// Right, and not imported because others are wrong.
    Ready,
    Configured,
    Wrong,
}

impl Outcome {
    const fn word(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Added, false) => "added",
            (Self::Added, true) => "would add",
            (Self::Changed, false) => "changed",
            (Self::Changed, true) => "would change",
            (Self::Unchanged, _) => "unchanged",
            (Self::Ready, _) => "ready",
            (Self::Configured, _) => "configured",
            (Self::Wrong, _) => "wrong",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Wrong => ERROR,
            Self::Configured | Self::Ready => WARNING,
            Self::Added | Self::Changed | Self::Unchanged => GOOD,
        }
    }
}

impl Report {
    /// Shows what was or would be changed; `None`: nothing may be. Whether every file is right.
    pub(super) fn show(&self, plan: &Plan<'_>, edited: Option<&Edited>) -> anyhow::Result<bool> {
        let changes: HashMap<(&str, &str), &str> =
            edited.iter().flat_map(|edited| &edited.changes).map(|c| ((c.kind.as_str(), c.id.as_str()), c.what.as_str())).collect();
        let width = plan.files.iter().map(|file| file.source.name.to_string_lossy().chars().count()).max().unwrap_or(0).min(WIDEST);
        let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
        for file in &plan.files {
            let (outcome, what) = became(file, edited.is_some(), &changes);
            *outcomes.entry(outcome).or_default() += 1;
            if self.json { self.object(file, outcome, &what)? } else { self.line(file, outcome, &what, width)? }
        }
        self.sum(plan, &outcomes, edited)?;
        Ok(plan.wrong() == 0)
    }

    fn line(&self, file: &File<'_>, outcome: Outcome, what: &str, width: usize) -> anyhow::Result<()> {
        let mut out = anstream::stdout();
        let (style, word, name) = (outcome.style(), outcome.word(self.dry_run), file.source.name.to_string_lossy());
        let who = file.who.as_ref().map_or_else(String::new, |who| {
            let model = who.phone.model.as_deref().unwrap_or("-");
            let mac = who.phone.mac.as_deref().unwrap_or("-");
            format!("{model:4}  {mac:12}  {} at {}", who.endpoint, who.imported.extension)
        });
        let what = if what.is_empty() { String::new() } else { format!("  {HELP}{what}{HELP:#}") };
        writeln!(out, "{style}{word:12}{style:#}  {name:width$}  {who}{what}")?;
        for finding in file.findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
            let (style, word) = if finding.severity == Severity::Error { (ERROR, "error") } else { (WARNING, "warning") };
            let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
            writeln!(out, "              {style}{word}{style:#}  {}{line}: {}", file.source.path.display(), finding.reason)?;
            writeln!(out, "              {HELP}{}{HELP:#}", finding.remedy)?;
        }
        Ok(())
    }

    fn object(&self, file: &File<'_>, outcome: Outcome, what: &str) -> anyhow::Result<()> {
        let who = file.who.as_ref();
        let row = json!({
            "event": "file", "file": file.source.path.to_string_lossy(), "outcome": outcome.word(false), "what": what,
            "endpoint": who.map(|who| &who.endpoint), "username": who.map(|who| &who.imported.username),
            "user": who.map(|who| &who.user), "extension": who.map(|who| &who.imported.extension),
            "mac": who.and_then(|who| who.phone.mac.as_ref()), "model": who.and_then(|who| who.phone.model.as_ref()),
            "findings": file.findings,
        });
        Ok(writeln!(anstream::stdout(), "{row}")?)
    }

    fn sum(&self, plan: &Plan<'_>, outcomes: &BTreeMap<Outcome, usize>, edited: Option<&Edited>) -> anyhow::Result<()> {
        let mut out = anstream::stdout();
        let (files, ended) = (plan.files.len(), edited.map_or(0, |edited| edited.ended));
        if self.json {
            let counts: serde_json::Map<String, serde_json::Value> =
                outcomes.iter().map(|(outcome, count)| (outcome.word(false).to_owned(), (*count).into())).collect();
            let done = json!({"event": "done", "files": files, "outcomes": counts, "dry_run": self.dry_run, "ended": ended, "ok": plan.wrong() == 0});
            return Ok(writeln!(out, "{done}")?);
        }
        let counts: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.word(self.dry_run))).collect();
        let (style, word) = match (plan.wrong(), self.dry_run) {
            (0, false) => (GOOD, "done"),
            (_, false) => (WARNING, "done without the wrong ones"),
            (_, true) => (WARNING, "nothing was changed"),
        };
        writeln!(out, "\n{style}{word}{style:#}  {files} files: {}", counts.join(", "))?;
        let without_secrets = plan.files.iter().filter(|file| file.findings.iter().any(|finding| finding.rule == "left-out")).count();
        if without_secrets > 0 {
            writeln!(out, "      {HELP}{without_secrets} of them hold lines with further secrets, which are not kept{HELP:#}")?;
        }
        if edited.is_none() {
            writeln!(out, "      {HELP}mend the wrong ones or take them away; --skip-wrong imports the others{HELP:#}")?;
        }
        if ended > 0 {
            writeln!(out, "      registrations ended: {ended}")?;
        }
        Ok(())
    }
}

fn became(file: &File<'_>, known: bool, changes: &HashMap<(&str, &str), &str>) -> (Outcome, String) {
    let (Becomes::Endpoint, Some(who)) = (file.is, &file.who) else {
        return match file.is {
            Becomes::Configured => (Outcome::Configured, "the configuration file has this phone".to_owned()),
            Becomes::Endpoint | Becomes::Nothing => (Outcome::Wrong, String::new()),
        };
    };
    if !known {
        return (Outcome::Ready, String::new());
    }
    let endpoint = changes.get(&("endpoint", who.endpoint.as_str())).copied();
    let user = changes.get(&("user", who.user.as_str())).map(|what| format!("user {} {what}", who.user));
    let what: Vec<String> = endpoint.filter(|what| *what != "added").map(str::to_owned).into_iter().chain(user).collect();
    let outcome = match endpoint {
        Some("added") => Outcome::Added,
        Some(_) => Outcome::Changed,
        None if what.is_empty() => Outcome::Unchanged,
        None => Outcome::Changed,
    };
    (outcome, what.join("; "))
}
