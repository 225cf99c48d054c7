//! The registrar (RFC 3261 section 10, RFC 3327 Path, RFC 5626 flows): which contacts each endpoint can be reached at.
//! SKELETON: signatures are the contract.

use crate::{Limits, decision::Refusal, licence::Seat};
use sip::{Instant, Message, transport::Flow};

/// One contact of one endpoint.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Endpoint id.
    pub endpoint: String,
    /// The Contact URI as received.
    pub contact: String,
    /// Its `q`, in thousandths; 1000 when absent.
    pub q: u16,
    /// `+sip.instance`, when given: a new registration of the same instance replaces the old binding.
    pub instance: Option<String>,
    /// Path values, topmost first.
    pub path: Vec<String>,
    /// The flow over which it registered; requests go back down it.
    pub flow: Flow,
    /// Call-ID of the REGISTER.
    pub call_id: String,
    /// CSeq of the REGISTER.
    pub cseq: u32,
    /// When it ends.
    pub expires: Instant,
    /// The seat it holds.
    pub seat: Seat,
    /// Registered without a seat: may call emergency numbers only.
    pub emergency_only: bool,
    /// User-Agent of the phone.
    pub user_agent: String,
}

/// What a REGISTER asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Nothing: tell me my bindings.
    Query,
    /// Remove these contacts.
    Remove(Vec<String>),
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Add or refresh these (contact values and granted seconds); contacts with 0 seconds in the same request are removed.
    Bind(Vec<(String, u32)>),
}

/// What changed in the registrar, for the store and the log.
#[derive(Clone, Debug)]
pub enum Change { /// Added or refreshed.
    Bound(Binding), /// Gone: endpoint and contact.
    Unbound(String, String) }

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
    pub fn restore(&self, _binding: Binding) { todo!() }
    /// Live bindings of an endpoint, highest q first, then newest first.
    #[must_use]
    pub fn bindings(&self, _endpoint: &str, _now: Instant) -> Vec<Binding> { todo!() }
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
    /// Removes all bindings of endpoints that `keep` refuses; returns their ids.
    pub fn retain(&self, _keep: impl Fn(&str) -> bool) -> Vec<String> { todo!() }
    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize { todo!() }
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool { self.len() == 0 }
}

/// Writes the Contact lines (with `expires`, q and instance) of a 200 to REGISTER into it.
pub fn write_contacts(_writer: &mut sip::build::Writer, _bindings: &[Binding], _now: Instant) { todo!() }
