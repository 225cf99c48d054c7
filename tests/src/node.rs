//! The gateway as the virtual network sees it: its shards, the default site of the tests, and the shipped policies.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness of tests: what is broken in it shall stop the test at once"
)]

use crate::{net::spread, store::Store};
use bytes::Bytes;
use gateway::{
    calls::{Exchange, Keep as _, Ladder, Observer, Parts, Shard, Transmit, shard_of},
    journal,
    policy::{Engine, EngineSettings, Step},
};
use sip::{
    Instant, Limits, Message,
    digest::{Authenticator, Ha1},
    transport::{Flow, Transport},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Waker},
    time::Duration,
};
use switch::{
    directory::{Directory, Emergency, Endpoint, NumberPattern, Pool, Source, Trunk},
    record::{CallRecord, LegRecord},
    site::Site,
    trunk::{Change, Reach},
};

/// Where the gateway listens.
pub const ADDRESS: &str = "192.0.2.1:5060";
/// Its domain, and the realm of its challenges.
pub const DOMAIN: &str = "sip.example";
/// Accounts of the default site: name and extension. The password is the name spelt backwards.
pub const ACCOUNTS: [(&str, &str); 4] = [("alice", "1001"), ("bob", "1002"), ("carol", "1003"), ("dave", "1004")];
/// Trunks of the default site, in the order in which outside numbers try them: name and address.
pub const TRUNKS: [(&str, &str); 2] = [("north", "203.0.113.10:5060"), ("south", "203.0.113.11:5060")];

/// The password of an account of the default site.
#[must_use]
pub fn password(name: &str) -> String {
    name.chars().rev().collect()
}

/// A gateway with two shards.
pub struct Gateway {
    shards: Vec<Shard>,
    site: Arc<Site>,
    decisions: Arc<Decisions>,
    /// Where its calls are written down.
    journal: tempfile::TempDir,
    /// Its policies and what it is, for the next process.
    made_of: (&'static Arc<Engine>, Plot),
    store: Option<Arc<Store>>,
    seed: u64,
    exchange: Arc<Exchange>,
}

/// What the policies said: moment, policy, outcome.
pub type Decision = (Instant, String, String);

/// What the gateway told its observer.
#[derive(Default)]
struct Decisions {
    said: Mutex<Vec<Decision>>,
    records: Mutex<Vec<CallRecord>>,
    ended: Mutex<Vec<(CallRecord, Vec<LegRecord>)>>,
    limits: Mutex<BTreeMap<&'static str, u64>>,
    trunks: Mutex<Vec<Change>>,
}

impl Observer for Decisions {
    fn decided(&self, at: Instant, _call_id: &[u8], steps: &[Step]) {
        let lines = steps.iter().map(|step| (at, step.policy.to_string(), step.outcome.clone()));
        lock(&self.said).extend(lines);
    }

    fn ended(&self, record: &CallRecord) {
        lock(&self.records).push(record.clone());
    }

    fn told(&self, record: &CallRecord, _ladder: &Ladder, legs: &[LegRecord]) {
        lock(&self.ended).push((record.clone(), legs.to_vec()));
    }

    fn trunk_changed(&self, change: &Change) {
        lock(&self.trunks).push(change.clone());
    }

