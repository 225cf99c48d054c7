//! From the bytes of a file to a policy that may join the chain: compiled, its imports within its grants, its hooks of the right types, its settings
//! accepted by itself, and tried on made-up calls. Runs beside the calls, never on their path.

use super::{
    Hook,
    breaker::Breaker,
    cases::{self, Cases},
    engine::hex,
    instance::{Instance, State, Subject, at_once},
    linking::{hooks_of_later_versions, link, no_hook},
    machine::Machine,
    memory::Memory,
    metrics::Meter,
    options::{Isolation, Options},
    rollback::Which,
    shipped, trial,
    v1::exports,
};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};
use switch::{decision::PolicyFault, facts::CallKind, site::Site};
use wasmtime::component::{Component, InstancePre};

/// The largest file that is looked at.
pub(super) const FILE_MAX: u64 = 64 << 20;

/// A policy that may decide.
pub(crate) struct Policy {
    /// The file's name.
    pub(super) file: String,
    /// The policy's name: the file's without number and ending.
    pub(super) name: Arc<str>,
    /// What its metadata say.
    pub(super) version: Option<String>,
    pub(super) description: Option<String>,
    /// SHA-256 of the component.
    pub(super) hash: [u8; 32],
    /// Version and hash, to be shown.
    pub(super) which: Arc<Which>,
    pub(super) options: Options,
    /// What the record calls its settings.
    pub(super) settings_id: OnceLock<String>,
    pub(super) hooks: Hooks,
    /// It imports WASI.
    pub(super) wasi: bool,
    pub(super) memory: Arc<Memory>,
    /// Faults since it was loaded.
    pub(super) faults: AtomicU64,
    pub(super) breakers: Breakers,
    /// Counters of its name.
    pub(super) meter: Arc<Meter>,
    /// It is only being tried: nothing of it is written to the log.
    pub(super) trying: bool,
    /// Log lines written.
    pub(super) lines: Lines,
    /// An instance serves more than one decision.
    pub(super) reused: bool,
    /// When it was loaded.
    pub(super) loaded: Instant,
    pub(super) compiled: Component,
    pub(super) component: InstancePre<State>,
}

/// The log lines of one policy in the second that runs.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The second (upper half, cut) and how many lines it has (lower half).
    written: AtomicU64,
}

impl Lines {
    /// Whether one more may be written; counts it. The first that may not is told in the log.
    pub(super) fn one_more(&self, policy: &str, most: u32, now: sip::Instant) -> bool {
        let second = now.unix_seconds() & 0xffff_ffff;
        let most = u64::from(most);
        let before = self.written.fetch_update(Relaxed, Relaxed, |written| {
            let lines = lines_of(written, second);
            (lines <= most).then_some((second << 32) | (lines + 1))
        });
        match before.map(|written| lines_of(written, second)) {
            Ok(lines) if lines < most => true,
            Ok(_) => {
                tracing::warn!(
                    policy,
                    "a policy writes more than {most} log lines in one second; the rest is left out: limit `log_lines` of its file"
                );
                false
            }
            Err(_) => false,
        }
    }
}

const fn lines_of(written: u64, second: u64) -> u64 {
    if written >> 32 == second { written & 0xffff_ffff } else { 0 }
}

/// Where the hooks of a component are.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) registration: Option<exports::registration::GuestIndices>,
    pub(super) routing: Option<exports::routing::GuestIndices>,
    pub(super) emergency: Option<exports::emergency::GuestIndices>,
    pub(super) observation: Option<exports::observation::GuestIndices>,
    pub(super) configuration: Option<exports::configuration::GuestIndices>,
}

/// Why a file does not join the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Rejection {
    pub(super) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// What a policy is made of.
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) options: Options,
    pub(super) memory: Arc<Memory>,
    pub(super) meter: Arc<Meter>,
    /// The text of `NN-name.cases.toml`; empty when there is none.
    pub(super) cases: &'a str,
    /// It lay in the folder when the gateway started: cases that fail are an alarm then, and no reason to leave the site without the policy.
    pub(super) at_start: bool,
    /// Whether made-up calls of the site are tried on it first; decisions of long ago are made again without their site.
    pub(super) trial: bool,
    /// The same bytes, compiled before.
    pub(super) compiled: Option<Component>,
}

