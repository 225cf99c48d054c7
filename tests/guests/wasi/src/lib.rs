//! A policy that imports WASI, as script engines do, and refuses every call with what it could get of the host.

use holdfast_policy::*;

#[link(wasm_import_module = "wasi:cli/environment@0.2.0")]
unsafe extern "C" {
    #[link_name = "get-environment"]
    fn get_environment(list: *mut [usize; 2]);
    #[link_name = "get-arguments"]
    fn get_arguments(list: *mut [usize; 2]);
}

struct Wasi;

impl RoutingPolicy for Wasi {
    fn route(_facts: CallFacts, _call: &Call) -> Decision {
        let (mut environment, mut arguments) = ([0; 2], [0; 2]);
        // SAFETY: the canonical ABI returns a list as its address and length through the pointer.
        unsafe {
            get_environment(&raw mut environment);
            get_arguments(&raw mut arguments);
        }
        Decision::refuse(403, "Looked around", format!("{} variables, {} arguments", environment[1], arguments[1]))
    }
}

export!(Wasi: routing);
