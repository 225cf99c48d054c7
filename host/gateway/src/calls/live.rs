//! Calls alive: which bridge an event belongs to, and what a bridge's effects mean for the stack.

use super::{
    ladder::{Ladder, Said},
    shard::{Shard, Waited},
};
use sip::{
    Instant, Message,
    message::Method,
    random::Random,
    stack::{ClientId, Effect, Failure, ServerId},
    transport::Flow,
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    rc::Rc,
};
use switch::{
    bridge::{self, Bridge, DialogId, Event, Half, Home, SendId},
    decision::Refusal,
    record::CallRecord,
};

/// Names a call of a shard.
pub(super) type Key = u64;

/// The calls of one shard.
///
/// Tags and transaction ids are made here at random, so no peer can choose keys that collide.
#[derive(Debug)]
pub(super) struct Live {
    calls: HashMap<Key, Entry>,
    next: Key,
    by_tag: HashMap<Box<[u8]>, Key>,
    by_client: HashMap<ClientId, (Key, SendId)>,
    by_server: HashMap<ServerId, Key>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    home: Home,
}

#[derive(Debug)]
struct Entry {
    bridge: Bridge,
    tags: Vec<Box<[u8]>>,
    /// Call-IDs of dialogs that were taken from calls of other shards.
    moved: Vec<Box<[u8]>>,
    sent: Vec<(SendId, ClientId, SocketAddr)>,
    /// INVITE transactions of either side, so that a CANCEL finds its call.
    invites: Vec<ServerId>,
    /// The earliest entry in `timers`, so that none is pushed twice.
    armed: Option<Instant>,
    ladder: Ladder,
    /// What became of it, once it has ended.
    record: Option<CallRecord>,
}

impl Entry {
    /// Writes down what came in.
    fn hears(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Request { id, message, flow } => self.ladder.asked(*id, message.method(), *flow, now),
            Event::Ack { message } => {
                let (call, id) = (self.bridge.call(), message.call_id());
                let leg = || self.bridge.dialled().into_iter().find(|leg| leg.call_id.as_bytes() == id).map(|leg| leg.at);
                if let Some(peer) = if call.message.call_id() == id { Some(call.flow.remote) } else { leg() } {
                    self.ladder.add(now, peer, true, Said::Request(Method::Ack));
                }
            }
            Event::Cancelled { id } => self.ladder.cancelled(*id, now),
            Event::Response { message, flow, .. } => self.ladder.add(now, flow.remote, true, Said::Response(message.status())),
            Event::Failed { id, .. } => {
                if let Some((_, _, peer)) = self.sent.iter().rev().find(|(sent, ..)| sent == id) {
                    self.ladder.add(now, *peer, true, Said::Silence);
                }
            }
            Event::Start | Event::Routed { .. } | Event::Taken { .. } | Event::Expire => {}
        }
    }
}

impl Live {
    pub(super) fn new(index: usize, shards: usize) -> Self {
        Self {
            calls: HashMap::new(),
            next: 0,
            by_tag: HashMap::new(),
            by_client: HashMap::new(),
            by_server: HashMap::new(),
            timers: BinaryHeap::new(),
            home: Home { index, shards, call_id: local_call_id },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) const fn home(&self) -> Home {
        self.home
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }
}

/// A Call-ID of ours that leads back to shard `index`.
pub(super) fn local_call_id(random: &mut Random, index: usize, shards: usize) -> String {
    loop {
        let candidate = format!("{}{}", random.token(), random.token());
        if super::shard_of(candidate.as_bytes(), shards) == index {
            return candidate;
        }
    }
}

impl Shard {
    /// Puts a decided call to life.
    pub(super) fn start_call(&mut self, bridge: Bridge, now: Instant, more: &mut Vec<Effect>) {
        let key = self.live.next;
        self.live.next += 1;
        let invite = bridge.invite();
        let mut ladder = Ladder::default();
        ladder.asked(invite, Method::Invite, bridge.call().flow, now);
        self.live.by_server.insert(invite, key);
        let entry = Entry {
            bridge,
            tags: Vec::new(),
            moved: Vec::new(),
            sent: Vec::new(),
            invites: vec![invite],
            armed: None,
            ladder,
            record: None,
        };
        self.live.calls.insert(key, entry);
        self.step(key, Event::Start, now, more);
    }

