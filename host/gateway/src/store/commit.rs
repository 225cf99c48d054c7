//! The thread that writes: many registrations, one transaction.
//!
//! Most of what a commit costs is the same for one row and for a hundred: the flush of the disk, and threads that wake each other. So the thread sleeps
//! while changes gather, is woken once by the first of them, and hands them to the database in as few statements as they need.

use super::{
    State,
    directory::{self, Entry},
    drills::{self, Begun, Drill, Report, Sightings},
    licences, open, restore,
};
use crate::{
    calls::Keep,
    config::{Limits, OnStoreFailure},
    observe::Counters,
};
use anyhow::Context as _;
use sip::Instant;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use std::{collections::BTreeMap, future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};
use switch::{
    directory::{
        self as site_directory, Directory, LeftOut,
        roster::{Roster, Subject},
    },
    licence::Mark,
    registrar::{Binding, Change},
    site::Site,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// Registrations in one transaction.
const TOGETHER: usize = 1024;
/// Rows in one statement. Each number of rows is a statement of its own, which the connection keeps prepared.
pub(super) const ROWS: usize = 64;
/// How long a registration may wait for a place in the queue before it is told that the store is too slow.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is to become of each binding: kept as it is now, or forgotten.
type Pending = BTreeMap<(Arc<str>, Arc<str>), Option<Arc<Binding>>>;

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), String>>,
}

/// What the directory and the licence pools want of the store.
enum Ask {
    Write {
        change: Arc<site_directory::roster::Change>,
        by: String,
        now: Instant,
        done: oneshot::Sender<Result<(), String>>,
    },
    Marks {
        marks: Vec<Mark>,
        done: oneshot::Sender<Result<(), String>>,
    },
    History {
        subject: Subject,
        most: u16,
        done: oneshot::Sender<Result<Vec<Entry>, String>>,
    },
    Sightings {
        done: oneshot::Sender<Result<Sightings, String>>,
    },
    BeginDrill {
        name: String,
        by: String,
        now: Instant,
        done: oneshot::Sender<Result<Begun, String>>,
    },
    EndDrill {
        number: i64,
        report: String,
        came: Vec<(String, Instant)>,
        now: Instant,
        done: oneshot::Sender<Result<Option<Drill>, String>>,
    },
    DrillReport {
        number: i64,
        done: oneshot::Sender<Result<Option<Report>, String>>,
    },
}

/// Questions of the directory that may wait: whoever asks waits for the answer, and so few ask at a time.
const ASKS: usize = 16;

/// How the store behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long changes are gathered into one transaction.
    pub wait: Duration,
    /// Registrations that may wait.
    pub queue: usize,
    /// What a registration is told that could not be written.
    pub on_failure: OnStoreFailure,
    /// Changes that are remembered while the disk fails.
    pub backlog: usize,
}

impl Options {
    /// The options that a configuration asks for.
    #[must_use]
    pub const fn new(limits: &Limits, on_failure: OnStoreFailure) -> Self {
        Self { wait: limits.store_wait, queue: limits.store_queue, on_failure, backlog: limits.site.bindings }
    }
}

/// The door to the store.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    asks: mpsc::Sender<Ask>,
}

/// A store that has been opened.
#[derive(Debug)]
pub struct Started {
    /// The door to it.
    pub store: Arc<Store>,
    /// Hears of the end of the thread that writes, when everything is written: it ends when the `Store` is dropped.
    pub ended: oneshot::Receiver<()>,
    /// The directory as the configuration describes it; the site's own has what the store keeps besides.
    pub file: Arc<Directory>,
    /// Endpoints and users that the store keeps.
    pub roster: Roster,
    /// What of it is not in force.
    pub left_out: Vec<LeftOut>,
    /// Bindings restored.
    pub restored: usize,
}

