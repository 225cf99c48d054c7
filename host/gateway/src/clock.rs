//! The wall clock, read once; from then on only monotonic time.

use sip::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment as RFC 3339 writes it, to the second, in UTC.
#[must_use]
pub fn rfc3339(at: Instant) -> String {
    let at = OffsetDateTime::from(UNIX_EPOCH + Duration::from_micros(at.unix_micros())).truncate_to_second();
    // The form has a place for every time up to the year 9999.
    at.format(&Rfc3339).unwrap_or_default()
}

/// Gives the time of events. A stepped wall clock (NTP, an operator) moves nothing: no registration ends, no timer fires early.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Instant,
    started: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts from the wall clock's present time.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Instant::default() + wall, started: tokio::time::Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.wall + self.started.elapsed()
    }

    /// The runtime's name for a moment, for its timers. Rounded up to the millisecond in which the runtime keeps time, so that a timer never wakes
    /// its owner just before it is due.
    #[must_use]
    pub fn timer(&self, at: Instant) -> tokio::time::Instant {
        self.started + at.since(self.wall) + Duration::from_micros(1)
    }
}
