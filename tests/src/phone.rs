//! Scripted phones: ordinary user agents on the protocol crate that do what they are told, and remember what became of it.

#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a harness that is broken stops its test at once")]

mod accepts;
mod answers;
mod call;
mod habits;
mod identity;
mod inside;
mod manner;
mod many;
mod message;
mod registrar;
mod restless;
mod watch;

pub use call::{Call, End};
pub use habits::{Habits, SessionTimer};
pub use manner::Manner;
pub use registrar::{ACCOUNT, Registrar};
pub use restless::Restless;
pub use watch::{Told, Watch};

use crate::{net::spread, node};
use bytes::Bytes;
use gateway::calls::Transmit;
use identity::Instance;
use message::Letters;
use sip::{
    Instant, Limits, Message,
    build::{Request, Writer},
    dialog::Dialog,
    header::Name,
    message::Method,
    random::Random,
    stack::{ClientId, Effect, Outbox, ServerId, Stack},
    transport::{Flow, Transport},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// The estimated round-trip time: a 2xx is sent again after T1, 2*T1 … at most T2 (RFC 3261 13.3.1.4).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const BODY: &[u8] = b"v=0\r\n";

/// What a client transaction was for.
#[derive(Clone, Debug)]
enum Purpose {
    Register,
    Invite(usize),
    /// Any other request inside the call.
    Inside(usize, Method),
    /// A MESSAGE outside a call.
    Message,
    /// A SUBSCRIBE, with credentials or without.
    Subscribe(usize, bool),
}

/// What a phone has set its clock for.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    /// Pick up.
    Answer(usize),
    /// Send the caller elsewhere: status and Contact.
    Redirect(usize, u16, &'static str),
    /// Send the 2xx to the INVITE with this CSeq again.
    Again(usize, u32),
    /// Answer the re-INVITE.
    Agree(usize),
    /// Send the re-INVITE again that was answered 491.
    Reinvite(usize),
    /// Refresh the session.
    Refresh(usize, u32),
    /// Nobody has refreshed it.
    Expired(usize, u32),
    /// Answer as a provider.
    Provide(ServerId),
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    name: &'static str,
    extension: String,
    contact_user: String,
    address: SocketAddr,
    peer: SocketAddr,
    transport: Transport,
    /// The number of its connection, where it has one.
    connection: u64,
    stack: Stack,
    manner: Manner,
    habits: Habits,
    /// With which status re-INVITEs are refused, and how many still.
    refusals: (u16, u32),
    /// What the INVITEs of this phone replace.
    replaces: Option<String>,
    registration: Option<Dialog>,
    registered: bool,
    calls: Vec<Call>,
    pending: BTreeMap<ClientId, Purpose>,
    alarms: BTreeMap<(Instant, u64), Alarm>,
    sequence: u64,
    letters: Letters,
    instance: Instance,
    watches: Vec<Watch>,
    restless: Restless,
    registrar: Option<Registrar>,
}

impl Phone {
    /// A phone with an account of [`node::ACCOUNTS`]; its address is 10.1.0.x.
    #[must_use]
    pub fn account(name: &'static str, transport: Transport) -> Self {
        let place = node::ACCOUNTS.iter().position(|(known, _)| *known == name).expect("an account of the default site");
        let address = SocketAddr::from(([10, 1, 0, u8::try_from(place + 1).expect("few accounts")], 5060));
        let gateway = node::ADDRESS.parse().expect("an address");
        Self::new(name, node::ACCOUNTS[place].1, address, gateway, transport)
    }

    /// The provider behind a trunk of [`node::TRUNKS`].
    #[must_use]
    pub fn trunk(name: &'static str) -> Self {
        let (_, address) = node::TRUNKS.iter().find(|(known, _)| *known == name).expect("a trunk of the default site");
        let gateway = node::ADDRESS.parse().expect("an address");
        Self::new(name, name, address.parse().expect("an address"), gateway, Transport::Udp)
    }

    /// A second phone of the same account, at an address of its own.
    #[must_use]
    pub fn at(mut self, name: &'static str, address: &str) -> Self {
        self.name = name;
        self.address = address.parse().expect("an address");
        self.stack = stack(self.address);
        self
    }

    /// With this user part in its Contact, instead of its extension.
    #[must_use]
    pub fn contact_user(mut self, user: &str) -> Self {
        self.contact_user = user.into();
        self
    }

    /// A phone that sends everything to `peer`.
    #[must_use]
    pub fn new(name: &'static str, extension: &str, address: SocketAddr, peer: SocketAddr, transport: Transport) -> Self {
        Self {
            name,
            extension: extension.into(),
            contact_user: extension.into(),
            address,
            peer,
            transport,
            connection: u64::from(transport.reliable()),
            stack: stack(address),
            manner: Manner::Answers(Duration::from_secs(2)),
            habits: Habits::default(),
            refusals: (0, 0),
            replaces: None,
            registration: None,
            registered: false,
            calls: Vec::new(),
            pending: BTreeMap::new(),
            alarms: BTreeMap::new(),
            sequence: 0,
            letters: Letters::default(),
            instance: Instance::default(),
            watches: Vec::new(),
            restless: Restless::default(),
            registrar: None,
        }
    }

    /// Its name in ladders.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it speaks.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the last REGISTER was granted.
    #[must_use]
    pub const fn registered(&self) -> bool {
        self.registered
    }

    /// Its calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The newest call.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn call(&self) -> &Call {
        self.calls.last().expect("a call")
    }

    /// Live calls, server transactions and client transactions.
    #[must_use]
    pub fn pending(&self) -> (usize, usize, usize) {
        let (servers, clients) = self.stack.transactions();
        (self.calls.iter().filter(|call| call.end.is_none()).count(), servers, clients)
    }

    /// From now on it behaves like this when called.
    pub fn manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// Refuses the next so many re-INVITEs.
    pub fn refuse_reinvites(&mut self, status: u16, times: u32) {
        self.refusals = (status, times);
    }

    /// Registers.
    pub fn register(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        self.restless.leaves = false;
        self.enrol(now, out);
    }

    fn enrol(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        let (user, tag) = (format!("<sip:{}@{}>", self.extension, node::DOMAIN), self.token());
        let target = format!("sip:{}", node::DOMAIN);
        let call_id = self.token();
        let flow = self.flow();
        let dialog = Dialog::as_client(&call_id, user.as_bytes(), &tag, user.as_bytes(), target.as_bytes(), flow);
        self.registration = Some(dialog);
        self.send_register(None, now, out);
    }

    /// Its random numbers go on by one.
    pub fn shake(&mut self) {
        self.stack.random().next_u64();
    }

    /// Calls a number to take somebody's place in a call.
    pub fn dial_replacing(&mut self, number: &str, replaces: &str, now: Instant, out: &mut Vec<Transmit>) {
        self.replaces = Some(replaces.into());
        self.dial(number, now, out);
    }

    /// Calls a number.
    pub fn dial(&mut self, number: &str, now: Instant, out: &mut Vec<Transmit>) {
        self.dial_uri(&format!("sip:{number}@{}", node::DOMAIN), now, out);
    }

    /// Calls a URI.
    pub fn dial_uri(&mut self, target: &str, now: Instant, out: &mut Vec<Transmit>) {
        let local = format!("<sip:{}@{}>", self.extension, node::DOMAIN);
        let (call_id, tag) = (self.token(), self.token());
        let flow = self.flow();
        let remote = format!("<{target}>");
        let dialog = Dialog::as_client(&call_id, local.as_bytes(), &tag, remote.as_bytes(), target.as_bytes(), flow);
        self.calls.push(Call::outgoing(dialog));
        self.send_invite(self.calls.len() - 1, None, now, out);
    }

    /// Ends the newest call, as [`Phone::hang_up_call`].
    pub fn hang_up(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        if let Some(place) = self.calls.len().checked_sub(1) {
            self.hang_up_call(place, now, out);
        }
    }

    /// Ends a call by its place: BYE when it is up, CANCEL when it still rings, 603 when somebody else is ringing here.
    pub fn hang_up_call(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        let call = &mut self.calls[place];
        if call.end.is_some() {
            return;
        }
        if call.up {
            return self.bye(place, now, out);
        }
        let mut effects = Outbox::new();
        if let Some(id) = call.invite {
            call.cancelled = true;
            self.stack.cancel(id, None, now, &mut effects);
        } else if let Some((id, message)) = call.ringing.take() {
            call.end = Some(End::Refused(603));
            let response = Writer::response(&message, 603, "Decline", Some(&call.tag())).finish_response(b"");
            self.stack.respond(id, response, now, &mut effects);
        }
        self.work(effects, now, out);
    }

    /// Takes in one message.
    pub fn receive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = Outbox::new();
        self.stack.receive(bytes, flow, now, &mut effects);
        self.work(effects, now, out);
    }

    /// The network says that `flow` leads nowhere.
    pub fn unreachable(&mut self, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = Outbox::new();
        self.stack.unreachable(flow, now, &mut effects);
        self.work(effects, now, out);
    }

    /// When [`Phone::expire`] is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let alarm = self.alarms.keys().next().map(|(at, _)| *at);
        [self.stack.deadline().map(|(at, _)| at), alarm].into_iter().flatten().min()
    }

    /// Fires timers.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = Outbox::new();
        self.stack.expire(now, &mut effects);
        self.work(effects, now, out);
        while let Some(entry) = self.alarms.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Alarm::Answer(place) => self.pick_up(place, now, out),
                Alarm::Redirect(place, status, contact) => self.redirect(place, status, contact, now, out),
                Alarm::Again(place, cseq) => self.answer_again(place, cseq, now, out),
                Alarm::Agree(place) => self.agree(place, now, out),
                Alarm::Reinvite(place) => self.reinvite_now(place, now, out),
                Alarm::Refresh(place, round) => self.refresh(place, round, now, out),
                Alarm::Expired(place, round) => self.expired(place, round, now, out),
                Alarm::Provide(id) => self.provide(id, now, out),
            }
        }
    }

    fn work(&mut self, effects: Outbox, now: Instant, out: &mut Vec<Transmit>) {
        for effect in effects {
            match effect {
                Effect::Transmit { flow, bytes } => out.push(Transmit { flow, bytes }),
                Effect::Request { id, message, flow } => self.asked(id, &message, flow, now, out),
                Effect::Ack { message, .. } => self.acknowledged(&message),
                Effect::Cancelled { id, .. } => self.cancelled(id, now, out),
                Effect::Response { id, message, .. } => self.answered(id, &message, now, out),
                Effect::Failed { id, .. } => self.failed(id, now, out),
                Effect::Unacknowledged { .. } | Effect::Dropped { .. } => {}
            }
        }
    }

    // What others ask.

    fn asked(&mut self, id: ServerId, message: &Message, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        match message.method() {
            Method::Invite if message.to().is_some_and(|to| to.tag().is_none()) => return self.rung(id, message, flow, now, out),
            Method::Message if message.to().is_some_and(|to| to.tag().is_none()) => return self.written_to(id, message, now, out),
            Method::Notify if self.told_by_notify(id, message, now, out) => return,
            Method::Register | Method::Options if self.asked_as_provider(id, message, now, out) => return,
            _ => {}
        }
        let place = self.calls.iter().position(|call| call.end.is_none() && call.owns(message));
        let Some(place) = place else {
            let outside = message.to().is_some_and(|to| to.tag().is_none());
            let status = if message.method() == Method::Options && outside { 200 } else { 481 };
            return self.respond(id, Writer::response(message, status, sip::build::reason_phrase(status), Some("none")), b"", now, out);
        };
        self.calls[place].asked_at = String::from_utf8_lossy(message.request_uri()).into_owned();
        let tag = self.calls[place].tag();
        self.calls[place].received.push(message.clone());
        let writer = |status| Writer::response(message, status, sip::build::reason_phrase(status), Some(tag.as_str()));
        if !self.calls[place].dialog.in_order(message) {
            return self.respond(id, writer(500), b"", now, out);
        }
        match message.method() {
            _ if self.crossed(place, message) => self.respond(id, writer(491), b"", now, out),
            Method::Invite if self.refusals.1 > 0 => {
                self.refusals.1 -= 1;
                self.respond(id, writer(self.refusals.0), b"", now, out);
            }
            Method::Invite => {
                self.calls[place].dialog.refresh_target(message);
                self.calls[place].heard.push("INVITE".into());
                if !self.thinks(place, id, message, now) {
                    self.accept(place, id, message, now, out);
                }
            }
            Method::Bye => {
                self.calls[place].hears_end(message);
                self.calls[place].up = false;
                self.calls[place].answers.clear();
                self.respond(id, writer(200), b"", now, out);
            }
            _ => {
                if message.method() == Method::Notify {
                    let state = String::from_utf8_lossy(message.header(Name::SubscriptionState).unwrap_or_default()).into_owned();
                    self.calls[place].notified.push(format!("{}; {state}", String::from_utf8_lossy(message.body()).trim_end()));
                }
                self.calls[place].heard.push(String::from_utf8_lossy(message.method_token()).into_owned());
                let mut answer = writer(200);
                if message.method() == Method::Update {
                    self.dress_answer(place, message, &mut answer, now);
                }
                self.respond(id, answer, b"", now, out);
            }
        }
    }

    fn rung(&mut self, id: ServerId, message: &Message, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let tag = self.token();
        let dialog = Dialog::as_server(message, &tag, flow).expect("an INVITE with a Contact");
        let place = self.calls.len();
        self.calls.push(Call::incoming(dialog, id, message.clone()));
        if self.objects(id, message, now, out) {
            return;
        }
        let writer = |status| Writer::response(message, status, sip::build::reason_phrase(status), Some(&tag));
        let contact = self.contact();
        match self.manner {
            Manner::Answers(after) | Manner::EarlyMedia { after, .. } => {
                self.arm(now + after, Alarm::Answer(place));
                let mut response = writer(if matches!(self.manner, Manner::Answers(_)) { 180 } else { 183 });
                response.header(Name::Contact, contact.as_bytes());
                match self.manner {
                    Manner::EarlyMedia { reliably, .. } => {
                        if reliably {
                            response.header(Name::Require, b"100rel").number(Name::RSeq, 17);
                        }
                        response.header(Name::ContentType, b"application/sdp");
                        self.respond(id, response, BODY, now, out);
                    }
                    _ => self.respond(id, response, b"", now, out),
                }
            }
            Manner::Rings => {
                let mut response = writer(180);
                response.header(Name::Contact, contact.as_bytes());
                self.respond(id, response, b"", now, out);
            }
            Manner::Redirects { status, contact, after } if after.is_zero() => self.redirect(place, status, contact, now, out),
            Manner::Redirects { status, contact, after } => {
                self.arm(now + after, Alarm::Redirect(place, status, contact));
                let mut response = writer(180);
                response.header(Name::Contact, self.contact().as_bytes());
                self.respond(id, response, b"", now, out);
            }
            Manner::Refuses(status) => {
                self.calls[place].end = Some(End::Refused(status));
                self.calls[place].ringing = None;
                self.respond(id, writer(status), b"", now, out);
            }
        }
    }

    fn redirect(&mut self, place: usize, status: u16, contact: &str, now: Instant, out: &mut Vec<Transmit>) {
        let Some((id, message)) = self.calls[place].ringing.take() else { return };
        self.calls[place].end = Some(End::Refused(status));
        let mut writer = Writer::response(&message, status, sip::build::reason_phrase(status), Some(&self.calls[place].tag()));
        if !contact.is_empty() {
            writer.header(Name::Contact, contact.as_bytes());
        }
        self.respond(id, writer, b"", now, out);
    }

    fn pick_up(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        if let Some((id, message)) = self.calls[place].ringing.take() {
            self.calls[place].up = true;
            self.accept(place, id, &message, now, out);
        }
    }

    fn send_register(&mut self, challenge: Option<&Message>, now: Instant, out: &mut Vec<Transmit>) {
        let flow = self.flow();
        let credentials = challenge.map(|challenge| self.credentials(challenge, "REGISTER", &format!("sip:{}", node::DOMAIN)));
        let Some(dialog) = &mut self.registration else { return };
        let mut writer = dialog.request(Method::Register, b"", 70);
        self.write_binding(&mut writer);
        writer.number(Name::Expires, self.restless.seconds());
        for (name, value) in &self.habits.registers_with {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        if let Some((name, value)) = credentials {
            writer.header(name, value.as_bytes());
        }
        self.request(writer.finish_request(b""), Purpose::Register, flow, now, out);
    }

    fn send_invite(&mut self, place: usize, challenge: Option<&Message>, now: Instant, out: &mut Vec<Transmit>) {
        let (flow, contact) = (self.flow(), self.contact());
        let target = String::from_utf8_lossy(&self.calls[place].dialog.remote_target).into_owned();
        let credentials = challenge.map(|challenge| self.credentials(challenge, "INVITE", &target));
        let call = &mut self.calls[place];
        let mut writer = call.dialog.request(Method::Invite, b"", 70);
        call.cseq = call.dialog.local_cseq;
        writer.header(Name::Contact, contact.as_bytes());
        self.dress_invite(place, &mut writer);
        if let Some(replaces) = &self.replaces {
            writer.header(Name::Replaces, replaces.as_bytes());
        }
        if let Some((name, value)) = credentials {
            writer.header(name, value.as_bytes());
        }
        let offer = self.habits.calls_offering.as_bytes();
        if !offer.is_empty() {
            writer.header(Name::ContentType, b"application/sdp");
        }
        let id = self.request(writer.finish_request(offer), Purpose::Invite(place), flow, now, out);
        self.calls[place].invite = Some(id);
    }

    fn acknowledge(&mut self, place: usize, cseq: u32, answer: &[u8], now: Instant, out: &mut Vec<Transmit>) {
        let mut writer = self.calls[place].dialog.ack(cseq);
        if !answer.is_empty() {
            writer.header(Name::ContentType, b"application/sdp");
        }
        let request = writer.finish_request(answer);
        let mut effects = Outbox::new();
        let flow = self.flow();
        self.stack.transmit(request, flow, &mut effects);
        self.work(effects, now, out);
    }

    fn bye(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        let call = &mut self.calls[place];
        if call.bye_sent || call.end.is_some() {
            return;
        }
        call.bye_sent = true;
        call.up = false;
        let mut writer = call.dialog.request(Method::Bye, b"", 70);
        for (name, value) in &self.habits.leaves_with {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        let request = writer.finish_request(b"");
        let flow = self.flow();
        self.request(request, Purpose::Inside(place, Method::Bye), flow, now, out);
    }

    fn request(&mut self, request: Request, purpose: Purpose, flow: Flow, now: Instant, out: &mut Vec<Transmit>) -> ClientId {
        let mut effects = Outbox::new();
        let id = self.stack.request(request, flow, now, &mut effects);
        self.pending.insert(id, purpose);
        self.work(effects, now, out);
        id
    }

    fn respond(&mut self, id: ServerId, writer: Writer, body: &[u8], now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = Outbox::new();
        self.stack.respond(id, writer.finish_response(body), now, &mut effects);
        self.work(effects, now, out);
    }

    fn arm(&mut self, at: Instant, alarm: Alarm) {
        self.sequence += 1;
        self.alarms.insert((at, self.sequence), alarm);
    }

    fn token(&mut self) -> String {
        self.stack.random().token().to_string()
    }

    fn flow(&self) -> Flow {
        Flow { transport: self.transport, local: self.address, remote: self.peer, connection: self.connection }
    }
}

fn stack(address: SocketAddr) -> Stack {
    let seed = address.to_string().bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Stack::new(Limits::default(), Random::from_seed(spread(seed)))
}
