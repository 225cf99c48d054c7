//! Channels: how many calls a trunk carries at a time, each way, and how many of them are kept for calls for help.
//!
//! A channel is a token: whoever holds one has a call on the trunk, and it goes back when it is dropped, however the call ends. A normal call that finds none
//! goes elsewhere; a call for help always gets one. Where none is free for it, the youngest normal call on the trunk is to end; nobody waits for that.

use super::{State, Trunks};
use crate::toll::{Ceilings, Paid, Toll};
use sip::Instant;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

/// How many calls a trunk may carry at a time. Where nothing is said, as many as come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capacity {
    /// Both ways together.
    pub all: Option<u32>,
    /// From the trunk.
    pub inbound: Option<u32>,
    /// Out over the trunk.
    pub outbound: Option<u32>,
    /// So many that no normal call takes: of all, or of those out where there is no limit for all.
    pub reserved: u32,
}

impl Capacity {
    const fn one_way(&self, way: Way) -> Option<u32> {
        match way {
            Way::In => self.inbound,
            Way::Out => self.outbound,
        }
    }
}

/// Which way a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the trunk.
    In,
    /// Out over the trunk.
    Out,
}

/// Who holds a channel: a call by its name on its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holder {
    /// The shard.
    pub shard: usize,
    /// The call's name there.
    pub call: u64,
}

/// A call that is to end because its channel is needed for a call for help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evicted {
    /// The call.
    pub holder: Holder,
    /// Its channel.
    pub channel: u64,
    /// The trunk's name.
    pub trunk: Arc<str>,
}

/// What a channel is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purpose {
    /// Which way the call goes.
    pub way: Way,
    /// It is a call for help, or the emergency service that calls back.
    pub help: bool,
}

/// One call's place on a trunk; given back when dropped, however the call ends. What the call costs goes with it.
#[derive(Debug)]
pub struct Channel {
    state: Arc<State>,
    number: u64,
    toll: Option<Toll>,
}

impl Channel {
    /// The trunk's name.
    #[must_use]
    pub fn trunk(&self) -> &str {
        &self.state.name
    }

    /// Names it among all of the site's.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// What it was taken for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        let held = self.state.channels.lock();
        held.held.get(&self.number).map_or(Purpose { way: Way::Out, help: false }, |held| held.purpose)
    }

    /// From now on this is paid with it.
    #[must_use]
    pub fn charged(mut self, toll: Option<Toll>) -> Self {
        self.toll = toll;
        self
    }

    /// What is paid with it; nothing for a call for help.
    pub const fn toll(&mut self) -> Option<&mut Toll> {
        self.toll.as_mut()
    }

    /// What is paid with it, for another channel of the same call.
    pub const fn discharge(&mut self) -> Option<Toll> {
        self.toll.take()
    }

    /// What is paid with it, to be written down.
    #[must_use]
    pub fn paid(&self) -> Option<Paid> {
        self.toll.as_ref().map(Toll::paid)
    }

    /// When what it costs is to be looked at ([`Toll::due`]).
    #[must_use]
    pub fn due(&self, ceilings: &Ceilings) -> Option<Instant> {
        self.toll.as_ref()?.due(ceilings)
    }

    /// From now on it is another call's. Some: its call was to end, and whoever has it now is.
    pub fn goes_to(&self, holder: Holder) -> Option<Evicted> {
        let mut table = self.state.channels.lock();
        let held = table.held.get_mut(&self.number)?;
        held.holder = holder;
        held.wanted.then(|| Evicted { holder, channel: self.number, trunk: Arc::clone(&self.state.name) })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.state.channels.lock().held.remove(&self.number);
    }
}

/// The channels of one trunk that are taken.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    purpose: Purpose,
    holder: Holder,
    /// When its call began.
    since: Instant,
    /// Its call was told to end.
    wanted: bool,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn taken(&self) -> u32 {
        u32::try_from(self.lock().held.len()).unwrap_or(u32::MAX)
    }
}

