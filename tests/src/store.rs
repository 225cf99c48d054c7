//! A store in virtual time: it takes as long as it is told, fails when it is told, and outlives the gateway's process.

use gateway::calls::Keep;
use sip::Instant;
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use switch::registrar::{Binding, Change};

/// How the disk does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Disk {
    /// A commit takes so long.
    pub takes: Duration,
    /// It keeps nothing and says so.
    pub fails: bool,
    /// It keeps nothing and says that it does.
    pub lies: bool,
}

/// Bindings on a disk.
#[derive(Default)]
pub struct Store(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    now: Instant,
    disk: Disk,
    kept: BTreeMap<(String, String), Binding>,
    /// Commits under way, in their order.
    waiting: VecDeque<(Instant, Vec<Change>, Arc<Mutex<Commit>>)>,
}

/// One commit: how it went, and who waits for that.
#[derive(Default)]
struct Commit {
    result: Option<Result<(), String>>,
    waker: Option<Waker>,
}

struct Waits(Arc<Mutex<Commit>>);

impl Future for Waits {
    type Output = Result<(), String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut commit = lock(&self.0);
        match commit.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                commit.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// From now on the disk is like this.
    pub fn disk(&self, disk: Disk) {
        lock(&self.0).disk = disk;
    }

    /// The time.
    pub fn time(&self, now: Instant) {
        lock(&self.0).now = now;
    }

    /// What is due is on the disk, or has failed.
    pub fn commit(&self, now: Instant) {
        let mut inner = lock(&self.0);
        inner.now = now;
        while inner.waiting.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, changes, commit)) = inner.waiting.pop_front() else { return };
            let Disk { fails, lies, .. } = inner.disk;
            if !fails && !lies {
                inner.write(changes);
            }
            let mut commit = lock(&commit);
            commit.result = Some(if fails { Err("the disk is full".to_owned()) } else { Ok(()) });
            if let Some(waker) = commit.waker.take() {
                waker.wake();
            }
        }
    }

    /// When [`Store::commit`] is next due.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        lock(&self.0).waiting.front().map(|(at, ..)| *at)
    }

    /// The process is killed: what was not committed is not, and nobody waits for it. What the disk has is returned.
    #[must_use]
    pub fn killed(&self) -> Vec<Binding> {
        let mut inner = lock(&self.0);
        inner.waiting.clear();
        inner.kept.values().cloned().collect()
    }
}

impl Inner {
    fn write(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Bound(binding) => {
                    self.kept.insert((binding.endpoint.to_string(), binding.contact.to_string()), (*binding).clone());
                }
                Change::Unbound { endpoint, contact } => {
                    self.kept.remove(&(endpoint.to_string(), contact.to_string()));
                }
            }
        }
    }
}

impl Keep for Store {
    fn keep(&self, changes: Vec<Change>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let mut inner = lock(&self.0);
        let commit = Arc::new(Mutex::new(Commit::default()));
        // One writer: what comes later is not on the disk earlier.
        let at = inner.now + inner.disk.takes;
        let at = inner.waiting.back().map_or(at, |(last, ..)| at.max(*last));
        inner.waiting.push_back((at, changes, Arc::clone(&commit)));
        Box::pin(Waits(commit))
    }
}
