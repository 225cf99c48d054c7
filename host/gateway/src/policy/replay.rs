//! A recorded decision made again by another component: told what the first one was told, with the answers of the host that stand in the record. Nothing of a
//! site is needed, and nothing has an effect.

use super::{
    EngineSettings, Problem, folder,
    instance::{Instance, Subject, at_once},
    load::{self, Policy, Rejection, Source},
    machine::Machine,
    options::{Options, Value as Setting},
    said,
    trace::Script,
    trial,
};
use crate::record::{CallFacts, Caller as CallerFact, DecisionLine, PolicyLine, RegistrationFacts};
use anyhow::Context as _;
use bytes::Bytes;
use serde_json::Value;
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use switch::{
    Limits,
    decision::PolicyFault,
    directory::{Directory, Emergency, Endpoint},
    facts::{Call, CallKind, Caller, Registration},
    site::Site,
};

/// A component that is to make recorded decisions again.
pub struct Candidate {
    machine: Arc<Machine>,
    site: Arc<Site>,
    policy: Arc<Policy>,
    /// The settings lie beside it; otherwise those of the record are used.
    own_settings: bool,
    reused: bool,
}

/// What a candidate said to a recorded decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// What the record says.
    Same,
    /// Something else: in words.
    Changed(String),
    /// It failed: the kind of fault and what it says.
    Faulted(&'static str, String),
    /// It asked what was not asked then.
    Unanswered(String),
    /// The decision cannot be made again: why.
    Skipped(&'static str),
}

/// One thread's share of a replay: its own instances of a candidate.
pub struct Player {
    candidate: Arc<Candidate>,
    /// By the settings that they decide with.
    lanes: HashMap<String, Lane>,
}

struct Lane {
    policy: Arc<Policy>,
    instance: Option<Box<Instance>>,
}

impl Candidate {
    /// Loads and tries a component. `reused`: one instance makes all decisions, as it would where the operator wrote `isolation = "reused"`; without, as its
    /// `.toml` says.
    ///
    /// # Errors
    /// The outer error: it could not be tried at all. The inner one: why the gateway would refuse it.
    pub fn open(file: &Path, reused: bool) -> anyhow::Result<Result<Arc<Self>, Problem>> {
        let machine = Arc::new(Machine::new(EngineSettings::default())?);
        let found = folder::one(file).with_context(|| format!("{} is no file that can be a policy", file.display()))?;
        let site = Arc::new(Site::new(nowhere(), Limits::default()));
        let loaded = || -> Result<Arc<Policy>, Rejection> {
            let bytes = found.bytes.clone()?;
            let options = Options::read(&found.toml.clone()?).map_err(|reason| {
                let toml = file.with_extension("toml");
                Rejection::new(format!("{}: {reason}", toml.display()), format!("mend {}", toml.display()))
            })?;
            let (file, name) = (&*found.file, &*found.name);
            let source = Source {
                file,
                name,
                bytes: &bytes,
                options,
                memory: Arc::default(),
                meter: Arc::default(),
                cases: "",
                at_start: false,
                trial: false,
                compiled: None,
            };
            load::load(source, &machine, &site)
        };
        let own_settings = found.toml.as_ref().is_ok_and(|text| !text.is_empty());
        Ok(match loaded() {
            Ok(policy) => Ok(Arc::new(Self { reused: reused || policy.reused, machine, site, policy, own_settings })),
            Err(Rejection { reason, remedy }) => Err(Problem { file: PathBuf::from(file), reason, remedy }),
        })
    }

    /// The policy's name: decisions of this name are its to make again.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.policy.name
    }

    /// A player for one thread.
    #[must_use]
    pub fn player(self: &Arc<Self>) -> Player {
        Player { candidate: Arc::clone(self), lanes: HashMap::new() }
    }

    fn with_settings(&self, recorded: Option<&PolicyLine>) -> Arc<Policy> {
        let mut policy = self.policy.with_memory(Arc::default());
        if let Some(recorded) = recorded.filter(|_| !self.own_settings) {
            policy.options.settings = recorded.settings.iter().filter_map(|(key, value)| Some((key.clone(), setting(value)?))).collect();
        }
        Arc::new(policy)
    }
}

impl Player {
    /// Makes one decision again; `policy` is the record's line of who made it. Also the time that the component took.
    pub fn replay(&mut self, line: &mut DecisionLine, policy: Option<&PolicyLine>) -> (Replayed, Duration) {
        if let Some(why) = not_replayable(line) {
            return (Replayed::Skipped(why), Duration::ZERO);
        }
        let candidate = Arc::clone(&self.candidate);
        let lane =
            self.lanes.entry(line.settings_id.clone()).or_insert_with(|| Lane { policy: candidate.with_settings(policy), instance: None });
        let began = std::time::Instant::now();
        let decided = lane.decide(line, &candidate);
        let took = began.elapsed();
        if !candidate.reused || decided.is_err() {
            lane.instance = None;
        }
        let replayed = match decided {
            Ok(said) if said == line.said => Replayed::Same,
            Ok(said) => Replayed::Changed(said),
            Err(Failed::Unanswered(question)) => Replayed::Unanswered(question),
            Err(Failed::Unreadable) => Replayed::Skipped("the request in the record is no SIP message"),
            Err(Failed::Fault(fault)) if line.fault.as_deref() == Some(fault.kind()) => Replayed::Same,
            Err(Failed::Fault(fault)) => Replayed::Faulted(fault.kind(), fault.to_string()),
        };
        (replayed, took)
    }
}