impl Store {
    /// Opens the store, puts what it has kept back into `site`, whose directory is that of the configuration, and starts the thread that writes.
    ///
    /// # Errors
    /// When the store cannot be opened or read, or the system gives no thread.
    pub async fn start(file: &Path, site: &Site, now: Instant, options: Options, counters: Arc<Counters>) -> anyhow::Result<Started> {
        let mut connection = open(file).await?;
        let roster = directory::load(&mut connection).await.context("the endpoints and users of the store cannot be read")?;
        let configured = site.directory();
        let mut left_out = Vec::new();
        if !roster.is_empty() {
            let joined;
            (joined, left_out) = configured.with_roster(&roster);
            left_out.iter().for_each(|left_out| tracing::error!("{left_out}"));
            site.replace_directory(joined, now);
        }
        let restored = restore(&mut connection, site, now).await?;
        site.ledger.recall(&licences::load(&mut connection).await.context("the licence pools of the store cannot be read")?, now);
        let (jobs, queue) = mpsc::channel(options.queue);
        let (asks, asked) = mpsc::channel(ASKS);
        let (tell, ended) = oneshot::channel();
        let writer = Writer { connection, options, counters, backlog: Pending::new(), failing: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("the store's thread cannot start")?;
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            runtime.block_on(writer.run(queue, asked));
            // Whoever does not wait for the end need not hear of it.
            tell.send(()).ok();
        })?;
        Ok(Started { store: Arc::new(Self { jobs, asks }), ended, file: configured, roster, left_out, restored })
    }

    /// Writes a change of the directory, `by` whom; returns when it is on disk. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it could not be written: then nothing of it is.
    pub fn write(&self, change: Arc<site_directory::roster::Change>, by: &str, now: Instant) -> Result<(), String> {
        self.ask(|done| Ask::Write { change, by: by.to_owned(), now, done })
    }

    /// Writes what is kept of licence pools in the place of what was; returns when it is on disk. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it could not be written: then what was is kept.
    pub fn write_marks(&self, marks: Vec<Mark>) -> Result<(), String> {
        self.ask(|done| Ask::Marks { marks, done })
    }

    /// The latest `most` entries of a history, newest first. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self, subject: Subject, most: u16) -> Result<Vec<Entry>, String> {
        self.ask(|done| Ask::History { subject, most, done })
    }

    /// When phones were last registered whose bindings have gone, and all drills. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sightings(&self) -> Result<Sightings, String> {
        self.ask(|done| Ask::Sightings { done })
    }

    /// Begins a drill, on disk before it returns, unless one runs. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it could not be written: then none has begun.
    pub fn begin_drill(&self, name: &str, by: &str, now: Instant) -> Result<Begun, String> {
        self.ask(|done| Ask::BeginDrill { name: name.to_owned(), by: by.to_owned(), now, done })
    }

    /// Ends the drill of that number with its `report`; `came`: who was registered in it, and when last. `None`: it has ended before. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it could not be written: then it runs on.
    pub fn end_drill(&self, number: i64, report: String, came: Vec<(String, Instant)>, now: Instant) -> Result<Option<Drill>, String> {
        self.ask(|done| Ask::EndDrill { number, report, came, now, done })
    }

    /// An ended drill with its report; `None`: there is none of that number, or it runs. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn drill_report(&self, number: i64) -> Result<Option<Report>, String> {
        self.ask(|done| Ask::DrillReport { number, done })
    }

    fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Ask) -> Result<T, String> {
        let (done, answer) = oneshot::channel();
        self.asks.blocking_send(ask(done)).map_err(|_| "the store is closed".to_owned())?;
        answer.blocking_recv().unwrap_or_else(|_| Err("the store ended before it had answered".to_owned()))
    }
}

impl Keep for Store {
    /// The changes take their place in the queue at once, so that two registrations of one phone are written in their order.
    fn keep(&self, changes: Vec<Change>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let (done, written) = oneshot::channel();
        let queued = self.jobs.try_send(Job { changes, done });
        let jobs = self.jobs.clone();
        Box::pin(async move {
            match queued {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(job)) => {
                    let late = |_| "the store is too slow: limit `store_queue`".to_owned();
                    jobs.send_timeout(job, PATIENCE).await.map_err(late)?;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Err("the store is closed".to_owned()),
            }
            written.await.unwrap_or_else(|_| Err("the store ended before it had written".to_owned()))
        })
    }
}

/// What the thread that writes does next.
enum Turn {
    /// So many registrations have come; none: all who could ask are gone.
    Jobs(usize),
    /// The directory asks.
    Ask(Ask),
}

