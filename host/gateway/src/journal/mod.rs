//! The journal of calls: what a gateway that is started again must know of the calls that were up when it was killed.
//!
//! Each shard appends to a file of its own below `calls/` in the data folder: one `write(2)` at the end of a turn of its loop, before what was said in that
//! turn goes on the wire. So whatever a phone has heard of us is known after a restart; only what is said again or found out by itself then (somebody rings, an
//! answer was acknowledged, a call is over) may wait 50 ms for more of the same. It is not synced to the disk: what the kernel has taken outlives the process
//! (a crash, `kill -9`, an upgrade), which is what is promised, but not the machine. A sync for each call would cost more than the whole call.
//!
//! The table of bindings is in the database, and the calls are not: a call changes three times within seconds and is over within minutes, nobody asks for it
//! by anything but its key, and a commit would have to be waited for. A log that is read once, at start, is all that is needed. Records are written by
//! `postcard` (a published format of serde, as small as hand-written code; `bitcode` is a little faster to write, and changes its format with its
//! versions).
//!
//! Calls end, the file grows: when it is long enough, the shard goes on in a new one, carries the calls that live over, a few in each turn, and removes the
//! old one. The same is done when the disk was full or slow: until then calls go on without being written down, and an alarm is counted.

mod file;
#[cfg(test)]
mod tests;

use crate::{calls::shard_of, observe::Counters};
use anyhow::Context as _;
use file::{Kind, Raw, Read};
use serde::{Deserialize, Serialize};
use sip::stack::Branch;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use switch::bridge::{Course, CourseOf, Facts, FactsOf, SendId};

/// A file is left for a new one when it is as long as this, and three times as long as what was carried over into it.
const LENGTH: u64 = 8 << 20;
/// A write that takes longer than this is a disk in trouble…
const SLOW: Duration = Duration::from_millis(50);
/// …which is left alone for this long, as is one that is full.
const REST: Duration = Duration::from_secs(5);

/// A call that was up.
#[derive(Debug)]
pub struct Saved {
    /// Its key.
    pub key: u64,
    /// What it is.
    pub facts: Facts,
    /// How far it had come.
    pub course: Course,
    /// The branches of INVITEs of ours.
    pub branches: Vec<(SendId, Branch)>,
    /// Dialogs (Call-ID, our tag) that it had given to another call when the process ended, and that had not been written down yet.
    pub given: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was found at start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// Calls that go on.
    pub calls: usize,
    /// Calls that were unreadable.
    pub lost: usize,
    /// Files that ended in the middle of a record.
    pub torn: usize,
    /// Files of another version, which were set aside.
    pub foreign: usize,
}

/// A shard's journal, and the calls of an earlier process that are its own.
pub type Own = (Journal, Vec<Saved>);

/// The journal of one shard.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    shard: usize,
    generation: u64,
    file: Option<File>,
    buffer: Vec<u8>,
    length: u64,
    /// How long what was carried over was.
    carried: u64,
    carrying: bool,
    /// Files that are not needed any more once everything is carried over.
    older: Vec<PathBuf>,
    rests_until: Option<Instant>,
    /// A write that takes longer than this is a disk in trouble.
    slow: Duration,
    counters: Arc<Counters>,
}

#[derive(Serialize)]
struct CourseRecord<'a>(&'a CourseOf<'a>, &'a [(SendId, Branch)]);

#[derive(Deserialize)]
struct CourseRead(Course, Vec<(SendId, Branch)>);

