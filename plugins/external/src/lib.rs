//! Between the site and the world: numbers to trunks, and inbound numbers to extensions. The last word of the chain.
//!
//! **Out**, for a registered phone of the site: the first rule whose `number` matches says which trunks are tried, in order. Without rules every
//! telephone number longer than the longest extension goes to all trunks in their order. Settings:
//!
//! ```toml
//! [settings]
//! outside_prefix = "9"            # dialled to get outside, taken off before the trunk; numbers with `+` need none. Default: none
//! caller_number = "+442030001000" # shown for phones without a direct number. Default: what the phone has
//! [[settings.rule]]               # in order; the first that matches counts
//! number = "+44%"                 # after the outside prefix; `%` stands for any digits
//! trunks = ["provider"]           # default: all
//! strip = 3                       # leading characters to take off. Default: 0
//! prepend = "0"                   # put before the rest. Default: none
//! ```
//!
//! A number that the site has as a park slot passes: the host does the rest.
//!
//! **In**, from a trunk: to the endpoint that owns the number, else to the extension that stands for the `%` of the trunk's own numbers. A trunk never
//! reaches another trunk.

mod rules;

use holdfast_policy::{
    Call, CallFacts, Caller, ConfigurationPolicy, Decision, Kept, Problem, RoutingPolicy, Setting, Settings, TrunkTarget, directory,
    directory::Standing, export, trunks,
};
use rules::Rules;

struct External;

static RULES: Kept<Rules> = Kept::new(|| Rules::read(&Settings::all()).unwrap_or_default());

impl RoutingPolicy for External {
    fn route(facts: CallFacts, call: &Call) -> Decision {
        match &facts.caller {
            Caller::Trunk(trunk) => inbound(trunk, &facts.called),
            Caller::Endpoint(caller) => outbound(caller, &facts.called, call),
            Caller::Unknown => Decision::refuse(403, "Forbidden", "the caller is neither a phone of the site nor a trunk"),
        }
    }
}

fn inbound(trunk: &str, called: &str) -> Decision {
    let Some(part) = trunks::own_part(trunk, called) else {
        return Decision::refuse(404, "Not Found", format!("{called} is none of the numbers of trunk {trunk}"));
    };
    let callee = directory::endpoint_by_number(called)
        .or_else(|| directory::endpoint_by_extension(&part))
        .or_else(|| directory::endpoint_by_extension(called));
    match callee {
        Some(callee) if callee.enabled => Decision::ring(callee.id),
        Some(callee) => Decision::refuse(404, "Not Found", format!("{called} belongs to {}, which is disabled", callee.id)),
        None => Decision::refuse(404, "Not Found", format!("{called} came in over trunk {trunk} and belongs to no endpoint")),
    }
}

fn outbound(caller: &str, called: &str, call: &Call) -> Decision {
    match directory::standing_of(caller) {
        Standing::Registered => {}
        Standing::EmergencyOnly => {
            return Decision::refuse(403, "Emergency calls only", format!("{caller} is registered without a licence seat"));
        }
        // A user whose calls go on while no phone can be reached: that is what this is for.
        Standing::Unregistered if directory::call_settings_of(caller).is_some() => {}
        Standing::Unregistered => return Decision::refuse(403, "Not registered", format!("{caller} is not registered")),
    }
    if call.attribute("park").is_some() {
        // The host parks the call there, or gives the parked one.
        return Decision::pass();
    }
    let Some(way) = RULES.way(called, usize::try_from(directory::longest_extension()).unwrap_or(usize::MAX)) else {
        return Decision::refuse(404, "Not Found", format!("{called} is neither an extension nor an outside number"));
    };
    let names = if way.trunks.is_empty() { trunks::names() } else { way.trunks.to_vec() };
    if names.is_empty() {
        return Decision::refuse(503, "No outside line", format!("there is no trunk for {called}"));
    }
    let caller_number = directory::numbers_of(caller).into_iter().next().or_else(|| RULES.caller_number.clone());
    Decision::dial(
        names.into_iter().map(|trunk| TrunkTarget { trunk, number: way.number.clone(), caller_number: caller_number.clone() }).collect(),
    )
}

impl ConfigurationPolicy for External {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let rules = Rules::read(&Settings::from(settings))?;
        let strangers = rules.trunks().filter(|name| trunks::trunk_by_name(name).is_none());
        let problems: Vec<_> = strangers.map(|name| Problem::new("rule", &format!("there is no trunk `{name}`"))).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

export!(External: routing, configuration);

#[cfg(test)]
mod tests;
