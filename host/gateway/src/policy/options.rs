//! `NN-name.toml`: what the operator says about one policy.
//!
//! ```toml
//! on_fault = "next"           # or "refuse"; see OnFault
//! grants = ["directory"]      # exactly these interfaces; without the key all but `memory`
//! isolation = "fresh"         # or "reused"; see Isolation
//! deadline_ms = 5             # 1 to 1000
//! memory_mib = 16             # 1 to 256
//! questions = 10000           # to the host, in one decision; 1 to 1000000
//! answer_kib = 256            # what one answer or question may be long; 1 to 16384
//! log_lines = 50              # in one second, of all calls; 0 to 10000
//! [settings]                  # for the policy itself
//! [shadow]                    # a changed component first decides beside the one that runs; see Shadow
//! calls = 100                 # so many decisions, 1 to 1000000
//! seconds = 60                # or so long, 1 to 604800; whichever is first
//! allow = 0                   # differences, or "2 %" of the decisions
//! ```

use super::{nearest, v1};
use std::time::Duration;
use toml::{Table, Value as Toml};

/// What happens when a policy fails to decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFault {
    /// The next policy is asked, as if this one had passed. When none is left, a call is refused with 503 and a registration is accepted without a
    /// seat: a phone that may call is worth more than a count.
    Next,
    /// The registration or call is refused with 503 at once. For policies that forbid things.
    Refuse,
}

/// What one decision can leave behind for the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// Nothing: each decision has an instance of its own. Costs 10 to 30 µs for compiled languages, up to a millisecond for scripts. The default for every
    /// component but those that come with Holdfast: who wrote it, and how careful they were, the host cannot know.
    Fresh,
    /// Whatever the component keeps in its own memory: an instance serves one shard, one decision at a time, until it fails. Costs about 1 µs.
    Reused,
}

/// One setting's value, as the contract knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Texts(Vec<String>),
}

/// What a changed component must show beside the one that runs before it takes its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shadow {
    /// Decisions after which it is clear.
    pub(crate) calls: Option<u32>,
    /// Time after which it is clear.
    pub(crate) time: Option<Duration>,
    /// Differences that are no hindrance.
    pub(crate) allow: Allow,
}

/// How many of its decisions may differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allow {
    Calls(u32),
    /// Of what it has decided.
    Percent(u32),
}

/// The file, read. Default: no file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) on_fault: OnFault,
    /// Interfaces that the component may import beyond those that are always granted.
    pub(crate) grants: Vec<String>,
    /// Time for one decision; the hook's default when `None`.
    pub(crate) deadline: Option<Duration>,
    /// Bytes of linear memory; the engine's default when `None`.
    pub(crate) memory_bytes: Option<usize>,
    /// See [`Isolation`]; decided by who wrote the component when `None`.
    pub(crate) isolation: Option<Isolation>,
    /// Questions that one decision may ask the host.
    pub(crate) questions: u32,
    /// Octets that one answer, or one question, may make the host copy.
    pub(crate) answer_bytes: usize,
    /// Log lines in one second.
    pub(crate) log_lines: u32,
    /// In the order of their keys, tables flattened.
    pub(crate) settings: Vec<(String, Value)>,
    /// Whether a change of this policy is tried beside what runs.
    pub(crate) shadow: Option<Shadow>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            on_fault: OnFault::Next,
            grants: v1::GRANTED_BY_DEFAULT.map(str::to_owned).to_vec(),
            deadline: None,
            memory_bytes: None,
            isolation: None,
            questions: 10_000,
            answer_bytes: 256 << 10,
            log_lines: 50,
            settings: Vec::new(),
            shadow: None,
        }
    }
}

const KEYS: [&str; 10] =
    ["on_fault", "grants", "isolation", "deadline_ms", "memory_mib", "questions", "answer_kib", "log_lines", "settings", "shadow"];
const SHADOW_KEYS: [&str; 3] = ["calls", "seconds", "allow"];

