//! What is kept of a call when it is over.

use super::{Bridge, State};
use crate::record::{CallDetail, CallRecord, DetailedLeg, LegRecord, Made, Said, offered};
use sip::Instant;

impl Bridge {
    /// Notes what policies have said about the call, for its record.
    pub fn said(&mut self, said: impl IntoIterator<Item = Said>) {
        self.said.extend(said);
    }

    /// Everything that is kept of a call that has ended so.
    #[must_use]
    pub fn detail(&self, record: CallRecord) -> CallDetail {
        let call = &self.call;
        let legs = self.legs.iter().zip(self.dialled()).map(|(leg, record): (_, LegRecord)| {
            let call = self.call_of(leg.hunt);
            DetailedLeg::new(record, &leg.target, call)
        });
        let made = match self.invite {
            _ if self.alone.is_some() => Made::Own,
            None => Made::Placed,
            Some(_) => Made::Received,
        };
        CallDetail {
            made,
            caller_number: call.caller_number.clone(),
            caller_name: call.caller_name.clone(),
            address: call.flow.remote,
            location: call.location.clone(),
            ringing: self.ringing_at,
            legs: legs.collect(),
            offered: offered(call.message.body()),
            said: self.said.clone(),
            reason: None,
            restored: self.restored,
            end_noticed: false,
            record,
        }
    }

    /// Of a call that had ended, or can only end, without anybody noticing: the process ended at that time.
    #[must_use]
    pub fn detail_unnoticed(&self, now: Instant) -> Option<CallDetail> {
        if self.state != State::Ended {
            return None;
        }
        let status = if self.answered_at.is_some() { 200 } else { 487 };
        let record = CallRecord::unanswered(&self.call, status, "ended as the gateway did", now);
        let record = CallRecord { answered_by: self.answered_by.clone(), answered: self.answered_at, ..record };
        Some(CallDetail { end_noticed: true, ..self.detail(record) })
    }
}
