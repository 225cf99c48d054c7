//! The thread that writes: many registrations, one transaction.
//!
//! Most of what a commit costs is the same for one row and for a hundred: the flush of the disk, and threads that wake each other. So the thread sleeps
//! while changes gather, is woken once by the first of them, and hands them to the database in as few statements as they need.
//!
//! A write that fails closes the file. From then on it is opened and written again once a second; until that succeeds, every change is owed to the disk.

use super::{
    calls::{self, CallRow, CallsKept, CallsWanted},
    commit::Options,
    directory::{self, Entry},
    drills::{self, Begun, Drill, Report, Sightings},
    file,
    gather::Gather,
    licences,
    owed::Owed,
    tolls::{self, Gone},
    trouble::{Health, Kind, Trouble},
};
use crate::{config::Degraded, observe::Counters};
use sip::Instant;
use sqlx::{Connection as _, SqliteConnection};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use switch::{
    directory::roster::{self, Subject},
    licence::Mark,
    registrar::Change,
    site::Site,
    toll::Balance,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

/// Registrations in one transaction.
const TOGETHER: usize = 1024;
/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often an alarm is repeated in the log.
const REMIND: Duration = Duration::from_secs(60);

/// The changes of one registration.
pub(super) struct Job {
    pub(super) changes: Vec<Change>,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// What the directory, the licence pools, the accounts of calls to the outside and drills want of the store.
pub(super) enum Ask {
    Write {
        change: Arc<roster::Change>,
        by: String,
        now: Instant,
        done: oneshot::Sender<Result<(), String>>,
    },
    Marks {
        marks: Vec<Mark>,
        done: oneshot::Sender<Result<(), String>>,
    },
    Balances {
        balances: Vec<Balance>,
        gone: Gone,
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
    WriteCalls {
        rows: Vec<CallRow>,
        kept: CallsKept,
        done: oneshot::Sender<Result<(), String>>,
    },
    Calls {
        wanted: CallsWanted,
        done: oneshot::Sender<Result<Vec<String>, String>>,
    },
}

/// What the thread that writes does next.
enum Turn {
    /// So many registrations have come; none: all who could ask are gone.
    Jobs(usize),
    /// The directory asks.
    Ask(Ask),
}

pub(super) struct Writer {
    file: PathBuf,
    /// `None` while there is trouble.
    connection: Option<SqliteConnection>,
    site: Arc<Site>,
    options: Options,
    gather: Gather,
    counters: Arc<Counters>,
    health: Health,
    renew: watch::Sender<u64>,
    owed: Owed,
    /// Whether everything that the file has is in memory.
    complete: bool,
    /// Whether the file is to be told everything when it can be written: it is another one than that which was read.
    foreign: bool,
    /// A damaged file that was set aside, of which what only the disk has is taken over.
    rescue: Option<PathBuf>,
    tried: Option<tokio::time::Instant>,
    reminded: Option<(Kind, tokio::time::Instant)>,
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "the parts of the one thread that writes, put together in one place")]
    pub(super) const fn new(
        file: PathBuf,
        connection: Option<SqliteConnection>,
        site: Arc<Site>,
        options: Options,
        counters: Arc<Counters>,
        health: Health,
        renew: watch::Sender<u64>,
        owed: Owed,
        complete: bool,
    ) -> Self {
        // What is opened later may be another file, or the same without what only memory has.
        let foreign = connection.is_none();
        let gather = Gather::new(options.wait);
        Self {
            file,
            connection,
            site,
            options,
            gather,
            counters,
            health,
            renew,
            owed,
            complete,
            foreign,
            rescue: None,
            tried: None,
            reminded: None,
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>, mut asks: mpsc::Receiver<Ask>) {
        let mut jobs = Vec::with_capacity(TOGETHER);
        if !self.owed.is_empty() {
            self.commit(&mut jobs, &queue).await;
        }
        loop {
            let next = async {
                tokio::select! {
                    received = queue.recv_many(&mut jobs, TOGETHER) => Turn::Jobs(received),
                    Some(ask) = asks.recv() => Turn::Ask(ask),
                }
            };
            let turn = if self.connection.is_some() && self.owed.is_empty() && !self.health.is_hanging() {
                next.await
            } else {
                // An empty batch after RETRY writes what is owed only.
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
                sleep(self.gather.wait()).await;
                while jobs.len() < TOGETHER
                    && let Ok(job) = queue.try_recv()
                {
                    jobs.push(job);
                }
                self.gather.came(jobs.len());
            }
            self.commit(&mut jobs, &queue).await;
        }
        if !self.owed.is_empty() {
            self.tried = None;
            self.commit(&mut jobs, &queue).await;
        }
        if let Some(connection) = self.connection {
            // Leaving without the write-ahead log's file behind is a courtesy; the next start reads it as well.
            connection.close().await.ok();
        }
    }

    /// Answers the directory. Who no longer waits has no answer to miss.
    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Write { change, by, now, done } => {
                let most = self.options.history;
                let written = self.asked(async |connection| directory::write(connection, &change, &by, now, most).await).await;
                if matches!(written, Ok(Ok(forgotten)) if forgotten > 0) {
                    self.counters.count("history-forgotten");
                }
                done.send(self.told(written).await.map(|_| ())).ok();
            }
            Ask::Marks { marks, done } => {
                let written = self.asked(async |connection| licences::write(connection, &marks).await).await;
                done.send(self.told(written).await).ok();
            }
            Ask::Balances { balances, gone, done } => {
                let written = self.asked(async |connection| tolls::write(connection, &balances, &gone).await).await;
                done.send(self.told(written).await).ok();
            }
            Ask::History { subject, most, done } => {
                done.send(shown(self.asked(async |connection| directory::history(connection, &subject, most.into()).await).await)).ok();
            }
            Ask::Sightings { done } => {
                done.send(shown(self.asked(async |connection| drills::sightings(connection).await).await)).ok();
            }
            Ask::BeginDrill { name, by, now, done } => {
                let begun = self.asked(async |connection| drills::begin(connection, &name, &by, now).await).await;
                done.send(self.told(begun).await).ok();
            }
            Ask::EndDrill { number, report, came, now, done } => {
                let ended = self.asked(async |connection| drills::end(connection, number, &report, &came, now).await).await;
                done.send(self.told(ended).await).ok();
            }
            Ask::WriteCalls { rows, kept, done } => {
                let written = match self.open().await {
                    Ok(connection) => Ok(calls::write(connection, &rows, kept).await),
                    Err(why) => Err(why),
                };
                done.send(self.told(written).await).ok();
            }
            Ask::Calls { wanted, done } => {
                let read = match self.open().await {
                    Ok(connection) => Ok(calls::read(connection, wanted).await),
                    Err(why) => Err(why),
                };
                done.send(shown(read)).ok();
            }
            Ask::DrillReport { number, done } => {
                done.send(shown(self.asked(async |connection| drills::report(connection, number).await).await)).ok();
            }
        }
    }

    /// What the database says to a question, or why there is none to be asked.
    async fn asked<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<Result<T, sqlx::Error>, String> {
        let connection = self.open().await?;
        Ok(question(connection).await)
    }

    /// The connection, opened anew when it is time to try that.
    async fn open(&mut self) -> Result<&mut SqliteConnection, String> {
        if self.connection.is_none() {
            self.settle(None).await?;
        }
        self.connection.as_mut().ok_or_else(|| "it is not open".to_owned())
    }

    /// A failure of a write is trouble with the store, whoever wanted it. `written`: what came of it, or why it was not tried.
    async fn told<T>(&mut self, written: Result<Result<T, sqlx::Error>, String>) -> Result<T, String> {
        let why = match written {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                self.failed(Trouble::of(&self.file, &error)).await;
                error.to_string()
            }
            Err(why) => why,
        };
        Err(format!("the store cannot be written: {why}"))
    }

    async fn commit(&mut self, jobs: &mut Vec<Job>, queue: &mpsc::Receiver<Job>) {
        if self.health.take_missed() {
            self.owed = Owed::Everything;
        }
        for change in jobs.iter().flat_map(|job| &job.changes) {
            self.owed.add(change, self.options.backlog);
        }
        let written = self.settle(Some(queue)).await;
        if written.is_err() {
            self.health.lock().owed = self.owed.len(&self.site);
        }
        let outcome = match self.options.degraded {
            // Memory has it, and the alarm says that the disk has not.
            Degraded::Memory => Ok(()),
            Degraded::Refuse => written,
        };
        for job in jobs.drain(..) {
            // A registration that no longer waits has timed out.
            job.done.send(outcome.clone()).ok();
        }
    }

    /// Brings everything that is owed to the disk; after a failure, not before [`RETRY`] has passed. `queue`: what waits behind it.
    async fn settle(&mut self, queue: Option<&mpsc::Receiver<Job>>) -> Result<(), String> {
        if self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return Err(self.health.lock().trouble.as_ref().map_or_else(String::new, |(trouble, _)| trouble.reason()));
        }
        match self.bring().await {
            Ok(()) => {
                self.owed = Owed::default();
                self.well(queue);
                Ok(())
            }
            Err(trouble) => {
                let why = trouble.reason();
                self.failed(trouble).await;
                Err(why)
            }
        }
    }

    async fn bring(&mut self) -> Result<(), Trouble> {
        if let Some(connection) = &mut self.connection {
            let rescued = rescue(&mut self.rescue, connection).await;
            let written = match rescued {
                Ok(()) => self.owed.write(connection, &self.site).await,
                Err(error) => Err(error),
            };
            return written.map_err(|error| Trouble::of(&self.file, &error));
        }
        let new = !self.file.exists();
        let mut connection = file::connect(&self.file).await?;
        let renewed = new || (self.foreign && self.complete);
        if renewed {
            self.owed = Owed::Everything;
        }
        // The probe, because there may be nothing to write.
        let mut written = file::probe(&mut connection).await;
        if written.is_ok() {
            written = rescue(&mut self.rescue, &mut connection).await;
        }
        if written.is_ok() {
            written = self.owed.write(&mut connection, &self.site).await;
        }
        if let Err(error) = written {
            return Err(file::give_up(connection, Trouble::of(&self.file, &error)).await);
        }
        self.connection = Some(connection);
        if renewed {
            self.renew.send_modify(|times| *times += 1);
        } else if self.foreign {
            tracing::error!("the store can be read again: start the gateway anew, so that what it had kept is in force");
        }
        self.foreign = false;
        Ok(())
    }

    /// A write has failed. The file is closed; another one takes the place of a damaged one, and is told what is in memory.
    async fn failed(&mut self, trouble: Trouble) {
        let damaged = trouble.kind == Kind::Damaged;
        let trouble = match self.connection.take() {
            Some(connection) => file::give_up(connection, trouble).await,
            None => trouble,
        };
        self.ill(trouble);
        if !damaged {
            return;
        }
        match file::set_aside(&self.file) {
            Ok(aside) => {
                self.set_aside(aside);
                // There is nothing to wait for.
                self.tried = None;
            }
            Err(error) => tracing::error!("the damaged store {} cannot be set aside: {error}", self.file.display()),
        }
    }

    /// The damaged file is now there.
    pub(super) fn set_aside(&mut self, aside: PathBuf) {
        self.counters.count("store-damaged");
        tracing::error!(
            counter = "store-damaged",
            kept = %aside.display(),
            "the store was damaged; it was set aside, and a new one is made of what is in memory: histories are in the old one only, and whatever else could \
             not be read of it"
        );
        self.rescue = Some(aside.clone());
        self.health.lock().aside = Some(aside);
        self.owed = Owed::Everything;
        self.renew.send_modify(|times| *times += 1);
    }

    /// Raises the alarm.
    pub(super) fn ill(&mut self, trouble: Trouble) {
        let now = tokio::time::Instant::now();
        self.tried = Some(now);
        self.counters.count("store-failed");
        if self.reminded.is_none_or(|(kind, at)| kind != trouble.kind || now.duration_since(at) >= REMIND) {
            self.reminded = Some((trouble.kind, now));
            let meanwhile = match self.options.degraded {
                Degraded::Memory => "phones register in memory meanwhile and would have to register anew after a restart (store.degraded)",
                Degraded::Refuse => "registrations are answered 503 meanwhile (store.degraded)",
            };
            tracing::error!(counter = "store-failed", "{trouble}; {meanwhile}; calls and calls for help go on");
        }
        let mut standing = self.health.lock();
        let since = standing.trouble.as_ref().map_or_else(SystemTime::now, |(_, since)| *since);
        standing.trouble = Some((trouble, since));
        standing.owed = self.owed.len(&self.site);
    }

    /// Everything is on disk that was taken from the queue. Ends the alarm, but not while registrations wait in the queue that were answered because the disk hung:
    /// whoever is answered so looks for the alarm with its change in the queue already, and under the same lock.
    fn well(&mut self, queue: Option<&mpsc::Receiver<Job>>) {
        self.tried = None;
        self.reminded = None;
        let mut standing = self.health.lock();
        let hung = standing.trouble.as_ref().is_some_and(|(trouble, _)| trouble.kind == Kind::Hanging);
        if hung && (queue.is_none_or(|queue| !queue.is_empty()) || self.health.has_missed()) {
            return;
        }
        if standing.trouble.is_some() {
            tracing::info!("the store can be written again; everything owed to it is on disk");
            standing.trouble = None;
            standing.owed = 0;
        }
    }
}

/// Takes over what only the damaged file has, once.
async fn rescue(from: &mut Option<PathBuf>, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    if let Some(aside) = from.as_deref() {
        drills::rescue(aside, to).await?;
        *from = None;
    }
    Ok(())
}

/// What was read, or why it was not.
fn shown<T>(read: Result<Result<T, sqlx::Error>, String>) -> Result<T, String> {
    let read = read.and_then(|read| read.map_err(|error| error.to_string()));
    read.map_err(|why| format!("the store cannot be read: {why}"))
}
