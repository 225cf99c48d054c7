//! The script of a MESSAGE outside a call: who writes, to whom, and on to every phone of theirs (RFC 3428).

use super::{
    live::local_call_id,
    setup::{self, No, Replies},
    shard::Shard,
};
use sip::{
    Instant, Message,
    stack::{ClientId, Effect, ServerId},
    transport::Flow,
};
use std::collections::HashMap;
use switch::{
    extension,
    intake::{self, Identity},
    message::Courier,
};

/// Messages on their way. No more than the stack has room for transactions, which each of them needs.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By the transaction of whoever wrote.
    pub(super) couriers: HashMap<ServerId, Courier>,
    /// Copies of them.
    pub(super) copies: HashMap<ClientId, ServerId>,
}

/// Sends a message on, or answers why not.
pub(super) fn message(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) {
    if let Err(no) = carry(shard, replies, message, flow, now, more) {
        setup::refuse(shard, replies, message, no, now);
    }
}

fn carry(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) -> Result<(), No> {
    let site = shard.parts.site.clone();
    let directory = site.directory();
    let identity = match intake::authenticate(message, flow, &site, &shard.parts.authenticator, now) {
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Refused(refusal) => return Err(refusal.into()),
        proved @ (Identity::Trunk(_) | Identity::Endpoint(_)) => proved,
    };
    let mut call = intake::read_call(message, flow, &directory, now)?;
    intake::identify(&mut call, &identity, &site);
    if let Some(unknown) = extension::unsupported(message, false) {
        return Err(No::Extensions(unknown));
    }
    intake::permit(&call, &site)?;
    let home = shard.live.home();
    let call_id = |random: &mut sip::random::Random| local_call_id(random, home.index, home.shards);
    let (courier, copies) = Courier::new(&call, &site, &mut shard.random, call_id)?;
    shard.messages.couriers.insert(replies.id, courier);
    for (request, flow) in copies {
        let copy = shard.stack.request(request, flow, now, more);
        shard.messages.copies.insert(copy, replies.id);
    }
    Ok(())
}

impl Shard {
    /// A phone has answered a message, or (`None`) cannot be reached; `false` when it was no message.
    pub(super) fn answer_message(&mut self, id: ClientId, answer: Option<&Message>, now: Instant, more: &mut Vec<Effect>) -> bool {
        let Some(server) = self.messages.copies.get(&id).copied() else { return false };
        if answer.is_none_or(|answer| answer.status() >= 200) {
            self.messages.copies.remove(&id);
        }
        let Some(courier) = self.messages.couriers.get_mut(&server) else { return true };
        let told = match answer {
            Some(answer) => courier.answered(answer),
            None => courier.failed(),
        };
        if courier.done() {
            self.messages.couriers.remove(&server);
        }
        if let Some(response) = told {
            self.stack.respond(server, response, now, more);
        }
        true
    }
}
