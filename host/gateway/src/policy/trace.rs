//! What one decision was told: every question of a component to the host with its answer, so that the decision can be explained, and made again exactly.
//!
//! What stands in the call or registration itself (its headers, its source…) is kept with the facts, not here; neither are settings, which do not change
//! during the life of a policy.

use super::v1::imports::{
    directory::{Binding, CallSettings, Endpoint, Standing},
    licences::{Place, Standing as PoolStanding, Usage, Validity},
    locations::Location,
    memory::MemoryError,
    trunks::{OutsideUsage, Standing as TrunkStanding, Trunk},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeStruct as _},
};
use serde_json::Value;

/// Octets of questions, answers and log lines that are kept of one decision. What is over that is left out, and the decision is marked as not whole.
const TAPE_BYTES: usize = 64 << 10;

/// What a decision does with the host's answers.
#[derive(Debug, Default)]
pub(super) enum Trace {
    /// Nothing.
    #[default]
    Off,
    /// Keeps them.
    Recording(Tape),
    /// Takes them from an earlier decision instead of the host.
    Playing(Script),
    /// The same, and asks the host what was not asked then.
    Recalling(Script),
}

/// The questions of one decision and their answers, in order.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(super) asked: Vec<Asked>,
    /// What the component wrote to the log: level and line.
    pub(super) said: Vec<(&'static str, String)>,
    /// Something did not fit.
    pub(super) cut: bool,
    bytes: usize,
}

/// One question and its answer.
#[derive(Debug)]
pub(super) struct Asked {
    /// `directory.endpoint-by-id`.
    pub(super) question: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) told: Told,
}

impl Tape {
    /// Octets that it holds, roughly.
    pub(super) const fn octets(&self) -> usize {
        self.bytes
    }

    pub(super) fn keep(&mut self, question: &'static str, arguments: &[&str], told: Told) {
        let bytes = question.len() + arguments.iter().map(|argument| argument.len()).sum::<usize>() + told.bytes();
        if self.fits(bytes) {
            self.asked.push(Asked { question, arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), told });
        }
    }

    pub(super) fn keep_line(&mut self, level: &'static str, line: &str) {
        if self.fits(line.len()) {
            self.said.push((level, line.to_owned()));
        }
    }

    fn fits(&mut self, bytes: usize) -> bool {
        // Each entry also costs its own place.
        self.bytes = self.bytes.saturating_add(bytes + 64);
        self.cut |= self.bytes > TAPE_BYTES;
        !self.cut
    }
}

/// The answers of an earlier decision, by question. A question that was asked several times gets its answers in their order; the last one stays.
#[derive(Debug, Default)]
pub(super) struct Script {
    answers: Vec<(String, Vec<String>, Value)>,
    /// After the answer that was given last: who decides the same asks in the same order.
    next: usize,
    /// Which answers were given.
    given: Vec<bool>,
    /// The first question that was not asked then.
    pub(super) unknown: Option<String>,
}

impl Script {
    pub(super) fn new(answers: Vec<(String, Vec<String>, Value)>) -> Self {
        Self { next: 0, given: vec![false; answers.len()], answers, unknown: None }
    }

    /// What it was made of.
    pub(super) fn into_answers(self) -> Vec<(String, Vec<String>, Value)> {
        self.answers
    }

    /// What the host's tables held when a decision was made. What the policy itself keeps is no part of it: whoever decides the same has that of its own.
    pub(super) fn of_tables(tape: &Tape) -> Self {
        let tables = tape.asked.iter().filter(|asked| !asked.question.starts_with("memory."));
        Self::new(tables.map(|asked| (asked.question.to_owned(), asked.arguments.clone(), asked.told.json())).collect())
    }

    pub(super) fn answer<T: Answer>(&mut self, question: &str, arguments: &[&str]) -> Option<T> {
        let answer = self.find(question, arguments).and_then(|(_, _, told)| T::from_json(told));
        if answer.is_none() && self.unknown.is_none() {
            self.unknown = Some(format!("{question}({})", arguments.join(", ")));
        }
        answer
    }

    fn find(&mut self, question: &str, arguments: &[&str]) -> Option<&(String, Vec<String>, Value)> {
        let this = |(known, with, _): &(String, Vec<String>, Value)| known == question && with == arguments;
        let in_order = Some(self.next).filter(|place| self.answers.get(*place).is_some_and(this));
        let first_left = || self.answers.iter().zip(&self.given).position(|(answer, given)| !given && this(answer));
        let place = in_order.or_else(first_left).or_else(|| self.answers.iter().rposition(this))?;
        self.next = place + 1;
        if let Some(given) = self.given.get_mut(place) {
            *given = true;
        }
        self.answers.get(place)
    }
}

