//! The limits of the protocol layer, in one place. The shell fills them from `[limits]` and counts whenever one bites.

/// What one message, one peer and one shard may use at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of one message, headers and body. A longer datagram is refused with 513, a longer stream is closed.
    pub message_bytes: usize,
    /// Header lines of one message.
    pub headers: usize,
    /// Live server transactions per shard; further requests get 503 with Retry-After, except ACK and CANCEL.
    pub server_transactions: usize,
    /// Live client transactions per shard.
    pub client_transactions: usize,
}

impl Limits {
    /// How many there may be of something whose limit is `limit` when one more is urgent: an eighth more, and at least 16.
    #[must_use]
    pub const fn with_reserve(limit: usize) -> usize {
        let reserve = if limit / 8 > 16 { limit / 8 } else { 16 };
        limit.saturating_add(reserve)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 65_535, headers: 256, server_transactions: 100_000, client_transactions: 100_000 }
    }
}
