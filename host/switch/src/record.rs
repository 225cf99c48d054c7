//! The record of a call that has ended: one log line, one event for observing policies ([`CallRecord`]), and everything that is kept of it for those who
//! look into calls later ([`CallDetail`]).

use crate::{
    decision::Refusal,
    facts::{Call, CallKind, Caller},
    plan::LegTarget,
};
use serde::{Deserialize, Serialize};
use sip::Instant;
use std::net::SocketAddr;

/// Codecs that are kept of one offer.
const CODECS: usize = 24;

/// One target that a call was dialled to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegRecord {
    /// Call-ID of the leg.
    pub call_id: String,
    /// Endpoint id, `trunk:NAME`, or the URI.
    pub who: String,
    /// Where it was dialled.
    pub at: SocketAddr,
}

/// What happened in one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// Call-ID of the caller's leg.
    pub call_id: String,
    /// Kind of call.
    pub kind: CallKind,
    /// Caller: endpoint id, `trunk:NAME`, or the source address.
    pub caller: String,
    /// What was called.
    pub called: String,
    /// Who answered; after a transfer, who talked to the caller last: endpoint id or `trunk:NAME`.
    pub answered_by: Option<String>,
    /// INVITE received.
    pub began: Instant,
    /// 2xx sent to the caller.
    pub answered: Option<Instant>,
    /// The end.
    pub ended: Instant,
    /// Final status sent to the caller; 200 for an answered call.
    pub status: u16,
    /// Who ended it and why, in a few words: `caller hung up`, `callee hung up`, `cancelled`, `no answer`, …
    pub cause: &'static str,
}

impl CallRecord {
    /// Of a call that ends without an answer: `status` is what the caller was told.
    #[must_use]
    pub fn unanswered(call: &Call, status: u16, cause: &'static str, ended: Instant) -> Self {
        Self {
            call_id: String::from_utf8_lossy(call.message.call_id()).into_owned(),
            kind: call.kind,
            caller: match &call.caller {
                Caller::Endpoint(endpoint) => endpoint.id.clone(),
                Caller::Trunk(name) => format!("trunk:{name}"),
                Caller::Unknown => call.flow.remote.to_string(),
            },
            called: call.called.clone(),
            answered_by: None,
            began: call.at,
            answered: None,
            ended,
            status,
            cause,
        }
    }
}

/// Who has ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// Whoever called: hung up, or gave up while it rang.
    Caller,
    /// Whoever was called: hung up, was busy, declined.
    Callee,
    /// Whoever runs the gateway (`holdfast hangup`).
    Operator,
    /// The gateway: a refusal, a time-out, a side that was gone, a transfer.
    Gateway,
}

impl EndedBy {
    /// `caller`, `callee`, `operator` or `gateway`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        }
    }
}

impl CallRecord {
    /// Who has ended it, which its cause tells.
    #[must_use]
    pub fn ended_by(&self) -> EndedBy {
        match self.cause {
            "caller hung up" | "cancelled" => EndedBy::Caller,
            "callee hung up" | "busy" | "declined" | "refused by the callee" => EndedBy::Callee,
            "ended by the operator" => EndedBy::Operator,
            _ => EndedBy::Gateway,
        }
    }
}

/// What one policy said about a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Its name.
    pub policy: String,
    /// In words: `pass`, `route desk-2`, `refuse 403 Forbidden`, or its fault.
    pub outcome: String,
}

/// How a call came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    /// A phone or trunk called.
    Received,
    /// Click to dial.
    Placed,
    /// The gateway has called to say something, or to try a trunk.
    Own,
}

impl Made {
    /// `received`, `placed` or `own`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Placed => "placed",
            Self::Own => "own",
        }
    }
}

/// One target that was dialled, as the call detail record shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DetailedLeg {
    /// Who, where, and its Call-ID.
    pub leg: LegRecord,
    /// The number that was sent to it.
    pub number: String,
    /// The number that it was shown as the caller's.
    pub shown: String,
}

impl DetailedLeg {
    /// Of a target of `call`.
    #[must_use]
    pub fn new(leg: LegRecord, target: &LegTarget, call: &Call) -> Self {
        let shown = target.caller_number.clone().unwrap_or_else(|| call.caller_number.clone());
        Self { leg, number: target.called.clone(), shown }
    }
}

