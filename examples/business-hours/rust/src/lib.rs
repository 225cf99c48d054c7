//! Outside business hours inbound calls ring at night; calls to barred numbers are refused with a reason.

use holdfast_policy::{
    Call, CallFacts, Caller, ConfigurationPolicy, Decision, Kept, Problem, RoutingPolicy, Setting, Value, clock, directory, export, settings,
};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DAY: i64 = 24 * 60;

struct BusinessHours;

static RULES: Kept<Rules> = Kept::new(|| Rules::read(&settings::all()).unwrap_or_default());

impl RoutingPolicy for BusinessHours {
    fn route(facts: CallFacts, _call: &Call) -> Decision {
        if let Some(reason) = RULES.barred(&facts.called) {
            if !RULES.exempts(&facts.caller) {
                return Decision::refuse(403, "Number barred", format!("{}: {reason}", facts.called));
            }
        }
        match (&facts.caller, &RULES.night) {
            (Caller::Trunk(_), Some(night)) if !RULES.open(clock::now_ms()) => Decision::ring(night),
            _ => Decision::pass(),
        }
    }
}

impl ConfigurationPolicy for BusinessHours {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        Rules::read(&settings).map(|_| ())
    }
}

export!(BusinessHours: routing, configuration);

/// The settings, ready to use.
#[derive(Default)]
struct Rules {
    utc_offset_minutes: i64,
    /// Spans of each day, Monday first: minutes since midnight, the end excluded.
    hours: [Vec<(i64, i64)>; 7],
    night: Option<String>,
    /// Extensions that may call barred numbers.
    exempt: Vec<String>,
    barred: Vec<Barred>,
}

#[derive(Default)]
struct Barred {
    prefix: Option<String>,
    reason: Option<String>,
}

impl Rules {
    fn read(settings: &[Setting]) -> Result<Self, Vec<Problem>> {
        let (mut rules, mut problems) = (Self::default(), Vec::new());
        let mut timetable = false;
        for Setting { key, value } in settings {
            let mut problem = |message: &str| problems.push(Problem::new(key, message));
            if let Some(day) = DAYS.iter().position(|day| day == key) {
                timetable = true;
                let Value::Texts(spans) = value else {
                    problem("should be an array of time spans");
                    continue;
                };
                for text in spans {
                    match span(text) {
                        Some(span) => rules.hours[day].push(span),
                        None => problem(&format!("`{text}` is no time span: write it like 08:00-17:30")),
                    }
                }
                continue;
            }
            if let Some(part) = rules.barred_part(key) {
                match (part, value) {
                    (Part::Prefix(into), Value::Text(text)) if is_prefix(text) => *into = Some(text.clone()),
                    (Part::Prefix(into), _) => {
                        *into = Some(String::new());
                        problem("should be 1 to 32 digits, +, * or #");
                    }
                    (Part::Reason(into), Value::Text(text)) if (1..=200).contains(&text.len()) => *into = Some(text.clone()),
                    (Part::Reason(into), _) => {
                        *into = Some(String::new());
                        problem("should be a text of 1 to 200 octets");
                    }
                }
                continue;
            }
            match (key.as_str(), value) {
                ("utc_offset_minutes", Value::Number(minutes)) if (-720..=840).contains(minutes) => rules.utc_offset_minutes = *minutes,
                ("utc_offset_minutes", _) => problem("should be an integer from -720 to 840"),
                ("night", Value::Text(id)) => {
                    if directory::endpoint_by_id(id).is_none() {
                        problem(&format!("there is no endpoint `{id}`"));
                    }
                    rules.night = Some(id.clone());
                }
                ("night", _) => problem("should be the id of an endpoint"),
                ("exempt", Value::Texts(extensions)) => rules.exempt = extensions.clone(),
                ("exempt", _) => problem("should be an array of extensions"),
                _ => problem("is not a setting of this policy"),
            }
        }
        for (index, barred) in rules.barred.iter().enumerate() {
            for (name, part) in [("prefix", &barred.prefix), ("reason", &barred.reason)] {
                if part.is_none() {
                    problems.push(Problem::new(&format!("barred.{index}.{name}"), "is missing"));
                }
            }
        }
        if timetable && settings.iter().all(|setting| setting.key != "night") {
            problems.push(Problem::new("night", "is missing: which endpoint rings outside the hours?"));
        }
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// The place of `barred.N.prefix` or `barred.N.reason`; they come in the order of N.
    fn barred_part(&mut self, key: &str) -> Option<Part<'_>> {
        let (index, name) = key.strip_prefix("barred.")?.split_once('.')?;
        let index: usize = index.parse().ok()?;
        if index > self.barred.len() || !matches!(name, "prefix" | "reason") {
            return None;
        }
        if index == self.barred.len() {
            self.barred.push(Barred::default());
        }
        let barred = self.barred.get_mut(index)?;
        Some(if name == "prefix" { Part::Prefix(&mut barred.prefix) } else { Part::Reason(&mut barred.reason) })
    }

    /// Why `called` is barred.
    fn barred(&self, called: &str) -> Option<&str> {
        let barred = self.barred.iter().find(|barred| barred.prefix.as_ref().is_some_and(|prefix| called.starts_with(prefix.as_str())))?;
        barred.reason.as_deref()
    }

    fn exempts(&self, caller: &Caller) -> bool {
        let Caller::Endpoint(id) = caller else { return false };
        directory::endpoint_by_id(id).is_some_and(|endpoint| self.exempt.contains(&endpoint.extension))
    }

    fn open(&self, now_ms: u64) -> bool {
        let minutes = i64::try_from(now_ms / 60_000).unwrap_or(i64::MAX / 2) + self.utc_offset_minutes;
        // 1970-01-01 was a Thursday.
        let (weekday, minute) = ((minutes.div_euclid(DAY) + 3).rem_euclid(7), minutes.rem_euclid(DAY));
        usize::try_from(weekday).is_ok_and(|day| self.hours[day].iter().any(|(begin, end)| (*begin..*end).contains(&minute)))
    }
}

/// Where a value of one barred prefix goes.
enum Part<'a> {
    Prefix(&'a mut Option<String>),
    Reason(&'a mut Option<String>),
}

fn is_prefix(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"+*#".contains(&b))
}

/// `08:00-17:30` in minutes since midnight; 24:00 is the end of the day.
fn span(text: &str) -> Option<(i64, i64)> {
    let (begin, end) = text.split_once('-')?;
    let (begin, end) = (minute(begin)?, minute(end)?);
    (begin < end).then_some((begin, end))
}

fn minute(text: &str) -> Option<i64> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let digit = |b: u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
    let (hour, minute) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}
