//! A policy's own cases, `NN-name.cases.toml`: calls and registrations in a little site of their own, and what the policy must say to each. A component
//! that says anything else does not join the chain.

use super::{
    instance::{Instance, Subject, at_once},
    load::{Policy, Rejection},
    machine::Machine,
    options, said, trial,
};
use bytes::Bytes;
use ipnet::IpNet;
use serde::Deserialize;
use sip::{
    Instant, Message,
    build::Writer,
    digest::Ha1,
    header::Name,
    message::Method,
    transport::{Flow, Transport},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};
use switch::{
    Limits,
    decision::{Admission, Decision, EmergencyPlan, PolicyFault},
    directory::{Directory, Emergency, Endpoint, Location, NumberPattern, Pool, Trunk},
    facts::{Call, CallKind, Caller, Registration},
    licence::Seat,
    registrar::Binding,
    site::Site,
    trunk::Sign,
    zone::Zone,
};
use time::{Date, Month, UtcOffset};
use toml::value::Datetime;

/// Cases in one file.
const CASES_MAX: usize = 1000;
/// How far a clock can be from UTC, in minutes.
const OFFSETS: RangeInclusive<i32> = -1440..=1440;
/// Time for all cases of a file: who follows the folder has other policies to attend to.
const PATIENCE: Duration = Duration::from_secs(5);
/// When the cases happen that name no time: 2026-01-05, a Monday, at noon UTC.
const NOON: u64 = 1_767_614_400;

/// A case file, read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    /// What the policy is set to in these cases, whatever the operator's file says.
    settings: Option<toml::Table>,
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

