//! Which requests may be under way at once inside a dialog, and how many (RFC 3261 14.2, RFC 3311 5.2).
//!
//! The phones keep these rules between themselves, but each of our dialogs has to keep them, too: what one side has asked goes on to the other side,
//! where a request of that side may be coming in.

use super::{Bridge, Effect, Sent, Side, State, relay::Relay};
use sip::{Message, build::Writer, header::Name, message::Method, random::Random, stack::ServerId};

/// The longest Retry-After of a 500, seconds (14.2: "between 0 and 10 seconds").
const RETRY_AFTER_MAX: u64 = 10;

/// Why a request is not passed on.
enum Wait {
    /// We have asked this side something of the same kind: both have to try again, at different times.
    Glare,
    /// This side has not heard the answer to its last one.
    TooSoon,
    /// More of its requests wait than a call may have.
    TooMany,
}

impl Bridge {
    /// Answers a request that crosses another one; `true` when it has been answered.
    pub(super) fn crosses(
        &self,
        id: ServerId,
        message: &Message,
        place: usize,
        from: Side,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) -> bool {
        let (status, phrase) = match self.wait(message, place, from) {
            None => return false,
            Some(Wait::Glare) => (491, "Request Pending"),
            Some(Wait::TooSoon) => (500, "Previous Request Pending"),
            Some(Wait::TooMany) => {
                out.push(Effect::Limit("too-many-requests-in-a-call"));
                (500, "Too Many Requests Pending")
            }
        };
        let mut writer = Writer::response(message, status, phrase, None);
        if status == 500 {
            let seconds = random.next_u64() % (RETRY_AFTER_MAX + 1);
            writer.number(Name::RetryAfter, u32::try_from(seconds).unwrap_or(0));
        }
        out.push(Effect::Respond { id, response: writer.finish_response(b"") });
        true
    }

    fn wait(&self, message: &Message, place: usize, from: Side) -> Option<Wait> {
        if self.relays(place, from).count() >= self.site.limits.requests_in_call {
            return Some(Wait::TooMany);
        }
        let (method, offers) = (message.method(), !message.body().is_empty());
        match method {
            // RFC 3261 14.2: the INVITE that made the dialog is still in progress.
            Method::Invite if self.state == State::Ringing => Some(if from == Side::Caller { Wait::TooSoon } else { Wait::Glare }),
            // "A UAS that receives a second INVITE before it sends the final response to a first INVITE with a lower CSeq sequence number on the same
            // dialog MUST return a 500 (Server Internal Error) response to the second INVITE and MUST include a Retry-After header field".
            Method::Invite if self.relays(place, from).any(|relay| relay.pends(method)) => Some(Wait::TooSoon),
            // "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that dialog is in progress MUST return a 491".
            Method::Invite if self.relays(place, from.other()).any(|relay| relay.pends(method)) => Some(Wait::Glare),
            // RFC 3311 5.2: "If an UPDATE is received before the UAS has generated a final response to a previous UPDATE on the same dialog, the UAS MUST
            // return a 500 response to the new UPDATE, and MUST include a Retry-After header field".
            Method::Update if self.relays(place, from).any(|relay| relay.pends(method)) => Some(Wait::TooSoon),
            // "If an UPDATE is received that contains an offer, and the UAS has generated an offer (in an UPDATE, PRACK or INVITE) to which it has not yet
            // received an answer, the UAS MUST reject the UPDATE with a 491". Whether an INVITE's offer has been answered only the phones know.
            Method::Update if offers && self.relays(place, from.other()).any(|relay| relay.pends(method) && relay.offers()) => {
                Some(Wait::Glare)
            }
            _ => None,
        }
    }

    /// What `from` has asked in this pair and we still know of.
    fn relays(&self, place: usize, from: Side) -> impl Iterator<Item = &Relay> {
        self.sent.iter().filter_map(move |(_, sent)| match sent {
            Sent::Relay(relay) if relay.of(place, from) => Some(relay),
            _ => None,
        })
    }
}
