//! The registrar (RFC 3261 section 10, RFC 3327 Path, RFC 5626 flows): which contacts each endpoint can be reached at.
//!
//! `contact` reads what a REGISTER asks for and writes the answer, `survivable` shortens it, `table` holds the bindings.

mod contact;
mod survivable;
mod table;

pub use contact::write_answer;
pub(crate) use contact::{read_q, same_contact};
pub use survivable::Survivable;
pub use table::Registrar;

use sip::{Instant, transport::Flow};
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
    /// When it was last registered or refreshed.
    pub seen: Instant,
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

#[cfg(test)]
mod tests;
