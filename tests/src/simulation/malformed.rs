//! Messages that no honest phone sends: real ones with something wrong in them.

use super::Chance;
use bytes::Bytes;
use sip::Message;

/// Octets at which readers go astray.
const PIECES: [&[u8]; 20] = [
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\"",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"@",
    b"%00",
    b"SIP/2.0",
    b"l: 5",
    b"4294967296",
    b"-1",
    b"Via: ",
    b"t:",
    b";tag=x",
];

const METHODS: [&str; 12] =
    ["BYE", "CANCEL", "ACK", "OPTIONS", "INFO", "UPDATE", "PRACK", "NOTIFY", "SUBSCRIBE", "REFER", "INVITE", "DANCE"];
const STATUSES: [u16; 16] = [100, 180, 183, 199, 200, 202, 302, 401, 404, 407, 481, 486, 487, 491, 503, 603];

/// A wrong message made of one that a phone has sent or (`heard`) been sent.
pub(super) fn of(sent: &[Bytes], heard: &[Bytes], chance: &mut Chance) -> Option<Bytes> {
    if chance.percent(20) {
        return chance.one_of(heard).cloned().and_then(|request| answer(&request, chance));
    }
    let real = chance.one_of(sent)?.clone();
    Some(match chance.below(8) {
        0..=2 => damaged(real.to_vec(), chance),
        3 => with_line(&real, "cseq:", &format!("CSeq: {} {}", odd_number(&real, chance), method(&real))),
        4 => with_other_tag(&real, chance),
        5 => with_branch(&real, chance),
        6 => {
            let method = chance.one_of(&METHODS).copied().unwrap_or("BYE");
            with_method(&real, method, chance)
        }
        // The same again, long after it was answered.
        _ => real,
    })
}

/// Octets changed, cut out, put in, or cut off.
fn damaged(mut octets: Vec<u8>, chance: &mut Chance) -> Bytes {
    for _ in 0..=chance.below(3) {
        let at = chance.below(octets.len() + 1);
        let end = (at + chance.below(24)).min(octets.len());
        match chance.below(5) {
            0 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = chance.next().to_le_bytes()[0];
                }
            }
            1 => drop(octets.drain(at..end)),
            2 | 3 => {
                let piece = chance.one_of(&PIECES).copied().unwrap_or_default();
                drop(octets.splice(at..at, piece.iter().copied()));
            }
            _ => octets.truncate(at.max(20)),
        }
    }
    octets.into()
}

/// A made-up answer to a request: another fork, a late refusal, an answer that nobody gave.
fn answer(request: &Bytes, chance: &mut Chance) -> Option<Bytes> {
    let text = std::str::from_utf8(request).ok()?;
    let status = chance.one_of(&STATUSES).copied()?;
    let mut lines = format!("SIP/2.0 {status} Made Up\r\n");
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(name.as_str(), "via" | "from" | "to" | "call-id" | "cseq") {
            lines.push_str(line);
            if name == "to" && !line.contains(";tag=") {
                lines.push_str(&format!(";tag=forged{}", chance.below(5)));
            }
            lines.push_str("\r\n");
        }
    }
    if chance.percent(70) {
        lines.push_str("Contact: <sip:forged@198.51.100.66:5060>\r\n");
    }
    lines.push_str("Content-Length: 0\r\n\r\n");
    if text.starts_with("SIP/") { None } else { Some(lines.into()) }
}

fn odd_number(real: &Bytes, chance: &mut Chance) -> u64 {
    let number = super::model::read(real).and_then(|message| Some(u64::from(message.cseq()?.number))).unwrap_or(1);
    match chance.below(5) {
        0 => number.saturating_sub(1),
        1 => number + 1,
        2 => number + 1000,
        3 => 0x7fff_ffff,
        _ => 0x1_0000_0001,
    }
}

fn method(real: &Bytes) -> String {
    super::model::read(real).and_then(|message| Some(String::from_utf8_lossy(message.cseq()?.method).into_owned())).unwrap_or_default()
}

/// With one header line in place of the one that begins so.
fn with_line(real: &Bytes, begins: &str, line: &str) -> Bytes {
    let text = String::from_utf8_lossy(real);
    let lines: Vec<&str> = text.split("\r\n").map(|old| if old.to_ascii_lowercase().starts_with(begins) { line } else { old }).collect();
    lines.join("\r\n").into()
}

/// A request of a dialog that nobody has: one tag is another.
fn with_other_tag(real: &Bytes, chance: &mut Chance) -> Bytes {
    let begins = if chance.percent(50) { "to:" } else { "from:" };
    let text = String::from_utf8_lossy(real);
    let lines = text.split("\r\n").map(|line| {
        if !line.to_ascii_lowercase().starts_with(begins) {
            return line.to_owned();
        }
        let base = line.split(";tag=").next().unwrap_or_default();
        if chance.percent(30) { base.to_owned() } else { format!("{base};tag=wrong{}", chance.below(9)) }
    });
    lines.collect::<Vec<_>>().join("\r\n").into()
}

/// The same request as another transaction.
fn with_branch(real: &Bytes, chance: &mut Chance) -> Bytes {
    let text = String::from_utf8_lossy(real);
    let Some(at) = text.find("branch=z9hG4bK").map(|at| at + 14) else { return real.clone() };
    let (before, after) = text.split_at(at);
    format!("{before}x{}{after}", chance.below(1_000_000)).into()
}

/// The same headers with another method, so that it is a stray or a true request of another kind.
fn with_method(real: &Bytes, method: &str, chance: &mut Chance) -> Bytes {
    let Some(message) = super::model::read(real).filter(Message::is_request) else { return real.clone() };
    let number = message.cseq().map_or(1, |cseq| cseq.number) + u32::try_from(chance.below(2)).unwrap_or(0);
    let uri = String::from_utf8_lossy(message.request_uri()).into_owned();
    let text = with_line(real, "cseq:", &format!("CSeq: {number} {method}"));
    let text = String::from_utf8_lossy(&text).into_owned();
    let rest = text.split_once("\r\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let same: Bytes = format!("{method} {uri} SIP/2.0\r\n{rest}").into();
    // A CANCEL and the ACK of a refusal have the branch of their INVITE.
    if matches!(method, "CANCEL" | "ACK") && chance.percent(50) { same } else { with_branch(&same, chance) }
}
