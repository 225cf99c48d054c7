//! Policies: WebAssembly components, checked when they arrive, swapped while calls run, bounded while they decide.
//!
//! The folder is the chain: `10-emergency.wasm`, `20-licence.wasm`… in the order of their names, each with an optional `NN-name.toml` and `NN-name.cases.toml`. [`Engine`]
//! follows the folder and keeps the chain in force; each shard has a [`Runner`], which owns one instance of each policy and follows the chain at its
//! next decision. A fault is never a "no": it is logged, counted, and handled as the operator said ([`OnFault`]).
//!
//! | file | what it does |
//! |---|---|
//! | `engine`, `entry`, `watch`, `folder` | the chain in force, and how it follows the folder |
//! | `load`, `linking`, `options`, `trial`, `cases` | whether a file may join the chain |
//! | `runner`, `said` | the decisions of one shard, and their words |
//! | `shadow` | a changed component beside the one that runs |
//! | `breaker` | when a policy that fails is left out, and when it comes back |
//! | `rollback` | the way back to the component before |
//! | `metrics` | what is counted |
//! | `instance`, `machine` | one component within its bounds |
//! | `stock`, `aside` | instances prepared ahead of the calls; threads for decisions that take long |
//! | `cache` | compiled code, kept over restarts |
//! | `tool`, `bench` | a component tried and timed by its author, without a gateway |
//! | `v1` | the contract's types, the host's interfaces, the check of every answer |
//!
//! Nothing outside this folder names the WebAssembly engine.

mod aside;
mod bench;
mod breaker;
mod cache;
mod cases;
mod decided;
mod engine;
mod entry;
mod folder;
mod instance;
mod linking;
mod load;
mod machine;
mod memory;
mod metrics;
mod options;
mod replay;
mod rollback;
mod runner;
mod said;
mod shadow;
mod shipped;
mod stock;
mod tool;
mod trace;
mod trial;
mod v1;
mod watch;

pub use bench::{Benched, BenchedCase, Latency, bench_file};
pub use cases::CaseResult;
pub(crate) use decided::Decided;
pub use engine::{Check, Engine, EngineSettings, PolicyState, PolicyStatus, Problem};
pub use load::Rejection;
pub use metrics::{Figures, PolicyFigures};
pub use options::{Isolation, OnFault};
pub use replay::{Candidate, Player, Replayed};
pub use rollback::{NoWayBack, RolledBack, Which};
pub use runner::Runner;
pub use shadow::{Difference, ShadowStatus};
pub use tool::{Tried, cases_beside, try_file};

use std::{sync::Arc, time::Duration};
use switch::decision::PolicyFault;

/// One policy's part in a decision, for log, ladder and metrics.
#[derive(Clone, Debug)]
pub struct Step {
    /// The policy's name: the file name without number and ending, e.g. `licence`.
    pub policy: Arc<str>,
    /// Which component of that name.
    pub component: Arc<Which>,
    /// What it was asked.
    pub hook: Hook,
    /// In words: `pass`, `route desk-2`, `refuse 404 Not Found`, `admit site`, or the fault.
    pub outcome: String,
    /// It left the decision to the next policy of its own will; one that failed did not.
    pub passed: bool,
    /// Set when it failed.
    pub fault: Option<PolicyFault>,
    /// Time from question to answer; for one that took long, what it waited for a thread included.
    pub took: Duration,
}

/// What a policy can be asked: an interface of the contract that it exports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// May this phone register?
    Registration,
    /// Where does this call go?
    Routing,
    /// By which trunks does this call for help go out?
    Emergency,
    /// This call has ended.
    Observation,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Registration, Self::Routing, Self::Emergency, Self::Observation];

    /// The interface's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Routing => "routing",
            Self::Emergency => "emergency",
            Self::Observation => "observation",
        }
    }
}

/// `; the nearest is …` where one of `known` is near.
fn nearest(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), known)).min().filter(|(distance, _)| *distance <= 3);
    near.map_or_else(|| format!("; there are {}", known.join(", ")), |(_, known)| format!("; the nearest is `{known}`"))
}
