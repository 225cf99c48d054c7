//! Records of calls (call detail records): one JSON line for each call, in `records/` of the data folder, and the latest of them in the store.
//!
//! A shard hands over what is kept of a call when it ends ([`Observer::detailed`]), and waits for nobody. A thread writes lines; another brings them to the
//! store, however long that takes: a dead store costs the table its rows until it is well again, and the files nothing. While a record is not in its file,
//! the journal of calls still knows the call; should the process be killed in between, the next one writes the record. So each call has one, and only one.
//!
//! The files are those of the decision record (`record::files`), by size and number; besides, a file holds one day at most, and what is older than
//! the days that the configuration names is removed.

mod find;
mod line;
#[cfg(test)]
mod tests;

pub use find::{Wanted, find};
pub use line::{COLUMNS, CallLeg, CallLine, CallPolicy};

use crate::{
    calls::Observer,
    observe::Counters,
    priority::behind_the_calls,
    record::files::{self, Files},
    store::{CallRow, CallsKept, Store},
};
use anyhow::Context as _;
use sip::Instant;
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use switch::record::CallDetail;

/// The record's folder in the data folder.
pub const FOLDER: &str = "records";

/// What the files' names begin with.
const STEM: &str = "calls";
/// How long lines gather before they are written: less than a shard waits before it lets the journal forget a call.
const GATHER: Duration = Duration::from_millis(20);
/// How long the store waits for more rows after one: a transaction for each would cost more than its call, and nobody waits for the table.
const GATHER_ROWS: Duration = Duration::from_secs(1);
/// Records that are written, and brought to the store, together.
const TOGETHER: usize = 256;
/// How often the age of files is looked at.
const LOOK: Duration = Duration::from_secs(3_600);
/// How long the store is left alone that could not be written.
const REST: Duration = Duration::from_secs(5);
/// A file holds one day at most.
const DAY: Duration = Duration::from_secs(86_400);
/// Octets at the end of a file in which a record is looked for that was written just before the process ended.
const TAIL: u64 = 8 << 20;

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Octets of one file.
    pub file_bytes: u64,
    /// Files kept; the oldest is removed.
    pub files: u32,
    /// Days that a record is kept.
    pub days: u32,
    /// Records kept in the store.
    pub stored: u64,
    /// Records that may wait to be written, and again to be stored.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { file_bytes: 64 << 20, files: 400, days: 365, stored: 100_000, queue: 8_192 }
    }
}

/// How long the last records may take to be written: a disk that does not answer must not keep the process from its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Writes records of calls. Ends with the last one who shares it, after everything is written.
pub struct Records {
    details: Option<SyncSender<Arc<CallDetail>>>,
    counters: Arc<Counters>,
    /// Calls that were up when an earlier process ended, and whose records stand already.
    written: Mutex<HashSet<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Hangs up when the last of the threads has ended.
    ended: Mutex<Receiver<()>>,
}

impl Records {
    /// Starts the threads that write into `folder` and into `store`.
    ///
    /// # Errors
    /// When the folder or a thread cannot be had.
    pub fn start(folder: &Path, settings: Settings, store: Arc<Store>, counters: Arc<Counters>) -> anyhow::Result<Arc<Self>> {
        let files = Files::open(folder, STEM, settings.file_bytes, settings.files)
            .with_context(|| format!("the records of calls in {} cannot be written", folder.display()))?;
        let (ends, ended) = sync_channel::<()>(0);
        let also_ends = ends.clone();
        let (details, inbox) = sync_channel(settings.queue);
        let (rows, stored) = sync_channel(settings.queue);
        let writer = Writer { folder: folder.to_owned(), files, settings, rows, counters: Arc::clone(&counters), looked: None };
        let storer = Storer { store, settings, counters: Arc::clone(&counters) };
        let write = std::thread::Builder::new().name("records".to_owned()).spawn(move || {
            behind_the_calls();
            writer.run(&inbox);
            drop(ends);
        });
        let bring = std::thread::Builder::new().name("records-store".to_owned()).spawn(move || {
            behind_the_calls();
            storer.run(&stored);
            drop(also_ends);
        });
        let threads = [write, bring].into_iter().collect::<Result<Vec<_>, _>>().context("the threads that write records of calls")?;
        Ok(Arc::new(Self {
            details: Some(details),
            counters,
            written: Mutex::default(),
            threads: Mutex::new(threads),
            ended: Mutex::new(ended),
        }))
    }

    /// These calls (Call-ID and beginning) were up when an earlier process ended: none of them gets a second record.
    pub fn know(&self, folder: &Path, calls: &[(String, Instant)]) {
        if calls.is_empty() {
            return;
        }
        let calls: HashSet<String> = calls.iter().map(|(call_id, began)| line::id(call_id, *began)).collect();
        let mut written = HashSet::new();
        for file in files::list_of(folder, STEM).iter().rev().take(2) {
            let found = find::tail(file, TAIL, |line| {
                if calls.contains(&line.id) {
                    written.insert(line.id);
                }
            });
            if let Err(error) = found {
                tracing::error!("{} cannot be read, and a call of before may get two records: {error}", file.display());
            }
        }
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }
}

impl Observer for Records {
    fn detailed(&self, detail: &Arc<CallDetail>) {
        if detail.restored {
            let id = line::id(&detail.record.call_id, detail.record.began);
            if self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
                return;
            }
        }
        let sent = self.details.as_ref().map(|details| details.try_send(Arc::clone(detail)));
        if !matches!(sent, Some(Ok(()))) {
            self.counters.limit("call-not-recorded", || {
                "the record of a call is lost: too many wait to be written (limit `records_queue`)".to_owned()
            });
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        drop(self.details.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(FAREWELL);
        if ended == Err(RecvTimeoutError::Timeout) {
            let seconds = FAREWELL.as_secs();
            return tracing::warn!("the last records of calls were not written within {seconds} s: the disk does not answer");
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that wrote records of calls had ended by itself");
            }
        }
    }
}

