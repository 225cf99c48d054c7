//! Licence pools, as the operator describes them.

use crate::limits::licence::GRACE;
use sip::Instant;
use std::{collections::BTreeSet, time::Duration};

/// A pool of seats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Name.
    pub pool: String,
    /// How many endpoints (or users, see [`Pool::per`]) may be registered on it at a time.
    pub seats: u32,
    /// Who needs a seat.
    pub per: Per,
    /// Ids of endpoints (or users) for whom a seat is kept, also while they are away. No more than there are seats.
    pub reserved: BTreeSet<String>,
    /// No seat is given before.
    pub not_before: Option<Instant>,
    /// The pool is in grace from here on; `None`: never.
    pub not_after: Option<Instant>,
    /// How long seats are still given after `not_after`, and how long a pool that was made smaller may be used as it was.
    pub grace: Duration,
}

/// Who needs a seat of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Per {
    /// Each endpoint (an endpoint licence).
    #[default]
    Endpoint,
    /// Each user, with however many endpoints (a user subscription). An endpoint that is nobody's needs one of its own.
    User,
}

impl Per {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::User => "user",
        }
    }
}

impl Pool {
    /// A pool that is always valid, with nothing reserved, one seat for each endpoint.
    #[must_use]
    pub fn new(pool: impl Into<String>, seats: u32) -> Self {
        Self { pool: pool.into(), seats, per: Per::Endpoint, reserved: BTreeSet::new(), not_before: None, not_after: None, grace: GRACE }
    }
}
