//! `holdfast endpoint import` of the settings files that phones export: what stands in them becomes endpoints and users of a running gateway.
//!
//! All files are read, compared with each other and with the directory, and the gateway is asked first what it would change. Then all of it is made or nothing, unless
//! `--skip-wrong` leaves wrong files out. Nothing is ever taken away: who has an endpoint already keeps it.

mod plan;
mod report;

use super::{
    directory::{Said, all, send},
    running::refuse,
    settings::{Source, find},
};
use crate::manage::{Edited, EndpointRow, UserRow, Wrong};
use anyhow::{bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plan::{File, Plan};
use report::Report;
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};
use switch::settings::{Settings, Statement};

/// Octets at the beginning of a file by which it is known.
const HEAD: u64 = 64 << 10;
/// Octets of settings texts that are sent in one go.
const TEXTS_MAX: usize = 32 << 20;
/// Fewer files need no bar.
const BAR_FROM: usize = 50;

/// How settings files are taken.
#[derive(Args, Debug)]
pub(super) struct Wishes {
    /// Of settings files: take those that are right, and leave out those that are wrong.
    #[arg(long)]
    skip_wrong: bool,
    /// Of settings files: take only who the phone is, and keep nothing else of the file.
    #[arg(long)]
    without_settings: bool,
    /// Of settings files: the licence pool of these endpoints.
    #[arg(long, value_name = "POOL")]
    licence: Option<String>,
    /// Of settings files: the location of these endpoints.
    #[arg(long)]
    location: Option<String>,
}

impl Wishes {
    /// Whether any of them is given.
    pub(super) const fn given(&self) -> bool {
        self.skip_wrong || self.without_settings || self.licence.is_some() || self.location.is_some()
    }
}

/// What a file is by what stands in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    /// A CSV file: its first line names the column `id`.
    Table,
    /// A phone's settings file: there are statements in it.
    Phone,
    Neither,
}

impl Is {
    /// The first line decides before all others: cells of a table may hold lines of settings files, but no settings file begins with a cell `id`. Whatever is taken for
    /// the wrong one is refused by its reader: a table needs a column `id`, a settings file the three lines that log a phone in.
    fn of(head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let first = head.split(|octet| *octet == b'\n').next().unwrap_or_default();
        if first.split(|octet| *octet == b',').any(names_id) {
            return Self::Table;
        }
        let states = |settings: Settings<'_>| settings.lines().any(|line| !matches!(line.statement, Statement::Comment | Statement::Label));
        if Settings::new(head).is_ok_and(states) { Self::Phone } else { Self::Neither }
    }
}

fn names_id(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\"")).unwrap_or(cell).eq_ignore_ascii_case(b"id")
}

/// The one CSV file that is meant; `None`: these are settings files and folders of them.
///
/// # Errors
/// When a file cannot be read or is neither, and when a CSV file is not alone.
pub(super) fn table(paths: &[PathBuf]) -> anyhow::Result<Option<&Path>> {
    for path in paths.iter().filter(|path| !path.is_dir()) {
        let is = head(path).map(|head| Is::of(&head)).map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", path.display()))?;
        let named = |extension: &str| path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension));
        match is {
            Is::Phone => {}
            // Its reader says what is wrong with it.
            Is::Neither if named("txt") => {}
            Is::Table | Is::Neither if is == Is::Table || named("csv") => {
                ensure!(paths.len() == 1, "{} is a CSV file: import it alone, by a command of its own", path.display());
                return Ok(Some(path));
            }
            Is::Table | Is::Neither => bail!(
                "{} is neither a CSV file (its first line names no column `id`) nor a phone's settings file (no line begins with `SET `)",
                path.display()
            ),
        }
    }
    Ok(None)
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Makes endpoints and users of settings files, or says what is wrong with them.
pub(super) fn import(paths: &[PathBuf], wishes: &Wishes, dry_run: bool, data: &Path, json: bool) -> anyhow::Result<bool> {
    let sources = find(paths, None)?;
    let bar = if json || sources.len() < BAR_FROM { ProgressBar::hidden() } else { ProgressBar::new(sources.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("reading {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    let mut files: Vec<File<'_>> = Vec::with_capacity(sources.len());
    for source in &sources {
        files.push(File::read(source, !wishes.without_settings));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let texts: usize = files.iter().map(File::octets).sum();
    ensure!(
        texts <= TEXTS_MAX,
        "the files hold {texts} octets of settings, {TEXTS_MAX} are taken in one go; import folder by folder, or --without-settings"
    );

    let (endpoints, users): (Vec<EndpointRow>, Vec<UserRow>) =
        match (all(data, "/endpoints", "", |_, _| {})?, all(data, "/users", "", |_, _| {})?) {
            (Ok(endpoints), Ok(users)) => (endpoints, users),
            (Err(refused), _) | (_, Err(refused)) => return refuse(&refused, json),
        };
    let mut plan = Plan::new(files, &endpoints, &users, wishes.licence.as_deref(), wishes.location.as_deref());
    let would = match ask(&mut plan, data, wishes.skip_wrong)? {
        Ok(would) => would,
        Err(refused) => return refuse(&refused, json),
    };
    let report = Report { json, dry_run: dry_run || would.is_none() };
    let Some(would) = would else { return report.show(&plan, None) };
    if dry_run || would.changes.is_empty() {
        return report.show(&plan, Some(&would));
    }
    match wait("the gateway keeps", &plan, || send(data, plan.edits(), false))? {
        Said::Done(done) => report.show(&plan, Some(&done)),
        Said::Refused(refused) => refuse(&refused, json),
        // Somebody else has changed the directory in between.
        Said::Wrong(wrong) => {
            take(&mut plan, wrong);
            Report { json, dry_run: true }.show(&plan, None)
        }
    }
}

/// Asks what would be changed; `None`: nothing may be, because of wrong files.
fn ask(plan: &mut Plan<'_>, data: &Path, skip_wrong: bool) -> anyhow::Result<Result<Option<Edited>, crate::manage::Refused>> {
    loop {
        match wait("the gateway checks", plan, || send(data, plan.edits(), true))? {
            Said::Done(would) => return Ok(Ok(Some(would).filter(|_| skip_wrong || plan.wrong() == 0))),
            Said::Refused(refused) => return Ok(Err(refused)),
            Said::Wrong(wrong) => {
                take(plan, wrong);
                if !skip_wrong {
                    return Ok(Ok(None));
                }
            }
        }
    }
}

/// Puts down what the gateway says to the files whose edits it is about; they are left out from now on.
fn take(plan: &mut Plan<'_>, wrong: Wrong) {
    // Before any file is left out: that changes the places of edits.
    let owners = plan.owners();
    for problem in wrong.problems {
        if let Some(file) = owners.get(problem.edit) {
            plan.refuse(*file, &problem);
        }
    }
}

/// Does something while something moves on the terminal.
fn wait<T>(what: &str, plan: &Plan<'_>, work: impl FnOnce() -> T) -> T {
    // It draws on standard error, and only where that is a terminal.
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(format!("{what} {} files", plan.right()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let done = work();
    spinner.finish_and_clear();
    done
}

#[cfg(test)]
mod tests;
