//! The chain in force, and everything that changes it.

use super::{
    Runner,
    aside::Aside,
    entry::Entry,
    folder::{self, Found},
    load::{self, Policy, Rejection, Source, beside_the_calls},
    machine::Machine,
    memory::Memory,
    metrics::Meter,
    options::Options,
    rollback::Which,
    shadow::{self, Shadow, ShadowStatus},
    shipped,
    stock::Ahead,
    watch,
};
use crate::record::Recorder;
use anyhow::Context as _;
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    time::{Duration, Instant, SystemTime},
};
use switch::site::Site;

/// What is the same for every policy that its file says nothing about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineSettings {
    /// Time for one decision while the component runs; what the thread waits for a processor is not counted.
    pub deadline: Duration,
    /// Time for an emergency decision.
    pub emergency_deadline: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: usize,
    /// Threads for decisions that are not made within half a millisecond. 0: they are made where they are asked for, and hold it up.
    pub threads: usize,
    /// Whether the folder is followed. Without, [`Engine::rescan`] does it by hand.
    pub watch: bool,
    /// Folder in which compiled code is kept, so that a restart compiles nothing; made when it is not there. What lies in it is executed: it is used only
    /// where nobody but the gateway's own user may enter it. `None` compiles at every start.
    pub cache: Option<PathBuf>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(5),
            emergency_deadline: Duration::from_millis(2),
            memory_bytes: 16 << 20,
            threads: 2,
            watch: true,
            cache: None,
        }
    }
}

/// All loaded policies of a process. Cheap to share.
pub struct Engine {
    folder: PathBuf,
    pub(super) site: Arc<Site>,
    pub(super) machine: Arc<Machine>,
    chain: ArcSwap<Chain>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// What policies keep, by policy name; outlives their versions.
    memories: Mutex<BTreeMap<String, Arc<Memory>>>,
    /// Counters, by policy name; outlive their versions.
    meters: Mutex<BTreeMap<String, Arc<Meter>>>,
    /// Runners made so far.
    pub(super) runners: AtomicUsize,
    /// Wakes whoever attends to policies that fail.
    alarm: OnceLock<SyncSender<()>>,
    /// Where decisions are written down.
    recorder: OnceLock<Arc<Recorder>>,
    pub(super) aside: Aside,
}

/// The policies in force, in order, and who has which hook.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) registration: Vec<Link>,
    pub(super) routing: Vec<Link>,
    /// Only the first that has the hook.
    pub(super) emergency: Option<Link>,
    pub(super) observation: Vec<Link>,
    /// Of policies that are new in this chain.
    pub(super) ahead: Ahead,
}

/// One policy's place in the chain.
pub(super) struct Link {
    pub(super) policy: Arc<Policy>,
    /// Who is to decide the same beside it.
    pub(super) shadow: Option<Arc<Shadow>>,
}

/// How one file of the folder stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyStatus {
    /// `NN-name.wasm`.
    pub file: String,
    /// The policy's name.
    pub name: String,
    /// Version of the component that runs, from its metadata.
    pub version: Option<String>,
    /// Description, from its metadata.
    pub description: Option<String>,
    /// SHA-256 of the component that runs, in hexadecimal; empty when none does.
    pub hash: String,
    /// Hooks of the component that runs.
    pub hooks: Vec<&'static str>,
    /// Decisions since the component that runs took its place.
    pub decisions: u64,
    /// Faults of the component that runs.
    pub faults: u64,
    /// 99 of 100 of those decisions took no longer: a step of the histogram, [`Duration::MAX`] above its last bound. `None` before the first.
    pub p99: Option<Duration>,
    /// How it stands.
    pub state: PolicyState,
    /// Since when.
    pub since: SystemTime,
    /// What [`Engine::roll_back`] would put back.
    pub previous: Option<Which>,
}

/// How a file of the policy folder stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyState {
    /// It is in the chain.
    Running,
    /// An earlier content of the file, or the same with other settings, is in the chain; what lies there now decides beside it, without effect.
    Shadowing(Box<ShadowStatus>),
    /// It is in the chain, and left out of decisions until it recovers: it failed too often.
    Resting(Rejection),
    /// An earlier content of the file is in the chain; what lies there now was refused.
    Outdated(Rejection),
    /// An earlier content of the file is in the chain; what lies there now was taken back, because it failed too often or because the operator said so.
    RolledBack(Rejection),
    /// It is not in the chain.
    Refused(Rejection),
}