/// Opens the journals of `shards` shards: reads what earlier ones have left, however many they were, and writes it down anew. What comes back is each
/// shard's journal and the calls that are its own.
///
/// # Errors
/// When the folder cannot be made or read.
pub fn open(folder: &Path, shards: usize, counters: &Arc<Counters>) -> anyhow::Result<(Vec<Own>, Found)> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the folder {} for calls cannot be made", folder.display()))?;
    let mut found = Found::default();
    let (files, last) = files(folder)?;
    let mut raw = BTreeMap::new();
    let mut read = Vec::new();
    for path in files {
        match file::read(&path, &mut raw) {
            Ok(Read::Whole) => read.push(path),
            Ok(Read::Torn { good }) => {
                tracing::warn!("{} ends in the middle of a record after {good} octets, which was never acted upon", path.display());
                counters.count("journal-torn");
                found.torn += 1;
                read.push(path);
            }
            Ok(Read::Foreign) => {
                found.foreign += 1;
                let aside = path.with_extension("set-aside");
                tracing::error!(
                    "{} is not of this version of Holdfast and was set aside as {}: the calls in it are not known here and end when their phones hang up",
                    path.display(),
                    aside.display()
                );
                fs::rename(&path, &aside).with_context(|| format!("{} cannot be set aside", path.display()))?;
            }
            Err(error) => tracing::error!("{} cannot be read, the calls in it are lost: {error}", path.display()),
        }
    }
    let mut calls = Vec::with_capacity(raw.len());
    for (key, raw) in raw {
        match decode(key, &raw) {
            Some(saved) => calls.push((saved, raw)),
            None => {
                counters.count("journal-call-lost");
                found.lost += 1;
            }
        }
    }
    found.calls = calls.len();
    each_dialog_once(&mut calls);
    let mut own: Vec<Vec<(Saved, Raw)>> = (0..shards.max(1)).map(|_| Vec::new()).collect();
    for (saved, raw) in calls {
        let shard = shard_of(saved.facts.call().message.call_id(), own.len());
        if let Some(calls) = own.get_mut(shard) {
            calls.push((saved, raw));
        }
    }
    let mut journals = Vec::with_capacity(own.len());
    let mut all_written = true;
    for (shard, calls) in own.into_iter().enumerate() {
        let mut journal = Journal::new(folder.to_owned(), shard, last, Arc::clone(counters));
        let (calls, raw): (Vec<Saved>, Vec<Raw>) = calls.into_iter().unzip();
        journal.roll();
        for (saved, raw) in calls.iter().zip(raw) {
            file::push(&mut journal.buffer, Kind::Facts, saved.key, |buffer| buffer.extend_from_slice(&raw.facts));
            file::push(&mut journal.buffer, Kind::Course, saved.key, |buffer| buffer.extend_from_slice(&raw.course));
        }
        all_written &= journal.write();
        journal.carried_over();
        journals.push((journal, calls));
    }
    match journals.first_mut() {
        Some((first, _)) if !all_written => first.older = read,
        _ => remove(&read),
    }
    Ok((journals, found))
}

fn decode(key: u64, raw: &Raw) -> Option<Saved> {
    let facts = postcard::from_bytes(&raw.facts).ok()?;
    let CourseRead(course, branches) = postcard::from_bytes(&raw.course).ok()?;
    Some(Saved { key, facts, course, branches, given: Vec::new() })
}

/// A dialog that went from one call to another is written down by the one that took it, at once, and may still stand in the other, which is over. It is the
/// call's that has asked for something in it last: whoever takes a dialog does so with a new request.
fn each_dialog_once(calls: &mut [(Saved, Raw)]) {
    let mut last: HashMap<(Vec<u8>, Vec<u8>), (u32, u64)> = HashMap::new();
    for (Saved { key, course, .. }, _) in &*calls {
        for (call_id, tag, number) in course.dialogs() {
            let known = last.entry((call_id.to_vec(), tag.to_vec())).or_default();
            *known = (number, *key).max(*known);
        }
    }
    for (Saved { key, course, given, .. }, _) in calls {
        let dialogs = course.dialogs().map(|(call_id, tag, _)| (call_id.to_vec(), tag.to_vec()));
        given.extend(dialogs.filter(|dialog| last.get(dialog).is_some_and(|(_, owner)| owner != key)));
    }
}

/// The journals in a folder, oldest first, and the number of the last one.
fn files(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, u64)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))? {
        let path = entry.with_context(|| format!("the folder {} cannot be read", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == file::EXTENSION)
            && let Some(generation) = path.file_stem().and_then(|name| name.to_str()?.split('-').next()?.parse::<u64>().ok())
        {
            files.push((generation, path));
        }
    }
    files.sort();
    let last = files.last().map_or(0, |(generation, _)| *generation);
    Ok((files.into_iter().map(|(_, path)| path).collect(), last))
}

fn remove(paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("{} is not needed any more and cannot be removed: {error}", path.display());
        }
    }
}

