//! Recorded decisions as cases of a policy (`NN-name.cases.toml`): the little site that they need is put together from what the policy was told.

use super::{Caller, DecisionLine, replay::shape};
use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use toml::value::Datetime;

/// Cases of one file.
const CASES_MAX: usize = 100;
/// Seats of a pool of which the record does not say how many it has.
const SEATS: u64 = 100;

/// A case file in the making.
#[derive(Debug, Default)]
pub struct CaseFile {
    endpoints: BTreeMap<String, EndpointRow>,
    /// In the order of the site.
    trunks: Vec<TrunkRow>,
    pools: BTreeMap<String, u64>,
    locations: BTreeMap<String, LocationRow>,
    emergency_trunks: Vec<String>,
    /// By what is asked and said: one case of each.
    cases: BTreeMap<(String, String), CaseRow>,
}

#[derive(Debug, Default, Serialize)]
struct EndpointRow {
    id: String,
    extension: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    numbers: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct TrunkRow {
    name: String,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    numbers: BTreeSet<String>,
}

#[derive(Debug, Default, Serialize)]
struct LocationRow {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    elin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(Debug, Serialize)]
struct PoolRow {
    pool: String,
    seats: u64,
}

#[derive(Debug, Serialize)]
struct EmergencyRow {
    trunks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CaseRow {
    name: String,
    hook: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Datetime>,
    #[serde(flatten)]
    then: Then,
    expect: String,
}

/// How the site stood when the decision was made.
#[derive(Debug, Default, Serialize)]
struct Then {
    #[serde(skip_serializing_if = "Option::is_none")]
    utc_offset_minutes: Option<i64>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    registered: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    emergency_only: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    degraded: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    down: BTreeSet<String>,
}

impl CaseFile {
    /// Cases so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is no case yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Adds a decision, unless one of its kind is there, or the file is full.
    pub fn add(&mut self, line: &DecisionLine) {
        let from = match (&line.call, &line.registration) {
            (Some(call), _) => match &call.caller {
                Caller::Endpoint(id) => Some(id.clone()),
                Caller::Trunk(name) => Some(format!("trunk {name}")),
                Caller::Unknown => None,
            },
            (None, Some(registration)) => Some(registration.endpoint.clone()),
            (None, None) => return,
        };
        let whence = from.as_deref().map_or("unknown", |from| if from.starts_with("trunk ") { "trunk" } else { "endpoint" });
        let hook = match line.call.as_ref().map(|call| call.kind.as_str()) {
            Some("emergency-test") => "emergency-test",
            _ => line.hook.as_str(),
        };
        let key = (format!("{hook} {whence}"), shape(&line.said));
        if self.cases.len() == CASES_MAX || self.cases.contains_key(&key) {
            return;
        }
        let then = self.learn(line);
        let seconds = OffsetDateTime::from_unix_timestamp(i64::try_from(line.at_us / 1_000_000).unwrap_or(0)).ok();
        let at = seconds.and_then(|at| at.format(&Rfc3339).ok()).and_then(|at| at.parse().ok());
        let call = line.call.as_ref();
        let row = CaseRow {
            name: format!("{}: {}", line.asked_in_words(), line.said.chars().take(60).collect::<String>()),
            hook: hook.to_owned(),
            from,
            to: call.map(|call| call.called.clone()).unwrap_or_default(),
            caller_number: call.map(|call| call.caller_number.clone()),
            caller_name: call.map(|call| call.caller_name.clone()),
            location: call.and_then(|call| call.location.clone()),
            at,
            then,
            expect: line.said.clone(),
        };
        self.cases.insert(key, row);
    }

    /// Takes cases out by their names.
    pub fn remove(&mut self, names: &[&str]) {
        self.cases.retain(|_, case| !names.contains(&case.name.as_str()));
    }

    /// The file.
    ///
    /// # Errors
    /// When something of it cannot be written as TOML.
    pub fn text(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            emergency: Option<EmergencyRow>,
            endpoint: Vec<&'a EndpointRow>,
            licence: Vec<PoolRow>,
            trunk: Vec<&'a TrunkRow>,
            location: Vec<&'a LocationRow>,
            case: Vec<&'a CaseRow>,
        }
        let trunks = self.emergency_trunks.clone();
        let whole = Whole {
            emergency: (!trunks.is_empty()).then_some(EmergencyRow { trunks }),
            endpoint: self.endpoints.values().collect(),
            licence: self.pools.iter().map(|(pool, seats)| PoolRow { pool: pool.clone(), seats: *seats }).collect(),
            trunk: self.trunks.iter().collect(),
            location: self.locations.values().collect(),
            case: self.cases.values().collect(),
        };
        let text = toml::to_string(&whole).context("the cases cannot be written as TOML")?;
        Ok(format!("# Written from recorded decisions by `holdfast policy replay --record-cases`.\n\n{text}"))
    }