enum Failed {
    Unreadable,
    Unanswered(String),
    Fault(PolicyFault),
}

impl Lane {
    fn decide(&mut self, line: &mut DecisionLine, candidate: &Candidate) -> Result<String, Failed> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            slot @ None => {
                let new =
                    at_once(Instance::new(&self.policy, &candidate.site, &candidate.machine, trial::DEADLINE)).map_err(Failed::Fault)?;
                slot.insert(new)
            }
        };
        let subject = subject(line).ok_or(Failed::Unreadable)?;
        let directory = candidate.site.directory();
        let settings = &candidate.machine.settings;
        let own = self.policy.options.deadline;
        instance.play(Script::new(std::mem::take(&mut line.asked)));
        let decided = match &subject {
            Subject::Registration(registration) => {
                at_once(instance.admit(registration, &directory, own.unwrap_or(settings.deadline))).map(|answer| said::admission(&answer))
            }
            Subject::Call(call) if call.kind == CallKind::Normal => {
                at_once(instance.route(call, &directory, own.unwrap_or(settings.deadline))).map(|answer| said::decision(&answer))
            }
            Subject::Call(call) => at_once(instance.emergency(call, &directory, own.unwrap_or(settings.emergency_deadline)))
                .map(|answer| said::emergency(&answer)),
            Subject::None => Err(PolicyFault::Absent),
        };
        let mut script = instance.take_script();
        let unknown = script.unknown.take();
        line.asked = script.into_answers();
        match (decided, unknown) {
            (_, Some(question)) => Err(Failed::Unanswered(question)),
            (Ok(said), None) => Ok(said),
            (Err(fault), None) => Err(Failed::Fault(fault)),
        }
    }
}

fn not_replayable(line: &DecisionLine) -> Option<&'static str> {
    match line.fault.as_deref() {
        _ if line.masked => Some("parts of it are masked"),
        _ if line.cut => Some("it was too long for the record"),
        Some("resting" | "absent") => Some("the policy was not asked"),
        _ => None,
    }
}

/// What was to be decided; `None` where the line has no request that can be read.
fn subject(line: &DecisionLine) -> Option<Subject> {
    if let Some(facts) = &line.registration {
        return Some(Subject::Registration(Arc::new(registration(facts, line.at_us)?)));
    }
    Some(Subject::Call(Arc::new(call(line.call.as_ref()?, line.at_us)?)))
}

fn call(facts: &CallFacts, at_us: u64) -> Option<Call> {
    let caller = match &facts.caller {
        CallerFact::Endpoint(id) => Caller::Endpoint(Arc::new(endpoint(id, &facts.caller_number, None))),
        CallerFact::Trunk(name) => Caller::Trunk(name.clone()),
        CallerFact::Unknown => Caller::Unknown,
    };
    Some(Call {
        message: message(&facts.head)?,
        at: Instant::from_unix_micros(at_us),
        flow: flow(&facts.source, &facts.transport)?,
        caller,
        kind: match facts.kind.as_str() {
            "normal" => CallKind::Normal,
            "emergency" => CallKind::Emergency,
            _ => CallKind::EmergencyTest,
        },
        called: facts.called.clone(),
        caller_number: facts.caller_number.clone(),
        caller_name: facts.caller_name.clone(),
        location: facts.location.clone(),
        attributes: facts.attributes.clone(),
    })
}

fn registration(facts: &RegistrationFacts, at_us: u64) -> Option<Registration> {
    Some(Registration {
        message: message(&facts.head)?,
        at: Instant::from_unix_micros(at_us),
        flow: flow(&facts.source, &facts.transport)?,
        endpoint: Arc::new(endpoint(&facts.endpoint, &facts.extension, facts.pool.clone())),
        contact: facts.contact.clone(),
        expires: facts.expires,
        registered: facts.registered,
        attributes: facts.attributes.clone(),
    })
}

fn message(head: &str) -> Option<Message> {
    Message::parse(Bytes::from([head, "\r\n"].concat()), &sip::Limits::default()).ok()
}

fn flow(source: &str, transport: &str) -> Option<Flow> {
    let transport = Transport::from_token(transport.as_bytes())?;
    Some(Flow { transport, local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), remote: source.parse().ok()?, connection: 0 })
}

fn endpoint(id: &str, extension: &str, licence: Option<String>) -> Endpoint {
    Endpoint {
        id: id.to_owned(),
        extension: extension.to_owned(),
        username: String::new(),
        ha1: Ha1::default(),
        name: String::new(),
        enabled: true,
        licence,
        location: None,
        mac: None,
        numbers: Vec::new(),
    }
}

fn setting(value: &Value) -> Option<Setting> {
    Some(match value {
        Value::String(text) => Setting::Text(text.clone()),
        Value::Bool(flag) => Setting::Flag(*flag),
        Value::Number(number) => Setting::Number(number.as_i64()?),
        Value::Array(texts) => Setting::Texts(texts.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect()),
        Value::Null | Value::Object(_) => return None,
    })
}

fn nowhere() -> Directory {
    let emergency = Emergency::default();
    Directory::new("replay.invalid".to_owned(), Vec::new(), Vec::new(), Vec::new(), emergency, Vec::new())
}
