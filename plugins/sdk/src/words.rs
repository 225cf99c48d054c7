//! Short ways to say the usual things.

use crate::{Amendments, Decision, NextOn, Plan, Problem, Refusal, Stage, Target, TrunkTarget, Value};

impl Refusal {
    /// A SIP status with the phrase for the phone and the detail for the operator.
    #[must_use]
    pub fn new(status: u16, phrase: &str, detail: impl Into<String>) -> Self {
        Self { status, phrase: phrase.to_owned(), detail: detail.into() }
    }
}

impl Problem {
    /// What is wrong with the setting `key`.
    #[must_use]
    pub fn new(key: &str, message: &str) -> Self {
        Self { key: key.to_owned(), message: message.to_owned() }
    }
}

impl Amendments {
    /// No change.
    #[must_use]
    pub const fn none() -> Self {
        Self { called: None, caller_number: None, caller_name: None, attributes: Vec::new() }
    }
}

impl Decision {
    /// Not mine, nothing changed.
    #[must_use]
    pub const fn pass() -> Self {
        Self::Pass(Amendments::none())
    }

    /// Rings every phone of one endpoint.
    #[must_use]
    pub fn ring(endpoint: impl Into<String>) -> Self {
        Self::Route(Plan { stages: vec![Stage::of(vec![Target::Endpoint(endpoint.into())])] })
    }

    /// Tries trunks one after the other: the next one only where the one before could not be reached.
    #[must_use]
    pub fn dial(trunks: Vec<TrunkTarget>) -> Self {
        let next = NextOn { busy: false, no_answer: false, unreachable: true };
        Self::Route(Plan { stages: trunks.into_iter().map(|trunk| Stage { next, ..Stage::of(vec![Target::Trunk(trunk)]) }).collect() })
    }

    /// Refuses.
    #[must_use]
    pub fn refuse(status: u16, phrase: &str, detail: impl Into<String>) -> Self {
        Self::Refuse(Refusal::new(status, phrase, detail))
    }
}

impl Stage {
    /// Targets that ring together as long as the site allows; the next stage follows when nobody answers or can be reached.
    #[must_use]
    pub const fn of(targets: Vec<Target>) -> Self {
        Self { targets, ring_seconds: None, next: NextOn { busy: false, no_answer: true, unreachable: true } }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        Self::Texts(texts.map(str::to_owned).to_vec())
    }
}
