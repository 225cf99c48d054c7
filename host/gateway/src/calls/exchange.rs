//! What shards say to each other when parties of calls change places: a call lives on one shard, and so does each Call-ID, but two calls that are joined
//! may live on two.

use super::{
    notice::{Words, Written},
    place::{Begun, BegunOwn, BegunTrial, Placed},
    shard_of,
};
use bytes::Bytes;
use sip::transport::Flow;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use switch::{
    bridge::{Announced, DialogId, Found, Half, HuntId, Order},
    decision::Refusal,
    emergency::drill::Trial,
    trunk::Evicted,
};
use tokio::sync::{Notify, oneshot};

/// What one shard tells another.
pub(super) enum Letter {
    /// Who talks with the peer of this dialog? It is to be joined with somebody of `key` on shard `from`.
    Wanted { from: usize, key: u64, hunt: HuntId, dialog: DialogId },
    /// The answer.
    Given { key: u64, hunt: HuntId, dialog: DialogId, found: Result<Found, Refusal> },
    /// This picker is for the call of yours that rings in `dialog`. The answer goes to shard `from`.
    Bring { from: usize, key: u64, dialog: DialogId, half: Box<Half> },
    /// The answer: the picker, when it was not wanted any more.
    Brought { key: u64, back: Option<Box<Half>> },
    /// A message of a dialog that lives with you now.
    Message { bytes: Bytes, flow: Flow },
    /// This call of yours is to end: its channel is needed for the call for help with this Call-ID. There is no answer.
    Evict { evicted: Evicted, help: Vec<u8> },
    /// Whoever runs the gateway wants a call made.
    Place { order: Order, begun: Begun },
    /// A phone of this extension is to be rung and shown something.
    Announce { to: String, number: String, announced: Announced, begun: BegunOwn },
    /// A test call is to be made over a trunk.
    Trial { trial: Trial, begun: BegunTrial },
    /// The gateway writes to phones.
    Notice { words: Words, done: Written },
    /// Whoever runs the gateway wants a call ended.
    HangUp { call_id: String, done: oneshot::Sender<Result<(), Refusal>> },
}

/// Letter boxes of all shards, and which dialogs live elsewhere than their Call-ID says.
#[derive(Debug)]
pub struct Exchange {
    boxes: Box<[Inbox]>,
    /// Letters that may wait for one shard. One that finds no place is lost: a message comes again, and a question is answered with 503 at once.
    room: usize,
    moved: RwLock<HashMap<Box<[u8]>, usize>>,
    /// How many have moved: nearly always none, and then no message is looked at.
    count: AtomicUsize,
    /// Calls that the gateway has placed.
    pub(super) placed: Placed,
    /// Counts them: shards take turns.
    pub(super) turn: AtomicUsize,
}

#[derive(Default)]
struct Inbox {
    post: Mutex<Post>,
    wake: Notify,
}

#[derive(Default)]
struct Post {
    letters: VecDeque<Letter>,
    news: News,
}

impl Inbox {
    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a shard hears of lines. It cannot overflow: a line stands here once, however often it changes.
#[derive(Default)]
pub(super) struct News {
    /// Endpoints whose calls or mailbox have changed, with watchers on this shard.
    pub(super) changed: BTreeSet<Arc<str>>,
    /// Endpoints that somebody watches for the first time: show the calls that they have with you.
    pub(super) show: BTreeSet<Arc<str>>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.show.is_empty()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Exchange {
    /// For so many shards, with room for so many letters to each.
    #[must_use]
    pub fn new(shards: usize, room: usize) -> Arc<Self> {
        let boxes = (0..shards.max(1)).map(|_| Inbox::default()).collect();
        Arc::new(Self {
            boxes,
            room,
            moved: RwLock::default(),
            count: AtomicUsize::new(0),
            placed: Placed::default(),
            turn: AtomicUsize::new(0),
        })
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.boxes.len()
    }

    /// The shard where a dialog lives.
    pub(super) fn home(&self, call_id: &[u8]) -> usize {
        let moved = (self.count.load(Ordering::Acquire) > 0)
            .then(|| self.moved.read().unwrap_or_else(PoisonError::into_inner).get(call_id).copied())
            .flatten();
        moved.unwrap_or_else(|| shard_of(call_id, self.boxes.len()))
    }

    /// The shard to which a message must go on from `index`, where its Call-ID has led it.
    pub(super) fn elsewhere(&self, index: usize, bytes: &[u8]) -> Option<usize> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let call_id = crate::net::udp::call_id(bytes)?;
        let home = self.moved.read().unwrap_or_else(PoisonError::into_inner).get(call_id).copied()?;
        (home != index).then_some(home)
    }

