//! How long registrations are gathered before they are written together.

use std::time::Duration;

/// So many registrations in the usual time are a storm…
const STORM: usize = 3;
/// …in which they are gathered so many times as long: a flush of the disk costs about as much as answering two of them, and shared by twenty it is hardly
/// felt. A phone sends its REGISTER again after half a second (RFC 3261 17.1.2.2, T1).
const LONGER: u32 = 4;

/// Decides how long to gather.
#[derive(Debug)]
pub(super) struct Gather {
    usual: Duration,
    storm: bool,
}

impl Gather {
    pub(super) const fn new(usual: Duration) -> Self {
        Self { usual, storm: false }
    }

    /// How long the next ones are gathered.
    pub(super) fn wait(&self) -> Duration {
        if self.storm { self.usual * LONGER } else { self.usual }
    }

    /// So many have come together in that time.
    pub(super) const fn came(&mut self, together: usize) {
        let times = if self.storm { LONGER as usize } else { 1 };
        self.storm = together >= STORM * times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_gathered_longer_until_it_has_passed() {
        let ms = Duration::from_millis;
        let mut gather = Gather::new(ms(5));
        let mut waits = |together| {
            let wait = gather.wait();
            gather.came(together);
            wait
        };
        // One now and then, a storm of a thousand a second, and one now and then again.
        assert_eq!([1, 2, 5, 20, 19, 4, 1].map(&mut waits), [5, 5, 5, 20, 20, 20, 5].map(ms));
    }
}
