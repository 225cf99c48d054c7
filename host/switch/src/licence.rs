//! Licence seats. [`Ledger::take`] is the only door: a binding cannot be made without the [`Seat`] that it returns.
//! SKELETON: signatures are the contract.

use crate::directory::Pool;
use std::sync::Arc;

/// The right of one endpoint to be registered. Given back when the last clone is dropped (shared by all bindings of the endpoint).
#[derive(Clone, Debug)]
pub struct Seat(pub(crate) Option<Arc<Held>>);

impl Seat {
    /// The seat of a phone that was admitted without a pool (no policy asked for one) or for emergency calls only.
    #[must_use]
    pub const fn none() -> Self { Self(None) }
    /// The pool, when it is a counted seat.
    #[must_use]
    pub fn pool(&self) -> Option<&str> { self.0.as_deref().map(|h| h.pool.as_str()) }
}

/// The counted thing itself: returns its place to the pool when dropped.
#[derive(Debug)]
pub struct Held { pub(crate) pool: String }

/// How full a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage { /// Seats owned.
    pub seats: u32, /// Seats taken; may exceed `seats` after an operator made the pool smaller, never otherwise.
    pub taken: u32 }

/// Why no seat was given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSeat {
    /// The pool is full.
    #[error("all {0} seats are taken")]
    Full(u32),
    /// No such pool.
    #[error("there is no such pool")]
    UnknownPool,
}

/// Counts seats. One per site.
#[derive(Debug)]
pub struct Ledger {}

impl Ledger {
    /// No pools.
    #[must_use]
    pub fn new() -> Self { todo!() }
    /// Replaces the pools; taken seats stay taken.
    pub fn set_pools(&self, _pools: &[Pool]) { todo!() }
    /// Takes a seat of `pool` for `endpoint`. The same endpoint asked again gets the same seat; one that moves to another pool gives the first back.
    ///
    /// # Errors
    /// [`NoSeat`] when the pool is full or unknown.
    pub fn take(&self, _pool: &str, _endpoint: &str) -> Result<Seat, NoSeat> { todo!() }
    /// How full a pool is.
    #[must_use]
    pub fn usage(&self, _pool: &str) -> Option<Usage> { todo!() }
}
