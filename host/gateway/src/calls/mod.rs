//! Calls and registrations: one [`Shard`] per core owns its transactions and calls.
//! SKELETON: signatures are the contract.

use crate::policy::Runner;
use bytes::Bytes;
use sip::{Instant, digest::Authenticator, transport::Flow};
use std::{future::Future, pin::Pin, sync::Arc};
use switch::{registrar::Change, site::Site};

/// Bytes to put on the wire.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Way.
    pub flow: Flow,
    /// Octets of one message.
    pub bytes: Bytes,
}

/// Where changes of bindings are made durable before the phone gets its 200 OK.
pub trait Keep: Send + Sync {
    /// Resolves once `changes` are on disk, or says why they are not.
    fn keep(&self, changes: Vec<Change>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
}

/// What a shard is made of.
pub struct Parts {
    /// This shard's number and how many there are: Call-IDs that we make are chosen so that they lead back here.
    pub index: usize,
    /// See `index`.
    pub shards: usize,
    /// Shared tables.
    pub site: Arc<Site>,
    /// Checks digests.
    pub authenticator: Arc<Authenticator>,
    /// Policies.
    pub runner: Runner,
    /// The store; `None` keeps bindings in memory only.
    pub keep: Option<Arc<dyn Keep>>,
    /// Where call steps, decisions and records are reported (log, demonstration ladder, counters).
    pub observer: Arc<dyn Observer>,
    /// Seed of tags, branches and Call-IDs.
    pub seed: [u8; 32],
    /// Protocol limits.
    pub limits: sip::Limits,
}

/// Watches a shard: everything that an operator may want to see. Called on the shard's thread; must not block.
pub trait Observer: Send + Sync {
    /// A message came in.
    fn received(&self, _at: Instant, _flow: Flow, _bytes: &[u8]) {}
    /// A message went out.
    fn sent(&self, _at: Instant, _flow: Flow, _bytes: &[u8]) {}
    /// Policies decided (`call_id`, one step per policy asked).
    fn decided(&self, _at: Instant, _call_id: &[u8], _steps: &[crate::policy::Step]) {}
    /// A registration or call was refused.
    fn refused(&self, _at: Instant, _call_id: &[u8], _refusal: &switch::decision::Refusal, _policy: Option<&str>) {}
    /// A call ended.
    fn ended(&self, _record: &switch::record::CallRecord) {}
    /// Something was dropped or refused by a limit or rule of the protocol: a counter's name.
    fn dropped(&self, _at: Instant, _flow: Flow, _why: &'static str) {}
}

/// One shard: a transaction stack, its calls and its policy instances. Knows no socket and reads no clock, so tests drive it in virtual time.
pub struct Shard { _parts: Parts }

impl Shard {
    /// An idle shard.
    #[must_use]
    pub fn new(parts: Parts) -> Self { Self { _parts: parts } }
    /// One datagram or framed message came in.
    pub fn receive(&mut self, _bytes: Bytes, _flow: Flow, _now: Instant, _out: &mut Vec<Transmit>) { todo!() }
    /// The transport says that this flow leads nowhere (ICMP, refused, reset).
    pub fn unreachable(&mut self, _flow: Flow, _now: Instant, _out: &mut Vec<Transmit>) { todo!() }
    /// When [`Shard::expire`] is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> { todo!() }
    /// Fires timers, and goes on with set-ups that were waiting for the store.
    pub fn expire(&mut self, _now: Instant, _out: &mut Vec<Transmit>) { todo!() }
    /// Resolves when a set-up that waited (for the store) can go on: then call [`Shard::expire`].
    pub async fn ready(&mut self) { std::future::pending::<()>().await }
    /// Calls alive.
    #[must_use]
    pub fn calls(&self) -> usize { todo!() }
}

/// Which of `shards` a Call-ID belongs to: every message of a dialog goes to the same shard.
#[must_use]
pub fn shard_of(_call_id: &[u8], _shards: usize) -> usize { todo!() }
