//! The gateway as the virtual network sees it: its shards, the default site of the tests, and the shipped policies.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness of tests: what is broken in it shall stop the test at once"
)]

use crate::net::spread;
use bytes::Bytes;
use gateway::{
    calls::{Exchange, Observer, Parts, Shard, Transmit, shard_of},
    policy::{Engine, EngineSettings, Step},
};
use sip::{
    Instant, Limits, Message,
    digest::{Authenticator, Ha1},
    transport::{Flow, Transport},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use switch::{
    directory::{Directory, Emergency, Endpoint, NumberPattern, Pool, Source, Trunk},
    site::Site,
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
}

/// What the policies said: moment, policy, outcome.
pub type Decision = (Instant, String, String);

#[derive(Default)]
struct Decisions(Mutex<Vec<Decision>>);

impl Observer for Decisions {
    fn decided(&self, at: Instant, _call_id: &[u8], steps: &[Step]) {
        let lines = steps.iter().map(|step| (at, step.policy.to_string(), step.outcome.clone()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }
}

impl Gateway {
    /// The default site: four accounts, fifty seats, two trunks that own `+44203000%` and carry what begins with `9` or `+`, and 112.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let site = Arc::new(Site::new(directory(), switch::Limits::default()));
        for (name, address) in TRUNKS {
            let (local, remote) = (ADDRESS.parse().expect("an address"), address.parse().expect("an address"));
            site.trunks.set_flows(name, vec![Flow { transport: Transport::Udp, local, remote, connection: 0 }]);
        }
        let decisions = Arc::new(Decisions::default());
        let authenticator = Arc::new(Authenticator::new(DOMAIN, spread(seed ^ 1), 300, 10_000));
        let exchange = Exchange::new(2, 1000);
        let shards = (0..2)
            .map(|index| {
                Shard::new(Parts {
                    index,
                    shards: 2,
                    exchange: exchange.clone(),
                    site: site.clone(),
                    authenticator: authenticator.clone(),
                    runner: engine().runner(site.clone()),
                    keep: None,
                    observer: decisions.clone(),
                    seed: spread(seed ^ (2 + index as u64)),
                    limits: Limits::default(),
                })
            })
            .collect();
        Self { shards, site, decisions }
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
        std::mem::take(&mut self.decisions.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in one message, at the shard of its Call-ID.
    pub fn receive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let message = Message::parse(bytes.clone(), &Limits::default());
        let place = message.map_or(0, |message| shard_of(message.call_id(), self.shards.len()));
        if let Some(shard) = self.shards.get_mut(place) {
            shard.receive(bytes, flow, now, out);
        }
    }

    /// The network says that `flow` leads nowhere.
    pub fn unreachable(&mut self, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        for shard in &mut self.shards {
            shard.unreachable(flow, now, out);
        }
    }

    /// When [`Gateway::expire`] is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.shards.iter().filter_map(Shard::deadline).min()
    }

    /// Fires timers.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        for shard in &mut self.shards {
            shard.expire(now, out);
        }
    }
}

/// The shipped policies, compiled once per test program: each gateway has runners of its own, which ask about its own site.
fn engine() -> &'static Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("holdfast-world-{}", std::process::id()));
        Engine::install_shipped(&folder).expect("the shipped policies can be written");
        let site = Arc::new(Site::new(directory(), switch::Limits::default()));
        // Time is virtual: no decision may come from another thread.
        let settings = EngineSettings { watch: false, threads: 0, ..EngineSettings::default() };
        let engine = Engine::start(&folder, site, settings).expect("the policy engine starts");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        engine
    })
}

fn directory() -> Directory {
    let endpoints = ACCOUNTS.map(|(name, extension)| Endpoint {
        id: name.into(),
        extension: extension.into(),
        username: name.into(),
        ha1: Ha1::from_password(name, DOMAIN, &password(name)),
        name: name.into(),
        enabled: true,
        licence: Some("site".into()),
        location: None,
        mac: None,
        numbers: vec![format!("+44203000{extension}")],
    });
    let trunks = TRUNKS.map(|(name, address)| Trunk {
        name: name.into(),
        uri: format!("sip:{address}"),
        sources: vec![Source::Address(address.parse().expect("an address"))],
        username: None,
        password: None,
        numbers: vec![NumberPattern("+44203000%".into())],
    });
    let emergency = Emergency {
        numbers: vec!["112".into()],
        test_numbers: vec!["933".into()],
        trunks: TRUNKS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        outside_prefixes: vec!["9".into()],
    };
    let pools = vec![Pool { pool: "site".into(), seats: 50 }];
    Directory::new(DOMAIN.into(), endpoints.into(), pools, trunks.into(), emergency, Vec::new())
}