    fn dropped(&self, _at: Instant, _flow: Flow, why: &'static str) {
        *lock(&self.limits).entry(why).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a site of tests is made of.
#[derive(Clone)]
pub struct Plot {
    /// Names and extensions of its phones. The password is the name spelt backwards.
    pub accounts: Vec<(&'static str, String)>,
    /// Seats of its only pool.
    pub seats: u32,
    /// Shards.
    pub shards: usize,
    /// Limits of the protocol.
    pub protocol: Limits,
    /// Limits of calls and bindings.
    pub limits: switch::Limits,
    /// So many of [`TRUNKS`] carry calls for help.
    pub help_trunks: usize,
    /// Where bindings are kept before a phone hears of them; `None`: in memory.
    pub store: Option<Arc<Store>>,
    /// How the first of [`TRUNKS`] is reached, with the account of [`crate::phone::ACCOUNT`], and addresses that it has besides.
    pub north: (Reach, Vec<&'static str>),
    /// What else its operator has written down.
    pub change: fn(&mut Directory),
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            accounts: ACCOUNTS.map(|(name, extension)| (name, extension.to_owned())).to_vec(),
            seats: 50,
            shards: 2,
            protocol: Limits::default(),
            limits: switch::Limits::default(),
            help_trunks: TRUNKS.len(),
            store: None,
            north: (Reach::default(), Vec::new()),
            change: |_| {},
        }
    }
}

impl Gateway {
    /// The default site: four accounts, fifty seats, two trunks that own `+44203000%` and carry what begins with `9` or `+`, and 112.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(seed, &Plot::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(seed: u64, limits: switch::Limits) -> Self {
        Self::of(seed, &Plot { limits, ..Plot::default() })
    }

    /// The default site, and before the policies that route calls one that knows the numbers `findme` and `screened` (`tests/guests/office`).
    #[must_use]
    pub fn with_office(seed: u64) -> Self {
        Self::with(seed, engine_with_office(), &Plot::default())
    }

    /// A gateway of this site whose phones are registered for calls for help only when they find no seat.
    #[must_use]
    pub fn with_emergency_only(seed: u64, plot: &Plot) -> Self {
        Self::with(seed, engine_with_emergency_only(), plot)
    }

    /// A gateway of this site, with the default trunks and 112.
    #[must_use]
    pub fn of(seed: u64, plot: &Plot) -> Self {
        Self::with(seed, engine(), plot)
    }

    fn with(seed: u64, engine: &'static Arc<Engine>, plot: &Plot) -> Self {
        let journal = tempfile::tempdir().expect("a folder for the journal");
        Self::on(site(plot), journal, (engine, plot.clone()), seed, plot.shards, Instant::default(), &mut Vec::new())
    }

    /// The gateway's process is killed; another one on the same data has `shards` shards and goes on. With a store it knows the bindings that are there,
    /// without one all of them.
    #[must_use]
    pub fn restart(self, shards: usize, now: Instant, out: &mut Vec<Transmit>) -> Self {
        let Self { site: old, journal, made_of, seed, shards: dead, store, .. } = self;
        drop(dead);
        let site = match store {
            None => old,
            Some(store) => {
                let site = site(&made_of.1);
                for binding in store.killed() {
                    site.restore(binding, now);
                }
                site
            }
        };
        Self::on(site, journal, made_of, seed.wrapping_add(1000), shards, now, out)
    }

    fn on(
        site: Arc<Site>,
        journal: tempfile::TempDir,
        made_of: (&'static Arc<Engine>, Plot),
        seed: u64,
        count: usize,
        now: Instant,
        out: &mut Vec<Transmit>,
    ) -> Self {
        let (engine, protocol, store) = (made_of.0, made_of.1.protocol, made_of.1.store.clone());
        let decisions = Arc::new(Decisions::default());
        let (journals, _) = journal::open(journal.path(), count, &Arc::default()).expect("a journal");
        let authenticator = Arc::new(Authenticator::new(DOMAIN, spread(seed ^ 1), 300, 10_000));
        let exchange = Exchange::new(count, 1000);
        let shards = journals
            .into_iter()
            .enumerate()
            .map(|(index, (mut journal, saved))| {
                journal.wait_for_the_disk();
                let mut shard = Shard::new(Parts {
                    index,
                    shards: count,
                    exchange: exchange.clone(),
                    site: site.clone(),
                    authenticator: authenticator.clone(),
                    runner: engine.runner(site.clone()),
                    keep: store.clone().map(|store| store as Arc<dyn gateway::calls::Keep>),
                    observer: decisions.clone(),
                    seed: spread(seed ^ (2 + index as u64)),
                    limits: protocol,
                });
                let known = saved.iter().filter(|saved| !saved.course.ended()).count();
                let before = lock(&decisions.records).len();
                let taken = shard.take_up(journal, saved, now, out);
                let ended = lock(&decisions.records).len() - before;
                assert!(
                    taken + ended >= known,
                    "every call that was written down goes on, or ends with a record: {taken} and {ended} of {known}"
                );
                shard.write_down(now);
                shard
            })
            .collect();
        Self { shards, site, decisions, exchange, journal, made_of, store, seed }
    }

    /// What whoever runs it may ask of its calls.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ADDRESS.parse().expect("an address")
    }

    /// Its tables.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Calls alive.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.shards.iter().map(Shard::calls).sum()
    }