    /// Hands a request inside a dialog to its call; `false` when no call owns its To tag.
    pub(super) fn in_dialog(&mut self, id: ServerId, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) -> bool {
        let Some(key) = self.call_of(message) else { return false };
        if message.method() == Method::Invite {
            self.live.by_server.insert(id, key);
            if let Some(entry) = self.live.calls.get_mut(&key) {
                entry.invites.push(id);
            }
        }
        self.step(key, Event::Request { id, message, flow }, now, more);
        true
    }

    pub(super) fn acknowledge_call(&mut self, message: &Message, now: Instant, more: &mut Vec<Effect>) {
        if let Some(key) = self.call_of(message) {
            self.step(key, Event::Ack { message }, now, more);
        }
    }

    pub(super) fn cancel_call(&mut self, id: ServerId, now: Instant, more: &mut Vec<Effect>) {
        if let Some(key) = self.live.by_server.get(&id).copied() {
            self.step(key, Event::Cancelled { id }, now, more);
        }
    }

    pub(super) fn answer_call(&mut self, id: ClientId, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) {
        let Some((key, send)) = self.live.by_client.get(&id).copied() else { return };
        self.step(key, Event::Response { id: send, message, flow }, now, more);
    }

    pub(super) fn fail_call(&mut self, id: ClientId, why: Failure, now: Instant, more: &mut Vec<Effect>) {
        let Some((key, send)) = self.live.by_client.remove(&id) else { return };
        self.step(key, Event::Failed { id: send, why }, now, more);
    }

    pub(super) fn expire_calls(&mut self, now: Instant, more: &mut Vec<Effect>) {
        while let Some(Reverse((at, key))) = self.live.timers.peek().copied() {
            if at > now {
                return;
            }
            self.live.timers.pop();
            let Some(entry) = self.live.calls.get_mut(&key) else { continue };
            entry.armed = None;
            self.step(key, Event::Expire, now, more);
        }
    }

    fn call_of(&self, message: &Message) -> Option<Key> {
        let to = message.to()?;
        self.live.by_tag.get(to.tag()?).copied()
    }

    /// Feeds one event to one bridge and carries its effects out.
    pub(super) fn step(&mut self, key: Key, event: Event<'_>, now: Instant, more: &mut Vec<Effect>) {
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        let mut effects = Vec::new();
        entry.hears(&event, now);
        entry.bridge.on(event, now, &mut self.random, &mut effects);
        self.obey(key, effects, now, more);
    }

    /// A call of this shard gives away whom the peer of this dialog talks to.
    pub(super) fn give(&mut self, dialog: &DialogId, now: Instant, more: &mut Vec<Effect>) -> Result<Box<Half>, Refusal> {
        let key = self.live.by_tag.get(dialog.local_tag.as_slice()).copied();
        let Some((key, entry)) = key.and_then(|key| Some((key, self.live.calls.get_mut(&key)?))) else {
            return Err(Refusal::new(481, "Call/Transaction Does Not Exist", "a Replaces names no dialog of ours"));
        };
        let mut effects = Vec::new();
        let half = entry.bridge.give(dialog, now, &mut effects);
        self.obey(key, effects, now, more);
        half
    }

