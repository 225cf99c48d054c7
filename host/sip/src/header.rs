//! Header names and the typed views of the header values that the gateway itself reads (RFC 3261 section 20).
//!
//! A view borrows the bytes of the message. It is read when somebody asks, not when the message arrives, and is lenient where
//! leniency cannot change the meaning: white space and folds are allowed wherever RFC 3261 25.1 has SWS.

mod name;
#[cfg(test)]
mod tests;
mod text;

pub use name::Name;
pub(crate) use text::{decimal, is_token, starts_with_ignore_case, trim};

use crate::uri::{self, Uri};
use memchr::{memchr, memchr3, memrchr};
use text::{is_space, slice};

/// One header line: its name as received and its value, trimmed, with folds still in it.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Which field it is.
    pub name: Name,
    /// The name as received.
    pub raw_name: &'a [u8],
    /// The value as received, without surrounding white space.
    pub value: &'a [u8],
    /// The whole line as received: name, white space, colon, value and its folds, without the line end.
    pub line: &'a [u8],
}

/// A value that is `name-addr` or `addr-spec` with parameters: From, To, Contact, Route, Record-Route, Path, Refer-To, P-Asserted-Identity…
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The whole value as received.
    pub raw: &'a [u8],
    /// The display name without its quotes (escapes left as they are); empty when there is none.
    pub display: &'a [u8],
    /// The URI text, without angle brackets.
    pub uri: &'a [u8],
    /// Header parameters behind the URI, beginning with `;`, or empty.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value. `None` when a quote or bracket stays open, when something other than `;` follows the bracket, and when what
    /// stands in the place of the URI has no scheme; so `*` of a Contact (RFC 3261 10.2.2) is not one, compare it before.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let raw = trim(value);
        if raw.first() == Some(&b'"') {
            let close = closing_quote(raw, 0)?;
            let display = slice(raw, 1, close);
            let rest = trim(slice(raw, close + 1, raw.len()));
            return Self::bracketed(raw, display, rest.strip_prefix(b"<")?);
        }
        match memchr(b'<', raw) {
            Some(open) if !is_addr_spec_before(slice(raw, 0, open)) => {
                Self::bracketed(raw, trim(slice(raw, 0, open)), slice(raw, open + 1, raw.len()))
            }
            _ => Self::addr_spec(raw),
        }
    }

    /// `inside` begins behind the `<`.
    fn bracketed(raw: &'a [u8], display: &'a [u8], inside: &'a [u8]) -> Option<Self> {
        let close = memchr(b'>', inside)?;
        // RFC 4475 3.1.2.14: white space between the brackets and the addr-spec is not allowed, and may be repaired.
        let uri = trim(slice(inside, 0, close));
        let params = trim(slice(inside, close + 1, inside.len()));
        if !(params.is_empty() || params.first() == Some(&b';')) || !quotes_balanced(params) {
            return None;
        }
        uri::scheme_end(uri)?;
        Some(Self { raw, display, uri, params })
    }

    fn addr_spec(raw: &'a [u8]) -> Option<Self> {
        // RFC 3261 20.10: without angle brackets, what follows the first semicolon are parameters of the header, not of the URI.
        let semicolon = memchr(b';', raw).unwrap_or(raw.len());
        let uri = trim(slice(raw, 0, semicolon));
        let params = slice(raw, semicolon, raw.len());
        // RFC 3261 20: a URI with a comma, question mark or semicolon must stand in angle brackets. A question mark would be URI
        // headers, and whose they are is ambiguous.
        if memchr3(b'?', b'"', b'>', uri).is_some() || uri.iter().copied().any(is_space) || !quotes_balanced(params) {
            return None;
        }
        uri::scheme_end(uri)?;
        Some(Self { raw, display: &[], uri, params })
    }

    /// The URI, read.
    #[must_use]
    pub fn uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param(b"tag")
    }

    /// A header parameter by name, in any case; `Some(b"")` for one without a value. Quotes are taken off.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

/// Whether the text before a `<` is already a URI with parameters (`sip:a@b;x="<`): a display name cannot hold a colon unquoted.
fn is_addr_spec_before(text: &[u8]) -> bool {
    memchr(b';', text).is_some() && uri::scheme_end(text).is_some()
}

