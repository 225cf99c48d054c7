//! Who keeps the trunks of a site: registers at those that want it, asks all whether they are there, and notes what comes of it. One of a site's shards has it.

use super::{
    Peer, Pulse, Sign, Standing,
    ask::{Sequence, registrar},
    peer,
    register::{Account, Registration, part_of},
};
use crate::{
    bridge::Home,
    directory::{Directory, Trunk},
    site::Site,
};
use sip::{Instant, Message, build::Request, random::Random, stack::Failure, transport::Flow};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often it looks after everything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So long without an answer to OPTIONS, and it is silent; an answer that comes later counts as slow.
const PATIENCE: Duration = Duration::from_secs(5);
/// An address that is not up is asked at least so often.
const ASK_SOON: Duration = Duration::from_secs(10);
/// A name may take so long to resolve before its trunk is said to have no address.
const RESOLVES: Duration = Duration::from_secs(10);

/// Names a request of the keeper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AskId(u64);

/// A request that is to be sent; what becomes of it is told to [`Keeper::answered`] or [`Keeper::failed`].
#[derive(Debug)]
pub struct Ask {
    /// Which.
    pub id: AskId,
    /// What.
    pub request: Request,
    /// Which way.
    pub flow: Flow,
}

/// Keeps the trunks of a site. A value: time and randomness are arguments.
#[derive(Debug)]
pub struct Keeper {
    home: Home,
    kept: BTreeMap<String, Kept>,
    /// Registrations that are being taken back, of trunks that are gone or have changed.
    leaving: BTreeMap<u64, (Arc<Trunk>, Registration)>,
    asked: BTreeMap<AskId, Asked>,
    next: u64,
    look_at: Instant,
    ending: bool,
}

#[derive(Debug)]
struct Kept {
    trunk: Arc<Trunk>,
    since: Instant,
    registration: Option<Registration>,
    options: Sequence,
    /// When each address is asked next.
    due: BTreeMap<Peer, Instant>,
}

/// A request that has not had its final answer.
#[derive(Debug)]
struct Asked {
    what: What,
    flow: Flow,
    since: Instant,
    /// It was told that no answer came in time.
    silent: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Register(String),
    Options(String),
    Leave(u64),
}

impl Keeper {
    /// One that has not looked yet. Answers to its requests are to reach `home`.
    #[must_use]
    pub const fn new(home: Home) -> Self {
        Self {
            home,
            kept: BTreeMap::new(),
            leaving: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: 0,
            look_at: Instant::from_unix_micros(0),
            ending: false,
        }
    }

