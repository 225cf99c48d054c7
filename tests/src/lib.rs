//! The world around a gateway, for tests.

pub mod agents;
pub mod ladder;
pub mod net;
pub mod node;
pub mod phone;
