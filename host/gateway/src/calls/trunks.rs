//! The first shard keeps the trunks: what [`Keeper`] asks goes out over this shard's transactions, and their ends go back to it.

use super::{live::local_call_id, shard::Shard};
use sip::{
    Instant, Message,
    stack::{ClientId, Effect, Failure},
    transport::Flow,
};
use std::collections::HashMap;
use switch::{
    bridge::Home,
    trunk::{Ask, AskId, Keeper},
};

/// The keeper, and which transaction carries which of its requests.
#[derive(Debug)]
pub(super) struct Trunks {
    keeper: Keeper,
    carried: HashMap<ClientId, AskId>,
}

impl Trunks {
    /// Those of the first shard; the others keep none.
    pub(super) fn new(index: usize, shards: usize) -> Option<Self> {
        let home = Home { index, shards, call_id: local_call_id };
        (index == 0).then(|| Self { keeper: Keeper::new(home), carried: HashMap::new() })
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.keeper.deadline()
    }
}

impl Shard {
    /// Does what is due for the trunks, and tells whoever watches what has changed.
    pub(super) fn look_after_trunks(&mut self, now: Instant, more: &mut Vec<Effect>) {
        let Some(trunks) = &mut self.trunks else { return };
        if now < trunks.deadline() {
            return;
        }
        let mut asks = Vec::new();
        trunks.keeper.look(&self.parts.site, now, &mut self.random, &mut asks);
        self.ask(asks, now, more);
        self.tell_changes();
    }

    /// A trunk has answered a request of the keeper, or (`Err`) will not; `false` when it was none of its requests.
    pub(super) fn answer_keeper(
        &mut self,
        id: ClientId,
        answer: Result<(&Message, Flow), Failure>,
        now: Instant,
        more: &mut Vec<Effect>,
    ) -> bool {
        let Some(trunks) = &mut self.trunks else { return false };
        let Some(asked) = trunks.carried.get(&id).copied() else { return false };
        if answer.is_ok_and(|(message, _)| message.status() < 200) {
            return true;
        }
        trunks.carried.remove(&id);
        let (site, random, mut asks) = (&self.parts.site, &mut self.random, Vec::new());
        match answer {
            Ok((message, flow)) => trunks.keeper.answered(asked, message, flow, site, now, random, &mut asks),
            Err(why) => trunks.keeper.failed(asked, why, site, now, random, &mut asks),
        }
        self.ask(asks, now, more);
        self.tell_changes();
        true
    }

    /// A connection has ended, perhaps one by which we are registered.
    pub(super) fn tell_keeper_lost(&mut self, flow: Flow, now: Instant) {
        if let Some(trunks) = &mut self.trunks {
            trunks.keeper.lost(flow, now, &mut self.random);
        }
    }

    /// The gateway ends: registrations at providers are taken back.
    pub fn leave_trunks(&mut self, now: Instant, out: &mut Vec<super::Transmit>) {
        let Some(trunks) = &mut self.trunks else { return };
        let mut asks = Vec::new();
        trunks.keeper.leave(now, &mut self.random, &mut asks);
        let mut effects = std::mem::take(&mut self.effects);
        self.ask(asks, now, &mut effects);
        self.work(effects, now, out);
    }

    /// Whether no registration is left at any provider, after [`Shard::leave_trunks`]. A shard that keeps no trunks has none.
    #[must_use]
    pub fn trunks_left(&self) -> bool {
        self.trunks.as_ref().is_none_or(|trunks| trunks.keeper.left())
    }

    fn ask(&mut self, asks: Vec<Ask>, now: Instant, more: &mut Vec<Effect>) {
        for Ask { id, request, flow } in asks {
            let client = self.stack.request(request, flow, now, more);
            if let Some(trunks) = &mut self.trunks {
                trunks.carried.insert(client, id);
            }
        }
    }

    fn tell_changes(&self) {
        for change in self.parts.site.trunks.take_changes() {
            self.parts.observer.trunk_changed(&change);
        }
    }
}
