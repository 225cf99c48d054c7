//! A policy's case file, `NN-name.cases.toml`, asked natively: the file that `holdfast policy test` and the gateway ask the component. Read as the gateway
//! reads it (`host/gateway/src/policy/cases.rs`); on its own here, so that the SDK needs nothing of the host.

use super::{Call, Endpoint, Fault, Hooks, Location, Policy, Registration, Site, Trunk, site::seconds};
use crate::{Admission, CallKind, Decision, Problem, Refusal, trunks::Standing};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path};
use toml::{Table, value::Datetime};

/// Cases in one file.
const CASES_MAX: usize = 1000;
/// How far a clock can be from UTC, in minutes.
const OFFSETS: RangeInclusive<i32> = -1440..=1440;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What the policy is set to in these cases, whatever lies beside them.
    settings: Option<Table>,
    #[serde(default)]
    endpoint: Vec<EndpointRow>,
    #[serde(default)]
    licence: Vec<PoolRow>,
    #[serde(default)]
    trunk: Vec<TrunkRow>,
    #[serde(default)]
    location: Vec<LocationRow>,
    #[serde(default)]
    emergency: EmergencyRow,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointRow {
    id: String,
    extension: String,
    name: Option<String>,
    enabled: Option<bool>,
    licence: Option<String>,
    location: Option<String>,
    #[serde(default)]
    numbers: Vec<String>,
    dial_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolRow {
    pool: String,
    seats: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrunkRow {
    name: String,
    #[serde(default)]
    numbers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationRow {
    name: String,
    /// Which phones stand there is the gateway's finding; a case says the place.
    #[serde(default, rename = "networks")]
    _networks: Vec<String>,
    elin: Option<String>,
    address: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmergencyRow {
    /// What is a call for help is the gateway's finding; a case says the hook.
    #[serde(default, rename = "numbers")]
    _numbers: Vec<String>,
    #[serde(default, rename = "test_numbers")]
    _test_numbers: Vec<String>,
    #[serde(default)]
    trunks: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Hook {
    #[default]
    Routing,
    Registration,
    Emergency,
    EmergencyTest,
    Configuration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    hook: Hook,
    from: Option<String>,
    #[serde(default)]
    to: String,
    caller_number: Option<String>,
    caller_name: Option<String>,
    location: Option<String>,
    at: Option<Datetime>,
    /// How far the site's clock is from UTC then.
    #[serde(default)]
    utc_offset_minutes: i32,
    #[serde(default)]
    registered: Vec<String>,
    #[serde(default)]
    emergency_only: Vec<String>,
    /// Trunks that are not up.
    #[serde(default)]
    degraded: Vec<String>,
    #[serde(default)]
    down: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Settings of this case alone.
    settings: Option<Table>,
    expect: String,
    /// What the operator is told about a refusal.
    detail: Option<String>,
}

/// What a policy said to one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// What it should say.
    pub expected: String,
    /// What it said, or how it failed.
    pub said: String,
}

impl CaseResult {
    /// Whether it said what it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.said == self.expected
    }
}

/// Asks the policy every case of a file, whose path begins at the crate's folder. Where a `NN-name.toml` lies beside `NN-name.cases.toml`, its
/// `[settings]` count, as they do for the component.
///
/// ```no_run
/// # use holdfast_policy::*;
/// # struct Night;
/// # impl RoutingPolicy for Night { fn route(_: CallFacts, _: &Call) -> Decision { Decision::pass() } }
/// # export!(Night: routing);
/// #[test]
/// fn says_what_it_should() {
///     testing::cases::<Night>("35-night.cases.toml");
/// }
/// ```
///
/// # Panics
/// When a case fails, with each that did; when the policy has something against its settings; when a file cannot be read or has a mistake.
#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
pub fn cases<P: Policy>(file: impl AsRef<Path>) {
    let file = file.as_ref();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let beside = file.to_str().and_then(|name| name.strip_suffix(".cases.toml")).map(|name| format!("{name}.toml"));
    let settings = beside.filter(|toml| Path::new(toml).is_file()).map(|toml| read(Path::new(&toml))).unwrap_or_default();
    let results = run_cases::<P>(&read(file), &settings).unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
    let failed: Vec<String> = results
        .iter()
        .filter(|result| !result.passed())
        .map(|CaseResult { name, expected, said }| format!("`{name}`\n  expected `{expected}`\n  it said  `{said}`"))
        .collect();
    assert!(failed.is_empty(), "{}: {} of its {} cases failed\n{}", file.display(), failed.len(), results.len(), failed.join("\n"));
}

/// Asks the policy every case of a file's text, each at a site of its own, with the settings in the text of a policy's TOML file (or none).
///
/// # Errors
/// What is wrong with one of the texts, or what the policy has against the settings.
pub fn run_cases<P: Policy>(cases: &str, toml: &str) -> Result<Vec<CaseResult>, String> {
    let file = File::read(cases)?;
    let settings = settings(toml)?;
    if P::HOOKS.configuration.is_some() {
        let problems = P::HOOKS.check(&file.site().settings_table(settings.clone())).map_err(|fault| format!("the policy {fault}"))?;
        if let Err(problems) = problems {
            return Err(joined(&problems));
        }
    }
    let ask = |case: &Case| {
        let settings = case.settings.as_ref().or(file.settings.as_ref()).unwrap_or(&settings);
        CaseResult {
            name: case.name.clone(),
            expected: case.detail.as_ref().map_or_else(|| case.expect.clone(), |detail| format!("{}: {detail}", case.expect)),
            said: case.ask(file.site().settings_table(settings.clone()), &P::HOOKS).unwrap_or_else(|fault| fault.to_string()),
        }
    };
    Ok(file.case.iter().map(ask).collect())
}

fn joined(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("settings.{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("; ")
}

fn settings(toml: &str) -> Result<Table, String> {
    let mut table: Table = toml.parse().map_err(|error| format!("{error}").trim().to_owned())?;
    match table.remove("settings") {
        Some(toml::Value::Table(settings)) => Ok(settings),
        None => Ok(Table::new()),
        Some(_) => Err("`settings` should be a table: [settings]".to_owned()),
    }
}

impl File {
    fn read(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        if file.case.len() > CASES_MAX {
            return Err(format!("it has {} cases, more than {CASES_MAX}", file.case.len()));
        }
        let known = |id: &str| file.endpoint.iter().any(|endpoint| endpoint.id == id);
        for case in &file.case {
            let wrong = |what: String| Err(format!("case `{}`: {what}", case.name));
            for id in case.registered.iter().chain(&case.emergency_only) {
                if !known(id) {
                    return wrong(format!("there is no [[endpoint]] with id `{id}` in this file"));
                }
            }
            for name in case.degraded.iter().chain(&case.down) {
                if file.trunk.iter().all(|known| known.name != *name) {
                    return wrong(format!("there is no [[trunk]] `{name}` in this file"));
                }
            }
            if !OFFSETS.contains(&case.utc_offset_minutes) {
                return wrong("`utc_offset_minutes` must be from -1440 to 1440".to_owned());
            }
            match case.from.as_deref().map(|from| from.strip_prefix("trunk ").ok_or(from)) {
                Some(Ok(trunk)) if file.trunk.iter().all(|known| known.name != trunk) => {
                    return wrong(format!("there is no [[trunk]] `{trunk}` in this file"));
                }
                Some(Err(id)) if !known(id) => return wrong(format!("there is no [[endpoint]] with id `{id}` in this file")),
                None if case.hook == Hook::Registration => return wrong("`from` must say which endpoint registers".to_owned()),
                _ => {}
            }
            if case.at.is_some_and(|at| seconds(at).is_none()) {
                return wrong("`at` must be a date with a time, like 2026-01-05T12:00:00Z".to_owned());
            }
        }
        Ok(file)
    }

    /// The site in which the cases play.
    fn site(&self) -> Site {
        let mut site = Site::new().emergency_trunks(&self.emergency.trunks);
        for row in &self.endpoint {
            let named = Endpoint::new(&row.id, &row.extension).name(row.name.as_ref().unwrap_or(&row.extension)).numbers(&row.numbers);
            let (pool, location, dial_class) = (row.licence.clone(), row.location.clone(), row.dial_class.clone());
            let endpoint = Endpoint { pool, location, dial_class, ..named };
            site = site.endpoint(if row.enabled.unwrap_or(true) { endpoint } else { endpoint.disabled() });
        }
        for row in &self.licence {
            site = site.pool(&row.pool, row.seats, 0);
        }
        for row in &self.trunk {
            site = site.trunk(Trunk::new(&row.name).numbers(&row.numbers));
        }
        for row in &self.location {
            site = site.location(Location { elin: row.elin.clone(), address: row.address.clone(), ..Location::new(&row.name) });
        }
        site
    }
}

impl Case {
    /// What the policy says to it in `site`.
    fn ask(&self, mut site: Site, hooks: &Hooks) -> Result<String, Fault> {
        for id in &self.registered {
            site = site.registered(id);
        }
        for id in &self.emergency_only {
            site = site.emergency_only(id);
        }
        for (names, standing) in [(&self.degraded, Standing::Degraded), (&self.down, Standing::Down)] {
            for name in names {
                site = site.trunk_stands(name, standing);
            }
        }
        if let Some(at) = self.at.and_then(seconds) {
            site = site.at_ms(at * 1000);
        }
        site = site.utc_offset_minutes(self.utc_offset_minutes);
        // What the operator is told belongs to the answer where the case says so.
        let detailed = |words: String, refusal: Option<&Refusal>| match refusal {
            Some(refusal) if self.detail.is_some() => format!("{words}: {}", refusal.detail),
            _ => words,
        };
        match self.hook {
            Hook::Registration => hooks.admit(&site, &self.registration()).map(|admission| {
                let refusal = if let Admission::Refuse(refusal) = &admission { Some(refusal) } else { None };
                detailed(admission.to_string(), refusal)
            }),
            Hook::Routing => hooks.route(&site, &self.call()).map(|decision| {
                let refusal = if let Decision::Refuse(refusal) = &decision { Some(refusal) } else { None };
                detailed(decision.to_string(), refusal)
            }),
            Hook::Emergency => hooks.help(&site, CallKind::Emergency, &self.call()).map(|plan| plan.to_string()),
            Hook::EmergencyTest => hooks.help(&site, CallKind::EmergencyTest, &self.call()).map(|plan| plan.to_string()),
            Hook::Configuration => hooks.check(&site).map(|checked| match checked {
                Ok(()) => "accept".to_owned(),
                Err(problems) if problems.is_empty() => "accept".to_owned(),
                Err(problems) => format!("refuse {}", joined(&problems)),
            }),
        }
    }

    fn registration(&self) -> Registration {
        let registration = Registration::of(self.from.as_deref().unwrap_or_default());
        self.headers.iter().fold(registration, |registration, (name, value)| registration.header(name, value))
    }

    fn call(&self) -> Call {
        let mut call = Call::to(&self.to);
        if let Some(from) = &self.from {
            call = match from.strip_prefix("trunk ") {
                Some(trunk) => call.from_trunk(trunk),
                None => call.from(from),
            };
        }
        if let Some(number) = &self.caller_number {
            call = call.caller_number(number);
        }
        if let Some(name) = &self.caller_name {
            call = call.caller_name(name);
        }
        if let Some(location) = &self.location {
            call = call.location(location);
        }
        self.headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    }
}