/// One Via value (RFC 3261 20.42, RFC 3581).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The whole value as received.
    pub raw: &'a [u8],
    /// `UDP`, `TCP`, `TLS` or whatever else was written.
    pub transport: &'a [u8],
    /// Host of sent-by, brackets kept.
    pub host: &'a [u8],
    /// Port of sent-by.
    pub port: Option<u16>,
    /// Parameters, beginning with `;`, or empty.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value; `None` when it has no protocol, no host or a bad port.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let raw = trim(value);
        // RFC 3261 25.1: sent-protocol is three tokens joined by SLASH, which has white space around it.
        let transport_at = match raw.strip_prefix(b"SIP/2.0/") {
            Some(rest) => rest,
            None => {
                let name_end = memchr(b'/', raw)?;
                let version_end = name_end + 1 + memchr(b'/', slice(raw, name_end + 1, raw.len()))?;
                if !trim(slice(raw, 0, name_end)).eq_ignore_ascii_case(b"SIP") {
                    return None;
                }
                trim(slice(raw, version_end + 1, raw.len()))
            }
        };
        let transport_end = transport_at.iter().position(|b| is_space(*b))?;
        let transport = slice(transport_at, 0, transport_end);
        let rest = slice(transport_at, transport_end, transport_at.len());
        let semicolon = memchr(b';', rest).unwrap_or(rest.len());
        let sent_by = trim(slice(rest, 0, semicolon));
        let params = slice(rest, semicolon, rest.len());
        let (host, port) = uri::host_port(sent_by)?;
        if transport.is_empty() || !quotes_balanced(params) {
            return None;
        }
        Some(Self { raw, transport, host, port, params })
    }

    /// The branch parameter.
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.param(b"branch")
    }

    /// A parameter by name; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

/// CSeq (RFC 3261 20.16): number below 2^31 and the method's token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method token as received.
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads a value; `None` when the number is 2^31 or more (RFC 3261 8.1.1.5) or something is missing.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let digits = value.iter().position(|b| !b.is_ascii_digit())?;
        let number = decimal(slice(value, 0, digits)).filter(|n| *n < 1 << 31)?;
        let method = slice(value, digits, value.len());
        if !method.first().copied().is_some_and(is_space) {
            return None;
        }
        let method = trim(method);
        is_token(method).then_some(Self { number, method })
    }
}

/// Splits a value at top-level commas (not within quotes or angle brackets), trimmed, empty parts skipped.
/// Behind a quote or bracket that stays open everything is one part.
pub fn split_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    SplitCommas { rest: value }
}

/// See [`split_commas`].
#[derive(Clone, Debug)]
pub(crate) struct SplitCommas<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for SplitCommas<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let comma = top_level_comma(self.rest);
            let part = trim(slice(self.rest, 0, comma));
            self.rest = slice(self.rest, comma + 1, self.rest.len());
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    }
}

/// Where the first comma outside quotes and brackets stands; the length of `value` when there is none.
fn top_level_comma(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr3(b',', b'"', b'<', slice(value, at, value.len())) {
        at += found;
        at = match value.get(at) {
            Some(b',') => return at,
            Some(b'"') => match closing_quote(value, at) {
                Some(close) => close + 1,
                None => break,
            },
            _ => match memchr(b'>', slice(value, at, value.len())) {
                Some(close) => at + close + 1,
                None => break,
            },
        };
    }
    value.len()
}

/// Where the quoted string that opens at `open` closes, escapes heeded (RFC 3261 25.1, quoted-pair).
fn closing_quote(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', slice(text, at, text.len()))?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

fn quotes_balanced(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(open) = memchr(b'"', slice(text, at, text.len())) {
        match closing_quote(text, at + open) {
            Some(close) => at = close + 1,
            None => return false,
        }
    }
    true
}

/// A parameter of a `;name=value;name="value"` list by name in any case; `Some(b"")` for one without a value; quotes taken off.
#[must_use]
pub fn param<'a>(params: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    Params { rest: params }.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}

/// The pairs of a parameter list, in order; empty ones are skipped.
#[derive(Clone, Debug)]
pub(crate) struct Params<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = top_level_semicolon(self.rest);
            let pair = trim(slice(self.rest, 0, end));
            self.rest = slice(self.rest, end + 1, self.rest.len());
            if pair.is_empty() {
                continue;
            }
            let Some(equals) = memchr(b'=', pair) else { return Some((pair, &[])) };
            let value = trim(slice(pair, equals + 1, pair.len()));
            return Some((trim(slice(pair, 0, equals)), unquote(value)));
        }
        None
    }
}

fn top_level_semicolon(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b';', b'"', slice(text, at, text.len())) {
        at += found;
        if text.get(at) == Some(&b';') {
            return at;
        }
        match closing_quote(text, at) {
            Some(close) => at = close + 1,
            None => break,
        }
    }
    text.len()
}

/// Takes the quotes off a quoted string; anything else stays as it is.
fn unquote(value: &[u8]) -> &[u8] {
    match value.strip_prefix(b"\"") {
        Some(inside) => slice(inside, 0, memrchr(b'"', inside).unwrap_or(inside.len())),
        None => value,
    }
}
