//! A party is held while nobody is there whom it could talk to: it was called first (click to dial) or it waits in a park slot.
//!
//! It is asked for a session without an offer; its own offer, in the 2xx, is answered in the ACK with the same streams, inactive and leading nowhere (RFC
//! 3264 6.1, 8.4; RFC 3725 4.3). So nothing is made up but the refusal to talk for now, and nobody waits with an unacknowledged answer. The next offer
//! that it gets is that of whoever it shall talk to. A party that will not be held stays as it was.

use super::{Bridge, Effect, Party, SendId, Sent, write};
use sip::{Instant, Message, message::Method, random::Random};

/// Octets of a key for SRTP with AES_CM_128 in base64 (RFC 4568 6.2: 30 octets), which no padding ends.
const KEY: usize = 40;

/// The answer to `offer` that accepts its streams and lets none of them flow; `None` when there is no offer.
///
/// A stream whose keys are agreed by DTLS is refused: a fingerprint without a peer behind it would be a lie. Parameters of the codecs are repeated, the rest of a
/// stream (ICE, RTCP) is left out. The answer is never longer than twice the offer and a few lines.
pub(super) fn answer(offer: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    if offer.is_empty() {
        return None;
    }
    let session = random.next_u64() >> 2;
    let mut answer = format!("v=0\r\no=- {session} {session} IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n").into_bytes();
    let mut secure = false;
    let mut open = false;
    for line in offer.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end) {
        if let Some(media) = line.strip_prefix(b"m=") {
            if open {
                answer.extend_from_slice(b"a=inactive\r\n");
            }
            let mut fields = media.splitn(4, |octet| *octet == b' ');
            let (Some(kind), Some(port), Some(protocol), Some(formats)) = (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return None;
            };
            secure = matches!(protocol, b"RTP/SAVP" | b"RTP/SAVPF");
            // RFC 3264 6: "port zero" refuses a stream, and one that is offered with port zero stays so.
            open = port != b"0" && (secure || matches!(protocol, b"RTP/AVP" | b"RTP/AVPF"));
            let port: &[u8] = if open { b"9" } else { b"0" };
            answer.extend_from_slice(&[b"m=", kind, b" ", port, b" ", protocol, b" ", formats, b"\r\n"].concat());
        } else if open && (line.starts_with(b"a=rtpmap:") || line.starts_with(b"a=fmtp:")) {
            answer.extend_from_slice(line);
            answer.extend_from_slice(b"\r\n");
        } else if let Some(crypto) = line.strip_prefix(b"a=crypto:").filter(|_| open && secure) {
            // RFC 4568 5.1.2: the answer takes one of the offered suites, with the tag of the offer and a key of its own.
            let mut fields = crypto.splitn(3, |octet| *octet == b' ');
            if let (Some(tag), Some(suite)) = (fields.next(), fields.next())
                && suite.starts_with(b"AES_CM_128_")
            {
                let key = [random.token(), random.token(), random.token()];
                let key: Vec<u8> = key.iter().flat_map(|token| token.as_bytes()).copied().take(KEY).collect();
                answer.extend_from_slice(&[b"a=crypto:", tag, b" ", suite, b" inline:", key.as_slice(), b"\r\n"].concat());
                secure = false;
            }
        }
    }
    if open {
        answer.extend_from_slice(b"a=inactive\r\n");
    }
    Some(answer)
}

impl Bridge {
    /// Asks a party that talks for an offer, to hold it.
    pub(super) fn hold(&mut self, party: usize, out: &mut Vec<Effect>) {
        let trusted = self.behind_trunk(party);
        let Some(Party { dialog, .. }) = self.parties.get_mut(party) else { return };
        let flow = write::next_hop(dialog, trusted);
        let mut writer = dialog.request(Method::Invite, b"INVITE", 70);
        write::contact(&mut writer, flow);
        self.send(writer.finish_request(b""), flow, Sent::Hold(party), out);
    }

    /// Whether a party is just being held.
    pub(super) fn holding(&self) -> bool {
        self.sent.iter().any(|(_, sent)| matches!(sent, Sent::Hold(_)))
    }

    /// What a party says that is to be held.
    pub(super) fn on_hold_response(
        &mut self,
        id: SendId,
        party: usize,
        message: &Message,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        match message.status() {
            0..200 => {}
            200..300 => {
                self.sent.retain(|(sent, _)| *sent != id);
                if let Some(party) = self.parties.get_mut(party) {
                    party.dialog.refresh_target(message);
                }
                let answer = answer(message.body(), random);
                self.acknowledge_with(party, id, message, answer.as_deref().map(|body| (&b"application/sdp"[..], body)), out);
            }
            status => {
                self.sent.retain(|(sent, _)| *sent != id);
                // RFC 5057: these end the dialog. Anything else leaves the session as it was, which nobody uses.
                if matches!(status, 408 | 481) {
                    self.hang_up(None, "one side is gone", now, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::answer;
    use sip::random::Random;

    fn answered(offer: &str) -> String {
        String::from_utf8(answer(offer.as_bytes(), &mut Random::from_seed([7; 32])).unwrap()).unwrap()
    }

    #[test]
    fn every_stream_is_answered_in_its_place_and_none_flows() {
        let offer = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=sendrecv\r\nm=video 0 RTP/AVP 31\r\nm=audio 4002 UDP/TLS/RTP/SAVPF 111\r\na=fingerprint:sha-256 AA\r\nm=image 4004 udptl t38\r\n";
        let answer = answered(offer);
        let media = answer.split_once("t=0 0\r\n").unwrap().1;
        assert_eq!(
            media,
            "m=audio 9 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=inactive\r\nm=video 0 RTP/AVP 31\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\nm=image 0 udptl t38\r\n"
        );
    }

    #[test]
    fn a_secure_stream_gets_one_key_of_its_own() {
        let offer = "v=0\nm=audio 4000 RTP/SAVP 0\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:theirs\na=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:theirs\n";
        let answer = answered(offer);
        let keys: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=crypto")).collect();
        assert!(
            matches!(keys[..], [key] if key.starts_with("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:") && key.len() == 42 + 40),
            "{answer}"
        );
        assert!(answer.ends_with("a=inactive\r\n") && !answer.contains("theirs"));
    }

    #[test]
    fn what_is_no_offer_has_no_answer() {
        assert_eq!(answer(b"", &mut Random::from_seed([7; 32])), None);
        assert_eq!(answer(b"v=0\r\nm=audio\r\n", &mut Random::from_seed([7; 32])), None);
        assert!(answered("v=0\r\n").starts_with("v=0\r\no=- "));
    }
}