impl Options {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong, in one sentence that names the key or line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim().replace('\n', " "))?;
        let mut options = Self::default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("on_fault", Toml::String(word)) if word == "next" => options.on_fault = OnFault::Next,
                ("on_fault", Toml::String(word)) if word == "refuse" => options.on_fault = OnFault::Refuse,
                ("on_fault", _) => return Err("`on_fault` should be \"next\" or \"refuse\"".to_owned()),
                ("grants", value) => options.grants = grants(value)?,
                ("isolation", Toml::String(word)) if word == "fresh" => options.isolation = Some(Isolation::Fresh),
                ("isolation", Toml::String(word)) if word == "reused" => options.isolation = Some(Isolation::Reused),
                ("isolation", _) => return Err("`isolation` should be \"fresh\" or \"reused\"".to_owned()),
                ("deadline_ms", value) => options.deadline = Some(Duration::from_millis(within("deadline_ms", &value, 1, 1000)?.into())),
                ("memory_mib", value) => options.memory_bytes = Some((within("memory_mib", &value, 1, 256)? as usize) << 20),
                ("questions", value) => options.questions = within("questions", &value, 1, 1_000_000)?,
                ("answer_kib", value) => options.answer_bytes = (within("answer_kib", &value, 1, 16_384)? as usize) << 10,
                ("log_lines", value) => options.log_lines = within("log_lines", &value, 0, 10_000)?,
                ("settings", Toml::Table(table)) => options.settings = settings(table),
                ("settings", _) => return Err("`settings` should be a table: [settings]".to_owned()),
                ("shadow", Toml::Table(table)) => options.shadow = Some(shadow(table)?),
                ("shadow", _) => return Err("`shadow` should be a table: [shadow]".to_owned()),
                (unknown, _) => return Err(format!("`{unknown}` is not a key of this file{}", nearest(unknown, &KEYS))),
            }
        }
        Ok(options)
    }
}

fn shadow(table: Table) -> Result<Shadow, String> {
    let mut shadow = Shadow { calls: None, time: None, allow: Allow::Calls(0) };
    for (key, value) in table {
        match key.as_str() {
            "calls" => shadow.calls = Some(within("shadow.calls", &value, 1, 1_000_000)?),
            "seconds" => shadow.time = Some(Duration::from_secs(within("shadow.seconds", &value, 1, 604_800)?.into())),
            "allow" => shadow.allow = allow(&value)?,
            unknown => return Err(format!("`{unknown}` is not a key of [shadow]{}", nearest(unknown, &SHADOW_KEYS))),
        }
    }
    match shadow {
        Shadow { calls: None, time: None, .. } => Err("[shadow] should say how long: `calls`, `seconds` or both".to_owned()),
        Shadow { .. } => Ok(shadow),
    }
}

fn allow(value: &Toml) -> Result<Allow, String> {
    if let Some(percent) = value.as_str().and_then(|text| text.strip_suffix('%')) {
        let percent = percent.trim().parse().ok().filter(|percent| *percent <= 100);
        return percent.map(Allow::Percent).ok_or_else(|| "`shadow.allow` should be at most \"100 %\", in whole percent".to_owned());
    }
    within("shadow.allow", value, 0, 1_000_000)
        .map(Allow::Calls)
        .map_err(|_| "`shadow.allow` should be an integer from 0 to 1000000, or a share like \"2 %\"".to_owned())
}

/// The `[settings]` table as the contract knows it.
pub(super) fn settings(table: Table) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    flatten("", table, &mut settings);
    settings
}

fn grants(value: Toml) -> Result<Vec<String>, String> {
    let Toml::Array(values) = value else { return Err("`grants` should be an array of interface names".to_owned()) };
    let name = |value: Toml| match value {
        Toml::String(name) if v1::GRANTABLE.contains(&name.as_str()) => Ok(name),
        Toml::String(name) => {
            Err(format!("`{name}` in `grants` is not an interface that can be granted{}", nearest(&name, &v1::GRANTABLE)))
        }
        _ => Err("`grants` should be an array of interface names".to_owned()),
    };
    values.into_iter().map(name).collect()
}

fn within(key: &str, value: &Toml, min: u32, max: u32) -> Result<u32, String> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok()).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("`{key}` should be an integer from {min} to {max}"))
}

/// Joins the keys of inner tables with dots and counts arrays of tables from 0.
fn flatten(prefix: &str, table: Table, into: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        flatten_value(format!("{prefix}{key}"), value, into);
    }
}

fn flatten_value(key: String, value: Toml, into: &mut Vec<(String, Value)>) {
    match value {
        Toml::String(text) => into.push((key, Value::Text(text))),
        Toml::Integer(number) => into.push((key, Value::Number(number))),
        Toml::Boolean(flag) => into.push((key, Value::Flag(flag))),
        Toml::Float(number) => into.push((key, Value::Text(number.to_string()))),
        Toml::Datetime(moment) => into.push((key, Value::Text(moment.to_string()))),
        Toml::Table(table) => flatten(&format!("{key}."), table, into),
        Toml::Array(values) if values.iter().any(Toml::is_table) => {
            for (index, value) in values.into_iter().enumerate() {
                flatten_value(format!("{key}.{index}"), value, into);
            }
        }
        Toml::Array(values) => {
            let text = |value: Toml| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            into.push((key, Value::Texts(values.into_iter().map(text).collect())));
        }
    }
}

#[cfg(test)]
mod tests;
