//! How full a shard's tables are, for whoever checks that nothing grows and nothing is left behind.

use super::shard::Shard;
use switch::bridge::Sight;

/// Entries in each table of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Calls, also those that only await answers.
    pub calls: usize,
    /// Our tags, by which requests find their calls.
    pub tags: usize,
    /// Requests of ours whose answers belong to a call.
    pub clients: usize,
    /// INVITEs of peers that belong to a call.
    pub servers: usize,
    /// Messages on their way, and copies of them.
    pub messages: usize,
    /// INVITEs about which the policies have not decided.
    pub undecided: usize,
    /// Dialogs of all shards that live elsewhere than their Call-ID says.
    pub moved: usize,
    /// Server and client transactions.
    pub transactions: usize,
}

impl Tables {
    /// Everything together: 0 when the shard has nothing to do and nothing to remember.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.calls + self.tags + self.clients + self.servers + self.messages + self.undecided + self.moved + self.transactions
    }
}

impl Shard {
    /// How full the tables are.
    #[must_use]
    pub fn tables(&self) -> Tables {
        let (servers, clients) = self.stack.transactions();
        Tables {
            calls: self.live.calls.len(),
            tags: self.live.by_tag.len() + self.live.helped.len(),
            clients: self.live.by_client.len(),
            servers: self.live.by_server.len(),
            messages: self.messages.couriers.len() + self.messages.copies.len() + self.notices.len(),
            undecided: self.undecided.len(),
            moved: self.parts.exchange.moved(),
            transactions: servers + clients,
        }
    }

    /// Entries that lead to calls which are gone: there must be none.
    #[must_use]
    pub fn orphans(&self) -> usize {
        let gone = |key: &u64| !self.live.calls.contains_key(key);
        self.live.by_tag.values().filter(|key| gone(key)).count()
            + self.live.by_server.values().filter(|key| gone(key)).count()
            + self.live.by_client.values().filter(|(key, _)| gone(key)).count()
    }

    /// Transactions that no timer will ever end: there must be none.
    #[must_use]
    pub fn endless(&self) -> usize {
        self.stack.endless()
    }

    /// Every call as it is now, in the order in which they began. Looks at all of them.
    #[must_use]
    pub fn sights(&self) -> Vec<Sight> {
        let mut calls: Vec<_> = self.live.calls.iter().collect();
        calls.sort_unstable_by_key(|(key, _)| **key);
        calls.into_iter().map(|(_, entry)| entry.bridge.sight()).collect()
    }
}
