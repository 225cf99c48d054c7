//! Calls for help, and calls back to whoever has called for it, while they are made and while they talk: what their phones may not do with them, and whom a call
//! back looks for.

use super::{Bridge, Effect, HuntId, Pair, Party, SendId, Side, State, hunt::Origin, reliable::Wants, transfer::Transfer, write};
use crate::{
    decision::EmergencyPlan,
    emergency::{self, callback},
    facts::{Call, CallKind, Caller},
    plan::{LegTarget, Resolved, Seek, Sought, called_text},
};
use sip::{Instant, Message, build::Writer, header::Name, random::Random};

impl Bridge {
    /// Whether nobody of this call can be given to somebody else.
    pub(super) fn stays_where_help_is(&self) -> bool {
        self.call.kind != CallKind::Normal && !self.site.directory().emergency.may.transfer
    }

    /// Whether this request would have the phone of a call for help hold it, which it may not.
    pub(super) fn may_not_hold(&self, place: usize, side: Side, message: &Message) -> bool {
        self.call.kind != CallKind::Normal
            && !self.site.directory().emergency.may.hold
            && !self.through_trunk(place, side)
            && holds(message.body())
    }

    /// The answer to a call for help is acknowledged at once where the caller's ACK has nothing to bring: whoever helps does not hang up (RFC 3261 13.3.1.4) because
    /// that ACK is lost, or cannot be understood.
    pub(super) fn acknowledge_help(&self, place: usize, (of, number): (SendId, u32), answer: &Message, out: &mut Vec<Effect>) {
        let agreed = !self.call.message.body().is_empty() && !answer.body().is_empty();
        if self.call.kind != CallKind::Normal
            && agreed
            && let Some(pair) = self.pairs.get(place)
        {
            cov_mark::hit!(help_acknowledged_at_once);
            self.acknowledge(pair.callee, of, number, None, out);
        }
    }

    /// The legs of those who are looked for: each where it is registered now, or else where it called from.
    pub(super) fn find_sought(&self, hunt: HuntId, seek: &Seek, now: Instant) -> Vec<LegTarget> {
        let called = called_text(&self.call_of(hunt).called);
        let mut legs: Vec<LegTarget> = Vec::new();
        for sought in &seek.whom {
            let bindings = sought.endpoint.as_deref().map(|id| self.site.targets(id, now)).unwrap_or_default();
            let found = bindings.iter().map(|binding| LegTarget {
                uri: binding.contact.as_ref().to_owned(),
                flow: binding.flow,
                route: binding.path.clone(),
                trunk: None,
                endpoint: Some(binding.endpoint.as_ref().to_owned()),
                caller_number: None,
                called: called.clone(),
                more: Vec::new(),
            });
            let before = legs.len();
            legs.extend(found);
            if let (true, Some((uri, flow))) = (legs.len() == before, &sought.address) {
                legs.push(LegTarget {
                    uri: uri.clone(),
                    flow: *flow,
                    route: Vec::new(),
                    trunk: None,
                    endpoint: sought.endpoint.clone(),
                    caller_number: None,
                    called: called.clone(),
                    more: Vec::new(),
                });
            }
        }
        legs.truncate(self.site.limits.forks);
        legs
    }

    /// One side of a call for help knows nothing of it any more: it was restarted, or whoever stands before it. It is called again and joined with the side that is still
    /// there, which waits meanwhile. `false`: it is no call for help, or nobody can be called.
    pub(super) fn ring_lost_side(&mut self, lost: Side, now: Instant, random: &mut Random, out: &mut Vec<Effect>) -> bool {
        let State::Answered(before) = self.state else { return false };
        let busy = self.transfer.is_some() || self.gone.is_some() || self.transfers >= self.site.limits.transfers;
        let Some(pair) = self.pairs.get(before).copied().filter(|_| self.call.kind != CallKind::Normal && !busy) else { return false };
        let (party, stays) = (pair.side(lost), pair.side(lost.other()));
        let Some((call, plan)) = self.call_again(party, stays, now) else { return false };
        cov_mark::hit!(lost_side_is_rung_again);
        // As often as it may be transferred: it is one that nobody asked for.
        self.transfers += 1;
        self.answer_pending_relays(out);
        self.acknowledge_unasked(before, out);
        self.ack_ends = None;
        self.release_party(party);
        let nobody = self.nobody(stays, random);
        self.pairs.push(match lost {
            Side::Caller => Pair { caller: nobody, callee: stays },
            Side::Callee => Pair { caller: stays, callee: nobody },
        });
        self.state = State::Answered(self.pairs.len() - 1);
        let hunt = self.begin_hunt(Origin::Transfer, Some((now, self.site.limits.ring_total)));
        if let Some(entry) = self.hunts.get_mut(hunt) {
            (entry.call, entry.plan) = (Some(Box::new(call)), plan);
        }
        self.transfer = Some(Transfer::silent(nobody, stays, hunt));
        self.dial_stage(hunt, now, random, out);
        true
    }

