//! Since when nobody talks at a phone: hunt groups call the one first that has rested longest.

use sip::Instant;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The phones of a site that have talked since the gateway runs. As many as the directory has.
#[derive(Debug, Default)]
pub struct Idle {
    table: Mutex<BTreeMap<Arc<str>, Phone>>,
}

#[derive(Debug)]
struct Phone {
    /// Calls in which somebody talks.
    calls: u32,
    /// When the last one ended.
    since: Instant,
}

/// How a phone stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Somebody talks.
    Talks,
    /// Nobody talks since then.
    Since(Instant),
    /// Nobody has talked yet.
    Never,
}

impl Idle {
    fn table(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Phone>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody talks at this endpoint.
    #[must_use]
    pub fn begin(self: &Arc<Self>, endpoint: &str, now: Instant) -> Talk {
        let endpoint: Arc<str> = endpoint.into();
        self.table().entry(Arc::clone(&endpoint)).or_insert(Phone { calls: 0, since: now }).calls += 1;
        Talk { idle: Arc::clone(self), endpoint, over: now }
    }

    /// How this endpoint stands.
    #[must_use]
    pub fn rest(&self, endpoint: &str) -> Rest {
        match self.table().get(endpoint) {
            None => Rest::Never,
            Some(Phone { calls: 0, since }) => Rest::Since(*since),
            Some(_) => Rest::Talks,
        }
    }

    /// Forgets those who do not talk and whom `keep` refuses.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.table().retain(|endpoint, phone| phone.calls > 0 || keep(endpoint));
    }
}

/// One phone in one call, until it is dropped.
#[derive(Debug)]
pub struct Talk {
    idle: Arc<Idle>,
    endpoint: Arc<str>,
    over: Instant,
}

impl Talk {
    /// The call is over.
    pub fn end(mut self, now: Instant) {
        self.over = now;
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(phone) = self.idle.table().get_mut(&self.endpoint) {
            phone.calls = phone.calls.saturating_sub(1);
            phone.since = phone.since.max(self.over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_from_the_end_of_the_last_of_its_calls() {
        let idle = Arc::new(Idle::default());
        let at = |seconds: u64| Instant::from_unix_micros(seconds * 1_000_000);
        assert_eq!(idle.rest("desk-1"), Rest::Never);
        let (first, second) = (idle.begin("desk-1", at(1)), idle.begin("desk-1", at(2)));
        first.end(at(5));
        assert_eq!(idle.rest("desk-1"), Rest::Talks);
        second.end(at(9));
        assert_eq!(idle.rest("desk-1"), Rest::Since(at(9)));
        drop(idle.begin("desk-2", at(7)));
        assert_eq!(idle.rest("desk-2"), Rest::Since(at(7)));
        let talks = idle.begin("desk-2", at(10));
        idle.retain(|_| false);
        assert_eq!((idle.rest("desk-1"), idle.rest("desk-2")), (Rest::Never, Rest::Talks));
        talks.end(at(11));
    }
}