    /// From now on this dialog lives on shard `index`.
    pub(super) fn moves(&self, call_id: &[u8], index: usize) {
        let mut moved = self.moved.write().unwrap_or_else(PoisonError::into_inner);
        moved.insert(call_id.into(), index);
        self.count.store(moved.len(), Ordering::Release);
    }

    /// The dialog is over on shard `index`, unless it has gone on to another.
    pub(super) fn forget(&self, call_id: &[u8], index: usize) {
        let mut moved = self.moved.write().unwrap_or_else(PoisonError::into_inner);
        if moved.get(call_id) == Some(&index) {
            moved.remove(call_id);
        }
        self.count.store(moved.len(), Ordering::Release);
    }

    /// Puts a letter into a shard's box; `false`: there is no place.
    pub(super) fn post(&self, to: usize, letter: Letter) -> bool {
        self.offer(to, letter).is_none()
    }

    /// Puts a letter into a shard's box, or gives it back when there is no place.
    pub(super) fn offer(&self, to: usize, letter: Letter) -> Option<Letter> {
        let Some(inbox) = self.boxes.get(to) else { return Some(letter) };
        let mut post = inbox.post();
        if post.letters.len() >= self.room {
            return Some(letter);
        }
        post.letters.push_back(letter);
        drop(post);
        inbox.wake.notify_one();
        None
    }

    /// Answers a letter, or has a call ended for a call for help. There is always a place: so many answers come as questions went, and a call is ended once.
    pub(super) fn answer(&self, to: usize, letter: Letter) {
        if let Some(inbox) = self.boxes.get(to) {
            inbox.post().letters.push_back(letter);
            inbox.wake.notify_one();
        }
    }

    /// Tells a shard that a line has changed that is watched there.
    pub(super) fn line_changed(&self, to: usize, endpoint: &str) {
        let Some(inbox) = self.boxes.get(to) else { return };
        let mut post = inbox.post();
        if !post.news.changed.contains(endpoint) {
            post.news.changed.insert(Arc::from(endpoint));
        }
        drop(post);
        inbox.wake.notify_one();
    }

    /// Has all shards but `from` show the calls of a line.
    pub(super) fn show_line(&self, from: usize, endpoint: &Arc<str>) {
        for (_, inbox) in self.boxes.iter().enumerate().filter(|(index, _)| *index != from) {
            inbox.post().news.show.insert(Arc::clone(endpoint));
            inbox.wake.notify_one();
        }
    }

    /// Takes the letters of a shard.
    pub(super) fn take(&self, index: usize) -> VecDeque<Letter> {
        self.boxes.get(index).map(|inbox| std::mem::take(&mut inbox.post().letters)).unwrap_or_default()
    }

    /// Takes the news of a shard.
    pub(super) fn news(&self, index: usize) -> News {
        self.boxes.get(index).map(|inbox| std::mem::take(&mut inbox.post().news)).unwrap_or_default()
    }

    /// Whether this dialog lives elsewhere than its Call-ID says.
    pub(super) fn has_moved(&self, call_id: &[u8]) -> bool {
        self.moved.read().unwrap_or_else(PoisonError::into_inner).contains_key(call_id)
    }

    /// Dialogs that live elsewhere than their Call-ID says.
    pub(super) fn moved(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether a shard has letters or news.
    pub(super) fn waits(&self, index: usize) -> bool {
        self.boxes.get(index).is_some_and(|inbox| {
            let post = inbox.post();
            !post.letters.is_empty() || !post.news.is_empty()
        })
    }

    /// Resolves when a letter has come, or news.
    pub(super) async fn arrival(&self, index: usize) {
        match self.boxes.get(index) {
            Some(inbox) => inbox.wake.notified().await,
            None => std::future::pending().await,
        }
    }
}
