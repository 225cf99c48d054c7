//! A phone that plays a provider: a trunk registers at it, and asks whether it is there.

use super::{Alarm, Phone};
use gateway::calls::Transmit;
use sip::{
    Instant, Message,
    build::{Writer, reason_phrase},
    digest::{Authenticator, Ha1, Verdict},
    header::Name,
    message::Method,
    random::Random,
    stack::ServerId,
};
use std::{collections::BTreeMap, time::Duration};

/// What a provider does with REGISTER and OPTIONS.
#[derive(Debug)]
pub struct Registrar {
    /// Seconds that it grants.
    pub grants: u32,
    /// The status with which it refuses every REGISTER.
    pub refuses: Option<u16>,
    /// What it answers OPTIONS with.
    pub health: u16,
    /// How long it thinks about each.
    pub slow: Duration,
    account: Ha1,
    authenticator: Authenticator,
    random: Random,
    contact: Option<String>,
    thinking: BTreeMap<ServerId, Message>,
}

/// The account of a provider: digest user and password.
pub const ACCOUNT: (&str, &str) = ("acct", "secret");
const REALM: &str = "provider.example";

impl Registrar {
    /// One that grants so many seconds to whoever proves [`ACCOUNT`]; its nonces are good for `nonce_seconds`.
    #[must_use]
    pub fn new(grants: u32, nonce_seconds: u32) -> Self {
        Self {
            grants,
            refuses: None,
            health: 200,
            slow: Duration::ZERO,
            account: Ha1::from_password(ACCOUNT.0, REALM, ACCOUNT.1),
            authenticator: Authenticator::new(REALM, [9; 32], nonce_seconds, 100),
            random: Random::from_seed([9; 32]),
            contact: None,
            thinking: BTreeMap::new(),
        }
    }

    /// Where calls for the account go; `None`: it is not registered.
    #[must_use]
    pub fn contact(&self) -> Option<&str> {
        self.contact.as_deref()
    }

    fn answer(&mut self, message: &Message, now: Instant) -> Writer {
        let writer = |status| Writer::response(message, status, reason_phrase(status), Some("provider"));
        if message.method() == Method::Options {
            return writer(self.health);
        }
        if let Some(status) = self.refuses {
            return writer(status);
        }
        let known = self.authenticator.claimed_username(message).is_some_and(|user| user == ACCOUNT.0);
        let verdict = self.authenticator.verify(message, known.then_some(&self.account), now);
        if verdict != Verdict::Accepted {
            let mut response = writer(401);
            for challenge in self.authenticator.challenges(verdict == Verdict::Stale, now, &mut self.random) {
                response.header(Name::WwwAuthenticate, challenge.as_bytes());
            }
            return response;
        }
        let mut response = writer(200);
        let contact = message.contact().map(|contact| String::from_utf8_lossy(contact.uri).into_owned());
        if message.number(Name::Expires) == Some(0) {
            self.contact = None;
            return response;
        }
        if let Some(contact) = &contact {
            response.header(Name::Contact, format!("<{contact}>;expires={}", self.grants).as_bytes());
        }
        self.contact = contact;
        response
    }
}

impl Phone {
    /// Behaves as a provider from now on.
    pub fn provides(&mut self, registrar: Registrar) {
        self.registrar = Some(registrar);
    }

    /// What it does as a provider.
    ///
    /// # Panics
    /// When it is none.
    pub fn registrar(&mut self) -> &mut Registrar {
        self.registrar.as_mut().expect("a provider")
    }

    /// Takes in a request that is for a provider; `false` when this is none.
    pub(super) fn asked_as_provider(&mut self, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Transmit>) -> bool {
        let Some(registrar) = &mut self.registrar else { return false };
        if !matches!(message.method(), Method::Register | Method::Options) || message.to().is_some_and(|to| to.tag().is_some()) {
            return false;
        }
        if registrar.slow.is_zero() {
            let response = registrar.answer(message, now);
            self.respond(id, response, b"", now, out);
        } else {
            let at = now + registrar.slow;
            registrar.thinking.insert(id, message.clone());
            self.arm(at, Alarm::Provide(id));
        }
        true
    }

    pub(super) fn provide(&mut self, id: ServerId, now: Instant, out: &mut Vec<Transmit>) {
        let Some(registrar) = &mut self.registrar else { return };
        let Some(message) = registrar.thinking.remove(&id) else { return };
        let response = registrar.answer(&message, now);
        self.respond(id, response, b"", now, out);
    }
}
