//! What shards say to each other when parties of calls change places: a call lives on one shard, and so does each Call-ID, but two calls that are joined
//! may live on two.

use crate::calls::shard_of;
use bytes::Bytes;
use sip::transport::Flow;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use switch::{
    bridge::{DialogId, Half, HuntId},
    decision::Refusal,
};
use tokio::sync::Notify;

/// What one shard tells another.
pub(super) enum Letter {
    /// Who talks with the peer of this dialog? It is to be joined with somebody of `key` on shard `from`.
    Wanted { from: usize, key: u64, hunt: HuntId, dialog: DialogId },
    /// The answer.
    Given { key: u64, hunt: HuntId, half: Result<Box<Half>, Refusal> },
    /// A message of a dialog that lives with you now.
    Message { bytes: Bytes, flow: Flow },
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
}

#[derive(Default)]
struct Inbox {
    letters: Mutex<VecDeque<Letter>>,
    wake: Notify,
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
        Arc::new(Self { boxes, room, moved: RwLock::default(), count: AtomicUsize::new(0) })
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

    /// The dialog is over.
    pub(super) fn forget(&self, call_id: &[u8]) {
        let mut moved = self.moved.write().unwrap_or_else(PoisonError::into_inner);
        moved.remove(call_id);
        self.count.store(moved.len(), Ordering::Release);
    }

    /// Puts a letter into a shard's box; `false`: there is no place.
    pub(super) fn post(&self, to: usize, letter: Letter) -> bool {
        let Some(inbox) = self.boxes.get(to) else { return false };
        let mut letters = inbox.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.len() >= self.room {
            return false;
        }
        letters.push_back(letter);
        drop(letters);
        inbox.wake.notify_one();
        true
    }

    /// Answers a letter. There is always a place: so many answers come as questions went.
    pub(super) fn answer(&self, to: usize, letter: Letter) {
        if let Some(inbox) = self.boxes.get(to) {
            inbox.letters.lock().unwrap_or_else(PoisonError::into_inner).push_back(letter);
            inbox.wake.notify_one();
        }
    }

    /// Takes the letters of a shard.
    pub(super) fn take(&self, index: usize) -> VecDeque<Letter> {
        self.boxes
            .get(index)
            .map(|inbox| std::mem::take(&mut *inbox.letters.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// Whether a shard has letters.
    pub(super) fn waits(&self, index: usize) -> bool {
        self.boxes.get(index).is_some_and(|inbox| !inbox.letters.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    /// Resolves when a letter has come.
    pub(super) async fn arrival(&self, index: usize) {
        match self.boxes.get(index) {
            Some(inbox) => inbox.wake.notified().await,
            None => std::future::pending().await,
        }
    }
}
