//! A site in the process: a policy decides in an ordinary `cargo test`, with the same types and without WebAssembly.
//!
//! ```
//! use holdfast_policy::{testing::{Endpoint, Site}, *};
//!
//! struct Night;
//!
//! impl RoutingPolicy for Night {
//!     fn route(facts: CallFacts, _call: &Call) -> Decision {
//!         let night = clock::now_ms() / 3_600_000 % 24 >= 18;
//!         if night && facts.called == "100" { Decision::ring("night-desk") } else { Decision::pass() }
//!     }
//! }
//! export!(Night: routing);
//!
//! let site = Site::new().endpoint(Endpoint::new("night-desk", "190")).at("2026-01-05T22:00:00Z");
//! assert_eq!(site.route::<Night>(&testing::Call::to("100")), Decision::ring("night-desk"));
//! assert_eq!(site.at("2026-01-05T12:00:00Z").route::<Night>(&testing::Call::to("100")).to_string(), "pass");
//! ```
//!
//! Three ways to test, from the cheapest:
//!
//! - [`cases`] asks the policy every case of the file that `holdfast policy test` reads: one line in a `#[test]`.
//! - [`keeps_the_contract`] makes up sites, calls and registrations, and looks that the policy neither panics nor answers against the contract.
//! - a [`Site`] of the test's own, for what needs more than words to say. Helper functions that ask the host run inside [`Site::ask`].
//!
//! What the host's interfaces answer here is what the gateway answers; the policies in `tests/guests` of Holdfast are asked the same cases on both
//! sides, so that this stays so. The gateway's bounds of time and memory are not kept here: run the component through `holdfast policy test` as well.

mod answers;
mod cases;
#[doc(hidden)]
pub mod host;
mod made_up;
mod policy;
mod site;
mod subject;

pub use cases::{CaseResult, cases, run_cases};
pub use made_up::{calls, calls_for_help, keeps_the_contract, keeps_the_contract_at, registrations, sites};
pub use policy::{Hooks, Policy};
pub use site::{Endpoint, Location, Outside, Site, Trunk};
pub use subject::{Call, Registration};

use site::State;
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};
use subject::Subject;

/// Questions to the host in one decision, as in the gateway where the operator says nothing.
const QUESTIONS_MAX: u32 = 10_000;
/// Log lines of one decision.
const LINES_MAX: usize = 16;

/// How a policy failed to decide. The gateway would log it, count it and go on without the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It panicked, with this message.
    Panicked(String),
    /// What it answered breaks a rule of the contract.
    Nonsense(String),
    /// It does not have the hook.
    Absent,
}

/// In the words of the gateway.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "trapped: {message}"),
            Self::Nonsense(what) => write!(f, "answered nonsense: {what}"),
            Self::Absent => f.write_str("is not loaded"),
        }
    }
}

impl std::error::Error for Fault {}

/// The decision that is being made.
struct Moment {
    site: Rc<State>,
    subject: Subject,
    questions: Cell<u32>,
    lines: Cell<usize>,
}

thread_local! {
    static MOMENTS: RefCell<Vec<Rc<Moment>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `decide` with `site` as the host and `subject` as what is decided.
fn at_site<T>(site: &Rc<State>, subject: Subject, decide: impl FnOnce() -> T) -> T {
    /// Takes the moment away, also when a policy panics.
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            MOMENTS.with_borrow_mut(Vec::pop);
        }
    }
    let moment = Rc::new(Moment { site: Rc::clone(site), subject, questions: Cell::new(QUESTIONS_MAX), lines: Cell::new(LINES_MAX) });
    MOMENTS.with_borrow_mut(|moments| moments.push(moment));
    let _over = Over;
    decide()
}

/// The decision that is being made, for one question of the policy.
#[track_caller]
#[allow(clippy::panic, reason = "a mistake of a test, told where it was made")]
fn asked() -> Rc<Moment> {
    let moment = MOMENTS.with_borrow(|moments| moments.last().map(Rc::clone));
    let Some(moment) = moment else {
        panic!(
            "the host was asked where there is none: let a `holdfast_policy::testing::Site` ask the policy, or run the code in `Site::ask`"
        )
    };
    match moment.questions.get().checked_sub(1) {
        Some(left) => moment.questions.set(left),
        None => panic!("went over its bound: more than {QUESTIONS_MAX} questions to the host in one decision"),
    }
    moment
}

/// Which instance of the policy runs: each site has its own; 0 outside of every site.
pub(crate) fn instance() -> u64 {
    MOMENTS.with_borrow(|moments| moments.last().map_or(0, |moment| moment.site.instance))
}
