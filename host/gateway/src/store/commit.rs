//! The task that writes: many registrations, one transaction.

use super::{Row, open, restore};
use crate::{
    calls::Keep,
    config::{Limits, OnStoreFailure},
    observe::Counters,
};
use sip::Instant;
use sqlx::{Connection as _, SqliteConnection};
use std::{collections::BTreeMap, future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};
use switch::{
    registrar::{Binding, Change},
    site::Site,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant as Moment, timeout, timeout_at},
};

/// Registrations in one transaction.
const TOGETHER: usize = 1024;
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
}

impl Store {
    /// Opens the store, puts what it has kept back into `site`, and starts the task that writes. Returns the number of bindings restored.
    /// The task ends, with everything written, when the `Store` is dropped.
    ///
    /// # Errors
    /// When the store cannot be opened or read.
    pub async fn start(
        file: &Path,
        site: &Site,
        now: Instant,
        options: Options,
        counters: Arc<Counters>,
    ) -> anyhow::Result<(Arc<Self>, JoinHandle<()>, usize)> {
        let mut connection = open(file).await?;
        let restored = restore(&mut connection, site, now).await?;
        let (jobs, queue) = mpsc::channel(options.queue);
        let writer = Writer { connection, options, counters, backlog: Pending::new(), failing: false };
        Ok((Arc::new(Self { jobs }), tokio::spawn(writer.run(queue)), restored))
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

struct Writer {
    connection: SqliteConnection,
    options: Options,
    counters: Arc<Counters>,
    /// What could not be written and is owed to the disk.
    backlog: Pending,
    failing: bool,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(TOGETHER);
        loop {
            let received = if self.backlog.is_empty() {
                queue.recv_many(&mut jobs, TOGETHER).await
            } else {
                // An empty batch after RETRY writes the backlog only.
                timeout(RETRY, queue.recv_many(&mut jobs, TOGETHER)).await.unwrap_or(usize::MAX)
            };
            if received == 0 {
                break;
            }
            let until = Moment::now() + self.options.wait;
            while !jobs.is_empty() && jobs.len() < TOGETHER {
                let room = TOGETHER - jobs.len();
                match timeout_at(until, queue.recv_many(&mut jobs, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            self.commit(&mut jobs).await;
        }
        // Leaving without the write-ahead log's file behind is a courtesy; the next start reads it as well.
        self.connection.close().await.ok();
    }

    async fn commit(&mut self, jobs: &mut Vec<Job>) {
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
                self.fail(pending, &error)
            }
        };
        for job in jobs.drain(..) {
            // A registration that no longer waits has timed out.
            job.done.send(outcome.clone()).ok();
        }
    }

    fn fail(&mut self, pending: Pending, error: &sqlx::Error) -> Result<(), String> {
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
                Err("too much is owed to the disk".to_owned())
            }
        }
    }
}

/// Writes everything in one transaction.
async fn write(connection: &mut SqliteConnection, pending: &Pending) -> Result<(), sqlx::Error> {
    let bound: Vec<Row<'_>> = pending.values().flatten().map(|b| Row::of(b)).collect();
    let gone: Vec<_> =
        pending.iter().filter(|(_, b)| b.is_none()).map(|((endpoint, contact), _)| (endpoint.to_string(), contact.to_string())).collect();
    if gone.is_empty() {
        return insert(connection, &bound).await;
    }
    if bound.is_empty() {
        return delete(connection, &gone).await;
    }
    let mut transaction = connection.begin().await?;
    insert(&mut transaction, &bound).await?;
    delete(&mut transaction, &gone).await?;
    transaction.commit().await
}

/// Each statement takes all its rows as one JSON text: one step to the database's thread and back, however many they are.
async fn insert(connection: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let json = serde_json::to_string(rows).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    sqlx::query(
        "INSERT OR REPLACE INTO binding (endpoint, contact, params, q, instance, reg_id, path, transport, local, remote, connection, call_id, cseq, expires, pool, emergency_only, user_agent)
         SELECT value->>'endpoint', value->>'contact', value->>'params', value->>'q', value->>'instance', value->>'reg_id', value->>'path', value->>'transport', value->>'local',
                value->>'remote', value->>'connection', value->>'call_id', value->>'cseq', value->>'expires', value->>'pool', value->>'emergency_only', value->>'user_agent'
         FROM json_each(?)",
    )
    .bind(json)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Forgets bindings.
pub(super) async fn delete(connection: &mut SqliteConnection, keys: &[(String, String)]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let json = serde_json::to_string(keys).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    sqlx::query("DELETE FROM binding WHERE (endpoint, contact) IN (SELECT value->>0, value->>1 FROM json_each(?))")
        .bind(json)
        .execute(connection)
        .await
        .map(|_| ())
}
