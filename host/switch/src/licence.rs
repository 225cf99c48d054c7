//! Licence seats. [`Ledger::take`] is the only door: a binding cannot be made without the [`Seat`] that it returns.
//!
//! One seat per endpoint and pool (user and pool where [`crate::directory::Per::User`] says so), however many contacts the endpoint has. A seat is a token: it goes back to its pool when
//! its last clone is dropped, so that nobody can forget to count.
//!
//! - **Reserved seats** are kept for their owners: all others together never take the last of them, also while an owner is away.
//! - **Turns**: who finds no seat waits. Free seats go to those who wait, in the order in which they first asked, when they ask again; nobody overtakes them
//!   until their wait lapses.
//! - **Grace**: a pool whose validity has ended, and one that was made smaller, is used as before for its grace period, with an alarm a day. Who holds a seat
//!   keeps it for as long as it stays registered, whatever becomes of the pool.
//!
//! `account` has the rules of one pool, `waiting` the order of those who wait, `alarm` what an operator is told. Time is an argument everywhere.

mod account;
mod alarm;
mod waiting;

pub use account::{Peak, Reduced};
pub use alarm::{Alarm, Trouble};

use crate::directory::Pool;
use account::{Account, Since};
use sip::Instant;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// The right of one endpoint (or of all endpoints of one user) to be registered. Given back when the last clone is dropped: all bindings share it.
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
    name: Arc<str>,
    /// Which entry of the ledger is this one's: an entry may have been taken over between the last clone's drop and this `Drop`.
    serial: u64,
    book: Arc<Mutex<Book>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        let Some(account) = book.pools.get_mut(&self.pool) else { return };
        if account.holder(&self.name).is_some_and(|(_, holder)| holder.serial == self.serial) {
            account.remove(&self.name);
        }
        if account.withdrawn && account.is_empty() {
            book.pools.remove(&self.pool);
        }
    }
}

/// How full a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Seats owned.
    pub seats: u32,
    /// Seats taken. More than `seats` only in the grace period after an operator made the pool smaller, and by those who still hold theirs after it.
    pub taken: u32,
}

/// Everything about a pool at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// As the operator describes it.
    pub pool: Pool,
    /// Seats taken.
    pub taken: u32,
    /// Reserved seats whose owners are away.
    pub away: u32,
    /// How many wait.
    pub waiting: u32,
    /// How often one asked who found no seat, since the gateway started.
    pub refused: u64,
    /// The most seats in use at a time.
    pub peak: Peak,
    /// Whether seats are given.
    pub validity: Validity,
    /// That it was made smaller: for its grace period, and for as long as more seats are used than owned.
    pub reduced: Option<Reduced>,
}

/// Where a pool stands between its dates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Before the first: no seat is given.
    NotYet,
    /// Between them.
    Valid,
    /// In the grace period after the last: seats are given as before.
    Grace,
    /// After that: no seat is given.
    Ended,
}

impl Validity {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::NotYet, Self::Valid, Self::Grace, Self::Ended];

    /// In a word: `not-yet`, `valid`, `grace`, `ended`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYet => "not-yet",
            Self::Valid => "valid",
            Self::Grace => "grace",
            Self::Ended => "ended",
        }
    }
}

/// An endpoint or user, as one pool knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Id of the endpoint or user.
    pub name: Arc<str>,
    /// Whether a seat is kept for it.
    pub reserved: bool,
    /// How it stands.
    pub standing: Standing,
}

/// How somebody stands in a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It holds a seat.
    Seated {
        /// Since when; of one that was registered before the gateway started, since that start.
        since: Instant,
    },
    /// It waits for one.
    Waiting {
        /// When it first asked.
        since: Instant,
        /// When its turn is lost unless it asks again.
        until: Instant,
        /// How often it has asked.
        asked: u32,
    },
    /// It holds none; one is kept for it.
    Away,
}

/// What outlives a restart besides the seats: how large a pool was, how full, and who waited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The pool.
    pub pool: String,
    /// Its seats.
    pub seats: u32,
    /// See [`Report::reduced`].
    pub reduced: Option<Reduced>,
    /// See [`Report::peak`].
    pub peak: Peak,
    /// Who waits, in their order.
    pub waiting: Vec<Turn>,
}

/// One who waits, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Id of the endpoint or user.
    pub name: Arc<str>,
    /// When it first asked.
    pub since: Instant,
    /// When its turn is lost unless it asks again.
    pub until: Instant,
}

