//! Calls that whoever runs the gateway has made or ended, through the door in the data folder.

use super::{Exchange, exchange::Letter, live::Key, shard::Shard, shard_of};
use sip::{Instant, stack::Effect};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};
use switch::{
    bridge::{Bridge, Event, Order},
    decision::Refusal,
    facts::CallKind,
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

/// Follows one placed call.
#[derive(Debug)]
pub(super) struct Follower {
    stage: watch::Sender<Stage>,
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
    fn ask(&self, shard: usize, letter: Letter) {
        let Some(letter) = self.offer(shard, letter) else { return };
        let refusal = || Refusal::new(503, "Service Unavailable", "a shard has too many letters");
        // Who does not wait for the answer needs none.
        let _unheard = match letter {
            Letter::Place { begun, .. } => begun.send(Err(refusal())).is_ok(),
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
        Follower { stage }
    }
}

impl Follower {
    /// Whether nobody talks yet.
    pub(super) fn waits(&self) -> bool {
        *self.stage.borrow() == Stage::Calling
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
