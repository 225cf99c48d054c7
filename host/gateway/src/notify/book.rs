//! Alarms on disk: `alarms.jsonl` in the data folder, one line for each state of an alarm, the last of which counts.
//!
//! Not in the store, whose trouble must not cost an alarm, and not in the decision record, which may be switched off. A thread writes and syncs; who raises
//! an alarm does not wait for it. When the disk fails, everything is written anew as soon as it is well again.

use super::alarm::Alarm;
use crate::{observe::Counters, record::files::read_lines};
use anyhow::Context as _;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// The file's name in the data folder.
const FILE: &str = "alarms.jsonl";
/// Changes that may wait to be written: with more, all alarms are written anew.
const QUEUE: usize = 1_024;
/// Octets after which the file is written anew, with one line for each alarm.
const LENGTH: u64 = 8 << 20;
/// How often a failed disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The alarms.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    last: u64,
    most: usize,
    pub(super) kept: BTreeMap<u64, Alarm>,
    by_call: HashMap<String, u64>,
}

impl Alarms {
    /// Whether the call of this Call-ID has raised one.
    pub(super) fn knows(&self, call_id: &str) -> bool {
        self.by_call.contains_key(call_id)
    }

    /// Takes a new one in and gives it its number. Returns those that had to go: tests and acknowledged ones first.
    pub(super) fn add(&mut self, mut alarm: Alarm) -> (u64, Vec<Alarm>) {
        self.last += 1;
        let number = self.last;
        alarm.number = number;
        self.insert(alarm);
        let mut gone = Vec::new();
        while self.kept.len() > self.most.max(1) {
            let closed = self.kept.iter().find(|(_, alarm)| !alarm.is_open() && alarm.number != number).map(|(number, _)| *number);
            let Some(first) = closed.or_else(|| self.kept.keys().next().copied()) else { break };
            if let Some(alarm) = self.kept.remove(&first) {
                self.by_call.remove(&alarm.call_id);
                gone.push(alarm);
            }
        }
        (number, gone)
    }

    fn insert(&mut self, alarm: Alarm) {
        self.last = self.last.max(alarm.number);
        self.by_call.insert(alarm.call_id.clone(), alarm.number);
        self.kept.insert(alarm.number, alarm);
    }
}

/// Alarms that all may look at.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Alarms>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An alarm has changed; whoever waits hears whether that is on disk.
type Change = (u64, Option<oneshot::Sender<bool>>);

/// Where changes of alarms are handed in.
#[derive(Debug)]
pub(super) struct Book {
    changes: SyncSender<Change>,
    behind: Arc<AtomicBool>,
}

impl Book {
    /// Reads the alarms of before, and starts the thread that writes. A file that cannot be read is set aside: alarms of now are worth more.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn open(folder: &Path, most: usize, counters: Arc<Counters>) -> anyhow::Result<(Self, Shared)> {
        let file = folder.join(FILE);
        let mut alarms = Alarms { most, ..Alarms::default() };
        if let Err(error) = read(&file, &mut alarms) {
            let aside = file.with_extension("unreadable");
            let moved = fs::rename(&file, &aside).is_ok();
            tracing::error!(
                moved,
                "alarms of before cannot be read from {}, which is kept as {}: {error}",
                file.display(),
                aside.display()
            );
        }
        let shared = Shared(Arc::new(Mutex::new(alarms)));
        let (changes, inbox) = sync_channel(QUEUE);
        let behind = Arc::new(AtomicBool::new(true));
        let writer = Writer { path: file, file: None, length: 0, alarms: shared.clone(), behind: Arc::clone(&behind), counters };
        std::thread::Builder::new()
            .name("alarms".to_owned())
            .spawn(move || writer.run(&inbox))
            .context("the thread that writes alarms could not be started")?;
        Ok((Self { changes, behind }, shared))
    }

    /// This alarm has changed. Does not wait.
    pub(super) fn write(&self, number: u64, done: Option<oneshot::Sender<bool>>) {
        if self.changes.try_send((number, done)).is_err() {
            self.behind.store(true, Relaxed);
        }
    }
}

fn read(file: &Path, alarms: &mut Alarms) -> io::Result<()> {
    let lines = read_lines(file, None, |number, line| {
        match serde_json::from_slice::<Alarm>(line) {
            Ok(alarm) => alarms.insert(alarm),
            // A crash may leave one.
            Err(error) => tracing::warn!("line {number} of {} is no alarm: {error}", file.display()),
        }
        true
    });
    match lines {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        lines => lines,
    }
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    alarms: Shared,
    /// The file does not have everything: it is written anew.
    behind: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Change>) {
        loop {
            if self.behind.load(Relaxed) || self.length > LENGTH {
                self.all();
            }
            match inbox.recv_timeout(RETRY) {
                Ok((number, done)) => {
                    let kept = self.one(number);
                    if let Some(done) = done {
                        // Who no longer waits has no answer to miss.
                        let _unheard = done.send(kept);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if self.behind.load(Relaxed) {
                        self.all();
                    }
                    return;
                }
            }
        }
    }

    fn one(&mut self, number: u64) -> bool {
        if self.behind.load(Relaxed) {
            return self.all();
        }
        let Some(line) = self.alarms.lock().kept.get(&number).map(line) else { return true };
        let written = match &mut self.file {
            Some(file) => line.and_then(|line| {
                file.write_all(&line)?;
                file.sync_data()?;
                Ok(line.len())
            }),
            None => return self.all(),
        };
        match written {
            Ok(octets) => {
                self.length += octets as u64;
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Writes every alarm into a new file, which then takes the place of the old one.
    fn all(&mut self) -> bool {
        // Before the alarms are looked at: what changes meanwhile has it written again.
        self.behind.store(false, Relaxed);
        let lines: io::Result<Vec<Vec<u8>>> = self.alarms.lock().kept.values().map(line).collect();
        let new = self.path.with_extension("new");
        let write = || -> io::Result<(File, u64)> {
            let lines = lines?.concat();
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&lines)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok((file, lines.len() as u64))
        };
        match write() {
            Ok((file, length)) => {
                (self.file, self.length) = (Some(file), length);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.file = None;
        self.behind.store(true, Relaxed);
        self.counters.limit("alarm-not-kept", || {
            format!(
                "alarms cannot be written to {}: {error}; they are told all the same, and would be forgotten by a restart",
                self.path.display()
            )
        });
    }
}

fn line(alarm: &Alarm) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(alarm)?;
    line.push(b'\n');
    Ok(line)
}