    /// The call to a party that was lost, and where it goes: out by every trunk as before, or to the phone wherever it is now.
    fn call_again(&self, party: usize, stays: usize, now: Instant) -> Option<(Call, Resolved)> {
        let Party { dialog, .. } = self.parties.get(party)?;
        let flow = self.parties.get(stays)?.dialog.flow;
        if self.behind_trunk(party) {
            if self.call.kind == CallKind::Callback {
                // Nobody but the emergency service knows who was calling.
                return None;
            }
            let message = self.invite_to(&self.call.called, None, stays, None)?;
            let call = Call { message, at: now, flow, ..self.call.clone() };
            let plan = emergency::resolve(&EmergencyPlan::default(), &call, &self.site);
            return (!plan.stages.is_empty()).then_some((call, plan));
        }
        let (phone, other) = (self.known(party), self.known(stays));
        let endpoint = match &phone.caller {
            Caller::Endpoint(endpoint) => Some(endpoint.id.clone()),
            Caller::Trunk(_) | Caller::Unknown => None,
        };
        let address = Some((String::from_utf8_lossy(&dialog.remote_target).into_owned(), dialog.flow));
        let call = Call {
            message: self.invite_to(&phone.number, None, stays, None)?,
            at: now,
            flow,
            caller: Caller::Unknown,
            kind: CallKind::Callback,
            called: phone.number,
            caller_number: other.number,
            caller_name: other.name,
            ..self.call.clone()
        };
        Some((call, callback::looking_for(vec![Sought { endpoint, address }], None, now, &self.site)))
    }

    /// Nobody rings for a moment. A caller that has heard nothing yet is told that it waits, lest it tries elsewhere.
    pub(super) fn pause(&self, random: &mut Random, out: &mut Vec<Effect>) {
        let (Some(id), true) = (self.invite, self.parties.is_empty() && self.wants != Wants::Requires) else { return };
        let tag = random.token();
        // RFC 3261 21.1.4: "the called party is temporarily unavailable, but the server has decided to queue the call rather than reject it".
        let mut writer = Writer::response(&self.call.message, 182, "Queued", Some(tag.as_str()));
        for header in self.call.message.headers().filter(|header| header.name == Name::RecordRoute) {
            writer.copy(header);
        }
        write::contact(&mut writer, self.call.flow);
        out.push(Effect::Respond { id, response: writer.finish_response(b"") });
    }
}

/// Whether a session description holds: no stream of speech that is used flows both ways or towards its sender (RFC 3264 8.4: `sendonly` and `inactive`; RFC 2543 B.5:
/// an address of zeros).
fn holds(sdp: &[u8]) -> bool {
    let mut of_session = (true, true);
    let mut streams: Vec<(bool, bool)> = Vec::new();
    let mut speech = None;
    for line in sdp.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(media) = line.strip_prefix(b"m=") {
            let mut words = media.split(|octet| *octet == b' ');
            let audio = words.next() == Some(b"audio") && words.next() != Some(b"0");
            speech = Some(audio);
            if audio {
                streams.push(of_session);
            }
            continue;
        }
        let stream = match speech {
            None => &mut of_session,
            Some(true) => match streams.last_mut() {
                Some(stream) => stream,
                None => continue,
            },
            Some(false) => continue,
        };
        match line {
            b"a=sendonly" | b"a=inactive" => stream.0 = false,
            b"a=sendrecv" | b"a=recvonly" => stream.0 = true,
            _ if line.starts_with(b"c=") => stream.1 = !matches!(line, b"c=IN IP4 0.0.0.0" | b"c=IN IP6 ::"),
            _ => {}
        }
    }
    !streams.is_empty() && streams.iter().all(|(hears, somewhere)| !(*hears && *somewhere))
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn what_holds_a_call() {
        let head = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n";
        for (rest, expected) in [
            ("", false),
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n", false),
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n", true),
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=inactive\r\n", true),
            ("c=IN IP4 10.0.0.1\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\n", true),
            ("c=IN IP4 10.0.0.1\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\na=sendrecv\r\n", false),
            // Whoever mutes itself still hears.
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=recvonly\r\n", false),
            ("c=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n", true),
            ("c=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 10.0.0.1\r\n", false),
            ("c=IN IP6 ::\r\nm=audio 4000 RTP/AVP 0\r\n", true),
            // A picture that is held is none of it, nor a stream that is not used.
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\na=inactive\r\n", false),
            ("c=IN IP4 10.0.0.1\r\nm=video 4002 RTP/AVP 31\r\na=inactive\r\n", false),
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\nm=audio 0 RTP/AVP 8\r\na=sendrecv\r\n", true),
            ("c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\nm=audio 4004 RTP/AVP 8\r\n", false),
        ] {
            assert_eq!(holds(format!("{head}{rest}").as_bytes()), expected, "{rest}");
        }
        assert!(!holds(b""));
    }
}
