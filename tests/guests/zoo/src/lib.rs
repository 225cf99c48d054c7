//! Every way in which a policy can go wrong while it decides, named by the setting `act` or, for calls, by the attribute `act` or the called number.
#![allow(clippy::panic, clippy::expect_used, reason = "misbehaves on purpose")]

use holdfast_policy::*;
use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

struct Zoo;

/// What a careless author keeps from one decision to the next.
static DECISIONS: AtomicU32 = AtomicU32::new(1);

impl RegistrationPolicy for Zoo {
    fn admit(facts: RegistrationFacts, registration: &Registration) -> Admission {
        let act = act(registration.header("Subject"));
        if live(registration.header("Call-ID")) {
            misbehave(&act);
        }
        let seat = |pool: &str, when_full| Admission::Admit(SeatRequest { pool: pool.to_owned(), when_full });
        match act.as_str() {
            "admit" => seat(&facts.pool.unwrap_or_default(), WhenFull::EmergencyOnly),
            "unknown-pool" => seat("nowhere", WhenFull::EmergencyOnly),
            "bad-when-full" => seat(&facts.pool.unwrap_or_default(), WhenFull::Refuse(Refusal::new(200, "OK", ""))),
            "refuse" => Admission::Refuse(Refusal::new(403, "Not today", "because")),
            _ => Admission::Pass,
        }
    }
}

impl RoutingPolicy for Zoo {
    fn route(facts: CallFacts, call: &Call) -> Decision {
        let act = act(Some(facts.called.clone()));
        if live(call.header("Call-ID")) {
            misbehave(&act);
        }
        let trunk = |trunk: &str, number: &str| {
            Decision::dial(vec![TrunkTarget { trunk: trunk.to_owned(), number: number.to_owned(), caller_number: None }])
        };
        let phrase = |phrase: &str| Decision::refuse(403, phrase, "");
        let amend = |amendments: Amendments| Decision::Pass(amendments);
        match act.as_str() {
            "empty-plan" => Decision::Route(Plan { stages: Vec::new() }),
            "empty-stage" => Decision::Route(Plan { stages: vec![Stage::of(Vec::new())] }),
            "many-stages" => Decision::Route(Plan { stages: vec![Stage::of(vec![Target::Endpoint("desk-1".to_owned())]); 100] }),
            "ring-for-ever" => Decision::Route(Plan {
                stages: vec![Stage { ring_seconds: Some(u32::MAX), ..Stage::of(vec![Target::Endpoint("desk-1".to_owned())]) }],
            }),
            "unknown-endpoint" => Decision::ring("nobody"),
            "unknown-trunk" => trunk("nowhere", "1"),
            "crlf-number" => trunk("provider", "1\r\nX: y"),
            "at-number" => trunk("provider", "1@evil.invalid"),
            "status-200" => Decision::refuse(200, "OK", ""),
            "status-700" => Decision::refuse(700, "Beyond", ""),
            "no-phrase" => phrase(""),
            "crlf-phrase" => phrase("No\r\nContact: <sip:evil.invalid>"),
            "long-phrase" => phrase(&"x".repeat(65)),
            "long-detail" => Decision::refuse(403, "No", "x".repeat(513)),
            "crlf-called" => amend(Amendments { called: Some("1\r\n".to_owned()), ..Amendments::none() }),
            "long-name" => amend(Amendments { caller_name: Some("x".repeat(257)), ..Amendments::none() }),
            "many-attributes" => amend(Amendments {
                attributes: (0..17).map(|n| Attribute { name: format!("zoo.{n}"), value: String::new() }).collect(),
                ..Amendments::none()
            }),
            "nameless-attribute" => {
                amend(Amendments { attributes: vec![Attribute { name: String::new(), value: String::new() }], ..Amendments::none() })
            }
            "amend" => amend(Amendments {
                called: Some("pass".to_owned()),
                caller_name: Some("Amended".to_owned()),
                attributes: vec![Attribute { name: "zoo.seen".to_owned(), value: call.header("f").unwrap_or_default() }],
                ..Amendments::none()
            }),
            "count" => Decision::refuse(403, &format!("Number {}", DECISIONS.fetch_add(1, Relaxed)), ""),
            "remember" => Decision::refuse(403, &format!("Number {}", memory::add("decisions", 1).unwrap_or_default()), ""),
            "ring" => Decision::ring("desk-1"),
            "outside" => {
                let used = trunks::usage_of("desk-1");
                let used = (used.calls, used.calls_in_hour, used.seconds_in_day, used.seconds_in_outage);
                phrase(&format!("{:?} {:?} {used:?}", directory::idle_seconds("desk-1"), directory::outage_seconds()))
            }
            "class" => phrase(&directory::dial_class_of("desk-1").unwrap_or_default()),
            "settings" => phrase(if directory::call_settings_of("desk-1").is_some() { "some" } else { "none" }),
            "pools" => {
                let standing = licences::standing_of("site").map(|standing| (standing.waiting, standing.most, standing.refused));
                phrase(&format!("{:?} {standing:?}", licences::names()))
            }
            "clock" => phrase(&format!("{} {}", clock::now_ms(), clock::utc_offset_minutes())),
            "trunks" => phrase(&format!("{:?} {:?}", trunks::standing_of("provider"), trunks::standing_of("gone"))),
            "places" => phrase(&format!("{:?} {:?}", licences::place_of("site", "desk-1"), licences::place_of("gone", "desk-1"))),
            "refuse" => {
                Decision::refuse(403, "Not today", format!("from {} over {} as {}", call.source(), call.transport(), call.request_uri()))
            }
            _ => Decision::pass(),
        }
    }
}

