//! Write a Holdfast policy in about ten lines.
//!
//! ```
//! use holdfast_policy::*;
//!
//! struct Night;
//!
//! impl RoutingPolicy for Night {
//!     fn route(facts: CallFacts, _call: &Call) -> Decision {
//!         if facts.called == "100" { Decision::ring("night-desk") } else { Decision::pass() }
//!     }
//! }
//!
//! export!(Night: routing);
//! ```
//!
//! A policy is a type that implements one trait for each hook it wants ([`RegistrationPolicy`], [`RoutingPolicy`], [`EmergencyPolicy`],
//! [`ObservationPolicy`], [`ConfigurationPolicy`]) and says so with [`export!`]. What a hook promises stands in the contract, `wit/`, whose sentences
//! are repeated on every item here. The host's interfaces are the modules [`directory`], [`licences`], [`trunks`], [`locations`], [`settings`],
//! [`log`], [`clock`] and [`memory`]; a component needs a grant for those that it calls, and only for those.
//!
//! Decisions are tested with an ordinary `cargo test`: see [`testing`].
//!
//! A policy has no threads, no files, no clock of its own and about 5 ms. What it builds during a decision is gone after it; what it reads once and
//! wants to keep, it puts into a [`Kept`].

#[cfg(target_arch = "wasm32")]
mod arena;
mod kept;
mod reading;
mod said;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod words;

#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    reason = "generated code"
)]
pub mod bindings {
    include!("generated/bindings.rs");
}

pub use bindings::{
    exports::holdfast::policy::{
        configuration::{Guest as ConfigurationPolicy, Problem},
        emergency::{EmergencyPlan, Guest as EmergencyPolicy},
        observation::{CallRecord, Guest as ObservationPolicy},
        registration::{Admission, Guest as RegistrationPolicy, SeatRequest, WhenFull},
        routing::{Amendments, Decision, Guest as RoutingPolicy},
    },
    holdfast::policy::{
        calls::{Call, CallFacts, Caller},
        clock, directory, licences, locations, log, memory,
        registrations::{Registration, RegistrationFacts},
        settings::{self, Setting, Value},
        trunks,
        types::{Attribute, CallKind, NextOn, Plan, Refusal, Stage, Target, TrunkTarget},
    },
};
pub use kept::Kept;
pub use reading::Settings;

/// What [`export!`] writes into a component, so that the component is built with exactly the hooks that it has.
#[doc(hidden)]
pub mod worlds {
    /// The type of a component with the hook `registration`.
    pub const REGISTRATION: [u8; include_bytes!("generated/registration.world").len()] = *include_bytes!("generated/registration.world");
    /// The type of a component with the hook `routing`.
    pub const ROUTING: [u8; include_bytes!("generated/routing.world").len()] = *include_bytes!("generated/routing.world");
    /// The type of a component with the hook `emergency`.
    pub const EMERGENCY: [u8; include_bytes!("generated/emergency.world").len()] = *include_bytes!("generated/emergency.world");
    /// The type of a component with the hook `observation`.
    pub const OBSERVATION: [u8; include_bytes!("generated/observation.world").len()] = *include_bytes!("generated/observation.world");
    /// The type of a component with the hook `configuration`.
    pub const CONFIGURATION: [u8; include_bytes!("generated/configuration.world").len()] = *include_bytes!("generated/configuration.world");
}

/// Makes a component of a policy: `export!(Type: hook, hook)`, with the hooks `registration`, `routing`, `emergency`, `observation` and
/// `configuration`. The type implements the trait of each hook that is named. Once in a crate.
///
/// What is missing is told when the crate is compiled, together with what to write:
///
/// ```compile_fail
/// struct Night;
/// // error: `night` is not a hook; the hooks are registration, routing, emergency, observation and configuration
/// holdfast_policy::export!(Night: night);
/// ```
///
/// ```compile_fail
/// struct Night;
/// // error: `Night` does not have the hook `routing`: it does not implement `RoutingPolicy`
/// holdfast_policy::export!(Night: routing);
/// ```
#[macro_export]
macro_rules! export {
    ($policy:ident : $($hook:ident),+ $(,)?) => {
        $( $crate::export_hook!($policy $hook); )+
        $crate::export_native!($policy $($hook)+);
    };
    ($policy:ident $(: $(,)?)?) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($policy), "` is exported without a hook: write `export!(", ::core::stringify!($policy),
            ": routing);` with one or more of registration, routing, emergency, observation and configuration"
        ));
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "write `export!(Type: hook, hook);` with one or more of registration, routing, emergency, observation and configuration"
        );
    };
}

