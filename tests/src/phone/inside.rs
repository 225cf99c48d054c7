//! What a phone says and hears inside a call: changes of the session, and requests that cross each other.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a harness that is broken stops its test at once")]

use super::{Alarm, BODY, Phone, Purpose};
use crate::node;
use gateway::calls::Transmit;
use sip::{
    Instant, Message,
    build::{Writer, reason_phrase},
    digest,
    header::Name,
    message::Method,
    stack::ServerId,
};
use std::time::Duration;

/// A re-INVITE that met one of the other side, to be sent again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    lines: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Again {
    pub(super) fn offers_nothing(&self) -> bool {
        self.body.is_empty()
    }
}

impl Phone {
    /// Sends a request inside the newest call: `INVITE` and `UPDATE` offer a new session, others carry a body of their own.
    pub fn say(&mut self, method: &str, now: Instant, out: &mut Vec<Transmit>) {
        self.say_in(self.calls.len() - 1, method, &[], BODY, now, out);
    }

    /// Sends a request inside a call, by its place in [`Phone::calls`], with these lines and this session description.
    pub fn say_in(
        &mut self,
        place: usize,
        method: &str,
        lines: &[(&'static str, String)],
        body: &[u8],
        now: Instant,
        out: &mut Vec<Transmit>,
    ) {
        let method = Method::from_token(method.as_bytes());
        let (flow, contact) = (self.flow(), self.contact());
        let mut writer = self.calls[place].dialog.request(method, b"", 70);
        if matches!(method, Method::Invite | Method::Update) {
            writer.header(Name::Contact, contact.as_bytes());
        }
        for (name, value) in lines {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        if !body.is_empty() {
            writer.header(Name::ContentType, b"application/sdp");
        }
        let request = writer.finish_request(body);
        let purpose = if method == Method::Invite { Purpose::Invite(place) } else { Purpose::Inside(place, method) };
        let id = self.request(request, purpose, flow, now, out);
        if method == Method::Invite {
            self.calls[place].reinvite = Some((id, Again { lines: lines.to_vec(), body: body.to_vec() }));
        }
    }

    /// Gives the re-INVITE up that is not answered.
    pub fn take_back(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        let Some((id, _)) = &self.calls[place].reinvite else { return };
        let (id, mut effects) = (*id, Vec::new());
        self.stack.cancel(id, None, now, &mut effects);
        self.work(effects, now, out);
    }

    /// Asks for a transfer of a call, by its place in [`Phone::calls`]; `lines` are further header lines.
    pub fn refer(&mut self, place: usize, target: &str, lines: &[(&[u8], &str)], now: Instant, out: &mut Vec<Transmit>) {
        let (flow, contact) = (self.flow(), self.contact());
        let mut writer = self.calls[place].dialog.request(Method::Refer, b"", 70);
        writer.header(Name::Contact, contact.as_bytes()).header(Name::ReferTo, target.as_bytes());
        for (name, value) in lines {
            writer.header_named(name, value.as_bytes());
        }
        self.request(writer.finish_request(b""), Purpose::Inside(place, Method::Refer), flow, now, out);
    }

    /// A re-INVITE of ours has met one of the other side (RFC 3261 14.1): "If the UAC is the owner of the Call-ID of the dialog ID (meaning it generated
    /// the value), T has a randomly chosen value between 2.1 and 4 seconds in units of 10 ms", else "between 0 and 2 seconds in units of 10 ms".
    pub(super) fn reinvite_again(&mut self, place: usize, again: Again, now: Instant) {
        let owner = self.calls[place].invited.is_none();
        let random = self.stack.random().next_u64();
        let millis = if owner { 2100 + random % 191 * 10 } else { random % 201 * 10 };
        self.calls[place].again = Some(again);
        self.arm(now + Duration::from_millis(millis), Alarm::Reinvite(place));
    }

    pub(super) fn reinvite_now(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        if let Some(Again { lines, body }) = self.calls[place].again.take().filter(|_| self.calls[place].end.is_none()) {
            self.say_in(place, "INVITE", &lines, &body, now, out);
        }
    }

    /// Why a change of the session cannot be taken in now: RFC 3261 14.2 and RFC 3311 5.2.
    pub(super) fn crossed(&self, place: usize, message: &Message) -> bool {
        let call = &self.calls[place];
        match message.method() {
            Method::Invite => call.reinvite.is_some(),
            Method::Update => {
                let open = self.pending.values().any(|purpose| matches!(purpose, Purpose::Inside(of, Method::Update) if *of == place));
                !message.body().is_empty() && open
            }
            _ => false,
        }
    }

    /// Takes its time before it answers a re-INVITE; `false`: it answers at once.
    pub(super) fn thinks(&mut self, place: usize, id: ServerId, message: &Message, now: Instant) -> bool {
        let thinks = !self.habits.thinks.is_zero();
        if thinks {
            self.calls[place].asked = Some((id, message.clone()));
            self.arm(now + self.habits.thinks, Alarm::Agree(place));
        }
        thinks
    }

    /// Answers the re-INVITE that it has thought about.
    pub(super) fn agree(&mut self, place: usize, now: Instant, out: &mut Vec<Transmit>) {
        if let Some((id, message)) = self.calls[place].asked.take() {
            self.accept(place, id, &message, now, out);
        }
    }

    /// What proves who we are, and the header that carries it.
    pub(super) fn credentials(&mut self, challenge: &Message, method: &str, uri: &str) -> (Name, String) {
        let (name, value) = match challenge.header(Name::WwwAuthenticate) {
            Some(value) => (Name::Authorization, value),
            None => (Name::ProxyAuthorization, challenge.header(Name::ProxyAuthenticate).unwrap_or_default()),
        };
        let account = node::ACCOUNTS.iter().find(|(_, extension)| *extension == self.extension).map_or(self.name, |(name, _)| name);
        let cnonce = self.token();
        let answer = digest::answer(value, account, &node::password(account), method, uri, 1, &cnonce);
        (name, answer.expect("a challenge that can be answered"))
    }

    /// Answers whoever calls, when something about the INVITE is not as this phone wants it; `true` when it has.
    pub(super) fn objects(&mut self, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Transmit>) -> bool {
        let unknown = message.values(Name::Require).find(|option| !self.habits.knows(option)).map(<[u8]>::to_vec);
        let speaks = [Name::Require, Name::Supported].into_iter().any(|name| message.lists(name, "100rel"));
        let (status, name, value) = match (unknown, self.habits.too_often(message)) {
            (Some(unknown), _) => (420, Name::Unsupported, unknown),
            _ if self.habits.insists && !speaks => (421, Name::Require, b"100rel".to_vec()),
            (None, Some(seconds)) => (422, Name::MinSe, seconds.to_string().into_bytes()),
            (None, None) => return false,
        };
        self.calls.pop();
        let mut writer = Writer::response(message, status, reason_phrase(status), Some("objects"));
        writer.header(name, &value);
        self.respond(id, writer, b"", now, out);
        true
    }

    /// The session description that answers one, or that this phone offers when it is asked for one.
    pub(super) fn session(&self, offer: &[u8]) -> Vec<u8> {
        let says = |what: &str| String::from_utf8_lossy(offer).contains(what);
        match () {
            () if offer.is_empty() => self.habits.offer.as_bytes().to_vec(),
            () if says("a=sendonly") => b"v=0\r\na=recvonly\r\n".to_vec(),
            () if says("a=recvonly") => b"v=0\r\na=sendonly\r\n".to_vec(),
            () if says("a=inactive") || says("0.0.0.0") => b"v=0\r\na=inactive\r\n".to_vec(),
            () => BODY.to_vec(),
        }
    }
}
