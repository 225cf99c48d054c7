//! What phones do at random. A deed that a phone cannot do now (nobody to hang up on) is done by nobody.

use super::{Role, Run, fingerprint, malformed, model};
use crate::{
    net::PhoneId,
    node,
    phone::{Manner, Phone},
};
use gateway::calls::Transmit;
use sip::Instant;
use std::{sync::OnceLock, time::Duration};

/// What can be done, and how often out of all.
const DEEDS: [(u64, Deed); 22] = [
    (20, Deed::Dials),
    (18, Deed::HangsUp),
    (8, Deed::Registers),
    (2, Deed::Unregisters),
    (8, Deed::ChangesManner),
    (5, Deed::Says("INVITE")),
    (2, Deed::Says("UPDATE")),
    (2, Deed::Says("INFO")),
    (1, Deed::Says("OPTIONS")),
    (2, Deed::RefusesOffers),
    (4, Deed::Refers),
    (5, Deed::Joins),
    (3, Deed::PicksUp),
    (3, Deed::Writes),
    (6, Deed::CallsIn),
    (3, Deed::CallsForHelp),
    (2, Deed::LosesPower),
    (6, Deed::HasPower),
    (2, Deed::Moves),
    (2, Deed::LosesConnection),
    (1, Deed::KillsTheGateway),
    (1, Deed::KnocksFromOutside),
];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Dials,
    /// Hangs up, cancels, or declines.
    HangsUp,
    Registers,
    Unregisters,
    /// Answers, lets ring, is busy, forwards, …
    ChangesManner,
    /// Hold and resume, and whatever else is said inside a call.
    Says(&'static str),
    RefusesOffers,
    /// Transfers a call, unattended.
    Refers,
    /// Joins the two others of two calls.
    Joins,
    /// Takes the place of somebody else in a call.
    PicksUp,
    Writes,
    /// Somebody outside calls through a trunk.
    CallsIn,
    CallsForHelp,
    /// Without a word.
    LosesPower,
    HasPower,
    /// To another address, talking or not.
    Moves,
    /// It connects again, soon or late.
    LosesConnection,
    /// And somebody starts it again.
    KillsTheGateway,
    /// A stranger tries.
    KnocksFromOutside,
}

/// Refer-To and Contact values of the phones, made once: a manner holds them for ever.
fn contacts() -> &'static [&'static str] {
    static CONTACTS: OnceLock<Vec<&'static str>> = OnceLock::new();
    CONTACTS.get_or_init(|| {
        let mut contacts = vec!["", "<sip:112@sip.example>", "<sip:901134555@sip.example>", "<tel:+44123>", "<sip:nobody@203.0.113.99>"];
        for extension in 2001..2014 {
            let contact: &'static str = Box::leak(format!("<sip:{extension}@{}>", node::DOMAIN).into_boxed_str());
            contacts.push(contact);
        }
        contacts
    })
}

