//! Parking: a phone transfers its call to a park slot, and whoever dials the slot takes the call up.
//!
//! The party that was left stays where it is, held, beside a party that nobody can be; the slot knows that party's dialog, and who dials the slot replaces it, on
//! whatever shard either lives. A parked call is nobody's music: what the parker's phone played has gone with it. Nobody waits for ever: after the time of the
//! configuration the call goes back to the parker's extension, by the site's own rules and with the parker's rights, and stays in its slot meanwhile; after as
//! long again it ends.

use super::{Bridge, DialogId, Effect, Farewell, Pair, State, hunt::HuntId, transfer::Leaving};
use crate::{
    decision::Refusal,
    facts::{Call, CallKind},
    park::Slot,
};
use serde::{Deserialize, Serialize};
use sip::{Instant, random::Random};

/// A party that waits in a slot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parked {
    /// Free for others once this call is over or picked up.
    #[serde(skip)]
    slot: Option<Slot>,
    number: String,
    party: usize,
    /// In the place of its peer.
    pub(super) nobody: usize,
    /// Back to whoever has parked it; `None` when that is done.
    pub(super) back: Option<Box<Call>>,
    pub(super) ends: Instant,
}

impl Bridge {
    /// The target of a transfer is a slot, which is free.
    pub(super) fn park(&mut self, hunt: HuntId, slot: Slot, now: Instant, random: &mut Random, out: &mut Vec<Effect>) {
        let transfer =
            self.transfer.as_ref().filter(|transfer| transfer.is_for(hunt)).map(|transfer| (transfer.transferor, transfer.transferee));
        let (Some((parker, party)), State::Answered(before)) = (transfer, self.state) else {
            let refusal = Refusal::new(403, "Only Calls That Talk", "a call that nobody has answered cannot be parked");
            return self.routed(hunt, Err(refusal), now, random, out);
        };
        let was_caller = self.pairs.get(before).is_some_and(|pair| pair.caller == party);
        let back = self.back_to(parker, party, now).map(Box::new);
        self.close(hunt);
        self.notify(200, "OK", out);
        self.transfer = None;
        self.answer_pending_relays(out);
        self.acknowledge_unasked(before, out);
        self.ack_ends = None;
        if self.gone.take().is_none() {
            self.leaving.push(Leaving::after(parker, now));
        }
        let nobody = self.nobody(party, random);
        self.pairs.push(if was_caller { Pair { caller: party, callee: nobody } } else { Pair { caller: nobody, callee: party } });
        self.state = State::Answered(self.pairs.len() - 1);
        let wait = self.site.directory().park.wait;
        let number = slot.number().to_owned();
        self.parked = Some(Parked { slot: Some(slot), number, party, nobody, back, ends: now + wait });
        self.fill_slot();
        self.hold(party, out);
    }

    /// Whoever dials the slot takes the place of nobody.
    fn fill_slot(&self) {
        let Some(parked) = &self.parked else { return };
        if let (Some(slot), Some(stand_in)) = (&parked.slot, self.parties.get(parked.nobody)) {
            slot.fill(DialogId {
                call_id: stand_in.dialog.call_id.clone(),
                local_tag: stand_in.dialog.local_tag.clone(),
                remote_tag: stand_in.dialog.remote_tag.clone(),
                early_only: false,
            });
        }
    }

    /// After a restart a parked party waits where it did. Should its slot be taken by now, it goes back to its parker in its time.
    pub(super) fn park_again(&mut self) {
        if let Some(parked) = &mut self.parked {
            parked.slot = self.site.lot.take(&parked.number);
        }
        self.fill_slot();
    }

    /// The call back to a parker.
    fn back_to(&self, parker: usize, party: usize, now: Instant) -> Option<Call> {
        let (by, stays) = (self.known(parker), self.known(party));
        let flow = self.parties.get(party)?.dialog.flow;
        Some(Call {
            message: self.invite_to(&by.number, None, party, None)?,
            at: now,
            flow,
            kind: CallKind::Normal,
            called: by.number,
            caller: by.caller,
            caller_number: stays.number,
            caller_name: stays.name,
            location: by.location,
            attributes: self.call.attributes.clone(),
        })
    }

    /// Nobody has picked the call up in time.
    pub(super) fn parked_too_long(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let wait = self.site.directory().park.wait;
        let Some(parked) = &mut self.parked else { return };
        let (party, nobody) = (parked.party, parked.nobody);
        match parked.back.take() {
            Some(back) => {
                parked.ends = now + wait;
                self.connect(nobody, party, Call { at: now, ..*back }, now + wait, out);
            }
            None => {
                self.bye(party, Farewell::Because(480, "Nobody Came"), out);
                self.end(200, "parked, and nobody picked it up", now, out);
            }
        }
    }

    /// Whether a dialog that is to be replaced is that of nobody, beside a parked party.
    pub(super) fn waits_beside(&self, replaced: usize) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.nobody == replaced)
    }
    /// What of it must be known after a restart.
    pub(super) fn mark_of_parked(&self) -> Option<(usize, bool)> {
        self.parked.as_ref().map(|parked| (parked.party, parked.back.is_some()))
    }
}
