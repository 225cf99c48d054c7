//! The door to the store, and its start: what was kept comes back, then the thread that writes begins ([`Writer`]).

use super::{
    calls::{CallRow, CallsKept, CallsWanted},
    directory::Entry,
    drills::{Begun, Drill, Report, Sightings},
    file::{self, Contents, Opened},
    owed::Owed,
    tolls::Gone,
    trouble::{Health, Standing},
    writer::{Ask, Job, Writer},
};
use crate::{
    calls::Keep,
    config::{Degraded, Limits},
    observe::Counters,
};
use anyhow::Context as _;
use sip::Instant;
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use switch::{
    directory::{
        self as site_directory, Directory, LeftOut,
        roster::{Roster, Subject},
    },
    licence::Mark,
    registrar::Change,
    site::Site,
    toll::Balance,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant as Moment, timeout_at},
};

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
    pub degraded: Degraded,
    /// Changes that are remembered one by one while the disk fails; with more, all bindings are written when it is well again.
    pub backlog: usize,
    /// Lines of history that are kept of each endpoint and user.
    pub history: usize,
    /// How long a registration waits, then it is answered as while the store cannot be written.
    pub patience: Duration,
}

impl Options {
    /// The options that a configuration asks for.
    #[must_use]
    pub const fn new(limits: &Limits, degraded: Degraded) -> Self {
        let Limits { store_wait, store_queue, store_history, store_patience, site, .. } = limits;
        Self {
            wait: *store_wait,
            queue: *store_queue,
            degraded,
            backlog: site.bindings,
            history: *store_history,
            patience: *store_patience,
        }
    }
}

/// The door to the store.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    asks: mpsc::Sender<Ask>,
    health: Health,
    renewed: watch::Receiver<u64>,
    late: Arc<Late>,
}

/// What comes of a registration that has waited too long.
#[derive(Debug)]
struct Late {
    file: PathBuf,
    patience: Duration,
    degraded: Degraded,
    health: Health,
    counters: Arc<Counters>,
}

impl Late {
    /// The alarm, and what the phone is told. A flush of the disk that does not return must not keep phones from registering.
    fn answer(&self) -> Result<(), String> {
        let said = format!("nothing was heard of it for {} ms: limit `store_patience_milliseconds`", self.patience.as_millis());
        self.health.hangs(&self.file, said);
        let why = || {
            let standing = self.health.standing();
            standing.trouble.map_or_else(String::new, |(trouble, _)| trouble.to_string())
        };
        self.counters.limit("store-late", || {
            let meanwhile = match self.degraded {
                Degraded::Memory => "phones register in memory meanwhile",
                Degraded::Refuse => "registrations are answered 503 meanwhile",
            };
            format!("{}; {meanwhile} (store.degraded); calls and calls for help go on", why())
        });
        match self.degraded {
            Degraded::Memory => Ok(()),
            Degraded::Refuse => Err(why()),
        }
    }
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
    /// Opens the store, puts what it has kept back into `site`, whose directory is that of the configuration, and starts the thread that writes. A store that
    /// cannot be opened, read or written is an alarm ([`Store::standing`]), and is tried again and again.
    ///
    /// Bindings over TCP and TLS come back too: they hold their seat, and calls to them fail at once until the phone has connected again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub async fn start(file: &Path, site: &Arc<Site>, now: Instant, options: Options, counters: Arc<Counters>) -> anyhow::Result<Started> {
        let Opened { connection, contents, trouble, aside } = file::open(file).await;
        let Contents { roster, bindings, unreadable, marks, balances, complete } = contents;
        let configured = site.directory();
        let mut left_out = Vec::new();
        if !roster.is_empty() {
            let joined;
            (joined, left_out) = configured.with_roster(&roster);
            left_out.iter().for_each(|left_out| tracing::error!("{left_out}"));
            site.replace_directory(joined, now);
        }
        let (restored, owed) = restore(bindings, unreadable, site, now, options.backlog);
        site.recall(&marks, now);
        site.restore_balances(balances, now);