/// Loads and tries one policy.
pub(super) fn load(source: Source<'_>, machine: &Arc<Machine>, site: &Arc<Site>) -> Result<Arc<Policy>, Rejection> {
    let compiled = match source.compiled {
        Some(compiled) => compiled,
        None => compile(source.bytes, machine)?,
    };
    let (linker, wasi) = link(&compiled, &source.options, source.file, machine)?;
    let component = linker.instantiate_pre(&compiled).map_err(|error| {
        Rejection::new(format!("its imports have other types than the contract's: {error:#}"), "build it against the contract of this host")
    })?;
    let hooks = Hooks::of(&component);
    if hooks.names().is_empty() {
        return Err(Rejection::new(
            no_hook(&compiled, machine),
            "export one of registration, routing, emergency, observation or configuration",
        ));
    }
    for hook in hooks_of_later_versions(&compiled, machine) {
        tracing::warn!(file = source.file, "it exports {hook}, which this host does not ask");
    }
    let metadata = Metadata::read(source.bytes);
    let reused = source.options.isolation.map_or_else(|| shipped::is_one(source.bytes), |isolation| isolation == Isolation::Reused);
    let hash = hash(source.bytes);
    let policy = Policy {
        file: source.file.to_owned(),
        name: source.name.into(),
        which: Arc::new(Which { version: metadata.version.clone(), hash: hex(&hash) }),
        version: metadata.version,
        description: metadata.description,
        hash,
        options: source.options,
        settings_id: OnceLock::new(),
        hooks,
        wasi,
        memory: Arc::default(),
        faults: AtomicU64::new(0),
        breakers: Breakers::default(),
        meter: source.meter,
        trying: true,
        lines: Lines::default(),
        reused,
        loaded: Instant::now(),
        compiled,
        component,
    };
    let policy = Arc::new(policy);
    if source.trial {
        beside_the_calls(|| attempt(&policy, machine, site))?;
    }
    if let Err(rejection) = beside_the_calls(|| own_cases(&policy, source.cases, machine)) {
        if !source.at_start {
            return Err(rejection);
        }
        tracing::error!(
            file = policy.file,
            reason = rejection.reason,
            remedy = rejection.remedy,
            "policy runs although its cases fail, because no other is there"
        );
    }
    // Made-up calls leave nothing behind in what the policy keeps of real ones: it gets that only now.
    Ok(Arc::new(Policy { trying: false, ..policy.with_memory(source.memory) }))
}

/// Breakers by hook. Observation has none: its faults change nothing.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    pub(super) registration: Breaker,
    pub(super) routing: Breaker,
    pub(super) emergency: Breaker,
}

impl Breakers {
    /// All of them, with the names of their hooks.
    pub(super) const fn all(&self) -> [(&'static str, &Breaker); 3] {
        [("registration", &self.registration), ("routing", &self.routing), ("emergency", &self.emergency)]
    }

    /// That of one hook.
    pub(super) const fn of(&self, hook: Hook) -> Option<&Breaker> {
        match hook {
            Hook::Registration => Some(&self.registration),
            Hook::Routing => Some(&self.routing),
            Hook::Emergency => Some(&self.emergency),
            Hook::Observation => None,
        }
    }

    /// The first that is open.
    pub(super) fn open(&self) -> Option<(&'static str, &Breaker)> {
        self.all().into_iter().find(|(_, breaker)| breaker.is_open())
    }
}

impl Policy {
    /// The same policy, to be tried: nothing counted yet, with what it keeps elsewhere.
    pub(super) fn with_memory(&self, memory: Arc<Memory>) -> Self {
        Self {
            file: self.file.clone(),
            name: Arc::clone(&self.name),
            version: self.version.clone(),
            description: self.description.clone(),
            hash: self.hash,
            which: Arc::clone(&self.which),
            options: self.options.clone(),
            settings_id: OnceLock::new(),
            hooks: self.hooks.clone(),
            wasi: self.wasi,
            memory,
            faults: AtomicU64::new(0),
            breakers: Breakers::default(),
            meter: Arc::clone(&self.meter),
            trying: true,
            lines: Lines::default(),
            reused: self.reused,
            loaded: Instant::now(),
            compiled: self.compiled.clone(),
            component: self.component.clone(),
        }
    }
}

/// Whether a policy that was left out decides again: the made-up calls, then those that it failed at, each within its own deadline. Nothing of it is kept.
///
/// # Errors
/// The latest fault, and the places of those of `failed_at` that it failed at again.
pub(super) fn again(
    policy: &Policy,
    failed_at: &[Subject],
    machine: &Arc<Machine>,
    site: &Arc<Site>,
) -> Result<(), (PolicyFault, Vec<usize>)> {
    let policy = Arc::new(policy.with_memory(Arc::default()));
    let directory = site.directory();
    let settings = &machine.settings;
    let made_up = || {
        let mut instance = at_once(Instance::new(&policy, site, machine, trial::DEADLINE))?;
        trial::run(&policy, &mut instance, site).map_err(|(_, fault)| fault)
    };
    let decide = |subject: &Subject| {
        let deadline = policy.options.deadline.unwrap_or(settings.deadline);
        let mut instance = at_once(Instance::new(&policy, site, machine, trial::DEADLINE))?;
        match subject {
            Subject::None => Ok(()),
            Subject::Registration(registration) => at_once(instance.admit(registration, &directory, deadline)).map(|_| ()),
            Subject::Call(call) if call.kind == CallKind::Normal => at_once(instance.route(call, &directory, deadline)).map(|_| ()),
            Subject::Call(call) => {
                let deadline = policy.options.deadline.unwrap_or(settings.emergency_deadline);
                at_once(instance.emergency(call, &directory, deadline)).map(|_| ())
            }
        }
    };
    beside_the_calls(|| {
        made_up().map_err(|fault| (fault, Vec::new()))?;
        let mut outcome = Ok(());
        for (place, subject) in failed_at.iter().enumerate() {
            if let Err(fault) = decide(subject) {
                let mut places = outcome.err().map_or_else(Vec::new, |(_, places)| places);
                places.push(place);
                outcome = Err((fault, places));
            }
        }
        outcome
    })
}

/// Runs a try as a shard would: inside a runtime, where what would block for a component that imports WASI fails instead.
pub(super) fn beside_the_calls<T>(run: impl FnOnce() -> T) -> T {
    if tokio::runtime::Handle::try_current().is_ok() {
        return run();
    }
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(async { run() }),
        Err(_) => run(),
    }
}

