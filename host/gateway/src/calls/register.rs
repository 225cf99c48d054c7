//! The script of a registration, from REGISTER to 200 OK: who, policies, seat, binding, store, answer.

use super::{
    setup::{self, No, Replies},
    shard::Shard,
};
use sip::{
    Instant, Message,
    build::Writer,
    header::Name,
    stack::{Effect, ServerId},
    transport::Flow,
};
use std::sync::Arc;
use switch::{
    decision::{Admission, Refusal, SeatRequest, WhenFull},
    directory::Endpoint,
    facts::Registration,
    intake::{self, Identity},
    licence::Seat,
    registrar::{Wish, write_answer},
};

/// What the store said about the changes of one REGISTER.
pub(super) struct Kept {
    result: Result<(), String>,
    /// The REGISTER to answer; `None` for changes that nobody waits for.
    answer: Option<(ServerId, Message, Arc<Endpoint>)>,
}

impl Kept {
    /// Changes that no phone waits for (expiry).
    pub(super) const fn forgotten(result: Result<(), String>) -> Self {
        Self { result, answer: None }
    }
}

/// Registers, or answers why not.
pub(super) fn register(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant) {
    if let Err(no) = bind(shard, replies, message, flow, now) {
        setup::refuse(shard, replies, message, no, now);
    }
}

fn bind(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant) -> Result<(), No> {
    let site = shard.parts.site.clone();
    let directory = site.directory();
    let endpoint = match intake::authenticate(message, flow, &directory, &shard.parts.authenticator, now) {
        Identity::Endpoint(endpoint) => endpoint,
        Identity::Refused(refusal) => return Err(refusal.into()),
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Trunk(name) => return Err(Refusal::new(403, "Forbidden", format!("trunk {name} may not register")).into()),
    };
    let (registration, wish) = intake::read_registration(message, flow, &endpoint, &site, now)?;
    let (seat, emergency_only) = match wish {
        Wish::Bind(_) => admit(shard, registration, now)?,
        Wish::Query | Wish::Remove(_) | Wish::RemoveAll => (Seat::none(), false),
    };
    let changes = site.register(&endpoint.id, &wish, message, flow, seat, emergency_only, now)?;

    match &shard.parts.keep {
        // A phone that got 200 OK is still registered after a crash: the answer waits for the disk.
        Some(keep) if !changes.is_empty() => {
            let kept = keep.keep(changes);
            let answer = Some((replies.id, message.clone(), endpoint));
            shard.waiting.push(Box::pin(async move { Kept { result: kept.await, answer } }));
        }
        _ => {
            let response = accepted(shard, message, &endpoint, now);
            replies.add(response);
        }
    }
    Ok(())
}

/// Asks the policies, then takes the seat that they name.
fn admit(shard: &mut Shard, registration: Registration, now: Instant) -> Result<(Seat, bool), No> {
    let registration = Arc::new(registration);
    let mut steps = Vec::new();
    let admission = shard.parts.runner.admit(&registration, &mut steps);
    shard.parts.observer.decided(now, registration.message.call_id(), &steps);
    let by = setup::decisive(steps);
    match admission {
        Admission::Pass => Ok((Seat::none(), false)),
        Admission::Refuse(refusal) => Err(No::Refused(refusal, by)),
        Admission::Admit(SeatRequest { pool, when_full }) => {
            match (shard.parts.site.ledger.take(&pool, &registration.endpoint.id), when_full) {
                (Ok(seat), _) => Ok((seat, false)),
                (Err(_), WhenFull::EmergencyOnly) => Ok((Seat::none(), true)),
                (Err(why), WhenFull::Refuse(refusal)) => {
                    let detail = format!("{} (pool `{pool}`: {why})", refusal.detail);
                    Err(No::Refused(Refusal { detail, ..refusal }, by))
                }
            }
        }
    }
}

/// The 200 OK with every binding of the endpoint (RFC 3261 10.3 step 8).
fn accepted(shard: &mut Shard, message: &Message, endpoint: &Arc<Endpoint>, now: Instant) -> sip::build::Response {
    shard.parts.observer.registered();
    let tag = shard.random.token();
    let mut writer = Writer::response(message, 200, "OK", Some(tag.as_str()));
    write_answer(&mut writer, message, &shard.parts.site.registrar.bindings(&endpoint.id, now), now);
    writer.finish_response(b"")
}

impl Shard {
    /// The store has spoken: answers the REGISTER that waited for it.
    pub(super) fn answer_registration(&mut self, kept: Kept, now: Instant, more: &mut Vec<Effect>) {
        let Kept { result, answer } = kept;
        if let Err(why) = &result {
            self.parts.observer.not_kept(why);
        }
        let Some((id, message, endpoint)) = answer else { return };
        let response = match result {
            Ok(()) => accepted(self, &message, &endpoint, now),
            Err(_) => {
                let tag = self.random.token();
                let mut writer = Writer::response(&message, 500, "Registration Could Not Be Kept", Some(tag.as_str()));
                writer.number(Name::RetryAfter, 5);
                writer.finish_response(b"")
            }
        };
        self.stack.respond(id, response, now, more);
    }
}
