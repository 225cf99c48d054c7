//! Every limit of calls, bindings and seats, in one place.

use std::time::Duration;

/// What the site may hold at most. Each refusal because of one is counted and logged by the shell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls at a time per shard; further INVITEs get 503 with Retry-After. Emergency calls are exempt.
    pub calls: usize,
    /// Bindings (contacts) per endpoint; one more is refused with 403.
    pub bindings_per_endpoint: usize,
    /// Bindings of the whole site.
    pub bindings: usize,
    /// Octets that one binding may need (contact, parameters, Path, Call-ID); more is refused with 400.
    pub binding_bytes: usize,
    /// Targets that one stage may ring at once.
    pub forks: usize,
    /// Stages of one plan.
    pub stages: usize,
    /// How often one call may be forwarded; once more is refused with 482.
    pub forwards: usize,
    /// Transfers that one call may see; one more is refused with 403.
    pub transfers: usize,
    /// Shortest registration granted; less is refused with 423 and Min-Expires.
    pub expires_min: Duration,
    /// Longest registration granted; more is shortened to this.
    pub expires_max: Duration,
    /// Granted when the phone asks for nothing.
    pub expires_default: Duration,
    /// How long a stage rings when its policy does not say.
    pub ring: Duration,
    /// How long a call may ring in all.
    pub ring_total: Duration,
    /// How long an emergency trunk may stay without a provisional response before the next is tried.
    pub emergency_trunk_wait: Duration,
    /// How long any other trunk may stay without a provisional response before the next is tried.
    pub trunk_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 20_000,
            bindings_per_endpoint: 10,
            bindings: 100_000,
            binding_bytes: 2048,
            forks: 16,
            stages: 16,
            forwards: 5,
            transfers: 20,
            expires_min: Duration::from_secs(20),
            expires_max: Duration::from_secs(3600),
            expires_default: Duration::from_secs(300),
            ring: Duration::from_secs(60),
            ring_total: Duration::from_secs(180),
            emergency_trunk_wait: Duration::from_secs(3),
            trunk_wait: Duration::from_secs(4),
        }
    }
}
