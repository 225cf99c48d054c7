//! The shared state of a site: the directory that is in force, and the tables behind short locks that all shards use.

use crate::{
    Limits,
    decision::Refusal,
    directory::{Directory, Trunk},
    emergency::callback::Callbacks,
    idle::Idle,
    licence::{Ledger, Mark, NoSeat, Seat},
    lines::Lines,
    park::Lot,
    registrar::{Binding, Change, Registrar, Wish},
    subscription::Places,
    toll::{Balance, Tolls},
    trunk::Trunks,
};
use sip::{
    Instant, Message,
    transport::{Flow, Transport},
};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// One per process (or per simulated gateway). No lock is ever held while anything is awaited or a policy runs.
#[derive(Debug)]
pub struct Site {
    directory: RwLock<Arc<Directory>>,
    /// Bindings.
    pub registrar: Registrar,
    /// Seats.
    pub ledger: Ledger,
    /// Trunk channels and resolved addresses.
    pub trunks: Trunks,
    /// Calls of phones that others watch.
    pub lines: Lines,
    /// Subscriptions.
    pub subscriptions: Places,
    /// Park slots that are taken.
    pub lot: Arc<Lot>,
    /// What calls to the outside have used.
    pub tolls: Arc<Tolls>,
    /// Who has rested how long.
    pub idle: Arc<Idle>,
    /// Who has called for help lately.
    pub callbacks: Callbacks,
    /// Limits.
    pub limits: Limits,
}

impl Site {
    /// A site without bindings.
    #[must_use]
    pub fn new(directory: Directory, limits: Limits) -> Self {
        let ledger = Ledger::new();
        // Of new pools it needs no time.
        ledger.set_pools(&directory.pools, Instant::default());
        let lines = Lines::default();
        lines.keep_all(!directory.features.pickup.is_empty());
        Self {
            directory: RwLock::new(Arc::new(directory)),
            registrar: Registrar::new(limits),
            ledger,
            trunks: Trunks::new(),
            lines,
            subscriptions: Places::default(),
            lot: Arc::default(),
            tolls: Arc::default(),
            idle: Arc::default(),
            callbacks: Callbacks::default(),
            limits,
        }
    }

    /// The directory in force. Keep the `Arc` for one decision, not longer.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a call to this endpoint or user rings: [`Registrar::targets`] of each of its phones.
    #[must_use]
    pub fn targets(&self, id: &str, now: Instant) -> Vec<Arc<Binding>> {
        self.of_phones(id, |phone| self.registrar.targets(phone, now))
    }

    /// Live bindings of this endpoint, or of all phones that ring for this user: [`Registrar::bindings`].
    #[must_use]
    pub fn bindings(&self, id: &str, now: Instant) -> Vec<Arc<Binding>> {
        self.of_phones(id, |phone| self.registrar.bindings(phone, now))
    }

    fn of_phones(&self, id: &str, of: impl Fn(&str) -> Vec<Arc<Binding>>) -> Vec<Arc<Binding>> {
        let directory = self.directory();
        let mut phones = directory.phones(id);
        let Some(first) = phones.next() else { return Vec::new() };
        let mut bindings = of(&first.id);
        let own = bindings.len();
        for phone in phones {
            bindings.extend(of(&phone.id));
        }
        if bindings.len() > own {
            bindings.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        }
        bindings
    }

    /// Takes the seat of a pool that this endpoint needs to be registered: [`Ledger::take`]. One that finds none keeps its turn for `stay` or
    /// [`Limits::seat_wait`], whichever is longer.
    ///
    /// # Errors
    /// Those of [`Ledger::take`].
    pub fn seat(&self, pool: &str, endpoint: &str, stay: Duration, now: Instant) -> Result<Seat, NoSeat> {
        let directory = self.directory();
        self.ledger.take(pool, directory.seat_holder(pool, endpoint), now + stay.max(self.limits.seat_wait), now)
    }

    /// Carries out what a REGISTER asks for: [`Registrar::apply`], and makes sure that the endpoint is in the directory in force afterwards. A directory
    /// that was replaced while a policy decided can so not leave a binding behind.
    ///
    /// # Errors
    /// Those of [`Registrar::apply`], and 403 when the endpoint was removed or disabled in the meantime. Then it has no bindings any more; who replaced
    /// the directory learned of the old ones, and the new one was never made known.
    #[expect(clippy::too_many_arguments, reason = "as Registrar::apply")]
    pub fn register(
        &self,
        endpoint: &str,
        wish: &Wish,
        request: &Message,
        flow: Flow,
        seat: Seat,
        emergency_only: bool,
        now: Instant,
    ) -> Result<Vec<Change>, Refusal> {
        let first = self.registrar.is_empty();
        let changes = self.registrar.apply(endpoint, wish, request, flow, seat, emergency_only, now)?;
        if matches!(wish, Wish::Bind(_)) {
            self.tolls.registered(first, now);
        }
        if self.serves(endpoint) {
            if matches!(wish, Wish::Remove(_) | Wish::RemoveAll) && !self.registrar.registered(endpoint, now) {
                self.ledger.leave(endpoint);
            }
            return Ok(changes);
        }
        self.registrar.remove(endpoint);
        self.ledger.leave(endpoint);
        Err(Refusal::new(403, "Disabled", format!("endpoint `{endpoint}` was removed or disabled while it registered")))
    }

