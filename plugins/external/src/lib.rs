//! Between the site and the world: numbers to trunks, and inbound numbers to extensions, groups and other trunks. The last word of the chain.
//!
//! **Out**, for a registered phone of the site: the first rule whose `number` matches says which trunks are tried, in order; the next one where the one before
//! cannot be reached. Without rules every telephone number longer than the longest extension goes to all trunks in their order. Settings:
//!
//! ```toml
//! [settings]
//! outside_prefix = "9"            # dialled to get outside, taken off before the trunk; numbers with `+` need none. Default: none
//! caller_number = "+442030001000" # shown for phones without a direct number. Default: what the phone has
//! country_code = "44"             # how numbers are dialled where the site is: with these, patterns may be written in the
//! national_prefix = "0"           # international form for numbers that are dialled in any other. Default: only numbers with `+`
//! international_prefix = "00"     # are known to be international
//! [[settings.rule]]               # in order; the first that matches counts
//! number = "+44%"                 # after the outside prefix; `%` stands for any digits
//! trunks = ["provider"]           # trunks and trunk groups. Default: all trunks
//! strip = 3                       # leading characters to take off. Default: 0
//! prepend = "0"                   # put before the rest. Default: none
//! [[settings.trunk]]              # how a trunk wants its numbers where no rule rewrites them, and the caller's
//! name = "provider"
//! format = "e164"                 # or "national", "as-dialled", which is the default
//! [[settings.trunk_group]]
//! name = "providers"
//! trunks = ["provider", "backup"]
//! order = "fewest-calls"          # up before degraded before down, then by their calls; or "as-written", which is the default
//! ```
//!
//! Who may call what is a matter of rights (`rights.rs`): classes of numbers, countries, hours, and bounds for what is used, tighter while phones are here without
//! their cloud. Without `[[settings.right]]` whoever is registered may call everything that the host's own ceilings (`[tolls]`) let out.
//!
//! ```toml
//! [settings]
//! default_right = "staff"         # of everybody whom no `user` names
//! utc_offset = "+01:00"           # of the clock that `hours` mean, the year round. Default: the site's own, `time_zone` of [policy] in `holdfast.toml`,
//!                                 # which follows summer time
//! [[settings.class]]              # in order; what is in none is `national`, `international`, or `service` (a number without international form)
//! name = "premium"
//! numbers = ["+44900%"]
//! [[settings.right]]
//! name = "staff"
//! classes = ["national"]          # default: all
//! countries = ["33", "49"]        # of international numbers. Default: all
//! hours = ["mo-fr 07:00-20:00"]   # default: always
//! calls = 2                       # outside at a time; default: any number, as for the next three
//! calls_per_hour = 20
//! minutes_per_day = 120
//! minutes_per_outage = 300        # from the first phone that registers here until none is registered any more
//! outage = "tight"                # the right that counts instead while phones are here without their cloud,
//! outage_after_minutes = 0        # beginning so long after the first came
//! [[settings.user]]               # in order; the first that matches counts, unless `holdfast user set ID --dial-class` has named a right
//! right = "guest"
//! extensions = ["12%"]            # default: any
//! location = "lobby"              # default: any
//! ```
//!
//! A number that the site has as a park slot passes: the host does the rest.
//!
//! **In**, from a trunk: where the first `[[settings.inbound]]` says that matches; else to the endpoint that owns the number, else to the extension that stands for
//! the `%` of the trunk's own numbers. Nothing else reaches another trunk.
//!
//! ```toml
//! [[settings.inbound]]            # in order; the first that matches counts. Numbers as they come, or in their international form
//! trunk = "provider"              # default: any, as for the next two
//! number = "+442030002%"          # called
//! caller = "+44%"
//! group = "sales"                 # where it goes: `group`, `extension`, or `to_trunk` with `to_number` (default: the called number)
//! [[settings.group]]
//! name = "sales"
//! extension = "300"               # under which the site's phones call it. Default: they do not
//! members = ["1001", "1002"]      # extensions, 15 at most
//! mode = "longest-idle"           # one after the other; or "in-turn" in their order, or "all" at once, which is the default
//! ring_seconds = 15               # each, with "all" together. Default: the site's
//! then = "1009"                   # extension that is called when nobody answers. Default: the call ends
//! ```

mod groups;
mod inbound;
mod numbers;
mod reader;
mod rights;
mod rules;

use holdfast_policy::{
    Call, CallFacts, Caller, ConfigurationPolicy, Decision, Kept, Problem, RoutingPolicy, Setting, Settings, directory,
    directory::Standing, export, trunks,
};
use rules::Rules;

struct External;

static RULES: Kept<Rules> = Kept::new(|| Rules::read(&Settings::all()).unwrap_or_default());

impl RoutingPolicy for External {
    fn route(facts: CallFacts, call: &Call) -> Decision {
        match &facts.caller {
            Caller::Trunk(trunk) => inbound(trunk, &facts.called, &facts.caller_number),
            Caller::Endpoint(caller) => outbound(caller, &facts, call),
            Caller::Unknown => Decision::refuse(403, "Forbidden", "the caller is neither a phone of the site nor a trunk"),
        }
    }
}

fn inbound(trunk: &str, called: &str, caller: &str) -> Decision {
    let rules = &*RULES;
    if let Some(entrance) = rules.entrances.iter().find(|entrance| entrance.is_for(&rules.numbers, trunk, called, caller)) {
        return entrance.go(&rules.groups, &rules.numbers, called, caller, |trunk| rules.format(trunk));
    }
    let international = rules.numbers.e164(called).filter(|e164| *e164 != called);
    let Some((called, part)) =
        [Some(called), international.as_deref()].into_iter().flatten().find_map(|number| Some((number, trunks::own_part(trunk, number)?)))
    else {
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

fn outbound(caller: &str, facts: &CallFacts, call: &Call) -> Decision {
    let called = facts.called.as_str();
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
    if let Some(group) = RULES.groups.iter().find(|group| group.extension == called) {
        return group.ring();
    }
    let Some(way) = RULES.way(called, usize::try_from(directory::longest_extension()).unwrap_or(usize::MAX)) else {
        return Decision::refuse(404, "Not Found", format!("{called} is neither an extension nor an outside number"));
    };
    if let Some(refusal) = RULES.rights.forbid(caller, facts.location.as_deref(), way.number, &RULES.numbers) {
        return Decision::Refuse(refusal);
    }
    let caller_number = directory::numbers_of(caller).into_iter().next().or_else(|| RULES.caller_number.clone());
    let targets = RULES.targets(way, caller_number.as_deref());
    if targets.is_empty() {
        return Decision::refuse(503, "No outside line", format!("there is no trunk for {called}"));
    }
    Decision::dial(targets)
}

impl ConfigurationPolicy for External {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let problems = Rules::read(&Settings::from(settings))?.strangers();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

export!(External: routing, configuration);

#[cfg(test)]
mod tests;
