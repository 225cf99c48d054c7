//! What `export!` says about a policy, for tests.

use super::{Fault, Registration, Site, answers, at_site, subject, subject::Subject};
use crate::{Admission, CallFacts, CallKind, CallRecord, Decision, EmergencyPlan, Problem, RegistrationFacts, Setting};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A policy that was exported. Written by [`export!`](crate::export), never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not exported as a policy",
    note = "write `export!({Self}: routing);` with its hooks: registration, routing, emergency, observation, configuration"
)]
pub trait Policy {
    /// Its hooks.
    const HOOKS: Hooks;
}

/// The functions that a policy exports.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// See [`RegistrationPolicy`](crate::RegistrationPolicy).
    pub registration: Option<fn(RegistrationFacts, &crate::Registration) -> Admission>,
    /// See [`RoutingPolicy`](crate::RoutingPolicy).
    pub routing: Option<fn(CallFacts, &crate::Call) -> Decision>,
    /// See [`EmergencyPolicy`](crate::EmergencyPolicy).
    pub emergency: Option<fn(CallFacts, &crate::Call) -> EmergencyPlan>,
    /// See [`ObservationPolicy`](crate::ObservationPolicy).
    pub observation: Option<fn(CallRecord)>,
    /// See [`ConfigurationPolicy`](crate::ConfigurationPolicy).
    pub configuration: Option<fn(Vec<Setting>) -> Result<(), Vec<Problem>>>,
}

impl Hooks {
    /// None of them.
    pub const NONE: Self = Self { registration: None, routing: None, emergency: None, observation: None, configuration: None };

    pub(super) fn admit(&self, site: &Site, registration: &Registration) -> Result<Admission, Fault> {
        let hook = self.registration.ok_or(Fault::Absent)?;
        let facts = registration.facts(site);
        let admission =
            decided(|| at_site(&site.0, Subject::Registration(registration.seen(site)), || hook(facts, &subject::registration_handle())))?;
        answers::admission(&admission, site).map_err(Fault::Nonsense)?;
        Ok(admission)
    }

    pub(super) fn route(&self, site: &Site, call: &super::Call) -> Result<Decision, Fault> {
        let hook = self.routing.ok_or(Fault::Absent)?;
        let facts = call.facts(site, CallKind::Normal);
        let decision = decided(|| at_site(&site.0, Subject::Call(call.seen(site)), || hook(facts, &subject::call_handle())))?;
        answers::decision(&decision, site).map_err(Fault::Nonsense)?;
        Ok(decision)
    }

    pub(super) fn help(&self, site: &Site, kind: CallKind, call: &super::Call) -> Result<EmergencyPlan, Fault> {
        let hook = self.emergency.ok_or(Fault::Absent)?;
        let facts = call.facts(site, kind);
        let plan = decided(|| at_site(&site.0, Subject::Call(call.seen(site)), || hook(facts, &subject::call_handle())))?;
        answers::emergency(&plan, site).map_err(Fault::Nonsense)?;
        Ok(plan)
    }

    pub(super) fn ended(&self, site: &Site, record: CallRecord) -> Result<(), Fault> {
        let hook = self.observation.ok_or(Fault::Absent)?;
        decided(|| at_site(&site.0, Subject::None, || hook(record)))
    }

    pub(super) fn check(&self, site: &Site) -> Result<Result<(), Vec<Problem>>, Fault> {
        let hook = self.configuration.ok_or(Fault::Absent)?;
        let settings = site.0.settings.clone();
        decided(|| at_site(&site.0, Subject::None, || hook(settings)))
    }
}

/// What the policy says, or the message of its panic.
fn decided<T>(decide: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(decide)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
        Fault::Panicked(text.unwrap_or("a panic without a message").to_owned())
    })
}
