//! Extensions (option tags, RFC 3261 19.2): what we do ourselves, and what a request may demand of us.
//!
//! A phone's `Require` is mostly meant for the other phone and goes through: whoever is called says whether it knows the extension. What concerns the way
//! between a phone and its server can be done by nobody but us, and a request that we answer ourselves is for us as a whole.

use crate::decision::Refusal;
use sip::{Message, header::Name};

/// What we do ourselves, as `Supported` says it. Session timers are the phones' own business: we pass them on and watch the call by other means.
pub const SUPPORTED: &str = "100rel, gruu, histinfo, norefersub, outbound, path, privacy, replaces";

/// Extensions of the way between a phone and its server, beside those in [`SUPPORTED`]: nobody behind us could do them.
const OURS: [&str; 8] =
    ["eventlist", "multiple-refer", "policy", "pref", "recipient-list-invite", "recipient-list-message", "sec-agree", "tdialog"];

fn supported(option: &[u8]) -> bool {
    SUPPORTED.split(", ").any(|known| known.as_bytes().eq_ignore_ascii_case(option))
}

/// Options that a request demands of us and that we do not know: the value of Unsupported in a 420 (RFC 3261 8.2.2.3, 16.3 step 5). `whole`: the request is
/// answered by us and goes to nobody else. `None`: it can be served.
#[must_use]
pub fn unsupported(request: &Message, whole: bool) -> Option<String> {
    let ours = |option: &[u8]| OURS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(option));
    let required = request.values(Name::Require).filter(|option| !supported(option) && (whole || ours(option)));
    let of_proxies = request.values(Name::ProxyRequire).filter(|option| !supported(option));
    let unknown: Vec<_> = required.chain(of_proxies).map(String::from_utf8_lossy).collect();
    if unknown.is_empty() {
        return None;
    }
    // RFC 3261 8.2.2.3: "If a UAS does not understand an option-tag listed in a Require header field, it MUST respond by generating a response with status
    // code 420 (Bad Extension)."
    cov_mark::hit!(rfc3261_8_2_2_3_bad_extension);
    Some(unknown.join(", "))
}

/// What an INVITE must not say of dialogs (RFC 3911 section 4). A Join itself goes through: it names a dialog of the phone that is called, which alone could
/// mix the two calls.
///
/// # Errors
/// 400 for several Join headers, and for one beside Replaces.
pub fn join(invite: &Message) -> Result<(), Refusal> {
    let joins = invite.headers().filter(|header| header.name == Name::Other && header.raw_name.eq_ignore_ascii_case(b"Join")).count();
    match joins {
        0 => Ok(()),
        // Both name whom the call should join, and contradict each other.
        1 if invite.header(Name::Replaces).is_none() => Ok(()),
        1 => Err(Refusal::new(400, "Join And Replaces", "an INVITE with both Join and Replaces")),
        _ => Err(Refusal::new(400, "Several Joins", "an INVITE with several Join headers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(lines: &str) -> Message {
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{lines}Content-Length: 0\r\n\r\n");
        Message::parse(Bytes::from(text), &sip::Limits::default()).unwrap()
    }

    #[test]
    fn what_is_for_the_other_phone_goes_through_and_what_is_for_us_is_answered() {
        let asks = |lines: &str, whole| unsupported(&request(lines), whole);
        assert_eq!(asks("", true), None);
        assert_eq!(asks("Require: 100rel, precondition, frobnicate\r\n", false), None);
        assert_eq!(asks("Require: 100rel, precondition\r\nRequire: frobnicate\r\n", true).as_deref(), Some("precondition, frobnicate"));
        assert_eq!(asks("Require: SEC-AGREE, timer\r\n", false).as_deref(), Some("SEC-AGREE"));
        assert_eq!(asks("Proxy-Require: privacy, sec-agree\r\n", false).as_deref(), Some("sec-agree"));
        assert_eq!(asks("Proxy-Require: Privacy\r\n", false), None);
    }

    #[test]
    fn one_join_goes_through() {
        assert!(join(&request("")).is_ok());
        assert!(join(&request("Join: a;to-tag=b;from-tag=c\r\n")).is_ok());
        assert_eq!(join(&request("Join: a;to-tag=b;from-tag=c\r\njoin: d;to-tag=e;from-tag=f\r\n")).unwrap_err().status, 400);
        assert_eq!(join(&request("Join: a;to-tag=b;from-tag=c\r\nReplaces: d;to-tag=e;from-tag=f\r\n")).unwrap_err().status, 400);
    }
}