impl Journal {
    fn new(folder: PathBuf, shard: usize, generation: u64, counters: Arc<Counters>) -> Self {
        Self {
            folder,
            shard,
            generation,
            file: None,
            buffer: Vec::new(),
            length: 0,
            carried: 0,
            carrying: false,
            older: Vec::new(),
            rests_until: None,
            slow: SLOW,
            counters,
        }
    }

    /// However long a write takes, it is waited for: for runs in virtual time, which must not depend on how busy the machine is.
    pub fn wait_for_the_disk(&mut self) {
        self.slow = Duration::MAX;
    }

    /// What a call is. A record beyond the limit is left out and counted: the call ends with the process.
    pub(crate) fn facts(&mut self, key: u64, facts: &FactsOf<'_>) {
        self.push(Kind::Facts, key, facts);
    }

    /// How far it has come.
    pub(crate) fn course(&mut self, key: u64, course: &CourseOf<'_>, branches: &[(SendId, Branch)]) {
        self.push(Kind::Course, key, &CourseRecord(course, branches));
    }

    /// It is over.
    pub(crate) fn gone(&mut self, key: u64) {
        file::push(&mut self.buffer, Kind::Gone, key, |_| {});
    }

    fn push(&mut self, kind: Kind, key: u64, what: &impl Serialize) {
        let mut written = Ok(());
        let fits = file::push(&mut self.buffer, kind, key, |buffer| {
            written = postcard::serialize_with_flavor(what, file::Onto(buffer));
        });
        if !fits || written.is_err() {
            self.counters.limit("journal-record", || "a call is too large to be written down and ends with the process".to_owned());
        }
    }

    /// Puts what was noted into the file. `false`: it is not there; the journal rests for a while, and then everything is to be written again.
    pub(crate) fn write(&mut self) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let Some(file) = &mut self.file else {
            self.buffer.clear();
            return false;
        };
        let began = Instant::now();
        let written = file.write_all(&self.buffer);
        self.length += self.buffer.len() as u64;
        if self.carrying {
            self.carried += self.buffer.len() as u64;
        }
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        let took = began.elapsed();
        if let Err(error) = written {
            self.rest("journal-failed", || format!("calls cannot be written down: {error}; they go on, but end with the process"));
            return false;
        }
        if took > self.slow {
            self.rest("journal-slow", || format!("writing calls down took {} ms; they go on, but end with the process", took.as_millis()));
            return false;
        }
        true
    }

    fn rest(&mut self, alarm: &'static str, what: impl FnOnce() -> String) {
        self.counters.limit(alarm, what);
        self.file = None;
        self.rests_until = Some(Instant::now() + REST);
    }

    /// Whether it writes at the moment. While it does not, nothing needs to be noted: everything is carried over afterwards.
    pub(crate) fn writes(&self) -> bool {
        self.file.is_some()
    }

    /// Goes on in a new file when that is due. `true`: the calls that live are to be noted anew, and then [`Journal::carried_over`].
    pub(crate) fn rolls(&mut self) -> bool {
        let due = match self.rests_until {
            Some(until) => Instant::now() >= until,
            None => !self.carrying && self.length >= LENGTH.max(3 * self.carried),
        };
        due && self.roll()
    }

    fn roll(&mut self) -> bool {
        let path = |generation: u64, shard: usize| self.folder.join(format!("{generation:012}-{shard}.{}", file::EXTENSION));
        let before = path(self.generation, self.shard);
        let next = path(self.generation + 1, self.shard);
        let opened = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&next).and_then(|mut file| {
            file.write_all(&file::HEADER)?;
            Ok(file)
        });
        match opened {
            Ok(file) => {
                if self.length > 0 || self.file.is_some() {
                    self.older.push(before);
                }
                self.generation += 1;
                (self.file, self.length, self.carried, self.carrying, self.rests_until) = (Some(file), 0, 0, true, None);
                true
            }
            Err(error) => {
                if next.exists() {
                    // What was made of it is not worth keeping, and stands in the way.
                    self.generation += 1;
                    self.older.push(next);
                }
                self.rest("journal-failed", || format!("calls cannot be written down: {error}; they go on, but end with the process"));
                false
            }
        }
    }

    /// Every call that lives stands in the file that is written to: older ones are not needed any more.
    pub(crate) fn carried_over(&mut self) {
        if self.carrying && self.file.is_some() {
            self.carrying = false;
            remove(&std::mem::take(&mut self.older));
        }
    }
}
