//! Trunks at run time: where their addresses resolved to, their health, and the channels in use.
//! SKELETON: signatures are the contract.

use sip::{transport::Flow};
use std::sync::Arc;

/// One call's place on a trunk; given back when dropped, however the call ends.
#[derive(Debug)]
pub struct Channel(pub(crate) Arc<str>);

/// All trunks of a site.
#[derive(Debug)]
pub struct Trunks {}

impl Trunks {
    /// No trunks.
    #[must_use]
    pub fn new() -> Self { todo!() }
    /// Stores where a trunk's URI resolved to (the shell resolves off the call path), in order of preference. An empty list = it does not resolve.
    pub fn set_flows(&self, _trunk: &str, _flows: Vec<Flow>) { todo!() }
    /// The ways to a trunk, best first.
    #[must_use]
    pub fn flows(&self, _trunk: &str) -> Arc<[Flow]> { todo!() }
    /// Takes a channel. Limits per trunk come with trunk settings; 0.1 counts only.
    #[must_use]
    pub fn take(&self, _trunk: &str) -> Channel { todo!() }
    /// Channels in use.
    #[must_use]
    pub fn in_use(&self, _trunk: &str) -> u32 { todo!() }
    /// Notes that a call over the trunk could not be delivered, or could: health as policies see it.
    pub fn note(&self, _trunk: &str, _reached: bool) { todo!() }
    /// Whether the last attempts reached it (unknown counts as reachable).
    #[must_use]
    pub fn healthy(&self, _trunk: &str) -> bool { todo!() }
}
