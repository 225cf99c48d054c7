//! `[limits]`: every limit of the gateway by its name in the file, with its default, bounds and meaning.

use super::reader::Table;
use std::{ops::RangeInclusive, time::Duration};

/// All limits. The two inner crates have their own; the rest are the shell's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages and transactions.
    pub sip: sip::Limits,
    /// Calls, bindings, forks, ring times.
    pub site: switch::Limits,
    /// Threads that carry calls.
    pub shards: usize,
    /// Threads that carry stream connections, the store, names and reloads.
    pub threads: usize,
    /// Threads for policies that take longer than half a millisecond.
    pub policy_threads: usize,
    /// Messages that may wait for one shard.
    pub shard_queue: usize,
    /// Datagrams taken up in one turn, before the timers get theirs. Sixteen times as many are looked at: see `driver`.
    pub datagram_batch: usize,
    /// Receive buffer asked of the kernel per UDP socket, octets.
    pub datagram_buffer: usize,
    /// Stream connections at a time.
    pub connections: usize,
    /// Stream connections at a time from one address.
    pub connections_per_source: usize,
    /// TLS handshakes at a time.
    pub handshakes: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a begun message may stay unfinished, and how long a new connection may stay silent.
    pub half_message: Duration,
    /// How long a connection that has spoken may stay silent.
    pub idle: Duration,
    /// Messages that may wait to be written to one connection.
    pub write_queue: usize,
    /// How long connecting to a trunk may take.
    pub connect: Duration,
    /// How long a nonce may be used.
    pub nonce: Duration,
    /// Nonce counts remembered against replay.
    pub nonce_counts: usize,
    /// Registrations that may wait for the store.
    pub store_queue: usize,
    /// How long the store gathers changes into one commit.
    pub store_wait: Duration,
    /// Lines that the history of an endpoint or user has at most; the oldest go first.
    pub store_history: usize,
    /// Records of calls that may wait to be written, and as many to be stored.
    pub records_queue: usize,
    /// Calls for help of which alarms are kept; of more the oldest that were acknowledged go first.
    pub alarms: usize,
    /// Attempts of one way of telling at a time.
    pub notify_attempts: usize,
    /// How long one attempt may take.
    pub notify_attempt: Duration,
    /// The longest pause between two attempts.
    pub notify_pause: Duration,
    /// How long telling is tried.
    pub notify_for: Duration,
    /// How long a registration waits for the store before it is answered as while that cannot be written.
    pub store_patience: Duration,
    /// How often the names of trunks are resolved again.
    pub resolve_every: Duration,
    /// Requests to the REST API at a time; more wait.
    pub rest_requests: usize,
    /// Octets of a request's body there; more is refused with 413.
    pub rest_body: usize,
    /// Wrong tokens a minute from one address; then it is answered 429 for the rest of the minute.
    pub rest_failures: usize,
    /// Items of a part of a list there; longer wishes are shortened.
    pub rest_page: usize,
    /// Phones that fetch their settings at a time; more wait.
    pub provision_requests: usize,
    /// Fetches a minute from one address (of IPv6: one network of 64 bits); then it is answered 429 for the rest of the minute.
    pub provision_fetches: usize,
    /// Refused fetches of phones' own files a minute from one address; then it is told 429 of all of them for the rest of the minute.
    pub provision_refusals: usize,
    /// How long a one-time token is good.
    pub provision_token: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sip: sip::Limits::default(),
            site: switch::Limits::default(),
            // One thread carries several thousand calls a second, and a second one makes most messages change threads, which
            // costs a wake-up each. More are worth it only when one core is really full.
            shards: 1,
            threads: 2,
            policy_threads: 2,
            shard_queue: 16_384,
            datagram_batch: 64,
            datagram_buffer: 4 << 20,
            connections: 20_000,
            connections_per_source: 2_000,
            handshakes: 512,
            handshake: Duration::from_secs(10),
            half_message: Duration::from_secs(8),
            idle: Duration::from_secs(3_900),
            write_queue: 256,
            connect: Duration::from_secs(3),
            nonce: Duration::from_secs(300),
            nonce_counts: 200_000,
            store_queue: 16_384,
            store_wait: Duration::from_millis(5),
            // Some years of an endpoint that is changed every month.
            store_history: 200,
            records_queue: 8_192,
            alarms: 1_000,
            notify_attempts: 8,
            notify_attempt: Duration::from_secs(10),
            notify_pause: Duration::from_secs(60),
            notify_for: Duration::from_secs(86_400),
            store_patience: Duration::from_secs(2),
            resolve_every: Duration::from_secs(60),
            rest_requests: 16,
            // Ten thousand lines of a table with keys and settings.
            rest_body: 16 << 20,
            rest_failures: 10,
            rest_page: 1_000,
            provision_requests: 64,
            // A phone asks for about ten files when it starts, and a site may stand behind one address.
            provision_fetches: 1_200,
            provision_refusals: 60,
            provision_token: Duration::from_secs(86_400),
        }
    }
}

