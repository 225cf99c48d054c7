//! The site's clock: how far it is from UTC, and when that changes.

use sip::Instant;
use std::sync::Arc;

/// A time zone as a table, UTC by default. Made by whoever has a time zone database; here it is looked up, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Zone {
    /// Minutes ahead of UTC before the first change.
    first: i32,
    /// From when on it is so many minutes ahead of UTC, earliest first. Shared by all copies, as the directory's other tables are.
    changes: Arc<[(Instant, i32)]>,
}

impl Zone {
    /// A clock that is `first` minutes ahead of UTC, and from each moment of `changes` on so many as stand there.
    #[must_use]
    pub fn new(first: i32, changes: impl IntoIterator<Item = (Instant, i32)>) -> Self {
        let mut changes: Vec<_> = changes.into_iter().collect();
        changes.sort_by_key(|(from, _)| *from);
        Self { first, changes: changes.into() }
    }

    /// Minutes to add to UTC at that moment.
    #[must_use]
    pub fn utc_offset_minutes(&self, at: Instant) -> i32 {
        let passed = self.changes.partition_point(|(from, _)| *from <= at);
        let last = passed.checked_sub(1).and_then(|last| self.changes.get(last));
        last.map_or(self.first, |(_, minutes)| *minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::at;
    use std::time::Duration;

    #[test]
    fn a_change_counts_from_its_moment_on() {
        let zone = Zone::new(60, [(at(200), 60), (at(100), 120)]);
        let offset = |at| zone.utc_offset_minutes(at);
        assert_eq!([offset(Instant::default()), offset(at(99)), offset(at(100)), offset(at(199)), offset(at(200))], [60, 60, 120, 120, 60]);
        assert_eq!(offset(at(200) + Duration::from_secs(1 << 32)), 60);
        assert_eq!(Zone::default().utc_offset_minutes(at(100)), 0);
    }
}
