//! A site at random: phones that do what phones do, and what they should not, over a bad network, and a [`model`](self) that knows what must come of it.
//!
//! Everything follows from one seed: what the phones do, what the network loses, repeats and delays, and every tag of the gateway. So a run that fails can
//! be run again, to the very message. A step is one event (a message that arrives, or a timer) or one deed of a phone. Deeds come in bouts; after each bout
//! everybody hangs up, and when all is quiet the gateway must have forgotten everything.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

mod bound;
mod deeds;
mod fault;
mod invariant;
mod malformed;
mod model;

pub use fault::Fault;
pub use invariant::{Broken, Invariant};
pub use model::Counts;

use crate::{
    net::{PhoneId, Seen, Weather, World, spread},
    node::{self, Gateway, Plot},
    phone::Phone,
    store::{Disk, Store},
};
use bytes::Bytes;
use fault::Grip;
use model::{Held, Model, State};
use sip::{Instant, random::Random, transport::Transport};
use std::{
    collections::{BTreeSet, VecDeque, hash_map::DefaultHasher},
    fmt::{self, Write as _},
    hash::{Hash as _, Hasher as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// Names of the phones with an account.
const NAMES: [&str; 12] = ["ada", "ben", "cleo", "dan", "eve", "finn", "gina", "hugo", "ines", "jan", "kira", "leo"];
/// Lines of the ladder that a report shows.
const LADDER: usize = 60;
/// Lines of the ladder that are kept, to find those of the call that went wrong.
const LADDER_KEPT: usize = 4000;
/// Deeds that are remembered for the report.
const DEEDS: usize = 60;
/// Steps from one comparison of phones and gateway to the next.
const COMPARE_EVERY: u64 = 64;
/// More events than this at one moment: time stands still.
const EVENTS_AT_ONCE: u32 = 20_000;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Everything follows from it.
    pub seed: u64,
    /// The run ends with the first bout that reaches so many steps.
    pub steps: u64,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Events and deeds.
    pub steps: u64,
    /// Over every message, who sent it and when: two runs of one seed have the same.
    pub trace: u64,
    /// What happened.
    pub counts: Counts,
}

/// What was wrong, and all that helps to find out why.
#[derive(Debug)]
pub struct Failure {
    /// The run.
    pub settings: Settings,
    /// In this step.
    pub step: u64,
    /// What does not hold.
    pub broken: Broken,
    /// What the phones did last.
    pub deeds: String,
    /// What was said last.
    pub ladder: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, steps } = self.settings;
        writeln!(f, "seed {seed}, step {}: {}\n\nlast deeds:\n{}\nlast messages:\n{}", self.step, self.broken, self.deeds, self.ladder)?;
        write!(f, "again: cargo run --release -p world --bin simulate -- --seed {seed} --steps {steps} --runs 1")
    }
}

/// Random numbers of the simulation itself.
struct Chance(Random);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }
}

/// What a phone is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// It has an account.
    Phone,
    /// The provider behind a trunk.
    Trunk,
    /// It has no business here.
    Stranger,
}

/// One phone and what the simulation remembers of it.
struct Player {
    role: Role,
    extension: String,
    /// Without power.
    dark: bool,
    /// Its connection is gone, and it connects again then.
    cut: Option<Instant>,
    /// It has an instance-id.
    named: bool,
    /// The port that it connects from next.
    port: u16,
    /// Where it began; it moves to other ports.
    home: SocketAddr,
    /// What it sent and was sent lately.
    sent: VecDeque<Bytes>,
    heard: VecDeque<Bytes>,
}

/// A run in progress.
struct Run<'a> {
    settings: Settings,
    fault: Option<Fault>,
    grip: Grip,
    world: World,
    store: Arc<Store>,
    /// There are fewer seats than phones: whoever loses its seat may find it taken.
    scarce: bool,
    players: Vec<Player>,
    chance: Chance,
    model: Model,
    steps: u64,
    compared: u64,
    trace: DefaultHasher,
    deeds: VecDeque<(Instant, String)>,
    forged: BTreeSet<u64>,
    at_once: (Instant, u32),
    progress: &'a mut dyn FnMut(u64),
}

/// Runs one seed. `progress` hears of the steps made, now and then.
///
/// # Errors
/// The first thing that was wrong.
pub fn run(settings: Settings, progress: &mut dyn FnMut(u64)) -> Result<Outcome, Box<Failure>> {
    run_with(settings, None, progress)
}

/// Runs one seed with a gateway that is broken on purpose.
///
/// # Errors
/// As [`run`].
pub fn run_broken(settings: Settings, fault: Fault) -> Result<Outcome, Box<Failure>> {
    run_with(settings, Some(fault), &mut |_| {})
}

