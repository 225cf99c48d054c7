//! From a policy's plan to what the bridge can dial: endpoints become their bindings, trunks their addresses.
//! SKELETON: signatures are the contract.

use crate::{decision::{NextOn, Plan, PolicyFault, Refusal}, facts::Call, site::Site};
use sip::transport::Flow;
use std::time::Duration;

/// A plan whose targets are addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolved {
    /// In order.
    pub stages: Vec<ResolvedStage>,
}

/// Legs that are dialled together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedStage {
    /// All at once.
    pub legs: Vec<LegTarget>,
    /// How long they may ring.
    pub ring: Duration,
    /// How long a leg may stay without any provisional response above 100 before it counts as unreachable; `None` = the transaction's own time-out.
    pub answer_wait: Option<Duration>,
    /// When to go on to the next stage.
    pub next: NextOn,
    /// Also go on after any other final answer that is not a 2xx (403, 404, 6xx): a call for help is not over because one trunk said no.
    pub next_on_refusal: bool,
}

/// One address to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegTarget {
    /// Request-URI.
    pub uri: String,
    /// The way to the first hop.
    pub flow: Flow,
    /// Route values (a binding's Path).
    pub route: Vec<String>,
    /// Trunk name when it is a trunk leg.
    pub trunk: Option<String>,
    /// Endpoint id when it is a phone.
    pub endpoint: Option<String>,
    /// Number to show instead of the caller's own.
    pub caller_number: Option<String>,
    /// Part before the `@` of To on this leg, escaped; a `urn:` stands for the whole URI of To.
    pub called: String,
}

/// Checks a plan against the directory: a known endpoint or trunk in every target, no more stages and targets than allowed.
///
/// # Errors
/// [`PolicyFault::Nonsense`] naming the first offence.
pub fn check(_plan: &Plan, _site: &Site) -> Result<(), PolicyFault> { todo!() }

/// Resolves a checked plan. Targets without a binding or address are left out; a stage left empty counts as unreachable.
///
/// # Errors
/// 480 when nothing at all can be rung.
pub fn resolve(_plan: &Plan, _call: &Call, _site: &Site) -> Result<Resolved, Refusal> { todo!() }
