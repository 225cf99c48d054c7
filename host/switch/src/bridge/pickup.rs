//! Picking up: a phone takes the call that rings at another one (RFC 3891, RFC 5359 2.14): its INVITE names the early dialog of the phone that rings.
//!
//! RFC 3891 3 lets a plain user agent refuse to have an early dialog replaced that it did not begin; here the one who is asked is the gateway between,
//! which began it. Both the caller and the picker have offered a session and none has answered, so that neither offer can answer the other. The picker is
//! answered with a session in which nothing is sent; once it has acknowledged that, its dialog is brought to the call that rings and is asked anew,
//! with the caller's offer, as one more phone of the stage. The phones that ring are cancelled when it answers and not before: until then nobody has
//! lost a call. When somebody else was faster, the picker is hung up.

use super::{ACK_WAIT, Bridge, Effect, LegState, Sent, State, relay::Repeat, replace::DialogId, replace::Half, write};
use crate::{decision::Refusal, facts::CallKind};
use sip::{
    Instant, Message, build::Request, build::Writer, dialog::Dialog, header::Name, message::Method, stack::ServerId, transport::Flow,
};
use std::net::IpAddr;

/// A picker that has been answered, until its dialog is the other call's.
#[derive(Debug)]
pub(super) struct Pickup {
    wanted: DialogId,
    dialog: Dialog,
    /// The 2xx, until its ACK comes.
    pub(super) repeat: Option<Repeat>,
    /// It has been acknowledged, and the dialog is on its way.
    away: bool,
}

impl Half {
    /// Hangs up on somebody whom nobody wants any more.
    #[must_use]
    pub fn hang_up(mut self) -> (Request, Flow) {
        let flow = self.dialog.flow;
        (self.dialog.request(Method::Bye, b"BYE", 70).finish_request(b""), flow)
    }
}

impl Bridge {
    /// The dialog that this caller wants rings: it is answered, in silence. `offer` is the INVITE of whoever calls there.
    pub(super) fn pick_up(
        &mut self,
        wanted: DialogId,
        offer: &Message,
        now: Instant,
        random: &mut sip::random::Random,
        out: &mut Vec<Effect>,
    ) {
        // A call that the gateway places takes nobody's.
        let Some(id) = self.invite else { return };
        let invite = &self.call.message;
        let body = if invite.body().is_empty() {
            // Who offers nothing gets the caller's offer, and the answer to it counts for nothing: it is asked again.
            Some(offer.body().to_vec())
        } else {
            let is_sdp = invite.header(Name::ContentType).is_some_and(|kind| {
                kind.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"application/sdp")
            });
            is_sdp.then(|| silent_answer(invite.body(), self.call.flow.local.ip()))
        };
        let tag = random.token();
        let dialog = Dialog::as_server(invite, tag.as_str(), self.call.flow);
        let (Some(body), Some(dialog)) = (body, dialog) else {
            self.refuse_caller(&Refusal::new(488, "Not Acceptable Here", "a picker that offers something else than SDP"), out);
            return self.end(488, "refused", now, out);
        };
        let mut writer = Writer::response(invite, 200, "OK", Some(tag.as_str()));
        for header in invite.headers().filter(|header| header.name == Name::RecordRoute) {
            writer.copy(header);
        }
        write::contact(&mut writer, self.call.flow);
        if !body.is_empty() {
            writer.header(Name::ContentType, b"application/sdp");
        }
        let response = writer.finish_response(&body);
        let repeat = Some(Repeat::new((id, &response), now));
        out.push(Effect::Own(tag));
        out.push(Effect::Respond { id, response });
        self.close(0);
        self.answered_at = Some(now);
        self.ack_ends = Some(now + ACK_WAIT);
        self.pickup = Some(Box::new(Pickup { wanted, dialog, repeat, away: false }));
    }

    /// The picker has acknowledged: its dialog goes to the call that rings.
    pub(super) fn picker_acknowledges(&mut self, ack: &Message, out: &mut Vec<Effect>) {
        let Some(pickup) = self.pickup.as_mut().filter(|pickup| pickup.dialog.call_id == ack.call_id() && !pickup.away) else { return };
        pickup.away = true;
        pickup.repeat = None;
        self.ack_ends = None;
        let (dialog, wanted) = (pickup.dialog.clone(), pickup.wanted.clone());
        let target = self.caller_as_target(&dialog);
        out.push(Effect::Bring { dialog: wanted, half: Box::new(Half { dialog, target, channel: None }) });
    }

    /// Whether the picker is on its way to the call that rings.
    pub(super) fn brings(&self) -> bool {
        self.pickup.as_ref().is_some_and(|pickup| pickup.away)
    }

    /// A request of the picker in the moment before its dialog is the other call's; `false`: there is no picker.
    pub(super) fn picker_asks(&mut self, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Effect>) -> bool {
        let Some(pickup) = self.pickup.as_mut().filter(|pickup| pickup.dialog.call_id == message.call_id() && !pickup.away) else {
            return false;
        };
        let bye = message.method() == Method::Bye;
        let _in_order = pickup.dialog.in_order(message);
        let (status, phrase) = if bye { (200, "OK") } else { (491, "Request Pending") };
        super::relay::respond(id, message, status, phrase, out);
        if bye {
            self.pickup = None;
            self.end(200, "caller hung up", now, out);
        }
        true
    }

    /// What became of a dialog that was brought: `Some` comes back, because the call that rang is over or was answered.
    pub(super) fn brought(&mut self, back: Option<Box<Half>>, now: Instant, out: &mut Vec<Effect>) {
        self.pickup = None;
        match back {
            None => self.end(200, "picked up a call", now, out),
            Some(half) => {
                let (bye, flow) = half.hang_up();
                self.send(bye, flow, Sent::Bye, out);
                self.end(200, "somebody else was faster", now, out);
            }
        }
    }

    /// The picker never acknowledges.
    pub(super) fn picker_gone(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if let Some(mut pickup) = self.pickup.take() {
            let flow = pickup.dialog.flow;
            let bye = pickup.dialog.request(Method::Bye, b"BYE", 70).finish_request(b"");
            self.send(bye, flow, Sent::Bye, out);
            self.end(200, "the answer was never acknowledged", now, out);
        }
    }

    /// The leg that rings in the dialog that is wanted.
    pub(super) fn ringing_leg(&self, wanted: &DialogId) -> Option<usize> {
        let rings =
            |leg: &usize| self.legs.get(*leg).is_some_and(|leg| leg.state == LegState::Ringing && !leg.adopted && self.hunts_on(leg.hunt));
        let party = self.parties.iter().find(|party| party.leg.is_some() && wanted.names(&party.dialog))?;
        party.leg.filter(rings).filter(|_| self.state == State::Ringing && self.call.kind == CallKind::Normal)
    }

    /// Takes a picker in beside the phone that rings, and asks it for a session.
    ///
    /// # Errors
    /// Gives the picker back when that phone does not ring any more.
    pub fn bring(&mut self, wanted: &DialogId, half: Box<Half>, out: &mut Vec<Effect>) -> Result<(), Box<Half>> {
        let Some((hunt, stage)) = self.ringing_leg(wanted).and_then(|leg| self.legs.get(leg)).map(|leg| (leg.hunt, leg.stage)) else {
            return Err(half);
        };
        let Half { dialog, target, channel } = *half;
        out.push(Effect::Adopt { call_id: dialog.call_id.clone(), tag: dialog.local_tag.clone() });
        self.adopt(hunt, stage, target, dialog, channel, out);
        Ok(())
    }
}