#[derive(Clone, Deserialize)]
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

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolRow {
    pool: String,
    seats: u32,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrunkRow {
    name: String,
    #[serde(default)]
    numbers: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationRow {
    name: String,
    #[serde(default)]
    networks: Vec<IpNet>,
    elin: Option<String>,
    address: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmergencyRow {
    #[serde(default)]
    numbers: Vec<String>,
    #[serde(default)]
    test_numbers: Vec<String>,
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

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    hook: Hook,
    /// An endpoint's id, or `trunk NAME`; nobody who is known when absent.
    from: Option<String>,
    /// The called number.
    #[serde(default)]
    to: String,
    caller_number: Option<String>,
    caller_name: Option<String>,
    location: Option<String>,
    at: Option<Datetime>,
    /// How far the site's clock is from UTC then.
    #[serde(default)]
    utc_offset_minutes: i32,
    /// Endpoints that are registered.
    #[serde(default)]
    registered: Vec<String>,
    /// Endpoints that are registered without a seat.
    #[serde(default)]
    emergency_only: Vec<String>,
    /// Trunks that are not up.
    #[serde(default)]
    degraded: Vec<String>,
    #[serde(default)]
    down: Vec<String>,
    /// Further header fields of the request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Settings of this case alone.
    settings: Option<toml::Table>,
    /// The decision in words.
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
    /// The time that it took, without starting the component.
    pub took: Duration,
}

impl CaseResult {
    /// Whether it said what it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.said == self.expected
    }
}

impl Cases {
    /// Reads a case file.
    ///
    /// # Errors
    /// What is wrong, with line and column where the text itself is.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let cases: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        if cases.case.len() > CASES_MAX {
            return Err(format!("it has {} cases, more than {CASES_MAX}", cases.case.len()));
        }
        let known = |id: &str| cases.endpoint.iter().any(|endpoint| endpoint.id == id);
        for case in &cases.case {
            let wrong = |what: String| Err(format!("case `{}`: {what}", case.name));
            for id in case.registered.iter().chain(&case.emergency_only) {
                if !known(id) {
                    return wrong(format!("there is no [[endpoint]] with id `{id}` in this file"));
                }
            }
            for name in case.degraded.iter().chain(&case.down) {
                if cases.trunk.iter().all(|known| known.name != *name) {
                    return wrong(format!("there is no [[trunk]] `{name}` in this file"));
                }
            }
            if !OFFSETS.contains(&case.utc_offset_minutes) {
                return wrong("`utc_offset_minutes` must be from -1440 to 1440".to_owned());
            }
            match case.from.as_deref().map(|from| from.strip_prefix("trunk ").ok_or(from)) {
                Some(Ok(trunk)) if cases.trunk.iter().all(|known| known.name != trunk) => {
                    return wrong(format!("there is no [[trunk]] `{trunk}` in this file"));
                }
                Some(Err(id)) if !known(id) => return wrong(format!("there is no [[endpoint]] with id `{id}` in this file")),
                None if case.hook == Hook::Registration => return wrong("`from` must say which endpoint registers".to_owned()),
                _ => {}
            }
            if case.at.is_some_and(|at| moment(at).is_none()) {
                return wrong("`at` must be a date with a time, like 2026-01-05T12:00:00Z".to_owned());
            }
        }
        Ok(cases)
    }

    /// Asks `policy` every case, each in an instance of its own with a memory of its own.
    pub(super) fn run(&self, policy: &Policy, machine: &Arc<Machine>) -> Vec<CaseResult> {
        let began = std::time::Instant::now();
        self.case
            .iter()
            .map(|case| {
                let expected = case.detail.as_ref().map_or_else(|| case.expect.clone(), |detail| format!("{}: {detail}", case.expect));
                let result = |said, took| CaseResult { name: case.name.clone(), expected, said, took };
                if began.elapsed() > PATIENCE {
                    let said = format!("not asked: the cases before took more than {} s", PATIENCE.as_secs());
                    return result(said, Duration::ZERO);
                }
                let answer = self.prepare(case, policy).and_then(|prepared| {
                    let mut instance = prepared.instance(machine)?;
                    let began = std::time::Instant::now();
                    let said = prepared.decide(&mut instance)?;
                    Ok((said.words(case.detail.is_some()), began.elapsed()))
                });
                match answer {
                    Ok((said, took)) => result(said, took),
                    Err(fault) => result(fault.to_string(), Duration::ZERO),
                }
            })
            .collect()
    }

    /// The cases that ask for a decision, with their names, ready to be asked again and again.
    pub(super) fn decisions<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = (&'a str, Result<Prepared, PolicyFault>)> {
        let decided = self.case.iter().filter(|case| case.hook != Hook::Configuration);
        decided.map(|case| (case.name.as_str(), self.prepare(case, policy)))
    }

    fn prepare(&self, case: &Case, policy: &Policy) -> Result<Prepared, PolicyFault> {
        let now = Instant::from_unix_micros(case.at.and_then(moment).unwrap_or(NOON).saturating_mul(1_000_000));
        let mut directory = self.directory();
        directory.zone = Zone::new(case.utc_offset_minutes, []);
        let site = Arc::new(Site::new(directory, Limits::default()));
        // One bad sign and a trunk is degraded, two and it is down.
        for name in case.degraded.iter().chain(&case.down).chain(&case.down) {
            site.trunks.set_flows(name, vec![flow()]);
            site.trunks.note(name, flow(), Sign::Silent, now);
        }
        for (ids, emergency_only) in [(&case.registered, false), (&case.emergency_only, true)] {
            for id in ids {
                site.registrar.restore(binding(id, now, emergency_only), Seat::none());
            }
        }
        let directory = site.directory();
        let subject = match case.hook {
            Hook::Registration => Subject::Registration(Arc::new(registration(case, &site, now)?)),
            Hook::Routing => Subject::Call(Arc::new(call(case, CallKind::Normal, &directory, now)?)),
            Hook::Emergency => Subject::Call(Arc::new(call(case, CallKind::Emergency, &directory, now)?)),
            Hook::EmergencyTest => Subject::Call(Arc::new(call(case, CallKind::EmergencyTest, &directory, now)?)),
            Hook::Configuration if policy.hooks.configuration.is_none() => return Err(PolicyFault::Absent),
            Hook::Configuration => Subject::None,
        };
        let mut policy = policy.with_memory(Arc::default());
        if let Some(settings) = case.settings.as_ref().or(self.settings.as_ref()) {
            policy.options.settings = options::settings(settings.clone());
        }
        Ok(Prepared { policy: Arc::new(policy), site, directory, subject })
    }

    /// The site in which the cases play.
    pub(super) fn directory(&self) -> Directory {
        let patterns = |numbers: &[String]| numbers.iter().cloned().map(NumberPattern).collect();
        let endpoints = self.endpoint.iter().cloned().map(|row| Endpoint {
            username: row.extension.clone(),
            ha1: Ha1::default(),
            name: row.name.unwrap_or_else(|| row.extension.clone()),
            id: row.id,
            extension: row.extension,
            enabled: row.enabled.unwrap_or(true),
            licence: row.licence,
            location: row.location,
            mac: None,
            numbers: row.numbers,
        });
        let trunks = self.trunk.iter().map(|row| Trunk {
            name: row.name.clone(),
            uri: "sip:trunk.invalid".to_owned(),
            sources: Vec::new(),
            username: None,
            password: None,
            numbers: patterns(&row.numbers),
            ..Trunk::default()
        });
        let emergency = Emergency {
            numbers: self.emergency.numbers.clone(),
            test_numbers: self.emergency.test_numbers.clone(),
            trunks: self.emergency.trunks.clone(),
            networks: Vec::new(),
            outside_prefixes: Vec::new(),
            ..Emergency::default()
        };
        let locations = self.location.iter().cloned().map(|row| Location {
            name: row.name,
            networks: row.networks,
            elin: row.elin,
            address: row.address,
            ..Location::default()
        });
        let mut directory = Directory::new(
            "cases.invalid".to_owned(),
            endpoints.collect(),
            self.licence.iter().map(|row| Pool::new(row.pool.clone(), row.seats)).collect(),
            trunks.collect(),
            emergency,
            locations.collect(),
        );
        directory.dial_classes = self.endpoint.iter().filter_map(|row| Some((row.id.clone(), row.dial_class.clone()?))).collect();
        directory
    }
}

