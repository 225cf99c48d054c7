//! A policy that asks the host while it starts, before there is anything to decide, and decides by what it was told then.

use holdfast_policy::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

struct Early;

static KNOWN: AtomicBool = AtomicBool::new(false);

/// Runs when an instance starts.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    KNOWN.store(directory::endpoint_by_extension("1005").is_some(), Relaxed);
}

impl RoutingPolicy for Early {
    fn route(_facts: CallFacts, _call: &Call) -> Decision {
        Decision::refuse(403, if KNOWN.load(Relaxed) { "1005 was there" } else { "1005 was not there" }, "")
    }
}

export!(Early: routing);
