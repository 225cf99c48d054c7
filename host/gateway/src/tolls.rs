//! Keeps what calls to the outside have used over a restart: while the gateway runs, and when it ends, what has changed of it is written to the store.

use crate::{
    clock::Clock,
    observe::Counters,
    store::{Gone, Store},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use switch::{site::Site, toll::Balance};

/// How often it looks. What was used within this time is forgotten when the process is killed.
const EVERY: Duration = Duration::from_secs(10);

/// By payer.
type Balances = BTreeMap<Option<Arc<str>>, Balance>;

/// One per gateway.
#[derive(Debug)]
pub struct Cashier {
    site: Arc<Site>,
    store: Arc<Store>,
    clock: Clock,
    counters: Arc<Counters>,
    /// What the store keeps already, and how often it had been another file then; `None`: nobody knows.
    written: Mutex<Option<(u64, Balances)>>,
}

impl Cashier {
    /// Keeps the accounts of `site`.
    #[must_use]
    pub fn new(site: Arc<Site>, store: Arc<Store>, clock: Clock, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { site, store, clock, counters, written: Mutex::default() })
    }

    /// Looks at once, then again and again. In a runtime.
    pub async fn run(self: Arc<Self>) {
        loop {
            let cashier = Arc::clone(&self);
            // It waits for the store.
            if let Err(error) = tokio::task::spawn_blocking(move || cashier.look()).await {
                tracing::error!("nobody writes down any more what calls to the outside have used: {error}");
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Writes down what has changed. Waits for the store, so on a thread that may wait.
    pub fn look(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = *self.store.renewed().borrow();
        let balances = self.site.balances(self.clock.now()).into_iter().map(|balance| (balance.payer.clone(), balance)).collect();
        let before = written.as_ref().filter(|(times, _)| *times == renewed).map(|(_, before)| before);
        let (changed, gone) = difference(before, &balances);
        if changed.is_empty() && gone == Gone::These(Vec::new()) {
            return;
        }
        match self.store.write_balances(changed, gone) {
            Ok(()) => *written = Some((renewed, balances)),
            Err(why) => {
                self.counters
                    .limit("toll-accounts", || format!("a restart would forget what calls to the outside have used lately: {why}"));
            }
        }
    }
}

/// What is to be written where `before` is kept; of a store of which that is not known, all.
fn difference(before: Option<&Balances>, balances: &Balances) -> (Vec<Balance>, Gone) {
    let Some(before) = before else { return (balances.values().cloned().collect(), Gone::Others) };
    let changed = balances.iter().filter(|(payer, balance)| before.get(*payer) != Some(*balance));
    let gone = before.keys().filter(|payer| !balances.contains_key(*payer));
    (changed.map(|(_, balance)| balance.clone()).collect(), Gone::These(gone.cloned().collect()))
}
