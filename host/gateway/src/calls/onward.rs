//! A call goes on to somebody else while it is being made or talks: a phone forwards it, or somebody transfers it. The
//! policies decide as about a new call of whoever sends it on: nobody reaches by a detour what he may not dial.

use super::{
    exchange::Letter,
    live::Key,
    setup,
    shard::{Shard, Waited},
};
use crate::policy::Step;
use bytes::Bytes;
use sip::{Instant, stack::Effect, transport::Flow};
use std::{rc::Rc, sync::Arc};
use switch::{
    bridge::{DialogId, Event, HuntId},
    decision::{Decision, Refusal},
    facts::{Call, CallKind},
    intake, park,
    plan::{self, Resolved},
    record::Said,
};

/// What the policies said about a call that goes on.
pub(super) struct Onward {
    key: Key,
    hunt: HuntId,
    call: Arc<Call>,
    steps: Vec<Step>,
    decision: Decision,
}

impl Shard {
    /// Finds out where a call goes on to.
    pub(super) fn send_on(&mut self, key: Key, hunt: HuntId, call: Call, now: Instant, more: &mut Vec<Effect>) {
        let mut call = Arc::new(call);
        if call.kind != CallKind::Normal {
            let (plan, said) = setup::help(self, &mut call);
            self.raise(&call, &plan);
            return self.sent_on(key, hunt, said, Ok(plan), now, more);
        }
        if let Err(refusal) = intake::permit(&call, &self.parts.site) {
            self.parts.observer.refused(now, call.message.call_id(), &refusal, None);
            return self.sent_on(key, hunt, Vec::new(), Err(refusal), now, more);
        }
        park::note(Arc::make_mut(&mut call), &self.parts.site.directory(), park::LEAVE);
        let runner = Rc::clone(&self.parts.runner);
        let routing = async move {
            let mut steps = Vec::new();
            let decision = runner.route(&mut call, &mut steps).await;
            Onward { key, hunt, call, steps, decision }
        };
        if let Some(onward) = self.now_or_later(routing, Waited::Onward) {
            self.go_on_onward(onward, now, more);
        }
    }

    /// The policies have decided where a call goes on to.
    pub(super) fn go_on_onward(&mut self, onward: Onward, now: Instant, more: &mut Vec<Effect>) {
        let Onward { key, hunt, call, steps, decision } = onward;
        self.parts.observer.decided(now, call.message.call_id(), &steps);
        let plan = match decision {
            // No policy wants the number for itself or says no: it is the host's.
            Decision::Pass(_) if park::is_slot(&call, &self.parts.site.directory()) => match self.parts.site.lot.take(&call.called) {
                Some(slot) => return self.step(key, Event::Park { hunt, slot }, now, more),
                None => Err(Refusal::new(486, "Slot Taken", format!("a call waits at park slot {} already", call.called))),
            },
            Decision::Route(plan) => plan::resolve(&plan, &call, &self.parts.site),
            Decision::Refuse(refusal) => Err(refusal),
            Decision::Pass(_) => Err(Refusal::new(404, "Not Found", "no policy had a route for where this call was sent on to")),
        };
        let said = setup::said(&steps);
        self.tell_bitten(&call, now);
        if let Err(refusal) = &plan {
            self.parts.observer.refused(now, call.message.call_id(), refusal, setup::decisive(steps).as_deref());
        }
        self.sent_on(key, hunt, said, plan, now, more);
    }

    /// Has the call that a dialog belongs to give away whom its peer talks to, on whatever shard it lives.
    pub(super) fn want(&mut self, key: Key, hunt: HuntId, dialog: DialogId, now: Instant, more: &mut Vec<Effect>) {
        // Who watches a phone knows its dialogs by other names.
        let dialog = self.parts.site.lines.named(&dialog).unwrap_or(dialog);
        let home = self.parts.exchange.home(&dialog.call_id);
        if home == self.parts.index {
            let found = self.give(&dialog, now, more);
            return self.step(key, Event::Taken { hunt, dialog, found }, now, more);
        }
        if let Some(Letter::Wanted { dialog, .. }) =
            self.parts.exchange.offer(home, Letter::Wanted { from: self.parts.index, key, hunt, dialog })
        {
            let found = Err(Refusal::new(503, "Service Unavailable", "a shard has too many letters"));
            self.step(key, Event::Taken { hunt, dialog, found }, now, more);
        }
    }

    /// Reads what other shards have written.
    pub(super) fn read_letters(&mut self, now: Instant, more: &mut Vec<Effect>, messages: &mut Vec<(Bytes, Flow)>) {
        for letter in self.parts.exchange.take(self.parts.index) {
            match letter {
                Letter::Wanted { from, key, hunt, dialog } => {
                    let found = self.give(&dialog, now, more);
                    self.parts.exchange.answer(from, Letter::Given { key, hunt, dialog, found });
                }
                Letter::Given { key, hunt, dialog, found } => self.step(key, Event::Taken { hunt, dialog, found }, now, more),
                Letter::Bring { from, key, dialog, half } => {
                    let back = self.take_in(&dialog, half, now, more);
                    self.parts.exchange.answer(from, Letter::Brought { key, back });
                }
                Letter::Brought { key, back } => self.step(key, Event::Brought { back }, now, more),
                Letter::Message { bytes, flow } => messages.push((bytes, flow)),
                Letter::Evict { evicted, help } => self.evict(&evicted, &help, now, more),
                Letter::Place { order, begun } => self.place(&order, begun, now, more),
                Letter::Announce { to, number, announced, begun } => self.announce(&to, &number, &announced, begun, now, more),
                Letter::Trial { trial, begun } => self.try_trunk(&trial, begun, now, more),
                Letter::Notice { words, done } => self.say(&words, done, now, more),
                Letter::HangUp { call_id, done } => {
                    let _unheard = done.send(self.end_call(&call_id, now, more));
                }
            }
        }
    }

    fn sent_on(&mut self, key: Key, hunt: HuntId, said: Vec<Said>, plan: Result<Resolved, Refusal>, now: Instant, more: &mut Vec<Effect>) {
        self.live.said(key, said);
        self.step(key, Event::Routed { hunt, plan }, now, more);
    }
}
