//! Whether an address of a trunk serves: up, degraded or down, with hysteresis, so that one lost datagram is no outage and one answer no recovery.

use sip::Instant;
use std::{fmt, time::Duration};

/// So many failures in a row, and it is down.
const FALL: u32 = 2;
/// So many good answers in a row, and it is up again …
const RISE: u32 = 3;
/// … when the last failure is at least so long ago: one that flaps stays degraded.
const SETTLE: Duration = Duration::from_secs(10);
/// An answer that takes so long is a bad sign: callers hear nothing in that time.
const SLOW: Duration = Duration::from_secs(2);
/// One that nobody asks with OPTIONS is tried with calls again so long after its last failure.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// How a trunk, or one of its addresses, stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Standing {
    /// It serves.
    #[default]
    Up,
    /// It serves, but not all is well: slow, failing now and then, on its way back, not registered, or by a lesser address.
    Degraded,
    /// It does not serve.
    Down,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Up, Self::Degraded, Self::Down];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// What was seen of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Any answer but those below; how long it took, where that is known.
    Answered(Option<Duration>),
    /// It is there and will not serve: 503, or 408 from somebody behind it.
    Refused(u16),
    /// No answer in time.
    Silent,
    /// The network says that nobody is there, or its connection was lost.
    Unreachable,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(Some(took)) => write!(f, "answers after {} ms", took.as_millis()),
            Self::Answered(None) => f.write_str("answers"),
            Self::Refused(status) => write!(f, "answers {status}"),
            Self::Silent => f.write_str("does not answer"),
            Self::Unreachable => f.write_str("cannot be reached"),
        }
    }
}

/// The health of one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pulse {
    /// How it stands.
    pub standing: Standing,
    /// How long its last measured answer took.
    pub latency: Option<Duration>,
    /// The last bad sign, and when it was seen.
    pub failed: Option<(Sign, Instant)>,
    failures: u32,
    good: u32,
}

impl Pulse {
    /// After this sign.
    #[must_use]
    pub fn on(self, sign: Sign, now: Instant) -> Self {
        let settled = self.failed.is_none_or(|(_, at)| now.since(at) >= SETTLE);
        match sign {
            Sign::Answered(Some(took)) if took >= SLOW => {
                Self { standing: Standing::Degraded, latency: Some(took), failed: Some((sign, now)), failures: 0, good: 0 }
            }
            Sign::Answered(took) => {
                let good = self.good.saturating_add(1).min(RISE);
                let standing = match self.standing {
                    Standing::Up => Standing::Up,
                    Standing::Degraded if good >= RISE && settled => Standing::Up,
                    Standing::Degraded | Standing::Down => Standing::Degraded,
                };
                Self { standing, latency: took.or(self.latency), failures: 0, good, ..self }
            }
            Sign::Refused(_) | Sign::Silent | Sign::Unreachable => {
                // Saturates: one that was away for a year is on its way back with its first answer.
                let failures = self.failures.saturating_add(1).min(FALL);
                let standing = if failures >= FALL { Standing::Down } else { self.standing.max(Standing::Degraded) };
                Self { standing, failed: Some((sign, now)), failures, good: 0, ..self }
            }
        }
    }

    /// One that nobody asks is worth another try after a while: then it is degraded, and one more failure makes it down again.
    #[must_use]
    pub fn tried_again(self, now: Instant) -> Self {
        match self.failed {
            Some((_, at)) if self.standing == Standing::Down && now.since(at) >= TRY_AGAIN => {
                Self { standing: Standing::Degraded, failures: FALL - 1, ..self }
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::at;

    const GOOD: Sign = Sign::Answered(None);

    /// Signs, each so many seconds after the start, and how it stands after each.
    fn run(signs: &[(u64, Sign, Standing)]) -> Pulse {
        let mut pulse = Pulse::default();
        for (seconds, sign, standing) in signs {
            pulse = pulse.on(*sign, at(*seconds));
            assert_eq!(pulse.standing, *standing, "after {sign} at {seconds}");
        }
        pulse
    }

    #[test]
    fn one_failure_is_no_outage_two_in_a_row_are() {
        use Standing::{Degraded, Down, Up};
        run(&[(0, GOOD, Up), (1, Sign::Silent, Degraded), (2, GOOD, Degraded), (3, Sign::Silent, Degraded), (4, Sign::Refused(503), Down)]);
        run(&[(0, Sign::Unreachable, Degraded), (0, Sign::Unreachable, Down), (1, Sign::Unreachable, Down)]);
    }

    #[test]
    fn one_answer_is_no_recovery_and_flapping_is_none() {
        use Standing::{Degraded, Down, Up};
        let down = [(0, Sign::Silent, Degraded), (1, Sign::Silent, Down)];
        // Three answers, and ten seconds without a failure.
        run(&[down.as_slice(), &[(2, GOOD, Degraded), (3, GOOD, Degraded), (4, GOOD, Degraded), (11, GOOD, Up)]].concat());
        run(&[down.as_slice(), &[(12, GOOD, Degraded), (13, GOOD, Degraded), (14, GOOD, Up)]].concat());
        // It comes and goes: never up, and down when it fails twice.
        let flapping: Vec<_> = (2..60).map(|second| (second, if second % 2 == 0 { GOOD } else { Sign::Silent }, Degraded)).collect();
        run(&[&down, flapping.as_slice(), &[(60, Sign::Silent, Down)]].concat());
    }

    #[test]
    fn slow_is_degraded_and_never_down() {
        use Standing::{Degraded, Up};
        let slow = Sign::Answered(Some(Duration::from_millis(2_500)));
        let quick = Sign::Answered(Some(Duration::from_millis(30)));
        let pulse = run(&[(0, quick, Up), (5, slow, Degraded), (10, slow, Degraded), (15, slow, Degraded), (16, quick, Degraded)]);
        assert_eq!(pulse.latency, Some(Duration::from_millis(30)));
        assert_eq!(pulse.failed, Some((slow, at(15))));
    }

    #[test]
    fn one_that_is_not_asked_is_tried_again() {
        let down = run(&[(0, Sign::Silent, Standing::Degraded), (1, Sign::Silent, Standing::Down)]);
        assert_eq!(down.tried_again(at(60)).standing, Standing::Down);
        let again = down.tried_again(at(61));
        assert_eq!(again.standing, Standing::Degraded);
        assert_eq!(again.on(Sign::Silent, at(62)).standing, Standing::Down);
        assert_eq!(again.on(GOOD, at(62)).standing, Standing::Degraded);
    }
}
