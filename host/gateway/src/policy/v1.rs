//! Version 0.1 of the contract: the only place where its types meet those of `switch`. Facts go out here, decisions come in and are checked.

pub(super) mod answers;
pub(super) mod facts;
pub(super) mod host;

mod generated {
    #![allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        clippy::restriction,
        reason = "written by the macro"
    )]
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "policy",
        imports: { default: trappable },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "holdfast:policy/calls.call": crate::policy::v1::CurrentCall,
            "holdfast:policy/registrations.registration": crate::policy::v1::CurrentRegistration,
        },
    });
}

pub(super) use generated::{exports::holdfast::policy as exports, holdfast::policy as imports};

/// Stands for the call of the decision that is being made. A store decides one thing at a time, so the number in the guest's handle says nothing.
#[allow(unreachable_pub, reason = "the macro re-exports it")]
pub struct CurrentCall;

/// Stands for the registration of the decision that is being made.
#[allow(unreachable_pub, reason = "the macro re-exports it")]
pub struct CurrentRegistration;

/// The package, as names of imports and exports begin.
pub(super) const PACKAGE: &str = "holdfast:policy/";

/// The version that this host speaks.
pub(super) const VERSION: &str = "0.1.2";

/// The hooks, by their interfaces.
pub(super) const HOOKS: [&str; 5] = ["registration", "routing", "emergency", "observation", "configuration"];

/// An interface that components may import.
pub(super) struct Interface {
    pub(super) name: &'static str,
    /// Its functions, as the component model writes them: `[method]call.header`.
    pub(super) functions: &'static [&'static str],
}

// `INTERFACES`, written by `build.rs` from the contract.
include!(concat!(env!("OUT_DIR"), "/interfaces.rs"));

/// Interfaces that every component may import: they are about the thing being decided.
pub(super) const ALWAYS_GRANTED: [&str; 3] = ["types", "calls", "registrations"];

/// Interfaces that are granted where the operator says nothing.
pub(super) const GRANTED_BY_DEFAULT: [&str; 7] = ["directory", "licences", "trunks", "locations", "settings", "log", "clock"];

/// Every interface that can be granted.
pub(super) const GRANTABLE: [&str; 8] = ["directory", "licences", "trunks", "locations", "settings", "log", "clock", "memory"];
