//! The dialogs of calls for help that are up: what is said in them has the reserve of the transaction layer, as the calls themselves have, and is repaired where
//! it is malformed.

use sip::Message;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use switch::{bridge::Bridge, facts::CallKind};

/// Our tags of those dialogs. The transaction layer asks at its limit only, from the same thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Helped(Arc<Mutex<BTreeSet<Box<[u8]>>>>);

impl Helped {
    /// A tag of this call, if it is one for help.
    pub(super) fn add(&self, tag: &[u8], bridge: &Bridge) {
        if bridge.call().kind == CallKind::Emergency {
            self.tags().insert(tag.into());
        }
    }

    pub(super) fn remove(&self, tag: &[u8]) {
        self.tags().remove(tag);
    }

    /// Whether a request is inside one of them.
    pub(super) fn has(&self, request: &Message) -> bool {
        request.to().and_then(|to| to.tag()).is_some_and(|tag| self.tags().contains(tag))
    }

    pub(super) fn len(&self) -> usize {
        self.tags().len()
    }

    fn tags(&self) -> MutexGuard<'_, BTreeSet<Box<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