/// Everything that is kept of one call, refused ones included (call detail record).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallDetail {
    /// Who, whom, when, and how it ended.
    pub record: CallRecord,
    /// How it came to be.
    pub made: Made,
    /// The caller's number as the host knows it: extension, or what the trunk said.
    pub caller_number: String,
    /// The caller's name.
    pub caller_name: String,
    /// Where the INVITE came from; of calls of the gateway's own, whom it called.
    pub address: SocketAddr,
    /// The caller's location by name.
    pub location: Option<String>,
    /// When the first target rang.
    pub ringing: Option<Instant>,
    /// Everybody who was dialled, in order.
    pub legs: Vec<DetailedLeg>,
    /// Names of the codecs that the caller offered, in the offer's order.
    pub offered: Vec<String>,
    /// What policies said, in the order in which they were asked.
    pub said: Vec<Said>,
    /// What the operator is told of a refusal.
    pub reason: Option<String>,
    /// It was taken up by a gateway that was started again.
    pub restored: bool,
    /// The end is the time at which it was noticed: the gateway was not running when the call ended.
    pub end_noticed: bool,
}

impl CallDetail {
    /// Of a call that was never dialled.
    #[must_use]
    pub fn undialled(call: &Call, record: CallRecord, said: Vec<Said>, reason: Option<String>) -> Self {
        Self {
            record,
            made: Made::Received,
            caller_number: call.caller_number.clone(),
            caller_name: call.caller_name.clone(),
            address: call.flow.remote,
            location: call.location.clone(),
            ringing: None,
            legs: Vec::new(),
            offered: offered(call.message.body()),
            said,
            reason,
            restored: false,
            end_noticed: false,
        }
    }

    /// Of a call that was refused.
    #[must_use]
    pub fn refused(call: &Call, refusal: &Refusal, said: Vec<Said>, now: Instant) -> Self {
        let record = CallRecord::unanswered(call, refusal.status, "refused", now);
        Self::undialled(call, record, said, Some(refusal.detail.clone()))
    }
}

/// The names of the codecs in a session description, each once, in its order. RFC 8866 6.6: `a=rtpmap` maps "from an RTP payload type number (as used in an
/// "m=" line) to an encoding name"; numbers without one are those of RFC 3551 6.
#[must_use]
pub fn offered(session: &[u8]) -> Vec<String> {
    let lines = || session.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let mapped = |wanted: &[u8], media: usize| -> Option<String> {
        let mut current = 0;
        lines().find_map(|line| {
            current += usize::from(line.starts_with(b"m="));
            let (number, codec) = split(line.strip_prefix(b"a=rtpmap:").filter(|_| current == media)?)?;
            let name = codec.split(|octet| *octet == b'/').next()?;
            (number == wanted && !name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
        })
    };
    let mut codecs: Vec<String> = Vec::new();
    for (media, line) in (1..).zip(lines().filter_map(|line| line.strip_prefix(b"m="))) {
        let mut fields = line.split(|octet| *octet == b' ');
        let (protocol, formats) = (fields.nth(2).unwrap_or_default(), fields);
        for format in formats {
            let rtp = protocol.windows(4).any(|part| part == b"RTP/");
            let name = if rtp { mapped(format, media).or_else(|| fixed(format)) } else { None };
            let name = name.unwrap_or_else(|| String::from_utf8_lossy(format).into_owned());
            if codecs.len() < CODECS && !codecs.contains(&name) {
                codecs.push(name);
            }
        }
    }
    codecs
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().position(|octet| *octet == b' ')?;
    text.split_at_checked(blank).map(|(number, rest)| (number, rest.trim_ascii_start()))
}

/// RFC 3551 6, tables 4 and 5: those that are still met.
fn fixed(number: &[u8]) -> Option<String> {
    let name = match number {
        b"0" => "PCMU",
        b"3" => "GSM",
        b"4" => "G723",
        b"8" => "PCMA",
        b"9" => "G722",
        b"13" => "CN",
        b"15" => "G728",
        b"18" => "G729",
        b"26" => "JPEG",
        b"31" => "H261",
        b"34" => "H263",
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::offered;

    #[test]
    fn codecs_by_name_in_the_order_of_the_offer() {
        let offer = "v=0\r\nm=audio 4000 RTP/AVP 96 8 0 101 8\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
                     m=video 4002 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\nm=image 4004 udptl t38\r\n";
        assert_eq!(offered(offer.as_bytes()), ["opus", "PCMA", "PCMU", "telephone-event", "H264", "t38"]);
        assert!(offered(b"").is_empty());
        assert!(offered(b"m=\nm=audio\na=rtpmap:\na=rtpmap:x\n").is_empty());
        let many: String = (200..300).map(|number| format!(" {number}")).collect();
        assert_eq!(offered(format!("m=audio 1 RTP/AVP{many}").as_bytes()).len(), super::CODECS);
    }
}