    /// Carries out what a bridge wants.
    fn obey(&mut self, key: Key, effects: Vec<bridge::Effect>, now: Instant, more: &mut Vec<Effect>) {
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        let mut ended = None;
        let mut onward = Vec::new();
        let mut wanted = Vec::new();
        for effect in effects {
            match effect {
                bridge::Effect::Send { id, request, flow } => {
                    entry.ladder.add(now, flow.remote, false, Said::Request(request.method()));
                    let client = self.stack.request(request, flow, now, more);
                    self.live.by_client.insert(client, (key, id));
                    entry.sent.push((id, client, flow.remote));
                }
                bridge::Effect::Respond { id, response } => {
                    entry.ladder.answered(id, response.status(), now);
                    self.stack.respond(id, response, now, more);
                }
                bridge::Effect::Ack { request, flow } => {
                    entry.ladder.add(now, flow.remote, false, Said::Request(Method::Ack));
                    self.stack.transmit(request, flow, more);
                }
                bridge::Effect::Cancel { id, reason } => {
                    if let Some((_, client, peer)) = entry.sent.iter().rev().find(|(sent, ..)| *sent == id) {
                        entry.ladder.add(now, *peer, false, Said::Request(Method::Cancel));
                        self.stack.cancel(*client, reason, now, more);
                    }
                }
                bridge::Effect::Route { hunt, call } => onward.push((hunt, call)),
                bridge::Effect::Limit(name) => self.parts.observer.dropped(now, entry.bridge.call().flow, name),
                bridge::Effect::Own(tag) => {
                    let tag: Box<[u8]> = tag.as_bytes().into();
                    self.live.by_tag.insert(tag.clone(), key);
                    entry.tags.push(tag);
                }
                bridge::Effect::Take { hunt, dialog } => wanted.push((hunt, dialog)),
                bridge::Effect::Adopt { call_id, tag } => {
                    let tag = tag.into_boxed_slice();
                    self.live.by_tag.insert(tag.clone(), key);
                    entry.tags.push(tag);
                    if self.parts.exchange.home(&call_id) != self.parts.index {
                        self.parts.exchange.moves(&call_id, self.parts.index);
                    }
                    entry.moved.push(call_id.into_boxed_slice());
                }
                bridge::Effect::End(record) => {
                    ended = self.parts.runner.observes().then(|| record.clone());
                    self.parts.observer.ended(&record);
                    entry.record = Some(record);
                }
            }
        }
        if let Some(record) = ended {
            self.tell(record);
        }
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        // Long calls send many requests: forget those that have had their final answer.
        if entry.sent.len() > 8 {
            let Entry { bridge, sent, .. } = entry;
            sent.retain(|(id, client, _)| {
                let open = bridge.awaits(*id);
                if !open {
                    self.live.by_client.remove(client);
                }
                open
            });
        }
        if entry.bridge.finished() {
            self.forget(key);
        } else if let Some((at, _)) = entry.bridge.deadline()
            && entry.armed.is_none_or(|armed| at < armed)
        {
            entry.armed = Some(at);
            self.live.timers.push(Reverse((at, key)));
        }
        for (hunt, call) in onward {
            self.send_on(key, hunt, *call, now, more);
        }
        for (hunt, dialog) in wanted {
            self.want(key, hunt, dialog, now, more);
        }
    }

    /// Tells the policies that a call has ended.
    pub(super) fn tell(&self, record: CallRecord) {
        let runner = Rc::clone(&self.parts.runner);
        let _told = self.now_or_later(async move { runner.ended(&record).await }, Waited::Told);
    }

    fn forget(&mut self, key: Key) {
        let Some(entry) = self.live.calls.remove(&key) else { return };
        if let Some(record) = &entry.record {
            self.parts.observer.told(record, &entry.ladder, &entry.bridge.dialled());
        }
        for invite in &entry.invites {
            self.live.by_server.remove(invite);
        }
        for tag in &entry.tags {
            // A dialog that was given away is another call's.
            if self.live.by_tag.get(tag) == Some(&key) {
                self.live.by_tag.remove(tag);
            }
        }
        for call_id in &entry.moved {
            self.parts.exchange.forget(call_id);
        }
        for (_, client, _) in &entry.sent {
            self.live.by_client.remove(client);
        }
    }
}
