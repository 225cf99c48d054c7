//! Asks everything that version 0.1.0 of the contract has: the called number says what, the refusal's phrase is the answer.
//!
//! `frozen-0.1.0.wasm` beside this folder was built of it for 0.1.0 and stays as it is: every later host of 0.1.x must run it with the same answers
//! (`cases.toml`). The source is also compiled against the SDK of today and asked the same cases natively, so that the SDK's test harness answers
//! as the host does.

use holdfast_policy::*;

struct Frozen;

impl RegistrationPolicy for Frozen {
    fn admit(facts: RegistrationFacts, registration: &Registration) -> Admission {
        let word = registration.header("Subject").unwrap_or_default();
        let answer = match word.as_str() {
            "facts" => {
                let RegistrationFacts { endpoint, extension, pool, registered, expires_seconds } = facts;
                format!("{endpoint} {extension} {} {registered} {expires_seconds}", told(pool))
            }
            "call-id" => registration.call_id(),
            "contact" => registration.contact(),
            "attributes" => registration.attributes().len().to_string(),
            "source" => registration.source(),
            "transport" => registration.transport(),
            "admit" => return seat(facts.pool, WhenFull::Refuse(Refusal::new(486, "Full", "no seat"))),
            "emergency-only" => return seat(facts.pool, WhenFull::EmergencyOnly),
            _ => return Admission::Pass,
        };
        Admission::Refuse(Refusal::new(403, &answer, "asked"))
    }
}

fn seat(pool: Option<String>, when_full: WhenFull) -> Admission {
    Admission::Admit(SeatRequest { pool: pool.unwrap_or_default(), when_full })
}

impl RoutingPolicy for Frozen {
    fn route(facts: CallFacts, call: &Call) -> Decision {
        let (question, word) = facts.called.split_once('=').unwrap_or((&facts.called, ""));
        let answer = match question {
            "facts" => {
                let caller = match &facts.caller {
                    Caller::Endpoint(id) => format!("endpoint {id}"),
                    Caller::Trunk(name) => format!("trunk {name}"),
                    Caller::Unknown => "unknown".to_owned(),
                };
                format!("{} {caller} {} {}", kind(facts.kind), facts.caller_number, told(facts.location))
            }
            "call-id" => call.call_id(),
            "caller-name" => call.caller_name(),
            "request-uri" => call.request_uri(),
            "header" => told(call.header(word)),
            "attribute" => told(call.attribute(word)),
            "attributes" => call.attributes().len().to_string(),
            "source" => call.source(),
            "transport" => call.transport(),
            "endpoint-by-id" => endpoint(directory::endpoint_by_id(word)),
            "endpoint-by-extension" => endpoint(directory::endpoint_by_extension(word)),
            "endpoint-by-number" => endpoint(directory::endpoint_by_number(word)),
            "numbers-of" => directory::numbers_of(word).join(" "),
            "pool-of" => told(directory::pool_of(word)),
            "standing-of" => match directory::standing_of(word) {
                directory::Standing::Unregistered => "unregistered".to_owned(),
                directory::Standing::EmergencyOnly => "emergency-only".to_owned(),
                directory::Standing::Registered => "registered".to_owned(),
            },
            "bindings-of" => directory::bindings_of(word).into_iter().map(binding).collect::<Vec<_>>().join(" "),
            "longest-extension" => directory::longest_extension().to_string(),
            "usage-of" => licences::usage_of(word).map_or_else(none, |usage| format!("{} of {}", usage.taken, usage.seats)),
            "names" => trunks::names().join(" "),
            "emergency-names" => trunks::emergency_names().join(" "),
            "trunk-by-name" => trunks::trunk_by_name(word).map_or_else(none, |t| format!("{} {} {}", t.name, t.healthy, t.calls)),
            "own-part" => told(word.split_once('=').and_then(|(trunk, number)| trunks::own_part(trunk, number))),
            "location-by-name" => {
                locations::location_by_name(word).map_or_else(none, |l| format!("{} {} {}", l.name, told(l.elin), told(l.address)))
            }
            "get" => settings::get(word).map_or_else(none, value),
            "all" => settings::all().into_iter().map(|setting| setting.key).collect::<Vec<_>>().join(" "),
            "write" => {
                [log::Level::Debug, log::Level::Info, log::Level::Warn].into_iter().for_each(|level| log::write(level, word));
                "written".to_owned()
            }
            "now-ms" => clock::now_ms().to_string(),
            "memory" => remembered(),
            "kept" => told(memory::get(word)),
            "amend" => {
                let attributes = vec![Attribute { name: "frozen.seen".to_owned(), value: "yes".to_owned() }];
                let (called, shown) = (Some(word.to_owned()), Some("+4420".to_owned()));
                return Decision::Pass(Amendments { called, caller_number: shown, caller_name: Some("Frozen".to_owned()), attributes });
            }
            "route" => return Decision::Route(plan()),
            _ => return Decision::pass(),
        };
        Decision::refuse(404, if answer.is_empty() { "nothing" } else { &answer }, "asked")
    }
}

