//! Reads a request that asks for something new: who asks, from where, for whom. First steps of the set-up script.
//! SKELETON: signatures are the contract.

use crate::{decision::Refusal, directory::{Directory, Endpoint}, facts::{Call, Registration}, registrar::Wish, site::Site};
use sip::{Instant, Message, digest::Authenticator, transport::Flow};
use std::sync::Arc;

/// Who a request was proved to come from, or what to send back instead.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A trunk, by address.
    Trunk(String),
    /// A phone, by digest.
    Endpoint(Arc<Endpoint>),
    /// Send 401 (REGISTER) or 407 with these challenges.
    Challenge { /// The nonce was good once: `stale=true`.
        stale: bool },
    /// Send this.
    Refused(Refusal),
}

/// Proves who sent `request`. Trunks by source address first (never for REGISTER), phones by digest. Wrong password and unknown user look the same.
#[must_use]
pub fn authenticate(_request: &Message, _flow: Flow, _directory: &Directory, _authenticator: &Authenticator, _now: Instant) -> Identity { todo!() }

/// Reads an INVITE into a [`Call`] with [`crate::facts::Caller::Unknown`]; the kind is classified here. The location is that of the source network.
///
/// # Errors
/// 416 for a Request-URI scheme that cannot be called, 484 for an empty user, 420 is the caller's (Require).
pub fn read_call(_request: &Message, _flow: Flow, _directory: &Directory, _now: Instant) -> Result<Call, Refusal> { todo!() }

/// Fills in who calls once that is proved (numbers, name, the endpoint's own location).
pub fn identify(_call: &mut Call, _identity: &Identity, _site: &Site) { todo!() }

/// Whether this caller may make this call as far as the host itself decides: disabled endpoints and those registered without a seat call for help only.
///
/// # Errors
/// 403 for them.
pub fn permit(_call: &Call, _site: &Site) -> Result<(), Refusal> { todo!() }

/// Reads a REGISTER of a proved endpoint: 10.3 steps 4 to 7 in their order. To's user must be the endpoint's extension, username, id or one of its numbers;
/// the domain may be the cloud's. The [`Registration`] is for policies and matters when the wish is [`Wish::Bind`] only.
///
/// # Errors
/// 403 for somebody else's address of record, 404 for an address of record that nobody has, 403 for a disabled endpoint, 400 for a To that is not SIP;
/// then those of [`crate::registrar::Registrar::read`].
pub fn read_registration(_request: &Message, _flow: Flow, _endpoint: &Arc<Endpoint>, _site: &Site, _now: Instant) -> Result<(Registration, Wish), Refusal> { todo!() }
