//! What every element must check before it acts on a message.

use super::{ContentLength, Malformed, Message, StartLine};
use crate::header::{CSeq, Name, NameAddr, SplitCommas, Via, is_token};

const fn bad_request(phrase: &'static str) -> Malformed {
    Malformed { status: 400, phrase }
}

/// How often a field was seen that must not be repeated.
#[derive(Default)]
struct Seen {
    via: bool,
    from: bool,
    to: bool,
    call_id: bool,
    cseq: bool,
    max_forwards: bool,
    content_length: bool,
}

fn once(seen: &mut bool, repeated: &'static str) -> Result<(), Malformed> {
    if core::mem::replace(seen, true) { Err(bad_request(repeated)) } else { Ok(()) }
}

fn must(holds: bool, phrase: &'static str) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(bad_request(phrase)) }
}

impl Message {
    /// Checks what every element must check before acting (RFC 3261 8.2, 16.3, 18.3): version, method, Request-URI syntax, the
    /// mandatory headers once each and readable, CSeq range and its method, Content-Length, quotes balanced.
    ///
    /// Max-Forwards may be missing, as RFC 2543 elements leave it out and RFC 3261 16.3 lets such a request pass. Not checked is whatever no
    /// decision hangs on (Date, Expires, unknown fields): a call must not fail for it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Malformed> {
        if !self.0.version_2 {
            cov_mark::hit!(rfc3261_21_5_6_version);
            return Err(Malformed { status: 505, phrase: "Version Not Supported" });
        }
        match self.0.start {
            StartLine::Request { token, .. } => {
                must(is_token(self.span(token)), "Invalid Method")?;
                let uri = self.uri().ok_or_else(|| bad_request("Invalid Request-URI"))?;
                // RFC 3261 19.1.1, table 1: headers are not allowed in a Request-URI (RFC 4475 3.1.2.11).
                must(uri.headers.is_empty(), "Headers in Request-URI")?;
            }
            StartLine::Response { status, .. } => must(status != 0, "Invalid Status Code")?,
        }
        self.check_fields()?;
        match self.0.content_length {
            ContentLength::Absent | ContentLength::Fits => Ok(()),
            // RFC 3261 18.3: a datagram that ends before its body does is discarded when a response, and answered with 400 when a request.
            ContentLength::Beyond => Err(bad_request("Content-Length Beyond Message")),
            ContentLength::Unreadable => Err(bad_request("Invalid Content-Length")),
        }
    }

    fn check_fields(&self) -> Result<(), Malformed> {
        must(!self.0.stray_line, "Invalid Header Line")?;
        let mut seen = Seen::default();
        for slot in &self.0.headers {
            let value = || slot.value(&self.0.buffer);
            match slot.name {
                Name::Via => {
                    seen.via = true;
                    must(SplitCommas { rest: value() }.all(|via| Via::parse(via).is_some()), "Invalid Via")?;
                }
                Name::From => {
                    once(&mut seen.from, "Repeated From")?;
                    must(NameAddr::parse(value()).is_some(), "Invalid From")?;
                }
                Name::To => {
                    once(&mut seen.to, "Repeated To")?;
                    must(NameAddr::parse(value()).is_some(), "Invalid To")?;
                }
                Name::CallId => {
                    once(&mut seen.call_id, "Repeated Call-ID")?;
                    must(!value().is_empty(), "Invalid Call-ID")?;
                }
                Name::CSeq => {
                    once(&mut seen.cseq, "Repeated CSeq")?;
                    let cseq = CSeq::parse(value()).ok_or_else(|| bad_request("Invalid CSeq"))?;
                    // RFC 3261 8.1.1.5: the method of the CSeq must match that of the request.
                    must(!self.is_request() || cseq.method == self.method_token(), "CSeq Method Mismatch")?;
                }
                Name::MaxForwards => {
                    once(&mut seen.max_forwards, "Repeated Max-Forwards")?;
                    must(self.number(Name::MaxForwards).is_some(), "Invalid Max-Forwards")?;
                }
                Name::ContentLength => once(&mut seen.content_length, "Repeated Content-Length")?,
                Name::Contact => {
                    let readable = |contact: &[u8]| contact == b"*" || NameAddr::parse(contact).is_some();
                    must(SplitCommas { rest: value() }.all(readable), "Invalid Contact")?;
                }
                // The other fields are judged by whoever reads them.
                _ => {}
            }
        }
        must(seen.via, "Missing Via")?;
        must(seen.from, "Missing From")?;
        must(seen.to, "Missing To")?;
        must(seen.call_id, "Missing Call-ID")?;
        must(seen.cseq, "Missing CSeq")
    }
}
