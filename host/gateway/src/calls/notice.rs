//! Messages that the gateway writes itself (RFC 3428): to those who must know of a call for help.

use super::{Exchange, exchange::Letter, live::local_call_id, shard::Shard};
use sip::{
    Instant, Message,
    random::Random,
    stack::{ClientId, Effect},
};
use std::{collections::HashMap, sync::atomic::Ordering};
use switch::{
    decision::Refusal,
    message::{Courier, Notice},
};
use tokio::sync::oneshot;

/// What is to be written, and to whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// Extension.
    pub to: String,
    /// The number that it seems to come from.
    pub number: String,
    /// The name of it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// The status that settles a message: 2xx when a phone has it.
pub(super) type Written = oneshot::Sender<Result<u16, Refusal>>;

/// Messages of the gateway's own on their way. Each has an end: the transaction's own time-out.
#[derive(Debug, Default)]
pub(super) struct Notices {
    next: u64,
    couriers: HashMap<u64, (Courier, Option<Written>)>,
    copies: HashMap<ClientId, u64>,
}

impl Notices {
    /// Messages, and copies of them.
    pub(super) fn len(&self) -> usize {
        self.couriers.len() + self.copies.len()
    }
}

impl Exchange {
    /// Writes to the phones of an extension. The answer comes when one has it, or none can get it; the receiver fails when the gateway ends.
    ///
    /// # Errors
    /// In the answer: those of [`Courier::own`].
    pub fn write(&self, words: Words) -> oneshot::Receiver<Result<u16, Refusal>> {
        let (done, answer) = oneshot::channel();
        let shard = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards().max(1);
        self.ask(shard, Letter::Notice { words, done });
        answer
    }
}

impl Shard {
    /// Writes to phones.
    pub(super) fn say(&mut self, words: &Words, done: Written, now: Instant, more: &mut Vec<Effect>) {
        let Words { to, number, name, text } = words;
        let notice = Notice { to, number, name, text };
        let home = self.live.home();
        let call_id = |random: &mut Random| local_call_id(random, home.index, home.shards);
        let (courier, copies) = match Courier::own(&notice, &self.parts.site, now, &mut self.random, call_id) {
            Ok(written) => written,
            Err(refusal) => {
                // Who does not wait for the answer needs none.
                let _unheard = done.send(Err(refusal));
                return;
            }
        };
        let number = self.notices.next;
        self.notices.next = number.wrapping_add(1);
        self.notices.couriers.insert(number, (courier, Some(done)));
        for (request, flow) in copies {
            let copy = self.stack.request(request, flow, now, more);
            self.notices.copies.insert(copy, number);
        }
    }

    /// A phone has answered a message of ours, or (`None`) cannot be reached; `false` when it was none.
    pub(super) fn answer_notice(&mut self, id: ClientId, answer: Option<&Message>) -> bool {
        let Some(number) = self.notices.copies.get(&id).copied() else { return false };
        if answer.is_none_or(|answer| answer.status() >= 200) {
            self.notices.copies.remove(&id);
        }
        let Some((courier, done)) = self.notices.couriers.get_mut(&number) else { return true };
        let told = match answer {
            Some(answer) => courier.answered(answer),
            None => courier.failed(),
        };
        if let Some((response, done)) = told.and_then(|response| Some((response, done.take()?))) {
            let _unheard = done.send(Ok(response.status()));
        }
        if courier.done() {
            self.notices.couriers.remove(&number);
        }
        true
    }
}