/// Why no seat was given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSeat {
    /// The pool is full.
    #[error("all {0} seats are taken")]
    Full(u32),
    /// Those that are free are kept for others.
    #[error("the seats that are free are reserved")]
    Reserved,
    /// Others have waited longer for those that are free.
    #[error("others wait for the seats that are free")]
    Turn,
    /// Its validity has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// Its validity and the grace period have ended.
    #[error("it is not valid any more, and its grace period is over")]
    Ended,
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
    pools: BTreeMap<Arc<str>, Account<Holder>>,
    next_serial: u64,
}

#[derive(Debug)]
struct Holder {
    serial: u64,
    since: Instant,
    held: Weak<Held>,
}

impl Since for Holder {
    fn since(&self) -> Instant {
        self.since
    }
}

/// What to do when no seat is to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtFull {
    /// Refuse; whoever asked keeps a turn until then.
    Wait(Instant),
    Exceed,
}

impl Ledger {
    /// No pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the pools; taken seats stay taken, also those of a pool that became too small or is gone. Of two pools with one name the first counts.
    pub fn set_pools(&self, pools: &[Pool], now: Instant) {
        let mut book = lock(&self.book);
        for account in book.pools.values_mut() {
            account.withdrawn = true;
        }
        for pool in pools {
            match book.pools.get_mut(pool.pool.as_str()) {
                Some(account) if account.withdrawn => account.change(pool, now),
                Some(_) => {}
                None => {
                    book.pools.insert(pool.pool.as_str().into(), Account::new(pool.clone()));
                }
            }
        }
        book.pools.retain(|_, account| !(account.withdrawn && account.is_empty()));
    }

    /// Takes a seat of `pool` for an endpoint or user. The same one asked again gets the same seat. One that moves to another pool holds both until its
    /// bindings have been given the new seat, so that nothing is lost when that fails. Who finds none waits, and keeps its turn `until` then.
    ///
    /// # Errors
    /// [`NoSeat`] when the pool is full, what is free is kept for others, or the pool is not valid or unknown.
    pub fn take(&self, pool: &str, name: &str, until: Instant, now: Instant) -> Result<Seat, NoSeat> {
        self.seat(pool, name, AtFull::Wait(until), now)
    }

    /// Takes a seat for a binding that had been acknowledged before a restart: also when the pool has become too small since, because what was
    /// acknowledged is kept. A pool that is gone gives [`Seat::none`].
    #[must_use]
    pub fn retake(&self, pool: &str, name: &str, now: Instant) -> Seat {
        self.seat(pool, name, AtFull::Exceed, now).unwrap_or_else(|_| Seat::none())
    }

