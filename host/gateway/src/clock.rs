//! The wall clock, read once; from then on only monotonic time.

use sip::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
