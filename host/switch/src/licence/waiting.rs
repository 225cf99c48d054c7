//! Who waits for a seat of one pool, in the order in which they first asked.

use super::Turn;
use sip::Instant;
use std::{collections::BTreeMap, sync::Arc};

/// The waiting list of a pool. As many may wait as there are endpoints: nobody else is ever asked for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_turn: BTreeMap<u64, Waiter>,
    turns: BTreeMap<Arc<str>, u64>,
    next_turn: u64,
}

/// One who waits.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) name: Arc<str>,
    /// When it first asked.
    pub(super) since: Instant,
    /// Its turn is lost unless it asks again before.
    pub(super) until: Instant,
    /// How often it has asked.
    pub(super) asked: u32,
}

impl Waiting {
    /// It has asked in vain, and keeps its turn `until` then.
    pub(super) fn ask(&mut self, name: &str, until: Instant, now: Instant) {
        let known = self.turns.get(name).and_then(|turn| self.by_turn.get_mut(turn)).filter(|waiter| waiter.until > now);
        if let Some(waiter) = known {
            waiter.until = until;
            waiter.asked = waiter.asked.saturating_add(1);
            return;
        }
        self.leave(name);
        let turn = self.next_turn;
        self.next_turn = turn.wrapping_add(1);
        let name: Arc<str> = name.into();
        self.turns.insert(Arc::clone(&name), turn);
        self.by_turn.insert(turn, Waiter { name, since: now, until, asked: 1 });
    }

    /// It waits no more.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(turn) = self.turns.remove(name) {
            self.by_turn.remove(&turn);
        }
    }

    /// Whether at least `so_many` of those that `count` wait before `name`; before somebody who does not wait stand all. Forgets those on the way whose wait
    /// has lapsed, so that what it costs is bounded by `so_many` and by what it takes away.
    pub(super) fn are_before(&mut self, name: &str, so_many: u32, count: impl Fn(&str) -> bool, now: Instant) -> bool {
        let own = self.turns.get(name).copied().filter(|turn| self.by_turn.get(turn).is_some_and(|waiter| waiter.until > now));
        let (mut before, mut lapsed) = (0, Vec::new());
        for (turn, waiter) in &self.by_turn {
            if before >= so_many || own.is_some_and(|own| *turn >= own) {
                break;
            }
            if waiter.until <= now {
                lapsed.push(Arc::clone(&waiter.name));
            } else if count(&waiter.name) {
                before += 1;
            }
        }
        lapsed.iter().for_each(|name| self.leave(name));
        before >= so_many
    }

    /// Forgets those that `keep` refuses, and those whose wait has lapsed.
    pub(super) fn retain(&mut self, now: Instant, keep: impl Fn(&str) -> bool) {
        self.by_turn.retain(|_, waiter| waiter.until > now && keep(&waiter.name));
        let by_turn = &self.by_turn;
        self.turns.retain(|_, turn| by_turn.contains_key(turn));
    }

    /// Its place in the order, while it waits.
    pub(super) fn turn(&self, name: &str, now: Instant) -> Option<u64> {
        self.turns.get(name).copied().filter(|turn| self.by_turn.get(turn).is_some_and(|waiter| waiter.until > now))
    }

    /// Who waits, while it does.
    pub(super) fn waiter(&self, name: &str, now: Instant) -> Option<&Waiter> {
        self.turns.get(name).and_then(|turn| self.by_turn.get(turn)).filter(|waiter| waiter.until > now)
    }

    /// The first `most` who wait, in their order.
    pub(super) fn first(&self, most: usize, now: Instant) -> Vec<Turn> {
        let live = self.by_turn.values().filter(|waiter| waiter.until > now);
        live.take(most).map(|Waiter { name, since, until, .. }| Turn { name: Arc::clone(name), since: *since, until: *until }).collect()
    }

    /// They wait in this order, behind whoever waits already.
    pub(super) fn resume(&mut self, turns: &[Turn], now: Instant) {
        for Turn { name, since, until } in turns.iter().filter(|turn| turn.until > now) {
            if self.turns.contains_key(name) {
                continue;
            }
            let turn = self.next_turn;
            self.next_turn = turn.wrapping_add(1);
            self.turns.insert(Arc::clone(name), turn);
            self.by_turn.insert(turn, Waiter { name: Arc::clone(name), since: *since, until: *until, asked: 1 });
        }
    }

    /// How many wait.
    pub(super) fn count(&self, now: Instant) -> usize {
        self.by_turn.values().filter(|waiter| waiter.until > now).count()
    }

    /// Those whose names come after `after`, in the order of their names.
    pub(super) fn after<'a>(&'a self, after: &str, now: Instant) -> impl Iterator<Item = &'a Waiter> + use<'a> {
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.turns.range::<str, _>(from).filter_map(|(_, turn)| self.by_turn.get(turn)).filter(move |waiter| waiter.until > now)
    }
}