impl PolicyState {
    /// Every [`PolicyState::name`].
    pub const NAMES: [&'static str; 6] = ["running", "shadowing", "resting", "outdated", "rolled-back", "refused"];

    /// In a word: one of [`PolicyState::NAMES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Shadowing(_) => "shadowing",
            Self::Resting(_) => "resting",
            Self::Outdated(_) => "outdated",
            Self::RolledBack(_) => "rolled-back",
            Self::Refused(_) => "refused",
        }
    }

    /// What is wrong, and what to do about it.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Running | Self::Shadowing(_) => None,
            Self::Resting(why) | Self::Outdated(why) | Self::RolledBack(why) | Self::Refused(why) => Some(why),
        }
    }
}

/// What `check` found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Check {
    /// Every policy of the folder.
    pub policies: Vec<PolicyStatus>,
    /// Everything that is wrong; empty = what is there starts as it is.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Engine {
    /// Loads every policy of `folder` and follows the folder from then on. A policy that is refused is logged and left out; that there is none at all
    /// is not an error either (calls are then refused by the host, calls for help take the host's own plan).
    ///
    /// `site` is what policies are tried against.
    ///
    /// # Errors
    /// When the engine or its threads cannot be started, or the folder is there and cannot be listed.
    pub fn start(folder: &Path, site: Arc<Site>, settings: EngineSettings) -> anyhow::Result<Arc<Self>> {
        let engine = Arc::new(Self::new(folder, site, settings)?);
        engine.follow(folder::read(folder).with_context(|| listing(folder))?, true);
        if engine.machine.settings.watch {
            watch::start(&engine, folder).context("the policy folder cannot be followed")?;
        }
        Ok(engine)
    }

    /// Loads and tries every policy of `folder` without running any; those that come with Holdfast where the folder has none.
    ///
    /// # Errors
    /// When the engine cannot be started, or the folder is there and cannot be listed.
    pub fn check(folder: &Path, site: Arc<Site>) -> anyhow::Result<Check> {
        let engine = Self::new(folder, site, EngineSettings { watch: false, ..EngineSettings::default() })?;
        let mut found = folder::read(folder).with_context(|| listing(folder))?;
        let mut check = Check::default();
        if found.is_empty() {
            found = shipped::COMPONENTS.iter().map(|(file, bytes)| carried(file, bytes)).collect();
        }
        let files: Vec<String> = found.iter().map(|found| found.file.clone()).collect();
        engine.follow(found, false);
        check.policies = engine.status();
        for status in &check.policies {
            if let Some(rejection) = status.state.rejection() {
                check.problems.push(Problem {
                    file: folder.join(&status.file),
                    reason: rejection.reason.clone(),
                    remedy: rejection.remedy.clone(),
                });
            }
        }
        for stray in folder::list(folder).with_context(|| listing(folder))?.into_keys() {
            let Some(stem) = stray.strip_suffix(".cases.toml").or_else(|| stray.strip_suffix(".toml")) else { continue };
            if !files.contains(&format!("{stem}.wasm")) {
                let reason = format!("it belongs to {stem}.wasm, which is not there");
                check.problems.push(Problem {
                    file: folder.join(&stray),
                    reason,
                    remedy: "rename it after its component, or remove it".to_owned(),
                });
            }
        }
        Ok(check)
    }

    /// Fills an empty or new policy folder with the four policies that come with Holdfast; never touches a folder that has a component. Returns the
    /// names of the files written.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn install_shipped(folder: &Path) -> anyhow::Result<Vec<&'static str>> {
        shipped::install(folder)
    }

    /// From now on every decision of a new runner is written down. Set once.
    pub fn record_to(&self, recorder: Arc<Recorder>) {
        let _first = self.recorder.set(recorder);
    }

    pub(super) fn recorder(&self) -> Option<Arc<Recorder>> {
        self.recorder.get().cloned()
    }

    /// Decisions that took more than half a millisecond and held up their shard, because too many waited for a thread.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.aside.crowded()
    }

    /// A runner for one shard, to be made on its thread.
    #[must_use]
    pub fn runner(self: &Arc<Self>, site: Arc<Site>) -> Rc<Runner> {
        Rc::new(Runner::new(Arc::clone(self), site))
    }

    /// How every file of the folder stands, in the order of the chain.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.entries().iter().map(|(file, entry)| entry.status(file)).collect()
    }

    /// Compares the folder with the chain and takes over what has changed. Safe to call at any time; what has not changed is not touched.
    ///
    /// # Errors
    /// When the folder is there and cannot be listed; then nothing changes.
    pub fn rescan(&self) -> anyhow::Result<()> {
        self.follow(folder::read(&self.folder).with_context(|| listing(&self.folder))?, false);
        Ok(())
    }

    /// Attends to policies that failed too often: one that was swapped in a short while ago gives its place back to the one before; any other is tried
    /// again when it has rested, and decides again when that goes well. Lets what is tried beside the calls decide what they were decided, and swaps it in or
    /// refuses it once that is clear. Runs beside the calls; where the folder is followed, at every look.
    pub fn attend(&self, now: Instant) {
        self.attend_to_shadows(now);
        for (file, policy) in self.take_back(now) {
            for (hook, breaker) in policy.breakers.all() {
                let Some(failed_at) = breaker.due(now) else { continue };
                match load::again(&policy, &failed_at, &self.machine, &self.site) {
                    Ok(()) => {
                        breaker.close();
                        tracing::info!(file, policy = &*policy.name, hook, "policy decides again: it has decided what it failed at");
                    }
                    Err((fault, failed_again)) => {
                        let rest = breaker.stay_open(fault.to_string(), &failed_again, now);
                        tracing::warn!(file, policy = &*policy.name, hook, %fault, rest_s = rest.as_secs(), "policy tried again, and stays left out");
                    }
                }
            }
        }
    }

    /// Wakes whoever attends to policies that fail.
    pub(super) fn alarm(&self) {
        if let Some(alarm) = self.alarm.get() {
            // A full channel says the same already.
            let _told = alarm.try_send(());
        }
    }

    /// Who is to be woken when a policy fails too often.
    pub(super) fn attended_by(&self, alarm: SyncSender<()>) {
        // Set once, by the one thread that follows the folder.
        let _first = self.alarm.set(alarm);
    }

    pub(super) fn put_in_force(&self, entries: &BTreeMap<String, Entry>) {
        let policies = entries.values().filter_map(|entry| Some((entry.running.clone()?, entry.shadow.clone()))).collect();
        let mut chain = Chain::of(policies);
        let old = self.chain();
        let new = chain.policies.iter().filter(|policy| old.policies.iter().all(|known| !Arc::ptr_eq(known, policy)));
        chain.ahead = beside_the_calls(|| Ahead::of(new, self.runners.load(Relaxed), &self.site, &self.machine));
        self.chain.store(Arc::new(chain));
    }

    fn new(folder: &Path, site: Arc<Site>, settings: EngineSettings) -> anyhow::Result<Self> {
        let aside = Aside::start(settings.threads).context("the threads for slow policies could not be started")?;
        Ok(Self {
            folder: folder.to_owned(),
            site,
            aside,
            machine: Arc::new(Machine::new(settings)?),
            chain: ArcSwap::default(),
            entries: Mutex::default(),
            memories: Mutex::default(),
            meters: Mutex::default(),
            runners: AtomicUsize::new(0),
            alarm: OnceLock::new(),
            recorder: OnceLock::new(),
        })
    }

    pub(super) fn meter(&self, name: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(meters.entry(name.to_owned()).or_default())
    }

    pub(super) fn chain(&self) -> arc_swap::Guard<Arc<Chain>> {
        self.chain.load()
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the chain what was found, policy by policy. Whoever compiles holds the lock: nobody on the call path takes it.
    fn follow(&self, found: Vec<Found>, at_start: bool) {
        let mut entries = self.entries();
        let mut changed = false;
        let gone: Vec<String> = entries.keys().filter(|file| found.iter().all(|found| found.file != **file)).cloned().collect();
        for file in gone {
            if let Some(entry) = entries.remove(&file) {
                changed |= entry.running.is_some();
                tracing::info!(file, policy = entry.name, "policy removed");
            }
        }
        for found in found {
            let digest = found.digest();
            if entries.get(&found.file).is_some_and(|entry| entry.digest == digest) {
                continue;
            }
            let twin = entries.iter().find(|(file, entry)| entry.name == found.name && **file != found.file).map(|(file, _)| file.clone());
            let loaded = match twin {
                Some(twin) => Err(Rejection::new(format!("{twin} has the same name"), "rename one of them")),
                None => self.load(&found, &entries, at_start),
            };
            let file = found.file;
            let mut entry = entries.remove(&file).unwrap_or_else(|| Entry::new(found.name));
            entry.digest = digest;
            match loaded {
                Ok(policy) if let Some(shadow) = shadow::begin(&policy, entry.running.as_ref()) => {
                    changed = true;
                    let hash = hex(&policy.hash);
                    tracing::info!(file, policy = entry.name, hash, version = policy.version, "policy decides beside the one that runs");
                    entry.tries(shadow);
                }
                Ok(policy) => {
                    changed = true;
                    tracing::info!(file, policy = entry.name, hash = hex(&policy.hash), version = policy.version, hooks = ?policy.hooks.names(), "policy loaded");
                    entry.swap_in(policy);
                }
                Err(rejection) => {
                    // What decided beside it is not what lies there now.
                    changed |= entry.shadow.is_some();
                    let Rejection { reason, remedy } = &rejection;
                    tracing::warn!(file, policy = entry.name, reason, remedy, old_one_stays = entry.running.is_some(), "policy refused");
                    entry.refuse(rejection, &self.meter(&entry.name));
                }
            }
            entries.insert(file, entry);
        }
        if changed {
            self.put_in_force(&entries);
        }
    }

    fn load(&self, found: &Found, entries: &BTreeMap<String, Entry>, at_start: bool) -> Result<Arc<Policy>, Rejection> {
        let bytes = found.bytes.as_ref().map_err(Clone::clone)?;
        let toml = found.toml.as_ref().map_err(Clone::clone)?;
        let cases = found.cases.as_ref().map_err(Clone::clone)?;
        let stem = found.file.strip_suffix(".wasm").unwrap_or(&found.file);
        let options =
            Options::read(toml).map_err(|reason| Rejection::new(format!("{stem}.toml: {reason}"), format!("mend {stem}.toml")))?;
        let hash = load::hash(bytes);
        let compiled = entries
            .values()
            .filter_map(|entry| entry.running.as_ref())
            .find(|policy| policy.hash == hash)
            .map(|policy| policy.compiled.clone());
        let memory = {
            let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(memories.entry(found.name.clone()).or_default())
        };
        let meter = self.meter(&found.name);
        load::load(
            Source { file: &found.file, name: &found.name, bytes, options, memory, meter, cases, at_start, trial: true, compiled },
            &self.machine,
            &self.site,
        )
    }
}

