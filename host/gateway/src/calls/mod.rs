//! Calls and registrations: one [`Shard`] per core owns its transactions and calls.
//!
//! `dispatch` says what each request is for; `setup` is the script of a new call, `register` that of a registration and `message` that of a
//! message, each read from top to bottom; `trunks` registers at providers and asks whether they are there; `live` drives the bridges of the calls that are up, and `onward` finds where a call goes on to that is
//! forwarded or transferred; `place` makes calls for whoever runs the gateway. `subscribe` holds the subscriptions of phones, and `lines` what calls
//! show them.

mod dispatch;
mod exchange;
mod flood;
mod helped;
mod kept;
mod ladder;
mod lines;
mod live;
mod message;
mod notice;
mod onward;
mod pickup;
mod place;
mod register;
mod setup;
mod shard;
mod subscribe;
mod tables;
mod trunks;

pub use exchange::Exchange;
pub use ladder::{Beat, Ladder, Said};
pub use notice::Words;
pub use place::{Followed, Stage, Trace, Tried};
pub use shard::Shard;
pub use tables::Tables;

use crate::policy::{Runner, Step};
use bytes::Bytes;
use sip::{Instant, digest::Authenticator, transport::Flow};
use std::{future::Future, pin::Pin, rc::Rc, sync::Arc};
use switch::{
    decision::Refusal,
    facts::Call,
    record::{CallDetail, CallRecord, LegRecord},
    registrar::Change,
    site::Site,
};

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

    /// Whether phones can be told that their registration could not be kept: then what they had before is remembered while they wait.
    fn refuses(&self) -> bool {
        false
    }
}

/// What a shard is made of.
pub struct Parts {
    /// This shard's number and how many there are: Call-IDs that we make are chosen so that they lead back here.
    pub index: usize,
    /// See `index`.
    pub shards: usize,
    /// What this gateway's shards say to each other.
    pub exchange: Arc<Exchange>,
    /// Shared tables.
    pub site: Arc<Site>,
    /// Checks digests.
    pub authenticator: Arc<Authenticator>,
    /// Policies.
    pub runner: Rc<Runner>,
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
    fn decided(&self, _at: Instant, _call_id: &[u8], _steps: &[Step]) {}
    /// A registration or call was refused; `step` is the decision that led to it, `None` when the host itself refused.
    fn refused(&self, _at: Instant, _call_id: &[u8], _refusal: &Refusal, _step: Option<&Step>) {}
    /// A REGISTER was answered 200.
    fn registered(&self) {}
    /// A phone found no licence seat and was registered for emergency calls only.
    fn without_seat(&self, _call_id: &[u8], _detail: &str) {}
    /// A call ended.
    fn ended(&self, _record: &CallRecord) {}
    /// A call has ended, and nothing that it sent still waits for a phone: what was said in it, and the legs that the gateway dialled.
    fn told(&self, _record: &CallRecord, _ladder: &Ladder, _legs: &[LegRecord]) {}
    /// A call for help, or a test of one, goes out, or goes on after a restart: the number that it shows first, and over which trunk.
    fn calls_for_help(&self, _call: &Call, _shown: Option<&str>, _trunk: Option<&str>) {}
    /// A call has ended or was refused: all that is kept of it. The journal knows the call until nobody but the shard has a share of this, so whoever
    /// keeps it lets go when it is kept.
    fn detailed(&self, _detail: &Arc<CallDetail>) {}
    /// Something was dropped or refused by a limit or rule of the protocol: a counter's name.
    fn dropped(&self, _at: Instant, _flow: Flow, _why: &'static str) {}
    /// A trunk stands otherwise than before.
    fn trunk_changed(&self, _change: &switch::trunk::Change) {}
    /// A call was ended (or tries elsewhere) because its channel on `trunk` is needed for a call for help.
    fn evicted(&self, _at: Instant, _trunk: &str, _call_id: &[u8], _help: &[u8]) {}
    /// Bindings could not be made durable.
    fn not_kept(&self, _why: &str) {}
}

/// An observer that looks away.
pub struct Unobserved;

impl Observer for Unobserved {}

/// Which of `shards` a Call-ID belongs to: every message of a dialog goes to the same shard (FNV-1a; a peer that aims all its calls at one shard
/// loads that shard only).
#[must_use]
pub fn shard_of(call_id: &[u8], shards: usize) -> usize {
    if shards <= 1 {
        return 0;
    }
    let hash = call_id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from((hash ^ (hash >> 32)) % shards as u64).unwrap_or(0)
}
