//! A request whose sender has made a mistake, put right where it is clear what was meant.
//!
//! RFC 3261 21.4.1 lets a malformed request be refused, and that is what happens to all but the urgent ones: who calls for help with a broken phone must not
//! be told so.

use super::Message;
use crate::{
    Limits,
    header::{CSeq, Header, Name, NameAddr, SplitCommas, Via, decimal},
};
use bytes::Bytes;
use memchr::memmem;

/// From of a sender who cannot be made out (RFC 3323 4.1.1.3).
const NOBODY: &[u8] = b"<sip:anonymous@anonymous.invalid>";
/// Max-Forwards where it cannot be read (RFC 3261 8.1.1.6).
const HOPS: &[u8] = b"70";
/// The length of a body is counted anew, and what is written here may be longer than what was received.
const UNLIMITED: Limits = Limits { message_bytes: usize::MAX, headers: usize::MAX, server_transactions: 0, client_transactions: 0 };

impl Message {
    /// The same request without what [`Message::check`] refuses. `None` when that cannot be done: another version of SIP, an unreadable Request-URI, no Via by
    /// which an answer finds back, or anything that is no request.
    ///
    /// Lines that are no header fields, unreadable Contacts and lower Vias, and all but the first of what must stand once are left out. Headers in the Request-URI
    /// are cut off, the body is as long as it is, whatever Content-Length says. A missing or unreadable To is the Request-URI, From is nobody with the tag that
    /// stands in it, CSeq is 1 or the number that stands in it, Call-ID is the branch; Max-Forwards is 70 where it is no number. The same request is
    /// repaired to the same octets each time it comes.
    #[must_use]
    pub fn repaired(&self) -> Option<Self> {
        let branch = Via::parse(self.values(Name::Via).next()?)?.branch().unwrap_or(b"repaired");
        let (method, target) = (self.method_token(), self.uri()?);
        let target = target.raw.split(|octet| *octet == b'?').next()?;
        if !self.is_request() || !self.0.version_2 {
            return None;
        }
        let mut text = Vec::with_capacity(self.bytes().len() + 256);
        for part in [method, b" ", target, b" SIP/2.0\r\n"] {
            text.extend_from_slice(part);
        }
        let mut written = Vec::new();
        for header in self.headers().filter(|header| !header.raw_name.is_empty()) {
            let single = matches!(header.name, Name::From | Name::To | Name::CallId | Name::CSeq | Name::MaxForwards);
            if header.name == Name::ContentLength || single && written.contains(&header.name) || unreadable(&header, &written) {
                continue;
            }
            written.push(header.name);
            match self.instead(&header, target, method) {
                Some(value) => line(&mut text, header.raw_name, &value),
                None => same(&mut text, &header),
            }
        }
        for (name, token, value) in [
            (Name::From, b"From".as_slice(), NOBODY.to_vec()),
            (Name::To, b"To", bracketed(target)),
            (Name::CallId, b"Call-ID", branch.to_vec()),
            (Name::CSeq, b"CSeq", [b"1 ", method].concat()),
        ] {
            if !written.contains(&name) {
                line(&mut text, token, &value);
            }
        }
        let body = self.body();
        line(&mut text, b"Content-Length", body.len().to_string().as_bytes());
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(body);
        Self::parse(Bytes::from(text), &UNLIMITED).ok().filter(|repaired| repaired.check().is_ok())
    }

    /// The same request outside any dialog: To has no parameters. `None` for what is no request or has no readable To.
    #[must_use]
    pub fn outside_dialog(&self) -> Option<Self> {
        let to = bracketed(self.to()?.uri);
        self.rewritten(|header, text| match header.name {
            Name::To => line(text, header.raw_name, &to),
            _ => same(text, header),
        })
    }

    /// The same request with no more than so many header fields, those that SIP itself knows first. `None` for what is no request.
    #[must_use]
    pub fn shortened(&self, fields: usize) -> Option<Self> {
        let mut known = self.headers().filter(|header| header.name != Name::Other).count().min(fields);
        let mut others = fields - known;
        self.rewritten(|header, text| {
            let room = if header.name == Name::Other { &mut others } else { &mut known };
            if let Some(left) = room.checked_sub(1) {
                *room = left;
                same(text, header);
            }
        })
    }

    /// The same request with the header fields that `write` makes of those that it has.
    fn rewritten(&self, mut write: impl FnMut(&Header<'_>, &mut Vec<u8>)) -> Option<Self> {
        if !self.is_request() {
            return None;
        }
        let mut text = Vec::with_capacity(self.bytes().len());
        for part in [self.method_token(), b" ", self.request_uri(), b" SIP/2.0\r\n"] {
            text.extend_from_slice(part);
        }
        for header in self.headers() {
            write(&header, &mut text);
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(self.body());
        Self::parse(Bytes::from(text), &UNLIMITED).ok()
    }

    /// What a line is to say, when what it says cannot be read.
    fn instead(&self, header: &Header<'_>, target: &[u8], method: &[u8]) -> Option<Vec<u8>> {
        let value = header.value;
        match header.name {
            Name::From if NameAddr::parse(value).is_none() => Some([NOBODY, tag_in(value).unwrap_or_default()].concat()),
            Name::To if NameAddr::parse(value).is_none() => Some([&bracketed(target), tag_in(value).unwrap_or_default()].concat()),
            Name::CallId if value.is_empty() => Some(b"repaired".to_vec()),
            Name::CSeq if CSeq::parse(value).is_none_or(|cseq| cseq.method != method) => {
                let digits = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
                let number = decimal(value.get(..digits)?).filter(|number| *number < 1 << 31).unwrap_or(1);
                Some([number.to_string().as_bytes(), b" ", method].concat())
            }
            Name::MaxForwards if self.number(Name::MaxForwards).is_none() => Some(HOPS.to_vec()),
            _ => None,
        }
    }
}

/// Whether a line is left out: a Contact that says nothing, and a Via below the one by which the answer goes.
fn unreadable(header: &Header<'_>, written: &[Name]) -> bool {
    let all = |readable: &dyn Fn(&[u8]) -> bool| SplitCommas { rest: header.value }.all(readable);
    match header.name {
        Name::Contact => !all(&|contact| NameAddr::parse(contact).is_some()),
        Name::Via => written.contains(&Name::Via) && !all(&|via| Via::parse(via).is_some()),
        _ => false,
    }
}

/// The tag that stands somewhere in a value, with its semicolon: by it the sender knows its dialog.
fn tag_in(value: &[u8]) -> Option<&[u8]> {
    let from = memmem::rfind(value, b";tag=")?;
    let tag = value.get(from..)?;
    let end = tag.iter().skip(1).position(|octet| !(octet.is_ascii_alphanumeric() || b"=-._~+%!*'`".contains(octet)));
    tag.get(..end.map_or(tag.len(), |end| end + 1))
}

fn bracketed(uri: &[u8]) -> Vec<u8> {
    [b"<", uri, b">"].concat()
}

/// A field as it came.
fn same(text: &mut Vec<u8>, header: &Header<'_>) {
    text.extend_from_slice(header.line);
    text.extend_from_slice(b"\r\n");
}

fn line(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}
