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
    /// Targets that one stage may ring at once, and forks that are followed of one target.
    pub forks: usize,
    /// Stages of one plan.
    pub stages: usize,
    /// How often one call may be forwarded; once more is refused with 482.
    pub forwards: usize,
    /// Transfers that one call may see; one more is refused with 403.
    pub transfers: usize,
    /// Requests of one side that may wait for the other side's answer inside one call; one more is refused with 500 and Retry-After.
    pub requests_in_call: usize,
    /// Early dialogs that one target may open; provisional responses of further ones are not heard.
    pub early_dialogs: usize,
    /// INVITEs a second from one source, as many at once; more is answered 503, then dropped. Trunks, calls for help and calls that are up are exempt.
    pub source_calls: usize,
    /// The same for REGISTER.
    pub source_registrations: usize,
    /// The same for all other requests, ten times as many at once.
    pub source_others: usize,
    /// Subscriptions of one endpoint; one more is refused with 403.
    pub subscriptions_per_endpoint: usize,
    /// Subscriptions of the whole site; one more is refused with 503 and Retry-After.
    pub subscriptions: usize,
    /// Shortest subscription granted; less is refused with 423 and Min-Expires.
    pub subscription_min: Duration,
    /// Longest subscription granted, and what is granted when nothing is asked; more is shortened to this.
    pub subscription_max: Duration,
    /// Calls at a time per shard that the gateway places itself and in which nobody talks yet; one more is refused. Calls for help are exempt.
    pub placed: usize,
    /// Callers for help that are remembered at a time, to be called back; of more the oldest is forgotten.
    pub callbacks: usize,
    /// Shortest registration granted; less is refused with 423 and Min-Expires.
    pub expires_min: Duration,
    /// Longest registration granted; more is shortened to this.
    pub expires_max: Duration,
    /// Granted when the phone asks for nothing.
    pub expires_default: Duration,
    /// How long a phone that found no licence seat keeps its turn after it last asked; one that is registered for emergency calls only, at least as long as
    /// that lasts.
    pub seat_wait: Duration,
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
            requests_in_call: 32,
            early_dialogs: 16,
            // No phone comes near, and a proxy with a site's phones behind it stays below.
            source_calls: 5_000,
            source_registrations: 5_000,
            // A phone with two hundred keys asks twice for each when it starts.
            source_others: 100,
            subscriptions_per_endpoint: 500,
            subscriptions: 100_000,
            subscription_min: Duration::from_secs(60),
            subscription_max: Duration::from_secs(3600),
            placed: 100,
            callbacks: 1_000,
            expires_min: Duration::from_secs(20),
            expires_max: Duration::from_secs(3600),
            expires_default: Duration::from_secs(300),
            // Phones that are refused ask again within a quarter of an hour.
            seat_wait: Duration::from_secs(900),
            ring: Duration::from_secs(60),
            ring_total: Duration::from_secs(180),
            emergency_trunk_wait: Duration::from_secs(3),
            trunk_wait: Duration::from_secs(4),
        }
    }
}

/// Provisional responses of one early dialog that wait until the caller has acknowledged the one before; further ones are not passed on.
pub(crate) const PROVISIONALS_WAITING: usize = 8;

/// Seconds that phones ring at most, as the contract with policies has it, too.
pub const RING_SECONDS: u32 = 600;

/// Octets of a phone's settings file; a larger one is not read.
pub(crate) const SETTINGS_OCTETS: usize = 4 << 20;

/// What is said about one settings file at most; one more finding says that there are more.
pub(crate) const SETTINGS_FINDINGS: usize = 100;

/// Characters of a value in a settings file, as J100 phones take them.
pub(crate) const SETTINGS_VALUE: usize = 255;

/// Survivable mode, where the configuration does not say.
pub mod survivable {
    use std::time::Duration;

    /// What a registration lasts, on average.
    pub const EXPIRES: Duration = Duration::from_secs(60);
    /// How far one may differ from that, in hundredths of it.
    pub const SPREAD_PERCENT: u32 = 10;
}

/// Times of licence pools.
pub mod licence {
    use std::time::Duration;

    /// How long a pool is used as before when it has ended or was made smaller, and its operator does not say otherwise.
    pub const GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
    /// Turns of one pool that outlive a restart: of more, the last wait anew.
    pub(crate) const TURNS: usize = 10_000;
    /// How often an operator is told of the same trouble.
    pub(crate) const ALARM_EVERY: Duration = Duration::from_secs(24 * 3600);
}

/// What the store may keep of endpoints and users; more is refused to whoever runs the gateway.
pub mod kept {
    /// Endpoints, and as many users.
    pub const HELD: usize = 250_000;
    /// Edits in one request: all of them are made, or none.
    pub const EDITS: usize = 250_000;
    /// Endpoints of one user: as many as ring at once.
    pub const PHONES: usize = 16;
    /// Users of one endpoint.
    pub const USERS: usize = 32;
    /// Direct numbers of one user.
    pub const NUMBERS: usize = 32;
    /// Keys of one endpoint: those of a phone with three expansion modules.
    pub const KEYS: usize = 128;
    /// Characters of an id, extension, username, number.
    pub const WORD: usize = 64;
    /// Characters of a name or password.
    pub const NAME: usize = 128;
    /// Drills, with their reports: of more the oldest is forgotten.
    pub const DRILLS: usize = 100;
    /// Characters of an endpoint's settings text.
    pub const SETTINGS: usize = 16 << 10;
}
