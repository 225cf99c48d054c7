//! Calls alive: which bridge an event belongs to, and what a bridge's effects mean for the stack.

use super::{
    Observer,
    exchange::Letter,
    helped::Helped,
    kept::Unwritten,
    ladder::{Ladder, Said},
    lines::OnLine,
    place::Follower,
    shard::{Shard, Waited},
};
use sip::{
    Instant, Message,
    build::Request,
    header::Name,
    message::Method,
    random::Random,
    stack::{Branch, ClientId, Effect, Failure, ServerId, Stack},
    transport::Flow,
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use switch::{
    bridge::{self, Bridge, DialogId, Event, Found, Half, Home, SendId, Stamps},
    decision::Refusal,
    facts::CallKind,
    gruu,
    record::{self, CallDetail, CallRecord},
    trunk::Evicted,
};

/// So long after a call the requests in its dialogs may come again (RFC 3261 17.2: 64*T1, and T4 for the ACK of a refusal), and must find their
/// transactions: a dialog that was taken from another shard leads here until then.
const LINGERS: Duration = Duration::from_secs(32 + 5);

/// A dialog that was taken from another shard: its Call-ID and our tag.
pub(super) type MovedDialog = (Box<[u8]>, Box<[u8]>);

/// Names a call of a shard.
pub(super) type Key = u64;

/// The calls of one shard.
///
/// Tags and transaction ids are made here at random, so no peer can choose keys that collide.
#[derive(Debug)]
pub(super) struct Live {
    /// Boxed: a table of entries would hold room for as many again.
    pub(super) calls: HashMap<Key, Box<Entry>>,
    pub(super) by_tag: HashMap<Box<[u8]>, Key>,
    /// Those of them that belong to calls for help.
    pub(super) helped: Helped,
    pub(super) by_client: HashMap<ClientId, (Key, SendId)>,
    pub(super) by_server: HashMap<ServerId, Key>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    home: Home,
    /// What must be written down.
    pub(super) unwritten: Unwritten,
    /// Placed calls in which nobody talks yet.
    placing: usize,
    /// Dialogs of other shards whose calls are over, until their transactions are: Call-ID and our tag.
    leaving: VecDeque<(Instant, MovedDialog)>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) bridge: Bridge,
    pub(super) tags: Vec<Box<[u8]>>,
    /// Call-ID and our tag of dialogs that were taken from calls of other shards.
    pub(super) moved: Vec<MovedDialog>,
    pub(super) sent: Vec<(SendId, ClientId, SocketAddr)>,
    /// What watchers of its phones are shown of it.
    on_lines: Vec<OnLine>,
    /// INVITE transactions of either side, so that a CANCEL finds its call.
    invites: Vec<ServerId>,
    /// The earliest entry in `timers`, so that none is pushed twice.
    armed: Option<Instant>,
    ladder: Ladder,
    /// What became of it, once it has ended.
    record: Option<CallRecord>,
    /// The same with everything that is kept of it.
    pub(super) detail: Option<Arc<CallDetail>>,
    /// The branches of INVITEs that were sent before a restart.
    pub(super) branches: Vec<(SendId, Branch)>,
    /// What of it has been written down.
    pub(super) written: Stamps,
    /// Something of it waits to be written down.
    pub(super) late: bool,
    /// Of a call that the gateway has placed.
    follower: Option<Follower>,
}

impl Entry {
    pub(super) fn new(bridge: Bridge, ladder: Ladder) -> Self {
        Self {
            invites: bridge.invite().into_iter().collect(),
            bridge,
            tags: Vec::new(),
            moved: Vec::new(),
            sent: Vec::new(),
            on_lines: Vec::new(),
            armed: None,
            ladder,
            record: None,
            detail: None,
            branches: Vec::new(),
            written: Stamps::default(),
            late: false,
            follower: None,
        }
    }

