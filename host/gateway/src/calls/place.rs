//! Calls that whoever runs the gateway has made or ended, through the door in the data folder.

use super::{Exchange, exchange::Letter, live::Key, setup, shard::Shard, shard_of};
use bytes::Bytes;
use sip::{Instant, Message, build::Request, message::Method, stack::Effect, transport::Flow};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};
use switch::{
    bridge::{Announced, Bridge, Event, Order},
    decision::Refusal,
    emergency::drill::{self, Trial},
    facts::{Call, CallKind, Caller},
    record::CallRecord,
};
use tokio::sync::{oneshot, watch};

/// Placed calls whose outcome can be asked for; the oldest is forgotten first.
const REMEMBERED: usize = 1_000;

/// How a call stands that the gateway has placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The user's phone rings, or the target's.
    Calling,
    /// The user has answered; the target's phone rings.
    Reached,
    /// Both talk.
    Talking {
        /// Endpoint id or `trunk:NAME`.
        answered_by: String,
    },
    /// It is over.
    Ended {
        /// 200 when they had talked, else why they did not.
        status: u16,
        /// The same in words.
        cause: String,
    },
}

/// What an order is answered with: the Call-ID of the call, or why there is none.
pub(super) type Begun = oneshot::Sender<Result<String, Refusal>>;

/// The same for a call of the gateway's own.
pub(super) type BegunOwn = oneshot::Sender<Result<Followed, Refusal>>;

/// The same for a test call.
pub(super) type BegunTrial = oneshot::Sender<Result<Tried, Refusal>>;

/// A call of the gateway's own that is being made.
#[derive(Debug)]
pub struct Followed {
    /// Its Call-ID.
    pub call_id: String,
    /// How it stands.
    pub stage: watch::Receiver<Stage>,
}

/// A test call that is being made.
#[derive(Debug)]
pub struct Tried {
    /// The call.
    pub followed: Followed,
    /// The endpoint as which it is made, where one stands at the location.
    pub endpoint: Option<String>,
    /// The test number.
    pub number: String,
    /// What went over the wire.
    pub trace: Arc<Mutex<Trace>>,
}

/// What went over the wire in a test call.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The last INVITE: a challenge is answered with another.
    pub invite: Bytes,
    /// Where it went.
    pub to: Option<SocketAddr>,
    /// When the first one went out.
    pub sent: Option<Instant>,
    /// Status of the first response, a 100 included, and when it came.
    pub first: Option<(u16, Instant)>,
    /// Status, phrase and time of the last final response.
    pub last: Option<(u16, String, Instant)>,
}

/// Follows one placed call.
#[derive(Debug)]
pub(super) struct Follower {
    stage: watch::Sender<Stage>,
    trace: Option<Arc<Mutex<Trace>>>,
}

/// The placed calls of a gateway that can be asked for.
#[derive(Debug, Default)]
pub(super) struct Placed(Mutex<VecDeque<(String, watch::Receiver<Stage>)>>);

impl Exchange {
    /// Has a call placed, by the shards in turn. The answer comes once the user's phone is called, or says why it is not; the receiver fails when the gateway ends.
    pub fn place(&self, order: Order) -> oneshot::Receiver<Result<String, Refusal>> {
        let (begun, answer) = oneshot::channel();
        let shard = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards().max(1);
        self.ask(shard, Letter::Place { order, begun });
        answer
    }

    /// Has the phones of extension `to` rung, which show `number` and what is announced. The answer comes once they ring; the receiver fails when the gateway
    /// ends.
    ///
    /// # Errors
    /// In the answer: those of [`Bridge::announcing`].
    pub fn announce(&self, to: String, number: String, announced: Announced) -> oneshot::Receiver<Result<Followed, Refusal>> {
        let (begun, answer) = oneshot::channel();
        let shard = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards().max(1);
        self.ask(shard, Letter::Announce { to, number, announced, begun });
        answer
    }

    /// Has a test call made over a trunk. As [`Exchange::announce`].
    ///
    /// # Errors
    /// In the answer: those of [`drill::test_call`] and [`drill::through`].
    pub fn try_trunk(&self, trial: Trial) -> oneshot::Receiver<Result<Tried, Refusal>> {
        let (begun, answer) = oneshot::channel();
        let shard = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards().max(1);
        self.ask(shard, Letter::Trial { trial, begun });
        answer
    }

