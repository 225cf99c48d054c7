//! Calls for help: out through the site's emergency trunks in their order, showing the number of the place where the caller stands.
//!
//! Settings: `test_trunks`, names of the trunks for test calls (933, `urn:service:test.sos`), when they should not take the ways of real ones.

use holdfast_policy::{
    Call, CallFacts, CallKind, Caller, ConfigurationPolicy, EmergencyPlan, EmergencyPolicy, Kept, Problem, Setting, Settings, TrunkTarget,
    directory, export, locations, trunks,
};

struct Emergency;

static TEST_TRUNKS: Kept<Option<Vec<String>>> = Kept::new(|| Settings::all().texts("test_trunks").ok().flatten().map(<[String]>::to_vec));

impl EmergencyPolicy for Emergency {
    fn route(facts: CallFacts, _call: &Call) -> EmergencyPlan {
        let caller_number = elin(&facts).or_else(|| own_number(&facts));
        let names = match &*TEST_TRUNKS {
            Some(names) if facts.kind == CallKind::EmergencyTest => names.clone(),
            _ => trunks::emergency_names(),
        };
        let target = |trunk| TrunkTarget { trunk, number: facts.called.clone(), caller_number: caller_number.clone() };
        EmergencyPlan { trunks: names.into_iter().map(target).collect() }
    }
}

/// The number of the place: the emergency centre finds the caller by it, and reaches the site when it calls back.
fn elin(facts: &CallFacts) -> Option<String> {
    locations::location_by_name(facts.location.as_deref()?)?.elin
}

/// The caller's first direct number; an extension means nothing outside.
fn own_number(facts: &CallFacts) -> Option<String> {
    match &facts.caller {
        Caller::Endpoint(id) => directory::numbers_of(id).into_iter().next(),
        Caller::Trunk(_) | Caller::Unknown => None,
    }
}

impl ConfigurationPolicy for Emergency {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let settings = Settings::from(settings);
        let mut problems = settings.unknown(&["test_trunks"]);
        match settings.texts("test_trunks") {
            Ok(names) => problems.extend(
                names
                    .unwrap_or_default()
                    .iter()
                    .filter(|name| trunks::trunk_by_name(name).is_none())
                    .map(|name| Problem::new("test_trunks", &format!("there is no trunk `{name}`"))),
            ),
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

export!(Emergency: emergency, configuration);

#[cfg(test)]
mod tests;
