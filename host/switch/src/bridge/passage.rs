//! Which of the parties are trunks, and what passes between them and the others ([`crate::boundary`]).

use super::{Bridge, Side};
use crate::{
    boundary::Passage,
    directory::Directory,
    facts::{CallKind, Caller},
    trunk::TrunkManners,
};

impl Bridge {
    /// Whether a party is a trunk.
    pub(super) fn behind_trunk(&self, party: usize) -> bool {
        self.trunk_of(party).is_some()
    }

    /// The trunk that a party is.
    fn trunk_of(&self, party: usize) -> Option<&str> {
        match self.parties.get(party)?.leg {
            Some(leg) => self.legs.get(leg)?.target.trunk.as_deref(),
            None => self.calling_trunk(),
        }
    }

    fn calling_trunk(&self) -> Option<&str> {
        match &self.call.caller {
            Caller::Trunk(name) => Some(name),
            Caller::Endpoint(_) | Caller::Unknown => None,
        }
    }

    /// How calls go over the trunk that calls.
    pub(super) fn caller_manners<'a>(&self, directory: &'a Directory) -> Option<&'a TrunkManners> {
        self.calling_trunk().and_then(|name| directory.trunk(name)).map(|trunk| &trunk.manners)
    }

    /// What of the words of one side of a pair reaches the other.
    pub(super) fn passage<'a>(&self, place: usize, from: Side, directory: &'a Directory) -> Passage<'a> {
        let manners = |side: Side| {
            let trunk = self.trunk_of(self.pairs.get(place)?.side(side))?;
            directory.trunk(trunk).map(|trunk| &trunk.manners)
        };
        Passage::between(manners(from), manners(from.other()), self.call.kind != CallKind::Normal)
    }
}
