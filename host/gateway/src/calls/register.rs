//! The script of a registration, from REGISTER to 200 OK: who, policies, seat, binding, store, answer.

use super::{
    setup::{self, No, Replies},
    shard::{Shard, Waited},
};
use crate::policy::Step;
use sip::{
    Instant, Message,
    build::Writer,
    header::Name,
    stack::{Effect, ServerId},
    transport::Flow,
};
use std::{rc::Rc, sync::Arc, time::Duration};
use switch::{
    decision::{Admission, Refusal, SeatRequest, WhenFull},
    directory::Endpoint,
    extension,
    facts::Registration,
    gruu,
    intake::{self, Identity},
    licence::{NoSeat, Seat},
    registrar::{Binding, Change, Wish, write_answer},
};

/// What the store said about the changes of one REGISTER.
pub(super) struct Kept {
    result: Result<(), String>,
    /// The REGISTER to answer; `None` for changes that nobody waits for.
    answer: Option<Waits>,
}

/// A REGISTER that waits for the store.
struct Waits {
    id: ServerId,
    message: Message,
    endpoint: Arc<Endpoint>,
    /// What was bound before, and what is now: where it may have to be taken back.
    undo: Option<(Vec<Arc<Binding>>, Vec<Change>)>,
}

impl Kept {
    /// Changes that no phone waits for (expiry).
    pub(super) const fn forgotten(result: Result<(), String>) -> Self {
        Self { result, answer: None }
    }
}

/// A REGISTER whose sender has proved who it is.
struct Asked {
    message: Message,
    flow: Flow,
    endpoint: Arc<Endpoint>,
    wish: Wish,
}

/// What the policies said about a registration.
pub(super) struct Admitted {
    id: ServerId,
    asked: Asked,
    steps: Vec<Step>,
    admission: Admission,
}

/// Registers, or answers why not.
pub(super) fn register(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant) {
    if let Err(no) = prove(shard, replies, message, flow, now) {
        setup::refuse(shard, replies, message, no, now);
    }
}

/// Who asks, and for what.
fn prove(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant) -> Result<(), No> {
    let site = shard.parts.site.clone();
    let endpoint = match intake::authenticate(message, flow, &site, &shard.parts.authenticator, now) {
        Identity::Endpoint(endpoint) => endpoint,
        Identity::Refused(refusal) => return Err(refusal.into()),
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Trunk(name) => return Err(Refusal::new(403, "Forbidden", format!("trunk {name} may not register")).into()),
    };
    if let Some(unknown) = extension::unsupported(message, true) {
        return Err(No::Extensions(unknown));
    }
    let (registration, wish) = intake::read_registration(message, flow, &endpoint, &site, now, &mut shard.random)?;
    let asked = Asked { message: message.clone(), flow, endpoint, wish };
    match asked.wish {
        Wish::Bind(_) => admit(shard, replies, registration, asked, now),
        Wish::Query | Wish::Remove(_) | Wish::RemoveAll => bind(shard, replies, asked, Seat::none(), false, now),
    }
}

/// What the policies say.
fn admit(shard: &mut Shard, replies: &mut Replies, registration: Registration, asked: Asked, now: Instant) -> Result<(), No> {
    let (id, runner, registration) = (replies.id, Rc::clone(&shard.parts.runner), Arc::new(registration));
    let admitting = async move {
        let mut steps = Vec::new();
        let admission = runner.admit(&registration, &mut steps).await;
        Admitted { id, asked, steps, admission }
    };
    match shard.now_or_later(admitting, Waited::Admitted) {
        Some(admitted) => seat(shard, replies, admitted, now),
        None => Ok(()),
    }
}

/// The seat that they name.
fn seat(shard: &mut Shard, replies: &mut Replies, admitted: Admitted, now: Instant) -> Result<(), No> {
    let Admitted { id: _, asked, steps, admission } = admitted;
    shard.parts.observer.decided(now, asked.message.call_id(), &steps);
    let by = setup::decisive(steps);
    let (seat, emergency_only) = match admission {
        Admission::Pass => (Seat::none(), false),
        Admission::Refuse(refusal) => return Err(No::Refused(refusal, by)),
        Admission::Admit(SeatRequest { pool, when_full }) => match (taken(shard, &asked, &pool, &when_full, now), when_full) {
            (Ok(seat), _) => (seat, false),
            (Err(why), WhenFull::EmergencyOnly) => {
                let detail = format!("endpoint `{}` (pool `{pool}`: {why})", asked.endpoint.id);
                shard.parts.observer.without_seat(asked.message.call_id(), &detail);
                (Seat::none(), true)
            }
            (Err(why), WhenFull::Refuse(refusal)) => {
                let detail = format!("{} (pool `{pool}`: {why})", refusal.detail);
                return Err(No::Refused(Refusal { detail, ..refusal }, by));
            }
        },
    };
    bind(shard, replies, asked, seat, emergency_only, now)
}

