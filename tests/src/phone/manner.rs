//! How a phone treats those who call it.

use std::time::Duration;

/// What a phone does when somebody calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Rings, and answers after this long.
    Answers(Duration),
    /// Plays an announcement before it answers: 183 with a body, sent reliably when told so (RFC 3262).
    EarlyMedia {
        /// From the announcement to the answer.
        after: Duration,
        /// Whether the 183 asks for PRACK.
        reliably: bool,
    },
    /// Rings and is not answered.
    Rings,
    /// Refuses with this status.
    Refuses(u16),
    /// Sends whoever calls elsewhere: at once, or after ringing for so long.
    Redirects {
        /// 3xx.
        status: u16,
        /// The Contact values; none when empty.
        contact: &'static str,
        /// How long it rings before.
        after: Duration,
    },
}