    /// It is over.
    fn ends(&mut self, record: CallRecord, observer: &dyn Observer) {
        observer.ended(&record);
        let detail = Arc::new(self.bridge.detail(record.clone()));
        observer.detailed(&detail);
        (self.detail, self.record) = (Some(detail), Some(record));
    }

    /// Sends a request of this call; one for help has the stack's reserve.
    fn send(&self, stack: &mut Stack, request: Request, flow: Flow, now: Instant, more: &mut Vec<Effect>) -> ClientId {
        match self.bridge.call().kind {
            CallKind::Emergency | CallKind::Callback => stack.request_urgent(request, flow, now, more),
            CallKind::Normal | CallKind::EmergencyTest => stack.request(request, flow, now, more),
        }
    }

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
            Event::Cancelled { id, .. } => self.ladder.cancelled(*id, now),
            Event::Response { message, flow, .. } => {
                self.ladder.add(now, flow.remote, true, Said::Response(message.status()));
                if let Some(follower) = &self.follower {
                    follower.heard(message, now);
                }
            }
            Event::Failed { id, .. } => {
                if let Some((_, _, peer)) = self.sent.iter().rev().find(|(sent, ..)| sent == id) {
                    self.ladder.add(now, *peer, true, Said::Silence);
                }
            }
            Event::Start
            | Event::Routed { .. }
            | Event::Taken { .. }
            | Event::Brought { .. }
            | Event::Park { .. }
            | Event::HangUp
            | Event::Expire => {}
        }
    }
}

impl Live {
    pub(super) fn new(index: usize, shards: usize) -> Self {
        Self {
            calls: HashMap::new(),
            by_tag: HashMap::new(),
            helped: Helped::default(),
            by_client: HashMap::new(),
            by_server: HashMap::new(),
            timers: BinaryHeap::new(),
            home: Home { index, shards, call_id: local_call_id },
            unwritten: Unwritten::default(),
            placing: 0,
            leaving: VecDeque::new(),
        }
    }

    /// Placed calls in which nobody talks yet.
    pub(super) const fn placing(&self) -> usize {
        self.placing
    }