/// The thread that writes lines.
struct Writer {
    folder: PathBuf,
    files: Files,
    settings: Settings,
    rows: SyncSender<CallRow>,
    counters: Arc<Counters>,
    /// When the age of files was looked at last.
    looked: Option<SystemTime>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Arc<CallDetail>>) {
        self.look();
        // What an earlier process had written and not brought to the store.
        self.bring_again();
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(first) => {
                    std::thread::sleep(GATHER);
                    let details: Vec<_> = std::iter::once(first).chain(inbox.try_iter()).take(TOGETHER).collect();
                    self.write(details);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
        }
    }

    /// Writes records; then, and not before, their calls may be forgotten.
    fn write(&mut self, details: Vec<Arc<CallDetail>>) {
        let mut rows = Vec::with_capacity(details.len());
        let mut write = || -> std::io::Result<()> {
            for detail in &details {
                let line = CallLine::from(&**detail);
                let text = serde_json::to_string(&line)?;
                self.files.make_room(text.len() + 1)?;
                self.files.write(text.as_bytes())?;
                self.files.write(b"\n")?;
                rows.push(CallRow { id: line.id, at: detail.record.began.unix_micros(), record: text });
            }
            self.files.flush()
        };
        if let Err(error) = write() {
            self.counters
                .limit("call-not-recorded", || format!("records of calls cannot be written to {}: {error}", self.folder.display()));
        }
        drop(details);
        for row in rows {
            self.bring(row);
        }
    }

    fn bring(&self, row: CallRow) {
        if let Err(TrySendError::Full(_)) = self.rows.try_send(row) {
            self.counters.limit("call-not-stored", || {
                "the record of a call stands in its file and not in the store: too many wait for that (limit `records_queue`)".to_owned()
            });
        }
    }

    fn bring_again(&self) {
        let newest = files::list_of(&self.folder, STEM).pop();
        let Some(file) = newest else { return };
        let mut rows = Vec::new();
        let read = find::tail(&file, TAIL, |line| {
            if let (Some(at), Ok(record)) = (line::micros(&line.began), serde_json::to_string(&line)) {
                rows.push(CallRow { id: line.id, at, record });
            }
        });
        if let Err(error) = read {
            tracing::warn!("{} cannot be read: {error}", file.display());
        }
        let most = self.settings.queue / 2;
        rows.drain(..rows.len().saturating_sub(most));
        rows.into_iter().for_each(|row| self.bring(row));
    }

    /// Begins a new file each day, and removes those that are too old.
    fn look(&mut self) {
        let now = SystemTime::now();
        if self.looked.is_some_and(|looked| now.duration_since(looked).is_ok_and(|since| since < LOOK)) {
            return;
        }
        self.looked = Some(now);
        if let Err(error) = self.age(now) {
            tracing::warn!("old records of calls in {} cannot be removed: {error}", self.folder.display());
        }
    }

    fn age(&mut self, now: SystemTime) -> std::io::Result<()> {
        let files = files::list_of(&self.folder, STEM);
        if let Some(current) = files.last() {
            let mut first = None;
            files::read_lines(current, None, |_, line| {
                first = serde_json::from_slice::<CallLine>(line).ok().and_then(|line| line::micros(&line.ended));
                first.is_none()
            })?;
            let begun = first.map(|micros| UNIX_EPOCH + Duration::from_micros(micros));
            if begun.is_some_and(|begun| now.duration_since(begun).is_ok_and(|age| age >= DAY)) {
                self.files.turn()?;
            }
        }
        let most = DAY.saturating_mul(self.settings.days);
        // The newest stays: it is written to.
        for file in files::list_of(&self.folder, STEM).iter().rev().skip(1) {
            if now.duration_since(fs::metadata(file)?.modified()?).is_ok_and(|age| age > most) {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// The thread that brings lines to the store.
struct Storer {
    store: Arc<Store>,
    settings: Settings,
    counters: Arc<Counters>,
}

impl Storer {
    fn run(self, inbox: &Receiver<CallRow>) {
        while let Ok(first) = inbox.recv() {
            let mut rows = vec![first];
            gather(inbox, &mut rows);
            while let Err(why) = self.store.write_calls(rows.clone(), self.kept()) {
                self.counters
                    .limit("call-store-failed", || format!("records of calls are not in the store yet, only in their files: {why}"));
                if !self.rest(inbox, &mut rows) {
                    return;
                }
            }
        }
    }

    /// Gathers what comes while the store is left alone. `false`: the gateway ends, and does not wait for a dead store; the next start brings them again.
    fn rest(&self, inbox: &Receiver<CallRow>, rows: &mut Vec<CallRow>) -> bool {
        let until = std::time::Instant::now() + REST;
        loop {
            match inbox.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(row) if rows.len() < self.settings.queue => rows.push(row),
                Ok(_) => self.counters.limit("call-not-stored", || "a record of a call will stand in its file only".to_owned()),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn kept(&self) -> CallsKept {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = now.saturating_sub(DAY.saturating_mul(self.settings.days));
        CallsKept { most: self.settings.stored, since: u64::try_from(since.as_micros()).unwrap_or(0) }
    }
}

/// What comes soon after a row goes with it.
fn gather(inbox: &Receiver<CallRow>, rows: &mut Vec<CallRow>) {
    let until = std::time::Instant::now() + GATHER_ROWS;
    while rows.len() < TOGETHER
        && let Ok(row) = inbox.recv_timeout(until.saturating_duration_since(std::time::Instant::now()))
    {
        rows.push(row);
    }
}
