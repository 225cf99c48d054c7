//! One pool: who holds its seats, who waits, and whether one more is given. Knows no lock and no token.

use super::{
    NoSeat, Place, Report, Standing, Turn, Validity,
    alarm::Bell,
    waiting::{Waiter, Waiting},
};
use crate::{directory::Pool, limits::licence::TURNS};
use sip::Instant;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

/// A pool. Its seats in use are its holders: there is no second counter that could disagree.
#[derive(Debug)]
pub(super) struct Account<H> {
    pub(super) pool: Pool,
    /// Gone from the directory; kept only until its last seat comes back.
    pub(super) withdrawn: bool,
    /// What it had been before it was made smaller.
    pub(super) reduced: Option<Reduced>,
    pub(super) peak: Peak,
    pub(super) bell: Bell,
    /// Those who have asked and found no seat.
    refused: u64,
    reserved: BTreeSet<Arc<str>>,
    /// Those of `reserved` who hold a seat.
    owners: BTreeMap<Arc<str>, H>,
    /// All others who do.
    others: BTreeMap<Arc<str>, H>,
    waiting: Waiting,
}

/// That a pool was made smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reduced {
    /// The seats that it had.
    pub former: u32,
    /// When it lost them.
    pub since: Instant,
}

/// The most seats that were ever in use at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peak {
    /// So many.
    pub taken: u32,
    /// When that was reached.
    pub at: Instant,
}

/// A holder that knows since when it holds.
pub(super) trait Since {
    fn since(&self) -> Instant;
}

impl<H: Since> Account<H> {
    pub(super) fn new(pool: Pool) -> Self {
        let reserved = pool.reserved.iter().map(|name| name.as_str().into()).collect();
        Self {
            pool,
            withdrawn: false,
            reduced: None,
            peak: Peak::default(),
            bell: Bell::default(),
            refused: 0,
            reserved,
            owners: BTreeMap::new(),
            others: BTreeMap::new(),
            waiting: Waiting::default(),
        }
    }

    /// The operator describes it anew. Who holds a seat keeps it.
    pub(super) fn change(&mut self, pool: &Pool, now: Instant) {
        let before = self.pool.seats;
        self.withdrawn = false;
        if *pool == self.pool {
            return;
        }
        self.pool = pool.clone();
        self.resize(before, now);
        if !self.reserved.iter().map(|name| &**name).eq(pool.reserved.iter().map(String::as_str)) {
            self.reserved = pool.reserved.iter().map(|name| name.as_str().into()).collect();
            let mut all = std::mem::take(&mut self.owners);
            all.append(&mut self.others);
            (self.owners, self.others) = all.into_iter().partition(|(name, _)| self.reserved.contains(name));
        }
    }

    /// It had had `before` seats.
    pub(super) fn resize(&mut self, before: u32, now: Instant) {
        if self.pool.seats < before {
            // A second reduction within the grace period does not begin it anew.
            let running = self.reduced.filter(|reduced| now < reduced.since + self.pool.grace);
            let first = Reduced { former: before, since: now };
            self.reduced = Some(running.map_or(first, |reduced| Reduced { former: reduced.former.max(before), ..reduced }));
        } else if self.reduced.is_some_and(|reduced| reduced.former <= self.pool.seats) {
            self.reduced = None;
        }
    }

    pub(super) fn holder(&self, name: &str) -> Option<(&Arc<str>, &H)> {
        self.owners.get_key_value(name).or_else(|| self.others.get_key_value(name))
    }