fn run_with(settings: Settings, fault: Option<Fault>, progress: &mut dyn FnMut(u64)) -> Result<Outcome, Box<Failure>> {
    let mut run = Run::new(settings, fault, progress);
    let result = (|| {
        while run.steps < settings.steps {
            run.bout()?;
        }
        Ok(())
    })();
    match result {
        Ok(()) => Ok(Outcome { steps: run.steps, trace: run.trace.finish(), counts: run.model.counts }),
        Err(broken) => Err(Box::new(run.failure(broken))),
    }
}

impl<'a> Run<'a> {
    fn new(settings: Settings, fault: Option<Fault>, progress: &'a mut dyn FnMut(u64)) -> Self {
        let mut chance = Chance(Random::from_seed(spread(settings.seed ^ 0x5eed)));
        let accounts = 4 + chance.below(NAMES.len() - 3);
        let mut plot = Plot {
            accounts: NAMES.iter().take(accounts).enumerate().map(|(place, name)| (*name, format!("{}", 2001 + place))).collect(),
            seats: u32::try_from(accounts).unwrap_or(1),
            shards: 1 + chance.below(4),
            store: Some(Arc::default()),
            ..Plot::default()
        };
        if chance.percent(25) {
            // A small gateway: its limits bite.
            plot.seats = plot.seats.div_ceil(2);
            plot.limits.calls = 4;
            plot.limits.bindings_per_endpoint = 2;
            plot.protocol.server_transactions = 40;
        }
        let mut model = Model::new(&plot.protocol);
        match fault {
            Some(Fault::NoLimit) => model = Model::new(&sip::Limits { server_transactions: 1, ..plot.protocol }),
            Some(Fault::KnowsOneTrunk) => plot.help_trunks = 1,
            _ => {}
        }
        let world = World::watched(settings.seed, Gateway::of(settings.seed, &plot), LADDER_KEPT);
        let now = world.now();
        let mut run = Self {
            settings,
            fault,
            grip: Grip::default(),
            world,
            store: plot.store.clone().unwrap_or_default(),
            scarce: (plot.seats as usize) < accounts,
            players: Vec::new(),
            chance,
            model,
            steps: 0,
            compared: 0,
            trace: DefaultHasher::new(),
            deeds: VecDeque::new(),
            forged: BTreeSet::new(),
            at_once: (now, 0),
            progress,
        };
        run.people(&plot);
        run.break_gateway();
        run
    }

    /// Everybody who takes part: a phone for each account, a second one for some, the providers, and a stranger.
    fn people(&mut self, plot: &Plot) {
        let gateway: SocketAddr = SocketAddr::from(([192, 0, 2, 1], 5060));
        for (place, (name, extension)) in plot.accounts.iter().enumerate() {
            let number = u8::try_from(place + 1).unwrap_or(u8::MAX);
            let transport = if place % 4 == 3 { Transport::Tcp } else { Transport::Udp };
            for device in 1..=1 + u8::from(place % 3 == 1) {
                let mut phone = Phone::new(name, extension, SocketAddr::from(([10, device, 0, number], 5060)), gateway, transport);
                let named = self.chance.percent(70);
                if named {
                    phone.names_itself(format!("urn:uuid:00000000-0000-4000-8000-00000000{device:02}{number:02}"));
                }
                self.join(phone, Role::Phone, extension, named);
            }
        }
        for (name, _) in node::TRUNKS {
            self.join(Phone::trunk(name), Role::Trunk, name, false);
        }
        let stranger = Phone::new("stranger", "999", SocketAddr::from(([198, 51, 100, 7], 5060)), gateway, Transport::Udp);
        self.join(stranger, Role::Stranger, "999", false);
    }

    fn join(&mut self, mut phone: Phone, role: Role, extension: &str, named: bool) {
        phone.restarted(self.chance.next());
        let home = phone.address();
        self.world.add(phone);
        let player = Player {
            role,
            extension: extension.into(),
            dark: false,
            cut: None,
            named,
            port: 20_000,
            home,
            sent: VecDeque::new(),
            heard: VecDeque::new(),
        };
        self.players.push(player);
    }