    /// Notes what policies have said about where a call goes on to, for its record.
    pub(super) fn said(&mut self, key: Key, said: Vec<record::Said>) {
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.bridge.said(said);
        }
    }

    /// The call of this Call-ID.
    pub(super) fn find(&self, call_id: &[u8]) -> Option<(Key, CallKind)> {
        let is = |entry: &Entry| entry.record.is_none() && entry.bridge.call().message.call_id() == call_id;
        self.calls.iter().find(|(_, entry)| is(entry)).map(|(key, entry)| (*key, entry.bridge.call().kind))
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) const fn home(&self) -> Home {
        self.home
    }

    /// The calls that a phone of this endpoint has part in, oldest first. Looks at every call.
    pub(super) fn with(&self, endpoint: &str) -> Vec<Key> {
        let mut keys: Vec<Key> = self.calls.iter().filter(|(_, entry)| entry.bridge.involves(endpoint)).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// Whether a request is inside a dialog of a call that is up.
    pub(super) fn has(&self, message: &Message) -> bool {
        message.to().and_then(|to| to.tag()).is_some_and(|tag| self.by_tag.contains_key(tag))
    }

    /// A call, and what it has shown of its phones.
    pub(super) fn shown(&mut self, key: Key) -> Option<(&Bridge, &mut Vec<OnLine>)> {
        self.calls.get_mut(&key).map(|entry| (&entry.bridge, &mut entry.on_lines))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let leaves = self.leaving.front().map(|(at, ..)| *at);
        self.timers.peek().map(|Reverse((at, _))| *at).into_iter().chain(leaves).min()
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
        self.bring_to_life(bridge, None, now, more);
    }

    /// Puts a call to life that the gateway makes itself.
    pub(super) fn start_placed(&mut self, bridge: Bridge, follower: Follower, now: Instant, more: &mut Vec<Effect>) {
        self.live.placing += usize::from(!bridge.is_alone());
        self.bring_to_life(bridge, Some(follower), now, more);
    }

    fn bring_to_life(&mut self, bridge: Bridge, follower: Option<Follower>, now: Instant, more: &mut Vec<Effect>) {
        // At random, so that no two calls of any shard or process have the same in what is written down.
        let key = self.random.next_u64();
        let mut bridge = bridge;
        // It has no channel yet that could be wanted.
        bridge.named(key, &mut Vec::new());
        let mut ladder = Ladder::default();
        if let Some(invite) = bridge.invite() {
            ladder.asked(invite, Method::Invite, bridge.call().flow, now);
            self.live.by_server.insert(invite, key);
        }
        let mut entry = Box::new(Entry::new(bridge, ladder));
        entry.follower = follower;
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

    pub(super) fn cancel_call(&mut self, id: ServerId, cancel: &Message, now: Instant, more: &mut Vec<Effect>) {
        if let Some(key) = self.live.by_server.get(&id).copied() {
            let reasons: Vec<_> = cancel.values(Name::Reason).map(String::from_utf8_lossy).collect();
            let reason = (!reasons.is_empty()).then(|| reasons.join(", "));
            self.step(key, Event::Cancelled { id, reason: reason.as_deref() }, now, more);
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
        let Live { leaving, by_tag, .. } = &mut self.live;
        // Calls are limited, and what they leave behind is, too.
        while leaving.front().is_some_and(|(at, ..)| *at <= now) || leaving.len() > self.parts.site.limits.calls {
            let Some((_, (call_id, tag))) = leaving.pop_front() else { break };
            // It may have come back to another call of this shard, and that may be over as well.
            if !by_tag.contains_key(&tag) && !leaving.iter().any(|(_, (_, later))| *later == tag) {
                self.parts.exchange.forget(&call_id, self.parts.index);
            }
        }
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

    /// A call of this shard gives away whom the peer of this dialog talks to, or says that it rings there.
    pub(super) fn give(&mut self, dialog: &DialogId, now: Instant, more: &mut Vec<Effect>) -> Result<Found, Refusal> {
        let Some((key, entry)) = self.named(dialog).and_then(|key| Some((key, self.live.calls.get_mut(&key)?))) else {
            return Err(Refusal::new(481, "Call/Transaction Does Not Exist", "a Replaces names no dialog of ours"));
        };
        let mut effects = Vec::new();
        let found = entry.bridge.give(dialog, now, &mut effects);
        self.obey(key, effects, now, more);
        found
    }

    /// A call of this shard takes in who picks it up; gives that back when it does not ring any more.
    pub(super) fn take_in(&mut self, dialog: &DialogId, half: Box<Half>, now: Instant, more: &mut Vec<Effect>) -> Option<Box<Half>> {
        let Some((key, entry)) = self.named(dialog).and_then(|key| Some((key, self.live.calls.get_mut(&key)?))) else { return Some(half) };
        let mut effects = Vec::new();
        let back = entry.bridge.bring(dialog, half, &mut effects).err();
        self.obey(key, effects, now, more);
        back
    }

    /// Calls that are to end for a call for help hear of it when what this turn has to say is on its way, on this shard as on others: the call for help waits
    /// for none of them.
    fn make_room(&self, key: Key, evicted: Vec<Evicted>) {
        let help = self.live.calls.get(&key).map(|entry| entry.bridge.call().message.call_id().to_vec()).unwrap_or_default();
        for evicted in evicted {
            self.parts.exchange.answer(evicted.holder.shard, Letter::Evict { evicted, help: help.clone() });
        }
    }

    /// A call of this shard ends for a call for help, unless it has already, or does without that channel.
    pub(super) fn evict(&mut self, evicted: &Evicted, help: &[u8], now: Instant, more: &mut Vec<Effect>) {
        let key = evicted.holder.call;
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        let mut effects = Vec::new();
        if entry.bridge.evicted(evicted.channel, now, &mut self.random, &mut effects) {
            self.parts.observer.evicted(now, &evicted.trunk, entry.bridge.call().message.call_id(), help);
        }
        self.obey(key, effects, now, more);
    }

    /// The call that has this dialog.
    fn named(&self, dialog: &DialogId) -> Option<Key> {
        self.live.by_tag.get(dialog.local_tag.as_slice()).copied()
    }

    /// Carries out what a bridge wants.
    pub(super) fn obey(&mut self, key: Key, effects: Vec<bridge::Effect>, now: Instant, more: &mut Vec<Effect>) {
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        let (mut ended, mut brought) = (None, None);
        let (mut onward, mut wanted, mut unsent, mut evicted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                bridge::Effect::Send { id, mut request, flow } => {
                    let flow = gruu::follow(&mut request, flow, &self.parts.site);
                    entry.ladder.add(now, flow.remote, false, Said::Request(request.method()));
                    if let Some(follower) = &entry.follower {
                        follower.sent(&request, flow, now);
                    }
                    let client = entry.send(&mut self.stack, request, flow, now, more);
                    self.live.by_client.insert(client, (key, id));
                    entry.sent.push((id, client, flow.remote));
                }
                bridge::Effect::Redirect { id, flow } => self.stack.redirect(id, flow),
                bridge::Effect::Reroute { id, flow } => {
                    if let Some((_, client, _)) = entry.sent.iter().rev().find(|(sent, ..)| *sent == id) {
                        self.stack.reroute(*client, flow);
                    }
                }
                bridge::Effect::Again(again) => {
                    let id = again.id;
                    match entry.send_again(again, &mut self.stack, now, more) {
                        Some(client) => drop(self.live.by_client.insert(client, (key, id))),
                        None => unsent.push(id),
                    }
                }
                bridge::Effect::Respond { id, response } => {
                    entry.ladder.answered(id, response.status(), now);
                    if response.status() >= 200 && Some(id) != entry.bridge.invite() {
                        // A re-INVITE that has its answer cannot be cancelled any more.
                        self.live.by_server.remove(&id);
                        entry.invites.retain(|invite| *invite != id);
                    }
                    self.stack.respond(id, response, now, more);
                }
                bridge::Effect::Ack { of, tag, mut request, flow } => {
                    let flow = gruu::follow(&mut request, flow, &self.parts.site);
                    entry.ladder.add(now, flow.remote, false, Said::Request(Method::Ack));
                    match entry.sent.iter().rev().find(|(sent, ..)| *sent == of) {
                        Some((_, client, _)) => self.stack.acknowledge(*client, &tag, request, flow, more),
                        None => self.stack.transmit(request, flow, more),
                    }
                }
                bridge::Effect::Cancel { id, reason } => {
                    if let Some((_, client, peer)) = entry.sent.iter().rev().find(|(sent, ..)| *sent == id) {
                        entry.ladder.add(now, *peer, false, Said::Request(Method::Cancel));
                        self.stack.cancel(*client, reason.as_deref(), now, more);
                    }
                }
                bridge::Effect::Route { hunt, call } => onward.push((hunt, call)),
                bridge::Effect::Evict(other) => evicted.push(other),
                bridge::Effect::Limit(name) => self.parts.observer.dropped(now, entry.bridge.call().flow, name),
                bridge::Effect::Own(tag) => {
                    let tag: Box<[u8]> = tag.as_bytes().into();
                    self.live.by_tag.insert(tag.clone(), key);
                    self.live.helped.add(&tag, &entry.bridge);
                    entry.tags.push(tag);
                }
                bridge::Effect::Take { hunt, dialog } => wanted.push((hunt, dialog)),
                bridge::Effect::Bring { dialog, half } => brought = Some((dialog, half)),
                bridge::Effect::Adopt { call_id, tag } => {
                    let tag = tag.into_boxed_slice();
                    self.live.by_tag.insert(tag.clone(), key);
                    self.live.helped.add(&tag, &entry.bridge);
                    entry.tags.push(tag.clone());
                    if self.parts.exchange.home(&call_id) != self.parts.index {
                        self.parts.exchange.moves(&call_id, self.parts.index);
                    }
                    entry.moved.push((call_id.into_boxed_slice(), tag));
                }
                bridge::Effect::End(record) => {
                    // Of a call of the gateway's own they know nothing.
                    ended = (self.parts.runner.observes() && !entry.bridge.is_alone()).then(|| record.clone());
                    entry.ends(record, &*self.parts.observer);
                }
            }
        }
        if !evicted.is_empty() {
            self.make_room(key, evicted);
        }
        self.tell_follower(key);
        if let Some(record) = ended {
            self.tell(record);
        }
        self.show(key);
        self.look_after(key, now);
        for id in unsent {
            self.step(key, Event::Failed { id, why: Failure::Timeout }, now, more);
        }
        for (hunt, call) in onward {
            self.send_on(key, hunt, *call, now, more);
        }
        for (hunt, dialog) in wanted {
            self.want(key, hunt, dialog, now, more);
        }
        if let Some((dialog, half)) = brought {
            self.bring(key, dialog, half, now, more);
        }
    }

    /// Tells whoever has ordered a call how it goes.
    fn tell_follower(&mut self, key: Key) {
        let Some(entry) = self.live.calls.get(&key) else { return };
        if let Some(follower) = &entry.follower {
            let waited = follower.waits();
            match &entry.record {
                Some(record) => follower.ended(record),
                None if waited && entry.bridge.talks() => follower.talks(entry.bridge.answered_by().unwrap_or_default()),
                None if waited && entry.bridge.reached() => follower.reached(),
                None => {}
            }
            self.live.placing -= usize::from(waited && !follower.waits() && !entry.bridge.is_alone());
        }
    }

    /// What is to be done after each event of a call: what it has sent is looked through, it is written down, and its clock is set or it is forgotten.
    fn look_after(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.live.calls.get_mut(&key) else { return };
        // Long calls send many requests: forget those that have had their final answer.
        if entry.sent.len() > 8 {
            let Entry { bridge, sent, .. } = &mut **entry;
            sent.retain(|(id, client, _)| {
                let open = bridge.awaits(*id);
                if !open {
                    self.live.by_client.remove(client);
                }
                open
            });
        }
        self.live.unwritten.changed(key, entry);
        if entry.bridge.finished() {
            self.forget(key, now);
        } else if let Some((at, _)) = entry.bridge.deadline()
            && entry.armed.is_none_or(|armed| at < armed)
        {
            entry.armed = Some(at);
            self.live.timers.push(Reverse((at, key)));
        }
    }

    /// Tells the policies that a call has ended.
    pub(super) fn tell(&self, record: CallRecord) {
        let runner = Rc::clone(&self.parts.runner);
        let _told = self.now_or_later(async move { runner.ended(&record).await }, Waited::Told);
    }

    fn forget(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.live.calls.remove(&key) else { return };
        self.live.unwritten.gone(key, &entry);
        if let Some(record) = &entry.record {
            self.parts.observer.told(record, &entry.ladder, &entry.bridge.dialled());
        }
        for invite in &entry.invites {
            self.live.by_server.remove(invite);
        }
        let own = entry.moved.iter().filter(|(_, tag)| self.live.by_tag.get(tag) == Some(&key));
        self.live.leaving.extend(own.map(|dialog| (now + LINGERS, dialog.clone())));
        for tag in &entry.tags {
            // A dialog that was given away is another call's.
            if self.live.by_tag.get(tag) == Some(&key) {
                self.live.by_tag.remove(tag);
                self.live.helped.remove(tag);
            }
        }
        for (_, client, _) in &entry.sent {
            self.live.by_client.remove(client);
        }
    }
}