/// The verdict on all cases: `Err` names those that failed.
pub(super) fn verdict(results: &[CaseResult], file: &str) -> Result<(), Rejection> {
    let failed: Vec<&CaseResult> = results.iter().filter(|result| !result.passed()).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let reason = format!(
        "{} of its {} cases failed; `{}`: expected `{}`, it said `{}`",
        failed.len(),
        results.len(),
        first.name,
        first.expected,
        first.said
    );
    Err(Rejection::new(reason, format!("mend the component or {file}; `holdfast policy test` shows every case")))
}

/// One case and everything that it needs: its policy with the settings of the case, its site, its call.
pub(super) struct Prepared {
    policy: Arc<Policy>,
    site: Arc<Site>,
    directory: Arc<Directory>,
    subject: Subject,
}

/// An answer to a case.
pub(super) enum Said {
    Admission(Admission),
    Decision(Decision),
    Emergency(EmergencyPlan),
    /// Of the configuration hook.
    Problems(Vec<String>),
}

impl Prepared {
    /// Starts the policy for this case.
    pub(super) fn instance(&self, machine: &Arc<Machine>) -> Result<Box<Instance>, PolicyFault> {
        at_once(Instance::new(&self.policy, &self.site, machine, trial::DEADLINE))
    }

    /// Asks an instance of [`Prepared::instance`].
    pub(super) fn decide(&self, instance: &mut Instance) -> Result<Said, PolicyFault> {
        match &self.subject {
            Subject::None => instance.check(trial::DEADLINE).map(Said::Problems),
            Subject::Registration(registration) => {
                at_once(instance.admit(registration, &self.directory, trial::DEADLINE)).map(Said::Admission)
            }
            Subject::Call(call) if call.kind == CallKind::Normal => {
                at_once(instance.route(call, &self.directory, trial::DEADLINE)).map(Said::Decision)
            }
            Subject::Call(call) => at_once(instance.emergency(call, &self.directory, trial::DEADLINE)).map(Said::Emergency),
        }
    }
}

impl Said {
    /// In the words of the log; with `detail` also what the operator is told about a refusal.
    fn words(&self, detail: bool) -> String {
        let (words, refusal) = match self {
            Self::Admission(admission) => {
                let refusal = if let Admission::Refuse(refusal) = admission { Some(refusal) } else { None };
                (said::admission(admission), refusal)
            }
            Self::Decision(decision) => {
                let refusal = if let Decision::Refuse(refusal) = decision { Some(refusal) } else { None };
                (said::decision(decision), refusal)
            }
            Self::Emergency(plan) => (said::emergency(plan), None),
            Self::Problems(problems) if problems.is_empty() => ("accept".to_owned(), None),
            Self::Problems(problems) => (format!("refuse {}", problems.join("; ")), None),
        };
        match refusal {
            Some(refusal) if detail => format!("{words}: {}", refusal.detail),
            _ => words,
        }
    }
}