    pub(super) fn insert(&mut self, name: Arc<str>, holder: H, now: Instant) {
        self.waiting.leave(&name);
        if self.reserved.contains(&name) {
            self.owners.insert(name, holder);
        } else {
            self.others.insert(name, holder);
        }
        if self.taken() > self.peak.taken {
            self.peak = Peak { taken: self.taken(), at: now };
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.owners.remove(name).is_none() {
            self.others.remove(name);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.others.is_empty()
    }

    pub(super) fn taken(&self) -> u32 {
        number(self.owners.len() + self.others.len())
    }

    /// Seats that are kept for owners who hold none now.
    fn away(&self) -> u32 {
        number(self.reserved.len() - self.owners.len())
    }

    pub(super) fn validity(&self, now: Instant) -> Validity {
        match (self.pool.not_before, self.pool.not_after) {
            (Some(from), _) if now < from => Validity::NotYet,
            (_, Some(end)) if now >= end + self.pool.grace => Validity::Ended,
            (_, Some(end)) if now >= end => Validity::Grace,
            _ => Validity::Valid,
        }
    }

    /// How many seats may be in use: those that it owns; in the grace period after it was made smaller those that it had; none before and after it is valid.
    fn ceiling(&self, now: Instant) -> Result<u32, NoSeat> {
        match self.validity(now) {
            Validity::NotYet => Err(NoSeat::NotYet),
            Validity::Ended => Err(NoSeat::Ended),
            Validity::Valid | Validity::Grace => {
                let former = self.reduced.filter(|reduced| now < reduced.since + self.pool.grace);
                Ok(former.map_or(self.pool.seats, |reduced| reduced.former.max(self.pool.seats)))
            }
        }
    }

    /// Whether somebody who holds no seat is given one. Who is not keeps a turn `until` then.
    pub(super) fn admit(&mut self, name: &str, until: Instant, now: Instant) -> Result<(), NoSeat> {
        let admitted = self.room(name, now);
        if admitted.is_err() {
            self.refused += 1;
            self.waiting.ask(name, until, now);
        }
        admitted
    }

    fn room(&mut self, name: &str, now: Instant) -> Result<(), NoSeat> {
        let ceiling = self.ceiling(now)?;
        let free = ceiling.saturating_sub(self.taken());
        if free == 0 {
            return Err(NoSeat::Full(ceiling));
        }
        if self.reserved.contains(name) {
            return Ok(());
        }
        let open = free.saturating_sub(self.away());
        if open == 0 {
            return Err(NoSeat::Reserved);
        }
        // A seat is kept for owners besides those that are open: they take none of these from anybody.
        let reserved = &self.reserved;
        if self.waiting.are_before(name, open, |waits| !reserved.contains(waits), now) {
            return Err(NoSeat::Turn);
        }
        Ok(())
    }

    /// Which of these would hold a seat if all of them came now, by name: who holds one, owners of reserved seats, those who wait in their order, all others in the order given.
    /// Nobody is given a seat or a turn.
    pub(super) fn would<'a>(&self, names: &[&'a str], now: Instant) -> BTreeMap<&'a str, Result<(), NoSeat>> {
        let mut told = BTreeMap::new();
        let mut asking: Vec<&'a str> = Vec::with_capacity(names.len());
        for name in names {
            if self.holder(name).is_some() {
                told.insert(*name, Ok(()));
            } else {
                asking.push(name);
            }
        }
        let ceiling = match self.ceiling(now) {
            Ok(ceiling) => ceiling,
            Err(why) => {
                told.extend(asking.into_iter().map(|name| (name, Err(why.clone()))));
                return told;
            }
        };
        let mut free = ceiling.saturating_sub(self.taken());
        let mut open = free.saturating_sub(self.away());
        // A stable sort: those without a turn keep their order.
        asking.sort_by_key(|name| (!self.reserved.contains(*name), self.waiting.turn(name, now).unwrap_or(u64::MAX)));
        for name in asking {
            if told.contains_key(name) {
                continue;
            }
            let left = if self.reserved.contains(name) { &mut free } else { &mut open };
            let seat = match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    Ok(())
                }
                None if ceiling > self.taken() && !self.reserved.contains(name) && self.away() > 0 => Err(NoSeat::Reserved),
                None => Err(NoSeat::Full(ceiling)),
            };
            told.insert(name, seat);
        }
        told
    }

    pub(super) fn leave(&mut self, name: &str) {
        self.waiting.leave(name);
    }

    pub(super) fn retain_waiting(&mut self, now: Instant, keep: impl Fn(&str) -> bool) {
        self.waiting.retain(now, keep);
    }

    pub(super) fn report(&self, now: Instant) -> Report {
        Report {
            pool: self.pool.clone(),
            taken: self.taken(),
            away: self.away(),
            waiting: number(self.waiting.count(now)),
            refused: self.refused,
            peak: self.peak,
            validity: self.validity(now),
            reduced: self.reduced.filter(|reduced| self.taken() > self.pool.seats || now < reduced.since + self.pool.grace),
        }
    }

    /// How somebody stands here; `None`: not at all.
    pub(super) fn place(&self, name: &str, now: Instant) -> Option<Standing> {
        if let Some((_, holder)) = self.holder(name) {
            return Some(Standing::Seated { since: holder.since() });
        }
        if let Some(Waiter { since, until, asked, .. }) = self.waiting.waiter(name, now) {
            return Some(Standing::Waiting { since: *since, until: *until, asked: *asked });
        }
        self.reserved.contains(name).then_some(Standing::Away)
    }

    /// Who waits, in their order, as far as that is kept over a restart.
    pub(super) fn turns(&self, now: Instant) -> Vec<Turn> {
        self.waiting.first(TURNS, now)
    }

    /// Those who waited before a restart wait again, but for whoever has a seat now.
    pub(super) fn resume(&mut self, turns: &[Turn], now: Instant) {
        let seatless: Vec<Turn> = turns.iter().filter(|turn| self.holder(&turn.name).is_none()).cloned().collect();
        self.waiting.resume(&seatless, now);
    }

    /// The first `most` after `after` who hold, wait or have a seat kept, by name.
    pub(super) fn places(&self, after: &str, most: usize, now: Instant) -> Vec<Place> {
        let from = (Bound::Excluded(after), Bound::Unbounded);
        let held = |reserved: bool| {
            move |(name, holder): (&Arc<str>, &H)| Place {
                name: Arc::clone(name),
                reserved,
                standing: Standing::Seated { since: holder.since() },
            }
        };
        let waits = |Waiter { name, since, until, asked }: &Waiter| Place {
            name: Arc::clone(name),
            reserved: self.reserved.contains(name),
            standing: Standing::Waiting { since: *since, until: *until, asked: *asked },
        };
        let owners = self.owners.range::<str, _>(from).take(most).map(held(true));
        let others = self.others.range::<str, _>(from).take(most).map(held(false));
        let waiting = self.waiting.after(after, now).take(most).map(waits);
        let mut places: BTreeMap<Arc<str>, Place> =
            owners.chain(others).chain(waiting).map(|place| (Arc::clone(&place.name), place)).collect();
        for name in self.reserved.range::<str, _>(from).take(most) {
            let away = || Place { name: Arc::clone(name), reserved: true, standing: Standing::Away };
            places.entry(Arc::clone(name)).or_insert_with(away);
        }
        places.into_values().take(most).collect()
    }
}

pub(super) fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
