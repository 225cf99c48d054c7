//! What goes first when more comes in than can be worked off: calls for help, and whatever belongs to calls that are already being carried.
//!
//! It is told by the first line alone, before anything is parsed. A call that was begun costs less to end well than to give up, and its other side waits; a
//! call that was not can be asked for again (RFC 6357 asks for nothing less: an overloaded server finishes what it has accepted).

use sip::{message::Method, uri::Uri};
use switch::{directory::Directory, emergency, facts::CallKind};

/// What is worked off before what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// A new call for help; a response; and ACK, BYE and PRACK, which always belong to a call that is up.
    First,
    /// Everything else. CANCEL, too: it must not overtake its INVITE.
    Rest,
}

impl Rank {
    /// The rank of a datagram or framed message.
    #[must_use]
    pub fn of(message: &[u8], directory: &Directory) -> Self {
        let first = match Self::method(message) {
            Some(Method::Ack | Method::Bye | Method::Prack) => true,
            Some(Method::Invite) => calls_for_help(message, directory),
            Some(_) => false,
            None => start(message).starts_with(b"SIP/2.0 "),
        };
        if first { Self::First } else { Self::Rest }
    }

    fn method(message: &[u8]) -> Option<Method> {
        let (token, _) = parts(start(message))?;
        Some(Method::from_token(token)).filter(|method| *method != Method::Other)
    }
}

/// Whether this is an INVITE whose Request-URI calls for help, or for a test of it.
#[must_use]
pub fn calls_for_help(message: &[u8], directory: &Directory) -> bool {
    let Some((b"INVITE", uri)) = parts(start(message)) else { return false };
    Uri::parse(uri).is_some_and(|uri| emergency::classify(&uri, directory) != CallKind::Normal)
}

/// The first line, behind the line ends that some phones send before it.
fn start(message: &[u8]) -> &[u8] {
    let begin = message.iter().position(|octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(message.len());
    let message = message.get(begin..).unwrap_or_default();
    let end = memchr::memchr(b'\n', message).unwrap_or(message.len());
    message.get(..end).unwrap_or_default().trim_ascii_end()
}

/// Method and Request-URI of a request line.
fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (token, rest) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    let uri = rest.get(..memchr::memrchr(b' ', rest)?)?.trim_ascii();
    Some((token, uri))
}

#[cfg(test)]
mod tests {
    use super::*;
    use switch::directory::Emergency;

    fn site() -> Directory {
        let emergency = Emergency {
            numbers: vec!["112".to_owned()],
            test_numbers: vec!["933".to_owned()],
            outside_prefixes: vec!["9".to_owned()],
            ..Emergency::default()
        };
        Directory::new("sip.example".to_owned(), Vec::new(), Vec::new(), Vec::new(), emergency, Vec::new())
    }

    #[test]
    fn what_goes_first() {
        let site = site();
        for (message, rank) in [
            ("INVITE sip:112@sip.example SIP/2.0\r\nVia: x\r\n\r\n", Rank::First),
            ("\r\n\r\nINVITE  urn:service:sos.fire  SIP/2.0 \n\n", Rank::First),
            ("INVITE sip:9%31%312@sip.example;user=phone SIP/2.0\r\n", Rank::First),
            ("INVITE tel:933 SIP/2.0", Rank::First),
            ("SIP/2.0 200 OK\r\n", Rank::First),
            ("ACK sip:x@y SIP/2.0\r\n", Rank::First),
            ("BYE sip:x@y SIP/2.0\r\n", Rank::First),
            ("PRACK sip:x@y SIP/2.0\r\n", Rank::First),
            ("INVITE sip:1001@sip.example SIP/2.0\r\nTo: <sip:112@sip.example>\r\n", Rank::Rest),
            ("INVITE sip:1121@sip.example SIP/2.0\r\n", Rank::Rest),
            ("CANCEL sip:112@sip.example SIP/2.0\r\n", Rank::Rest),
            ("OPTIONS sip:112@sip.example SIP/2.0\r\n", Rank::Rest),
            ("REGISTER sip:sip.example SIP/2.0\r\n", Rank::Rest),
            ("SIP/2.0", Rank::Rest),
            ("INVITE", Rank::Rest),
            ("INVITE ", Rank::Rest),
            ("", Rank::Rest),
            ("\r\n", Rank::Rest),
        ] {
            assert_eq!(Rank::of(message.as_bytes(), &site), rank, "{message:?}");
        }
    }
}
