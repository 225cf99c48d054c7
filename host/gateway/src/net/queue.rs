//! What waits for a shard: two queues into it from other threads, and a place for datagrams that it has read and cannot take up yet.

use super::{Input, urgent::Rank};
use bytes::Bytes;
use sip::{Instant, transport::Flow};
use std::{
    collections::VecDeque,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;

/// Taken of what goes first in one turn.
const FIRST: usize = 256;
/// Taken of the rest in one turn: between two looks at the sockets no more is begun than this.
const REST: usize = 16;
/// After this time without an answer the sender has sent a datagram again (T1, RFC 3261 17.1.1.2 and 17.1.2.2): to work on the old one is to do it twice.
const STALE: Duration = Duration::from_millis(500);

/// The way into a shard from other threads.
#[derive(Clone, Debug)]
pub struct Door {
    first: mpsc::Sender<Input>,
    rest: mpsc::Sender<Input>,
}

/// Where a shard takes from what came through its [`Door`].
#[derive(Debug)]
pub struct Inbox {
    first: mpsc::Receiver<Input>,
    rest: mpsc::Receiver<Input>,
}

/// A door behind which `limit` messages may wait of either rank.
#[must_use]
pub fn queues(limit: usize) -> (Door, Inbox) {
    let ((first, urgent), (rest, others)) = (mpsc::channel(limit), mpsc::channel(limit));
    (Door { first, rest }, Inbox { first: urgent, rest: others })
}

impl Door {
    const fn of(&self, rank: Rank) -> &mpsc::Sender<Input> {
        match rank {
            Rank::First => &self.first,
            Rank::Rest => &self.rest,
        }
    }

    /// Puts something in; `false` when its queue is full.
    #[must_use]
    pub fn try_send(&self, input: Input, rank: Rank) -> bool {
        // A closed one means that the gateway is stopping.
        !matches!(self.of(rank).try_send(input), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Puts something in as soon as there is room.
    pub async fn send(&self, input: Input, rank: Rank) {
        self.of(rank).send(input).await.ok();
    }
}

impl Inbox {
    /// Takes what there is, what goes first before the rest.
    pub fn poll(&mut self, cx: &mut Context<'_>, inputs: &mut Vec<Input>) -> Poll<()> {
        let first = self.first.poll_recv_many(cx, inputs, FIRST);
        let rest = self.rest.poll_recv_many(cx, inputs, REST);
        if matches!(first, Poll::Ready(1..)) || matches!(rest, Poll::Ready(1..)) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The next one of either queue.
    #[cfg(test)]
    pub(super) async fn recv(&mut self) -> Option<Input> {
        tokio::select! {
            biased;
            input = self.first.recv() => input,
            input = self.rest.recv() => input,
        }
    }
}

/// A datagram from a [`Backlog`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waited {
    /// What was received.
    pub bytes: Bytes,
    /// Way in.
    pub flow: Flow,
    /// It has waited so long that its sender has sent it again, and is not worth the work.
    pub stale: bool,
}

/// Datagrams that a shard has read and not taken up, because others go first.
#[derive(Debug)]
pub struct Backlog {
    waiting: VecDeque<(Instant, Bytes, Flow)>,
    limit: usize,
}

impl Backlog {
    /// With room for so many.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), limit }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds one; `false` when there is no room: its sender sends it again.
    #[must_use]
    pub fn push(&mut self, bytes: Bytes, flow: Flow, now: Instant) -> bool {
        if self.waiting.len() >= self.limit {
            return false;
        }
        self.waiting.push_back((now, bytes, flow));
        true
    }

    /// The one that has waited longest.
    pub fn pop(&mut self, now: Instant) -> Option<Waited> {
        let (since, bytes, flow) = self.waiting.pop_front()?;
        Some(Waited { bytes, flow, stale: now.since(since) >= STALE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::transport::Transport;

    fn flow() -> Flow {
        let address = "127.0.0.1:5060".parse().unwrap();
        Flow { transport: Transport::Udp, local: address, remote: address, connection: 0 }
    }

    #[test]
    fn a_backlog_keeps_its_order_its_limit_and_nothing_that_was_sent_again() {
        let at = |millis: u64| Instant::from_unix_micros(millis * 1000);
        let mut backlog = Backlog::new(3);
        for (text, millis) in [("a", 0), ("b", 100), ("c", 400)] {
            assert!(backlog.push(Bytes::from(text), flow(), at(millis)));
        }
        assert!(!backlog.push(Bytes::from("d"), flow(), at(400)), "there is no room");
        let waited = |text: &'static str, stale| Some(Waited { bytes: Bytes::from(text), flow: flow(), stale });
        assert_eq!(backlog.pop(at(499)), waited("a", false));
        assert_eq!(backlog.pop(at(600)), waited("b", true));
        assert_eq!(backlog.pop(at(600)), waited("c", false));
        assert_eq!(backlog.pop(at(600)), None);
        assert!(backlog.is_empty());
    }

    #[tokio::test]
    async fn what_goes_first_is_taken_first_though_the_rest_is_full() {
        let (door, mut inbox) = queues(64);
        let input = |text: &'static str| Input::Message { bytes: Bytes::from(text), flow: flow() };
        for _ in 0..64 {
            assert!(door.try_send(input("rest"), Rank::Rest));
        }
        assert!(!door.try_send(input("rest"), Rank::Rest));
        assert!(door.try_send(input("first"), Rank::First));
        let mut inputs = Vec::new();
        std::future::poll_fn(|cx| inbox.poll(cx, &mut inputs)).await;
        assert!(matches!(&inputs[0], Input::Message { bytes, .. } if bytes == "first"), "{inputs:?}");
        assert_eq!(inputs.len(), 1 + REST);
    }
}