    /// When [`Keeper::look`] is next due.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.look_at
    }

    /// Does what is due. Extra calls do nothing.
    pub fn look(&mut self, site: &Site, now: Instant, random: &mut Random, out: &mut Vec<Ask>) {
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        let directory = site.directory();
        self.follow(&directory, now, random, out);
        for asked in self.asked.values_mut().filter(|asked| !asked.silent && now.since(asked.since) >= PATIENCE) {
            if let What::Options(trunk) = &asked.what {
                asked.silent = true;
                site.trunks.note(trunk, asked.flow, Sign::Silent, now);
            }
        }
        for (name, kept) in &mut self.kept {
            let asked = kept.trunk.reach.options.is_some();
            if now.since(kept.since) >= RESOLVES || !site.trunks.flows(name).is_empty() {
                site.trunks.settle(name, asked, now);
            }
            let mut sent = Vec::new();
            // A contact that is being taken back must not be registered before the provider has said that it is gone: the one might overtake the other.
            if !self.leaving.values().any(|(trunk, _)| registers_alike(trunk, &kept.trunk)) {
                kept.look_after_registration(site, now, random, &mut sent);
            }
            kept.ask_around(site, &directory, now, random, &mut sent);
            for (what, request, flow) in sent {
                send(&mut self.asked, &mut self.next, what, request, flow, now, out);
            }
        }
    }

    /// A final answer to one of its requests has come.
    #[expect(clippy::too_many_arguments, reason = "an answer, where it came from, and what the next request needs")]
    pub fn answered(
        &mut self,
        id: AskId,
        message: &Message,
        flow: Flow,
        site: &Site,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Ask>,
    ) {
        let Some(asked) = self.asked.remove(&id) else { return };
        let sign = match message.status() {
            status @ (408 | 503) => Sign::Refused(status),
            _ => Sign::Answered(Some(now.since(asked.since))),
        };
        let next = match &asked.what {
            What::Options(name) => {
                let was = site.trunks.pulse(name, asked.flow);
                site.trunks.note(name, asked.flow, sign, now);
                self.seen_again(name, was, sign, now, random);
                None
            }
            What::Register(name) => {
                site.trunks.note(name, asked.flow, sign, now);
                self.kept.get_mut(name).and_then(|kept| {
                    let ways = ways(site, name, random);
                    kept.step(site, now, |registration, account| registration.answered(account, message, flow, &ways, now, random))
                })
            }
            What::Leave(number) => self.leaving.get_mut(number).and_then(|(trunk, registration)| {
                let account = account(trunk)?;
                registration.answered(account, message, flow, &[], now, random)
            }),
        };
        self.go_on(asked.what, next, now, out);
    }

    /// No answer to one of its requests will come.
    pub fn failed(&mut self, id: AskId, why: Failure, site: &Site, now: Instant, random: &mut Random, out: &mut Vec<Ask>) {
        let Some(asked) = self.asked.remove(&id) else { return };
        let sign = match why {
            Failure::Timeout => Sign::Silent,
            Failure::Unreachable => Sign::Unreachable,
        };
        let next = match &asked.what {
            What::Options(name) => {
                if !asked.silent {
                    site.trunks.note(name, asked.flow, sign, now);
                }
                None
            }
            What::Register(name) => {
                site.trunks.note(name, asked.flow, sign, now);
                self.kept.get_mut(name).and_then(|kept| {
                    let ways = ways(site, name, random);
                    kept.step(site, now, |registration, account| registration.failed(account, why, &ways, now, random))
                })
            }
            What::Leave(number) => {
                self.leaving.get_mut(number).and_then(|(trunk, registration)| registration.failed(account(trunk)?, why, &[], now, random))
            }
        };
        self.go_on(asked.what, next, now, out);
    }

    /// A connection has ended: whoever was at its other end is asked soon whether it is still there.
    pub fn lost(&mut self, flow: Flow, now: Instant, random: &mut Random) {
        for kept in self.kept.values_mut() {
            if let Some(due) = kept.due.get_mut(&peer(flow)).filter(|_| flow.connection != 0) {
                *due = (*due).min(now + LOOK_EVERY);
            }
            if let Some(registration) = &mut kept.registration {
                registration.lost(flow, now, random);
            }
        }
    }

    /// The gateway ends: all registrations are taken back, and nothing new is begun.
    pub fn leave(&mut self, now: Instant, random: &mut Random, out: &mut Vec<Ask>) {
        self.ending = true;
        for kept in std::mem::take(&mut self.kept).into_values() {
            self.take_back(kept, now, random, out);
        }
    }

    /// Whether no registration stands any more that has to be taken back.
    #[must_use]
    pub fn left(&self) -> bool {
        self.ending && self.leaving.is_empty()
    }

    /// Trunks come, go and change with the directory.
    fn follow(&mut self, directory: &Directory, now: Instant, random: &mut Random, out: &mut Vec<Ask>) {
        if self.ending {
            return;
        }
        let same = |name: &str, kept: &Kept| directory.trunk(name).is_some_and(|trunk| reached_alike(trunk, &kept.trunk));
        let gone: Vec<String> = self.kept.iter().filter(|(name, kept)| !same(name, kept)).map(|(name, _)| name.clone()).collect();
        for kept in gone.iter().filter_map(|name| self.kept.remove(name)).collect::<Vec<_>>() {
            self.take_back(kept, now, random, out);
        }
        let home = self.home;
        for trunk in directory.trunks.iter().filter(|trunk| !self.kept.contains_key(&trunk.name)).collect::<Vec<_>>() {
            let mut call_id = || (home.call_id)(random, home.index, home.shards);
            let (of_register, of_options) = (call_id(), call_id());
            let registration = trunk.reach.register.as_ref().map(|register| Registration::new(of_register, register.seconds, random, now));
            let options = Sequence::new(of_options, random);
            let kept = Kept { trunk: Arc::clone(trunk), since: now, registration, options, due: BTreeMap::new() };
            self.kept.insert(trunk.name.clone(), kept);
        }
    }

    fn take_back(&mut self, mut kept: Kept, now: Instant, random: &mut Random, out: &mut Vec<Ask>) {
        let Some((mut registration, account)) = kept.registration.take().zip(account(&kept.trunk)) else { return };
        // Answers to what it has asked before belong to nobody now.
        self.asked.retain(|_, asked| asked.what != What::Register(kept.trunk.name.clone()));
        let Some((request, flow)) = registration.leave(account, random) else { return };
        self.next += 1;
        let number = self.next;
        self.leaving.insert(number, (kept.trunk, registration));
        send(&mut self.asked, &mut self.next, What::Leave(number), request, flow, now, out);
    }

    fn go_on(&mut self, what: What, next: Option<(Request, Flow)>, now: Instant, out: &mut Vec<Ask>) {
        if let Some((request, flow)) = next {
            send(&mut self.asked, &mut self.next, what, request, flow, now, out);
        }
        self.leaving.retain(|_, (_, registration)| !registration.left());
    }

    /// A provider that was away has answered.
    fn seen_again(&mut self, name: &str, was: Pulse, sign: Sign, now: Instant, random: &mut Random) {
        let registration = self.kept.get_mut(name).and_then(|kept| kept.registration.as_mut());
        if let (Some(registration), Sign::Answered(_)) = (registration, sign)
            && was.standing != Standing::Up
        {
            registration.recovered(was.standing == Standing::Down, now, random);
        }
    }
}

