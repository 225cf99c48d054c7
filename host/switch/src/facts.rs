//! What policies are told about a call or a registration, and what they may ask beyond it.

use crate::directory::Endpoint;
use serde::{Deserialize, Serialize};
use sip::{Instant, Message, transport::Flow};
use std::sync::Arc;

/// Who sent the INVITE, as far as the host has proved it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Caller {
    /// A phone that proved its password (or an unregistered, disabled or unlicensed one that is known by it).
    Endpoint(#[serde(with = "crate::bridge::kept_endpoint")] Arc<Endpoint>),
    /// A trunk, by its sources.
    Trunk(String),
    /// Nobody we know: only emergency calls from the site's networks get this far.
    Unknown,
}

/// What kind of call the host itself has found it to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CallKind {
    /// Any other call.
    Normal,
    /// A call for help: the emergency policy or the host's own plan routes it, nothing else is asked.
    Emergency,
    /// A test of the emergency route (933, `urn:service:test.sos`).
    EmergencyTest,
    /// The emergency service calls back whoever has called for help: the host rings that phone, no policy is asked.
    Callback,
}

/// One call, as policies see it. Amended as it passes down the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The INVITE, for header look-ups.
    pub message: Message,
    /// When it arrived.
    pub at: Instant,
    /// Way in.
    pub flow: Flow,
    /// Who calls; of a call that goes on, whoever forwards or transfers it: that one's rights count.
    pub caller: Caller,
    /// Kind of call.
    pub kind: CallKind,
    /// The called number or user, decoded, without visual separators when it is a telephone number; for a `urn:` the whole URN; for an
    /// emergency number the number itself, without the outside prefix that was dialled before it.
    pub called: String,
    /// The number to show to the callee: the endpoint's extension, or what the trunk said.
    pub caller_number: String,
    /// The name to show to the callee.
    pub caller_name: String,
    /// The caller's location by name: the endpoint's, else by source network.
    pub location: Option<String>,
    /// What earlier policies have noted.
    pub attributes: Vec<(String, String)>,
}

/// One REGISTER that wants a binding (not a removal or a query), as policies see it.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The REGISTER, for header look-ups.
    pub message: Message,
    /// When it arrived.
    pub at: Instant,
    /// Way in.
    pub flow: Flow,
    /// The endpoint, proved by digest.
    pub endpoint: Arc<Endpoint>,
    /// The contact asked for.
    pub contact: String,
    /// Seconds asked for.
    pub expires: u32,
    /// Whether this endpoint already holds a binding (a refresh, or one more contact).
    pub registered: bool,
    /// What earlier policies have noted.
    pub attributes: Vec<(String, String)>,
}