    /// Weather, deeds, and then quiet.
    fn bout(&mut self) -> Result<(), Broken> {
        let millis = *self.chance.one_of(&[0, 5, 60, 250, 700]).unwrap_or(&0);
        let loss = *self.chance.one_of(&[0, 0, 2, 5, 10]).unwrap_or(&0);
        let duplication = *self.chance.one_of(&[0, 0, 3, 10]).unwrap_or(&0);
        self.world.weather(Weather { loss, duplication, delay: Duration::from_millis(millis) });
        let takes = Duration::from_millis(*self.chance.one_of(&[0, 0, 8, 300, 3000]).unwrap_or(&0));
        let fails = self.chance.percent(10);
        self.store.disk(Disk { takes, fails, lies: self.fault == Some(Fault::ForgetsBindings) });
        let malformed = *self.chance.one_of(&[0, 0, 3, 15]).unwrap_or(&0);
        let pace = *self.chance.one_of(&[100, 400, 1500]).unwrap_or(&400);
        for place in 0..self.players.len() {
            self.register(place);
        }
        let end = self.steps + 2_000 + self.chance.next() % 6_000;
        while self.steps < end {
            let pause = Duration::from_millis(self.chance.next() % (2 * pace));
            self.pass(pause)?;
            self.deed(malformed);
            self.count()?;
        }
        self.calm()
    }

    /// Everybody has power, nobody does anything, then all hang up: nothing may be left.
    fn calm(&mut self) -> Result<(), Broken> {
        self.world.weather(Weather::default());
        self.store.disk(Disk::default());
        self.pass(Duration::from_secs(60))?;
        self.compare()?;
        for place in 0..self.players.len() {
            if self.player(place).dark {
                self.power_on(place);
            }
            if self.player(place).cut.is_some() {
                self.connects_again(place);
            }
            self.hang_up_all(place);
        }
        self.all_hung_up(true);
        // Those who lost power in a call are found out by and by; those who ring are given up.
        for _ in 0..60 {
            if self.world.quiet() {
                break;
            }
            self.pass(Duration::from_secs(30))?;
            for place in 0..self.players.len() {
                self.hang_up_all(place);
            }
        }
        if !self.world.quiet() {
            return Err(Invariant::ComesToRest.broken(format!("something never ends: {}", self.world.pending())));
        }
        // Registrations lapse, and the last timers end.
        self.pass(Duration::from_secs(400))?;
        let state = self.state();
        let left: usize = state.tables.iter().map(gateway::calls::Tables::total).sum();
        if left > 0 || state.channels > 0 || state.seats != (0, 0) {
            let (tables, channels, seats) = (state.tables, state.channels, state.seats);
            return Err(Invariant::NothingIsLeft.broken(format!(
                "all is quiet, and something is left: {tables:?}, {channels} channels, seats (taken, registered) {seats:?}"
            )));
        }
        self.all_hung_up(false);
        self.model.quiet();
        self.forged.clear();
        for place in 0..self.players.len() {
            self.world.phone(PhoneId(place)).forget();
        }
        self.model.counts.add("bouts");
        Ok(())
    }

    /// Lets time pass, event by event.
    fn pass(&mut self, span: Duration) -> Result<(), Broken> {
        let end = self.world.now() + span;
        loop {
            let connects = self.players.iter().filter_map(|player| player.cut).min().filter(|at| *at <= end);
            self.pass_until(connects.unwrap_or(end))?;
            if connects.is_none() {
                return Ok(());
            }
            let now = self.world.now();
            for place in 0..self.players.len() {
                if self.player(place).cut.is_some_and(|at| at <= now) {
                    self.connects_again(place);
                    self.count()?;
                }
            }
        }
    }

    fn pass_until(&mut self, end: Instant) -> Result<(), Broken> {
        while self.world.event(end) {
            let now = self.world.now();
            self.at_once = if self.at_once.0 == now { (now, self.at_once.1 + 1) } else { (now, 0) };
            if self.at_once.1 > EVENTS_AT_ONCE {
                return Err(Invariant::TimeMoves.broken("time stands still: a timer fires again and again"));
            }
            self.count()?;
        }
        Ok(())
    }

    /// One step is over: what it brought to light is judged.
    fn count(&mut self) -> Result<(), Broken> {
        self.steps += 1;
        let now = self.world.now();
        for seen in self.world.seen() {
            self.judge(seen, now)?;
        }
        self.model.answers_are_given(now)?;
        for (record, legs) in self.world.gateway().take_ended() {
            self.model.ended(&record, &legs, now)?;
            if self.fault == Some(Fault::RecordsTwice) {
                self.model.ended(&record, &legs, now)?;
            }
        }
        if self.steps >= self.compared + COMPARE_EVERY {
            self.compared = self.steps;
            self.compare()?;
            if self.steps % 4096 < COMPARE_EVERY {
                (self.progress)(self.steps);
            }
        }
        Ok(())
    }