impl Kept {
    fn look_after_registration(&mut self, site: &Site, now: Instant, random: &mut Random, sent: &mut Vec<(What, Request, Flow)>) {
        if self.registration.is_none() {
            site.trunks.set_registered(&self.trunk.name, None, now);
            return;
        }
        let ways = ways(site, &self.trunk.name, random);
        let name = self.trunk.name.clone();
        let next = self.step(site, now, |registration, account| registration.look(account, &ways, now, random));
        sent.extend(next.map(|(request, flow)| (What::Register(name), request, flow)));
    }

    /// Has the registration do something, and makes known how it stands then.
    fn step(
        &mut self,
        site: &Site,
        now: Instant,
        deed: impl FnOnce(&mut Registration, Account<'_>) -> Option<(Request, Flow)>,
    ) -> Option<(Request, Flow)> {
        let registration = self.registration.as_mut()?;
        let next = deed(registration, account(&self.trunk)?);
        site.trunks.set_registered(&self.trunk.name, Some(registration.report()), now);
        next
    }

    /// Asks every address whose turn it is whether it is there.
    fn ask_around(&mut self, site: &Site, directory: &Directory, now: Instant, random: &mut Random, sent: &mut Vec<(What, Request, Flow)>) {
        let Some(period) = self.trunk.reach.options else { return };
        let flows = site.trunks.flows(&self.trunk.name);
        self.due.retain(|known, _| flows.iter().any(|flow| peer(*flow) == *known));
        for flow in flows.iter() {
            // Not all at once, and not in the rush of a start.
            let due = self.due.entry(peer(*flow)).or_insert_with(|| now + part_of(period, 50, 100, random));
            let up = site.trunks.pulse(&self.trunk.name, *flow).standing == Standing::Up;
            let soon = ASK_SOON.min(period);
            if !up {
                *due = (*due).min(now + soon);
            }
            if *due > now {
                continue;
            }
            *due = now + part_of(if up { period } else { soon }, 90, 110, random);
            let request = self.options.options(&self.trunk, &directory.domain, *flow);
            sent.extend(request.map(|request| (What::Options(self.trunk.name.clone()), request, *flow)));
        }
    }
}

fn send(asked: &mut BTreeMap<AskId, Asked>, next: &mut u64, what: What, request: Request, flow: Flow, now: Instant, out: &mut Vec<Ask>) {
    *next += 1;
    let id = AskId(*next);
    asked.insert(id, Asked { what, flow, since: now, silent: false });
    out.push(Ask { id, request, flow });
}

/// The ways to a trunk, in the order in which it is registered at, and whether each is down.
fn ways(site: &Site, trunk: &str, random: &mut Random) -> Vec<(Flow, bool)> {
    let seed = random.next_u64().to_le_bytes();
    let mut whole = [0; 32];
    whole.iter_mut().zip(seed.iter().cycle()).for_each(|(to, from)| *to = *from);
    let flows = site.trunks.choose(trunk, || Random::from_seed(whole));
    flows.into_iter().map(|flow| (flow, site.trunks.pulse(trunk, flow).standing == Standing::Down)).collect()
}

fn account(trunk: &Trunk) -> Option<Account<'_>> {
    trunk.reach.register.as_ref().map(|register| Account { trunk, register })
}

/// Whether two trunks register at one place under one address of record.
fn registers_alike(one: &Trunk, other: &Trunk) -> bool {
    let user = |trunk: &Trunk| trunk.reach.register.as_ref().map(|register| register.user.clone());
    user(one) == user(other) && registrar(one) == registrar(other)
}

/// Whether two readings of a trunk are the same as far as registering and asking go.
fn reached_alike(one: &Trunk, other: &Trunk) -> bool {
    let of = |trunk: &Trunk| (trunk.uri.clone(), trunk.username.clone(), trunk.password.clone(), trunk.reach.clone());
    of(one) == of(other)
}