/// One limit as `[limits]` knows it.
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What may be written.
    pub range: RangeInclusive<u64>,
    /// What it bounds.
    pub meaning: &'static str,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

impl Key {
    /// The value that is meant when the file does not say.
    #[must_use]
    pub fn default(&self) -> u64 {
        (self.get)(&Limits::default())
    }
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

macro_rules! number {
    ($name:literal, $range:expr, $($field:ident).+, $meaning:literal) => {
        Key { name: $name, range: $range, meaning: $meaning, get: |l| wide(l.$($field).+), set: |l, n| l.$($field).+ = count(n) }
    };
}
macro_rules! seconds {
    ($name:literal, $range:expr, $($field:ident).+, $meaning:literal) => {
        Key { name: $name, range: $range, meaning: $meaning, get: |l| l.$($field).+.as_secs(), set: |l, n| l.$($field).+ = Duration::from_secs(n) }
    };
}
macro_rules! milliseconds {
    ($name:literal, $range:expr, $($field:ident).+, $meaning:literal) => {
        Key { name: $name, range: $range, meaning: $meaning, get: |l| millis(l.$($field).+), set: |l, n| l.$($field).+ = Duration::from_millis(n) }
    };
}

/// Every limit, in the order of the sample configuration.
pub const KEYS: &[Key] = &[
    number!("message_bytes", 1_200..=1_048_576, sip.message_bytes, "octets of one message, headers and body"),
    number!("headers", 16..=4_096, sip.headers, "header lines of one message"),
    number!("server_transactions", 100..=10_000_000, sip.server_transactions, "requests being answered, per shard"),
    number!("client_transactions", 100..=10_000_000, sip.client_transactions, "requests of our own without an answer yet, per shard"),
    number!("calls", 1..=1_000_000, site.calls, "calls at a time, per shard; emergency calls are exempt"),
    number!("bindings", 1..=10_000_000, site.bindings, "contacts registered at a time"),
    number!("bindings_per_endpoint", 1..=1_000, site.bindings_per_endpoint, "contacts registered at a time for one endpoint"),
    number!("forks", 1..=64, site.forks, "phones that one stage of a call rings at once"),
    number!("stages", 1..=64, site.stages, "stages of one call's plan"),
    number!("forwards", 0..=32, site.forwards, "times that one call may be forwarded by phones"),
    number!("transfers", 0..=1000, site.transfers, "times that one call may be transferred"),
    number!(
        "requests_in_call",
        4..=1000,
        site.requests_in_call,
        "requests of one side of a call that may wait for the other side at a time"
    ),
    number!("early_dialogs", 1..=64, site.early_dialogs, "early dialogs that one called phone or trunk may open"),
    number!(
        "source_calls",
        1..=1_000_000,
        site.source_calls,
        "INVITEs a second from one address and port; trunks and calls for help are exempt"
    ),
    number!("source_registrations", 1..=1_000_000, site.source_registrations, "REGISTERs a second from one address and port"),
    number!(
        "source_others",
        1..=1_000_000,
        site.source_others,
        "other requests a second from one address and port; trunks and calls are exempt"
    ),
    number!("subscriptions", 0..=10_000_000, site.subscriptions, "subscriptions at a time (keys that show who is busy, mailboxes)"),
    number!("subscriptions_per_endpoint", 0..=100_000, site.subscriptions_per_endpoint, "subscriptions at a time of one endpoint"),
    seconds!(
        "subscription_min_seconds",
        1..=3_600,
        site.subscription_min,
        "shortest subscription; a phone that asks for less is told this"
    ),
    seconds!("subscription_max_seconds", 60..=604_800, site.subscription_max, "longest subscription; longer wishes are shortened to this"),
    number!("placed_calls", 0..=1_000_000, site.placed, "calls by `holdfast connect` at a time that nobody has answered, per shard"),
    number!("callbacks", 1..=1_000_000, site.callbacks, "callers for help that are remembered at a time, to be called back"),
    seconds!("expires_min_seconds", 1..=86_400, site.expires_min, "shortest registration; a phone that asks for less is told this"),
    seconds!("expires_max_seconds", 1..=604_800, site.expires_max, "longest registration; longer wishes are shortened to this"),
    seconds!("expires_default_seconds", 1..=604_800, site.expires_default, "registration of a phone that asks for no time"),
    seconds!(
        "seat_wait_seconds",
        10..=604_800,
        site.seat_wait,
        "how long a phone that found no licence seat keeps its turn after it last asked"
    ),
    seconds!("ring_seconds", 1..=3_600, site.ring, "how long a stage rings when its policy does not say"),
    seconds!("ring_total_seconds", 1..=3_600, site.ring_total, "how long a call may ring in all"),
    milliseconds!("trunk_wait_milliseconds", 100..=64_000, site.trunk_wait, "silence of a trunk after which the next is tried"),
    milliseconds!("emergency_trunk_wait_milliseconds", 100..=64_000, site.emergency_trunk_wait, "the same for emergency calls"),
    number!("shards", 1..=64, shards, "threads that carry calls; more than 1 only when one core is full"),
    number!("threads", 1..=64, threads, "threads for TCP and TLS, the store, names and reloads"),
    number!("policy_threads", 1..=64, policy_threads, "threads for decisions of policies that take longer than half a millisecond"),
    number!(
        "shard_queue",
        64..=1_048_576,
        shard_queue,
        "messages that may wait for one shard; calls for help and what is said in calls that are up do not wait behind the others"
    ),
    number!("datagram_batch", 1..=1_024, datagram_batch, "datagrams taken up in one turn"),
    number!("datagram_buffer_bytes", 65_536..=1_073_741_824, datagram_buffer, "receive buffer asked of the kernel per UDP socket"),
    number!("connections", 1..=1_000_000, connections, "TCP and TLS connections at a time"),
    number!("connections_per_source", 1..=1_000_000, connections_per_source, "the same from one address"),
    number!("handshakes", 1..=100_000, handshakes, "TLS handshakes at a time; one address has at most half of them"),
    seconds!("handshake_seconds", 1..=60, handshake, "how long a TLS handshake may take"),
    seconds!("half_message_seconds", 1..=60, half_message, "how long a message may stay unfinished, or a new connection silent"),
    seconds!("idle_seconds", 30..=604_800, idle, "how long a connection that has spoken may stay silent"),
    number!("write_queue", 8..=65_536, write_queue, "messages that may wait to be written to one connection"),
    seconds!("connect_seconds", 1..=60, connect, "how long connecting to a trunk may take"),
    seconds!("nonce_seconds", 10..=86_400, nonce, "how long a digest nonce may be used"),
    number!("nonce_counts", 1_000..=100_000_000, nonce_counts, "nonce counts remembered against replay"),
    number!("store_queue", 16..=1_048_576, store_queue, "registrations that may wait for the store"),
    milliseconds!("store_wait_milliseconds", 0..=1_000, store_wait, "how long the store gathers registrations into one commit"),
    milliseconds!(
        "store_patience_milliseconds",
        100..=20_000,
        store_patience,
        "how long a registration waits for the store; then it is answered as `[store] degraded` says"
    ),
    number!("store_history", 1..=100_000, store_history, "lines of the history of an endpoint or user; the oldest go first"),
    number!("records_queue", 16..=1_048_576, records_queue, "records of calls that may wait to be written, and as many to be stored"),
    number!("alarms", 16..=100_000, alarms, "calls for help of which alarms are kept; the oldest that were acknowledged go first"),
    number!("notify_attempts", 1..=256, notify_attempts, "attempts at a time to tell of calls for help in one way"),
    seconds!(
        "notify_attempt_seconds",
        1..=300,
        notify_attempt,
        "how long one such attempt may take; a call may ring for `ring_total_seconds`"
    ),
    seconds!("notify_pause_seconds", 1..=3_600, notify_pause, "longest pause between two such attempts"),
    seconds!("notify_for_seconds", 60..=604_800, notify_for, "how long such telling is tried, unless the alarm is acknowledged"),
    seconds!("resolve_seconds", 5..=86_400, resolve_every, "how often the names of trunks are resolved again"),
    number!("rest_requests", 1..=1_024, rest_requests, "requests to the REST API at a time; more wait"),
    number!("rest_body_bytes", 1_024..=67_108_864, rest_body, "octets of a request's body there, CSV tables included"),
    number!("rest_failures", 1..=1_000_000, rest_failures, "wrong tokens a minute from one address, before it is not listened to"),
    number!("rest_page", 1..=100_000, rest_page, "items of a part of a list there"),
    number!("provision_requests", 1..=1_024, provision_requests, "phones that fetch their settings at a time; more wait"),
    number!("provision_fetches", 10..=1_000_000, provision_fetches, "fetches a minute from one address, before it is not listened to"),
    number!(
        "provision_refusals",
        1..=1_000_000,
        provision_refusals,
        "refused fetches of phones' own files a minute from one address, before none is told"
    ),
    seconds!("provision_token_seconds", 60..=2_592_000, provision_token, "how long a one-time token is good"),
];

impl Limits {
    /// Reads `[limits]`.
    pub(super) fn read(table: Table<'_>) -> Self {
        let mut limits = Self::default();
        let names: Vec<&str> = KEYS.iter().map(|k| k.name).collect();
        table.known(&names);
        for key in KEYS {
            if let Some(number) = table.number(key.name, key.range.clone()) {
                (key.set)(&mut limits, number.value);
            }
        }
        limits
    }
}
