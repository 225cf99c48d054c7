//! The shared state of a site: the directory that is in force, and the tables behind short locks that all shards use.

use crate::{Limits, directory::Directory, licence::Ledger, registrar::Registrar, trunk::Trunks};
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

    /// Puts a new directory in force: pools are resized, bindings of endpoints that are gone or disabled are removed and their seats returned.
    /// Returns the ids of those endpoints.
    pub fn replace_directory(&self, directory: Directory) -> Vec<String> {
        self.ledger.set_pools(&directory.pools);
        let gone = self.registrar.retain(|id| directory.endpoint(id).is_some_and(|e| e.enabled));
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        gone
    }
}
