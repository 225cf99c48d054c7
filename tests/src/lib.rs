//! The world around a gateway, for tests.

pub mod agents;