impl EmergencyPolicy for Zoo {
    fn route(facts: CallFacts, call: &Call) -> EmergencyPlan {
        // The call itself says what to do, or the site's emergency number does; the trial of the host calls others.
        let mut act = act(call.header("X-Act").or(Some(facts.called.clone())));
        if live(call.header("Call-ID")) {
            misbehave(&act);
        } else {
            act.clear();
        }
        let plan = |trunk: &str, number: &str| EmergencyPlan {
            trunks: vec![TrunkTarget { trunk: trunk.to_owned(), number: number.to_owned(), caller_number: None }],
        };
        match act.as_str() {
            "unknown-trunk" => plan("nowhere", "112"),
            "crlf-number" => plan("provider", "112\r\nX: y"),
            "empty-plan" => EmergencyPlan { trunks: Vec::new() },
            "told" => EmergencyPlan { trunks: call.header("X-Plan").unwrap_or_default().split(',').filter_map(told).collect() },
            "many-trunks" => EmergencyPlan { trunks: vec![plan("provider", "112").trunks.remove(0); 17] },
            _ => plan("provider", &facts.called),
        }
    }
}

impl ObservationPolicy for Zoo {
    fn ended(call: CallRecord) {
        if live(Some("trial".to_owned())) {
            misbehave(&act(Some(call.called)));
        }
        let _counted = memory::add("ended", 1);
    }
}

impl ConfigurationPolicy for Zoo {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let settings = Settings::from(settings);
        if settings.text("check") == Ok(Some("trap")) {
            misbehave("trap");
        }
        let problems = settings.unknown(&["act", "check", "start", "spare_trial"]);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Whether to misbehave: with `spare_trial`, not at the host's made-up calls, as a policy does whose mistake shows at real ones only.
fn live(call_id: Option<String>) -> bool {
    call_id.as_deref() != Some("trial") || Settings::all().flag("spare_trial") != Ok(Some(true))
}

/// What to do: the setting when there is one, else what the event says.
fn act(event: Option<String>) -> String {
    Settings::all().text("act").ok().flatten().map(str::to_owned).or(event).unwrap_or_default()
}

/// A target as a call tells it: trunk, number and, if any, caller's number in hexadecimal, with points between.
fn told(target: &str) -> Option<TrunkTarget> {
    let mut fields = target.split('.').map(|field| {
        let octets = field.as_bytes().chunks(2).filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        String::from_utf8_lossy(&octets.collect::<Vec<_>>()).into_owned()
    });
    Some(TrunkTarget { trunk: fields.next()?, number: fields.next()?, caller_number: fields.next() })
}

/// Does not come back from most of it.
fn misbehave(act: &str) {
    match act {
        "trap" => panic!("on purpose"),
        "spin" => while black_box(true) {},
        "grow" => {
            let mut hoard = Vec::new();
            while hoard.len() < 1 << 20 {
                hoard.push(black_box(Vec::<u8>::with_capacity(1 << 20)));
            }
        }
        "recurse" => {
            black_box(deeper(1, black_box(u64::MAX)));
        }
        "ask" => {
            while black_box(true) {
                black_box(clock::now_ms());
            }
        }
        "shout" => {
            let text = "x".repeat(200 << 10);
            while black_box(true) {
                log::write(log::Level::Debug, &text);
            }
        }
        "huge" => log::write(log::Level::Info, &"x".repeat(300 << 10)),
        "chatter" => (0..1000).for_each(|n| log::write(log::Level::Info, &format!("line {n}"))),
        _ => {}
    }
}

/// Recurses without use of the guest's own stack, so that the host's stack is what ends it.
#[inline(never)]
fn deeper(n: u64, end: u64) -> u64 {
    if n == end { 0 } else { deeper(n + 1, end).rotate_left(7) ^ n }
}

export!(Zoo: registration, routing, emergency, observation, configuration);

#[cfg(test)]
mod tests {
    /// The same file is asked of the component, by the host.
    #[test]
    fn the_harness_names_what_breaks_the_contract_as_the_host_does() {
        holdfast_policy::testing::cases::<super::Zoo>("cases.toml");
    }
}
