//! The registrar (RFC 3261 section 10, RFC 3327 Path, RFC 5626 flows): which contacts each endpoint can be reached at.
//! SKELETON: signatures are the contract.

use crate::{Limits, decision::Refusal, licence::Seat};
use sip::{Instant, Message, transport::Flow};
use std::sync::Arc;

/// One contact of one endpoint. It does not hold the seat (the registrar does), so that a copy in a queue keeps no seat from its pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Endpoint id.
    pub endpoint: Arc<str>,
    /// The Contact URI as received, unknown parameters included.
    pub contact: Arc<str>,
    /// The header parameters of the Contact value as received, without `expires` and `q`; begins with `;`, or is empty.
    pub params: Arc<str>,
    /// Its `q`, in thousandths; 1000 when absent.
    pub q: u16,
    /// `+sip.instance`, when given: a new registration of the same instance (and `reg-id`) replaces the old binding.
    pub instance: Option<Arc<str>>,
    /// `reg-id` (RFC 5626 4.2), when given together with an instance.
    pub reg_id: Option<u32>,
    /// Path values, topmost first.
    pub path: Vec<String>,
    /// The flow over which it registered; requests go back down it.
    pub flow: Flow,
    /// Call-ID of the REGISTER.
    pub call_id: Arc<str>,
    /// CSeq of the REGISTER.
    pub cseq: u32,
    /// When it ends.
    pub expires: Instant,
    /// The pool whose seat it uses.
    pub pool: Option<Arc<str>>,
    /// Registered without a seat: may call emergency numbers only.
    pub emergency_only: bool,
    /// User-Agent of the phone.
    pub user_agent: Arc<str>,
}

/// One Contact value of a REGISTER, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// Its URI as received.
    pub uri: Arc<str>,
    /// See [`Binding::params`].
    pub params: Arc<str>,
    /// See [`Binding::q`].
    pub q: u16,
    /// See [`Binding::instance`].
    pub instance: Option<Arc<str>>,
    /// See [`Binding::reg_id`].
    pub reg_id: Option<u32>,
    /// Seconds granted; 0 = remove.
    pub seconds: u32,
}

/// What a REGISTER asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Nothing: tell me my bindings.
    Query,
    /// Remove these contacts.
    Remove(Vec<Contact>),
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Add or refresh these; contacts with 0 seconds in the same request are removed.
    Bind(Vec<Contact>),
}

/// What changed in the registrar, for the store and the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Added or refreshed.
    Bound(Arc<Binding>),
    /// Gone.
    Unbound {
        /// Endpoint id.
        endpoint: Arc<str>,
        /// The Contact URI that it had been bound with.
        contact: Arc<str>,
    },
}

/// All bindings of a site, split into locked parts by endpoint id.
#[derive(Debug)]
pub struct Registrar {}

impl Registrar {
    /// No bindings.
    #[must_use]
    pub fn new(_limits: Limits) -> Self { todo!() }
    /// Reads what a REGISTER asks for: rules 10.3 steps 6 and 7.
    ///
    /// # Errors
    /// 400 for `*` with other contacts or without `Expires: 0`, unreadable contacts or non-SIP contact; 423 when shorter than [`Limits::expires_min`] (the caller adds Min-Expires).
    pub fn read(&self, _request: &Message) -> Result<Wish, Refusal> { todo!() }
    /// Carries a wish out, all or nothing (10.3 step 7): CSeq of the same Call-ID must rise, the limit of contacts holds. Returns the changes.
    ///
    /// # Errors
    /// 500 for a lower CSeq (out of order), 403 at the limit. Then nothing has changed.
    pub fn apply(&self, _endpoint: &str, _wish: &Wish, _request: &Message, _flow: Flow, _seat: Seat, _emergency_only: bool, _now: Instant) -> Result<Vec<Change>, Refusal> { todo!() }
    /// Puts a binding back that the store had kept.
    pub fn restore(&self, _binding: Binding, _seat: Seat) { todo!() }
    /// Live bindings of an endpoint, highest q first, then newest first.
    #[must_use]
    pub fn bindings(&self, _endpoint: &str, _now: Instant) -> Vec<Arc<Binding>> { todo!() }
    /// Whether an endpoint has a live binding.
    #[must_use]
    pub fn registered(&self, _endpoint: &str, _now: Instant) -> bool { todo!() }
    /// Removes what has expired and returns it.
    pub fn expire(&self, _now: Instant) -> Vec<Change> { todo!() }
    /// The next expiry.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> { todo!() }
    /// Removes bindings whose stream connection is gone (they cannot be reached any more).
    pub fn connection_lost(&self, _connection: u64) -> Vec<Change> { todo!() }
    /// Removes all bindings of endpoints that `keep` refuses; returns the changes.
    pub fn retain(&self, _keep: impl Fn(&str) -> bool) -> Vec<Change> { todo!() }
    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize { todo!() }
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool { self.len() == 0 }
}

/// Writes the Contact lines (with `expires`, q and instance) of a 200 to REGISTER into it, and the Path of the request (RFC 3327 5.3).
pub fn write_answer(_writer: &mut sip::build::Writer, _request: &Message, _bindings: &[Arc<Binding>], _now: Instant) { todo!() }
