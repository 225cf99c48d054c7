//! One component on its author's desk: checked as the gateway checks it, and asked its cases, without a gateway.

use super::{
    EngineSettings,
    cases::{CaseResult, Cases},
    engine::{Problem, hex},
    folder,
    load::{self, Policy, Rejection, Source},
    machine::Machine,
    options::Options,
};
use anyhow::Context as _;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use switch::{Limits, site::Site};

/// A component that would join the chain, and what it says to its cases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Version and description, from its metadata.
    pub version: Option<String>,
    /// See `version`.
    pub description: Option<String>,
    /// SHA-256, in hexadecimal.
    pub hash: String,
    /// Size of the file in octets.
    pub bytes: usize,
    /// Its hooks.
    pub hooks: Vec<&'static str>,
    /// What it imports.
    pub imports: Vec<String>,
    /// How long it took to compile and try.
    pub loaded_in: Duration,
    /// Its cases, in the order of their file.
    pub cases: Vec<CaseResult>,
}

/// Checks the component `file` (with the `.toml` beside it, if there is one) in the site of `cases`, or in one without phones, and asks it the cases.
///
/// # Errors
/// The outer error: it could not be tried at all. The inner one: why the gateway would refuse it, or what is wrong with the case file.
pub fn try_file(file: &Path, cases: Option<&Path>) -> anyhow::Result<Result<Tried, Problem>> {
    loaded(file, cases, |Loaded { policy, machine, cases, bytes, loaded_in }| {
        Ok(Tried {
            name: policy.name.to_string(),
            version: policy.version.clone(),
            description: policy.description.clone(),
            hash: hex(&policy.hash),
            bytes,
            hooks: policy.hooks.names(),
            imports: policy.compiled.component_type().imports(&machine.engine).map(|(name, _)| name.to_owned()).collect(),
            loaded_in,
            cases: load::beside_the_calls(|| cases.run(policy, machine)),
        })
    })
}

/// A component that would join the chain, and its cases.
pub(super) struct Loaded<'a> {
    pub(super) policy: &'a Policy,
    pub(super) machine: &'a Arc<Machine>,
    pub(super) cases: &'a Cases,
    /// Size of the file in octets.
    pub(super) bytes: usize,
    /// How long it took to compile and try.
    pub(super) loaded_in: Duration,
}

/// Loads the component `file` as [`try_file`] does and hands it to `then`.
pub(super) fn loaded<T>(
    file: &Path,
    cases: Option<&Path>,
    then: impl FnOnce(Loaded<'_>) -> Result<T, Rejection>,
) -> anyhow::Result<Result<T, Problem>> {
    let machine = Arc::new(Machine::new(EngineSettings::default())?);
    let problem = |file: &Path, Rejection { reason, remedy }| Problem { file: file.to_owned(), reason, remedy };
    let found = folder::one(file).with_context(|| format!("{} is no file that can be a policy", file.display()))?;
    let (cases_file, text) = match cases {
        Some(cases) => (cases.to_owned(), std::fs::read_to_string(cases).with_context(|| format!("the cases {}", cases.display()))?),
        None => (file.with_extension("cases.toml"), String::new()),
    };
    let read = match Cases::read(&text) {
        Ok(read) => read,
        Err(reason) => return Ok(Err(problem(&cases_file, Rejection::new(reason, "mend the case file; plugins/README.md describes it")))),
    };
    let load = || -> Result<T, Rejection> {
        let bytes = found.bytes.clone()?;
        let options = Options::read(&found.toml.clone()?).map_err(|reason| {
            let toml = file.with_extension("toml");
            Rejection::new(format!("{}: {reason}", toml.display()), format!("mend {}", toml.display()))
        })?;
        let begin = Instant::now();
        let source = Source {
            file: &found.file,
            name: &found.name,
            bytes: &bytes,
            options,
            memory: Arc::default(),
            meter: Arc::default(),
            cases: "",
            at_start: false,
            trial: true,
            compiled: None,
        };
        let policy = load::load(source, &machine, &Arc::new(Site::new(read.directory(), Limits::default())))?;
        let loaded_in = begin.elapsed();
        then(Loaded { policy: &policy, machine: &machine, cases: &read, bytes: bytes.len(), loaded_in })
    };
    Ok(load().map_err(|rejection| problem(file, rejection)))
}

/// The cases that lie beside a component, if any do.
#[must_use]
pub fn cases_beside(file: &Path) -> Option<PathBuf> {
    Some(file.with_extension("cases.toml")).filter(|cases| cases.is_file())
}