        let (jobs, queue) = mpsc::channel(options.queue);
        let (asks, asked) = mpsc::channel(ASKS);
        let (tell, ended) = oneshot::channel();
        let (renew, renewed) = watch::channel(0);
        let health = Health::default();
        let late = Late {
            file: file.to_owned(),
            patience: options.patience,
            degraded: options.degraded,
            health: health.clone(),
            counters: Arc::clone(&counters),
        };
        let mut writer =
            Writer::new(file.to_owned(), connection, Arc::clone(site), options, counters, health.clone(), renew, owed, complete);
        if let Some(aside) = aside {
            writer.set_aside(aside);
        }
        if let Some(trouble) = trouble {
            writer.ill(trouble);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("the store's thread cannot start")?;
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            runtime.block_on(writer.run(queue, asked));
            // Whoever does not wait for the end need not hear of it.
            tell.send(()).ok();
        })?;
        Ok(Started {
            store: Arc::new(Self { jobs, asks, health, renewed, late: Arc::new(late) }),
            ended,
            file: configured,
            roster,
            left_out,
            restored,
        })
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.health.standing()
    }

    /// How often the file has been replaced by one that must be told everything. Bindings are written by themselves; endpoints, users, marks of licence
    /// pools and what calls have used are written by those who have them.
    #[must_use]
    pub fn renewed(&self) -> watch::Receiver<u64> {
        self.renewed.clone()
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

    /// Writes what accounts of calls to the outside have used, and forgets those that are `gone`; returns when it is on disk. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When it could not be written: then what was is kept.
    pub fn write_balances(&self, balances: Vec<Balance>, gone: Gone) -> Result<(), String> {
        self.ask(|done| Ask::Balances { balances, gone, done })
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

    /// Writes records of calls; returns when they are on disk. One that is there stays as it is. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When they could not be written: then none is.
    pub fn write_calls(&self, rows: Vec<CallRow>, kept: CallsKept) -> Result<(), String> {
        self.ask(|done| Ask::WriteCalls { rows, kept, done })
    }

    /// Records of calls, newest first. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn calls(&self, wanted: CallsWanted) -> Result<Vec<String>, String> {
        self.ask(|done| Ask::Calls { wanted, done })
    }

    fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Ask) -> Result<T, String> {
        if self.health.is_hanging() {
            // Whoever asks would wait with it.
            return Err(self.health.standing().trouble.map_or_else(String::new, |(trouble, _)| trouble.reason()));
        }
        let (done, answer) = oneshot::channel();
        self.asks.blocking_send(ask(done)).map_err(|_| "the store is closed".to_owned())?;
        answer.blocking_recv().unwrap_or_else(|_| Err("the store ended before it had answered".to_owned()))
    }
}

/// Puts bindings back into the registrar, each with its seat; how many, and what the disk is to forget: those whose time or endpoint has gone.
fn restore(
    bindings: Vec<switch::registrar::Binding>,
    unreadable: Vec<(String, String)>,
    site: &Site,
    now: Instant,
    backlog: usize,
) -> (usize, Owed) {
    let (mut restored, mut owed) = (0, Owed::default());
    for binding in bindings {
        let (endpoint, contact) = (Arc::clone(&binding.endpoint), Arc::clone(&binding.contact));
        if site.restore(binding, now) {
            restored += 1;
        } else {
            owed.add(&Change::Unbound { endpoint, contact }, backlog);
        }
    }
    for (endpoint, contact) in unreadable {
        owed.add(&Change::Unbound { endpoint: endpoint.into(), contact: contact.into() }, backlog);
    }
    (restored, owed)
}

impl Keep for Store {
    /// The changes take their place in the queue at once, so that two registrations of one phone are written in their order.
    fn keep(&self, changes: Vec<Change>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let (done, written) = oneshot::channel();
        let queued = self.jobs.try_send(Job { changes, done });
        let (jobs, late) = (self.jobs.clone(), Arc::clone(&self.late));
        let until = Moment::now() + late.patience;
        Box::pin(async move {
            if late.health.is_hanging() {
                // Known already: nobody waits for it once more.
                if matches!(queued, Err(mpsc::error::TrySendError::Full(_))) {
                    late.health.miss();
                }
                return late.answer();
            }
            match queued {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(job)) => match timeout_at(until, jobs.send(job)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err("the store is closed".to_owned()),
                    Err(_) => {
                        late.health.miss();
                        return late.answer();
                    }
                },
                Err(mpsc::error::TrySendError::Closed(_)) => return Err("the store is closed".to_owned()),
            }
            // It stays in the queue, and is written when the disk is heard of again.
            let Ok(written) = timeout_at(until, written).await else { return late.answer() };
            written.unwrap_or_else(|_| Err("the store ended before it had written".to_owned()))
        })
    }

    fn refuses(&self) -> bool {
        self.late.degraded == Degraded::Refuse
    }
}