/// What the host can answer.
pub(super) trait Answer: Sized {
    /// A copy to keep.
    fn told(&self) -> Told;
    /// Reads what [`Told::json`] wrote.
    fn from_json(value: &Value) -> Option<Self>;
}

/// One answer, kept as it was: turning it into JSON is left to whoever writes it down, off the call path.
#[derive(Debug)]
pub(super) enum Told {
    Nothing,
    Text(Option<String>),
    Texts(Vec<String>),
    Number(u64),
    Offset(i32),
    Endpoint(Option<Endpoint>),
    Standing(Standing),
    Bindings(Vec<Binding>),
    Usage(Option<Usage>),
    Calls(Option<CallSettings>),
    Pool(Option<PoolStanding>),
    Place(Option<Place>),
    Trunk(Option<Trunk>),
    TrunkStanding(Option<TrunkStanding>),
    Outside(OutsideUsage),
    Count(Option<u32>),
    Location(Option<Location>),
    Kept(Result<Option<i64>, MemoryError>),
}

impl Told {
    /// Octets, roughly: what is not text is small.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(Some(text)) => text.len(),
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 24).sum(),
            Self::Endpoint(Some(endpoint)) => endpoint.id.len() + endpoint.extension.len() + endpoint.name.len(),
            Self::Bindings(bindings) => bindings.iter().map(|binding| binding.contact.len() + binding.user_agent.len() + 32).sum(),
            Self::Calls(Some(calls)) => forwards(calls).iter().map(|(_, to)| to.as_ref().map_or(24, |to| to.len() + 24)).sum(),
            Self::Location(Some(location)) => location.name.len() + location.address.as_ref().map_or(0, String::len),
            _ => 8,
        }
    }

    /// As it stands in the record.
    pub(super) fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Written straight into the line: most of a record are answers, and each as a [`Value`] first would cost several times as much.
impl Serialize for Told {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing
            | Self::Endpoint(None)
            | Self::Usage(None)
            | Self::Calls(None)
            | Self::Pool(None)
            | Self::Trunk(None)
            | Self::Location(None)
            | Self::Kept(Ok(None)) => to.serialize_unit(),
            Self::Text(text) => text.serialize(to),
            Self::Texts(texts) => texts.serialize(to),
            Self::Number(number) => to.serialize_u64(*number),
            Self::Offset(minutes) => to.serialize_i32(*minutes),
            Self::Endpoint(Some(Endpoint { id, extension, name, enabled })) => {
                let mut told = to.serialize_struct("", 4)?;
                told.serialize_field("id", id)?;
                told.serialize_field("extension", extension)?;
                told.serialize_field("name", name)?;
                told.serialize_field("enabled", enabled)?;
                told.end()
            }
            Self::Standing(standing) => word(&STANDINGS, standing).serialize(to),
            Self::Bindings(bindings) => to.collect_seq(bindings.iter().map(BindingTold)),
            Self::Usage(Some(Usage { seats, taken })) => {
                let mut told = to.serialize_struct("", 2)?;
                told.serialize_field("seats", seats)?;
                told.serialize_field("taken", taken)?;
                told.end()
            }
            Self::Calls(Some(calls)) => {
                let mut told = to.serialize_map(None)?;
                told.serialize_entry("ring_seconds", &calls.ring_seconds)?;
                for (name, forward) in forwards(calls) {
                    told.serialize_entry(name, forward)?;
                }
                told.end()
            }
            Self::Pool(Some(PoolStanding { kept, waiting, most, refused, validity })) => {
                let mut told = to.serialize_struct("", 5)?;
                told.serialize_field("kept", kept)?;
                told.serialize_field("waiting", waiting)?;
                told.serialize_field("most", most)?;
                told.serialize_field("refused", refused)?;
                told.serialize_field("validity", &word(&VALIDITIES, validity))?;
                told.end()
            }
            Self::Place(place) => place.as_ref().map(|place| word(&PLACES, place)).serialize(to),
            Self::TrunkStanding(standing) => standing.as_ref().map(|standing| word(&TRUNK_STANDINGS, standing)).serialize(to),
            Self::Outside(OutsideUsage { calls, calls_in_hour, seconds_in_day, seconds_in_outage }) => {
                let mut told = to.serialize_struct("", 4)?;
                told.serialize_field("calls", calls)?;
                told.serialize_field("calls_in_hour", calls_in_hour)?;
                told.serialize_field("seconds_in_day", seconds_in_day)?;
                told.serialize_field("seconds_in_outage", seconds_in_outage)?;
                told.end()
            }
            Self::Count(count) => count.serialize(to),
            Self::Trunk(Some(Trunk { name, healthy, calls })) => {
                let mut told = to.serialize_struct("", 3)?;
                told.serialize_field("name", name)?;
                told.serialize_field("healthy", healthy)?;
                told.serialize_field("calls", calls)?;
                told.end()
            }
            Self::Location(Some(Location { name, elin, address })) => {
                let mut told = to.serialize_struct("", 3)?;
                told.serialize_field("name", name)?;
                told.serialize_field("elin", elin)?;
                told.serialize_field("address", address)?;
                told.end()
            }
            Self::Kept(Ok(Some(sum))) => to.serialize_i64(*sum),
            Self::Kept(Err(error)) => {
                let mut told = to.serialize_struct("", 1)?;
                told.serialize_field("error", if *error == MemoryError::Full { "full" } else { "too-long" })?;
                told.end()
            }
        }
    }
}

