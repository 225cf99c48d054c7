//! Plans and refusals that no shipped policy makes, as an office wants them: `findme` is looked for in stages, and `screened` is put through to few.

use holdfast_policy::*;

struct Office;

impl RoutingPolicy for Office {
    fn route(facts: CallFacts, call: &Call) -> Decision {
        match facts.called.as_str() {
            "findme" => find(),
            "screened" => screen(&facts.caller, call.header("Privacy").is_some()),
            barred if barred.starts_with("0900") => Decision::refuse(403, "Number Barred", format!("{barred} costs too much")),
            _ => Decision::pass(),
        }
    }
}

/// Bob's desk, then whoever of his team is free, then the provider.
fn find() -> Decision {
    let next = NextOn { busy: true, no_answer: true, unreachable: true };
    let ring = |names: &[&str]| {
        let targets = names.iter().map(|name| Target::Endpoint((*name).to_owned())).collect();
        Stage { ring_seconds: Some(10), next, ..Stage::of(targets) }
    };
    let outside = TrunkTarget { trunk: "north".to_owned(), number: "+442071234567".to_owned(), caller_number: None };
    Decision::Route(Plan { stages: vec![ring(&["bob"]), ring(&["carol", "dave"]), Stage::of(vec![Target::Trunk(outside)])] })
}

/// Bob is put through to Alice, as long as she shows herself.
fn screen(caller: &Caller, hides: bool) -> Decision {
    match caller {
        Caller::Endpoint(caller) if caller == "alice" && !hides => Decision::ring("bob"),
        Caller::Endpoint(caller) if caller == "alice" => Decision::refuse(433, "Anonymity Disallowed", "alice hides"),
        Caller::Endpoint(_) | Caller::Trunk(_) | Caller::Unknown => Decision::refuse(603, "Decline", "not one of those whom Bob knows"),
    }
}

export!(Office: routing);