impl Run<'_> {
    /// Somebody does something; in so many of a hundred cases something malformed.
    pub(super) fn deed(&mut self, malformed: u64) {
        if self.chance.percent(malformed) {
            return self.misbehaves();
        }
        let all: u64 = DEEDS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.chance.next() % all;
        let mut deeds = DEEDS.iter();
        let deed = loop {
            let Some((weight, deed)) = deeds.next() else { return };
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => break *deed,
            }
        };
        let role = match deed {
            Deed::CallsIn => Role::Trunk,
            Deed::KnocksFromOutside => Role::Stranger,
            _ => Role::Phone,
        };
        let dark = matches!(deed, Deed::HasPower);
        let players = self.players.iter().enumerate();
        let mut able: Vec<usize> = players
            .filter(|(_, player)| player.role == role && player.dark == dark && player.cut.is_none())
            .map(|(place, _)| place)
            .collect();
        if matches!(deed, Deed::HangsUp | Deed::ChangesManner | Deed::Says(_) | Deed::RefusesOffers) {
            // Providers do these, too.
            able.extend(self.players.iter().enumerate().filter(|(_, player)| player.role == Role::Trunk).map(|(place, _)| place));
        }
        if let Some(place) = self.chance.one_of(&able).copied() {
            self.does(place, deed);
        }
    }

    fn does(&mut self, place: usize, deed: Deed) {
        match deed {
            Deed::Dials => self.dials(place),
            Deed::HangsUp => self.with_a_call(place, false, "hangs up", |phone, call, now, out| phone.hang_up_call(call, now, out)),
            Deed::Registers => self.register(place),
            Deed::Unregisters => self.unregisters(place),
            Deed::ChangesManner => self.changes_manner(place),
            Deed::Says(method) => self.with_a_call(place, true, method, |phone, call, now, out| phone.speak_in(call, method, now, out)),
            Deed::RefusesOffers => {
                let status = *self.chance.one_of(&[488, 491, 491, 500]).unwrap_or(&491);
                self.act(place, format!("will refuse an offer with {status}"), |phone, _, _| phone.refuse_reinvites(status, 1));
            }
            Deed::Refers => {
                let target = *self.chance.one_of(contacts()).unwrap_or(&"");
                let what = format!("transfers to {target}");
                self.with_a_call(place, true, &what, |phone, call, now, out| phone.refer(call, target, &[], now, out));
            }
            Deed::Joins => self.joins(place),
            Deed::PicksUp => self.picks_up(place),
            Deed::Writes => {
                let number = self.number();
                self.act(place, format!("writes to {number}"), |phone, now, out| phone.write(&number, "hello", now, out));
            }
            Deed::CallsIn => {
                let number = format!("+44203000{}", 2001 + self.chance.below(13));
                self.dials_number(place, &number);
            }
            Deed::CallsForHelp => self.dials_number(place, "112"),
            Deed::LosesPower => self.loses_power(place),
            Deed::HasPower => self.power_on(place),
            Deed::Moves => self.moves(place),
            Deed::LosesConnection => self.loses_connection(place),
            Deed::KillsTheGateway => self.kills_the_gateway(),
            Deed::KnocksFromOutside => {
                let number = self.number();
                self.dials_number(place, &number);
            }
        }
    }

    pub(super) fn register(&mut self, place: usize) {
        let player = self.player(place);
        if player.role == Role::Phone && !player.dark && player.cut.is_none() {
            self.act(place, "registers".into(), Phone::register);
        }
    }

    fn unregisters(&mut self, place: usize) {
        let now = self.world.now();
        for call in self.world.phone(PhoneId(place)).calls().iter().filter(|call| call.end().is_none()) {
            let facts = self.model.facts(call.call_id());
            facts.bound_until = facts.bound_until.map(|_| now);
        }
        self.act(place, "unregisters".into(), Phone::unregister);
    }

    /// Whatever this phone talks or rings in ends.
    pub(super) fn hang_up_all(&mut self, place: usize) {
        for call in 0..self.world.phone(PhoneId(place)).calls().len() {
            self.world.act(PhoneId(place), |phone, now, out| phone.hang_up_call(call, now, out));
        }
    }

    pub(super) fn power_on(&mut self, place: usize) {
        let address = self.world_address(place);
        self.world.plug(address);
        self.player_mut(place).dark = false;
        if self.world.phone(PhoneId(place)).transport().reliable() {
            self.connects_from_elsewhere(place);
        }
        self.act(place, "has power again".into(), |_, _, _| {});
        self.register(place);
    }

    fn loses_power(&mut self, place: usize) {
        let told = self.chance.percent(50);
        self.gone(place);
        self.note(place, "loses power");
        self.world.unplug(PhoneId(place), told);
        self.player_mut(place).dark = true;
        let salt = self.chance.next();
        self.world.phone(PhoneId(place)).restarted(salt);
    }

    /// Its address is another now: it registers from there and says so in each of its calls.
    fn moves(&mut self, place: usize) {
        self.gone(place);
        let mut address = self.player(place).home;
        address.set_port(5060 + u16::try_from(self.chance.below(40)).unwrap_or(0));
        if self.world.phone(PhoneId(place)).transport().reliable() {
            self.note(place, "moves");
            self.connects_from_elsewhere(place);
        } else {
            self.act(place, format!("moves to {address}"), |phone, _, _| phone.moves_to(address));
        }
        self.register(place);
        for call in self.calls_of(place, true) {
            self.world.act(PhoneId(place), |phone, now, out| phone.speak_in(call, "INVITE", now, out));
        }
    }

    fn loses_connection(&mut self, place: usize) {
        if self.world.phone(PhoneId(place)).transport().reliable() {
            let told = self.chance.percent(50);
            self.is_cut_off(place, told);
        }
    }

    /// Its connection breaks, and it connects again: often soon, and then the calls in which it talked must go on, if the gateway can know it again.
    fn is_cut_off(&mut self, place: usize, told: bool) {
        let soon = self.chance.percent(60);
        let away = Duration::from_millis(if soon { 200 + self.chance.next() % 20_000 } else { 40_000 + self.chance.next() % 100_000 });
        let now = self.world.now();
        let phone = self.world.phone(PhoneId(place));
        let known = phone.registered() && phone.pending().2 == 0;
        let calls = phone.calls().iter().filter(|call| call.end().is_none());
        let calls: Vec<_> = calls.map(|call| (call.call_id().to_vec(), call.settled())).collect();
        let comes_back = soon && known && self.player(place).named && !self.scarce;
        for (call_id, settled) in calls {
            let facts = self.model.facts(&call_id);
            facts.shaken = true;
            facts.gone |= !(comes_back && settled && !facts.help);
            // It registers for 300 s, and then again or not.
            facts.bound_until = Some(now + away + Duration::from_secs(295));
        }
        self.note(place, &format!("loses its connection for {} ms", away.as_millis()));
        self.world.disconnect(PhoneId(place), told);
        self.player_mut(place).cut = Some(now + away);
    }

    pub(super) fn connects_again(&mut self, place: usize) {
        self.player_mut(place).cut = None;
        self.note(place, "connects again");
        self.connects_from_elsewhere(place);
        self.register(place);
    }

    fn connects_from_elsewhere(&mut self, place: usize) {
        let player = self.player_mut(place);
        player.port += 1;
        let (mut address, port) = (player.home, player.port);
        address.set_port(port);
        self.world.reconnect(PhoneId(place), address);
    }

    /// Calls go on; what the gateway does not keep is what its peers repeat.
    fn kills_the_gateway(&mut self) {
        let shards = 1 + self.chance.below(4);
        self.note(0, &format!("sees the gateway killed and started again with {shards} shards"));
        let now = self.world.now();
        self.model.crashed(now);
        self.world.crash(shards);
        self.break_gateway();
        self.model.counts.add("crashes");
        for place in 0..self.players.len() {
            let there = !self.player(place).dark && self.player(place).cut.is_none();
            if there && self.world.phone(PhoneId(place)).transport().reliable() {
                self.is_cut_off(place, false);
            }
        }
    }

    fn dials(&mut self, place: usize) {
        if self.calls_of(place, false).len() < 3 {
            let number = self.number();
            self.dials_number(place, &number);
        }
    }

    fn dials_number(&mut self, place: usize, number: &str) {
        self.world.phone(PhoneId(place)).replaces_nobody();
        self.act(place, format!("dials {number}"), |phone, now, out| phone.dial(number, now, out));
    }

    fn number(&mut self) -> String {
        match self.chance.below(20) {
            0 => "112".into(),
            1 => "933".into(),
            2 => "7777".into(),
            3..=5 => format!("9011{}", self.chance.below(1000)),
            _ => format!("{}", 2001 + self.chance.below(13)),
        }
    }

    fn changes_manner(&mut self, place: usize) {
        let after = Duration::from_millis(self.chance.next() % 6000);
        let manner = match self.chance.below(10) {
            0 => Manner::Rings,
            1 => Manner::Refuses(*self.chance.one_of(&[404, 480, 486, 488, 500, 503, 600, 603]).unwrap_or(&486)),
            2 => {
                let contact = self.chance.one_of(contacts()).copied().unwrap_or_default();
                Manner::Redirects { status: *self.chance.one_of(&[301, 302, 305, 380]).unwrap_or(&302), contact, after }
            }
            3 => Manner::EarlyMedia { after, reliably: self.chance.percent(50) },
            _ => Manner::Answers(after),
        };
        self.act(place, format!("from now on {manner:?}"), |phone, _, _| phone.manner(manner));
    }

    /// An attended transfer: who is in the one call gets who is in the other.
    fn joins(&mut self, place: usize) {
        let calls = self.calls_of(place, true);
        let [first, .., last] = calls.as_slice() else { return };
        let (first, last) = (*first, *last);
        let host = if self.chance.percent(50) { node::DOMAIN } else { "10.9.9.9:5070" };
        let target = format!("<sip:2001@{host}?Replaces={}>", self.world.phone(PhoneId(place)).calls()[last].replaces());
        self.act(place, "joins its calls".into(), |phone, now, out| phone.refer(first, &target, &[], now, out));
    }

    /// Somebody takes the place of `place` in a call of it.
    fn picks_up(&mut self, place: usize) {
        let calls = self.calls_of(place, true);
        let Some(call) = self.chance.one_of(&calls).copied() else { return };
        let replaces = self.world.phone(PhoneId(place)).calls()[call].replaces_plain();
        let others: Vec<usize> = (0..self.players.len()).filter(|other| self.can_act(*other)).collect();
        let Some(other) = self.chance.one_of(&others).copied() else { return };
        let number = self.player(place).extension.clone();
        let what = format!("takes the place of {} in a call", self.world.phone(PhoneId(place)).name());
        self.act(other, what, |phone, now, out| phone.dial_replacing(&number, &replaces, now, out));
    }

    fn can_act(&self, place: usize) -> bool {
        let player = self.player(place);
        player.role == Role::Phone && !player.dark && player.cut.is_none()
    }

    /// Something malformed, from a phone of the site or from a stranger.
    fn misbehaves(&mut self) {
        let place = self.chance.below(self.players.len());
        if self.player(place).dark || self.player(place).cut.is_some() {
            return;
        }
        let player = &mut self.players[place];
        let (sent, heard) = (player.sent.make_contiguous().to_vec(), player.heard.make_contiguous().to_vec());
        let Some(bytes) = malformed::of(&sent, &heard, &mut self.chance) else { return };
        // Who knows the secrets of a dialog can do what its phone can: the model expects nothing of it any more.
        for of in [&bytes].into_iter().chain(&sent).chain(&heard) {
            if let Some(message) = model::read(of)
                .filter(|message| of == &bytes || bytes.windows(message.call_id().len().max(1)).any(|part| part == message.call_id()))
            {
                if of == &bytes {
                    self.model.forges(&message);
                }
                self.model.facts(message.call_id()).disturbed = true;
            }
        }
        self.forged.insert(fingerprint(&bytes));
        let by = if self.chance.percent(10) { self.players.len() - 1 } else { place };
        self.note(by, &format!("says something malformed: {}", crate::ladder::summary(&bytes)));
        let flow = self.world.phone(PhoneId(by)).way();
        self.world.utter(PhoneId(by), flow, bytes);
    }

    /// The places of its calls that are up, or (otherwise) not over.
    fn calls_of(&mut self, place: usize, up: bool) -> Vec<usize> {
        let calls = self.world.phone(PhoneId(place)).calls().iter().enumerate();
        calls.filter(|(_, call)| call.end().is_none() && (!up || (call.up() && !call.hanging_up()))).map(|(place, _)| place).collect()
    }

    fn with_a_call(&mut self, place: usize, up: bool, what: &str, deed: impl FnOnce(&mut Phone, usize, Instant, &mut Vec<Transmit>)) {
        let calls = self.calls_of(place, up);
        if let Some(call) = self.chance.one_of(&calls).copied() {
            self.act(place, what.to_owned(), |phone, now, out| deed(phone, call, now, out));
        }
    }

    fn act(&mut self, place: usize, what: String, deed: impl FnOnce(&mut Phone, Instant, &mut Vec<Transmit>)) {
        self.note(place, &what);
        self.world.act(PhoneId(place), deed);
    }

    /// Every call of it may end without a word.
    fn gone(&mut self, place: usize) {
        for call in self.world.phone(PhoneId(place)).calls().iter().filter(|call| call.end().is_none()) {
            self.model.facts(call.call_id()).gone = true;
        }
    }

    fn world_address(&mut self, place: usize) -> std::net::SocketAddr {
        self.world.phone(PhoneId(place)).address()
    }

    fn note(&mut self, place: usize, what: &str) {
        let now = self.world.now();
        let name = self.world.phone(PhoneId(place)).name();
        let home = self.player(place).home;
        if self.deeds.len() == super::DEEDS {
            self.deeds.pop_front();
        }
        self.deeds.push_back((now, format!("{name} ({home}) {what}")));
        self.world.tell(name, what);
    }
}