    /// Puts back a binding that the store had kept, with its seat. `false`: its endpoint is gone or disabled, or it has expired; the store can forget it.
    pub fn restore(&self, binding: Binding, now: Instant) -> bool {
        if binding.expires <= now || !self.serves(&binding.endpoint) {
            return false;
        }
        let binding = Binding { flow: binding.flow.restarted(), ..binding };
        let seat = binding.pool.as_deref().map_or_else(Seat::none, |pool| {
            let directory = self.directory();
            self.ledger.retake(pool, directory.seat_holder(pool, &binding.endpoint), now)
        });
        self.registrar.restore(binding, seat);
        true
    }

    /// Takes over what an earlier process had kept of the licence pools ([`Ledger::recall`]). Whoever is gone or disabled meanwhile has lost its turn.
    pub fn recall(&self, marks: &[Mark], now: Instant) {
        self.ledger.recall(marks, now);
        let directory = self.directory();
        self.ledger.retain_waiting(now, |id| waits(&directory, id));
    }

    /// What is to be kept over a restart of what calls to the outside have used: [`Tolls::kept`].
    #[must_use]
    pub fn balances(&self, now: Instant) -> Vec<Balance> {
        self.tolls.kept(!self.registrar.is_empty(), now)
    }

    /// Takes over what an earlier process had kept of that ([`Tolls::restore`]), before calls are taken up again. Whoever is gone meanwhile has no account any more.
    pub fn restore_balances(&self, mut balances: Vec<Balance>, now: Instant) {
        let directory = self.directory();
        balances.retain(|balance| balance.payer.as_deref().is_none_or(|payer| directory.endpoint(payer).is_some()));
        self.tolls.restore(balances, now);
    }

    /// Puts a new directory in force: pools are resized, bindings of endpoints that are gone or disabled are removed, their seats returned, their turns lost.
    /// Returns those changes. Calls, other bindings, and the channels of trunks that are gone stay as they are.
    pub fn replace_directory(&self, directory: impl Into<Arc<Directory>>, now: Instant) -> Vec<Change> {
        let directory = directory.into();
        self.ledger.set_pools(&directory.pools, now);
        // First in force, then swept: a registration that comes between is swept or sees the new directory (`register`).
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&directory);
        self.trunks.retain(|name| directory.trunk(name).is_some());
        self.tolls.retain(|id| directory.endpoint(id).is_some());
        self.idle.retain(|id| directory.endpoint(id).is_some());
        self.lines.keep_all(!directory.features.pickup.is_empty());
        self.ledger.retain_waiting(now, |id| waits(&directory, id));
        self.registrar.retain(|id| directory.endpoint(id).is_some_and(|endpoint| endpoint.enabled))
    }

    /// Since when phones are here without their cloud; `None`: none is. A restart in it begins no other ([`Tolls::registered`]).
    #[must_use]
    pub fn outage(&self) -> Option<Instant> {
        if self.registrar.is_empty() { None } else { self.tolls.outage() }
    }

    /// Over which trunk something comes: the one whose certificate the peer has proved, else the one whose sources contain its address, else one that we are
    /// registered at there. The first of the configuration wins.
    #[must_use]
    pub fn trunk_from(&self, flow: Flow) -> Option<Arc<Trunk>> {
        let directory = self.directory();
        let proves = |trunk: &&Arc<Trunk>| trunk.reach.certificate.as_deref().is_some_and(|name| self.trunks.proves(flow.connection, name));
        let certified = || directory.trunks.iter().find(proves);
        let registered = |trunk: &&Arc<Trunk>| trunk.reach.register.is_some() && self.trunks.registered_at(&trunk.name, flow);
        let proved = if flow.transport == Transport::Tls { certified() } else { None };
        proved.or_else(|| directory.trunk_from(flow.remote)).or_else(|| directory.trunks.iter().find(registered)).cloned()
    }

    fn serves(&self, endpoint: &str) -> bool {
        self.directory().endpoint(endpoint).is_some_and(|endpoint| endpoint.enabled)
    }
}

/// Whether this endpoint or user may wait for a seat. A user has no username; whether others may call it says nothing of its phones.
fn waits(directory: &Directory, id: &str) -> bool {
    directory.endpoint(id).is_some_and(|endpoint| endpoint.enabled || endpoint.username.is_empty())
}

#[cfg(test)]
mod tests;
