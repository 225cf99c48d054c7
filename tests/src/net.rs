//! A virtual network and clock around one gateway and its phones. Everything follows from one seed.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness of tests: what is broken in it shall stop the test at once"
)]

use crate::{ladder::Ladder, node::Gateway, phone::Phone};
use bytes::Bytes;
use gateway::calls::Transmit;
use sip::{
    Instant,
    random::Random,
    transport::{Flow, Transport},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// What the network does to datagrams. Streams lose, repeat and overtake nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a hundred datagrams, so many are lost.
    pub loss: u64,
    /// Of a hundred datagrams, so many arrive twice.
    pub duplication: u64,
    /// The longest delay; each datagram has one of its own, so later ones overtake earlier ones.
    pub delay: Duration,
}

/// Names a phone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PhoneId(pub usize);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Gateway,
    Phone(usize),
}

#[derive(Debug)]
enum Arrival {
    Message { to: Place, flow: Flow, bytes: Bytes },
    Unreachable { at: Place, flow: Flow },
}

/// What passed by, for whoever looks on.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Somebody sent it; `by` is `None` for the gateway.
    Sent {
        /// Whose.
        by: Option<PhoneId>,
        /// The way.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// It came to the gateway.
    Came {
        /// The way.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
}

/// Decides about one message on its way: `true` = lose it.
pub type Fate = Box<dyn FnMut(&str) -> bool>;

/// Stands between the gateway and the wire, to break it on purpose.
pub trait Tamper {
    /// What is sent in place of this message of the gateway.
    fn sends(&mut self, transmit: Transmit) -> Vec<Transmit>;
    /// What the gateway gets in place of this message, and what is sent for it besides.
    fn gets(&mut self, bytes: Bytes, flow: Flow) -> (Vec<Bytes>, Vec<Transmit>);
    /// Whether the gateway knows of its timers.
    fn knows_when(&self) -> bool;
    /// Whether they fire.
    fn fires(&self) -> bool;
}

/// One gateway, its phones, and the wires between them.
pub struct World {
    now: Instant,
    gateway: Option<Gateway>,
    phones: Vec<Phone>,
    weather: Weather,
    random: Random,
    queue: BTreeMap<(Instant, u64), Arrival>,
    sequence: u64,
    /// Addresses where nobody is any more.
    dark: BTreeSet<SocketAddr>,
    /// Loses chosen messages: see [`World::lose`].
    fates: Vec<Fate>,
    ladder: Ladder,
    /// What passed by since somebody looked; `None`: nobody looks.
    seen: Option<Vec<Seen>>,
    /// Breaks the gateway.
    tamper: Option<Box<dyn Tamper>>,
    /// How many connections there were.
    connections: u64,
}

impl World {
    /// A world without a gateway: phones talk to each other.
    #[must_use]
    pub fn empty(seed: u64) -> Self {
        let now = Instant::from_unix_micros(1_800_000_000_000_000);
        Self {
            now,
            gateway: None,
            phones: Vec::new(),
            weather: Weather::default(),
            random: Random::from_seed(spread(seed)),
            queue: BTreeMap::new(),
            sequence: 0,
            dark: BTreeSet::new(),
            fates: Vec::new(),
            ladder: Ladder::new(now),
            seen: None,
            tamper: None,
            connections: 0,
        }
    }

    /// A world with the gateway of [`Gateway::new`] and its four shipped policies.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { gateway: Some(Gateway::new(seed)), ..Self::empty(seed) }
    }

    /// A world with the gateway of [`Gateway::with_office`].
    #[must_use]
    pub fn with_office(seed: u64) -> Self {
        Self { gateway: Some(Gateway::with_office(seed)), ..Self::empty(seed) }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(seed: u64, limits: switch::Limits) -> Self {
        Self { gateway: Some(Gateway::with_limits(seed, limits)), ..Self::empty(seed) }
    }

    /// A world around this gateway.
    #[must_use]
    pub fn around(seed: u64, gateway: Gateway) -> Self {
        Self { gateway: Some(gateway), ..Self::empty(seed) }
    }

    /// A world around this gateway, for somebody who looks on; of the ladder the last `lines` are kept.
    #[must_use]
    pub fn watched(seed: u64, gateway: Gateway, lines: usize) -> Self {
        let mut world = Self { gateway: Some(gateway), seen: Some(Vec::new()), ..Self::empty(seed) };
        world.ladder.keep(lines);
        world
    }

    /// From now on the gateway is broken like this.
    pub fn tamper(&mut self, tamper: Box<dyn Tamper>) {
        self.tamper = Some(tamper);
    }

    /// What passed by since the last call.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many phones there are.
    #[must_use]
    pub const fn phones(&self) -> usize {
        self.phones.len()
    }

    /// Writes into the ladder that something happened.
    pub fn tell(&mut self, who: &str, what: &str) {
        self.ladder.event(self.now, who, what);
    }

    /// Somebody is at this address again.
    pub fn plug(&mut self, address: SocketAddr) {
        self.dark.remove(&address);
        self.dark.remove(&SocketAddr::new(address.ip(), 0));
    }

    /// A phone puts these octets on the wire as they are.
    pub fn utter(&mut self, id: PhoneId, flow: Flow, bytes: Bytes) {
        self.carry(Place::Phone(id.0), vec![Transmit { flow, bytes }]);
    }

    /// The next event, when one is due by `end`; else the time becomes `end`. Tells whether there was one.
    pub fn event(&mut self, end: Instant) -> bool {
        match self.next().filter(|at| *at <= end) {
            Some(at) => {
                self.step(at);
                true
            }
            None => {
                self.now = self.now.max(end);
                false
            }
        }
    }

    /// Adds a phone. With a gateway, one that has an account there registers when told so.
    pub fn add(&mut self, phone: Phone) -> PhoneId {
        self.phones.push(phone);
        let id = PhoneId(self.phones.len() - 1);
        self.connect(id);
        id
    }

    /// A phone on a stream transport has a connection of its own, and a new one each time that it connects.
    fn connect(&mut self, id: PhoneId) {
        self.connections += 1;
        let number = self.connections;
        self.phone(id).connected(number);
    }

    /// The connection of a phone breaks. It hears of that at once; the gateway, too, when `told`, else as soon as it sends something.
    pub fn disconnect(&mut self, id: PhoneId, told: bool) {
        let phone = self.phone(id);
        let (name, mut flow) = (phone.name(), phone.way());
        self.ladder.event(self.now, name, "loses its connection");
        self.dark.insert(flow.local);
        self.put(self.now, Arrival::Unreachable { at: Place::Phone(id.0), flow });
        if told {
            std::mem::swap(&mut flow.local, &mut flow.remote);
            self.put(self.now, Arrival::Unreachable { at: Place::Gateway, flow });
        }
    }

    /// A phone connects again, from another port.
    pub fn reconnect(&mut self, id: PhoneId, address: SocketAddr) {
        let before = self.phone(id).address();
        self.plug(before);
        self.phone(id).moves_to(address);
        self.connect(id);
    }

    /// The phones `names` (accounts of the default site), registered over UDP. The ladder begins after it.
    pub fn registered<const N: usize>(&mut self, names: [&'static str; N]) -> [PhoneId; N] {
        let ids = names.map(|name| self.add(Phone::account(name, Transport::Udp)));
        for id in ids {
            self.register(id);
        }
        self.wait(Duration::from_secs(1));
        for id in ids {
            assert!(self.phone(id).registered(), "{} is not registered:\n{}", self.phone(id).name(), self.ladder());
        }
        self.ladder();
        ids
    }

    /// From now on the network is like this.
    pub fn weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Loses the next `times` messages whose ladder line (`alice → gw 200 OK`, one space) ends in `what`.
    pub fn lose(&mut self, what: &'static str, times: u32) {
        let mut left = times;
        self.fates.push(Box::new(move |line| {
            let hit = left > 0 && line.ends_with(what);
            left -= u32::from(hit);
            hit
        }));
    }

    /// Nobody is at the phone's address any more. Datagrams vanish, or are answered by the network with "unreachable" when `told`; connections break.
    pub fn unplug(&mut self, id: PhoneId, told: bool) {
        let phone = self.phone(id);
        let (name, address, transport, connection) = (phone.name(), phone.address(), phone.transport(), phone.way().connection);
        self.ladder.event(self.now, name, "is unplugged");
        self.dark.insert(address);
        if told || transport.reliable() {
            self.dark.insert(SocketAddr::new(address.ip(), 0));
        }
        if transport.reliable()
            && let Some(gateway) = &self.gateway
        {
            let flow = Flow { transport, local: gateway.address(), remote: address, connection };
            self.put(self.now, Arrival::Unreachable { at: Place::Gateway, flow });
        }
    }

    /// A phone, to set its manners or to ask it something.
    pub fn phone(&mut self, id: PhoneId) -> &mut Phone {
        self.phones.get_mut(id.0).expect("a phone of this world")
    }

    /// The gateway.
    pub fn gateway(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("a world with a gateway")
    }

    /// Registers a phone.
    pub fn register(&mut self, id: PhoneId) {
        self.act(id, Phone::register);
    }

    /// Calls a number.
    pub fn dial(&mut self, id: PhoneId, number: &str) {
        self.act(id, |phone, now, out| phone.dial(number, now, out));
    }

    /// Hangs up, or cancels what still rings.
    pub fn hang_up(&mut self, id: PhoneId) {
        self.act(id, Phone::hang_up);
    }

    /// Writes to a number, outside any call.
    pub fn write(&mut self, id: PhoneId, number: &str, text: &'static str) {
        self.act(id, |phone, now, out| phone.write(number, text, now, out));
    }

    /// Asks for a transfer of the newest call.
    pub fn refer(&mut self, id: PhoneId, target: &str) {
        self.act(id, |phone, now, out| phone.refer(phone.calls().len() - 1, target, &[], now, out));
    }

    /// Sends a request inside the newest call.
    pub fn say(&mut self, id: PhoneId, method: &'static str) {
        self.act(id, |phone, now, out| phone.say(method, now, out));
    }

    /// The gateway ends in order: it takes back what it has registered at providers.
    pub fn leave(&mut self) {
        let mut out = Vec::new();
        let now = self.now;
        self.gateway().leave_trunks(now, &mut out);
        self.carry(Place::Gateway, out);
    }

    /// The gateway's process is killed (`kill -9`) and started again at once, with so many shards. Its connections are gone with it.
    pub fn crash(&mut self, shards: usize) {
        let now = self.now;
        self.ladder.event(now, "gw", "is killed and started again");
        let gateway = self.gateway.take().expect("a world with a gateway");
        let mut out = Vec::new();
        self.gateway = Some(gateway.restart(shards, now, &mut out));
        self.carry(Place::Gateway, out);
    }

    /// Lets time pass.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.step(at);
        }
        self.now = end;
    }

    /// Lets everything end by itself, at most an hour: no call, no transaction, nothing on the wire.
    ///
    /// # Panics
    /// When something never ends.
    pub fn finish(&mut self) {
        let end = self.now + Duration::from_secs(3600);
        while !self.quiet() {
            let next = self.next().filter(|at| *at <= end);
            let Some(at) = next else { panic!("something never ends: {}\n{}", self.pending(), self.ladder()) };
            self.step(at);
        }
    }

    /// The ladder since the last call.
    pub fn ladder(&mut self) -> String {
        self.ladder.take(self.now)
    }

    /// The last lines of the ladder, and before them the messages of the call with this Call-ID.
    pub fn last(&mut self, lines: usize, call_id: &str) -> String {
        self.ladder.last(lines, call_id)
    }

    /// What still lives.
    #[must_use]
    pub fn pending(&self) -> String {
        let phones: Vec<_> = self.phones.iter().map(|phone| (phone.name(), phone.pending())).collect();
        let gateway = self.gateway.as_ref().map(|gateway| (gateway.calls(), gateway.transactions()));
        format!("gateway (calls, transactions) {gateway:?}, phones {phones:?}, wire {}", self.queue.len())
    }

    /// Whether nothing is under way: no call, no transaction, nothing on the wire.
    #[must_use]
    pub fn quiet(&self) -> bool {
        let gateway = self.gateway.as_ref().is_none_or(|gateway| gateway.calls() == 0 && gateway.transactions() == (0, 0));
        gateway && self.queue.is_empty() && self.phones.iter().all(|phone| phone.pending() == (0, 0, 0))
    }

    fn next(&self) -> Option<Instant> {
        let wire = self.queue.keys().next().map(|(at, _)| *at);
        let knows = self.tamper.as_ref().is_none_or(|tamper| tamper.knows_when());
        let gateway = self.gateway.as_ref().filter(|_| knows).and_then(Gateway::deadline);
        let phones = self.phones.iter().filter_map(Phone::deadline).min();
        [wire, gateway, phones].into_iter().flatten().min()
    }

    /// Everything that is due at `at`: first what arrives, in the order in which it was sent, then timers.
    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        let now = self.now;
        if let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let arrival = entry.remove();
            return self.arrive(arrival);
        }
        let mut out = Vec::new();
        let fires = self.tamper.as_ref().is_none_or(|tamper| tamper.knows_when() && tamper.fires());
        if let Some(gateway) = self.gateway.as_mut().filter(|gateway| fires && gateway.deadline().is_some_and(|at| at <= now)) {
            gateway.expire(now, &mut out);
            self.carry(Place::Gateway, out);
        }
        for place in 0..self.phones.len() {
            let mut out = Vec::new();
            if let Some(phone) = self.phones.get_mut(place).filter(|phone| phone.deadline().is_some_and(|at| at <= now)) {
                phone.expire(now, &mut out);
                self.carry(Place::Phone(place), out);
            }
        }
    }

    /// Has a phone do something.
    pub fn act(&mut self, id: PhoneId, deed: impl FnOnce(&mut Phone, Instant, &mut Vec<Transmit>)) {
        let mut out = Vec::new();
        let now = self.now;
        deed(self.phone(id), now, &mut out);
        self.carry(Place::Phone(id.0), out);
    }

    fn arrive(&mut self, arrival: Arrival) {
        let mut out = Vec::new();
        let now = self.now;
        let place = match arrival {
            Arrival::Message { to, flow, bytes } => {
                match to {
                    Place::Gateway => {
                        if let Some(seen) = &mut self.seen {
                            seen.push(Seen::Came { flow, bytes: bytes.clone() });
                        }
                        let (delivered, sent) = match &mut self.tamper {
                            Some(tamper) => tamper.gets(bytes, flow),
                            None => (vec![bytes], Vec::new()),
                        };
                        out.extend(sent);
                        for bytes in delivered {
                            self.gateway().receive(bytes, flow, now, &mut out);
                        }
                    }
                    Place::Phone(place) => self.phone(PhoneId(place)).receive(bytes, flow, now, &mut out),
                }
                to
            }
            Arrival::Unreachable { at, flow } => {
                match at {
                    Place::Gateway => self.gateway().unreachable(flow, now, &mut out),
                    Place::Phone(place) => self.phone(PhoneId(place)).unreachable(flow, now, &mut out),
                }
                at
            }
        };
        self.carry(place, out);
    }

    /// Puts what `from` sends on the wire.
    fn carry(&mut self, from: Place, mut out: Vec<Transmit>) {
        if let (Place::Gateway, Some(tamper)) = (from, &mut self.tamper) {
            out = out.into_iter().flat_map(|transmit| tamper.sends(transmit)).collect();
        }
        if from == Place::Gateway
            && let Some(gateway) = &self.gateway
        {
            for (at, policy, outcome) in gateway.take_decisions() {
                self.ladder.decision(at, &policy, &outcome);
            }
            for (at, trunk, what) in gateway.take_trunk_changes() {
                self.ladder.event(at, &trunk, what.trim_end_matches(": "));
            }
        }
        for Transmit { flow, bytes } in out {
            if let Place::Phone(place) = from
                && self.phones.get(place).is_some_and(|phone| self.dark.contains(&phone.address()))
            {
                continue;
            }
            self.send(from, flow, bytes);
        }
    }

    fn send(&mut self, from: Place, flow: Flow, bytes: Bytes) {
        let now = self.now;
        let (sender, to) = (self.name_of(from), self.place_of(flow.remote));
        let receiver = to.map_or_else(|| Cow::Owned(flow.remote.to_string()), |to| self.name_of(to));
        if let Some(seen) = &mut self.seen {
            let by = if let Place::Phone(place) = from { Some(PhoneId(place)) } else { None };
            seen.push(Seen::Sent { by, flow, bytes: bytes.clone() });
        }
        let datagram = !flow.transport.reliable();
        let gone = to.is_none() || self.dark.contains(&flow.remote) || !datagram && self.is_broken(from, to, flow);
        let fated = !self.fates.is_empty() && {
            let line = format!("{sender} → {receiver} {}", crate::ladder::summary(&bytes));
            self.fates.iter_mut().any(|fate| fate(&line))
        };
        let lost = gone || fated || datagram && self.chance(self.weather.loss);
        self.ladder.message(now, sender, receiver, &bytes, lost);
        if gone && (flow.transport.reliable() || self.dark.contains(&SocketAddr::new(flow.remote.ip(), 0))) {
            self.put(now, Arrival::Unreachable { at: from, flow });
        }
        let Some(to) = to.filter(|_| !lost) else { return };
        // A phone has one connection, to whomever; its number is the same on both sides.
        let connection = [from, to].into_iter().find_map(|place| self.connection_of(place)).filter(|_| !datagram).unwrap_or_default();
        let arrived = Flow { transport: flow.transport, local: flow.remote, remote: flow.local, connection };
        let copies = if datagram && self.chance(self.weather.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = if datagram { self.delay() } else { Duration::ZERO };
            self.put(now + delay, Arrival::Message { to, flow: arrived, bytes: bytes.clone() });
        }
    }

    /// Whether a flow is a connection that is not there any more. Number 0 asks for any that leads there.
    fn is_broken(&self, from: Place, to: Option<Place>, flow: Flow) -> bool {
        let moved = matches!(from, Place::Phone(place) if self.phones.get(place).is_some_and(|phone| phone.address() != flow.local));
        let mut ends = [Some(from), to].into_iter().flatten().filter_map(|place| self.connection_of(place));
        moved || flow.connection != 0 && !ends.any(|connection| connection == flow.connection)
    }

    fn connection_of(&self, place: Place) -> Option<u64> {
        let Place::Phone(place) = place else { return None };
        self.phones.get(place).map(|phone| phone.way().connection).filter(|connection| *connection != 0)
    }

    fn put(&mut self, at: Instant, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), arrival);
    }

    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.random.next_u64() % 100 < percent
    }

    fn delay(&mut self) -> Duration {
        let longest = u64::try_from(self.weather.delay.as_micros()).unwrap_or(u64::MAX);
        if longest == 0 { Duration::ZERO } else { Duration::from_micros(self.random.next_u64() % longest) }
    }

    fn place_of(&self, address: SocketAddr) -> Option<Place> {
        if self.gateway.as_ref().is_some_and(|gateway| gateway.address() == address) {
            return Some(Place::Gateway);
        }
        self.phones.iter().position(|phone| phone.address() == address).map(Place::Phone)
    }

    fn name_of(&self, place: Place) -> Cow<'static, str> {
        Cow::Borrowed(match place {
            Place::Gateway => "gw",
            Place::Phone(place) => self.phones.get(place).map(Phone::name).unwrap_or_default(),
        })
    }
}

/// A whole seed from a small number.
#[must_use]
pub fn spread(seed: u64) -> [u8; 32] {
    let mut whole = [0; 32];
    for (place, chunk) in whole.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&seed.wrapping_add(place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    whole
}