struct Writer {
    connection: SqliteConnection,
    options: Options,
    counters: Arc<Counters>,
    /// What could not be written and is owed to the disk.
    backlog: Pending,
    failing: bool,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, mut asks: mpsc::Receiver<Ask>) {
        let mut jobs = Vec::with_capacity(TOGETHER);
        loop {
            let next = async {
                tokio::select! {
                    received = queue.recv_many(&mut jobs, TOGETHER) => Turn::Jobs(received),
                    Some(ask) = asks.recv() => Turn::Ask(ask),
                }
            };
            let turn = if self.backlog.is_empty() {
                next.await
            } else {
                // An empty batch after RETRY writes the backlog only.
                timeout(RETRY, next).await.unwrap_or(Turn::Jobs(usize::MAX))
            };
            match turn {
                Turn::Jobs(0) => break,
                Turn::Jobs(_) => {}
                Turn::Ask(ask) => {
                    self.answer(ask).await;
                    continue;
                }
            }
            if !jobs.is_empty() {
                // Not while waiting for more: each would wake the thread.
                sleep(self.options.wait).await;
                while jobs.len() < TOGETHER
                    && let Ok(job) = queue.try_recv()
                {
                    jobs.push(job);
                }
            }
            self.commit(&mut jobs).await;
        }
        if !self.backlog.is_empty() {
            self.commit(&mut jobs).await;
        }
        // Leaving without the write-ahead log's file behind is a courtesy; the next start reads it as well.
        self.connection.close().await.ok();
    }

    /// Answers the directory. Who no longer waits has no answer to miss.
    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Write { change, by, now, done } => {
                let written = directory::write(&mut self.connection, &change, &by, now).await;
                done.send(written.map_err(|error| format!("the store cannot be written: {error}"))).ok();
            }
            Ask::Marks { marks, done } => {
                let written = licences::write(&mut self.connection, &marks).await;
                done.send(written.map_err(|error| format!("the store cannot be written: {error}"))).ok();
            }
            Ask::History { subject, most, done } => {
                let read = directory::history(&mut self.connection, &subject, most.into()).await;
                done.send(read.map_err(|error| format!("the store cannot be read: {error}"))).ok();
            }
            Ask::Sightings { done } => {
                let read = drills::sightings(&mut self.connection).await;
                done.send(read.map_err(|error| format!("the store cannot be read: {error}"))).ok();
            }
            Ask::BeginDrill { name, by, now, done } => {
                let begun = drills::begin(&mut self.connection, &name, &by, now).await;
                done.send(begun.map_err(|error| format!("the store cannot be written: {error}"))).ok();
            }
            Ask::EndDrill { number, report, came, now, done } => {
                let ended = drills::end(&mut self.connection, number, &report, &came, now).await;
                done.send(ended.map_err(|error| format!("the store cannot be written: {error}"))).ok();
            }
            Ask::DrillReport { number, done } => {
                let read = drills::report(&mut self.connection, number).await;
                done.send(read.map_err(|error| format!("the store cannot be read: {error}"))).ok();
            }
        }
    }

    async fn commit(&mut self, jobs: &mut Vec<Job>) {
        let owed = self.backlog.clone();
        let mut pending = std::mem::take(&mut self.backlog);
        for change in jobs.iter().flat_map(|job| &job.changes) {
            match change {
                Change::Bound(binding) => {
                    pending.insert((Arc::clone(&binding.endpoint), Arc::clone(&binding.contact)), Some(Arc::clone(binding)))
                }
                Change::Unbound { endpoint, contact } => pending.insert((Arc::clone(endpoint), Arc::clone(contact)), None),
            };
        }
        let outcome = match write(&mut self.connection, &pending).await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the store can be written again; everything owed to it is on disk");
                }
                Ok(())
            }
            Err(error) => {
                self.failing = true;
                self.fail(pending, owed, &error)
            }
        };
        for job in jobs.drain(..) {
            // A registration that no longer waits has timed out.
            job.done.send(outcome.clone()).ok();
        }
    }

    /// What becomes of changes that could not be written. What was owed before is acknowledged, and stays owed.
    fn fail(&mut self, pending: Pending, owed: Pending, error: &sqlx::Error) -> Result<(), String> {
        match self.options.on_failure {
            OnStoreFailure::Refuse => {
                self.counters.limit("store-failed", || format!("the store cannot be written, registrations are refused (store.on_failure): {error}; free space on the disk or repair it"));
                Err(format!("the store cannot be written: {error}"))
            }
            OnStoreFailure::Accept if pending.len() <= self.options.backlog => {
                self.counters.limit("store-failed", || {
                    format!("the store cannot be written: registrations are accepted but would not survive a restart: {error}; free space on the disk or repair it")
                });
                self.backlog = pending;
                Ok(())
            }
            OnStoreFailure::Accept => {
                self.counters.limit("store-backlog", || {
                    format!("more than {} changes are owed to the disk: limit `bindings`", self.options.backlog)
                });
                self.backlog = owed;
                Err("too much is owed to the disk".to_owned())
            }
        }
    }
}

/// Writes everything in one transaction.
async fn write(connection: &mut SqliteConnection, pending: &Pending) -> Result<(), sqlx::Error> {
    let mut bound = Vec::with_capacity(pending.len());
    let mut gone = Vec::new();
    for ((endpoint, contact), binding) in pending {
        match binding {
            Some(binding) => {
                let state = serde_json::to_string(&State::of(binding)).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
                bound.push((&**endpoint, &**contact, state));
            }
            None => gone.push((&**endpoint, &**contact)),
        }
    }
    // One statement is a transaction by itself, and saves the database's thread two turns.
    if gone.is_empty() && bound.len() <= ROWS {
        return insert(connection, &bound).await;
    }
    let mut transaction = connection.begin().await?;
    for rows in bound.chunks(ROWS) {
        insert(&mut transaction, rows).await?;
    }
    delete(&mut transaction, &gone).await?;
    transaction.commit().await
}

async fn insert(connection: &mut SqliteConnection, rows: &[(&str, &str, String)]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO binding (endpoint, contact, state) ");
    query.push_values(rows, |mut row, (endpoint, contact, state)| {
        row.push_bind(*endpoint).push_bind(*contact).push_bind(state);
    });
    query.build().execute(connection).await.map(|_| ())
}

/// Forgets bindings, but for when their phones were last registered.
pub(super) async fn delete(connection: &mut SqliteConnection, keys: &[(&str, &str)]) -> Result<(), sqlx::Error> {
    for keys in keys.chunks(ROWS) {
        drills::keep_seen(connection, keys).await?;
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM binding WHERE (endpoint, contact) IN (");
        query.push_values(keys, |mut key, (endpoint, contact)| {
            key.push_bind(*endpoint).push_bind(*contact);
        });
        query.push(")").build().execute(&mut *connection).await?;
    }
    Ok(())
}