impl Taken {
    fn count(&self, is: impl Fn(&Held) -> bool) -> u32 {
        u32::try_from(self.held.values().filter(|held| is(held)).count()).unwrap_or(u32::MAX)
    }

    /// Whether one more call finds a channel. A normal one leaves alone what is kept for calls for help; for one of those a call counts no more that was told
    /// to end.
    fn room(&self, purpose: Purpose, capacity: &Capacity) -> bool {
        let Purpose { way, help } = purpose;
        let fits = |limit: Option<u32>, reserve: u32, counts: &dyn Fn(&Held) -> bool| {
            let Some(limit) = limit else { return true };
            let in_use = self.count(|held| counts(held) && !(help && held.wanted));
            in_use < limit && (help || self.count(|held| counts(held) && !held.purpose.help) < limit.saturating_sub(reserve))
        };
        let (of_all, of_way) = match (capacity.all, way) {
            (Some(_), _) => (capacity.reserved, 0),
            (None, Way::Out) => (0, capacity.reserved),
            (None, Way::In) => (0, 0),
        };
        fits(capacity.all, of_all, &|_| true) && fits(capacity.one_way(way), of_way, &|held| held.purpose.way == way)
    }

    /// The youngest normal call whose end makes room for one that goes this way.
    fn youngest(&self, way: Way, capacity: &Capacity) -> Option<u64> {
        // Where this way is full, a call of the other way makes no room in it.
        let way_full = capacity.one_way(way).is_some_and(|limit| self.count(|held| held.purpose.way == way && !held.wanted) >= limit);
        let fit = self.held.iter().filter(|(_, held)| !held.purpose.help && !held.wanted && (!way_full || held.purpose.way == way));
        fit.max_by_key(|(number, held)| (held.since, **number)).map(|(number, _)| *number)
    }

    fn add(&mut self, number: u64, purpose: Purpose, holder: Holder, since: Instant) -> u64 {
        self.held.insert(number, Held { purpose, holder, since, wanted: false });
        number
    }
}

impl Trunks {
    fn next_channel(&self) -> u64 {
        self.channels.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a channel for a normal call that began at `since`; `None`: the trunk is full, but for what is kept for calls for help.
    #[must_use]
    pub fn take(&self, trunk: &str, way: Way, capacity: &Capacity, holder: Holder, since: Instant) -> Option<Channel> {
        let state = self.state(trunk);
        let purpose = Purpose { way, help: false };
        let mut table = state.channels.lock();
        if *capacity != Capacity::default() && !table.room(purpose, capacity) {
            return None;
        }
        let number = table.add(self.next_channel(), purpose, holder, since);
        drop(table);
        Some(Channel { state, number, toll: None })
    }

    /// Takes a channel for a call for help, whatever is free: the call that is to end for it, where there is one and none was free.
    #[must_use]
    pub fn take_for_help(&self, trunk: &str, way: Way, capacity: &Capacity, holder: Holder, since: Instant) -> (Channel, Option<Evicted>) {
        let state = self.state(trunk);
        let purpose = Purpose { way, help: true };
        let mut table = state.channels.lock();
        let evicted = if table.room(purpose, capacity) { None } else { table.youngest(way, capacity) };
        let evicted = evicted.and_then(|number| {
            let held = table.held.get_mut(&number)?;
            held.wanted = true;
            Some(Evicted { holder: held.holder, channel: number, trunk: Arc::clone(&state.name) })
        });
        let number = table.add(self.next_channel(), purpose, holder, since);
        drop(table);
        (Channel { state, number, toll: None }, evicted)
    }

    /// Takes back the channel of a call that outlived the process, whatever the limits are by now.
    #[must_use]
    pub fn take_again(&self, trunk: &str, purpose: Purpose, holder: Holder, since: Instant) -> Channel {
        let state = self.state(trunk);
        let number = state.channels.lock().add(self.next_channel(), purpose, holder, since);
        Channel { state, number, toll: None }
    }
}

#[cfg(test)]
mod tests;
