//! The world around a gateway, for tests.

pub mod agents;
pub mod conformance;
pub mod interop;
pub mod ladder;
pub mod net;
pub mod node;
pub mod phone;
pub mod simulation;
pub mod store;