/// A seat of the pool. Who finds none and is registered all the same keeps its turn for as long as it is.
fn taken(shard: &Shard, asked: &Asked, pool: &str, when_full: &WhenFull, now: Instant) -> Result<Seat, NoSeat> {
    let stay = match (when_full, &asked.wish) {
        (WhenFull::EmergencyOnly, Wish::Bind(contacts)) => contacts.iter().map(|contact| contact.seconds).max().unwrap_or(0),
        _ => 0,
    };
    shard.parts.site.seat(pool, &asked.endpoint.id, Duration::from_secs(stay.into()), now)
}

/// The binding, and its answer.
fn bind(shard: &mut Shard, replies: &mut Replies, asked: Asked, seat: Seat, emergency_only: bool, now: Instant) -> Result<(), No> {
    let Asked { message, flow, endpoint, wish } = asked;
    let refuses = shard.parts.keep.as_ref().is_some_and(|keep| keep.refuses());
    let before = refuses.then(|| shard.parts.site.registrar.bindings(&endpoint.id, now));
    let changes = shard.parts.site.register(&endpoint.id, &wish, &message, flow, seat, emergency_only, now)?;
    match &shard.parts.keep {
        // A phone that got 200 OK is still registered after a crash: the answer waits for the disk.
        Some(keep) if !changes.is_empty() => {
            let undo = before.map(|before| (before, changes.clone()));
            let kept = keep.keep(changes);
            let answer = Some(Waits { id: replies.id, message, endpoint, undo });
            shard.later(async move { Waited::Kept(Kept { result: kept.await, answer }) });
        }
        _ => {
            let response = accepted(shard, &message, &endpoint, now);
            replies.add(response);
        }
    }
    Ok(())
}

/// The 200 OK with every binding of the endpoint (RFC 3261 10.3 step 8).
fn accepted(shard: &mut Shard, message: &Message, endpoint: &Arc<Endpoint>, now: Instant) -> sip::build::Response {
    shard.parts.observer.registered();
    let tag = shard.random.token();
    let mut writer = Writer::response(message, 200, "OK", Some(tag.as_str()));
    let directory = gruu::wanted(message).then(|| shard.parts.site.directory());
    let gruu = directory.as_ref().map(|directory| (endpoint.extension.as_str(), directory.domain.as_str()));
    write_answer(&mut writer, message, &shard.parts.site.registrar.bindings(&endpoint.id, now), gruu, now);
    writer.finish_response(b"")
}

impl Shard {
    /// The policies have decided about a registration that had to wait for them.
    pub(super) fn go_on_admitted(&mut self, admitted: Admitted, now: Instant, more: &mut Vec<Effect>) {
        let (mut replies, message) = (Replies::new(admitted.id), admitted.asked.message.clone());
        if let Err(no) = seat(self, &mut replies, admitted, now) {
            setup::refuse(self, &mut replies, &message, no, now);
        }
        self.reply(replies, now, more);
    }

    /// What a phone is told could not be kept is not in force, either: nobody rings where a phone does not expect it.
    fn take_back(&mut self, before: &[Arc<Binding>], changes: &[Change]) {
        let taken = self.parts.site.registrar.take_back(before, changes);
        if let Some(keep) = self.parts.keep.as_ref().filter(|_| !taken.is_empty()) {
            // What was asked of the disk may still be written: then this is, too, after it.
            let kept = keep.keep(taken);
            self.later(async move { Waited::Kept(Kept::forgotten(kept.await)) });
        }
    }

    /// The store has spoken: answers the REGISTER that waited for it.
    pub(super) fn answer_registration(&mut self, kept: Kept, now: Instant, more: &mut Vec<Effect>) {
        let Kept { result, answer } = kept;
        if let Err(why) = &result {
            self.parts.observer.not_kept(why);
        }
        let Some(Waits { id, message, endpoint, undo }) = answer else { return };
        if let (Err(_), Some((before, changes))) = (&result, undo) {
            self.take_back(&before, &changes);
        }
        let response = match result {
            Ok(()) => accepted(self, &message, &endpoint, now),
            Err(_) => {
                let tag = self.random.token();
                // RFC 3261 21.5.4: the phone may try again after that, or another server at once. Spread, so that phones do not come back all at once.
                let mut writer = Writer::response(&message, 503, "Registration Could Not Be Kept", Some(tag.as_str()));
                let spread = u32::try_from(self.random.next_u64() % 8).unwrap_or(0);
                writer.number(Name::RetryAfter, 2 + spread);
                writer.finish_response(b"")
            }
        };
        self.stack.respond(id, response, now, more);
    }
}
