//! Which of several refusals the caller gets.

use crate::decision::Refusal;
use serde::{Deserialize, Serialize};
use sip::Message;

/// The best refusal so far of the targets that were rung (RFC 3261 16.7 step 6).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Best {
    Message(Message),
    Refusal(Refusal),
}

impl Best {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Message(m) => m.status(),
            Self::Refusal(refusal) => refusal.status,
        }
    }

    /// Smaller is better: 6xx first, then the lowest class; within 4xx those that tell the caller what to do.
    pub(super) fn rank(&self) -> (u16, u16) {
        let status = self.status();
        match status {
            600.. => (0, 0),
            // Authentication, parameters and "try again" say more than a plain 4xx (16.7 step 6).
            401 | 407 | 415 | 420 | 484 => (status / 100, 0),
            // A phone that is busy says more about the person than one that is away.
            486 => (4, 1),
            // Nobody there at all is the least that can be said.
            408 | 480 => (4, 3),
            _ => (status / 100, 2),
        }
    }
}