    /// Live server and client transactions.
    #[must_use]
    pub fn transactions(&self) -> (usize, usize) {
        let each = self.shards.iter().map(Shard::transactions);
        each.fold((0, 0), |(servers, clients), (more_servers, more_clients)| (servers + more_servers, clients + more_clients))
    }

    /// What the policies decided since the last call.
    #[must_use]
    pub fn take_decisions(&self) -> Vec<Decision> {
        std::mem::take(&mut lock(&self.decisions.said))
    }

    /// The calls that have ended since the last call, and the legs of each.
    #[must_use]
    pub fn take_ended(&self) -> Vec<(CallRecord, Vec<LegRecord>)> {
        std::mem::take(&mut lock(&self.decisions.ended))
    }

    /// How trunks have changed since the last call: which, to what, why. Told of sites only whose first trunk is kept in some way.
    #[must_use]
    pub fn take_trunk_changes(&self) -> Vec<(Instant, String, String)> {
        let mut changes = std::mem::take(&mut *lock(&self.decisions.trunks));
        changes.retain(|_| self.made_of.1.north.0 != Reach::default());
        changes
            .into_iter()
            .map(|change| (change.at, change.trunk.to_string(), format!("is {}: {}", change.to.name(), change.why)))
            .collect()
    }

    /// It ends in order: registrations at providers are taken back.
    pub fn leave_trunks(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        for shard in &mut self.shards {
            shard.leave_trunks(now, out);
        }
    }

    /// How often which limit or rule of the protocol has bitten.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.decisions.limits).clone()
    }

    /// Its shards.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The records of the calls that have ended, in order.
    #[must_use]
    pub fn records(&self) -> Vec<CallRecord> {
        lock(&self.decisions.records).clone()
    }

    /// Takes in one message, at the shard of its Call-ID.
    pub fn receive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let message = Message::parse(bytes.clone(), &Limits::default());
        let place = message.map_or(0, |message| shard_of(message.call_id(), self.shards.len()));
        if let Some(store) = &self.store {
            store.time(now);
        }
        if let Some(shard) = self.shards.get_mut(place) {
            shard.receive(bytes, flow, now, out);
            shard.write_down(now);
        }
    }

    /// The network says that `flow` leads nowhere: a connection is lost with what was bound to it.
    pub fn unreachable(&mut self, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let changes = self.site.registrar.connection_lost(flow.connection);
        if let Some(store) = self.store.as_ref().filter(|_| !changes.is_empty()) {
            store.time(now);
            drop(store.keep(changes));
        }
        for shard in &mut self.shards {
            shard.unreachable(flow, now, out);
            shard.write_down(now);
        }
    }

    /// When [`Gateway::expire`] is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let store = self.store.as_ref().and_then(|store| store.due());
        self.shards.iter().filter_map(Shard::deadline).chain(store).min()
    }

    /// Fires timers.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        if let Some(store) = &self.store {
            store.commit(now);
            let mut context = Context::from_waker(Waker::noop());
            for shard in &mut self.shards {
                // One at a time: each is taken up by the next turn.
                while pin!(shard.ready()).poll(&mut context).is_ready() {}
            }
        }
        for shard in &mut self.shards {
            shard.expire(now, out);
            shard.write_down(now);
        }
    }
}

