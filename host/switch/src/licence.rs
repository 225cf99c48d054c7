//! Licence seats. [`Ledger::take`] is the only door: a binding cannot be made without the [`Seat`] that it returns.
//!
//! One seat per endpoint and pool, however many contacts the endpoint has. A seat is a token: it goes back to its pool when its last clone is
//! dropped, so that nobody can forget to count.

use crate::directory::Pool;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// The right of one endpoint to be registered. Given back when the last clone is dropped (shared by all bindings of the endpoint).
#[derive(Clone, Debug)]
pub struct Seat(Option<Arc<Held>>);

impl Seat {
    /// The seat of a phone that was admitted without a pool (no policy asked for one) or for emergency calls only.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The pool, when it is a counted seat.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<str>> {
        self.0.as_deref().map(|held| &held.pool)
    }

    /// Whether both are the same token (or both are none).
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            _ => false,
        }
    }
}

/// The counted thing itself: returns its place to the pool when dropped.
#[derive(Debug)]
struct Held {
    pool: Arc<str>,
    endpoint: Arc<str>,
    /// Which entry of the ledger is this one's: an entry may have been taken over between the last clone's drop and this `Drop`.
    serial: u64,
    book: Arc<Mutex<Book>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        let Some(pool) = book.pools.get_mut(&self.pool) else { return };
        if pool.holders.get(&self.endpoint).is_some_and(|holder| holder.serial == self.serial) {
            pool.holders.remove(&self.endpoint);
        }
        if pool.withdrawn && pool.holders.is_empty() {
            book.pools.remove(&self.pool);
        }
    }
}

/// How full a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Seats owned.
    pub seats: u32,
    /// Seats taken; may exceed `seats` after an operator made the pool smaller, never otherwise.
    pub taken: u32,
}

/// Why no seat was given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSeat {
    /// The pool is full.
    #[error("all {0} seats are taken")]
    Full(u32),
    /// No such pool.
    #[error("there is no such pool")]
    UnknownPool,
}

/// Counts seats. One per site.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
}

/// Every pool, by name.
#[derive(Debug, Default)]
struct Book {
    pools: BTreeMap<Arc<str>, Account>,
    next_serial: u64,
}

/// One pool. Its seats in use are its holders: there is no second counter that could disagree.
#[derive(Debug)]
struct Account {
    seats: u32,
    /// Gone from the directory; kept only until its last seat comes back.
    withdrawn: bool,
    holders: HashMap<Arc<str>, Holder>,
}

#[derive(Debug)]
struct Holder {
    serial: u64,
    held: Weak<Held>,
}

/// What to do when every seat of the pool is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtFull {
    Refuse,
    Exceed,
}

impl Ledger {
    /// No pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the pools; taken seats stay taken, also those of a pool that became too small or is gone. Of two pools with one name the first counts.
    pub fn set_pools(&self, pools: &[Pool]) {
        let mut book = lock(&self.book);
        for account in book.pools.values_mut() {
            account.withdrawn = true;
        }
        for Pool { pool, seats } in pools {
            match book.pools.get_mut(pool.as_str()) {
                Some(account) if account.withdrawn => {
                    account.withdrawn = false;
                    account.seats = *seats;
                }
                Some(_) => {}
                None => {
                    book.pools.insert(pool.as_str().into(), Account { seats: *seats, withdrawn: false, holders: HashMap::new() });
                }
            }
        }
        book.pools.retain(|_, account| !(account.withdrawn && account.holders.is_empty()));
    }

    /// Takes a seat of `pool` for `endpoint`. The same endpoint asked again gets the same seat. One that moves to another pool holds both until its
    /// bindings have been given the new seat, so that nothing is lost when that fails.
    ///
    /// # Errors
    /// [`NoSeat`] when the pool is full or unknown.
    pub fn take(&self, pool: &str, endpoint: &str) -> Result<Seat, NoSeat> {
        self.seat(pool, endpoint, AtFull::Refuse)
    }

    /// Takes a seat for a binding that had been acknowledged before a restart: also when the pool has become too small since, because what was
    /// acknowledged is kept. A pool that is gone gives [`Seat::none`].
    #[must_use]
    pub fn retake(&self, pool: &str, endpoint: &str) -> Seat {
        self.seat(pool, endpoint, AtFull::Exceed).unwrap_or_else(|_| Seat::none())
    }

    /// How full a pool is; `None` for one that the directory does not name.
    #[must_use]
    pub fn usage(&self, pool: &str) -> Option<Usage> {
        let book = lock(&self.book);
        let account = book.pools.get(pool).filter(|account| !account.withdrawn)?;
        Some(Usage { seats: account.seats, taken: account.taken() })
    }

    fn seat(&self, pool: &str, endpoint: &str, at_full: AtFull) -> Result<Seat, NoSeat> {
        let mut book = lock(&self.book);
        let serial = book.next_serial;
        let (pool, account) = match book.pools.get_key_value(pool) {
            Some((name, account)) if !account.withdrawn => (Arc::clone(name), account),
            _ => return Err(NoSeat::UnknownPool),
        };
        let endpoint = match account.holders.get_key_value(endpoint) {
            Some((name, holder)) => match holder.held.upgrade() {
                Some(held) => return Ok(Seat(Some(held))),
                // The last clone is gone, its `Drop` waits for our lock: the place is still counted for this very endpoint and is taken over.
                None => Arc::clone(name),
            },
            None if at_full == AtFull::Refuse && account.taken() >= account.seats => return Err(NoSeat::Full(account.seats)),
            None => endpoint.into(),
        };
        let held = Arc::new(Held { pool: Arc::clone(&pool), endpoint: Arc::clone(&endpoint), serial, book: Arc::clone(&self.book) });
        book.next_serial = serial.wrapping_add(1);
        if let Some(account) = book.pools.get_mut(&pool) {
            account.holders.insert(endpoint, Holder { serial, held: Arc::downgrade(&held) });
        }
        Ok(Seat(Some(held)))
    }
}

impl Account {
    fn taken(&self) -> u32 {
        u32::try_from(self.holders.len()).unwrap_or(u32::MAX)
    }
}

/// A poisoned lock is taken all the same: every change of the book is one insertion or removal, complete or not made.
fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
