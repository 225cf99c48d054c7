//! Emergency calls: recognised by the host itself, before digest, licence, admission control and every policy; routed by the host's own plan
//! when the emergency policy is absent, late, trapped or wrong. Sources: RFC 5031, RFC 6881, 47 CFR 9.16(b)(1), field rules.
//! SKELETON: signatures are the contract.

use crate::{decision::EmergencyPlan, directory::Directory, facts::{Call, CallKind}, plan::Resolved, site::Site};
use sip::uri::Uri;

/// Recognises a call for help from the Request-URI alone: `urn:service:sos` and sub-services, `urn:service:test.sos`, configured numbers with and
/// without an outside prefix, in `sip:`, `sips:` and `tel:` form, with visual separators and escapes. Never by substring: the whole number must match.
#[must_use]
pub fn classify(_uri: &Uri<'_>, _directory: &Directory) -> CallKind { todo!() }

/// The number without visual separators `-.() ` (RFC 3966 5.1.1) when it is a telephone number; anything else unchanged.
#[must_use]
pub fn normalise(_user: &str) -> String { todo!() }

/// The host's own plan: every configured trunk in order, caller id = the ELIN of the caller's location, else the caller's own number.
#[must_use]
pub fn own_plan(_call: &Call, _directory: &Directory) -> EmergencyPlan { todo!() }

/// Joins what the policy chose with the host's own plan (policy's trunks first, unknown ones dropped, missing ones appended) and resolves it: one trunk a stage,
/// next on everything but an answer, [`crate::Limits::emergency_trunk_wait`] each.
#[must_use]
pub fn resolve(_plan: &EmergencyPlan, _call: &Call, _site: &Site) -> Resolved { todo!() }

/// Whether this source may call for help without being known.
#[must_use]
pub fn admitted(_remote: std::net::IpAddr, _directory: &Directory) -> bool { todo!() }
