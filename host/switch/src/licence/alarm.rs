//! What is wrong with a pool, told once a day for as long as it is.

use super::{
    Validity,
    account::{Account, Since},
};
use crate::limits::licence::ALARM_EVERY;
use sip::Instant;
use std::sync::Arc;

/// Something that an operator has to do something about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// The pool.
    pub pool: Arc<str>,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// More seats are used than owned.
    OverCommitted {
        /// Used.
        taken: u32,
        /// Owned.
        seats: u32,
        /// Until when the pool may be used as before it was made smaller. No seat beyond those owned is given after that.
        until: Instant,
    },
    /// Its validity has ended.
    Ended {
        /// When.
        since: Instant,
        /// Until when seats are still given.
        until: Instant,
    },
}

/// When each trouble of a pool was last told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bell {
    over_committed: Option<Instant>,
    ended: Option<Instant>,
}

/// The trouble, if there is one and it was last told a day ago.
fn due(told: &mut Option<Instant>, trouble: Option<Trouble>, now: Instant) -> Option<Trouble> {
    *told = told.filter(|_| trouble.is_some());
    let due = trouble.filter(|_| told.is_none_or(|told| now.since(told) >= ALARM_EVERY));
    if due.is_some() {
        *told = Some(now);
    }
    due
}

impl<H: Since> Account<H> {
    /// What is wrong with it now.
    pub(super) fn troubles(&self, now: Instant) -> [Option<Trouble>; 2] {
        let (taken, seats) = (self.taken(), self.pool.seats);
        let over = (taken > seats).then(|| {
            let until = self.reduced.map_or(now, |reduced| reduced.since + self.pool.grace);
            Trouble::OverCommitted { taken, seats, until }
        });
        let ended = self.pool.not_after.filter(|_| matches!(self.validity(now), Validity::Grace | Validity::Ended));
        [over, ended.map(|since| Trouble::Ended { since, until: since + self.pool.grace })]
    }

    /// Those of them that are to be told now.
    pub(super) fn ring(&mut self, now: Instant) -> [Option<Trouble>; 2] {
        let [over, ended] = self.troubles(now);
        [due(&mut self.bell.over_committed, over, now), due(&mut self.bell.ended, ended, now)]
    }
}
