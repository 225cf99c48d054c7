//! Extension to extension: the called extension rings on all its phones at once.
//!
//! It decides for the site's own phones only; calls from trunks, and numbers that are no extension, pass to the next policy. No settings.

use holdfast_policy::{Call, CallFacts, Caller, Decision, RoutingPolicy, directory, directory::Standing, export};

struct Internal;

impl RoutingPolicy for Internal {
    fn route(facts: CallFacts, _call: &Call) -> Decision {
        let Caller::Endpoint(caller) = &facts.caller else { return Decision::pass() };
        let Some(callee) = directory::endpoint_by_extension(&facts.called) else { return Decision::pass() };
        if !callee.enabled {
            return Decision::refuse(404, "Not Found", format!("extension {} ({}) is disabled", callee.extension, callee.id));
        }
        if directory::standing_of(caller) == Standing::EmergencyOnly {
            return Decision::refuse(403, "Emergency calls only", format!("{caller} is registered without a licence seat"));
        }
        Decision::ring(callee.id)
    }
}

export!(Internal: routing);

#[cfg(test)]
mod tests;