    /// Ends a call by its Call-ID. The receiver fails when the gateway ends.
    ///
    /// # Errors
    /// In the answer: 404 when there is no such call, 403 for a call for help.
    pub fn hang_up(&self, call_id: String) -> oneshot::Receiver<Result<(), Refusal>> {
        let (done, answer) = oneshot::channel();
        self.ask(shard_of(call_id.as_bytes(), self.shards()), Letter::HangUp { call_id, done });
        answer
    }

    /// How a placed call stands, and how that goes on; `None` when there is none of that Call-ID, or it is long over.
    pub fn placed(&self, call_id: &str) -> Option<watch::Receiver<Stage>> {
        let placed = self.placed.0.lock().unwrap_or_else(PoisonError::into_inner);
        placed.iter().rev().find(|(known, _)| known == call_id).map(|(_, stage)| stage.clone())
    }

    /// Puts a question of whoever runs the gateway into a shard's box; without a place it is answered at once.
    pub(super) fn ask(&self, shard: usize, letter: Letter) {
        let Some(letter) = self.offer(shard, letter) else { return };
        let refusal = || Refusal::new(503, "Service Unavailable", "a shard has too many letters");
        // Who does not wait for the answer needs none.
        let _unheard = match letter {
            Letter::Place { begun, .. } => begun.send(Err(refusal())).is_ok(),
            Letter::Announce { begun, .. } => begun.send(Err(refusal())).is_ok(),
            Letter::Trial { begun, .. } => begun.send(Err(refusal())).is_ok(),
            Letter::Notice { done, .. } => done.send(Err(refusal())).is_ok(),
            Letter::HangUp { done, .. } => done.send(Err(refusal())).is_ok(),
            Letter::Wanted { .. }
            | Letter::Given { .. }
            | Letter::Bring { .. }
            | Letter::Brought { .. }
            | Letter::Message { .. }
            | Letter::Evict { .. } => false,
        };
    }

    fn follow(&self, call_id: &str) -> Follower {
        let (stage, follower) = watch::channel(Stage::Calling);
        let mut placed = self.placed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if placed.len() >= REMEMBERED {
            placed.pop_front();
        }
        placed.push_back((call_id.to_owned(), follower));
        Follower { stage, trace: None }
    }
}

impl Follower {
    /// Whether nobody talks yet.
    pub(super) fn waits(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Calling | Stage::Reached)
    }

    /// A call of the gateway's own, of which nobody else can ask.
    fn own(call_id: &str, trace: Option<Arc<Mutex<Trace>>>) -> (Self, Followed) {
        let (stage, follower) = watch::channel(Stage::Calling);
        (Self { stage, trace }, Followed { call_id: call_id.to_owned(), stage: follower })
    }

    /// A request goes out in it.
    pub(super) fn sent(&self, request: &Request, flow: Flow, now: Instant) {
        let Some(trace) = self.trace.as_ref().filter(|_| request.method() == Method::Invite) else { return };
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.invite = Bytes::copy_from_slice(request.bytes());
        trace.to = Some(flow.remote);
        trace.sent.get_or_insert(now);
    }

    /// A response has come in it.
    pub(super) fn heard(&self, message: &Message, now: Instant) {
        let Some(trace) = self.trace.as_ref().filter(|_| message.method() == Method::Invite) else { return };
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.first.get_or_insert_with(|| (message.status(), now));
        if message.status() >= 200 {
            trace.last = Some((message.status(), String::from_utf8_lossy(message.reason()).into_owned(), now));
        }
    }

    /// The user has answered.
    pub(super) fn reached(&self) {
        self.stage.send_if_modified(|stage| std::mem::replace(stage, Stage::Reached) != Stage::Reached);
    }

    /// The two talk.
    pub(super) fn talks(&self, answered_by: &str) {
        self.stage.send_replace(Stage::Talking { answered_by: answered_by.to_owned() });
    }

    /// It is over.
    pub(super) fn ended(&self, record: &CallRecord) {
        self.stage.send_replace(Stage::Ended { status: record.status, cause: record.cause.to_owned() });
    }
}

