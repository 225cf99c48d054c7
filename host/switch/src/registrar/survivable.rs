//! How long a registration lasts while the gateway stands in for the cloud: short, so that phones are back at their cloud soon after it is, and each a little different, so that a
//! site that lost its cloud in one moment does not come back in one wave every minute from then on.

use super::Wish;
use crate::limits::survivable::{EXPIRES, SPREAD_PERCENT};
use sip::random::Random;
use std::time::Duration;

/// Survivable mode. A phone that registers here has lost its cloud: the phone decides that, and the gateway sees nothing of it before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survivable {
    /// What a registration lasts, on average; whole seconds.
    pub expires: Duration,
    /// How far one may differ from that, in hundredths of it; below 100.
    pub spread_percent: u32,
}

impl Default for Survivable {
    fn default() -> Self {
        Self { expires: EXPIRES, spread_percent: SPREAD_PERCENT }
    }
}

impl Survivable {
    /// Shortens what a REGISTER would be granted: all its contacts to one time, drawn evenly from [`Survivable::range`]. Never lengthens: RFC 3261 10.2.1.1 lets a
    /// registrar shorten what a phone asks for. Never below `shortest`, which phones that repeat what they were granted could not ask for again.
    #[must_use]
    pub fn shorten(&self, wish: Wish, shortest: Duration, random: &mut Random) -> Wish {
        let Wish::Bind(mut contacts) = wish else { return wish };
        let (least, most) = self.range(shortest);
        let drawn = least + random.next_u64() % (most - least + 1);
        let drawn = u32::try_from(drawn).unwrap_or(u32::MAX);
        for contact in &mut contacts {
            contact.seconds = contact.seconds.min(drawn);
        }
        Wish::Bind(contacts)
    }

    /// The shortest and the longest time that is drawn, in seconds.
    #[must_use]
    pub fn range(&self, shortest: Duration) -> (u64, u64) {
        let (middle, shortest) = (self.expires.as_secs(), shortest.as_secs().max(1));
        let spread = middle * u64::from(self.spread_percent) / 100;
        let least = middle.saturating_sub(spread).max(shortest);
        (least, (middle + spread).max(least))
    }
}
