//! What of the accounts outlives the process.
//!
//! A balance is what an account would have if every call ended now; of each talk that goes on it says how much that is. After a restart calls are taken up again and count from
//! where somebody answered ([`Tolls::resume`]), and that much is taken back. So a call that has ended meanwhile is not lost, and one that goes on is not counted twice.

use super::{Account, DAY, HOUR, Table, Toll, Tolls};
use serde::{Deserialize, Serialize};
use sip::Instant;
use std::{mem, sync::Arc, time::Duration};

/// An outage goes on after a restart when phones are registered from before, or one comes within this time since it was last seen going on: they come back within minutes, but
/// registrations may have lapsed while the gateway was down, which is not to open the budget again.
const AWAY: Duration = Duration::from_secs(3600);
/// How exactly [`Outage::seen`] is kept: what has not changed is not written.
const SEEN_EVERY: Duration = Duration::from_secs(300);

/// What of an account outlives the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Balance {
    /// The endpoint or user who pays; `None`: the site.
    pub payer: Option<Arc<str>>,
    /// When its hour began, and the calls in it.
    pub hour: Option<(Instant, u32)>,
    /// When its day began, and the talk in it.
    pub day: Option<(Instant, Duration)>,
    /// The talk since phones are here without their cloud.
    pub talk_in_outage: Duration,
    /// What of that belongs to calls that may go on after a restart.
    pub talks: Vec<Talk>,
    /// Of the site only: the outage that lasts.
    pub outage: Option<Outage>,
}

/// The talk of a call that may go on after a restart, as far as it is in a [`Balance`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Talk {
    /// When somebody answered, by which the call is known again.
    pub answered: Instant,
    /// How much of it is in the day.
    pub in_day: Duration,
    /// How much of it is in the outage.
    pub in_outage: Duration,
}

/// Phones are here without their cloud.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// Since when.
    pub began: Instant,
    /// When that was last so, to five minutes.
    pub seen: Instant,
}

/// What is to be known of a [`Toll`] to take it up again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paid {
    /// The endpoint or user who pays; `None`: nobody but the site.
    pub payer: Option<String>,
    /// When somebody answered.
    pub answered: Option<Instant>,
}

impl Balance {
    /// Whether nothing was used that still counts.
    fn is_empty(&self) -> bool {
        let Self { payer: _, hour, day, talk_in_outage, talks, outage } = self;
        hour.is_none() && day.is_none() && talk_in_outage.is_zero() && talks.is_empty() && outage.is_none()
    }
}

impl Account {
    /// `outage`: whether one lasts.
    fn balance(&self, payer: Option<&Arc<str>>, outage: Option<Outage>, now: Instant) -> Balance {
        let mut then = self.clone();
        for since in mem::take(&mut then.calls).into_iter().filter_map(|(_, since)| since) {
            then.settle(since, true, now);
        }
        let day = then.day.filter(|(began, talk)| *began + DAY > now && !talk.is_zero());
        if outage.is_none() {
            then.outage_begins();
        }
        for talk in then.talks.iter_mut().filter(|_| day.is_none()) {
            talk.in_day = Duration::ZERO;
        }
        then.talks.retain(|talk| !(talk.in_day.is_zero() && talk.in_outage.is_zero()));
        Balance {
            payer: payer.cloned(),
            hour: then.hour.filter(|(began, _)| *began + HOUR > now),
            day,
            talk_in_outage: then.outage,
            talks: then.talks,
            outage: outage.filter(|_| payer.is_none()),
        }
    }

    /// A call that is known by when it was answered is taken up again.
    pub(super) fn take_back(&mut self, answered: Instant) {
        let Some(place) = self.talks.iter().position(|talk| talk.answered == answered) else { return };
        let Talk { in_day, in_outage, .. } = self.talks.swap_remove(place);
        self.outage = self.outage.saturating_sub(in_outage);
        // A day that has nothing else in it began with this talk, and begins with it again when it ends.
        self.day = self.day.map(|(began, talk)| (began, talk.saturating_sub(in_day))).filter(|(_, talk)| !talk.is_zero());
    }
}

impl Table {
    /// When an outage that began before a restart was last seen going on, if it may still be the same.
    pub(super) fn still_lasts(&self, now: Instant) -> Option<Instant> {
        self.resumed.filter(|seen| now < *seen + AWAY)
    }
}

impl Tolls {
    /// What is to be kept over a restart: the site's account first, then those of endpoints and users in their order, but for accounts of which nothing counts any more. `registered`:
    /// whether a phone is, so that an outage lasts.
    #[must_use]
    pub fn kept(&self, registered: bool, now: Instant) -> Vec<Balance> {
        let table = self.table();
        let seen = if registered { Some(coarse(now)) } else { table.still_lasts(now) };
        let outage = table.outage.zip(seen).map(|(began, seen)| Outage { began, seen });
        let accounts = table.accounts.iter().map(|(payer, account)| (Some(payer), account));
        let balances = [(None, &table.site)].into_iter().chain(accounts).map(|(payer, account)| account.balance(payer, outage, now));
        balances.filter(|balance| !balance.is_empty()).collect()
    }

    /// Takes over what an earlier process had kept, before its calls are taken up again. By a clock that was set back meanwhile nothing begins later than now.
    pub fn restore(&self, balances: Vec<Balance>, now: Instant) {
        let mut table = self.table();
        for Balance { payer, hour, day, talk_in_outage, talks, outage } in balances {
            let account = Account {
                calls: Vec::new(),
                hour: hour.map(|(began, calls)| (began.min(now), calls)),
                day: day.map(|(began, talk)| (began.min(now), talk)),
                outage: talk_in_outage,
                talks,
            };
            if let Some(payer) = payer {
                table.accounts.insert(payer, account);
                continue;
            }
            table.site = account;
            if let Some(Outage { began, seen }) = outage {
                (table.outage, table.resumed) = (Some(began.min(now)), Some(seen.min(now)));
            }
        }
    }

    /// The process ends, and its calls go on without it: legs that are dropped from now on may be taken up again.
    pub fn leave(&self) {
        self.table().leaving = true;
    }
}

impl Toll {
    /// What is to be known of it to take it up again.
    #[must_use]
    pub fn paid(&self) -> Paid {
        Paid { payer: self.payer.as_deref().map(str::to_owned), answered: self.answered }
    }
}

const fn coarse(at: Instant) -> Instant {
    let micros = at.unix_micros();
    Instant::from_unix_micros(micros - micros % (SEEN_EVERY.as_secs() * 1_000_000))
}
