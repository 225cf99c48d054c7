//! Park slots: numbers at which a call can be left by one phone and taken up by another. Which there are is the operator's, which are taken is known here.

use crate::{
    bridge::DialogId,
    directory::Directory,
    facts::{Call, CallKind, Caller},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Name of the attribute that a call to a park slot carries through the chain of policies.
pub const ATTRIBUTE: &str = "park";
/// Its value when a phone leaves a call there.
pub const LEAVE: &str = "leave";
/// Its value when a phone dials it.
pub const PICK_UP: &str = "pick-up";

/// The slots of a site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Park {
    /// Numbers that are slots; none: nothing can be parked.
    pub numbers: BTreeSet<String>,
    /// After this time a parked call goes back to whoever has parked it; after as long again it ends.
    pub wait: Duration,
}

impl Default for Park {
    fn default() -> Self {
        Self { numbers: BTreeSet::new(), wait: Duration::from_secs(120) }
    }
}

/// Which slots are taken. One lock for a look-up; as many entries at most as there are slots in the configuration, and calls that were parked in
/// slots of an earlier one.
#[derive(Debug, Default)]
pub struct Lot(Mutex<BTreeMap<String, Option<DialogId>>>);

impl Lot {
    /// Takes a slot; `None` when it is taken.
    #[must_use]
    pub fn take(self: &Arc<Self>, number: &str) -> Option<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.contains_key(number) {
            return None;
        }
        slots.insert(number.to_owned(), None);
        Some(Slot { lot: Arc::clone(self), number: number.to_owned() })
    }

    /// By which dialog the call in a slot is taken up ([`crate::bridge::Bridge::replacing`]); `None` when nobody waits there.
    #[must_use]
    pub fn parked(&self, number: &str) -> Option<DialogId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned().flatten()
    }
}

/// A slot that a call has taken; free again when dropped, however the call ends.
#[derive(Debug)]
pub struct Slot {
    lot: Arc<Lot>,
    number: String,
}

impl Slot {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// From now on whoever dials the slot takes the place of the peer of this dialog.
    pub fn fill(&self, dialog: DialogId) {
        self.lot.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number.clone(), Some(dialog));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lot.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Notes on a call to a slot what is wanted there, for the policies; no other call keeps such a note.
pub fn note(call: &mut Call, directory: &Directory, what: &str) {
    let slot = is_slot(call, directory);
    if call.attributes.iter().any(|(name, _)| name == ATTRIBUTE) {
        call.attributes.retain(|(name, _)| name != ATTRIBUTE);
    }
    if slot {
        call.attributes.push((ATTRIBUTE.to_owned(), what.to_owned()));
    }
}

/// Whether a phone of the site calls a slot. Nobody else has any business there, and a call for help never goes there.
#[must_use]
pub fn is_slot(call: &Call, directory: &Directory) -> bool {
    call.kind == CallKind::Normal && matches!(call.caller, Caller::Endpoint(_)) && directory.park.numbers.contains(&call.called)
}
