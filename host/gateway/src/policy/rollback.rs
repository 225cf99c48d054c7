//! The way back: from a component that fails to the one before, by itself; and from any component to the one before, when the operator says so.
//!
//! Two components are kept for it, compiled, as long as the gateway runs: what was last sound, while what runs has yet to prove itself, and what ran before. They are mostly the
//! same; after two swaps in a row a policy that fails goes back to what was sound, and the operator to what ran before.

use super::{
    Rejection,
    engine::{Engine, hex},
    entry::Entry,
    load::Policy,
    nearest,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A component whose breaker opens within this time of its swap gives its place back to the one before.
const PROBATION: Duration = Duration::from_secs(600);

/// What may take the place of the component that runs.
#[derive(Clone, Default)]
pub(super) struct Back {
    /// The latest component that was sound, while what runs is on probation.
    sound: Option<Arc<Policy>>,
    /// What ran before.
    before: Option<Arc<Policy>>,
}

impl Back {
    /// The way back from `new`, which takes the place of `old`. The same component with the same settings is no way back.
    pub(super) fn from(self, old: &Arc<Policy>, new: &Policy) -> Self {
        let differs = |way: &Arc<Policy>| way.hash != new.hash || way.options != new.options;
        let fails = old.breakers.open().is_some();
        let proved = old.loaded.elapsed() >= PROBATION || self.sound.is_none();
        let sound = if proved && !fails { Some(Arc::clone(old)) } else { self.sound };
        let before = if !fails && differs(old) { Some(Arc::clone(old)) } else { self.before };
        Self { sound: sound.filter(differs), before: before.filter(differs) }
    }

    /// What ran before.
    pub(super) const fn before(&self) -> Option<&Arc<Policy>> {
        self.before.as_ref()
    }

    /// Leaves only what is another component than `running`.
    fn without(self, running: &Arc<Policy>) -> Self {
        let other = |way: &Arc<Policy>| !Arc::ptr_eq(way, running);
        Self { sound: self.sound.filter(other), before: self.before.filter(other) }
    }
}

/// One component of a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Which {
    /// Its version, from its metadata.
    pub version: Option<String>,
    /// SHA-256, in hexadecimal.
    pub hash: String,
}

/// What a roll-back has done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RolledBack {
    /// `NN-name.wasm`. It still holds what was taken back.
    pub file: String,
    /// The policy's name.
    pub name: String,
    /// What ran until now.
    pub from: Which,
    /// What runs now.
    pub to: Which,
}

/// Why there is no roll-back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoWayBack {
    /// No policy has that name.
    #[error("there is no policy `{name}`{near}")]
    Unknown {
        /// The name.
        name: String,
        /// `; the nearest is …`
        near: String,
    },
    /// Nothing ran before.
    #[error("policy `{0}` has nothing to go back to: no other component of it has run since the gateway started")]
    Nothing(String),
}

impl Engine {
    /// Puts the component back, with its settings, that ran before the one that runs. What lies in the folder is not tried again until it changes or the gateway
    /// starts anew. Waits while a component is being loaded: not for the call path.
    ///
    /// `name` is a policy's name, or that of its file.
    ///
    /// # Errors
    /// When there is no such policy, or nothing to go back to.
    pub fn roll_back(&self, name: &str) -> Result<RolledBack, NoWayBack> {
        let mut entries = self.entries();
        let is_meant = |file: &str, entry: &Entry| entry.name == name || file == name || file.strip_suffix(".wasm") == Some(name);
        // Of several files with one name, that which runs.
        let meant = entries.iter_mut().filter(|(file, entry)| is_meant(file, entry)).min_by_key(|(_, entry)| entry.running.is_none());
        let Some((file, entry)) = meant else {
            let known: Vec<&str> = entries.values().map(|entry| entry.name.as_str()).collect();
            let near = if known.is_empty() { "; there is none".to_owned() } else { nearest(name, &known) };
            return Err(NoWayBack::Unknown { name: name.to_owned(), near });
        };
        let nothing = || NoWayBack::Nothing(entry.name.clone());
        let from = entry.running.clone().ok_or_else(nothing)?;
        let to = entry.back.before.clone().ok_or_else(nothing)?;
        let done =
            RolledBack { file: file.clone(), name: entry.name.clone(), from: Which::clone(&from.which), to: Which::clone(&to.which) };
        let reason = format!("the operator took back {}", shown(&done.from));
        tracing::warn!(file, policy = entry.name, reason, hash = done.to.hash, "policy rolled back");
        // Whatever was sound before the one that was taken back still is.
        let back = Back { before: entry.back.sound.clone(), sound: entry.back.sound.clone() }.without(&to);
        entry.shadow = None;
        entry.take_back(to, back, Rejection::new(reason, format!("put another component into {file}: this one is not tried again before")));
        self.put_in_force(&entries);
        Ok(done)
    }

    /// Puts the components back that ran before one that fails; returns the policies that stay and are left out.
    pub(super) fn take_back(&self, now: Instant) -> Vec<(String, Arc<Policy>)> {
        let mut entries = self.entries();
        let (mut left_out, mut changed) = (Vec::new(), false);
        for (file, entry) in entries.iter_mut() {
            let Some(policy) = entry.running.clone() else { continue };
            let runs = now.saturating_duration_since(policy.loaded);
            if runs >= PROBATION {
                entry.back.sound = None;
            }
            let Some((_, breaker)) = policy.breakers.open() else { continue };
            let Some(sound) = entry.back.sound.take() else {
                left_out.push((file.clone(), policy));
                continue;
            };
            let reason = format!("it was taken back {} s after it was swapped in: {}", runs.as_secs(), breaker.reason());
            tracing::error!(file, policy = entry.name, reason, hash = hex(&sound.hash), "policy rolled back");
            let remedy = "mend the component: this one is not tried again until the file changes or the gateway starts anew";
            entry.take_back(sound, Back::default(), Rejection::new(reason, remedy));
            changed = true;
        }
        if changed {
            self.put_in_force(&entries);
        }
        left_out
    }
}

fn shown(which: &Which) -> String {
    let short = which.hash.get(..8).unwrap_or(&which.hash);
    which.version.as_ref().map_or_else(|| format!("the component {short}"), |version| format!("version {version} ({short})"))
}