    /// Takes what a decision tells about the site.
    fn learn(&mut self, line: &DecisionLine) -> Then {
        let mut then = Then::default();
        if let Some(registration) = &line.registration {
            let row = self.endpoint(&registration.endpoint, &registration.extension);
            row.licence.clone_from(&registration.pool);
            if let Some(pool) = &registration.pool {
                self.pools.entry(pool.clone()).or_insert(SEATS);
            }
            if registration.registered {
                then.registered.insert(registration.endpoint.clone());
            }
        }
        for (question, arguments, told) in &line.asked {
            let first = arguments.first().map(String::as_str).unwrap_or_default();
            match question.as_str() {
                "directory.endpoint-by-id" | "directory.endpoint-by-extension" | "directory.endpoint-by-number" => {
                    let text = |name: &str| told.get(name).and_then(Value::as_str);
                    let Some((id, extension)) = text("id").zip(text("extension")) else { continue };
                    let (name, enabled) = (text("name").map(str::to_owned), told.get("enabled").and_then(Value::as_bool));
                    let row = self.endpoint(id, extension);
                    (row.name, row.enabled) = (name, enabled.filter(|enabled| !enabled));
                    if question.ends_with("number") && !row.numbers.iter().any(|known| known == first) {
                        row.numbers.push(first.to_owned());
                    }
                }
                "directory.numbers-of" => {
                    let numbers = texts(told);
                    if let Some(row) = self.endpoints.get_mut(first) {
                        row.numbers = numbers;
                    }
                }
                "directory.pool-of" => {
                    if let (Some(row), Some(pool)) = (self.endpoints.get_mut(first), told.as_str()) {
                        row.licence = Some(pool.to_owned());
                    }
                }
                "directory.standing-of" => match told.as_str() {
                    Some("registered") => _ = then.registered.insert(first.to_owned()),
                    Some("emergency-only") => _ = then.emergency_only.insert(first.to_owned()),
                    _ => {}
                },
                "licences.usage-of" => {
                    if let Some(seats) = told.get("seats").and_then(Value::as_u64) {
                        self.pools.insert(first.to_owned(), seats);
                    }
                }
                "trunks.names" => {
                    let names = texts(told);
                    names.iter().for_each(|name| self.trunk(name));
                    self.trunks.sort_by_key(|row| names.iter().position(|name| *name == row.name));
                }
                "trunks.emergency-names" => {
                    self.emergency_trunks = texts(told);
                    texts(told).iter().for_each(|name| self.trunk(name));
                }
                "trunks.trunk-by-name" if told.is_object() => {
                    self.trunk(first);
                    if told.get("healthy").and_then(Value::as_bool) == Some(false) {
                        then.down.insert(first.to_owned());
                    }
                }
                "trunks.standing-of" if told.is_string() => {
                    self.trunk(first);
                    match told.as_str() {
                        Some("degraded") => _ = then.degraded.insert(first.to_owned()),
                        Some("down") => _ = then.down.insert(first.to_owned()),
                        _ => {}
                    }
                }
                "clock.utc-offset-minutes" => then.utc_offset_minutes = told.as_i64().filter(|minutes| *minutes != 0),
                "trunks.own-part" => {
                    let number = arguments.get(1).map(String::as_str).unwrap_or_default();
                    self.trunk(first);
                    let row = self.trunks.iter_mut().find(|row| row.name == first);
                    if let Some((row, before)) = row.zip(told.as_str().and_then(|part| number.strip_suffix(part))) {
                        row.numbers.insert(format!("{before}%"));
                    }
                }
                "locations.location-by-name" if told.is_object() => {
                    let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
                    let row = LocationRow { name: first.to_owned(), elin: text("elin"), address: text("address") };
                    self.locations.insert(first.to_owned(), row);
                }
                _ => {}
            }
        }
        if let Some(call) = &line.call {
            match &call.caller {
                Caller::Endpoint(id) => _ = self.endpoint(id, &call.caller_number),
                Caller::Trunk(name) => self.trunk(name),
                Caller::Unknown => {}
            }
        }
        for id in then.registered.iter().chain(&then.emergency_only) {
            if !self.endpoints.contains_key(id) {
                self.endpoint(id, id);
            }
        }
        then
    }

    /// The row of an endpoint; the extension of the first who told one stays.
    fn endpoint(&mut self, id: &str, extension: &str) -> &mut EndpointRow {
        self.endpoints.entry(id.to_owned()).or_insert_with(|| EndpointRow {
            id: id.to_owned(),
            extension: extension.to_owned(),
            ..EndpointRow::default()
        })
    }

    /// Sees to it that there is a row for a trunk.
    fn trunk(&mut self, name: &str) {
        if self.trunks.iter().all(|row| row.name != name) {
            self.trunks.push(TrunkRow { name: name.to_owned(), ..TrunkRow::default() });
        }
    }
}

fn texts(told: &Value) -> Vec<String> {
    told.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}