    /// Which of these endpoints or users would hold a seat of the pool if all of them came now, by name: takes none, and gives nobody a turn. Who would be last where not all
    /// find one is told by the order in which they are named, after owners of reserved seats and those who wait already.
    #[must_use]
    pub fn would<'a>(&self, pool: &str, names: &[&'a str], now: Instant) -> BTreeMap<&'a str, Result<(), NoSeat>> {
        let told = self.look(pool, |account| account.would(names, now));
        told.unwrap_or_else(|| names.iter().map(|name| (*name, Err(NoSeat::UnknownPool))).collect())
    }

    /// It waits no more, for whatever pool: it has unregistered.
    pub fn leave(&self, name: &str) {
        lock(&self.book).pools.values_mut().for_each(|account| account.leave(name));
    }

    /// Nobody waits any more whom `keep` refuses. `keep` must not use this ledger.
    pub fn retain_waiting(&self, now: Instant, keep: impl Fn(&str) -> bool) {
        lock(&self.book).pools.values_mut().for_each(|account| account.retain_waiting(now, &keep));
    }

    /// How full a pool is; `None` for one that the directory does not name.
    #[must_use]
    pub fn usage(&self, pool: &str) -> Option<Usage> {
        self.look(pool, |account| Usage { seats: account.pool.seats, taken: account.taken() })
    }

    /// Everything about a pool; `None` for one that the directory does not name.
    #[must_use]
    pub fn report(&self, pool: &str, now: Instant) -> Option<Report> {
        self.look(pool, |account| account.report(now))
    }

    /// How somebody stands in a pool: `None` for a pool that the directory does not name, and in it for who neither holds a seat, waits for one nor has one kept.
    #[must_use]
    pub fn place(&self, pool: &str, name: &str, now: Instant) -> Option<Option<Standing>> {
        self.look(pool, |account| account.place(name, now))
    }

    /// Those who hold a seat of the pool, wait for one, or have one kept: the first `most` whose names come after `after`, by name.
    #[must_use]
    pub fn places(&self, pool: &str, after: &str, most: usize, now: Instant) -> Option<Vec<Place>> {
        self.look(pool, |account| account.places(after, most, now))
    }

    /// What is wrong with the pools and has not been told for a day. To be asked again and again.
    #[must_use]
    pub fn alarms(&self, now: Instant) -> Vec<Alarm> {
        let mut book = lock(&self.book);
        let standing = book.pools.iter_mut().filter(|(_, account)| !account.withdrawn);
        let alarms = standing.flat_map(|(pool, account)| {
            let troubles = account.ring(now).into_iter().flatten();
            troubles.map(|trouble| Alarm { pool: Arc::clone(pool), trouble }).collect::<Vec<_>>()
        });
        alarms.collect()
    }

    /// What is wrong with a pool, told already or not.
    #[must_use]
    pub fn troubles(&self, pool: &str, now: Instant) -> Vec<Trouble> {
        self.look(pool, |account| account.troubles(now).into_iter().flatten().collect()).unwrap_or_default()
    }

    /// What is to be kept over a restart, by pool.
    #[must_use]
    pub fn marks(&self, now: Instant) -> Vec<Mark> {
        let book = lock(&self.book);
        let standing = book.pools.values().filter(|account| !account.withdrawn);
        let mark = |account: &Account<Holder>| Mark {
            pool: account.pool.pool.clone(),
            seats: account.pool.seats,
            reduced: account.reduced,
            peak: account.peak,
            waiting: account.turns(now),
        };
        standing.map(mark).collect()
    }

    /// Takes over what an earlier process had kept, once the seats of its bindings are taken again. A pool that was made smaller in between is in grace from
    /// now on; a grace period that had begun goes on.
    pub fn recall(&self, marks: &[Mark], now: Instant) {
        let mut book = lock(&self.book);
        for (name, account) in &mut book.pools {
            match marks.iter().find(|mark| *mark.pool == **name) {
                Some(mark) => {
                    account.reduced = mark.reduced;
                    account.resize(mark.seats, now);
                    if mark.peak.taken >= account.peak.taken {
                        account.peak = mark.peak;
                    }
                    account.resume(&mark.waiting, now);
                }
                // Kept by a version that left no marks.
                None if account.taken() > account.pool.seats => account.resize(account.taken(), now),
                None => {}
            }
        }
    }

    fn look<T>(&self, pool: &str, look: impl FnOnce(&Account<Holder>) -> T) -> Option<T> {
        let book = lock(&self.book);
        book.pools.get(pool).filter(|account| !account.withdrawn).map(look)
    }

    fn seat(&self, pool: &str, name: &str, at_full: AtFull, now: Instant) -> Result<Seat, NoSeat> {
        let mut guard = lock(&self.book);
        let book = &mut *guard;
        let pool = match book.pools.get_key_value(pool) {
            Some((pool, account)) if !account.withdrawn => Arc::clone(pool),
            _ => return Err(NoSeat::UnknownPool),
        };
        let Some(account) = book.pools.get_mut(&pool) else { return Err(NoSeat::UnknownPool) };
        let (name, since) = match (account.holder(name), at_full) {
            (Some((name, holder)), _) => match holder.held.upgrade() {
                Some(held) => return Ok(Seat(Some(held))),
                // The last clone is gone, its `Drop` waits for our lock: the place is still counted for this very holder and is taken over.
                None => (Arc::clone(name), holder.since),
            },
            (None, AtFull::Wait(until)) => {
                account.admit(name, until, now)?;
                (name.into(), now)
            }
            (None, AtFull::Exceed) => (name.into(), now),
        };
        let serial = book.next_serial;
        book.next_serial = serial.wrapping_add(1);
        let held = Arc::new(Held { pool: Arc::clone(&pool), name: Arc::clone(&name), serial, book: Arc::clone(&self.book) });
        account.insert(name, Holder { serial, since, held: Arc::downgrade(&held) }, now);
        Ok(Seat(Some(held)))
    }
}

/// A poisoned lock is taken all the same: every change of the book is complete or not made.
fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