impl Chain {
    fn of(policies: Vec<(Arc<Policy>, Option<Arc<Shadow>>)>) -> Self {
        let with = |has: fn(&Policy) -> bool| {
            let links = policies.iter().filter(|(policy, _)| has(policy));
            links.map(|(policy, shadow)| Link { policy: Arc::clone(policy), shadow: shadow.clone() }).collect::<Vec<_>>()
        };
        Self {
            registration: with(|policy| policy.hooks.registration.is_some()),
            routing: with(|policy| policy.hooks.routing.is_some()),
            emergency: with(|policy| policy.hooks.emergency.is_some()).into_iter().next(),
            observation: with(|policy| policy.hooks.observation.is_some()),
            policies: policies.into_iter().map(|(policy, _)| policy).collect(),
            ahead: Ahead::default(),
        }
    }
}

/// A shipped component as if it lay in the folder.
fn carried(file: &str, bytes: &[u8]) -> Found {
    let name = file.trim_end_matches(".wasm").split_once('-').map_or(file, |(_, name)| name);
    Found { file: file.to_owned(), name: name.to_owned(), bytes: Ok(bytes.to_vec()), toml: Ok(String::new()), cases: Ok(String::new()) }
}

fn listing(folder: &Path) -> String {
    format!("the policy folder {} cannot be listed", folder.display())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