/// Lets the policy decide its own cases.
fn own_cases(policy: &Arc<Policy>, text: &str, machine: &Arc<Machine>) -> Result<(), Rejection> {
    if text.is_empty() {
        return Ok(());
    }
    let file = format!("{}.cases.toml", policy.file.strip_suffix(".wasm").unwrap_or(&policy.file));
    let cases = Cases::read(text).map_err(|reason| Rejection::new(format!("{file}: {reason}"), format!("mend {file}")))?;
    cases::verdict(&cases.run(policy, machine), &file)
}

pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn compile(bytes: &[u8], machine: &Machine) -> Result<Component, Rejection> {
    let again = "copy the component again";
    match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => {}
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            return Err(Rejection::new(
                "it is a core module, not a component",
                "encode it: wasm-tools component new core.wasm -o policy.wasm",
            ));
        }
        _ => return Err(Rejection::new("it is not a WebAssembly component", again)),
    }
    machine.compile(bytes).map_err(|error| {
        let error = error.root_cause().to_string();
        Rejection::new(format!("it does not compile: {}", error.lines().next().unwrap_or_default()), again)
    })
}

impl Hooks {
    fn of(component: &InstancePre<State>) -> Self {
        Self {
            registration: exports::registration::GuestIndices::new(component).ok(),
            routing: exports::routing::GuestIndices::new(component).ok(),
            emergency: exports::emergency::GuestIndices::new(component).ok(),
            observation: exports::observation::GuestIndices::new(component).ok(),
            configuration: exports::configuration::GuestIndices::new(component).ok(),
        }
    }

    /// Those that decisions go to.
    pub(super) fn asked(&self) -> impl Iterator<Item = Hook> {
        let all = [
            (Hook::Registration, self.registration.is_some()),
            (Hook::Routing, self.routing.is_some()),
            (Hook::Emergency, self.emergency.is_some()),
            (Hook::Observation, self.observation.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(hook, _)| hook)
    }

    /// The names of the hooks that are there.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.asked().map(Hook::name).chain(self.configuration.is_some().then_some("configuration")).collect()
    }
}

/// Starts the policy, asks it about its settings, and lets it decide the trial cases.
fn attempt(policy: &Arc<Policy>, machine: &Arc<Machine>, site: &Arc<Site>) -> Result<(), Rejection> {
    let deadline = trial::DEADLINE;
    let mend = "mend the component; the log of its author's tests should show the same";
    let mut instance = match at_once(Instance::new(policy, site, machine, deadline)) {
        Ok(instance) => instance,
        Err(PolicyFault::Nonsense(what)) => {
            return Err(Rejection::new(format!("it has {what}"), "build it against the contract of this host"));
        }
        Err(fault) => return Err(Rejection::new(format!("it does not start: it {fault}"), mend)),
    };
    match instance.check(deadline) {
        Ok(problems) if problems.is_empty() => {}
        Ok(problems) => {
            let settings = policy.file.strip_suffix(".wasm").unwrap_or(&policy.file);
            return Err(Rejection::new(problems.join("; "), format!("mend the settings in {settings}.toml")));
        }
        Err(fault) => return Err(Rejection::new(format!("it failed when asked about its settings: it {fault}"), mend)),
    }
    let tried = trial::run(policy, &mut instance, site);
    tried.map_err(|(case, fault)| Rejection::new(format!("it failed its trial, {case}: it {fault}"), mend))
}

/// Name and version as `wasm-tools metadata` writes them.
#[derive(Default)]
struct Metadata {
    version: Option<String>,
    description: Option<String>,
}

impl Metadata {
    /// Reads the custom sections of the outermost component; whatever is unreadable is missing.
    fn read(bytes: &[u8]) -> Self {
        use wasmparser::{Parser, Payload};
        let mut metadata = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::Version { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::CustomSection(section)) if depth == 1 => {
                    let text = || {
                        std::str::from_utf8(section.data()).ok().map(|text| text.chars().filter(|c| !c.is_control()).take(200).collect())
                    };
                    match section.name() {
                        "version" => metadata.version = text(),
                        "description" => metadata.description = text(),
                        _ => {}
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_counted_by_the_second() {
        let lines = Lines::default();
        let at = |millis: u64| sip::Instant::from_unix_micros(1_700_000_000_000_000 + millis * 1000);
        let written = (0..10).filter(|n| lines.one_more("p", 3, at(n * 10))).count();
        assert_eq!(written, 3);
        assert!(!lines.one_more("p", 3, at(999)));
        assert!(lines.one_more("p", 3, at(1000)));
        assert!(!Lines::default().one_more("p", 0, at(0)));
    }
}
