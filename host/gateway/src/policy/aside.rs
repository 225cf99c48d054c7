//! Threads for decisions that take long, so that a component which spins costs a thread of these and never holds up a shard.
//!
//! A decision begins where it is asked for: most are made in a few microseconds, and to hand one to another thread costs more than that. One that is still
//! running after half a millisecond pauses ([`super::instance`]), and goes on here to its end. Neither a setting nor a guess has to say which policies are slow.

use super::{instance::at_once, load::beside_the_calls};
use crate::priority::behind_the_calls;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    task::{Context, Poll, Waker},
    thread,
};
use tokio::sync::oneshot;

/// Decisions that wait for a thread; beyond that they are made where they were asked for.
const QUEUE: usize = 64;

/// One in so many is told in the log.
const LOG_EVERY: u64 = 1000;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Aside {
    /// None without threads.
    jobs: Option<SyncSender<Job>>,
    crowded: AtomicU64,
}

/// How far a job has come.
pub(super) enum Begun<T> {
    Done(T),
    /// It goes on on another thread, which will send what came of it.
    Away(oneshot::Receiver<T>),
}

impl Aside {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("policy-{number}")).spawn(move || {
                behind_the_calls();
                beside_the_calls(|| run(&queue));
            })?;
        }
        Ok(Self { jobs: Some(jobs).filter(|_| threads > 0), crowded: AtomicU64::new(0) })
    }

    /// Begins a job here. One that pauses goes on aside; where too many wait for that, it is done here after all.
    pub(super) fn begin<T: Send + 'static>(&self, job: impl Future<Output = T> + Send + 'static) -> Begun<T> {
        let mut job = Box::pin(job);
        if let Poll::Ready(done) = job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Begun::Done(done);
        }
        let Some(jobs) = &self.jobs else { return Begun::Done(at_once(job)) };
        let (tell, told) = oneshot::channel();
        let rest: Job = Box::pin(async move {
            // Whoever asked may be gone.
            let _gone = tell.send(job.await);
        });
        if let Err(TrySendError::Full(rest) | TrySendError::Disconnected(rest)) = jobs.try_send(rest) {
            let before = self.crowded.fetch_add(1, Relaxed);
            if before.is_multiple_of(LOG_EVERY) {
                tracing::warn!(before, "{QUEUE} slow decisions wait for a thread; this one holds up its shard: limit `policy_threads`");
            }
            at_once(rest);
        }
        Begun::Away(told)
    }

    /// Decisions that were made where they were asked for because too many waited.
    pub(super) fn crowded(&self) -> u64 {
        self.crowded.load(Relaxed)
    }
}

fn run(queue: &Mutex<Receiver<Job>>) {
    loop {
        // Held while it waits: the others wait for the lock instead.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Whoever waits for it sees that it is gone; the thread lives on.
        let _panicked = catch_unwind(AssertUnwindSafe(|| at_once(job)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_executor::block_on;
    use std::{future::poll_fn, thread::ThreadId};

    /// Pauses once, then waits for `go`; the thread on which it ended.
    fn slow(go: Receiver<()>) -> impl Future<Output = ThreadId> + Send {
        let mut paused = false;
        poll_fn(move |_| {
            if !std::mem::replace(&mut paused, true) {
                return Poll::Pending;
            }
            let _gone = go.recv();
            Poll::Ready(thread::current().id())
        })
    }

    fn away<T>(begun: Begun<T>) -> oneshot::Receiver<T> {
        match begun {
            Begun::Away(receiver) => receiver,
            Begun::Done(_) => panic!("it was done at once"),
        }
    }

    #[test]
    fn what_is_done_at_once_changes_no_thread() {
        let aside = Aside::start(1).unwrap();
        let begun = aside.begin(async { thread::current().id() });
        assert!(matches!(begun, Begun::Done(id) if id == thread::current().id()));
    }

    #[test]
    fn what_pauses_goes_on_elsewhere() {
        let aside = Aside::start(1).unwrap();
        let (go, gone) = sync_channel(1);
        let begun = away(aside.begin(slow(gone)));
        go.send(()).unwrap();
        assert_ne!(block_on(begun).unwrap(), thread::current().id());
    }

    #[test]
    fn where_too_many_wait_it_is_done_here_and_counted() {
        let aside = Aside::start(1).unwrap();
        let mut goes: Vec<SyncSender<()>> = Vec::new();
        let mut all = Vec::new();
        // One that the thread has taken, and a full queue.
        while aside.crowded() == 0 && all.len() <= QUEUE + 1 {
            let (go, gone) = sync_channel(1);
            // Done here, it must not wait for anybody.
            if all.len() >= QUEUE {
                go.send(()).unwrap();
            }
            goes.push(go);
            match aside.begin(slow(gone)) {
                Begun::Done(_) => panic!("nothing is done before it pauses"),
                Begun::Away(receiver) => all.push(receiver),
            }
        }
        assert_eq!(aside.crowded(), 1);
        assert_eq!(block_on(all.pop().unwrap()).unwrap(), thread::current().id());
        drop(goes);
        for begun in all {
            assert_ne!(block_on(begun).unwrap(), thread::current().id());
        }
    }

    #[test]
    fn a_panic_costs_one_decision_and_no_thread() {
        let aside = Aside::start(1).unwrap();
        for _ in 0..2 {
            let mut paused = false;
            let begun = away(aside.begin(poll_fn(move |_| match std::mem::replace(&mut paused, true) {
                false => Poll::<()>::Pending,
                true => panic!("on purpose"),
            })));
            assert!(block_on(begun).is_err());
        }
    }

    #[test]
    fn without_threads_all_is_done_here() {
        let aside = Aside::start(0).unwrap();
        let (go, gone) = sync_channel(1);
        go.send(()).unwrap();
        assert!(matches!(aside.begin(slow(gone)), Begun::Done(id) if id == thread::current().id()));
    }
}
