//! Instances prepared ahead: a policy that begins every decision anew is started, and cleared away, after the answer is on its way and not while a phone waits.
//!
//! Each shard prepares its own at the end of a turn of its loop, one for each policy. A thread of its own for this would have to be woken for each decision, which
//! costs as much as starting a compiled component, and starting in several threads at a time is no faster than in one: they wait for each other at the
//! process's memory map. What a shard is asked beyond that in one turn is started on the spot.
//!
//! A prepared instance has seen nothing that can grow old: one that asked the host anything while it started is thrown away, and its policy is started on the
//! spot from then on.

use super::{
    aside::Begun,
    instance::{Instance, at_once},
    load::Policy,
    machine::Machine,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use switch::{decision::PolicyFault, site::Site};
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

/// Instances of one policy that a shard keeps ready, at most.
const READY: usize = 4;

/// Time to start an instance, at least: script engines take most of a millisecond.
pub(super) const START: Duration = Duration::from_millis(5);

/// Shards for which an instance is prepared when a policy is swapped in, at most.
const AHEAD: usize = 32;

/// The start of an instance.
pub(super) type Start = Result<Box<Instance>, PolicyFault>;

/// The instances of one policy in one shard.
pub(super) struct Slot {
    /// Those that decide next. More than one only where several were deciding elsewhere at a time.
    #[expect(clippy::vec_box, reason = "they come in boxes and go in boxes")]
    ready: Vec<Box<Instance>>,
    /// The one that decided last, to be cleared away. At most one: more would take room from other policies in the engine's pool.
    spent: Option<Box<Instance>>,
    /// One that takes long to start.
    starting: Option<Receiver<Start>>,
    /// The policy has decided since one was prepared: what fails to start costs one attempt for each decision, not one for each turn.
    wanted: bool,
    /// It asks the host while it starts.
    curious: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self { ready: Vec::new(), spent: None, starting: None, wanted: true, curious: false }
    }
}

/// Instances of policies that have just been swapped in, one for each shard: whoever swaps starts them, so that the first decision after a swap does not.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Vec<(Arc<Policy>, Box<Instance>)>>);

impl Ahead {
    /// Starts an instance of each of `policies` for each of `shards`. One that fails to start fails again where it is to decide, and is told and counted there.
    pub(super) fn of<'a>(policies: impl Iterator<Item = &'a Arc<Policy>>, shards: usize, site: &Arc<Site>, machine: &Arc<Machine>) -> Self {
        let start = |policy: &Arc<Policy>| Some((Arc::clone(policy), at_once(Instance::new(policy, site, machine, START)).ok()?));
        let started = policies.flat_map(|policy| (0..shards.min(AHEAD)).map_while(move |_| start(policy)));
        Self(Mutex::new(started.collect()))
    }

    fn take(&self, policy: &Arc<Policy>) -> Option<Box<Instance>> {
        let mut ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = ahead.iter().position(|(whose, _)| Arc::ptr_eq(whose, policy))?;
        Some(ahead.swap_remove(place).1)
    }
}

impl Slot {
    /// The place of a policy that is new here.
    pub(super) fn new(policy: &Arc<Policy>, ahead: &Ahead) -> Self {
        let mut slot = Self::default();
        if let Some(instance) = ahead.take(policy) {
            slot.started(Ok(instance), policy.reused);
        }
        slot
    }

    /// The instance that decides now, if one is prepared.
    pub(super) fn take(&mut self, reused: bool) -> Option<Box<Instance>> {
        self.collect(reused);
        self.ready.pop()
    }

    /// It has decided; `again` when it may decide once more.
    pub(super) fn decided(&mut self, instance: Option<Box<Instance>>, again: bool) {
        self.wanted = true;
        if again && self.ready.len() < READY {
            self.ready.extend(instance);
        } else {
            self.spent = instance;
        }
    }

    /// Clears away what has decided, and prepares what decides next. `reused`: it may be as old as it likes.
    pub(super) fn prepare(&mut self, reused: bool, start: impl FnOnce() -> Begun<Start>) {
        self.spent = None;
        self.collect(reused);
        if !self.wanted || !self.ready.is_empty() || self.starting.is_some() || self.curious {
            return;
        }
        self.wanted = false;
        match start() {
            Begun::Done(started) => self.started(started, reused),
            Begun::Away(starting) => self.starting = Some(starting),
        }
    }

    /// Takes in the one that took long to start, once it has.
    fn collect(&mut self, reused: bool) {
        let Some(starting) = &mut self.starting else { return };
        match starting.try_recv() {
            Ok(started) => self.started(started, reused),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Closed) => {}
        }
        self.starting = None;
    }

    /// What failed now fails again when it is to decide, and is told and counted then.
    fn started(&mut self, started: Start, reused: bool) {
        if let Ok(instance) = started {
            self.curious = !reused && instance.is_curious();
            self.ready.extend(Some(instance).filter(|_| !self.curious));
        }
    }
}