struct BindingTold<'a>(&'a Binding);

impl Serialize for BindingTold<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(Binding { contact, user_agent, expires_seconds, emergency_only }) = self;
        let mut told = to.serialize_struct("", 4)?;
        told.serialize_field("contact", contact)?;
        told.serialize_field("user_agent", user_agent)?;
        told.serialize_field("expires_seconds", expires_seconds)?;
        told.serialize_field("emergency_only", emergency_only)?;
        told.end()
    }
}

const STANDINGS: [(Standing, &str); 3] =
    [(Standing::Unregistered, "unregistered"), (Standing::EmergencyOnly, "emergency-only"), (Standing::Registered, "registered")];

const VALIDITIES: [(Validity, &str); 4] =
    [(Validity::NotYet, "not-yet"), (Validity::Valid, "valid"), (Validity::Grace, "grace"), (Validity::Ended, "ended")];
const TRUNK_STANDINGS: [(TrunkStanding, &str); 3] =
    [(TrunkStanding::Up, "up"), (TrunkStanding::Degraded, "degraded"), (TrunkStanding::Down, "down")];
const PLACES: [(Place, &str); 4] = [(Place::None, "none"), (Place::Seated, "seated"), (Place::Waiting, "waiting"), (Place::Kept, "kept")];

fn word<T: PartialEq>(words: &[(T, &'static str)], meant: &T) -> Option<&'static str> {
    words.iter().find(|(known, _)| known == meant).map(|(_, word)| *word)
}

fn meant<T: Copy>(words: &[(T, &str)], value: &Value) -> Option<T> {
    let word = value.as_str()?;
    words.iter().find(|(_, known)| *known == word).map(|(meant, _)| *meant)
}

const fn forwards(calls: &CallSettings) -> [(&'static str, &Option<String>); 4] {
    [
        ("forward_always", &calls.forward_always),
        ("forward_busy", &calls.forward_busy),
        ("forward_no_answer", &calls.forward_no_answer),
        ("forward_unreachable", &calls.forward_unreachable),
    ]
}

impl Answer for () {
    fn told(&self) -> Told {
        Told::Nothing
    }
    fn from_json(_: &Value) -> Option<Self> {
        Some(())
    }
}

impl Answer for Option<String> {
    fn told(&self) -> Told {
        Told::Text(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| Some(value.as_str()?.to_owned()))
    }
}

impl Answer for Vec<String> {
    fn told(&self) -> Told {
        Told::Texts(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        list(value, |value| Some(value.as_str()?.to_owned()))
    }
}

impl Answer for u32 {
    fn told(&self) -> Told {
        Told::Number(u64::from(*self))
    }
    fn from_json(value: &Value) -> Option<Self> {
        Self::try_from(value.as_u64()?).ok()
    }
}

impl Answer for i32 {
    fn told(&self) -> Told {
        Told::Offset(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        Self::try_from(value.as_i64()?).ok()
    }
}

impl Answer for Option<Endpoint> {
    fn told(&self) -> Told {
        Told::Endpoint(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| {
            let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
            Some(Endpoint {
                id: text("id")?,
                extension: text("extension")?,
                name: text("name")?,
                enabled: value.get("enabled")?.as_bool()?,
            })
        })
    }
}

impl Answer for Standing {
    fn told(&self) -> Told {
        Told::Standing(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        let word = value.as_str()?;
        STANDINGS.iter().find(|(_, known)| *known == word).map(|(standing, _)| *standing)
    }
}

impl Answer for Vec<Binding> {
    fn told(&self) -> Told {
        Told::Bindings(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        list(value, |value| {
            Some(Binding {
                contact: value.get("contact")?.as_str()?.to_owned(),
                user_agent: value.get("user_agent")?.as_str()?.to_owned(),
                expires_seconds: u32::from_json(value.get("expires_seconds")?)?,
                emergency_only: value.get("emergency_only")?.as_bool()?,
            })
        })
    }
}

impl Answer for Option<Usage> {
    fn told(&self) -> Told {
        Told::Usage(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| Some(Usage { seats: u32::from_json(value.get("seats")?)?, taken: u32::from_json(value.get("taken")?)? }))
    }
}

impl Answer for OutsideUsage {
    fn told(&self) -> Told {
        Told::Outside(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| u32::from_json(value.get(name)?);
        Some(Self {
            calls: number("calls")?,
            calls_in_hour: number("calls_in_hour")?,
            seconds_in_day: number("seconds_in_day")?,
            seconds_in_outage: number("seconds_in_outage")?,
        })
    }
}

impl Answer for Option<CallSettings> {
    fn told(&self) -> Told {
        Told::Calls(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| {
            let to = |name: &str| Option::<String>::from_json(value.get(name)?);
            Some(CallSettings {
                ring_seconds: optional(value.get("ring_seconds")?, u32::from_json)?,
                forward_always: to("forward_always")?,
                forward_busy: to("forward_busy")?,
                forward_no_answer: to("forward_no_answer")?,
                forward_unreachable: to("forward_unreachable")?,
            })
        })
    }
}

impl Answer for Option<u32> {
    fn told(&self) -> Told {
        Told::Count(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, u32::from_json)
    }
}

impl Answer for Option<PoolStanding> {
    fn told(&self) -> Told {
        Told::Pool(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| {
            let number = |name: &str| u32::from_json(value.get(name)?);
            Some(PoolStanding {
                kept: number("kept")?,
                waiting: number("waiting")?,
                most: number("most")?,
                refused: value.get("refused")?.as_u64()?,
                validity: meant(&VALIDITIES, value.get("validity")?)?,
            })
        })
    }
}

impl Answer for Option<Place> {
    fn told(&self) -> Told {
        Told::Place(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| meant(&PLACES, value))
    }
}

impl Answer for Option<Trunk> {
    fn told(&self) -> Told {
        Told::Trunk(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| {
            Some(Trunk {
                name: value.get("name")?.as_str()?.to_owned(),
                healthy: value.get("healthy")?.as_bool()?,
                calls: u32::from_json(value.get("calls")?)?,
            })
        })
    }
}

impl Answer for Option<TrunkStanding> {
    fn told(&self) -> Told {
        Told::TrunkStanding(*self)
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| meant(&TRUNK_STANDINGS, value))
    }
}

impl Answer for Option<Location> {
    fn told(&self) -> Told {
        Told::Location(self.clone())
    }
    fn from_json(value: &Value) -> Option<Self> {
        optional(value, |value| {
            Some(Location {
                name: value.get("name")?.as_str()?.to_owned(),
                elin: Option::<String>::from_json(value.get("elin")?)?,
                address: Option::<String>::from_json(value.get("address")?)?,
            })
        })
    }
}

impl Answer for Result<(), MemoryError> {
    fn told(&self) -> Told {
        Told::Kept(self.map(|()| None))
    }
    fn from_json(value: &Value) -> Option<Self> {
        Some(memory_error(value).map_or(Ok(()), Err))
    }
}

impl Answer for Result<i64, MemoryError> {
    fn told(&self) -> Told {
        Told::Kept(self.map(Some))
    }
    fn from_json(value: &Value) -> Option<Self> {
        memory_error(value).map_or_else(|| value.as_i64().map(Ok), |error| Some(Err(error)))
    }
}

fn memory_error(value: &Value) -> Option<MemoryError> {
    Some(if value.get("error")?.as_str()? == "full" { MemoryError::Full } else { MemoryError::TooLong })
}

fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(read).collect()
}

#[cfg(test)]
mod tests;