/// An answer to an SDP offer that takes every stream and sends nothing in any (RFC 3264 6.1: `a=inactive`).
///
/// What makes a phone accept the answer goes back as it came: formats, keys, fingerprints. What says where media goes, or which way, does not.
fn silent_answer(offer: &[u8], local: IpAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { "IP4" } else { "IP6" };
    let nowhere = if local.is_ipv4() { "0.0.0.0" } else { "::" };
    let mut text = format!("v=0\r\no=- 0 0 IN {family} {local}\r\ns=-\r\nc=IN {family} {nowhere}\r\nt=0 0\r\n").into_bytes();
    let mut in_media = false;
    for line in offer.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end) {
        if let Some(media) = line.strip_prefix(b"m=") {
            end_of_media(&mut text, in_media);
            in_media = true;
            let mut words = media.split(|octet| *octet == b' ');
            let (kind, port) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            text.extend_from_slice(b"m=");
            text.extend_from_slice(kind);
            // RFC 3264 8.2: a stream that was offered with port zero is not used, and no answer uses it. 9 is the discard port.
            text.extend_from_slice(if port == b"0" { b" 0" } else { b" 9" });
            for word in words {
                text.push(b' ');
                text.extend_from_slice(word);
            }
            text.extend_from_slice(b"\r\n");
        } else if let Some(attribute) = line.strip_prefix(b"a=") {
            let name = attribute.split(|octet| *octet == b':').next().unwrap_or_default();
            let kept: &[&[u8]] = &[b"rtpmap", b"fmtp", b"crypto", b"fingerprint", b"setup", b"mid", b"rtcp-mux", b"group"];
            if !kept.contains(&name) {
                continue;
            }
            // RFC 5763 5: whoever offers to take either role is answered with one.
            let line: &[u8] = if attribute == b"setup:actpass" { b"a=setup:passive" } else { line };
            text.extend_from_slice(line);
            text.extend_from_slice(b"\r\n");
        }
    }
    end_of_media(&mut text, in_media);
    text
}

fn end_of_media(text: &mut Vec<u8>, in_media: bool) {
    if in_media {
        text.extend_from_slice(b"a=inactive\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_answered_without_media() {
        let offer = "v=0\r\no=bob 1 1 IN IP4 10.1.0.3\r\ns=call\r\nc=IN IP4 10.1.0.3\r\nt=0 0\r\na=sendrecv\r\nm=audio 4000 RTP/SAVP 0 8 101\r\n\
                     a=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=candidate:1 1 UDP 1 10.1.0.3 4000 typ host\r\n\
                     a=sendrecv\r\nm=video 0 RTP/AVP 31\r\n";
        let answer = silent_answer(offer.as_bytes(), "192.0.2.1".parse().unwrap());
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/SAVP 0 8 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=inactive\r\nm=video 0 RTP/AVP 31\r\na=inactive\r\n"
        );
    }
}
