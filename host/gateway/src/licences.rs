//! Looks after the licence pools while the gateway runs: tells what is wrong with them, once a day, and keeps what of them outlives a restart.

use crate::{
    clock::{Clock, rfc3339},
    observe::Counters,
    store::Store,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use switch::{
    licence::{Alarm, Mark, Trouble},
    site::Site,
};

/// How often it looks. What a pool was at its fullest within this time, and whose turn began in it, is forgotten when the process is killed.
const EVERY: Duration = Duration::from_secs(10);

/// One per gateway.
#[derive(Debug)]
pub struct Warden {
    site: Arc<Site>,
    store: Arc<Store>,
    clock: Clock,
    counters: Arc<Counters>,
    /// What the store keeps already, and how often it had been another file then.
    written: Mutex<(u64, Vec<Mark>)>,
}

impl Warden {
    /// Looks after the pools of `site`.
    #[must_use]
    pub fn new(site: Arc<Site>, store: Arc<Store>, clock: Clock, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { site, store, clock, counters, written: Mutex::default() })
    }

    /// Looks at once, then again and again. In a runtime.
    pub async fn run(self: Arc<Self>) {
        loop {
            let warden = Arc::clone(&self);
            // It waits for the store.
            if let Err(error) = tokio::task::spawn_blocking(move || warden.look()).await {
                tracing::error!("nobody looks after the licence pools any more: {error}");
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Tells what is wrong, and writes down what has changed. Waits for the store, so on a thread that may wait.
    pub fn look(&self) {
        let now = self.clock.now();
        for alarm in self.site.ledger.alarms(now) {
            self.counters.count("licence-alarm");
            tracing::warn!(counter = "licence-alarm", pool = &*alarm.pool, "{}", told(&alarm));
        }
        let wanted = (*self.store.renewed().borrow(), self.site.ledger.marks(now));
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written == wanted {
            return;
        }
        match self.store.write_marks(wanted.1.clone()) {
            Ok(()) => *written = wanted,
            Err(why) => self.counters.limit("licence-marks", || {
                format!("a restart would forget since when licence pools are in grace, how full they were, and who waits for a seat: {why}")
            }),
        }
    }
}

/// An alarm in words: what is wrong, what comes of it, what to do.
fn told(Alarm { pool, trouble }: &Alarm) -> String {
    match *trouble {
        Trouble::OverCommitted { taken, seats, until } => format!(
            "licence pool `{pool}` is over-committed: {taken} seats are used, {seats} are owned; until {} it is used as before it was made smaller, \
             from then on no phone that comes new gets a seat: raise `seats` or take phones away (`holdfast licence show {pool}`)",
            rfc3339(until)
        ),
        Trouble::Ended { since, until } => format!(
            "licence pool `{pool}` is valid no more since {}; until {} seats are given all the same, from then on to no phone that comes new: renew it and \
             change `not_after`",
            rfc3339(since),
            rfc3339(until)
        ),
    }
}