    fn judge(&mut self, seen: Seen, now: Instant) -> Result<(), Broken> {
        match seen {
            Seen::Sent { by, flow, bytes } => {
                now.unix_micros().hash(&mut self.trace);
                flow.hash(&mut self.trace);
                bytes.hash(&mut self.trace);
                match by {
                    Some(PhoneId(place)) => {
                        let Some(message) = model::read(&bytes) else { return Ok(()) };
                        if !self.forged.contains(&fingerprint(&bytes)) {
                            self.model.phone_sent(&message);
                            remember(&mut self.player_mut(place).sent, bytes);
                        }
                    }
                    None => {
                        let message = model::read(&bytes)
                            .ok_or_else(|| Invariant::WellFormed.broken(format!("the gateway sent what is no message: {bytes:?}")))?;
                        self.model.gateway_sent(&message, now)?;
                        if message.is_request()
                            && let Some(place) =
                                (0..self.players.len()).find(|place| self.world.phone(PhoneId(*place)).address() == flow.remote)
                        {
                            remember(&mut self.player_mut(place).heard, bytes);
                        }
                    }
                }
            }
            Seen::Came { flow, bytes } => {
                if let Some(message) = model::read(&bytes).filter(|_| !self.forged.contains(&fingerprint(&bytes))) {
                    let site = matches!(flow.remote.ip(), std::net::IpAddr::V4(address) if address.octets()[0] == 10);
                    self.model.gateway_got(&message, site, now);
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), Broken> {
        let mut state = self.state();
        self.bend(&mut state);
        let mut held = Vec::new();
        for place in 0..self.players.len() {
            for call in self.world.phone(PhoneId(place)).calls().iter().filter(|call| call.end().is_none()) {
                let (call_id, own_tag, other_tag) = call.dialog();
                held.push(Held {
                    phone: place,
                    call_id: call_id.to_vec(),
                    own_tag: own_tag.to_vec(),
                    other_tag: other_tag.to_vec(),
                    up: call.up(),
                    hanging_up: call.hanging_up(),
                    rings: call.rings(),
                });
            }
        }
        let now = self.world.now();
        self.model.compare(&state, &held, now)
    }

    fn state(&mut self) -> State {
        let now = self.world.now();
        let extensions: BTreeSet<&str> =
            self.players.iter().filter(|player| player.role == Role::Phone).map(|player| player.extension.as_str()).collect();
        let gateway = self.world.gateway();
        let (site, shards) = (gateway.site(), gateway.shards());
        let directory = site.directory();
        let registered = extensions
            .iter()
            .filter_map(|extension| directory.by_user(extension))
            .filter(|endpoint| site.registrar.registered(&endpoint.id, now) && !site.registrar.emergency_only(&endpoint.id, now));
        let bound = extensions.iter().filter_map(|extension| Some((*extension, directory.by_user(extension)?))).flat_map(
            |(extension, endpoint)| {
                let bindings = site.registrar.bindings(&endpoint.id, now);
                bindings.into_iter().map(move |binding| (extension.as_bytes().to_vec(), binding.contact.as_bytes().to_vec()))
            },
        );
        State {
            bound: bound.collect(),
            servers: shards.iter().map(|shard| shard.transactions().0).collect(),
            sights: shards.iter().flat_map(gateway::calls::Shard::sights).collect(),
            tables: shards.iter().map(gateway::calls::Shard::tables).collect(),
            orphans: shards.iter().map(gateway::calls::Shard::orphans).sum(),
            endless: shards.iter().map(gateway::calls::Shard::endless).sum(),
            channels: node::TRUNKS.iter().map(|(name, _)| site.trunks.in_use(name) as usize).sum(),
            seats: (site.ledger.usage("site").map_or(0, |usage| usage.taken as usize), registered.count()),
        }
    }

    fn player(&self, place: usize) -> &Player {
        &self.players[place]
    }

    fn player_mut(&mut self, place: usize) -> &mut Player {
        &mut self.players[place]
    }

    fn failure(&mut self, broken: Broken) -> Failure {
        let now = self.world.now();
        let zero = self.deeds.front().map_or(now, |(at, _)| *at);
        let mut deeds = String::new();
        for (at, deed) in &self.deeds {
            let written = writeln!(deeds, "{:>10.3} {deed}", at.since(zero).as_secs_f64());
            debug_assert!(written.is_ok());
        }
        // A Call-ID stands in most of what can be wrong.
        let call_id =
            broken.what.split(' ').find(|word| word.len() >= 16 && word.bytes().all(|octet| octet.is_ascii_hexdigit())).unwrap_or_default();
        let ladder = self.world.last(LADDER, call_id);
        Failure { settings: self.settings, step: self.steps, broken, deeds, ladder }
    }
}

fn fingerprint(bytes: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn remember(list: &mut VecDeque<Bytes>, bytes: Bytes) {
    if list.len() == 16 {
        list.pop_front();
    }
    list.push_back(bytes);
}
