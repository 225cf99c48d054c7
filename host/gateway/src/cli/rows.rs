//! Endpoints and users as CSV files, in and out.
//!
//! A file is read whole, every line that is wrong is named, and the gateway is asked first what it would change: then all of it is made, or nothing.

use super::{
    GOOD, HELP, WARNING,
    directory::{Said, all, send, wrong_lines},
    running::refuse,
};
use crate::{
    manage::Edited,
    sheet::{Edits, Table, WrongLine, read, write},
};
use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};
use switch::directory::record::Edit;

/// Octets of a file: more than the gateway takes in one go.
const FILE_MAX: u64 = 48 << 20;
/// Changes that a dry run shows to a person; a program gets all of them.
const SHOWN: usize = 50;

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
    let (text, lines) = write::<T>(&rows)?;
    match file {
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
            let mut out = anstream::stdout();
            if json {
                writeln!(out, "{}", json!({"file": file, "lines": lines}))?;
            } else {
                writeln!(out, "{GOOD}done{GOOD:#}  {lines} {}s in {}", T::NOUN, file.display())?;
            }
        }
        None => std::io::stdout().lock().write_all(&text)?,
    }
    Ok(true)
}