impl Shard {
    /// Places a call.
    pub(super) fn place(&mut self, order: &Order, begun: Begun, now: Instant, more: &mut Vec<Effect>) {
        let site = Arc::clone(&self.parts.site);
        let bridge = Bridge::placed(Arc::clone(&site), order, self.live.home(), now, &mut self.random).and_then(|bridge| {
            let help = bridge.call().kind != CallKind::Normal;
            let limit = |name: &'static str, what: String| {
                self.parts.observer.dropped(now, bridge.call().flow, name);
                Refusal::new(503, "Too Many Calls", what)
            };
            if !help && self.live.len() + self.undecided.len() >= site.limits.calls {
                return Err(limit("too-many-calls", format!("{} calls are up, which is the limit `calls`", site.limits.calls)));
            }
            if !help && self.live.placing() >= site.limits.placed {
                let many = site.limits.placed;
                return Err(limit(
                    "too-many-placed",
                    format!("{many} placed calls wait for somebody to answer, which is the limit `placed_calls`"),
                ));
            }
            Ok(bridge)
        });
        let bridge = match bridge {
            Ok(bridge) => bridge,
            Err(refusal) => {
                let _unheard = begun.send(Err(refusal));
                return;
            }
        };
        let call_id = String::from_utf8_lossy(bridge.call().message.call_id()).into_owned();
        let follower = self.parts.exchange.follow(&call_id);
        // It is made whether or not somebody still waits for this.
        let _unheard = begun.send(Ok(call_id));
        self.start_placed(bridge, follower, now, more);
    }

    /// Rings a phone to tell it something.
    pub(super) fn announce(
        &mut self,
        to: &str,
        number: &str,
        announced: &Announced,
        begun: BegunOwn,
        now: Instant,
        more: &mut Vec<Effect>,
    ) {
        let site = Arc::clone(&self.parts.site);
        let bridge = Bridge::announcing(site, to, number, announced, self.live.home(), now, &mut self.random);
        let outcome = bridge.map(|bridge| {
            let (follower, followed) = Follower::own(&String::from_utf8_lossy(bridge.call().message.call_id()), None);
            self.start_placed(bridge, follower, now, more);
            followed
        });
        // It is made whether or not somebody still waits for this.
        let _unheard = begun.send(outcome);
    }

    /// Makes a test call over one trunk, as a call for help would be made: the emergency policy is asked, or the host's own plan is followed.
    pub(super) fn try_trunk(&mut self, trial: &Trial, begun: BegunTrial, now: Instant, more: &mut Vec<Effect>) {
        let outcome = self.tried(trial, now, more);
        let _unheard = begun.send(outcome);
    }

    fn tried(&mut self, trial: &Trial, now: Instant, more: &mut Vec<Effect>) -> Result<Tried, Refusal> {
        let site = Arc::clone(&self.parts.site);
        let home = self.live.home();
        let call_id = (home.call_id)(&mut self.random, home.index, home.shards);
        let mut call = Arc::new(drill::test_call(trial, &site, &call_id, now, &mut self.random)?);
        let (plan, said) = setup::help(self, &mut call);
        let plan = drill::through(&trial.trunk, plan, &call, &site)?;
        let Call { caller, called, .. } = &*call;
        let endpoint = if let Caller::Endpoint(endpoint) = caller { Some(endpoint.id.clone()) } else { None };
        let number = called.clone();
        let mut bridge = Bridge::trying(site, Arc::unwrap_or_clone(call), plan, home, now)?;
        bridge.said(said);
        let trace = Arc::new(Mutex::new(Trace::default()));
        let (follower, followed) = Follower::own(&call_id, Some(Arc::clone(&trace)));
        self.start_placed(bridge, follower, now, more);
        Ok(Tried { followed, endpoint, number, trace })
    }

    /// Ends a call. Looks at every call: the door is for people.
    pub(super) fn end_call(&mut self, call_id: &str, now: Instant, more: &mut Vec<Effect>) -> Result<(), Refusal> {
        let key: Option<(Key, CallKind)> = self.live.find(call_id.as_bytes());
        match key {
            None => Err(Refusal::new(404, "Not Found", format!("no call has the Call-ID `{call_id}`"))),
            Some((_, CallKind::Emergency | CallKind::EmergencyTest | CallKind::Callback)) => {
                Err(Refusal::new(403, "Emergency Call", "a call for help is ended by those who talk"))
            }
            Some((key, CallKind::Normal)) => {
                self.step(key, Event::HangUp, now, more);
                Ok(())
            }
        }
    }
}