/// One hook of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_hook {
    ($policy:ident registration) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::exports::holdfast::policy::registration::__export_holdfast_policy_registration_0_1_2_cabi!(
            $policy with_types_in $crate::bindings::exports::holdfast::policy::registration);
        $crate::export_world!("component-type:holdfast-registration" REGISTRATION);
    };
    ($policy:ident routing) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::exports::holdfast::policy::routing::__export_holdfast_policy_routing_0_1_2_cabi!(
            $policy with_types_in $crate::bindings::exports::holdfast::policy::routing);
        $crate::export_world!("component-type:holdfast-routing" ROUTING);
    };
    ($policy:ident emergency) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::exports::holdfast::policy::emergency::__export_holdfast_policy_emergency_0_1_2_cabi!(
            $policy with_types_in $crate::bindings::exports::holdfast::policy::emergency);
        $crate::export_world!("component-type:holdfast-emergency" EMERGENCY);
    };
    ($policy:ident observation) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::exports::holdfast::policy::observation::__export_holdfast_policy_observation_0_1_2_cabi!(
            $policy with_types_in $crate::bindings::exports::holdfast::policy::observation);
        $crate::export_world!("component-type:holdfast-observation" OBSERVATION);
    };
    ($policy:ident configuration) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::exports::holdfast::policy::configuration::__export_holdfast_policy_configuration_0_1_2_cabi!(
            $policy with_types_in $crate::bindings::exports::holdfast::policy::configuration);
        $crate::export_world!("component-type:holdfast-configuration" CONFIGURATION);
    };
    ($policy:ident $other:ident) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($other),
            "` is not a hook; the hooks are registration, routing, emergency, observation and configuration"
        ));
    };
}

/// On any other target there is nothing to export; the traits must be there all the same, and tests learn which hooks there are.
#[doc(hidden)]
#[macro_export]
macro_rules! export_native {
    ($policy:ident $($hook:ident)+) => {
        #[cfg(not(target_arch = "wasm32"))]
        impl $crate::testing::Policy for $policy {
            const HOOKS: $crate::testing::Hooks = {
                let mut hooks = $crate::testing::Hooks::NONE;
                $( $crate::export_function!(hooks $policy $hook); )+
                hooks
            };
        }
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::testing::Hooks = <$policy as $crate::testing::Policy>::HOOKS;
    };
}

/// The function of one hook, for tests.
#[doc(hidden)]
#[macro_export]
macro_rules! export_function {
    ($hooks:ident $policy:ident registration) => { $crate::export_function!($hooks registration <$policy as $crate::RegistrationPolicy>::admit) };
    ($hooks:ident $policy:ident routing) => { $crate::export_function!($hooks routing <$policy as $crate::RoutingPolicy>::route) };
    ($hooks:ident $policy:ident emergency) => { $crate::export_function!($hooks emergency <$policy as $crate::EmergencyPolicy>::route) };
    ($hooks:ident $policy:ident observation) => { $crate::export_function!($hooks observation <$policy as $crate::ObservationPolicy>::ended) };
    ($hooks:ident $policy:ident configuration) => { $crate::export_function!($hooks configuration <$policy as $crate::ConfigurationPolicy>::check) };
    // Told by `export_hook!`.
    ($hooks:ident $policy:ident $other:ident) => {};
    ($hooks:ident $hook:ident $function:expr) => {
        ::core::assert!($hooks.$hook.is_none(), ::core::concat!("the hook `", ::core::stringify!($hook), "` is named twice"));
        $hooks.$hook = Some($function);
    };
}

/// The section that tells the component encoder about one hook.
#[doc(hidden)]
#[macro_export]
macro_rules! export_world {
    ($section:literal $world:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(link_section = $section)]
            static WORLD: [u8; $crate::worlds::$world.len()] = $crate::worlds::$world;
        };
    };
}