impl EmergencyPolicy for Frozen {
    fn route(facts: CallFacts, call: &Call) -> EmergencyPlan {
        let caller_number = Some(if facts.kind == CallKind::EmergencyTest { "933".to_owned() } else { call.caller_name() });
        let target =
            |trunk| TrunkTarget { trunk, number: facts.called.clone(), caller_number: caller_number.clone().filter(|n| !n.is_empty()) };
        EmergencyPlan { trunks: trunks::emergency_names().into_iter().map(target).collect() }
    }
}

impl ObservationPolicy for Frozen {
    fn ended(call: CallRecord) {
        let CallRecord { call_id, kind: of, caller, called, answered_by, began_ms, answered_ms, ended_ms, status, cause } = call;
        let times = format!("{began_ms} {} {ended_ms}", answered_ms.map_or_else(none, |at| at.to_string()));
        let _kept =
            memory::set("ended", &format!("{call_id} {} {caller} {called} {} {times} {status} {cause}", kind(of), told(answered_by)));
    }
}

impl ConfigurationPolicy for Frozen {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let strange = settings.into_iter().filter(|setting| !setting.key.starts_with("any"));
        let problems: Vec<Problem> = strange.map(|setting| Problem::new(&setting.key, "is not known")).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Two stages with everything that a plan can say.
fn plan() -> Plan {
    let provider = TrunkTarget { trunk: "provider".to_owned(), number: "+4420".to_owned(), caller_number: Some("+4421".to_owned()) };
    let next = NextOn { busy: true, no_answer: true, unreachable: false };
    let together = vec![Target::Endpoint("desk-1".to_owned()), Target::Endpoint("desk-2".to_owned())];
    Plan { stages: vec![Stage { ring_seconds: Some(20), next, ..Stage::of(together) }, Stage::of(vec![Target::Trunk(provider)])] }
}

/// What memory does, told by what it answers.
fn remembered() -> String {
    let set = memory::set("key", "value").is_ok();
    let sum = memory::add("count", 2).and_then(|_| memory::add("count", -5)).unwrap_or_default();
    let got = memory::get("key");
    memory::remove("key");
    let long = match memory::set(&"k".repeat(129), "") {
        Err(memory::MemoryError::TooLong) => "too-long",
        Err(memory::MemoryError::Full) => "full",
        Ok(()) => "kept",
    };
    format!("{set} {sum} {} {} {long}", told(got), told(memory::get("key")))
}

fn told(text: Option<String>) -> String {
    text.unwrap_or_else(none)
}

fn none() -> String {
    "none".to_owned()
}

fn kind(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Normal => "normal",
        CallKind::Emergency => "emergency",
        CallKind::EmergencyTest => "emergency-test",
    }
}

fn endpoint(found: Option<directory::Endpoint>) -> String {
    found.map_or_else(none, |found| format!("{} {} {} {}", found.id, found.extension, found.name, found.enabled))
}

fn binding(binding: directory::Binding) -> String {
    format!("{}{} {} {}", binding.contact, binding.user_agent, binding.expires_seconds, binding.emergency_only)
}

fn value(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Texts(texts) => texts.join(" "),
    }
}

export!(Frozen: registration, routing, emergency, observation, configuration);

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str =
        "[settings]\nany_text = 'text'\nany_number = 7\nany_flag = true\nany_texts = ['a', 'b']\n[[settings.any_table]]\nkey = 1.5\n";

    #[test]
    fn the_harness_answers_as_the_host_does() {
        let results = testing::run_cases::<Frozen>(include_str!("../cases.toml"), SETTINGS).unwrap();
        let failed: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
        assert!(results.len() > 40 && failed.is_empty(), "{failed:#?}");
    }
}
