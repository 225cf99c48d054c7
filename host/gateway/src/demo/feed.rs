//! From the gateway's observer to the ladder: a bounded channel that is closed except while the demonstration plays.

use crate::{calls::Observer, policy::Step};
use bytes::Bytes;
use sip::{Instant, transport::Flow};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::mpsc;

/// More than a whole demonstration produces: about forty messages.
const CAPACITY: usize = 1024;

/// What the gateway did, seen from inside.
#[derive(Debug)]
pub(super) enum Event {
    /// It received a message.
    Received { at: Instant, flow: Flow, bytes: Bytes },
    /// It sent one.
    Sent { at: Instant, flow: Flow, bytes: Bytes },
    /// Policies were asked.
    Decided { call_id: Bytes, steps: Vec<Step> },
}

/// The gateway's end: hand it to every shard as its observer, or call it from yours.
#[derive(Debug)]
pub struct Watcher {
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
}

/// The ladder's end.
#[derive(Debug)]
pub struct Feed {
    events: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: AtomicBool,
    lost: AtomicU64,
}

/// A watcher and the feed that it fills while a demonstration plays; at all other times it costs one atomic read a message.
#[must_use]
pub fn watch() -> (Watcher, Feed) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let shared = Arc::new(Shared::default());
    (Watcher { events: sender, shared: shared.clone() }, Feed { events: receiver, shared })
}

impl Watcher {
    fn push(&self, event: impl FnOnce() -> Event) {
        if self.shared.open.load(Ordering::Relaxed) && self.events.try_send(event()).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Watcher {
    fn received(&self, at: Instant, flow: Flow, bytes: &[u8]) {
        self.push(|| Event::Received { at, flow, bytes: Bytes::copy_from_slice(bytes) });
    }

    fn sent(&self, at: Instant, flow: Flow, bytes: &[u8]) {
        self.push(|| Event::Sent { at, flow, bytes: Bytes::copy_from_slice(bytes) });
    }

    fn decided(&self, _at: Instant, call_id: &[u8], steps: &[Step]) {
        self.push(|| Event::Decided { call_id: Bytes::copy_from_slice(call_id), steps: steps.to_vec() });
    }
}

impl Feed {
    pub(super) fn open(&self) {
        self.shared.open.store(true, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.shared.open.store(false, Ordering::Relaxed);
    }

    /// The next event; waits for ever when the gateway is gone, because the script will say so.
    pub(super) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    pub(super) fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Events that did not fit.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}