fn call(case: &Case, kind: CallKind, directory: &Directory, at: Instant) -> Result<Call, PolicyFault> {
    let caller = match case.from.as_deref() {
        Some(from) => match from.strip_prefix("trunk ") {
            Some(trunk) => Caller::Trunk(trunk.to_owned()),
            None => directory.endpoint(from).map_or(Caller::Unknown, |endpoint| Caller::Endpoint(Arc::clone(endpoint))),
        },
        None => Caller::Unknown,
    };
    let (number, name, place) = match &caller {
        Caller::Endpoint(endpoint) => (endpoint.extension.clone(), endpoint.name.clone(), endpoint.location.clone()),
        Caller::Trunk(_) | Caller::Unknown => (String::new(), String::new(), None),
    };
    let caller_number = case.caller_number.clone().unwrap_or(number);
    Ok(Call {
        message: request(case, Method::Invite, &caller_number)?,
        at,
        flow: flow(),
        caller,
        kind,
        called: case.to.clone(),
        caller_number,
        caller_name: case.caller_name.clone().unwrap_or(name),
        location: case.location.clone().or(place),
        attributes: Vec::new(),
    })
}

fn registration(case: &Case, site: &Site, at: Instant) -> Result<Registration, PolicyFault> {
    let directory = site.directory();
    let endpoint = case.from.as_deref().and_then(|id| directory.endpoint(id)).ok_or(PolicyFault::Absent)?;
    let endpoint = Arc::clone(endpoint);
    Ok(Registration {
        message: request(case, Method::Register, &endpoint.extension)?,
        at,
        flow: flow(),
        contact: format!("sip:{}@127.0.0.1:5060", endpoint.extension),
        expires: 300,
        registered: site.registrar.registered(&endpoint.id, at),
        endpoint,
        attributes: Vec::new(),
    })
}

/// The request that policies can read header fields of.
fn request(case: &Case, method: Method, from: &str) -> Result<Message, PolicyFault> {
    let mut writer = Writer::request(method, b"", format!("sip:{}@cases.invalid", case.to).as_bytes());
    writer
        .header(Name::Via, b"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-case")
        .header(Name::From, format!("<sip:{from}@cases.invalid>;tag=case").as_bytes())
        .header(Name::To, format!("<sip:{}@cases.invalid>", case.to).as_bytes())
        .header(Name::CallId, b"case")
        .header(Name::CSeq, [b"1 ".as_slice(), method.token().as_bytes()].concat().as_slice())
        .header(Name::Contact, b"<sip:case@127.0.0.1:5060>")
        .number(Name::MaxForwards, 70);
    for (name, value) in &case.headers {
        writer.header_named(name.as_bytes(), value.as_bytes());
    }
    let bytes = Bytes::copy_from_slice(writer.finish_request(b"").bytes());
    Message::parse(bytes, &sip::Limits::default()).map_err(|error| PolicyFault::Nonsense(format!("the case is no SIP message: {error}")))
}

fn binding(id: &str, now: Instant, emergency_only: bool) -> Binding {
    Binding {
        endpoint: id.into(),
        contact: format!("sip:{id}@127.0.0.1:5060").into(),
        params: "".into(),
        q: 1000,
        instance: None,
        reg_id: None,
        path: Vec::new(),
        flow: flow(),
        call_id: "case".into(),
        cseq: 1,
        seen: now,
        expires: now + Duration::from_secs(3600),
        pool: None,
        emergency_only,
        user_agent: "".into(),
    }
}

fn flow() -> Flow {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
    Flow { transport: Transport::Udp, local: address, remote: address, connection: 0 }
}

/// Seconds since 1970; a time without an offset is UTC. `None` for a date or a time alone, and before 1970.
fn moment(at: Datetime) -> Option<u64> {
    let (date, clock) = (at.date?, at.time?);
    let minutes = match at.offset {
        Some(toml::value::Offset::Custom { minutes }) => i32::from(minutes),
        Some(toml::value::Offset::Z) | None => 0,
    };
    let day = Date::from_calendar_date(i32::from(date.year), Month::try_from(date.month).ok()?, date.day).ok()?;
    let time = day.with_hms(clock.hour, clock.minute, clock.second.unwrap_or(0)).ok()?;
    let offset = UtcOffset::from_whole_seconds(minutes * 60).ok()?;
    u64::try_from(time.assume_offset(offset).unix_timestamp()).ok()
}

#[cfg(test)]
pub(super) mod tests;
