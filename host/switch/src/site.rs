//! The shared state of a site: the directory that is in force, and the tables behind short locks that all shards use.

use crate::{Limits, directory::Directory, licence::Ledger, registrar::{Binding, Change, Registrar, Wish}, decision::Refusal, licence::Seat, trunk::Trunks};
use std::sync::{Arc, PoisonError, RwLock};

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
    /// Limits.
    pub limits: Limits,
}

impl Site {
    /// A site without bindings.
    #[must_use]
    pub fn new(directory: Directory, limits: Limits) -> Self {
        let ledger = Ledger::new();
        ledger.set_pools(&directory.pools);
        Self { directory: RwLock::new(Arc::new(directory)), registrar: Registrar::new(limits), ledger, trunks: Trunks::new(), limits }
    }

    /// The directory in force. Keep the `Arc` for one decision, not longer.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Carries out what a REGISTER asks for: [`Registrar::apply`], and the endpoint is still in the directory in force afterwards.
    ///
    /// # Errors
    /// Those of [`Registrar::apply`], and 403 when the endpoint was removed or disabled in the meantime.
    #[allow(clippy::too_many_arguments, reason = "SKELETON")]
    pub fn register(
        &self, _endpoint: &str, _wish: &Wish, _request: &sip::Message, _flow: sip::transport::Flow, _seat: Seat, _emergency_only: bool, _now: sip::Instant,
    ) -> Result<Vec<Change>, Refusal> { todo!() }

    /// Puts back a binding that the store had kept, with its seat. `false`: its endpoint is gone or disabled, or it has expired; the store can forget it.
    pub fn restore(&self, _binding: Binding, _now: sip::Instant) -> bool { todo!() }

    /// Puts a new directory in force: pools are resized, bindings of endpoints that are gone or disabled are removed and their seats returned.
    /// Returns those changes.
    pub fn replace_directory(&self, directory: Directory) -> Vec<Change> {
        self.ledger.set_pools(&directory.pools);
        let directory = Arc::new(directory);
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&directory);
        self.registrar.retain(|id| directory.endpoint(id).is_some_and(|e| e.enabled))
    }
}
