//! One shard: feeds what arrives to the transaction stack, what the stack delivers to calls and scripts, and what those ask for back to the stack.

use super::{
    Parts, Transmit, dispatch,
    exchange::Letter,
    live::Live,
    message::Messages,
    notice::Notices,
    onward::Onward,
    register::{Admitted, Kept},
    setup::{Replies, Routed, Undecided},
    subscribe::Watchers,
    trunks::Trunks,
};
use bytes::Bytes;
use futures_util::{
    future::{Either, select},
    stream::{FuturesUnordered, StreamExt as _},
};
use sip::{
    Instant,
    random::Random,
    stack::{Effect, ServerId, Stack},
    transport::Flow,
};
use std::{
    collections::HashMap,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use switch::flood::{Allowance, Flood};

/// What a script waits for.
type Waiting = Pin<Box<dyn Future<Output = Waited>>>;

/// What a script has waited for.
pub(super) enum Waited {
    /// The policies have decided about a call.
    Routed(Routed),
    /// The policies have decided where a call goes on to.
    Onward(Onward),
    /// The policies have decided about a registration.
    Admitted(Admitted),
    /// The store has spoken.
    Kept(Kept),
    /// The policies have been told of a call's end.
    Told(()),
}

/// One shard: a transaction stack, its calls and its policy instances. Knows no socket and reads no clock, so tests drive it in virtual time.
pub struct Shard {
    pub(super) parts: Parts,
    pub(super) stack: Stack,
    pub(super) live: Live,
    pub(super) messages: Messages,
    pub(super) notices: Notices,
    pub(super) watchers: Watchers,
    pub(super) flood: Flood,
    pub(super) trunks: Option<Trunks>,
    pub(super) random: Random,
    waiting: FuturesUnordered<Waiting>,
    waited: Vec<Waited>,
    /// INVITEs about which the policies have not decided.
    pub(super) undecided: HashMap<ServerId, Undecided>,
    pub(super) effects: Vec<Effect>,
}

impl Shard {
    /// An idle shard.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        // Two generators from one seed: the stack's branches and our tags must not be the same sequence.
        let mut first = Random::from_seed(parts.seed);
        let mut second = [0_u8; 32];
        for chunk in second.chunks_exact_mut(8) {
            chunk.copy_from_slice(&first.next_u64().to_le_bytes());
        }
        let limits = &parts.site.limits;
        let allowance = |a_second: usize, seconds: usize| Allowance { a_second, burst: a_second * seconds };
        let flood = Flood::new(
            allowance(limits.source_calls, 1),
            allowance(limits.source_registrations, 1),
            allowance(limits.source_others, 10),
            &mut first,
        );
        let mut stack = Stack::new(parts.limits, first);
        let site = parts.site.clone();
        let live = Live::new(parts.index, parts.shards);
        let helped = live.helped.clone();
        stack.set_reserve(move |message| {
            let calls = |uri| switch::emergency::classify(&uri, &site.directory()) == switch::facts::CallKind::Emergency;
            message.uri().is_some_and(calls) || helped.has(message)
        });
        Self {
            live,
            messages: Messages::default(),
            notices: Notices::default(),
            watchers: Watchers::default(),
            flood,
            trunks: Trunks::new(parts.index, parts.shards),
            parts,
            stack,
            random: Random::from_seed(second),
            waiting: FuturesUnordered::new(),
            waited: Vec::new(),
            undecided: HashMap::new(),
            effects: Vec::new(),
        }
    }

    /// One datagram or framed message came in.
    pub fn receive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        self.parts.observer.received(now, flow, &bytes);
        // A dialog may have gone to another shard while a message of one of its transactions was on its way.
        if let Some(home) = self.parts.exchange.elsewhere(self.parts.index, &bytes).filter(|_| !self.stack.knows(&bytes)) {
            if !self.parts.exchange.post(home, Letter::Message { bytes, flow }) {
                self.parts.observer.dropped(now, flow, "letters");
            }
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        if self.admits(&bytes, flow, now, &mut effects) {
            self.stack.receive(bytes, flow, now, &mut effects);
        }
        self.work(effects, now, out);
    }

    /// The transport says that this flow leads nowhere (ICMP, refused, reset).
    pub fn unreachable(&mut self, flow: Flow, now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.stack.unreachable(flow, now, &mut effects);
        self.tell_keeper_lost(flow, now);
        self.work(effects, now, out);
    }

    /// When [`Shard::expire`] is next due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let stack = self.stack.deadline().map(|(at, _)| at);
        let letters = self.parts.exchange.waits(self.parts.index).then(|| Instant::from_unix_micros(0));
        let trunks = self.trunks.as_ref().map(Trunks::deadline);
        [
            stack,
            trunks,
            self.live.deadline(),
            self.live.unwritten.due(),
            self.watchers.deadline(),
            self.parts.site.registrar.deadline(),
            letters,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Fires timers, and goes on with what was waiting for a policy or the store.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Transmit>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.stack.expire(now, &mut effects);
        for waited in std::mem::take(&mut self.waited) {
            self.go_on(waited, now, &mut effects);
        }
        let mut messages = Vec::new();
        self.read_letters(now, &mut effects, &mut messages);
        for (bytes, flow) in messages {
            self.stack.receive(bytes, flow, now, &mut effects);
        }
        self.expire_calls(now, &mut effects);
        self.read_news(now, &mut effects);
        self.expire_subscriptions(now, &mut effects);
        self.expire_bindings(now);
        self.look_after_trunks(now, &mut effects);
        self.work(effects, now, out);
    }

    /// Gets the policies ready for what comes next. To be called once all that there is to send is on its way.
    pub fn prepare(&mut self) {
        self.parts.runner.prepare();
    }

    /// Resolves when something that waited for a policy or the store can go on, or another shard has written: then call [`Shard::expire`].
    pub async fn ready(&mut self) {
        let arrival = pin!(self.parts.exchange.arrival(self.parts.index));
        let waiting = async {
            match self.waiting.next().await {
                Some(waited) => Some(waited),
                None => std::future::pending().await,
            }
        };
        match select(arrival, pin!(waiting)).await {
            Either::Left(((), _)) => {}
            Either::Right((waited, _)) => self.waited.extend(waited),
        }
    }

    /// Calls alive.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.live.len()
    }

    /// Live server and client transactions.
    #[must_use]
    pub fn transactions(&self) -> (usize, usize) {
        self.stack.transactions()
    }

    /// What comes of `later`, if that is clear at once; else it is awaited, and [`Shard::go_on`] hears of it.
    pub(super) fn now_or_later<T: 'static>(&self, later: impl Future<Output = T> + 'static, waited: fn(T) -> Waited) -> Option<T> {
        let mut later = Box::pin(later);
        match later.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => {
                self.later(async move { waited(later.await) });
                None
            }
        }
    }

    /// Awaits it: [`Shard::go_on`] hears of it.
    pub(super) fn later(&self, later: impl Future<Output = Waited> + 'static) {
        self.waiting.push(Box::pin(later));
    }

    /// Goes on with a script that had to wait.
    fn go_on(&mut self, waited: Waited, now: Instant, more: &mut Vec<Effect>) {
        match waited {
            Waited::Routed(routed) => self.go_on_routed(routed, now, more),
            Waited::Onward(onward) => self.go_on_onward(onward, now, more),
            Waited::Admitted(admitted) => self.go_on_admitted(admitted, now, more),
            Waited::Kept(kept) => self.answer_registration(kept, now, more),
            Waited::Told(()) => {}
        }
    }

    /// Carries effects out until nothing is left; answering one may cause more.
    pub(super) fn work(&mut self, mut effects: Vec<Effect>, now: Instant, out: &mut Vec<Transmit>) {
        let mut more = Vec::new();
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                self.carry_out(effect, now, &mut more, out);
            }
            std::mem::swap(&mut effects, &mut more);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect, now: Instant, more: &mut Vec<Effect>, out: &mut Vec<Transmit>) {
        match effect {
            Effect::Transmit { flow, bytes } => {
                self.parts.observer.sent(now, flow, &bytes);
                out.push(Transmit { flow, bytes });
            }
            Effect::Request { id, message, flow } => {
                let mut replies = Replies::new(id);
                dispatch::request(self, &mut replies, &message, flow, now, more);
                self.reply(replies, now, more);
            }
            Effect::Ack { message, flow: _ } => self.acknowledge_call(&message, now, more),
            Effect::Cancelled { id, message: _ } if self.undecided.contains_key(&id) => self.cancel_undecided(id, now, more),
            Effect::Cancelled { id, message } => self.cancel_call(id, &message, now, more),
            Effect::Response { id, message, .. } if self.answer_message(id, Some(&message), now, more) => {}
            Effect::Response { id, message, .. } if self.answer_notice(id, Some(&message)) => {}
            Effect::Response { id, message, .. } if self.answer_notify(id, Some(&message), now, more) => {}
            Effect::Response { id, message, flow } if self.answer_keeper(id, Ok((&message, flow)), now, more) => {}
            Effect::Response { id, message, flow } => self.answer_call(id, &message, flow, now, more),
            Effect::Failed { id, .. } if self.answer_message(id, None, now, more) => {}
            Effect::Failed { id, .. } if self.answer_notice(id, None) => {}
            Effect::Failed { id, .. } if self.answer_notify(id, None, now, more) => {}
            Effect::Failed { id, why } if self.answer_keeper(id, Err(why), now, more) => {}
            Effect::Failed { id, why } => self.fail_call(id, why, now, more),
            // The peer never acknowledged a refusal: there is nothing to keep and nothing to do.
            Effect::Unacknowledged { id: _ } => {}
            Effect::Dropped { flow, why } => self.parts.observer.dropped(now, flow, why),
        }
    }

    /// Sends what a script has answered.
    pub(super) fn reply(&mut self, mut replies: Replies, now: Instant, more: &mut Vec<Effect>) {
        for response in replies.take() {
            self.stack.respond(replies.id, response, now, more);
        }
    }

    fn expire_bindings(&mut self, now: Instant) {
        if self.parts.site.registrar.deadline().is_some_and(|at| at <= now) {
            let changes = self.parts.site.registrar.expire(now);
            if let Some(keep) = &self.parts.keep {
                let kept = keep.keep(changes);
                self.later(async move { Waited::Kept(Kept::forgotten(kept.await)) });
            }
        }
    }
}
