//! What can be seen of a bridge from outside: for whoever checks that none forgets a party or holds what it does not need.

use super::{Bridge, DialogId, State};
use crate::facts::CallKind;
use sip::dialog::Dialog;

/// A bridge at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    /// The dialogs of the pair that talks, without a transferor that has hung up before its target came.
    pub talking: Vec<DialogId>,
    /// It is a call for help, or tries one.
    pub help: bool,
    /// The call is over, only answers are awaited.
    pub ended: bool,
    /// Trunk channels that it holds.
    pub channels: usize,
    /// What it keeps in lists: legs, parties, pairs, hunts, requests without a final answer, acknowledgements.
    pub kept: usize,
    /// Something will make it go on: a timer, an answer that it awaits, or the call to which it has sent its picker.
    pub goes_on: bool,
}

impl Bridge {
    /// Looks at it. Copies dialogs, so it is for tests and simulations.
    #[must_use]
    pub fn sight(&self) -> Sight {
        let id = |dialog: &Dialog| DialogId {
            call_id: dialog.call_id.clone(),
            local_tag: dialog.local_tag.clone(),
            remote_tag: dialog.remote_tag.clone(),
            early_only: false,
        };
        let pair = match self.state {
            State::Answered(place) => self.pairs.get(place),
            State::Ringing | State::Ended => None,
        };
        let parties = pair.into_iter().flat_map(|pair| [pair.caller, pair.callee]).filter(|party| self.gone != Some(*party));
        let talking = parties.filter_map(|party| self.parties.get(party)).map(|party| id(&party.dialog)).collect();
        Sight {
            talking,
            help: self.call.kind != CallKind::Normal,
            ended: self.state == State::Ended,
            channels: self.legs.iter().filter(|leg| leg.holds_channel()).count() + usize::from(self.inbound.is_some()),
            kept: self.legs.len()
                + self.parties.len()
                + self.pairs.len()
                + self.hunts.len()
                + self.sent.len()
                + self.acks.len()
                + self.leaving.len(),
            goes_on: self.deadline().is_some() || !self.sent.is_empty() || self.brings(),
        }
    }
}