/// The tables of a process that has just started.
fn site(plot: &Plot) -> Arc<Site> {
    let site = Arc::new(Site::new(directory(plot), plot.limits));
    for (name, address) in TRUNKS {
        let (local, remote) = (ADDRESS.parse().expect("an address"), address.parse().expect("an address"));
        let flow = Flow { transport: Transport::Udp, local, remote, connection: 0 };
        let more = plot.north.1.iter().filter(|_| name == TRUNKS[0].0);
        let more = more.map(|address| Flow { remote: address.parse().expect("an address"), ..flow });
        site.trunks.set_flows(name, std::iter::once(flow).chain(more).collect());
    }
    site
}

/// The shipped policies, compiled once per test program: each gateway has runners of its own, which ask about its own site.
fn engine() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| start("world", &[]))
}

fn engine_with_emergency_only() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| start("emergency-only", &[("20-licence.toml", b"[settings]\nwhen_full = 'emergency-only'\n")]))
}

fn engine_with_office() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| start("office", &[("25-office.wasm", &crate::agents::guest("office"))]))
}

/// The shipped policies, and what lies beside them.
fn start(kind: &str, beside: &[(&str, &[u8])]) -> Arc<Engine> {
    let folder = std::env::temp_dir().join(format!("holdfast-{kind}-{}", std::process::id()));
    Engine::install_shipped(&folder).expect("the shipped policies can be written");
    for (name, content) in beside {
        std::fs::write(folder.join(name), content).expect("the folder is ours");
    }
    let site = Arc::new(Site::new(directory(&Plot::default()), switch::Limits::default()));
    // Time is virtual: no decision may come from another thread, and none may be given up because this machine is busy.
    let patient = Duration::from_secs(3600);
    let settings = EngineSettings { watch: false, threads: 0, deadline: patient, emergency_deadline: patient, ..EngineSettings::default() };
    let engine = Engine::start(&folder, site, settings).expect("the policy engine starts");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    engine
}

fn directory(plot: &Plot) -> Directory {
    let endpoints: Vec<Endpoint> = plot.accounts.iter().map(endpoint).collect();
    let trunks = TRUNKS.map(|(name, address)| Trunk {
        name: name.into(),
        uri: format!("sip:{address}"),
        sources: vec![Source::Address(address.parse().expect("an address"))],
        username: None,
        password: None,
        numbers: vec![NumberPattern("+44203000%".into())],
        ..Trunk::default()
    });
    let mut trunks = trunks.to_vec();
    if plot.north.0 != Reach::default() {
        let (username, password) = crate::phone::ACCOUNT;
        let registers = plot.north.0.register.is_some();
        let north = &mut trunks[0];
        (north.username, north.password) = (Some(username.into()), Some(password.into()));
        north.reach = plot.north.0.clone();
        // Who registers there knows where its calls come from.
        north.sources.retain(|_| !registers);
    }
    let emergency = Emergency {
        numbers: vec!["112".into()],
        test_numbers: vec!["933".into()],
        trunks: TRUNKS.iter().take(plot.help_trunks).map(|(name, _)| (*name).to_owned()).collect(),
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        outside_prefixes: vec!["9".into()],
        ..Emergency::default()
    };
    let pools = vec![Pool::new("site", plot.seats)];
    let mut directory = Directory::new(DOMAIN.into(), endpoints, pools, trunks, emergency, Vec::new());
    directory.park.numbers = ["701", "702"].map(str::to_owned).into();
    (plot.change)(&mut directory);
    directory
}

fn endpoint((name, extension): &(&'static str, String)) -> Endpoint {
    Endpoint {
        id: (*name).into(),
        extension: extension.clone(),
        username: (*name).into(),
        ha1: Ha1::from_password(name, DOMAIN, &password(name)),
        name: (*name).into(),
        enabled: true,
        licence: Some("site".into()),
        location: None,
        mac: None,
        numbers: vec![format!("+44203000{extension}")],
    }
}
